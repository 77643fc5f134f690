"""Draws, allocation of base rows, subsets: exact totals, uniform, the same however cut."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chisquare, hypergeom

from dsmote import SMOTE
from dsmote.execute.recipe import Draws
from dsmote.plan import (
    Stream,
    Subset,
    bases_of,
    copies_by_weight,
    copies_with_replacement,
    draws,
    root_seed,
    shares,
)
from dsmote.plan.draws import (
    ALLOCATION,
    CHOICE,
    GAP,
    INDEX,
    MIX,
    NEIGHBOUR,
    NOISE,
    REPORT,
    SHARE,
    SPLIT,
    VOTE,
)


@given(
    seed=st.integers(0, 2**70),
    rank=st.integers(0, 50),
    purpose=st.integers(0, 12),
    start=st.integers(0, 3_000),
    n=st.integers(0, 50),
)
def test_a_part_of_a_stream_is_that_part_of_the_whole(seed, rank, purpose, start, n):
    stream = Stream(seed, rank, purpose)
    whole = Stream(seed, rank, purpose).uniform(0, start + n)
    np.testing.assert_array_equal(stream.uniform(start, start + n), whole[start:])
    choices = Stream(seed, rank, purpose).below(7, 0, start + n)
    np.testing.assert_array_equal(stream.below(7, start, start + n), choices[start:])


def test_far_places_cost_nothing():
    far = 10**15 + 3
    part = Stream(0, 1, GAP).uniform(far, far + 5)
    np.testing.assert_array_equal(part[2:], Stream(0, 1, GAP).uniform(far + 2, far + 5))


def test_the_numbers_stay_what_they_are():
    # A change here changes every result that anybody has recorded the seed of.
    found = Stream(42, 1, GAP).uniform(0, 16)
    expected = np.random.Philox(
        key=np.random.SeedSequence(42, spawn_key=(1, 2)).generate_state(2, np.uint64)
    ).random_raw(16)
    np.testing.assert_array_equal(found, (expected >> np.uint64(11)) * 2.0**-53)
    below = [(int(word) >> 32) * 10 >> 32 for word in expected]
    assert Stream(42, 1, GAP).below(10, 0, 16).tolist() == below


def test_each_purpose_has_its_own_streams():
    assert (ALLOCATION, NEIGHBOUR, GAP, VOTE, NOISE) == (0, 1, 2, 3, 2**31 + 16)
    assert tuple(range(2**31, 2**31 + 6)) == (INDEX, SPLIT, CHOICE, SHARE, MIX, REPORT)


def test_draws_are_those_of_a_class_a_column_and_a_place():
    draws = Draws(5, 2, 7, 30)
    for column in (0, 3):
        votes = Stream(5, 2, VOTE + column).uniform(7, 30)
        np.testing.assert_array_equal(draws.vote(column), votes)
        bits = Stream(5, 2, NOISE + column).bits(7, 30)
        np.testing.assert_array_equal(draws.noise(column), ((bits >> 12) + 0.5) * 2.0**-52)
    np.testing.assert_array_equal(draws.gap(), Stream(5, 2, GAP).uniform(7, 30))
    np.testing.assert_array_equal(draws.rank(6), Stream(5, 2, NEIGHBOUR).below(6, 7, 30))


def test_streams_differ_by_seed_class_and_purpose():
    keys = [(s, c, p) for s in (0, 1) for c in (0, 1) for p in (0, 1, 2, 3, 4)]
    drawn = [Stream(*key).uniform(0, 64) for key in keys]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert not np.isin(one, other).any()


STATES = [
    lambda: np.random.RandomState(5),
    lambda: np.random.default_rng(5),
    lambda: None,
    lambda: np.uint8(5),
    lambda: 5,
]


@pytest.mark.parametrize("make", STATES)
def test_seeds_of_every_kind(make):
    """Equal seeds give equal rows; generators move on; the seed that was drawn repeats the run."""
    rng = np.random.default_rng(0)
    few = rng.normal(size=(20, 2))
    # Two classes to grow that hold the very same rows, far from the majority.
    X = np.concatenate([rng.normal(size=(60, 2)) + 9, few, few])
    y = np.repeat([0, 1, 2], [60, 20, 20])
    sampler = SMOTE(random_state=make())
    rows = sampler.fit_resample(X, y)[0][100:]
    again = SMOTE(random_state=sampler.plan_.seed).fit_resample(X, y)[0][100:]
    np.testing.assert_array_equal(again, rows)
    same = SMOTE(random_state=make()).fit_resample(X, y)[0][100:]
    assert np.array_equal(same, rows) == (make() is not None)
    later = sampler.fit_resample(X, y)[0][100:]
    assert np.array_equal(later, rows) == isinstance(make(), int | np.uint8)
    assert not np.isin(rows[:40], rows[40:]).any()  # of the two equal classes
    assert root_seed(make()) == 5 or not isinstance(make(), int | np.uint8)


@pytest.mark.parametrize("value", [-1, "a", 1.5, [1]])
def test_what_is_no_seed(value):
    with pytest.raises(ValueError, match="random_state must"):
        root_seed(value)


@given(rows=st.integers(1, 50), new=st.integers(0, 300), seed=st.integers(0, 99))
def test_copies_add_up_exactly(rows, new, seed):
    ends = copies_with_replacement(rows, new, seed, 0)
    assert ends.shape == (rows,)
    assert ends[-1] == new
    assert (np.diff(ends, prepend=0) >= 0).all()
    bases = bases_of(ends, 0, new)
    np.testing.assert_array_equal(np.bincount(bases, minlength=rows), np.diff(ends, prepend=0))


@given(cut=st.integers(0, 100))
def test_blocks_share_the_rows_out_and_draws_go_on_from_a_place(cut):
    ends = copies_with_replacement(13, 100, 1, 0)
    both = np.concatenate([bases_of(ends, 0, cut), bases_of(ends, cut, 100)])
    np.testing.assert_array_equal(both, bases_of(ends, 0, 100))
    start = copies_with_replacement(13, cut, 1, 0)
    rest = copies_with_replacement(13, 100 - cut, 1, 0, first=cut)
    np.testing.assert_array_equal(start + rest, ends)


def test_bases_are_drawn_uniformly_with_replacement():
    copies = np.diff(copies_with_replacement(50, 20_000, 0, 0), prepend=0)
    assert chisquare(copies).pvalue > 1e-3
    # Not even either: every row equally often would not be a draw with replacement.
    assert chisquare(copies).pvalue < 0.999
    assert copies.std() > 5


def test_drawn_in_steps_as_at_once(monkeypatch):
    expected = copies_with_replacement(20, 1_000, 3, 2)
    for step in (7, 999):  # the second leaves one draw for its last
        monkeypatch.setattr(draws, "_STEP", step)
        np.testing.assert_array_equal(copies_with_replacement(20, 1_000, 3, 2), expected)


WEIGHTS = st.lists(
    st.one_of(
        st.just(0.0),
        st.integers(1, 5).map(float),
        st.floats(1e-12, 1.0),
        st.floats(1e-300, 1e300),
    ),
    min_size=1,
    max_size=40,
).filter(any)


@given(weights=WEIGHTS, total=st.integers(0, 10**6))
def test_shares_add_up_exactly_and_are_rounded_down_or_up(weights, total):
    weights = np.array(weights)
    parts = shares(weights, total)
    assert parts.dtype == np.int64
    assert parts.sum() == total
    assert (parts >= 0).all()
    assert not parts[weights == 0].any()
    np.testing.assert_array_equal(np.diff(copies_by_weight(weights, total), prepend=0), parts)
    exact = [Fraction(w) for w in weights.tolist()]
    exact = [total * w / sum(exact) for w in exact]
    for part, share in zip(parts.tolist(), exact, strict=True):
        assert abs(part - share) < 1 + Fraction(1, 10**6)


@given(rows=st.integers(1, 50), total=st.integers(0, 500), weight=st.floats(1e-300, 1e300))
def test_equal_weights_get_even_shares_the_first_ones_first(rows, total, weight):
    parts = shares(np.full(rows, weight), total)
    assert parts.max() - parts.min() <= 1
    assert (np.diff(parts) <= 0).all()


def test_fewer_new_rows_than_base_rows():
    assert shares(np.array([0.1, 0.3, 0.2, 0.0, 0.3]), 2).tolist() == [0, 1, 0, 0, 1]
    assert shares(np.array([0.0, 5.0]), 7).tolist() == [0, 7]
    assert shares(np.array([1.7e308, 1.7e308]), 4).tolist() == [2, 2]  # whose sum overflows


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_weights_that_cannot_be_divided_by(bad):
    with pytest.raises(ValueError, match="weights must be finite, none negative and not all 0"):
        shares(np.array(bad), 3)


def test_only_some_rows_may_be_bases():
    among = np.array([2, 3, 7])
    ends = copies_with_replacement(9, 400, 0, 0, among)
    copies = np.diff(ends, prepend=0)
    assert copies.sum() == 400
    assert np.flatnonzero(copies).tolist() == among.tolist()
    np.testing.assert_array_equal(
        copies[among], np.diff(copies_with_replacement(3, 400, 0, 0), prepend=0)
    )


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
    Subset(BILLION, BILLION // 3, 0, 0).times(123_456_789, 123_456_799)
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


def test_subsets_differ_by_seed_class_and_kind():
    keys = [(s, c, r) for s in (0, 1) for c in (0, 1) for r in (False, True)]
    drawn = [Subset(400, 200, *key).times(0, 400).tolist() for key in keys]
    assert all(one != other for one, other in itertools.combinations(drawn, 2))


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
