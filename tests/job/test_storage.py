"""A table appears whole or not at all, by one run at a time, whatever lies beside it."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest

from dsmote.job import storage
from dsmote.job.parts import write_file
from dsmote.job.place import Place, check_output
from dsmote.job.storage import (
    STALE_SECONDS,
    LockLost,
    Output,
    OutputLocked,
    Stage,
    opened,
    refuse_if_locked,
    staged,
)
from tests.job.conftest import beside
from tests.job.dead import dead_run

PART, RUN = "part-00000.parquet", "0123456789ab"


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an output may be: a folder that can be renamed, and one that cannot."""
    if request.param == "local":
        yield str(tmp_path / "out")
        return
    fs = fsspec.filesystem("memory")
    yield "memory://store/out"
    if fs.exists("/store"):
        fs.rm("/store", recursive=True)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def fill(stage: Stage, content: str, *files: str, report: bool = False) -> dict:
    """Write parts and their records, and perhaps a report; return their manifest."""
    fs = stage.place.fs
    for file in files or (PART,):
        path = f"{fs._strip_protocol(stage.folder)}/{file}"
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(path, content.encode())
        storage.write_record(stage.folder, 0, {})
    if report:
        fs.pipe_file(fs._strip_protocol(stage.report), b"page of " + content.encode())
    return {"parts": [{"file": file, "bytes": len(content)} for file in files or (PART,)]}


def write(
    where: str | Path, content: str, *files: str, overwrite: bool = True, report: bool = False
) -> dict:
    """Write a table whole."""
    with staged(str(where), overwrite) as stage:
        return stage.commit(fill(stage, content, *files, report=report), content.encode().hex() * 4)


def read(url: str) -> list[str]:
    """Read a table by the rules for readers; there may be nothing else in the folder."""
    place = Place(url)
    assert place.exists(f"{place.target}/_SUCCESS")
    manifest = place.read(place.manifest) or {}
    files = [part["file"] for part in manifest["parts"]]
    assert sorted(place.sizes(place.target)) == sorted([*files, "_SUCCESS"])
    return [place.fs.cat_file(f"{place.target}/{file}").decode() for file in files]


def aside(url: str | Path) -> list[str]:
    """What lies beside an output."""
    place = Place(str(url))
    return sorted(place.sizes(place.aside))


# One run at a time


def test_second_run_fails_at_once_and_says_who_holds_it(url: str) -> None:
    with opened(url) as output:
        assert not output.place.create(output.file, {})
        for again in (lambda: Output(Place(url)).acquire(), lambda: refuse_if_locked(url)):
            started = time.monotonic()
            with pytest.raises(OutputLocked) as raised:
                again()
            assert time.monotonic() - started < 1
            message = str(raised.value)
            assert f"another run is writing {url}: process {os.getpid()} on " in message
            assert "since 20" in message and "last heard of 20" in message
            assert "after 300 s without a heartbeat, or at once if you delete " in message
            assert ".out.dsmote/lock.1" in message
    refuse_if_locked(url)
    assert aside(url) == []


def test_lock_is_a_dead_runs_when_it_was_not_renewed_for_long(out: Path) -> None:
    dead = Output(Place(str(out)))
    dead.acquire()
    for age in (0, STALE_SECONDS - 5, 5 - STALE_SECONDS):
        stamp = time.time() - age
        os.utime(dead.file, (stamp, stamp))
        with pytest.raises(OutputLocked):
            Output(Place(str(out))).acquire()
    Path(dead.file).write_text("{")  # what cannot be read is a lock
    with pytest.raises(OutputLocked, match="process None on None"):
        refuse_if_locked(str(out))
    # A machine whose clock was a year ahead has died: its lock must not hold for a year.
    for age in (STALE_SECONDS + 5, -365 * 86400):
        stamp = time.time() - age
        os.utime(dead.file, (stamp, stamp))
        refuse_if_locked(str(out))
    with opened(str(out)) as output, output.stage():
        assert [Path(output.file).name] == [n for n in output.place.names() if "lock" in n]
        with pytest.raises(LockLost, match="showed no sign of life for more than 300 s"):
            dead.check()
        dead.release()
        output.check()
    assert beside(out.parent) == []


