"""Bad input: an error that names the column or class, the numbers, and what to do."""

import re
from decimal import Decimal

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dsmote.execute.dask_table
import dsmote.execute.tables
from dsmote import (
    SMOTE,
    SMOTENC,
    RandomOverSampler,
    RandomUnderSampler,
)
from dsmote.plan import Limit, MemoryLimitError
from dsmote.samplers.registry import parameters_of, samplers
from tests.samplers import family
from tests.tables import dask_array, dask_frame, mixed, numbers

N = 60
# Any of the partitions may be the first to be looked at.
UNLIKE = r"a partition of X has \d+ rows, the partition of y beside it \d+; repartition"


@pytest.fixture(autouse=True)
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(params=["in memory", "on dask"])
def kind(request):
    return request.param


@pytest.fixture
def table():
    return numbers(N, 12)


def held(kind, thing):
    """Keep a frame or series in memory, or make a Dask one of three partitions of it."""
    return thing if kind == "in memory" else dask_frame(thing, [20, 0, len(thing) - 20])


def resample(kind, table, sampler=None, **how):
    sampler = SMOTE(random_state=0) if sampler is None else sampler
    made = sampler.resample(held(kind, table), target="y", **how)
    return made if kind == "in memory" else made.compute()


# ---- every sampler


@pytest.mark.parametrize("name", family())
def test_no_sampler_takes_what_it_cannot_use(kind, table, name):
    how, params = family()[name]
    sampler = how(random_state=0, **params)
    with pytest.raises(ValueError, match=r"at least 2 classes, but has 1 class: \{0: 60\}"):
        resample(kind, table.assign(y=0), sampler)
    with pytest.raises(ValueError, match=r"sampling_strategy names 7, which the target does not"):
        resample(kind, table, sampler.set_params(sampling_strategy={7: 90}))
    sampler.set_params(sampling_strategy="auto")
    with pytest.raises(ValueError, match=r"y is missing in 1 row|target 'y' .*miss"):
        resample(kind, table.assign(y=table["y"].mask(table.index == 30)), sampler)
    if not sampler.__sklearn_tags__().input_tags.string:
        with pytest.raises(ValueError, match=r"1 column holds text.*'b'; use SMOTENC"):
            resample(kind, table.assign(b="text"), sampler)
        with pytest.raises(ValueError, match=r"'c' \(1 missing\); fill"):
            resample(kind, table.assign(c=table["c"].mask(table.index == 30)), sampler)


# ---- arrays


@pytest.mark.parametrize("what", ["X", "y", "sample_weight", "groups"])
def test_masked_values_are_not_taken_for_what_lies_under_the_mask(kind, table, what):
    given = {"X": table[["a", "b"]], "y": table["y"]}
    given |= {"sample_weight": table["a"], "groups": table["y"]}
    given = {name: values.to_numpy() for name, values in given.items()}
    mask = np.zeros(given[what].shape, dtype=bool)
    mask[30] = True  # in the last partition
    given[what] = np.ma.masked_array(given[what], mask)
    if kind == "on dask":
        given = {name: da.from_array(v, chunks=20, asarray=False) for name, v in given.items()}
    hidden = 2 if what == "X" else 1
    with pytest.raises(ValueError, match=rf"{what} is a masked array, and {hidden} of its .*fill"):
        dask.compute(SMOTE().fit_resample(**given))


def test_bytes_are_text_and_not_numbers(table):
    # float() reads them, and what is made would be cut to their length.
    with pytest.raises(ValueError, match="2 columns hold text"):
        SMOTE().fit_resample(table[["a", "b"]].to_numpy().astype("S"), table["y"])


@pytest.mark.parametrize("sampler", [SMOTE(), RandomUnderSampler()])
def test_labels_that_cannot_be_compared(table, sampler):
    with pytest.raises(TypeError, match=r"target holds values that cannot be class labels.*list"):
        sampler.fit_resample(table[["a"]], table["y"].map(lambda label: [label]))


# ---- columns


def test_no_such_target(kind, table):
    with pytest.raises(ValueError, match=r"no target column 'label'; the columns are 'a', 'b'"):
        SMOTE().resample(held(kind, table), target="label")
    with pytest.raises(ValueError, match="no target column 'label'"):
        SMOTE().plan(held(kind, table), target="label")


def test_no_such_column_to_carry(kind, table):
    with pytest.raises(ValueError, match=r"no column 'id' to carry; the columns are 'a'"):
        resample(kind, table, SMOTE(carry=["id"]))
    with pytest.raises(ValueError, match="target column 'y' cannot be carried"):
        resample(kind, table, SMOTE(carry=["y"]))


