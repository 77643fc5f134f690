"""Neighbour engines and their choice. Numpy and SciPy only; no Dask."""

from dsmote.neighbors.brute import BruteSearch, DirectSearch
from dsmote.neighbors.categorical import MixedSearch, ValueDifferenceSearch, level_probabilities
from dsmote.neighbors.engines import (
    Axes,
    BruteIndex,
    CappedIndex,
    Choice,
    Engine,
    FaissIndex,
    GroupedSearch,
    ProjectedSearch,
    SklearnIndex,
    TreeIndex,
    asked_rarely,
    blocks_of,
    choose_engine,
    few,
    leading_axes,
    measure_recall,
    project,
)
from dsmote.neighbors.exact import NeighborIndex
from dsmote.neighbors.tree import TreeSearch

__all__ = [
    "Axes",
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
    "asked_rarely",
    "blocks_of",
    "choose_engine",
    "few",
    "leading_axes",
    "level_probabilities",
    "measure_recall",
    "project",
]
