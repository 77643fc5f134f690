"""polars and Arrow: the same rows as from pandas, NumPy and Dask, in the types of the input."""

import datetime as dt
from decimal import Decimal

import dask
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import (
    SMOTE,
    SMOTEENN,
    SMOTENC,
    Chain,
    EditedNearestNeighbours,
    RandomOverSampler,
    RandomUnderSampler,
    SMOTETomek,
)
from dsmote.samplers.registry import samplers
from tests.samplers import VARIANTS, family, table_of
from tests.tables import dask_frame

pytestmark = pytest.mark.filterwarnings("ignore:class.* standard deviations is 0:UserWarning")

N, FEW = 90, 24
COMBINED = {
    "smote-enn": (SMOTEENN, {}),
    "smote-tomek": (SMOTETomek, {}),
    "chain": (
        lambda random_state: Chain(
            [
                SMOTE(sampling_strategy=0.6),
                RandomUnderSampler(),
                RandomOverSampler(sampling_strategy={0: 60}),
            ],
            random_state=random_state,
        ),
        {},
    ),
    "soft-centroids": (samplers()["cluster-centroids"], {"voting": "soft"}),
}
ALL = {**family(), **family(over=False), **family(rules=True), **COMBINED}


def arrow(table):
    """Return an Arrow table or column of two chunks."""
    if isinstance(table, pd.Series):
        return pa.chunked_array([table.iloc[:40], table.iloc[40:]])
    whole = pa.Table.from_pandas(table, preserve_index=False)
    return pa.concat_tables([whole[:40], whole[40:]])


#: What makes features and target of pandas ones.
COLUMNAR = {
    "polars": (pl.from_pandas, pl.from_pandas),
    "Arrow": (arrow, arrow),
    "Arrow and an array": (arrow, pa.array),
    "polars and NumPy": (pl.from_pandas, lambda y: y.to_numpy()),
    "NumPy and polars": (lambda X: X.to_numpy(), pl.from_pandas),
    "pandas and Arrow": (lambda X: X, arrow),
}


def values(table):
    """Return the values of a table or column in memory as floats."""
    made = table.to_pandas() if hasattr(table, "to_pandas") else table
    return np.asarray(made, dtype=float)


def test_no_sampler_is_left_out():
    covered = {v for name in samplers() for v in VARIANTS.get(name, {name: {}}) or {name: {}}}
    assert covered <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_the_same_rows_from_all_containers(name):
    kind, how = ALL[name]
    if "random_state" in getattr(kind, "__dataclass_fields__", ["random_state"]):
        how = how | {"random_state": 5}
    table = table_of(name, N, FEW)
    X, y = table.drop(columns="y"), table["y"]
    reference = kind(**how)
    expected = reference.fit_resample(X, y)
    indices = getattr(reference, "sample_indices_", None)
    for make_X, make_y in COLUMNAR.values():
        sampler, ours, labels = kind(**how), make_X(X), make_y(y)
        X_res, y_res = sampler.fit_resample(ours, labels)
        assert (type(X_res), type(y_res)) == (type(ours), type(labels))
        np.testing.assert_array_equal(values(X_res), values(expected[0]))
        np.testing.assert_array_equal(values(y_res), values(expected[1]))
        if indices is not None:
            np.testing.assert_array_equal(sampler.sample_indices_, indices)
    for make in (pl.from_pandas, arrow):
        made, of = kind(**how).resample(make(table), target="y"), make(table)
        assert type(made) is type(of)
        np.testing.assert_array_equal(values(made)[:, :-1], values(expected[0]))
        planned = [kind(**how).plan(t, target="y").to_dict() for t in (of, table)]
        assert planned[0]["classes"] == planned[1]["classes"]
    np.testing.assert_array_equal(
        values(kind(**how).fit_resample(X.to_numpy(), y.to_numpy())[0]), values(expected[0])
    )
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        parts = [30, 0, 60]
        lazy = kind(**how).fit_resample(dask_frame(X, parts), dask_frame(y, parts))
        np.testing.assert_array_equal(values(lazy[0].compute()), values(expected[0]))


# ---- any type


def moments(n):
    return [dt.datetime(2020, 1, 1) + dt.timedelta(hours=i * i) for i in range(n)]


NUMBERS = {
    **{f"{t}": lambda n, t=t: pl.Series(range(n), dtype=t) for t in (pl.Int8, pl.UInt16, pl.Int64)},
    "big": lambda n: pl.Series([2**53 + i for i in range(n)]),
    "bigger": lambda n: pl.Series([2**63 + i for i in range(n)], dtype=pl.UInt64),
    "float": lambda n: pl.Series([i / 7 for i in range(n)]),
    "float32": lambda n: pl.Series([i / 7 for i in range(n)], dtype=pl.Float32),
    "bool": lambda n: pl.Series([i % 3 == 0 for i in range(n)]),
    "decimal": lambda n: pl.Series(
        [Decimal(i * i) / 100 for i in range(n)], dtype=pl.Decimal(9, 2)
    ),
    "wide": lambda n: pl.Series(
        [Decimal(f"1{i:030}.5") for i in range(n)], dtype=pl.Decimal(38, 1)
    ),
    "date": lambda n: pl.Series([t.date() for t in moments(n)]),
    **{
        f"datetime {u} {zone}": lambda n, u=u, zone=zone: (
            pl.Series(moments(n)).cast(pl.Datetime(u)).dt.replace_time_zone(zone)
        )
        for u, zone in (("ms", None), ("us", "UTC"), ("ns", "Asia/Tokyo"))
    },
    "duration": lambda n: pl.Series([dt.timedelta(seconds=i) for i in range(n)]),
}
LEVELS = {
    "categories": lambda n: pl.Series([f"k{i % 5}" for i in range(n)], dtype=pl.Categorical),
    "enum": lambda n: pl.Series([f"k{i % 2}" for i in range(n)], dtype=pl.Enum(["k1", "z", "k0"])),
    "text": lambda n: pl.Series([f"ä{i % 4}" for i in range(n)]),
    "binary": lambda n: pl.Series([bytes([i % 4]) for i in range(n)]),
}
OTHER = {
    "time": lambda n: pl.Series([dt.time(1, 2, i % 60) for i in range(n)]),
    "list": lambda n: pl.Series([[i, None] for i in range(n)]),
    "struct": lambda n: pl.Series([{"a": i, "b": "x"} for i in range(n)]),
    "null": lambda n: pl.Series([None] * n),
    "nan and null": lambda n: pl.Series([None, float("nan"), -0.0, 1.0] * n)[:n],
}
CASTS = {  # types of Arrow that polars does not make
    "big": pa.int64(),
    "text": pa.string(),
    "binary": pa.binary(1),
    "decimal": pa.decimal256(40, 2),
    "date": pa.date64(),
    "bool": pa.bool_(),
    "enum": pa.dictionary(pa.int8(), pa.string()),
    "categories": pa.dictionary(pa.int64(), pa.large_string()),
}


