"""Engines as users give them: parameters, names, what is approximate about them."""

import pickle
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from dsmote import SMOTE, SMOTENC
from dsmote.neighbors import (
    BruteIndex,
    BruteSearch,
    CappedIndex,
    Engine,
    FaissIndex,
    NeighborIndex,
    SklearnIndex,
    TreeIndex,
    TreeSearch,
    engines,
    leading_axes,
)
from dsmote.neighbors.choose import measure_recall
from tests.tables import naive_neighbours

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(400, 3))
CODES = RNG.integers(0, 3, size=(400, 2)).astype(np.int32)
ALL = np.arange(400)
ENGINES = [
    TreeIndex(),
    TreeIndex(eps=0.5),
    BruteIndex(),
    CappedIndex(50),
    CappedIndex(50, BruteIndex()),
    SklearnIndex(NearestNeighbors()),
]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
def test_engines_have_a_name_and_build(engine):
    assert isinstance(engine, Engine)
    assert pickle.loads(pickle.dumps(engine)).name == engine.name
    index = pickle.loads(pickle.dumps(engine.build(ROWS, seed=3)))
    distances, found = index.query(ALL, 4)
    assert distances.shape == found.shape == (400, 4)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert not (found == ALL[:, None]).any()
    assert all(len(set(row)) == 4 for row in found)
    np.testing.assert_allclose(
        distances, np.sqrt(((ROWS[found] - ROWS[:, None]) ** 2).sum(axis=2)), rtol=1e-9
    )
    assert index.query(np.array([], dtype=np.int64), 4)[1].shape == (0, 4)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
def test_what_says_exact_is_exact(engine):
    found = engine.build(ROWS).query(ALL, 4)
    if engine.exact:
        expected = naive_neighbours(ROWS, 4)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[0], expected[0])


def test_eps_bounds_what_is_lost():
    true = BruteSearch(ROWS).query(ALL, 4)[0]
    found = TreeIndex(eps=2.0).build(ROWS).query(ALL, 4)[0]
    assert (found >= true).all() and (found <= 3.0 * true).all()
    assert (found > true).any()


def test_a_capped_index_is_a_seeded_sample():
    found = CappedIndex(50).build(ROWS, seed=1).query(ALL, 4)[1]
    assert len(np.unique(found)) == 50
    again = CappedIndex(50).build(ROWS, seed=1).query(ALL[::-1], 4)[1]
    np.testing.assert_array_equal(again[::-1], found)
    assert (CappedIndex(50).build(ROWS, seed=2).query(ALL, 4)[1] != found).any()
    whole = CappedIndex(400).build(ROWS, seed=1)
    assert whole.exact and whole.engine == "tree"


def test_a_capped_index_takes_categories_too():
    sample = CappedIndex(50).build_mixed(ROWS, CODES, 0.7, seed=1)
    distances, found = sample.query(ALL, 4)
    differing = (CODES[found] != CODES[:, None]).sum(axis=2)
    squares = ((ROWS[found] - ROWS[:, None]) ** 2).sum(axis=2) + 0.49 * differing
    np.testing.assert_allclose(distances, np.sqrt(squares), rtol=1e-9)


def test_an_estimator_takes_categories_too():
    index = SklearnIndex(NearestNeighbors(algorithm="brute")).build_mixed(ROWS, CODES, 0.7)
    found = index.query(ALL, 4)
    np.testing.assert_allclose(found[0], BruteSearch(ROWS, CODES, 0.7).query(ALL, 4)[0], rtol=1e-6)


def test_duplicates_do_not_make_a_row_its_own_neighbour():
    rows = np.repeat(ROWS[:20], 6, axis=0)
    found = SklearnIndex(NearestNeighbors()).build(rows).query(np.arange(120), 4)[1]
    assert not (found == np.arange(120)[:, None]).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TreeIndex(eps=-1), "eps must be 0 or a positive number, but is -1"),
        (lambda: TreeIndex(eps=np.inf), "eps must be 0"),
        (lambda: CappedIndex(1), "max_rows must be at least 2, but is 1"),
        (lambda: TreeIndex(eps=1).build_mixed(ROWS, CODES, 1.0), "takes numeric features only"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_recall_is_one_for_exact_searches_and_less_for_a_sample():
    exact = measure_recall(TreeIndex().build(ROWS), ROWS, 4, seed=0)
    assert exact == {"recall": 1.0, "distance_ratio": 1.0, "sampled": 400, "k": 4}
    capped = measure_recall(CappedIndex(50).build(ROWS), ROWS, 4, seed=0, n_sample=100)
    assert capped["sampled"] == 100
    assert 0.0 < capped["recall"] < 0.6
    assert capped["distance_ratio"] > 1.2


def test_recall_counts_ties_as_found():
    grid = np.repeat(np.arange(10.0), 20)[:, None]
    capped = CappedIndex(100).build(grid, seed=0)
    assert measure_recall(capped, grid, 3, seed=0)["recall"] == 1.0


def test_recall_of_mixed_rows():
    index = BruteIndex().build_mixed(ROWS, CODES, 0.7)
    assert measure_recall(index, ROWS, 4, seed=0, codes=CODES, weight=0.7)["recall"] == 1.0


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**600])
def test_recall_does_not_depend_on_the_unit(unit):
    capped = CappedIndex(50).build(ROWS)
    assert measure_recall(capped, ROWS * unit, 4, seed=0) == measure_recall(capped, ROWS, 4, seed=0)


