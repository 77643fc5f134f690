"""What a job reads and writes, through the Python functions that the command line calls."""

import json
import os
from functools import wraps
from pathlib import Path

import dask.dataframe as dd
import duckdb
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from dsmote import SMOTE
from dsmote.job import JobFailed, JobSpec, plan_job, prepare, shuffle, write_job
from dsmote.job import sources as sources_module
from dsmote.job.files import list_files
from dsmote.job.outputs import Outputs
from dsmote.job.spec import Split
from tests.job.conftest import beside, mixed_frame, write_files


def job(source, out, **fields):
    return JobSpec(str(source), "y", output=str(out), **{"random_state": 0, **fields})


def run(source, out, client=None, **fields):
    return write_job(prepare(job(source, out, **fields)), client).manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("done")


@pytest.fixture(scope="module")
def done(folder, shared_client):
    """The manifest of a job on workers, from in/ to out/."""
    source = write_files(mixed_frame(), folder / "in", 3)
    with shared_client.as_current():
        return run(source, folder / "out", shared_client, carry=("id", "note"))


def test_originals_come_first_and_unchanged(done, folder):
    before, after = pd.read_parquet(folder / "in"), pd.read_parquet(folder / "out")
    assert str(after["id"].dtype) == "Int64"
    assert after.drop(columns="id").dtypes.to_dict() == before.drop(columns="id").dtypes.to_dict()
    originals = after.iloc[: len(before)]
    pd.testing.assert_frame_equal(originals.astype({"id": "int64"}), before)
    new = after.iloc[len(before) :]
    assert new[["id", "note"]].isna().all(axis=None)
    assert set(new["cat"]) <= {"a", "b", "c"}
    assert set(new["text"]) <= {"red", "green", "blue"}
    schemas = [pq.read_schema(folder / "out" / part["file"]) for part in done["parts"]]
    assert len(schemas) >= 4
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)


def test_manifest_tells_how_it_was_made(done, folder, shared_client):
    assert json.loads((folder / ".out.dsmote/manifest.json").read_text()) == done
    assert done["format_version"] == 1
    assert done["sampler"] == "SMOTENC"
    assert done["parameters"]["k_neighbors"] == 5
    assert isinstance(done["parameters"]["seed"], int)
    assert done["versions"]["pandas"] == pd.__version__
    assert {"dsmote", "dask", "python"} <= set(done["versions"])
    assert done["rows"] == {"before": 300, "new": 240, "after": 540}
    classes = [(c["label"], c["before"], c["after"]) for c in done["classes"]]
    assert classes == [(0, 270, 270), (1, 30, 270)]
    assert done["engine"]
    assert done["seconds"] > 0
    assert set(done["memory"]["peak_bytes"]) == set(shared_client.nthreads())
    assert min(done["memory"]["peak_bytes"].values()) > 50e6
    assert done["memory"]["worker_bytes"] >= done["memory"]["task_bytes"] > 0
    for part in done["parts"]:
        assert part["bytes"] == os.path.getsize(folder / "out" / part["file"])
        assert part["rows"] == pq.read_metadata(folder / "out" / part["file"]).num_rows
    assert done["bytes"] == sum(part["bytes"] for part in done["parts"])
    assert sum(part["rows"] for part in done["parts"]) == 540


LAYOUTS = {
    "plain": {},
    "report": {"report": True},
    "synthetic": {"mode": "synthetic"},
    "folders": {"partition_by": ("y",)},
    "split": {"split": Split(test_fraction=0.2, seed=0)},
}

