r"""Tables on Dask: the same plan and kernels as in memory, as a graph.

::

    input partitions   p0 ----+---- p1 ----+---- ... ------+     (passed on as they are, or
                        |     |      |     |               |      with carried dtypes widened)
    extract            e0     |     e1     |     ...       |     rows of the classes to grow
                         \    |    /       |               |
    gather                `-- g -'         |               |     joined in row order; 256 at a time
                            / \           |               |
    index               i(A)   i(B)        |               |     one node a class: recomputable,
                       /  |     |  \      |               |     carried to whoever needs it
    generate         b0  b1    b2  b3      |               |     one task a block
                      |   |     |   |      v               v
    output        [  p0, p1, ..., pn,   b0, b1, b2, b3  ]

Partitions are known to each other by their order only, never by a number in the data: the
input's partitions are fixed when the graph is built (``optimization.tune.active`` is off then),
because the optimiser would otherwise fuse those of X and of y differently.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.generate import (
    Task,
    build_class_index,
    gather,
    join_extracts,
    make_block,
    synthetic_index,
)
from dsmote.execute.graph import Layer, freeze, tree
from dsmote.execute.partition import conform, extract, profile
from dsmote.execute.resources import memory_limit, single_threaded
from dsmote.execute.rows import repeated
from dsmote.plan import Limit, Plan, Profile, Schema, make_schema, merge_profiles
from dsmote.plan.profile import TARGET

__all__ = ["DaskTable"]


def _single_threaded(function: Any, *args: Any, **kwargs: Any) -> Any:
    with single_threaded():
        return function(*args, **kwargs)


def _merge_list(parts: list[Profile]) -> Profile:
    return merge_profiles(parts)


def _profile_part(
    part: Any, target: Any = None, *, schema: Schema, scale: str | None = None
) -> Profile:
    return profile(part, target, schema, scale)


def _extract_part(part: Any, target: Any = None, **how: Any) -> Any:
    return extract(part, target, **how)


def _report(indexes: list[Any], *, labels: list[Any]) -> dict[Any, Any]:
    return {label: of.report for label, of in zip(labels, indexes, strict=True)}


def _label_block(*, label: Any, rows: int, first: int, like: Any, column: bool) -> Any:
    """Make the target of one synthetic partition."""
    if isinstance(like, np.ndarray):
        array = np.full(rows, label, dtype=like.dtype)
        return array.reshape(-1, 1) if column else array
    index = synthetic_index(like.index, first, rows)
    series = like.iloc[:, 0] if column else like
    made = pd.Series(repeated(label, rows, series.dtype), index=index, name=series.name)
    return made.to_frame() if column else made


class DaskTable:
    """A table in Dask collections.

    Parameters
    ----------
    X : dask DataFrame or 2-d dask Array
        The features, or the whole table when `target` is given.
    y : dask Series, one-column DataFrame or Array, optional
        The target.
    target : hashable, optional
        Name of the target column of X.
    """

    lazy = True

    def __init__(self, X: Any, y: Any = None, target: Any = None) -> None:
        self.target = target
        self.report: Any = None
        self.has_target = y is None
        self.is_frame = isinstance(X, dd.DataFrame)
        self.array: np.dtype | None = None
        if self.is_frame:
            self._meta = X._meta
            self.names: list[Any] = list(X.columns)
            self.dtypes: list[Any] = list(self._meta.dtypes)
        else:
            X = self._checked_array(X)
            self.array = X.dtype
            self._meta = np.empty((0, X.shape[1]), dtype=X.dtype)
            self.names = list(range(X.shape[1]))
            self.dtypes = [X.dtype] * X.shape[1]
        if not self.names:
            raise ValueError("X has 0 feature(s) while a minimum of 1 is required.")
        self._X, self._y = X, y
        if y is not None:
            self._check_target(y)
        self._frozen: tuple[dict[Any, Any], list[Any], list[Any]] | None = None

    @property
    def npartitions(self) -> int:
        """Partitions of X."""
        return self._X.npartitions if self.is_frame else self._X.numblocks[0]

    @property
    def target_name(self) -> Any:
        """Name of the target, where it has one."""
        return self.target if self._y is None else getattr(self._y, "name", None)

    @property
    def index_like(self) -> pd.Index:
        """An empty index of the input's kind."""
        return self._meta.index if self.is_frame else pd.RangeIndex(0)

    @property
    def meta_labels(self) -> Any:
        """What a callable sampling strategy is given: None, which means the class counts."""
        return None

    @staticmethod
    def _checked_array(X: Any) -> Any:
        if not isinstance(X, da.Array):
            raise TypeError(
                f"X must be a Dask DataFrame or a two-dimensional Dask Array, but is a "
                f"{type(X).__name__}; for bags and delayed objects call to_dataframe() first"
            )
        if X.ndim != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead")
        if X.dtype.kind == "c":
            raise ValueError("Complex data not supported: pass real and imaginary parts as columns")
        if np.isnan(X.shape[1]):
            raise ValueError(
                "the number of columns of X is not known; call X.compute_chunk_sizes()"
            )
        return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X

    def _check_target(self, y: Any) -> None:
        wide = (isinstance(y, dd.DataFrame) and len(y.columns) != 1) or (
            isinstance(y, da.Array) and y.ndim == 2 and y.shape[1] != 1
        )
        if wide:
            raise ValueError(
                "Multilabel and multioutput targets are not supported. With Dask, y must be a "
                "Series, or have one column"
            )
        if not isinstance(y, dd.DataFrame | dd.Series | da.Array):
            raise TypeError(f"y must be a Dask Series or Array, but is a {type(y).__name__}")
        if isinstance(self._X, da.Array) and isinstance(y, da.Array):
            ours, theirs = self._X.chunks[0], y.chunks[0]
            known = not (np.isnan(ours).any() or np.isnan(theirs).any())
            if known and sum(ours) != sum(theirs):
                raise ValueError(
                    "Found input variables with inconsistent numbers of samples: X has "
                    f"{sum(ours):,} rows and y {sum(theirs):,}"
                )
            if known and ours != theirs:
                self._y = y = y.rechunk({0: ours})
        n_X, n_y = (
            c.npartitions if not isinstance(c, da.Array) else c.numblocks[0] for c in (self._X, y)
        )
        if n_X != n_y:
            raise ValueError(
                f"X and y are partitioned differently: X has {n_X} partitions and y {n_y}; "
                "repartition both alike, or keep the target in the frame and call "
                "resample(frame, target=...)" + self._remedy(y)
            )

    def _remedy(self, y: Any) -> str:
        """Say what helps where Dask merged partitions while it made arrays of Parquet columns."""
        if not isinstance(y, da.Array):
            return ""
        if self.is_frame:
            return (
                "; an array that was made of a column read from Parquet has fewer chunks than the "
                "frame has partitions, because Dask merges them: pass the column itself"
            )
        return "; arrays of known chunk sizes are aligned here: call compute_chunk_sizes() on both"

    def schema(self, **roles: Any) -> Schema:
        """Give the columns their roles."""
        return make_schema(
            self.names, self.dtypes, target=self.target, has_target=self.has_target, **roles
        )

    def _inputs(self) -> tuple[dict[Any, Any], list[Any], list[Any]]:
        if self._frozen is None:
            graph, keys = freeze(self._X)
            y_keys: list[Any] = [None] * len(keys)
            if self._y is not None:
                y_graph, y_keys = freeze(self._y)
                graph = {**graph, **y_graph}
            self._frozen = graph, keys, y_keys
        return self._frozen

    def profile(self, schema: Schema, scale: str | None = None) -> Profile:
        """Look at every partition once: the one compute."""
        inputs, keys, y_keys = self._inputs()
        token = tokenize(self._X, self._y, schema, "profile", scale)
        look = partial(_profile_part, schema=schema, scale=scale)
        tasks = dict(inputs)
        level = []
        for i, (key, y_key) in enumerate(zip(keys, y_keys, strict=True)):
            level.append((f"profile-{token}", i))
            tasks[level[-1]] = (look, key) if y_key is None else (look, key, y_key)
        top = tree(tasks, level, f"merge-profiles-{token}", _merge_list)
        layer = f"profile-{token}"
        graph = HighLevelGraph.from_collections(layer, tasks, dependencies=())
        (found,) = dask.compute(Delayed(top, graph, layer=layer))
        return found

    def limit(self) -> Limit | None:
        """Return the memory limit of a worker, or of this machine."""
        return memory_limit(on_cluster=True)

    def run(self, task: Task) -> Any:
        """Return the lazy output: (X, y), or the table when the target is one of its columns."""
        graph, keys, y_keys = self._inputs()
        plan = task.plan
        token = tokenize(self._X, self._y, task)
        tasks = dict(graph)
        outputs = list(keys)
        if task.changes:
            change = partial(conform, schema=task.schema, dtypes=task.changes)
            outputs = [(f"original-{token}", i) for i in range(len(keys))]
            tasks |= {new: (change, old) for new, old in zip(outputs, keys, strict=True)}
        self.report = {}
        if plan.growing:
            indexes = self._add_indexes(tasks, token, task)
            self.report = self._reported(dict(tasks), indexes, token, task)
            for b, block in enumerate(plan.blocks):
                make = partial(
                    _single_threaded,
                    make_block,
                    recipe=task.recipe,
                    schema=task.out,
                    block=block,
                    seed=plan.seed,
                    n_before=plan.n_before,
                    like=self.index_like,
                    array=self.array,
                )
                outputs.append((f"synthetic-{token}", b))
                tasks[outputs[-1]] = (make, indexes[block.class_rank])
        lengths = [b.rows for b in plan.blocks]
        X_res = self._collect(self._X, tasks, outputs, f"X-{token}", lengths, task.known)
        if self.has_target:
            return X_res
        return X_res, self._labels(graph, y_keys, plan, f"y-{token}", lengths, task)

    def _add_indexes(self, tasks: dict[Any, Any], token: str, task: Task) -> dict[int, Any]:
        """Add the tasks from the input to one index a class; return the indexes' keys."""
        _, keys, y_keys = self._inputs()
        schema, plan = task.schema, task.plan
        grow = {c.label: c.rank for c in plan.growing}
        take = partial(_extract_part, schema=schema, grow=grow, skip=task.skip)
        level = []
        for i, (key, y_key) in enumerate(zip(keys, y_keys, strict=True)):
            level.append((f"extract-{token}", i))
            tasks[level[-1]] = (take, key) if y_key is None else (take, key, y_key)
        joined = partial(join_extracts, schema=schema)
        last = partial(gather, schema=schema, plan=_without_blocks(plan))
        top = tree(tasks, level, f"gather-{token}", joined, last)
        indexes = {}
        for c in plan.growing:
            build = partial(
                _single_threaded, build_class_index, recipe=task.recipe, of=c, seed=plan.seed
            )
            indexes[c.rank] = (f"index-{token}", c.rank)
            tasks[indexes[c.rank]] = (build, top)
        return indexes

    @staticmethod
    def _reported(tasks: dict[Any, Any], indexes: dict[int, Any], token: str, task: Task) -> Any:
        """Return what is known of each class's search, lazily where it must be measured."""
        growing = task.plan.growing
        if task.recipe.exact:
            return {c.label: {"engine": c.engine, "exact": True, "recall": 1.0} for c in growing}
        name = f"report-{token}"
        labels = [c.label for c in growing]
        tasks[name] = (partial(_report, labels=labels), [indexes[c.rank] for c in growing])
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
        return Delayed(name, graph, layer=name)

    def _labels(
        self,
        graph: dict[Any, Any],
        keys: list[Any],
        plan: Plan,
        name: str,
        lengths: list[int],
        task: Task,
    ) -> Any:
        y, known = self._y, task.known
        tasks, outputs = dict(graph), list(keys)
        is_array = isinstance(y, da.Array)
        like = np.empty(0, dtype=y.dtype) if is_array else y._meta
        column = isinstance(y, dd.DataFrame) or (is_array and y.ndim == 2)
        if TARGET in known:
            like = like.astype(known[TARGET])
        elif isinstance(y, dd.Series) and hasattr(y, "cat") and not y.cat.known:
            raise ValueError(
                f"the categories of the target {y.name!r} are not known without a pass over the "
                "data; call y.cat.as_known(), or leave class_counts out"
            )
        if TARGET in task.changes:
            change = partial(_as_category, dtype=known[TARGET])
            outputs = [(f"original-{name}", i) for i in range(len(keys))]
            tasks |= {new: (change, old) for new, old in zip(outputs, keys, strict=True)}
        for b, block in enumerate(plan.blocks):
            make = partial(
                _label_block,
                label=block.label,
                rows=block.rows,
                first=plan.n_before + block.offset,
                like=like,
                column=column,
            )
            outputs.append((f"labels-{name}", b))
            tasks[outputs[-1]] = (make,)
        return self._collect(y, tasks, outputs, name, lengths, known)

    @staticmethod
    def _collect(
        like: Any,
        tasks: dict[Any, Any],
        outputs: list[Any],
        name: str,
        lengths: list[int],
        known: dict[int, Any],
    ) -> Any:
        """Make a collection of the input's kind from the tasks that make its partitions."""
        if isinstance(like, da.Array):
            tail = (0,) * (like.ndim - 1)
            tasks |= {(name, i, *tail): key for i, key in enumerate(outputs)}
            graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
            chunks = (like.chunks[0] + tuple(lengths), *like.chunks[1:])
            return da.Array(graph, name, chunks, dtype=like.dtype)
        meta = like._meta
        if isinstance(meta, pd.DataFrame):
            changed = {meta.columns[i]: d for i, d in known.items() if 0 <= i < meta.shape[1]}
            meta = meta.astype(changed) if changed else meta
        if TARGET in known and not isinstance(meta, pd.DataFrame):
            meta = meta.astype(known[TARGET])
        divisions = (None,) * (len(outputs) + 1)
        return dd.from_graph(Layer(tasks, name), meta, divisions, outputs, "dsmote")


def _as_category(part: Any, *, dtype: pd.CategoricalDtype) -> Any:
    return part.astype(dtype)


def _without_blocks(plan: Plan) -> Plan:
    """Leave out what a task does not need: a plan has as many blocks as synthetic partitions."""
    return replace(plan, blocks=())
