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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dsmote.execute.extract import Each, Take, check_counts, complete_rows
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
from dsmote.plan import Plan, Scaling, Schema

_SEEN = 512  # rows that an engine is chosen from
_STEP = 1 << 13  # rows that ask at a time, so that threads share the work


class Decision(NamedTuple):
    """What a rule decides."""

    stays: np.ndarray  # bool, shape (n,)
    found: dict[str, Any] = {}  # noqa: RUF012 - what the user is told: fitted attributes


@dataclass(frozen=True)
class AllRows:
    """The complete rows of a table, in order, as they are compared."""

    matrix: np.ndarray  # float64, shape (n, p): the numeric features, scaled if asked for
    codes: np.ndarray  # int32, shape (n, q): levels of the categorical features
    ranks: np.ndarray  # int32, shape (n,): place of each row's class in sorted label order
    labels: tuple[Any, ...]  # of the classes, in that order
    targeted: np.ndarray  # bool, by rank: the sampling strategy names the class
    keep: np.ndarray  # int64, by rank: rows that are to stay; of cleaning methods, all
    seed: int
    group: np.ndarray | None = None  # int32, shape (n,): neighbours are of the same group
    engine: Engine | None = None  # that the user asked for
    each: Each | None = None  # maps a function in threads
    weight: float = 0.0  # the distance that a differing category counts for, beside numbers
    tables: tuple[np.ndarray, ...] = ()  # P(class | level), where all features are categorical
    _indexes: dict[Any, NeighborIndex] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def counts(self) -> np.ndarray:
        """Rows of each class, by rank."""
        return np.bincount(self.ranks, minlength=len(self.labels))

    def of_classes(self, wanted: np.ndarray) -> np.ndarray:
        """Return the rows of classes, given by a mask over ranks."""
        return np.flatnonzero(wanted[self.ranks])

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
        if self.group is None:
            return self._nearest(ids, k, among, eps)
        distances = np.full((len(ids), k), np.inf)
        found = np.full((len(ids), k), -1, dtype=np.int64)
        rows = np.arange(len(self)) if among is None else among
        order = np.argsort(self.group[rows], kind="stable")
        of, asking = self.group[rows][order], self.group[ids]
        for code in np.unique(asking):
            some = np.flatnonzero(asking == code)
            low, high = np.searchsorted(of, [code, code + 1])
            distances[some], found[some] = self._nearest(ids[some], k, rows[order[low:high]], eps)
        return distances, found

    def _nearest(
        self, ids: np.ndarray, k: int, among: np.ndarray | None, eps: float
    ) -> tuple[np.ndarray, np.ndarray]:
        n = len(self) if among is None else len(among)
        # The index first: its making takes the most memory.
        index = self._index(among, len(ids), eps) if len(ids) and n else None
        distances = np.full((len(ids), k), np.inf)
        found = np.full((len(ids), k), -1, dtype=np.int64)
        if index is None:
            return distances, found
        place = ids if among is None else _places(among, ids)
        inside = np.flatnonzero(place >= 0)
        outside = np.flatnonzero(place < 0)
        k_in, k_out = min(k, n - 1), min(k, n)

        def ask(some: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
            return some, index.query(place[some], k_in)

        def ask_points(some: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
            return some, index.query_points(self._points(ids[some]), k_out)

        for which, way, wanted in ((inside, ask, k_in), (outside, ask_points, k_out)):
            if not wanted or not len(which):
                continue
            which = self._near_together(index, which, place, ids)
            parts = np.array_split(which, -(-len(which) // _STEP))
            for some, (far, near) in (self.each or map)(way, parts):
                distances[some, :wanted] = far
                found[some, :wanted] = near if among is None else among[near]
        return distances, found

    def _near_together(
        self, index: Any, which: np.ndarray, place: np.ndarray, ids: np.ndarray
    ) -> np.ndarray:
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


def _places(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where the wanted numbers stand among ascending ones; -1 where they do not."""
    at = np.minimum(np.searchsorted(numbers, wanted), max(0, len(numbers) - 1))
    return np.where(numbers[at] == wanted, at, -1)


@dataclass(frozen=True)
class Rule:
    """What makes a cleaning method itself: parameters as far as workers need them."""

    name: str  # the sampler's
    k: int = 1  # nearest of all rows that a row asks for
    neighbors: Engine | None = None  # how they are found; None to choose from the rows
    scaling: Scaling | None = None  # distances are those of scaled columns

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

    def mask(self, place: int) -> np.ndarray:
        """Return which rows of a partition stay."""
        return self.stays[self.starts[place] : self.starts[place + 1]]


def decide(parts: Sequence[Taken], task: Cleaning, each: Each | None = None) -> Kept:
    """Join the last parts, check that they are what was planned for, and ask the rule."""
    taken = join_rows(parts, task)
    check_counts(taken, task.plan)  # type: ignore[arg-type]
    plan, rows = task.plan, taken.rows
    decision = task.rule.decide(all_rows(rows, taken.ranks, task, each))
    starts = np.concatenate([[0], np.cumsum(taken.lengths, dtype=np.int64)])
    stays = np.ones(int(starts[-1]), dtype=bool)
    stays[rows.numbers] = decision.stays
    gone = np.bincount(taken.ranks[~decision.stays], minlength=len(plan.classes)).tolist()
    counts = {c.label: c.before - gone[c.rank] for c in plan.classes}
    return Kept(stays, starts, decision.found, counts)


def all_rows(rows: Rows, ranks: np.ndarray, task: Cleaning, each: Each | None = None) -> AllRows:
    """Return the rows as a rule sees them."""
    plan, rule = task.plan, task.rule
    matrix = rows.numeric if rule.scaling is None else rule.scaling.scaled(rows.numeric)
    weight, tables = 0.0, list[np.ndarray]()
    if rows.codes.shape[1] and matrix.shape[1]:
        weight = mixed_weight(matrix.T)
    elif rows.codes.shape[1]:
        tables = [_probabilities(column, ranks, len(plan.classes)) for column in rows.codes.T]
    return AllRows(
        matrix,
        rows.codes,
        ranks,
        labels=tuple(c.label for c in plan.classes),
        targeted=np.array([c.targeted for c in plan.classes]),
        keep=np.array([c.after for c in plan.classes], dtype=np.int64),
        seed=plan.seed,
        group=rows.group,
        engine=rule.neighbors,
        each=each,
        weight=weight,
        tables=tuple(tables),
    )


def _probabilities(column: np.ndarray, ranks: np.ndarray, n_classes: int) -> np.ndarray:
    places = column.astype(np.int64) * n_classes + ranks
    n_levels = int(column.max(initial=-1)) + 1
    counts = np.bincount(places, minlength=n_levels * n_classes).reshape(n_levels, n_classes)
    return level_probabilities(counts)


def check_removed(names: Sequence[Any]) -> None:
    """Refuse to overwrite a column of the table."""
    if "removed" in names:
        raise ValueError(
            "provenance='flag' adds the column 'removed', which the table has already; rename it"
        )


def removed_column(stays: np.ndarray, index: pd.Index) -> pd.DataFrame:
    """Return the column that tells which rows a cleaning method would leave out."""
    return pd.DataFrame({"removed": ~stays}, index=index)
