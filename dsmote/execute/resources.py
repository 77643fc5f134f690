"""The memory and the threads that there are: of the cluster's workers, or of this machine."""

from __future__ import annotations

import contextlib
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


def single_threaded() -> contextlib.AbstractContextManager[Any]:
    """Keep BLAS and OpenMP to one thread each, so that two pools do not fight over the cores.

    To be entered and left by the same thread. threadpoolctl counts who limits what since 3.8, so
    tasks that overlap do not restore each other's limit.
    """
    return threadpool_limits(limits=1)
