"""Frames of polars and tables of Arrow: what comes back, and what is refused."""

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import dsmote
from dsmote import (
    SMOTE,
    SMOTENC,
    ClusterCentroids,
    EditedNearestNeighbours,
    RandomOverSampler,
    RandomUnderSampler,
    TomekLinks,
)

N, FEW = 80, 20
RNG = np.random.default_rng(0)
Y = (np.arange(N) % 4 == 0).astype(int)
X = pl.DataFrame(
    {
        "id": np.arange(N) + 2**53,
        "visits": RNG.integers(0, 9, N),
        "amount": RNG.normal(size=N) + Y,
    }
)


def arrow(frame):
    return frame.to_arrow()


@pytest.fixture(params=["polars", "Arrow"])
def kind(request):
    """Return what makes a frame, and what makes a column, of one of polars."""
    if request.param == "polars":
        return lambda frame: frame, lambda series: series
    return arrow, lambda series: pa.chunked_array([series.to_arrow()])


def test_ids_stay_exact_and_whole_numbers_whole(kind):
    table, column = kind
    found, labels = RandomUnderSampler(random_state=0).fit_resample(table(X), column(pl.Series(Y)))
    expected, _ = RandomUnderSampler(random_state=0).fit_resample(X.to_pandas(), Y)
    assert pl.DataFrame(found)["id"].to_list() == expected["id"].tolist()
    assert len(labels) == 2 * FEW
    found, _ = SMOTE(carry=["id"], random_state=0).fit_resample(table(X), Y)
    expected, _ = SMOTE(carry=["id"], random_state=0).fit_resample(X.to_pandas(), Y)
    found = pl.DataFrame(found)
    assert found.schema == X.schema
    assert found["visits"].to_list() == expected["visits"].tolist()
    assert found["id"].to_list() == [*X["id"], *[None] * (len(found) - N)]


def test_weights_and_groups_come_back_as_they_are(kind):
    table, column = kind
    whole = column(pl.Series("w", np.arange(N) % 5 + 1))
    weights = column(pl.Series("w", (np.arange(N) % 5 + 1).astype("f4")))
    groups = column(pl.Series("g", np.where(np.arange(N) % 8 < 4, "u", "v"), dtype=pl.Categorical))
    frame, labels = table(X), column(pl.Series("y", Y))
    plain = (np.arange(N) % 5 + 1).astype("f4"), np.where(np.arange(N) % 8 < 4, "u", "v")
    for how in (SMOTE(random_state=0), RandomUnderSampler(random_state=0), TomekLinks()):
        ours = how.fit_resample(frame, labels, sample_weight=weights, groups=groups)
        theirs = how.fit_resample(X.to_pandas(), Y, sample_weight=plain[0], groups=plain[1])
        assert [type(one) for one in ours] == [type(o) for o in (frame, labels, weights, groups)]
        for one, of in zip(ours[1:], (labels, weights, groups), strict=True):
            if isinstance(one, pl.Series):
                assert (one.dtype, one.name) == (of.dtype, of.name)
            else:
                assert one.type == of.type
        assert ours[2].to_numpy().tolist() == theirs[2].tolist()
        assert pl.Series(ours[3]).to_list() == theirs[3].tolist()
    made = SMOTE(random_state=0).fit_resample(frame, labels, sample_weight=whole)[2]
    assert type(made) is type(whole)
    assert made.to_numpy().dtype == np.float64
    made = SMOTE(random_state=0).resample(table(X.with_columns(y=Y, g=Y)), target="y", groups="g")
    assert len(made) == 2 * (N - FEW)


