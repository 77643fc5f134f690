"""From a table, its profile and a recipe to what the plan is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute import Recipe, Table
from dsmote.neighbors import Choice
from dsmote.plan import Needs, Profile, Schema, carried_dtype, plain
from dsmote.plan.labels import listed
from dsmote.plan.profile import TARGET, Sampled, unify_categories
from dsmote.plan.schema import is_nominal_dtype, with_dtypes

__all__ = [
    "assumed_profile",
    "beside_table",
    "changed_dtypes",
    "check_labels",
    "engines_of",
    "needs_of",
    "partition_bytes",
    "routed_requests",
    "sample_note",
    "without_categories",
]

UNIFY_BYTES = 50_000  # categories that may be embedded in the graph
_UNKNOWN = pd.CategoricalDtype()  # "category", its categories travelling with the rows


def partition_bytes(table: Table, profile: Profile, as_read: int | None = None) -> int:
    """Return the bytes of the largest partition; a table in memory is not held in partitions.

    `as_read` is the rows of the largest partition that the table's are parts of: it is held, and
    so are both its parts, one of which is passed on as a partition of the table.
    """
    if not table.lazy:
        return 0
    largest = profile.largest_bytes or -(-profile.bytes // table.npartitions)
    whole = 0 if as_read is None else as_read * profile.bytes // max(1, profile.rows)
    beside = 8 * len(table.beside) * profile.rows / max(1, profile.bytes)  # as a share
    return int(max(largest, 4 * whole // 3) * (1 + beside))


def check_labels(labels: list[Any]) -> None:
    """Refuse measurements in the place of class labels."""
    continuous = [x for x in labels if isinstance(x, float) and not x.is_integer()]
    if continuous:
        raise ValueError(
            f"Unknown label type: continuous. The target holds {len(labels):,} different values, "
            f"among them {continuous[0]!r}; class labels must be text or whole numbers"
        )


def assumed_profile(class_counts: Mapping[Any, int], row_bytes: int) -> Profile:
    """Take the user's word for the counts; they are checked while computing."""
    counts: dict[Any, int] = {}
    for label, n in class_counts.items():
        if not isinstance(n, Integral) or n < 0:
            raise ValueError(f"class_counts says {n!r} rows of class {label!r}; give whole numbers")
        counts[plain(label)] = int(n)
    counts = {label: n for label, n in counts.items() if n}
    rows = sum(counts.values())
    return Profile(rows=rows, bytes=rows * row_bytes, counts=counts, usable=counts, assumed=True)


def needs_of(
    recipe: Recipe, schema: Schema, table: Table, profile: Profile, row_bytes: int, provenance: Any
) -> Needs:
    """Say what the plan has to reckon with: the recipe's needs, passes, columns that are copied.

    The schema is the output's; `row_bytes` are those of one of its rows, as measured.
    """
    held = [*schema.copied, *(schema.carried if provenance == "full" else [])]
    aside = Schema(tuple(schema.columns[i] for i in held)).row_bytes() if held else 0
    if held and any(is_nominal_dtype(dtype) for dtype in {schema.columns[i].dtype for i in held}):
        aside += max(0, row_bytes - schema.row_bytes())  # text is as long as it is
    if recipe.copies_rows:
        aside = row_bytes
    # A weight is a number. A group is a code; its rows are put in order, and searched apart.
    aside += 8 * ("sample_weight" in table.beside)
    aside += 24 * ("groups" in table.beside or schema.group is not None)
    passes = [*table.passes, *(["counting classes"] if not profile.assumed else [])]
    passes.append("collecting the rows that new ones are made from, and writing the output")
    if recipe.around:
        passes.append("the nearest of all rows")
    elif recipe.surveys:
        passes.append("applying the fitted model to all rows")
    levels = sum([of.bytes for of in profile.levels]) if profile.levels else 0
    return replace(recipe.needs(), passes=tuple(passes), passthrough=aside, levels=levels)


