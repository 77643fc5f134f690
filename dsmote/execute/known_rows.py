"""Rows of a table whose features are in one place, and what is seen of all others.

See :mod:`dsmote.execute.clean_gather`, where they travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute.clean import Cleaning, Taken, take_rows
from dsmote.execute.extract import places_of
from dsmote.execute.rows import join_levels
from dsmote.execute.search import reach
from dsmote.neighbors import asked_rarely, choose_engine
from dsmote.neighbors import cells as kernels
from dsmote.neighbors.exact import Found, no_codes

_SEEN = 512  # rows that an engine is chosen from
_CUT, _DEPTH = 1 << 13, 7  # rows that cells are cut from, and cells as a power of two


@dataclass(frozen=True)
class KnownRows:
    """Some complete rows of a table, by their places among all of these."""

    ids: np.ndarray  # int64, ascending
    points: np.ndarray  # float64, shape (n, p): scaled, if asked for, and in the unit of the group
    group: np.ndarray | None = None  # int32

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, at: np.ndarray) -> KnownRows:
        """Return some of the rows, at ascending places."""
        return KnownRows(
            self.ids[at], self.points[at], None if self.group is None else self.group[at]
        )

    @cached_property
    def cell(self) -> Any:
        """The index over the rows."""
        return self._indexed()

    def _indexed(self, rarely: bool = False) -> Any:
        def build(some: np.ndarray) -> kernels.Cell:
            points = self.points[some]
            return kernels.Cell(points, no_codes(points), 0.0, partial(_built, rarely=rarely))

        if self.group is None:
            return build(np.arange(len(self)))
        return kernels.GroupedCell(self.group, build)

    def __getstate__(self) -> dict[str, Any]:
        # Whoever needs an index makes it.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @cached_property
    def order(self) -> np.ndarray:
        """The order of the rows in which near ones follow each other."""
        return self.cell.order

    @cached_property
    def cutting(self) -> kernels.Cutting:
        """Cells in which other rows are near each other."""
        return kernels.cut(self.points[:: max(1, len(self) // _CUT)], _DEPTH)

    def nearest(
        self, asking: KnownRows, squares: np.ndarray, k: int, order: np.ndarray | None = None
    ) -> Found:
        """Return squares and ids of the k nearest of these rows, no row its own.

        Of rows that are none of these, those no further than a square each are enough. They ask in
        an order, in which near ones should follow each other.
        """
        shape = (len(asking), k)
        best, found = np.full(shape, np.inf), np.full(shape, -1, dtype=np.int64)
        if not len(self) or not len(asking):
            return best, found
        place = places_of(self.ids, asking.ids)
        order = np.arange(len(asking)) if order is None else order
        own, others = order[place[order] >= 0], order[place[order] < 0]
        few = len(asking) < len(self) and "cell" not in self.__dict__
        cell = self._indexed(rarely=True) if few else self.cell
        if len(own):
            best[own], found[own] = cell.home(place[own], k)
        if len(others):
            group = () if asking.group is None else (asking.group[others],)
            pairs = cell.inside(asking.points[others], squares[others], k, *group)
            best[others], found[others] = kernels.merge(best[others], found[others], *pairs)
        return best, np.where(found < 0, -1, self.ids[found])


def _built(matrix: np.ndarray, codes: np.ndarray, weight: float, rarely: bool) -> Any:
    some = matrix[:: max(1, len(matrix) // _SEEN)]
    engine: Any = choose_engine(len(matrix), some).engine
    return (asked_rarely(engine) if rarely else engine).build(matrix)


def nearest_few(few: KnownRows, rows: KnownRows, far: np.ndarray, k: int) -> Found:
    """Return squares and ids of the k nearest of few rows, of rows of a partition.

    A row whose nearest is further than its square `far` need not be told any.
    """
    order = np.argsort(few.cutting.assign(rows.points), kind="stable")
    squares, ids = np.full((len(rows), k), np.inf), np.full((len(rows), k), -1, dtype=np.int64)
    if np.isfinite(far).any():
        near = few.nearest(rows, far, 1, order)[0][:, 0] <= far
        order = order[near[order]]
    some = np.sort(order)
    everywhere = np.full(len(some), np.inf)
    found = few.nearest(rows.take(some), everywhere, k, np.searchsorted(some, order))
    squares[some], ids[some] = found
    return squares, ids


def joined_known(parts: Sequence[KnownRows]) -> KnownRows:
    """Join rows, each of them once, in order."""
    ids, first = np.unique(np.concatenate([p.ids for p in parts]), return_index=True)
    points = np.concatenate([p.points for p in parts])[first]
    if parts[0].group is None:
        return KnownRows(ids, points)
    groups: Any = [p.group for p in parts]
    return KnownRows(ids, points, np.concatenate(groups)[first])


# ---- what is known before the first question


@dataclass(frozen=True)
class Seen:
    """What was seen of some partitions, in order."""

    counts: dict[Any, int]  # all their rows per class
    lengths: tuple[int, ...]  # rows of each partition
    complete: tuple[int, ...]  # those without missing values
    missing: np.ndarray  # int64: the others, by number, counted from the first of these rows
    ranks: np.ndarray  # of the complete rows
    known: KnownRows  # ids count from the first complete one of these rows
    levels: pd.Series | None  # groups that occur
    largest: np.ndarray  # absolute value of each group
    index_end: int = 0  # as of an extract


def look(*row: Any, task: Cleaning, few: frozenset[int], step: int) -> Seen:
    """Look at a partition: the classes of its rows, and those that are to be known."""
    taken = take_rows(*row, task=task)
    rows, n = rows_of_partition(taken, task), taken.lengths[0]
    wanted = np.isin(taken.ranks, [*few])
    wanted[::step] = True
    missing = np.ones(n, dtype=bool)
    missing[taken.rows.numbers] = False
    sizes = reach(rows.points)
    group = np.zeros(len(rows), dtype=np.int64) if rows.group is None else rows.group
    largest = np.zeros(1 if taken.rows.group_levels is None else len(taken.rows.group_levels))
    np.maximum.at(largest, group, sizes)
    return Seen(
        taken.counts,
        (n,),
        (len(rows),),
        np.flatnonzero(missing),
        taken.ranks.astype(np.min_scalar_type(-len(task.plan.classes))),
        rows.take(np.flatnonzero(wanted)),
        taken.rows.group_levels,
        largest,
    )


def rows_of_partition(taken: Taken, task: Cleaning, first: int = 0) -> KnownRows:
    """Return the complete rows of a partition, as they are compared."""
    scaling, rows = task.rule.scaling, taken.rows
    points = rows.numeric if scaling is None else scaling.scaled(rows.numeric)
    return KnownRows(first + np.arange(len(points)), points, rows.group)


def join_seen(parts: Sequence[Seen]) -> Seen:
    """Join what was seen of partitions, in order."""
    counts: dict[Any, int] = {}
    for p in parts:
        for label, n in p.counts.items():
            counts[label] = counts.get(label, 0) + n
    all_rows = np.cumsum([0, *(sum(p.lengths) for p in parts)])
    firsts = np.cumsum([0, *(sum(p.complete) for p in parts)])
    known = [
        replace(p.known, ids=p.known.ids + by) for p, by in zip(parts, firsts[:-1], strict=True)
    ]
    levels: pd.Series | None = None
    own: list[Any] = [p.levels for p in parts]
    if own[0] is None:
        largest = np.max([p.largest for p in parts], axis=0)
    else:
        every, levels = join_levels([(np.arange(len(of)), of) for of in own])
        largest = np.zeros(len(levels))
        np.maximum.at(largest, every, np.concatenate([p.largest for p in parts]))
        bounds = np.cumsum(list(map(len, own)))[:-1]
        codes = np.split(every, bounds)
        known = [replace(p, group=of[p.group]) for p, of in zip(known, codes, strict=True)]
    return Seen(
        counts,
        tuple(n for p in parts for n in p.lengths),
        tuple(n for p in parts for n in p.complete),
        np.concatenate([p.missing + by for p, by in zip(parts, all_rows[:-1], strict=True)]),
        np.concatenate([p.ranks for p in parts]),
        joined_known(known),
        levels,
        largest,
    )


def in_units(
    rows: KnownRows, own: pd.Series | None, units: np.ndarray, levels: pd.Series | None
) -> KnownRows:
    """Return rows in the units of their groups, which have the codes of all partitions.

    `own` are the groups that occur among the rows, None if their codes are those already.
    """
    group, points = rows.group, rows.points
    if group is not None and own is not None and levels is not None:
        codes, _ = join_levels([(np.arange(len(levels)), levels), (group, own)])
        group = codes[len(levels) :]
    if (units != 1.0).any():
        points = points * (units[0] if group is None else units[group, None])
    return KnownRows(rows.ids, points, group)
