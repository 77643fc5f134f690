"""What a table was made from and how, in one short text: the same again need not be made again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dsmote import __version__
from dsmote.job.files import InputFiles, clear_errors, list_files
from dsmote.job.manifest import FORMAT_VERSION, versions
from dsmote.job.secrets import masked_logger
from dsmote.job.spec import JobSpec
from dsmote.job.storage import SUCCESS, read_manifest, tidy
from dsmote.job.storage.check import file_sizes, lacking
from dsmote.job.storage.place import Place
from dsmote.plan.labels import listed

__all__ = ["digest", "fingerprint", "run_key", "unchanged", "up_to_date"]

#: Fields that do not change what is written. The input is known by its files.
WITHOUT_EFFECT = ("input", "output", "if_exists", "resume")

logger = masked_logger(__name__)


def fingerprint(spec: JobSpec, inputs: InputFiles) -> dict[str, Any]:
    """Return what decides about the table that a job makes.

    Parameters
    ----------
    spec : JobSpec
        As it was given.
    inputs : InputFiles

    Returns
    -------
    dict
        Plain data: ``digest`` is equal where names, sizes and times (or entity tags) of the input
        files, the parameters and the version of dsmote are.
    """
    job = {name: value for name, value in spec.to_dict().items() if name not in WITHOUT_EFFECT}
    files = {"files": len(inputs.files), "bytes": inputs.n_bytes, "stamp": inputs.stamp}
    made = {"format_version": FORMAT_VERSION, "dsmote": __version__, "input": files}
    return {"digest": digest({**made, "job": job}), **made}


def digest(document: Any) -> str:
    """Return a short text that is equal for equal plain data.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def run_key(found: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same for a run to go on with the part files of another.

    Other versions of the libraries may write other bytes, so they count here, too.

    Parameters
    ----------
    found : dict
        From `fingerprint`.
    """
    return {"fingerprint": found["digest"], "versions": versions()}


def unchanged(spec: JobSpec) -> dict[str, Any] | None:
    """Return the manifest of an output that need not be made again; None when there is work to do.

    That is the case with ``if_exists="skip"`` when the output was made from the same files, with
    the same parameters, by the same version of dsmote, and all its parts are there. Nothing is read
    but the listings and the manifest, and no cluster is needed.

    Parameters
    ----------
    spec : JobSpec

    Returns
    -------
    dict or None

    Raises
    ------
    OSError, ValueError
        When the input cannot be listed.
    """
    if spec.if_exists != "skip" or spec.output is None:
        return None
    place = Place.of(spec.output)
    with clear_errors("read", spec.output):
        if not place.exists(place.target):
            return None
    standing = up_to_date(spec, fingerprint(spec, list_files(spec.input, spec.format)))
    if standing is not None:
        tidy(spec.output)
    return standing


def up_to_date(spec: JobSpec, found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an output that has a fingerprint; None when there is none.

    Parameters
    ----------
    spec : JobSpec
    found : dict
        From `fingerprint`.

    Returns
    -------
    dict or None
    """
    if spec.if_exists != "skip" or spec.output is None:
        return None
    place = Place.of(spec.output)
    with clear_errors("read", spec.output):
        manifest, sizes = read_manifest(place), file_sizes(place)
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
