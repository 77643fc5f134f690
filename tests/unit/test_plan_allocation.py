"""Allocation: exact totals, uniform bases, and the base row of each new row."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from dsmote.plan import (
    bases_of,
    copies_by_weight,
    copies_with_replacement,
    draws,
    shares,
)


@given(rows=st.integers(1, 50), new=st.integers(0, 300), seed=st.integers(0, 99))
def test_copies_add_up_exactly(rows, new, seed):
    ends = copies_with_replacement(rows, new, seed, 0)
    assert ends.shape == (rows,)
    assert ends[-1] == new
    assert (np.diff(ends, prepend=0) >= 0).all()
    bases = bases_of(ends, 0, new)
    np.testing.assert_array_equal(np.bincount(bases, minlength=rows), np.diff(ends, prepend=0))


@given(cut=st.integers(0, 100))
def test_blocks_share_the_rows_out(cut):
    ends = copies_with_replacement(13, 100, 1, 0)
    both = np.concatenate([bases_of(ends, 0, cut), bases_of(ends, cut, 100)])
    np.testing.assert_array_equal(both, bases_of(ends, 0, 100))


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


@pytest.mark.parametrize("other", [(1, 0), (0, 1)])
def test_other_seeds_and_classes_get_other_copies(other):
    one = copies_with_replacement(50, 500, 0, 0)
    assert not np.array_equal(one, copies_with_replacement(50, 500, *other))


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


@given(weights=WEIGHTS, total=st.integers(0, 300))
def test_copies_by_weight_are_running_totals_of_shares(weights, total):
    ends = copies_by_weight(np.array(weights), total)
    np.testing.assert_array_equal(np.diff(ends, prepend=0), shares(np.array(weights), total))
    np.testing.assert_array_equal(
        np.bincount(bases_of(ends, 0, total), minlength=len(weights)), np.diff(ends, prepend=0)
    )


def test_only_some_rows_may_be_bases():
    among = np.array([2, 3, 7])
    ends = copies_with_replacement(9, 400, 0, 0, among)
    copies = np.diff(ends, prepend=0)
    assert copies.sum() == 400
    assert np.flatnonzero(copies).tolist() == among.tolist()
    np.testing.assert_array_equal(
        copies[among], np.diff(copies_with_replacement(3, 400, 0, 0), prepend=0)
    )


@given(first=st.integers(0, 200))
def test_draws_go_on_from_a_place_in_the_stream(first):
    whole = copies_with_replacement(13, 200, 5, 1)
    start = copies_with_replacement(13, first, 5, 1)
    rest = copies_with_replacement(13, 200 - first, 5, 1, None, first)
    np.testing.assert_array_equal(start + rest, whole)
