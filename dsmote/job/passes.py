"""Passes over some columns of a table, before anything is planned: the others are not read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
from dask.base import tokenize

from dsmote.execute.graph import freeze, over_all
from dsmote.job.parts import key_folders

__all__ = ["check_folders", "look_at", "rows_of"]


def look_at(
    frame: Any,
    columns: Sequence[str],
    look: Callable[[pd.DataFrame], list[Any]],
    joined: Callable[[Sequence[list[Any]]], list[Any]] | None = None,
) -> list[Any]:
    """Compute a list for each partition's columns, and join the lists in order, in one pass."""
    tasks, keys = freeze(frame[list(dict.fromkeys(columns))])
    if len(keys) != frame.npartitions:
        # Where Dask cuts by size, a frame of fewer columns has other partitions.
        tasks, keys = freeze(frame)
    name = f"look-{tokenize(frame, list(columns), look)}"
    found: list[Any] = over_all(tasks, ((key,) for key in keys), name, look, joined or _chained)
    return found


def _chained(some: Sequence[list[Any]]) -> list[Any]:
    return [one for several in some for one in several]


def rows_of(frame: Any) -> tuple[int, ...]:
    """Count the rows of each partition, in one pass."""
    return tuple(look_at(frame, list(frame.columns[:1]), _length))


def _length(part: pd.DataFrame) -> list[int]:
    return [len(part)]


def check_folders(frame: Any, columns: Sequence[str], few: bool) -> None:
    """Refuse values that name no folder, in one pass: before the work, and not after most of it.

    With `few`, a partition must not need more folders than a part may; where rows are left out,
    that is not known.
    """
    look_at(frame, columns, partial(_checked, columns=tuple(columns), few=few))


def _checked(part: pd.DataFrame, columns: tuple[str, ...], few: bool) -> list[None]:
    for _ in key_folders(part, columns, few):
        break  # all are named before the first is given
    return []
