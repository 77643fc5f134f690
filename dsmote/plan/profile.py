"""What one pass over the data must find out before the graph can be built.

**Scaling.** Sums and sketches of partitions are merged, and the result must not depend on how the
rows were partitioned, not even in its last bit (else the neighbours would). So nothing is rounded
before the end::

    standard   sums of x and x^2 as integers in units of 2^-2300:  exact, whatever the order
    minmax     least and greatest value
    robust     how often each value occurs; above 4,096 different values, how often each cell of a
               grid is hit, whose cells are 2^g wide with the least g for which no more are hit

For "robust" the quartiles are therefore exact in columns of up to 4,096 different values, and else
off by no more than the width of one cell: outliers take a cell each and leave the others to the
middle, where the quartiles are. The grid depends on the values only: cells of partitions are never
wider than those of the table, and wider cells follow from narrower ones.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dsmote.plan.labels import listed, sort_labels
from dsmote.plan.memory import CELL_SAMPLE


@dataclass(frozen=True)
class LevelCounts:
    """Rows of each level of one categorical column, by class; a missing level is None."""

    rows: Mapping[Any, Mapping[Any, int]]

    def table(self, levels: Sequence[Any], labels: Sequence[Any]) -> np.ndarray:
        """Return counts as an array, shape (levels, labels); int64."""
        found = [self.rows.get(level_key(level), {}) for level in levels]
        counts = [[row.get(label, 0) for label in labels] for row in found]
        return np.array(counts, dtype=np.int64).reshape(len(levels), len(labels))

    @property
    def bytes(self) -> int:
        """Bytes of the counts, and of the probabilities that are made of them.

        A level is a text of some 80 bytes in two mappings, its own of 200 and more.
        """
        entries = sum(map(len, self.rows.values()))
        labels = len({label for row in self.rows.values() for label in row})
        return len(self.rows) * (400 + 16 * labels) + 40 * entries


def level_key(level: Any) -> Any:
    """Return what a level is known by, whatever column it was read from."""
    if pd.api.types.is_scalar(level) and pd.isna(level):
        return None
    return level.item() if isinstance(level, np.generic) else level


def count_levels(levels: Sequence[Any], labels: Sequence[Any], counts: np.ndarray) -> LevelCounts:
    """Put counts of levels (rows) by class (columns) into a form that can be merged."""
    found = zip(levels, counts.tolist(), strict=True)
    return LevelCounts(
        {level_key(x): {c: n for c, n in zip(labels, row, strict=True) if n} for x, row in found}
    )


def merge_levels(a: LevelCounts, b: LevelCounts) -> LevelCounts:
    """Add the counts of two parts of a table."""
    return LevelCounts(_union(a.rows, b.rows, _add))


def _union(a: Mapping[Any, Any], b: Mapping[Any, Any], how: Callable[[Any, Any], Any]) -> Any:
    """Return a mapping of what is in either of two; `how` merges what is in both."""
    merged = dict(a)
    for key, value in b.items():
        merged[key] = how(merged[key], value) if key in merged else value
    return merged


def _add(a: Mapping[Any, int], b: Mapping[Any, int]) -> dict[Any, int]:
    return _union(a, b, operator.add)


SCALES = ("standard", "minmax", "robust")
_CELLS = 4096
_FINEST = -1074  # all float64 are multiples of 2^_FINEST: cells of this width are the values
_BASE = 2300  # sums are whole numbers of 2^-_BASE: squares of the least float still are
_SLAB = 1 << 24  # rows of which halves of 54 bits can be added in float64 without rounding
_HALF = 27


@dataclass(frozen=True)
class ColumnMoments:
    """What one kind of scaling ("standard", "minmax" or "robust") needs to know of one column.

    `n` are its finite values; `total` and `squares` the sums of x and x^2, in units of 2^-2300;
    `cells` the lower edges of those that are hit, ascending, which are 2^level wide.
    """

    kind: str
    n: int = 0
    total: int = 0
    squares: int = 0
    least: float = np.inf
    greatest: float = -np.inf
    level: int = _FINEST
    cells: Any = None
    counts: Any = None


@dataclass(frozen=True)
class Scaling:
    """Search among ``(x - shift) / spread``, one of each for a numeric column."""

    kind: str
    shift: tuple[float, ...]
    spread: tuple[float, ...]

    def scaled(self, matrix: np.ndarray) -> np.ndarray:
        """Scale rows, float64 of shape (n, d); returns new ones."""
        result = matrix - np.array(self.shift)
        result /= np.array(self.spread)
        return result

    def unscaled(self, matrix: np.ndarray) -> np.ndarray:
        """Turn scaled rows back."""
        return np.asarray(matrix * np.array(self.spread) + np.array(self.shift))


def _added(whole: np.ndarray, places: np.ndarray) -> int:
    """Return the sum of whole numbers below 2^54 in units of 2^places, exactly."""
    parts = (whole & (2**_HALF - 1), 0), (whole >> _HALF, _HALF)
    total = 0
    for part, shift in parts:
        sums = np.bincount(places, weights=part)
        total += sum(int(sums[at]) << (int(at) + shift) for at in np.flatnonzero(sums))
    return total


def _sums(values: np.ndarray) -> tuple[int, int]:
    """Return the exact sums of x and of x^2, in units of 2^-_BASE."""
    total = squares = 0
    for start in range(0, len(values), _SLAB):
        fraction, exponent = np.frexp(values[start : start + _SLAB])
        whole = np.ldexp(fraction, 53).astype(np.int64)
        high, low = whole >> _HALF, whole & (2**_HALF - 1)
        once = exponent.astype(np.int64) - 53
        total += _added(whole, once + _BASE)
        for part, shift in ((high * high, 2 * _HALF), (2 * high * low, _HALF), (low * low, 0)):
            squares += _added(part, 2 * once + (_BASE + shift))
    return total, squares


def _floored(values: np.ndarray, level: int) -> np.ndarray:
    """Return the lower edges of the cells, 2^level wide, that values lie in."""
    with np.errstate(over="ignore"):
        cells = np.floor(np.ldexp(values, -level))
        cells[(cells == 0.0) & (values < 0.0)] = -1.0  # also where that underflows
        edges = np.maximum(np.ldexp(cells, level), -np.finfo(np.float64).max)
    return np.where(np.isfinite(cells), edges, values)


def _coarsened(
    level: int, cells: np.ndarray, counts: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """Widen the cells as little as is needed for no more than _CELLS of them."""
    if len(cells) <= _CELLS:
        return level, cells, counts
    narrow, wide = level + 1, int(np.frexp(np.abs(cells).max())[1]) + 1
    while narrow < wide:
        middle = (narrow + wide) // 2
        if 1 + np.count_nonzero(np.diff(_floored(cells, middle))) <= _CELLS:
            wide = middle
        else:
            narrow = middle + 1
    kept, place = np.unique(_floored(cells, wide), return_inverse=True)
    return wide, kept, np.bincount(place, weights=counts).astype(np.int64)


def look_at(values: np.ndarray, kind: str) -> ColumnMoments:
    """Look at (a part of) a column; values that are not finite are left out.

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
    sketch: tuple[Any, ...] = _coarsened(_FINEST, cells, counts.astype(np.int64))
    return ColumnMoments(kind, len(values), 0, 0, *extremes, *sketch)


