"""What the graph does between the class rows and their indexes, one after the other."""

from __future__ import annotations

from typing import Any

from dsmote.execute.extract import Extract
from dsmote.execute.generate import learn
from dsmote.execute.partition import Partition
from dsmote.execute.recipe import Task
from dsmote.execute.survey import (
    BATCH,
    Each,
    join_batches,
    measured,
    nearest_here,
    queries_of,
    survey_here,
)
from dsmote.plan import COPY

__all__ = ["surveyed"]


def surveyed(
    found: Extract, whole: Partition, task: Task, each: Each
) -> tuple[dict[int, Any], Any, Any]:
    """Have the model learnt, all rows looked at, and the nearest of all rows found.

    Parameters
    ----------
    found : Extract
        The class rows, and the sample to learn from.
    whole : Partition
        The whole table.
    task : Task
    each : callable
        Maps a function over blocks of queries.

    Returns
    -------
    around : dict of rank to Around
    learnt, survey : object or None
    """
    recipe, plan = task.recipe, task.plan
    learnt: Any = task.levels or None
    if recipe.sample:
        learnt = learn(found, recipe=recipe, seed=plan.seed)
    around: dict[int, Any] = {}
    if not (recipe.around or recipe.surveys):
        return around, learnt, None
    ranks = {c.label: c.rank for c in plan.classes}
    here = measured(whole, schema=task.schema, ranks=ranks, recipe=recipe)
    survey = None
    if recipe.surveys:
        survey = survey_here(here, recipe=recipe, n_classes=len(ranks), learnt=learnt)
    for c in plan.growing if recipe.around else ():
        rows = found.rows.get(c.rank)
        if rows is None or c.engine == COPY:
            continue
        asked = recipe.asks(rows, learnt)
        batches = [
            queries_of(rows, found.starts, asked, recipe=recipe, rank=c.rank, batch=b)
            for b in range(max(1, -(-len(asked) // BATCH)))
        ]
        around[c.rank] = join_batches(
            [nearest_here(here, q, order=0, recipe=recipe, each=each) for q in batches]
        )
    return around, learnt, survey
