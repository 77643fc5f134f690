"""Where the tasks of a job run, and how they end: on workers, or on threads of this process."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import dask
import pandas as pd
import pytest
from dask import delayed
from distributed import Event, KilledWorker
from distributed.comm import CommClosedError

from dsmote import run_job
from dsmote.job import JobFailed, JobSpec, prepare, write_job
from dsmote.job.runner import SMALL_BYTES, Threads, Workers, _all_paused, explained, is_for_workers
from dsmote.job.spec import Split
from tests.job.conftest import beside, numeric_frame

ROOT = Path(__file__).resolve().parents[2]


def job(source, out, **fields):
    return JobSpec(str(source), "y", output=str(out), **{"random_state": 0, **fields})


def program(text, folder):
    """Start a program that runs the command line in a folder, where `numeric` is."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{text}\nmain('resample numeric new/out --target y --quiet'.split())",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_imported_that_a_small_job_does_without(numeric, tmp_path):
    at_exit = "print(*sorted(name for name in sys.modules if name.partition('.')[0] in told))"
    text = (
        "import atexit, sys\nfrom dsmote.cli import main\n"
        "told = {'dsmote', 'distributed', 'sklearn', 'matplotlib'}\n"
        f"atexit.register(lambda: {at_exit})"
    )
    out, said = program(text, tmp_path).communicate(timeout=100)
    assert said == ""
    assert {name.partition(".")[0] for name in out.split()} == {"dsmote"}
    assert len(out.split()) <= 50
    assert len(pd.read_parquet(tmp_path / "new/out")) == 350


@pytest.mark.parametrize(
    "fields",
    [
        {"carry": ("id", "note")},
        {"sampler": "borderline", "carry": ("id", "note", "cat", "text"), "report": True},
        {"sampler": "random-under"},
        {"split": Split(test_fraction=0.3), "shuffle": True, "partition_by": ("text",)},
        {"mode": "synthetic", "carry": ("id", "note")},
        {"format": "csv"},
    ],
    ids=["smotenc", "borderline", "under-sampling", "split and shuffle", "synthetic", "csv"],
)
def test_here_and_on_workers_it_is_the_same_job(mixed, tmp_path, client, fields):
    """The same bytes, and the same manifest but for times and processes."""
    source, told = mixed, []
    if "format" in fields:
        source = tmp_path / "in.csv"
        numeric_frame().to_csv(source, index=False)
    for name, workers in (("here", None), ("there", client)):
        manifest = write_job(prepare(job(source, tmp_path / name, **fields)), workers).manifest
        for one in ("seconds", "stages", "memory"):
            del manifest[one]
        del manifest["job"]["output"]
        told.append(manifest)
    assert told[0] == told[1]
    files = [sorted((tmp_path / name).rglob("*.parquet")) for name in ("here", "there")]
    assert len(files[0]) == len(files[1]) > 0
    for here, there in zip(*files, strict=True):
        assert here.read_bytes() == there.read_bytes()
    assert {"here", "mixed", "there"} >= {*beside(tmp_path)} - {"in.csv"}


def test_where_a_job_runs(numeric, tmp_path):
    spec = {"input": str(numeric), "output": str(tmp_path / "out"), "target": "y"}
    here = run_job(spec)
    assert list(here.manifest["memory"]["peak_bytes"]) == ["this process"]
    assert sum("runs in this process" in note for note in here.plan.notes) == 1
    again = {**spec, "if_exists": "replace", "cluster": {"n_workers": 1}}
    there = run_job(again)
    assert next(iter(there.manifest["memory"]["peak_bytes"])).startswith("tls://")
    assert not any("runs in this process" in note for note in there.plan.notes)
    assert not is_for_workers(SMALL_BYTES - 1)
    assert is_for_workers(SMALL_BYTES)
    for name in ("scheduler-address", "scheduler-file"):
        with dask.config.set({name: "tcp://127.0.0.1:9"}):
            assert is_for_workers(0)
    # What is asked for counts, too.
    few = prepare(job(numeric, tmp_path / "a")).n_bytes
    many = prepare(job(numeric, tmp_path / "a", sampling_strategy={"rare": 10**8})).n_bytes
    assert few < 100_000 and many > SMALL_BYTES


def test_an_active_client_is_used_unless_dask_is_told_otherwise(numeric, tmp_path, client):
    assert is_for_workers(0)
    with dask.config.set(scheduler="synchronous"):
        plan = run_job(job(numeric, tmp_path / "out")).plan
    assert plan.memory.limit_source == "the memory of this machine"


