"""A class that is cut into cells gets the rows that it gets from one index, to the bit."""

from decimal import Decimal
from functools import partial

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import (
    ADASYN,
    ADOMS,
    GSMOTE,
    MGS,
    SMOTE,
    SMOTEN,
    SMOTENC,
    SVMSMOTE,
    BorderlineSMOTE,
    DistanceSMOTE,
    GeometricSMOTE,
    KMeansSMOTE,
    SafeLevelSMOTE,
)
from dsmote.execute.cells import Cells  # which is else loaded when there are cells
from dsmote.execute.nearest_cells import AllCells
from tests.tables import (
    assert_same_bits,
    compute_pair,
    dask_array,
    dask_frame,
    even,
    lengths_of,
    numbers,
    set_constant,
    split,
)

pytestmark = pytest.mark.filterwarnings("ignore:class.* standard deviations is 0:UserWarning")

N = 160
PARTITIONS = st.lists(st.integers(0, N), max_size=8).map(lambda cuts: lengths_of(N, cuts))


def whole(rng, low=0, high=1_000):
    return rng.integers(low, high, N)


def decimals(values):
    return pd.array([Decimal(int(i)) / 8 for i in values], pd.ArrowDtype(pa.decimal128(24, 4)))


def objects(rng, values):
    return pd.Series(values, dtype=object).iloc[whole(rng, 0, len(values))].reset_index(drop=True)


#: Values of numeric columns that an array can hold, too.
FLOATS = {
    "normal": lambda rng: rng.normal(size=N),
    "offset": lambda rng: 1e9 + rng.normal(size=N),
    "constant": lambda rng: np.zeros(N),
    "tiny": lambda rng: 1e-170 * rng.normal(size=N),
    "huge": lambda rng: 1e150 * rng.normal(size=N),
    "grid": lambda rng: whole(rng, 0, 3).astype(float),
    "signed zeros": lambda rng: rng.choice([-0.0, 0.0, 0.5], N),
}
NUMERIC = FLOATS | {
    "float32": lambda rng: rng.normal(size=N).astype("f4"),
    "int64": lambda rng: 2**60 + whole(rng, -500),
    "close": lambda rng: 2**62 + whole(rng, 0, 5),
    "uint64": lambda rng: np.uint64(2**63) + whole(rng).astype("u8"),
    "bool": lambda rng: rng.random(N) < 0.5,
    "date": lambda rng: pd.Timestamp("2020") + pd.to_timedelta(whole(rng), unit="h"),
    "duration": lambda rng: pd.to_timedelta(whole(rng), unit="us"),
    "nullable": lambda rng: pd.array(2**60 + whole(rng, 0, 9), dtype="Int64"),
    "nullable bool": lambda rng: pd.array(rng.random(N) < 0.5, dtype="boolean"),
    "Arrow": lambda rng: pd.array(2**55 + whole(rng), dtype="int64[pyarrow]"),
    "decimals": lambda rng: decimals(whole(rng)),
    "some large decimals": lambda rng: decimals(10 ** (whole(rng, 0, 16).astype("i8"))),
}
CATEGORICAL = {
    "text": lambda rng: rng.choice(["red", "green", "blue"], N).astype(object),
    "string": lambda rng: pd.array(rng.choice(["p", "q", None], N), dtype="string"),
    "many": lambda rng: whole(rng, 0, 60).astype(str).astype(object),
    "categories": lambda rng: pd.Categorical(rng.choice(list("uvw"), N), categories=list("wxvu")),
    "missing": lambda rng: pd.Categorical(rng.choice(["u", "v", None], N)),
    "mixed": lambda rng: objects(rng, [1, "1", None, True, 2.5, 1.0, "a"]),
}
OPTIONS = {
    "scale": [None, None, "standard", "minmax", "robust"],
    "provenance": [False, "flag", "full"],
    "neighbors": ["auto", "tree", "brute"],
    "k_neighbors": [1, 3, 5, 5],
}
CLUSTERS = {
    "kmeans_estimator": [None, 1, 3, 5],
    "cluster_balance_threshold": ["auto", 0.0, 0.0],
    "max_fit_rows": [None, 100],
}
BORDER = {"m_neighbors": [1, 4, 10, 10], "on_empty": ["error", "smote"]}
SAMPLERS = {
    "smote": (SMOTE, {}),
    "smotenc": (SMOTENC, {}),
    "adoms-smote": (ADOMS, {}),
    "distance-smote": (DistanceSMOTE, {}),
    "geometric-smote": (GeometricSMOTE, {"selection_strategy": ["minority"]}),
    "g-smote": (GSMOTE, {}),
    "mgs-smote": (MGS, {"k_neighbors": [None, 2, 5], "spread": [1.0, 3.0]}),
    "kmeans-smote": (KMeansSMOTE, CLUSTERS),
    "borderline-1": (BorderlineSMOTE, BORDER),
    "borderline-2": (BorderlineSMOTE, BORDER | {"kind": ["borderline-2"]}),
    "adasyn": (ADASYN, {}),
    "safe-level": (SafeLevelSMOTE, {}),
    "svm": (SVMSMOTE, {"m_neighbors": [4, 10], "max_fit_rows": [None, 100]}),
}
CUTS = {
    ("plan", "BLOCK_ROWS"): [40, 250_000],
    ("execute", "STEP"): [3, 1 << 14],
    ("plan", "CLASS_ROWS"): [9, 1 << 14],
    ("execute", "CELL_NEW_ROWS"): [7, 1 << 17],
    ("execute", "CELL_SAMPLE"): [12, 1 << 15],
    ("neighbors", "_BATCH"): [5, 1 << 12],
    ("neighbors", "_ASKED"): [5, 1 << 15],
}


