"""Faiss as an engine: near rows, never the row itself, the same each time, and a clear refusal."""

import pickle

import numpy as np
import pytest

from dsmote import SMOTE, SMOTENC
from dsmote.neighbors import BruteSearch, FaissIndex, NeighborIndex, engines
from dsmote.neighbors.choose import measure_recall

pytest.importorskip("faiss", reason="the extra dsmote[faiss] is not installed")

KINDS = ("ivf", "hnsw", "flat")
ROWS = np.random.default_rng(0).normal(size=(5000, 8)) * [1, 1, 1, 1, 1, 1, 1, 5] + 1e4
ALL = np.arange(5000)


@pytest.mark.parametrize("kind", KINDS)
def test_most_true_neighbours_are_found(kind):
    index = FaissIndex(kind).build(ROWS)
    assert isinstance(index, NeighborIndex)
    assert measure_recall(index, ROWS, 5, seed=0).recall >= (1.0 if kind == "flat" else 0.8)
    distances, found = index.query(ALL, 5)
    assert (found != ALL[:, None]).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    true = np.sqrt(((ROWS[found] - ROWS[:, None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(distances, true, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_builds_and_pickles_change_nothing(kind, monkeypatch):
    index = FaissIndex(kind).build(ROWS, seed=3)
    found = index.query(ALL[:900], 5)[1]
    for other in (FaissIndex(kind).build(ROWS, seed=3), pickle.loads(pickle.dumps(index))):
        np.testing.assert_array_equal(other.query(ALL[:900], 5)[1], found)
    monkeypatch.setattr(engines, "_BLOCK", 17)
    np.testing.assert_array_equal(index.query(ALL[:900], 5)[1], found)
    np.testing.assert_array_equal(index.query(ALL[899::-1], 5)[1], found[::-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [12, 2500])
def test_equal_rows(kind, n):
    rows = np.repeat(np.random.default_rng(1).normal(size=(n, 3)), 5, axis=0)
    ids = np.arange(len(rows))
    distances, found = FaissIndex(kind).build(rows).query(ids, 4)
    assert (distances == 0).all()
    assert (found // 5 == (ids // 5)[:, None]).all()
    assert (found != ids[:, None]).all()
    same = FaissIndex(kind).build(np.ones((30, 2))).query(np.arange(30), 29)[1]
    assert (np.sort(same, axis=1) == [[j for j in range(30) if j != i] for i in range(30)]).all()


def test_rows_that_spread_evenly_are_searched_by_codes():
    rows = np.random.default_rng(2).normal(size=(20_000, 16))
    index = FaissIndex(n_probe=30).build(rows)
    assert "FastScan" in type(index._index).__name__
    assert measure_recall(index, rows, 5, seed=0).recall > 0.85
    some = np.arange(300)
    again = pickle.loads(pickle.dumps(index)).query(some, 5)[1]
    np.testing.assert_array_equal(again, index.query(some, 5)[1])


def test_queries_whose_cells_hold_too_few_rows_are_answered_in_full():
    index = FaissIndex("ivf", n_lists=100, n_probe=1).build(ROWS)
    distances, found = index.query(ALL[:200], 300)
    assert np.isfinite(distances).all()
    assert all(len(set(row)) == 300 for row in found.tolist())
    few = index.query(ALL[:50], 4999)
    np.testing.assert_array_equal(few[1], BruteSearch(ROWS).query(ALL[:50], 4999)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_points_that_are_not_in_the_index(kind):
    distances, found = FaissIndex(kind).build(ROWS).query_points(ROWS[:50] + 1e-6, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(50))
    assert (distances < 1e-5).all()


def test_a_sampler_takes_it_and_reports_recall():
    X = np.concatenate([ROWS, ROWS[:3000] + 3.0])
    y = np.repeat([0, 1], [5000, 3000])
    sampler = SMOTE(random_state=0, neighbors=FaissIndex())
    assert len(sampler.fit_resample(X, y)[0]) == 10_000
    report = sampler.neighbors_report_[1]
    assert report["engine"] == "faiss (ivf)" and not report["exact"]
    assert 0.5 < report["recall"] <= 1.0
    with pytest.raises(ValueError, match="measures numbers only"):
        SMOTENC(categorical_features=[0], neighbors=FaissIndex()).fit_resample(X, y)


def test_parameters_that_mean_nothing_and_a_missing_extra_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="kind must be one of ivf, hnsw, flat, not 'lsh'"):
        FaissIndex("lsh")
    with pytest.raises(ValueError, match="n_probe must be at least 1, but is 0"):
        FaissIndex(n_probe=0)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"dsmote\[faiss\]"):
        FaissIndex()
