"""One partition, or a table in memory: it is checked, profiled, and its classes are counted."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.execute.rows import (
    check_levels,
    factorized,
    numeric_columns,
    object_digits,
    read_objects,
    retyped,
)
from dsmote.plan import Profile, Schema, Subset, look_at, merge_profiles, plain
from dsmote.plan.labels import listed
from dsmote.plan.memory import PROFILE_CELLS
from dsmote.plan.plan import WHOLE
from dsmote.plan.profile import (
    KEPT_TEXTS,
    SAMPLE_ROWS,
    TARGET,
    LevelCounts,
    Sampled,
    count_levels,
    different,
    distinct_values,
    few_equal,
    larger_rows,
    sample_rows,
)
from dsmote.plan.schema import (
    carried_dtype,
    column_name,
    decimal_dtype,
    is_nominal_dtype,
    text_found,
)

NUMBERED = 1 << 13  # rows of a table in memory whose levels are numbered once, for all classes
HASHED = 8  # columns that are enough to tell rows apart
IN_FRAME = ", or keep the target in the frame and call resample(frame, target=...)"
LEAST_ROWS = 1 << 12  # of a partition of many columns, that are profiled at once


def native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's byte order, which is the only one that pandas takes."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def refuse_mask(values: Any, what: str) -> None:
    """Refuse masked values: NumPy would take what lies under the mask."""
    hidden = int(np.ma.count_masked(values)) if isinstance(values, np.ma.MaskedArray) else 0
    if hidden:
        raise ValueError(
            f"{what} is a masked array, and {hidden:,} of its {values.size:,} values are masked; "
            "fill them, for example with nan as missing values, or leave those rows out"
        )


def all_finite(values: np.ndarray) -> bool:
    """Tell whether there is neither nan nor inf, mostly from one sum."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def array_frame(array: np.ndarray, names: pd.Index) -> pd.DataFrame:
    """Return a frame over an array; objects stay the objects that they are."""
    kept = object if array.dtype == object else None
    return pd.DataFrame(array, columns=names, dtype=kept, copy=False)


def _as_frame(part: Any, schema: Schema) -> pd.DataFrame:
    """Return a partition as a frame: an array is not copied, object columns are read as numbers."""
    is_frame = isinstance(part, pd.DataFrame)
    if not is_frame:
        refuse_mask(part, "a partition of X")
        part = array_frame(np.asarray(part), pd.Index(schema.names))
    objects = {
        i: c.dtype
        for i, c in enumerate(schema.columns)
        if c.given is not None and part.shape[1] > i and part.dtypes.iloc[i] != c.dtype
    }
    if not objects:
        return part
    read = {i: read_objects(part.iloc[:, i], dtype, is_frame) for i, dtype in objects.items()}
    text = [schema.names[i] for i, column in read.items() if column is None]
    if text:
        raise ValueError(text_found(text))
    part = part.copy(deep=False)
    for i, column in read.items():
        part.isetitem(i, column)
    return part


def as_series(values: Any, what: str) -> pd.Series:
    """Return the target, weights or groups of a partition, whatever holds them, as a Series."""
    if isinstance(values, pd.DataFrame):
        return values.iloc[:, 0]
    if isinstance(values, pd.Series):
        return values
    refuse_mask(values, f"a partition of {what}")
    return pd.Series(native(np.asarray(values)).reshape(-1))


class Labelled(NamedTuple):
    """The classes of a partition's rows."""

    codes: np.ndarray  # int, shape (n,): place of each row's label in `counts`; -1: missing
    counts: dict[Any, int]  # rows of each label, as a plain Python value, in order of appearance
    missing: int  # rows without a label


def labelled(labels: Any) -> Labelled:
    """Give each different label a number."""
    dtype = getattr(labels, "dtype", None)
    if isinstance(labels, pd.Series) and isinstance(dtype, np.dtype) and dtype.kind in "iubO":
        labels = labels.to_numpy()  # which takes half the time
    try:
        codes, values = pd.factorize(labels)
    except (TypeError, NotImplementedError) as error:  # the second one is Arrow's
        raise TypeError(
            f"the target holds values that cannot be class labels ({error}); give one number or "
            "text for each row"
        ) from error
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub":
        names = values.tolist()
    else:
        names = [plain(value) for value in values]
    missing, *counts = np.bincount(codes + 1, minlength=len(names) + 1).tolist()
    return Labelled(codes, dict(zip(names, counts, strict=True)), missing)


