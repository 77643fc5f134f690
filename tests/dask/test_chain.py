"""Chains on Dask: how often the data are read, what is held, and what goes with the result."""

import gc
import time

import dask
import pytest
from distributed import Client, LocalCluster

from dsmote import (
    SMOTE,
    BorderlineSMOTE,
    Chain,
    EditedNearestNeighbours,
    RandomUnderSampler,
    TomekLinks,
)
from dsmote.execute import exchange
from tests.dask.test_lazy import Store
from tests.tables import assert_same_bits, dask_frame, even, numbers

N, PARTS = 600, 12
TABLE = numbers(N, 120, 3)
HALF = {"sampling_strategy": 0.5}


@pytest.mark.parametrize(
    ("steps", "before", "readings"),
    [
        ([SMOTE(**HALF), RandomUnderSampler()], 1, 1),
        ([RandomUnderSampler(**HALF), SMOTE()], 1, 1),
        ([SMOTE(**HALF), SMOTE()], 1, 1),
        # All rows are compared, then filtered: the index of the first step is made once.
        ([SMOTE(**HALF), TomekLinks()], 1, 2),
        ([SMOTE(**HALF), RandomUnderSampler(), TomekLinks()], 1, 2),
        # The nearest of all rows are found in a reading of their own.
        ([BorderlineSMOTE(**HALF), TomekLinks()], 1, 3),
        # Two decisions, each on all rows that were left; the first is needed to count, too.
        ([TomekLinks(), EditedNearestNeighbours()], 3, 3),
    ],
    ids=lambda steps: (
        steps if isinstance(steps, int) else "-".join(type(s).__name__ for s in steps)
    ),
)
def test_how_often_the_data_are_read(steps, before, readings):
    store = Store(TABLE, even(N, PARTS))
    with dask.config.set(scheduler="synchronous"):
        lazy = Chain(steps, random_state=0).resample(store.read(), target="y")
        assert set(store.loads) == {before}
        made = lazy.compute()
    assert set(store.loads) == {before + readings}
    assert_same_bits(made, Chain(steps, random_state=0).resample(TABLE, target="y"))


def test_partitions_are_not_held(tmp_path, request):
    gc.freeze()  # what was there before is not looked at
    request.addfinalizer(gc.unfreeze)
    # What refers to itself goes at once, and not when there is much of it.
    store = Store(TABLE, even(N, PARTS), change=lambda part, _: (gc.collect(), part)[1])
    with dask.config.set(scheduler="synchronous"):
        steps = [BorderlineSMOTE(**HALF), EditedNearestNeighbours(), RandomUnderSampler()]
        lazy = Chain(steps, random_state=0).resample(store.read(), target="y")
        for i, part in enumerate(lazy.to_delayed(optimize_graph=False)):
            part.compute().to_parquet(tmp_path / f"{i}.parquet")
            if i == 2:
                break
    gc.collect()
    assert store.held == 0
    assert store.most_held < PARTS


def test_scratch_files_of_a_step_go_with_the_result_of_the_chain(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "POLL_SECONDS", 0.2)
    first = SMOTE(route="cells", scratch=str(tmp_path), **HALF)
    chain = Chain([first, RandomUnderSampler()], random_state=0)
    alike = Chain([SMOTE(**HALF), RandomUnderSampler()], random_state=0)
    expected = alike.resample(TABLE, target="y")
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        lazy = chain.resample(dask_frame(TABLE, even(N, 4)), target="y")
        gc.collect()
        time.sleep(0.3)  # what is to be deleted would be, before it is there
        assert_same_bits(lazy.compute(), expected)
        assert [*tmp_path.iterdir()]
        del lazy
        gc.collect()
        end = time.monotonic() + 20
        while [*tmp_path.iterdir()] and time.monotonic() < end:
            time.sleep(0.1)
        assert not [*tmp_path.iterdir()]
