"""Exact neighbours of all rows of a class where neither it nor its queries fit into a worker.

::

    sample ---cut---> cells: medians of the widest axis     .  .  |. .:
                      cells of about equal numbers          . : --+-- .    . row    : two rows
                                                             .    | :.
    partition --spread-->  the cell of each row; the tight box of its rows in each cell
    cell      --home---->  the k nearest of the cell's own rows; the balls that they are in
              --meets--->  the other cells whose boxes these balls meet     +-----+  ( q )   met
                                                                            |    (|  . )
    cell      --inside-->  rows in the balls of query rows of other cells   +-----+
    owner     --merge--->  home and answers: k least (square, row number)

No step depends on how rows are cut into partitions or cells, so the result is that of one index
over all rows, to the bit. What decides is the square of a distance and, where squares are equal,
the row number: square roots of different squares may be equal, so squares travel. Squares are those
of rows in the *unit* of their class: all rows are multiplied by the same power of two (see
:func:`dsmote.neighbors.exact.scale_power`, of the largest value of the class), and distances
divided by it at the end. In every cell, rows are in order of their row numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.exact import Found, Search, group_equal_rows, scale_power, squared_pairs
from dsmote.neighbors.tree import TreeSearch, principal_axes

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # query, row, and the square of its distance

_EPS = float(np.finfo(np.float64).eps)
_TINY = 1e-150  # distances below it lose digits, because their squares underflow
_FAR = 1e150  # distances beyond it overflow when they are squared
_BATCH = 1 << 12  # rows whose balls are tested at once: near ones, so few boxes are in question
_AXES = 16  # directions at most: boxes in fewer are met more often, never too seldom
_SLICE = 1 << 16  # rows that are rotated at once
_RADII = 8  # groups of about the same radius, of each of which the tree takes the largest
_ASKED = 1 << 15  # query rows that a cell looks at at once
_LEAST = 512  # query rows of such a group
_SEEN_ROWS = 1 << 10  # rows that tell in which directions levels spread, of so many values at most
_VALUES = 1 << 22
_BLOCK = 64  # rows compared with each other at least, to know that k are near
_BLOCKS = 1 << 4  # at once: they stay in the processor's cache
_FEW = 512  # rows of a group whose index is made again: of many groups all would be large
# Of the estimate of forwards:
_SEEN = 32  # sampled rows of a cell that tell its shape
_AROUND = 8  # neighbours that are looked at, for each of k, since cuts leave some out
_WINDOW = 64  # rows that tell the dimension near them
_FEW_ASK = 1 << 10  # rows that ask; all of them, unless they send enough
_ENOUGH = 1000  # forwards, which tell their number to some 3 %
_OUTER = 8  # outermost rows that tell how far a box goes on
_INVERSE = 16.0  # of the least dimension: a higher one is of rows that differ by next to nothing
_STEEPEST = 2.0  # growth by a level: of 1 other cell, all are met, and then all of 3
_DECAY = 0.85  # of the growth by a level, as it was in 2 to 10 independent features


@dataclass(frozen=True)
class Cutting:
    """Principal axes, and a heap of cuts across them: node i is cut into 2 i and 2 i + 1.

    Rows whose coordinate on `axis` is less than `value` go to the left. Node 0 is not used, and the
    nodes of the last level are the cells.
    """

    centre: np.ndarray
    axes: np.ndarray  # shape (d, a): orthonormal columns
    axis: np.ndarray  # int, shape (n_cells,)
    value: np.ndarray  # float64, shape (n_cells,)

    @property
    def n_cells(self) -> int:
        """The number of cells, a power of two; some may be empty."""
        return len(self.axis)

    def assign(self, points: np.ndarray) -> np.ndarray:
        """Return the cell of each row."""
        return np.concatenate([np.empty(0, np.int64), *(c for c, _ in self._placed(points))])

    def _placed(self, points: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield cells and rotated rows, a slice at a time: rotate, then down the heap by levels."""
        for start in range(0, len(points), _SLICE):
            rotated = (points[start : start + _SLICE] - self.centre) @ self.axes
            node, rows = np.ones(len(rotated), dtype=np.int64), np.arange(len(rotated))
            for _ in range(self.n_cells.bit_length() - 1):
                right = rotated[rows, self.axis[node]] >= self.value[node]
                node = 2 * node + right
            yield node - self.n_cells, rotated

    def spread(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cell of each row, and low and high ends of each cell's box of these rows.

        Ends have the shape (n_cells, a), and those of empty cells are inf and -inf: the box of
        several partitions has the least low and the largest high ends.
        """
        shape, cells = (self.n_cells, self.axes.shape[1]), [np.empty(0, dtype=np.int64)]
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        for cell, rotated in self._placed(points):
            cells.append(cell)
            order = np.argsort(cell, kind="stable")
            first = np.flatnonzero(np.diff(cell[order], prepend=-1))
            here, rows = cell[order[first]], rotated[order]
            low[here] = np.minimum(low[here], np.minimum.reduceat(rows, first))
            high[here] = np.maximum(high[here], np.maximum.reduceat(rows, first))
        return np.concatenate(cells), low, high


def cut(sample: np.ndarray, depth: int) -> Cutting:
    """Cut sampled rows, in the unit of their class, into 2^depth cells."""
    n, width = sample.shape
    centre = sample.mean(axis=0) if n else np.zeros(width)
    centred = sample - centre
    axes = principal_axes(centred)[1] if n and width else np.eye(width)
    axes = np.ascontiguousarray(axes[:, :_AXES])
    rotated = centred @ axes
    axis, value = np.zeros(1 << depth, dtype=np.int64), np.zeros(1 << depth)
    rows_of = {1: np.arange(n)}
    for node in range(1, 1 << depth if axes.size else 0):
        rows = rows_of.pop(node)
        if len(rows):
            points = rotated[rows]
            axis[node] = points.std(axis=0).argmax()
            value[node] = _middle(points[:, axis[node]])
        left = rotated[rows, axis[node]] < value[node]
        rows_of[2 * node], rows_of[2 * node + 1] = rows[left], rows[~left]
    return Cutting(centre, axes, axis, value)


def _middle(values: np.ndarray) -> float:
    """Return the value that cuts values into halves; where many are the median, beside these."""
    middle = float(np.median(values))
    above = values[values > middle]
    if not len(above) or 2 * (values < middle).sum() >= len(above):
        return middle
    # Fewer than half of the rest lie below: the median goes to the left, with them.
    return float(above.min())


def _error(width: int) -> float:
    return 8.0 * (width + 4) ** 1.5 * _EPS


def meets(
    cutting: Cutting,
    points: np.ndarray,
    squares: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    slack: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (query, cell): cells that may hold a row no further than a query's square.

    A box from inf to -inf is never met. Points may be further from each other than the rows that
    they stand for, by the slack. It is quickest where queries that follow each other are near.
    """
    # A rotated row is a dot product of length d with axes that are orthonormal up to rounding, so
    # it is off by at most E |row - centre|, and |row - centre| <= |query - centre| + radius: a row
    # in the ball is no further than  radius + E (2 |query - centre| + radius)  when both are
    # rotated. E is a multiple of what these sums of d terms round, and leaves enough for the
    # rounding of the square, of its root, and of the sum of the gaps.
    error = _error(len(cutting.centre))
    there = np.flatnonzero((low <= high).all(axis=1))
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for start in range(0, len(points), _BATCH):
        centred = points[start : start + _BATCH] - cutting.centre
        rotated = centred @ cutting.axes
        reach = np.sqrt(squares[start : start + _BATCH]) + slack
        reach += 2.0 * error * np.sqrt(np.einsum("ij,ij->i", centred, centred))
        reach = (reach * (1.0 + 2.0 * error) + _TINY) ** 2
        # First the boxes that the box of all these queries may meet.
        least, most = rotated.min(axis=0), rotated.max(axis=0)
        between = np.maximum(np.maximum(low[there] - most, least - high[there]), 0.0)
        near = there[(between * between).sum(axis=1) <= reach.max()]
        query, box = np.nonzero(_gaps(rotated, low[near], high[near]) <= reach[:, None])
        pairs.append(np.stack([query + start, near[box]]))
    query, cell = np.concatenate(pairs, axis=1)
    return query, cell


def _gaps(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return squared distances from points to boxes, shape (points, boxes)."""
    # Arrays are taken once: where allocators give memory back, new ones take longer than sums.
    total, gap, above = np.zeros((3, len(points), len(low)))
    for values, least, most in zip(points.T[:, :, None], low.T, high.T, strict=True):
        np.subtract(least, values, out=gap)
        np.subtract(values, most, out=above)
        np.maximum(gap, above, out=gap)
        np.maximum(gap, 0.0, out=gap)
        gap *= gap
        total += gap
    return total


def bounds(matrix: np.ndarray, k: int) -> np.ndarray:
    """Return squares of distances within which each row has k others, shape (m,).

    They are the lower the nearer rows are that follow each other; inf where there are too few.
    """
    n, width = matrix.shape
    block = max(_BLOCK, 2 * k + 2)
    if n < block:
        return np.full(n, np.inf)
    found, own = np.empty(n), np.arange(block)
    held = np.empty((_BLOCKS, block, block))  # taken once, as in `_gaps`
    starts = np.minimum(np.arange(-(-n // block)) * block, n - block)
    for start in range(0, len(starts), _BLOCKS):
        at = starts[start : start + _BLOCKS, None] + own
        points, squares = matrix[at], held[: len(at)]
        points -= points.mean(axis=1, keepdims=True)
        norms = np.einsum("ijk,ijk->ij", points, points)
        np.matmul(points, points.transpose(0, 2, 1), out=squares)
        squares *= -2.0
        squares += norms[:, :, None]
        squares += norms[:, None, :]
        squares[:, own, own] = np.inf
        squares.partition(k - 1, axis=2)
        # Sums of d terms, none larger than the largest norm, and a centre that is rounded.
        slack = 16.0 * (width + 4) * _EPS * norms.max(axis=1, keepdims=True) + _TINY**2
        found[at] = squares[:, :, k - 1] + slack
    return found


class Cell:
    """The rows of a cell in order of their numbers, in the unit of their class, and their index.

    `build` indexes rows, codes and the weight of a category, exactly.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        weight: float,
        build: Callable[[np.ndarray, np.ndarray, float], Any],
    ) -> None:
        self.n_rows = len(matrix)
        self._given, self._build = (matrix, codes, weight), build

    @cached_property
    def search(self) -> Search:
        """The index over the rows. A last one may be added, which is to be ignored."""
        matrix, codes, weight = self._given
        # The same of rows that differ in nothing but values so close to 0: a few tell, mostly.
        near_zero = self.n_rows > 0 and all(
            scale_power(np.ptp(some, axis=0)) > 1.0 for some in (matrix[:_FEW], matrix)
        )
        if scale_power(matrix, weight) != 1.0 or near_zero:
            # Rows so close to 0 would be searched in a unit of their own, in which squares do not
            # underflow that do in that of the class. A row at 1 and of other levels, which is far
            # from all of them, keeps it.
            matrix = np.append(matrix, np.ones((1, matrix.shape[1])), axis=0)
            codes = np.append(codes, codes.max(axis=0, initial=0, keepdims=True) + 1, axis=0)
        built = self._build(matrix, codes, weight)
        # Few rows may be compared directly, which does not tell squares.
        return built if isinstance(built, Search) else BruteSearch(matrix, codes, weight)

    @cached_property
    def order(self) -> np.ndarray:
        """The order of the rows in which near ones follow each other."""
        if self.n_rows < 2:
            return np.arange(self.n_rows)
        return self.search._order(self.search.groups.of[: self.n_rows])

    def home(self, asking: np.ndarray, k: int, eps: float = 0.0) -> Found:
        """Return squares and places of the k nearest other rows of rows, given by their places.

        Where the cell has fewer, they are inf and -1. It is quickest in the order of `order`. With
        `eps` rows up to 1 + eps times as far may be found, sooner, where there is a tree.
        """
        squares = np.full((len(asking), k), np.inf)
        found = np.full((len(asking), k), -1, dtype=np.int64)
        some = min(k, self.n_rows - 1)
        if some > 0 and len(asking):
            search = self.search
            if eps and type(search) is TreeSearch:
                search = search.sloppy(eps)
            answer = search.nearest(search.groups.of[asking], some, asking)
            squares[:, :some], found[:, :some] = answer
        return squares, found

    def bounds(self, asking: np.ndarray, k: int) -> np.ndarray:
        """Return squares within which each row has k others of these, in an order of near ones."""
        matrix, codes, _ = self._given
        if codes.shape[1]:
            return np.full(len(asking), np.inf)
        return bounds(matrix[asking], k)

    def may_reach(self, points: np.ndarray, square: float) -> np.ndarray:
        """Tell which rows of others may be no further than that from any of this cell."""
        search: Any = self.search
        if type(search) is not TreeSearch or not np.isfinite(square):
            return np.ones(len(points), dtype=bool)
        return np.asarray(search._tree.may_reach(points, float(np.sqrt(square))))

    def inside(self, points: np.ndarray, squares: np.ndarray, k: int) -> Pairs:
        """Return (query, place, square) of rows that may be among a query's k nearest of the class.

        They are those of the k nearest in the cell that are no further than the query's square.
        Rows of other cells are the queries; codes follow their numbers.
        """
        way, k = self._bounded if self._has_balls else self._compared, min(k, self.n_rows)
        parts: list[Pairs] = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        for start in range(0, len(points), _ASKED):
            some = slice(start, start + _ASKED)
            query, place, square = way(points[some], squares[some], k)
            parts.append((query + start, place, square))
        return _joined(parts)

    def alone(self, points: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """Tell of queries that no row is as near as their square; of some it may not be told."""
        if not self.n_rows:
            return np.ones(len(points), dtype=bool)
        if not self._has_balls:
            touched = self.inside(points, squares, 1)[0]
            return np.bincount(touched, minlength=len(points)) == 0
        parts = [np.empty(0, dtype=bool)]
        for start in range(0, len(points), _ASKED):
            some = slice(start, start + _ASKED)
            distances, _, bound, _ = self._balls(points[some], squares[some], 1)
            parts.append(distances[:, 0] > bound)
        return np.concatenate(parts)

    @property
    def _has_balls(self) -> bool:
        # A row that was added would count as one of those asked for.
        return type(self.search) is TreeSearch and self.search.n_rows == self.n_rows

    def _compared(self, points: np.ndarray, squares: np.ndarray, k: int) -> Pairs:
        search, more = self.search, self.search.n_rows - self.n_rows
        best, found = search.nearest(search.scaled(points), k + more, np.full(len(points), -1))
        query, at = np.nonzero((best <= squares[:, None]) & (found < self.n_rows))
        return query, found[query, at], best[query, at]

    def _balls(self, points: np.ndarray, squares: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
        """Return what the tree finds of n rows in balls: distances, rows; bounds, points' norms.

        In the tree's axes no row of a ball is further than its bound.
        """
        search: Any = self.search
        tree = search._tree
        rotated = tree.rotated(points)
        norms = np.sqrt(np.einsum("ij,ij->i", rotated, rotated)) + tree._left_out
        rotated = rotated[:, :-1]
        # As in `meets`, with the axes of the tree.
        bound = (np.sqrt(squares) + 2.0 * tree._error * norms) * (1.0 + 2.0 * tree._error) + _TINY
        distances = np.empty((len(points), n))
        found = np.empty((len(points), n), dtype=np.int64)
        # The tree takes one bound for all that it is asked at once.
        n_parts = max(1, min(_RADII, len(points) // _LEAST))
        for part in np.array_split(np.argsort(bound, kind="stable"), n_parts):
            part.sort()  # queries come in an order in which near ones follow each other
            largest = np.nextafter(bound[part].max(), np.inf)
            answer = tree._tree.query(rotated[part], k=n, distance_upper_bound=largest)
            distances[part], found[part] = (each.reshape(-1, n) for each in answer)
        return distances, found, bound, norms

    def _bounded(self, points: np.ndarray, squares: np.ndarray, k: int) -> Pairs:
        """Ask the tree for no more than the balls, and one row more to know what is missed."""
        search: Any = self.search
        tree, groups = search._tree, search.groups
        distances, found, bound, norms = self._balls(points, squares, k + 1)
        near = (distances <= bound[:, None]) & (found < groups.n_unique)
        query, at = np.nonzero(near)
        unique = found[query, at]
        unique = unique if tree._ids is None else tree._ids[unique]
        exact = squared_pairs(search._rows, groups.first[unique], points, query)
        # Where k + 1 were found there may be more; not among the k nearest, if the k-th is nearer
        # than any of them. And rows that are equal have to be expanded.
        full = np.flatnonzero(near[:, -1])
        last = distances[full, -1]
        reach = np.maximum(last - tree._error * (2.0 * norms[full] + last) - _TINY, 0.0) ** 2
        table = np.full(near.shape, np.inf)
        table[query, at] = exact
        kth = np.partition(table[full], k - 1, axis=1)[:, k - 1]
        redo = np.zeros(len(points), dtype=bool)
        redo[full[kth >= reach * (1.0 - 4.0 * _EPS)]] = True
        redo[query[groups.several[unique]]] = True
        keep = (exact <= squares[query]) & ~redo[query]
        pairs = query[keep], groups.first[unique[keep]], exact[keep]
        again = np.flatnonzero(redo)
        if not len(again):
            return pairs
        query, place, exact = self._compared(points[again], squares[again], k)
        return _joined([pairs, (again[query], place, exact)])


class GroupedCell:
    """The rows of a cell of which neighbours are in the own group only: a `Cell` for each group.

    `build` makes that of some of the rows, of one group, given by their places in order.
    """

    def __init__(self, groups: np.ndarray, build: Callable[[np.ndarray], Cell]) -> None:
        self._groups, self._build = groups, build
        self._members = {int(groups[some[0]]): some for some in _runs(groups)}
        self._place = np.empty(len(groups), dtype=np.int64)
        for members in self._members.values():
            self._place[members] = np.arange(len(members))
        self._cells: dict[int, Cell] = {}

    def _cell(self, group: int) -> Cell:
        members = self._members[group]
        if len(members) < _FEW:
            return self._build(members)
        if group not in self._cells:
            self._cells[group] = self._build(members)
        return self._cells[group]

    @property
    def order(self) -> np.ndarray:
        """The order of the rows in which near ones follow each other."""
        parts = [np.empty(0, dtype=np.int64)]
        for group, members in self._members.items():
            few = len(members) < _FEW
            parts.append(members if few else members[self._cell(group).order])
        return np.concatenate(parts)

    def home(self, asking: np.ndarray, k: int, eps: float = 0.0) -> Found:
        """Return the same as `Cell.home`, of rows of the own group."""
        squares = np.full((len(asking), k), np.inf)
        found = np.full((len(asking), k), -1, dtype=np.int64)
        for some in _runs(self._groups[asking]):
            group = int(self._groups[asking[some[0]]])
            squares[some], near = self._cell(group).home(self._place[asking[some]], k, eps)
            found[some] = np.where(near < 0, -1, self._members[group][near])
        return squares, found

    def bounds(self, asking: np.ndarray, k: int) -> np.ndarray:
        """Return the same as `Cell.bounds`, of rows of the own group."""
        squares = np.full(len(asking), np.inf)
        for some in _runs(self._groups[asking]):
            group = int(self._groups[asking[some[0]]])
            squares[some] = self._cell(group).bounds(self._place[asking[some]], k)
        return squares

    def may_reach(self, points: np.ndarray, square: float) -> np.ndarray:
        """Tell of all rows of others that they may be near some."""
        return np.ones(len(points), dtype=bool)

    def alone(self, points: np.ndarray, squares: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return the same as `Cell.alone`, of rows of the queries' groups."""
        told = np.ones(len(points), dtype=bool)
        for some in _runs(groups):
            group = int(groups[some[0]])
            if group in self._members:
                told[some] = self._cell(group).alone(points[some], squares[some])
        return told

    def inside(self, points: np.ndarray, squares: np.ndarray, k: int, groups: np.ndarray) -> Pairs:
        """Return the same as `Cell.inside`, of rows of the queries' groups."""
        parts: list[Pairs] = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        for some in _runs(groups):
            group = int(groups[some[0]])
            if group in self._members:
                query, place, square = self._cell(group).inside(points[some], squares[some], k)
                parts.append((some[query], self._members[group][place], square))
        return _joined(parts)


def _runs(values: np.ndarray) -> list[np.ndarray]:
    """Return the places, ascending, of each different value."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order])) + 1
    return np.split(order, starts) if len(order) else []


def _joined(parts: list[Pairs]) -> Pairs:
    query, place, square = (np.concatenate(part) for part in zip(*parts, strict=True))
    return query, place, square


def merge(
    squares: np.ndarray, ids: np.ndarray, query: np.ndarray, more: np.ndarray, exact: np.ndarray
) -> Found:
    """Merge what was found at home, shape (m, k), with answers: pairs (query, row) and squares.

    Rows are those of the class by number: of equally near ones the lower comes first. It is done
    in place: there may be many answers to a few rows of many.
    """
    k = ids.shape[1]
    some = np.flatnonzero(np.bincount(query, minlength=len(ids)))
    owner = np.concatenate([np.repeat(some, k), query])
    all_squares = np.concatenate([squares[some].reshape(-1), exact])
    all_ids = np.concatenate([ids[some].reshape(-1), more])
    order = np.lexsort((all_ids, all_squares, owner))
    best = order[np.searchsorted(owner[order], some)[:, None] + np.arange(k)]
    squares[some], ids[some] = all_squares[best], all_ids[best]
    return squares, ids


def representatives(matrix: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """Return for each row of a partition the place of the row whose neighbours are its own.

    That is itself, but for rows that have k + 1 equal ones before them: these are nobody's
    neighbours and need not be searched.
    """
    # A row's equal ones are its nearest, by number. The first k of them in the class are before
    # the last of k + 1 in the partition, so they are the neighbours of that one and of all after.
    groups = group_equal_rows(matrix, codes)
    place = np.minimum(groups.within, k)
    return groups.members[groups.starts[groups.of] + place]


@dataclass(frozen=True)
class Levels:
    """The levels of categorical columns as points, where rows are compared by their classes.

    The point of a row is the sum of those of its levels. Distances of points exceed those of the
    value difference metric by no more than `slack`: see :mod:`dsmote.neighbors.categorical` for
    why.
    """

    tables: tuple[np.ndarray, ...]  # P(class | level) of each column
    places: tuple[np.ndarray, ...]  # float64, shape (levels, a): the points of its levels
    first: tuple[np.ndarray, ...]  # the first level of which classes are spread as of a level
    slack: float

    def points(self, codes: np.ndarray) -> np.ndarray:
        """Return the points of rows."""
        points = np.zeros((len(codes), self.places[0].shape[1]))
        for place, column in zip(self.places, codes.T, strict=True):
            points += place[column]
        return points

    def named(self, codes: np.ndarray) -> np.ndarray:
        """Return codes in which levels are the same that no distance tells apart."""
        named = np.empty_like(codes)
        for j, (first, column) in enumerate(zip(self.first, codes.T, strict=True)):
            named[:, j] = first[column]
        return named


def level_places(tables: Sequence[np.ndarray], sample: np.ndarray) -> Levels:
    """Place levels along the directions in which sampled rows of codes spread."""
    q, n_classes = len(tables), tables[0].shape[1]
    # Let v be the difference of two levels' probabilities. Its sum is 0, so its positive and its
    # negative parts add up to |v|_1 / 2 each, and |v|_2^2 <= |v|_1^2 / 2: points of sqrt(2) p are
    # no further apart than the levels. Squares of both are added up over columns. Where the sum is
    # not quite 0, by rounding or of levels without rows, there is slack; less without the mean.
    points = [np.sqrt(2.0) * (table - table.mean(axis=1, keepdims=True)) for table in tables]
    width = q * n_classes
    axes = np.eye(width, min(width, _AXES if len(sample) else 1))
    if width > _AXES and len(sample):
        # What is left out only makes the bound weaker.
        most = max(2, min(_SEEN_ROWS, _VALUES // width))
        some = sample[:: -(-len(sample) // most)]
        written = [place[column] for place, column in zip(points, some.T, strict=True)]
        rows = np.concatenate(written, axis=1)
        axes = principal_axes(rows - rows.mean(axis=0))[1][:, :_AXES]
    places = [place @ share for place, share in zip(points, np.split(axes, q), strict=True)]
    sums = [np.ptp(table.sum(axis=1)) + 4 * n_classes * _EPS for table in tables]
    short = max(0.0, 1.0 - 2.0 / n_classes) ** 0.5 * float(np.linalg.norm(sums))
    error = 64.0 * ((n_classes + 1) * q + 4) ** 1.5 * q**0.5 * _EPS
    groups = [group_equal_rows(table, np.empty((len(table), 0), np.int32)) for table in tables]
    first = tuple(of.first[of.of].astype(np.int32) for of in groups)
    return Levels(tuple(tables), tuple(places), first, short + error)


@dataclass(frozen=True)
class Forwards:
    """To how many other cells a query goes on, about.

    `least` and `most` are what it would be if rows spread near each other in half a dimension less
    or more than `dimension`.
    """

    best: float
    least: float
    most: float
    dimension: float


def estimate_forwards(
    sample: np.ndarray, cutting: Cutting, n_rows: float, k: int, share: float
) -> Forwards:
    """Estimate to how many other cells a query goes on, in a class of `n_rows` rows.

    The sample, in the unit of the class, holds that share of its different rows, each as often as
    the class does.

    What lies around a sampled row is taken for a picture of what lies around it in the class, seen
    from afar: there, as many rows lie nearer by a factor that the share and the dimension in which
    rows spread near it tell. Of these, those that the cuts leave in its cell make its ball.
    """
    rows, counts = np.unique(sample, axis=0, return_counts=True)
    m, n_cells = len(rows), cutting.n_cells
    if m <= 2 * k or n_cells == 1:
        every = float(n_cells - 1)
        return Forwards(every, every, every, float(max(1, rows.shape[1])))
    known = max(1, (m // _SEEN).bit_length() - 1)
    if share < 1.0 and n_cells > 1 << known:
        return _of_more_cells(sample, cutting, n_rows, k, share, known)
    rotated = (rows - cutting.centre) @ cutting.axes
    width = rotated.shape[1]
    turned = replace(cutting, centre=np.zeros(width), axes=np.eye(width))
    cell = turned.assign(rotated)
    low, high = _grown_boxes(rotated, cell, cutting, max(1.0, 1.0 / share))
    search = TreeSearch(rows)
    # Where few queries go on, all sampled rows ask.
    for step in sorted({max(1, m // _FEW_ASK), 1}, reverse=True):
        asked = np.arange(0, m, step)
        asked = asked[search._order(asked)]  # near ones follow each other
        distances, ids = search.query(asked, min(_AROUND * k, m - 1))
        near, far = distances[:, k - 1], distances[:, 2 * k - 1]
        # Of rows that lie evenly around in D dimensions, the expected logarithm is this sum over D.
        # Where even the further are at no distance that float64 holds, they tell nothing.
        tells, least = far > 0.0, np.finfo(np.float64).tiny
        growth = np.log(np.maximum(far, least)) - np.log(np.maximum(near, least))
        growth = np.minimum(growth / (1.0 / np.arange(k, 2 * k)).sum(), _INVERSE)
        window = np.ones(min(_WINDOW, len(asked)))
        inverse = np.convolve(growth, window, "same")
        inverse /= np.maximum(np.convolve(tells, window, "same"), 1.0)
        points, own, weight = rotated[asked], cell[asked], counts[asked]
        factor = (share**inverse)[:, None]
        there = np.empty(ids.shape, dtype=np.int64)
        for j, place in enumerate(ids.T):
            inside = turned.assign(points + factor * (rotated[place] - points)) == own
            there[:, j] = np.where(inside, counts[place], 0)
        found = np.cumsum(there, axis=1)
        # Equal rows are found before any others: a row that has k of them has no ball.
        wanted = np.maximum(k + 1 - weight, 0)
        last = np.minimum((found < wanted[:, None]).sum(axis=1), ids.shape[1] - 1)
        # Where more would be needed, as many as are missing lie further away.
        lacking = np.maximum(wanted / np.maximum(found[:, -1], 0.5), 1.0)
        kth = distances[np.arange(len(asked)), last] * (wanted > 0)
        estimates = []
        for more in (-0.5, 0.5, 0.0):
            changed = inverse / np.maximum(1.0 + more * inverse, 0.5)
            radius = np.minimum(kth * (lacking * share) ** changed, _FAR)
            query, box = meets(cutting, rows[asked], radius**2, low, high)
            met = weight[query[box != own[query]]].sum() * m / len(asked)
            estimates.append(float(min(n_cells - 1, met / (share * n_rows))))
        if len(query) - len(asked) >= _ENOUGH:
            break
    dimension = 1.0 / max(float(inverse.mean()), 1e-3)
    return Forwards(estimates[-1], min(estimates), max(estimates), dimension)


def _of_more_cells(
    sample: np.ndarray, cutting: Cutting, n_rows: float, k: int, share: float, known: int
) -> Forwards:
    """Estimate forwards in more cells than a sample can fill, from fewer of the same size."""
    levels, found = cutting.n_cells.bit_length() - 1, []
    for depth in (max(1, known - 1), known):
        some = replace(cutting, axis=cutting.axis[: 1 << depth], value=cutting.value[: 1 << depth])
        part = 0.5 ** (levels - depth)
        found.append(estimate_forwards(sample, some, n_rows * part, k, share / part))
    # With each level cells have more neighbours, by less and less.
    growth = min(max(found[1].best / max(found[0].best, _TINY) - 1.0, 0.0), _STEEPEST)
    times = float(np.prod(1.0 + growth * _DECAY ** np.arange(1, levels - known + 1)))
    best, least, most = (
        min(times * value, cutting.n_cells - 1.0)
        for value in (found[1].best, found[1].least, found[1].most)
    )
    return Forwards(best, least, most, found[1].dimension)


def _grown_boxes(
    rotated: np.ndarray, cell: np.ndarray, cutting: Cutting, times: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of cells' boxes in a class that has so many times the rows of a sample.

    They lie beyond those of the sample, and no further than the cuts. Beyond its outermost values
    it is taken to thin out as an exponential distribution, whose mean these tell.
    """
    ends = []
    order = np.argsort(cell, kind="stable")
    bounds = np.searchsorted(cell[order], np.arange(cutting.n_cells + 1))
    for sign, cuts in zip((1.0, -1.0), _cut_ends(cutting), strict=True):
        end = np.full(cuts.shape, np.inf)
        for c, (start, stop) in enumerate(pairwise(bounds)):
            values = np.sort(sign * rotated[order[start:stop]], axis=0)[: _OUTER + 1]
            if len(values):
                mean = (values[-1] - values).sum(axis=0) / max(1, len(values) - 1)
                beyond = np.maximum(values[0] - mean * np.log(times), sign * cuts[c])
                end[c] = np.minimum(values[0], beyond)
        ends.append(sign * end)
    return ends[0], ends[1]


def _cut_ends(cutting: Cutting) -> tuple[np.ndarray, np.ndarray]:
    """Return where the cuts end the cells, shape (n_cells, a); inf where there is none."""
    n, width = cutting.n_cells, cutting.axes.shape[1]
    low, high = np.full((2 * n, width), -np.inf), np.full((2 * n, width), np.inf)
    for node in range(1, n):
        at, value = cutting.axis[node], cutting.value[node]
        for child in (2 * node, 2 * node + 1):
            low[child], high[child] = low[node], high[node]
        high[2 * node, at] = low[2 * node + 1, at] = value
    return low[n:], high[n:]
