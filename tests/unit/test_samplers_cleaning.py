"""The seam for cleaning methods: a mask for each partition, whatever holds the table."""

import dask
import numpy as np
import pandas as pd
import pytest
from dask.base import tokenize
from sklearn.base import clone

from dsmote.samplers.base import CleanSampler
from tests.tables import CONTAINERS, assert_same_bits, compute_pair, even, numbers, pair_in

N = 90
TABLE = numbers(N, 30, 3)
X, Y = TABLE.drop(columns="y"), TABLE["y"]


class Positive(CleanSampler):
    """Keeps the rows of the targeted classes whose first feature is positive."""

    def _masks(self, table, plan):
        targeted = [c.label for c in plan.classes if c.targeted]

        def mask(features, labels):
            first = np.asarray(features)[:, 0]
            return (first > 0) | ~np.isin(np.asarray(labels).reshape(-1), targeted)

        if not table.lazy:
            return mask(X, Y)
        inputs = table._inputs()
        name = f"positive-{tokenize(table._X, targeted)}"
        tasks = {(name, i): (mask, *row) for i, row in enumerate(inputs.rows())}
        return inputs.graph | tasks, list(tasks)


@pytest.mark.parametrize(
    ("strategy", "targeted"), [("auto", [0]), ("all", [0, 1]), ([1], [1]), (lambda y: [1], [1])]
)
def test_targeted_classes_are_cleaned(strategy, targeted):
    sampler = clone(Positive(sampling_strategy=strategy))
    X_res, y_res = sampler.fit_resample(X, Y)
    stays = (X["a"] > 0) | ~Y.isin(targeted)
    pd.testing.assert_frame_equal(X_res, X[stays])
    pd.testing.assert_series_equal(y_res, Y[stays])
    assert sampler.sample_indices_.tolist() == np.flatnonzero(stays).tolist()
    assert sampler.sampling_strategy_ == {label: int((label == Y).sum()) for label in targeted}
    assert sampler.plan_.counts_after == {0: 60, 1: 30}  # at most
    assert "these are upper bounds" in str(sampler.plan_)


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_rows_stay_on_dask(container):
    with dask.config.set(scheduler="synchronous"):
        made = Positive().fit_resample(*pair_in(container, X, Y, even(N, 4)))
        found = compute_pair(*made)
    for one, expected in zip(found, Positive().fit_resample(X, Y), strict=True):
        assert_same_bits(one, expected)


def test_what_is_not_for_cleaning():
    for strategy in ("minority", 0.5, {0: 5}):
        with pytest.raises(ValueError, match="'sampling_strategy' parameter of Positive must be"):
            Positive(sampling_strategy=strategy).fit_resample(X, Y)
