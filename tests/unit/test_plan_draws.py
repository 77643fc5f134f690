"""Draws, allocation of base rows, subsets: exact totals, uniform, the same however cut."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from dsmote.plan import (
    Stream,
    Subset,
    bases_of,
    copies_by_weight,
    copies_with_replacement,
    draws,
    shares,
)
from dsmote.plan.draws import GAP


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


def test_the_numbers_stay_what_they_are():
    # A change here changes every result that anybody has recorded the seed of.
    found = Stream(42, 1, GAP).uniform(0, 16)
    expected = np.random.Philox(
        key=np.random.SeedSequence(42, spawn_key=(1, 2)).generate_state(2, np.uint64)
    ).random_raw(16)
    np.testing.assert_array_equal(found, (expected >> np.uint64(11)) * 2.0**-53)
    below = [(int(word) >> 32) * 10 >> 32 for word in expected]
    assert Stream(42, 1, GAP).below(10, 0, 16).tolist() == below


@given(rows=st.integers(1, 50), new=st.integers(0, 300), seed=st.integers(0, 99))
def test_copies_add_up_exactly(rows, new, seed):
    ends = copies_with_replacement(rows, new, seed, 0)
    assert ends.shape == (rows,)
    assert ends[-1] == new
    assert (np.diff(ends, prepend=0) >= 0).all()
    bases = bases_of(ends, 0, new)
    np.testing.assert_array_equal(np.bincount(bases, minlength=rows), np.diff(ends, prepend=0))


WEIGHTS = st.lists(
    st.one_of(
        st.just(0.0), st.integers(1, 5).map(float), st.floats(1e-12, 1.0), st.floats(1e-300, 1e300)
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


BILLION = 10**9


@given(
    n=st.integers(0, 3_000),
    share=st.sampled_from([0.0, 0.001, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 2**70),
    rank=st.integers(0, 50),
    replacement=st.booleans(),
    cuts=st.lists(st.integers(0, 3_000), max_size=6),
)
def test_any_cut_gives_the_same_rows_and_exactly_as_many_as_asked_for(
    n, share, seed, rank, replacement, cuts
):
    of = Subset(n, int(share * n), seed, rank, replacement)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "LEAF", 16)  # a tree of many levels out of few rows
        whole = of.times(0, n)
        assert whole.sum() == of.keep
        assert whole.min(initial=0) >= 0
        assert replacement or whole.max(initial=0) <= 1
        ends = np.array([0, *sorted(min(cut, n) for cut in cuts), n])
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
def test_the_rows_of_a_seed_stay_what_they_are(replacement, expected):
    # A change here changes every result that anybody has recorded the seed of.
    whole = Subset(20_000, 8, 3, 1, replacement).times(0, 20_000)
    assert np.flatnonzero(whole).tolist() == expected


@pytest.mark.parametrize("keep", [1, 7, 300_000_000, BILLION - 1])
@pytest.mark.parametrize("replacement", [False, True])
def test_a_part_of_very_many_rows(keep, replacement):
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


@pytest.mark.parametrize("replacement", [False, True])
def test_every_subset_is_as_likely_as_in_independent_draws(replacement, monkeypatch):
    monkeypatch.setattr(draws, "LEAF", 2)
    pairs = itertools.product(range(6), repeat=2)
    ways = Counter(tuple(sorted(p)) for p in pairs if replacement or p[0] != p[1])
    found = Counter()
    for seed in range(1_000):
        times = Subset(6, 2, seed, 0, replacement).times(0, 6)
        found[tuple(np.repeat(np.arange(6), times).tolist())] += 1
    assert set(found) <= set(ways)
    expected = np.array(list(ways.values())) * 1_000 / sum(ways.values())
    assert chisquare([found[pair] for pair in ways], expected).pvalue > 1e-3
