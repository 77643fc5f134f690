r"""From class rows to new rows: the index of one class, blocks made from it, and their container.

::

    class rows --> index --> arrays of new rows (Made) --> frame or array, dtypes of the output

Where rows came from is told in further columns:

====================  =========================================================================
``synthetic``         whether the row was made
``base_row``          number of the row of the input it was made from, counted from 0
``neighbour_row``     number of the neighbour, where there is one
``gap``               new = base + gap (neighbour - base)
``<carried>_base``    the base row's value in a carried column
``<carried>_neighbour``  the neighbour's
====================  =========================================================================

In original rows all but the first are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.execute.extract import Extract
from dsmote.execute.recipe import (
    Bases,
    ClassContext,
    ClassIndex,
    Draws,
    Made,
    Making,
    NearestOfAll,
    Recipe,
    Rows,
)
from dsmote.execute.rows import is_arrow_date, retyped
from dsmote.neighbors import GroupedSearch, NeighborIndex, blocks_of, measure_recall
from dsmote.plan import (
    COPY,
    Block,
    ClassPlan,
    Column,
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

STEP = STEP_ROWS  # new rows made at once: their temporaries stay near the processor


def check_free(names: Sequence[Any], kind: str, schema: Schema) -> None:
    """Refuse to overwrite a column of the table."""
    added = provenance_of(kind, schema, pd.RangeIndex(0)).columns
    taken = [name for name in added if name in names]
    if taken:
        raise ValueError(
            f"provenance={kind!r} adds the column {taken[0]!r}, which the table has already; "
            "rename it"
        )


def provenance_of(
    kind: str, schema: Schema, index: pd.Index, made: tuple[Rows, Made] | None = None
) -> pd.DataFrame:
    """Return where new rows came from; without these, the same columns for rows of the input."""
    n = len(index)
    columns: dict[str, Any] = {"synthetic": np.full(n, made is not None)}
    if kind == "flag":
        return pd.DataFrame(columns, index=index)
    bases = neighbours = pd.array([None] * n, dtype="Int64")
    gaps = np.full(n, np.nan)
    if made is not None:
        rows, new = made
        bases = pd.array(rows.numbers[new.bases], dtype="Int64")
        near = _among(rows, new)
        if new.neighbours is not None:
            neighbours = pd.array(new.neighbours, dtype="Int64")
        if new.gaps is not None:
            gaps = new.gaps
    columns |= {"base_row": bases, "neighbour_row": neighbours, "gap": gaps}
    for column in (schema.columns[i] for i in schema.carried):
        dtype = object if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
        own = other = repeated(None, n, dtype)
        if made is not None:
            assert rows.passthrough is not None
            values = rows.passthrough[column.name]
            # As Series: of an array of objects that are text, pandas would make text.
            own = values.take(new.bases).astype(dtype).set_axis(index)
            other = values.take(np.maximum(near, 0)).astype(dtype).reset_index(drop=True)
            other = other.where(pd.Series(near >= 0)).astype(dtype).set_axis(index)
        columns |= {f"{column.name}_base": own, f"{column.name}_neighbour": other}
    return pd.DataFrame(columns, index=index)


def with_provenance(table: pd.DataFrame, provenance: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its provenance as further columns; one named None stays so."""
    joined = pd.concat([table, provenance], axis=1)
    if None in list(table.columns):  # of which pandas makes NaN among texts
        joined.columns = pd.Index([*table.columns, *provenance.columns], dtype=object)
    return joined


def _among(rows: Rows, made: Made) -> np.ndarray:
    """Return where the neighbours stand among the rows of the class; -1 where they do not.

    A neighbour of another class (BorderlineSMOTE of the second kind) is known by its number only.
    """
    if made.neighbours is None:
        return np.full(len(made.bases), -1)
    at = np.minimum(np.searchsorted(rows.numbers, made.neighbours), len(rows) - 1)
    return np.where(rows.numbers[at] == made.neighbours, at, -1)


