"""Give up a job that cannot go on, where Dask would wait for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from distributed import Future

__all__ = ["Stuck", "cancel", "unless_stuck"]

#: A job is given up when for this long no worker took a task for lack of memory.
PATIENCE_SECONDS = 30.0

#: The scheduler goes through all futures of a call once for each of them: 20,000 in one call keep
#: it busy for 16 s, and in calls of 100 for 1 s.
CANCELLED_AT_ONCE = 100


class Stuck(RuntimeError):
    """Every worker is out of memory and none is working."""


def cancel(client: Any, futures: Sequence[Any]) -> None:
    """Cancel futures, whoever else wants them, without keeping the scheduler busy.

    Parameters
    ----------
    client : distributed.Client
    futures : sequence of distributed.Future
    """
    for start in range(0, len(futures), CANCELLED_AT_ONCE):
        client.cancel(futures[start : start + CANCELLED_AT_ONCE], force=True)


@contextmanager
def unless_stuck(client: Any, patience: float | None = None) -> Iterator[None]:
    """Cancel the block's tasks when every worker has paused with nothing left to finish.

    A worker pauses when its memory is nearly full. When that is not the fault of data that could go
    elsewhere, as with a limit hardly above what the process itself takes, it never resumes.

    Parameters
    ----------
    client : distributed.Client
    patience : float, optional
        Seconds.

    Raises
    ------
    Stuck
        In place of what the cancelled tasks raise.
    """
    patience = PATIENCE_SECONDS if patience is None else patience
    before = set(client.futures)
    done, stuck = threading.Event(), threading.Event()

    def watch() -> None:
        since = time.monotonic()
        while not done.wait(patience / 10):
            if not _all_paused(client):
                since = time.monotonic()
            elif time.monotonic() - since > patience:
                stuck.set()
                keys = set(client.futures) - before
                cancel(client, [Future(key, client) for key in keys])
                return

    thread = threading.Thread(target=watch, name="dsmote-watch", daemon=True)
    thread.start()
    try:
        yield
    except Exception as error:
        if stuck.is_set():
            raise Stuck(
                "all workers are out of memory and have stopped taking tasks: give each worker "
                "more (--memory-limit) or fewer threads (--threads-per-worker 1)"
            ) from error
        raise
    finally:
        done.set()
        thread.join(timeout=5)


def _all_paused(client: Any) -> bool:
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
    except Exception:  # the scheduler is busy or gone: not for the watch to judge
        return False
    return bool(workers) and all(
        worker["status"] == "paused"
        and not worker["metrics"].get("task_counts", {}).get("executing", 0)
        for worker in workers
    )
