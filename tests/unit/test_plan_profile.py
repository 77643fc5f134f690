"""Profiles: the same from any partitions, in any grouping."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.execute.partition import profile
from dsmote.plan import make_schema, merge_profiles
from dsmote.plan.profile import SAMPLE_ROWS, different, distinct_values, unify_categories
from tests.tables import lengths_of, mixed, numbers, split

TABLE = numbers(2_500, 900, 2)
TABLE.loc[5, "a"] = np.nan
TABLE.loc[[9, 10], "b"] = -np.inf
SCHEMA = make_schema(list(TABLE), list(TABLE.dtypes), target="y", has_target=True)
WHOLE = profile(TABLE, None, SCHEMA)


@given(st.lists(st.integers(0, 2_500), max_size=6))
def test_any_partitions_give_the_same(cuts):
    parts = [profile(p, None, SCHEMA) for p in split(TABLE, lengths_of(2_500, cuts))]
    middle = len(parts) // 2
    for merged in (
        merge_profiles(parts),
        merge_profiles([merge_profiles(parts[:middle]), merge_profiles(parts[middle:])]),
    ):
        assert merged.rows == 2_500
        assert merged.counts == {0: 1_600, 1: 900}
        assert merged.usable == WHOLE.usable
        assert {i: n for i, n in merged.missing.items() if n} == {0: 1}
        assert {i: n for i, n in merged.infinite.items() if n} == {1: 2}
        for label, some in merged.sample.items():
            assert len(some.keys) == SAMPLE_ROWS
            for found, expected in zip(some, WHOLE.sample[label], strict=True):
                np.testing.assert_array_equal(found, expected)


def _levels(n: int) -> pd.DataFrame:
    table = mixed(n, n // 2)
    table["c"] = table["c"].astype(object).where(np.arange(n) % 5 > 0, None)
    table["d"] = table["d"].where(np.arange(n) % 7 > 0)
    table["e"] = pd.Series([1, "1", None, 2.5] * n, dtype=object)[:n]
    table["f"] = np.arange(n) % 2 == 0
    table["g"] = pd.Categorical(np.arange(n) % 40)
    return table


@given(st.lists(st.integers(0, 2_000), max_size=4))
def test_levels_of_the_sample_are_the_same_in_any_partitions(cuts):
    table = _levels(2_000)
    nominal = [list(table).index(name) for name in "cdefg"]
    schema = make_schema(
        list(table), list(table.dtypes), target="y", has_target=True, nominal=nominal
    )
    whole = profile(table, None, schema).sample
    parts = split(table, lengths_of(2_000, cuts))
    for part in parts:  # as after reading files: each has the categories that occur in it
        part["g"] = part["g"].cat.remove_unused_categories()
    merged = merge_profiles([profile(part, None, schema) for part in parts]).sample
    assert merged.keys() == whole.keys()
    for label, some in merged.items():
        assert some.levels.shape == (min(SAMPLE_ROWS, (table["y"] == label).sum()), 5)
        for found, expected in zip(some, whole[label], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert [len(np.unique(column)) for column in whole["most"].levels.T[[0, 1, 3, 4]]] == [
        4,
        4,
        2,
        40,
    ]


def test_empty_profiles():
    assert merge_profiles([]).rows == 0
    assert merge_profiles([profile(TABLE[:0], None, SCHEMA), WHOLE]).counts == WHOLE.counts


def test_categories_are_united_in_one_order():
    one, other = pd.CategoricalDtype(["z", "a"]), pd.CategoricalDtype(["b", "a"])
    assert list(unify_categories("c", (one, other)).categories) == ["a", "b", "z"]
    assert unify_categories("c", (other, one)) == unify_categories("c", (one, other))
    assert unify_categories("c", (one,)) is one
    numbers_too = pd.CategoricalDtype([3, 1]), pd.CategoricalDtype([2])
    assert list(unify_categories("c", numbers_too).categories) == [1, 2, 3]


def test_ordered_categories_are_not_united():
    dtypes = [pd.CategoricalDtype(list(levels), ordered=True) for levels in ("ab", "bc")]
    with pytest.raises(ValueError, match=r"column 'c' is an ordered categorical.*common order"):
        unify_categories("c", tuple(dtypes))


@pytest.mark.parametrize("values", [np.arange(20_000) % 777, np.arange(20_000) - 9, [3, 2**53, 3]])
def test_marks_of_whole_numbers_leave_the_same_values(values):
    values = np.asarray(values, dtype=float)
    assert set(distinct_values(different(values))) == set(distinct_values(values))
