"""Same seed, same rows: whatever holds the data, cuts them up or computes them."""

from functools import cache

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import SMOTE, SMOTEN, SMOTENC, BorderlineSMOTE, RandomUnderSampler
from tests.samplers import family, having, table_of
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

pytestmark = pytest.mark.filterwarnings("ignore:class.* standard deviations is 0:UserWarning")

N = 60
CUTS = st.lists(st.integers(0, N), max_size=6)
PARTITIONS = CUTS.map(lambda cuts: lengths_of(N, cuts))
SCHEDULERS = st.sampled_from(["synchronous", "threads"])

OVER = family(k_neighbors=3, n_neighbors=3, m_neighbors=5, on_empty="smote")
UNDER = family(over=False)
EACH = pytest.mark.parametrize("name", OVER)
NUMERIC = having("missing", OVER)
SEARCHING = having("on_small_group", OVER)
NEAREST_OF_ALL = [n for n, (kind, how) in OVER.items() if kind(**how)._recipe().n_neighbors_all]


@pytest.fixture(scope="module", autouse=True)
def small_leaves():
    """Make the trees in which rows are drawn without replacement several levels high."""
    with pytest.MonkeyPatch.context() as patch:
        set_constant(patch, "plan", "LEAF", 16)
        yield


def sampler(name, **more):
    kind, parameters = (OVER | UNDER)[name]
    return kind(random_state=3, **parameters, **more)


@cache
def floats(name):
    return table_of(name, N, 18)


