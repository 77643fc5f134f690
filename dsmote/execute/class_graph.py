r"""The tasks from the input's partitions to one index a class.

::

    partitions          p0 ---- p1 ---- ...             read once for these, and passed on
    extract             e0      e1                      class rows, and a sample to learn from
                          \    /
    gather                 `--'                         256 at a time, in order
                            | \
    learn                   |  model                    where the recipe has one
                            |
    queries              q(A, 0) ...                    batches of the rows of a class
                            |
    partitions again    r0 ---- r1 ---- ...             read a second time, where all rows must be
    nearest, survey     n0      n1                      seen after the class rows are known
                          \    /
    index                 i(A)                          one node a class: recomputable

The second reading has keys of its own: were the first partitions used again, all of them would have
to be held until the last has been read. It begins when the class rows are gathered and the model is
learnt: workers that are idle meanwhile would read, and hold, what nobody can use yet. What cannot
be made twice (a shuffle between workers, partitions that are persisted) is shared all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

from dsmote.execute.extract import Extract, check_counts, extract, join_extracts
from dsmote.execute.generate import build_class_index, learn
from dsmote.execute.graph import again, tree
from dsmote.execute.recipe import Around, Task
from dsmote.execute.resources import single_threaded
from dsmote.execute.survey import (
    BATCH,
    join_batches,
    measured,
    merge_around,
    nearest_here,
    queries_of,
    survey_here,
)
from dsmote.execute.taking import take_of
from dsmote.plan import COPY, ClassPlan, Plan

__all__ = ["Inputs", "add_indexes", "alone", "together", "without_blocks"]

_FEW = 8  # lists of neighbours that are merged at once: they are larger than what is extracted


def alone(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function with BLAS kept to one thread."""
    with single_threaded():
        return function(*args, **kwargs)


def without_blocks(plan: Plan) -> Plan:
    """Leave out what a task does not need: a plan has as many blocks as synthetic partitions."""
    return replace(plan, blocks=())


class Inputs:
    """The fixed partitions of a table's collections.

    Parameters
    ----------
    graph : dict
        All their tasks.
    columns : sequence of (sequence of keys, or None)
        Keys of X, of the target, of the weights and of the groups, in order of partitions.
    """

    def __init__(self, graph: dict[Any, Any], columns: Sequence[Sequence[Any] | None]) -> None:
        self.graph = graph
        self.columns = columns

    def __len__(self) -> int:
        assert self.columns[0] is not None
        return len(self.columns[0])

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the arguments that a task over each partition takes."""
        n = len(self)
        filled = [[None] * n if keys is None else list(keys) for keys in self.columns]
        while len(filled) > 1 and filled[-1] == [None] * n:
            filled.pop()
        return list(zip(*filled, strict=True))

    def again(self, token: str, after: Any = None) -> Inputs:
        """Return the same inputs under other keys, to be read once more after a task."""
        graph, names = again(self.graph, token, after)
        columns = [k if k is None else [names.get(key, key) for key in k] for k in self.columns]
        return Inputs(graph, columns)


def add_indexes(tasks: dict[Any, Any], inputs: Inputs, token: str, task: Task) -> dict[int, Any]:
    """Add the tasks from the input to one index a class; return the indexes' keys, by rank."""
    recipe = task.recipe
    plan = without_blocks(task.plan)
    gathered = _add_gather(tasks, inputs, token, task, plan)
    learnt = None
    if recipe.sample:
        learnt = f"learn-{token}"
        fit = partial(alone, learn, recipe=recipe, seed=plan.seed)
        tasks[learnt] = (fit, gathered)
    elif task.levels:
        # Levels may be many: they are in the graph once, and not in every task that needs them.
        learnt = f"levels-{token}"
        tasks[learnt] = (partial(tuple, task.levels),)
    around: dict[int, Any] = {}
    survey = None
    if recipe.around or recipe.surveys:
        # In itself small, so that those who wait for it need not be sent the rows.
        ready = f"ready-{token}"
        tasks[ready] = (_ready, gathered, learnt)
        second = inputs.again(f"again-{token}", ready)
        tasks |= second.graph
        ranks = {c.label: c.rank for c in plan.classes}
        look = partial(measured, schema=task.schema, ranks=ranks, recipe=recipe)
        if recipe.surveys:
            survey = _add_survey(tasks, second, token, partial(_surveyed, look=look), task, learnt)
        if recipe.around:
            around = _add_around(tasks, second, token, look, task, gathered, learnt)
    indexes = {}
    for c in plan.growing:
        build = partial(
            alone, build_class_index, recipe=recipe, of=c, seed=plan.seed, total=plan.n_new
        )
        indexes[c.rank] = (f"index-{token}", c.rank)
        tasks[indexes[c.rank]] = (build, gathered, around.get(c.rank), learnt, survey)
    return indexes


