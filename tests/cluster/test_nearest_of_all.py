"""Samplers that look at all rows, on workers: the same rows, also when a worker is killed then."""

import os
import signal

import dask
import pytest
from distributed import wait

from dsmote import ADASYN, SVMSMOTE, BorderlineSMOTE, KMeansSMOTE, RandomUnderSampler
from tests.cluster.test_promises import (
    holders_of,
    local_cluster,
    nannied,  # noqa: F401 - a fixture
    slow_frame,
    slowly,
    until,
)
from tests.tables import assert_same_bits, dask_frame, even, numbers

TABLE = numbers(3_000, 400, 4, seed=5)
SAMPLERS = [
    BorderlineSMOTE(random_state=0),
    BorderlineSMOTE(random_state=0, kind="borderline-2"),
    ADASYN(random_state=0),
    SVMSMOTE(random_state=0, max_fit_rows=500),
    KMeansSMOTE(random_state=0, cluster_balance_threshold=0.01),
    RandomUnderSampler(random_state=0),
]


@pytest.fixture(scope="module")
def client():
    with local_cluster(2) as client:
        yield client


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_the_same_rows_on_workers(client, sampler):
    expected = sampler.resample(TABLE, target="y")
    lazy = sampler.resample(dask_frame(TABLE, even(3_000, 11)), target="y")
    assert_same_bits(lazy.compute(), expected)


def test_a_table_that_is_kept_is_looked_at_where_it_is(client):
    kept = dask_frame(TABLE, even(3_000, 6)).persist()
    wait(kept)
    lazy = ADASYN(random_state=0).resample(kept, target="y")
    assert_same_bits(lazy.compute(), ADASYN(random_state=0).resample(TABLE, target="y"))


def test_a_table_that_was_shuffled_between_workers(client):
    with dask.config.set({"dataframe.shuffle.method": "p2p"}):
        shuffled = dask_frame(TABLE, even(3_000, 6)).shuffle("y", npartitions=5)
        counts = TABLE["y"].value_counts().to_dict()
        lazy = BorderlineSMOTE(random_state=0).resample(shuffled, target="y", class_counts=counts)
        made = lazy.compute()
    assert made["y"].value_counts().to_dict() == {0: 2_600, 1: 2_600}


class TestKilled:
    @pytest.mark.parametrize(
        "stage", ["nearest", "gather", pytest.param("index", marks=pytest.mark.slow)]
    )
    def test_while_all_rows_are_looked_at(self, nannied, stage):  # noqa: F811
        nannied.wait_for_workers(2, timeout=60)
        sampler = BorderlineSMOTE(random_state=len(stage))
        counts = {0: 2_600, 1: 400}
        lazy = sampler.resample(slow_frame(TABLE, 0.1), target="y", class_counts=counts)
        future = nannied.compute(lazy.map_partitions(slowly, 0.05, meta=lazy._meta))
        holders = until(lambda: holders_of(nannied, stage), future)
        pids = nannied.run(os.getpid)
        os.kill(pids[next(a for a in holders if a in pids)], signal.SIGKILL)
        expected = sampler.resample(TABLE, target="y")
        assert_same_bits(future.result(timeout=120), expected)
