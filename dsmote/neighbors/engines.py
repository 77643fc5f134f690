"""How to search: what a user gives as ``neighbors=``, what is chosen otherwise, and its recall.

::

    parameters                      built over the rows of a class
    TreeIndex(eps=0)        exact   rotated kd-tree                       few directions of spread
    BruteIndex()            exact   all pairs, in blocks                  many directions
    TreeIndex(eps=0.5)              the tree, branches cut early          few, and many rows
    CappedIndex(20_000)             a seeded sample of the class          any
    FaissIndex()                    cells of near rows                    many, and many rows
    SklearnIndex(estimator)         any object with fit and kneighbors    whatever it is for

An exact engine finds the true neighbours, to the bit and whatever the block size. The others say
that they do not (`exact` is False), and samplers then measure and report their recall. What is
chosen depends on the rows alone, and never on a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from scipy.sparse import csr_matrix, hstack

from dsmote.neighbors.brute import BruteSearch, Corners, DirectSearch, RowSearch
from dsmote.neighbors.categorical import MixedSearch
from dsmote.neighbors.exact import Found, NeighborIndex
from dsmote.neighbors.tree import TreeSearch, intrinsic_dimension, principal_axes
from dsmote.plan.memory import class_rows

Codes = np.ndarray | None

_SMALL = 1 << 20  # values of which copies do not count


@runtime_checkable
class Engine(Protocol):
    """How to search. For SMOTENC its attribute `mixed` is true: it takes codes and their weight."""

    @property
    def name(self) -> str:
        """The engine and its parameters, for the plan, the log and the manifest."""

    @property
    def exact(self) -> bool:
        """Whether the true neighbours are found."""

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index rows, float64 of shape (n, d); `seed` decides what is drawn, if anything is.

        Where `mixed`, int32 ``codes`` of shape (n, q) and a ``weight`` may follow the rows.
        """


@dataclass(frozen=True)
class TreeIndex:
    """A kd-tree over rows that are centred and rotated to their principal axes.

    Parameters
    ----------
    eps : float, default=0
        0 is exact. Above 0 the j-th neighbour found is at most (1 + eps) times as far as the
        true one, and found in less time.
    rarely : bool, default=False
        Whether fewer rows ask than it holds: it is then built in a third of the time, and finds
        the same a tenth slower.

    Examples
    --------
    >>> index = TreeIndex().build(np.array([[0.0], [1.0], [3.0]]))
    >>> index.query(np.array([0]), 2)
    (array([[1., 3.]]), array([[1, 2]]))
    """

    eps: float = 0.0
    rarely: bool = False

    keeps_axes = True  # the plan counts their bytes
    mixed = True

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

    def build(
        self, matrix: np.ndarray, codes: Codes = None, weight: float = 0.0, *, seed: int = 0
    ) -> NeighborIndex:
        """Index rows; with categories exact trees only."""
        if codes is None:
            return TreeSearch(matrix, self.eps, rarely=self.rarely)
        if self.eps:
            raise ValueError(
                f"TreeIndex(eps={self.eps:g}) takes numeric features only; for SMOTENC give "
                "TreeIndex(), BruteIndex() or CappedIndex(max_rows)"
            )
        return MixedSearch(matrix, codes, weight)


def asked_rarely(engine: Any) -> Any:
    """Return an engine that is built sooner, where there is one, because few rows ask."""
    return replace(engine, rarely=True) if isinstance(engine, TreeIndex) else engine


