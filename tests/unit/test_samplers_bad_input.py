"""Bad input: an error that names the column or class, the numbers, and what to do."""

import itertools
import re
from decimal import Decimal

import dask
import dask.array as da
import dask.bag
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from dsmote import (
    ADASYN,
    SMOTE,
    SMOTENC,
    SVMSMOTE,
    BorderlineSMOTE,
    KMeansSMOTE,
    RandomOverSampler,
    RandomUnderSampler,
)
from dsmote.plan import Limit, MemoryLimitError
from dsmote.samplers.registry import make_sampler, samplers
from tests.samplers import family, having, table_of
from tests.tables import dask_array, dask_frame, mixed, numbers, set_constant

N = 60
OVER, UNDER = family(), family(over=False)
ALL = OVER | UNDER
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


def resample(kind, table, sampler, **how):
    made = sampler.resample(held(kind, table), target="y", **how)
    return made if kind == "in memory" else made.compute()


# ---- every sampler


@pytest.mark.parametrize("name", ALL)
def test_no_sampler_takes_what_it_cannot_use(kind, name):
    how, params = ALL[name]
    table = table_of(name, N, 12)
    sampler = how(random_state=0, **params)
    with pytest.raises(ValueError, match=r"at least 2 classes, but has 1 class: \{0: 60\}"):
        resample(kind, table.assign(y=0), sampler)
    with pytest.raises(ValueError, match=r"sampling_strategy names 7, which the target does not"):
        resample(kind, table, how(sampling_strategy={7: 90}, **params))
    with pytest.raises(ValueError, match=r"no target column 'label'; the columns are 'a', 'b'"):
        sampler.resample(held(kind, table), target="label")
    with pytest.raises(ValueError, match=r"y is missing in 1 row|target 'y' .*miss"):
        resample(kind, table.assign(y=table["y"].mask(table.index == 30)), sampler)
    with pytest.raises(ValueError, match="zero rows"):
        none = table[:0] if kind == "in memory" else dask_frame(table[:0], [0, 0])
        sampler.resample(none, target="y")
    with pytest.raises(ValueError, match=r"Unknown label type: continuous.*60 different values"):
        resample(kind, table.assign(y=np.arange(N) + 0.5), sampler)
    if not sampler.__sklearn_tags__().input_tags.string:
        with pytest.raises(ValueError, match=r"1 column holds text.*'b'; (use SMOTENC|list them)"):
            resample(kind, table.assign(b="text"), sampler)
        with pytest.raises(ValueError, match=r"'a' \(1 missing\); fill"):
            resample(kind, table.assign(a=table["a"].mask(table.index == 30)), sampler)


@pytest.mark.parametrize("name", ALL)
def test_no_sampler_takes_containers_that_do_not_match(name):
    how, params = ALL[name]
    sampler = how(**params)
    frame = pd.DataFrame(np.eye(40, 3), columns=["a", "y", "y"])
    with pytest.raises(ValueError, match=r"2 columns are named 'y'.* rename the others"):
        sampler.resample(frame, target="y")
    doubled = numbers(N).set_axis(["a", "a", "b", "y"], axis=1)
    with pytest.raises(ValueError, match="unique, but 'a' appears more than once; rename"):
        sampler.resample(dask_frame(doubled, [20, 40]), target="y")
    table = table_of(name, N, 12)
    X, y = table.drop(columns="y"), table["y"]
    for given in ((X, y[:-1]), (X.to_numpy(), y.to_numpy()[:-1])):
        with pytest.raises(ValueError, match="numbers of samples: X has 60 rows and y 59"):
            sampler.fit_resample(*given)
    with pytest.raises(ValueError, match="X has 3 partitions and y 2; repartition both alike"):
        sampler.fit_resample(dask_frame(X, [20, 20, 20]), dask_frame(y, [30, 30]))
    with pytest.raises(ValueError, match=UNLIKE):
        dask.compute(sampler.fit_resample(dask_frame(X, [20, 40]), dask_frame(y, [30, 30])))
    with pytest.raises(TypeError, match=r"X is a Dask collection.*but y is in memory.*Series"):
        sampler.fit_resample(held("on dask", X), y)
    with pytest.raises(TypeError, match=r"y is a Dask collection.*but X is in memory.*DataFrame"):
        sampler.fit_resample(X, held("on dask", y))
    with pytest.raises(ValueError, match="Expected 2D"):
        sampler.fit_resample(da.arange(10.0), da.arange(10) % 2)
    for arguments in ({}, {"y": y, "target": "y"}):
        with pytest.raises(ValueError, match="plan takes X and y, or a frame and target="):
            sampler.plan(table, **arguments)
    with pytest.raises(TypeError, match=r"target holds values that cannot be class labels.*list"):
        sampler.fit_resample(X, y.map(lambda label: [label]))


