"""What scaling needs to know of each column, from parts of it in any order.

Sums and sketches of partitions are merged, and the result must not depend on how the rows were
partitioned, not even in its last bit (else the neighbours would). So nothing here is rounded
before the end::

    standard   sums of x and x^2 as whole numbers of 2^-2300:  exact, whatever the order
    minmax     least and greatest value
    robust     how often each value occurs; beyond 4,096 different values, how often each cell of a
               grid is hit, whose cells are 2^g wide with the least g for which no more are hit

For "robust" the quartiles are therefore exact in columns of up to 4,096 different values, and else
off by no more than the width of one cell: outliers take a cell each and leave the others to the
middle, where the quartiles are. The grid depends on the values only: cells of partitions are never
wider than those of the whole, and wider cells follow from narrower ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["SCALES", "ColumnMoments", "Scaling", "look_at", "merge_moments", "scaling_of"]

SCALES = ("standard", "minmax", "robust")
_CELLS = 4096
_BASE = 2300  # sums are whole numbers of 2^-_BASE: squares of the least float still are
_SLAB = 1 << 24  # rows of which half mantissas can be added in float64 without rounding


@dataclass(frozen=True)
class ColumnMoments:
    """What one kind of scaling needs to know of one column.

    Attributes
    ----------
    kind : str
        "standard", "minmax" or "robust".
    n : int
        Finite values.
    total, squares : int
        Sums of x and x^2, in units of 2^-2300.
    least, greatest : float
        Extremes.
    level : int or None
        Cells are 2^level wide; None: they are the values themselves.
    cells, counts : ndarrays
        Cells that are hit, ascending (in units of their width), and how often.
    """

    kind: str
    n: int = 0
    total: int = 0
    squares: int = 0
    least: float = np.inf
    greatest: float = -np.inf
    level: int | None = None
    cells: np.ndarray | None = None
    counts: np.ndarray | None = None


@dataclass(frozen=True)
class Scaling:
    """Search among ``(x - shift) / spread``.

    Attributes
    ----------
    kind : str
        "standard", "minmax" or "robust".
    shift, spread : tuples of float
        One for each measured numeric column; spread is 1 for a column that has none.
    """

    kind: str
    shift: tuple[float, ...]
    spread: tuple[float, ...]

    def scaled(self, matrix: np.ndarray) -> np.ndarray:
        """Scale rows, float64 of shape (n, d); returns new ones.

        Examples
        --------
        >>> Scaling("minmax", (1.0,), (2.0,)).scaled(np.array([[1.0], [3.0]]))
        array([[0.],
               [1.]])
        """
        result = matrix - np.array(self.shift)
        result /= np.array(self.spread)
        return result


def _whole(mantissas: np.ndarray, exponents: np.ndarray) -> int:
    """Return the sum of mantissas x 2^exponents, exactly, in units of 2^-_BASE."""
    fraction, extra = np.frexp(mantissas)
    whole = np.ldexp(fraction, 53).astype(np.int64)
    places = exponents + extra + (_BASE - 53)
    low, high = whole & (2**26 - 1), whole >> 26
    first = int(places.min(initial=0))
    sums = [np.bincount(places - first, weights=part) for part in (low, high)]
    total = 0
    for place in np.flatnonzero((sums[0] != 0) | (sums[1] != 0)):
        at = int(place)
        value = int(sums[0][at]) + (int(sums[1][at]) << 26)
        shift = first + at
        total += value << shift if shift >= 0 else value >> -shift
    return total


def _sums(values: np.ndarray) -> tuple[int, int]:
    """Return the exact sums of x and of x^2."""
    total = squares = 0
    for start in range(0, len(values), _SLAB):
        fraction, exponent = np.frexp(values[start : start + _SLAB])
        exponent = exponent.astype(np.int64)
        total += _whole(fraction, exponent)
        # x^2 = product + error exactly (Dekker 1971): fractions lie in [0.5, 1).
        product = fraction * fraction
        split = fraction * (2.0**27 + 1.0)
        high = split - (split - fraction)
        low = fraction - high
        error = ((high * high - product) + 2.0 * high * low) + low * low
        squares += _whole(product, 2 * exponent) + _whole(error, 2 * exponent)
    return total, squares


def _cells_of(values: np.ndarray, by: int) -> np.ndarray:
    """Return floor(values / 2^by): negative ones that underflow are still below 0."""
    cells = np.floor(np.ldexp(values, -by))
    cells[(cells == 0.0) & (values < 0.0)] = -1.0
    return cells


def _coarsened(
    level: int | None, cells: np.ndarray, counts: np.ndarray
) -> tuple[int | None, np.ndarray, np.ndarray]:
    """Widen the cells as little as is needed for no more than _CELLS of them."""
    if len(cells) <= _CELLS:
        return level, cells, counts
    largest = int(np.frexp(np.abs(cells).max())[1])
    # Below `narrow` halves of cells would overflow; at `wide` there are two or three cells.
    narrow, wide = (largest - 1020, largest + 1) if level is None else (1, largest + 1)
    while narrow < wide:
        middle = (narrow + wide) // 2
        if 1 + np.count_nonzero(np.diff(_cells_of(cells, middle))) <= _CELLS:
            wide = middle
        else:
            narrow = middle + 1
    kept, place = np.unique(_cells_of(cells, wide), return_inverse=True)
    joined = np.bincount(place, weights=counts).astype(np.int64)
    return wide + (level or 0), kept, joined


def look_at(values: np.ndarray, kind: str) -> ColumnMoments:
    """Look at (a part of) a column; values that are not finite are left out.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        The column.
    kind : {"standard", "minmax", "robust"}
        What will be asked of it.

    Examples
    --------
    >>> look_at(np.array([1.0, 4.0]), "minmax").greatest
    4.0
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return ColumnMoments(kind)
    extremes = float(values.min()), float(values.max())
    if kind == "standard":
        return ColumnMoments(kind, len(values), *_sums(values), *extremes)
    if kind == "minmax":
        return ColumnMoments(kind, len(values), 0, 0, *extremes)
    cells, counts = np.unique(values + 0.0, return_counts=True)
    sketch: tuple[Any, ...] = _coarsened(None, cells, counts.astype(np.int64))
    return ColumnMoments(kind, len(values), 0, 0, *extremes, *sketch)


