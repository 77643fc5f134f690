"""From class rows to synthetic rows: the index of one class, and blocks made from it.

Both executors, the serial one and the Dask graph, call these functions; neither has a way of its
own to make rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
import pandas as pd

from dsmote.execute.partition import Extract
from dsmote.execute.rows import Rows, decode, join
from dsmote.neighbors import Choice, NeighborIndex
from dsmote.plan import (
    Block,
    ClassPlan,
    Plan,
    Scaling,
    Schema,
    Stream,
    bases_of,
    copies_with_replacement,
)
from dsmote.plan.draws import GAP, INDEX, NEIGHBOUR, VOTE

__all__ = [
    "ClassIndex",
    "Draws",
    "Made",
    "Recipe",
    "Task",
    "build_class_index",
    "finish",
    "gather",
    "join_extracts",
    "join_made",
    "make_block",
    "make_rows",
    "synthetic_index",
    "take_wide",
]

_STEP = 1 << 14  # new rows made at once: their temporaries stay near the processor

Made = tuple[np.ndarray, dict[int, np.ndarray], np.ndarray]  # numeric, wide, codes


class Draws:
    """The random numbers that belong to the new rows ``start .. stop`` of a class."""

    def __init__(self, seed: int, class_rank: int, start: int, stop: int) -> None:
        self._of = (seed, class_rank)
        self._range = (start, stop)

    def rank(self, k: int) -> np.ndarray:
        """Which of the k neighbours, int64 in {0, ..., k - 1}."""
        return Stream(*self._of, NEIGHBOUR).below(k, *self._range)

    def gap(self) -> np.ndarray:
        """Place on the segment, float64 in [0, 1)."""
        return Stream(*self._of, GAP).uniform(*self._range)

    def vote(self, column: int) -> np.ndarray:
        """Which of the tied levels of nominal column number `column`, float64 in [0, 1)."""
        return Stream(*self._of, VOTE + column).uniform(*self._range)


class Recipe(Protocol):
    """What makes a sampler itself: whose neighbours, and which kernel."""

    @property
    def name(self) -> str:
        """The sampler's name."""
        ...

    @property
    def k(self) -> int:
        """Neighbours of each base row."""
        ...

    @property
    def exact(self) -> bool:
        """Whether the true neighbours are found."""
        ...

    def scaled_by(self, scaling: Scaling | None) -> Recipe:
        """Return a recipe that finds neighbours among scaled rows."""
        ...

    def engine(self, n_rows: int, sample: np.ndarray) -> Choice:
        """Choose the neighbour engine for a class from its number of rows and a sample."""
        ...

    def index(self, rows: Rows, engine: str, seed: int) -> NeighborIndex:
        """Build the index over the rows of a class."""
        ...

    def recall(self, rows: Rows, index: NeighborIndex, seed: int) -> dict[str, Any]:
        """Measure how many of the true neighbours an approximate index finds."""
        ...

    def make(
        self, rows: Rows, bases: np.ndarray, neighbours: np.ndarray, draws: Draws, whole: np.ndarray
    ) -> Made:
        """Make new rows from base rows, shape (n,), and their neighbours, shape (n, k)."""
        ...


@dataclass(frozen=True)
class Task:
    """All that an executor is told.

    Attributes
    ----------
    recipe : Recipe
        The sampler.
    schema, out : Schema
        The columns of the input and of the output.
    plan : Plan
        What to make.
    skip : bool
        Leave rows with missing values out, where otherwise they are an error.
    changes : mapping of column position to dtype
        Columns whose dtype cannot stay: carried whole numbers, categories that differ.
    known : mapping of column position to dtype
        Categories that the input's metadata did not know, and the changes.
    """

    recipe: Recipe
    schema: Schema
    out: Schema
    plan: Plan
    skip: bool
    changes: dict[int, Any]
    known: dict[int, Any]


@dataclass(frozen=True)
class ClassIndex:
    """All that making rows of one class needs: a node of the graph, carried to the workers."""

    rows: Rows
    ends: np.ndarray
    neighbours: NeighborIndex
    report: dict[str, Any]


def join_extracts(parts: Sequence[Extract], *, schema: Schema) -> Extract:
    """Join what was extracted from partitions, in order."""
    counts: dict[Any, int] = reduce(_added, (p[0] for p in parts), {})
    ranks = sorted({rank for p in parts for rank in p[1]})
    rows = {rank: join([p[1][rank] for p in parts if rank in p[1]], schema) for rank in ranks}
    return counts, rows


def _added(a: dict[Any, int], b: Mapping[Any, int]) -> dict[Any, int]:
    return {**a, **{label: a.get(label, 0) + n for label, n in b.items()}}


