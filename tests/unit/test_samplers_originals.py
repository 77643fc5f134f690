"""Originals untouched: values, dtypes, names and order, whatever the columns hold."""

import datetime

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTEN, SMOTENC, SVMSMOTE, RandomOverSampler, RandomUnderSampler
from tests.tables import assert_same_bits, dask_array, dask_frame

N, FEW = 60, 16
Y = pd.Series(np.repeat([0, 1], [N - FEW, FEW]), name="label").sample(frac=1.0, random_state=0)
Y = Y.reset_index(drop=True)
RNG = np.random.default_rng(7)
NORMAL = RNG.normal(size=N)
WHOLE = RNG.integers(0, 100, N)

NUMERIC = {
    **{kind: WHOLE.astype(kind) for kind in ("int8", "int16", "int32", "int64")},
    **{kind: WHOLE.astype(kind) for kind in ("uint8", "uint16", "uint32", "uint64")},
    "float32": NORMAL.astype("float32"),
    "float64": NORMAL,
    "float16": NORMAL.astype("float16"),
    "bool": WHOLE > 50,
    "Int8": pd.array(WHOLE, dtype="Int8"),
    "Int64": pd.array(WHOLE, dtype="Int64"),
    "UInt16": pd.array(WHOLE, dtype="UInt16"),
    "Float32": pd.array(NORMAL, dtype="Float32"),
    "Float64": pd.array(NORMAL, dtype="Float64"),
    "boolean": pd.array(WHOLE > 50, dtype="boolean"),
    **{
        f"datetime64[{unit}]": (pd.Timestamp("2020-02-03") + pd.to_timedelta(WHOLE, "D")).as_unit(
            unit
        )
        for unit in ("s", "ms", "us", "ns")
    },
    "datetime64[ns, Europe/Berlin]": (
        pd.Timestamp("2020-02-03", tz="Europe/Berlin") + pd.to_timedelta(WHOLE, "D")
    ).as_unit("ns"),
    "datetime64[s, UTC]": (
        pd.Timestamp("2020-02-03", tz="UTC") + pd.to_timedelta(WHOLE, "h")
    ).as_unit("s"),
    "timedelta64[ns]": pd.to_timedelta(WHOLE, "s").as_unit("ns"),
    "timedelta64[s]": pd.to_timedelta(WHOLE, "s").as_unit("s"),
    "Sparse[float64, 0]": pd.arrays.SparseArray(np.where(WHOLE > 50, NORMAL, 0.0), fill_value=0.0),
    "Sparse[int64, 0]": pd.arrays.SparseArray(np.where(WHOLE > 50, WHOLE, 0), fill_value=0),
    "int64[pyarrow]": pd.array(WHOLE, dtype="int64[pyarrow]"),
    "int16[pyarrow]": pd.array(WHOLE, dtype="int16[pyarrow]"),
    "double[pyarrow]": pd.array(NORMAL, dtype="double[pyarrow]"),
    "float[pyarrow]": pd.array(NORMAL, dtype="float[pyarrow]"),
    "bool[pyarrow]": pd.array(WHOLE > 50, dtype="bool[pyarrow]"),
    "timestamp[us][pyarrow]": pd.array(
        (pd.Timestamp("2020-02-03") + pd.to_timedelta(WHOLE, "D")).as_unit("us"),
        dtype="timestamp[us][pyarrow]",
    ),
    "timestamp[us, tz=Asia/Tokyo][pyarrow]": pd.array(
        (pd.Timestamp("2020-02-03", tz="Asia/Tokyo") + pd.to_timedelta(WHOLE, "D")).as_unit("us"),
        dtype="timestamp[us, tz=Asia/Tokyo][pyarrow]",
    ),
    **{
        f"{name}[pyarrow]": pd.array(
            pd.to_datetime("1969-12-01") + pd.to_timedelta(WHOLE, "D"),
            dtype="timestamp[ms][pyarrow]",
        ).astype(f"{name}[pyarrow]")
        for name in ("date32[day]", "date64[ms]")
    },
    "duration[s][pyarrow]": pd.array(
        pd.to_timedelta(WHOLE, "s").as_unit("s"), dtype="duration[s][pyarrow]"
    ),
}

