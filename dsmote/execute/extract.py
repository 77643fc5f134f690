"""What is taken out of one partition, and joined over all: class rows, and a sample to learn from.

The sample of a class is the rows with the smallest hashes of their values. It is the same however
the table is cut: the smallest of each partition hold the smallest of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute.partition import (
    Partition,
    bad_values,
    companion,
    incomplete,
    index_end,
    missing_labels,
    smallest_hashes,
)
from dsmote.execute.recipe import Task
from dsmote.execute.rows import Rows, all_finite, encode, factorized, join
from dsmote.plan import Plan, Schema
from dsmote.plan.profile import merge_decimals


@dataclass(frozen=True)
class Take:
    """What to take out."""

    schema: Schema
    grow: Mapping[Any, int]  # ranks by label of the classes whose rows are wanted
    skip: bool = False  # leave rows with a missing value out, where otherwise they are an error
    whole: bool = False  # take rows as they are, all columns; nothing is measured
    passthrough: tuple[int, ...] = ()  # positions of columns that are not measured but wanted too
    ranks: Mapping[Any, int] = field(default_factory=dict)  # of all classes, for a sample
    quotas: Mapping[int, int] = field(default_factory=dict)  # sampled rows of each class, by rank


@dataclass(frozen=True)
class FitRows:
    """Some rows of a class, to fit a model to: those with the smallest hashes."""

    words: np.ndarray
    numeric: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True)
class Extract:
    """What was taken out of some partitions, in order."""

    counts: dict[Any, int]  # all their rows per class, to check what the graph was built on
    lengths: tuple[int, ...]  # rows of each partition
    # By rank; numbers count from the first row of the first of these partitions.
    rows: dict[int, Rows]
    sample: dict[int, FitRows] = field(default_factory=dict)  # to fit a model to, by rank
    index_end: int = 0  # one more than the largest number in the index
    decimals: dict[int, Any] = field(default_factory=dict)  # as in a profile, which a run may lack
    written: Any = None  # what came of writing the partition, where one task does both

    @property
    def starts(self) -> np.ndarray:
        """The number of the first row of each partition, and of all rows; int64."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])


def extract(
    part: Any, target: Any = None, weight: Any = None, group: Any = None, *, take: Take
) -> Extract:
    """Take the complete rows of the classes to grow out of one partition."""
    here = Partition.of(part, target, weight, group)
    schema = take.schema
    codes, names, found_counts, missing = here.labels(schema)
    if missing:
        name = getattr(here.series(schema), "name", None)
        raise ValueError(missing_labels(missing, name))
    plain = not (take.passthrough or here.weight is not None or here.group is not None)
    matrix = here.matrix(schema) if plain else None
    if matrix is None:
        n = len(here.frame(schema))
        if here.weight is not None:
            here.weight = companion(here.weight, n, "sample_weight")
        if here.group is not None:
            here.group = companion(here.group, n, "groups")
    found, sample = {}, {}
    for code, name in enumerate(names):
        rank = take.grow.get(name)
        quota = take.quotas.get(take.ranks.get(name, -1), 0)
        if rank is None and not quota:
            continue
        at = np.flatnonzero(codes == code)
        rows = _rows(here, at, take, matrix, rank is not None)
        if rank is not None:
            found[rank] = rows
        if quota:
            hashes, kept = smallest_hashes(list(rows.numeric.T), quota)
            sample[take.ranks[name]] = FitRows(hashes, rows.numeric[kept], rows.numbers[kept])
    counts = dict(zip(names, found_counts, strict=True))
    if matrix is not None:
        return Extract(counts, (len(matrix),), found, sample)
    end = index_end(here.part, here.target)
    return Extract(counts, (len(codes),), found, sample, end, here.decimals(schema))


