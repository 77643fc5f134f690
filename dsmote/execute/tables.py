"""Which kind of table it is: in memory or on Dask."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dask.base import is_dask_collection

from dsmote.execute.arrays import check_container
from dsmote.execute.dask_table import DaskTable
from dsmote.execute.memory_table import MemoryTable
from dsmote.plan.labels import listed
from dsmote.plan.schema import column_name

__all__ = ["Table", "read_frame", "read_pair"]

Table = MemoryTable | DaskTable


def _kind(value: Any) -> str:
    return f"{type(value).__module__.split('.')[0]} {type(value).__name__}"


def read_pair(X: Any, y: Any, beside: dict[str, Any] | None = None) -> Table:
    """Take features and target in; `beside` holds weights and groups, where there are any.

    Raises
    ------
    TypeError
        One is a Dask collection and the other is not, or one is neither NumPy, pandas nor Dask.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    for name, values in {"X": X, "y": y, **(beside or {})}.items():
        check_container(values, name)
    lazy = is_dask_collection(X), is_dask_collection(y)
    for name, values in (beside or {}).items():
        if lazy[0] == lazy[1] != is_dask_collection(values):
            there, here = ("a Dask collection", "in memory")[:: 1 if lazy[0] else -1]
            raise TypeError(
                f"X is {there} ({_kind(X)}), but {name} is {here} ({_kind(values)}); give both in "
                "the same way"
            )
    if lazy == (True, True):
        return DaskTable(X, y, beside=beside)
    if lazy == (False, False):
        return MemoryTable(X, y, beside=beside)
    outside, inside = ("X", "y") if lazy[0] else ("y", "X")
    raise TypeError(
        f"{outside} is a Dask collection ({_kind(X if lazy[0] else y)}), but {inside} is in memory "
        f"({_kind(y if lazy[0] else X)}); compute {outside}, or turn {inside} into a Dask "
        "collection with the same partitions"
    )


def read_frame(frame: Any, target: Any, beside: dict[str, Any] | None = None) -> Table:
    """Take a table in whose target is one of its columns.

    Raises
    ------
    TypeError
        Not a pandas or Dask DataFrame.
    ValueError
        No such column.
    """
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
        return DaskTable(frame, target=target, beside=beside)
    return MemoryTable(frame, target=target, beside=beside)
