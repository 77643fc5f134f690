"""What every neighbour engine offers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

__all__ = ["NeighborIndex"]


@runtime_checkable
class NeighborIndex(Protocol):
    """An index over the rows of one class.

    Attributes
    ----------
    n_rows : int
        Rows in the index; they are known by their number, 0 to n_rows - 1.
    engine : str
        Name of the engine.
    exact : bool
        Whether it finds the true neighbours.
    """

    n_rows: int
    engine: str
    exact: bool

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out.

        Parameters
        ----------
        ids : ndarray of int64, shape (m,)
            Numbers of the rows that ask.
        k : int
            Neighbours, at most n_rows - 1.

        Returns
        -------
        distances : ndarray of float64, shape (m, k)
            Ascending.
        neighbours : ndarray of int64, shape (m, k)
            Row numbers; equal distances are in order of row number.
        """
        ...

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of points that are not in the index; k at most n_rows."""
        ...
