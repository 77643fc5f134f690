"""Brute force in blocks: every pair is looked at, a bounded number of them at a time.

::

                 rows of the index, a chunk at a time
    queries   +--------+--------+--------+---
    a block   | BLAS   |        |        |        kept between chunks: the best n of each query;
    at a time |        |        |        |        a chunk's pairs that do not beat the n-th are
              +--------+--------+--------+---     dropped by one comparison

The rows are centred first, because |a|^2 - 2ab + |b|^2 cancels badly far from the origin; what
it still rounds only proposes candidates (see :mod:`dsmote.neighbors.exact`).
"""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.exact import (
    group_equal_rows,
    nearest,
    scale_power,
    squared_distances,
)

__all__ = ["BruteSearch"]

_EPS = float(np.finfo(np.float64).eps)
_PAIRS = 1 << 21  # pairs looked at at once: 16 MiB of float64, and a few temporaries
_CHUNK = 4096  # rows of the index in a chunk


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
        self, matrix: np.ndarray, codes: np.ndarray | None = None, weight: float = 0.0
    ) -> None:
        self.n_rows, self.width = matrix.shape
        self.scale = scale_power(matrix)
        self._rows = matrix if self.scale == 1.0 else matrix * self.scale
        self._penalty = (weight * self.scale) ** 2
        codes = np.empty((self.n_rows, 0), dtype=np.int32) if codes is None else codes
        self.groups = group_equal_rows(self._rows, codes)
        unique = self._rows if self.groups.distinct else self._rows[self.groups.first]
        self._centre = unique.mean(axis=0) if self.width else np.zeros(0)
        self._centred = unique - self._centre
        self._norms = np.einsum("ij,ij->i", self._centred, self._centred)
        self._codes = np.ascontiguousarray(codes[self.groups.first].T)
        self._error = 8.0 * (self.width + 8) * _EPS

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        found = nearest(self, self.groups, self.groups.of[ids], k, np.asarray(ids))
        return found[0] / self.scale, found[1]

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
        scaled[:, : self.width] *= self.scale
        found = nearest(self, self.groups, scaled, k, None)
        return found[0] / self.scale, found[1]

    def unique(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the different rows: (scaled) numbers, shape (u, d), and codes, shape (u, q)."""
        return self._rows[self.groups.first], self._codes.T

    def _parts(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the uncentred columns and the codes (one row per column) of queries."""
        if queries.ndim == 1:
            return self._rows[self.groups.first[queries]], self._codes[:, queries]
        return queries[:, : self.width], queries[:, self.width :].T.astype(np.int32)

    def candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Propose n unique rows for each query, with the squared reach."""
        m, n_unique = len(queries), self.groups.n_unique
        found = np.empty((m, n), dtype=np.int64)
        last = np.empty(m)
        chunk = min(n_unique, max(_CHUNK, 2 * n))
        step = max(1, _PAIRS // chunk)
        norms = np.empty(m)
        for start in range(0, m, step):
            block = slice(start, start + step)
            points, codes = self._parts(queries[block])
            centred = points - self._centre
            norms[block] = np.einsum("ij,ij->i", centred, centred)
            found[block], last[block] = self._block(centred, norms[block], codes, n, chunk)
        if n == n_unique:
            return found, np.full(m, np.inf)
        near = np.sqrt(norms) + np.sqrt(np.maximum(last, 0.0))
        return found, np.maximum(last - self._error * (norms + near * near), 0.0)

    def _block(
        self, centred: np.ndarray, norms: np.ndarray, codes: np.ndarray, n: int, chunk: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the n best unique rows of each query, and the n-th's rounded square."""
        m = len(centred)
        best = np.full((m, n), np.inf)
        found = np.zeros((m, n), dtype=np.int64)
        doubled = -2.0 * centred
        for start in range(0, self.groups.n_unique, chunk):
            rows = slice(start, start + chunk)
            squares = doubled @ self._centred[rows].T
            squares += self._norms[rows]
            squares += norms[:, None]
            if len(codes) and self._penalty:
                squares += self._penalty * self._differing(codes, rows)
            if start == 0:
                size = squares.shape[1]
                if n < size:
                    picked = np.argpartition(squares, n - 1, axis=1)[:, :n]
                else:
                    picked = np.broadcast_to(np.arange(size), squares.shape)
                best[:, : picked.shape[1]] = np.take_along_axis(squares, picked, 1)
                found[:, : picked.shape[1]] = picked
            else:
                self._merge(best, found, squares, start)
        return found, best.max(axis=1)

    def _differing(self, codes: np.ndarray, rows: slice) -> np.ndarray:
        """Count the nominal columns in which queries and a chunk of rows differ."""
        count = np.zeros((codes.shape[1], self._codes[:, rows].shape[1]), dtype=np.uint16)
        for ours, theirs in zip(codes, self._codes[:, rows], strict=True):
            count += ours[:, None] != theirs[None, :]
        return count

    @staticmethod
    def _merge(best: np.ndarray, found: np.ndarray, squares: np.ndarray, start: int) -> None:
        """Bring a chunk's pairs that beat the worst kept one into `best` and `found`."""
        n = best.shape[1]
        rows, columns = np.nonzero(squares < best.max(axis=1)[:, None])
        if not len(rows):
            return
        touched, row = np.unique(rows, return_inverse=True)
        values = np.concatenate([best[touched].reshape(-1), squares[rows, columns]])
        ids = np.concatenate([found[touched].reshape(-1), columns + start])
        owner = np.concatenate([np.repeat(np.arange(len(touched)), n), row])
        order = np.lexsort((values, owner))
        begin = np.searchsorted(owner[order], np.arange(len(touched)))
        keep = order[begin[:, None] + np.arange(n)]
        best[touched], found[touched] = values[keep], ids[keep]

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows."""
        points, codes = self._parts(queries)
        total = squared_distances(self._rows, points, self.groups.first[candidates])
        if len(codes) and self._penalty:
            differing = np.zeros(candidates.shape)
            for ours, theirs in zip(codes, self._codes, strict=True):
                differing += theirs[candidates] != ours[:, None]
            total += self._penalty * differing
        return total


BruteIndex = BruteSearch
