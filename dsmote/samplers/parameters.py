"""What values parameters may have, said without scikit-learn, which workers need not load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from dsmote.plan import SCALES


class Range(NamedTuple):
    """Numbers of a kind (Integral, Real, or float for those that are not whole) between limits."""

    kind: type
    low: float | None
    high: float | None
    closed: str = "left"


#: An object that searches, as in imbalanced-learn, or the number of neighbours.
_SEARCH = (Range(Integral, 1, None), ("fit", "kneighbors"))
_SMALL = ({"error", "copy", "skip"},)

#: Values of the parameters that several samplers have, by name.
SHARED: dict[str, tuple[Any, ...]] = {
    "sampling_strategy": (
        Range(Real, 0, 1, "right"),
        {"auto", "majority", "not minority", "not majority", "all", "minority"},
        Mapping,
        callable,
    ),
    "random_state": ("random_state", np.random.Generator),
    "carry": ("array-like", None),
    "provenance": ({"flag", "full"}, False),
    "k_neighbors": _SEARCH,
    "n_neighbors": _SEARCH,
    "m_neighbors": _SEARCH,
    "neighbors": ({"auto", "tree", "brute", "fast"}, ("build",)),
    "scale": (set(SCALES), None),
    "n_components": (Range(Integral, 1, None), Range(float, 0, 1, "neither"), None),
    "missing": ({"error", "skip"},),
    "on_small_class": _SMALL,
    "on_small_group": _SMALL,
    "route": ({"auto", "broadcast", "gather", "cells"},),
    "scratch": (str, None),
    "max_pairs": (Range(Real, 0, None, "neither"),),
    "max_increase": (Range(Real, 1, None), None),
    "max_fit_rows": (Range(Integral, 2, None), None),
}


def allow(*values: Any) -> dict[str, Any]:
    """Return the metadata of a field: the values that a parameter of one sampler may have.

    A set holds texts, a tuple the methods of an object; other values are as in scikit-learn.
    """
    return {"allow": values}


@cache
def sklearn_constraints(sampler: Any) -> dict[str, list[Any]]:
    """Return the constraints of a sampler's parameters as scikit-learn validates them."""
    return {name: [_constraint(one) for one in each] for name, each in allowed(sampler).items()}


def allowed(sampler: Any) -> dict[str, tuple[Any, ...]]:
    """Return what each parameter of a sampler may be, as `allow` has it."""
    known = fields(sampler) if is_dataclass(sampler) else ()  # the base of all is none
    return {of.name: of.metadata.get("allow") or SHARED[of.name] for of in known}


def _constraint(allowed: Any) -> Any:
    from sklearn.utils import _param_validation as theirs

    if isinstance(allowed, Range):
        kind = theirs.RealNotInt if allowed.kind is float else allowed.kind
        return theirs.Interval(kind, allowed.low, allowed.high, closed=allowed.closed)
    if isinstance(allowed, tuple):
        return theirs.HasMethods(list(allowed))
    if isinstance(allowed, set):
        return theirs.StrOptions(allowed)
    if allowed is False:
        return theirs.Options(bool, {False})
    return "boolean" if allowed is bool else allowed
