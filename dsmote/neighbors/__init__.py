"""Neighbour engines and their choice. Numpy and SciPy only; no Dask."""

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.choose import Choice, choose_engine, intrinsic_dimension
from dsmote.neighbors.engines import BruteIndex, CappedIndex, Engine, TreeIndex
from dsmote.neighbors.faiss_index import FaissIndex
from dsmote.neighbors.foreign import ForeignIndex
from dsmote.neighbors.grouped import GroupedSearch
from dsmote.neighbors.mixed import MixedSearch
from dsmote.neighbors.projected import ProjectedSearch, leading_axes
from dsmote.neighbors.protocol import NeighborIndex
from dsmote.neighbors.tree import TreeSearch
from dsmote.neighbors.value_difference import ValueDifferenceSearch, level_probabilities

__all__ = [
    "BruteIndex",
    "BruteSearch",
    "CappedIndex",
    "Choice",
    "Engine",
    "FaissIndex",
    "ForeignIndex",
    "GroupedSearch",
    "MixedSearch",
    "NeighborIndex",
    "ProjectedSearch",
    "TreeIndex",
    "TreeSearch",
    "ValueDifferenceSearch",
    "choose_engine",
    "intrinsic_dimension",
    "leading_axes",
    "level_probabilities",
]
