"""The Dask cluster a job runs on: the one that is there, one at an address, or a local one.

`connect` is a context manager, so that what it started is always stopped, and what it did not
start is left alone.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import Any

import dask
from dask.utils import parse_bytes, parse_timedelta
from distributed import Client, LocalCluster, default_client

from dsmote.plan.memory import PROCESS_BYTES, USABLE_SHARE, format_bytes

__all__ = ["SchedulerUnreachable", "connect", "peak_memory", "worker_peaks"]

#: Seconds to wait for a scheduler, unless Dask's own limit is shorter.
CONNECT_SECONDS = 10.0

#: Seconds given to a local cluster to stop in good order before it is left to its finalizers.
CLOSE_SECONDS = 10.0


class SchedulerUnreachable(ConnectionError):
    """No scheduler answers at the address that was given."""


@contextmanager
def connect(
    scheduler: str | None = None,
    n_workers: int | None = None,
    threads_per_worker: int | None = None,
    memory_limit: str | int | float | None = None,
) -> Iterator[Client]:
    """Yield a Dask client, starting a local cluster when there is none to use.

    In this order: the scheduler at the address given; a new local cluster, when its size is given;
    the client that is active already; the scheduler that Dask's configuration names
    (``scheduler-address``); a new local cluster. A local cluster listens on 127.0.0.1 only, has no
    dashboard and ends with the block.

    Parameters
    ----------
    scheduler : str, optional
        Address of a running scheduler, such as ``"tcp://127.0.0.1:8786"``.
    n_workers, threads_per_worker : int, optional
        Size of the local cluster; Dask chooses from the machine's cores.
    memory_limit : str, int or float, optional
        Memory of each local worker, such as ``"4GiB"``; Dask shares the machine's out.

    Yields
    ------
    distributed.Client

    Raises
    ------
    SchedulerUnreachable
        When nothing answers at the address within ten seconds.
    RuntimeError
        When the package is not installed where the scheduler or a worker runs.
    ValueError
        When both an address and the size of a local cluster are given.

    Examples
    --------
    >>> with connect(n_workers=1, threads_per_worker=1) as client:  # doctest: +SKIP
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    sizes = (n_workers, threads_per_worker, memory_limit)
    local_asked = any(size is not None for size in sizes)
    if scheduler is not None and local_asked:
        raise ValueError(
            "give either the address of a scheduler or the size of a local cluster, not both"
        )
    if scheduler is None and not local_asked:
        active = _active_client()
        if active is not None:
            yield active
            return
        scheduler = dask.config.get("scheduler-address", None)
    if scheduler is not None:
        client = _client_at(scheduler)
        try:
            _check_package(client)
            yield client
        finally:
            client.close()
        return
    with _local_cluster(n_workers, threads_per_worker, memory_limit) as client:
        yield client


def _active_client() -> Client | None:
    try:
        return default_client()
    except ValueError:
        return None


def _client_at(address: str) -> Client:
    configured = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect", "30s"))
    seconds = min(CONNECT_SECONDS, configured)
    try:
        return Client(address, timeout=seconds, set_as_default=True)
    except (OSError, ValueError, TypeError) as error:
        raise SchedulerUnreachable(
            f"no Dask scheduler answers at {address} (waited at most {seconds:g} s): check the "
            "address, that the scheduler runs and that nothing between here and there blocks "
            f"the port ({type(error).__name__})"
        ) from error


def _check_package(client: Client) -> None:
    """Refuse a cluster that does not know this package.

    A worker that is sent a task it cannot import ends, one after the other, and the job waits for
    ever. What is called here must therefore be in the standard library.
    """
    name = __name__.partition(".")[0]
    there: dict[str, Any] = client.run(find_spec, name)
    there["the scheduler"] = client.run_on_scheduler(find_spec, name)
    lacking = sorted(address for address, spec in there.items() if spec is None)
    if lacking:
        raise RuntimeError(
            f"{name} is not installed at {', '.join(lacking)}: install it there, in the same "
            "version as here and with the same versions of Dask and pandas"
        )


@contextmanager
def _local_cluster(
    n_workers: int | None, threads_per_worker: int | None, memory_limit: str | int | float | None
) -> Iterator[Client]:
    _check_limit(memory_limit)
    with _interrupts_held():
        cluster = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads_per_worker,
            memory_limit="auto" if memory_limit is None else memory_limit,
            host="127.0.0.1",
            processes=True,
            dashboard_address=None,
            # Without a dashboard there still is a server of metrics: on any free port, here only.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.ERROR,
        )
    try:
        with _interrupts_held():
            client = Client(cluster, set_as_default=True)
        try:
            yield client
        finally:
            with _interrupts_held(), suppress(OSError, TimeoutError):
                client.close(timeout=CLOSE_SECONDS)
    finally:
        with _interrupts_held(), suppress(OSError, TimeoutError):
            cluster.close(timeout=CLOSE_SECONDS)


def _check_limit(memory_limit: str | int | float | None) -> None:
    """Refuse a limit that the process itself would exceed: it would be restarted for ever."""
    if not isinstance(memory_limit, str) or memory_limit == "auto":
        return
    limit = parse_bytes(memory_limit)
    if 0 < limit * USABLE_SHARE < PROCESS_BYTES:
        raise ValueError(
            f"a memory limit of {format_bytes(limit)} is too small: a worker pauses at "
            f"{USABLE_SHARE:.0%} of it and takes about {format_bytes(PROCESS_BYTES)} before it "
            f"holds a row; allow at least {format_bytes(1.5 * PROCESS_BYTES)}"
        )


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done.

    Half a cluster cannot be stopped in good order. And processes inherit the mask: the workers are
    in the terminal's process group and would answer the same Ctrl-C with tracebacks of their own,
    while it is for this process to stop them.
    """
    possible = hasattr(signal, "pthread_sigmask")
    if not possible or threading.current_thread() is not threading.main_thread():
        yield
        return
    # Its first start would lift the mask in the thread that needs it, so it is started before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def peak_memory() -> int:
    """Return the largest resident memory this process ever had, in bytes.

    Examples
    --------
    >>> peak_memory() > 1_000_000
    True
    """
    # VmHWM rather than getrusage: the latter includes the parent's pages between fork and exec.
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def worker_peaks(client: Client) -> dict[str, int]:
    """Return the peak resident memory of each worker process since it started, in bytes.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    dict
        Worker address to bytes. A worker that does not answer is left out.

    Examples
    --------
    >>> worker_peaks(client)  # doctest: +SKIP
    {'tcp://127.0.0.1:40331': 187236352}
    """
    peaks = client.run(peak_memory, on_error="return")
    return {
        address: peak for address, peak in sorted(peaks.items()) if not isinstance(peak, Exception)
    }
