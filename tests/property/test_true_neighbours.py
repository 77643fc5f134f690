"""Truth: the engines find what looking at all pairs finds; new rows lie between neighbours."""

import contextlib
from functools import cache

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsmote import ADASYN, SMOTE, BorderlineSMOTE
from dsmote.neighbors import BruteSearch, DirectSearch, MixedSearch, TreeSearch
from tests.tables import dask_frame, lengths_of, naive_neighbours, set_constant

K = 5


@cache
def made_tables(n=150):
    """Make classes that are hard to search."""
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(n, 4))
    return {
        "plain": plain,
        "five copies of each row": np.repeat(plain[: n // 5], 5, axis=0)[rng.permutation(n)],
        "all rows equal": np.ones((n, 3)),
        "two values": rng.integers(0, 2, (n, 3)).astype(float),
        "a grid": np.stack(np.meshgrid(range(5), range(5), range(6)), -1).reshape(-1, 3) / 3.0,
        "far from the origin": 1e6 + 1e-2 * plain,
        "very far from the origin": 1e12 + plain,
        "tiny": 1e-10 * plain,
        "tiny and far": 1.0 + 1e-10 * plain,
        "huge": 1e200 * plain,
        "hardly above zero": 1e-200 * plain,
        "one column": plain[:, :1],
        "one column, far": 1e6 + 1e-2 * plain[:, :1],
        "columns of unlike scale": plain * [1e-8, 1.0, 1e8, 1e-3],
        "more columns than rows": rng.normal(size=(20, 40)),
        "a line": np.outer(rng.normal(size=n), [1.0, 2.0, 3.0]),
        "minus zero": np.where(plain > 0, 0.0, -0.0),
        "a constant column": np.column_stack([plain, np.full(n, 7.0)]),
    }


BEYOND = {"huge": 2.0**-600, "hardly above zero": 2.0**600}  # what all pairs would overflow at
NAMES = [name for name in made_tables() if name not in BEYOND]
HARD = ["plain", "five copies of each row", "a grid"]


class LeafByLeaf(TreeSearch):
    """A tree that moves its rows, as it does where they do not fit into the cache."""

    def __init__(self, matrix: np.ndarray, eps: float = 0.0) -> None:
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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_engines_find_the_true_neighbours(engine, name):
    matrix = made_tables()[name]
    ids = np.arange(len(matrix))
    for k in (K, 1, 30, 100) if name in HARD else (K,):
        found = engine(matrix).query(ids, k)
        assert_equal(found, naive_neighbours(matrix, k))
        assert (found[1] != ids[:, None])[:, : len(matrix) - 1].all()
    # All other rows can be the neighbours.
    assert_equal(engine(matrix[:12]).query(ids[:12], 11), naive_neighbours(matrix[:12], 11))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "scale"), BEYOND.items())
def test_engines_at_the_ends_of_the_range_of_floats(engine, name, scale):
    # Looking at all pairs would overflow; scaling by a power of two changes no order.
    matrix = made_tables()[name]
    _, expected = naive_neighbours(matrix * scale, K)
    distances, found = engine(matrix).query(np.arange(len(matrix)), K)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(distances).all()
    assert (distances > 0).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [*HARD, "tiny and far"])
def test_blocks_of_queries_change_nothing(engine, name, monkeypatch):
    matrix = made_tables()[name]
    index = engine(matrix)
    ids = np.arange(len(matrix))
    distances, found = index.query(ids, K)
    for some in (slice(0, 1), slice(1, 8), slice(8, 150), slice(None, None, -1)):
        assert_equal(index.query(ids[some], K), (distances[some], found[some]))
    for constant, value in (("_CELLS", 64), ("_PAIRS", 64), ("BLOCK", 7), ("TILE", 16)):
        set_constant(monkeypatch, "neighbors", constant, value)
    assert_equal(engine(matrix).query(ids, K), (distances, found))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", HARD)
def test_points_that_are_not_in_the_index(engine, name):
    matrix = made_tables()[name]
    points = np.concatenate([matrix[:10], matrix[:10] + 0.01])
    found = engine(matrix).query_points(points, K)
    squares = np.zeros((len(points), len(matrix)))
    for ours, theirs in zip(points.T, matrix.T, strict=True):
        squares += (ours[:, None] - theirs) ** 2
    order = np.argsort(squares, axis=1, kind="stable")[:, :K]
    assert_equal(found, (np.sqrt(np.take_along_axis(squares, order, 1)), order))


@contextlib.contextmanager
def small_tiles(tile=8, cap=4):
    """Make a few dozen rows take the way that thousands take."""
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in (("TILE", tile), ("BLOCK", 2 * tile), ("_CAP", cap)):
            set_constant(patch, "neighbors", constant, value)
        yield


KINDS = {
    "random": lambda rng, n, d: rng.normal(size=(n, d)),
    "clustered": lambda rng, n, d: (
        rng.normal(size=(5, d))[rng.integers(0, 5, n)] * 100 + rng.normal(size=(n, d))
    ),
    "clusters that are points to float32": lambda rng, n, d: (
        rng.normal(size=(3, d))[rng.integers(0, 3, n)] + 1e-8 * rng.normal(size=(n, d))
    ),
    "duplicated": lambda rng, n, d: rng.normal(size=(n, d))[rng.integers(0, n // 4 + 1, n)],
    "gridded": lambda rng, n, d: rng.integers(-2, 3, (n, d)).astype(float),
    "offset": lambda rng, n, d: 1e6 + 1e-2 * rng.normal(size=(n, d)),
    "tiny": lambda rng, n, d: 1e-10 * rng.normal(size=(n, d)),
    "one column": lambda rng, n, d: rng.normal(size=(n, 1)),
    "few directions": lambda rng, n, d: rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)),
    "heavy tails": lambda rng, n, d: rng.standard_cauchy((n, d)) ** 3,
}


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 400),
    d=st.integers(1, 9),
    k=st.integers(1, 7),
    size=st.sampled_from([8, 64, 512]),
)
def test_exact_engines_equal_a_naive_search(kind, seed, n, d, k, size):
    matrix = KINDS[kind](np.random.default_rng(seed), n, d)
    k = min(k, n - 1)
    expected = naive_neighbours(matrix, k)
    for engine in ENGINES:
        with small_tiles(size, 256):
            found = engine(matrix).query(np.arange(n), k)
        assert_equal(found, expected)


