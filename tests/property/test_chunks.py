"""Samplers without neighbours: from scratch files the rows that one worker makes, to the bit."""

from decimal import Decimal

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import PolynomFitSMOTE, RandomOverSampler
from tests.property.test_anything import KINDS
from tests.property.test_cells import (
    CATEGORICAL,
    FLOATS,
    NUMERIC,
    PARTITIONS,
    N,
    both,
    lazy_frame,
    objects,
    whole,
)
from tests.tables import dask_array, dask_frame, set_constant

SAMPLERS = {
    "copies": lambda **params: RandomOverSampler(random_state=7, **params),
    "smoothed": lambda **params: RandomOverSampler(random_state=7, shrinkage=0.7, **params),
    "star": PolynomFitSMOTE,
}
NESTED = pd.ArrowDtype(pa.struct([("a", pa.list_(pa.int64())), ("b", pa.string())]))
#: Values that only copies take.
COPIED = {
    "lists": lambda rng: objects(rng, [[1, 2], [], None]),
    "dicts": lambda rng: objects(rng, [{"a": 1}, {"b": [None]}]),
    "sparse": lambda rng: pd.arrays.SparseArray(rng.choice([0.0, 0.0, 1.5, np.nan], N)),
    "periods": lambda rng: pd.period_range("2020", periods=N, freq="M"),
    "intervals": lambda rng: pd.interval_range(0, N),
    "binary": lambda rng: pd.array([bytes(3), None] * (N // 2), pd.ArrowDtype(pa.binary())),
    "Arrow text": lambda rng: pd.array(rng.choice(["a", "", None], N), "string[pyarrow]"),
    "dictionary": lambda rng: pd.Series(
        pa.array(rng.choice(["a", "b", None], N)).dictionary_encode(),
        dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())),
    ),
    "ordered": lambda rng: pd.Categorical.from_codes(whole(rng, -1, 3), list("xyz"), ordered=True),
    "nan payloads": lambda rng: (0x7FF8 << 48 | whole(rng).astype("u8")).view("f8"),
    "half": lambda rng: rng.normal(size=N).astype("f2"),
}
#: Values that do not compare as a whole.
ARRAYS_INSIDE = {
    "arrays": lambda rng: objects(rng, [np.arange(3), np.float32(1), "a"]),
    "nested": lambda rng: pd.array([{"a": [i, None], "b": None} for i in whole(rng)], NESTED),
}
ANY = NUMERIC | CATEGORICAL | COPIED
ANY |= {
    name: (lambda rng, make=make, dtype=dtype: pd.Series(make(rng, N), dtype=dtype))
    for name, (make, dtype) in KINDS.items()
}
ARRAYS = FLOATS | {
    "whole numbers": lambda rng: whole(rng, -9, 9),
    "bools": lambda rng: rng.random(N) < 0.5,
    "texts": lambda rng: rng.choice(["a", "bcd"], N),
    "objects": lambda rng: objects(rng, [None, "a", 1, True, 1.5]).to_numpy(),
    "moments": lambda rng: whole(rng).astype("M8[s]"),
}
GROUPS = {
    "few": lambda rng: rng.choice(list("uvw"), N),
    "many": lambda rng: whole(rng, 0, 80),
    "look alike": lambda rng: objects(rng, [1, True, 1.0, "1"]),
    "signed zeros": lambda rng: rng.choice([0.0, -0.0, 1.0], N),
    "categories": lambda rng: pd.Categorical(rng.choice(list("uvw"), N)),
}
CUTS = {
    ("plan", "BLOCK_ROWS"): [29, 250_000],
    ("plan", "STEP_ROWS"): [1, 7, 1 << 14],
    ("execute", "STEP"): [11, 1 << 14],
}


def labels(rng, mixed):
    """Give each class a run of rows, so that there are partitions without it, or mix them."""
    y = pd.Series(np.repeat([0, 1, 2, 3], [70, 60, 29, 1]), name="y")
    return pd.Series(rng.permutation(y), name="y") if mixed else y


