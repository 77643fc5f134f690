"""The tree for numbers and names: which levels get a corner, and rows that are hard to tell apart.

That it finds the true neighbours is shown in tests/property.
"""

import numpy as np
import pytest

from dsmote.neighbors import BruteSearch, MixedSearch, exact
from dsmote.neighbors import corners as names
from tests.tables import naive_neighbours


@pytest.mark.parametrize("corners", [0, 1, 3, 24])
@pytest.mark.parametrize("many", [6, 64, 512])
def test_few_corners_make_it_slower_not_wrong(corners, many, monkeypatch):
    monkeypatch.setattr(names, "CORNERS", corners)
    monkeypatch.setattr(exact, "_MANY", many)
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
