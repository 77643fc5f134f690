"""What the manifest of a job says, and whether the same job needs to be run again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dsmote import __version__
from dsmote.job.files import InputFiles, clear_errors, list_files
from dsmote.job.labels import plain_label, plain_value
from dsmote.job.logs import masked_logger
from dsmote.job.place import SUCCESS, Place, lacking
from dsmote.job.spec import JobSpec
from dsmote.job.storage import tidy
from dsmote.plan.labels import listed
from dsmote.samplers.registry import parameters_of

if TYPE_CHECKING:
    from dsmote.job.outputs import Outputs
    from dsmote.job.parts import Part

FORMAT_VERSION = 1
VERSIONS = ("dask", "distributed", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")
#: Fields that do not change what is written. The input is known by its files.
WITHOUT_EFFECT = ("input", "output", "if_exists", "resume")

logger = masked_logger(__name__)


def make_manifest(
    spec: JobSpec,
    outputs: Outputs,
    parts: Sequence[Part],
    report: Mapping[Any, Any],
    peaks: dict[str, int],
    stages: Mapping[str, float],
) -> dict[str, Any]:
    """Return the manifest as plain data that JSON can hold.

    The report says what the search for neighbours was, by label; peaks are the memory in bytes, by
    worker; stages are seconds.
    """
    sampler, plan = outputs.sampler, outputs.sampler.plan_
    # The strategy as it was given, where the sampler holds a callable made from it.
    given = {"sampling_strategy": spec.params.get("sampling_strategy", "auto")}
    known = {name: getattr(sampler, name) for name in parameters_of(type(sampler))}
    parameters = plain_value({**known, **given})
    return {
        "format_version": FORMAT_VERSION,
        "job": spec.shown(),
        "sampler": plan.sampler,
        "parameters": {**spec.hidden.mask_value(parameters), "seed": int(plan.seed)},
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


def versions() -> dict[str, str]:
    """Return the versions of Python, dsmote and the libraries that make the table."""
    own = {"python": platform.python_version(), "dsmote": __version__}
    return own | {name: version(name) for name in VERSIONS}


def digest(document: Any) -> str:
    """Return a short text that is equal for equal plain data.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint(spec: JobSpec, inputs: InputFiles) -> dict[str, Any]:
    """Return what decides about the table that a job makes, as plain data.

    Its ``digest`` is equal where names, sizes and times (or entity tags) of the input files, the
    parameters as they were given and the version of dsmote are.
    """
    job = {name: value for name, value in spec.to_dict().items() if name not in WITHOUT_EFFECT}
    files = {"files": len(inputs.files), "bytes": inputs.n_bytes, "stamp": inputs.stamp}
    made = {"format_version": FORMAT_VERSION, "dsmote": __version__, "input": files}
    return {"digest": digest({**made, "job": job}), **made}


def run_key(found: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same for a run to go on with the part files of another.

    Other versions of the libraries may write other bytes, so they count here, too.
    """
    return {"fingerprint": found["digest"], "versions": versions()}


def unchanged(spec: JobSpec) -> dict[str, Any] | None:
    """Return the manifest of an output that need not be made again; None when there is work to do.

    That is the case with ``if_exists="skip"`` when the output was made from the same files, with
    the same parameters, by the same version of dsmote, and all its parts are there. Nothing is read
    but the listings and the manifest, and no cluster is needed.
    """
    if spec.if_exists != "skip" or spec.output is None:
        return None
    place = Place(spec.output)
    with clear_errors("read", spec.output):
        if not place.exists(place.target):
            return None
    standing = up_to_date(spec, fingerprint(spec, list_files(spec.input, spec.format)))
    if standing is not None:
        tidy(spec.output)
    return standing


def up_to_date(spec: JobSpec, found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an output that has a `fingerprint`; None when there is none."""
    if spec.if_exists != "skip" or spec.output is None:
        return None
    place = Place(spec.output)
    with clear_errors("read", spec.output):
        manifest, sizes = place.read(place.manifest), place.sizes(place.target)
    if manifest is None or SUCCESS not in sizes:
        return None
    if (manifest.get("fingerprint") or {}).get("digest") != found["digest"]:
        logger.info("the input, the parameters or the version changed: %s is made again", place.url)
        return None
    gone = lacking(manifest, sizes)
    if gone:
        logger.warning("%s lacks %s: it is made again", place.url, listed(gone, 5))
        return None
    return manifest