def test_provenance_and_flags_are_columns(kind):
    table, column = kind
    days = pl.Series([f"d{i}" for i in range(N)], dtype=pl.Categorical)
    frame = table(X.with_columns(day=days))
    how = SMOTE(carry=["id", "day"], provenance="full", random_state=0)
    made = pl.DataFrame(how.fit_resample(frame, column(pl.Series(Y)))[0])
    assert made["synthetic"].sum() == N - 2 * FEW
    new = made[N:]
    assert new["id_base"].to_list() == [2**53 + i for i in new["base_row"]]
    assert new["day_neighbour"].to_list() == [f"d{i}" for i in new["neighbour_row"]]
    assert (new["id_base"].dtype, new["day_base"].dtype) == (pl.Int64, pl.Categorical)
    assert made[:N]["gap"].null_count() == made[:N]["id_base"].null_count() == N
    marked, _ = TomekLinks(carry=["id", "day"], provenance="flag").fit_resample(
        frame, column(pl.Series(Y))
    )
    assert pl.DataFrame(marked).drop("removed").equals(X.with_columns(day=days))
    cleaner = TomekLinks(carry=["id", "day"])
    left, _ = cleaner.fit_resample(frame, column(pl.Series(Y)))
    stays = np.flatnonzero(~pl.DataFrame(marked)["removed"].to_numpy())
    assert FEW < len(stays) < N
    assert cleaner.sample_indices_.tolist() == stays.tolist()
    assert pl.DataFrame(left).equals(X.with_columns(day=days)[stays])
    with pytest.raises(ValueError, match="column 'synthetic', which the table has already"):
        how.fit_resample(table(X.with_columns(day=days, synthetic=True)), Y)


def test_moved_rows_keep_their_other_columns():
    notes = pl.Series([f"n{i}" for i in range(N)])
    frame = X.drop("id").with_columns(notes, pl.Series("d", [Decimal(i) for i in range(N)]))
    how = ClusterCentroids(voting="soft", carry=["notes"], random_state=0)
    frame = frame.rename({"": "notes"})
    made, _ = how.fit_resample(frame, Y)
    assert made.schema == frame.schema
    assert made["notes"].to_list() == [f"n{i}" for i in how.sample_indices_]
    expected, _ = how.fit_resample(frame.to_pandas(), Y)
    assert made["amount"].to_list() == expected["amount"].tolist()


def test_missing_values_are_named_or_stay(kind):
    table, column = kind
    gaps = X.with_columns(visits=pl.when(X["visits"] == 3).then(None).otherwise(X["visits"]))
    with pytest.raises(ValueError, match="'visits'"):
        SMOTE().fit_resample(table(gaps), Y)
    made, _ = SMOTE(missing="skip", random_state=0).fit_resample(table(gaps), Y)
    assert pl.DataFrame(made)[:N].equals(gaps)
    assert not pl.DataFrame(made)[N:]["visits"].null_count()
    labels = column(pl.Series("y", [None, *Y[1:].tolist()]))
    with pytest.raises(ValueError, match="is missing in 1 row"):
        SMOTE().fit_resample(table(X), labels)


