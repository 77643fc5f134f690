"""Which routes to the neighbours there are for a sampler; the others are refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsmote.execute import Recipe, Table
from dsmote.plan import Plan, Schema

if TYPE_CHECKING:
    from dsmote.execute.clean import Rule

IN_MEMORY = "a table in memory is searched as a whole: pass it as a Dask collection"


def over_sampler_route(route: str, recipe: Recipe, table: Table, name: str) -> str:
    """Return the route of an over-sampler for the plan, which knows broadcast and cells.

    Where the rows of a class fit into a worker, they travel to every partition if the nearest of
    all rows are looked for.
    """
    wrong = ""
    if route in ("cells", "gather") and not table.lazy:
        wrong = IN_MEMORY
    elif route == "gather" and not recipe.n_neighbors_all:
        wrong = f"{name} looks for no neighbours among all rows: pass route='broadcast' or 'cells'"
    elif route == "cells" and not recipe.in_cells:
        wrong = f"{name} asks for more than exact neighbours in the class"
    _refuse(route, wrong)
    return "broadcast" if route == "gather" else route


def rule_routes(
    route: str, rule: Rule, table: Table, schema: Schema, plan: Plan
) -> tuple[bool, dict[str, Any]]:
    """Tell whether all rows may be in cells, and of few rows that may travel (see `Needs`)."""
    cut = few = IN_MEMORY if not table.lazy else ""
    travelling, rounds = rule.few(plan)
    if not cut and (not rule.in_cells or rule.neighbors is not None):
        cut = few = f"{rule.name} asks for more than exact neighbours"
    cut = cut or ("" if schema.numeric else "rows of categories only are not cut")
    if not few and not rounds:
        few = f"{rule.name} asks for the neighbours of rows of all classes: pass route='cells'"
    elif not few and schema.nominal:
        few = (
            "categorical features are compared by what all rows are like, which no partition "
            "knows: pass route='cells'" + ("" if schema.numeric else " or 'broadcast'")
        )
    _refuse(route, {"cells": cut, "gather": few}.get(route, ""))
    rows = sum(c.before for c in plan.classes if c.rank in travelling)
    known = {"few": rows, "rounds": rounds, "all_ask": rule.all_ask, "held": rule.held}
    return not cut, {} if few else known


def _refuse(route: str, wrong: str) -> None:
    if wrong:
        raise ValueError(f"route={route!r} is not possible: {wrong}; or leave route out")
