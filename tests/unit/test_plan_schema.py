"""Columns and their roles; ids, index columns, codes and dominant features are named."""

import re

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC, RandomOverSampler
from dsmote.plan import make_schema


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


N = 3_000
RNG = np.random.default_rng(2)
Y = (np.arange(N) % 10 == 0).astype(int)


def table(**columns):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N), **columns})


def ids():
    return np.random.default_rng(1).permutation(N) + 10**6


def texts(*values, dtype="str"):
    """Return a table whose column c holds these texts by turns, and at times none."""
    column = pd.Series(np.array(values, dtype=object)[np.arange(N) % len(values)])
    return table(c=column.mask(np.arange(N) % 7 == 3).astype(dtype))


DAYS = [str(day) for day in pd.date_range("2024-02-27", periods=9).date]
CODES, FAR = np.array([101, 205, 399, 401])[np.arange(N) % 4], 50 * RNG.normal(size=N)
AMONG = {"names": ids() % 1_500, "mostly": ids() // 1.04}
#: Tables whose column c (or whose last) is named, and what is said of it.
NAMED = {
    SMOTE: {
        "id": (table(c=ids()), "nearly as many values as rows.*carry"),
        "index": (table(**{"Unnamed: 0": np.arange(N)}), "index of a CSV file.*carry"),
        "codes": (table(c=CODES), "4 values.*categorical_f"),
        "dominant": (table(c=FAR), "99 %.*scale='standard'"),
    },
    SMOTENC: {
        "id": (table(c=pd.Series(ids()).map("customer {}".format)), "nearly as many.*carry"),
        "mostly": (table(c=pd.Series(AMONG["mostly"]).map("c{}".format)), "nearly as many.*carry"),
        "category": (
            table(c=pd.Series(ids()).map("c{}".format).astype("category")),
            "nearly as many",
        ),
        "objects": (table(c=pd.Series(ids()).map("c{}".format).astype(object)), "nearly as many"),
        "dates": (texts(*DAYS), r"such as '2024-02-27'\): dates.*convert.*carry"),
        "times": (texts(*(f"{day}T10:00:00+02:00" for day in DAYS)), "dates"),
        "zoned": (texts(*(f"{day} 10:00:00.123Z" for day in DAYS), dtype="category"), "dates"),
        "slashes": (texts("31/12/2024", "01/01/2025"), "dates"),
        "thousands": (
            texts("1,234.56", "12.30", "7"),
            r"such as '1,234.56'\): numbers.*convert.*carry",
        ),
        "comma": (texts("1.234,56", "-0,5", dtype="object"), "numbers"),
        "money": (texts("$1,200", "$ 30.50", "?"), "numbers"),
        "unknown": (texts("1.3", "4.1", "?", "109", ""), "numbers"),
    },
}
#: Tables of which nothing is said.
SILENT = {
    SMOTE: {
        "counts": table(c=RNG.poisson(3, N)),
        "half": table(c=np.arange(N) // 2 % (N // 2)),
        "rare": table(c=np.array([0, 1, 3, 40])[np.arange(N) % 4]),
        "grid": table(c=np.arange(N) % 5 * 2),
        "floats": table(c=RNG.normal(size=N)),
    },
    SMOTENC: {
        "words": texts("red", "green", "blue"),
        "whole": texts("1", "2", "3"),
        "zip": texts("02134", "10001"),
        "versions": texts("1.2.3", "10.0.11", "v2"),
        "addresses": texts("10.0.0.1", "192.168.2.14"),
        "mixed": texts("1.5", "red", "blue"),
        "names": table(c=pd.Series(AMONG["names"]).map("name {}".format)),
        "missing": table(c=pd.Series([None] * N, dtype="str")),
        "no text": table(c=pd.Series([("a", 1), b"b", 2.5] * (N // 3), dtype=object)),
        "no unicode": table(c=pd.Series(["\udc80", "b"] * (N // 2), dtype=object)),
    },
}


def lines(sampler, X, lazy=False, variance=False):
    y = pd.Series(Y)
    if lazy:
        X, y = dd.from_pandas(X, npartitions=4), dd.from_pandas(y, npartitions=4)
    said = [line for line in sampler.plan(X, y).warnings if line.startswith("column")]
    return said if variance else [line for line in said if "variance" not in line]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind in NAMED for case in NAMED[kind]])
def test_each_is_named_once_with_its_remedy(kind, case, lazy):
    X, message = NAMED[kind][case]
    (line,) = lines(kind(random_state=0), X, lazy, case == "dominant")
    assert repr(X.columns[-1]) in line
    assert re.search(message, line), line
    assert lines(SMOTE(random_state=0, carry=[X.columns[-1]]), X, lazy, True) == []


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("kind", "case"), [(kind, case) for kind in SILENT for case in SILENT[kind]]
)
def test_measurements_counts_and_categories_are_not_named(kind, case, lazy):
    lazy = lazy and case != "no unicode"  # which Dask does not take
    assert lines(kind(random_state=0), SILENT[kind][case], lazy) == []


@pytest.mark.parametrize("lazy", [False, True])
def test_the_remedies_silence_it(lazy):
    for sampler, case in (
        (SMOTE(random_state=0, scale="standard"), "dominant"),
        (SMOTENC(categorical_features=["c"], random_state=0), "codes"),
        (RandomOverSampler(random_state=0), "id"),
    ):
        assert lines(sampler, NAMED[SMOTE][case][0], lazy, True) == []


def test_columns_of_a_kind_share_a_line():
    X = texts("1.5", "2.5").assign(
        d=texts("0,1")["c"], e=pd.Series(ids()).map("e{}".format), f=ids()
    )
    found = lines(SMOTENC(random_state=0), X)
    assert [line.partition(":")[0] for line in found] == [
        "columns 'f', 'e'",
        "columns 'c' (such as '1.5'), 'd' (such as '0,1')",
    ]


def test_columns_that_are_dominant_in_different_classes_share_a_line():
    y = np.repeat([0, 1, 2], [2_000, 500, 500])
    X = table()
    X.loc[y == 1, "a"] *= 50
    X.loc[y == 2, "b"] *= 50
    (line,) = SMOTE(random_state=0).plan(X, y).warnings
    assert line.startswith(
        "columns 'a' (in 1 of 2 classes that grow), 'b' (in 1 of 2 classes that grow): more than"
    )
