"""The whole family on Dask: one compute, as many readings as the plan says, small tasks."""

import itertools
import pickle
import threading
import warnings
import weakref

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.base import is_dask_collection
from distributed import Client, LocalCluster

from dsmote import SMOTEN
from dsmote.execute.graph import again, freeze
from tests.samplers import family, table_of
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

MOST_EMBEDDED = 100_000  # bytes

FAMILY = {name: kind(random_state=0, **how) for name, (kind, how) in family().items()}
THREE = [n for n, how in FAMILY.items() if how._recipe().around or how._recipe().surveys]
PASSES = {name: 3 if name in THREE else 2 for name in FAMILY}
ALL = pytest.mark.parametrize("name", FAMILY)


def table_for(name, n=120, minority=36):
    return table_of(name, n, minority)


class Store:
    """Partitions that are loaded by tasks, which are counted; and those that are still held."""

    def __init__(self, table, lengths):
        ends = np.cumsum([0, *lengths])
        self.parts = [table.iloc[a:b] for a, b in itertools.pairwise(ends)]
        self.loads = [0] * len(lengths)
        self.held = self.most_held = 0
        self.lock = threading.Lock()

    def __dask_tokenize__(self):
        return id(self)

    def load(self, i):
        part = self.parts[i].copy()
        with self.lock:
            self.loads[i] += 1
            self.held += 1
            self.most_held = max(self.most_held, self.held)
        weakref.finalize(part, self.released)
        return part

    def released(self):
        with self.lock:
            self.held -= 1

    def frame(self):
        name = f"store-{id(self)}"
        keys = [(name, i) for i in range(len(self.parts))]
        tasks = {key: (self.load, key[1]) for key in keys}
        divisions = (None,) * (len(keys) + 1)
        return dd.from_graph(tasks, self.parts[0].iloc[:0], divisions, keys, name)


def tasks_of(*collections):
    tasks = {}
    for collection in collections:
        tasks |= dict(collection.optimize().__dask_graph__())
    return tasks


@ALL
@pytest.mark.parametrize("container", CONTAINERS)
def test_one_compute_and_lazy_collections(name, container):
    table = table_for(name)
    X, y = pair_in(container, table.drop(columns="y"), table["y"], even(120, 4))
    with counted_computes() as computes:
        made = FAMILY[name].fit_resample(X, y)
    assert len(computes) == 1
    assert [type(one) for one in made] == [type(X), type(y)]
    assert all(is_dask_collection(one) for one in made)


@ALL
def test_with_everything_beside_it_is_one_compute_too(name):
    table = table_for(name)
    X, y = (dask_frame(t, even(120, 4)) for t in (table.drop(columns="y"), table["y"]))
    groups = dask_array(np.arange(120) % 2, even(120, 4))
    how = type(FAMILY[name])(**{**FAMILY[name].get_params(), "provenance": "full"})
    with counted_computes() as computes:
        made = how.fit_resample(X, y, sample_weight=y + 1, groups=groups)
        how.plan(X, y, groups=groups)
    assert len(computes) == 2
    assert len(made) == 4
    assert all(is_dask_collection(one) for one in made)


@ALL
def test_given_counts_save_the_compute(name):
    table = table_for(name)
    frame = dask_frame(table, even(120, 4))
    counts = {0: 84, 1: 36}
    if name == "smoten":
        with pytest.raises(ValueError, match="SMOTEN needs to count the levels of all rows once"):
            FAMILY[name].resample(frame, target="y", class_counts=counts)
        return
    with counted_computes() as computes:
        lazy = FAMILY[name].resample(frame, target="y", class_counts=counts)
    assert not computes
    assert len(FAMILY[name].plan_.passes) == PASSES[name] - 1
    expected = FAMILY[name].resample(table, target="y")
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)


@ALL
@pytest.mark.parametrize("separate", [False, True])
def test_the_data_are_read_as_often_as_the_plan_says(name, separate):
    store = Store(table_for(name), [*even(120, 5), 0])
    frame, how = store.frame(), FAMILY[name]
    with dask.config.set(scheduler="synchronous"):
        if separate:
            lazy = how.fit_resample(frame.drop(columns="y"), frame["y"])
        else:
            lazy = (how.resample(frame, target="y"),)
        assert store.loads == [1] * 6
        dask.compute(*lazy)
    assert store.loads == [PASSES[name]] * 6
    plan = how.plan_
    assert len(plan.passes) == PASSES[name]
    assert f"passes over the data: {PASSES[name]} (counting classes; collecting" in str(plan)
    assert plan.to_dict()["passes"] == list(plan.passes)


@ALL
def test_many_classes_in_many_batches_are_no_more_readings(name, monkeypatch):
    for module in ("survey", "graph"):
        monkeypatch.setattr(f"dsmote.execute.{module}.BATCH", 10)
    table = table_for(name)
    table.loc[:29, "y"] = 2
    table.loc[30:49, "y"] = 3
    store = Store(table, even(120, 5))
    with dask.config.set(scheduler="synchronous"):
        made = FAMILY[name].resample(store.frame(), target="y").compute()
    assert store.loads == [PASSES[name]] * 5
    assert made["y"].value_counts().nunique() == 1
    assert len(FAMILY[name].plan_.growing) == 3


