"""Every sampler that leaves rows out: the same ones on Dask, unchanged, in order, as planned."""

import dask
import numpy as np
import pandas as pd
import pytest
from dask.base import is_dask_collection

from dsmote.samplers.registry import make_sampler, samplers
from tests.tables import CONTAINERS, assert_same_bits, compute_pair, even, numbers, pair_in

TABLE = numbers(90, 30, 3)
X, Y = TABLE.drop(columns="y"), TABLE["y"]
NAMES = [name for name, kind in samplers().items() if kind._sampling_type != "over-sampling"]
EACH = pytest.mark.parametrize("name", NAMES)


@EACH
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_rows_whatever_holds_them(name, container):
    with dask.config.set(scheduler="synchronous"):
        made = make_sampler(name, random_state=0).fit_resample(
            *pair_in(container, X, Y, even(90, 4))
        )
        assert all(map(is_dask_collection, made))
        found = compute_pair(*made)
    for one, expected in zip(
        found, make_sampler(name, random_state=0).fit_resample(X, Y), strict=True
    ):
        assert_same_bits(one, expected)


@EACH
def test_rows_stay_as_they_are_and_as_many_as_planned(name):
    sampler = make_sampler(name, random_state=0)
    planned = sampler.plan(X, Y).counts_after
    X_res, y_res = sampler.fit_resample(X, Y)
    assert X_res.index.is_monotonic_increasing
    pd.testing.assert_frame_equal(X_res, X.loc[X_res.index])
    pd.testing.assert_series_equal(y_res, Y.loc[X_res.index])
    assert sampler.sample_indices_.tolist() == X_res.index.tolist()
    counts = y_res.value_counts().to_dict()
    if sampler._sampling_type == "under-sampling":
        assert counts == planned
    assert all(counts.get(label, 0) <= n for label, n in planned.items())


@EACH
def test_bad_input(name):
    sampler = make_sampler(name)
    with pytest.raises(ValueError, match=r"at least 2 classes, but has 1 class: \{0: 90\}"):
        sampler.fit_resample(X, np.zeros(90, dtype=int))
    with pytest.raises(ValueError, match="missing"):
        sampler.fit_resample(X, Y.mask(Y.index == 3))
    with pytest.raises(ValueError, match="class_counts does not say"):
        sampler.fit_resample(X, Y, class_counts={0: 60, 1: 30})
