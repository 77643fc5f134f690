"""The scripts of cluster/processes with a stand-in for Dask, where only the processes matter."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster.starting import wait_until
from tests.cluster.test_tls import ENVIRONMENT, SCRIPTS, run

# A scheduler that writes its file, workers that only live, and what waits for them.
STAND_IN = """#!/bin/bash
case "$*" in
*" scheduler "*)
    while [ "$1" != --scheduler-file ]; do shift; done
    echo '{"address": "tcp://127.0.0.1:9"}' >"$2"
    exec sleep 60 ;;
*" worker "*)
    [ "${SLOW:-}" ] || exec sleep 60
    trap 'kill $!; sleep 0.5; exit' TERM
    sleep 60 & wait ;;
"-m dsmote "*) touch "$TMPDIR/began"; exec sleep 60 ;;
*) echo tcp://127.0.0.1:9 ;;
esac
"""


class Scripts:
    """start.sh and stop.sh for one folder, and the processes that were started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a cluster's folder"
        self.python = folder / "stand in"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        (folder / "tmp").mkdir()
        # bash 3.2, as on a Mac, has no BASHPID; with CDPATH, cd may go elsewhere, and says where.
        old = folder / "old"
        old.write_text("unset BASHPID\n")
        self.settings = {
            **{"PYTHON": str(self.python), "TMPDIR": str(folder / "tmp")},
            **{"BASH_ENV": str(old), "CDPATH": str(folder)},
        }

    def start(self, n: int, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SCRIPTS / "start.sh", self.folder.name, str(n)],
            cwd=self.folder.parent,
            env=ENVIRONMENT | self.settings | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def started(self, n: int, **settings: str) -> None:
        process = self.start(n, **settings)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "tcp://127.0.0.1:9\n"), err
        assert len(self.alive()) == n + 1

    def stop(self, **settings: str) -> subprocess.CompletedProcess[str]:
        return run(SCRIPTS / "stop.sh", self.folder, **self.settings | settings)

    def alive(self) -> list[psutil.Process]:
        """Those that run, however they are called: they have this test's TMPDIR."""
        found = []
        for process in psutil.process_iter():
            try:
                own = process.environ().get("TMPDIR") == self.settings["TMPDIR"]
                if own and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    found = Scripts(tmp_path)
    yield found
    left = found.alive()
    for process in left:
        process.kill()
    assert left == []


def test_time_zone_of_who_stops_does_not_matter(scripts: Scripts) -> None:
    scripts.started(2, TZ="Asia/Tokyo")
    stopped = scripts.stop(TZ="America/New_York")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert scripts.alive() == []
    assert sorted(os.listdir(scripts.folder)) == ["scheduler.log", "worker-0.log", "worker-1.log"]
    scripts.started(1)  # and the folder serves again
    assert scripts.stop().returncode == 0


def test_what_is_in_the_folder_stays(scripts: Scripts) -> None:
    """A folder `scratch` in one's home is where many keep their data."""
    own = scripts.folder / "scratch" / "table.parquet"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    scripts.started(1)
    assert scripts.stop().returncode == 0
    assert scripts.stop().returncode == 0
    assert own.read_text() == "mine"


def test_two_starts_at_once(scripts: Scripts) -> None:
    scripts.folder.mkdir()
    processes = [scripts.start(1) for _ in range(4)]
    said = [process.communicate(timeout=30)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1, 1, 1], said
    for code, err in zip(codes, said, strict=True):
        assert ("stop what runs there first" in err) == (code == 1), said
    assert len(scripts.alive()) == 2
    assert scripts.stop().returncode == 0


def test_start_that_is_stopped_at_any_time_leaves_nothing(scripts: Scripts) -> None:
    chance = random.Random(0)
    for _ in range(5):
        process = scripts.start(5)
        time.sleep(chance.uniform(0.02, 0.15))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        if process.returncode == 0:  # it was there first
            assert scripts.stop().returncode == 0
        else:
            assert process.returncode in (130, -signal.SIGTERM), err
        assert scripts.alive() == []
        assert not list(scripts.folder.glob("*.pid"))


def test_start_that_cannot_write_leaves_nothing(scripts: Scripts) -> None:
    """As on a full disk: a process whose pid is not noted would never be stopped."""
    text = scripts.python.read_text()
    here = 'mkdir "${2%/*}/worker-1.pid"'
    scripts.python.write_text(text.replace("    exec sleep 60 ;;", f"    {here}; exec sleep 60 ;;"))
    process = scripts.start(3)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "worker-1.pid" in err
    assert scripts.alive() == []


def test_start_that_is_killed_at_any_time_is_cleared_by_stop(scripts: Scripts) -> None:
    """Also what it had started, but not yet noted: that gives up by itself."""
    chance = random.Random(0)
    for _ in range(12):
        process = scripts.start(5)
        time.sleep(chance.uniform(0.02, 0.15))
        process.kill()
        process.communicate(timeout=30)
        if (scripts.folder / "dask-scratch").exists():
            again = scripts.start(1)
            assert "stop what runs there first" in again.communicate(timeout=30)[1]
            assert scripts.stop().returncode == 0
        wait_until(lambda: scripts.alive() == [], "all have ended", 5)
    scripts.started(1)
    assert scripts.stop().returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_run_that_is_stopped_leaves_nothing(scripts: Scripts, number: signal.Signals) -> None:
    """While Python starts it ignores SIGINT. The impatient press Ctrl-C again and again."""
    process = subprocess.Popen(
        [SCRIPTS / "run.sh", "2", "demo"],
        env=ENVIRONMENT | scripts.settings | {"SLOW": "yes"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    scratch = Path(scripts.settings["TMPDIR"])
    wait_until((scratch / "began").exists, "the command runs", 20)
    if number != signal.SIGINT:
        process.send_signal(number)
    for _ in range(100):
        if process.poll() is None and number == signal.SIGINT:
            os.killpg(process.pid, number)
        time.sleep(0.1)
        if process.poll() is not None:
            break
    assert process.poll() == 130
    assert scripts.alive() == []
    assert os.listdir(scratch) == ["began"]


def test_when_a_process_was_started_is_known_without_proc() -> None:
    """As on a Mac. One that has ended, and was not asked how yet, does not run."""
    script = """
        text=$(<"$1"); eval "${text//\\/proc/\\/none}"
        TZ=Asia/Tokyo started $$; TZ=America/New_York started $$
        { true & exec sleep 5; } & sleep 0.3; child=$(pgrep -P $!); started "$child"; kill $!
    """
    done = run("bash", "-uc", script, "bash", SCRIPTS / "started.sh")
    first, second, *more = done.stdout.split("\n")
    assert first == second != ""
    assert (more, done.stderr) == ([""], "")
