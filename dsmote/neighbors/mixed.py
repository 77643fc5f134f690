r"""Exact neighbours by SMOTENC's metric: numbers and names together, by a tree.

The metric is  |continuous difference|^2 + M^2 x (nominal columns that differ).  Names that are
written as corners of a simplex with edges of length M have exactly these distances, but a
corner for every level would need as many dimensions as there are levels. So only the levels that
tell rows apart best get a corner of their own; a column's other levels share one::

    column "region", 53 levels                 squared distance in the tree
        north  o                                  north - south       M^2   (true)
              / \                                 north - east        M^2   (true)
       south o---o  all others: east, west ...    east  - west        0     (true: M^2)

The tree's distance is never more than the true one, so it gives a *reach* (no row that was not
proposed is truly nearer), and :mod:`dsmote.neighbors.exact` does the rest. Queries whose
neighbours hide among the shared corners, and ask for many candidates, go to brute force.
"""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.brute import BruteIndex
from dsmote.neighbors.exact import nearest
from dsmote.neighbors.rotated import RotatedTree

__all__ = ["MixedIndex"]

CORNERS = 24  # levels with a corner of their own, over all columns
_MANY = 512  # candidates from which on comparing all rows is quicker than asking the tree
_SHARE = 64  # candidates that the tree needs where brute force needs one


class MixedIndex:
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
    >>> index = MixedIndex(np.zeros((3, 1)), np.array([[0, 0], [1, 1], [1, 0]]), 2.0)
    >>> index.query(np.array([0]), 2)
    (array([[2.        , 2.82842712]]), array([[2, 1]]))
    """

    engine = "mixed tree"
    exact = True

    def __init__(self, matrix: np.ndarray, codes: np.ndarray, weight: float) -> None:
        self._all = BruteIndex(matrix, codes, weight)
        self.n_rows, self.width = matrix.shape[0], matrix.shape[1] + codes.shape[1]
        self._d = matrix.shape[1]
        self._edge = weight * self._all.scale / np.sqrt(2.0)
        unique, unique_codes = self._all.unique()
        self._levels = _telling_levels(unique_codes)
        self._tree = RotatedTree(self._written(unique, unique_codes))

    def _written(self, matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Write names as corners beside the (scaled) numbers; shape (m, d + corners)."""
        columns = [matrix]
        for j, (own, shared) in enumerate(self._levels):
            for level in own:
                columns.append(((codes[:, j] == level) * self._edge)[:, None])
            if shared and len(own):
                columns.append((~np.isin(codes[:, j], own) * self._edge)[:, None])
        return np.concatenate(columns, axis=1)

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        groups = self._all.groups
        found = nearest(self, groups, groups.of[ids], k, np.asarray(ids))
        return found[0] / self._all.scale, found[1]

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
        found = nearest(self, self._all.groups, scaled, k, None)
        return found[0] / self._all.scale, found[1]

    def candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Propose n unique rows for each query (brute force: fewer), with the squared reach."""
        if n > _MANY:
            few = n if n == self._all.groups.n_unique else n // _SHARE
            return self._all.candidates(queries, few)
        if queries.ndim == 1:
            return self._tree.nearest(self._tree.rows(queries), n)
        written = self._written(queries[:, : self._d], queries[:, self._d :].astype(np.int32))
        return self._tree.nearest(self._tree.rotated(written), n)

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows."""
        return self._all.squared(queries, candidates)


def _telling_levels(codes: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """Choose the levels that get a corner of their own: those that split the rows most evenly.

    Returns
    -------
    list of (levels, shared), one for each column
        `shared` tells whether the column has further levels.
    """
    n, q = codes.shape
    ranked = []
    sizes = []
    for j in range(q):
        counts = np.bincount(codes[:, j])
        sizes.append(int((counts > 0).sum()))
        share = counts / n
        for level in np.argsort(-counts, kind="stable")[:CORNERS]:
            ranked.append((float(share[level] * (1 - share[level])), j, int(level)))
    ranked.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    own: list[list[int]] = [[] for _ in range(q)]
    for telling, j, level in ranked[:CORNERS]:
        if telling > 0:
            own[j].append(level)
    return [(np.array(own[j], dtype=np.int64), sizes[j] > len(own[j])) for j in range(q)]
