"""Sparse matrices: the rows made of them, and left of them, are those of the dense matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dsmote import (
    ADASYN,
    SMOTE,
    BorderlineSMOTE,
    EditedNearestNeighbours,
    NearMiss,
    RandomOverSampler,
    RandomUnderSampler,
    TomekLinks,
)

SAMPLERS = {
    "smote": SMOTE(k_neighbors=3, random_state=0),
    "borderline-1": BorderlineSMOTE(k_neighbors=3, random_state=0, on_empty="smote"),
    "borderline-2": BorderlineSMOTE(
        k_neighbors=3, random_state=0, on_empty="smote", kind="borderline-2"
    ),
    "adasyn": ADASYN(n_neighbors=3, random_state=0),
    "random": RandomOverSampler(random_state=0),
    "under": RandomUnderSampler(random_state=0),
    "tomek": TomekLinks(sampling_strategy="all"),
    "enn": EditedNearestNeighbours(),
    "enn-mode": EditedNearestNeighbours(kind_sel="mode"),
    "near-miss-1": NearMiss(),
    "near-miss-3": NearMiss(version=3),
}
KINDS = [f"{form}_{kind}" for form in ("csr", "csc", "coo") for kind in ("array", "matrix")]
EACH = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


def table(seed=0, n=120, d=30, density=0.1, steps=4):
    rng = np.random.default_rng(seed)
    X = sparse.random_array((n, d), density=density, rng=rng, format="csr")
    X.data = np.ceil(X.data * steps) / 2 - 1.25  # ties, negative values
    y = np.where(np.arange(n) % 4 == 0, 1, 0)
    y[1:40:4] = 2
    return X, y


def assert_as_dense(sampler, X, y, **more):
    ours = sampler.fit_resample(X, y, **more)
    theirs = sampler.fit_resample(X.toarray(), y, **more)
    assert type(ours[0]) is type(X)
    assert ours[0].format == X.format
    assert ours[0].dtype == theirs[0].dtype
    np.testing.assert_array_equal(ours[0].toarray(), theirs[0])
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    return ours


@EACH
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_rows_are_those_of_the_dense_matrix_and_the_kind_stays(sampler, kind):
    X, y = table()
    X = getattr(sparse, kind)(X)
    before = X.copy()
    assert_as_dense(sampler, X, y)
    assert sampler.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(before.data, X.data)


@EACH
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    density=st.sampled_from([0.02, 0.1, 0.6]),
    steps=st.sampled_from([1, 4, 10**6]),
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_any_matrix(sampler, seed, density, steps):
    X, y = table(seed, density=density, steps=steps)
    try:
        sampler.fit_resample(X.toarray(), y)
    except ValueError as error:  # nobody is near another class
        with pytest.raises(ValueError, match=str(error)[:20]):
            sampler.fit_resample(X, y)
        return
    assert_as_dense(sampler, X, y)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint16", "int64", "bool"])
def test_dtypes_stay_and_whole_numbers_are_rounded_as_in_dense_rows(dtype):
    X, y = table()
    X.data *= 10
    X_res, _ = assert_as_dense(SAMPLERS["smote"], abs(X).astype(dtype), y)
    assert (X_res.tocsr()[X.shape[0] :].data != 0).all()  # none of what was rounded to zero
    assert_as_dense(SAMPLERS["random"], abs(X).astype(dtype), y)


def test_originals_come_first_as_they_are_and_new_rows_are_canonical():
    X, y = table()
    X.data[::7] = 0.0  # explicit zeros
    for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):  # columns in another order
        X.indices[start:stop] = X.indices[start:stop][::-1].copy()
        X.data[start:stop] = X.data[start:stop][::-1].copy()
    X.has_sorted_indices = False
    given_to = [part.copy() for part in (X.data, X.indices, X.indptr)]
    X_res, _ = assert_as_dense(SAMPLERS["smote"], X, y)
    n, m = X.shape[0], X.nnz
    for part, before in zip((X.data, X.indices, X.indptr), given_to, strict=True):
        np.testing.assert_array_equal(part, before)
    np.testing.assert_array_equal(X_res.data[:m], X.data)
    np.testing.assert_array_equal(X_res.indices[:m], X.indices)
    new = X_res[n:]
    assert new.has_canonical_format
    assert (new.data != 0).all()
    X_res, _ = RandomUnderSampler(random_state=0).fit_resample(X, y)
    assert (X_res.data == 0).any()


def test_64_bit_indices_and_values_that_come_twice():
    X, y = table()
    wide = sparse.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), X.shape
    )
    assert_as_dense(SAMPLERS["smote"], wide, y)
    coo = X.tocoo()
    twice = sparse.coo_array(
        (np.r_[coo.data, coo.data], (np.r_[coo.row, coo.row], np.r_[coo.col, coo.col])), X.shape
    )
    X_res, _ = assert_as_dense(SAMPLERS["smote"], twice, y)
    np.testing.assert_array_equal(X_res.data[: twice.nnz], twice.data)


def test_weights_groups_and_provenance_are_those_of_dense_rows():
    X, y = table()
    more = {"sample_weight": np.linspace(1, 2, len(y)), "groups": np.arange(len(y)) // 60}
    sampler = SMOTE(k_neighbors=2, random_state=0, provenance="full", on_small_group="copy")
    assert_as_dense(sampler, X, y, **more)
    dense = sampler.provenance_
    sampler.fit_resample(X, y, **more)
    assert sampler.provenance_.equals(dense)
    cleaner = TomekLinks(provenance="flag")
    marked, _ = cleaner.fit_resample(X, y)
    assert marked.shape == X.shape
    assert cleaner.provenance_["removed"].sum() == len(y) - len(TomekLinks().fit_resample(X, y)[1])


def test_small_classes_are_copied():
    X, y = table()
    y[:] = 0
    y[:3] = 1
    assert_as_dense(SMOTE(random_state=0, on_small_class="copy"), X, y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_values_are_refused_or_skipped(value):
    X, y = table()
    X.data[:3] = value
    with pytest.raises(ValueError, match=r"NaN, missing values or infinity.*\(3 (missing|inf)"):
        SMOTE(random_state=0).fit_resample(X, y)
    assert_as_dense(SMOTE(random_state=0, missing="skip"), X, y)
    assert_as_dense(EditedNearestNeighbours(missing="skip"), X, y)
    assert_as_dense(RandomOverSampler(random_state=0), X, y)


def test_values_far_apart_are_made_as_in_dense_rows():
    X, y = table()
    assert_as_dense(SMOTE(random_state=0), X * 1e308, y)
