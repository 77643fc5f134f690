"""Engines as users give them and as they are chosen; what is approximate; groups and components."""

import pickle
import re
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from dsmote import SMOTE, SMOTENC
from dsmote.neighbors import (
    BruteIndex,
    BruteSearch,
    CappedIndex,
    DirectSearch,
    Engine,
    FaissIndex,
    GroupedSearch,
    NeighborIndex,
    SklearnIndex,
    TreeIndex,
    TreeSearch,
    choose_engine,
    engines,
    exact,
    leading_axes,
    measure_recall,
    project,
)
from dsmote.plan.memory import Needs, class_memory
from tests.tables import naive_neighbours, peak_of

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(400, 3))
CODES = RNG.integers(0, 3, size=(400, 2)).astype(np.int32)
ALL = np.arange(400)
GIVEN = [
    TreeIndex(),
    TreeIndex(eps=0.5),
    BruteIndex(),
    CappedIndex(50),
    CappedIndex(50, BruteIndex()),
    SklearnIndex(NearestNeighbors(algorithm="brute")),
]


@pytest.mark.parametrize("categories", [False, True])
@pytest.mark.parametrize("engine", GIVEN, ids=lambda e: e.name)
def test_what_every_engine_offers(engine, categories):
    if categories and getattr(engine, "eps", 0):
        with pytest.raises(ValueError, match="takes numeric features only"):
            engine.build(ROWS, CODES, 0.7)
        return
    more = (CODES, 0.7) if categories else ()
    assert isinstance(engine, Engine)
    assert pickle.loads(pickle.dumps(engine)).name == engine.name
    index = pickle.loads(pickle.dumps(engine.build(ROWS, *more, seed=3)))
    assert isinstance(index, NeighborIndex)
    assert index.n_rows == 400
    distances, found = index.query(ALL, 4)
    assert distances.shape == found.shape == (400, 4)
    assert found.dtype == np.int64
    assert (np.diff(distances, axis=1) >= 0).all()
    assert not (found == ALL[:, None]).any()
    assert all(len(set(row)) == 4 for row in found)
    squares = ((ROWS[found] - ROWS[:, None]) ** 2).sum(axis=2)
    squares += categories * 0.49 * (CODES[found] != CODES[:, None]).sum(axis=2)
    np.testing.assert_allclose(distances, np.sqrt(squares), rtol=1e-6)
    assert index.query(np.array([], dtype=np.int64), 4)[1].shape == (0, 4)
    if not categories:
        twins = engine.build(np.repeat(ROWS[:20], 6, axis=0)).query(np.arange(120), 4)[1]
        assert not (twins == np.arange(120)[:, None]).any()
    true = naive_neighbours(ROWS, 4, *more)
    if engine.exact:
        np.testing.assert_array_equal(found, true[1])
        np.testing.assert_array_equal(distances, true[0])
    elif isinstance(engine, SklearnIndex):
        np.testing.assert_allclose(distances, true[0], rtol=1e-6)
    elif getattr(engine, "eps", 0):
        assert (distances <= (1 + engine.eps) * true[0]).all()


def test_a_capped_index_is_a_seeded_sample():
    found = CappedIndex(50).build(ROWS, seed=1).query(ALL, 4)[1]
    assert len(np.unique(found)) == 50
    again = CappedIndex(50).build(ROWS, seed=1).query(ALL[::-1], 4)[1]
    np.testing.assert_array_equal(again[::-1], found)
    assert (CappedIndex(50).build(ROWS, seed=2).query(ALL, 4)[1] != found).any()
    whole = CappedIndex(400).build(ROWS, seed=1)
    assert whole.exact and whole.engine == "tree"
    index = CappedIndex(4).build(ROWS)
    assert index.query(np.arange(5), 3)[1].shape == (5, 3)
    with pytest.raises(ValueError, match="max_rows of at least 5"):
        index.query(np.arange(5), 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TreeIndex(eps=-1), "eps must be 0 or a positive number, but is -1"),
        (lambda: TreeIndex(eps=np.inf), "eps must be 0"),
        (lambda: CappedIndex(1), "max_rows must be at least 2, but is 1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Wrong:
    def __init__(self, answer=None):
        self.answer = answer

    def fit(self, rows):
        return self

    def get_params(self, deep=True):
        return {"answer": self.answer}

    def kneighbors(self, points, n_neighbors):
        return np.zeros(self.answer.shape), self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (np.zeros((2, 3)), "of shape"),
        (np.zeros((3, 4)), "of shape"),
        (np.full((2, 4), -1), "returned -1 to -1"),
        (np.full((2, 4), len(ROWS)), "returned 400 to 400"),
        (np.full((2, 4), np.nan), "row numbers 0 to 399"),
    ],
)
def test_what_an_estimator_answers_is_checked(answer, said):
    index = SklearnIndex(Wrong(answer)).build(ROWS)
    with pytest.raises(ValueError, match=said):
        index.query(np.array([3, 7]), 3)


