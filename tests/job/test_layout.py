"""Folders by value: every reader takes them as one table; what cannot be folders is refused."""

from urllib.parse import unquote

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.job import JobSpec, plan_job, prepare, write_job
from dsmote.job.parts import MOST_FOLDERS, key_folders
from dsmote.job.spec import Split
from tests.job.conftest import mixed_frame, numeric_frame, write_files


def job(source, out, **fields):
    return JobSpec(str(source), "y", output=str(out), **{"random_state": 0, **fields})


def run(spec):
    return write_job(prepare(spec)).manifest


def test_numbers_bools_and_categories_have_folders(tmp_path):
    frame = mixed_frame()[["x", "f32", "flag", "big", "cat", "y"]]
    source = write_files(frame, tmp_path / "in", 2)
    spec = job(source, tmp_path / "out", partition_by=("big", "flag", "cat"))
    run(spec)
    assert len(pd.read_parquet(tmp_path / "out")) == 540
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == {
        f"big={n}" for n in range(9)
    }
    assert {p.name for p in (tmp_path / "out/big=4").iterdir()} == {"flag=true", "flag=false"}
    below = {p.parent.name for p in (tmp_path / "out").rglob("*.parquet")}
    assert below == {"cat=a", "cat=b", "cat=c"}


def test_missing_values_name_no_folder(tmp_path):
    frame = mixed_frame()[["x", "text", "y"]]
    frame.loc[::7, "text"] = None
    source = write_files(frame, tmp_path / "in", 1)
    spec = job(source, tmp_path / "out", sampler="random", partition_by=("text",))
    for do in (plan_job, write_job):  # nothing is written before it is known
        with pytest.raises(ValueError, match="'text' of partition_by is missing in 43 rows"):
            do(prepare(spec))
    assert not (tmp_path / "out").exists()


def test_too_many_values_are_an_error_that_names_column_and_number(tmp_path):
    rows = MOST_FOLDERS + 1
    frame = pd.DataFrame({"x": np.arange(float(rows)), "n": np.arange(rows), "y": 0})
    frame.loc[: rows // 4, "y"] = 1
    source = write_files(frame, tmp_path / "in", 1)
    spec = job(source, tmp_path / "out", sampler="random", partition_by=("n",))
    for do in (plan_job, write_job):
        with pytest.raises(ValueError, match="'n' of partition_by has 1,001 different values"):
            do(prepare(spec))
    assert not (tmp_path / "out").exists()
    # Of rows that are left out, no folder is made.
    fields = {"sampler": "random-under", "sampling_strategy": {"0": 400, "1": 251}}
    run(job(source, tmp_path / "out", partition_by=("n",), **fields))
    assert len([p for p in (tmp_path / "out").iterdir() if p.is_dir()]) == 651


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("nope",), r"no column 'nope' .given as partition_by."),
        (("a",), "names the column 'a' of dtype float64"),
        (("y", "y"), "'y', which is named twice"),
        (("a/b",), "no folder name can be"),
        (("a=b",), "no folder name can be"),
        (("a?b",), "no folder name can be"),
        (("a\nb",), "no folder name can be"),
        (("_region",), "readers skip folders whose names begin with '_'"),
        ((".region",), "readers skip folders whose names begin with '.'"),
        (("n", "y"), "names every column, and none is left for the files"),
    ],
)
def test_columns_that_cannot_be_folders(columns, message, tmp_path):
    frame = numeric_frame()[["n", "y"] if "n" in columns else ["a", "y"]]
    source = write_files(frame, tmp_path / "in", 1)
    with pytest.raises(ValueError, match=message):
        run(job(source, tmp_path / "out", partition_by=columns))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "empty text"),
        (b"\xff", "bytes .*, which would come back as other text"),
        ("__HIVE_DEFAULT_PARTITION__", "which readers take for a missing value"),
        ("x" * 254, "'x{20}...' of 254 characters, .* name of 256 bytes: at most 255"),
        ("ü" * 50, "'ü{20}...' of 50 characters, .* name of 302 bytes"),
    ],
)
def test_values_that_name_no_folder(value, message):
    with pytest.raises(ValueError, match=f"'c' of partition_by holds .*{message}.*; replace it"):
        list(key_folders(pd.DataFrame({"c": ["a", value]}), ["c"]))


@pytest.mark.parametrize("fields", [{"mode": "synthetic"}, {"split": Split("c", ("a", "b"))}])
def test_a_table_without_rows_has_its_columns(fields, tmp_path):
    """No row, no folder by value: then the columns are in the file, and every reader sees them."""
    frame = pd.DataFrame({"x": np.arange(20.0), "c": list("ab") * 10, "y": [0, 1] * 10})
    source = write_files(frame, tmp_path / "in", 2)
    spec = job(source, tmp_path / "out", sampler="random", partition_by=("c", "y"), **fields)
    run(spec)
    empty = tmp_path / "out" / ("test" if "split" in fields else "")
    for table in (pd.read_parquet(empty), dd.read_parquet(empty).compute()):
        assert table.empty
        assert list(table) == ["x", "c", "y"]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=4), st.integers(-2, 2)), max_size=30))
def test_folders_hold_each_row_once_in_order(rows):
    frame = pd.DataFrame(rows, columns=["a", "b"]).astype({"b": "int64"})
    seen = []
    folders = []
    for folder, here in key_folders(frame, ["a", "b"]):
        folders.append(folder)
        assert list(here) == sorted(here)
        a, b = folder.rstrip("/").split("/")
        value = unquote(a.removeprefix("a="))
        for row in here:
            found = rows[row][0]
            assert (found, f"b={rows[row][1]}") == (value, b)
        seen += list(here)
    assert sorted(seen) == list(range(len(rows)))
    assert folders == sorted(set(folders))
