"""One run at a time on an output; a dead run's lock is taken over, by one."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from dsmote.job.storage import (
    LocalStage,
    LockLost,
    OutputLocked,
    RemoteStage,
    opened,
    refuse_if_locked,
    running_manifest,
)
from dsmote.job.storage import heartbeat as heartbeat_module
from dsmote.job.storage import lock as lock_module
from dsmote.job.storage.lock import STALE_SECONDS, Lock, locked
from dsmote.job.storage.owner import describe, lives, this_process
from dsmote.job.storage.place import Place
from dsmote.job.storage.records import note_run, read_run
from tests.job.dead import dead_owner, die, elsewhere


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "local":
        yield Place.of(str(tmp_path / "out"))
        assert os.listdir(tmp_path) == []
        return
    fs = fsspec.filesystem("memory")
    yield Place.of("memory://locks/out")
    left = fs.find("/locks") if fs.exists("/locks") else []
    if left:
        fs.rm("/locks", recursive=True)
    assert left == []


def held_by(place: Place, owner: dict) -> Lock:
    lock = Lock(place)
    lock.acquire()
    die(lock, owner)
    return lock


def test_second_run_fails_at_once_and_says_who_holds_it(place: Place) -> None:
    with opened(place.url):
        for again in (lambda: Lock(place).acquire(), lambda: refuse_if_locked(place.url)):
            started = time.monotonic()
            with pytest.raises(OutputLocked) as raised:
                again()
            assert time.monotonic() - started < 1
            message = str(raised.value)
            assert f"another run is writing {place.url}: process {os.getpid()} on " in message
            assert "since 20" in message
            assert "after 300 s without a heartbeat" in message
    refuse_if_locked(place.url)
    with locked(place) as lock:
        place.remove(lock.beat)  # it is still trying, and may yet make way
        refuse_if_locked(place.url)


def test_lock_of_a_dead_process_is_taken_over(place: Place) -> None:
    dead = held_by(place, dead_owner())
    refuse_if_locked(place.url)
    with opened(place.url) as output, output.stage():
        assert set(place.names().values()) >= {(output.lock.token, ".lock")}
        assert dead.token not in {token for token, _ in place.names().values()}
    with pytest.raises(LockLost, match="showed no sign of life for more than 300 s"):
        dead.check()


def test_process_of_another_number_is_another_process() -> None:
    me = this_process()
    assert lives(me) is True
    assert lives({**me, "started": me["started"] - 1}) is None  # its heartbeat tells
    assert lives(dead_owner()) is False
    assert lives(elsewhere()) is None
    assert lives({**me, "machine": "a container that has its name"}) is None
    assert lives({}) is None
    assert str(os.getpid()) in describe(me)


def test_process_that_is_dead_and_not_buried_is_dead() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL
    )
    try:
        from dsmote.job.storage.owner import _started

        owner = {**this_process(), "pid": child.pid, "started": _started(child.pid)}
        assert lives(owner) is True
        child.kill()
        deadline = time.monotonic() + 10
        while lives(owner) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.returncode is None  # nobody has waited for it: it is a zombie
        assert lives(owner) is False
    finally:
        child.kill()
        child.wait()


def test_another_machine_is_dead_when_it_was_silent_for_long(tmp_path: Path) -> None:
    place = Place.of(str(tmp_path / "out"))
    there = held_by(place, elsewhere())
    with pytest.raises(OutputLocked, match="process 1 on another-host"):
        Lock(place).acquire()
    long_ago = time.time() - STALE_SECONDS - 5
    os.utime(there.file, (long_ago, long_ago))
    # Its lock is old, but it has just shown a heartbeat.
    with pytest.raises(OutputLocked):
        refuse_if_locked(place.url)
    os.utime(there.beat, (long_ago, long_ago))
    refuse_if_locked(place.url)
    with opened(place.url) as output, output.stage():
        assert not there.held()
    assert os.listdir(tmp_path) == []


def test_silence_since_a_time_to_come_is_counted_from_now(tmp_path: Path) -> None:
    """A machine whose clock was a year ahead has died: its lock must not hold for a year."""
    place = Place.of(str(tmp_path / "out"))
    there = held_by(place, elsewhere())
    in_a_year = time.time() + 365 * 86400
    for file in (there.file, there.beat):
        os.utime(file, (in_a_year, in_a_year))
    with pytest.raises(OutputLocked):
        Lock(place).acquire()
    seconds = place.seconds_since(there.file, there.beat)
    assert seconds is not None and 0 <= seconds < 60
    there.release()


def test_of_many_that_take_over_one_does(place: Place) -> None:
    """None may find itself alone while another does; mostly one gets it."""
    held_by(place, dead_owner())
    start, inside, most = threading.Barrier(8), [], []
    guard = threading.Lock()

    def take(_: int) -> bool:
        lock = Lock(place)
        start.wait()
        try:
            lock.acquire()
        except OutputLocked:
            return False
        with guard:
            inside.append(lock)
            most.append(len(inside))
        time.sleep(0.3)
        with guard:
            inside.remove(lock)
        lock.release()
        return True

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(take, range(8)))
    assert max(most, default=0) <= 1
    assert any(got)
    with opened(place.url) as output, output.stage():
        pass


def test_of_two_that_begin_at_the_same_moment_one_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each finds the other's lock beside its own, as often as it writes one."""
    both, original = threading.Barrier(2, timeout=10), Lock._write

    def together(self: Lock, path: str, document: dict) -> None:
        if path == self.file:
            both.wait()
        original(self, path, document)
        if path == self.file:
            both.wait()

    def take(lock: Lock) -> bool:
        try:
            lock.acquire()
        except OutputLocked:
            return False
        return True

    monkeypatch.setattr(Lock, "_write", together)
    locks = [Lock(place), Lock(place)]
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(take, locks))
    assert sorted(got) == [False, True]
    locks[got.index(True)].check()
    locks[got.index(True)].release()