class _ArrayLike:
    """What NumPy can make an array of, such as a frame of xarray or a tensor."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


class _Stream:
    """What offers Arrow's stream, as a relation of DuckDB does, and nothing else."""

    def __init__(self, values):
        self.columns = list(getattr(values, "columns", []))

    def __arrow_c_stream__(self, schema=None):
        raise AssertionError("read before it was refused")


def frame_of(of):
    return of.to_frame() if isinstance(of, pd.Series) else of


WHAT = "(X|y|frame|sample_weight)"
OTHERS = {
    "LazyFrame": (
        lambda of: pl.from_pandas(frame_of(of)).lazy(),
        rf"polars LazyFrame, .*pass {WHAT}\.collect\(\).*`dsmote resample FILES",
    ),
    "stream": (_Stream, rf"is a \w+ _Stream; .*pass pyarrow\.table\({WHAT}\)"),
    "batch": (
        lambda of: pa.RecordBatch.from_pandas(frame_of(of)),
        rf"pyarrow RecordBatch; .*pass pyarrow\.table\({WHAT}\)",
    ),
    "dict": (lambda of: of.to_dict(), r"is a dict; .*pass pandas\.DataFrame\((X|y|frame|samp.*)\)"),
    "array-like": (_ArrayLike, r"pass numpy\.asarray\((X|y|frame|sample_weight)\)"),
}


@pytest.mark.parametrize("name", samplers())
@pytest.mark.parametrize("container", OTHERS)
def test_other_containers_are_refused_with_the_remedy(name, container, table):
    sampler = make_sampler(name)
    make, remedy = OTHERS[container]
    X, y = table.drop(columns="y"), table["y"]
    for call in (
        lambda: sampler.fit_resample(make(X), y),
        lambda: sampler.fit_resample(X, make(y)),
        lambda: sampler.fit_resample(X, y, sample_weight=make(y)),
        lambda: sampler.plan(make(X), y),
        lambda: sampler.resample(make(table), target="y"),
    ):
        with pytest.raises(TypeError, match=f"{remedy}|take a DataFrame of pandas, polars or Dask"):
            call()


# ---- one column, class or parameter


def change(**columns):
    """Make columns of the table anew, by values or by a function of the table."""
    return lambda table: table.assign(**columns)


def at(column, rows, value=np.nan):
    """Put a value into some rows of a column."""

    def put(table):
        return table.assign(**{column: table[column].mask(table.index.isin(rows), value)})

    return put


def few(n, column="a"):
    """Let a column miss in the first n rows of the class."""
    return lambda table: at(column, table.index[table["y"] == 1][:n])(table)


def labelled(dtype):
    """Make labels of a dtype, three of which are missing."""

    def make(table):
        text = dtype in ("object", "str", "string")
        labels = table["y"].map({0: "no", 1: "yes"}) if text else table["y"]
        table = table.assign(y=labels.astype(dtype))
        table.loc[[0, 30, 31], "y"] = None
        return table

    return make


def as_mixed(minority=24):
    return lambda table: mixed(N, minority)


def among_others(table):
    """Put each row of the class among rows of the other."""
    a = np.r_[np.arange(12.0).repeat(4), np.arange(12.0)]
    return pd.DataFrame({"a": a, "y": np.repeat([0, 1], [48, 12])})


FAR = change(a=lambda t: t["a"] + 1_000 * t["y"])
CELLS = {"list<item: int64>": [1, 2], "struct<k: int64>": {"k": 1}}
DEEP = {
    name: pd.Series([cell] * N, dtype=pd.ArrowDtype(pa.array([cell]).type))
    for name, cell in CELLS.items()
}
TEXTS = ["str", "string", object, "category", "string[pyarrow]"]


