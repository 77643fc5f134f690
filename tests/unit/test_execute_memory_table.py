"""Tables in memory: the kinds that go in come out."""

import datetime

import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTEN, SMOTENC
from tests.tables import numbers

TABLE = numbers(60, 20)
X, Y = TABLE.drop(columns="y"), TABLE["y"]
BARE = X.to_numpy()


def fit(X, y, **how):
    return SMOTE(random_state=0, **how).fit_resample(X, y)


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (Y, pd.Series),
        (Y.to_frame(), pd.DataFrame),
        (Y.to_numpy(), np.ndarray),
        (Y.tolist(), list),
        (Y.to_numpy().reshape(-1, 1), np.ndarray),
        (Y.to_numpy().reshape(-1, 1).tolist(), list),
        (np.stack([Y == 0, Y == 1], axis=1).astype(int).tolist(), list),
        (Y.map({0: "no", 1: "yes"}).to_numpy(dtype="U3"), np.ndarray),
        (Y.map({0: "no", 1: "yes"}).to_numpy(dtype="U3").reshape(-1, 1), np.ndarray),
        (Y.map({0: "no", 1: "yes"}).tolist(), list),
    ],
    ids=[
        "series",
        "frame",
        "array",
        "list",
        "column",
        "list of rows",
        "one-hot list",
        "text array",
        "text column",
        "text list",
    ],
)
def test_targets(y, kind):
    X_res, y_res = fit(BARE, y)
    assert type(y_res) is kind
    assert len(y_res) == len(X_res) == 80
    assert np.shape(y_res)[1:] == np.shape(y)[1:]
    if kind is not list:
        assert y_res.ndim == y.ndim
    if kind is np.ndarray:
        assert y_res.dtype == y.dtype
    if kind is pd.DataFrame:
        assert list(y_res.columns) == ["y"]


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_targets_that_are_one_hot(kind):
    hot = np.stack([label == Y for label in (0, 1)], axis=1).astype("int8")
    _, y_res = fit(BARE, kind(hot))
    assert type(y_res) is type(kind(hot))
    np.testing.assert_array_equal(np.asarray(y_res).sum(axis=0), [40, 40])
    np.testing.assert_array_equal(np.asarray(y_res)[:60], hot)


def test_the_index_of_the_target_is_not_looked_at():
    shuffled = Y.set_axis(np.arange(60)[::-1])
    np.testing.assert_array_equal(fit(X, shuffled)[0], fit(X, Y)[0])


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_layout(order):
    array = np.array(BARE, order=order)
    X_res, _ = fit(array[::1], Y)
    np.testing.assert_array_equal(X_res, fit(BARE, Y)[0])


def test_arrays_of_objects_that_are_numbers():
    X_res, _ = fit(BARE.astype(object), Y)
    assert X_res.dtype == object
    np.testing.assert_array_equal(X_res.astype(float), fit(BARE, Y)[0])


def test_columns_of_arrays_can_be_carried():
    X_res, _ = fit(BARE, Y, carry=[0])
    assert np.isnan(X_res[60:, 0]).all()
    np.testing.assert_array_equal(X_res[60:, 1:], fit(BARE[:, 1:], Y)[0][60:])
    with pytest.raises(ValueError, match="cannot be carried in an array of int64"):
        fit(np.arange(120).reshape(60, 2), Y, carry=[0])


def test_the_nominal_columns_of_an_array_are_named():
    mixed = BARE.astype(object)
    mixed[:, 1] = np.where(BARE[:, 1] > 0, "up", "down")
    X_res, _ = SMOTENC(categorical_features=[1], random_state=0).fit_resample(mixed, Y)
    assert set(X_res[:, 1]) == {"up", "down"}
    mask = np.array([False, True, False])
    other, _ = SMOTENC(categorical_features=mask, random_state=0).fit_resample(mixed, Y)
    np.testing.assert_array_equal(other, X_res)


def test_results_share_no_memory_with_the_input():
    X_res, y_res = fit(BARE, Y.to_numpy())
    assert not np.shares_memory(X_res, BARE)
    frame_res, _ = fit(X, Y)
    frame_res.iloc[0, 0] = 99.0
    assert X.iloc[0, 0] != 99.0
    assert y_res.flags.writeable
    assert X_res.flags.writeable


def test_levels_of_an_object_array_stay_the_objects_that_they_are():
    days = np.array([datetime.datetime(2020, 1, day) for day in (1, 2, 3)], dtype=object)
    X = days[np.random.default_rng(0).integers(0, 3, (60, 2))]
    X_res, _ = SMOTEN(random_state=0).fit_resample(X, np.repeat([0, 1], [45, 15]))
    assert {type(value) for value in X_res.ravel()} == {datetime.datetime}
