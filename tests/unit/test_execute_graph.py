"""Pieces of a graph: fixed partitions and joining trees."""

from itertools import chain

import dask
import numpy as np
import pytest

from dsmote.execute.graph import FAN_IN, Layer, freeze, tree
from tests.tables import dask_array, dask_frame, even, numbers

TABLE = numbers(60, 12)


@pytest.mark.parametrize("parts", [1, 7])
def test_frozen_collections_have_their_partitions(parts):
    frame = dask_frame(TABLE, even(60, parts))
    array = dask_array(TABLE.to_numpy(), even(60, parts))
    for collection in (frame, frame["a"], frame[["a", "y"]], array, array[:, 0]):
        graph, keys = freeze(collection)
        assert len(keys) == parts
        found = dask.get(graph, keys)
        assert sum(len(part) for part in found) == 60


@pytest.mark.parametrize("n", [1, FAN_IN, FAN_IN + 1, 3 * FAN_IN, 20_000])
def test_trees_join_in_order(n):
    tasks = {("leaf", i): (lambda i=i: [i],) for i in range(n)}
    level = list(tasks)
    top = tree(tasks, level, "join", lambda parts: list(chain(*parts)))
    assert dask.get(tasks, top) == list(range(n))
    joints = len(tasks) - n
    assert joints <= 2 + -(-n // FAN_IN) + -(-n // FAN_IN**2)
    for key in tasks:
        if key[0] != "leaf":
            assert len(tasks[key][1]) <= FAN_IN


def test_the_last_joint_may_be_another():
    tasks = {("leaf", i): (lambda i=i: i,) for i in range(600)}
    top = tree(tasks, list(tasks), "join", sum, lambda parts: ("whole", sum(parts)))
    assert dask.get(tasks, top) == ("whole", 600 * 599 // 2)


def test_layers_are_known_by_their_token():
    layer = Layer({("a", 0): 1}, "token")
    assert dict(layer) == {("a", 0): 1}
    assert len(layer) == 1
    assert dask.base.tokenize(layer) == dask.base.tokenize(Layer({("b", 0): np.zeros(9)}, "token"))
