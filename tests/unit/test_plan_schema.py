"""Columns and their roles."""

import numpy as np
import pandas as pd
import pytest

from dsmote.plan import carried_dtype, make_schema
from dsmote.plan.schema import is_nominal_dtype, with_dtypes

KINDS = {
    "float": ["float16", "float32", "float64", "Float64", "double[pyarrow]", "Sparse[float64]"],
    "int": ["int8", "uint64", "Int64", "UInt8", "int64[pyarrow]", "Sparse[int64]"],
    "bool": ["bool", "boolean", "bool[pyarrow]"],
    "datetime": ["datetime64[s]", "datetime64[ns, UTC]", "timestamp[us][pyarrow]"],
    "timedelta": ["timedelta64[ms]", "duration[s][pyarrow]"],
}
NOMINAL = ["category", "object", "str", "string", "string[pyarrow]"]


@pytest.mark.parametrize(("kind", "dtype"), [(k, d) for k, ds in KINDS.items() for d in ds])
def test_kinds_of_measured_columns(kind, dtype):
    schema = make_schema(["a"], [pd.api.types.pandas_dtype(dtype)])
    assert schema.columns[0].kind == kind
    assert not is_nominal_dtype(pd.api.types.pandas_dtype(dtype))


@pytest.mark.parametrize("dtype", NOMINAL)
def test_names(dtype):
    assert is_nominal_dtype(pd.api.types.pandas_dtype(dtype))
    with pytest.raises(ValueError, match="use SMOTENC"):
        make_schema(["a"], [pd.api.types.pandas_dtype(dtype)])
    schema = make_schema(["a"], [pd.api.types.pandas_dtype(dtype)], nominal=[0])
    assert schema.columns[0].kind == "nominal"


def test_roles_and_places():
    dtypes = [np.dtype(k) for k in ("i8", "f8", "i4", "O", "f4")]
    schema = make_schema(
        ["id", "x", "t", "c", "z"],
        dtypes,
        target="t",
        has_target=True,
        carry=["id"],
        nominal=[3],
    )
    assert [c.kind for c in schema.columns] == ["carried", "float", "target", "nominal", "float"]
    assert schema.numeric == [1, 4]
    assert schema.nominal == [3]
    assert schema.carried == [0]
    assert schema.target == 2
    assert schema.names == ["id", "x", "t", "c", "z"]
    assert with_dtypes(schema, {0: pd.Int64Dtype()}).columns[0].dtype == pd.Int64Dtype()
    assert make_schema(["x"], [np.dtype("f8")]).target is None


@pytest.mark.parametrize(
    ("dtype", "carried"),
    [
        *[(f"int{b}", f"Int{b}") for b in (8, 16, 32, 64)],
        *[(f"uint{b}", f"UInt{b}") for b in (8, 16, 32, 64)],
        ("bool", "boolean"),
        *[(d, d) for d in ("float32", "Int64", "object", "category", "datetime64[ns]", "string")],
    ],
)
def test_carried_columns_can_be_missing(dtype, carried):
    as_dtype = pd.api.types.pandas_dtype
    assert carried_dtype(as_dtype(dtype)) == as_dtype(carried)


@pytest.mark.parametrize("dtype", ["complex128", "period[D]", "interval[int64]"])
def test_what_no_sampler_can_use(dtype):
    with pytest.raises(TypeError, match=r"column 'a' has dtype .*name it in carry"):
        make_schema(["a", "b"], [pd.api.types.pandas_dtype(dtype), np.dtype("f8")])
    make_schema(["a", "b"], [pd.api.types.pandas_dtype(dtype), np.dtype("f8")], carry=["a"])


def test_long_lists_of_names_are_cut():
    names = [f"c{i}" for i in range(30)]
    with pytest.raises(ValueError, match="and 10 more"):
        make_schema(names, [np.dtype("O")] * 30)


def test_bytes_of_a_row_are_near_what_pandas_holds():
    frame = pd.DataFrame(
        {
            "a": np.zeros(1_000),
            "b": np.zeros(1_000, "int16"),
            "c": pd.Categorical(["x"] * 1_000),
            "d": pd.array([1] * 1_000, dtype="Int32"),
        }
    )
    schema = make_schema(list(frame), list(frame.dtypes), nominal=[2])
    held = frame.memory_usage(index=False, deep=True).sum() / 1_000
    assert held * 0.8 <= schema.row_bytes() <= held * 1.5
