"""Cleaning methods on Dask: the tasks from all rows to those that stay (see `execute.clean`)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from dask.base import tokenize

from dsmote.execute.clean import (
    Cleaning,
    Kept,
    Moved,
    decide,
    join_rows,
    removed_column,
    take_rows,
    with_moved,
)
from dsmote.execute.clean_cells import add_cells, clean_cells
from dsmote.execute.clean_gather import add_gather
from dsmote.execute.generate import with_provenance
from dsmote.execute.graph import add_each, collect, lazily, stand_for, tree, with_one_thread
from dsmote.execute.partition import taken
from dsmote.plan import Schema


def _joined_rows(parts: Sequence[Any], *, task: Cleaning) -> Any:
    return with_one_thread(join_rows, parts, task)


def _decided(parts: Sequence[Any], *, task: Cleaning) -> Kept:
    return with_one_thread(decide, parts, task)


def _mask(decided: Kept, place: int) -> np.ndarray:
    return decided.mask(place)


def _kept(part: Any, stays: np.ndarray, *, name: str, schema: Schema) -> Any:
    if len(part) != len(stays):
        raise ValueError(
            f"a partition of {name} has {len(part):,} rows, and {len(stays):,} when it was read "
            "before; data that change between two reads cannot be resampled: write them to files, "
            "or call persist(), before"
        )
    return taken(part, stays, name, schema)


def _kept_and_moved(
    part: Any, stays: np.ndarray, moved: Moved, *, schema: Schema, of: Schema
) -> Any:
    kept = _kept(part, stays, name="X", schema=schema)
    return with_moved(kept, moved, of) if len(moved.rows) else kept


def _moved(decided: Kept, place: int) -> Moved:
    return decided.moved_in(place)


def _marked(part: Any, stays: np.ndarray) -> Any:
    return with_provenance(part, removed_column(stays, part.index))


def _removed(stays: np.ndarray) -> pd.DataFrame:
    return removed_column(stays, pd.RangeIndex(len(stays)))


def _as_it_is(part: Any) -> Any:
    return part


def cleaned(table: Any, task: Cleaning) -> Any:
    """Return the rows that stay by a rule, or all with a column that says so, lazily."""
    inputs = table._inputs()
    token = tokenize(table._X, table._y, table.companions, task)
    tasks, cells = dict(inputs.graph), None
    if task.plan.all_rows is not None:
        token = uuid.uuid4().hex  # a result is of its own scratch files
        cells = clean_cells(task, table.npartitions, token)
        decided = add_cells(tasks, inputs.rows(), token, cells)
    elif task.plan.travelling:
        decided = add_gather(tasks, inputs, token, task)
    else:
        take = partial(with_one_thread, partial(take_rows, task=task))
        level = add_each(tasks, f"rows-{token}", take, inputs.rows())
        joined, last = partial(_joined_rows, task=task), partial(_decided, task=task)
        decided = tree(tasks, level, f"decide-{token}", joined, last)
    # Small, so that those who wait for it need not be sent what was decided of all rows.
    tasks[f"ready-{token}"] = (stand_for, decided)
    second = inputs.again(f"again-{token}", f"ready-{token}")
    tasks |= second.graph
    masks = add_each(
        tasks, f"mask-{token}", _mask, ((decided, i) for i in range(table.npartitions))
    )
    schema, marks = table._as_is(), task.provenance is not None
    moved: list[Any] = []
    if task.rule.moves:
        each = ((decided, i) for i in range(table.npartitions))
        moved = add_each(tasks, f"moved-{token}", _moved, each)

    def keep(name: str, place: int, key: Any) -> tuple[Any, ...]:
        if moved and name == "X":
            work = partial(_kept_and_moved, schema=schema, of=task.schema)
            return work, key, masks[place], moved[place]
        if not marks:
            return partial(_kept, name=name, schema=schema), key, masks[place]
        marked = name == "X" and table.is_frame
        return (_marked, key, masks[place]) if marked else (_as_it_is, key)

    table.report = lazily(tasks, f"found-{token}", attrgetter("found"), decided)
    table.counts_after = lazily(tasks, f"counts-{token}", attrgetter("counts"), decided)
    if marks and not table.is_frame:
        rows = zip(masks, strict=True)
        outputs = add_each(tasks, f"removed-{token}", _removed, rows)
        like = removed_column(np.empty(0, dtype=bool), pd.RangeIndex(0))
        table.provenance = collect(like, dict(tasks), outputs, f"provenance-{token}", ())
    like = table._meta
    if marks and table.is_frame:
        like = with_provenance(like, removed_column(np.empty(0, dtype=bool), like.index))
    made = table._filtered(second, tasks, token, keep, like=like)
    if cells is not None:
        cells.exchange.forget_with(made[0] if isinstance(made, tuple) else made)
    return made
