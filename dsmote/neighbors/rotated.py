"""A kd-tree over rows that are centred and rotated to their principal axes.

::

      as given                rotated: the first axes hold the spread
        .  * *                      .
       * *  .    ->      * * * * * * * *      a box cut across the first axes leaves most
      *  *                  .   .             of the rows out, however many columns there are

A rotation keeps every distance, so the search stays exact; pruning then depends on how many
directions the rows really spread in (their intrinsic dimension), not on the number of columns.
The tree's own distances are rounded by the rotation, so they only propose candidates, with a
*reach* that allows for the rounding (see :mod:`dsmote.neighbors.exact`).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

__all__ = ["RotatedTree"]

_EPS = float(np.finfo(np.float64).eps)


class RotatedTree:
    """The tree, and what is needed to bring a point into it.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        Rows, all different (equal ones would only share a leaf, and be slow).
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.n_rows, width = matrix.shape
        self._centre = matrix.mean(axis=0)
        centred = matrix - self._centre
        self._axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
        self._tree = cKDTree(centred @ self._axes)
        # Error of a rotated coordinate: a dot product of length d, and axes that are orthonormal
        # up to rounding; taken generously, since asking for more candidates is cheap.
        self._error = 8.0 * (width + 4) ** 1.5 * _EPS

    def rotated(self, points: np.ndarray) -> np.ndarray:
        """Bring points into the tree's axes."""
        return (points - self._centre) @ self._axes

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Return rows of the tree, in its axes."""
        return np.asarray(self._tree.data)[ids]

    def nearest(self, rotated: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the n nearest rows of rotated points, and the squared reach.

        Returns
        -------
        found : ndarray of int64, shape (m, n)
        reach : ndarray of float64, shape (m,)
            No row that was not found is truly nearer than its square root; inf when all were.
        """
        answer = self._tree.query(rotated, k=n)
        distances, found = (np.asarray(part).reshape(-1, n) for part in answer)
        if n == self.n_rows:
            return found, np.full(len(found), np.inf)
        norms = np.sqrt(np.einsum("ij,ij->i", rotated, rotated))
        last = distances[:, -1]
        reach = last - self._error * (2.0 * norms + last)
        return found, np.maximum(reach, 0.0) ** 2
