"""New rows, as arrays, back into a pandas frame with the columns and dtypes of the output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.execute.recipe import Made
from dsmote.execute.rows import Rows, is_arrow_date
from dsmote.plan import Column, Schema

__all__ = ["as_floats", "decode", "filled", "repeated", "synthetic_index"]


def as_floats(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return float64 values as floats of a dtype; what it cannot hold ends at its largest.

    Only rows beyond their base, or moved by noise, can leave the range that their parents are in.
    """
    if dtype.itemsize < 8:
        largest = float(np.finfo(dtype).max)
        values = np.clip(values, -largest, largest)
    return values.astype(dtype, copy=False)


def _from_float(values: np.ndarray, column: Column) -> Any:
    """Return float64 values as a column of the schema's dtype."""
    dtype = column.dtype
    # A row beyond its base may leave 0..1, and the range of a dtype.
    if column.kind == "decimal":
        return _decimals(values, column)
    values = values > 0.5 if column.kind == "bool" else _held(values, _numpy_dtype(dtype))
    if isinstance(dtype, np.dtype):
        return values.astype(dtype, copy=False)
    if isinstance(dtype, pd.SparseDtype):
        return pd.Series(values).astype(dtype).array
    return pd.array(values, dtype=dtype)


def _decimals(values: np.ndarray, column: Column) -> Any:
    """Return numbers as decimals: float64 values rounded, whole ones in units of the last digit."""
    stored = column.dtype.pyarrow_dtype
    if values.dtype.kind == "i":
        most = min(10**stored.precision, 2**63) - 1
        values = values.clip(-most, most)
        words = np.stack([values, values >> 63], axis=1).astype("<i8")
        buffers = [None, pa.py_buffer(words.tobytes())]
        made = pa.Array.from_buffers(stored, len(values), buffers)
    else:
        # A row beyond its base may leave the range of the type.
        whole = stored.precision - stored.scale
        most = (
            np.nextafter(10.0**whole - 10.0**-stored.scale, 0.0)
            if whole > 0
            else (1.0 - 10.0**-stored.scale if whole == 0 else 10.0**whole)
        )
        made = pa.array(values.clip(-most, most)).cast(stored)
    return pd.array(made, dtype=column.dtype)


def _numpy_dtype(dtype: Any) -> np.dtype:
    """Return what holds the values of a column that has no nominal, bool or moments."""
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    held = dtype if isinstance(dtype, np.dtype) else dtype.numpy_dtype
    return held if held.kind in "fiu" else np.dtype("f8")


