"""Same seed, same rows: whatever holds the data, cuts them up or computes them."""

from functools import cache

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import SMOTE, SMOTEN, SMOTENC, BorderlineSMOTE, RandomUnderSampler
from dsmote.samplers.registry import parameters_of
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
PARTITIONS = st.lists(st.integers(0, N), max_size=6).map(lambda cuts: lengths_of(N, cuts))

OVER = family(k_neighbors=3, n_neighbors=3, m_neighbors=5, on_empty="smote")
UNDER = family(over=False)

#: What a sampler that has the parameter is given, or a part of them.
OPTIONS = {
    "provenance": [False, "flag", "full"],
    "missing": ["skip", "error"],
    "scale": [None, None, "standard", "minmax", "robust"],
    "n_components": [None, None, None, 1],
    "max_fit_rows": [5, 40, 1_000],
    "on_small_class": ["copy", "skip", "copy", "skip", "error"],
    "on_small_group": ["copy", "skip", "copy", "skip", "error"],
}
#: Constants that say how the work is cut into tasks, by layer.
CUTS = {
    ("plan", "BLOCK_ROWS"): [7, 250_000],
    ("execute", "STEP"): [3, 1 << 14],
    ("execute", "BATCH"): [1, 7, 18, 40, 1 << 14],
}
GROUPS = {
    "whole numbers": lambda rng: pd.Series(rng.integers(0, 3, N)),
    "one is small": lambda rng: pd.Series(np.where(rng.random(N) < 0.1, 7, 0)),
    "text": lambda rng: pd.Series(rng.choice(list("pqr"), N)),
    "categories": lambda rng: pd.Series(pd.Categorical(rng.choice(list("pqr"), N))),
    "missing text": lambda rng: pd.Series(rng.choice(["p", "q", None], N), dtype=object),
    "missing numbers": lambda rng: pd.Series(rng.choice([0.0, 1.0, np.nan], N)),
}
WEIGHTS = {
    "whole numbers": lambda rng: pd.Series(rng.integers(1, 9, N), name="w"),
    "float64": lambda rng: pd.Series(rng.random(N), name="w"),
    "float32": lambda rng: pd.Series(rng.random(N).astype("f4"), name="w"),
}


@pytest.fixture(scope="module", autouse=True)
def small_leaves():
    """Make the trees in which rows are drawn without replacement several levels high."""
    with pytest.MonkeyPatch.context() as patch:
        set_constant(patch, "plan", "LEAF", 16)
        yield


def sampler(name, **more):
    kind, parameters = (OVER | UNDER)[name]
    return kind(random_state=3, **(parameters | more))


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


def drawn_input(name, arrays, draw):
    """Draw features, target, companions and parameters, such as arrays can have or any."""
    rng, there = np.random.default_rng(draw(range(100))), parameters_of((OVER | UNDER)[name][0])
    how = {option: draw(values) for option, values in OPTIONS.items() if option in there}
    kinds = [lambda: table_of(name, N, 18), grid]
    if not arrays and (name in ("smoten", "smotenc", "random") or name in UNDER):
        kinds.append(lambda: mixed(N, 24))
    table = draw(kinds)().copy()
    if "d" in table and "categorical_features" in there:
        how["categorical_features"] = None
    if draw([True, False, False]):
        names = ["rare", "single"] if table["y"].dtype != int else [2, 3]
        table.loc[[3, 40], "y"], table.loc[17, "y"] = names
    if name != "smoten" and draw([True, False, False]):
        table["a"] = table["a"].mask(rng.random(N) < 0.1)
    X, y = table.drop(columns="y"), table["y"]
    if draw([True, False]):
        counts = y.value_counts().sort_index()
        at_most = [40 if name in OVER else n for n in counts]
        steps = [draw(range(most)) if draw([True, False]) else 0 for most in at_most]
        how["sampling_strategy"] = (
            counts + (1 if name in OVER else -1) * np.array(steps)
        ).to_dict()
    if not arrays and draw([True, False, False]):
        y = y.astype(pd.CategoricalDtype([*sorted(set(y), key=str, reverse=True), "unused"]))
    given = {}
    if draw([True, False]):
        given["sample_weight"] = WEIGHTS[draw(WEIGHTS)](rng)
    if draw([True, False]):
        given["groups"] = GROUPS["one is small" if arrays else draw(GROUPS)](rng).rename("g")
        if not arrays and draw([True, False]):
            X["g"], given["groups"] = given["groups"].array, "g"
    if "carry" in there and not arrays:
        X["id"], how["carry"] = np.arange(N), ["id"]
    return X, y, given, how


