"""Pure planning: labels, strategy, schema, draws, allocation, memory, and the plan itself."""

from dsmote.plan.draws import (
    Stream,
    Subset,
    bases_of,
    copies_by_weight,
    copies_with_replacement,
    root_seed,
    shares,
)
from dsmote.plan.labels import plain, sort_labels
from dsmote.plan.memory import Limit, MemoryLimitError, MemoryProjection, format_bytes
from dsmote.plan.plan import COPY, Block, ClassPlan, Needs, Plan, make_plan, make_under_plan
from dsmote.plan.profile import SCALES, Profile, Scaling, look_at, merge_profiles, scaling_of
from dsmote.plan.schema import Column, Schema, carried_dtype, make_schema
from dsmote.plan.strategy import CLEAN, OVER, UNDER, wanted_rows

__all__ = [
    "CLEAN",
    "COPY",
    "OVER",
    "SCALES",
    "UNDER",
    "Block",
    "ClassPlan",
    "Column",
    "Limit",
    "MemoryLimitError",
    "MemoryProjection",
    "Needs",
    "Plan",
    "Profile",
    "Scaling",
    "Schema",
    "Stream",
    "Subset",
    "bases_of",
    "carried_dtype",
    "copies_by_weight",
    "copies_with_replacement",
    "format_bytes",
    "look_at",
    "make_plan",
    "make_schema",
    "make_under_plan",
    "merge_profiles",
    "plain",
    "root_seed",
    "scaling_of",
    "shares",
    "sort_labels",
    "wanted_rows",
]
