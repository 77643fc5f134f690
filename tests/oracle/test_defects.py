"""What imbalanced-learn gets wrong, shown on it where that is cheap, and dsmote without it."""

import imblearn.over_sampling as theirs
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from dsmote import (
    ADASYN,
    SMOTE,
    SMOTEN,
    SMOTENC,
    SVMSMOTE,
    BorderlineSMOTE,
    KMeansSMOTE,
    RandomOverSampler,
)
from tests.samplers import family
from tests.tables import overlapping, peak_of


def two_classes(n=300, minority=40):
    """The target alone: the minority at the end."""
    return np.repeat([0, 1], [n - minority, minority])


# ---- columns that are not floats


@pytest.mark.parametrize("dtype", ["int8", "int64", "float64"])
def test_levels_are_those_of_neighbours_beside_small_integers(dtype):
    """Theirs marks codes with half the median deviation, which whole numbers cut to 0."""
    rng = np.random.default_rng(0)
    y = two_classes(200, 50)
    X = pd.DataFrame(rng.integers(0, 2, size=(200, 2)), columns=["a", "b"]).astype(dtype)
    X["level"] = np.where(y == 1, 7, rng.integers(0, 9, 200))
    made = {}
    for name, kind in (("ours", SMOTENC), ("theirs", theirs.SMOTENC)):
        made[name] = kind(["level"], random_state=0).fit_resample(X, y)[0]["level"][200:]
    assert set(made["ours"]) == {7}
    assert (set(made["theirs"]) == {7}) == (dtype == "float64")


def test_whole_numbers_are_rounded_and_not_cut_off():
    rng = np.random.default_rng(0)
    y = two_classes(600, 200)
    X = rng.integers(0, 40, size=(600, 3))
    off = {}
    for name, kind in (("ours", SMOTE), ("theirs", theirs.SMOTE)):
        # The same draws on floats say what the whole numbers should have been.
        whole, exact = (
            kind(random_state=0).fit_resample(x, y)[0][600:] for x in (X, X.astype(float))
        )
        assert whole.dtype == X.dtype
        off[name] = whole - exact
    assert np.abs(off["ours"]).max() <= 0.5
    assert abs(off["ours"].mean()) < 0.05
    assert off["theirs"].mean() < -0.3


def test_truth_values_are_as_often_true_as_in_the_class():
    rng = np.random.default_rng(0)
    y = two_classes(2_000, 500)
    # In two columns so wide that false and true rows are neighbours.
    wide = 20 * rng.normal(size=(2_000, 2))
    X = pd.DataFrame(wide, columns=["a", "c"]).assign(b=rng.random(2_000) < 0.5)
    share = X["b"][y == 1].mean()
    ours, original = (
        kind(random_state=0).fit_resample(X, y)[0]["b"] for kind in (SMOTE, theirs.SMOTE)
    )
    assert ours.dtype == original.dtype == bool
    assert abs(ours[2_000:].mean() - share) < 0.05
    # Anything between False and True is not 0, and so True.
    assert original[2_000:].mean() > share + 0.1


# ---- draws


def test_classes_of_equal_size_have_draws_of_their_own():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(20, 2))
    X = np.r_[few, few + 128.0, rng.normal(50, 1, size=(80, 2))]
    y = np.repeat([0, 1, 2], [20, 20, 80])
    original = theirs.SMOTE(random_state=0).fit_resample(X, y)[0][120:]
    np.testing.assert_allclose(original[:60] + 128.0, original[60:], atol=1e-9)
    for kind in (SMOTE, RandomOverSampler):
        made = kind(random_state=0).fit_resample(X, y)[0][120:]
        assert np.abs(made[:60] + 128.0 - made[60:]).max() > 0.5
        # Nor are they the same in another order.
        one, other = (np.sort(part[:, 0]) for part in (made[:60] + 128.0, made[60:]))
        assert not np.allclose(one, other, atol=1e-9)