@dataclass(frozen=True)
class BruteIndex:
    """All pairs of rows, in blocks of bounded memory. Exact.

    Examples
    --------
    >>> BruteIndex().build(np.array([[0.0], [1.0], [3.0]])).query(np.array([2]), 1)[1]
    array([[1]])
    """

    name = "brute"
    exact = True
    mixed = True

    def build(
        self, matrix: np.ndarray, codes: Codes = None, weight: float = 0.0, *, seed: int = 0
    ) -> NeighborIndex:
        """Index rows."""
        if matrix.size + (0 if codes is None else codes.size) <= _SMALL:
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

    exact = False  # where the class is larger than the sample
    mixed = True

    def __post_init__(self) -> None:
        if self.max_rows < 2:
            raise ValueError(f"max_rows must be at least 2, but is {self.max_rows}")

    @property
    def name(self) -> str:
        """The engine and its parameters."""
        return f"capped (max_rows={self.max_rows}, {self.engine.name})"

    def build(
        self, matrix: np.ndarray, codes: Codes = None, weight: float = 0.0, *, seed: int = 0
    ) -> NeighborIndex:
        """Index a sample of the rows."""
        if len(matrix) <= self.max_rows:
            return self.engine.build(matrix, codes, weight)
        return CappedSearch(matrix, codes, weight, self, seed)


