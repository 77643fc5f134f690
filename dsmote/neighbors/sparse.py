r"""True neighbours among sparse rows, which are never made dense: blocks of sparse products.

::

    a block of query rows                 all different rows, as columns
    [ . x . . x ]                         |y|^2 - 2 x y, rounded by no more than E:
    [ x . . . . ]   @   Y^T    ------>    what may be among the k nearest is kept
          |                                       |
          '--- differences of kept pairs, column by column, as of dense rows ---> k smallest

A column in which both rows are zero adds nothing to a sum, to the bit: squares are those of
:func:`dsmote.neighbors.exact.squared_pairs`, and so are the neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dsmote.neighbors.exact import Found, Groups, rescaled, scale_power, smallest_of_pairs

_CELLS = 1 << 18  # products that are held at once: larger arrays are made of new pages each time
_LEAST = 8  # and at least those of so many queries
_VALUES = 1 << 17  # values of pairs of rows that are compared at once
_TINY = 1e-300  # what squares that underflow may lose, together


def canonical(matrix: Any) -> Any:
    """Return a copy in CSR: columns in order, each value once, no zeros."""
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


def row_sums(rows: Any, values: np.ndarray) -> np.ndarray:
    """Add up one number for each stored value of each row, one after the other."""
    n = rows.shape[0]
    return np.bincount(np.repeat(np.arange(n), np.diff(rows.indptr)), values, minlength=n)


def group_equal_rows(rows: Any) -> Groups:
    """Find equal rows among canonical ones; unique rows are in order of their first row."""
    n = rows.shape[0]
    factors = np.arange(1, 1 + rows.shape[1], dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    factors = (factors ^ (factors >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = rows.data.view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(32))) * (factors | np.uint64(1))[rows.indices]
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(bits, dtype=np.uint64)])
    of = pd.factorize(sums[rows.indptr[1:]] - sums[rows.indptr[:-1]])[0].astype(np.int64)
    first = np.flatnonzero(np.diff(np.maximum.accumulate(of), prepend=-1))
    some = np.flatnonzero(first[of] != np.arange(n))
    if not len(some):
        return Groups(np.arange(n), n)
    ours, leaders = rows[some], rows[first[of[some]]]
    names = ("indptr", "indices", "data")
    if all(np.array_equal(getattr(ours, name), getattr(leaders, name)) for name in names):
        return Groups(of, len(first))
    return Groups(np.arange(n), n)  # two of one hash: equal rows are then as near as each other


class SparseIndex:
    """The engine over sparse rows, float64 and canonical, that others know by their numbers."""

    name = "sparse"
    exact = True

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> SparseSearch:
        """Index rows, given by number in a matrix of one column."""
        return SparseSearch(self.rows, matrix[:, 0].astype(np.int64))


class SparseSearch:
    """Some of the sparse rows, searched for the nearest."""

    engine = "sparse"
    exact = True

    def __init__(self, all_rows: Any, numbers: np.ndarray) -> None:
        self._all, self.n_rows = all_rows, len(numbers)
        rows = all_rows if self.n_rows == all_rows.shape[0] else all_rows[numbers]
        self.groups = group_equal_rows(rows)
        unique = rows if self.groups.distinct else rows[self.groups.first]
        self.scale = scale_power(unique.data)
        self._unique = self._scaled(unique)
        self._columns = self._unique.T.tocsr()
        self._squares = row_sums(self._unique, self._unique.data**2)
        self._lengths = np.sqrt(self._squares)
        self._widest = int(np.diff(self._unique.indptr).max(initial=0))

    def _scaled(self, rows: Any) -> Any:
        if self.scale == 1.0:
            return rows
        return type(rows)(
            (rescaled(rows.data, self.scale), rows.indices, rows.indptr), shape=rows.shape
        )

    def query(self, ids: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        ids = np.asarray(ids)
        return self._nearest(self._unique, self.groups.of[ids], k, ids)

    def query_points(self, points: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of other rows, given by number in a matrix of one column."""
        rows = self._scaled(self._all[points[:, 0].astype(np.int64)])
        return self._nearest(rows, np.arange(len(points)), k, np.full(len(points), -1))

    def _nearest(self, rows: Any, places: np.ndarray, k: int, selves: np.ndarray) -> Found:
        squares = np.empty((len(places), k))
        found = np.empty((len(places), k), dtype=np.int64)
        step = max(_LEAST, _CELLS // self.groups.n_unique)
        for start in range(0, len(places), step):
            part = slice(start, start + step)
            block = rows[places[part]]
            with np.errstate(over="ignore", invalid="ignore"):
                owner, unique = self._candidates(block, k)
                exact = self._exact(block, owner, unique)
            answer = smallest_of_pairs(
                self.groups, block.shape[0], owner, unique, exact, k, selves[part]
            )
            squares[part], found[part] = answer
        return np.sqrt(squares) / self.scale, found

    def _candidates(self, block: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs (query, different row): all that may be among the nearest."""
        widest = max(self._widest, int(np.diff(block.indptr).max(initial=0)))
        # Of norms, products and the squares that decide: each adds up so many values at most.
        error = (4 * widest + 32) * 2.0**-53
        lengths = np.sqrt(row_sums(block, block.data**2))
        low = (block @ self._columns).toarray()
        low *= -2.0
        low += self._squares
        width = lengths[:, None] + self._lengths
        width *= width
        width *= error
        width += _TINY
        low -= width
        width *= 2.0
        width += low
        if not np.isfinite(width.sum()):  # queries may lie anywhere
            low[~np.isfinite(low)] = -np.inf
            width[~np.isfinite(width)] = np.inf
        nth = min(k, self.groups.n_unique - 1)  # one more than k, because one may be the row itself
        limit = np.partition(width, nth, axis=1)[:, nth]
        owner, unique = np.nonzero(low <= limit[:, None])
        return owner, unique

    def _exact(self, block: Any, owner: np.ndarray, unique: np.ndarray) -> np.ndarray:
        """Return the squared distances of pairs, a bounded number of values at a time."""
        sizes = np.diff(block.indptr)[owner] + np.diff(self._unique.indptr)[unique] + 1
        ends = np.cumsum(sizes, dtype=np.int64)
        squares, start = np.empty(len(owner)), 0
        while start < len(owner):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _VALUES, side="right")))
            part = slice(start, stop)
            apart = self._unique[unique[part]] - block[owner[part]]
            squares[part] = row_sums(apart, apart.data * apart.data)
            start = stop
        return squares