def merge_moments(a: ColumnMoments, b: ColumnMoments) -> ColumnMoments:
    """Merge what was found in two parts of a column.

    Examples
    --------
    >>> parts = [look_at(np.array([x]), "standard") for x in (1.0, 3.0)]
    >>> scaling_of([merge_moments(*parts)])
    Scaling(kind='standard', shift=(2.0,), spread=(1.0,))
    """
    if not (a.n and b.n):
        return a if a.n else b
    sketch: tuple[Any, ...] = ()
    if a.kind == "robust":
        level = max(a.level, b.level)
        both = np.concatenate([_floored(a.cells, level), _floored(b.cells, level)])
        cells, place = np.unique(both, return_inverse=True)
        counts = np.bincount(place, weights=np.concatenate([a.counts, b.counts]))
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


def _quantile(column: ColumnMoments, share: float) -> float:
    """Return a quantile, between order statistics as numpy's default does."""
    place = share * (column.n - 1)
    ends = np.cumsum(column.counts)
    at = np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")
    middle = 0.0 if column.level == _FINEST else np.ldexp(0.5, column.level)
    below, above = column.cells[at] + middle
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
    """Return how to scale at least one column, as scikit-learn's scaler of that name does.

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


SAMPLE_ROWS = 512  # rows kept of each class to judge its shape
# Of tables on Dask more rows are kept, since classes may be cut into cells: from 512 the queries
# that leave a cell were estimated up to a third off. One in so many of a class, but not fewer than
# these of one that has them, and up to 2 MiB of all classes of more rows.
LARGER_ONE_IN = 16
LARGER_LEAST = 1 << 11
LARGER_VALUES = 1 << 18
LARGER_EQUAL = 16  # of equal rows: those with k equal ones are neighbours to each other
KEPT_VALUES = 1024  # tells the number of different values to about 3 %
KEPT_TEXTS = 64  # tell what a column of text holds
TARGET = -1  # key of a target that is a container of its own, among the column positions


class Sampled(NamedTuple):
    """Rows of a class that are kept to judge its shape, by the hashes of their numbers, ascending.

    `levels`, shape (s, q), are hashes of the levels of categorical columns: the same in any
    partition.
    """

    keys: np.ndarray
    numeric: np.ndarray
    levels: np.ndarray

    def take(self, which: Any) -> Sampled:
        """Return some of the rows, or all in another order."""
        return Sampled(*(part[which] for part in self))

    def first(self, n: int) -> Sampled:
        """Return the n rows, or fewer, with the smallest hashes."""
        return self.take(slice(n))


@dataclass(frozen=True)
class Profile:
    """Counts and properties of a table, or of one partition of it.

    `bytes` are those in memory, `largest_bytes` those of the largest partition. Columns are known
    by their position.
    """

    rows: int = 0
    bytes: int = 0
    largest_bytes: int = 0
    counts: Mapping[Any, int] = field(default_factory=dict)  # rows of each class
    usable: Mapping[Any, int] = field(default_factory=dict)  # those that miss nothing in a feature
    missing_target: int = 0  # rows without a label
    missing: Mapping[int, int] = field(default_factory=dict)  # missing values of features
    infinite: Mapping[int, int] = field(default_factory=dict)
    # The different dtypes met in each categorical column, in order.
    categories: Mapping[int, tuple[pd.CategoricalDtype, ...]] = field(default_factory=dict)
    # The rows of each class with the smallest hash: a sample that depends on the rows only.
    sample: Mapping[Any, Sampled] = field(default_factory=dict)
    # More of them, but few of equal rows, of tables on Dask.
    larger: Mapping[Any, Sampled] = field(default_factory=dict)
    moments: tuple[ColumnMoments, ...] = ()  # of each numeric column, where scaling needs them
    levels: tuple[LevelCounts, ...] = ()  # of each categorical column, where they are counted
    # Of numeric columns of Python objects: digits before the point and after it; None where not
    # all values are decimals.
    decimals: Mapping[int, tuple[int, int] | None] = field(default_factory=dict)
    # Of each column of integers, the up to KEPT_VALUES values with the smallest hashes; of text,
    # numbers that stand for them (of some rows where levels come again there).
    distinct: Mapping[int, np.ndarray] = field(default_factory=dict)
    texts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # the first of each column
    index_end: int = 0  # one more than the largest number in the index; 0 where it holds none
    # Columns of integers or dates of which float64 may not hold all values.
    exact_columns: frozenset[int] = frozenset()
    assumed: bool = False  # the counts are what the user says, and nothing was read
    parts: tuple[Profile, ...] = ()  # of each partition counts and index_end, where asked for


def sample_rows(width: int) -> int:
    """Return how many rows of each class are kept: fewer of very wide ones, up to 2 MiB."""
    return max(64, min(SAMPLE_ROWS, 2**18 // max(1, width)))


def larger_rows(hashes: np.ndarray, width: int, counts: Mapping[Any, int]) -> int:
    """Return how many rows of a class are kept for its cells, of those with such hashes.

    Of a part of a table it is no fewer than of the whole.
    """
    thinned = int(np.count_nonzero(hashes < np.uint64(2**64 // LARGER_ONE_IN)))
    large = sum(n > LARGER_LEAST for n in counts.values())
    share = LARGER_VALUES // (max(1, width) * max(1, large))
    most = max(sample_rows(width), min(CELL_SAMPLE, share))
    return min(most, max(LARGER_LEAST, thinned))


def few_equal(keys: np.ndarray) -> np.ndarray:
    """Tell which of ascending hashes are among the first LARGER_EQUAL of equal ones."""
    before = np.concatenate([np.full(LARGER_EQUAL, np.uint64(0)), keys[:-LARGER_EQUAL]])[
        : len(keys)
    ]
    return (np.arange(len(keys)) < LARGER_EQUAL) | (keys != before)


def _joined_samples(a: Sampled, b: Sampled) -> Sampled:
    both = Sampled(*(np.concatenate(pair) for pair in zip(a, b, strict=True)))
    return both.take(np.argsort(both.keys, kind="stable"))


def _merge_samples(a: Sampled, b: Sampled) -> Sampled:
    both = _joined_samples(a, b)
    return both.first(sample_rows(both.numeric.shape[1]))


def _merge_larger(a: Sampled, b: Sampled) -> Sampled:
    both = _joined_samples(a, b)
    few = few_equal(both.keys)
    return both if few.all() else both.take(few)


def _merge_categories(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    """Add the dtypes with other categories, or in another order."""
    known = [(d.ordered, d.categories) for d in a]
    return a + tuple(
        d for d in b if not any(d.ordered == o and d.categories.equals(c) for o, c in known)
    )


def hashes(values: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each float64 value."""
    with np.errstate(over="ignore"):
        bits = (values + 0.0).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        return bits ^ (bits >> np.uint64(32))


