"""The command line as a program of its own, on clusters of processes: who dies, what is left."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest
from distributed import Client

import dsmote
from dsmote.job.demo import demo_chunk
from tests.job.conftest import beside

ROOT = Path(__file__).resolve().parents[2]
FILES = 24
FILE_ROWS = 600
SECONDS = 180
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many files, so that a run can be caught in the middle."""
    folder = tmp_path_factory.mktemp("cli") / "table"
    folder.mkdir()
    demo_chunk(0, FILE_ROWS).to_parquet(folder / "0.parquet", index=False)
    for number in range(1, FILES):
        shutil.copy(folder / "0.parquet", folder / f"{number}.parquet")
    return folder


def start(*command: object, new_group: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=new_group,
    )


def command(*args: object, new_group: bool = False) -> subprocess.Popen[str]:
    return start(sys.executable, "-m", "dsmote", *args, new_group=new_group)


def resample(table: Path, out: Path, *args: object, new_group: bool = False) -> subprocess.Popen:
    fixed = ("--target", "label", "--carry", "id", "--random-state", 0)
    return command("resample", table, out, *fixed, *args, new_group=new_group)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {SECONDS} s in vain until {what}"
        time.sleep(0.005)


def parts_written(out: Path) -> int:
    """Part files in the staging folder of a run."""
    return len(list(out.parent.glob(f".{out.name}.dsmote/*/table/part-*.parquet")))


def hashes(out: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.glob("part-*.parquet"))
    }


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler that was started on its own."""
    file = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    process = start(
        *(sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", 0),
        *("--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", file),
    )
    try:
        wait_until(lambda: file.exists() and file.stat().st_size > 0, "the scheduler runs")
        yield json.loads(file.read_text())["address"]
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


@contextmanager
def worker_of(scheduler: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """One more worker, which nobody brings back to life."""
    with Client(scheduler, set_as_default=False) as client:
        before = len(client.nthreads())
        process = start(
            *(sys.executable, "-m", "dask", "worker", scheduler, "--host", "127.0.0.1"),
            *("--no-nanny", "--no-dashboard", "--nthreads", 1, "--memory-limit", "1GiB", *args),
        )
        try:
            client.wait_for_workers(before + 1, timeout=SECONDS)
            yield process
        finally:
            process.kill()
            process.communicate(timeout=SECONDS)
            wait_until(lambda: len(client.nthreads()) == before, "the worker has gone")


@pytest.fixture(scope="module")
def workers(scheduler: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two workers that were started on their own."""
    with worker_of(scheduler) as one, worker_of(scheduler) as other:
        yield [one, other]


@pytest.fixture(scope="module")
def reference(table: Path) -> dict[str, str]:
    """Part files of a run from Python, on a local cluster of one worker."""
    out = table.parent / "reference"
    job = {"input": str(table), "output": str(out), "target": "label"}
    dsmote.run_job(
        job
        | {"params": {"carry": ["id"], "random_state": 0}}
        | {"cluster": {"n_workers": 1, "threads_per_worker": 1}}
    )
    assert pd.read_parquet(out)["label"].value_counts().to_dict() == {
        "genuine": 14_256,
        "fraud": 14_256,
    }
    return hashes(out)


@pytest.mark.slow  # with TLS and two workers in test_tls.py
def test_separate_scheduler_and_workers_give_the_same_files(
    table: Path,
    tmp_path: Path,
    scheduler: str,
    workers: list[subprocess.Popen[str]],
    reference: dict[str, str],
) -> None:
    code, out, err = finished(resample(table, tmp_path / "out", "--scheduler", scheduler, "--json"))
    assert code == 0, err
    assert hashes(tmp_path / "out") == reference
    assert len(json.loads(out)["memory"]["peak_bytes"]) == 2
    assert all(worker.poll() is None for worker in workers)


