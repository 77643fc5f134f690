"""A job from its specification to its manifest; and as one call, from a file to its result."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import dask
from dask import delayed
from dask.base import is_dask_collection

from dsmote.job.files import InputFiles, changed_files, check_apart
from dsmote.job.jobfile import JobFileError, Setting
from dsmote.job.logs import Log, Progress, masked_logger
from dsmote.job.outputs import (
    Outputs,
    different,
    digest,
    fingerprint,
    make_manifest,
    run_key,
    unchanged,
    up_to_date,
)
from dsmote.job.parts import Part, ToWrite, finished_parts, write_tasks
from dsmote.job.runner import (
    JobFailed,
    Threads,
    Workers,
    deferred_signals,
    is_for_workers,
    masked_worker_logs,
)
from dsmote.job.sources import Source, check_columns, open_source
from dsmote.job.spec import JobSpec, has_parameter, load_job
from dsmote.job.storage import Stage, check_output, opened, refuse_if_locked
from dsmote.plan import MemoryLimitError

__all__ = [
    "Job",
    "JobFailed",
    "JobResult",
    "Outcome",
    "Progress",
    "exit_code",
    "plan_job",
    "prepare",
    "run_job",
    "run_spec",
    "write_job",
]

logger = masked_logger(__name__)


@dataclass(frozen=True)
class Job:
    """A specification, with what the input adds to it, and the input it was checked against.

    The fingerprint is that of the specification as it was given, and of the input.
    """

    spec: JobSpec
    source: Source
    fingerprint: dict[str, Any]

    @property
    def n_bytes(self) -> int:
        """Bytes that are read and written, about: the rows in memory, and twice as many, or more.

        What `sampling_strategy` asks for may be more than that.
        """
        rows = sum(self.source.partition_rows or ())
        asked = [own.get("sampling_strategy") for _, own in self.spec.steps]
        wanted = max(sum(of.values()) if isinstance(of, Mapping) else 0 for of in asked)
        return int(self.source.n_bytes * (1 + max(2.0, wanted / rows if rows else 0)))


@dataclass(frozen=True)
class Outcome:
    """The manifest of an output, and whether it was there already and up to date."""

    manifest: dict[str, Any]
    skipped: bool = False


def prepare(spec: JobSpec) -> Job:
    """Check all that can be known without a cluster: files, columns, and the place of the output.

    Raises
    ------
    ValueError, OSError
        They name the file or the column.
    OutputLocked
        When another run is at work on the output.
    """
    if spec.report:
        from dsmote.job.report import check_report

        check_report()
    if spec.output is not None:
        refuse_if_locked(spec.output)
        check_output(spec.output, spec.if_exists)
    source = open_source(spec.input, spec.format, reading=spec.reading)
    found = fingerprint(spec, source.inputs)
    folders = source.inputs.folders
    same = () if folders is None or spec.partition_by is None else tuple(folders.names)
    spec = replace(spec, partition_by=spec.partition_by or same)
    column = spec.split.column if spec.split else None
    if has_parameter(spec, "carry"):  # a sampler that has none measures nothing
        # An index says which row it is, not what the row is like: it is kept, and never measured.
        shared = tuple(spec.params.get("carry") or ())
        named = {spec.target, *shared, *spec.categorical}
        index = [name for name in source.index_columns if name not in named]
        # What a row is for says nothing of what it is like, and new rows are for training.
        carry = tuple(name for name in (*shared, *index) if name != column)
        if carry != shared:
            spec = spec.with_params(carry=list(carry))
    if spec.output is not None:
        check_apart(source.inputs, spec.output)
    roles = {
        "target": [spec.target],
        "carry": spec.carry,
        "categorical": spec.categorical,
        "the split's column": [] if column is None else [column],
        "partition_by": spec.partition_by or (),
    }
    check_columns(source, roles)
    return Job(spec, source, found)


@contextmanager
def _running(client: Any, inputs: InputFiles) -> Iterator[Threads]:
    """Yield what runs the tasks: the workers of a client, or, without one, this process."""
    runner = Threads() if client is None else Workers(client)
    # Dask would turn text into a dtype of its own, which the input did not have.
    with dask.config.set({"dataframe.convert-string": False}), runner.guarded():
        try:
            yield runner
        except (ValueError, TypeError):
            _check_unchanged(inputs)  # then it may be gone at the next try
            raise


def _check_unchanged(inputs: InputFiles) -> None:
    """Refuse to go on with a table whose files are not what they were when they were listed."""
    differing = changed_files(inputs)
    if differing:
        file, how = next(iter(differing.items()))
        more = f" (and {len(differing) - 1} more files)" if len(differing) > 1 else ""
        raise JobFailed(
            f"the input was changed while it was read: {file} {how}{more}; nothing was put in "
            "place, run the job again when the input is complete"
        )


def plan_job(job: Job, client: Any = None, progress: Progress | None = None) -> Any:
    """Return the plan of a job, which runs on the workers of a client, or in this process."""
    progress = progress or Progress()
    with _running(client, job.source.inputs) as runner:
        runner.check_paths(job.source.inputs.files)
        progress.stage("counting classes")
        plan = Outputs(job.spec, job.source, runner).plan()
        progress.planned(plan)
        return plan


def write_job(job: Job, client: Any = None, progress: Progress | None = None) -> Outcome:
    """Run a job: resample, write aside, verify the counts, put the output in place.

    Without a client the job runs in this process.

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
    log = progress if isinstance(progress, Log) else Log(progress, spec.hidden)
    log.stage("opening the output")
    log.seconds.clear()  # what was before is not the job
    # From the lock on until it is free again, a signal is for the tasks: it must not undo half of
    # what tidies up, nor end in an error when the output is in place.
    with deferred_signals(None) as check, opened(spec.output) as output:
        standing = up_to_date(spec, job.fingerprint)
        if standing is not None:  # another run has made it since the job was prepared
            output.clear()
            return Outcome(standing, skipped=True)
        log.output = output
        key = run_key(job.fingerprint)
        with (
            output.stage(spec.if_exists, key if spec.resume else None) as stage,
            _running(client, job.source.inputs) as runner,
        ):
            check()
            return Outcome(_write(job, runner, log, stage, key))


