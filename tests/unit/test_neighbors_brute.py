"""Brute force: chunks, blocks and memory. Its truth is shown in tests/property."""

import tracemalloc

import numpy as np
import pytest

from dsmote.neighbors import BruteSearch, DirectSearch, brute
from tests.tables import naive_neighbours

ROWS = {
    "ties": np.random.default_rng(0).integers(0, 5, size=(700, 4)).astype(float),
    "plain": np.random.default_rng(1).normal(size=(700, 6)),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("tile", [16, 100, 4096])
@pytest.mark.parametrize("block", [1, 33, 1024])
def test_tiles_and_blocks_do_not_change_the_neighbours(name, tile, block, monkeypatch):
    monkeypatch.setattr(brute, "TILE", tile)
    monkeypatch.setattr(brute, "BLOCK", block)
    rows = ROWS[name]
    expected = naive_neighbours(rows, 6)
    distances, neighbours = BruteSearch(rows).query(np.arange(len(rows)), 6)
    np.testing.assert_array_equal(neighbours, expected[1])
    np.testing.assert_array_equal(distances, expected[0])


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


def test_rows_in_the_middle_are_told_apart_beside_rows_far_out():
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


def test_a_level_that_the_index_does_not_hold_differs_from_all():
    codes = np.array([[0], [1], [1]], dtype=np.int32)
    index = BruteSearch(np.array([[0.0], [0.0], [4.0]]), codes, 3.0)
    distances, neighbours = index.query_points(np.array([[0.0, -1.0], [0.0, 1.0]]), 3)
    assert neighbours.tolist() == [[0, 1, 2], [1, 0, 2]]
    np.testing.assert_allclose(distances, [[3.0, 3.0, 5.0], [0.0, 3.0, 4.0]])


@pytest.mark.parametrize("kind", ["normal", "ties", "equal", "far", "tiny"])
@pytest.mark.parametrize(("n", "d", "m"), [(2, 1, 2), (7, 3, 7), (300, 40, 90), (1_500, 2, 400)])
def test_few_rows_have_the_same_neighbours_to_the_bit(kind, n, d, m):
    rng = np.random.default_rng(n + d)
    rows = {
        "normal": rng.normal(size=(n, d)),
        "ties": rng.integers(0, 3, size=(n, d)).astype(float),
        "equal": np.ones((n, d)),
        "far": 1e9 + rng.normal(size=(n, d)) * 1e-5,
        "tiny": rng.normal(size=(n, d)) * 1e-200,
    }[kind]
    ids = rng.permutation(n)[:m]
    points = np.concatenate([rng.normal(size=(5, d)), np.full((1, d), 1e200), rows[:3] + 1e-9])
    for k in {1, min(5, n - 1), min(40, n - 1)}:
        few, many = DirectSearch(rows), BruteSearch(rows)
        for found, expected in zip(few.query(ids, k), many.query(ids, k), strict=True):
            np.testing.assert_array_equal(found, expected)
        both = few.query_points(points, k), many.query_points(points, k)
        for found, expected in zip(*both, strict=True):
            np.testing.assert_array_equal(found, expected)
