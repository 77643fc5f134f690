"""The rotated tree proposes, and never claims to reach further than it does."""

import pickle

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dsmote.neighbors import tree as module
from dsmote.neighbors.tree import RotatedTree


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
