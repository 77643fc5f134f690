"""Scheduled work on files: a table in, a balanced table out, whole or not at all.

The names are loaded on first use: a worker that writes parts needs neither the checks of job files
nor the samplers, which would take memory there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsmote.job.api import JobResult, exit_code, run_job, run_spec
    from dsmote.job.jobfile import JobFileError
    from dsmote.job.outputs import unchanged
    from dsmote.job.run import (
        Job,
        JobFailed,
        Outcome,
        Progress,
        plan_job,
        prepare,
        write_job,
    )
    from dsmote.job.spec import JobSpec, load_job

__all__ = [
    "Job",
    "JobFailed",
    "JobFileError",
    "JobResult",
    "JobSpec",
    "Outcome",
    "Progress",
    "exit_code",
    "load_job",
    "plan_job",
    "prepare",
    "run_job",
    "run_spec",
    "unchanged",
    "write_job",
]

_HOMES = {
    "JobResult": "api",
    "exit_code": "api",
    "run_job": "api",
    "run_spec": "api",
    "unchanged": "outputs",
    "JobFileError": "jobfile",
    "load_job": "spec",
    "Job": "run",
    "JobFailed": "run",
    "Outcome": "run",
    "Progress": "run",
    "plan_job": "run",
    "prepare": "run",
    "write_job": "run",
    "JobSpec": "spec",
}


def __getattr__(name: str) -> Any:
    """Load a name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dsmote.job' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dsmote.job.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the names, loaded or not."""
    return sorted(__all__)
