"""polars and Arrow: read as a frame of pandas; new rows are put after those of the input.

Nothing of the input goes to pandas and back: rows that stay are the library's own, bit for bit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def _plain(kind: pa.DataType) -> bool:
    """Tell types of which pandas keeps every value, missing ones included."""
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind)
    blob = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return text or blob or types.is_timestamp(kind) or types.is_duration(kind)


def _number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _of_polars(values: Any) -> bool:
    polars = sys.modules.get("polars")  # who has a frame of it has imported it
    return polars is not None and isinstance(values, polars.DataFrame | polars.Series)


def is_columnar(values: Any) -> bool:
    """Tell frames and series of polars, tables and arrays of Arrow."""
    return isinstance(values, pa.Table | pa.ChunkedArray | pa.Array) or _of_polars(values)


def column_names(table: Any) -> list[Any] | None:
    """Return the names of a table's columns; None of what has none."""
    if isinstance(table, pa.Table):
        return list(table.column_names)
    of_polars = type(table).__module__.startswith("polars")
    if isinstance(table, pa.ChunkedArray | pa.Array) or (of_polars and not _of_polars(table)):
        return None  # a LazyFrame warns when it is asked for its columns
    columns = getattr(table, "columns", None)
    return None if columns is None else list(columns)


def _arrow(values: Any) -> list[pa.ChunkedArray]:
    """Return the columns of a table, or the one of a series, as Arrow's."""
    if isinstance(values, pa.Table):
        return list(values.columns)
    if isinstance(values, pa.ChunkedArray):
        return [values]
    if isinstance(values, pa.Array):
        return [pa.chunked_array([values])]
    polars = sys.modules["polars"]
    found = []
    for series in values.get_columns() if isinstance(values, polars.DataFrame) else [values]:
        try:
            if series.dtype == polars.Object:
                raise TypeError("objects are pointers there")
            array = series.to_arrow(compat_level=polars.CompatLevel.oldest())
        except Exception as error:  # polars' own, or Arrow's: types that the other has not
            raise TypeError(
                f"column {series.name!r} has the polars dtype {series.dtype}, for which Arrow has "
                "no type; cast it to another one, or drop the column"
            ) from error
        found.append(pa.chunked_array([array]))
    return found


def as_pandas(values: Any) -> Any:
    """Return a frame or series of pandas with the same values; what is not columnar, as it is."""
    if not is_columnar(values):
        return values
    columns, names = _arrow(values), column_names(values)
    for i, column in enumerate(columns):
        _check(column, getattr(values, "name", "y") if names is None else names[i])
    columns = [_series(column) for column in columns]
    if names is None:
        return columns[0].rename(getattr(values, "name", None) or None)
    frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(len(values)), copy=False)
    frame.columns = pd.Index(names)
    return frame


def _check(column: pa.ChunkedArray, name: Any) -> None:
    """Refuse a type of which Arrow cannot take rows, such as runs, or lists of views."""
    if not (pa.types.is_nested(column.type) or pa.types.is_run_end_encoded(column.type)):
        return
    try:
        column[:1].take(pa.array(np.arange(min(1, len(column)))))
    except pa.ArrowNotImplementedError as error:
        raise TypeError(
            f"column {name!r} has the Arrow type {column.type}, of which Arrow takes no rows; cast "
            "it to another one, or drop the column"
        ) from error


def _series(column: pa.ChunkedArray) -> pd.Series:
    """Return a column in the dtype that dsmote reads exactly: what can be missing, is."""
    kind, types = column.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _series(_storage(column))
    if types.is_dictionary(kind):
        codes, dtype = _coded(column)
        return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))
    if types.is_decimal(kind) and kind.bit_width < 128:
        column = column.cast(pa.decimal128(kind.precision, kind.scale))
    column = _without_views(column)
    # Numbers without null are NumPy's; NaN and null stay two things.
    if _plain(column.type) or (_number(kind) and not column.null_count):
        return column.to_pandas()
    return pd.Series(pd.arrays.ArrowExtensionArray(column))


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([c.storage for c in column.chunks], column.type.storage_type)


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, pd.CategoricalDtype]:
    """Return the codes of a dictionary column, -1 where it is null, and its categories."""
    levels = _levels(column)
    codes = pc.index_in(_decoded(column), value_set=levels, skip_nulls=True)
    codes = codes.fill_null(-1).to_numpy().astype(np.int32)
    return codes, pd.CategoricalDtype(_series(pa.chunked_array([levels])), column.type.ordered)


def _levels(column: pa.ChunkedArray) -> pa.Array:
    """Return the levels of all chunks of a dictionary column, each once, without null."""
    found = [_without_views(chunk.dictionary) for chunk in column.chunks]
    kind = found[0].type if found else column.type.value_type
    return pa.chunked_array(found, kind).unique().drop_null()


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = [_without_views(chunk.dictionary).take(chunk.indices) for chunk in column.chunks]
    return pa.chunked_array(chunks, chunks[0].type if chunks else column.type.value_type)


