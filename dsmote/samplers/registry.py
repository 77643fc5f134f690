"""Samplers by name, made from the list in ``__init__.pyi``: a new one needs no entry here."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import Any

_LISTED = re.compile(
    r"^from dsmote\.samplers\.(\w+) import (?:\(\s+)?([A-Z]\w+) as \2(?:,\s+\))?$", re.MULTILINE
)


@cache
def class_names() -> dict[str, str]:
    """Return the class of each sampler by the sampler's name, that of its file; loads none."""
    stub = pkgutil.get_data("dsmote.samplers", "__init__.pyi")
    assert stub is not None
    listed = _LISTED.findall(stub.decode())
    # Names in capitals first, as sorted names are elsewhere.
    listed.sort(key=lambda each: (not each[1].isupper(), each[1]))
    return {file.replace("_", "-"): kind for file, kind in listed}


def samplers() -> dict[str, Any]:
    """Return the public samplers by name."""
    return {name: find_sampler(name) for name in class_names()}


def describe_samplers() -> list[dict[str, Any]]:
    """Return name, class, kind, summary and default parameters of each sampler, as plain data."""
    return [
        {
            "name": name,
            "class": sampler.__name__,
            "kind": sampler._sampling_type,
            "summary": sampler._summary,
            "parameters": parameters_of(sampler),
        }
        for name, sampler in samplers().items()
    ]


def find_sampler(name: str, also: Iterable[str] = ()) -> type:
    """Return the sampler of a name, or of a class's name, whatever its case.

    An unknown name is a ValueError that lists the names, `also` among them, and the closest.
    """
    known = class_names()
    asked = str(name).strip().lower()
    for its, kind in known.items():
        if asked in (its, kind.lower()):
            module = importlib.import_module(f"dsmote.samplers.{its.replace('-', '_')}")
            return getattr(module, kind)
    listed = [*also, *known]
    hint = near(asked, [*listed, *known.values()])
    raise ValueError(f"there is no sampler {name!r}{hint}; the samplers are: {', '.join(listed)}")


def parameters_of(sampler: Any) -> dict[str, Any]:
    """Return the parameters of a sampler with their defaults."""
    return {of.name: of.default for of in sorted(fields(sampler), key=lambda of: of.name)}


def make_sampler(name: str, **params: Any) -> Any:
    """Build a sampler by its name.

    Parameters
    ----------
    name : str
        As ``dsmote samplers`` lists them, such as ``"borderline"``; or the class's name.
    **params
        The sampler's parameters.

    Returns
    -------
    sampler

    Raises
    ------
    ValueError
        No such sampler, or a parameter that it does not have; the message lists what there is.

    Examples
    --------
    >>> make_sampler("borderline", kind="borderline-2", random_state=0)
    BorderlineSMOTE(kind='borderline-2', random_state=0)
    """
    sampler = find_sampler(name)
    there = list(parameters_of(sampler))
    for given in params:
        if given not in there:
            raise ValueError(
                f"{sampler.__name__} has no parameter {given!r}{near(given, there)}; its "
                f"parameters are: {', '.join(there)}"
            )
    return sampler(**params)


def near(name: str, names: Iterable[str]) -> str:
    """Say which name is close, if one is."""
    found = closest(name, names)
    return "" if found is None else f" (did you mean {found!r}?)"


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that is close; capitals, ``-`` and ``_`` do not matter."""
    lower = {each.lower().replace("-", "_"): each for each in reversed([*names])}
    asked = name.lower().replace("-", "_")[:100]
    found = difflib.get_close_matches(asked, lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None
