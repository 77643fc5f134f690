"""The vote kernel: the mode, and ties drawn."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsmote.kernels import vote


@given(
    codes=arrays.arrays(np.int32, (6, 5), elements=st.integers(0, 4)),
    draws=arrays.arrays(np.float64, 6, elements=st.floats(0, 1, exclude_max=True)),
)
def test_the_most_common_wins(codes, draws):
    winners = vote(codes, draws)
    assert winners.dtype == codes.dtype
    for row, winner, draw in zip(codes, winners, draws, strict=True):
        counts = Counter(row.tolist())
        tied = [level for level in counts if counts[level] == max(counts.values())]
        # Tied levels in order of their nearest neighbour, and the draw picks one.
        assert winner == tied[int(draw * len(tied))]


def test_tied_levels_count_once_each():
    codes = np.array([[1, 2, 1, 2], [1, 2, 2, 1]])
    np.testing.assert_array_equal(vote(codes, np.array([0.4, 0.6])), [1, 2])


def test_how_levels_are_coded_does_not_matter():
    rng = np.random.default_rng(0)
    codes, draws = rng.integers(0, 4, size=(200, 6)).astype(np.int32), rng.random(200)
    renamed = np.array([17, 3, 99, 0], dtype=np.int32)
    np.testing.assert_array_equal(vote(renamed[codes], draws), renamed[vote(codes, draws)])


def test_ties_are_shared_out():
    draws = np.random.default_rng(1).random(3_000)
    winners = vote(np.tile(np.array([[5, 7, 9]], dtype=np.int32), (3_000, 1)), draws)
    assert (np.abs(np.bincount(winners)[[5, 7, 9]] - 1_000) < 120).all()


def test_one_neighbour_and_levels_that_are_many():
    np.testing.assert_array_equal(vote(np.array([[3], [4]]), np.zeros(2)), [3, 4])
    many = np.arange(50_000, dtype=np.int32).reshape(-1, 5)
    np.testing.assert_array_equal(vote(many, np.zeros(10_000)), many[:, 0])
