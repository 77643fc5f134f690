"""How original and new rows of a class compare: column by column, and by distance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsmote.job.report.axis import Axis, axis_of, median
from dsmote.job.report.columns import NAMES, Shown
from dsmote.job.report.sample import Sample

__all__ = [
    "Compared",
    "Distances",
    "Levels",
    "Numbers",
    "compare_columns",
    "distances",
    "histogram",
    "mixed_distances",
]

TOP_LEVELS = 8
MISSING = "(missing)"
OTHER = "(all others)"
ASKING = 2_000  # rows of each kind whose nearest original is looked for
EQUAL = 1e-6  # standard deviations: what float32 cannot tell apart
_BLOCK_CELLS = 4_000_000
_FEW = 12  # a column of so few values may well be codes


@dataclass(frozen=True)
class Numbers:
    """A numeric column of original and of new rows.

    Shares are of all rows that have a finite value.
    """

    axis: Axis | None
    old: np.ndarray
    new: np.ndarray
    old_beyond: float
    new_beyond: float
    old_median: float
    new_median: float
    old_missing: float
    new_missing: float
    constant: float | None
    between: float  # share of new values where the originals have none but whole, or few, values
    few: int | None


@dataclass(frozen=True)
class Levels:
    """A nominal column: names, their shares of original and of new rows, and how many there are."""

    names: tuple[str, ...]
    old: tuple[float, ...]
    new: tuple[float, ...]
    n_old: int
    n_new: int


@dataclass(frozen=True)
class Compared:
    """One column.

    Parameters
    ----------
    column : Shown
    what : Numbers or Levels
    difference : float
        From 0 (alike) to 1: of numbers the largest difference of the cumulative distributions
        (Kolmogorov and Smirnov), of names the total variation distance.
    noise : float
        What two samples of this size from one distribution differ by at most, nearly always.
    """

    column: Shown
    what: Numbers | Levels
    difference: float
    noise: float


@dataclass(frozen=True)
class Distances:
    """Distances to the nearest original row of the class, from new and from original rows."""

    old: np.ndarray
    new: np.ndarray
    n_originals: int

    @property
    def usual(self) -> float:
        """The median distance of original rows to their nearest other."""
        return median(self.old)

    @property
    def ratio(self) -> float:
        """How far new rows are from originals, where originals are 1 from each other."""
        return median(self.new) / self.usual if self.usual else math.nan

    def share_within(self, part: float, of_new: bool = True) -> float:
        """Return the share of rows that are nearer than a part of the usual distance."""
        found = self.new if of_new else self.old
        return float(np.mean(found <= max(part * self.usual, EQUAL)))


def compare_columns(columns: Sequence[Shown], old: Sample, new: Sample) -> list[Compared]:
    """Compare each column of original and of new rows of one class.

    Parameters
    ----------
    columns : sequence of Shown
    old, new : Sample
        Of the class; at least one row each.

    Returns
    -------
    list of Compared
    """
    found, number, name = [], 0, 0
    for column in columns:
        if column.kind == NAMES:
            found.append(_levels(column, old.names[:, name], new.names[:, name]))
            name += 1
        else:
            found.append(_numbers(column, old.numbers[:, number], new.numbers[:, number]))
            number += 1
    return found


def _noise(n: int, m: int) -> float:
    # Kolmogorov's distribution, exceeded once in 10,000 columns.
    return 2.225 * math.sqrt((n + m) / (n * m)) if n and m else 1.0


def _numbers(column: Shown, old: np.ndarray, new: np.ndarray) -> Compared:
    fine_old, fine_new = old[np.isfinite(old)], new[np.isfinite(new)]
    pooled = np.concatenate([fine_old, fine_new])
    gaps = float(1 - len(fine_old) / len(old)), float(1 - len(fine_new) / len(new))
    if not len(pooled):
        empty = np.empty(0)
        nothing = Numbers(None, empty, empty, 0, 0, math.nan, math.nan, *gaps, None, 0, None)
        return Compared(column, nothing, abs(gaps[0] - gaps[1]), 1.0)
    axis = axis_of([fine_old, fine_new], column.kind)
    old_bars, old_beyond = histogram(axis, fine_old)
    new_bars, new_beyond = histogram(axis, fine_new)
    constant = float(pooled[0]) if pooled.min() == pooled.max() else None
    between, few = _between(column, fine_old, fine_new)
    what = Numbers(
        axis,
        old_bars,
        new_bars,
        old_beyond,
        new_beyond,
        median(fine_old) if len(fine_old) else math.nan,
        median(fine_new) if len(fine_new) else math.nan,
        *gaps,
        constant,
        between,
        few,
    )
    apart = max(_kolmogorov(fine_old, fine_new), abs(gaps[0] - gaps[1]))
    return Compared(column, what, apart, _noise(len(fine_old), len(fine_new)))


def _between(column: Shown, old: np.ndarray, new: np.ndarray) -> tuple[float, int | None]:
    """Return the share of new values of a kind that no original has, which codes would not bear."""
    if len(old) < 5 * _FEW or not len(new) or column.kind not in ("float", "int"):
        return 0.0, None
    values = np.unique(old)
    if 1 < len(values) <= _FEW:
        return float(1 - np.isin(new, values).mean()), len(values)
    if column.kind == "float" and (old == np.round(old)).all():
        return float((new != np.round(new)).mean()), None
    return 0.0, None


def histogram(axis: Axis, values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the share of values in each bin of an axis, and the share beyond its ends.

    Parameters
    ----------
    axis : Axis
    values : ndarray of float64, shape (n,)
        Finite.

    Returns
    -------
    shares : ndarray of float64, shape (bins,)
    beyond : float
    """
    if not len(values):
        return np.zeros(len(axis.edges) - 1), 0.0
    counts, _ = np.histogram(axis.place(values), bins=axis.edges)
    return counts / len(values), float(max(0.0, 1 - counts.sum() / len(values)))