def with_text(kind):
    return change(c=pd.Series(["x", "y"] * 30, dtype=kind))


NULLABLE = [
    *(change(n=pd.array([1, 0, None, 1] * 15, kind)) for kind in ("Int64", "Float64", "boolean")),
    change(n=pd.Series([Decimal(1), None] * 30, dtype=pd.ArrowDtype(pa.decimal128(4, 2)))),
]

#: Samplers, what is done to the table of 48 rows of 0 and 12 of 1, and what the error says.
BAD = {
    # columns
    r"no column 'id' to carry; the columns are 'a'": [SMOTE(carry=["id"])],
    "target column 'y' cannot be carried": [SMOTE(carry=["y"])],
    "there is no feature": [SMOTE(carry=["a", "b", "c"])],
    "categorical_features": [
        (SMOTENC(categorical_features=wanted), as_mixed())
        for wanted in (["nope"], [7], [-6], ["y"], "a")
    ],
    "mask of 2 values, but there are 4 columns": [(SMOTENC([True, False]), as_mixed())],
    r"SMOTE needs numbers, but 2 columns hold text .*: 'c', 'd'; use SMOTENC": [
        (SMOTE(), as_mixed())
    ],
    r"1 column holds text .*'c'; use SMOTENC": [(SMOTE(), with_text(kind)) for kind in TEXTS],
    r"no categorical feature \(0 of 3 feat.*; use SMOTE": [SMOTENC(), SMOTENC([])],
    r"one numeric feature, but all 3 .* \('a', 'b', 'c'\); use SMOTEN": [SMOTENC(["a", "b", "c"])],
    r"column 'a' has dtype complex128.*convert it.*carry": [
        (SMOTE(), change(a=lambda t: t["a"] * 1j))
    ],
    r"column.* 'deep' ": [
        (kind(), change(deep=values)) for values in DEEP.values() for kind in (SMOTE, SMOTENC)
    ],
    # values
    r"numeric features: 'a' \(1 missing\), 'b' \(1 missing, 2 infinite\); .*'skip'": [
        (SMOTE(), lambda t: at("b", [4, 50], np.inf)(at("b", [5])(at("a", [3])(t))))
    ],
    r"numeric features: 'n' \((15|30) missing\)": [(SMOTE(), put) for put in NULLABLE],
    r"numeric features: 't' \(1 missing\)": [
        (SMOTE(), lambda t: at("t", [7], pd.NaT)(t.assign(t=pd.Timestamp("2020-01-01"))))
    ],
    r"class 1 has 4 rows .*k_neighbors=5 needs at least 6 .*; or lower k_neighbors to 3": [
        (SMOTE(missing="skip"), few(8))
    ],
    r"the target 'y' is missing in 3 rows; drop those rows": [
        (sampler, labelled(kind))
        for kind in ("float64", "object", "str", "string", "Int64", "category")
        for sampler in (SMOTE(), RandomUnderSampler())
    ],
    # classes
    r"class 1 has 12 rows, but k_neighbors=12 needs at least 13 \(k \+ 1\); lower k_neighbors to "
    r"11 or less, leave the class out": [SMOTE(k_neighbors=12)],
    r"class 'rare' has 1 row, but.*collect more rows of it": [
        (SMOTE(), change(y=np.where(np.arange(N) == 9, "rare", "usual")))
    ],
    r"class 'few' has 4 rows.*class 'less' has 4 rows": [(SMOTENC(), as_mixed(8))],
    # parameters
    "'k_neighbors' parameter": [SMOTE(k_neighbors=k) for k in (0, -1, 2.5, "5", None)],
    "'sampling_strategy' parameter": [
        *(SMOTE(sampling_strategy=value) for value in ("most", 1.5, 0.0, [1])),
        RandomUnderSampler(sampling_strategy=["a"]),
    ],
    "'missing' parameter": [SMOTE(missing="drop")],
    "'carry' parameter": [SMOTE(carry=5)],
    "'provenance' parameter": [SMOTE(provenance=value) for value in (True, "all", 1)],
    "random_state": [SMOTE(random_state="a"), SMOTE(random_state=-1)],
    "'shrinkage' parameter": [RandomOverSampler(shrinkage=value) for value in (-1.0, np.nan)],
    # what single samplers cannot do
    r"shrinkage.*missing classes are \[1\]": [RandomOverSampler(shrinkage={0: 0.5})],
    r"shrinkage.*to be >= 0. Got (-0.5|'much'|nan) for class 1": [
        RandomOverSampler(shrinkage={1: value}) for value in (-0.5, "much", np.nan)
    ],
    "class 1 has no row in danger: of 12 rows 12 have fewer than half of their 10 nearest rows in "
    "other classes and 0 have all of them there; use SMOTE, another m_neighbors, or on_empt": [
        (BorderlineSMOTE(), FAR)
    ],
    r"of 12 rows 0 have .* and 12 have all of them there": [
        (BorderlineSMOTE(m_neighbors=2), among_others)
    ],
    "the table has 60 rows, but the 60 nearest of all rows": [BorderlineSMOTE(m_neighbors=N)],
    "class 1 has no row with a row of another class among ": [(ADASYN(), FAR)],
    r"class 1: no cluster found with sufficient samples: none of 8 clusters has at least 3 rows of "
    r"it \(k \+ 1\) and a share of at least 0\.99; its largest share is .*lower "
    "cluster_balance_threshold or k_neighbors": [
        KMeansSMOTE(random_state=0, cluster_balance_threshold=0.99)
    ],
    r"rows of 2 classes, but all 12 rows .* of one class": [
        (SVMSMOTE(missing="skip"), change(a=lambda t: t["a"].where(t["y"] == 1)))
    ],
    r"class 1 has \d+ support vectors, of which \d+ are noise": [
        (SVMSMOTE(m_neighbors=2), among_others)
    ],
    "LogisticRegression, which has no attribute support_": [
        SVMSMOTE(svm_estimator=LogisticRegression())
    ],
}


