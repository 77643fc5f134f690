"""Indexes over other indexes: a sample of the rows, groups of rows, principal components."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsmote.neighbors.exact import NeighborIndex
from dsmote.neighbors.tree import principal_axes


class CappedSearch:
    """Neighbours in a seeded sample of the rows, which all rows query.

    `build` makes an index over the sample's numbers and codes; `max_rows` is below n.

    Examples
    --------
    >>> from dsmote.neighbors.brute import BruteSearch
    >>> rows, codes = np.arange(6.0)[:, None], np.empty((6, 0), np.int32)
    >>> index = CappedSearch(rows, codes, 3, 0, "capped", lambda m, c: BruteSearch(m))
    >>> index.query(np.arange(6), 2)[1].shape
    (6, 2)
    """

    exact = False

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        max_rows: int,
        seed: int,
        engine: str,
        build: Callable[[np.ndarray, np.ndarray], NeighborIndex],
    ) -> None:
        self.n_rows, self.engine = len(matrix), engine
        drawn = np.random.default_rng(seed).choice(self.n_rows, max_rows, replace=False)
        self.sample = np.sort(drawn)
        self._rows, self._codes = matrix, codes
        self._place = np.full(self.n_rows, -1)
        self._place[self.sample] = np.arange(max_rows)
        self._index = build(matrix[self.sample], codes[self.sample])

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of the sample, each row itself left out."""
        if k >= len(self.sample):
            raise ValueError(
                f"{k} neighbours are wanted of a sample of {len(self.sample)} rows; "
                f"give CappedIndex max_rows of at least {k + 1}"
            )
        ids = np.asarray(ids)
        distances = np.empty((len(ids), k))
        found = np.empty((len(ids), k), dtype=np.int64)
        inside = self._place[ids] >= 0
        if inside.any():
            distances[inside], found[inside] = self._index.query(self._place[ids[inside]], k)
        if not inside.all():
            others = ids[~inside]
            points = np.concatenate([self._rows[others], self._codes[others]], axis=1)
            distances[~inside], found[~inside] = self._index.query_points(points, k)
        return distances, self.sample[found]

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of the sample to points that are not in the index."""
        distances, found = self._index.query_points(points, k)
        return distances, self.sample[found]


class GroupedSearch:
    """Neighbours in the own group only: an index for each group, in row numbers of the table.

    ::

        rows      0 1 2 3 4 5 6 7          group a: 0 2 5 7  -> an index over 4 rows
        group     a b a b b a c a          group b: 1 3 4    -> an index over 3 rows
                                           group c: 6        -> lone: fewer than k + 1

    Rows of groups of fewer than `least` rows are *lone*: they have no neighbours, and stand in for
    them themselves. Rows of group -1 are never queried. `build` indexes the rows of these numbers.

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


def leading_axes(matrix: np.ndarray, n_components: int | float) -> tuple[np.ndarray, np.ndarray]:
    """Find the centre of rows, and orthonormal directions in which they spread most.

    `n_components` is their number, min(n, d) at most; or, between 0 and 1, the share of the
    variance that the fewest of them must hold.

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
    """An index over rows projected to their leading principal components.

    ::

        30 columns     centre, rotate      leading 6 axes kept        any engine
        x x x x ...  ------------------>   o o o o o o | . . . ...  ------------->  neighbours
                                            most spread | left out

    A distance in the leading components is never more than the true one; what is left out makes
    some rows look nearer than they are. So the search is approximate, even where its engine is
    exact, and its recall is measured in all columns.

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
