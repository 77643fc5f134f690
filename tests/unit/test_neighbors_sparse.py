"""The search of sparse rows finds what brute force finds among the dense ones, to the bit."""

import numpy as np
import pytest
from scipy import sparse

from dsmote.neighbors import BruteIndex
from dsmote.neighbors import sparse as searching
from dsmote.neighbors.sparse import SparseIndex, canonical, group_equal_rows


def numbers(n):
    return np.arange(n, dtype=np.float64)[:, None]


def drawn(n=120, d=30, density=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return sparse.random_array((n, d), density=density, rng=rng, format="csr")


def nearly_equal():
    rows = drawn(60)
    rows.data = 1.0 + rows.data * 1e-15  # squares differ by less than products are rounded
    return rows


def outlying():
    rows = drawn(60)
    rows.data[7] = 1e9
    return rows


TABLES = {
    "drawn": drawn(),
    "ties": drawn().sign(),
    "duplicates": drawn()[np.random.default_rng(1).integers(0, 20, 120)],
    "empty rows": drawn(density=0.02),
    "all empty": sparse.csr_array((12, 5)),
    "dense": drawn(density=1.0),
    "one column": drawn(d=1, density=0.5),
    "nearly equal": nearly_equal(),
    "an outlier": outlying(),
    "large": drawn() * 1e250,
    "small": drawn() * 1e-250,
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_those_of_brute_force(rows, k, monkeypatch):
    rows, n = canonical(rows), rows.shape[0]
    monkeypatch.setattr(searching, "_CELLS", 40 * n)  # several blocks, and several of pairs
    monkeypatch.setattr(searching, "_VALUES", 100)
    dense = rows.toarray()
    index = SparseIndex(rows).build(numbers(n))
    for ours, theirs in zip(
        index.query(np.arange(n), k), BruteIndex().build(dense).query(np.arange(n), k), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    some = np.arange(0, n, 2)
    others = np.arange(1, n, 2)
    index = SparseIndex(rows).build(numbers(n)[some])
    for ours, theirs in zip(
        index.query_points(numbers(n)[others], k),
        BruteIndex().build(dense[some]).query_points(dense[others], k),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_points_far_beyond_the_rows_of_the_index():
    rows = drawn(20)
    rows.data[rows.indptr[10] :] *= 1e300
    rows = canonical(rows)
    found = SparseIndex(rows).build(numbers(10)).query_points(numbers(20)[10:], 3)
    dense = rows.toarray()
    theirs = BruteIndex().build(dense[:10]).query_points(dense[10:], 3)
    np.testing.assert_array_equal(found[1], theirs[1])


def test_a_canonical_copy_leaves_the_original_alone():
    rows = sparse.csr_array(([3.0, 0.0, 1.0, 2.0], [2, 1, 0, 2], [0, 3, 4]), shape=(2, 3))
    made = canonical(rows)
    assert made.indices.tolist() == [0, 2, 2]
    assert rows.indices.tolist() == [2, 1, 0, 2]
    assert rows.data.tolist() == [3.0, 0.0, 1.0, 2.0]


def test_equal_rows_are_found_and_rows_of_one_hash_are_told_apart(monkeypatch):
    rows = canonical(sparse.csr_array([[0, 1.0], [2.0, 0], [0, 1.0], [0, 0], [0, 0]]))
    assert group_equal_rows(rows).of.tolist() == [0, 1, 0, 2, 2]
    monkeypatch.setattr(searching.pd, "factorize", lambda hashes: (np.zeros(len(hashes)), None))
    assert group_equal_rows(rows).distinct
