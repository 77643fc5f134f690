"""What the over-samplers share beyond SMOTE: provenance, groups, weights, and their errors."""

from datetime import date

import dask
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.svm import SVC

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
from tests.samplers import family, having
from tests.tables import assert_same_bits, dask_array, dask_frame, even, mixed, numbers

N, FEW = 120, 40
TABLE = numbers(N, FEW, 3)
X, Y = TABLE.drop(columns="y"), TABLE["y"]
NAMES = X.round().astype(int)

FAMILY = family()
SEARCHING = having("on_small_group", FAMILY)
BETWEEN = [name for name in SEARCHING if name in having("missing", FAMILY)]
COPYING = [name for name in FAMILY if name not in BETWEEN]


def sampler(name, **more):
    kind, how = FAMILY[name]
    return kind(random_state=0, **(how | more))


def features(name):
    return NAMES if name == "smoten" else X


# Where rows came from


@pytest.mark.parametrize("name", FAMILY)
def test_a_flag_says_which_rows_are_new_and_changes_none(name):
    plain, labels = sampler(name).fit_resample(features(name), Y)
    found, _ = sampler(name, provenance="flag").fit_resample(features(name), Y)
    assert list(found.columns) == [*X.columns, "synthetic"]
    assert found["synthetic"].dtype == bool
    assert found["synthetic"].tolist() == [False] * N + [True] * FEW
    assert_same_bits(found.drop(columns="synthetic"), plain)
    assert len(labels) == N + FEW


@pytest.mark.parametrize("name", BETWEEN)
def test_new_rows_can_be_made_again_from_what_is_said_of_their_parents(name):
    found, labels = sampler(name, provenance="full").fit_resample(X, Y)
    new = found[N:]
    base, near = (X.to_numpy()[new[c].astype(int)] for c in ("base_row", "neighbour_row"))
    again = base + new["gap"].to_numpy()[:, None] * (near - base)
    np.testing.assert_allclose(new[list(X.columns)], again, rtol=1e-12, atol=1e-12)
    of_base, of_near = (Y.to_numpy()[new[c].astype(int)] for c in ("base_row", "neighbour_row"))
    assert (of_base == 1).all()
    assert (labels[N:] == 1).all()
    gaps = new["gap"].to_numpy()
    if name == "borderline-2":
        assert (of_near == 0).any()
        assert (gaps[of_near == 0] < 0.5).all()
    else:
        assert (of_near == 1).all()
    assert (gaps < 1).all()
    assert (gaps >= (-0.5 if name == "svm" else 0)).all()
    assert found.iloc[:N][["base_row", "neighbour_row", "gap"]].isna().all(axis=None)


@pytest.mark.parametrize("name", COPYING)
def test_where_there_is_no_single_neighbour_none_is_named(name):
    found, _ = sampler(name, provenance="full").fit_resample(features(name), Y)
    new = found[N:]
    assert (Y.iloc[new["base_row"].astype(int)] == 1).all()
    assert new["neighbour_row"].isna().all()
    if name in ("random", "smoothed", "smoten"):
        assert new["gap"].isna().all()
    if name == "random":
        assert_same_bits(new[list(X.columns)], X.iloc[new["base_row"].astype(int)])


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("lazy", [False, True])
def test_arrays_have_their_provenance_beside_them(name, lazy):
    frame = sampler(name, provenance="full").fit_resample(features(name), Y)[0]
    expected = frame.drop(columns=X.columns)
    how = sampler(name, provenance="full")
    given = features(name).to_numpy(), Y.to_numpy()
    with dask.config.set(scheduler="synchronous"):
        if lazy:
            how.fit_resample(*(dask_array(a, even(N, 4)) for a in given))
            found = how.provenance_.compute()
        else:
            made, _ = how.fit_resample(*given)
            assert_same_bits(made, frame[X.columns].to_numpy())
            found = how.provenance_
    assert list(found.columns) == list(expected.columns)
    assert found.dtypes.equals(expected.dtypes)
    assert_same_bits(found, expected)


