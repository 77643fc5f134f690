"""Features that are no measurements: ids, clocks, index columns, codes, numbers as text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dsmote.plan.labels import listed
from dsmote.plan.profile import KEPT_VALUES, Profile, hashes
from dsmote.plan.schema import Schema

__all__ = ["advice"]

_INDEX = re.compile(r"Unnamed: \d+")  # what pandas calls a CSV column without a name
_LEAST_ROWS = 100  # in fewer rows whole numbers are often all different
_NEARLY = 0.9  # counted to about 3 %
_SHARE = 0.99  # of the variance
_FEW = 20
_MISSING = ("", "-", "?", "na", "n/a", "nan", "none", "null")
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{1,2}:\d{2}(?=:|$))"
    r"([T ]?:?\d{1,2}(:\d{2})*([.,]\d+)?\s?(Z|UTC|[-+]\d{2}:?\d{2})?)?"
)
_NUMBER = re.compile(
    r"[-+]?[$€£]?\s?(\d{1,3}([,.' \u00a0]\d{3})+([.,]\d+)?|\d*[.,]\d+)([eE][-+]?\d+)?\s?[%$€£]?"
)
_DIGITS = re.compile(rf"{_NUMBER.pattern}|[-+]?\d+")


def advice(schema: Schema, profile: Profile, growing: Sequence[Any], scaled: bool) -> list[str]:
    """Return lines about features that spoil distances or get values that mean nothing.

    Parameters
    ----------
    schema : Schema
    profile : Profile
    growing : sequence of labels
        Neighbours are found in these classes.
    scaled : bool
        Whether numeric features are scaled before neighbours are found.
    """
    names = [column.name for column in schema.columns]
    kinds: dict[str, list[str]] = {}
    for i in [*schema.numeric, *schema.nominal]:
        kind, detail = None, ""
        if isinstance(names[i], str) and _INDEX.fullmatch(names[i]):
            kind = "index"
        if kind is None and i in profile.texts:
            kind, detail = _text(profile.texts[i])
        if kind is None and i in profile.distinct:
            kind, detail = _values(profile.distinct[i], profile.rows, codes=i not in profile.texts)
        if kind is not None:
            kinds.setdefault(kind, []).append(f"{names[i]!r}{detail}")
    if not scaled:
        kinds["dominant"] = _dominant(schema, profile, growing)
    lines = [
        f"column{'s' if len(kinds[kind]) > 1 else ''} {listed(kinds[kind])}: {text}"
        for kind, text in _KINDS.items()
        if kinds.get(kind)
    ]
    return lines


_KINDS = {
    "index": "probably the index of a CSV file, which is no feature; name the column in carry",
    "id": "nearly as many values as rows; if these are ids or free text, they are no features: "
    "name the column in carry",
    "date": "dates as text are categories, one for each date; convert them before, or name the "
    "column in carry",
    "number": "numbers as text are categories, one for each number; convert them before, or name "
    "the column in carry",
    "code": "whole numbers with gaps between them; if they are codes, new rows get values that "
    "are none: use SMOTENC with categorical_features",
    "dominant": "more than 99 % of the variance, so that it decides alone which rows are "
    "neighbours; pass scale='standard', or name the column in carry",
}


def _text(texts: Sequence[str]) -> tuple[str | None, str]:
    """Tell dates and numbers as text by the first values; what stands for missing is left out."""
    counts = Counter(map(str.strip, texts))  # of categories, a few say it
    counts = Counter({text: n for text, n in counts.items() if text.lower() not in _MISSING})
    for kind, form, wider in (("date", _DATE, _DATE), ("number", _NUMBER, _DIGITS)):
        found = [text for text in counts if form.fullmatch(text)]
        matching = sum(n for text, n in counts.items() if found and wider.fullmatch(text))
        if found and matching >= _NEARLY * counts.total():
            return kind, f" (such as {found[0]!r})"
    return None, ""


def _values(values: np.ndarray, rows: int, codes: bool) -> tuple[str | None, str]:
    """Tell ids and codes by the different values."""
    n = len(values)
    if n == KEPT_VALUES:  # the n-th smallest hash tells how many there are
        n = int((n - 1) / (float(hashes(values).max()) / 2.0**64))
    if rows >= _LEAST_ROWS and n >= _NEARLY * rows:
        return "id", ""
    if not (codes and 2 < n <= _FEW and rows >= _LEAST_ROWS) or (values == 0).any():
        return None, ""
    gaps = np.diff(np.sort(values))
    # Counts begin with 0 and have gaps among the largest, and rounded measurements even ones.
    uneven = np.median(gaps) > 1 and gaps.min() < gaps.max()
    return ("code", f" ({n} values)") if uneven else (None, "")


def _dominant(schema: Schema, profile: Profile, growing: Sequence[Any]) -> list[str]:
    """Say which feature decides alone which rows are neighbours, as the sample shows."""
    if len(schema.numeric) < 2:
        return []
    found: dict[int, int] = {}
    for label in growing:
        if label not in profile.sample or len(profile.sample[label][1]) < _LEAST_ROWS // 5:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            variances = profile.sample[label][1].var(axis=0)
            total = variances.sum()
        place = int(np.argmax(variances))
        if np.isfinite(total) and total > 0 and variances[place] > _SHARE * total:
            found[place] = found.get(place, 0) + 1
    names = {place: schema.columns[schema.numeric[place]].name for place in found}
    return [
        f"{names[place]!r} (in {n} of {len(growing)} classes that grow)"
        for place, n in found.items()
    ]