def _write(
    job: Job, runner: Threads, log: Log, stage: Stage, key: dict[str, Any]
) -> dict[str, Any]:
    """Fill the staging folder and put it in place; return the manifest."""
    spec, inputs = job.spec, job.source.inputs
    runner.check_paths(inputs.files, stage.folder)
    log.stage("counting classes")
    before = stage.run()
    # Where no seed was given, the one that was drawn: the rows must be those of the first run.
    seeded = spec
    if before is not None and has_parameter(spec, "random_state"):
        seeded = spec.with_params(random_state=before["seed"])
    outputs = Outputs(seeded, job.source, runner)
    outputs.make(stage.folder)
    plan, parts = outputs.sampler.plan_, outputs.parts
    log.planned(plan)
    run = {"key": key, "seed": int(plan.seed), "parts": len(parts), "rows": outputs.rows}
    done = parts_of(stage, before, run, parts)
    missing = [part for part in parts if part.number not in done]
    log.stage("writing")
    log.start(len(parts), outputs.rows)
    peaks: dict[str, int] = {}

    def on_part(part: Part) -> None:
        stage.keep = spec.resume  # from here on there is something to go on with
        done[part.number] = part
        _note(log, peaks, part)

    for ready in list(done.values()):
        on_part(ready)
    drawn = outputs.drawn
    asked: Any = [*outputs.reports, outputs.counts_after, drawn and drawn.samples]
    lazy = any(map(is_dask_collection, asked))
    asked = delayed(asked) if lazy else asked
    tasks, rest = write_tasks(missing, stage.folder, asked)
    answers = runner.compute(tasks, rest, on_part)
    *reports, counts_after, samples = answers[0] if lazy else asked
    stage.keep = False  # a failure from here on would come again with the same parts
    if counts_after is not None:
        plan = outputs.settle(counts_after)
    written = [done[number] for number in sorted(done)]
    wrong = different(outputs, written)
    if wrong:
        raise JobFailed(wrong)
    _check_unchanged(inputs)
    # Workers that died are known by what they reported before.
    peaks |= runner.peaks()
    log.end()
    manifest = make_manifest(spec, outputs, written, reports, peaks, log.seconds)
    manifest |= {"status": "done", "fingerprint": job.fingerprint}
    if drawn:
        from dsmote.job.report import add_report

        log.stage("drawing the report")
        add_report(stage.report, manifest, plan, drawn, samples, spec.hidden)
    log.stage("putting the output in place")
    runner.check()
    return stage.commit(manifest, digest(run))


def _note(log: Log, peaks: dict[str, int], part: Part) -> None:
    if part.worker is not None:
        peaks[part.worker] = max(part.peak, peaks.get(part.worker, 0))
    log.advance(1, part.rows)


