r"""Rules over tables larger than a worker: few rows travel to every partition.

::

    partition p --look-->    classes of its rows; the few rows, and a sample            read once
    all         --ask 0-->   the rule runs until it asks who is near some rows          (one task)
    partition p --answer-->  few rows ask: its k nearest of each      few rows        read again
                             few may be found: of each of its rows    o o --> | . . . . |
    all         --ask 1-->   the rule runs again, is told what it asked first, and asks again
    ...
    all         --decide-->  the rule ends: which rows stay                             (one task)

A row is *known* if its features are in one place: rows of the few classes, sampled rows, and rows
that were found. In each question the rows that ask, or those that may be found, are known rows, and
travel with it. Where others are needed a reading fetches them first. Known rows also bound how far
away the nearest can be, so that a partition looks no further. Answers are merged by (square of the
distance, row number): the rows that stay are those that stay where all are in one worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute.clean import Cleaning, Kept, Measure, Taken, kept_of, take_rows
from dsmote.execute.extract import check_counts, places_of
from dsmote.execute.graph import Inputs, add_each, tree, with_one_thread
from dsmote.execute.rounds import Open, Replayed, replayed
from dsmote.execute.rows import join_levels
from dsmote.neighbors import cells as kernels
from dsmote.neighbors import choose_engine
from dsmote.neighbors.exact import Found, no_codes, scale_power
from dsmote.plan.compare import sample_step

_SEEN = 512  # rows that an engine is chosen from
_FEW = 8  # answers of partitions that are merged at once: each may be large


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

        def build(some: np.ndarray) -> kernels.Cell:
            points = self.points[some]
            return kernels.Cell(points, no_codes(points), 0.0, _built)

        if self.group is None:
            return build(np.arange(len(self)))
        return kernels.GroupedCell(self.group, build)

    def __getstate__(self) -> dict[str, Any]:
        # Whoever needs an index makes it.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def nearest(self, asking: KnownRows, squares: np.ndarray, k: int) -> Found:
        """Return squares and ids of the k nearest of these rows, no row its own.

        Of rows that are none of these, those no further than a square each are enough.
        """
        shape = (len(asking), k)
        best, found = np.full(shape, np.inf), np.full(shape, -1, dtype=np.int64)
        if not len(self) or not len(asking):
            return best, found
        place = places_of(self.ids, asking.ids)
        own, others = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
        if len(own):
            order = np.empty(len(self), dtype=np.int64)
            order[self.cell.order] = np.arange(len(self))
            own = own[np.argsort(order[place[own]])]
            best[own], found[own] = self.cell.home(place[own], k)
        if len(others):
            group = () if asking.group is None else (asking.group[others],)
            pairs = self.cell.inside(asking.points[others], squares[others], k, *group)
            best[others], found[others] = kernels.merge(best[others], found[others], *pairs)
        return best, np.where(found < 0, -1, self.ids[found])


def _built(matrix: np.ndarray, codes: np.ndarray, weight: float) -> Any:
    some = matrix[:: max(1, len(matrix) // _SEEN)]
    engine: Any = choose_engine(len(matrix), some).engine
    return engine.build(matrix)


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
    rows, n = _rows_of(taken, task), taken.lengths[0]
    wanted = np.isin(taken.ranks, [*few])
    wanted[::step] = True
    missing = np.ones(n, dtype=bool)
    missing[taken.rows.numbers] = False
    sizes = np.abs(rows.points).max(axis=1, initial=0.0)
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


def _rows_of(taken: Taken, task: Cleaning, first: int = 0) -> KnownRows:
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
    if parts[0].levels is None:
        largest = np.max([p.largest for p in parts], axis=0)
    else:
        every, levels = join_levels([(np.arange(len(p.levels)), p.levels) for p in parts])
        largest = np.zeros(len(levels))
        np.maximum.at(largest, every, np.concatenate([p.largest for p in parts]))
        bounds = np.cumsum([len(p.levels) for p in parts])[:-1]
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


# ---- questions and answers


@dataclass(frozen=True)
class Question:
    """What a rule wants to know of all partitions, or what it decided."""

    number: int = 0  # which of the rule's it is
    k: int = 0
    few: KnownRows | None = None  # that ask, or that may be found
    asks: np.ndarray | None = None  # bool, of each row: it asks, and few may be found
    among: np.ndarray | None = None  # bool, of each row: it may be found
    squares: np.ndarray | None = None  # no row further than that is among the k nearest
    fetch: np.ndarray | None = None  # int64, ascending: only these rows are wanted themselves
    measure: Measure | None = None  # what is wanted of distances
    starts: np.ndarray | None = None  # int64: number of the first complete row of each partition
    units: np.ndarray | None = None  # of each group
    levels: pd.Series | None = None  # groups, in order of their codes
    kept: Kept | None = None


@dataclass(frozen=True)
class Answer:
    """What some partitions answered, in order."""

    k: int = 0
    rows: KnownRows | None = None  # that were found, or fetched
    query: np.ndarray | None = None  # pairs (place among the few, square, id of the row)
    square: np.ndarray | None = None
    found: np.ndarray | None = None
    values: tuple[np.ndarray, ...] = ()  # of the rows that ask: distances and ids, or measures


def answer(question: Question, place: int, *row: Any, task: Cleaning) -> Answer:
    """Answer a question for one partition."""
    if question.kept is not None:
        return Answer()
    assert question.starts is not None
    first, stop = question.starts[place : place + 2].tolist()
    taken = take_rows(*row, task=task)
    rows = in_units(_rows_of(taken, task, first), taken.rows.group_levels, question)
    known = rows if question.few is None else question.few
    at = places_of(rows.ids, known.ids)
    same = at >= 0
    if len(rows) != stop - first or not np.array_equal(rows.points[at[same]], known.points[same]):
        raise ValueError(
            "a partition holds other rows, or the same in another order, than when it was read "
            "before; data that change between two reads cannot be resampled: write them to files, "
            "or call persist(), before"
        )
    if question.fetch is not None:
        wanted = places_of(rows.ids, question.fetch)
        return Answer(rows=rows.take(wanted[wanted >= 0]))
    assert question.few is not None
    if question.asks is not None:
        rows = rows.take(np.flatnonzero(question.asks[first:stop]))
        squares, ids = question.few.nearest(rows, np.full(len(rows), np.inf), question.k)
        return Answer(values=told(rows, squares, ids, question))
    if question.among is not None:
        rows = rows.take(np.flatnonzero(question.among[first:stop]))
    assert question.squares is not None
    squares, ids = rows.nearest(question.few, question.squares, question.k)
    query, at = np.nonzero((ids >= 0) & (squares <= question.squares[:, None]))
    found = ids[query, at]
    own = rows.take(places_of(rows.ids, np.unique(found)))
    return Answer(question.k, own, query, squares[query, at], found)


def in_units(rows: KnownRows, levels: pd.Series | None, question: Question) -> KnownRows:
    """Return rows in the units of their groups, which have the codes of all partitions."""
    units = question.units
    assert units is not None
    group = rows.group
    if group is not None and levels is not None:
        codes, _ = join_levels(
            [(np.arange(len(question.levels)), question.levels), (group, levels)]
        )
        group = codes[len(question.levels) :]
    points = rows.points
    if (units != 1.0).any():
        points = points * (units[0] if group is None else units[group, None])
    return KnownRows(rows.ids, points, group)


def told(
    rows: KnownRows, squares: np.ndarray, ids: np.ndarray, question: Question
) -> tuple[np.ndarray, ...]:
    """Return distances and ids of what rows found, or what is wanted of the distances."""
    assert question.units is not None
    units = question.units[np.zeros(len(rows), dtype=int) if rows.group is None else rows.group]
    distances = np.sqrt(squares) / units[:, None]
    if question.measure is not None:
        return (question.measure(distances),)
    return distances, ids.astype(np.int32)


def join_answers(parts: Sequence[Answer]) -> Answer:
    """Join answers of partitions, in order: of each row of the few the k nearest are kept."""
    if parts[0].values:
        columns = zip(*(p.values for p in parts), strict=True)
        return Answer(values=tuple(np.concatenate(column) for column in columns))
    if parts[0].rows is None:
        return Answer()
    rows = joined_known([p.rows for p in parts if p.rows is not None])
    if not parts[0].k:
        return Answer(rows=rows)
    query, square, found = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("query", "square", "found")
    )
    order = np.lexsort((found, square, query))
    query, square, found = query[order], square[order], found[order]
    place = np.arange(len(query)) - np.searchsorted(query, query)
    best = place < parts[0].k
    query, square, found = query[best], square[best], found[best]
    rows = rows.take(places_of(rows.ids, np.unique(found)))
    return Answer(parts[0].k, rows, query, square, found)


@dataclass(frozen=True)
class GatherRows(Replayed):
    """The complete rows of a table, few of which are known."""

    known: Any = None
    common: Question = Question()  # what all questions have in common
    answers: Mapping[int, tuple[Question, Answer]] = field(default_factory=dict)

    def nearest(
        self, ids: np.ndarray, k: int, among: np.ndarray | None = None, eps: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and numbers of the k nearest rows, as `AllRows.nearest` does."""
        ids, back = np.unique(ids, return_inverse=True)
        if not len(ids) or (among is not None and not len(among)):
            return np.full((len(back), k), np.inf), np.full((len(back), k), -1)
        distances, found = self._told(ids, among, replace(self.common, k=k))
        return distances[back], found[back]

    def measured(self, ids: np.ndarray, k: int, among: np.ndarray, measure: Measure) -> np.ndarray:
        """Return what a function makes of the distances to the k nearest rows `among`."""
        if not len(ids) or not len(among):
            return measure(np.full((len(ids), k), np.inf))
        (values,) = self._told(ids, among, replace(self.common, k=k, measure=measure))
        return values

    def _told(
        self, ids: np.ndarray, among: np.ndarray | None, question: Question
    ) -> tuple[np.ndarray, ...]:
        """Return what is known of ascending rows, or leave the rule with a question."""
        number = self.numbered(None)
        if number in self.answers:
            question, came = self.answers[number]
            if question.asks is not None:
                return came.values
            assert question.few is not None and came.query is not None
            shape = (len(ids), question.k)
            squares, found = np.full(shape, np.inf), np.full(shape, -1, dtype=np.int64)
            place = np.arange(len(came.query)) - np.searchsorted(came.query, came.query)
            squares[came.query, place], found[came.query, place] = came.square, came.found
            return told(question.few, squares, found, question)
        asking, may = self._known(ids), self.known if among is None else self._known(among)
        if asking is not None and may is not None:
            squares, found = may.nearest(asking, np.full(len(ids), np.inf), question.k)
            if among is not None:
                return told(asking, squares, found, question)
        question = replace(question, number=number)
        if among is not None and may is not None:
            question = replace(question, few=may, asks=self._marked(ids))
        elif asking is not None:
            marked = None if among is None else self._marked(among)
            if among is not None:
                here = marked[self.known.ids]
                some = self.known.take(np.flatnonzero(here))
                squares, _ = some.nearest(asking, np.full(len(ids), np.inf), question.k)
            question = replace(question, few=asking, among=marked, squares=squares[:, -1])
        else:
            wanted = ids if among is None or len(ids) < len(among) else among
            question = replace(question, fetch=wanted)
        self.asked[-1] = question
        raise Open

    def _known(self, ids: np.ndarray) -> KnownRows | None:
        """Return rows, if all of them are known."""
        if len(ids) > len(self.known):
            return None
        at = places_of(self.known.ids, ids)
        return self.known.take(at) if (at >= 0).all() else None

    def _marked(self, ids: np.ndarray) -> np.ndarray:
        marks = np.zeros(len(self), dtype=bool)
        marks[ids] = True
        return marks


