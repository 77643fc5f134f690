"""The gathering of the nearest of all rows, piece by piece."""

import itertools

import numpy as np
import pandas as pd
import pytest

from dsmote.execute import survey
from dsmote.execute.recipe import Around
from dsmote.execute.rows import Rows
from dsmote.plan import make_schema
from dsmote.samplers.borderline_smote import BorderlineRecipe

SCHEMA = make_schema(["a", "y"], [np.dtype("f8"), np.dtype("O")], target="y", has_target=True)
RECIPE = BorderlineRecipe("test", 2, m=3, kind="borderline-2")
RANKS = {"few": 0, "most": 1}
PART = pd.DataFrame({"a": [0.0, 1.0, np.nan, 3.0], "y": ["few", "most", "most", "few"]})


def rows_at(values, numbers, **more):
    n = len(values)
    numeric = np.array(values)[:, None]
    return Rows(numeric, {}, np.empty((n, 0), np.int32), (), {}, np.array(numbers), **more)


def asking(values, numbers, starts, **more):
    rows = rows_at(values, numbers, **more)
    asked = np.arange(len(values))
    return survey.queries_of(rows, np.array(starts), asked, recipe=RECIPE, rank=0)


def measured(part=PART, **more):
    return survey.measured(part, schema=SCHEMA, ranks=RANKS, recipe=RECIPE, **more)


def test_incomplete_rows_are_not_measured():
    found = measured(weight=np.array([1, 2, 3, 4]), group=np.array(list("pqrs")))
    assert found.numbers.tolist() == [0, 1, 3]
    assert found.ranks.tolist() == [0, 1, 0]
    assert found.raw.ravel().tolist() == [0, 1, 3]
    assert found.weights.tolist() == [1, 2, 4]
    assert found.groups.tolist() == ["p", "q", "s"]


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_an_array_is_measured_as_a_frame_is(dtype):
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(dtype)
    X[3, 1] = np.nan
    schema = make_schema([0, 1, 2], [X.dtype] * 3)
    y = pd.Series(["few", "most"] * 10)
    array, frame = (
        survey.measured(part, y, schema=schema, ranks=RANKS, recipe=RECIPE)
        for part in (X, pd.DataFrame(X))
    )
    for name in ("matrix", "raw", "ranks", "numbers"):
        np.testing.assert_array_equal(getattr(array, name), getattr(frame, name))
    assert array.matrix.flags.c_contiguous and array.matrix.dtype == np.float64


def test_an_empty_partition_is_measured():
    found = measured(PART[:0])
    assert len(found.matrix) == len(found.ranks) == 0
    near = survey.nearest_here(found, asking([0.0], [0], [0, 0, 4]), order=0, recipe=RECIPE)
    assert np.isinf(near.distances).all()
    assert (near.numbers == -1).all()


@pytest.mark.parametrize("name", ["weight", "group"])
def test_companions_of_another_length(name):
    said = {"weight": "sample_weight", "group": "groups"}[name]
    with pytest.raises(ValueError, match=f"{said} is partitioned differently from X"):
        measured(**{name: np.ones(3)})


def test_a_row_is_left_out_by_its_number_and_not_by_its_values():
    twice = pd.DataFrame({"a": [5.0, 5.0, 5.0], "y": ["few", "most", "most"]})
    queries = asking([5.0, 5.0], [10, 3], [0, 10, 13])
    found = survey.nearest_here(measured(twice), queries, order=1, recipe=RECIPE)
    assert found.numbers.tolist() == [[11, 12, -1], [10, 11, 12]]
    assert found.classes.tolist() == [[1, 1, -1], [0, 1, 1]]
    assert found.distances.tolist() == [[0, 0, np.inf], [0, 0, 0]]
    assert found.own_class == 0


def test_numbers_count_complete_and_incomplete_rows():
    found = survey.nearest_here(measured(), asking([3.0], [9], [0, 6, 10]), order=1, recipe=RECIPE)
    assert found.numbers.tolist() == [[7, 6, -1]]
    assert found.values[0].tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("value", "number"), [(7.0, 10), (1.0, 10), (2.0, 12)], ids=["other", "order", "missing"]
)
def test_rows_that_are_not_where_they_were(value, number):
    with pytest.raises(ValueError, match="data that change between two reads"):
        survey.nearest_here(measured(), asking([value], [number], [0, 10, 14]), order=1,
                            recipe=RECIPE)  # fmt: skip


