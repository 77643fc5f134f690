"""Sampling strategies: how many rows each class gets or keeps; the order of labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.plan import CLEAN, OVER, UNDER, sort_labels, wanted_rows

COUNTS = {"b": 30, "a": 100, "c": 10}
TWO = {0: 90, 1: 10}

#: Direction, strategy, rows of each class before, and those that the targeted ones end with.
#: What all words mean: oracle/test_formulas.
ENDS = [
    (OVER, "not majority", COUNTS, {"b": 100, "c": 100}),
    (OVER, {"a": 150, "c": 10}, COUNTS, {"a": 150, "c": 10}),
    (OVER, lambda counts: {"c": counts["a"]}, COUNTS, {"c": 100}),
    (OVER, 0.5, {0: 101, 1: 10}, {1: 50}),
    (OVER, 1, TWO, {1: 90}),
    (UNDER, {"b": 0, "a": np.int64(100)}, COUNTS, {"a": 100, "b": 0}),
    (UNDER, {np.str_("a"): 7}, COUNTS, {"a": 7}),
    (UNDER, {}, COUNTS, {}),
    (UNDER, lambda counts: {"a": counts["b"]}, COUNTS, {"a": 30}),
    (UNDER, 0.5, TWO, {0: 20}),
    (UNDER, 1, {1: 10, 0: 90}, {0: 10}),
    (UNDER, 0.7, TWO, {0: 14}),
    (UNDER, 10 / 90, TWO, {0: 90}),
    # Of equal classes the first label is the majority, and the minority.
    (OVER, "minority", {2: 5, 1: 9, 3: 5}, {2: 9}),
    (UNDER, "auto", dict.fromkeys(range(3), 5), {1: 5, 2: 5}),
    (UNDER, 1.0, {0: 5, 1: 5}, {1: 5}),
    (CLEAN, "auto", COUNTS, {"a": 100, "b": 30}),
    (CLEAN, ["c", "a"], COUNTS, {"a": 100, "c": 10}),
    (CLEAN, lambda counts: [max(counts, key=counts.get)], COUNTS, {"a": 100}),
]


@pytest.mark.parametrize(("direction", "strategy", "counts", "ends"), ENDS)
def test_the_rows_that_classes_end_with(direction, strategy, counts, ends):
    found = wanted_rows(strategy, counts, direction)
    assert found == ends
    assert list(found) == sorted(ends)


@pytest.mark.parametrize("majority", [100, 1_000, 12_345, 10**9])
def test_ratios_ask_for_the_rows_that_they_say(majority):
    """0.29 x 100 is 28.999999999999996 in floating point, and 29 rows."""
    for percent in range(1, 101):
        wanted = majority * percent // 100
        if wanted > 1:
            assert wanted_rows(percent / 100, {0: majority, 1: 1}, OVER) == {1: wanted}
        rows = percent * 7
        kept = wanted_rows(percent / 100, {0: 10**10, 1: rows}, UNDER)
        assert kept == {0: rows * 100 // percent}


MANY = dict.fromkeys(range(200), 5)
UNKNOWN = r"names 'z', which the target does not hold; it holds \{'a': 100, 'b': 30, 'c': 10\}"


@pytest.mark.parametrize(
    ("direction", "strategy", "counts", "message"),
    [
        (OVER, "majority", COUNTS, "cannot be used with an over-sampler"),
        (UNDER, "minority", COUNTS, "'minority' cannot be used with an under-sampler.*'majority'"),
        (CLEAN, "minority", COUNTS, "cannot be used with a cleaning method"),
        (OVER, "most", COUNTS, "must be one of minority, majority"),
        *((how, {"z": 5}, COUNTS, UNKNOWN) for how in (OVER, UNDER)),
        (CLEAN, ["z"], COUNTS, UNKNOWN),
        (OVER, {"x": 1}, MANY, r"and 180 more\}"),
        *((how, [1], COUNTS, "lists of classes are for cleaning") for how in (OVER, UNDER)),
        (CLEAN, {"a": 5}, COUNTS, "list of classes or a callable.*are for over- and under"),
        (CLEAN, 0.5, COUNTS, "must be a string, a list of classes"),
        *((how, True, COUNTS, "must be a string, a number") for how in (OVER, UNDER)),
        (OVER, {"a": 99}, COUNTS, "only adds rows; ask for 100"),
        (UNDER, {"a": -1}, COUNTS, "-1 rows of class 'a', which has 100; .* not be negative"),
        (UNDER, {"a": 101}, COUNTS, "101 rows of class 'a', which has 100: .* ask for 100 or"),
        *(
            (how, {"a": total}, COUNTS, "of class 'a'; it must be a whole number")
            for how in (OVER, UNDER)
            for total in (True, 120.0, 1.5)
        ),
        *(
            (how, lambda counts: ["a"], COUNTS, "must return a mapping from class to total.*list")
            for how in (OVER, UNDER)
        ),
        (CLEAN, lambda counts: {"a": 5}, COUNTS, "must return a list of classes"),
        *(
            (how, 0.5, COUNTS, r"2 classes, but the target has 3: \{'a': 100, 'b': 30, 'c': 10\}")
            for how in (OVER, UNDER)
        ),
        *(
            (how, ratio, TWO, rf"in \(0, 1\], but is {ratio}")
            for how in (OVER, UNDER)
            for ratio in (0.0, -0.5, 1.01)
        ),
        (OVER, 0.1, {0: 100, 1: 10}, "asks for 10 rows of class 1, which has 10 already"),
        (UNDER, 0.1, TWO, r"asks for 100 .* class 0, which has 90 \(a ratio of 0\.1111\).*larger"),
        *(
            (how, "auto", few, "at least 2 classes, but has")
            for how in (OVER, UNDER, CLEAN)
            for few in ({}, {"only": 3})
        ),
    ],
)
def test_what_is_refused(direction, strategy, counts, message):
    with pytest.raises(ValueError, match=message) as caught:
        wanted_rows(strategy, counts, direction)
    assert len(str(caught.value)) < 1_500


@given(st.permutations([3, 1, "b", 2.5, "a", True, None]))
def test_the_order_does_not_depend_on_where_labels_come_first(labels):
    assert sort_labels(labels) == sort_labels([3, 1, "b", 2.5, "a", True, None])
    assert sort_labels([10, 9, -1]) == [-1, 9, 10]
