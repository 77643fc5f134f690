"""Samplers by name, their parameters: what is asked for is what is used, and is said."""

import pydoc
import subprocess
import sys

import dask
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTENC as TheirSMOTENC
from sklearn.base import BaseEstimator, clone
from sklearn.neighbors import NearestNeighbors

import dsmote
from dsmote import SMOTE, SMOTENC, make_sampler
from dsmote.execute.clean import Decision, Rule
from dsmote.neighbors import BruteIndex, CappedIndex, TreeIndex
from dsmote.samplers import samplers
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.registry import describe_samplers, find_sampler
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    both_ways,
    compute_pair,
    dask_array,
    dask_frame,
    even,
    mixed,
    numbers,
    pair_in,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3))
Y = np.repeat([0, 1], [240, 60])
MIXED = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": RNG.choice(["u", "v"], 300)})

# ---- the registry


def test_every_public_sampler_has_one_name():
    known = samplers()
    assert {"smote", "smotenc", "smoten", "borderline", "svm", "random-under"} <= set(known)
    public = [getattr(dsmote, name) for name in dsmote.__all__]
    classes = {x for x in public if isinstance(x, type) and issubclass(x, BaseEstimator)}
    # A chain is none by itself.
    assert {*known.values(), dsmote.Chain} == classes
    assert len(known) + 1 == len(classes)
    kinds = {one["name"]: one["kind"] for one in describe_samplers()}
    assert [kinds[name] for name in ("smote", "random-under", "tomek")] == [
        "over-sampling",
        "under-sampling",
        "clean-sampling",
    ]
    with pytest.raises(AttributeError, match=r"'dsmote' has no attribute 'SMOT'"):
        dsmote.SMOT  # noqa: B018


@pytest.mark.parametrize("name", samplers())
def test_a_sampler_is_found_by_its_names_and_shown(name):
    kind = samplers()[name]
    for given in (name, name.upper(), kind.__name__, kind.__name__.lower(), f" {name} "):
        sampler = make_sampler(given, sampling_strategy="all")
        assert type(sampler) is kind
        assert sampler.sampling_strategy == "all"
    assert getattr(dsmote, kind.__name__) is getattr(dsmote.samplers, kind.__name__) is kind
    assert kind.__name__ in dir(dsmote)
    shown = pydoc.render_doc(kind, renderer=pydoc.plaintext)
    assert kind.__doc__.splitlines()[0] in shown
    assert all(f"{name}: " in shown for name in kind().get_params())
    assert kind.__name__ in kind()._repr_html_()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("borderlin", r" \(did you mean 'borderline'\?\)"),
        ("BorderlineSMOT", r" \(did you mean 'BorderlineSMOTE'\?\)"),
        ("kmean", r" \(did you mean 'kmeans'\?\)"),
        ("xyzzy", ""),
        (7, ""),
    ],
)
def test_unknown_name_lists_what_there_is(name, near):
    message = f"there is no sampler {name!r}{near}; the samplers are: adasyn, adoms, "
    with pytest.raises(ValueError, match=message):
        make_sampler(name)


def test_unknown_parameter_lists_what_there_is():
    with pytest.raises(ValueError, match=r"did you mean 'auto'.*; the samplers are: auto, adasyn"):
        find_sampler("autom", also=("auto",))
    with pytest.raises(ValueError, match=r"BorderlineSMOTE .* 'knd' \(did you mean 'k") as error:
        make_sampler("borderline", knd="borderline-1")
    assert all(name in str(error.value) for name in dsmote.BorderlineSMOTE().get_params())
    with pytest.raises(ValueError, match="did you mean 'n_neighbors'"):
        make_sampler("adasyn", k_neighbors=5)


