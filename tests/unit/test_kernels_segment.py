"""The segment kernel: never past its end points, whole numbers to nearest, exact beyond 2**53."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsmote.kernels import segment, segment_exact

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = arrays.arrays(np.float64, (5, 3), elements=FLOATS)
GAPS = arrays.arrays(
    np.float64, 5, elements=st.floats(0, 1, exclude_max=True) | st.just(1 - 2.0**-53)
)
NONE = np.zeros(3, dtype=bool)


@given(bases=ROWS, neighbours=ROWS, gaps=GAPS)
def test_between_the_end_points(bases, neighbours, gaps):
    made = segment(bases, neighbours, gaps, NONE)
    assert np.isfinite(made).all()
    assert (np.minimum(bases, neighbours) <= made).all()
    assert (made <= np.maximum(bases, neighbours)).all()
    np.testing.assert_array_equal(made[gaps == 0], bases[gaps == 0])


@given(
    bases=arrays.arrays(np.float64, (5, 3), elements=st.integers(-(2**40), 2**40).map(float)),
    neighbours=arrays.arrays(np.float64, (5, 3), elements=st.integers(-(2**40), 2**40).map(float)),
    gaps=GAPS,
)
def test_whole_numbers_are_the_nearest_ones(bases, neighbours, gaps):
    made = segment(bases, neighbours, gaps, ~NONE)
    np.testing.assert_array_equal(made, np.rint(made))
    exact = bases + gaps[:, None] * (neighbours - bases)
    assert (np.abs(made - exact) <= 0.5 + 1e-3).all()


def test_only_the_columns_named_are_rounded():
    made = segment(
        np.zeros((1, 3)), np.full((1, 3), 3.0), np.array([0.5]), np.array([1, 0, 0], bool)
    )
    np.testing.assert_array_equal(made, [[2.0, 1.5, 1.5]])


def test_values_too_far_apart_for_a_float_change_no_others():
    bases, neighbours = np.array([[-1.5e308, 0.0], [0.1, 2.0]]), np.array([[1.5e308, 4.0], [7, 9]])
    gaps, whole = np.array([0.5, 0.3]), np.array([False, True])
    made = segment(bases, neighbours, gaps, whole)
    assert made[0, 0] == 0.0
    # A row that is made beside it is as it is without it, whole numbers included.
    np.testing.assert_array_equal(made[1:], segment(bases[1:], neighbours[1:], gaps[1:], whole))
    np.testing.assert_array_equal(made[:, 1] - bases[:, 1], [2.0, 2.0])


def test_nothing_is_written_in_place():
    bases, neighbours, gaps = np.zeros((2, 1)), np.ones((2, 1)), np.array([0.25, 0.75])
    for array in (bases, neighbours, gaps):
        array.flags.writeable = False
    segment(bases, neighbours, gaps, np.ones(1, dtype=bool))
    assert bases.sum() == 0


def test_one_gap_for_all_columns_of_a_row():
    made = segment(np.zeros((4, 3)), np.ones((4, 3)), np.array([0.1, 0.2, 0.3, 0.4]), NONE)
    assert (made == made[:, :1]).all()


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
@given(data=st.data())
def test_large_whole_numbers_are_exact(kind, data):
    info = np.iinfo(kind)
    ends = arrays.arrays(kind, 6, elements=st.integers(int(info.min), int(info.max)))
    bases, neighbours = data.draw(ends), data.draw(ends)
    gaps = data.draw(arrays.arrays(np.float64, 6, elements=st.floats(0, 1, exclude_max=True)))
    made = segment_exact(bases, neighbours, gaps)
    assert made.dtype == kind
    for row, base, neighbour, gap in zip(made, bases, neighbours, gaps, strict=True):
        row, base, neighbour = int(row), int(base), int(neighbour)
        assert min(base, neighbour) <= row <= max(base, neighbour)
        distance = abs(neighbour - base)
        wanted = Fraction(float(gap)) * distance
        assert abs(abs(row - base) - wanted) <= Fraction(1, 2) + Fraction(distance, 2**51)


def test_small_steps_of_large_numbers():
    base = np.full(3, 2**62 + 1)
    np.testing.assert_array_equal(
        segment_exact(base, base + 4, np.array([0.0, 0.5, 0.99])) - 2**62, [1, 3, 5]
    )
    np.testing.assert_array_equal(
        segment_exact(base, base - 4, np.array([0.0, 0.5, 0.99])) - 2**62, [1, -1, -3]
    )
