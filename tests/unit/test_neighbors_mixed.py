"""The tree for numbers and names: which levels get a corner, and rows that are hard to tell apart.

That it finds the true neighbours is shown in tests/property.
"""

import sys

import numpy as np
import pytest

from dsmote.neighbors import BruteSearch, MixedSearch, brute, categorical, exact
from tests.tables import naive_neighbours


@pytest.mark.parametrize("corners", [0, 1, 3, 24])
@pytest.mark.parametrize("many", [6, 64, 512])
def test_few_corners_make_it_slower_not_wrong(corners, many, monkeypatch):
    monkeypatch.setattr(brute, "CORNERS", corners)
    for module in (exact, categorical):
        monkeypatch.setattr(module, "_MANY", many)
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 2))
    codes = rng.integers(0, [2, 30], size=(300, 2)).astype(np.int32)
    found = MixedSearch(matrix, codes, 1.2).query(np.arange(300), 5)
    expected = naive_neighbours(matrix, 5, codes, 1.2)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


def test_constant_numbers_leave_the_names_to_decide():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 3, size=(120, 4)).astype(np.int32)
    matrix = np.zeros((120, 2))
    found = MixedSearch(matrix, codes, 1.0).query(np.arange(120), 7)
    np.testing.assert_array_equal(found[1], naive_neighbours(matrix, 7, codes, 1.0)[1])


def test_rows_and_codes_are_not_multiplied_by_the_levels():
    import tracemalloc

    rng = np.random.default_rng(2)
    n, levels = 4_000, 4_000
    matrix = rng.normal(size=(n, 3))
    codes = rng.integers(0, levels, size=(n, 2)).astype(np.int32)
    tracemalloc.start()
    index = MixedSearch(matrix, codes, 1.0)
    index.query(np.arange(200), 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One-hot columns for these rows would take 256 MB.
    assert peak < 128 * 2**20


@pytest.mark.parametrize("search", [MixedSearch, BruteSearch])
@pytest.mark.parametrize(("unit", "weight"), [(2.0**-990, 0.5), (1.0, 1e200)])
def test_names_may_weigh_beyond_all_numbers(search, unit, weight):
    rows = unit * np.random.default_rng(9).normal(size=(60, 2))
    codes = np.arange(60, dtype=np.int32)[:, None] % 30
    distances, neighbours = search(rows, codes, weight).query(np.arange(60), 3)
    assert neighbours[:, 0].tolist() == [(i + 30) % 60 for i in range(60)]
    assert (distances[:, 1:] == weight).all()


@pytest.mark.parametrize("q", [1, 2, 30])
@pytest.mark.parametrize("levels", [2, 5, 300])
def test_rows_that_share_rare_levels_are_listed_once(q, levels):
    rng = np.random.default_rng(q)
    rows, queries = (rng.integers(0, levels, (n, q)).astype(np.int32) for n in (400, 9))
    queries[:, 0] = -1
    rare = rng.random(queries.shape) < 0.5
    owner, found = categorical._Buckets(rows).rows(queries, rare)
    common = ((queries[:, None] == rows) & rare[:, None]).any(axis=2)
    np.testing.assert_array_equal(np.stack([owner, found], axis=1), np.argwhere(common))


def _steps(q: int) -> int:
    """Count the lines of the search that are run for tables of q nominal columns."""
    rng = np.random.default_rng(0)
    # Columns of 40 levels: most are rare, and the lists together are shorter than all rows.
    codes = rng.integers(0, 40 * q, (60, q)).astype(np.int32)
    index = MixedSearch(rng.normal(size=(60, 2)), codes, 1.0)
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(categorical.__file__.rpartition("/")[0]):
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        index.query(np.arange(60), 3)
    finally:
        sys.settrace(before)
    return lines


def test_steps_grow_with_the_columns_not_with_their_square():
    assert _steps(160) < 2.5 * _steps(80)


@pytest.mark.parametrize(("q", "levels"), [(40, 10), (200, 3), (12, 30)])
@pytest.mark.parametrize("own", [True, False])
def test_lists_longer_than_all_rows_are_left_to_brute_force(q, levels, own, monkeypatch):
    rng = np.random.default_rng(3)
    n = 150
    matrix = rng.normal(size=(n, 2))
    codes = rng.integers(0, levels, (n, q)).astype(np.int32)
    codes[::5] = codes[0]
    codes[:40, 1:] = np.arange(40 * (q - 1)).reshape(40, -1) % 97 + levels  # short lists
    index, listed = MixedSearch(matrix, codes, 0.8), []
    original = categorical._Buckets.rows

    def rows(self, queries, rare):
        listed.extend(self.sizes(queries, rare).tolist())
        return original(self, queries, rare)

    monkeypatch.setattr(categorical._Buckets, "rows", rows)
    expected = BruteSearch(matrix, codes, 0.8)
    if own:
        found, true = (search.query(np.arange(n), 6) for search in (index, expected))
        np.testing.assert_array_equal(found[1], naive_neighbours(matrix, 6, codes, 0.8)[1])
    else:
        points = np.concatenate([matrix + 0.1, np.where(codes % 7, codes, -1)], axis=1)
        found, true = (search.query_points(points, 6) for search in (index, expected))
    np.testing.assert_array_equal(found[0], true[0])
    np.testing.assert_array_equal(found[1], true[1])
    assert max(listed, default=0) <= n
