r"""Names written as numbers: corners of a simplex, as many as are worth a column.

The metric of SMOTENC is  |continuous difference|^2 + M^2 x (nominal columns that differ).  Names
that are written as corners of a simplex with edges of length M have exactly these distances, but a
corner for every level would need as many dimensions as there are levels. So only the levels that
tell rows apart best get a corner of their own; a column's other levels share one::

    column "region", 53 levels                 squared distance as written
        north  o                                  north - south       M^2   (true)
              / \                                 north - east        M^2   (true)
       south o---o  all others: east, west ...    east  - west        0     (true: M^2)

The written distance is never more than the true one, so what is too far by it is too far.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Corners"]

CORNERS = 24  # levels with a corner of their own, over all columns


class Corners:
    """Which levels get a corner, and rows written that way.

    Parameters
    ----------
    codes : ndarray of int, shape (n, q)
        Nominal columns of the rows; q may be 0.
    edge : float
        M over the square root of two: the place of a corner on its axis.

    Attributes
    ----------
    width : int
        Numbers written for a row.

    Examples
    --------
    >>> corners = Corners(np.array([[0], [1], [1]]), 2.0)
    >>> corners.written(np.array([[0], [1]]))
    array([[2., 0.],
           [0., 2.]])
    """

    def __init__(self, codes: np.ndarray, edge: float) -> None:
        self._levels = _telling_levels(codes)
        self._only = codes[:1].T  # the level of columns that have but one
        self._edge = edge
        self.width = sum(len(own) + (shared and len(own) > 0) for own, shared in self._levels)

    def n_short(self, codes: np.ndarray) -> int:
        """Count the columns in which some of these rows may be written too near to a row.

        Those in which levels share a corner, or in which a row has a level that no other has.
        """
        return sum(
            bool(shared or not np.isin(codes[:, j], known).all())
            for j, (own, shared) in enumerate(self._levels)
            for known in (own if len(own) else self._only[j],)
        )

    def written(self, codes: np.ndarray) -> np.ndarray:
        """Write rows of codes; shape (m, width)."""
        columns: list[np.ndarray] = [np.empty((len(codes), 0))]
        for j, (own, shared) in enumerate(self._levels):
            for level in own:
                columns.append(((codes[:, j] == level) * self._edge)[:, None])
            if shared and len(own):
                columns.append((~np.isin(codes[:, j], own) * self._edge)[:, None])
        return np.concatenate(columns, axis=1)


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
    return [(np.array(own[j], dtype=np.int64), sizes[j] > max(1, len(own[j]))) for j in range(q)]
