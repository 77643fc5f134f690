"""On a cluster: the same rows from any number of workers, also when one of them is killed.

Workers are processes of their own, bound to 127.0.0.1; every process started here is ended here.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster, wait

from dsmote import SMOTE, SMOTENC
from dsmote.plan import MemoryLimitError
from tests.tables import assert_same_bits, dask_array, dask_frame, even, mixed, numbers

PARTS = 12


@contextlib.contextmanager
def local_cluster(n_workers, threads=1, memory="1GiB"):
    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads,
            memory_limit=memory,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def worker_at(scheduler_file):
    return start(
        "dask_worker",
        "--scheduler-file",
        str(scheduler_file),
        "--host",
        "127.0.0.1",
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
        "--memory-limit",
        "1GiB",
    )


@contextlib.contextmanager
def separate_processes(folder, n_workers):
    """Start a scheduler and workers as processes of their own; yield a client and the workers."""
    scheduler_file = folder / "scheduler.json"
    processes = [
        start(
            "dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(scheduler_file),
        )
    ]
    processes += [worker_at(scheduler_file) for _ in range(n_workers)]
    try:
        with Client(scheduler_file=str(scheduler_file), timeout=60) as client:
            client.wait_for_workers(n_workers, timeout=60)
            yield client, processes[1:]
    finally:
        for process in processes[::-1]:
            process.kill()
        for process in processes:
            process.wait(timeout=30)


def slowly(part, seconds):
    """Pass a partition on after a while, so that there is a middle to be killed in."""
    time.sleep(seconds)
    return part


def slow_frame(table, seconds, parts=PARTS):
    frame = dask_frame(table, even(len(table), parts))
    return frame.map_partitions(slowly, seconds, meta=frame._meta)


def made_part(i):
    rng = np.random.default_rng(i)
    part = pd.DataFrame(rng.normal(size=(400, 4)), columns=list("abcd"))
    part["y"] = (rng.random(400) < 0.1).astype("int64")
    return part


@pytest.fixture(scope="class", params=[pytest.param(1, marks=pytest.mark.slow), 4])
def client(request):
    with local_cluster(request.param) as client:
        yield client


class TestWorkers:
    def test_smote_on_workers(self, client):
        table = numbers(3_000, 300, 4)
        expected = SMOTE(random_state=0).resample(table, target="y")
        for parts in (1, 7, 40):
            frame = dask_frame(table, even(3_000, parts))
            found = SMOTE(random_state=0).resample(frame, target="y").compute()
            assert_same_bits(found, expected)

    def test_smotenc_on_workers(self, client):
        table = mixed(1_500, 200)
        sampler = SMOTENC(random_state=0)
        expected = sampler.resample(table, target="y")
        lazy = sampler.resample(dask_frame(table, even(1_500, 9)), target="y")
        assert_same_bits(lazy.compute(), expected)
        assert_same_bits(lazy[["d", "y"]].compute(), expected[["d", "y"]])

    def test_pairs_and_arrays_on_workers(self, client):
        table = numbers(900, 90, 3)
        X, y = table.drop(columns="y"), table["y"]
        expected = SMOTE(random_state=0).fit_resample(X, y)
        lengths = even(900, 5)
        pairs = [
            (dask_frame(X, lengths), dask_frame(y, lengths)),
            (dask_array(X.to_numpy(), lengths), dask_array(y.to_numpy(), lengths)),
            (dask_array(X.to_numpy(), lengths, known=False), dask_array(y.to_numpy(), lengths)),
        ]
        for pair in pairs:
            found = dask.compute(*SMOTE(random_state=0).fit_resample(*pair))
            for one, other in zip(found, expected, strict=True):
                assert_same_bits(one, other)

    def test_kept_on_the_workers(self, client):
        table = numbers(900, 90, 3)
        kept = SMOTE(random_state=0).resample(dask_frame(table, even(900, 6)), target="y").persist()
        wait(kept)
        expected = SMOTE(random_state=0).resample(table, target="y")
        assert_same_bits(kept.compute(), expected)
        assert kept["y"].value_counts().compute().to_dict() == {0: 810, 1: 810}

    def test_from_files_on_workers(self, client, tmp_path):
        table = numbers(1_200, 150, 4)
        for i in range(6):
            table[200 * i : 200 * (i + 1)].to_parquet(tmp_path / f"part.{i}.parquet", index=False)
        expected = SMOTE(random_state=0).resample(table, target="y")
        frame = dd.read_parquet(tmp_path)
        lazy = SMOTE(random_state=0).resample(frame, target="y")
        assert_same_bits(lazy[["a", "y"]].compute(), expected[["a", "y"]])
        X_res, y_res = SMOTE(random_state=0).fit_resample(frame.drop(columns="y"), frame["y"])
        X_res, y_res = dask.compute(X_res, y_res)
        assert_same_bits(X_res, expected.drop(columns="y"))
        assert_same_bits(y_res, expected["y"])

    def test_no_large_graph_is_sent(self, client, monkeypatch):
        # The client warns of graphs over 10 MB; warnings are errors here. Well below that:
        monkeypatch.setitem(
            dask.config.config["distributed"]["admin"], "large-graph-warning-threshold", "1MB"
        )
        frame = dd.from_map(made_part, range(8), meta=made_part(0).iloc[:0])
        lazy = SMOTE(random_state=0).resample(frame, target="y")
        assert len(lazy) == 2 * (lazy["y"] == 0).sum().compute()

    def test_errors_keep_their_type_and_message(self, client):
        table = numbers(60, 12)
        lazy = SMOTE().resample(
            dask_frame(table, [30, 30]), target="y", class_counts={0: 48, 1: 13}
        )
        with pytest.raises(ValueError, match="class 1 has 12 rows in the data, but 13"):
            lazy.compute()

    def test_the_limit_of_the_workers_is_what_counts(self, client):
        frame = dask_frame(numbers(60, 12), [30, 30])
        plan = SMOTE().plan(frame, target="y")
        assert plan.memory.allowed_bytes == int(0.8 * 2**30)
        assert "worker" in plan.memory.limit_source
        with pytest.raises(MemoryLimitError, match=r"class 1 .*of a worker.*858,993,459 bytes"):
            SMOTE().resample(frame, target="y", class_counts={0: 90_000_000, 1: 50_000_000})


def kill_one(client):
    """Kill the worker that holds most results, by its process id."""
    holding = client.has_what()
    pids = client.run(os.getpid)
    victim = max(pids, key=lambda address: len(holding.get(address, ())))
    os.kill(pids[victim], signal.SIGKILL)
    return victim


def holders_of(client, prefix):
    """Return the workers that hold a result of a kind of task."""

    def look(dask_scheduler):
        return {
            state.address
            for key, task in dask_scheduler.tasks.items()
            if prefix in str(key)
            for state in task.who_has or ()
        }

    return client.run_on_scheduler(look)


@pytest.fixture(scope="class")
def nannied():
    with local_cluster(2) as client:
        yield client


def until(condition, future=None, seconds=60):
    """Wait for a condition that comes true while the work goes on."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came"
        assert future is None or not future.done(), "the work was over too soon"
        time.sleep(0.005)
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("dsmote.plan.plan.BLOCK_ROWS", 400)


