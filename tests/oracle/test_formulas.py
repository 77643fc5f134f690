"""The formulas: of the papers, of imbalanced-learn where that is right, and of its variants.

Which rows are bases, how often, toward whom; and that a new row is what the formula says of its
base row, its neighbour and its gap. On floats without twins, where imbalanced-learn is right.
"""

import functools

import imblearn.over_sampling as theirs
import imblearn.under_sampling as their_under
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from imblearn.metrics.pairwise import ValueDifferenceMetric
from imblearn.utils import check_sampling_strategy
from scipy.stats import chisquare, kstest
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC

from dsmote import (
    ADASYN,
    SMOTE,
    SMOTEN,
    SMOTENC,
    SVMSMOTE,
    BorderlineSMOTE,
    KMeansSMOTE,
    PolynomFitSMOTE,
    RandomOverSampler,
    RandomUnderSampler,
    SafeLevelSMOTE,
)
from dsmote.kernels import mixed_weight
from dsmote.plan import wanted_rows
from tests.samplers import family, lying
from tests.tables import mixed, naive_neighbours, overlapping

FEW, LESS = 1, 2  # the classes that grow
OVER = family()
BETWEEN = lying("segment", OVER)


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


# ---- the segment


@pytest.mark.parametrize("name", BETWEEN)
def test_every_new_row_lies_where_base_neighbour_and_gap_say(name):
    X, y = three_classes()
    kind, how = OVER[name]
    columns = [0, 1, 3] if name == "smotenc" else [0, 1, 2, 3]
    X = np.where(np.arange(4) == 2, X.round(), X) if name == "smotenc" else X
    how = how | ({"cluster_balance_threshold": 0.1} if name == "kmeans" else {})
    made, labels, came = made_by(kind(random_state=1, **how), X, y)
    assert len(made) == 240 + 210
    base, toward = (came[c].to_numpy(dtype=int) for c in ("base_row", "neighbour_row"))
    gap = came["gap"].to_numpy()
    expected = X[base] + gap[:, None] * (X[toward] - X[base])
    np.testing.assert_allclose(made[:, columns], expected[:, columns], rtol=1e-12, atol=1e-12)
    assert (base != toward).all()
    np.testing.assert_array_equal(y[base], labels)
    assert gap.min() >= (-0.5 if name == "svm" else 0)
    if name == "borderline-2":
        abroad = y[toward] != labels
        assert 50 < abroad.sum() < len(abroad) - 50
        assert 0.45 < gap[abroad].max() < 0.5 < gap[~abroad].max() < 1
    else:
        np.testing.assert_array_equal(y[toward], labels)
        assert gap.max() < 1
    if name in ("kmeans", "smotenc"):  # of a cluster, and by another metric
        return
    ranks = []
    for label in (FEW, LESS):
        ids = np.arange(len(X)) if name == "borderline-2" else np.flatnonzero(y == label)
        rows = np.flatnonzero(labels == label)
        near = ids[nearest(X[ids], np.searchsorted(ids, base[rows]), 5)]
        found = near == toward[rows][:, None]
        assert (found.sum(axis=1) == 1).all()
        ranks.append(found.argmax(axis=1))
    counts = np.bincount(np.concatenate(ranks), minlength=5)
    assert counts.min() > 0.7 * counts.mean()


def test_bases_neighbours_and_gaps_are_drawn_alike_and_apart_from_one_another():
    """So rows are distributed as the paper says, and as those of imbalanced-learn."""
    X, y = three_classes()
    _, _, came = made_by(SMOTE(random_state=0, sampling_strategy={FEW: 30_060}), X, y)
    base, gap = came["base_row"].to_numpy(dtype=int), came["gap"].to_numpy()
    ids = np.flatnonzero(y == FEW)
    near = ids[nearest(X[ids], np.searchsorted(ids, base), 5)]
    rank = (near == came["neighbour_row"].to_numpy()[:, None]).argmax(axis=1)
    table = np.histogramdd([np.searchsorted(ids, base), rank, gap], bins=(60, 5, 10))[0]
    assert chisquare(table.sum(axis=(1, 2))).pvalue > 1e-3
    assert kstest(gap, "uniform").pvalue > 1e-3
    assert chisquare(table.ravel()).pvalue > 1e-3


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


SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


