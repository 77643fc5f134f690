"""Random small tables, samplers, parameters and containers: a clear error, or one right result.

A case is made from its number alone. One is run with ``-k "[17]"``, and as many as are asked for
with ``DSMOTE_ANYTHING=20000`` in the environment.
"""

import contextlib
import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dsmote
from dsmote.samplers.registry import make_sampler, parameters_of, samplers
from tests.tables import compute_pair, dask_array, dask_frame, lengths_of

CASES = int(os.environ.get("DSMOTE_ANYTHING", "120"))
#: Where an error may be raised: in dsmote, or where scikit-learn checks a parameter, by its name.
OURS = (str(Path(dsmote.__file__).parent), "_param_validation.py")
#: Errors of one container where another has rows.
OF_A_CONTAINER = (
    "cannot be carried in an array of",
    "leave class_counts out to have its maximum found",
    "Expected 2D array, got 3D array",  # a list whose values are tuples
    "is a list whose rows differ in length",
    "column names must be unique",  # where Dask keeps one dtype for all of a name
)
WORDS = ("auto", "minority", "not minority", "not majority", "all", "majority")

# ---- values


def objects(values):
    """Make an array of Python objects, also of tuples."""
    values = list(values)
    made = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        made[i] = value
    return made


def moments(rng, n, zone=None):
    days = pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    return objects(pd.Timestamp("2020-01-01", tz=zone) + days)


def cents(rng, n):
    digits = int(rng.integers(0, 4))
    return objects(Decimal(int(v)).scaleb(-digits) for v in rng.integers(-9999, 9999, n))


Draw = Callable[[np.random.Generator, int], Any]


def several(make, *dtypes):
    """Name kinds of columns by the dtypes that hold the same values."""
    return {str(dtype): (make, dtype) for dtype in dtypes}


WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint64", "Int64", "UInt8")
FLOATS = ("float16", "float32", "float64", "Float32", "Float64", "double[pyarrow]")
DATES = ("datetime64[ns]", "datetime64[s]", "timestamp[us][pyarrow]", "date32[pyarrow]")
NUMBERS = {
    **several(lambda rng, n: rng.integers(0, 100, n), *WHOLE, "int64[pyarrow]", "uint16[pyarrow]"),
    **several(lambda rng, n: rng.normal(size=n), *FLOATS),
    "beyond 2**53": (lambda rng, n: rng.integers(2**60, 2**62, n), "int64"),
    "constant": (lambda rng, n: np.zeros(n), "float64"),
    "two values": (lambda rng, n: rng.integers(0, 2, n), "float64"),
}
OTHERS = {
    **several(lambda rng, n: rng.random(n) < 0.5, "bool", "boolean", "bool[pyarrow]"),
    **several(moments, *DATES),
    **several(lambda rng, n: moments(rng, n, "UTC"), "datetime64[us, UTC]"),
    **several(
        lambda rng, n: objects(m - pd.Timestamp(0) for m in moments(rng, n)), "timedelta64[ns]"
    ),
    "objects: int": (lambda rng, n: objects(rng.integers(0, 100, n).tolist()), object),
    "objects: float": (lambda rng, n: objects(rng.normal(size=n).tolist()), object),
    "objects: Decimal": (cents, object),
    "decimal": (cents, pd.ArrowDtype(pa.decimal128(9, 3))),
}


def chosen(*values):
    """Draw from some objects."""
    return lambda rng, n: objects(values)[rng.integers(0, len(values), n)]


TEXTS = chosen("red", "green", "", " b c", "é")
NAMES = {
    **several(TEXTS, "str", "string[pyarrow]", "category"),
    "objects: str": (TEXTS, object),
    "category of int": (lambda rng, n: rng.integers(5, 8, n), "category"),
    "objects: mixed": (chosen(1, "a", 2.5), object),
    "objects: bytes": (chosen(b"a", b"b"), object),
    "objects: tuple": (chosen((0, "t"), (1, "t"), (2, "t")), object),
    "objects: bool": (chosen(False, True), object),
}
KINDS = NUMBERS | OTHERS | NAMES


