r"""Who is near a row among ALL rows: the queries travel, the data stay where they are.

::

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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute.extract import Extract
from dsmote.execute.partition import Partition, companion
from dsmote.execute.recipe import NearestOfAll, Recipe
from dsmote.execute.rows import all_finite, numeric_columns
from dsmote.neighbors import NeighborIndex, few
from dsmote.neighbors.exact import scale_power, squared_distances
from dsmote.plan import Schema
from dsmote.plan.memory import QUERIES

BATCH = QUERIES  # that travel together: their lists of 10 are 7 MiB

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
_WORTH_THREADS = 1 << 26  # multiplications
_FEW_COLUMNS = 8


@dataclass(frozen=True)
class ReferenceRows:
    """The complete rows of a partition, as they are searched."""

    matrix: np.ndarray  # float64, shape (n, p): scaled, if asked for
    raw: np.ndarray  # float64, shape (n, p): in original units
    ranks: np.ndarray  # int32, shape (n,): place of each row's class in sorted label order
    numbers: np.ndarray  # int64, shape (n,): which rows of the partition they are
    weights: np.ndarray | None = None  # float64, shape (n,)
    groups: pd.Series | None = None
    _indexes: dict[bool, NeighborIndex] = field(default_factory=dict, repr=False, compare=False)

    def index(self, rows: np.ndarray, n_queries: int, recipe: Recipe) -> NeighborIndex:
        """Index some rows; that of all of them is kept for whoever asks next."""
        if len(rows) < len(self.matrix):
            return recipe.index_all(self.matrix[rows], n_queries)
        kind = few(n_queries, len(rows))
        if kind not in self._indexes:
            self._indexes[kind] = recipe.index_all(self.matrix, n_queries)
        return self._indexes[kind]


@dataclass(frozen=True)
class Queries:
    """Rows of a class that ask for the nearest of all rows."""

    query_rows: np.ndarray  # int64, shape (q,): which rows of the class
    points: np.ndarray  # float64, shape (q, p): scaled, if asked for
    numbers: np.ndarray  # int64, shape (q,): which rows of the table
    starts: np.ndarray  # int64, shape (partitions + 1,): number of the first row of each
    groups: pd.Series | None = None
    rank: int = -1  # place of their class in sorted label order


def queries_of(found: Extract, model: Any, *, recipe: Recipe, rank: int, batch: int) -> Queries:
    """Make one batch of the queries of a class."""
    rows = found.rows[rank]
    asked = recipe.query_rows(rows, model)[batch * BATCH : (batch + 1) * BATCH]
    groups = None
    if rows.group is not None and rows.group_levels is not None:
        groups = rows.group_levels.take(rows.group[asked]).reset_index(drop=True)
    return Queries(
        asked, recipe.scaled(rows.numeric[asked]), rows.numbers[asked], found.starts, groups, rank
    )


def reference_rows(
    part: Any,
    target: Any = None,
    weight: Any = None,
    group: Any = None,
    *,
    schema: Schema,
    ranks: Mapping[Any, int],
    recipe: Recipe,
) -> ReferenceRows:
    """Take the complete rows of a partition in."""
    here = Partition.of(part, target, weight, group)
    if here.reference is not None:
        return here.reference
    codes, names, *_ = here.labels(schema)
    places = np.array([ranks[name] for name in names], dtype=np.int32)
    matrix = here.matrix(schema)
    if matrix is not None:
        raw = matrix.astype(np.float64, order="C", copy=False)
    else:
        frame = here.frame(schema)
        raw = np.empty((len(frame), len(schema.numeric)))
        for place, (values, _) in enumerate(numeric_columns(frame, schema)):
            raw[:, place] = values
    at = np.arange(len(raw))
    if not all_finite(raw):
        at = np.flatnonzero(np.isfinite(raw).all(axis=1))
        raw = raw[at]
    weights = None
    if here.weight is not None:
        weights = companion(here.weight, len(codes), "sample_weight").iloc[at].to_numpy(dtype=float)
    groups = None
    if here.group is not None:
        groups = companion(here.group, len(codes), "groups").iloc[at].reset_index(drop=True)
    elif schema.group is not None:
        groups = here.frame(schema).iloc[at, schema.group].reset_index(drop=True)
    found = places[codes[at]] if len(places) else np.empty(0, dtype=np.int32)
    here.reference = ReferenceRows(recipe.scaled(raw), raw, found, at, weights, groups)
    return here.reference


def nearest_here(
    of: ReferenceRows, queries: Queries, *, order: int, recipe: Recipe, each: Each | None = None
) -> NearestOfAll:
    """Find the nearest rows of one partition for each query."""
    first = int(queries.starts[order])
    own = _places(of.numbers, queries.numbers - first)
    _check_unchanged(of, queries, own, first, int(queries.starts[order + 1]))
    n, m = len(queries.query_rows), recipe.n_neighbors_all
    found = NearestOfAll(
        queries.query_rows,
        np.full((n, m), np.inf),
        np.full((n, m), -1, dtype=np.int32),
        np.full((n, m), -1, dtype=np.int64),
        np.zeros((n, recipe.values, of.raw.shape[1] + (of.weights is not None))),
        queries.rank,
        np.zeros((n, m)) if len(queries.starts) > 2 else None,  # one partition: nothing to merge
    )

    def fill(rows: np.ndarray, asking: np.ndarray) -> None:
        index = of.index(rows, len(asking), recipe)
        place = _places(rows, own[asking])
        # One thread more where there is enough to do; in a few columns a tree is too quick.
        width = of.matrix.shape[1]
        cells = len(asking) * len(rows) * width
        worth = cells > _WORTH_THREADS and (index.engine == "brute" or width > _FEW_COLUMNS)
        step = 1 << 8 if each is not None and worth else 1 << 12

        def ask(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            some = np.arange(start, min(len(asking), start + step))
            distances = np.full((len(some), m), np.inf)
            ids = np.zeros((len(some), m), dtype=np.int64)
            inside = place[some] >= 0
            k_in, k_out = min(m, len(rows) - 1), min(m, len(rows))
            if inside.any() and k_in:
                got = index.query(place[some[inside]], k_in)
                distances[inside, :k_in], ids[inside, :k_in] = got
            if not inside.all():
                got = index.query_points(queries.points[asking[some[~inside]]], k_out)
                distances[~inside, :k_out], ids[~inside, :k_out] = got
            return some, distances, ids

        for some, distances, ids in (each or map)(ask, range(0, len(asking), step)):
            to, at = asking[some], rows[ids]
            there = np.isfinite(distances)
            found.distances[to] = distances
            if found.finer is not None:
                found.finer[to] = _finer(of.matrix, queries.points[to], at, distances)
            found.classes[to] = np.where(there, of.ranks[at], -1)
            found.numbers[to] = np.where(there, of.numbers[at] + first, -1)
            if recipe.values:
                near = at[:, : recipe.values]
                found.values[to, :, : of.raw.shape[1]] = of.raw[near]
                if of.weights is not None:
                    found.values[to, :, -1] = of.weights[near]

    for rows, asking in _together(of.groups, queries.groups, len(of.ranks), n):
        if len(rows) and len(asking):
            fill(rows, asking)
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


def _places(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where the wanted numbers stand among ascending ones; -1 where they do not."""
    at = np.searchsorted(numbers, wanted)
    inside = at < len(numbers)
    inside[inside] = numbers[at[inside]] == wanted[inside]
    return np.where(inside, at, -1)