def _merged(a: ColumnMoments, b: ColumnMoments) -> ColumnMoments:
    if not (a.n and b.n):
        return a if a.n else b
    sketch: tuple[Any, ...] = (None, None, None)
    if a.cells is not None and b.cells is not None:
        level = max((x for x in (a.level, b.level) if x is not None), default=None)
        parts = []
        for x in (a, b):
            assert x.cells is not None
            by = 0 if level is None else level - (x.level or 0)
            parts.append(_cells_of(x.cells, by) if x.level != level else x.cells)
        cells, place = np.unique(np.concatenate(parts), return_inverse=True)
        counts = np.bincount(
            place, weights=np.concatenate([x.counts for x in (a, b) if x.counts is not None])
        )
        sketch = _coarsened(level, cells, counts.astype(np.int64))
    return ColumnMoments(
        a.kind,
        a.n + b.n,
        a.total + b.total,
        a.squares + b.squares,
        min(a.least, b.least),
        max(a.greatest, b.greatest),
        *sketch,
    )


def merge_moments(
    a: Sequence[ColumnMoments], b: Sequence[ColumnMoments]
) -> tuple[ColumnMoments, ...]:
    """Merge what was learnt of two parts of a table; either may be empty.

    Examples
    --------
    >>> parts = [(look_at(np.array([x]), "standard"),) for x in (1.0, 3.0)]
    >>> scaling_of(merge_moments(*parts))
    Scaling(kind='standard', shift=(2.0,), spread=(1.0,))
    """
    if not a or not b:
        return tuple(a or b)
    return tuple(_merged(x, y) for x, y in zip(a, b, strict=True))


def _quantile(column: ColumnMoments, share: float) -> float:
    """Return a quantile, between order statistics as numpy's default does."""
    assert column.cells is not None and column.counts is not None
    place = share * (column.n - 1)
    ends = np.cumsum(column.counts)
    below, above = (
        float(column.cells[np.searchsorted(ends, int(p), side="right")])
        for p in (np.floor(place), np.ceil(place))
    )
    if column.level is not None:
        below, above = (float(np.ldexp(c + 0.5, column.level)) for c in (below, above))
    part = place - np.floor(place)
    return float(below * (1.0 - part) + above * part)


def _deviation(column: ColumnMoments) -> float:
    """Return the root of the population variance, which is rounded once."""
    # n sum(x^2) - sum(x)^2 over n^2, in units of 2^-(2 _BASE)
    above = ((column.n * column.squares) << _BASE) - column.total**2
    below = column.n**2 << (2 * _BASE)
    # Over a power of four, since float64 may hold the root but not the variance.
    half = (above.bit_length() - below.bit_length()) // 2
    variance = (above << max(0, -2 * half)) / (below << max(0, 2 * half))
    return float(np.ldexp(np.sqrt(variance), half))


def scaling_of(columns: Sequence[ColumnMoments]) -> Scaling:
    """Return how to scale, as scikit-learn's scaler of that name does.

    Parameters
    ----------
    columns : sequence of ColumnMoments
        One for each measured numeric column, at least one.

    Examples
    --------
    >>> scaling_of([look_at(np.array([1.0, 2.0, 3.0, 4.0, 100.0]), "robust")])
    Scaling(kind='robust', shift=(3.0,), spread=(2.0,))
    """
    shift, spread = [], []
    for column in columns:
        if not column.n:
            middle, width = 0.0, 1.0
        elif column.kind == "standard":
            middle = column.total / (column.n << _BASE)
            width = _deviation(column)
        elif column.kind == "minmax":
            middle, width = column.least, column.greatest - column.least
        else:
            middle = _quantile(column, 0.5)
            width = _quantile(column, 0.75) - _quantile(column, 0.25)
        shift.append(middle)
        spread.append(width if width > 0 and np.isfinite(width) else 1.0)
    return Scaling(columns[0].kind, tuple(shift), tuple(spread))
