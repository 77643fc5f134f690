r"""Tables on Dask: the tasks of :mod:`dsmote.execute.graph`, and collections made of them.

::

    index            i(A)       i(B)                       one node a class: recomputable,
                    /   |       |   \                      carried to whoever needs it
    generate      b0    b1      b2   b3                    one task a block
                   |    |       |    |
    output      [ p0, p1, ..., pn,  b0, b1, b2, b3 ]       partitions of the input pass as they are,
                                                           or with carried dtypes widened

Partitions are known to each other by their order only, never by a number in the data: the
input's partitions are fixed when the graph is built (``optimization.tune.active`` is off then),
because the optimiser would otherwise fuse those of X and of y differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.generate import (
    empty_provenance,
    filled,
    make_block,
    of_originals,
    repeated,
    synthetic_index,
    with_provenance,
)
from dsmote.execute.graph import (
    Inputs,
    add_each,
    add_indexes,
    frame_of,
    freeze_all,
    over_all,
    with_one_thread,
)
from dsmote.execute.partition import check_companion, conform, numbers_in, profile
from dsmote.execute.recipe import ClassIndex, Task
from dsmote.execute.resources import memory_limit
from dsmote.execute.rows import retyped
from dsmote.plan import Block, Limit, Profile, Schema, make_schema, merge_profiles
from dsmote.plan.profile import TARGET
from dsmote.plan.schema import check_unique, column_name


def collect(
    like: Any,
    tasks: Mapping[Any, Any],
    outputs: list[Any],
    name: str,
    lengths: Sequence[int],
    divisions: Sequence[Any] | None = None,
) -> Any:
    """Make a collection from the keys of its partitions; arrays want to know the lengths."""
    if isinstance(like, da.Array):
        tail = (0,) * (like.ndim - 1)
        tasks = {**tasks, **{(name, i, *tail): key for i, key in enumerate(outputs)}}
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
        chunks = (tuple(lengths), *like.chunks[1:])
        return da.Array(graph, name, chunks, meta=like._meta, dtype=like.dtype)
    like = like._meta if isinstance(like, dd.DataFrame | dd.Series) else like
    return frame_of(tasks, outputs, name, like, divisions or (None,) * (len(outputs) + 1))


def _original(
    part: Any, *, schema: Schema, dtypes: dict[int, Any], out: Schema, kind: str | None
) -> Any:
    """Pass an original partition on, with the dtypes and columns of the output."""
    part = conform(part, schema, dtypes)
    if kind is None:
        return part
    return with_provenance(part, of_originals(part.index, kind, out))


def _provenance_of(part: Any, *, kind: str, out: Schema) -> pd.DataFrame:
    return of_originals(pd.RangeIndex(len(part)), kind, out)


def _made(of: ClassIndex, *, pick: int | None, **how: Any) -> Any:
    made = make_block(of, **how)
    return tuple(made) if pick is None else made[pick]


def companion_like(values: Any, name: str) -> tuple[Any, Any]:
    """Return what a weight's or group's output is like, and the dtype that its parts take.

    Between whole weights there are others, so whole numbers become float64.
    """
    dtype = values.dtype if isinstance(values, da.Array) else values._meta.dtype
    if name == "sample_weight" and pd.api.types.is_numeric_dtype(dtype):
        whole = pd.api.types.is_integer_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
        dtype = np.dtype("f8") if whole else dtype
    if isinstance(values, da.Array):
        return values.astype(dtype), dtype
    if isinstance(dtype, pd.CategoricalDtype) and not values.cat.known:
        # What stands for unknown categories are no categories.
        return values._meta, pd.CategoricalDtype()
    return values._meta.astype(dtype), dtype


def as_dtype(part: Any, *, dtype: Any, array: bool, like: Any = None) -> Any:
    """Return a partition of weights or groups in the output's kind and dtype."""
    if array:
        return np.asarray(part).astype(dtype)
    series = part if isinstance(part, pd.Series) else pd.Series(part)
    if isinstance(dtype, pd.CategoricalDtype) and isinstance(series.dtype, pd.CategoricalDtype):
        if dtype.categories is None:
            return series.rename(like)  # each partition has its own
        absent = series.dropna()[~series.dropna().isin(dtype.categories)]
        if len(absent):
            raise ValueError(
                f"a partition of groups holds {absent.iloc[0]!r}, which is not among the "
                "categories that the collection declares; call groups.cat.as_unknown(), or cast "
                "the groups to text"
            )
    return series.astype(dtype).rename(like)