def call(how, X, y, given_):
    """Resample a pair, or a frame that has the target."""
    if y is not None:
        return how.fit_resample(X, y, **given_)
    made = how.resample(X, target="y", **given_)
    return made if isinstance(made, tuple) else (made,)


def dtypes_of(table):
    return list(table.dtypes) if hasattr(table, "dtypes") and table.ndim == 2 else [table.dtype]


@pytest.mark.parametrize("name", OVER | UNDER)
@given(data=st.data())
@settings(max_examples=4)
def test_any_container_partitioning_scheduler_and_parameters(name, data):
    def draw(values):
        return data.draw(st.sampled_from(list(values)))

    container, lengths = draw([None, *CONTAINERS]), data.draw(PARTITIONS)
    X, y, given_, how = drawn_input(name, "dask array" in str(container), draw)
    how, table, labels = sampler(name, **how), X, y
    if container is None:  # one frame, which holds the target
        X, y = X.assign(y=y), None
        given_.pop("sample_weight", None)
    expected = outcome(lambda: call(how, X, y, given_))
    if not isinstance(expected, type):
        check_counts_and_originals(how, table, labels, expected)

    def lazily():
        held = {
            key: value if isinstance(value, str) else held_as(value)
            for key, value in given_.items()
        }
        pair = (dask_frame(X, lengths), None) if y is None else pair_in(container, X, y, lengths)
        lazy = call(how, *pair, held)
        return lazy, compute_pair(*lazy)

    def held_as(values):
        if "dask array" not in str(container):
            return dask_frame(values, lengths)
        return dask_array(values.to_numpy(), lengths, known="unknown" not in container)

    config = {
        "scheduler": draw(["synchronous", "threads"]),
        "num_workers": 4,
        "optimization.fuse.active": draw([True, False]),
        "dataframe.convert-string": False,
    }
    with pytest.MonkeyPatch.context() as patch, dask.config.set(config):
        for (layer, constant), values in CUTS.items():
            set_constant(patch, layer, constant, draw(values))
        made = outcome(lazily)
        if isinstance(expected, type) or isinstance(made, type):
            assert made is expected
            return
        lazy, found = made
        if isinstance(found[0], pd.DataFrame):
            columns = [c for c in expected[0] if draw([True, False])]
            assert_same_bits(lazy[0][columns].compute(), expected[0][columns])
        elif getattr(how, "provenance", False):
            found, lazy = [*found, how.provenance_.compute()], [*lazy, how.provenance_]
            expected = [expected[0][list(X)], *expected[1:], expected[0].drop(columns=list(X))]
    for one, of, other in zip(found, lazy, expected, strict=True):
        assert_same_bits(one, other)
        assert dtypes_of(one) == dtypes_of(of._meta)
        assert isinstance(one, np.ndarray) or dtypes_of(one) == dtypes_of(other)
        if name in UNDER and not isinstance(one, np.ndarray):
            assert one.index.equals(other.index)
        elif name in UNDER:  # known, even where the input's chunks were not
            assert of.shape == one.shape
            assert len(of.chunks[0]) == len(lengths)


def check_counts_and_originals(how, X, y, made):
    y_res = made[0]["y"] if "y" in made[0] else made[1]
    after = {label: n for label, n in how.plan_.counts_after.items() if n}
    assert y_res.value_counts()[lambda counts: counts > 0].to_dict() == after
    left = getattr(how, "on_small_class", "") == "skip" or X.isna().any(axis=None)
    if how.sampling_strategy != "auto" and not left:
        wanted = y.value_counts().to_dict() | how.sampling_strategy
        assert {label: n for label, n in wanted.items() if n} == after
    if hasattr(how, "carry"):
        assert_same_bits(made[0][list(X)][:N], X)
        assert_same_bits(y_res[:N], y)
        new = y_res[N:].tolist()  # class by class
        assert new == sorted(new)


def assert_same_on_dask(how, table, lengths, **config):
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False} | config):
        found = how.resample(dask_frame(table, lengths), target="y").compute()
    expected = how.resample(table, target="y")
    assert_same_bits(found, expected)
    return expected


