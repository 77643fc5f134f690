"""The kernels: where new rows lie, exact integers beyond 2**53, ranges, ties."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsmote.kernels import extrapolate, extrapolate_exact, segment, segment_exact, vote
from dsmote.samplers import RandomOverSampler

ROWS = arrays.arrays(np.float64, (5, 3), elements=st.floats(allow_nan=False, allow_infinity=False))
INTEGERS = arrays.arrays(np.float64, (5, 3), elements=st.integers(-(2**40), 2**40).map(float))
GAPS = arrays.arrays(
    np.float64, 5, elements=st.floats(0, 1, exclude_max=True) | st.just(1 - 2.0**-53)
)
NONE = np.zeros(3, dtype=bool)
KERNELS = pytest.mark.parametrize(
    ("kernel", "exact_kernel", "sign"),
    [(segment, segment_exact, 1), (extrapolate, extrapolate_exact, -1)],
)


@given(bases=ROWS, neighbours=ROWS, gaps=GAPS)
def test_segments_end_at_their_end_points(bases, neighbours, gaps):
    made = segment(bases, neighbours, gaps, NONE)
    assert np.isfinite(made).all()
    assert (np.minimum(bases, neighbours) <= made).all()
    assert (made <= np.maximum(bases, neighbours)).all()
    np.testing.assert_array_equal(made[gaps == 0], bases[gaps == 0])


@given(bases=ROWS, neighbours=ROWS, steps=GAPS)
def test_extrapolated_rows_are_on_the_far_side_of_the_base_and_finite(bases, neighbours, steps):
    made = extrapolate(bases, neighbours, steps, NONE)
    assert np.isfinite(made).all()
    assert np.where(neighbours >= bases, made <= bases, made >= bases).all()


@KERNELS
@given(bases=INTEGERS, neighbours=INTEGERS, gaps=GAPS)
def test_integers_are_the_nearest_ones(kernel, exact_kernel, sign, bases, neighbours, gaps):
    made = kernel(bases, neighbours, gaps, ~NONE)
    np.testing.assert_array_equal(made, np.rint(made))
    exact = bases + sign * gaps[:, None] * (neighbours - bases)
    assert (np.abs(made - exact) <= 0.5 + 1e-3).all()


@KERNELS
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@given(data=st.data())
def test_64_bit_integers_move_by_the_nearest_integer_step(kernel, exact_kernel, sign, dtype, data):
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    value = st.integers(low, high) | st.sampled_from([low, high, high - 1])
    base, neighbour = data.draw(value), data.draw(value)
    gap = data.draw(st.floats(0, 1))
    (made,) = exact_kernel(np.array([base], dtype), np.array([neighbour], dtype), np.array([gap]))
    assert made.dtype == dtype
    exact = base + sign * Fraction(gap) * (neighbour - base)
    ends = (min(base, neighbour), max(base, neighbour)) if sign == 1 else (low, high)
    exact = min(max(exact, Fraction(ends[0])), Fraction(ends[1]))
    assert ends[0] <= int(made) <= ends[1]
    assert (int(made) - base) * sign * (1 if neighbour >= base else -1) >= 0
    # The distance is a float64: it is off by no more than its 53 bits say.
    if abs(neighbour - base) * Fraction(gap) < 2**64 - 4096:
        assert abs(int(made) - exact) <= Fraction(1, 2) + Fraction(abs(neighbour - base), 2**51)


def moved(column, shrinkage):
    """Resample a class that has this column, and return its new values."""
    X = np.concatenate([column, np.repeat(column[:1], 4 * len(column))])[:, None]
    y = np.repeat([1, 0], [len(column), 4 * len(column)])
    made = RandomOverSampler(random_state=0, shrinkage=shrinkage).fit_resample(X, y)[0]
    assert made.dtype == column.dtype
    return made[len(X) :, 0]


@pytest.mark.parametrize("dtype", ["int16", "int64", "uint64"])
def test_whole_numbers_get_the_noise_of_floats_rounded_to_nearest(dtype):
    column = np.arange(500, 900, dtype=dtype)
    off = moved(column, 0.1).astype(float) - moved(column.astype(float), 0.1)
    assert np.abs(off).max() <= 0.5
    assert abs(off.mean()) < 0.05


def test_large_whole_numbers_are_moved_exactly():
    column = np.arange(2**62, 2**62 + 200)
    made = moved(column, 0.0)
    assert set(made.tolist()) <= set(column.tolist())
    noisy = moved(column, 0.3) - 2**62
    assert -100 < noisy.min() < noisy.max() < 300
    assert len(set(noisy.tolist())) > 100  # float64 tells only every 1,024th of them apart


@pytest.mark.parametrize("unit", [1e300, 1e-300])
def test_floats_whose_squares_are_beyond_all_measure_get_their_noise(unit):
    column = np.random.default_rng(0).normal(size=100)
    expected = moved(column, 0.5)
    made = moved(column * unit, 0.5)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made / unit, expected, rtol=1e-12, atol=1e-12)


def test_what_noise_would_carry_beyond_the_largest_float_ends_there():
    most = np.finfo(np.float64).max
    made = moved(np.tile([-most, most], 50), 1.0)
    for end in (-most, most):
        assert 0.1 < (made == end).mean() < 0.4
    assert np.isfinite(made).all()


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
