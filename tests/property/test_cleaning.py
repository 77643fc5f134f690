"""The promises of samplers that leave rows out by who is near whom, over all of them."""

from functools import cache

import dask
import numpy as np
import pandas as pd
import pytest
from dask.base import is_dask_collection
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote.samplers.registry import parameters_of
from tests.samplers import family, having
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    compute_pair,
    dask_array,
    dask_frame,
    even,
    lengths_of,
    mixed,
    numbers,
    pair_in,
    set_constant,
)

N = 60
PARTITIONS = st.lists(st.integers(0, N), max_size=6).map(lambda cuts: lengths_of(N, cuts))
RULES = family(rules=True, random_state=3)
EACH = pytest.mark.parametrize("name", RULES)


def sampler(name, **more):
    kind, parameters = RULES[name]
    return kind(**(parameters | more))


@cache
def grid():
    """Make a table of equal rows with other labels, in which most distances are ties."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.integers(0, 3, (N, 3)).astype(float), columns=["a", "b", "c"])
    table["y"] = np.repeat(["most", "few", "less"], [33, 15, 12])[rng.permutation(N)]
    return table.assign(b=table["b"] // 2)


def outcome(resample):
    """Return what stays; or the error, which is compared by its kind."""
    try:
        return resample()
    except (ValueError, TypeError) as error:
        return type(error)


@EACH
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_the_same_rows_stay_however_the_table_is_cut(name, data):
    draw = data.draw
    rng, there = np.random.default_rng(draw(st.integers(0, 99))), parameters_of(RULES[name][0])
    kinds = [lambda: numbers(N, 18), grid]
    if "categorical_features" in there:
        kinds += [lambda: mixed(N, 24), lambda: mixed(N, 24)[["c", "d", "y"]]]
    table = draw(st.sampled_from(kinds))().copy()
    how = {
        "scale": draw(st.sampled_from([None, "standard", "minmax", "robust"])),
        "missing": draw(st.sampled_from(["skip", "error"])),
        "sampling_strategy": draw(st.sampled_from(["auto", "not majority", "all"])),
        "provenance": draw(st.sampled_from([False, False, "flag"])),
    }
    how = {name: value for name, value in how.items() if name in there}
    numeric = [c for c in "ab" if c in table]
    if numeric and draw(st.booleans()):
        table = table.astype(dict.fromkeys(numeric, float))
        table.loc[[5, 30], numeric[0]] = np.nan
    groups = draw(st.sampled_from([None, "column", "apart"]))
    table["id"] = rng.permutation(N)
    how["carry"] = ["id"]
    more = {}
    if groups == "column":
        table["g"] = rng.choice(list("pq"), N)
        more = {"groups": "g"}
    elif groups == "apart":
        more = {"groups": pd.Series(rng.integers(0, 2, N), name="g")}
    lengths = draw(PARTITIONS)
    scheduler = draw(st.sampled_from(["synchronous", "threads"]))
    with dask.config.set({"scheduler": scheduler, "dataframe.convert-string": False}):
        expected = outcome(lambda: sampler(name, **how).resample(table, target="y", **more))

        def on_dask():
            lazy_more = {
                k: dask_frame(v, lengths) if isinstance(v, pd.Series) else v
                for k, v in more.items()
            }
            lazy = sampler(name, **how).resample(
                dask_frame(table, lengths), target="y", **lazy_more
            )
            return dask.compute(lazy)[0]

        found = outcome(on_dask)
    if isinstance(expected, type):
        assert found is expected
        return
    whole = isinstance(expected, pd.DataFrame)
    pairs = [(found, expected)] if whole else zip(found, expected, strict=True)
    for one, other in pairs:
        assert_same_bits(one, other)


@pytest.mark.parametrize("name", having("route", RULES))
@settings(max_examples=2, deadline=None)
@given(data=st.data())
def test_the_same_rows_stay_in_cells(name, data):
    draw, kind = data.draw, RULES[name][0]
    if not sampler(name)._rule().in_cells:
        with pytest.raises(ValueError, match=r"route='cells' is not possible: .* asks for more"):
            sampler(name, route="cells").resample(dask_frame(numbers(N, 18), [N]), target="y")
        return
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kinds = [lambda: numbers(N, 18), grid]
    if "categorical_features" in parameters_of(kind):
        kinds.append(lambda: mixed(N, 24))
    table = draw(st.sampled_from(kinds))().copy()
    table["id"] = rng.permutation(N)
    if draw(st.booleans()):
        table = table.astype({"a": float})
        table.loc[[5, 30], "a"] = np.nan
    how = {"missing": "skip", "carry": ["id"]}
    how["scale"] = draw(st.sampled_from([None, "standard"]))
    how["sampling_strategy"] = draw(st.sampled_from(["auto", "all"]))
    how = {name: value for name, value in how.items() if name in parameters_of(kind)}
    lengths = draw(PARTITIONS)
    scheduler = draw(st.sampled_from(["synchronous", "threads"]))
    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"scheduler": scheduler, "dataframe.convert-string": False}),
    ):
        set_constant(patch, "plan", "CELL_ROWS", draw(st.sampled_from([12, 1_000])))
        patch.setattr(kind._rule_type, "rounds", draw(st.sampled_from([0, 1, 3])))
        expected = outcome(lambda: sampler(name, **how).resample(table, target="y"))

        def in_cells():
            cut = sampler(name, route="cells", **how)
            lazy = cut.resample(dask_frame(table, lengths), target="y")
            assert cut.plan_.all_rows.cells >= 1
            return lazy.compute()

        found = outcome(in_cells)
    if isinstance(expected, type):
        assert found is expected
    else:
        assert_same_bits(found, expected)


#: Of the others, the containers are the same code.
FEW = ("dask frame", "dask array, unknown sizes")


@pytest.mark.parametrize(
    ("name", "container"),
    [(name, each) for name in RULES for each in (CONTAINERS if name == "enn" else FEW)],
)
def test_one_pass_at_once_and_the_same_kind_comes_back(name, container):
    table = numbers(N, 18)
    A, b = table.drop(columns="y"), table["y"]
    X, y = pair_in(container, A, b, even(N, 4))
    how, computes = sampler(name), []
    with dask.config.set(scheduler="synchronous"):
        calls = counted(computes)
        with calls:
            made = how.fit_resample(X, y)
        assert len(computes) == 1
        for one, given_one in zip(made, (X, y), strict=True):
            assert type(one) is type(given_one)
            assert is_dask_collection(one)
        found = compute_pair(*made)
    expected = sampler(name).fit_resample(A, b)
    stays = len(expected[0])
    assert [len(np.asarray(one)) for one in found] == [stays, stays]
    np.testing.assert_array_equal(np.asarray(found[0]), expected[0].to_numpy())
    np.testing.assert_array_equal(np.asarray(found[1]).ravel(), expected[1].to_numpy())


def counted(computes):
    """Count how often Dask computes."""
    from dask.callbacks import Callback

    return Callback(start=lambda _: computes.append(1))


@EACH
def test_what_stays_is_untouched_and_in_order(name):
    table = numbers(N, 18).assign(a=lambda t: t["a"].astype("f4"), b=lambda t: -0.0 * t["b"])
    table["n"] = pd.array(np.arange(N), dtype="Int64")
    table.index = pd.Index(np.arange(N)[::-1] * 3, name="key")
    made = sampler(name, carry=["n"]).resample(table, target="y")
    assert list(made) == list(table)
    assert made["n"].is_monotonic_increasing
    assert_same_bits(made, table.loc[made.index])
    again = sampler(name, carry=["n"])
    again.fit_resample(table.drop(columns="y"), table["y"])
    np.testing.assert_array_equal(again.sample_indices_, made["n"].to_numpy(dtype=int))
    # The least class, and whatever is not targeted, stays whole.
    if again._sampling_type == "clean-sampling":
        left = made["y"].value_counts()
        for label, n in table["y"].value_counts().items():
            assert left[label] == n or label in again.sampling_strategy_
    else:
        assert made["y"].value_counts().to_dict() == again.plan_.counts_after


@EACH
def test_flagged_rows_are_those_that_go(name):
    if "provenance" not in parameters_of(RULES[name][0]):
        pytest.skip("makes rows of its own")
    table = numbers(N, 18)
    A, b = table.drop(columns="y"), table["y"]
    kept = sampler(name).resample(table, target="y")
    flagged = sampler(name, provenance="flag").resample(table, target="y")
    assert_same_bits(flagged[list(table)], table)
    assert flagged.index[~flagged["removed"]].tolist() == kept.index.tolist()
    how = sampler(name, provenance="flag")
    X_res = how.fit_resample(A.to_numpy(), b.to_numpy())[0]
    assert X_res.shape == A.shape
    assert how.provenance_["removed"].tolist() == flagged["removed"].tolist()
    with pytest.raises(ValueError, match="adds the column 'removed', which the table has"):
        sampler(name, provenance="flag").resample(table.assign(removed=1.0), target="y")
    lazy = how.fit_resample(
        dask_array(A.to_numpy(), even(N, 3)), dask_array(b.to_numpy(), even(N, 3))
    )
    assert how.provenance_.compute()["removed"].tolist() == flagged["removed"].tolist()
    assert lazy[0].compute().shape == A.shape


@EACH
def test_bad_input_is_named_before_work_starts(name):
    table = numbers(N, 18)
    A, b = table.drop(columns="y"), table["y"]
    for wrong, message in {
        "missing": "missing values or infinity in numeric features: 'a' \\(1 missing\\)",
        "label": "the target 'y' is missing in 1 row",
        "one class": "at least 2 classes",
    }.items():
        X, y = A.copy(), b.copy().astype(float)
        if wrong == "missing":
            X.loc[3, "a"] = np.nan
        elif wrong == "label":
            y[3] = np.nan
        else:
            y[:] = 0
        for parts in ((X, y), (dask_frame(X, even(N, 3)), dask_frame(y, even(N, 3)))):
            with pytest.raises(ValueError, match=message):
                sampler(name).fit_resample(*parts)


@EACH
def test_data_that_change_between_two_reads_are_refused(name):
    table, reads = numbers(N, 18), []
    parts = [table.iloc[:30], table.iloc[30:]]

    def read(place):
        reads.append(place)
        part = parts[place]
        return part.assign(y=1 - part["y"]) if len(reads) > 2 else part

    import dask.dataframe as dd
    from dask import delayed

    frame = dd.from_delayed(
        [delayed(read, pure=False)(i) for i in range(2)], meta=table.iloc[:0], verify_meta=False
    )
    with dask.config.set(scheduler="synchronous"):
        lazy = sampler(name).resample(frame, target="y")
        with pytest.raises(ValueError, match="were planned for"):
            lazy.compute()