def ask(
    seen: Seen, questions: Sequence[Question], answers: Sequence[Answer], *, task: Cleaning
) -> Question:
    """Run the rule, of which some questions are answered; return the next, or what it decides."""
    scales = [scale_power(np.array([[largest]])) for largest in seen.largest]
    common = Question(
        starts=np.cumsum([0, *seen.complete]), units=np.array(scales), levels=seen.levels
    )
    known = in_units(seen.known, None, common)
    came = [answer.rows for answer in answers if answer.rows is not None]
    rows = GatherRows(
        **task.of_rows(seen.ranks),
        known=joined_known([known, *came]),
        common=common,
        answers={
            question.number: (question, answer)
            for question, answer in zip(questions, answers, strict=True)
            if question.fetch is None and question.kept is None
        },
    )
    decision = replayed(task.rule, rows)
    if decision is None:
        return rows.asked[-1]  # type: ignore[no-any-return]
    starts = np.concatenate([[0], np.cumsum(seen.lengths, dtype=np.int64)])
    numbers = np.delete(np.arange(starts[-1]), seen.missing)
    return Question(kept=kept_of(decision, seen.ranks, numbers, starts, task))


def _all_seen(parts: Sequence[Seen], *, task: Cleaning) -> Seen:
    seen = join_seen(parts)
    check_counts(seen, task.plan)  # type: ignore[arg-type]
    return seen