TEXT = np.array(["one", "two", "three"])[WHOLE % 3]
NOMINAL = {
    "category": pd.Categorical(TEXT, categories=["two", "one", "none", "three"]),
    "ordered category": pd.Categorical(TEXT, categories=["one", "two", "three"], ordered=True),
    "category of numbers": pd.Categorical(WHOLE % 4, categories=[3, 2, 1, 0]),
    "str": pd.array(TEXT, dtype="str"),
    "string": pd.array(TEXT, dtype="string"),
    "string[python]": pd.array(TEXT, dtype="string[python]"),
    "string[pyarrow]": pd.array(TEXT, dtype="string[pyarrow]"),
    "object": pd.Series(TEXT, dtype=object),
    "bool": WHOLE > 50,
    "boolean": pd.array(WHOLE > 50, dtype="boolean"),
}


def both_ways(sampler, X, y):
    """Return the result in memory, and that of three partitions, one of them empty."""
    in_memory = sampler.fit_resample(X, y)
    lengths = [25, 0, N - 25]
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        X_res, y_res = sampler.fit_resample(dask_frame(X, lengths), dask_frame(y, lengths))
        return in_memory, (X_res.compute(), y_res.compute())


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
def test_measured_columns_keep_dtype_and_range(kind):
    X = pd.DataFrame({"z": NORMAL, kind: NUMERIC[kind], "a": -NORMAL})
    in_memory, on_dask = both_ways(SMOTE(random_state=0), X, Y)
    for found in (in_memory, on_dask):
        assert_originals_are_there(found, X, Y)
        made, few = found[0][N:][kind], X[kind][Y == 1]
        assert not made.isna().any()
        if "bool" in kind:
            assert set(made) <= {True, False}
        else:
            assert few.min() <= made.min() <= made.max() <= few.max()
            assert not np.isin(made.to_numpy(), few.to_numpy()).all()
    pd.testing.assert_frame_equal(in_memory[0][N:], on_dask[0][N:])
    assert_same_bits(on_dask[1], in_memory[1])


@pytest.mark.parametrize("kind", NOMINAL)
def test_nominal_columns_keep_dtype_and_levels(kind):
    X = pd.DataFrame({"z": NORMAL, kind: NOMINAL[kind], "a": -NORMAL})
    for found in both_ways(SMOTENC(random_state=0), X, Y):
        assert_originals_are_there(found, X, Y)
        made, few = found[0][N:][kind], X[kind][Y == 1]
        assert set(made) <= set(few)
        assert len(set(made)) > 1


@pytest.mark.parametrize("kind", [k for k in NOMINAL if "bool" not in k])
def test_a_missing_name_is_a_level_of_its_own(kind):
    X = pd.DataFrame({"z": NORMAL, kind: NOMINAL[kind]})
    X.loc[Y[Y == 1].index[:8], kind] = None
    in_memory, on_dask = both_ways(SMOTENC(random_state=0), X, Y)
    for found in (in_memory, on_dask):
        assert_originals_are_there(found, X, Y)
        assert 0 < found[0][N:][kind].isna().sum() < len(found[0]) - N
    assert_same_bits(on_dask[0], in_memory[0])


@pytest.mark.parametrize(
    "y",
    [
        Y.map({0: "no", 1: "yes"}),
        Y.map({0: "no", 1: "yes"}).astype("category"),
        Y.map({0: "no", 1: "yes"}).astype(object),
        Y.map({0: "no", 1: "yes"}).astype("string"),
        Y.map({0: "no", 1: "yes"}).astype(pd.CategoricalDtype(["yes", "maybe", "no"], True)),
        Y.astype("int8"),
        Y.astype(float),
        Y.astype(bool),
        Y.astype("Int64"),
        Y.astype("boolean"),
        Y.rename(None),
        Y.rename(3),
    ],
    ids=lambda y: f"{y.dtype} {y.name}",
)
def test_targets_keep_dtype_categories_and_name(y):
    X = pd.DataFrame({"z": NORMAL, "a": NORMAL**2})
    for found in both_ways(SMOTE(random_state=0), X, y):
        assert_originals_are_there(found, X, y)


