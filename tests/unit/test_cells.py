"""Cells of a class: draws at any places, receipts of tasks, the plan of them and refusals."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote import (
    SMOTE,
    SMOTEN,
    SMOTENC,
    PolynomFitSMOTE,
    RandomOverSampler,
)
from dsmote.execute import exchange
from dsmote.execute.cells import Cells
from dsmote.execute.exchange import Exchange, Scratch
from dsmote.execute.extract import Extract
from dsmote.execute.recipe import Draws, Making, Recipe, Rows
from dsmote.execute.search import _evenly, in_blocks
from dsmote.neighbors import CappedIndex, blocks_of
from dsmote.plan import ClassPlan, Limit, MemoryLimitError, Stream, make_schema
from dsmote.plan.draws import GAP, Scattered
from dsmote.plan.memory import Needs, cell_memory, class_memory
from dsmote.plan.plan import LEAST_CELL
from dsmote.samplers.gsmote import AlignedRecipe
from dsmote.samplers.kmeans import KMeansRecipe
from tests.samplers import family, having, table_of
from tests.tables import dask_frame, even, mixed, numbers, peak_of, set_constant
from tests.unit.test_plan_plan import planned

OVER = family()


@given(
    seed=st.integers(0, 2**70),
    purpose=st.integers(0, 2**32),
    places=st.lists(st.integers(0, 2**20) | st.integers(2**40, 2**61), max_size=20),
)
def test_draws_at_any_places_are_those_of_the_stream(seed, purpose, places):
    stream, at = Stream(seed, 3, purpose), np.array(places, dtype=np.int64)
    some = Scattered(seed, 3, purpose, at)
    expected = np.array([stream.bits(i, i + 1)[0] for i in places], dtype=np.uint64)
    for start, stop in ((0, len(at)), (len(at) // 2, len(at)), (1, 4)):
        found = some.bits(start, stop)
        assert found.dtype == np.uint64
        np.testing.assert_array_equal(found, expected[start:stop])


def test_a_stretch_of_places_has_the_draws_of_a_block():
    places = np.arange(1_000, 1_100)
    some, whole = Draws(1, 2, 0, 100, places), Draws(1, 2, 1_000, 1_100)
    for draw in (lambda of: of.rank(5), Draws.gap, lambda of: of.vote(2), lambda of: of.noise(1)):
        np.testing.assert_array_equal(draw(some), draw(whole))
    np.testing.assert_array_equal(some.numbers, whole.numbers)
    assert len(Scattered(1, 2, GAP, places[:0]).bits(0, 0)) == 0


@pytest.mark.parametrize("where", ["folder", "memory"])
def test_a_task_with_a_receipt_is_not_run_again(where, tmp_path):
    folder = f"{tmp_path}/own" if where == "folder" else "memory://cells/own"
    here, runs = Exchange(folder, durable=False), []

    def task():
        runs.append(1)
        here.send("a", pa.table({"x": [1, 2, 3]}), np.array([0, 1, 1]), 2)
        return {"rows": np.array([1, 2]), "low": np.array([[-np.inf, 0.5]])}

    for of in (here, here, Exchange(folder)):
        found = of.once("a", task)
        assert {name: values.tolist() for name, values in found.items()} == {
            "rows": [1, 2],
            "low": [[-np.inf, 0.5]],
        }
    assert len(runs) == 1
    assert here.receive(["a"], 1)["x"].to_pylist() == [2, 3]
    assert here.finished() == {"a"}
    here.once("b", task)
    assert len(runs) == 2


def test_a_task_that_fails_leaves_no_receipt(tmp_path):
    def fails():
        raise ValueError("no rows")

    here = Exchange(f"{tmp_path}/own")
    with pytest.raises(ValueError, match="no rows"):
        here.once("a", fails)
    assert here.once("a", dict) == {}
    assert [file.name for file in tmp_path.rglob("*.*")] == ["a.npz"]


def test_scratch_goes_with_the_result_that_it_belongs_to(tmp_path):
    frame = dask_frame(numbers(), even(120, 3))
    how = SMOTE(random_state=0, route="cells", scratch=str(tmp_path))
    with dask.config.set(scheduler="synchronous"):
        lazy = how.resample(frame, target="y")
        first, again = lazy.compute(), lazy.compute()
        assert len([*tmp_path.iterdir()]) == 1
        pd.testing.assert_frame_equal(first, again)
        del lazy
    assert [*tmp_path.iterdir()] == []
    assert type(exchange.scratch(str(tmp_path), "x", True)) is Exchange
    assert type(exchange.scratch(str(tmp_path), "x", False)) is Scratch


# ---- the plan

BIG, OTHER = 10**8, 10**6


def limited(gigabytes, route="auto", cells=True, counts=None, new=None):
    counts = counts or {0: 2 * BIG, 1: BIG, 2: OTHER}
    return planned(
        counts,
        new or {1: BIG, 2: OTHER},
        Needs(5, cells=cells),
        limit=Limit(gigabytes * 2**30, 1, "a worker's memory limit"),
        partition_bytes=10**8,
        route=route,
    )


def test_what_does_not_fit_is_cut_into_as_few_cells_as_fit():
    plan = limited(8)
    large, other = plan.growing
    assert not plan.problems
    assert plan.memory.worker_bytes <= plan.memory.allowed_bytes
    assert large.cells >= 2
    assert large.cells & (large.cells - 1) == 0
    assert BIG / large.cells <= large.cell_rows < BIG
    assert large.why == "in cells, because its rows do not fit into one worker"
    assert (other.cells, other.cell_rows) == (0, 0)
    told = json.loads(json.dumps(plan.to_dict()))["classes"]
    assert [c["cells"] for c in told] == [0, large.cells, 0]
    assert [c["cell_rows"] for c in told] == [0, large.cell_rows, 0]
    assert "in cells, because its rows do not fit" in str(plan)
    assert [c.cells for c in limited(1_000).classes] == [0, 0, 0]
    for one in (limited(8, route="broadcast"), limited(8, cells=False)):
        assert not any(c.cells for c in one.classes)
        assert "does not fit into a worker's memory limit" in one.problems[0]
    assert all(c.cells for c in limited(1_000, route="cells").growing)


def test_several_classes_are_cut_where_one_is_not_enough():
    of = {"counts": {0: 2 * BIG, 1: BIG, 2: BIG}, "new": {1: BIG, 2: BIG}}
    assert not limited(8, **of).problems
    assert [c.cells > 1 for c in limited(8, **of).growing] == [True, True]


def test_a_plan_that_fits_in_no_way_says_so():
    plan = limited(0.3)
    assert "does not fit into a worker's memory limit" in plan.problems[0]
    assert max(c.cell_rows for c in plan.growing) <= 2.3 * LEAST_CELL
    with pytest.raises(MemoryLimitError):
        plan.check()


def test_nothing_to_cut_is_no_error():
    table = pd.DataFrame({"a": np.arange(40.0), "y": np.repeat([0, 1], 20)})
    plan = SMOTE(route="cells").plan(dask_frame(table, [20, 20]), target="y")
    assert (plan.n_new, plan.problems) == (0, ())
    table = table.assign(y=np.repeat([0, 1], [37, 3]))
    how = SMOTE(route="cells", on_small_class="copy")
    plan = how.plan(dask_frame(table, [20, 20]), target="y")
    assert plan.classes[1].cells == 0
    assert len(how.resample(dask_frame(table, [20, 20]), target="y")) == 74


def test_values_far_from_one_are_planned_without_a_warning():
    table = numbers(120, 40).assign(a=lambda t: t["a"] * 1e200)
    plan = SMOTE(route="cells").plan(dask_frame(table, [60, 60]), target="y")
    assert "class 1 is cut into 2 cells of at most 40 rows" in plan.notes[-1]


# ---- what is refused


def refused(how, pattern, frame=None, kind=ValueError, **given):
    frame = dask_frame(numbers(), even(120, 3)) if frame is None else frame
    with pytest.raises(kind, match=pattern):
        how.resample(frame, target="y", **given)


def test_cells_of_a_table_in_memory():
    refused(SMOTE(route="cells"), "route='cells' is not possible: a table in memory", numbers())


@pytest.mark.parametrize("name", having("route", OVER))
def test_each_sampler_that_is_asked_for_cells_makes_them(name):
    kind, params = OVER[name]
    how, table = kind(**params, route="cells"), dask_frame(table_of(name, 120, 30), even(120, 3))
    if name in ("geometric", "geometric-majority"):  # which looks among other classes, too
        return refused(how, "GeometricSMOTE asks for more than exact neighbours in the cl", table)
    if kind in (RandomOverSampler, PolynomFitSMOTE):
        assert how.plan(table, target="y").classes[1].stored
    else:
        plan = how.plan(table, target="y")
        made_in_all = params.get("kind") == "borderline-2"
        assert plan.classes[1].cells == (8 if made_in_all else 2)
        if how._recipe().n_neighbors_all:
            assert (plan.all_rows.cells, plan.all_rows.usable) == (8, 120)
            assert plan.to_dict()["all_rows"] == {"cells": 8, "cell_rows": 120}
            assert "nearest of all" not in str(plan.passes)
            assert "the table is cut into 8 cells of at most 120 rows; a row of" in str(plan.notes)


@pytest.mark.parametrize("more", [{"neighbors": "fast"}, {"neighbors": CappedIndex(50)}])
def test_approximate_neighbours_are_not_those_of_cells(more):
    refused(SMOTE(route="cells", **more), "SMOTE asks for more than exact neighbours in the class")


def test_the_plan_of_categories_tells_the_least_that_scratch_files_take():
    frame = dask_frame(table_of("smoten", 120, 30), even(120, 3))
    plan = SMOTEN(route="cells", random_state=0).plan(frame, target="y")
    assert "2 cells of at most 30 rows; scratch files of 5.2 KiB at least; what" in plan.notes[-1]


def test_recall_in_principal_components_is_not_measured_in_cells():
    frame = dask_frame(numbers(), even(120, 3))
    how = SMOTE(route="cells", n_components=2, random_state=0)
    plan = how.plan(frame, target="y")
    assert any("recall is measured where a worker holds the class" in n for n in plan.notes)
    how.resample(frame, target="y")
    (report,) = dask.compute(how.neighbors_report_, scheduler="synchronous")
    told = {"engine": "brute in 2 of 3 principal components", "exact": False, "recall": None}
    assert report == {1: told}


def peak_of_layout(recipe, folder, n, d, parts):
    """Return the most bytes that a layout held, in a process of its own: Arrow keeps its peak."""
    rng, schema = np.random.default_rng(0), make_schema(list(range(d)), [np.dtype("f8")] * d)
    cls = ClassPlan(0, 0, n, n, new=n, k=recipe.k, cells=4, cell_rows=n)
    of = Cells(Exchange(folder), Making(recipe, schema, 0), cls, parts, (), total=n)
    stored = []
    for place in range(parts):
        size = n // parts
        codes = np.empty((size, 0), dtype=np.int32)
        rows = Rows(rng.normal(size=(size, d)), codes, np.arange(size))
        stored.append(of.store(rows, place))
    model = recipe.fit(rows.numeric[:1_000], None, None, 0)
    found = Extract({}, (n // parts,) * parts, {}, stored={0: stored})
    before = pa.total_allocated_bytes()
    peak = peak_of(lambda: of.lay_out(found, model, np.array([[n]])))
    return peak + pa.default_memory_pool().max_memory() - before


@pytest.mark.parametrize(
    ("n", "d", "parts"),
    [(200_000, 3, 1), pytest.param(30_000, 100, 8, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("SMOTE", 5, n_components=2),
        AlignedRecipe("GSMOTE", 5),
        pytest.param(
            KMeansRecipe("KMeansSMOTE", 2, kmeans_estimator=1, cluster_balance_threshold=0.0),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_a_layout_takes_is_projected(recipe, n, d, parts, tmp_path):
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        peak = pool.submit(peak_of_layout, recipe, f"{tmp_path}/own", n, d, parts).result()
    row, small = 8 * d + 32, class_memory(0, 9, d, 0, 0, 9, 8 * d, Needs(5))
    partition = n // parts * (row + 8)
    projected = cell_memory(small, n, 9, 4, small, row, recipe.needs(), partition).build
    assert peak <= projected
    assert n == 30_000 or projected <= 3 * peak


@pytest.mark.parametrize("provenance", [False, "flag", "full"])
def test_groups_and_passthrough_columns_are_no_reason_against_cells(provenance):
    frame = dask_frame(numbers().assign(g=1, id=np.arange(120.0)), even(120, 3))
    how = SMOTE(route="cells", carry=["id"], provenance=provenance)
    assert how.plan(frame, target="y", groups="g").classes[1].cells == 2


def test_more_equal_rows_than_a_cell_may_have(monkeypatch):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 50)
    set_constant(monkeypatch, "plan", "LEAST_CELL", 10)
    table = numbers(900, 400)
    table.loc[table["y"] == 1, ["a", "b", "c"]] = 1.5
    table = table.sample(frac=1.0, random_state=0, ignore_index=True)
    how = SMOTE(route="cells", random_state=0)
    made = how.resample(dask_frame(table, even(900, 3)), target="y")  # 18 of them may be neighbours
    assert len(made.compute(scheduler="synchronous")) == 1_000
    lazy = how.resample(dask_frame(table, even(900, 100)), target="y")
    pattern = (
        r"class 1 has [34]\d\d rows so near each other that they are one cell \(of equal rows 6 of "
        r"each partition\), and workers have memory for 75; give each worker more memory or, where "
        r"rows are equal, cut the table into fewer partitions"
    )
    with pytest.raises(ValueError, match=pattern):
        lazy.compute(scheduler="synchronous")


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(1, 20))
def test_blocks_of_rows_are_the_same_in_any_parts(lengths, step):
    rows = np.random.default_rng(0).normal(size=(sum(lengths), 2))
    parts = np.split(rows, np.cumsum(lengths)[:-1])
    with pytest.MonkeyPatch.context() as patch:
        set_constant(patch, "plan", "CLASS_ROWS", step)
        found, expected = [*in_blocks(parts)], [*blocks_of(rows)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5))
def test_rows_of_each_cell_are_cut_into_even_pieces(cells, pieces):
    cell = np.array(cells, dtype=np.int64)
    piece = _evenly(cell, pieces)
    np.testing.assert_array_equal(piece // pieces, cell)
    for c in set(cells):
        own = piece[cell == c]
        assert (np.diff(own) >= 0).all()
        assert np.bincount(own).max() <= -(-len(own) // pieces)


def test_too_many_pairs_are_refused_and_may_be_allowed():
    frame = dask_frame(numbers(300, 100, 10), even(300, 3))
    how = SMOTE(route="cells", neighbors="brute", max_pairs=1e3, random_state=0)
    pattern = (
        r"class 1: its rows spread in so many directions that 6\.3e\+03 pairs of rows would be "
        r"compared, and max_pairs allows 1\.0e\+03; give n_components, CappedIndex as neighbors, "
        r"fewer columns or a larger max_pairs"
    )
    refused(how, pattern, frame, MemoryLimitError)
    assert how.plan(frame, target="y").problems
    made = how.set_params(max_pairs=2e4).resample(frame, target="y")
    assert len(made.compute(scheduler="synchronous")) == 400


@pytest.mark.parametrize("kind", [SMOTE, SMOTENC])
@pytest.mark.parametrize(
    ("name", "value"),
    [("route", "cell"), ("route", None), ("scratch", 1), ("max_pairs", 0), ("max_pairs", "many")],
)
def test_values_that_the_parameters_cannot_have(kind, name, value):
    table = mixed()[["a", "b", "y"]]
    how = kind(**({} if kind is SMOTE else {"categorical_features": ["b"]}), **{name: value})
    refused(how, f"The '{name}' parameter of {kind.__name__} must be", table)
