"""The same job again costs no work; anything that may change the table does."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client

import dsmote.job.manifest as manifest_module
from dsmote.job import JobFailed, JobSpec, Outcome, plan_job, prepare, unchanged, write_job
from dsmote.job import run as run_module
from dsmote.job.spec import Split
from tests.job.conftest import beside
from tests.job.dead import dead_run, die

Done = tuple[JobSpec, dict]


def job(source: Path, out: Path, **fields: object) -> JobSpec:
    return JobSpec(str(source), "y", output=str(out), if_exists="skip", **fields)


def run(spec: JobSpec, client: Client) -> Outcome:
    return write_job(prepare(spec), client)


def state(folder: Path) -> dict[str, tuple]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in files}


@pytest.fixture
def done(numeric: Path, tmp_path: Path, client: Client) -> Done:
    """A job, without a seed, that was run, and its manifest."""
    spec = job(numeric, tmp_path / "out")
    assert unchanged(spec) is None
    return spec, run(spec, client).manifest


def test_second_run_is_skipped_and_touches_nothing(
    done: Done, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no cluster to know that, and reads no input."""
    spec, manifest = done
    before = state(tmp_path / "out")
    again = run(spec, client)
    assert again.skipped and again.manifest == manifest

    def fail(*args: object) -> None:
        raise AssertionError("the input was opened")

    monkeypatch.setattr(run_module, "open_source", fail)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", fail)
    assert unchanged(spec) == manifest
    assert state(tmp_path / "out") == before
    assert beside(tmp_path) == ["numeric", "out"]


@pytest.mark.parametrize("how", ["before the cluster", "under the lock"])
def test_skipped_run_deletes_what_a_dead_one_left(
    done: Done, tmp_path: Path, client: Client, how: str
) -> None:
    """It was killed when its table was in place; a copy of it must not lie there for ever."""
    spec, _ = done
    before = state(tmp_path / "out")
    dead = dead_run(tmp_path / "out")
    os.utime(dead.output.file)
    shutil.copy(tmp_path / ".out.dsmote" / "manifest.json", f"{dead.path}/old.json")
    for name in ("old", "table"):
        shutil.copytree(tmp_path / "out", f"{dead.path}/{name}", dirs_exist_ok=True)
    assert unchanged(spec) is not None  # that run may be at work still
    assert len(os.listdir(tmp_path / ".out.dsmote")) == 4
    die(dead.output)
    if how == "under the lock":
        assert run(spec, client).skipped
    else:
        assert unchanged(spec) is not None
    assert state(tmp_path / "out") == before
    assert beside(tmp_path) == ["numeric", "out"]


