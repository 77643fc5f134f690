"""SMOTE and its family for tables of any size: in memory, out of core, on a Dask cluster.

The public names are loaded on first use, so that the pure layers (:mod:`dsmote.plan`,
:mod:`dsmote.kernels`, :mod:`dsmote.neighbors`) can be imported where Dask is not installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsmote.advice import Advice as Advice
    from dsmote.advice import advise as advise
    from dsmote.cluster import connect as connect
    from dsmote.job.jobfile import JobFileError as JobFileError
    from dsmote.job.run import JobResult as JobResult
    from dsmote.job.run import run_job as run_job
    from dsmote.job.spec import JobSpec as JobSpec
    from dsmote.job.verification import Verification as Verification
    from dsmote.job.verification import verify as verify
    from dsmote.plan import Plan as Plan
    from dsmote.samplers import *  # noqa: F403

__version__ = "0.4.1"

_HOMES = {
    "Advice": "advice",
    "advise": "advice",
    "JobFileError": "job",
    "JobResult": "job",
    "JobSpec": "job",
    "Plan": "plan",
    "Verification": "job",
    "connect": "cluster",
    "make_sampler": "samplers",
    "run_job": "job",
    "verify": "job",
}


def __getattr__(name: str) -> Any:
    """Load a public name from the layer that defines it: samplers as they are listed there."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"dsmote.{_HOMES[name]}"), name)
    # Not of modules, which Python asks for here before it imports them.
    if name == "__all__" or name[0].isupper():
        samplers = importlib.import_module("dsmote.samplers")
        listed = ["Chain", *samplers.class_names().values()]
        if name == "__all__":
            return sorted([*_HOMES, *listed, "__version__"])
        if name in listed:
            importlib.import_module("dsmote.samplers.base").load_scikit_learn()  # an estimator
            return getattr(samplers, name)
    raise AttributeError(f"module 'dsmote' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __getattr__("__all__")
