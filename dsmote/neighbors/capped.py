"""A seeded sample of the rows, which all rows query."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsmote.neighbors.protocol import NeighborIndex

__all__ = ["CappedSearch"]


class CappedSearch:
    """Neighbours in a sample of the rows.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        The rows; kept, not copied.
    codes : ndarray of int32, shape (n, q)
        Their nominal columns; q may be 0.
    max_rows : int
        Rows of the sample, below n.
    seed : int
        Decides the sample.
    engine : str
        Name of the engine.
    build : callable
        Builds an index over the sample's numbers and codes.

    Examples
    --------
    >>> from dsmote.neighbors.brute import BruteSearch
    >>> rows, codes = np.arange(6.0)[:, None], np.empty((6, 0), np.int32)
    >>> index = CappedSearch(rows, codes, 3, 0, "capped", lambda m, c: BruteSearch(m))
    >>> index.query(np.arange(6), 2)[1].shape
    (6, 2)
    """

    exact = False

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        max_rows: int,
        seed: int,
        engine: str,
        build: Callable[[np.ndarray, np.ndarray], NeighborIndex],
    ) -> None:
        self.n_rows, self.engine = len(matrix), engine
        drawn = np.random.default_rng(seed).choice(self.n_rows, max_rows, replace=False)
        self.sample = np.sort(drawn)
        self._rows, self._codes = matrix, codes
        self._place = np.full(self.n_rows, -1)
        self._place[self.sample] = np.arange(max_rows)
        self._index = build(matrix[self.sample], codes[self.sample])

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of the sample, each row itself left out."""
        if k >= len(self.sample):
            raise ValueError(
                f"{k} neighbours are wanted of a sample of {len(self.sample)} rows; "
                f"give CappedIndex max_rows of at least {k + 1}"
            )
        ids = np.asarray(ids)
        distances = np.empty((len(ids), k))
        found = np.empty((len(ids), k), dtype=np.int64)
        inside = self._place[ids] >= 0
        if inside.any():
            distances[inside], found[inside] = self._index.query(self._place[ids[inside]], k)
        if not inside.all():
            asked = ids[~inside]
            points = np.concatenate([self._rows[asked], self._codes[asked]], axis=1)
            distances[~inside], found[~inside] = self._index.query_points(points, k)
        return distances, self.sample[found]

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of the sample to points that are not in the index."""
        distances, found = self._index.query_points(points, k)
        return distances, self.sample[found]
