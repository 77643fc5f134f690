"""Brute force: every pair is looked at, nearly all of them in float32, and none is lost.

::

    float32 product, all rows  --->  pairs that may count  --->  exact squares, k smallest
            | too many of them (rounding, or ties)
            v
    float64 product, all rows  --->  the same
            | still too many
            v
    differences, column by column, all rows  --->  k smallest as they come

The rows are centred first, because |y|^2 - 2xy cancels badly far from the origin. How far the
products may round is known (see :mod:`dsmote.neighbors.scan`), so they only leave out what cannot
be a neighbour; the squares that decide are those of :mod:`dsmote.neighbors.exact`.
"""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.corners import Corners
from dsmote.neighbors.exact import (
    rescaled,
    scale_power,
    smallest_of_pairs,
    squared_pairs,
)
from dsmote.neighbors.groups import Groups, group_equal_rows
from dsmote.neighbors.scan import BLOCK, Kept, Points, scan
from dsmote.plan.memory import SEARCH_CELLS

__all__ = ["BruteSearch"]

_CELLS = 1 << 18  # values of rows that are laid out at once
_PAIRS = 1 << 18  # pairs whose differences are looked at at once
_SHORT = {4: 1e15, 8: 1e140}  # lengths whose squares float32 and float64 can hold


