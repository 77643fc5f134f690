"""The over-samplers as the tests of the promises try them: from the registry, none is left out."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dsmote.samplers.registry import parameters_of, samplers
from tests.tables import numbers

#: Parameters that a sampler is tried with, by variant, where that is not once and with none.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "random": {"random": {}, "smoothed": {"shrinkage": 0.5}},
    "borderline": {"borderline-1": {}, "borderline-2": {"kind": "borderline-2"}},
    # In small tables a cluster has hardly its share of the class.
    "kmeans": {"kmeans": {"kmeans_estimator": 3, "cluster_balance_threshold": 0.0}},
}


def family(**where_there: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return class and parameters of each over-sampler that tables of numbers can be given to.

    Those that need categorical features too have tests of their own.

    Parameters
    ----------
    **where_there
        Parameters of those samplers that have them.
    """
    found = {}
    for name, kind in samplers().items():
        there = parameters_of(kind)
        if kind._sampling_type == "over-sampling" and "categorical_features" not in there:
            given = {key: value for key, value in where_there.items() if key in there}
            for variant, params in VARIANTS.get(name, {name: {}}).items():
                found[variant] = kind, given | params
    return found


def having(parameter: str, names: dict[str, tuple[Any, Any]]) -> list[str]:
    """Return the names of those that have a parameter."""
    return [name for name, (kind, _) in names.items() if parameter in parameters_of(kind)]


def table_of(name: str, n: int, minority: int) -> pd.DataFrame:
    """Make a table of three columns of numbers; of few different ones where they are levels."""
    table = numbers(n, minority, 3)
    return table.round().astype(int) if name == "smoten" else table