def test_the_target_stays_in_its_place_in_a_table():
    table = pd.DataFrame({"z": NORMAL, "label": Y, "a": NORMAL**2})
    found = SMOTE(random_state=0).resample(table, target="label")
    assert list(found.columns) == ["z", "label", "a"]
    pd.testing.assert_frame_equal(found[:N], table)
    lazy = SMOTE(random_state=0).resample(dask_frame(table, [30, 30]), target="label")
    pd.testing.assert_frame_equal(lazy.compute(), found)


def test_bit_patterns_survive():
    values = np.where(np.arange(N) % 2 == 0, -0.0, 5e-324)
    X = pd.DataFrame({"z": NORMAL, "odd": values})
    X_res, _ = SMOTE(random_state=0).fit_resample(X, Y)
    bits = X_res["odd"][:N].to_numpy().view("u8")
    np.testing.assert_array_equal(bits, values.view("u8"))


def test_nothing_given_is_changed():
    X = pd.DataFrame({"z": NORMAL, "c": NOMINAL["object"], "n": WHOLE})
    before = X.copy(), Y.copy()
    SMOTENC(random_state=0, carry=["n"]).fit_resample(X, Y)
    pd.testing.assert_frame_equal(X, before[0])
    pd.testing.assert_series_equal(Y, before[1])
    array = NORMAL.reshape(-1, 2)[:, :2].copy()
    array.flags.writeable = False
    SMOTE(random_state=0).fit_resample(array, np.repeat([0, 1], [22, 8]))


# ---- whole numbers


@pytest.mark.parametrize("kind", ["int64", "uint64", "Int64", "int64[pyarrow]"])
def test_whole_numbers_beyond_what_a_float_can_tell(kind):
    start = 2**63 + 5 if kind == "uint64" else 2**62 + 1
    values = pd.array([start + int(w) for w in WHOLE], dtype=kind)
    X = pd.DataFrame({"id": values, "z": NORMAL})
    few = [int(v) for v in X["id"][Y == 1]]
    for found in both_ways(SMOTE(random_state=0), X, Y):
        assert_originals_are_there(found, X, Y)
        made = [int(v) for v in found[0]["id"][N:]]
        assert min(few) <= min(made)
        assert max(made) <= max(few)
        # Steps of one survive; in float64 all of these numbers would be the same few.
        assert len({v - start for v in made} & set(range(100))) > 10


def test_nanoseconds_are_told_apart():
    moments = pd.Timestamp("2024-05-06") + pd.to_timedelta(WHOLE, "ns")
    X = pd.DataFrame({"t": moments.as_unit("ns"), "z": NORMAL})
    made = SMOTE(random_state=0).fit_resample(X, Y)[0]["t"][N:]
    few = X["t"][Y == 1]
    assert few.min() <= made.min() <= made.max() <= few.max()
    assert made.nunique() > 10


def test_whole_numbers_are_rounded_to_nearest_not_down():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"whole": rng.integers(-3, 4, 2_000), "z": rng.normal(size=2_000)})
    y = np.repeat([0, 1], [1_900, 100])
    whole = SMOTE(random_state=0).fit_resample(X, y)[0]["whole"][2_000:]
    exact = SMOTE(random_state=0).fit_resample(X.astype(float), y)[0]["whole"][2_000:]
    np.testing.assert_array_equal(np.abs(whole - exact) <= 0.5, True)
    assert abs((whole - exact).mean()) < 0.02
    made = SMOTE(random_state=0).fit_resample(X.astype({"whole": "Int64"}), y)[0]["whole"][2_000:]
    np.testing.assert_array_equal(made, whole)


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


