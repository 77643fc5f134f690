"""Originals untouched: values, dtypes, names, labels and order, in every container."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC, SVMSMOTE, RandomOverSampler, RandomUnderSampler
from tests.samplers import family
from tests.tables import assert_same_bits, both_ways, compute_pair, dask_array, dask_frame, numbers

N, FEW = 60, 16
Y = pd.Series(np.random.default_rng(0).permutation(np.repeat([0, 1], [N - FEW, FEW])), name="label")
RNG = np.random.default_rng(7)
NORMAL = RNG.normal(size=N)
WHOLE = RNG.integers(0, 100, N)
BITS = WHOLE > 50
TEXT = np.array(["one", "two", "three"])[WHOLE % 3]
DAYS, SPANS = pd.Timestamp("2020-02-03") + pd.to_timedelta(WHOLE, "D"), pd.to_timedelta(WHOLE, "s")
ARRAYS = pd.arrays.SparseArray

NUMERIC = {
    **{
        kind: pd.array(WHOLE, dtype=kind)
        for kind in (
            *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
            *("Int8", "Int64", "UInt16", "int64[pyarrow]", "int16[pyarrow]"),
        )
    },
    **{
        kind: pd.array(NORMAL, dtype=kind)
        for kind in (
            *("float16", "float32", "float64", "Float32", "Float64"),
            *("double[pyarrow]", "float[pyarrow]"),
        )
    },
    **{kind: pd.array(BITS, dtype=kind) for kind in ("bool", "boolean", "bool[pyarrow]")},
    **{f"datetime64[{unit}]": DAYS.as_unit(unit) for unit in ("s", "ms", "us", "ns")},
    "datetime64[ns, Europe/Berlin]": DAYS.as_unit("ns").tz_localize("Europe/Berlin"),
    "datetime64[s, UTC]": DAYS.as_unit("s").tz_localize("UTC"),
    "timedelta64[ns]": SPANS.as_unit("ns"),
    "timedelta64[s]": SPANS.as_unit("s"),
    "Sparse[float64, 0]": ARRAYS(np.where(BITS, NORMAL, 0.0), fill_value=0.0),
    "Sparse[int64, 0]": ARRAYS(np.where(BITS, WHOLE, 0), fill_value=0),
    **{
        kind: pd.array(DAYS.as_unit("us"), dtype=kind)
        for kind in ("timestamp[us][pyarrow]", "timestamp[us, tz=Asia/Tokyo][pyarrow]")
    },
    **{
        f"{name}[pyarrow]": pd.array(
            pd.to_datetime("1969-12-01") + pd.to_timedelta(WHOLE, "D"),
            dtype="timestamp[ms][pyarrow]",
        ).astype(f"{name}[pyarrow]")
        for name in ("date32[day]", "date64[ms]")
    },
    "odd floats": np.where(BITS, -0.0, 5e-324),
    **{
        f"ends of {kind}": np.where(BITS, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
        for kind in ("int8", "uint8", "int64", "uint64")
    },
    "duration[s][pyarrow]": pd.array(SPANS.as_unit("s"), dtype="duration[s][pyarrow]"),
}
NOMINAL = {
    "category": pd.Categorical(TEXT, categories=["two", "one", "none", "three"]),
    "ordered category": pd.Categorical(TEXT, categories=["one", "two", "three"], ordered=True),
    "category of numbers": pd.Categorical(WHOLE % 4, categories=[3, 2, 1, 0]),
    **{
        kind: pd.Series(TEXT, dtype=kind)
        for kind in ("str", "string", "string[python]", "string[pyarrow]", "object")
    },
    "bool": BITS,
    "boolean": pd.array(BITS, dtype="boolean"),
}

OVER, UNDER = family(), family(over=False)


pytestmark = pytest.mark.usefixtures("objects_stay_objects")


def assert_originals_are_there(found, X, y):
    X_res, y_res = found
    pd.testing.assert_frame_equal(X_res[:N].reset_index(drop=True), X.reset_index(drop=True))
    pd.testing.assert_series_equal(y_res[:N].reset_index(drop=True), y.reset_index(drop=True))
    assert X_res.dtypes.equals(X.dtypes)
    assert list(X_res.columns) == list(X.columns)
    assert y_res.dtype == y.dtype
    assert y_res.name == y.name
    assert [n for n in y_res.value_counts() if n] == [N - FEW, N - FEW]


@pytest.mark.parametrize("kind", NUMERIC)
def test_numeric_columns_keep_dtype_and_range(kind):
    X = pd.DataFrame({"z": NORMAL, kind: NUMERIC[kind], "a": -NORMAL})
    how = SMOTE(k_neighbors=FEW - 1, random_state=0)
    in_memory, on_dask = both_ways(how.fit_resample, X, Y)
    for found in (in_memory, on_dask):
        assert_originals_are_there(found, X, Y)
        assert_same_bits(found[0][:N], X)
        made, few = found[0][N:][kind], X[kind][Y == 1]
        assert not made.isna().any()
        if "bool" in kind:
            assert set(made) <= {True, False}
        else:
            assert few.min() <= made.min() <= made.max() <= few.max()
            assert kind == "odd floats" or not np.isin(made.to_numpy(), few.to_numpy()).all()
    pd.testing.assert_frame_equal(in_memory[0][N:], on_dask[0][N:])
    assert_same_bits(on_dask[1], in_memory[1])


@pytest.mark.parametrize("kind", NOMINAL)
def test_categorical_columns_keep_dtype_and_levels(kind):
    X = pd.DataFrame({"z": NORMAL, kind: NOMINAL[kind], "a": -NORMAL})
    missing = "bool" not in kind  # a missing name is a level of its own
    X.loc[Y[Y == 1].index[: 8 * missing], kind] = None
    in_memory, on_dask = both_ways(SMOTENC(random_state=0).fit_resample, X, Y)
    for found in (in_memory, on_dask):
        assert_originals_are_there(found, X, Y)
        made, few = found[0][N:][kind], X[kind][Y == 1]
        assert set(made.dropna()) <= set(few.dropna())
        assert made.nunique(dropna=False) > 1
        assert made.isna().any() == missing
        assert made.notna().any()
    assert_same_bits(on_dask[0], in_memory[0])


NAMED = Y.map({0: "no", 1: "yes"})


@pytest.mark.parametrize("name", UNDER)
def test_rows_that_are_left_stay_as_they_are_and_as_many_as_planned(name):
    """Of every dtype, missing values wherever there can be."""
    sampler = UNDER[name][0](random_state=0, **UNDER[name][1])
    columns = NUMERIC | NOMINAL | {kind: values for kind, (values, _) in CARRIED.items()}
    X = pd.DataFrame({kind: pd.Series(values) for kind, values in columns.items()})
    for kind, dtype in X.dtypes.items():
        whole = isinstance(dtype, np.dtype) and dtype.kind in "iub"
        if not (whole or isinstance(dtype, pd.SparseDtype | pd.IntervalDtype)):
            X[kind] = X[kind].mask(BITS)
    X.index, y = pd.Index(np.arange(N) * 3 + 7, name="row"), Y.set_axis(np.arange(N) * 3 + 7)
    for X_res, y_res in both_ways(sampler.fit_resample, X, y):
        assert (np.diff(X_res.index) >= 0).all()
        pd.testing.assert_frame_equal(X_res, X.loc[X_res.index], check_exact=True)
        pd.testing.assert_series_equal(y_res, y.loc[X_res.index], check_index_type=False)
        counts = y_res.value_counts().to_dict()
        planned = sampler.plan_.counts_after
        assert counts == planned or sampler._sampling_type == "clean-sampling"
        assert all(counts.get(label, 0) <= n for label, n in planned.items())


def test_nothing_given_is_changed_or_shared():
    X = pd.DataFrame({"z": NORMAL, "c": NOMINAL["object"], "n": WHOLE})
    before = X.copy(), Y.copy()
    for sampler in (SMOTENC(random_state=0, carry=["n"]), RandomUnderSampler(random_state=0)):
        X_res, _ = sampler.fit_resample(X, Y)
        X_res.iloc[0, 0] = 99.0
        pd.testing.assert_frame_equal(X, before[0])
        pd.testing.assert_series_equal(Y, before[1])
    array, y = NORMAL.reshape(-1, 2).copy(), np.repeat([0, 1], 15)
    array.flags.writeable = False
    for sampler in (SMOTE(random_state=0), RandomUnderSampler(random_state=0)):
        for labels in (y, np.repeat([0, 1], [22, 8])):
            made = sampler.fit_resample(array, labels)
            for one, other in zip(made, (array, labels), strict=True):
                assert not np.shares_memory(one, other)
                assert one.flags.writeable


# ---- whole numbers


@pytest.mark.parametrize(
    "kind", ["int64", "uint64", "Int64", "int64[pyarrow]", "datetime64[ns]", "timedelta64[ns]"]
)
def test_whole_numbers_beyond_what_a_float_can_tell(kind):
    start = 2**63 + 5 if kind == "uint64" else 2**60 + 1
    whole = pd.Series([start + int(w) for w in WHOLE], dtype="uint64" if "u" in kind else "int64")
    X = pd.DataFrame({"id": whole.astype(kind), "z": NORMAL})
    few = whole[Y == 1].tolist()
    for found in both_ways(SMOTE(random_state=0).fit_resample, X, Y):
        assert_originals_are_there(found, X, Y)
        made = found[0]["id"][N:].astype(whole.dtype).tolist()
        assert min(few) <= min(made)
        assert max(made) <= max(few)
        # Steps of one survive; in float64 all of these numbers would be the same few.
        assert len({v - start for v in made} & set(range(100))) > 10


@pytest.mark.parametrize(
    "kind",
    ["Int8", "UInt8", "UInt64", "uint8[pyarrow]", "int8[pyarrow]", "Sparse[int8]", "Sparse[uint8]"],
)
def test_rows_beyond_their_base_end_where_the_dtype_does(kind):
    info = np.iinfo(kind.lower().removeprefix("sparse[").removesuffix("]").split("[")[0])
    ends = pd.Series([info.min, min(info.max, 2**40)] * (N // 2))
    X = pd.DataFrame({"z": NORMAL, "c": ends.astype(kind)})
    for sampler in (
        RandomOverSampler(random_state=0, shrinkage=1.0),
        SVMSMOTE(random_state=0, scale="standard", m_neighbors=N - 1, k_neighbors=FEW - 1),
    ):
        made = sampler.fit_resample(X, Y)[0]["c"]
        assert made.dtype == X["c"].dtype
        new = made[N:].astype(object)
        assert not made.isna().any()
        assert info.min == new.min()
        assert info.max == new.max() or kind == "UInt64"


# ---- containers


HOT = np.stack([Y == 0, Y == 1], axis=1).astype("int8")
FEATURES = numbers(N, FEW).drop(columns="y")
BARE = FEATURES.to_numpy()
CONTAINERS = {
    "pandas": (FEATURES, Y),
    "numpy": (BARE, Y.to_numpy()),
    "numpy and series": (BARE, Y),
    "frame and list": (FEATURES, Y.tolist()),
    "lists": (BARE.tolist(), Y.tolist()),
    "transposed": (np.asfortranarray(BARE), Y.to_numpy()),
    "column frame": (FEATURES, Y.to_frame()),
    "column": (BARE, Y.to_numpy().reshape(-1, 1)),
    "list of rows": (BARE, Y.to_numpy().reshape(-1, 1).tolist()),
    "text": (BARE, NAMED.to_numpy(dtype="U3")),
    "text column": (BARE, NAMED.to_numpy(dtype="U3").reshape(-1, 1)),
    "text list": (BARE, NAMED.tolist()),
    "one-hot": (BARE, HOT),
    "one-hot frame": (FEATURES, pd.DataFrame(HOT)),
    "one-hot list": (BARE, HOT.tolist()),
    "any index": (FEATURES.set_axis(np.arange(N) + 7), Y.set_axis(np.arange(N)[::-1])),
    "float32": (BARE.astype("f4"), Y.to_numpy()),
    "objects": (BARE.astype(object), Y.to_numpy()),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), RandomUnderSampler(random_state=0)])
def test_the_same_kind_comes_out(sampler, container):
    given = CONTAINERS[container]
    expected, _ = sampler.fit_resample(BARE, Y.to_numpy())
    made = sampler.fit_resample(*given)
    total = 2 * (N - FEW if isinstance(sampler, SMOTE) else FEW)
    for found, was in zip(made, given, strict=True):
        assert type(found) is type(was)
        assert np.shape(found) == (total, *np.shape(was)[1:])
        if not isinstance(was, list):
            assert np.asarray(found).dtype == np.asarray(was).dtype
        if isinstance(was, pd.DataFrame):
            assert list(found.columns) == list(was.columns)
    rtol = 1e-5 if container == "float32" else 0
    np.testing.assert_allclose(np.asarray(made[0], dtype=float), expected, rtol=rtol)
    labels = np.asarray(made[1]).reshape(total, -1)
    labels = (
        labels.argmax(axis=1)
        if "one-hot" in container
        else np.isin(labels.astype(str), ["1", "yes"])
    )
    assert labels.sum() == total // 2
    if isinstance(sampler, SMOTE):
        for found in made:
            assert not hasattr(found, "iloc") or found.index.equals(pd.RangeIndex(total))
        np.testing.assert_array_equal(np.asarray(made[1])[:N], np.asarray(given[1]))
        if container == "float32":
            lazy, _ = sampler.fit_resample(*(dask_array(v, [30, 30]) for v in given))
            assert_same_bits(lazy.compute(), made[0])


def test_columns_of_arrays_can_be_carried():
    X_res, _ = SMOTE(random_state=0, carry=[0]).fit_resample(BARE, Y)
    assert np.isnan(X_res[N:, 0]).all()
    plain, _ = SMOTE(random_state=0).fit_resample(BARE[:, 1:], Y)
    np.testing.assert_array_equal(X_res[N:, 1:], plain[N:])
    with pytest.raises(ValueError, match="column 0 cannot be carried in an array of int64"):
        SMOTE(carry=[0]).fit_resample(np.arange(120).reshape(60, 2), Y)


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), RandomUnderSampler(random_state=0)])
@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "u8"])
def test_arrays_of_either_byte_order(kind, sampler):
    X, y = np.column_stack([WHOLE, 100 * NORMAL**2]).astype(f"<{kind}"), Y.to_numpy()
    expected = sampler.fit_resample(X, y)
    for labels in (y.astype(">i8"), y.astype(">f8")):
        found = sampler.fit_resample(X.astype(f">{kind}"), labels)
        assert [part.dtype for part in found] == [np.dtype(f">{kind}"), labels.dtype]
        for part, same in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, same)
    assert sampler.fit_resample(X, y.astype(">i2")[:, None])[1].ravel().tolist() == [*expected[1]]
    hot = np.eye(2, dtype=">i4")[y]
    np.testing.assert_array_equal(sampler.fit_resample(X, hot)[1].argmax(axis=1), expected[1])


# ---- the index, names and labels


NUMBERED = {
    "whole numbers": (np.arange(N)[::-1] * 10, (N - 1) * 10 + 1),
    "unsigned": (np.arange(N, dtype="uint16") + 500, 500 + N),
    "below zero": (np.arange(N) - 1000, N),
    "beyond 2**53": (np.arange(N) + 2**60 + 1, 2**60 + N + 1),
    "nullable": (pd.array([None, *range(1, N)], dtype="Int64") * 3, (N - 1) * 3 + 1),
    "floats": (np.linspace(0, 1, N), N),
    "large floats": (np.r_[np.nan, np.inf, np.arange(N - 2) + 0.5] * 4, (N - 3) * 4 + 3),
}


@pytest.mark.parametrize("kind", [*NUMBERED, "names", "moments"])
def test_on_dask_originals_keep_their_index(kind):
    """New rows are numbered from above the largest number; their index is missing elsewhere."""
    index = {
        **{name: pd.Index(of, name="row") for name, (of, _) in NUMBERED.items()},
        "names": pd.Index([f"r{i}" for i in range(N)], name="row"),
        "moments": pd.date_range("2020-01-01", periods=N, name="row", unit="ns"),
    }[kind]
    X = pd.DataFrame({"z": NORMAL, "a": NORMAL**2}, index=index)
    y = Y.set_axis(index)
    lazy = SMOTE(random_state=0).fit_resample(dask_frame(X, [30, 30]), dask_frame(y, [30, 30]))
    X_res, y_res = lazy[0].compute(), lazy[1].compute()
    for found in (X_res, y_res):
        assert found.index.name == "row"
        assert found.index.dtype == index.dtype
        assert found.index[:N].equals(index)
        made = found.index[N:]
        if kind in NUMBERED:
            first = NUMBERED[kind][1]
            np.testing.assert_array_equal(made, np.arange(first, first + len(made)))
            assert found.index.is_unique
        else:
            assert made.isna().all()
    assert lazy[0].known_divisions is False


def test_on_dask_an_index_above_what_class_counts_say():
    frame = pd.DataFrame({"z": NORMAL, "y": Y.to_numpy()}, index=np.arange(N) + 1)
    lazy = SMOTE().resample(
        dask_frame(frame, [30, 30]), target="y", class_counts=Y.value_counts().to_dict()
    )
    with pytest.raises(ValueError, match=rf"index holds {N}, .* numbered from {N}: leave class_"):
        lazy.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("most", "few"),
    [(("a",), ("b", 2)), (("a", None), ("a", 1)), (1, "1"), (b"1", "1"), (2**53 + 1, 2.0)],
)
@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), RandomUnderSampler(random_state=0)])
def test_labels_stay_what_they_are(most, few, sampler):
    y = [few if label else most for label in Y]
    array = np.fromiter(y, dtype=object, count=N)
    expected = sampler.fit_resample(FEATURES, pd.Series(array))[1].tolist()
    assert set(map(repr, expected)) == {repr(most), repr(few)}
    for given in (
        (BARE, y),
        (BARE, tuple(y)),
        (BARE, array),
        (BARE.tolist(), y),
        (dask_array(BARE, [20, 40]), dask_array(array, [20, 40])),
        (dask_frame(FEATURES, [20, 40]), dask_array(array, [20, 40])),
    ):
        made = sampler.fit_resample(*given)
        made = compute_pair(*made) if hasattr(made[0], "compute") else made
        assert [*map(repr, made[1])] == [*map(repr, expected)]


# ---- carried columns


CARRIED = {
    "int64": (WHOLE + 2**62, "Int64"),
    "uint8": (WHOLE.astype("uint8"), "UInt8"),
    "bool": (WHOLE > 50, "boolean"),
    "float32": (NORMAL.astype("float32"), "float32"),
    "Int16": (pd.array(WHOLE, dtype="Int16"), "Int16"),
    "str": (pd.array(TEXT, dtype="str"), "str"),
    "string": (pd.array(TEXT, dtype="string"), "string"),
    "object": (pd.Series(TEXT, dtype=object), "object"),
    "category": (NOMINAL["category"], None),
    "ordered category": (NOMINAL["ordered category"], None),
    "datetime64[ns]": (NUMERIC["datetime64[ns]"], "datetime64[ns]"),
    "datetime64[ns, Europe/Berlin]": (NUMERIC["datetime64[ns, Europe/Berlin]"], None),
    "timedelta64[s]": (NUMERIC["timedelta64[s]"], "timedelta64[s]"),
    "Sparse[int64, 0]": (NUMERIC["Sparse[int64, 0]"], "Int64"),
    "Sparse[bool]": (pd.arrays.SparseArray(WHOLE > 50), "boolean"),
    "Sparse[float64, 0]": (NUMERIC["Sparse[float64, 0]"], None),
    "lists": ([[i, {}] for i in range(N)], "object"),
    "complex": (NORMAL * 1j, None),
    "floats with gaps": (np.where(NORMAL > 0, np.nan, NORMAL), None),
    "period": (pd.period_range("2020", periods=N, freq="D"), None),
    "interval": (
        pd.cut(WHOLE, [-1, 50, 100]).astype("interval[int64]"),
        "interval[float64, right]",
    ),
}


@pytest.mark.parametrize("kind", CARRIED)
def test_carried_columns_are_missing_in_new_rows(kind):
    values, expected = CARRIED[kind]
    X = pd.DataFrame({"id": values, "z": NORMAL, "a": NORMAL**2})
    expected = X["id"].dtype if expected is None else pd.api.types.pandas_dtype(expected)
    without = SMOTE(random_state=0).fit_resample(X[["z", "a"]], Y)[0]
    for X_res, _ in both_ways(SMOTE(random_state=0, carry=["id"]).fit_resample, X, Y):
        ids = X_res["id"].reset_index(drop=True)
        pd.testing.assert_series_equal(ids[:N], X["id"].astype(expected))
        assert ids[N:].isna().all()
        assert_same_bits(X_res[["z", "a"]], without)


def test_all_strings_of_dask_are_converted_alike():
    # Dask turns str columns to its own string dtype unless told otherwise.
    X = pd.DataFrame({"z": NORMAL, "c": pd.array(TEXT, dtype="str")})
    with dask.config.set({"dataframe.convert-string": True}):
        frame = dd.from_pandas(X, npartitions=3)
        lazy, _ = SMOTENC(random_state=0).fit_resample(frame, dd.from_pandas(Y, npartitions=3))
    found = lazy.compute()
    assert found.dtypes.equals(frame.compute().dtypes)
    assert_same_bits(found, SMOTENC(random_state=0).fit_resample(X, Y)[0])
