"""Subsets: exact totals, the same rows however they are cut, each row as likely as another."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chisquare, hypergeom

from dsmote.plan import Subset, draws, kept
from dsmote.plan.draws import CHOICE, INDEX, SPLIT

BILLION = 10**9


@st.composite
def subsets(draw):
    n = draw(st.integers(1, 3_000))
    keep = draw(st.integers(0, n))
    seed, rank = draw(st.integers(0, 2**70)), draw(st.integers(0, 50))
    return Subset(n, keep, seed, rank, draw(st.booleans()))


LEAF = draws.LEAF  # as it is, before it is made small


@pytest.fixture(scope="module", autouse=True)
def small_leaves():
    """Make trees of many levels out of few rows."""
    before, draws.LEAF = draws.LEAF, 16
    yield
    draws.LEAF = before


@given(of=subsets(), cuts=st.lists(st.integers(0, 3_000), max_size=6))
def test_any_cut_gives_the_same_rows_and_exactly_as_many_as_asked_for(of, cuts):
    whole = of.times(0, of.n)
    assert whole.sum() == of.keep
    assert whole.min() >= 0
    assert of.replacement or whole.max() <= 1
    ends = np.array([0, *sorted(min(cut, of.n) for cut in cuts), of.n])
    parts = [of.times(a, b) for a, b in itertools.pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    expected = np.concatenate([[0], np.cumsum(whole)])[ends]
    np.testing.assert_array_equal(of.before(ends), expected)


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        (False, [878, 2449, 6964, 7994, 13063, 13095, 15509, 16545]),
        (True, [796, 1082, 5970, 8497, 13782, 14987, 15122, 16574]),
    ],
)
def test_the_rows_of_a_seed_stay_what_they_are(replacement, expected, monkeypatch):
    # A change here changes every result that anybody has recorded the seed of.
    monkeypatch.setattr(draws, "LEAF", LEAF)
    whole = Subset(20_000, 8, 3, 1, replacement).times(0, 20_000)
    assert np.flatnonzero(whole).tolist() == expected


@pytest.mark.parametrize("replacement", [False, True])
def test_all_and_none(replacement):
    assert Subset(1_000, 0, 0, 0, replacement).times(0, 1_000).tolist() == [0] * 1_000
    whole = Subset(1_000, 1_000, 0, 0, replacement).times(0, 1_000)
    assert whole.sum() == 1_000
    assert (whole == 1).all() != replacement
    assert Subset(0, 0, 0, 0, replacement).times(0, 0).tolist() == []
    assert Subset(0, 0, 0, 0, replacement).before([0]).tolist() == [0]


@pytest.mark.parametrize("keep", [1, 7, 300_000_000, BILLION - 1])
@pytest.mark.parametrize("replacement", [False, True])
def test_a_part_of_very_many_rows(keep, replacement, monkeypatch):
    monkeypatch.setattr(draws, "LEAF", 4096)
    of = Subset(BILLION, keep, 3, 1, replacement)
    places = np.array([0, 5, 400_000_000, 400_050_000, BILLION])
    before = of.before(places)
    assert before[0] == 0
    assert before[-1] == keep
    assert of.times(400_000_000, 400_050_000).sum() == before[3] - before[2]
    assert of.times(0, 5).sum() == before[1]
    share = keep / BILLION
    deviation = np.sqrt(50_000 * share)
    assert abs(before[3] - before[2] - 50_000 * share) < 5 * deviation + 2


def test_only_the_nodes_on_the_way_are_drawn(monkeypatch):
    monkeypatch.setattr(draws, "LEAF", 4096)
    drawn = []
    inverted = draws._inverted
    monkeypatch.setattr(draws, "_inverted", lambda *a: drawn.append(1) or inverted(*a))
    kept(BILLION, BILLION // 3, 0, 0, 123_456_789, 123_456_799)
    assert len(drawn) <= 18 + 1


@pytest.mark.parametrize("replacement", [False, True])
def test_every_row_is_as_likely_as_another(replacement):
    # 90 rows in leaves of 11 and 12: no place in the tree may matter.
    total = sum(Subset(90, 30, seed, 0, replacement).times(0, 90) for seed in range(2_000))
    statistic, p = chisquare(total)
    assert p > 1e-3
    # The rows of one draw exclude each other, so their counts are more even than a multinomial's.
    assert statistic < 90 * (1.6 if replacement else 1.1)


def test_every_subset_is_as_likely_as_another(monkeypatch):
    monkeypatch.setattr(draws, "LEAF", 2)
    names = {pair: i for i, pair in enumerate(itertools.combinations(range(6), 2))}
    found = np.zeros(len(names), dtype=int)
    for seed in range(3_000):
        rows = np.flatnonzero(Subset(6, 2, seed, 0).times(0, 6))
        found[names[tuple(rows.tolist())]] += 1
    assert chisquare(found).pvalue > 1e-3


def test_with_replacement_rows_come_up_as_often_as_in_independent_draws():
    times = np.concatenate([Subset(500, 500, s, 0, True).times(0, 500) for s in range(60)])
    expected = binom(500, 1 / 500).pmf(np.arange(5)) * len(times)
    found = np.bincount(times, minlength=6)
    rest = len(times) - expected.sum()
    assert chisquare([*found[:5], found[5:].sum()], [*expected, rest]).pvalue > 1e-3


def test_neighbouring_rows_are_chosen_independently():
    # 512 rows, 256 kept: of two rows beside each other, also across leaves, both or none.
    both = np.zeros(511)
    for seed in range(400):
        times = Subset(512, 256, seed, 0).times(0, 512)
        both += times[1:] == times[:-1]
    assert abs(both.mean() / 400 - 255 / 511) < 0.01
    assert abs(both - 200).max() < 60


def test_subsets_differ_by_seed_class_and_kind():
    keys = [(s, c, r) for s in (0, 1) for c in (0, 1) for r in (False, True)]
    drawn = [Subset(400, 200, *key).times(0, 400).tolist() for key in keys]
    assert all(one != other for one, other in itertools.combinations(drawn, 2))
    assert len({INDEX, SPLIT, CHOICE}) == 3


def test_the_rows_stay_what_they_are(monkeypatch):
    # A change here changes every result that anybody has recorded the seed of.
    monkeypatch.setattr(draws, "LEAF", 4096)
    found = [
        np.flatnonzero(kept(20_000, 5, 42, 1, 0, 20_000, replacement=r)) for r in (False, True)
    ]
    assert [rows.tolist() for rows in found] == [
        [150, 7951, 15521, 17053, 19219],
        [834, 9071, 15509, 17374, 18307],
    ]


@pytest.mark.parametrize(
    ("left", "right", "chosen"),
    [(1, 1, 1), (10, 12, 5), (1_000, 1_000, 10), (5_000, 7_000, 11_000), (2**20, 2**20, 2**19)],
)
def test_numbers_in_a_half_follow_their_distributions(left, right, chosen):
    n = left + right
    for u in (1e-9, 0.013, 0.25, 0.51, 0.77, 0.999, 1 - 1e-9):
        expected = hypergeom(n, left, chosen).ppf(u)
        assert draws._hypergeometric(left, right, chosen, u) == expected
        assert draws._binomial(left, right, chosen, u) == binom(chosen, left / n).ppf(u)
    for u in (0.0, 1 - 2.0**-53):
        assert max(0, chosen - right) <= draws._hypergeometric(left, right, chosen, u)
        assert draws._hypergeometric(left, right, chosen, u) <= min(left, chosen)
        assert 0 <= draws._binomial(left, right, chosen, u) <= chosen


@pytest.mark.parametrize(("n", "keep"), [(5, 6), (5, -1), (0, 1)])
def test_more_rows_than_there_are(n, keep):
    with pytest.raises(ValueError, match=rf"{keep} of {n} rows cannot be kept; keep from 0 to {n}"):
        Subset(n, keep, 0, 0)
    assert Subset(5, 6, 0, 0, replacement=True).times(0, 5).sum() == 6


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 6)])
def test_rows_that_are_not_there(start, stop):
    with pytest.raises(ValueError, match="are not among the 5 of the class"):
        Subset(5, 2, 0, 0).times(start, stop)
