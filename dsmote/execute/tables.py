"""Tables in memory, and which kind of table it is: in memory or on Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from dask.base import is_dask_collection

from dsmote.execute.arrays import (
    as_array,
    check_container,
    from_indicator,
    label_array,
    native,
    refuse_mask,
)
from dsmote.execute.dask_table import DaskTable, schema_of
from dsmote.execute.extract import check_counts, extract, take_of
from dsmote.execute.generate import (
    Part,
    build_class_index,
    finish,
    join_made,
    make_rows,
    of_originals,
    repeated,
    with_provenance,
)
from dsmote.execute.graph import Inputs, add_indexes, interpret
from dsmote.execute.partition import (
    Partition,
    array_frame,
    check_companion,
    conform,
    profile,
)
from dsmote.execute.recipe import Made, Task
from dsmote.execute.resources import memory_limit, single_threaded, thread_pool
from dsmote.execute.rows import holds_numbers, read_objects
from dsmote.execute.survey import Each
from dsmote.plan import Limit, Plan, Profile, Schema, make_schema
from dsmote.plan.labels import listed
from dsmote.plan.schema import column_name

_FLOPS = 1 << 18  # multiplications that no BLAS spreads over threads
_SHARE = 1 << 14  # new rows that one thread makes at a time, at most
_LEAST = 1 << 13  # and at least: for fewer, threads wait for each other longer than they work
_WIDE = 1 << 17  # values of a class from which on the search of an eighth of that is worth it


class MemoryTable:
    """A table in numpy, lists or pandas; X holds the target too where `target` names a column.

    `companions` are ``sample_weight`` and ``groups``, one value for each row.
    """

    lazy = False
    npartitions = 1
    passes: tuple[str, ...] = ()
    array: np.dtype | None = None
    index_like: pd.Index = pd.RangeIndex(0)

    def __init__(
        self, X: Any, y: Any = None, target: Any = None, companions: dict[str, Any] | None = None
    ) -> None:
        self.target = None if target is None else column_name(target)
        self.report: Any = None
        self.provenance: Any = None
        self.classes: dict[Any, Any] = {}
        self.recipe: Any = None
        self.model: Any = None
        self._indices: list[np.ndarray] = []
        self.has_target = y is None
        self.is_frame = isinstance(X, pd.DataFrame)
        self._restore_X: Callable[[Any], Any] = lambda made: made
        self._restore_y: Callable[[Any], Any] = lambda made: made
        self._given = X
        self._plain = _is_plain(X, 2)
        if not self.is_frame:
            if not self._plain:
                X, self._restore_X = as_array(X)
            self.array = X.dtype
        self._X = X
        columns = map(column_name, X.columns) if self.is_frame else range(X.shape[1])
        self.names: list[Any] = list(columns)
        if not X.shape[1]:
            raise ValueError(
                f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required."
            )
        if not len(X):
            raise ValueError(
                "Found array with 0 sample(s), zero rows: there is nothing to resample; "
                "check how the table was read or filtered"
            )
        self._plain_y: np.ndarray | None = None
        self._labels = None if y is None else self._as_labels(y)
        self._companion_dtypes: dict[str, np.dtype] = {}  # of those that are arrays
        self.companions: dict[str, pd.Series] = {}
        for name, values in companions.items() if companions else ():
            self.companions[name] = self._as_companion(name, values)

    def _as_companion(self, name: str, values: Any) -> pd.Series:
        """Return weights or groups as a Series of as many values."""
        if not isinstance(values, pd.Series):
            refuse_mask(values, name)
            values = np.asarray(values)
            self._companion_dtypes[name] = values.dtype
            values = native(values)
            if values.ndim != 1:
                raise ValueError(
                    f"{name} must have one dimension, one value for each row, but has the shape "
                    f"{values.shape}"
                )
        kept = object if values.dtype == object else None
        series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=kept)
        if len(series) != len(self._X):
            raise ValueError(
                f"{name} has {len(series):,} values, but X has {len(self._X):,} rows; give one "
                "value for each row"
            )
        check_companion(series.dtype, name)
        return series

    @cached_property
    def _frame(self) -> pd.DataFrame:
        """The features as a frame; one over an array shares its memory."""
        if self.is_frame:
            return self._X
        return array_frame(self._X, pd.RangeIndex(self._X.shape[1]))

    @cached_property
    def dtypes(self) -> list[Any]:
        """Those of the features."""
        return list(self._X.dtypes) if self.is_frame else [self._X.dtype] * self._X.shape[1]

    @cached_property
    def _whole(self) -> Partition:
        """All of the table, which is read once."""
        weight, group = self.companions.get("sample_weight"), self.companions.get("groups")
        return Partition(self._X, self._labels, weight, group)

    def _as_labels(self, y: Any) -> pd.Series:
        """Return the target as a Series, and remember how to give its kind back."""
        n = len(self._X)
        if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
            column = y.columns
            self._restore_y = lambda made: made.to_frame().set_axis(column, axis=1)
            series = y.iloc[:, 0]
        elif isinstance(y, pd.Series):
            series = y
        elif _is_plain(y, 1):
            self._plain_y = y
            series = pd.Series(y, copy=False)
        else:
            refuse_mask(y, "y")
            array = label_array(y)
            dtype, array = array.dtype, native(array)
            lists = isinstance(y, list) and array.ndim == 2
            columns = y.columns if isinstance(y, pd.DataFrame) else None
            if array.ndim == 2 and array.shape[1] > 1:
                array, self._restore_y = from_indicator(array, columns)
            elif array.ndim == 2:
                array = array.reshape(-1)
                self._restore_y = lambda made: made.to_numpy(dtype=dtype, copy=True)[:, None]
            elif isinstance(y, list):
                self._restore_y = lambda made: made.to_numpy().tolist()
            elif array.ndim == 1:
                self._restore_y = lambda made: made.to_numpy(dtype=dtype, copy=True)
                plain = dtype.kind in "biufOUS" and dtype.isnative
                self._plain_y = array if plain else None
            else:
                raise ValueError(f"y should be a 1d array, got an array of shape {array.shape}")
            if lists:
                restore = self._restore_y
                self._restore_y = lambda made: restore(made).tolist()
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

    @property
    def target_name(self) -> Any:
        """Name of the target, where it has one."""
        return self.target if self._labels is None else self._labels.name

    @property
    def labels(self) -> pd.Series:
        """The target."""
        if self._labels is None:
            return self._X.iloc[:, self.names.index(self.target)]
        return self._labels

    @property
    def meta_labels(self) -> Any:
        """What a callable sampling strategy is given."""
        return self.labels if self._labels is None else self._labels.to_numpy()

    def schema(self, **roles: Any) -> Schema:
        """Give the columns their roles; object columns that are measured must hold numbers."""
        apart = ("carry", "nominal", "group", "inherited")
        if self._plain and not any(map(roles.get, apart)):
            width, dtype = self._X.shape[1], self._X.dtype
            any_kind, sampler = roles.get("any_kind", False), roles.get("sampler", "")
            return _schema_of_array(width, dtype, any_kind, sampler)
        refuse_mask(self._given, "X")
        return schema_of(self, roles, self.is_number)

    def is_number(self, i: int) -> bool:
        """Tell whether an object column holds numbers; in a frame, digits as text are text."""
        column = self._frame.iloc[:, i]
        if self.is_frame:
            return holds_numbers(column)
        # In a column of an array, digits as text are numbers where there are others among them.
        text = pd.api.types.infer_dtype(column, skipna=True) == "string"
        return not text and read_objects(column, np.dtype("f8")) is not None

    def profile(self, schema: Schema, scale: str | None = None, levels: bool = False) -> Profile:
        """Look at the table once."""
        return profile(self._whole, None, schema, scale, levels, whole=True)

    def limit(self) -> Limit | None:
        """Return the memory of this machine."""
        return memory_limit(on_cluster=False)

    def run(self, task: Task) -> Any:
        """Make the output: (X, y), or the table when the target is one of its columns."""
        plan, how = task.plan, task.how
        self.recipe = task.how.recipe
        made: list[Part] = []
        n_made = 0

        def each(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
            # Another thread costs more than a small table, and one thing needs no other.
            return thread_pool()[1].map(function, items) if len(items) > 1 else map(function, items)

        # No BLAS takes a second thread for so few.
        small = len(self._X) ** 2 * len(self.names) < _FLOPS
        with nullcontext() if small else single_threaded():
            self._index(task, each)
            for c in plan.growing:
                of = self.classes[c.label]

                def share(cut: tuple[int, int], of: Any = of, c: Any = c) -> Made:
                    return make_rows(of, how, c.rank, *cut)

                least = _LEAST if of.rows.numeric.size < _WIDE else _LEAST // 8
                if c.new < 2 * least:
                    rows = make_rows(of, how, c.rank, 0, c.new)
                else:
                    cuts = _cuts(c.new, thread_pool()[0], least)
                    rows = join_made([*each(share, list(pairwise(cuts)))])
                first = plan.n_before + n_made
                made.append(finish(of, rows, how, c.label, first, self.index_like, self.array))
                self._indices.append(of.rows.numbers[rows.bases])
                n_made += c.new
        return self._joined(made, task)

    def _index(self, task: Task, each: Each) -> None:
        """Have the classes indexed that are to grow."""
        plan, recipe = task.plan, task.how.recipe
        if recipe.n_neighbors_all or recipe.surveys or recipe.sample or task.levels:
            inputs = Inputs({"table": self._whole}, [["table"]])
            tasks = dict(inputs.graph)
            keys = add_indexes(tasks, inputs, "run", task, each)
            values = interpret(tasks)
            self.model = values.get("fit-run")
            self.classes = {c.label: values[keys[c.rank]] for c in plan.growing}
        else:  # nothing but the rows of the class is needed
            found = check_counts(extract(self._whole, take=take_of(task)), plan)
            for c in plan.growing:
                self.classes[c.label] = build_class_index(
                    found, recipe=recipe, of=c, seed=plan.seed, total=plan.n_new
                )
        self.report = {}
        for label, of in self.classes.items():
            self.report[label] = of.report

    @property
    def sample_indices(self) -> np.ndarray:
        """The row that each row of the output is, or was made from."""
        return np.concatenate([np.arange(len(self._X)), *self._indices])

    def _joined(self, made: list[Part], task: Task) -> Any:
        """Put originals and new rows together, and companions."""
        if (
            self._plain
            and self._plain_y is not None
            and not (self.companions or task.how.provenance)
        ):
            tables, *_ = zip(*made, strict=True) if made else ((),)
            return np.concatenate([self._X, *tables]), _lengthened(self._plain_y, task.plan)
        companions = []
        for name, of in (("sample_weight", 1), ("groups", 2)):
            if name in self.companions:
                companions.append(self._joined_companion(name, [part[of] for part in made]))
        if self.array is not None and task.how.provenance:
            index = pd.RangeIndex(len(self._X))
            ours = of_originals(index, task.how.provenance, task.how.schema)
            self.provenance = pd.concat([ours, *(p.provenance for p in made)], ignore_index=True)
        X_res = self._joined_table([p.table for p in made], task)
        if self.has_target:
            return (X_res, *companions) if companions else X_res
        return (self._restore_X(X_res), self._joined_target(task.plan), *companions)

    def _joined_table(self, made: list[Any], task: Task) -> Any:
        if self.array is not None:
            return np.concatenate([self._X, *made])
        ours = conform(self._X, task.schema, task.changes)
        if task.how.provenance:
            ours = with_provenance(
                ours, of_originals(ours.index, task.how.provenance, task.how.schema)
            )
        joined = pd.concat([ours, *made], ignore_index=True)
        if not task.how.provenance:
            joined.columns = self._X.columns  # of categories too, or of one frequency
        elif joined.columns.nlevels == self._X.columns.nlevels:
            joined.columns.names = self._X.columns.names
        return joined

    def _joined_companion(self, name: str, made: list[Any]) -> Any:
        ours = self.companions[name]
        if name != "groups" and ours.dtype.kind in "iub":  # between integer weights are others
            ours = ours.astype(np.float64)
        kept = [pd.Series(part).astype(ours.dtype) for part in made]
        joined = pd.concat([ours, *kept], ignore_index=True)
        joined.name = ours.name
        if name not in self._companion_dtypes:
            return joined
        dtype = self._companion_dtypes[name]
        as_given = name == "groups" or dtype.kind not in "iub"
        return joined.to_numpy(dtype=dtype if as_given else None)

    def _joined_target(self, plan: Plan) -> Any:
        if self._plain_y is not None:
            return _lengthened(self._plain_y, plan)
        y = self.labels
        if isinstance(y.dtype, np.dtype) and y.dtype.kind in "iufb":
            joined = pd.Series(_lengthened(y.to_numpy(), plan), copy=False)
        else:
            new = [pd.Series(repeated(c.label, c.new, y.dtype)) for c in plan.growing]
            joined = pd.concat([y, *new], ignore_index=True)
        joined.name = y.name
        return self._restore_y(joined)


def _cuts(n: int, threads: int, least: int = _LEAST) -> list[int]:
    """Cut n new rows into even shares, as many for each thread."""
    shares = -(-n // _SHARE)
    shares = -(-shares // threads) * threads
    shares = max(1, min(shares, n // least))
    return [n * i // shares for i in range(shares + 1)]


def _lengthened(y: np.ndarray, plan: Plan) -> np.ndarray:
    """Return labels and those of the new rows after them."""
    joined = np.empty(len(y) + plan.n_new, dtype=y.dtype)
    joined[: len(y)] = y
    end = len(y)
    for c in plan.growing:
        joined[end : end + c.new].fill(c.label)
        end += c.new
    return joined


Table = MemoryTable | DaskTable


def _kind(value: Any) -> str:
    return f"{type(value).__module__.split('.')[0]} {type(value).__name__}"


def _is_plain(values: Any, ndim: int) -> bool:
    """Tell an array of numbers that needs no conversion."""
    if type(values) is not np.ndarray or values.ndim != ndim:
        return False
    return values.dtype.kind in "iufb" and values.dtype.isnative


@lru_cache(maxsize=32)
def _schema_of_array(width: int, dtype: np.dtype, any_kind: bool, sampler: str) -> Schema:
    """Return the schema of an array whose columns are all features."""
    return make_schema(range(width), [dtype] * width, any_kind=any_kind, sampler=sampler)


def read_pair(X: Any, y: Any, companions: dict[str, Any] | None = None) -> Table:
    """Take features and target in; `companions` holds weights and groups, where there are any."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    if _is_plain(X, 2) and _is_plain(y, 1) and not companions:
        return MemoryTable(X, y)
    for name, values in {"X": X, "y": y, **(companions or {})}.items():
        check_container(values, name)
    lazy = is_dask_collection(X), is_dask_collection(y)
    for name, values in (companions or {}).items():
        if lazy[0] == lazy[1] != is_dask_collection(values):
            there, here = ("a Dask collection", "in memory")[:: 1 if lazy[0] else -1]
            raise TypeError(
                f"X is {there} ({_kind(X)}), but {name} is {here} ({_kind(values)}); give both in "
                "the same way"
            )
    if lazy == (True, True):
        return DaskTable(X, y, companions=companions)
    if lazy == (False, False):
        return MemoryTable(X, y, companions=companions)
    outside, inside = ("X", "y") if lazy[0] else ("y", "X")
    raise TypeError(
        f"{outside} is a Dask collection ({_kind(X if lazy[0] else y)}), but {inside} is in memory "
        f"({_kind(y if lazy[0] else X)}); compute {outside}, or turn {inside} into a Dask "
        "collection with the same partitions"
    )


def read_frame(frame: Any, target: Any, companions: dict[str, Any] | None = None) -> Table:
    """Take a table in whose target is one of its columns."""
    columns = getattr(frame, "columns", None)
    if columns is not None:
        check_container(frame, "frame")
    if columns is None or not (isinstance(frame, pd.DataFrame) or is_dask_collection(frame)):
        raise TypeError(
            f"resample and plan with target= take a pandas or Dask DataFrame, but got "
            f"{_kind(frame)}; for arrays call fit_resample(X, y)"
        )
    names = list(map(column_name, columns))
    if column_name(target) not in names:
        raise ValueError(
            f"there is no target column {target!r}; the columns are {listed(map(repr, names))}"
        )
    if names.count(column_name(target)) > 1:
        raise ValueError(
            f"{names.count(column_name(target))} columns are named {target!r}, so it is not known "
            "which is the target; rename the others"
        )
    if is_dask_collection(frame):
        return DaskTable(frame, target=target, companions=companions)
    return MemoryTable(frame, target=target, companions=companions)
