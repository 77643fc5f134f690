"""Under-sampling: the same rows whatever holds the data or cuts them up; exact counts; order."""

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote import RandomUnderSampler
from dsmote.plan import draws
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    compute_pair,
    dask_frame,
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


@pytest.fixture(scope="module", autouse=True)
def small_leaves():
    """Make trees of several levels out of few rows."""
    before, draws.LEAF = draws.LEAF, 16
    yield
    draws.LEAF = before


@given(
    container=st.sampled_from(CONTAINERS),
    lengths=PARTITIONS,
    scheduler=SCHEDULERS,
    fuse=FUSION,
    replacement=st.booleans(),
    seed=st.integers(0, 5),
)
def test_any_container_partitioning_and_scheduler(
    container, lengths, scheduler, fuse, replacement, seed
):
    sampler = RandomUnderSampler(random_state=seed, replacement=replacement)
    expected = sampler.fit_resample(NUMBERS.drop(columns="y"), NUMBERS["y"])
    X, y = pair_in(container, NUMBERS.drop(columns="y"), NUMBERS["y"], lengths)
    with dask.config.set({"scheduler": scheduler, "optimization.fuse.active": fuse}):
        lazy = sampler.fit_resample(X, y)
        found = compute_pair(*lazy)
    for one, other, made in zip(found, expected, lazy, strict=True):
        assert_same_bits(one, other)
        if isinstance(one, pd.DataFrame | pd.Series):
            assert one.index.equals(other.index)
        else:
            # Even where the input's chunks were unknown.
            assert made.shape == one.shape
            assert len(made.chunks[0]) == len(lengths)


@given(lengths=PARTITIONS, scheduler=SCHEDULERS, fuse=FUSION, separate=st.booleans())
def test_a_mixed_table_in_any_partitioning(lengths, scheduler, fuse, separate):
    sampler = RandomUnderSampler(random_state=3)
    expected = sampler.resample(MIXED, target="y")
    with dask.config.set({"scheduler": scheduler, "optimization.fuse.active": fuse}):
        if separate:
            X, y = dask_frame(MIXED.drop(columns="y"), lengths), dask_frame(MIXED["y"], lengths)
            X_res, y_res = dask.compute(*sampler.fit_resample(X, y))
            pd.testing.assert_series_equal(y_res, expected["y"])
            pd.testing.assert_frame_equal(X_res, expected.drop(columns="y"))
        else:
            found = sampler.resample(dask_frame(MIXED, lengths), target="y").compute()
            pd.testing.assert_frame_equal(found, expected)


@given(
    columns=st.lists(st.sampled_from(list("acybd")), min_size=1, unique=True), lengths=PARTITIONS
)
def test_some_columns_of_the_result_are_the_columns_of_the_whole_result(columns, lengths):
    sampler = RandomUnderSampler(random_state=3)
    expected = sampler.resample(MIXED, target="y")[columns]
    with dask.config.set(scheduler="synchronous"):
        lazy = sampler.resample(dask_frame(MIXED, lengths), target="y")[columns]
        pd.testing.assert_frame_equal(lazy.compute(), expected)


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    data=st.data(),
    replacement=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_exactly_the_rows_asked_for_in_their_order(counts, data, replacement, seed):
    wanted = {
        label: data.draw(st.integers(0, n))
        for label, n in enumerate(counts)
        if data.draw(st.booleans())
    }
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    table = pd.DataFrame({"row": np.arange(len(y)), "y": y})
    lengths = lengths_of(len(y), data.draw(st.lists(st.integers(0, len(y)), max_size=4)))
    sampler = RandomUnderSampler(
        sampling_strategy=wanted, random_state=seed, replacement=replacement
    )
    with dask.config.set(scheduler="synchronous"):
        found = sampler.resample(dask_frame(table, lengths), target="y").compute()
    after = np.bincount(found["y"], minlength=len(counts))
    assert after.tolist() == [wanted.get(label, n) for label, n in enumerate(counts)]
    assert found["row"].is_monotonic_increasing
    for label in range(len(counts)):
        rows = found.loc[found["y"] == label, "row"]
        assert rows.is_unique or (replacement and label in wanted)
        assert (y[rows] == label).all()