class Partition:
    """One partition of a table, or all of a table in memory: what is read of it is read once.

    `target` is None where the target is a column of X.
    """

    def __init__(self, part: Any, target: Any = None, weights: Any = None, groups: Any = None):
        self.part, self.target = part, target
        self.weights, self.groups = weights, groups
        self.reference: Any = None  # rows that queries of several classes are compared with
        self.levels: dict[int, tuple[np.ndarray, pd.Series]] = {}  # of categorical features
        self._frame: tuple[Schema, pd.DataFrame] | None = None
        self._labelled: Labelled | None = None

    @classmethod
    def of(cls, part: Any, *more: Any) -> Partition:
        """Return a partition as it is, or made of its collections' partitions."""
        return part if isinstance(part, Partition) else cls(part, *more)

    def matrix(self, schema: Schema) -> np.ndarray | None:
        """Return all of the table where it is one array, of floats or of numbers to be copied.

        A frame over such an array is looked at column by column, which for a table of a thousand
        rows takes longer than all the rest.
        """
        if not isinstance(self.part, np.ndarray) or self.part.dtype.kind not in "iufb":
            return None
        copied = schema.copied and len(schema.copied) == len(schema.columns)
        floats = self.part.dtype.kind == "f" and len(schema.numeric) == len(schema.columns)
        return self.part if copied or floats else None

    def frame(self, schema: Schema) -> pd.DataFrame:
        """Return the features, and the target where it is one of them, as a checked frame."""
        if self._frame is None or self._frame[0] is not schema:
            frame = _as_frame(self.part, schema)
            check(frame, schema)
            self._frame = schema, frame
        return self._frame[1]

    def series(self, schema: Schema) -> pd.Series:
        """Return the target, of the partition's length."""
        frame = self.frame(schema)
        if self.target is None:
            assert schema.target is not None
            return frame.iloc[:, schema.target]
        labels = as_series(self.target, "y")
        _check_length(len(frame), len(labels), "y")
        return labels

    def labels(self, schema: Schema) -> Labelled:
        """Return the numbered labels."""
        if self._labelled is None:
            # A table in memory has been checked, and needs no frame for its labels.
            known = isinstance(self.part, np.ndarray) and isinstance(self.target, pd.Series)
            self._labelled = labelled(self.target if known else self.series(schema))
        return self._labelled

    def companions(self, schema: Schema, n: int) -> tuple[pd.Series | None, pd.Series | None]:
        """Return the weights and the groups of its n rows, where there are any."""
        weights = groups = None
        if self.weights is not None:
            weights = companion(self.weights, n, "sample_weight")
        if self.groups is not None:
            groups = companion(self.groups, n, "groups")
        elif schema.group is not None:
            groups = self.frame(schema).iloc[:, schema.group]
        return weights, groups

    def decimals(self, schema: Schema) -> dict[int, tuple[int, int] | None]:
        """Return the digits of the decimals in object columns of numbers, unless empty."""
        given = [i for i, c in enumerate(schema.columns) if c.given is not None]
        columns = {i: column_of(self.part, i) for i in given}
        return {i: object_digits(c) for i, c in columns.items() if not c.isna().all()}


def check_companion(dtype: Any, name: str) -> None:
    """Refuse sample weights that are no numbers; groups may be anything."""
    types = pd.api.types
    real = types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype)
    if name == "sample_weight" and not (real or types.is_object_dtype(dtype)):
        raise TypeError(f"sample_weight must hold numbers, but has dtype {dtype}")


def companion(values: Any, n: int, name: str) -> pd.Series:
    """Return the weights or groups of a partition of n rows as a Series."""
    values = as_series(values, name)
    _check_length(n, len(values), name)
    if name != "sample_weight":
        return values
    try:
        weights = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise TypeError(f"sample_weight must hold numbers: {error}") from error
    bad = len(weights) - int(np.isfinite(weights).sum())
    if bad:
        raise ValueError(
            f"sample_weight contains NaN or infinity in {bad:,} row{'' if bad == 1 else 's'}; "
            "impute or drop those rows"
        )
    return values