def test_a_sample_is_taken_where_the_table_is_larger():
    """No more than the share of each class (50 at the least) is what the machine is fitted to."""
    table = numbers(600, 200, 3)
    how = sampler("svm", max_fit_rows=100)
    some = assert_same_on_dask(how, table, [0, 100, 33, 467])
    how.resample(table, target="y")
    assert how.svm_estimator_.shape_fit_ == (67 + 50, 3)
    assert not sampler("svm").resample(table, target="y").equals(some)


@pytest.mark.parametrize("name", having("scale", OVER))
def test_scaling_and_components_change_the_rows(name):
    table = table_of(name, N, 18).assign(b=lambda t: t["b"] * 1e6)
    ways = [{}, *({"scale": scale} for scale in ("standard", "minmax", "robust"))]
    ways += (
        [{"scale": "standard", "n_components": 1}] if name in having("n_components", OVER) else []
    )
    made = [sampler(name, **how).resample(table, target="y") for how in ways]
    assert not any(one.equals(made[0]) for one in made[1:])


def decimals():
    """Make a table of which a partition orders rows by squares that may have the same root."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(2_000, 2)).round(1), columns=["a", "b"])
    return table.assign(y=(rng.random(2_000) < 0.4).astype(int))


OF_DECIMALS = BorderlineSMOTE(
    sampling_strategy={1: 30_000},
    random_state=3,
    kind="borderline-2",
    k_neighbors=20,
    provenance="full",
)


@pytest.mark.parametrize(
    ("how", "make", "parts"),
    [
        (SMOTE(random_state=1), lambda: numbers(3_000, 300, 4), 150),
        (SMOTENC(random_state=1), lambda: mixed(3_000, 300), 7),
        (OF_DECIMALS, decimals, 30),
    ],
)
def test_partitions_of_a_larger_table(how, make, parts):
    table = make()
    lengths = [0, *even(len(table) - 9, parts), 0, 9, 0]
    assert_same_on_dask(how, table, lengths, scheduler="threads", num_workers=4)


@pytest.mark.parametrize("known", [True, False])
def test_groups_of_categories_that_differ_between_partitions(known):
    table = table_of("adasyn", N, 18)
    text = np.random.default_rng(0).choice(["p", "q"], N)
    text[:30][text[:30] == "q"] = "r"
    groups = dask_frame(pd.Series(text), [30, 30])
    groups = groups.map_partitions(
        lambda of: of.astype("category"), meta=pd.Series(text[:30]).astype("category")
    )
    X, y = table.drop(columns="y"), table["y"]
    pair = [dask_frame(of, [30, 30]) for of in (X, y)]
    how = sampler("adasyn", on_small_group="copy")
    groups = groups if known else groups.cat.as_unknown()
    with dask.config.set(scheduler="synchronous"):
        lazy = how.fit_resample(*pair, groups=groups)[2]
        if known:
            with pytest.raises(ValueError, match=r"holds 'q', which is not among the categories"):
                lazy.compute()
        else:
            expected = how.fit_resample(X, y, groups=text)[2]
            assert lazy.compute().astype(str).tolist() == expected.tolist()


@pytest.mark.parametrize("how", [SMOTEN(random_state=1), SMOTENC(["p", "q"], random_state=1)])
@given(seed=st.integers(0, 99), lengths=PARTITIONS)
@settings(max_examples=4)
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
    expected = how.resample(table, target="y")
    with dask.config.set({"dataframe.convert-string": False, "scheduler": "synchronous"}):
        found = how.resample(dask_frame(table, lengths), target="y").compute()
    assert_same_bits(found.drop(columns="p"), expected.drop(columns="p"))
    assert [*map(repr, found["p"])] == [*map(repr, expected["p"])]


def test_threads_in_memory_make_the_same_rows(monkeypatch):
    table, how = numbers(), SMOTE(random_state=1)
    expected = how.resample(table, target="y")
    set_constant(monkeypatch, "execute", "_SHARE", 5)
    for config in ({}, {"scheduler": "synchronous"}, {"num_workers": 5}):
        with dask.config.set(config):
            assert_same_bits(how.resample(table, target="y"), expected)


def test_the_seed_makes_the_rows():
    table = numbers()
    one, other = (SMOTE(random_state=seed).resample(table, target="y") for seed in (1, 2))
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