# ---- numbers and names


def test_names_are_voted_on_whatever_the_unit_of_the_numbers_is():
    rng = np.random.default_rng(0)
    y = two_classes()
    rare = {}
    x = rng.normal(size=300)
    for unit in (1.0, 1e-10):
        X = pd.DataFrame({"x": x * unit, "c": np.where(np.arange(300) % 10, "common", "rare")})
        for name, kind in (("ours", SMOTENC), ("theirs", theirs.SMOTENC)):
            made = kind(categorical_features=["c"], random_state=0).fit_resample(X, y)[0]
            rare[name, unit] = (made["c"].iloc[300:] == "rare").mean()
    assert rare["ours", 1.0] == rare["ours", 1e-10] < 0.05
    assert rare["theirs", 1.0] < 0.05
    assert rare["theirs", 1e-10] > 0.3  # a vote is a tie up to 1e-8


def test_many_levels_take_no_memory_for_each_new_row():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=2_300), "c": [f"{i % 1_000}" for i in range(2_300)]})
    y = two_classes(2_300, 650)
    ours, original = (
        kind(categorical_features=["c"], random_state=0) for kind in (SMOTENC, theirs.SMOTENC)
    )
    ours.fit_resample(X, y)  # what is imported and cached on the way
    # 1,000 new rows x 5 neighbours x 1,000 levels x 8 bytes are 40 MB.
    assert peak_of(lambda: original.fit_resample(X, y)) > 40e6
    assert peak_of(lambda: ours.fit_resample(X, y)) < 8e6


def names(n, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.integers(0, 12, size=(n, 4)), columns=list("abcd")).astype("str")


def test_names_are_compared_without_a_matrix_of_rows_by_rows():
    small = names(2_200), two_classes(2_200, 1_000)
    SMOTEN(random_state=0).fit_resample(*small)
    matrix = 1_000**2 * 8
    assert peak_of(lambda: theirs.SMOTEN(random_state=0).fit_resample(*small)) > matrix
    assert peak_of(lambda: SMOTEN(random_state=0).fit_resample(*small)) < matrix / 2
    # 20,000 rows of the class: such a matrix has 3,200 MB.
    X, y = names(41_000), two_classes(41_000, 20_000)
    made = []
    assert peak_of(lambda: made.extend(SMOTEN(random_state=0).fit_resample(X, y))) < 60e6
    assert np.bincount(made[1]).tolist() == [21_000, 21_000]


def test_ties_of_the_vote_are_drawn():
    """The base row and its only neighbour vote in both, and disagree; theirs takes the first."""
    X, y = np.array([["b"], ["a"], *[["z"]] * 40], dtype=object), np.repeat([1, 0], [2, 40])
    original = theirs.SMOTEN(k_neighbors=1, random_state=0).fit_resample(X, y)[0]
    assert set(original[42:, 0]) == {"a"}
    sampler = SMOTEN(k_neighbors=1, random_state=0, provenance="full")
    made = sampler.fit_resample(X, y)[0]
    found = set(zip(sampler.provenance_["base_row"][42:], made[42:, 0], strict=True))
    assert found == {(0, "a"), (0, "b"), (1, "a"), (1, "b")}


# ---- classes that are left alone, and totals that are missed


def far_apart():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(90, 2)), rng.normal(50, 1, size=(30, 2))]
    return X, two_classes(120, 30)


@pytest.mark.parametrize("kind", ["borderline-1", "borderline-2"])
def test_a_class_without_a_row_in_danger_is_not_left_alone_silently(kind):
    X, y = far_apart()
    assert len(theirs.BorderlineSMOTE(random_state=0, kind=kind).fit_resample(X, y)[0]) == 120
    with pytest.raises(ValueError, match=r"class 1 has no row in danger: of 30 rows 30 .*SMOTE"):
        BorderlineSMOTE(random_state=0, kind=kind).fit_resample(X, y)
    sampler = BorderlineSMOTE(random_state=0, kind=kind, on_empty="smote")
    X_res, y_res = sampler.fit_resample(X, y)
    assert np.bincount(y_res).tolist() == [90, 90]
    assert (np.abs(X_res[120:] - 50) < 5).all()
    assert sampler.in_danger_indices[1].tolist() == []


