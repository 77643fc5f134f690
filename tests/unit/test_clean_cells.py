"""Questions to rows in cells are answered as they are in one worker."""

from dataclasses import dataclass
from typing import ClassVar

import dask
import numpy as np
import pandas as pd
import pytest

from dsmote import EditedNearestNeighbours, make_sampler
from dsmote.execute.clean import Decision, Rule
from dsmote.execute.clean_cells import CleanCells
from dsmote.execute.search import Search
from dsmote.samplers.cleaning import CleanSampler
from tests.tables import dask_frame, even, mixed, numbers, set_constant

N = 120


@dataclass(frozen=True)
class AskingRule(Rule):
    """Asks in several ways, and lets go of the rows whose answers are odd in sum."""

    ask: str = "all"
    rounds: ClassVar[int] = 1

    def decide(self, of):
        ids = np.arange(1, len(of), 3)
        among = {
            "all": None,
            "few": np.arange(0, len(of), 5),
            "few, of which some ask": np.arange(0, len(of), 2),
            "one": np.array([7]),
            "none": np.array([], dtype=int),
            "most": np.arange(3, len(of)),
        }[self.ask]
        distances, found = of.nearest(ids, 3, among)
        again = np.unique(found[found >= 0])
        second = of.nearest(again, 1)[1] if len(again) else np.empty((0, 1), int)
        stays = np.ones(len(of), dtype=bool)
        stays[ids] = (found.sum(axis=1) + np.isfinite(distances).sum(axis=1)) % 2 == 0
        stays[again] &= second[:, 0] % 3 > 0
        return Decision(stays, {"distances_": distances})


class Asking(CleanSampler):
    _rule_type = AskingRule

    ask: str = "all"

    def _rule(self, **more):
        return super()._rule(ask=self.ask, **more)


ASKS = ("all", "few", "few, of which some ask", "one", "none", "most")


@pytest.mark.parametrize(
    ("kind", "ask", "rounds"),
    [
        *(("numbers", ask, 2) for ask in ASKS),
        *((kind, ask, 2) for kind in ("grid", "mixed") for ask in ASKS[:3:2]),
        *(("numbers", ask, 0) for ask in ASKS[::5]),
    ],
)
def test_answers_are_those_of_one_worker(monkeypatch, kind, ask, rounds):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 15 if rounds else 60)
    set_constant(monkeypatch, "plan", "LEAST_CELL", 20)  # so that not all rows are few
    monkeypatch.setattr(AskingRule, "rounds", rounds)
    table = mixed(N, 40) if kind == "mixed" else numbers(N, 40)
    if kind == "grid":
        table[["a", "b", "c"]] = table[["a", "b", "c"]].round(0)
    one = Asking(sampling_strategy="all")
    one.ask = ask
    expected = one.resample(table, target="y")
    cut = Asking(sampling_strategy="all", route="cells")
    cut.ask = ask
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        found = cut.resample(dask_frame(table, even(N, 3)), target="y").compute()
        told = cut.report_.compute()
    assert found.index.equals(expected.index)
    np.testing.assert_array_equal(told["distances_"], one.distances_)


def test_more_equal_rows_than_fit_are_refused(monkeypatch):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 15)
    set_constant(monkeypatch, "plan", "LEAST_CELL", 20)
    table = numbers(N, 40)
    table.loc[10:100, ["a", "b", "c"]] = 1.0
    lazy = Asking(sampling_strategy="all", route="cells").resample(
        dask_frame(table, even(N, 3)), target="y"
    )
    message = r"the table has 91 rows so near each other, or equal, .* have memory for 39; give"
    with dask.config.set(scheduler="synchronous"), pytest.raises(ValueError, match=message):
        lazy.compute()


