"""Names as corners of a simplex: never further apart than they are."""

import numpy as np
import pytest

from dsmote.neighbors.brute import CORNERS, Corners


@pytest.mark.parametrize(("levels", "exact"), [(1, True), (2, True), (5, True), (60, False)])
def test_written_distances_are_at_most_the_true_ones(levels, exact):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, levels, (200, 3))
    corners = Corners(codes, 3.0 / np.sqrt(2.0))
    rows = corners.written(codes)
    squares = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    true = 9.0 * (codes[:, None] != codes[None]).sum(axis=2)
    assert (squares <= true + 1e-9).all()
    assert np.allclose(squares, true) == exact
    assert (corners.n_short(codes) == 0) == exact
    assert rows.shape == (200, corners.width)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("columns", [2, 30, 400])
def test_a_level_that_is_left_over_alone_has_a_corner_of_its_own(levels, columns):
    codes = np.random.default_rng(3).integers(0, levels, (100, columns))
    codes[:, columns // 2 :] = 0
    codes[:, -1] = 5
    corners = Corners(codes, 1.0)
    rare = corners.rare(codes)
    assert all(len(np.unique(codes[rare[:, j], j])) != 1 for j in range(columns))
    assert corners.width <= CORNERS + 2 * columns
    if levels < 3:
        assert not rare.any()


def test_levels_that_are_not_in_the_index_share_a_corner_or_have_none():
    corners = Corners(np.array([[0], [1]]), 1.0)
    assert corners.written(np.array([[-1]])).tolist() == [[0.0, 0.0]]
    assert corners.n_short(np.array([[-1], [0]])) == 1
    assert corners.n_short(np.array([[1], [0]])) == 0
    assert Corners(np.zeros((3, 2), dtype=int), 1.0).n_short(np.array([[0, 1]])) == 1


def test_there_are_never_many_corners():
    codes = np.random.default_rng(1).integers(0, 10_000, (20_000, 4))
    assert Corners(codes, 1.0).width <= CORNERS + 8


def test_from_the_middle_all_other_levels_are_equally_far():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 60, (300, 2))
    corners = Corners(codes, 3.0 / np.sqrt(2.0))
    rare = corners.rare(codes)
    written, lacking = corners.centred(codes, rare)
    squares = ((written[:, None] - corners.written(codes)[None]) ** 2).sum(axis=2)
    squares += lacking[:, None]
    true = 9.0 * (codes[:, None] != codes[None]).sum(axis=2)
    same_rare_level = ((codes[:, None] == codes[None]) & rare[:, None]).any(axis=2)
    assert np.allclose(squares[~same_rare_level], true[~same_rare_level])
    assert (squares[same_rare_level] > true[same_rare_level]).all()
