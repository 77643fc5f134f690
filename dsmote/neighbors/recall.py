"""How many of the true neighbours a search finds, measured on a seeded sample of the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.protocol import NeighborIndex

__all__ = ["Recall", "measure_recall"]

SAMPLE = 1000  # rows that are asked for


@dataclass(frozen=True)
class Recall:
    """Share of the true neighbours found.

    Attributes
    ----------
    recall : float
        Found neighbours that are no further than the true k-th, as a share of all.
    distance_ratio : float
        Mean distance of the found ones over that of the true ones (1 where the true ones are 0).
    sampled, k : int
        Rows asked for, and neighbours of each.
    """

    recall: float
    distance_ratio: float
    sampled: int
    k: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return asdict(self)


def measure_recall(
    index: NeighborIndex,
    matrix: np.ndarray,
    k: int,
    *,
    seed: int,
    codes: np.ndarray | None = None,
    weight: float = 0.0,
    n_sample: int = SAMPLE,
) -> Recall:
    """Compare an index with brute force on a seeded sample of its rows.

    Parameters
    ----------
    index : NeighborIndex
        What is measured.
    matrix : ndarray of float64, shape (n, d)
        All its rows.
    k : int
        Neighbours.
    seed : int
        Decides the sample.
    codes : ndarray of int32, shape (n, q), optional
        Nominal columns.
    weight : float
        What a differing name counts for.
    n_sample : int
        Rows of the sample, at most n.

    Examples
    --------
    >>> from dsmote.neighbors.tree import TreeSearch
    >>> rows = np.random.default_rng(0).normal(size=(50, 2))
    >>> measure_recall(TreeSearch(rows), rows, 3, seed=0).recall
    1.0
    """
    n = len(matrix)
    asked = np.sort(np.random.default_rng(seed).choice(n, min(n, n_sample), replace=False))
    brute = BruteSearch(matrix, codes, weight)
    true = brute.query(asked, k)[0]
    _, found = index.query(asked, k)
    of = brute.groups.of
    distances = np.sqrt(brute.squared(of[asked], of[found])) / brute.scale
    # Neighbours that are as near as the k-th, but for what a foreign object rounds, are as good.
    near = distances <= true[:, -1:] * (1 + 1e-9)
    total, best = float(distances.sum()), float(true.sum())
    return Recall(
        recall=round(float(near.mean()), 6),
        distance_ratio=round(total / best, 6) if best else 1.0,
        sampled=len(asked),
        k=k,
    )