def test_nothing_is_imported_that_was_not_asked_for():
    steps = (
        ("from dsmote import plan", {"dask", "sklearn"}),
        ("from dsmote.samplers import SMOTE", {"sklearn", "dsmote.samplers.svm"}),
        ("X = [[i, i % 3] for i in range(20)]", {"sklearn"}),
        ("SMOTE(k_neighbors=2).fit_resample(X, [0] * 15 + [1] * 5)", {"distributed"}),
    )
    lines = [f"{code}; print({absent} & set(sys.modules))" for code, absent in steps]
    code = "\n".join(["import sys", *lines])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()"] * 4


# ---- plans


def test_the_plan_of_a_run_is_kept_and_is_that_of_plan():
    table = numbers()
    sampler = SMOTE(random_state=3)
    balanced = sampler.resample(table, target="y")
    for plan in both_ways(lambda table: sampler.plan(table, target="y"), table):
        assert (plan.blocks, plan.engine) == (sampler.plan_.blocks, sampler.plan_.engine)
        assert plan.counts_after == {0: 96, 1: 96}
    assert sampler.plan_ == SMOTE(random_state=3).plan(table, target="y")
    assert len(balanced) == sampler.plan_.n_after
    assert balanced["y"].value_counts().to_dict() == sampler.plan_.counts_after
    under = dsmote.RandomUnderSampler(random_state=0, sampling_strategy={"most": 30})
    for plan in both_ways(lambda table: under.plan(table, target="y"), mixed(120, 24)):
        assert isinstance(plan, dsmote.Plan)
        assert plan == under.plan(mixed(120, 24), target="y")
        assert plan.counts_after == {"few": 12, "less": 12, "most": 30}
        assert (plan.n_before, plan.n_after) == (120, 54)


@pytest.mark.parametrize("kind", [SMOTE, dsmote.RandomUnderSampler])
def test_what_a_callable_is_given(kind):
    table, seen = numbers(90, 20), []

    def strategy(y):
        seen.append(y)
        return {1: 40} if kind is SMOTE else {0: 50}

    how = kind(sampling_strategy=strategy)
    how.fit_resample(table[["a", "b"]], table["y"])
    np.testing.assert_array_equal(seen.pop(), table["y"])
    lazy = how.resample(dask_frame(table, [40, 50]), target="y")
    assert seen.pop() == {0: 70, 1: 20}
    assert len(lazy.compute(scheduler="synchronous")) == (110 if kind is SMOTE else 70)


# ---- searches


def made(**how):
    sampler = SMOTE(random_state=0, **how)
    return sampler, sampler.fit_resample(X, Y)[0]


@pytest.mark.parametrize("how", ["tree", "brute", TreeIndex(), BruteIndex(), CappedIndex(60)])
def test_exact_engines_make_the_same_rows(how):
    sampler, rows = made(neighbors=how)
    np.testing.assert_array_equal(rows, made()[1])
    mixed_rows = SMOTENC(random_state=0, neighbors=how).fit_resample(MIXED, Y)[0]
    assert mixed_rows.equals(SMOTENC(random_state=0).fit_resample(MIXED, Y)[0])
    report = sampler.neighbors_report_
    assert report[1]["exact"] and report[1]["recall"] == 1.0
    assert sampler.plan_.to_dict()["classes"][1]["why"] == "as asked for"
    assert "because comparing all of 60 rows is the quickest" in str(SMOTE().plan(X, Y))


@pytest.mark.parametrize("engine", ["tree", CappedIndex(20), TreeIndex(eps=0.5)])
def test_the_same_on_dask_where_approximate_engines_are_measured(engine):
    eager, rows = made(neighbors=engine)
    lazy = SMOTE(random_state=0, neighbors=engine)
    lengths = [100, 60, 110, 30]
    found = lazy.fit_resample(dask_array(X, lengths), dask_array(Y, lengths))[0]
    assert_same_bits(found.compute(), rows)
    report = lazy.neighbors_report_
    report = report if isinstance(report, dict) else report.compute()
    assert report == eager.neighbors_report_
    if isinstance(engine, CappedIndex):
        assert not report[1]["exact"]
        assert 0 < report[1]["recall"] < 1 < report[1]["distance_ratio"]
        assert report[1]["engine"] == "capped (max_rows=20, tree)"


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (SMOTENC(neighbors="fast"), "takes numeric features only"),
        (SMOTENC(neighbors=TreeIndex(eps=0.5)), "takes numeric features only"),
        (SMOTE(k_neighbors=NearestNeighbors(n_neighbors=1)), "n_neighbors=1; it must be"),
        (SMOTE(k_neighbors=NearestNeighbors(), neighbors="tree"), "as well; give a number"),
        (SMOTE(neighbors="slow"), "'neighbors' parameter"),
    ],
)
def test_mistakes_are_told_before_work(sampler, message):
    with pytest.raises(ValueError, match=message):
        sampler.fit_resample(MIXED if isinstance(sampler, SMOTENC) else X, Y)


