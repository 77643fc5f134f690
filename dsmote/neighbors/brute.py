r"""Brute force: every pair is looked at, nearly all of them in float32, and none is lost.

::

    float32 product, all rows  --->  pairs that may count  --->  exact squares, k smallest
            | too many of them (rounding, or ties)
            v
    float64 product, all rows  --->  the same
            | still too many
            v
    differences, column by column, all rows  --->  k smallest as they come

The rows are centred first, because |y|^2 - 2xy cancels badly far from the origin. How far the
products may round is known, so they only leave out what cannot be a neighbour; the squares that
decide are those of :mod:`dsmote.neighbors.exact`.

**Categories as corners.** The metric of SMOTENC is  |numeric difference|^2 + M^2 x (categorical
columns that differ).  Levels that are written as corners of a simplex with edges of length M have
exactly these distances, but a corner for every level would need as many dimensions as there are
levels. So only frequent levels get a corner of their own; a column's rare levels share one::

    column "region", 53 levels                 squared distance as written
        north  o                                  north - south       M^2   (true)
              / \                                 north - east        M^2   (true)
       south o---o  all others: east, west ...    east  - west        0     (true: M^2)

The written distance is never more than the true one, so what is too far by it is too far. And it
is wrong only between two rare levels. A query with a rare level can be written in the *middle* of
the simplex instead, which is equally far from all corners: then what it lacks is the same for all
rows that have another level, and only rows of its own level are written too far.

**The scan.** For the order of a query's rows |y|^2 - 2xy is enough, and a matrix product makes it:
with a column more, [-2x, 1] [y, |y|^2]^T.  It rounds, by no more than  E = g (|x| + |y|)^2  where g
is the unit roundoff times the number of terms (Higham 2002, section 3.1), so each value is an
interval::

    limit T: the k-th smallest upper end so far
                              |
       |---v---|              |             surely among the nearest: kept
                  |---v---|   |             kept
                         |----v----|        may be nearer than T: kept, and decided in float64
                              |  |---v---|  surely further than k others: dropped

    rows of the index, in a random but fixed order
    +---+--------+---------------------------+-------
    |   |        |                           |          T is brought up to date when four times
    +---+--------+---------------------------+-------   as many rows have been seen
      T          T                           T

A tile of values is compared with T in one pass, and nearly nothing passes: what remains is sorted
at the end. A query for which too much is kept (values far from the centre but close together, or
thousands of ties) is handed back, for a scan of higher precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from dsmote.neighbors.exact import (
    Found,
    Groups,
    Least,
    Search,
    group_equal_rows,
    in_blocks,
    no_codes,
    rescaled,
    scale_power,
    smallest_of_pairs,
    squared_distances,
    squared_pairs,
)
from dsmote.plan.memory import SEARCH_CELLS

CORNERS = 24  # levels with a corner of their own, and one more for each column


class Corners:
    """Which levels of codes get a corner, and rows written that way.

    `edge` is M over the square root of two, the place of a corner on its axis; `width` is how many
    numbers are written for a row.
    """

    def __init__(self, codes: np.ndarray, edge: float) -> None:
        self._levels = _frequent_levels(codes)
        self._edge, self._shared = (
            edge,
            np.array([shared for _, shared in self._levels], dtype=bool),
        )
        self.width = sum(len(own) + (shared and len(own) > 0) for own, shared in self._levels)

    def rare(self, codes: np.ndarray) -> np.ndarray:
        """Tell which levels have no corner of their own; bool of shape (m, q)."""
        marks = [~np.isin(codes[:, j], own) for j, (own, _) in enumerate(self._levels)]
        return np.stack(marks, axis=1) if marks else np.zeros(codes.shape, dtype=bool)

    def centred(self, codes: np.ndarray, rare: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Write rows with their rare levels in the middle of the simplex.

        Also returns what their squared distance to every row of another rare level is short of.
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
        return int(np.sum(self._shared | self.rare(codes).any(axis=0)))

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
    """Return, for each column, the levels with a corner of their own, and whether it has more."""
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


TILE = 512  # rows of the index in a tile
BLOCK = 1024  # queries at a time: a tile is 2 MiB of float32
_GROW = 4
_PENDING = 1 << 16  # survivors that are looked at before their time, to bound memory
_CAP = 256  # pairs of one query that are kept, and eight for each neighbour
_TINY = 2.0**-120  # what products that underflow in float32 may lose, together


@dataclass(frozen=True)
class Points:
    """Rows as they enter the product: centred, no larger than about 1; `lengths` are their norms.

    The last of the columns is |y|^2 for rows of the index, and whatever for queries.
    """

    columns: np.ndarray
    lengths: np.ndarray


class Kept:
    """Pairs that may be among the nearest: all true neighbours of the queries that are not lost.

    `owner`, ascending, is the query of each pair, and `row` the row's place in the order of the
    scan. Each query has a limit, beyond which no row can count.
    """

    def __init__(self, queries: Points, k: int, error: float, exact: _Exact | None) -> None:
        m = len(queries.lengths)
        self._lengths, self._k, self._error, self._exact = queries.lengths, k, error, exact
        self._cap = _CAP + 8 * k
        self.lost = np.zeros(m, dtype=bool)
        self.limit = np.full(m, np.inf)
        self.owner, self.row = np.empty((2, 0), dtype=np.int64)
        self._low, self._high = np.empty((2, 0))
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self.n_waiting = 0

    def threshold(self, dtype: type) -> np.ndarray:
        """Return the largest rounded value of a row that may be nearer than the limit."""
        # Such a row is no further from the centre than the query and the limit's distance.
        reach = np.sqrt(np.maximum(self.limit + self._lengths**2, 0.0))
        reach += self._error * (self._lengths + reach)
        top = self.limit + self._error * (2.0 * self._lengths + 1.001 * reach) ** 2 + _TINY
        top[self.lost] = -np.inf
        with np.errstate(over="ignore"):
            rounded = top.astype(dtype)
        return np.asarray(np.nextafter(rounded, dtype(np.inf)))

    def start(self, values: np.ndarray, lengths: np.ndarray, slack: float) -> None:
        """Set the first limit from a tile of values; `slack` is what they may be short of."""
        upper = values + self._error * (self._lengths[:, None] + lengths) ** 2
        nth = self._k - 1
        if nth < values.shape[1]:
            self.limit = np.partition(upper, nth, axis=1)[:, nth] + (slack + _TINY)

    def add(
        self, owner: np.ndarray, row: np.ndarray, value: np.ndarray, length: np.ndarray
    ) -> None:
        """Remember pairs that pass the threshold."""
        self._waiting.append((owner, row, value.astype(np.float64), length))
        self.n_waiting += len(owner)

    def settle(self) -> None:
        """Bring the limits up to date and drop what is beyond them."""
        owner, row, low, high = self._bounds()
        m = len(self.limit)
        counts = np.bincount(owner, minlength=m)
        self.lost |= counts > 8 * self._cap  # more than fit into the table below
        order = np.argsort(owner.astype(np.uint16), kind="stable")
        if self.lost.any():
            order = order[~self.lost[owner[order]]]
            counts[self.lost] = 0
        owner, low, high = owner.take(order), low.take(order), high.take(order)
        if counts.max(initial=0) >= self._k:
            begin = np.cumsum(counts) - counts
            table = np.full((m, int(counts.max())), np.inf)
            table[owner, np.arange(len(owner)) - begin.take(owner)] = high
            nth = np.partition(table, self._k - 1, axis=1)[:, self._k - 1]
            self.limit = np.minimum(self.limit, nth)
        keep = low <= self.limit.take(owner)
        self.lost |= np.bincount(owner[keep], minlength=m) > self._cap
        keep &= ~self.lost.take(owner)
        kept = np.flatnonzero(keep)
        self.owner, self.row = owner.take(kept), row.take(order.take(kept))
        self._low, self._high = low.take(kept), high.take(kept)

    def _bounds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return all pairs with the intervals of their values, and empty the waiting list."""
        parts = [(self.owner, self.row, self._low, self._high)]
        for owner, row, value, length in self._waiting:
            if self._exact is None:
                error = self._error * (self._lengths[owner] + length) ** 2 + _TINY
                parts.append((owner, row, value - error, value + error))
            else:
                exact, error = self._exact(owner, row)
                error += _TINY
                parts.append((owner, row, exact - error, exact + error))
        self._waiting, self.n_waiting = [], 0
        owner, row, low, high = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return owner, row, low, high