@ALL
@pytest.mark.parametrize("classes", [2, 4])
def test_partitions_are_passed_on_and_not_held(name, classes):
    """What is done with the output is little here: no more than a few inputs are there at once."""
    n = 40
    table = table_for(name, 10 * n, 4 * n)
    if classes > 2:
        table["y"] = np.where(table["y"] == 0, 0, 1 + table.index % 3)
    store = Store(table, [10] * n)
    with dask.config.set(scheduler="synchronous"):
        lazy = FAMILY[name].resample(store.frame(), target="y")
        assert store.most_held <= 3
        rows = lazy.map_partitions(len, meta=(None, "i8")).compute()
    assert rows.sum() == classes * 6 * n
    assert store.most_held <= 8
    assert store.held <= 1


@pytest.mark.parametrize("name", THREE)
def test_nothing_is_read_again_before_it_can_be_used(name):
    """Idle workers would read, and hold, the whole table while a model is learnt."""
    frame = dd.from_map(lambda i: table_for(name), range(9), meta=table_for(name).iloc[:0])
    graph = dict(FAMILY[name].resample(frame, target="y").__dask_graph__())
    second = [key for key in graph if "-again-" in str(key)]
    assert len(second) >= 9
    for key in second:
        below, waits = [key], False
        while below:
            needs = dask.core.get_dependencies(graph, below.pop())
            waits |= any(str(need).startswith("ready-") for need in needs)
            below += [need for need in needs if "-again-" in str(need)]
        assert waits, key


