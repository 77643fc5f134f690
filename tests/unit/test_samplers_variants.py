"""The formulas of the samplers that imbalanced-learn lacks, from what provenance says."""

import numpy as np
import pandas as pd
import pytest

from dsmote import PolynomFitSMOTE, SafeLevelSMOTE
from tests.tables import naive_neighbours

RNG = np.random.default_rng(1)
X = np.r_[RNG.normal(size=(160, 2)), RNG.normal(1, 1, size=(40, 2))]
Y = np.repeat([0, 1], [160, 40])


def made(sampler, **given):
    found = sampler.fit_resample(X, Y, **given)
    new = sampler.provenance_[len(X) :]
    return found[0][len(X) :], new["base_row"].to_numpy(dtype=int), new, found


def test_safe_levels_say_where_on_the_segment():
    rows, base, new, _ = made(SafeLevelSMOTE(random_state=0, provenance="full"))
    levels = (Y[naive_neighbours(X, 5)[1]] == Y[:, None]).sum(axis=1)
    near, gap = new["neighbour_row"].to_numpy(dtype=int), new["gap"].to_numpy()
    ratio = levels[base] / np.maximum(levels[near], 1)
    assert levels[base].min() == 1
    assert set(base) == set(np.flatnonzero((Y == 1) & (levels > 0)))
    assert (levels[near] == 0).any()
    assert (gap[levels[near] == 0] == 0).all()  # copies of the base row
    above, below = (ratio > 1) & (levels[near] > 0), ratio < 1
    assert (gap[above] < 1 / ratio[above]).all()
    assert (gap[below] > 1 - ratio[below]).all()
    for which, share in ((above, gap * ratio), (below, (1 - gap) / ratio), (ratio == 1, gap)):
        assert which.sum() > 10
        assert share[which].mean() == pytest.approx(0.5, abs=0.15)
    np.testing.assert_allclose(rows, X[base] + gap[:, None] * (X[near] - X[base]), atol=1e-12)


def test_safe_levels_that_are_all_zero():
    far = X[Y == 0][:80].copy()
    alone = np.arange(80) % 20 == 0  # each among twenty of the other class
    far[alone] = far[np.flatnonzero(alone) + 1] + 1e-9
    far += np.repeat(np.arange(4), 20)[:, None] * 1000
    with pytest.raises(ValueError, match="class 1 has no row with another of the class among"):
        SafeLevelSMOTE(k_neighbors=3).fit_resample(far, alone.astype(int))


@pytest.mark.parametrize("grouped", [False, True])
def test_polynom_fit_goes_to_the_mean_in_even_steps(grouped):
    groups, weights = np.arange(len(X)) % 2, np.arange(len(X)) / 10
    given = {"groups": groups, "sample_weight": weights} if grouped else {}
    wanted = {1: 40 + 90}  # 2.25 for each row: the first ten get 3, the others 2
    star = PolynomFitSMOTE(sampling_strategy=wanted, provenance="full")
    rows, base, new, found = made(star, **given)
    assert np.bincount(base)[160:].tolist() == [3] * 10 + [2] * 30
    steps = [j / (q + 1) for q in [3] * 10 + [2] * 30 for j in range(1, q + 1)]
    np.testing.assert_allclose(new["gap"], steps)
    assert new["neighbour_row"].isna().all()
    inside = [(Y == 1) & (groups == groups[b]) if grouped else Y == 1 for b in base]
    means = np.array([X[one].mean(axis=0) for one in inside])
    np.testing.assert_allclose(rows, X[base] + new["gap"].to_numpy()[:, None] * (means - X[base]))
    if grouped:
        mean = np.array([weights[one].mean() for one in inside])
        expected = weights[base] + steps * (mean - weights[base])
        np.testing.assert_allclose(found[2][len(X) :], expected)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "datetime64[ns]"])
def test_polynom_fit_stays_among_values_that_float64_does_not_hold(dtype):
    values = (2**61 + np.array([14, 15, 17] * 20)).astype(dtype)
    X = pd.DataFrame({"a": np.linspace(0.0, 1.0, 60), "b": values})
    y = np.repeat([0, 1], [50, 10])
    made = PolynomFitSMOTE().fit_resample(X, y)[0]["b"].iloc[60:]
    assert made.dtype == values.dtype
    assert made.between(values[50:].min(), values[50:].max()).all()
