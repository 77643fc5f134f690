"""From class rows to synthetic rows, as both executors do it."""

import numpy as np
import pandas as pd
import pytest

from dsmote.execute.generate import (
    Draws,
    build_class_index,
    gather,
    join_extracts,
    make_rows,
    synthetic_index,
)
from dsmote.execute.partition import extract
from dsmote.plan import make_schema
from dsmote.samplers.smote import SegmentRecipe
from tests.tables import even, numbers, split
from tests.unit.test_plan_plan import plan_of

TABLE = numbers(120, 40, 2)
SCHEMA = make_schema(list(TABLE), list(TABLE.dtypes), target="y", has_target=True)
RECIPE = SegmentRecipe("SMOTE", 5)
PLAN = plan_of({0: 80, 1: 40}, {1: 40})


def extracts(parts):
    pieces = split(TABLE, even(120, parts))
    return [extract(p, None, schema=SCHEMA, grow={1: 1}, skip=False) for p in pieces]


def test_joined_in_any_grouping():
    counts, rows = join_extracts(extracts(1), schema=SCHEMA)
    for parts in (3, 12):
        level = extracts(parts)
        halves = [join_extracts(h, schema=SCHEMA) for h in (level[:2], level[2:])]
        for joined in (join_extracts(level, schema=SCHEMA), join_extracts(halves, schema=SCHEMA)):
            assert joined[0] == counts
            np.testing.assert_array_equal(joined[1][1].numeric, rows[1].numeric)


def test_gather_checks_the_counts():
    gather(extracts(3), schema=SCHEMA, plan=PLAN)
    with pytest.raises(ValueError, match="class 1 has 40 rows in the data, but 41 were planned"):
        gather(extracts(3), schema=SCHEMA, plan=plan_of({0: 80, 1: 41}, {1: 10}))
    with pytest.raises(ValueError, match=r"the data hold the class 1 \(40 rows\)"):
        gather(extracts(3), schema=SCHEMA, plan=plan_of({0: 80}, {}))


def test_any_cuts_make_the_same_rows():
    rows = gather(extracts(2), schema=SCHEMA, plan=PLAN)
    of = build_class_index(rows, recipe=RECIPE, of=PLAN.classes[1], seed=0)
    whole = make_rows(of, RECIPE, SCHEMA, 0, 1, 0, 40)[0]
    cut = [make_rows(of, RECIPE, SCHEMA, 0, 1, a, b)[0] for a, b in ((0, 1), (1, 17), (17, 40))]
    np.testing.assert_array_equal(np.concatenate(cut), whole)


def test_only_bases_that_are_used_are_asked_for():
    rows = gather(extracts(2), schema=SCHEMA, plan=PLAN)
    of = build_class_index(rows, recipe=RECIPE, of=PLAN.classes[1], seed=0)
    asked = []
    original = of.neighbours.query
    of.neighbours.query = lambda ids, k: (asked.extend(ids.tolist()), original(ids, k))[1]
    make_rows(of, RECIPE, SCHEMA, 0, 1, 0, 40)
    copies = np.diff(of.ends, prepend=0)
    assert asked == np.flatnonzero(copies).tolist()
    assert len(asked) < 40


def test_a_class_that_lost_its_rows():
    with pytest.raises(ValueError, match="class 1 has 0 rows without missing values"):
        build_class_index({}, recipe=RECIPE, of=PLAN.classes[1], seed=0)


def test_draws_belong_to_places():
    one, other = Draws(0, 1, 0, 50), Draws(0, 1, 20, 50)
    np.testing.assert_array_equal(one.gap()[20:], other.gap())
    np.testing.assert_array_equal(one.rank(5)[20:], other.rank(5))
    np.testing.assert_array_equal(one.vote(2)[20:], other.vote(2))
    assert not np.array_equal(one.vote(0), one.vote(1))
    assert not np.array_equal(one.gap(), one.vote(0))


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        (pd.RangeIndex(0), [7, 8]),
        (pd.Index([], dtype="int32", name="i"), [7, 8]),
        (pd.Index([], dtype="float64"), [7.0, 8.0]),
        (pd.Index([], dtype="str"), [None, None]),
        (pd.DatetimeIndex([], tz="UTC"), [None, None]),
        (pd.CategoricalIndex([], categories=["a"]), [None, None]),
    ],
)
def test_the_index_of_new_rows(like, expected):
    made = synthetic_index(like, 7, 2)
    assert made.name == like.name
    assert made.dtype == like.dtype
    assert [None if pd.isna(v) else v for v in made] == expected


def test_an_index_that_cannot_count_so_far():
    with pytest.raises(ValueError, match=r"dtype int8, which cannot number 130 rows; call"):
        synthetic_index(pd.Index([], dtype="int8"), 100, 30)
