"""The kernels: where new rows lie, exact integers beyond 2**53, ranges, ties."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import kstest, norm

from dsmote.execute import Draws
from dsmote.kernels import (
    bandwidth,
    extrapolate,
    extrapolate_exact,
    normal,
    segment,
    segment_exact,
    vote,
)
from dsmote.samplers import RandomOverSampler

ROWS = arrays.arrays(np.float64, (5, 3), elements=st.floats(allow_nan=False, allow_infinity=False))
TAME = arrays.arrays(np.float64, (5, 3), elements=st.floats(-1e6, 1e6))
INTEGERS = arrays.arrays(np.float64, (5, 3), elements=st.integers(-(2**40), 2**40).map(float))
GAPS = arrays.arrays(
    np.float64, 5, elements=st.floats(0, 1, exclude_max=True) | st.just(1 - 2.0**-53)
)
NONE = np.zeros(3, dtype=bool)
LIMIT = np.finfo(np.float64).max
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


@given(bases=TAME, neighbours=TAME, steps=GAPS)
def test_the_formula_of_extrapolation(bases, neighbours, steps):
    made = extrapolate(bases, neighbours, steps, NONE)
    np.testing.assert_array_equal(made, bases - (neighbours - bases) * steps[:, None])
    np.testing.assert_array_equal(made[steps == 0], bases[steps == 0])


@KERNELS
@given(bases=INTEGERS, neighbours=INTEGERS, gaps=GAPS)
def test_integers_are_the_nearest_ones(kernel, exact_kernel, sign, bases, neighbours, gaps):
    made = kernel(bases, neighbours, gaps, ~NONE)
    np.testing.assert_array_equal(made, np.rint(made))
    exact = bases + sign * gaps[:, None] * (neighbours - bases)
    assert (np.abs(made - exact) <= 0.5 + 1e-3).all()


@KERNELS
def test_only_the_columns_named_are_rounded_and_a_row_has_one_gap(kernel, exact_kernel, sign):
    gaps = np.array([0.5, 0.25])
    made = kernel(np.zeros((2, 3)), np.full((2, 3), 3.0), gaps, np.array([1, 0, 0], bool))
    np.testing.assert_array_equal(sign * made, [[2.0, 1.5, 1.5], [1.0, 0.75, 0.75]])


def test_values_too_far_apart_for_a_float_change_no_others():
    bases, neighbours = np.array([[-1.5e308, 0.0], [0.1, 2.0]]), np.array([[1.5e308, 4.0], [7, 9]])
    gaps, whole = np.array([0.5, 0.3]), np.array([False, True])
    made = segment(bases, neighbours, gaps, whole)
    assert made[0, 0] == 0.0
    np.testing.assert_array_equal(made[1:], segment(bases[1:], neighbours[1:], gaps[1:], whole))
    np.testing.assert_array_equal(made[:, 1] - bases[:, 1], [2.0, 2.0])


def test_what_would_overflow_ends_at_the_largest_float():
    bases = np.array([[LIMIT, -LIMIT, LIMIT]])
    neighbours = np.array([[-LIMIT, LIMIT, 0.0]])
    made = extrapolate(bases, neighbours, np.array([1.0]), NONE)
    np.testing.assert_array_equal(made, [[LIMIT, -LIMIT, LIMIT]])
    # From 0.75 max to -0.75 max are 1.5 max; a tenth of it is not too much.
    made = extrapolate(0.75 * bases[:, :1], 0.75 * neighbours[:, :1], np.array([0.1]), NONE[:1])
    np.testing.assert_allclose(made, [[0.9 * LIMIT]], rtol=1e-15)


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


@KERNELS
@pytest.mark.parametrize(("gap", "moved"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.99, 4)])
def test_neighbouring_64_bit_integers_are_told_apart(kernel, exact_kernel, sign, gap, moved):
    base, neighbour, gaps = np.array([2**62 + 1]), np.array([2**62 + 5]), np.array([gap])
    assert float(base[0]) == float(neighbour[0])  # to float64 they are equal
    assert exact_kernel(base, neighbour, gaps)[0] == 2**62 + 1 + sign * moved
    assert exact_kernel(neighbour, base, gaps)[0] == 2**62 + 5 - sign * moved


@given(n=st.integers(1, 10**9), d=st.integers(1, 2_000))
def test_the_bandwidth_is_that_of_the_paper(n, d):
    h = bandwidth(n, d)
    # Menardi and Torelli, section 2: h^(d + 4) = 4 / ((d + 2) n)
    assert np.log(h) * (d + 4) == pytest.approx(np.log(4) - np.log(d + 2) - np.log(n), abs=1e-6)


@given(u=st.floats(2.0**-53, 1 - 2.0**-53))
def test_draws_become_normal_by_the_inverse_of_the_distribution(u):
    found = normal(np.array([u]))
    assert found.dtype == np.float64
    assert norm.cdf(found[0]) == pytest.approx(u, rel=1e-9)


def test_the_draws_given_are_never_0_or_1_and_the_noise_finite():
    draws = Draws(7, 1, 0, 50_000)
    columns = [draws.noise(j) for j in range(3)]
    for u in columns:
        assert 0 < u.min() < u.max() < 1
        assert np.isfinite(normal(u)).all()
        assert kstest(normal(u), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(columns) - np.eye(3)).max() < 0.02
    # The ends of what is drawn: 52 bits, in the middle of each cell.
    ends = (np.array([0, 2**52 - 1]) + 0.5) * 2.0**-52
    low, high = normal(ends)
    assert low == pytest.approx(-high)
    assert -9 < low < -8


def moved(column, shrinkage):
    """Resample a class that has this column, and return its new values."""
    X = np.concatenate([column, np.repeat(column[:1], 4 * len(column))])[:, None]
    y = np.repeat([1, 0], [len(column), 4 * len(column)])
    made = RandomOverSampler(random_state=0, shrinkage=shrinkage).fit_resample(X, y)[0]
    assert made.dtype == column.dtype
    return made[len(X) :, 0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64"])
def test_whole_numbers_with_noise_end_at_the_edge_of_their_range(dtype):
    info = np.iinfo(dtype)
    column = np.repeat(np.array([info.min, info.max], dtype=dtype), 50)
    made = moved(column, 0.5)
    # Half of the copies would leave the range: they are at its ends, and none wraps round.
    for end in (info.min, info.max):
        assert 0.15 < (made == end).mean() < 0.35
    assert ((made != info.min) & (made != info.max)).any()


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
