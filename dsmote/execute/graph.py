"""Pieces of a Dask graph: a collection's fixed tasks, a known layer, a joining tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dask
import dask.array as da

__all__ = ["FAN_IN", "Layer", "freeze", "tree"]

FAN_IN = 256  # inputs of a joining task


class Layer(Mapping[Any, Any]):
    """A graph that is known by its token, so that Dask need not hash its every task."""

    def __init__(self, tasks: dict[Any, Any], token: str) -> None:
        self._tasks = tasks
        self._token = token

    def __getitem__(self, key: Any) -> Any:
        return self._tasks[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __dask_tokenize__(self) -> str:
        return self._token


def freeze(collection: Any) -> tuple[dict[Any, Any], list[Any]]:
    """Return a collection's optimised graph and the keys of its partitions, in order.

    The optimiser may merge Parquet partitions under column projection, and not alike for X and
    y; that step is switched off, so that there are as many keys as the collection has partitions.
    """
    with dask.config.set({"optimization.tune.active": False}):
        # dask.optimize() on a projected frame can return tasks that skip the projection.
        is_array = isinstance(collection, da.Array)
        fixed = dask.optimize(collection)[0] if is_array else collection.optimize()
        graph = dict(fixed.__dask_graph__())
        keys = fixed.__dask_keys__()
    for key, node in graph.items():
        # from_delayed leaves aliases that bear their target's name instead of their own, over
        # which the array optimiser stumbles; a bare key is an alias too.
        if getattr(node, "key", key) != key:
            graph[key] = node.target
    while keys and isinstance(keys[0], list):
        keys = [key for row in keys for key in row]
    return graph, keys


def tree(tasks: dict[Any, Any], level: list[Any], name: str, joined: Any, last: Any = None) -> Any:
    """Add tasks that join the keys of `level`, FAN_IN at a time and in order, down to one."""
    depth = 0
    while len(level) > FAN_IN:
        above = []
        for i in range(0, len(level), FAN_IN):
            above.append((f"{name}-{depth}", i // FAN_IN))
            tasks[above[-1]] = (joined, level[i : i + FAN_IN])
        level, depth = above, depth + 1
    tasks[(name, 0)] = (last or joined, level)
    return (name, 0)