def test_weights_come_with_the_values():
    found = survey.nearest_here(
        measured(weight=[1, 2, 3, 4]), asking([0.0], [20], [0, 4, 30]), order=0, recipe=RECIPE
    )
    assert found.values[0].tolist() == [[0.0, 1.0], [1.0, 2.0]]


def test_only_the_own_group_is_asked_and_missing_is_a_group():
    groups = {"group": np.array([0, 1, 0]), "group_levels": pd.Series([np.nan, 7.0])}
    here = measured(group=np.array([np.nan, 7.0, 0.0, 1.0]))
    queries = asking([0.0, 0.0, 0.0], [20, 21, 22], [0, 4, 30], **groups)
    found = survey.nearest_here(here, queries, order=0, recipe=RECIPE)
    assert found.numbers.tolist() == [[0, -1, -1], [1, -1, -1], [0, -1, -1]]


def test_batches_are_cut_and_joined(monkeypatch):
    monkeypatch.setattr(survey, "BATCH", 2)
    rows = rows_at([0.0, 1.0, 2.0, 3.0, 4.0], [12, 14, 16, 18, 19])
    asked = np.array([0, 2, 4])
    parts = [
        survey.queries_of(rows, np.array([0, 4, 20]), asked, recipe=RECIPE, rank=0, batch=b)
        for b in range(3)
    ]
    assert [p.asked.tolist() for p in parts] == [[0, 2], [4], []]
    assert [p.numbers.tolist() for p in parts] == [[12, 16], [19], []]
    here = measured()
    joined = survey.join_batches(
        [survey.nearest_here(here, p, order=0, recipe=RECIPE) for p in parts]
    )
    assert joined.asked.tolist() == [0, 2, 4]
    assert joined.distances.shape == (3, 3)


def test_equal_roots_of_different_squares_stay_in_the_order_of_the_squares():
    """Rounding makes distances equal whose squares are not; a partition orders by squares."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4_000, 2)).round(1)
    squares = points[:, 0] ** 2 + points[:, 1] ** 2
    roots = np.sqrt(squares)
    order = np.lexsort((squares, roots))
    same = roots[order][1:] == roots[order][:-1]
    apart = np.flatnonzero(same & (squares[order][1:] > squares[order][:-1]))
    near, far = order[apart[0]], order[apart[0] + 1]
    schema = make_schema(["a", "b", "y"], [np.dtype("f8")] * 2 + [np.dtype("O")], target="y",
                         has_target=True)  # fmt: skip
    table = pd.DataFrame(points[[far, near]], columns=["a", "b"]).assign(y="most")
    query = Rows(np.zeros((1, 2)), {}, np.empty((1, 0), np.int32), (), {}, np.array([2]))
    recipe = BorderlineRecipe("test", 1, m=1)

    def found(cuts):
        starts = np.array([*cuts, 3])
        queries = survey.queries_of(query, starts, np.array([0]), recipe=recipe, rank=0)
        parts = [
            survey.measured(table[a:b], schema=schema, ranks=RANKS, recipe=recipe)
            for a, b in itertools.pairwise(cuts)
        ]
        lists = [
            survey.nearest_here(p, queries, order=i, recipe=recipe) for i, p in enumerate(parts)
        ]
        return survey.join_batches([survey.merge_around(lists)])

    for cuts in ([0, 2], [0, 1, 2], [0, 0, 1, 1, 2, 2]):
        near_of_all = found(cuts)
        assert near_of_all.numbers.tolist() == [[1]]
        assert near_of_all.finer is None


@pytest.mark.parametrize("size", [1e-200, 1e-70, 1.0, 1e70, 1e150])
def test_tables_of_unusual_size(size):
    part = PART.assign(a=PART["a"] * size)
    halves = [part[:2], part[2:]]
    queries = asking([0.0, 3.0 * size], [0, 3], [0, 2, 4])
    lists = [
        survey.nearest_here(measured(half), queries, order=i, recipe=RECIPE)
        for i, half in enumerate(halves)
    ]
    merged = survey.merge_around(lists)
    assert merged.numbers.tolist() == [[1, 3, -1], [1, 0, -1]]
    np.testing.assert_allclose(merged.distances[:, :2], size * np.array([[1, 3], [2, 3]]))


def test_one_list_is_merged_already():
    one = Around(np.array([0]), np.ones((1, 1)), *[np.array([[3]])] * 2, np.zeros((1, 0, 2)))
    assert survey.merge_around([one]) is one