def target_like(y: Any, known: dict[int, Any]) -> Any:
    """Return what the partitions of the target are like, its categories known."""
    like = np.empty(0, dtype=y.dtype) if isinstance(y, da.Array) else y._meta
    if TARGET in known:
        return like.astype(known[TARGET])
    if isinstance(y, dd.Series) and hasattr(y, "cat") and not y.cat.known:
        raise ValueError(
            f"the categories of the target {y.name!r} are not known without a pass over the "
            "data; call y.cat.as_known(), or leave class_counts out"
        )
    return like


def label_block(*, block: Block, first: int, like: Any, column: bool) -> Any:
    """Make the target of one synthetic partition."""
    label, rows = block.label, block.rows
    if isinstance(like, np.ndarray):
        array = filled(label, rows, like.dtype)
        return array.reshape(-1, 1) if column else array
    index = synthetic_index(like.index, first, rows)
    series = like.iloc[:, 0] if column else like
    made = pd.Series(repeated(label, rows, series.dtype), index=index, name=series.name)
    return made.to_frame() if column else made


COMPANIONS = ("sample_weight", "groups")  # in the order of generate.Part
PROFILES = 16  # that are merged at once: each holds up to 2 MiB of every class


def _all_numbers(parts: list[dict[int, bool]]) -> dict[int, bool]:
    return {i: all(p.get(i, True) for p in parts) for i in {i for p in parts for i in p}}


def _report(indexes: list[Any], *, labels: list[Any]) -> dict[Any, Any]:
    return {label: of.report for label, of in zip(labels, indexes, strict=True)}


def schema_of(table: Any, roles: dict[str, Any], is_number: Callable[[int], bool]) -> Schema:
    """Give the columns of a table their roles; some object columns are numeric features."""
    apart = {*roles.get("carry", ()), *roles.get("inherited", ()), roles.get("group")}
    if table.has_target:
        apart.add(table.target)
    objects = {
        i
        for i, dtype in enumerate(table.dtypes)
        if dtype == np.dtype("O")
        and not roles.get("any_kind")
        and i not in roles.get("nominal", ())
        and table.names[i] not in apart
        and is_number(i)
    }
    dtypes = [np.dtype("f8") if i in objects else d for i, d in enumerate(table.dtypes)]
    roles |= {"target": table.target, "has_target": table.has_target, "objects": objects}
    return make_schema(table.names, dtypes, **roles)


def _parts(values: Any) -> int:
    return values.numblocks[0] if isinstance(values, da.Array) else values.npartitions


