r"""Names written as numbers: corners of a simplex, as many as are worth a column.

The metric of SMOTENC is  |continuous difference|^2 + M^2 x (nominal columns that differ).  Names
that are written as corners of a simplex with edges of length M have exactly these distances, but
a corner for every level would need as many dimensions as there are levels. So only frequent levels
get a corner of their own; a column's other levels, the rare ones, share one::

    column "region", 53 levels                 squared distance as written
        north  o                                  north - south       M^2   (true)
              / \                                 north - east        M^2   (true)
       south o---o  all others: east, west ...    east  - west        0     (true: M^2)

The written distance is never more than the true one, so what is too far by it is too far. And it
is wrong only between two rare levels. A query with a rare level can be written in the *middle* of
the simplex instead, which is equally far from all corners: then what it lacks is the same for all
rows that have another level, and only rows of its own level are written too far.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Corners"]

CORNERS = 24  # levels with a corner of their own, and one more for each column


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
    array([[0., 2.],
           [2., 0.]])
    """

    def __init__(self, codes: np.ndarray, edge: float) -> None:
        self._levels = _frequent_levels(codes)
        self._edge = edge
        self.width = sum(len(own) + (shared and len(own) > 0) for own, shared in self._levels)

    def rare(self, codes: np.ndarray) -> np.ndarray:
        """Tell which levels have no corner of their own; bool of shape (m, q)."""
        marks = [~np.isin(codes[:, j], own) for j, (own, _) in enumerate(self._levels)]
        return np.stack(marks, axis=1) if marks else np.zeros(codes.shape, dtype=bool)

    def centred(self, codes: np.ndarray, rare: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Write rows with their rare levels in the middle of the simplex.

        Returns
        -------
        written : ndarray of float64, shape (m, width)
        lacking : ndarray of float64, shape (m,)
            What their squared distance to every row of another rare level is short of.
        """
        written = self.written(codes)
        lacking = np.zeros(len(codes))
        at = 0
        for j, (own, shared) in enumerate(self._levels):
            n = len(own) + (shared and len(own) > 0)
            if n:
                written[rare[:, j], at : at + n] = self._edge / n
            # From the middle of n corners to each of them: edge^2 (1 - 1/n); true: 2 edge^2.
            short = 2.0 - (1.0 - 1.0 / n if n else 0.0)
            lacking[rare[:, j]] += short * self._edge**2
            at += n
        return written, lacking

    def n_short(self, codes: np.ndarray) -> int:
        """Count the columns in which some of these rows may be written too near to a row.

        Those in which levels share a corner, or in which a row has a level that no other has.
        """
        return sum(
            bool(shared or not np.isin(codes[:, j], own).all())
            for j, (own, shared) in enumerate(self._levels)
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


def _frequent_levels(codes: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """Choose the levels that get a corner of their own.

    Returns
    -------
    list of (levels, shared), one for each column
        `shared` tells whether the column has further levels.
    """
    q = codes.shape[1]
    ranked = []
    by_count = []
    for j in range(q):
        counts = np.bincount(codes[:, j])
        by_count.append(np.argsort(-counts, kind="stable")[: (counts > 0).sum()])
        for level in by_count[j][: CORNERS + q].tolist():
            ranked.append((-int(counts[level]), j, level))
    n_own = np.bincount([j for _, j, _ in sorted(ranked)[: CORNERS + q]], minlength=q)
    chosen = []
    for levels, n in zip(by_count, n_own, strict=True):
        # A single level that is left over would share a corner with none: it is its own.
        n = len(levels) if n and n + 1 == len(levels) else n
        chosen.append((levels[:n], len(levels) > n))
    return chosen
