"""Runs the tasks of a job on the workers of a Dask cluster, and says what its errors mean."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, Future, KilledWorker, WorkerPlugin, as_completed
from distributed.comm import CommClosedError

from dsmote.cluster import check_paths, process_bytes, worker_peaks
from dsmote.job.files import one_line
from dsmote.job.logs import Masking, Secrets
from dsmote.job.runner import CANCEL_SECONDS, JobFailed, Threads, deferred_signals

__all__ = ["Workers", "cancel", "explained", "masked_worker_logs"]

#: A job is given up when for this long no worker took a task for lack of memory.
PATIENCE_SECONDS = 30.0

#: The scheduler goes through all futures of a call once for each of them: 20,000 in one call keep
#: it busy for 16 s, and in calls of 100 for 1 s.
CANCELLED_AT_ONCE = 100

#: The remedy when the other side does not know what it is sent.
_SAME = "install dsmote, Dask and pandas in the same versions on the scheduler and on every worker"


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


class _MaskedLogs(WorkerPlugin):
    """Masks secrets in what a worker logs, before the standard error or a file has it.

    The error of a task names files, and a worker logs it where it runs.
    """

    def __init__(self, hidden: Secrets) -> None:
        self.name = f"dsmote-masked-logs-{uuid.uuid4().hex}"
        self._masking = Masking(hidden)

    def setup(self, worker: Any = None) -> None:
        # Handlers see the records of all loggers below theirs, too.
        known = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
        self._handlers = {h for each in known for h in getattr(each, "handlers", ())}
        for handler in self._handlers:
            handler.addFilter(self._masking)

    def teardown(self, worker: Any = None) -> None:
        for handler in self._handlers:
            handler.removeFilter(self._masking)


@contextmanager
def masked_worker_logs(client: Client, hidden: Secrets, *paths: str | None) -> Iterator[None]:
    """Mask secrets in what the client and the workers log in the block, where there are some."""
    if not hidden.values and all(path is None or hidden.mask(path) == path for path in paths):
        yield
        return
    here, there = _MaskedLogs(hidden), _MaskedLogs(hidden)
    here.setup()
    try:
        with explained():
            client.register_plugin(there)
        yield
    finally:
        here.teardown()
        if client.status == "running":  # a scheduler that is gone has no plugins
            with suppress(Exception):
                client.unregister_worker_plugin(there.name)
