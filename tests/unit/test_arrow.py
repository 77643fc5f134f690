"""Rows of a class as Arrow tables: columns of every kind come back as they were."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dsmote.execute.arrow import NO_IDS, as_of_class, concatenated, rows_of, table_of
from dsmote.execute.exchange import Exchange
from dsmote.execute.recipe import Rows
from tests.unit.test_samplers_originals import CARRIED, N


def arrow(values, kind):
    return pd.array(values * (N // 2), dtype=pd.ArrowDtype(kind))


RNG = np.random.default_rng(0)
MORE = {
    "special floats": RNG.choice([0.0, -0.0, np.nan, np.inf, 5e-324], N),
    "float16": RNG.normal(size=N).astype("f2"),
    "float128": RNG.normal(size=N).astype(np.longdouble),
    "int64": RNG.integers(-(2**62), 2**62, N),
    "bytes": RNG.integers(0, 9, N).astype("S4"),
    "datetime64[s]": pd.array(RNG.choice(["1900-01-01", "NaT"], N).astype("M8[s]")),
    "timedelta64[us]": RNG.integers(0, 99, N).astype("m8[us]"),
    "Int64": pd.array([None, 2**60 + 1] * (N // 2), dtype="Int64"),
    "boolean": pd.array([None, True] * (N // 2), dtype="boolean"),
    "Float32": pd.array([None, 0.5] * (N // 2), dtype="Float32"),
    "python strings": pd.array([None, "a"] * (N // 2), dtype="string[python]"),
    "missing categories": pd.Categorical(RNG.choice(["u", None], N), categories=["w", "u"]),
    "categories of numbers": pd.Categorical(RNG.integers(0, 5, N), ordered=True),
    "mixed": pd.Series(
        [1, True, 1.0, None, np.nan, pd.NA, pd.NaT, "1", b"1", (1, [2]), -0.0, Decimal("1.50")]
        * (N // 12 + 1),
        dtype=object,
    )[:N],
    "dates": pd.Series([datetime.date(2020, 1, 1)] * N, dtype=object),
    "Arrow decimals": pd.array(
        [Decimal("1.50"), None] * (N // 2), pd.ArrowDtype(pa.decimal128(9, 2))
    ),
    "Arrow text": arrow(["a", None], pa.string()),
    "Arrow dates": arrow([datetime.date(2020, 1, 1), None], pa.date32()),
    "Arrow times": arrow([datetime.datetime(2020, 1, 1), None], pa.timestamp("us", "UTC")),
    "Arrow lists": arrow([[1], None], pa.list_(pa.int8())),
    "Arrow dictionary": pd.array(
        ["a", "b"] * (N // 2), pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))
    ),
}
KINDS = {name: values for name, (values, _) in CARRIED.items()} | MORE


def rows_with(frame):
    n = len(frame)
    empty = np.empty((n, 0), dtype=np.int32)
    return Rows(np.ones((n, 1)), empty, np.arange(n), passthrough=frame)


def texts(frame):
    return [[(type(value), repr(value)) for value in column] for _, column in frame.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_passthrough_columns_come_back_as_they_were(kind, tmp_path):
    frame = pd.DataFrame({"a": KINDS[kind], "b": np.arange(N)})
    frame.columns = pd.Index([None, 5], dtype=object)
    rows = rows_with(frame)
    like, exchange = rows.take(NO_IDS), Exchange(f"{tmp_path}/own", durable=False)
    for place, part in enumerate((np.arange(N // 3), NO_IDS, np.arange(N // 3, N))):
        there = table_of(as_of_class(rows.take(part), like))
        exchange.send(f"{place}", there, part % 2, 2)
    for destination in (0, 1):
        found, _ = rows_of(exchange.receive(["0", "1", "2"], destination), like)
        expected = frame.iloc[destination::2].reset_index(drop=True)
        pd.testing.assert_index_equal(found.passthrough.columns, frame.columns, exact=True)
        assert [*found.passthrough.dtypes] == [*frame.dtypes]
        assert texts(found.passthrough) == texts(expected)
        twice = concatenated([found, found]).passthrough
        assert [*twice.dtypes] == [*frame.dtypes]
        assert texts(twice) == [2 * column for column in texts(expected)]


def test_categories_in_another_order_are_those_of_the_class():
    """To pandas, dtypes of the same categories in another order are equal; their codes differ."""
    own, of_class = (pd.CategoricalDtype(list(order)) for order in ("wvu", "uvw"))
    frame = pd.DataFrame({"a": pd.Categorical([*"uvwwu", None], dtype=own)})
    for dtype in (of_class, pd.CategoricalDtype(list("xuvw"))):
        like = rows_with(pd.DataFrame({"a": pd.Categorical([], dtype=dtype)}))
        rows = as_of_class(rows_with(frame), like)
        found, _ = rows_of(table_of(rows), like)
        for each in (rows.passthrough["a"], found.passthrough["a"]):
            assert [*each.cat.categories] == [*dtype.categories]
            assert repr(each.tolist()) == repr(frame["a"].tolist())
