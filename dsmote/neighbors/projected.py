"""Search in the leading principal components: fewer columns, and neighbours that are nearly so.

::

    30 columns     centre, rotate      leading 6 axes kept        any engine
    x x x x ...  ------------------>   o o o o o o | . . . ...  ------------->  neighbours
                                        most spread | left out

A distance in the leading components is never more than the true one; what is left out makes some
rows look nearer than they are. So the search is approximate, even where its engine is exact, and
its recall is measured in all columns.
"""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.dimension import principal_axes
from dsmote.neighbors.protocol import NeighborIndex

__all__ = ["ProjectedSearch", "leading_axes"]


def leading_axes(matrix: np.ndarray, n_components: int | float) -> tuple[np.ndarray, np.ndarray]:
    """Find the directions in which rows spread most.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        The rows.
    n_components : int or float
        How many directions, min(n, d) at most; or, between 0 and 1, the share of the variance
        that the fewest of them must hold.

    Returns
    -------
    centre : ndarray of float64, shape (d,)
    axes : ndarray of float64, shape (d, p)
        Orthonormal columns.

    Examples
    --------
    >>> rows = np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.1]])
    >>> leading_axes(rows, 0.9)[1].shape
    (2, 1)
    """
    centre = matrix.mean(axis=0)
    centred = matrix - centre
    centred = np.ldexp(centred, -np.frexp(np.abs(centred).max(initial=0.0))[1])
    values, axes = principal_axes(centred)
    values = np.maximum(values, 0.0)
    n = int(n_components)
    if not isinstance(n_components, int | np.integer):
        share = np.cumsum(values) / max(float(values.sum()), np.finfo(float).tiny)
        n = min(len(values), int(np.searchsorted(share, n_components - 1e-12)) + 1)
    return centre, np.ascontiguousarray(axes[:, : min(n, len(values))])


class ProjectedSearch:
    """An index over projected rows, asked for rows by number or by all their columns.

    Parameters
    ----------
    index : NeighborIndex
        Built over ``(rows - centre) @ axes``, beside codes if there are any.
    centre, axes : ndarrays, shapes (d,) and (d, p)
        As :func:`leading_axes` returns them.

    Examples
    --------
    >>> from dsmote.neighbors.tree import TreeSearch
    >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 3.1]])
    >>> centre, axes = leading_axes(rows, 1)
    >>> index = ProjectedSearch(TreeSearch((rows - centre) @ axes), centre, axes)
    >>> index.query(np.array([0]), 2)[1], index.engine
    (array([[1, 2]]), 'tree in 1 of 2 principal components')
    """

    exact = False

    def __init__(self, index: NeighborIndex, centre: np.ndarray, axes: np.ndarray) -> None:
        self.n_rows = index.n_rows
        self._index, self._centre, self._axes = index, centre, axes
        d, p = axes.shape
        self.engine = f"{index.engine} in {p} of {d} principal components"

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k rows that are nearest in the leading components, and those distances."""
        return self._index.query(ids, k)

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of points, shape (m, d) and further columns for codes."""
        d = len(self._centre)
        projected = (points[:, :d] - self._centre) @ self._axes
        return self._index.query_points(np.concatenate([projected, points[:, d:]], axis=1), k)
