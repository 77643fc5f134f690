"""What one pass over the data must find out before the graph can be built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dsmote.plan.labels import listed, sort_labels
from dsmote.plan.levels import LevelCounts, merge_levels
from dsmote.plan.moments import ColumnMoments, merge_moments

__all__ = [
    "SAMPLE_ROWS",
    "TARGET",
    "Profile",
    "Sampled",
    "merge_decimals",
    "merge_profiles",
    "sample_rows",
    "unify_categories",
]

SAMPLE_ROWS = 512  # rows kept of each class to judge its shape
KEPT_VALUES = 1024  # tells the number of different values to about 3 %
KEPT_TEXTS = 64  # tell what a column of text holds
TARGET = -1  # key of a target that is a container of its own, among the column positions


class Sampled(NamedTuple):
    """Rows of a class that are kept to judge its shape, by the hashes of their numbers.

    Attributes
    ----------
    keys : ndarray of uint64, shape (s,)
        The hashes, ascending.
    numeric : ndarray of float64, shape (s, p)
        The numeric columns.
    levels : ndarray of uint32, shape (s, q)
        Hashes of the levels of the categorical columns: the same in any partition.
    """

    keys: np.ndarray
    numeric: np.ndarray
    levels: np.ndarray


@dataclass(frozen=True)
class Profile:
    """Counts and properties of a table, or of one partition of it.

    Attributes
    ----------
    rows, bytes, largest_bytes : int
        Rows in all, their bytes in memory, and the bytes of the largest partition.
    counts, usable : mapping of label to int
        Rows per class, and those of them that miss nothing in a measured column.
    missing_target : int
        Rows without a label.
    missing, infinite : mapping of column position to int
        Missing and infinite values in the measured columns.
    categories : mapping of column position to tuple of CategoricalDtype
        The different dtypes met in each categorical column, in order.
    sample : mapping of label to Sampled
        The rows of each class with the smallest hash: a sample that depends on the rows only.
    moments : tuple of ColumnMoments
        What scaling needs of each measured numeric column; empty where none was asked for.
    levels : tuple of LevelCounts
        Rows of each level of each nominal column, by class; empty where not asked for.
    decimals : mapping of column position to (digits before the point, digits after it) or None
        Of numeric columns of Python objects; None where not all values are decimals.
    distinct : mapping of column position to ndarray
        Of each column of whole numbers, the up to KEPT_VALUES values with the smallest hashes; of
        a column of text, numbers that stand for them (of some rows where levels come again there).
    texts : mapping of column position to tuple of str
        The first few values of each column of text.
    index_end : int
        One more than the largest number in the index; 0 where it holds no numbers.
    beyond : frozenset of int
        Columns of whole numbers or moments of which float64 may not hold all values.
    assumed : bool
        The counts are what the user says, and nothing was read.
    """

    rows: int = 0
    bytes: int = 0
    largest_bytes: int = 0
    counts: Mapping[Any, int] = field(default_factory=dict)
    usable: Mapping[Any, int] = field(default_factory=dict)
    missing_target: int = 0
    missing: Mapping[int, int] = field(default_factory=dict)
    infinite: Mapping[int, int] = field(default_factory=dict)
    categories: Mapping[int, tuple[pd.CategoricalDtype, ...]] = field(default_factory=dict)
    sample: Mapping[Any, Sampled] = field(default_factory=dict)
    moments: tuple[ColumnMoments, ...] = ()
    levels: tuple[LevelCounts, ...] = ()
    decimals: Mapping[int, tuple[int, int] | None] = field(default_factory=dict)
    distinct: Mapping[int, np.ndarray] = field(default_factory=dict)
    texts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    index_end: int = 0
    beyond: frozenset[int] = frozenset()
    assumed: bool = False


def _add(a: Mapping[Any, int], b: Mapping[Any, int]) -> dict[Any, int]:
    total = dict(a)
    for key, n in b.items():
        total[key] = total.get(key, 0) + n
    return total


def sample_rows(width: int) -> int:
    """Return how many rows of each class are kept: fewer of very wide ones, up to 2 MiB.

    Examples
    --------
    >>> sample_rows(10), sample_rows(2_000), sample_rows(100_000)
    (512, 131, 64)
    """
    return max(64, min(SAMPLE_ROWS, 2**18 // max(1, width)))


def _merge_samples(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = dict(a)
    for label, some in b.items():
        if label in merged:
            both = [np.concatenate(pair) for pair in zip(merged[label], some, strict=True)]
            order = np.argsort(both[0], kind="stable")[: sample_rows(both[1].shape[1])]
            some = Sampled(*(part[order] for part in both))
        merged[label] = some
    return merged


def _merge_categories(a: Mapping[int, Any], b: Mapping[int, Any]) -> dict[int, Any]:
    merged = dict(a)
    for position, dtypes in b.items():
        have = merged.get(position, ())
        merged[position] = have + tuple(d for d in dtypes if not any(same(d, h) for h in have))
    return merged


def hashes(values: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each float64 value."""
    with np.errstate(over="ignore"):
        bits = (values + 0.0).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        return bits ^ (bits >> np.uint64(32))


