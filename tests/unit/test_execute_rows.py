"""Rows of a class: out of frames into arrays, joined, and back."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.execute.generate import decode, repeated
from dsmote.execute.recipe import Made
from dsmote.execute.rows import all_finite, check_levels, join, numeric_columns, numeric_values
from dsmote.execute.rows import encode as encode_numbered
from dsmote.plan import make_schema
from tests.tables import lengths_of, split

N = 40
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "f": RNG.normal(size=N),
        "i": RNG.integers(-5, 5, N).astype("int8"),
        "big": RNG.integers(2**60, 2**62, N),
        "c": RNG.choice(["x", "y", "z"], N),
        "k": pd.Categorical(RNG.choice(list("uvw"), N), categories=list("wvu")),
        "t": pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 99, N), "D"),
    }
)
SCHEMA = make_schema(list(FRAME), list(FRAME.dtypes), nominal=[3, 4])


def encode(frame, schema):
    return encode_numbered(frame, schema, np.arange(len(frame)))


def made_of(rows):
    return Made(rows.numeric, rows.wide, rows.codes, np.arange(len(rows)))


def back(rows):
    return decode(SCHEMA, rows, made_of(rows), None, pd.RangeIndex(len(rows)))


def test_there_and_back_again():
    rows = encode(FRAME, SCHEMA)
    assert rows.numeric.shape == (N, 4)
    assert rows.numeric.flags.c_contiguous
    assert rows.codes.shape == (N, 2)
    pd.testing.assert_frame_equal(back(rows), FRAME)


@given(st.lists(st.integers(0, N), max_size=5))
def test_joined_parts_are_the_whole(cuts):
    parts = [encode(part, SCHEMA) for part in split(FRAME, lengths_of(N, cuts))]
    rows = join(parts, SCHEMA)
    whole = encode(FRAME, SCHEMA)
    np.testing.assert_array_equal(rows.numeric, whole.numeric)
    pd.testing.assert_frame_equal(back(rows), FRAME)
    assert set(rows.wide) == set(whole.wide)


def test_exact_copies_are_kept_only_where_needed():
    rows = encode(FRAME, SCHEMA)
    assert 2 in rows.wide
    assert 1 not in rows.wide
    small = encode(FRAME.assign(big=7), SCHEMA)
    assert 2 not in small.wide
    both = join([small, rows], SCHEMA)
    assert both.wide[2].tolist() == [7] * N + FRAME["big"].tolist()


def test_categories_that_differ_are_united_on_the_way():
    other = FRAME.assign(k=pd.Categorical(["q"] * N, categories=["q"]))
    rows = join([encode(FRAME, SCHEMA), encode(other, SCHEMA)], SCHEMA)
    assert list(rows.categories[4].categories) == ["q", "u", "v", "w"]


def test_complete_rows():
    frame = FRAME.copy()
    frame.loc[0, "f"] = np.nan
    frame.loc[1, "f"] = -np.inf
    frame.loc[2, "t"] = pd.NaT
    frame.loc[3, "c"] = None  # a name that is missing is a level
    expected = np.ones(N, dtype=bool)
    expected[:3] = False
    numeric = encode(frame, SCHEMA).numeric
    np.testing.assert_array_equal(np.isfinite(numeric).all(axis=1), expected)
    assert all_finite(numeric[3:]) and not all_finite(numeric)


@pytest.mark.parametrize("apart", [False, True])
def test_all_numeric_columns_are_read_as_each_is(apart):
    rng = np.random.default_rng(1)
    dtypes = ["f8", "f4", "i8", "u8", "i2", "bool", "Int64", "Float64", "i8", "f8", "M8[s]"]
    dtypes += ["category", "int64[pyarrow]", "f8", "Sparse[float64]", "timedelta64[ns]", "u8"]
    columns = [pd.Series(rng.integers(0, 2, N)).astype(dtype) for dtype in dtypes]
    frame = pd.concat(columns, axis=1)
    frame = frame if apart else frame.copy()
    frame.columns = ["same"] * len(dtypes)
    for i in (0, 7):
        frame.isetitem(i, frame.iloc[:, i].where(np.arange(N) > 3))
    schema = make_schema(
        [*range(len(dtypes))], list(frame.dtypes), nominal=[dtypes.index("category")]
    )
    found = numeric_columns(frame, schema)
    assert len(found) == len(dtypes) - 1
    for i, (values, exact) in zip(schema.numeric, found, strict=True):
        one, one_exact = numeric_values(frame.iloc[:, i], schema.columns[i].kind)
        np.testing.assert_array_equal(values, one)
        assert values.dtype == np.float64
        assert (exact is None) == (one_exact is None)
        np.testing.assert_array_equal(exact, one_exact)
        assert exact is None or exact.dtype == one_exact.dtype


def test_columns_of_one_block_are_read_where_they_lie():
    frame = pd.DataFrame(RNG.normal(size=(9, 3)), columns=list("abc"))
    frame["k"] = "x"
    schema = make_schema(list(frame), list(frame.dtypes), nominal=[3])
    for (values, _), name in zip(numeric_columns(frame, schema), "abc", strict=True):
        assert np.shares_memory(values, frame[name].to_numpy())


def test_values_that_are_no_numbers():
    with pytest.raises(TypeError, match="column 'o' is measured, but holds a value that is not a"):
        numeric_values(pd.Series([1, "a"], name="o", dtype=object), "float")


def test_levels_that_cannot_be_told_apart():
    frame = pd.DataFrame({"f": [1.0], "c": pd.Series([[1]], dtype=object)})
    schema = make_schema(list(frame), list(frame.dtypes), nominal=[1])
    with pytest.raises(TypeError, match="column 'c' holds values that cannot be levels"):
        encode(frame, schema)


@pytest.mark.parametrize("dtype", ["int8", "category", "string", "datetime64[s]", "boolean"])
def test_a_label_many_times(dtype):
    label = {"datetime64[s]": pd.Timestamp("2020-01-01"), "boolean": True}.get(dtype, 1)
    made = repeated(str(label) if dtype == "string" else label, 3, dtype)
    assert len(made) == 3
    assert len(set(made)) == 1
    assert len(repeated(label, 0, "object")) == 0


def test_lists_are_found_before_rows_are_taken():
    frame = pd.DataFrame({"x": [1.0, 2.0], "c": [[1], [2]]})
    schema = make_schema(["x", "c"], frame.dtypes, nominal=[1])
    with pytest.raises(TypeError, match=r"column 'c' holds values that cannot be levels .*list"):
        check_levels(frame, schema)
    check_levels(frame.assign(c=["u", None]), schema)
