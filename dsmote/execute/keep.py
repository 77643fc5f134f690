r"""Keep some rows of a table: count the classes of each partition, then filter each as it passes.

::

    target of          p0        p1        p2
                       |         |         |
    count           {0: 40}   {0: 35}   {0: 20}         the one compute; the target only is read
                    {1:  2}   {1:  7}   {1:  1}
                         \       |       /
    plan             class 0: 95 rows, keep 10          positions of class 0:
                         /       |       \              p0: 0 .. 40, p1: 40 .. 75, p2: 75 .. 95
    filter          p0 ->     p1 ->     p2 ->           lazy: each on its own, whenever it comes by

A task is told where its partition's rows of a class begin among all rows of the class; which of
them stay is then known (:mod:`dsmote.plan.draws`) without any other partition. Cleaning methods,
whose rows are known from the data only, add a mask for each partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
from dask.base import tokenize

from dsmote.execute.dask_table import DaskTable, collect
from dsmote.execute.graph import freeze, over_all
from dsmote.execute.partition import as_series, check, companion, conform, labelled, unlike
from dsmote.execute.tables import Table
from dsmote.plan import Column, Schema, Subset


class PartCount(NamedTuple):
    """Rows of each class in one partition, and those without a label."""

    counts: dict[Any, int]
    missing: int


class Mark(NamedTuple):
    """What a partition must know of one class: rows ``start .. stop`` of it are here."""

    label: Any
    start: int
    stop: int
    subset: Subset | None


@dataclass(frozen=True)
class Counted:
    """The classes of each partition, in order; a table in memory is one."""

    parts: tuple[PartCount, ...]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts.values()) + self.missing

    @property
    def missing(self) -> int:
        """Rows without a label."""
        return sum(part.missing for part in self.parts)

    @property
    def counts(self) -> dict[Any, int]:
        """Rows per class."""
        total: Counter[Any] = Counter()
        for part in self.parts:
            total.update(part.counts)
        return dict(total)

    def marks(self, subsets: Mapping[Any, Subset]) -> list[list[Mark]]:
        """Say, for each partition, which rows of each class are in it."""
        seen: Counter[Any] = Counter()
        found = []
        for part in self.parts:
            found.append(
                [
                    Mark(label, seen[label], seen[label] + n, subsets.get(label))
                    for label, n in part.counts.items()
                ]
            )
            seen.update(part.counts)
        return found

    def kept(self, subsets: Mapping[Any, Subset]) -> list[int]:
        """Return the rows that stay in each partition, drawn without looking at the data."""
        lengths = np.array([sum(part.counts.values()) for part in self.parts], dtype=np.int64)
        for label, subset in subsets.items():
            here = np.array([part.counts.get(label, 0) for part in self.parts], dtype=np.int64)
            lengths += np.diff(subset.before(np.concatenate([[0], np.cumsum(here)]))) - here
        return lengths.tolist()


def count_part(target: Any, column: int | None = None) -> list[PartCount]:
    """Count the classes in one partition of the target, or of a frame that has it as a column."""
    of = labelled(as_series(target if column is None else target.iloc[:, column], "y"))
    return [PartCount(dict(zip(of.names, of.counts, strict=True)), of.missing)]


def _chained(parts: Sequence[list[PartCount]]) -> list[PartCount]:
    return list(chain(*parts))


def count_classes(table: Table) -> Counted:
    """Count the classes of every partition; on Dask this is the one compute.

    Only the target is read. A reader of columns (Parquet) then reads that one column.
    """
    if not isinstance(table, DaskTable):
        return Counted(tuple(count_part(table.labels)))
    inputs = table._inputs()
    keys, y_keys = ([] if part is None else list(part) for part in inputs.columns[:2])
    column = None
    level: list[Any] = []
    if not table.has_target:
        tasks, level = freeze(table._y)
    elif isinstance(table.target, str):  # of other names, Dask takes some for a mask
        column = 0
        tasks, level = freeze(table._X[[table.target]])
    if len(level) != len(keys):
        # Where Dask cuts by size, a frame of fewer columns has other partitions.
        tasks, level = dict(inputs.graph), keys if table.has_target else y_keys
        column = table.names.index(table.target) if table.has_target else None
    token = tokenize(table._X, table._y, table.target, "count")
    look = partial(count_part, column=column)
    found = over_all(tasks, zip(level, strict=True), f"count-{token}", look, _chained)
    return Counted(tuple(found))


def pick(target: Any, mask: Any = None, *, marks: Sequence[Mark]) -> np.ndarray:
    """Return how often each row of a partition stays: 0, once, or (copies) several times."""
    codes, labels, counts, missing = labelled(as_series(target, "y"))
    _check_counts(dict(zip(labels, counts, strict=True)), missing, marks)
    times = np.ones(len(codes), dtype=np.int64)
    # Sorted once, not searched once for every class: there may be many. No label is missing here.
    order = np.argsort(codes, kind="stable")
    ends = dict(zip(labels, np.cumsum(counts).tolist(), strict=True))
    for mark in marks:
        if mark.subset is not None:
            end = ends[mark.label]
            here = order[end - (mark.stop - mark.start) : end]
            times[here] = mark.subset.times(mark.start, mark.stop)
    return times if mask is None else times * mask


def _check_counts(found: Mapping[Any, int], missing: int, marks: Sequence[Mark]) -> None:
    expected = {mark.label: mark.stop - mark.start for mark in marks}
    if missing:
        found = {**found, None: missing}
    for label in {**expected, **found}:
        if found.get(label, 0) != expected.get(label, 0):
            raise ValueError(
                f"class {label!r} has {found.get(label, 0):,} rows in a partition in which "
                f"{expected.get(label, 0):,} were counted; data that change between two reads "
                "cannot be resampled: write them to files, or call persist(), before"
            )


def take(thing: Any, rows: np.ndarray) -> Any:
    """Return some rows of a table or target in memory, as the same kind."""
    if isinstance(thing, pd.DataFrame | pd.Series):
        return thing.iloc[rows]
    if isinstance(thing, list):
        return [thing[i] for i in rows.tolist()]
    return np.asarray(thing)[rows]


def kept_in_memory(
    table: Any, counted: Counted, subsets: Mapping[Any, Subset], mask: np.ndarray | None = None
) -> np.ndarray:
    """Return which rows of a table in memory stay, in order, shape (rows kept,)."""
    (marks,) = counted.marks(subsets)
    times = pick(table.labels, mask, marks=marks)
    return np.repeat(np.arange(len(times)), times)


def _filtered(
    part: Any, target: Any, mask: Any = None, *, name: str, schema: Schema, marks: Sequence[Mark]
) -> Any:
    """Filter a partition of X, y, weights or groups by the matching one of y, or by its own."""
    target = target if schema.target is None else target.iloc[:, schema.target]
    times = pick(target, mask, marks=marks)
    if name == "X":
        if len(part) != len(times):
            raise ValueError(unlike(len(part), len(times)))
        if isinstance(part, pd.DataFrame):
            check(part, schema)
            part = conform(part, schema, {})
    elif name != "y":
        companion(part, len(times), name)
    if (times == 1).all():
        return part
    rows = np.repeat(np.arange(len(times)), times)
    return part.iloc[rows] if hasattr(part, "iloc") else part[rows]


def filter_lazily(
    table: Any,
    counted: Counted,
    subsets: Mapping[Any, Subset],
    masks: tuple[Mapping[Any, Any], Sequence[Any]] | None = None,
) -> Any:
    """Return the lazy output: (X, y), or the table when the target is one of its columns.

    Weights and groups follow.
    """
    inputs = table._inputs()
    keys = inputs.columns[0]
    y_keys = keys if table.has_target else inputs.columns[1]
    target = [table.target] if table.has_target else []
    kinds = ["target" if name in target else "carried" for name in table.names]
    schema = Schema(tuple(map(Column, table.names, table.dtypes, kinds)))
    token = tokenize(
        table._X, table._y, table.companions, table.target, list(subsets.items()), "keep"
    )
    graph, mask_keys = dict(inputs.graph), [None] * len(keys)
    if masks is not None:
        graph, mask_keys = {**graph, **masks[0]}, list(masks[1])
        token = tokenize(token, mask_keys)
    whole = [("X", table._X, keys)] + ([] if table.has_target else [("y", table._y, y_keys)])
    whole += [(name, *of) for name, of in table.companion_parts().items()]
    lengths: list[Any] = [np.nan] * len(keys)
    if masks is None and any(isinstance(values, da.Array) for _, values, _ in whole):
        lengths = list(counted.kept(subsets))
    # What stays is drawn once more for each, which costs little. A task that two had in common
    # would be fused in one way where they are computed apart, and in another where together.
    results, all_marks = [], counted.marks(subsets)
    for name, values, own in whole:
        tasks, outputs = dict(graph), [(f"kept-{name}-{token}", i) for i in range(len(keys))]
        rows = zip(outputs, own, y_keys, mask_keys, all_marks, strict=True)
        for out, key, y_key, mask, marks in rows:
            work = partial(_filtered, name=name, schema=schema, marks=marks)
            tasks[out] = (work, key, y_key, mask)
        # Rows that stay keep their index, so what is known of its order still holds.
        divisions = getattr(values, "divisions", None)
        results.append(collect(values, tasks, outputs, f"{name}-{token}", lengths, divisions))
    return results[0] if len(results) == 1 else tuple(results)