@pytest.mark.parametrize("message", BAD, ids=lambda message: message[:30])
def test_one_thing_is_wrong(kind, table, message):
    for case in BAD[message]:
        sampler, put = case if isinstance(case, tuple) else (case, pd.DataFrame)
        with pytest.raises((ValueError, TypeError), match=message):
            resample(kind, put(table), sampler)


@pytest.mark.parametrize("sampler", [SMOTE(), SMOTENC()])
def test_columns_of_objects_that_are_no_values(sampler, table):
    # Dask turns objects to text in from_pandas; frames of objects come from other readers.
    with dask.config.set({"dataframe.convert-string": False}):
        for values in ([[1, 2]] * N, [{"k": 1}] * N, [np.zeros(2)] * N):
            deep = table.assign(deep=pd.Series(values, dtype=object))
            for kind in ("in memory", "on dask"):
                with pytest.raises((TypeError, ValueError), match="'deep'"):
                    resample(kind, deep, sampler)
    for values in (pd.period_range("2020-01", periods=N, freq="M"), pd.interval_range(0, N)):
        with pytest.raises(TypeError, match=r"column 'when' has dtype (period\[M\]|interval)"):
            resample("in memory", table.assign(when=values), sampler)


def test_what_is_just_enough(kind, table):
    assert len(resample(kind, table, SMOTE(k_neighbors=11))) == 96
    some = mixed(N, 16)
    some.loc[some.index[some["y"] == "less"][2:], "y"] = "most"  # small, but it does not grow
    sampler = SMOTENC(sampling_strategy={"few": 20}, k_neighbors=7)
    assert resample(kind, some, sampler)["y"].value_counts()["few"] == 20
    how = SMOTENC(categorical_features=["c", "d"], carry=["c"], k_neighbors=2)
    assert resample(kind, mixed(N), how)["c"][N:].isna().all()
    assert how.categorical_features_.tolist() == [4]
    plan = SMOTE().plan(held(kind, numbers(minority=4)), target="y")  # says what a run refuses
    assert any("needs at least 6" in problem for problem in plan.problems)


