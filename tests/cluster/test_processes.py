"""The scripts of cluster/processes: what they start they stop, and nothing else."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cluster.starting import wait_until
from tests.cluster.test_tls import ENVIRONMENT, SCRIPTS, run


def pids(folder: Path) -> dict[str, int]:
    return {file.stem: int(file.read_text().split()[0]) for file in folder.glob("*.pid")}


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda file: file.name)
def test_script_is_clean(script: Path) -> None:
    parsed = run(shutil.which("bash") or "bash", "-n", script)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    checker = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
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
def test_wrong_usage_is_told(script: str, args: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPTS / script, *args], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert os.listdir(tmp_path) == []


def test_certificates_that_are_not_there_are_told(tmp_path: Path) -> None:
    done = run(SCRIPTS / "start.sh", tmp_path / "cluster", 1, TLS=tmp_path)
    assert done.returncode == 2
    assert f"no certificates in {tmp_path}: make them" in done.stderr
    assert os.listdir(tmp_path) == []


def test_workers_are_stopped_by_their_own_pid_only(tmp_path: Path) -> None:
    """One is dead by then, and another's pid belongs to somebody else by now."""
    folder = tmp_path / "the cluster"
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        started = run(SCRIPTS / "start.sh", folder, 2, MEMORY_LIMIT="1GiB")
        assert started.returncode == 0, started.stderr
        processes = {name: psutil.Process(pid) for name, pid in pids(folder).items()}
        assert set(processes) == {"scheduler", "worker-0", "worker-1"}
        everybody = [*processes.values(), *processes["worker-0"].children(recursive=True)]
        again = run(SCRIPTS / "start.sh", folder, 2)
        assert again.returncode == 1
        assert "stop what runs there first" in again.stderr
        # More workers, from what could be another machine.
        more = tmp_path / "more"
        joined = run(SCRIPTS / "start.sh", more, 1, SCHEDULER=started.stdout.strip())
        assert (joined.returncode, joined.stdout) == (0, started.stdout), joined.stderr
        assert set(pids(more)) == {"worker-0"}
        assert run(SCRIPTS / "stop.sh", more).returncode == 0
        # One that cannot start is told at once, with what it said.
        lame = tmp_path / "python"
        lame.write_text(
            '#!/bin/sh\ncase "$*" in *" worker "*) echo no memory; exit 1;; esac\n'
            f'exec "{sys.executable}" "$@"\n'
        )
        lame.chmod(0o755)
        failed = run(SCRIPTS / "start.sh", more, 1, SCHEDULER=started.stdout.strip(), PYTHON=lame)
        assert failed.returncode == 1
        assert re.fullmatch(
            r"no memory\n\S+-0 has ended: see above what it said last\n", failed.stderr
        )
        assert pids(more) == {}
        alone = run(SCRIPTS / "start.sh", more, 1, SCHEDULER="tls://127.0.0.1:9")
        assert alone.returncode == 1
        assert re.fullmatch(r"no scheduler can be reached .*TLS.*\n", alone.stderr)

        processes["worker-1"].kill()
        (folder / "worker-2.pid").write_text(
            f"{stranger.pid}\nWed Jan  1 00:00:00 2020\n", encoding="utf-8"
        )
    finally:
        stopped = run(SCRIPTS / "stop.sh", folder)
        there = stranger.poll() is None
        stranger.kill()
        stranger.wait(10)
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert there
    assert psutil.wait_procs(everybody, timeout=5)[1] == []
    assert list(folder.glob("*.pid")) == []
    assert sorted(os.listdir(folder)) == ["scheduler.log", "worker-0.log", "worker-1.log"]


def test_scheduler_that_cannot_start_is_told(tmp_path: Path) -> None:
    done = run(SCRIPTS / "start.sh", tmp_path / "cluster", 1, HOST="192.0.2.1")
    assert done.returncode != 0
    assert "192.0.2.1" in done.stderr or "Cannot assign" in done.stderr
    assert list((tmp_path / "cluster").glob("*.pid")) == []


@pytest.mark.slow
def test_interrupted_run_stops_its_cluster(tmp_path: Path) -> None:
    """A Ctrl-C reaches the script and the command; the cluster is stopped after them."""
    (tmp_path / "scratch").mkdir()
    process = subprocess.Popen(
        [SCRIPTS / "run.sh", "1", "demo", "--rows", "2000000", "--output", str(tmp_path / "demo")],
        env=ENVIRONMENT | {"TMPDIR": str(tmp_path / "scratch")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    scratch = tmp_path / "scratch"
    try:
        wait_until(lambda: (tmp_path / "demo").exists(), "the command works")
        found = {name: pid for each in scratch.iterdir() for name, pid in pids(each).items()}
        assert set(found) == {"scheduler", "worker-0"}
        processes = [psutil.Process(pid) for pid in found.values()]
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait(10)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    deadline = time.monotonic() + 5
    while os.listdir(scratch) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert os.listdir(scratch) == []
