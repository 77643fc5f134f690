"""A picture of rows in a plane: their two leading principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsmote.job.report.sample import Sample

__all__ = ["FULL", "Projection", "project_rows"]

TOP = 8  # levels of a nominal column that take part
POINTS = 1_500  # of a kind
CUT = 0.005
FAR = 4.0  # standard deviations
FULL = 200  # rows from which a class counts as much as all others


@dataclass(frozen=True)
class Projection:
    """Rows in a plane.

    Parameters
    ----------
    others, old, new : ndarray of float64, shape (n, 2)
        Original rows of other classes; original and new rows of the class.
    explained : tuple of (float, float)
        Share of the variance along either axis.
    n_columns : int
        Columns of numbers, and levels of names, that take part.
    """

    others: np.ndarray
    old: np.ndarray
    new: np.ndarray
    explained: tuple[float, float]
    n_columns: int


def project_rows(others: Sample, old: Sample, new: Sample) -> Projection | None:
    """Project rows on the two leading principal components of the original ones.

    Numbers are standardised, after what lies beyond the outer half per cent was moved to its
    border, so that a few far rows are not the picture. A name is 1 for its level and 0 for others,
    divided by the square root of 2, so that two that differ are 1 apart.

    Parameters
    ----------
    others, old, new : Sample

    Returns
    -------
    Projection or None
        None where the originals do not differ in any column.
    """
    picked = [_some(sample) for sample in (others, old, new)]
    matrix = np.hstack([_numbers(picked), _names(picked)])
    ends = np.cumsum([len(sample) for sample in picked])
    originals = matrix[: ends[1]]
    if not len(originals):
        return None
    # A class counts as much as all others, or it would not be seen beside them; with few rows less.
    own = ends[1] - ends[0]
    weights = np.ones(ends[1])
    weights[: ends[0]] /= max(1, ends[0])
    weights[ends[0] :] /= max(FULL, own)
    matrix = matrix - np.average(originals, axis=0, weights=weights)
    weighted = matrix[: ends[1]] * np.sqrt(weights / weights.sum())[:, None]
    _, lengths, axes = np.linalg.svd(weighted, full_matrices=False)
    total = float((lengths**2).sum())
    if not total > 1e-18:
        return None
    lengths, axes = _padded(lengths, axes)
    # A component has no direction of its own: its largest weight is made positive.
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.where(axes[np.arange(2), largest] < 0, -1.0, 1.0)[:, None]
    places = matrix @ axes.T
    explained = float(lengths[0] ** 2 / total), float(lengths[1] ** 2 / total)
    return Projection(
        places[: ends[0]],
        places[ends[0] : ends[1]],
        places[ends[1] :],
        explained,
        matrix.shape[1],
    )


def _some(sample: Sample) -> Sample:
    """Return at most `POINTS` rows, evenly from all."""
    if len(sample) <= POINTS:
        return sample
    return sample.rows(np.linspace(0, len(sample) - 1, POINTS).astype(np.int64))


def _padded(lengths: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two components, also where one column, or one row, gives only one."""
    if len(lengths) >= 2:
        return lengths[:2], axes[:2]
    return np.array([lengths[0], 0.0]), np.vstack([axes, np.zeros_like(axes[:1])])


def _numbers(samples: list[Sample]) -> np.ndarray:
    """Return the numbers of all rows, standardised by those of the original ones."""
    n_others = len(samples[0])
    n_originals = n_others + len(samples[1])
    values = np.vstack([sample.numbers for sample in samples])
    values = np.where(np.isfinite(values), values, np.nan)
    columns = []
    for j in range(values.shape[1]):
        column = values[:, j]
        known = column[:n_originals][np.isfinite(column[:n_originals])]
        if not len(known):
            continue
        unit = float(np.abs(known).max()) or 1.0
        with np.errstate(over="ignore"):  # a new row may be far out: it is moved to the border
            column, known = column / unit, known / unit
        low, high = _ends(column[:n_others], column[n_others:n_originals])
        column = np.clip(column, low, high)
        mean, spread = np.nanmean(column[:n_originals]), np.nanstd(column[:n_originals])
        if spread > 1e-12:
            columns.append(np.clip(np.nan_to_num((column - mean) / spread), -FAR, FAR))
    return np.column_stack(columns) if columns else np.empty((len(values), 0))


def _ends(*kinds: np.ndarray) -> tuple[float, float]:
    """Return the ends of a column without its outer half per cent, of each kind of row."""
    ends = [
        np.quantile(known, [CUT, 1 - CUT])
        for kind in kinds
        if len(known := kind[np.isfinite(kind)])
    ]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _names(samples: list[Sample]) -> np.ndarray:
    """Return an indicator column for each frequent level of each nominal column."""
    n_originals = len(samples[0]) + len(samples[1])
    values = np.vstack([sample.names for sample in samples])
    columns = []
    for j in range(values.shape[1]):
        column = np.array([value or "" for value in values[:, j]], dtype=object)
        levels, counts = np.unique(column[:n_originals].astype(str), return_counts=True)
        for level in levels[np.argsort(-counts, kind="stable")[:TOP]]:
            columns.append((column == level) / np.sqrt(2))
    return np.column_stack(columns) if columns else np.empty((len(values), 0))