@pytest.mark.parametrize(
    "fields",
    [
        {"k_neighbors": 3},
        {"random_state": 1},
        {"sampling_strategy": {"rare": 100}},
        {"compression": "zstd"},
        {"split": Split(test_fraction=0.2)},
        {"mode": "synthetic"},
        {"params": {"provenance": "flag"}},
        {"carry": ("n",)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_other_parameters_are_another_job(
    done: Done, tmp_path: Path, client: Client, fields: dict
) -> None:
    spec, _ = done
    changed = replace(spec, **fields)
    assert unchanged(changed) is None
    assert not run(changed, client).skipped
    assert unchanged(changed) is not None
    assert unchanged(spec) is None
    assert beside(tmp_path) == ["numeric", "out"]


def test_what_changes_no_row_is_the_same_job(done: Done, numeric: Path, tmp_path: Path) -> None:
    spec, _ = done
    assert unchanged(replace(spec, resume=True)) is not None
    assert unchanged(replace(spec, input=f"{numeric}/*.parquet")) is not None
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert unchanged(replace(spec, output=str(tmp_path / "moved"))) is None  # without its records
    shutil.move(tmp_path / ".out.dsmote", tmp_path / ".moved.dsmote")
    assert unchanged(replace(spec, output=str(tmp_path / "moved"))) is not None


@pytest.mark.parametrize("how", ["touched", "new file", "gone", "rewritten"])
def test_changed_input_is_run_again_and_replaced(
    numeric: Path, tmp_path: Path, client: Client, how: str
) -> None:
    spec = job(numeric, tmp_path / "out", random_state=0)
    first = run(spec, client).manifest
    file = numeric / "1.parquet"
    if how == "touched":
        os.utime(file, (1, 1))
    elif how == "new file":
        shutil.copy(file, numeric / "2.parquet")
    elif how == "gone":
        file.unlink()
    else:
        frame = pd.read_parquet(file)
        frame.assign(a=frame["a"] + 1).to_parquet(file, index=False)
    outcome = run(spec, client)
    assert not outcome.skipped
    assert json.loads((tmp_path / ".out.dsmote/manifest.json").read_text()) == outcome.manifest
    assert (outcome.manifest["rows"] == first["rows"]) == (how in ("touched", "rewritten"))
    assert unchanged(spec) == outcome.manifest


@pytest.mark.parametrize("name", ["__version__", "FORMAT_VERSION"])
def test_another_version_is_run_again(
    done: Done, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spec, manifest = done
    assert unchanged(spec) == manifest
    monkeypatch.setattr(manifest_module, name, "999")
    assert unchanged(spec) is None


@pytest.mark.parametrize("damage", ["part gone", "no success"])
def test_damaged_output_is_made_again(
    done: Done, tmp_path: Path, client: Client, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec, _ = done
    part = tmp_path / "out" / "part-00000.parquet"
    if damage == "part gone":
        part.unlink()
    else:
        (tmp_path / "out" / "_SUCCESS").unlink()
    with caplog.at_level(logging.WARNING, logger="dsmote"):
        assert unchanged(spec) is None
    assert ("part-00000.parquet" in caplog.text) == damage.startswith("part")
    assert not run(spec, client).skipped
    assert len(pd.read_parquet(tmp_path / "out")) == 350


def test_output_with_a_part_of_another_size_may_be_another_table(
    done: Done, tmp_path: Path
) -> None:
    spec, _ = done
    part = tmp_path / "out" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    assert unchanged(spec) is None
    for if_exists in ("skip", "replace"):
        with pytest.raises(FileExistsError, match=r"'part-00000.parquet', not listed in .* size"):
            prepare(replace(spec, if_exists=if_exists))


def test_folder_of_unknown_origin_is_an_error(done: Done, tmp_path: Path) -> None:
    spec, _ = done
    manifest = tmp_path / ".out.dsmote/manifest.json"
    for damage in (manifest.unlink, lambda: manifest.write_text("{")):
        damage()
        assert unchanged(spec) is None
        with pytest.raises(FileExistsError, match="cannot be told whether it is up to date"):
            prepare(spec)


def test_missing_input_is_an_error_although_there_is_an_output(done: Done, numeric: Path) -> None:
    spec, _ = done
    shutil.rmtree(numeric)
    with pytest.raises(FileNotFoundError, match=r"cannot read .*numeric"):
        unchanged(spec)


@pytest.mark.parametrize("how", ["is gone", "changed", "cut"])
def test_input_that_changes_under_the_run_is_a_failure(
    numeric: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """After the last row was read, so that only a second look can tell."""
    spec = replace(job(numeric, tmp_path / "out"), if_exists="error")
    original = run_module.different
    file = numeric / "1.parquet"

    def write(*args: object) -> object:
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
        write_job(prepare(spec), client)
    assert sorted(os.listdir(tmp_path)) == ["numeric"]


@pytest.mark.parametrize("do", [plan_job, write_job])
def test_an_error_in_an_input_that_changed_meanwhile_may_pass(
    numeric: Path, tmp_path: Path, client: Client, do: Callable
) -> None:
    """What is half written is corrupt only until it is whole."""
    prepared = prepare(replace(job(numeric, tmp_path / "out"), if_exists="error"))
    file = numeric / "1.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(JobFailed, match=r"input was changed while it was read: .*1\.parquet"):
        do(prepared, client)
