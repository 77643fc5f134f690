"""Class rows in chunks: when the plan takes them, what they take, and what is refused."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dsmote import PolynomFitSMOTE, RandomOverSampler
from dsmote.execute.chunks import Chunks
from dsmote.execute.exchange import Exchange
from dsmote.execute.extract import Extract
from dsmote.execute.recipe import Making, Rows
from dsmote.plan import ClassPlan, Limit, make_schema
from dsmote.plan.memory import ClassMemory, Needs, chunk_memory
from dsmote.samplers.random import SmoothedRecipe
from tests.tables import dask_frame, even, mixed, numbers, peak_of
from tests.unit.test_plan_plan import planned

BIG, OTHER = 10**7, 10**6


def limited(gigabytes, route="auto", cells=True, passthrough=200):
    return planned(
        {0: 2 * BIG, 1: BIG, 2: OTHER},
        {1: BIG, 2: OTHER},
        Needs(0, cells=cells, passthrough=passthrough),
        limit=Limit(int(gigabytes * 2**30), 1, "a worker's memory limit"),
        partition_bytes=10**8,
        route=route,
    )


def test_what_does_not_fit_stays_in_scratch_files():
    plan = limited(3)
    large, other = plan.growing
    assert not plan.problems
    assert plan.memory.worker_bytes <= plan.memory.allowed_bytes
    assert (large.stored, large.cells, other.stored) == (True, 0, False)
    why = "few directions; rows stay in scratch files, because they do not fit into one worker"
    assert large.why == why
    assert f"neighbours in class 1: tree, {why}" in str(plan)
    assert "note: class 1: scratch files of about 2.6 GiB" in str(plan)
    told = json.loads(json.dumps(plan.to_dict()))["classes"]
    assert [c["cell_rows"] for c in told] == [0, large.cell_rows, 0]
    assert not any(c.stored for c in limited(1_000).classes)
    assert all(c.stored for c in limited(1_000, route="cells").growing)
    for one in (limited(3, route="broadcast"), limited(3, cells=False)):
        assert not any(c.stored for c in one.classes)
        assert "does not fit into a worker's memory limit" in one.problems[0]


def peak_of_layout(recipe, folder, n, d, parts):
    """Return the most bytes that a layout held, in a process of its own: Arrow keeps its peak."""
    rng, schema = np.random.default_rng(0), make_schema(list("abc"), [np.dtype("f8")] * d)
    cls = ClassPlan(0, 0, n, n, new=n, cell_rows=1 << 14)
    of = Chunks(Exchange(folder), Making(recipe, schema, 0), cls)
    stored = []
    for place in range(parts):
        size = n // parts
        codes = np.empty((size, 0), dtype=np.int32)
        rows = Rows(rng.normal(size=(size, d)), codes, np.arange(size))
        stored.append(of.store(rows, place))
    found = Extract({}, (n // parts,) * parts, {}, stored={0: stored})
    before = pa.total_allocated_bytes()
    peak = peak_of(lambda: of.lay_out(np.array([0, n // 2, n]), found))
    return peak + pa.default_memory_pool().max_memory() - before


def test_what_a_layout_takes_is_projected(tmp_path):
    n, d, recipe = 100_000, 3, SmoothedRecipe("random", factors={0: 1.0})
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        peak = pool.submit(peak_of_layout, recipe, f"{tmp_path}/own", n, d, 4).result()
    memory = chunk_memory(ClassMemory(0, 0, 0, 0, 0, 0, 1), n, d, 8 * d, n // 2)
    assert peak <= memory.build <= 3 * peak


# ---- what is refused


@pytest.mark.parametrize("kind", [RandomOverSampler, PolynomFitSMOTE])
def test_a_table_in_memory_has_no_scratch_files(kind):
    with pytest.raises(ValueError, match="route='cells' is not possible: a table in memory"):
        kind(route="cells").resample(numbers(), target="y")


def test_a_class_of_incomplete_rows_only():
    table = numbers(120, 30)
    table.loc[table["y"] == 1, "a"] = np.nan
    how = PolynomFitSMOTE(missing="skip", route="cells")
    counts = {"class_counts": {0: 90, 1: 30}}
    lazy = how.resample(dask_frame(table, even(120, 3)), target="y", **counts)
    with pytest.raises(ValueError, match="class 1 has no row without missing values in its feat"):
        lazy.compute(scheduler="synchronous")


@pytest.mark.parametrize("kind", [RandomOverSampler, PolynomFitSMOTE])
def test_scratch_goes_with_the_result_that_it_belongs_to(kind, tmp_path):
    table = mixed() if kind is RandomOverSampler else numbers()
    how = kind(random_state=0, route="cells", scratch=str(tmp_path))
    with dask.config.set(scheduler="synchronous"):
        lazy = how.resample(dask_frame(table, even(120, 3)), target="y")
        first, again = lazy.compute(), lazy.compute()
        assert len([*tmp_path.iterdir()]) == 1
        pd.testing.assert_frame_equal(first, again)
        del lazy
    assert [*tmp_path.iterdir()] == []
