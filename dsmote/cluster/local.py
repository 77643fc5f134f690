"""A cluster on this machine, that nobody else reaches and that ends with the block."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from numbers import Integral

import dask
from dask.utils import parse_bytes
from distributed import Client, LocalCluster, Security

from dsmote.plan.memory import PROCESS_BYTES, USABLE_SHARE, MemoryLimitError, format_bytes

__all__ = ["local_cluster"]

#: Seconds given to a local cluster to stop in good order before it is left to its finalizers.
CLOSE_SECONDS = 10.0

#: Dask's HTTP servers ask nobody for a certificate, and would show tasks, logs and stacks. The
#: profile is for them; taking it can stop a worker for ever on Python 3.11 (python/cpython#106883).
_NO_PAGES: dict[str, object] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
}


@contextmanager
def local_cluster(
    n_workers: int | None,
    threads_per_worker: int | None,
    memory_limit: str | int | float | None,
    security: Security,
) -> Iterator[Client]:
    """Yield the client of a cluster of processes that listens on 127.0.0.1 only.

    Parameters
    ----------
    n_workers, threads_per_worker : int or None
    memory_limit : str, int, float or None
        Of each worker.
    security : distributed.Security
        Its processes and clients talk TLS, and let nobody else in, when it requires encryption.

    Yields
    ------
    distributed.Client

    Raises
    ------
    MemoryLimitError
        When the limit is below what a worker takes before it holds a row.
    ValueError
        When a number is none that a cluster can have.
    """
    _check_number("n_workers", n_workers)
    _check_number("threads_per_worker", threads_per_worker)
    _check_limit(memory_limit)
    _check_certificates(security)
    with _interrupts_held(), dask.config.set(_NO_PAGES):
        cluster = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads_per_worker,
            memory_limit="auto" if memory_limit is None else memory_limit,
            host="127.0.0.1",
            processes=True,
            security=security,
            protocol="tls://" if security.require_encryption else "tcp://",
            dashboard_address=None,
            # Without a dashboard there still is an HTTP server: on any free port, here only.
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


def _check_number(name: str, given: object) -> None:
    """Refuse what Dask would take for a cluster of no worker, on which a job waits for ever."""
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if given is not None and not (whole and given >= 1):  # type: ignore[operator]
        raise ValueError(f"{name}={given!r}: it must be a whole number, 1 or more")


def _check_limit(memory_limit: str | int | float | None) -> None:
    """Refuse a limit that the process itself would exceed: it would be restarted for ever."""
    if memory_limit is None or memory_limit == "auto":
        return
    try:
        # To Python True is 1, and to Dask nothing is no limit.
        number = None if isinstance(memory_limit, bool) or memory_limit == "" else memory_limit
        limit = float(parse_bytes(number)) if isinstance(number, str) else float(number)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise ValueError(f"memory_limit={memory_limit!r}: give a size such as '4GiB'") from error
    if not limit >= 0:
        raise ValueError(f"memory_limit={memory_limit!r}: it must not be negative")
    # To Dask 0 is no limit, and what is at most 1 a share of the machine's memory.
    if limit > 1 and limit * USABLE_SHARE < PROCESS_BYTES:
        raise MemoryLimitError(
            f"a memory limit of {format_bytes(limit)} is too small: a worker pauses at "
            f"{USABLE_SHARE:.0%} of it and takes about {format_bytes(PROCESS_BYTES)} before it "
            f"holds a row; allow at least {format_bytes(1.5 * PROCESS_BYTES)}"
        )


def _check_certificates(security: Security) -> None:
    """Refuse what Dask says of no more than that the scheduler failed to start."""
    if not security.require_encryption:
        return
    for role in ("scheduler", "worker", "client"):
        files = security.get_tls_config_for_role(role)
        if not (files["ca_file"] and files["cert"]):
            raise ValueError(
                f"encryption is required and there is no certificate for the {role}: a local "
                "cluster needs tls_ca_file, and tls_..._cert and tls_..._key of scheduler, worker "
                "and client, in security= or in Dask's configuration (distributed.comm.tls)"
            )


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C, and SIGTERM where the program handles it, back until the block is done.

    Half a cluster cannot be stopped in good order. And processes inherit the mask: the workers are
    in the terminal's process group and would answer the same Ctrl-C with tracebacks of their own,
    while it is for this process to stop them. SIGTERM is what stops them, so it is not masked: it
    is noted here, and raised again after the block.
    """
    possible = hasattr(signal, "pthread_sigmask")
    if not possible or threading.current_thread() is not threading.main_thread():
        yield
        return
    # Its first start would lift the mask in the thread that needs it, so it is started before.
    resource_tracker.ensure_running()
    received: list[int] = []
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if callable(handler):
            signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if received:
            signal.raise_signal(signal.SIGTERM)