def test_worker_killed_in_the_middle_costs_no_row(
    table: Path,
    tmp_path: Path,
    scheduler: str,
    workers: list[subprocess.Popen[str]],
    reference: dict[str, str],
) -> None:
    with worker_of(scheduler) as victim, Client(scheduler, set_as_default=False) as client:
        pids = client.run(os.getpid)
        (address,) = [worker for worker, pid in pids.items() if pid == victim.pid]
        process = resample(table, tmp_path / "out", "--scheduler", scheduler, "--json")

        def in_the_middle() -> bool:
            # What the victim holds is lost with it, and must be made again by the others.
            return parts_written(tmp_path / "out") >= 5 and bool(client.has_what()[address])

        wait_until(in_the_middle, "parts are written and the victim holds some of the data")
        victim.send_signal(signal.SIGKILL)
        at_kill = parts_written(tmp_path / "out")
        code, out, err = finished(process)
        assert victim.wait(SECONDS) == -signal.SIGKILL
    assert code == 0, err
    assert 5 <= at_kill < len(json.loads(out)["parts"])
    assert hashes(tmp_path / "out") == reference
    assert beside(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "whom", [pytest.param("process", marks=pytest.mark.slow), "terminate", "terminal"]
)
def test_interrupt_leaves_no_half_output_and_no_process(
    table: Path, tmp_path: Path, whom: str
) -> None:
    out = tmp_path / "new" / "out"
    workers = 2 if whom == "terminal" else 1
    process = resample(table, out, "--n-workers", workers, new_group=True)
    wait_until(lambda: parts_written(out) >= 1, "parts are written")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= workers
    if whom == "process":
        process.send_signal(signal.SIGINT)
    elif whom == "terminate":
        process.send_signal(signal.SIGTERM)
    else:
        # What a terminal does on Ctrl-C: every process of the group gets it.
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.2)  # and once more, being impatient
        os.killpg(process.pid, signal.SIGINT)
    code, stdout, err = finished(process)
    assert code == 130, err
    assert stdout == ""
    assert err.splitlines()[-1] == "Interrupted: nothing was written."
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_interrupt_while_the_cluster_starts(table: Path, tmp_path: Path) -> None:
    process = resample(table, tmp_path / "out", "--n-workers", 2, new_group=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "starting workers ...\n"
    time.sleep(0.3)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    code, stdout, err = finished(process)
    assert (code, stdout) == (130, "")
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_interrupt_on_a_cluster_of_others_leaves_it_running(
    table: Path, tmp_path: Path, scheduler: str, workers: list[subprocess.Popen[str]]
) -> None:
    process = resample(table, tmp_path / "out", "--scheduler", scheduler)
    wait_until(lambda: parts_written(tmp_path / "out") >= 1, "parts are written")
    process.send_signal(signal.SIGINT)
    code, _, err = finished(process)
    assert code == 130, err
    time.sleep(0.5)  # a task that was running has ended by now
    assert os.listdir(tmp_path) == []
    assert all(worker.poll() is None for worker in workers)


@pytest.mark.slow  # what is left by a run held at a stage is looked at in test_faults.py
def test_run_that_was_killed_does_not_break_the_next(
    table: Path, tmp_path: Path, scheduler: str, workers: list[subprocess.Popen[str]]
) -> None:
    process = resample(table, tmp_path / "out", "--scheduler", scheduler)
    wait_until(lambda: parts_written(tmp_path / "out") >= 1, "parts are written")
    process.kill()
    finished(process)
    assert not (tmp_path / "out").exists()
    assert len(os.listdir(tmp_path)) == 1
    (lock,) = (tmp_path / ".out.dsmote").glob("lock.*")
    os.utime(lock, (0, 0))  # as if it had not been renewed for long
    code, _, err = finished(resample(table, tmp_path / "out", "--scheduler", scheduler))
    assert code == 0, err
    assert beside(tmp_path) == ["out"]


def test_unreachable_scheduler_is_named(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten seconds by default; Dask's own limit is kept where it is shorter.
    monkeypatch.setitem(ENVIRONMENT, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    address = "tcp://127.0.0.1:9"
    started = time.monotonic()
    process = command("plan", table, "--target", "label", "--scheduler", address)
    code, out, err = finished(process)
    assert (code, out) == (1, "")
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert f"no Dask scheduler answers at {address}" in errors[0]
    assert "Traceback" not in err
    assert time.monotonic() - started < 10


def test_worker_without_the_package_is_named(table: Path, tmp_path: Path, scheduler: str) -> None:
    """Sent a task that it cannot import it would end, and the job would wait for ever."""
    hide = tmp_path / "hide.py"
    hide.write_text("import sys\nsys.modules['dsmote'] = None\n")
    with worker_of(scheduler, "--preload", hide):
        process = command("plan", table, "--target", "label", "--scheduler", scheduler)
        code, out, err = finished(process)
    assert (code, out) == (1, "")
    assert re.search(
        r"^Error: the versions differ: dsmote is \S+ here, not installed on worker "
        r"tcp://127\.0\.0\.1:\d+; install there what is here \(dsmote==",
        err,
        flags=re.M,
    )


def test_failing_task_is_one_message(table: Path, tmp_path: Path) -> None:
    """An error inside a worker process brings neither a traceback nor the cluster's log."""
    source = tmp_path / "in"
    shutil.copytree(table, source)
    data = bytearray((source / "7.parquet").read_bytes())
    data[4:4000] = b"\xff" * 3996
    (source / "7.parquet").write_bytes(bytes(data))
    code, out, err = finished(resample(source, tmp_path / "out", "--n-workers", 1))
    assert (code, out) == (5, "")
    said = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert len(said) == 1, err
    assert "7.parquet is corrupt" in said[0]
    assert sorted(os.listdir(tmp_path)) == ["in"]


def test_script_runs_a_job_and_stops_what_it_started(
    table: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    script = shutil.which("bash"), ROOT / "cluster" / "processes" / "run.sh"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    fixed = ("--target", "label", "--carry", "id", "--random-state", 0)
    command = (*script, 1, "resample", table, tmp_path / "out", *fixed)
    process = start("env", f"PYTHON={sys.executable}", f"TMPDIR={scratch}", *command)
    wait_until(lambda: parts_written(tmp_path / "out") >= 1, "parts are written")
    pids = [int(file.read_text().split()[0]) for file in scratch.glob("*/*.pid")]
    started = [psutil.Process(pid) for pid in pids]
    assert len(started) == 2
    started += [child for each in started for child in each.children(recursive=True)]
    started += psutil.Process(process.pid).children(recursive=True)
    code, out, err = finished(process)
    assert code == 0, err
    assert str(tmp_path / "out") in out
    assert hashes(tmp_path / "out") == reference
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []
    assert os.listdir(scratch) == []


def test_script_needs_a_command() -> None:
    code, _, err = finished(
        start(shutil.which("bash"), ROOT / "cluster" / "processes" / "run.sh", 2)
    )
    assert code == 2
    assert "usage" in err
