"""From class rows to synthetic rows: the index of one class, and blocks made from it.

Both executors, the serial one and the Dask graph, call these functions; neither has a way of its
own to make rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dsmote.execute.decode import as_floats, decode, synthetic_index
from dsmote.execute.extract import Extract
from dsmote.execute.provenance import came_from, with_provenance
from dsmote.execute.recipe import (
    Around,
    Bases,
    ClassContext,
    ClassIndex,
    Draws,
    Made,
    Making,
    Recipe,
)
from dsmote.execute.rows import Rows, retyped
from dsmote.neighbors import GroupedSearch, NeighborIndex
from dsmote.plan import (
    COPY,
    Block,
    ClassPlan,
    Schema,
    Stream,
    bases_of,
    copies_with_replacement,
    plain,
)
from dsmote.plan.draws import INDEX
from dsmote.plan.labels import listed
from dsmote.plan.memory import STEP_ROWS
from dsmote.plan.schema import with_decimals

__all__ = [
    "Part",
    "build_class_index",
    "finish",
    "join_made",
    "learn",
    "make_block",
    "make_rows",
]

_STEP = STEP_ROWS  # new rows made at once: their temporaries stay near the processor


class Part(NamedTuple):
    """A synthetic partition, and what goes beside it where that was asked for."""

    table: Any
    weights: Any = None
    groups: Any = None
    provenance: Any = None


def learn(found: Extract, *, recipe: Recipe, seed: int) -> Any:
    """Have the recipe fit its model to the sample, in the order of the table."""
    ranks = sorted(found.sample)
    numeric = np.concatenate([found.sample[r].numeric for r in ranks])
    numbers = np.concatenate([found.sample[r].numbers for r in ranks])
    of = np.repeat(ranks, [len(found.sample[r].numbers) for r in ranks])
    order = np.argsort(numbers, kind="stable")
    return recipe.fit(recipe.measured(numeric[order]), of[order], numbers[order], seed)


def build_class_index(
    found: Extract,
    around: Around | None = None,
    learnt: Any = None,
    survey: Any = None,
    *,
    recipe: Recipe,
    of: ClassPlan,
    seed: int,
    total: int,
) -> ClassIndex:
    """Index the rows of a class and allocate its new rows to base rows.

    Parameters
    ----------
    found : Extract
        The rows of all classes that grow.
    around, learnt, survey
        The nearest of all rows, the model, and what was seen in all partitions, where there are.
    recipe : Recipe
    of : ClassPlan
    seed : int
        The root seed.
    total : int
        New rows of all classes together.
    """
    rows = found.rows.get(of.rank)
    if rows is None or len(rows) < (1 if of.engine == COPY else recipe.k + 1):
        raise ValueError(
            f"class {of.label!r} has {0 if rows is None else len(rows):,} rows without missing "
            f"values, but {recipe.needs().k_name}={recipe.k} needs at least {recipe.k + 1} (k + 1);"
            " lower it"
        )
    if of.engine == COPY:
        bases = Bases(copies_with_replacement(len(rows), of.new, seed, of.rank))
        report = {"engine": COPY, "exact": True, "recall": 1.0}
        return ClassIndex(rows, bases, None, None, report, True, of.rank, found.decimals)
    lone = _lone(rows, recipe, of)
    eligible = None
    if lone is not None and recipe.on_small_group == "skip":
        eligible = np.flatnonzero(~lone)
        if not len(eligible):
            raise ValueError(
                f"class {of.label!r} has no group of at least {recipe.k + 1} rows (k + 1): no row "
                "can be a base; lower k_neighbors, or pass on_small_group='copy'"
            )
    ctx = ClassContext(rows, of, seed, eligible, around, learnt, survey, total)
    ctx.state = recipe.prepare(ctx)
    bases = recipe.bases(ctx)
    index, report = _indexed(rows, bases, recipe, of, seed, learnt)
    report |= bases.report
    return ClassIndex(rows, bases, index, around, report, False, of.rank, found.decimals, ctx.state)


def _lone(rows: Rows, recipe: Recipe, of: ClassPlan) -> np.ndarray | None:
    """Tell which rows are in groups that are too small; None where there are no groups."""
    if rows.group is None or not recipe.k:
        return None
    sizes = np.bincount(rows.group)
    small = np.flatnonzero(sizes <= recipe.k)
    if len(small) and recipe.on_small_group == "error":
        assert rows.group_levels is not None
        levels = rows.group_levels
        shown = listed(f"{plain(levels.iloc[g])!r}: {sizes[g]:,}" for g in small)
        raise ValueError(
            f"class {of.label!r} has {len(small):,} group(s) of fewer than {recipe.k + 1} rows "
            f"(k + 1), in which a row has no {recipe.k} neighbours: {shown}; lower "
            "k_neighbors, or pass on_small_group='copy' or 'skip'"
        )
    return (sizes <= recipe.k)[rows.group]


def _indexed(
    rows: Rows, bases: Bases, recipe: Recipe, of: ClassPlan, seed: int, learnt: Any
) -> tuple[NeighborIndex | None, dict[str, Any]]:
    """Build the index of a class, one for each of its groups where there are some."""
    space = recipe.search_space(rows, learnt)
    if space is None:
        return None, {"engine": "none", "exact": True, "recall": 1.0}
    some = slice(None, None, max(1, len(rows) // 512))
    engine = of.search or recipe.engine(len(rows), rows.numeric[some], rows.codes[some]).engine
    drawn = int(Stream(seed, of.rank, INDEX).bits(0, 1)[0])
    groups = bases.groups
    if groups is None:
        groups = rows.group
    elif rows.group is not None:
        both = np.unique(np.stack([groups, rows.group]), axis=1, return_inverse=True)[1].ravel()
        groups = np.where(groups < 0, -1, both)
    if groups is None:
        index = recipe.build_index(space, engine, drawn)
    else:
        index = GroupedSearch(
            groups, recipe.k + 1, lambda ids: recipe.build_index(space.take(ids), engine, drawn)
        )
    report: dict[str, Any] = {"engine": index.engine, "exact": index.exact, "recall": 1.0}
    if not index.exact and groups is None:
        report |= recipe.recall(rows, index, drawn)
    elif not index.exact:
        report["recall"] = None  # of neighbours within groups it is not measured
    return index, report


def make_rows(of: ClassIndex, how: Making, rank: int, start: int, stop: int) -> Made:
    """Make the new rows ``start .. stop`` of a class, as arrays.

    Only base rows that the allocation uses are queried, each once.
    """
    schema = how.schema
    whole = np.array(
        [schema.columns[i].kind not in ("float", "decimal") for i in schema.numeric], dtype=bool
    )
    made = []
    for low in range(start, stop, _STEP):
        high = min(stop, low + _STEP)
        bases = bases_of(of.bases.ends, low, high)
        if of.copied:
            made.append(_copied(of.rows, bases))
        else:
            draws = Draws(how.seed, rank, low, high)
            made.append(how.recipe.make(of, bases, draws, whole))
    return join_made(made)


def _copied(rows: Rows, bases: np.ndarray) -> Made:
    numeric = rows.numeric.take(bases, axis=0)
    return Made(
        numeric, {j: values[bases] for j, values in rows.wide.items()}, rows.codes[bases], bases
    )


def join_made(parts: Sequence[Made]) -> Made:
    """Join runs of new rows, in order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("numeric", "codes", "bases", "neighbours", "gaps", "weights")
        if getattr(first, name) is not None
    }
    wide = {j: np.concatenate([p.wide[j] for p in parts]) for j in first.wide}
    return replace(first, wide=wide, **joined)


