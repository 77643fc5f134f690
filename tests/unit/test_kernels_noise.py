"""The smoothed bootstrap's kernel: the bandwidth of the paper, and normal draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from dsmote.execute import Draws
from dsmote.kernels import bandwidth, normal
from dsmote.samplers import RandomOverSampler


@given(n=st.integers(1, 10**9), d=st.integers(1, 2_000))
def test_the_bandwidth_is_that_of_the_paper(n, d):
    h = bandwidth(n, d)
    # Menardi and Torelli, section 2: h^(d + 4) = 4 / ((d + 2) n)
    assert np.log(h) * (d + 4) == pytest.approx(np.log(4) - np.log(d + 2) - np.log(n), abs=1e-6)


@pytest.mark.parametrize("d", [1, 4, 30])
def test_the_bandwidth_falls_with_the_rows(d):
    found = [bandwidth(n, d) for n in (2, 10, 1_000, 10**6)]
    assert found == sorted(found, reverse=True)
    assert 0 < found[-1] < found[0]


@given(u=st.floats(2.0**-53, 1 - 2.0**-53))
def test_draws_become_normal_by_the_inverse_of_the_distribution(u):
    found = normal(np.array([u]))
    assert found.dtype == np.float64
    assert norm.cdf(found[0]) == pytest.approx(u, rel=1e-9)


def test_normal_draws_are_symmetric_and_in_order():
    u = np.linspace(2.0**-40, 0.5, 101)
    np.testing.assert_allclose(normal(u), -normal(1 - u), rtol=1e-9, atol=1e-12)
    assert (np.diff(normal(u)) > 0).all()


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
