r"""What is asked of every partition: class rows, a sample to fit a model to, the nearest rows.

The sample of a class is the rows with the smallest hashes of their values. It is the same however
the table is cut: the smallest of each partition hold the smallest of all.

Where a sampler wants to know who is near a row among ALL rows, the queries travel, and the data
stay where they are::

    class rows --- batch 0 --+--> partition 0:  its nearest m   --.
                             +--> partition 1:  its nearest m   ---+--> the nearest m of all,
                             +--> ...                           --'     8 lists at a time
               --- batch 1 --+--> ...

The data do not fit into a worker, the class's rows do. Each partition is indexed, asked for its own
m nearest rows of each query, and forgotten; what is kept is a distance, a class and a row number
for each. Lists are merged in the order of the partitions and stably, so that equal distances stay
in the order of the rows, and the result does not depend on how the table is cut. Engines order rows
by squared distance, of which two may have the same root: so do the lists. A row is left out of its
own list by its number.

A recipe may also look at each partition itself (:meth:`Recipe.survey`); what it returns is added
up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute.partition import (
    Partition,
    all_finite,
    incomplete,
    index_end,
    missing_labels,
    row_hashes,
    smallest_hashes,
)
from dsmote.execute.recipe import NearestOfAll, Recipe, Rows, Task
from dsmote.execute.rows import encode, factorized, join, join_levels
from dsmote.neighbors import NeighborIndex, few
from dsmote.neighbors.exact import scale_power, squared_distances
from dsmote.plan import Plan, Schema
from dsmote.plan.memory import QUERIES
from dsmote.plan.profile import merge_decimals

BATCH = QUERIES  # that travel together: their lists of 10 are 7 MiB
_ALL = 2**62  # rows of a class in a sample that leaves none out
_LEAST = 50  # rows of a class that a model is fitted to, where it has so many
_WORTH_THREADS = 1 << 26  # multiplications
_FEW_COLUMNS = 8

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]


@dataclass(frozen=True)
class Take:
    """Which rows to take out of a partition."""

    schema: Schema
    grow: Mapping[Any, int] = field(default_factory=dict)  # ranks by label, of classes that grow
    skip: bool = False  # leave rows with a missing value out, where otherwise they are an error
    copies: bool = False  # take rows as they are, all columns; none is a feature
    passthrough: tuple[int, ...] = ()  # positions of columns that are no features but wanted
    ranks: Mapping[Any, int] = field(default_factory=dict)  # of all classes, for a sample
    quotas: Mapping[int, int] = field(default_factory=dict)  # sampled rows of each class, by rank


def take_of(task: Task) -> Take:
    """Say what a task needs of the data."""
    plan, recipe = task.plan, task.how.recipe
    quotas = {}
    if recipe.sample:
        total = sum(c.usable for c in plan.classes)
        for c in plan.classes:
            part = -(-recipe.sample * c.usable // max(1, total))
            quotas[c.rank] = _ALL if total <= recipe.sample else max(part, _LEAST)
    passthrough = [*task.schema.copied, *task.schema.carried]
    if task.how.provenance != "full":
        passthrough = task.schema.copied
    return Take(
        schema=task.schema,
        grow=dict(map(attrgetter("label", "rank"), plan.growing)),
        skip=task.skip,
        copies=recipe.copies_rows,
        passthrough=() if recipe.copies_rows else tuple(sorted(passthrough)),
        ranks={c.label: c.rank for c in plan.classes} if quotas else {},
        quotas=quotas,
    )


@dataclass(frozen=True)
class FitRows:
    """Some rows of a class, to fit a model to: those with the smallest hashes."""

    hashes: np.ndarray
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
    # By rank of classes whose rows are in scratch files: what is known of each partition's.
    stored: dict[int, list[Any]] = field(default_factory=dict)
    written: Any = None  # what came of writing the partition, where one task does both

    @property
    def starts(self) -> np.ndarray:
        """The number of the first row of each partition, and of all rows; int64."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])


def extract(*row: Any, take: Take) -> Extract:
    """Take the complete rows of the classes to grow out of one partition."""
    here = Partition.of(*row)
    codes, counts, missing = here.labels(take.schema)
    if missing:
        name = getattr(here.series(take.schema), "name", None)
        raise ValueError(missing_labels(missing, name))
    weights, groups = here.companions(take.schema, len(codes))
    rows, sample = {}, {}
    for code, name in enumerate(counts):
        rank = take.grow.get(name)
        quota = take.quotas.get(take.ranks.get(name, -1), 0)
        if rank is None and not quota:
            continue
        found = complete_rows(here, np.flatnonzero(codes == code), take, weights, groups)
        if rank is not None:
            rows[rank] = found
        if quota:
            of_class = FitRows(np.zeros(len(found), dtype=np.uint64), found.numeric, found.numbers)
            if quota != _ALL:
                hashes, kept = smallest_hashes(row_hashes(list(found.numeric.T)), quota)
                of_class = FitRows(hashes, found.numeric[kept], found.numbers[kept])
            sample[take.ranks[name]] = of_class
    if here.matrix(take.schema) is not None and weights is None and groups is None:
        return Extract(counts, (len(codes),), rows, sample)
    end = index_end(here.part, here.target)
    return Extract(counts, (len(codes),), rows, sample, end, here.decimals(take.schema))