def different(values: np.ndarray) -> np.ndarray:
    """Return the different ones of whole numbers, or all of them where they lie far apart.

    Marking them in a table of the numbers between takes a tenth of the time that hashing does.

    Examples
    --------
    >>> different(np.array([5.0, 3.0, 5.0, 3.0])).tolist()
    [3.0, 5.0]
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
    """Return the up to KEPT_VALUES different values with the smallest hashes.

    Examples
    --------
    >>> sorted(distinct_values(np.array([2.0, 1.0, 2.0])).tolist())
    [1.0, 2.0]
    """
    small = values[:0]
    if len(values) > 8 * KEPT_VALUES:  # small hashes are enough, unless different values are few
        share = len(values) // (4 * KEPT_VALUES)
        small = pd.unique(values[hashes(values) < np.uint64(2**64 // share - 1)])
    values = np.asarray(small if len(small) >= KEPT_VALUES else pd.unique(values))
    if len(values) <= KEPT_VALUES:
        return values
    return values[np.argpartition(hashes(values), KEPT_VALUES - 1)[:KEPT_VALUES]]


def _merge_distinct(a: Mapping[int, Any], b: Mapping[int, Any]) -> dict[int, Any]:
    return dict(a) | {
        i: distinct_values(np.concatenate([a[i], values])) if i in a else values
        for i, values in b.items()
    }


def merge_decimals(a: Mapping[int, Any], b: Mapping[int, Any]) -> dict[int, Any]:
    """Return the digits that hold the decimals of both."""
    merged = dict(a)
    for i, digits in b.items():
        have = merged.get(i, digits)
        both = None not in (have, digits)
        merged[i] = (max(have[0], digits[0]), max(have[1], digits[1])) if both else None
    return merged


def same(a: pd.CategoricalDtype, b: pd.CategoricalDtype) -> bool:
    """Tell whether two categorical dtypes have the same categories in the same order."""
    return a.ordered == b.ordered and a.categories.equals(b.categories)


def _merge(a: Profile, b: Profile) -> Profile:
    return Profile(
        rows=a.rows + b.rows,
        bytes=a.bytes + b.bytes,
        largest_bytes=max(a.largest_bytes, b.largest_bytes),
        counts=_add(a.counts, b.counts),
        usable=_add(a.usable, b.usable),
        missing_target=a.missing_target + b.missing_target,
        missing=_add(a.missing, b.missing),
        infinite=_add(a.infinite, b.infinite),
        categories=_merge_categories(a.categories, b.categories),
        sample=_merge_samples(a.sample, b.sample),
        moments=merge_moments(a.moments, b.moments),
        levels=merge_levels(a.levels, b.levels),
        decimals=merge_decimals(a.decimals, b.decimals),
        distinct=_merge_distinct(a.distinct, b.distinct),
        texts={
            i: (*a.texts.get(i, ()), *b.texts.get(i, ()))[:KEPT_TEXTS]
            for i in {**a.texts, **b.texts}
        },
        index_end=max(a.index_end, b.index_end),
        beyond=a.beyond | b.beyond,
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
    """Return one dtype that holds the categories of all partitions.

    Parameters
    ----------
    name : hashable
        The column, for the error.
    dtypes : tuple of CategoricalDtype
        The different dtypes met.

    Raises
    ------
    ValueError
        The categories are ordered and differ: their common order is not known.

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
    index = pd.Index(levels, dtype=kinds.pop()) if len(kinds) == 1 else pd.Index(levels)
    return pd.CategoricalDtype(index)
