"""Where the tasks of a job run: on threads of this process, or on the workers of a Dask cluster.

Both have the same few methods, so that nothing else in a job asks where it runs. Dask's
`distributed` is imported when there is a cluster, not before.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import dask
import psutil
from dask.callbacks import Callback

from dsmote.cluster import IMPORTS_BYTES, check_paths, peak_memory, process_bytes, worker_peaks
from dsmote.execute.resources import compute, current_client, on_threads
from dsmote.job.files import one_line
from dsmote.job.logs import Masking, Secrets
from dsmote.plan import format_bytes
from dsmote.plan.memory import PROCESS_BYTES

if TYPE_CHECKING:
    from distributed import Client

#: Jobs that read and write less run in this process: to start workers takes longer.
SMALL_BYTES = 256 * 2**20

#: Cancelling is given up after so long: the scheduler may be gone, or busy.
CANCEL_SECONDS = 10.0

#: Exit code of an interrupted process.
INTERRUPTED = 130

#: A job is given up when for this long no worker took a task for lack of memory.
PATIENCE_SECONDS = 30.0

#: The scheduler goes through all futures of a call once for each of them: 20,000 in one call keep
#: it busy for 16 s, and in calls of 100 for 1 s.
CANCELLED_AT_ONCE = 100

#: The remedy when the other side does not know what it is sent.
_SAME = "install dsmote, Dask and pandas in the same versions on the scheduler and on every worker"

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


class Workers(Threads):
    """Runs the tasks of a job on the workers of a client."""

    note = None

    def __init__(self, client: Client) -> None:
        self._client = client

    def check_paths(self, reads: Sequence[str], folder: str | None = None) -> None:
        """Check that the workers see the files and the folder."""
        check_paths(self._client, reads, folder)

    def process_bytes(self) -> int:
        """Return what a worker takes before the job holds a row."""
        return process_bytes(self._client)

    def peaks(self) -> dict[str, int]:
        """Return the peak memory of each worker, in bytes."""
        return worker_peaks(self._client)

    @contextmanager
    def guarded(self, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
        """Cancel the block's tasks when a signal comes, or when no worker can go on.

        A worker pauses when its memory is nearly full. When that is not the fault of data that
        could go elsewhere, as with a limit hardly above what the process itself takes, it never
        resumes.
        """
        from distributed import Future

        before = set(self._client.futures)
        done, stuck = threading.Event(), threading.Event()

        def cancel_all() -> None:
            keys = set(self._client.futures) - before
            cancel(self._client, [Future(key, self._client) for key in keys])

        def watch() -> None:
            since = time.monotonic()
            while not done.wait(patience / 10):
                if not _all_paused(self._client):
                    since = time.monotonic()
                elif time.monotonic() - since > patience:
                    stuck.set()
                    cancel_all()
                    return

        thread = threading.Thread(target=watch, name="dsmote-watch", daemon=True)
        thread.start()
        try:
            with explained(), deferred_signals(cancel_all) as self.check:
                yield
        except Exception as error:
            if stuck.is_set():
                raise JobFailed(
                    "all workers are out of memory and have stopped taking tasks: give each worker "
                    "more (--memory-limit) or fewer threads (--threads-per-worker 1)"
                ) from error
            raise
        finally:
            done.set()
            thread.join(timeout=5)

    def compute(
        self, tasks: Sequence[Any], rest: Sequence[Any], on_result: Callable[[Any], None]
    ) -> list[Any]:
        """Compute tasks, call a function with each result when it is there; return the rest's.

        Whatever ends the wait, the tasks that are left are cancelled.
        """
        from distributed import as_completed

        futures = self._client.compute([*rest, *tasks], optimize_graph=False)
        try:
            for future, result in as_completed(futures[len(rest) :], with_results=True):
                self.check()
                if isinstance(result, BaseException):  # a cancelled task has it for a result
                    raise result
                on_result(result)
                # A result that is here needs no worker any more, so none has to make it again.
                future.release()
            results = [future.result() for future in futures[: len(rest)]]
            self.check()
        except BaseException:
            cancel(self._client, futures)
            raise
        return results


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

    def watch() -> None:
        while not done.wait(0.1):
            if received and cancel is not None:
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
    thread = threading.Thread(target=watch, name="dsmote-signals", daemon=True)
    thread.start()
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
        thread.join(CANCEL_SECONDS)  # it must not cancel what comes after the block


def cancel(client: Any, futures: Sequence[Any]) -> None:
    """Cancel futures, whoever else wants them, without keeping the scheduler busy."""

    def ask() -> None:
        with suppress(Exception):  # there may be no scheduler any more
            for start in range(0, len(futures), CANCELLED_AT_ONCE):
                client.cancel(futures[start : start + CANCELLED_AT_ONCE], force=True)

    thread = threading.Thread(target=ask, name="dsmote-cancel", daemon=True)
    thread.start()
    thread.join(CANCEL_SECONDS)


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


@contextmanager
def explained() -> Iterator[None]:
    """Say in words what the errors of a cluster mean."""
    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as error:
        name = error.task[0] if isinstance(error.task, tuple) else error.task
        raise JobFailed(
            "a worker died again and again over the same task, probably because it ran out of "
            "memory: give each worker more (--memory-limit) or fewer threads "
            f"(--threads-per-worker 1); the task was {str(name).split('-')[0]}"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise JobFailed(
            "the scheduler was lost, or has dropped the job's tasks: nothing was put in place; see "
            f"that it runs, then run the job again ({one_line(error)[:200]})"
        ) from error
    except ModuleNotFoundError as error:
        raise JobFailed(f"a worker lacks the module {error.name}: {_SAME}") from error
    except RuntimeError as error:
        if "deserialization of the task graph" not in str(error):
            raise
        raise JobFailed(f"the scheduler cannot read the job: {_SAME}") from error


@contextmanager
def masked_worker_logs(client: Client, hidden: Secrets, *paths: str | None) -> Iterator[None]:
    """Mask secrets in what the client and the workers log in the block, where there are some.

    The error of a task names files, and a worker logs it where it runs.
    """
    if not hidden.values and all(path is None or hidden.mask(path) == path for path in paths):
        yield
        return
    from distributed import WorkerPlugin

    class MaskedLogs(WorkerPlugin):
        name = f"dsmote-masked-logs-{uuid.uuid4().hex}"

        def setup(self, worker: Any = None) -> None:
            self.masking = Masking(hidden)
            # Handlers see the records of all loggers below theirs, too.
            known = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
            self.handlers = {h for each in known for h in getattr(each, "handlers", ())}
            for handler in self.handlers:
                handler.addFilter(self.masking)

        def teardown(self, worker: Any = None) -> None:
            for handler in self.handlers:
                handler.removeFilter(self.masking)

    here = MaskedLogs()
    here.setup()
    try:
        with explained():
            client.register_plugin(MaskedLogs())
        yield
    finally:
        here.teardown()
        if client.status == "running":  # a scheduler that is gone has no plugins
            with suppress(Exception):
                client.unregister_worker_plugin(MaskedLogs.name)
