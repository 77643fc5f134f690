"""The over-samplers beyond SMOTE against imbalanced-learn, where that is right: floats, no twins.

Which rows are bases, how often, toward whom; and that a new row is what the formula says of its
base row, its neighbour and its gap.
"""

import functools

import imblearn.over_sampling as theirs
import numpy as np
import pandas as pd
import pytest
from imblearn.metrics.pairwise import ValueDifferenceMetric
from scipy.stats import kstest
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from dsmote import (
    ADASYN,
    SMOTE,
    SMOTEN,
    SVMSMOTE,
    BorderlineSMOTE,
    KMeansSMOTE,
    RandomOverSampler,
)
from dsmote.neighbors import ValueDifferenceSearch, level_probabilities
from tests.tables import mixed

FEW, LESS = 1, 2  # the classes that grow


@functools.cache
def three_classes(seed=0):
    """Three classes that overlap, in four columns; no two rows are equal."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, FEW, LESS], [300, 60, 90]))
    X = rng.normal(size=(450, 4)) + 1.1 * (y == FEW)[:, None] - 0.9 * (y == LESS)[:, None]
    return X, y


def made_by(sampler, X, y):
    """Resample; return the new rows, their labels, and where they came from."""
    X_res, y_res = sampler.set_params(provenance="full").fit_resample(X, y)
    came = sampler.provenance_.iloc[len(X) :].reset_index(drop=True)
    assert came["synthetic"].all()
    return X_res[len(X) :], y_res[len(X) :], came


def nearest(X, among, k):
    """Return the k nearest rows of `X[among]` in X, each row itself left out."""
    return NearestNeighbors(n_neighbors=k + 1).fit(X).kneighbors(X[among])[1][:, 1:]


def assert_largest_remainders(parts, weights, total):
    """Each part is its exact share rounded, and up where the remainder is among the largest."""
    exact = weights / weights.sum() * total
    assert parts.sum() == total
    remainder = exact - np.floor(exact + 1e-9)
    up = parts - np.floor(exact + 1e-9)
    assert set(up.tolist()) <= {0, 1}
    if 0 < up.sum() < len(up):
        assert remainder[up == 1].min() > remainder[up == 0].max() - 1e-9
    for weight in np.unique(weights):  # of equal ones the first
        assert (np.diff(up[weights == weight]) <= 0).all()


# ---- the formula


def reached(X, came):
    """What the formula says: base + gap (neighbour - base)."""
    base = X[came["base_row"].to_numpy(dtype=int)]
    neighbour = X[came["neighbour_row"].to_numpy(dtype=int)]
    return base + came["gap"].to_numpy()[:, None] * (neighbour - base)


SEGMENTS = [
    SMOTE(random_state=1),
    BorderlineSMOTE(random_state=1),
    BorderlineSMOTE(random_state=1, kind="borderline-2"),
    ADASYN(random_state=1),
    SVMSMOTE(random_state=1, out_step=0.3),
    KMeansSMOTE(random_state=1, cluster_balance_threshold=0.1),
]


@pytest.mark.parametrize("sampler", SEGMENTS, ids=lambda s: repr(s).replace(" ", ""))
def test_every_new_row_lies_where_base_neighbour_and_gap_say(sampler):
    X, y = three_classes()
    made, labels, came = made_by(sampler, X, y)
    assert len(made) == 240 + 210
    np.testing.assert_allclose(made, reached(X, came), rtol=1e-12, atol=1e-12)
    base, toward = (came[c].to_numpy(dtype=int) for c in ("base_row", "neighbour_row"))
    gap = came["gap"].to_numpy()
    assert (base != toward).all()
    np.testing.assert_array_equal(y[base], labels)
    outward = isinstance(sampler, SVMSMOTE)
    assert ((gap >= 0) | (outward & (gap > -0.3))).all()
    if getattr(sampler, "kind", "") == "borderline-2":
        abroad = y[toward] != labels
        assert 50 < abroad.sum() < len(abroad) - 50
        assert gap[abroad].max() < 0.5 < gap[~abroad].max() < 1
        assert gap[abroad].max() > 0.45
    else:
        np.testing.assert_array_equal(y[toward], labels)
        assert 0.9 < gap.max() < 1


@pytest.mark.parametrize("sampler", SEGMENTS[:5], ids=lambda s: repr(s).replace(" ", ""))
def test_neighbours_are_among_the_k_nearest_and_all_of_them_are_drawn(sampler):
    X, y = three_classes()
    _, labels, came = made_by(sampler, X, y)
    base, toward = (came[c].to_numpy(dtype=int) for c in ("base_row", "neighbour_row"))
    ranks = []
    for label in (FEW, LESS):
        of_all = getattr(sampler, "kind", "") == "borderline-2"
        ids = np.arange(len(X)) if of_all else np.flatnonzero(y == label)
        rows = np.flatnonzero(labels == label)
        places = np.searchsorted(ids, base[rows])
        near = ids[nearest(X[ids], places, 5)]
        found = near == toward[rows][:, None]
        assert (found.sum(axis=1) == 1).all()
        ranks.append(found.argmax(axis=1))
    counts = np.bincount(np.concatenate(ranks), minlength=5)
    assert counts.min() > 0.7 * counts.mean()


SEARCHES = [
    (BorderlineSMOTE, {}, {"k_neighbors": 6, "m_neighbors": 11}),
    (BorderlineSMOTE, {"kind": "borderline-2"}, {"k_neighbors": 6, "m_neighbors": 11}),
    (ADASYN, {}, {"n_neighbors": 6}),
    (SVMSMOTE, {}, {"k_neighbors": 6, "m_neighbors": 11}),
    (KMeansSMOTE, {"cluster_balance_threshold": 0.1}, {"k_neighbors": 3}),
]


@pytest.mark.parametrize(("kind", "how", "n_neighbors"), SEARCHES)
def test_objects_that_search_are_taken_as_imblearn_takes_them(kind, how, n_neighbors):
    X, y = three_classes()
    searches = {name: NearestNeighbors(n_neighbors=n) for name, n in n_neighbors.items()}
    expected = kind(random_state=0, **how).fit_resample(X, y)[0]
    found = kind(random_state=0, **how, **searches).fit_resample(X, y)[0]
    np.testing.assert_array_equal(found, expected)
    for search in searches.values():
        assert not hasattr(search, "n_samples_fit_")  # a clone was fitted


# ---- BorderlineSMOTE


@pytest.mark.parametrize("kind", ["borderline-1", "borderline-2"])
@pytest.mark.parametrize("m", [4, 7, 10])
def test_rows_in_danger_are_those_of_imblearn(kind, m):
    X, y = three_classes()
    how = {"random_state": 0, "kind": kind, "m_neighbors": m}
    original = theirs.BorderlineSMOTE(**how)
    original.fit_resample(X, y)
    sampler = BorderlineSMOTE(**how)
    _, labels, came = made_by(sampler, X, y)
    assert set(sampler.in_danger_indices) == set(original.in_danger_indices) == {FEW, LESS}
    for label, rows in original.in_danger_indices.items():
        assert 5 < len(rows) < (y == label).sum()
        np.testing.assert_array_equal(sampler.in_danger_indices[label], rows)
        bases = came["base_row"].to_numpy(dtype=int)[labels == label]
        assert set(bases) <= set(rows)
        report = sampler.neighbors_report_[label]
        assert report["danger"] == len(rows)
        assert report["danger"] + report["noise"] + report["safe"] == (y == label).sum()


# ---- ADASYN


@pytest.mark.parametrize("k", [3, 5, 8])
def test_copies_are_the_shares_of_other_classes_rounded_to_the_exact_total(k):
    X, y = three_classes()
    wanted = {FEW: 5_000, LESS: 307}
    sampler = ADASYN(random_state=0, n_neighbors=k, sampling_strategy=wanted)
    _, labels, came = made_by(sampler, X, y)
    for label, n_new in sampler.sampling_strategy_.items():
        rows = np.flatnonzero(y == label)
        # r_i as imbalanced-learn takes it.
        r = (y[nearest(X, rows, k)] != label).sum(axis=1) / k
        counts = came.loc[labels == label, "base_row"].value_counts()
        copies = counts.reindex(rows, fill_value=0).to_numpy(dtype=int)
        assert set(counts.index) <= set(rows)
        assert_largest_remainders(copies, r, n_new)
        # Theirs are rounded one by one, so that each is off by no more than one.
        assert (np.abs(copies - np.rint(r / r.sum() * n_new)) <= 1).all()


# ---- SVMSMOTE


@pytest.mark.parametrize("machine", [None, SVC(C=3.0, gamma=0.2)], ids=["default", "given"])
def test_support_vectors_in_danger_and_safe_are_those_of_imblearn(machine):
    X, y = three_classes()
    machine_fitted = (machine or SVC(gamma="scale")).fit(X, y)
    sampler = SVMSMOTE(
        random_state=0, svm_estimator=machine, sampling_strategy={FEW: 3_000, LESS: 3_000}
    )
    _, labels, came = made_by(sampler, X, y)
    np.testing.assert_array_equal(sampler.svm_estimator_.support_, machine_fitted.support_)
    original = theirs.SVMSMOTE()
    search = NearestNeighbors(n_neighbors=11).fit(X)
    base, gap = came["base_row"].to_numpy(dtype=int), came["gap"].to_numpy()
    for label in (FEW, LESS):
        vectors = machine_fitted.support_[y[machine_fitted.support_] == label]
        noise, danger = (
            original._in_danger_noise(search, X[vectors], label, y, kind=kind)
            for kind in ("noise", "danger")
        )
        safe = ~noise & ~danger
        report = sampler.neighbors_report_[label]
        assert report["noise"] == noise.sum() > 0
        assert report["danger"] == danger.sum() > 0
        assert report["safe"] == safe.sum() > 0
        rows = labels == label
        # There are so many new rows that every vector is a base of some.
        assert set(base[rows & (gap > 0)]) == set(vectors[danger])
        assert set(base[rows & (gap < 0)]) == set(vectors[safe])
        share = (gap[rows] > 0).mean()
        assert 0.2 < share < 0.8  # Beta(10, 10) is hardly ever further off


def test_safe_vectors_reach_outward_as_far_as_out_step_says():
    X, y = three_classes()
    for out_step in (0.1, 1.0):
        gap = made_by(SVMSMOTE(random_state=0, out_step=out_step), X, y)[2]["gap"].to_numpy()
        assert -out_step < gap.min() < -0.9 * out_step
        assert gap.max() < 1
    none = made_by(SVMSMOTE(random_state=0, out_step=0.0), X, y)
    made, _, came = none  # as in imbalanced-learn, 0 is a step too: safe vectors are copied
    copied = came["gap"].to_numpy() == 0
    assert copied.any()
    np.testing.assert_array_equal(made[copied], X[came["base_row"].to_numpy(dtype=int)[copied]])


# ---- KMeansSMOTE


@pytest.mark.parametrize("exponent", [0.0, 1.5, 4.0])
def test_rows_of_each_cluster_follow_the_weights_of_imblearn(exponent):
    X, y = three_classes(3)
    clustering = KMeans(n_clusters=7, n_init=2, random_state=5)
    sampler = KMeansSMOTE(
        random_state=0,
        kmeans_estimator=clustering,
        density_exponent=exponent,
        cluster_balance_threshold=0.1,
    )
    _, labels, came = made_by(sampler, X, y)
    cluster = clustering.fit_predict(X)
    np.testing.assert_array_equal(sampler.kmeans_estimator_.labels_, cluster)
    original = theirs.KMeansSMOTE(density_exponent=exponent)
    base, toward = (came[c].to_numpy(dtype=int) for c in ("base_row", "neighbour_row"))
    np.testing.assert_array_equal(cluster[base], cluster[toward])
    for label, n_new in ((FEW, 240), (LESS, 210)):
        valid = [
            c
            for c in range(7)
            if (y[cluster == c] == label).mean() >= 0.1
            and ((cluster == c) & (y == label)).sum() >= 3
        ]
        assert 1 < len(valid) < 7
        weights = np.array(
            [original._find_cluster_sparsity(X[(cluster == c) & (y == label)]) for c in valid]
        )
        rows = np.bincount(cluster[base[labels == label]], minlength=7)
        assert rows[valid].sum() == n_new
        assert_largest_remainders(rows[valid], weights, n_new)
        report = sampler.neighbors_report_[label]
        assert (report["clusters"], report["of_clusters"]) == (len(valid), 7)


def test_a_cluster_needs_the_share_and_the_rows_that_imblearn_asks_for():
    X, y = three_classes(3)
    clustering = KMeans(n_clusters=7, n_init=2, random_state=5)
    cluster = clustering.fit_predict(X)
    rows = np.array([((cluster == c) & (y == FEW)).sum() for c in range(7)])
    shares = rows / np.bincount(cluster)
    # A share that is the threshold is enough, and so are k + 1 rows.
    k = 4
    cases = {share: shares >= share for share in np.sort(shares[rows > k])}
    cases["auto"] = shares >= 0.5 * 240 / (240 + 210)
    assert 0 < cases["auto"].sum() < 7
    for threshold, enough in cases.items():
        valid = set(np.flatnonzero(enough & (rows >= k + 1)))
        sampler = KMeansSMOTE(
            random_state=0,
            kmeans_estimator=clustering,
            k_neighbors=k,
            cluster_balance_threshold=threshold,
            density_exponent=0.0,
            sampling_strategy="not majority" if threshold == "auto" else {FEW: 1_000},
        )
        _, labels, came = made_by(sampler, X, y)
        bases = came["base_row"].to_numpy(dtype=int)[labels == FEW]
        assert set(cluster[bases]) == valid
        assert sampler.neighbors_report_[FEW]["clusters"] == len(valid)


def test_a_cluster_needs_half_of_the_share_of_new_rows_where_nothing_else_is_said():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(25, 2)), rng.normal(100, 1, size=(80, 2))]
    y = np.repeat([0, 1, 0, 1], [10, 15, 60, 20])  # shares of 0.6 and of 0.25; a half is needed
    heaps = KMeans(n_clusters=2, n_init=1, random_state=0)
    for kind in (KMeansSMOTE, theirs.KMeansSMOTE):
        made = kind(kmeans_estimator=heaps, random_state=0).fit_resample(X, y)[0][len(X) :]
        assert len(made) == 35
        assert (made < 50).all()


def test_neighbours_are_the_nearest_of_the_class_in_the_cluster():
    X, y = three_classes(3)
    clustering = KMeans(n_clusters=4, n_init=2, random_state=5)
    sampler = KMeansSMOTE(
        random_state=0, kmeans_estimator=clustering, cluster_balance_threshold=0.05
    )
    _, labels, came = made_by(sampler, X, y)
    cluster = clustering.fit_predict(X)
    base, toward = (came[c].to_numpy(dtype=int) for c in ("base_row", "neighbour_row"))
    for label in (FEW, LESS):
        for c in np.unique(cluster[base[labels == label]]):
            ids = np.flatnonzero((cluster == c) & (y == label))
            rows = (labels == label) & (cluster[base] == c)
            near = ids[nearest(X[ids], np.searchsorted(ids, base[rows]), 2)]
            assert (near == toward[rows][:, None]).any(axis=1).all()


# ---- SMOTEN


@functools.cache
def names(n=2_400, seed=0):
    """Three columns of names that go with three classes; levels are frequent, so ties are few."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, FEW, LESS], [n // 2, n // 6, n - n // 2 - n // 6]))
    codes = (rng.integers(0, 11, size=(n, 3)) + 3 * y[:, None] * rng.integers(0, 2, (n, 3))) % 13
    return codes.astype(np.int32), y


