r"""Which rows stay: rules that ask who is near whom among ALL rows of a table.

::

    partitions     p0 ---- p1 ---- ...      read once: features and classes of the complete rows
    take           t0      t1
                     \    /
    join              `--'                  all rows, in order: they fit into one worker
                       |
    decide             d                    the rule: which of them stay
                      / \
    partitions again r0  r1 ...             read a second time, and filtered as they pass
    keep             k0  k1

In memory the same functions run on the one partition. A rule (:class:`Rule`) sees
:class:`AllRows`: a matrix, classes, and the one question :meth:`AllRows.nearest`. Rows that are
left out because values are missing are no part of it: they stay, and are nobody's neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from dsmote.execute import columnar
from dsmote.execute.extract import Each, Take, check_counts, complete_rows, places_of
from dsmote.execute.generate import numbers_of
from dsmote.execute.partition import Partition, missing_labels
from dsmote.execute.recipe import Rows
from dsmote.execute.rows import join
from dsmote.kernels import mixed_weight
from dsmote.neighbors import (
    BruteIndex,
    Engine,
    NeighborIndex,
    TreeIndex,
    ValueDifferenceSearch,
    choose_engine,
    few,
    level_probabilities,
)
from dsmote.neighbors.farthest import farthest
from dsmote.plan import Plan, Scaling, Schema

_SEEN = 512  # rows that an engine is chosen from
_BLOCK = 1 << 18  # classes of rows that are looked at at once
_STEP = 1 << 11  # rows that ask at a time, so that threads share the work


class Moved(NamedTuple):
    """Rows that stay with other values of their numeric features."""

    rows: np.ndarray  # int64, ascending
    values: np.ndarray  # float64, shape (rows, p)

    def among(self, stays: np.ndarray, start: int) -> Moved:
        """Return those of a partition, which begins with row `start`, by place among its rest."""
        here = slice(*np.searchsorted(self.rows, [start, start + len(stays)]).tolist())
        places = np.cumsum(stays)[self.rows[here] - start] - 1
        return Moved(places, self.values[here])


_NONE = Moved(np.empty(0, dtype=np.int64), np.empty((0, 0)))


class Decision(NamedTuple):
    """What a rule decides."""

    stays: np.ndarray  # bool, shape (n,)
    found: dict[str, Any] = {}  # noqa: RUF012 - what the user is told: fitted attributes
    moved: Moved = _NONE


#: Of the classes of rows, shape (m,), and of their neighbours, shape (m, k), -1 where there is
#: none, both by rank: an array of m values.
Reduce = Callable[[np.ndarray, np.ndarray], np.ndarray]
#: Of the distances of rows to their nearest, shape (m, k), inf where there is none: m values.
Measure = Callable[[np.ndarray], np.ndarray]


def rank_counts(ranks: np.ndarray, n: int) -> np.ndarray:
    """Count the rows of each class, of which NumPy would make eight bytes each."""
    starts = range(0, len(ranks), _BLOCK)
    parts = (np.bincount(ranks[start : start + _BLOCK], minlength=n) for start in starts)
    return sum(parts, np.zeros(n, dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class RankedRows:
    """The complete rows of a table, in order, and their classes."""

    ranks: np.ndarray  # int32, shape (n,): place of each row's class in sorted label order
    labels: tuple[Any, ...]  # of the classes, in that order
    targeted: np.ndarray  # bool, by rank: the sampling strategy names the class
    keep: np.ndarray  # int64, by rank: rows that are to stay; of cleaning methods, all
    seed: int
    smallest: int = 0  # rank of the class with the fewest rows
    largest: int = 0  # and with the most, both of the rows with missing values too

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def counts(self) -> np.ndarray:
        """Rows of each class, by rank."""
        return rank_counts(self.ranks, len(self.labels))

    def of_class(self, rank: int) -> np.ndarray:
        """Return the rows of a class, as int32."""
        rows = np.empty(int(self.counts[rank]), dtype=np.int32)
        end = 0
        for start in range(0, len(self), _BLOCK):
            some = np.flatnonzero(self.ranks[start : start + _BLOCK] == rank)
            rows[end : end + len(some)] = some
            rows[end : end + len(some)] += start
            end += len(some)
        return rows

    def of_classes(self, wanted: np.ndarray) -> np.ndarray:
        """Return the rows of classes, given by a mask over ranks."""
        return np.flatnonzero(wanted[self.ranks])


@dataclass(frozen=True, kw_only=True)
class SomeRows(RankedRows):
    """Some rows as if there were no others, `at` among all."""

    of: Any
    at: np.ndarray

    def nearest(
        self, ids: np.ndarray, k: int, among: np.ndarray | None = None, eps: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the same as `AllRows.nearest`."""
        rows = self.at if among is None else self.at[among]
        distances, found = self.of.nearest(self.at[ids], k, rows, eps)
        return distances, np.where(found < 0, -1, np.searchsorted(self.at, found))


