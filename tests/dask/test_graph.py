"""The graph: only references in it, few tasks, built quickly, and recomputable."""

import pickle
import time

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask._task_spec import Alias

import dsmote.execute.generate
from dsmote import SMOTE, SMOTENC
from tests.tables import assert_same_bits, dask_array, dask_frame, even, mixed, numbers

MOST_EMBEDDED = 100_000  # bytes


def make_part(i, rows=50, width=3):
    rng = np.random.default_rng(i)
    part = pd.DataFrame(rng.normal(size=(rows, width)), columns=list("abcdefghij"[:width]))
    part["id"] = np.arange(i * rows, (i + 1) * rows)
    part["y"] = (np.arange(rows) % 5 == 0).astype("int64")
    return part


def made_frame(n):
    """Make a frame of n partitions, one task each, as a reader of files does."""
    return dd.from_map(make_part, range(n), meta=make_part(0).iloc[:0])


def make_chunk(i, column):
    return make_part(i).drop(columns="id").to_numpy()[:, column]


def made_arrays(n):
    X = {("x", i, 0): (make_chunk, i, slice(0, 3)) for i in range(n)}
    y = {("y", i): (make_chunk, i, 3) for i in range(n)}
    rows = (50,) * n
    return da.Array(X, "x", (rows, (3,)), dtype="f8"), da.Array(y, "y", (rows,), dtype="f8")


def inputs(kind, n):
    """Return the input collections and the sampler for a kind of graph."""
    frame = made_frame(n)
    carry = SMOTE(random_state=0, carry=["id"])
    if kind == "frame":
        return SMOTE(random_state=0), (frame,)
    if kind == "frame, carried":
        return carry, (frame,)
    if kind == "pair, carried":
        return carry, (frame.drop(columns="y"), frame["y"])
    if kind == "pair, carried, names as target":
        named = frame["y"].map_partitions(named_labels, meta=named_labels(make_part(0)["y"]))
        return carry, (frame.drop(columns="y"), named)
    if kind == "frame and array":
        return SMOTE(random_state=0), (frame[["a", "b", "c"]], made_arrays(n)[1])
    return SMOTE(random_state=0), made_arrays(n)


def named_labels(y):
    """Name the classes; the categories' order differs between partitions, as files' may."""
    return y.map({0: "no", 1: "yes"}).astype("category")


KINDS = [
    "frame",
    "frame, carried",
    "pair, carried",
    "pair, carried, names as target",
    "arrays",
    "frame and array",
]


def collections(kind, n):
    sampler, given = inputs(kind, n)
    if len(given) == 1:
        return (sampler.resample(given[0], target="y"),)
    return sampler.fit_resample(*given)


