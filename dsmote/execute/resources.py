"""The memory and the threads that there are: of the cluster's workers, or of this machine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

import dask
import dask.threaded
import psutil
from dask.callbacks import Callback, normalize_callback
from dask.system import CPU_COUNT
from threadpoolctl import ThreadpoolController

from dsmote.plan import Limit

_CGROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory.high",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
_SERIAL = ("sync", "synchronous", "single-threaded")


#: The threads that compute for this thread, and what is called after each task.
_OWN: ContextVar[tuple[ThreadPoolExecutor, Callback] | None] = ContextVar("_OWN", default=None)


@contextlib.contextmanager
def on_threads(check: Callable[[], None]) -> Iterator[None]:
    """Compute on threads that are gone after the block; call a function after each task.

    Dask's configuration and its callbacks are the process's: another thread may be computing, too,
    and end later.
    """
    own = Callback(posttask=lambda *_: check())
    with ThreadPoolExecutor(thread_count(), "dsmote-job") as pool:
        token = _OWN.set((pool, own))
        try:
            yield
        finally:
            _OWN.reset(token)


def compute(*collections: Any, callback: Callback | None = None, **how: Any) -> tuple[Any, ...]:
    """Compute what is lazy, as Dask does; in a block of `on_threads`, on its threads."""
    own = _OWN.get()
    if own is not None:
        pool, check = own
        asked = [normalize_callback(each) for each in (check, callback) if each is not None]
        callbacks = [*Callback.active, *asked]
        how |= {"scheduler": dask.threaded.get, "pool": pool, "callbacks": callbacks}
    return tuple(dask.compute(*collections, **how))


def thread_count() -> int:
    """Return the threads that Dask's configuration allows in this process."""
    if dask.config.get("scheduler", None) in _SERIAL:
        return 1
    return max(1, int(dask.config.get("num_workers", None) or CPU_COUNT))


def current_client() -> Any:
    """Return the distributed client that computations would go to, or None."""
    chosen = "threads" if _OWN.get() else dask.config.get("scheduler", None)
    if isinstance(chosen, str) and chosen not in ("dask.distributed", "distributed"):
        return None
    distributed = sys.modules.get("distributed")  # who has a client has imported it
    try:
        return None if distributed is None else distributed.get_client()
    except (ValueError, AttributeError):  # another thread may be importing it just now
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
    return Limit(_machine_bytes(), thread_count(), "the memory of this machine")


@cache
def _machine_bytes() -> int:
    """Return the memory of this machine or container, as Dask's workers know it.

    Without importing distributed, which takes longer than a small table.
    """
    limits = [psutil.virtual_memory().total]
    for name in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError), open(name) as file:  # not there, or "max"
            limits.append(int(file.read()))
    return min(limit for limit in limits if limit > 0)


@lru_cache(maxsize=1)
def _pools(modules: int) -> tuple[list[Any], list[Any]]:
    """Return the pools of loaded libraries: those that the process shares, those of each thread.

    Looking for them takes some milliseconds, as long as a small table; it is done again when
    modules were imported meanwhile, which may have brought another pool.
    """
    every = ThreadpoolController().lib_controllers
    own = [p for p in every if "openmp" in (p.user_api, getattr(p, "threading_layer", ""))]
    return [p for p in every if p not in own], own


class _BlasGuard:
    """Limits BLAS to one thread while anybody needs it; the last to leave restores it.

    BLAS has one limit for the process. Were every task to save and restore for itself, tasks that
    overlap would leave the process with one thread for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = _limited(_pools(len(sys.modules))[0])
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _set_threads(self._before)


def _limited(pools: Sequence[Any]) -> list[tuple[Any, int]]:
    """Limit pools to one thread; return what they had before."""
    before = [(pool, pool.num_threads) for pool in pools]
    _set_threads([(pool, 1) for pool in pools])
    return before


def _set_threads(limits: list[tuple[Any, int]]) -> None:
    """Set limits of pools, from whatever thread: threadpoolctl lets the first that did so only."""
    for pool, n in limits:
        release = getattr(pool, "clear_controlling_thread", lambda force: None)
        release(force=True)
        pool.set_num_threads(n)
        release(force=True)


_BLAS = _BlasGuard()
_HERE = threading.local()  # `limited`: this thread is inside


@cache
def _pool_of(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n, "dsmote")


def thread_pool() -> ThreadPoolExecutor:
    """Return the process's pool of as many threads as are allowed.

    It is kept: a thread takes milliseconds to start while another is busy.
    """
    return _pool_of(thread_count())


def in_threads(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Map a function; one thing needs no thread, which costs more than a small table."""
    return thread_pool().map(function, items) if len(items) > 1 else map(function, items)


def _forget_threads() -> None:
    """Threads do not live on in a forked child; waiting for them would never end."""
    global _BLAS
    _BLAS = _BlasGuard()
    _pool_of.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Keep BLAS and OpenMP to one thread each, so that two pools do not fight over the cores."""
    if getattr(_HERE, "limited", False):
        yield
        return
    with _BLAS:
        before = _limited(_pools(len(sys.modules))[1])
        _HERE.limited = True
        try:
            yield
        finally:
            _HERE.limited = False
            _set_threads(before)


def peak_memory() -> int:
    """Return the largest resident memory this process ever had, in bytes."""
    # VmHWM rather than getrusage: the latter includes the parent's pages between fork and exec.
    with contextlib.suppress(OSError), open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
