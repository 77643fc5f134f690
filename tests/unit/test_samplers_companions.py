"""What goes along with rows: provenance, groups, weights; small classes; labels of any kind."""

import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTEN, KMeansSMOTE, RandomUnderSampler
from tests.samplers import family, having, lying, table_of
from tests.tables import assert_same_bits, both_ways, dask_array, dask_frame, numbers

N, FEW = 120, 40
TABLE = numbers(N, FEW, 3)
X, Y = TABLE.drop(columns="y"), TABLE["y"]

OVER = family()
EACH = pytest.mark.parametrize("name", OVER)
SEARCHING = having("on_small_group", OVER)
BETWEEN = lying("segment", OVER)
TOWARD = [*BETWEEN, *lying("ball", OVER), *lying("box", OVER)]  # one neighbour
GAPS = [n for lies in ("segment", "ball", "mean", "middle", "range") for n in lying(lies, OVER)]


def sampler(name, **more):
    kind, how = OVER[name]
    return kind(random_state=0, **(how | more))


def features(name):
    return table_of(name, N, FEW).drop(columns="y")


# ---- where rows came from


@EACH
def test_provenance_and_carried_columns_of_the_parents(name):
    plain, _ = sampler(name).fit_resample(features(name), Y)
    flagged, _ = sampler(name, provenance="flag").fit_resample(features(name), Y)
    assert list(flagged.columns) == [*X.columns, "synthetic"]
    assert flagged["synthetic"].dtype == bool
    assert flagged["synthetic"].tolist() == [False] * N + [True] * FEW
    assert_same_bits(flagged.drop(columns="synthetic"), plain)
    kinds = pd.Categorical(np.where(np.arange(N) % 3, "odd", "even"))
    table = features(name).assign(id=np.arange(N) + 1_000, kind=kinds)
    how = sampler(name, provenance="full", carry=["id", "kind"])
    found, labels = how.fit_resample(table, Y)
    came = ["base_row", "neighbour_row", "gap", "id_base", "id_neighbour", "kind_base"]
    assert found.iloc[:N][[*came, "kind_neighbour"]].isna().all(axis=None)
    new = found[N:]
    base = new["base_row"].astype(int)
    assert (labels[N:] == 1).all() and (Y.iloc[base] == 1).all()
    assert new[["id", "kind"]].isna().all(axis=None)
    assert (new["id_base"] - 1_000).tolist() == base.tolist()
    assert new["kind_base"].tolist() == kinds[base].tolist()
    # A neighbour of another class is known by its number only; copies and votes have none.
    near, known = new["neighbour_row"], new["id_neighbour"].notna()
    assert known.tolist() == near.isin(np.flatnonzero(Y == 1)).tolist()
    assert (new["id_neighbour"] - 1_000)[known].tolist() == near[known].tolist()
    assert near.isna().all() == (name not in TOWARD)
    assert new["gap"].isna().all() == (name not in GAPS)
    if name == "random":
        assert_same_bits(new[list(X.columns)], X.iloc[base])


@EACH
def test_arrays_have_their_provenance_beside_them(name):
    how = sampler(name, provenance="full")
    frame, _ = how.fit_resample(features(name), Y)
    assert not hasattr(how, "provenance_")
    made, _ = how.fit_resample(features(name).to_numpy(), Y.to_numpy())
    assert_same_bits(made, frame[X.columns].to_numpy())
    pd.testing.assert_frame_equal(how.provenance_, frame.drop(columns=X.columns))
    how.fit_resample(features(name), Y)  # what is known of an earlier array is forgotten
    assert not hasattr(how, "provenance_")


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


# ---- groups


@pytest.mark.parametrize("name", OVER)
@pytest.mark.parametrize("kind", ["array", "text", "categories", "column", "missing"])
def test_neighbours_and_new_rows_stay_in_their_group(name, kind):
    groups = pd.Series(np.arange(N) % 2, name="g")
    if kind in ("text", "categories"):
        groups = groups.map({0: "p", 1: "q"})
    if kind == "missing":  # rows without a group are one
        groups = groups.map({0: "p", 1: None}).astype(object)
    if kind == "categories":
        groups = groups.astype("category")
    how = sampler(
        name, provenance="full", **({"on_small_group": "copy"} if name == "kmeans" else {})
    )
    table = features(name)
    if kind == "column":
        found, _ = how.fit_resample(table.assign(g=groups), Y, groups="g")
        out = found["g"]  # which is no feature
        assert_same_bits(found[X.columns], how.fit_resample(table, Y, groups=groups)[0][X.columns])
    else:
        given = groups.to_numpy() if kind == "array" else groups
        found, _, out = how.fit_resample(table, Y, groups=given)
        assert type(out) is type(given)
        out = pd.Series(out)
    assert out.dtype == groups.dtype
    if kind == "missing":
        groups, out = groups.fillna("none"), out.fillna("none")
    assert out[:N].tolist() == groups.tolist()
    new = found[N:]
    base = groups.iloc[new["base_row"].astype(int)].tolist()
    assert out[N:].tolist() == base
    if name in BETWEEN:
        assert groups.iloc[new["neighbour_row"].astype(int)].tolist() == base
    assert set(base) == set(groups)


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("what", ["error", "copy", "skip"])
def test_a_group_of_k_rows_is_too_small_and_one_of_k_plus_1_is_not(k, what):
    """The error names it: property/test_same_rows."""
    for rows in (k, k + 1)[what == "error" :]:
        groups = np.zeros(N, dtype=int)
        groups[np.flatnonzero(Y == 1)[:rows]] = 7
        how = {"random_state": 0, "k_neighbors": k, "provenance": "full"}
        how |= {"sampling_strategy": {1: 500}, "on_small_group": what}
        found, _, out = SMOTE(**how).fit_resample(X, Y, groups=groups)
        new = found[N:][out[N:] == 7]
        copies = (new["base_row"] == new["neighbour_row"]).to_numpy()
        assert (len(new) > 0) == (what != "skip" or rows == k + 1)
        assert copies.all() if rows == k else not copies.any()