@dataclass(frozen=True, kw_only=True)
class AllRows(RankedRows):
    """The complete rows of a table as they are compared."""

    matrix: np.ndarray  # float64, shape (n, p): the numeric features, scaled if asked for
    codes: np.ndarray  # int32, shape (n, q): levels of the categorical features
    group: np.ndarray | None = None  # int32, shape (n,): neighbours are of the same group
    engine: Engine | None = None  # that the user asked for
    each: Each | None = None  # maps a function in threads
    weight: float = 0.0  # the distance that a differing category counts for, beside numbers
    tables: tuple[np.ndarray, ...] = ()  # P(class | level), where all features are categorical
    _indexes: dict[Any, NeighborIndex] = field(default_factory=dict, repr=False, compare=False)

    def reduced(self, ids: np.ndarray, k: int, reduce: Reduce) -> np.ndarray:
        """Return what a function makes of the classes of the k nearest rows of rows `ids`."""
        ids = np.asarray(ids, dtype=np.int64)
        none = reduce(self.ranks[:0], np.empty((0, k), dtype=np.int32))
        made = np.empty((len(ids), *none.shape[1:]), dtype=none.dtype)
        for some, _, near in self._answers(ids, k, None, 0.0):
            made[some] = reduce(self.ranks[ids[some]], np.where(near >= 0, self.ranks[near], -1))
        return made

    def measured(
        self, ids: np.ndarray, k: int, among: np.ndarray, measure: Measure, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rows, and what a function makes of the distances to the k nearest rows `among`.

        It is at least k times the least distance. Rows may be left out, but none of the `least`
        rows of which it is least (of equal ones, the first).
        """
        values = np.empty(len(ids))
        for some, far, _ in self._answers(np.asarray(ids, dtype=np.int64), k, among, 0.0):
            values[some] = measure(far)
        return ids, values

    def nearest(
        self, ids: np.ndarray, k: int, among: np.ndarray | None = None, eps: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and numbers of the k nearest rows of rows `ids`, shape (m, k).

        They are looked for among the ascending row numbers `among` (all rows if None), never the
        row itself, and in its own group; by (distance, row number). Where there are fewer the rest
        is inf and -1. With `eps` distances may be up to 1 + eps times those of the true ones, and
        are found sooner, where there is a tree.
        """
        ids = np.asarray(ids, dtype=np.int64)
        distances = np.empty((len(ids), k))
        found = np.empty((len(ids), k), dtype=np.int32)
        for some, far, near in self._answers(ids, k, among, eps):
            distances[some], found[some] = far, near
        return distances, found

    def farthest(self, ids: np.ndarray, k: int, among: np.ndarray) -> np.ndarray:
        """Return the distances from rows `ids` to their k farthest of `among`, shape (m, k).

        They are exact and descend, and are those of rows of the own group. Where there are fewer
        the rest is -inf.
        """
        distances = np.full((len(ids), k), -np.inf)
        for some, rows in self._by_group(ids, among):
            assert rows is not None
            asking = ids[some]
            n = min(k, len(rows))
            if n and len(asking):
                distances[some, :n] = farthest(
                    self.matrix[rows],
                    self.codes[rows],
                    self.matrix[asking],
                    self.codes[asking],
                    n,
                    weight=self.weight,
                    tables=self.tables,
                    each=self.each or map,
                )
        return distances

    def part(self, rows: np.ndarray) -> AllRows:
        """Return some rows, given by ascending numbers, as if there were no others."""
        return replace(
            self,
            matrix=self.matrix[rows],
            codes=self.codes[rows],
            ranks=self.ranks[rows],
            group=None if self.group is None else self.group[rows],
            _indexes={},
        )

    def _by_group(
        self, ids: np.ndarray, among: np.ndarray | None
    ) -> Iterator[tuple[Any, np.ndarray | None]]:
        """Yield places in `ids` of rows of one group, and the rows among which they look."""
        if self.group is None:
            yield np.arange(len(ids)), among
            return
        rows = np.arange(len(self)) if among is None else among
        order = np.argsort(self.group[rows], kind="stable")
        of, asking = self.group[rows][order], self.group[ids]
        for code in np.unique(asking):
            low, high = np.searchsorted(of, [code, code + 1])
            yield np.flatnonzero(asking == code), rows[order[low:high]]

    def _answers(
        self, ids: np.ndarray, k: int, among: np.ndarray | None, eps: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield places in `ids`, and distances and numbers of their nearest, some at a time."""
        for some, rows in self._by_group(ids, among):
            for at, far, near in self._nearest(ids[some], k, rows, eps):
                yield some[at], far, near

    def _nearest(
        self, ids: np.ndarray, k: int, among: np.ndarray | None, eps: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        n = len(self) if among is None else len(among)
        # The index first: its making takes the most memory.
        index: Any = self._index(among, len(ids), eps) if len(ids) and n else None
        place = ids if among is None else places_of(among, ids)

        def ask(some: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            far = np.full((len(some), k), np.inf)
            near = np.full((len(some), k), -1, dtype=np.int32)
            inside = place[some[0]] >= 0
            wanted = min(k, n - inside)
            if wanted and inside:
                far[:, :wanted], at = index.query(place[some], wanted)
            elif wanted:
                far[:, :wanted], at = index.query_points(self._points(ids[some]), wanted)
            if wanted:
                near[:, :wanted] = at if among is None else among[at]
            return some, far, near

        for which in (np.flatnonzero(place >= 0), np.flatnonzero(place < 0)):
            if len(which):
                which = self._near_together(index, which, place)
                yield from (self.each or map)(ask, np.array_split(which, -(-len(which) // _STEP)))

    def _near_together(self, index: Any, which: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Order rows that ask so that near ones follow each other, where that is known."""
        if place[which[0]] < 0 or not hasattr(index, "_order"):
            return which
        return which[index._order(index.groups.of[place[which]])]

    def _points(self, ids: np.ndarray) -> np.ndarray:
        if self.tables:
            return self.codes[ids]
        if not self.codes.shape[1]:
            return self.matrix[ids]
        return np.concatenate([self.matrix[ids], self.codes[ids]], axis=1)

    def _index(self, among: np.ndarray | None, n_queries: int, eps: float) -> NeighborIndex:
        """Index some rows; that of all is kept."""
        if among is not None:
            self._indexes.clear()  # a rule that goes on to some rows does not come back to all
            return self._built(self.matrix[among], self.codes[among], n_queries, eps)
        if eps not in self._indexes:
            # It may be asked again, and for more rows.
            self._indexes[eps] = self._built(self.matrix, self.codes, len(self), eps)
        return self._indexes[eps]

    def _built(
        self, matrix: np.ndarray, codes: np.ndarray, n_queries: int, eps: float
    ) -> NeighborIndex:
        if self.tables:
            return ValueDifferenceSearch(codes, self.tables)
        mixed = codes.shape[1] > 0
        engine: Any = self.engine
        if engine is None and few(n_queries, len(matrix)):
            engine = BruteIndex()
        elif engine is None:
            some = slice(None, None, max(1, len(matrix) // _SEEN))
            given = (codes[some], self.weight) if mixed else ()
            engine = choose_engine(len(matrix), matrix[some], *given).engine
            if eps and not mixed and isinstance(engine, TreeIndex):
                engine = TreeIndex(eps=eps)
        return engine.build(matrix, *((codes, self.weight) if mixed else ()), seed=self.seed)


@dataclass(frozen=True)
class Rule:
    """What makes a cleaning method itself: parameters as far as workers need them."""

    name: str  # the sampler's
    k: int = 1  # nearest of all rows that a row asks for
    neighbors: Engine | None = None  # how they are found; None to choose from the rows
    scaling: Scaling | None = None  # distances are those of scaled columns

    #: Questions that workers share where rows are in cells; later ones the deciding task answers.
    rounds: ClassVar[int] = 1
    #: Neighbours of each row that it is told of at once, there.
    told: ClassVar[Any] = property(lambda self: self.k)
    #: Classes and neighbours are all that it asks for, so that rows may be in cells.
    in_cells: ClassVar[Any] = True
    moves: ClassVar[Any] = False  # some of the rows that stay get other values

    #: Bytes of each row that the rule needs beside its class, where few rows travel; and whether
    #: rows of all partitions ask, of which few may be found.
    held: ClassVar[Any] = 0
    all_ask: ClassVar[Any] = False

    def few(self, plan: Plan) -> tuple[frozenset[int], int]:
        """Return classes, by rank, whose rows may travel to all partitions, and how often.

        In each question of the rule, the rows that ask, or those that may be found, are rows of
        these classes or were found by others. Where that is not so, they never travel.
        """
        return frozenset(), 0

    def scaled_by(self, scaling: Scaling | None) -> Rule:
        """Return a rule that finds neighbours among scaled rows."""
        return replace(self, scaling=scaling)

    def decide(self, of: AllRows) -> Decision:
        """Say which rows stay."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cleaning:
    """All that an executor is told of a cleaning method."""

    rule: Rule
    schema: Schema
    plan: Plan
    skip: bool  # leave rows with missing values out (and in the output), else they are an error
    provenance: str | None = None
    scratch: str | None = None  # folder for rows that are cut into cells
    staged: bool = False  # it is a job's, which deletes it

    def of_rows(self, ranks: np.ndarray) -> dict[str, Any]:
        """Return what a rule is told of rows beside who is near whom."""
        classes = self.plan.classes
        return {
            "ranks": ranks,
            "labels": tuple(c.label for c in classes),
            "targeted": np.array([c.targeted for c in classes]),
            "keep": _complete_to_keep(self.plan, ranks),
            "seed": self.plan.seed,
            "smallest": self.plan.smallest.rank,
            "largest": self.plan.largest.rank,
        }


@dataclass(frozen=True)
class Taken:
    """The complete rows of some partitions, in order."""

    counts: dict[Any, int]  # all their rows per class
    lengths: tuple[int, ...]  # rows of each partition
    rows: Rows  # numbers count from the first row of the first of these partitions
    ranks: np.ndarray
    index_end: int = 0


def take_rows(*row: Any, task: Cleaning) -> Taken:
    """Take the complete rows of all classes out of one partition."""
    here = Partition.of(*row)
    schema = task.schema
    codes, counts, missing = here.labels(schema)
    if missing:
        raise ValueError(missing_labels(missing, getattr(here.series(schema), "name", None)))
    _, groups = here.companions(schema, len(codes))
    rows = complete_rows(here, None, Take(schema, skip=task.skip), None, groups)
    ranks = {c.label: c.rank for c in task.plan.classes}
    # A class that was not there when the rows were counted is refused when all are joined.
    places = np.array([ranks.get(name, -1) for name in counts] or [-1], dtype=np.int32)
    return Taken(counts, (len(codes),), rows, places[codes[rows.numbers]])


def join_rows(parts: Sequence[Taken], task: Cleaning) -> Taken:
    """Join what was taken, in order."""
    firsts = np.cumsum([0, *(sum(p.lengths) for p in parts)])[:-1].tolist()
    counts: Counter[Any] = Counter()
    for p in parts:
        counts.update(p.counts)
    rows = [p.rows.moved(by) for p, by in zip(parts, firsts, strict=True)]
    ranks = np.concatenate([p.ranks for p in parts])
    lengths = tuple(n for p in parts for n in p.lengths)
    return Taken(dict(counts), lengths, join(rows, task.schema), ranks)


@dataclass(frozen=True)
class Kept:
    """What was decided about all rows of the table."""

    stays: np.ndarray  # bool, shape (rows of the table,)
    starts: np.ndarray  # int64, shape (partitions + 1,): number of the first row of each
    found: Mapping[str, Any]
    counts: dict[Any, int]  # rows of each class that stay
    moved: Moved = _NONE

    def moved_in(self, place: int) -> Moved:
        """Return the rows of a partition that are moved, by place among those that stay."""
        return self.moved.among(self.mask(place), int(self.starts[place]))

    def mask(self, place: int) -> np.ndarray:
        """Return which rows of a partition stay."""
        return self.stays[self.starts[place] : self.starts[place + 1]]


def decide(parts: Sequence[Taken], task: Cleaning, each: Each | None = None) -> Kept:
    """Join the last parts, check that they are what was planned for, and ask the rule."""
    taken = join_rows(parts, task)
    check_counts(taken, task.plan)  # type: ignore[arg-type]
    decision = task.rule.decide(all_rows(taken.rows, taken.ranks, task, each))
    starts = np.concatenate([[0], np.cumsum(taken.lengths, dtype=np.int64)])
    complete = np.zeros(int(starts[-1]), dtype=bool)
    complete[taken.rows.numbers] = True
    return kept_of(decision, taken.ranks, complete, starts, task)


def kept_of(
    decision: Decision, ranks: np.ndarray, complete: np.ndarray, starts: np.ndarray, task: Cleaning
) -> Kept:
    """Return what was decided about complete rows as it is for all rows."""
    classes = task.plan.classes
    stays = np.ones(len(complete), dtype=bool)
    stays[complete] = decision.stays
    gone = rank_counts(ranks[~decision.stays], len(classes)).tolist()
    counts = {c.label: c.before - gone[c.rank] for c in classes}
    moved = decision.moved
    if len(moved.rows):
        scaling = task.rule.scaling
        values = moved.values if scaling is None else scaling.unscaled(moved.values)
        moved = Moved(np.flatnonzero(complete)[moved.rows], values)
    return Kept(stays, starts, decision.found, counts, moved)


def all_rows(rows: Rows, ranks: np.ndarray, task: Cleaning, each: Each | None = None) -> AllRows:
    """Return the rows as a rule sees them."""
    rule = task.rule
    matrix = rows.numeric if rule.scaling is None else rule.scaling.scaled(rows.numeric)
    weight, tables = 0.0, list[np.ndarray]()
    if rows.codes.shape[1] and matrix.shape[1]:
        weight = mixed_weight(matrix.T)
    elif rows.codes.shape[1]:
        tables = [_probabilities(column, ranks, len(task.plan.classes)) for column in rows.codes.T]
    return AllRows(
        **task.of_rows(ranks),
        matrix=matrix,
        codes=rows.codes,
        group=rows.group,
        engine=rule.neighbors,
        each=each,
        weight=weight,
        tables=tuple(tables),
    )


def _complete_to_keep(plan: Plan, ranks: np.ndarray) -> np.ndarray:
    """Return how many complete rows of each class stay: those with missing values stay too."""
    complete = rank_counts(ranks, len(plan.classes)).tolist()
    keep = []
    for c in plan.classes:
        missing = c.before - complete[c.rank]
        if missing > c.after:
            raise ValueError(
                f"class {c.label!r} is to keep {c.after:,} of its {c.before:,} rows, but "
                f"{missing:,} have missing or infinite values and stay (missing='skip'); fill "
                "them, or keep more"
            )
        keep.append(c.after - missing)
    return np.array(keep, dtype=np.int64)


def _probabilities(column: np.ndarray, ranks: np.ndarray, n_classes: int) -> np.ndarray:
    places = column.astype(np.int64) * n_classes + ranks
    n_levels = int(column.max(initial=-1)) + 1
    counts = np.bincount(places, minlength=n_levels * n_classes).reshape(n_levels, n_classes)
    return level_probabilities(counts)


def with_moved(part: Any, moved: Moved, schema: Schema) -> Any:
    """Give some rows of a table other values of their numeric features."""
    if isinstance(part, list):
        return with_moved(np.asarray(part), moved, schema).tolist()
    if columnar.is_columnar(part):  # all but those rows stay the library's own
        of = moved._replace(rows=np.arange(len(moved.rows)))
        made = with_moved(columnar.as_pandas(columnar.take(part, moved.rows)), of, schema)
        order = np.arange(len(part))
        order[moved.rows] = len(part) + of.rows
        return columnar.take(columnar.extended(part, [made]), order)
    part = part.copy()
    for i, values in zip(schema.numeric, moved.values.T, strict=True):
        column = schema.columns[i]
        if column.kind not in ("float", "decimal", "bool"):
            values = np.rint(values)
        new = numbers_of(values, None, column)
        if isinstance(part, pd.DataFrame):
            all_values: Any = part.iloc[:, i].copy()
            if isinstance(all_values.dtype, pd.SparseDtype):  # which takes no values one by one
                dense = np.array(all_values)
                dense[moved.rows] = new
                all_values = pd.Series(dense, part.index).astype(column.dtype)
            else:
                all_values.iloc[moved.rows] = new
            values_of: Any = all_values
            part.isetitem(i, values_of)
        else:
            part[moved.rows, i] = new
    return part


def check_removed(names: Sequence[Any]) -> None:
    """Refuse to overwrite a column of the table."""
    if "removed" in names:
        raise ValueError(
            "provenance='flag' adds the column 'removed', which the table has already; rename it"
        )


def removed_column(stays: np.ndarray, index: pd.Index) -> pd.DataFrame:
    """Return the column that tells which rows a cleaning method would leave out."""
    return pd.DataFrame({"removed": ~stays}, index=index)
