"""What the manifest of a job says: how the table was made, from what, and what is in it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dsmote import __version__
from dsmote.job.labels import plain_label, plain_value
from dsmote.job.outputs import Outputs
from dsmote.job.parts import Part
from dsmote.job.spec import JobSpec
from dsmote.samplers.registry import parameters_of

__all__ = ["FORMAT_VERSION", "make_manifest", "versions"]

FORMAT_VERSION = 1
VERSIONS = ("dask", "distributed", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")


def make_manifest(
    spec: JobSpec,
    outputs: Outputs,
    parts: list[Part],
    report: Mapping[Any, Any],
    peaks: dict[str, int],
    stages: Mapping[str, float],
) -> dict[str, Any]:
    """Return the manifest as plain data that JSON can hold.

    Parameters
    ----------
    spec : JobSpec
    outputs : Outputs
    parts : list of Part
    report : mapping
        What the search for neighbours was, by label.
    peaks : dict
        Peak memory in bytes by worker.
    stages : mapping of str to float
        Seconds.

    Returns
    -------
    dict
    """
    sampler, plan = outputs.sampler, outputs.sampler.plan_
    return {
        "format_version": FORMAT_VERSION,
        "job": spec.shown(),
        "sampler": plan.sampler,
        "parameters": {**_parameters(sampler, spec), "seed": int(plan.seed)},
        "versions": versions(),
        "classes": plan.to_dict()["classes"],
        "engine": plan.engine,
        **outputs.described(parts),
        "bytes": sum(part.bytes for part in parts),
        "seconds": round(sum(stages.values()), 3),
        "stages": dict(stages),
        "memory": {**(plan.memory.to_dict() if plan.memory else {}), "peak_bytes": peaks},
        "warnings": spec.hidden.mask_value(list(plan.warnings)),
        "parts": [
            {"file": file.file, "rows": file.rows, "bytes": file.bytes}
            for part in parts
            for file in part.files
        ],
        "neighbors": [
            {"label": plain_label(label), **plain_value(found)} for label, found in report.items()
        ],
    }


def _parameters(sampler: Any, spec: JobSpec) -> dict[str, Any]:
    # The strategy as it was given, where the sampler holds a callable made from it.
    given = {"sampling_strategy": spec.params.get("sampling_strategy", "auto")}
    known = {name: getattr(sampler, name) for name in parameters_of(type(sampler))}
    parameters = plain_value({**known, **given})
    masked: dict[str, Any] = spec.hidden.mask_value(parameters)
    return masked


def versions() -> dict[str, str]:
    """Return the versions of Python, dsmote and the libraries that make the table.

    Examples
    --------
    >>> versions()["dsmote"] == __version__
    True
    """
    found = {"python": platform.python_version(), "dsmote": __version__}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