def make_block(
    of: ClassIndex, *, how: Making, block: Block, like: pd.Index, array: np.dtype | None
) -> Part:
    """Make one synthetic partition, as a frame or (with `array`, its dtype) as an ndarray."""
    made = make_rows(of, how, block.class_rank, block.start, block.stop)
    return finish(of, made, how, block.label, how.first + block.offset, like, array)


def finish(
    of: ClassIndex,
    made: Made,
    how: Making,
    label: Any,
    first: int,
    like: pd.Index,
    array: np.dtype | None,
) -> Part:
    """Give new rows the container and the dtypes of the output, and what goes beside them."""
    rows, n = of.rows, len(made.bases)
    named = array is None or rows.group is not None or how.provenance
    index = synthetic_index(like, first, n) if named else pd.RangeIndex(n)
    if of.decimals:
        how = replace(how, schema=with_decimals(how.schema, of.decimals))
    weights = None if rows.weights is None else _weights(rows, made)
    groups = None
    if rows.group is not None and rows.group_levels is not None:
        groups = rows.group_levels.take(rows.group[made.bases]).set_axis(index)
    table = _table(rows, made, how, label, index, array)
    provenance = None
    if how.provenance:
        provenance = came_from(rows, made, how.provenance, how.schema, index)
        if array is None:
            table = with_provenance(table, provenance)
    return Part(table, weights, groups, provenance)


def _table(
    rows: Rows, made: Made, how: Making, label: Any, index: pd.Index, array: np.dtype | None
) -> Any:
    schema = how.schema
    apart = schema.nominal or schema.carried or schema.copied
    if array is not None and array.kind == "f" and not apart:
        return as_floats(made.numeric, array)
    if array is not None and array.kind == "O" and len(schema.nominal) == len(schema.columns):
        levels = zip(rows.levels, made.codes.T, strict=True)
        return np.stack([of.to_numpy(dtype=object)[codes] for of, codes in levels], axis=1)
    if how.recipe.copies_rows and rows.beside is not None:
        if array is not None and not schema.carried:
            return rows.beside.to_numpy(dtype=array)[made.bases]
        frame = _whole(rows.beside, made.bases, schema, index)
    else:
        frame = decode(schema, rows, made, label, index)
    return frame if array is None else frame.to_numpy(dtype=array)


def _whole(rows: pd.DataFrame, bases: np.ndarray, schema: Schema, index: pd.Index) -> pd.DataFrame:
    """Copy rows as they are; carried columns are missing in copies too."""
    frame = rows.take(bases).set_axis(index)
    known = {
        i: c.dtype
        for i, c in enumerate(schema.columns)
        if isinstance(c.dtype, pd.CategoricalDtype) and c.dtype.categories is not None
    }
    frame = retyped(frame, known) if known else frame
    for i in schema.carried:
        dtype = schema.columns[i].dtype
        if isinstance(dtype, pd.CategoricalDtype) and dtype.categories is None:
            dtype = rows.dtypes.iloc[i]
        column = pd.Series([None] * len(frame), index=index, dtype=dtype)
        frame.isetitem(i, column.array)
    return frame


def _weights(rows: Rows, made: Made) -> np.ndarray:
    """Interpolate weights as the rows are: between the parents'."""
    assert rows.weights is not None
    own = rows.weights[made.bases]
    if made.weights is None:
        return own
    if made.gaps is None:  # no single neighbour: the mean of all parents
        return made.weights
    between = own + made.gaps * (made.weights - own)
    return np.clip(between, np.minimum(own, made.weights), np.maximum(own, made.weights))