@pytest.mark.parametrize("name", SEARCHING)
def test_no_group_is_large_enough(name):
    with pytest.raises(ValueError, match=r"class 1 has no group of at least \d rows \(k \+ 1\)"):
        how = sampler(name, on_small_group="skip")
        how.fit_resample(features(name), Y, groups=np.arange(N))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_column_of_groups_has_no_other_role(lazy):
    table = X.assign(g=np.arange(N) % 2, y=Y)
    table = dask_frame(table, [60, 60]) if lazy else table
    with pytest.raises(ValueError, match=r"column 'g' is in carry and names the groups, too.*take"):
        SMOTE(carry=["g"]).resample(table, target="y", groups="g")
    with pytest.raises(ValueError, match=r"target column 'y' cannot be the groups.*leave groups"):
        SMOTE().resample(table, target="y", groups="y")


def test_groups_that_are_small_inside_their_cluster():
    rng = np.random.default_rng(0)
    table = np.r_[rng.normal(size=(200, 2)), rng.normal(3, 1, size=(40, 2))]
    labels, groups = np.repeat([0, 1], [200, 40]), rng.integers(0, 2, 240)
    how = {"kmeans_estimator": 12, "cluster_balance_threshold": 0.02, "random_state": 0}
    how |= {"k_neighbors": 5, "provenance": "full"}
    with pytest.raises(ValueError, match=r"row\(s\) with fewer than 5 others of their group in"):
        KMeansSMOTE(**how).fit_resample(table, labels, groups=groups)
    for what in ("copy", "skip"):
        sampler = KMeansSMOTE(on_small_group=what, **how)
        _, made, out = sampler.fit_resample(table, labels, groups=groups)
        assert np.bincount(made).tolist() == [200, 200]
        new = sampler.provenance_[240:]
        base, near = new["base_row"].astype(int), new["neighbour_row"].astype(int)
        np.testing.assert_array_equal(groups[base], out[240:])
        np.testing.assert_array_equal(groups[near], out[240:])
        assert (base == near).any() == (what == "copy")


# ---- weights


@EACH
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64", "bool"])
def test_weights_are_those_of_the_parents_or_lie_between(name, dtype):
    weights = pd.Series(np.random.default_rng(0).integers(0, 9, N).astype(dtype), name="w")
    table = features(name)
    found, _, out = sampler(name, provenance="full").fit_resample(table, Y, sample_weight=weights)
    assert isinstance(out, pd.Series) and out.name == "w"
    assert out.dtype == ("float32" if dtype == "float32" else "float64")
    np.testing.assert_array_equal(out[:N], weights)
    new, out = found[N:], out[N:].to_numpy()
    own = weights.to_numpy()[new["base_row"].astype(int)].astype(float)
    if name in ("random", "smoothed"):
        np.testing.assert_array_equal(out, own)
    if name in BETWEEN:
        near = weights.to_numpy()[new["neighbour_row"].astype(int)].astype(float)
        assert (np.minimum(own, near) <= out).all() and (out <= np.maximum(own, near)).all()
        inside = (new["gap"] > 0).to_numpy()
        expected = own + new["gap"].to_numpy() * (near - own)
        np.testing.assert_allclose(out[inside], expected[inside], rtol=1e-6)


def test_where_all_vote_the_weight_is_the_mean():
    weights = np.random.default_rng(0).random(N)
    how = SMOTEN(random_state=0, k_neighbors=FEW - 1)
    out = how.fit_resample(features("smoten"), Y, sample_weight=weights)
    np.testing.assert_allclose(out[2][N:], weights[Y == 1].mean())


@EACH
def test_weights_come_third_and_groups_last_and_change_no_row(name):
    plain = sampler(name).fit_resample(features(name), Y)
    made = sampler(name).fit_resample(
        features(name), Y, groups=np.zeros(N, dtype=int), sample_weight=np.ones(N)
    )
    for one, other in zip(made, plain, strict=False):
        assert_same_bits(one, other)
    assert made[2].tolist() == [1.0] * (N + FEW)
    assert made[3].tolist() == [0] * (N + FEW)


