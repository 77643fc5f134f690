"""Euclidean neighbours by a rotated kd-tree (see :mod:`dsmote.neighbors.rotated`)."""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.exact import (
    nearest,
    rescaled,
    scale_power,
    squared_distances,
)
from dsmote.neighbors.groups import group_equal_rows
from dsmote.neighbors.rotated import RotatedTree

__all__ = ["TreeSearch"]


class TreeSearch:
    """Euclidean neighbours by a rotated kd-tree, exact unless told otherwise.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        The rows; kept, not copied, where its values are of usual size.
    eps : float, default=0
        Above 0 the search is approximate: the neighbour that is found in j-th place is at most
        (1 + eps) times as far as the true one.

    Examples
    --------
    >>> index = TreeSearch(np.array([[0.0], [1.0], [3.0], [3.0]]))
    >>> index.query(np.array([0, 3]), 2)[1]
    array([[1, 2],
           [2, 1]])
    """

    engine = "tree"

    def __init__(self, matrix: np.ndarray, eps: float = 0.0) -> None:
        self.exact = not eps
        self._eps = eps
        self.n_rows, self.width = matrix.shape
        self._scale = scale_power(matrix)
        self._rows = matrix if self._scale == 1.0 else matrix * self._scale
        self._groups = group_equal_rows(self._rows, np.empty((self.n_rows, 0), dtype=np.int32))
        unique = self._rows if self._groups.distinct else self._rows[self._groups.first]
        self._tree = RotatedTree(unique)

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        unique = self._groups.of[ids]
        order = self._tree.leaf_order(unique)
        lengths, found = self._answer(unique[order], k, np.asarray(ids)[order])
        distances, neighbours = np.empty_like(lengths), np.empty_like(found)
        distances[order], neighbours[order] = lengths / self._scale, found
        return distances, neighbours

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of points that are not in the index."""
        found = self._answer(rescaled(points, self._scale), k, None)
        return found[0] / self._scale, found[1]

    def _answer(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return nearest(self, self._groups, queries, k, selves, rest=self._compared)

    def _compared(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare queries with all rows. Few ever are, so what it takes is not kept."""
        return BruteSearch(self._rows, groups=self._groups).nearest_of_many(queries, k, selves)

    def candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Propose n unique rows for each query, with the squared reach."""
        own = queries.ndim == 1
        rotated = self._tree.rows(queries) if own else self._tree.rotated(queries)
        return self._tree.nearest(rotated, n, self._eps)

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows."""
        first = self._groups.first
        points = self._rows[first[queries]] if queries.ndim == 1 else queries
        return squared_distances(self._rows, points, first[candidates])