@pytest.mark.parametrize("wanted", [["nope"], [7], [-6], ["y"], "a"])
def test_no_such_nominal_column(kind, wanted):
    with pytest.raises(ValueError, match="categorical_features"):
        resample(kind, mixed(N), SMOTENC(categorical_features=wanted))


def test_a_mask_of_another_length(kind):
    with pytest.raises(ValueError, match="mask of 2 values, but there are 4 columns"):
        resample(kind, mixed(N), SMOTENC(categorical_features=[True, False]))


def test_a_column_named_nominal_and_carried_is_carried(kind):
    sampler = SMOTENC(categorical_features=["c", "d"], carry=["c"], k_neighbors=2)
    made = resample(kind, mixed(N), sampler)
    assert made["c"][N:].isna().all()
    assert sampler.categorical_features_.tolist() == [4]


def test_duplicate_column_names(kind, table):
    table.columns = ["a", "a", "b", "y"]
    with pytest.raises(ValueError, match="unique, but 'a' appears more than once; rename"):
        SMOTE().resample(table if kind == "in memory" else duplicated(table), target="y")


def test_a_target_that_two_columns_are_named_as():
    frame = pd.DataFrame(np.eye(40, 3), columns=["a", "y", "y"])
    for sampler in samplers().values():
        with pytest.raises(ValueError, match=r"2 columns are named 'y'.* rename the others"):
            sampler().resample(frame, target="y")


def duplicated(table):
    """Make a Dask frame with two columns of one name, which Dask does not refuse."""
    keys = [("d", 0)]
    return dd.from_graph({keys[0]: (lambda: table,)}, table.iloc[:0], (None, None), keys, "d")


def test_names_given_to_smote(kind):
    message = r"SMOTE needs numbers, but 2 columns hold text .*: 'c', 'd'; use SMOTENC"
    with pytest.raises(ValueError, match=message):
        resample(kind, mixed(N))


