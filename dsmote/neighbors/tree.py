"""A kd-tree over rows that are centred and rotated to their principal axes.

::

      as given                rotated: the first axes hold the spread
        .  * *                      .
       * *  .    ->      * * * * * * * *      a box cut across the first axes leaves most
      *  *                  .   .             of the rows out, however many columns there are

A rotation keeps every distance, so the search stays exact; pruning then depends on how many
directions the rows really spread in (their intrinsic dimension), not on the number of columns.
The tree's own distances are rounded by the rotation, so they only propose candidates (see
:mod:`dsmote.neighbors.exact`).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from dsmote.neighbors.exact import (
    group_equal_rows,
    nearest,
    scale_power,
    squared_distances,
)

__all__ = ["TreeIndex"]

_EPS = float(np.finfo(np.float64).eps)


class TreeIndex:
    """Exact Euclidean neighbours by a rotated kd-tree.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        The rows; kept, not copied, where its values are of usual size.

    Examples
    --------
    >>> index = TreeIndex(np.array([[0.0], [1.0], [3.0], [3.0]]))
    >>> index.query(np.array([0, 3]), 2)[1]
    array([[1, 2],
           [2, 1]])
    """

    engine = "tree"

    def __init__(self, matrix: np.ndarray) -> None:
        self.n_rows, self.width = matrix.shape
        self._scale = scale_power(matrix)
        self._rows = matrix if self._scale == 1.0 else matrix * self._scale
        self._groups = group_equal_rows(self._rows, np.empty((self.n_rows, 0), dtype=np.int32))
        unique = self._rows if self._groups.distinct else self._rows[self._groups.first]
        self._centre = unique.mean(axis=0)
        centred = unique - self._centre
        self._axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
        self._tree = cKDTree(centred @ self._axes)
        # Error of a rotated coordinate: a dot product of length d, and axes that are orthonormal
        # up to rounding; taken generously, since asking for more candidates is cheap.
        self._error = 8.0 * (self.width + 4) ** 1.5 * _EPS

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        found = nearest(self, self._groups, self._groups.of[ids], k, np.asarray(ids))
        return found[0] / self._scale, found[1]

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of points that are not in the index."""
        found = nearest(self, self._groups, points * self._scale, k, None)
        return found[0] / self._scale, found[1]

    def candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Propose n unique rows for each query, with the squared reach."""
        if queries.ndim == 1:
            rotated = self._tree.data[queries]
        else:
            rotated = (queries - self._centre) @ self._axes
        answer = self._tree.query(rotated, k=n)
        distances, found = (np.asarray(part).reshape(-1, n) for part in answer)
        if n == self._groups.n_unique:
            return found, np.full(len(found), np.inf)
        norms = np.sqrt(np.einsum("ij,ij->i", rotated, rotated))
        last = distances[:, -1]
        reach = last - self._error * (2.0 * norms + last)
        return found, np.maximum(reach, 0.0) ** 2

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows."""
        first = self._groups.first
        points = self._rows[first[queries]] if queries.ndim == 1 else queries
        return squared_distances(self._rows, points, first[candidates])
