"""Class rows in chunks: few tasks, none of which holds or returns a class; each read about once."""

import pickle

import dask
import numpy as np
import pytest
from dask.callbacks import Callback

from dsmote import PolynomFitSMOTE, RandomOverSampler
from dsmote.execute.exchange import Exchange
from tests.dask.test_lazy import Store, made_frame, sizes_of, tasks_of
from tests.tables import assert_same_bits, counted_computes, even, mixed, numbers, set_constant

HOW = {
    "copies": RandomOverSampler(random_state=0),
    "smoothed": RandomOverSampler(random_state=0, shrinkage=1.0),
    "star": PolynomFitSMOTE(random_state=0),
}


def made_in(name, route, table, parts=5):
    how = HOW[name].set_params(route=route)
    return how.resample(Store(table, even(len(table), parts)).frame(), target="y")


def table_of(name, n=400):
    return mixed(n, n // 2) if name == "copies" else numbers(n, n // 4)


@pytest.mark.parametrize(
    ("name", "block_rows"), [("copies", 20), *((name, 250_000) for name in HOW)]
)
def test_number_and_size_of_tasks(name, block_rows, monkeypatch):
    """As many as of one worker: a layout is in the place of each index."""
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", block_rows)
    given, tasks = made_frame(60).drop(columns="id"), []
    for route in ("broadcast", "cells"):
        lazy = HOW[name].set_params(route=route).resample(given, target="y")
        tasks.append(len(tasks_of([lazy])))
    assert tasks[0] == tasks[1]
    assert max(sizes_of(lazy.__dask_graph__()).values()) < 30_000


class Sizes(Callback):
    """Pickled bytes of what tasks return, by the first part of their names."""

    def __init__(self):
        super().__init__(posttask=self.seen)
        self.found = {}

    def seen(self, key, result, *_):
        name = str(key[0] if isinstance(key, tuple) else key).partition("-")[0]
        self.found.setdefault(name, []).append(len(pickle.dumps(result)))


@pytest.mark.parametrize("name", HOW)
def test_between_tasks_goes_nothing_that_grows_with_the_rows(name, monkeypatch):
    found = []
    for n in (400, 8_000):
        set_constant(monkeypatch, "plan", "BLOCK_ROWS", n // 20)
        sizes = Sizes()
        with dask.config.set(scheduler="synchronous"), sizes:
            made_in(name, "cells", table_of(name, n)).compute(optimize_graph=False)
        found.append({of: sizes.found[of] for of in ("extract", "gather", "layout")})
    few, many = found
    for of in few:
        assert len(few[of]) == len(many[of])
        assert max(many[of]) < max(few[of]) + 500


@pytest.mark.parametrize(("name", "counted"), [("copies", True), *((name, False) for name in HOW)])
def test_read_and_computed_as_often_as_in_one_worker(name, counted):
    table, found = table_of(name), {}
    given = {"class_counts": table["y"].value_counts().to_dict()} if counted else {}
    for route in ("broadcast", "cells"):
        store, how = Store(table, [*even(400, 5), 0]), HOW[name].set_params(route=route)
        with counted_computes() as computes:
            lazy = how.resample(store.frame(), target="y", **given)
        with dask.config.set(scheduler="synchronous"):
            made = lazy.compute()
        assert store.loads == [len(how.plan_.passes)] * 6
        found[route] = len(computes), len(how.plan_.passes), made
    assert found["cells"][:2] == found["broadcast"][:2] == (not counted, 2 - counted)
    assert_same_bits(found["cells"][2], found["broadcast"][2])


@pytest.mark.parametrize("new", [0.1, 40.0])
def test_a_block_reads_only_the_chunks_of_its_base_rows(new, monkeypatch):
    """They follow each other: all blocks together read each chunk once, and their edges again."""
    set_constant(monkeypatch, "plan", "STEP_ROWS", 10)
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 50 if new < 1 else 400)
    table, reads, receive = numbers(4_000, 1_000), [], Exchange.receive

    def seen(self, names, destination):
        reads.extend((name, destination) for name in names if "-rows-" in name)
        return receive(self, names, destination)

    monkeypatch.setattr(Exchange, "receive", seen)
    how = HOW["copies"]
    monkeypatch.setattr(how, "sampling_strategy", {1: int(1_000 * (1 + new))})
    made_in("copies", "cells", table).compute(scheduler="synchronous")
    blocks = len(how.plan_.blocks)
    assert blocks == (2 if new < 1 else 100)
    chunks = sum(-(-int(n) // 10) for n in table["y"].to_numpy().reshape(5, -1).sum(axis=1))
    if new > 1:
        assert len(set(reads)) == chunks
    assert len(set(reads)) <= len(reads) < len(set(reads)) + blocks


@pytest.mark.parametrize("name", HOW)
def test_a_part_of_the_result_is_that_part(name, monkeypatch):
    """Blocks may be computed one by one, and again."""
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 30)
    lazy = made_in(name, "cells", table_of(name), 4)
    with dask.config.set(scheduler="synchronous"):
        whole = lazy.compute()
        last = lazy.partitions[lazy.npartitions - 1].compute()
        first = lazy.partitions[4].compute()
    assert_same_bits(last, whole[-len(last) :])
    assert_same_bits(first, whole[400 : 400 + len(first)])
    assert np.array_equal(whole.index, np.arange(len(whole)))
