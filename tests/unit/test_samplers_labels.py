"""Labels and column names of any kind, in every container."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC, RandomOverSampler, RandomUnderSampler
from tests.tables import compute_pair, dask_array, dask_frame, numbers

N = 60
LABELS = {
    "tuples": [("a", 1), ("b", 2)],
    "tuples of two lengths": [("a",), ("b", 2)],
    "a number and its text": [1, "1"],
    "bytes and text": [b"1", "1"],
    "large wholes and a float": [2**53 + 1, 2.0],
    "missing inside": [("a", None), ("a", 1)],
}


@pytest.fixture(autouse=True)
def _synchronous_and_as_given():
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        yield


def labels(kind: str) -> list[Any]:
    most, few = LABELS[kind]
    return [few if i % 4 == 0 else most for i in range(N)]


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), RandomUnderSampler(random_state=0)])
def test_labels_stay_what_they_are(kind, sampler):
    X, y = numbers(N).drop(columns="y"), labels(kind)
    array = np.fromiter(y, dtype=object, count=N)
    expected = sampler.fit_resample(X, pd.Series(array))[1].tolist()
    values = X.to_numpy()
    for given in (
        (values, y),
        (values, tuple(y)),
        (values, array),
        (values.tolist(), y),
        (dask_array(values, [20, 40]), dask_array(array, [20, 40])),
        (dask_frame(X, [20, 40]), dask_array(array, [20, 40])),
    ):
        made = sampler.fit_resample(*given)
        made = compute_pair(*made) if hasattr(made[0], "compute") else made
        assert [*map(repr, made[1])] == [*map(repr, expected)]


def test_lists_of_rows_of_different_lengths_are_named():
    X = np.arange(8.0).reshape(-1, 2)
    with pytest.raises(ValueError, match="X is a list whose rows differ in length"):
        SMOTE().fit_resample([[1, 2], [3]], [0, 1])
    with pytest.raises(ValueError, match="y is a list whose rows differ in length"):
        SMOTE().fit_resample(X, [[0], [0, 1], [1], [1]])


NAMES = [np.nan, None, True, 0, ("a", 1)]


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("role", ["target", "carried", "numeric", "nominal"])
@pytest.mark.parametrize("lazy", [False, True])
def test_columns_of_any_name(name, role, lazy):
    frame = numbers(N, 12).assign(d=["u", "v"] * (N // 2))
    if role == "nominal" and name in (True, 0):
        return  # which is a mask, or a position
    place = {"target": 3, "carried": 2, "numeric": 0, "nominal": 4}[role]
    plain = list(frame.columns)
    names = [name if i == place else f"x{i}" for i in range(5)]
    renamed = frame.set_axis(pd.Index(names, dtype=object, tupleize_cols=False), axis=1)
    given = dask_frame(renamed, [25, 35]) if lazy else renamed
    for sampler in (
        SMOTENC([plain[4]], random_state=0, carry=[plain[2]], provenance="full"),
        RandomOverSampler(random_state=0),
        RandomUnderSampler(random_state=0),
    ):
        expected = sampler.resample(frame, target="y")
        if isinstance(sampler, SMOTENC):
            # A name from elsewhere: NaN is not the same object.
            same = float("nan") if name is np.nan else name
            mine = [same if i == place else f"x{i}" for i in range(5)]
            sampler.set_params(categorical_features=[mine[4]] if role == "nominal" else [names[4]])
            sampler.set_params(carry=[mine[2]])
        target = float("nan") if names[3] is np.nan else names[3]
        made = sampler.resample(given, target=target)
        made = made.compute() if lazy else made
        assert repr(list(made.columns)[:5]) == repr(names)
        for i in range(expected.shape[1]):
            assert made.iloc[:, i].isna().tolist() == expected.iloc[:, i].isna().tolist()
            assert made.iloc[:, i].dropna().tolist() == expected.iloc[:, i].dropna().tolist()


@pytest.mark.parametrize("sampler", [SMOTE(), RandomUnderSampler()])
def test_names_that_occur_twice_in_dask_frames(sampler):
    frame = numbers(N).set_axis(["a", "a", "b", "y"], axis=1)
    with pytest.raises(ValueError, match="unique, but 'a' appears more than once; rename"):
        sampler.resample(dask_frame(frame, [20, 40]), target="y")


def test_object_arrays_of_bools_are_numbers():
    X = np.array([[True, 1.5], [False, 2.5]] * (N // 2), dtype=object)
    y = np.array([0, 0, 0, 1, 0] * (N // 5))
    expected, _ = SMOTE(random_state=0).fit_resample(X, y)
    chunks = da.from_array(X, chunks=(20, -1)), da.from_array(y, chunks=20)
    found, _ = SMOTE(random_state=0).fit_resample(*chunks)
    assert found.compute().tolist() == expected.tolist()
