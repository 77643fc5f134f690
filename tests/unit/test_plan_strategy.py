"""Strategies: how many rows each class gets; the words are compared with imblearn's elsewhere."""

import pytest

from dsmote.plan import CLEAN, OVER, UNDER, wanted_rows

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
        (True, "must be a word"),
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


@pytest.mark.parametrize("counts", [{}, {"only": 3}])
def test_fewer_than_two_classes(counts):
    with pytest.raises(ValueError, match="at least 2 classes, but has"):
        new_rows("auto", counts)


def test_many_classes_are_listed_in_short():
    with pytest.raises(ValueError, match=r"and 180 more\}") as caught:
        new_rows({"x": 1}, dict.fromkeys(range(200), 5))
    assert len(str(caught.value)) < 1_500


def test_cleaning_methods_are_told_classes():
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
        (0.5, "must be a word, a list of classes"),
        (["z"], "names 'z', which the target does not hold"),
        (lambda counts: {"a": 5}, "must return a list of classes"),
    ],
)
def test_what_cannot_be_cleaned(strategy, message):
    with pytest.raises(ValueError, match=message):
        wanted_rows(strategy, COUNTS, CLEAN)
