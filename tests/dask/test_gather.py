"""Few rows that travel: few tasks, small ones, as many readings as the plan says, one compute."""

import dask
import pytest

from dsmote import Chain, NearMiss, OneSidedSelection, TomekLinks
from tests.dask.test_lazy import Store, sizes_of, tasks_of
from tests.tables import assert_same_bits, counted_computes, even, numbers, set_constant

HOW = {
    "tomek": (TomekLinks, {}, 2),
    "near-miss-1": (NearMiss, {}, 2),
    "near-miss-3": (NearMiss, {"version": 3}, 1),
    "one-sided": (OneSidedSelection, {"random_state": 0}, 6),
}


@pytest.mark.parametrize("name", HOW)
def test_read_and_computed_as_often_as_the_plan_says(name, monkeypatch):
    set_constant(monkeypatch, "plan", "SAMPLE", 1)
    (kind, how, rounds), table = HOW[name], numbers(400, 40)
    store, one = Store(table, [*even(400, 5), 0]), kind(**how, route="gather")
    with counted_computes() as computes:
        lazy = one.resample(store.frame(), target="y")
    assert len(computes) == 1
    with dask.config.set(scheduler="synchronous"):
        made = lazy.compute()
    assert len(one.plan_.passes) == 3 + rounds
    assert store.loads == [len(one.plan_.passes)] * 6
    assert_same_bits(made, kind(**how).resample(table, target="y"))


@pytest.mark.parametrize("name", HOW)
@pytest.mark.parametrize("n", [1, 7, 60])
def test_number_and_size_of_tasks(name, n):
    kind, how, rounds = HOW[name]
    given = Store(numbers(600, 40), even(600, n)).frame()
    lazy = kind(**how, route="gather").resample(given, target="y")
    added = set(tasks_of([lazy])) - set(tasks_of([given]))
    # Of each reading: to read, to answer or look, and an eighth to join; at last to read and keep.
    assert len(added) <= (rounds + 2) * (3 * n + n // 7 + 6) + 6
    assert max(sizes_of(lazy.__dask_graph__()).values()) < 50_000


@pytest.mark.parametrize("name", HOW)
def test_the_graph_does_not_grow_with_the_rows(name):
    kind, how, _ = HOW[name]
    sizes = []
    for n in (400, 8_000):
        frame = Store(numbers(n, n // 10), even(n, 4)).frame()
        graph = kind(**how, route="gather").resample(frame, target="y").__dask_graph__()
        sizes.append((len(graph), sum(sizes_of(graph).values())))
    (few, small), (many, large) = sizes
    assert few == many
    assert large <= 1.05 * small


def test_the_same_call_gives_the_same_keys():
    """There are no scratch files, of which each result has its own."""
    given = Store(numbers(400, 40), even(400, 4)).frame()
    keys = [
        TomekLinks(route="gather").resample(given, target="y").__dask_keys__() for _ in range(2)
    ]
    assert keys[0] == keys[1]


def test_a_later_step_does_not_make_it_again(monkeypatch):
    set_constant(monkeypatch, "plan", "SAMPLE", 1)
    table, steps = numbers(400, 40), [TomekLinks, NearMiss]
    store = Store(table, even(400, 3))
    made = Chain([step(route="gather") for step in steps]).resample(store.frame(), target="y")
    with dask.config.set(scheduler="synchronous"):
        found = made.compute()
    assert_same_bits(found, Chain([step() for step in steps]).resample(table, target="y"))
    # To count; the first step looks, and answers twice; what it leaves is read by the second step
    # to be counted, looked at, twice to be asked, and kept.
    assert max(store.loads) <= 13
