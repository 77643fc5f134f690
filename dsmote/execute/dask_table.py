r"""Tables on Dask: the tasks of :mod:`dsmote.execute.graph`, and collections made of them.

Over-samplers add partitions::


    index            i(A)       i(B)                       one node a class: recomputable,
                    /   |       |   \                      carried to whoever needs it
    generate      b0    b1      b2   b3                    one task a block
                   |    |       |    |
    output      [ p0, p1, ..., pn,  b0, b1, b2, b3 ]       partitions of the input pass as they are,
                                                           or with other dtypes

Under-samplers count the classes of each partition, then filter each as it passes::

    target of          p0        p1        p2
                       |         |         |
    count           {0: 40}   {0: 35}   {0: 20}         the one compute; the target only is read
                    {1:  2}   {1:  7}   {1:  1}
                         \       |       /
    plan             class 0: 95 rows, keep 10          positions of class 0:
                         /       |       \              p0: 0 .. 40, p1: 40 .. 75, p2: 75 .. 95
    filter          p0 ->     p1 ->     p2 ->           lazy: each on its own, whenever it comes by

A task is told where its partition's rows of a class begin among all rows of the class; which of
them stay is then known (:mod:`dsmote.plan.draws`) without any other partition. Cleaning methods,
whose rows are known from the data only, add a mask for each partition.

Partitions are known to each other by their order only, never by a number in the data: the
input's partitions are fixed when the graph is built (``optimization.tune.active`` is off then),
because the optimiser would otherwise fuse those of X and of y differently.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from operator import itemgetter, methodcaller
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.generate import (
    make_block,
    provenance_of,
    repeated,
    synthetic_index,
    with_provenance,
)
from dsmote.execute.graph import (
    Inputs,
    add_each,
    add_indexes,
    collect,
    freeze,
    freeze_all,
    over_all,
    with_one_thread,
)
from dsmote.execute.partition import (
    IN_FRAME,
    Counted,
    check_companion,
    conform,
    count_part,
    filtered,
    numbers_in,
    profile,
)
from dsmote.execute.recipe import ClassIndex, Making, Task
from dsmote.execute.rows import retyped
from dsmote.plan import Block, Column, Profile, Schema, Subset, make_schema, merge_profiles
from dsmote.plan.profile import TARGET
from dsmote.plan.schema import check_unique, column_name

COMPANIONS = ("sample_weight", "groups")  # in the order of generate.Part
PROFILES = 16  # that are merged at once: each holds up to 2 MiB of every class


def _original(part: Any, *, schema: Schema, dtypes: dict[int, Any], how: Making) -> Any:
    """Pass an original partition on, with the dtypes and columns of the output."""
    part = conform(part, schema, dtypes)
    if how.provenance is None:
        return part
    return with_provenance(part, provenance_of(how.provenance, how.schema, part.index))


def _provenance(part: Any, *, how: Making) -> pd.DataFrame:
    return provenance_of(str(how.provenance), how.schema, pd.RangeIndex(len(part)))


def _made(of: Any, *, pick: int | None, how: Making, block: Block, **like: Any) -> Any:
    if not isinstance(of, ClassIndex):  # in scratch files
        made = of.collect(block, **like)
    else:
        made = make_block(of, how=how, block=block, **like)
    return tuple(made) if pick is None else made[pick]


def _companion_like(values: Any, name: str) -> tuple[Any, Any]:
    """Return what a weight's or group's output is like, and the dtype that its parts take.

    Between integer weights there are others, so integers become float64.
    """
    dtype = values.dtype if isinstance(values, da.Array) else values._meta.dtype
    if name == "sample_weight" and pd.api.types.is_numeric_dtype(dtype):
        integral = pd.api.types.is_integer_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
        dtype = np.dtype("f8") if integral else dtype
    if isinstance(values, da.Array):
        return values.astype(dtype), dtype
    if isinstance(dtype, pd.CategoricalDtype) and not values.cat.known:
        # What stands for unknown categories are no categories.
        return values._meta, pd.CategoricalDtype()
    return values._meta.astype(dtype), dtype


def _as_dtype(part: Any, *, dtype: Any, array: bool, like: Any = None) -> Any:
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


def _target_like(y: Any, known: dict[int, Any]) -> Any:
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


def _label_block(*, block: Block, first: int, like: Any, column: bool) -> Any:
    """Make the target of one synthetic partition."""
    label, rows = block.label, block.rows
    if isinstance(like, np.ndarray):
        array = np.empty(rows, dtype=like.dtype)
        array.fill(label)  # a tuple is one label, too
        return array.reshape(-1, 1) if column else array
    index = synthetic_index(like.index, first, rows)
    series = like.iloc[:, 0] if column else like
    made = pd.Series(repeated(label, rows, series.dtype), index=index, name=series.name)
    return made.to_frame() if column else made


def _all_numbers(parts: list[dict[int, bool]]) -> dict[int, bool]:
    return {i: all(p.get(i, True) for p in parts) for i in {i for p in parts for i in p}}


def _profile_by_part(*row: Any, look: Callable[..., Profile]) -> Profile:
    found = look(*row)
    own = Profile(
        counts=found.counts, missing_target=found.missing_target, index_end=found.index_end
    )
    return replace(found, parts=(own,))


def _chained(parts: Sequence[list[Any]]) -> list[Any]:
    return list(chain(*parts))


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
    width = None
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
        self.counts_after: Any = None  # of a cleaning method, lazily
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
        several = (isinstance(y, dd.DataFrame) and len(y.columns) != 1) or (
            isinstance(y, da.Array) and y.ndim == 2 and y.shape[1] != 1
        )
        if several:
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
        self._y = self._aligned("y", y, IN_FRAME)

    def _checked_companion(self, name: str, values: Any) -> Any:
        """Return weights or groups, partitioned as X is."""
        if isinstance(values, dd.DataFrame) and len(values.columns) == 1:
            values = values[values.columns[0]]
        if not isinstance(values, dd.Series | da.Array) or getattr(values, "ndim", 1) != 1:
            raise TypeError(
                f"{name} must be a Dask Series or a one-dimensional Dask Array, as X is on Dask, "
                f"but is a {type(values).__name__}"
            )
        check_companion(values.dtype, name)
        return self._aligned(name, values)

    def _aligned(self, name: str, values: Any, remedy: str = "") -> Any:
        """Return what goes with X, in as many partitions; arrays in the chunks of X."""
        if isinstance(values, da.Array) and isinstance(self._X, da.Array):
            ours, theirs = self._X.chunks[0], values.chunks[0]
            if sum(ours) == sum(theirs) and ours != theirs:  # of unknown sizes neither is true
                values = values.rechunk({0: ours})
        if _parts(values) == self.npartitions:
            return values
        if isinstance(values, da.Array) and self.is_frame:
            remedy += (
                "; an array that was made of a column read from Parquet has fewer chunks than the "
                "frame has partitions, because Dask merges them: pass the column itself"
            )
        elif isinstance(values, da.Array):
            remedy += (
                "; arrays of known chunk sizes are aligned: call compute_chunk_sizes() on both"
            )
        raise ValueError(
            f"X and {name} are partitioned differently: X has {self.npartitions} partitions and "
            f"{name} {_parts(values)}; repartition both alike{remedy}"
        )

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
            self._frozen = freeze_all(collections)
        return self._frozen

    def profile(
        self,
        schema: Schema,
        scale: str | None = None,
        levels: bool = False,
        by_part: bool = False,
    ) -> Profile:
        """Look at every partition once: the one compute; `by_part` keeps the counts of each."""
        inputs = self._inputs()
        token = tokenize(self._X, self._y, schema, "profile", scale, levels, by_part)
        look = partial(profile, schema=schema, scale=scale, levels=levels)
        if by_part:
            look = partial(_profile_by_part, look=look)
        rows = ((*row, None)[:2] for row in inputs.rows())
        found: Profile = over_all(
            inputs.graph, rows, f"profile-{token}", look, merge_profiles, PROFILES
        )
        return found

    def counted(self) -> Counted:
        """Count the classes of every partition: the one compute.

        Only the target is read. A reader of columns (Parquet) then reads that one column.
        """
        inputs = self._inputs()
        keys, y_keys = ([] if part is None else list(part) for part in inputs.columns[:2])
        column = None
        level: list[Any] = []
        if not self.has_target:
            tasks, level = freeze(self._y)
        elif isinstance(self.target, str):  # of other names, Dask takes some for a mask
            column = 0
            tasks, level = freeze(self._X[[self.target]])
        if len(level) != len(keys):
            # Where Dask cuts by size, a frame of fewer columns has other partitions.
            tasks, level = dict(inputs.graph), keys if self.has_target else y_keys
            column = self.names.index(self.target) if self.has_target else None
        token = tokenize(self._X, self._y, self.target, "count")
        look = partial(count_part, column=column)
        found = over_all(tasks, zip(level, strict=True), f"count-{token}", look, _chained)
        return Counted(tuple(found))

    def kept(self, counted: Counted, subsets: Mapping[Any, Subset]) -> Any:
        """Return the rows that stay, lazily: (X, y), or the table with its target, and companions.

        What stays is drawn once more for each, which costs little.
        """
        inputs = self._inputs()
        y_keys = inputs.columns[0 if self.has_target else 1] or ()
        token = tokenize(
            self._X, self._y, self.companions, self.target, list(subsets.items()), "keep"
        )
        schema, all_marks = self._as_is(), counted.marks(subsets)

        def keep(name: str, place: int, key: Any) -> tuple[Any, ...]:
            work = partial(filtered, name=name, schema=schema, marks=all_marks[place])
            return work, key, y_keys[place]

        lengths = None
        if any(isinstance(values, da.Array) for values in self._given.values()):
            lengths = counted.after(subsets).lengths
        return self._filtered(inputs, inputs.graph, token, keep, lengths)

    def searched(self, how: Any, sampler: Any) -> Any:
        """Return a sampler's recipe or rule as it searches such a table: as it is."""
        return how

    def cleaned(self, task: Any) -> Any:
        """Return the rows that stay by a rule, or all with a column that says so, lazily."""
        from dsmote.execute.clean_dask import cleaned  # most tables do without

        return cleaned(self, task)

    @property
    def _given(self) -> dict[str, Any]:
        return {"X": self._X, "y": self._y, **{n: self.companions.get(n) for n in COMPANIONS}}

    def _as_is(self) -> Schema:
        """Return a schema of columns that are not looked at."""
        target = [self.target] if self.has_target else []
        kinds = ["target" if name in target else "carried" for name in self.names]
        return Schema(tuple(map(Column, self.names, self.dtypes, kinds)))

    def _filtered(
        self,
        inputs: Inputs,
        graph: Mapping[Any, Any],
        token: str,
        keep: Callable[[str, int, Any], tuple[Any, ...]],
        lengths: list[Any] | None = None,
        like: Any = None,
    ) -> Any:
        """Return the collections of what `keep` makes of each partition, by name and place.

        A task that two had in common would be fused in one way where they are computed apart, and
        in another where together.
        """
        results = []
        for (name, values), own in zip(self._given.items(), inputs.columns, strict=True):
            if own is None:
                continue
            tasks, outputs = dict(graph), [(f"kept-{name}-{token}", i) for i in range(len(own))]
            for place, (out, key) in enumerate(zip(outputs, own, strict=True)):
                tasks[out] = keep(name, place, key)
            # Rows that stay keep their index, so what is known of its order still holds.
            divisions = getattr(values, "divisions", None)
            kind = like if name == "X" and like is not None and self.is_frame else values
            known = lengths or [np.nan] * len(own)
            results.append(collect(kind, tasks, outputs, f"{name}-{token}", known, divisions))
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, task: Task) -> Any:
        """Return the lazy output: (X, y), or the table when the target is one of its columns."""
        inputs, plan, how = self._inputs(), task.plan, task.how
        keys = inputs.columns[0]
        assert keys is not None
        token = tokenize(self._X, self._y, self.companions, task)
        cells: list[Any] = []
        if any(c.stored for c in plan.growing):
            from dsmote.execute.nearest_cells import cells_of

            token = uuid.uuid4().hex  # a result is of its own scratch files
            cells = cells_of(task, len(keys), token)
        tasks = dict(inputs.graph)
        indexes: dict[int, Any] = {}
        self.report = {}
        if plan.growing:
            indexes = add_indexes(tasks, inputs, token, task, cells=cells)
            self.report = self._reported(dict(tasks), indexes, token, task)
        apart = how.provenance is not None and not self.is_frame
        several = apart or bool(self.companions)
        pick = None if several else 0
        blocks = []
        for b, block in enumerate(plan.blocks):
            make = partial(
                with_one_thread,
                _made,
                pick=pick,
                how=how,
                block=block,
                like=self.index_like,
                array=self.array,
            )
            blocks.append((f"synthetic-{token}", b))
            tasks[blocks[-1]] = (make, indexes[block.class_rank])

        def part(place: int) -> list[Any]:
            """Return the keys of one thing that each block makes: see ``generate.Part``."""
            if not several:
                return blocks
            return add_each(tasks, f"part-{place}-{token}", itemgetter(place), zip(blocks))

        def collected(tasks: dict[Any, Any], like: Any, outputs: list[Any], name: str) -> Any:
            own = like.chunks[0] if isinstance(like, da.Array) else ()
            lengths = [*own, *(block.rows for block in plan.blocks)]
            return collect(like, dict(tasks), outputs, f"{name}-{token}", lengths)

        originals, like = list(keys), self._X
        if self.is_frame:
            like = self._changed_meta(task)
        if self.is_frame and (task.changes or how.provenance):
            change = partial(_original, schema=task.schema, dtypes=task.changes, how=how)
            originals = add_each(tasks, f"original-{token}", change, zip(keys))
        X_keys = [*originals, *part(0)]
        if apart:
            of = partial(_provenance, how=how)
            outputs = [*add_each(tasks, f"no-provenance-{token}", of, zip(keys)), *part(3)]
            meta = _provenance(self._meta, how=how)
            self.provenance = collect(meta, dict(tasks), outputs, f"provenance-{token}", ())
        companions = []
        for name, values in self.companions.items():
            place = 1 + COMPANIONS.index(name)
            out, dtype = _companion_like(values, name)
            change = partial(
                _as_dtype,
                dtype=dtype,
                array=isinstance(values, da.Array),
                like=getattr(values, "name", None),
            )
            parts = zip([*(inputs.columns[1 + place] or ()), *part(place)])
            outputs = add_each(tasks, f"part-of-{name}-{token}", change, parts)
            companions.append(collected(tasks, out, outputs, name))
        X_res = collected(tasks, like, X_keys, "X")
        if cells:
            cells[0].exchange.forget_with(X_res)
        if self.has_target:
            return (X_res, *companions) if companions else X_res
        tasks = dict(inputs.graph)
        y_like, y_keys = self._labels(inputs, tasks, token, task)
        return (X_res, collected(tasks, y_like, y_keys, "y"), *companions)

    def _changed_meta(self, task: Task) -> pd.DataFrame:
        """Return the metadata of the output: known categories, changed dtypes, provenance."""
        meta = self._meta
        changed = {i: dtype for i, dtype in task.known.items() if 0 <= i < meta.shape[1]}
        meta = retyped(meta, changed) if changed else meta
        if task.how.provenance:
            meta = with_provenance(meta, _provenance(meta, how=task.how))
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

    def _labels(
        self, inputs: Inputs, tasks: dict[Any, Any], token: str, task: Task
    ) -> tuple[Any, list[Any]]:
        """Add the tasks of the target; return what it is like, and the keys of its partitions."""
        y, outputs = self._y, list(inputs.columns[1] or ())
        like = _target_like(y, task.known)
        column = isinstance(y, dd.DataFrame) or (isinstance(y, da.Array) and y.ndim == 2)
        if TARGET in task.changes:
            change = methodcaller("astype", task.known[TARGET])
            outputs = add_each(tasks, f"original-y-{token}", change, zip(outputs))
        for b, block in enumerate(task.plan.blocks):
            first = task.how.first + block.offset
            make = partial(_label_block, block=block, first=first, like=like, column=column)
            outputs.append((f"labels-y-{token}", b))
            tasks[outputs[-1]] = (make,)
        return y if isinstance(y, da.Array) else like, outputs
