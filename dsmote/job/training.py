r"""Training rows and the others, told apart partition by partition.

::

    columns looked at    c0      c1      c2         one pass over the target and the split's column
                          \      |      /
    counts                `-- plan ----'            rows and classes of each side of each partition
                          /      |      \
    input partitions    p0      p1      p2          each is read once for both sides
                       /  \    /  \    /  \
    train, test       a0  b0  a1  b1  a2  b2        lazy; rows as they were, in their order

Where chance decides, the rows that are held back are a :class:`dsmote.plan.Subset` of the rows (or
of each class): what happens to a row depends on the seed and its number, however the table is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from dask.base import tokenize

from dsmote.execute import Counted, read_frame
from dsmote.execute.graph import frame_of, freeze
from dsmote.execute.partition import Mark, PartCount, missing_labels, pick
from dsmote.job.labels import Named
from dsmote.job.sources import look_at
from dsmote.plan import Subset, plain, sort_labels
from dsmote.plan.draws import shares
from dsmote.plan.labels import listed

if TYPE_CHECKING:
    from dsmote.job.spec import Split

FEW = 50  # values of the split's column that are kept for messages
RANKS = 2**31  # streams of draws begin here, so that they are none of a sampler's of the same seed
EMPTY = "the table has zero rows: there is nothing to resample"

#: Tells which rows of a partition are not for training.
Held = Callable[[pd.DataFrame], np.ndarray]
#: That of each partition, its rows, those held back, and rows of each class; None: without a label.
Sides = tuple[Sequence[Held], Sequence[int], Sequence[int], Counter[Any]]


@dataclass(frozen=True)
class Divided:
    """The two sides of a table, as lazy frames, and the rows of each of their partitions."""

    train: Any
    test: Any
    train_labels: Any  # of the training rows the target, for which only what tells them is read
    train_rows: tuple[int, ...]
    test_rows: tuple[int, ...]
    labels: dict[Any, int]  # rows of each class in the whole table; None: without a label

    def held_back(self, before: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
        """Return the rows of each class that are not for training, from those that are."""
        left = {label: n - before.get(label, 0) for label, n in self.labels.items()}
        unlabelled = left.pop(None, 0)
        known = [(label, left[label]) for label in sort_labels(left) if left[label]]
        return (*known, (None, unlabelled)) if unlabelled else tuple(known)


def divide(frame: Any, target: str, split: Split) -> Divided:
    """Tell the training rows of a Dask DataFrame from the others, after one pass."""
    if split.column is not None:
        held, rows, test, labels = _by_column(frame, target, split)
    else:
        held, rows, test, labels = _by_chance(frame, target, split)
    narrow = frame[list(dict.fromkeys([target, split.column or target]))]
    token = tokenize(frame, target, split)
    return Divided(
        _side(frame, held, False, f"train-{token}"),
        _side(frame, held, True, f"test-{token}"),
        _side(narrow, held, False, f"train-labels-{token}"),
        tuple(n - t for n, t in zip(rows, test, strict=True)),
        tuple(test),
        dict(labels),
    )


def _side(frame: Any, held: Sequence[Held], side: bool, name: str) -> Any:
    """Return the rows of one side as a lazy frame of as many partitions."""
    tasks, keys = freeze(frame)
    outputs = [(name, i) for i in range(len(keys))]
    for output, key, of in zip(outputs, keys, held, strict=True):
        tasks[output] = (partial(_rows, held=of, side=side), key)
    return frame_of(tasks, outputs, name, frame._meta, (None,) * (len(keys) + 1))


def _rows(part: pd.DataFrame, *, held: Held, side: bool) -> pd.DataFrame:
    wanted = held(part) == side
    return part if wanted.all() else part.iloc[np.flatnonzero(wanted)]


class Seen(NamedTuple):
    """What was seen of one partition of a split's column."""

    rows: int
    test_rows: int
    hits: set[int]  # the places of the values for training that occur
    values: Counter[Any]  # the most frequent ones
    labels: Counter[Any]


