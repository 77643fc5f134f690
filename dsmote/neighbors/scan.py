r"""All pairs by matrix products, in float32 where that loses nothing.

For the order of a query's rows |y|^2 - 2xy is enough, and a matrix product makes it: with a
column more, [-2x, 1] [y, |y|^2]^T.  It rounds, by no more than  E = g (|x| + |y|)^2  where g is the
unit roundoff times the number of terms (Higham 2002, section 3.1), so each value is an interval::

    limit T: the k-th smallest upper end so far
                              |
       |---v---|              |             surely among the nearest: kept
                  |---v---|   |             kept
                         |----v----|        may be nearer than T: kept, and decided in float64
                              |  |---v---|  surely further than k others: dropped

    rows of the index, in a random but fixed order
    +---+--------+---------------------------+-------
    |   |        |                           |          T is brought up to date when four times
    +---+--------+---------------------------+-------   as many rows have been seen
      T          T                           T

A tile of values is compared with T in one pass, and nearly nothing passes: what remains is sorted
at the end. A query for which too much is kept (values far from the centre but close together, or
thousands of ties) is handed back, for a scan of higher precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Kept", "Points", "scan"]

TILE = 512  # rows of the index in a tile
BLOCK = 1024  # queries at a time: a tile is 2 MiB of float32
_GROW = 4
_PENDING = 1 << 16  # survivors that are looked at before their time, to bound memory
_CAP = 256  # pairs of one query that are kept, and eight for each neighbour
_TINY = 2.0**-120  # what products that underflow in float32 may lose, together


@dataclass(frozen=True)
class Points:
    """Rows as they enter the product.

    Attributes
    ----------
    columns : ndarray of float32 or float64, shape (m, w + 1)
        Centred coordinates, no larger than about 1; in the last column |y|^2 for rows of the
        index, and whatever for queries.
    lengths : ndarray of float64, shape (m,)
        Their Euclidean norms.
    """

    columns: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Kept:
    """Pairs that may be among the nearest: all true neighbours of the queries not given up.

    Attributes
    ----------
    owner : ndarray of int64, shape (p,)
        The query of each pair, ascending.
    row : ndarray of int64, shape (p,)
        The row's place in the order of the scan.
    lost : ndarray of bool, shape (m,)
        Queries that were given up.
    """

    owner: np.ndarray
    row: np.ndarray
    lost: np.ndarray


class _Nearest:
    """What is kept for a block of queries, and the limit of each."""

    def __init__(self, queries: Points, k: int, error: float, exact: _Exact | None) -> None:
        m = len(queries.lengths)
        self._lengths, self._k, self._error, self._exact = queries.lengths, k, error, exact
        self._cap = _CAP + 8 * k
        self.lost = np.zeros(m, dtype=bool)
        self.limit = np.full(m, np.inf)
        self._owner = np.empty(0, dtype=np.int64)
        self._row = np.empty(0, dtype=np.int64)
        self._low = np.empty(0)
        self._high = np.empty(0)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self.n_waiting = 0

    def threshold(self, dtype: type) -> np.ndarray:
        """Return the largest rounded value of a row that may be nearer than the limit."""
        # Such a row is no further from the centre than the query and the limit's distance.
        reach = np.sqrt(np.maximum(self.limit + self._lengths**2, 0.0))
        reach += self._error * (self._lengths + reach)
        top = self.limit + self._error * (2.0 * self._lengths + 1.001 * reach) ** 2 + _TINY
        top[self.lost] = -np.inf
        with np.errstate(over="ignore"):
            rounded = top.astype(dtype)
        return np.asarray(np.nextafter(rounded, dtype(np.inf)))

    def start(self, values: np.ndarray, lengths: np.ndarray, slack: float) -> None:
        """Set the first limit from a tile of values; `slack` is what they may be short of."""
        upper = values + self._error * (self._lengths[:, None] + lengths) ** 2
        nth = min(self._k, values.shape[1]) - 1
        if self._k <= values.shape[1]:
            self.limit = np.partition(upper, nth, axis=1)[:, nth] + (slack + _TINY)

    def add(
        self, owner: np.ndarray, row: np.ndarray, value: np.ndarray, length: np.ndarray
    ) -> None:
        """Remember pairs that pass the threshold."""
        self._waiting.append((owner, row, value.astype(np.float64), length))
        self.n_waiting += len(owner)

    def settle(self) -> None:
        """Bring the limits up to date and drop what is beyond them."""
        owner, row, low, high = self._bounds()
        m = len(self.limit)
        counts = np.bincount(owner, minlength=m)
        self.lost |= counts > 8 * self._cap  # more than fit into the table below
        keep = ~self.lost[owner]
        order = np.flatnonzero(keep)[np.argsort(owner[keep].astype(np.uint16), kind="stable")]
        owner, row, low, high = owner[order], row[order], low[order], high[order]
        counts[self.lost] = 0
        if counts.max(initial=0) >= self._k:
            begin = np.cumsum(counts) - counts
            table = np.full((m, int(counts.max())), np.inf)
            table[owner, np.arange(len(owner)) - begin[owner]] = high
            nth = np.partition(table, self._k - 1, axis=1)[:, self._k - 1]
            self.limit = np.minimum(self.limit, nth)
        keep = low <= self.limit[owner]
        self.lost |= np.bincount(owner[keep], minlength=m) > self._cap
        keep &= ~self.lost[owner]
        self._owner, self._row = owner[keep], row[keep]
        self._low, self._high = low[keep], high[keep]

    def _bounds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return all pairs with the intervals of their values, and empty the waiting list."""
        parts = [(self._owner, self._row, self._low, self._high)]
        for owner, row, value, length in self._waiting:
            if self._exact is None:
                error = self._error * (self._lengths[owner] + length) ** 2 + _TINY
                parts.append((owner, row, value - error, value + error))
            else:
                exact, error = self._exact(owner, row)
                error += _TINY
                parts.append((owner, row, exact - error, exact + error))
        self._waiting, self.n_waiting = [], 0
        owner, row, low, high = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return owner, row, low, high

    def result(self) -> Kept:
        """Return what is kept, in order of the queries."""
        return Kept(self._owner, self._row, self.lost)


