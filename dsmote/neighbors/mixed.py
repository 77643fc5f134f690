"""Exact neighbours by SMOTENC's metric: numbers and names together, by a tree.

Names are written as corners of a simplex, some of which levels share (see
:mod:`dsmote.neighbors.corners`), and a kd-tree is built over numbers and corners. The tree's
distance is never more than the true one, so it gives a *reach* (no row that was not proposed is
truly nearer), and :mod:`dsmote.neighbors.exact` does the rest. Queries whose neighbours hide among
shared corners, and ask for many candidates, go to brute force.
"""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.exact import nearest
from dsmote.neighbors.rotated import RotatedTree

__all__ = ["MixedSearch"]


class MixedSearch:
    """Exact neighbours of rows of numbers and names.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        Continuous columns; kept, not copied, where its values are of usual size.
    codes : ndarray of int32, shape (n, q)
        Codes of the nominal columns.
    weight : float
        M: the distance that a differing name counts for.

    Examples
    --------
    >>> index = MixedSearch(np.zeros((3, 1)), np.array([[0, 0], [1, 1], [1, 0]]), 2.0)
    >>> index.query(np.array([0]), 2)
    (array([[2.        , 2.82842712]]), array([[2, 1]]))
    """

    engine = "mixed tree"
    exact = True

    def __init__(self, matrix: np.ndarray, codes: np.ndarray, weight: float) -> None:
        self._all = BruteSearch(matrix, codes, weight)
        self.n_rows, self.width = matrix.shape[0], matrix.shape[1] + codes.shape[1]
        self._d = matrix.shape[1]
        numbers, names = self._all.unique()
        self._tree = RotatedTree(self._written(numbers, names))

    def _written(self, numbers: np.ndarray, names: np.ndarray) -> np.ndarray:
        return np.concatenate([numbers, self._all.corners.written(names)], axis=1)

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        unique = self._all.groups.of[ids]
        order = self._tree.leaf_order(unique)
        lengths, found = self._answer(unique[order], k, np.asarray(ids)[order])
        distances, neighbours = np.empty_like(lengths), np.empty_like(found)
        distances[order], neighbours[order] = lengths, found
        return distances, neighbours

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
        scaled[:, : self._d] *= self._all.scale
        return self._answer(scaled, k, None)

    def _answer(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        lengths, found = nearest(
            self, self._all.groups, queries, k, selves, rest=self._all.nearest_of_many
        )
        return lengths / self._all.scale, found

    def candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Propose n unique rows for each query, with the squared reach."""
        if queries.ndim == 1:
            return self._tree.nearest(self._tree.rows(queries), n)
        written = self._written(queries[:, : self._d], queries[:, self._d :].astype(np.int32))
        return self._tree.nearest(self._tree.rotated(written), n)

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows."""
        return self._all.squared(queries, candidates)
