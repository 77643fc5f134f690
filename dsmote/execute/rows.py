"""The rows of one class as arrays: out of a pandas frame, joined, and back into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from dsmote.plan import Column, Schema
from dsmote.plan.profile import unify_categories

__all__ = ["Rows", "check_levels", "complete", "decode", "encode", "join", "numeric_values"]

_EXACT = 2**53  # whole numbers up to here are exact in float64


@dataclass(frozen=True)
class Rows:
    """Rows of one class.

    Attributes
    ----------
    numeric : ndarray of float64, shape (n, p)
        The measured numeric columns.
    wide : mapping of place among the numeric columns to ndarray of int64 or uint64, shape (n,)
        Columns of whole numbers with values that float64 cannot hold.
    codes : ndarray of int32, shape (n, q)
        The nominal columns, as codes into `levels`.
    levels : tuple of Series
        The values of each nominal column that occur.
    categories : mapping of column position to CategoricalDtype
        The dtypes of the categorical columns met, nominal, carried or target.
    """

    numeric: np.ndarray
    wide: dict[int, np.ndarray]
    codes: np.ndarray
    levels: tuple[pd.Series, ...]
    categories: dict[int, pd.CategoricalDtype]

    def __len__(self) -> int:
        return len(self.codes)


def _dense(series: pd.Series) -> pd.Series:
    return (
        cast(Any, series).sparse.to_dense() if isinstance(series.dtype, pd.SparseDtype) else series
    )


def _ticks(series: pd.Series) -> np.ndarray:
    """Return datetimes or timedeltas as int64 in their own unit; missing is the smallest int."""
    if isinstance(series.dtype, pd.ArrowDtype):
        series = pd.Series(series.array.__array__())
    values = series.array
    unit = getattr(values, "asi8", None)
    return np.asarray(unit if unit is not None else series.to_numpy().view("i8"))


def numeric_values(series: pd.Series, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a measured column as float64 (missing is nan) and, for 64-bit wholes, exactly.

    Raises
    ------
    TypeError
        A value that is not a number.
    """
    series = _dense(series)
    if kind in ("datetime", "timedelta"):
        ticks = _ticks(series)
        values = ticks.astype(np.float64)
        values[ticks == np.iinfo(np.int64).min] = np.nan
        return values, ticks
    exact = None
    if kind == "int" and getattr(series.dtype, "itemsize", 0) == 8:
        whole = np.uint64 if pd.api.types.is_unsigned_integer_dtype(series.dtype) else np.int64
        if isinstance(series.dtype, np.dtype):
            exact = series.to_numpy()
        else:
            exact = series.to_numpy(dtype=whole, na_value=0)
    if isinstance(series.dtype, np.dtype):
        try:
            return series.to_numpy(dtype=np.float64), exact
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"column {series.name!r} is measured, but holds a value that is not a number: "
                f"{error}; name it in categorical_features or in carry"
            ) from error
    return series.to_numpy(dtype=np.float64, na_value=np.nan), exact