@pytest.mark.parametrize("dtype", ["str", "string", object, "category", "string[pyarrow]"])
def test_text_of_every_kind_given_to_smote(kind, table, dtype):
    table["c"] = pd.Series(["x", "y"] * (N // 2), dtype=dtype)
    with pytest.raises(ValueError, match=r"1 column holds text .*'c'; use SMOTENC"):
        resample(kind, table)


@pytest.mark.parametrize("as_given", [np.asarray, np.ndarray.tolist])
def test_numbers_written_as_text_in_arrays(as_given):
    X, y = np.array([["1.5", "2"], ["0.5", "1"]] * 10), np.repeat([0, 1], [12, 8])
    with pytest.raises(ValueError, match=r"SMOTE needs numbers, but 2 columns hold .*0, 1"):
        SMOTE().fit_resample(as_given(X), y)
    with pytest.raises(ValueError, match=r"SMOTENC needs numbers, but 1 column holds text .*1"):
        SMOTENC([0]).fit_resample(as_given(X), y)


def test_text_in_arrays():
    X = np.array([["a", "1"], ["b", "2"]] * 10)
    y = np.repeat([0, 1], [12, 8])
    with pytest.raises(ValueError, match="use SMOTENC"):
        SMOTE().fit_resample(X, y)
    with pytest.raises(ValueError, match="use SMOTENC"):
        SMOTE().fit_resample(X.tolist(), y)
    with pytest.raises((ValueError, TypeError), match="SMOTENC"):
        SMOTE().fit_resample(dask_array(X, [10, 10]), dask_array(y, [10, 10]))[0].compute()


def test_smotenc_without_a_nominal_column(kind, table):
    with pytest.raises(ValueError, match=r"no categorical feature \(0 of 3 feat.*; use SMOTE"):
        resample(kind, table, SMOTENC())
    with pytest.raises(ValueError, match="use SMOTE"):
        resample(kind, table, SMOTENC(categorical_features=[]))


def test_smotenc_with_nominal_columns_only(kind, table):
    message = r"at least one numeric feature, but all 3 .* \('a', 'b', 'c'\); use SMOTEN"
    with pytest.raises(ValueError, match=message):
        resample(kind, table, SMOTENC(categorical_features=["a", "b", "c"]))


def test_complex_columns(kind, table):
    table["a"] = table["a"] * 1j
    with pytest.raises(TypeError, match=r"column 'a' has dtype complex128.*convert it.*carry"):
        resample(kind, table)
    array = table[["a", "b"]].to_numpy()
    if kind == "on dask":
        array = dask_array(array, [20, N - 20])
    y = (
        table["y"].to_numpy()
        if kind == "in memory"
        else dask_array(table["y"].to_numpy(), [20, 40])
    )
    with pytest.raises(ValueError, match="Complex data not supported"):
        SMOTE().fit_resample(array, y)


@pytest.mark.parametrize("sampler", [SMOTE(), SMOTENC()])
@pytest.mark.parametrize(
    "values", [[[1, 2]] * N, [{"k": 1}] * N, [np.zeros(2)] * N], ids=["lists", "dicts", "arrays"]
)
def test_nested_columns(sampler, values, table):
    # Dask turns objects to text in from_pandas; frames of objects come from other readers.
    table["deep"] = pd.Series(values, dtype=object)
    with pytest.raises((TypeError, ValueError), match="'deep'"):
        resample("in memory", table, sampler)
    with (
        dask.config.set({"dataframe.convert-string": False}),
        pytest.raises((TypeError, ValueError), match="'deep'"),
    ):
        resample("on dask", table, sampler)


@pytest.mark.parametrize("sampler", [SMOTE(), SMOTENC()])
@pytest.mark.parametrize("dtype", ["list<item: int64>[pyarrow]", "struct<k: int64>[pyarrow]"])
def test_nested_columns_of_arrow(kind, sampler, dtype, table):
    import pyarrow as pa

    cell = [1, 2] if dtype.startswith("list") else {"k": 1}
    arrow = pa.list_(pa.int64()) if dtype.startswith("list") else pa.struct([("k", pa.int64())])
    table["deep"] = pd.Series([cell] * N, dtype=pd.ArrowDtype(arrow))
    with pytest.raises((TypeError, ValueError), match=r"column.* 'deep' "):
        resample(kind, table, sampler)


@pytest.mark.parametrize("sampler", [SMOTE(), SMOTENC()])
def test_periods_and_intervals(sampler, table):
    table["when"] = pd.period_range("2020-01", periods=N, freq="M")
    with pytest.raises(TypeError, match=r"column 'when' has dtype period\[M\]"):
        resample("in memory", table, sampler)
    table["when"] = pd.interval_range(0, N)
    with pytest.raises(TypeError, match=r"column 'when' has dtype interval"):
        resample("in memory", table, sampler)


def test_no_column_to_measure(kind, table):
    with pytest.raises(ValueError, match="there is no feature"):
        resample(kind, table, SMOTE(carry=["a", "b", "c"]))


# ---- values


def test_missing_and_infinite_values_are_counted_by_column(kind, table):
    table.loc[3, "a"] = np.nan
    table.loc[[4, 50], "b"] = np.inf
    table.loc[5, "b"] = np.nan
    message = r"measured columns: 'a' \(1 missing\), 'b' \(1 missing, 2 infinite\); .*'skip'"
    with pytest.raises(ValueError, match=message):
        resample(kind, table)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean"])
def test_missing_values_of_nullable_columns(kind, table, dtype):
    table["n"] = pd.array([1, 0, None, 1] * (N // 4), dtype=dtype)
    with pytest.raises(ValueError, match=r"measured columns: 'n' \(15 missing\)"):
        resample(kind, table)


def test_missing_moments(kind, table):
    table["t"] = pd.Timestamp("2020-01-01")
    table.loc[7, "t"] = pd.NaT
    with pytest.raises(ValueError, match=r"measured columns: 't' \(1 missing\)"):
        resample(kind, table)


def test_missing_values_of_arrays(kind, table):
    X, y = table.drop(columns="y").to_numpy(copy=True), table["y"].to_numpy()
    X[:2, 1] = np.nan
    if kind == "on dask":
        X, y = dask_array(X, [20, N - 20]), dask_array(y, [20, N - 20])
    with pytest.raises(ValueError, match=r"measured columns: 1 \(2 missing\)"):
        SMOTE().fit_resample(X, y)


def test_missing_values_are_found_while_computing_when_the_counts_were_given(table):
    table.loc[table.index[table["y"] == 1][0], "a"] = np.nan
    lazy = SMOTE().resample(held("on dask", table), target="y", class_counts={0: 48, 1: 12})
    with pytest.raises(ValueError, match=r"measured columns: 'a' \(1 missing\)"):
        lazy.compute()


def test_skipping_what_is_missing_may_leave_too_few_rows(kind, table):
    few = table.index[table["y"] == 1]
    table.loc[few[:8], "a"] = np.nan
    message = r"class 1 has 4 rows .*k_neighbors=5 needs at least 6 .*; or lower k_neighbors to 3"
    with pytest.raises(ValueError, match=message):
        resample(kind, table, SMOTE(missing="skip"))


@pytest.mark.parametrize(
    "dtype", ["float64", "object", "str", "string", "Int64", "category"], ids=str
)
def test_missing_labels(kind, table, dtype):
    labels = table["y"].map({0: "no", 1: "yes"}) if dtype in ("object", "str", "string") else None
    table["y"] = (table["y"] if labels is None else labels).astype(dtype)
    table.loc[[0, 30, 31], "y"] = None
    with pytest.raises(ValueError, match=r"the target 'y' is missing in 3 rows; drop those rows"):
        resample(kind, table)


def test_missing_labels_are_found_while_computing_when_the_counts_were_given(table):
    table["y"] = table["y"].astype(float)
    table.loc[0, "y"] = np.nan
    lazy = SMOTE().resample(held("on dask", table), target="y", class_counts={0.0: 47, 1.0: 12})
    with pytest.raises(ValueError, match="the target 'y' is missing in 1 row; drop"):
        lazy.compute()


# ---- classes


def test_one_class(kind, table):
    table["y"] = "only"
    with pytest.raises(ValueError, match=r"at least 2 classes, but has 1 class: \{'only': 60\}"):
        resample(kind, table)


def test_a_label_in_the_strategy_that_is_not_there(kind, table):
    with pytest.raises(ValueError, match=r"names 2, which the target does not .*\{0: 48, 1: 12\}"):
        resample(kind, table, SMOTE(sampling_strategy={2: 100}))


def test_a_total_below_what_is_present(kind, table):
    with pytest.raises(ValueError, match=r"wants 5 rows of class 1, which has 12: .*only adds"):
        resample(kind, table, SMOTE(sampling_strategy={1: 5}))
    with pytest.raises(ValueError, match="wants -1 rows of class 1"):
        resample(kind, table, SMOTE(sampling_strategy={1: -1}))


def test_a_ratio_that_makes_nothing_or_has_three_classes(kind, table):
    with pytest.raises(ValueError, match=r"asks for 9 rows of class 1, which has 12 already"):
        resample(kind, table, SMOTE(sampling_strategy=0.2))
    with pytest.raises(ValueError, match="works with 2 classes, but the target has 3"):
        resample(kind, mixed(N), SMOTENC(sampling_strategy=0.5))


def test_fewer_than_k_plus_one_rows(kind, table):
    message = (
        r"class 1 has 12 rows, but k_neighbors=12 needs at least 13 \(k \+ 1\); lower k_neighbors "
        r"to 11 or less, leave the class out"
    )
    with pytest.raises(ValueError, match=message):
        resample(kind, table, SMOTE(k_neighbors=12))
    assert len(resample(kind, table, SMOTE(k_neighbors=11))) == 96


def test_a_class_of_one_row(kind, table):
    table["y"] = np.where(np.arange(N) == 9, "rare", "usual")
    with pytest.raises(ValueError, match=r"class 'rare' has 1 row, but.*collect more rows of it"):
        resample(kind, table)


def test_all_classes_that_are_too_small_are_named(kind):
    table = mixed(N, 8)
    with pytest.raises(ValueError, match=r"class 'few' has 4 rows.*class 'less' has 4 rows"):
        resample(kind, table, SMOTENC())


def test_small_classes_that_do_not_grow_are_no_error(kind):
    table = mixed(N, 16)
    sampler = SMOTENC(sampling_strategy={"few": 20}, k_neighbors=7)
    table.loc[table.index[table["y"] == "less"][2:], "y"] = "most"
    assert resample(kind, table, sampler)["y"].value_counts()["few"] == 20


@pytest.mark.parametrize("k", [0, -1, 2.5, "5", None])
def test_k_below_one(kind, table, k):
    with pytest.raises(ValueError, match="'k_neighbors' parameter"):
        resample(kind, table, SMOTE(k_neighbors=k))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("missing", "drop"),
        ("sampling_strategy", "most"),
        ("sampling_strategy", 1.5),
        ("sampling_strategy", 0.0),
        ("sampling_strategy", [1]),
        ("random_state", "a"),
        ("carry", 5),
    ],
)
def test_parameters_that_are_none(kind, table, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        resample(kind, table, SMOTE(**{name: value}))


def test_a_negative_seed(kind, table):
    with pytest.raises(ValueError, match="random_state"):
        resample(kind, table, SMOTE(random_state=-1))


def test_majority_and_what_callables_return(kind, table):
    with pytest.raises(ValueError, match="'majority' cannot be used with an over-sampler"):
        resample(kind, table, SMOTE(sampling_strategy="majority"))
    with pytest.raises(ValueError, match="must return a mapping from class to total rows"):
        resample(kind, table, SMOTE(sampling_strategy=lambda y: [1]))
    with pytest.raises(ValueError, match=r"wants 20\.5 rows of class 1; it must be a whole number"):
        resample(kind, table, SMOTE(sampling_strategy={1: 20.5}))


# ---- shapes


def test_zero_rows(kind, table):
    none = table[:0]
    with pytest.raises(ValueError, match="zero rows"):
        SMOTE().resample(none if kind == "in memory" else dask_frame(none, [0, 0]), target="y")


def test_zero_columns(table):
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        SMOTE().fit_resample(table[[]], table["y"])
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        SMOTE().fit_resample(np.empty((N, 0)), table["y"])
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        SMOTE().fit_resample(held("on dask", table)[[]], held("on dask", table["y"]))


def test_features_and_target_of_different_length_in_memory(table):
    X, y = table.drop(columns="y"), table["y"]
    with pytest.raises(ValueError, match="inconsistent numbers of samples: X has 60 rows and y 59"):
        SMOTE().fit_resample(X, y[:-1])
    with pytest.raises(ValueError, match="X has 59 rows and y 60"):
        SMOTE().fit_resample(X.to_numpy()[:-1], y.to_numpy())


def test_features_and_target_of_different_length_on_dask(table):
    X, y = table.drop(columns="y"), table["y"]
    arrays = dask_array(X.to_numpy(), [30, 30]), dask_array(y.to_numpy()[:-1], [30, 29])
    with pytest.raises(ValueError, match="X has 60 rows and y 59"):
        SMOTE().fit_resample(*arrays)
    with pytest.raises(ValueError, match=UNLIKE):
        SMOTE().fit_resample(dask_frame(X, [30, 30]), dask_frame(y[:-1], [30, 29]))
    unknown = dask_array(X.to_numpy(), [30, 30], known=False)
    with pytest.raises(ValueError, match=UNLIKE):
        SMOTE().fit_resample(unknown, dask_array(y.to_numpy(), [20, 40], known=False))


def test_features_and_target_partitioned_differently(table):
    X, y = table.drop(columns="y"), table["y"]
    with pytest.raises(ValueError, match="X has 3 partitions and y 2; repartition both alike"):
        SMOTE().fit_resample(dask_frame(X, [20, 20, 20]), dask_frame(y, [30, 30]))
    with pytest.raises(ValueError, match=UNLIKE):
        SMOTE().fit_resample(dask_frame(X, [20, 40]), dask_frame(y, [30, 30]))
    with pytest.raises(ValueError, match="X has 3 partitions and y 2"):
        SMOTE().fit_resample(dask_frame(X, [20, 20, 20]), dask_array(y.to_numpy(), [30, 30]))
    # Found while computing where the pass over the data is saved.
    lazy, _ = SMOTE().fit_resample(
        dask_frame(X, [20, 40]), dask_frame(y, [30, 30]), class_counts={0: 48, 1: 12}
    )
    with pytest.raises(ValueError, match="partitioned differently"):
        lazy.compute()


def test_arrays_of_known_chunks_are_matched(table):
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy()
    found = SMOTE(random_state=0).fit_resample(dask_array(X, [20, 40]), dask_array(y, [30, 30]))
    expected = SMOTE(random_state=0).fit_resample(X, y)
    np.testing.assert_array_equal(found[0].compute(), expected[0])
    np.testing.assert_array_equal(found[1].compute(), expected[1])


def test_one_in_memory_and_the_other_on_dask(table):
    X, y = table.drop(columns="y"), table["y"]
    with pytest.raises(TypeError, match=r"X is a Dask collection.*but y is in memory.*Series"):
        SMOTE().fit_resample(held("on dask", X), y)
    with pytest.raises(TypeError, match=r"y is a Dask collection.*but X is in memory.*DataFrame"):
        SMOTE().fit_resample(X, held("on dask", y))


def test_containers_that_are_none(table):
    with pytest.raises(TypeError, match=r"fit_resample\(X, y\)"):
        SMOTE().resample(table.to_numpy(), target="y")
    with pytest.raises(ValueError, match="target y is None"):
        SMOTE().fit_resample(table, None)
    with pytest.raises(ValueError, match="Expected 2D"):
        SMOTE().fit_resample(np.arange(10.0), np.arange(10) % 2)
    with pytest.raises(ValueError, match="Expected 2D"):
        SMOTE().fit_resample(da.arange(10.0), da.arange(10) % 2)
    with pytest.raises(TypeError, match="two-dimensional Dask Array, but is a Series"):
        SMOTE().fit_resample(held("on dask", table["a"]), held("on dask", table["y"]))
    with pytest.raises(ValueError, match="plan takes X and y, or a frame and target="):
        SMOTE().plan(table)
    with pytest.raises(ValueError, match="plan takes X and y, or a frame and target="):
        SMOTE().plan(table, table["y"], target="y")


def test_targets_of_several_columns(kind, table):
    X, y = table[["a", "b"]], table[["c", "y"]]
    with pytest.raises(ValueError, match="Multilabel and multioutput targets are not supported"):
        SMOTE().fit_resample(held(kind, X), held(kind, y))


def test_continuous_targets(kind, table):
    with pytest.raises(ValueError, match="continuous"):
        resample(kind, table.assign(y=table["a"]))


def test_sparse_matrices():
    from scipy.sparse import csr_matrix

    X, y = csr_matrix(np.eye(20)), np.repeat([0, 1], [12, 8])
    for sampler in (SMOTE(random_state=0), RandomOverSampler(), RandomUnderSampler()):
        with pytest.raises(TypeError, match=r"X\.toarray.*from_spmatrix"):
            sampler.fit_resample(X, y)
    # The remedies do the same.
    dense = SMOTE(random_state=0).fit_resample(X.toarray(), y)[0]
    sparse = pd.DataFrame.sparse.from_spmatrix(X)
    frame = SMOTE(random_state=0).fit_resample(sparse, y)[0]
    assert frame.dtypes.equals(sparse.dtypes)
    np.testing.assert_array_equal(frame.to_numpy(), dense)


# ---- partitions


def parted(*parts, meta=None):
    keys = [("q", i) for i in range(len(parts))]
    tasks = {key: (lambda part=part: part,) for key, part in zip(keys, parts, strict=True)}
    meta = parts[0].iloc[:0] if meta is None else meta
    return dd.from_graph(tasks, meta, (None,) * (len(parts) + 1), keys, "q")


def test_empty_partitions_are_fine(table):
    expected = SMOTE(random_state=0).resample(table, target="y")
    found = SMOTE(random_state=0).resample(dask_frame(table, [0, 0, 60, 0]), target="y").compute()
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)


def test_an_empty_partition_may_have_lost_its_dtypes(table):
    lost = table[:0].astype(object)
    frame = parted(table[:30], lost, table[30:])
    found = SMOTE(random_state=0).resample(frame, target="y").compute()
    assert found.dtypes.equals(table.dtypes)


@pytest.mark.parametrize("counts", [None, {0: 48, 1: 12}])
def test_partitions_of_different_dtypes(table, counts):
    other = table[30:].astype({"b": "float32"})
    frame = parted(table[:30], other)
    message = r"column 'b' has dtype float32 in one partition, but .* declares float64; .*astype"
    with pytest.raises(ValueError, match=message):
        SMOTE().resample(frame, target="y", class_counts=counts).compute()


@pytest.mark.parametrize("counts", [None, {0: 48, 1: 12}])
def test_partitions_of_different_columns(table, counts):
    frame = parted(table[:30], table[30:][["b", "a", "c", "y"]])
    with pytest.raises(ValueError, match=r"a partition has the columns \['b', 'a', 'c', 'y'\]"):
        SMOTE().resample(frame, target="y", class_counts=counts).compute()


def categories_that_differ(ordered):
    table = mixed(N, 24).drop(columns="d")
    parts = []
    for part, levels in ((table[:30], "xyz"), (table[30:], "zw")):
        values = np.array(list(levels))[np.arange(30) % len(levels)]
        dtype = pd.CategoricalDtype(list(levels), ordered=ordered)
        parts.append(part.assign(e=pd.Categorical(values, dtype=dtype)))
    return parts


@pytest.mark.parametrize("sampler", [SMOTENC(random_state=0), RandomOverSampler(random_state=0)])
def test_categories_that_differ_are_united(sampler):
    parts = categories_that_differ(ordered=False)
    lazy = sampler.resample(parted(*parts), target="y")
    found = lazy.compute()
    assert list(found["e"].cat.categories) == list("wxyz")
    expected = [*parts[0]["e"], *parts[1]["e"]]
    assert found["e"][:N].tolist() == expected
    for part in dask.compute(*lazy.to_delayed()):
        assert part["e"].dtype == found["e"].dtype
    assert lazy._meta["e"].dtype == found["e"].dtype


@pytest.mark.parametrize("sampler", [SMOTENC(random_state=0), RandomOverSampler(random_state=0)])
def test_categories_that_differ_stay_categories_with_class_counts(sampler):
    parts = categories_that_differ(ordered=False)
    counts = pd.concat(parts)["y"].value_counts().to_dict()
    found = sampler.resample(parted(*parts), target="y", class_counts=counts).compute()
    assert found["e"].tolist() == (
        sampler.resample(parted(*parts), target="y").compute()["e"].tolist()
    )
    assert isinstance(found["e"].dtype, pd.CategoricalDtype)


DIFFERENT = {
    "ints": ([1, 2], "int32", "int64"),
    "ints without a sign": ([1, 2], "uint8", "int8"),
    "int and float": ([1, 2], "int32", "float64"),
    "floats": ([0.5, 1.0], "float32", "float64"),
    "nullable": ([1, 2], "int64", "Int64"),
    "moments": (pd.to_datetime(["2020", "2021"]), "datetime64[us]", "datetime64[ns]"),
    "spans": (pd.to_timedelta([1, 2], unit="D"), "timedelta64[s]", "timedelta64[us]"),
    "text": (["a", "b"], "str", object),
    "Arrow text": (["a", "b"], "string[pyarrow]", pd.ArrowDtype(pa.large_string())),
    "text and codes": (["a", "b"], "str", "category"),
    "codes": (["a", "b"], pd.CategoricalDtype(["a", "b"]), pd.CategoricalDtype(["b", "c", "a"])),
    "decimals": (
        [Decimal("1.25"), Decimal("2.5")],
        pd.ArrowDtype(pa.decimal128(4, 2)),
        pd.ArrowDtype(pa.decimal128(9, 3)),
    ),
    "all missing": ([1, 2], object, "int64"),
    "all missing bools": ([True, False], object, "bool"),
    "all missing codes": (["a", "b"], object, "category"),
    "all missing floats": ([0.5, 1.0], object, "float32"),
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("kind", DIFFERENT)
@pytest.mark.parametrize(
    ("sampler", "how"),
    [
        (RandomOverSampler(random_state=0), {}),
        (RandomOverSampler(random_state=0), {"class_counts": {0: 48, 1: 12}}),
        (RandomUnderSampler(random_state=0), {}),
    ],
)
def test_partitions_of_different_width_have_a_remedy_that_works(table, kind, swapped, sampler, how):
    """As files of one table have, of which dd.read_parquet takes each as it is."""
    values, one, other = DIFFERENT[kind]
    first = pd.Series([None] * 30 if "missing" in kind else [values[0], values[1]] * 15, dtype=one)
    columns = [first, pd.Series([values[1], values[0]] * 15, dtype=other)]
    parts = [
        part.assign(c=column.to_numpy() if column.dtype == object else column.array)
        for part, column in zip((table[:30], table[30:]), columns, strict=True)
    ]
    frame = parted(*(parts[::-1] if swapped else parts))
    try:
        made = sampler.resample(frame, target="y", **how).compute()
    except ValueError as error:
        words = r"column 'c' has dtype (.*) in one .* declares (.*); .*frame\.astype\((.*})\)"
        named = re.search(words, str(error))
        assert named is not None, error
        assert {named[1], named[2]} == {str(column.dtype) for column in columns}
        remedy = eval(named[3], {"pandas": pd, "pyarrow": pa})
        made = sampler.resample(frame.astype(remedy), target="y", **how).compute()
    assert made["y"].value_counts().nunique() == 1
    expected = pd.concat(parts[::-1] if swapped else parts)["c"]
    shown = made["c"].iloc[:60] if len(made) > 60 else made["c"]
    same = expected.astype(object).loc[shown.index]
    assert shown.isna().tolist() == same.isna().tolist()
    assert shown.dropna().tolist() == same.dropna().tolist()


def test_ordered_categories_that_differ():
    parts = categories_that_differ(ordered=True)
    with pytest.raises(ValueError, match="column 'e' is an ordered categorical whose categories d"):
        SMOTENC().resample(parted(*parts), target="y")


def test_categories_that_differ_and_are_too_many():
    parts = categories_that_differ(ordered=False)
    many = [f"a long name of a level {i}" for i in range(3_000)]
    parts[1]["e"] = pd.Categorical(["a long name of a level 3"] * 30, categories=many)
    with pytest.raises(ValueError, match=r"categories of column 'e' differ .* 3,003 .*categorize"):
        SMOTENC().resample(parted(*parts), target="y")


# ---- class_counts


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({0: 48, 1: 13}, r"class 1 has 12 rows in the data, but 13 were planned for; correct"),
        ({0: 47, 1: 12}, r"class 0 has 48 rows in the data, but 47 were planned for"),
        ({0: 48, 1: 12, 2: 9}, r"class 2 has 0 rows in the data, but 9 were planned for"),
    ],
)
def test_class_counts_that_are_wrong(kind, table, counts, message):
    with pytest.raises(ValueError, match=message):
        resample(kind, table, class_counts=counts)


def test_class_counts_without_a_class_that_is_there(kind):
    with pytest.raises(ValueError, match=r"data hold the class 'few' \(12 rows\).*not name"):
        resample(kind, mixed(N, 24), SMOTENC(), class_counts={"most": 36, "less": 12})


@pytest.mark.parametrize("counts", [{0: -1, 1: 12}, {0: 1.5, 1: 12}, {0: "a", 1: 12}])
def test_class_counts_that_are_no_counts(kind, table, counts):
    with pytest.raises(ValueError, match=r"class_counts says .* rows of class 0; give whole numb"):
        resample(kind, table, class_counts=counts)


# ---- memory


@pytest.mark.parametrize("how", ["resample", "fit_resample", "fit"])
def test_what_cannot_fit_is_refused_before_it_runs(kind, table, how, monkeypatch):
    limit = Limit(250 * 2**20, 2, "the memory limit of a worker")
    for module in (dsmote.execute.dask_table, dsmote.execute.tables):
        monkeypatch.setattr(module, "memory_limit", lambda **_: limit)

    def refuse(*args, **kwargs):
        raise AssertionError("it ran")

    monkeypatch.setattr("dsmote.execute.generate.make_rows", refuse)
    monkeypatch.setattr("dsmote.execute.graph.build_class_index", refuse)
    frame = held(kind, table)
    sampler = SMOTE(sampling_strategy={1: 3_000_000})
    message = (
        r"class 1 .*does not fit into the memory limit of a worker: .* \([\d,]+ bytes\) needed by "
        r"one worker, 200\.0 MiB \(209,715,200 bytes\) allowed "
        r".*(give each worker more memory|pass the table as a Dask DataFrame)"
    )
    with pytest.raises(MemoryLimitError, match=message) as caught:
        if how == "resample":
            sampler.resample(frame, target="y")
        else:
            getattr(sampler, how)(frame[["a", "b", "c"]], frame["y"])
    assert isinstance(caught.value, MemoryError)
    plan = sampler.plan(frame, target="y")
    assert plan.memory.allowed_bytes == 209_715_200
    assert plan.memory.worker_bytes > plan.memory.allowed_bytes
    assert any("does not fit" in problem for problem in plan.problems)


def test_the_guilty_class_is_named(monkeypatch):
    limit = Limit(300 * 2**20, 1, "the memory of this machine")
    monkeypatch.setattr(dsmote.execute.dask_table, "memory_limit", lambda **_: limit)
    table = mixed(N, 24).drop(columns=["c", "d"])
    counts = {"most": 9_000_000, "few": 10, "less": 8_000_000}
    with pytest.raises(MemoryLimitError, match=r"class 'less' .*the memory of this machine"):
        SMOTE().resample(held("on dask", table), target="y", class_counts=counts)


def test_merged_chunks_of_the_target_get_a_remedy_that_works(tmp_path):
    columns = {f"x{i}": np.random.default_rng(i).normal(size=40) for i in range(12)}
    for number in range(8):
        part = pd.DataFrame(columns).assign(y=np.repeat([0, 1], [30, 10]))
        part.to_parquet(tmp_path / f"{number}.parquet")
    frame = dd.read_parquet(tmp_path)
    X, y = frame.drop(columns="y"), frame["y"].to_dask_array()
    if len(y.chunks[0]) == X.npartitions:
        pytest.skip("this version of Dask does not merge the chunks")
    with pytest.raises(ValueError, match="because Dask merges them: pass the column itself"):
        SMOTE().fit_resample(X, y)
    SMOTE().fit_resample(X, frame["y"])
    arrays = X.to_dask_array(), y
    if len(arrays[0].chunks[0]) != len(y.chunks[0]):
        with pytest.raises(ValueError, match=r"call compute_chunk_sizes\(\) on both"):
            SMOTE().fit_resample(*arrays)
    known = [array.compute_chunk_sizes() for array in arrays]
    assert SMOTE(random_state=0).fit_resample(*known)[1].compute().mean() == 0.5


@pytest.mark.parametrize("on_dask", [False, True])
@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("kind", [k for k in samplers().values() if "missing" in parameters_of(k)])
def test_rows_that_all_miss_a_value_are_explained(kind, everywhere, on_dask):
    """Which columns miss how many, and that they can be carried; no count of nearest rows."""
    y = np.repeat([0, 1], [40, 20])
    b = np.where(everywhere | (y == 1), np.nan, 1.0)
    table = pd.DataFrame({"a": np.arange(60.0), "b": b, "k": 1, "y": y})
    more = {"categorical_features": ["k"]} if kind is SMOTENC else {}
    given = dd.from_pandas(table, npartitions=2) if on_dask else table
    with pytest.raises(ValueError, match=r"class 1 has 0 rows \(20 less") as error:
        kind(missing="skip", **more).resample(given, target="y")
    assert f"fill or name in carry the columns 'b' ({np.isnan(b).sum()} missing); or" in str(
        error.value
    )
    assert "nearest of all rows" not in str(error.value)


def test_few_rows_because_of_missing_values_are_explained():
    x = np.where(np.arange(60) < 57, np.inf, 1.0)
    with pytest.raises(
        ValueError, match=r"name in carry the columns 'b' \(57 infinite\); or lower"
    ):
        SMOTE(missing="skip").resample(
            pd.DataFrame({"a": np.arange(60.0), "b": x, "y": np.repeat([0, 1], [40, 20])}),
            target="y",
        )