def _kolmogorov(a: np.ndarray, b: np.ndarray) -> float:
    if not len(a) or not len(b):
        return 0.0
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    below = [np.searchsorted(values, at, side="right") / len(values) for values in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _levels(column: Shown, old: np.ndarray, new: np.ndarray) -> Compared:
    before, after = Counter(old.tolist()), Counter(new.tolist())
    every = {*before, *after}
    shares = {
        level: (before[level] / max(1, len(old)), after[level] / max(1, len(new)))
        for level in every
    }
    ranked = sorted(every, key=lambda level: (-sum(shares[level]), str(level)))
    # One more instead of a rest of one.
    top = ranked if len(ranked) <= TOP_LEVELS + 1 else ranked[:TOP_LEVELS]
    names = [MISSING if level is None else str(level) for level in top]
    pairs = [shares[level] for level in top]
    if len(top) < len(ranked):
        names.append(OTHER)
        rest = [shares[level] for level in ranked[len(top) :]]
        pairs.append((sum(a for a, _ in rest), sum(b for _, b in rest)))
    what = Levels(
        tuple(names),
        tuple(a for a, _ in pairs),
        tuple(b for _, b in pairs),
        len(before),
        len(after),
    )
    apart = sum(abs(a - b) for a, b in shares.values()) / 2
    # Of many levels each has few rows, and chance alone tells the samples apart.
    rows = 1 / len(old) + 1 / len(new)
    chance = sum(math.sqrt(max(pair) * rows) for pair in shares.values()) / 2
    noise = min(1.0, chance + _noise(len(old), len(new)))
    return Compared(column, what, min(1.0, apart), noise)


def distances(old: Sample, new: Sample) -> Distances | None:
    """Measure how near new rows are to original rows of their class.

    Each number is in units of its standard deviation among the originals, and a name that
    differs counts 1.

    Parameters
    ----------
    old, new : Sample
        Of one class.

    Returns
    -------
    Distances or None
        None where there are too few rows, or no column.
    """
    if len(old) < 2 or not len(new) or not (old.numbers.shape[1] + old.names.shape[1]):
        return None
    a, b = _standardised(old.numbers, new.numbers)
    codes_a, codes_b = _coded(old.names, new.names)
    asking = np.unique(np.linspace(0, len(old) - 1, min(len(old), ASKING)).astype(np.int64))
    asked = np.unique(np.linspace(0, len(new) - 1, min(len(new), ASKING)).astype(np.int64))
    near_old = mixed_distances(a[asking], codes_a[asking], a, codes_a, itself=asking)
    near_new = mixed_distances(b[asked], codes_b[asked], a, codes_a)
    return Distances(near_old, near_new, len(old))


def _standardised(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers in units of the originals' standard deviation; what is not finite is 0."""
    both = np.where(np.isfinite(old), old, np.nan), np.where(np.isfinite(new), new, np.nan)
    # A unit that no square of a difference is too large for.
    unit = np.max(np.abs(np.nan_to_num(np.vstack(both))), axis=0, initial=0.0)
    unit = np.where(unit > 0, unit, 1.0)
    a, b = both[0] / unit, both[1] / unit
    known = np.maximum(np.isfinite(a).sum(axis=0), 1)
    centre = np.nansum(a, axis=0) / known
    spread = np.sqrt(np.nansum((a - centre) ** 2, axis=0) / known)
    spread = np.where(spread > 1e-12, spread, 1.0)
    return tuple(np.nan_to_num((x - centre) / spread) for x in (a, b))


def _coded(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return names as numbers, alike in both."""
    codes = np.empty((len(old) + len(new), old.shape[1]), dtype=np.int32)
    for j in range(old.shape[1]):
        known: dict[str | None, int] = {}
        column = [*old[:, j].tolist(), *new[:, j].tolist()]
        codes[:, j] = [known.setdefault(name, len(known)) for name in column]
    return codes[: len(old)], codes[len(old) :]


def mixed_distances(
    rows: np.ndarray,
    codes: np.ndarray,
    among: np.ndarray,
    among_codes: np.ndarray,
    itself: np.ndarray | None = None,
) -> np.ndarray:
    """Return each row's distance to the nearest of others.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
    codes : ndarray of int, shape (n, m)
    among, among_codes : ndarray, shapes (N, d) and (N, m)
    itself : ndarray of int, shape (n,), optional
        Each row's own place among the others, which is left out.

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> line = np.array([[0.0], [3.0], [4.0]])
    >>> none = np.empty((3, 0), dtype=int)
    >>> mixed_distances(line, none, line, none, itself=np.arange(3)).tolist()
    [3.0, 1.0, 1.0]
    """
    found = np.empty(len(rows))
    lengths = (among**2).sum(axis=1)
    block = max(1, _BLOCK_CELLS // max(1, len(among)))
    for start in range(0, len(rows), block):
        here = slice(start, start + block)
        squares = lengths - 2 * rows[here] @ among.T  # without the row's own length: order only
        for j in range(codes.shape[1]):
            squares += codes[here, j, None] != among_codes[None, :, j]
        if itself is not None:
            squares[np.arange(len(squares)), itself[here]] = np.inf
        # These sums lose the digits of small distances: the best few are measured anew.
        best = np.argpartition(squares, min(3, squares.shape[1] - 1), axis=1)[:, :4]
        exact = ((rows[here, None, :] - among[best]) ** 2).sum(axis=2)
        exact += (codes[here, None, :] != among_codes[best]).sum(axis=2)
        if itself is not None:
            exact[best == itself[here, None]] = np.inf
        found[here] = np.sqrt(exact.min(axis=1))
    return found