#: Values of columns that are no features; `tests/unit/test_arrow.py` has more.
PASSTHROUGH = {
    **{name: CATEGORICAL[name] for name in ("text", "string", "categories", "missing", "mixed")},
    **{name: NUMERIC[name] for name in ("int64", "date", "nullable", "decimals", "signed zeros")},
}


#: Groups of rows, many of them or few, by the rows' place or not.
GROUPS = {
    "few": lambda rng: rng.choice(["p", "q", None], N, p=[0.6, 0.35, 0.05]).astype(object),
    "categories": lambda rng: pd.Categorical(rng.choice(list("uvw"), N), categories=list("wxvu")),
    "numbers": lambda rng: whole(rng, 0, 12),
    "runs": lambda rng: np.repeat(whole(rng, 0, 9)[: N // 10], 10),
    "one": lambda rng: np.zeros(N),
}


def draw_groups(rng, draw, array):
    return GROUPS[draw(["numbers", "runs", "one"] if array else GROUPS)](rng)


def lazy_frame(table, lengths):
    """Make a Dask frame, each partition of which has the categories that occur in it."""
    own = list(table.columns[table.dtypes == "category"])
    parts = split(table, lengths)
    for part in parts:
        part[own] = part[own].apply(lambda of: of.cat.remove_unused_categories())
    parts = [dask.delayed(part, pure=False) for part in parts]
    lazy = dd.from_delayed(parts, meta=table.iloc[:0], verify_meta=False)
    return lazy.assign(**{name: lazy[name].cat.as_unknown() for name in own})


def assert_same(found, expected):
    """Compare all that was made: bits, dtypes, order and index."""
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
            continue
        pd.testing.assert_index_equal(one.index, other.index, exact=True)
        assert [*np.atleast_1d(one.dtypes)] == [*np.atleast_1d(other.dtypes)]
        texts = [repr(of.astype(object).to_numpy().tolist()) for of in (one, other)]
        assert texts[0] == texts[1]  # 1 is not True, nor is 0.0 the same as -0.0


def both(how, pair, cell_rows=20, companions=None, **config):
    """Return what is made of pairs in cells, and by one index; or the kind of the error."""
    made = []
    with pytest.MonkeyPatch.context() as patch, dask.config.set(config):
        set_constant(patch, "plan", "CELL_ROWS", cell_rows)
        for route in ("cells", "broadcast"):
            how.set_params(route=route)
            try:
                lazy = how.fit_resample(*pair, **(companions or {}))
                searched = [c for c in how.plan_.growing if c.engine != "copy"]
                assert all(c.stored == (route == "cells") for c in searched)
                lazy += (how.provenance_,) if hasattr(how, "provenance_") else ()
                made.append(compute_pair(*lazy))
            except ValueError as error:
                made.append((type(error),))
    if isinstance(made[1][0], type):
        assert made[0] == made[1]
    else:
        assert_same(*made)
    return made[0]


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.filterwarnings("ignore::RuntimeWarning:sklearn")
@pytest.mark.parametrize("name", [name for name in SAMPLERS if "smote" in name])
@given(data=st.data())
@settings(max_examples=4)
def test_cells_make_the_rows_of_one_index(name, data):
    check_one_index(name, data)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if "smote" not in name])
