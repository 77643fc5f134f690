"""How all rows are compared by cleaning methods: the route, what it takes.

::

    broadcast   all rows in one worker
    gather      few rows travel to every partition: one side of each question of the rule is few
    cells       all rows are cut into cells of near rows, in scratch files
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dsmote.plan.memory import (
    BALLS,
    CELL_NEW_ROWS,
    STEP_ROWS,
    ClassMemory,
    Limit,
    Needs,
    class_memory,
    format_bytes,
    project,
)
from dsmote.plan.plan import CELL_ROWS, LEAST_CELL, ClassPlan, Plan, row_count, sized
from dsmote.plan.schema import Schema
from dsmote.plan.strategy import Counts
from dsmote.plan.work import gather_seconds

SAMPLE = 1 << 15  # rows that tell how far the nearest are at most; as many as the few, if more
MERGED = 8  # answers of partitions that are merged at once: each may be large
_DECIDING = 16  # bytes of a row: its class, whether it stays, its number

Projected = Callable[[Sequence[ClassMemory]], tuple[Any, list[str]]]


def sample_step(plan: Plan, few: frozenset[int]) -> int:
    """Return of how many rows one is sampled, where rows of few classes travel."""
    rows = sum(c.before for c in plan.classes if c.rank in few)
    return max(1, plan.n_before // max(SAMPLE, rows))


def _gathered(
    n: int,
    whole: ClassMemory,
    needs: Needs,
    columns: tuple[int, int, int],
    partition_rows: int,
    row_bytes: int,
) -> ClassMemory:
    """Project the bytes where few rows travel to all partitions."""
    few, k, width = needs.few, max(1, needs.k, needs.told), 8 * columns[0] + 24
    # Rows that are known: the few, the sample, and those that were found.
    asked = 0 if needs.all_ask else few * k
    known = (few + max(SAMPLE, few) + asked) * width
    of_few = class_memory(None, few, *columns, min(partition_rows, STEP_ROWS), row_bytes, needs)
    steps = min(few, STEP_ROWS)
    part = class_memory(None, partition_rows, *columns, steps, row_bytes, needs)
    # Lists of neighbours as they are found and merged, and the rows in them.
    lists = asked * (120 + width)
    task = max(part.build, part.index + part.generate) + lists
    task = max(task, part.index + of_few.generate + partition_rows * (80 * k + 120))
    # What one task knows of each row; before, answers are merged where classes and marks are.
    deciding = (_DECIDING + needs.held) * n + 3 * known + 2 * of_few.build * (not needs.all_ask)
    merging = 2 * n + 2 * known + MERGED * lists + 16 * n * needs.all_ask
    return replace(
        whole,
        gather=0,
        build=max(deciding, merging),
        term="what one task knows of each row, and of the rows that travel",
        index=2 * known + of_few.index + 2 * n,
        generate=task,
        made="partition(s) compared with the rows that travel",
        n_blocks=1 << 10,
    )


def _celled(
    n: int,
    table: ClassPlan,
    whole: ClassMemory,
    needs: Needs,
    columns: tuple[int, int, int],
    row: int,
    row_bytes: int,
) -> ClassMemory:
    """Project the bytes where all rows are in cells. `row` are those of one as it travels."""
    of_cell = class_memory(None, table.cell_rows, *columns, STEP_ROWS, row_bytes, needs)
    # The rows as they come, as arrays, and their index; neighbours at home as they are found, in
    # order and as they are written; and some that come from other cells, or are found for them.
    task = max(of_cell.build, of_cell.index + of_cell.generate)
    task += (row + 40 * needs.k) * table.cell_rows + CELL_NEW_ROWS * (3 * row + 40 * needs.k + 120)
    task += 8 * BALLS * table.cells
    # Which rows ask, where they are among these, and what they are told; or few rows themselves.
    asking = min(n, 2 * needs.few) if needs.few else n
    few = 3 * row * needs.few * (needs.few <= table.cell_rows)
    deciding = (_DECIDING + needs.held) * n + max(
        few, (16 * (not needs.all_ask) + 16 * needs.told) * asking
    )
    return replace(
        whole,
        gather=0,
        build=max(task, deciding),
        term="what one task knows of each row" if deciding > task else "the rows of a cell",
        generate=task,
        made="cell(s) of rows at a time",
        n_blocks=max(whole.n_blocks, table.cells),
    )


def with_all_rows(
    plan: Plan,
    usable: Counts,
    needs: Needs,
    schema: Schema,
    partition_bytes: int,
    row_bytes: int,
    limit: Limit | None,
    in_memory: bool = False,
    process: int = 0,
    route: str = "auto",
) -> Plan:
    """Add what it takes to compare all rows, by the route that fits; refuse what does not.

    `usable` are the rows of each class without missing values.
    """
    n = sum(usable.values())
    columns = len(schema.numeric), 0, len(schema.nominal)
    # Rows ask a step at a time, and get lists of neighbours.
    lists = max(needs.k, needs.told)
    of = replace(needs, k=lists)
    whole = class_memory(None, n, *columns, min(n, STEP_ROWS), row_bytes, of)
    lists = (16 * lists + 64) * n
    whole = replace(whole, build=whole.build + lists, index=0, generate=0, block=partition_bytes)
    whole = replace(whole, term="all rows in one worker, and the search among them")
    projected = partial(
        project,
        partition_bytes=partition_bytes,
        limit=limit,
        # The process holds its input, and a second copy of the rows that stay.
        held=2 * plan.n_before * row_bytes if in_memory else 0,
        process=process,
        columns=len(schema.columns),
        what=f"comparing all {n:,} rows with each other",
    )
    memory, too_large = projected([whole])
    everyone: ClassPlan | None = None
    notes, passes, travelling = plan.notes, needs.passes, 0
    lazy = not in_memory
    if lazy and needs.rounds and (route == "gather" or (too_large and route == "auto")):
        rows = min(n, -(-partition_bytes // max(1, row_bytes)))
        found = projected([_gathered(n, whole, needs, columns, rows, row_bytes)])
        if route == "gather" or not found[1] or not needs.cells:
            memory, too_large = found
            travelling = max(1, needs.few)
            seconds = gather_seconds(n, columns[0], needs, -(-n // max(1, rows)))
            notes = (*notes, _gather_note(needs, seconds, route == "gather"))
            passes = (*passes[:-1], *["comparing few rows with all"] * needs.rounds, passes[-1])
    if lazy and needs.cells and (route == "cells" or (too_large and route == "auto")):
        row = 8 * columns[0] + 4 * columns[2] + 32
        table = ClassPlan("all rows", len(plan.classes), plan.n_before, n)
        rows = min(CELL_ROWS, max(1, n - 1))
        while True:
            everyone = sized(table, n, rows)
            own = _celled(n, everyone, whole, needs, columns, row, row_bytes)
            memory, too_large = projected([own])
            if not too_large or rows <= LEAST_CELL:
                break
            rows //= 2
        why = "as asked for" if route == "cells" else "because they do not fit into one worker"
        size = 2 * n * row + n * (16 * needs.k + row)
        notes = (
            *notes,
            f"all rows are cut into {everyone.cells:,} cells of at most {everyone.cell_rows:,} "
            f"rows, {why}; scratch files of up to about {format_bytes(size)}",
        )
    too_small: tuple[str, ...] = ()
    if n <= needs.k:
        lower = f"{needs.k_name}={needs.k} needs at least {needs.k + 1}; lower it"
        lower = lower if needs.k_name else "a row needs another one; fill the missing values"
        too_small = (f"the table has {row_count(n)} without missing values, but {lower}",)
    return replace(
        plan,
        memory=memory,
        notes=notes,
        too_small=too_small,
        too_large=tuple(too_large),
        passes=passes,
        all_rows=everyone,
        travelling=travelling,
    )


def _gather_note(needs: Needs, seconds: float, asked: bool) -> str:
    """Say which rows travel, and why."""
    why = "as asked for" if asked else "because all rows do not fit into one worker"
    return (
        f"{row_count(needs.few)} of the smaller classes, and those that they find, travel to every "
        f"partition (gather), {why}; about {seconds:,.0f} core-seconds"
    )
