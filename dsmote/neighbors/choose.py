"""Which engine: chosen from the rows alone, never by a clock; and what approximate ones find."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from dsmote.neighbors.brute import BruteSearch, Corners
from dsmote.neighbors.engines import BruteIndex, CappedIndex, Engine, FaissIndex, TreeIndex
from dsmote.neighbors.exact import NeighborIndex
from dsmote.neighbors.tree import intrinsic_dimension

_FEW_PAIRS = 1 << 18  # normal rows: up to 500 in 2 columns, 1,000 in 10, half the time or less
TREE_DIMENSION = 8.0  # for 10,000 rows; above it a kd-tree visits most of its leaves


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
    """Choose the engine for a class of `n_rows` rows, of which `sample` and `codes` are some.

    The sample is drawn by what rows are and not by where they lie. Of codes all that counts is
    which levels are equal; a differing one counts for a distance of `weight`. With `fast` the
    engine approximates.

    Examples
    --------
    >>> choose_engine(10_000, np.arange(20.0)[:, None]).name
    'tree'
    """
    if not fast and few(n_rows, n_rows):
        why = f"because comparing all of {n_rows:,} rows is the quickest"
        return Choice("brute", why, BruteIndex())
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
    engine: Engine
    if not fast:
        engine = TreeIndex() if tree else BruteIndex()
    elif tree:
        engine = TreeIndex(eps=0.5)
    else:
        engine = FaissIndex() if find_spec("faiss") else CappedIndex(20_000)
    return Choice(
        engine.name,
        f"because {features} features vary in about {near} direction{'s'[: near - 1]}, and "
        + (f"up to {most} a tree is" if tree else f"above {most} comparing all rows is")
        + " the fastest exact search",
        engine,
    )


def _corners(codes: np.ndarray, weight: float) -> np.ndarray:
    """Write levels as the mixed tree has them: rare ones share a corner and add little spread."""
    numbered = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in codes.T]
    codes = np.stack(numbered, axis=1)
    return Corners(codes, weight / math.sqrt(2.0)).written(codes)


SAMPLE = 1000  # query rows


def measure_recall(
    index: NeighborIndex,
    matrix: np.ndarray,
    k: int,
    *,
    seed: int,
    codes: np.ndarray | None = None,
    weight: float = 0.0,
    n_sample: int = SAMPLE,
) -> dict[str, Any]:
    """Compare an index over matrix and codes with brute force on a seeded sample of its rows.

    `recall` is the share of neighbours that are no further than the true k-th, `distance_ratio` the
    mean distance of those found over that of the true ones (1 where the true ones are 0).

    Examples
    --------
    >>> from dsmote.neighbors.tree import TreeSearch
    >>> rows = np.random.default_rng(0).normal(size=(50, 2))
    >>> measure_recall(TreeSearch(rows), rows, 3, seed=0)["recall"]
    1.0
    """
    n = len(matrix)
    ids = np.sort(np.random.default_rng(seed).choice(n, min(n, n_sample), replace=False))
    brute = BruteSearch(matrix, codes, weight)
    true = brute.query(ids, k)[0]
    _, found = index.query(ids, k)
    of = brute.groups.of
    distances = np.sqrt(brute.squared(of[ids], of[found])) / brute.scale
    # As good are those as near as the k-th, but for what an object of the user's rounds.
    near = distances <= true[:, -1:] * (1 + 1e-9)
    total, best = float(distances.sum()), float(true.sum())
    return {
        "recall": round(float(near.mean()), 6),
        "distance_ratio": round(total / best, 6) if best else 1.0,
        "sampled": len(ids),
        "k": k,
    }
