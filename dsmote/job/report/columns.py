"""Which columns the report shows, and their values as plain arrays."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute import read_frame
from dsmote.plan.schema import is_nominal_dtype, make_schema

__all__ = ["NAMES", "Shown", "as_names", "as_numbers", "clean", "shown_columns"]

NAMES = "nominal"
TEXT_LENGTH = 120
_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MISSING_TICK = np.iinfo(np.int64).min
_DIRECTIONS = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))


@dataclass(frozen=True)
class Shown:
    """A column of the report.

    Parameters
    ----------
    name : hashable
    kind : str
        ``"float"``, ``"int"``, ``"bool"``, ``"datetime"``, ``"timedelta"`` or ``"nominal"``.
    """

    name: Any
    kind: str


def shown_columns(sampler: Any, frame: Any, target: Any) -> tuple[Shown, ...]:
    """Return the columns that are measured or voted on, as the sampler sees them.

    Left out are the target, what is carried (it says which row it is, not what it is like), and
    columns that the sampler adds.

    Parameters
    ----------
    sampler : sampler of dsmote
    frame : pandas or dask DataFrame
        The sampler's input.
    target : hashable

    Returns
    -------
    tuple of Shown

    Examples
    --------
    >>> from dsmote import SMOTE
    >>> frame = pd.DataFrame({"id": [7], "x": [1.5], "y": [0]})
    >>> shown_columns(SMOTE(carry=["id"]), frame, "y")
    (Shown(name='x', kind='float'),)
    """
    table = read_frame(frame, target)
    if hasattr(sampler, "_schema"):
        schema, any_kind = sampler._schema(table, None), sampler._takes_any_kind()
    else:  # an under-sampler looks at no column
        schema, any_kind = table.schema(any_kind=True), True
    columns = []
    for column in schema.columns:
        kind = _kind(column.dtype) if column.kind == "copied" and any_kind else column.kind
        if kind not in ("target", "carried", "group", "copied", None):
            columns.append(Shown(column.name, kind))
    return tuple(columns)


def _kind(dtype: Any) -> str | None:
    """Return what a column holds that the sampler does not look into; None: nothing to show."""
    if is_nominal_dtype(dtype):
        return NAMES
    try:
        return make_schema(["x"], [dtype]).columns[0].kind
    except (TypeError, ValueError):
        return None


def as_numbers(series: pd.Series, kind: str) -> np.ndarray:
    """Return a column as float64: missing is nan, times are seconds, true is 1.

    Examples
    --------
    >>> as_numbers(pd.Series(pd.to_datetime(["1970-01-01 00:01", None])), "datetime").tolist()
    [60.0, nan]
    """
    if isinstance(series.dtype, pd.SparseDtype):
        series = pd.Series(series.to_numpy())
    if kind in ("datetime", "timedelta"):
        if isinstance(series.dtype, pd.ArrowDtype):
            series = pd.Series(series.array.__array__())
        times: Any = series.array
        ticks = np.asarray(times.asi8)
        return np.where(ticks == _MISSING_TICK, np.nan, ticks / _SECOND[times.unit])
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy(dtype=np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def as_names(series: pd.Series) -> np.ndarray:
    """Return a column as text: missing is None; what is very long is cut, and told from others.

    Examples
    --------
    >>> as_names(pd.Series(["red", None])).tolist()
    ['red', None]
    """
    # Only the values that are there: a category may have a million others.
    codes, values = pd.factorize(series)
    texts = np.array([*(_name(value) for value in values), None], dtype=object)
    return texts[codes]


def _name(value: Any) -> str:
    text = str(value)
    if len(text) <= TEXT_LENGTH:
        return clean(text)
    # Two that begin alike are two, in whatever partitions they are.
    mark = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{clean(text, TEXT_LENGTH - 8)} #{mark}"


def clean(value: Any, length: int = TEXT_LENGTH) -> str:
    r"""Return a value as text that HTML and SVG can hold, of at most `length` characters.

    What is blank is written as in Python, so that it is seen.

    Examples
    --------
    >>> clean("a\x00b"), clean("long", 3), clean(" ")
    ('a\ufffdb', 'lo…', "' '")
    """
    raw = str(value)[: length + 1]
    if not raw.strip():
        return repr(raw)[:length]
    text = "".join(_printable(character) for character in raw)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _printable(character: str) -> str:
    if character in "\t\n\r":
        return " "
    # Control characters and lone surrogates are in no valid document, and what sets the direction
    # of writing would turn round the words after it.
    if unicodedata.category(character) in ("Cc", "Cs", "Cn"):
        return "\ufffd"
    return "\ufffd" if unicodedata.bidirectional(character) in _DIRECTIONS else character
