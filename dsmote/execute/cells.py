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

What is fitted to the rows of the class (axes, clusters) is so in the second task, which reads them
in order, in blocks that do not depend on the partitions: there, too, the result is that of one
worker.

Of equal rows of a partition only the first k + 1 can be neighbours. The others are *surplus*: those
that are base rows lie in a file of their own until a cell makes their new rows, with the neighbours
of the last of these k + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
    n_groups,
    rows_of,
    table_of,
)
from dsmote.execute.chunks import Chunks
from dsmote.execute.extract import Extract, Take, extract, places_of
from dsmote.execute.generate import STEP, Part, finish, lone_groups
from dsmote.execute.partition import Partition
from dsmote.execute.recipe import (
    Bases,
    ClassContext,
    ClassIndex,
    Draws,
    Made,
    Recipe,
    Rows,
    SearchSpace,
)
from dsmote.execute.search import (
    Layout,
    Search,
    Stored,
    in_blocks,
    in_common,
    numbered_in,
    reach,
)
from dsmote.neighbors import Axes, asked_rarely, choose_engine, project
from dsmote.neighbors import cells as kernels
from dsmote.neighbors.exact import no_codes, scale_power
from dsmote.plan import (
    Block,
    ClassPlan,
    Plan,
    Profile,
    Schema,
    Stream,
    format_bytes,
)
from dsmote.plan.draws import INDEX
from dsmote.plan.labels import listed
from dsmote.plan.memory import CELL_NEW_ROWS
from dsmote.plan.work import cell_work