READERS = {
    "pandas": pd.read_parquet,
    "pyarrow": lambda out: pads.dataset(out, partitioning="hive").to_table().to_pandas(),
    "dask": lambda out: dd.read_parquet(out).compute(),
    "duckdb": lambda out: duckdb.sql(f"from '{out}/**/*.parquet'").df(),
    "polars": lambda out: pl.read_parquet(out).to_pandas(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_reader_takes_the_folder_as_one_table(layout, numeric, tmp_path):
    """Called without any option; Spark reads all files but for those with _ or . in front."""
    run(numeric, tmp_path / "out", **LAYOUTS[layout])
    written = tmp_path / ("out/train" if layout == "split" else "out")
    rows = sum(pads.dataset(file).count_rows() for file in written.rglob("*.parquet"))
    for name, read in READERS.items():
        table = read(written)
        assert (len(table), set(table.columns)) == (rows, {"a", "b", "n", "y"}), name
        assert set(table["y"].astype(str)) <= {"rare", "usual"}, name
        assert table["a"].notna().all(), name
    files = [file.relative_to(written) for file in written.rglob("*") if file.is_file()]
    hidden = [file for file in files if any(part.startswith(("_", ".")) for part in file.parts)]
    assert hidden == [file for file in files if file.suffix != ".parquet"]
    assert [str(file) for file in hidden] == ["_SUCCESS"] * (layout != "split")
    # Polars skips empty files.
    assert all((written / file).stat().st_size == 0 for file in hidden)


FOLD = Split("fold", ("train",))
FRACTION = Split(test_fraction=0.3, stratify=True)


@pytest.mark.parametrize("mode", ["full", "synthetic"])
@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({}, [5, 5]),
        ({"sampler": "random"}, [5, 5]),
        ({"sampler": "borderline", "carry": ("fold",)}, [5, 5, 5]),
        ({"split": FOLD}, [2, 5, 5]),
        ({"split": FRACTION}, [1, 5, 5]),
        ({"partition_by": ("fold", "y")}, [2, 5, 5]),
        ({"partition_by": ("y",)}, [5, 5]),  # the classes are counted anyway
        ({"sampler": "random-under"}, [1, 5]),
        ({"sampler": "random-under", "split": FOLD}, [2, 2, 5]),
        ({"sampler": "random-under", "split": FRACTION}, [1, 1, 5]),
    ],
    ids=str,
)
def test_columns_that_each_pass_reads(fields, passes, mode, tmp_path, monkeypatch):
    """As many as the plan says, and no column that a pass does not need."""
    seen = []
    read = sources_module.read_pieces

    @wraps(read)
    def counted(pieces, columns=None, **how):
        seen.append(len(how["schema"] if columns is None else columns))
        return read(pieces, columns, **how)

    monkeypatch.setattr(sources_module, "read_pieces", counted)
    if mode == "synthetic" and fields.get("sampler") == "random-under":
        return  # it makes no new rows
    frame = mixed_frame()[["x", "f32", "i16", "y"]]
    frame["fold"] = np.where(frame.index % 3 == 0, "test", "train")
    source = write_files(frame, tmp_path / "in", 1)
    plan = plan_job(prepare(job(source, tmp_path / "out", mode=mode, **fields)))
    seen.clear()
    run(source, tmp_path / "out", mode=mode, **fields)
    if mode == "synthetic" and "fold" in fields.get("partition_by", ()):
        passes = passes[1:]  # the values of new rows come later
    assert sorted(seen) == sorted(passes)
    if plan.direction == "over-sampling":
        assert len(plan.passes) == len(passes)


@pytest.mark.parametrize("split", [None, FOLD, FRACTION], ids=["no split", "column", "fraction"])
def test_synthetic_mode_writes_the_new_rows_of_the_full_table(split, tmp_path):
    frame = mixed_frame()
    frame["fold"] = np.where(frame.index % 3 == 0, "test", "train")
    source = write_files(frame, tmp_path / "in", 3)
    carry = ("id", "note") if split == FOLD else ("id", "note", "fold")
    fields = {"carry": carry, "params": {"provenance": "flag"}, "split": split}
    full = run(source, tmp_path / "full", **fields)
    only = run(source, tmp_path / "only", mode="synthetic", **fields)
    inside = "train" if split else "."
    every = pd.read_parquet(tmp_path / "full" / inside)
    made = pd.read_parquet(tmp_path / "only" / inside)
    expected = every[every["synthetic"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(made, expected)
    assert only["rows"] == full["rows"]
    assert only["folders"][inside]["rows"] == len(made) == full["rows"]["new"] > 150
    assert (tmp_path / "full/test").is_dir() == (split is not None)
    assert not (tmp_path / "only/test").exists()


def test_nothing_to_make_is_a_table_without_rows(tmp_path):
    frame = pd.DataFrame({"x": np.arange(20.0), "c": list("ab") * 10, "y": [0, 1] * 10})
    source = write_files(frame, tmp_path / "in", 2)
    manifest = run(source, tmp_path / "out", mode="synthetic")
    made = pd.read_parquet(tmp_path / "out")
    assert made.empty
    assert made.dtypes.to_dict() == frame.dtypes.to_dict()
    assert manifest["rows"] == {"before": 20, "new": 0, "after": 20}


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "lz4", "brotli", "none"])
def test_compression_and_row_groups(compression, numeric, tmp_path):
    manifest = run(numeric, tmp_path / "out", compression=compression, row_group_rows=40)
    found = set()
    for part in manifest["parts"]:
        metadata = pq.ParquetFile(tmp_path / "out" / part["file"]).metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        rows = [group.num_rows for group in groups]
        assert rows[:-1] == [40] * (len(rows) - 1)
        assert 0 < rows[-1] <= 40
        found |= {group.column(i).compression for group in groups for i in range(4)}
    assert found == {"UNCOMPRESSED" if compression == "none" else compression.upper()}
    assert len(pd.read_parquet(tmp_path / "out")) == 350


