"""What is below the samplers: trees of tasks, threads, the memory that there is."""

import os
import threading
import time
from itertools import chain

import dask
import pytest
from threadpoolctl import threadpool_info

from dsmote.execute import resources
from dsmote.execute.graph import FAN_IN, tree
from dsmote.execute.resources import memory_limit, single_threaded, thread_count, thread_pool

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


class Cluster:
    def __init__(self, *workers):
        names = ("memory_limit", "nthreads")
        self.workers = {i: dict(zip(names, of, strict=True)) for i, of in enumerate(workers)}

    def scheduler_info(self, n_workers):
        assert n_workers == -1  # the default would tell of five workers only
        return {"workers": self.workers}


@pytest.mark.parametrize(
    ("workers", "found"), [(((8 * 2**30, 8), (4 * 2**30, 1)), (8 * 2**30, 8)), (((0, 8),), None)]
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