def complete_rows(
    here: Partition,
    at: np.ndarray | None,
    take: Take,
    weights: pd.Series | None,
    groups: pd.Series | None,
) -> Rows:
    """Take the complete ones of some rows (None: of all), and what goes with them."""
    schema, matrix = take.schema, here.matrix(take.schema)
    table: Any = here.frame(schema) if matrix is None else matrix
    some = table
    if at is None:
        at = np.arange(len(table))
    else:
        some = table[at] if matrix is not None else table.iloc[at]
    no_codes = np.empty((len(at), 0), dtype=np.int32)
    if take.copies:
        copied = pd.DataFrame(some, copy=False).reset_index(drop=True)
        made = Rows(np.empty((len(at), 0)), no_codes, at, passthrough=copied)
    elif matrix is not None:
        made = Rows(some.astype(np.float64, order="C", copy=False), no_codes, at)
    else:
        made = encode(some, schema, at, here.levels)
    if not all_finite(made.numeric):
        if not take.skip:
            counts = [of(made.numeric).sum(axis=0).tolist() for of in (np.isnan, np.isinf)]
            missing, infinite = (dict(zip(schema.numeric, of, strict=True)) for of in counts)
            raise ValueError(incomplete(missing, infinite, schema))
        made = made.take(np.flatnonzero(np.isfinite(made.numeric).all(axis=1)))
        at = made.numbers
    if take.passthrough:
        columns = table.iloc[at, list(take.passthrough)].reset_index(drop=True)
        made = replace(made, passthrough=columns)
    if weights is not None:
        made = replace(made, weights=weights.iloc[at].to_numpy(dtype=np.float64))
    if groups is not None and not (take.copies and here.groups is None):
        codes, levels = factorized(groups.iloc[at])
        made = replace(made, group=codes, group_levels=levels)
    return made


def join_extracts(
    parts: Sequence[Extract], *, take: Take, plan: Plan | None = None, first: int = 0
) -> Extract:
    """Join what was extracted from partitions, in order; with the plan, check that this is all."""
    joined = _joined(parts, take)
    return joined if plan is None else check_counts(joined, plan, first)


def _joined(parts: Sequence[Extract], take: Take) -> Extract:
    if len(parts) == 1 and all(len(p.categories) == 0 for p in parts[0].rows.values()):
        return parts[0]
    firsts = np.cumsum([0, *(sum(p.lengths) for p in parts)])
    counts: Counter[Any] = Counter()
    for p in parts:
        counts.update(p.counts)
    moved = list(zip(parts, firsts[:-1].tolist(), strict=True))
    rows = {
        rank: join([p.rows[rank].moved(by) for p, by in moved if rank in p.rows], take.schema)
        for rank in sorted({rank for p in parts for rank in p.rows})
    }
    sample = {
        rank: _smallest([(p.sample[rank], by) for p, by in moved if rank in p.sample], quota)
        for rank, quota in take.quotas.items()
        if any(rank in p.sample for p in parts)
    }
    lengths = tuple(n for p in parts for n in p.lengths)
    end = max((p.index_end for p in parts), default=0)
    decimals: dict[int, Any] = reduce(merge_decimals, (p.decimals for p in parts), {})
    stored = {r: [each for p in parts for each in p.stored[r]] for r in parts[0].stored}
    return Extract(dict(counts), lengths, rows, sample, end, decimals, stored)


def _smallest(parts: Sequence[tuple[FitRows, int]], quota: int) -> FitRows:
    hashes = np.concatenate([p.hashes for p, _ in parts])
    order = np.argsort(hashes, kind="stable")[:quota]
    numeric = np.concatenate([p.numeric for p, _ in parts])
    numbers = np.concatenate([p.numbers + by for p, by in parts])
    return FitRows(hashes[order], numeric[order], numbers[order])