@pytest.mark.usefixtures("small_blocks")
class TestKilled:
    """Workers that are killed have a nanny, which starts another."""

    table = numbers(6_000, 600, 4, seed=1)
    counts: ClassVar = {0: 5_400, 1: 600}

    def test_while_the_rows_are_counted(self, nannied):
        with ThreadPoolExecutor(1) as pool:
            killing = pool.submit(
                lambda: (until(lambda: holders_of(nannied, "profile")), kill_one(nannied))
            )
            # The one compute inside blocks, so another thread does the killing.
            lazy = SMOTE(random_state=0).resample(slow_frame(self.table, 0.1), target="y")
            assert killing.result()
        assert_same_bits(lazy.compute(), SMOTE(random_state=0).resample(self.table, target="y"))

    @pytest.mark.parametrize("stage", ["extract", "index", "synthetic"])
    def test_while_the_rows_are_made(self, nannied, stage):
        nannied.wait_for_workers(2, timeout=60)
        lazy = SMOTE(random_state=len(stage)).resample(
            slow_frame(self.table, 0.1), target="y", class_counts=self.counts
        )
        future = nannied.compute(lazy.map_partitions(slowly, 0.05, meta=lazy._meta))
        holders = until(lambda: holders_of(nannied, stage), future)
        pids = nannied.run(os.getpid)
        os.kill(pids[next(a for a in holders if a in pids)], signal.SIGKILL)
        assert not future.done()
        expected = SMOTE(random_state=len(stage)).resample(self.table, target="y")
        assert_same_bits(future.result(timeout=120), expected)

    def test_what_is_kept_is_made_again_when_its_holder_dies(self, nannied):
        nannied.wait_for_workers(2, timeout=60)
        table = numbers(3_000, 300, 3, seed=3)
        expected = SMOTE(random_state=0).resample(table, target="y")
        frame = dask_frame(table, even(3_000, PARTS))
        kept = SMOTE(random_state=0).resample(frame, target="y").persist()
        wait(kept)
        kill_one(nannied)
        assert_same_bits(kept.compute(), expected)


@pytest.mark.slow  # a job's worker that nobody brings back is killed in test_cli_processes.py
def test_a_worker_of_a_separate_cluster_is_killed_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr("dsmote.plan.plan.BLOCK_ROWS", 200)
    table = mixed(3_000, 400, seed=2)
    expected = SMOTENC(random_state=0).resample(table, target="y")
    with separate_processes(tmp_path, 3) as (client, workers):
        lazy = SMOTENC(random_state=0).resample(slow_frame(table, 0.1), target="y")
        lazy = lazy.map_partitions(slowly, 0.05, meta=lazy._meta)
        future = client.compute(lazy)
        until(lambda: holders_of(client, "synthetic"), future)
        assert not future.done()
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait(timeout=30)
        found = future.result(timeout=120)
        assert len(client.scheduler_info()["workers"]) == 2
        assert_same_bits(found, expected)
        # And the collection can be computed again from the graph on who is left.
        assert_same_bits(lazy.compute(), expected)
