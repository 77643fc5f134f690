"""Sparse matrices that are not taken, and options that are not taken with them."""

import dask.array as da
import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from dsmote import SMOTE, BorderlineSMOTE, NearMiss, RandomOverSampler
from dsmote.execute.sparse import between
from dsmote.kernels import extrapolate
from dsmote.neighbors import CappedIndex
from tests.samplers import family

Y = np.repeat([0, 1], [20, 10])
X = sparse.random_array((30, 8), density=0.5, rng=np.random.default_rng(0), format="csr")
ALL = family() | family(over=False) | family(rules=True)
TAKE = {
    "SMOTE",
    "BorderlineSMOTE",
    "ADASYN",
    "RandomOverSampler",
    "RandomUnderSampler",
    "TomekLinks",
    "EditedNearestNeighbours",
    "NearMiss",
}


@pytest.mark.parametrize("name", ALL)
def test_samplers_that_take_none_say_so_by_name(name):
    kind, options = ALL[name]
    sampler = kind(**options)
    assert kind._takes_sparse == (kind.__name__ in TAKE)
    takes = kind._takes_sparse and "shrinkage" not in options
    assert sampler.__sklearn_tags__().input_tags.sparse == takes
    if not kind._takes_sparse:
        for call in (sampler.fit, sampler.fit_resample, sampler.plan):
            with pytest.raises(TypeError, match=rf"^{kind.__name__} .*X\.toarray.*from_spmatrix"):
                call(X, Y)


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        (SMOTE(carry=[0]), "SMOTE does not take carry with a sparse matrix; leave those columns"),
        (SMOTE(scale="standard"), "scale with a sparse matrix; scale X before"),
        (SMOTE(n_components=2), "n_components .* TruncatedSVD"),
        (SMOTE(neighbors="fast"), "neighbors='fast' with"),
        (SMOTE(neighbors=CappedIndex(5)), "an object that searches with"),
        (SMOTE(k_neighbors=NearestNeighbors(n_neighbors=4)), "an object that searches with"),
        (BorderlineSMOTE(m_neighbors=NearestNeighbors(n_neighbors=4)), "an object that searches"),
        (RandomOverSampler(shrinkage=1.0), "shrinkage .* noise leaves no zeros"),
        (NearMiss(version=2), "NearMiss does not take version=2 .* version 1 or 3"),
    ],
)
def test_options_that_need_dense_rows_are_refused(sampler, said):
    with pytest.raises(ValueError, match=said):
        sampler.fit_resample(X, Y)


@pytest.mark.parametrize("neighbors", ["tree", "brute"])
def test_engines_that_are_exact_may_be_named(neighbors):
    sampler = SMOTE(neighbors=neighbors, random_state=0)
    ours, theirs = sampler.fit_resample(X, Y)[0], sampler.fit_resample(X.toarray(), Y)[0]
    np.testing.assert_array_equal(ours.toarray(), theirs)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (X.tolil(), TypeError, r"format 'lil'; dsmote takes CSR, CSC and COO: pass X\.tocsr"),
        (sparse.coo_array(np.arange(30.0)), ValueError, "Expected 2D array, got 1D"),
        (X.astype(complex), ValueError, "Complex data not supported"),
        (sparse.csr_array((30, 0)), ValueError, "0 feature"),
        (X[:0], ValueError, "0 sample"),
        (X[:7], ValueError, "X has 7 rows and y 30"),
        ((X * 2**60).astype(np.int64), ValueError, r"beyond 2\*\*53.*astype\('float64'\)"),
        (da.from_array(np.eye(30)).map_blocks(sparse.csr_array), TypeError, "Dask array of sparse"),
    ],
)
def test_matrices_that_cannot_be_resampled(given, error, said):
    y = Y if given.shape[0] else Y[:0]
    with pytest.raises(error, match=said):
        SMOTE().fit_resample(given, y)


def test_rows_beyond_their_base_are_those_of_dense_rows():
    gaps = -np.linspace(0.1, 1, 15)
    made = between(X[:15], X[15:], gaps).toarray()
    dense = X.toarray()
    whole = np.zeros(8, dtype=bool)
    np.testing.assert_array_equal(made, extrapolate(dense[:15], dense[15:], -gaps, whole))


def test_the_plan_and_the_report_name_the_engine():
    sampler = SMOTE(random_state=0)
    assert "sparse" in str(sampler.plan(X, Y))
    sampler.fit_resample(X, Y)
    assert sampler.neighbors_report_[1]["engine"] == "sparse"
    assert sampler.neighbors_report_[1]["exact"]