def measured(codes, y, label):
    """Squared distances of the rows of a class, by imbalanced-learn."""
    metric = ValueDifferenceMetric(n_categories=[13] * 3).fit(codes, y)
    return metric.pairwise(codes[y == label])


def test_distances_and_neighbours_of_names_are_those_of_imblearn():
    codes, y = names()
    tables = [
        level_probabilities(
            np.array([[((codes[:, f] == v) & (y == c)).sum() for c in range(3)] for v in range(13)])
        )
        for f in range(3)
    ]
    squares = measured(codes, y, FEW)
    np.fill_diagonal(squares, np.inf)
    order = np.argsort(squares.round(12), axis=1, kind="stable")[:, :6]
    expected = np.sqrt(np.take_along_axis(squares, order, axis=1))
    index = ValueDifferenceSearch(codes[y == FEW], tables)
    distances, found = index.query(np.arange(len(squares)), 6)
    np.testing.assert_allclose(distances, expected, atol=1e-9)
    np.testing.assert_array_equal(found, order)


@pytest.mark.parametrize("k", [1, 4])
def test_each_new_row_of_names_is_the_mode_of_its_base_row_and_k_neighbours(k):
    codes, y = names()
    words = np.array([f"level {c}" for c in range(13)], dtype=object)
    made, labels, came = made_by(SMOTEN(random_state=0, k_neighbors=k), words[codes], y)
    assert came["gap"].isna().all()
    assert came["neighbour_row"].isna().all()
    for label in (FEW, LESS):
        ids = np.flatnonzero(y == label)
        squares = measured(codes, y, label)
        np.fill_diagonal(squares, np.inf)
        near = np.argsort(squares.round(12), axis=1, kind="stable")[:, :k]
        group = ids[np.column_stack([np.arange(len(ids)), near])]
        rows = np.flatnonzero(labels == label)
        assert len(rows) > 300
        bases = np.searchsorted(ids, came["base_row"].to_numpy(dtype=int)[rows])
        for row, base in zip(rows, bases, strict=True):
            voted = words[codes[group[base]]]
            for j in range(3):
                levels, votes = np.unique(voted[:, j].astype(str), return_counts=True)
                assert made[row, j] in levels[votes == votes.max()]