def _check_length(n_X: int, n: int, name: str) -> None:
    """Refuse a partition of X and one of what goes with it that have different lengths."""
    if n_X != n:
        raise ValueError(
            f"X and {name} are partitioned differently: a partition of X has {n_X:,} rows, the "
            f"partition of {name} beside it {n:,}; repartition both alike"
            + IN_FRAME
            * (name == "y")
        )


def _family(dtype: Any) -> str:
    """Name what must not differ between partitions; text dtypes are all one."""
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_string_dtype(dtype) or pd.api.types.is_object_dtype(dtype):
        return "text"
    return str(dtype)


def check(frame: pd.DataFrame, schema: Schema) -> None:
    """Refuse a partition whose columns are not what the schema says; empty ones pass."""
    if list(map(column_name, frame.columns)) != schema.names:
        raise ValueError(
            f"a partition has the columns {list(frame.columns)}, but the table has "
            f"{schema.names}; give every partition the same columns in the same order"
        )
    if not len(frame):
        return
    for column, found in zip(schema.columns, frame.dtypes, strict=True):
        declared = column.given or column.dtype
        if found is not column.dtype and _family(found) != _family(column.dtype):
            raise ValueError(
                f"column {column.name!r} has dtype {found} in one partition, but the table "
                f"declares {declared}; give every partition the same dtypes, for example with "
                f"frame.astype({{{column.name!r}: {_common(found, declared)}}}) or by fixing the "
                "file it was read from"
            )


def _common(found: Any, declared: Any) -> str:
    """Write a dtype that holds the values of both; a column of objects may be one of None."""
    for one, other in ((found, declared), (declared, found)):
        if one == np.dtype("O"):
            if isinstance(other, pd.CategoricalDtype):
                return repr("object")  # Dask cannot join categories of two kinds
            return repr(str(carried_dtype(other)))
    if isinstance(found, pd.ArrowDtype) and isinstance(declared, pd.ArrowDtype):
        types = found.pyarrow_dtype, declared.pyarrow_dtype
        if all(pa.types.is_decimal(t) for t in types):
            scale = max(t.scale for t in types)
            wider = decimal_dtype(max(t.precision - t.scale for t in types), scale)
            return f"pandas.ArrowDtype(pyarrow.{wider.pyarrow_dtype})"
    if isinstance(found, np.dtype) and isinstance(declared, np.dtype):
        with contextlib.suppress(TypeError):  # numbers and times have none
            return repr(str(np.promote_types(found, declared)))
    return repr(str(declared))


def conform(part: Any, schema: Schema, dtypes: Mapping[int, Any]) -> Any:
    """Return a partition with the output's dtypes where the input's cannot stay.

    Only carried integers (which must be able to be missing) and categoricals whose
    categories differ between partitions are touched; their values stay what they were.
    """
    if not isinstance(part, pd.DataFrame):
        return part
    changed = {i: dtype for i, dtype in dtypes.items() if part.dtypes.iloc[i] != dtype}
    if not len(part):
        # An empty file often has lost its dtypes; keep it from spoiling a concatenation.
        changed |= {
            i: c.given or c.dtype
            for i, c in enumerate(schema.columns)
            if i not in dtypes and _family(c.given or c.dtype) != _family(part.dtypes.iloc[i])
        }
    return retyped(part, changed) if changed else part


