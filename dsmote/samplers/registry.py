"""Samplers by name, made from the list in :mod:`dsmote.samplers`: a new one needs no entry here."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from dsmote.samplers.base import Sampler


def samplers() -> dict[str, type]:
    """Return the public samplers by name."""
    public = vars(importlib.import_module("dsmote.samplers")).values()
    classes: list[Any] = [x for x in public if isinstance(x, type) and issubclass(x, Sampler)]
    # Names in capitals first, as sorted names are elsewhere.
    classes.sort(key=lambda cls: (not cls.__name__.isupper(), cls.__name__))
    return {cls._name: cls for cls in classes}


def describe_samplers() -> list[dict[str, Any]]:
    """Return name, class, kind, summary and default parameters of each sampler, as plain data."""
    known: dict[str, Any] = dict(samplers())
    return [
        {
            "name": name,
            "class": sampler.__name__,
            "kind": sampler._sampling_type,
            "summary": sampler._summary,
            "parameters": parameters_of(sampler),
        }
        for name, sampler in known.items()
    ]


def find_sampler(name: str, also: Iterable[str] = ()) -> type:
    """Return the sampler of a name, or of a class's name, whatever its case.

    An unknown name is a ValueError that lists the names, `also` among them, and the closest.
    """
    known = samplers()
    classes = {cls.__name__: cls for cls in known.values()}
    names = {**{name.lower(): cls for name, cls in classes.items()}, **known}
    asked = name.strip().lower() if isinstance(name, str) else name
    if asked in names:
        return names[asked]
    listed = [*also, *known]
    near = _near(str(asked), [*listed, *classes])
    raise ValueError(f"there is no sampler {name!r}{near}; the samplers are: {', '.join(listed)}")


def parameters_of(sampler: type) -> dict[str, Any]:
    """Return the parameters of a sampler with their defaults."""
    known: Any = sampler
    return {of.name: of.default for of in sorted(fields(known), key=lambda of: of.name)}


def check_parameters(sampler: Any, names: Iterable[str]) -> None:
    """Refuse parameters that a sampler does not have."""
    there = list(parameters_of(sampler))
    for name in names:
        if name not in there:
            raise ValueError(
                f"{sampler.__name__} ({sampler._name!r}) has no parameter {name!r}"
                f"{_near(name, there)}; its parameters are: {', '.join(there)}"
            )


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
    check_parameters(sampler, params)
    return sampler(**params)


def _near(name: str, names: list[str]) -> str:
    """Say which name is close, if one is; capitals do not matter."""
    lower = {each.lower(): each for each in reversed(names)}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return f" (did you mean {lower[found[0]]!r}?)" if found else ""