def _ready(*_: Any) -> None:
    """Stand for tasks that are done."""


def _add_gather(tasks: dict[Any, Any], inputs: Inputs, token: str, task: Task, plan: Plan) -> Any:
    take = take_of(task)
    pull = partial(extract, take=take)
    level = []
    for i, row in enumerate(inputs.rows()):
        level.append((f"extract-{token}", i))
        tasks[level[-1]] = (pull, *row)
    joined = partial(join_extracts, take=take)
    last = partial(_gathered, take=take, plan=plan, first=task.first)
    # A sample makes every extract large.
    fan_in = {"fan_in": _FEW} if take.quotas else {}
    return tree(tasks, level, f"gather-{token}", joined, last, **fan_in)


def _gathered(parts: list[Extract], *, take: Any, plan: Plan, first: int | None) -> Extract:
    return check_counts(join_extracts(parts, take=take), plan, first)


def _add_survey(
    tasks: dict[Any, Any], second: Inputs, token: str, look: Any, task: Task, learnt: Any
) -> Any:
    see = partial(alone, look, recipe=task.recipe, n_classes=len(task.plan.classes))
    level = []
    for i, row in enumerate(second.rows()):
        level.append((f"survey-{token}", i))
        tasks[level[-1]] = (see, learnt, *row)
    return tree(tasks, level, f"surveyed-{token}", sum)


def _surveyed(learnt: Any, *row: Any, look: Any, recipe: Any, n_classes: int) -> Any:
    return survey_here(look(*row), recipe=recipe, n_classes=n_classes, learnt=learnt)


def _add_around(
    tasks: dict[Any, Any],
    second: Inputs,
    token: str,
    look: Any,
    task: Task,
    gathered: Any,
    learnt: Any,
) -> dict[int, Any]:
    """Add the search for the nearest of all rows; return the keys of what is found, by rank."""
    recipe = task.recipe
    found: dict[int, list[Any]] = {}
    for t, batches in enumerate(together(task.plan.growing)):
        asking = []
        for rank, b in batches:
            ask = partial(_queries, recipe=recipe, rank=rank, batch=b)
            asking.append(f"queries-{rank}-{b}-{token}")
            tasks[asking[-1]] = (ask, gathered, learnt)
        level = []
        for i, row in enumerate(second.rows()):
            level.append((f"nearest-{t}-{token}", i))
            find = partial(alone, _nearest, look=look, order=i, recipe=recipe)
            tasks[level[-1]] = (find, asking, *row)
        top = tree(tasks, level, f"nearest-of-all-{t}-{token}", _merged, fan_in=_FEW)
        for place, (rank, b) in enumerate(batches):
            found.setdefault(rank, []).append(f"nearest-of-{rank}-{b}-{token}")
            tasks[found[rank][-1]] = (itemgetter(place), top)
    tops = {}
    for rank, keys in found.items():
        tops[rank] = f"around-{rank}-{token}"
        tasks[tops[rank]] = (join_batches, keys)
    return tops


def together(classes: Sequence[ClassPlan]) -> list[list[tuple[int, int]]]:
    """Return batches of queries as (rank, number), those together of which one index answers.

    Small classes ask together, so that a partition is not indexed once for each of many; no more
    than `BATCH` rows do, so that what they find is bounded.
    """
    some: list[list[tuple[int, int]]] = []
    room = 0
    for c in classes:
        if c.engine == COPY:
            continue
        for b in range(max(1, -(-c.usable // BATCH))):
            rows = min(BATCH, c.usable - b * BATCH)
            if not some or rows > room:
                some.append([])
                room = BATCH
            some[-1].append((c.rank, b))
            room -= rows
    return some


def _queries(found: Extract, learnt: Any, *, recipe: Any, rank: int, batch: int) -> Any:
    rows = found.rows[rank]
    asked = recipe.asks(rows, learnt)
    return queries_of(rows, found.starts, asked, recipe=recipe, rank=rank, batch=batch)


def _nearest(asking: Any, *row: Any, look: Any, order: int, recipe: Any) -> list[Around]:
    here = look(*row)
    return [nearest_here(here, queries, order=order, recipe=recipe) for queries in asking]


def _merged(parts: list[list[Around]]) -> list[Around]:
    return [merge_around(of_one) for of_one in zip(*parts, strict=True)]