# ---- RandomOverSampler


def test_copies_are_rows_of_the_class_bit_for_bit():
    table = mixed(300, 60)
    table.loc[table.index[::7], "a"] = np.nan
    table["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(300), unit="s")
    table["big"] = np.arange(300) + 2**62
    X, y = table.drop(columns="y"), table["y"]
    sampler = RandomOverSampler(random_state=0, provenance="full")
    X_res, y_res = sampler.fit_resample(X, y)
    came = sampler.sample_indices_
    np.testing.assert_array_equal(came[:300], np.arange(300))
    np.testing.assert_array_equal(X_res["base_row"].iloc[300:].to_numpy(dtype=int), came[300:])
    assert X_res["neighbour_row"].isna().all()
    expected = X.iloc[came].reset_index(drop=True)
    pd.testing.assert_frame_equal(X_res[list(X)], expected)
    pd.testing.assert_series_equal(y_res, y.iloc[came].reset_index(drop=True))
    assert y_res.value_counts().nunique() == 1
    # As imbalanced-learn, with replacement: some row more than once, and all are drawn alike.
    new = pd.Series(came[300:])
    assert new.duplicated().any()
    assert new.nunique() == 60


@pytest.mark.parametrize("shrinkage", [0.4, {FEW: 0.4, LESS: 1.5}])
def test_noise_is_normal_and_as_wide_as_the_paper_says(shrinkage):
    X, y = three_classes()
    X = X * [1.0, 10.0, 0.01, 3.0]
    sampler = RandomOverSampler(
        random_state=0,
        shrinkage=shrinkage,
        sampling_strategy={FEW: 20_000, LESS: 20_000},
    )
    made, labels, came = made_by(sampler, X, y)
    assert sampler.shrinkage_ == {FEW: 0.4, LESS: 0.4 if shrinkage == 0.4 else 1.5}
    noise = made - X[came["base_row"].to_numpy(dtype=int)]
    np.testing.assert_array_equal(came["base_row"], sampler.sample_indices_[len(X) :])
    for label in (FEW, LESS):
        own = X[y == label]
        h = (4 / ((4 + 2) * len(own))) ** (1 / (4 + 4))  # n of the class, not of all rows
        spread = sampler.shrinkage_[label] * h * own.std(axis=0)
        mine = noise[labels == label] / spread
        np.testing.assert_allclose(mine.std(axis=0), 1.0, rtol=0.02)
        assert np.abs(np.corrcoef(mine.T) - np.eye(4)).max() < 0.04
        for column in mine.T:
            assert kstest(column, "norm").pvalue > 1e-3


def test_a_smoothed_bootstrap_differs_from_that_of_imblearn_by_n_alone():
    X, y = three_classes()
    how = {"random_state": 0, "shrinkage": 1.0, "sampling_strategy": {FEW: 20_000, LESS: 90}}
    ours, original = RandomOverSampler(**how), theirs.RandomOverSampler(**how)
    spreads = []
    for sampler in (ours, original):
        X_res = sampler.fit_resample(X, y)[0]
        spreads.append((X_res - X[sampler.sample_indices_])[len(X) :].std(axis=0))
    factor = (len(X) / (y == FEW).sum()) ** (1 / (4 + 4))
    np.testing.assert_allclose(spreads[0] / spreads[1], factor, rtol=0.03)
