"""Rows that travel to every partition are told the same as where all rows are in one worker."""

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote import SMOTE, NearMiss, OneSidedSelection, RandomOverSampler, TomekLinks
from tests.property.test_cleaning import PARTITIONS, RULES, N, grid, outcome, sampler
from tests.samplers import family, having
from tests.tables import assert_same_bits, dask_frame, even, mixed, numbers, set_constant

pytestmark = pytest.mark.filterwarnings("ignore:class .* keeps .* rows instead of:UserWarning")

TRAVELS = {
    "tomek": (TomekLinks, {}),
    "near-miss-1": (NearMiss, {}),
    "near-miss-3": (NearMiss, {"version": 3}),
    "one-sided": (OneSidedSelection, {"random_state": 3}),
    "one-sided, three": (OneSidedSelection, {"random_state": 3, "n_neighbors": 3, "n_seeds_S": 4}),
}
LOOKING = [
    name
    for name, (kind, how) in family().items()
    if name in having("route", family()) and kind(**how)._recipe().n_neighbors_all
]


def far_apart():
    table = numbers(N, 18)
    return table.assign(a=1e150 * table["a"], b=1e-170 * table["b"])


@pytest.mark.parametrize("name", TRAVELS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_the_same_rows_stay(name, data):
    draw, (kind, parameters) = data.draw, TRAVELS[name]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    table = draw(st.sampled_from([lambda: numbers(N, 18), grid, far_apart]))().copy()
    table["id"] = rng.permutation(N)
    if draw(st.booleans()):
        table.loc[rng.integers(0, N, 9), "a"] = np.nan
    how = parameters | {"missing": "skip", "carry": ["id"]}
    how["scale"] = draw(st.sampled_from([None, "standard"]))
    how["sampling_strategy"] = draw(st.sampled_from(["auto", "not majority", "all"]))
    how["provenance"] = draw(st.sampled_from([False, "flag"]))
    more = {}
    if draw(st.booleans()):
        table["g"] = GROUPS[draw(st.sampled_from([*GROUPS]))](rng)
        more = {"groups": "g"}
    lengths = draw(PARTITIONS)
    scheduler = draw(st.sampled_from(["synchronous", "threads"]))
    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"scheduler": scheduler, "dataframe.convert-string": False}),
    ):
        # Else all rows of such a small table are known to begin with.
        set_constant(patch, "plan", "SAMPLE", draw(st.sampled_from([1, 20, 1_000])))
        expected = outcome(lambda: kind(**how).resample(table, target="y", **more))

        def gathered():
            one = kind(**how, route="gather")
            lazy = one.resample(dask_frame(table, lengths), target="y", **more)
            assert one.plan_.travelling
            assert one.plan_.all_rows is None
            return lazy.compute()

        found = outcome(gathered)
    if isinstance(expected, type):
        assert found is expected
    else:
        assert_same_bits(found, expected)


GROUPS = {
    "few": lambda rng: rng.choice(list("pq"), N),
    "numbers": lambda rng: rng.integers(0, 9, N),
    "missing": lambda rng: rng.choice(["p", "q", None], N, p=[0.6, 0.3, 0.1]).astype(object),
    "runs": lambda rng: np.repeat(np.arange(6), N // 6),
}


def test_equal_rows_of_other_classes_are_linked_by_number(monkeypatch):
    set_constant(monkeypatch, "plan", "SAMPLE", 1)
    table = numbers(N, 18)
    table[["a", "b", "c"]] = 1.0
    table.loc[[0, 1], "y"] = [0, 1]  # the nearest of all others, and each other's
    expected = TomekLinks(sampling_strategy="all").resample(table, target="y")
    assert len(expected) == N - 2
    for lengths in ([N], even(N, 4), [0, 1, 1, N - 2]):
        lazy = TomekLinks(sampling_strategy="all", route="gather").resample(
            dask_frame(table, lengths), target="y"
        )
        assert_same_bits(lazy.compute(scheduler="synchronous"), expected)


@pytest.mark.parametrize("name", having("route", RULES))
def test_what_cannot_travel_is_refused_by_name(name):
    how, lazy = sampler(name, route="gather"), dask_frame(numbers(N, 18), even(N, 3))
    if (
        isinstance(how, TomekLinks | OneSidedSelection | NearMiss)
        and getattr(how, "version", 1) != 2
    ):
        with pytest.raises(ValueError, match=r"route='gather' is not possible: a table in memory"):
            how.resample(numbers(N, 18), target="y")
        with pytest.raises(ValueError, match=r"'gather' is not possible: categorical features"):
            how.resample(dask_frame(mixed(N, 24), [N]), target="y")
        return
    message = rf"route='gather' is not possible: {type(how).__name__} asks for (more|the neigh)"
    with pytest.raises(ValueError, match=message):
        how.resample(lazy, target="y")


@pytest.mark.parametrize("name", LOOKING)
def test_over_samplers_that_look_among_all_rows_gather(name):
    kind, parameters = family(random_state=0)[name]
    made = []
    for route in ("gather", "broadcast", "auto"):
        how = kind(**parameters, route=route)
        lazy = how.resample(dask_frame(numbers(200, 60), even(200, 4)), target="y")
        made.append(lazy.compute(scheduler="synchronous"))
        assert any("every partition" in note and "gather" in note for note in how.plan_.notes)
        assert all(not c.cells for c in how.plan_.classes)
    assert_same_bits(made[0], made[1])
    assert_same_bits(made[0], made[2])
    with pytest.raises(ValueError, match=r"route='gather' is not possible: a table in memory"):
        kind(**parameters, route="gather").resample(numbers(200, 60), target="y")


@pytest.mark.parametrize("kind", [SMOTE, RandomOverSampler])
def test_over_samplers_that_do_not_are_refused(kind):
    message = rf"'gather' is not possible: {kind.__name__} looks for no neighbours among all rows"
    with pytest.raises(ValueError, match=message):
        kind(route="gather").plan(dask_frame(numbers(N, 18), even(N, 3)), target="y")


def test_rows_that_change_between_two_readings_are_refused(monkeypatch):
    set_constant(monkeypatch, "plan", "SAMPLE", 1)
    table, reads = numbers(N, 18), []

    def read(part):
        reads.append(1)
        return part.assign(a=part["a"] + (len(reads) > 12))

    lazy = dask_frame(table, even(N, 4)).map_partitions(read, meta=table.iloc[:0])
    made = TomekLinks(route="gather").resample(lazy, target="y")
    with pytest.raises(ValueError, match="data that change between two reads"):
        made.compute(scheduler="synchronous")
