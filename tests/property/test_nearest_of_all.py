"""The nearest of all rows, gathered from partitions, against a look at every pair."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.execute import survey
from dsmote.execute.extract import Take, extract, join_extracts
from dsmote.plan import make_schema, scaling_of
from dsmote.plan.profile import look_at
from dsmote.samplers.borderline_smote import BorderlineRecipe
from tests.tables import lengths_of, split

LABELS = ["few", "least", "most"]
RANKS = {label: rank for rank, label in enumerate(LABELS)}


def a_table(n, kind, seed):
    rng = np.random.default_rng(seed)
    if kind == "grid":
        X = rng.integers(0, 3, (n, 2)).astype(float)
    elif kind == "floats":
        X = rng.normal(size=(n, 2))
    else:
        few = rng.normal(size=(max(1, n // 5), 2))
        X = few[rng.integers(0, len(few), n)]
    table = pd.DataFrame(X, columns=["a", "b"])
    table["y"] = rng.choice(LABELS, n, p=[0.4, 0.1, 0.5])
    table.loc[0, "y"] = "few"
    return table, pd.Series(rng.choice([0.0, 1.0, np.nan], n)), pd.Series(rng.random(n))


def gathered(table, weights, groups, lengths, recipe, batch, rank=0):
    """Do what the graph does."""
    schema = make_schema(list(table), list(table.dtypes), target="y", has_target=True)
    take = Take(schema, {"few": 0})
    weights = [None] * len(lengths) if weights is None else split(weights, lengths)
    groups = [None] * len(lengths) if groups is None else split(groups, lengths)
    parts = list(zip(split(table, lengths), [None] * len(lengths), weights, groups, strict=True))
    found = join_extracts([extract(*part, take=take) for part in parts], take=take)
    rows = found.rows[rank]
    asked = recipe.asks(rows, None)
    joined = []
    for b in range(-(-len(asked) // batch)):
        queries = survey.queries_of(rows, found.starts, asked, recipe=recipe, rank=rank, batch=b)
        near = [
            survey.nearest_here(
                survey.measured(*part, schema=schema, ranks=RANKS, recipe=recipe),
                queries,
                order=i,
                recipe=recipe,
            )
            for i, part in enumerate(parts)
        ]
        # As a tree does: some, then the rest.
        first = survey.merge_around(near[:2])
        joined.append(survey.merge_around([first, *near[2:]]))
    return rows, survey.join_batches(joined)


def naive(table, weights, groups, numbers, recipe):
    """Look at every pair."""
    raw = table[["a", "b"]].to_numpy()
    points = recipe.measured(raw)
    ranks = table["y"].map(RANKS).to_numpy()
    group = np.zeros(len(table)) if groups is None else groups.fillna(-1.0).to_numpy()
    m, v = recipe.around, recipe.values
    for number in numbers:
        squares = ((points - points[number]) ** 2).sum(axis=1)
        others = np.flatnonzero(group == group[number])
        others = others[others != number]
        order = others[np.lexsort((others, squares[others]))][:m]
        gap = m - len(order)
        pad = [(0, gap)]
        values = raw[order[:v]]
        if weights is not None:
            values = np.column_stack([values, weights.to_numpy()[order[:v]]])
        yield (
            np.pad(np.sqrt(squares[order]), pad, constant_values=np.inf),
            np.pad(ranks[order], pad, constant_values=-1),
            np.pad(order, pad, constant_values=-1),
            values,
        )


@given(
    n=st.integers(1, 60),
    kind=st.sampled_from(["grid", "floats", "duplicates"]),
    seed=st.integers(0, 999),
    cuts=st.lists(st.integers(0, 60), max_size=7),
    batch=st.integers(1, 40),
    m=st.integers(1, 12),
    second=st.booleans(),
    grouped=st.booleans(),
    weighted=st.booleans(),
    scaled=st.booleans(),
)
def test_gathered_as_by_looking_at_all_pairs(
    n, kind, seed, cuts, batch, m, second, grouped, weighted, scaled
):
    table, groups, weights = a_table(n, kind, seed)
    groups, weights = groups if grouped else None, weights if weighted else None
    recipe = BorderlineRecipe("test", min(m, 4), m=m, kind=f"borderline-{1 + second}")
    if scaled:
        moments = tuple(look_at(table[c].to_numpy(), "standard") for c in "ab")
        recipe = recipe.scaled_by(scaling_of(moments))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "BATCH", batch)
        rows, around = gathered(table, weights, groups, lengths_of(n, cuts), recipe, batch)
    np.testing.assert_array_equal(rows.numbers, np.flatnonzero(table["y"] == "few"))
    np.testing.assert_array_equal(around.asked, np.arange(len(rows)))
    assert around.own_class == 0
    expected = naive(table, weights, groups, rows.numbers, recipe)
    found = (around.distances, around.classes, around.numbers, around.values)
    for i, wanted in enumerate(expected):
        distances, classes, numbers, values = (of[i] for of in found)
        if kind == "grid" and not scaled:
            np.testing.assert_array_equal(distances, wanted[0])
        else:
            np.testing.assert_allclose(distances, wanted[0], rtol=1e-12)
        np.testing.assert_array_equal(numbers, wanted[2])
        np.testing.assert_array_equal(classes, wanted[1])
        assert rows.numbers[i] not in numbers
        np.testing.assert_array_equal(values[: len(wanted[3])], wanted[3])


@pytest.mark.parametrize("parts", [1, 2, 9])
def test_large_partitions_that_are_searched_by_a_tree_or_by_force(parts):
    """Partitions of few and of many rows take other engines, and find the same to the bit."""
    rng = np.random.default_rng(0)
    n = 3_000
    table = pd.DataFrame(rng.normal(size=(n, 2)).round(1), columns=["a", "b"])
    table["y"] = np.where(np.arange(n) % 10 == 0, "few", "most")
    recipe = BorderlineRecipe("test", 5, m=10)
    cuts = [10, 15, 20, *rng.integers(0, n, parts - 1)]
    _, whole = gathered(table, None, None, [n], recipe, 1 << 15)
    _, cut = gathered(table, None, None, lengths_of(n, cuts), recipe, 1 << 15)
    for name in ("asked", "distances", "classes", "numbers"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))
    checked = itertools.islice(naive(table, None, None, np.arange(0, n, 10), recipe), 100)
    for i, (_, classes, numbers, _) in enumerate(checked):
        # Rounded to tenths: distances that look equal are not quite, or only once rounded.
        np.testing.assert_array_equal(whole.numbers[i], numbers)
        np.testing.assert_array_equal(whole.classes[i], classes)


@given(
    lists=st.lists(
        st.lists(st.integers(0, 4), min_size=3, max_size=3).map(sorted), min_size=1, max_size=5
    ),
    cut=st.integers(1, 4),
)
def test_lists_merge_in_any_grouping(lists, cut):
    parts = []
    for part, distances in enumerate(lists):
        numbers = np.array([[10 * part, 10 * part + 1, 10 * part + 2]])
        parts.append(
            survey.Around(
                np.array([0]),
                np.array([distances], dtype=float),
                np.array([[part] * 3]),
                numbers,
                numbers[:, :2, None] * 1.0,
            )
        )
    pairs = [(d, 10 * p + i) for p, ds in enumerate(lists) for i, d in enumerate(ds)]
    expected = sorted(pairs)[:3]
    together = survey.merge_around(parts)
    tree = [survey.merge_around(parts[:cut]), *parts[cut:]]
    for merged in (together, survey.merge_around(tree)):
        assert list(zip(merged.distances[0], merged.numbers[0], strict=True)) == expected
        np.testing.assert_array_equal(merged.classes, merged.numbers // 10)
        np.testing.assert_array_equal(merged.values[0, :, 0], merged.numbers[0, :2])