# ---- recall


def test_recall_is_one_for_exact_searches_and_less_for_a_sample():
    found = measure_recall(TreeIndex().build(ROWS), ROWS, 4, seed=0)
    assert found == {"recall": 1.0, "distance_ratio": 1.0, "sampled": 400, "k": 4}
    mixed = BruteIndex().build(ROWS, CODES, 0.7)
    assert measure_recall(mixed, ROWS, 4, seed=0, codes=CODES, weight=0.7)["recall"] == 1.0
    index = CappedIndex(50).build(ROWS)
    capped = measure_recall(index, ROWS, 4, seed=0)
    assert 0.0 < capped["recall"] < 0.6
    assert capped["distance_ratio"] > 1.2
    for unit in (2.0**-1000, 2.0**600):
        assert measure_recall(index, ROWS * unit, 4, seed=0) == capped
    # Those that are as near as the true ones count as found.
    grid = np.repeat(np.arange(10.0), 20)[:, None]
    assert measure_recall(CappedIndex(100).build(grid), grid, 3, seed=0)["recall"] == 1.0


# ---- the choice


def test_trees_for_few_directions_and_brute_force_for_many_or_few_rows(rng):
    low, high = rng.normal(size=(512, 4)) @ rng.normal(size=(4, 30)), rng.normal(size=(512, 30))
    chosen = choose_engine(50_000, high)
    assert (choose_engine(50_000, low).name, chosen.name) == ("tree", "brute")
    assert re.search(r"30 numeric .* about 2\d directions, and above 8 comparing", chosen.why)
    assert isinstance(choose_engine(50_000, low).engine.build(low), TreeSearch)
    assert isinstance(chosen.engine.build(low), DirectSearch)
    assert isinstance(chosen.engine.build(np.zeros((1 << 16, 17))), BruteSearch)
    assert choose_engine(500, low) == choose_engine(500, high)
    assert "all of 500 rows" in choose_engine(500, low).why
    assert choose_engine(500, low, fast=True).name == "tree (eps=0.5)"
    assert choose_engine(600, low).name == "tree"


# ---- groups


@given(
    n=st.integers(0, 40),
    of=st.integers(1, 5),
    k=st.integers(1, 4),
    ties=st.booleans(),
    seed=st.integers(0, 999),
)
def test_neighbours_in_groups_are_those_as_if_the_group_were_alone(n, of, k, ties, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 3, (n, 2)) * 1.0 if ties else rng.normal(size=(n, 2))
    groups = rng.integers(-1, of, n)
    index = GroupedSearch(groups, k + 1, lambda ids: BruteSearch(rows[ids]))
    asked = rng.integers(0, n, 10) if n else np.empty(0, dtype=np.int64)
    distances, found = index.query(asked, k)
    assert distances.shape == found.shape == (len(asked), k)
    sizes = np.array([(groups == g).sum() for g in groups])
    np.testing.assert_array_equal(index.lone, (sizes <= k) | (groups < 0))
    for row, lengths, near in zip(asked, distances, found, strict=True):
        if index.lone[row]:
            assert near.tolist() == [row] * k
            assert not lengths.any()
            continue
        members = np.flatnonzero(groups == groups[row])
        expected = naive_neighbours(rows[members], k)
        at = np.searchsorted(members, row)
        np.testing.assert_array_equal(near, members[expected[1][at]])
        np.testing.assert_allclose(lengths, expected[0][at])


# ---- principal components


