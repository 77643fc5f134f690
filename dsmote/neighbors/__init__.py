"""Neighbour engines and their choice. Numpy and SciPy only; no Dask."""

from dsmote.neighbors.brute import BruteSearch, DirectSearch
from dsmote.neighbors.categorical import MixedSearch, ValueDifferenceSearch, level_probabilities
from dsmote.neighbors.choose import Choice, choose_engine, few
from dsmote.neighbors.engines import (
    BruteIndex,
    CappedIndex,
    Engine,
    FaissIndex,
    SklearnIndex,
    TreeIndex,
)
from dsmote.neighbors.exact import NeighborIndex
from dsmote.neighbors.tree import TreeSearch
from dsmote.neighbors.wrappers import GroupedSearch, ProjectedSearch, leading_axes

__all__ = [
    "BruteIndex",
    "BruteSearch",
    "CappedIndex",
    "Choice",
    "DirectSearch",
    "Engine",
    "FaissIndex",
    "GroupedSearch",
    "MixedSearch",
    "NeighborIndex",
    "ProjectedSearch",
    "SklearnIndex",
    "TreeIndex",
    "TreeSearch",
    "ValueDifferenceSearch",
    "choose_engine",
    "few",
    "leading_axes",
    "level_probabilities",
]
