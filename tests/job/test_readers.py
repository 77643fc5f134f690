"""An output is one table to every reader, called without any option."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as pads
import pytest
from distributed import Client

import dsmote
from tests.job.conftest import numeric_frame, write_files

LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "report": {"report": True},
    "synthetic": {"mode": "synthetic"},
    "folders": {"partition_by": ["y"]},
    "split": {"split": {"test_fraction": 0.2, "seed": 0}},
}

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "pandas": pd.read_parquet,
    "pyarrow": lambda out: pads.dataset(out, partitioning="hive").to_table().to_pandas(),
    "dask": lambda out: dd.read_parquet(out).compute(),
    "duckdb": lambda out: duckdb.sql(f"from '{out}/**/*.parquet'").df(),
    "polars": lambda out: pl.read_parquet(out).to_pandas(),
}


@pytest.fixture(params=LAYOUTS)
def written(request: pytest.FixtureRequest, tmp_path: Path, client: Client) -> Path:
    source = write_files(numeric_frame(), tmp_path / "in", 2)
    job = {"input": str(source), "output": str(tmp_path / "out"), "target": "y"}
    dsmote.run_job(job | {"params": {"random_state": 0}} | LAYOUTS[request.param])
    return tmp_path / ("out/train" if request.param == "split" else "out")


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_the_folder(written: Path, reader: str) -> None:
    files = sorted(written.rglob("*.parquet"))
    rows = sum(pads.dataset(file).count_rows() for file in files)
    table = READERS[reader](written)
    assert (len(table), set(table.columns)) == (rows, {"a", "b", "n", "y"})
    assert set(table["y"].astype(str)) <= {"rare", "usual"}
    assert table["a"].notna().all()


def test_what_is_no_part_has_a_name_that_spark_skips(written: Path) -> None:
    """Spark reads all files of a folder, but for those whose names begin with one of these."""
    files = [file.relative_to(written) for file in written.rglob("*") if file.is_file()]
    other = [str(file) for file in files if file.suffix != ".parquet"]
    assert other == ["_SUCCESS"] * (written.name == "out")
    assert other == [] or (written / "_SUCCESS").stat().st_size == 0  # polars skips empty files
    for file in files:
        hidden = any(part.startswith(("_", ".")) for part in file.parts)
        assert hidden == (str(file) in other), file
