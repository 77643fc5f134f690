"""SMOTE and its family for tables of any size: in memory, out of core, on a Dask cluster.

The public names are loaded on first use, so that the pure layers (:mod:`dsmote.plan`,
:mod:`dsmote.kernels`, :mod:`dsmote.neighbors`) can be imported where Dask is not installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsmote.cluster import connect
    from dsmote.job import JobFileError, JobResult, JobSpec, run_job
    from dsmote.plan import Plan, UnderPlan
    from dsmote.samplers import (
        ADASYN,
        SMOTE,
        SMOTEN,
        SMOTENC,
        SVMSMOTE,
        BorderlineSMOTE,
        KMeansSMOTE,
        RandomOverSampler,
        RandomUnderSampler,
        make_sampler,
    )

__all__ = [
    "ADASYN",
    "SMOTE",
    "SMOTEN",
    "SMOTENC",
    "SVMSMOTE",
    "BorderlineSMOTE",
    "JobFileError",
    "JobResult",
    "JobSpec",
    "KMeansSMOTE",
    "Plan",
    "RandomOverSampler",
    "RandomUnderSampler",
    "UnderPlan",
    "__version__",
    "connect",
    "make_sampler",
    "run_job",
]

__version__ = "0.4.1"

_HOMES = dict.fromkeys(__all__, "dsmote.samplers") | dict.fromkeys(
    ("Plan", "UnderPlan"), "dsmote.plan"
)
_HOMES |= dict.fromkeys(("JobFileError", "JobResult", "JobSpec", "run_job"), "dsmote.job")
_HOMES["connect"] = "dsmote.cluster"


def __getattr__(name: str) -> Any:
    """Load a public name from the layer that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dsmote' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