@pytest.mark.parametrize("name", SAMPLERS)
@given(data=st.data())
@settings(max_examples=4)
def test_chunks_make_the_rows_of_one_worker(name, data):
    def draw(values):
        return data.draw(st.sampled_from(list(values)))

    rng, lengths = np.random.default_rng(draw(range(1_000))), data.draw(PARTITIONS)
    y = labels(rng, draw([True, False]))
    array = draw([True, False, False])
    params = {"provenance": draw([False, "flag", "full"])}
    if array:
        kind = draw(ARRAYS if name == "copies" else FLOATS)
        X = np.stack([ARRAYS[kind](rng) for _ in range(draw([1, 3]))], axis=1)
    else:
        known = ANY if name == "copies" else NUMERIC
        X = {f"x{j}": known[draw(known)](rng) for j in range(draw([1, 2, 4]))}
        X = pd.DataFrame(X) if draw([True, False]) else pd.DataFrame(X).assign(i=range(N))
    if name == "star" and not array and X["x0"].dtype.kind == "f" and draw([True, False]):
        X["x0"], params["missing"] = X["x0"].mask(rng.random(N) < 0.1), "skip"
    held = (lambda of: dask_array(np.asarray(of), lengths)) if array else None
    held = held or (lambda of: dask_frame(pd.Series(of, name="w"), lengths))
    more, how = {}, SAMPLERS[name](**params)
    if draw([True, False]):
        more["sample_weight"] = held(rng.random(N))
    if draw([True, False]):
        more["groups"] = held(GROUPS[draw(GROUPS)](rng))
    if not array:
        if draw([True, False]):
            X["g"] = GROUPS[draw(GROUPS)](rng)
            how.set_params(carry=["g"])
        elif draw([True, False]):
            X["g"] = ANY[draw(ANY)](rng)
            how._inherited = ("g",)  # as jobs do
        elif "groups" not in more and draw([True, False]):
            X["g"] = GROUPS[draw(GROUPS)](rng)
            more["groups"] = "g"
    if draw([True, False]):
        how.set_params(sampling_strategy={1: 60 + draw([1, 5, 300]), 3: 1 + draw([0, 20])})
    if draw([True, False]):
        more["class_counts"] = y.value_counts().to_dict()
    if array:
        pair = dask_array(X, lengths), dask_array(y.to_numpy(), lengths)
    else:
        pair = draw([lazy_frame, dask_frame])(X, lengths), dask_frame(y, lengths)
    with pytest.MonkeyPatch.context() as patch:
        for (layer, constant), values in CUTS.items():
            set_constant(patch, layer, constant, draw(values))
        config = {"scheduler": draw(["synchronous", "threads"]), "dataframe.convert-string": False}
        both(how, pair, companions=more, **config)


def test_columns_of_every_kind_are_copied_as_they_are(small_blocks):
    rng, kinds = np.random.default_rng(0), ANY | ARRAYS_INSIDE
    X = pd.DataFrame({kind: make(rng) for kind, make in kinds.items()})
    y, lengths = labels(rng, True), [50, 0, 60, 50]
    how = RandomOverSampler(random_state=0, provenance="full", route="cells")
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        made, _ = dask.compute(*how.fit_resample(lazy_frame(X, lengths), dask_frame(y, lengths)))
    assert how.plan_.classes[1].stored
    source = made["base_row"].fillna(pd.Series(range(N), made.index[:N])).astype(int)
    for kind in kinds:
        assert made[kind].dtype == X[kind].dtype or X[kind].dtype == "category"
        expected = X[kind].take(source).astype(object).tolist()
        assert repr(made[kind].astype(object).tolist()) == repr(expected)


def beyond_64_bits(rng):
    # Some in the middle of one partition; in the others, nearly.
    scale = [10**11] * 20 + [10**17] * 20 + [10**11] * (N - 40)
    values = [Decimal(int(i)) * of for i, of in zip(whole(rng), scale, strict=True)]
    return pd.array(values, pd.ArrowDtype(pa.decimal128(30, 4)))


@pytest.mark.parametrize("name", ["smoothed", "star"])
def test_numbers_of_every_kind(name, small_blocks):
    rng, kinds = np.random.default_rng(0), NUMERIC | {"beyond 64 bits": beyond_64_bits}
    X = pd.DataFrame({kind: make(rng) for kind, make in kinds.items()})
    y, lengths = labels(rng, True), [50, 0, 60, 50]
    more = {
        "groups": dask_frame(pd.Series(GROUPS["look alike"](rng)), lengths),
        "sample_weight": dask_frame(pd.Series(rng.random(N)), lengths),
    }
    config = {"scheduler": "synchronous", "dataframe.convert-string": False}
    how = SAMPLERS[name](provenance="full")
    both(how, (dask_frame(X, lengths), dask_frame(y, lengths)), companions=more, **config)


def test_a_partition_whose_rows_of_a_class_are_all_skipped(small_blocks):
    X = pd.DataFrame({"x": np.arange(float(N)), "whole": np.arange(N) + 2**60})
    X.loc[:49, "x"] = np.nan
    pair = (
        dask_frame(X, [50, 60, 50]),
        dask_frame(labels(np.random.default_rng(0), True), [50, 60, 50]),
    )
    how = PolynomFitSMOTE(random_state=0, missing="skip")
    made = both(how, pair, scheduler="synchronous")
    assert len(made[0]) > N


@pytest.fixture
def small_blocks(monkeypatch):
    set_constant(monkeypatch, "plan", "STEP_ROWS", 9)
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 29)


def test_partitions_whose_categories_differ(small_blocks):
    """Each block has the categories of the whole class, though its base rows have only some."""
    rng, made = np.random.default_rng(0), []
    X = pd.DataFrame({"x": pd.Categorical(np.sort(rng.choice(list("abcdef"), N)))})
    y, lengths = labels(rng, True), [60, 50, 50]
    for route in ("cells", "broadcast"):
        how = RandomOverSampler(random_state=0, sampling_strategy={1: 300}, route=route)
        pair = lazy_frame(X, lengths), dask_frame(y, lengths)
        lazy, _ = how.fit_resample(*pair, class_counts=y.value_counts().to_dict())
        made.append(dask.compute(*lazy.to_delayed(), scheduler="synchronous"))
    for one, other in zip(*made, strict=True):
        pd.testing.assert_frame_equal(one, other)