def different(values: np.ndarray) -> np.ndarray:
    """Return the different ones of integers, or all of them where they lie far apart.

    Marking them in a table of the numbers between takes a tenth of the time that hashing does.
    """
    if not len(values):
        return values
    least = values.min()
    span = float(values.max() - least)
    if not span < len(values) or abs(least) > 2.0**52:
        return values
    seen = np.zeros(int(span) + 1, dtype=bool)
    seen[(values - least).astype(np.int64)] = True
    return np.flatnonzero(seen) + least


def distinct_values(values: np.ndarray) -> np.ndarray:
    """Return the up to KEPT_VALUES different values with the smallest hashes."""
    small = values[:0]
    if len(values) > 8 * KEPT_VALUES:  # small hashes are enough, unless different values are few
        share = len(values) // (4 * KEPT_VALUES)
        small = pd.unique(values[hashes(values) < np.uint64(2**64 // share - 1)])
    values = np.asarray(small if len(small) >= KEPT_VALUES else pd.unique(values))
    if len(values) <= KEPT_VALUES:
        return values
    return values[np.argpartition(hashes(values), KEPT_VALUES - 1)[:KEPT_VALUES]]


def merge_decimals(a: Mapping[int, Any], b: Mapping[int, Any]) -> dict[int, Any]:
    """Return the digits that hold the decimals of both."""
    return _union(a, b, lambda x, y: (max(x[0], y[0]), max(x[1], y[1])) if x and y else None)


def _by_column(a: Any, b: Any, how: Callable[[Any, Any], Any]) -> tuple[Any, ...]:
    """Merge what was found of each column; of a part without rows, nothing was."""
    return tuple(map(how, a, b)) if a and b else tuple(a or b)


def _merge(a: Profile, b: Profile) -> Profile:
    counts, larger = _add(a.counts, b.counts), _union(a.larger, b.larger, _merge_larger)
    for label, some in larger.items():
        larger[label] = some.first(larger_rows(some.keys, some.numeric.shape[1], counts))
    return Profile(
        rows=a.rows + b.rows,
        bytes=a.bytes + b.bytes,
        largest_bytes=max(a.largest_bytes, b.largest_bytes),
        counts=counts,
        usable=_add(a.usable, b.usable),
        missing_target=a.missing_target + b.missing_target,
        missing=_add(a.missing, b.missing),
        infinite=_add(a.infinite, b.infinite),
        categories=_union(a.categories, b.categories, _merge_categories),
        sample=_union(a.sample, b.sample, _merge_samples),
        larger=larger,
        moments=_by_column(a.moments, b.moments, merge_moments),
        levels=_by_column(a.levels, b.levels, merge_levels),
        decimals=merge_decimals(a.decimals, b.decimals),
        distinct=_union(a.distinct, b.distinct, lambda x, y: distinct_values(np.append(x, y))),
        texts=_union(a.texts, b.texts, lambda x, y: (*x, *y)[:KEPT_TEXTS]),
        index_end=max(a.index_end, b.index_end),
        exact_columns=a.exact_columns | b.exact_columns,
        parts=a.parts + b.parts,
    )


def merge_profiles(parts: Iterable[Profile]) -> Profile:
    """Merge the profiles of partitions; any grouping gives the same counts and the same sample.

    Examples
    --------
    >>> merge_profiles([Profile(rows=2, counts={1: 2}), Profile(rows=1, counts={0: 1})]).counts
    {1: 2, 0: 1}
    """
    return reduce(_merge, parts, Profile())


def unify_categories(name: Any, dtypes: tuple[pd.CategoricalDtype, ...]) -> pd.CategoricalDtype:
    """Return one dtype that holds the categories of all partitions, for the column of that name.

    Ordered categories that differ are an error: their common order is not known.

    Examples
    --------
    >>> a, b = pd.CategoricalDtype(["x", "z"]), pd.CategoricalDtype(["y"])
    >>> list(unify_categories("c", (a, b)).categories)
    ['x', 'y', 'z']
    """
    if len(dtypes) == 1:
        return dtypes[0]
    if any(d.ordered for d in dtypes):
        one, other = (listed(map(repr, d.categories), 5) for d in dtypes[:2])
        raise ValueError(
            f"column {name!r} is an ordered categorical whose categories differ between "
            f"partitions ({one} against {other}); their common order is not known: give every "
            "partition the same categories"
        )
    levels = sort_labels({level for d in dtypes for level in d.categories})
    kinds = {d.categories.dtype for d in dtypes}
    return pd.CategoricalDtype(pd.Index(levels, dtype=kinds.pop() if len(kinds) == 1 else None))
