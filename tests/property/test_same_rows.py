"""Same seed, same rows: whatever holds the data, cuts them up or computes them."""

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote import SMOTE, SMOTENC
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    compute_pair,
    dask_frame,
    even,
    lengths_of,
    mixed,
    numbers,
    pair_in,
)

NUMBERS = numbers()
MIXED = mixed()
N = len(NUMBERS)
PARTITIONS = st.lists(st.integers(0, N), max_size=8).map(lambda cuts: lengths_of(N, cuts))
SCHEDULERS = st.sampled_from(["synchronous", "threads"])
FUSION = st.sampled_from([True, False])


def numeric_reference():
    X, y = NUMBERS.drop(columns="y"), NUMBERS["y"]
    return SMOTE(random_state=3).fit_resample(X, y)


@given(
    container=st.sampled_from(CONTAINERS),
    lengths=PARTITIONS,
    scheduler=SCHEDULERS,
    fuse=FUSION,
    workers=st.sampled_from([1, 4]),
)
def test_smote_any_container_partitioning_and_scheduler(
    container, lengths, scheduler, fuse, workers
):
    X, y = pair_in(container, NUMBERS.drop(columns="y"), NUMBERS["y"], lengths)
    with dask.config.set(
        {"scheduler": scheduler, "optimization.fuse.active": fuse, "num_workers": workers}
    ):
        found = compute_pair(*SMOTE(random_state=3).fit_resample(X, y))
    for one, expected in zip(found, numeric_reference(), strict=True):
        assert_same_bits(one, expected)


@given(lengths=PARTITIONS, scheduler=SCHEDULERS, fuse=FUSION, separate=st.booleans())
def test_smotenc_any_partitioning_and_scheduler(lengths, scheduler, fuse, separate):
    sampler = SMOTENC(random_state=3)
    expected = sampler.resample(MIXED, target="y")
    with dask.config.set({"scheduler": scheduler, "optimization.fuse.active": fuse}):
        if separate:
            X = dask_frame(MIXED.drop(columns="y"), lengths)
            X_res, y_res = dask.compute(*sampler.fit_resample(X, dask_frame(MIXED["y"], lengths)))
            assert_same_bits(y_res, expected["y"])
            found, expected = X_res, expected.drop(columns="y")
        else:
            found = sampler.resample(dask_frame(MIXED, lengths), target="y").compute()
    assert_same_bits(found, expected)
    assert found.dtypes.equals(expected.dtypes)


@given(
    columns=st.lists(st.sampled_from(list("acybd")), min_size=1, unique=True),
    lengths=PARTITIONS,
    fuse=FUSION,
)
def test_some_columns_of_the_result_are_the_columns_of_the_whole_result(columns, lengths, fuse):
    sampler = SMOTENC(random_state=3)
    expected = sampler.resample(MIXED, target="y")[columns]
    lazy = sampler.resample(dask_frame(MIXED, lengths), target="y")[columns]
    with dask.config.set({"scheduler": "synchronous", "optimization.fuse.active": fuse}):
        assert_same_bits(lazy.compute(), expected)


@given(given_counts=st.booleans(), lengths=PARTITIONS)
def test_given_class_counts_change_no_row(given_counts, lengths):
    counts = NUMBERS["y"].value_counts().to_dict() if given_counts else None
    frame = dask_frame(NUMBERS, lengths)
    with dask.config.set(scheduler="synchronous"):
        found = SMOTE(random_state=3).resample(frame, target="y", class_counts=counts).compute()
    assert_same_bits(found, SMOTE(random_state=3).resample(NUMBERS, target="y"))


@pytest.mark.parametrize("kind", ["numpy", "list", "pandas", "transposed", "column target"])
def test_containers_in_memory(kind):
    X, y = NUMBERS.drop(columns="y"), NUMBERS["y"]
    expected = SMOTE(random_state=3).fit_resample(X, y)
    given_ = {
        "numpy": (X.to_numpy(), y.to_numpy()),
        "list": (X.to_numpy().tolist(), y.tolist()),
        "pandas": (X, y),
        "transposed": (np.asfortranarray(X.to_numpy()), y),
        "column target": (X, y.to_frame()),
    }[kind]
    found = SMOTE(random_state=3).fit_resample(*given_)
    for one, other, entered in zip(found, expected, given_, strict=True):
        assert_same_bits(one, other)
        assert type(one) is type(entered)


@pytest.mark.parametrize("parts", [1, 7, 100])
@pytest.mark.parametrize("sampler", [SMOTE(random_state=1), SMOTENC(random_state=1)])
def test_partitions_of_a_larger_table(parts, sampler):
    table = numbers(3_000, 300, 4) if type(sampler) is SMOTE else mixed(3_000, 300)
    lengths = even(len(table), parts)
    lengths[len(lengths) // 2 : len(lengths) // 2] = [0, 0]
    frame = dask_frame(table, [0, *lengths, 0])
    with dask.config.set(scheduler="threads", num_workers=4):
        found = sampler.resample(frame, target="y").compute()
    assert_same_bits(found, sampler.resample(table, target="y"))


def test_blocks_of_any_size_hold_the_same_rows(monkeypatch):
    expected = SMOTE(random_state=1).resample(NUMBERS, target="y")
    monkeypatch.setattr("dsmote.plan.plan.BLOCK_ROWS", 7)
    lazy = SMOTE(random_state=1).resample(dask_frame(NUMBERS, [N]), target="y")
    assert lazy.npartitions == 1 + -(-72 // 7)
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)
    monkeypatch.setattr("dsmote.execute.generate._STEP", 3)
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)
    monkeypatch.setattr("dsmote.execute.tables._SHARE", 5)
    assert_same_bits(SMOTE(random_state=1).resample(NUMBERS, target="y"), expected)


def test_another_seed_gives_other_rows():
    one = SMOTE(random_state=1).resample(NUMBERS, target="y")
    other = SMOTE(random_state=2).resample(NUMBERS, target="y")
    pd.testing.assert_frame_equal(one[:N], other[:N])
    assert not np.isin(one["a"][N:], other["a"][N:]).any()