def test_files_have_one_order_whatever_their_names(tmp_path):
    """Two whose names have the same numbers, too: else the rows would be others in each process."""
    names = [f"{'0' * zeros}{n}.parquet" for n in (2, 10) for zeros in range(8, -1, -1)]
    for name in names:
        (tmp_path / name).touch()
    assert [Path(file).name for file in list_files(str(tmp_path)).files] == names


@pytest.mark.parametrize("role", ["target", "carry", "categorical"])
def test_column_that_is_not_there(role, numeric):
    fields = {"target": "y", role: "nope" if role == "target" else ("nope",)}
    with pytest.raises(ValueError, match=rf"no column 'nope' .given as {role}. .*: a, b, n, y"):
        prepare(JobSpec(str(numeric), **fields))


def test_the_index_that_pandas_stored_is_carried(tmp_path):
    frame = pd.DataFrame(
        {"x": np.arange(60.0), "y": np.repeat([0, 1], [45, 15])},
        index=pd.Index(np.arange(60) * 1000, name="key"),
    )
    frame.to_parquet(tmp_path / "in.parquet")
    manifest = run(tmp_path / "in.parquet", tmp_path / "out")
    assert manifest["job"]["params"]["carry"] == ["key"]
    made = pd.read_parquet(tmp_path / "out")
    assert made["key"].tolist()[:60] == frame.index.tolist()
    assert made["key"].iloc[60:].isna().all()
    expected = SMOTE(random_state=0).resample(frame, target="y")
    assert made["x"].tolist() == expected["x"].tolist()


def test_counts_are_verified_before_the_output_appears(numeric, tmp_path, monkeypatch):
    make = Outputs.make

    def plan_a_row_more(self, folder):
        make(self, folder)
        self.counts = {"": {"rare": 176, "usual": 175}}

    monkeypatch.setattr(Outputs, "make", plan_a_row_more)
    with pytest.raises(JobFailed, match=r"not the rows planned .*'rare': \(175, 176\)"):
        run(numeric, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["numeric"]


@pytest.mark.parametrize("on_workers", [False, True])
def test_failing_task_leaves_nothing_and_keeps_the_old(
    on_workers, numeric, tmp_path, client, hashes
):
    run(numeric, tmp_path / "out")
    before = hashes(tmp_path / "out")
    data = bytearray((numeric / "1.parquet").read_bytes())
    data[4:600] = b"\xff" * 596
    (numeric / "1.parquet").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"1\.parquet is corrupt"):
        run(
            numeric,
            tmp_path / "out",
            client if on_workers else None,
            if_exists="replace",
            random_state=1,
        )
    assert hashes(tmp_path / "out") == before
    assert beside(tmp_path) == ["numeric", "out"]


def test_object_stores_get_the_same_files(tmp_path, monkeypatch):
    """In one process, where the memory file system is the same for all."""
    monkeypatch.setattr(shuffle, "PART_ROWS", 100)
    fs = fsspec.filesystem("memory")
    frame = mixed_frame(600)[["x", "f32", "i16", "text", "y"]]
    source = write_files(frame, tmp_path / "in", 3)
    for file in source.iterdir():
        fs.pipe_file(f"/job-run/in/{file.name}", file.read_bytes())
    split = Split(test_fraction=0.25, stratify=True)
    fields = {"split": split, "shuffle": True, "partition_by": ("text",)}
    local = run(source, tmp_path / "out", **fields)
    remote = [
        run("memory://job-run/in", "memory://job-run/out", if_exists=if_exists, **fields)
        for if_exists in ("error", "replace")
    ]
    assert len(local["parts"]) > 6
    assert remote[0]["parts"] == remote[1]["parts"]
    for part, same in zip(remote[1]["parts"], local["parts"], strict=True):
        data = fs.cat_file(f"/job-run/out/{part['file']}")
        assert data == (tmp_path / "out" / same["file"]).read_bytes()
    left = {str(name).split("/job-run/")[1] for name in fs.find("/job-run")}
    assert {name for name in left if not name.startswith(("out/", "in/"))} == {
        ".out.dsmote/manifest.json"
    }
