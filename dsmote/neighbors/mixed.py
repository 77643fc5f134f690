"""Exact neighbours by SMOTENC's metric: numbers and names together, by a tree and buckets.

Names are written as corners of a simplex, of which a column's rare levels share one (see
:mod:`dsmote.neighbors.corners`), and a kd-tree is built over numbers and corners. Its distances are
true for a row without rare levels. A row with rare levels asks twice::

    rows of the same rare level       a list for each level, measured one by one
    all other rows                    the tree, asked from the middle of the simplex: true but for a
                                      term that is the same for all of them

So levels may be two or ten thousand: the more there are, the shorter the lists. Queries that ask
for many candidates all the same, or whose lists together are longer than all rows, go to brute
force.
"""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.exact import nearest, rescaled, smallest_of_pairs
from dsmote.neighbors.rotated import RotatedTree
from dsmote.plan.memory import HANDED_OVER, SEARCH_CELLS

__all__ = ["MixedSearch"]

_MANY = HANDED_OVER  # as in a search of numbers
_PAIRS = 1 << 18  # pairs of queries and rows of their levels that are looked at at once, at most


class MixedSearch:
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
    >>> index = MixedSearch(np.zeros((3, 1)), np.array([[0, 0], [1, 1], [1, 0]]), 2.0)
    >>> index.query(np.array([0]), 2)
    (array([[2.        , 2.82842712]]), array([[2, 1]]))
    """

    engine = "mixed tree"
    exact = True

    def __init__(self, matrix: np.ndarray, codes: np.ndarray, weight: float) -> None:
        self._all = BruteSearch(matrix, codes, weight)
        self.n_rows, self.width = matrix.shape[0], matrix.shape[1] + codes.shape[1]
        self._d = matrix.shape[1]
        numbers, names = self._all.unique()
        self._tree = RotatedTree(self._written(numbers, names))
        self._levels = _Buckets(names)

    def _written(self, numbers: np.ndarray, names: np.ndarray) -> np.ndarray:
        return np.concatenate([numbers, self._all.corners.written(names)], axis=1)

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        unique = self._all.groups.of[ids]
        order = self._tree.leaf_order(unique)
        lengths, found = self._answer(unique[order], k, np.asarray(ids)[order])
        distances, neighbours = np.empty_like(lengths), np.empty_like(found)
        distances[order], neighbours[order] = lengths, found
        return distances, neighbours

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
        scaled[:, : self._d] = rescaled(scaled[:, : self._d], self._all.scale)
        return self._answer(scaled, k, None)

    def _answer(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        squares = np.empty((len(queries), k))
        found = np.empty((len(queries), k), dtype=np.int64)
        rare = self._all.corners.rare(self._parts(queries)[1])
        some = rare.any(axis=1)
        for which, answer in ((~some, self._plain), (some, self._with_rare)):
            if which.any():
                out = None if selves is None else selves[which]
                squares[which], found[which] = answer(queries[which], k, out)
        return np.sqrt(squares) / self._all.scale, found

    def _plain(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        lengths, found = nearest(
            self, self._all.groups, queries, k, selves, rest=self._all.nearest_of_many
        )
        return lengths**2, found

    def _parts(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._all.parts(queries)

    def candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Propose n unique rows for each query, with the squared reach."""
        if queries.ndim == 1:
            return self._tree.nearest(self._tree.rows(queries), n)
        return self._tree.nearest(self._tree.rotated(self._written(*self._parts(queries))), n)

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows."""
        return self._all.squared(queries, candidates)

    def _with_rare(
        self, queries: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answer queries that have rare levels."""
        m, n_unique = len(queries), self._all.groups.n_unique
        squares, found = np.empty((m, k)), np.empty((m, k), dtype=np.int64)
        codes = self._parts(queries)[1]
        sizes = self._levels.sizes(codes, self._all.corners.rare(codes))
        long = np.flatnonzero(sizes > n_unique)
        if len(long):
            out = None if selves is None else selves[long]
            squares[long], found[long] = self._all.nearest_of_many(queries[long], k, out)
        left, n = np.flatnonzero(sizes <= n_unique), min(n_unique, k + 4)
        while len(left):
            unsure = []
            for part in _runs(left, sizes[left] + n, codes.shape[1]):
                out = None if selves is None else selves[part]
                best, ids, sure = self._asked_twice(queries[part], k, n, out)
                squares[part[sure]], found[part[sure]] = best[sure], ids[sure]
                unsure.append(part[~sure])
            left = np.concatenate(unsure)
            n = min(n_unique, 4 * n)
            if n > _MANY and len(left):
                out = None if selves is None else selves[left]
                squares[left], found[left] = self._all.nearest_of_many(queries[left], k, out)
                break
        return squares, found

    def _asked_twice(
        self, queries: np.ndarray, k: int, n: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ask the tree from the middle and the lists; tell which answers are sure."""
        groups, m = self._all.groups, len(queries)
        numbers, codes = self._parts(queries)
        rare = self._all.corners.rare(codes)
        names, lacking = self._all.corners.centred(codes, rare)
        middle = np.concatenate([numbers, names], axis=1)
        near, reach = self._tree.nearest(self._tree.rotated(middle), n)
        # Rounding of the sum: a few units in the last place, taken generously.
        reach = (reach + lacking) * (1.0 - 2.0**-48)
        owner, unique = np.repeat(np.arange(m), n), near.reshape(-1)
        squares = self._all.pair_squares(numbers, codes, owner, unique)
        # Only rows that can still be among the k (and the row itself) are worth sorting.
        limit = np.full(m, np.inf)
        if n > k:
            limit = np.partition(squares.reshape(m, n), k, axis=1)[:, k]
        listed, rows = self._levels.rows(codes, rare)
        listed_squares = self._all.pair_squares(numbers, codes, listed, rows)
        keep = listed_squares <= limit[listed]
        twice = (rare[owner] & (codes[owner] == self._levels.codes[unique])).any(axis=1)
        owner = np.concatenate([owner[~twice], listed[keep]])
        order = np.argsort(owner, kind="stable")
        unique = np.concatenate([unique[~twice], rows[keep]])[order]
        squares = np.concatenate([squares[~twice], listed_squares[keep]])[order]
        best, ids = smallest_of_pairs(groups, m, owner[order], unique, squares, k, selves)
        return best, ids, (best[:, -1] < reach) | (n == groups.n_unique)


class _Buckets:
    """The rows of each level of each nominal column.

    Parameters
    ----------
    codes : ndarray of int, shape (u, q)
        The different rows.
    """

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = codes
        self._rows = [np.argsort(c, kind="stable").astype(np.int32) for c in codes.T]
        counts = [np.bincount(c) for c in codes.T]
        self._starts = [np.concatenate([[0], np.cumsum(count)]) for count in counts]

    def _span(self, j: int, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and length of the lists of levels of column j; unknown ones are empty."""
        starts = self._starts[j]
        known = (levels >= 0) & (levels < len(starts) - 1)
        at = np.where(known, levels, 0)
        return starts[at], np.where(known, starts[at + 1] - starts[at], 0)

    def sizes(self, codes: np.ndarray, rare: np.ndarray) -> np.ndarray:
        """Count the rows that have the rare levels of queries; once for each such level."""
        total = np.zeros(len(codes), dtype=np.int64)
        for j in range(codes.shape[1]):
            total += np.where(rare[:, j], self._span(j, codes[:, j])[1], 0)
        return total

    def rows(self, codes: np.ndarray, rare: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs (query, row) that have a rare level in common, each once."""
        pairs = []
        for j in range(codes.shape[1]):
            first, length = self._span(j, codes[:, j])
            length = np.where(rare[:, j], length, 0)
            owner = np.repeat(np.arange(len(codes)), length)
            ends = np.cumsum(length)
            row = self._rows[j][np.arange(len(owner)) + np.repeat(first - (ends - length), length)]
            pairs.append(owner * len(self.codes) + row)
        # Rows that have several rare levels of a query in common are in as many of its lists.
        both = np.sort(np.concatenate(pairs))  # np.unique may hash, which takes much longer
        both = both[np.diff(both, prepend=-1) > 0]
        return np.divmod(both, max(1, len(self.codes)))


def _runs(which: np.ndarray, sizes: np.ndarray, n_columns: int) -> list[np.ndarray]:
    """Cut queries into runs of a bounded number of codes (and a single one that has more)."""
    run = (np.cumsum(sizes) - 1) // min(_PAIRS, max(1, SEARCH_CELLS // max(1, n_columns)))
    return np.split(which, np.flatnonzero(np.diff(run)) + 1)