@given(data=st.data())
@settings(max_examples=2)
def test_cells_find_the_nearest_of_all_rows(name, data):
    check_one_index(name, data)


def check_one_index(name, data):
    kind, own = SAMPLERS[name]

    def draw(values):
        return data.draw(st.sampled_from(list(values)))

    rng, lengths = np.random.default_rng(draw(range(1_000))), data.draw(PARTITIONS)
    array = draw([True, False, False])
    params = {name: draw(values) for name, values in (OPTIONS | own).items()}
    params["random_state"] = 7
    if "n_components" in kind.__dataclass_fields__:
        params["n_components"] = draw([None, None, 1, 0.9])
    numeric, categorical = (FLOATS, {"grid": FLOATS["grid"]}) if array else (NUMERIC, CATEGORICAL)
    made = [numeric[draw(numeric)](rng) for _ in range(draw([1, 1, 2, 3, 8]))]
    X = pd.DataFrame({f"x{j}": column for j, column in enumerate(made)})
    if draw([True, False, False]) and X["x0"].dtype.kind == "f":
        X["x0"], params["missing"] = X["x0"].mask(rng.random(N) < 0.1), "skip"
    if kind is SMOTENC:
        for j in range(draw([1, 2, 3])):
            X[f"c{j}"] = categorical[draw(categorical)](rng)
        among = [j for j, name in enumerate(X) if name[0] == "c"]
        params["categorical_features"] = among if array else list(X.columns[among])
    different = draw([N, N, N // 5, 1])
    if different < N:  # others are duplicates
        X = X.iloc[rng.integers(0, different, N)].reset_index(drop=True)
    y = pd.Series(np.repeat([0, 1, 2, 3], [70, 60, 27, 3]), name="y")
    if draw([True, False]):  # else there are partitions without a class
        y = pd.Series(rng.permutation(y), name="y")
    params["on_small_class"] = draw(["copy", "skip"])
    if draw([True, False]):
        params["sampling_strategy"] = {1: 60 + draw([1, 5, 300]), 3: 3 + draw([0, 20])}
    if draw([True, False, False, False]):  # all others, and one more than there are
        usable = int((X[y == 1].filter(like="x").notna().all(axis=1)).sum())
        params["k_neighbors"] = usable - draw([1, 0])
    if kind is ADASYN:
        params["n_neighbors"] = params.pop("k_neighbors")
    held = (lambda of: dask_array(of.to_numpy(), lengths)) if array else None
    held = held or (lambda of: dask_frame(of, lengths))
    more = {"sample_weight": held(pd.Series(rng.random(N), name="w"))} if draw([0, 1]) else {}
    if kind is not SMOTENC and params["scale"] is None and draw([True, False]):
        more["class_counts"] = y.value_counts().to_dict()
    if draw([True, False]):
        params["on_small_group"] = draw(["error", "copy", "skip", "copy", "skip"])
        group = pd.Series(draw_groups(rng, draw, array), name="g")
        by_name = not array and draw([True, False])
        if by_name:
            X.insert(int(rng.integers(0, X.shape[1] + 1)), "g", group)
        more["groups"] = "g" if by_name else held(group)
    how, passthrough = kind(**params), PASSTHROUGH | {"ids": lambda rng: np.arange(N)}
    for name in draw(["", "", "p", "i", "pi"]) if not array else "":
        X.insert(int(rng.integers(0, X.shape[1] + 1)), name, passthrough[draw(passthrough)](rng))
        if name == "p":
            how.set_params(carry=["p"])
        else:
            how._inherited = ("i",)
    X = lazy_frame(X, lengths) if not array and draw([True, False]) else held(X)
    with pytest.MonkeyPatch.context() as patch:
        for (layer, constant), values in CUTS.items():
            set_constant(patch, layer, constant, draw(values))
        both(
            how,
            (X, held(y)),
            draw([20 if how._recipe().n_neighbors_all else 8, 20, 50, 1_000]),
            more,
            **{"scheduler": draw(["synchronous", "threads"]), "dataframe.convert-string": False},
        )


@given(data=st.data())
@settings(max_examples=4)
def test_cells_of_rows_that_are_compared_by_the_classes_of_their_levels(data):
    def draw(values):
        return data.draw(st.sampled_from(list(values)))

    rng, lengths = np.random.default_rng(draw(range(1_000))), data.draw(PARTITIONS)
    params = {name: draw(OPTIONS[name]) for name in ("provenance", "neighbors", "k_neighbors")}
    kinds = CATEGORICAL | {name: NUMERIC[name] for name in ("grid", "int64", "date", "close")}
    made = [kinds[draw(kinds)](rng) for _ in range(draw([1, 1, 2, 3, 9]))]
    X = pd.DataFrame({f"c{j}": column for j, column in enumerate(made)})
    if draw([True, False, False]):  # names that tell all rows of a class from no other
        X["name"] = np.arange(N).astype(str).astype(object)
    different = draw([N, N // 5, 1])
    if different < N:
        X = X.iloc[rng.integers(0, different, N)].reset_index(drop=True)
    sizes = draw([[70, 60, 27, 3], [100, 60], [20, 60, 10, 20, 30, 10, 10]])
    y = pd.Series(np.repeat(np.arange(len(sizes)), sizes), name="y")
    if draw([True, False]):
        y = pd.Series(rng.permutation(y), name="y")
    more = {"sample_weight": dask_frame(pd.Series(rng.random(N)), lengths)} if draw([0, 1]) else {}
    if draw([True, False]):
        params["on_small_group"] = draw(["copy", "skip"])
        more["groups"] = dask_frame(pd.Series(draw_groups(rng, draw, False), name="g"), lengths)
    how = SMOTEN(random_state=7, on_small_class=draw(["copy", "skip"]), **params)
    if draw([True, False]):
        X.insert(0, "p", PASSTHROUGH[draw(PASSTHROUGH)](rng))
        how.set_params(carry=["p"])
    config = {"scheduler": draw(["synchronous", "threads"]), "dataframe.convert-string": False}
    with pytest.MonkeyPatch.context() as patch:
        for (layer, constant), values in CUTS.items():
            set_constant(patch, layer, constant, draw(values))
        both(how, (lazy_frame(X, lengths), dask_frame(y, lengths)), draw([20, 50]), more, **config)


@pytest.mark.parametrize("n_classes", [2, 9])
def test_equal_rows_of_categories_do_not_travel(n_classes):
    """Nor do rows of other levels that go with the same classes: names, of which each is one row's.

    Of each partition k + 1 of them are sent to a cell.
    """
    rng, lengths = np.random.default_rng(2), even(N, 4)
    y = pd.Series(rng.permutation(np.repeat(np.arange(n_classes), -(-N // n_classes))[:N]))
    X = pd.DataFrame({"name": np.arange(N).astype(str).astype(object), "c": whole(rng, 0, 2)})
    how = SMOTEN(random_state=1, k_neighbors=2, sampling_strategy={1: 300})
    with pytest.MonkeyPatch.context() as patch:
        spread, sent, surplus = Cells._spread, [], []

        def seen(*args):
            found = spread(*args)
            sent.append(found["rows"].sum())
            surplus.append(found["surplus"].sum())
            return found

        patch.setattr(Cells, "_spread", seen)
        config = {"scheduler": "synchronous", "dataframe.convert-string": False}
        both(how, [dask_frame(of, lengths) for of in (X, y)], 10, **config)
    assert sum(sent) <= 4 * 2 * 3
    assert sum(surplus) > 0


@pytest.mark.parametrize("on_small", ["skip", None])
def test_neighbours_within_clusters(on_small):
    """And within groups; clusters without enough of the class do not travel."""
    rng, lengths = np.random.default_rng(6), even(400, 5)
    X = pd.DataFrame(rng.normal(size=(400, 2)) + np.repeat([0, 9, 18, 27], 100)[:, None])
    X.columns, X.iloc[300:330] = ["x", "z"], [0.25, 0.5]
    y = pd.Series(np.tile(np.repeat([0, 1], [60, 40]), 4))
    y[200:300] = np.repeat([0, 1], [98, 2])  # of this cluster the class has not its share
    order = rng.permutation(400)
    X, y = (of.iloc[order].reset_index(drop=True) for of in (X, y))
    how = KMeansSMOTE(
        random_state=1, kmeans_estimator=4, cluster_balance_threshold=0.2, provenance="full"
    )
    more = {}
    if on_small is not None:
        how.set_params(on_small_group=on_small)
        group = pd.Series(rng.choice([*"abc"], 400, p=[0.5, 0.45, 0.05]), name="g")
        more["groups"] = dask_frame(group, lengths)
    with pytest.MonkeyPatch.context() as patch:
        spread, sent = Cells._spread, []

        def seen(*args):
            found = spread(*args)
            sent.append(found["rows"].sum() + found["surplus"].sum())
            return found

        patch.setattr(Cells, "_spread", seen)
        made = both(how, [dask_frame(of, lengths) for of in (X, y)], 12, more)
    assert sum(sent) <= (y == 1).sum() - 2
    new = made[0][made[0]["synthetic"]]
    own, near = (X.loc[new[name].astype(int)] for name in ("base_row", "neighbour_row"))
    clusters = [(of["x"].to_numpy() + 4.5) // 9 for of in (own, near)]
    np.testing.assert_array_equal(*clusters)
    assert 2 not in clusters[0]
    if on_small is not None:
        groups = [group[of.index].to_numpy() for of in (own, near)]
        np.testing.assert_array_equal(*groups)
        assert (groups[0] == made[2][400:]).all()


def test_projected_rows_in_a_unit_of_their_own():
    """The columns hold large values, along the axes all are small."""
    rng, lengths = np.random.default_rng(3), even(N, 4)
    X = pd.DataFrame({"x": np.full(N, 7.0), "z": 1e-170 * rng.normal(size=N)})
    pair = [dask_frame(of, lengths) for of in (X, pd.Series(rng.permutation(np.arange(N) < 60)))]
    made = both(SMOTE(random_state=1, n_components=1, provenance="full"), pair, 20)
    assert len(made[0]) == 200


def test_many_new_rows_of_a_class():
    table = numbers(600, 200)
    pair = [dask_frame(of, even(600, 5)) for of in (table.drop(columns="y"), table["y"])]
    how = SMOTE(random_state=1, sampling_strategy={1: 20_000}, provenance="full")
    with pytest.MonkeyPatch.context() as patch:
        set_constant(patch, "execute", "CELL_NEW_ROWS", 4_000)
        made = both(how, pair, 100, scheduler="threads")
    assert len(made[0]) == 20_400


def test_partitions_without_the_class():
    """The class begins after some partitions, and there are some after its last."""
    rng, y = np.random.default_rng(0), pd.Series(np.repeat([0, 1, 2], [70, 30, 60]))
    X = pd.DataFrame({"x": rng.normal(size=N), "c": pd.Categorical(rng.choice(list("pq"), N))})
    how = SMOTENC(random_state=1, categorical_features=["c"])
    made = both(how, (lazy_frame(X, even(N, 9)), dask_frame(y, even(N, 9))), 8)
    assert np.bincount(made[1]).tolist() == [70] * 3


@pytest.mark.parametrize("of", ["all", "five times", "signed zeros", "close"])
def test_equal_rows_that_do_not_travel(of):
    """They are base rows as others are; what they hold may differ where what is searched does not.

    -0.0 is 0.0, and integers are searched as float64.
    """
    lengths, rng = even(N, 3), np.random.default_rng(3)
    y = pd.Series(np.repeat([0, 1, 2], [90, 60, 10]))
    X = pd.DataFrame({"x": np.zeros(N)})
    if of in NUMERIC:
        X["z"] = pd.Series(NUMERIC[of](rng)).iloc[rng.integers(0, 6, N)].reset_index(drop=True)
    elif of == "five times":
        X = pd.DataFrame(rng.normal(size=(N // 5, 2)), columns=list("xz")).iloc[np.arange(N) // 5]
    how = SMOTE(random_state=1, k_neighbors=2, provenance="full", on_small_class="copy")
    pair = [dask_frame(table.reset_index(drop=True), lengths) for table in (X, y)]
    weights = {"sample_weight": dask_frame(pd.Series(rng.random(N)), lengths)}
    with pytest.MonkeyPatch.context() as patch:
        set_constant(patch, "execute", "CELL_NEW_ROWS", 7)
        spread, surplus = Cells._spread, []

        def seen(*args):
            found = spread(*args)
            surplus.append(found["surplus"].sum())
            return found

        patch.setattr(Cells, "_spread", seen)
        both(how, pair, 8, weights, scheduler="synchronous")
    assert sum(surplus) > 0


@pytest.mark.parametrize("name", ["borderline-2", "adasyn"])
def test_equal_rows_of_several_classes(name):
    """A row that does not travel is told the nearest of all of another, maybe of another class."""
    rng, lengths, (kind, _) = np.random.default_rng(5), even(N, 3), SAMPLERS[name]
    X = pd.DataFrame(rng.integers(0, 3, (N, 2)), columns=["x", "z"]).astype(float)
    y = pd.Series(rng.permutation(np.repeat([0, 1, 2], [80, 50, 30])))
    params = {"kind": name} | {"m_neighbors": 4} if "border" in name else {}
    params |= {"n_neighbors" if kind is ADASYN else "k_neighbors": 3}
    how = kind(random_state=1, provenance="full", **params)
    pair = [dask_frame(table, lengths) for table in (X, y)]
    weights = {"sample_weight": dask_frame(pd.Series(rng.random(N)), lengths)}
    with pytest.MonkeyPatch.context() as patch:
        set_constant(patch, "execute", "CELL_NEW_ROWS", 7)
        sent, surplus = AllCells._sent, []

        def seen(*args):
            found = sent(*args)
            surplus.append(found["surplus"].sum())
            return found

        patch.setattr(AllCells, "_sent", seen)
        both(how, pair, 20, weights, scheduler="synchronous")
    assert sum(surplus) > 20


@pytest.mark.parametrize("kind", [SMOTE, partial(BorderlineSMOTE, kind="borderline-2")])
@pytest.mark.parametrize("of", ["categories", "mixed", "date", "decimals"])
def test_columns_of_parents(of, kind):
    """New rows tell what both parents carry, and have their base row's value of other columns."""
    rng, lengths = np.random.default_rng(8), [*even(N, 3), 0]
    X = pd.DataFrame({"x": rng.normal(size=N), "p": PASSTHROUGH[of](rng), "z": rng.normal(size=N)})
    X["i"] = PASSTHROUGH[of](rng)
    X.iloc[:30, [0, 2]] = 0.5
    y = pd.Series(np.repeat([0, 1], [100, 60])[rng.permutation(N)])
    how = kind(random_state=1, k_neighbors=3, carry=["p"], provenance="full")
    how._inherited = ("i",)
    with dask.config.set({"dataframe.convert-string": False}):
        pair = lazy_frame(X, lengths), dask_frame(y, lengths)
        weights = {"sample_weight": dask_frame(pd.Series(rng.random(N)), lengths)}
        made = both(how, pair, 30, weights, scheduler="synchronous")
    new = made[0][made[0]["synthetic"]]
    for name, parent in (("p_base", "base_row"), ("p_neighbour", "neighbour_row")):
        rows = new[parent].astype(int)
        # What a row of another class carries is not told.
        expected = X.iloc[rows, 1].where(y.iloc[rows] == 1).astype(object)
        assert kind is SMOTE or parent == "base_row" or set(y.iloc[rows]) == {0, 1}
        assert repr(new[name].astype(object).tolist()) == repr(expected.tolist())


@pytest.mark.parametrize(
    ("kind", "on_small", "by"),
    [
        (SMOTE, "skip", "companion"),
        (SMOTENC, "copy", "column"),
    ],
)
def test_neighbours_within_groups(kind, on_small, by):
    """Groups have few rows, or are cut into cells; some are searched in a unit of their own."""
    rng, lengths = np.random.default_rng(5), even(N, 4)
    X = pd.DataFrame(rng.normal(size=(N, 2)), columns=["x", "z"])
    group = pd.Series(rng.choice([*"abcde"], N, p=[0.5, 0.2, 0.2, 0.08, 0.02]), name="g")
    y = pd.Series(np.repeat([0, 1], [90, 70]))[rng.permutation(N)].reset_index(drop=True)
    X.iloc[40:80] = X.iloc[0].to_numpy()  # a partition of equal rows, of several groups
    group.iloc[70:80] = "d"
    X[group == "b"] *= 1e-170
    X[group == "c"] *= 1e130
    if kind is SMOTENC:
        X["n"] = rng.choice(list("uvw"), N)
    how = kind(random_state=1, k_neighbors=3, provenance="full", on_small_group=on_small)
    if kind is SMOTENC:
        how.set_params(categorical_features=["n"])
    groups: dict = {"groups": "g"} if by == "column" else {"groups": dask_frame(group, lengths)}
    if by == "column":
        X.insert(1, "g", group)
    made = both(how, [dask_frame(of, lengths) for of in (X, y)], 12, groups)
    assert len(made[0]) == 180
    new = made[0][made[0]["synthetic"]]
    own, near = (group[new[name].astype(int)].to_numpy() for name in ("base_row", "neighbour_row"))
    assert (own == near).all()
    few = group[y == 1].value_counts()["e"]
    assert few <= 3 and (own == "e").any() == (on_small == "copy")
    how.set_params(on_small_group="error")
    refused = rf"class 1 has 1 group\(s\) of fewer than 4 rows .*: 'e': {few}; lower k_neighbors"
    for route in ("cells", "broadcast"):
        lazy = how.set_params(route=route).fit_resample(
            *[dask_frame(of, lengths) for of in (X, y)], **groups
        )
        with pytest.raises(ValueError, match=refused):
            compute_pair(*lazy)


def test_cells_whose_rows_differ_by_next_to_nothing():
    rng, y = np.random.default_rng(44), pd.Series(np.repeat([0, 1], [100, 60]))
    X = pd.DataFrame({"x": rng.integers(0, 3, N).astype(float), "z": 1e-170 * rng.normal(size=N)})
    both(SMOTE(random_state=1), [dask_frame(of, even(N, 2)) for of in (X, y)], 8)
