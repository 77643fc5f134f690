"""Cells of a class: few tasks, small ones, as many readings as the plan says, one compute."""

import dask
import numpy as np
import pytest

from dsmote import SMOTE, SMOTEN, SMOTENC, SVMSMOTE, BorderlineSMOTE, KMeansSMOTE
from dsmote.execute.exchange import Exchange
from tests.dask.test_lazy import Store, made_frame, sizes_of, tasks_of
from tests.samplers import table_of
from tests.tables import assert_same_bits, counted_computes, even, mixed, numbers, set_constant

HOW = {
    "smote": SMOTE(random_state=0),
    "smotenc": SMOTENC(["c", "d"], random_state=0),
    "smoten": SMOTEN(random_state=0),
    "projected-smote": SMOTE(n_components=2, random_state=0),
    "kmeans-smote": KMeansSMOTE(
        kmeans_estimator=2, cluster_balance_threshold=0.0, max_fit_rows=300, random_state=0
    ),
    "borderline-1": BorderlineSMOTE(random_state=0),
    "borderline-2": BorderlineSMOTE(kind="borderline-2", random_state=0),
    "svm": SVMSMOTE(random_state=0, max_fit_rows=300),
}


def tables(name, n=400):
    if name == "smoten":
        return table_of(name, n, n // 4)
    return mixed(n, n // 2) if name == "smotenc" else numbers(n, n // 4)


@pytest.mark.parametrize(
    ("n", "cell_rows", "block_rows"),
    [(1, 5, 20), (7, 5, 250_000), (7, 10_000, 20), (60, 30, 20), (60, 10_000, 250_000)],
)
def test_number_and_size_of_tasks(n, cell_rows, block_rows, monkeypatch):
    set_constant(monkeypatch, "plan", "CELL_ROWS", cell_rows)
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", block_rows)
    given, how = made_frame(n).drop(columns="id"), SMOTE(random_state=0, route="cells")
    lazy = how.resample(given, target="y")
    tasks, cells = tasks_of([lazy]), how.plan_.classes[1].cells
    assert cells >= min(10 * n, 10 * n // cell_rows)
    added = set(tasks) - set(tasks_of([given]))
    assert len(added) <= 4 * n + 4 * cells + 4 * len(how.plan_.blocks) + 20
    assert max(sizes_of(lazy.__dask_graph__()).values()) < 50_000


@pytest.mark.parametrize(
    ("kind", "n", "cell_rows"),
    [("borderline-1", 60, 30), ("borderline-1", 7, 10_000), ("borderline-2", 7, 5)],
)
def test_number_of_tasks_of_two_searches(kind, n, cell_rows, monkeypatch):
    set_constant(monkeypatch, "plan", "CELL_ROWS", cell_rows)
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 20)
    given, how = made_frame(n).drop(columns="id"), BorderlineSMOTE(kind=kind, route="cells")
    lazy = how.resample(given, target="y")
    plan = how.plan_
    cells = plan.all_rows.cells, plan.classes[1].cells
    assert cells[0] >= max(2, min(50 * n, 50 * n // cell_rows))
    assert (cells[0] == cells[1]) == (kind == "borderline-2")
    added = set(tasks_of([lazy])) - set(tasks_of([given]))
    assert len(added) <= 5 * n + 4 * sum(cells) + 4 * len(plan.blocks) + 20
    assert max(sizes_of(lazy.__dask_graph__()).values()) < 50_000


@pytest.mark.parametrize("name", HOW)
def test_the_graph_does_not_grow_with_the_rows(name, monkeypatch):
    sizes = []
    for n in (400, 8_000):
        set_constant(monkeypatch, "plan", "CELL_ROWS", n // 40)
        set_constant(monkeypatch, "plan", "BLOCK_ROWS", n // 20)
        frame = Store(tables(name, n), even(n, 4)).frame()
        how = HOW[name].set_params(route="cells")
        graph = how.resample(frame, target="y").__dask_graph__()
        sizes.append((len(graph), sum(sizes_of(graph).values())))
    (few, small), (many, large) = sizes
    assert few == many
    assert large <= 1.05 * small


@pytest.mark.parametrize(
    ("name", "counted"),
    [("smote", False), ("smote", True), *((name, False) for name in HOW if name != "smote")],
)
def test_read_and_computed_as_often_as_in_one_piece(name, counted, monkeypatch):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 40 if "smote" in name else 110)
    table, found = tables(name), {}
    given = {"class_counts": table["y"].value_counts().to_dict()} if counted else {}
    for route in ("broadcast", "cells"):
        store, how = Store(table, [*even(400, 5), 0]), HOW[name].set_params(route=route)
        with counted_computes() as computes:
            lazy = how.resample(store.frame(), target="y", **given)
        with dask.config.set(scheduler="synchronous"):
            made = lazy.compute()
        assert store.loads == [len(how.plan_.passes)] * 6
        assert any(c.cells for c in how.plan_.classes) == (route == "cells")
        found[route] = len(computes), len(how.plan_.passes), made
    # All rows are searched where they were stored, and not read once more.
    once_more = HOW[name]._recipe().n_neighbors_all > 0
    passes = 2 - counted + HOW[name]._recipe().surveys
    assert found["cells"][:2] == (not counted, passes)
    assert found["broadcast"][:2] == (not counted, passes + once_more)
    assert_same_bits(found["cells"][2], found["broadcast"][2])


@pytest.mark.parametrize("name", ["smote", "smoten", "kmeans-smote", "borderline-2"])
def test_a_part_of_the_result_is_that_part(name, monkeypatch):
    """Blocks may be computed one by one, and again: the files that are there are used."""
    set_constant(monkeypatch, "plan", "CELL_ROWS", 40 if "smote" in name else 110)
    set_constant(monkeypatch, "plan", "BLOCK_ROWS", 30)
    table = tables(name)
    how = HOW[name].set_params(route="cells")
    lazy = how.resample(Store(table, even(400, 4)).frame(), target="y")
    with dask.config.set(scheduler="synchronous"):
        whole = lazy.compute()
        last = lazy.partitions[lazy.npartitions - 1].compute()
        first = lazy.partitions[4].compute()
    assert_same_bits(last, whole[-len(last) :])
    assert_same_bits(first, whole[400 : 400 + len(first)])
    assert np.array_equal(whole.index, np.arange(len(whole)))


def test_surplus_rows_do_not_travel(tmp_path, monkeypatch):
    """Of equal rows of a partition k + 1 come to a cell, whatever their number."""
    set_constant(monkeypatch, "plan", "CELL_ROWS", 300)
    table = numbers(2_000, 600)
    alike = np.flatnonzero(table["y"] == 1)[:400]
    table.iloc[alike, :3] = 0.25
    how = SMOTE(random_state=0, route="cells", scratch=str(tmp_path))
    lazy = how.resample(Store(table, even(2_000, 5)).frame(), target="y")
    with dask.config.set(scheduler="synchronous"):
        made = lazy.compute()
    (folder,) = tmp_path.iterdir()
    files, numbers_of = [f"1-cell-{place:05d}" for place in range(5)], []
    for c in range(how.plan_.classes[1].cells):
        numbers_of.append(Exchange(str(folder)).receive(files, c)["number"].to_numpy())
    travelled = np.concatenate(numbers_of)
    first = [place for i in range(0, 2_000, 400) for place in alike[alike // 400 == i // 400][:6]]
    assert np.isin(travelled, alike).sum() == len(first)
    assert sorted(travelled) == sorted([*first, *np.flatnonzero(table["y"] == 1)[400:]])
    how.set_params(route="broadcast")
    whole = how.resample(Store(table, even(2_000, 5)).frame(), target="y")
    assert_same_bits(made, whole.compute(scheduler="synchronous"))
