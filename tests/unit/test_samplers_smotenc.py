"""SMOTENC: which columns are nominal, and the weight of a name."""

import dask
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTENC as TheirSMOTENC

from dsmote import SMOTENC
from dsmote.samplers.smotenc import mixed_weight
from tests.tables import assert_same_bits, dask_frame, even, mixed

TABLE = mixed(160, 48)
X, Y = TABLE.drop(columns="y"), TABLE["y"]


def nominal(**how):
    sampler = SMOTENC(random_state=0, **how)
    sampler.fit(X, Y)
    return sampler.categorical_features_.tolist()


def test_the_columns_that_are_nominal():
    assert nominal() == [1, 3]
    for same in (["c", "d"], [1, 3], [-3, -1], [False, True, False, True], np.array([1, 3])):
        assert nominal(categorical_features=same) == [1, 3]
    assert nominal(categorical_features=np.array([False, True, False, True])) == [1, 3]
    assert nominal(categorical_features=["b", "c", "d"]) == [1, 2, 3]
    assert nominal(carry=["c"]) == [3]


def test_positions_count_features_not_the_target():
    # In a table the target is the third column; position 2 is the feature after it.
    sampler = SMOTENC(categorical_features=["c", "d", "b"], random_state=0)
    by_name = sampler.resample(TABLE, target="y")
    by_place = SMOTENC(categorical_features=[1, 2, 3], random_state=0).resample(TABLE, target="y")
    assert_same_bits(by_place, by_name)


def test_whole_numbers_are_positions_as_in_imblearn_also_where_columns_have_such_names():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 4, (60, 3)), np.repeat([0, 1], [40, 20])
    for names, wanted, expected in (
        ([2, 0, 1], [0], [0]),
        ([10, 20, 30], [20], [1]),  # no position, so a name
        (["a", "b", "c"], [0, "c"], [0, 2]),
    ):
        frame = pd.DataFrame(X, columns=names)
        assert SMOTENC(wanted).fit(frame, y).categorical_features_.tolist() == expected
        if all(w in range(3) for w in wanted):
            theirs = TheirSMOTENC(wanted, random_state=0)
            theirs.fit_resample(frame, y)
            assert theirs.categorical_features_.tolist() == expected


def test_whole_numbers_can_be_nominal():
    sampler = SMOTENC(categorical_features=["b", "c", "d"], random_state=0)
    found = sampler.resample(TABLE, target="y")
    made = found[160:]
    for label in ("few", "less"):
        present = TABLE.loc[TABLE["y"] == label, "b"]
        assert set(made.loc[made["y"] == label, "b"]) <= set(present)
    lazy = sampler.resample(dask_frame(TABLE, even(160, 5)), target="y")
    assert_same_bits(lazy.compute(scheduler="synchronous"), found)


def test_bool_columns_are_nominal_for_smotenc():
    table = TABLE.assign(f=TABLE["a"] > 0)
    sampler = SMOTENC(random_state=0)
    found = sampler.resample(table, target="y")
    assert sampler.categorical_features_.tolist() == [1, 4, 5]
    assert found["f"].dtype == bool


def test_the_weight_is_the_median_of_the_population_deviations():
    columns = np.array([[0.0, 0.0, 5.0], [2.0, 4.0, 5.5]])
    assert mixed_weight(columns) == np.median([1.0, 2.0, 0.25])
    assert mixed_weight(columns[:, :2]) == 1.5
    assert mixed_weight(np.asfortranarray(columns)) == mixed_weight(columns)
    assert mixed_weight(1e-12 * columns) == pytest.approx(1e-12)


@pytest.mark.parametrize("on_dask", [False, True])
def test_constant_numbers_are_said_and_a_name_counts_for_one(on_dask):
    table = TABLE.assign(a=1.0, b=2)
    given = dask_frame(table, even(160, 3)) if on_dask else table
    with pytest.warns(UserWarning, match="standard deviations is 0"):
        found = SMOTENC(random_state=0).resample(given, target="y")
        found = found.compute(scheduler="synchronous") if on_dask else found
    assert (found["a"] == 1.0).all()
    assert found["y"].value_counts().nunique() == 1


def test_missing_names_vote_and_meet():
    table = TABLE.copy()
    table["c"] = table["c"].astype(object)
    table.loc[table["y"] != "most", "c"] = None
    found = SMOTENC(random_state=0).resample(table, target="y")
    assert found["c"][160:].isna().all()


def test_many_levels_take_little_memory():
    import tracemalloc

    rng = np.random.default_rng(0)
    n, few = 6_000, 2_000
    table = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    table["c"] = rng.integers(0, 10_000, n).astype(str)
    y = np.repeat([0, 1], [n - few, few])
    tracemalloc.start()
    X_res, _ = SMOTENC(random_state=0).fit_resample(table, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(X_res) == 2 * (n - few)
    # (rows made x k x levels) float64 would be 800 MB, and one-hot rows of the class 160 MB.
    assert peak < 120 * 2**20


def test_levels_first_met_in_other_partitions():
    order = np.argsort(TABLE["c"].to_numpy(), kind="stable")[::-1]
    table = TABLE.iloc[order].reset_index(drop=True)
    expected = SMOTENC(random_state=0).resample(table, target="y")
    with dask.config.set(scheduler="synchronous"):
        for parts in (2, 9):
            lazy = SMOTENC(random_state=0).resample(dask_frame(table, even(160, parts)), target="y")
            assert_same_bits(lazy.compute(), expected)


@pytest.mark.parametrize("levels", ["text", "category", "whole numbers"])
@pytest.mark.parametrize(("numeric", "categorical"), [(3, 2), (3, 30), (9, 2)])
def test_the_engine_is_that_of_all_columns_in_any_container(numeric, categorical, levels):
    rng = np.random.default_rng(0)
    n = 1_800
    codes = rng.integers(0, 4, (categorical, n))
    written = {
        "text": lambda i: np.array(list("abcd"))[codes[i]],
        "category": lambda i: pd.Categorical.from_codes(codes[i], list("abcd")),
        "whole numbers": lambda i: 10 * codes[i],
    }
    names = [f"c{i}" for i in range(categorical)]
    table = pd.DataFrame(
        {f"x{i}": rng.normal(size=n) for i in range(numeric)}
        | {name: written[levels](i) for i, name in enumerate(names)}
        | {"y": np.arange(n) % 3 > 1}
    )
    sampler = SMOTENC(names, random_state=0)
    plans = [
        sampler.plan(of, target="y")
        for of in (table, dask_frame(table, even(n, 1)), dask_frame(table, [0, 5, n - 300, 295]))
    ]
    engine = "mixed tree" if (numeric, categorical) == (3, 2) else "mixed brute"
    assert {(plan.classes[1].engine, plan.classes[1].why) for plan in plans} == {
        (engine, plans[0].classes[1].why)
    }
    assert f"{numeric} numeric and {categorical} categorical features" in plans[0].classes[1].why
    # Without a pass over the data it is chosen when the rows are there.
    given = sampler.resample(table, target="y", class_counts={False: 1_200, True: 600})
    assert sampler.neighbors_report_[True]["engine"] in engine
    assert_same_bits(given, sampler.resample(table, target="y"))
    assert sampler.neighbors_report_[True]["engine"] in engine