def test_totals_are_met_where_theirs_are_missed():
    X, y = overlapping()
    missed = 0
    for wanted in (100, 153, 200):
        how = {"random_state": 0, "sampling_strategy": {1: wanted}}
        assert (ADASYN(**how).fit_resample(X, y)[1] == 1).sum() == wanted
        missed += (theirs.ADASYN(**how).fit_resample(X, y)[1] == 1).sum() != wanted
    assert missed
    clustering = KMeans(n_clusters=6, n_init=1, random_state=0)
    how = {"random_state": 0, "kmeans_estimator": clustering, "cluster_balance_threshold": 0.05}
    assert (theirs.KMeansSMOTE(**how).fit_resample(X, y)[1] == 1).sum() > 200
    made = [
        KMeansSMOTE(density_exponent=exponent, **how).fit_resample(X, y)
        for exponent in ("auto", 2.0, 1.0)  # the paper's is the number of columns
    ]
    assert all(np.bincount(y_res).tolist() == [200, 200] for _, y_res in made)
    np.testing.assert_array_equal(made[0][0], made[1][0])
    assert not np.array_equal(made[0][0], made[2][0])


def test_support_vectors_all_of_one_group_get_all_new_rows():
    X, y = far_apart()
    assert (theirs.SVMSMOTE(random_state=0).fit_resample(X, y)[1] == 1).sum() < 90
    sampler = SVMSMOTE(random_state=0, provenance="full")
    assert np.bincount(sampler.fit_resample(X, y)[1]).tolist() == [90, 90]
    report = sampler.neighbors_report_[1]
    assert report["danger"] == 0 < report["safe"]
    assert (sampler.provenance_["gap"].iloc[120:] <= 0).all()
    # And the other way round: a class in whose midst the others are.
    rng = np.random.default_rng(1)
    X = np.r_[rng.normal(size=(200, 2)), rng.normal(size=(30, 2))]
    y = two_classes(230, 30)
    inward = SVMSMOTE(random_state=0, m_neighbors=4, provenance="full")
    assert np.bincount(inward.fit_resample(X, y)[1]).tolist() == [200, 200]
    report = inward.neighbors_report_[1]
    assert report["safe"] == 0 < report["danger"]
    assert (inward.provenance_["gap"].iloc[230:] >= 0).all()
    how = {"random_state": 0, "m_neighbors": 4}
    assert (theirs.SVMSMOTE(**how).fit_resample(X, y)[1] == 1).sum() < 200


OVER = family()


@pytest.mark.parametrize("name", OVER)
def test_a_row_is_not_its_own_neighbour_when_others_equal_it(name):
    """On points of a grid, many of them more than once, and in both classes."""
    rng = np.random.default_rng(3)
    y = rng.permutation(np.repeat([0, 1], [150, 50]))
    X = rng.integers(0, 6, size=(200, 3)).astype(float) * [1, 1, 0]
    original = theirs.SMOTE(random_state=0)
    original.fit_resample(X, y)
    found = original.nn_k_.kneighbors(X[y == 1], return_distance=False)[:, 1:]
    assert (found == np.arange(50)[:, None]).any()  # the first found was its twin
    kind, how = OVER[name]
    X[:, 2] = X[:, 0] % 2 if name == "smotenc" else 0
    sampler = kind(random_state=0, provenance="full", **how)
    sampler.fit_resample(X, y)
    came = sampler.provenance_.iloc[200:]
    assert len(came) == 100
    assert (came["base_row"] != came["neighbour_row"].fillna(-1)).all()
