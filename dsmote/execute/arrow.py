"""Rows of a class as Arrow tables, in which they travel, and what rows of all partitions share."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.execute.recipe import Rows
from dsmote.execute.rows import exact_of, join_levels, retyped

NO_IDS = np.empty(0, dtype=np.int64)


def lists(matrix: np.ndarray) -> pa.Array:
    """Return the rows of a matrix as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def listed(column: Any, width: int) -> np.ndarray:
    """Return the matrix of such a column."""
    joined = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(joined.flatten()).reshape(-1, width)


def batch_of(table: pa.Table) -> pa.RecordBatch:
    """Return a table as one batch."""
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def table_of(rows: Rows, **more: np.ndarray) -> pa.Table:
    """Return rows of a class as a table, with further columns."""
    columns: dict[str, Any] = {"number": rows.numbers}
    if rows.numeric.shape[1]:
        columns["x"] = lists(rows.numeric)
    if rows.codes.shape[1]:
        columns["c"] = lists(rows.codes)
    columns |= {f"i{place}": values for place, values in rows.integers.items()}
    if rows.weights is not None:
        columns["w"] = rows.weights
    if rows.group is not None:
        columns["g"] = rows.group
    if rows.passthrough is not None:
        columns |= arrays_of(rows.passthrough, "p")
    return pa.table(columns | more)


def rows_of(table: pa.Table, like: Rows) -> tuple[Rows, pa.Table]:
    """Return what `table_of` was made of; `like` has what belongs to all rows."""
    p, q = like.numeric.shape[1], like.codes.shape[1]
    n = len(table)
    x = listed(table["x"], p) if p else np.empty((n, 0))
    codes = listed(table["c"], q) if q else np.empty((n, 0), dtype=np.int32)
    integers = {j: table[f"i{j}"].to_numpy() for j in like.integers}
    weights = table["w"].to_numpy() if like.weights is not None else None
    group = table["g"].to_numpy() if like.group is not None else None
    passthrough = None
    if like.passthrough is not None:
        passthrough = frame_of(table, "p", like.passthrough)
    rows = replace(
        like,
        numeric=x,
        codes=codes,
        numbers=table["number"].to_numpy(),
        integers=integers,
        weights=weights,
        group=group,
        passthrough=passthrough,
    )
    return rows, table


def arrays_of(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    """Return the columns of a frame, whatever they are called and hold, as Arrow's."""
    return {f"{name}{j}": _array_of(column) for j, (_, column) in enumerate(frame.items())}


def frame_of(table: pa.Table, name: str, like: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns and dtypes of another."""
    columns = {
        j: pd.Series(_values_of(table[f"{name}{j}"], dtype), dtype=dtype)
        for j, dtype in enumerate(like.dtypes)
    }
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(table)))
    return frame.set_axis(like.columns, axis=1)


def _way(dtype: Any) -> str:
    """Say how values travel: as bits, as codes, as pandas says, or each as Python pickles it."""
    if isinstance(dtype, np.dtype):
        return "bits" if dtype.kind in "iufbMm" and dtype.itemsize <= 8 else "pickled"
    if isinstance(dtype, pd.CategoricalDtype):
        return "codes"
    # Arrow cannot replace the dictionary of a file, and knows no sparse columns.
    dictionary = isinstance(dtype, pd.ArrowDtype) and pa.types.is_dictionary(dtype.pyarrow_dtype)
    return "of pandas" if hasattr(dtype, "__from_arrow__") and not dictionary else "pickled"


def _array_of(column: pd.Series) -> Any:
    values, way = column.array, _way(column.dtype)
    if way == "bits":
        bits = column.to_numpy()
        return pa.array(bits.view(f"u{bits.itemsize}") if bits.dtype.kind != "b" else bits)
    if way == "codes":
        return pa.array(np.asarray(column.cat.codes, dtype=np.int32))
    if way == "of pandas":
        return pa.array(values)
    return pa.array([pickle.dumps(value) for value in values], pa.large_binary())


def _values_of(column: Any, dtype: Any) -> Any:
    way = _way(dtype)
    if way == "bits":
        bits = column.to_numpy()
        return bits if dtype.kind == "b" else bits.view(dtype)
    if way == "codes":
        return pd.Categorical.from_codes(column.to_numpy(), dtype=dtype)
    if way == "of pandas":
        return dtype.__from_arrow__(column)
    return [pickle.loads(value) for value in column.to_pylist()]


def as_of_class(rows: Rows, like: Rows) -> Rows:
    """Return some rows with levels, groups, dtypes and exact integers of the whole class."""
    codes = np.empty_like(rows.codes)
    for j, (known, own) in enumerate(zip(like.levels, rows.levels, strict=True)):
        here = [(np.arange(len(known)), known), (rows.codes[:, j], own.astype(known.dtype))]
        codes[:, j] = join_levels(here)[0][len(known) :]
    integers = {
        j: exact_of(rows, j, kind.dtype, like.units.get(j)) for j, kind in like.integers.items()
    }
    group = rows.group
    if group is not None and len(rows):
        group = numbered_groups([like, rows])[0][n_groups(like) :][group]
    passthrough = rows.passthrough
    if passthrough is not None and like.passthrough is not None:
        passthrough = retyped(passthrough, dict(enumerate(like.passthrough.dtypes)))
    common: dict[str, Any] = {
        "group": group,
        "group_levels": like.group_levels,
        "passthrough": passthrough,
        "limits": like.limits,
        "levels": like.levels,
        "categories": like.categories,
        "units": like.units,
    }
    return replace(rows, codes=codes, integers=integers, **common)


def concatenated(pieces: Sequence[Rows]) -> Rows:
    """Join rows that have the same levels."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]

    def joined(name: str) -> Any:
        return np.concatenate([getattr(piece, name) for piece in pieces])

    integers = {j: np.concatenate([piece.integers[j] for piece in pieces]) for j in first.integers}
    weights = None if first.weights is None else joined("weights")
    group = None if first.group is None else joined("group")
    frames = [piece.passthrough for piece in pieces if piece.passthrough is not None]
    return replace(
        first,
        numeric=joined("numeric"),
        codes=joined("codes"),
        numbers=joined("numbers"),
        integers=integers,
        weights=weights,
        group=group,
        passthrough=pd.concat(frames, ignore_index=True) if frames else None,
    )


def groups_of(rows: Rows) -> np.ndarray:
    """Return the group of each row; where there are no groups, all are of the first."""
    return np.zeros(len(rows), dtype=np.int32) if rows.group is None else rows.group


def n_groups(rows: Rows) -> int:
    """Return the number of groups; where there are none, all rows are one."""
    return 1 if rows.group_levels is None else len(rows.group_levels)


def numbered_groups(parts: Sequence[Rows]) -> tuple[np.ndarray, pd.Series]:
    """Return the numbers of the groups of parts, one after the other, and all of these groups."""
    levels = [part.group_levels for part in parts]
    return join_levels([(np.arange(len(of)), of) for of in levels if of is not None and len(of)])
