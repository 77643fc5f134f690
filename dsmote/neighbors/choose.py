"""Which engine: chosen from the rows alone, never by a clock, and with the reason in words."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from dsmote.neighbors.engines import BruteIndex, CappedIndex, Engine, TreeIndex

__all__ = ["Choice", "choose_engine", "engine_named", "intrinsic_dimension"]

TREE_DIMENSION = 8.0  # for 10,000 rows; above it a kd-tree visits most of its leaves

_TREE, _BRUTE, _FAST_TREE, _FAST = (
    TreeIndex(),
    BruteIndex(),
    TreeIndex(eps=0.5),
    CappedIndex(20_000),
)


class Choice(NamedTuple):
    """An engine's name, and why it was chosen."""

    name: str
    why: str


def intrinsic_dimension(sample: np.ndarray) -> float:
    """Estimate in how many directions rows spread: the participation ratio of the spectrum.

    Parameters
    ----------
    sample : ndarray of float64, shape (s, d)
        Some rows.

    Returns
    -------
    float
        (sum of eigenvalues)^2 / sum of squared eigenvalues of the covariance: d when all
        directions have equal variance, 1 when there is one.

    Examples
    --------
    >>> line = np.arange(10.0)[:, None] * np.ones((1, 4))
    >>> round(intrinsic_dimension(line), 6)
    1.0
    """
    if len(sample) < 2 or sample.shape[1] == 0:
        return 0.0
    centred = sample - sample.mean(axis=0)
    largest = np.abs(centred).max()
    if largest == 0.0 or not np.isfinite(largest):
        return 0.0
    values = np.linalg.svd(centred / largest, compute_uv=False) ** 2
    return float(values.sum() ** 2 / (values**2).sum())


def choose_engine(n_rows: int, sample: np.ndarray, *, fast: bool = False) -> Choice:
    """Choose the engine for a class: "tree" or "brute", or a faster one that approximates.

    Parameters
    ----------
    n_rows : int
        Rows of the class.
    sample : ndarray of float64, shape (s, d)
        Some of its rows, drawn by what they are and not by where they lie.
    fast : bool, default=False
        Take an approximate engine: ``TreeIndex(eps=0.5)`` or ``CappedIndex(20_000)``.

    Examples
    --------
    >>> choose_engine(10_000, np.arange(20.0)[:, None]).name
    'tree'
    """
    dimension = intrinsic_dimension(sample)
    # Normal rows, k = 5, tree against brute force: equal at 7.3 directions for 2,000 rows, 7.7 for
    # 20,000, 8.8 for 100,000 and 9.3 for 500,000. Clumps make it a little easier for the tree.
    limit = TREE_DIMENSION + max(-1.0, math.log10(max(1, n_rows) / 10_000))
    tree, compared = (True, "at most") if dimension <= limit else (False, "above")
    engine = (_FAST_TREE if tree else _FAST) if fast else (_TREE if tree else _BRUTE)
    return Choice(
        engine.name,
        f"{n_rows:,} rows x {sample.shape[1]} columns spread in {dimension:.1f} directions, "
        f"{compared} {limit:.1f} (estimated from {len(sample):,} rows)",
    )


def engine_named(name: Any) -> Engine:
    """Return the engine that a name chosen by :func:`choose_engine` stands for.

    Examples
    --------
    >>> engine_named("tree")
    TreeIndex(eps=0.0)
    """
    return {engine.name: engine for engine in (_TREE, _BRUTE, _FAST_TREE, _FAST)}[name]
