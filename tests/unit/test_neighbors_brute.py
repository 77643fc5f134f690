"""Brute force: corners, the scan, blocks and memory. Its truth: tests/property."""

import tracemalloc

import numpy as np
import pytest

from dsmote.neighbors import BruteSearch, brute
from dsmote.neighbors.brute import CORNERS, Corners, Points, scan
from tests.tables import naive_neighbours


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
def test_a_single_level_left_over_has_a_corner_of_its_own(levels, columns):
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


def scanned(rows, k, dtype):
    """Scan rows against themselves; return what is kept and the true squares."""
    squares = (rows**2).sum(axis=1)
    table = np.concatenate([rows, squares[:, None]], axis=1).astype(dtype)
    lengths = np.sqrt(squares)
    queries = Points(table, lengths)
    kept = scan(queries, lambda a, b: Points(table[a:b], lengths[a:b]), len(rows), k)
    true = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    return kept, true


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3])
def test_every_true_neighbour_is_kept(dtype, spread):
    rng = np.random.default_rng(0)
    rows = rng.choice([-0.5, 0.5], size=(1500, 1)) + spread * rng.uniform(-0.4, 0.4, (1500, 3))
    kept, true = scanned(rows, 4, dtype)
    pairs = {(int(o), int(r)) for o, r in zip(kept.owner, kept.row, strict=True)}
    for query in np.flatnonzero(~kept.lost):
        assert all((query, row) in pairs for row in np.argsort(true[query], kind="stable")[:4])
    assert (np.diff(kept.owner) >= 0).all()


@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 4.1), (np.float64, 4.001)])
def test_hardly_more_than_the_neighbours_are_kept(dtype, most):
    rows = np.random.default_rng(1).uniform(-1, 1, (1000, 5))
    kept, _ = scanned(rows, 4, dtype)
    assert not kept.lost.any()
    assert 4 <= len(kept.owner) / 1000 <= most


def test_queries_with_too_many_ties_are_given_up():
    rows = np.concatenate([np.eye(400), np.zeros((5, 400))])
    kept, _ = scanned(rows, 7, np.float64)
    assert kept.lost[:400].all()  # all of them are equally far from each other
    assert not np.isin(kept.owner, np.flatnonzero(kept.lost)).any()


ROWS = {
    "ties": np.random.default_rng(0).integers(0, 5, size=(700, 4)).astype(float),
    "plain": np.random.default_rng(1).normal(size=(700, 6)),
}


@pytest.mark.parametrize("cap", [-40, 0, 256])
@pytest.mark.parametrize("pending", [1, 1 << 18])
@pytest.mark.parametrize("name", ROWS)
def test_queries_that_are_given_up_are_answered_by_the_next_precision(
    name, cap, pending, monkeypatch
):
    monkeypatch.setattr(brute, "TILE", 64)
    monkeypatch.setattr(brute, "_CAP", cap)
    monkeypatch.setattr(brute, "_PENDING", pending)
    monkeypatch.setattr(brute, "_PAIRS", 5000)
    rows = ROWS[name]
    expected = naive_neighbours(rows, 6)
    distances, neighbours = BruteSearch(rows).query(np.arange(len(rows)), 6)
    np.testing.assert_array_equal(neighbours, expected[1])
    np.testing.assert_array_equal(distances, expected[0])


@pytest.mark.parametrize("spread", [0.1, 1e-3, 1e-5, 1e-7, 1e-9])
def test_what_float32_cannot_tell_apart_is_decided_in_float64(spread, monkeypatch):
    monkeypatch.setattr(brute, "TILE", 64)
    rng = np.random.default_rng(2)
    rows = rng.choice([-1.0, 1.0], size=(800, 1)) + spread * rng.normal(size=(800, 3))
    used = []
    inner = BruteSearch._scanned
    monkeypatch.setattr(
        BruteSearch, "_scanned", lambda s, q, k, t: used.append(t) or inner(s, q, k, t)
    )
    expected = naive_neighbours(rows, 5)
    distances, neighbours = BruteSearch(rows).query(np.arange(800), 5)
    np.testing.assert_array_equal(neighbours, expected[1])
    np.testing.assert_array_equal(distances, expected[0])
    assert (np.float64 in used) == (spread < 0.01)


def test_rows_in_the_middle_are_distinguished_next_to_rows_far_out():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(900, 4))
    rows[::50] *= 1e9
    expected = naive_neighbours(rows, 5)
    distances, neighbours = BruteSearch(rows).query(np.arange(900), 5)
    np.testing.assert_array_equal(neighbours, expected[1])
    np.testing.assert_array_equal(distances, expected[0])


def test_rows_that_are_all_equally_far_from_each_other():
    rows = np.eye(600)
    distances, neighbours = BruteSearch(rows).query(np.array([0, 3, 599]), 4)
    assert neighbours.tolist() == [[1, 2, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]
    assert (distances == np.sqrt(2.0)).all()


def test_points_however_far_away():
    rows = np.random.default_rng(4).normal(size=(500, 3))
    points = np.array([[0.0, 0.0, 1e30], [1e100, 0.0, 0.0], [1.0, 1.0, 1.0]])
    _, neighbours = BruteSearch(rows).query_points(points, 2)
    squares = ((points[:, None] - rows) ** 2).sum(axis=2)
    np.testing.assert_array_equal(neighbours, np.argsort(squares, axis=1, kind="stable")[:, :2])


def test_all_pairs_are_never_held():
    n = 12_000
    index = BruteSearch(np.random.default_rng(1).normal(size=(n, 4)))
    tracemalloc.start()
    index.query(np.arange(2_000), 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 96 * 2**20 < 2_000 * n * 8