def test_one_column_or_a_table_as_the_target(kind):
    table, column = kind
    frame, labels = table(X), table(pl.DataFrame({"label": Y}))
    made = SMOTE(random_state=0).fit_resample(frame, labels)[1]
    assert type(made) is type(labels)
    assert pl.DataFrame(made).schema == {"label": pl.Int64}
    with pytest.raises(ValueError, match="y should be one column, but is a table of 2"):
        SMOTE().fit_resample(frame, table(pl.DataFrame({"a": Y, "b": 1 - Y})))
    with pytest.raises(ValueError, match=r"Expected 2D input, got a .*, which is one column"):
        SMOTE().fit_resample(column(X["amount"]), Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples: X has 80 rows and y 79"):
        SMOTE().fit_resample(frame, column(pl.Series(Y[1:])))
    with pytest.raises(ValueError, match="zero rows"):
        SMOTE().fit_resample(frame[:0], column(pl.Series(Y[:0])))
    with pytest.raises(ValueError, match="there is no target column 'z'"):
        SMOTE().resample(frame, target="z")
    with pytest.raises(TypeError, match="take a DataFrame of pandas, polars or Dask, or an Arrow"):
        SMOTE().resample(column(X["amount"]), target="amount")


def test_types_without_a_place_are_named():
    whole = X.with_columns(wide=pl.Series(range(N), dtype=pl.Int128))
    with pytest.raises(TypeError, match="'wide' has the polars dtype Int128"):
        RandomOverSampler().fit_resample(whole, Y)
    things = X.with_columns(thing=pl.Series([object()] * N, dtype=pl.Object))
    with pytest.raises(TypeError, match="'thing' has the polars dtype Object"):
        RandomOverSampler().fit_resample(things, Y)
    with pytest.raises(TypeError, match="target holds values that cannot be class labels"):
        SMOTE().fit_resample(X, pl.Series([[i] for i in Y]))
    runs = pa.RunEndEncodedArray.from_arrays([N // 2, N], ["u", "v"])
    for odd in (runs, pa.array([["u"]] * N, pa.list_(pa.string_view()))):
        table = arrow(X).append_column("odd", odd)
        with pytest.raises(TypeError, match=r"'odd' has the Arrow type .*; cast it to another"):
            RandomUnderSampler().fit_resample(table, Y)
    with pytest.raises(TypeError, match=r"LazyFrame, .*: pass X\.collect\(\)"):
        SMOTE().fit_resample(X.lazy(), Y, groups="id")
    for bad in (pl.Series([[1]] * N), pl.Series([None] * N)):
        with pytest.raises(TypeError, match=r"'bad' has dtype .*, or name it in carry"):
            SMOTE().fit_resample(X.with_columns(bad=bad), Y)
    twice = pa.table([X["amount"].to_arrow()] * 2, names=["a", "a"])
    with pytest.raises(ValueError, match="'a' appears more than once"):
        SMOTE().fit_resample(twice, Y)


def test_types_that_only_arrow_has():
    levels = pa.DictionaryArray.from_arrays(
        pa.array([i % 4 if i else None for i in range(N)], pa.int8()),
        pa.array(["u", "v", None, "u"]),  # a level twice, and null among the levels
    )
    key = pa.array([bytes([i] * 16) for i in range(N)], pa.binary(16))
    columns = {"x": X["amount"].to_arrow(), "level": levels, "half": X["amount"].to_arrow()}
    columns["half"] = columns["half"].cast(pa.float16())
    columns["key"] = pa.ExtensionArray.from_storage(pa.uuid(), key)
    columns["coded"] = pa.DictionaryArray.from_arrays(
        pa.array([i % 3 for i in range(N)], pa.uint32()), pa.array(list("pqr"), pa.string_view())
    )
    columns["view"] = pa.array([f"v{i % 3}" for i in range(N)], pa.string_view())
    table = pa.table(columns)
    table = table.cast(
        pa.schema([f.with_nullable(f.name != "key") for f in table.schema], metadata={"k": "v"})
    )
    how = SMOTENC(carry=["key"], categorical_features=["level", "view", "coded"], random_state=0)
    made, _ = how.fit_resample(table, Y)
    made.validate(full=True)
    assert made.schema.metadata == {b"k": b"v"}
    assert made.schema.types == table.schema.types
    assert made.schema.field("key").nullable
    assert made[:N].to_pylist() == table.to_pylist()
    assert set(made["view"][N:].to_pylist()) <= {"v0", "v1", "v2"}
    assert set(made["level"][N:].to_pylist()) <= {"u", "v", None}
    found, _ = EditedNearestNeighbours(carry=["key", "level", "view", "coded"]).fit_resample(
        table, Y
    )
    assert found.schema.equals(table.schema, check_metadata=True)


def test_the_index_that_pandas_left_in_a_table_is_a_column():
    frame = X.to_pandas().set_index("id")
    whole = pa.Table.from_pandas(frame, preserve_index=True)
    made, _ = SMOTE(carry=["id"], random_state=0).fit_resample(whole, Y)
    assert made.column_names == ["visits", "amount", "id"]
    assert made["id"].null_count == len(made) - N
    ours, _ = SMOTE(random_state=0).fit_resample(
        pa.Table.from_pandas(frame.reset_index(drop=True)), Y
    )
    assert ours.to_pandas().index.equals(pd.RangeIndex(len(made)))


def test_pipelines_of_imbalanced_learn_and_advise():
    frame = X.drop("id")
    pipeline = make_pipeline(SMOTE(random_state=0), StandardScaler(), LogisticRegression())
    ours = pipeline.fit(frame, pl.Series(Y)).predict_proba(frame)
    theirs = pipeline.fit(frame.to_pandas(), Y).predict_proba(frame.to_pandas())
    np.testing.assert_array_equal(ours, theirs)
    sampler = SMOTE(random_state=0)
    sampler.fit(frame, pl.Series(Y))
    assert sampler.feature_names_in_.tolist() == ["visits", "amount"]
    rows = {"rows": 400, "learners": LogisticRegression()}
    long = pl.concat([frame.with_columns(y=Y)] * 10)
    of = [
        dsmote.advise(table, target="y", **rows) for table in (long, long.to_pandas(), arrow(long))
    ]
    assert str(of[0]) == str(of[1]) == str(of[2])


def test_polars_is_imported_by_its_users_only():
    code = (
        "import sys, numpy as np, dsmote; "
        "dsmote.SMOTE().fit_resample(np.eye(30), [0] * 20 + [1] * 10); "
        "print('polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_copies_are_the_rows_null_beside_nan(kind):
    table, column = kind
    frame = X.with_columns(
        hole=pl.Series([None, 1.0, -0.0, None, float("nan"), 2.5, 0.5, 0.0] * (N // 8)),
        count=pl.Series([None, 2**63 + 1, 5, None] * (N // 4), dtype=pl.UInt64),
        pair=pl.Series([[i, None] if i % 8 else None for i in range(N)]),
    )
    how = RandomOverSampler(provenance="full", random_state=0)
    made = pl.DataFrame(how.fit_resample(table(frame), column(pl.Series(Y)))[0])
    bases = frame[made["base_row"].drop_nulls().to_numpy()]
    assert bases["hole"].null_count() and bases["hole"].is_nan().any()
    assert str(made[N:].select(frame.columns).rows()) == str(bases.rows())
    kept = SMOTE(carry=["hole", "count", "pair"], random_state=0)
    made = pl.DataFrame(kept.fit_resample(table(frame), column(pl.Series(Y)))[0])
    assert str(made[:N].rows()) == str(frame.rows())
    assert {made[N:][name].null_count() for name in kept.carry} == {len(made) - N}
    # NaN of new rows would do for pandas, but says something else here.
    plain = frame.with_columns(hole=pl.Series(np.arange(N) / 7)).drop("count", "pair")
    made = SMOTE(carry=["hole"], random_state=0).fit_resample(table(plain), Y)[0]
    assert pl.DataFrame(made)[N:]["hole"].null_count() == N - 2 * FEW


def test_decimals_and_categories_of_numbers_are_made_as_pandas_makes_them():
    amounts = [Decimal(int(100 * a)) / 100 for a in X["amount"]]
    branch = pa.array(np.array([101, 205, 999])[np.arange(N) % 3]).dictionary_encode()
    table = pa.table(
        {
            "x": X["amount"],
            "amount": pa.array(amounts, pa.decimal128(12, 2)),
            "narrow": pa.array(amounts, pa.decimal64(9, 2)),
            "branch": branch,
        }
    )
    frame = pd.DataFrame(
        {
            "x": X["amount"].to_numpy(),
            **{
                c: pd.array(amounts, pd.ArrowDtype(pa.decimal128(12, 2)))
                for c in table.column_names[1:3]
            },
            "branch": branch.to_pandas(),
        }
    )
    how = SMOTENC(categorical_features=["branch"], random_state=0)
    (made, _), (expected, _) = how.fit_resample(table, Y), how.fit_resample(frame, Y)
    assert made.schema.equals(table.schema)
    for name in table.column_names:
        assert made[name].to_pylist() == expected[name].tolist()
    assert any(amount not in amounts for amount in made["amount"][N:].to_pylist())
    assert set(made["branch"][N:].to_pylist()) <= {101, 205, 999}
