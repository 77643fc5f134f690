r"""Classes larger than a worker: their rows lie in scratch files, cut into cells of near rows.

::

    partition p --store-->   its class rows, in their order; a sample of them
    all         --lay out--> cells cut from the sample; how often each row is a base   (one task)
    partition p --spread-->  those that may be neighbours by cell, and the box of each cell's rows
    cell c      --home---->  the k nearest of its own rows; bases go on to cells their ball meets
    cell c      --answer-->  its rows inside the balls of those that came
    cell c      --make---->  home and answers merged, new rows made of them, by block
    block b     --collect->  its rows in order: a synthetic partition

Rows travel through an :class:`~dsmote.execute.exchange.Exchange`, so a worker that dies takes none
along; between tasks go only boxes and counts. Only base rows are searched for. The result is that
of one index over the class, to the bit (see :mod:`dsmote.neighbors.cells`), and random numbers are
those of a new row's number, so it does not depend on the cells either.

Of equal rows of a partition only the first k + 1 can be neighbours. The others are *surplus*: those
that are base rows lie in a file of their own until a cell makes their new rows, with the neighbours
of the last of these k + 1.
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

from dsmote.execute.arrow import (
    NO_IDS,
    arrays_of,
    as_of_class,
    batch_of,
    concatenated,
    frame_of,
    groups_of,
    listed,
    lists,
    n_groups,
    numbered_groups,
    rows_of,
    table_of,
)
from dsmote.execute.chunks import Chunks
from dsmote.execute.exchange import Exchange, scratch
from dsmote.execute.extract import Extract, Take, extract, places_of
from dsmote.execute.generate import STEP, Part, finish, lone_groups
from dsmote.execute.recipe import Bases, ClassIndex, Draws, Made, Making, Recipe, Rows, Task
from dsmote.execute.rows import common_categories, join_frames, join_levels, unfit_decimals
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


@dataclass(frozen=True)
class Stored:
    """What is known of the class rows of one partition, which lie in a scratch file."""

    like: Rows  # none of the rows, and what belongs to all: levels, categories, units
    n_rows: int
    sample: Rows  # some that travel
    # Of each group (there is one, where there are none): its rows, and the largest absolute value
    # of the searched matrix.
    sizes: np.ndarray
    largest: np.ndarray
    unfit: frozenset[int]  # columns of decimals, not all of which fit in 64 bits


@dataclass(frozen=True)
class Layout:
    """Where the rows of a class are."""

    cutting: Any
    units: np.ndarray  # powers of two that the searched rows of each group are multiplied by
    step: float  # from group to group, where cells are cut; 0 where there are none
    lone: np.ndarray  # groups too small to have neighbours, bool
    weight: float  # of a differing category
    starts: np.ndarray  # number of the first row of each partition among all rows of the table
    pieces: int  # in which the surplus rows of a partition come to a cell
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
        matrix, group = self.recipe.scaled(rows.numeric), groups_of(rows)
        drawn = np.random.default_rng(place).random(len(rows))
        travelling = self._representatives(matrix, rows) == np.arange(len(rows))
        travelling &= drawn < CELL_SAMPLE / max(1, self.cls.usable)
        sample = replace(rows, passthrough=None).take(np.flatnonzero(travelling))
        self.exchange.send(self._name("rows", place), table_of(rows), np.zeros(len(rows), int), 1)
        if self.recipe.weighs_columns:
            batches = (pa.record_batch({"x": np.ascontiguousarray(of)}) for of in matrix.T)
            self.exchange.write(
                self._name("columns", place), batches, pa.schema({"x": pa.float64()})
            )
        if rows.group is not None and self.recipe.on_small_group == "skip":
            batch = pa.record_batch({"g": rows.group})
            self.exchange.write(self._name("groups", place), [batch], batch.schema)
        sizes = np.bincount(group, minlength=n_groups(rows))
        largest = np.zeros(len(sizes))
        reach = np.maximum(matrix.max(axis=1, initial=0.0), -matrix.min(axis=1, initial=0.0))
        np.maximum.at(largest, group, reach)
        return Stored(rows.take(NO_IDS), len(rows), sample, sizes, largest, unfit_decimals(rows))

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
        places = [place for place, each in enumerate(everywhere) if each is not None]
        weight = 0.0
        if self.recipe.weighs_columns:
            columns = self._columns(places, stored[0].like.numeric.shape[1])
            weight = self.recipe.weight_of(columns)
        like = _in_common(stored, self.how.schema)
        # Groups of the partitions, one after the other, among those of the class.
        sizes, largest = np.zeros(n_groups(like), dtype=np.int64), np.zeros(n_groups(like))
        groups = np.zeros(len(stored), dtype=np.int64)
        if like.group_levels is not None:
            groups = numbered_groups([each.like for each in stored])[0]
        np.add.at(sizes, groups, np.concatenate([each.sizes for each in stored]))
        np.maximum.at(largest, groups, np.concatenate([each.largest for each in stored]))
        lone, among = np.zeros(1, dtype=bool), None
        if like.group_levels is not None:
            lone = lone_groups(sizes, like.group_levels, self.recipe, self.cls)
            if self.recipe.on_small_group == "skip":
                among = np.flatnonzero(~self._of_rows(lone[groups], stored, places))
        units = np.ones(len(largest))
        # Others are of usual size, and there may be many groups.
        for group in np.flatnonzero(np.abs(np.frexp(np.maximum(largest, weight))[1]) > 100):
            units[group] = scale_power(largest[group : group + 1], weight)
        step = 0.0
        if like.group_levels is not None:
            # Larger than any distance in a group: of two groups in a cell, it is cut between them.
            step = float(np.ldexp(1.0, np.frexp((largest * units).max())[1] + 4))
        pieces = -(-max(each.n_rows for each in stored) // CELL_NEW_ROWS)
        layout = Layout(None, units, step, lone, weight, found.starts, pieces, like, found.decimals)
        sample = concatenated([as_of_class(each.sample, like) for each in stored])
        points = self._points(layout, sample, self._matrix(layout, sample))
        layout = replace(layout, cutting=kernels.cut(points, (self.cls.cells - 1).bit_length()))
        ends = copies_with_replacement(n, self.cls.new, self.how.seed, self.cls.rank, among)
        starts = np.concatenate([[0], ends[:-1]])
        bounds = np.cumsum([each.n_rows if each else 0 for each in everywhere])[:-1]
        schema = pa.schema({"start": pa.int64(), "end": pa.int64()})
        batches = (
            pa.record_batch([pa.array(a), pa.array(b)], schema=schema)
            for a, b in zip(np.split(starts, bounds), np.split(ends, bounds), strict=True)
        )
        self.exchange.write(self._name("allocation", 0), batches, schema)
        return layout

    def _of_rows(
        self, marks: np.ndarray, stored: Sequence[Stored], places: Sequence[int]
    ) -> np.ndarray:
        """Return the marks of the rows' groups; `marks` are of the groups of the partitions."""
        parts = []
        for each, place in zip(stored, places, strict=True):
            own, marks = np.split(marks, [len(each.sizes)])
            codes = self.exchange.receive([self._name("groups", place)], 0)["g"].to_numpy()
            parts.append(own[codes])
        return np.concatenate(parts)

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
            rows = as_of_class(rows, layout.like)
        allocated = self.exchange.receive([self._name("allocation", 0)], place)
        start, end = (allocated[name].to_numpy() for name in ("start", "end"))
        matrix = self._matrix(layout, rows)
        same = self._representatives(matrix, rows)
        travels, asks = same == np.arange(len(rows)), end > start
        surplus = np.flatnonzero(asks & ~travels)
        asks[same[surplus]] = True
        travelling = np.flatnonzero(travels)
        cell = np.empty(len(rows), dtype=np.int64)
        points = self._points(layout, rows, matrix)[travelling]
        cell[travelling], low, high = layout.cutting.spread(points)
        rows = rows.moved(int(layout.starts[place]))
        n, more = layout.cutting.n_cells, {"start": start, "end": end}
        self._send("cell", place, rows, travelling, cell[travelling], n, asks=asks, **more)
        to = cell[same[surplus]]
        if len(surplus):
            piece = _evenly(to, layout.pieces)
            more["like"] = rows.numbers[same]
            self._send("surplus", place, rows, surplus, piece, n * layout.pieces, **more)
        return {
            "rows": np.bincount(cell[travelling], minlength=n),
            "surplus": np.bincount(to, minlength=n),
            "places": np.array([place] * bool(len(surplus)), dtype=np.int64),
            "low": low,
            "high": high,
            **_ends(groups_of(rows)[travelling], cell[travelling], n),
        }

    def _send(
        self,
        stage: str,
        place: int,
        rows: Rows,
        at: np.ndarray,
        destination: np.ndarray,
        n: int,
        **more: np.ndarray,
    ) -> None:
        order = np.argsort(destination, kind="stable")
        at = at[order]
        table = table_of(rows.take(at), **{name: of[at] for name, of in more.items()})
        self.exchange.send(self._name(stage, place), table, destination[order], n)

    def _representatives(self, matrix: np.ndarray, rows: Rows) -> np.ndarray:
        codes = rows.codes
        if rows.group is not None:
            codes = np.concatenate([codes, rows.group[:, None]], axis=1)
        return kernels.representatives(matrix, codes, self.recipe.k)

    # ---- the cells

    def _matrix(self, layout: Layout, rows: Rows) -> np.ndarray:
        matrix = self.recipe.scaled(rows.numeric)
        if (layout.units == 1.0).all():
            return matrix
        return np.asarray(matrix * layout.units[groups_of(rows), None])

    def _points(self, layout: Layout, rows: Rows, matrix: np.ndarray) -> np.ndarray:
        """Return what is cut into cells: rows of different groups are far from each other."""
        if rows.group is None:
            return matrix
        return np.concatenate([matrix, layout.step * rows.group[:, None]], axis=1)

    def _rows(self, layout: Layout, c: int) -> tuple[Rows, pa.Table]:
        names = self._names("cell", self.parts)
        return rows_of(self.exchange.receive(names, c), layout.like)

    def _cell(self, layout: Layout, rows: Rows) -> Any:
        recipe, seed = self.recipe, int(Stream(self.how.seed, self.cls.rank, INDEX).bits(0, 1)[0])
        some = slice(None, None, max(1, len(rows) // 512))
        engine: Any = recipe.engine(len(rows), rows.numeric[some], rows.codes[some]).engine

        def build(matrix: np.ndarray, codes: np.ndarray, weight: float) -> Any:
            return engine.build(matrix, *((codes, weight) if weight else ()), seed=seed)

        matrix = self._matrix(layout, rows)
        if rows.group is None:
            return kernels.Cell(matrix, rows.codes, layout.weight * layout.units[0], build)
        group = rows.group

        def cell(at: np.ndarray) -> kernels.Cell:
            weight = layout.weight * layout.units[group[at[0]]]
            return kernels.Cell(matrix[at], rows.codes[at], weight, build)

        return kernels.GroupedCell(group, cell)

    def home(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        """Search a cell for the neighbours of its base rows, and send those on that need it."""
        return self.exchange.once(self._name("home", c), partial(self._home, layout, boxes, c))

    def check_boxes(self, parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Merge the boxes of all partitions, and refuse cells that are larger than was planned."""
        boxes = merged_boxes(parts)
        largest = int(boxes["rows"].max())
        if largest > self.cls.cell_rows:
            raise ValueError(
                f"class {self.cls.label!r} has {largest:,} rows so near each other that they are "
                f"one cell (of equal rows {self.recipe.k + 1} of each partition), and workers have "
                f"memory for {self.cls.cell_rows:,}; give each worker more memory or, where rows "
                "are equal, cut the table into fewer partitions"
            )
        return boxes

    def _home(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        rows, more = self._rows(layout, c)
        cell, k = self._cell(layout, rows), self.recipe.k
        asking = cell.order[more["asks"].to_numpy()[cell.order]]  # near ones follow each other
        squares, found = cell.home(asking, k)
        group = groups_of(rows)[asking]
        lone = layout.lone[group]
        squares[lone], found[lone] = 0.0, asking[lone, None]  # they stand in for their neighbours
        self.exchange.send(
            self._name("home", c),
            pa.table({"query": asking, "square": lists(squares), "place": lists(found)}),
            np.zeros(len(asking), dtype=int),
            1,
        )
        low, high = boxes["low"].copy(), boxes["high"].copy()
        low[c], high[c] = np.inf, -np.inf
        points = self._points(layout, rows, self._matrix(layout, rows))[asking]
        query, to = kernels.meets(layout.cutting, points, squares[:, -1], low, high)
        of = group[query]
        there = (boxes["first"][to] <= of) & (of <= boxes["last"][to]) & ~lone[query]
        query, to = query[there], to[there]
        order = np.argsort(to, kind="stable")
        query, to = query[order], to[order]
        n_cells = len(low)
        bounds = np.searchsorted(to, np.arange(n_cells + 1)).tolist()
        asked = replace(rows, integers={}, weights=None, passthrough=None)

        def batch(some: np.ndarray) -> pa.RecordBatch:
            sent = asked.take(asking[some])
            return batch_of(table_of(sent, query=asking[some], square=squares[some, -1]))

        parts = (batch(query[i:j]) for i, j in pairwise(bounds))
        self.exchange.write(self._name("forward", c), parts, batch(query[:0]).schema)
        return {"forwards": np.array(len(query)), "asking": np.array(len(asking))}

    def answer(self, layout: Layout, boxes: Any, _: Any, c: int) -> dict[str, np.ndarray]:
        """Answer the queries of other cells."""
        return self.exchange.once(self._name("answer", c), partial(self._answer, layout, c))

    def _answer(self, layout: Layout, c: int) -> dict[str, np.ndarray]:
        rows, _ = self._rows(layout, c)
        cell, k, found = self._cell(layout, rows), self.recipe.k, 0
        like = replace(layout.like, integers={}, weights=None, passthrough=None)
        schema = table_of(rows.take(NO_IDS), query=NO_IDS, square=np.empty(0)).schema

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
                        yield batch_of(schema.empty_table())
                        continue
                    squares = more["square"].to_numpy()[i:j]
                    own = () if asked.group is None else (asked.group[i:j],)
                    query, place, square = cell.inside(points[i:j], squares, k, *own)
                    found += len(query)
                    asker = more["query"].to_numpy()[i:j][query]
                    yield batch_of(table_of(rows.take(place), query=asker, square=square))

        self.exchange.write(self._name("answer", c), answers(), schema)
        return {"answers": np.array(found)}

    def make(
        self, layout: Layout, boxes: dict[str, np.ndarray], _: Any, c: int
    ) -> dict[str, np.ndarray]:
        """Make the new rows of a cell's base rows, and send them to their blocks."""
        return self.exchange.once(self._name("made", c), partial(self._make, layout, boxes, c))

    def _make(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        files = made = 0
        for index, bases, start, end in self._bases(layout, boxes, c):
            copies = end - start
            first = np.cumsum(copies) - copies
            places = np.arange(copies.sum()) + np.repeat(start - first, copies)
            bases = np.repeat(bases, copies)
            for held in range(0, len(bases), CELL_NEW_ROWS):
                self._send_made(f"{self._name('made', c)}-{files}", index, bases, places, held)
                files += 1
            made += len(bases)
        return {"files": np.array(files), "rows": np.array(made)}

    def _bases(
        self, layout: Layout, boxes: dict[str, np.ndarray], c: int
    ) -> Iterator[tuple[ClassIndex, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield base rows with their index, and where their new rows start and end."""
        rows, more = self._rows(layout, c)
        start, end = more["start"].to_numpy(), more["end"].to_numpy()
        asking, numbers = self._merged(layout, rows, c)
        # No more rows of other cells are held at once than the cell has of its own.
        from_others = len(np.setdiff1d(numbers, rows.numbers))
        step = max(1, len(rows) // self.recipe.k) if from_others > len(rows) else len(asking)
        for low in range(0, len(asking), max(1, step)):
            some, near = asking[low : low + step], numbers[low : low + step]
            yield *self._index(layout, rows, c, rows.numbers[some], near), start[some], end[some]
        if not boxes["surplus"][c]:
            return
        asked = rows.numbers[asking]
        for place in boxes["places"].tolist():
            for piece in range(c * layout.pieces, (c + 1) * layout.pieces):
                came = self.exchange.receive([self._name("surplus", place)], piece)
                if not len(came):
                    continue
                surplus, more = rows_of(came, layout.like)
                near = numbers[np.searchsorted(asked, more["like"].to_numpy())]
                at = places_of(rows.numbers, np.unique(near))
                held = concatenated([rows.take(at[at >= 0]), surplus])
                start, end = more["start"].to_numpy(), more["end"].to_numpy()
                yield *self._index(layout, held, c, surplus.numbers, near), start, end

    def _merged(self, layout: Layout, rows: Rows, c: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of rows that ask, in order, and the numbers of their neighbours."""
        here = self.exchange.receive([self._name("home", c)], 0)
        asking, k = here["query"].to_numpy(), self.recipe.k
        squares, place = listed(here["square"], k), listed(here["place"], k)
        numbers = np.where(place < 0, -1, rows.numbers[place])
        del here, place
        row_of = np.zeros(len(rows), dtype=np.int64)
        row_of[asking] = np.arange(len(asking))
        for came in self._answers(layout, c):
            query, more = row_of[came["query"].to_numpy()], came["number"].to_numpy()
            square = came["square"].to_numpy()
            squares, numbers = kernels.merge(squares, numbers, query, more, square)
        order = np.argsort(asking)
        return asking[order], numbers[order]

    def _answers(self, layout: Layout, c: int) -> Iterator[pa.Table]:
        for name in self._names("answer", layout.cutting.n_cells):
            for i in range(self.recipe.k):
                came = self.exchange.receive([name], c * self.recipe.k + i)
                if len(came):
                    yield came

    def _index(
        self, layout: Layout, rows: Rows, c: int, asking: np.ndarray, numbers: np.ndarray
    ) -> tuple[ClassIndex, np.ndarray]:
        """Return rows and those of other cells that are neighbours, and the places of base rows.

        `asking` are numbers of base rows, and `numbers` of their neighbours.
        """
        wanted = np.setdiff1d(numbers, rows.numbers)
        pieces = [rows]
        for came in self._answers(layout, c) if len(wanted) else ():
            found, _ = rows_of(came, layout.like)
            first = np.unique(found.numbers, return_index=True)[1]
            at = first[np.isin(found.numbers[first], wanted)]
            wanted = np.setdiff1d(wanted, found.numbers[at])
            pieces.append(found.take(at))
        everyone = concatenated(pieces)
        everyone = everyone.take(np.argsort(everyone.numbers))
        bases, at = np.searchsorted(everyone.numbers, asking), np.full(len(everyone), -1)
        at[bases] = np.arange(len(asking))
        known: Any = Known(np.searchsorted(everyone.numbers, numbers), at)
        rank, decimals = self.cls.rank, layout.decimals
        return ClassIndex(everyone, _ALLOCATED, known, None, {}, False, rank, decimals), bases

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
        own = rows.take(bases)
        new = replace(own, numeric=made.numeric, codes=made.codes, integers=made.integers)
        more: dict[str, Any] = {"place": places, "neighbour": made.neighbours}
        more |= {"gap": made.gaps, "v": made.weights}
        if self._tells_neighbours and rows.passthrough is not None and made.neighbours is not None:
            at = np.searchsorted(rows.numbers, made.neighbours)
            more |= arrays_of(rows.passthrough.take(at), "q")
        return table_of(new, **{name: of for name, of in more.items() if of is not None})

    def made(self, layout: Layout, files: Sequence[dict[str, np.ndarray]]) -> MadeInCells:
        """Return where the new rows are."""
        return MadeInCells(self, layout, tuple(int(of["files"]) for of in files))

    @property
    def _tells_neighbours(self) -> bool:
        """Whether the values that neighbours carry are wanted."""
        return self.how.provenance == "full" and bool(self.how.schema.carried)

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

        bases, neighbours = np.arange(len(rows)), column("neighbour")
        parents = rows
        if self._tells_neighbours and rows.passthrough is not None:
            # Parents are known by their numbers, of which those of bases come first.
            carried = frame_of(more.take(pa.array(order)), "q", rows.passthrough)
            others = replace(rows, numbers=neighbours, passthrough=carried)
            parents = concatenated([rows, others])
            first = np.unique(parents.numbers, return_index=True)[1]
            parents = parents.take(first)
            bases = np.searchsorted(parents.numbers, rows.numbers)
        new = Made(
            rows.numeric,
            rows.integers,
            rows.codes,
            bases,
            neighbours,
            column("gap"),
            column("v"),
        )
        of = ClassIndex(
            parents, _ALLOCATED, None, None, {}, False, self.cls.rank, decimals=layout.decimals
        )
        return finish(of, new, self.how, block.label, self.how.first + block.offset, like, array)


@dataclass(frozen=True)
class MadeInCells:
    """The new rows of a class in scratch files: what stands in the place of its index."""

    cells: Cells
    layout: Layout
    files: tuple[int, ...]  # of each cell

    def collect(self, block: Block, **like: Any) -> Part:
        """Return one synthetic partition."""
        return self.cells.collect(self, block, **like)


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
    """Merge what was spread: rows of each cell, and their boxes; partitions with surplus rows."""
    return {
        "rows": reduce(np.add, (part["rows"] for part in parts)),
        "surplus": reduce(np.add, (part["surplus"] for part in parts)),
        "places": np.concatenate([part["places"] for part in parts]),
        "low": reduce(np.minimum, (part["low"] for part in parts)),
        "high": reduce(np.maximum, (part["high"] for part in parts)),
        "first": reduce(np.minimum, (part["first"] for part in parts)),
        "last": reduce(np.maximum, (part["last"] for part in parts)),
    }


def _ends(group: np.ndarray, cell: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Return the first and the last group of each cell."""
    first, last = np.full(n, np.iinfo(np.int32).max), np.full(n, -1)
    np.minimum.at(first, cell, group)
    np.maximum.at(last, cell, group)
    return {"first": first, "last": last}


def _evenly(cell: np.ndarray, pieces: int) -> np.ndarray:
    """Return the piece of each row, where rows of each cell are cut into so many even ones."""
    order = np.argsort(cell, kind="stable")
    place = np.empty(len(cell), dtype=np.int64)
    place[order] = np.arange(len(cell)) - np.searchsorted(cell[order], cell[order])
    return cell * pieces + place * pieces // np.bincount(cell)[cell]


def store(place: int, *row: Any, take: Take, cells: Sequence[Cells | Chunks]) -> Extract:
    """Take class rows out of a partition, and write those of classes in scratch files."""
    found = extract(*row, take=take)
    rows = dict(found.rows)
    stored: dict[int, list[Any]] = {}
    for each in cells:
        own = rows.pop(each.cls.rank, None)
        stored[each.cls.rank] = [None if own is None else each.store(own, place)]
    return replace(found, rows=rows, stored=stored)


_ALLOCATED = Bases(NO_IDS)  # each base row has its new rows with it


def _in_common(stored: Sequence[Stored], schema: Schema) -> Rows:
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
    groups = None if first.group is None else numbered_groups(likes)[1]
    frames = [like.passthrough for like in likes if like.passthrough is not None]
    common: dict[str, Any] = {"units": units, "integers": integers, "group_levels": groups}
    common["passthrough"] = join_frames(frames) if frames else None
    return replace(first, levels=tuple(levels), categories=categories, **common)


def cells_of(task: Task, parts: int, token: str) -> list[Cells | Chunks]:
    """Return the classes whose rows lie in scratch files, with a folder for them."""
    exchange = scratch(task.scratch, token, task.staged)
    found: list[Cells | Chunks] = []
    for c in task.plan.growing:
        if c.cells:
            blocks = tuple(block for block in task.plan.blocks if block.class_rank == c.rank)
            found.append(Cells(exchange, task.how, c, blocks, parts))
        elif c.stored:
            found.append(Chunks(exchange, task.how, c))
    return found


# ---- what it takes


def with_cells(
    plan: Plan, recipe: Recipe, schema: Schema, profile: Profile, max_pairs: float
) -> Plan:
    """Add to a plan what cells cost; refuse where nearly all pairs of rows would be compared."""
    notes, problems = [], []
    row = 8 * len(schema.numeric) + 4 * len(schema.nominal) + 32
    for c in plan.growing:
        if not c.cells:
            continue
        asking = min(c.usable, c.new)
        text = f"class {c.label!r} is cut into {c.cells:,} cells of at most {c.cell_rows:,} rows"
        forwards = 0.0
        if c.label in profile.sample:
            sample = recipe.scaled(np.unique(profile.sample[c.label].numeric, axis=0))
            sample = sample * scale_power(sample)
            cutting = kernels.cut(sample, (c.cells - 1).bit_length())
            low, high = kernels.estimate_forwards(sample, cutting, c.usable, recipe.k)
            forwards = max(low, high)
            text += f"; a base row asks {low:.2f} to {high:.2f} other cells"
        size = 2 * c.usable * row + asking * (16 * recipe.k + forwards * row) + c.new * row
        notes.append(f"{text}; scratch files of about {format_bytes(size)}")
        pairs = asking * (1 + forwards) * c.usable / c.cells
        if pairs > max_pairs and (c.engine or "").endswith("brute"):
            problems.append(
                f"class {c.label!r}: its rows spread in so many directions that {pairs:.1e} pairs "
                f"of rows would be compared, and max_pairs allows {max_pairs:.1e}; give "
                "n_components, CappedIndex as neighbors, fewer columns or a larger max_pairs"
            )
    return replace(plan, notes=(*plan.notes, *notes), too_large=(*plan.too_large, *problems))
