"""Columns as arrays: the rows of a frame are encoded, and joined over partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from numbers import Real
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.execute.recipe import Rows
from dsmote.plan import Schema, plain
from dsmote.plan.profile import unify_categories

_EXACT_DECIMAL = 10**15  # 15 digits come back from float64 by rounding
_EXACT = 2**53  # integers up to here are exact in float64


def _dense(series: pd.Series) -> pd.Series:
    return (
        cast(Any, series).sparse.to_dense() if isinstance(series.dtype, pd.SparseDtype) else series
    )


def is_arrow_date(dtype: Any) -> bool:
    """Tell whether a dtype is one of Arrow's dates, which are days without a time."""
    return isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("date")


def _ticks(series: pd.Series) -> np.ndarray:
    """Return datetimes or timedeltas as int64 in their own unit; missing is the smallest int."""
    if is_arrow_date(series.dtype):
        moments = series.astype("timestamp[s][pyarrow]").array.__array__()
        return np.asarray(moments).astype("M8[D]").view("i8")
    if isinstance(series.dtype, pd.ArrowDtype):
        series = pd.Series(series.array.__array__())
    values = series.array
    unit = getattr(values, "asi8", None)
    return np.asarray(unit if unit is not None else series.to_numpy().view("i8"))


def numeric_values(series: pd.Series, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a numeric feature as float64 (missing is nan) and, of 64-bit integers, exactly."""
    series = _dense(series)
    if kind in ("datetime", "timedelta"):
        ticks = _ticks(series)
        values = ticks.astype(np.float64)
        values[ticks == np.iinfo(np.int64).min] = np.nan
        return values, ticks
    if kind == "decimal":
        return _decimals(series)
    exact = None
    if kind == "int" and getattr(series.dtype, "itemsize", 0) == 8:
        if isinstance(series.dtype, np.dtype):
            exact = series.to_numpy()
        else:
            unsigned = pd.api.types.is_unsigned_integer_dtype(series.dtype)
            exact = series.to_numpy(dtype=np.uint64 if unsigned else np.int64, na_value=0)
    if isinstance(series.dtype, np.dtype):
        try:
            return series.to_numpy(dtype=np.float64), exact
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"the numeric feature {plain(series.name)!r} holds a value that is not a number: "
                f"{error}; name it in categorical_features or in carry"
            ) from error
    return series.to_numpy(dtype=np.float64, na_value=np.nan), exact


def _decimals(series: pd.Series) -> tuple[np.ndarray, np.ndarray | None]:
    """Return decimals as float64 and, where they fit, in units of the last digit as int64."""
    stored = pa.array(series.array, type=cast(Any, series.dtype).pyarrow_dtype)
    if isinstance(stored, pa.ChunkedArray):
        stored = stored.combine_chunks()
    values = np.array(stored.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if not pa.types.is_decimal128(stored.type) or stored.type.scale < 0 or not len(stored):
        return values, None
    halves = np.frombuffer(stored.buffers()[1], dtype="<i8").reshape(-1, 2)
    halves = halves[stored.offset : stored.offset + len(stored)]
    halves = np.where(np.isnan(values)[:, None], 0, halves)
    exact = halves[:, 0].copy()
    if not (exact >> 63 == halves[:, 1]).all():
        return values, None
    if stored.type.scale <= 22 and (abs(exact) <= 2**53).all():
        # As float() reads them: Arrow's may be the float beside it.
        values = np.where(np.isnan(values), np.nan, exact / 10.0**stored.type.scale)
    return values, exact


def object_digits(series: pd.Series) -> tuple[int, int] | None:
    """Return the digits before and after the point of a column of Decimal objects, else None."""
    if pd.api.types.infer_dtype(series, skipna=True) != "decimal":
        return None
    try:
        found = pa.array(series, from_pandas=True).type
    except (pa.ArrowException, ValueError, TypeError):  # infinite, or of too many digits
        return None
    if not pa.types.is_decimal(found) or found.scale < 0:
        return None
    return found.precision - found.scale, found.scale


def _holds_numbers(series: pd.Series) -> bool:
    """Tell whether an object column holds numbers or missing values only, and a number at all."""
    found = pd.api.types.infer_dtype(series, skipna=True)
    if found in ("floating", "integer", "mixed-integer-float", "decimal"):
        return True
    if found not in ("mixed", "mixed-integer"):
        return False
    values = series[series.notna()]
    numbers = (isinstance(v, Real | Decimal) and not isinstance(v, bool) for v in values)
    return len(values) > 0 and all(numbers)


def read_objects(series: pd.Series, dtype: Any, strict: bool = False) -> pd.Series | None:
    """Return an object column of numbers as one of a dtype; None where it holds something else.

    Where it is not `strict`, what float() reads is a number: bools, and digits as text.
    """
    if strict and not (series.isna().all() or _holds_numbers(series)):
        return None
    if isinstance(dtype, pd.ArrowDtype):
        values = pa.array(series, type=dtype.pyarrow_dtype, from_pandas=True)
        return pd.Series(values, index=series.index, name=series.name, dtype=dtype)
    if not isinstance(series.dtype, np.dtype) or pd.api.types.infer_dtype(series) == "bytes":
        return None  # text, though float() reads it
    with suppress(TypeError, ValueError):
        return series.astype(dtype)
    with suppress(TypeError, ValueError):
        return series.where(series.notna(), np.nan).astype(dtype)  # pd.NA is not a float
    return None


def numeric_columns(
    frame: pd.DataFrame, schema: Schema
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Read all numeric features, as :func:`numeric_values` does one."""
    plain = _plain_columns(frame, schema.numeric)
    columns: list[tuple[np.ndarray, np.ndarray | None]] = []
    for i in schema.numeric:
        kind = schema.columns[i].kind
        if i in plain and kind in ("float", "int", "bool"):
            exact = plain[i] if kind == "int" and plain[i].itemsize == 8 else None
            columns.append((plain[i].astype(np.float64, copy=False), exact))
        else:
            columns.append(numeric_values(frame.iloc[:, i], kind))
    return columns


def _plain_columns(frame: pd.DataFrame, wanted: Sequence[int]) -> dict[int, np.ndarray]:
    """Return the columns of NumPy's numbers, those of one dtype taken out together.

    pandas makes a series in the time of a thousand additions: of a small table with many columns,
    that would be most of the work.
    """
    places: dict[np.dtype, list[int]] = {}
    dtypes = list(frame.dtypes)
    for i in wanted:
        if isinstance(dtypes[i], np.dtype) and dtypes[i].kind in "iufb":
            places[dtypes[i]] = []
    for i, dtype in enumerate(dtypes):
        if isinstance(dtype, np.dtype) and dtype in places:
            places[dtype].append(i)
    columns: dict[int, np.ndarray] = {}
    for dtype, at in places.items():
        block = frame if len(at) == len(dtypes) else frame.select_dtypes(include=[dtype])
        if block.shape[1] == len(at):  # else there are nullable columns of that type
            columns.update(zip(at, block.to_numpy().T, strict=True))
    return columns


def encode(
    frame: pd.DataFrame,
    schema: Schema,
    numbers: np.ndarray,
    known: Mapping[int, tuple[np.ndarray, pd.Series]] | None = None,
) -> Rows:
    """Turn rows of a frame into arrays; of what is missing, only the numeric columns tell."""
    numeric = np.empty((len(frame), len(schema.numeric)), order="C")
    integers, units = {}, {}
    for place, (values, exact) in enumerate(numeric_columns(frame, schema)):
        numeric[:, place] = values
        column, most = schema.columns[schema.numeric[place]], _EXACT
        if column.kind == "decimal" and column.dtype.pyarrow_dtype.scale >= 0:
            # Also where there are values here that do not fit in 64 bits: elsewhere all may.
            units[place], most = int(10**column.dtype.pyarrow_dtype.scale), _EXACT_DECIMAL
        if exact is None:
            continue
        # Only where float64 would lose something.
        if len(exact) and (int(exact.max()) > most or int(exact.min()) < -most):
            integers[place] = exact
    codes = np.empty((len(frame), len(schema.nominal)), dtype=np.int32)
    levels = []
    for place, i in enumerate(schema.nominal):
        if known is not None and i in known:
            codes[:, place] = known[i][0][numbers]
            unique = _as_seen(frame, i, codes[:, place], known[i][1])
        else:
            codes[:, place], unique = factorized(frame.iloc[:, i])
        levels.append(unique)
    categories = {
        i: dtype for i, dtype in enumerate(frame.dtypes) if isinstance(dtype, pd.CategoricalDtype)
    }
    return Rows(numeric, codes, numbers, integers, tuple(levels), categories, units=units)


def _as_seen(frame: pd.DataFrame, i: int, codes: np.ndarray, levels: pd.Series) -> pd.Series:
    """Return column i's levels, known of more rows, each as these rows have it first.

    Equal values can look different: 0.0 and -0.0, or 1, 1.0 and True among objects.
    """
    if not (levels.dtype == object or pd.api.types.is_float_dtype(levels.dtype)):
        return levels
    if set(map(type, levels.array)) <= {str, type(None)}:  # equal texts look the same
        return levels
    here, first = np.unique(codes, return_index=True)
    known = levels.notna().to_numpy()[here]
    own = levels.to_numpy(copy=True)
    own[here[known]] = _dense(frame.iloc[:, i]).to_numpy()[first[known]]
    return pd.Series(own, dtype=levels.dtype, name=levels.name)


def factorized(series: pd.Series) -> tuple[np.ndarray, pd.Series]:
    """Return codes and the levels that occur, in order of appearance; missing is a level."""
    series = _dense(series)
    # Objects stay objects: pandas would make text of them, which takes longer than numbering them.
    kept = object if series.dtype == object else None
    try:
        codes, unique = pd.factorize(series.to_numpy() if kept else series, use_na_sentinel=False)
    except TypeError as error:
        raise TypeError(
            f"column {plain(series.name)!r} holds values that cannot be levels of a nominal column "
            f"({error}); convert it to text or numbers, or name it in carry"
        ) from error
    return codes.astype(np.int32), pd.Series(unique, dtype=kept, name=series.name)


def check_levels(frame: pd.DataFrame, schema: Schema) -> None:
    """Refuse categorical features whose (first) values are lists or the like, before the work."""
    dtypes = list(frame.dtypes)
    for i in schema.nominal:
        if pd.api.types.is_object_dtype(dtypes[i]):
            factorized(frame.iloc[:100, i])


def join(parts: Sequence[Rows], schema: Schema) -> Rows:
    """Join the rows of partitions, in order, onto one set of levels."""
    categories = common_categories(parts, schema)
    if len(parts) == 1:
        return replace(parts[0], categories=categories)
    filled = [p for p in parts if len(p)] or list(parts[:1])

    def joined(name: str) -> Any:
        some = [getattr(p, name) for p in filled]
        return None if some[0] is None else np.concatenate(some)

    units = {place: unit for p in filled for place, unit in p.units.items()}
    integers = {
        place: np.concatenate([exact_of(p, place, kind, units.get(place)) for p in filled])
        for place, kind in {j: of.dtype for p in filled for j, of in p.integers.items()}.items()
        if place not in units or _fit(filled, place, units[place])
    }
    numbers = joined("numbers")
    codes = np.empty((len(numbers), len(schema.nominal)), dtype=np.int32)
    levels = []
    for place, i in enumerate(schema.nominal):
        of = [(p.codes[:, place], p.levels[place]) for p in filled]
        codes[:, place], unique = join_levels(of, categories.get(i))
        levels.append(unique.rename(schema.columns[i].name))
    group, group_levels, passthrough = None, None, None
    if filled[0].group is not None:
        group, group_levels = join_levels([(p.group, p.group_levels) for p in filled])
    if filled[0].passthrough is not None:
        passthrough = join_frames([cast(Any, p.passthrough) for p in filled])
    return Rows(
        joined("numeric"),
        codes,
        numbers,
        integers,
        tuple(levels),
        categories,
        joined("weights"),
        group,
        group_levels,
        passthrough,
        units,
    )


def common_categories(parts: Sequence[Rows], schema: Schema) -> dict[int, pd.CategoricalDtype]:
    """Return one dtype for each categorical column, which has the categories of all parts."""
    return {
        i: unify_categories(
            schema.columns[i].name,
            tuple(dict.fromkeys(p.categories[i] for p in parts if i in p.categories)),
        )
        for i in {i for p in parts for i in p.categories}
    }


def exact_of(rows: Rows, place: int, kind: Any, unit: int | None) -> np.ndarray:
    """Return a column exactly, also of rows that float64 holds as they are."""
    if place in rows.integers:
        return rows.integers[place]
    values = rows.numeric[:, place]
    return (values if unit is None else np.rint(values * unit)).astype(kind)


def _fit(parts: Sequence[Rows], place: int, unit: int) -> bool:
    """Tell whether all decimals of a column fit in 64 bits, in units of the last digit."""
    most = float(2**63) / unit
    return all(place in p.integers or bool((abs(p.numeric[:, place]) < most).all()) for p in parts)


def unfit_decimals(rows: Rows) -> frozenset[int]:
    """Return the columns of decimals, not all of which fit in 64 bits."""
    return frozenset(
        j
        for j, unit in rows.units.items()
        if j not in rows.integers and (abs(rows.numeric[:, j]) >= 2.0**63 / unit).any()
    )


def join_levels(
    parts: Sequence[tuple[Any, Any]], dtype: pd.CategoricalDtype | None = None
) -> tuple[np.ndarray, pd.Series]:
    """Bring the codes of parts onto one set of levels."""
    own = [levels if dtype is None else levels.astype(dtype) for _, levels in parts]
    # Levels are few beside rows: number them over all partitions, then renumber the codes.
    number, unique = pd.factorize(pd.concat(own, ignore_index=True), use_na_sentinel=False)
    cuts = np.cumsum([len(o) for o in own])[:-1]
    renumbered = [
        part[codes] for part, (codes, _) in zip(np.split(number, cuts), parts, strict=True)
    ]
    return np.concatenate(renumbered).astype(np.int32), pd.Series(unique)


def retyped(part: pd.DataFrame, dtypes: Mapping[int, Any]) -> pd.DataFrame:
    """Return a frame with the dtypes of some columns replaced, by position: any name will do."""
    part = part.copy(deep=False)
    for i, dtype in dtypes.items():
        column: Any = part.iloc[:, i].astype(dtype)
        known = getattr(dtype, "categories", None)
        if known is not None and not known.equals(column.cat.categories):
            # To pandas, the same categories in another order are the same dtype.
            column = column.cat.set_categories(known)
        part.isetitem(i, column)
    return part


def join_frames(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join frames; of categories that differ, pandas would make text."""
    categories = {
        i: unify_categories(name, tuple(dict.fromkeys(p.dtypes.iloc[i] for p in parts)))
        for i, name in enumerate(parts[0].columns)
        if isinstance(parts[0].dtypes.iloc[i], pd.CategoricalDtype)
    }
    parts = [retyped(p, categories) for p in parts] if categories else parts
    return pd.concat(parts, ignore_index=True)