def test_age_is_told_by_the_clock_of_the_storage(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url) as output:
        monkeypatch.setattr(time, "time", lambda: 0.0)  # this machine's clock is far behind
        age = output.place.age(output.file)
        assert age is not None and abs(age) < 60
        assert output.place.age(output.place.path("nothing")) is None
        with pytest.raises(OutputLocked):
            refuse_if_locked(url)


@pytest.mark.parametrize("dead", [True, False])
def test_of_many_that_begin_one_goes_on(out: Path, dead: bool) -> None:
    if dead:
        dead_run(out)
    start, inside, most, guard = threading.Barrier(8), [0], [], threading.Lock()

    def take(_: int) -> bool:
        start.wait()
        try:
            with opened(str(out)):
                with guard:
                    inside[0] += 1
                    most.append(inside[0])
                time.sleep(0.3)
                with guard:
                    inside[0] -= 1
        except OutputLocked:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(take, range(8)))
    assert max(most) == 1
    write(out, "new")


def test_of_two_that_found_different_locks_none_goes_on(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One found a dead run's lock; before it had its own, that was gone and another had begun."""
    dead, create = dead_run(out), Place.create
    other = Output(dead.place)

    def late(self: Place, path: str, state: Any) -> bool:
        monkeypatch.undo()
        os.remove(dead.output.file)
        other.acquire()
        return create(self, path, state)

    monkeypatch.setattr(Place, "create", late)
    with pytest.raises(OutputLocked), opened(str(out)):
        pass
    other.check()
    other.release()
    assert not [name for name in dead.place.names() if "lock" in name]


def test_run_that_was_taken_over_gives_up(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "BEAT_SECONDS", 0.02)
    with pytest.raises(LockLost), opened(str(out)) as output, output.stage() as stage:
        manifest = fill(stage, "mine")
        os.remove(output.file)  # what a run does that takes it for dead
        with pytest.raises(LockLost):
            stage.commit(manifest)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # and it is told before, when it has heard
            output.show(parts={"done": 1, "total": 2})
            time.sleep(0.02)
        assert not os.path.exists(output.file)  # the heartbeat does not bring it back
    with opened(str(out)) as output:
        output.clear()
    assert beside(out.parent) == []


def test_run_that_is_taken_over_while_it_commits_puts_nothing_in_place(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, last = (Place, "make_folder") if "memory" in url else (storage, "sync")
    with pytest.raises(LockLost), opened(url) as output, output.stage() as stage:
        manifest = fill(stage, "new")
        original = getattr(owner, last)

        def lose(*args: Any) -> None:
            original(*args)
            output.place.remove(output.file)

        monkeypatch.setattr(owner, last, lose)
        stage.commit(manifest)
    assert not output.place.exists(output.place.manifest)
    assert not output.place.sizes(output.place.target)


def test_run_that_was_taken_over_leaves_what_is_gone_on_with_alone(url: str) -> None:
    """It was suspended, the same job went on with its parts, and then it woke up."""
    run = {"key": {"job": "the same"}, "seed": 0}
    with pytest.raises(LockLost), opened(url) as output, output.stage() as stage:
        stage.note(run)
        manifest = fill(stage, "whole")
        output.place.remove(output.file)
        with opened(url) as other, other.stage("error", run["key"]) as adopted:
            try:
                stage.commit(manifest)
            finally:
                stage.discard()
                assert adopted.run() == run
                adopted.commit(manifest)
    assert aside(url) == ["manifest.json"]
    assert read(url) == ["whole"]


def test_lock_goes_however_the_run_ends(url: str) -> None:
    for error in (KeyboardInterrupt, ValueError, SystemExit):
        with pytest.raises(error), opened(url):
            raise error
        assert aside(url) == []


def test_heartbeat_shows_how_far_the_run_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble with it does not end the run."""
    monkeypatch.setattr(storage, "BEAT_SECONDS", 0.02)
    original, tried = storage.write_json, []

    def full(*args: Any) -> None:
        tried.append(args)
        raise OSError(28, "No space left on device")

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with opened(url) as output:
        monkeypatch.setattr(storage, "write_json", full)
        wait_for(lambda: len(tried) > 2)
        monkeypatch.setattr(storage, "write_json", original)
        output.show(stage="writing", parts={"done": 2, "total": 10})
        seen: dict = {}
        wait_for(lambda: bool(seen.update(output.place.read(output.file) or {}) or "parts" in seen))
        assert seen["status"] == "running" and seen["stage"] == "writing"
        assert seen["parts"] == {"done": 2, "total": 10}
        assert seen["pid"] == os.getpid() and seen["heartbeat"].startswith("20")
        output.check()


# A table and the next


def test_a_table_and_the_next(url: str) -> None:
    files = ["train/y=1/part-00000.parquet", "train/y=2/part-00001.parquet", "test/p.parquet"]
    write(url, "old", *files, "train/y=3/part-00009.parquet", report=True)
    assert read(url) == ["old"] * 4
    assert aside(url) == ["manifest.json", "report.html"]
    with pytest.raises(FileExistsError, match=r"out is there already.*--overwrite"):
        write(url, "new", overwrite=False)
    with pytest.raises(KeyboardInterrupt), staged(url, overwrite=True) as stage:
        fill(stage, "new")
        raise KeyboardInterrupt
    assert read(url) == ["old"] * 4
    with staged(url, overwrite=True) as stage:
        manifest = fill(stage, "new", *files)
        fill(stage, "of a dead task", "train/y=4/.part-00000.parquet.left", "_report.html")
        assert read(url) == ["old"] * 4
        manifest = stage.commit(manifest, "6e6577" * 2)
    assert read(url) == ["new"] * 3
    place = Place(url)
    assert place.read(place.manifest) == manifest
    names = [f.replace(".p", "-6e65776e.p") for f in files] if "memory" in url else files
    assert [part["file"] for part in manifest["parts"]] == names
    assert aside(url) == ["manifest.json"]  # no report of another table
    assert {name.split("/")[1] for name in place.fs.find(place.target) if "y=" in name}
    assert not place.fs.exists(f"{place.target}/train/y=3")


def test_nothing_is_left_of_a_run_that_failed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged(str(tmp_path / "new" / "deep" / "out")) as stage:
        fill(stage, "new")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out*", "out[1]", "o t ü#"])
def test_name_that_looks_like_a_pattern(url: str, name: str) -> None:
    url = url.replace("out", name)
    other = Place(url.replace(name, "outer")).path(f"{RUN}/part")
    Place(url).fs.makedirs(other.rpartition("/")[0], exist_ok=True)
    Place(url).fs.pipe_file(other, b"another run's")
    for content in ("old", "new"):
        write(url, content)
        assert read(url) == [content]
        assert aside(url) == ["manifest.json"]
    assert Place(url).fs.cat_file(other) == b"another run's"


class Killed(BaseException):
    """Ends a commit where a kill would, with nothing done after it."""


@pytest.fixture
def cut(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bool], list[str]]:
    """Cut a commit off before a step, by one error or by a death, after which nothing happens."""
    memory = type(fsspec.filesystem("memory"))
    watched: list[tuple[Any, str]] = [(Place, "remove"), (Place, "remove_folder")]
    if "memory" in url:
        watched += [(memory, "cp_file"), (memory, "pipe_file"), (memory, "rm_file")]
    else:
        watched += [(os, "rename"), (os, "replace"), (os, "remove"), (os, "rmdir")]

    def begin(stop: int, kill: bool) -> list[str]:
        taken: list[str] = []

        def watch(owner: Any, name: str) -> None:
            original = getattr(owner, name)

            def step(*args: Any, **kwargs: Any) -> Any:
                target = str(args[1] if name in ("rename", "replace", "cp_file") else args[-1])
                target = str(args[1]) if name in ("pipe_file", "rm_file") else target
                if "lock." not in target and "probe." not in target:
                    taken.append(f"{name} {target}")
                    if len(taken) == stop or (kill and 0 < stop < len(taken)):
                        raise Killed if kill else OSError(5, "Input/output error")
                return original(*args, **kwargs)

            monkeypatch.setattr(owner, name, step)

        for owner, name in watched:
            watch(owner, name)
        return taken

    return begin


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "error"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "next"])
def test_cut_off_at_any_step_it_is_the_old_or_the_new(
    url: str,
    cut: Callable[[int, bool], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    kill: bool,
    first: bool,
) -> None:
    place, stop, outcomes, taken = Place(url), 0, set(), ["at first"]
    while len(taken) >= stop:
        place.remove_folder(place.target)
        place.remove_folder(place.aside)
        if not first:
            write(url, "old", PART, "y=1/part-00001.parquet", report=True)
        with staged(url, overwrite=True) as stage:
            manifest = fill(stage, "new", PART, "y=2/part-00001.parquet", report=True)
            taken, stop = cut(stop + 1, kill), stop + 1
            with suppress(OSError, Killed):
                stage.commit(manifest, "6e6577" * 2)
            monkeypatch.undo()
            stage.keep = True
        check_output(url, "replace")  # who looks without the lock is not refused
        with opened(url) as output:  # what the next run finds
            found = read(url) if place.exists(place.target) else []
            output.clear()
        assert found in ([] if first else ["old"] * 2, ["new"] * 2), (stop, taken)
        if found:
            assert place.fs.cat_file(place.report).decode() == f"page of {found[0]}"
            assert aside(url) == ["manifest.json", "report.html"]
        outcomes.add(tuple(found))
    assert stop > 6
    assert len(outcomes) == 2


def test_no_reader_ever_sees_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds _SUCCESS on an object store reads one table, at every step of the way."""
    url, fs = "memory://mixture/out", fsspec.filesystem("memory")
    write(url, "old", "part-0", "part-1", "part-2")
    seen = set()
    for name in ("cp_file", "pipe_file", "rm_file"):
        original = getattr(type(fs), name)

        def step(fs: Any, *args: Any, original: Any = original, **kwargs: Any) -> None:
            original(fs, *args, **kwargs)
            if whole := fs.exists("/mixture/out/_SUCCESS"):
                parts = json.loads(fs.cat_file("/mixture/.out.dsmote/manifest.json"))["parts"]
                seen.add(tuple(fs.cat_file(f"/mixture/out/{part['file']}") for part in parts))
            seen.add(whole)

        monkeypatch.setattr(type(fs), name, step)
    write(url, "new", "part-0", "part-1")
    assert seen == {True, False, (b"old",) * 3, (b"new",) * 2}
    monkeypatch.undo()
    fs.rm("/mixture", recursive=True)


@pytest.mark.parametrize("moment", range(4))
def test_run_that_wakes_up_in_the_middle_leaves_the_next_run_alone(
    monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Suspended while it put its table in place, taken over by the same job, and woken up."""
    url, files = "memory://asleep/out", [f"part-{n}" for n in range(4)]
    fs, asleep = fsspec.filesystem("memory"), [moment]
    kind, original = type(fs), type(fs).cp_file
    write(url, "old", "part-0")

    def copy(fs: Any, source: str, target: str, **kwargs: Any) -> None:
        if asleep and not asleep[0]:
            asleep.clear()
            fs.rm_file(next(path for path in fs.find("/asleep") if "/lock." in path))
            write(url, "new", *files)
        elif asleep:
            asleep[0] -= 1
        # What was being copied when it fell asleep is there when it wakes up.
        with suppress(FileNotFoundError):
            original(fs, source, target, **kwargs)

    monkeypatch.setattr(kind, "cp_file", copy)
    with pytest.raises(LockLost):
        write(url, "new", *files)
    with opened(url) as output, output.stage("replace"):
        assert read(url) == ["new"] * 4
    assert aside(url) == ["manifest.json"]
    fs.rm("/asleep", recursive=True)


def test_all_is_on_the_disk_before_it_appears(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut could leave empty files behind a _SUCCESS."""
    synced: set[int] = set()
    missing: list[str] = []
    sync, rename, remove = os.fsync, os.rename, os.remove

    def note(handle: int) -> None:
        sync(handle)
        synced.add(os.fstat(handle).st_ino)

    def look(source: str, target: str) -> None:
        paths = [Path(source), *Path(source).rglob("*")]
        missing.extend(str(path) for path in paths if path.stat().st_ino not in synced)
        rename(source, target)

    def look_again(path: str) -> None:
        if path.endswith("/commit.json"):  # until then, the next run would do it again
            named = [Path(path).parents[1] / name for name in ("manifest.json", "report.html")]
            missing.extend(str(path) for path in named if path.stat().st_ino not in synced)
        remove(path)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "rename", look)
    monkeypatch.setattr(os, "remove", look_again)
    with staged(str(out)) as stage:
        Path(stage.report).write_text("drawn")
        files = (PART, "y=1/part-00001.parquet")
        for file in files:
            write_file(stage.folder, file, lambda handle: handle.write(b"rows"))
        stage.commit({"parts": [{"file": file, "bytes": 4} for file in files]})
    assert missing == []
    assert len(synced) >= 7
    assert out.parent.stat().st_ino in synced


# What dead runs left


def test_left_overs_of_a_killed_run_are_cleared(out: Path) -> None:
    dead_run(out)
    other = dead_run(out.parent / "out.dsmote")  # an output of a similar name
    before = aside(other.place.target)
    write(out, "new")
    assert aside(out) == ["manifest.json"]
    assert aside(other.place.target) == before


def test_manifest_waits_where_it_cannot_get_its_name(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails, but the table is in place: it must be known which one it is."""
    replace = os.replace

    def fail(source: str, target: str) -> None:
        if target.endswith("/manifest.json"):
            raise OSError(5, "Input/output error")
        replace(source, target)

    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match=r"cannot write .*manifest.json: Input"),
    ):
        patch.setattr(os, "replace", fail)
        write(out, "new")
    write(out, "newer")
    assert read(str(out)) == ["newer"]
    assert aside(out) == ["manifest.json"]


def test_old_table_that_cannot_be_deleted_does_not_fail_the_run(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The new one is in place: a failure would say that it is not."""
    write(out, "old")

    def refuse(path: str) -> None:
        raise OSError(39, "Directory not empty", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", refuse)
        write(out, "new")
    assert read(str(out)) == ["new"]
    assert "could not be deleted, and stays: " in caplog.text
    write(out, "newer")  # what the next run does
    assert [path.name for path in (out.parent / ".out.dsmote").iterdir()] == ["manifest.json"]


# What is not dsmote's


@pytest.mark.parametrize("if_exists", ["error", "skip", "replace"])
@pytest.mark.parametrize("success", [True, False])
def test_own_folder_of_the_user_with_the_names_of_a_table_is_never_deleted(
    out: Path, monkeypatch: pytest.MonkeyPatch, if_exists: str, success: bool
) -> None:
    """He deleted the table and put his files there; the manifest is still beside."""
    write(out, "old")
    shutil.rmtree(out)
    out.mkdir()
    (out / PART).write_text("his only copy")
    (out / "_SUCCESS").write_text("" if success else "his note")
    with (
        pytest.raises(FileExistsError),
        opened(str(out)) as output,
        output.stage(if_exists) as stage,
    ):
        stage.commit(fill(stage, "new"))
    assert (out / PART).read_text() == "his only copy"
    # Not even when it comes there after the last look.
    os.rename(out, out.parent / "his")
    write(out, "old")
    swap = Stage._swap

    def comes(self: Stage) -> None:
        shutil.rmtree(out)
        shutil.copytree(out.parent / "his", out)
        swap(self)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "_swap", comes)
        write(out, "new")
    (old,) = (out.parent / ".out.dsmote").glob("*/old")
    assert (old / PART).read_text() == "his only copy"
    assert (out / PART).read_text() == "new"


def test_output_that_appeared_meanwhile_is_not_replaced(out: Path) -> None:
    with pytest.raises(FileExistsError), staged(str(out)) as stage:
        manifest = fill(stage, "new")
        out.mkdir()
        (out / PART).write_text("other")
        stage.commit(manifest)
    assert (out / PART).read_text() == "other"
    assert os.listdir(out.parent) == ["out"]


def test_overwrite_goes_through_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / PART).read_text() == "new"
    assert beside(tmp_path) == ["link", "real"]


FOREIGN = (
    *("thesis.txt", "sub/part.parquet", ".ssh/id", "_private.key", "mine.parquet"),
    *("_SUCCESS", "_records/a.json", "_report.html", f"{PART}.crc", f"y=1/{PART}"),
)


@pytest.mark.parametrize("during", [False, True], ids=["before", "during"])
@pytest.mark.parametrize("foreign", FOREIGN)
def test_file_that_is_not_of_the_table_is_never_deleted(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    foreign: str,
    during: bool,
) -> None:
    write(out, "old")
    swap = Stage._swap

    def put(stage: Stage | None = None) -> None:
        (out / foreign).parent.mkdir(exist_ok=True)
        (out / foreign).write_text("precious")
        if stage:
            swap(stage)

    if during:  # after the last look
        monkeypatch.setattr(Stage, "_swap", put)
        write(out, "new")
        (old,) = (out.parent / ".out.dsmote").glob("*/old")
        assert (old / foreign).read_text() == "precious"
        assert not (old / PART).exists()
        assert "could not be deleted, and stays: " in caplog.text
    else:
        put()
        with pytest.raises(FileExistsError, match="holds more than a table"):
            write(out, "new")
        assert (out / foreign).read_text() == "precious"


@pytest.mark.parametrize("inside", ["", RUN, *(f"{RUN}/{name}" for name in ("table", "old"))])
def test_links_beside_the_output_are_not_followed(out: Path, inside: str) -> None:
    other, link = out.parent / "elsewhere" / RUN, out.parent / ".out.dsmote" / inside
    other.mkdir(parents=True)
    (other / "data.txt").write_text("precious")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(other)
    with pytest.raises(FileExistsError, match="is a link, which dsmote does not follow there"):
        write(out, "new")
    assert (other / "data.txt").read_text() == "precious"
    assert not out.exists()


def test_planted_folders_are_neither_deleted_nor_put_in_place(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planted = out.parent / ".out.dsmote" / RUN
    for name in ("table", "old"):
        (planted / name).mkdir(parents=True)
        (planted / name / "data.txt").write_text("precious")
    write(out, "new")
    assert f"{RUN} is no staging folder, and stays" in caplog.text
    shutil.rmtree(out)
    (planted / "commit.json").write_text('{"parts": []}')
    with pytest.raises(FileExistsError, match=r"old holds no file that .* move it away"):
        write(out, "new")
    for name in ("table", "old"):
        assert (planted / name / "data.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["", RUN, "lock.1", "manifest.json"])
def test_folders_of_another_user_are_refused(
    out: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    theirs = Path(dead_run(out).place.path(name))
    if name and not theirs.exists():
        theirs.mkdir()
    lstat = os.lstat

    def as_theirs(path: str) -> os.stat_result:
        found = lstat(path)
        if Path(path) == theirs:
            found = os.stat_result([*found[:4], found.st_uid + 1, *found[5:]])
        return found

    before = set(aside(out))
    monkeypatch.setattr(os, "lstat", as_theirs)
    with pytest.raises(PermissionError, match=r"belongs to another user \(uid \d+\): have it del"):
        write(out, "new")
    assert set(aside(out)) == before
    assert theirs.exists()


# What cannot be an output


def test_skip_refuses_what_does_not_say_how_it_was_made(out: Path) -> None:
    write(out, "old")
    check_output(str(out), "skip")
    (out.parent / ".out.dsmote" / "manifest.json").unlink()
    with pytest.raises(FileExistsError, match=r"manifest.json, which says .* delete it, or choose"):
        check_output(str(out), "skip")
    with pytest.raises(FileExistsError, match="holds more than a table of dsmote"):
        check_output(str(out), "replace")


def test_output_that_is_or_is_below_a_file_is_refused(out: Path) -> None:
    out.write_text("precious")
    with pytest.raises(FileExistsError, match="is a file"):
        check_output(str(out), "replace")
    with pytest.raises(OSError, match=r"cannot write .*out/below"):
        write(out / "below", "new")
    with pytest.raises(ValueError, match="whole store or bucket: name a folder in it"):
        Place("memory://")


@pytest.mark.parametrize(
    ("owner", "name", "answer", "error"),
    [
        # A volume of a container: no folder can take its name, and that would be found out last.
        (os.path, "ismount", True, r"out is where a file system is mounted"),
        (os, "access", False, r"no permission to write .*out: it cannot be replaced"),
    ],
)
def test_output_that_cannot_be_renamed_is_refused_before_work(
    out: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, answer: bool, error: str
) -> None:
    write(out, "old")
    original = getattr(owner, name)
    monkeypatch.setattr(
        owner, name, lambda path, *mode: answer if path == str(out) else original(path, *mode)
    )
    for if_exists in ("skip", "replace"):
        with pytest.raises(OSError, match=error):
            check_output(str(out), if_exists)
    check_output(str(out / "table"), "error")


def test_no_permission_is_a_clear_error(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(PermissionError, match=r"no permission to write .*out"):
        write(out, "new")
