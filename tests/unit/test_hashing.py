"""Hashes of rows: equal for equal rows, whatever holds them, and different for different ones."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from dsmote.job import hashing
from dsmote.job.hashing import digest_of, row_hashes

DAY = datetime.date(2020, 1, 1)
#: Four different values and a missing one of each type.
VALUES = {
    "float64": pa.array([0.0, -0.0, 1.0, 1e-300, None]),
    "float32": pa.array([0, -1, 1.5, 3e38, None], pa.float32()),
    "int8": pa.array([0, 1, -1, 127, None], pa.int8()),
    "int64": pa.array([0, 2**53, 2**53 + 1, -(2**63), None]),
    "uint64": pa.array([0, 1, 2**63, 2**64 - 1, None], pa.uint64()),
    "text": pa.array(["", "ab", "ba", "ab\0", None]),
    "large text": pa.array(["", "ab", "ba", "ab" * 70, None], pa.large_string()),
    "bytes": pa.array([b"", b"\0", b"\0\0", b"a", None]),
    "as many bytes": pa.array([b"abc", b"acb", b"bca", b"\0bc", None], pa.binary(3)),
    "categories": pa.array(["b", "a", "", "B", None]).dictionary_encode(),
    "numbers as categories": pa.array([3, 1, 2, 0, None]).dictionary_encode(),
    "date": pa.array([DAY + datetime.timedelta(n) for n in range(4)] + [None]),
    "time": pa.array([datetime.time(0, 0, n) for n in range(4)] + [None]),
    "moment": pa.array([0, 1, 2, -1, None], pa.timestamp("ns", "UTC")),
    "duration": pa.array([0, 1, 2, -1, None], pa.duration("us")),
    "decimal": pa.array([*map(decimal.Decimal, ("0.00", "1.00", "0.01", "-1.00")), None]),
    "wide decimal": pa.array(
        [*(decimal.Decimal(10) ** n for n in (0, 20, 40, 60)), None], pa.decimal256(70, 2)
    ),
    "half": pa.array(np.array([0, 1, 2, 3], np.float16)).cast(pa.float16()),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_that_differ(kind):
    column = VALUES[kind]
    table = pa.table({"one": column})
    hashes = row_hashes(table)
    assert len(np.unique(hashes)) == len(column)
    # In chunks, from the middle of a buffer, and beside other rows.
    parts = [row_hashes(table.slice(at, 1))[0] for at in range(len(table))]
    np.testing.assert_array_equal(hashes, parts)
    twice = pa.concat_tables([table.slice(2), table])
    np.testing.assert_array_equal(row_hashes(twice), [*hashes[2:], *hashes])


def test_what_holds_a_value_does_not_count():
    texts = pa.array(["b", "a", None, "b"])
    coded = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 2]), pa.array(["a", "c", "b"]))
    found = [row_hashes(pa.table({"c": of})).tolist() for of in (texts, coded)]
    assert found[0] == found[1]
    gaps = [pa.array([1.0, float("nan")]), pa.array([1.0, None])]
    assert len({tuple(row_hashes(pa.table({"x": of})).tolist()) for of in gaps}) == 1
    flags = pa.array([True, False, None])
    assert len(np.unique(row_hashes(pa.table({"b": flags})))) == 3
    assert row_hashes(pa.table({"n": pa.nulls(2)}))[0] == row_hashes(pa.table({"n": gaps[1]}))[1]
    assert row_hashes(pa.table({"n": pa.array([], pa.string())})).shape == (0,)


def test_columns_are_told_apart():
    def one(**columns):
        return row_hashes(pa.table({name: [value] for name, value in columns.items()}))[0]

    assert one(a="ab", b="c") != one(a="a", b="bc")
    assert one(a=1, b=2) != one(a=2, b=1)
    assert one(a=None, b=1) != one(a=1, b=None)


def test_long_texts_are_hashed_in_steps(monkeypatch):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcd"), n)) for n in rng.integers(0, 60, 50)]
    table = pa.table({"t": [*texts, "x" * 500]})
    whole = row_hashes(table)
    monkeypatch.setattr(hashing, "TEXT_BYTES", 64)
    monkeypatch.setattr(hashing, "STEP", 7)
    np.testing.assert_array_equal(row_hashes(table), whole)


def test_a_digest_is_of_rows_in_order_or_of_any():
    hashes = row_hashes(pa.table({"a": np.arange(1000)}))
    order = np.random.default_rng(0).permutation(1000)
    assert digest_of(hashes) == digest_of(hashes[order])
    assert digest_of(hashes, 0) != digest_of(hashes[order], 0)
    pieces = [digest_of(hashes[a : a + 300], a) for a in range(0, 1000, 300)]
    assert sum(pieces) % 2**64 == digest_of(hashes, 0)
    # Rows that go and others that come are no sum of nothing.
    assert digest_of(hashes[:2]) != digest_of(hashes[2:4])
    assert digest_of(np.repeat(hashes[:1], 2)) != digest_of(np.repeat(hashes[1:2], 2))