@pytest.mark.parametrize("name", having("missing", OVER))
@pytest.mark.parametrize("everywhere", [False, True])
def test_rows_that_all_miss_a_value_are_explained(name, everywhere, kind):
    """Which columns miss how many, and that they can be carried; no count of nearest rows."""
    how, params = OVER[name]
    table = table_of(name, N, 20)
    table["b"] = np.where(everywhere | (table["y"] == 1), np.nan, table["b"])
    with pytest.raises(ValueError, match=r"class 1 has 0 rows \(20 less") as error:
        resample(kind, table, how(missing="skip", **params))
    said = str(error.value)
    assert f"or name in carry the columns 'b' ({table['b'].isna().sum()} missing); or" in said
    assert "nearest of all rows" not in said


# ---- arrays


def test_arrays_of_text_and_of_complex_numbers(table):
    y = np.repeat([0, 1], [12, 8])
    for X in (np.array([["a", "1"], ["b", "2"]] * 10), np.array([["1.5", "2"], ["0.5", "1"]] * 10)):
        for given in (X, X.tolist(), X.astype(object)):
            with pytest.raises(
                ValueError, match=r"SMOTE needs numbers, but 2 col.*0, 1; use SMOTENC"
            ):
                SMOTE().fit_resample(given, y)
            with pytest.raises(ValueError, match=r"SMOTENC needs numbers, but 1 column hold.*1"):
                SMOTENC([0]).fit_resample(given, y)
        with pytest.raises((ValueError, TypeError), match="SMOTENC"):
            SMOTE().fit_resample(dask_array(X, [10, 10]), dask_array(y, [10, 10]))[0].compute()
    X, y = table[["a", "b"]].to_numpy(), table["y"].to_numpy()
    # float() reads bytes, and what is made would be cut to their length.
    with pytest.raises(ValueError, match="2 columns hold text"):
        SMOTE().fit_resample(X.astype("S"), y)
    for array, labels in ((X * 1j, y), (dask_array(X * 1j, [20, 40]), dask_array(y, [20, 40]))):
        with pytest.raises(ValueError, match="Complex data not supported"):
            SMOTE().fit_resample(array, labels)
    holes = np.where(np.arange(2 * N).reshape(-1, 2) == 1, np.nan, X)
    for array, labels in ((holes, y), (dask_array(holes, [20, 40]), dask_array(y, [20, 40]))):
        with pytest.raises(ValueError, match=r"numeric features: 1 \(1 missing\)"):
            SMOTE().fit_resample(array, labels)


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


def test_containers_that_are_none(table):
    X, y = table.drop(columns="y"), table["y"]
    with pytest.raises(TypeError, match=r"fit_resample\(X, y\)"):
        SMOTE().resample(table.to_numpy(), target="y")
    for frame in (np.zeros((3, 2)), [[1, 2]], "file.csv", None, y):
        with pytest.raises((TypeError, ValueError), match="DataFrame"):
            SMOTE().resample(frame, target="y")
    with pytest.raises(ValueError, match="target y is None"):
        SMOTE().fit_resample(table, None)
    with pytest.raises(ValueError, match="Expected 2D"):
        SMOTE().fit_resample(np.arange(10.0), np.arange(10) % 2)
    with pytest.raises(TypeError, match="two-dimensional Dask Array, but is a Series"):
        SMOTE().fit_resample(held("on dask", table["a"]), held("on dask", y))
    bag = dask.bag.from_sequence([1, 2], npartitions=2)
    with pytest.raises(TypeError, match="to_dataframe"):
        SMOTE().fit_resample(bag, held("on dask", y))
    with pytest.raises(TypeError, match="y must be a Dask Series or Array, but is a Bag"):
        SMOTE().fit_resample(held("on dask", X), bag)
    for given in (X[[]], np.empty((N, 0)), held("on dask", X)[[]]):
        target = held("on dask", y) if isinstance(given, dd.DataFrame) else y
        with pytest.raises(ValueError, match=r"0 feature\(s\)"):
            SMOTE().fit_resample(given, target)
    for one in ("in memory", "on dask"):
        with pytest.raises(ValueError, match="Multilabel and multioutput targets are not supp"):
            SMOTE().fit_resample(held(one, X[["a", "b"]]), held(one, table[["c", "y"]]))
    with pytest.raises(ValueError, match="X is a list whose rows differ in length"):
        SMOTE().fit_resample([[1, 2], [3]], [0, 1])
    with pytest.raises(ValueError, match="y is a list whose rows differ in length"):
        SMOTE().fit_resample(np.arange(8.0).reshape(-1, 2), [[0], [0, 1], [1], [1]])
    # Labels are not measurements, however many classes there are.
    many = np.arange(600.0).reshape(-1, 1)
    SMOTE(random_state=0).fit_resample(many, np.repeat(np.arange(60), 10))
    with pytest.raises(ValueError, match=r"Unknown label type: continuous.* 0\.5"):
        SMOTE().fit_resample(many, np.repeat(np.arange(60) / 2, 10))


