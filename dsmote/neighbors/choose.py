"""Which engine: chosen from the rows alone, never by a clock."""

from __future__ import annotations

import numpy as np

from dsmote.neighbors.brute import BruteIndex
from dsmote.neighbors.protocol import NeighborIndex
from dsmote.neighbors.tree import TreeIndex

__all__ = ["build_index", "choose_engine", "intrinsic_dimension"]

TREE_DIMENSION = 12.0  # above it a kd-tree visits most of its leaves


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


def choose_engine(n_rows: int, sample: np.ndarray) -> str:
    """Choose "tree" or "brute" for a class.

    Parameters
    ----------
    n_rows : int
        Rows of the class.
    sample : ndarray of float64, shape (s, d)
        Some of its rows.

    Examples
    --------
    >>> choose_engine(10_000, np.arange(20.0)[:, None])
    'tree'
    """
    dimension = intrinsic_dimension(sample)
    return "tree" if dimension <= TREE_DIMENSION else "brute"


def build_index(engine: str, matrix: np.ndarray) -> NeighborIndex:
    """Build the index that `engine` names over the rows of a class."""
    return TreeIndex(matrix) if engine == "tree" else BruteIndex(matrix)
