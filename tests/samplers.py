"""The samplers as the tests of the promises try them: from the registry, none is left out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.naive_bayes import GaussianNB

from dsmote.samplers.cleaning import RuleSampler
from dsmote.samplers.registry import parameters_of, samplers
from tests.tables import numbers

#: Parameters that a sampler is tried with, by variant, where that is not once and with none.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "random": {"random": {}, "smoothed": {"shrinkage": 0.5}},
    "borderline": {"borderline-1": {}, "borderline-2": {"kind": "borderline-2"}},
    # In small tables a cluster has hardly its share of the class.
    "kmeans": {"kmeans": {"kmeans_estimator": 3, "cluster_balance_threshold": 0.0}},
    "smotenc": {"smotenc": {"categorical_features": [2]}},
    # In small tables no row may have most of its neighbours in its class.
    "mdo": {"mdo": {"min_neighbors": 1}},
    "geometric": {
        "geometric": {},
        "geometric-minority": {"selection_strategy": "minority", "truncation_factor": -0.5},
        "geometric-majority": {"selection_strategy": "majority", "deformation_factor": 0.5},
    },
    "near-miss": {
        "near-miss-1": {},
        "near-miss-2": {"version": 2},
        "near-miss-3": {"version": 3, "n_neighbors_ver3": 20},
    },
    # Soft voting gives rows other values: see tests/oracle/test_cleaning_select.py.
    "cluster-centroids": {"cluster-centroids": {"voting": "hard"}},
    "instance-hardness": {"instance-hardness": {"estimator": GaussianNB(), "cv": 3}},
    # Of two that are tried: what they promise together, tests/oracle/test_combine.py says.
    "smote-enn": {},
    "smote-tomek": {},
    "random-under": {"random-under": {}, "replacing-under": {"replacement": True}},
}


def family(
    over: bool = True, *, rules: bool = False, **where_there: Any
) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return class and parameters of each over-sampler, or of each that leaves rows out.

    Parameters
    ----------
    over
        Over-samplers; else those that leave rows out whatever is in them.
    rules
        Instead, those that leave rows out by who is near whom.
    **where_there
        Parameters of those samplers that have them.
    """
    found = {}
    for name, kind in samplers().items():
        by_rule = issubclass(kind, RuleSampler)
        if by_rule == rules and (by_rule or (kind._sampling_type == "over-sampling") == over):
            given = {k: v for k, v in where_there.items() if k in parameters_of(kind)}
            for variant, params in VARIANTS.get(name, {name: {}}).items():
                found[variant] = kind, given | params
    return found


def having(parameter: str, names: dict[str, tuple[Any, Any]]) -> list[str]:
    """Return the names of those that have a parameter."""
    return [name for name, (kind, _) in names.items() if parameter in parameters_of(kind)]


def lying(where: str, names: dict[str, tuple[Any, Any]]) -> list[str]:
    """Return the names of those whose new rows lie so: see `Recipe.lies`."""
    return [name for name, (kind, how) in names.items() if kind(**how)._recipe().lies == where]


def table_of(name: str, n: int, minority: int) -> pd.DataFrame:
    """Make a table of columns a, b, c and y; of few different values where they are levels."""
    table = numbers(n, minority, 3)
    levels = {"smoten": ["a", "b", "c"], "smotenc": ["c"]}.get(name, [])
    return table.assign(**{c: table[c].round().astype(int) for c in levels})
