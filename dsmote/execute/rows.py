"""The rows of one class as arrays: out of a pandas frame, and joined over partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from dsmote.plan import Schema
from dsmote.plan.profile import unify_categories

__all__ = [
    "Rows",
    "check_levels",
    "complete",
    "encode",
    "factorized",
    "is_arrow_date",
    "join",
    "numeric_values",
]

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
    numbers : ndarray of int64, shape (n,)
        Which rows of the table they are, counted from 0.
    weights : ndarray of float64, shape (n,), or None
        Sample weights.
    group : ndarray of int32, shape (n,), or None
        Codes of the groups, into `group_levels`.
    group_levels : Series or None
        The groups that occur.
    beside : DataFrame or None
        Columns that are not measured but wanted: carried ones, or all where rows are copied.
    """

    numeric: np.ndarray
    wide: dict[int, np.ndarray]
    codes: np.ndarray
    levels: tuple[pd.Series, ...]
    categories: dict[int, pd.CategoricalDtype]
    numbers: np.ndarray
    weights: np.ndarray | None = None
    group: np.ndarray | None = None
    group_levels: pd.Series | None = None
    beside: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def moved(self, by: int) -> Rows:
        """Return the rows as those of a table with so many rows before them."""
        return replace(self, numbers=self.numbers + by) if by else self


def _dense(series: pd.Series) -> pd.Series:
    return (
        cast(Any, series).sparse.to_dense() if isinstance(series.dtype, pd.SparseDtype) else series
    )


def is_arrow_date(dtype: Any) -> bool:
    """Tell whether a dtype is one of Arrow's dates, which are days without a time.

    Examples
    --------
    >>> is_arrow_date(pd.api.types.pandas_dtype("date32[day][pyarrow]"))
    True
    """
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


def encode(frame: pd.DataFrame, schema: Schema, numbers: np.ndarray) -> Rows:
    """Turn rows of a frame, complete ones, into arrays.

    Parameters
    ----------
    frame : DataFrame
        Rows of one class in one partition, columns as in `schema`.
    schema : Schema
        The roles of the columns.
    numbers : ndarray of int64, shape (n,)
        Which rows of the partition they are.
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
        codes[:, place], unique = factorized(frame.iloc[:, i])
        levels.append(unique)
    categories = {
        i: frame.dtypes.iloc[i]
        for i in range(frame.shape[1])
        if isinstance(frame.dtypes.iloc[i], pd.CategoricalDtype)
    }
    return Rows(numeric, _needed(wide), codes, tuple(levels), categories, numbers)


def factorized(series: pd.Series) -> tuple[np.ndarray, pd.Series]:
    """Return codes and the levels that occur, in order of appearance; missing is a level.

    Raises
    ------
    TypeError
        Values that cannot be levels, such as lists.
    """
    series = _dense(series)
    try:
        codes, unique = pd.factorize(series, use_na_sentinel=False)
    except TypeError as error:
        raise TypeError(_not_levels(series.name, error)) from error
    return codes.astype(np.int32), pd.Series(unique, name=series.name)


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
    codes = np.empty((len(numeric), len(schema.nominal)), dtype=np.int32)
    levels = []
    for place, i in enumerate(schema.nominal):
        of = [(p.codes[:, place], p.levels[place]) for p in filled]
        codes[:, place], unique = _joined_levels(of, categories.get(i))
        levels.append(unique.rename(schema.columns[i].name))
    made = Rows(
        numeric,
        wide,
        codes,
        tuple(levels),
        categories,
        np.concatenate([p.numbers for p in filled]),
    )
    return _with_companions(made, filled)


def _joined_levels(
    parts: Sequence[tuple[np.ndarray, pd.Series]], dtype: pd.CategoricalDtype | None = None
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


def _with_companions(made: Rows, filled: Sequence[Rows]) -> Rows:
    """Join what else rows have: weights, groups, columns that are not measured."""
    first = filled[0]
    if first.weights is not None:
        made = replace(made, weights=np.concatenate([_present(p.weights) for p in filled]))
    if first.group is not None:
        of = [(_present(p.group), _present(p.group_levels)) for p in filled]
        codes, levels = _joined_levels(of)
        made = replace(made, group=codes, group_levels=levels)
    if first.beside is not None:
        beside = pd.concat([_present(p.beside) for p in filled], ignore_index=True)
        made = replace(made, beside=beside)
    return made


def _present(value: Any) -> Any:
    assert value is not None
    return value
