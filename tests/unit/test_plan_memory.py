"""The projection: it grows with what it is made of, and what cannot fit is named."""

import pickle
import tracemalloc
from dataclasses import replace

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC, RandomOverSampler
from dsmote.execute import generate
from dsmote.execute.extract import merge_nearest
from dsmote.execute.recipe import NearestOfAll
from dsmote.neighbors import BruteSearch, TreeSearch, level_probabilities
from dsmote.plan import Limit
from dsmote.plan.memory import (
    OTHER_BYTES,
    PROCESS_BYTES,
    PROFILE_BYTES,
    QUERIES,
    ClassMemory,
    Needs,
    class_memory,
    looking_bytes,
    project,
)
from dsmote.plan.profile import count_levels
from tests.samplers import family, lying
from tests.tables import peak_of

BASE = {
    "label": "few",
    "n_rows": 10_000,
    "n_numeric": 10,
    "n_exact": 1,
    "n_categorical": 2,
    "block_rows": 5_000,
    "row_bytes": 20_000,
    "needs": Needs(5, passthrough=10),
}


def test_what_an_index_holds_is_projected():
    matrix = np.random.default_rng(0).normal(size=(20_000, 10))
    held = len(pickle.dumps(TreeSearch(matrix)))
    rows = class_memory(**{**BASE, "n_rows": 20_000, "n_exact": 0, "n_categorical": 0})
    assert held <= rows.index <= 2 * held


def last_partition(sampler, frame, **how):
    """Compute the new rows."""
    with dask.config.set(scheduler="sync"):
        lazy = sampler.resample(dd.from_pandas(frame, npartitions=3), target="y", **how)
        lazy.partitions[-1].compute()


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    ("how", "columns"),
    [
        (RandomOverSampler(), "numbers"),
        (RandomOverSampler(), "text"),
        (RandomOverSampler(provenance="full", carry=["text"]), "text"),
        (SMOTE(carry=["text"], provenance="full"), "text"),
        (SMOTE(carry=["text"]), "text"),
    ],
    ids=["numbers", "text", "carried, whole", "carried, told", "carried"],
)
def test_columns_that_are_copied_are_projected(how, columns, counted, monkeypatch):
    held = []

    def watched(of, **how):
        held.append(of)
        return made(of, **how)

    made = generate.make_block
    monkeypatch.setattr("dsmote.execute.dask_table.make_block", watched)
    rng = np.random.default_rng(0)
    n = 6_000
    frame = pd.DataFrame(rng.normal(size=(n, 20))).add_prefix("x")
    if columns == "text":
        frame = frame.iloc[:, :2].assign(text=[f"{i} {'text ' * (5 - i % 2)}" for i in range(n)])
    frame["y"] = (np.arange(n) % 3 == 0).astype(int)
    counts = None if counted else {0: 4_000, 1: 2_000}
    last_partition(how.set_params(random_state=0), frame, class_counts=counts)
    rows = held[0].rows
    size = rows.numeric.nbytes
    if rows.passthrough is not None:
        size += int(rows.passthrough.memory_usage(deep=True).sum())
    memory = how.plan_.memory
    assert size <= memory.index_bytes <= 2 * size + 200 * len(rows)
    assert 2 * size <= memory.gather_bytes


@pytest.fixture
def block_peaks(monkeypatch):
    """Return the peaks of memory while blocks are made."""
    taken = []

    def watched(*args, **how):
        block = []
        taken.append(peak_of(lambda: block.append(made(*args, **how))))
        return block[0]

    made = generate.make_block
    monkeypatch.setattr("dsmote.execute.dask_table.make_block", watched)
    return taken


@pytest.mark.parametrize(
    ("width", "k", "ties"), [(3, 5, False), (16, 5, False), (16, 40, False), (16, 5, True)]
)
def test_what_a_block_from_a_tree_takes_is_projected(width, k, ties, block_peaks):
    rng = np.random.default_rng(0)
    n, many = 20_000, 36_000
    hidden = rng.normal(size=(n + many, 3))
    X = (hidden.round() if ties else hidden) @ rng.normal(size=(3, width))
    X += 0 if ties else 0.01 * rng.normal(size=X.shape)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(width)])
    frame["y"] = np.repeat([1, 0], [n, many])
    sampler = SMOTE(k_neighbors=k, neighbors="tree", random_state=0)
    last_partition(sampler, frame)
    (peak,) = block_peaks
    assert peak <= sampler.plan_.memory.generate_bytes
    rows = sampler.plan_.blocks[0].rows
    assert rows == many - n
    assert len(sampler.plan_.blocks) == 1


