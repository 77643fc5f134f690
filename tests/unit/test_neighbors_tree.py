"""The rotated tree: its reach is never too far; units, far points. Its truth: tests/property."""

import pickle

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dsmote.neighbors import BruteSearch, DirectSearch, MixedSearch, TreeSearch
from dsmote.neighbors import tree as module
from dsmote.neighbors.tree import RotatedTree
from tests.tables import naive_neighbours


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e12])
@pytest.mark.parametrize("n", [1, 6, 80, 200])
def test_no_row_left_out_is_nearer_than_the_reach(offset, n):
    rng = np.random.default_rng(0)
    matrix = offset + rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    tree = RotatedTree(matrix)
    found, reach = tree.nearest(tree.rows(np.arange(200)), n)
    assert found.shape == (200, n)
    squares = ((matrix[:, None] - matrix[None]) ** 2).sum(axis=2)
    np.put_along_axis(squares, found, np.inf, axis=1)
    assert (squares.min(axis=1) >= reach).all() or n == 200
    assert np.isinf(reach).all() == (n == 200)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (1, 1), (63, 1), (64, 2), (100, 7), (30, 65)])
def test_the_largest_of_each_column(shape):
    matrix = np.random.default_rng(2).normal(size=shape)
    expected = np.abs(matrix).max(axis=0, initial=0.0)
    np.testing.assert_array_equal(module._sizes(matrix), expected)


def test_points_are_brought_into_the_axes():
    matrix = np.random.default_rng(1).normal(size=(50, 3))
    tree = RotatedTree(matrix)
    found = tree.rotated(matrix)
    np.testing.assert_allclose(found[:, :-1], tree.rows(np.arange(50)), atol=1e-13)
    assert (found[:, -1] < 1e-13).all()


@pytest.mark.parametrize("far", [1e149, 1e160, 1e200, 1e300])
def test_points_infinitely_far_off_the_axes(far):
    rows = np.column_stack([np.random.default_rng(5).normal(size=(500, 3)), np.zeros(500)])
    tree = RotatedTree(rows)
    found, reach = tree.nearest(tree.rotated(np.array([[0.0, 0.0, 0.0, far]])), 5)
    assert found.max() < 500
    assert 0.0 < reach[0] <= far**2 if far < 1e150 else reach[0] == 0.0


def test_the_distance_off_the_axes_of_fewer_rows_than_columns():
    rng = np.random.default_rng(6)
    rows, points = rng.normal(size=(80, 300)), 50 * rng.normal(size=(3, 300))
    tree = RotatedTree(rows)
    along = tree.rotated(points)
    lengths = np.linalg.norm(points - rows.mean(axis=0), axis=1)
    np.testing.assert_allclose(np.linalg.norm(along, axis=1), lengths)


def test_points_off_the_axes_are_known_to_be_far():
    """As from another partition, where a column that is constant here has another value."""
    rng = np.random.default_rng(4)
    rows = np.column_stack([rng.normal(size=(5_000, 3)), np.full(5_000, 7.0)])
    points = np.column_stack([rng.normal(size=(50, 3)), np.full(50, 9.0)])
    tree = RotatedTree(rows)
    found, reach = tree.nearest(tree.rotated(points), 6)
    squares = ((points[:, None] - rows[None]) ** 2).sum(axis=2)
    nearest = np.take_along_axis(squares, found, 1)
    assert (nearest[:, 4] < reach).all()  # the fifth is known to be among the nearest
    np.put_along_axis(squares, found, np.inf, axis=1)
    assert (squares.min(axis=1) >= reach).all()


def test_what_rows_hold_along_axes_that_are_left_out_is_reckoned_with():
    rng = np.random.default_rng(0)
    digits = rng.integers(-6, 7, size=(800, 3)) * 2.0**-52
    clump = np.array([0.9, 0.8, -1.7]) * (1 + digits)
    rows = np.unique(np.concatenate([clump, -clump, [[1e15] * 3, [-1e15] * 3]]), axis=0)
    tree = RotatedTree(rows)
    found, reach = tree.nearest(tree.rows(np.arange(len(rows))), 6)
    squares = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    np.put_along_axis(squares, found, np.inf, axis=1)
    assert (squares.min(axis=1) >= reach).all()


def test_points_too_far_off_for_squares_are_within_no_reach():
    tree = RotatedTree(np.random.default_rng(2).normal(size=(90, 3)))
    found, reach = tree.nearest(tree.rotated(np.array([[1e200] * 3, [0.0] * 3])), 5)
    assert found.max() < 90
    assert reach[0] == 0.0 < reach[1]


def test_rows_that_are_kept_leaf_by_leaf_have_their_own_numbers(monkeypatch):
    rows = np.random.default_rng(3).normal(size=(30_000, 5))
    assert rows.nbytes > module._CACHED
    tree = pickle.loads(pickle.dumps(RotatedTree(rows)))
    ids = np.array([29_999, 0, 17, 12_345])
    np.testing.assert_allclose(tree.rows(ids), tree.rotated(rows[ids])[:, :-1], atol=1e-12)
    found, reach = tree.nearest(tree.rows(ids), 6)
    np.testing.assert_array_equal(found, cKDTree(rows).query(rows[ids], k=6)[1])
    monkeypatch.setattr(module, "_CACHED", rows.nbytes)
    where_they_lie = RotatedTree(rows)
    assert where_they_lie._ids is None and tree._ids is not None
    other = where_they_lie.nearest(where_they_lie.rows(ids), 6)
    np.testing.assert_array_equal(other[0], found)
    np.testing.assert_array_equal(other[1], reach)


