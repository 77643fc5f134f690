"""Scheduled work on files: a table in, a balanced table out, whole or not at all.

The names are loaded on first use: a worker that writes parts needs neither the checks of job files
nor the samplers, which would take memory there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsmote.job.api import JobResult as JobResult
    from dsmote.job.api import exit_code as exit_code
    from dsmote.job.api import run_job as run_job
    from dsmote.job.api import run_spec as run_spec
    from dsmote.job.jobfile import JobFileError as JobFileError
    from dsmote.job.outputs import unchanged as unchanged
    from dsmote.job.run import Job as Job
    from dsmote.job.run import JobFailed as JobFailed
    from dsmote.job.run import Outcome as Outcome
    from dsmote.job.run import Progress as Progress
    from dsmote.job.run import plan_job as plan_job
    from dsmote.job.run import prepare as prepare
    from dsmote.job.run import write_job as write_job
    from dsmote.job.spec import JobSpec as JobSpec
    from dsmote.job.spec import load_job as load_job

_HOMES = {
    "api": ("JobResult", "exit_code", "run_job", "run_spec"),
    "jobfile": ("JobFileError",),
    "outputs": ("unchanged",),
    "run": ("Job", "JobFailed", "Outcome", "Progress", "plan_job", "prepare", "write_job"),
    "spec": ("JobSpec", "load_job"),
}


def __getattr__(name: str) -> Any:
    """Load a name from the module that defines it."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"dsmote.job.{home}"), name)
    raise AttributeError(f"module 'dsmote.job' has no attribute {name!r}")