def test_provenance_of_an_earlier_array_is_forgotten():
    how = SMOTE(random_state=0, provenance="full")
    how.fit_resample(X.to_numpy(), Y)
    assert len(how.provenance_) == N + FEW
    how.fit_resample(X, Y)
    assert not hasattr(how, "provenance_")


@pytest.mark.parametrize("name", FAMILY)
def test_carried_columns_of_the_parents(name):
    ids = pd.Series(np.arange(N) + 1_000)
    kinds = pd.Categorical(np.where(np.arange(N) % 3, "odd", "even"))
    table = features(name).assign(id=ids, kind=kinds)
    how = sampler(name, provenance="full", carry=["id", "kind"])
    found, _ = how.fit_resample(table, Y)
    new = found[N:]
    assert new[["id", "kind"]].isna().all(axis=None)
    assert (new["id_base"] - 1_000).tolist() == new["base_row"].tolist()
    assert new["kind_base"].tolist() == kinds[new["base_row"].astype(int)].tolist()
    known = new["id_neighbour"].notna()
    ours = new["neighbour_row"].isin(np.flatnonzero(Y == 1))
    assert known.tolist() == ours.tolist()
    assert (new["id_neighbour"] - 1_000)[known].tolist() == new["neighbour_row"][known].tolist()
    lazy, _ = how.fit_resample(dask_frame(table, even(N, 3)), dask_frame(Y, even(N, 3)))
    parts = dask.compute(*lazy.to_delayed(), scheduler="synchronous")
    assert all(part.dtypes.equals(lazy._meta.dtypes) for part in parts)
    assert_same_bits(pd.concat(parts), found)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("provenance", "name"),
    [("flag", "synthetic"), ("full", "gap"), ("full", "id_base"), ("full", "base_row")],
)
def test_names_that_are_taken(lazy, provenance, name):
    table = TABLE.assign(id=1, **{name: 2.0})
    given = dask_frame(table, [60, 60]) if lazy else table
    how = SMOTE(provenance=provenance, carry=["id"])
    with pytest.raises(ValueError, match=f"adds the column '{name}', which the table has already"):
        how.resample(given, target="y")


@pytest.mark.parametrize("wrong", [True, "all", 1])
def test_other_provenance(wrong):
    with pytest.raises(ValueError, match="The 'provenance' parameter of SMOTE must be"):
        SMOTE(provenance=wrong).fit_resample(X, Y)


# Groups


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("kind", ["array", "text", "categories", "column"])
def test_neighbours_and_new_rows_stay_in_their_group(name, kind):
    groups = pd.Series(np.arange(N) % 2, name="g")
    if kind in ("text", "categories"):
        groups = groups.map({0: "p", 1: "q"})
    if kind == "categories":
        groups = groups.astype("category")
    how = sampler(
        name, provenance="full", **({"on_small_group": "copy"} if name == "kmeans" else {})
    )
    table = features(name)
    if kind == "column":
        found, _ = how.fit_resample(table.assign(g=groups), Y, groups="g")
        out = found["g"]
    else:
        given = groups.to_numpy() if kind == "array" else groups
        found, _, out = how.fit_resample(table, Y, groups=given)
        assert type(out) is type(given)
        out = pd.Series(out)
    assert out.dtype == groups.dtype
    assert out[:N].tolist() == groups.tolist()
    new = found[N:]
    base = groups.iloc[new["base_row"].astype(int)]
    assert out[N:].tolist() == base.tolist()
    if name in BETWEEN:
        assert groups.iloc[new["neighbour_row"].astype(int)].tolist() == base.tolist()
    assert set(out[N:]) == set(groups)


