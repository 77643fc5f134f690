"""Brute force: chunks, blocks and memory. Its truth is shown in tests/property."""

import tracemalloc

import numpy as np
import pytest

from dsmote.neighbors import BruteSearch
from dsmote.neighbors import brute as module
from tests.tables import naive_neighbours


@pytest.mark.parametrize("chunk", [8, 33, 4096])
@pytest.mark.parametrize("pairs", [1, 1000, 1 << 21])
def test_chunks_and_blocks_do_not_change_the_neighbours(chunk, pairs, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    monkeypatch.setattr(module, "_PAIRS", pairs)
    rows = np.random.default_rng(0).integers(0, 5, size=(150, 3)).astype(float)
    expected = naive_neighbours(rows, 6)
    distances, neighbours = BruteSearch(rows).query(np.arange(150), 6)
    np.testing.assert_array_equal(neighbours, expected[1])
    np.testing.assert_array_equal(distances, expected[0])


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
