"""How to search, as plain parameters: what a user gives as ``neighbors=``.

::

    parameters                      built over the rows of a class
    TreeIndex(eps=0)        exact   rotated kd-tree                       few directions of spread
    BruteIndex()            exact   all pairs, in blocks                  many directions
    TreeIndex(eps=0.5)              the tree, branches cut early          few, and many rows
    CappedIndex(20_000)             a seeded sample of the class          any
    FaissIndex()                    cells of near rows                    many, and many rows
    SklearnIndex(estimator)         any object with fit and kneighbors    whatever it is for

An exact engine finds the true neighbours, to the bit and whatever the block size. The others say
that they do not (`exact` is False), and samplers then measure and report their recall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from scipy.sparse import csr_matrix, hstack

from dsmote.neighbors.brute import BruteSearch, DirectSearch
from dsmote.neighbors.categorical import MixedSearch
from dsmote.neighbors.exact import (
    NeighborIndex,
    group_equal_rows,
    scale_power,
    smallest,
    squared_distances,
)
from dsmote.neighbors.tree import TreeSearch, intrinsic_dimension
from dsmote.neighbors.wrappers import CappedSearch

_SMALL = 1 << 20  # values of which copies do not count


@runtime_checkable
class Engine(Protocol):
    """How to search. For SMOTENC it also has ``build_mixed(matrix, codes, weight, seed=)``."""

    @property
    def name(self) -> str:
        """The engine and its parameters, for the plan, the log and the manifest."""
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

    Examples
    --------
    >>> index = TreeIndex().build(np.array([[0.0], [1.0], [3.0]]))
    >>> index.query(np.array([0]), 2)
    (array([[1., 3.]]), array([[1, 2]]))
    """

    eps: float = 0.0
    keeps_axes: ClassVar[bool] = True  # the plan counts their bytes

    def __post_init__(self) -> None:
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
        """Index numbers and categories, by SMOTENC's metric; exact trees only."""
        if self.eps:
            raise ValueError(
                f"TreeIndex(eps={self.eps:g}) takes numeric features only; for SMOTENC give "
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
        return DirectSearch(matrix) if matrix.size <= _SMALL else BruteSearch(matrix)

    def build_mixed(
        self, matrix: np.ndarray, codes: np.ndarray, weight: float, *, seed: int = 0
    ) -> NeighborIndex:
        """Index numbers and categories, by SMOTENC's metric."""
        if matrix.size + codes.size <= _SMALL:
            return DirectSearch(matrix, codes, weight)
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
    engine: TreeIndex | BruteIndex = TreeIndex()

    def __post_init__(self) -> None:
        if self.max_rows < 2:
            raise ValueError(f"max_rows must be at least 2, but is {self.max_rows}")

    @property
    def name(self) -> str:
        """The engine and its parameters."""
        return f"capped (max_rows={self.max_rows}, {self.engine.name})"

    @property
    def exact(self) -> bool:
        """Not where the class is larger than the sample."""
        return False

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index a sample of the rows."""
        codes = np.empty((len(matrix), 0), dtype=np.int32)
        return self._sampled(matrix, codes, seed, lambda m, _: self.engine.build(m))

    def build_mixed(
        self, matrix: np.ndarray, codes: np.ndarray, weight: float, *, seed: int = 0
    ) -> NeighborIndex:
        """Index a sample of the rows by SMOTENC's metric."""
        return self._sampled(
            matrix, codes, seed, lambda m, c: self.engine.build_mixed(m, c, weight)
        )

    def _sampled(
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        seed: int,
        build: Callable[[np.ndarray, np.ndarray], NeighborIndex],
    ) -> NeighborIndex:
        if len(matrix) <= self.max_rows:
            return build(matrix, codes)
        return CappedSearch(matrix, codes, self.max_rows, seed, self.name, build)


class SklearnSearch:
    """Neighbours by an estimator that was fitted to `points`, an array or a sparse matrix."""

    exact = False  # exactness is unknown for an object of the user's

    def __init__(self, estimator: Any, points: Any, engine: str) -> None:
        self.n_rows, self.engine = points.shape[0], engine
        self._estimator, self._points = estimator, points

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of rows in the index, each row itself left out."""
        ids = np.asarray(ids)
        if not len(ids):
            return np.empty((0, k)), np.empty((0, k), dtype=np.int64)
        distances, found = self.query_points(self._points[ids], k + 1)
        # A row need not come first among its duplicates, nor come at all.
        own = found == ids[:, None]
        own &= np.cumsum(own, axis=1) == 1
        own[~own.any(axis=1), -1] = True
        return distances[~own].reshape(-1, k), found[~own].reshape(-1, k)

    def query_points(self, points: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest rows of points that are not in the index."""
        answer = self._estimator.kneighbors(points, n_neighbors=k)
        distances, found = np.asarray(answer[0], dtype=np.float64), np.asarray(answer[1])
        expected = (points.shape[0], k)
        if distances.shape != expected or found.shape != expected:
            raise ValueError(
                f"{self.engine}.kneighbors must return distances and row numbers of shape "
                f"{expected}, but returned {distances.shape} and {found.shape}"
            )
        if found.size and not (found.min() >= 0 and found.max() < self.n_rows):
            raise ValueError(
                f"{self.engine}.kneighbors must return row numbers 0 to {self.n_rows - 1}, but "
                f"returned {found.min()} to {found.max()}"
            )
        return distances, found.astype(np.int64, copy=False)


@dataclass(frozen=True)
class SklearnIndex:
    """Adapter: clones and fits an object of scikit-learn's kind for each class.

    Parameters
    ----------
    estimator : object with ``fit`` and ``kneighbors``
        Such as scikit-learn's or cuML's ``NearestNeighbors``.

    Examples
    --------
    >>> from sklearn.neighbors import NearestNeighbors
    >>> index = SklearnIndex(NearestNeighbors()).build(np.array([[0.0], [1.0], [3.0]]))
    >>> index.query(np.array([2]), 2)[1]
    array([[1, 0]])
    """

    estimator: Any

    @property
    def name(self) -> str:
        """The object's class."""
        return type(self.estimator).__name__

    @property
    def exact(self) -> bool:
        """Exactness is unknown for an object of the user's."""
        return False

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Fit a clone to rows."""
        return self._fitted(matrix)

    def build_mixed(
        self, matrix: np.ndarray, codes: np.ndarray, weight: float, *, seed: int = 0
    ) -> NeighborIndex:
        """Fit a clone to numbers and one-hot categories, whose distances are SMOTENC's; sparse."""
        n, parts = len(matrix), [csr_matrix(matrix)]
        for column in codes.T:
            hot = np.full(n, weight / np.sqrt(2.0))
            parts.append(csr_matrix((hot, (np.arange(n), column))))
        return self._fitted(hstack(parts, format="csr"))

    def _fitted(self, points: Any) -> NeighborIndex:
        from sklearn.base import clone  # large, and most searches do without it

        return SklearnSearch(clone(self.estimator).fit(points), points, self.name)


_FEW = 2000  # rows up to which all are looked at
_TRAIN = 40_000  # rows that cells and codes are fitted to
_BLOCK = 4096
_SUB = 256  # queries whose proposals are measured at once: they stay in the cache
_EVEN = 0.6  # share of directions with spread, from which on four bits a column tell rows apart
_TINY = 2.0**-100


@dataclass(frozen=True)
class FaissIndex:
    """Approximate neighbours by Faiss (``dsmote[faiss]``): rows of the nearest cells.

    ::

        cell | cell      a query looks into the cells whose centres are nearest (n_probe of
       ------o-------    n_lists), not into all; a neighbour behind an edge may be missed
        cell | cell

    Faiss rounds to float32, and in the cells to four bits a column where rows spread evenly in all
    directions (else such codes would not tell them apart). So what it proposes is ordered by exact
    distances; rows that are equal are one row to it.

    Parameters
    ----------
    n_lists, n_probe : int, optional
        Cells, and cells that a query looks into. When omitted about 0.6 sqrt(n), a power of two,
        and a fifth of them.

    Examples
    --------
    >>> FaissIndex(n_lists=64, n_probe=8).name
    'faiss (ivf, n_lists=64, n_probe=8)'
    """

    n_lists: int | None = None
    n_probe: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_lists", "n_probe"):
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
        given = {"n_lists": self.n_lists, "n_probe": self.n_probe}
        texts = [f"{name}={value}" for name, value in given.items() if value is not None]
        return f"faiss ({', '.join(['ivf', *texts])})"

    @property
    def exact(self) -> bool:
        """Never: Faiss looks at rows in float32 only."""
        return False

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index rows; `seed` decides which of them cells and codes are fitted to."""
        return FaissSearch(matrix, self, seed)


class FaissSearch:
    """Neighbours among rows that Faiss has indexed."""

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
        if n < _FEW:
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
            queries = unique[part]
            numbers = self._rows[self._first[queries]]
            squares[part], found[part] = self._answer(numbers, self._points[queries], k, ids[part])
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
            queries = numbers[short] if out is None else all_rows.groups.of[out]
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