def complete(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Tell which rows have a finite value in every measured numeric column."""
    good = np.ones(len(frame), dtype=bool)
    for i in schema.numeric:
        column = schema.columns[i]
        if column.kind in ("int", "bool") and isinstance(column.dtype, np.dtype):
            continue
        good &= np.isfinite(numeric_values(frame.iloc[:, i], column.kind)[0])
    return good


def encode(frame: pd.DataFrame, schema: Schema) -> Rows:
    """Turn rows of a frame, complete ones, into arrays.

    Parameters
    ----------
    frame : DataFrame
        Rows of one class in one partition, columns as in `schema`.
    schema : Schema
        The roles of the columns.
    """
    numeric = np.empty((len(frame), len(schema.numeric)), order="C")
    wide = {}
    for place, i in enumerate(schema.numeric):
        values, exact = numeric_values(frame.iloc[:, i], schema.columns[i].kind)
        numeric[:, place] = values
        if exact is not None:
            wide[place] = exact
    codes = np.empty((len(frame), len(schema.nominal)), dtype=np.int32)
    levels = []
    for place, i in enumerate(schema.nominal):
        series = _dense(frame.iloc[:, i])
        try:
            found, unique = pd.factorize(series, use_na_sentinel=False)
        except TypeError as error:
            raise TypeError(_not_levels(series.name, error)) from error
        codes[:, place] = found
        levels.append(pd.Series(unique, name=series.name))
    categories = {
        i: frame.dtypes.iloc[i]
        for i in range(frame.shape[1])
        if isinstance(frame.dtypes.iloc[i], pd.CategoricalDtype)
    }
    return Rows(numeric, _needed(wide), codes, tuple(levels), categories)


def _not_levels(name: Any, error: TypeError) -> str:
    return (
        f"column {name!r} holds values that cannot be levels of a nominal column ({error}); "
        "convert it to text or numbers, or name it in carry"
    )


def check_levels(frame: pd.DataFrame, schema: Schema) -> None:
    """Refuse nominal columns whose (first) values are lists or the like, before work is done."""
    for i in schema.nominal:
        if pd.api.types.is_object_dtype(frame.dtypes.iloc[i]):
            try:
                pd.factorize(frame.iloc[:100, i])
            except TypeError as error:
                raise TypeError(_not_levels(frame.columns[i], error)) from error


def _needed(wide: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Keep the exact copies only where float64 would lose something."""
    return {
        place: exact
        for place, exact in wide.items()
        if len(exact) and (int(exact.max()) > _EXACT or int(exact.min()) < -_EXACT)
    }


def join(parts: Sequence[Rows], schema: Schema) -> Rows:
    """Join the rows of partitions, in order, onto one set of levels."""
    categories = {
        i: unify_categories(
            schema.columns[i].name,
            tuple(dict.fromkeys(p.categories[i] for p in parts if i in p.categories)),
        )
        for i in {i for p in parts for i in p.categories}
    }
    if len(parts) == 1:
        return replace(parts[0], categories=categories)
    filled = [p for p in parts if len(p)] or list(parts[:1])
    numeric = np.concatenate([p.numeric for p in filled])
    wide = {
        place: np.concatenate(
            [p.wide[place] if place in p.wide else p.numeric[:, place].astype(kind) for p in filled]
        )
        for place, kind in {j: w.dtype for p in filled for j, w in p.wide.items()}.items()
    }
    codes = np.concatenate([p.codes for p in filled])
    levels = []
    for place, i in enumerate(schema.nominal):
        own = [p.levels[place] for p in filled]
        if i in categories:
            own = [level.astype(categories[i]) for level in own]
        # Levels are few beside rows: number them over all partitions, then renumber the codes.
        number, unique = pd.factorize(pd.concat(own, ignore_index=True), use_na_sentinel=False)
        codes[:, place] = np.concatenate(
            [
                part[p.codes[:, place]]
                for part, p in zip(
                    np.split(number, np.cumsum([len(o) for o in own])[:-1]), filled, strict=True
                )
            ]
        )
        levels.append(pd.Series(unique, name=schema.columns[i].name))
    return Rows(numeric, wide, codes, tuple(levels), categories)


def _from_float(values: np.ndarray, column: Column) -> Any:
    """Return float64 values as a column of the schema's dtype."""
    dtype = column.dtype
    sparse = isinstance(dtype, pd.SparseDtype)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        if dtype.kind in "iu":
            # float64 rounds the largest 64-bit whole numbers up, past what the dtype holds.
            info = np.iinfo(dtype)
            low, high = float(info.min), np.nextafter(float(info.max) + 1.0, 0.0)
            values = np.clip(values, low, min(high, float(info.max)) if info.bits < 64 else high)
        return values.astype(dtype)
    if sparse:
        return pd.Series(values).astype(dtype.subtype).astype(dtype).array
    if column.kind == "bool":
        return pd.array(values.astype(bool), dtype=dtype)
    if column.kind == "int":
        return pd.array(values.astype(np.int64), dtype=dtype)
    return pd.array(values, dtype=dtype)


def _from_ticks(ticks: np.ndarray, column: Column) -> Any:
    dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype):
        unit = dtype.pyarrow_dtype.unit
        letter = "M8" if column.kind == "datetime" else "m8"
        made = pd.Series(ticks.view(f"{letter}[{unit}]"))
        if column.kind == "datetime" and dtype.pyarrow_dtype.tz:
            made = made.dt.tz_localize("UTC")
        return made.astype(dtype).array
    if isinstance(dtype, pd.DatetimeTZDtype):
        moments = pd.DatetimeIndex(ticks.view(f"M8[{dtype.unit}]"))
        return moments.tz_localize("UTC").tz_convert(dtype.tz).array
    return ticks.view(dtype)


def _dtype_of(i: int, column: Column, rows: Rows) -> Any:
    """Return a column's dtype; one of categories that travel with the rows, from there."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) and dtype.categories is None:
        return rows.categories.get(i, dtype)
    return dtype


def _missing(n: int, dtype: Any) -> Any:
    return pd.Series([None] * n, dtype=dtype).array


def repeated(label: Any, n: int, dtype: Any) -> Any:
    """Return an array that holds a label n times."""
    return pd.Series([label], dtype=dtype).repeat(n).array


def decode(
    schema: Schema,
    rows: Rows,
    numeric: np.ndarray,
    wide: dict[int, np.ndarray],
    codes: np.ndarray,
    label: Any,
    index: pd.Index,
) -> pd.DataFrame:
    """Turn new rows, as arrays, into a frame with the columns of the schema.

    Parameters
    ----------
    schema : Schema
        Columns and dtypes of the output.
    rows : Rows
        The class's rows, for levels and categories.
    numeric, wide, codes
        The new rows, shaped as in `rows`.
    label : object
        Value of the target column, when the schema has one.
    index : Index
        Index of the new rows.
    """
    places = {i: place for place, i in enumerate(schema.numeric)}
    votes = {i: place for place, i in enumerate(schema.nominal)}
    series: list[Any] = []
    for i, column in enumerate(schema.columns):
        values: Any
        if i in votes:
            values = rows.levels[votes[i]].array.take(codes[:, votes[i]])
            dtype = _dtype_of(i, column, rows)
            if values.dtype != dtype:
                values = pd.Series(values).astype(dtype).array
        elif i in places:
            place = places[i]
            if column.kind in ("datetime", "timedelta"):
                ticks = wide[place] if place in wide else numeric[:, place].astype(np.int64)
                values = _from_ticks(ticks, column)
            elif place in wide:
                exact = wide[place]
                values = (
                    exact.astype(column.dtype)
                    if isinstance(column.dtype, np.dtype)
                    else pd.array(exact, dtype=column.dtype)
                )
            else:
                values = _from_float(numeric[:, place], column)
        elif column.kind == "carried":
            values = _missing(len(index), _dtype_of(i, column, rows))
        else:
            values = repeated(label, len(index), _dtype_of(i, column, rows))
        series.append(pd.Series(values, index=index, copy=False))
    # The copy puts columns of one dtype into one block; many blocks slow down all that follows.
    frame = pd.concat(series, axis=1).copy() if series else pd.DataFrame(index=index)
    frame.columns = pd.Index(schema.names, dtype=object if not schema.names else None)
    return frame
