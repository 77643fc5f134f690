r"""The nearest of all rows of classes that are cut into cells: all rows are cut.

::

    partition p --store-->   its rows: numbers, classes, features; a sample of them
    all         --lay out--> cells cut from the sample; the places of rows in their class (one task)
    partition p --spread-->  those that may be neighbours by cell; those that ask are marked
    cell c      --home, answer-->  as in a class (see :mod:`dsmote.execute.cells`)
    cell c      --judge--->  others, and all, among the nearest of each row that asked, by class
    class       --lay out--> how often each of its rows is a base                         (one task)

Where new rows are made toward the nearest of all rows, base rows go to the cell that knows these,
which makes them; the class itself is not searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from dsmote.execute.arrow import as_of_class, groups_of, n_groups, rows_of
from dsmote.execute.cells import Cells, Indexed
from dsmote.execute.chunks import Chunks
from dsmote.execute.exchange import scratch
from dsmote.execute.extract import Extract, reference_rows
from dsmote.execute.partition import Partition
from dsmote.execute.recipe import NearestOfAll, Rows, Task, other_classes
from dsmote.execute.search import Layout, Search, in_common
from dsmote.plan import Schema


@dataclass(frozen=True)
class AllLayout(Layout):
    """Where all rows are."""

    # By rank of a class that asks: its rows before each partition.
    firsts: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class AllCells(Search):
    """All rows in cells, of which those of some classes ask. `cls` stands for the table."""

    asking: tuple[int, ...] = ()  # ranks of the classes that ask
    ranks: Mapping[Any, int] = field(default_factory=dict)  # of all classes, by label

    @property
    def own(self) -> str:
        """What names of files and tasks begin with."""
        return "all"

    @property
    def k(self) -> int:
        """How many of the nearest are looked for."""
        return int(self.recipe.n_neighbors_all)

    @property
    def what(self) -> str:
        """What is searched, for messages."""
        return "the table"

    # ---- the partitions

    def rows_in(self, here: Partition, schema: Schema) -> Rows:
        """Return the complete rows of a partition, with their classes."""
        found = reference_rows(here, schema=schema, ranks=self.ranks, recipe=self.recipe)
        weights = found.rows.weights if self.recipe.values else None
        rows = replace(found.rows, integers={}, units={}, weights=weights)
        carried = [*schema.copied, *schema.carried]
        if self.recipe.values and self.tells_neighbours:
            columns = here.frame(schema).iloc[rows.numbers, sorted(carried)]
            rows = replace(rows, passthrough=columns.reset_index(drop=True))
        return replace(rows, more={"rank": found.ranks})

    def lay_out(self, found: Extract, *_: Any) -> AllLayout:
        """Cut the cells, and number the rows of the classes that ask."""
        stored = [each for each in found.stored[self.cls.rank] if each is not None]
        like = in_common(stored, self.how.schema)
        layout = self._cut(found, stored, like, np.zeros(n_groups(like), dtype=bool), 0.0)
        firsts = {}
        for rank in self.asking:
            n_rows = [each.n_rows if each else 0 for each in found.stored[rank]]
            firsts[rank] = np.cumsum([0, *n_rows])
        return AllLayout(**vars(layout), firsts=firsts)

    def spread(self, layout: Any, found: Extract, model: Any, place: int) -> dict[str, np.ndarray]:
        """Send the rows of a partition to their cells; return counts and boxes."""
        (stored,) = found.stored[self.cls.rank]
        task = partial(self._spread_all, layout, stored.like, model, place)
        return self.exchange.once(self._name("cell", place), task)

    def _spread_all(
        self, layout: AllLayout, own: Rows, model: Any, place: int
    ) -> dict[str, np.ndarray]:
        rows, _ = rows_of(self.exchange.receive([self._name("rows", place)], 0), own)
        rows = as_of_class(rows, layout.like).moved(int(layout.starts[place]))
        among = np.full(len(rows), -1)  # place of those that ask among the rows of their class
        for rank in self.asking:
            of_class = np.flatnonzero(rows.more["rank"] == rank)
            asked = self.recipe.query_rows(rows.take(of_class), model)
            among[of_class[asked]] = layout.firsts[rank][place] + asked
        return self._sent(layout, rows, among >= 0, {"among": among}, place)

    def _bare(self, rows: Rows) -> Rows:
        """Return numbers and classes."""
        none = rows.numeric[:, :0]
        return replace(rows, numeric=none, weights=None, group=None, passthrough=None)

    # ---- the cells

    def _answering(self, rows: Rows) -> Rows:
        return rows if self.recipe.values else self._bare(rows)

    def _build(
        self, layout: Layout, rows: Rows, rarely: bool
    ) -> Callable[[np.ndarray, np.ndarray, float], Any]:
        return lambda matrix, *_: self.recipe.index_all(matrix, len(matrix))

    def judge(
        self, layout: Layout, boxes: dict[str, np.ndarray], _: Any, c: int
    ) -> dict[str, np.ndarray]:
        """Count others among the nearest of each row that asked, and send that to its class."""
        return self.exchange.once(self._name("judged", c), partial(self._judge, layout, boxes, c))

    def _judge(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        rows, known = self.rows_of_cell(layout, c)
        asked, _, numbers = self.merged(layout, rows, c)
        classes = np.empty(numbers.shape, dtype=np.int32)
        own = self._answering(rows)
        for some in self.steps(rows, numbers):
            everyone = self.with_others(layout, own, c, numbers[some])
            classes[some] = _nearest(everyone, numbers[some])[1]
        asks = np.flatnonzero(known["among"].to_numpy()[asked] >= 0)
        at = asked[asks]
        self._send_judged(c, 0, rows.take(at), known.take(at), classes[asks])
        files = 1
        for surplus, of, at in self.surplus(layout, boxes, c, rows.numbers[asked]):
            self._send_judged(c, files, surplus, of, classes[at], rows.numbers[asked][at])
            files += 1
        return {"files": np.array(files)}

    def _send_judged(
        self,
        c: int,
        number: int,
        rows: Rows,
        known: pa.Table,
        classes: np.ndarray,
        like: np.ndarray | None = None,
    ) -> None:
        """Send counts for rows, of whose nearest the classes are known, and whose nearest it is."""
        others, present = np.empty((2, len(rows)), dtype=np.int32)
        ranks = rows.more["rank"]
        for rank in self.asking:
            of = np.flatnonzero(ranks == rank)
            lists: Any = {"distances": classes, "numbers": classes, "values": classes}
            nearest = NearestOfAll(of, classes=classes[of], own_class=rank, **lists)
            others[of], present[of] = other_classes(nearest, self.recipe.counted)
        table = {"among": known["among"].to_numpy(), "others": others, "present": present}
        if self.recipe.values:
            table["like"] = rows.numbers if like is None else like
        where = np.searchsorted(self.asking, ranks)
        name = f"{self._name('judged', c)}-{number}"
        self.exchange.send(name, pa.table(table), where, len(self.asking))

    # ---- the classes

    def nearest_of(
        self, rank: int, n: int, judged: Sequence[dict[str, np.ndarray]]
    ) -> tuple[NearestOfAll, dict[str, np.ndarray]]:
        """Return what was counted for the n rows of a class, and in which cells they are known."""
        counts, asked = np.zeros((2, n), dtype=np.int32), np.zeros(n, dtype=bool)
        known: dict[str, np.ndarray] = {}
        if self.recipe.values:
            known = {"cell": np.zeros(n, dtype=np.int32), "like": np.zeros(n, dtype=np.int64)}
        for c, receipt in enumerate(judged):
            for number in range(int(receipt["files"])):
                name = f"{self._name('judged', c)}-{number}"
                came = self.exchange.receive([name], self.asking.index(rank))
                among = came["among"].to_numpy()
                asked[among] = True
                for count, kind in zip(counts, ("others", "present"), strict=True):
                    count[among] = came[kind].to_numpy()
                if known:
                    known["cell"][among], known["like"][among] = c, came["like"].to_numpy()
        rows, nothing = np.flatnonzero(asked), np.empty((0, 0))
        others, present = counts if asked.all() else counts[:, rows]
        lists: Any = dict.fromkeys(("distances", "classes", "numbers", "values"), nothing)
        return NearestOfAll(rows, own_class=rank, counts=(others, present), **lists), known


@dataclass(frozen=True)
class TowardAll(Cells):
    """A class whose new rows are made toward the nearest of all rows, in their cells."""

    def _sent(
        self,
        layout: Layout,
        rows: Rows,
        asks: np.ndarray,
        known: dict[str, np.ndarray],
        place: int,
    ) -> dict[str, np.ndarray]:
        """Send base rows to the cells that know their neighbours."""
        cell, bases = known.pop("cell"), np.flatnonzero(asks)
        self._send("cell", place, rows, bases, cell[bases], self.all.cls.cells, **known)
        return {"rows": np.array(len(bases))}

    def make(self, layout: Layout, of_all: Any, _: Any, c: int) -> dict[str, np.ndarray]:
        """Make the new rows of base rows whose neighbours a cell knows, and send them to blocks."""
        return self.exchange.once(self._name("made", c), partial(self._make, layout, of_all, c))

    def _bases(self, layout: Layout, of_all: Any, c: int) -> Iterator[Indexed]:
        bases, known = self.rows_of_cell(layout, c)
        if not len(bases):
            return
        rows, _ = self.all.rows_of_cell(of_all, c)
        asked, squares, numbers = self.all.merged(of_all, rows, c)
        at = np.searchsorted(rows.numbers[asked], known["like"].to_numpy())
        units = of_all.units[groups_of(rows)[asked[at]]]
        distances, numbers = np.sqrt(squares[at]) / units[:, None], numbers[at]
        step = max(1, len(rows) // self.recipe.values)  # values of no more rows than the cell has
        for some in self.all.steps(rows, numbers):
            everyone = self.all.with_others(of_all, rows, c, numbers[some])
            own_rows = everyone.take(np.flatnonzero(everyone.more["rank"] == self.cls.rank))
            for low in range(some.start, some.stop, step):
                here = slice(low, min(some.stop, low + step))
                near, classes = _nearest(everyone, numbers[here])
                near = near[:, : self.recipe.values]
                values = everyone.numeric[near]
                if everyone.weights is not None:
                    weights = everyone.weights[near]
                    values = np.concatenate([values, weights[:, :, None]], axis=2)
                lists = distances[here], classes, numbers[here], values
                nearest = NearestOfAll(np.arange(len(near)), *lists, self.cls.rank)
                own = known.slice(here.start, here.stop - here.start)
                marks = own["mark"].to_numpy() if "mark" in own.column_names else None
                of = bases.take(np.arange(here.start, here.stop))
                index = self._index(layout, of, marks, None, nearest)
                start, end = own["start"].to_numpy(), own["end"].to_numpy()
                yield index, own_rows, nearest.query_rows, start, end


def _nearest(everyone: Rows, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where rows with some numbers (-1: none) are among others, and their classes."""
    near = np.minimum(np.searchsorted(everyone.numbers, numbers), len(everyone) - 1)
    return near, np.where(numbers < 0, -1, everyone.more["rank"][near])


def cells_of(task: Task, parts: int, token: str) -> list[Cells | Chunks]:
    """Return the classes whose rows lie in scratch files, with a folder for them."""
    exchange, how, plan = scratch(task.scratch, token, task.staged), task.how, task.plan
    cut = [c for c in plan.growing if c.cells]
    of_all, kind = None, Cells
    if plan.all_rows is not None:
        asking, ranks = tuple(c.rank for c in cut), {c.label: c.rank for c in plan.classes}
        more: Any = {"asking": asking, "ranks": ranks}
        of_all = AllCells(exchange, how, plan.all_rows, parts, **more)
        kind = TowardAll if how.recipe.values else Cells
    found: list[Cells | Chunks] = []
    for c in cut:
        blocks = tuple(block for block in plan.blocks if block.class_rank == c.rank)
        found.append(kind(exchange, how, c, parts, blocks, plan.n_new, of_all))
    return found + [Chunks(exchange, how, c) for c in plan.growing if c.stored and not c.cells]
