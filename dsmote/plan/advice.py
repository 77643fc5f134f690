"""Features that are no measurements: ids, clocks, index columns and codes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsmote.plan.profile import KEPT_VALUES, Profile, hashes
from dsmote.plan.schema import Schema

__all__ = ["advice"]

_INDEX = re.compile(r"Unnamed: \d+")  # what pandas calls a CSV column without a name
_LEAST_ROWS = 100  # in fewer rows whole numbers are often all different
_NEARLY = 0.95
_SHARE = 0.99  # of the variance
_FEW = 20


def advice(schema: Schema, profile: Profile, growing: Sequence[Any], scaled: bool) -> list[str]:
    """Return a line for each feature that spoils distances or gets values that mean nothing.

    Parameters
    ----------
    schema : Schema
    profile : Profile
    growing : sequence of labels
        Neighbours are found in these classes.
    scaled : bool
        Whether numeric features are scaled before neighbours are found.
    """
    lines = []
    told = set()
    for i in [*schema.numeric, *schema.nominal]:
        name = schema.columns[i].name
        if isinstance(name, str) and _INDEX.fullmatch(name):
            told.add(i)
            lines.append(
                f"column {name!r} looks like the index of a CSV file, but is used as a feature; "
                "name it in carry"
            )
    for i, values in profile.distinct.items():
        line = _whole_numbers(schema.columns[i].name, values, profile.rows)
        if line and i not in told:
            told.add(i)
            lines.append(line)
    return lines if scaled else lines + _dominant(schema, profile, growing)


def _whole_numbers(name: Any, values: np.ndarray, rows: int) -> str | None:
    n = len(values)
    if n == KEPT_VALUES:  # the n-th smallest hash tells how many there are
        n = int((n - 1) / (float(hashes(values).max()) / 2.0**64))
    if rows >= _LEAST_ROWS and n >= _NEARLY * rows:
        return (
            f"column {name!r} has nearly as many values as rows: if it is an id, it is no feature; "
            "name it in carry"
        )
    gaps = np.diff(np.sort(values)) if 2 < n <= _FEW else np.ones(1)
    # Counts begin with 0 and have gaps among the largest, and rounded measurements even ones.
    uneven = np.median(gaps) > 1 and gaps.min() < gaps.max()
    if uneven and not (values == 0).any() and rows >= _LEAST_ROWS:
        return (
            f"column {name!r} has {n} whole numbers with gaps between them: if they are codes, new "
            "rows get values that are none; use SMOTENC with categorical_features"
        )
    return None


def _dominant(schema: Schema, profile: Profile, growing: Sequence[Any]) -> list[str]:
    """Say which feature decides alone which rows are neighbours, as the sample shows."""
    if len(schema.numeric) < 2:
        return []
    found: Mapping[int, list[str]] = {}
    for label in growing:
        if label not in profile.sample or len(profile.sample[label][1]) < _LEAST_ROWS // 5:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            variances = profile.sample[label][1].var(axis=0)
            total = variances.sum()
        place = int(np.argmax(variances))
        if np.isfinite(total) and total > 0 and variances[place] > _SHARE * total:
            found = {**found, place: [*found.get(place, []), repr(label)]}
    return [
        f"column {schema.columns[schema.numeric[place]].name!r} holds more than 99 % of the "
        f"variance in {len(labels)} of {len(growing)} classes that grow, and decides alone which "
        "rows are neighbours; pass scale='standard', or name it in carry"
        for place, labels in found.items()
    ]
