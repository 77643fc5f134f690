"""RandomUnderSampler as users see it: every container and dtype, exact counts, clear errors."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import dsmote
from dsmote import RandomUnderSampler
from tests.tables import dask_array, dask_frame, even, mixed, numbers

N = 120


@pytest.fixture(autouse=True)
def synchronous():
    # Dask makes text of objects where it takes a table in, which is not what is tested here.
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        yield


@pytest.fixture(params=["in memory", "on dask"])
def kind(request):
    return request.param


def held(kind, thing):
    return thing if kind == "in memory" else dask_frame(thing, [50, 0, len(thing) - 50])


def resample(kind, table, target="y", **how):
    made = RandomUnderSampler(random_state=0, **how).resample(held(kind, table), target=target)
    return made if kind == "in memory" else made.compute()


def all_dtypes():
    """Make a table of one column for each kind of dtype, missing values wherever there can be."""
    rng = np.random.default_rng(0)
    some = rng.random(N) < 0.2
    days = pd.Series(pd.date_range("2020", periods=N))
    return pd.DataFrame(
        {
            "float32": np.where(some, np.nan, rng.normal(size=N)).astype("f4"),
            "inf": np.where(some, -np.inf, -0.0),
            "int8": rng.integers(-128, 128, N).astype("i1"),
            "uint64": np.uint64(2**64 - 1) - rng.integers(0, 9, N).astype("u8"),
            "complex": rng.normal(size=N) * 1j,
            "bool": some,
            "boolean": pd.Series(some, dtype="boolean").mask(some),
            "Int64": pd.Series(2**60 + np.arange(N), dtype="Int64").mask(some),
            "text": pd.Series(["ä", "b"] * (N // 2)).mask(some),
            "arrow": pd.Series(["ä", "b"] * (N // 2), dtype="string[pyarrow]").mask(some),
            "lists": pd.Series([[i, {}] for i in range(N)]),
            "category": pd.Categorical(["z", None, "y", "z"] * (N // 4), categories=list("zxy")),
            "ordered": pd.Categorical([3, 1] * (N // 2), categories=[3, 2, 1], ordered=True),
            "day": days.mask(some),
            "zoned": days.dt.tz_localize("Asia/Tokyo"),
            "span": days - pd.Timestamp("1990"),
            "period": days.dt.to_period("D"),
            "sparse": pd.arrays.SparseArray(np.where(some, 1.0, 0.0)),
            "y": np.where(np.arange(N) % 5 == 0, "few", "many"),
        },
        index=pd.Index(np.arange(N) * 3 + 7, name="row"),
    )


@pytest.mark.parametrize("replacement", [False, True])
def test_rows_of_every_dtype_come_out_as_they_went_in(kind, replacement):
    table = all_dtypes()
    found = resample(kind, table, replacement=replacement)
    assert found["y"].value_counts().to_dict() == {"few": 24, "many": 24}
    assert found.index.is_monotonic_increasing
    assert found.index.is_unique or replacement
    assert found.index.name == "row"
    pd.testing.assert_frame_equal(found, table.loc[found.index], check_exact=True)
    floats = [found["float32"].to_numpy(), table.loc[found.index, "float32"].to_numpy()]
    np.testing.assert_array_equal(*[values.view("u4") for values in floats])


@pytest.mark.parametrize(
    "dtype", [object, "category", "string", "boolean", "Int64", "f8", "M8[ns]"]
)
def test_targets_of_every_dtype(kind, dtype):
    labels = {"boolean": [True, False], "Int64": [7, 9], "f8": [1.0, 2.0], "M8[ns]": [0, 10**9]}
    few, many = labels.get(dtype, ["few", "many"])
    table = numbers(N, 24)
    table["y"] = pd.Series(np.where(table["y"] == 1, few, many)).astype(dtype)
    found = resample(kind, table)
    assert found["y"].value_counts().tolist() == [24, 24]
    assert found["y"].dtype == table["y"].dtype
    pd.testing.assert_frame_equal(found, table.loc[found.index])


@pytest.mark.parametrize(
    "given",
    [
        lambda X, y: (X, y),
        lambda X, y: (X.to_numpy(), y.to_numpy()),
        lambda X, y: (X.to_numpy(), y),
        lambda X, y: (X.to_numpy().tolist(), y.tolist()),
        lambda X, y: (X, y.to_frame()),
        lambda X, y: (X.astype(str).to_numpy().astype("U"), y.to_numpy().astype("U4")),
        lambda X, y: (X.to_numpy(), y.to_numpy().reshape(-1, 1)),
    ],
    ids=["pandas", "numpy", "numpy and series", "lists", "column frame", "text", "column"],
)
def test_the_same_kind_comes_out(given):
    X, y = given(numbers(N, 24).drop(columns="y"), numbers(N, 24)["y"])
    sampler = RandomUnderSampler(random_state=0)
    X_res, y_res = sampler.fit_resample(X, y)
    expected = RandomUnderSampler(random_state=0).resample(numbers(N, 24), target="y").index
    np.testing.assert_array_equal(sampler.sample_indices_, expected)
    for found, entered in ((X_res, X), (y_res, y)):
        assert type(found) is type(entered)
        assert len(found) == 48
        if isinstance(entered, list):
            assert found == [entered[i] for i in expected]
        else:
            assert np.asarray(found).dtype == np.asarray(entered).dtype
            np.testing.assert_array_equal(np.asarray(found), np.asarray(entered)[expected])


def test_lists_keep_each_value_as_it_is():
    X, y = [[1, 2.5, "a"], [2, None, "b"], [3, 1.0, "c"]] * 4, [0, 1, 1] * 4
    X_res, y_res = RandomUnderSampler(random_state=0).fit_resample(X, y)
    assert len(X_res) == len(y_res) == 8
    assert all(row in X for row in X_res)
    assert {type(value) for value in X_res[0]} == {int, float, str}


def test_the_output_is_no_view_of_the_input():
    X, y = np.arange(20.0).reshape(10, 2), np.repeat([0, 1], 5)
    X_res, y_res = RandomUnderSampler(random_state=0).fit_resample(X, y)
    np.testing.assert_array_equal(X_res, X)
    assert not np.shares_memory(X_res, X)
    assert not np.shares_memory(y_res, y)


def test_exact_counts_of_many_classes(kind):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": np.arange(6_000), "y": rng.integers(0, 500, 6_000)})
    counts = table["y"].value_counts()
    found = resample(kind, table)
    assert set(found["y"].value_counts()) == {counts.min()}
    wanted = {3: 0, 4: int(counts[4]), 5: 1}
    found = resample(kind, table, sampling_strategy=wanted)["y"].value_counts()
    assert {label: int(found.get(label, 0)) for label in wanted} == wanted
    assert len(found) == 499


def test_a_callable_gets_the_target_or_the_counts(kind):
    seen = []

    def strategy(what):
        seen.append(what)
        return {"most": 30}

    resample(kind, mixed(N, 24), sampling_strategy=strategy)
    assert (
        len(seen[0]) == N if kind == "in memory" else seen[0] == {"few": 12, "less": 12, "most": 96}
    )


def test_equal_classes_lose_different_rows():
    y = np.repeat([0, 1, 2], [20, 20, 5])
    sampler = RandomUnderSampler(random_state=0)
    sampler.fit_resample(y.reshape(-1, 1), y)
    one, other = sampler.sample_indices_[:5], sampler.sample_indices_[5:10] - 20
    assert one.tolist() != other.tolist()


def test_seeds():
    table = numbers(N, 24)
    one = RandomUnderSampler(random_state=None)
    first, second = one.resample(table, target="y"), one.resample(table, target="y")
    assert not first.equals(second)
    again = RandomUnderSampler(random_state=one.plan_.seed).resample(table, target="y")
    pd.testing.assert_frame_equal(again, second)
    for make in (lambda: np.random.RandomState(5), lambda: np.random.default_rng(5)):
        a, b = (RandomUnderSampler(random_state=make()).resample(table, target="y") for _ in "ab")
        pd.testing.assert_frame_equal(a, b)


def test_fit_plan_and_attributes(kind):
    table = mixed(N, 24)
    X, y = held(kind, table.drop(columns="y")), held(kind, table["y"])
    sampler = RandomUnderSampler(random_state=0, sampling_strategy={"most": 30})
    assert sampler.fit(X, y) is sampler
    assert sampler.sampling_strategy_ == {"most": 30}
    assert sampler.n_features_in_ == 4
    assert sampler.feature_names_in_.tolist() == list("acbd")
    assert not hasattr(sampler, "sample_indices_")
    plan = sampler.plan(held(kind, table), target="y")
    assert isinstance(plan, dsmote.Plan)
    assert plan == sampler.plan(X, y)
    assert plan.counts_after == {"few": 12, "less": 12, "most": 30}
    assert (plan.n_before, plan.n_after) == (120, 54)
    assert sampler.n_features_in_ == 4
    with pytest.raises(ValueError, match="plan takes X and y, or a frame and target="):
        sampler.plan(X)


def test_attributes_of_an_earlier_input_are_forgotten():
    table = numbers(N, 24)
    X, y = table.drop(columns="y"), table["y"]
    sampler = RandomUnderSampler(random_state=0)
    sampler.fit_resample(X, y)
    assert len(sampler.sample_indices_) == 48
    sampler.fit_resample(dask_array(X.to_numpy(), even(N, 3)), dask_array(y.to_numpy(), even(N, 3)))
    assert not hasattr(sampler, "sample_indices_")
    assert not hasattr(sampler, "feature_names_in_")


# ---- bad input


@pytest.mark.parametrize("missing", [1, 3])
def test_rows_without_a_label(kind, missing):
    table = mixed(N, 24)
    table.loc[[5, 70, 100][:missing], "y"] = None
    message = f"target 'y' is missing in {missing} row.*; drop those rows or label them before"
    with pytest.raises(ValueError, match=message):
        RandomUnderSampler().resample(held(kind, table), target="y")
    with pytest.raises(ValueError, match=message):
        RandomUnderSampler().fit(held(kind, table[["a"]]), held(kind, table["y"]))


def test_no_rows_one_class_and_no_such_target(kind):
    table = numbers(N, 24)
    with pytest.raises(ValueError, match="zero rows"):
        resample(kind, table[:0]) if kind == "in memory" else RandomUnderSampler().resample(
            dask_frame(table[:0], [0, 0]), target="y"
        )
    with pytest.raises(ValueError, match=r"at least 2 classes, but has 1 class: \{0: 96\}"):
        resample(kind, table[table["y"] == 0])
    with pytest.raises(ValueError, match="no target column 'label'; the columns are"):
        resample(kind, table, target="label")


def test_measurements_as_target(kind):
    table = numbers(N, 24)
    with pytest.raises(ValueError, match=r"Unknown label type: continuous.*120 different values"):
        resample(kind, table, target="a")


def test_strategies_that_cannot_be_met(kind):
    table = numbers(N, 24)
    for strategy, message in [
        ("minority", "cannot be used with an under-sampler"),
        ({0: 97}, r"97 rows of class 0, which has 96: an under-sampler only takes rows away"),
        ({2: 1}, r"names 2, which the target does not hold; it holds \{0: 96, 1: 24\}"),
        ({1: -1}, "-1 rows of class 1, which has 24; the number must not be negative"),
        (0.2, r"asks for 120 rows of class 0, which has 96"),
        (["a"], "The 'sampling_strategy' parameter of RandomUnderSampler must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            resample(kind, table, sampling_strategy=strategy)


def test_x_and_y_that_do_not_match():
    table = numbers(N, 24)
    X, y = table.drop(columns="y"), table["y"]
    sampler = RandomUnderSampler(random_state=0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        sampler.fit_resample(X, y[:-1])
    with pytest.raises(ValueError, match="X has 3 partitions and y 2"):
        sampler.fit_resample(dask_frame(X, even(N, 3)), dask_frame(y, even(N, 2)))
    with pytest.raises(TypeError, match="X is a Dask collection"):
        sampler.fit_resample(dask_frame(X, even(N, 3)), y)
    X_res, _ = sampler.fit_resample(dask_frame(X, [50, 70]), dask_frame(y, [70, 50]))
    message = r"a partition of X has \d+ rows, the partition of y beside it \d+; repartition"
    with pytest.raises(ValueError, match=message):
        X_res.compute()


def test_partitions_of_other_columns_or_dtypes():
    table = numbers(N, 24)
    parts = [table[:60], table[60:].astype({"a": str})]
    frame = dd.from_delayed([dask.delayed(p) for p in parts], meta=table[:0], verify_meta=False)
    lazy = RandomUnderSampler(random_state=0).resample(frame, target="y")
    with pytest.raises(ValueError, match=r"column 'a' has dtype str in one partition.*astype"):
        lazy.compute()


def test_an_array_of_one_dimension():
    X = da.ones(20, chunks=10)
    with pytest.raises(ValueError, match="Expected 2D array"):
        RandomUnderSampler().fit_resample(X, da.zeros(20, chunks=10))


@pytest.mark.parametrize("replacement", [False, True])
def test_weights_and_groups_go_along(kind, replacement):
    frame = pd.DataFrame({"row": np.arange(90), "country": list("abc") * 30})
    y = pd.Series(np.repeat([0, 1, 0], [40, 10, 40]), name="y")
    weight = pd.Series(frame["row"] + 1000, name="w")
    groups = pd.Series(pd.Categorical(frame["country"]), name="g")
    sampler = RandomUnderSampler(random_state=0, replacement=replacement)
    given = [held(kind, each) for each in (frame, y, weight, groups)]
    made = sampler.fit_resample(*given[:2], sample_weight=given[2], groups=given[3])
    X_res, y_res, weight_res, groups_res = dask.compute(*made)
    assert len(X_res) == 20
    pd.testing.assert_frame_equal(X_res, sampler.fit_resample(frame, y)[0])
    assert y_res.tolist() == y.loc[X_res.index].tolist()
    pd.testing.assert_series_equal(weight_res, weight.loc[X_res.index])
    pd.testing.assert_series_equal(groups_res, groups.loc[X_res.index])
    assert weight_res.tolist() == dask.compute(made[2])[0].tolist()  # alone as together
    # A column of groups is in the table already.
    assert len(sampler.fit_resample(*given[:2], groups="country")) == 2
    with pytest.raises(ValueError, match="no column 'land' of groups"):
        sampler.fit_resample(*given[:2], groups="land")


@pytest.mark.parametrize("chunks", [(30, 60), (45, 45)])
def test_weights_in_arrays(chunks):
    X, y, weight = np.arange(180).reshape(90, 2), np.repeat([0, 1], [80, 10]), np.arange(90.0)
    X_res, _, plain = RandomUnderSampler(random_state=0).fit_resample(X, y, sample_weight=weight)
    assert (plain == X_res[:, 0] / 2).all()
    on_dask = da.from_array(X, (chunks, 2)), da.from_array(y, (chunks,)), da.from_array(weight, 45)
    found = RandomUnderSampler(random_state=0).fit_resample(*on_dask[:2], sample_weight=on_dask[2])
    assert found[2].compute().tolist() == plain.tolist()
    assert found[2].chunks[0] == found[0].chunks[0]
    with pytest.raises(ValueError, match="sample_weight has 89 values, but X has 90 rows"):
        RandomUnderSampler().fit_resample(X, y, sample_weight=weight[1:])


@pytest.mark.parametrize("lazy", [False, True])
def test_groups_beside_one_table_stay_with_their_rows(lazy):
    table = pd.DataFrame({"a": np.arange(60.0), "y": np.repeat([0, 1], [50, 10])})
    groups = pd.Series(np.arange(60) * 2)
    given = [dask_frame(one, [20, 40]) for one in (table, groups)] if lazy else (table, groups)
    made = RandomUnderSampler(random_state=0).resample(given[0], target="y", groups=given[1])
    found, out = dask.compute(*made) if lazy else made
    assert len(found) == 20
    assert (2 * found["a"] == out).all()