def numbers_of(values: np.ndarray, exact: np.ndarray | None, column: Column) -> Any:
    """Return float64 values, or exact integers, as a numeric column of the schema."""
    dtype, made = column.dtype, values if exact is None else exact
    if column.kind in ("datetime", "timedelta"):
        made = _from_ticks(made.astype(np.int64, copy=False), column)
    elif column.kind == "decimal":
        made = _decimals(made, column)
    else:
        if exact is None and column.kind == "bool":  # an extrapolated row may leave 0..1
            made = made > 0.5
        elif exact is None:
            held = dtype.subtype if isinstance(dtype, pd.SparseDtype) else dtype
            made = _held(made, held if isinstance(held, np.dtype) else held.numpy_dtype)
        if isinstance(dtype, np.dtype):
            made = made.astype(dtype, copy=False)
        elif isinstance(dtype, pd.SparseDtype):
            made = pd.Series(made).astype(dtype).array
        else:
            made = pd.array(made, dtype=dtype)
    return made if column.given is None else pd.Series(made).astype(column.given).array


def _decimals(values: np.ndarray, column: Column) -> Any:
    """Return numbers as decimals: float64 values rounded, integers in units of the last digit."""
    stored = column.dtype.pyarrow_dtype
    if values.dtype.kind == "i":
        most = min(10**stored.precision, 2**63) - 1
        values = values.clip(-most, most)
        halves = np.stack([values, values >> 63], axis=1).astype("<i8")
        buffers = [None, pa.py_buffer(halves.tobytes())]
        made = pa.Array.from_buffers(stored, len(values), buffers)
    else:
        # A row beyond its base may leave the range of the type.
        before = stored.precision - stored.scale
        most = 10.0**before
        if before > 0:
            most = np.nextafter(most - 10.0**-stored.scale, 0.0)
        elif before == 0:
            most = 1.0 - 10.0**-stored.scale
        made = pa.array(values.clip(-most, most)).cast(stored)
    return pd.array(made, dtype=column.dtype)


