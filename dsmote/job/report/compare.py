"""How original and new rows of a class compare: feature by feature, by distance, and in a plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dsmote.job.report.sample import CATEGORICAL, Column, evenly
from dsmote.neighbors import choose_engine
from dsmote.neighbors.tree import principal_axes

TOP_LEVELS = 8
MISSING = "(missing)"
QUERIES = 2_000  # rows of each kind whose nearest original row is searched
EQUAL = 1e-6  # standard deviations: what float32 cannot tell apart
VISIBLE = 0.1  # difference of distributions that is worth a word
FEW = 12  # a column with so few distinct values may well hold codes
POINTS = 1_500  # of a kind in a scatter plot
FAR = 4.0  # standard deviations; what lies farther out is drawn there
BALANCED = 200  # rows from which a class counts as much as all others in the projection
NOTHING = np.empty(0)
CUT = 0.005  # fraction at either end that an axis need not reach


def median(values: np.ndarray) -> float:
    """Return the median; the halves keep the sum of two values within float64."""
    return 2 * float(np.median(values / 2)) if len(values) else math.nan


def format_number(value: float) -> str:
    """Write a number."""
    if not math.isfinite(value):
        return "–"
    whole = value == int(value) or abs(value) >= 1e4
    return f"{value:,.0f}" if whole and abs(value) < 1e9 else f"{value:.4g}"


def format_value(value: float, kind: str) -> str:
    """Write a value of a column."""
    if kind == "bool":
        return "true" if value else "false"
    if kind not in ("datetime", "timedelta") or not math.isfinite(value):
        return format_number(value)
    try:
        span = timedelta(seconds=value)
        if kind == "datetime":
            text = (datetime(1970, 1, 1) + span).isoformat(" ", "seconds")
            return text.removesuffix(" 00:00:00")
        if abs(value) >= 1:
            return ("-" if value < 0 else "") + str(abs(timedelta(seconds=round(value))))
    except OverflowError:
        pass
    return f"{format_number(value)} s"


def percent(share: float) -> str:
    """Write an exact share: small ones with as many digits as they need to be none."""
    digits = 2 - min(0, math.floor(math.log10(abs(share)) + 2)) if share else 0
    return f"{100 * share:.{digits}f} %"


def rough(share: float) -> str:
    """Write the share of a sample, of which more digits would say nothing."""
    if 0 < share < 0.0005 or 0.9995 <= share < 1 - 1e-9:
        return "< 0.1 %" if share < 0.5 else "> 99.9 %"
    return f"{100 * share:.1f} %" if share else "0 %"


class Compared(NamedTuple):
    """A column of original and of new rows of a class.

    `difference` lies between 0 (alike) and 1: the Kolmogorov-Smirnov statistic of numbers, the
    total variation distance of levels. Two samples of these sizes from one distribution hardly
    ever differ by more than `noise`.
    """

    column: Column
    difference: float
    noise: float
    old: np.ndarray = NOTHING  # finite values, sorted
    new: np.ndarray = NOTHING
    missing: tuple[float, float] = (0.0, 0.0)
    invented: float = 0.0  # fraction of new values where the originals have few, or whole, values
    few: bool = False
    levels: Sequence[Any] = ()  # name, fractions of original and of new rows
    n_levels: tuple[int, int] = (0, 0)

    @property
    def visible(self) -> bool:
        """Whether the difference is large, and more than chance."""
        return self.difference > max(VISIBLE, self.noise)

    @property
    def constant(self) -> float | None:
        """The only finite value of all rows."""
        ends = {float(v) for values in (self.old, self.new) for v in values[[0, -1][: len(values)]]}
        return ends.pop() if len(ends) == 1 else None


def compare_column(column: Column, old: pd.Series, new: pd.Series) -> Compared:
    """Compare a column of original and of new rows of one class, at least one row each."""
    return (_levels if column.kind == CATEGORICAL else _numbers)(column, old, new)


def _noise(n: int, m: int) -> float:
    # Kolmogorov's distribution, exceeded once in 10,000 columns.
    return 2.225 * math.sqrt((n + m) / (n * m)) if n and m else 1.0


def _numbers(column: Column, *both: pd.Series) -> Compared:
    values = [of.to_numpy(dtype=np.float64) for of in both]
    old, new = (np.sort(of[np.isfinite(of)]) for of in values)
    missing = 1 - len(old) / len(both[0]), 1 - len(new) / len(both[1])
    difference, levels = abs(missing[0] - missing[1]), []
    if len(old) and len(new):
        at = np.concatenate([old, new])
        below = [np.searchsorted(of, at, side="right") / len(of) for of in (old, new)]
        difference = max(difference, float(np.abs(below[0] - below[1]).max()))
        if column.kind == "bool":
            a, b = float(old.mean()), float(new.mean())
            levels = [("false", 1 - a, 1 - b), ("true", a, b)]
    noise = _noise(len(old), len(new))
    found = Compared(column, difference, noise, old, new, missing, levels=levels)
    distinct = np.unique(old)
    if len(old) < 5 * FEW or not len(new) or column.kind not in ("float", "int"):
        return found
    if 1 < len(distinct) <= FEW:
        return found._replace(invented=float(1 - np.isin(new, distinct).mean()), few=True)
    if column.kind == "float" and (old == np.round(old)).all():
        return found._replace(invented=float((new != np.round(new)).mean()))
    return found


def _levels(column: Column, old: pd.Series, new: pd.Series) -> Compared:
    counts = pd.DataFrame({i: of.fillna(MISSING).value_counts() for i, of in enumerate((old, new))})
    shares = counts.fillna(0) / [len(old), len(new)]
    shares = shares.sort_index().iloc[np.argsort(-shares.sort_index().sum(axis=1), kind="stable")]
    # One level more instead of a rest of one.
    n = len(shares) if len(shares) <= TOP_LEVELS + 1 else TOP_LEVELS
    levels = [(str(level), *pair) for level, *pair in shares.iloc[:n].itertuples()]
    if n < len(shares):
        levels.append(("(all others)", *shares.iloc[n:].sum()))
    # Of many levels each has few rows, and chance alone tells the samples apart.
    rows = 1 / len(old) + 1 / len(new)
    chance = float(np.sqrt(shares.max(axis=1) * rows).sum()) / 2
    difference = float((shares[0] - shares[1]).abs().sum()) / 2
    noise = min(1.0, chance + _noise(len(old), len(new)))
    n_levels = int(counts[0].count()), int(counts[1].count())
    return Compared(column, difference, noise, levels=levels, n_levels=n_levels)


@dataclass(frozen=True)
class Distances:
    """Distances to the nearest original row of the class, from new and from original rows."""

    old: np.ndarray
    new: np.ndarray

    @property
    def usual(self) -> float:
        """The median distance of original rows to their nearest other."""
        return median(self.old)

    @property
    def ratio(self) -> float:
        """How far new rows are from originals, where originals are 1 from each other."""
        return median(self.new) / self.usual if self.usual else math.nan

    def within(self, part: float) -> tuple[float, float]:
        """Return the fractions of original and of new rows within a part of the usual distance."""
        reach = max(part * self.usual, EQUAL)
        return float(np.mean(self.old <= reach)), float(np.mean(self.new <= reach))


def distances(columns: Sequence[Column], old: pd.DataFrame, new: pd.DataFrame) -> Distances | None:
    """Measure how near new rows are to original rows of their class; None without two rows.

    Numbers count in standard deviations of the original rows; a level that differs counts 1.
    """
    if len(old) < 2 or not columns:
        return None
    numbers, levels = _split(columns, [old, new])
    n, queries, of_new = len(old), evenly(len(old), QUERIES), len(old) + evenly(len(new), QUERIES)
    # With a column of zeros, because an index needs a numeric feature.
    matrix = np.column_stack([np.zeros(len(numbers)), _standardised(numbers, n)])
    if not levels:
        engine: Any = choose_engine(n, matrix[queries]).engine
        index, points = engine.build(matrix[:n]), matrix[of_new]
    else:
        codes = np.column_stack([pd.factorize(values)[0] for values in levels]).astype(np.int32)
        engine = choose_engine(n, matrix[queries], codes[queries], 1.0).engine
        index = engine.build_mixed(matrix[:n], codes[:n], 1.0)
        # Codes follow the order of appearance: higher ones are of levels that no original has.
        known = np.where(codes[of_new] > codes[:n].max(axis=0), -1, codes[of_new])
        points = np.hstack([matrix[of_new], known])
    return Distances(index.query(queries, 1)[0][:, 0], index.query_points(points, 1)[0][:, 0])


def _split(
    columns: Sequence[Column], samples: Sequence[pd.DataFrame]
) -> tuple[np.ndarray, list[pd.Series]]:
    """Return the numeric features of samples as a matrix, and the categorical ones as text."""
    rows = pd.concat(samples)
    numbers = [i for i, c in enumerate(columns) if c.kind != CATEGORICAL]
    levels = [rows[i].fillna("") for i, c in enumerate(columns) if c.kind == CATEGORICAL]
    return rows[numbers].to_numpy(dtype=np.float64), levels


def _standardised(values: np.ndarray, n: int, *clip_to: slice) -> np.ndarray:
    """Return numbers in standard deviations of the first n rows; what is not finite is 0.

    Values outside the range that some groups of rows cover, but for their ends, are clipped to it.
    """
    finite = np.isfinite(values)
    values = np.where(finite, values, 0.0)
    # A unit in which neither differences nor their squares overflow.
    unit = np.abs(values).max(axis=0, initial=0.0)
    values = values / np.where(unit > 0, unit, 1.0)
    ends = [np.quantile(values[of], [CUT, 1 - CUT], axis=0) for of in clip_to if len(values[of])]
    if ends:
        values = np.clip(values, np.min(ends, axis=0)[0], np.max(ends, axis=0)[1])
    count = np.maximum(finite[:n].sum(axis=0), 1)
    centre = np.where(finite[:n], values[:n], 0.0).sum(axis=0) / count
    values = np.where(finite, values - centre, 0.0)
    spread = np.sqrt((values[:n] ** 2).sum(axis=0) / count)
    return values / np.where(spread > 1e-12, spread, 1.0)


@dataclass(frozen=True)
class Projection:
    """Rows in a plane, the share of the variance along either axis, and the columns used."""

    others: np.ndarray
    old: np.ndarray
    new: np.ndarray
    explained: tuple[float, float]
    n_columns: int


def project_rows(columns: Sequence[Column], *samples: pd.DataFrame) -> Projection | None:
    """Project rows (others, own, new) on two principal components of the original rows.

    Numbers are standardised and clipped, so that a few far rows do not decide the picture. A level
    is an indicator column divided by sqrt(2), so that two that differ are 1 apart.
    Returns None if the original rows do not differ in any column.
    """
    picked = [sample.iloc[evenly(len(sample), POINTS)] for sample in samples]
    a, b, _ = np.cumsum([len(sample) for sample in picked])
    numbers, levels = _split(columns, picked)
    used = list(np.clip(_standardised(numbers, b, slice(a), slice(a, b)), -FAR, FAR).T)
    for of in levels:
        frequent = of.iloc[:b].value_counts().index[:TOP_LEVELS]
        used += [(of == level).to_numpy() / 2**0.5 for level in frequent]
    if not used:
        return None
    matrix = np.column_stack(used)
    # A class counts as much as all others, or it would not be seen among them; if small, less.
    weights = np.full(b, 1 / max(1, a))
    weights[a:] = 1 / max(BALANCED, b - a)
    matrix = matrix - np.average(matrix[:b], axis=0, weights=weights)
    scaled = matrix[:b] * np.sqrt(weights / weights.sum())[:, None]
    values, axes = principal_axes(scaled)
    total = float(values.sum())
    if not total > 1e-18:
        return None
    x, y = (max(0.0, value / total) for value in (*values.tolist(), 0.0)[:2])
    axes = np.column_stack([axes, 0 * axes[:, 0]])[:, :2]
    # A component has no direction of its own: its largest weight is made positive.
    plane = matrix @ (axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0))
    n_columns = int((matrix[:b].std(axis=0) > 1e-12).sum())
    return Projection(plane[:a], plane[a:b], plane[b:], (x, y), n_columns)
