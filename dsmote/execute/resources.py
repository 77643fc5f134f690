"""The memory and the threads that there are: of the cluster's workers, or of this machine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dask
from dask.system import CPU_COUNT
from threadpoolctl import threadpool_limits

from dsmote.plan import Limit

__all__ = ["current_client", "memory_limit", "single_threaded", "thread_count"]

_SERIAL = ("sync", "synchronous", "single-threaded")


def thread_count() -> int:
    """Return the threads that Dask's configuration allows in this process."""
    if dask.config.get("scheduler", None) in _SERIAL:
        return 1
    return max(1, int(dask.config.get("num_workers", None) or CPU_COUNT))


def current_client() -> Any:
    """Return the distributed client that computations would go to, or None."""
    chosen = dask.config.get("scheduler", None)
    if isinstance(chosen, str) and chosen not in ("dask.distributed", "distributed"):
        return None
    try:
        from distributed import get_client

        return get_client()
    except (ImportError, ValueError):
        return None


def memory_limit(*, on_cluster: bool) -> Limit | None:
    """Return the smallest memory limit of a worker, or the machine's."""
    client = current_client() if on_cluster else None
    if client is not None:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        limits = [
            (int(w["memory_limit"]), int(w["nthreads"])) for w in workers if w["memory_limit"]
        ]
        if not limits:
            return None
        tightest = min(limits, key=lambda limit: limit[0] / limit[1])
        return Limit(*tightest, "the memory limit of a worker")
    from distributed.system import MEMORY_LIMIT

    if not MEMORY_LIMIT:
        return None
    return Limit(int(MEMORY_LIMIT), thread_count(), "the memory of this machine")


class _BlasGuard:
    """Limits BLAS to one thread while anybody needs it; the last to leave restores it.

    BLAS has one limit for the process, and threadpoolctl lets only the thread that set it restore
    it. Were every task to save and restore for itself, tasks that overlap would leave the
    process with one thread for good; so one thread of the guard's own does both.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._owner: ThreadPoolExecutor | None = None
        self._limits: threadpool_limits | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._owner = self._owner or ThreadPoolExecutor(1, "dsmote-blas")
                self._limits = self._owner.submit(threadpool_limits, 1, "blas").result()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._owner is not None and self._limits is not None:
                self._owner.submit(self._limits.restore_original_limits).result()
                self._limits = None


_BLAS = _BlasGuard()


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Keep BLAS and OpenMP to one thread each, so that two pools do not fight over the cores."""
    # OpenMP's limit is each thread's own.
    with _BLAS, threadpool_limits(1, "openmp"):
        yield
