"""What is below the samplers: trees of tasks, threads, the memory that there is."""

import os
import threading
import time
from itertools import chain

import dask
import pytest
from threadpoolctl import threadpool_info

from dsmote import ADASYN
from dsmote.execute import Recipe, resources
from dsmote.execute.graph import FAN_IN, tree
from dsmote.execute.resources import (
    current_client,
    memory_limit,
    single_threaded,
    thread_count,
    thread_pool,
)
from tests.tables import dask_frame, even, numbers

# ---- tasks


@pytest.mark.parametrize("n", [1, FAN_IN, FAN_IN + 1, 3 * FAN_IN, 20_000])
def test_trees_join_in_order(n):
    tasks = {("leaf", i): (lambda i=i: [i],) for i in range(n)}
    level = list(tasks)
    top = tree(tasks, level, "join", lambda parts: list(chain(*parts)))
    assert dask.get(tasks, top) == list(range(n))
    joints = len(tasks) - n
    assert joints <= 2 + -(-n // FAN_IN) + -(-n // FAN_IN**2)
    assert all(len(task[1]) <= FAN_IN for key, task in tasks.items() if key[0] != "leaf")


def test_a_partition_is_indexed_once_for_small_classes(monkeypatch):
    indexed = []
    index_all = Recipe.index_all

    def watched(self, matrix, n_queries):
        indexed.append(len(matrix))
        return index_all(self, matrix, n_queries)

    monkeypatch.setattr(Recipe, "index_all", watched)
    table = numbers(120, 36)
    table.loc[:29, "y"], table.loc[30:49, "y"] = 2, 3
    how = ADASYN(random_state=0, sampling_strategy="all")
    lazy = how.resample(dask_frame(table, even(120, 4)), target="y")
    lazy.compute(scheduler="synchronous")
    assert indexed == [30] * 4
    indexed.clear()
    how.resample(table, target="y")
    assert indexed == [120]


def test_lists_of_neighbours_are_merged_a_few_at_a_time():
    frame = dask_frame(numbers(120, 36), even(120, 30))
    graph = dict(ADASYN(random_state=0).resample(frame, target="y").__dask_graph__())
    merges = [task for key, task in graph.items() if "nearest-of-all-" in str(key)]
    assert len(merges) == 4 + 1
    assert all(len(task[1]) <= 8 for task in merges)


# ---- threads and memory


def test_threads_follow_the_configuration():
    with dask.config.set(scheduler="synchronous"):
        assert thread_count() == 1
    with dask.config.set(num_workers=3):
        assert thread_count() == 3


def test_the_machine_limits_what_is_in_memory():
    limit = memory_limit(on_cluster=False)
    assert limit.bytes > 2**28
    assert limit.threads >= 1
    assert "machine" in limit.source
    assert limit.allowed == int(0.8 * limit.bytes)


def test_no_client_no_cluster():
    assert current_client() is None
    with dask.config.set(scheduler="threads"):
        assert current_client() is None
    assert "machine" in memory_limit(on_cluster=True).source


class Cluster:
    def __init__(self, *workers):
        names = ("memory_limit", "nthreads")
        self.workers = {i: dict(zip(names, of, strict=True)) for i, of in enumerate(workers)}

    def scheduler_info(self, n_workers):
        assert n_workers == -1  # the default would tell of five workers only
        return {"workers": self.workers}


@pytest.mark.parametrize(
    ("workers", "found"),
    [(((8 * 2**30, 8), (4 * 2**30, 1)), (8 * 2**30, 8)), (((0, 8),), None)],
)
def test_the_tightest_worker_counts(workers, found, monkeypatch):
    monkeypatch.setattr(resources, "current_client", lambda: Cluster(*workers))
    limit = memory_limit(on_cluster=True)
    assert (limit and (limit.bytes, limit.threads)) == found


def native_threads():
    return [pool["num_threads"] for pool in threadpool_info()]


def test_native_threads_are_limited_inside_and_restored_when_tasks_overlap():
    before = native_threads()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with single_threaded():
            inside.set()
            leave.wait(10)

    with single_threaded():
        assert set(native_threads()) <= {1}
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
    leave.set()
    thread.join()
    # Tasks that an earlier test left running may be inside, too.
    end = time.monotonic() + 10
    while native_threads() != before and time.monotonic() < end:
        time.sleep(0.01)
    assert native_threads() == before
    with pytest.raises(RuntimeError), single_threaded():
        raise RuntimeError
    assert native_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    thread_pool().submit(int).result()
    child = os.fork()
    if child == 0:  # in the child the parent's threads are gone; waiting for them would hang
        ok = thread_pool().submit(int).result(timeout=10) == 0
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
