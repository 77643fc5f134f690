"""Searches where they are hard: ties, rounding, far points, memory. On any rows: tests/property."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsmote.neighbors import (
    BruteSearch,
    DirectSearch,
    MixedSearch,
    TreeSearch,
    exact,
)
from dsmote.neighbors.exact import group_equal_rows
from tests.tables import assert_same, naive_neighbours

SEARCHES = [TreeSearch, BruteSearch, DirectSearch]
RNG = np.random.default_rng(5)


def _mixed(rows):
    return MixedSearch(rows, np.empty((len(rows), 0), dtype=np.int32), 0.0)


# ---- equal rows, and the unit


@pytest.mark.parametrize("way", ["dictionary", "hashes", "one hash for all"])
@given(
    matrix=arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.integers(0, 2)),
        elements=st.sampled_from([0.0, -0.0, 1.0, 2.0]),
    ),
    data=st.data(),
)
def test_groups_are_the_equal_rows(way, matrix, data):
    codes = data.draw(arrays.arrays(np.int32, (len(matrix), 1), elements=st.integers(0, 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_FEW_ROWS", 32 if way == "dictionary" else 0)
        if way == "one hash for all":
            patch.setattr(exact, "_hash_rows", lambda m, c: np.zeros(len(m), dtype=np.uint64))
        groups = group_equal_rows(matrix, codes)
    keys = [(*row, *code) for row, code in zip(matrix.tolist(), codes.tolist(), strict=True)]
    order = list(dict.fromkeys(keys))
    assert groups.of.tolist() == [order.index(key) for key in keys]
    assert groups.n_unique == len(order)
    assert groups.first.tolist() == [keys.index(key) for key in order]
    for u in range(groups.n_unique):
        members = groups.members[groups.starts[u] : groups.starts[u + 1]].tolist()
        assert members == [i for i, key in enumerate(keys) if key == order[u]]


# ---- rows that are hard to tell apart


def _two_clumps(spread):
    return RNG.choice([-1.0, 1.0], size=(800, 1)) + spread * RNG.normal(size=(800, 3))


def _hidden_digits():
    """Rows that differ along axes which the largest values leave out."""
    clump = np.array([0.9, 0.8, -1.7]) * (1 + RNG.integers(-6, 7, size=(500, 3)) * 2.0**-52)
    return np.unique(np.concatenate([clump, -clump, [[1e15] * 3, [-1e15] * 3]]), axis=0)


HARD = {
    **{f"two clumps of {spread:g}": _two_clumps(spread) for spread in (0.1, 1e-5, 1e-7, 1e-9)},
    "rows far out": RNG.normal(size=(900, 4)) * np.where(np.arange(900) % 50, 1, 1e9)[:, None],
    "one huge value": np.append(RNG.normal(size=(200, 3)), [[1e160, 0.0, 0.0]], axis=0),
    "another": np.append(RNG.normal(size=(200, 3)), [[1e200, 0.0, 0.0]], axis=0),
    "all equally far": np.eye(400),
    "hidden digits": _hidden_digits(),
    "squares underflow": np.append(1e-162 * RNG.normal(size=(900, 3)), np.eye(3), axis=0),
}


@cache
def nearest_of(name):
    with np.errstate(over="ignore", invalid="ignore"):
        return naive_neighbours(HARD[name], 5)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", HARD)
def test_rows_that_are_hard_to_tell_apart(name, search):
    rows, expected = HARD[name], nearest_of(name)
    known = np.flatnonzero(np.isfinite(expected[0]).all(axis=1))  # not those that are far out
    found = search(rows).query(known, 5)
    assert_same(found, [part[known] for part in expected])


# ---- points that are not in the index


@pytest.mark.parametrize("search", [*SEARCHES, _mixed])
@pytest.mark.parametrize("far", [1e30, 1e100, 1e155, 1e200, 1e300])
@pytest.mark.parametrize(("constant", "unit"), [(0, 1.0), (2, 2.0**-1000), (2, 2.0**-300)])
def test_points_whose_squares_overflow_are_infinitely_far(search, far, constant, unit, rng):
    rows = unit * rng.normal(size=(700, 3))
    rows[:, 3 - constant :] = 7.0 * unit
    points = np.array([[0.0, 0.0, far], rows[5], [-far, far, far]])
    distances, neighbours = search(rows).query_points(points, 3)
    assert (np.isinf(distances[[0, 2]]) | (far < 1e150)).all()
    assert neighbours[[0, 2]].tolist() == [[0, 1, 2]] * 2
    assert neighbours[1, 0] == 5


# ---- memory