def _rows(
    here: Partition, at: np.ndarray, take: Take, matrix: np.ndarray | None, everything: bool
) -> Rows:
    """Take the complete rows of a class; with `everything`, also what goes with them."""
    schema = take.schema
    rows: Any = here.frame(schema).iloc[at] if matrix is None else matrix[at]
    no_codes = np.empty((len(at), 0), dtype=np.int32)
    if take.whole:
        whole = pd.DataFrame(rows, copy=False).reset_index(drop=True)
        made = Rows(np.empty((len(at), 0)), {}, no_codes, (), {}, at, passthrough=whole)
    elif matrix is not None:
        numeric = rows.astype(np.float64, order="C", copy=False)
        made = Rows(numeric, {}, no_codes, (), {}, at)
    else:
        made = encode(rows, schema, at, here.levels)
    if not all_finite(made.numeric):
        if not take.skip:
            raise ValueError(incomplete(*bad_values(made.numeric, schema), schema))
        good = np.isfinite(made.numeric).all(axis=1)
        return _rows(here, at[good], take, matrix, everything)
    if matrix is not None or not (everything or take.whole):
        return made
    if take.passthrough and not take.whole:
        passthrough = rows.iloc[:, list(take.passthrough)].reset_index(drop=True)
        made = replace(made, passthrough=passthrough)
    if here.weight is not None:
        made = replace(made, weights=here.weight.iloc[at].to_numpy(dtype=np.float64))
    groups = here.group
    if groups is None and schema.group is not None and not take.whole:
        groups = here.frame(schema).iloc[:, schema.group]
    if groups is not None:
        codes, levels = factorized(groups.iloc[at])
        made = replace(made, group=codes, group_levels=levels)
    return made


def join_extracts(parts: Sequence[Extract], *, take: Take) -> Extract:
    """Join what was extracted from partitions, in order."""
    if len(parts) == 1 and all(len(p.categories) == 0 for p in parts[0].rows.values()):
        return parts[0]
    firsts = np.cumsum([0, *(sum(p.lengths) for p in parts)])
    counts: Counter[Any] = Counter()
    for p in parts:
        counts.update(p.counts)
    ranks = sorted({rank for p in parts for rank in p.rows})
    moved = list(zip(parts, firsts[:-1].tolist(), strict=True))
    rows = {
        rank: join([p.rows[rank].moved(by) for p, by in moved if rank in p.rows], take.schema)
        for rank in ranks
    }
    lengths = tuple(n for p in parts for n in p.lengths)
    sample = {
        rank: _smallest([(p.sample[rank], by) for p, by in moved if rank in p.sample], quota)
        for rank, quota in take.quotas.items()
        if any(rank in p.sample for p in parts)
    }
    end = max((p.index_end for p in parts), default=0)
    decimals: dict[int, Any] = reduce(merge_decimals, (p.decimals for p in parts), {})
    return Extract(dict(counts), lengths, rows, sample, end, decimals)


def _smallest(parts: Sequence[tuple[FitRows, int]], quota: int) -> FitRows:
    words = np.concatenate([p.words for p, _ in parts])
    order = np.argsort(words, kind="stable")[:quota]
    numeric = np.concatenate([p.numeric for p, _ in parts])
    numbers = np.concatenate([p.numbers + by for p, by in parts])
    return FitRows(words[order], numeric[order], numbers[order])


def check_counts(found: Extract, plan: Plan, first: int = 0) -> Extract:
    """Check that the data are what the plan was made for."""
    counts = found.counts
    for c in plan.classes:
        if counts.get(c.label, 0) != c.before:
            raise ValueError(
                f"class {c.label!r} has {counts.get(c.label, 0):,} rows in the data, but "
                f"{c.before:,} were planned for; correct class_counts, or leave it out to have "
                "the rows counted (data that change between two reads cannot be resampled)"
            )
    planned = plan.counts_before
    unknown = [label for label in counts if label not in planned]
    if unknown:
        raise ValueError(
            f"the data hold the class {unknown[0]!r} ({counts[unknown[0]]:,} rows), which "
            "class_counts does not name; add it, or leave class_counts out"
        )
    if first and found.index_end > first:
        raise ValueError(
            f"the index holds {found.index_end - 1:,}, and new rows would be numbered from "
            f"{first:,}: leave class_counts out to have its maximum found, or call "
            "reset_index(drop=True) first"
        )
    return found


_LEAST = 50  # rows of a class that a model is fitted to, where it has so many


def take_of(task: Task) -> Take:
    """Say what a task needs of the data."""
    plan, recipe = task.plan, task.how.recipe
    quotas = {}
    if recipe.sample:
        total = sum(c.usable for c in plan.classes)
        for c in plan.classes:
            part = -(-recipe.sample * c.usable // max(1, total))
            quotas[c.rank] = c.usable if total <= recipe.sample else max(part, _LEAST)
    carried = task.schema.carried if task.how.provenance == "full" else []
    copied = [] if recipe.copies_rows else task.schema.copied  # copied rows have all
    return Take(
        schema=task.schema,
        grow={c.label: c.rank for c in plan.growing},
        skip=task.skip,
        whole=recipe.copies_rows,
        passthrough=tuple(sorted([*carried, *copied])),
        ranks={c.label: c.rank for c in plan.classes} if quotas else {},
        quotas=quotas,
    )