_Exact = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def scan(
    queries: Points,
    tile_of: Callable[[int, int], Points],
    n_rows: int,
    k: int,
    *,
    slack: float = 0.0,
    exact: _Exact | None = None,
) -> Kept:
    """Find all rows that may be among the k nearest of each query (up to 65,536 of them).

    `tile_of` returns rows ``start .. stop`` of the index, of the queries' dtype: the precision.
    `slack` bounds by how much a true value can exceed what the coordinates say; where it is not 0,
    `exact` returns the true values (less the query's own |x|^2) of pairs (query, row) and a bound
    of their error.
    """
    dtype = queries.columns.dtype.type
    m, terms = queries.columns.shape[0], queries.columns.shape[1] + 7
    error = 1.02 * terms * float(np.finfo(dtype).eps) / 2 + 16 * terms * 2.0**-53
    kept = Kept(queries, k, error, exact)
    left = queries.columns * dtype(-2)
    left[:, -1] = 1
    values, passed = np.empty(m * TILE, dtype), np.empty(m * TILE, dtype=bool)
    threshold = np.empty(0, dtype)
    due, start = 0, 0
    while start < n_rows:
        stop = min(n_rows, start + (TILE if start else min(TILE, max(256, 2 * k))))
        rows = tile_of(start, stop)
        size = stop - start
        tile = values[: m * size].reshape(m, size)
        mask = passed[: m * size].reshape(m, size)
        np.matmul(left, rows.columns.T, out=tile)
        if start == 0:
            kept.start(tile, rows.lengths, slack)
            threshold = kept.threshold(dtype)
            due = _GROW * stop
        np.less_equal(tile, threshold[:, None], out=mask)
        passing = np.flatnonzero(mask)
        for low in range(0, len(passing), _PENDING):
            if kept.n_waiting > _PENDING:
                kept.settle()
            at = passing[low : low + _PENDING]
            owner, column = np.divmod(at, size)
            kept.add(owner, column + start, tile.reshape(-1)[at], rows.lengths[column])
        if stop >= due or kept.n_waiting > _PENDING or stop == n_rows:
            kept.settle()
            threshold = kept.threshold(dtype)
            due = _GROW * stop
        start = stop
    return kept