@cache
def grid():
    """Make a table in which most rows are there many times, and most distances are ties."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.integers(0, 3, (N, 3)).astype(float), columns=["a", "b", "c"])
    table["y"] = np.repeat(["most", "few", "less"], [33, 15, 12])[rng.permutation(N)]
    return table.assign(b=table["b"] // 2)


def outcome(resample):
    """Return what was made; or the error, which is compared by its kind."""
    try:
        return resample()
    except (ValueError, TypeError) as error:
        return type(error)


def assert_same_outcome(found, expected):
    if isinstance(expected, type):
        assert found is expected
        return
    assert not isinstance(found, type), found
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)
        if isinstance(other, pd.DataFrame):
            assert one.dtypes.equals(other.dtypes)
        else:
            assert one.dtype == other.dtype


def on_dask(how, table, lengths):
    """Resample a table in partitions of these lengths."""
    return how.resample(dask_frame(table, lengths), target="y").compute(scheduler="synchronous")


def assert_same_on_dask(how, table, lengths):
    """Resample in memory and on Dask; return what is made, or the kind of error."""
    expected = outcome(lambda: [how.resample(table, target="y")])
    assert_same_outcome(outcome(lambda: [on_dask(how, table, lengths)]), expected)
    return expected if isinstance(expected, type) else expected[0]


@cache
def reference(name):
    table = floats(name)
    return sampler(name).fit_resample(table.drop(columns="y"), table["y"])


@pytest.mark.parametrize("name", OVER | UNDER)
@given(
    container=st.sampled_from(CONTAINERS),
    lengths=PARTITIONS,
    scheduler=SCHEDULERS,
    fuse=st.booleans(),
)
@settings(max_examples=8)
def test_any_container_partitioning_and_scheduler(name, container, lengths, scheduler, fuse):
    table = floats(name)
    X, y = pair_in(container, table.drop(columns="y"), table["y"], lengths)
    how = {"scheduler": scheduler, "num_workers": 4, "optimization.fuse.active": fuse}
    with dask.config.set(how):
        lazy = sampler(name).fit_resample(X, y)
        found = compute_pair(*lazy)
    for made, one, expected in zip(lazy, found, reference(name), strict=True):
        assert_same_bits(one, expected)
        if name in UNDER:
            if isinstance(one, pd.DataFrame | pd.Series):
                assert one.index.equals(expected.index)
            else:  # known, even where the input's chunks were not
                assert made.shape == one.shape
                assert len(made.chunks[0]) == len(lengths)


@pytest.mark.parametrize("sampler", [SMOTENC(random_state=3), RandomUnderSampler(random_state=3)])
@given(
    columns=st.lists(st.sampled_from(list("acybd")), unique=True),
    lengths=PARTITIONS,
    scheduler=SCHEDULERS,
    fuse=st.booleans(),
)
def test_a_mixed_table_some_of_its_columns_or_features_and_target(
    sampler, columns, lengths, scheduler, fuse
):
    table = mixed(N, 24)
    expected = sampler.resample(table, target="y")
    with dask.config.set({"scheduler": scheduler, "optimization.fuse.active": fuse}):
        if columns:
            lazy = sampler.resample(dask_frame(table, lengths), target="y")[columns]
            found, expected = lazy.compute(), expected[columns]
        else:
            X, y = dask_frame(table.drop(columns="y"), lengths), dask_frame(table["y"], lengths)
            found, y_res = dask.compute(*sampler.fit_resample(X, y))
            assert_same_bits(y_res, expected["y"])
            expected = expected.drop(columns="y")
    assert_same_bits(found, expected)
    assert found.dtypes.equals(expected.dtypes)


@pytest.mark.parametrize(
    ("name", "fitted"),
    [*((name, {}) for name in OVER)]
    + [(name, {"max_fit_rows": n}) for name in having("max_fit_rows", OVER) for n in (5, 40)],
)
@given(lengths=PARTITIONS, more=st.sampled_from([(0, 0), (1, 30), (37, 0), (16, 21)]))
@settings(max_examples=5)
def test_ties_across_partitions_and_exact_counts(name, fitted, lengths, more):
    table = grid()
    before = table["y"].value_counts()
    asked = {"few": int(before["few"]) + more[0], "less": int(before["less"]) + more[1]}
    how = sampler(name, sampling_strategy=asked, **fitted)
    expected = assert_same_on_dask(how, table, lengths)
    assert expected["y"].value_counts().to_dict() == {**asked, "most": before["most"]}
    assert_same_bits(expected[:N], table)


def test_a_sample_is_taken_where_the_table_is_larger():
    """No more than the share of each class (50 at the least) is what the machine is fitted to."""
    table = numbers(600, 200, 3)
    how = sampler("svm", max_fit_rows=100)
    some = how.resample(table, target="y")
    assert how.svm_estimator_.shape_fit_ == (67 + 50, 3)
    assert not sampler("svm").resample(table, target="y").equals(some)
    assert_same_bits(on_dask(how, table, [0, 100, 33, 467]), some)


GROUPS = {
    "whole numbers": lambda rng: pd.Series(rng.integers(0, 3, N)),
    "text": lambda rng: pd.Series(rng.choice(list("pqr"), N)),
    "categories": lambda rng: pd.Series(pd.Categorical(rng.choice(list("pqr"), N))),
    "missing text": lambda rng: pd.Series(rng.choice(["p", "q", None], N), dtype=object),
    "missing numbers": lambda rng: pd.Series(rng.choice([0.0, 1.0, np.nan], N)),
}
WEIGHTS = {
    "none": lambda rng: None,
    "whole numbers": lambda rng: pd.Series(rng.integers(1, 9, N), name="w"),
    "float64": lambda rng: pd.Series(rng.random(N), name="w"),
    "float32": lambda rng: pd.Series(rng.random(N).astype("f4"), name="w"),
}


@EACH
@given(
    kind=st.sampled_from([None, *GROUPS]),
    column=st.booleans(),
    weights=st.sampled_from(list(WEIGHTS)),
    provenance=st.sampled_from([False, "flag", "full"]),
    ties=st.booleans(),
    lengths=PARTITIONS,
    seed=st.integers(0, 99),
)
@settings(max_examples=8)
def test_groups_weights_and_provenance(
    name, kind, column, weights, provenance, ties, lengths, seed
):
    rng = np.random.default_rng(seed)
    table = (grid() if ties else floats(name)).assign(id=np.arange(N))
    X, y = table.drop(columns="y"), table["y"]
    given = {"sample_weight": WEIGHTS[weights](rng)}
    if kind is not None:
        given["groups"] = GROUPS[kind](rng).rename("g")
        if column:
            X["g"] = given["groups"].array
            given["groups"] = "g"
    more = {"on_small_group": "copy"} if name in SEARCHING else {}
    how = sampler(name, provenance=provenance, carry=["id"], **more)

    def lazily():
        lazy = how.fit_resample(
            dask_frame(X, lengths),
            dask_frame(y, lengths),
            **{k: dask_frame(v, lengths) if hasattr(v, "iloc") else v for k, v in given.items()},
        )
        found = dask.compute(*lazy)
        for one, meta in zip(found, lazy, strict=True):
            if isinstance(one, pd.DataFrame):
                assert one.dtypes.equals(meta._meta.dtypes)
            else:
                assert one.dtype == meta._meta.dtype
        return found

    with dask.config.set({"dataframe.convert-string": False, "scheduler": "synchronous"}):
        assert_same_outcome(outcome(lazily), outcome(lambda: how.fit_resample(X, y, **given)))


@EACH
@given(lengths=PARTITIONS, known=st.booleans())
@settings(max_examples=4)
def test_arrays_with_weights_groups_and_provenance(name, lengths, known):
    rng = np.random.default_rng(0)
    table = floats(name)
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy()
    w, groups = rng.integers(1, 5, N), rng.integers(0, 2, N)
    how = sampler(name, provenance="full")
    expected = outcome(lambda: how.fit_resample(X, y, sample_weight=w, groups=groups))
    came_from = None if isinstance(expected, type) else how.provenance_

    def lazily():
        X_, y_, w_, groups_ = (dask_array(a, lengths, known=known) for a in (X, y, w, groups))
        return dask.compute(*how.fit_resample(X_, y_, sample_weight=w_, groups=groups_))

    with dask.config.set(scheduler="synchronous"):
        assert_same_outcome(outcome(lazily), expected)
        if came_from is not None:
            lazy = how.provenance_
            assert_same_bits(lazy.compute(), came_from)
            assert lazy._meta.dtypes.equals(came_from.dtypes)
            assert [array.dtype for array in expected[2:]] == [np.float64, groups.dtype]


@pytest.mark.parametrize("name", SEARCHING)
@pytest.mark.parametrize("target", ["text", "categories"])
@given(lengths=PARTITIONS)
@settings(max_examples=3)
def test_classes_that_are_too_small(name, target, lengths):
    table = grid().copy()
    table.loc[[3, 40], "y"] = "rare"
    table.loc[17, "y"] = "single"
    if target == "categories":
        kinds = ["single", "rare", "most", "less", "few", "unused"]
        table["y"] = pd.Categorical(table["y"], categories=kinds)
    before = table["y"].value_counts().to_dict()
    for on_small, kept in (("copy", {}), ("skip", {"rare": 2, "single": 1})):
        how = sampler(name, on_small_class=on_small)
        expected = assert_same_on_dask(how, table, lengths)
        wanted = {la: kept.get(la, before["most"] if n else 0) for la, n in before.items()}
        assert expected["y"].value_counts().to_dict() == wanted
        rare = table.loc[[3, 40], list("abc")].to_numpy().tolist()
        new = expected[N:].loc[expected[N:]["y"] == "rare", list("abc")]
        assert all(row in rare for row in new.to_numpy().tolist())
    for given_ in (table, dask_frame(table, lengths)):
        with (
            dask.config.set(scheduler="synchronous"),
            pytest.raises(ValueError, match=r"class 'rare' has 2 rows, .*but .*on_small_class="),
        ):
            sampler(name).resample(given_, target="y")


@pytest.mark.parametrize("name", [n for n in SEARCHING if n != "kmeans"])
@given(lengths=PARTITIONS)
@settings(max_examples=3)
def test_groups_that_are_too_small(name, lengths):
    table = floats(name).copy()
    groups = pd.Series(np.zeros(N, dtype=int))
    few = np.flatnonzero(table["y"] == 1)
    groups.iloc[few[:2]] = 7
    X, y = table.drop(columns="y"), table["y"]
    lazy = [dask_frame(part, lengths) for part in (X, y, groups)]
    for on_small in ("copy", "skip"):
        how = sampler(name, on_small_group=on_small)
        expected = how.fit_resample(X, y, groups=groups)
        with dask.config.set(scheduler="synchronous"):
            found = dask.compute(*how.fit_resample(lazy[0], lazy[1], groups=lazy[2]))
        assert_same_outcome(found, expected)
        assert len(expected[0]) == 2 * (N - 18)
        alone = expected[2].iloc[N:] == 7
        if on_small == "skip":
            assert not alone.any()
        else:
            copies = expected[0].iloc[N:][alone].values.tolist()
            assert all(row in X.iloc[few[:2]].values.tolist() for row in copies)
    for one, other, group in ((X, y, groups), lazy):
        with (
            dask.config.set(scheduler="synchronous"),
            pytest.raises(ValueError, match=r"class 1 has 1 group\(s\) of fewer than .*7: 2"),
        ):
            dask.compute(*sampler(name).fit_resample(one, other, groups=group))


@pytest.mark.parametrize("name", NUMERIC)
@given(lengths=PARTITIONS, seed=st.integers(0, 99))
@settings(max_examples=5)
def test_rows_with_missing_values_are_left_out(name, lengths, seed):
    rng = np.random.default_rng(seed)
    table = floats(name).copy()
    holes = rng.random((N, 2)) < 0.05
    table[["a", "b"]] = table[["a", "b"]].mask(holes)
    how = sampler(name, missing="skip", provenance="full")
    expected = assert_same_on_dask(how, table, lengths)
    if not isinstance(expected, type):
        new = expected[N:]
        assert new[["a", "b", "c"]].notna().all(axis=None)
        assert not holes[new["base_row"].astype(int)].any()
        assert not holes[new["neighbour_row"].dropna().astype(int)].any()


@pytest.mark.parametrize("name", NEAREST_OF_ALL)
@pytest.mark.parametrize("batch", [1, 7, 18, 40])
@pytest.mark.parametrize("classes", [2, 4])
def test_batches_of_queries_change_no_row(name, classes, batch, monkeypatch):
    table = floats(name)
    if classes > 2:
        table = table.assign(y=table["y"].where(table.index > 25, 2 + (table.index % 3 > 0)))
    expected = sampler(name).resample(table, target="y")
    set_constant(monkeypatch, "execute", "BATCH", batch)
    assert_same_bits(assert_same_on_dask(sampler(name), table, [20, 0, 40]), expected)


@pytest.mark.parametrize("parts", [2, 11, 150])
def test_decimals_whose_distances_are_equal_but_for_rounding(parts):
    """A partition orders rows by squared distance, of which two may have the same root."""
    rng = np.random.default_rng(0)
    n = 2_000
    table = pd.DataFrame(rng.normal(size=(n, 2)).round(1), columns=["a", "b"])
    table["y"] = (rng.random(n) < 0.4).astype(int)
    how = BorderlineSMOTE(
        sampling_strategy={1: 30_000},
        random_state=3,
        kind="borderline-2",
        k_neighbors=20,
        provenance="full",
    )
    assert_same_on_dask(how, table, even(n, parts))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(
            (n, {"scale": s})
            for n in having("scale", OVER)
            for s in ("standard", "minmax", "robust")
        ),
        *((n, {"scale": "standard", "n_components": 1}) for n in having("n_components", OVER)),
    ],
)
@given(lengths=PARTITIONS)
@settings(max_examples=2)
def test_scaled_columns_and_components(name, how, lengths):
    table = floats(name).assign(b=lambda t: t["b"] * 1e6)
    expected = assert_same_on_dask(sampler(name, **how), table, lengths)
    assert not expected[N:].equals(sampler(name).resample(table, target="y")[N:])


@pytest.mark.parametrize("known", [True, False])
def test_groups_of_categories_that_differ_between_partitions(known):
    table = floats("adasyn")
    rng = np.random.default_rng(0)
    text = rng.choice(["p", "q"], N)
    text[:30][text[:30] == "q"] = "r"
    parts = [pd.Series(text[:30]).astype("category"), pd.Series(text[30:]).astype("category")]
    meta = parts[0].iloc[:0]
    groups = dask.dataframe.from_delayed(
        [dask.delayed(p) for p in parts], meta=meta, verify_meta=False
    )
    X, y = (dask_frame(t, [30, 30]) for t in (table.drop(columns="y"), table["y"]))
    how = sampler("adasyn", on_small_group="copy")
    with dask.config.set(scheduler="synchronous"):
        if known:
            lazy = how.fit_resample(X, y, groups=groups)[2]
            with pytest.raises(ValueError, match=r"holds 'q', which is not among the categories"):
                lazy.compute()
        else:
            found = how.fit_resample(X, y, groups=groups.cat.as_unknown())[2].compute()
            expected = how.fit_resample(table.drop(columns="y"), table["y"], groups=text)[2]
            assert found.astype(str).tolist() == expected.tolist()


@pytest.mark.parametrize("how", [SMOTEN(random_state=1), SMOTENC(["p", "q"], random_state=1)])
@given(seed=st.integers(0, 99), lengths=PARTITIONS)
@settings(max_examples=8)
def test_equal_levels_that_look_different(how, seed, lengths):
    rng = np.random.default_rng(seed)
    objects = np.array([1, 1.0, True, False, 0.0, None, "a"], dtype=object)
    table = pd.DataFrame(
        {
            "p": pd.Series(rng.choice(objects, N), dtype=object),
            "q": rng.choice([0.0, -0.0, 1.0], N),
            "y": np.repeat(["most", "few"], [45, 15])[rng.permutation(N)],
        }
    )
    if type(how) is SMOTENC:
        table["z"] = rng.normal(size=N)
    with dask.config.set({"dataframe.convert-string": False}):
        found = on_dask(how, table, lengths)
    expected = how.resample(table, target="y")
    assert_same_bits(found.drop(columns="p"), expected.drop(columns="p"))
    assert [*map(repr, found["p"])] == [*map(repr, expected["p"])]


@pytest.mark.parametrize("parts", [7, 100])
@pytest.mark.parametrize("sampler", [SMOTE(random_state=1), SMOTENC(random_state=1)])
def test_partitions_of_a_larger_table(parts, sampler):
    table = numbers(3_000, 300, 4) if type(sampler) is SMOTE else mixed(3_000, 300)
    lengths = even(len(table), parts)
    lengths[len(lengths) // 2 : len(lengths) // 2] = [0, 0]
    frame = dask_frame(table, [0, *lengths, 0])
    with dask.config.set(scheduler="threads", num_workers=4):
        found = sampler.resample(frame, target="y").compute()
    assert_same_bits(found, sampler.resample(table, target="y"))


def test_blocks_of_any_size_hold_the_same_rows(monkeypatch):
    table, how = numbers(), SMOTE(random_state=1)
    expected = how.resample(table, target="y")
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 7)
    lazy = how.resample(dask_frame(table, [120]), target="y")
    assert lazy.npartitions == 1 + -(-72 // 7)
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)
    set_constant(monkeypatch, "execute", "STEP", 3)
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)
    set_constant(monkeypatch, "execute", "_SHARE", 5)
    for config in ({}, {"scheduler": "synchronous"}, {"num_workers": 5}):
        with dask.config.set(config):
            assert_same_bits(how.resample(table, target="y"), expected)


def test_the_seed_makes_the_rows():
    table = numbers()
    one, other = (SMOTE(random_state=seed).resample(table, target="y") for seed in (1, 2))
    pd.testing.assert_frame_equal(one[:120], other[:120])
    assert not np.isin(one["a"][120:], other["a"][120:]).any()
    for kind in (SMOTE, RandomUnderSampler):
        drawn = kind(random_state=None)
        first, second = (drawn.resample(table, target="y") for _ in "ab")
        assert not first.equals(second)
        again = kind(random_state=drawn.plan_.seed).resample(table, target="y")
        pd.testing.assert_frame_equal(again, second)
        for make in (lambda: np.random.RandomState(5), lambda: np.random.default_rng(5)):
            a, b = (kind(random_state=make()).resample(table, target="y") for _ in "ab")
            pd.testing.assert_frame_equal(a, b)