#: An index of a class that knows the neighbours of some base rows; which of its rows they are, and
#: the first and the end of the new rows of each.
Indexed = tuple[ClassIndex, Rows, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Cells(Search):
    """One class, and the tasks that search it and make its new rows."""

    blocks: tuple[Block, ...]
    total: int = 0  # new rows of all classes together
    all: Any = None  # the nearest of all rows: AllCells, where they are asked for

    @property
    def own(self) -> str:
        """What names of files and tasks begin with."""
        return str(self.cls.rank)

    @property
    def k(self) -> int:
        """How many neighbours are looked for."""
        return self.recipe.k

    @property
    def what(self) -> str:
        """What is searched, for messages."""
        return f"class {self.cls.label!r}"

    def store(self, rows: Rows, place: int) -> Stored:
        """Write the class rows of a partition."""
        asked = self.recipe.on_small_group == "skip" or self.recipe.surveys
        if rows.group is not None and asked:
            batch = pa.record_batch({"g": rows.group})
            self.exchange.write(self._name("groups", place), [batch], batch.schema)
        return super().store(rows, place)

    def lay_out(
        self,
        found: Extract,
        model: Any = None,
        survey: Any = None,
        judged: Sequence[dict[str, np.ndarray]] = (),
    ) -> Layout:
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
        like = in_common(stored, self.how.schema)
        groups = numbered_in(stored, like)
        sizes, among = np.zeros(n_groups(like), dtype=np.int64), None
        np.add.at(sizes, groups, np.concatenate([each.sizes for each in stored]))
        nothing = Rows(np.empty((n, 0)), np.empty((n, 0), np.int32), np.broadcast_to(-1, n))
        lone = np.zeros(1, dtype=bool)
        if like.group_levels is not None:
            lone = lone_groups(sizes, like.group_levels, self.recipe, self.cls)
            if self.recipe.on_small_group == "skip":
                among = np.flatnonzero(~self._of_rows(lone[groups], stored, places))
            if self.recipe.surveys:
                nothing = replace(nothing, group=self._of_rows(groups, stored, places))
        rows = partial(self._in_order, stored, places, like)
        ctx = ClassContext(nothing, self.cls, self.how.seed, among, total=self.total)
        ctx.model, ctx.survey = model, survey
        ctx.blocks = lambda: in_blocks(matrix for matrix, _ in rows())
        known: dict[str, np.ndarray] = {}
        if self.all is not None:
            ctx.nearest_all, known = self.all.nearest_of(self.cls.rank, n, judged)
        ctx.state = self.recipe.prepare(ctx)
        bases = self.recipe.bases(ctx)
        known |= {"start": np.concatenate([[0], bases.ends[:-1]]), "end": bases.ends}
        output, own = None, like.group_levels
        if bases.groups is not None:
            known["within"], pairs = _within(bases.groups, nothing.group, n_groups(like))
            group = np.empty(0, dtype=np.int32)
            output, like = like, replace(like, group=group, group_levels=pd.Series(pairs))
            if own is not None:
                levels = own.iloc[pairs % len(own)].reset_index(drop=True)
                output = replace(output, group_levels=levels)
            lone = np.bincount(known["within"] + 1)[1:] <= self.recipe.k
            stored = [*_samples_within(stored, known["within"], like)]
        axes = largest = None
        if self.recipe.n_components and not self.recipe.values:
            axes = self.recipe.axes_of(ctx.blocks)
        if axes is not None or bases.groups is not None:
            largest = _largest(rows(), axes, known.get("within"), n_groups(like))
        layout = self._cut(found, stored, like, lone, weight, model, axes, largest)
        if bases.marks is not None:
            known["mark"] = bases.marks
        if ctx.state is not None:
            known["state"] = ctx.state
            like = replace(like, more={"state": ctx.state[:0]})
        table = pa.table(known)
        edges = np.cumsum([0, *(each.n_rows if each else 0 for each in everywhere)]).tolist()
        batches = (batch_of(table.slice(i, j - i)) for i, j in pairwise(edges))
        self.exchange.write(self._name("allocation", 0), batches, table.schema)
        engine = "none" if self.recipe.values else self.cls.engine or "cells"
        report = {"engine": engine, "exact": True, "recall": 1.0, **bases.report}
        if axes is not None:
            d, p = axes[1].shape
            searched = f"{engine} in {p} of {d} principal components"
            report |= {"engine": searched, "exact": False, "recall": None}
        return replace(layout, like=like, report=report, output=output)

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

    def spread(self, layout: Layout, found: Extract, _: Any, place: int) -> dict[str, np.ndarray]:
        """Send the class rows of a partition to their cells; return counts and boxes."""
        (stored,) = found.stored[self.cls.rank]
        task = partial(self._spread, layout, stored and stored.like, place)
        return self.exchange.once(self._name("cell", place), task)

    def _spread(self, layout: Layout, own: Rows | None, place: int) -> dict[str, np.ndarray]:
        allocated = self.exchange.receive([self._name("allocation", 0)], place)
        known = {name: allocated[name].to_numpy() for name in allocated.column_names}
        more, within = {name: known.pop(name) for name in layout.like.more}, known.get("within")
        rows = layout.like
        if own is not None:
            rows, _ = rows_of(self.exchange.receive([self._name("rows", place)], 0), own)
            rows = as_of_class(rows if within is None else replace(rows, group=None), layout.like)
        rows = replace(rows, more=more).moved(int(layout.starts[place]))
        if within is not None:  # rows that are in none are nobody's neighbours
            there = np.flatnonzero(within >= 0)
            rows = replace(rows, group=within).take(there)
            known = {name: of[there] for name, of in known.items() if name != "within"}
        return self._sent(layout, rows, known["end"] > known["start"], known, place)

    def _build(
        self, layout: Layout, rows: Rows, rarely: bool
    ) -> Callable[[np.ndarray, np.ndarray, float], Any]:
        recipe, seed = self.recipe, int(Stream(self.how.seed, self.cls.rank, INDEX).bits(0, 1)[0])
        some = slice(None, None, max(1, len(rows) // 512))
        engine: Any = recipe.engine(len(rows), rows.numeric[some], rows.codes[some]).engine
        engine = asked_rarely(engine) if rarely else engine
        tables = () if layout.levels is None else layout.levels.tables

        def build(matrix: np.ndarray, codes: np.ndarray, weight: float) -> Any:
            space = SearchSpace(matrix, codes, weight, tables=tables)
            return recipe.build_index(space, engine, seed)

        return build

    def make(
        self, layout: Layout, boxes: dict[str, np.ndarray], _: Any, c: int
    ) -> dict[str, np.ndarray]:
        """Make the new rows of a cell's base rows, and send them to their blocks."""
        return self.exchange.once(self._name("made", c), partial(self._make, layout, boxes, c))

    def _make(self, layout: Any, boxes: Any, c: int) -> dict[str, np.ndarray]:
        files = made = 0
        for index, near, bases, start, end in self._bases(layout, boxes, c):
            copies = end - start
            first = np.cumsum(copies) - copies
            places = np.arange(copies.sum()) + np.repeat(start - first, copies)
            bases = np.repeat(bases, copies)
            for held in range(0, len(bases), CELL_NEW_ROWS):
                name = f"{self._name('made', c)}-{files}"
                self._send_made(name, index, near, bases, places, held)
                files += 1
            made += len(bases)
        return {"files": np.array(files), "rows": np.array(made)}

    def _bases(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> Iterator[Indexed]:
        """Yield base rows with their index and the rows near them, and which new rows are theirs.

        Of the rows near them those of the class are known that new rows may end at.
        """
        rows, known = self.rows_of_cell(layout, c)
        asking, _, numbers = self.merged(layout, rows, c)
        for some in self.steps(rows, numbers):
            own = known.take(asking[some])
            yield self._indexed(layout, rows, c, rows.numbers[asking[some]], numbers[some], own)
        for surplus, own, at in self.surplus(layout, boxes, c, rows.numbers[asking]):
            near = numbers[at]
            here = places_of(rows.numbers, np.unique(near))
            held = concatenated([rows.take(here[here >= 0]), surplus])
            yield self._indexed(layout, held, c, surplus.numbers, near, own)

    def _indexed(
        self,
        layout: Layout,
        rows: Rows,
        c: int,
        asking: np.ndarray,
        numbers: np.ndarray,
        known: pa.Table,
    ) -> Indexed:
        """Index rows and those of other cells that are neighbours.

        `asking` are numbers of base rows, `numbers` those of their neighbours.
        """
        everyone = self.with_others(layout, rows, c, numbers)
        bases, at = np.searchsorted(everyone.numbers, asking), np.full(len(everyone), -1)
        at[bases] = np.arange(len(asking))
        near = Known(np.searchsorted(everyone.numbers, numbers), at)
        marks = None
        if "mark" in known.column_names:
            marks = np.zeros(len(everyone), dtype=bool)
            marks[bases] = known["mark"].to_numpy()
        index = self._index(layout, everyone, marks, near)
        return index, everyone, bases, known["start"].to_numpy(), known["end"].to_numpy()

    def _index(
        self, layout: Layout, rows: Rows, marks: Any, near: Any, nearest_all: Any = None
    ) -> ClassIndex:
        """Return rows of the class, with what new rows are made from."""
        # Each base row has its new rows with it.
        bases, rank, state = Bases(NO_IDS, marks), self.cls.rank, rows.more.get("state")
        return ClassIndex(rows, bases, near, nearest_all, {}, False, rank, layout.decimals, state)

    def _send_made(
        self,
        name: str,
        index: ClassIndex,
        near: Rows,
        bases: np.ndarray,
        places: np.ndarray,
        start: int,
    ) -> None:
        stop = min(len(bases), start + CELL_NEW_ROWS)
        made = []
        for low in range(start, stop, STEP):
            step = slice(low, min(stop, low + STEP))
            made.append(self._made(index, near, bases[step], places[step]))
        edges = np.array([block.start for block in self.blocks])
        block = np.searchsorted(edges, places[start:stop], side="right") - 1
        self.exchange.send(name, pa.concat_tables(made), block, len(edges))

    def _made(
        self, index: ClassIndex, near: Rows, bases: np.ndarray, places: np.ndarray
    ) -> pa.Table:
        draws = Draws(self.how.seed, self.cls.rank, 0, len(places), places)
        made = self.recipe.make(index, bases, draws, self.how.schema.rounded)
        rows = index.rows
        own = rows.take(bases)
        new = replace(own, numeric=made.numeric, codes=made.codes, integers=made.integers)
        new = replace(new, more={})
        more: dict[str, Any] = {"place": places, "neighbour": made.neighbours}
        more |= {"gap": made.gaps, "v": made.weights}
        if self.tells_neighbours and rows.passthrough is not None and made.neighbours is not None:
            at = places_of(near.numbers, made.neighbours)
            near = near if len(near) else rows  # any, where none is told of
            assert near.passthrough is not None
            more |= arrays_of(near.passthrough.take(np.maximum(at, 0)), "q") | {"told": at >= 0}
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
        own = layout.like if layout.output is None else layout.output
        rows, more = rows_of(table, replace(own, more={}))
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
        if neighbours is not None and self.tells_neighbours and rows.passthrough is not None:
            # Parents are known by their numbers, of which those of bases come first.
            carried = frame_of(more.take(pa.array(order)), "q", rows.passthrough)
            others = replace(rows, numbers=neighbours, passthrough=carried)
            parents = concatenated([rows, others.take(np.flatnonzero(column("told")))])
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

    @property
    def report(self) -> Mapping[str, Any]:
        """What the user is told of the class."""
        return self.layout.report

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


def _within(
    groups: np.ndarray, own: np.ndarray | None, n_own: int
) -> tuple[np.ndarray, np.ndarray]:
    """Give each pair of a group of bases and an own one a number, -1 for none.

    Return that of each row, and group * n_own + own of each number.
    """
    pairs = groups * n_own + (0 if own is None else own)
    different, code = np.unique(np.where(groups < 0, -1, pairs), return_inverse=True)
    none = int(different[0] < 0)
    return (code - none).astype(np.int32), different[none:]


def _samples_within(stored: Sequence[Stored], within: np.ndarray, like: Rows) -> Iterator[Stored]:
    """Yield what is known of partitions, with the groups of sampled rows, by their places."""
    first = 0
    for each in stored:
        group = within[first + each.sample.more["place"]]
        sample = replace(each.sample, group=group, group_levels=like.group_levels)
        yield replace(each, sample=sample.take(np.flatnonzero(group >= 0)))
        first += each.n_rows


def _largest(
    rows: Iterator[tuple[np.ndarray, np.ndarray]],
    axes: Axes | None,
    within: np.ndarray | None,
    n: int,
) -> np.ndarray:
    """Return the largest absolute value of each of n groups, of rows as they are searched."""
    found, first = np.zeros(n), 0
    for matrix, group in rows:
        if within is not None:
            group = within[first : first + len(matrix)]
        values = reach(matrix if axes is None else project(matrix, *axes))
        np.maximum.at(found, group[group >= 0], values[group >= 0])
        first += len(matrix)
    return found


def store(place: int, *row: Any, take: Take, cells: Sequence[Cells | Chunks]) -> Extract:
    """Take class rows out of a partition, and write those of classes in scratch files."""
    here = Partition.of(*row)
    found = extract(here, take=take)
    rows = dict(found.rows)
    stored: dict[int, list[Any]] = {}
    for each in cells:
        own = rows.pop(each.cls.rank, None)
        stored[each.cls.rank] = [None if own is None else each.store(own, place)]
    of_all = getattr(cells[0], "all", None)
    if of_all is not None:
        stored[of_all.cls.rank] = [of_all.store(of_all.rows_in(here, take.schema), place)]
    return replace(found, rows=rows, stored=stored)


_ALLOCATED = Bases(NO_IDS)  # each base row has its new rows with it


# ---- what it takes


def with_cells(
    plan: Plan, recipe: Recipe, schema: Schema, profile: Profile, max_pairs: float
) -> Plan:
    """Add to a plan what cells cost; refuse where nearly all pairs of rows would be compared."""
    notes, problems = [], []
    row = 8 * len(schema.numeric) + 4 * len(schema.nominal) + 32
    partitions = -(-profile.bytes // max(1, profile.largest_bytes))
    cut = [c for c in plan.growing if c.cells]
    for c in cut if recipe.values else ():
        made = c.usable * row + min(c.usable, c.new) * row + c.new * row
        text = f"new rows of class {c.label!r} are made in cells of all rows"
        notes.append(f"{text}; scratch files of about {format_bytes(made)}")
    searches: list[tuple[ClassPlan, Sequence[ClassPlan]]] = []
    if plan.all_rows is not None:
        searches.append((replace(plan.all_rows, k=recipe.n_neighbors_all), plan.classes))
    searches += [(c, [c]) for c in cut if not recipe.values]
    for c, of in searches:
        of_all, asking = len(of) > 1, None
        what, who = f"class {c.label!r}", "a base row"
        if of_all:
            what, who = "the table", f"a row of class {listed(repr(of.label) for of in cut)}"
            asking = sum(each.usable for each in cut)
        text = f"{what} is cut into {c.cells:,} cells of at most {c.cell_rows:,} rows"
        kept, share = _kept(profile, of)
        if kept is None or not len(kept) or not schema.numeric:
            size = format_bytes(2 * c.usable * row + (c.new or c.usable) * row)
            files = f"; scratch files of {size} at least" * (not schema.numeric)
            notes.append(f"{text}{files}; what they take is not known before the rows are read")
            continue
        sample = recipe.scaled(kept)
        if not of_all:
            sample = recipe.projected(sample)
        sample = sample * scale_power(sample)
        if of_all:
            engine: Any = recipe.engine_all or choose_engine(c.cell_rows, sample).engine
            c = replace(c, engine=engine.name)
        rows = float(c.usable)
        if not schema.nominal:  # equal numbers are equal rows
            sample = _sent(sample, (c.k or 0) + 1, partitions)
            rows = min(rows, len(sample) / share)
        cutting = kernels.cut(sample, (c.cells - 1).bit_length())
        found = kernels.estimate_forwards(sample, cutting, rows, c.k or 0, share)
        forwards = found.best * rows / c.usable  # of equal rows no more ask than are sent
        work = cell_work(c, forwards, found.dimension, row, partitions, asking)
        notes.append(
            f"{text}; {who} asks about {found.best:.3g} other cells ({found.least:.3g} to "
            f"{found.most:.3g}); scratch files of about {format_bytes(work.bytes)}; about "
            f"{work.seconds:,.1f} core-seconds"
        )
        if (c.engine or "").endswith("brute"):
            notes[-1] += f", in which about {work.pairs:.1e} pairs of rows are compared"
            if work.pairs > max_pairs:
                remedy = "n_components, CappedIndex as neighbors, " * (not of_all)
                problems.append(
                    f"{what}: its rows spread in so many directions that {work.pairs:.1e} pairs "
                    f"of rows would be compared, and max_pairs allows {max_pairs:.1e}; give "
                    f"{remedy}fewer columns or a larger max_pairs"
                )
    return replace(plan, notes=(*plan.notes, *notes), too_large=(*plan.too_large, *problems))


def _sent(sample: np.ndarray, most: int, partitions: int) -> np.ndarray:
    """Return the sampled rows without the surplus of each partition, which moves no cut."""
    same = kernels.representatives(sample, no_codes(sample), most * partitions - 1)
    return np.asarray(sample[same == np.arange(len(sample))])


def _kept(profile: Profile, classes: Sequence[ClassPlan]) -> tuple[np.ndarray | None, float]:
    """Return the rows that a profile has kept of classes, and which share of all they are."""
    some, shares = [], [1.0]
    for c in (c for c in classes if c.usable):
        if c.label not in profile.larger:
            return None, 0.0
        some.append(profile.larger[c.label])
        if len(some[-1].keys) < c.usable:
            shares.append(float(some[-1].keys[-1]) / 2.0**64)
    share = min(shares)
    # Of equal rows, the last may have been cut off.
    below = [of.numeric[of.keys < share * 2.0**64] if share < 1.0 else of.numeric for of in some]
    return np.concatenate(below), share
