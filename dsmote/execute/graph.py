"""Pieces of a Dask graph: a collection's fixed tasks, a known layer, a joining tree."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
from dask._task_spec import GraphNode, Task, TaskRef, convert_legacy_graph
from dask.base import collections_to_expr
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.optimization import cull

__all__ = [
    "FAN_IN",
    "Layer",
    "again",
    "frame_of",
    "freeze",
    "freeze_all",
    "in_one_reading",
    "over_all",
    "tree",
]

FAN_IN = 256  # inputs of a joining task
# Keys of what Dask shuffles by a file: rows come to it in the order in which tasks happen to end.
_THROUGH_A_FILE = ("zpartd-", "shuffle-partition-", "barrier-")
# Keys of what is made of all partitions: there the work on one of them ends.
_JOINTS = ("synthetic-", "barrier-")

_MAY_NOT_MATCH = (
    "rows and labels (or weights, or groups) may not belong together: they are given apart, they "
    "come out of a shuffle or merge by Dask, which puts rows in no fixed order, and at least one "
    "is an array, of which Dask shuffles the rows anew; where the rows were not sorted since, "
    "pass the frame to resample(frame, target=...), or frames and series instead of arrays, or "
    "call persist() on the frame before arrays are made of it"
)


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


def frame_of(
    tasks: Mapping[Any, Any], outputs: list[Any], name: str, like: Any, divisions: Sequence[Any]
) -> Any:
    """Make a frame or series from the keys of its partitions.

    Where one is computed together with an array or a delayed object, Dask takes each task that no
    other asks for to be the result, whichever comes first: there must be none that is not needed.
    """
    needed, _ = cull(tasks, outputs)
    return dd.from_graph(Layer(needed, name), like, divisions, outputs, "dsmote")


def freeze(collection: Any) -> tuple[dict[Any, Any], list[Any]]:
    """Return a collection's optimised graph and the keys of its partitions, in order.

    The optimiser may merge Parquet partitions under column projection, and not alike for X and
    y; that step is switched off, so that there are as many keys as the collection has partitions.
    """
    with dask.config.set({"optimization.tune.active": False}):
        # dask.optimize() on a projected frame can return tasks that skip the projection.
        is_array = isinstance(collection, da.Array)
        fixed = dask.optimize(collection)[0] if is_array else collection.optimize()
        return _named(fixed)


def _named(fixed: Any) -> tuple[dict[Any, Any], list[Any]]:
    """Return a graph in which every task has its own name, and the keys of the partitions."""
    graph, keys = dict(fixed.__dask_graph__()), fixed.__dask_keys__()
    for key, node in graph.items():
        # from_delayed leaves aliases that bear their target's name instead of their own, over
        # which the array optimiser stumbles; a bare key is an alias too.
        if getattr(node, "key", key) != key:
            graph[key] = node.target
    while len(keys) and isinstance(keys[0], list):
        keys = [key for row in keys for key in row]
    return graph, keys


def freeze_all(collections: Sequence[Any]) -> tuple[dict[Any, Any], list[list[Any] | None]]:
    """Return the tasks of collections that belong together, and each one's keys, in order.

    A shuffle does not say in which order rows come, and Dask makes another one of a frame without
    its target than of the target alone. So that rows and targets match, frames are frozen together
    where one was shuffled; otherwise apart, so that of each no more is read than it needs.

    Parameters
    ----------
    collections : sequence of collections, and None
    """
    frozen = [None if c is None else freeze(c) for c in collections]
    frames = [i for i, c in enumerate(collections) if hasattr(c, "expr")]
    if len(frames) > 1 and any(_shuffled(part[0]) for part in frozen if part is not None):
        with dask.config.set({"optimization.tune.active": False}):
            together = collections_to_expr([collections[i] for i in frames]).optimize()
            per_frame = together.__dask_keys__()
            graph, _ = _named(together)
        for i, keys in zip(frames, per_frame, strict=True):
            frozen[i] = graph, list(keys)
    orders = {_disorder(part[0]) for part in frozen if part is not None}
    if len(orders) > 1:
        warnings.warn(_MAY_NOT_MATCH, UserWarning, stacklevel=2)
    graph = {}
    for part in frozen:
        graph |= {} if part is None else part[0]
    return graph, [None if part is None else part[1] for part in frozen]


def _shuffled(graph: Mapping[Any, Any]) -> bool:
    return any(not _repeatable(key, node) for key, node in graph.items())


def _disorder(graph: Mapping[Any, Any]) -> frozenset[Any]:
    """Return the keys of the shuffles in a graph that say nothing of the order of rows.

    Collections whose rows went through the same ones have their rows in the same order. Chunks of
    arrays that travel between workers are put together in order, and so are none of them.
    """
    found = set()
    for key, node in graph.items():
        name = str(key[0] if isinstance(key, tuple) else key)
        if name.startswith(_THROUGH_A_FILE) or (
            name.startswith("shuffle-barrier-")
            and not any("rechunk" in str(d) for d in getattr(node, "dependencies", ()))
        ):
            found.add(key)
    return frozenset(found)


def again(
    graph: Mapping[Any, Any], token: str, after: Any = None
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return a graph's tasks under other keys, so that they run a second time.

    With the key of a task as `after`, none of them starts before it: what is read is held until it
    can be used, and idle workers would read all of it while others prepare that use.

    Tasks that Dask's own machinery knows by more than their key (a shuffle between workers) or that
    hold a result (a future) are not repeated, and what depends on them asks for the first. Nor are
    those that write the file of a shuffle: it is read once more, so that rows come in one order.

    Returns
    -------
    graph : dict
    names : dict
        The new key of each that is repeated.
    """

    def renamed(key: Any) -> Any:
        return (f"{key[0]}-{token}", *key[1:]) if isinstance(key, tuple) else f"{key}-{token}"

    names = {key: renamed(key) for key, node in graph.items() if _repeatable(key, node)}
    copies: dict[Any, Any] = {}
    for key, new in names.items():
        node = graph[key]
        if hasattr(node, "substitute"):
            others = {d: names[d] for d in node.dependencies if d in names}
            copies[new] = node.substitute(others, key=new)
            if after is not None and not node.dependencies and callable(node):
                copies[new] = (partial(_then, copies[new]), after)
        else:
            copies[new] = _with_names(node, names)
    return copies, names


