r"""Randomness keyed by what a row is, so that no partition, worker or call order can change it.

Every random number belongs to one *stream* and has one *place* in it::

    seed --+-- class 0 --+-- ALLOCATION   u0 u1 u2 ...   which row is a base
           |             +-- NEIGHBOUR    u0 u1 u2 ...   one per synthetic row
           |             +-- GAP          u0 u1 u2 ...   one per synthetic row
           |             +-- VOTE + j     u0 u1 u2 ...   one per synthetic row, categorical column j
           |             +-- INDEX        u0             seed of an engine that draws
           |             +-- SHARE        u0             division of the class, where it is drawn
           |             +-- REPORT       u0 u1 u2 ...   one per row: is it shown in the report
           |             +-- NOISE + j    u0 u1 u2 ...   one per synthetic row, numeric column j
           |             +-- SPLIT        u1 u2 u3 ...   one per node: rows kept of its left half
           |             +-- CHOICE       u0 u1 u2 ...   one per row (or per draw): is it kept
           |             +-- MIX          b0 b1 b2 ...   one per row of the output: its place
           +-- class 1 --+-- ...

A stream is a Philox counter generator (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
easy as 1, 2, 3", SC 2011) whose key is derived from (seed, class, purpose). The numbers at places
``start .. stop`` are computed without those before them: a block of synthetic rows draws exactly
the numbers that belong to its rows, on any worker and however often it is computed.

**Base rows.** The synthetic rows of a class are numbered 0, 1, ... in order of their base row::

    base row      0     1     2        3   4 ...
    copies        2     0     3        1   ...
    ends          2     2     5        6   ...      (running total)
    new row     0   1       2   3   4   5  ...

so a block of consecutive new rows touches consecutive base rows, and no base row's neighbours
are searched for twice (but for one at each edge of a block).

**Subsets.** The rows of a class stand at positions 0 .. n. How many of the kept ones lie in the
left half is drawn, then how many of those in *its* left half, and so on down to leaves, which
choose::

    keep 6 of [0, n)           node 1: u1 says 2 | 4
                   /      \
        2 of [0, n/2)    4 of [n/2, n)           nodes 2, 3: u2 says 0 | 2, u3 says 3 | 1
          /       \        /       \
        0          2      3         1            leaves of at most 4,096 rows
                 x..x    .xxx      ..x.          the rows with the smallest random bits of their own

A node's number in this tree is the place of its draw, and a row's position that of its bits, so
what happens to a row depends on the seed, its class and its position only. The task that has the
rows ``start .. stop`` draws at the nodes above them and at no others: some tens of draws in a class
of 10**9 rows. All parts add up to exactly `keep`, however they are cut.

Without replacement the number in the left half is hypergeometric; with replacement it is binomial,
and a leaf draws its rows with replacement. Both numbers are found by inversion of one uniform draw,
with arithmetic that is the same wherever it runs: NumPy may change its own samplers between
versions, and its hypergeometric ends at 10**9. Source of the splits: Sanders, Lamm,
Hübschle-Schneider, Schrade and Dachsbacher, "Efficient parallel random sampling: vectorized,
cache-efficient, and online", ACM TOMS 44(3), 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

ALLOCATION, NEIGHBOUR, GAP, VOTE = 0, 1, 2, 3
# Above VOTE + any column.
INDEX, SPLIT, CHOICE, SHARE, MIX, REPORT = (2**31 + i for i in range(6))
NOISE = 2**31 + 16

_PER_COUNT = 4  # Philox4x64 gives four times 64 bits for each value of its counter


def root_seed(random_state: Any) -> int:
    """Return the one number that all draws of a run are derived from.

    None takes fresh entropy; a generator is asked for one number, and so moves on. What is drawn
    here is below 2**32, which every ``random_state`` takes: it is recorded so that the run can be
    repeated.
    """
    if random_state is None:
        entropy = np.random.SeedSequence().entropy
        return int(entropy) % 2**32  # type: ignore[arg-type]
    if isinstance(random_state, Integral):
        if random_state < 0:
            raise ValueError(f"random_state must not be negative, but is {random_state}")
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**32))
    raise ValueError(
        "random_state must be None, an int, a RandomState or a Generator, but is "
        f"{type(random_state).__name__}"
    )


def seed_of_step(seed: int, place: int) -> int:
    """Return the seed of a step of a chain: that of the chain for the first, others for others.

    Examples
    --------
    >>> [seed_of_step(7, place) == 7 for place in range(3)]
    [True, False, False]
    """
    if not place:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(place,)).generate_state(1)[0])


class Stream:
    """An unlimited, addressable sequence of random numbers.

    Examples
    --------
    >>> all_of_it = Stream(0, 1, GAP).uniform(0, 10)
    >>> part = Stream(0, 1, GAP).uniform(3, 7)
    >>> bool((all_of_it[3:7] == part).all())
    True
    """

    def __init__(self, seed: int, class_rank: int, purpose: int) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=(class_rank, purpose))
        self._key = sequence.generate_state(2, np.uint64)

    def bits(self, start: int, stop: int) -> np.ndarray:
        """Return 64 random bits for each of the places ``start .. stop``; uint64."""
        first = start // _PER_COUNT
        generator = np.random.Philox(key=self._key)
        generator.advance(first)
        found = generator.random_raw(stop - first * _PER_COUNT)
        return np.asarray(found[start - first * _PER_COUNT :], dtype=np.uint64)

    def uniform(self, start: int, stop: int) -> np.ndarray:
        """Return float64 draws from [0, 1) with 53 random bits."""
        return (self.bits(start, stop) >> np.uint64(11)) * 2.0**-53

    def below(self, limit: int, start: int, stop: int) -> np.ndarray:
        """Return int64 draws from {0, ..., limit - 1}; limit at most 2**31.

        The upper 32 bits are scaled, so a value is off its exact probability by less than
        limit / 2**32 of itself.
        """
        upper = self.bits(start, stop) >> np.uint64(32)
        return ((upper * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)


class Scattered(Stream):
    """Those of its numbers that stand at some places, as a stream of their own."""

    def __init__(self, seed: int, class_rank: int, purpose: int, places: np.ndarray) -> None:
        super().__init__(seed, class_rank, purpose)
        self._places = places

    def bits(self, start: int, stop: int) -> np.ndarray:
        """Return the bits at the places of these numbers, each computed by itself; uint64."""
        places = self._places[start:stop].astype(np.uint64)
        counter, word = np.divmod(places, np.uint64(_PER_COUNT))
        return _philox(counter + np.uint64(1), self._key)[word, np.arange(len(places))]


_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_FACTORS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_STEPS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)


def _multiplied(a: np.ndarray, b: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and the lower 64 bits of products of 64-bit numbers."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    low, middle = a_low * b_low, a_high * b_low
    middle += low >> _HALF
    cross = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (cross >> _HALF), a * b


def _philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return the four numbers of each counter, shape (4, n): ten rounds of Philox4x64."""
    zero = np.zeros_like(counter)
    a, b, c, d = counter, zero, zero, zero
    with np.errstate(over="ignore"):  # all is modulo 2**64
        one, other = key[0], key[1]
        for _ in range(10):
            (high, low), (top, end) = _multiplied(a, _FACTORS[0]), _multiplied(c, _FACTORS[1])
            a, b, c, d = top ^ b ^ one, end, high ^ d ^ other, low
            one, other = one + _STEPS[0], other + _STEPS[1]
    return np.stack([a, b, c, d])


