"""The part that decides: equal rows, scale, exact distances, candidates that are not enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsmote.neighbors import MixedSearch, ValueDifferenceSearch, exact
from dsmote.neighbors.exact import (
    CandidateSearch,
    group_equal_rows,
    scale_power,
    smallest_of_pairs,
    squared_distances,
)
from dsmote.neighbors.tree import TreeSearch
from tests.tables import naive_neighbours

NO_CODES = np.empty((0, 0), dtype=np.int32)


def codes_for(matrix, q=0):
    return np.zeros((len(matrix), q), dtype=np.int32)


@given(
    matrix=arrays.arrays(
        np.float64, st.tuples(st.integers(1, 30), st.integers(0, 2)), elements=st.integers(0, 2)
    ),
    data=st.data(),
)
def test_groups_are_the_equal_rows(matrix, data):
    codes = data.draw(arrays.arrays(np.int32, (len(matrix), 1), elements=st.integers(0, 1)))
    groups = group_equal_rows(matrix, codes)
    keys = [(*row, *code) for row, code in zip(matrix.tolist(), codes.tolist(), strict=True)]
    order = list(dict.fromkeys(keys))
    assert groups.of.tolist() == [order.index(key) for key in keys]
    assert groups.n_unique == len(order)
    assert groups.distinct == (len(order) == len(keys))
    assert groups.first.tolist() == [keys.index(key) for key in order]
    for u in range(groups.n_unique):
        members = groups.members[groups.starts[u] : groups.starts[u + 1]].tolist()
        assert members == [i for i, key in enumerate(keys) if key == order[u]]


def test_minus_zero_equals_zero():
    groups = group_equal_rows(np.array([[0.0], [-0.0], [1.0]]), codes_for(np.zeros(3)))
    assert groups.of.tolist() == [0, 0, 1]


def test_rows_of_one_hash_are_compared(monkeypatch):
    monkeypatch.setattr(exact, "_hash_rows", lambda m, c: np.zeros(len(m), dtype=np.uint64))
    matrix = np.array([[1.0], [2.0], [1.0], [3.0]])
    assert group_equal_rows(matrix, codes_for(matrix)).of.tolist() == [0, 1, 0, 2]
    codes = np.array([[0], [1], [0], [2]])
    assert group_equal_rows(np.ones((4, 1)), codes).of.tolist() == [0, 1, 0, 2]


def test_scale_is_a_power_of_two_and_only_where_needed():
    for largest in (1.0, 1e50, 1e-50, 0.0):
        assert scale_power(np.array([[largest, -largest / 2]])) == 1.0
    for largest in (1e-300, 5e-324, 1e100, 1.7e308):
        scale = scale_power(np.array([[largest]]))
        assert np.frexp(scale)[0] == 0.5
        assert 0.0 < (largest * scale) ** 2 < np.inf
        assert scale_power(np.array([[-largest, 0.0]])) == scale


def test_distances_do_not_depend_on_the_company():
    rng = np.random.default_rng(0)
    rows, points = rng.normal(size=(50, 17)), rng.normal(size=(9, 17))
    candidates = rng.integers(0, 50, size=(9, 6))
    whole = squared_distances(rows, points, candidates)
    for i in range(9):
        alone = squared_distances(rows, points[i : i + 1], candidates[i : i + 1])
        np.testing.assert_array_equal(alone[0], whole[i])


class Unhelpful(CandidateSearch):
    """A search that proposes far rows first and knows nothing until it proposed them all."""

    width = 2

    def __init__(self, matrix):
        self.matrix, self.wanted = matrix, []
        self.groups = group_equal_rows(matrix, codes_for(matrix))

    def _candidates(self, queries, n):
        self.wanted.append(n)
        everything = n == len(self.matrix)
        found = np.tile(np.arange(len(self.matrix))[::-1][:n], (len(queries), 1))
        return found, np.full(len(queries), np.inf if everything else 0.0)

    def _squared(self, queries, candidates):
        return squared_distances(self.matrix, self.matrix[queries], candidates)


def test_more_candidates_are_proposed_until_nothing_can_be_missed():
    matrix = np.random.default_rng(0).normal(size=(100, 2))
    search = Unhelpful(matrix)
    _, found = search.query(np.arange(100), 4)
    np.testing.assert_array_equal(found, naive_neighbours(matrix, 4)[1])
    assert search.wanted[0] == 6
    assert search.wanted[-1] == 100


def test_more_equal_rows_than_neighbours_and_fewer_pairs_than_those():
    matrix = np.array([[0.0]] * 5 + [[1.0]])
    groups = group_equal_rows(matrix, codes_for(matrix))
    owner, unique, squares = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.0, 1.0, 0.0])
    best, ids = smallest_of_pairs(groups, 2, owner, unique, squares, 3, np.array([1, 0]))
    # The row itself is left out, and not one of its equals for it.
    assert ids.tolist() == [[0, 2, 3], [5, 0, 0]]
    assert best.tolist() == [[0.0, 0.0, 0.0], [0.0, np.inf, np.inf]]


def test_what_an_approximate_engine_proposes_is_taken_as_it_is(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(200, 2)).round(1)  # with many ties
    index, asked = TreeSearch(rows, eps=0.5), []
    original = index._candidates
    monkeypatch.setattr(index, "_candidates", lambda q, n: (asked.append(n), original(q, n))[1])
    index.query(np.arange(200), 3)
    assert len(asked) == 1


@pytest.mark.parametrize("index", ["mixed", "names"])
def test_no_row_is_its_own_neighbour_where_hundreds_are_equally_near(index):
    """Beyond so many candidates all rows are compared, which must leave the row out, too."""
    n = 600
    codes = np.arange(n, dtype=np.int32)[:, None]  # a name of its own for each row
    if index == "mixed":
        search = MixedSearch(np.zeros((n, 1)), codes, 1.0)
    else:
        search = ValueDifferenceSearch(codes, (np.eye(n),), "tree")
    found = search.query(np.arange(n), 5)[1]
    assert found[0].tolist() == [1, 2, 3, 4, 5]
    assert (found[5:] == np.arange(5)).all()
    assert (found != np.arange(n)[:, None]).all()