@pytest.mark.parametrize(
    ("kind", "kind_sel", "groups"),
    [
        ("numbers", "all", False),
        ("numbers", "mode", True),
        ("grid", "all", True),
        ("mixed", "mode", False),
    ],
)
def test_few_rows_of_the_largest_class_ask_other_cells(monkeypatch, kind, kind_sel, groups):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 100)
    set_constant(monkeypatch, "plan", "LEAST_CELL", 20)
    n, few = 400, 20
    table = mixed(n, few) if kind == "mixed" else numbers(n, few)
    numeric = table.select_dtypes("float").columns
    rare = table["y"] == table["y"].value_counts().index[-1]
    table.loc[rare, numeric] = table[numeric].sample(int(rare.sum()), random_state=0).to_numpy()
    if kind == "grid":  # many are as near as each other
        table[numeric] = table[numeric].round(0)
    more = {"groups": "team"} if groups else {}
    table["team"] = np.arange(n) % 2
    how = {"kind_sel": kind_sel, "sampling_strategy": "all"}
    if not groups:
        table = table.drop(columns="team")
    expected = EditedNearestNeighbours(**how).resample(table, target="y", **more)
    forwards = {}

    def counted(home):
        def run(self, layout, boxes, c):
            found = home(self, layout, boxes, c)
            forwards[label] = forwards.get(label, 0) + int(found["forwards"].sum())
            return found

        return run

    monkeypatch.setattr(Search, "_home", counted(Search._home))
    for label in ("some", "all"):
        if label == "all":
            monkeypatch.setattr(CleanCells, "_tells_others", False)
        cut = EditedNearestNeighbours(**how, route="cells")
        with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
            made = cut.resample(dask_frame(table, even(n, 3)), target="y", **more)
            assert made.compute().index.equals(expected.index)
        assert cut.plan_.all_rows.cells > 1
    assert len(expected) < n
    assert forwards["some"] < (0.9 if kind == "grid" else 0.8) * forwards["all"]


def test_a_row_of_another_class_as_near_as_the_neighbour_at_home_counts(monkeypatch):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 100)
    set_constant(monkeypatch, "plan", "LEAST_CELL", 20)
    first = np.array([100, 200, 300])  # cells end before these, and they come first in the table
    at = np.concatenate([first, np.setdiff1d(np.arange(400), first)])
    table = pd.DataFrame({"a": at.astype(float), "y": (np.arange(400) < 3).astype(int)})
    cut = EditedNearestNeighbours(n_neighbors=1, route="cells")
    with dask.config.set({"scheduler": "synchronous"}):
        found = cut.resample(dask_frame(table, even(400, 3)), target="y").compute()
    assert cut.plan_.all_rows.cells == 4
    gone = table.loc[~table.index.isin(found.index), "a"]
    assert sorted(gone) == [99, 101, 199, 201, 299, 301]


@pytest.mark.parametrize("name", ["enn", "repeated-enn", "all-knn", "ncr"])
def test_cells_of_the_smallest_class_in_which_none_asks(monkeypatch, name):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 60)
    set_constant(monkeypatch, "plan", "LEAST_CELL", 20)
    table = pd.DataFrame({"a": np.arange(300.0), "y": (np.arange(300) < 100).astype(int)})
    expected = make_sampler(name).resample(table, target="y")
    with dask.config.set(scheduler="synchronous"):
        made = make_sampler(name, route="cells").resample(
            dask_frame(table, even(300, 3)), target="y"
        )
        assert made.compute().index.equals(expected.index)


def test_rows_beyond_the_reach_of_a_cell_are_searched(monkeypatch):
    set_constant(monkeypatch, "plan", "CELL_ROWS", 7000)
    set_constant(monkeypatch, "plan", "LEAST_CELL", 20)
    # A row lies far from those of its class, and in another cell, nearer, some of the other class.
    parts = np.linspace(0, 1, 4999), [10.0], np.linspace(12, 12.1, 50), np.linspace(20, 21, 4950)
    table = pd.DataFrame({"a": np.concatenate(parts)})
    table["y"] = (table["a"] // 1 == 12).astype(int)
    with dask.config.set(scheduler="synchronous"):
        cut = EditedNearestNeighbours(route="cells")
        made = cut.resample(dask_frame(table, even(10000, 3)), target="y").compute()
    expected = EditedNearestNeighbours().resample(table, target="y")
    assert cut.plan_.all_rows.cells == 2
    assert 4999 not in expected.index
    assert made.index.equals(expected.index)
