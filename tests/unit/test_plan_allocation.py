"""Allocation: exact totals, uniform bases, and the base row of each new row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from dsmote.plan import allocation, bases_of, copies_with_replacement


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
    monkeypatch.setattr(allocation, "_STEP", 7)
    np.testing.assert_array_equal(copies_with_replacement(20, 1_000, 3, 2), expected)


@pytest.mark.parametrize("other", [(1, 0), (0, 1)])
def test_other_seeds_and_classes_get_other_copies(other):
    one = copies_with_replacement(50, 500, 0, 0)
    assert not np.array_equal(one, copies_with_replacement(50, 500, *other))
