"""How to search, as plain parameters: what a user gives as ``neighbors=``.

::

    parameters                      built over the rows of a class
    TreeIndex(eps=0)        exact   rotated kd-tree                       few directions of spread
    BruteIndex()            exact   all pairs, in blocks                  many directions
    TreeIndex(eps=0.5)              the tree, branches cut early          few, and many rows
    CappedIndex(20_000)             a seeded sample of the class          any

An exact engine finds the true neighbours, to the bit and whatever the block size. The others say
that they do not (`exact` is False), and samplers then measure and report their recall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.capped import CappedSearch
from dsmote.neighbors.mixed import MixedSearch
from dsmote.neighbors.protocol import NeighborIndex
from dsmote.neighbors.tree import TreeSearch

__all__ = ["BruteIndex", "CappedIndex", "Engine", "TreeIndex"]


@runtime_checkable
class Engine(Protocol):
    """How to search.

    Attributes
    ----------
    name : str
        For the plan, the log and the manifest.
    exact : bool
        Whether it finds the true neighbours.
    """

    @property
    def name(self) -> str:
        """The engine and its parameters, in a few words."""
        ...

    @property
    def exact(self) -> bool:
        """Whether the true neighbours are found."""
        ...

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index rows, float64 of shape (n, d); `seed` decides what is drawn, if anything is."""
        ...


@dataclass(frozen=True)
class TreeIndex:
    """A kd-tree over rows that are centred and rotated to their principal axes.

    Parameters
    ----------
    eps : float, default=0
        0 is exact. Above 0 the j-th neighbour found is at most (1 + eps) times as far as the
        true one, and found in less time.

    Raises
    ------
    ValueError
        A negative or infinite eps.

    Examples
    --------
    >>> index = TreeIndex().build(np.array([[0.0], [1.0], [3.0]]))
    >>> index.query(np.array([0]), 2)
    (array([[1., 3.]]), array([[1, 2]]))
    """

    eps: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an eps that means nothing."""
        if not 0 <= self.eps < np.inf:
            raise ValueError(f"eps must be 0 or a positive number, but is {self.eps}")

    @property
    def name(self) -> str:
        """The engine and its parameters."""
        return f"tree (eps={self.eps:g})" if self.eps else "tree"

    @property
    def exact(self) -> bool:
        """Whether eps is 0."""
        return not self.eps

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index rows."""
        return TreeSearch(matrix, self.eps)

    def build_mixed(
        self, matrix: np.ndarray, codes: np.ndarray, weight: float, *, seed: int = 0
    ) -> NeighborIndex:
        """Index numbers and names together, by SMOTENC's metric; exact trees only."""
        if self.eps:
            raise ValueError(
                f"TreeIndex(eps={self.eps:g}) measures numbers only; for SMOTENC give "
                "TreeIndex(), BruteIndex() or CappedIndex(max_rows)"
            )
        return MixedSearch(matrix, codes, weight)


@dataclass(frozen=True)
class BruteIndex:
    """All pairs of rows, in blocks of bounded memory. Exact.

    Examples
    --------
    >>> BruteIndex().build(np.array([[0.0], [1.0], [3.0]])).query(np.array([2]), 1)[1]
    array([[1]])
    """

    @property
    def name(self) -> str:
        """The engine."""
        return "brute"

    @property
    def exact(self) -> bool:
        """Brute force is exact."""
        return True

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index rows."""
        return BruteSearch(matrix)

    def build_mixed(
        self, matrix: np.ndarray, codes: np.ndarray, weight: float, *, seed: int = 0
    ) -> NeighborIndex:
        """Index numbers and names together, by SMOTENC's metric."""
        return BruteSearch(matrix, codes, weight)


@dataclass(frozen=True)
class CappedIndex:
    """A seeded sample of the class, which all its rows query.

    A row's neighbours are then its nearest *in the sample*: further away than the true ones (new
    rows spread wider, by about (n / max_rows)^(1/d) of the distance), but not biased toward any
    part of the class. What is drawn depends on the seed and the class only.

    Parameters
    ----------
    max_rows : int
        Rows in the sample; classes of no more than that are searched in full, exactly.
    engine : TreeIndex or BruteIndex, optional
        How the sample is searched; a tree when omitted.

    Examples
    --------
    >>> rows = np.arange(100.0)[:, None]
    >>> distances, ids = CappedIndex(10).build(rows).query(np.array([5]), 3)
    >>> ids.shape, 5 in ids
    ((1, 3), False)
    """

    max_rows: int
    engine: TreeIndex | BruteIndex | None = None

    def __post_init__(self) -> None:
        """Refuse a sample that cannot hold a neighbour."""
        if self.max_rows < 2:
            raise ValueError(f"max_rows must be at least 2, but is {self.max_rows}")

    @property
    def _inner(self) -> TreeIndex | BruteIndex:
        return TreeIndex() if self.engine is None else self.engine

    @property
    def name(self) -> str:
        """The engine and its parameters."""
        return f"capped (max_rows={self.max_rows}, {self._inner.name})"

    @property
    def exact(self) -> bool:
        """Not where the class is larger than the sample."""
        return False

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index a sample of the rows."""
        if len(matrix) <= self.max_rows:
            return self._inner.build(matrix)
        codes = np.empty((len(matrix), 0), dtype=np.int32)
        return CappedSearch(
            matrix, codes, self.max_rows, seed, self.name, lambda m, _: self._inner.build(m)
        )

    def build_mixed(
        self, matrix: np.ndarray, codes: np.ndarray, weight: float, *, seed: int = 0
    ) -> NeighborIndex:
        """Index a sample of the rows by SMOTENC's metric."""
        if len(matrix) <= self.max_rows:
            return self._inner.build_mixed(matrix, codes, weight)
        return CappedSearch(
            matrix,
            codes,
            self.max_rows,
            seed,
            self.name,
            lambda m, c: self._inner.build_mixed(m, c, weight),
        )
