"""The scripts of cluster/processes, mostly with a stand-in for Dask: only the processes matter."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cluster.starting import (
    CLUSTER,
    ENVIRONMENT,
    ROOT,
    SCRIPTS,
    processes_of,
    run,
    wait_until,
)

# A scheduler that writes its file, workers that only live, and what waits for them.
STAND_IN = """#!/bin/bash
case "$*" in
*" scheduler "*)
    [ ! "${BROKEN:-}" ] || { echo "no port is free"; exit 1; }
    while [ "$1" != --scheduler-file ]; do shift; done
    [ ! "${FULL:-}" ] || mkdir "${2%/*}/worker-1.pid"
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
IN_USE = "stop what runs there first"


@pytest.mark.parametrize(
    "script",
    [*sorted(CLUSTER.rglob("*.sh")), *(ROOT / "examples").rglob("*.sh")],
    ids=lambda file: file.name,
)
def test_script_is_clean(script):
    checker = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    checker = checker or shutil.which("shellcheck")
    assert checker, "no shellcheck beside this interpreter: install the extra `test`"
    checked = run(checker, "--external-sources", script)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("script", "args"),
    [
        ("run.sh", ["2"]),
        ("start.sh", ["folder"]),
        ("start.sh", ["folder", "two"]),
        ("stop.sh", []),
        ("stop.sh", ["no-such-folder"]),
        ("make-certificates.sh", []),
        ("make-certificates.sh", ["--help"]),
    ],
)
def test_wrong_usage_is_told(script, args, tmp_path):
    done = subprocess.run(
        [SCRIPTS / script, *args], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert os.listdir(tmp_path) == []


class Scripts:
    """start.sh and stop.sh for one folder, and the processes that were started."""

    def __init__(self, folder):
        self.folder = folder / "a cluster's folder"
        python = folder / "stand in"
        python.write_text(STAND_IN)
        python.chmod(0o755)
        (folder / "tmp").mkdir()
        # bash 3.2, as on a Mac, has no BASHPID; with CDPATH, cd may go elsewhere, and says where.
        old = folder / "old"
        old.write_text("unset BASHPID\n")
        self.settings = {
            **{"PYTHON": str(python), "TMPDIR": str(folder / "tmp")},
            **{"BASH_ENV": str(old), "CDPATH": str(folder)},
        }

    def start(self, n, **settings):
        return subprocess.Popen(
            [SCRIPTS / "start.sh", self.folder.name, str(n)],
            cwd=self.folder.parent,
            env=ENVIRONMENT | self.settings | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def started(self, n, **settings):
        process = self.start(n, **settings)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "tcp://127.0.0.1:9\n"), err
        assert len(self.alive()) == n + 1

    def refused(self, n, **settings):
        process = self.start(n, **settings)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 1, err
        return err

    def stopped(self, **settings):
        done = run(SCRIPTS / "stop.sh", self.folder, **self.settings | settings)
        assert (done.returncode, done.stderr) == (0, "")

    def alive(self):
        return processes_of(Path(self.settings["TMPDIR"]))


@pytest.fixture
def scripts(tmp_path):
    found = Scripts(tmp_path)
    yield found
    left = found.alive()
    for process in left:
        process.kill()
    assert left == []


def test_what_was_started_is_stopped_and_nothing_else(scripts):
    """One is dead by then, and another's pid belongs to somebody else by now.

    The time zone of who stops does not matter. A folder `scratch` is where many keep their data.
    """
    own = scripts.folder / "scratch" / "table.parquet"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    scripts.started(2, TZ="Asia/Tokyo")
    assert IN_USE in scripts.refused(2)
    psutil.Process(int((scripts.folder / "worker-1.pid").read_text().split()[0])).kill()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        dated = f"{stranger.pid}\nWed Jan  1 00:00:00 2020\n"
        (scripts.folder / "worker-2.pid").write_text(dated)
        scripts.stopped(TZ="America/New_York")
        assert stranger.poll() is None
        stranger.kill()
    assert scripts.alive() == []
    logs = {"scheduler.log", "worker-0.log", "worker-1.log"}
    assert set(os.listdir(scripts.folder)) == {"scratch", *logs}
    scripts.stopped()
    scripts.started(1)  # and the folder serves again
    scripts.stopped()
    assert own.read_text() == "mine"


def test_two_starts_at_once(scripts):
    scripts.folder.mkdir()
    processes = [scripts.start(1) for _ in range(4)]
    said = [process.communicate(timeout=30)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1, 1, 1], said
    assert [IN_USE in err for err in said] == [code == 1 for code in codes], said
    assert len(scripts.alive()) == 2
    scripts.stopped()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_start_that_is_stopped_at_any_time(scripts, number):
    """It leaves nothing; killed, it leaves what stop.sh clears up.

    Also what it had started, but not yet noted: that gives up by itself.
    """
    chance = random.Random(0)
    for _ in range(5):
        process = scripts.start(5)
        time.sleep(chance.uniform(0.02, 0.15))
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        if process.returncode == 0 or number == signal.SIGKILL:
            if (scripts.folder / "dask-scratch").exists():
                assert IN_USE in scripts.refused(1)
                scripts.stopped()
        else:
            assert process.returncode in (130, -signal.SIGTERM), err
            assert scripts.alive() == []
        wait_until(lambda: scripts.alive() == [], "all have ended", 5)
        assert not list(scripts.folder.glob("*.pid"))
    scripts.started(1)
    scripts.stopped()


@pytest.mark.parametrize(
    ("setting", "message"), [("BROKEN", "no port is free"), ("FULL", "worker-1.pid")]
)
def test_start_that_fails_leaves_nothing(scripts, setting, message):
    """As on a full disk: a process whose pid is not noted would never be stopped."""
    assert message in scripts.refused(3, **{setting: "yes"})
    assert scripts.alive() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_run_that_is_stopped_leaves_nothing(scripts, number):
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
