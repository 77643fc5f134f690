"""Truth: the engines find what looking at all pairs finds; new rows lie between neighbours."""

import contextlib

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import ADASYN, SMOTE, BorderlineSMOTE
from dsmote.neighbors import BruteSearch, DirectSearch, MixedSearch, TreeSearch
from tests.tables import dask_frame, lengths_of, naive_neighbours, set_constant

K = 5
KINDS = {
    "plain": lambda rng, n, d: rng.normal(size=(n, d)),
    "clustered": lambda rng, n, d: (
        rng.normal(size=(5, d))[rng.integers(0, 5, n)] * 100 + rng.normal(size=(n, d))
    ),
    "clusters that are points to float32": lambda rng, n, d: (
        rng.normal(size=(3, d))[rng.integers(0, 3, n)] + 1e-8 * rng.normal(size=(n, d))
    ),
    "duplicated": lambda rng, n, d: rng.normal(size=(n, d))[rng.integers(0, n // 4 + 1, n)],
    "all rows equal": lambda rng, n, d: np.ones((n, d)),
    "two values": lambda rng, n, d: rng.integers(0, 2, (n, d)).astype(float),
    "a grid": lambda rng, n, d: rng.integers(-2, 3, (n, d)) / 3.0,
    "far from the origin": lambda rng, n, d: 1e6 + 1e-2 * rng.normal(size=(n, d)),
    "very far from the origin": lambda rng, n, d: 1e12 + rng.normal(size=(n, d)),
    "tiny": lambda rng, n, d: 1e-10 * rng.normal(size=(n, d)),
    "tiny and far": lambda rng, n, d: 1.0 + 1e-10 * rng.normal(size=(n, d)),
    "huge": lambda rng, n, d: 1e200 * rng.normal(size=(n, d)),
    "hardly above zero": lambda rng, n, d: 1e-200 * rng.normal(size=(n, d)),
    "one column": lambda rng, n, d: rng.normal(size=(n, 1)),
    "one column, far": lambda rng, n, d: 1e6 + 1e-2 * rng.normal(size=(n, 1)),
    "columns of unlike scale": lambda rng, n, d: rng.normal(size=(n, 4)) * [1e-8, 1.0, 1e8, 1e-3],
    "more columns than rows": lambda rng, n, d: rng.normal(size=(min(n, 20), 40)),
    "few directions": lambda rng, n, d: rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)),
    "a line": lambda rng, n, d: np.outer(rng.normal(size=n), np.arange(1.0, d + 1)),
    "minus zero": lambda rng, n, d: np.where(rng.random((n, d)) < 0.5, 0.0, -0.0),
    "a constant column": lambda rng, n, d: np.c_[rng.normal(size=(n, d)), np.full(n, 7.0)],
    "heavy tails": lambda rng, n, d: rng.standard_cauchy((n, d)) ** 3,
    "any": lambda rng, n, d: rng.choice([1e6 + 0.01, 1e6 + 0.02, 1e-10, 2e-10, -0.0, 3], (n, d)),
}
#: What all pairs would overflow at; scaling by a power of two changes no order.
BEYOND = {"huge": 2.0**-600, "hardly above zero": 2.0**600}


class LeafByLeaf(TreeSearch):
    """A tree that moves its rows, as it does where they do not fit into the cache."""

    def __init__(self, matrix, eps=0.0):
        with pytest.MonkeyPatch.context() as patch:
            set_constant(patch, "neighbors.tree", "_CACHED", 0)
            set_constant(patch, "neighbors.tree", "_NARROW", 0)
            super().__init__(matrix, eps)


ENGINES = [TreeSearch, LeafByLeaf, BruteSearch, DirectSearch]
MIXED = [MixedSearch, BruteSearch, DirectSearch]


def assert_equal(found, expected):
    """Compare distances and rows."""
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


