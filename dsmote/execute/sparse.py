"""Sparse matrices: a table of row numbers, whose values are looked up when new rows are made.

::

    X (sparse) --> canonical rows --> the engine: who is near whom, by row number
                                 \
    row numbers --> a table of one column --> base row, neighbour and gap of each new row
                                                     |
    X, then new rows: base + gap (neighbour - base) on the columns of both, in the same kind

All that samplers decide they decide from neighbours, classes and draws, and these are those of the
dense matrix. Nothing of its size is made but the input, a canonical copy and the output.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from dsmote.execute.generate import numbers_of
from dsmote.execute.recipe import Made
from dsmote.execute.tables import MemoryTable
from dsmote.kernels import extrapolate, segment
from dsmote.neighbors.sparse import SparseIndex, canonical
from dsmote.plan import Profile, Schema, make_schema

FORMATS = ("csr", "csc", "coo")
_EXACT = 2**53  # integers up to here are exact in float64
_VALUES = 1 << 16  # stored values of base rows that are looked at at once: they stay in a cache
_COPIES = 3  # of the stored values, for each that the input and the output hold
_DENSE = (
    "pass X.toarray(), or a frame of sparse columns, as pandas.DataFrame.sparse.from_spmatrix(X) "
    "makes it"
)


_REMEDIES = {
    "carry": "leave those columns out of X, or " + _DENSE,
    "scale": "scale X before, for example with MaxAbsScaler or StandardScaler(with_mean=False), or "
    + _DENSE,
    "n_components": "leave it out, or pass X reduced by TruncatedSVD",
    "shrinkage": "noise leaves no zeros: " + _DENSE,
    "version=2": "the farthest rows are found among dense ones: take version 1 or 3, or " + _DENSE,
    "neighbors='fast'": "sparse rows are searched exactly, by products: leave neighbors out",
    "an object that searches": "sparse rows are searched exactly, by products: give a number, and "
    "leave neighbors out",
}


class SparseTable(MemoryTable):
    """A sparse matrix in memory, of which samplers see the row numbers.

    A row with a missing or infinite value has no number.
    """

    def __init__(self, X: Any, y: Any, companions: dict[str, Any] | None = None) -> None:
        _check(X)
        self._sparse = X
        self._rows = canonical(X)
        self.width = int(X.shape[1])
        numbers = np.arange(X.shape[0], dtype=np.float64)[:, None]
        self._missing, self._infinite = 0, 0
        values = self._rows.data
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            self._missing = int(np.isnan(values).sum())
            self._infinite = int(np.isinf(values).sum())
            owner = np.repeat(np.arange(X.shape[0]), np.diff(self._rows.indptr))
            numbers[owner[~np.isfinite(values)]] = np.nan
        super().__init__(numbers, y, companions=companions)
        self._given, self._plain = X, False
        self._new: list[Any] = []

    def _engine(self) -> SparseIndex:
        """Return the engine that finds neighbours."""
        if self._rows.dtype.kind in "iu" and self._rows.dtype.itemsize == 8:
            values = self._rows.data
            if len(values) and (int(values.max()) > _EXACT or int(values.min()) < -_EXACT):
                raise ValueError(
                    f"X is a sparse matrix of {values.dtype} with values beyond 2**53, which "
                    "float64 cannot hold; pass X.astype('float64') if rounded values will do"
                )
        return SparseIndex(self._rows.astype(np.float64, copy=False))

    def searched(self, how: Any, sampler: Any) -> Any:
        """Return a recipe or a rule that looks for neighbours among the sparse rows."""
        name, neighbors = type(sampler).__name__, getattr(sampler, "neighbors", "auto")
        if not sampler._takes_sparse:
            raise TypeError(f"{name} does not take sparse matrices: {_DENSE}")
        named = isinstance(neighbors, str) and neighbors != "fast"
        own = how.neighbors is None or (named and neighbors != "auto")
        refused = {
            "carry": getattr(sampler, "carry", None) is not None,
            "scale": bool(getattr(sampler, "scale", None)),
            "n_components": bool(getattr(sampler, "n_components", None)),
            "shrinkage": getattr(sampler, "shrinkage", None) is not None,
            "version=2": getattr(sampler, "version", 1) == 2,
            "neighbors='fast'": isinstance(neighbors, str) and neighbors == "fast",
            "an object that searches": not own or getattr(how, "m_engine", None) is not None,
        }
        for what in filter(refused.get, refused):
            remedy = _REMEDIES[what]
            raise ValueError(f"{name} does not take {what} with a sparse matrix; {remedy}")
        return replace(how, neighbors=self._engine()) if how.k else how

    def schema(self, **roles: Any) -> Schema:
        """Return the schema of a table of one column, the row numbers."""
        kinds = {name: roles[name] for name in ("any_kind", "sampler") if name in roles}
        return make_schema(["X"], [np.dtype(np.float64)], **kinds)

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Look at the table once."""
        found = super().profile(*args, **kwargs)
        stored = _COPIES * (self._rows.data.nbytes + self._rows.indices.nbytes)
        counts = {"bytes": stored, "largest_bytes": stored}
        if not found.missing:
            return replace(found, **counts)
        missing, infinite = {0: self._missing}, {0: self._infinite}
        return replace(found, missing=missing, infinite=infinite, **counts)

    def _remember(self, bases: np.ndarray, made: Made) -> None:
        super()._remember(bases, made)
        if made.neighbours is None or made.gaps is None:
            self._new.append(_kind(self._sparse)(self._rows[bases]))
            return
        step = max(1, _VALUES * self._rows.shape[0] // max(1, self._rows.nnz))
        for start in range(0, len(bases), step):
            part = slice(start, start + step)
            rows = self._rows[bases[part]], self._rows[made.neighbours[part]]
            self._new.append(_kind(self._sparse)(between(*rows, made.gaps[part])))

    def _joined_table(self, ours: Any, made: list[Any]) -> Any:
        X, new = self._sparse, self._new
        self._new = []
        if not new:
            return X.copy()
        joined = sparse.vstack([X, *new], format=X.format, dtype=X.dtype)
        return _kind(X)(joined)


def _check(X: Any) -> None:
    """Refuse what is no table of numbers in one of the formats."""
    if X.format not in FORMATS:
        raise TypeError(
            f"X is a sparse matrix in the format {X.format!r}; dsmote takes CSR, CSC and COO: pass "
            "X.tocsr()"
        )
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D sparse array instead; reshape X to "
            "(n_samples, n_features)"
        )
    if X.dtype.kind == "c":
        raise ValueError("Complex data not supported: pass real and imaginary parts as columns")
    if X.dtype.kind not in "iufb":
        raise TypeError(f"X is a sparse matrix of {X.dtype}; pass X.astype('float64')")
    if not X.shape[1]:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required."
        )