def _without_views(values: Any) -> Any:
    """Return text or bytes that are views, which Arrow compares and takes nowhere, as others."""
    name, _, view = str(values.type).partition("_")
    return values.cast(getattr(pa, f"large_{name}")()) if view == "view" else values


def take(values: Any, rows: np.ndarray) -> Any:
    """Return some rows, as the same kind."""
    if _of_polars(values):
        return values[rows]
    at = pa.array(rows)
    if isinstance(values, pa.Table):
        columns = [take(column, rows) for column in values.columns]
        return pa.Table.from_arrays(columns, schema=values.schema)
    plain = _without_views(values)
    return plain.take(at) if plain is values else plain.take(at).cast(values.type)


def extended(values: Any, new: Sequence[Any], carried: Sequence[int] = ()) -> Any:
    """Return a table or series with rows of pandas after its own, in its own types.

    In columns at the positions `carried` the new rows have no value.
    """
    joined = pd.concat(new, ignore_index=True) if new else as_pandas(values)[:0]
    frame = joined if isinstance(joined, pd.DataFrame) else joined.to_frame()
    arrays = [
        pa.nulls(len(frame), column.type) if i in carried else _array(frame.iloc[:, i], column)
        for i, column in enumerate(_likes(values))
    ]
    if _of_polars(values):
        return _polars_joined(values, arrays)
    if isinstance(values, pa.Table):
        for i in carried:
            values = values.set_column(i, values.field(i).with_nullable(True), values.column(i))
        return pa.concat_tables([values, pa.Table.from_arrays(arrays, schema=values.schema)])
    if isinstance(values, pa.ChunkedArray):
        return pa.chunked_array([*values.chunks, *arrays], values.type)
    return pa.concat_arrays([values, *arrays])


def _likes(values: Any) -> list[pa.ChunkedArray]:
    """Return columns of the types, and with the levels, that new rows are to have.

    polars has the levels itself, and is given text.
    """
    if not _of_polars(values):
        return _arrow(values)
    columns = _arrow(values[:0])
    return [_decoded(c) if pa.types.is_dictionary(c.type) else c for c in columns]


def _polars_joined(values: Any, arrays: list[Any]) -> Any:
    polars = sys.modules["polars"]
    whole = isinstance(values, polars.DataFrame)
    columns = []
    for array, series in zip(arrays, values.get_columns() if whole else [values], strict=True):
        columns.append(polars.Series(series.name, array).cast(series.dtype))
    return polars.concat([values, polars.DataFrame(columns) if whole else columns[0]])


def _array(series: pd.Series, like: pa.ChunkedArray) -> Any:
    """Return a series of pandas as an array of the type of a column, with its levels."""
    kind = like.type
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(_array(series, _storage(like)))
    coded = pa.types.is_dictionary(kind)
    value_type = kind.value_type if coded else kind
    # NaN of a feature stays NaN; elsewhere pandas has it for what is missing.
    missing = not (isinstance(series.dtype, np.dtype) and series.dtype.kind == "f")
    as_is = value_type if series.dtype == object else None
    made = pa.array(series, type=as_is, from_pandas=missing)
    if isinstance(made, pa.ChunkedArray):
        made = made.combine_chunks()
    if pa.types.is_dictionary(made.type):
        made = made.dictionary_decode()
    if not coded:
        return made.cast(value_type)
    levels = _levels(like)
    codes = pc.index_in(made.cast(levels.type), value_set=levels, skip_nulls=True)
    return pa.DictionaryArray.from_arrays(
        codes.cast(kind.index_type), levels.cast(value_type), ordered=kind.ordered
    )


def of_kind(values: Any, made: pd.Series) -> Any:
    """Return a series of pandas as the kind of another, with the types that Arrow has for it."""
    array = pa.array(made, from_pandas=True)
    if _of_polars(values):
        return sys.modules["polars"].Series(values.name, array)
    return array if isinstance(values, pa.Array) else pa.chunked_array([array])


def with_columns(table: Any, more: pd.DataFrame, like: Mapping[str, int] | None = None) -> Any:
    """Return a table with further columns; some have the type of the table's at a position."""
    columns, places = _likes(table), like or {}
    for name, series in more.items():
        i = places.get(str(name))
        array = pa.array(series, from_pandas=True) if i is None else _array(series, columns[i])
        if isinstance(table, pa.Table):
            table = table.append_column(str(name), array)
            continue
        made = sys.modules["polars"].Series(str(name), array)
        if i is not None:
            made = made.cast(table.dtypes[i])
        table = table.with_columns(made)
    return table
