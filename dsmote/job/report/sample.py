"""Which rows the report looks at: a bounded sample, taken by the tasks that write them.

Each task keeps the rows whose draw lies below the share of their class, so that nothing is read
twice and the sample has about the size that was planned, however large the table is. A draw is
keyed by the place of its row: among all new rows for those, and for original rows by what the
caller says (the partition and the row in it, where the place in the table is not known).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dsmote.job.report.columns import NAMES, Shown, as_names, as_numbers
from dsmote.plan import Stream, plain
from dsmote.plan.draws import REPORT

__all__ = [
    "DETAILED",
    "Sample",
    "Sampling",
    "detailed_ranks",
    "first_row_of",
    "join_samples",
    "sampling_for",
]

DETAILED = 6  # classes whose new rows are shown: those that grow most
OWN_ROWS = 20_000  # original rows of these classes together
NEW_ROWS = 2_000  # new rows of each
OTHER_ROWS = 3_000  # original rows of all other classes together
FEW_ROWS = 30  # fewer show no distribution
LEAST_ROWS = 200
SAMPLE_BYTES = 48 * 2**20
_NUMBER_BYTES, _NAME_BYTES = 8, 64
#: Places that the rows of one partition of unknown beginning may take.
_PLACES = 2**40


@dataclass(frozen=True)
class Sample:
    """Some rows, as arrays.

    Parameters
    ----------
    ranks : ndarray of int64, shape (n,)
        Each row's class, by its place in sorted label order.
    numbers : ndarray of float64, shape (n, columns of numbers)
        Missing values are nan; times are seconds.
    names : ndarray of object, shape (n, columns of names)
        Text, or None where the value is missing.
    """

    ranks: np.ndarray
    numbers: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.ranks)

    def rows(self, which: np.ndarray) -> Sample:
        """Return some of the rows, by a mask or by their places."""
        return Sample(self.ranks[which], self.numbers[which], self.names[which])


def join_samples(parts: Sequence[Sample], columns: Sequence[Shown]) -> Sample:
    """Put samples together, in order.

    Parameters
    ----------
    parts : sequence of Sample
    columns : sequence of Shown
        What they hold; needed where there is no part.

    Returns
    -------
    Sample

    Examples
    --------
    >>> len(join_samples([], ()))
    0
    """
    n_names = sum(column.kind == NAMES for column in columns)
    nothing = Sample(
        np.empty(0, dtype=np.int64),
        np.empty((0, len(columns) - n_names)),
        np.empty((0, n_names), dtype=object),
    )
    all_parts = [nothing, *parts]
    return Sample(
        np.concatenate([part.ranks for part in all_parts]),
        np.concatenate([part.numbers for part in all_parts]),
        np.concatenate([part.names for part in all_parts]),
    )


@dataclass(frozen=True)
class Sampling:
    """How rows are drawn. Plain data, which travels to the tasks.

    Parameters
    ----------
    seed : int
    target : str
    columns : tuple of Shown
        The columns to keep.
    labels : tuple
        All classes, in sorted order.
    original, new : tuple of float
        The share of each class's rows to keep, of original and of new rows.
    """

    seed: int
    target: Any
    columns: tuple[Shown, ...]
    labels: tuple[Any, ...]
    original: tuple[float, ...]
    new: tuple[float, ...]

    def take(self, frame: pd.DataFrame, first_row: int, synthetic: bool) -> Sample | None:
        """Return the rows of a partition that belong to the sample.

        Parameters
        ----------
        frame : pandas.DataFrame
        first_row : int
            Place of its first row: among the new rows for these; see `first_row_of` otherwise.
        synthetic : bool
            Whether the rows are new.

        Returns
        -------
        Sample or None
            None where no row belongs to it.
        """
        codes, values = pd.factorize(frame[self.target])
        ranks = {label: rank for rank, label in enumerate(self.labels)}
        # The last place is for rows without a label, which have the code -1.
        of_code = np.array([*(ranks.get(plain(value), -1) for value in values), -1])
        shares = np.array([*(self.new if synthetic else self.original), 0.0])
        found = of_code[codes]
        draws = Stream(self.seed, int(synthetic), REPORT).uniform(first_row, first_row + len(frame))
        rows = np.flatnonzero(draws < shares[found])
        if not len(rows):
            return None
        some = frame.iloc[rows]
        numbers = [as_numbers(some[c.name], c.kind) for c in self.columns if c.kind != NAMES]
        names = [as_names(some[c.name]) for c in self.columns if c.kind == NAMES]
        return Sample(
            found[rows].astype(np.int64),
            np.column_stack(numbers) if numbers else np.empty((len(rows), 0)),
            np.column_stack(names) if names else np.empty((len(rows), 0), dtype=object),
        )


def first_row_of(partition: int) -> int:
    """Return the place of the first row of a partition of which only the number is known.

    Examples
    --------
    >>> first_row_of(1) > 10**12
    True
    """
    return partition * _PLACES


def sampling_for(plan: Any, columns: Sequence[Shown], target: Any) -> Sampling:
    """Decide how many rows of each class are drawn.

    The classes that grow most get most of the places, so that the distances between their rows
    can be told; of the others enough are drawn for a picture.

    Parameters
    ----------
    plan : dsmote.plan.Plan
    columns : sequence of Shown
    target : hashable

    Returns
    -------
    Sampling

    Examples
    --------
    >>> from dsmote.plan import make_under_plan
    >>> plan = make_under_plan(
    ...     sampler="S", seed=0, counts={0: 60_000, 1: 30_000}, keep={0: 30_000})
    >>> sampling_for(plan, (), "y").original
    (0.05, 0.05)
    """
    added = {c.rank: getattr(c, "new", 0) for c in plan.classes}
    # An under-sampler leaves rows out, and what it leaves out is not written.
    there = {c.rank: c.before - c.dropped for c in plan.classes}
    detailed = detailed_ranks(plan)
    others = [rank for rank in there if rank not in detailed]
    own = max(NEW_ROWS, OWN_ROWS // max(1, len(detailed)))
    wanted: dict[tuple[str, int | None], int]
    wanted = {("old", rank): min(there[rank], own) for rank in detailed}
    wanted |= {("new", rank): min(added[rank], NEW_ROWS) for rank in detailed}
    wanted[("old", None)] = min(sum(there[rank] for rank in others), OTHER_ROWS)
    row = 8 + sum(_NAME_BYTES if c.kind == NAMES else _NUMBER_BYTES for c in columns)
    fit = min(1.0, SAMPLE_BYTES / (row * max(1, sum(wanted.values()))))

    def share(key: tuple[str, int | None], rows: int) -> float:
        n = max(wanted[key] * fit, min(wanted[key], LEAST_ROWS))
        return min(1.0, n / rows) if rows else 0.0

    rest = share(("old", None), sum(there[rank] for rank in others))
    return Sampling(
        seed=int(plan.seed),
        target=target,
        columns=tuple(columns),
        labels=tuple(plain(c.label) for c in plan.classes),
        original=tuple(
            share(("old", r), there[r]) if r in detailed else rest for r in range(len(there))
        ),
        new=tuple(share(("new", r), added[r]) if r in detailed else 0.0 for r in range(len(there))),
    )


def detailed_ranks(plan: Any) -> list[int]:
    """Return the classes whose new rows are shown, those with most new rows first.

    Before them come classes that have enough rows for a distribution, where others grow too.
    """
    growing = [c for c in plan.classes if getattr(c, "new", 0)]
    growing.sort(key=lambda c: (c.before < FEW_ROWS, -c.new, c.rank))
    return [c.rank for c in growing[:DETAILED]]