def tasks_of(collections):
    """Return the tasks of collections together, as they would run."""
    tasks = {}
    for collection in collections:
        optimised = (
            dask.optimize(collection)[0]
            if isinstance(collection, da.Array)
            else collection.optimize()
        )
        tasks |= dict(optimised.__dask_graph__())
    return tasks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "rows"),
    [
        (1, 100),
        (40, 100),
        pytest.param(300, 100, marks=pytest.mark.slow),
        (1, 250_000),
        (40, 250_000),
        (300, 250_000),
    ],
)
def test_number_of_tasks(kind, n, rows, monkeypatch):
    monkeypatch.setattr("dsmote.plan.plan.BLOCK_ROWS", rows)
    sampler, given = inputs(kind, n)
    lazy = sampler.fit_resample(*given) if given[1:] else (sampler.resample(given[0], target="y"),)
    tasks = tasks_of(lazy)
    # Besides: one index for the class, and the joints of the tree that gathers its rows.
    most = 4 * n + 4 * -(-30 * n // rows) + 2 + -(-n // 256)
    added = set(tasks) - set(tasks_of(given))
    assert len(added) <= most
    working = [task for task in tasks.values() if not isinstance(task, Alias)]
    assert len(working) <= most


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_large_is_embedded(kind):
    for collection in collections(kind, 300):
        for key, task in dict(collection.__dask_graph__()).items():
            assert len(pickle.dumps(task, protocol=5)) < MOST_EMBEDDED, key


def test_nothing_large_is_embedded_for_thousands_of_blocks(monkeypatch):
    monkeypatch.setattr("dsmote.plan.plan.BLOCK_ROWS", 1)
    (lazy,) = collections("frame", 150)
    assert lazy.npartitions == 150 + 4_500
    for key, task in dict(lazy.__dask_graph__()).items():
        assert len(pickle.dumps(task, protocol=5)) < MOST_EMBEDDED, key


def test_nothing_large_is_embedded_for_a_wide_table_with_many_levels():
    rng = np.random.default_rng(0)
    names = [f"a column with a long name, number {i}" for i in range(1_500)]
    levels = pd.Categorical(
        rng.choice(20_000, 60).astype(str), categories=np.arange(20_000).astype(str)
    )
    table = pd.concat(
        [
            pd.DataFrame(rng.normal(size=(60, 1_500)), columns=names),
            pd.DataFrame({"level": levels, "y": np.repeat([0, 1], [40, 20])}),
        ],
        axis=1,
    )
    frame = stored(table[:30], table[30:])
    lazy = SMOTENC(random_state=0).resample(frame, target="y")
    for key, task in dict(lazy.__dask_graph__()).items():
        assert len(pickle.dumps(task, protocol=5)) < MOST_EMBEDDED, key
    assert lazy.compute(scheduler="synchronous")["level"].dtype == table["level"].dtype


STORE = []


def load(i):
    return STORE[i]


def stored(*parts):
    """Make a frame whose tasks only refer to its partitions, as a reader's do."""
    STORE[:] = parts
    keys = [("p", i) for i in range(len(parts))]
    tasks = {key: (load, key[1]) for key in keys}
    return dd.from_graph(tasks, parts[0].iloc[:0], (None,) * (len(parts) + 1), keys, "p")


def test_many_classes_embed_little():
    labels = np.arange(3_000)
    table = pd.DataFrame({"a": np.arange(6_001.0), "y": np.append(np.repeat(labels, 2), 0)})
    frame = stored(table[:3_000], table[3_000:])
    lazy = SMOTE(random_state=0, k_neighbors=1).resample(frame, target="y")
    for key, task in dict(lazy.__dask_graph__()).items():
        assert len(pickle.dumps(task, protocol=5)) < 5 * MOST_EMBEDDED, key
    total = sum(len(pickle.dumps(t, protocol=5)) for t in dict(lazy.__dask_graph__()).values())
    assert total < 200 * MOST_EMBEDDED


@pytest.mark.parametrize("partitions", [3, 300])
def test_one_index_for_each_class_that_grows(partitions, monkeypatch):
    table = mixed(900, 120)
    monkeypatch.setattr("dsmote.plan.plan.BLOCK_ROWS", 50)
    built = []
    original = dsmote.execute.generate.build_class_index

    def build(*found, **how):
        built.append(how["of"].label)
        return original(*found, **how)

    monkeypatch.setattr("dsmote.execute.graph.build_class_index", build)
    frame = dask_frame(table, even(900, partitions))
    lazy = SMOTENC(random_state=0).resample(frame, target="y")
    assert lazy.npartitions > partitions + 10
    lazy.compute(scheduler="synchronous")
    assert sorted(built) == ["few", "less"]


def test_the_graph_can_be_computed_again_and_in_parts():
    table = numbers(300, 60)
    lazy = SMOTE(random_state=None).resample(dask_frame(table, even(300, 6)), target="y")
    first = lazy.compute(scheduler="synchronous")
    assert_same_bits(lazy.compute(scheduler="threads"), first)
    parts = dask.compute(*lazy.to_delayed(), scheduler="synchronous")
    assert_same_bits(pd.concat(parts), first)
    copy = pickle.loads(pickle.dumps(lazy))
    assert_same_bits(copy.compute(scheduler="synchronous"), first)


def test_the_same_call_gives_the_same_keys_and_another_call_others():
    frame = made_frame(4)

    def keys(collection):
        return {str(key) for key in collection.__dask_graph__() if "synthetic" in str(key)}

    def resampled(**how):
        return SMOTE(carry=["id"], **how).resample(frame, target="y")

    one = keys(resampled(random_state=0))
    assert one
    assert one == keys(resampled(random_state=0))
    assert not one & keys(resampled(random_state=1))
    assert not one & keys(resampled(random_state=0, k_neighbors=4))
    assert not one & keys(resampled(random_state=0, sampling_strategy=0.5))


def test_two_results_in_one_compute_do_not_mix():
    frame = made_frame(4)[["a", "b", "c", "y"]]
    lazy = [SMOTE(random_state=seed).resample(frame, target="y") for seed in (0, 1)]
    alone = [one.compute(scheduler="synchronous") for one in lazy]
    together = dask.compute(*lazy, scheduler="synchronous")
    for one, other in zip(together, alone, strict=True):
        assert_same_bits(one, other)
    assert not alone[0].equals(alone[1])


def test_a_graph_over_20_000_partitions_is_built_in_seconds():
    n = 20_000
    frame = made_frame(n)
    begin = time.process_time()
    lazy = SMOTE(random_state=0, carry=["id"]).resample(
        frame, target="y", class_counts={0: 40 * n, 1: 10 * n}
    )
    seconds = time.process_time() - begin
    assert lazy.npartitions >= n + 3
    assert seconds < 20
    graph = dict(lazy.__dask_graph__())
    assert len(graph) <= 4 * n + 4 * (lazy.npartitions - n) + n // 200
    # A few hundred bytes a task: the same partial, not a copy of it, is in each.
    assert len(pickle.dumps(graph, protocol=5)) < 1_000 * len(graph)


def test_building_the_graph_hashes_no_task(monkeypatch):
    X, y = made_arrays(500)
    import dask.tokenize

    calls = []
    original = dask.tokenize._tokenize

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(dask.tokenize, "_tokenize", counted)
    counts = {0.0: 20_000, 1.0: 5_000}
    SMOTE(random_state=0).fit_resample(X, y, class_counts=counts)
    assert len(calls) < 500


def test_arrays_know_their_chunks():
    table = numbers(120, 24)
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy()
    known = SMOTE(random_state=0).fit_resample(dask_array(X, [60, 60]), dask_array(y, [60, 60]))
    assert known[0].shape == (192, 3)
    assert known[1].shape == (192,)
    unknown = SMOTE(random_state=0).fit_resample(
        dask_array(X, [60, 60], known=False), dask_array(y, [60, 60], known=False)
    )
    assert np.isnan(unknown[0].shape[0])
    assert unknown[0].shape[1] == 3
