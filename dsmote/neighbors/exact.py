"""From a candidate search that may round to the true neighbours, to the bit.

A rotation or a matrix product finds near rows quickly, but rounds; which of two almost equally
near rows comes first would then depend on the machine, the block size or the number of threads.
So searches only *propose*, and this module decides::

    propose    K candidates, and a reach: no row that was not proposed is truly nearer than it
                  o   o o    o        o  |
    decide     squared distances of the candidates, from the rows themselves, column by column
                  1   2 3    4        5  | reach
    accept     the k-th is nearer than the reach: nothing can have been missed
               otherwise propose twice as many candidates, up to all rows

Rows that are equal in every column are collapsed to one before they are indexed (trees degenerate
on them) and expanded again here, in order of row number. Because exact distances and row numbers
decide, every search gives the same neighbours for the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from dsmote.plan.memory import HANDED_OVER, SEARCH_CELLS

Found = tuple[np.ndarray, np.ndarray]  # squares or distances, ascending, and row numbers: (m, k)


@runtime_checkable
class NeighborIndex(Protocol):
    """An index over rows, which are known by their numbers 0 to n_rows - 1.

    `engine` is its name, `exact` whether it finds the true neighbours.
    """

    n_rows: int
    engine: str
    exact: bool

    def query(self, ids: np.ndarray, k: int) -> Found:
        """Return distances and row numbers of the k nearest rows.

        The query rows are rows of the index, given by number, and never their own neighbours; k is
        at most n_rows - 1. Equal distances are in order of row number.
        """

    def query_points(self, points: np.ndarray, k: int) -> Found:
        """Return the same for points that are not in the index; k is at most n_rows.

        Where the rows have categories, codes follow the numbers: -1 for a level not in the index.
        """


_FEW_ROWS = 32  # that a dictionary tells apart sooner than hashes do
_HASHED = 1 << 15  # values hashed at once: they stay in the processor's cache


class Groups:
    """Equal rows, collapsed: unique row ``u`` stands for ``members[starts[u]:starts[u + 1]]``.

    Members are row numbers, ascending. `of` and `within` give the unique row of each row and its
    place among the members; `several` says which unique rows stand for more than one.
    """

    def __init__(self, of: np.ndarray, n_unique: int) -> None:
        self.of, self.n_unique = of, n_unique
        self.distinct = n_unique == len(of)
        if self.distinct:  # numbered in order, so each is its own
            self.members, self.within = of, np.zeros(len(of), dtype=np.int64)
            self.starts = np.arange(n_unique + 1)
            self.several = np.zeros(n_unique, dtype=bool)
            return
        self.members = np.argsort(of, kind="stable")
        self.starts = np.zeros(n_unique + 1, dtype=np.int64)
        counts = np.bincount(of, minlength=n_unique)
        self.several = counts > 1
        np.cumsum(counts, out=self.starts[1:])
        self.within = np.empty(len(of), dtype=np.int64)
        self.within[self.members] = np.arange(len(of)) - self.starts[of[self.members]]

    @property
    def first(self) -> np.ndarray:
        """The lowest row number of each unique row."""
        return self.members if self.distinct else self.members[self.starts[:-1]]


def _hash_rows(matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Hash each row: its values' bits, folded, times an odd number for each column, added up."""
    hashes = np.zeros(len(matrix), dtype=np.uint64)
    for values, first in ((matrix, 1), (codes, 1 + matrix.shape[1])):
        width = values.shape[1]
        factors = np.arange(first, first + width, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        factors = (factors ^ (factors >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
        factors |= np.uint64(1)
        step = max(1, _HASHED // max(1, width))
        for start in range(0, len(values) if width else 0, step):
            # + 0.0 makes -0.0 and 0.0, which are equal, one bit pattern
            bits = (values[start : start + step] + 0.0).view(np.uint64)
            bits ^= bits >> np.uint64(32)  # the low bits of short numbers are all zero
            bits *= factors
            hashes[start : start + step] += bits.sum(axis=1, dtype=np.uint64)
    return hashes


def no_codes(matrix: np.ndarray) -> np.ndarray:
    """Return the codes of rows without categories."""
    return np.empty((len(matrix), 0), dtype=np.int32)


def group_equal_rows(matrix: np.ndarray, codes: np.ndarray) -> Groups:
    """Find rows that are equal in every column; unique rows are in order of their first row.

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [1.0]])
    >>> group_equal_rows(rows, no_codes(rows)).of
    array([0, 1, 0])
    """
    n = len(matrix)
    if n <= _FEW_ROWS:
        numbers: dict[bytes, int] = {}
        rows = zip(matrix + 0.0, codes, strict=True)  # -0.0 and 0.0 are equal
        numbered = [numbers.setdefault(a.tobytes() + b.tobytes(), len(numbers)) for a, b in rows]
        return Groups(np.array(numbered, dtype=np.int64), len(numbers))
    hashes = _hash_rows(matrix, codes)
    ordered = np.sort(hashes)
    if not (ordered[1:] == ordered[:-1]).any():
        return Groups(np.arange(n), n)
    del ordered
    of = pd.factorize(hashes)[0]  # numbered in order of appearance
    first = np.flatnonzero(np.diff(np.maximum.accumulate(of), prepend=-1))
    some = np.flatnonzero(first[of] != np.arange(n))
    leader = first[of[some]]
    if np.array_equal(matrix[some], matrix[leader]) and np.array_equal(codes[some], codes[leader]):
        return Groups(of, len(first))
    # Two different rows of one hash: compare all columns instead.
    both = np.concatenate([matrix, codes.astype(np.float64)], axis=1) + 0.0
    _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
    leader = first[inverse.reshape(-1)]
    leads = leader == np.arange(n)
    rank = np.cumsum(leads) - 1
    return Groups(rank[leader], int(leads.sum()))


_MANY = HANDED_OVER  # candidates; comparing all rows is quicker than more of them
_LARGE = 2.0**400  # and its square, times thousands of columns, is far from an overflow
_MOST = 1e300  # query points are taken no further out: squares of their distances overflow
_CELLS = SEARCH_CELLS  # values gathered at once by the exact distances: 16 MiB
_HELD = 1 << 14  # candidates at once: smaller arrays are not given back to the system each time
_CACHED = 1 << 16  # values whose squares are added up at once: they stay in the cache


def scale_power(matrix: np.ndarray, weight: float = 0.0) -> float:
    """Return a power of two that keeps squares of the values within float64's range.

    The values are the matrix's, and the weight of a category if there is one. Multiplying by a
    power of two is exact, so neighbours do not change. Large values stay as large as their squares
    allow: near one of 1e200, those of others must not vanish.
    """
    # No copy is made of what may be the largest matrix of the job.
    largest = float(max(matrix.max(initial=weight), -matrix.min(initial=weight)))
    if largest == 0.0 or 1e-60 < largest < _LARGE:
        return 1.0
    exponent = int(np.frexp(largest)[1])
    return 2.0 ** (400 - exponent if largest > 1.0 else min(1000, -exponent))


def rescaled(points: np.ndarray, scale: float) -> np.ndarray:
    """Scale points as the rows of an index were; those that would overflow stay finite."""
    with np.errstate(over="ignore"):  # they may lie anywhere
        scaled = points * scale
    return scaled if scale <= 1.0 else np.clip(scaled, -_MOST, _MOST)


def in_blocks(
    way: Callable[[np.ndarray, int, np.ndarray], Found],
    queries: np.ndarray,
    k: int,
    selves: np.ndarray,
    step: int,
) -> Found:
    """Answer queries, `step` of them at a time."""
    squares, found = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        squares[part], found[part] = way(queries[part], k, selves[part])
    return squares, found


class Search:
    """Base of the searches. Equal rows are one; queries are numbers of those, or points.

    A subclass proposes rows, and says how far they are. Where it is not `exact`, its first proposal
    is taken as it is.
    """

    exact = True
    scale = 1.0  # the power of two that the indexed rows are multiplied by
    n_rows: int
    width: int  # columns
    groups: Groups

    def _order(self, unique: np.ndarray) -> np.ndarray:
        """Return the order in which to query, so that near rows follow each other."""
        return np.arange(len(unique))

    def scaled(self, points: np.ndarray) -> np.ndarray:
        """Return points in the unit of the index."""
        return rescaled(points, self.scale)

    def query(self, ids: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        unique = self.groups.of[ids]
        order = self._order(unique)
        squares, found = self.nearest(unique[order], k, np.asarray(ids)[order])
        distances, neighbours = np.empty_like(squares), np.empty_like(found)
        distances[order], neighbours[order] = np.sqrt(squares) / self.scale, found
        return distances, neighbours

    def query_points(self, points: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of points that are not in the index."""
        squares, found = self.nearest(self.scaled(points), k, np.full(len(points), -1))
        return np.sqrt(squares) / self.scale, found

    def _candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return n unique rows (or more) for each query, and the squared reach, shape (m,)."""
        raise NotImplementedError

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squared distances from queries to unique rows, shape of `candidates`."""
        raise NotImplementedError

    def _compared(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        """Compare queries with all rows; squares and row numbers, shape (m, k)."""
        raise NotImplementedError

    def nearest(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        """Return squared (scaled) distances and row numbers of the k nearest rows.

        `selves` are row numbers to leave out, one for each query; -1 leaves none out. Ever more
        candidates are proposed, until nothing can be missed or all rows are compared.
        """

        def steps(left: np.ndarray, n: int) -> list[np.ndarray]:
            # Few candidates: many rows at once. Many (ties everywhere): few, in bounded memory.
            step = max(1, min(_CELLS // (n * max(4, self.width)), _HELD // n))
            return [left[start : start + step] for start in range(0, len(left), step)]

        return self._widened(self._decided, steps, queries, k, selves)

    def _widened(
        self,
        way: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]],
        steps: Callable[[np.ndarray, int], list[np.ndarray]],
        queries: np.ndarray,
        k: int,
        selves: np.ndarray,
        growth: int = 2,
    ) -> Found:
        """Answer queries from ever more candidates; `way` also tells which answers are sure."""
        squares, ids = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        left, n = np.arange(len(queries)), min(self.groups.n_unique, k + growth)
        while len(left):
            unsure = []
            for rows in steps(left, n):
                best, found, sure = way(queries[rows], k, selves[rows], n)
                squares[rows[sure]], ids[rows[sure]] = best[sure], found[sure]
                unsure.append(rows[~sure])
            left, n = np.concatenate(unsure), min(self.groups.n_unique, growth * n)
            if n > _MANY and len(left):
                squares[left], ids[left] = self._compared(queries[left], k, selves[left])
                break
        return squares, ids

    def _decided(
        self, queries: np.ndarray, k: int, selves: np.ndarray, n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        proposed, reach = self._candidates(queries, n)
        best, found = smallest(self.groups, proposed, self.squared(queries, proposed), k, selves)
        sure = (best[:, -1] < reach) | (n == self.groups.n_unique) | (not self.exact)
        return best, found, sure


def smallest(
    groups: Groups, proposed: np.ndarray, exact: np.ndarray, k: int, selves: np.ndarray
) -> Found:
    """Order candidates by (distance, row number), expand equal rows, leave selves out."""
    if groups.distinct:
        return _smallest_of_single(groups, proposed, exact, k, selves)
    several = _any_in_row(groups.several[proposed])
    best, found = np.empty((len(several), k)), np.empty((len(several), k), dtype=np.int64)
    # Expanding equal rows takes five times as long, and usually few queries are near any.
    for these, way in ((~several, _smallest_of_single), (several, _smallest_of_groups)):
        if these.any():
            some = proposed[these], exact[these]
            best[these], found[these] = way(groups, *some, k, selves[these])
    return best, found


def _smallest_of_single(
    groups: Groups, proposed: np.ndarray, exact: np.ndarray, k: int, selves: np.ndarray
) -> Found:
    """Order candidates none of which has an equal row."""
    ids = groups.first[proposed]
    exact = np.where(ids == selves[:, None], np.inf, exact)
    # Flat places are looked up twice as fast as by take_along_axis.
    begin = np.arange(0, exact.size, exact.shape[1])[:, None]
    order = np.argsort(exact, axis=1, kind="stable")
    order += begin
    best = exact.reshape(-1)[order]
    tied = np.flatnonzero(_any_in_row(best[:, 1:] == best[:, :-1]))
    if len(tied):
        order[tied] = np.lexsort((ids[tied], exact[tied]), axis=-1) + begin[tied]
    return best[:, :k], ids.reshape(-1)[order[:, :k]]


def _any_in_row(marks: np.ndarray) -> np.ndarray:
    """Tell which rows have a mark; where few have, ten times as fast as any(axis=1)."""
    some = np.zeros(len(marks), dtype=bool)
    if marks.size:
        some[np.flatnonzero(marks) // marks.shape[1]] = True
    return some


def _smallest_of_groups(
    groups: Groups, proposed: np.ndarray, exact: np.ndarray, k: int, selves: np.ndarray
) -> Found:
    """Expand unique rows to their members, nearest first.

    Only where unique rows are equally near do members of several have to be merged by number;
    elsewhere the j-th neighbour is found by counting.
    """
    n = proposed.shape[1]
    order = np.argsort(exact, axis=1, kind="stable")
    near, unique = np.take_along_axis(exact, order, 1), np.take_along_axis(proposed, order, 1)
    own = (unique == groups.of[selves][:, None]) & (selves >= 0)[:, None]
    sizes = np.minimum(np.diff(groups.starts)[unique], k + 1) - own
    ends = np.cumsum(sizes, axis=1)
    starts = ends - sizes
    tied = ((near[:, 1:] == near[:, :-1]) & (starts[:, :-1] < k)).any(axis=1)
    wanted = np.arange(k)
    slot = (ends[:, None, :] <= wanted[None, :, None]).sum(axis=2)
    valid = slot < n
    slot[~valid] = n - 1
    within = wanted - np.take_along_axis(starts, slot, 1)
    # Step over the row itself.
    within += np.take_along_axis(own, slot, 1) & (within >= groups.within[selves][:, None])
    within[~valid] = 0
    ids = groups.members[groups.starts[np.take_along_axis(unique, slot, 1)] + within]
    best = np.where(valid, np.take_along_axis(near, slot, 1), np.inf)
    found = np.where(valid, ids, 0)
    if tied.any():
        m = int(tied.sum())
        pairs = np.repeat(np.arange(m), n), proposed[tied].reshape(-1), exact[tied].reshape(-1)
        best[tied], found[tied] = smallest_of_pairs(groups, m, *pairs, k, selves[tied])
    return best, found


def smallest_of_pairs(
    groups: Groups,
    m: int,
    owner: np.ndarray,
    unique: np.ndarray,
    exact: np.ndarray,
    k: int,
    selves: np.ndarray,
) -> Found:
    """Order pairs (query, ascending; unique row; square) of m queries in the same way.

    Returns squares and row numbers, shape (m, k), filled up with (inf, 0) where a query has fewer.
    """
    ids, squares, row = unique, exact, owner
    if not groups.distinct:
        # No more than k + 1 of equally near members can be wanted: k, and the row itself.
        sizes = np.minimum(np.diff(groups.starts)[unique], k + 1)
        which = np.repeat(np.arange(len(unique)), sizes)
        within = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        ids = groups.members[groups.starts[unique[which]] + within]
        squares, row = exact[which], owner[which]
    squares = np.where(ids == selves[row], np.inf, squares)
    # Where none are tied: eight times as fast as by three keys.
    order = np.argsort(squares, kind="stable")
    order = order[np.argsort(row[order].astype(np.min_scalar_type(m)), kind="stable")]
    tied = (squares[order[1:]] == squares[order[:-1]]) & (row[order[1:]] == row[order[:-1]])
    if tied.any():
        order = np.lexsort((ids, squares, row))
    begin = np.searchsorted(row, np.arange(m))
    length = np.diff(np.append(begin, len(row)))
    take = begin[:, None] + np.arange(k)[None, :]
    valid = np.arange(k)[None, :] < length[:, None]
    if not len(order):
        return np.full((m, k), np.inf), np.zeros((m, k), dtype=np.int64)
    chosen = order[np.minimum(take, len(order) - 1)]
    return np.where(valid, squares[chosen], np.inf), np.where(valid, ids[chosen], 0)


def squared_distances(rows: np.ndarray, points: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances from points to candidates, rows by number."""
    owner = np.repeat(np.arange(len(points)), candidates.shape[1])
    return squared_pairs(rows, candidates.reshape(-1), points, owner).reshape(candidates.shape)


def squared_pairs(
    rows: np.ndarray, ids: np.ndarray, points: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """Return squared Euclidean distances of pairs (row, point)."""
    n, width = len(ids), rows.shape[1]
    total = np.zeros(n)
    step = min(n, max(1, _CACHED // max(1, width)))
    # Taken once: where allocators give memory back, each new array costs as much as its sums.
    differences, subtracted, columns = np.empty((3, step, width))
    columns = columns.reshape(width, step)
    for start in range(0, n, step or 1):
        part = slice(start, min(n, start + step))
        m = part.stop - start
        # Row numbers are right: with "clip" they go into the array without a copy on the way.
        rows.take(ids[part], axis=0, out=differences[:m], mode="clip")
        points.take(owner[part], axis=0, out=subtracted[:m], mode="clip")
        differences[:m] -= subtracted[:m]
        with np.errstate(over="ignore"):  # query points may lie anywhere
            np.multiply(differences[:m], differences[:m], out=differences[:m])
        columns[:, :m] = differences[:m].T  # read in order
        # Column by column: an order that no block of queries changes.
        for column in columns[:, :m]:
            total[part] += column
    return total


_PENDING = 1 << 17  # pairs that wait to be looked at, to bound memory
_FIRST = 64  # rows that the first limits are taken from


class Least:
    """The k least (square, row) of each of m queries, of k rows or more that come in order.

    A row as far as the k-th so far comes after it, so only what is less has to be looked at.
    """

    def __init__(self, m: int, k: int) -> None:
        self._k, self._limit, self._due = k, np.full(m, np.inf), 0
        none = np.repeat(np.arange(m), k), np.full(m * k, 2**62), np.full(m * k, np.inf)
        self._pairs = [none]  # the least so far, and those that wait

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return query, row and square of all pairs, in order of the queries."""
        self._settle()
        return self._pairs[0]

    def add(self, start: int, squares: np.ndarray) -> None:
        """Look at rows from `start` on; squares has shape (rows, m)."""
        if start == 0 and len(squares) > _FIRST:
            self.add(0, squares[:_FIRST])
            start, squares = _FIRST, squares[_FIRST:]
        passed = np.flatnonzero(squares < self._limit)
        if start < self._k:  # squares may be infinite
            passed = np.arange(squares.size)
        if len(passed):
            row, owner = np.divmod(passed, squares.shape[1])
            self._pairs.append((owner, row + start, squares.reshape(-1)[passed]))
        if start >= self._due or sum(len(owner) for owner, *_ in self._pairs[1:]) > _PENDING:
            self._settle()
            self._due = 2 * start

    def _settle(self) -> None:
        """Bring the limits up to date."""
        owner, row, square = map(np.concatenate, zip(*self._pairs, strict=True))
        order = np.lexsort((row, square, owner))
        counts = np.bincount(owner, minlength=len(self._limit))
        chosen = order[(np.cumsum(counts) - counts)[:, None] + np.arange(self._k)]
        self._limit = square[chosen[:, -1]]
        self._pairs = [(owner[chosen.ravel()], row[chosen.ravel()], square[chosen.ravel()])]
