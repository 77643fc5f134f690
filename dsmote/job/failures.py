"""Failures of a job that lie in the cluster or the storage, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from distributed import KilledWorker
from distributed.comm import CommClosedError

from dsmote.job.files import InputFiles, changed_files, one_line
from dsmote.job.watch import Stuck

__all__ = ["JobFailed", "check_unchanged", "explained"]

#: The remedy when the other side does not know what it is sent.
_SAME = "install dsmote, Dask and pandas in the same versions on the scheduler and on every worker"


class JobFailed(RuntimeError):
    """A job that could not be finished, for a reason that lies in the cluster or the files."""


def check_unchanged(inputs: InputFiles) -> None:
    """Refuse to go on with a table whose files are not what they were when they were listed.

    Parameters
    ----------
    inputs : InputFiles

    Raises
    ------
    JobFailed
    """
    differing = changed_files(inputs)
    if differing:
        file, how = next(iter(differing.items()))
        more = f" (and {len(differing) - 1} more files)" if len(differing) > 1 else ""
        raise JobFailed(
            f"the input was changed while it was read: {file} {how}{more}; nothing was put in "
            "place, run the job again when the input is complete"
        )


@contextmanager
def explained(inputs: InputFiles | None = None) -> Iterator[None]:
    """Say in words what the errors of a cluster mean.

    Parameters
    ----------
    inputs : InputFiles, optional
        Where these changed, what was wrong with them may be gone at the next try.
    """
    try:
        yield
    except (ValueError, TypeError):
        if inputs is not None:
            check_unchanged(inputs)
        raise
    except Stuck as error:
        raise JobFailed(str(error)) from error
    except KilledWorker as error:
        raise JobFailed(
            "a worker died again and again over the same task, probably because it ran out of "
            "memory: give each worker more (--memory-limit) or fewer threads "
            f"(--threads-per-worker 1); the task was {_short(error.task)}"
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


def _short(key: Any) -> str:
    name = key[0] if isinstance(key, tuple) else key
    return str(name).split("-")[0]