def drawn_column(data, kinds, nulls):
    """Draw a column of N rows, some of them null."""
    kind = data.draw(st.sampled_from(sorted(kinds)))
    column = kinds[kind](N)
    if nulls and data.draw(st.booleans()):
        missing = np.random.default_rng(data.draw(st.integers(0, 9))).random(N) < 0.2
        column = pl.Series([None if m else v for m, v in zip(missing, column, strict=True)]).cast(
            column.dtype
        )
    return kind, column


def exactly(table):
    """Write all values so that nan, -0.0, null and every digit can be compared."""
    return [str(column.to_pylist()) for column in table.columns]


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_all_types_stay_and_rows_of_the_input_too(data):
    def drawn(kinds, nulls=True, least=0):
        n = data.draw(st.integers(least, 2))
        return [drawn_column(data, kinds, nulls) for _ in range(n)]

    features = drawn(NUMBERS, nulls=False)
    levels, carried = drawn(LEVELS, least=1), drawn(NUMBERS | LEVELS | OTHER)
    columns = {"x": ("float", pl.Series(np.random.default_rng(0).normal(size=N)))}
    columns |= {f"f{i}": column for i, column in enumerate(features)}
    columns |= {f"n{i}": column for i, column in enumerate(levels)}
    columns |= {f"c{i}": column for i, column in enumerate(carried)}
    frame = pl.DataFrame({name: column for name, (_, column) in columns.items()})
    carry = [name for name in columns if name[0] == "c"]
    nominal = [name for name in columns if name[0] == "n"]
    labels = data.draw(st.sampled_from([*LEVELS, "big", "bool", "decimal"]))
    few = np.arange(N) % 4 == 0
    y = (NUMBERS | LEVELS)[labels](N)
    y = y.gather(np.where(few, 0, 1)).rename("y")
    sampler = data.draw(
        st.sampled_from(
            [
                SMOTENC(carry=carry, categorical_features=nominal, random_state=0),
                SMOTENC(carry=carry, categorical_features=nominal, provenance="full"),
                RandomOverSampler(random_state=0),
                RandomOverSampler(carry=carry, random_state=0, provenance="flag"),
                RandomUnderSampler(random_state=0),
                EditedNearestNeighbours(carry=[*carry, *nominal]),
                EditedNearestNeighbours(carry=[*carry, *nominal], provenance="flag"),
            ]
        )
    )
    in_arrow = data.draw(st.booleans())
    table, target = frame, y
    if in_arrow:
        at = data.draw(st.integers(0, N))
        table = pa.concat_tables([frame[:at].to_arrow(), frame[at:].to_arrow()])
        for i, (name, (kind, _)) in enumerate(columns.items()):
            if kind in CASTS and data.draw(st.booleans()):
                column = table.column(name)
                if pa.types.is_dictionary(column.type):
                    column = column.cast(pa.large_string()).dictionary_encode()
                to = CASTS[kind]
                table = table.set_column(
                    i, pa.field(name, to, metadata={"k": "v"}), column.cast(to)
                )
        target = pa.chunked_array([y.to_arrow()])

    X_res, y_res = sampler.fit_resample(table, target)
    before, found = table, X_res
    if in_arrow:
        X_res.validate(full=True)
        y_res.validate(full=True)
        found = X_res.select(table.column_names)
        assert found.schema.equals(table.schema, check_metadata=True)
        assert y_res.type == target.type
    else:
        before, found = frame.to_arrow(), X_res.select(frame.columns).to_arrow()
        assert X_res.select(frame.columns).schema == frame.schema
        assert (y_res.dtype, y_res.name) == (y.dtype, "y")
    rows = np.arange(N)
    if len(X_res) < N:
        rows = sampler.sample_indices_
    assert exactly(found[: len(rows)]) == exactly(before.take(pa.array(rows)))
    labels_res = y_res.to_pylist() if in_arrow else y_res.to_list()
    assert labels_res[: len(rows)] == y[rows].to_list()
    made = found[N:]
    for name in columns if len(made) else ():
        if name in (sampler.carry or ()):
            assert made[name].null_count == len(made)
        elif isinstance(sampler, SMOTENC) and name[0] == "f":
            assert not made[name].null_count
        elif name != "x":  # a level of the smaller class, or a copy of its rows
            of_class = before.filter(pa.array(few))[name].to_pylist()
            assert set(map(str, made[name].to_pylist())) <= set(map(str, of_class))