class CappedSearch:
    """Neighbours in a seeded sample of the rows, which all rows query."""

    exact = False

    def __init__(
        self, matrix: np.ndarray, codes: Codes, weight: float, how: CappedIndex, seed: int
    ) -> None:
        self.n_rows, self.engine = len(matrix), how.name
        drawn = np.random.default_rng(seed).choice(self.n_rows, how.max_rows, replace=False)
        self.sample = np.sort(drawn)
        self._rows, self._codes = matrix, codes
        self._place = np.full(self.n_rows, -1)
        self._place[self.sample] = np.arange(how.max_rows)
        sampled = None if codes is None else codes[self.sample]
        self._index = how.engine.build(matrix[self.sample], sampled, weight)

    def query(self, ids: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of the sample, each row itself left out."""
        if k >= len(self.sample):
            raise ValueError(
                f"{k} neighbours are wanted of a sample of {len(self.sample)} rows; "
                f"give CappedIndex max_rows of at least {k + 1}"
            )
        ids = np.asarray(ids)
        distances, found = np.empty((len(ids), k)), np.empty((len(ids), k), dtype=np.int64)
        inside = self._place[ids] >= 0
        if inside.any():
            distances[inside], found[inside] = self._index.query(self._place[ids[inside]], k)
        if not inside.all():
            points = self._rows[ids[~inside]]
            if self._codes is not None:
                points = np.concatenate([points, self._codes[ids[~inside]]], axis=1)
            distances[~inside], found[~inside] = self._index.query_points(points, k)
        return distances, self.sample[found]

    def query_points(self, points: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of the sample to points that are not in the index."""
        distances, found = self._index.query_points(points, k)
        return distances, self.sample[found]


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

    exact = False  # exactness is unknown for an object of the user's
    mixed = True

    @property
    def name(self) -> str:
        """The object's class."""
        return type(self.estimator).__name__

    def build(
        self, matrix: np.ndarray, codes: Codes = None, weight: float = 0.0, *, seed: int = 0
    ) -> NeighborIndex:
        """Fit a clone to rows; categories are one-hot and sparse, with SMOTENC's distances."""
        from sklearn.base import clone  # large, and most searches do without it

        points: Any = matrix
        if codes is not None:
            n, hot = len(matrix), np.full(len(matrix), weight / np.sqrt(2.0))
            levels = [csr_matrix((hot, (np.arange(n), column))) for column in codes.T]
            points = hstack([csr_matrix(matrix), *levels], format="csr")
        return SklearnSearch(clone(self.estimator).fit(points), points, self.name)


class SklearnSearch:
    """Neighbours by an estimator that was fitted to `points`, an array or a sparse matrix."""

    exact = False  # exactness is unknown for an object of the user's

    def __init__(self, estimator: Any, points: Any, engine: str) -> None:
        self.n_rows, self.engine = points.shape[0], engine
        self._estimator, self._points = estimator, points

    def query(self, ids: np.ndarray, k: int) -> Found:
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

    def query_points(self, points: Any, k: int) -> Found:
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


_FEW = 2000  # rows up to which all are looked at
_TRAIN = 40_000  # rows that cells and codes are fitted to
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

    exact = False  # Faiss looks at rows in float32 only

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

    def build(self, matrix: np.ndarray, *, seed: int = 0) -> NeighborIndex:
        """Index rows; `seed` decides which of them cells and codes are fitted to."""
        return FaissSearch(matrix, self, seed)


class FaissSearch(RowSearch):
    """Neighbours among rows that Faiss has indexed."""

    exact = False

    def __init__(self, matrix: np.ndarray, how: FaissIndex, seed: int) -> None:
        super().__init__(matrix)
        self.engine = how.name
        unique = self._unique()
        self._centre = unique.mean(axis=0)
        unique = unique - self._centre
        self._unit = 2.0 ** -float(np.frexp(np.abs(unique).max(initial=_TINY))[1])
        self._rounded = (unique * self._unit).astype(np.float32)
        self._index, self._cell = self._built(how, seed)

    def _built(self, how: FaissIndex, seed: int) -> tuple[Any, np.ndarray]:
        import faiss

        # OpenMP's number of threads is each thread's own; several would make builds differ.
        faiss.omp_set_num_threads(1)
        n, d = self._rounded.shape
        cell = np.zeros(n, dtype=np.int32)
        index: Any
        if n < _FEW:
            index = faiss.IndexFlatL2(d)
        else:
            lists = how.n_lists or 2 ** int(math.log2(0.6 * math.sqrt(n)))
            lists = min(lists, n // 39)  # below 39 rows a cell, Faiss warns of poor cells
            drawn = np.random.default_rng(seed).choice(n, min(n, _TRAIN), replace=False)
            some = self._rounded[np.sort(drawn)]
            if intrinsic_dimension(some[:2000]) >= _EVEN * d:
                index = faiss.index_factory(d, f"IVF{lists},PQ{d}x4fs")
                index.by_residual = False
            else:
                index = faiss.index_factory(d, f"IVF{lists},Flat")
            index.cp.niter = 8
            index.train(some)
            index.nprobe = min(lists, how.n_probe or -(-lists // 5))
            cell = index.quantizer.search(self._rounded, 1)[1][:, 0].astype(np.int32)
        index.add(self._rounded)
        return index, cell

    def __getstate__(self) -> dict[str, Any]:
        """Return what can be pickled: Faiss' index as bytes."""
        import faiss

        return {**self.__dict__, "_index": faiss.serialize_index(self._index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled."""
        import faiss

        self.__dict__.update(state, _index=faiss.deserialize_index(state["_index"]))

    def _order(self, unique: np.ndarray) -> np.ndarray:
        # Cell by cell: one query finds in the processor's cache what the last has read.
        return np.argsort(self._cell[unique], kind="stable")

    def nearest(self, queries: np.ndarray, k: int, selves: np.ndarray) -> Found:
        """Return the nearest of what Faiss proposes; of all rows where that is too few."""
        best, found = super().nearest(queries, k, selves)
        short = ~np.isfinite(best[:, -1])
        if short.any():
            best[short], found[short] = self._compared(queries[short], k, selves[short])
        return best, found

    def _candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Keep the nearest in float32 of what Faiss proposes: -1, none, comes last."""
        import faiss

        faiss.omp_set_num_threads(1)
        if queries.ndim == 1:
            points = self._rounded[queries]
        else:
            points = ((queries - self._centre) * self._unit).astype(np.float32)
        wanted = min(self.groups.n_unique, max(20, 3 * (n - 1)))
        proposed = self._index.search(points, wanted)[1]
        n = min(wanted, n + 1)
        kept = np.empty((len(points), n), dtype=proposed.dtype)
        for start in range(0, len(points), _SUB):
            part = proposed[start : start + _SUB]
            steps = self._rounded[part]
            steps -= points[start : start + _SUB, None, :]
            squares = np.einsum("ijk,ijk->ij", steps, steps)
            squares[part < 0] = np.inf
            nearest = np.argpartition(squares, n - 1, axis=1)[:, :n]
            kept[start : start + _SUB] = np.take_along_axis(part, nearest, 1)
        return kept, np.full(len(points), np.inf)

    def squared(self, queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return exact squares; those of what is not proposed are infinite."""
        squares = super().squared(queries, candidates)
        none = candidates < 0  # any row stands in, infinitely far
        squares[none], candidates[none] = np.inf, 0
        return squares


_FEW_PAIRS = 1 << 18  # normal rows: up to 500 in 2 columns, 1,000 in 10, half the time or less
TREE_DIMENSION = 8.0  # for 10,000 rows; above it a kd-tree visits most of its leaves


class Choice(NamedTuple):
    """The name of a search, why it was chosen, and its engine where it has one."""

    name: str
    why: str
    engine: Engine | None = None


def few(n_queries: int, n_rows: int) -> bool:
    """Tell whether comparing all pairs is quicker than any index, in two columns as in fifty."""
    return n_queries * n_rows <= _FEW_PAIRS


def choose_engine(
    n_rows: int,
    sample: np.ndarray,
    codes: Codes = None,
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
    codes: Codes = None,
    weight: float = 0.0,
) -> dict[str, Any]:
    """Compare an index over matrix and codes with brute force on a seeded sample of its rows.

    `recall` is the share of neighbours that are no further than the true k-th, `distance_ratio` the
    mean distance of those found over that of the true ones (1 where the true ones are 0).
    """
    n = len(matrix)
    ids = np.sort(np.random.default_rng(seed).choice(n, min(n, SAMPLE), replace=False))
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


class GroupedSearch:
    """Neighbours in the own group only: an index for each group, in row numbers of the table.

    ::

        rows      0 1 2 3 4 5 6 7          group a: 0 2 5 7  -> an index over 4 rows
        group     a b a b b a c a          group b: 1 3 4    -> an index over 3 rows
                                           group c: 6        -> lone: fewer than k + 1

    Rows of groups of fewer than `least` rows are *lone*: they have no neighbours, and stand in for
    them themselves. Rows of group -1 are never queried. `build` indexes the rows of these numbers.
    """

    def __init__(
        self, groups: np.ndarray, least: int, build: Callable[[np.ndarray], NeighborIndex]
    ) -> None:
        self.n_rows = len(groups)
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order][:1] - 1))
        self._members = np.split(order, starts[1:]) if len(order) else []
        self._part = np.empty(self.n_rows, dtype=np.int64)
        self._place = np.empty(self.n_rows, dtype=np.int64)
        self.lone = np.zeros(self.n_rows, dtype=bool)
        self._indexes: list[NeighborIndex | None] = []
        for number, ids in enumerate(self._members):
            self._part[ids], self._place[ids] = number, np.arange(len(ids))
            small = len(ids) < least or groups[ids[0]] < 0
            self.lone[ids] = small
            self._indexes.append(None if small else build(ids))
        built = [index for index in self._indexes if index is not None]
        self.exact = all(index.exact for index in built)
        names = sorted({index.engine for index in built})
        self.engine = f"{', '.join(names) or 'none'} in {len(built):,} group(s)"

    def query(self, ids: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of the own group, each row itself left out."""
        ids = np.asarray(ids)
        distances = np.zeros((len(ids), k))
        found = np.repeat(ids[:, None], k, axis=1)
        part = self._part[ids]
        order = np.argsort(part, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            index = self._indexes[part[some[0]]] if len(some) else None
            if index is not None:
                members = self._members[part[some[0]]]
                lengths, near = index.query(self._place[ids[some]], k)
                distances[some], found[some] = lengths, members[near]
        return distances, found

    def query_points(self, points: np.ndarray, k: int) -> Found:
        """Refuse: a point that is not in the index has no group."""
        raise NotImplementedError("a point that is not in the index has no group to search in")


_PROJECTED = 1 << 16  # values that are projected at once: they stay in the cache

Axes = tuple[np.ndarray, np.ndarray]  # centre of rows, and directions from it


def blocks_of(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """Yield rows in order, `class_rows` at a time."""
    step = class_rows(matrix.shape[1])
    for start in range(0, len(matrix), step):
        yield matrix[start : start + step]


def leading_axes(blocks: Callable[[], Iterable[np.ndarray]], n_components: int | float) -> Axes:
    """Find the centre of rows, and orthonormal directions in which they spread most.

    `blocks` gives the rows in order, `class_rows` at a time, as often as it is called: sums are
    those of blocks added up, so they do not depend on where the rows lie. `n_components` is the
    number of directions, min(n, d) at most; or, between 0 and 1, the share of the variance that the
    fewest of them must hold.
    """
    n, total, ends = 0, np.zeros(()), []
    for block in blocks():
        n, total = n + len(block), total + block.sum(axis=0)
        ends.append(np.stack([block.min(axis=0), block.max(axis=0)]))
    centre = total / n
    largest = np.abs(np.concatenate(ends) - centre).max(initial=0.0)
    exponent, d = -np.frexp(largest)[1], len(centre)
    centred = (np.ldexp(block - centre, exponent) for block in blocks())
    if n < d:
        values, axes = principal_axes(np.concatenate([*centred]))
    else:
        product = np.zeros((d, d))
        for block in centred:
            product += block.T @ block
        values, axes = np.linalg.eigh(product)
        values, axes = values[::-1], axes[:, ::-1]
    values = np.maximum(values, 0.0)
    n = int(n_components)
    if not isinstance(n_components, int | np.integer):
        share = np.cumsum(values) / max(float(values.sum()), np.finfo(float).tiny)
        n = min(len(values), int(np.searchsorted(share, n_components - 1e-12)) + 1)
    return centre, np.ascontiguousarray(axes[:, : min(n, len(values))])


def project(rows: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return where rows lie along axes, each the same whatever rows are projected with it.

    A product of matrices rounds a row as its place and the number of rows have it, and neighbours
    are ordered by what comes of it to the last bit.
    """
    made = np.empty((len(rows), axes.shape[1]))
    step = max(1, _PROJECTED // max(1, axes.shape[1]))
    for start in range(0, len(rows), step):
        centred = rows[start : start + step].T - centre[:, None]
        along = np.zeros((axes.shape[1], centred.shape[1]))
        term = np.empty_like(along)
        for values, share in zip(centred, axes, strict=True):
            along += np.multiply(share[:, None], values, out=term)
        made[start : start + step] = along.T
    return made


class ProjectedSearch:
    """An index over rows projected to their leading principal components.

    ::

        30 columns     centre, rotate      leading 6 axes kept        any engine
        x x x x ...  ------------------>   o o o o o o | . . . ...  ------------->  neighbours
                                            most spread | left out

    A distance in the leading components is never more than the true one; what is left out makes
    some rows look nearer than they are. So the search is approximate, even where its engine is
    exact, and its recall is measured in all columns.
    """

    exact = False

    def __init__(self, index: NeighborIndex, centre: np.ndarray, axes: np.ndarray) -> None:
        self.n_rows = index.n_rows
        self._index, self._centre, self._axes = index, centre, axes
        d, p = axes.shape
        self.engine = f"{index.engine} in {p} of {d} principal components"

    def query(self, ids: np.ndarray, k: int) -> Found:
        """Return the k rows that are nearest in the leading components, and those distances."""
        return self._index.query(ids, k)

    def query_points(self, points: np.ndarray, k: int) -> Found:
        """Return the k nearest rows of points, shape (m, d) and further columns for codes."""
        d = len(self._centre)
        projected = project(points[:, :d], self._centre, self._axes)
        return self._index.query_points(np.concatenate([projected, points[:, d:]], axis=1), k)