_FEW_CELLS = 1 << 17  # differences of pairs, by column, that are quicker than a product
_FEW_COLUMNS = 12  # the same
_TABLE = 1 << 20  # pairs whose values are held
_ROUNDS = 32  # neighbours that are taken one after the other
_CELLS = 1 << 18  # values of rows that are laid out at once
_PAIRS = 1 << 18  # pairs whose differences are looked at at once
_MOST_UNIT = 2.0**500
_SHORT = {4: 1e15, 8: 1e140}  # lengths whose squares float32 and float64 can hold


class LaidOut(NamedTuple):
    """Different rows as they enter the products: in random order, but always the same."""

    shuffled: np.ndarray  # int32, shape (n,): which row each is
    table: np.ndarray  # float32, shape (n, width + 1): see Points
    lengths: np.ndarray
    centre: np.ndarray
    unit: float

    def entered(self, points: np.ndarray) -> np.ndarray:
        """Return numbers and corners of rows as those of the table."""
        return np.asarray((points - self.centre) * self.unit)


class RowSearch(Search):
    """What searches of rows share: their exact squares, and the comparison of all pairs.

    Distances are Euclidean, or mixed when codes are given: the square of `weight` (SMOTENC's M) is
    added to the squared distance for each categorical column in which two rows differ. Rows are not
    copied where their values are of usual size.
    """

    lays_out = False  # once, because all pairs are compared often
    _laid_out: LaidOut | None = None

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray | None = None,
        weight: float = 0.0,
        scale: float | None = None,
    ) -> None:
        """Index rows; their `scale` is given where they are some of a table, as that table has."""
        self.scale, self._weight = scale or scale_power(matrix, weight), weight
        self._rows = matrix if self.scale == 1.0 else matrix * self.scale
        self._codes = no_codes(matrix) if codes is None else codes
        self._penalty = (weight * self.scale) ** 2
        self.n_rows, self.width = len(matrix), matrix.shape[1] + self._codes.shape[1]
        if self.lays_out:
            self._laid_out = self._lay_out()

    @cached_property
    def groups(self) -> Groups:  # type: ignore[override]
        """The equal rows."""
        return group_equal_rows(self._rows, self._codes)

    @cached_property
    def corners(self) -> Corners:
        """How levels are written as corners."""
        edge = self._weight * self.scale / np.sqrt(2.0)
        return Corners(self._codes[self.groups.first], edge)

    def _lay_out(self) -> LaidOut:
        """Lay out the different rows for the products, some at a time: no copy of all is made."""
        # In random order, so that the first rows of a scan tell how near the nearest are; always
        # the same order, though nothing depends on it.
        n, width = self.groups.n_unique, self._rows.shape[1] + self.corners.width
        shuffled = np.random.default_rng(0).permutation(n).astype(np.int32)
        step = max(1, _CELLS // max(1, width))
        slices = [slice(start, min(n, start + step)) for start in range(0, n, step)]
        total, low, high = np.zeros(width), np.full(width, np.inf), np.full(width, -np.inf)
        for part in slices:
            points = self._points(shuffled[part])
            total += points.sum(axis=0)
            low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
        centre = total / max(1, n)
        largest = np.maximum(high - centre, centre - low).max(initial=0.0)
        unit = 2.0 ** min(1000.0, -float(np.frexp(largest)[1]))  # of the least numbers it is none
        table = np.empty((n, width + 1), dtype=np.float32)
        laid_out = LaidOut(shuffled, table, np.empty(n), centre, unit)
        for part in slices:
            points = laid_out.entered(self._points(shuffled[part]))
            squares = np.einsum("ij,ij->i", points, points)
            laid_out.lengths[part] = np.sqrt(squares)
            table[part, :-1], table[part, -1] = points, squares
        return laid_out

    def _points(self, queries: np.ndarray) -> np.ndarray:
        """Return queries as numbers and corners."""
        numbers, codes = self.parts(queries)
        if not codes.shape[1]:
            return numbers
        return np.concatenate([numbers, self.corners.written(codes)], axis=1)

    def _unique(self) -> np.ndarray:
        """Return the different rows as numbers and corners, not copied where they need not be."""
        if self.groups.distinct and not self._codes.shape[1]:
            return self._rows
        return self._points(np.arange(self.groups.n_unique))

    def scaled(self, points: np.ndarray) -> np.ndarray:
        """Return points in the unit of the index; codes follow their numbers."""
        n = self._rows.shape[1]
        return np.concatenate([rescaled(points[:, :n], self.scale), points[:, n:]], axis=1)

    def parts(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the uncentred columns and the codes of queries."""
        if queries.ndim == 1:
            ids = self.groups.first[queries]
            return self._rows[ids], self._codes[ids]
        n = self._rows.shape[1]
        return queries[:, :n], queries[:, n:].astype(np.int32)

    def _compared(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        # Where few ever are compared, what it takes is not kept.
        way = partial(self._block_compared, laid_out=self._laid_out or self._lay_out())
        return in_blocks(way, queries, k, selves, max(16, min(BLOCK, BLOCK * 64 // (k + 1))))

    def _block_compared(
        self, queries: np.ndarray, k: int, selves: np.ndarray, laid_out: LaidOut
    ) -> Found:
        """Compare a block of queries with all rows, in ever higher precision."""
        squares = np.empty((len(queries), k))
        found = np.empty((len(queries), k), dtype=np.int64)
        left = np.arange(len(queries))
        # Of rows that hardly differ the unit has no square: differences have no need of it.
        for dtype in (np.float32, np.float64) if laid_out.unit < _MOST_UNIT else ():
            if not len(left):
                return squares, found
            some = queries[left]
            kept = self._scanned(some, k, dtype, laid_out)
            pairs = kept.owner, laid_out.shuffled[kept.row]
            exact = self.pair_squares(*self.parts(some), *pairs)
            best, ids = smallest_of_pairs(self.groups, len(some), *pairs, exact, k, selves[left])
            sure = ~kept.lost
            squares[left[sure]], found[left[sure]] = best[sure], ids[sure]
            left = left[kept.lost]
        step = max(1, _PAIRS // max(TILE, 4 * (k + 1)))
        way = self._by_differences
        squares[left], found[left] = in_blocks(way, queries[left], k, selves[left], step)
        return squares, found

    def _scanned(self, queries: np.ndarray, k: int, dtype: type, laid_out: LaidOut) -> Kept:
        """Find the pairs that may count, by products."""
        numbers, codes = self.parts(queries)
        points = laid_out.entered(self._points(queries))
        lengths = np.sqrt(np.einsum("ij,ij->i", points, points))
        near = lengths < _SHORT[np.dtype(dtype).itemsize]  # query points may lie anywhere
        columns = np.zeros((len(points), points.shape[1] + 1), dtype)
        columns[near, :-1] = points[near]
        short = self.corners.n_short(codes) * self._penalty * laid_out.unit**2

        def tile(start: int, stop: int) -> Points:
            rows, part = laid_out.table[start:stop], laid_out.shuffled[start:stop]
            if dtype is not np.float32:
                rows = laid_out.entered(self._points(part))
                squares = np.einsum("ij,ij->i", rows, rows)
                rows = np.concatenate([rows, squares[:, None]], axis=1)
            return Points(rows, laid_out.lengths[start:stop])

        def exact(owner: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            true = self.pair_squares(numbers, codes, owner, laid_out.shuffled[row])
            true *= laid_out.unit**2
            rounding = 2.0**-44 * (points.shape[1] + 8)
            size = true + (lengths[owner] + laid_out.lengths[row]) ** 2
            return true - lengths[owner] ** 2, rounding * size

        n = self.groups.n_unique
        entered = Points(columns, np.where(near, lengths, 0.0))
        how = exact if short else None
        kept = scan(entered, tile, n, min(k + 1, n), slack=short, exact=how)
        kept.lost |= ~near
        return kept

    def pair_squares(
        self, numbers: np.ndarray, codes: np.ndarray, owner: np.ndarray, unique: np.ndarray
    ) -> np.ndarray:
        """Return exact squares of pairs (query, unique row)."""
        ids = unique if self.groups.distinct else self.groups.first[unique]
        total = squared_pairs(self._rows, ids, numbers, owner)
        if codes.shape[1] and self._penalty:
            # As many pairs at a time as keep what is gathered small: columns may be hundreds.
            step = max(1, SEARCH_CELLS // codes.shape[1])
            for start in range(0, len(unique), step):
                part = slice(start, start + step)
                differing = self._codes[ids[part]] != codes[owner[part]]
                total[part] += self._penalty * differing.sum(axis=1)
        return total

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows, shape of `candidates`."""
        owner = np.repeat(np.arange(len(queries)), candidates.shape[1])
        squares = self.pair_squares(*self.parts(queries), owner, candidates.reshape(-1))
        return squares.reshape(candidates.shape)

    def _by_differences(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        """Compare with all rows by exact squares, in bounded memory whatever the ties."""
        n, points = self.groups.n_unique, self.parts(queries)
        least = Least(len(queries), min(k + 1, n))
        for start in range(0, n, TILE):
            rows = self.parts(np.arange(start, min(n, start + TILE)))
            least.add(start, _all_squares(*points, *rows, self._penalty))
        return smallest_of_pairs(self.groups, len(queries), *least.pairs(), k, selves)


class BruteSearch(RowSearch):
    """Exact neighbours by comparing all pairs."""

    engine = "brute"
    lays_out = True

    nearest = RowSearch._compared


def _all_squares(
    rows: np.ndarray, levels: np.ndarray, points: np.ndarray, codes: np.ndarray, penalty: float
) -> np.ndarray:
    """Return exact squares from points to all rows, summed column by column as in `exact`."""
    total, one = np.zeros((2, len(points), len(rows)))
    with np.errstate(over="ignore"):  # query points may lie anywhere
        for column, values in zip(rows.T, points.T[:, :, None], strict=True):
            np.subtract(column, values, out=one)
            np.multiply(one, one, out=one)
            total += one
    if codes.shape[1] and penalty:
        differing = np.zeros(total.shape, dtype=np.int64)
        for column, values in zip(levels.T, codes.T[:, :, None], strict=True):
            differing += column != values
        total += penalty * differing
    return total


class DirectSearch(RowSearch):
    """Exact neighbours among few rows, or for few queries: all pairs at once.

    ::

        few pairs       exact squares of all of them                           k least
        more            one float64 product  --->  k + 1 least  --->  exact squares, k least
                                                        | not sure (rounding, or ties)
                                                        `--->  exact squares of all rows

    The least are taken one after the other. Of equal values the first is the least, so equally
    near rows come by number.
    """

    engine = "brute"

    nearest = RowSearch._compared

    @cached_property
    def _squares(self) -> np.ndarray:
        return np.einsum("ij,ij->i", self._rows, self._rows)

    def query(self, ids: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        found = self._directly(self._rows[ids], self._codes[ids], k, ids)
        return found or super().query(ids, k)

    def query_points(self, points: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of points that are not in the index, shape (m, d + q)."""
        found = self._directly(*self.parts(self.scaled(points)), k, None)
        return found or super().query_points(points, k)

    def _directly(
        self, points: np.ndarray, codes: np.ndarray, k: int, selves: np.ndarray | None
    ) -> Found | None:
        """Answer queries; None where they are too many, or some rows infinitely far."""
        m, n = len(points), self.n_rows
        if m * n > _TABLE or k > min(_ROUNDS, n - 1):
            return None
        best, found = np.empty((m, k)), np.empty((m, k), dtype=np.int64)
        left = np.arange(m)
        wide = self.width > _FEW_COLUMNS or m * self._rows.size > _FEW_CELLS
        if wide and k + 1 < n and not codes.shape[1]:
            best, found, sure = self._proposed(points, k, selves)
            left = np.flatnonzero(~sure)
        if len(left):
            out = None if selves is None else selves[left]
            some = points[left], codes[left]
            total = _all_squares(self._rows, self._codes, *some, self._penalty)
            best[left], found[left] = _least(total, k, out)
        if not np.isfinite(best).all():
            return None
        return np.sqrt(best) / self.scale, found

    def _proposed(
        self, points: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Let a product propose k + 1 rows; tell where no other can be nearer than the k-th."""
        # Rows are not centred: float64 holds them well enough but for those far from the origin and
        # a millionth of that apart, which are compared with all.
        squares = self._squares
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.einsum("ij,ij->i", points, points)
            values = (-2.0 * points) @ self._rows.T
            values += squares
            last, proposed = _least(values, k + 1, selves)
            exact = squared_distances(self._rows, points, proposed)
            order = np.lexsort((proposed, exact))[:, :k]
            order += np.arange(0, exact.size, exact.shape[1])[:, None]  # places in the flat arrays
            best = exact.reshape(-1)[order]
            # As in the scan: no product is further off than this (Higham 2002, section 3.1).
            size = (np.sqrt(lengths) + np.sqrt(squares.max())) ** 2
            reach = last[:, -1] + lengths - (self.width + 16) * 2.0**-50 * size
            sure = best[:, -1] < reach
        return best, proposed.reshape(-1)[order], sure


def _least(values: np.ndarray, k: int, selves: np.ndarray | None) -> Found:
    """Take the k least of each row out of `values`, and where they stood."""
    found = np.empty((len(values), k), dtype=np.int64)
    best = np.empty((len(values), k))
    query = np.arange(len(values))
    if selves is not None:
        values[query, selves] = np.inf
    flat, begin = values.reshape(-1), query * values.shape[1]
    for j in range(k):
        least = values.argmin(axis=1)
        found[:, j] = least
        least += begin
        best[:, j] = flat.take(least)
        flat.put(least, np.inf)
    return best, found