_STEP = 1 << 20  # draws held at once


def copies_with_replacement(
    n_rows: int,
    n_new: int,
    seed: int,
    class_rank: int,
    among: np.ndarray | None = None,
    first: int = 0,
) -> np.ndarray:
    """Draw n_new bases uniformly, and return the running total of copies of each row.

    Row ``i`` is the base of the new rows ``ends[i - 1] .. ends[i]``. `among` are the rows that may
    serve as a base, all when omitted; `first` is the place in the stream of the first draw.

    Examples
    --------
    >>> ends = copies_with_replacement(4, 10, seed=0, class_rank=1)
    >>> int(ends[-1])
    10
    >>> copies_with_replacement(4, 10, seed=0, class_rank=1, among=np.array([2]))
    array([ 0,  0, 10, 10])
    """
    stream = Stream(seed, class_rank, ALLOCATION)
    n = n_rows if among is None else len(among)
    copies = np.zeros(n, dtype=np.int64)
    for start in range(0, n_new, _STEP):
        drawn = stream.below(n, first + start, first + min(n_new, start + _STEP))
        copies += np.bincount(drawn, minlength=n)
    if among is None:
        return np.cumsum(copies)
    spread = np.zeros(n_rows, dtype=np.int64)
    spread[among] = copies
    return np.cumsum(spread)


