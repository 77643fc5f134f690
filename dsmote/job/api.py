"""A job as one call: from a file, a mapping or a specification to its result."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dsmote.job.jobfile import JobFileError, Setting
from dsmote.job.logs import Log
from dsmote.job.outputs import unchanged
from dsmote.job.run import Job, plan_job, prepare, write_job
from dsmote.job.runner import is_for_workers
from dsmote.job.spec import JobSpec, load_job
from dsmote.plan import MemoryLimitError

__all__ = ["JobResult", "exit_code", "run_job", "run_spec"]


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
    from dsmote.job.workers import masked_worker_logs

    if client is None:
        running = "address" in cluster or "scheduler_file" in cluster
        progress.stage("connecting" if running else "starting workers")
    with connect(**cluster) if client is None else client.as_current() as opened:
        current = client or opened
        with masked_worker_logs(current, spec.hidden, spec.input, spec.output):
            if not current.nthreads():
                progress.stage("waiting for the scheduler to get workers")
            yield current
