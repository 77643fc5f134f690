"""One partition: checked, profiled, its class rows taken out, its dtypes brought in line."""

import numpy as np
import pandas as pd
import pytest

from dsmote.execute.extract import Take, extract
from dsmote.execute.partition import as_frame, check, conform, labels_of, profile
from dsmote.plan import make_schema
from tests.tables import numbers

TABLE = numbers(50, 20, 2)
SCHEMA = make_schema(list(TABLE), list(TABLE.dtypes), target="y", has_target=True)


def test_an_array_becomes_a_frame_without_a_copy():
    array = np.zeros((4, 2))
    frame = as_frame(array, make_schema([0, 1], [array.dtype] * 2))
    assert np.shares_memory(frame.to_numpy(), array)
    assert as_frame(TABLE, SCHEMA) is TABLE


def test_text_dtypes_are_one_family_and_empty_partitions_pass():
    schema = make_schema(["c", "x"], [pd.StringDtype(), np.dtype("f8")], nominal=[0])
    check(pd.DataFrame({"c": pd.Series(["a"], dtype=object), "x": [1.0]}), schema)
    check(pd.DataFrame({"c": [], "x": []}), schema)
    with pytest.raises(ValueError, match="column 'x' has dtype int64"):
        check(pd.DataFrame({"c": ["a"], "x": [1]}), schema)
    with pytest.raises(ValueError, match="a partition has the columns"):
        check(pd.DataFrame({"x": [], "c": []}), schema)


def test_labels_of_every_container():
    X = TABLE[["a", "b"]]
    schema = make_schema(["a", "b"], [np.dtype("f8")] * 2)
    for y in (TABLE["y"], TABLE[["y"]], TABLE["y"].to_numpy(), TABLE[["y"]].to_numpy()):
        np.testing.assert_array_equal(labels_of(X, y, schema), TABLE["y"])
    np.testing.assert_array_equal(labels_of(TABLE, None, SCHEMA), TABLE["y"])


def test_profile_counts():
    found = profile(TABLE, None, SCHEMA)
    assert (found.rows, found.counts, found.usable) == (50, {0: 30, 1: 20}, {0: 30, 1: 20})
    assert found.bytes == found.largest_bytes > 50 * 3 * 8 * 0.9
    for label, (keys, sample, levels) in found.sample.items():
        rows = {tuple(r) for r in TABLE.loc[TABLE["y"] == label, ["a", "b"]].to_numpy()}
        assert {tuple(r) for r in sample} == rows and levels.shape == (len(sample), 0)
        assert (np.diff(keys.astype(float)) >= 0).all()


def test_extract_takes_the_rows_of_the_classes_that_grow_in_order():
    found = extract(TABLE, take=Take(SCHEMA, {1: 7}))
    rows = found.rows
    assert found.counts == {0: 30, 1: 20}
    assert list(rows) == [7]
    np.testing.assert_array_equal(rows[7].numeric, TABLE.loc[TABLE["y"] == 1, ["a", "b"]])


def test_extract_of_rows_with_gaps():
    table = TABLE.copy()
    few, most = table.index[table["y"] == 1], table.index[table["y"] == 0]
    table.loc[few[0], "a"] = np.nan
    assert len(extract(table, take=Take(SCHEMA, {1: 1}, skip=True)).rows[1]) == 19
    with pytest.raises(ValueError, match=r"'a' \(1 missing\)"):
        extract(table, take=Take(SCHEMA, {1: 1}))
    table = TABLE.copy()
    table.loc[most[0], "a"] = np.nan  # a class that does not grow is not measured
    assert len(extract(table, take=Take(SCHEMA, {1: 1})).rows[1]) == 20


def test_conform_touches_only_what_it_must():
    schema = make_schema(["id", "x"], [np.dtype("i8"), np.dtype("f8")], carry=["id"])
    part = pd.DataFrame({"id": [1, 2**62 + 1], "x": [0.5, -0.0]})
    found = conform(part, schema, {0: pd.Int64Dtype()})
    assert found["id"].dtype == pd.Int64Dtype()
    assert found["id"].tolist() == part["id"].tolist()
    assert np.shares_memory(found["x"].to_numpy(), part["x"].to_numpy())
    assert conform(part, schema, {}) is part
    array = np.zeros((2, 2))
    assert conform(array, schema, {0: pd.Int64Dtype()}) is array
