"""On workers: the same rows as in memory, also when one of them is killed."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, wait

from dsmote import ADASYN, SMOTE, SMOTENC, BorderlineSMOTE, TomekLinks, connect
from dsmote.plan import MemoryLimitError
from tests.cluster.starting import kill, scheduler_in, wait_until, worker_at
from tests.samplers import family, table_of
from tests.tables import assert_same_bits, dask_frame, even, numbers

#: One of each way that the work goes: tests/property tries all of them on threads.
NAMES = ("smote", "smoten", "borderline-2", "kmeans", "random-under")
SAMPLERS = {**family(random_state=0), **family(over=False, random_state=0)}
TABLE = numbers(6_000, 600, 4, seed=1)


@pytest.fixture(scope="module")
def workers():
    """Workers that have a nanny, which starts another when one dies."""
    with connect(n_workers=2, threads_per_worker=1, memory_limit="1GiB") as client:
        yield client


@pytest.fixture
def client(workers):
    workers.wait_for_workers(2, timeout=60)
    return workers


@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows(client, name):
    kind, params = SAMPLERS[name]
    table = table_of(name, 600, 100)
    expected = kind(**params).resample(table, target="y")
    lazy = kind(**params).resample(dask_frame(table, even(600, 4)), target="y")
    assert_same_bits(lazy.compute(), expected)


def made_part(i):
    rng = np.random.default_rng(i)
    part = pd.DataFrame(rng.normal(size=(400, 4)), columns=list("abcd"))
    part["y"] = (rng.random(400) < 0.1).astype("int64")
    return part


def test_no_large_graph_is_sent(client, monkeypatch):
    # The client warns of graphs over 10 MB; warnings are errors here. Well below that:
    admin = dask.config.config["distributed"]["admin"]
    monkeypatch.setitem(admin, "large-graph-warning-threshold", "1MB")
    frame = dd.from_map(made_part, range(8), meta=made_part(0).iloc[:0])
    lazy = SMOTE(random_state=0).resample(frame, target="y")
    assert len(lazy) == 2 * (lazy["y"] == 0).sum().compute()


def test_errors_keep_their_type_and_message(client):
    frame = dask_frame(numbers(60, 12), [30, 30])
    lazy = SMOTE().resample(frame, target="y", class_counts={0: 48, 1: 13})
    with pytest.raises(ValueError, match="class 1 has 12 rows in the data, but 13"):
        lazy.compute()


def test_the_limit_of_the_workers_is_what_counts(client):
    frame = dask_frame(numbers(60, 12), [30, 30])
    plan = SMOTE().plan(frame, target="y")
    assert plan.memory.allowed_bytes == int(0.8 * 2**30)
    assert "worker" in plan.memory.limit_source
    with pytest.raises(MemoryLimitError, match=r"class 1 .*of a worker.*858,993,459 bytes"):
        SMOTE().resample(frame, target="y", class_counts={0: 90_000_000, 1: 50_000_000})


def slowly(part, seconds):
    """Pass a partition on after a while, so that there is a middle to be killed in."""
    time.sleep(seconds)
    return part


def slow_frame(table):
    frame = dask_frame(table, even(len(table), 12))
    return frame.map_partitions(slowly, 0.1, meta=frame._meta)


def slow_output(lazy):
    return lazy.map_partitions(slowly, 0.05, meta=lazy._meta)


def holder_of(client, stage, future=None):
    """Wait for a result of a stage; return the process that holds it while the work goes on."""
    pids = client.run(os.getpid, on_error="ignore")  # of one that was just killed

    def holders(dask_scheduler):
        return [
            state.address
            for key, task in dask_scheduler.tasks.items()
            if stage in str(key)
            for state in task.who_has or ()
        ]

    found = []

    def there():
        assert future is None or not future.done(), "the work was over too soon"
        found[:] = [pids[each] for each in client.run_on_scheduler(holders) if each in pids]
        return bool(found)

    wait_until(there, f"a worker holds a result of {stage}")
    return found[0]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("dsmote.plan.plan.BLOCK_ROWS", 400)


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        (SMOTE, ["extract", "synthetic"]),
        pytest.param(BorderlineSMOTE, ["nearest", "neighbours"], marks=pytest.mark.slow),
    ],
)
def test_a_worker_is_killed_while_it_counts_and_at_each_stage(client, small_blocks, kind, stages):
    sampler = kind(random_state=len(stages))
    with ThreadPoolExecutor(1) as pool:
        # The one compute inside blocks, so another thread does the killing.
        killing = pool.submit(lambda: kill(holder_of(client, "profile")))
        lazy = sampler.resample(slow_frame(TABLE), target="y")
        killing.result()
    future = client.compute(slow_output(lazy))
    for stage in stages:
        kill(holder_of(client, stage, future))
    expected = sampler.resample(TABLE, target="y")
    assert_same_bits(future.result(timeout=120), expected)


def test_a_worker_is_killed_while_few_rows_travel(client):
    counts = {0: 5_400, 1: 600}
    lazy = TomekLinks(route="gather").resample(slow_frame(TABLE), target="y", class_counts=counts)
    future = client.compute(slow_output(lazy))
    for stage in ("rows-", "answer-1"):
        kill(holder_of(client, stage, future))
    assert_same_bits(future.result(timeout=120), TomekLinks().resample(TABLE, target="y"))


@pytest.mark.slow
def test_what_is_kept_is_made_again_when_its_holder_dies(client):
    table = numbers(3_000, 300, 3, seed=3)
    given = dask_frame(table, even(3_000, 12)).persist()
    kept = ADASYN(random_state=0).resample(given, target="y").persist()
    wait(kept)
    expected = ADASYN(random_state=0).resample(table, target="y")
    assert kept["y"].value_counts().compute().to_dict() == expected["y"].value_counts().to_dict()
    kill(holder_of(client, ""))  # of any result: only those of both tables are kept
    assert_same_bits(kept.compute(), expected)


@pytest.mark.slow
def test_a_worker_is_killed_for_good(tmp_path, small_blocks):
    expected = SMOTENC([0], random_state=0).resample(TABLE, target="y")
    with (
        scheduler_in(tmp_path) as address,
        worker_at(address, tmp_path / "log-0"),
        worker_at(address, tmp_path / "log-1"),
        Client(address) as client,
    ):
        lazy = slow_output(SMOTENC([0], random_state=0).resample(slow_frame(TABLE), target="y"))
        future = client.compute(lazy)
        kill(holder_of(client, "synthetic", future))
        assert_same_bits(future.result(timeout=120), expected)
        assert len(client.nthreads()) == 1
        # And the collection can be computed again from the graph on who is left.
        assert_same_bits(lazy.compute(), expected)