def test_cross_validation_by_group_has_no_leak():
    """No row of the training folds was made from a row of the test fold."""
    groups = np.random.default_rng(0).integers(0, 4, N)
    how = SMOTE(random_state=0, k_neighbors=2, provenance="full", on_small_group="copy")
    X_res, y_res, groups_res = how.fit_resample(X, Y, groups=groups)
    of = X_res["base_row"].fillna(pd.Series(X_res.index)).astype(int).to_numpy()
    near = X_res["neighbour_row"].fillna(pd.Series(of)).astype(int).to_numpy()
    for train, test in GroupKFold(4).split(X_res, y_res, groups_res):
        for parents in (of, near):
            assert not set(parents[train]) & set(parents[test])
    ungrouped = SMOTE(random_state=0, k_neighbors=2, provenance="full").fit_resample(X, Y)[0][N:]
    mixed_up = groups[ungrouped["base_row"].astype(int)] != groups[
        ungrouped["neighbour_row"].astype(int)
    ]  # fmt: skip
    assert mixed_up.any()


def test_a_group_column_is_not_measured():
    far = TABLE.assign(g=np.where(np.arange(N) % 2, 1e9, 0.0))
    found = SMOTE(random_state=0).resample(far, target="y", groups="g")
    assert_same_bits(
        found[list("abc")],
        SMOTE(random_state=0).fit_resample(X, Y, groups=(far["g"] > 0).to_numpy())[0],
    )
    assert set(found["g"]) == {0.0, 1e9}


def test_missing_groups_are_one_group():
    groups = pd.Series(np.where(np.arange(N) % 2, "p", None), dtype=object)
    found, _, out = SMOTE(random_state=0, provenance="full").fit_resample(X, Y, groups=groups)
    new = found[N:]
    missing = out[N:].isna().to_numpy()
    assert 0 < missing.sum() < FEW
    for column in ("base_row", "neighbour_row"):
        np.testing.assert_array_equal(groups.isna()[new[column].astype(int)], missing)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.ones(3), "groups has 3 values, but X has 120 rows; give one value for each row"),
        (np.ones((N, 2)), r"groups must have one dimension.* but has the shape \(120, 2\)"),
        ("z", "there is no column 'z' of groups; the columns are 'a', 'b', 'c'"),
    ],
)
def test_groups_that_do_not_fit(groups, message):
    with pytest.raises(ValueError, match=message):
        SMOTE().fit_resample(X, Y, groups=groups)


@pytest.mark.parametrize("name", SEARCHING)
def test_groups_that_are_too_small_are_named(name):
    groups = np.zeros(N, dtype=int)
    few = np.flatnonzero(Y == 1)
    groups[few[:2]], groups[few[2]] = 7, 8
    message = r"class 1 has 2 group\(s\) of fewer than \d rows \(k \+ 1\).*: 7: 2, 8: 1; lower"
    with pytest.raises(ValueError, match=message):
        sampler(name).fit_resample(features(name), Y, groups=groups)


@pytest.mark.parametrize("k", [2, 5])
def test_a_group_of_k_rows_is_too_small_and_one_of_k_plus_1_is_not(k):
    few = np.flatnonzero(Y == 1)
    for rows in (k, k + 1):
        groups = np.zeros(N, dtype=int)
        groups[few[:rows]] = 7
        how = {"random_state": 0, "k_neighbors": k, "provenance": "full"}
        how["sampling_strategy"] = {1: 500}
        if rows == k:
            message = rf"class 1 has 1 group\(s\) of fewer than {k + 1} rows \(k \+ 1\).*: 7: {k};"
            with pytest.raises(ValueError, match=message):
                SMOTE(**how).fit_resample(X, Y, groups=groups)
        for what in ("error", "copy", "skip")[rows == k :]:
            found, _, out = SMOTE(on_small_group=what, **how).fit_resample(X, Y, groups=groups)
            new = found[N:][out[N:] == 7]
            copies = (new["base_row"] == new["neighbour_row"]).to_numpy()
            assert (len(new) > 0) == (what != "skip" or rows == k + 1)
            assert copies.all() if rows == k else not copies.any()


