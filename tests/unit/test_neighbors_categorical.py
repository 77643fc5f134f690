"""Mixed rows: rare levels and long lists (their truth: tests/property). Value differences."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmote.neighbors import BruteSearch, MixedSearch, exact
from dsmote.neighbors.categorical import ValueDifferenceSearch, level_probabilities
from tests.tables import assert_same, peak_of


@pytest.mark.parametrize("search", [MixedSearch, BruteSearch])
@pytest.mark.parametrize(("unit", "weight"), [(2.0**-990, 0.5), (1.0, 1e200)])
def test_categories_may_outweigh_all_numbers(search, unit, weight, rng):
    codes = np.arange(60, dtype=np.int32)[:, None] % 30
    index = search(unit * rng.normal(size=(60, 2)), codes, weight)
    distances, neighbours = index.query(np.arange(60), 3)
    assert neighbours[:, 0].tolist() == [(i + 30) % 60 for i in range(60)]
    assert (distances[:, 1:] == weight).all()


# ---- value differences


ENGINES = ["auto", "tree", "brute"]
EACH = pytest.mark.parametrize("engine", ENGINES)


def drawn(n, n_levels, n_classes):
    """Return the rows of one class of a table, and the probabilities of levels in all of it."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, n_levels, size=(n, len(n_levels))).astype(np.int32)
    y = rng.integers(0, n_classes, size=n)
    tables = []
    for f, levels in enumerate(n_levels):
        counts = np.zeros((levels, n_classes), dtype=np.int64)
        np.add.at(counts, (codes[:, f], y), 1)
        tables.append(level_probabilities(counts))
    return codes[y == 0], tables


def naive(points, codes, tables, k, selves=None):
    """Look at all pairs, adding up in the order in which the index does."""
    squares = np.zeros((len(points), len(codes)))
    for f, table in enumerate(tables):
        table = np.concatenate([table, np.zeros((1, table.shape[1]))])  # code -1
        length = np.zeros(squares.shape)
        for of_class in table.T:
            length += np.abs(of_class[points[:, f], None] - of_class[codes[:, f]])
        squares += length * length
    if selves is not None:
        squares[np.arange(len(points)), selves] = np.inf
    ids = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squares, ids, 1)), ids


def assert_nearest(index, codes, tables, k):
    """To the bit, ties and all."""
    ids = np.arange(len(codes))
    assert_same(index.query(ids, k), naive(codes, codes, tables, k, ids))


@given(data=st.data(), engine=st.sampled_from(ENGINES), many=st.sampled_from([6, 512]))
def test_finds_what_a_naive_search_finds(data, engine, many):
    n_classes = data.draw(st.sampled_from([1, 2, 2, 3, 5, 9]))
    n_levels = data.draw(st.lists(st.sampled_from([1, 2, 3, 7, 40]), min_size=1, max_size=5))
    n = data.draw(st.integers(2, 120))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    codes = rng.integers(0, n_levels, size=(n, len(n_levels))).astype(np.int32)
    if data.draw(st.booleans()):  # rows that occur several times
        codes = codes[rng.integers(0, max(1, n // 4), size=n)]
    high = data.draw(st.sampled_from([2, 4, 1000]))  # many zeros; equal levels; all different
    tables = [level_probabilities(rng.integers(0, high, size=(x, n_classes))) for x in n_levels]
    k = data.draw(st.integers(1, n - 1))
    points = np.stack([rng.integers(-1, levels, size=20) for levels in n_levels], axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_MANY", many)
        index = ValueDifferenceSearch(codes, tables, engine)
        assert_nearest(index, codes, tables, k)
        assert_same(index.query_points(points, k), naive(points, codes, tables, k))


def _never_occurred(n_classes):
    rng = np.random.default_rng(4)
    tables = [level_probabilities(rng.integers(0, 20, size=(15, n_classes))) for _ in range(3)]
    for table in tables:
        table[::3] = 0.0
    return rng.integers(-1, 15, size=(800, 3)).astype(np.int32), tables


LARGE = {
    "two classes": drawn(3_000, [5, 30, 12, 8], 2),
    "one column": drawn(2_000, [400], 2),
    "many columns": drawn(4_500, [2] * 12, 3),
    "levels of one class only: ties everywhere": (drawn(1_500, [5] * 5, 1)[0], [np.eye(5)] * 5),
    "levels that never occurred": _never_occurred(3),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_enough_for_a_tree_and_several_tiles(name):
    codes, tables = LARGE[name]
    ids = np.arange(len(codes))
    expected = naive(codes, codes, tables, 5, ids)
    for engine in ENGINES:
        assert_same(ValueDifferenceSearch(codes, tables, engine).query(ids, 5), expected)


def test_a_level_that_never_occurred_may_be_nearer_than_its_point():
    # To a level of probabilities 0 all others are at 1; as points, even ones at 0, pure ones at
    # 4/3. So the tree meets six rows at 1.1 and one at 1.2 before the pure one, truly at 1.
    share = np.sqrt([0.0, 0.1, 0.1001, 0.1002, 0.1003, 0.1004, 0.1005, 1.2, 1.21, 1.22]) / 2
    along = np.stack([share, 1 - share, np.zeros(10)], axis=1)
    codes = np.array([[0, j] for j in range(1, 10)] + [[1, 0]], dtype=np.int32)
    index = ValueDifferenceSearch(codes, [np.array([[1 / 3] * 3, [0, 0, 1.0]]), along], "tree")
    distances, ids = index.query_points(np.array([[-1, 0]]), 5)
    assert ids.tolist() == [[9, 0, 1, 2, 3]]
    np.testing.assert_allclose(distances**2, [[1, 1.1, 1.1001, 1.1002, 1.1003]])


@EACH
@pytest.mark.parametrize("n_columns", [0, 1, 3])
def test_constant_columns_leave_row_numbers_to_decide(engine, n_columns):
    codes = np.zeros((300, n_columns), dtype=np.int32)
    index = ValueDifferenceSearch(codes, [np.array([[0.25, 0.75]])] * n_columns, engine)
    distances, ids = index.query(np.array([0, 2, 299]), 3)
    assert ids.tolist() == [[1, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert not distances.any()


def test_many_levels_classes_and_columns_take_bounded_memory(rng):
    table = level_probabilities(rng.integers(0, 9, size=(10_000, 23)))
    codes = rng.integers(0, 10_000, size=(3_000, 40)).astype(np.int32)
    tracemalloc.start()
    index = ValueDifferenceSearch(codes, [table] * 40, "tree")
    # The tables hold 74 MB, the places of their levels on the tree's axes 51 MB.
    assert tracemalloc.get_traced_memory()[0] < 144 * 2**20
    tracemalloc.stop()
    ids, found = np.arange(8), []
    assert peak_of(lambda: found.append(index.query(ids, 5))) < 48 * 2**20
    np.testing.assert_array_equal(found[0][1], naive(codes[:8], codes, [table] * 40, 5, ids)[1])


def test_probabilities_of_levels():
    found = level_probabilities(np.array([[1, 3, 0], [0, 0, 0], [2, 2, 4]]))
    assert found.tolist() == [[0.25, 0.75, 0.0], [0.0, 0.0, 0.0], [0.25, 0.25, 0.5]]
    assert level_probabilities(np.empty((0, 3), dtype=int)).shape == (0, 3)
