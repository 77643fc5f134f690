"""Scaling from merged parts: as scikit-learn's scalers, and the same bits for any partitioning."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from dsmote.plan.profile import SCALES, look_at, merge_moments, scaling_of

THEIRS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def merged(values, cuts, kind):
    """Look at parts of a column and merge them from the right."""
    result = ()
    for part in reversed(np.split(values, cuts)):
        result = merge_moments((look_at(part, kind),), result)
    return scaling_of(result)


@pytest.mark.parametrize("kind", SCALES)
@pytest.mark.parametrize("name", ["plain", "offset", "tiny", "heavy", "few values", "constant"])
def test_as_scikit_learn_does(kind, name):
    rng = np.random.default_rng(0)
    column = {
        "plain": rng.normal(size=3000),
        "offset": 1e6 + 1e-2 * rng.normal(size=3000),
        "tiny": 1e-10 * rng.normal(size=3000),
        "heavy": rng.standard_cauchy(3000) ** 3,
        "few values": rng.integers(0, 5, 20_000).astype(float),
        "constant": np.full(50, 7.0),
    }[name]
    ours = scaling_of([look_at(column, kind)])
    scaler = THEIRS[kind]().fit(column[:, None])
    if kind == "robust":
        shift, spread = scaler.center_[0], scaler.scale_[0]
    elif kind == "standard":
        shift, spread = scaler.mean_[0], scaler.scale_[0]
    else:
        shift, spread = scaler.data_min_[0], (scaler.data_range_[0] or 1.0)
    np.testing.assert_allclose(ours.shift[0], shift, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(ours.spread[0], spread, rtol=1e-7)


@pytest.mark.parametrize("outlier", [0.0, 1e12])
def test_quartiles_of_many_values_are_off_by_less_than_a_cell(outlier):
    values = np.random.default_rng(1).normal(size=300_000)
    values[0] = outlier or values[0]
    sketch = look_at(values, "robust")
    assert len(sketch.cells) <= 4096
    assert sketch.counts.sum() == len(values)
    ours = scaling_of([sketch])
    low, middle, high = np.percentile(values, [25, 50, 75])
    assert abs(ours.shift[0] - middle) <= 2.0**sketch.level
    assert abs(ours.spread[0] - (high - low)) <= 2 * 2.0**sketch.level
    assert 2.0**sketch.level < 0.01


@pytest.mark.parametrize("kind", SCALES)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 300),
    shape=st.sampled_from(["normal", "offset", "huge", "tiny", "integers", "wild"]),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
@example(seed=4_294_967_295, n=36, shape="wild", cuts=[2])  # negative values that underflow
def test_partitions_do_not_change_a_bit(kind, seed, n, shape, cuts):
    rng = np.random.default_rng(seed)
    values = {
        "normal": lambda: rng.normal(size=n),
        "offset": lambda: 1e9 + rng.normal(size=n),
        "huge": lambda: 1e300 * rng.normal(size=n),
        "tiny": lambda: 1e-310 * rng.normal(size=n),
        "integers": lambda: rng.integers(-9, 9, n).astype(float),
        "wild": lambda: rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
    }[shape]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsmote.plan.profile._CELLS", 16)
        whole = merged(values, [], kind)
        assert merged(values, sorted(cuts), kind) == whole
        assert merged(rng.permutation(values), sorted(cuts), kind) == whole


def test_sums_are_exact():
    from fractions import Fraction

    rng = np.random.default_rng(2)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-290, 290, 500)
    column = look_at(values, "standard")
    assert Fraction(column.total, 2**2300) == sum(Fraction(v) for v in values)
    assert Fraction(column.squares, 2**2300) == sum(Fraction(v) ** 2 for v in values)


def test_values_that_are_not_finite_are_left_out():
    values = np.array([1.0, np.nan, 3.0, np.inf])
    for kind in SCALES:
        assert scaling_of([look_at(values, kind)]) == scaling_of(
            [look_at(np.array([1.0, 3.0]), kind)]
        )
        assert scaling_of([look_at(np.array([np.nan]), kind)]).spread == (1.0,)


@pytest.mark.parametrize("power", [-1000, -700, 0, 600, 1000])
def test_deviations_whose_squares_float64_cannot_hold(power):
    column = np.random.default_rng(5).normal(size=500)
    plain, other = (scaling_of([look_at(x, "standard")]) for x in (column, np.ldexp(column, power)))
    assert other.spread[0] == np.ldexp(plain.spread[0], power)
