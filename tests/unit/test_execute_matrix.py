"""A matrix of floats gives what a frame of the same values gives."""

import os

import numpy as np
import pandas as pd
import pytest

from dsmote.execute.extract import Take, extract
from dsmote.execute.partition import Partition, profile
from dsmote.execute.resources import thread_pool
from dsmote.plan import make_schema


def table(dtype="f8", broken=False):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 10)).astype(dtype)
    if broken:
        X[3, 1], X[5, 2], X[1990, 2] = np.nan, np.inf, -np.inf
    y = np.where(np.arange(2000) % 3 == 0, "b", "a").astype(object)
    return X, y, make_schema(list(range(10)), [X.dtype] * 10)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("scale", [None, "robust"])
def test_profiles_are_equal(dtype, broken, scale):
    X, y, schema = table(dtype, broken)
    mine = profile(X, pd.Series(y), schema, scale, whole=True)
    other = profile(pd.DataFrame(X), pd.Series(y), schema, scale)
    for name in ("rows", "counts", "usable", "missing_target", "missing", "infinite"):
        assert getattr(mine, name) == getattr(other, name), name
    assert list(mine.sample) == list(other.sample)
    for label, some in other.sample.items():
        for found, expected in zip(mine.sample[label], some, strict=True):
            assert np.array_equal(found, expected)
    assert len(mine.moments) == len(other.moments)
    for a, b in zip(mine.moments, other.moments, strict=True):
        assert str(a) == str(b)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_extracts_are_equal(dtype):
    X, y, schema = table(dtype, broken=True)
    take = Take(schema, {"b": 1}, skip=True, ranks={"a": 0, "b": 1}, quotas={0: 7, 1: 500})
    mine = extract(X, y, take=take)
    other = extract(pd.DataFrame(X), pd.Series(y), take=take)
    assert mine.counts == other.counts
    assert mine.lengths == other.lengths == (len(X),)
    assert list(mine.rows) == [1]
    assert np.array_equal(mine.rows[1].numeric, other.rows[1].numeric)
    assert np.array_equal(mine.rows[1].numbers, other.rows[1].numbers)
    assert sorted(mine.sample) == sorted(other.sample)
    assert mine.sample
    for rank, sample in mine.sample.items():
        assert np.array_equal(sample.numbers, other.sample[rank].numbers)
        assert np.array_equal(sample.numeric, other.sample[rank].numeric)
    with pytest.raises(ValueError, match=r"1 \(1 missing\).*|0 missing"):
        extract(X, y, take=Take(schema, {"b": 1}))


def test_missing_labels_are_refused():
    X, y, schema = table()
    y[7] = None
    assert profile(X, y, schema, whole=True).missing_target == 1
    with pytest.raises(ValueError, match="missing in 1 row"):
        extract(X, y, take=Take(schema, {}))


def test_only_floats_are_a_matrix():
    X, _, schema = table()
    assert Partition(X).matrix(schema) is X
    assert Partition(pd.DataFrame(X)).matrix(schema) is None
    whole = make_schema(range(10), [np.dtype("i8")] * 10)
    assert Partition(X.astype(int)).matrix(whole) is None
    assert Partition(X).matrix(make_schema(range(10), [X.dtype] * 10, carry=[3])) is None


def test_the_pool_is_kept():
    assert thread_pool() is not thread_pool()
    assert thread_pool()[1] is thread_pool()[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    _, pool = thread_pool()
    pool.submit(int).result()
    child = os.fork()
    if child == 0:  # in the child the parent's threads are gone; waiting for them would hang
        ok = thread_pool()[1].submit(int).result(timeout=10) == 0
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
