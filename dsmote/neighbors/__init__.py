"""Neighbour engines and their choice. Numpy and SciPy only; no Dask."""

from dsmote.neighbors.brute import BruteSearch, DirectSearch
from dsmote.neighbors.categorical import MixedSearch, ValueDifferenceSearch, level_probabilities
from dsmote.neighbors.engines import (
    BruteIndex,
    CappedIndex,
    Choice,
    Engine,
    FaissIndex,
    GroupedSearch,
    ProjectedSearch,
    SklearnIndex,
    TreeIndex,
    choose_engine,
    few,
    leading_axes,
    measure_recall,
)
from dsmote.neighbors.exact import NeighborIndex
from dsmote.neighbors.tree import TreeSearch

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
    "measure_recall",
]