def _held(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return float64 values as numbers of a dtype; what it cannot hold ends at its edge."""
    if dtype.kind == "f":
        return as_floats(values, dtype)
    # float64 rounds the largest 64-bit whole numbers up, past what the dtype holds.
    info = np.iinfo(dtype)
    high = float(info.max) if info.bits < 64 else np.nextafter(float(info.max) + 1.0, 0.0)
    return np.clip(values, float(info.min), high).astype(dtype)


def _from_ticks(ticks: np.ndarray, column: Column) -> Any:
    dtype = column.dtype
    if is_arrow_date(dtype):
        made = pd.Series(ticks.view("M8[D]").astype("M8[s]"))
        return made.astype("timestamp[s][pyarrow]").astype(dtype).array
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


def _as_dtype(values: Any, dtype: Any) -> Any:
    return values if values.dtype == dtype else pd.Series(values).astype(dtype).array


def _taken(series: pd.Series, at: np.ndarray) -> Any:
    """Return some values; of objects in an extension array, pandas would make others."""
    return (series.to_numpy() if series.dtype == object else series.array).take(at)


def _missing(n: int, dtype: Any) -> Any:
    return pd.Series([None] * n, dtype=dtype).array


def repeated(label: Any, n: int, dtype: Any) -> Any:
    """Return an array that holds a label n times."""
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return np.full(n, label, dtype=dtype)
    return pd.Series([label], dtype=dtype).repeat(n).array


def filled(label: Any, n: int, dtype: np.dtype) -> np.ndarray:
    """Return a NumPy array that holds a label n times; a tuple is one label, too."""
    array = np.empty(n, dtype=dtype)
    array.fill(label)
    return array


def decode(
    schema: Schema,
    rows: Rows,
    made: Made,
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
    made : Made
        The new rows.
    label : object
        Value of the target column, when the schema has one.
    index : Index
        Index of the new rows.
    """
    dtype = schema.columns[0].dtype if schema.columns else None
    alike = all(c.kind == "float" and c.given is None and c.dtype == dtype for c in schema.columns)
    if alike and isinstance(dtype, np.dtype):
        names = pd.Index(schema.names)
        return pd.DataFrame(as_floats(made.numeric, dtype), index, names, copy=False)
    places = {i: place for place, i in enumerate(schema.numeric)}
    votes = {i: place for place, i in enumerate(schema.nominal)}
    columns: dict[int, Any] = {}
    for i, column in enumerate(schema.columns):
        values: Any
        if i in votes:
            values = _taken(rows.levels[votes[i]], made.codes[:, votes[i]])
            values = _as_dtype(values, _dtype_of(i, column, rows))
        elif i in places:
            place = places[i]
            if column.kind in ("datetime", "timedelta"):
                ticks = made.wide.get(place)
                if ticks is None:
                    ticks = made.numeric[:, place].astype(np.int64)
                values = _from_ticks(ticks, column)
            elif place in made.wide:
                exact = made.wide[place]
                values = (
                    _decimals(exact, column)
                    if column.kind == "decimal"
                    else exact.astype(column.dtype)
                    if isinstance(column.dtype, np.dtype)
                    else pd.array(exact, dtype=column.dtype)
                )
            else:
                values = _from_float(made.numeric[:, place], column)
            if column.given is not None:
                values = pd.Series(values).astype(column.given).array
        elif column.kind == "group":
            assert rows.group is not None and rows.group_levels is not None
            values = _taken(rows.group_levels, rows.group[made.bases])
            values = _as_dtype(values, _dtype_of(i, column, rows))
        elif column.kind == "copied":
            assert rows.beside is not None
            values = _taken(rows.beside[column.name], made.bases)
            values = _as_dtype(values, _dtype_of(i, column, rows))
        elif column.kind == "carried":
            values = _missing(len(index), _dtype_of(i, column, rows))
        else:
            values = repeated(label, len(index), _dtype_of(i, column, rows))
        plain = isinstance(values, np.ndarray) and values.dtype.kind in "iufb"
        as_is = object if values.dtype == object else None
        columns[i] = values if plain else pd.Series(values, index, as_is, copy=False)
    # This puts columns of one dtype into one block; many blocks slow down all that follows.
    frame = pd.DataFrame(columns, index=index)
    # Among texts, pandas would make NaN of None.
    kept = not schema.names or None in schema.names
    frame.columns = pd.Index(schema.names, dtype=object if kept else None)
    return frame


def synthetic_index(like: pd.Index, first: int, n: int) -> pd.Index:
    """Return the index of new rows.

    Parameters
    ----------
    like : Index
        An (empty) index of the input's kind.
    first : int
        Rows before the first new one: the originals and the new rows made before it.
    n : int
        New rows.

    Returns
    -------
    Index
        A numeric index goes on counting from the number of originals; any other kind is missing.
    """
    dtype = like.dtype
    if pd.api.types.is_bool_dtype(dtype) or not pd.api.types.is_numeric_dtype(dtype):
        if isinstance(like, pd.CategoricalIndex):
            return pd.CategoricalIndex([None] * n, dtype=dtype, name=like.name)
        return pd.Index([None] * n, dtype=dtype, name=like.name)
    if pd.api.types.is_integer_dtype(dtype) and first + n > 2 ** (
        8 * getattr(dtype, "itemsize", 8) - 1
    ):
        raise ValueError(
            f"the index has dtype {dtype}, which cannot number {first + n:,} rows; call "
            "reset_index(drop=True) first"
        )
    return pd.Index(np.arange(first, first + n), dtype=dtype, name=like.name)
