"""Lazy: one compute, as many readings as the plan says, nothing held or changed; small graphs."""

import itertools
import pickle
import threading
import time
import warnings
import weakref

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask._task_spec import Alias
from dask.base import is_dask_collection
from distributed import Client, LocalCluster

import dsmote.execute
from dsmote import SMOTE, SMOTEN, SMOTENC, RandomUnderSampler
from tests.samplers import family, table_of
from tests.tables import (
    CONTAINERS,
    assert_same_bits,
    counted_computes,
    dask_array,
    dask_frame,
    even,
    mixed,
    numbers,
    pair_in,
    set_constant,
)

MOST_EMBEDDED = 100_000  # bytes
N, FEW = 120, 36
COUNTS = {0: N - FEW, 1: FEW}

OVER, UNDER = (
    {name: kind(**how) for name, (kind, how) in family(over, random_state=0).items()}
    for over in (True, False)
)
ALL = OVER | UNDER
THREE = [n for n, how in OVER.items() if how._recipe().n_neighbors_all or how._recipe().surveys]
PASSES = {name: 3 if name in THREE else 2 for name in ALL}
EACH = pytest.mark.parametrize("name", ALL)
EACH_OVER = pytest.mark.parametrize("name", OVER)


def pair_of(table):
    return table.drop(columns="y"), table["y"]


def like(name, **more):
    """Make a sampler with some other parameters."""
    return type(ALL[name])(**(ALL[name].get_params() | more))


class Store:
    """Partitions that are loaded by tasks, which are counted; and those that are still held."""

    def __init__(self, table, lengths, change=None):
        ends = np.cumsum([0, *lengths])
        self.parts = [table.iloc[a:b] for a, b in itertools.pairwise(ends)]
        self.loads = [0] * len(lengths)
        self.change = change
        self.held = self.most_held = 0
        self.lock = threading.Lock()

    def __dask_tokenize__(self):
        return id(self)

    def __reduce__(self):
        return str, ("tasks refer to a store, as to a file",)

    def load(self, i):
        part = self.parts[i].copy()
        with self.lock:
            self.loads[i] += 1
            self.held += 1
            self.most_held = max(self.most_held, self.held)
        weakref.finalize(part, self.released)
        return self.change(part, self.loads[i]) if self.change else part

    def released(self):
        with self.lock:
            self.held -= 1

    def frame(self):
        name = f"store-{id(self)}"
        keys = [(name, i) for i in range(len(self.parts))]
        tasks = {key: (self.load, key[1]) for key in keys}
        divisions = (None,) * (len(keys) + 1)
        return dd.from_graph(tasks, self.parts[0].iloc[:0], divisions, keys, name)

    def read(self):
        """Return a frame whose tasks are those of a reader: they may wait for others."""
        with dask.config.set({"dataframe.convert-string": False}):
            return dd.from_map(self.load, range(len(self.parts)), meta=self.parts[0].iloc[:0])


@EACH
@pytest.mark.parametrize("container", CONTAINERS)
def test_one_compute_and_lazy_collections(name, container):
    X, y = pair_in(container, *pair_of(table_of(name, N, FEW)), even(N, 4))
    with counted_computes() as computes:
        made = ALL[name].fit_resample(X, y)
    assert len(computes) == 1
    known = name in UNDER or container != "dask array, unknown sizes"
    for one, given in zip(made, (X, y), strict=True):
        assert type(one) is type(given)
        assert is_dask_collection(one)
        if isinstance(one, da.Array):
            assert one.dtype == given.dtype
            assert one.shape[1:] == given.shape[1:]
            assert one.shape[0] == (2 * (FEW if name in UNDER else N - FEW)) or not known
            assert np.isnan(one.shape[0]) == (not known)
        else:
            assert one.npartitions == given.npartitions + (name in OVER)


