"""A job from its specification to its manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask
from dask import delayed

from dsmote.cluster import check_paths, worker_peaks
from dsmote.job.failures import JobFailed, check_unchanged, explained
from dsmote.job.files import check_apart
from dsmote.job.logs import Logged
from dsmote.job.manifest import digest, fingerprint, make_manifest, run_key, up_to_date
from dsmote.job.outputs import different, make_outputs, plan_outputs
from dsmote.job.parts import Part, write_parts
from dsmote.job.place import check_output
from dsmote.job.progress import Progress, Silent, Told
from dsmote.job.report import check_report
from dsmote.job.resume import parts_of
from dsmote.job.sources import Source, check_columns, open_source
from dsmote.job.spec import JobSpec, has_parameter
from dsmote.job.storage import Stage, opened, refuse_if_locked
from dsmote.job.watch import unless_stuck

__all__ = [
    "Job",
    "JobFailed",
    "Outcome",
    "Progress",
    "Silent",
    "plan_job",
    "prepare",
    "write_job",
]


@dataclass(frozen=True)
class Job:
    """A specification together with the input it was checked against.

    Parameters
    ----------
    spec : JobSpec
        With what the input adds to it.
    source : Source
    fingerprint : dict
        Of the specification as it was given, and of the input.
    """

    spec: JobSpec
    source: Source
    fingerprint: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Parameters
    ----------
    manifest : dict
        Of the output.
    skipped : bool
        Whether the output was there already and up to date.
    """

    manifest: dict[str, Any]
    skipped: bool = False


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
    OutputLocked
        When another run is at work on the output.
    """
    if spec.report:
        check_report()
    if spec.output is not None:
        refuse_if_locked(spec.output)
        check_output(spec.output, spec.if_exists)
    source = open_source(spec.input, spec.format)
    found = fingerprint(spec, source.inputs)
    # An index says which row it is, not what the row is like: it is kept, and never measured.
    named = {spec.target, *spec.carry, *spec.categorical}
    column = spec.split.column if spec.split else None
    index = tuple(name for name in source.index_columns if name not in named)
    if has_parameter(spec, "carry"):  # a sampler that has none measures nothing
        # What a row is for says nothing of what it is like, and new rows are for training.
        carry = tuple(name for name in (*spec.carry, *index) if name != column)
        if carry != spec.carry:
            spec = spec.with_params(carry=list(carry))
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
    return Job(spec, source, found)


def plan_job(job: Job, client: Any, progress: Progress | None = None) -> Any:
    """Return what a job would do.

    Parameters
    ----------
    job : Job
    client : distributed.Client
    progress : Progress, optional

    Returns
    -------
    dsmote.plan.Plan
    """
    progress = progress or Silent()
    with explained(job.source.inputs), unless_stuck(client), _original_dtypes():
        check_paths(client, job.source.inputs.files)
        progress.stage("counting classes")
        plan = plan_outputs(job.spec, job.source, client)
        progress.planned(plan)
        return plan


def write_job(job: Job, client: Any, progress: Progress | None = None) -> Outcome:
    """Run a job: resample, write aside, verify the counts, put the output in place.

    Parameters
    ----------
    job : Job
    client : distributed.Client
    progress : Progress, optional

    Returns
    -------
    Outcome

    Raises
    ------
    JobFailed
        When workers died, or what was written is not what was planned.
    OutputLocked, LockLost
        When another run is at work on the output, or took it over.
    ValueError, TypeError, MemoryError, OSError
        From the data, the plan or the storage.
    """
    spec = job.spec
    if spec.output is None:
        raise ValueError("the job has no output")
    log = progress if isinstance(progress, Logged) else Logged(progress or Silent(), spec.hidden)
    log.stage("opening the output")
    log.seconds.clear()  # what was before is not the job
    with opened(spec.output) as output:
        standing = up_to_date(spec, job.fingerprint)
        if standing is not None:  # another run has made it since the job was prepared
            output.clear()
            return Outcome(standing, skipped=True)
        told = Told(log, output)
        key = run_key(job.fingerprint)
        with (
            output.stage(spec.if_exists, key if spec.resume else None) as stage,
            explained(job.source.inputs),
            unless_stuck(client) as check,
            _original_dtypes(),
        ):
            return Outcome(_write(job, client, told, log, stage, key, check))


def _write(
    job: Job,
    client: Any,
    progress: Told,
    log: Logged,
    stage: Stage,
    key: dict[str, Any],
    check_signals: Callable[[], None],
) -> dict[str, Any]:
    """Fill the staging folder and put it in place; return the manifest."""
    spec, inputs = job.spec, job.source.inputs
    check_paths(client, inputs.files, stage.folder)
    progress.stage("counting classes")
    before = stage.run()
    # Where no seed was given, the one that was drawn: the rows must be those of the first run.
    seeded = spec if before is None else spec.with_params(random_state=before["seed"])
    outputs = make_outputs(seeded, job.source, client, stage.folder)
    progress.planned(outputs.sampler.plan_)
    seed = int(outputs.sampler.plan_.seed)
    run = {"key": key, "seed": seed, "parts": len(outputs.parts), "rows": outputs.rows}
    finished = parts_of(stage, before, run, outputs.parts)
    progress.stage("writing")
    progress.start(len(outputs.parts), outputs.rows)
    peaks: dict[str, int] = {}

    def on_part(part: Part) -> None:
        stage.keep = spec.resume  # from here on there is something to go on with
        _note(progress, peaks, part)

    drawn = outputs.drawn
    asked = delayed([outputs.report, drawn.samples]) if drawn else outputs.report
    parts, answer = write_parts(client, outputs.parts, stage.folder, on_part, asked, finished)
    report, samples = answer if drawn else (answer, None)
    stage.keep = False  # a failure from here on would come again with the same parts
    wrong = different(outputs, parts)
    if wrong:
        raise JobFailed(wrong)
    check_unchanged(inputs)
    # Workers that died are known by what they reported before.
    peaks = {**peaks, **worker_peaks(client)}
    log.end()
    manifest = make_manifest(spec, outputs, parts, report, peaks, log.seconds)
    manifest |= {"status": "done", "fingerprint": job.fingerprint}
    if drawn:
        from dsmote.job.report.page import add_report  # matplotlib

        progress.stage("drawing the report")
        add_report(
            stage.report, manifest, outputs.sampler.plan_, drawn.sampling, samples, spec.hidden
        )
    progress.stage("putting the output in place")
    check_signals()
    return stage.commit(manifest, digest(run))


def _note(progress: Progress, peaks: dict[str, int], part: Part) -> None:
    if part.worker is not None:
        peaks[part.worker] = max(part.peak, peaks.get(part.worker, 0))
    progress.advance(1, part.rows)


def _original_dtypes() -> Any:
    """Keep Dask from turning text into a dtype of its own, which the input did not have."""
    return dask.config.set({"dataframe.convert-string": False})
