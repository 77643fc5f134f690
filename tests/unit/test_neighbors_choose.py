"""The engine is chosen from the rows alone, and every engine offers the same."""

import re

import numpy as np
import pytest

from dsmote.neighbors import (
    BruteSearch,
    DirectSearch,
    MixedSearch,
    NeighborIndex,
    TreeSearch,
    choose_engine,
)
from dsmote.neighbors.tree import intrinsic_dimension

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_intrinsic_dimension_is_that_of_the_spread(rank):
    axes = np.linalg.qr(RNG.normal(size=(20, 20)))[0][:rank]
    sample = RNG.normal(size=(4_000, rank)) @ axes
    assert abs(intrinsic_dimension(sample) - rank) < 0.05 * rank + 1e-9
    assert abs(intrinsic_dimension(1e-9 * sample + 1.0) - rank) < 0.1 * rank
    assert abs(intrinsic_dimension(1e200 * sample) - rank) < 0.1 * rank


def test_degenerate_samples_have_no_dimension():
    for sample in (np.zeros((5, 3)), np.empty((0, 3)), np.ones((1, 2)), np.empty((4, 0))):
        assert intrinsic_dimension(sample) == 0.0


def test_trees_for_few_directions_and_brute_force_for_many():
    low = RNG.normal(size=(512, 4)) @ RNG.normal(size=(4, 30))
    assert choose_engine(50_000, low).name == "tree"
    chosen = choose_engine(50_000, RNG.normal(size=(512, 30)))
    assert chosen.name == "brute"
    assert re.search(r"30 numeric .* about 2\d directions, and above 8 comparing", chosen.why)
    assert isinstance(choose_engine(50_000, low).engine.build(low), TreeSearch)
    brute = chosen.engine
    assert isinstance(brute.build(low), DirectSearch)
    assert isinstance(brute.build(np.zeros((1 << 16, 17))), BruteSearch)


def test_few_rows_are_compared_whatever_their_directions():
    low = RNG.normal(size=(100, 2))
    assert choose_engine(500, low) == choose_engine(500, RNG.normal(size=(100, 30)))
    assert "all of 500 rows" in choose_engine(500, low).why
    assert choose_engine(500, low, fast=True).name == "tree (eps=0.5)"
    assert choose_engine(600, low).name == "tree"


@pytest.mark.parametrize(
    ("numeric", "categorical", "levels", "engine"),
    [
        (3, 0, 1, "tree"),
        (3, 3, 4, "tree"),
        (3, 10, 4, "brute"),
        (3, 30, 4, "brute"),
        (10, 3, 4, "brute"),
        (1, 2, 2, "tree"),
        (3, 30, 1, "tree"),
        (3, 1000, 2, "brute"),
        (1, 800, 10, "brute"),
        # Of columns with very many levels the tree has hardly any corner, and short lists.
        (3, 10, 5000, "tree"),
        (10, 10, 5000, "brute"),
    ],
)
def test_categorical_columns_count_as_directions(numeric, categorical, levels, engine):
    sample = RNG.normal(size=(512, numeric))
    codes = RNG.integers(0, levels, (512, categorical))
    assert choose_engine(6_000, sample, codes, 1.0).name == engine
    # Only which levels are equal counts, and how much they weigh.
    hashed = RNG.permutation(2**20)[:levels].astype(np.uint32)[codes]
    assert choose_engine(6_000, sample, hashed, 1.0).name == engine
    assert choose_engine(6_000, sample, codes, 1e-3).name == choose_engine(6_000, sample).name


def test_samples_of_wide_tables_take_little_memory():
    import tracemalloc

    sample = RNG.normal(size=(512, 4_000))
    tracemalloc.start()
    choose_engine(50_000, sample)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * sample.nbytes  # of all products of pieces at once it was 500 MB


@pytest.mark.parametrize("engine", [TreeSearch, BruteSearch, MixedSearch])
def test_every_engine_offers_the_protocol(engine):
    import pickle

    matrix = RNG.normal(size=(60, 3))
    codes = RNG.integers(0, 3, size=(60, 2)).astype(np.int32)
    index = engine(matrix, codes, 1.0) if engine is MixedSearch else engine(matrix)
    assert isinstance(index, NeighborIndex)
    assert index.n_rows == 60
    assert isinstance(index.engine, str)
    ids = np.array([3, 3, 59])
    distances, found = index.query(ids, 4)
    assert distances.shape == found.shape == (3, 4)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found[0], found[1])
    assert (np.diff(distances, axis=1) >= 0).all()
    again = pickle.loads(pickle.dumps(index)).query(ids, 4)
    np.testing.assert_array_equal(again[1], found)
    none = index.query(np.array([], dtype=np.int64), 4)
    assert none[0].shape == none[1].shape == (0, 4)


def test_an_index_keeps_the_rows_it_is_given():
    matrix = RNG.normal(size=(40, 3))
    before = matrix.copy()
    matrix.flags.writeable = False
    for engine in (TreeSearch, BruteSearch):
        engine(matrix).query(np.arange(40), 3)
    np.testing.assert_array_equal(matrix, before)
