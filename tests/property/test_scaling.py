"""scale= and n_components=: neighbours in another space, rows in the original units."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from dsmote import SMOTE, SMOTENC
from dsmote.neighbors import TreeIndex

THEIRS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def table(n=300, minority=60, seed=0, columns=4):
    """Columns of unlike scale; the target is 1 in the last `minority` rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns)) * 10.0 ** np.arange(-2, columns - 2) + 5.0
    return X, np.repeat([0, 1], [n - minority, minority])


@pytest.mark.parametrize("scale", THEIRS)
@pytest.mark.parametrize("sampler", [SMOTE, SMOTENC])
def test_as_scaling_first_and_scaling_back(scale, sampler):
    X, y = table()
    scaler = THEIRS[scale]().fit(X)
    if sampler is SMOTE:
        ours = SMOTE(random_state=0, scale=scale).fit_resample(X, y)[0]
        theirs = SMOTE(random_state=0).fit_resample(scaler.transform(X), y)[0]
    else:
        names = pd.Series(np.random.default_rng(1).choice(list("abc"), len(X)), name="c")
        how = {"random_state": 0, "categorical_features": ["c"]}
        frame = pd.concat([pd.DataFrame(X, columns=list("pqrs")), names], axis=1)
        scaled = frame.copy()
        scaled[list("pqrs")] = scaler.transform(X)
        ours = SMOTENC(scale=scale, **how).fit_resample(frame, y)[0]
        theirs = SMOTENC(**how).fit_resample(scaled, y)[0]
        assert (ours["c"] == theirs["c"]).all()
        ours, theirs = ours[list("pqrs")].to_numpy(), theirs[list("pqrs")].to_numpy()
    np.testing.assert_array_equal(ours[: len(X)], X)
    np.testing.assert_allclose(ours, scaler.inverse_transform(theirs), rtol=1e-9, atol=1e-9)
    plain = SMOTE(random_state=0).fit_resample(X, y)[0]
    assert not np.array_equal(ours[len(X) :], plain[len(X) :])


@pytest.mark.parametrize("how", [{"scale": name} for name in THEIRS] + [{"n_components": 2}])
@given(cuts=st.lists(st.integers(1, 299), max_size=5, unique=True))
def test_any_partitioning_gives_the_same_rows(how, cuts):
    X, y = table()
    expected = SMOTE(random_state=0, **how).fit_resample(X, y)
    ends = np.diff([0, *sorted(cuts), 300])
    made = SMOTE(random_state=0, **how).fit_resample(
        da.from_array(X, chunks=(tuple(ends), 4)), da.from_array(y, chunks=(tuple(ends),))
    )
    np.testing.assert_array_equal(made[0].compute(scheduler="sync"), expected[0])
    np.testing.assert_array_equal(made[1].compute(scheduler="sync"), expected[1])


@pytest.mark.parametrize("sampler", [SMOTE, SMOTENC])
def test_components_are_approximate_and_say_so(sampler):
    X, y = table(2000, 700)
    frame = pd.DataFrame(X, columns=list("pqrs"))
    if sampler is SMOTENC:
        frame["c"] = np.random.default_rng(1).choice(list("abc"), len(X))
    reports = {}
    for n in (1, 3, 4, 0.9):
        made = sampler(random_state=0, scale="standard", n_components=n)
        X_res, _ = made.fit_resample(frame, y)
        assert len(X_res) == 2600
        reports[n] = made.neighbors_report_[1]
        assert not reports[n]["exact"]
        assert "principal components" in reports[n]["engine"]
    assert reports[1]["recall"] < reports[3]["recall"] < reports[4]["recall"] == 1.0
    assert "in 4 of 4" in reports[0.9]["engine"]


def test_components_hold_the_share_of_variance_that_was_asked_for():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 12)) + 1e-4 * rng.normal(size=(400, 12))
    y = np.repeat([0, 1], [250, 150])
    sampler = SMOTE(random_state=0, n_components=0.999).fit(X, y)
    assert "principal components" in str(sampler.plan_)
    sampler.fit_resample(X, y)
    assert "in 2 of 12 principal components" in sampler.neighbors_report_[1]["engine"]
    assert sampler.neighbors_report_[1]["recall"] > 0.95


def test_scaling_with_an_engine_of_ones_own():
    X, y = table()
    ours = SMOTE(random_state=0, scale="minmax", neighbors=TreeIndex()).fit_resample(X, y)[0]
    np.testing.assert_array_equal(
        ours, SMOTE(random_state=0, scale="minmax", neighbors="brute").fit_resample(X, y)[0]
    )


def test_what_cannot_be_is_refused():
    X, y = table()
    chunked = da.from_array(X, chunks=(100, 4)), da.from_array(y, chunks=(100,))
    with pytest.raises(ValueError, match=r"scale='robust' needs .* leave class_counts out"):
        SMOTE(scale="robust").fit_resample(*chunked, class_counts={0: 240, 1: 60})
    with pytest.raises(ValueError, match="n_components=5, but there are 4 numeric"):
        SMOTE(n_components=5).fit_resample(X, y)
    for how in ({"scale": "log"}, {"n_components": 0}, {"n_components": 1.5}):
        with pytest.raises(ValueError, match=next(iter(how))):
            SMOTE(**how).fit_resample(X, y)