@EACH
def test_given_counts_save_the_compute_and_companions_cost_none(name):
    table = table_of(name, N, FEW)
    frame, X, y = (dask_frame(t, even(N, 4)) for t in (table, *pair_of(table)))
    if name in OVER:
        how = like(name, provenance="full")
        groups = dask_array(np.arange(N) % 2, even(N, 4))
        with counted_computes() as computes:
            made = how.fit_resample(X, y, sample_weight=y + 1, groups=groups)
            how.plan(X, y, groups=groups)
        assert len(computes) == 2
        assert [is_dask_collection(one) for one in made] == [True] * 4
    if name == "smoten" or name in UNDER:
        with pytest.raises(ValueError, match=r"SMOTEN needs to count the lev|leave class_counts"):
            ALL[name].resample(frame, target="y", class_counts=COUNTS)
        return
    with counted_computes() as computes:
        lazy = ALL[name].resample(frame, target="y", class_counts=COUNTS)
        like(name).plan(frame, target="y", class_counts=COUNTS)
    assert not computes
    assert len(ALL[name].plan_.passes) == PASSES[name] - 1
    expected = ALL[name].resample(table, target="y")
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)


@EACH
@pytest.mark.parametrize("separate", [False, True])
def test_the_data_are_read_as_often_as_the_plan_says(name, separate):
    store = Store(table_of(name, N, FEW), [*even(N, 5), 0])
    frame, how = store.frame(), ALL[name]
    with dask.config.set(scheduler="synchronous"):
        lazy = resampled(how, pair_of(frame) if separate else (frame,))
        assert store.loads == [1] * 6
        dask.compute(*lazy)
        assert store.loads == [PASSES[name]] * 6
        if name in OVER:
            plan = how.plan_
            assert len(plan.passes) == PASSES[name]
            assert f"passes over the data: {PASSES[name]} (counting classes; coll" in str(plan)
            assert plan.to_dict()["passes"] == list(plan.passes)
        else:  # no barrier: a partition needs no other one
            lazy[0].partitions[3].compute()
            assert store.loads == [2, 2, 2, 3, 2, 2]


@pytest.mark.parametrize(("name", "classes"), [*((name, 4) for name in ALL), ("smote", 2)])
def test_partitions_are_passed_on_and_not_held(name, classes, monkeypatch):
    """What is done with the output is little here: no more than a few inputs are there at once."""
    set_constant(monkeypatch, "execute", "BATCH", 100)
    n = 20
    table = table_of(name, 10 * n, 4 * n)
    if classes > 2:
        table["y"] = np.where(table["y"] == 0, 0, 1 + table.index % 3)
    store = Store(table, [10] * n)
    with dask.config.set(scheduler="synchronous"):
        lazy = ALL[name].resample(store.read(), target="y")
        assert store.most_held <= 3
        rows = lazy.map_partitions(len, meta=(None, "i8")).compute()
    each = table["y"].value_counts()
    assert rows.sum() == classes * (each.max() if name in OVER else each.min())
    assert store.most_held <= 8
    assert store.held <= 1
    assert store.loads == [PASSES[name]] * n  # for many classes, in batches, no more


@pytest.mark.parametrize("name", THREE)
def test_nothing_is_read_again_before_it_can_be_used(name):
    """Idle workers would read, and hold, the whole table while a model is fitted."""
    table = table_of(name, N, FEW)
    frame = dd.from_map(lambda i: table, range(9), meta=table.iloc[:0])
    graph = dict(OVER[name].resample(frame, target="y").__dask_graph__())
    second = [key for key in graph if "-again-" in str(key)]
    assert len(second) >= 9
    for key in second:
        below, waits = [key], False
        while below:
            needs = dask.core.get_dependencies(graph, below.pop())
            waits |= any(str(need).startswith("ready-") for need in needs)
            below += [need for need in needs if "-again-" in str(need)]
        assert waits, key


