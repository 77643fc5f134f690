"""Strategies of under-samplers: how many rows each class keeps; and what the plan says."""

import json

import numpy as np
import pytest

from dsmote.plan import UNDER, make_under_plan, wanted_rows

COUNTS = {"b": 30, "a": 100, "c": 10}


def kept_rows(strategy, counts, *given):
    return wanted_rows(strategy, counts, UNDER, *given)


def test_words():
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
        (True, "must be a word, a number"),
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


@pytest.mark.parametrize("counts", [{}, {"only": 7}])
def test_less_than_two_classes(counts):
    with pytest.raises(ValueError, match="at least 2 classes, but has"):
        kept_rows("auto", counts)


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
