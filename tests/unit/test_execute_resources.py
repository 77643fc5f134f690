"""The memory and threads that there are."""

import subprocess
import sys
import threading
import time

import dask
import pytest
from threadpoolctl import threadpool_info

from dsmote import SMOTE
from dsmote.execute import resources
from dsmote.execute.resources import current_client, memory_limit, single_threaded, thread_count
from tests.tables import assert_same_bits, numbers


def test_threads_follow_the_configuration():
    with dask.config.set(scheduler="synchronous"):
        assert thread_count() == 1
    with dask.config.set(num_workers=3):
        assert thread_count() == 3


@pytest.mark.parametrize(
    "config", [{"scheduler": "synchronous"}, {"num_workers": 1}, {"num_workers": 5}]
)
def test_threads_in_memory_change_no_row(config, monkeypatch):
    table = numbers(400, 60)
    expected = SMOTE(random_state=0).resample(table, target="y")
    monkeypatch.setattr("dsmote.execute.tables._SHARE", 16)
    with dask.config.set(config):
        assert_same_bits(SMOTE(random_state=0).resample(table, target="y"), expected)


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
        self.workers = {
            i: {"memory_limit": limit, "nthreads": threads}
            for i, (limit, threads) in enumerate(workers)
        }

    def scheduler_info(self, n_workers):
        assert n_workers == -1  # the default would tell of five workers only
        return {"workers": self.workers}


def test_the_tightest_worker_counts(monkeypatch):
    monkeypatch.setattr(
        resources, "current_client", lambda: Cluster((8 * 2**30, 8), (4 * 2**30, 1))
    )
    limit = memory_limit(on_cluster=True)
    assert (limit.bytes, limit.threads) == (8 * 2**30, 8)
    monkeypatch.setattr(resources, "current_client", lambda: Cluster((0, 8)))
    assert memory_limit(on_cluster=True) is None


def native_threads():
    return [pool["num_threads"] for pool in threadpool_info()]


def test_native_threads_are_limited_inside():
    with single_threaded():
        assert set(native_threads()) <= {1}


def test_native_threads_are_restored_when_tasks_overlap():
    before = native_threads()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with single_threaded():
            inside.set()
            leave.wait(10)

    with single_threaded():
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
    leave.set()
    thread.join()
    # Tasks that an earlier test left running may be inside, too.
    end = time.monotonic() + 10
    while resources._BLAS._inside and time.monotonic() < end:
        time.sleep(0.01)
    assert native_threads() == before


def test_an_error_inside_restores_the_threads():
    before = native_threads()
    with pytest.raises(RuntimeError), single_threaded():
        raise RuntimeError
    assert native_threads() == before


def test_a_table_in_memory_needs_no_distributed():
    code = (
        "import sys, numpy, dsmote; X = numpy.arange(40.0).reshape(20, 2);"
        "dsmote.SMOTE(k_neighbors=2).fit_resample(X, [0] * 15 + [1] * 5);"
        "assert 'distributed' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
