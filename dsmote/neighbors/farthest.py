r"""How far the farthest rows are, exactly, without looking at all pairs.

For rows y and z, |x - y|^2 - |x - z|^2 is linear in x, so its least value over a box of query rows
is known::

        y
         \       +-----+      if y is farther than z from the whole box, z cannot be the farthest
          z      |  Q  |      of any row in it; with k such rows y, not among the k farthest
                 +-----+

The box of all query rows is halved again and again, and each half begins with the rows that were
left for the whole. In 334,399 rows of the insurance table the three farthest of 46,710 others are
always among 408 of them. What is left goes through a product, which rounds by no more than is
known; exact squares decide, those of :mod:`dsmote.neighbors.exact`. Only distances are told: which
of equally far rows are found does not change them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from dsmote.neighbors.exact import group_equal_rows, rescaled, scale_power, squared_pairs
from dsmote.neighbors.tree import principal_axes

_LEAF = 512  # query rows of a box that is not halved: that would take as long as it saves
_BATCH = 64  # boxes that wait to be answered, to bound memory
_FEW = 128  # rows left, of which all are looked at
_SAMPLE = 1 << 12  # rows that the axes of the boxes are those of
_BLOCK = 1 << 19  # pairs that are looked at at once
_PIVOTS = 24  # rows that others are compared with, or two for each neighbour
_MARGIN = 1e-11  # of squared sizes: far more than rotations and products round

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


def farthest(
    rows: np.ndarray,
    codes: np.ndarray,
    points: np.ndarray,
    levels: np.ndarray,
    k: int,
    *,
    weight: float = 0.0,
    tables: Sequence[np.ndarray] = (),
    each: Each = map,
) -> np.ndarray:
    """Return the distances from points to their k farthest rows, descending, shape (m, k).

    Distances are Euclidean; mixed, where rows have `codes` and points `levels` of categorical
    features, in which a differing one counts for a distance of `weight`; or, where there are
    `tables` of P(class | level), those of the value difference metric. k is at most the number of
    rows.
    """
    groups, asking = group_equal_rows(rows, codes), group_equal_rows(points, levels)
    largest = [np.abs(part).max(initial=0.0) for part in (rows, points)]
    scale = scale_power(np.array([largest]), weight)
    work = _Work(
        rescaled(rows[groups.first], scale),
        codes[groups.first],
        np.minimum(np.diff(groups.starts), k),
        rescaled(points[asking.first], scale),
        levels[asking.first],
        k,
        (weight * scale) ** 2,
        tables,
    )
    found = np.empty((asking.n_unique, k))
    boxes = work.boxes()
    while batch := list(islice(boxes, _BATCH)):
        for some, squares in each(work.answer, batch):
            found[some] = squares
    return np.asarray((np.sqrt(found) / scale)[asking.of])


class _Work:
    """Different query rows, and different rows; `times` is how often each of these counts."""

    def __init__(
        self,
        rows: np.ndarray,
        codes: np.ndarray,
        times: np.ndarray,
        points: np.ndarray,
        levels: np.ndarray,
        k: int,
        penalty: float,
        tables: Sequence[np.ndarray],
    ) -> None:
        self.rows, self.codes, self.times = rows, codes, times
        self.points, self.levels = points, levels
        self.k, self.penalty, self.tables = k, penalty, tables
        sample = np.concatenate([part[:: -(-len(part) // _SAMPLE)] for part in (rows, points)])
        centre = sample.mean(axis=0)
        # Rows need not lie in the space that fewer rows than columns span.
        wide = len(sample) < rows.shape[1]
        axes = np.eye(rows.shape[1]) if wide else principal_axes(sample - centre)[1]
        self._asking, self._along = (points - centre) @ axes, (rows - centre) @ axes
        lengths, squares = ((p * p).sum(axis=1) for p in (self._asking, self._along))
        # Of [-2x, 1] and [y, |y|^2] the product is |x - y|^2 - |x|^2.
        self._left = np.column_stack([-2.0 * self._asking, np.ones(len(points))])
        self._right = np.column_stack([self._along, squares])
        size = lengths.max(initial=0.0) + squares.max(initial=0.0)
        self._error = _MARGIN * (rows.shape[1] + 8) * (size + penalty * codes.shape[1])

    def boxes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield query rows, and the rows among which their farthest are."""
        stack = [(np.arange(len(self.points)), np.arange(len(self.rows)))]
        while stack:
            some, left = stack.pop()
            if len(some) <= _LEAF or len(left) <= max(_FEW, 4 * self.k) or self.tables:
                yield some, left
                continue
            inside = self._asking[some]
            low, high = inside.min(axis=0), inside.max(axis=0)
            kept = left[self._may_be_far(some, left, (low + high) / 2, (high - low) / 2)]
            middle = len(some) // 2
            order = some[np.argpartition(inside[:, (high - low).argmax()], middle)]
            stack += [(order[middle:], kept), (order[:middle], kept)]

    def _may_be_far(
        self, some: np.ndarray, left: np.ndarray, centre: np.ndarray, half: np.ndarray
    ) -> np.ndarray:
        """Tell which rows are not surely nearer than k others, from anywhere in a box."""
        # Those that are farthest from a few query rows.
        seen = some[:: -(-len(some) // max(2, _PIVOTS // self.k))]
        values = self._values(seen, left)
        far = np.argpartition(values, len(left) - self.k, axis=1)[:, len(left) - self.k :]
        pivots = np.unique(far)
        along, codes = self._along[left], self.codes[left]
        from_centre = along - centre
        squares = np.einsum("ij,ij->i", from_centre, from_centre)
        times = np.zeros(len(left), dtype=np.int64)
        for pivot in pivots:
            # The least of |x - pivot|^2 - |x - row|^2 in the box.
            least = squares[pivot] - squares
            least -= 2.0 * (np.abs(along - along[pivot]) @ half)
            if codes.shape[1] and self.penalty:
                least -= self.penalty * (codes != codes[pivot]).sum(axis=1)
            times += least > self._error
        return np.asarray(times < self.k)

    def answer(self, box: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return query rows, and the squares of their k farthest rows."""
        some, left = box
        step = max(1, _BLOCK // len(left))
        parts = [some[start : start + step] for start in range(0, len(some), step)]
        return some, np.concatenate([self._exactly(part, left) for part in parts])

    def _exactly(self, some: np.ndarray, left: np.ndarray) -> np.ndarray:
        values = self._values(some, left)
        owner, place = np.nonzero(values >= self._limit(values)[:, None])
        if self.tables:
            squares = values[owner, place]
        else:
            squares = squared_pairs(self.rows, left[place], self.points[some], owner)
            if self.penalty:
                differing = self.levels[some[owner]] != self.codes[left[place]]
                squares += self.penalty * differing.sum(axis=1)
        del values
        order = np.lexsort((-squares, owner))
        times = self.times[left[place[order]]]
        owner, squares = np.repeat(owner[order], times), np.repeat(squares[order], times)
        first = np.searchsorted(owner, np.arange(len(some)))
        return np.asarray(squares[first[:, None] + np.arange(self.k)])

    def _limit(self, values: np.ndarray) -> np.ndarray:
        """Return what no value of the k largest is below: of each query row, the k-th of some."""
        m, n = values.shape
        g = 8 * self.k
        if n <= 2 * g:
            if n <= self.k:
                return np.full(m, -np.inf)
            largest = values
        else:
            # The largest of each of g groups: k of them are at least the k-th largest of these.
            largest = values[:, : n // g * g].reshape(m, n // g, g).max(axis=1)
        nth = largest.shape[1] - self.k
        return np.asarray(np.partition(largest, nth, axis=1)[:, nth] - 2.0 * self._error)

    def _values(self, some: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Return squares less a number for each query row, as a product rounds them.

        Those of the value difference metric are exact.
        """
        if self.tables:
            return self._differences(some, left)
        values = self._left[some] @ self._right[left].T
        if self.penalty:
            for own, column in zip(self.levels[some].T, self.codes[left].T, strict=True):
                values += self.penalty * (own[:, None] != column)
        return values

    def _differences(self, some: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Return squares of the value difference metric, added up as its search does."""
        total = np.zeros((len(some), len(left)))
        columns = zip(self.tables, self.levels[some].T, self.codes[left].T, strict=True)
        for table, own, column in columns:
            sums = np.zeros(total.shape)
            for of_class in table.T:
                sums += np.abs(of_class[own][:, None] - of_class[column])
            sums *= sums
            total += sums
        return total