def test_run_that_was_taken_over_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.02)
    with (
        pytest.raises(LockLost, match="another run may have taken its place"),
        opened(str(tmp_path / "out")) as output,
        output.stage() as stage,
    ):
        (Path(stage.folder) / "part-00000.parquet").write_text("mine")
        os.remove(output.lock.file)  # what a run does that takes it for dead
        with pytest.raises(LockLost):
            stage.commit({"parts": [{"file": "part-00000.parquet"}]})
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:  # and it is told before, when it has heard
            output.heartbeat.advance(1)
            time.sleep(0.02)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_run_that_is_taken_over_while_it_commits_puts_nothing_in_place(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, url = (
        ((LocalStage, "_sync"), str(tmp_path / "out"))
        if kind == "local"
        else ((RemoteStage, "_copy"), "memory://lost/out")
    )
    with pytest.raises(LockLost), opened(url) as output, output.stage() as stage:
        output.place.fs.pipe_file(f"{output.place.path(output.lock.token)}/part-00000.parquet", b"")
        original = getattr(*last)

        def lose(self: LocalStage | RemoteStage, *args: object) -> None:
            original(self, *args)
            output.place.remove(output.lock.file)

        monkeypatch.setattr(*last, lose)
        stage.commit({"parts": [{"file": "part-00000.parquet"}]})
    assert not output.place.exists(output.place.manifest)


def test_run_that_was_taken_over_leaves_what_is_gone_on_with_alone(tmp_path: Path) -> None:
    """It was suspended, the same job went on with its parts, and then it woke up."""
    place = Place.of(str(tmp_path / "out"))
    run, part = {"key": {"job": "the same"}, "seed": 0}, "part-00000.parquet"
    with pytest.raises(LockLost), opened(place.url) as output, output.stage() as stage:
        note_run(stage.folder, run)
        (Path(stage.folder) / part).write_text("whole")
        os.remove(output.lock.file)
        with opened(place.url) as other, other.stage("error", run["key"]) as adopted:
            assert (Path(adopted.folder) / part).read_text() == "whole"
            try:
                stage.commit({"parts": []})
            finally:
                stage.discard()
                assert read_run(adopted.folder) == run
                adopted.commit({"parts": [{"file": part}]})
    assert os.listdir(tmp_path / ".out.dsmote") == ["manifest.json"]
    assert (tmp_path / "out" / part).read_text() == "whole"


def test_lost_lock_is_not_brought_back_by_a_heartbeat(tmp_path: Path) -> None:
    place = Place.of(str(tmp_path / "out"))
    with opened(place.url) as output:
        os.remove(output.lock.file)
        output.heartbeat.beat()
        assert not output.lock.held()
        refuse_if_locked(place.url)
        with opened(place.url) as other:
            other.lock.check()


def test_lock_goes_however_the_run_ends(place: Place) -> None:
    for error in (KeyboardInterrupt, ValueError, SystemExit):
        with pytest.raises(error), opened(place.url):
            raise error
        assert place.names() == {}


def test_lock_that_cannot_be_read_is_a_lock(tmp_path: Path) -> None:
    place = Place.of(str(tmp_path / "out"))
    there = held_by(place, elsewhere())
    Path(there.file).write_text("{")
    with pytest.raises(OutputLocked):
        Lock(place).acquire()
    there.release()


def test_heartbeat_shows_how_far_the_run_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.02)
    assert running_manifest(place.url) is None
    with opened(place.url, {"input": "in"}) as output:
        output.heartbeat.stage("writing")
        output.heartbeat.start(10)
        output.heartbeat.advance(1)
        output.heartbeat.advance(1)
        deadline = time.monotonic() + 10
        while (running_manifest(place.url) or {}).get("parts", {}).get("done") != 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found = running_manifest(place.url)
        assert found is not None
        assert found["status"] == "running"
        assert found["stage"] == "writing"
        assert found["parts"] == {"done": 2, "total": 10}
        assert found["owner"]["pid"] == os.getpid()
        assert found["job"] == {"input": "in"}
        assert found["heartbeat"].startswith("20")
        assert json.dumps(found)
    assert running_manifest(place.url) is None


def test_heartbeat_that_cannot_be_written_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.01)
    tried = []

    def full(self: Place, path: str, document: object) -> None:
        tried.append(path)
        raise OSError(28, "No space left on device")

    with opened(str(tmp_path / "out")) as output:
        with monkeypatch.context() as patch:
            patch.setattr(Place, "write", full)
            deadline = time.monotonic() + 10
            while len(tried) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        output.heartbeat.advance(1)
        output.lock.check()


def test_age_is_told_by_the_clock_of_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.of(str(tmp_path / "out"))
    lock = held_by(place, elsewhere())
    monkeypatch.setattr(time, "time", lambda: 0.0)  # this machine's clock is far behind
    with pytest.raises(OutputLocked):
        Lock(place).acquire()
    seconds = place.seconds_since(lock.file)
    assert seconds is not None
    assert 0 <= seconds < 60
    assert place.seconds_since(place.path("nothing")) is None
    monkeypatch.undo()
    assert lock_module.TRIES > 1
    lock.release()