def test_a_cluster_of_k_rows_is_too_small_and_one_of_k_plus_1_is_not():
    rng = np.random.default_rng(0)
    heaps = KMeans(n_clusters=2, n_init=1, random_state=0)
    for rows, clusters in ((3, 1), (4, 2)):
        # So many rows of the class in the heap at 0; always 8 in that at 100.
        features = np.r_[rng.normal(size=(20 + rows, 2)), rng.normal(100, 1, size=(28, 2))]
        labels = np.repeat([0, 1, 0, 1], [20, rows, 20, 8])
        sampler = KMeansSMOTE(
            random_state=0, k_neighbors=3, kmeans_estimator=heaps, cluster_balance_threshold=0.0
        )
        made = sampler.fit_resample(features, labels)[0][len(features) :]
        assert sampler.neighbors_report_[1]["clusters"] == clusters
        assert (made[:, 0] < 50).any() == (clusters == 2)


@pytest.mark.parametrize("name", SEARCHING)
def test_no_group_is_large_enough(name):
    groups = np.arange(N)
    with pytest.raises(ValueError, match=r"class 1 has no group of at least \d rows \(k \+ 1\)"):
        sampler(name, on_small_group="skip").fit_resample(features(name), Y, groups=groups)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_column_of_groups_has_no_other_role(lazy):
    table = features("smote").assign(g=np.arange(N) % 2, y=Y)
    table = dask_frame(table, [60, 60]) if lazy else table
    with pytest.raises(ValueError, match=r"column 'g' is in carry and names the groups, too.*take"):
        SMOTE(carry=["g"]).resample(table, target="y", groups="g")
    with pytest.raises(ValueError, match=r"target column 'y' cannot be the groups.*leave groups"):
        SMOTE().resample(table, target="y", groups="y")


@pytest.mark.parametrize(
    ("shrinkage", "message"),
    [
        ({0: 0.5}, r"`shrinkage` should contain .* missing classes are \[1\]"),
        ({1: -0.5}, r"The shrinkage factor needs to be >= 0. Got -0.5 for class 1"),
        ({1: "much"}, r"The shrinkage factor needs to be >= 0. Got 'much' for class 1"),
        ({1: np.nan}, r"The shrinkage factor needs to be >= 0. Got nan for class 1"),
        (-1.0, "'shrinkage' parameter of RandomOverSampler must be a float in the range"),
        (np.nan, "'shrinkage' parameter of RandomOverSampler must be a float in the range"),
    ],
)
def test_shrinkage_that_is_none(shrinkage, message):
    with pytest.raises(ValueError, match=message):
        RandomOverSampler(shrinkage=shrinkage).fit_resample(X, Y)


# Weights


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64", "bool"])
def test_weights_lie_between_those_of_the_parents(name, dtype):
    weights = np.random.default_rng(0).integers(0, 9, N).astype(dtype)
    found, _, out = sampler(name, provenance="full").fit_resample(X, Y, sample_weight=weights)
    assert isinstance(out, np.ndarray)
    assert out.dtype == ("float32" if dtype == "float32" else "float64")
    np.testing.assert_array_equal(out[:N], weights)
    new = found[N:]
    own, near = (weights[new[c].astype(int)].astype(float) for c in ("base_row", "neighbour_row"))
    assert (out[N:] >= np.minimum(own, near)).all()
    assert (out[N:] <= np.maximum(own, near)).all()
    inside = (new["gap"] > 0).to_numpy()
    expected = own + new["gap"].to_numpy() * (near - own)
    np.testing.assert_allclose(out[N:][inside], expected[inside], rtol=1e-6)


@pytest.mark.parametrize("name", ["random", "smoothed"])
def test_copies_have_the_weight_of_their_row(name):
    weights = pd.Series(np.arange(N), name="w")
    found, _, out = sampler(name, provenance="full").fit_resample(X, Y, sample_weight=weights)
    assert out.name == "w"
    assert out[N:].tolist() == found["base_row"][N:].tolist()