def _together(
    here: pd.Series | None, asking: pd.Series | None, n: int, q: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows and queries of each group; all of them where there are no groups."""
    if here is None or asking is None:
        yield np.arange(n), np.arange(q)
        return
    codes, _ = pd.factorize(pd.concat([here, asking], ignore_index=True), use_na_sentinel=False)
    mine, theirs = codes[:n], codes[n:]
    rows, queries = np.argsort(mine, kind="stable"), np.argsort(theirs, kind="stable")
    for code in np.intersect1d(mine, theirs):
        a, b = np.searchsorted(mine[rows], [code, code + 1])
        c, d = np.searchsorted(theirs[queries], [code, code + 1])
        yield rows[a:b], queries[c:d]


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
    distances = np.concatenate([p.distances for p in parts], axis=1)
    finer = None
    if all(p.finer is not None for p in parts):
        finer = np.concatenate([np.asarray(p.finer) for p in parts], axis=1)
    keys = (distances,) if finer is None else (finer, distances)
    order = np.lexsort(keys, axis=1)[:, :m]
    classes = np.concatenate([p.classes for p in parts], axis=1)
    numbers = np.concatenate([p.numbers for p in parts], axis=1)
    values = parts[0].values
    if v:
        # A part has values of its first v only, and no more of it can be among the first v.
        all_values = np.concatenate([p.values for p in parts], axis=1)
        place = (order[:, :v] // m) * v + order[:, :v] % m
        values = np.take_along_axis(all_values, place[:, :, None], axis=1)
    return replace(
        parts[0],
        distances=np.take_along_axis(distances, order, axis=1),
        classes=np.take_along_axis(classes, order, axis=1),
        numbers=np.take_along_axis(numbers, order, axis=1),
        values=values,
        finer=None if finer is None else np.take_along_axis(finer, order, axis=1),
    )


def join_batches(parts: Sequence[NearestOfAll]) -> NearestOfAll:
    """Join what batches of queries found, in order."""
    joined: dict[str, Any] = {}
    if len(parts) > 1:
        for name in ("query_rows", "distances", "classes", "numbers", "values"):
            joined[name] = np.concatenate([getattr(p, name) for p in parts])
    return replace(parts[0], finer=None, **joined)