@contextlib.contextmanager
def small_tiles(tile):
    """Make a few dozen rows take the way that thousands take."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"TILE": tile, "BLOCK": 2 * tile, "_CAP": 4 if tile < 64 else 256}
        sizes |= {"_CELLS": 64, "_PAIRS": 64} if tile < 64 else {}
        for constant, value in sizes.items():
            set_constant(patch, "neighbors", constant, value)
        yield


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 300),
    d=st.integers(1, 9),
    k=st.sampled_from([1, 2, 3, K, 7, 30, 100]),
    tile=st.sampled_from([None, 8, 64, 512]),
    categories=st.none()
    | st.tuples(
        st.sampled_from([1, 2, 3, 5, 40, 10_000]),
        st.sampled_from([1, 2, 4, 30]),
        st.sampled_from([0.7, 3.7e-4, 2e3, 1e-10, 1e6]),
    ),
)
@settings(max_examples=2)
def test_engines_find_what_looking_at_all_pairs_finds(kind, seed, n, d, k, tile, categories):
    rng = np.random.default_rng(seed)
    matrix, unit = KINDS[kind](rng, n, d), BEYOND.get(kind, 1.0)
    n, k = len(matrix), min(k, len(matrix) - 1)
    engines, more, ours = ENGINES, (), ()
    if categories is not None:
        levels, q, weight = categories
        codes = (levels * rng.random((n, q)) ** rng.choice([1, 4])).astype(np.int32)
        matrix[:: rng.integers(3, 9)], codes[::7] = matrix[0], codes[0]
        engines, ours, more = MIXED, (codes, weight), (codes, weight / unit)
    expected = naive_neighbours(matrix * unit, k, *ours)
    points = matrix[:10] + rng.choice([0.0, 0.01], 10)[: len(matrix), None]
    if categories is not None:
        points = np.c_[points, rng.integers(-1, 3, (len(points), q))]
    some = rng.permutation(n)[: rng.integers(1, n)]
    for engine in engines:
        with small_tiles(tile) if tile else contextlib.nullcontext():
            index = engine(matrix, *more)
            found = index.query(np.arange(n), k)
            assert_equal(index.query(some, k), (found[0][some], found[1][some]))
            if kind in BEYOND:
                np.testing.assert_array_equal(found[1], expected[1])
                assert np.isfinite(found[0]).all()
            else:
                assert_equal(found, expected)
                near = naive_neighbours(matrix, k, *ours, points=points)
                assert_equal(index.query_points(points, k), near)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in BEYOND])
def test_new_rows_lie_between_a_row_and_one_of_its_true_neighbours(kind):
    matrix = KINDS[kind](np.random.default_rng(0), 150, 4)
    majority = np.concatenate([matrix] * 3) + 1.0
    X = np.concatenate([majority, matrix])
    y = np.repeat([0, 1], [len(majority), len(matrix)])
    X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
    made = X_res[len(X) :]
    assert (y_res[len(X) :] == 1).all()
    assert len(made) == 2 * len(matrix)
    _, near = naive_neighbours(matrix, K)
    starts = np.repeat(matrix, K, axis=0)
    steps = matrix[near].reshape(-1, matrix.shape[1]) - starts
    size = np.abs(matrix).max()
    rounding = 4 * np.spacing(size)
    for row in made:
        # For every (base, neighbour): the share of the step that fits best, and what it misses.
        length = (steps**2).sum(axis=1)
        share = ((row - starts) * steps).sum(axis=1) / np.where(length > 0, length, 1.0)
        missed = np.abs(row - (starts + np.clip(share, 0.0, 1.0)[:, None] * steps)).max(axis=1)
        assert missed.min() <= rounding + 1e-13 * np.abs(steps).max()


# ---- the nearest of all rows, which partitions are asked for


@given(
    kind=st.sampled_from(["grid", "floats", "duplicates"]),
    seed=st.integers(0, 999),
    cuts=st.lists(st.integers(0, 80), max_size=7),
    batch=st.integers(1, 40),
    m=st.integers(2, 8),
    grouped=st.booleans(),
    scaled=st.booleans(),
    missing=st.booleans(),
)
@settings(max_examples=12)
def test_the_nearest_of_all_rows_as_by_looking_at_all_pairs(
    kind, seed, cuts, batch, m, grouped, scaled, missing
):
    rng = np.random.default_rng(seed)
    n = 80
    X = rng.normal(size=(n, 2))
    X = rng.integers(0, 4, (n, 2)) * 1.0 if kind == "grid" else X
    X = X[rng.integers(0, n // 4, n)] if kind == "duplicates" else X
    y = np.where(rng.permutation(n) < 30, 1, 0)
    groups = rng.integers(0, 2, n) if grouped else np.zeros(n, dtype=int)
    table = pd.DataFrame(X, columns=["a", "b"]).mask(missing & (rng.random((n, 2)) < 0.03))
    complete = table.notna().all(axis=1).to_numpy()
    points = table.to_numpy()
    scaled = scaled and kind != "grid"  # rounding breaks its ties, in one way or another
    if scaled:
        points = (points - np.nanmean(points, axis=0)) / np.nanstd(points, axis=0)
    few = np.flatnonzero((y == 1) & complete)
    points = np.where(complete[:, None], points, 1e9)
    distances, near = (of[few] for of in naive_neighbours(points, m, groups[:, None], 1e9))
    near[distances > 1e6] = -1  # rows of other groups, and incomplete ones
    others = ((near >= 0) & (y[near] == 0)).sum(axis=1)
    how = {"random_state": 0, "missing": "skip", "provenance": "full", "on_small_group": "copy"}
    how |= {"scale": "standard" if scaled else None, "sampling_strategy": {1: 3_000}}
    borderline = BorderlineSMOTE(
        kind="borderline-2", k_neighbors=m, m_neighbors=m, on_empty="smote", **how
    )
    adasyn = ADASYN(n_neighbors=m, **how)
    lengths = lengths_of(n, cuts)
    given_ = [dask_frame(part, lengths) for part in (table, pd.Series(y), pd.Series(groups))]
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="synchronous"):
        set_constant(patch, "execute", "BATCH", batch)
        made = []
        for sampler in (borderline, adasyn):
            X_res, _, _ = sampler.fit_resample(*given_[:2], groups=given_[2])
            made.append(X_res.compute()[n:])
    danger = few[(others >= m / 2) & (others < m)]
    base = made[0]["base_row"].to_numpy(dtype=int)
    assert set(base) == set(danger if len(danger) else few)
    if len(danger) and not grouped:
        for row in danger:
            found = set(made[0].loc[base == row, "neighbour_row"])
            assert found == set(near[few == row][0])
    copies = made[1]["base_row"].value_counts().reindex(few, fill_value=0).to_numpy()
    assert (np.abs(copies - 2_970 * others / others.sum()) < 1.001).all()


@pytest.mark.parametrize("size", [1e-200, 1e-70, 1e70, 1e150])
def test_the_nearest_of_all_rows_in_tables_of_unusual_size(size):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(80, 2)).round(2), columns=["a", "b"])
    table["y"] = np.where(rng.permutation(80) < 30, 1, 0)
    how = BorderlineSMOTE(kind="borderline-2", random_state=0, provenance="full")
    parents = []
    for scale in (1.0, size):
        frame = dask_frame(table.assign(a=table["a"] * scale, b=table["b"] * scale), [30, 50])
        found = how.resample(frame, target="y").compute(scheduler="synchronous")
        parents.append(found[["base_row", "neighbour_row", "gap"]])
    pd.testing.assert_frame_equal(*parents)
