"""Where the tasks of a job run: on threads of this process here, on a cluster in `workers`.

Both have the same few methods, so that nothing else in a job asks where it runs.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
import psutil
from dask.callbacks import Callback

from dsmote.cluster import IMPORTS_BYTES, peak_memory
from dsmote.execute.resources import compute, current_client, on_threads
from dsmote.plan import format_bytes
from dsmote.plan.memory import PROCESS_BYTES

__all__ = ["SMALL_BYTES", "JobFailed", "Threads", "deferred_signals", "is_for_workers"]

#: Jobs that read and write less run in this process: to start workers takes longer.
SMALL_BYTES = 256 * 2**20

#: Cancelling is given up after so long: the scheduler may be gone, or busy.
CANCEL_SECONDS = 10.0

#: Exit code of an interrupted process.
INTERRUPTED = 130

_SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]


class JobFailed(RuntimeError):
    """A job that could not be finished, for a reason that lies in the cluster or the files."""


def is_for_workers(n_bytes: int) -> bool:
    """Tell whether a job of a size, for which no cluster was given, needs workers.

    It does where it is large, or where Dask has a cluster: a client that is active, or the address
    of a scheduler in the configuration.
    """
    named = any(dask.config.get(name, None) for name in ("scheduler-address", "scheduler-file"))
    return named or n_bytes >= SMALL_BYTES or current_client() is not None


class Threads:
    """Runs the tasks of a small job in this process.

    `check` raises KeyboardInterrupt if a signal came since `guarded` was entered.
    """

    note: str | None = (
        f"runs in this process, as less than {format_bytes(SMALL_BYTES)} are read and written; "
        "name n_workers or a scheduler to run it on workers"
    )
    check: Callable[[], None]

    def check_paths(self, reads: Sequence[str], folder: str | None = None) -> None:
        """Check that those who run the tasks see the files: this process listed them."""

    def process_bytes(self) -> int:
        """Return what a process that runs tasks takes before the job holds a row."""
        return max(PROCESS_BYTES, int(psutil.Process().memory_info().rss) + IMPORTS_BYTES)

    def peaks(self) -> dict[str, int]:
        """Return the peak memory of each process that runs tasks, in bytes."""
        return {"this process": peak_memory()}

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Run what is computed in the block here; end it when a signal comes.

        When the block has ended, no task runs any more.
        """
        with deferred_signals(lambda: None) as self.check, on_threads(self.check):
            yield

    def compute(
        self, tasks: Sequence[Any], rest: Sequence[Any], on_result: Callable[[Any], None]
    ) -> list[Any]:
        """Compute tasks, call a function with each result when it is there; return the rest's."""
        keys = {task.key for task in tasks}

        def done(key: Any, result: Any, *_: Any) -> None:
            if key in keys:
                on_result(result)

        results = compute(*rest, *tasks, callback=Callback(posttask=done), optimize_graph=False)
        return list(results[: len(rest)])


@contextmanager
def deferred_signals(cancel: Callable[[], None] | None) -> Iterator[Callable[[], None]]:
    """Have Ctrl-C and SIGTERM cancel the block's tasks, and raise when the block has ended.

    Dask waits under locks that its own thread needs, too. An exception that a signal raises there
    leaves a lock held, and then nothing can be cancelled or closed any more. So the handler only
    takes a note here. Where the tasks cannot be cancelled in time, the exception is raised after
    all, unless there is nothing to cancel: what tidies up is not disturbed. A third signal ends the
    process. Yields what raises KeyboardInterrupt if there was one.
    """
    received: list[int] = []

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    handlers: dict[signal.Signals, Callable[[int, Any], Any]] = {}
    if threading.current_thread() is threading.main_thread():  # others cannot set handlers
        for each in _SIGNALS:
            handler = signal.getsignal(each)
            if callable(handler):
                handlers[each] = handler
    main, done, late = threading.get_ident(), threading.Event(), threading.Event()

    def note(number: int, frame: Any) -> None:
        received.append(number)
        if late.is_set():
            raise KeyboardInterrupt
        if len(received) > 2:
            os._exit(INTERRUPTED)

    def watch(cancel: Callable[[], None]) -> None:
        while not done.wait(0.1):
            if received:
                cancel()
                if not done.wait(CANCEL_SECONDS):
                    late.set()
                    signal.pthread_kill(main, signal.SIGINT)
                return

    def restore() -> None:
        for each, handler in handlers.items():
            signal.signal(each, handler)

    for each in handlers:
        signal.signal(each, note)
    if cancel is not None:
        threading.Thread(target=watch, args=(cancel,), name="dsmote-signals", daemon=True).start()
    try:
        yield check
    except BaseException:
        restore()
        if received:
            handlers[signal.Signals(received[0])](received[0], None)
        raise
    finally:
        done.set()
        restore()
