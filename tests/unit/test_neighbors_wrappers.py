"""Neighbours within groups: those of a search over the group alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.neighbors import BruteSearch, GroupedSearch, TreeSearch
from tests.tables import naive_neighbours


def search(rows, groups, k, engine=BruteSearch):
    return GroupedSearch(np.asarray(groups), k + 1, lambda ids: engine(rows[ids]))


@given(
    n=st.integers(1, 40),
    of=st.integers(1, 5),
    k=st.integers(1, 4),
    ties=st.booleans(),
    seed=st.integers(0, 999),
)
def test_as_if_the_group_were_alone(n, of, k, ties, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 3, (n, 2)) * 1.0 if ties else rng.normal(size=(n, 2))
    groups = rng.integers(-1, of, n)
    index = search(rows, groups, k)
    asked = rng.integers(0, n, 10)
    distances, found = index.query(asked, k)
    sizes = np.array([(groups == g).sum() for g in groups])
    np.testing.assert_array_equal(index.lone, (sizes <= k) | (groups < 0))
    for row, lengths, near in zip(asked, distances, found, strict=True):
        if index.lone[row]:
            assert near.tolist() == [row] * k
            assert not lengths.any()
            continue
        members = np.flatnonzero(groups == groups[row])
        expected = naive_neighbours(rows[members], k)
        at = np.searchsorted(members, row)
        np.testing.assert_array_equal(near, members[expected[1][at]])
        np.testing.assert_allclose(lengths, expected[0][at])


def test_what_is_said_of_the_engines():
    rows = np.arange(12.0)[:, None]
    engines = {0: BruteSearch, 6: TreeSearch}
    index = GroupedSearch(
        np.repeat([0, 1, 2], [6, 5, 1]), 2, lambda ids: engines[int(ids[0])](rows[ids])
    )
    assert index.engine == "brute, tree in 2 group(s)"
    assert index.exact
    assert index.n_rows == 12


def test_no_group_is_large_enough():
    index = search(np.arange(3.0)[:, None], [0, 1, 2], 1)
    assert index.engine == "none in 0 group(s)"
    assert index.query(np.array([2, 0]), 1)[1].tolist() == [[2], [0]]


def test_nobody_asks():
    index = search(np.arange(4.0)[:, None], [0, 0, 0, 0], 2)
    distances, found = index.query(np.empty(0, dtype=np.int64), 2)
    assert distances.shape == found.shape == (0, 2)


def test_an_approximate_group_makes_the_whole_approximate():
    rows = np.arange(8.0)[:, None]
    index = GroupedSearch(np.repeat([0, 1], 4), 2, lambda ids: TreeSearch(rows[ids], eps=0.5))
    assert not index.exact


def test_points_have_no_group():
    with pytest.raises(NotImplementedError, match="a point that is not in the index has no group"):
        search(np.arange(4.0)[:, None], [0, 0, 0, 0], 2).query_points(np.zeros((1, 1)), 1)