@ALL
def test_tasks_for_each_partition(name):
    few, many = (
        tasks_of(FAMILY[name].resample(Store(table_for(name), lengths).frame(), target="y"))
        for lengths in ([30] * 4, [2] * 60)
    )
    # Read, named, taken out of, put out; where all rows are looked at: read, named, looked at.
    each = 7 if PASSES[name] == 3 else 4
    joints = 2 * (60 // 8) + 3
    assert len(many) - len(few) <= each * 56 + joints


@ALL
def test_little_is_embedded(name):
    lazy = FAMILY[name].resample(Store(table_for(name), [2] * 60).frame(), target="y")
    for key, task in tasks_of(lazy).items():
        if not (isinstance(key, tuple) and key[0].startswith("store-")):
            assert len(pickle.dumps(task, protocol=5)) < 10_000, key


def test_many_levels_are_embedded_once():
    rng = np.random.default_rng(0)
    n = 20_000
    table = pd.DataFrame({"a": rng.integers(0, n, n).astype(str), "b": rng.choice(list("uv"), n)})
    table["y"] = (rng.random(n) < 0.3).astype(int)
    lazy = SMOTEN(random_state=0).resample(Store(table, even(n, 10)).frame(), target="y")
    large = [
        key
        for key, task in dict(lazy.__dask_graph__()).items()
        if not (isinstance(key, tuple) and "store-" in key[0])
        and len(pickle.dumps(task, protocol=5)) > MOST_EMBEDDED
    ]
    assert len(large) == 1
    assert large[0].startswith("levels-")


def test_repeated_tasks_have_other_keys_and_make_the_same():
    calls = []

    def leaf(i):
        calls.append(i)
        return i

    graph = {("a", 0): (leaf, 1), ("a", 1): (leaf, 2), "sum": (sum, [("a", 0), ("a", 1)])}
    graph["alias"] = "sum"
    copies, names = again(graph, "more")
    assert not set(copies) & set(graph)
    assert names == {
        ("a", 0): ("a-more", 0),
        ("a", 1): ("a-more", 1),
        "sum": "sum-more",
        "alias": "alias-more",
    }
    assert dask.get(graph | copies, ["sum", "alias-more"]) == (3, 3)
    assert sorted(calls) == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda table: dask_frame(table, even(120, 4)),
        lambda table: dd.from_pandas(table, npartitions=4),
        lambda table: dask_frame(table, even(120, 4))[["a", "y"]],
        lambda table: dask_frame(table, even(120, 4)).assign(d=1.0).repartition(npartitions=2),
        lambda table: dask_array(table.to_numpy(), even(120, 4)),
        lambda table: dask_array(table.to_numpy(), even(120, 4))[:, :2] * 2,
        lambda table: dask_frame(table, even(120, 4)).persist(scheduler="synchronous"),
    ],
    ids=["delayed", "pandas", "projected", "repartitioned", "array", "computed array", "persisted"],
)
def test_frozen_collections_are_repeated_whole(make):
    graph, keys = freeze(make(numbers()))
    copies, names = again(graph, "more")
    assert not set(copies) & set(graph)
    assert set(names) == set(graph)
    again_keys = [names[key] for key in keys]
    # The copies alone: nothing in them asks for one of the first.
    for one, other in zip(dask.get(copies, again_keys), dask.get(graph, keys), strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("how", ["shuffled", "merged"])
@pytest.mark.parametrize("name", ["smote", "borderline-2", "adasyn", "kmeans"])
def test_rows_and_targets_match_after_a_shuffle_in_threads(name, how):
    table = table_for(name, 3_000, 900).assign(id=np.arange(3_000))
    frame = dd.from_pandas(table, npartitions=8)
    if how == "shuffled":
        frame = frame.shuffle("a", npartitions=5, shuffle_method="disk")
    else:
        more = table[["id"]].assign(d=1.0).sample(frac=1.0, random_state=0)
        other = dd.from_pandas(more, npartitions=7, sort=False)
        frame = frame.merge(other, on="id", shuffle_method="disk")
    how = type(FAMILY[name])(**{**FAMILY[name].get_params(), "carry": ["id"]})
    with dask.config.set(scheduler="threads", num_workers=4):
        X, y = dask.compute(*how.fit_resample(frame.drop(columns="y"), frame["y"]))
        whole = how.resample(frame, target="y").compute()
    for found in (X.assign(y=y), whole):
        originals = found[:3_000].set_index("id")["y"].sort_index()
        assert originals.to_list() == table["y"].to_list()
        again = how.resample(found[:3_000].reset_index(drop=True), target="y")
        assert_same_bits(found, again)


def test_arrays_of_a_shuffled_frame_that_may_not_match_are_told_of():
    frame = dd.from_pandas(table_for("smote"), npartitions=4)
    counts = {"class_counts": {0: 84, 1: 36}}

    def told(how, pair):
        shuffled = frame.shuffle("a", npartitions=3, shuffle_method=how)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            FAMILY["smote"].fit_resample(*pair(shuffled), **counts)
        return [str(warning.message) for warning in told if "no fixed order" in str(warning)]

    def arrays(shuffled):
        return shuffled[["a", "b", "c"]].to_dask_array(), shuffled["y"].to_dask_array()

    def one_array(shuffled):
        whole = shuffled.to_dask_array()
        return whole[:, :3], whole[:, 3]

    for how in ("disk", "p2p"):
        (found,) = told(how, arrays)
        assert "resample(frame, target=...)" in found
        assert len(told(how, lambda f: (f[["a", "b", "c"]], f["y"].to_dask_array()))) == 1
    # Tasks join rows in order, and of one shuffle all have the same.
    assert not told("tasks", arrays)
    assert not told("disk", one_array)
    assert not told("disk", lambda f: (f[["a", "b", "c"]], f["y"]))


class Changing(Store):
    """Partitions that are others when they are loaded for the third time."""

    def __init__(self, table, lengths, change):
        super().__init__(table, lengths)
        self.change = change

    def load(self, i):
        part = super().load(i)
        return self.change(part) if self.loads[i] > 2 else part


@pytest.mark.parametrize(
    ("name", "change"),
    [  # KMeansSMOTE counts all rows by cluster, for which their order is nothing.
        *itertools.product(["adasyn", "borderline-2", "svm"], ["order", "rows"]),
        ("kmeans", "rows"),
    ],
)
def test_data_that_change_between_two_reads_are_refused(name, change):
    changes = {"order": lambda part: part[::-1], "rows": lambda part: part[part["y"] == 0]}
    frame = Changing(table_for(name), even(120, 3), changes[change]).frame()
    with dask.config.set(scheduler="synchronous"):
        lazy = FAMILY[name].resample(frame, target="y")
        with pytest.raises(ValueError, match="data that change between two reads cannot be"):
            lazy.compute()


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address=":0",
            memory_limit=0,
        ) as cluster,
        Client(cluster) as made,
    ):
        yield made


@pytest.mark.parametrize("name", ["random", "borderline-2", "adasyn", "svm", "kmeans", "smoten"])
def test_shuffled_and_persisted_frames_on_a_cluster(name, client):
    table = table_for(name)
    frame = dask_frame(table, even(120, 4))
    kept = frame.persist()
    expected = FAMILY[name].resample(table, target="y")
    found = FAMILY[name].resample(kept, target="y").compute()
    assert_same_bits(found, expected)
    shuffled = frame.shuffle("b", npartitions=3, shuffle_method="p2p")
    found = FAMILY[name].resample(shuffled, target="y").compute()
    # The shuffle does not say in which order rows come; the counts and the originals it does.
    assert found["y"].value_counts().to_dict() == {0: 84, 1: 84}
    X, y = dask.compute(*FAMILY[name].fit_resample(shuffled.drop(columns="y"), shuffled["y"]))
    for made in (found, pd.concat([X, y], axis=1)):
        originals = made.iloc[:120].sort_values(list("abcy")).to_numpy()
        np.testing.assert_array_equal(originals, table.sort_values(list("abcy")).to_numpy())
        in_order = FAMILY[name].resample(made.iloc[:120], target="y")
        assert_same_bits(made, in_order)