def test_a_sample_that_cannot_hold_the_neighbours_is_refused():
    index = CappedIndex(4).build(ROWS)
    assert index.query(np.arange(5), 3)[1].shape == (5, 3)
    with pytest.raises(ValueError, match="max_rows of at least 5"):
        index.query(np.arange(5), 4)


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


def test_axes_of_the_least_numbers():
    rows = np.random.default_rng(3).normal(size=(40, 3)) * 1e-310
    assert leading_axes(rows, 2)[1].shape == (3, 2)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (60, 60), (59, 60), (8, 60)])
def test_axes_are_those_of_a_singular_value_decomposition(n, d):
    rows = np.random.default_rng(4).normal(size=(n, 3)) @ np.random.default_rng(5).normal(
        size=(3, d)
    ) + 0.01 * np.random.default_rng(6).normal(size=(n, d))
    centre, axes = leading_axes(rows, d)
    assert axes.shape == (d, min(n, d))
    np.testing.assert_allclose(axes.T @ axes, np.eye(min(n, d)), atol=1e-12)
    spread = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    found = np.sqrt(((rows - centre) @ axes).var(axis=0) * n)
    np.testing.assert_allclose(found, spread, atol=1e-6)
    assert leading_axes(rows, 0.99)[1].shape == (d, 3)


@pytest.mark.parametrize("how", ["components", "tree"])
def test_axes_of_wide_rows_take_no_square_of_their_columns(how):
    import tracemalloc

    rows = np.random.default_rng(7).normal(size=(93, 4_000))
    tracemalloc.start()
    search = leading_axes if how == "components" else lambda rows, _: TreeSearch(rows)
    search(rows, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    from dsmote.plan.memory import Needs, class_memory

    projected = class_memory(1, *rows.shape, 0, 0, 93, 8, Needs(5, copied=1)).build
    assert peak <= projected < 8 * 4_000**2, (peak, projected)


needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="Faiss is not installed")
MANY = np.random.default_rng(0).normal(size=(5000, 8)) * [1, 1, 1, 1, 1, 1, 1, 5] + 1e4
IDS = np.arange(5000)


@needs_faiss
def test_faiss_most_true_neighbours_are_found():
    index = FaissIndex().build(MANY)
    assert isinstance(index, NeighborIndex)
    assert measure_recall(index, MANY, 5, seed=0)["recall"] >= 0.8
    distances, found = index.query(IDS, 5)
    assert (found != IDS[:, None]).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    true = np.sqrt(((MANY[found] - MANY[:, None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(distances, true, rtol=1e-12)


@needs_faiss
def test_faiss_blocks_builds_and_pickles_change_nothing(monkeypatch):
    index = FaissIndex().build(MANY, seed=3)
    found = index.query(IDS[:900], 5)[1]
    for other in (FaissIndex().build(MANY, seed=3), pickle.loads(pickle.dumps(index))):
        np.testing.assert_array_equal(other.query(IDS[:900], 5)[1], found)
    monkeypatch.setattr(engines, "_BLOCK", 17)
    np.testing.assert_array_equal(index.query(IDS[:900], 5)[1], found)
    np.testing.assert_array_equal(index.query(IDS[899::-1], 5)[1], found[::-1])


@needs_faiss
@pytest.mark.parametrize("n", [12, 2500])
def test_faiss_equal_rows(n):
    rows = np.repeat(np.random.default_rng(1).normal(size=(n, 3)), 5, axis=0)
    ids = np.arange(len(rows))
    distances, found = FaissIndex().build(rows).query(ids, 4)
    assert (distances == 0).all()
    assert (found // 5 == (ids // 5)[:, None]).all()
    assert (found != ids[:, None]).all()
    same = FaissIndex().build(np.ones((30, 2))).query(np.arange(30), 29)[1]
    assert (np.sort(same, axis=1) == [[j for j in range(30) if j != i] for i in range(30)]).all()


@needs_faiss
def test_faiss_rows_that_spread_evenly_are_searched_by_codes():
    rows = np.random.default_rng(2).normal(size=(20_000, 16))
    index = FaissIndex(n_probe=30).build(rows)
    assert "FastScan" in type(index._index).__name__
    assert measure_recall(index, rows, 5, seed=0)["recall"] > 0.85
    some = np.arange(300)
    again = pickle.loads(pickle.dumps(index)).query(some, 5)[1]
    np.testing.assert_array_equal(again, index.query(some, 5)[1])


@needs_faiss
def test_faiss_queries_whose_cells_hold_too_few_rows_are_answered_in_full():
    index = FaissIndex(n_lists=100, n_probe=1).build(MANY)
    distances, found = index.query(IDS[:200], 300)
    assert np.isfinite(distances).all()
    assert all(len(set(row)) == 300 for row in found.tolist())
    few = index.query(IDS[:50], 4999)
    np.testing.assert_array_equal(few[1], BruteSearch(MANY).query(IDS[:50], 4999)[1])


@needs_faiss
def test_faiss_points_that_are_not_in_the_index():
    distances, found = FaissIndex().build(MANY).query_points(MANY[:50] + 1e-6, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(50))
    assert (distances < 1e-5).all()


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
