"""Columns in the names of folders: read as pyarrow reads them, and kept as folders."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from dsmote.job import JobSpec, plan_job, prepare, write_job
from dsmote.job.files import list_files
from dsmote.job.outputs import Outputs, unchanged
from dsmote.job.reading import Reading, mask
from dsmote.job.runner import Threads
from dsmote.job.sources import open_source
from dsmote.job.spec import Split
from dsmote.job.verification import verify
from tests.job.conftest import numeric_frame

YEARS, REGIONS = [2024, 2025, 2026], ["north", "so/uth"]


def table(rows=300):
    frame = numeric_frame(rows).astype({"y": str})
    rng = np.random.default_rng(1)
    return frame.assign(year=rng.choice(YEARS, rows), region=rng.choice(REGIONS, rows))


@pytest.fixture
def folder(tmp_path):
    table().to_parquet(tmp_path / "in", partition_cols=["year", "region"], index=False)
    for name in ("_metadata", "_common_metadata", ".hidden.parquet"):
        (tmp_path / "in" / name).write_text("no table")
    return tmp_path / "in"


def run(source, out, **fields):
    spec = JobSpec(str(source), "y", output=str(out), **{"random_state": 0, **fields})
    manifest = write_job(prepare(spec)).manifest
    failed = [check for check in verify(str(out)).checks if check.passed is False]
    assert not failed
    return manifest


def read(out, **how):
    return pads.dataset(out, partitioning=pads.partitioning(flavor="hive", **how)).to_table()


def by_all(frame):
    frame = frame[sorted(frame)].astype({"region": str, "year": int})
    return frame.sort_values(list(frame), ignore_index=True)


VALUES = {
    "whole": ["1", "-2", "03"],
    "large": ["1", "3000000000"],
    "text": ["a b", "c%2Fd", "ü"],
    "fraction": ["1.5", "2"],
    "missing": ["7", "__HIVE_DEFAULT_PARTITION__"],
    "missing text": ["x", "__HIVE_DEFAULT_PARTITION__"],
    "date": ["2026-01-01", "2026-01-02"],
}


@pytest.mark.parametrize("kind", VALUES)
def test_types_and_values_are_those_of_pyarrow(kind, tmp_path):
    for number, value in enumerate(VALUES[kind]):
        (tmp_path / f"k={value}").mkdir()
        pq.write_table(pa.table({"x": [float(number)]}), tmp_path / f"k={value}" / "a.parquet")
    want = pads.dataset(tmp_path, partitioning="hive").to_table()
    source = open_source(str(tmp_path))
    assert source.schema.field("k").type == want.schema.field("k").type
    got = source.frame().compute()
    assert list(got) == want.column_names
    pairs = zip(got["x"], got["k"].astype(object).where(got["k"].notna(), None), strict=True)
    assert dict(pairs) == dict(zip(*want.to_pydict().values(), strict=True))


@pytest.mark.parametrize(
    ("name", "value", "dtype"),
    [("string", "2026", "str"), ("int64", 2026, "int64"), ("category", "2026", "category")],
)
def test_types_that_are_given(name, value, dtype, folder):
    source = open_source(str(folder), reading=Reading({"year": name}))
    frame = source.frame().compute()
    assert frame["year"].dtype == dtype
    assert (frame["year"] == value).any()


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"region": "int64"}, "'region' is int64, and a folder's name is not"),
        ({"month": "int64"}, r"names 'month', which no folder names; there are year, region"),
        ({"year": "number"}, "has the type 'number': give one that pyarrow knows"),
    ],
)
def test_types_that_cannot_be(types, message, folder):
    with pytest.raises(ValueError, match=message):
        open_source(str(folder), reading=Reading(types))


def test_csv_is_refused_and_not_read_without_its_folders(tmp_path):
    (tmp_path / "k=1").mkdir()
    (tmp_path / "k=1" / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match="is CSV: columns in the names of folders, and filters"):
        open_source(str(tmp_path))
    with pytest.raises(ValueError, match="is CSV: columns in the names of folders, and filters"):
        open_source(str(tmp_path / "k=1"), reading=Reading(filters=((("x", ">", 0),),)))


def test_a_column_in_folders_and_in_files_is_refused(tmp_path):
    (tmp_path / "y=1").mkdir()
    pq.write_table(pa.table({"y": [2]}), tmp_path / "y=1" / "a.parquet")
    with pytest.raises(ValueError, match="holds the column 'y', which is in the names of its fold"):
        open_source(str(tmp_path))


def test_the_output_keeps_the_layout_and_new_rows_lie_with_their_base_rows(folder, tmp_path):
    run(folder, tmp_path / "out", carry=("year", "region"), provenance="full")
    assert {
        p.parent.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.parq*")
    } == {p.parent.relative_to(folder) for p in folder.glob("*/*/*.parquet")}
    got = read(tmp_path / "out").to_pandas()
    originals = got[~got["synthetic"]]
    assert len(got) > len(originals)
    pd.testing.assert_frame_equal(
        by_all(originals[list(table())]), by_all(table()), check_dtype=False
    )
    new, flat = got[got["synthetic"]], open_source(str(folder)).frame().compute()
    base = flat.iloc[new["base_row"].to_numpy(int)]
    for name in ("year", "region"):
        assert list(new[name]) == list(base[name])
    assert new["year"].nunique() > 1


@pytest.mark.parametrize("columns", ["none", ["region"]])
def test_another_layout(columns, folder, tmp_path):
    manifest = run(folder, tmp_path / "out", partition_by=columns, sampler="random")
    inside = {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()}
    assert inside == (set() if columns == "none" else {"region=north", "region=so%2Futh"})
    assert manifest["job"].get("partition_by") == (None if columns == "none" else columns)
    got = read(tmp_path / "out").to_pandas()
    assert set(got) == set(table())
    assert set(got["year"]) == set(YEARS)


def test_folders_as_feature_target_and_split(folder, tmp_path):
    run(folder, tmp_path / "feature", sampler="smotenc", carry=("year",))
    assert {*read(tmp_path / "feature").to_pandas()["region"]} == {*REGIONS}
    fields = {"carry": ("y",), "sampling_strategy": "not majority"}
    spec = JobSpec(
        *(str(folder), "region"),
        output=str(tmp_path / "target"),
        split=Split("year", (2024, 2025)),
        random_state=0,
        **fields,
    )
    write_job(prepare(spec))
    assert {p.name for p in (tmp_path / "target/test").iterdir()} == {"year=2026"}
    trained = read(tmp_path / "target/train").to_pandas()
    assert set(trained["year"]) == {2024, 2025}
    assert trained["region"].value_counts().nunique() == 1
    assert not [check for check in verify(str(tmp_path / "target")).checks if check.passed is False]


FILTERS = {
    "folder": [("year", ">=", 2025)],
    "both": [("year", "!=", 2025), ("a", ">", 0.1)],
    "file": [("a", "<", 0.0)],
    "either": [[("year", "=", 2024), ("region", "in", ["north"])], [("a", ">", 1.0)]],
    "not in": [("region", "not in", ["north"])],
}


@pytest.mark.parametrize("kind", FILTERS)
def test_filters_keep_the_rows_that_pyarrow_keeps(kind, folder, tmp_path):
    want = pq.read_table(
        folder, filters=FILTERS[kind], partitioning=pads.partitioning(flavor="hive")
    )
    source = JobSpec(str(folder), "y", filters=FILTERS[kind])
    got = open_source(source.input, reading=source.reading).frame().compute()
    assert 0 < len(got) < 300
    pd.testing.assert_frame_equal(by_all(got), by_all(want.to_pandas()), check_dtype=False)
    run(folder, tmp_path / "out", filters=FILTERS[kind], sampler="random")


def test_filtered_rows_are_counted_for_a_shuffle(folder, tmp_path):
    manifest = run(
        folder, tmp_path / "out", filters=FILTERS["both"], sampler="random", shuffle=True
    )
    kept = open_source(str(folder), reading=Reading(filters=(tuple(FILTERS["both"]),)))
    assert manifest["rows"]["before"] == len(kept.frame())
    assert read(tmp_path / "out").to_pandas()["a"].min() > 0.1


def test_memory_is_that_of_the_rows_before_the_filters(folder):
    """A partition is read whole before rows are left out."""
    job = JobSpec(str(folder), "y", filters=[("a", ">", 0.5)], sampler="random", random_state=0)
    whole, few = plan_job(prepare(replace(job, filters=[]))), plan_job(prepare(job))
    assert few.n_before < whole.n_before / 2
    outputs = Outputs(job, prepare(job).source, Threads())
    rows = open_source(str(folder)).partition_rows
    assert outputs.sampler._partition_rows == max(rows)


def test_files_that_filters_leave_out_are_not_opened(folder):
    for file in folder.glob("year=2024/*/*.parquet"):
        file.write_text("no table")
    reading = Reading(filters=((("year", ">", 2024), ("a", ">", 0.0)),))
    assert len(list_files(str(folder), reading=reading).files) == 4
    assert open_source(str(folder), reading=reading).frame().compute()["a"].min() > 0
    with pytest.raises(ValueError, match="keep none of the 6 files"):
        list_files(str(folder), reading=Reading(filters=((("year", ">", 2030),),)))


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([("nope", "=", 1)], "filters names column 'nope', which is not in the input"),
        ([("a", ">", "b")], "compares column 'a', which is double, with 'b'"),
        ([("year", ">", "b")], "compares column 'year', which is int32, with 'b'"),
        ([("a", "~", 1)], "filters"),
        ("a > 1", "filters"),
    ],
)
def test_filters_that_cannot_be(filters, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(folder, tmp_path / "out", filters=filters)


def test_a_date_is_compared_as_a_date():
    days = pa.table({"d": pd.to_datetime(["2026-01-01", "2026-02-01"])})
    assert mask(days, ((("d", ">", "2026-01-15"),),)).to_pylist() == [False, True]


def test_skip_knows_the_filters(folder, tmp_path):
    fields = {"sampler": "random", "if_exists": "skip", "filters": FILTERS["folder"]}
    first = run(folder, tmp_path / "out", **fields)
    spec = JobSpec(str(folder), "y", output=str(tmp_path / "out"), random_state=0, **fields)
    assert unchanged(spec) and write_job(prepare(spec)).skipped
    assert unchanged(replace(spec, filters=FILTERS["file"])) is None
    assert json.loads(json.dumps(first["job"]["filters"])) == [[["year", ">=", 2025]]]


def test_command_line(folder, tmp_path, client):
    from click.testing import CliRunner

    from dsmote.cli import main

    asked = [
        "--filter",
        "[year, '>=', '2025']",
        "--filter",
        "[a, '>', 0]",
        "--param",
        "carry=[region]",
    ]
    asked += ["--partition-types", "{year: string}", "--partition-by", "region"]
    out = str(tmp_path / "out")
    result = CliRunner().invoke(main, ["resample", str(folder), out, "--target", "y", *asked])
    assert result.exit_code == 0, result.output
    got = read(tmp_path / "out").to_pandas()
    assert {*got["year"]} == {"2025", "2026"}
    assert got["a"].min() > 0
