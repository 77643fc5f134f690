"""Decimals and object columns of numbers are numeric features, in every container."""

from decimal import Decimal
from functools import partial

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dsmote import SMOTE, SMOTENC, RandomOverSampler
from dsmote.samplers.registry import samplers
from tests.tables import dask_frame

N = 120
Y = (np.arange(N) % 5 == 0).astype(int)
CENTS = np.random.default_rng(1).integers(-9999, 9999, N)
NUMERIC = sorted(
    name
    for name, kind in samplers().items()
    if name not in ("smoten", "smotenc")
    and (name == "random-under" or kind._sampling_type == "over-sampling")
)
DTYPES = [object, pd.ArrowDtype(pa.decimal128(12, 2)), pd.ArrowDtype(pa.decimal256(50, 2))]


pytestmark = pytest.mark.usefixtures("objects_stay_objects")


def amounts(unit=1, dtype=object):
    return pd.Series([Decimal(int(c) * unit).scaleb(-2) for c in CENTS], dtype=dtype)


def table(dtype=object):
    x = np.random.default_rng(0).normal(size=N) + Y
    return pd.DataFrame({"x": x, "amount": amounts(dtype=dtype), "y": Y})


def check_amounts(out, given, exact=None):
    assert out.dtype == given.dtype
    assert out.iloc[:N].tolist() == given.tolist()
    new = out.iloc[N:]
    assert all(isinstance(v, Decimal) and v.as_tuple().exponent == -2 for v in new)
    if exact is not None:
        assert np.abs(new.astype(float).to_numpy() - exact).max() <= 0.005001


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, DTYPES[1]) for name in (*NUMERIC, "smotenc")),
        *((name, dtype) for name in ("smote", "smotenc") for dtype in DTYPES[::2]),
    ],
    ids=str,
)
def test_decimals_are_what_floats_are_rounded_to_the_scale(name, dtype):
    """Without a pass the scale is not known before the rows are taken out, but then it is."""
    sampler = samplers()[name]
    if name == "kmeans":
        sampler = partial(sampler, cluster_balance_threshold=0.1)
    X = table(dtype)[["x", "amount"]]
    if name == "smotenc":
        X["c"] = pd.Categorical(["u", "v"] * (N // 2))
    made, _ = sampler(random_state=0).fit_resample(X, Y)
    if len(made) < N:  # an under-sampler
        assert made["amount"].dtype == X["amount"].dtype
        assert made["amount"].isin(X["amount"].tolist()).all()
        return
    floats, _ = sampler(random_state=0).fit_resample(X.astype({"amount": float}), Y)
    check_amounts(made["amount"], X["amount"], floats["amount"].to_numpy()[N:])
    counts = {"class_counts": {0: N - int(Y.sum()), 1: int(Y.sum())}}
    for given, how in ((lazily(X), {}), ((X, Y), counts), (lazily(X), counts)):
        again, _ = sampler(random_state=0).fit_resample(*given, **how)
        again = again.compute() if hasattr(again, "compute") else again
        assert again["amount"].dtype == X["amount"].dtype
        assert again["amount"].tolist() == made["amount"].tolist()


@pytest.mark.parametrize("unit", [1, 10**12])
@pytest.mark.parametrize("npartitions", [None, 1, 4])
def test_decimals_beyond_float64_are_exact(unit, npartitions):
    # Copies show it: a value that went through float64 would not be one of the originals.
    X = table(pd.ArrowDtype(pa.decimal128(18, 2)))[["x"]]
    X["amount"] = amounts(unit, pd.ArrowDtype(pa.decimal128(18, 2)))
    X.loc[:, "amount"] += Decimal("0.07")
    few = {"sampling_strategy": {1: N}, "k_neighbors": 50, "on_small_class": "copy"}
    y = pd.Series(Y)
    given = X
    if npartitions:
        given, y = (dd.from_pandas(v, npartitions=npartitions) for v in (X, y))
    made, _ = SMOTE(random_state=0, **few).fit_resample(given, y)
    made = made.compute() if npartitions else made
    assert len(made) > N
    assert set(made["amount"]) == set(X["amount"])
    smooth, _ = RandomOverSampler(random_state=0, shrinkage=1e-3).fit_resample(X, Y)
    near = np.abs(smooth["amount"].astype(float).to_numpy()[N:])
    assert near.max() < 1.1 * X["amount"].astype(float).abs().max()


def lazily(X):
    lengths = [0, 50, 70]  # an empty partition tells nothing
    return dask_frame(X, lengths), dask_frame(pd.Series(Y), lengths)


def containers(X):
    frame = pd.DataFrame(X)
    return {
        "array": (X, Y),
        "dask array": (da.from_array(X, chunks=(50, -1)), da.from_array(Y, chunks=50)),
        "frame": (frame, Y),
        "dask frame": lazily(frame),
    }


KINDS = pytest.mark.parametrize("kind", ["array", "dask array", "frame", "dask frame"])


@KINDS
@pytest.mark.parametrize("values", ["floats", "integers", "mixed"])
def test_object_columns_of_numbers_are_taken(kind, values):
    X = np.random.default_rng(0).normal(size=(N, 3))
    if values != "floats":
        X[:, 0] = np.rint(X[:, 0] * 10)
    objects = X.astype(object)
    if values != "floats":
        objects[:, 0] = [int(v) for v in X[:, 0]]
    if values == "mixed":
        objects[::2, 1] = [np.float32(v) for v in X[::2, 1]]
        X = objects.astype(float)
    given, y = containers(objects)[kind]
    made, _ = SMOTE(random_state=0).fit_resample(given, y)
    made = made.compute() if hasattr(made, "compute") else made
    expected, _ = SMOTE(random_state=0).fit_resample(X, Y)
    assert set(pd.DataFrame(made).dtypes) == {np.dtype("O")}
    np.testing.assert_array_equal(np.asarray(made).astype(float), expected)


@KINDS
@pytest.mark.parametrize("counts", [None, {0: N - int(Y.sum()), 1: int(Y.sum())}])
def test_object_columns_of_numbers_are_no_categories(kind, counts):
    X = table().drop(columns="y").assign(c=np.array(["a", "b"] * (N // 2), object)).astype(object)
    X.iloc[:50, 0] = None  # a partition that tells nothing
    sampler = SMOTENC(random_state=0, missing="skip")
    expected, _ = sampler.fit_resample(X, Y)
    assert sampler.categorical_features_.tolist() == [2]
    given = containers(X.to_numpy())[kind]
    made, _ = sampler.fit_resample(*given, class_counts=counts)
    assert sampler.categorical_features_.tolist() == [2]
    assert ("object columns" in sampler.plan_.passes[0]) == kind.startswith("dask")
    made = pd.DataFrame(made.compute() if hasattr(made, "compute") else made)
    assert made.iloc[N:].to_numpy().tolist() == expected.iloc[N:].to_numpy().tolist()