def shares(weights: np.ndarray, total: int) -> np.ndarray:
    """Divide a whole number by weights, by largest remainders: the parts add up to it.

    Each part is its exact share, rounded down or up; of equal remainders the first is rounded up.

    Examples
    --------
    >>> shares(np.array([1.0, 1.0, 0.0, 2.0]), 6)
    array([2, 1, 0, 3])
    """
    largest = float(np.max(weights, initial=0.0))
    if not (largest > 0 and np.isfinite(largest) and (weights >= 0).all()):
        raise ValueError(f"weights must be finite, none negative and not all 0; found {weights!r}")
    part = weights / largest
    part = part * (total / part.sum())
    whole = np.floor(part).astype(np.int64)
    left = total - int(whole.sum())
    # Rounding of the sum can leave one too many or too few, never more than there are rows.
    order = np.argsort(-(part - whole), kind="stable")
    order = order[weights[order] > 0]
    while left > 0:
        some = order[:left]
        whole[some] += 1
        left -= len(some)
    for i in order[::-1]:
        if left == 0:
            break
        if whole[i]:
            whole[i] -= 1
            left += 1
    return whole


def copies_by_weight(weights: np.ndarray, n_new: int) -> np.ndarray:
    """Give each base row copies in proportion to its weight; their running total.

    Examples
    --------
    >>> copies_by_weight(np.array([0.0, 0.5, 0.25]), 4)
    array([0, 3, 4])
    """
    return np.cumsum(shares(weights, n_new))


def bases_of(ends: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return the base row of each of the new rows ``start .. stop``, ascending.

    Examples
    --------
    >>> bases_of(np.array([2, 2, 5, 6]), 1, 6)
    array([0, 2, 2, 2, 3])
    """
    return np.searchsorted(ends, np.arange(start, stop), side="right")


LEAF = 4096  # rows of a leaf, at most
_DEVIATIONS, _MORE = 9, 30  # less than 2**-53 lies outside: standard deviations, and a margin


class _Part(NamedTuple):
    """Rows ``low .. high``, of which `chosen` are kept, after `before` that stand before them."""

    low: int
    high: int
    chosen: int
    before: int


@dataclass(frozen=True)
class Subset:
    """A random choice of exactly `keep` of the `n` rows of a class.

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
        """Return how often each of the rows ``start .. stop`` is kept; int64."""
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
        """Return how often rows before each of ascending positions are kept; int64."""
        positions = np.asarray(positions, dtype=np.int64)
        found = np.full(len(positions), self.keep, dtype=np.int64)

        def places(low: int, high: int) -> slice:
            return slice(*np.searchsorted(positions, [low, high]).tolist())

        def hit(low: int, high: int) -> bool:
            inside = places(low, high)
            return bool(inside.start < inside.stop)

        for part in self._parts(hit):
            here = places(part.low, part.high)
            inside = positions[here] - part.low
            if not part.chosen:
                found[here] = part.before
            elif self._full(part):
                found[here] = part.before + inside
            else:
                sums = np.cumsum(self._leaf(part))
                found[here] = part.before + np.where(inside > 0, sums[inside - 1], 0)
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
        bits = stream.bits(part.low, part.high)
        times = np.zeros(size, dtype=np.int64)
        times[np.argpartition(bits, part.chosen)[: part.chosen]] = 1
        return times


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