def sample_note(recipe: Recipe, profile: Profile) -> list[str]:
    """Say where a model is not fitted to all rows."""
    total = sum(profile.usable.values())
    if not 0 < recipe.sample < total:
        return []
    return [
        f"{recipe.name} fits its model to a sample of about {recipe.sample:,} of {total:,} rows, "
        "in which each class has its share (max_fit_rows)"
    ]


def beside_table(X: Any, weight: Any, groups: Any) -> tuple[dict[str, Any], Any]:
    """Tell weights and groups that are containers of their own from a column of groups."""
    column = None
    beside = {} if weight is None else {"sample_weight": weight}
    if groups is not None and (isinstance(groups, str) or np.isscalar(groups)):
        names = list(getattr(X, "columns", ()))
        if groups not in names:
            shown = listed(map(repr, names)) or "no names (X is an array)"
            raise ValueError(f"there is no column {groups!r} of groups; the columns are {shown}")
        column = groups
    elif groups is not None:
        beside["groups"] = groups
    return beside, column


def routed_requests(sampler: Any, supported: Collection[str]) -> set[str]:
    """Return what a sampler requests by metadata routing; refuse what no pipeline can serve."""
    from sklearn import get_config

    if not get_config()["enable_metadata_routing"]:
        return set()
    # Without imbalanced-learn there is no pipeline, and no such request.
    request = getattr(sampler.get_metadata_routing(), "fit_resample", None)
    aliases = {} if request is None else request.requests
    routed = {name for name, alias in aliases.items() if alias not in (None, False)}
    for name in sorted(routed - set(supported)):
        raise ValueError(
            f"{type(sampler).__name__} cannot take {name} by metadata routing: a pipeline takes "
            f"back X and y only; leave out set_fit_resample_request({name}=...), or call "
            f"fit_resample(X, y, {name}=...) outside the pipeline"
        )
    return routed


def engines_of(
    recipe: Recipe, profile: Profile, schema: Schema, new: Mapping[Any, int]
) -> dict[Any, Choice]:
    """Choose each class's engine; without a profile, it is chosen when the rows are there."""
    if not recipe.k:
        return dict.fromkeys(new, Choice("none", "no neighbours are needed"))
    nothing = Sampled(np.empty(0), np.empty((0, 0)), np.empty((0, 0)))
    return {
        label: recipe.engine(profile.usable[label], *profile.sample.get(label, nothing)[1:])
        for label, n in new.items()
        if n and (label in profile.sample or not schema.numeric)
    }


def without_categories(schema: Schema) -> Schema:
    """Drop categories from the schema: they can be many, and travel with the rows instead."""
    return with_dtypes(
        schema,
        {
            i: _UNKNOWN
            for i, c in enumerate(schema.columns)
            if isinstance(c.dtype, pd.CategoricalDtype)
        },
    )


def changed_dtypes(
    table: Table, schema: Schema, profile: Profile
) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return the dtypes that change on the way, and those that the metadata did not know."""
    changes: dict[int, Any] = {}
    if table.is_frame:
        for i in schema.carried:
            dtype = carried_dtype(schema.columns[i].dtype)
            if dtype != schema.columns[i].dtype:
                changes[i] = dtype
    known: dict[int, Any] = {}
    for i, dtypes in profile.categories.items():
        name = "y" if i == TARGET else schema.columns[i].name
        known[i] = unify_categories(name, dtypes)
        if len(dtypes) == 1:
            continue
        size = sum(len(str(level)) + 50 for level in known[i].categories)
        if size > UNIFY_BYTES:
            raise ValueError(
                f"the categories of column {name!r} differ between partitions, and together there "
                f"are {len(known[i].categories):,} ({size:,} bytes, {UNIFY_BYTES:,} allowed); call "
                f"frame.categorize([{name!r}]) first, or cast the column to text"
            )
        changes[i] = known[i]
    return changes, {**known, **changes}
