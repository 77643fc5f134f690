"""A table appears whole or not at all, by one run at a time, whatever lies beside it."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
import pytest

from dsmote.execute.exchange import write_file
from dsmote.job import storage
from dsmote.job.storage import (
    STALE_SECONDS,
    LockLost,
    Output,
    OutputLocked,
    Stage,
    check_output,
    opened,
    refuse_if_locked,
)
from tests.job.conftest import beside
from tests.job.dead import dead_run

PART, RUN = "part-00000.parquet", "0123456789ab"
TWO = (PART, "y=1/part-00001.parquet")
KEY = "6e6577" * 2


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path):
    """Where an output may be: a folder that can be renamed, and one that cannot."""
    if request.param == "local":
        yield str(tmp_path / "out")
        return
    fs = fsspec.filesystem("memory")
    yield "memory://store/out"
    if fs.exists("/store"):
        fs.rm("/store", recursive=True)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@contextmanager
def staged(url, if_exists="replace"):
    with opened(str(url)) as output, output.stage(if_exists) as stage:
        yield stage


def fill(stage, content, *files, report=False):
    """Write parts and a record, and perhaps a report; return their manifest."""
    fs, files = stage.output.fs, files or (PART,)
    for file in files:
        path = f"{fs._strip_protocol(stage.folder)}/{file}"
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(path, content.encode())
    record = f"{fs._strip_protocol(stage.path)}/records/00000.json"
    fs.makedirs(record.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(record, b"{}")
    if report:
        fs.pipe_file(fs._strip_protocol(stage.report), b"page of " + content.encode())
    return {"parts": [{"file": file, "bytes": len(content)} for file in files]}


def write(url, content, *files, report=False):
    """Write a table whole."""
    with staged(url) as stage:
        stage.commit(fill(stage, content, *files, report=report), content.encode().hex() * 4)


def read(url):
    """Read a table by the rules for readers; there may be nothing else in the folder."""
    output = Output(str(url))
    assert output.fs.exists(f"{output.target}/_SUCCESS")
    files = [part["file"] for part in (output.read(output.manifest) or {})["parts"]]
    assert sorted(output.sizes(output.target)) == sorted([*files, "_SUCCESS"])
    return [output.fs.cat_file(f"{output.target}/{file}").decode() for file in files]


def aside(url):
    """What lies beside an output."""
    output = Output(str(url))
    return sorted(output.sizes(output.aside))


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# One run at a time


def test_second_run_fails_at_once_and_says_who_holds_it(url, monkeypatch):
    with opened(url) as output:
        monkeypatch.setattr(time, "time", lambda: 0.0)  # the storage's clock counts, not this one
        for again in (Output(url).acquire, lambda: refuse_if_locked(url)):
            started = time.monotonic()
            with pytest.raises(OutputLocked) as raised:
                again()
            assert time.monotonic() - started < 1
            message = str(raised.value)
            assert f"another run is writing {url}: process {os.getpid()} on " in message
            assert "since 20" in message and "last heard of 20" in message
            assert "after 300 s without a heartbeat, or at once if you delete " in message
            assert ".out.dsmote/lock.1" in message
        output.check()
    refuse_if_locked(url)
    assert aside(url) == []


def test_lock_is_a_dead_runs_when_it_was_not_renewed_for_long(out):
    dead = Output(str(out))
    dead.acquire()
    for age in (0, STALE_SECONDS - 5, 5 - STALE_SECONDS):
        os.utime(dead.lock, (time.time() - age,) * 2)
        with pytest.raises(OutputLocked):
            Output(str(out)).acquire()
    Path(dead.lock).write_text("{")  # what cannot be read is a lock
    with pytest.raises(OutputLocked, match="process None on None"):
        refuse_if_locked(str(out))
    # A machine whose clock was a year ahead has died: its lock must not hold for a year.
    for age in (STALE_SECONDS + 5, -365 * 86400):
        os.utime(dead.lock, (time.time() - age,) * 2)
        refuse_if_locked(str(out))
    with staged(out) as stage:
        assert Path(stage.output.lock).name == "lock.2"
        assert not os.path.exists(dead.lock)
        with pytest.raises(LockLost, match="showed no sign of life for more than 300 s"):
            dead.check()
        dead.release()
        stage.output.check()
    assert os.listdir(out.parent) == []


@pytest.mark.parametrize("dead", [True, False])
def test_of_many_that_begin_one_goes_on(out, dead):
    if dead:
        dead_run(out)
    start, inside = threading.Barrier(8), threading.Semaphore(1)

    def take(_):
        start.wait()
        try:
            with opened(str(out)):
                assert inside.acquire(blocking=False)
                time.sleep(0.2)
                inside.release()
        except OutputLocked:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(take, range(8)))
    write(out, "new")


def test_run_that_was_taken_over_gives_up(out, monkeypatch):
    monkeypatch.setattr(storage, "BEAT_SECONDS", 0.02)
    with pytest.raises(LockLost), staged(out) as stage:
        manifest = fill(stage, "mine")
        os.remove(stage.output.lock)  # what a run does that takes it for dead
        with pytest.raises(LockLost):
            stage.commit(manifest)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # and it is told before, when it has heard
            stage.output.show(parts={"done": 1, "total": 2})
            time.sleep(0.02)
    assert not os.path.exists(stage.output.lock)  # the heartbeat does not bring it back
    write(out, "next")
    assert read(out) == ["next"]
    assert beside(out.parent) == ["out"]


def test_run_that_is_taken_over_while_it_commits_puts_nothing_in_place(url, monkeypatch):
    owner, last = (Output, "make_folder") if "memory" in url else (storage, "sync")
    with pytest.raises(LockLost), staged(url) as stage:
        manifest, output = fill(stage, "new"), stage.output
        original = getattr(owner, last)

        def lose(*args):
            original(*args)
            output.remove(output.lock)

        monkeypatch.setattr(owner, last, lose)
        stage.commit(manifest)
    assert not output.fs.exists(output.manifest)
    assert not output.sizes(output.target)


def test_run_that_was_taken_over_leaves_what_is_resumed_alone(url):
    """It was suspended, the same job resumed with its parts, and then it woke up."""
    run = {"key": {"job": "the same"}, "seed": 0}
    with pytest.raises(LockLost), staged(url) as stage:
        stage.note(run)
        manifest = fill(stage, "whole")
        stage.output.remove(stage.output.lock)
        with opened(url) as other, other.stage("error", run["key"]) as adopted:
            try:
                stage.commit(manifest)
            finally:
                stage.discard()
                assert adopted.run() == run
                adopted.commit(manifest)
    assert aside(url) == ["manifest.json"]
    assert read(url) == ["whole"]


@pytest.mark.parametrize("moment", range(1, 5))
def test_run_that_wakes_up_leaves_the_next_run_alone(monkeypatch, moment):
    """Suspended while it put its table in place; the same job, at the same, had got half-way."""
    url, run = "memory://asleep/out", {"key": {"job": "the same"}, "seed": 0}
    fs, copies = fsspec.filesystem("memory"), {True: 0, False: 0}
    asleep, awake = threading.Event(), threading.Event()
    original = type(fs).cp_file

    lost = []

    def put():
        with opened(url) as output, output.stage("replace", run["key"]) as stage:
            stage.note(run)
            stage.commit(fill(stage, "new", *(f"part-{n}" for n in range(4))), KEY)

    def suspended():
        try:
            put()
        except LockLost as error:
            lost.append(error)

    def copy(fs, source, target, **kwargs):
        own = threading.current_thread() is first
        copies[own] += 1
        if own and copies[own] == moment:
            asleep.set()
            awake.wait(30)
        elif not own and copies[own] == 3:
            awake.set()
            first.join(30)
        original(fs, source, target, **kwargs)

    write(url, "old", "part-0")
    first = threading.Thread(target=suspended)
    monkeypatch.setattr(type(fs), "cp_file", copy)
    first.start()
    assert asleep.wait(30)
    fs.rm_file(next(path for path in fs.find("/asleep") if "/lock." in path))
    put()
    assert len(lost) == 1
    assert read(url) == ["new"] * 4
    assert aside(url) == ["manifest.json"]
    fs.rm("/asleep", recursive=True)


def test_heartbeat_shows_how_far_the_run_is(url, monkeypatch):
    """Trouble with it does not end the run."""
    monkeypatch.setattr(storage, "BEAT_SECONDS", 0.02)
    original, tried = storage.write_json, []

    def full(*args):
        tried.append(args)
        raise OSError(28, "No space left on device")

    with opened(url) as output:
        monkeypatch.setattr(storage, "write_json", full)
        wait_for(lambda: len(tried) > 2)
        monkeypatch.setattr(storage, "write_json", original)
        output.show(stage="writing", parts={"done": 2, "total": 10})
        seen = {}
        wait_for(lambda: bool(seen.update(output.read(output.lock) or {}) or "parts" in seen))
        assert seen["status"] == "running" and seen["stage"] == "writing"
        assert seen["parts"] == {"done": 2, "total": 10}
        assert seen["pid"] == os.getpid() and seen["heartbeat"].startswith("20")
        output.check()


# A table and the next


def test_a_table_and_the_next(url):
    files = ["train/y=1/part-00000.parquet", "train/y=2/part-00001.parquet", "test/p.parquet"]
    write(url, "old", *files, "train/y=3/part-00009.parquet", report=True)
    assert aside(url) == ["manifest.json", "report.html"]
    with (
        pytest.raises(FileExistsError, match=r"out is there already.*--overwrite"),
        staged(url, "error"),
    ):
        pass
    for error in (KeyboardInterrupt, ValueError, SystemExit):
        with pytest.raises(error), staged(url) as stage:
            fill(stage, "new")
            raise error
        assert aside(url) == ["manifest.json", "report.html"]
    with staged(url) as stage:
        manifest = fill(stage, "new", *files)
        fill(stage, "of a dead task", "train/y=4/tmp.0123", "_report.html")
        assert read(url) == ["old"] * 4
        manifest = stage.commit(manifest, KEY)
    assert read(url) == ["new"] * 3
    output = Output(url)
    assert output.read(output.manifest) == manifest
    names = [f.replace(".p", "-6e65776e.p") for f in files] if "memory" in url else files
    assert [part["file"] for part in manifest["parts"]] == names
    assert aside(url) == ["manifest.json"]  # no report of another table
    assert not output.fs.exists(f"{output.target}/train/y=3")


def test_nothing_is_left_of_a_run_that_failed(tmp_path):
    with pytest.raises(KeyboardInterrupt), staged(tmp_path / "new" / "deep" / "out") as stage:
        fill(stage, "new")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out*", "out[1]", "o t ü#"])
def test_name_that_looks_like_a_pattern(url, name):
    url = url.replace("out", name)
    other = Output(url.replace(name, "outer"))
    other.fs.makedirs(other.path(RUN), exist_ok=True)
    other.fs.pipe_file(other.path(f"{RUN}/part"), b"another run's")
    for content in ("old", "new"):
        write(url, content)
        assert read(url) == [content]
        assert aside(url) == ["manifest.json"]
    assert other.fs.cat_file(other.path(f"{RUN}/part")) == b"another run's"


class Killed(BaseException):
    """Ends a commit where a kill would, with nothing done after it."""


def cut(url, patch, stop, kill):
    """Cut a commit off before a step, by one error or by a death, after which nothing happens."""
    memory, taken = type(fsspec.filesystem("memory")), []
    watched = [(Output, "remove_folder")]
    if "memory" in url:
        watched += [(memory, name) for name in ("cp_file", "pipe_file", "rm_file")]
    else:
        watched += [(os, name) for name in ("rename", "replace", "remove", "rmdir")]

    def watch(owner, name):
        original = getattr(owner, name)

        def step(*args, **kwargs):
            if not any(part in str(args) for part in ("lock.", "probe.")):
                taken.append(f"{name} {args}")
                if len(taken) == stop or (kill and len(taken) > stop):
                    raise Killed if kill else OSError(5, "Input/output error")
            return original(*args, **kwargs)

        patch.setattr(owner, name, step)

    for owner, name in watched:
        watch(owner, name)
    return taken


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "error"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "next"])
def test_cut_off_at_any_step_it_is_the_old_or_the_new(url, monkeypatch, kill, first):
    output, stop, outcomes, taken = Output(url), 0, set(), ["at first"]
    while len(taken) >= stop:
        output.remove_folder(output.target)
        output.remove_folder(output.aside)
        if not first:
            write(url, "old", *TWO, report=True)
        with staged(url) as stage:
            manifest = fill(stage, "new", PART, "y=2/part-00001.parquet", report=True)
            stop += 1
            with monkeypatch.context() as patch, suppress(OSError, Killed):
                taken = cut(url, patch, stop, kill)
                stage.commit(manifest, KEY)
            stage.keep = True
        check_output(url, "replace")  # who looks without the lock is not refused
        with opened(url) as again:  # what the next run finds
            found = read(url) if output.fs.exists(output.target) else []
            again.clear()
        assert found in ([] if first else ["old"] * 2, ["new"] * 2), (stop, taken)
        if found:
            assert output.fs.cat_file(output.report).decode() == f"page of {found[0]}"
            assert aside(url) == ["manifest.json", "report.html"]
        outcomes.add(tuple(found))
    assert stop > 6
    assert len(outcomes) == 2


def test_no_reader_ever_sees_a_mixture(monkeypatch):
    """Whoever finds _SUCCESS on an object store reads one table, at every step of the way."""
    url, fs = "memory://mixture/out", fsspec.filesystem("memory")
    write(url, "old", "part-0", "part-1", "part-2")
    seen = set()
    for name in ("cp_file", "pipe_file", "rm_file"):
        original = getattr(type(fs), name)

        def step(fs, *args, original=original, **kwargs):
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


def test_all_is_on_the_disk_before_it_appears(out, monkeypatch):
    """Else a power cut could leave empty files behind a _SUCCESS."""
    synced = set()
    missing = []
    sync, rename, remove = os.fsync, os.rename, os.remove

    def check(*paths):
        missing.extend(path for path in paths if path.stat().st_ino not in synced)

    def note(handle):
        sync(handle)
        synced.add(os.fstat(handle).st_ino)

    def look(source, target):
        record = Path(source).parent.with_suffix(".json")
        check(Path(source), *Path(source).rglob("*"), record)
        rename(source, target)

    def look_again(path):
        if path.endswith(".json"):  # until the record goes, the next run would do it again
            check(*(Path(path).with_name(name) for name in ("manifest.json", "report.html")))
        remove(path)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "rename", look)
    monkeypatch.setattr(os, "remove", look_again)
    with staged(out) as stage:
        Path(stage.report).write_text("drawn")
        for file in TWO:
            write_file(stage.folder, file, lambda handle: handle.write(b"rows"))
        stage.commit({"parts": [{"file": file, "bytes": 4} for file in TWO]})
    assert missing == []
    assert len(synced) >= 7
    assert out.parent.stat().st_ino in synced


# What is not dsmote's

FOREIGN = (
    *("thesis.txt", "sub/part.parquet", ".ssh/id", "mine.parquet"),
    *("_SUCCESS", "_records/a.json", f"{PART}.crc", f"y=1/{PART}", PART),
)


@pytest.mark.parametrize("foreign", FOREIGN)
def test_file_that_is_not_of_the_table_is_never_deleted(out, monkeypatch, caplog, foreign):
    """Not even of the name of a part, or where it comes after the last look."""
    swap = Stage._swap

    def put():
        (out / foreign).parent.mkdir(exist_ok=True)
        (out / foreign).write_text("precious")

    def put_late(stage):
        put()
        swap(stage)

    write(out, "old")
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "_swap", put_late)
        write(out, "new")
    (old,) = (out.parent / ".out.dsmote").glob("*/old")
    assert (old / foreign).read_text() == "precious"
    assert (old / PART).exists() == (foreign == PART)
    assert "could not be deleted, and stays: " in caplog.text
    assert read(out) == ["new"]
    put()
    for if_exists in ("error", "skip", "replace"):
        match = "there already" if if_exists == "error" else "holds more than a table of dsmote"
        with pytest.raises(FileExistsError, match=match), staged(out, if_exists):
            pass
    assert (out / foreign).read_text() == (old / foreign).read_text() == "precious"


def test_output_that_appeared_meanwhile_is_not_replaced(out):
    with pytest.raises(FileExistsError), staged(out, "error") as stage:
        manifest = fill(stage, "new")
        out.mkdir()
        (out / PART).write_text("other")
        stage.commit(manifest)
    assert (out / PART).read_text() == "other"
    assert os.listdir(out.parent) == ["out"]


@pytest.mark.parametrize("inside", ["", RUN, f"{RUN}/table", f"{RUN}/records", f"{RUN}/old"])
def test_links_beside_the_output_are_not_followed(out, inside):
    other, link = out.parent / "elsewhere" / RUN, out.parent / ".out.dsmote" / inside
    other.mkdir(parents=True)
    (other / "data.txt").write_text("precious")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(other)
    with pytest.raises(FileExistsError, match="is a link, which dsmote does not follow there"):
        write(out, "new")
    assert (other / "data.txt").read_text() == "precious"
    assert not out.exists()


@pytest.mark.parametrize("name", ["", RUN, "lock.1", "manifest.json"])
def test_folders_of_another_user_are_refused(out, monkeypatch, name):
    theirs = Path(dead_run(out).output.path(name))
    if name and not theirs.exists():
        theirs.mkdir()
    lstat = os.lstat

    def as_theirs(path):
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


def test_what_cannot_be_an_output(out):
    write(out, "old")
    check_output(str(out), "skip")
    (out.parent / ".out.dsmote" / "manifest.json").unlink()
    with pytest.raises(FileExistsError, match=r"manifest.json, which says .* delete it, or choose"):
        check_output(str(out), "skip")
    with pytest.raises(FileExistsError, match="holds more than a table of dsmote"):
        check_output(str(out), "replace")
    with pytest.raises(FileExistsError, match="is a file"):
        check_output(str(out / PART), "replace")
    with pytest.raises(OSError, match=rf"cannot write .*{PART}/below"):
        write(out / PART / "below", "new")
    with pytest.raises(ValueError, match="whole store or bucket: name a folder in it"):
        Output("memory://")


@pytest.mark.parametrize(
    ("name", "answer", "error"),
    [
        # A volume of a container: no folder can take its name, and that would be found out last.
        ("path.ismount", True, r"out is where a file system is mounted"),
        ("access", False, r"no permission to write .*out: it cannot be replaced"),
        ("makedirs", PermissionError(13, "Permission denied"), r"no permission to write .*out"),
    ],
)
def test_output_that_cannot_be_written_is_refused_before_work(
    out, monkeypatch, name, answer, error
):
    def look(path, *args, **kwargs):
        if isinstance(answer, OSError):
            raise answer
        return answer if path == str(out) else not answer

    write(out, "old")
    monkeypatch.setattr(f"os.{name}", look)
    for if_exists in ("skip", "replace"):
        with pytest.raises(OSError, match=error), staged(out, if_exists):
            pass
    assert read(out) == ["old"]