class BruteSearch:
    """Exact neighbours by comparing all pairs; Euclidean, or mixed when codes are given.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        Continuous columns; kept, not copied, where its values are of usual size.
    codes : ndarray of int32, shape (n, q), optional
        Codes of nominal columns.
    weight : float, optional
        Its square is added to the squared distance for each nominal column in which two rows
        differ (SMOTENC's M).
    groups : Groups, optional
        The equal rows, where they are known.

    Examples
    --------
    >>> index = BruteSearch(np.array([[0.0], [1.0], [3.0], [3.0]]))
    >>> index.query(np.array([0, 3]), 2)[1]
    array([[1, 2],
           [2, 1]])
    """

    engine = "brute"
    exact = True

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray | None = None,
        weight: float = 0.0,
        groups: Groups | None = None,
    ) -> None:
        self.n_rows, self.width = matrix.shape
        self.scale = scale_power(matrix, weight)
        self._rows = matrix if self.scale == 1.0 else matrix * self.scale
        self._penalty = (weight * self.scale) ** 2
        codes = np.empty((self.n_rows, 0), dtype=np.int32) if codes is None else codes
        self.groups = groups or group_equal_rows(self._rows, codes)
        self._codes = codes if self.groups.distinct else codes[self.groups.first]
        self.corners = Corners(self._codes, weight * self.scale / np.sqrt(2.0))
        self._index()

    def _index(self) -> None:
        """Lay out the different rows for the products, some at a time: no copy of all is made."""
        # In random order, so that the first rows of a scan tell how near the nearest are; always
        # the same order, though nothing depends on it.
        n, width = self.groups.n_unique, self.width + self.corners.width
        self._order = np.random.default_rng(0).permutation(n).astype(np.int32)
        step = max(1, _CELLS // max(1, width))
        slices = [slice(start, min(n, start + step)) for start in range(0, n, step)]
        total, low, high = np.zeros(width), np.full(width, np.inf), np.full(width, -np.inf)
        for part in slices:
            points = self._points(self._order[part])
            total += points.sum(axis=0)
            low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
        self._centre = total / max(1, n)
        largest = np.maximum(high - self._centre, self._centre - low).max(initial=0.0)
        self._unit = 2.0 ** -float(np.frexp(largest)[1])
        self._lengths = np.empty(n)
        self._table = np.empty((n, width + 1), dtype=np.float32)
        for part in slices:
            points = self._points(self._order[part])
            points -= self._centre
            points *= self._unit
            squares = np.einsum("ij,ij->i", points, points)
            self._lengths[part] = np.sqrt(squares)
            self._table[part, :-1], self._table[part, -1] = points, squares

    def _points(self, unique: np.ndarray) -> np.ndarray:
        """Return different rows as numbers and corners, to be altered."""
        rows, names = self.parts(unique)
        return np.concatenate([rows, self.corners.written(names)], axis=1)

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        squares, found = self.nearest_of_many(self.groups.of[ids], k, np.asarray(ids))
        return np.sqrt(squares) / self.scale, found

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of points that are not in the index.

        Parameters
        ----------
        points : ndarray of float64, shape (m, d + q)
            Continuous columns, then codes (-1 for a level that the index does not hold).
        k : int
            Neighbours.
        """
        scaled = np.array(points, dtype=np.float64)
        scaled[:, : self.width] = rescaled(scaled[:, : self.width], self.scale)
        squares, found = self.nearest_of_many(scaled, k, None)
        return np.sqrt(squares) / self.scale, found

    def nearest_of_many(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return squared (scaled) distances and row numbers of the k nearest.

        Parameters
        ----------
        queries : ndarray
            Unique rows' numbers, shape (m,), or rows of (scaled) points, shape (m, d + q).
        k : int
            Neighbours.
        selves : ndarray of int64, shape (m,), or None
            Row numbers to leave out.
        """
        m = len(queries)
        squares, found = np.empty((m, k)), np.empty((m, k), dtype=np.int64)
        step = max(16, min(BLOCK, BLOCK * 64 // (k + 1)))
        for start in range(0, m, step):
            block = slice(start, start + step)
            out = None if selves is None else selves[block]
            squares[block], found[block] = self._nearest(queries[block], k, out)
        return squares, found

    def unique(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the different rows: (scaled) numbers, shape (u, d), and codes, shape (u, q)."""
        return self._rows[self.groups.first], self._codes

    def parts(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the uncentred columns and the codes of queries."""
        if queries.ndim == 1:
            return self._rows[self.groups.first[queries]], self._codes[queries]
        return queries[:, : self.width], queries[:, self.width :].astype(np.int32)

    def _nearest(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answer a block of queries, in ever higher precision."""
        squares = np.empty((len(queries), k))
        found = np.empty((len(queries), k), dtype=np.int64)
        left = np.arange(len(queries))
        for dtype in (np.float32, np.float64):
            if not len(left):
                return squares, found
            kept = self._scanned(queries[left], k, dtype)
            out = None if selves is None else selves[left]
            best, ids = self._decided(queries[left], kept, k, out)
            sure = ~kept.lost
            squares[left[sure]], found[left[sure]] = best[sure], ids[sure]
            left = left[kept.lost]
        out = None if selves is None else selves[left]
        squares[left], found[left] = self._by_differences(queries[left], k, out)
        return squares, found

    def _scanned(self, queries: np.ndarray, k: int, dtype: type) -> Kept:
        """Find the pairs that may count, by products."""
        numbers, codes = self.parts(queries)
        points = np.concatenate([numbers, self.corners.written(codes)], axis=1)
        points -= self._centre
        points *= self._unit
        lengths = np.sqrt(np.einsum("ij,ij->i", points, points))
        near = lengths < _SHORT[np.dtype(dtype).itemsize]  # foreign points may lie anywhere
        columns = np.zeros((len(points), points.shape[1] + 1), dtype)
        columns[near, :-1] = points[near]
        shared = self.corners.n_short(codes) * self._penalty * self._unit**2

        def tile(start: int, stop: int) -> Points:
            if dtype is np.float32:
                return Points(self._table[start:stop], self._lengths[start:stop])
            part = self._points(self._order[start:stop])
            part -= self._centre
            part *= self._unit
            squares = np.einsum("ij,ij->i", part, part)
            return Points(
                np.concatenate([part, squares[:, None]], axis=1), self._lengths[start:stop]
            )

        def exact(owner: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            true = self.pair_squares(numbers, codes, owner, self._order[row]) * self._unit**2
            rounding = 2.0**-44 * (points.shape[1] + 8)
            size = true + (lengths[owner] + self._lengths[row]) ** 2
            return true - lengths[owner] ** 2, rounding * size

        kept = scan(
            Points(columns, np.where(near, lengths, 0.0)),
            tile,
            self.groups.n_unique,
            min(k + 1, self.groups.n_unique),
            slack=shared,
            exact=exact if shared else None,
        )
        return Kept(kept.owner, kept.row, kept.lost | ~near)

    def _decided(
        self, queries: np.ndarray, kept: Kept, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose among the kept pairs by exact squares."""
        unique = self._order[kept.row]
        squares = self.pair_squares(*self.parts(queries), kept.owner, unique)
        return smallest_of_pairs(self.groups, len(queries), kept.owner, unique, squares, k, selves)

    def pair_squares(
        self, numbers: np.ndarray, codes: np.ndarray, owner: np.ndarray, unique: np.ndarray
    ) -> np.ndarray:
        """Return exact squares of pairs (query, unique row)."""
        ids = unique if self.groups.distinct else self.groups.first[unique]
        total = squared_pairs(self._rows, ids, numbers, owner)
        if codes.shape[1] and self._penalty:
            # As many pairs at a time as keep what is gathered small: columns may be hundreds.
            step = max(1, SEARCH_CELLS // codes.shape[1])
            for start in range(0, len(unique), step):
                part = slice(start, start + step)
                differing = self._codes[unique[part]] != codes[owner[part]]
                total[part] += self._penalty * differing.sum(axis=1)
        return total

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows, shape of `candidates`."""
        owner = np.repeat(np.arange(len(queries)), candidates.shape[1])
        squares = self.pair_squares(*self.parts(queries), owner, candidates.reshape(-1))
        return squares.reshape(candidates.shape)

    def _by_differences(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare with all rows by exact squares, in bounded memory whatever the ties."""
        n, m = self.groups.n_unique, len(queries)
        squares, found = np.empty((m, k)), np.empty((m, k), dtype=np.int64)
        size = min(n, max(4096, 4 * (k + 1)))
        step = max(1, _PAIRS // size)
        for start in range(0, m, step):
            part = slice(start, start + step)
            best, ids = self._least(queries[part], min(k + 1, n), size)
            owner = np.repeat(np.arange(len(best)), best.shape[1])
            out = None if selves is None else selves[part]
            squares[part], found[part] = smallest_of_pairs(
                self.groups, len(best), owner, ids.reshape(-1), best.reshape(-1), k, out
            )
        return squares, found

    def _least(self, queries: np.ndarray, k: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k least (square, unique row) of each query."""
        numbers, codes = self.parts(queries)
        best = np.empty((len(queries), 0))
        ids = np.empty((len(queries), 0), dtype=np.int64)
        for start in range(0, self.groups.n_unique, size):
            at = np.arange(start, min(self.groups.n_unique, start + size))
            rows, names = self.parts(at)
            total = np.zeros((len(queries), len(at)))
            for j in range(self.width):
                difference = rows[:, j] - numbers[:, j, None]
                with np.errstate(over="ignore"):  # foreign points may lie anywhere
                    difference *= difference
                total += difference
            if codes.shape[1] and self._penalty:
                differing = np.zeros(total.shape)
                for j in range(codes.shape[1]):
                    differing += names[:, j] != codes[:, j, None]
                total += self._penalty * differing
            best = np.concatenate([best, total], axis=1)
            ids = np.concatenate([ids, np.broadcast_to(at, total.shape)], axis=1)
            # Stable, and rows come in order of their number: ties fall to the lower one.
            order = np.argsort(best, axis=1, kind="stable")[:, :k]
            best, ids = np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)
        return best, ids
