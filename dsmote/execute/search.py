"""Search in cells: who is near whom among rows that no worker can hold.

Rows of partitions are cut into cells of near ones (`store`, a layout, spread). In each cell, rows
that ask find the nearest of its own (`home`), other cells answer those whose balls meet their boxes
(`answer`), and who wants to know merges what was found (`merged`, `with_others`).

Of equal rows of a partition only the first k + 1 can be neighbours. The others are *surplus*: those
that ask wait in a file of their own, and the nearest of the last of these k + 1 are theirs too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from dsmote.execute.arrow import (
    NO_IDS,
    as_of_class,
    batch_of,
    concatenated,
    groups_of,
    listed,
    lists,
    n_groups,
    numbered_groups,
    rows_of,
    searched,
    table_of,
)
from dsmote.execute.exchange import Exchange
from dsmote.execute.extract import Extract, places_of
from dsmote.execute.recipe import (
    Making,
    Recipe,
    Rows,
)
from dsmote.execute.rows import common_categories, join_frames, join_levels, unfit_decimals
from dsmote.neighbors import Axes, project
from dsmote.neighbors import cells as kernels
from dsmote.neighbors.exact import scale_power
from dsmote.plan import (
    ClassPlan,
    Schema,
)
from dsmote.plan.memory import CELL_NEW_ROWS, CELL_SAMPLE, class_rows

_MANY = 4  # a row in so many asks: fewer are few


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
    report: Mapping[str, Any] = field(default_factory=dict)  # what the user is told of the class
    levels: kernels.Levels | None = None  # where rows are compared by the classes of their levels
    axes: Axes | None = None  # where rows are projected
    output: Rows | None = None  # what belongs to new rows, where groups are not those of the search


@dataclass(frozen=True)
class Search:
    """A search in cells, and its tasks; `cls` says into how many."""

    exchange: Exchange
    how: Making
    cls: ClassPlan
    parts: int  # partitions of the input

    @property
    def recipe(self) -> Recipe:
        """The sampler's."""
        return self.how.recipe

    @property
    def own(self) -> str:
        """What names of files and tasks begin with."""
        raise NotImplementedError

    @property
    def k(self) -> int:
        """How many neighbours are looked for."""
        raise NotImplementedError

    @property
    def what(self) -> str:
        """What is searched, for messages."""
        raise NotImplementedError

    def _name(self, stage: str, place: int) -> str:
        return f"{self.own}-{stage}-{place:05d}"

    def _names(self, stage: str, n: int) -> list[str]:
        return [self._name(stage, place) for place in range(n)]

    # ---- the partitions

    def store(self, rows: Rows, place: int) -> Stored:
        """Write rows of a partition."""
        matrix, group = self.recipe.scaled(rows.numeric), groups_of(rows)
        drawn = np.random.default_rng(place).random(len(rows))
        travelling = self._representatives(matrix, rows) == np.arange(len(rows))
        travelling &= drawn < CELL_SAMPLE / max(1, self.cls.usable)
        some = np.flatnonzero(travelling)
        sample = replace(rows.take(some), passthrough=None, more={"place": some})
        self.exchange.send(self._name("rows", place), table_of(rows), np.zeros(len(rows), int), 1)
        if self.recipe.weighs_columns:
            batches = (pa.record_batch({"x": np.ascontiguousarray(of)}) for of in matrix.T)
            self.exchange.write(
                self._name("columns", place), batches, pa.schema({"x": pa.float64()})
            )
        sizes = np.bincount(group, minlength=n_groups(rows))
        largest = np.zeros(len(sizes))
        np.maximum.at(largest, group, reach(matrix))
        return Stored(rows.take(NO_IDS), len(rows), sample, sizes, largest, unfit_decimals(rows))

    def _in_order(
        self, stored: Sequence[Stored], places: Sequence[int], like: Rows
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (scaled) rows and their groups, of one partition after the other."""
        groups, first = numbered_in(stored, like), 0
        for each, place in zip(stored, places, strict=True):
            own = replace(each.like, codes=each.like.codes[:, :0], integers={}, passthrough=None)
            rows, _ = rows_of(self.exchange.receive([self._name("rows", place)], 0), own)
            of, first = groups[first : first + len(each.sizes)], first + len(each.sizes)
            yield self.recipe.scaled(rows.numeric), of[groups_of(rows)]

    def _columns(self, places: Sequence[int], n: int) -> Iterator[np.ndarray]:
        names = [self._name("columns", place) for place in places]
        return (self.exchange.receive(names, j)["x"].to_numpy() for j in range(n))

    def _cut(
        self,
        found: Extract,
        stored: Sequence[Stored],
        like: Rows,
        lone: np.ndarray,
        weight: float,
        model: Any = None,
        axes: Axes | None = None,
        largest: np.ndarray | None = None,
    ) -> Layout:
        """Cut the cells; `largest` are the largest absolute values of the groups' searched rows."""
        if largest is None:
            largest = np.zeros(n_groups(like))
            each_largest = np.concatenate([each.largest for each in stored])
            np.maximum.at(largest, numbered_in(stored, like), each_largest)
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
        layout = replace(layout, axes=axes)
        sample = concatenated([as_of_class(each.sample, like) for each in stored])
        tables = self.recipe.tables(like, model)
        if tables:
            layout = replace(layout, levels=kernels.level_places(tables, sample.codes))
        points = self._points(layout, sample, self._matrix(layout, sample))
        return replace(layout, cutting=kernels.cut(points, (self.cls.cells - 1).bit_length()))

    def _sent(
        self,
        layout: Layout,
        rows: Rows,
        asks: np.ndarray,
        known: dict[str, np.ndarray],
        place: int,
    ) -> dict[str, np.ndarray]:
        """Send rows of a partition to their cells, with what is known of each."""
        matrix = self._matrix(layout, rows)
        named = rows
        if layout.levels is not None:
            named = replace(rows, codes=layout.levels.named(rows.codes))
        same = self._representatives(matrix, named)
        travels = same == np.arange(len(rows))
        surplus = np.flatnonzero(asks & ~travels)
        asks[same[surplus]] = True
        travelling = np.flatnonzero(travels)
        cell = np.empty(len(rows), dtype=np.int64)
        points = self._points(layout, rows, matrix)[travelling]
        cell[travelling], low, high = layout.cutting.spread(points)
        n = layout.cutting.n_cells
        self._send("cell", place, rows, travelling, cell[travelling], n, asks=asks, **known)
        to = cell[same[surplus]]
        if len(surplus):
            piece, like = _evenly(to, layout.pieces), rows.numbers[same]
            rest, pieces = self._bare(rows), n * layout.pieces
            self._send("surplus", place, rest, surplus, piece, pieces, like=like, **known)
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
        return kernels.representatives(matrix, codes, self.k)

    def _bare(self, rows: Rows) -> Rows:
        """Return what a surplus row is known by where its representative is."""
        return rows

    # ---- the cells

    def _matrix(self, layout: Layout, rows: Rows) -> np.ndarray:
        matrix = self.recipe.scaled(rows.numeric)
        if layout.axes is not None:
            matrix = project(matrix, *layout.axes)
        if (layout.units == 1.0).all():
            return matrix
        return np.asarray(matrix * layout.units[groups_of(rows), None])

    def _points(self, layout: Layout, rows: Rows, matrix: np.ndarray) -> np.ndarray:
        """Return what is cut into cells: rows of different groups are far from each other."""
        if layout.levels is not None:
            matrix = layout.levels.points(rows.codes)
        if rows.group is None:
            return matrix
        return np.concatenate([matrix, layout.step * rows.group[:, None]], axis=1)

    def _answering(self, rows: Rows) -> Rows:
        """Return what goes with an answer."""
        return rows

    @property
    def tells_neighbours(self) -> bool:
        """Whether the values that neighbours carry are wanted."""
        return self.how.provenance == "full" and bool(self.how.schema.carried)

    def rows_of_cell(self, layout: Layout, c: int) -> tuple[Rows, pa.Table]:
        """Return the rows of a cell, and what is known of each."""
        names = self._names("cell", self.parts)
        return rows_of(self.exchange.receive(names, c), layout.like)

    def _cell(self, layout: Layout, rows: Rows, rarely: bool = False) -> Any:
        """Return the index of a cell; `rarely`: fewer rows ask than it holds."""
        build = self._build(layout, rows, rarely)
        matrix = self._matrix(layout, rows)
        if rows.group is None:
            return kernels.Cell(matrix, rows.codes, layout.weight * layout.units[0], build)
        group = rows.group

        def cell(at: np.ndarray) -> kernels.Cell:
            weight = layout.weight * layout.units[group[at[0]]]
            return kernels.Cell(matrix[at], rows.codes[at], weight, build)

        return kernels.GroupedCell(group, cell)

    def _asking(self, layout: Layout, rows: Rows) -> np.ndarray:
        """Return rows as those of other cells ask: codes follow their numbers."""
        points = self._matrix(layout, rows)
        if layout.levels is not None:
            return rows.codes
        return np.concatenate([points, rows.codes], axis=1) if layout.weight else points

    def _build(
        self, layout: Layout, rows: Rows, rarely: bool
    ) -> Callable[[np.ndarray, np.ndarray, float], Any]:
        """Return what makes the index of a cell, of rows, codes and the weight of a category."""
        raise NotImplementedError

    def home(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        """Search a cell for the neighbours of rows that ask, and send those on that need it."""
        return self.exchange.once(self._name("home", c), partial(self._home, layout, boxes, c))

    def check_boxes(self, parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Merge the boxes of all partitions, and refuse cells that are larger than was planned."""
        boxes = merged_boxes(parts)
        largest = int(boxes["rows"].max())
        if largest > self.cls.cell_rows:
            raise ValueError(self._crowded(largest))
        return boxes

    def _crowded(self, rows: int) -> str:
        """Say that a cell has more rows than fit."""
        return (
            f"{self.what} has {rows:,} rows so near each other that they are one cell (of equal "
            f"rows {self.k + 1} of each partition), and workers have memory for "
            f"{self.cls.cell_rows:,}; give each worker more memory or, where rows are equal, cut "
            "the table into fewer partitions"
        )

    def _home(self, layout: Layout, boxes: dict[str, np.ndarray], c: int) -> dict[str, np.ndarray]:
        rows, more = self.rows_of_cell(layout, c)
        asking, asks = NO_IDS, more["asks"].to_numpy()
        cell = self._cell(layout, rows, self._few_search(asks))
        if asks.any():
            asking = cell.order[asks[cell.order]]  # near ones follow each other
        asking = self._open(layout, rows, cell, asking, c)
        squares, found = cell.home(asking, self.k)
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
        slack = 0.0 if layout.levels is None else layout.levels.slack
        query, to = kernels.meets(layout.cutting, points, squares[:, -1], low, high, slack)
        of = group[query]
        there = (boxes["first"][to] <= of) & (of <= boxes["last"][to]) & ~lone[query]
        query, to = query[there], to[there]
        order = np.argsort(to, kind="stable")
        query, to = query[order], to[order]
        n_cells = len(low)
        bounds = np.searchsorted(to, np.arange(n_cells + 1)).tolist()
        asked = searched(rows)

        def batch(some: np.ndarray) -> pa.RecordBatch:
            sent = asked.take(asking[some])
            return batch_of(table_of(sent, query=asking[some], square=squares[some, -1]))

        parts = (batch(query[i:j]) for i, j in pairwise(bounds))
        self.exchange.write(self._name("forward", c), parts, batch(query[:0]).schema)
        return {"forwards": np.diff(bounds), "asking": np.array(len(asking))}

    def _few_search(self, asks: np.ndarray) -> bool:
        """Tell whether so few rows of a cell ask that the index is to be made quickly."""
        return bool(_MANY * asks.sum() < len(asks))

    def _open(
        self, layout: Layout, rows: Rows, cell: Any, asking: np.ndarray, c: int
    ) -> np.ndarray:
        """Return those rows that ask of which less than their neighbours does not tell enough."""
        return asking

    def answer(self, layout: Layout, boxes: Any, _: Any, c: int) -> dict[str, np.ndarray]:
        """Answer the queries of other cells."""
        return self.exchange.once(self._name("answer", c), partial(self._answer, layout, c))

    def _answer(self, layout: Layout, c: int) -> dict[str, np.ndarray]:
        rows, _ = self.rows_of_cell(layout, c)
        cell, k, found = self._cell(layout, rows, rarely=True), self.k, 0
        rows, like = self._answering(rows), searched(layout.like)
        schema = table_of(rows.take(NO_IDS), query=NO_IDS, square=np.empty(0)).schema

        def answers() -> Iterator[pa.RecordBatch]:
            nonlocal found
            for other in range(layout.cutting.n_cells):
                came = self.exchange.receive([self._name("forward", other)], c)
                asked, more = rows_of(came, like)
                points = self._asking(layout, asked)
                for i, j in pairwise(_slices(len(came), k)):
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

    # ---- what they found

    def merged(
        self, layout: Layout, rows: Rows, c: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the places of rows that ask, in order, and their neighbours.

        These are known by the squares of their distances and by their numbers; -1: there is none.
        """
        here = self.exchange.receive([self._name("home", c)], 0)
        asking, k = here["query"].to_numpy(), self.k
        squares, place = np.array(listed(here["square"], k)), listed(here["place"], k)
        numbers = np.where(place < 0, -1, rows.numbers[place] if len(rows) else -1)
        del here, place
        row_of = np.zeros(len(rows), dtype=np.int64)
        row_of[asking] = np.arange(len(asking))
        for came in self._answers(layout, c):
            query, more = row_of[came["query"].to_numpy()], came["number"].to_numpy()
            square = came["square"].to_numpy()
            kernels.merge(squares, numbers, query, more, square)
        order = np.argsort(asking)
        return asking[order], squares[order], numbers[order]

    def _answers(self, layout: Layout, c: int) -> Iterator[pa.Table]:
        asked, k = self.exchange.once(self._name("home", c), dict)["forwards"], self.k
        there = np.array([np.diff(_slices(n, k)) > 0 for n in asked.tolist()])
        batch = np.cumsum(asked * k) // CELL_NEW_ROWS  # of several cells at once where they are few
        for others in np.split(np.arange(len(asked)), np.flatnonzero(np.diff(batch)) + 1):
            for i in np.flatnonzero(there[others].any(axis=0)).tolist():
                names = [self._name("answer", other) for other in others[there[others, i]].tolist()]
                came = self.exchange.receive(names, c * k + i)
                if len(came):
                    yield came

    def with_others(self, layout: Layout, rows: Rows, c: int, numbers: np.ndarray) -> Rows:
        """Return rows of a cell, and those of others that have one of some numbers, in order."""
        wanted = _elsewhere(rows, numbers)
        pieces, like = [rows], self._answering(layout.like)
        for came in self._answers(layout, c) if len(wanted) else ():
            found, _ = rows_of(came, like)
            first = np.unique(found.numbers, return_index=True)[1]
            at = first[np.isin(found.numbers[first], wanted)]
            wanted = np.setdiff1d(wanted, found.numbers[at])
            pieces.append(found.take(at))
        everyone = concatenated(pieces)
        return everyone.take(np.argsort(everyone.numbers))

    def steps(self, rows: Rows, numbers: np.ndarray) -> Iterator[slice]:
        """Divide lists of neighbours so that no more rows of other cells are held than of this."""
        from_others = len(_elsewhere(rows, numbers))
        step = max(1, len(rows) // self.k) if from_others > len(rows) else max(1, len(numbers))
        for low in range(0, len(numbers), step):
            yield slice(low, min(len(numbers), low + step))

    def surplus(
        self, layout: Layout, boxes: dict[str, np.ndarray], c: int, asked: np.ndarray
    ) -> Iterator[tuple[Rows, pa.Table, np.ndarray]]:
        """Yield surplus rows, what is known of each, and where its representative is in `asked`."""
        for place in boxes["places"].tolist() if boxes["surplus"][c] else ():
            for piece in range(c * layout.pieces, (c + 1) * layout.pieces):
                came = self.exchange.receive([self._name("surplus", place)], piece)
                if len(came):
                    rows, known = rows_of(came, self._bare(layout.like))
                    yield rows, known, np.searchsorted(asked, known["like"].to_numpy())


def _elsewhere(rows: Rows, numbers: np.ndarray) -> np.ndarray:
    """Return, ascending, the row numbers that are not those of rows of a cell."""
    there = numbers[numbers >= 0]
    return np.asarray(np.unique(there[places_of(rows.numbers, there) < 0]))


def reach(matrix: np.ndarray) -> np.ndarray:
    """Return the largest absolute value of each row."""
    found = np.zeros(len(matrix))
    for column in matrix.T:  # a quarter of the time that rows of few columns take
        np.maximum(found, np.abs(column), out=found)
    return found


def in_blocks(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Cut rows that come in parts into blocks of `class_rows`; the last may be smaller."""
    held = np.empty((0, 0))
    for part in parts:
        held, step = np.concatenate([held, part]) if len(held) else part, class_rows(part.shape[1])
        whole = len(held) - len(held) % step
        yield from (held[start : start + step] for start in range(0, whole, step))
        held = held[whole:]
    if len(held):
        yield held


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


def _slices(n: int, k: int) -> list[int]:
    """Cut n queries into k slices, some empty: of each the answers are read at once.

    There are at most k answers to each: no more than came, or than are sent at once.
    """
    some = max(1, min(k, -(-n * k // CELL_NEW_ROWS)))
    return [*(n * i // some for i in range(some + 1)), *([n] * (k - some))]


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


def numbered_in(stored: Sequence[Stored], like: Rows) -> np.ndarray:
    """Return the groups of the partitions, one after the other, among those of the class."""
    if like.group_levels is None:
        return np.zeros(len(stored), dtype=np.int64)
    return numbered_groups([each.like for each in stored])[0]


def in_common(stored: Sequence[Stored], schema: Schema) -> Rows:
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
