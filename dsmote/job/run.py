"""A job from its specification to its manifest."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import dask
import pandas as pd
import pyarrow as pa
from distributed import KilledWorker

from dsmote.cluster import check_paths, worker_peaks
from dsmote.job.files import check_apart
from dsmote.job.manifest import make_manifest
from dsmote.job.parquet import with_pandas_dtypes
from dsmote.job.parts import Part, write_parts
from dsmote.job.sources import Source, check_columns, open_source
from dsmote.job.spec import JobSpec, has_parameter, plain_label, sampler_of
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
    index = tuple(name for name in source.index_columns if name not in named)
    if has_parameter(spec, "carry"):  # a sampler that has none measures nothing
        spec = replace(spec, carry=(*spec.carry, *index))
    if spec.output is not None:
        check_apart(source.inputs, spec.output)
    check_columns(
        source,
        {"target": [spec.target], "carry": spec.carry, "categorical": spec.categorical},
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
        frame = job.source.frame(client)
        return sampler_of(job.spec, frame._meta).plan(frame, target=job.spec.target)


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
        sampler, balanced = _resampled(job, client)
        progress.stage("writing")
        progress.start(balanced.npartitions, sampler.plan_.n_after)
        schema = _output_schema(job.source, balanced._meta)
        peaks: dict[str, int] = {}
        on_part = partial(_note, progress, peaks)
        report = getattr(sampler, "neighbors_report_", {})  # not where rows are only left out
        parts, report = write_parts(
            client, balanced, stage.folder, schema, spec.target, on_part, report
        )
        _check_counts(sampler.plan_, parts)
        # Workers that died are known by what they reported before.
        peaks = {**peaks, **worker_peaks(client)}
        seconds = time.perf_counter() - started
        manifest = make_manifest(spec, sampler, parts, report, peaks, seconds)
        progress.stage("putting the output in place")
        stage.commit(manifest)
    return manifest


def _resampled(job: Job, client: Any) -> tuple[Any, Any]:
    """Return the sampler, which has its plan, and the lazy output."""
    frame = job.source.frame(client)
    sampler = sampler_of(job.spec, frame._meta)
    with warnings.catch_warnings():
        # The plan has them all, and the manifest takes them from there.
        warnings.simplefilter("ignore", UserWarning)
        return sampler, sampler.resample(frame, target=job.spec.target)


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


def _output_schema(source: Source, meta: pd.DataFrame) -> pa.Schema:
    """Return the schema of the parts: the input's columns, and those that the sampler adds."""
    known = [name for name in meta.columns if name in source.columns]
    schema, empty = source.output_schema(meta[known]), meta.iloc[:0]
    if len(known) == len(meta.columns):
        return schema
    added = pa.Schema.from_pandas(empty.drop(columns=known), preserve_index=False)
    types = [
        schema.field(name) if name in known else _text_if_unknown(added.field(name))
        for name in meta.columns
    ]
    return with_pandas_dtypes(pa.schema(types), empty)


def _text_if_unknown(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.large_string()) if pa.types.is_null(field.type) else field


def _check_counts(plan: Any, parts: list[Part]) -> None:
    written: Counter[Any] = Counter()
    for part in parts:
        written.update(dict(part.counts))
    wanted = {plain_label(label): int(rows) for label, rows in plan.counts_after.items() if rows}
    if dict(written) != wanted:
        differing = {
            label: (written.get(label, 0), wanted.get(label, 0))
            for label in sorted({*written, *wanted}, key=str)
            if written.get(label, 0) != wanted.get(label, 0)
        }
        raise JobFailed(
            "the rows written are not the rows planned (label: written, planned): "
            f"{differing}; the input may have changed while it was read"
        )
