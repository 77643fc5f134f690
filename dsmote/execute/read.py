"""Which kind of table it is that a user gives: in memory, sparse or on Dask."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dask.base import is_dask_collection
from scipy.sparse import issparse

from dsmote.execute.columnar import column_names, is_columnar
from dsmote.execute.dask_table import DaskTable
from dsmote.execute.tables import MemoryTable, check_container, is_plain, kind_of
from dsmote.plan.labels import listed
from dsmote.plan.schema import column_name

Table = MemoryTable | DaskTable


def read_pair(X: Any, y: Any, companions: dict[str, Any] | None = None) -> Table:
    """Take features and target in; `companions` holds weights and groups, where there are any."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    if is_plain(X, 2) and is_plain(y, 1) and not companions:
        return MemoryTable(X, y)
    given = {"X": X, "y": y, **(companions or {})}
    for name, values in given.items():
        check_container(values, name)
    lazy = {name: is_dask_collection(values) for name, values in given.items()}
    for name in given:
        if lazy[name] != lazy["X"]:
            outside, inside = ("X", name) if lazy["X"] else (name, "X")
            raise TypeError(
                f"{outside} is a Dask collection ({kind_of(given[outside])}), but {inside} is in "
                f"memory ({kind_of(given[inside])}); compute {outside}, or turn {inside} into a "
                "Dask collection with the same partitions"
            )
    if issparse(X):
        from dsmote.execute.sparse import SparseTable  # most tables do without

        return SparseTable(X, y, companions=companions)
    return (DaskTable if lazy["X"] else MemoryTable)(X, y, companions=companions)


def read_frame(frame: Any, target: Any, companions: dict[str, Any] | None = None) -> Table:
    """Take a table in whose target is one of its columns."""
    columns = column_names(frame)
    if columns is not None or hasattr(frame, "collect") or hasattr(frame, "__arrow_c_stream__"):
        check_container(frame, "frame")
    known = isinstance(frame, pd.DataFrame) or is_dask_collection(frame) or is_columnar(frame)
    if columns is None or not known:
        raise TypeError(
            f"resample and plan with target= take a DataFrame of pandas, polars or Dask, or an "
            f"Arrow table, but got {kind_of(frame)}; for arrays call fit_resample(X, y)"
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
    kind = DaskTable if is_dask_collection(frame) else MemoryTable
    return kind(frame, target=target, companions=companions)