def _mixed(rows):
    return MixedSearch(rows, np.empty((len(rows), 0), dtype=np.int32), 0.0)


def test_rows_are_kept_not_copied():
    rows = np.random.default_rng(3).normal(size=(50, 2))
    before = rows.copy()
    index = TreeSearch(rows)
    assert np.shares_memory(index._rows, rows)
    index.query(np.arange(50), 3)
    np.testing.assert_array_equal(rows, before)


def test_distances_whose_squares_underflow():
    rng = np.random.default_rng(6)
    small = 1e-162 * rng.normal(size=(700, 3))
    rows = np.concatenate([small, -small, [[1.0] * 3, [-1.0] * 3]])
    distances, neighbours = TreeSearch(rows).query(np.arange(300), 5)
    expected = naive_neighbours(rows, 5)
    np.testing.assert_array_equal(neighbours, expected[1][:300])
    np.testing.assert_array_equal(distances, expected[0][:300])


@pytest.mark.parametrize("search", [TreeSearch, BruteSearch, DirectSearch])
@pytest.mark.parametrize("far", [1e160, 1e200])
def test_one_huge_value_does_not_hide_the_others(search, far):
    rows = np.random.default_rng(7).normal(size=(200, 3))
    expected = naive_neighbours(rows, 4)
    distances, neighbours = search(np.append(rows, [[far, 0.0, 0.0]], axis=0)).query(
        np.arange(200), 4
    )
    np.testing.assert_array_equal(neighbours, expected[1])
    np.testing.assert_array_equal(distances, expected[0])


@pytest.mark.parametrize("search", [TreeSearch, BruteSearch, DirectSearch, _mixed])
@pytest.mark.parametrize("far", [1e155, 1e200, 1e300])
@pytest.mark.parametrize("constant", [0, 2])
@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-300, 1.0])
def test_points_whose_squares_overflow_are_infinitely_far(search, far, constant, unit):
    rows = unit * np.random.default_rng(8).normal(size=(700, 3))
    rows[:, 3 - constant :] = 7.0 * unit
    points = np.array([[0.0, 0.0, far], rows[5], [-far, far, far]])
    distances, neighbours = search(rows).query_points(points, 3)
    assert np.isinf(distances[[0, 2]]).all()
    assert neighbours[[0, 2]].tolist() == [[0, 1, 2]] * 2
    assert neighbours[1, 0] == 5


@pytest.mark.parametrize("other", [7.0, 9.0, 1.6e18])
@pytest.mark.parametrize("levels", [0, 4])
def test_points_off_the_axes_cost_a_bounded_number_of_candidates(other, levels, monkeypatch):
    """A column that is constant in a partition has any other value in the points that ask."""
    rng = np.random.default_rng(9)
    rows = np.column_stack([rng.normal(size=(3000, 3)), np.full(3000, 7.0)])
    points = np.column_stack([rng.normal(size=(200, 3)), np.full(200, other)])
    if levels:
        rows[:, :3] = rng.integers(0, 12, (3000, 3))
        points[:, :3] = rng.integers(0, levels, (200, 3)) + 0.5
    expected = BruteSearch(rows).query_points(points, 5)
    index, asked = TreeSearch(rows), []
    original = index._candidates
    monkeypatch.setattr(index, "_candidates", lambda q, n: (asked.append(n), original(q, n))[1])
    found = index.query_points(points, 5)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert max(asked) <= (112 if other < 1e6 else 512)


@pytest.mark.parametrize("own", [True, False])
def test_hundreds_of_rows_equally_near_are_left_to_brute_force(own, monkeypatch):
    angles = np.linspace(0.0, 2.0 * np.pi, 700, endpoint=False)
    rows = np.concatenate(
        [[[0.0] * 3], np.column_stack([np.cos(angles), np.sin(angles), 0 * angles])]
    )
    rows = np.concatenate([rows, rows + np.array([10.0, 0.0, 1e-3])])
    index, asked = TreeSearch(rows), []
    original = index._candidates
    monkeypatch.setattr(index, "_candidates", lambda q, n: (asked.append(n), original(q, n))[1])
    if own:
        found = index.query(np.array([0, 701]), 4)[1]
        expected = naive_neighbours(rows, 4)[1][[0, 701]]
    else:
        found = index.query_points(np.array([[0.0, 0.0, 1e-9]]), 4)[1]
        expected = BruteSearch(rows).query_points(np.array([[0.0, 0.0, 1e-9]]), 4)[1]
    np.testing.assert_array_equal(found, expected)
    assert max(asked) <= 512


@pytest.mark.parametrize("equal", [1, 3])
def test_the_second_index_takes_half_as_much_again_as_the_rows(equal):
    """It is made, for a moment, where some rows need brute force; the projection counts that."""
    import tracemalloc

    rng = np.random.default_rng(10)
    rows = np.repeat(rng.normal(size=(30_000 // equal, 40)), equal, axis=0)
    index = TreeSearch(rows)
    unique = len(rows) // equal
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    index._compared(np.arange(3), 5, np.arange(3))
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < unique * (12 * 40 + 60) + 2**21