def test_the_whole_range_of_the_dtype():
    for kind in ("int8", "uint8", "int64", "uint64"):
        info = np.iinfo(kind)
        values = np.where(np.arange(N) % 2 == 0, info.min, info.max).astype(kind)
        X = pd.DataFrame({"e": values, "z": NORMAL})
        X_res, _ = SMOTE(k_neighbors=FEW - 1, random_state=0).fit_resample(X, Y)
        np.testing.assert_array_equal(X_res["e"][:N], values)
        assert X_res["e"].dtype == kind
        assert X_res["e"][N:].nunique() > 3


def test_float32_arrays_stay_float32():
    X = np.column_stack([NORMAL, NORMAL**2]).astype("float32")
    X_res, y_res = SMOTE(random_state=0).fit_resample(X, Y.to_numpy())
    assert X_res.dtype == np.float32
    assert y_res.dtype == Y.dtype
    assert_same_bits(X_res[:N], X)
    lazy, _ = SMOTE(random_state=0).fit_resample(
        dask_array(X, [30, 30]), dask_array(Y.to_numpy(), [30, 30])
    )
    assert lazy.dtype == np.float32
    assert_same_bits(lazy.compute(), X_res)


def test_arrays_of_whole_numbers_and_text():
    whole = np.column_stack([WHOLE, WHOLE[::-1]])
    X_res, _ = SMOTE(random_state=0).fit_resample(whole, Y.to_numpy())
    assert X_res.dtype == whole.dtype
    both = np.column_stack([NORMAL.astype(object), TEXT])
    X_res, _ = SMOTENC(categorical_features=[1], random_state=0).fit_resample(both, Y)
    assert X_res.dtype == object
    assert set(X_res[N:, 1]) <= set(TEXT)
    np.testing.assert_array_equal(X_res[:N], both)


# ---- the index


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


def test_the_names_of_the_columns_keep_their_own_name():
    X = pd.DataFrame({"z": NORMAL, "a": NORMAL**2}).rename_axis(columns="feature")
    for provenance in (False, "full"):
        X_res, _ = SMOTE(random_state=0, provenance=provenance).fit_resample(X, Y)
        assert X_res.columns.name == "feature"
    named = X.set_axis(pd.CategoricalIndex(["z", "a"]), axis=1)
    assert SMOTE().fit_resample(named, Y)[0].columns.identical(named.columns)
    levels = pd.MultiIndex.from_tuples([("x", 1), ("y", 1)], names=["letter", None])
    assert SMOTE().fit_resample(X.set_axis(levels, axis=1), Y)[0].columns.equals(levels)
    assert SMOTE().fit_resample(X.set_axis(levels, axis=1), Y)[0].columns.names == ["letter", None]


def test_in_memory_gives_a_fresh_index():
    X = pd.DataFrame({"z": NORMAL, "a": NORMAL**2}, index=np.arange(100, 100 + N))
    X_res, y_res = SMOTE(random_state=0).fit_resample(X, Y.set_axis(X.index))
    assert X_res.index.equals(pd.RangeIndex(len(X_res)))
    assert y_res.index.equals(pd.RangeIndex(len(X_res)))


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
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
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


# ---- carried columns


