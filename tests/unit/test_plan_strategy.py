"""Sampling strategies: how many rows each class gets or keeps; the order of labels."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.plan import CLEAN, OVER, UNDER, make_under_plan, plain, sort_labels, wanted_rows

COUNTS = {"b": 30, "a": 100, "c": 10}


def new_rows(strategy, counts, *given):
    wanted = wanted_rows(strategy, counts, OVER, *given)
    return {label: n - counts[label] for label, n in wanted.items()}


def kept_rows(strategy, counts, *given):
    return wanted_rows(strategy, counts, UNDER, *given)


def test_words():
    assert new_rows("auto", COUNTS) == {"b": 70, "c": 90}
    assert new_rows("not majority", COUNTS) == {"b": 70, "c": 90}
    assert new_rows("minority", COUNTS) == {"c": 90}
    assert new_rows("not minority", COUNTS) == {"a": 0, "b": 70}
    assert new_rows("all", COUNTS) == {"a": 0, "b": 70, "c": 90}
    assert list(new_rows("all", COUNTS)) == ["a", "b", "c"]


def test_with_ties_the_first_label_is_left_out():
    assert new_rows("auto", {2: 5, 1: 5}) == {2: 0}
    assert new_rows("minority", {2: 5, 1: 5}) == {1: 0}
    assert new_rows("minority", {2: 5, 1: 9, 3: 5}) == {2: 4}


@pytest.mark.parametrize("majority", [100, 1_000, 12_345, 10**9])
def test_ratios_ask_for_the_rows_that_they_say(majority):
    """0.29 x 100 is 28.999999999999996 in floating point, and 29 rows."""
    for percent in range(1, 101):
        ratio = percent / 100
        wanted = majority * percent // 100
        if wanted > 1:
            assert new_rows(ratio, {0: majority, 1: 1}) == {1: wanted - 1}
        minority = percent * 7
        assert kept_rows(ratio, {0: 10**10, 1: minority}) == {0: minority * 100 // percent}


def test_ratios_are_cut_down_to_whole_rows():
    assert new_rows(0.5, {0: 101, 1: 10}) == {1: 40}
    assert new_rows(1, {0: 90, 1: 10}) == {1: 80}
    with pytest.raises(ValueError, match="asks for 10"):
        new_rows(0.1, {0: 100, 1: 10})


def test_mappings_may_pass_the_majority():
    assert new_rows({"a": 150, "c": 10}, COUNTS) == {"a": 50, "c": 0}


def test_what_a_callable_is_given():
    assert new_rows(lambda counts: {"c": counts["a"]}, COUNTS) == {"c": 90}
    assert new_rows(lambda y: {"c": len(y)}, COUNTS, [1] * 20) == {"c": 10}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("majority", "cannot be used with an over-sampler"),
        ("most", "must be one of minority"),
        ([1], "lists of classes are for cleaning"),
        (True, "must be a string"),
        ({"z": 5}, r"names 'z', which the target does not hold; it holds \{'a': 100, 'b': 30"),
        ({"a": 99}, "only adds rows; ask for 100"),
        ({"c": True}, "must be a whole number"),
        ({"c": 20.0}, "must be a whole number"),
        (lambda counts: 5, "must return a mapping"),
        (0.5, "works with 2 classes, but the target has 3"),
    ],
)
def test_what_is_refused(strategy, message):
    with pytest.raises(ValueError, match=message):
        new_rows(strategy, COUNTS)


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01])
def test_ratios_out_of_range(ratio):
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        new_rows(ratio, {0: 9, 1: 3})


@pytest.mark.parametrize("direction", [OVER, UNDER, CLEAN])
@pytest.mark.parametrize("counts", [{}, {"only": 3}])
def test_fewer_than_two_classes(counts, direction):
    with pytest.raises(ValueError, match="at least 2 classes, but has"):
        wanted_rows("auto", counts, direction)


def test_many_classes_are_listed_in_short():
    with pytest.raises(ValueError, match=r"and 180 more\}") as caught:
        new_rows({"x": 1}, dict.fromkeys(range(200), 5))
    assert len(str(caught.value)) < 1_500


def test_cleaning_methods_take_classes():
    for strategy, labels in [
        ("auto", "ab"),
        ("majority", "a"),
        ("not majority", "bc"),
        ("all", "abc"),
        (["c", "a"], "ac"),
        (lambda counts: [max(counts, key=counts.get)], "a"),
    ]:
        assert wanted_rows(strategy, COUNTS, CLEAN) == {label: COUNTS[label] for label in labels}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("minority", "cannot be used with a cleaning method"),
        ({"a": 5}, "a list of classes or a callable.*numbers of rows are for over- and under"),
        (0.5, "must be a string, a list of classes"),
        (["z"], "names 'z', which the target does not hold"),
        (lambda counts: {"a": 5}, "must return a list of classes"),
    ],
)
def test_what_cannot_be_cleaned(strategy, message):
    with pytest.raises(ValueError, match=message):
        wanted_rows(strategy, COUNTS, CLEAN)


def test_words_of_under_samplers():
    assert kept_rows("auto", COUNTS) == {"a": 10, "b": 10}
    assert kept_rows("not minority", COUNTS) == {"a": 10, "b": 10}
    assert kept_rows("majority", COUNTS) == {"a": 10}
    assert kept_rows("not majority", COUNTS) == {"b": 10, "c": 10}
    assert kept_rows("all", COUNTS) == {"a": 10, "b": 10, "c": 10}
    assert list(kept_rows("all", COUNTS)) == ["a", "b", "c"]


def test_ties_leave_out_the_first_class_only():
    counts = {0: 5, 1: 5, 2: 5}
    assert kept_rows("auto", counts) == {1: 5, 2: 5}
    assert kept_rows("majority", counts) == {0: 5}
    assert kept_rows("not majority", counts) == {1: 5, 2: 5}


def test_a_ratio_says_how_many_of_the_majority_stay():
    assert kept_rows(0.5, {0: 90, 1: 10}) == {0: 20}
    assert kept_rows(1.0, {0: 90, 1: 10}) == {0: 10}
    assert kept_rows(1, {1: 10, 0: 90}) == {0: 10}
    assert kept_rows(0.7, {0: 90, 1: 10}) == {0: 14}
    assert kept_rows(10 / 90, {0: 90, 1: 10}) == {0: 90}
    assert kept_rows(1.0, {0: 5, 1: 5}) == {1: 5}


def test_mappings_and_callables():
    assert kept_rows({"b": 0, "a": np.int64(100)}, COUNTS) == {"a": 100, "b": 0}
    assert kept_rows({np.str_("a"): 7}, COUNTS) == {"a": 7}
    assert kept_rows({}, COUNTS) == {}
    assert kept_rows(lambda counts: {"a": counts["b"]}, COUNTS) == {"a": 30}
    assert kept_rows(lambda y: {"a": len(y)}, COUNTS, [1, 2]) == {"a": 2}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("minority", r"'minority' cannot be used with an under-sampler.*'majority'"),
        ("some", "must be one of minority, majority"),
        (0.5, r"works with 2 classes, but the target has 3: \{'a': 100, 'b': 30, 'c': 10\}"),
        ({"d": 1}, r"names 'd', which the target does not hold; it holds \{'a': 100"),
        ({"a": -1}, r"-1 rows of class 'a', which has 100; the number must not be negative"),
        ({"a": 101}, r"101 rows of class 'a', which has 100: .* takes rows away; ask for 100 or"),
        ({"a": 1.5}, r"1.5 rows of class 'a'; it must be a whole number"),
        ({"a": True}, r"True rows of class 'a'; it must be a whole number"),
        (["a"], "lists of classes are for cleaning methods"),
        (True, "must be a string, a number"),
        (lambda counts: ["a"], "must return a mapping from class to total rows.*list"),
    ],
)
def test_what_cannot_be_kept(strategy, message):
    with pytest.raises(ValueError, match=message):
        kept_rows(strategy, COUNTS)


def test_a_ratio_that_the_majority_has_too_few_rows_for():
    message = r"=0\.1 asks for 100 rows of class 0, which has 90 \(a ratio of 0\.1111\).*larger"
    with pytest.raises(ValueError, match=message):
        kept_rows(0.1, {0: 90, 1: 10})
    with pytest.raises(ValueError, match=r"in \(0, 1\], but is 1.5"):
        kept_rows(1.5, {0: 90, 1: 10})


def test_the_plan_can_be_read_and_written():
    plan = make_under_plan(sampler="S", seed=3, counts=COUNTS, keep={"a": 10, "b": 30})
    assert plan.counts_before == COUNTS
    assert plan.counts_after == {"a": 10, "b": 30, "c": 10}
    assert [(c.label, c.rank, c.targeted) for c in plan.classes] == [
        ("a", 0, True),
        ("b", 1, True),
        ("c", 2, False),
    ]
    lines = [line.split() for line in str(plan).splitlines()]
    assert ["a", "100", "90", "10"] in lines
    assert ["total", "140", "90", "50"] in lines
    read = json.loads(json.dumps(plan.to_dict()))
    assert (read["rows_before"], read["rows_dropped"]) == (140, 90)
    assert read["classes"][0] == {
        "label": "a",
        "before": 100,
        "dropped": 90,
        "after": 10,
        "targeted": True,
    }


def test_labels_that_json_does_not_know_become_text():
    plan = make_under_plan(sampler="S", seed=0, counts={np.datetime64("2020-01-01"): 2}, keep={})
    assert "2020" in json.loads(json.dumps(plan.to_dict()))["classes"][0]["label"]


def test_plain_values():
    assert type(plain(np.int8(3))) is int
    assert type(plain(np.float32(0.5))) is float
    assert type(plain(np.bool_(True))) is bool
    assert plain("a") == "a"
    assert plain(pd.Timestamp("2020-01-01")) == pd.Timestamp("2020-01-01")


@given(st.permutations([3, 1, "b", 2.5, "a", True, None]))
def test_the_order_does_not_depend_on_where_labels_come_first(labels):
    assert sort_labels(labels) == sort_labels([3, 1, "b", 2.5, "a", True, None])


@given(st.lists(st.integers(-100, 100), unique=True))
def test_numbers_by_value(labels):
    assert sort_labels(labels) == sorted(labels)