def _held(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return float64 values as numbers of a dtype; what it cannot hold ends at its edge.

    Only rows that are extrapolated, or moved by noise, leave the range that their parents are in.
    """
    if dtype.kind == "f":
        if dtype.itemsize < 8:
            largest = float(np.finfo(dtype).max)
            values = np.clip(values, -largest, largest)
        return values.astype(dtype, copy=False)
    # float64 rounds the largest 64-bit integers up, past what the dtype holds.
    info = np.iinfo(dtype)
    high = float(info.max) if info.bits < 64 else np.nextafter(float(info.max) + 1.0, 0.0)
    return np.clip(values, float(info.min), high).astype(dtype)


def _from_ticks(ticks: np.ndarray, column: Column) -> Any:
    dtype = column.dtype
    if is_arrow_date(dtype):
        made = pd.Series(ticks.view("M8[D]").astype("M8[s]"))
        return made.astype("timestamp[s][pyarrow]").astype(dtype).array
    if isinstance(dtype, pd.ArrowDtype):
        unit = dtype.pyarrow_dtype.unit
        letter = "M8" if column.kind == "datetime" else "m8"
        made = pd.Series(ticks.view(f"{letter}[{unit}]"))
        if column.kind == "datetime" and dtype.pyarrow_dtype.tz:
            made = made.dt.tz_localize("UTC")
        return made.astype(dtype).array
    if isinstance(dtype, pd.DatetimeTZDtype):
        moments = pd.DatetimeIndex(ticks.view(f"M8[{dtype.unit}]"))
        return moments.tz_localize("UTC").tz_convert(dtype.tz).array
    return ticks.view(dtype)


def _taken(series: pd.Series, at: np.ndarray, dtype: Any) -> Any:
    """Return some values; of objects in an extension array, pandas would make others."""
    values = (series.to_numpy() if series.dtype == object else series.array).take(at)
    return values if values.dtype == dtype else pd.Series(values).astype(dtype).array


def repeated(label: Any, n: int, dtype: Any) -> Any:
    """Return an array that holds a label, or None for a missing value, n times."""
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb" and label is not None:
        return np.full(n, label, dtype=dtype)
    return pd.Series([label] * min(n, 1), dtype=dtype).repeat(n).array


def _decode(
    schema: Schema,
    rows: Rows,
    made: Made,
    label: Any,
    index: pd.Index,
) -> pd.DataFrame:
    """Turn new rows, as arrays, into a frame with the columns of the schema."""
    dtype = schema.columns[0].dtype if schema.columns else None
    alike = all(c.kind == "float" and c.given is None and c.dtype == dtype for c in schema.columns)
    if alike and isinstance(dtype, np.dtype):
        names = pd.Index(schema.names)
        return pd.DataFrame(_held(made.numeric, dtype), index, names, copy=False)
    places = {i: place for place, i in enumerate(schema.numeric)}
    votes = {i: place for place, i in enumerate(schema.nominal)}
    columns: dict[int, Any] = {}
    for i, column in enumerate(schema.columns):
        values: Any
        dtype = column.dtype
        if isinstance(dtype, pd.CategoricalDtype) and dtype.categories is None:
            dtype = rows.categories.get(i, dtype)  # they travel with the rows
        if i in votes:
            values = _taken(rows.levels[votes[i]], made.codes[:, votes[i]], dtype)
        elif i in places:
            place = places[i]
            values = numbers_of(made.numeric[:, place], made.integers.get(place), column)
        elif column.kind == "group":
            assert rows.group is not None and rows.group_levels is not None
            values = _taken(rows.group_levels, rows.group[made.bases], dtype)
        elif column.kind == "copied":
            assert rows.passthrough is not None
            values = _taken(rows.passthrough[column.name], made.bases, dtype)
        else:
            values = repeated(None if column.kind == "carried" else label, len(index), dtype)
        plain = isinstance(values, np.ndarray) and values.dtype.kind in "iufb"
        as_is = object if values.dtype == object else None
        columns[i] = values if plain else pd.Series(values, index, as_is, copy=False)
    # This puts columns of one dtype into one block; many blocks slow down all that follows.
    frame = pd.DataFrame(columns, index=index)
    # Among texts, pandas would make NaN of None.
    kept = not schema.names or None in schema.names
    frame.columns = pd.Index(schema.names, dtype=object if kept else None)
    return frame


def synthetic_index(like: pd.Index, first: int, n: int) -> pd.Index:
    """Return the index of new rows."""
    dtype = like.dtype
    if pd.api.types.is_bool_dtype(dtype) or not pd.api.types.is_numeric_dtype(dtype):
        if isinstance(like, pd.CategoricalIndex):
            return pd.CategoricalIndex([None] * n, dtype=dtype, name=like.name)
        return pd.Index([None] * n, dtype=dtype, name=like.name)
    if pd.api.types.is_integer_dtype(dtype) and first + n > 2 ** (
        8 * getattr(dtype, "itemsize", 8) - 1
    ):
        raise ValueError(
            f"the index has dtype {dtype}, which cannot number {first + n:,} rows; call "
            "reset_index(drop=True) first"
        )
    return pd.Index(np.arange(first, first + n), dtype=dtype, name=like.name)


class Part(NamedTuple):
    """A synthetic partition, and its companions and provenance where there are any."""

    table: Any
    weights: Any = None
    groups: Any = None
    provenance: Any = None


def fit_model(found: Extract, *, recipe: Recipe, seed: int) -> Any:
    """Have the recipe fit its model to the sample, in the order of the table."""
    ranks = sorted(found.sample)
    numeric = np.concatenate([found.sample[r].numeric for r in ranks])
    numbers = np.concatenate([found.sample[r].numbers for r in ranks])
    of = np.repeat(ranks, [len(found.sample[r].numbers) for r in ranks])
    order = np.argsort(numbers, kind="stable")
    matrix = recipe.scaled(numeric.take(order, axis=0))
    return recipe.fit(matrix, of[order], numbers[order], seed)


def build_class_index(
    found: Extract,
    nearest_all: NearestOfAll | None = None,
    model: Any = None,
    survey: Any = None,
    *,
    recipe: Recipe,
    of: ClassPlan,
    seed: int,
    total: int,
) -> ClassIndex:
    """Index the rows of a class and allocate its new rows to base rows."""
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
    eligible = None
    if rows.group is not None and rows.group_levels is not None and recipe.k:
        lone = lone_groups(np.bincount(rows.group), rows.group_levels, recipe, of)
        if recipe.on_small_group == "skip":
            eligible = np.flatnonzero(~lone[rows.group])
    ctx = ClassContext(rows, of, seed, eligible, nearest_all, model, survey, total)
    ctx.columns = rows.numeric.T
    ctx.blocks = lambda: blocks_of(recipe.scaled(rows.numeric))
    ctx.state = recipe.prepare(ctx)
    bases = recipe.bases(ctx)
    index, report = _indexed(rows, bases, recipe, of, seed, model)
    report |= bases.report
    return ClassIndex(
        rows, bases, index, nearest_all, report, False, of.rank, found.decimals, ctx.state
    )


def lone_groups(sizes: np.ndarray, levels: pd.Series, recipe: Recipe, of: ClassPlan) -> np.ndarray:
    """Tell which groups are too small; refuse them, or that there is no other, if asked to."""
    small = np.flatnonzero(sizes <= recipe.k)
    if len(small) and recipe.on_small_group == "error":
        shown = listed(f"{plain(levels.iloc[g])!r}: {sizes[g]:,}" for g in small)
        raise ValueError(
            f"class {of.label!r} has {len(small):,} group(s) of fewer than {recipe.k + 1} rows "
            f"(k + 1), in which a row has no {recipe.k} neighbours: {shown}; lower "
            "k_neighbors, or pass on_small_group='copy' or 'skip'"
        )
    if len(small) == len(sizes) and recipe.on_small_group == "skip":
        raise ValueError(
            f"class {of.label!r} has no group of at least {recipe.k + 1} rows (k + 1): no row "
            "can be a base; lower k_neighbors, or pass on_small_group='copy'"
        )
    return np.asarray(sizes <= recipe.k)


def _indexed(
    rows: Rows, bases: Bases, recipe: Recipe, of: ClassPlan, seed: int, model: Any
) -> tuple[NeighborIndex | None, dict[str, Any]]:
    """Build the index of a class, one for each of its groups where there are some."""
    space = recipe.search_space(rows, model)
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
        # In all columns, though the search be in fewer.
        codes = rows.codes if space.weight else None
        matrix = recipe.scaled(rows.numeric)
        report |= measure_recall(
            index, matrix, recipe.k, seed=drawn, codes=codes, weight=space.weight
        )
    elif not index.exact:
        report["recall"] = None  # of neighbours within groups it is not measured
    return index, report


def make_rows(
    of: ClassIndex,
    how: Making,
    rank: int,
    new: range,
    step: int,
    each: Callable[..., Any] = map,
) -> Made:
    """Make some of the new rows of a class as arrays, `step` at a time.

    Only base rows that the allocation uses are queried, each once.
    """

    def some(start: int) -> Made:
        stop = min(new.stop, start + step)
        bases = bases_of(of.bases.ends, start, stop)
        if not of.copied:
            return how.recipe.make(
                of, bases, Draws(how.seed, rank, start, stop), how.schema.rounded
            )
        integers = {j: values[bases] for j, values in of.rows.integers.items()}
        return Made(of.rows.numeric.take(bases, axis=0), integers, of.rows.codes[bases], bases)

    parts: list[Made] = [*each(some, range(new.start, new.stop, step))]
    first = parts[0]
    if len(parts) == 1:
        return first
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("numeric", "codes", "bases", "neighbours", "gaps", "weights")
        if getattr(first, name) is not None
    }
    integers = {j: np.concatenate([p.integers[j] for p in parts]) for j in first.integers}
    return replace(first, integers=integers, **joined)


def make_block(
    of: ClassIndex, *, how: Making, block: Block, like: pd.Index, array: np.dtype | None
) -> Part:
    """Make one synthetic partition, as a frame or (with `array`, its dtype) as an ndarray."""
    made = make_rows(of, how, block.class_rank, range(block.start, block.stop), STEP)
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
    """Give new rows the container and the dtypes of the output, and companions."""
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
        provenance = provenance_of(how.provenance, how.schema, index, (rows, made))
        if array is None:
            table = with_provenance(table, provenance)
    return Part(table, weights, groups, provenance)


def _table(
    rows: Rows, made: Made, how: Making, label: Any, index: pd.Index, array: np.dtype | None
) -> Any:
    schema = how.schema
    apart = schema.nominal or schema.carried or schema.copied
    if array is not None and array.kind == "f" and not apart:
        return _held(made.numeric, array)
    if array is not None and array.kind == "O" and len(schema.nominal) == len(schema.columns):
        levels = zip(rows.levels, made.codes.T, strict=True)
        return np.stack([of.to_numpy(dtype=object)[codes] for of, codes in levels], axis=1)
    if how.recipe.copies_rows and rows.passthrough is not None:
        if array is not None and not schema.carried:
            return rows.passthrough.to_numpy(dtype=array)[made.bases]
        frame = _copies(rows.passthrough, made.bases, schema, index)
    else:
        frame = _decode(schema, rows, made, label, index)
    return frame if array is None else frame.to_numpy(dtype=array)


def _copies(rows: pd.DataFrame, bases: np.ndarray, schema: Schema, index: pd.Index) -> pd.DataFrame:
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
        frame.isetitem(i, repeated(None, len(frame), dtype))
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
