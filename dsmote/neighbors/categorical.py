"""Exact neighbours of rows with categorical features.

**Mixed rows, by SMOTENC's metric.** Levels are written as corners of a simplex, of which a column's
rare levels share one (see :class:`dsmote.neighbors.brute.Corners`), and a kd-tree is built over
numbers and corners. Its distances are true for a row without rare levels. A row with rare levels
queries twice::

    rows of the same rare level       a list for each level, measured one by one
    all other rows                    the tree, queried from the middle of the simplex: true but for
                                      a term that is the same for all of them

So levels may be two or ten thousand: the more there are, the shorter the lists. Queries that need
many candidates all the same, or whose lists together are longer than all rows, go to brute force.

**Categories only, by SMOTEN's value difference metric.** Two levels of a categorical feature are
near when the classes are spread over them alike (Stanfill and Waltz 1986; Chawla et al. 2002,
section 6.2), and rows are compared column by column::

    P(class | level)    sick  healthy               squared distance of rows a and b
        north            0.9   0.1
        south            0.8   0.2       sum over columns ( sum over classes |P(c|a) - P(c|b)| )^2
        east             0.1   0.9
                                              north - south: (0.1 + 0.1)^2 = 0.04
                                              north - east:  (0.8 + 0.8)^2 = 2.56

Levels with equal probabilities are one level, and rows of equal levels one row. There are two ways
to the nearest rows, and both end in the same squares, added up in the same order::

    tree    each level is a point: its probabilities less their mean, times the square root of 2.
            Euclidean distance of points is never more than the true one (for two classes it is
            equal), so a kd-tree proposes rows, and says what it cannot have missed.

    brute   block of queries        row of the index
            squares of all levels        |
            column 1   [ . . . . ] <-- level of column 1      one table for each column, made for
            column 2   [ . . . . ] <-- level of column 2      the block: a pair of rows costs one
              ...          +               ...                look-up and one addition a column,
                        squares                               however many classes there are

Why the bound holds: let v be the difference of two levels' probabilities, p the sum of its positive
parts, n that of its negative ones. Then |v|_1 = p + n, |v|_2^2 <= p^2 + n^2 and the sum of v is
s = p - n, so 2 |v|_2^2 <= |v|_1^2 + s^2. Taking the mean away takes s^2 / C from |v|_2^2, and
leaves  2 |v - s/C|_2^2 <= |v|_1^2 + (1 - 2/C) s^2.  Among levels that occur s is 0 but for
rounding; a level that never occurred has probabilities 0 and thus s = 1, which is allowed for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from dsmote.neighbors.exact import (
    Found,
    Least,
    Search,
    group_equal_rows,
    in_blocks,
    smallest_of_pairs,
)
from dsmote.neighbors.tree import RotatedTree, TreeSearch, intrinsic_dimension
from dsmote.plan.memory import SEARCH_CELLS

_PAIRS = 1 << 18  # pairs of queries and rows of their levels that are looked at at once, at most


class MixedSearch(TreeSearch):
    """Exact neighbours of rows of numbers and categories; a differing category counts `weight`."""

    engine = "mixed tree"
    lays_out = True

    def __init__(self, matrix: np.ndarray, codes: np.ndarray, weight: float) -> None:
        super().__init__(matrix, 0.0, codes, weight)
        self._levels = _Buckets(codes[self.groups.first])

    def nearest(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        """Answer queries without rare levels, those with some, and those with long lists."""
        squares, found = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        codes = self.parts(queries)[1]
        rare = self.corners.rare(codes)
        sizes, some = self._levels.sizes(codes, rare), rare.any(axis=1)
        long = sizes > self.groups.n_unique
        ways = (~some, super().nearest), (some & ~long, self._with_rare), (long, self._compared)
        for which, way in ways:
            if which.any():
                squares[which], found[which] = way(queries[which], k, selves[which])
        return squares, found

    def _with_rare(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        """Answer queries that have rare levels."""
        codes = self.parts(queries)[1]
        sizes = self._levels.sizes(codes, self.corners.rare(codes))

        def steps(left: np.ndarray, n: int) -> list[np.ndarray]:
            # As many queries as have a bounded number of codes (and a single one that has more).
            room = min(_PAIRS, max(1, SEARCH_CELLS // max(1, codes.shape[1])))
            step = (np.cumsum(sizes[left] + n) - 1) // room
            return np.split(left, np.flatnonzero(np.diff(step)) + 1)

        return self._widened(self._queried_twice, steps, queries, k, selves, 4)

    def _queried_twice(
        self, queries: np.ndarray, k: int, selves: np.ndarray, n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ask the tree from the middle and the lists; tell which answers are sure."""
        groups, m = self.groups, len(queries)
        numbers, codes = self.parts(queries)
        rare = self.corners.rare(codes)
        corners, lacking = self.corners.centred(codes, rare)
        middle = np.concatenate([numbers, corners], axis=1)
        near, reach = self._tree.nearest(self._tree.rotated(middle), n)
        # Rounding of the sum: a few units in the last place, taken generously.
        reach = (reach + lacking) * (1.0 - 2.0**-48)
        owner, unique = np.repeat(np.arange(m), n), near.reshape(-1)
        squares = self.pair_squares(numbers, codes, owner, unique)
        # Only rows that can still be among the k (and the row itself) are worth sorting.
        limit = np.full(m, np.inf)
        if n > k:
            limit = np.partition(squares.reshape(m, n), k, axis=1)[:, k]
        listed, rows = self._levels.rows(codes, rare)
        listed_squares = self.pair_squares(numbers, codes, listed, rows)
        keep = listed_squares <= limit[listed]
        twice = (rare[owner] & (codes[owner] == self._levels.codes[unique])).any(axis=1)
        owner = np.concatenate([owner[~twice], listed[keep]])
        order = np.argsort(owner, kind="stable")
        unique = np.concatenate([unique[~twice], rows[keep]])[order]
        squares = np.concatenate([squares[~twice], listed_squares[keep]])[order]
        best, ids = smallest_of_pairs(groups, m, owner[order], unique, squares, k, selves)
        return best, ids, (best[:, -1] < reach) | (n == groups.n_unique)


