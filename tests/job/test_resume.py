"""A run that died goes on from its finished part files, with the same bytes."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client

from dsmote.job import JobSpec, prepare, write_job
from dsmote.job import run as run_module
from dsmote.job.files import open_fs
from dsmote.job.parts import Part
from dsmote.job.spec import Split
from dsmote.job.storage import Output, Stage, content_mark
from tests.job.conftest import beside, numeric_frame, write_files
from tests.job.dead import die

Hashes = Callable[[Path], dict[str, str]]
FILES = 8


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing is put in order after it."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_files(numeric_frame(400), tmp_path / "table", FILES)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch, client: Client) -> Callable[..., None]:
    """Run a job and kill it when so many parts are written."""

    def kill(spec: JobSpec, parts: int = 4) -> None:
        with monkeypatch.context() as patch:
            written: list[Part] = []
            original = run_module._note

            def note(progress: object, peaks: dict, part: Part) -> None:
                original(progress, peaks, part)
                written.append(part)
                if len(written) == parts:
                    raise Killed

            patch.setattr(run_module, "_note", note)
            patch.setattr(Output, "release", die)
            patch.setattr(Stage, "discard", lambda self: None)
            with pytest.raises(Killed):
                write_job(prepare(spec), client)
        # Tasks that were at work when the client died write their part all the same.
        deadline, idle = time.monotonic() + 30, 0
        while idle < 3:  # between two tasks, none is executing for a moment
            assert time.monotonic() < deadline
            time.sleep(0.05)
            busy = client.run(
                lambda dask_worker: dask_worker.state.executing_count + len(dask_worker.state.ready)
            )
            idle = 0 if any(busy.values()) else idle + 1

    return kill


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the parts that were not written again."""
    found: list[int] = []
    original = run_module.parts_of

    def spy(*args: object) -> dict[int, Part]:
        parts = original(*args)
        found.extend(parts)
        return parts

    monkeypatch.setattr(run_module, "parts_of", spy)
    return found


def records(stage: Path) -> dict[int, dict]:
    """What tasks noted of the parts that they finished."""
    notes = (stage / "records").glob("*.json")
    return {int(note.stem): json.loads(note.read_text()) for note in notes}


def aside(out: Path) -> list[Path]:
    """The staging folders beside an output."""
    return [path for path in out.parent.glob(f".{out.name}.dsmote/*") if path.is_dir()]


def spec_of(table: Path, out: Path, **fields: object) -> JobSpec:
    return JobSpec(str(table), "y", output=str(out), **{"random_state": 0, **fields})


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        (FILES, {}),
        (FILES, {"partition_by": ("y",)}),
        (FILES, {"shuffle": True}),
        (50, {"split": Split(test_fraction=0.2)}),
    ],
    ids=["plain", "folders", "shuffled", "several files a part, split"],
)
def test_resumed_run_gives_the_same_bytes_and_writes_only_the_rest(
    tmp_path: Path,
    client: Client,
    killed: Callable[..., None],
    resumed: list[int],
    monkeypatch: pytest.MonkeyPatch,
    files: int,
    fields: dict,
) -> None:
    table = write_files(numeric_frame(400), tmp_path / "table", files)
    monkeypatch.setattr("dsmote.job.shuffle.PART_ROWS", 90)
    out, other = tmp_path / "out", tmp_path / "undisturbed"
    whole = write_job(prepare(spec_of(table, other, **fields)), client).manifest
    killed(spec_of(table, out, **fields))
    assert not out.exists()
    (stage,) = aside(out)
    there = {path: path.stat().st_ino for path in stage.rglob("*.parquet")}
    finished = records(stage)
    assert len(finished) >= 4
    assert len(whole["parts"]) < 40
    manifest = write_job(prepare(spec_of(table, out, resume=True, **fields)), client).manifest
    assert sorted(resumed) == sorted(finished)
    assert manifest["parts"] == whole["parts"]
    assert manifest["rows"] == whole["rows"]
    assert manifest["neighbors"] == whole["neighbors"]
    for part in manifest["parts"]:
        assert (out / part["file"]).read_bytes() == (other / part["file"]).read_bytes()
    kept = {path.stat().st_ino for path in out.rglob("*.parquet")}
    for number in finished:
        for each in finished[number]["files"]:
            assert there[stage / "table" / each["file"]] in kept
    assert beside(tmp_path) == ["out", "table", "undisturbed"]


def test_seed_that_was_drawn_is_kept(
    table: Path, tmp_path: Path, client: Client, killed: Callable[..., None], hashes: Hashes
) -> None:
    out = tmp_path / "out"
    killed(spec_of(table, out, random_state=None))
    (stage,) = aside(out)
    seed = json.loads(stage.with_suffix(".json").read_text())["seed"]
    spec = spec_of(table, out, random_state=None, resume=True)
    manifest = write_job(prepare(spec), client).manifest
    assert manifest["parameters"]["seed"] == seed
    write_job(prepare(spec_of(table, tmp_path / "other", random_state=seed)), client)
    assert hashes(out) == hashes(tmp_path / "other")


def test_without_resume_it_begins_anew(
    table: Path, tmp_path: Path, client: Client, killed: Callable[..., None], resumed: list[int]
) -> None:
    out = tmp_path / "out"
    killed(spec_of(table, out))
    write_job(prepare(spec_of(table, out)), client)
    assert resumed == []
    assert beside(tmp_path) == ["out", "table"]


