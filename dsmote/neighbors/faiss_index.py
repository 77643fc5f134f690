"""Approximate neighbours by Faiss, whose proposals are measured again in float64.

::

    kind     proposes                                          good for
    ivf      rows of the nearest cells                         many rows in many directions
    hnsw     a walk along a graph of near rows                 many queries for one long build
    flat     all pairs in float32                              checking the others

                cell | cell      a query looks into the cells whose centres are
              -------o-------    nearest (n_probe of n_lists), not into all;
                cell | cell      a neighbour behind an edge may be missed

Faiss is an extra (``dsmote[faiss]``). It rounds to float32, and in the cells to four bits a column
where rows spread evenly in all directions (else such codes would not tell them apart). So what it
proposes is ordered by exact distances; rows that are equal are one row to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from dsmote.neighbors.brute import BruteSearch
from dsmote.neighbors.dimension import intrinsic_dimension
from dsmote.neighbors.exact import (
    scale_power,
    smallest,
    squared_distances,
)
from dsmote.neighbors.groups import group_equal_rows
from dsmote.neighbors.protocol import NeighborIndex

__all__ = ["FaissIndex", "FaissSearch"]

_KINDS = ("ivf", "hnsw", "flat")
_FEW = 2000  # rows up to which "ivf" looks at all of them
_TRAIN = 40_000  # rows that cells and codes are learnt from
_BLOCK = 4096
_SUB = 256  # queries whose proposals are measured at once: they stay in the cache
_EVEN = 0.6  # share of directions with spread, from which on four bits a column tell rows apart
_TINY = 2.0**-100


@dataclass(frozen=True)
class FaissIndex:
    """Approximate neighbours by Faiss.

    Parameters
    ----------
    kind : {"ivf", "hnsw", "flat"}, default="ivf"
        See the module's description.
    n_lists, n_probe : int, optional
        Cells of "ivf", and cells that a query looks into. When omitted about 0.6 sqrt(n), a power
        of two, and a fifth of them.
    links, ef_search : int, default=16 and 64
        Edges of each row of the graph of "hnsw", and rows that a walk keeps in sight.

    Raises
    ------
    ImportError
        Faiss is not installed.
    ValueError
        Another kind, or a number below 1.

    Examples
    --------
    >>> FaissIndex(n_lists=64, n_probe=8).name
    'faiss (ivf, n_lists=64, n_probe=8)'
    """

    kind: str = "ivf"
    n_lists: int | None = None
    n_probe: int | None = None
    links: int = 16
    ef_search: int = 64

    def __post_init__(self) -> None:
        """Refuse what cannot be built, before anything runs."""
        if self.kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, not {self.kind!r}")
        for name in ("n_lists", "n_probe", "links", "ef_search"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, but is {value}")
        if find_spec("faiss") is None:
            raise ImportError(
                "FaissIndex needs Faiss, which is not installed: pip install 'dsmote[faiss]', or "
                "take another engine, such as TreeIndex(eps=0.5)"
            )

    @property
    def name(self) -> str:
        """The engine and the parameters that were given."""
        given = {"ivf": ("n_lists", "n_probe"), "hnsw": ("links", "ef_search"), "flat": ()}
        words = [
            f"{name}={getattr(self, name)}"
            for name in given[self.kind]
            if getattr(self, name) != getattr(type(self), name)
        ]
        return f"faiss ({', '.join([self.kind, *words])})"

    @property
    def exact(self) -> bool:
        """Never: even "flat" looks at all pairs in float32 only."""
        return False

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index rows; `seed` decides which of them cells and codes are learnt from."""
        return FaissSearch(matrix, self, seed)