def check_counts(found: Extract, plan: Plan, first: int = 0) -> Extract:
    """Check that the data are what the plan was made for."""
    counts = dict(found.counts)
    for c in plan.classes:
        n = counts.pop(c.label, 0)
        if n != c.before:
            raise ValueError(
                f"class {c.label!r} has {n:,} rows in the data, but "
                f"{c.before:,} were planned for; correct class_counts, or leave it out to have "
                "the rows counted (data that change between two reads cannot be resampled)"
            )
    for label, n in counts.items():
        raise ValueError(
            f"the data hold the class {label!r} ({n:,} rows), which "
            "class_counts does not name; add it, or leave class_counts out"
        )
    if first and found.index_end > first:
        raise ValueError(
            f"the index holds {found.index_end - 1:,}, and new rows would be numbered from "
            f"{first:,}: leave class_counts out to have its maximum found, or call "
            "reset_index(drop=True) first"
        )
    return found


# ---- the nearest of all rows


@dataclass(frozen=True)
class ReferenceRows:
    """The complete rows of a partition, as queries are compared with them."""

    rows: Rows  # numbers count from the first row of the partition
    matrix: np.ndarray  # float64, shape (n, p): scaled, if asked for
    ranks: np.ndarray  # int32, shape (n,): place of each row's class in sorted label order
    _indexes: dict[bool, NeighborIndex] = field(default_factory=dict, repr=False, compare=False)

    def index(self, at: np.ndarray, n_queries: int, recipe: Recipe) -> NeighborIndex:
        """Index some rows; that of all of them is kept for whoever asks next."""
        if len(at) < len(self.matrix):
            return recipe.index_all(self.matrix[at], n_queries)
        kind = few(n_queries, len(at))
        if kind not in self._indexes:
            self._indexes[kind] = recipe.index_all(self.matrix, n_queries)
        return self._indexes[kind]


def reference_rows(
    *row: Any, schema: Schema, ranks: Mapping[Any, int], recipe: Recipe
) -> ReferenceRows:
    """Take the complete rows of all classes out of one partition."""
    here = Partition.of(*row)
    if here.reference is None:
        codes, counts, _ = here.labels(schema)
        weights, groups = here.companions(schema, len(codes))
        rows = complete_rows(here, None, Take(schema, skip=True), weights, groups)
        places = np.array([ranks.get(name, -1) for name in counts] or [-1], dtype=np.int32)
        matrix = recipe.scaled(rows.numeric)
        here.reference = ReferenceRows(rows, matrix, places[codes[rows.numbers]])
    return here.reference


@dataclass(frozen=True)
class Queries:
    """Rows of a class that ask for the nearest of all rows."""

    query_rows: np.ndarray  # int64, shape (q,): which rows of the class
    points: np.ndarray  # float64, shape (q, p): scaled, if asked for
    numbers: np.ndarray  # int64, shape (q,): which rows of the table
    starts: np.ndarray  # int64, shape (partitions + 1,): number of the first row of each
    group: np.ndarray | None  # int32, shape (q,): codes into `group_levels`
    group_levels: pd.Series | None
    rank: int  # place of their class in sorted label order


def queries_of(found: Extract, model: Any, *, recipe: Recipe, rank: int, batch: int) -> Queries:
    """Make one batch of the queries of a class."""
    rows = found.rows[rank]
    asked = recipe.query_rows(rows, model)[batch * BATCH : (batch + 1) * BATCH]
    points, numbers = recipe.scaled(rows.numeric[asked]), rows.numbers[asked]
    group = None if rows.group is None else rows.group[asked]
    return Queries(asked, points, numbers, found.starts, group, rows.group_levels, rank)