def profile(
    part: Any,
    target: Any,
    schema: Schema,
    scale: str | None = None,
    levels: bool = False,
    in_memory: bool = False,
) -> Profile:
    """Profile one partition.

    `scale` says for which scaling of the numeric columns, if any; `levels` whether the levels of
    the categorical features are counted by class; `in_memory` that there is no other partition, so
    that samples need not be taken before they are asked for.
    """
    here = Partition.of(part, target)
    matrix = here.matrix(schema) if in_memory else None
    columns: Any = [] if matrix is None or not schema.numeric else matrix.T
    checked: Any = [matrix]
    levels_of: list[Any] = []
    if matrix is None:
        frame, labels, target = here.frame(schema), here.series(schema), here.target
        if not len(frame):
            return Profile()
        size = _size(frame)
        step = max(LEAST_ROWS, PROFILE_CELLS // max(1, frame.shape[1]))
        if len(frame) > step and not in_memory:
            # Columns as float64 can take twice what the partition does.
            slices = [slice(start, start + step) for start in range(0, len(frame), step)]
            halves = [(_at(here.part, s), _at(target, s)) for s in slices]
            parts = [profile(*both, schema, scale, levels) for both in halves]
            return replace(merge_profiles(parts), bytes=size, largest_bytes=size)
        nominal = {i: frame.iloc[:, i] for i in schema.nominal}
        if levels or (in_memory and len(frame) <= NUMBERED):
            here.levels = {i: factorized(column) for i, column in nominal.items()}
        else:
            check_levels(frame, schema)
        levels_of = [*nominal.values()]
        if in_memory and here.levels:
            levels_of = [codes for codes, _ in here.levels.values()]
        checked = columns = [column for column, _ in numeric_columns(frame, schema)]
    codes, counts, missing_target = here.labels(schema)
    good, usable = codes, counts
    missing, infinite = {}, {}
    if len(columns) and not all(map(all_finite, checked)):
        for i, column in zip(schema.numeric, columns, strict=True):
            finite = np.isfinite(column)
            if not finite.all():
                missing[i] = int(np.isnan(column).sum())
                infinite[i] = int(len(column) - finite.sum()) - missing[i]
                good = np.where(finite, good, -1)
        finite_rows = np.bincount(good + 1, minlength=len(counts) + 1)[1:].tolist()
        usable = dict(zip(counts, finite_rows, strict=True))
    samples = Samples(columns, good, counts, levels_of, in_memory)
    larger = {} if in_memory else {label: samples.larger(label) for label in samples}
    found = Profile(
        rows=len(codes),
        bytes=size if matrix is None else matrix.nbytes,
        largest_bytes=size if matrix is None else matrix.nbytes,
        counts=counts,
        usable=usable,
        missing_target=missing_target,
        missing=missing,
        infinite=infinite,
        sample=samples if in_memory else dict(samples),
        larger=larger,
        moments=tuple([look_at(c.astype(np.float64), scale) for c in columns]) if scale else (),
    )
    if matrix is not None:
        return found
    categories = {
        i: (dtype,)
        for i, dtype in enumerate(frame.dtypes)
        if isinstance(dtype, pd.CategoricalDtype)
    }
    if target is not None and isinstance(labels.dtype, pd.CategoricalDtype):
        categories[TARGET] = (labels.dtype,)
    distinct, texts, rounded = {}, {}, set()
    for i, column in zip(schema.numeric, columns, strict=True):
        if schema.columns[i].kind == "int":
            present = column[np.isfinite(column)] if i in missing else column
            distinct[i] = distinct_values(different(present))
        if schema.columns[i].kind in WHOLE and not max(column.max(), -column.min()) < 2**53:
            rounded.add(i)
    for i, series in nominal.items():
        if is_nominal_dtype(series.dtype):
            distinct[i] = _levels_seen(series, *here.levels.get(i, ())[1:])
            texts[i] = _first_texts(series)
    cells = here.levels.values() if levels else ()
    return replace(
        found,
        categories=categories,
        decimals=here.decimals(schema),
        distinct=distinct,
        texts=texts,
        levels=tuple(_level_counts(*of, codes, list(counts)) for of in cells),
        index_end=index_end(frame, target),
        exact_columns=frozenset(rounded),
    )


def _at(part: Any, rows: slice) -> Any:
    return part.iloc[rows] if hasattr(part, "iloc") else part if part is None else part[rows]


def column_of(part: Any, i: int) -> pd.Series:
    """Return a column of a partition, a frame or an array, as it is."""
    return part.iloc[:, i] if isinstance(part, pd.DataFrame) else pd.Series(np.asarray(part)[:, i])


def numbers_in(part: Any, columns: Sequence[int]) -> dict[int, bool]:
    """Tell of object columns whether they hold numbers; of those without a value, nothing.

    In a frame, digits as text are text; in an array, where there are numbers among them, numbers.
    """
    found = {}
    for i in columns:
        column = column_of(part, i)
        if not column.isna().all():
            strict = isinstance(part, pd.DataFrame)
            found[i] = read_objects(column, np.dtype("f8"), strict) is not None
    return found


def _levels_seen(column: pd.Series, levels: pd.Series | None = None) -> np.ndarray:
    """Return numbers for the levels of a column; of some rows, unless hardly one comes twice."""
    if levels is None:
        places = np.linspace(0, len(column) - 1, min(len(column), SAMPLE_ROWS)).astype(np.int64)
        levels = factorized(column.iloc[places])[1]
        if len(levels) > 0.8 * len(places):
            levels = factorized(column)[1]
    return distinct_values(_text_hashes(levels) / 2.0**32)


def _first_texts(column: pd.Series) -> tuple[str, ...]:
    some = column.iloc[: 4 * KEPT_TEXTS].to_numpy(dtype=object).tolist()
    present = [value for value in some if isinstance(value, str) or not pd.isna(value)]
    return tuple(value for value in present[:KEPT_TEXTS] if isinstance(value, str))


def index_end(*parts: Any) -> int:
    """Return one more than the largest number in the index of frames and series; 0 for none."""
    ends = [0]
    for part in parts:
        index = getattr(part, "index", None)
        if isinstance(index, pd.RangeIndex):
            ends.append(max(index.start, index.stop))
        elif isinstance(index, pd.Index) and pd.api.types.is_any_real_numeric_dtype(index.dtype):
            finite = index[np.isfinite(index.to_numpy(dtype=np.float64, na_value=np.nan))]
            if len(finite):
                ends.append(int(finite.max() // 1) + 1)
    return max(ends)


def _level_counts(
    places: np.ndarray, levels: pd.Series, codes: np.ndarray, names: Sequence[Any]
) -> LevelCounts:
    """Count the levels of a categorical feature by class."""
    cells = (places * np.int64(len(names)) + codes)[codes >= 0]
    counts = np.bincount(cells, minlength=len(levels) * len(names)).reshape(len(levels), -1)
    return count_levels(levels.tolist(), names, counts)


def _size(frame: pd.DataFrame) -> int:
    """Return the bytes a frame takes; Python objects are judged by a few of them."""
    size = frame.index.memory_usage()
    dtypes = list(frame.dtypes)
    some = frame.iloc[:: max(1, len(frame) // 64)] if np.dtype("O") in dtypes else frame
    for i, dtype in enumerate(dtypes):
        if isinstance(dtype, np.dtype):
            size += len(frame) * dtype.itemsize
        else:
            size += frame.iloc[:, i].memory_usage(index=False)
        if isinstance(dtype, np.dtype) and dtype.kind == "O":
            values = some.iloc[:, i].to_numpy()
            size += int(np.mean([sys.getsizeof(value) for value in values]) * len(frame))
    return size


_NO_KEYS = np.empty(0, dtype=np.uint64)


class Samples(Mapping[Any, Sampled]):
    """The rows of each class with the smallest hash of (some of) their numbers.

    Each is taken when it is asked for: that of a large class that does not grow never is. Levels
    are columns, or their codes where there is no other partition.
    """

    def __init__(
        self,
        numeric: Sequence[np.ndarray] | np.ndarray,
        codes: np.ndarray,
        counts: Mapping[Any, int],
        levels: Sequence[Any],
        in_memory: bool,
    ) -> None:
        self._numeric, self._levels, self._codes = numeric, levels, codes
        self._in_memory, self._counts = in_memory, counts
        self._places = dict(zip(counts, range(len(counts)), strict=True)) if len(numeric) else {}
        self._found: dict[Any, Sampled] = {}
        self._hashed: dict[Any, np.ndarray] = {}

    def __getitem__(self, label: Any) -> Sampled:
        if label not in self._found:
            at = np.flatnonzero(self._codes == self._places[label])
            keys, most = _NO_KEYS, sample_rows(len(self._numeric))
            # By the hashes, samples of partitions are merged, too.
            if not self._in_memory or len(at) > most:
                keys, kept = smallest_hashes(self._hashes(label), most)
                at = at[kept]
            self._found[label] = self._taken(keys, at)
        return self._found[label]

    def larger(self, label: Any) -> Sampled:
        """Return the rows of a class that are kept for its cells: few of equal ones."""
        hashes = self._hashes(label)
        keys, kept = smallest_hashes(hashes, larger_rows(hashes, len(self._numeric), self._counts))
        if not few_equal(keys).all():  # others were kept out by those that are left out
            keys, kept = smallest_hashes(hashes, len(hashes))
            few = few_equal(keys)
            keys, kept = keys[few], kept[few]
            most = larger_rows(keys, len(self._numeric), self._counts)
            keys, kept = keys[:most], kept[:most]
        return self._taken(keys, np.flatnonzero(self._codes == self._places[label])[kept])

    def _hashes(self, label: Any) -> np.ndarray:
        if label not in self._hashed:
            at = np.flatnonzero(self._codes == self._places[label])
            columns = [c[at].astype(np.float64, copy=False) for c in self._numeric[:HASHED]]
            self._hashed[label] = row_hashes(columns)
        return self._hashed[label]

    def _taken(self, keys: np.ndarray, at: np.ndarray) -> Sampled:
        levels = np.empty((len(at), len(self._levels)), dtype=np.uint32)
        for j, column in enumerate(self._levels):
            if isinstance(column, np.ndarray):
                levels[:, j] = column[at]
            else:
                codes, unique = factorized(column.iloc[at])
                levels[:, j] = _text_hashes(unique)[codes]
        if isinstance(self._numeric, np.ndarray):  # the columns of one array, taken together
            numeric = self._numeric.T[at]
        else:
            numeric = np.stack([column[at] for column in self._numeric], axis=1)
        return Sampled(keys, numeric.astype(np.float64, copy=False), levels)

    def __contains__(self, label: object) -> bool:
        return label in self._places

    def __iter__(self) -> Iterator[Any]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _text_hashes(levels: pd.Series) -> np.ndarray:
    """Return a hash of each level, of any type and also of text that is no valid Unicode."""
    return np.array([crc32(repr(level).encode()) for level in levels], dtype=np.uint32)


def row_hashes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return hashes of rows given by columns; uint64."""
    hashes = np.zeros(len(columns[0]), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in columns[:HASHED]:
            hashes = (hashes ^ (column + 0.0).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            hashes ^= hashes >> np.uint64(32)
    return hashes


def smallest_hashes(hashes: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the up to n smallest hashes of rows, and where they are."""
    rows = np.arange(len(hashes))
    if len(rows) > n:
        # All that are as small as the n-th, so that equal rows fall to the first of them.
        rows = np.flatnonzero(hashes <= np.partition(hashes, n - 1)[n - 1])
    rows = rows[np.argsort(hashes[rows], kind="stable")[:n]]
    return hashes[rows], rows


def incomplete_columns(
    missing: Mapping[int, int], infinite: Mapping[int, int], schema: Schema
) -> str:
    """Name the numeric features with missing or infinite values, and count these."""
    terms = []
    for i in sorted({*missing, *infinite}):
        counts = {"missing": missing.get(i, 0), "infinite": infinite.get(i, 0)}
        found = [f"{n:,} {what}" for what, n in counts.items() if n]
        if found:
            terms.append(f"{schema.columns[i].name!r} ({', '.join(found)})")
    return listed(terms)


def incomplete(missing: Mapping[int, int], infinite: Mapping[int, int], schema: Schema) -> str:
    """Write the message for missing and infinite values."""
    shown = incomplete_columns(missing, infinite, schema)
    return (
        "the input contains NaN, missing values or infinity in numeric features: "
        f"{shown}; fill them, name the columns in carry, or pass missing='skip' to keep "
        "such rows in the output and leave them out as bases and neighbours"
    )


def missing_labels(n: int, name: Any = None) -> str:
    """Write the message for rows without a label; `name` is the target's, where it has one."""
    named = "" if name is None else f" {name!r}"
    return (
        f"the target{named} is missing in {n:,} row{'' if n == 1 else 's'}; drop those rows or "
        "label them before resampling"
    )


class PartCount(NamedTuple):
    """Rows of each class in one partition, and those without a label."""

    counts: dict[Any, int]
    missing: int
    index_end: int = 0  # one more than the largest number in its index


class Mark(NamedTuple):
    """What a partition must know of one class: rows ``start .. stop`` of it are here."""

    label: Any
    start: int
    stop: int
    subset: Subset | None


@dataclass(frozen=True)
class Counted:
    """The classes of each partition, in order; a table in memory is one."""

    parts: tuple[PartCount, ...]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts.values()) + self.missing

    @property
    def missing(self) -> int:
        """Rows without a label."""
        return sum(part.missing for part in self.parts)

    @property
    def counts(self) -> dict[Any, int]:
        """Rows per class."""
        total: Counter[Any] = Counter()
        for part in self.parts:
            total.update(part.counts)
        return dict(total)

    def marks(self, subsets: Mapping[Any, Subset]) -> list[list[Mark]]:
        """Say, for each partition, which rows of each class are in it."""
        seen: Counter[Any] = Counter()
        found = []
        for part in self.parts:
            marks = []
            for label, n in part.counts.items():
                marks.append(Mark(label, seen[label], seen[label] + n, subsets.get(label)))
            found.append(marks)
            seen.update(part.counts)
        return found

    @property
    def index_end(self) -> int:
        """One more than the largest number in the index; 0 for none."""
        return max((part.index_end for part in self.parts), default=0)

    @property
    def lengths(self) -> list[int]:
        """Rows of each partition."""
        return [sum(part.counts.values()) + part.missing for part in self.parts]

    def after(self, subsets: Mapping[Any, Subset]) -> Counted:
        """Return the classes of the rows that stay, drawn without looking at the data."""
        counts = [dict(part.counts) for part in self.parts]
        for label, subset in subsets.items():
            here = np.array([part.get(label, 0) for part in counts], dtype=np.int64)
            kept = np.diff(subset.before(np.concatenate([[0], np.cumsum(here)])))
            for place in np.flatnonzero(here).tolist():
                counts[place][label] = int(kept[place])
        parts = zip(self.parts, counts, strict=True)
        return Counted(
            tuple(
                part._replace(counts={label: n for label, n in found.items() if n})
                for part, found in parts
            )
        )


def count_part(target: Any, column: int | None = None) -> list[PartCount]:
    """Count the classes in one partition of the target, or of a frame that has it as a column."""
    of = labelled(as_series(target if column is None else target.iloc[:, column], "y"))
    return [PartCount(of.counts, of.missing, index_end(target))]


def pick(target: Any, *, marks: Sequence[Mark]) -> np.ndarray:
    """Return how often each row of a partition stays: 0, once, or (copies) several times."""
    codes, counts, missing = labelled(as_series(target, "y"))
    _check_counts(counts | {None: missing}, marks)
    times = np.ones(len(codes), dtype=np.int64)
    # Sorted once, not searched once for every class: there may be many. No label is missing here.
    order = np.argsort(codes, kind="stable")
    ends = dict(zip(counts, np.cumsum([*counts.values()]).tolist(), strict=True))
    for mark in marks:
        if mark.subset is not None:
            end = ends[mark.label]
            here = order[end - (mark.stop - mark.start) : end]
            times[here] = mark.subset.times(mark.start, mark.stop)
    return times


def _check_counts(found: dict[Any, int], marks: Sequence[Mark]) -> None:
    expected = {mark.label: mark.stop - mark.start for mark in marks}
    for label in {**expected, **found}:
        if found.get(label, 0) != expected.get(label, 0):
            raise ValueError(
                f"class {label!r} has {found.get(label, 0):,} rows in a partition in which "
                f"{expected.get(label, 0):,} were counted; data that change between two reads "
                "cannot be resampled: write them to files, or call persist(), before"
            )


def filtered(part: Any, target: Any, *, name: str, schema: Schema, marks: Sequence[Mark]) -> Any:
    """Filter a partition of X, y, weights or groups by the matching one of y, or by its own."""
    target = target if schema.target is None else target.iloc[:, schema.target]
    return taken(part, pick(target, marks=marks), name, schema)


def taken(part: Any, times: np.ndarray, name: str, schema: Schema) -> Any:
    """Take each row of a partition of X, y, weights or groups as often as it stays."""
    if name == "X":
        _check_length(len(part), len(times), "y")
        if isinstance(part, pd.DataFrame):
            check(part, schema)
            part = conform(part, schema, {})
    elif name != "y":
        companion(part, len(times), name)
    if (times == 1).all():
        return part
    rows = np.repeat(np.arange(len(times)), times)
    return part.iloc[rows] if hasattr(part, "iloc") else part[rows]
