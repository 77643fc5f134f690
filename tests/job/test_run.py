"""Jobs on files, through the Python functions that the command line calls."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dask.dataframe as dd
import duckdb
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from distributed import Client, KilledWorker

from dsmote import SMOTE
from dsmote.job import JobFailed, JobSpec, plan_job, prepare, write_job
from dsmote.job.outputs import Outputs
from dsmote.job.parts import Layout, Part, write_part
from dsmote.job.sources import open_source
from dsmote.job.workers import Workers
from tests.job.conftest import beside

Hashes = Callable[[Path], dict[str, str]]


def job(source: Path, out: Path, **fields: object) -> JobSpec:
    fields = {"random_state": 0, **fields}
    return JobSpec(str(source), "y", output=str(out), **fields)


@pytest.fixture
def done(mixed: Path, tmp_path: Path, client: Client) -> tuple[Path, dict]:
    spec = job(mixed, tmp_path / "out", carry=("id", "note"))
    return tmp_path / "out", write_job(prepare(spec), client).manifest


def test_every_reader_takes_the_folder_as_one_table(done: tuple[Path, dict]) -> None:
    out, manifest = done
    counts = {0: 270, 1: 270}
    assert manifest["rows"] == {"before": 300, "new": 240, "after": 540}
    assert pd.read_parquet(out)["y"].value_counts().to_dict() == counts
    assert dd.read_parquet(out)["y"].value_counts().compute().to_dict() == counts
    table = pads.dataset(out).to_table()
    assert table.column("y").value_counts().to_pylist() == [
        {"values": 0, "counts": 270},
        {"values": 1, "counts": 270},
    ]
    query = f"select y, count(*) from read_parquet('{out}/*.parquet') group by y"
    assert dict(duckdb.sql(query).fetchall()) == counts


def test_every_part_has_one_schema(done: tuple[Path, dict]) -> None:
    out, manifest = done
    schemas = [pq.read_schema(out / part["file"]) for part in manifest["parts"]]
    assert len(schemas) >= 4
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)


def test_originals_come_first_and_unchanged(done: tuple[Path, dict], mixed: Path) -> None:
    out, _ = done
    before, after = pd.read_parquet(mixed), pd.read_parquet(out)
    assert str(after["id"].dtype) == "Int64"
    assert after.drop(columns="id").dtypes.to_dict() == before.drop(columns="id").dtypes.to_dict()
    originals = after.iloc[: len(before)]
    pd.testing.assert_frame_equal(originals.astype({"id": "int64"}), before)
    new = after.iloc[len(before) :]
    assert new[["id", "note"]].isna().all(axis=None)
    assert set(new["cat"]) <= {"a", "b", "c"}
    assert set(new["text"]) <= {"red", "green", "blue"}


def test_second_run_gives_identical_part_files(
    done: tuple[Path, dict], mixed: Path, tmp_path: Path, client: Client, hashes: Hashes
) -> None:
    again = job(mixed, tmp_path / "again", carry=("id", "note"))
    write_job(prepare(again), client)
    assert len(hashes(tmp_path / "again")) == 4
    assert hashes(tmp_path / "again") == hashes(done[0])


def test_manifest_tells_how_it_was_made(done: tuple[Path, dict], client: Client) -> None:
    out, manifest = done
    assert json.loads((out.parent / f".{out.name}.dsmote/manifest.json").read_text()) == manifest
    assert manifest["format_version"] == 1
    assert manifest["sampler"] == "SMOTENC"
    assert manifest["parameters"]["k_neighbors"] == 5
    assert isinstance(manifest["parameters"]["seed"], int)
    assert manifest["versions"]["pandas"] == pd.__version__
    assert {"dsmote", "dask", "python"} <= set(manifest["versions"])
    classes = [(c["label"], c["before"], c["after"]) for c in manifest["classes"]]
    assert classes == [(0, 270, 270), (1, 30, 270)]
    assert manifest["engine"]
    assert manifest["seconds"] > 0
    assert set(manifest["memory"]["peak_bytes"]) == set(client.nthreads())
    assert min(manifest["memory"]["peak_bytes"].values()) > 50e6
    assert manifest["memory"]["worker_bytes"] >= manifest["memory"]["task_bytes"] > 0
    for part in manifest["parts"]:
        assert part["bytes"] == os.path.getsize(out / part["file"])
        assert part["rows"] == pq.read_metadata(out / part["file"]).num_rows
    assert manifest["bytes"] == sum(part["bytes"] for part in manifest["parts"])
    assert sum(part["rows"] for part in manifest["parts"]) == 540


def test_seed_that_was_drawn_repeats_the_run(
    numeric: Path, tmp_path: Path, client: Client, hashes: Hashes
) -> None:
    first = write_job(prepare(job(numeric, tmp_path / "a", random_state=None)), client).manifest
    other = write_job(prepare(job(numeric, tmp_path / "b", random_state=None)), client).manifest
    assert first["parameters"]["random_state"] is None
    assert first["parameters"]["seed"] != other["parameters"]["seed"]
    assert hashes(tmp_path / "a") != hashes(tmp_path / "b")


def test_partitioning_of_the_input_does_not_change_the_rows(
    mixed: Path, tmp_path: Path, client: Client
) -> None:
    pd.read_parquet(mixed).to_parquet(tmp_path / "one.parquet", index=False)
    write_job(prepare(job(mixed, tmp_path / "a")), client)
    write_job(prepare(job(tmp_path / "one.parquet", tmp_path / "b")), client)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a"), pd.read_parquet(tmp_path / "b"))


def test_csv_in_parquet_out(numeric: Path, tmp_path: Path, client: Client) -> None:
    frame = pd.read_parquet(numeric)
    frame.to_csv(tmp_path / "in.csv", index=False)
    write_job(prepare(job(tmp_path / "in.csv", tmp_path / "out")), client)
    after = pd.read_parquet(tmp_path / "out")
    assert after["y"].value_counts().to_dict() == {"usual": 175, "rare": 175}
    pd.testing.assert_frame_equal(after.iloc[:200], pd.read_csv(tmp_path / "in.csv"))


def test_output_of_a_job_is_an_input(
    done: tuple[Path, dict], tmp_path: Path, client: Client
) -> None:
    spec = job(done[0], tmp_path / "more", carry=("id", "note"), sampling_strategy={"1": 300})
    write_job(prepare(spec), client)
    assert pd.read_parquet(tmp_path / "more")["y"].value_counts().to_dict() == {0: 270, 1: 300}


def test_balanced_table_is_copied(numeric: Path, tmp_path: Path, client: Client) -> None:
    write_job(prepare(job(numeric, tmp_path / "a")), client)
    manifest = write_job(prepare(job(tmp_path / "a", tmp_path / "b")), client).manifest
    assert manifest["rows"]["new"] == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a"), pd.read_parquet(tmp_path / "b"))


def test_file_without_rows_is_no_error(tmp_path: Path, client: Client) -> None:
    frame = pd.DataFrame({"x": np.arange(40.0), "y": [0, 0, 0, 1] * 10})
    (tmp_path / "in").mkdir()
    frame.iloc[:0].to_parquet(tmp_path / "in" / "0.parquet", index=False)
    frame.to_parquet(tmp_path / "in" / "1.parquet", index=False)
    write_job(prepare(job(tmp_path / "in", tmp_path / "out")), client)
    assert len(pd.read_parquet(tmp_path / "out")) == 60


def test_plan_writes_nothing(mixed: Path, tmp_path: Path, client: Client) -> None:
    plan = plan_job(prepare(JobSpec(str(mixed), "y", carry=("id", "note"))), client)
    assert plan.counts_after == {0: 270, 1: 270}
    assert sorted(os.listdir(tmp_path)) == ["mixed"]


def test_counts_are_verified_before_the_output_appears(
    numeric: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Outputs.make

    def plan_a_row_more(self: Outputs, folder: str) -> None:
        make(self, folder)
        self.counts = {"": {"rare": 176, "usual": 175}}

    monkeypatch.setattr(Outputs, "make", plan_a_row_more)
    with pytest.raises(JobFailed, match=r"not the rows planned .*'rare': \(175, 176\)"):
        write_job(prepare(job(numeric, tmp_path / "out")), client)
    assert sorted(os.listdir(tmp_path)) == ["numeric"]


def test_failing_task_leaves_nothing_and_keeps_the_old(
    numeric: Path, tmp_path: Path, client: Client, hashes: Hashes
) -> None:
    write_job(prepare(job(numeric, tmp_path / "out")), client)
    before = hashes(tmp_path / "out")
    data = bytearray((numeric / "1.parquet").read_bytes())
    data[4:600] = b"\xff" * 596
    (numeric / "1.parquet").write_bytes(bytes(data))
    again = prepare(job(numeric, tmp_path / "out", if_exists="replace", random_state=1))
    with pytest.raises(ValueError, match=r"1\.parquet is corrupt"):
        write_job(again, client)
    assert hashes(tmp_path / "out") == before
    assert beside(tmp_path) == ["numeric", "out"]


def test_dying_workers_are_explained(
    numeric: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object) -> list:
        raise KilledWorker(("part-1", 3), "tcp://127.0.0.1:1", 3)

    monkeypatch.setattr(Workers, "compute", die)
    with pytest.raises(JobFailed, match="ran out of memory: give each worker more"):
        write_job(prepare(job(numeric, tmp_path / "out")), client)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"carry": ("nope",)}, "no column 'nope' .given as carry. .*: a, b, n, y"),
        ({"categorical": ("nope",)}, "no column 'nope' .given as categorical. .*: a, b, n, y"),
    ],
)
def test_column_that_is_not_there(
    numeric: Path, tmp_path: Path, fields: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(job(numeric, tmp_path / "out", **fields))


def test_target_that_is_not_there(numeric: Path) -> None:
    with pytest.raises(ValueError, match=r"no column 'Y' .given as target. .*: a, b, n, y"):
        prepare(JobSpec(str(numeric), "Y"))


def test_part_that_does_not_fit_the_schema_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.5], "y": [0]})
    schema = pq.read_schema(_parquet(tmp_path, pd.DataFrame({"x": [1], "y": [0]})))
    with pytest.raises(ValueError, match=r"partition 3 does not fit the table's schema: .*x"):
        _write(frame, 3, tmp_path, schema)
    with pytest.raises(ValueError, match=r"partition 3 has the columns \['y', 'x'\]"):
        _write(frame[["y", "x"]], 3, tmp_path, schema)
    assert os.listdir(tmp_path) == ["in.parquet"]


def test_part_written_again_is_the_same_file(tmp_path: Path, hashes: Hashes) -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["u", "v"]), "y": [0, 1]})
    schema = open_source(str(_parquet(tmp_path, frame))).output_schema(frame.iloc[:0])
    (tmp_path / "out").mkdir()
    first = _write(frame, 0, tmp_path / "out", schema)
    before = hashes(tmp_path / "out")
    assert _write(frame, 0, tmp_path / "out", schema).bytes == first.bytes
    assert hashes(tmp_path / "out") == before
    assert first.counts == ((0, 1), (1, 1))


def test_task_of_a_cancelled_run_does_not_bring_its_folder_back(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.5], "y": [0]})
    schema = pq.read_schema(_parquet(tmp_path, frame))
    with pytest.raises(OSError, match="storage that all share"):
        _write(frame, 0, tmp_path / "gone", schema)
    assert os.listdir(tmp_path) == ["in.parquet"]


def _write(frame: pd.DataFrame, number: int, folder: Path, schema: pa.Schema) -> Part:
    return write_part(
        frame, number=number, folder=str(folder), file="part.parquet", layout=Layout(schema, "y")
    )


def _parquet(folder: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(folder / "in.parquet", index=False)
    return folder / "in.parquet"


def test_other_file_systems(numeric: Path) -> None:
    """In one process, where the memory file system is the same for all."""
    fs = fsspec.filesystem("memory")
    for file in numeric.iterdir():
        fs.pipe_file(f"/job-run/in/{file.name}", file.read_bytes())
    spec = JobSpec("memory://job-run/in", "y", output="memory://job-run/out", random_state=0)
    manifest = write_job(prepare(spec)).manifest
    with pytest.raises(FileExistsError, match="there already"):
        prepare(spec)
    with pytest.raises(ValueError, match="overlaps"):
        prepare(replace(spec, output="memory://job-run/in/out"))
    again = write_job(prepare(replace(spec, if_exists="replace"))).manifest
    assert again["parts"] == manifest["parts"]
    assert sorted(fs.find("/job-run")) == [
        "/job-run/.out.dsmote/manifest.json",
        "/job-run/in/0.parquet",
        "/job-run/in/1.parquet",
        "/job-run/out/_SUCCESS",
        *(f"/job-run/out/{part['file']}" for part in manifest["parts"]),
    ]
    counts = pd.read_parquet("memory://job-run/out")["y"].value_counts().to_dict()
    assert counts == {"usual": 175, "rare": 175}


def test_the_index_that_pandas_stored_is_carried(tmp_path: Path, client: Client) -> None:
    frame = pd.DataFrame(
        {"x": np.arange(60.0), "y": np.repeat([0, 1], [45, 15])},
        index=pd.Index(np.arange(60) * 1000, name="key"),
    )
    frame.to_parquet(tmp_path / "in.parquet")
    spec = JobSpec(str(tmp_path / "in.parquet"), "y", output=str(tmp_path / "out"), random_state=0)
    manifest = write_job(prepare(spec), client).manifest
    assert manifest["job"]["params"]["carry"] == ["key"]
    made = pd.read_parquet(tmp_path / "out")
    assert made["key"].tolist()[:60] == frame.index.tolist()
    assert made["key"].iloc[60:].isna().all()
    expected = SMOTE(random_state=0).resample(frame, target="y")
    assert made["x"].tolist() == expected["x"].tolist()


@pytest.mark.parametrize("path", ["", "  "])
def test_an_empty_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"output: must not be empty"):
        JobSpec("in.parquet", "y", output=path)
    with pytest.raises(ValueError, match=r"input: must not be empty"):
        JobSpec(path, "y")