def test_jobs_in_two_threads_disturb_neither_each_other_nor_the_program(
    numeric, tmp_path, monkeypatch
):
    both, second_ended = threading.Barrier(2), threading.Event()
    compute, found = Threads.compute, []

    def slow(self, *args):
        both.wait(60)  # each has set up what it needs
        if threading.current_thread().name == "first":
            second_ended.wait(60)
        return compute(self, *args)

    def work(name):
        found.append(write_job(prepare(job(numeric, tmp_path / name))).manifest["status"])
        if name == "second":
            second_ended.set()

    monkeypatch.setattr(Threads, "compute", slow)
    threads = [threading.Thread(target=work, args=(n,), name=n) for n in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert found == ["done", "done"]
    assert dask.config.get("scheduler", None) is None
    assert dask.delayed(1).compute() == 1


class Paused:
    """A cluster whose workers have all stopped, as its scheduler describes it."""

    def __init__(self, client, **counts):
        self._client = client
        self.counts = counts
        self.cancelled = []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def scheduler_info(self, n_workers):
        worker = {"status": "paused", "metrics": {"task_counts": self.counts}}
        return {"workers": {"tcp://a": worker, "tcp://b": worker}}

    def cancel(self, futures, force):
        self.cancelled.append(len(futures))
        self._client.cancel(futures, force=force)


def wait(name):
    """Take until the event is set; not cancelled, because threads cannot be."""
    return Event(name).wait(timeout=30)


def test_job_is_given_up_when_all_workers_have_stopped(client):
    end = Event(client=client)
    others = client.submit(wait, end.name, pure=False)
    with (
        pytest.raises(JobFailed, match="all workers are out of memory"),
        Workers(Paused(client)).guarded(patience=0.5),
    ):
        client.submit(wait, end.name, pure=False, priority=-1).result(timeout=25)
    assert others.status != "cancelled"
    end.set()
    assert others.result(timeout=25)


def test_workers_that_work_are_not_stuck(client):
    assert not _all_paused(client)
    assert _all_paused(Paused(client, ready=1))
    with Workers(Paused(client, executing=1)).guarded(patience=0.1):
        client.submit(time.sleep, 0.5, pure=False).result()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KilledWorker(("part-1", 3), "tcp://127.0.0.1:1", 3), "give each worker more .* was part$"),
        (CancelledError("part-1"), "the scheduler was lost, or has dropped .*part-1"),
        (CommClosedError("in <TCP>"), "the scheduler was lost"),
        (ModuleNotFoundError("no x", name="x"), "a worker lacks the module x: install dsmote"),
        (RuntimeError("deserialization of the task graph"), "cannot read the job: install dsmote"),
    ],
)
def test_errors_of_a_cluster_are_explained(error, message):
    with pytest.raises(JobFailed, match=message), explained():
        raise error


@pytest.mark.parametrize("error", [RuntimeError("other"), ZeroDivisionError(), OSError(5, "x")])
def test_other_errors_stay_what_they_are(error, client):
    with pytest.raises(type(error)) as raised, Workers(client).guarded():
        raise error
    assert raised.value is error


def test_an_interrupted_job_leaves_nothing(numeric, tmp_path):
    process = program(
        "import time\nfrom dsmote.job import parts\nfrom dsmote.cli import main\n"
        "write = parts.write_part\n"
        "def slow(*args, **how):\n"
        "    made = write(*args, **how)\n    print('written', flush=True)\n"
        "    time.sleep(1)\n    return made\n"
        "parts.write_part = slow",
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("written")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "Interrupted: nothing was written.\n")
    assert sorted(os.listdir(tmp_path)) == ["numeric"]


@pytest.mark.parametrize("where", ["Stage.discard", "Stage.open"])
def test_a_signal_does_not_disturb_what_tidies_up(numeric, tmp_path, where):
    process = program(
        "import os, signal\nfrom dsmote.job import storage\nfrom dsmote.cli import main\n"
        f"written = storage.{where}\n"
        "def interrupted(self):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    return written(self)\n"
        f"storage.{where} = interrupted",
        tmp_path,
    )
    _, said = process.communicate(timeout=100)
    if where == "Stage.open":  # nothing is in place yet
        assert (process.returncode, said) == (130, "Interrupted: nothing was written.\n")
        assert sorted(os.listdir(tmp_path)) == ["numeric"]
    else:
        assert (process.returncode, said) == (0, "")
        assert os.listdir(tmp_path / "new/.out.dsmote") == ["manifest.json"]


@pytest.fixture
def handled():
    """Signals are handled: where the tests run in the background of a shell, they are ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handled")
def test_a_signal_cancels_the_tasks_and_one_that_comes_too_late_is_none(client):
    end = Event(client=client)
    timer = threading.Timer(0.3, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt), Workers(client).guarded():
        client.submit(wait, end.name, pure=False).result(timeout=25)
    end.set()
    with Workers(client).guarded():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("handled")
def test_threads_end_their_tasks_and_begin_no_other():
    begun = []
    ended = []

    def task(number):
        begun.append(number)
        if len(begun) == 1:
            signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.2)
        ended.append(number)

    main, threads = threading.get_ident(), Threads()
    tasks = [delayed(task)(number) for number in range(100)]
    with pytest.raises(KeyboardInterrupt), threads.guarded():
        threads.compute(tasks, [], lambda result: None)
    before = list(ended)
    time.sleep(0.5)
    assert ended == before and sorted(begun) == sorted(ended) and len(ended) < 20


def test_a_third_signal_ends_the_process():
    text = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dsmote.job.runner import Threads\n"
        "with Threads().guarded():\n"
        "    for _ in range(3): signal.raise_signal(signal.SIGINT)\n"
        "    print('went on')\n"
    )
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (130, b"")
