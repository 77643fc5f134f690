"""The job file: a job in YAML, or a mapping of the same keys, checked before anything runs."""

from dsmote.job.jobfile.check import Checked, check
from dsmote.job.jobfile.load import load_job, set_key
from dsmote.job.jobfile.mistakes import JobFileError, Mistake
from dsmote.job.jobfile.model import ClusterSection
from dsmote.job.jobfile.schema import job_schema

__all__ = [
    "Checked",
    "ClusterSection",
    "JobFileError",
    "Mistake",
    "check",
    "job_schema",
    "load_job",
    "set_key",
]
