"""What is to be taken out of the data, from what is to be made."""

from __future__ import annotations

from dsmote.execute.extract import Take
from dsmote.execute.recipe import Task

__all__ = ["take_of"]

_LEAST = 50  # rows of a class that a model is learnt from, where it has so many


def take_of(task: Task) -> Take:
    """Say what a task needs of the data.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Take
        The classes that grow; columns that are copied; carried ones where provenance names
        parents; and for a model, a sample in which each class has its share.
    """
    plan, recipe = task.plan, task.recipe
    quotas = {}
    if recipe.sample:
        total = sum(c.usable for c in plan.classes)
        for c in plan.classes:
            part = -(-recipe.sample * c.usable // max(1, total))
            quotas[c.rank] = c.usable if total <= recipe.sample else max(part, _LEAST)
    return Take(
        schema=task.schema,
        grow={c.label: c.rank for c in plan.growing},
        skip=task.skip,
        whole=recipe.copies_rows,
        beside=_beside(task),
        ranks={c.label: c.rank for c in plan.classes} if quotas else {},
        quotas=quotas,
    )


def _beside(task: Task) -> tuple[int, ...]:
    carried = task.schema.carried if task.provenance == "full" else []
    copied = [] if task.recipe.copies_rows else task.schema.copied  # copied rows have all
    return tuple(sorted([*carried, *copied]))