@pytest.mark.parametrize(
    ("what", "values", "message"),
    [
        ("groups", np.ones(3), "groups has 3 values, but X has 120 rows; give one value for each"),
        ("groups", np.ones((N, 2)), r"groups must have one dimension.* has the shape \(120, 2\)"),
        ("groups", "z", "there is no column 'z' of groups; the columns are 'a', 'b', 'c'"),
        ("sample_weight", np.ones(3), "sample_weight has 3 values, but X has 120 rows"),
        ("sample_weight", np.ones((N, 1)), "sample_weight must have one dimension"),
        ("sample_weight", pd.Series(["heavy"] * N), "must hold numbers, but has dtype"),
        ("sample_weight", np.ones(N) * 1j, "must hold numbers, but has dtype complex128"),
        ("sample_weight", pd.Series(["heavy"] * N, dtype=object), "must hold numbers: "),
        ("sample_weight", np.repeat([np.nan, 1], [1, N - 1]), "NaN or infinity in 1 row;"),
        ("sample_weight", np.repeat([1, np.inf], [N - 2, 2]), "infinity in 2 rows; impute"),
        ("sample_weight", pd.Series([1, None] * (N // 2), dtype="Int64"), "infinity in 60 rows"),
    ],
)
def test_weights_and_groups_that_do_not_fit(what, values, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SMOTE().fit_resample(X, Y, **{what: values})


def test_weights_on_dask_that_do_not_fit():
    X_, y_ = dask_frame(X, [60, 60]), dask_frame(Y, [60, 60])
    hole = dask_frame(Y.astype(float).where(np.arange(N) != 70), [60, 60])
    for weights, message in (
        (np.ones(N), "X is a Dask collection .* but sample_weight is in memory"),
        (dask_array(np.ones(N), [40] * 3), "X has 2 partitions and sample_weight 3"),
        (dask_frame(Y.astype(str), [60, 60]), "sample_weight must hold numbers"),
        (hole, "sample_weight contains NaN or infinity in 1 row"),
        (dask_array(np.ones(N), [59, 61]), "differently: a partition of X has 60 rows"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            made = SMOTE().fit_resample(X_, y_, sample_weight=weights)
            made[0].compute(scheduler="synchronous")


@pytest.mark.parametrize("replacement", [False, True])
def test_weights_and_groups_of_the_rows_that_are_kept(replacement):
    frame = pd.DataFrame({"row": np.arange(90), "country": list("abc") * 30})
    y = pd.Series(np.repeat([0, 1, 0], [40, 10, 40]), name="y")
    weight = pd.Series(frame["row"] + 1000, name="w")
    groups = pd.Series(pd.Categorical(frame["country"]), name="g")
    how = RandomUnderSampler(random_state=0, replacement=replacement)

    def resampled(X, y, weight, groups):
        # A column of groups is in the table already.
        assert len(how.fit_resample(X, y, groups="country")) == 2
        return how.fit_resample(X, y, sample_weight=weight, groups=groups)

    for X_res, y_res, weight_res, groups_res in both_ways(resampled, frame, y, weight, groups):
        assert len(X_res) == 20
        pd.testing.assert_frame_equal(X_res, how.fit_resample(frame, y)[0])
        assert y_res.tolist() == y.loc[X_res.index].tolist()
        pd.testing.assert_series_equal(weight_res, weight.loc[X_res.index])
        pd.testing.assert_series_equal(groups_res, groups.loc[X_res.index])
    values, w = np.arange(180).reshape(90, 2), np.arange(90.0)
    kept, _, plain = how.fit_resample(values, y, sample_weight=w)
    assert (plain == kept[:, 0] / 2).all()
    chunks = ((values, [30, 60]), (y.to_numpy(), [30, 60]), (w, [45] * 2))
    X_, y_, w_ = (dask_array(v, c) for v, c in chunks)
    found = how.fit_resample(X_, y_, sample_weight=w_)
    assert found[2].compute().tolist() == plain.tolist()
    assert found[2].chunks[0] == found[0].chunks[0]


# ---- classes that are too small


@pytest.mark.parametrize("name", SEARCHING)
def test_small_classes_are_named_with_the_remedy_copied_or_left(name):
    labels = Y.copy()
    labels.iloc[[3, 4]] = 2
    most = int((labels == 0).sum())
    k_name = "n_neighbors" if name == "adasyn" else "k_neighbors"
    message = (
        rf"class 2 has 2 rows, but {k_name}=\d needs at least \d \(k \+ 1\); lower {k_name} to 1, "
        "leave the class out of sampling_strategy, or pass on_small_class='copy' or 'skip'"
    )
    with pytest.raises(ValueError, match=message):
        sampler(name).fit_resample(features(name), labels)
    how = sampler(name, on_small_class="copy", provenance="full")
    found, made = how.fit_resample(features(name), labels)
    assert (made == 2).sum() == most
    copies = found[N:][(made[N:] == 2).to_numpy()]
    assert set(copies["base_row"]) == {3, 4}
    assert copies["neighbour_row"].isna().all()
    assert how.neighbors_report_[2]["engine"] == "copy"
    assert any("so copied: " in text for text in how.plan_.warnings)


# ---- labels
