"""Counts of levels by class: the same however the table is cut."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.plan.profile import LevelCounts, count_levels, level_key, merge_levels

PAIRS = st.lists(st.tuples(st.sampled_from(["u", "v", None]), st.integers(0, 2)), max_size=30)


def counted(pairs):
    if not pairs:
        return ()
    levels = list(dict.fromkeys(level for level, _ in pairs))
    labels = list(dict.fromkeys(label for _, label in pairs))
    counts = np.zeros((len(levels), len(labels)), dtype=np.int64)
    for level, label in pairs:
        counts[levels.index(level), labels.index(label)] += 1
    return (count_levels(levels, labels, counts),)


@given(pairs=PAIRS, cut=st.integers(0, 30))
def test_parts_add_up_to_the_whole(pairs, cut):
    whole, merged = counted(pairs), merge_levels(counted(pairs[:cut]), counted(pairs[cut:]))
    assert merged == whole
    if pairs:
        table = merged[0].table(["u", None, "absent"], [2, 0, "other"])
        assert table.dtype == np.int64
        assert table.tolist() == [
            [pairs.count(("u", 2)), pairs.count(("u", 0)), 0],
            [pairs.count((None, 2)), pairs.count((None, 0)), 0],
            [0, 0, 0],
        ]


def test_merging_leaves_the_parts_as_they_are():
    one, other = counted([("u", 0)]), counted([("u", 0), ("v", 1)])
    merged = merge_levels(one, other)
    assert merged[0].rows == {"u": {0: 2}, "v": {1: 1}}
    assert one[0].rows == {"u": {0: 1}}
    assert other[0].rows == {"u": {0: 1}, "v": {1: 1}}


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, np.float32("nan")])
def test_missing_is_one_level(missing):
    assert level_key(missing) is None
    counts = count_levels(["a", missing], [0], np.array([[1], [2]]))
    assert counts.table([np.nan, None], [0]).tolist() == [[2], [2]]


@pytest.mark.parametrize(
    ("one", "other"), [(np.int64(3), 3), (np.str_("a"), "a"), (3.0, 3), (np.bool_(True), True)]
)
def test_a_level_is_known_whatever_held_it(one, other):
    assert level_key(one) == other
    assert hash(level_key(one)) == hash(other)


def test_no_levels():
    assert LevelCounts({}).table([], [0, 1]).shape == (0, 2)
    assert merge_levels((), ()) == ()
