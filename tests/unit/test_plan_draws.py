"""Draws: addressable, uniform, different for every class and purpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from dsmote import SMOTE
from dsmote.execute.recipe import Draws
from dsmote.plan import Stream, root_seed
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
        words = Stream(5, 2, NOISE + column).words(7, 30)
        np.testing.assert_array_equal(draws.noise(column), ((words >> 12) + 0.5) * 2.0**-52)
    np.testing.assert_array_equal(draws.gap(), Stream(5, 2, GAP).uniform(7, 30))
    np.testing.assert_array_equal(draws.rank(6), Stream(5, 2, NEIGHBOUR).below(6, 7, 30))


def test_streams_differ_by_seed_class_and_purpose():
    keys = [(s, c, p) for s in (0, 1) for c in (0, 1) for p in (0, 1, 2, 3, 4)]
    drawn = [Stream(*key).uniform(0, 64) for key in keys]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert not np.isin(one, other).any()


def test_streams_of_two_classes_are_not_correlated():
    one, other = (Stream(0, rank, GAP).uniform(0, 20_000) for rank in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03


def test_gaps_are_uniform_and_below_one():
    drawn = Stream(3, 0, GAP).uniform(0, 50_000)
    assert 0 <= drawn.min() < drawn.max() < 1
    assert kstest(drawn, "uniform").pvalue > 1e-3
    assert np.unique(drawn).size == drawn.size


@pytest.mark.parametrize("limit", [1, 2, 5, 7, 1_000])
def test_choices_are_uniform(limit):
    drawn = Stream(3, 0, NEIGHBOUR).below(limit, 0, 50_000)
    assert drawn.dtype == np.int64
    assert 0 <= drawn.min() <= drawn.max() < limit
    counts = np.bincount(drawn, minlength=limit)
    assert limit == 1 or chisquare(counts).pvalue > 1e-3


def test_seeds_of_every_kind():
    assert root_seed(7) == root_seed(np.int64(7)) == root_seed(np.uint8(7)) == 7
    assert root_seed(None) != root_seed(None)
    assert root_seed(np.random.RandomState(0)) == root_seed(np.random.RandomState(0))
    assert root_seed(np.random.RandomState(0)) != root_seed(np.random.RandomState(1))
    assert root_seed(np.random.default_rng(0)) == root_seed(np.random.default_rng(0))
    assert root_seed(np.random.default_rng(0)) != root_seed(np.random.default_rng(1))
    rng = np.random.default_rng(0)
    assert root_seed(rng) != root_seed(rng)
    state = np.random.RandomState(0)
    assert root_seed(state) != root_seed(state)


@pytest.mark.parametrize("value", [-1, "a", 1.5, [1]])
def test_what_is_no_seed(value):
    with pytest.raises(ValueError, match="random_state must"):
        root_seed(value)


# ---- as users see it


def two_equal_classes():
    """Two classes to grow that hold the very same rows, far from the majority."""
    rng = np.random.default_rng(0)
    few = rng.normal(size=(20, 2))
    X = np.concatenate([rng.normal(size=(60, 2)) + 9, few, few])
    return X, np.repeat([0, 1, 2], [60, 20, 20])


def test_two_equal_classes_get_different_rows():
    X, y = two_equal_classes()
    X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
    made = X_res[100:]
    one, other = made[y_res[100:] == 1], made[y_res[100:] == 2]
    assert len(one) == len(other) == 40
    assert not np.isin(one, other).any()


@pytest.mark.parametrize(
    "make", [lambda: 5, lambda: np.random.RandomState(5), lambda: np.random.default_rng(5)]
)
def test_equal_states_give_equal_rows(make):
    X, y = two_equal_classes()
    one = SMOTE(random_state=make()).fit_resample(X, y)[0]
    np.testing.assert_array_equal(SMOTE(random_state=make()).fit_resample(X, y)[0], one)


@pytest.mark.parametrize("state", [None, np.random.RandomState(5), np.random.default_rng(5)])
def test_states_that_move_on_give_other_rows(state):
    X, y = two_equal_classes()
    sampler = SMOTE(random_state=state)
    one, other = sampler.fit_resample(X, y)[0], sampler.fit_resample(X, y)[0]
    assert not np.isin(one[100:], other[100:]).any()


def test_a_recorded_seed_repeats_a_run():
    X, y = two_equal_classes()
    sampler = SMOTE(random_state=None)
    found = sampler.fit_resample(X, y)[0]
    again = SMOTE(random_state=sampler.plan_.seed).fit_resample(X, y)[0]
    np.testing.assert_array_equal(again, found)
