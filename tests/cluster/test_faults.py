"""Who dies when, and what is wrong with the storage: the same bytes, or nothing and one message.

After each test there is no process, no lock and no scratch file left beside the output.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise

import pandas as pd
import psutil
import pytest
from distributed import Client

from dsmote import run_job
from dsmote.job import JobFailed
from dsmote.job.demo import demo_chunk
from tests.cluster.starting import (
    ENVIRONMENT,
    FIXED,
    SECONDS,
    STAGES,
    dsmote,
    hashes,
    kill,
    left_in,
    message,
    refused,
    scheduler_in,
    small_disk,
    wait_until,
    worker_at,
    workers_of,
    write_table,
)

SLOW = pytest.mark.slow


class Faults:
    """A table, a cluster of two workers with a nanny each, and the part files that are to come."""

    def __init__(self, folder, stages):
        self.scheduler, self.stages = stages.scheduler, stages
        self.table = write_table(folder / "table", 12, 1000)
        self.out = folder / "undisturbed"
        run_job({key: value for key, value in self.spec().items() if key != "cluster"})
        self.undisturbed = hashes(self.out)
        counts = pd.read_parquet(self.out)["label"].value_counts().to_dict()
        assert counts == {"genuine": 11_880, "fraud": 11_880}

    def spec(self, **fields):
        places = {"input": str(self.table), "output": str(self.out), "target": "label"}
        places["cluster"] = {"address": self.scheduler}
        return places | {"params": {"carry": ["id"], "random_state": 0}} | fields

    def command(self, *args):
        return ("resample", self.table, self.out, *FIXED, "--scheduler", self.scheduler, *args)

    @contextmanager
    def held(self, stage):
        """Run a job that is held at a stage; yield it, and what waits for a worker there."""
        with ThreadPoolExecutor(1) as pool, self.stages.held(stage) as arrived:
            future = pool.submit(run_job, self.spec())

            def over():
                return (future.exception() or future.result()) if future.done() else None

            yield future, lambda *but: arrived(over, *but)

    @contextmanager
    def held_command(self, stage):
        """The same of a command, which is a process."""
        with self.stages.held(stage) as arrived:
            process = dsmote(*self.command())

            def over():
                return None if process.poll() is None else process.communicate()

            yield process, lambda *but: arrived(over, *but)

    def same(self, result):
        """See that a job wrote the same bytes; return its manifest."""
        assert hashes(self.out) == self.undisturbed
        return result.manifest


@pytest.fixture(scope="module")
def faults(tmp_path_factory, stages):
    return Faults(tmp_path_factory.mktemp("faults"), stages)


@pytest.fixture
def job(faults, tmp_path, monkeypatch):
    """Jobs with an output of their own; only its records are left beside it, and no process."""
    here = psutil.Process()
    before = {child.pid for child in here.children()}
    (tmp_path / "lake").mkdir()
    monkeypatch.setattr(faults, "out", tmp_path / "lake" / "out")
    yield faults
    assert left_in(tmp_path / "lake") <= {"out"}
    assert {child.pid for child in here.children()} <= before
    with Client(faults.scheduler, set_as_default=False) as client:
        # Nothing of the job is kept on the cluster, which is as it was.
        wait_until(lambda: len(client.nthreads()) == 2, "both workers are there again")
        wait_until(lambda: not any(client.has_what().values()), "the workers hold nothing")


@SLOW
def test_workers_are_killed_at_each_stage(job):
    """Both at the first stage, and one at each of the others; a nanny starts another each time."""
    dead = []
    with ExitStack() as holds:
        future, arrived = holds.enter_context(job.held("profile"))
        dead.append(arrived())
        kill(dead[-1])
        for stage, following in pairwise([*STAGES, None]):
            dead.append(arrived(*dead))
            kill(dead[-1])
            # Where it was is taken up by another.
            arrived(*dead)
            if following:
                waits = holds.enter_context(job.stages.held(following))
                arrived = partial(waits, lambda: future.done() or None)
            job.stages.release(stage)
        job.same(future.result(SECONDS))


@SLOW
def test_a_worker_that_dies_over_the_same_task_again_and_again(job):
    dead = []
    with job.held("index") as (future, arrived):
        for _ in range(4):
            dead.append(arrived(*dead))
            kill(dead[-1])
        error = future.exception(SECONDS)
    assert "a worker died again and again over the same task" in str(error)
    assert not job.out.exists()


def test_a_worker_that_joins_late_and_is_killed_for_good(job, tmp_path):
    stages = job.stages
    with ExitStack() as late:
        with job.held("writing") as (future, arrived):
            first = arrived()
            second = arrived(first)
            worker = worker_at(job.scheduler, tmp_path / "log", *stages.preload, env=stages.env)
            late.enter_context(worker)
            kill(arrived(first, second))
        peaks = job.same(future.result(SECONDS))["memory"]["peak_bytes"]
    assert len(peaks) == 2


@SLOW
def test_the_scheduler_is_killed(job, tmp_path, monkeypatch):
    log = tmp_path / "own" / "log"
    with scheduler_in(tmp_path / "own") as address, monkeypatch.context() as changed:
        changed.setattr(job, "scheduler", address)
        changed.setitem(ENVIRONMENT, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "3s")
        with Client(address, set_as_default=False) as client:
            pid = client.run_on_scheduler(os.getpid)
        with (
            workers_of(address, log, *job.stages.preload, env=job.stages.env),
            job.held_command("writing") as (process, arrived),
        ):
            arrived()
            kill(pid)
            assert "the scheduler was lost" in message(process)
    assert os.listdir(job.out.parent) == []
    job.same(run_job(job.spec()))


@SLOW
@pytest.mark.parametrize("whom", ["terminal", "while it starts"])
def test_the_client_is_interrupted_with_local_workers(faults, tmp_path, whom):
    """A terminal sends Ctrl-C to every process of the group, and the impatient press it twice.

    Nothing is left: no half output, no process.
    """
    out = tmp_path / "new" / "out"
    process = dsmote("resample", faults.table, out, *FIXED, "--n-workers", 1)
    assert process.stderr is not None
    assert process.stderr.readline() == "starting workers ...\n"
    if whom == "while it starts":
        time.sleep(0.3)
    else:
        parts = ".out.dsmote/*/table/part-*.parquet"
        wait_until(lambda: list(out.parent.glob(parts)), "parts are written")
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    if whom == "terminal":
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
    assert message(process, 130) == "Interrupted: nothing was written."
    assert os.listdir(tmp_path) == []
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_the_client_is_interrupted_or_killed_and_the_next_run_is_clean(job):
    """With local workers, and by Ctrl-C, above."""
    with job.held_command("writing") as (process, arrived):
        arrived()
        process.send_signal(signal.SIGTERM)
        assert message(process, 130).startswith("Interrupted: ")
    assert os.listdir(job.out.parent) == []
    time.sleep(0.2)  # until tasks that were held have gone on
    with job.held_command("writing") as (process, arrived):
        arrived()
        kill(process.pid)
        process.communicate(timeout=60)
    assert os.listdir(job.out.parent) == [".out.dsmote"]
    (lock,) = (job.out.parent / ".out.dsmote").glob("lock.*")
    os.utime(lock, (0, 0))  # as if it had not been renewed for long
    job.same(run_job(job.spec()))


@pytest.fixture
def spoilt(job, tmp_path, monkeypatch):
    """The last file of a table that a test may spoil."""
    shutil.copytree(job.table, tmp_path / "in")
    monkeypatch.setattr(job, "table", tmp_path / "in")
    return tmp_path / "in" / "11.parquet"


@pytest.mark.parametrize(
    ("how", "stage"),
    [
        ("changes", "writing"),
        pytest.param("vanishes", "index", marks=SLOW),
        pytest.param("is cut short", "profile", marks=SLOW),
    ],
)
def test_a_file(job, spoilt, how, stage):
    with job.held(stage) as (future, arrived):
        arrived()
        if how == "vanishes":
            spoilt.unlink()
        elif how == "is cut short":
            os.truncate(spoilt, spoilt.stat().st_size // 2)
        else:
            frame = pd.read_parquet(spoilt)
            frame.assign(amount=frame["amount"] * 2).to_parquet(spoilt, index=False)
    with pytest.raises((JobFailed, ValueError, OSError), match=r"11\.parquet"):
        future.result(SECONDS)
    assert not job.out.exists()


@pytest.fixture
def disk(job, tmp_path, monkeypatch):
    """A file system of few bytes for the output."""
    with small_disk(tmp_path / "disk", "400k") as folder:
        monkeypatch.setattr(job, "out", folder / "out")
        yield folder


def test_a_disk_becomes_full_and_the_old_table_stays(job, disk):
    old, records = disk / "out", disk / ".out.dsmote"
    old.mkdir()
    (old / "part-00000.parquet").write_bytes(b"old")
    records.mkdir()
    parts = [{"file": "part-00000.parquet", "bytes": 3}]
    (records / "manifest.json").write_text(json.dumps({"parts": parts}))
    said = refused(*job.command("--overwrite"))
    assert left_in(disk) == {"out"}
    assert (old / "part-00000.parquet").read_bytes() == b"old"
    assert "No space left on device" in said
    assert str(old) in said or ".out.dsmote" in said


def test_a_disk_is_read_only(job, disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    said = refused(*job.command())
    assert os.listdir(disk) == []
    assert said == f"Error: cannot write {job.out}: Read-only file system"


@SLOW
def test_too_little_memory_is_refused(job, tmp_path):
    wide = tmp_path / "wide.parquet"
    frame = demo_chunk(0, 60_000)[["amount"]]
    for i in range(40):
        frame[f"x{i}"] = frame["amount"] + i
    frame["label"] = ["genuine", "genuine", "fraud"] * 20_000
    frame.to_parquet(wide, index=False)
    size = ("--n-workers", 1, "--threads-per-worker", 1, "--memory-limit", "330MiB")
    said = refused("resample", wide, job.out, "--target", "label", *size, code=4)
    assert "MiB" in said
    assert "memory" in said
    assert not job.out.exists()


def _written_to_disk(dask_worker):
    metrics = dask_worker.data.cumulative_metrics
    return int(metrics["disk-write", "bytes"])


@SLOW
def test_spill_at_work(job, tmp_path):
    # Whatever is kept between tasks goes to disk at once.
    env = {"DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.00001"}
    with (
        scheduler_in(tmp_path / "own") as address,
        workers_of(address, tmp_path / "own" / "log", n=2, env=env),
    ):
        job.same(run_job(job.spec(cluster={"address": address})))
        with Client(address, set_as_default=False) as client:
            spilled = client.run(_written_to_disk)
    assert sum(spilled.values()) > 100_000