@pytest.mark.parametrize("scale", SCALERS)
@pytest.mark.parametrize("kind", [SMOTE, SMOTENC])
def test_as_scaling_first_and_scaling_back(scale, kind):
    X, y = three_classes()
    X = pd.DataFrame(X * [0.01, 0.1, 1.0, 10.0] + 5.0, columns=list("abcd"))
    names = np.random.default_rng(1).choice(list("xyz"), len(X))
    how = {"random_state": 0} | ({"categorical_features": ["n"]} if kind is SMOTENC else {})
    scaler = SCALERS[scale]().fit(X)
    scaled = pd.DataFrame(scaler.transform(X), columns=list("abcd"))
    if kind is SMOTENC:
        X, scaled = X.assign(n=names), scaled.assign(n=names)
    ours = kind(scale=scale, **how).fit_resample(X, y)[0]
    there = kind(**how).fit_resample(scaled, y)[0]
    pd.testing.assert_frame_equal(ours[: len(X)], X)
    back = scaler.inverse_transform(there[list("abcd")])
    np.testing.assert_allclose(ours[list("abcd")], back, rtol=1e-9, atol=1e-9)
    assert ours.iloc[:, 4:].equals(there.iloc[:, 4:])
    assert not ours.equals(kind(**how).fit_resample(X, y)[0])


# ---- strategies


COUNTS = st.dictionaries(st.integers(-3, 6), st.integers(1, 60), min_size=2, max_size=6)
WORDS = ["auto", "minority", "majority", "not minority", "not majority", "all"]


def labels_of(counts):
    # Their dictionaries are in order of first appearance, which decides ties; ours sort labels.
    return np.repeat(sorted(counts), [counts[label] for label in sorted(counts)])


@given(counts=COUNTS, word=st.sampled_from(WORDS), more=st.integers(0, 80))
def test_words_mappings_and_callables_give_the_same_counts(counts, word, more):
    y = labels_of(counts)
    wanted = {label: n + more for label, n in sorted(counts.items())[:2]}
    for strategy in (word, wanted, lambda _: wanted):
        if strategy != "majority":
            found = wanted_rows(strategy, counts, "over-sampling")
            new = {label: n - counts[label] for label, n in found.items()}
            assert new == dict(check_sampling_strategy(strategy, y, "over-sampling"))
    if word != "minority":
        kept = dict(check_sampling_strategy(word, y, "under-sampling"))
        assert wanted_rows(word, counts, "under-sampling") == kept
        cleaned = check_sampling_strategy(word, y, "clean-sampling")
        assert set(wanted_rows(word, counts, "clean-sampling")) == set(cleaned)


@given(few=st.integers(1, 50), many=st.integers(50, 400), ratio=st.floats(0.01, 1.0))
def test_ratios_give_the_same_counts(few, many, ratio):
    exact = many * ratio
    assume(exact == round(exact) or abs(exact - round(exact)) > 1e-9)  # ours rounds that away
    if int(exact) > few:
        y = np.repeat([0, 1], [many, few])
        expected = few + check_sampling_strategy(ratio, y, "over-sampling")[1]
        assert wanted_rows(ratio, {0: many, 1: few}, "over-sampling") == {1: expected}
    else:  # a ratio that asks for less than one row is an error here, and 0 there
        with pytest.raises(ValueError, match="sampling_strategy"):
            wanted_rows(ratio, {0: many, 1: few}, "over-sampling")


UNDER = [
    *("auto", "majority", "not minority", "not majority", "all", {"b": 30, "a": 0}),
    lambda y: {"b": int((np.asarray(y) == "a").sum())},
    *(0.36, 0.5, 0.7, 1.0),
]
REFUSED = ["minority", {"b": 71}, {"d": 1}, {"b": -1}, 0.5, ["a"], 0.0, 1.1]


@pytest.mark.parametrize("strategy", [*UNDER, *REFUSED])
@pytest.mark.parametrize("replacement", [False, True])
def test_under_sampling_has_the_counts_and_attributes_of_imblearn(strategy, replacement):
    refused = any(strategy is one for one in REFUSED)
    binary = isinstance(strategy, float) and not refused
    y = np.repeat(["b", "a", "c"], [70, 25, 0 if binary else 5])
    X = pd.DataFrame({"row": np.arange(len(y))}, index=[f"r{i}" for i in range(len(y))])
    how = {"sampling_strategy": strategy, "random_state": 0, "replacement": replacement}
    found = []
    for kind in (RandomUnderSampler, their_under.RandomUnderSampler):
        sampler = kind(**how)
        if refused:
            with pytest.raises(ValueError):
                sampler.fit_resample(X, y)
            continue
        X_res, y_res = sampler.fit_resample(X, y)
        found.append((pd.Series(y_res).value_counts().to_dict(), dict(sampler.sampling_strategy_)))
        assert X_res["row"].tolist() == sampler.sample_indices_.tolist()
        assert X_res.index.equals(X.index[sampler.sample_indices_])
    assert refused or found[0] == found[1]