def gather(parts: Sequence[Extract], *, schema: Schema, plan: Plan) -> dict[int, Rows]:
    """Join all extracts and check that the data are what the plan was made for.

    Raises
    ------
    ValueError
        Other counts than planned: wrong ``class_counts``, or data that changed.
    """
    counts, rows = join_extracts(parts, schema=schema)
    for c in plan.classes:
        if counts.get(c.label, 0) != c.before:
            raise ValueError(
                f"class {c.label!r} has {counts.get(c.label, 0):,} rows in the data, but "
                f"{c.before:,} were planned for; correct class_counts, or leave it out to have "
                "the rows counted (data that change between two reads cannot be resampled)"
            )
    unknown = [label for label in counts if label not in plan.counts_before]
    if unknown:
        raise ValueError(
            f"the data hold the class {unknown[0]!r} ({counts[unknown[0]]:,} rows), which "
            "class_counts does not name; add it, or leave class_counts out"
        )
    return rows


def build_class_index(
    rows: Mapping[int, Rows], *, recipe: Recipe, of: ClassPlan, seed: int
) -> ClassIndex:
    """Index the rows of a class and allocate its new rows to base rows."""
    found = rows.get(of.rank)
    n = 0 if found is None else len(found)
    if found is None or n < recipe.k + 1:
        raise ValueError(
            f"class {of.label!r} has {n:,} rows without missing values, but k_neighbors={recipe.k} "
            f"needs at least {recipe.k + 1} (k + 1); lower k_neighbors"
        )
    engine = of.engine or recipe.engine(n, found.numeric[:: max(1, n // 512)]).name
    ends = copies_with_replacement(n, of.new, seed, of.rank)
    drawn = int(Stream(seed, of.rank, INDEX).words(0, 1)[0])
    index = recipe.index(found, engine, drawn)
    report: dict[str, Any] = {"engine": index.engine, "exact": index.exact, "recall": 1.0}
    if not index.exact:
        report |= recipe.recall(found, index, drawn)
    return ClassIndex(found, ends, index, report)


def make_rows(
    of: ClassIndex, recipe: Recipe, schema: Schema, seed: int, rank: int, start: int, stop: int
) -> Made:
    """Make the new rows ``start .. stop`` of a class, as arrays.

    Only base rows that the allocation uses are queried, each once.
    """
    whole = np.array([schema.columns[i].kind != "float" for i in schema.numeric], dtype=bool)
    made = []
    for low in range(start, stop, _STEP):
        high = min(stop, low + _STEP)
        bases = bases_of(of.ends, low, high)
        asked, place = np.unique(bases, return_inverse=True)
        _, neighbours = of.neighbours.query(asked, recipe.k)
        draws = Draws(seed, rank, low, high)
        made.append(recipe.make(of.rows, bases, neighbours[place], draws, whole))
    return join_made(made)


def join_made(parts: Sequence[Made]) -> Made:
    """Join runs of new rows, in order."""
    if len(parts) == 1:
        return parts[0]
    return (
        np.concatenate([p[0] for p in parts]),
        {j: np.concatenate([p[1][j] for p in parts]) for j in parts[0][1]},
        np.concatenate([p[2] for p in parts]),
    )


def take_wide(rows: Rows, at: np.ndarray) -> Iterable[tuple[int, np.ndarray]]:
    """Yield the exact values of the 64-bit columns at some rows."""
    return ((place, values[at]) for place, values in rows.wide.items())


def synthetic_index(like: pd.Index, first: int, n: int) -> pd.Index:
    """Return the index of new rows.

    Parameters
    ----------
    like : Index
        An (empty) index of the input's kind.
    first : int
        Rows before the first new one: the originals and the new rows made before it.
    n : int
        New rows.

    Returns
    -------
    Index
        A numeric index goes on counting from the number of originals; any other kind is missing.
    """
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


def make_block(
    of: ClassIndex,
    *,
    recipe: Recipe,
    schema: Schema,
    block: Block,
    seed: int,
    n_before: int,
    like: pd.Index,
    array: np.dtype | None,
) -> Any:
    """Make one synthetic partition, as a frame or (with `array`, its dtype) as an ndarray."""
    made = make_rows(of, recipe, schema, seed, block.class_rank, block.start, block.stop)
    return finish(of.rows, made, schema, block.label, n_before + block.offset, like, array)


def finish(
    rows: Rows,
    made: Made,
    schema: Schema,
    label: Any,
    first: int,
    like: pd.Index,
    array: np.dtype | None,
) -> Any:
    """Give new rows the container and the dtypes of the output."""
    numeric = made[0]
    plain_floats = array is not None and array.kind == "f" and not schema.carried
    if plain_floats and not schema.nominal:
        return numeric.astype(array, copy=False)
    index = synthetic_index(like, first, len(numeric))
    frame = decode(schema, rows, *made, label, index)
    return frame if array is None else frame.to_numpy(dtype=array)
