"""A job from its specification to its manifest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import dask
from distributed import KilledWorker

from dsmote.cluster import check_paths, worker_peaks
from dsmote.job.files import check_apart
from dsmote.job.manifest import make_manifest
from dsmote.job.outputs import different, make_outputs, plan_outputs
from dsmote.job.parts import Part, write_parts
from dsmote.job.sources import Source, check_columns, open_source
from dsmote.job.spec import JobSpec, has_parameter
from dsmote.job.storage import check_output, staged
from dsmote.job.watch import Stuck, unless_stuck

__all__ = ["Job", "JobFailed", "Progress", "Silent", "plan_job", "prepare", "write_job"]

#: The remedy when the other side does not know what it is sent.
_SAME = "install dsmote, Dask and pandas in the same versions on the scheduler and on every worker"


class JobFailed(RuntimeError):
    """A job that could not be finished, for a reason that lies in the cluster."""


class Progress(Protocol):
    """What a job tells while it runs."""

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def start(self, partitions: int, rows: int) -> None:
        """Say how much there will be to write."""

    def advance(self, partitions: int, rows: int) -> None:
        """Say how much has been written in addition."""


class Silent:
    """A progress that tells nothing.

    Examples
    --------
    >>> Silent().stage("reading")
    """

    def stage(self, text: str) -> None:
        """Say nothing."""

    def start(self, partitions: int, rows: int) -> None:
        """Say nothing."""

    def advance(self, partitions: int, rows: int) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Job:
    """A specification together with the input it was checked against."""

    spec: JobSpec
    source: Source


def prepare(spec: JobSpec) -> Job:
    """Check all that can be known without a cluster: files, columns, and the place of the output.

    Parameters
    ----------
    spec : JobSpec

    Returns
    -------
    Job

    Raises
    ------
    ValueError, OSError
        They name the file or the column.
    """
    if spec.output is not None:
        check_output(spec.output, spec.if_exists == "replace")
    source = open_source(spec.input, spec.format)
    # An index says which row it is, not what the row is like: it is kept, and never measured.
    named = {spec.target, *spec.carry, *spec.categorical}
    column = spec.split.column if spec.split else None
    index = tuple(name for name in source.index_columns if name not in named)
    if has_parameter(spec, "carry"):  # a sampler that has none measures nothing
        # What a row is for says nothing of what it is like, and new rows are for training.
        carry = tuple(name for name in (*spec.carry, *index) if name != column)
        spec = replace(spec, carry=carry)
    if spec.output is not None:
        check_apart(source.inputs, spec.output)
    check_columns(
        source,
        {
            "target": [spec.target],
            "carry": spec.carry,
            "categorical": spec.categorical,
            "the split's column": [] if column is None else [column],
            "partition_by": spec.partition_by,
        },
    )
    return Job(spec, source)


def plan_job(job: Job, client: Any, progress: Progress | None = None) -> Any:
    """Return what a job would do.

    Parameters
    ----------
    job : Job
    client : distributed.Client
    progress : Progress, optional

    Returns
    -------
    dsmote.plan.Plan or dsmote.plan.UnderPlan
    """
    progress = progress or Silent()
    with _explained(), unless_stuck(client), _original_dtypes():
        check_paths(client, job.source.inputs.files)
        progress.stage("counting classes")
        return plan_outputs(job.spec, job.source, client)


def write_job(job: Job, client: Any, progress: Progress | None = None) -> dict[str, Any]:
    """Run a job: resample, write aside, verify the counts, put the output in place.

    Parameters
    ----------
    job : Job
    client : distributed.Client
    progress : Progress, optional

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    JobFailed
        When workers died, or what was written is not what was planned.
    ValueError, TypeError, MemoryError, OSError
        From the data, the plan or the storage.
    """
    spec, progress, started = job.spec, progress or Silent(), time.perf_counter()
    if spec.output is None:
        raise ValueError("the job has no output")
    with (
        staged(spec.output, spec.if_exists == "replace") as stage,
        _explained(),
        unless_stuck(client),
        _original_dtypes(),
    ):
        check_paths(client, job.source.inputs.files, stage.folder)
        progress.stage("counting classes")
        outputs = make_outputs(spec, job.source, client)
        progress.stage("writing")
        progress.start(len(outputs.parts), outputs.rows)
        peaks: dict[str, int] = {}
        on_part = partial(_note, progress, peaks)
        parts, report = write_parts(client, outputs.parts, stage.folder, on_part, outputs.report)
        wrong = different(outputs, parts)
        if wrong:
            raise JobFailed(wrong)
        # Workers that died are known by what they reported before.
        peaks = {**peaks, **worker_peaks(client)}
        seconds = time.perf_counter() - started
        manifest = make_manifest(spec, outputs, parts, report, peaks, seconds)
        progress.stage("putting the output in place")
        stage.commit(manifest)
    return manifest


def _note(progress: Progress, peaks: dict[str, int], part: Part) -> None:
    if part.worker is not None:
        peaks[part.worker] = max(part.peak, peaks.get(part.worker, 0))
    progress.advance(1, part.rows)


def _original_dtypes() -> Any:
    """Keep Dask from turning text into a dtype of its own, which the input did not have."""
    return dask.config.set({"dataframe.convert-string": False})


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Stuck as error:
        raise JobFailed(str(error)) from error
    except KilledWorker as error:
        raise JobFailed(
            "a worker died again and again over the same task, probably because it ran out of "
            "memory: give each worker more (--memory-limit) or fewer threads "
            f"(--threads-per-worker 1); the task was {_short(error.task)}"
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