def test_where_all_vote_the_weight_is_the_mean():
    weights = np.random.default_rng(0).random(N)
    few = weights[Y == 1]
    out = SMOTEN(random_state=0, k_neighbors=FEW - 1).fit_resample(NAMES, Y, sample_weight=weights)
    np.testing.assert_allclose(out[2][N:], few.mean())


def test_weights_come_third_and_groups_last():
    made = SMOTE(random_state=0).fit_resample(
        X, Y, groups=np.zeros(N, dtype=int), sample_weight=np.ones(N)
    )
    assert [len(one) for one in made] == [N + FEW] * 4
    assert made[2].tolist() == [1.0] * (N + FEW)
    assert made[3].tolist() == [0] * (N + FEW)


def test_weights_and_groups_change_no_row():
    plain = SMOTE(random_state=0).fit_resample(X, Y)
    beside = SMOTE(random_state=0).fit_resample(
        X, Y, sample_weight=np.ones(N), groups=np.zeros(N, dtype=int)
    )
    for one, other in zip(beside, plain, strict=False):
        assert_same_bits(one, other)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["U1", "M8[D]", "i1", ">i4", "O"])
def test_arrays_of_weights_and_groups_keep_their_dtype(kind, lazy):
    groups = np.array([1, 2] * (N // 2)).astype(kind)
    weights = np.ones(N, dtype=">f8")
    given = [X, Y, weights, groups]
    if lazy:
        given = [dask_array(np.asarray(one), [80, N - 80]) for one in given]
    made = SMOTE(k_neighbors=2, random_state=0).fit_resample(
        given[0], given[1], sample_weight=given[2], groups=given[3]
    )
    for found, was in zip(made[2:], (weights, groups), strict=True):
        found = found.compute(scheduler="sync") if lazy else found
        assert found.dtype == was.dtype
        assert found[:N].tolist() == was.tolist()


def test_weights_of_mixed_tables():
    table = mixed()
    weights = np.arange(N) * 1.0
    how = SMOTENC(random_state=0, provenance="full")
    found, _, out = how.fit_resample(table.drop(columns="y"), table["y"], sample_weight=weights)
    new = found[N:]
    own, near = (weights[new[c].astype(int)] for c in ("base_row", "neighbour_row"))
    np.testing.assert_allclose(out[N:], own + new["gap"] * (near - own))


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones(3), ValueError, "sample_weight has 3 values, but X has 120 rows"),
        (np.ones((N, 1)), ValueError, "sample_weight must have one dimension"),
        (pd.Series(["heavy"] * N), TypeError, "sample_weight must hold numbers, but has dtype"),
        (np.ones(N) * 1j, TypeError, "sample_weight must hold numbers, but has dtype complex128"),
        (pd.Series(["heavy"] * N, dtype=object), TypeError, "sample_weight must hold numbers: "),
        (np.repeat([np.nan, 1], [1, N - 1]), ValueError, "missing or infinite in 1 row;"),
        (np.repeat([1, np.inf], [N - 2, 2]), ValueError, "missing or infinite in 2 rows; .*fill"),
        (pd.Series([1, None] * (N // 2), dtype="Int64"), ValueError, "infinite in 60 rows"),
    ],
)
def test_weights_that_do_not_fit(weights, error, message):
    with pytest.raises(error, match=message):
        SMOTE().fit_resample(X, Y, sample_weight=weights)


def test_weights_on_dask_are_looked_at_while_computing():
    weights = Y.astype(float).where(np.arange(N) != 70)
    made = SMOTE().fit_resample(
        *(dask_frame(each, [60, 60]) for each in (X, Y)),
        sample_weight=dask_frame(weights, [60, 60]),
    )
    with pytest.raises(ValueError, match="sample_weight is missing or infinite in 1 row"):
        made[0].compute(scheduler="synchronous")


def test_weights_on_dask_that_do_not_fit():
    X_, y_ = dask_frame(X, [60, 60]), dask_frame(Y, [60, 60])
    for weights, error, message in (
        (np.ones(N), TypeError, "X is a Dask collection .* but sample_weight is in memory"),
        (
            dask_array(np.ones(N), [40, 40, 40]),
            ValueError,
            "X has 2 partitions and sample_weight 3",
        ),
        (dask_frame(Y.astype(str), [60, 60]), TypeError, "sample_weight must hold numbers"),
    ):
        with pytest.raises(error, match=message):
            SMOTE().fit_resample(X_, y_, sample_weight=weights)
    made = SMOTE().fit_resample(X_, y_, sample_weight=dask_array(np.ones(N), [59, 61]))
    message = "sample_weight is partitioned differently from X: a partition of X has 60 rows"
    with pytest.raises(ValueError, match=message):
        made[0].compute(scheduler="synchronous")


# Classes that are too small


@pytest.mark.parametrize("name", SEARCHING)
def test_small_classes_are_named_with_the_remedy(name):
    labels = Y.copy()
    labels.iloc[[3, 4]] = 2
    k_name = "n_neighbors" if name == "adasyn" else "k_neighbors"
    message = (
        rf"class 2 has 2 rows, but {k_name}=\d needs at least \d \(k \+ 1\); lower {k_name} to 1, "
        "leave the class out of sampling_strategy, or pass on_small_class='copy' or 'skip'"
    )
    with pytest.raises(ValueError, match=message):
        sampler(name).fit_resample(features(name), labels)


@pytest.mark.parametrize("name", SEARCHING)
def test_small_classes_that_are_copied_or_left(name):
    labels = Y.copy()
    labels.iloc[[3, 4]] = 2
    how = sampler(name, on_small_class="copy", provenance="full")
    found, made = how.fit_resample(features(name), labels)
    most = int((labels == 0).sum())
    assert (made == 2).sum() == most
    copies = found[N:][(made[N:] == 2).to_numpy()]
    assert set(copies["base_row"]) == {3, 4}
    assert copies["neighbour_row"].isna().all()
    assert how.neighbors_report_[2]["engine"] == "copy"
    assert any("so copied: " in text for text in how.plan_.warnings)
    how = sampler(name, on_small_class="skip")
    _, made = how.fit_resample(features(name), labels)
    assert (made == 2).sum() == 2
    assert (made == 1).sum() == most
    assert 2 not in how.neighbors_report_


# What each sampler cannot do


def apart():
    """The classes are far from each other."""
    return X.assign(a=X["a"] + 1_000 * Y)


def alone():
    """Each row of the class is among rows of the other."""
    many = np.arange(40.0).repeat(12)
    values = np.concatenate([many, np.arange(40.0)])[:, None]
    return values, np.repeat([0, 1], [480, 40])


def test_borderline_without_rows_in_danger():
    message = (
        "class 1 has no row in danger: of 40 rows 40 have fewer than half of their 10 nearest rows "
        "in other classes and 0 have all of them there; use SMOTE, another m_neighbors, or on_empty"
    )
    with pytest.raises(ValueError, match=message):
        BorderlineSMOTE().fit_resample(apart(), Y)
    with pytest.raises(ValueError, match=r"of 40 rows 0 have .* and 40 have all of them there"):
        BorderlineSMOTE().fit_resample(*alone())
    for kind in ("borderline-1", "borderline-2"):
        how = BorderlineSMOTE(on_empty="smote", kind=kind, random_state=0)
        assert len(how.fit_resample(apart(), Y)[0]) == N + FEW
        assert not len(how.in_danger_indices[1])


def test_borderline_says_which_rows_are_in_danger():
    how = BorderlineSMOTE(random_state=0, provenance="full")
    found, _ = how.fit_resample(X, Y)
    danger = how.in_danger_indices[1]
    assert set(found["base_row"][N:]) <= set(danger.tolist())
    squares = ((X.to_numpy()[:, None] - X.to_numpy()) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    others = (Y.to_numpy()[np.argsort(squares, axis=1)[:, :10]] == 0).sum(axis=1)
    expected = np.flatnonzero((Y == 1) & (others >= 5) & (others < 10))
    assert danger.tolist() == expected.tolist()


def test_adasyn_without_other_classes_nearby():
    with pytest.raises(ValueError, match=r"class 1 has no row with a row of another class among "):
        ADASYN().fit_resample(apart(), Y)


def test_adasyn_gives_shares():
    found, _ = ADASYN(random_state=0, provenance="full").fit_resample(X, Y)
    squares = ((X.to_numpy()[:, None] - X.to_numpy()) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    others = (Y.to_numpy()[np.argsort(squares, axis=1)[:, :5]] == 0).sum(axis=1) * (Y == 1)
    copies = np.bincount(found["base_row"][N:].astype(int), minlength=N)
    assert (np.abs(copies - FEW * others / others.sum()) < 1).all()


def test_kmeans_without_a_cluster():
    message = (
        r"class 1: no cluster found with sufficient samples: none of 8 clusters has at least 3 "
        r"rows of it \(k \+ 1\) and a share of at least 0\.99; its largest share is .*lower "
        "cluster_balance_threshold or k_neighbors"
    )
    with pytest.raises(ValueError, match=message):
        KMeansSMOTE(random_state=0, cluster_balance_threshold=0.99).fit_resample(X, Y)


LABELS = {
    "datetime": [pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")],
    "date": [date(2020, 1, 1), date(2021, 1, 1)],
    "tuple": [("a", 1), ("a", 2)],
    "bytes": [b"no", b"yes"],
    "mixed": [1, "one"],
    "bool": [False, True],
    "float": [-1.0, 2.0],
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("name", FAMILY)
def test_new_rows_do_not_depend_on_the_kind_of_labels(name, kind):
    """Only the order of the labels counts."""
    labels = pd.Series([LABELS[kind][i] for i in Y], dtype=object).infer_objects()
    expected, numbered = sampler(name).fit_resample(features(name), Y)
    found, named = sampler(name).fit_resample(features(name), labels)
    assert_same_bits(found, expected)
    assert [LABELS[kind].index(label) for label in named] == numbered.tolist()
    with dask.config.set({"dataframe.convert-string": False, "scheduler": "synchronous"}):
        pair = (dask_frame(of, even(N, 3)) for of in (features(name), labels))
        found, named = dask.compute(*sampler(name).fit_resample(*pair))
    assert_same_bits(found.reset_index(drop=True), expected)
    assert [LABELS[kind].index(label) for label in named] == numbered.tolist()


@pytest.mark.parametrize("kind", LABELS)
def test_svm_weighs_classes_by_their_labels(kind):
    few, many = LABELS[kind][1], LABELS[kind][0]
    labels = pd.Series([LABELS[kind][i] for i in Y], dtype=object).infer_objects()
    found, expected = (
        SVMSMOTE(svm_estimator=SVC(class_weight=weights), random_state=0).fit_resample(X, y)[0]
        for y, weights in ((labels, {few: 9.0, many: 0.5}), (Y, {1: 9.0, 0: 0.5}))
    )
    assert_same_bits(found, expected)
    assert not found.equals(SVMSMOTE(random_state=0).fit_resample(X, labels)[0])


@pytest.mark.parametrize("lazy", [False, True])
def test_svm_of_one_class_says_so(lazy):
    table = TABLE.assign(a=TABLE["a"].where(TABLE["y"] == 1))
    given = dask_frame(table, [60, 60]) if lazy else table
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(ValueError, match=r"rows of 2 classes, but all 40 rows .* of one class"),
    ):
        dask.compute(SVMSMOTE(missing="skip", random_state=0).resample(given, target="y"))


def test_svm_with_noise_only():
    with pytest.raises(
        ValueError, match=r"class 1 has \d+ support vectors, of which \d+ are noise"
    ):
        SVMSMOTE(random_state=0).fit_resample(*alone())


@pytest.mark.parametrize("lazy", [False, True])
def test_svm_that_has_no_vectors(lazy):
    how = SVMSMOTE(svm_estimator=LogisticRegression())
    given = dask_frame(TABLE, [60, 60]) if lazy else TABLE
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(ValueError, match="LogisticRegression, which has no attribute support_"),
    ):
        dask.compute(how.resample(given, target="y"))


@pytest.mark.parametrize(
    ("how", "around"),
    [
        (ADASYN(n_neighbors=5), 5),
        (BorderlineSMOTE(m_neighbors=20), 20),
        (BorderlineSMOTE(m_neighbors=3, k_neighbors=7, kind="borderline-2"), 7),
        (SVMSMOTE(m_neighbors=12), 12),
    ],
)
def test_the_nearest_of_all_rows_are_part_of_the_projected_memory(how, around):
    plain = SMOTE(k_neighbors=7, neighbors="tree").plan(X, Y).memory
    found = how.plan(X, Y).memory
    values = 7 * 3 * 8 if getattr(how, "kind", "") == "borderline-2" else 0
    assert found.index_bytes - plain.index_bytes == FEW * (20 * around + values)
    assert len(how.plan_.passes) == 3


def test_more_neighbours_of_all_rows_than_there_are_rows():
    with pytest.raises(ValueError, match="the table has 120 rows, but the 120 nearest of all rows"):
        BorderlineSMOTE(m_neighbors=N).fit_resample(X, Y)


def clusters_with_small_groups():
    """Four rows of the class are a cluster of their own, in groups of two."""
    far = np.flatnonzero(Y == 1)[:4]
    moved = X.copy()
    moved.iloc[far] += 100.0
    groups = np.zeros(N, dtype=int)
    groups[far] = [1, 1, 2, 2]
    return moved, groups, far


def test_kmeans_copies_rows_of_small_groups():
    moved, groups, far = clusters_with_small_groups()
    how = sampler("kmeans", kmeans_estimator=2, on_small_group="copy", provenance="full")
    found, _, out = how.fit_resample(moved, Y, groups=groups)
    new = found[N:]
    lone = new["base_row"].isin(far).to_numpy()
    assert lone.any()
    assert (new["base_row"] == new["neighbour_row"])[lone].all()
    np.testing.assert_array_equal(out[N:], groups[new["base_row"].astype(int)])


def test_groups_that_are_small_inside_their_cluster():
    rng = np.random.default_rng(0)
    table = np.r_[rng.normal(size=(200, 2)), rng.normal(3, 1, size=(40, 2))]
    labels, groups = np.repeat([0, 1], [200, 40]), rng.integers(0, 2, 240)
    how = {"kmeans_estimator": 12, "cluster_balance_threshold": 0.02, "random_state": 0}
    how |= {"k_neighbors": 5, "provenance": "full"}
    with pytest.raises(ValueError, match=r"row\(s\) with fewer than 5 others of their group in"):
        KMeansSMOTE(**how).fit_resample(table, labels, groups=groups)
    copies = {}
    for what in ("copy", "skip"):
        sampler = KMeansSMOTE(on_small_group=what, **how)
        _, made, _ = sampler.fit_resample(table, labels, groups=groups)
        assert np.bincount(made).tolist() == [200, 200]
        new = sampler.provenance_[sampler.provenance_["synthetic"]]
        base, near = new["base_row"].astype(int), new["neighbour_row"].astype(int)
        assert (groups[base] == groups[near]).all()
        copies[what] = int((base == near).sum())
    assert copies["copy"] > 0
    assert copies["skip"] == 0
