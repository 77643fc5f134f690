"""Under-sampling on Dask: one light compute, few tasks, partitions filtered as they pass."""

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.base import is_dask_collection

import dsmote.execute.keep
from dsmote import RandomUnderSampler
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    counted_computes,
    dask_array,
    dask_frame,
    even,
    numbers,
    pair_in,
)

NUMBERS = numbers()
LENGTHS = even(len(NUMBERS), 5)
SAMPLER = RandomUnderSampler(random_state=0)


def made_frame(n, seen=None):
    """Make a frame of n partitions, one task each, that tells which of them are made."""

    def part(i):
        if seen is not None:
            seen.append(i)
        rng = np.random.default_rng(i)
        frame = pd.DataFrame({"a": rng.normal(size=50), "b": np.arange(50) + 50 * i})
        return frame.assign(y=(np.arange(50) % 5 == 0).astype("int64"))

    keys = [("made", i) for i in range(n)]
    return dd.from_graph(
        {key: (part, i) for i, key in enumerate(keys)}, part(0)[:0], (None,) * (n + 1), keys, "made"
    )


@pytest.mark.parametrize("container", CONTAINERS)
def test_fit_resample_computes_once_and_gives_lazy_collections(container):
    X, y = pair_in(container, NUMBERS.drop(columns="y"), NUMBERS["y"], LENGTHS)
    with counted_computes() as computes:
        X_res, y_res = SAMPLER.fit_resample(X, y)
        assert len(computes) == 1
    for made, given in ((X_res, X), (y_res, y)):
        assert type(made) is type(given)
        assert is_dask_collection(made)
        if isinstance(given, da.Array):
            assert made.shape[0] == 48
            assert made.shape[1:] == given.shape[1:]
            assert made.dtype == given.dtype
        else:
            assert made.npartitions == given.npartitions


def test_resample_and_plan_compute_once():
    frame = dask_frame(NUMBERS, LENGTHS)
    with counted_computes() as computes:
        assert is_dask_collection(SAMPLER.resample(frame, target="y"))
        assert len(computes) == 1
        SAMPLER.plan(frame, target="y")
        assert len(computes) == 2


