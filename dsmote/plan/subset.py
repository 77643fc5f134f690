r"""Which rows of a class are kept: exact totals, and any part of the answer without the rest.

The rows of a class stand at positions 0 .. n. How many of the kept ones lie in the left half is
drawn, then how many of those in *its* left half, and so on down to leaves, which choose::

    keep 6 of [0, n)           node 1: u1 says 2 | 4
                   /      \
        2 of [0, n/2)    4 of [n/2, n)           nodes 2, 3: u2 says 0 | 2, u3 says 3 | 1
          /       \        /       \
        0          2      3         1            leaves of at most 4,096 rows
                 x..x    .xxx      ..x.          the rows with the smallest words of their own

A node's number in this tree is the place of its draw, and a row's position that of its word (see
:mod:`dsmote.plan.draws`), so what happens to a row depends on the seed, its class and its position
only. Whoever holds the rows ``start .. stop`` draws at the nodes above them and at no others: some
tens of draws in a class of 10**9 rows. All parts add up to exactly `keep`, however they are cut.

Without replacement the number in the left half is hypergeometric; with replacement it is binomial,
and a leaf draws its rows with replacement. Both numbers are found by inversion of one uniform draw,
with arithmetic that is the same wherever it runs: NumPy may change its own samplers between
versions, and its hypergeometric ends at 10**9.

Source of the splits: Sanders, Lamm, Hübschle-Schneider, Schrade and Dachsbacher, "Efficient
parallel random sampling: vectorized, cache-efficient, and online", ACM TOMS 44(3), 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from dsmote.plan.draws import CHOICE, SPLIT, Stream

__all__ = ["Subset", "kept"]

LEAF = 4096  # rows of a leaf, at most
_DEVIATIONS, _MORE = 9, 30  # beyond so many standard deviations, and some, lies less than 2**-53


class _Part(NamedTuple):
    """Rows ``low .. high``, of which `chosen` are kept, after `before` that stand before them."""

    low: int
    high: int
    chosen: int
    before: int


@dataclass(frozen=True)
class Subset:
    """A random choice of exactly `keep` of the `n` rows of a class.

    Parameters
    ----------
    n, keep : int
        Rows of the class, and how many are kept.
    seed, class_rank : int
        The root seed of the run, and the place of the class in sorted label order.
    replacement : bool
        Whether a row may be kept more than once.

    Raises
    ------
    ValueError
        More rows to keep than there are, or a negative number.

    Examples
    --------
    >>> subset = Subset(10, 4, seed=0, class_rank=1)
    >>> int(subset.times(0, 10).sum())
    4
    >>> bool((subset.times(0, 10)[3:7] == subset.times(3, 7)).all())
    True
    """

    n: int
    keep: int
    seed: int
    class_rank: int
    replacement: bool = False

    def __post_init__(self) -> None:
        # With replacement any row gives any number of rows; where there is none, none can be kept.
        bounded = not (self.replacement and self.n)
        if self.keep < 0 or (bounded and self.keep > self.n):
            raise ValueError(
                f"{self.keep:,} of {self.n:,} rows cannot be kept; keep from 0 to {self.n:,}"
            )

    def times(self, start: int, stop: int) -> np.ndarray:
        """Return how often each of the rows ``start .. stop`` is kept.

        Parameters
        ----------
        start, stop : int
            Positions in the class, ``0 <= start <= stop <= n``.

        Returns
        -------
        ndarray of int64, shape (stop - start,)
            Zeros and ones; with replacement any number.
        """
        if not 0 <= start <= stop <= self.n:
            raise ValueError(
                f"rows {start:,} .. {stop:,} are not among the {self.n:,} of the class"
            )
        found = np.zeros(stop - start, dtype=np.int64)
        for part in self._parts(lambda low, high: low < stop and start < high):
            low, high = max(part.low, start), min(part.high, stop)
            if self._full(part):
                found[low - start : high - start] = 1
            elif part.chosen:
                of_leaf = self._leaf(part)[low - part.low : high - part.low]
                found[low - start : high - start] = of_leaf
        return found

    def before(self, positions: np.ndarray) -> np.ndarray:
        """Return how many kept rows stand before each position, each counted as often as kept.

        Parameters
        ----------
        positions : ndarray of int, shape (m,)
            Ascending, from 0 to n.

        Returns
        -------
        ndarray of int64, shape (m,)

        Examples
        --------
        >>> Subset(10, 4, seed=0, class_rank=1).before(np.array([0, 10])).tolist()
        [0, 4]
        """
        positions = np.asarray(positions, dtype=np.int64)
        found = np.full(len(positions), self.keep, dtype=np.int64)

        def places(low: int, high: int) -> slice:
            return slice(*np.searchsorted(positions, [low, high]).tolist())

        def hit(low: int, high: int) -> bool:
            asked = places(low, high)
            return bool(asked.start < asked.stop)

        for part in self._parts(hit):
            asked = places(part.low, part.high)
            inside = positions[asked] - part.low
            if not part.chosen:
                found[asked] = part.before
            elif self._full(part):
                found[asked] = part.before + inside
            else:
                sums = np.cumsum(self._leaf(part))
                found[asked] = part.before + np.where(inside > 0, sums[inside - 1], 0)
        return found

    def _full(self, part: _Part) -> bool:
        return not self.replacement and part.chosen == part.high - part.low

    def _parts(self, wanted: Callable[[int, int], bool]) -> Iterator[_Part]:
        """Walk down the tree to the parts in which nothing is left to split, left to right."""
        stream = Stream(self.seed, self.class_rank, SPLIT)
        draw = _binomial if self.replacement else _hypergeometric
        stack = [(1, _Part(0, self.n, self.keep, 0))]
        while stack:
            node, part = stack.pop()
            low, high, chosen, before = part
            if low == high or not wanted(low, high):
                continue
            if high - low <= LEAF or not chosen or self._full(part):
                yield part
                continue
            middle = (low + high) // 2
            u = float(stream.uniform(node, node + 1)[0])
            left = draw(middle - low, high - middle, chosen, u)
            stack.append((2 * node + 1, _Part(middle, high, chosen - left, before + left)))
            stack.append((2 * node, _Part(low, middle, left, before)))

    def _leaf(self, part: _Part) -> np.ndarray:
        """Choose the rows of a leaf."""
        stream = Stream(self.seed, self.class_rank, CHOICE)
        size = part.high - part.low
        if self.replacement:
            # The draws of a class are numbered through, so each leaf has its own.
            drawn = stream.below(size, part.before, part.before + part.chosen)
            return np.bincount(drawn, minlength=size)
        words = stream.words(part.low, part.high)
        times = np.zeros(size, dtype=np.int64)
        times[np.argpartition(words, part.chosen)[: part.chosen]] = 1
        return times


def kept(
    n: int,
    keep: int,
    seed: int,
    class_rank: int,
    start: int,
    stop: int,
    *,
    replacement: bool = False,
) -> np.ndarray:
    """Return how often each of the rows ``start .. stop`` of a class is kept.

    Parameters
    ----------
    n, keep, seed, class_rank, replacement
        As for :class:`Subset`.
    start, stop : int
        Positions in the class.

    Returns
    -------
    ndarray of int64, shape (stop - start,)

    Examples
    --------
    >>> int(kept(10**9, 7, 0, 0, 0, 4_096).sum() + kept(10**9, 10**9 - 7, 0, 0, 5, 10).sum())
    5
    """
    return Subset(n, keep, seed, class_rank, replacement).times(start, stop)


def _hypergeometric(left: int, right: int, chosen: int, u: float) -> int:
    """Invert: of `chosen` rows out of left + right, without replacement, how many are left."""
    n = left + right
    deviation = sqrt(chosen * (left / n) * (right / n) * ((n - chosen) / (n - 1)))
    mode = (chosen + 1) * (left + 1) // (n + 2)

    def rise(x: np.ndarray) -> np.ndarray:
        return (left - x) * (chosen - x) / ((x + 1) * (right - chosen + x + 1))

    return _inverted(u, max(0, chosen - right), min(left, chosen), mode, deviation, rise)


def _binomial(left: int, right: int, chosen: int, u: float) -> int:
    """Invert: of `chosen` rows out of left + right, with replacement, how many are left."""
    n = left + right
    deviation = sqrt(chosen * (left / n) * (right / n))
    mode = min((chosen + 1) * left // n, chosen)

    def rise(x: np.ndarray) -> np.ndarray:
        return (chosen - x) / (x + 1) * (left / right)

    return _inverted(u, 0, chosen, mode, deviation, rise)


def _inverted(
    u: float,
    low: int,
    high: int,
    mode: int,
    deviation: float,
    rise: Callable[[np.ndarray], np.ndarray],
) -> int:
    """Return the number below which a share u of a distribution over ``low .. high`` lies.

    Probabilities are built outwards from the mode, so nothing overflows; `rise` gives the ratio of
    the probability of x + 1 to that of x.
    """
    reach = int(_DEVIATIONS * deviation) + _MORE
    first, last = max(low, mode - reach), min(high, mode + reach)
    ratios = rise(np.arange(first, last, dtype=np.float64))
    down, up = ratios[: mode - first], ratios[mode - first :]
    below = np.cumprod(1 / down[::-1])[::-1]
    sums = np.cumsum(np.concatenate([below, [1.0], np.cumprod(up)]))
    return min(last, first + int(np.searchsorted(sums, u * sums[-1], side="right")))
