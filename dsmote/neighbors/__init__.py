"""Neighbour engines and their choice. Numpy and SciPy only; no Dask."""

from dsmote.neighbors.brute import BruteIndex
from dsmote.neighbors.choose import build_index, choose_engine, intrinsic_dimension
from dsmote.neighbors.mixed import MixedIndex
from dsmote.neighbors.protocol import NeighborIndex
from dsmote.neighbors.tree import TreeIndex

__all__ = [
    "BruteIndex",
    "MixedIndex",
    "NeighborIndex",
    "TreeIndex",
    "build_index",
    "choose_engine",
    "intrinsic_dimension",
]
