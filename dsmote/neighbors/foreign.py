"""Neighbours found by somebody else's object: anything with ``fit`` and ``kneighbors``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack

from dsmote.neighbors.protocol import NeighborIndex

__all__ = ["ForeignIndex", "ForeignSearch"]


class ForeignSearch:
    """Neighbours among rows that an object was fitted to.

    Parameters
    ----------
    estimator : object
        Fitted to `points`; ``kneighbors(points, n_neighbors=)`` returns distances and row numbers.
    points : ndarray or sparse matrix, shape (n, d)
        The rows, as the object knows them.
    engine : str
        Name of the engine.
    """

    exact = False  # it may well be; nobody can know

    def __init__(self, estimator: Any, points: Any, engine: str) -> None:
        self.n_rows, self.engine = points.shape[0], engine
        self._estimator, self._points = estimator, points

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        ids = np.asarray(ids)
        if not len(ids):
            return np.empty((0, k)), np.empty((0, k), dtype=np.int64)
        distances, found = self.query_points(self._points[ids], k + 1)
        # A row need not come first among its duplicates, nor come at all.
        own = found == ids[:, None]
        own &= np.cumsum(own, axis=1) == 1
        own[~own.any(axis=1), -1] = True
        return distances[~own].reshape(-1, k), found[~own].reshape(-1, k)

    def query_points(self, points: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of points that are not in the index."""
        answer = self._estimator.kneighbors(points, n_neighbors=k)
        distances, found = np.asarray(answer[0], dtype=np.float64), np.asarray(answer[1])
        expected = (points.shape[0], k)
        if distances.shape != expected or found.shape != expected:
            raise ValueError(
                f"{self.engine}.kneighbors must return distances and row numbers of shape "
                f"{expected}, but returned {distances.shape} and {found.shape}"
            )
        if found.size and not (found.min() >= 0 and found.max() < self.n_rows):
            raise ValueError(
                f"{self.engine}.kneighbors must return row numbers 0 to {self.n_rows - 1}, but "
                f"returned {found.min()} to {found.max()}"
            )
        return distances, found.astype(np.int64, copy=False)


def _clone(estimator: Any) -> Any:
    from sklearn.base import clone  # large, and most searches do without it

    return clone(estimator)


@dataclass(frozen=True)
class ForeignIndex:
    """An engine that clones and fits somebody else's object for each class.

    Parameters
    ----------
    estimator : object with ``fit`` and ``kneighbors``
        Such as scikit-learn's or cuML's ``NearestNeighbors``.

    Examples
    --------
    >>> from sklearn.neighbors import NearestNeighbors
    >>> index = ForeignIndex(NearestNeighbors()).build(np.array([[0.0], [1.0], [3.0]]))
    >>> index.query(np.array([2]), 2)[1]
    array([[1, 0]])
    """

    estimator: Any

    @property
    def name(self) -> str:
        """The object's class."""
        return type(self.estimator).__name__

    @property
    def exact(self) -> bool:
        """Nobody can know."""
        return False

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Fit a clone to rows."""
        return ForeignSearch(_clone(self.estimator).fit(matrix), matrix, self.name)

    def build_mixed(
        self, matrix: np.ndarray, codes: np.ndarray, weight: float, *, seed: int = 0
    ) -> NeighborIndex:
        """Fit a clone to numbers and one-hot names, whose distances are SMOTENC's; sparse."""
        n, parts = len(matrix), [csr_matrix(matrix)]
        for column in codes.T:
            hot = np.full(n, weight / np.sqrt(2.0))
            parts.append(csr_matrix((hot, (np.arange(n), column))))
        points = hstack(parts, format="csr")
        return ForeignSearch(_clone(self.estimator).fit(points), points, self.name)