def column(rng, kind, n, missing):
    """Make a column of a kind, in which a few values are missing if they are to be and can be."""
    make, dtype = KINDS[kind]
    series = pd.Series(make(rng, n), dtype=dtype)
    if missing and not (isinstance(series.dtype, np.dtype) and series.dtype.kind in "iub"):
        at = rng.choice(n, int(rng.integers(1, 4)), replace=False)
        nothing = None
        if series.dtype == object:
            nothing = [None, np.nan, pd.NA][rng.integers(3)]
        series.iloc[at] = nothing
    return series


# ---- labels and names

DAYS = [pd.Timestamp("2020-01-01"), pd.Timestamp("2021-06-01 12:00")]
#: Labels of each kind, and dtypes that hold them besides object.
LABELS = {
    "int": (
        [0, 1, 2, 7],
        ("int8", "int64", "uint8", "int32", "Int64", "int64[pyarrow]", "category"),
    ),
    "negative": ([-1, 1, 0, 300], ("int16", "int64", "Int32")),
    "str": (["no", "yes", "", "may be"], ("str", "string[pyarrow]", "category")),
    "bool": ([False, True], ("bool", "boolean", "bool[pyarrow]", "category")),
    "float": (
        [0.0, 1.0, 2.0, -3.0],
        ("float16", "float32", "float64", "Float64", "double[pyarrow]"),
    ),
    "continuous": ([0.5, 1.0, 2.25], ("float64",)),
    "datetime": (DAYS, ("datetime64[ns]", "datetime64[s]", "timestamp[us][pyarrow]", "category")),
    "zoned": ([day.tz_localize("UTC") for day in DAYS], ("datetime64[ns, UTC]",)),
    "timedelta": ([pd.Timedelta(1, "D"), pd.Timedelta(2, "h")], ("timedelta64[ns]",)),
    "date": ([day.date() for day in DAYS], ()),
    "Decimal": ([Decimal("1.5"), Decimal("2")], ()),
    "tuple": ([("a", 1), ("b", 2), ("b",)], ()),
    "pair": ([(0, 1), (1, 0)], ()),
    "bytes": ([b"no", b"yes", b"x"], ()),
    "mixed": (["a", 1, 2.5, ("t", 1)], ()),
    "one and its text": ([1, "1", "one"], ()),
    "frozenset": ([frozenset([1]), frozenset([2])], ()),
    "large": ([2**60, 2**60 + 1, 5], ("int64", "uint64")),
    "list": ([[1], [2]], ()),
}
COLUMN_NAMES = [
    ["a", "b", "c", "d", "e"],
    [0, 1, 2, 3, 4],
    [3, 0, 4, 1, 2],
    [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", "x")],
    [np.nan, "b", "c", "d", "e"],
    ["a", None, "c", "d", "e"],
    [True, "b", "c", False, "e"],
    ["a", "b", "c", ("d", 1), 5],
    ["a b", " ", "", "d\n", "é"],
    [1.5, 2.5, 3.5, 4.5, 5.5],
    [b"a", "a", "c", "d", "e"],
    [pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01"), "c", "d", "e"],
    ["synthetic", "base_row", "gap", "sample_weight", "groups"],
    ["a", "a", "c", "d", "e"],
]
TARGETS = ["y", "target", None, np.nan, True, 0, 17, ("y", 1), " ", 1.5, "index"]

# ---- cases


@dataclass
class Case:
    """A table, a sampler and what it is given."""

    X: pd.DataFrame
    y: pd.Series
    name: str
    params: dict[str, Any]
    seed: int
    as_frame: bool
    target: Any
    lengths: list[int]
    arrays: bool
    options: dict[str, Any] = field(default_factory=dict)

    def sampler(self, **changed):
        """Make the sampler anew: a generator of random numbers is used up by a run."""
        params = self.params | changed
        state = params.get("random_state")
        if isinstance(state, str):
            params["random_state"] = getattr(np.random, state)(self.seed)
        return make_sampler(self.name, **params)


def pick(rng, values):
    values = list(values)
    return values[rng.integers(len(values))]


def kinds_for(rng, name, d):
    """Choose kinds of columns of which most samplers take most."""
    numeric = [*NUMBERS, *NUMBERS, *OTHERS]
    if rng.random() < 0.1:
        return [pick(rng, KINDS) for _ in range(d)]
    if rng.random() < 0.4:  # of one dtype, which arrays can hold
        some = [*NAMES, *NUMBERS] if name in ("smoten", "random", "random-under") else NUMBERS
        return [pick(rng, some)] * d
    if name == "smotenc":
        return [pick(rng, numeric), *(pick(rng, [*numeric, *NAMES, *NAMES]) for _ in range(d - 1))]
    if name in ("smoten", "random", "random-under"):
        return [pick(rng, KINDS) for _ in range(d)]
    return [pick(rng, numeric) for _ in range(d)]


def labels_for(rng, n):
    """Draw labels of up to four classes, the first one the most."""
    values, dtypes = LABELS[pick(rng, [*LABELS, "int", "str", "bool", "int", "str"])]
    classes = int(rng.integers(2, len(values) + 1))
    shares = np.array([0.6, 0.2, 0.12, 0.08][:classes])
    order = rng.permutation(len(values))[:classes]
    drawn = rng.choice(order, n, p=shares / shares.sum())
    drawn[:classes] = order
    labels = pd.Series(objects(values[i] for i in drawn), dtype=object)
    labels = labels.sample(frac=1, random_state=int(rng.integers(2**31))).reset_index(drop=True)
    labels = labels.astype(pick(rng, [object, *dtypes]))
    if rng.random() < 0.04 and labels.dtype.kind not in "iub":
        labels.iloc[int(rng.integers(n))] = pick(rng, [None, np.nan])
    return labels


def strategy_for(rng, y, under):
    """Choose a sampling strategy of some kind, mostly one that can be."""
    kind = pick(rng, ["word", "word", "ratio", "mapping", "callable"])
    if kind == "word":
        return pick(rng, ["auto", *WORDS])
    if kind == "ratio":
        return pick(rng, [1.0, 0.9, 0.5])
    try:
        counts = y.value_counts().to_dict()
    except TypeError:  # labels that are lists
        return "auto"
    chosen = {
        label: max(1, int(n // 2)) if under else int(n + rng.integers(0, 30))
        for label, n in counts.items()
        if rng.random() < 0.8
    }
    return chosen if kind == "mapping" else (lambda _: chosen)


def parameters_for(rng, name, X, y):
    """Choose parameters, some of them not what can be."""

    def may(share):
        return bool(rng.random() < share)

    there = parameters_of(samplers()[name])
    params = {"random_state": int(rng.integers(1000))}
    if may(0.2):
        params["random_state"] = pick(rng, ["RandomState", "default_rng"])
    if may(0.6):
        params["sampling_strategy"] = strategy_for(rng, y, name == "random-under")
    k = "n_neighbors" if name == "adasyn" else "k_neighbors"
    if k in there and may(0.8):
        params[k] = pick(rng, [1, 2, 3, np.int64(2), 5])
    chances = {
        "missing": (0.5, ["skip"]),
        "scale": (0.2, ["standard", "minmax", "robust"]),
        "n_components": (0.1, [1, 2, 0.9]),
        "neighbors": (0.2, ["tree", "brute", "auto", "fast"]),
        "on_small_class": (0.5, ["copy", "skip", "error"]),
        "provenance": (0.3, ["flag", "full", "full"]),
        "m_neighbors": (0.5, [1, 3, 5]),
        "kind": (0.5, ["borderline-1", "borderline-2"]),
        "on_empty": (0.8, ["smote"]),
        "cluster_balance_threshold": (0.8, [0.0, 0.01]),
        "kmeans_estimator": (0.5, [1, 2]),
        "shrinkage": (0.4, [0.0, 0.5, 1.0]),
        "replacement": (0.4, [True]),
    }
    for key, (share, values) in chances.items():
        if key in there and may(share):
            params[key] = pick(rng, values)
    if "carry" in there and may(0.3):
        params["carry"] = [c for c in X.columns if may(0.3)]
    if "categorical_features" in there and may(0.7):
        places = [i for i in range(X.shape[1]) if may(0.4)]
        form = pick(rng, ["names", "positions", "mask", "mask of numpy"])
        mask = [i in places for i in range(X.shape[1])]
        params["categorical_features"] = {
            "names": [X.columns[i] for i in places],
            "positions": places,
            "mask": mask,
            "mask of numpy": np.array(mask),
        }[form]
    return params


#: Not those with a rule, which tests/property/test_cleaning.py tries, nor chains of two.
SAMPLERS = [
    name
    for name, kind in samplers().items()
    if name == "random-under" or kind._sampling_type == "over-sampling"
]


def make_case(seed):
    """Make a case of its number."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(15, 70)), int(rng.integers(1, 5))
    name = pick(rng, SAMPLERS)
    kinds = kinds_for(rng, name, d)
    gaps = rng.random() < 0.15
    columns = [column(rng, kind, n, gaps and rng.random() < 0.5) for kind in kinds]
    y = labels_for(rng, n)
    names = COLUMN_NAMES[0] if rng.random() < 0.4 else pick(rng, COLUMN_NAMES)
    X = pd.concat(columns, axis=1)
    X.columns = pd.Index(names[:d], tupleize_cols=False) if rng.random() < 0.5 else names[:d]
    target = "y" if rng.random() < 0.5 else pick(rng, TARGETS)
    y.name = target
    params = parameters_for(rng, name, X, y)
    as_frame = bool(rng.random() < 0.5)
    if rng.random() < 0.3:
        index = pick(rng, [range(5, 5 + n), [f"r{i}" for i in range(n)], [3] * n])
        X.index = y.index = pd.Index(index)
    options = {}
    if rng.random() < 0.2 and name != "random-under":
        with contextlib.suppress(TypeError):  # labels that are lists
            options["class_counts"] = y.value_counts().to_dict()
    lengths = lengths_of(n, rng.integers(0, n, int(rng.integers(0, 5))).tolist())
    arrays = not as_frame and len({str(dtype) for dtype in X.dtypes}) == 1
    arrays &= isinstance(X.dtypes.iloc[0], np.dtype)
    return Case(X, y, name, params, seed, as_frame, target, lengths, arrays, options)


# ---- runs


def raised_by_us(error, case):
    """Check that an error is dsmote's own, and says what of the input is wrong."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = last.filename.startswith(OURS[0]) and (last.line or "").startswith("raise ")
    assert ours or last.filename.endswith(OURS[1]), f"raised in {last}: {error!r}"
    named = [*case.X.columns, case.target, *case.y.tolist(), *range(case.X.shape[1])]
    words = [*map(repr, named), *parameters_of(samplers()[case.name])]
    words += ["target", "class", "column", "X"]
    assert any(word in str(error) for word in words), f"nothing is named: {error!r}"


def run(case, sampler, *given):
    """Return what is made, computed, or the error."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="(class|KMeansSMOTE|SVMSMOTE)", category=UserWarning
        )
        try:
            if case.as_frame:
                made = sampler.resample(*given, target=case.target, **case.options)
                return made.compute() if hasattr(made, "compute") else made
            made = sampler.fit_resample(*given, **case.options)
            return compute_pair(*made) if hasattr(made[0], "compute") else made
        except (ValueError, TypeError, NotImplementedError) as error:
            raised_by_us(error, case)
            return error


def whole_frame(case):
    """Put the target among the columns."""
    place = case.seed % (case.X.shape[1] + 1)
    parts = [case.X.iloc[:, :place], case.y.to_frame(), case.X.iloc[:, place:]]
    frame = pd.concat(parts, axis=1)
    names = [*case.X.columns[:place], case.target, *case.X.columns[place:]]
    frame.columns = pd.Index(names, tupleize_cols=all(isinstance(n, tuple) for n in names))
    return frame


def values_of(table):
    """Return the columns of a table, or of a target, whatever holds it."""
    if isinstance(table, pd.DataFrame):
        return [table.iloc[:, i] for i in range(table.shape[1])]
    if isinstance(table, pd.Series):
        return [table]
    if isinstance(table, list) and isinstance(table[0], list):
        return [pd.Series(objects(values), dtype=object) for values in zip(*table, strict=True)]
    if isinstance(table, list):
        table = objects(table)
    if table.ndim == 2:
        return values_of(pd.DataFrame(table, dtype=object if table.dtype == object else None))
    return [pd.Series(table, dtype=object if table.dtype.kind in "SUO" else None)]


def assert_same(found, expected):
    """Compare two columns: dtype, values, and what stands for what is missing."""
    assert found.dtype == expected.dtype
    ours, theirs = found.reset_index(drop=True), expected.reset_index(drop=True)
    assert len(ours) == len(theirs)
    if ours.dtype == object:
        for one, other in zip(ours, theirs, strict=True):
            assert type(one) is type(other), (one, other)
            assert other is None or other is pd.NA or other != other or one == other, (one, other)
        return
    pd.testing.assert_series_equal(ours, theirs, check_names=False, check_exact=True)


def assert_same_tables(found, expected):
    """Compare two outcomes: both errors of one type, or tables of the same columns."""
    if isinstance(found, Exception) and any(words in str(found) for words in OF_A_CONTAINER):
        return
    if isinstance(expected, Exception) or isinstance(found, Exception):
        if any("cannot be class labels" in str(each) for each in (found, expected)):
            # Of a table with two faults, either may be met first.
            assert isinstance(expected, Exception) and isinstance(found, Exception)
            return
        assert type(found) is type(expected), (found, expected)
        return
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for ours, theirs in zip(found, expected, strict=True):
        one, other = values_of(ours), values_of(theirs)
        if isinstance(ours, list):
            other = [pd.Series(objects(column.tolist()), dtype=object) for column in other]
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
        if isinstance(ours, pd.DataFrame) and isinstance(theirs, pd.DataFrame):
            assert repr(list(ours.columns)) == repr(list(theirs.columns))
        if isinstance(ours, pd.Series) and isinstance(theirs, pd.Series):
            assert ours.name == theirs.name or theirs.name != theirs.name  # Dask loses NaN


# ---- what is right


def check_right(case, made, planned):
    """Check counts, the originals, and where the new rows lie."""
    n = len(case.X)
    if case.as_frame:
        at = case.seed % (case.X.shape[1] + 1)
        y, X = made.iloc[:, at], made.iloc[:, [i for i in range(made.shape[1]) if i != at]]
    else:
        X, y = made
    assert Counter(y.tolist()) == Counter(planned)
    if case.name == "random-under":
        return
    assert_same(y.iloc[:n], case.y)
    carried = case.params.get("carry") or []
    moved = case.name in ("svm",) or case.params.get("kind") == "borderline-2"
    moved |= bool(case.params.get("shrinkage"))
    if hasattr(sampler := case.sampler(), "_recipe"):
        moved |= sampler._recipe().lies in ("ball", "gaussian", "ellipsoid")
    for i, name in enumerate(case.X.columns):
        given, ours = case.X.iloc[:, i], X.iloc[:, i]
        if any(name == c or (name != name and c != c) for c in carried):
            assert ours.iloc[n:].isna().all()
            given = given.astype(ours.dtype)
        assert_same(ours.iloc[:n], given)
        if moved or ours.iloc[n:].isna().all():
            continue
        for label in planned:
            check_between(
                ours[n:][(y[n:] == label).to_numpy(dtype=bool)],
                given[(case.y == label).to_numpy(dtype=bool)],
            )


def check_between(new, old):
    """Check that new values are levels that occur, or lie between the least and the largest."""
    for value in new.dropna():
        try:
            inside = old.dropna().min() <= value <= old.dropna().max()
        except TypeError:
            inside = False
        assert inside or value in old.tolist(), value


# ---- the test


@pytest.mark.parametrize("seed", range(CASES))
def test_a_clear_error_or_the_same_right_rows_in_every_container(seed):
    case = make_case(seed)
    # Shown where the test fails.
    print(case.name, case.params, case.options, case.lengths, case.X.dtypes, case.y.tolist())
    rng = np.random.default_rng([seed, 1])
    n = len(case.X)
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        tables = (whole_frame(case),) if case.as_frame else (case.X, case.y)
        sampler = case.sampler()
        expected = run(case, sampler, *tables)
        given = tuple(dask_frame(table, case.lengths) for table in tables)
        if not isinstance(expected, Exception):
            check_right(case, expected, sampler.plan_.counts_after)
        # Where Dask joins categories, it sorts names and takes bools among them for a mask.
        names = [*case.X.columns, case.target]
        odd = len({type(name) for name in names}) > 1 or any(isinstance(n, bool) for n in names)
        dtypes = [*case.X.dtypes, case.y.dtype]
        if not (odd and any(isinstance(d, pd.CategoricalDtype) for d in dtypes)):
            found = run(case, case.sampler(), *given)
            if "class_counts" in case.options and not isinstance(found, Exception):
                # What nobody asks for is not looked at: rows of a class that does not grow.
                rows = len(found) if case.as_frame else len(found[0])
                expected = found if rows == n else expected
            assert_same_tables(found, expected)
        # In arrays bools among objects are numbers, as in imbalanced-learn.
        bools = any(c.dtype == object and c.map(type).eq(bool).any() for _, c in case.X.items())
        if not case.arrays or bools or rng.random() < 0.5:
            return
        positions = array_parameters(case)
        X, labels = case.X.to_numpy(), case.y.to_numpy()
        pairs = [(X, labels)]
        # A list is a column in a list, and a label elsewhere.
        if not isinstance(case.y.iloc[0], list):
            pairs.append((X.tolist(), case.y.tolist()))
        for known in (True, False):
            pairs.append(tuple(dask_array(v, case.lengths, known=known) for v in (X, labels)))
        for given in pairs:
            X = case.X.to_numpy()
            if isinstance(given[0], list):  # which has no dtype but that of its values
                with contextlib.suppress(ValueError):
                    array = np.asarray(given[0])
                    X = array if array.ndim == 2 and array.dtype.kind not in "US" else X
            kept = object if labels.dtype == object else None
            frame = pd.DataFrame(X, dtype=object if X.dtype == object else None)
            plain = frame, pd.Series(labels, dtype=kept)
            expected = run(case, case.sampler(**positions), *plain)
            assert_same_tables(run(case, case.sampler(**positions), *given), expected)


def array_parameters(case):
    """Name columns of an array by their positions; frames say where rows are from in columns."""
    changed = {}
    names = list(case.X.columns)
    for key in ("carry", "categorical_features"):
        value = case.params.get(key)
        if isinstance(value, list) and not all(isinstance(v, bool) for v in value):
            changed[key] = [names.index(v) if v in names else v for v in value]
    if "provenance" in case.params:
        changed["provenance"] = False
    return changed
