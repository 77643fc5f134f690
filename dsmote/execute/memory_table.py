"""Tables in memory: the serial reference. The same plan and kernels, and no Dask graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from dsmote.execute.generate import (
    Made,
    Task,
    build_class_index,
    finish,
    gather,
    join_made,
    make_rows,
)
from dsmote.execute.matrix import (
    Labelled,
    extract_matrix,
    is_matrix,
    labelled,
    profile_matrix,
)
from dsmote.execute.partition import Extract, as_frame, conform, extract, profile
from dsmote.execute.resources import memory_limit, single_threaded, thread_pool
from dsmote.execute.rows import Rows, repeated
from dsmote.plan import Limit, Plan, Profile, Schema, make_schema

__all__ = ["MemoryTable"]

_SHARE = 1 << 14  # new rows that one thread makes at a time, at most
_FLOPS = 1 << 17  # multiplications that no BLAS spreads over threads
_LEAST = 1 << 13  # and at least: for fewer, threads wait for each other longer than they work
_WIDE = 1 << 17  # values of a class from which on the search of an eighth of that is worth it


class MemoryTable:
    """A table in numpy, lists or pandas.

    Parameters
    ----------
    X : DataFrame, ndarray or list
        The features, or the whole table when `target` is given.
    y : Series, DataFrame, ndarray or list, optional
        The target.
    target : hashable, optional
        Name of the target column of X.
    """

    lazy = False
    npartitions = 1
    array: np.dtype | None = None
    index_like: pd.Index = pd.RangeIndex(0)

    def __init__(self, X: Any, y: Any = None, target: Any = None) -> None:
        self.target = target
        self.report: Any = None
        self.has_target = y is None
        self.is_frame = isinstance(X, pd.DataFrame)
        self._restore_X: Callable[[Any], Any] = lambda made: made
        self._restore_y: Callable[[Any], Any] = lambda made: made
        if not self.is_frame:
            X = self._as_array(X)
            self.array = X.dtype
        self._X = X
        names = X.columns if self.is_frame else pd.RangeIndex(X.shape[1])
        self.names: list[Any] = list(names)
        if not X.shape[1]:
            raise ValueError(
                f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required."
            )
        if not len(X):
            raise ValueError(
                "Found array with 0 sample(s), zero rows: there is nothing to resample; "
                "check how the table was read or filtered"
            )
        plain = not self.is_frame and X.dtype.kind != "O"
        self.dtypes: list[Any] = [X.dtype] * X.shape[1] if plain else list(self._frame.dtypes)
        self._plain_y: np.ndarray | None = None
        self._labels = None if y is None else self._as_labels(y)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        """The features as a frame; one over an array shares its memory."""
        if self.is_frame:
            return self._X
        return pd.DataFrame(self._X, columns=pd.RangeIndex(self._X.shape[1]), copy=False)

    @cached_property
    def _classes(self) -> Labelled:
        """The target's labels, numbered once."""
        return labelled(self._labels)

    def _as_array(self, X: Any) -> np.ndarray:
        if issparse(X):
            raise TypeError(
                "sparse matrices are not supported: a synthetic row is dense between its parents; "
                "pass X.toarray(), or fewer columns"
            )
        if isinstance(X, pd.Series):
            raise ValueError("Expected 2D input, got a Series instead; pass X.to_frame()")
        array = np.asarray(X)
        if isinstance(X, list):
            if array.dtype.kind in "US":
                array = np.array(X, dtype=object)
            self._restore_X = lambda made: made.tolist()
        elif array.dtype.kind in "US":
            kind = array.dtype
            array = array.astype(object)
            self._restore_X = lambda made: made.astype(kind)
        if array.ndim != 2:
            raise ValueError(
                f"Expected 2D array, got {array.ndim}D array instead; reshape X to "
                "(n_samples, n_features)"
            )
        if array.dtype.kind == "c":
            raise ValueError("Complex data not supported: pass real and imaginary parts as columns")
        return array

    def _as_labels(self, y: Any) -> pd.Series:
        """Return the target as a Series, and remember how to give its kind back."""
        n = len(self._X)
        if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
            column = y.columns
            self._restore_y = lambda made: made.to_frame().set_axis(column, axis=1)
            series = y.iloc[:, 0]
        elif isinstance(y, pd.Series):
            series = y
        else:
            array = np.asarray(y)
            columns = y.columns if isinstance(y, pd.DataFrame) else None
            if array.ndim == 2 and array.shape[1] > 1:
                array = self._from_indicator(array, columns)
            elif array.ndim == 2:
                array = array.reshape(-1)
                self._restore_y = lambda made: made.to_numpy(copy=True).reshape(-1, 1)
            elif isinstance(y, list):
                self._restore_y = lambda made: made.to_numpy().tolist()
            elif array.ndim == 1:
                dtype = array.dtype
                self._restore_y = lambda made: made.to_numpy(dtype=dtype, copy=True)
                self._plain_y = array if dtype.kind in "biufOUS" else None
            else:
                raise ValueError(f"y should be a 1d array, got an array of shape {array.shape}")
            if array.dtype.kind in "US":
                array = array.astype(object)
            # Objects stay objects: making text of them and objects again takes a while.
            kept = object if array.dtype.kind == "O" else None
            series = pd.Series(array, dtype=kept, copy=False)
        if len(series) != n:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X has "
                f"{n:,} rows and y {len(series):,}; they must be of equal length"
            )
        return series

    def _from_indicator(self, array: np.ndarray, columns: Any) -> np.ndarray:
        values = pd.unique(array.reshape(-1))
        if len(values) > 2 or not np.isin(values, [0, 1]).all() or (array.sum(axis=1) != 1).any():
            raise ValueError(
                "Multilabel and multioutput targets are not supported. A two-dimensional y must "
                "be one-hot encoded: exactly one 1 in each row"
            )
        dtype, width = array.dtype, array.shape[1]

        def binarized(made: pd.Series) -> Any:
            hot = np.zeros((len(made), width), dtype=dtype)
            hot[np.arange(len(made)), made.to_numpy()] = 1
            return hot if columns is None else pd.DataFrame(hot, columns=columns)

        self._restore_y = binarized
        return array.argmax(axis=1)

    @property
    def target_name(self) -> Any:
        """Name of the target, where it has one."""
        return self.target if self._labels is None else self._labels.name

    @property
    def meta_labels(self) -> Any:
        """What a callable sampling strategy is given."""
        if self._labels is None:
            return self._frame.iloc[:, self.names.index(self.target)]
        return self._labels.to_numpy()

    def schema(self, **roles: Any) -> Schema:
        """Give the columns their roles; object columns that are measured must hold numbers."""
        dtypes = list(self.dtypes)
        if self.array is not None and self.array.kind == "O":
            voted = set(roles.get("nominal", ()))
            carried = set(roles.get("carry", ()))
            for i in range(len(dtypes)):
                if i not in voted and i not in carried:
                    dtypes[i] = np.dtype("f8") if _numbers(self._frame.iloc[:, i]) else dtypes[i]
        return make_schema(
            self.names, dtypes, target=self.target, has_target=self.has_target, **roles
        )

    def _prepared(self, schema: Schema) -> pd.DataFrame:
        """Return the frame with object columns of numbers as the floats the schema says."""
        changed = {
            c.name: c.dtype
            for c, dtype in zip(schema.columns, self.dtypes, strict=True)
            if pd.api.types.is_object_dtype(dtype) and c.dtype != dtype
        }
        return self._frame.astype(changed) if changed else self._frame

    def profile(self, schema: Schema, scale: str | None = None) -> Profile:
        """Look at the table once."""
        if is_matrix(self._X, schema):
            return profile_matrix(self._X, self._classes, schema, scale)
        return profile(self._prepared(schema), self._labels, schema, scale)

    def _extract(self, task: Task) -> Extract:
        """Take out the rows of the classes to grow."""
        grow = {c.label: c.rank for c in task.plan.growing}
        schema, skip = task.schema, task.skip
        if is_matrix(self._X, schema):
            return extract_matrix(self._X, self._classes, schema=schema, grow=grow, skip=skip)
        frame = self._prepared(schema)
        return extract(frame, self._labels, schema=schema, grow=grow, skip=skip)

    def limit(self) -> Limit | None:
        """Return the memory of this machine."""
        return memory_limit(on_cluster=False)

    def run(self, task: Task) -> Any:
        """Make the output: (X, y), or the table when the target is one of its columns."""
        recipe, schema, plan = task.recipe, task.schema, task.plan
        rows = gather([self._extract(task)], schema=schema, plan=plan)
        made, n_made = [], 0
        self.report = {}
        threads, pool = thread_pool()
        with nullcontext() if _tiny(rows) else single_threaded():
            for c in plan.growing:
                of = build_class_index(rows, recipe=recipe, of=c, seed=plan.seed)
                self.report[c.label] = of.report

                def share(cut: tuple[int, int], of: Any = of, c: Any = c) -> Made:
                    return make_rows(of, recipe, schema, plan.seed, c.rank, *cut)

                least = _LEAST if of.rows.numeric.size < _WIDE else _LEAST // 8
                cuts = list(pairwise(_cuts(c.new, threads, least)))
                spans: list[Made] = [share(cuts[0])] if len(cuts) == 1 else [*pool.map(share, cuts)]
                like, first = self.index_like, plan.n_before + n_made
                new = join_made(spans)
                made.append(finish(of.rows, new, task.out, c.label, first, like, self.array))
                n_made += c.new
        X_res = self._joined(made, schema, task.changes)
        if self.has_target:
            return X_res
        if self._plain_y is not None:
            more = [_filled(c.label, c.new, self._plain_y.dtype) for c in plan.growing]
            return self._restore_X(X_res), np.concatenate([self._plain_y, *more])
        return self._restore_X(X_res), self._restore_y(self._joined_labels(plan))

    def _joined(self, made: list[Any], schema: Schema, changes: dict[int, Any]) -> Any:
        if self.array is not None:
            return np.concatenate([self._X, *made])
        return pd.concat([conform(self._X, schema, changes), *made], ignore_index=True)

    def _joined_labels(self, plan: Plan) -> pd.Series:
        y = self._labels
        assert y is not None
        new = [pd.Series(repeated(c.label, c.new, y.dtype)) for c in plan.growing]
        joined = pd.concat([y, *new], ignore_index=True)
        joined.name = y.name
        return joined


def _tiny(rows: dict[int, Rows]) -> bool:
    """Tell whether the matrices are too small for BLAS to take a second thread for."""
    return all(max(r.numeric.shape) * r.numeric.size < _FLOPS for r in rows.values())


def _cuts(n: int, threads: int, least: int = _LEAST) -> list[int]:
    """Cut n new rows into even shares, as many for each thread."""
    shares = -(-n // _SHARE)
    shares = -(-shares // threads) * threads
    shares = max(1, min(shares, n // least))
    return [n * i // shares for i in range(shares + 1)]


def _filled(label: Any, n: int, dtype: np.dtype) -> np.ndarray:
    array = np.empty(n, dtype=dtype)
    array.fill(label)
    return array


def _numbers(series: pd.Series) -> bool:
    try:
        as_frame(series.to_frame().astype(np.float64), Schema(()))
    except (TypeError, ValueError):
        return False
    return True
