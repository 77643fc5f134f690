"""A job from its specification to its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
from dask import delayed

from dsmote.job.files import InputFiles, changed_files, check_apart
from dsmote.job.logs import Log, Progress, masked_logger
from dsmote.job.outputs import (
    Outputs,
    different,
    digest,
    fingerprint,
    make_manifest,
    run_key,
    up_to_date,
)
from dsmote.job.parts import Part, ToWrite, finished_parts, write_tasks
from dsmote.job.runner import JobFailed, Threads, deferred_signals
from dsmote.job.sources import Source, check_columns, open_source
from dsmote.job.spec import JobSpec, has_parameter
from dsmote.job.storage import Stage, check_output, opened, refuse_if_locked

__all__ = ["Job", "JobFailed", "Outcome", "Progress", "plan_job", "prepare", "write_job"]

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
        asked = self.spec.params.get("sampling_strategy")
        rows = sum(self.source.partition_rows or ())
        wanted = sum(asked.values()) if isinstance(asked, Mapping) else 0
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
    source = open_source(spec.input, spec.format)
    found = fingerprint(spec, source.inputs)
    column = spec.split.column if spec.split else None
    if has_parameter(spec, "carry"):  # a sampler that has none measures nothing
        # An index says which row it is, not what the row is like: it is kept, and never measured.
        named = {spec.target, *spec.carry, *spec.categorical}
        index = [name for name in source.index_columns if name not in named]
        # What a row is for says nothing of what it is like, and new rows are for training.
        carry = tuple(name for name in (*spec.carry, *index) if name != column)
        if carry != spec.carry:
            spec = spec.with_params(carry=list(carry))
    if spec.output is not None:
        check_apart(source.inputs, spec.output)
    roles = {
        "target": [spec.target],
        "carry": spec.carry,
        "categorical": spec.categorical,
        "the split's column": [] if column is None else [column],
        "partition_by": spec.partition_by,
    }
    check_columns(source, roles)
    return Job(spec, source, found)


@contextmanager
def _running(client: Any, inputs: InputFiles) -> Iterator[Threads]:
    """Yield what runs the tasks: the workers of a client, or, without one, this process."""
    if client is None:
        runner = Threads()
    else:
        from dsmote.job.workers import Workers

        runner = Workers(client)
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
    seeded = spec if before is None else spec.with_params(random_state=before["seed"])
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
    asked = delayed([outputs.report, drawn.samples]) if drawn else outputs.report
    tasks, rest = write_tasks(missing, stage.folder, asked)
    answers = runner.compute(tasks, rest, on_part)
    answer = answers[0] if hasattr(asked, "dask") else asked
    report, samples = answer if drawn else (answer, None)
    stage.keep = False  # a failure from here on would come again with the same parts
    written = [done[number] for number in sorted(done)]
    wrong = different(outputs, written)
    if wrong:
        raise JobFailed(wrong)
    _check_unchanged(inputs)
    # Workers that died are known by what they reported before.
    peaks |= runner.peaks()
    log.end()
    manifest = make_manifest(spec, outputs, written, report, peaks, log.seconds)
    manifest |= {"status": "done", "fingerprint": job.fingerprint}
    if drawn:
        from dsmote.job.report import add_report

        log.stage("drawing the report")
        add_report(stage.report, manifest, plan, drawn.sampling, samples, spec.hidden)
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