class DaskTable:
    """A table in Dask collections; `companions` (weights, groups) is partitioned as X is."""

    lazy = True
    passes: tuple[str, ...] = ()
    classes: dict[Any, Any] = {}  # noqa: RUF012 - known when computed, and not here
    model = None
    recipe: Any = None
    sample_indices = np.empty(0, dtype=np.int64)

    def __init__(
        self, X: Any, y: Any = None, target: Any = None, companions: dict[str, Any] | None = None
    ) -> None:
        self.target = column_name(target)
        self.report: Any = None
        self.provenance: Any = None
        self.has_target = y is None
        self.is_frame = isinstance(X, dd.DataFrame)
        self.array: np.dtype | None = None
        if self.is_frame:
            self._meta = X._meta
            self.names: list[Any] = list(map(column_name, X.columns))
            check_unique(self.names)  # Dask keeps one dtype for all columns of a name
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
        self.companions = {
            name: self._checked_companion(name, values)
            for name, values in (companions or {}).items()
        }
        self._frozen: Inputs | None = None
        self._numbers: dict[int, bool] | None = None

    @property
    def npartitions(self) -> int:
        """Partitions of X."""
        return _parts(self._X)

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
        n_X, n_y = (sum(c.chunks[0]) if isinstance(c, da.Array) else np.nan for c in (self._X, y))
        if n_X != n_y and not np.isnan(n_X + n_y):
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X has "
                f"{n_X:,} rows and y {n_y:,}"
            )
        self._y = y = self._aligned(y)
        if _parts(y) != self.npartitions:
            raise ValueError(
                f"X and y are partitioned differently: X has {self.npartitions} partitions and y "
                f"{_parts(y)}; "
                "repartition both alike, or keep the target in the frame and call "
                "resample(frame, target=...)" + self._remedy(y)
            )

    def _checked_companion(self, name: str, values: Any) -> Any:
        """Return weights or groups, partitioned as X is."""
        if isinstance(values, dd.DataFrame) and len(values.columns) == 1:
            values = values[values.columns[0]]
        if not isinstance(values, dd.Series | da.Array) or getattr(values, "ndim", 1) != 1:
            raise TypeError(
                f"{name} must be a Dask Series or a one-dimensional Dask Array, as X is on Dask, "
                f"but is a {type(values).__name__}"
            )
        values = self._aligned(values)
        check_companion(values.dtype, name)
        if _parts(values) != self.npartitions:
            raise ValueError(
                f"X and {name} are partitioned differently: X has {self.npartitions} partitions "
                f"and {name} {_parts(values)}; repartition both alike"
            )
        return values

    def _aligned(self, values: Any) -> Any:
        """Return an array of as many rows as X with the chunks of X."""
        if isinstance(values, da.Array) and isinstance(self._X, da.Array):
            ours, theirs = self._X.chunks[0], values.chunks[0]
            if sum(ours) == sum(theirs) and ours != theirs:  # of unknown sizes neither is true
                return values.rechunk({0: ours})
        return values

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
        """Give the columns their roles; object columns are read as numbers, or else refused."""
        return schema_of(self, roles, lambda _: True)

    def is_number(self, i: int) -> bool:
        """Tell whether an object column holds numbers: all are looked at once."""
        if self._numbers is None:
            inputs = self._inputs()
            columns = [j for j, dtype in enumerate(self.dtypes) if dtype == np.dtype("O")]
            look = partial(numbers_in, columns=columns)
            rows = (row[:1] for row in inputs.rows())
            token = tokenize(self._X, "numbers")
            self._numbers = over_all(inputs.graph, rows, f"numbers-{token}", look, _all_numbers)
            self.passes = ("telling numbers from names in object columns",)
        return self._numbers.get(i, False)

    def _inputs(self) -> Inputs:
        if self._frozen is None:
            collections = (self._X, self._y, *(self.companions.get(name) for name in COMPANIONS))
            self._frozen = Inputs(*freeze_all(collections))
        return self._frozen

    def profile(self, schema: Schema, scale: str | None = None, levels: bool = False) -> Profile:
        """Look at every partition once: the one compute."""
        inputs = self._inputs()
        token = tokenize(self._X, self._y, schema, "profile", scale, levels)
        look = partial(profile, schema=schema, scale=scale, levels=levels)
        rows = ((*row, None)[:2] for row in inputs.rows())
        found: Profile = over_all(
            inputs.graph, rows, f"profile-{token}", look, merge_profiles, PROFILES
        )
        return found

    def companion_parts(self) -> dict[str, tuple[Any, Sequence[Any] | None]]:
        """Return the collections of weights and groups, each with the keys of its partitions."""
        columns = self._inputs().columns[2:]
        named = zip(COMPANIONS, columns, strict=True)
        return {
            name: (self.companions[name], keys) for name, keys in named if name in self.companions
        }

    def limit(self) -> Limit | None:
        """Return the memory limit of a worker, or of this machine."""
        return memory_limit(on_cluster=True)

    def run(self, task: Task) -> Any:
        """Return the lazy output: (X, y), or the table when the target is one of its columns."""
        inputs, plan = self._inputs(), task.plan
        keys = inputs.columns[0]
        assert keys is not None
        token = tokenize(self._X, self._y, self.companions, task)
        tasks = dict(inputs.graph)
        indexes: dict[int, Any] = {}
        self.report = {}
        if plan.growing:
            indexes = add_indexes(tasks, inputs, token, task)
            self.report = self._reported(dict(tasks), indexes, token, task)
        several = bool(self.companions) or (task.how.provenance is not None and not self.is_frame)
        how = {"how": task.how, "like": self.index_like, "array": self.array}
        made = []
        for b, block in enumerate(plan.blocks):
            make = partial(with_one_thread, _made, pick=None if several else 0, block=block, **how)
            made.append((f"synthetic-{token}", b))
            tasks[made[-1]] = (make, indexes[block.class_rank])

        def new(place: int) -> list[Any]:
            """Return the keys of one thing that each block makes: see ``generate.Part``."""
            if not several:
                return made
            return add_each(tasks, f"part-{place}-{token}", itemgetter(place), zip(made))

        originals, like = list(keys), self._X
        if self.is_frame:
            like = self._changed_meta(task)
        if self.is_frame and (task.changes or task.how.provenance):
            dtypes, kind = task.changes, task.how.provenance
            change = partial(
                _original, schema=task.schema, dtypes=dtypes, out=task.how.schema, kind=kind
            )
            originals = add_each(tasks, f"original-{token}", change, zip(keys))
        X_keys = [*originals, *new(0)]
        if task.how.provenance and not self.is_frame:
            of = partial(_provenance_of, kind=task.how.provenance, out=task.how.schema)
            outputs = [*add_each(tasks, f"no-provenance-{token}", of, zip(keys)), *new(3)]
            meta = empty_provenance(task.how.provenance, task.how.schema)
            self.provenance = collect(meta, dict(tasks), outputs, f"provenance-{token}", ())
        companions = []
        for name, (values, own) in self.companion_parts().items():
            assert own is not None
            out, dtype = companion_like(values, name)
            change = partial(
                as_dtype,
                dtype=dtype,
                array=isinstance(values, da.Array),
                like=getattr(values, "name", None),
            )
            parts = [*own, *new(1 + COMPANIONS.index(name))]
            outputs = add_each(tasks, f"part-of-{name}-{token}", change, zip(parts))
            companions.append(self._collect(out, tasks, outputs, f"{name}-{token}", task))
        X_res = self._collect(like, tasks, X_keys, f"X-{token}", task)
        if self.has_target:
            return (X_res, *companions) if companions else X_res
        return (X_res, self._labels(inputs, f"y-{token}", task), *companions)

    @staticmethod
    def _collect(
        like: Any, tasks: Mapping[Any, Any], outputs: list[Any], name: str, task: Task
    ) -> Any:
        """Make a collection of original partitions and of those of the plan's blocks."""
        lengths = [block.rows for block in task.plan.blocks]
        own = like.chunks[0] if isinstance(like, da.Array) else ()
        return collect(like, dict(tasks), outputs, name, [*own, *lengths])

    def _changed_meta(self, task: Task) -> pd.DataFrame:
        """Return the metadata of the output: known categories, changed dtypes, provenance."""
        meta = self._meta
        changed = {i: dtype for i, dtype in task.known.items() if 0 <= i < meta.shape[1]}
        meta = retyped(meta, changed) if changed else meta
        if task.how.provenance:
            meta = with_provenance(meta, empty_provenance(task.how.provenance, task.how.schema))
        return meta

    @staticmethod
    def _reported(tasks: dict[Any, Any], indexes: dict[int, Any], token: str, task: Task) -> Any:
        """Return what is known of each class's search, lazily where it must be measured."""
        growing = task.plan.growing
        if task.how.recipe.exact and not task.how.recipe.lazy_report:
            return {c.label: {"engine": c.engine, "exact": True, "recall": 1.0} for c in growing}
        name = f"report-{token}"
        labels = [c.label for c in growing]
        tasks[name] = (partial(_report, labels=labels), [indexes[c.rank] for c in growing])
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
        return Delayed(name, graph, layer=name)

    def _labels(self, inputs: Inputs, name: str, task: Task) -> Any:
        y, keys = self._y, inputs.columns[1]
        assert keys is not None
        tasks, outputs = dict(inputs.graph), list(keys)
        like = target_like(y, task.known)
        column = isinstance(y, dd.DataFrame) or (isinstance(y, da.Array) and y.ndim == 2)
        if TARGET in task.changes:
            change = partial(_as_category, dtype=task.known[TARGET])
            outputs = add_each(tasks, f"original-{name}", change, zip(keys))
        for b, block in enumerate(task.plan.blocks):
            first = (task.how.first) + block.offset
            make = partial(label_block, block=block, first=first, like=like, column=column)
            outputs.append((f"labels-{name}", b))
            tasks[outputs[-1]] = (make,)
        return self._collect(y if isinstance(y, da.Array) else like, tasks, outputs, name, task)


def _as_category(part: Any, *, dtype: pd.CategoricalDtype) -> Any:
    return part.astype(dtype)
