"""Which columns are categorical features: found by dtype, or named by the user."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute import Table
from dsmote.plan.labels import listed
from dsmote.plan.schema import column_name, is_nominal_dtype


def nominal_features(table: Table, wanted: Any, excluded: Collection[Any]) -> list[int]:
    """Return the positions of the categorical features.

    `wanted` are names, positions among the features, a mask, or "auto": columns of categories,
    text, objects and booleans that `excluded` does not name.
    """
    target = [table.target] if table.has_target else []
    places = [i for i, name in enumerate(table.names) if name not in target]
    if isinstance(wanted, str):
        if wanted != "auto":
            raise ValueError(
                "categorical_features must be 'auto', names, positions or a mask, but is "
                f"{wanted!r}"
            )
        return [i for i in places if table.names[i] not in excluded and _is_nominal(table, i)]
    return _positions(list(wanted), table.names, places)


def _is_nominal(table: Table, i: int) -> bool:
    dtype = table.dtypes[i]
    nominal = is_nominal_dtype(dtype) and not (dtype == np.dtype("O") and table.is_number(i))
    return nominal or pd.api.types.is_bool_dtype(dtype)


def _positions(wanted: list[Any], names: list[Any], places: list[int]) -> list[int]:
    """Turn names, positions (among the features) or a mask into positions in the table."""
    if wanted and all(isinstance(w, bool | np.bool_) for w in wanted):
        if len(wanted) != len(places):
            raise ValueError(
                f"categorical_features is a mask of {len(wanted)} values, but there are "
                f"{len(places)} columns"
            )
        return [i for i, chosen in zip(places, wanted, strict=True) if chosen]
    found = []
    for w in map(column_name, wanted):
        # A whole number is a position wherever it can be one, as in imbalanced-learn.
        if isinstance(w, int | np.integer) and -len(places) <= w < len(places):
            found.append(places[int(w)])
        elif w in names and names.index(w) in places:
            found.append(names.index(w))
        else:
            shown = listed(repr(names[i]) for i in places)
            raise ValueError(
                f"categorical_features names {w!r}, which is not there; the columns are {shown}"
            )
    return sorted(set(found))
