"""Tables in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property, lru_cache
from operator import methodcaller
from typing import Any

import numpy as np
import pandas as pd
from dask.base import is_dask_collection
from pandas.api.extensions import ExtensionArray
from scipy.sparse import issparse

from dsmote.execute import columnar
from dsmote.execute.columnar import as_pandas, is_columnar
from dsmote.execute.dask_table import COMPANIONS, schema_of
from dsmote.execute.extract import check_counts, extract, take_of
from dsmote.execute.generate import (
    Part,
    build_class_index,
    finish,
    make_rows,
    provenance_of,
    repeated,
    with_provenance,
)
from dsmote.execute.graph import Inputs, add_indexes, interpret
from dsmote.execute.partition import (
    Counted,
    Partition,
    check_companion,
    conform,
    count_part,
    native,
    numbers_in,
    pick,
    profile,
    refuse_mask,
)
from dsmote.execute.recipe import Made, Task
from dsmote.execute.resources import in_threads, single_threaded, thread_count
from dsmote.plan import Plan, Profile, Schema, Subset, make_schema
from dsmote.plan.schema import column_name

_FLOPS = 1 << 18  # multiplications that no BLAS spreads over threads
_SHARE = 1 << 14  # new rows that one thread makes at a time, at most
_LEAST = 1 << 13  # and at least: for fewer, threads wait for each other longer than they work
_CELLS = 1 << 17  # values of new rows that are worth a thread as well
_MANY = 1 << 17  # values of a class from which on the search of an eighth of that is worth it


def check_container(values: Any, what: str) -> None:
    """Refuse objects that NumPy would turn into one array, without their names and dtypes."""
    kind = type(values)
    known = np.ndarray | list | tuple | pd.DataFrame | pd.Series | pd.Index | ExtensionArray
    of_dask = is_dask_collection(values) and kind.__module__.startswith("dask")
    if of_dask and issparse(getattr(values, "_meta", None)):
        raise TypeError(
            f"{what} is a Dask array of sparse chunks, which dsmote does not take: pass "
            f"{what}.map_blocks(lambda part: part.toarray()), or {what}.compute() where its "
            "stored values fit into memory"
        )
    if isinstance(values, known) or of_dask or issparse(values) or is_columnar(values):
        return
    if kind.__module__.startswith("polars") and hasattr(values, "collect"):
        raise TypeError(
            f"{what} is a polars {kind.__name__}, which has no rows yet: pass {what}.collect(), "
            "or, if it is larger than memory, write it to Parquet files and call "
            "`dsmote resample FILES OUTPUT --target COLUMN`"
        )
    ways = [way for way in ("to_pandas", "to_dataframe", "to_native") if hasattr(values, way)]
    maker = "pandas.DataFrame" if isinstance(values, Mapping) else "numpy.asarray"
    streams = hasattr(values, "__arrow_c_stream__")
    if streams and (not ways or kind.__module__.startswith("pyarrow")):
        ways, maker = [], "pyarrow.table"
    elif kind.__module__.startswith("pyarrow") and hasattr(values, "to_table"):  # of files
        ways = ["to_table"]
    remedy = f"{what}.{ways[0]}()" if ways else f"{maker}({what})"
    named = f"{kind.__module__.split('.')[0]} {kind.__name__}".removeprefix("builtins ")
    raise TypeError(
        f"{what} is a {named}; dsmote takes NumPy arrays, lists, pandas, polars, Arrow tables "
        f"and Dask: pass {remedy}"
    )


def label_array(y: Any) -> np.ndarray:
    """Return a target as an array; what NumPy would make one type, or two dimensions, of stays."""
    if isinstance(y, list | tuple) and not any(isinstance(v, list | np.ndarray) for v in y):
        kinds = set(map(type, y))
        if len(kinds) > 1 or kinds & {tuple, str, bytes}:
            return np.fromiter(y, dtype=object, count=len(y))
    return _array(y, "y")


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{what} is a list whose rows differ in length ({error}); give each row one value for "
            "each column"
        ) from error


def as_array(X: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """Return features as an array of two dimensions, and what gives their kind back."""
    if isinstance(X, pd.Series):
        raise ValueError("Expected 2D input, got a Series instead; pass X.to_frame()")
    array = _array(X, "X")
    restore = methodcaller("astype", array.dtype, copy=False)
    if isinstance(X, list):
        restore = methodcaller("tolist")
    if array.dtype.kind in "US":
        array = np.array(X if isinstance(X, list) else array, dtype=object)
    array = native(array)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead; reshape X to "
            "(n_samples, n_features)"
        )
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: pass real and imaginary parts as columns")
    return array, restore


def from_indicator(array: np.ndarray, columns: Any) -> tuple[np.ndarray, Callable[[Any], Any]]:
    """Return the labels of a one-hot encoded target, and what encodes them again."""
    values = pd.unique(array.reshape(-1))
    if len(values) > 2 or not np.isin(values, [0, 1]).all() or (array.sum(axis=1) != 1).any():
        raise ValueError(
            "Multilabel and multioutput targets are not supported. A two-dimensional y must "
            "be one-hot encoded: exactly one 1 in each row"
        )
    dtype, width = array.dtype, array.shape[1]

    def binarized(made: np.ndarray) -> Any:
        hot = np.zeros((len(made), width), dtype=dtype)
        hot[np.arange(len(made)), made] = 1
        return hot if columns is None else pd.DataFrame(hot, columns=columns)

    return array.argmax(axis=1), binarized


class MemoryTable:
    """A table in memory; X holds the target too where `target` names a column.

    `companions` are ``sample_weight`` and ``groups``, one value for each row.
    """

    lazy = False
    width: int | None = None  # columns of a sparse matrix, of which there are only row numbers
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
        self._plain = is_plain(X, 2)
        self._columnar = not self._plain and is_columnar(X)  # of polars or Arrow
        self.is_frame = isinstance(X, pd.DataFrame) or self._columnar
        # What makes the kind of container that was given; None where it is that already.
        self._restore_X: Callable[[Any], Any] | None = None
        self._restore_y: Callable[[Any], Any] | None = None
        self._given = X
        self._given_y: Any = None  # a column of polars or Arrow
        self._given_companions: dict[str, Any] = {}  # those too
        if self._columnar:
            X = as_pandas(X)
            if isinstance(X, pd.Series):
                raise ValueError(
                    f"Expected 2D input, got a {kind_of(self._given)}, which is one column; pass a "
                    "table"
                )
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
        self._y: np.ndarray | None = None  # the target, where it is none of pandas
        self._labels = None if y is None else self._as_labels(y)
        self._companion_dtypes: dict[str, np.dtype] = {}  # of those that are arrays
        self.companions: dict[str, pd.Series] = {}
        for name, values in companions.items() if companions else ():
            self.companions[name] = self._as_companion(name, values)
        weights, groups = map(self.companions.get, COMPANIONS)
        self._all = Partition(X, self._labels, weights, groups)

    def _as_companion(self, name: str, values: Any) -> pd.Series:
        """Return weights or groups as a Series of as many values."""
        if is_columnar(values):
            self._given_companions[name], values = values, as_pandas(values)
        if not isinstance(values, pd.Series):
            refuse_mask(values, name)
            values = np.asarray(values)
            self._companion_dtypes[name] = values.dtype
            if values.ndim != 1:
                raise ValueError(
                    f"{name} must have one dimension, one value for each row, but has the shape "
                    f"{values.shape}"
                )
            kept = object if values.dtype == object else None
            values = pd.Series(native(values), dtype=kept)
        if len(values) != len(self._X):
            raise ValueError(
                f"{name} has {len(values):,} values, but X has {len(self._X):,} rows; give one "
                "value for each row"
            )
        check_companion(values.dtype, name)
        return values

    @cached_property
    def dtypes(self) -> list[Any]:
        """Those of the features."""
        return list(self._X.dtypes) if self.is_frame else [self._X.dtype] * self._X.shape[1]

    def _as_labels(self, y: Any) -> pd.Series:
        """Return the target as a Series, and remember how to give its kind back."""
        n = len(self._X)
        if not isinstance(y, np.ndarray) and is_columnar(y):
            self._given_y, y = y, as_pandas(y)
            if y.ndim == 2 and y.shape[1] != 1:
                raise ValueError(
                    f"y should be one column, but is a table of {y.shape[1]:,}; pass the column "
                    "of the labels"
                )
            series = y if y.ndim == 1 else y.iloc[:, 0]
        elif isinstance(y, pd.DataFrame) and y.shape[1] == 1:
            column = y.columns
            self._restore_y = lambda made: made.to_frame().set_axis(column, axis=1)
            series = y.iloc[:, 0]
        elif isinstance(y, pd.Series):
            series = y
        elif is_plain(y, 1):
            self._y = y
            series = pd.Series(y, copy=False)
        else:
            refuse_mask(y, "y")
            given = label_array(y)
            array = native(given)

            def as_given(made: np.ndarray) -> Any:
                made = made.astype(given.dtype, copy=False)
                return made if given.ndim == 1 else made[:, None]

            self._restore_y = as_given
            if array.ndim == 2 and array.shape[1] > 1:
                columns = y.columns if isinstance(y, pd.DataFrame) else None
                array, self._restore_y = from_indicator(array, columns)
            elif array.ndim == 2:
                array = array.reshape(-1)
            elif array.ndim != 1:
                raise ValueError(f"y should be a 1d array, got an array of shape {array.shape}")
            if isinstance(y, list):
                restore = self._restore_y
                self._restore_y = lambda made: restore(made).tolist()
            self._y = array
            # Objects stay objects: making text of them and objects again takes a while.
            kept = object if array.dtype.kind in "OUS" else None
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
        """Give the columns their roles; object columns that are features must hold numbers."""
        apart = ("carry", "nominal", "group", "inherited")
        if self._plain and not any(map(roles.get, apart)):
            width, dtype = self._X.shape[1], self._X.dtype
            any_kind, sampler = roles.get("any_kind", False), roles.get("sampler", "")
            return _schema_of_array(width, dtype, any_kind, sampler)
        refuse_mask(self._given, "X")
        return schema_of(self, roles, self.is_number)

    def is_number(self, i: int) -> bool:
        """Tell whether an object column holds numbers."""
        return numbers_in(self._X, [i]).get(i, False)

    def profile(
        self,
        schema: Schema,
        scale: str | None = None,
        levels: bool = False,
        by_part: bool = False,
    ) -> Profile:
        """Look at the table once."""
        return profile(self._all, None, schema, scale, levels, in_memory=True)

    def counted(self) -> Counted:
        """Count the classes."""
        return Counted(tuple(count_part(self.labels)))

    def kept(self, counted: Counted, subsets: Mapping[Any, Subset]) -> np.ndarray:
        """Return which rows stay, in order, shape (rows kept,)."""
        (marks,) = counted.marks(subsets)
        times = pick(self.labels, marks=marks)
        return np.repeat(np.arange(len(times)), times)

    def searched(self, how: Any, sampler: Any) -> Any:
        """Return a sampler's recipe or rule as it searches such a table."""
        return how

    def cleaned(self, task: Any) -> Any:
        """Have a rule decide which rows stay; return what is kept."""
        from dsmote.execute.clean import decide, take_rows  # most tables do without

        with single_threaded():
            return decide([take_rows(self._all, task=task)], task, in_threads)

    def marked(self, stays: np.ndarray) -> Any:
        """Return X with a column that tells which rows do not stay; of an array, that apart."""
        from dsmote.execute.clean import removed_column

        if self._columnar:
            return columnar.with_columns(self._given, removed_column(stays, self._X.index))
        if self.is_frame:
            return with_provenance(self._X, removed_column(stays, self._X.index))
        self.provenance = removed_column(stays, pd.RangeIndex(len(stays)))
        return self._given

    def run(self, task: Task) -> Any:
        """Make the output: (X, y), or the table when the target is one of its columns."""
        plan, how = task.plan, task.how
        self.recipe = how.recipe
        made: list[Part] = []
        first = plan.n_before
        # No BLAS takes a second thread for so few.
        small = len(self._X) ** 2 * len(self.names) < _FLOPS
        with nullcontext() if small else single_threaded():
            self._index(task)
            for c in plan.growing:
                of = self.classes[c.label]
                least = min(_LEAST, _CELLS // max(1, len(self.names)))
                least = least if of.rows.numeric.size < _MANY else min(least, _LEAST // 8)
                step = c.new if c.new < 2 * least else _step(c.new, thread_count(), least)
                rows = make_rows(of, how, c.rank, range(c.new), step, in_threads)
                made.append(finish(of, rows, how, c.label, first, self.index_like, self.array))
                self._remember(of.rows.numbers[rows.bases], rows)
                first += c.new
        return self._joined(made, task)

    def _remember(self, bases: np.ndarray, made: Made) -> None:
        """Keep which rows of the table new rows were made from."""
        self._indices.append(bases)

    def _index(self, task: Task) -> None:
        """Have the classes indexed that are to grow."""
        plan, recipe = task.plan, task.how.recipe
        if recipe.n_neighbors_all or recipe.surveys or recipe.sample or task.levels:
            inputs = Inputs({"table": self._all}, [["table"]])
            tasks = dict(inputs.graph)
            keys = add_indexes(tasks, inputs, "run", task, in_threads)
            values = interpret(tasks)
            self.model = values.get("fit-run")
            self.classes = {c.label: values[keys[c.rank]] for c in plan.growing}
        else:  # nothing but the rows of the class is needed
            found = check_counts(extract(self._all, take=take_of(task)), plan)
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
        more = self.companions or task.how.provenance or self._restore_y
        if self._plain and self._y is not None and not more:
            tables, *_ = zip(*made, strict=True) if made else ((),)
            return np.concatenate([self._X, *tables]), _lengthened(self._y, task.plan)
        companions = []
        for name in self.companions:
            place = 1 + COMPANIONS.index(name)
            companions.append(self._joined_companion(name, [part[place] for part in made]))
        ours, how = self._X, task.how
        if self._columnar:
            X_res = self._joined_columns(task, [part.table for part in made])
            if self.has_target:
                return (X_res, *companions) if companions else X_res
            return (X_res, self._joined_target(task.plan), *companions)
        if self.array is None:
            ours = conform(ours, task.schema, task.changes)
        if how.provenance:
            index = pd.RangeIndex(len(ours)) if self.array is not None else ours.index
            came_from = provenance_of(how.provenance, how.schema, index)
            if self.array is None:
                ours = with_provenance(ours, came_from)
            else:
                parts = [came_from, *(p.provenance for p in made)]
                self.provenance = pd.concat(parts, ignore_index=True)
        X_res = self._joined_table(ours, [p.table for p in made])
        if self._restore_X is not None:
            X_res = self._restore_X(X_res)
        if self.has_target:
            return (X_res, *companions) if companions else X_res
        return (X_res, self._joined_target(task.plan), *companions)

    def _joined_columns(self, task: Task, made: list[pd.DataFrame]) -> Any:
        """Put new rows after those of a table of polars or Arrow; provenance in columns after."""
        width, how = len(self.names), task.how
        own = [part.iloc[:, :width] for part in made]
        X_res = columnar.extended(self._given, own, how.schema.carried)
        if not how.provenance:
            return X_res
        ours = provenance_of(how.provenance, how.schema, self._X.index)
        more = pd.concat([ours, *(part.iloc[:, width:] for part in made)], ignore_index=True)
        ends = ("base", "neighbour")
        like = {f"{self.names[i]}_{end}": i for i in how.schema.carried for end in ends}
        return columnar.with_columns(X_res, more, like)

    def _joined_table(self, ours: Any, made: list[Any]) -> Any:
        if self.array is not None:
            return np.concatenate([ours, *made])
        joined = pd.concat([ours, *made], ignore_index=True)
        columns = self._X.columns
        if len(columns) == joined.shape[1]:
            joined.columns = columns  # of categories too, or of one frequency
        elif joined.columns.nlevels == columns.nlevels:
            joined.columns.names = columns.names
        return joined

    def _joined_companion(self, name: str, made: list[Any]) -> Any:
        ours = self.companions[name]
        if name != "groups" and ours.dtype.kind in "iub":  # between integer weights are others
            ours = ours.astype(np.float64)
        kept = [pd.Series(part).astype(ours.dtype) for part in made]
        given = self._given_companions.get(name)
        if given is not None and ours.dtype == self.companions[name].dtype:
            return columnar.extended(given, kept)
        joined = pd.concat([ours, *kept], ignore_index=True)
        joined.name = ours.name
        if given is not None:
            return columnar.of_kind(given, joined)
        if name not in self._companion_dtypes:
            return joined
        dtype = self._companion_dtypes[name]
        as_given = name == "groups" or dtype.kind not in "iub"
        return joined.to_numpy(dtype=dtype if as_given else None)

    def _joined_target(self, plan: Plan) -> Any:
        y = self.labels
        joined: Any
        if self._given_y is not None:
            made = [pd.Series(repeated(c.label, c.new, y.dtype)) for c in plan.growing]
            return columnar.extended(self._given_y, made)
        if self._y is not None:
            joined = _lengthened(self._y, plan)
        elif isinstance(y.dtype, np.dtype) and y.dtype.kind in "iufb":
            joined = pd.Series(_lengthened(y.to_numpy(), plan), copy=False, name=y.name)
        else:
            new = [pd.Series(repeated(c.label, c.new, y.dtype)) for c in plan.growing]
            joined = pd.concat([y, *new], ignore_index=True)
            joined.name = y.name
        return joined if self._restore_y is None else self._restore_y(joined)


def _step(n: int, threads: int, least: int) -> int:
    """Return the rows that a thread makes at a time of n, so that each makes as many."""
    shares = -(-n // _SHARE)
    shares = -(-shares // threads) * threads
    return -(-n // max(1, min(shares, n // least)))


def _lengthened(y: np.ndarray, plan: Plan) -> np.ndarray:
    """Return labels and those of the new rows after them."""
    joined = np.empty(len(y) + plan.n_new, dtype=y.dtype)
    joined[: len(y)] = y
    end = len(y)
    for c in plan.growing:
        new = joined[end : end + c.new]
        if y.dtype.kind in "mM":
            new[:] = repeated(c.label, c.new, y.dtype)
        else:
            new.fill(c.label)
        end += c.new
    return joined


def take(thing: Any, rows: np.ndarray) -> Any:
    """Return some rows of a table or target in memory, as the same kind."""
    if is_columnar(thing):
        return columnar.take(thing, rows)
    if isinstance(thing, pd.DataFrame | pd.Series):
        return thing.iloc[rows]
    if isinstance(thing, list):
        return [thing[i] for i in rows.tolist()]
    if issparse(thing):
        matrix: Any = thing
        some = matrix.tocsr()[rows] if matrix.format == "coo" else matrix[rows]
        return some.asformat(matrix.format)
    return np.asarray(thing)[rows]


def kind_of(value: Any) -> str:
    """Name the library and the class of a container."""
    return f"{type(value).__module__.split('.')[0]} {type(value).__name__}"


def is_plain(values: Any, ndim: int) -> bool:
    """Tell an array of numbers that needs no conversion."""
    if type(values) is not np.ndarray or values.ndim != ndim:
        return False
    return values.dtype.kind in "iufb" and values.dtype.isnative


@lru_cache(maxsize=32)
def _schema_of_array(width: int, dtype: np.dtype, any_kind: bool, sampler: str) -> Schema:
    """Return the schema of an array whose columns are all features."""
    return make_schema(range(width), [dtype] * width, any_kind=any_kind, sampler=sampler)
