import os
import time

import dask
import psutil
import pytest
from distributed import default_client

from dsmote.cluster import SchedulerUnreachable, connect
from dsmote.execute.resources import peak_memory
from dsmote.job.runner import Workers
from dsmote.plan import MemoryLimitError


@pytest.fixture
def impatient():
    with dask.config.set({"distributed.comm.timeouts.connect": "300ms"}):
        yield


def is_profiled(dask_worker):
    return "profile" in dask_worker.periodic_callbacks


def test_local_cluster_ends_with_the_block():
    profile = dask.config.set({"distributed.worker.profile.enabled": True})
    with pytest.raises(KeyError), profile, connect(n_workers=1, memory_limit="500MiB") as client:
        workers = client.scheduler_info()["workers"].values()
        assert {worker["memory_limit"] for worker in workers} == {500 * 2**20}
        pids = list(client.run(os.getpid).values())
        assert len({os.getpid(), *pids}) == 2
        assert set(client.run(is_profiled).values()) == {False}
        assert set(client.run(os.getenv, "MALLOC_MMAP_THRESHOLD_").values()) == {str(2**25)}

        # Whoever asks now gets the client that is there, and does not close it.
        with connect() as same:
            assert same is client
        assert client.status == "running"
        with connect(client.scheduler.address, security=client.security) as other:
            assert other is not client
            assert set(other.nthreads()) == set(client.nthreads())
        with (
            dask.config.set({"scheduler-address": "tcp://127.0.0.1:9"}),
            client.as_current(),
            connect() as current,
        ):
            assert current is client

        peaks = Workers(client).peaks()
        assert set(peaks) == set(client.nthreads())
        assert all(30 * 2**20 < peak < 500 * 2**20 for peak in peaks.values())
        raise KeyError
    assert client.status == "closed"
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense://x", "tcp://"])
def test_unreachable_scheduler_is_named(address, impatient):
    started = time.monotonic()
    message = f"no Dask scheduler answers at {address}"
    for how, configured in ((address, ""), (None, address)):
        with (
            dask.config.set({"scheduler-address": configured}),
            pytest.raises(SchedulerUnreachable, match=message),
            connect(how),
        ):
            pass
    assert time.monotonic() - started < 5
    # The client that did not come through is not taken for the current one.
    with pytest.raises(ValueError, match="No clients found"):
        default_client()
    assert dask.config.get("scheduler", None) is None


def test_peak_memory_grows():
    before = peak_memory()
    block = bytearray(200 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory() >= max(before, 200 * 2**20)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"address": "tcp://127.0.0.1:9", "n_workers": 1}, ValueError, "not two of them"),
        ({"address": "tcp://h:9", "scheduler_file": "a.json"}, ValueError, "not two of them"),
        ({"address": ""}, ValueError, "the address of the scheduler is empty"),
        ({"address": " "}, ValueError, "the address of the scheduler is empty"),
        ({"n_workers": 0}, ValueError, "n_workers=0: it must be a whole number, 1 or more"),
        ({"n_workers": -1}, ValueError, "n_workers=-1"),
        ({"n_workers": "2"}, ValueError, "n_workers='2'"),
        ({"n_workers": True}, ValueError, "n_workers=True"),
        ({"memory_limit": [4]}, ValueError, r"memory_limit=\[4\]: give a size"),
        ({"threads_per_worker": 1.5}, ValueError, "threads_per_worker=1.5"),
        ({"memory_limit": -5}, ValueError, "memory_limit=-5"),
        ({"memory_limit": float("nan")}, ValueError, "memory_limit=nan"),
        ({"memory_limit": "much"}, ValueError, "memory_limit='much': give a size such as"),
        ({"memory_limit": ""}, ValueError, "memory_limit='': give a size"),
        ({"memory_limit": True}, ValueError, "memory_limit=True: give a size"),
        ({"memory_limit": "200MiB"}, MemoryLimitError, r"limit of 200\.0 MiB is too small"),
        ({"memory_limit": "209715200"}, MemoryLimitError, r"limit of 200\.0 MiB is too small"),
        ({"memory_limit": 209_715_200.0}, MemoryLimitError, r"limit of 200\.0 MiB is too small"),
        ({"security": {"tls_ca": "x"}}, TypeError, r"Unknown parameters: \['tls_ca'\]"),
        ({"security": {"tls_ca_file": "/no/ca.pem"}}, FileNotFoundError, "given as tls_ca_file"),
        (
            {
                "n_workers": 1,
                "security": {
                    "require_encryption": True,
                    "tls_ca_file": __file__,
                    "tls_scheduler_cert": __file__,
                },
            },
            ValueError,
            "there is no certificate for the worker",
        ),
        ({"security": True}, TypeError, "mapping, not bool"),
        # As from a variable that is not set: in the configuration it names nothing.
        ({"security": {"tls_client_key": "/no"}}, FileNotFoundError, "/no"),
    ],
)
def test_what_cannot_be_used_is_refused(given, error, message):
    unset = {"scheduler-address": "", "scheduler-file": ""}
    with dask.config.set(unset), pytest.raises(error, match=message), connect(**given):
        pass


def test_scheduler_file_that_leads_nowhere_is_named(tmp_path, impatient):
    file = tmp_path / "scheduler.json"
    with pytest.raises(FileNotFoundError, match=r"cannot read the scheduler file .*r\.json"):
        connect(file).__enter__()
    for half in ("", '{"address": "tcp://127'):  # the scheduler may be writing it: a retry may help
        file.write_text(half)
        with pytest.raises(SchedulerUnreachable, match=r"r\.json.* still writing it"):
            connect(file).__enter__()
    for content in ('{"address": null}', '{"address": 5}', '{"address": ""}', "{}", "[]"):
        file.write_text(content)
        with pytest.raises(ValueError, match=r"address in the scheduler file .*r\.json is empty"):
            connect(file).__enter__()
    # A scheduler that was killed leaves its file.
    file.write_text('{"address": "tcp://127.0.0.1:9"}')
    with pytest.raises(SchedulerUnreachable, match=r"127\.0\.0\.1:9.*leaves its file, as .*r.json"):
        connect(scheduler_file=file).__enter__()
