"""Scheduled work on files: a table in, a balanced table out, whole or not at all."""

from dsmote.job.api import JobResult, run_job, run_spec
from dsmote.job.fingerprint import unchanged
from dsmote.job.jobfile import JobFileError, load_job
from dsmote.job.run import (
    Job,
    JobFailed,
    Outcome,
    Progress,
    Silent,
    plan_job,
    prepare,
    write_job,
)
from dsmote.job.spec import JobSpec, parse_strategy

__all__ = [
    "Job",
    "JobFailed",
    "JobFileError",
    "JobResult",
    "JobSpec",
    "Outcome",
    "Progress",
    "Silent",
    "load_job",
    "parse_strategy",
    "plan_job",
    "prepare",
    "run_job",
    "run_spec",
    "unchanged",
    "write_job",
]