_Exact = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def scan(
    queries: Points,
    tile_of: Callable[[int, int], Points],
    n_rows: int,
    k: int,
    *,
    slack: float = 0.0,
    exact: _Exact | None = None,
) -> Kept:
    """Find all rows that may be among the k nearest of each query.

    Parameters
    ----------
    queries : Points
        Up to 65,536 of them; their dtype is the precision.
    tile_of : callable
        Returns rows ``start .. stop`` of the index, of the same dtype.
    n_rows : int
        Rows of the index.
    k : int
        How many are wanted.
    slack : float
        By how much a true value can exceed what the coordinates say, at most.
    exact : callable, optional
        Returns the true values (less the query's own |x|^2) of pairs (query, row) and a bound
        of their error; needed where `slack` is not 0.

    Examples
    --------
    >>> rows = np.array([[-1.0, 1.0], [0.25, 0.0625], [0.75, 0.5625]])  # y, and y squared
    >>> points = Points(rows, np.abs(rows[:, 0]))
    >>> kept = scan(points, lambda a, b: Points(rows[a:b], points.lengths[a:b]), 3, 2)
    >>> kept.owner, kept.row
    (array([0, 0, 1, 1, 2, 2]), array([0, 1, 1, 2, 1, 2]))
    """
    dtype = queries.columns.dtype.type
    m, terms = queries.columns.shape[0], queries.columns.shape[1] + 7
    error = 1.02 * terms * float(np.finfo(dtype).eps) / 2 + 16 * terms * 2.0**-53
    nearest = _Nearest(queries, k, error, exact)
    left = queries.columns * dtype(-2)
    left[:, -1] = 1
    values, passed = np.empty(m * TILE, dtype), np.empty(m * TILE, dtype=bool)
    threshold = np.empty(0, dtype)
    due, start = 0, 0
    while start < n_rows:
        stop = min(n_rows, start + (TILE if start else min(TILE, max(256, 2 * k))))
        rows = tile_of(start, stop)
        size = stop - start
        tile = values[: m * size].reshape(m, size)
        mask = passed[: m * size].reshape(m, size)
        np.matmul(left, rows.columns.T, out=tile)
        if start == 0:
            nearest.start(tile, rows.lengths, slack)
            threshold = nearest.threshold(dtype)
        np.less_equal(tile, threshold[:, None], out=mask)
        passing = np.flatnonzero(mask)
        for low in range(0, len(passing), _PENDING):
            if nearest.n_waiting > _PENDING:
                nearest.settle()
            at = passing[low : low + _PENDING]
            owner, column = np.divmod(at, size)
            nearest.add(owner, column + start, tile.reshape(-1)[at], rows.lengths[column])
        if stop >= due or nearest.n_waiting > _PENDING or stop == n_rows:
            nearest.settle()
            threshold = nearest.threshold(dtype)
            due = _GROW * stop
        start = stop
    return nearest.result()
