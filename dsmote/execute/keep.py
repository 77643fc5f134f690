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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.arrays import refuse_mask
from dsmote.execute.dask_table import DaskTable
from dsmote.execute.graph import frame_of, freeze, over_all
from dsmote.execute.partition import check, companion, conform, label_codes, unlike
from dsmote.execute.tables import Table
from dsmote.plan import Column, Schema, Subset

__all__ = ["Counted", "count_classes", "filter_lazily", "kept_in_memory", "take"]


class PartCount(NamedTuple):
    """Rows of each class in one partition, and those without a label."""

    counts: dict[Any, int]
    missing: int


@dataclass(frozen=True)
class Counted:
    """The classes of each partition, in order.

    Attributes
    ----------
    parts : tuple of PartCount
        One for each partition; a table in memory is one.
    """

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
        total: dict[Any, int] = {}
        for part in self.parts:
            for label, n in part.counts.items():
                total[label] = total.get(label, 0) + n
        return total

    def starts(self) -> list[dict[Any, int]]:
        """Return, for each partition, the position in its class of the first row of each class."""
        seen: dict[Any, int] = {}
        found = []
        for part in self.parts:
            found.append({label: seen.get(label, 0) for label in part.counts})
            for label, n in part.counts.items():
                seen[label] = seen.get(label, 0) + n
        return found


class Mark(NamedTuple):
    """What a partition must know of one class: rows ``start .. stop`` of it are here."""

    label: Any
    start: int
    stop: int
    subset: Subset | None


class Picked(NamedTuple):
    """Rows that stay: their places in a partition of `length` rows; None where all do."""

    length: int
    rows: np.ndarray | None


def _series(target: Any) -> pd.Series:
    """Return the target of a partition, whatever holds it, as a Series."""
    if isinstance(target, pd.DataFrame):
        return target.iloc[:, 0]
    if isinstance(target, pd.Series):
        return target
    refuse_mask(target, "y")
    return pd.Series(np.asarray(target).reshape(-1))


def _numbered(target: Any) -> tuple[np.ndarray, list[Any], list[int]]:
    """Return each row's class as a number (-1: missing), the labels and their counts."""
    codes, names = label_codes(_series(target))
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    return codes, names, counts


def count_part(target: Any, column: int | None = None) -> list[PartCount]:
    """Count the classes in one partition of the target, or of a frame that has it as a column."""
    codes, labels, counts = _numbered(target if column is None else target.iloc[:, column])
    return [PartCount(dict(zip(labels, counts, strict=True)), int((codes < 0).sum()))]


def _chained(parts: Sequence[list[PartCount]]) -> list[PartCount]:
    return [part for some in parts for part in some]


def count_classes(table: Table) -> Counted:
    """Count the classes of every partition; on Dask this is the one compute.

    Only the target is read. A reader of columns (Parquet) then reads that one column.
    """
    if not isinstance(table, DaskTable):
        return Counted(tuple(count_part(_memory_target(table))))
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
    rows = ((key,) for key in level)
    found = over_all(tasks, rows, f"count-{token}", look, _chained)
    return Counted(tuple(found))


def _memory_target(table: Any) -> Any:
    if table.has_target:
        return table._frame.iloc[:, table.names.index(table.target)]
    return table._labels


def pick(target: Any, mask: Any = None, *, marks: Sequence[Mark]) -> Picked:
    """Tell which rows of a partition stay."""
    codes, labels, counts = _numbered(target)
    _check_counts(dict(zip(labels, counts, strict=True)), int((codes < 0).sum()), marks)
    times = np.ones(len(codes), dtype=np.int64)
    # Sorted once, not searched once for every class: there may be many. No label is missing here.
    order = np.argsort(codes, kind="stable")
    ends = dict(zip(labels, np.cumsum(counts).tolist(), strict=True))
    for mark in marks:
        if mark.subset is not None:
            end = ends[mark.label]
            here = order[end - (mark.stop - mark.start) : end]
            times[here] = mark.subset.times(mark.start, mark.stop)
    if mask is not None:
        times *= mask
    if (times == 1).all():
        return Picked(len(times), None)
    return Picked(len(times), np.repeat(np.arange(len(times)), times))


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
    return (thing if isinstance(thing, np.ndarray) else np.asarray(thing))[rows]


def kept_in_memory(
    table: Any, counted: Counted, subsets: Mapping[Any, Subset], mask: np.ndarray | None = None
) -> np.ndarray:
    """Return which rows of a table in memory stay, in order, shape (rows kept,)."""
    (marks,) = marks_of(counted, subsets)
    picked = pick(_memory_target(table), mask, marks=marks)
    return np.arange(picked.length) if picked.rows is None else picked.rows