MATRICES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(4, 40), st.integers(1, 4)),
    elements=st.one_of(
        st.integers(-3, 3).map(float),
        st.floats(-1e6, 1e6, allow_nan=False, width=32),
        st.sampled_from([1e6 + 0.01, 1e6 + 0.02, 1e-10, 2e-10, -0.0]),
    ),
    fill=st.nothing(),
)


@given(data=st.data(), weight=st.sampled_from([None, 0.5, 1.0, 3.7e-4, 2e3, 1e-10, 1e6]))
def test_engines_agree_on_any_rows(data, weight):
    matrix = data.draw(MATRICES)
    more = ()
    if weight is not None:
        shape = (len(matrix), data.draw(st.integers(1, 3)))
        more = data.draw(arrays.arrays(np.int32, shape, elements=st.integers(0, 3))), weight
    expected = naive_neighbours(matrix, 3, *more)
    for engine in MIXED if more else ENGINES:
        with small_tiles():
            found = engine(matrix, *more).query(np.arange(len(matrix)), 3)
        assert_equal(found, expected)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(4, 150),
    q=st.integers(1, 60),
    levels=st.sampled_from([1, 2, 3, 10, 500]),
    skew=st.sampled_from([1, 4]),
)
def test_mixed_metric_with_many_categorical_features(seed, n, q, levels, skew):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 4, (n, 2)).astype(np.float64)
    codes = (levels * rng.random((n, q)) ** skew).astype(np.int32)
    matrix[::9], codes[::9] = matrix[0], codes[0]
    expected = naive_neighbours(matrix, 3, codes, 0.7)
    for engine in MIXED:
        assert_equal(engine(matrix, codes, 0.7).query(np.arange(n), 3), expected)


@pytest.mark.parametrize("levels", [1, 2, 5, 40, 10_000])
@pytest.mark.parametrize("spread", [1e-10, 0.05, 1.0, 50.0])
def test_mixed_metric_with_few_and_many_levels(levels, spread):
    rng = np.random.default_rng(levels)
    n = 600
    matrix = 3.0 + spread * rng.normal(size=(n, 3))
    matrix[::7] = matrix[0]
    codes = rng.integers(0, levels, size=(n, 4)).astype(np.int32)
    codes[::14] = codes[0]
    distances, expected = naive_neighbours(matrix, K, codes, 0.9)
    some = slice(100, 103)
    for engine in MIXED:
        index = engine(matrix, codes, 0.9)
        assert_equal(index.query(np.arange(n), K), (distances, expected))
        assert_equal(index.query(np.arange(n)[some], K), (distances[some], expected[some]))


@pytest.mark.parametrize("engine", MIXED)
@pytest.mark.parametrize("scale", [2.0**-600, 1.0, 2.0**600])
def test_mixed_metric_at_any_scale(engine, scale):
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(200, 3))
    codes = rng.integers(0, 4, size=(200, 2)).astype(np.int32)
    _, expected = naive_neighbours(matrix, K, codes, 0.75)
    distances, found = engine(matrix * scale, codes, 0.75 * scale).query(np.arange(200), K)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(distances).all()


@pytest.mark.parametrize("engine", MIXED)
@pytest.mark.parametrize("levels", [1, 3, 50])
@pytest.mark.parametrize("n", [80, 3000])
def test_points_with_categories_that_are_not_in_the_index(engine, levels, n):
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(n, 2))
    codes = rng.integers(0, levels, size=(n, 2)).astype(np.int32)
    points = np.column_stack([rng.normal(size=(40, 2)), rng.integers(-1, 3, size=(40, 2))])
    distances, found = engine(matrix, codes, 1.5).query_points(points, K)
    squares = ((points[:, None, :2] - matrix) ** 2).sum(axis=2)
    squares = squares + 1.5**2 * (points[:, None, 2:] != codes).sum(axis=2)
    order = np.argsort(squares, axis=1, kind="stable")[:, :K]
    np.testing.assert_array_equal(found, order)
    np.testing.assert_allclose(distances, np.sqrt(np.take_along_axis(squares, order, 1)))


@pytest.mark.parametrize("name", NAMES)
def test_new_rows_lie_between_a_row_and_one_of_its_true_neighbours(name):
    matrix = made_tables()[name]
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


def nearest_of_all(points, groups, numbers, m):
    """Look at every pair of rows of one group; -1 where there are fewer than m others."""
    squares = ((points[numbers][:, None] - points) ** 2).sum(axis=2)
    squares[groups[numbers][:, None] != groups] = np.inf
    squares[np.arange(len(numbers)), numbers] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")[:, :m]
    return np.where(np.isinf(np.take_along_axis(squares, order, 1)), -1, order)


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
    points = np.where(complete[:, None], points, np.inf)
    few = np.flatnonzero((y == 1) & complete)
    with np.errstate(invalid="ignore"):
        near = nearest_of_all(np.where(complete[:, None], points, 1e9), groups, few, m)
    near[~complete[near]] = -1
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
