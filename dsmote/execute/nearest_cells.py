r"""The nearest of all rows for classes that are cut into cells: all rows are, with a class each.

::

    partition p --store-->   its rows: numbers, classes, features; a sample of them
    all         --lay out--> cells cut from the sample; which rows are whose           (one task)
    partition p --spread-->  the rows by cell; those that ask are marked
    cell c      --home, answer-->  as in a class (see :mod:`dsmote.execute.cells`)
    cell c      --judge-->   others and all among the nearest of each row that asked, by class
    class       --lay out--> how often each of its rows is a base                      (one task)

Where new rows are made toward the nearest of all rows, base rows go back to the cell that knows
these, which makes them; the class itself is not searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from dsmote.execute.cells import Cells, Indexed, Layout, rows_of, table_of
from dsmote.execute.exchange import scratch
from dsmote.execute.extract import Extract, reference_rows
from dsmote.execute.partition import Partition
from dsmote.execute.recipe import NearestOfAll, Rows, Task, other_classes
from dsmote.neighbors.exact import scale_power
from dsmote.plan import Schema


@dataclass(frozen=True)
class AllLayout(Layout):
    """Where all rows are."""

    firsts: Any = None  # by rank of a class that asks: rows of it before each partition


@dataclass(frozen=True)
class AllCells(Cells):
    """All rows in cells, of which those of some classes ask. `cls` stands for the table."""

    ranks: tuple[int, ...] = ()  # of the classes that ask
    labels: Any = None  # ranks of all classes, by label

    @property
    def own(self) -> str:
        """What names of files and tasks begin with."""
        return "all"

    @property
    def _what(self) -> str:
        return "the table"

    @property
    def k(self) -> int:
        """How many of the nearest are looked for."""
        return int(self.recipe.n_neighbors_all)

    # ---- the partitions

    def rows_in(self, here: Partition, schema: Schema) -> Rows:
        """Return the complete rows of a partition, with their classes."""
        found = reference_rows(here, schema=schema, ranks=self.labels, recipe=self.recipe)
        rows, more = found.rows, {"rank": found.ranks}
        weights = rows.weights if self.recipe.values else None
        return Rows(rows.numeric, rows.codes[:, :0], rows.numbers, weights=weights, more=more)

    def lay_out(self, found: Extract, *_: Any) -> AllLayout:
        """Cut the cells, and number the rows of the classes that ask."""
        stored = [each for each in found.stored[self.cls.rank] if each is not None]
        unit = scale_power(np.array([each.largest for each in stored]))
        firsts = {}
        for rank in self.ranks:
            n_rows = [each.n_rows if each else 0 for each in found.stored[rank]]
            firsts[rank] = np.cumsum([0, *n_rows])
        cutting, like = self._cutting(stored, unit), stored[0].like
        return AllLayout(cutting, unit, 0.0, found.starts, like, {}, firsts=firsts)

    def spread(self, layout: Any, found: Extract, model: Any, place: int) -> dict[str, np.ndarray]:
        """Send the rows of a partition to their cells; return counts and boxes."""
        task = partial(self._spread_all, layout, model, place)
        return self.exchange.once(self._name("cell", place), task)

    def _spread_all(self, layout: AllLayout, model: Any, place: int) -> dict[str, np.ndarray]:
        rows, _ = rows_of(self.exchange.receive([self._name("rows", place)], 0), layout.like)
        rows = rows.moved(int(layout.starts[place]))
        among = np.full(len(rows), -1)  # place of those that ask among the rows of their class
        for rank in self.ranks:
            of_class = np.flatnonzero(rows.more["rank"] == rank)
            asked = self.recipe.query_rows(rows.take(of_class), model)
            among[of_class[asked]] = layout.firsts[rank][place] + asked
        return self._sent(layout, rows, {"among": among}, place)

    # ---- the cells

    def _asks(self, known: pa.Table) -> np.ndarray:
        return np.asarray(known["among"].to_numpy() >= 0)

    def _answering(self, rows: Rows) -> Rows:
        # Where no new row is made toward one of another cell, its number and class are enough.
        return rows if self.recipe.values else replace(rows, numeric=rows.numeric[:, :0])

    def _build(self, rows: Rows) -> Callable[[np.ndarray, np.ndarray, float], Any]:
        return lambda matrix, *_: self.recipe.index_all(matrix, len(matrix))

    def judge(self, layout: Layout, _: Any, c: int) -> dict[str, np.ndarray]:
        """Count others among the nearest of each row that asked, and send that to its class."""
        return self.exchange.once(self._name("told", c), partial(self._judge, layout, c))

    def _judge(self, layout: Layout, c: int) -> dict[str, np.ndarray]:
        rows, known = self.rows_of_cell(layout, c)
        asking, _, numbers = self.lists(layout, c, rows)
        among, ranks = known["among"].to_numpy()[asking], rows.more["rank"][asking]
        others, present = np.empty((2, len(asking)), dtype=np.int32)
        own, m = self._answering(rows), self.recipe.counted
        for some in self.steps(rows, numbers):
            everyone = self.with_others(layout, c, own, numbers[some])
            for rank in self.ranks:
                of = np.arange(len(asking))[some][ranks[some] == rank]
                found = other_classes(nearest_of_all(everyone, of, numbers[of], rank, 0), m)
                others[of], present[of] = found
        table = pa.table({"among": among, "others": others, "present": present})
        where = np.searchsorted(self.ranks, ranks)
        self.exchange.send(self._name("told", c), table, where, len(self.ranks))
        return {"rows": np.array(len(asking))}

    # ---- the classes

    def nearest_of(self, rank: int, n: int) -> tuple[NearestOfAll, dict[str, np.ndarray]]:
        """Return what was counted for the n rows of a class, and in which cell each is."""
        counts, cell = np.zeros((2, n), dtype=np.int32), np.full(n, -1, dtype=np.int32)
        for c, name in enumerate(self._names("told", self.cls.cells)):
            came = self.exchange.receive([name], self.ranks.index(rank))
            among = came["among"].to_numpy()
            for count, kind in zip(counts, ("others", "present"), strict=True):
                count[among] = came[kind].to_numpy()
            cell[among] = c
        asked = np.flatnonzero(cell >= 0)
        nothing = np.empty((len(asked), 0))
        found = NearestOfAll(asked, nothing, nothing, nothing, nothing[:, :, None], rank)
        found = replace(found, counts=(counts[0, asked], counts[1, asked]))
        return found, {"cell": cell} if self.recipe.values else {}


def nearest_of_all(
    everyone: Rows,
    queries: np.ndarray,
    numbers: np.ndarray,
    rank: int,
    n_values: int,
    distances: np.ndarray | None = None,
) -> NearestOfAll:
    """Return lists of numbers (-1: none) as the nearest of all rows, which are among others."""
    near = np.minimum(np.searchsorted(everyone.numbers, numbers), len(everyone) - 1)
    classes = np.where(numbers >= 0, everyone.more["rank"][near], -1)
    near = near[:, :n_values]
    values = everyone.numeric[near]
    if everyone.weights is not None:
        values = np.concatenate([values, everyone.weights[near][:, :, None]], axis=2)
    distances = np.empty(numbers.shape) if distances is None else distances
    return NearestOfAll(queries, distances, classes, numbers, values, rank)


@dataclass(frozen=True)
class TowardAll(Cells):
    """A class whose new rows are made toward the nearest of all rows, in their cells."""

    @property
    def _all(self) -> Any:
        return self.told

    def _sent(
        self, layout: Layout, rows: Rows, known: dict[str, np.ndarray], place: int
    ) -> dict[str, np.ndarray]:
        """Send base rows to the cells that know their neighbours."""
        bases = np.flatnonzero(known["end"] > known["start"])
        cell = known.pop("cell")[bases]
        known = {name: of[bases] for name, of in known.items()}
        table = table_of(rows.take(bases), **known)
        self.exchange.send(self._name("cell", place), table, cell, self._all.cls.cells)
        return {"rows": np.array(len(bases))}

    def make(self, layout: Layout, everywhere: Any, *c: Any) -> dict[str, np.ndarray]:
        """Make the new rows of base rows that are in a cell, and send them to their blocks."""
        _, cell = c
        task = partial(self._make, layout, cell, everywhere)
        return self.exchange.once(self._name("made", cell), task)

    def _indexes(self, layout: Layout, c: int, *also: Any) -> Iterator[Indexed]:
        (everywhere,), of_all = also, self._all
        rows, known = self.rows_of_cell(layout, c)
        if not len(rows):
            return
        start, end = known["start"].to_numpy(), known["end"].to_numpy()
        marks = known["mark"].to_numpy() if "mark" in known.column_names else None
        all_rows, _ = of_all.rows_of_cell(everywhere, c)
        asking, squares, numbers = of_all.lists(everywhere, c, all_rows)
        at = np.searchsorted(all_rows.numbers[asking], rows.numbers)
        distances, numbers = np.sqrt(squares[at]) / everywhere.unit, numbers[at]
        step = max(1, len(all_rows) // self.recipe.values)  # values of no more than a cell's rows
        for some in of_all.steps(all_rows, numbers):
            everyone = of_all.with_others(everywhere, c, all_rows, numbers[some])
            for low in range(some.start, min(some.stop, len(rows)), step):
                here = np.arange(low, min(some.stop, len(rows), low + step))
                nearest = nearest_of_all(
                    everyone,
                    np.arange(len(here)),
                    numbers[here],
                    self.cls.rank,
                    self.recipe.values,
                    distances[here],
                )
                marked = None if marks is None else marks[here]
                index = self._index(layout, rows.take(here), marked, None, nearest)
                yield index, nearest.query_rows, start[here], end[here]


def cells_of(task: Task, parts: int, token: str) -> list[Cells]:
    """Return the classes that are cut into cells, with a scratch folder for them."""
    exchange, how, plan = scratch(task.scratch, token, task.staged), task.how, task.plan
    cut = [c for c in plan.growing if c.cells]
    told, kind = None, Cells
    if plan.all_rows is not None:
        ranks, labels = tuple(c.rank for c in cut), {c.label: c.rank for c in plan.classes}
        told = AllCells(exchange, how, plan.all_rows, (), parts, ranks=ranks, labels=labels)
        kind = TowardAll if how.recipe.values else Cells
    found = []
    for c in cut:
        blocks = tuple(block for block in plan.blocks if block.class_rank == c.rank)
        found.append(kind(exchange, how, c, blocks, parts, plan.n_new, told))
    return found