def parts_of(
    stage: Stage, before: dict[str, Any] | None, run: dict[str, Any], parts: Sequence[ToWrite]
) -> dict[int, Part]:
    """Return by number the parts that a dead run finished, and note whose the folder is now.

    `before` is the run that began the folder, where one did, and `run` this one, as plain data.
    """
    found: dict[int, Part] = {}
    if before == run:
        found = finished_parts(stage.folder, parts)
        logger.info("resuming: %d of %d parts are finished", len(found), run["parts"])
    elif before is not None:
        logger.warning("the plan is not that of the run that died: starting over")
        stage.restart()
    stage.note(run)
    return found


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error.

    2 after errors in the job file, 4 where memory does not suffice, 5 where the data or the
    parameters do not allow it, which the next try would find again; 1 where a retry may help.
    """
    if isinstance(error, JobFileError):
        return 2
    if isinstance(error, MemoryLimitError):
        return 4
    return 5 if isinstance(error, ValueError | TypeError | ImportError | FileExistsError) else 1


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes
    ----------
    status : {"done", "skipped", "planned"}
        ``"skipped"`` when the output was already made from the same files in the same way;
        ``"planned"`` after a dry run.
    output : str or None
        The folder.
    manifest : dict or None
        As it lies in the folder; of the earlier run when this one was skipped. None after a dry
        run.
    plan : Plan or None
        What was planned; None when the job was skipped.
    seconds : float
        In all, with starting workers; what the job itself took is in the manifest.

    Examples
    --------
    >>> JobResult("skipped", "out", {}, None, 0.1).exit_code
    3
    """

    status: str
    output: str | None = field(repr=False)
    manifest: dict[str, Any] | None = field(repr=False)
    plan: Any = field(repr=False)
    seconds: float

    @property
    def exit_code(self) -> int:
        """What ``dsmote run`` ends with: 0, or 3 when the job was skipped.

        After a dry run of what cannot run, it is what the run would end with.
        """
        if self.status == "planned" and getattr(self.plan, "problems", None):
            try:
                self.plan.check()
            except (ValueError, MemoryError) as error:
                return exit_code(error)
        return 3 if self.status == "skipped" else 0


def run_job(
    spec: str | os.PathLike[str] | Mapping[str, Any] | JobSpec,
    *,
    client: Any = None,
    dry_run: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> JobResult:
    """Run a job: what ``dsmote run JOB.yaml`` does.

    Parameters
    ----------
    spec : str, path, mapping or JobSpec
        A job file in YAML, a mapping of the same keys, or a specification.
    client : distributed.Client, optional
        In place of the cluster that the job names.
    dry_run : bool, default=False
        Plan only; nothing is written.
    overrides : mapping of str to object, optional
        Values by key, such as ``{"params.k_neighbors": 7}``, in place of those of a file or a
        mapping.

    Returns
    -------
    JobResult

    Raises
    ------
    JobFileError
        A ValueError; its ``errors`` are all there are, each with its place. Nothing has run.
    dsmote.plan.MemoryLimitError
        The plan does not fit in the workers' memory. Nothing has been written.
    JobFailed
        Workers died, or what was written is not what was planned. There is no output.
    ValueError, TypeError, OSError
        From the input, the plan or the storage; likewise.

    Notes
    -----
    What is done is logged under ``dsmote`` (:mod:`logging`); nothing is printed.

    Examples
    --------
    >>> import dsmote
    >>> result = dsmote.run_job("job.yaml")  # doctest: +SKIP
    >>> result.status, result.manifest["rows"]["new"]  # doctest: +SKIP
    ('done', 150)
    >>> dsmote.run_job({"input": "in.parquet", "ouput": "out", "target": "y"})
    Traceback (most recent call last):
        ...
    dsmote.job.jobfile.JobFileError: the job has 2 errors:
      ouput: there is no such key (did you mean 'output'?)
      output: is required, and not given
    """
    if isinstance(spec, JobSpec):
        if overrides:
            raise ValueError("overrides are for job files and mappings: use dataclasses.replace")
    else:
        settings = [
            Setting(tuple(str(key).split(".")), value, f"overrides {key}")
            for key, value in (overrides or {}).items()
        ]
        spec = load_job(spec, settings)
    return run_spec(spec, client=client, dry_run=dry_run)


def run_spec(
    spec: JobSpec, *, client: Any = None, dry_run: bool = False, progress: Any = None
) -> JobResult:
    """Run a job that has been checked."""
    started = time.perf_counter()
    with spec.hidden.masked(), Log(progress, spec.hidden) as log:
        manifest = None if dry_run else unchanged(spec)
        status = "planned" if dry_run else "skipped"
        if manifest is None:
            job = prepare(spec)
            with _client(job, log, client) as client:
                if dry_run:
                    plan_job(job, client, log)
                else:
                    outcome = write_job(job, client, log)
                    manifest, status = outcome.manifest, "skipped" if outcome.skipped else "done"
        seconds = time.perf_counter() - started
        log.ended(status, seconds, manifest)
    return JobResult(status, spec.output, manifest, log.plan, seconds)


@contextmanager
def _client(job: Job, progress: Log, client: Any) -> Iterator[Any]:
    """Yield the client that is given, or one of the job's cluster; None for a small job."""
    spec = job.spec
    cluster = spec.cluster.connection() if spec.cluster else {}
    if client is None and not cluster and not is_for_workers(job.n_bytes):
        yield None
        return
    from dsmote.cluster import connect

    if client is None:
        running = "address" in cluster or "scheduler_file" in cluster
        progress.stage("connecting" if running else "starting workers")
    # Current also where the caller has made another one so, whose workers have other limits.
    opened = connect(**cluster) if client is None else nullcontext(client)
    with (
        opened as current,
        current.as_current(),
        masked_worker_logs(current, spec.hidden, spec.input, spec.output),
    ):
        if not current.nthreads():
            progress.stage("waiting for the scheduler to get workers")
        yield current