# ---- votes


def assert_modes(made, voted):
    """Each value of the new rows is one that most of its voters have."""
    for row, votes in zip(made, voted, strict=True):
        for value, column in zip(row, votes.T, strict=True):
            levels, counts = np.unique(column.astype(str), return_counts=True)
            assert value in levels[counts == counts.max()]


def test_a_nominal_value_is_the_mode_of_the_neighbours():
    rng = np.random.default_rng(5)
    numeric, codes = rng.normal(size=(80, 3)) * [1.0, 2.0, 0.5], rng.integers(0, [3, 5], (80, 2))
    table = pd.DataFrame(numeric, columns=list("abc"))
    table[["p", "q"]] = np.array(list("klmno"))[codes]
    X = pd.concat([table.assign(a=table["a"] + far) for far in (0, 9, -9)], ignore_index=True)
    y = np.repeat([1, 0], [80, 160])
    made = SMOTENC(random_state=2, provenance="full").fit_resample(X, y)[0][240:]
    _, near = naive_neighbours(numeric, 5, codes, mixed_weight(numeric.T))
    voters = table[["p", "q"]].to_numpy()[near[made["base_row"].astype(int)]]
    assert_modes(made[["p", "q"]].to_numpy(), voters)


# ---- BorderlineSMOTE, ADASYN, SVMSMOTE


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
        for c in valid:
            ids = np.flatnonzero((cluster == c) & (y == label))
            mine = (labels == label) & (cluster[base] == c)
            near = ids[nearest(X[ids], np.searchsorted(ids, base[mine]), 2)]
            assert (near == toward[mine][:, None]).any(axis=1).all()


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


# ---- SMOTEN