class _Buckets:
    """The rows of each level of each categorical column, among different rows of codes."""

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


_EPS = float(np.finfo(np.float64).eps)
_CELLS = 1 << 21  # values that are made at once, or kept as a table: 16 MiB
_QUERIES = 256  # queries of a block of brute force
_TILE = 512  # rows of the index it looks at at once: with _QUERIES, 1 MiB
_SAMPLE = 1024  # rows that tell in how many directions all spread
_AXES = 16  # directions of the tree: what is left out only makes its bound weaker
_FEW = 256  # different rows up to which a tree is not worth its making


def level_probabilities(counts: np.ndarray) -> np.ndarray:
    """Return P(class | level) from counts of levels (rows) by class; 0 for a level without rows."""
    total = counts.sum(axis=1, keepdims=True)
    return np.asarray(counts / np.where(total > 0, total, 1), dtype=np.float64)


class ValueDifferenceSearch(Search):
    """Exact neighbours of rows of categories by the value difference metric.

    Each column has a table of P(class | level), of shape (levels, C), see
    :func:`level_probabilities`; code -1 is a level not in it, of which every class has probability
    0. The neighbours do not depend on `engine`: "auto" takes the tree where the rows spread in few
    directions. Distances are square roots of what imbalanced-learn's ``ValueDifferenceMetric``
    (k=1, r=2) returns, which leaves the order as it is.

    Examples
    --------
    >>> table = level_probabilities(np.array([[9, 1], [8, 2], [1, 9]]))
    >>> index = ValueDifferenceSearch(np.array([[0], [1], [2], [2]], dtype=np.int32), [table])
    >>> distances, neighbours = index.query(np.array([0, 3]), 2)
    >>> distances.round(6), neighbours
    (array([[0.2, 1.6],
           [0. , 1.4]]), array([[1, 2],
           [2, 1]]))
    """

    def __init__(
        self, matrix_of_codes: np.ndarray, tables: Sequence[np.ndarray], engine: str = "auto"
    ) -> None:
        self.n_rows, q = matrix_of_codes.shape
        self._levels = _Levels(tables, matrix_of_codes)
        named = self._levels.numbers(matrix_of_codes)
        self.groups = group_equal_rows(np.empty((self.n_rows, 0)), named)
        self._codes = named[self.groups.first]
        self._n_terms = (self._levels.n_classes + 1) * q  # additions that may round
        self.width = _AXES
        self._tree = None if engine == "brute" else self._grown(always=engine == "tree")
        self.engine = f"value difference ({'brute' if self._tree is None else 'tree'})"

    def _order(self, unique: np.ndarray) -> np.ndarray:
        return super()._order(unique) if self._tree is None else self._tree.leaf_order(unique)

    def scaled(self, points: np.ndarray) -> np.ndarray:
        """Return points with the index's numbers of levels."""
        return self._levels.numbers(points)

    def nearest(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        """Ask the tree, or compare with all rows."""
        way = self._compared if self._tree is None else super().nearest
        return way(queries, k, selves)

    def _candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        assert self._tree is not None
        own = queries.ndim == 1
        codes = self._codes[queries] if own else queries
        near = self._tree.rows(queries) if own else self._tree.rotated(self._points(codes))
        found, reach = self._tree.nearest(near, n)
        # Points are sums of dot products of numbers no larger than the square root of 2, along
        # axes that are orthonormal up to rounding; taken generously, as the tree does.
        error = 64.0 * (self._n_terms + 4) ** 1.5 * codes.shape[1] ** 0.5 * _EPS
        reach = np.maximum(np.sqrt(reach) - error, 0.0) ** 2 - self._short[codes].sum(axis=1)
        return found, np.maximum(reach, 0.0) * (1.0 - 4.0 * (self._n_terms + 8) * _EPS)

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squares, added up column by column."""
        codes = self._codes[queries] if queries.ndim == 1 else queries
        total = np.zeros(candidates.shape)
        for f, squares in enumerate(self._pairs):
            total += squares(codes[:, f, None], self._codes[candidates, f])
        return total

    def _grown(self, *, always: bool) -> RotatedTree | None:
        """Grow the tree, if the rows spread in few directions."""
        n, q = self._codes.shape
        if n * q == 0 or (n <= _FEW and not always):
            return None
        levels = self._levels
        size = max(2, min(n, _SAMPLE, _CELLS // max(1, self._n_terms)))
        drawn = np.sort(np.random.default_rng(0).permutation(n)[:size])
        sample = levels.points(self._codes[drawn]).reshape(len(drawn), -1)
        if not always and intrinsic_dimension(sample) > _limit(n, levels.n_classes):
            return None
        sample -= sample.mean(axis=0)
        axes = np.linalg.svd(sample, full_matrices=False)[2][:_AXES].T
        # A row's place is the sum of those of its levels: the rows are never written out in full.
        self._places = np.empty((len(levels.column), axes.shape[1]))
        for f, share in enumerate(np.split(axes, q)):
            of = np.flatnonzero(levels.column == f)
            self._places[of] = levels.points(of) @ share
        self._short = levels.shortfall()
        self._pairs = levels.pairs(_CELLS // q)
        return RotatedTree(self._points(self._codes), overwrite=True)

    def _points(self, codes: np.ndarray) -> np.ndarray:
        """Return the points of rows, along the leading directions."""
        points = np.zeros((len(codes), self._places.shape[1]))
        for level in codes.T:
            points += self._places[level]
        return points

    def _compared(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        n_used = self._levels.n_used
        step = max(1, min(_QUERIES, _CELLS // max(1, n_used), _CELLS // (8 * (k + 1))))
        return in_blocks(self._block_compared, queries, k, selves, step)

    def _block_compared(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        levels, m = self._levels, len(queries)
        codes = self._codes[queries] if queries.ndim == 1 else queries
        looked_up = np.empty((levels.n_used, m))
        for start in range(0, levels.n_used, _TILE):
            used = np.arange(start, min(start + _TILE, levels.n_used))
            looked_up[used] = levels.squares(used[:, None], codes.T[levels.column[used]])
        least = Least(m, min(k + 1, self.groups.n_unique))
        space = np.empty((2, _TILE, m))
        for start in range(0, self.groups.n_unique, _TILE):
            rows = self._codes[start : start + _TILE]
            total, term = space[:, : len(rows)]
            total[:] = 0.0
            for level in rows.T:
                # No index is out of bounds; "clip" only spares the copy that "raise" makes.
                np.take(looked_up, level, axis=0, out=term, mode="clip")
                total += term
            least.add(start, total)
        return smallest_of_pairs(self.groups, m, *least.pairs(), k, selves)


def _limit(n: int, n_classes: int) -> float:
    """Return in how many directions n different rows may spread for the tree to be quicker.

    Two classes, 15 to 60 levels a column, k = 5: tree and brute force took equal times at some 13
    directions for 30,000 rows; at 9 for three classes, 8.5 for five, and 6 for 23: the more
    classes, the further the tree's bound may be from the truth.
    """
    limit = 12.0 if n_classes <= 2 else 8.5 - math.log2(n_classes / 3)
    return limit + max(-1.0, math.log10(n / 10_000))


class _Levels:
    """The levels of all columns, numbered so that those of the index come first, by column.

    Levels of a column whose classes are spread equally are one. `column` says which column a level
    belongs to, and the first `n_used` are levels of the index.
    """

    def __init__(self, tables: Sequence[np.ndarray], codes: np.ndarray) -> None:
        self.n_classes = tables[0].shape[1] if len(tables) else 0
        unknown = np.zeros((1, self.n_classes))  # code -1, the last of each column
        table = np.concatenate([part for t in tables for part in (t, unknown)] or [unknown])
        self._sizes = np.array([len(t) + 1 for t in tables], dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        column = np.repeat(np.arange(len(tables)), self._sizes)
        same = group_equal_rows(table[: len(column)], column[:, None])
        unused = np.ones(same.n_unique, dtype=bool)
        unused[same.of[self._rows(codes)]] = False
        order = np.argsort(unused, kind="stable")  # and by column, as they were
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        self._of = rank[same.of]
        self.n_used = len(order) - int(unused.sum())
        self.column = column[same.first[order]]
        self.probabilities = np.empty((self.n_classes, len(order)))
        for of_class, values in zip(self.probabilities, table.T, strict=True):
            of_class[:] = values[same.first[order]]

    def _rows(self, codes: np.ndarray) -> np.ndarray:
        return np.where(codes < 0, codes + self._sizes, codes) + self._starts

    def numbers(self, codes: np.ndarray) -> np.ndarray:
        """Return the numbers of levels; int32 of the shape of codes."""
        return self._of[self._rows(codes)]

    def squares(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return (sum over classes |P(c|a) - P(c|b)|)^2 of levels a and b, arrays that broadcast.

        Classes are added up in order, whichever way, so equal pairs have equal squares.
        """
        total = np.zeros(np.broadcast_shapes(some.shape, others.shape))
        for of_class in self.probabilities:
            difference = of_class[some] - of_class[others]
            total += np.abs(difference, out=difference)
        total *= total
        return total

    def pairs(self, room: int) -> list[Callable[[np.ndarray, np.ndarray], np.ndarray]]:
        """Return `squares` for each column, looked up in a table if it has room for it."""
        place = np.empty(len(self.column), dtype=np.int64)
        found: list[Callable[[np.ndarray, np.ndarray], np.ndarray]] = []
        for f in range(len(self._sizes)):
            levels = np.flatnonzero(self.column == f)
            place[levels] = np.arange(len(levels))
            few = len(levels) ** 2 <= room
            table = self.squares(levels[:, None], levels).reshape(-1) if few else None
            found.append(self.squares if table is None else partial(_looked_up, table, place))
        return found

    def shortfall(self) -> np.ndarray:
        """Return by how much squares of points may exceed true ones, from a level to one used."""
        sums = self.probabilities.sum(axis=0)
        if self.n_classes <= 2:
            return np.zeros(len(sums))
        first = np.flatnonzero(np.diff(self.column[: self.n_used], prepend=-1))
        least, largest = (
            ends.reduceat(sums[: self.n_used], first)[self.column]
            for ends in (np.minimum, np.maximum)
        )
        most = np.maximum(np.abs(sums - least), np.abs(sums - largest))
        return np.asarray((1.0 - 2.0 / self.n_classes) * (most + 4 * self.n_classes * _EPS) ** 2)

    def points(self, levels: np.ndarray) -> np.ndarray:
        """Return levels as points; the last axis is that of the classes."""
        some = self.probabilities[:, levels]
        return np.moveaxis(np.sqrt(2.0) * (some - some.mean(axis=0)), 0, -1)


def _looked_up(
    table: np.ndarray, place: np.ndarray, some: np.ndarray, others: np.ndarray
) -> np.ndarray:
    return table[place[some] * math.isqrt(len(table)) + place[others]]
