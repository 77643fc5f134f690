r"""Classes larger than a worker whose new rows are made of their base rows alone.

::

    partition p --store-->   its class rows, in chunks; each of their columns
    all         --lay out--> how often each row is a base; what the recipe prepares   (one task)
    block b     --collect->  the chunks with its base rows, which follow each other: its new rows

All of it lies in an :class:`~dsmote.execute.exchange.Exchange`; between tasks go only counts and
what belongs to all rows, such as levels. Chunks are pickled: rows that are copied as they are have
columns of any dtype, and Arrow has none for objects of several types.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.execute.arrow import as_of_class
from dsmote.execute.exchange import Exchange
from dsmote.execute.extract import Extract
from dsmote.execute.generate import Part, make_block
from dsmote.execute.recipe import Bases, ClassContext, ClassIndex, Making, Recipe, Rows
from dsmote.execute.rows import exact_of, join, join_levels, unfit_decimals
from dsmote.plan import Block, ClassPlan

_PICKLED = pa.schema({"rows": pa.large_binary()})
_COLUMN = pa.schema({"x": pa.float64()})
_GROUP = pa.schema({"code": pa.int32()})
_ALLOCATION = pa.schema({"row": pa.int64(), "end": pa.int64()})


@dataclass(frozen=True)
class StoredChunks:
    """What is known of the class rows of one partition, which lie in scratch files."""

    like: Rows  # the first of the rows, and what belongs to all: levels, categories, units
    n_rows: int
    limits: Rows  # two rows: the least and the largest of each numeric feature
    unfit: frozenset[int]  # columns of decimals, not all of which fit in 64 bits


@dataclass(frozen=True)
class Chunks:
    """One class whose rows lie in chunks, in their order."""

    exchange: Exchange
    how: Making
    cls: ClassPlan

    @property
    def _reads_columns(self) -> bool:
        return type(self.how.recipe).prepare is not Recipe.prepare

    def _name(self, kind: str, place: int) -> str:
        return f"{self.cls.rank}-{kind}-{place:05d}"

    def store(self, rows: Rows, place: int) -> StoredChunks:
        """Write the class rows of a partition."""
        batches = (
            pa.record_batch([pa.array([_pickled(chunk)], pa.large_binary())], schema=_PICKLED)
            for chunk in self._cut(rows)
        )
        self.exchange.write(self._name("rows", place), batches, _PICKLED)
        if self._reads_columns:
            columns = [*rows.numeric.T, *([] if rows.weights is None else [rows.weights])]
            batches = (pa.record_batch({"x": np.ascontiguousarray(of)}) for of in columns)
            self.exchange.write(self._name("columns", place), batches, _COLUMN)
            if rows.group is not None:
                codes = iter([pa.record_batch({"code": rows.group})])
                self.exchange.write(self._name("group", place), codes, _GROUP)
        first = rows.take(np.arange(min(1, len(rows))))
        return StoredChunks(first, len(rows), _limits(rows), unfit_decimals(rows))

    def _cut(self, rows: Rows) -> Iterator[Rows]:
        for start in range(0, len(rows), self.cls.cell_rows):
            yield rows.take(np.arange(start, min(len(rows), start + self.cls.cell_rows)))

    def lay_out(self, edges: np.ndarray, found: Extract) -> InChunks:
        """Prepare what all new rows need, and allocate those of each block to base rows."""
        everywhere = found.stored.get(self.cls.rank, [])
        sizes = [each.n_rows if each else 0 for each in everywhere]
        n = sum(sizes)
        if not n:
            raise ValueError(
                f"class {self.cls.label!r} has no row without missing values in its features, and "
                "there is nothing to make rows from; leave it out of sampling_strategy"
            )
        like = join([each.like for each in everywhere if each], self.how.schema)
        filled = {place: each for place, each in enumerate(everywhere) if each and each.n_rows}
        unfit = frozenset().union(*(each.unfit for each in filled.values()))
        integers = {j: values for j, values in like.integers.items() if j not in unfit}
        limits = {}
        for j, kind in integers.items():
            of = [exact_of(p.limits, j, kind.dtype, like.units.get(j)) for p in filled.values()]
            limits[j] = np.min(of), np.max(of)
        like = replace(like, integers=integers, limits=limits).take(np.empty(0, dtype=np.int64))
        ctx = self._context(n, like, filled)
        ctx.state = self.how.recipe.prepare(ctx)
        ends = self.how.recipe.bases(ctx).ends
        batches = (
            pa.record_batch([pa.array(of) for of in _allocated(ends, *block)], schema=_ALLOCATION)
            for block in pairwise(edges.tolist())
        )
        self.exchange.write(self._name("allocation", 0), batches, _ALLOCATION)
        firsts = np.array([0, *accumulate(sizes)])
        return InChunks(self, like, found.starts, firsts, edges, found.decimals, ctx.state)

    def _context(self, n: int, like: Rows, filled: dict[int, StoredChunks]) -> ClassContext:
        """Return what a recipe sees of the rows: how many, and if it asks, columns and groups."""

        def column(j: int) -> np.ndarray:
            names = [self._name("columns", place) for place in filled]
            return np.asarray(self.exchange.receive(names, j)["x"].to_numpy())

        p = like.numeric.shape[1]
        nothing = np.broadcast_to(np.int64(0), n)
        rows = Rows(np.empty((n, 0)), np.empty((n, 0), dtype=np.int32), nothing)
        if not self._reads_columns:
            return ClassContext(rows, self.cls, self.how.seed)
        if like.weights is not None:
            rows = replace(rows, weights=column(p))
        if like.group is not None:
            codes = (self.exchange.receive([self._name("group", place)], 0) for place in filled)
            own = [each.like.group_levels for each in filled.values()]
            parts = [(of["code"].to_numpy(), levels) for of, levels in zip(codes, own, strict=True)]
            group, levels = join_levels(parts)
            rows = replace(rows, group=group, group_levels=levels)
        return ClassContext(rows, self.cls, self.how.seed, columns=map(column, range(p)))


@dataclass(frozen=True)
class InChunks:
    """Where the rows of a class are: what stands in the place of its index."""

    chunks: Chunks
    like: Rows  # none of the rows, and what belongs to all
    starts: np.ndarray  # number of the first row of each partition among all rows of the table
    firsts: np.ndarray  # and of its first class row among those of the class
    edges: np.ndarray  # number of the first new row of each block
    decimals: dict[int, Any]
    state: Any  # what Recipe.prepare returned

    def collect(self, block: Block, like: pd.Index, array: np.dtype | None) -> Part:
        """Make one synthetic partition."""
        of, number = self.chunks, int(np.searchsorted(self.edges, block.start))
        allocated = of.exchange.receive([of._name("allocation", 0)], number)
        wanted, ends = allocated["row"].to_numpy(), allocated["end"].to_numpy()
        rows = as_of_class(join([*self._rows(wanted[1:])], of.how.schema), self.like)
        bases = Bases(ends[1:], before=int(ends[0]))
        index = ClassIndex(
            rows, bases, None, None, {}, False, of.cls.rank, self.decimals, self.state
        )
        return make_block(index, how=of.how, block=block, like=like, array=array)

    def _rows(self, wanted: np.ndarray) -> Iterator[Rows]:
        """Read some rows of the class, chunk by chunk."""
        of, size = self.chunks, self.chunks.cls.cell_rows
        part = np.searchsorted(self.firsts, wanted, side="right") - 1
        chunk, at = np.divmod(wanted - self.firsts[part], size)
        changes = (np.diff(part) != 0) | (np.diff(chunk) != 0)
        edges = [0, *np.flatnonzero(changes) + 1, len(wanted)]
        for low, high in pairwise(edges):
            place = int(part[low])
            read = of.exchange.receive([of._name("rows", place)], int(chunk[low]))
            rows: Rows = pickle.loads(read["rows"][0].as_buffer())
            yield rows.take(at[low:high]).moved(int(self.starts[place]))


def _limits(rows: Rows) -> Rows:
    low, high = rows.numeric.min(axis=0, initial=np.inf), rows.numeric.max(axis=0, initial=-np.inf)
    integers = {}
    for j, of in rows.integers.items():
        ends = np.iinfo(of.dtype)
        integers[j] = np.array([of.min(initial=ends.max), of.max(initial=ends.min)], of.dtype)
    return Rows(np.stack([low, high]), np.empty((2, 0), dtype=np.int32), np.arange(2), integers)


def _pickled(rows: Rows) -> bytes:
    """Pickle rows, with those groups only that they are in."""
    if rows.group is not None and rows.group_levels is not None:
        here, codes = np.unique(rows.group, return_inverse=True)
        levels = rows.group_levels.take(here).reset_index(drop=True)
        rows = replace(rows, group=codes.astype(np.int32), group_levels=levels)
    return pickle.dumps(rows, protocol=5)


def _allocated(ends: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the base rows of some new rows and their ends, after those of the row before."""
    low, high = np.searchsorted(ends, [start, stop - 1], side="right").tolist()
    copies = np.diff(ends[low : high + 1], prepend=ends[low - 1] if low else 0)
    rows = low + np.flatnonzero(copies)
    before = rows[0] - 1
    rows = np.concatenate([[before], rows])
    return rows, np.where(rows < 0, 0, ends[rows])
