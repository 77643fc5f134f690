"""Scheduled work on files: a table in, a balanced table out, whole or not at all.

The names are loaded on first use: a worker that writes parts needs neither the checks of job files
nor the samplers, which would take memory there.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "jobfile": ("JobFileError",),
    "outputs": ("unchanged",),
    "run": (
        *("Job", "JobFailed", "JobResult", "Outcome", "Progress", "exit_code"),
        *("plan_job", "prepare", "run_job", "run_spec", "write_job"),
    ),
    "spec": ("JobSpec", "load_job"),
    "verification": ("Verification", "verify"),
}


def __getattr__(name: str) -> Any:
    """Load a name from the module that defines it."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"dsmote.job.{home}"), name)
    raise AttributeError(f"module 'dsmote.job' has no attribute {name!r}")