def _then(task: Callable[[], Any], _: Any) -> Any:
    """Run a task that depends on nothing."""
    return task()


def _repeatable(key: Any, node: Any) -> bool:
    name = key[0] if isinstance(key, tuple) else key
    if isinstance(name, str) and name.startswith(_THROUGH_A_FILE):
        return False
    return type(node).__module__.split(".")[0] != "distributed"


def _with_names(value: Any, names: Mapping[Any, Any]) -> Any:
    """Rename the keys in a task that is a tuple, or a bare key."""
    try:
        if value in names:
            return names[value]
    except TypeError:
        pass  # not hashable, so no key
    if type(value) in (tuple, list):
        return type(value)(_with_names(part, names) for part in value)
    return value


def tree(
    tasks: dict[Any, Any],
    level: list[Any],
    name: str,
    joined: Any,
    last: Any = None,
    fan_in: int = FAN_IN,
) -> Any:
    """Add tasks that join the keys of `level`, `fan_in` at a time and in order, down to one."""
    depth = 0
    while len(level) > fan_in:
        above = []
        for i in range(0, len(level), fan_in):
            above.append((f"{name}-{depth}", i // fan_in))
            tasks[above[-1]] = (joined, level[i : i + fan_in])
        level, depth = above, depth + 1
    tasks[(name, 0)] = (last or joined, level)
    return (name, 0)


def _users(graph: Mapping[Any, Any], wanted: Iterable[Any]) -> dict[Any, list[Any]]:
    """Return who needs each task; what is asked for is needed from outside, too."""
    users: dict[Any, list[Any]] = {key: [None] for key in wanted}
    for key, node in graph.items():
        for below in node.dependencies:
            users.setdefault(below, []).append(key)
    return users


def fused(tasks: Mapping[Any, Any], tops: Sequence[Any], wanted: Sequence[Any]) -> dict[Any, Any]:
    """Make one task of each of some that work on one partition and of those that only it needs."""
    graph: dict[Any, Any] = convert_legacy_graph(cull(convert_legacy_graph(tasks), [*wanted])[0])
    users = _users(graph, wanted)
    for top in tops:
        chain = [graph[top]]
        while len(chain[-1].dependencies) == 1:
            (below,) = chain[-1].dependencies
            name = str(below[0] if isinstance(below, tuple) else below)
            apart = below not in graph or name.startswith((*_JOINTS, *_THROUGH_A_FILE))
            if apart or len(users[below]) > 1:
                break
            chain.append(graph.pop(below))
        if len(chain) > 1:
            graph[top] = GraphNode.fuse(*chain, key=top)
    return graph


def in_one_reading(
    tasks: Mapping[Any, Any], writes: Sequence[Any], rest: Sequence[Any]
) -> dict[Any, Any]:
    """Let one task read a partition, take class rows out of it, and write it.

    Parameters
    ----------
    tasks : mapping
    writes : sequence of keys
        Of the tasks that write a partition each.
    rest : sequence of keys
        What else is asked for.
    """
    wanted = [*writes, *rest]
    graph = fused(tasks, writes, wanted)
    users = _users(graph, wanted)
    for write in writes:
        if len(graph[write].dependencies) != 1:
            continue
        (read,) = graph[write].dependencies
        takes = [key for key in users[read] if key != write]
        alone = len(takes) == 1 and read in graph and not graph[read].dependencies
        if alone and isinstance(takes[0], tuple) and str(takes[0][0]).startswith("extract-"):
            (take,) = takes
            both = partial(_taken_and_written, graph.pop(read), graph[take], graph[write])
            graph[take] = Task(take, both)
            graph[write] = Task(write, attrgetter("written"), TaskRef(take))
    return graph


def _taken_and_written(read: Any, take: Any, write: Any) -> Any:
    values = {read.key: read()}
    return replace(take(values), written=write(values))


def over_all(
    tasks: Mapping[Any, Any],
    rows: Iterable[tuple[Any, ...]],
    name: str,
    look: Callable[..., Any],
    joined: Callable[[list[Any]], Any],
    fan_in: int = FAN_IN,
) -> Any:
    """Compute something of every partition, and join it in their order: one pass over the data.

    Parameters
    ----------
    tasks : mapping
        The graph in which the partitions are.
    rows : iterable of tuple
        The keys that `look` is called with, for each partition.
    name : str
        Of the new tasks; it tells them from those of other passes.
    look : callable
    joined : callable
        Takes a list of what `look` or itself returned, of at most `fan_in`.
    """
    level: list[Any] = []
    graph = dict(tasks)
    for i, keys in enumerate(rows):
        level.append((name, i))
        graph[level[-1]] = (look, *keys)
    top = tree(graph, level, f"joined-{name}", joined, fan_in=fan_in)
    graph = fused(graph, level, [top])
    whole = HighLevelGraph.from_collections(name, graph, dependencies=())
    (found,) = dask.compute(Delayed(top, whole, layer=name))
    return found