def test_input_in_memory_makes_no_dask_graph(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a Dask graph was made")

    monkeypatch.setattr(dsmote.execute.keep.HighLevelGraph, "from_collections", refuse)
    monkeypatch.setattr(dd, "from_graph", refuse)
    with counted_computes() as computes:
        SAMPLER.resample(NUMBERS, target="y")
    assert not computes


def test_each_partition_is_made_once_to_count_and_once_to_filter():
    seen = []
    frame = made_frame(6, seen)
    seen.clear()
    with dask.config.set(scheduler="synchronous"):
        lazy = SAMPLER.resample(frame, target="y")
        assert sorted(seen) == list(range(6))
        seen.clear()
        found = lazy.compute()
        assert sorted(seen) == list(range(6))
        seen.clear()
        # No barrier: a partition needs no other one.
        part = lazy.partitions[3].compute()
        assert seen == [3]
    assert_same_bits(part, found[(found["b"] >= 150) & (found["b"] < 200)])


def test_the_target_alone_needs_no_features():
    def refuse(*args):
        raise AssertionError("a feature was read")

    y = dask_array(NUMBERS["y"].to_numpy(), LENGTHS)
    graph = {("none", i, 0): (refuse, i) for i in range(5)}
    X = da.Array(graph, "none", (tuple(LENGTHS), (3,)), dtype="f8")
    with dask.config.set(scheduler="synchronous"):
        X_res, y_res = SAMPLER.fit_resample(X, y)
        assert X_res.shape == (48, 3)
        assert np.bincount(y_res.compute()).tolist() == [24, 24]


def test_a_parquet_table_is_counted_by_its_target_only(tmp_path, monkeypatch):
    for i in range(4):
        NUMBERS[i * 30 : (i + 1) * 30].to_parquet(tmp_path / f"{i}.parquet")
    frame = dd.read_parquet(tmp_path)
    columns = []
    count = dsmote.execute.keep.count_part

    def look(part, **how):
        columns.append([part.name] if part.ndim == 1 else list(part.columns))
        return count(part, **how)

    monkeypatch.setattr(dsmote.execute.keep, "count_part", look)
    with dask.config.set(scheduler="synchronous"):
        expected = SAMPLER.resample(frame.compute(), target="y")
        columns.clear()
        lazy = SAMPLER.resample(frame, target="y")
        assert columns == [["y"]] * 4
        pd.testing.assert_frame_equal(lazy.compute(), expected)
        X_res, y_res = SAMPLER.fit_resample(frame[["a"]], frame["y"])
        assert_same_bits(X_res.compute(), expected[["a"]])
        assert_same_bits(y_res.compute(), expected["y"])


@pytest.mark.parametrize("size", ["1kB", "2kB", "10kB"])
def test_partitions_cut_by_their_size(size, tmp_path):
    # Dask cuts a frame of one column elsewhere than the whole frame.
    for i in range(4):
        NUMBERS[i * 30 : (i + 1) * 30].to_parquet(tmp_path / f"{i}.parquet")
    frame = dd.read_parquet(tmp_path).repartition(partition_size=size)
    with dask.config.set(scheduler="synchronous"):
        expected = SAMPLER.resample(frame.compute(), target="y")
        assert_same_bits(SAMPLER.resample(frame, target="y").compute(), expected)


def tasks_of(*collections):
    tasks = {}
    for collection in collections:
        is_array = isinstance(collection, da.Array)
        made = dask.optimize(collection)[0] if is_array else collection.optimize()
        tasks |= dict(made.__dask_graph__())
    return tasks


@pytest.mark.parametrize("n", [1, 40, 300])
@pytest.mark.parametrize("kind", ["frame", "pair", "arrays"])
def test_number_and_size_of_tasks(kind, n):
    frame = made_frame(n)
    if kind == "frame":
        given = (frame,)
        lazy = (SAMPLER.resample(frame, target="y"),)
    elif kind == "pair":
        given = (frame[["a", "b"]], frame["y"])
        lazy = SAMPLER.fit_resample(*given)
    else:
        given = (
            dask_array(np.random.default_rng(0).normal(size=(50 * n, 2)), [50] * n),
            dask_array(np.arange(50 * n) % 5 // 4, [50] * n),
        )
        lazy = SAMPLER.fit_resample(*given)
    tasks = tasks_of(*lazy)
    added = set(tasks) - set(tasks_of(*given))
    # One in two is an alias that gives a partition the name of its collection.
    assert len(added) <= (2 if kind == "frame" else 4) * n
    assert all(len(pickle.dumps(tasks[key], protocol=5)) < 10_000 for key in added)


def test_partitions_that_keep_all_pass_as_the_same_objects():
    parts = [NUMBERS[i : i + 40].assign(y=i // 40).copy() for i in range(0, 120, 40)]
    graph = {("p", i): (parts.__getitem__, i) for i in range(3)}
    frame = dd.from_graph(graph, NUMBERS[:0], (None,) * 4, list(graph), "p")
    lazy = RandomUnderSampler(sampling_strategy={2: 1}).resample(frame, target="y")
    found = dask.compute(*lazy.to_delayed(), scheduler="synchronous")
    assert found[0] is parts[0]
    assert found[1] is parts[1]
    assert len(found[2]) == 1


def test_known_divisions_stay_known():
    frame = dd.from_pandas(NUMBERS, npartitions=4)
    lazy = SAMPLER.resample(frame, target="y")
    assert lazy.divisions == frame.divisions
    with dask.config.set(scheduler="synchronous"):
        found = lazy.compute()
        assert_same_bits(lazy.loc[30:70].compute(), found.loc[30:70])
        X_res, y_res = SAMPLER.fit_resample(frame[["a"]], frame["y"])
        assert_same_bits(X_res.assign(y=y_res).compute(), found[["a", "y"]])


def test_the_result_can_be_worked_on_further():
    lazy = SAMPLER.resample(dask_frame(NUMBERS, LENGTHS), target="y")
    expected = SAMPLER.resample(NUMBERS, target="y")
    with dask.config.set(scheduler="synchronous"):
        assert lazy["y"].value_counts().compute().to_dict() == {0: 24, 1: 24}
        assert_same_bits(lazy[lazy["a"] > 0].compute(), expected[expected["a"] > 0])
        assert_same_bits(lazy.persist().compute(), expected)
        half = RandomUnderSampler(sampling_strategy={0: 12}, random_state=1)
        assert_same_bits(
            half.resample(lazy, target="y").compute(), half.resample(expected, target="y")
        )


def test_data_that_change_between_two_reads():
    reads = []

    def part(i):
        reads.append(i)
        return NUMBERS[: 100 + len(reads)]

    frame = dd.from_graph({("c", 0): (part, 0)}, NUMBERS[:0], (None, None), [("c", 0)], "c")
    with dask.config.set(scheduler="synchronous"):
        lazy = SAMPLER.resample(frame, target="y")
        with pytest.raises(ValueError, match=r"class \d has \d+ rows in a partition in which \d+"):
            lazy.compute()


def test_empty_partitions_that_lost_their_dtypes():
    parts = [NUMBERS[:70], NUMBERS[:0].astype(object), NUMBERS[70:]]
    frame = dd.from_delayed([dask.delayed(p) for p in parts], meta=NUMBERS[:0], verify_meta=False)
    with dask.config.set(scheduler="synchronous"):
        found = SAMPLER.resample(frame, target="y").compute()
    pd.testing.assert_frame_equal(found, SAMPLER.resample(NUMBERS, target="y"))
