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
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute.clean import Cleaning, Kept, Measure, kept_of, take_rows
from dsmote.execute.extract import check_counts, places_of
from dsmote.execute.graph import Inputs, add_each, stand_for, tree, with_one_thread
from dsmote.execute.known_rows import (
    KnownRows,
    Seen,
    in_units,
    join_seen,
    joined_known,
    look,
    nearest_few,
    rows_of_partition,
)
from dsmote.execute.rounds import Open, Replayed, replayed
from dsmote.neighbors.exact import scale_power
from dsmote.plan.compare import sample_step

_PART = 4  # of so many rows one asks first
_FEW = 8  # answers of partitions that are merged at once: each may be large


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
    starts: Any = None  # int64: number of the first complete row of each partition
    units: Any = None  # float64: of each group
    levels: pd.Series | None = None  # groups, in order of their codes
    limit: float = np.inf  # rows whose nearest is further need not ask for the others
    kept: Kept | None = None


@dataclass(frozen=True)
class Answer:
    """What some partitions answered, in order."""

    k: int = 0
    rows: KnownRows | None = None  # that were found, or fetched
    query: Any = None  # pairs (place among the few, square, id of the row)
    square: Any = None
    found: Any = None
    values: tuple[np.ndarray, ...] = ()  # of the rows that ask: distances and ids; or see `told`


def answer(question: Question, place: int, *row: Any, task: Cleaning) -> Answer:
    """Answer a question for one partition."""
    if question.kept is not None:
        return Answer()
    first, stop = question.starts[place : place + 2].tolist()
    taken = take_rows(*row, task=task)
    levels, rows = taken.rows.group_levels, rows_of_partition(taken, task, first)
    rows = in_units(rows, levels, question.units, question.levels)
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
        far = (question.limit * _units(rows, question)) ** 2 * (1 + 1e-9)
        found = nearest_few(question.few, rows, far, question.k)
        return Answer(values=told(rows, *found, question))
    if question.among is not None:
        rows = rows.take(np.flatnonzero(question.among[first:stop]))
    assert question.squares is not None
    few = question.few
    squares, ids = rows.nearest(few, question.squares, question.k, few.order)
    query, at = np.nonzero((ids >= 0) & (squares <= question.squares[:, None]))
    ids, squares = ids[query, at], squares[query, at]
    return Answer(question.k, rows.take(places_of(rows.ids, np.unique(ids))), query, squares, ids)


def _units(rows: KnownRows, question: Question) -> Any:
    return question.units[np.zeros(len(rows), dtype=int) if rows.group is None else rows.group]


def told(
    rows: KnownRows, squares: np.ndarray, ids: np.ndarray, question: Question
) -> tuple[np.ndarray, ...]:
    """Return distances and ids of what rows found; or rows, and what is wanted of the distances."""
    distances = np.sqrt(squares) / _units(rows, question)[:, None]
    if question.measure is not None:
        values = question.measure(distances)
        known = np.isfinite(values) & (values <= question.limit * question.k)
        return rows.ids[known].astype(np.int32), values[known]
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

    def measured(
        self, ids: np.ndarray, k: int, among: np.ndarray, measure: Measure, least: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the same as `AllRows.measured`: a part of the rows tells which others matter."""
        if not len(ids) or not len(among):
            return ids, measure(np.full((len(ids), k), np.inf))
        question = replace(self.common, k=k, measure=measure)
        rows, values = self._told(ids[::_PART], among, question)
        if len(ids) > 1:
            limit = np.inf
            if 0 < least <= len(values):
                most = np.partition(values, least - 1)[least - 1]
                rows, values = rows[values <= most], values[values <= most]
                limit = most / k * (1 + 1e-9)
            rest = np.ones(len(ids), dtype=bool)
            rest[::_PART] = False
            others = self._told(ids[rest], among, replace(question, limit=float(limit)))
            rows, values = np.concatenate([rows, others[0]]), np.concatenate([values, others[1]])
        if len(rows) < least:  # the others have nothing near: of equal ones, the first
            more = np.setdiff1d(ids, rows)[: least - len(rows)]
            rows = np.concatenate([rows, more])
            values = np.concatenate([values, np.full(len(more), np.inf)])
        order = np.argsort(rows)
        return rows[order], values[order]

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
            squares[came.query, place] = came.square
            found[came.query, place] = came.found
            return told(question.few, squares, found, question)
        marked = None if among is None else self._marked(among)
        may = self.known
        if marked is not None:
            may = may.take(np.flatnonzero(marked[may.ids]))
        at = places_of(self.known.ids, ids) if len(ids) <= len(self.known) else np.array([-1])
        question = replace(question, number=number)
        all_known = among is not None and len(may) == len(among)
        if (at >= 0).all():
            asking, far = self.known.take(at), np.full(len(ids), np.inf)
            squares, found = may.nearest(asking, far, question.k, asking.order)
            if all_known:
                return told(asking, squares, found, question)
            question = replace(question, few=asking, among=marked, squares=squares[:, -1])
        elif all_known:
            question = replace(question, few=may, asks=self._marked(ids))
        else:
            wanted = ids if among is None or len(ids) < len(among) else among
            question = replace(question, fetch=wanted)
        self.asked[-1] = question
        raise Open

    def _marked(self, ids: np.ndarray) -> np.ndarray:
        marks = np.zeros(len(self), dtype=bool)
        marks[ids] = True
        return marks


def ask(
    seen: Seen, questions: Sequence[Question], answers: Sequence[Answer], *, task: Cleaning
) -> Question:
    """Run the rule, of which some questions are answered; return the next, or what it decides."""
    units = np.array([scale_power(np.array([[largest]])) for largest in seen.largest])
    common = Question(starts=np.cumsum([0, *seen.complete]), units=units, levels=seen.levels)
    known = in_units(seen.known, None, units, seen.levels)
    came = [answer.rows for answer in answers if answer.rows is not None]
    rows = GatherRows(
        **task.of_rows(seen.ranks),
        known=joined_known([known, *came]),
        common=common,
        answers={
            q.number: (q, a) for q, a in zip(questions, answers, strict=True) if q.few is not None
        },
    )
    decision = replayed(task.rule, rows)
    if decision is None:
        return rows.asked[-1]
    starts = np.concatenate([[0], np.cumsum(seen.lengths, dtype=np.int64)])
    complete = np.ones(int(starts[-1]), dtype=bool)
    complete[seen.missing] = False
    return Question(kept=kept_of(decision, seen.ranks, complete, starts, task))


def _all_seen(parts: Sequence[Seen], *, task: Cleaning) -> Seen:
    seen = join_seen(parts)
    check_counts(seen, task.plan)  # type: ignore[arg-type]
    return seen


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
        tasks[ready] = (stand_for, questions[-1])
        once_more = inputs.again(f"again-{number}-{token}", ready)
        tasks |= once_more.graph
        parts = ((questions[-1], place, *row) for place, row in enumerate(once_more.rows()))
        level = add_each(tasks, f"answer-{number}-{token}", reply, parts)
        name = f"answers-{number}-{token}"
        answers.append(tree(tasks, level, name, join_answers, fan_in=_FEW))
    decided = (f"decide-{token}", 0)  # which is not made again where a later step reads twice
    tasks[decided] = (_kept, questions[-1])
    return decided
