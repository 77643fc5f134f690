"""Give up a job that cannot go on, where Dask would wait for ever."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Future

__all__ = ["Stuck", "cancel", "deferred_signals", "unless_stuck"]

#: A job is given up when for this long no worker took a task for lack of memory.
PATIENCE_SECONDS = 30.0

#: Cancelling is given up after so long: the scheduler may be gone, or busy.
CANCEL_SECONDS = 10.0

#: What a process ends with that is interrupted.
INTERRUPTED = 130

_SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]

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

    def ask() -> None:
        with suppress(Exception):  # there may be no scheduler any more
            for start in range(0, len(futures), CANCELLED_AT_ONCE):
                client.cancel(futures[start : start + CANCELLED_AT_ONCE], force=True)

    thread = threading.Thread(target=ask, name="dsmote-cancel", daemon=True)
    thread.start()
    thread.join(CANCEL_SECONDS)


@contextmanager
def deferred_signals(client: Any) -> Iterator[Callable[[], None]]:
    """Have Ctrl-C and SIGTERM cancel the block's tasks, and raise when the block has ended.

    Dask waits under locks that its own thread needs, too. An exception that a signal raises there
    leaves a lock held, and then nothing can be cancelled or closed any more. So the handler only
    takes a note here. Where the tasks cannot be cancelled in time, the exception is raised after
    all. A third signal ends the process.

    Parameters
    ----------
    client : distributed.Client

    Yields
    ------
    callable
        Raises KeyboardInterrupt if there was a signal.
    """
    received: list[int] = []

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    handlers: dict[signal.Signals, Callable[[int, Any], Any]] = {}
    main = threading.get_ident()
    if threading.current_thread() is threading.main_thread():
        for each in _SIGNALS:
            handler = signal.getsignal(each)
            if callable(handler):
                handlers[each] = handler
    if not handlers:
        yield check
        return
    before, done, late = set(client.futures), threading.Event(), threading.Event()

    def note(number: int, frame: Any) -> None:
        received.append(number)
        if len(received) > 2 and not late.is_set():
            os._exit(INTERRUPTED)
        if late.is_set():
            raise KeyboardInterrupt

    def watch() -> None:
        while not done.wait(0.1):
            if received:
                keys = set(client.futures) - before
                cancel(client, [Future(key, client) for key in keys])
                if not done.wait(CANCEL_SECONDS):
                    late.set()
                    signal.pthread_kill(main, signal.SIGINT)
                return

    for each in handlers:
        signal.signal(each, note)
    threading.Thread(target=watch, name="dsmote-signals", daemon=True).start()
    try:
        yield check
    except BaseException:
        _restore(handlers)
        if received:
            handlers[signal.Signals(received[0])](received[0], None)
        raise
    finally:
        done.set()
        _restore(handlers)


def _restore(handlers: dict[signal.Signals, Callable[[int, Any], Any]]) -> None:
    for each, handler in handlers.items():
        signal.signal(each, handler)


@contextmanager
def unless_stuck(client: Any, patience: float | None = None) -> Iterator[Callable[[], None]]:
    """Cancel the block's tasks when every worker has paused with nothing left to finish.

    A worker pauses when its memory is nearly full. When that is not the fault of data that could go
    elsewhere, as with a limit hardly above what the process itself takes, it never resumes.

    Parameters
    ----------
    client : distributed.Client
    patience : float, optional
        Seconds.

    Yields
    ------
    callable
        As from `deferred_signals`, which holds for the block.

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
        with deferred_signals(client) as check:
            yield check
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
