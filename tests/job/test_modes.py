"""What is written: everything, or the new rows only; and how often the input is read for it."""

from collections import Counter
from functools import wraps
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from distributed import Client

from dsmote.job import JobSpec, Progress, plan_job, prepare, shuffle, write_job
from dsmote.job import sources as sources_module
from dsmote.job.spec import Split
from tests.job.conftest import beside, mixed_frame, write_files


def job(source: Path, out: Path, **fields: Any) -> JobSpec:
    return JobSpec(str(source), "y", output=str(out), **{"random_state": 0, **fields})


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Files and numbers of columns, as they are read in this process."""
    read, seen = sources_module.read_pieces, []

    @wraps(read)
    def counted(pieces: Any, columns: Any = None, **how: Any) -> Any:
        names = len(how["schema"] if columns is None else columns)
        seen.extend((piece.file, names) for piece in pieces)
        return read(pieces, columns, **how)

    monkeypatch.setattr(sources_module, "read_pieces", counted)
    return seen


def test_synthetic_mode_writes_the_new_rows_of_the_full_table(
    mixed: Path, tmp_path: Path, client: Client
) -> None:
    full, only = tmp_path / "full", tmp_path / "only"
    fields = {"carry": ("id", "note"), "params": {"provenance": "flag"}}
    write_job(prepare(job(mixed, full, **fields)), client)
    manifest = write_job(prepare(job(mixed, only, mode="synthetic", **fields)), client).manifest
    every, made = pd.read_parquet(full), pd.read_parquet(only)
    assert made["synthetic"].all()
    assert len(made) == 240
    expected = every[every["synthetic"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(made, expected)
    assert manifest["rows"] == {"before": 300, "new": 240, "after": 540}
    assert manifest["folders"]["."]["rows"] == 240
    assert sum(part["rows"] for part in manifest["parts"]) == 240
    # Beside the input the new rows make the balanced table.
    both = pd.concat([pd.read_parquet(mixed), made])
    assert both["y"].value_counts().tolist() == [270, 270]


@pytest.mark.parametrize("sampler", ["smote", "borderline", "random"])
def test_the_input_is_read_as_often_as_the_plan_says(
    sampler: str, tmp_path: Path, reads: list[tuple[str, int]]
) -> None:
    columns = ["x", "f32", "i16", "y"]
    source = write_files(mixed_frame()[columns], tmp_path / "in", 3)
    plan = plan_job(prepare(JobSpec(str(source), "y", sampler=sampler)))
    assert len(reads) == 3
    for mode in ("full", "synthetic"):
        reads.clear()
        spec = job(source, tmp_path / mode, mode=mode, sampler=sampler)
        write_job(prepare(spec))
        assert set(Counter(file for file, _ in reads).values()) == {len(plan.passes)}


@pytest.mark.parametrize(
    "split", [Split("fold", ("train",)), Split(test_fraction=0.3, stratify=True)]
)
def test_a_split_reads_two_columns_once_and_then_as_often_as_without(
    split: Split, tmp_path: Path, reads: list[tuple[str, int]]
) -> None:
    frame = mixed_frame()[["x", "f32", "i16", "y"]]
    frame["fold"] = np.where(frame.index % 3 == 0, "test", "train")
    source = write_files(frame, tmp_path / "in", 3)
    carry = () if split.column else ("fold",)
    for mode in ("full", "synthetic"):
        reads.clear()
        spec = job(source, tmp_path / mode, split=split, mode=mode, carry=carry)
        write_job(prepare(spec))
        assert Counter(n for _, n in reads) == {2 if split.column else 1: 3, 5: 6}
    assert (tmp_path / "full/test").is_dir()
    assert sorted(p.name for p in (tmp_path / "synthetic").iterdir()) == [
        "_SUCCESS",
        "train",
    ]
    made = pd.read_parquet(tmp_path / "full/train")
    new = made.iloc[len(made) - len(pd.read_parquet(tmp_path / "synthetic/train")) :]
    only = pd.read_parquet(tmp_path / "synthetic/train")
    pd.testing.assert_frame_equal(new.reset_index(drop=True), only)


@pytest.mark.parametrize(
    ("split", "passes"),
    [
        (None, [1, 6]),
        (Split("fold", ("train",)), [2, 2, 6]),
        (Split(test_fraction=0.3), [1, 1, 6]),
    ],
    ids=["no split", "column", "fraction"],
)
def test_an_under_sampler_counts_by_two_columns_at_most(
    split: Split | None,
    passes: list[int],
    tmp_path: Path,
    reads: list[tuple[str, int]],
) -> None:
    frame = mixed_frame()[["x", "f32", "i16", "text", "y"]]
    frame["fold"] = np.where(frame.index % 3 == 0, "test", "train")
    source = write_files(frame, tmp_path / "in", 1)
    write_job(prepare(job(source, tmp_path / "out", sampler="random-under", split=split)))
    assert sorted(n for _, n in reads) == passes


def test_folders_by_value_cost_a_pass_over_their_columns(
    tmp_path: Path, reads: list[tuple[str, int]]
) -> None:
    source = write_files(mixed_frame()[["x", "f32", "i16", "text", "y"]], tmp_path / "in", 1)
    plan = plan_job(prepare(JobSpec(str(source), "y", partition_by=("text", "y"))))
    assert plan.passes[0] == "looking at the columns of partition_by"
    assert [n for _, n in reads] == [2, 5]
    for fields in ({"partition_by": ("y",)}, {"partition_by": ("text",), "mode": "synthetic"}):
        reads.clear()
        plan_job(prepare(JobSpec(str(source), "y", **fields)))
        assert [n for _, n in reads] == [5]


def test_object_stores_get_the_same_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, where the memory file system is the same for all."""
    monkeypatch.setattr(shuffle, "PART_ROWS", 100)
    fs = fsspec.filesystem("memory")
    frame = mixed_frame(600)[["x", "f32", "i16", "text", "y"]]
    source = write_files(frame, tmp_path / "in", 3)
    fields = {
        "sampler": "smotenc",
        "split": Split(test_fraction=0.25, stratify=True),
        "shuffle": True,
        "partition_by": ("text",),
    }
    local = write_job(prepare(job(source, tmp_path / "out", **fields))).manifest
    spec = JobSpec(str(source), "y", output="memory://job-modes/out", random_state=0, **fields)
    remote = write_job(prepare(spec)).manifest
    assert remote["folders"] == local["folders"]
    for side in ("train", "test"):
        there = [part["file"] for part in remote["parts"] if part["file"].startswith(side)]
        here = [part["file"] for part in local["parts"] if part["file"].startswith(side)]
        assert len(there) == len(here) > 3
        for file, same in zip(there, here, strict=True):
            data = fs.cat_file(f"/job-modes/out/{file}")
            assert data == (tmp_path / "out" / same).read_bytes()
    left = {str(name).split("/job-modes/")[1].split("/")[0] for name in fs.find("/job-modes")}
    assert left == {".out.dsmote", "out"}