# ---- partitions


NAMES = itertools.count()


def parted(*parts):
    """Make a frame of these partitions, whose objects stay what they are."""
    name = f"parts-{next(NAMES)}"
    tasks = {(name, i): (lambda part=part: part,) for i, part in enumerate(parts)}
    return dd.from_graph(tasks, parts[0].iloc[:0], (None,) * (len(parts) + 1), list(tasks), name)


def test_arrays_in_chunks_that_do_not_match(table):
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy()
    with pytest.raises(ValueError, match="X has 60 rows and y 59"):
        SMOTE().fit_resample(dask_array(X, [30, 30]), dask_array(y[:-1], [30, 29]))
    unknown = (dask_array(v, cut, known=False) for v, cut in ((X, [30, 30]), (y, [20, 40])))
    with pytest.raises(ValueError, match=UNLIKE):
        SMOTE().fit_resample(*unknown)
    # Found while computing where the pass over the data is saved.
    given = dask_frame(table[["a"]], [20, 40]), dask_frame(table["y"], [30, 30])
    lazy, _ = SMOTE().fit_resample(*given, class_counts={0: 48, 1: 12})
    with pytest.raises(ValueError, match="partitioned differently"):
        lazy.compute()
    # Where all chunks are known, they are matched.
    found = SMOTE(random_state=0).fit_resample(dask_array(X, [20, 40]), dask_array(y, [30, 30]))
    for one, other in zip(found, SMOTE(random_state=0).fit_resample(X, y), strict=True):
        np.testing.assert_array_equal(one.compute(), other)


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), RandomUnderSampler(random_state=0)])
def test_partitions_of_other_columns_or_dtypes(table, sampler):
    # An empty one may have lost its dtypes.
    frame = parted(table[:30], table[:0].astype(object), table[30:])
    found = sampler.resample(frame, target="y").compute().reset_index(drop=True)
    pd.testing.assert_frame_equal(found, sampler.resample(table, target="y").reset_index(drop=True))
    for counts in (None, {0: 48, 1: 12})[: 1 + isinstance(sampler, SMOTE)]:
        for other, message in (
            (
                table[30:].astype({"b": "float32"}),
                r"column 'b' has dtype float32 in one partition, but .* declares float64; .*astype",
            ),
            (
                table[30:][["b", "a", "c", "y"]],
                r"a partition has the columns \['b', 'a', 'c', 'y'\]",
            ),
        ):
            with pytest.raises(ValueError, match=message):
                how = {} if counts is None else {"class_counts": counts}
                sampler.resample(parted(table[:30], other), target="y", **how).compute()


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
    assert found["e"][:N].tolist() == [*parts[0]["e"], *parts[1]["e"]]
    for part in dask.compute(*lazy.to_delayed()):
        assert part["e"].dtype == found["e"].dtype
    assert lazy._meta["e"].dtype == found["e"].dtype
    counts = pd.concat(parts)["y"].value_counts().to_dict()
    given = sampler.resample(parted(*parts), target="y", class_counts=counts).compute()
    assert given["e"].tolist() == found["e"].tolist()
    assert isinstance(given["e"].dtype, pd.CategoricalDtype)