@pytest.mark.parametrize("sampler", [SMOTE, SMOTENC])
def test_components_are_approximate_and_say_so(sampler):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2_000, 4)) * 10.0 ** np.arange(-2, 2) + 5.0
    frame, y = pd.DataFrame(values, columns=list("pqrs")), np.repeat([0, 1], [1_300, 700])
    if sampler is SMOTENC:
        frame["c"] = rng.choice(list("abc"), 2_000)
    reports = {}
    for n in (1, 3, 4, 0.9):
        how = sampler(random_state=0, scale="standard", n_components=n)
        assert len(how.fit_resample(frame, y)[0]) == 2_600
        reports[n] = how.neighbors_report_[1]
        assert not reports[n]["exact"]
        assert "principal components" in reports[n]["engine"]
        assert "principal components" in str(how.plan_)
    assert reports[1]["recall"] < reports[3]["recall"] < reports[4]["recall"] == 1.0
    assert "in 4 of 4" in reports[0.9]["engine"]
    flat = rng.normal(size=(2_000, 2)) @ rng.normal(size=(2, 12))
    flat += 1e-4 * rng.normal(size=(2_000, 12))
    how = SMOTE(random_state=0, n_components=0.999)  # a share of the variance
    how.fit_resample(flat, y)
    assert "in 2 of 12 principal components" in how.neighbors_report_[1]["engine"]
    assert how.neighbors_report_[1]["recall"] > 0.95


def test_scaling_that_cannot_be():
    chunked = dask_array(X, [100, 200]), dask_array(Y, [100, 200])
    with pytest.raises(ValueError, match=r"scale='robust' needs .* leave class_counts out"):
        SMOTE(scale="robust").fit_resample(*chunked, class_counts={0: 240, 1: 60})
    with pytest.raises(ValueError, match="n_components=4, but there are 3 numeric"):
        SMOTE(n_components=4).fit_resample(X, Y)
    for how in ({"scale": "log"}, {"n_components": 0}, {"n_components": 1.5}):
        with pytest.raises(ValueError, match=next(iter(how))):
            SMOTE(**how).fit_resample(X, Y)


# ---- SMOTENC: which columns are categorical, and the weight of a level

TABLE = mixed(160, 48)


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        *(
            (["a", "c", "b", "d"], wanted, [1, 3])
            for wanted in (
                "auto",
                ["c", "d"],
                [-3, -1],
                np.array([1, 3]),
                [False, True, False, True],
                np.array([False, True, False, True]),
            )
        ),
        (["a", "c", "b", "d"], ["b", "c", "d"], [1, 2, 3]),
        ([2, 0, 1, 3], [0, 3], [0, 3]),  # a position wherever it can be one
        ([10, 20, 30, 40], [20], [1]),  # no position, so a name
        (["a", "c", "b", "d"], [0, "d"], [0, 3]),
    ],
)
def test_the_columns_that_are_categorical(names, wanted, expected):
    features = TABLE.drop(columns="y")
    if expected != [1, 3]:
        features = pd.DataFrame(RNG.integers(0, 4, features.shape)).astype(float)
    features = features.set_axis(names, axis=1)
    sampler = SMOTENC(wanted, random_state=0).fit(features, TABLE["y"])
    assert sampler.categorical_features_.tolist() == expected
    if names[0] == 2:
        theirs = TheirSMOTENC(wanted, random_state=0, k_neighbors=2)
        theirs.fit_resample(features, TABLE["y"])
        assert theirs.categorical_features_.tolist() == expected


