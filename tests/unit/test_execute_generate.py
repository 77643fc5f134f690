"""From class rows to synthetic rows, as both executors do it."""

import numpy as np
import pandas as pd
import pytest

from dsmote.execute import Recipe, generate
from dsmote.execute.extract import Extract, Take, check_counts, extract, join_extracts
from dsmote.execute.generate import build_class_index, make_rows, synthetic_index
from dsmote.execute.recipe import Draws, Making
from dsmote.plan import make_schema
from tests.tables import even, numbers, split
from tests.unit.test_plan_plan import plan_of

TABLE = numbers(120, 40, 2)
SCHEMA = make_schema(list(TABLE), list(TABLE.dtypes), target="y", has_target=True)
RECIPE = Recipe("SMOTE", 5)
PLAN = plan_of({0: 80, 1: 40}, {1: 40})
MAKING = Making(RECIPE, SCHEMA, 0, 120)
TAKE = Take(SCHEMA, {1: 1})
HOW = {"recipe": RECIPE, "of": PLAN.classes[1], "seed": 0, "total": 40}


def extracts(parts):
    pieces = split(TABLE, even(120, parts))
    return [extract(p, take=TAKE) for p in pieces]


def gather(parts, plan):
    return check_counts(join_extracts(parts, take=TAKE), plan)


def test_joined_in_any_grouping():
    whole = join_extracts(extracts(1), take=TAKE)
    assert whole.rows[1].numbers.tolist() == np.flatnonzero(TABLE["y"] == 1).tolist()
    for parts in (3, 12):
        level = extracts(parts)
        halves = [join_extracts(h, take=TAKE) for h in (level[:2], level[2:])]
        for joined in (join_extracts(level, take=TAKE), join_extracts(halves, take=TAKE)):
            assert joined.counts == whole.counts
            assert joined.lengths == tuple(even(120, parts))
            np.testing.assert_array_equal(joined.rows[1].numeric, whole.rows[1].numeric)
            np.testing.assert_array_equal(joined.rows[1].numbers, whole.rows[1].numbers)


def test_gather_checks_the_counts():
    gather(extracts(3), PLAN)
    with pytest.raises(ValueError, match="class 1 has 40 rows in the data, but 41 were planned"):
        gather(extracts(3), plan_of({0: 80, 1: 41}, {1: 10}))
    with pytest.raises(ValueError, match=r"the data hold the class 1 \(40 rows\)"):
        gather(extracts(3), plan_of({0: 80}, {}))


def test_any_cuts_make_the_same_rows(monkeypatch):
    rows = gather(extracts(2), PLAN)
    of = build_class_index(rows, **HOW)
    whole = make_rows(of, MAKING, 1, 0, 40).numeric
    cut = [make_rows(of, MAKING, 1, a, b).numeric for a, b in ((0, 1), (1, 17), (17, 40))]
    np.testing.assert_array_equal(np.concatenate(cut), whole)
    monkeypatch.setattr(generate, "_STEP", 13)  # the last step has one row
    np.testing.assert_array_equal(make_rows(of, MAKING, 1, 0, 40).numeric, whole)


def test_only_bases_that_are_used_are_asked_for():
    rows = gather(extracts(2), PLAN)
    of = build_class_index(rows, **HOW)
    asked = []
    original = of.neighbours.query
    of.neighbours.query = lambda ids, k: (asked.extend(ids.tolist()), original(ids, k))[1]
    make_rows(of, MAKING, 1, 0, 40)
    copies = np.diff(of.bases.ends, prepend=0)
    assert asked == np.flatnonzero(copies).tolist()
    assert len(asked) < 40


def test_a_class_that_lost_its_rows():
    with pytest.raises(ValueError, match="class 1 has 0 rows without missing values"):
        build_class_index(Extract({}, (), {}), **HOW)


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
