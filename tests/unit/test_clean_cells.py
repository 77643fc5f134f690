"""Questions to rows in cells are answered as they are in one worker."""

from dataclasses import dataclass
from typing import ClassVar

import dask
import numpy as np
import pytest

import dsmote.execute.clean_cells  # noqa: F401 - else loaded when there are cells
from dsmote.execute.clean import Decision, Rule
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


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("ask", ["all", "few", "few, of which some ask", "one", "none", "most"])
@pytest.mark.parametrize("kind", ["numbers", "grid", "mixed"])
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
