"""The scan by products: what it keeps holds the true neighbours, and little else."""

import numpy as np
import pytest

from dsmote.neighbors.brute import Points, scan


def scanned(rows, k, dtype):
    """Scan rows against themselves; return what is kept and the true squares."""
    squares = (rows**2).sum(axis=1)
    table = np.concatenate([rows, squares[:, None]], axis=1).astype(dtype)
    lengths = np.sqrt(squares)
    queries = Points(table, lengths)
    kept = scan(queries, lambda a, b: Points(table[a:b], lengths[a:b]), len(rows), k)
    true = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    return kept, true


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3])
def test_every_true_neighbour_is_kept(dtype, spread):
    rng = np.random.default_rng(0)
    rows = rng.choice([-0.5, 0.5], size=(1500, 1)) + spread * rng.uniform(-0.4, 0.4, (1500, 3))
    kept, true = scanned(rows, 4, dtype)
    pairs = {(int(o), int(r)) for o, r in zip(kept.owner, kept.row, strict=True)}
    for query in np.flatnonzero(~kept.lost):
        assert all((query, row) in pairs for row in np.argsort(true[query], kind="stable")[:4])
    assert (np.diff(kept.owner) >= 0).all()


@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 4.1), (np.float64, 4.001)])
def test_hardly_more_than_the_neighbours_are_kept(dtype, most):
    rows = np.random.default_rng(1).uniform(-1, 1, (1000, 5))
    kept, _ = scanned(rows, 4, dtype)
    assert not kept.lost.any()
    assert 4 <= len(kept.owner) / 1000 <= most


def test_queries_with_too_many_ties_are_given_up():
    rows = np.concatenate([np.eye(400), np.zeros((5, 400))])
    kept, _ = scanned(rows, 7, np.float64)
    assert kept.lost[:400].all()  # all of them are equally far from each other
    assert not np.isin(kept.owner, np.flatnonzero(kept.lost)).any()
