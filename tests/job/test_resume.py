"""The same job again: it is skipped where nothing changed, and resumes where it died."""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client

from dsmote.job import JobFailed, JobSpec, outputs, plan_job, prepare, unchanged, write_job
from dsmote.job import run as run_module
from dsmote.job.files import open_fs
from dsmote.job.parts import content_mark
from dsmote.job.spec import Split
from dsmote.job.storage import Output, Stage
from tests.job.conftest import beside, numeric_frame, write_files
from tests.job.dead import die


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing is put in order after it."""


def spec_of(table, out, **fields):
    return JobSpec(str(table), "y", output=str(out), **{"random_state": 0, **fields})


def run(spec, client=None):
    return write_job(prepare(spec), client)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def ended(monkeypatch, client):
    """Run a job and end it by an error when so many parts are written."""

    def end(spec, error, parts=4):
        with monkeypatch.context() as patch:
            written = []
            original = run_module._note

            def note(progress, peaks, part):
                original(progress, peaks, part)
                written.append(part)
                if len(written) == parts:
                    raise error

            patch.setattr(run_module, "_note", note)
            with pytest.raises(error):
                run(spec, client)

    return end


@pytest.fixture
def killed(monkeypatch, client, ended):
    """Run a job and kill it when so many parts are written."""

    def kill(spec, parts=4):
        with monkeypatch.context() as patch:
            patch.setattr(Output, "release", die)
            patch.setattr(Stage, "discard", lambda self: None)
            ended(spec, Killed, parts)
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
def resumed(monkeypatch):
    """Numbers of the parts that were not written again."""
    found = []
    original = run_module.parts_of

    def spy(*args):
        parts = original(*args)
        found.extend(parts)
        return parts

    monkeypatch.setattr(run_module, "parts_of", spy)
    return found


@dataclass
class Trial:
    """A job that is ended and tried again, and what the second try believed."""

    client: Client
    folder: Path
    resumed: list[int]
    kill: Callable[..., None]
    end: Callable[..., None]

    def spec(self, files=8, out="out", **fields):
        table = self.folder / "table"
        if not table.exists():
            write_files(numeric_frame(400), table, files)
        return spec_of(table, self.folder / out, **fields)

    def run(self, out="out", **fields):
        return run(self.spec(out=out, **fields), self.client).manifest

    @property
    def stage(self):
        """The one staging folder beside the output."""
        (found,) = (path for path in self.folder.glob(".out.dsmote/*") if path.is_dir())
        return found

    def records(self):
        """What tasks noted of the parts that they finished."""
        notes = (self.stage / "records").glob("*.json")
        return {int(note.stem): json.loads(note.read_text()) for note in notes}


@pytest.fixture
def trial(tmp_path, client, resumed, killed, ended):
    return Trial(client, tmp_path, resumed, killed, ended)


# It resumes where it died


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        (8, {}),
        (8, {"partition_by": ("y",)}),
        (8, {"shuffle": True}),
        (50, {"split": Split(test_fraction=0.2)}),
    ],
    ids=["plain", "folders", "shuffled", "several files a part, split"],
)
def test_resumed_run_gives_the_same_bytes_and_writes_only_the_rest(
    trial, out, monkeypatch, files, fields
):
    monkeypatch.setattr("dsmote.job.shuffle.PART_ROWS", 90)
    trial.kill(trial.spec(files, **fields))
    assert not out.exists()
    there = {path: path.stat().st_ino for path in trial.stage.rglob("*.parquet")}
    finished, table = trial.records(), trial.stage / "table"
    assert len(finished) >= 4
    manifest = trial.run(resume=True, **fields)
    assert sorted(trial.resumed) == sorted(finished)
    whole = trial.run("undisturbed", **fields)
    for key in ("parts", "rows", "neighbors"):
        assert manifest[key] == whole[key]
    for file in (part["file"] for part in manifest["parts"]):
        assert (out / file).read_bytes() == (trial.folder / "undisturbed" / file).read_bytes()
    kept = {path.stat().st_ino for path in out.rglob("*.parquet")}
    for record in finished.values():
        assert {there[table / each["file"]] for each in record["files"]} <= kept
    assert beside(trial.folder) == ["out", "table", "undisturbed"]


def test_seed_that_was_drawn_is_kept(trial, out, hashes):
    trial.kill(trial.spec(random_state=None))
    seed = json.loads(trial.stage.with_suffix(".json").read_text())["seed"]
    assert trial.run(random_state=None, resume=True)["parameters"]["seed"] == seed
    trial.run("other", random_state=seed)
    assert hashes(out) == hashes(trial.folder / "other")


@pytest.mark.parametrize("what", ["no resume", "input", "parameters", "versions", "plan"])
def test_another_job_begins_anew(trial, out, monkeypatch, caplog, what):
    trial.kill(trial.spec())
    if what == "input":
        os.utime(trial.folder / "table" / "0.parquet", (1, 1))
    elif what == "versions":
        monkeypatch.setattr(outputs, "versions", lambda: {"pyarrow": "999"})
    elif what == "plan":
        note = trial.stage.with_suffix(".json")
        note.write_text(json.dumps({**json.loads(note.read_text()), "parts": 3}))
    changed = {"k_neighbors": 3} if what == "parameters" else {}
    trial.run(resume=what != "no resume", **changed)
    assert trial.resumed == []
    assert ("starting over" in caplog.text) == (what == "plan")
    assert beside(trial.folder) == ["out", "table"]
    assert pd.read_parquet(out)["y"].value_counts().to_dict() == {"rare": 350, "usual": 350}


def one_byte(file, note, record):
    """Of the data, so that all but the checksum is as it was."""
    content = bytearray(file.read_bytes())
    content[len(content) // 8] ^= 1
    file.write_bytes(content)


def other_schema(file, note, record):
    """Another table, which the record was made to fit."""
    pd.read_parquet(file).assign(z=1).to_parquet(file, index=False)
    mark, size = content_mark(*open_fs(str(file))), file.stat().st_size
    record["files"][0] |= {"mark": mark, "bytes": size}
    note.write_text(json.dumps(record))


def other_part(file, note, record):
    number = record["number"]
    for each in record["files"]:
        each["file"] = each["file"].replace(f"{number:05d}", f"{number - 1:05d}")
    note.write_text(json.dumps(record))


def no_mark(file, note, record):
    del record["files"][0]["mark"]
    note.write_text(json.dumps(record))


def link(file, note, record):
    elsewhere = note.parents[3] / f"elsewhere-{file.name}"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


DAMAGES = {
    "cut": lambda file, *_: file.write_bytes(file.read_bytes()[:-1]),
    "gone": lambda file, *_: file.unlink(),
    "one byte": one_byte,
    "other rows": lambda file, *_: pd.read_parquet(file).iloc[::-1].to_parquet(file, index=False),
    "other schema": other_schema,
    "other part": other_part,
    "link": link,
    "no mark": no_mark,
    "no record": lambda _, note, record: note.unlink(),
    "half a record": lambda _, note, record: note.write_text(note.read_text()[:20]),
    "empty record": lambda _, note, record: note.write_text("{}"),
    "list": lambda _, note, record: note.write_text("[]"),
    "wrong kinds": lambda _, note, record: note.write_text(
        json.dumps({"number": record["number"], "files": [7], "counts": None})
    ),
}


def test_part_that_is_not_whole_is_written_again(trial, out, hashes):
    """Each of the finished parts is damaged in another way, but for some."""
    whole = trial.run("other", files=16)
    assert len(whole["parts"]) > len(DAMAGES) + 2
    trial.kill(trial.spec(), parts=len(DAMAGES) + 2)
    finished, stage = sorted(trial.records().items()), trial.stage
    for (number, record), damage in zip(finished, DAMAGES.values(), strict=False):
        note = stage / "records" / f"{number:05d}.json"
        damage(stage / "table" / record["files"][0]["file"], note, record)
    trial.run(resume=True)
    numbers = [number for number, _ in finished]
    believed = [name for n, name in zip(numbers, DAMAGES, strict=False) if n in trial.resumed]
    assert believed == []
    assert sorted(trial.resumed) == numbers[len(DAMAGES) :]
    assert hashes(out) == hashes(trial.folder / "other")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("resume", [True, False])
def test_failure_keeps_what_is_finished_only_with_resume(trial, error, resume):
    trial.end(trial.spec(resume=resume), error)
    left = sorted(os.listdir(trial.folder))
    assert left == ([".out.dsmote", "table"] if resume else ["table"])
    if resume:
        assert {path.suffix for path in trial.stage.parent.iterdir()} == {"", ".json"}
    trial.run(resume=True)
    assert (len(trial.resumed) >= 4) == resume
    assert beside(trial.folder) == ["out", "table"]


def test_failure_of_the_result_keeps_nothing(numeric, out, monkeypatch):
    """Resuming with parts that are not what was planned would fail for ever."""
    monkeypatch.setattr(run_module, "different", lambda *args: "the rows written are not the rows")
    with pytest.raises(JobFailed, match="the rows written are not the rows"):
        run(spec_of(numeric, out, resume=True))
    assert os.listdir(out.parent) == ["numeric"]


@pytest.mark.parametrize("during", ["writing", "commit"])
def test_everything_was_finished_but_the_commit(trial, monkeypatch, during):
    n = len(trial.run("other")["parts"])
    with monkeypatch.context() as patch:
        if during == "commit":  # _SUCCESS is there, and nothing is renamed

            def die(path):
                raise Killed

            patch.setattr("dsmote.job.storage.sync", die)
        trial.kill(trial.spec(), parts=n + (during == "commit"))
    manifest = trial.run(resume=True)
    assert sorted(trial.resumed) == list(range(n))
    assert manifest["rows"]["after"] == 700


# It is skipped where nothing changed


@pytest.fixture
def done(numeric, out):
    """A job, without a seed, that was run, and its manifest."""
    spec = JobSpec(str(numeric), "y", output=str(out), if_exists="skip")
    assert unchanged(spec) is None
    return spec, run(spec).manifest


def state(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in files}


def test_second_run_is_skipped_and_touches_nothing(done, out, monkeypatch):
    """It needs no cluster to know that, and reads no input."""
    spec, manifest = done
    before = state(out)
    again = run(spec)
    assert again.skipped and again.manifest == manifest

    def fail(*args):
        raise AssertionError("the input was opened")

    monkeypatch.setattr(run_module, "open_source", fail)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", fail)
    assert unchanged(spec) == manifest
    assert state(out) == before
    assert beside(out.parent) == ["numeric", "out"]


def test_what_changes_a_row_is_another_job(done, numeric, out, monkeypatch):
    spec, manifest = done
    for fields in (
        {"k_neighbors": 3},
        {"random_state": 1},
        {"sampling_strategy": {"rare": 100}},
        {"compression": "zstd"},
        {"split": Split(test_fraction=0.2)},
        {"mode": "synthetic"},
        {"params": {"provenance": "flag"}},
        {"carry": ("n",)},
    ):
        assert unchanged(replace(spec, **fields)) is None, fields
    for name in ("__version__", "FORMAT_VERSION"):
        with monkeypatch.context() as patch:
            patch.setattr(outputs, name, "999")
            assert unchanged(spec) is None
    for same in ({"resume": True}, {"input": f"{numeric}/*.parquet"}):
        assert unchanged(replace(spec, **same)) == manifest
    changed = replace(spec, k_neighbors=3)
    assert not run(changed).skipped
    assert unchanged(changed) is not None
    assert unchanged(spec) is None
    assert beside(out.parent) == ["numeric", "out"]


def test_changed_input_is_run_again_and_replaced(numeric, out):
    spec = JobSpec(str(numeric), "y", output=str(out), random_state=0, if_exists="skip")
    first, file = run(spec).manifest, numeric / "1.parquet"
    frame = pd.read_parquet(file)
    changes = [
        lambda: os.utime(file, (1, 1)),
        lambda: frame.assign(a=frame["a"] + 1).to_parquet(file, index=False),
        lambda: shutil.copy(file, numeric / "2.parquet"),
        file.unlink,
    ]
    rows = []
    for change in changes:
        change()
        outcome = run(spec)
        assert not outcome.skipped
        assert (
            json.loads((out.parent / ".out.dsmote/manifest.json").read_text()) == outcome.manifest
        )
        assert unchanged(spec) == outcome.manifest
        rows.append(outcome.manifest["rows"]["before"])
    assert rows == [200, 200, 300, 200]
    assert first["rows"]["before"] == 200
    shutil.rmtree(numeric)  # an error although there is an output
    with pytest.raises(FileNotFoundError, match=r"cannot read .*numeric"):
        unchanged(spec)


def test_damaged_output_is_made_again(done, out, caplog):
    spec, part = done[0], out / "part-00000.parquet"
    (out / "_SUCCESS").unlink()
    assert unchanged(spec) is None
    assert not run(spec).skipped
    part.unlink()
    with caplog.at_level(logging.WARNING, logger="dsmote"):
        assert unchanged(spec) is None
    assert "part-00000.parquet" in caplog.text
    assert not run(spec).skipped
    assert len(pd.read_parquet(out)) == 350


def test_output_that_may_be_another_table_is_refused(done, out):
    spec, part = done[0], out / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    for if_exists in ("skip", "replace"):
        assert unchanged(spec) is None
        with pytest.raises(FileExistsError, match=r"'part-00000.parquet', not listed in .* size"):
            prepare(replace(spec, if_exists=if_exists))
    (out.parent / ".out.dsmote/manifest.json").write_text("{")
    assert unchanged(spec) is None
    with pytest.raises(FileExistsError, match="cannot be told whether it is up to date"):
        prepare(spec)


# The input may change meanwhile


@pytest.mark.parametrize("how", ["is gone", "changed", "cut"])
def test_input_that_changes_under_the_run_is_a_failure(numeric, out, monkeypatch, how):
    """After the last row was read, so that only a second look can tell."""
    original, file = run_module.different, numeric / "1.parquet"

    def write(*args):
        found = original(*args)
        if how == "is gone":
            file.unlink()
        elif how == "changed":
            pd.read_parquet(file).to_parquet(file, index=False)
        else:
            file.write_bytes(file.read_bytes()[:-10])
        (numeric / "9.parquet").write_bytes(b"a file that came in addition is no change")
        return found

    monkeypatch.setattr(run_module, "different", write)
    said = "is gone" if how == "is gone" else "changed"
    with pytest.raises(
        JobFailed, match=rf"input was changed while it was read: .*1\.parquet {said}; nothing"
    ):
        run(spec_of(numeric, out))
    assert os.listdir(out.parent) == ["numeric"]


@pytest.mark.parametrize("do", [plan_job, write_job])
def test_an_error_in_an_input_that_changed_meanwhile_may_pass(numeric, out, do):
    """What is half written is corrupt only until it is whole."""
    prepared, file = prepare(spec_of(numeric, out)), numeric / "1.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(JobFailed, match=r"input was changed while it was read: .*1\.parquet"):
        do(prepared)