MOVED = [
    name
    for where in ("ball", "box", "gaussian", "ellipsoid", "middle", "range")
    for name in lying(where, family())
]


@pytest.mark.parametrize("name", MOVED)
def test_what_a_block_of_new_rows_off_segments_takes_is_projected(name, block_peaks):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20_600, 60))).add_prefix("x")
    frame["y"] = np.repeat([1, 0], [300, 20_300])
    kind, how = family(random_state=0)[name]
    sampler = kind(**how)
    last_partition(sampler, frame)
    assert max(block_peaks) <= sampler.plan_.memory.generate_bytes


@pytest.mark.parametrize(
    ("engine", "n_columns", "levels", "n"),
    [("brute", 200, 30, 400), ("tree", 12, 40, 900)],
)
def test_what_a_block_of_categories_takes_is_projected(engine, n_columns, levels, n, block_peaks):
    rng = np.random.default_rng(0)
    names = [f"c{j}" for j in range(n_columns)]
    frame = pd.DataFrame(rng.integers(0, levels, (3 * n, n_columns)), columns=names)
    frame = frame.astype(pd.CategoricalDtype(range(levels))).assign(x=rng.normal(size=3 * n))
    frame["y"] = (np.arange(3 * n) % 3 == 0).astype(int)
    sampler = SMOTENC(neighbors=engine, random_state=0)
    last_partition(sampler, frame)
    (peak,) = block_peaks
    assert peak <= sampler.plan_.memory.generate_bytes


@pytest.mark.parametrize(
    ("engine", "width", "n", "k", "kind"),
    [
        ("brute", 40, 12_000, 5, "noise"),
        ("brute", 20, 4_000, 200, "noise"),
        ("brute", 30, 20_000, 5, "far apart"),
        ("tree", 20, 4_000, 200, "noise"),
        ("tree", 10, 20_000, 5, "ties"),
        ("tree", 30, 20_000, 5, "far apart"),
    ],
)
def test_what_a_search_takes_is_projected(engine, width, n, k, kind):

    X = np.random.default_rng(0).normal(size=(n, width))
    if kind == "ties":
        X = np.round(X / 2)
    if kind == "far apart":  # off the axes of nearly all rows, so that brute force is asked
        X[:, 3:] *= 1e-9
        X[::400] += 1e6 * X[::400] ** 3
    index = (BruteSearch if engine == "brute" else TreeSearch)(X)
    peak = peak_of(lambda: index.query(np.arange(min(n, 2_000)), k))
    terms = class_memory(1, n, width, 0, 0, 2_000, 0, Needs(k), axes=engine == "tree")
    assert peak <= terms.generate


def test_laying_rows_out_for_brute_force_makes_no_copy_of_all():
    X = np.random.default_rng(0).normal(size=(100_000, 20))
    peak = peak_of(lambda: BruteSearch(X))
    assert peak <= 1.3 * len(X) * (4 * 21 + 12) + 2**23


@pytest.mark.parametrize("n_classes", [2, 20])
def test_counts_of_levels_are_projected(n_classes):
    levels, labels = [f"{i:040d}" for i in range(5_000)], list(range(n_classes))
    counts = count_levels(levels, labels, np.ones((len(levels), n_classes), dtype=int))
    sent = pickle.dumps(counts)
    tracemalloc.start()
    there = pickle.loads(sent)
    made = level_probabilities(there.table(levels, labels))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(made) == 5_000
    assert held <= counts.bytes <= 2 * held


def test_weights_and_groups_are_projected():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(3_000, 2)), columns=["a", "b"])
    y = pd.Series(np.arange(3_000) % 3 == 0, name="y")
    weight, groups = pd.Series(np.ones(3_000)), pd.Series(np.arange(3_000) % 5)

    def needed(**beside):
        sampler = SMOTE(random_state=0)
        on_dask = {name: dd.from_pandas(of, npartitions=3) for name, of in beside.items()}
        sampler.fit_resample(*(dd.from_pandas(of, npartitions=3) for of in (frame, y)), **on_dask)
        return sampler.plan_.memory

    plain, both = needed(), needed(sample_weight=weight, groups=groups)
    assert both.index_bytes == plain.index_bytes + 1_000 * (8 + 24)
    assert both.input_bytes == pytest.approx(plain.input_bytes + 1_000 * 16, rel=0.01)


