"""Neighbours within groups: an index for each, known by the numbers of the whole.

::

    rows      0 1 2 3 4 5 6 7          group a: 0 2 5 7  -> an index over 4 rows
    group     a b a b b a c a          group b: 1 3 4    -> an index over 3 rows
                                       group c: 6        -> lone: fewer than k + 1
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsmote.neighbors.protocol import NeighborIndex

__all__ = ["GroupedSearch"]


class GroupedSearch:
    """Neighbours in the own group only.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        The group of each row; -1 for rows that nobody will ask for.
    least : int
        Rows that a group needs; rows of smaller groups are *lone*: they have no neighbours, and
        stand in for them themselves.
    build : callable
        Builds an index over the rows of these numbers.

    Attributes
    ----------
    lone : ndarray of bool, shape (n,)
        Rows of groups that are too small.

    Examples
    --------
    >>> from dsmote.neighbors.brute import BruteSearch
    >>> rows = np.array([[0.0], [0.1], [5.0], [6.0], [9.0]])
    >>> index = GroupedSearch(
    ...     np.array([0, 1, 0, 1, 2]), 2, lambda ids: BruteSearch(rows[ids]))
    >>> index.query(np.array([0, 1, 4]), 1)[1].ravel(), index.lone.nonzero()[0]
    (array([2, 3, 4]), array([4]))
    """

    def __init__(
        self, groups: np.ndarray, least: int, build: Callable[[np.ndarray], NeighborIndex]
    ) -> None:
        self.n_rows = len(groups)
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order][:1] - 1))
        self._members = np.split(order, starts[1:]) if len(order) else []
        self._part = np.empty(self.n_rows, dtype=np.int64)
        self._place = np.empty(self.n_rows, dtype=np.int64)
        self.lone = np.zeros(self.n_rows, dtype=bool)
        self._indexes: list[NeighborIndex | None] = []
        for number, ids in enumerate(self._members):
            self._part[ids], self._place[ids] = number, np.arange(len(ids))
            small = len(ids) < least or groups[ids[0]] < 0
            self.lone[ids] = small
            self._indexes.append(None if small else build(ids))
        built = [index for index in self._indexes if index is not None]
        self.exact = all(index.exact for index in built)
        names = sorted({index.engine for index in built})
        self.engine = f"{', '.join(names) or 'none'} in {len(built):,} group(s)"

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of the own group, each row itself left out."""
        ids = np.asarray(ids)
        distances = np.zeros((len(ids), k))
        found = np.repeat(ids[:, None], k, axis=1)
        part = self._part[ids]
        order = np.argsort(part, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            index = self._indexes[part[some[0]]] if len(some) else None
            if index is not None:
                members = self._members[part[some[0]]]
                lengths, near = index.query(self._place[ids[some]], k)
                distances[some], found[some] = lengths, members[near]
        return distances, found

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Refuse: a point that is not in the index has no group."""
        raise NotImplementedError("a point that is not in the index has no group to search in")
