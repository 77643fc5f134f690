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
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from dask.base import tokenize

from dsmote.execute import Counted, count_classes, read_frame
from dsmote.execute.graph import frame_of, freeze
from dsmote.execute.keep import Mark, pick
from dsmote.execute.partition import missing_labels
from dsmote.job.labels import Named
from dsmote.job.passes import look_at
from dsmote.plan import Subset, plain, sort_labels
from dsmote.plan.draws import shares
from dsmote.plan.labels import listed

if TYPE_CHECKING:
    from dsmote.job.spec import Split

__all__ = ["Divided", "divide"]

#: Values of the split's column that are kept for messages.
FEW = 50
#: Streams of draws begin here, so that they are none of a sampler's of the same seed.
RANKS = 2**31
#: The class of every row, where rows are drawn whatever their class.
ANY = 0


@dataclass(frozen=True)
class Divided:
    """The two sides of a table.

    Parameters
    ----------
    train, test : dask.dataframe.DataFrame
    train_labels : dask.dataframe.DataFrame
        The target of the training rows, for which no more than what tells them is read.
    train_rows, test_rows : tuple of int
        Rows of each partition.
    labels : mapping of label to int
        Rows of each class in the whole table; those without a label are those of None.
    """

    train: Any
    test: Any
    train_labels: Any
    train_rows: tuple[int, ...]
    test_rows: tuple[int, ...]
    labels: dict[Any, int]

    def held_back(self, before: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
        """Return the rows of each class that are not for training, from those that are."""
        left = {label: n - before.get(label, 0) for label, n in self.labels.items()}
        unlabelled = [(None, left.pop(None))] if left.get(None) else []
        left.pop(None, None)
        return (*((label, left[label]) for label in sort_labels(left) if left[label]), *unlabelled)


@dataclass(frozen=True)
class ByValue:
    """A row is for training where a column holds one of some values."""

    column: str
    train: tuple[Any, ...]

    def test(self, part: pd.DataFrame) -> np.ndarray:
        """Tell which rows of a partition are not for training."""
        codes, values = pd.factorize(part[self.column])
        named = Named(self.train)
        for_training = np.array([bool(named.places(plain(v))) for v in values] + [False])
        return ~for_training[codes]  # the last is that of missing values


@dataclass(frozen=True)
class ByNumber:
    """A row is for training unless it was drawn: by its number, or its number in its class."""

    marks: tuple[Mark, ...]
    target: str | None = None

    def test(self, part: pd.DataFrame) -> np.ndarray:
        """Tell which rows of a partition are not for training."""
        if self.target is not None:
            picked = pick(part[self.target], marks=self.marks)
        else:
            counted = sum(mark.stop - mark.start for mark in self.marks)
            if len(part) != counted:
                raise ValueError(
                    f"a partition has {len(part):,} rows, in which {counted:,} were counted: the "
                    "input changed while it was read"
                )
            picked = pick(np.full(len(part), ANY), marks=self.marks)
        chosen = np.zeros(picked.length, dtype=bool)
        chosen[slice(None) if picked.rows is None else picked.rows] = True
        return chosen


@dataclass(frozen=True)
class Seen:
    """What was seen of some partitions of a split's column."""

    train_rows: tuple[int, ...]
    test_rows: tuple[int, ...]
    hits: np.ndarray
    values: Counter[Any]
    labels: Counter[Any]


def divide(frame: Any, target: str, split: Split) -> Divided:
    """Tell training rows from the others, after one pass over the columns that tell.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
    target : str
    split : Split

    Returns
    -------
    Divided

    Raises
    ------
    ValueError
        When no row is for training, or a value that means training does not occur; it lists the
        values that do.
    """
    which: Sequence[ByValue | ByNumber]
    if split.column is not None:
        seen = _seen(frame, target, split)
        which = [ByValue(split.column, split.train)] * len(seen.train_rows)
        train, test, labels = seen.train_rows, seen.test_rows, dict(seen.labels)
    else:
        counted = count_classes(read_frame(frame, target))
        which, train, test = _drawn(counted, target, split)
        labels = counted.counts | ({None: counted.missing} if counted.missing else {})
    token = tokenize(frame, target, split)
    sides = [_side(frame, which, side, token) for side in (False, True)]
    narrow = frame[list(dict.fromkeys([target, split.column or target]))]
    train_labels = _side(narrow, which, False, f"labels-{token}")
    return Divided(sides[0], sides[1], train_labels, train, test, labels)


def _seen(frame: Any, target: str, split: Split) -> Seen:
    """Look at the split's column, and refuse what leaves nothing to train with."""
    # Not the split itself: workers do without the model of a job.
    look = partial(_look, target=target, column=str(split.column), train=split.train)
    (seen,) = look_at(frame, [target, str(split.column)], look, _joined)
    if not seen.train_rows or not sum(seen.train_rows) + sum(seen.test_rows):
        raise ValueError("the table has zero rows: there is nothing to resample")
    absent = [repr(v) for v, n in zip(split.train, seen.hits, strict=True) if not n]
    if absent:
        most = seen.values.most_common()
        found = listed(f"{value!r} ({rows:,} rows)" for value, rows in most)
        # How many values were left out on the way is not known.
        more = f" of the {FEW} most frequent" if len(most) == FEW else ""
        raise ValueError(
            f"the split's column {split.column!r} never holds {', '.join(absent)}, which is to "
            f"mean training; its values are: {found or 'all missing'}{more}"
        )
    return seen


def _look(part: pd.DataFrame, target: str, column: str, train: tuple[Any, ...]) -> list[Seen]:
    values = part[column].value_counts()
    counts = Counter({plain(v): int(n) for v, n in values.items() if n})
    hits, named = np.zeros(len(train), dtype=np.int64), Named(train)
    for value, n in counts.items():
        hits[list(named.places(value))] += n
    held_back = int(ByValue(column, train).test(part).sum())
    labels = Counter({plain(v): int(n) for v, n in part[target].value_counts().items() if n})
    labels += Counter({None: int(part[target].isna().sum())})  # where there are some
    return [Seen((len(part) - held_back,), (held_back,), hits, _most(counts), labels)]


def _joined(some: Sequence[list[Seen]]) -> list[Seen]:
    parts = [seen for (seen,) in some]
    return [
        Seen(
            tuple(n for seen in parts for n in seen.train_rows),
            tuple(n for seen in parts for n in seen.test_rows),
            sum((seen.hits for seen in parts[1:]), parts[0].hits),
            _most(sum((seen.values for seen in parts), Counter())),
            sum((seen.labels for seen in parts), Counter()),
        )
    ]


def _most(values: Counter[Any]) -> Counter[Any]:
    return Counter(dict(values.most_common(FEW)))


def _drawn(
    counted: Counted, target: str, split: Split
) -> tuple[list[ByNumber], tuple[int, ...], tuple[int, ...]]:
    """Draw the rows that are held back; of each partition say which those are and how many."""
    lengths = [sum(part.counts.values()) + part.missing for part in counted.parts]
    total, fraction = counted.rows, Fraction(str(split.test_fraction))
    n_test = ceil(total * fraction)  # as scikit-learn rounds it
    if not total:
        raise ValueError("the table has zero rows: there is nothing to resample")
    if n_test >= total:
        raise ValueError(
            f"test_fraction {split.test_fraction} of {total:,} rows is {n_test:,} rows, which "
            "leaves none for training: lower it"
        )
    if not split.stratify:
        subset = Subset(total, n_test, split.seed, RANKS)
        ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        test = np.diff(subset.before(ends)).tolist()
        bounds = pairwise(ends.tolist())
        marks = [(Mark(ANY, a, b, subset),) if a < b else () for a, b in bounds]
        which = [ByNumber(m) for m in marks]
    else:
        which, test = _drawn_by_class(counted, target, split, n_test)
    return which, tuple(n - t for n, t in zip(lengths, test, strict=True)), tuple(test)


def _drawn_by_class(
    counted: Counted, target: str, split: Split, n_test: int
) -> tuple[list[ByNumber], list[int]]:
    if counted.missing:
        raise ValueError(missing_labels(counted.missing, target))
    labels = sort_labels(counted.counts)
    parts = shares(np.array([counted.counts[label] for label in labels], dtype=float), n_test)
    subsets = {
        label: Subset(counted.counts[label], int(keep), split.seed, RANKS + rank)
        for rank, (label, keep) in enumerate(zip(labels, parts, strict=True))
    }
    which, test = [], np.zeros(len(counted.parts), dtype=np.int64)
    for part, starts in zip(counted.parts, counted.starts(), strict=True):
        marks = [
            Mark(label, starts[label], starts[label] + n, subsets[label])
            for label, n in part.counts.items()
        ]
        which.append(ByNumber(tuple(marks), target))
    for label, subset in subsets.items():
        here = [part.counts.get(label, 0) for part in counted.parts]
        test += np.diff(subset.before(np.concatenate([[0], np.cumsum(here, dtype=np.int64)])))
    return which, test.tolist()


def _side(frame: Any, which: Sequence[ByValue | ByNumber], side: bool, token: str) -> Any:
    """Return the rows of one side as a lazy frame of as many partitions."""
    tasks, keys = freeze(frame)
    name = f"{'test' if side else 'train'}-{token}"
    outputs = [(name, i) for i in range(len(keys))]
    for output, key, one in zip(outputs, keys, which, strict=True):
        tasks[output] = (partial(_rows, which=one, side=side), key)
    divisions = (None,) * (len(keys) + 1)
    return frame_of(tasks, outputs, name, frame._meta, divisions)


def _rows(part: pd.DataFrame, *, which: ByValue | ByNumber, side: bool) -> pd.DataFrame:
    """Return a partition's rows of one side, in their order; what is whole is not copied."""
    wanted = which.test(part) == side
    return part if wanted.all() else part.iloc[np.flatnonzero(wanted)]
