r"""Classes larger than a worker: their rows lie in scratch files, cut into cells of near rows.

::

    partition p --store-->   its class rows, in their order; a sample of them
    all         --lay out--> cells cut from the sample; how often each row is a base   (one task)
    partition p --spread-->  the same rows by cell, and the box of each cell's rows
    cell c      --home---->  the k nearest of its own rows; bases go on to cells their ball meets
    cell c      --answer-->  its rows inside the balls of those that came
    cell c      --make---->  home and answers merged, new rows made of them, by block
    block b     --collect->  its rows in order: a synthetic partition

Rows travel through an :class:`~dsmote.execute.exchange.Exchange`, so a worker that dies takes none
along; between tasks go only boxes and counts. Only base rows are searched for. The result is that
of one index over the class, to the bit (see :mod:`dsmote.neighbors.cells`), and random numbers are
those of a new row's number, so it does not depend on the cells either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.execute.exchange import Exchange, scratch
from dsmote.execute.extract import Extract, Take, extract
from dsmote.execute.generate import STEP, Part, finish
from dsmote.execute.partition import row_hashes
from dsmote.execute.recipe import Bases, ClassIndex, Draws, Made, Making, Recipe, Rows, Task
from dsmote.execute.rows import common_categories, exact_of, join_levels
from dsmote.neighbors import cells as kernels
from dsmote.neighbors.exact import scale_power
from dsmote.plan import (
    Block,
    ClassPlan,
    Plan,
    Profile,
    Schema,
    Stream,
    copies_with_replacement,
    format_bytes,
)
from dsmote.plan.draws import INDEX
from dsmote.plan.memory import CELL_NEW_ROWS, CELL_SAMPLE
from dsmote.plan.work import cell_work


@dataclass(frozen=True)
class Stored:
    """What is known of the class rows of one partition, which lie in a scratch file."""

    like: Rows  # none of the rows, and what belongs to all: levels, categories, units
    n_rows: int
    sample: np.ndarray  # numeric features of some, raw
    largest: float  # of the absolute values of the searched matrix
    unfit: frozenset[int]  # columns of decimals, not all of which fit in 64 bits


@dataclass(frozen=True)
class Layout:
    """Where the rows of a class are."""

    cutting: Any
    unit: float  # the power of two that the searched rows are multiplied by
    weight: float  # of a differing category
    starts: np.ndarray  # number of the first row of each partition among all rows of the table
    like: Rows
    decimals: dict[int, Any]


@dataclass(frozen=True)
class Cells:
    """One class, and the tasks that search it and make its new rows."""

    exchange: Exchange
    how: Making
    cls: ClassPlan
    blocks: tuple[Block, ...]
    parts: int  # partitions of the input

    @property
    def recipe(self) -> Recipe:
        """The sampler's."""
        return self.how.recipe

    def _name(self, stage: str, place: int) -> str:
        return f"{self.cls.rank}-{stage}-{place:05d}"

    def _names(self, stage: str, n: int) -> list[str]:
        return [self._name(stage, place) for place in range(n)]

    # ---- the partitions

    def store(self, rows: Rows, place: int) -> Stored:
        """Write the class rows of a partition."""
        matrix = self.recipe.scaled(rows.numeric)
        share = min(1.0, CELL_SAMPLE / max(1, self.cls.usable))
        some = row_hashes(list(rows.numeric.T)) <= np.uint64(share * (2**64 - 2**11))
        sample = np.unique(rows.numeric[some], axis=0)  # equal rows have equal hashes
        self.exchange.send(self._name("rows", place), table_of(rows), np.zeros(len(rows), int), 1)
        if self.recipe.weighs_columns:
            batches = (pa.record_batch({"x": np.ascontiguousarray(of)}) for of in matrix.T)
            self.exchange.write(
                self._name("columns", place), batches, pa.schema({"x": pa.float64()})
            )
        largest = float(max(matrix.max(initial=0.0), -matrix.min(initial=0.0)))
        unfit = frozenset(
            j
            for j, unit in rows.units.items()
            if j not in rows.integers and (abs(rows.numeric[:, j]) >= 2.0**63 / unit).any()
        )
        return Stored(rows.take(_NO_IDS), len(rows), sample, largest, unfit)

    def lay_out(self, found: Extract) -> Layout:
        """Cut the cells, and allocate the new rows to base rows."""
        everywhere = found.stored.get(self.cls.rank, [])
        stored = [each for each in everywhere if each is not None]
        n = sum(each.n_rows for each in stored)
        if n <= self.recipe.k:
            raise ValueError(
                f"class {self.cls.label!r} has {n:,} rows without missing values, but "
                f"{self.recipe.needs().k_name}={self.recipe.k} needs at least {self.recipe.k + 1} "
                "(k + 1); lower it"
            )
        weight = 0.0
        if self.recipe.weighs_columns:
            places = [place for place, each in enumerate(everywhere) if each is not None]
            columns = self._columns(places, stored[0].like.numeric.shape[1])
            weight = self.recipe.weight_of(columns)
        unit = scale_power(np.array([each.largest for each in stored]), weight)
        sample = np.unique(np.concatenate([each.sample for each in stored]), axis=0)
        cutting = kernels.cut(self.recipe.scaled(sample) * unit, (self.cls.cells - 1).bit_length())
        ends = copies_with_replacement(n, self.cls.new, self.how.seed, self.cls.rank)
        starts = np.concatenate([[0], ends[:-1]])
        bounds = np.cumsum([each.n_rows if each else 0 for each in everywhere])[:-1]
        schema = pa.schema({"start": pa.int64(), "end": pa.int64()})
        batches = (
            pa.record_batch([pa.array(a), pa.array(b)], schema=schema)
            for a, b in zip(np.split(starts, bounds), np.split(ends, bounds), strict=True)
        )
        self.exchange.write(self._name("allocation", 0), batches, schema)
        like = _joined(stored, self.how.schema)
        return Layout(cutting, unit, weight, found.starts, like, found.decimals)

    def _columns(self, places: Sequence[int], n: int) -> Iterator[np.ndarray]:
        names = [self._name("columns", place) for place in places]
        return (self.exchange.receive(names, j)["x"].to_numpy() for j in range(n))

    def spread(self, layout: Layout, found: Extract, place: int) -> dict[str, np.ndarray]:
        """Send the class rows of a partition to their cells; return counts and boxes."""
        (stored,) = found.stored[self.cls.rank]
        task = partial(self._spread, layout, stored and stored.like, place)
        return self.exchange.once(self._name("cell", place), task)

    def _spread(self, layout: Layout, own: Rows | None, place: int) -> dict[str, np.ndarray]:
        rows = layout.like
        if own is not None:
            rows, _ = rows_of(self.exchange.receive([self._name("rows", place)], 0), own)
            rows = _as(rows, layout.like)
        allocated = self.exchange.receive([self._name("allocation", 0)], place)
        cell, low, high = layout.cutting.spread(self._matrix(layout, rows))
        order, n = np.argsort(cell, kind="stable"), layout.cutting.n_cells
        rows = rows.take(order).moved(int(layout.starts[place]))
        more = {name: allocated[name].to_numpy()[order] for name in ("start", "end")}
        self.exchange.send(self._name("cell", place), table_of(rows, **more), cell[order], n)
        return {"rows": np.bincount(cell, minlength=n), "low": low, "high": high}

    # ---- the cells

    def _matrix(self, layout: Layout, rows: Rows) -> np.ndarray:
        matrix = self.recipe.scaled(rows.numeric)
        return matrix if layout.unit == 1.0 else matrix * layout.unit

    def _rows(self, layout: Layout, c: int) -> tuple[Rows, np.ndarray, np.ndarray]:
        names = self._names("cell", self.parts)
        rows, more = rows_of(self.exchange.receive(names, c), layout.like)
        return rows, more["start"].to_numpy(), more["end"].to_numpy()

    def _cell(self, layout: Layout, rows: Rows) -> kernels.Cell:
        recipe, seed = self.recipe, int(Stream(self.how.seed, self.cls.rank, INDEX).bits(0, 1)[0])
        some = slice(None, None, max(1, len(rows) // 512))
        engine: Any = recipe.engine(len(rows), rows.numeric[some], rows.codes[some]).engine

        def build(matrix: np.ndarray, codes: np.ndarray, weight: float) -> Any:
            return engine.build(matrix, *((codes, weight) if weight else ()), seed=seed)

        return kernels.Cell(
            self._matrix(layout, rows), rows.codes, layout.weight * layout.unit, build
        )

    def home(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        """Search a cell for the neighbours of its base rows, and send those on that need it."""
        return self.exchange.once(self._name("home", c), partial(self._home, layout, boxes, c))

    def check_boxes(self, parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Merge the boxes of all partitions, and refuse cells that are larger than was planned."""
        boxes = merged_boxes(parts)
        largest = int(boxes["rows"].max())
        if largest > self.cls.cell_rows:
            raise ValueError(
                f"class {self.cls.label!r} has {largest:,} rows so near each other (or equal) that "
                f"they are one cell, and workers have memory for {self.cls.cell_rows:,}; give each "
                "worker more memory"
            )
        return boxes

    def _home(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        rows, start, end = self._rows(layout, c)
        cell, k = self._cell(layout, rows), self.recipe.k
        asking = cell.order[(end > start)[cell.order]]  # near ones follow each other
        squares, found = cell.home(asking, k)
        self.exchange.send(
            self._name("home", c),
            pa.table({"query": asking, "square": _lists(squares), "place": _lists(found)}),
            np.zeros(len(asking), dtype=int),
            1,
        )
        low, high = boxes["low"].copy(), boxes["high"].copy()
        low[c], high[c] = np.inf, -np.inf
        points = self._matrix(layout, rows)[asking]
        query, to = kernels.meets(layout.cutting, points, squares[:, -1], low, high)
        order = np.argsort(to, kind="stable")
        query, to = query[order], to[order]
        n_cells = len(low)
        bounds = np.searchsorted(to, np.arange(n_cells + 1)).tolist()
        asked = replace(rows, integers={}, weights=None)

        def batch(some: np.ndarray) -> pa.RecordBatch:
            sent = asked.take(asking[some])
            return _batch(table_of(sent, query=asking[some], square=squares[some, -1]))

        parts = (batch(query[i:j]) for i, j in pairwise(bounds))
        self.exchange.write(self._name("forward", c), parts, batch(query[:0]).schema)
        return {"forwards": np.array(len(query)), "asking": np.array(len(asking))}

    def answer(self, layout: Layout, boxes: Any, _: Any, c: int) -> dict[str, np.ndarray]:
        """Answer the queries of other cells."""
        return self.exchange.once(self._name("answer", c), partial(self._answer, layout, c))

    def _answer(self, layout: Layout, c: int) -> dict[str, np.ndarray]:
        rows, _, _ = self._rows(layout, c)
        cell, k, found = self._cell(layout, rows), self.recipe.k, 0
        like = replace(layout.like, integers={}, weights=None)
        schema = table_of(rows.take(_NO_IDS), query=_NO_IDS, square=np.empty(0)).schema

        def answers() -> Iterator[pa.RecordBatch]:
            nonlocal found
            for other in range(layout.cutting.n_cells):
                came = self.exchange.receive([self._name("forward", other)], c)
                asked, more = rows_of(came, like)
                points = self._matrix(layout, asked)
                if layout.weight:
                    points = np.concatenate([points, asked.codes], axis=1)
                bounds = [len(came) * i // k for i in range(k + 1)]
                for i, j in pairwise(bounds):  # of each k at most: no slice has more than came
                    if i == j or not len(rows):
                        yield _batch(schema.empty_table())
                        continue
                    squares = more["square"].to_numpy()[i:j]
                    query, place, square = cell.inside(points[i:j], squares, k)
                    found += len(query)
                    asker = more["query"].to_numpy()[i:j][query]
                    yield _batch(table_of(rows.take(place), query=asker, square=square))

        self.exchange.write(self._name("answer", c), answers(), schema)
        return {"answers": np.array(found)}

    def make(self, layout: Layout, boxes: Any, _: Any, c: int) -> dict[str, np.ndarray]:
        """Make the new rows of a cell's base rows, and send them to their blocks."""
        return self.exchange.once(self._name("made", c), partial(self._make, layout, c))

    def _make(self, layout: Layout, c: int) -> dict[str, np.ndarray]:
        rows, start, end = self._rows(layout, c)
        here = self.exchange.receive([self._name("home", c)], 0)
        asking, k = here["query"].to_numpy(), self.recipe.k
        squares, place = _listed(here["square"], k), _listed(here["place"], k)
        numbers = np.where(place < 0, -1, rows.numbers[place])
        del here, place
        row_of = np.zeros(len(rows), dtype=np.int64)
        row_of[asking] = np.arange(len(asking))
        for came in self._answers(layout, c):
            query, more = row_of[came["query"].to_numpy()], came["number"].to_numpy()
            square = came["square"].to_numpy()
            squares, numbers = kernels.merge(squares, numbers, query, more, square)
        order = np.argsort(asking)
        asking, numbers = asking[order], numbers[order]
        # No more rows of other cells are held at once than the cell has of its own.
        from_others = len(np.setdiff1d(numbers, rows.numbers))
        step = max(1, len(rows) // k) if from_others > len(rows) else max(1, len(asking))
        files = made = 0
        for low in range(0, len(asking), step):
            some = asking[low : low + step]
            index = self._index(layout, rows, c, some, numbers[low : low + step])
            copies = (end - start)[some]
            first = np.cumsum(copies) - copies
            bases = np.repeat(np.searchsorted(index.rows.numbers, rows.numbers[some]), copies)
            places = np.arange(len(bases)) + np.repeat(start[some] - first, copies)
            for held in range(0, len(bases), CELL_NEW_ROWS):
                self._send_made(f"{self._name('made', c)}-{files}", index, bases, places, held)
                files += 1
            made += len(bases)
        return {"files": np.array(files), "rows": np.array(made)}

    def _answers(self, layout: Layout, c: int) -> Iterator[pa.Table]:
        for name in self._names("answer", layout.cutting.n_cells):
            for i in range(self.recipe.k):
                came = self.exchange.receive([name], c * self.recipe.k + i)
                if len(came):
                    yield came

    def _index(
        self, layout: Layout, rows: Rows, c: int, asking: np.ndarray, numbers: np.ndarray
    ) -> ClassIndex:
        """Return a cell's rows and those of other cells that are neighbours, and who is whose."""
        wanted = np.setdiff1d(numbers, rows.numbers)
        pieces = [rows]
        for came in self._answers(layout, c) if len(wanted) else ():
            found, _ = rows_of(came, layout.like)
            first = np.unique(found.numbers, return_index=True)[1]
            at = first[np.isin(found.numbers[first], wanted)]
            wanted = np.setdiff1d(wanted, found.numbers[at])
            pieces.append(found.take(at))
        everyone = _concatenated(pieces)
        everyone = everyone.take(np.argsort(everyone.numbers))
        at = np.full(len(everyone), -1)
        at[np.searchsorted(everyone.numbers, rows.numbers[asking])] = np.arange(len(asking))
        known: Any = Known(np.searchsorted(everyone.numbers, numbers), at)
        rank, decimals = self.cls.rank, layout.decimals
        return ClassIndex(everyone, _ALLOCATED, known, None, {}, False, rank, decimals)

    def _send_made(
        self, name: str, index: ClassIndex, bases: np.ndarray, places: np.ndarray, start: int
    ) -> None:
        stop = min(len(bases), start + CELL_NEW_ROWS)
        made = []
        for low in range(start, stop, STEP):
            step = slice(low, min(stop, low + STEP))
            made.append(self._made(index, bases[step], places[step]))
        edges = np.array([block.start for block in self.blocks])
        block = np.searchsorted(edges, places[start:stop], side="right") - 1
        self.exchange.send(name, pa.concat_tables(made), block, len(edges))

    def _made(self, index: ClassIndex, bases: np.ndarray, places: np.ndarray) -> pa.Table:
        draws = Draws(self.how.seed, self.cls.rank, 0, len(places), places)
        made = self.recipe.make(index, bases, draws, self.how.schema.rounded)
        rows = index.rows
        weights = None if rows.weights is None else rows.weights[bases]
        new = Rows(made.numeric, made.codes, rows.numbers[bases], made.integers, weights=weights)
        more = {"place": places, "neighbour": made.neighbours, "gap": made.gaps, "v": made.weights}
        return table_of(new, **{name: of for name, of in more.items() if of is not None})

    def made(self, layout: Layout, files: Sequence[dict[str, np.ndarray]]) -> MadeInCells:
        """Return where the new rows are."""
        return MadeInCells(self, layout, tuple(int(of["files"]) for of in files))

    # ---- the blocks

    def collect(
        self, made: MadeInCells, block: Block, like: pd.Index, array: np.dtype | None
    ) -> Part:
        """Return one synthetic partition."""
        layout, number = made.layout, self.blocks.index(block)
        names = [f"{self._name('made', c)}-{i}" for c, n in enumerate(made.files) for i in range(n)]
        table = self.exchange.receive(names, number)
        order = np.argsort(table["place"].to_numpy())
        rows, more = rows_of(table, layout.like)
        rows = rows.take(order)
        if not np.array_equal(more["place"].to_numpy()[order], np.arange(block.start, block.stop)):
            raise ValueError(
                f"new rows of class {block.label!r} are not all there: {len(rows):,} of "
                f"{block.rows:,} in one block; the scratch files were changed or deleted"
            )

        def column(name: str) -> Any:
            return more[name].to_numpy()[order] if name in more.column_names else None

        new = Made(
            rows.numeric,
            rows.integers,
            rows.codes,
            np.arange(len(rows)),
            column("neighbour"),
            column("gap"),
            column("v"),
        )
        of = ClassIndex(
            rows, _ALLOCATED, None, None, {}, False, self.cls.rank, decimals=layout.decimals
        )
        return finish(of, new, self.how, block.label, self.how.first + block.offset, like, array)


@dataclass(frozen=True)
class MadeInCells:
    """The new rows of a class in scratch files: what stands in the place of its index."""

    cells: Cells
    layout: Layout
    files: tuple[int, ...]  # of each cell


@dataclass(frozen=True)
class Known:
    """An index whose answers are known; `at` is where each row's are, -1 where there are none."""

    near: np.ndarray
    at: np.ndarray
    engine: str = "cells"
    exact: bool = True

    @property
    def n_rows(self) -> int:
        """Rows that are known by a number."""
        return len(self.at)

    def query(self, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest of rows; their distances are not kept."""
        return np.full((len(ids), k), np.nan), self.near[self.at[ids], :k]

    def query_points(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Refuse: of points nothing is known."""
        raise NotImplementedError


def merged_boxes(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Merge what was spread: rows of each cell, and their boxes."""
    return {
        "rows": reduce(np.add, (part["rows"] for part in parts)),
        "low": reduce(np.minimum, (part["low"] for part in parts)),
        "high": reduce(np.maximum, (part["high"] for part in parts)),
    }


def store(place: int, *row: Any, take: Take, cells: Sequence[Cells]) -> Extract:
    """Take class rows out of a partition, and write those of classes that are cut into cells."""
    found = extract(*row, take=take)
    rows = dict(found.rows)
    stored = {}
    for each in cells:
        own = rows.pop(each.cls.rank, None)
        stored[each.cls.rank] = [None if own is None else each.store(own, place)]
    return replace(found, rows=rows, stored=stored)


# ---- rows as tables

_NO_IDS = np.empty(0, dtype=np.int64)
_ALLOCATED = Bases(_NO_IDS)  # each base row has its new rows with it


def _lists(matrix: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def _listed(column: Any, width: int) -> np.ndarray:
    joined = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(joined.flatten()).reshape(-1, width)


def _batch(table: pa.Table) -> pa.RecordBatch:
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def table_of(rows: Rows, **more: np.ndarray) -> pa.Table:
    """Return rows of a class as a table, with further columns."""
    columns: dict[str, Any] = {"number": rows.numbers}
    if rows.numeric.shape[1]:
        columns["x"] = _lists(rows.numeric)
    if rows.codes.shape[1]:
        columns["c"] = _lists(rows.codes)
    columns |= {f"i{place}": values for place, values in rows.integers.items()}
    if rows.weights is not None:
        columns["w"] = rows.weights
    return pa.table(columns | more)


def rows_of(table: pa.Table, like: Rows) -> tuple[Rows, pa.Table]:
    """Return what `table_of` was made of; `like` has what belongs to all rows."""
    p, q = like.numeric.shape[1], like.codes.shape[1]
    n = len(table)
    x = _listed(table["x"], p) if p else np.empty((n, 0))
    codes = _listed(table["c"], q) if q else np.empty((n, 0), dtype=np.int32)
    integers = {j: table[f"i{j}"].to_numpy() for j in like.integers}
    weights = table["w"].to_numpy() if like.weights is not None else None
    rows = replace(
        like,
        numeric=x,
        codes=codes,
        numbers=table["number"].to_numpy(),
        integers=integers,
        weights=weights,
    )
    return rows, table


def _as(rows: Rows, like: Rows) -> Rows:
    """Return rows of a partition with the levels, and the exact integers, of the whole class."""
    codes = np.empty_like(rows.codes)
    for j, (known, own) in enumerate(zip(like.levels, rows.levels, strict=True)):
        here = [(np.arange(len(known)), known), (rows.codes[:, j], own.astype(known.dtype))]
        codes[:, j] = join_levels(here)[0][len(known) :]
    integers = {
        j: exact_of(rows, j, kind.dtype, like.units.get(j)) for j, kind in like.integers.items()
    }
    common: dict[str, Any] = {
        "levels": like.levels,
        "categories": like.categories,
        "units": like.units,
    }
    return replace(rows, codes=codes, integers=integers, **common)


def _joined(stored: Sequence[Stored], schema: Schema) -> Rows:
    """Join what belongs to all rows of the partitions, as `rows.join` does."""
    filled = [each for each in stored if each.n_rows] or list(stored[:1])
    first = filled[0].like
    likes = [each.like for each in filled]
    categories = common_categories([each.like for each in stored], schema)
    levels = []
    for place, i in enumerate(schema.nominal):
        of = [(np.arange(len(like.levels[place])), like.levels[place]) for like in likes]
        _, unique = join_levels(of, categories.get(i))
        levels.append(unique.rename(schema.columns[i].name))
    units = {place: unit for like in likes for place, unit in like.units.items()}
    unfit = frozenset().union(*(each.unfit for each in filled))
    integers = {j: kind for like in likes for j, kind in like.integers.items() if j not in unfit}
    return replace(
        first, levels=tuple(levels), categories=categories, units=units, integers=integers
    )


def _concatenated(pieces: Sequence[Rows]) -> Rows:
    """Join rows that have the same levels."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]

    def joined(name: str) -> Any:
        return np.concatenate([getattr(piece, name) for piece in pieces])

    integers = {j: np.concatenate([piece.integers[j] for piece in pieces]) for j in first.integers}
    weights = None if first.weights is None else joined("weights")
    return replace(
        first,
        numeric=joined("numeric"),
        codes=joined("codes"),
        numbers=joined("numbers"),
        integers=integers,
        weights=weights,
    )


def cells_of(task: Task, parts: int, token: str) -> list[Cells]:
    """Return the classes that are cut into cells, with a scratch folder for them."""
    exchange = scratch(task.scratch, token, task.staged)
    found = []
    for c in task.plan.growing:
        blocks = tuple(block for block in task.plan.blocks if block.class_rank == c.rank)
        found += [Cells(exchange, task.how, c, blocks, parts)] if c.cells else []
    return found


# ---- what it takes


def with_cells(
    plan: Plan, recipe: Recipe, schema: Schema, profile: Profile, max_pairs: float
) -> Plan:
    """Add to a plan what cells cost; refuse where nearly all pairs of rows would be compared."""
    notes, problems = [], []
    row = 8 * len(schema.numeric) + 4 * len(schema.nominal) + 32
    partitions = -(-profile.bytes // max(1, profile.largest_bytes))
    for c in plan.growing:
        if not c.cells:
            continue
        text = f"class {c.label!r} is cut into {c.cells:,} cells of at most {c.cell_rows:,} rows"
        if c.label not in profile.larger:
            notes.append(f"{text}; what they take is not known before the rows are read")
            continue
        some = profile.larger[c.label]
        share = float(some.keys[-1]) / 2.0**64 if len(some.keys) < c.usable else 1.0
        # Of equal rows, the last may have been cut off.
        whole = some.numeric[some.keys < some.keys[-1]] if share < 1.0 else some.numeric
        sample = recipe.scaled(whole)
        sample = sample * scale_power(sample)
        cutting = kernels.cut(np.unique(sample, axis=0), (c.cells - 1).bit_length())
        found = kernels.estimate_forwards(sample, cutting, c.usable, recipe.k, share)
        work = cell_work(c, found.best, found.dimension, row, partitions)
        notes.append(
            f"{text}; a base row asks about {found.best:.3g} other cells ({found.least:.3g} to "
            f"{found.most:.3g}); scratch files of about {format_bytes(work.bytes)}; about "
            f"{work.seconds:,.1f} core-seconds"
        )
        if (c.engine or "").endswith("brute"):
            notes[-1] += f", in which about {work.pairs:.1e} pairs of rows are compared"
            if work.pairs > max_pairs:
                problems.append(
                    f"class {c.label!r}: its rows spread in so many directions that "
                    f"{work.pairs:.1e} pairs of rows would be compared, and max_pairs allows "
                    f"{max_pairs:.1e}; give n_components, CappedIndex as neighbors, fewer columns "
                    "or a larger max_pairs"
                )
    return replace(plan, notes=(*plan.notes, *notes), too_large=(*plan.too_large, *problems))