@EACH
def test_input_in_memory_makes_no_dask_graph(name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a Dask graph was made or computed")

    X, y = pair_of(table_of(name, N, FEW))
    arrays = X.to_numpy(), y.to_numpy()
    set_constant(monkeypatch, "execute", "HighLevelGraph", refuse)
    for owner, function in ((dask, "compute"), (dd, "from_graph"), (dd, "from_pandas")):
        monkeypatch.setattr(owner, function, refuse)
    with counted_computes() as computes:
        for given in ((X, y), arrays, tuple(array.tolist() for array in arrays)):
            X_res, y_res = ALL[name].fit_resample(*given)
            assert len(X_res) == len(y_res) == 2 * (FEW if name in UNDER else N - FEW)
    assert not computes


# ---- originals


def frame_over(parts):
    """Make a frame whose partitions are these objects."""
    name = f"parts-{id(parts)}"
    graph = {(name, i): (parts.__getitem__, i) for i in range(len(parts))}
    return dd.from_graph(graph, parts[0].iloc[:0], (None,) * (len(parts) + 1), list(graph), name)


@EACH_OVER
def test_original_partitions_pass_through_as_the_same_objects(name, monkeypatch):
    table = table_of(name, N, FEW)
    parts = [table[i : i + 40].copy() for i in range(0, N, 40)]
    frame = frame_over(parts)
    result = OVER[name].resample(frame, target="y")
    found = dask.compute(*result.to_delayed(), scheduler="synchronous")
    assert result.npartitions == 4
    assert all(one is part for one, part in zip(found, parts, strict=False))
    # Computing them alone makes no synthetic row.

    def refuse(*args, **kwargs):
        raise AssertionError("a synthetic block was made")

    set_constant(monkeypatch, "execute", "make_rows", refuse)
    pd.testing.assert_frame_equal(result.partitions[:3].compute(scheduler="synchronous"), table)
    with pytest.raises(AssertionError, match="a synthetic block was made"):
        result.partitions[3].compute(scheduler="synchronous")


def test_partitions_that_keep_all_pass_as_the_same_objects():
    table = numbers()
    parts = [table[i : i + 40].assign(y=i // 40).copy() for i in range(0, N, 40)]
    lazy = RandomUnderSampler(sampling_strategy={2: 1}).resample(frame_over(parts), target="y")
    found = dask.compute(*lazy.to_delayed(), scheduler="synchronous")
    assert [one is part for one, part in zip(found, parts, strict=True)] == [True, True, False]
    balanced = SMOTE().resample(frame_over(parts), target="y")  # nothing to be done
    assert balanced.npartitions == 3
    assert_same_bits(balanced.compute(scheduler="synchronous"), pd.concat(parts))


def test_known_divisions_of_what_is_filtered_stay_known():
    frame = dd.from_pandas(numbers(), npartitions=4)
    sampler = UNDER["random-under"]
    lazy = sampler.resample(frame, target="y")
    assert lazy.divisions == frame.divisions
    with dask.config.set(scheduler="synchronous"):
        found = lazy.compute()
        assert_same_bits(lazy.loc[30:70].compute(), found.loc[30:70])
        X_res, y_res = sampler.fit_resample(frame[["a"]], frame["y"])
        assert_same_bits(X_res.assign(y=y_res).compute(), found[["a", "y"]])


@pytest.mark.parametrize("name", ["smote", "smotenc", "random-under"])
def test_the_result_is_a_collection_like_any_other(name):
    table = mixed() if name == "smotenc" else numbers()
    how = SMOTENC(random_state=0) if name == "smotenc" else ALL[name]
    lazy = how.resample(dask_frame(table, even(N, 5)), target="y")
    expected = how.resample(table, target="y")
    assert lazy._meta.dtypes.equals(expected.dtypes)
    assert list(lazy.columns) == list(table.columns)
    with dask.config.set(scheduler="synchronous"):
        assert all(part.dtypes.equals(expected.dtypes) for part in dask.compute(*lazy.to_delayed()))
        assert_same_bits(lazy[lazy["a"] > 0].compute(), expected[expected["a"] > 0])
        assert_same_bits(lazy.assign(e=lazy["a"] * 2)["e"].compute(), expected["a"] * 2)
        assert_same_bits(lazy.groupby("y")["b"].max().compute(), expected.groupby("y")["b"].max())
        assert_same_bits(lazy.persist().compute(), expected)
        assert_same_bits(pickle.loads(pickle.dumps(lazy)).compute(), expected)
        assert_same_bits(pd.concat(dask.compute(*lazy.to_delayed())), expected)
        with counted_computes() as computes:
            assert len(lazy) == len(expected)
        assert len(computes) == 1
        if name != "smotenc":
            again = like(name, sampling_strategy={1: 100} if name == "smote" else {0: 12})
            found = again.resample(lazy, target="y").compute()
            assert_same_bits(found, again.resample(expected, target="y"))


# ---- graphs


def make_part(i, rows=50):
    rng = np.random.default_rng(i)
    part = pd.DataFrame(rng.normal(size=(rows, 3)), columns=list("abc"))
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


def named_labels(y):
    """Name the classes; the categories' order differs between partitions, as files' may."""
    return y.map({0: "no", 1: "yes"}).astype("category")


KINDS = {
    "carried": lambda frame, arrays: (frame,),
    "pair, names as target": lambda frame, arrays: (
        frame.drop(columns="y"),
        frame["y"].map_partitions(named_labels, meta=named_labels(make_part(0)["y"])),
    ),
    "arrays": lambda frame, arrays: arrays,
    "frame and array": lambda frame, arrays: (frame[["a", "b", "c"]], arrays[1]),
}


def resampled(how, given):
    return how.fit_resample(*given) if given[1:] else (how.resample(given[0], target="y"),)


def tasks_of(collections):
    """Return the tasks of collections together, as they would run."""
    tasks = {}
    for made in collections:
        made = dask.optimize(made)[0] if isinstance(made, da.Array) else made.optimize()
        tasks |= dict(made.__dask_graph__())
    return tasks


def sizes_of(tasks):
    return {key: len(pickle.dumps(task, protocol=5)) for key, task in dict(tasks).items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "rows"), [(1, 250_000), (40, 100)])
@pytest.mark.parametrize("over", [True, False])
def test_number_and_size_of_tasks(kind, n, rows, over, monkeypatch):
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", rows)
    given = KINDS[kind](made_frame(n), made_arrays(n))
    carry = {"carry": ["id"]} if "carried" in kind or "names" in kind else {}
    how = SMOTE(random_state=0, **carry) if over else UNDER["random-under"]
    lazy = resampled(how, given)
    tasks = tasks_of(lazy)
    added = set(tasks) - set(tasks_of(given))
    # Besides: one index for the class, and the joints of the tree that gathers its rows.
    most = 4 * n + 4 * -(-30 * n // rows) + 2 + -(-n // 256)
    # Where rows are kept, one in two is an alias that gives a partition its collection's name.
    assert len(added) <= (most if over else (4 if given[1:] else 2) * n)
    assert len([task for task in tasks.values() if not isinstance(task, Alias)]) <= most
    for collection in lazy:
        assert max(sizes_of(collection.__dask_graph__()).values()) < MOST_EMBEDDED


@EACH_OVER
def test_number_and_size_of_tasks_of_each_sampler(name):
    few, many = (
        tasks_of([OVER[name].resample(Store(table_of(name, N, FEW), cut).frame(), target="y")])
        for cut in ([30] * 4, [2] * 60)
    )
    # Read, named, taken out of, put out; where all rows are looked at: read, named, looked at.
    each = 7 if PASSES[name] == 3 else 4
    joints = 2 * (60 // 8) + 3
    assert len(many) - len(few) <= each * 56 + joints
    assert max(sizes_of(many).values()) < 10_000


def thousands_of_blocks():
    return SMOTE(random_state=0).resample(made_frame(60).drop(columns="id"), target="y")


def many_columns_and_levels():
    rng = np.random.default_rng(0)
    names = [f"a column with a long name, number {i}" for i in range(1_500)]
    levels = pd.Categorical(
        rng.choice(20_000, 60).astype(str), categories=np.arange(20_000).astype(str)
    )
    more = pd.DataFrame({"level": levels, "y": np.repeat([0, 1], [40, 20])})
    table = pd.concat([pd.DataFrame(rng.normal(size=(60, 1_500)), columns=names), more], axis=1)
    lazy = SMOTENC(random_state=0).resample(Store(table, [30, 30]).frame(), target="y")
    assert lazy.compute(scheduler="synchronous")["level"].dtype == table["level"].dtype
    return lazy


def many_classes():
    table = pd.DataFrame(
        {"a": np.arange(6_001.0), "y": np.append(np.repeat(np.arange(3_000), 2), 0)}
    )
    frame = Store(table, [3_000, 3_001]).frame()
    return SMOTE(random_state=0, k_neighbors=1).resample(frame, target="y")


def counted_levels():
    rng, n = np.random.default_rng(0), 8_000
    table = pd.DataFrame({"a": rng.integers(0, n, n).astype(str), "b": rng.choice(list("uv"), n)})
    table["y"] = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return SMOTEN(random_state=0).resample(Store(table, even(n, 10)).frame(), target="y")


@pytest.mark.parametrize(
    ("make", "large"),
    [
        (thousands_of_blocks, 0),
        (many_columns_and_levels, 0),
        (many_classes, 3),  # that gather the rows and the counts of all classes
        (counted_levels, 1),
    ],
)
def test_little_is_embedded_and_once(make, large, monkeypatch):
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 1 if make is thousands_of_blocks else 250_000)
    lazy = make()
    assert lazy.npartitions == 1_860 or make is not thousands_of_blocks
    sizes = sizes_of(lazy.__dask_graph__())
    assert sum(size > MOST_EMBEDDED for size in sizes.values()) <= large
    assert max(sizes.values()) < 50 * MOST_EMBEDDED
    assert sum(sizes.values()) < 200 * MOST_EMBEDDED


@pytest.mark.parametrize("partitions", [3, 100])
def test_one_index_for_each_class_that_grows(partitions, monkeypatch):
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 50)
    built = []
    original = dsmote.execute.generate.build_class_index

    def build(*found, **how):
        built.append(how["of"].label)
        return original(*found, **how)

    set_constant(monkeypatch, "execute", "build_class_index", build)
    frame = dask_frame(mixed(900, 120), even(900, partitions))
    lazy = SMOTENC(random_state=0).resample(frame, target="y")
    assert lazy.npartitions > partitions + 10
    lazy.compute(scheduler="synchronous")
    assert sorted(built) == ["few", "less"]


def test_the_same_call_gives_the_same_keys_and_another_call_others():
    frame = made_frame(4)

    def resampled(**how):
        return SMOTE(carry=["id"], **how).resample(frame, target="y")

    def keys(**how):
        return {str(key) for key in resampled(**how).__dask_graph__() if "synthetic" in str(key)}

    one = keys(random_state=0)
    assert one
    assert one == keys(random_state=0)
    for how in ({"random_state": 1}, {"k_neighbors": 4}, {"sampling_strategy": 0.5}):
        assert not one & keys(**({"random_state": 0} | how))
    # So two results in one compute do not mix.
    lazy = [resampled(random_state=seed) for seed in (0, 1)]
    alone = [one.compute(scheduler="synchronous") for one in lazy]
    for one, other in zip(dask.compute(*lazy, scheduler="synchronous"), alone, strict=True):
        assert_same_bits(one, other)
    assert not alone[0].equals(alone[1])


def test_a_graph_over_20_000_partitions_is_built_in_seconds(monkeypatch):
    n = 20_000
    frame, hashed = made_frame(n), []
    original = dask.tokenize._tokenize
    monkeypatch.setattr(
        dask.tokenize, "_tokenize", lambda *a, **k: (hashed.append(1), original(*a, **k))[1]
    )
    begin = time.process_time()
    lazy = SMOTE(random_state=0, carry=["id"]).resample(
        frame, target="y", class_counts={0: 40 * n, 1: 10 * n}
    )
    seconds = time.process_time() - begin
    assert lazy.npartitions >= n + 3
    assert seconds < 20
    assert len(hashed) < 500  # no task is
    graph = dict(lazy.__dask_graph__())
    assert len(graph) <= 4 * n + 4 * (lazy.npartitions - n) + n // 200
    # A few hundred bytes a task: the same partial, not a copy of it, is in each.
    assert len(pickle.dumps(graph, protocol=5)) < 1_000 * len(graph)


# ---- inputs that change or have no order


CHANGES = {
    "order": lambda part, load: part[::-1] if load > 2 else part,
    "rows": lambda part, load: part[part["y"] == 0] if load > 2 else part,
    "second": lambda part, load: part[: -load if load > 1 else None],
}


@pytest.mark.parametrize(
    ("name", "change"),
    [  # KMeansSMOTE counts all rows by cluster, for which their order is nothing.
        *itertools.product(["adasyn", "borderline-2", "svm"], ["order", "rows"]),
        ("kmeans", "rows"),
        ("random-under", "second"),
    ],
)
def test_data_that_change_between_two_reads_are_refused(name, change):
    message = "data that change between two reads cannot be|rows in a partition in which"
    frame = Store(table_of(name, N, FEW), even(N, 3), CHANGES[change]).frame()
    with dask.config.set(scheduler="synchronous"):
        lazy = ALL[name].resample(frame, target="y")
        with pytest.raises(ValueError, match=message):
            lazy.compute()


@pytest.fixture(scope="module")
def client():
    how = {"processes": False, "dashboard_address": ":0", "memory_limit": 0}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **how) as cluster,
        Client(cluster, set_as_default=False) as made,
    ):
        yield made


