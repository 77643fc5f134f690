"""The kernel that goes beyond the base: the formula, and the edges of what numbers can hold."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsmote.kernels import beyond, beyond_exact

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = arrays.arrays(np.float64, (5, 3), elements=FLOATS)
TAME = arrays.arrays(np.float64, (5, 3), elements=st.floats(-1e6, 1e6))
STEPS = arrays.arrays(np.float64, 5, elements=st.floats(0, 1))
NONE = np.zeros(3, dtype=bool)
LIMIT = np.finfo(np.float64).max


@given(bases=TAME, neighbours=TAME, steps=STEPS)
def test_the_formula(bases, neighbours, steps):
    made = beyond(bases, neighbours, steps, NONE)
    np.testing.assert_array_equal(made, bases - (neighbours - bases) * steps[:, None])
    np.testing.assert_array_equal(made[steps == 0], bases[steps == 0])


@given(bases=ROWS, neighbours=ROWS, steps=STEPS)
def test_on_the_far_side_of_the_base_and_finite(bases, neighbours, steps):
    made = beyond(bases, neighbours, steps, NONE)
    assert np.isfinite(made).all()
    away = np.where(neighbours >= bases, made <= bases, made >= bases)
    assert away.all()


def test_what_would_overflow_ends_at_the_largest_float():
    bases = np.array([[LIMIT, -LIMIT, LIMIT]])
    neighbours = np.array([[-LIMIT, LIMIT, 0.0]])
    np.testing.assert_array_equal(
        beyond(bases, neighbours, np.array([1.0]), NONE), [[LIMIT, -LIMIT, LIMIT]]
    )


def test_a_difference_that_overflows_is_no_step_that_does():
    # From 0.75 max to -0.75 max are 1.5 max; a tenth of it is not too much.
    made = beyond(
        np.array([[0.75 * LIMIT]]), np.array([[-0.75 * LIMIT]]), np.array([0.1]), NONE[:1]
    )
    np.testing.assert_allclose(made, [[0.9 * LIMIT]], rtol=1e-15)


@given(
    bases=arrays.arrays(np.float64, (5, 3), elements=st.integers(-(2**40), 2**40).map(float)),
    neighbours=arrays.arrays(np.float64, (5, 3), elements=st.integers(-(2**40), 2**40).map(float)),
    steps=STEPS,
)
def test_whole_numbers_are_the_nearest_ones(bases, neighbours, steps):
    made = beyond(bases, neighbours, steps, ~NONE)
    np.testing.assert_array_equal(made, np.rint(made))
    exact = bases - steps[:, None] * (neighbours - bases)
    assert (np.abs(made - exact) <= 0.5 + 1e-3).all()


def test_only_the_columns_named_are_rounded():
    made = beyond(
        np.zeros((1, 3)), np.full((1, 3), 3.0), np.array([0.5]), np.array([1, 0, 0], bool)
    )
    np.testing.assert_array_equal(made, [[-2.0, -1.5, -1.5]])


def test_nothing_is_written_in_place():
    bases, neighbours, steps = np.zeros((2, 1)), np.ones((2, 1)), np.array([0.25, 0.75])
    for array in (bases, neighbours, steps):
        array.flags.writeable = False
    made = beyond(bases, neighbours, steps, np.zeros(1, dtype=bool))
    np.testing.assert_array_equal(made, [[-0.25], [-0.75]])
    exact = beyond_exact(*(a.ravel().astype(np.int64) for a in (bases, neighbours)), steps)
    np.testing.assert_array_equal(exact, [0, -1])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@given(data=st.data())
def test_64_bit_numbers_move_by_the_nearest_whole_step_or_to_their_edge(dtype, data):
    info = np.iinfo(dtype)
    value = st.integers(int(info.min), int(info.max)) | st.sampled_from(
        [int(info.min), int(info.max), int(info.max) - 1]
    )
    base, neighbour = data.draw(value), data.draw(value)
    step = data.draw(st.floats(0, 1))
    made = beyond_exact(np.array([base], dtype), np.array([neighbour], dtype), np.array([step]))
    assert made.dtype == dtype
    exact = base - Fraction(step) * (neighbour - base)
    exact = min(max(exact, Fraction(int(info.min))), Fraction(int(info.max)))
    # The distance is a float: it is off by no more than its 53 bits say.
    slack = Fraction(1, 2) + abs(neighbour - base) * Fraction(step) / 2**51
    if abs(neighbour - base) * Fraction(step) < 2**64 - 4096:
        assert abs(int(made[0]) - exact) <= slack
    inside = (int(made[0]) <= base) if neighbour >= base else (int(made[0]) >= base)
    assert inside


def test_neighbouring_64_bit_numbers_are_told_apart():
    base, neighbour = np.array([2**62 + 1]), np.array([2**62 + 5])
    assert float(base[0]) == float(neighbour[0])  # float64 cannot tell them apart
    for step, moved in ((0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)):
        assert beyond_exact(base, neighbour, np.array([step]))[0] == 2**62 + 1 - moved
        assert beyond_exact(neighbour, base, np.array([step]))[0] == 2**62 + 5 + moved


def test_64_bit_numbers_end_at_the_edge_of_their_range():
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    bases = np.array([low, high, low + 1, high - 1, low])
    neighbours = np.array([high, low, high, low, low + 1])
    np.testing.assert_array_equal(
        beyond_exact(bases, neighbours, np.ones(5)), [low, high, low, high, low]
    )
    top = np.iinfo(np.uint64).max
    unsigned = beyond_exact(
        np.array([0, 3, top], np.uint64), np.array([top, 5, 0], np.uint64), np.ones(3)
    )
    np.testing.assert_array_equal(unsigned, np.array([0, 1, top], np.uint64))
