"""Scheduled work on files: a table in, a balanced table out, whole or not at all."""

from dsmote.job.fingerprint import unchanged
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
    "JobSpec",
    "Outcome",
    "Progress",
    "Silent",
    "parse_strategy",
    "plan_job",
    "prepare",
    "unchanged",
    "write_job",
]
