r"""Rules over tables larger than a worker: all rows lie in cells, and a rule asks them in rounds.

::

    partition p --store-->    its complete rows: classes, features; a sample of them
    all         --lay out-->  cells cut from the sample                                 (one task)
    partition p --spread-->   the rows by cell
    all         --ask 0-->    the rule runs until it asks who is near some rows          (one task)
    cell c      --home, answer, told-->  the nearest of those of its rows that ask; a row of the
                           largest class is settled by any k rows of that class that are nearer
                           than any of another: so are the true ones
    all         --ask 1-->    the rule runs again, is told what it asked first, and asks again
    ...
    all         --decide-->   the rule ends: which rows stay                             (one task)

A rule is an ordinary function of :class:`CellRows`, which is run from the start in each round (see
:mod:`dsmote.execute.rounds`): answers lie in scratch files. As many rounds as the rule announces
are tasks of the graph, so that workers share them; questions beyond these are answered in the
deciding task itself, a cell at a time. The rows that stay are those that stay where all rows
are in one worker: neighbours are the same, by (distance, row number).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, repeat
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from dsmote.execute.arrow import (
    NO_IDS,
    as_of_class,
    concatenated,
    groups_of,
    listed,
    lists,
    n_groups,
    rows_of,
    table_of,
)
from dsmote.execute.clean import Cleaning, Kept, Measure, Reduce, kept_of, take_rows
from dsmote.execute.exchange import scratch
from dsmote.execute.extract import Extract, Take, join_extracts
from dsmote.execute.graph import FAN_IN, add_each, stand_for, tree, with_one_thread
from dsmote.execute.recipe import Making, Recipe, Rows
from dsmote.execute.rounds import Open, Replayed, replayed
from dsmote.execute.search import Layout, Search, Stored, in_common, merged_boxes
from dsmote.kernels import mixed_weight
from dsmote.neighbors import Choice, asked_rarely, choose_engine
from dsmote.neighbors import cells as kernels


@dataclass(frozen=True)
class Compared(Recipe):
    """How all rows are searched: numbers, and categories as far as the numbers spread."""

    mixed: bool = False
    weighs_columns = property(lambda self: self.mixed)

    def weight_of(self, columns: Any) -> float:
        """Return the distance that a differing category counts for."""
        return mixed_weight(columns)

    def engine(self, n_rows: int, sample: np.ndarray, codes: np.ndarray) -> Choice:
        """Choose by the directions that the rows spread in."""
        sample = self.scaled(sample)
        more = (codes, mixed_weight(sample.T)) if self.mixed and len(sample) else ()
        return choose_engine(n_rows, sample, *more)


@dataclass(frozen=True)
class Asked:
    """What a rule wants to know, or what it decided."""

    k: int = 0
    among: str = ""  # which rows may be found: all, those "marked", or the "few" in a file
    reduce: Reduce | None = None  # what is wanted of the classes of the neighbours
    kept: Kept | None = None


@dataclass(frozen=True)
class CellRows(Replayed):
    """The complete rows of a table that are in cells."""

    cells: Any = None
    layout: Any = None
    boxes: Any = None
    rounds: int = 0  # that are tasks of their own
    answered: int = 0

    def nearest(
        self, ids: np.ndarray, k: int, among: np.ndarray | None = None, eps: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and numbers of the k nearest rows, as `AllRows.nearest` does."""
        told = self._told(ids, self._asked(k, among), among)
        distances = np.full((len(ids), k), np.inf)
        found = np.full((len(ids), k), -1, dtype=np.int32)
        for at, came in told:
            distances[at] = listed(came["distance"], k)
            found[at] = listed(came["number"], k)
        return distances, found

    def measured(
        self, ids: np.ndarray, k: int, among: np.ndarray, measure: Measure, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the same as `AllRows.measured`."""
        values = np.empty(len(ids))
        for at, came in self._told(ids, self._asked(k, among), among):
            values[at] = measure(listed(came["distance"], k))
        return ids, values

    def reduced(self, ids: np.ndarray, k: int, reduce: Reduce) -> np.ndarray:
        """Return what a function makes of the classes of the k nearest rows."""
        made: np.ndarray | None = None
        for at, came in self._told(ids, Asked(k, "", reduce), None):
            values = came["value"].to_numpy()
            if made is None:
                made = np.empty(len(ids), dtype=values.dtype)
            made[at] = values
        return reduce(self.ranks[:0], np.empty((0, k), np.int32)) if made is None else made

    def _asked(self, k: int, among: np.ndarray | None) -> Asked:
        few = among is not None and len(among) <= self.cells.cls.cell_rows
        return Asked(k, "" if among is None else "few" if few else "marked")

    def _told(
        self, ids: np.ndarray, asked: Asked, among: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Yield answers for rows, given by place among `ids`; ask, if there are none yet."""
        number = self.numbered(asked)
        cells = self.cells.of_round(number, asked)
        if number >= self.answered:
            cells.send_question(self.layout, len(self), ids, among)
            if number < self.rounds:
                raise Open
            cells.answer_all(self.layout, self.boxes)
        place = np.full(len(self), -1, dtype=np.int32)
        place[ids] = np.arange(len(ids), dtype=np.int32)
        return cells.answers(place)


_SEEN = 512  # rows that an engine is chosen from
#: Stages of which there is one for each round; rows are spread once.
_ROUND = ("home", "settled", "forward", "answer", "told", "question", "few")
_EPS = 1.0  # rows that settle others may be so much further than the nearest: found sooner
_REACH = 0.99  # of the rows: to settle the others, rows from too far away would be held
_OTHERS = 4  # rows of other classes, for each that a cell may have, which each cell looks through


@dataclass(frozen=True)
class CleanCells(Search):
    """All complete rows in cells, known by their places in the table's order. `cls` is the table.

    There is a search for each round.
    """

    task: Any = None  # a Cleaning
    number: int = 0  # of the round
    asked: Asked = Asked()

    def of_round(self, number: int, asked: Asked) -> CleanCells:
        """Return these cells for a round."""
        return replace(self, number=number, asked=asked)

    @property
    def own(self) -> str:
        """What names of files and tasks begin with."""
        return "table"

    @property
    def what(self) -> str:
        """What is searched, for messages."""
        return "the table"

    @property
    def k(self) -> int:
        """How many of the nearest are looked for."""
        return self.asked.k

    def _name(self, stage: str, place: int) -> str:
        name = super()._name(stage, place)
        return f"{name}-{self.number}" if stage in _ROUND else name

    # ---- the partitions

    def store_all(self, place: int, *row: Any) -> Extract:
        """Write the complete rows of a partition, and their classes once more."""
        taken = take_rows(*row, task=self.task)
        # What is not searched by need not travel.
        rows = replace(taken.rows, more={"rank": taken.ranks}, integers={}, units={})
        known = pa.table({"number": rows.numbers, "rank": taken.ranks})
        self.exchange.send(self._name("ranks", place), known, np.zeros(len(rows), int), 1)
        stored = {self.cls.rank: [self.store(rows, place)]}
        return Extract(taken.counts, taken.lengths, {}, stored=stored)

    def join(self, parts: Sequence[Extract]) -> Extract:
        """Join what is known of partitions, in order."""
        return join_extracts(parts, take=Take(self.task.schema))

    def join_all(self, parts: Sequence[Extract]) -> Extract:
        """Join what is known of all partitions, and check that it is what was planned for."""
        return join_extracts(parts, take=Take(self.task.schema), plan=self.task.plan)

    def lay_out(self, found: Extract, *_: Any) -> Layout:
        """Cut the cells. Rows are known by their places among all that are complete."""
        everywhere: list[Stored] = found.stored[self.cls.rank]
        like, weight = in_common(everywhere, self.how.schema), 0.0
        if self.recipe.weighs_columns:
            columns = self._columns(range(self.parts), like.numeric.shape[1])
            weight = self.recipe.weight_of(columns)
        none = np.zeros(n_groups(like), dtype=bool)
        starts = np.cumsum([0, *(each.n_rows for each in everywhere)])
        return replace(self._cut(found, everywhere, like, none, weight), starts=starts)

    def spread(self, layout: Layout, found: Extract, _: Any, place: int) -> dict[str, np.ndarray]:
        """Send the rows of a partition to their cells; return counts and boxes."""
        ((stored,),) = found.stored.values()
        task = partial(self._spread_rows, layout, stored.like, place)
        return self.exchange.once(self._name("cell", place), task)

    def _spread_rows(self, layout: Layout, own: Rows, place: int) -> dict[str, np.ndarray]:
        rows, _ = rows_of(self.exchange.receive([self._name("rows", place)], 0), own)
        first = int(layout.starts[place])
        numbers = np.arange(first, first + len(rows))
        rows = replace(as_of_class(rows, layout.like), numbers=numbers)
        if self._tells_others:
            others = table_of(rows.take(np.flatnonzero(rows.more["rank"] != self._largest)))
            self.exchange.send(self._name("others", place), others, np.zeros(len(others), int), 1)
        return self._sent(layout, rows, np.zeros(len(rows), dtype=bool), {}, place)

    def _representatives(self, matrix: np.ndarray, rows: Rows) -> np.ndarray:
        # Each row travels: where only some may be found, its equal ones may not.
        return np.arange(len(rows))

    def _crowded(self, rows: int) -> str:
        return (
            f"the table has {rows:,} rows so near each other, or equal, that they are one cell, "
            f"and workers have memory for {self.cls.cell_rows:,}; give each worker more memory"
        )

    # ---- questions

    def send_question(
        self, layout: Layout, n: int, ids: np.ndarray, among: np.ndarray | None
    ) -> None:
        """Write which of n rows ask, and which may be found: those themselves, if they are few."""
        columns = {"asks": _marked(n, ids)}
        if among is not None:
            columns["among"] = may = _marked(n, among)
        table = pa.table(columns)
        self.exchange.send(self._name("question", 0), table, np.zeros(n, dtype=int), 1)
        if among is None or self.asked.among != "few":
            return
        cells = (super(CleanCells, self).rows_of_cell(layout, c)[0] for c in range(self.cls.cells))
        found = [rows.take(np.flatnonzero(may[rows.numbers])) for rows in cells]
        few = concatenated(found)
        few = few.take(np.argsort(few.numbers))
        self.exchange.send(self._name("few", 0), table_of(few), np.zeros(len(few), dtype=int), 1)

    def _question(self, what: str) -> np.ndarray:
        table = self.exchange.receive([self._name("question", 0)], 0)
        return np.asarray(table[what].to_numpy())

    def answer_all(self, layout: Layout, boxes: dict[str, np.ndarray]) -> None:
        """Answer a question, a cell at a time."""
        for c in range(self.cls.cells):
            self.home(layout, boxes, c)
        for stage in (self.answer, self.tell):
            for c in range(self.cls.cells):
                stage(layout, boxes, None, c)

    # ---- the cells

    def _build(
        self, layout: Layout, rows: Rows, rarely: bool
    ) -> Callable[[np.ndarray, np.ndarray, float], Any]:
        some = slice(None, None, max(1, len(rows) // _SEEN))
        engine: Any = self.recipe.engine(len(rows), rows.numeric[some], rows.codes[some]).engine
        engine = asked_rarely(engine) if rarely else engine

        def build(matrix: np.ndarray, codes: np.ndarray, weight: float) -> Any:
            return engine.build(matrix, *((codes, weight) if weight else ()))

        return build

    def rows_of_cell(self, layout: Layout, c: int) -> tuple[Rows, pa.Table]:
        """Return the rows of a cell, and which of them ask."""
        rows, _ = super().rows_of_cell(layout, c)
        return rows, pa.table({"asks": self._question("asks")[rows.numbers]})

    def _answering(self, rows: Rows) -> Rows:
        # Numbers and classes are enough.
        nothing = np.empty((len(rows), 0), dtype=np.int32)
        return replace(rows, numeric=rows.numeric[:, :0], codes=nothing, levels=(), group=None)

    def _cell(self, layout: Layout, rows: Rows, rarely: bool = False) -> Any:
        if self.asked.among != "marked":
            return super()._cell(layout, rows, rarely)
        may = np.flatnonzero(self._question("among")[rows.numbers])
        place = np.full(len(rows), -1)
        place[may] = np.arange(len(may))
        cell = super()._cell(layout, rows.take(may), rarely)
        return Some(cell, may, place, self._asking(layout, rows), rows.group)

    @property
    def _largest(self) -> int:
        return max(self.task.plan.classes, key=lambda of: of.before).rank

    @property
    def _tells_others(self) -> bool:
        """Whether each cell looks through all rows but those of the largest class."""
        counts = [of.before for of in self.task.plan.classes]
        return sum(counts) - max(counts) <= _OTHERS * self.cls.cell_rows

    def _few_search(self, asks: np.ndarray) -> bool:
        certain = self.asked.reduce is not None and self._tells_others
        return certain or super()._few_search(asks)

    def _open(
        self, layout: Layout, rows: Rows, cell: Any, asking: np.ndarray, c: int
    ) -> np.ndarray:
        # A row of the largest class with k rows of that class nearer than any of another: its
        # neighbours, which are no further, are of that class. These k need not be the nearest.
        if self.asked.reduce is None:
            return asking
        some = NO_IDS
        if self._tells_others:
            own = rows.more["rank"] == self._largest
            some = self._certain(layout, rows, cell, asking[own[asking]], own)
        table = pa.table({"id": rows.numbers[some]})
        self.exchange.send(self._name("settled", c), table, np.zeros(len(some), dtype=int), 1)
        settled = np.zeros(len(rows), dtype=bool)
        settled[some] = True
        return asking[~settled[asking]]

    def _certain(
        self, layout: Layout, rows: Rows, cell: Any, some: np.ndarray, own: np.ndarray
    ) -> np.ndarray:
        """Return those of some rows of the largest class that any k rows of theirs settle."""
        if not len(some):
            return NO_IDS
        near = cell.bounds(some, self.k)
        at = int(_REACH * len(near))
        most = float(np.partition(near, at)[at])
        others = self._others(layout, cell, most)
        if others is None:
            return NO_IDS
        index = self._cell(layout, others)

        points = self._asking(layout, rows)

        def alone(some: np.ndarray, squares: np.ndarray) -> np.ndarray:
            group = () if rows.group is None else (rows.group[some],)
            return np.flatnonzero(index.alone(points[some], squares, *group))

        # First by rows that lie beside each other, which costs next to nothing.
        known = np.flatnonzero(np.isfinite(near) & (near <= most))
        settled = known[alone(some[known], near[known])]
        rest = np.delete(some, settled)
        squares, found = cell.home(rest, self.k, _EPS)
        same = np.flatnonzero((own[found] & (found >= 0)).all(axis=1) & (squares[:, -1] <= most))
        more = same[alone(rest[same], squares[same, -1])]
        return np.concatenate([some[settled], rest[more]])

    def _others(self, layout: Layout, cell: Any, square: float) -> Rows | None:
        """Return rows of other classes that may be so near any of a cell; None: too many."""
        parts: list[Rows] = []
        for name in self._names("others", self.parts):
            others, _ = rows_of(self.exchange.receive([name], 0), layout.like)
            may = cell.may_reach(self._matrix(layout, others), square)
            parts.append(others.take(np.flatnonzero(may)))
            # So few take less memory than the rows of other cells that a later task holds.
            if 4 * sum(map(len, parts)) > self.cls.cell_rows:
                return None
        return concatenated(parts)

    def _home(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        if self.asked.among != "few":
            return super()._home(layout, boxes, c)
        rows, known = self.rows_of_cell(layout, c)
        few, _ = rows_of(self.exchange.receive([self._name("few", 0)], 0), layout.like)
        asking = np.flatnonzero(known["asks"].to_numpy())
        place = np.minimum(np.searchsorted(few.numbers, rows.numbers), max(0, len(few) - 1))
        if len(few):
            place = np.where(few.numbers[place] == rows.numbers, place, -1)
        points, at = self._asking(layout, rows), np.arange(len(few))
        of = Some(self._cell(layout, few), at, place, points, rows.group)
        squares, found = of.home(asking, self.k)
        numbers = np.where(found < 0, -1, few.numbers[found] if len(few) else -1)
        self._send_told(layout, c, rows.take(asking), squares, numbers)
        return {"rows": np.array(len(asking))}

    def answer(self, layout: Layout, boxes: Any, _: Any, c: int) -> dict[str, np.ndarray]:
        """Answer the queries of other cells; few rows were compared with all of them at once."""
        return {} if self.asked.among == "few" else super().answer(layout, boxes, _, c)

    def tell(self, layout: Layout, boxes: Any, _: Any, c: int) -> dict[str, np.ndarray]:
        """Write the nearest of those of a cell's rows that ask, or what is wanted of them."""
        if self.asked.among == "few":
            return {}
        return self.exchange.once(self._name("told", c), partial(self._tell, layout, c))

    def _tell(self, layout: Layout, c: int) -> dict[str, np.ndarray]:
        rows, _ = self.rows_of_cell(layout, c)
        asking, squares, numbers = self.merged(layout, rows, c)
        if self.asked.reduce is None:
            self._send_told(layout, c, rows.take(asking), squares, numbers)
            return {"rows": np.array(len(asking))}
        values = [self.asked.reduce(rows.more["rank"][:0], np.empty((0, self.k), np.int32))]
        own = self._answering(rows)
        for some in self.steps(rows, numbers):
            everyone = self.with_others(layout, own, c, numbers[some])
            at = np.searchsorted(everyone.numbers, numbers[some])
            at = np.minimum(at, max(0, len(everyone) - 1))
            ranks = np.where(numbers[some] >= 0, everyone.more["rank"][at], -1)
            values.append(self.asked.reduce(rows.more["rank"][asking[some]], ranks))
        settled = self.exchange.receive([self._name("settled", c)], 0)["id"].to_numpy()
        alike = np.full((1, self.k), self._largest, dtype=np.int32)
        values.append(np.repeat(self.asked.reduce(alike[0, :1], alike), len(settled)))
        ids = np.concatenate([rows.numbers[asking], settled])
        table = pa.table({"id": ids, "value": np.concatenate(values)})
        self.exchange.send(self._name("told", c), table, np.zeros(len(ids), dtype=int), 1)
        return {"rows": np.array(len(ids))}

    def _send_told(
        self, layout: Layout, c: int, rows: Rows, squares: np.ndarray, numbers: np.ndarray
    ) -> None:
        distances = np.sqrt(squares) / layout.units[groups_of(rows), None]
        found = {"distance": lists(distances), "number": lists(numbers.astype(np.int32))}
        table = pa.table({"id": rows.numbers, **found})
        self.exchange.send(self._name("told", c), table, np.zeros(len(rows), dtype=int), 1)

    def answers(self, place: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Yield what each cell told, and the places of the rows that it is about."""
        for name in self._names("told", self.cls.cells):
            came = self.exchange.receive([name], 0)
            if len(came):
                yield place[came["id"].to_numpy()], came

    # ---- the rule

    def ask(
        self, layout: Layout, boxes: Any, found: Extract, _: Any, *, answered: int, rounds: int
    ) -> Asked:
        """Run the rule, of which some questions are answered; return the next, or what it says."""
        ranks = self._of_each_row("rank", layout, np.int32)
        rows = CellRows(
            **self.task.of_rows(ranks),
            cells=self,
            layout=layout,
            boxes=boxes,
            rounds=rounds,
            answered=answered,
        )
        decision = replayed(self.task.rule, rows)
        if decision is None:
            return rows.asked[-1]
        numbers = self._of_each_row("number", layout, np.int64)
        complete = np.zeros(int(found.starts[-1]), dtype=bool)
        for place, first in enumerate(found.starts[:-1].tolist()):
            complete[numbers[layout.starts[place] : layout.starts[place + 1]] + first] = True
        return Asked(kept=kept_of(decision, ranks, complete, found.starts, self.task))

    def _of_each_row(self, what: str, layout: Layout, dtype: Any) -> np.ndarray:
        """Read what is known of all complete rows, a partition at a time."""
        made = np.empty(int(layout.starts[-1]), dtype=dtype)
        for place, name in enumerate(self._names("ranks", self.parts)):
            came = self.exchange.receive([name], 0)
            made[layout.starts[place] : layout.starts[place + 1]] = came[what].to_numpy()
        return made

    def in_round(self, stage: str, number: int, asked: Asked, *args: Any) -> dict[str, np.ndarray]:
        """Run a stage of a round; nothing where the rule has ended."""
        if asked.kept is not None:
            return {}
        made: dict[str, np.ndarray] = getattr(self.of_round(number, asked), stage)(*args)
        return made


def _marked(n: int, ids: np.ndarray) -> np.ndarray:
    marks = np.zeros(n, dtype=bool)
    marks[ids] = True
    return marks


class Some:
    """Some rows, `at` among those that neighbours are wanted of: `place` says which these are."""

    def __init__(
        self,
        cell: Any,
        at: np.ndarray,
        place: np.ndarray,
        points: np.ndarray,
        group: np.ndarray | None,
    ) -> None:
        self._cell, self._at, self._place = cell, at, place
        self._points, self._group = points, group

    @property
    def order(self) -> np.ndarray:
        """The order of all rows in which near ones follow each other, as far as it is known."""
        return np.concatenate([self._at[self._cell.order], np.flatnonzero(self._place < 0)])

    def home(self, asking: np.ndarray, k: int, eps: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return squares and places of the k nearest of these rows, as a cell does."""
        squares = np.full((len(asking), k), np.inf)
        found = np.full((len(asking), k), -1, dtype=np.int64)
        place = self._place[asking]
        own, others = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
        if len(own):
            squares[own], found[own] = self._cell.home(place[own], k, eps)
        if len(others) and len(self._at):
            of = asking[others]
            own_group = () if self._group is None else (self._group[of],)
            far = np.full(len(of), np.inf)
            query, near, square = self._cell.inside(self._points[of], far, k, *own_group)
            squares[others], found[others] = kernels.merge(
                squares[others], found[others], query, near, square
            )
        found[found >= 0] = self._at[found[found >= 0]]
        return squares, found

    def inside(
        self, points: np.ndarray, squares: np.ndarray, k: int, *group: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return those of these rows that may be among a query's k nearest, as a cell does."""
        if not len(self._at):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        query, near, square = self._cell.inside(points, squares, k, *group)
        return query, self._at[near], square


def clean_cells(task: Cleaning, parts: int, token: str) -> CleanCells:
    """Return the cells of a table, with a scratch folder for them."""
    rule, plan = task.rule, task.plan
    mixed = bool(task.schema.nominal)
    recipe = Compared(rule.name, scaling=rule.scaling, mixed=mixed)
    how = Making(recipe, task.schema, plan.seed)
    exchange = scratch(task.scratch, token, task.staged)
    assert plan.all_rows is not None
    return CleanCells(exchange, how, plan.all_rows, parts, task=task)


def add_cells(tasks: dict[Any, Any], rows: Sequence[Any], token: str, cells: CleanCells) -> Any:
    """Add the tasks of a rule; return the key of what it decides. `rows` are the partitions'."""

    def add(name: str, function: Any, n: int, *args: Any) -> list[Any]:
        each = ((*args, place) for place in range(n))
        return add_each(tasks, f"{name}-{token}", partial(with_one_thread, function), each)

    look = partial(with_one_thread, cells.store_all)
    level = add_each(
        tasks, f"rows-{token}", look, ((place, *row) for place, row in enumerate(rows))
    )
    found = tree(tasks, level, f"found-{token}", cells.join, cells.join_all, FAN_IN)
    layout = f"layout-{token}"
    tasks[layout] = (cells.lay_out, found)
    parts = zip(repeat(layout), level, repeat(None), count())
    level = add_each(tasks, f"spread-{token}", partial(with_one_thread, cells.spread), parts)
    boxes = tree(tasks, level, f"boxes-{token}", merged_boxes, cells.check_boxes)
    rounds, after, n = cells.task.rule.rounds, None, cells.cls.cells
    for number in range(rounds):
        asked = f"ask-{number}-{token}"
        ask = partial(cells.ask, answered=number, rounds=rounds)
        tasks[asked] = (partial(with_one_thread, ask), layout, boxes, found, after)

        def stage(name: str, *args: Any, number: int = number, asked: Any = asked) -> Any:
            run = partial(cells.in_round, name, number)
            level = add(f"{name}-{number}", run, n, asked, *args)
            return tree(tasks, level, f"{name}s-{number}-{token}", stand_for)

        there = stage("home", layout, boxes)
        there = stage("answer", layout, boxes, there)
        after = stage("tell", layout, boxes, there)
    decided = f"decided-{token}"
    ask = partial(cells.ask, answered=rounds, rounds=rounds)
    tasks[f"ask-{rounds}-{token}"] = (
        partial(with_one_thread, ask),
        layout,
        boxes,
        found,
        after,
    )
    tasks[decided] = (attrgetter("kept"), f"ask-{rounds}-{token}")
    return decided