@pytest.mark.parametrize(
    ("threads", "more", "expected"),
    [
        (1, {}, 50 + 70 + 5),
        (1, {"sample": 4}, 54 + 70 + 5),  # gathered twice: as it arrives, and joined
        (1, {"held": 7}, 120 + 5 + 7),
        (4, {"partition": 10**8}, 30 + 4 * (2 * 10**8 + PROFILE_BYTES) + 4 * 10**8),
        (2, {"looking": 400}, 30 + 2 * 400 + 2 * 5 + 400),
    ],
    ids=["building", "learning", "a table in memory", "partitions", "looking"],
)
def test_a_worker_holds_every_term_of_the_projection(threads, more, expected):
    more = dict.fromkeys(("partition", "looking", "held", "sample"), 0) | more
    need = ClassMemory("few", gather=100, build=70, index=30, generate=11, block=5, n_blocks=3)

    def projected(limit, process=PROCESS_BYTES):
        how = {name: more[name] for name in ("held", "sample", "looking")}
        limit = Limit(limit, threads, "w")
        return project([need], more["partition"], limit, **how, process=process)

    found, _ = projected(2**40)
    assert found.worker_bytes - PROCESS_BYTES == expected
    # Dask's own reader, in processes that import whatever the program does; a partition waits.
    other, _ = projected(2**40, 0)
    waiting = max(more["partition"], need.block)
    assert other.worker_bytes - OTHER_BYTES == expected + 6 * threads * more["partition"] + waiting
    # Exactly four fifths of a limit may be planned for.
    assert not projected(-(-found.worker_bytes * 5 // 4))[1]
    assert projected(found.worker_bytes * 5 // 4 - 2)[1]


def test_lists_of_neighbours_and_copies_are_held_and_built():
    def terms(**more):
        return class_memory(**{**BASE, "needs": replace(BASE["needs"], **more)})

    plain, around, copied = terms(), terms(n_neighbors_all=10, values=5), terms(copied=2)
    lists, axes = 10_000 * (20 * 10 + 8 * 5 * 10), 8 * 10 * 10
    assert around.index - plain.index == lists + axes
    # While they are merged there are three of each, and the squares of their distances.
    assert around.build - plain.build == 3 * lists + axes + 2 * 8 * 10_000 * 10
    copies = 10_000 * 10 * 8 * 2
    assert copied.index - plain.index == copies + axes
    assert copied.build - plain.build == 3 * copies + axes
    looks = Needs(5, n_neighbors_all=10)
    assert looking_bytes(10**9, looks, 20) == looking_bytes(QUERIES, looks, 20)


@pytest.mark.parametrize(("m", "values", "width"), [(5, 0, 10), (10, 5, 20), (5, 5, 40)])
def test_what_joining_lists_of_neighbours_takes_is_projected(m, values, width):
    n, rng = 4_000, np.random.default_rng(0)

    def found():
        distances, points = np.sort(rng.random((n, m)), axis=1), rng.random((n, values, width))
        classes, numbers = np.zeros((n, m), dtype=np.int32), rng.integers(0, 10**6, (n, m))
        return NearestOfAll(np.arange(n), distances, classes, numbers, points, 0, distances + 0)

    peak = peak_of(lambda: merge_nearest([found() for _ in range(8)]))
    # A worker is projected to hold half of it again.
    assert peak <= 1.5 * looking_bytes(n, Needs(5, n_neighbors_all=m, values=values), width)


def test_what_does_not_fit_is_reported_with_both_numbers_and_a_remedy():
    small, large = class_memory(**BASE), class_memory(**{**BASE, "label": "large", "n_rows": 10**8})
    limit = Limit(2**30, 1, "the limit of a worker")
    found, (problem,) = project([small, large], 10**6, limit)
    assert found.index_bytes == small.index + large.index
    assert problem.startswith("class 'large' ")
    assert f"{found.worker_bytes:,} bytes" in problem
    assert f"{int(0.8 * 2**30):,} bytes" in problem
    assert "give each worker more memory" in problem
    _, (problem,) = project([small], 10**9, limit)
    assert "split the input into smaller partitions" in problem
    _, (problem,) = project([small], 10**6, limit, held=10**10)
    assert "pass the table as a Dask DataFrame" in problem
    assert project([small], 10**6, Limit(2**40, 1, "w"))[1] == []
    assert project([], 10**12, Limit(2**20, 1, "w"))[1] == []
    assert project([small], 10**6, None)[1] == []