def _kind(X: Any) -> Any:
    """Return the class, array or matrix, of a sparse container."""
    ending = "array" if isinstance(X, sparse.sparray) else "matrix"

    def made(rows: Any) -> Any:
        return getattr(sparse, f"{rows.format}_{ending}")(rows)

    return made


def between(bases: Any, neighbours: Any, gaps: np.ndarray) -> Any:
    """Make rows from base rows, as canonical CSR, of the columns that either end has.

    Negative gaps extrapolate. Values are those of :func:`dsmote.kernels.segment` for dense rows: in
    all other columns both ends are zero, and so is what is made.
    """
    dtype, shape = bases.dtype, bases.shape
    column = make_schema([0], [dtype]).columns[0]
    # 1 where the base row has a value, 2 where the neighbour has one, 3 where both have.
    marks = [
        sparse.csr_array((np.full(of.nnz, mark, dtype=np.int8), of.indices, of.indptr), shape=shape)
        for of, mark in ((bases, 1), (neighbours, 2))
    ]
    union = marks[0] + marks[1]
    start, end = np.zeros((2, union.nnz, 1))
    start[(union.data & 1) > 0, 0] = bases.data
    end[(union.data & 2) > 0, 0] = neighbours.data
    each = np.repeat(gaps, np.diff(union.indptr))
    whole = np.array([column.kind != "float"])
    away = np.flatnonzero(np.signbit(each))
    made = segment(start, end, np.where(np.signbit(each), 0.0, each), whole)
    if len(away):
        made[away] = extrapolate(start[away], end[away], -each[away], whole)
    values = np.asarray(numbers_of(made[:, 0], None, column))
    rows = sparse.csr_array((values, union.indices, union.indptr), shape=shape)
    rows.eliminate_zeros()
    return rows
