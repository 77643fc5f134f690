"""The over-samplers that imbalanced-learn lacks, against their papers' formulas written anew.

Base rows and neighbours are those of provenance, draws those of the plan's seed: new rows then
follow, to rounding.
"""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.neighbors import NearestNeighbors

from dsmote import ADOMS, GSMOTE, MDO, MGS, DistanceSMOTE, GeometricSMOTE, RandomSMOTE
from dsmote.execute import Draws

N, FEW, D = 400, 80, 4
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def table():
    """Two classes that overlap, in columns of different width; no two rows are equal."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], [N - FEW, FEW]))
    X = (rng.normal(size=(N, D)) + 1.2 * y[:, None]) * [1.0, 3.0, 0.5, 2.0]
    X[:, 1] += 0.8 * X[:, 0]
    return X, y


def made_by(sampler, X, y, new=2_000, **given):
    """Return new rows, base rows, neighbours (-1: none), gaps, and the draws of these rows."""
    sampler = sampler.set_params(
        sampling_strategy={1: (y == 1).sum() + new}, random_state=3, provenance="full"
    )
    rows = sampler.fit_resample(X, y, **given)[0][len(X) :]
    came = sampler.provenance_[len(X) :]
    base, near = (came[c].fillna(-1).to_numpy(int) for c in ("base_row", "neighbour_row"))
    assert (y[base] == 1).all()
    draws = Draws(sampler.plan_.seed, 1, 0, new)
    return rows, base, near, came["gap"].to_numpy(), draws


def around(X, base, among, k):
    """Return the k nearest of each base row, itself left out, among some rows."""
    ids = np.flatnonzero(among)
    found = ids[NearestNeighbors(n_neighbors=k + 1).fit(X[ids]).kneighbors(X[base])[1]]
    own = found == base[:, None]
    own[~own.any(axis=1), -1] = True  # not among them
    return found[~own].reshape(len(base), k)


def normals(draws, n):
    return np.column_stack([norm.ppf(draws.noise(j)) for j in range(n)])


SCALED = pytest.mark.parametrize("scale", [None, "standard"])


@SCALED
def test_adoms_goes_along_the_axis_of_each_neighbourhood(scale):
    X, y = table()
    unit = X.std(axis=0) if scale else np.ones(D)
    rows, base, near, gap, draws = made_by(ADOMS(scale=scale), X, y)
    Z = X / unit
    found = around(Z, base, y == 1, 5)
    np.testing.assert_array_equal(near, found[np.arange(len(base)), draws.rank(5)])
    np.testing.assert_array_equal(gap, draws.gap())
    for i, b in enumerate(base):
        own = Z[[b, *found[i]]]
        axis = np.linalg.svd(own - own.mean(axis=0))[2][0]
        way = Z[near[i]] - Z[b]
        step = gap[i] * np.linalg.norm(way) * axis * np.sign(axis @ way)
        np.testing.assert_allclose(rows[i], (Z[b] + step) * unit, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("k", [1, 5])
def test_distance_smote_goes_toward_the_mean_of_the_neighbours(k):
    X, y = table()
    rows, base, near, gap, draws = made_by(DistanceSMOTE(k_neighbors=k), X, y)
    assert (near == -1).all()
    np.testing.assert_array_equal(gap, draws.gap())
    mean = X[around(X, base, y == 1, k)].mean(axis=1)
    np.testing.assert_allclose(rows, X[base] + gap[:, None] * (mean - X[base]), **EXACT)


@SCALED
@pytest.mark.parametrize(("truncation", "deformation"), [(1, 0), (-1, 0.3), (0.4, 0.7), (0, 1)])
@pytest.mark.parametrize("strategy", ["combined", "majority", "minority"])
def test_geometric_smote_draws_from_the_ball_that_is_cut_and_flattened(
    strategy, truncation, deformation, scale
):
    X, y = table()
    unit = X.std(axis=0) if scale else np.ones(D)
    how = {"truncation_factor": truncation, "deformation_factor": deformation, "scale": scale}
    sampler = GeometricSMOTE(selection_strategy=strategy, **how)
    rows, base, near, gap, draws = made_by(sampler, X, y)
    Z = X / unit
    own = around(Z, base, y == 1, 5)[np.arange(len(base)), draws.rank(5)]
    other = around(Z, base, y == 0, 1)[:, 0]
    to = {"minority": own, "majority": other}.get(strategy)
    if to is None:
        far = [np.linalg.norm(Z[of] - Z[base], axis=1) for of in (own, other)]
        to = np.where(far[1] < far[0], other, own)
        assert 100 < (to == own).sum() < len(to) - 100
    np.testing.assert_array_equal(near, to)
    e = normals(draws, D)
    e *= (draws.gap() ** (1 / D) / np.linalg.norm(e, axis=1))[:, None]
    for i, b in enumerate(base):
        surface = Z[to[i]] - Z[b]
        radius = np.linalg.norm(surface)
        v, of = surface / radius, e[i]
        if (truncation > 0 and of @ v < truncation - 1) or (
            truncation < 0 and of @ v > truncation + 1
        ):
            of = of - 2 * (of @ v) * v
        along = (of @ v) * v
        of = along + (1 - deformation) * (of - along)
        np.testing.assert_allclose(rows[i], (Z[b] + radius * of) * unit, **EXACT)
        assert gap[i] == pytest.approx(np.linalg.norm(of))


@pytest.mark.parametrize("strategy", ["combined", "majority", "minority"])
def test_geometric_smote_of_the_line_lies_on_segments(strategy):
    X, y = table()
    how = {"truncation_factor": 1.0, "deformation_factor": 1.0, "selection_strategy": strategy}
    rows, base, near, gap, _ = made_by(GeometricSMOTE(**how), X, y)
    assert gap.min() >= 0
    assert gap.max() <= 1
    np.testing.assert_allclose(rows, X[base] + gap[:, None] * (X[near] - X[base]), **EXACT)


def test_geometric_smote_where_a_group_has_no_other_class():
    """It goes toward its own class, whatever it was to go to; and never leaves the group."""
    X, y = table()
    groups = np.where(y == 1, np.arange(N) % 2, 0)  # group 1 is of the rare class only
    for strategy in ("combined", "majority"):
        found = made_by(GeometricSMOTE(selection_strategy=strategy), X, y, groups=groups)
        base, near = found[1:3]
        np.testing.assert_array_equal(groups[near], groups[base])
        assert (y[near[groups[base] == 1]] == 1).all()
        assert (y[near[groups[base] == 0]] == 0).mean() > 0.2


@SCALED
def test_gsmote_goes_toward_the_neighbour_that_is_aligned_with_the_class(scale):
    X, y = table()
    Z = X / X.std(axis=0) if scale else X
    rows, base, near, gap, draws = made_by(GSMOTE(scale=scale), X, y)
    assert np.isnan(gap).all()
    own = Z[y == 1]
    axis = np.linalg.svd(own - own.mean(axis=0))[2][0]
    found = around(Z, base, y == 1, 5)
    way = Z[found] - Z[base][:, None]
    best = np.abs(way @ axis / np.linalg.norm(way, axis=2)).argmax(axis=1)
    np.testing.assert_array_equal(near, found[np.arange(len(base)), best])
    share = np.column_stack([draws.noise(j) for j in range(D)])
    np.testing.assert_allclose(rows, X[base] + share * (X[near] - X[base]), **EXACT)


@SCALED
def test_mdo_turns_rows_around_the_mean_of_the_class(scale):
    X, y = table()
    Z = X / X.std(axis=0) if scale else X
    sampler = MDO(scale=scale)
    rows, base, _, _, draws = made_by(sampler, X, y)
    rows = rows / X.std(axis=0) if scale else rows
    own = (y[around(Z, np.arange(N), y >= 0, 5)] == y[:, None]).sum(axis=1)
    weights = np.where((y == 1) & (own >= 3), own, 0)
    exact = weights / weights.sum() * len(base)
    assert np.abs(np.bincount(base, minlength=N) - exact).max() < 1
    assert sampler.neighbors_report_[1]["bases"] == (weights > 0).sum()
    mean, cov = Z[y == 1].mean(axis=0), np.cov(Z[y == 1].T, bias=True)
    variances, axes = np.linalg.eigh(cov)
    before, after = (np.abs((of - mean) @ axes[:, ::-1]) for of in (Z[base], rows))
    variances = variances[::-1]
    far = np.sqrt((before**2 / variances).sum(axis=1))
    drawn = np.abs(normals(draws, D))  # an axis may point either way
    drawn /= np.linalg.norm(drawn, axis=1)[:, None]
    np.testing.assert_allclose(after, far[:, None] * drawn * np.sqrt(variances), **EXACT)


@pytest.mark.parametrize(("k", "spread"), [(None, 1.0), (3, 0.5), (8, 2.0)])
def test_mgs_draws_from_the_normal_distribution_of_each_neighbourhood(k, spread):
    X, y = table()
    rows, base, near, gap, draws = made_by(MGS(k_neighbors=k, spread=spread), X, y)
    assert (near == -1).all()
    assert np.isnan(gap).all()
    k = D if k is None else k  # as many as there are columns
    group = np.column_stack([base, around(X, base, y == 1, k)])
    mean, g = X[group].mean(axis=1), normals(draws, k + 1)
    away = X[group] - mean[:, None]
    expected = mean + np.sqrt(spread / (k + 1)) * (g[:, :, None] * away).sum(axis=1)
    np.testing.assert_allclose(rows, expected, **EXACT)


def test_mgs_has_mean_and_covariance_of_the_neighbourhood():
    """All rows are neighbours of each other here."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, D)) @ rng.normal(size=(D, D))
    y = np.repeat([0, 1], [48, 12])
    rows = made_by(MGS(k_neighbors=11, spread=0.5), X, y, new=100_000)[0]
    own = X[y == 1]
    cov = np.cov(own.T, bias=True)
    root = np.linalg.inv(np.linalg.cholesky(cov))
    found = (rows - own.mean(axis=0)) @ root.T
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(found.T), 0.5 * np.eye(D), atol=0.02)


@pytest.mark.parametrize("grouped", [False, True])
def test_random_smote_draws_from_the_triangle_of_three_rows(grouped):
    X, y = table()
    groups = np.arange(N) % 3
    given = {"groups": groups} if grouped else {}
    rows, base, near, gap, draws = made_by(RandomSMOTE(), X, y, **given)
    assert (near == -1).all()
    np.testing.assert_array_equal(gap, draws.gap())
    ends = []
    for j in range(2):
        inside = [np.flatnonzero((y == 1) & (groups == groups[b])) for b in base]
        inside = inside if grouped else [np.flatnonzero(y == 1)] * len(base)
        place = draws.noise(j)
        ends.append([of[int(u * len(of))] for of, u in zip(inside, place, strict=True)])
    a, b = X[ends[0]], X[ends[1]]
    assert len(set(ends[0])) == len(set(ends[1])) == FEW
    t = a + draws.noise(2)[:, None] * (b - a)
    np.testing.assert_allclose(rows, X[base] + gap[:, None] * (t - X[base]), **EXACT)
