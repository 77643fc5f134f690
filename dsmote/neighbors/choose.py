"""Which engine: chosen from the rows alone, never by a clock, and with the reason in words.

How many of the true neighbours a search finds, measured on a seeded sample of the rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from dsmote.neighbors.brute import BruteSearch, Corners
from dsmote.neighbors.engines import BruteIndex, CappedIndex, Engine, FaissIndex, TreeIndex
from dsmote.neighbors.exact import NeighborIndex
from dsmote.neighbors.tree import intrinsic_dimension

__all__ = ["Choice", "Recall", "choose_engine", "few", "intrinsic_dimension", "measure_recall"]

_FEW_PAIRS = 1 << 18  # normal rows: up to 500 in 2 columns, 1,000 in 10, half the time or less
TREE_DIMENSION = 8.0  # for 10,000 rows; above it a kd-tree visits most of its leaves

_TREE, _BRUTE, _FAST_TREE, _FAST = (
    TreeIndex(),
    BruteIndex(),
    TreeIndex(eps=0.5),
    CappedIndex(20_000),
)


def _fast() -> Engine:
    """Return the fast engine for many directions: Faiss where it is installed."""
    return FaissIndex() if find_spec("faiss") else _FAST


class Choice(NamedTuple):
    """The name of a search, why it was chosen, and its engine where it has one."""

    name: str
    why: str
    engine: Engine | None = None


def few(n_queries: int, n_rows: int) -> bool:
    """Tell whether comparing all pairs is quicker than any index, in two columns as in fifty.

    Examples
    --------
    >>> few(500, 500), few(1_000, 1_000)
    (True, False)
    """
    return n_queries * n_rows <= _FEW_PAIRS


def choose_engine(
    n_rows: int,
    sample: np.ndarray,
    codes: np.ndarray | None = None,
    weight: float = 0.0,
    *,
    fast: bool = False,
) -> Choice:
    """Choose the engine for a class: "tree" or "brute", or a faster one that approximates.

    Parameters
    ----------
    n_rows : int
        Rows of the class.
    sample : ndarray of float64, shape (s, d)
        Some of its rows, drawn by what they are and not by where they lie.
    codes : ndarray of int, shape (s, q), optional
        Their categorical features; all that counts is which levels are equal.
    weight : float, default=0
        The distance that a differing level counts for.
    fast : bool, default=False
        Take an approximate engine: ``TreeIndex(eps=0.5)``, or for many directions
        ``FaissIndex()``, or ``CappedIndex(20_000)`` where Faiss is not installed.

    Examples
    --------
    >>> choose_engine(10_000, np.arange(20.0)[:, None]).name
    'tree'
    """
    if not fast and few(n_rows, n_rows):
        return Choice("brute", f"because comparing all of {n_rows:,} rows is the quickest", _BRUTE)
    features = f"{sample.shape[1]} numeric"
    if codes is not None and codes.shape[1]:
        features += f" and {codes.shape[1]} categorical"
        sample = np.concatenate([sample, _corners(codes, weight)], axis=1)
    dimension = intrinsic_dimension(sample)
    # Normal rows, k = 5, tree against brute force: equal at 7.3 directions for 2,000 rows, 7.7 for
    # 20,000, 8.8 for 100,000 and 9.3 for 500,000. Clumps make it a little easier for the tree.
    limit = TREE_DIMENSION + max(-1.0, math.log10(max(1, n_rows) / 10_000))
    tree, most = dimension <= limit, int(limit)
    # Whole numbers on the same side of each other as what was compared.
    near = max(1, min(round(dimension), most) if tree else max(round(dimension), most + 1))
    engine = (_FAST_TREE if tree else _fast()) if fast else (_TREE if tree else _BRUTE)
    return Choice(
        engine.name,
        f"because {features} features vary in about {near} direction{'s'[: near - 1]}, and "
        + (f"up to {most} a tree is" if tree else f"above {most} comparing all rows is")
        + " the fastest exact search",
        engine,
    )


def _corners(codes: np.ndarray, weight: float) -> np.ndarray:
    """Write levels as the mixed tree has them: rare ones share a corner, and hardly spread."""
    numbered = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in codes.T]
    codes = np.stack(numbered, axis=1)
    return Corners(codes, weight / math.sqrt(2.0)).written(codes)


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
