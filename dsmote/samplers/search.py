"""How many neighbours are wanted and how they are found, from the samplers' parameters."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from dsmote.neighbors import Engine
from dsmote.neighbors.engines import BruteIndex, TreeIndex
from dsmote.neighbors.foreign import ForeignIndex

__all__ = ["wanted_search"]

_NAMED = {"auto": None, "fast": None, "tree": TreeIndex(), "brute": BruteIndex()}


def wanted_search(k_neighbors: Any, neighbors: Any) -> tuple[int, Engine | None]:
    """Return k, and the engine that was asked for (None: to be chosen from the rows).

    Parameters
    ----------
    k_neighbors : int or object
        A number, or an object with ``fit``, ``kneighbors`` and ``n_neighbors`` = k + 1, as in
        imbalanced-learn: one more, for the row itself.
    neighbors : str or Engine
        As the samplers take it.

    Raises
    ------
    ValueError
        Two ways to search were asked for, or the object does not say how many neighbours.

    Examples
    --------
    >>> wanted_search(5, "tree")
    (5, TreeIndex(eps=0.0))
    """
    if isinstance(k_neighbors, Integral):
        engine = _NAMED[neighbors] if isinstance(neighbors, str) else neighbors
        return int(k_neighbors), engine
    if not (isinstance(neighbors, str) and neighbors == "auto"):
        raise ValueError(
            f"k_neighbors is an object that searches ({type(k_neighbors).__name__}), and neighbors "
            f"asks for {neighbors!r} as well; give a number as k_neighbors, or leave neighbors out"
        )
    n = getattr(k_neighbors, "n_neighbors", None)
    if not isinstance(n, Integral) or n < 2:
        raise ValueError(
            f"k_neighbors is a {type(k_neighbors).__name__} with n_neighbors={n!r}; it must be a "
            "whole number of at least 2: k + 1, because a row finds itself too"
        )
    return int(n) - 1, ForeignIndex(k_neighbors)