@pytest.mark.parametrize(
    ("name", "shuffled"),
    [
        *((n, "p2p") for n in ("random", "borderline-2")),
        *(("adasyn", "disk"), ("kmeans", "merged")),
    ],
)
def test_rows_and_targets_match_after_a_shuffle(name, shuffled, client):
    """The shuffle does not say in which order rows come; all else is as in that order."""
    table = table_of(name, 240, 72).assign(id=np.arange(240))
    frame = dd.from_pandas(table, npartitions=5)
    how = like(name, carry=["id"])
    scheduler = client if shuffled == "p2p" else "threads"
    with dask.config.set(scheduler=scheduler, num_workers=4):
        if shuffled == "merged":
            more = table[["id"]].assign(d=1).sample(frac=1.0, random_state=0)
            other = dd.from_pandas(more, npartitions=4, sort=False)
            frame = frame.merge(other, on="id", shuffle_method="disk")
        else:
            frame = frame.shuffle("b", npartitions=3, shuffle_method=shuffled)
        X, y = dask.compute(*how.fit_resample(*pair_of(frame)))
        whole = how.resample(frame, target="y").compute()
        found = [X.assign(y=y), whole]
        if shuffled == "p2p":
            found.append(how.resample(frame.persist(), target="y").compute())
    for made in found:
        originals = made[:240].set_index("id").sort_index()
        assert_same_bits(originals[list("abcy")], table[list("abcy")])
        again = how.resample(made[:240].reset_index(drop=True), target="y")
        assert_same_bits(made[again.columns], again)


def test_arrays_of_a_shuffled_frame_that_may_not_match_are_told_of():
    frame = dd.from_pandas(numbers(N, FEW), npartitions=4)

    def told(how, pair):
        shuffled = frame.shuffle("a", npartitions=3, shuffle_method=how)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            OVER["smote"].fit_resample(*pair(shuffled), class_counts=COUNTS)
        return [str(warning.message) for warning in told if "no fixed order" in str(warning)]

    def arrays(shuffled):
        return [of.to_dask_array() for of in pair_of(shuffled)]

    def one_array(shuffled):
        whole = shuffled.to_dask_array()
        return whole[:, :3], whole[:, 3]

    for how in ("disk", "p2p"):
        (found,) = told(how, arrays)
        assert "resample(frame, target=...)" in found
        assert len(told(how, lambda f: (f[list("abc")], f["y"].to_dask_array()))) == 1
    # Tasks join rows in order, and of one shuffle all have the same.
    assert not told("tasks", arrays)
    assert not told("disk", one_array)
    assert not told("disk", pair_of)
