"""Lazy: one compute to know the classes, none when they are given, nothing held or changed."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.base import is_dask_collection

import dsmote.execute.dask_table
from dsmote import SMOTE, SMOTENC
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    counted_computes,
    dask_array,
    dask_frame,
    even,
    mixed,
    numbers,
    pair_in,
)

NUMBERS = numbers()
LENGTHS = even(len(NUMBERS), 5)
COUNTS = {0: 96, 1: 24}


@pytest.mark.parametrize("container", CONTAINERS)
def test_fit_resample_computes_once_and_gives_lazy_collections(container):
    X, y = pair_in(container, NUMBERS.drop(columns="y"), NUMBERS["y"], LENGTHS)
    with counted_computes() as computes:
        X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
        assert len(computes) == 1
        SMOTE(random_state=0).fit_resample(X, y, class_counts=COUNTS)
        assert len(computes) == 1
    assert type(X_res) is type(X)
    assert type(y_res) is type(y)
    assert is_dask_collection(X_res)
    assert is_dask_collection(y_res)


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), SMOTENC(random_state=0)])
def test_resample_and_plan_compute_once(sampler):
    table = NUMBERS if type(sampler) is SMOTE else mixed()
    frame = dask_frame(table, LENGTHS)
    counts = table["y"].value_counts().to_dict()
    with counted_computes() as computes:
        assert is_dask_collection(sampler.resample(frame, target="y"))
        assert len(computes) == 1
        sampler.plan(frame, target="y")
        assert len(computes) == 2
        sampler.plan(frame, target="y", class_counts=counts)
        sampler.resample(frame, target="y", class_counts=counts)
        assert len(computes) == 2


@pytest.mark.parametrize("kind", ["numpy", "pandas", "list"])
def test_input_in_memory_makes_no_dask_graph(kind, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a Dask graph was made or computed")

    for owner, name in (
        (dask, "compute"),
        (dsmote.execute.dask_table.HighLevelGraph, "from_collections"),
        (dsmote.execute.dask_table, "Delayed"),
        (dsmote.execute.dask_table, "DaskTable"),
        (dd, "from_graph"),
        (dd, "from_pandas"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    X, y = NUMBERS.drop(columns="y"), NUMBERS["y"]
    X, y = {
        "numpy": (X.to_numpy(), y.to_numpy()),
        "pandas": (X, y),
        "list": (X.to_numpy().tolist(), y.tolist()),
    }[kind]
    with counted_computes() as computes:
        X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
    assert not computes
    assert len(X_res) == len(y_res) == 192


def test_original_partitions_pass_through_as_the_same_objects():
    parts = [NUMBERS[i : i + 40].copy() for i in range(0, 120, 40)]
    frame = dd.from_graph(
        {("p", i): (parts.__getitem__, i) for i in range(3)},
        NUMBERS.iloc[:0],
        (None,) * 4,
        [("p", i) for i in range(3)],
        "p",
    )
    result = SMOTE(random_state=0).resample(frame, target="y")
    found = dask.compute(*result.to_delayed(), scheduler="synchronous")
    assert result.npartitions == 4
    for one, part in zip(found, parts, strict=False):
        assert one is part


def test_original_chunks_pass_through_as_the_same_objects():
    array = dask_array(NUMBERS.drop(columns="y").to_numpy(), LENGTHS)
    y = dask_array(NUMBERS["y"].to_numpy(), LENGTHS)
    X_res, _ = SMOTE(random_state=0).fit_resample(array, y)
    chunks = X_res.to_delayed().ravel()
    originals = dask.compute(*array.to_delayed().ravel(), scheduler="synchronous")
    found = dask.compute(*chunks, scheduler="synchronous")
    for one, part in zip(found, originals, strict=False):
        np.testing.assert_array_equal(one, part)
    assert X_res.chunks[0] == (*LENGTHS, 72)
    assert X_res.dtype == array.dtype


def test_computing_the_originals_alone_makes_no_synthetic_row(monkeypatch):
    result = SMOTE(random_state=0).resample(dask_frame(NUMBERS, LENGTHS), target="y")

    def refuse(*args, **kwargs):
        raise AssertionError("a synthetic block was made")

    monkeypatch.setattr("dsmote.execute.generate.make_rows", refuse)
    found = result.partitions[: len(LENGTHS)].compute(scheduler="synchronous")
    pd.testing.assert_frame_equal(found, NUMBERS)
    with pytest.raises(AssertionError, match="a synthetic block was made"):
        result.partitions[len(LENGTHS)].compute(scheduler="synchronous")


def test_an_unchanged_table_comes_out_as_it_is():
    balanced = NUMBERS[NUMBERS["y"] == 1].copy()
    other = balanced.assign(y=0)
    table = pd.concat([balanced, other], ignore_index=True)
    result = SMOTE(random_state=0).resample(dask_frame(table, even(48, 3)), target="y")
    assert result.npartitions == 3
    assert_same_bits(result.compute(scheduler="synchronous"), table)


def test_kept_in_memory_once_computed():
    frame = dask_frame(NUMBERS, LENGTHS)
    result = SMOTE(random_state=0).resample(frame, target="y")
    expected = result.compute(scheduler="synchronous")
    kept = result.persist(scheduler="synchronous")
    assert kept.npartitions == result.npartitions
    pd.testing.assert_frame_equal(kept.compute(), expected)
    with counted_computes() as computes:
        assert len(result) == 192
    assert len(computes) == 1


def test_the_metadata_is_that_of_what_is_computed():
    for table, sampler in ((NUMBERS, SMOTE(random_state=0)), (mixed(), SMOTENC(random_state=0))):
        lazy = sampler.resample(dask_frame(table, LENGTHS), target="y")
        computed = lazy.compute(scheduler="synchronous")
        assert lazy._meta.dtypes.equals(computed.dtypes)
        assert list(lazy.columns) == list(table.columns)
        for part in dask.compute(*lazy.to_delayed(), scheduler="synchronous"):
            assert part.dtypes.equals(lazy._meta.dtypes)


def test_the_result_can_be_worked_on_further():
    lazy = SMOTE(random_state=0).resample(dask_frame(NUMBERS, LENGTHS), target="y")
    expected = SMOTE(random_state=0).resample(NUMBERS, target="y")
    with dask.config.set(scheduler="synchronous"):
        assert lazy["y"].value_counts().compute().to_dict() == {0: 96, 1: 96}
        assert_same_bits(lazy[lazy["a"] > 0].compute(), expected[expected["a"] > 0])
        assert_same_bits(lazy.assign(e=lazy["a"] * 2)["e"].compute(), expected["a"] * 2)
        np.testing.assert_allclose(
            lazy.groupby("y")["b"].mean().compute(), expected.groupby("y")["b"].mean()
        )
        again = SMOTE(sampling_strategy={1: 100}, random_state=1).resample(lazy, target="y")
        assert_same_bits(
            again.compute(),
            SMOTE(sampling_strategy={1: 100}, random_state=1).resample(expected, target="y"),
        )