CARRIED = {
    "int64": (WHOLE, "Int64"),
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
    in_memory, on_dask = both_ways(SMOTE(random_state=0, carry=["id"]), X, Y)
    without = SMOTE(random_state=0).fit_resample(X[["z", "a"]], Y)[0]
    for X_res, _ in (in_memory, on_dask):
        assert X_res["id"].dtype == expected
        assert X_res["id"][N:].isna().all()
        pd.testing.assert_series_equal(
            X_res["id"][:N].reset_index(drop=True), X["id"].astype(expected)
        )
        assert_same_bits(X_res[["z", "a"]], without)


def test_carried_whole_numbers_stay_exact():
    ids = np.arange(N) + 2**62
    X = pd.DataFrame({"id": ids, "z": NORMAL})
    X_res, _ = SMOTE(random_state=0, carry=["id"]).fit_resample(X, Y)
    assert X_res["id"][:N].tolist() == ids.tolist()


def test_a_carried_column_may_hold_anything():
    X = pd.DataFrame({"z": NORMAL, "a": NORMAL**2})
    X["lists"] = [[i] for i in range(N)]
    X["imaginary"] = NORMAL * 1j
    X["gaps"] = np.where(NORMAL > 0, np.nan, NORMAL)
    sampler = SMOTE(random_state=0, carry=["lists", "imaginary", "gaps"])
    X_res, _ = sampler.fit_resample(X, Y)
    assert X_res["lists"][:N].tolist() == X["lists"].tolist()
    assert X_res["lists"][N:].isna().all()
    assert X_res["gaps"][N:].isna().all()


# ---- missing values


def with_gaps():
    X = pd.DataFrame({"z": NORMAL.copy(), "a": NORMAL**2, "w": pd.array(WHOLE, dtype="Int64")})
    few, most = Y[Y == 1].index, Y[Y == 0].index
    X.loc[few[0], "z"] = np.nan
    X.loc[few[1], "a"] = np.inf
    X.loc[few[2], "w"] = pd.NA
    X.loc[most[0], "z"] = np.nan
    return X, few[:3]


def test_skipped_rows_stay_but_are_no_bases_and_no_neighbours():
    X, bad = with_gaps()
    in_memory, on_dask = both_ways(SMOTE(random_state=0, missing="skip"), X, Y)
    for found in (in_memory, on_dask):
        assert_originals_are_there(found, X, Y)
        assert np.isfinite(found[0][N:].astype(float)).all(axis=None)
    assert_same_bits(on_dask[0], in_memory[0])
    # Leaving the rows out by hand gives the same new rows: they take no part at all.
    kept = ~X.index.isin(bad)
    strategy = {1: N - FEW - 3}
    by_hand = SMOTE(random_state=0, missing="skip", sampling_strategy=strategy)
    X_res, _ = by_hand.fit_resample(X[kept], Y[kept])
    assert_same_bits(X_res[N - 3 :], in_memory[0][N:])


def test_all_strings_of_dask_are_converted_alike():
    # Dask turns str columns to its own string dtype unless told otherwise.
    X = pd.DataFrame({"z": NORMAL, "c": pd.array(TEXT, dtype="str")})
    frame = dd.from_pandas(X, npartitions=3)
    lazy, _ = SMOTENC(random_state=0).fit_resample(frame, dd.from_pandas(Y, npartitions=3))
    found = lazy.compute(scheduler="synchronous")
    assert found.dtypes.equals(frame.compute(scheduler="synchronous").dtypes)
    assert_same_bits(found, SMOTENC(random_state=0).fit_resample(X, Y)[0])


@pytest.mark.parametrize("sampler", [RandomOverSampler(random_state=0), SMOTEN(k_neighbors=3)])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda i: datetime.datetime(2020, 1, 1 + i % 3), id="datetime"),
        pytest.param(lambda i: datetime.date(2020, 1, 1 + i % 3), id="date"),
        pytest.param(lambda i: f"level {i % 3}", id="text"),
    ],
)
def test_objects_are_copied_as_the_objects_that_they_are(sampler, value):
    X = np.empty((N, 2), dtype=object)
    for i in range(N):
        X[i] = value(i), value(i // 7)
    y = Y.to_numpy()
    frame, series = pd.DataFrame(X, dtype=object), pd.Series(y)
    made = {
        "array": sampler.fit_resample(X, y)[0].tolist(),
        "list": sampler.fit_resample(X.tolist(), y.tolist())[0],
        "frame": sampler.fit_resample(frame, series)[0].to_numpy().tolist(),
    }
    lazy = sampler.fit_resample(dask_array(X, [20, 40]), dask_array(y, [20, 40]))[0]
    made["on dask"] = lazy.compute().tolist()
    given = {(type(v), v) for row in X for v in row}
    for container, rows in made.items():
        assert len(rows) == 2 * (N - FEW), container
        assert {(type(v), v) for row in rows for v in row} <= given, container