def test_carried_columns_are_no_categories_and_bools_are():
    sampler = SMOTENC(random_state=0, carry=["c"])
    found = sampler.resample(TABLE.assign(f=TABLE["a"] > 0), target="y")
    assert sampler.categorical_features_.tolist() == [4, 5]
    assert sampler.feature_names_in_.tolist() == ["a", "c", "b", "d", "f"]
    assert found["f"].dtype == bool


def test_positions_count_features_not_the_target_and_numbers_may_be_levels():
    # In a table the target is the third column; position 2 is the feature after it.
    by_name, by_place = (SMOTENC(wanted, random_state=0) for wanted in (["c", "d", "b"], [1, 2, 3]))
    found, on_dask = both_ways(lambda table: by_name.resample(table, target="y"), TABLE)
    assert_same_bits(by_place.resample(TABLE, target="y"), found)
    assert_same_bits(on_dask, found)
    for label in ("few", "less"):
        present = TABLE.loc[TABLE["y"] == label, "b"]
        assert set(found[160:].loc[found["y"] == label, "b"]) <= set(present)


def test_constant_numbers_are_one_warning_and_a_name_counts_for_one():
    table = TABLE.assign(a=1.0, b=2)
    with pytest.warns(UserWarning) as said:
        results = both_ways(lambda t: SMOTENC(random_state=0).resample(t, target="y"), table)
    start = "classes 'few', 'less': the median of the columns' standard deviations is 0"
    assert [str(warning.message).startswith(start) for warning in said] == [True] * len(results)
    for found in results:
        assert (found["a"] == 1.0).all()
        assert found["y"].value_counts().nunique() == 1


# ---- cleaning methods: a mask for each partition, whatever holds the table


CLEANED = numbers(90, 30, 3)
A, B = CLEANED.drop(columns="y"), CLEANED["y"]


class PositiveRule(Rule):
    """Rows of the targeted classes stay if their first feature is positive."""

    def decide(self, of):
        return Decision((of.matrix[:, 0] > 0) | ~of.targeted[of.ranks])


class Positive(CleanSampler):
    """Keeps the rows of the targeted classes whose first feature is positive."""

    _rule_type = PositiveRule


@pytest.mark.parametrize(
    ("strategy", "targeted"), [("auto", [0]), ("all", [0, 1]), ([1], [1]), (lambda y: [1], [1])]
)
def test_targeted_classes_are_cleaned(strategy, targeted):
    sampler = clone(Positive(sampling_strategy=strategy))
    X_res, y_res = sampler.fit_resample(A, B)
    stays = (A["a"] > 0) | ~B.isin(targeted)
    pd.testing.assert_frame_equal(X_res, A[stays])
    pd.testing.assert_series_equal(y_res, B[stays])
    assert sampler.sample_indices_.tolist() == np.flatnonzero(stays).tolist()
    assert sampler.sampling_strategy_ == {label: int((label == B).sum()) for label in targeted}
    assert sampler.plan_.counts_after == {0: 60, 1: 30}  # at most
    assert "rows after are upper bounds" in str(sampler.plan_)


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_rows_stay_on_dask(container):
    with dask.config.set(scheduler="synchronous"):
        made = Positive().fit_resample(*pair_in(container, A, B, even(90, 4)))
        found = compute_pair(*made)
    for one, expected in zip(found, Positive().fit_resample(A, B), strict=True):
        assert_same_bits(one, expected)


def test_what_is_not_for_cleaning():
    for strategy in ("minority", 0.5, {0: 5}):
        with pytest.raises(ValueError, match="'sampling_strategy' parameter of Positive must be"):
            Positive(sampling_strategy=strategy).fit_resample(A, B)