class Dies(Progress):
    """Ends the run when so many parts are written."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, partitions: int, rows: int) -> None:
        self.left -= partitions
        if self.left <= 0:
            raise InterruptedError("it died")


@pytest.mark.parametrize(
    "fields",
    [
        {"split": Split(test_fraction=0.25, stratify=True)},
        {"split": Split(test_fraction=0.25), "shuffle": True},
        {"partition_by": ("y", "text")},
        {"mode": "synthetic", "shuffle": True, "compression": "zstd"},
    ],
    ids=lambda fields: " ".join(fields),
)
def test_what_is_gone_on_with_has_the_same_bytes(
    fields: dict, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffle, "PART_ROWS", 100)
    frame = mixed_frame(600)[["x", "f32", "i16", "text", "y"]]
    source = write_files(frame, tmp_path / "in", 3)
    write_job(prepare(job(source, tmp_path / "undisturbed", **fields)), client)
    spec = job(source, tmp_path / "out", resume=True, **fields)
    with pytest.raises(InterruptedError):
        write_job(prepare(spec), client, Dies(after=2))
    assert not (tmp_path / "out").exists()
    write_job(prepare(spec), client)
    found = [
        {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.parquet")}
        for out in (tmp_path / "out", tmp_path / "undisturbed")
    ]
    assert len(found[0]) > 3
    assert found[0] == found[1]
    assert beside(tmp_path) == ["in", "out", "undisturbed"]


def test_nothing_to_make_is_a_table_without_rows(tmp_path: Path, client: Client) -> None:
    frame = pd.DataFrame({"x": np.arange(20.0), "c": list("ab") * 10, "y": [0, 1] * 10})
    source = write_files(frame, tmp_path / "in", 2)
    manifest = write_job(prepare(job(source, tmp_path / "out", mode="synthetic")), client).manifest
    made = pd.read_parquet(tmp_path / "out")
    assert made.empty
    assert made.dtypes.to_dict() == frame.dtypes.to_dict()
    assert manifest["rows"] == {"before": 20, "new": 0, "after": 20}


def test_under_sampling_makes_no_new_rows(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'synthetic' writes the new rows only, and RandomUnder"):
        job(mixed, tmp_path / "out", sampler="random-under", mode="synthetic")


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "lz4", "brotli", "none"])
def test_compression(compression: str, numeric: Path, tmp_path: Path, client: Client) -> None:
    spec = job(numeric, tmp_path / "out", compression=compression)
    manifest = write_job(prepare(spec), client).manifest
    found = set()
    for part in manifest["parts"]:
        group = pq.ParquetFile(tmp_path / "out" / part["file"]).metadata.row_group(0)
        found |= {group.column(i).compression for i in range(group.num_columns)}
    assert found == {"UNCOMPRESSED" if compression == "none" else compression.upper()}
    assert len(pd.read_parquet(tmp_path / "out")) == 350


def test_row_groups(numeric: Path, tmp_path: Path, client: Client) -> None:
    manifest = write_job(
        prepare(job(numeric, tmp_path / "out", row_group_rows=40)), client
    ).manifest
    for part in manifest["parts"]:
        metadata = pq.ParquetFile(tmp_path / "out" / part["file"]).metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert rows[:-1] == [40] * (len(rows) - 1)
        assert 0 < rows[-1] <= 40


@pytest.mark.parametrize("rows", [0, 2**31])
def test_row_groups_that_cannot_be(rows: int, numeric: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"row_group_rows: must be .* equal to (1|2147483647)"):
        job(numeric, tmp_path / "out", row_group_rows=rows)