def test_categories_that_differ_and_cannot_be_united():
    parts = categories_that_differ(ordered=True)
    with pytest.raises(ValueError, match="column 'e' is an ordered categorical whose categories d"):
        SMOTENC().resample(parted(*parts), target="y")
    parts = categories_that_differ(ordered=False)
    many = [f"a long name of a level {i}" for i in range(3_000)]
    parts[1]["e"] = pd.Categorical(["a long name of a level 3"] * 30, categories=many)
    with pytest.raises(ValueError, match=r"categories of column 'e' differ .* 3,003 .*categorize"):
        SMOTENC().resample(parted(*parts), target="y")


def test_categories_of_the_target_must_be_known(table):
    words = table["y"].map({0: "no", 1: "yes"}).astype("category")
    y = held("on dask", words).cat.as_unknown()
    counts = {"class_counts": {"no": 48, "yes": 12}}
    with pytest.raises(ValueError, match=r"categories of the target 'y' are not known"):
        SMOTE().fit_resample(held("on dask", table[["a"]]), y, **counts)


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


@pytest.mark.parametrize("width", DIFFERENT)
@pytest.mark.parametrize(
    ("sampler", "how", "swapped"),
    [
        (RandomOverSampler(random_state=0), {}, False),
        (RandomOverSampler(random_state=0), {"class_counts": {0: 48, 1: 12}}, True),
        (RandomUnderSampler(random_state=0), {}, True),
    ],
)
def test_partitions_of_different_width_have_a_remedy_that_works(
    table, width, swapped, sampler, how
):
    """As files of one table have, of which dd.read_parquet takes each as it is."""
    values, one, other = DIFFERENT[width]
    first = pd.Series([None] * 30 if "missing" in width else [values[0], values[1]] * 15, dtype=one)
    columns = [first, pd.Series([values[1], values[0]] * 15, dtype=other)]
    parts = [
        part.assign(c=column.to_numpy() if column.dtype == object else column.array)
        for part, column in zip((table[:30], table[30:]), columns, strict=True)
    ]
    parts = parts[::-1] if swapped else parts
    frame = parted(*parts)
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
    shown = made["c"].iloc[:60] if len(made) > 60 else made["c"]
    same = pd.concat(parts)["c"].astype(object).loc[shown.index]
    assert shown.isna().tolist() == same.isna().tolist()
    assert shown.dropna().tolist() == same.dropna().tolist()


# ---- class_counts


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({0: 48, 1: 13}, r"class 1 has 12 rows in the data, but 13 were planned for; correct"),
        ({0: 47, 1: 12}, r"class 0 has 48 rows in the data, but 47 were planned for"),
        ({0: 48, 1: 12, 2: 9}, r"class 2 has 0 rows in the data, but 9 were planned for"),
        ({0: 48, 2: 12}, r"data hold the class 1 \(12 rows\).*not name|class 2 has 0 rows"),
        *(
            ({0: n, 1: 12}, r"class_counts says .* rows of class 0; give whole numb")
            for n in (-1, 1.5, "a")
        ),
    ],
)
def test_class_counts_that_are_wrong(kind, table, counts, message):
    with pytest.raises(ValueError, match=message):
        resample(kind, table, SMOTE(), class_counts=counts)


def test_what_class_counts_leave_to_be_found_is_found_while_computing(table):
    hole = few(1)(table)
    nobody = at("y", [0])(table.assign(y=table["y"].astype(float)))
    for given, counts, message in (
        (hole, {0: 48, 1: 12}, r"numeric features: 'a' \(1 missing\)"),
        (nobody, {0.0: 47, 1.0: 12}, "the target 'y' is missing in 1 row; drop"),
    ):
        lazy = SMOTE().resample(held("on dask", given), target="y", class_counts=counts)
        with pytest.raises(ValueError, match=message):
            lazy.compute()


# ---- memory


@pytest.mark.parametrize("how", ["resample", "fit_resample", "fit"])
def test_what_cannot_fit_is_refused_before_it_runs(kind, table, how, monkeypatch):
    limit = Limit(250 * 2**20, 2, "the memory limit of a worker")
    set_constant(monkeypatch, "samplers", "memory_limit", lambda **_: limit)

    def refuse(*args, **kwargs):
        raise AssertionError("it ran")

    set_constant(monkeypatch, "execute", "make_rows", refuse)
    set_constant(monkeypatch, "execute", "build_class_index", refuse)
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