class FaissSearch:
    """Neighbours among rows that Faiss has indexed.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        The rows; kept, not copied, where its values are of usual size.
    how : FaissIndex
        Its parameters.
    seed : int
        Decides what is learnt from.
    """

    exact = False

    def __init__(self, matrix: np.ndarray, how: FaissIndex, seed: int) -> None:
        self.n_rows, self.width = matrix.shape
        self.engine = how.name
        self._scale = scale_power(matrix)
        self._rows = matrix if self._scale == 1.0 else matrix * self._scale
        codes = np.empty((self.n_rows, 0), dtype=np.int32)
        self._groups = group_equal_rows(self._rows, codes)
        self._first = self._groups.first
        unique = self._rows[self._first]
        self._centre = unique.mean(axis=0)
        unique -= self._centre
        self._unit = 2.0 ** -float(np.frexp(np.abs(unique).max(initial=_TINY))[1])
        self._points = (unique * self._unit).astype(np.float32)
        self._index, self._cell = self._built(how, seed)

    def _built(self, how: FaissIndex, seed: int) -> tuple[Any, np.ndarray]:
        import faiss

        # OpenMP's number of threads is each thread's own; several would make builds differ.
        faiss.omp_set_num_threads(1)
        n, d = self._points.shape
        cell = np.zeros(n, dtype=np.int32)
        index: Any
        if how.kind == "hnsw":
            index = faiss.IndexHNSWFlat(d, how.links)
            index.hnsw.efSearch = how.ef_search
        elif how.kind == "flat" or n < _FEW:
            index = faiss.IndexFlatL2(d)
        else:
            lists = how.n_lists or 2 ** int(math.log2(0.6 * math.sqrt(n)))
            lists = min(lists, n // 39)  # below 39 rows a cell, Faiss warns of poor cells
            drawn = np.random.default_rng(seed).choice(n, min(n, _TRAIN), replace=False)
            some = self._points[np.sort(drawn)]
            if intrinsic_dimension(some[:2000]) >= _EVEN * d:
                index = faiss.index_factory(d, f"IVF{lists},PQ{d}x4fs")
                index.by_residual = False
            else:
                index = faiss.index_factory(d, f"IVF{lists},Flat")
            index.cp.niter = 8
            index.train(some)
            index.nprobe = min(lists, how.n_probe or -(-lists // 5))
            cell = index.quantizer.search(self._points, 1)[1][:, 0].astype(np.int32)
        index.add(self._points)
        return index, cell

    def __getstate__(self) -> dict[str, Any]:
        """Return what can be pickled: Faiss' index as bytes."""
        import faiss

        return {**self.__dict__, "_index": faiss.serialize_index(self._index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled."""
        import faiss

        self.__dict__.update(state, _index=faiss.deserialize_index(state["_index"]))

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return k near rows of rows in the index, each row itself left out."""
        ids = np.asarray(ids)
        unique = self._groups.of[ids]
        # Cell by cell: one query finds in the processor's cache what the last has read.
        order = np.argsort(self._cell[unique], kind="stable")
        squares, found = np.empty((len(ids), k)), np.empty((len(ids), k), dtype=np.int64)
        for start in range(0, len(ids), _BLOCK):
            part = order[start : start + _BLOCK]
            asked = unique[part]
            numbers = self._rows[self._first[asked]]
            squares[part], found[part] = self._answer(numbers, self._points[asked], k, ids[part])
        return np.sqrt(squares) / self._scale, found

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return k near rows of points that are not in the index."""
        squares, found = np.empty((len(points), k)), np.empty((len(points), k), dtype=np.int64)
        for start in range(0, len(points), _BLOCK):
            part = slice(start, start + _BLOCK)
            numbers = np.asarray(points[part], dtype=np.float64) * self._scale
            small = ((numbers - self._centre) * self._unit).astype(np.float32)
            squares[part], found[part] = self._answer(numbers, small, k, None)
        return np.sqrt(squares) / self._scale, found

    def _answer(
        self, numbers: np.ndarray, points: np.ndarray, k: int, selves: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let Faiss propose, and order by exact squares."""
        import faiss

        faiss.omp_set_num_threads(1)
        n_unique = self._groups.n_unique
        wanted = min(n_unique, max(20, 3 * (k + 1)))
        proposed = self._index.search(np.ascontiguousarray(points), wanted)[1]
        proposed = self._nearest_of(points, proposed, min(wanted, k + 3))
        squares = squared_distances(self._rows, numbers, self._first[proposed])
        squares[proposed < 0] = np.inf
        best, found = smallest(self._groups, np.maximum(proposed, 0), squares, k, selves)
        short = ~np.isfinite(best[:, -1])
        if short.any():
            all_rows = BruteSearch(self._rows)
            out = None if selves is None else selves[short]
            queries = numbers[short]
            if out is not None:
                queries = all_rows.groups.of[out]
            best[short], found[short] = all_rows.nearest_of_many(queries, k, out)
        return best, found

    def _nearest_of(self, points: np.ndarray, proposed: np.ndarray, n: int) -> np.ndarray:
        """Keep the n nearest in float32 of what was proposed: -1, none, comes last."""
        if n == proposed.shape[1]:
            return proposed
        kept = np.empty((len(points), n), dtype=proposed.dtype)
        for start in range(0, len(points), _SUB):
            part = proposed[start : start + _SUB]
            steps = self._points[part]
            steps -= points[start : start + _SUB, None, :]
            squares = np.einsum("ijk,ijk->ij", steps, steps)
            squares[part < 0] = np.inf
            nearest = np.argpartition(squares, n - 1, axis=1)[:, :n]
            kept[start : start + _SUB] = np.take_along_axis(part, nearest, 1)
        return kept