def _by_column(frame: Any, target: str, split: Split) -> Sides:
    """Look at the split's column, and refuse what leaves nothing to train with."""
    # Not the split itself: workers do without the model of a job.
    held = partial(_holds_other, column=str(split.column), train=split.train)
    look = partial(_look, target=target, column=str(split.column), train=split.train)
    joined = partial(sum, start=[])
    seen: list[Seen] = look_at(frame, [target, str(split.column)], look, joined)
    if not any(one.rows for one in seen):
        raise ValueError(EMPTY)
    hits = set().union(*(one.hits for one in seen))
    absent = [repr(value) for i, value in enumerate(split.train) if i not in hits]
    if absent:
        most = sum((one.values for one in seen), Counter[Any]()).most_common(FEW)
        found = listed(f"{value!r} ({rows:,} rows)" for value, rows in most)
        # How many values were left out on the way is not known.
        more = f" of the {FEW} most frequent" if len(most) == FEW else ""
        raise ValueError(
            f"the split's column {split.column!r} never holds {', '.join(absent)}, which is to "
            f"mean training; its values are: {found or 'all missing'}{more}"
        )
    labels: Counter[Any] = Counter()
    for one in seen:
        labels.update(one.labels)
    return [held] * len(seen), [one.rows for one in seen], [one.test_rows for one in seen], labels


def _holds_other(part: pd.DataFrame, *, column: str, train: tuple[Any, ...]) -> np.ndarray:
    codes, values = pd.factorize(part[column])
    named = Named(train)
    for_training = np.array([bool(named.places(plain(value))) for value in values] + [False])
    return ~for_training[codes]  # the last is that of missing values


def _look(part: pd.DataFrame, target: str, column: str, train: tuple[Any, ...]) -> list[Seen]:
    values, labels = (
        Counter({plain(v): int(n) for v, n in part[name].value_counts().items() if n})
        for name in (column, target)
    )
    labels += Counter({None: int(part[target].isna().sum())})  # where there are some
    named = Named(train)
    hits = {place for value in values for place in named.places(value)}
    test = int(_holds_other(part, column=column, train=train).sum())
    return [Seen(len(part), test, hits, Counter(dict(values.most_common(FEW))), labels)]


def _by_chance(frame: Any, target: str, split: Split) -> Sides:
    """Draw the rows that are held back, of all rows or of those of each class."""
    counted = read_frame(frame, target).counted()
    labels = Counter({**counted.counts, None: counted.missing})
    rows = [sum(part.counts.values()) + part.missing for part in counted.parts]
    total, fraction = counted.rows, Fraction(str(split.test_fraction))
    n_test = ceil(total * fraction)  # as scikit-learn rounds it
    if not total:
        raise ValueError(EMPTY)
    if n_test >= total:
        raise ValueError(
            f"test_fraction {split.test_fraction} of {total:,} rows is {n_test:,} rows, which "
            "leaves none for training: lower it"
        )
    if not split.stratify:  # as if all rows were of one class
        counted = Counted(tuple(PartCount({0: n} if n else {}, 0) for n in rows))
    if counted.missing:
        raise ValueError(missing_labels(counted.missing, target))
    counts = counted.counts
    classes = sort_labels(counts)
    held_back = shares(np.array([counts[label] for label in classes], dtype=float), n_test)
    subsets = {
        label: Subset(counts[label], int(n), split.seed, RANKS + rank)
        for rank, (label, n) in enumerate(zip(classes, held_back, strict=True))
    }
    of = target if split.stratify else None
    held = [partial(_drawn, target=of, marks=marks) for marks in counted.marks(subsets)]
    return held, rows, counted.after(subsets).lengths, +labels


def _drawn(part: pd.DataFrame, *, target: str | None, marks: Sequence[Mark]) -> np.ndarray:
    if target is not None:
        return pick(part[target], marks=marks) > 0
    counted = sum(mark.stop - mark.start for mark in marks)
    if len(part) != counted:
        raise ValueError(
            f"a partition has {len(part):,} rows, in which {counted:,} were counted: the input "
            "changed while it was read"
        )
    return pick(np.zeros(len(part), dtype=np.int8), marks=marks) > 0