def nearest_here(
    of: ReferenceRows, queries: Queries, *, order: int, recipe: Recipe, each: Each | None = None
) -> NearestOfAll:
    """Find the nearest rows of one partition for each query."""
    first, rows = int(queries.starts[order]), of.rows
    own = places_of(rows.numbers, queries.numbers - first)
    _check_unchanged(of, queries, own, first, int(queries.starts[order + 1]))
    n, m, width = len(queries.query_rows), recipe.n_neighbors_all, of.matrix.shape[1]
    found = NearestOfAll(
        queries.query_rows,
        np.full((n, m), np.inf),
        np.full((n, m), -1, dtype=np.int32),
        np.full((n, m), -1, dtype=np.int64),
        np.zeros((n, recipe.values, width + (rows.weights is not None))),
        queries.rank,
        np.zeros((n, m)) if len(queries.starts) > 2 else None,  # one partition: nothing to merge
    )

    def fill(here: np.ndarray, asking: np.ndarray) -> None:
        index = of.index(here, len(asking), recipe)
        place = places_of(here, own[asking])
        # One thread more where there is enough to do; in a few columns a tree is too quick.
        cells = len(asking) * len(here) * width
        worth = cells > _WORTH_THREADS and (index.engine == "brute" or width > _FEW_COLUMNS)
        step = 1 << 8 if each is not None and worth else 1 << 12

        def ask(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            some = np.arange(start, min(len(asking), start + step))
            distances = np.full((len(some), m), np.inf)
            ids = np.zeros((len(some), m), dtype=np.int64)
            inside = place[some] >= 0
            k_in, k_out = min(m, len(here) - 1), min(m, len(here))
            if inside.any() and k_in:
                got = index.query(place[some[inside]], k_in)
                distances[inside, :k_in], ids[inside, :k_in] = got
            if not inside.all():
                got = index.query_points(queries.points[asking[some[~inside]]], k_out)
                distances[~inside, :k_out], ids[~inside, :k_out] = got
            return some, distances, ids

        for some, distances, ids in (each or map)(ask, range(0, len(asking), step)):
            to, at = asking[some], here[ids]
            there = np.isfinite(distances)
            found.distances[to] = distances
            if found.finer is not None:
                found.finer[to] = _finer(of.matrix, queries.points[to], at, distances)
            found.classes[to] = np.where(there, of.ranks[at], -1)
            found.numbers[to] = np.where(there, rows.numbers[at] + first, -1)
            if recipe.values:
                near = at[:, : recipe.values]
                found.values[to, :, :width] = rows.numeric[near]
                if rows.weights is not None:
                    found.values[to, :, -1] = rows.weights[near]

    for here, asking in _by_group(rows, queries):
        if recipe.others_only:
            here = here[of.ranks[here] != queries.rank]
        if len(here) and len(asking):
            fill(here, asking)
    return found


def _check_unchanged(
    of: ReferenceRows, queries: Queries, own: np.ndarray, first: int, stop: int
) -> None:
    """Refuse a partition in which the rows that ask are not where they were."""
    here = (queries.numbers >= first) & (queries.numbers < stop)
    places = own[here]
    if (places < 0).any() or not np.array_equal(of.matrix[places], queries.points[here]):
        raise ValueError(
            "a partition holds other rows, or the same in another order, than when it was read "
            "before; data that change between two reads cannot be resampled: write them to files, "
            "or call persist(), before"
        )


def places_of(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where the wanted numbers stand among ascending ones; -1 where they do not."""
    at = np.searchsorted(numbers, wanted)
    inside = at < len(numbers)
    inside[inside] = numbers[at[inside]] == wanted[inside]
    return np.where(inside, at, -1)


def _by_group(rows: Rows, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows and queries of each group; all of them where there are no groups."""
    n = len(rows)
    if rows.group is None or queries.group is None:
        yield np.arange(n), np.arange(len(queries.points))
        return
    codes, _ = join_levels([(rows.group, rows.group_levels), (queries.group, queries.group_levels)])
    mine, theirs = codes[:n], codes[n:]
    ours, asking = np.argsort(mine, kind="stable"), np.argsort(theirs, kind="stable")
    for code in np.intersect1d(mine, theirs):
        a, b = np.searchsorted(mine[ours], [code, code + 1])
        c, d = np.searchsorted(theirs[asking], [code, code + 1])
        yield ours[a:b], asking[c:d]


def _finer(
    matrix: np.ndarray, points: np.ndarray, ids: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """Return squares of distances, each over the power of four of its distance."""
    scale = scale_power(matrix)
    with np.errstate(over="ignore", invalid="ignore"):
        if scale != 1.0:
            matrix, points = matrix * scale, points * scale
        squares = squared_distances(matrix, points, ids)
    exponents = np.frexp(distances)[1] + np.frexp(scale)[1] - 1
    return np.where(np.isfinite(distances), np.ldexp(squares, -2 * exponents), 0.0)


def merge_nearest(parts: Sequence[NearestOfAll]) -> NearestOfAll:
    """Merge what partitions found, in their order: the nearest of all."""
    if len(parts) == 1:
        return parts[0]
    m, v = parts[0].distances.shape[1], parts[0].values.shape[1]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(p, name) for p in parts], axis=1)

    order = np.lexsort((joined("finer"), joined("distances")), axis=1)[:, :m]
    found: dict[str, Any] = {
        name: np.take_along_axis(joined(name), order, axis=1)
        for name in ("distances", "finer", "classes", "numbers")
    }
    if v:
        # A part has values of its first v only, and no more of it can be among the first v.
        place = (order[:, :v] // m) * v + order[:, :v] % m
        found["values"] = np.take_along_axis(joined("values"), place[:, :, None], axis=1)
    return replace(parts[0], **found)


def join_batches(parts: Sequence[NearestOfAll]) -> NearestOfAll:
    """Join what batches of queries found, in order."""
    joined: dict[str, Any] = {}
    if len(parts) > 1:
        for name in ("query_rows", "distances", "classes", "numbers", "values"):
            joined[name] = np.concatenate([getattr(p, name) for p in parts])
    return replace(parts[0], finer=None, **joined)
