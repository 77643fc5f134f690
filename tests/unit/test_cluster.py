import os
import time
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from distributed import Client, default_client

from dsmote.cluster import SchedulerUnreachable, connect, peak_memory, worker_peaks
from dsmote.plan import MemoryLimitError


def listens_on(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections("tcp")
    return {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}


def test_local_cluster_is_on_this_machine_only_and_ends_with_the_block() -> None:
    with connect(n_workers=2, threads_per_worker=1, memory_limit="500MiB") as client:
        addresses = [client.scheduler.address, *client.nthreads()]
        assert len(addresses) == 3
        assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
        workers = client.scheduler_info()["workers"].values()
        assert {worker["memory_limit"] for worker in workers} == {500 * 2**20}
        pids = list(client.run(os.getpid).values())
        assert os.getpid() not in pids
        assert [listens_on(pid) for pid in (os.getpid(), *pids)] == [{"127.0.0.1"}] * 3

        # Whoever asks now gets the client that is there, and does not close it.
        with connect() as same:
            assert same is client
        assert client.status == "running"
        with connect(client.scheduler.address, security=client.security) as other:
            assert other is not client
            assert set(other.nthreads()) == set(client.nthreads())
        with (
            dask.config.set({"scheduler-address": client.scheduler.address}),
            client.as_current(),
            connect() as current,
        ):
            assert current is client

        peaks = worker_peaks(client)
        assert set(peaks) == set(client.nthreads())
        assert all(30 * 2**20 < peak < 500 * 2**20 for peak in peaks.values())
    assert client.status == "closed"
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def is_profiled(dask_worker: Any) -> bool:
    return "profile" in dask_worker.periodic_callbacks


def test_workers_take_no_profile() -> None:
    with (
        dask.config.set({"distributed.worker.profile.enabled": True}),
        connect(n_workers=1, memory_limit="500MiB") as client,
    ):
        assert set(client.run(is_profiled).values()) == {False}


def test_configured_scheduler_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsmote.cluster._active_client", lambda: None)
    with (
        dask.config.set({"scheduler-address": "tcp://127.0.0.1:9"}),
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(SchedulerUnreachable, match=r"tcp://127.0.0.1:9"),
        connect(),
    ):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense://x", "tcp://"])
def test_unreachable_scheduler_is_named(address: str) -> None:
    started = time.monotonic()
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(SchedulerUnreachable, match=f"no Dask scheduler answers at {address}"),
        connect(address),
    ):
        pass
    assert time.monotonic() - started < 5
    # The client that did not come through is not taken for the current one.
    with pytest.raises(ValueError, match="No clients found"):
        default_client()
    assert dask.config.get("scheduler", None) is None


def test_address_and_size_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="not both"), connect("tcp://127.0.0.1:9", n_workers=1):
        pass


def test_failure_in_the_block_closes_the_cluster() -> None:
    clients: list[Client] = []
    with pytest.raises(KeyError), connect(n_workers=1, threads_per_worker=1) as client:
        clients.append(client)
        raise KeyError
    assert clients[0].status == "closed"


def test_peak_memory_grows() -> None:
    before = peak_memory()
    block = bytearray(200 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory() >= before
    assert peak_memory() > 200 * 2**20


@pytest.mark.parametrize("limit", ["200MiB", 200 * 2**20, "209715200", 209_715_200.0])
def test_limit_below_what_a_process_takes_is_refused(limit: str | float) -> None:
    with (
        pytest.raises(MemoryLimitError, match=r"limit of 200\.0 MiB is too small"),
        connect(n_workers=1, memory_limit=limit),
    ):
        pass


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"n_workers": 0}, "n_workers=0: it must be a whole number, 1 or more"),
        ({"n_workers": -1}, "n_workers=-1"),
        ({"n_workers": "2"}, "n_workers='2'"),
        ({"threads_per_worker": 0}, "threads_per_worker=0"),
        ({"threads_per_worker": 1.5}, "threads_per_worker=1.5"),
        ({"memory_limit": -5}, "memory_limit=-5"),
        ({"memory_limit": float("nan")}, "memory_limit=nan"),
        ({"memory_limit": "much"}, "memory_limit='much': give a size such as"),
        ({"memory_limit": ""}, "memory_limit='': give a size"),
        ({"memory_limit": True}, "memory_limit=True: give a size"),
        (
            {"security": {"require_encryption": True}, "n_workers": 1},
            "no certificate for the",
        ),
    ],
)
def test_size_that_no_cluster_has_is_refused(size: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message), connect(**size):
        pass


def test_scheduler_file_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.mkdir()
    with pytest.raises(IsADirectoryError, match=r"cannot read the scheduler file .*r\.json"):
        connect(file).__enter__()
    file.rmdir()
    for half in ("", '{"address": "tcp://127'):  # the scheduler may be writing it: a retry may help
        file.write_text(half)
        with pytest.raises(SchedulerUnreachable, match="still writing it"):
            connect(file).__enter__()
    for address in ("null", "5", '""'):
        file.write_text(f'{{"address": {address}}}')
        with pytest.raises(ValueError, match="is no scheduler file"):
            connect(file).__enter__()
    # It is not waited for: there is no port.
    file.write_text('{"address": "tcp://127.0.0.1"}')
    with pytest.raises(SchedulerUnreachable, match=r"missing port.*leaves its file, as .*r.json"):
        connect(scheduler_file=file).__enter__()


def test_address_that_is_empty() -> None:
    """As from a variable that is not set: given it is a mistake, in the configuration nothing."""
    for address in ("", " "):
        with pytest.raises(ValueError, match="the address of the scheduler is empty"):
            connect(address).__enter__()
    with (
        dask.config.set({"scheduler-address": "", "scheduler-file": ""}),
        pytest.raises(ValueError, match="security="),  # so it was on its way to a local cluster
        connect(security=True),  # type: ignore[arg-type]
    ):
        pass