def _ready(_: Any) -> None:
    """Stand for a task that is done."""


def _kept(question: Question) -> Kept:
    if question.kept is None:
        raise RuntimeError("a rule asks more often than it announces")
    return question.kept


def add_gather(tasks: dict[Any, Any], inputs: Inputs, token: str, task: Cleaning) -> Any:
    """Add the tasks of a rule; return the key of what it decides."""
    few, rounds = task.rule.few(task.plan)
    step = sample_step(task.plan, few)
    see = partial(with_one_thread, partial(look, task=task, few=few, step=step))
    level = add_each(tasks, f"rows-{token}", see, inputs.rows())
    seen = tree(tasks, level, f"seen-{token}", join_seen, partial(_all_seen, task=task))
    run = partial(with_one_thread, partial(ask, task=task))
    reply = partial(with_one_thread, partial(answer, task=task))
    questions, answers = list[Any](), list[Any]()
    for number in range(rounds + 1):
        questions.append(f"ask-{number}-{token}")
        tasks[questions[-1]] = (run, seen, questions[:-1], list(answers))
        if number == rounds:
            break
        ready = f"asked-{number}-{token}"
        tasks[ready] = (_ready, questions[-1])
        once_more = inputs.again(f"again-{number}-{token}", ready)
        tasks |= once_more.graph
        parts = ((questions[-1], place, *row) for place, row in enumerate(once_more.rows()))
        level = add_each(tasks, f"answer-{number}-{token}", reply, parts)
        name = f"answers-{number}-{token}"
        answers.append(tree(tasks, level, name, join_answers, fan_in=_FEW))
    decided = f"decided-{token}"
    tasks[decided] = (_kept, questions[-1])
    return decided