@pytest.mark.parametrize("what", ["input", "parameters", "versions"])
def test_another_job_does_not_go_on_with_it(
    table: Path,
    tmp_path: Path,
    client: Client,
    killed: Callable[..., None],
    resumed: list[int],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    out = tmp_path / "out"
    killed(spec_of(table, out))
    spec = spec_of(table, out, resume=True)
    if what == "input":
        os.utime(table / "0.parquet", (1, 1))
    elif what == "parameters":
        spec = replace(spec, k_neighbors=3)
    else:
        monkeypatch.setattr("dsmote.job.manifest.versions", lambda: {"pyarrow": "999"})
    write_job(prepare(spec), client)
    assert resumed == []
    assert beside(tmp_path) == ["out", "table"]


def test_another_plan_begins_anew(
    table: Path,
    tmp_path: Path,
    client: Client,
    killed: Callable[..., None],
    resumed: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "out"
    killed(spec_of(table, out))
    (stage,) = aside(out)
    run = stage.with_suffix(".json")
    run.write_text(json.dumps({**json.loads(run.read_text()), "parts": 3}))
    write_job(prepare(spec_of(table, out, resume=True)), client)
    assert resumed == []
    assert "starting over" in caplog.text
    assert pd.read_parquet(out)["y"].value_counts().to_dict() == {"rare": 350, "usual": 350}


DAMAGES = [
    *("cut", "gone", "same size", "other rows", "other schema", "other part", "link"),
    *("no record", "half a record", "empty record", "list", "no mark", "wrong kinds"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_part_that_is_not_whole_is_written_again(
    table: Path,
    tmp_path: Path,
    client: Client,
    killed: Callable[..., None],
    resumed: list[int],
    hashes: Hashes,
    damage: str,
) -> None:
    out = tmp_path / "out"
    write_job(prepare(spec_of(table, tmp_path / "other")), client)
    killed(spec_of(table, out))
    (stage,) = aside(out)
    finished = records(stage)
    number, record = min(finished.items())
    file = stage / "table" / record["files"][0]["file"]
    note = stage / "records" / f"{number:05d}.json"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "gone":
        file.unlink()
    elif damage == "same size":
        file.write_bytes(b"\0" * file.stat().st_size)
    elif damage == "other rows":
        frame = pd.read_parquet(file)
        frame.iloc[::-1].to_parquet(file, index=False)
    elif damage == "other schema":  # and the record was made to fit
        pd.read_parquet(file).assign(z=1).to_parquet(file, index=False)
        mark, size = content_mark(*open_fs(str(file))), file.stat().st_size
        record["files"][0] |= {"mark": mark, "bytes": size}
        note.write_text(json.dumps(record))
    elif damage == "other part":
        other = record["files"][0]["file"].replace(f"{number:05d}", f"{number + 1:05d}")
        record["files"][0]["file"] = other
        note.write_text(json.dumps(record))
    elif damage == "link":
        file.rename(tmp_path / "elsewhere.parquet")
        file.symlink_to(tmp_path / "elsewhere.parquet")
    elif damage == "no record":
        note.unlink()
    elif damage == "half a record":
        note.write_text(note.read_text()[:20])
    elif damage == "no mark":
        del record["files"][0]["mark"]
        note.write_text(json.dumps(record))
    else:
        kinds = {"number": number, "files": [7], "counts": None}
        written = {"empty record": {}, "list": [], "wrong kinds": kinds}[damage]
        note.write_text(json.dumps(written))
    write_job(prepare(spec_of(table, out, resume=True)), client)
    assert sorted(resumed) == sorted(set(finished) - {number})
    assert hashes(out) == hashes(tmp_path / "other")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("resume", [True, False])
def test_failure_keeps_what_is_finished_only_with_resume(
    table: Path,
    tmp_path: Path,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    resumed: list[int],
    error: type[BaseException],
    resume: bool,
) -> None:
    out = tmp_path / "out"
    original = run_module._note
    written: list[Part] = []

    def note(progress: object, peaks: dict, part: Part) -> None:
        original(progress, peaks, part)
        written.append(part)
        if len(written) == 4:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_note", note)
        with pytest.raises(error):
            write_job(prepare(spec_of(table, out, resume=resume)), client)
    left = sorted(os.listdir(tmp_path))
    assert left == ([".out.dsmote", "table"] if resume else ["table"])
    if resume:
        assert {path.suffix for path in (tmp_path / ".out.dsmote").iterdir()} == {"", ".json"}
    write_job(prepare(spec_of(table, out, resume=True)), client)
    assert (len(resumed) >= 4) == resume
    assert beside(tmp_path) == ["out", "table"]


def test_failure_of_the_result_keeps_nothing(
    table: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on with parts that are not what was planned would fail for ever."""
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "different", lambda *args: "the rows written are not the rows")
        with pytest.raises(RuntimeError, match="the rows written are not the rows"):
            write_job(prepare(spec_of(table, tmp_path / "out", resume=True)), client)
    assert sorted(os.listdir(tmp_path)) == ["table"]


@pytest.mark.parametrize("during", ["writing", "commit"])
def test_everything_was_finished_but_the_commit(
    table: Path,
    tmp_path: Path,
    client: Client,
    killed: Callable[..., None],
    resumed: list[int],
    monkeypatch: pytest.MonkeyPatch,
    during: str,
) -> None:
    out = tmp_path / "out"
    write_job(prepare(spec_of(table, tmp_path / "other")), client)
    n = len(list((tmp_path / "other").glob("part-*")))
    with monkeypatch.context() as patch:
        if during == "commit":  # _SUCCESS is there, and nothing is renamed

            def die(path: str) -> None:
                raise Killed

            patch.setattr("dsmote.job.storage.sync", die)
        killed(spec_of(table, out), parts=n + (during == "commit"))
    manifest = write_job(prepare(spec_of(table, out, resume=True)), client).manifest
    assert sorted(resumed) == list(range(n))
    assert manifest["rows"]["after"] == 700