@pytest.mark.parametrize(("n", "d"), [(60, 8), (60, 60), (59, 60), (8, 60)])
def test_axes_are_those_of_a_singular_value_decomposition(n, d, rng):
    rows = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + 0.01 * rng.normal(size=(n, d))
    centre, axes = leading_axes(lambda: [rows], d)
    assert axes.shape == (d, min(n, d))
    np.testing.assert_allclose(axes.T @ axes, np.eye(min(n, d)), atol=1e-12)
    spread = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    found = np.sqrt(((rows - centre) @ axes).var(axis=0) * n)
    np.testing.assert_allclose(found, spread, atol=1e-6)
    assert leading_axes(lambda: [rows], 0.99)[1].shape == (d, 3)
    assert leading_axes(lambda: [1e-310 * rows], 2)[1].shape == (d, 2)
    for one, other in zip(
        leading_axes(lambda: [rows[:5], rows[5:]], 2),
        leading_axes(lambda: [rows], 2),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize(("n", "d", "p"), [(1, 3, 1), (7, 5, 2), (400, 30, 20), (9, 1, 1)])
def test_rows_are_projected_alike_whatever_rows_come_with_them(n, d, p, rng):
    rows = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-9, 9, size=d)
    centre, axes = rng.normal(size=d), np.linalg.qr(rng.normal(size=(d, p)))[0]
    whole = project(rows, centre, axes)
    np.testing.assert_allclose(whole, (rows - centre) @ axes, rtol=1e-9, atol=1e-3)
    for some in (slice(0, 1), slice(n // 2, n), slice(0, n, 3)):
        np.testing.assert_array_equal(project(rows[some], centre, axes), whole[some])


@pytest.mark.parametrize("search", [lambda rows: leading_axes(lambda: [rows], 20), TreeSearch])
def test_axes_of_wide_rows_take_no_square_of_their_columns(search, rng):
    rows = rng.normal(size=(93, 4_000))
    projected = class_memory(1, *rows.shape, 0, 0, 93, 8, Needs(5, copied=1)).build
    assert peak_of(lambda: search(rows)) <= projected < 8 * 4_000**2


# ---- Faiss


needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="Faiss is not installed")
MANY = np.random.default_rng(0).normal(size=(5000, 8)) * [1, 1, 1, 1, 1, 1, 1, 5] + 1e4
IDS = np.arange(5000)


@needs_faiss
def test_faiss_most_true_neighbours_are_found_however_they_are_asked_for(monkeypatch):
    index = FaissIndex().build(MANY, seed=3)
    assert measure_recall(index, MANY, 5, seed=0)["recall"] >= 0.8
    distances, found = index.query(IDS, 5)
    assert (found != IDS[:, None]).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    true = np.sqrt(((MANY[found] - MANY[:, None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(distances, true, rtol=1e-12)
    for other in (FaissIndex().build(MANY, seed=3), pickle.loads(pickle.dumps(index))):
        np.testing.assert_array_equal(other.query(IDS[:900], 5)[1], found[:900])
    monkeypatch.setattr(exact, "_CELLS", 1000)
    np.testing.assert_array_equal(index.query(IDS[899::-1], 5)[1], found[899::-1])
    distances, found = index.query_points(MANY[:50] + 1e-6, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(50))
    assert (distances < 1e-5).all()


@needs_faiss
@pytest.mark.parametrize("n", [12, 2500])
def test_faiss_equal_rows(n, rng):
    rows = np.repeat(rng.normal(size=(n, 3)), 5, axis=0)
    ids = np.arange(len(rows))
    distances, found = FaissIndex().build(rows).query(ids, 4)
    assert (distances == 0).all()
    assert (found // 5 == (ids // 5)[:, None]).all()
    assert (found != ids[:, None]).all()
    same = FaissIndex().build(np.ones((30, 2))).query(np.arange(30), 29)[1]
    assert (np.sort(same, axis=1) == [[j for j in range(30) if j != i] for i in range(30)]).all()


@needs_faiss
def test_a_sampler_takes_faiss_and_reports_recall():
    X = np.concatenate([MANY, MANY[:3000] + 3.0])
    y = np.repeat([0, 1], [5000, 3000])
    sampler = SMOTE(random_state=0, neighbors=FaissIndex())
    assert len(sampler.fit_resample(X, y)[0]) == 10_000
    report = sampler.neighbors_report_[1]
    assert report["engine"] == "faiss (ivf)" and not report["exact"]
    assert 0.5 < report["recall"] <= 1.0
    with pytest.raises(ValueError, match="takes numeric features only"):
        SMOTENC(categorical_features=[0], neighbors=FaissIndex()).fit_resample(X, y)


@needs_faiss
def test_faiss_parameters_and_a_missing_extra_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="n_probe must be at least 1, but is 0"):
        FaissIndex(n_probe=0)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"dsmote\[faiss\]"):
        FaissIndex()