@functools.cache
def names(n=2_400, seed=0):
    """Three columns of names that go with three classes; levels are frequent, so ties are few."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, FEW, LESS], [n // 2, n // 6, n - n // 2 - n // 6]))
    codes = (rng.integers(0, 11, size=(n, 3)) + 3 * y[:, None] * rng.integers(0, 2, (n, 3))) % 13
    return codes.astype(np.int32), y


@pytest.mark.parametrize("k", [1, 4])
def test_each_new_row_of_names_is_the_mode_of_its_base_row_and_k_neighbours(k):
    codes, y = names()
    words = np.array([f"level {c}" for c in range(13)], dtype=object)
    made, labels, came = made_by(SMOTEN(random_state=0, k_neighbors=k), words[codes], y)
    assert came["gap"].isna().all()
    assert came["neighbour_row"].isna().all()
    metric = ValueDifferenceMetric(n_categories=[13] * 3).fit(codes, y)
    for label in (FEW, LESS):
        ids = np.flatnonzero(y == label)
        squares = metric.pairwise(codes[ids])  # distances are their roots
        np.fill_diagonal(squares, np.inf)
        near = np.argsort(squares.round(12), axis=1, kind="stable")[:, :k]
        group = ids[np.column_stack([np.arange(len(ids)), near])]
        rows = np.flatnonzero(labels == label)
        assert len(rows) > 300
        bases = np.searchsorted(ids, came["base_row"].to_numpy(dtype=int)[rows])
        assert_modes(made[rows], words[codes[group[bases]]])


# ---- RandomOverSampler


def test_copies_are_rows_of_the_class_bit_for_bit():
    table = mixed(300, 60).assign(big=np.arange(300) + 2**62)
    table.loc[::7, "a"] = np.nan
    table["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(300), unit="s")
    sampler = RandomOverSampler(random_state=0)
    made = sampler.resample(table, target="y")
    came = sampler.sample_indices_
    np.testing.assert_array_equal(came[:300], np.arange(300))
    pd.testing.assert_frame_equal(made, table.iloc[came].reset_index(drop=True))
    assert made["y"].value_counts().nunique() == 1
    # As imbalanced-learn, with replacement: some row more than once, and all are drawn alike.
    new = pd.Series(came[300:])
    assert new.duplicated().any()
    assert new.nunique() == 60


@pytest.mark.parametrize("shrinkage", [0.4, {FEW: 0.4, LESS: 1.5}])
def test_noise_is_normal_and_as_wide_as_the_paper_says(shrinkage):
    X, y = three_classes()
    X = X * [1.0, 10.0, 0.01, 3.0]
    sampler = RandomOverSampler(
        random_state=0, shrinkage=shrinkage, sampling_strategy={FEW: 20_000, LESS: 20_000}
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


# ---- what imbalanced-learn lacks


def test_safe_levels_say_where_on_the_segment():
    X, y = overlapping(160, 40, seed=1)
    rows, _, new = made_by(SafeLevelSMOTE(random_state=0), X, y)
    base = new["base_row"].to_numpy(dtype=int)
    levels = (y[naive_neighbours(X, 5)[1]] == y[:, None]).sum(axis=1)
    near, gap = new["neighbour_row"].to_numpy(dtype=int), new["gap"].to_numpy()
    ratio = levels[base] / np.maximum(levels[near], 1)
    assert levels[base].min() == 1
    assert set(base) == set(np.flatnonzero((y == 1) & (levels > 0)))
    assert (levels[near] == 0).any()
    assert (gap[levels[near] == 0] == 0).all()  # copies of the base row
    above, below = (ratio > 1) & (levels[near] > 0), ratio < 1
    assert (gap[above] < 1 / ratio[above]).all()
    assert (gap[below] > 1 - ratio[below]).all()
    for which, share in ((above, gap * ratio), (below, (1 - gap) / ratio), (ratio == 1, gap)):
        assert which.sum() > 10
        assert share[which].mean() == pytest.approx(0.5, abs=0.15)
    np.testing.assert_allclose(rows, X[base] + gap[:, None] * (X[near] - X[base]), atol=1e-12)


def test_safe_levels_that_are_all_zero():
    X, y = overlapping(160, 40, seed=1)
    far = X[y == 0][:80].copy()
    alone = np.arange(80) % 20 == 0  # each among twenty of the other class
    far[alone] = far[np.flatnonzero(alone) + 1] + 1e-9
    far += np.repeat(np.arange(4), 20)[:, None] * 1000
    with pytest.raises(ValueError, match="class 1 has no row with another of the class among"):
        SafeLevelSMOTE(k_neighbors=3).fit_resample(far, alone.astype(int))


@pytest.mark.parametrize("grouped", [False, True])
def test_polynom_fit_goes_to_the_mean_in_even_steps(grouped):
    X, y = overlapping(160, 40, seed=1)
    groups, weights = np.arange(len(X)) % 2, np.arange(len(X)) / 10
    given = {"groups": groups, "sample_weight": weights} if grouped else {}
    wanted = {1: 40 + 90}  # 2.25 for each row: the first ten get 3, the others 2
    star = PolynomFitSMOTE(sampling_strategy=wanted, provenance="full")
    found = star.fit_resample(X, y, **given)
    rows, new = found[0][len(X) :], star.provenance_[len(X) :]
    base = new["base_row"].to_numpy(dtype=int)
    assert np.bincount(base)[160:].tolist() == [3] * 10 + [2] * 30
    steps = [j / (q + 1) for q in [3] * 10 + [2] * 30 for j in range(1, q + 1)]
    np.testing.assert_allclose(new["gap"], steps)
    assert new["neighbour_row"].isna().all()
    inside = [(y == 1) & (groups == groups[b]) if grouped else y == 1 for b in base]
    means = np.array([X[one].mean(axis=0) for one in inside])
    np.testing.assert_allclose(rows, X[base] + new["gap"].to_numpy()[:, None] * (means - X[base]))
    if grouped:
        mean = np.array([weights[one].mean() for one in inside])
        expected = weights[base] + steps * (mean - weights[base])
        np.testing.assert_allclose(found[2][len(X) :], expected)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "datetime64[ns]"])
def test_polynom_fit_stays_among_values_that_float64_does_not_hold(dtype):
    values = (2**61 + np.array([14, 15, 17] * 20)).astype(dtype)
    X = pd.DataFrame({"a": np.linspace(0.0, 1.0, 60), "b": values})
    y = np.repeat([0, 1], [50, 10])
    made = PolynomFitSMOTE().fit_resample(X, y)[0]["b"].iloc[60:]
    assert made.dtype == values.dtype
    assert made.between(values[50:].min(), values[50:].max()).all()