def marks_of(counted: Counted, subsets: Mapping[Any, Subset]) -> list[list[Mark]]:
    """Say, for each partition, which rows of each class are in it."""
    return [
        [
            Mark(label, starts[label], starts[label] + n, subsets.get(label))
            for label, n in part.counts.items()
        ]
        for part, starts in zip(counted.parts, counted.starts(), strict=True)
    ]


def _labels(target: Any, schema: Schema) -> Any:
    """Return the target, of a partition of it or of the table that has it as a column."""
    return target if schema.target is None else target.iloc[:, schema.target]


def _filter_features(
    part: Any, target: Any, mask: Any = None, *, schema: Schema, marks: Sequence[Mark]
) -> Any:
    """Filter a partition of X by the one of y beside it, or by its own target."""
    picked = pick(_labels(target, schema), mask, marks=marks)
    if len(part) != picked.length:
        raise ValueError(unlike(len(part), picked.length))
    if isinstance(part, pd.DataFrame):
        check(part, schema)
        part = conform(part, schema, {})
    return _filtered(part, picked)


def _filter_beside(
    part: Any, target: Any, mask: Any = None, *, schema: Schema, marks: Sequence[Mark], name: str
) -> Any:
    """Filter a partition of y, or of weights or groups, by the one of y beside it."""
    picked = pick(_labels(target, schema), mask, marks=marks)
    if name != "y":
        companion(part, picked.length, name)
    return _filtered(part, picked)


def _filtered(part: Any, picked: Picked) -> Any:
    if picked.rows is None:
        return part
    return part.iloc[picked.rows] if hasattr(part, "iloc") else part[picked.rows]


def filter_lazily(
    table: Any,
    counted: Counted,
    subsets: Mapping[Any, Subset],
    masks: tuple[Mapping[Any, Any], Sequence[Any]] | None = None,
) -> Any:
    """Return the lazy output: (X, y), or the table when the target is one of its columns.

    What is beside the table, weights and groups, follows.
    """
    inputs = table._inputs()
    keys = inputs.columns[0]
    y_keys = keys if table.has_target else inputs.columns[1]
    target = [table.target] if table.has_target else []
    kinds = ["target" if name in target else "carried" for name in table.names]
    schema = Schema(tuple(map(Column, table.names, table.dtypes, kinds)))
    marks = marks_of(counted, subsets)
    token = tokenize(table._X, table._y, table.beside, table.target, list(subsets.items()), "keep")
    graph, mask_keys = dict(inputs.graph), [None] * len(keys)
    if masks is not None:
        graph, mask_keys = {**graph, **masks[0]}, list(masks[1])
        token = tokenize(token, mask_keys)
    lengths = partial(kept_lengths, counted, subsets, masks is None)
    # What stays is drawn once more for each, which costs little. A task that two had in common
    # would be fused in one way where they are computed apart, and in another where together.
    beside = [(name, *of) for name, of in table.beside_parts().items()]
    results = []
    for name, values, own in [("X", table._X, keys), ("y", table._y, y_keys), *beside]:
        if name == "y" and table.has_target:
            continue
        tasks, outputs = dict(graph), [(f"kept-{name}-{token}", i) for i in range(len(keys))]
        work: Any = _filter_features if name == "X" else partial(_filter_beside, name=name)
        for out, key, y_key, mask, m in zip(outputs, own, y_keys, mask_keys, marks, strict=True):
            tasks[out] = (partial(work, schema=schema, marks=m), key, y_key, mask)
        results.append(_collected(values, tasks, outputs, f"{name}-{token}", lengths))
    return results[0] if len(results) == 1 else tuple(results)


def kept_lengths(counted: Counted, subsets: Mapping[Any, Subset], known: bool) -> list[Any]:
    """Return the rows that stay in each partition, drawn without looking at the data."""
    if not known:
        return [np.nan] * len(counted.parts)
    lengths = np.array([sum(part.counts.values()) for part in counted.parts], dtype=np.int64)
    for label, subset in subsets.items():
        here = np.array([part.counts.get(label, 0) for part in counted.parts], dtype=np.int64)
        kept = np.diff(subset.before(np.concatenate([[0], np.cumsum(here)])))
        lengths += kept - here
    return lengths.tolist()


def _collected(
    like: Any,
    tasks: dict[Any, Any],
    outputs: list[Any],
    name: str,
    lengths: Callable[[], list[Any]],
) -> Any:
    """Make a collection of the input's kind from the tasks that make its partitions."""
    if isinstance(like, da.Array):
        tail = (0,) * (like.ndim - 1)
        tasks |= {(name, i, *tail): key for i, key in enumerate(outputs)}
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
        chunks = (tuple(lengths()), *like.chunks[1:])
        return da.Array(graph, name, chunks, meta=like._meta, dtype=like.dtype)
    # Rows that stay keep their index, so what is known of its order still holds.
    return frame_of(tasks, outputs, name, like._meta, like.divisions)
