r"""The one list of tasks from the input's partitions to one index a class; and who runs it.

Dask runs it as a graph; for a table in memory, which is one partition, :func:`interpret` does.

::

    partitions          p0 ---- p1 ---- ...             read once for these, and passed on
    extract             e0      e1                      class rows, and a sample for the model
                          \    /
    gather                 `--'                         256 at a time, in order
                            | \
    fit                     |  model                    where the recipe has one
                            |
    queries              q(A, 0) ...                    batches of the rows of a class
                            |
    partitions again    r0 ---- r1 ---- ...             read a second time, where all rows must be
    nearest, survey     n0      n1                      seen after the class rows are known
                          \    /
    index                 i(A)                          one node a class: recomputable

The second reading has keys of its own: were the first partitions used again, all of them would have
to be held until the last has been read. It begins when the class rows are gathered and the model is
fitted: workers that are idle meanwhile would read, and hold, what nobody can use yet. What cannot
be made twice (a shuffle between workers, partitions that are persisted) is shared all the same.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, count, repeat, starmap
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
from dask.base import collections_to_expr
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.optimization import cull

from dsmote.execute.extract import (
    BATCH,
    Each,
    extract,
    join_batches,
    join_extracts,
    merge_nearest,
    nearest_here,
    queries_of,
    reference_rows,
    take_of,
)
from dsmote.execute.generate import build_class_index, fit_model
from dsmote.execute.recipe import NearestOfAll, Task
from dsmote.execute.resources import compute, single_threaded
from dsmote.plan import COPY, ClassPlan, Plan

if TYPE_CHECKING:
    from dsmote.execute.cells import Cells
    from dsmote.execute.chunks import Chunks

FAN_IN = 256  # inputs of a joining task
_FEW = 8  # of one that joins lists of neighbours, or samples: each is large
# Keys of what Dask shuffles by a file: rows come to it in the order in which tasks happen to end.
_THROUGH_A_FILE = ("zpartd-", "shuffle-partition-", "barrier-")
# Keys of what is made of all partitions: there the work on one of them ends.
_JOINTS = ("synthetic-", "barrier-")
# Tasks that are not run again where a table is read a second time.
_ONCE = ("neighbours-", "decide-")

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


def collect(
    like: Any,
    tasks: Mapping[Any, Any],
    outputs: list[Any],
    name: str,
    lengths: Sequence[int],
    divisions: Sequence[Any] | None = None,
) -> Any:
    """Make a collection from the keys of its partitions; arrays want to know the lengths."""
    if isinstance(like, da.Array):
        tail = (0,) * (like.ndim - 1)
        tasks = {**tasks, **{(name, i, *tail): key for i, key in enumerate(outputs)}}
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
        chunks = (tuple(lengths), *like.chunks[1:])
        return da.Array(graph, name, chunks, meta=like._meta, dtype=like.dtype)
    like = like._meta if isinstance(like, dd.DataFrame | dd.Series) else like
    return frame_of(tasks, outputs, name, like, divisions or (None,) * (len(outputs) + 1))


def lazily(tasks: Mapping[Any, Any], name: str, of: Callable[[Any], Any], key: Any) -> Delayed:
    """Return what a function makes of a task's result."""
    graph = HighLevelGraph.from_collections(name, {**tasks, name: (of, key)}, dependencies=())
    return Delayed(name, graph, layer=name)


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


class Inputs:
    """The fixed partitions of a table's collections.

    `graph` has all their tasks; `columns` are the keys of X, of the target, of the weights and of
    the groups (None where there are none), in order of partitions.
    """

    def __init__(self, graph: dict[Any, Any], columns: Sequence[Sequence[Any] | None]) -> None:
        self.graph = graph
        self.columns = columns

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the arguments that a task over each partition takes."""
        n = len(self.columns[0] or ())
        columns = [[None] * n if keys is None else list(keys) for keys in self.columns]
        while len(columns) > 1 and columns[-1] == [None] * n:
            columns.pop()
        return list(zip(*columns, strict=True))

    def again(self, token: str, after: Any = None) -> Inputs:
        """Return the same inputs under other keys, to be read once more after a task."""
        graph, names = again(self.graph, token, after)
        columns = [k if k is None else [names.get(key, key) for key in k] for k in self.columns]
        return Inputs(graph, columns)


def freeze_all(collections: Sequence[Any]) -> Inputs:
    """Fix the partitions of collections that belong together.

    A shuffle does not say in which order rows come, and Dask makes another one of a frame without
    its target than of the target alone. So that rows and targets match, frames are frozen together
    where one was shuffled; otherwise apart, so that of each no more is read than it needs.
    """
    frozen = {i: freeze(c) for i, c in enumerate(collections) if c is not None}
    frames = [i for i in frozen if hasattr(collections[i], "expr")]
    every = chain.from_iterable(graph.items() for graph, _ in frozen.values())
    if len(frames) > 1 and not all(starmap(_repeatable, every)):
        with dask.config.set({"optimization.tune.active": False}):
            together = collections_to_expr([collections[i] for i in frames]).optimize()
            per_frame = together.__dask_keys__()
            graph, _ = _named(together)
        for i, keys in zip(frames, per_frame, strict=True):
            frozen[i] = graph, list(keys)
    if len({_disorder(graph) for graph, _ in frozen.values()}) > 1:
        warnings.warn(_MAY_NOT_MATCH, UserWarning, stacklevel=2)
    tasks: dict[Any, Any] = {}
    for graph, _ in frozen.values():
        tasks |= graph
    return Inputs(tasks, [frozen[i][1] if i in frozen else None for i in range(len(collections))])


def _disorder(graph: Mapping[Any, Any]) -> frozenset[Any]:
    """Return the keys of the shuffles in a graph after which rows are in no fixed order.

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
    those that write the file of a shuffle: it is read once more, so that rows come in one order;
    and indexes and decisions of an earlier step of a chain, which cost more than all else.
    """

    def renamed(key: Any) -> Any:
        return (f"{key[0]}-{token}", *key[1:]) if isinstance(key, tuple) else f"{key}-{token}"

    names = {
        key: renamed(key)
        for key, node in graph.items()
        if _repeatable(key, node) and not (isinstance(key, tuple) and str(key[0]).startswith(_ONCE))
    }
    copies: dict[Any, Any] = {}
    for key, new in names.items():
        node = graph[key]
        first = node[0] if type(node) is tuple and node else getattr(node, "func", None)
        if after is not None and getattr(first, "func", None) is _then:
            copies[new] = (first, after)  # read a second time in an earlier step, too
        elif hasattr(node, "substitute"):
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
        some = [level[i : i + fan_in] for i in range(0, len(level), fan_in)]
        level = add_each(tasks, f"{name}-{depth}", joined, zip(some))
        depth += 1
    tasks[(name, 0)] = (last or joined, level)
    return (name, 0)


def add_each(
    tasks: dict[Any, Any], name: str, function: Callable[..., Any], rows: Iterable[tuple[Any, ...]]
) -> list[Any]:
    """Add a task for each tuple of arguments; return the keys of the tasks."""
    added = []
    for i, row in enumerate(rows):
        added.append((name, i))
        tasks[added[-1]] = (function, *row)
    return added


def _run(node: Any, values: Mapping[Any, Any]) -> Any:
    """Return a task's result, or what stands in the place of one, given those that it needs."""
    if hasattr(node, "dependencies"):  # one of Dask's own
        return node({key: values[key] for key in node.dependencies})
    if type(node) is list:
        return [_run(each, values) for each in node]
    if type(node) is tuple and node and callable(node[0]):
        return node[0](*[_run(each, values) for each in node[1:]])
    try:
        return values.get(node, node)
    except TypeError:
        return node  # not hashable, so no key


def interpret(tasks: Mapping[Any, Any], known: Mapping[Any, Any] | None = None) -> dict[Any, Any]:
    """Run tasks one after the other, in their order; return what is known and what they return."""
    values = dict(known or {})
    for key, node in tasks.items():
        values[key] = _run(node, values)
    return values


def _in_order(*given: Any, nodes: Mapping[Any, Any], keys: Sequence[Any]) -> Any:
    """Run tasks one after the other, and return what the last returned."""
    *_, last = interpret(nodes, dict(zip(keys, given, strict=True))).values()
    return last


def fused(
    tasks: Mapping[Any, Any], tops: Sequence[Any], wanted: Sequence[Any]
) -> tuple[dict[Any, Any], dict[Any, list[Any]]]:
    """Make one task of each of some that work on one partition and of those that only it needs.

    Return the tasks, and the keys of what each depends on.
    """
    graph, below = cull(tasks, [*wanted])
    users = Counter([*wanted, *(key for keys in below.values() for key in set(keys))])
    for top in tops:
        chain = {top: graph[top]}
        bottom = top
        while len(set(below[bottom])) == 1:
            key = below[bottom][0]
            name = str(key[0] if isinstance(key, tuple) else key)
            if name.startswith((*_JOINTS, *_THROUGH_A_FILE)) or users[key] > 1:
                break
            bottom = key
            chain[bottom] = graph[bottom]
        if len(chain) > 1:
            for key in list(chain)[1:]:
                del graph[key]
            below[top] = list(dict.fromkeys(below[bottom]))
            nodes = dict(reversed(chain.items()))
            graph[top] = (partial(_in_order, nodes=nodes, keys=below[top]), *below[top])
    return graph, below


def in_one_reading(
    tasks: Mapping[Any, Any], writes: Sequence[Any], rest: Sequence[Any]
) -> dict[Any, Any]:
    """Let one task read a partition, take class rows out of it, and write it.

    `writes` are the keys of the tasks that write a partition each, `rest` what else is asked for.
    """
    wanted = [*writes, *rest]
    graph, below = fused(tasks, writes, wanted)
    users: dict[Any, list[Any]] = {}
    for key in [*graph, *wanted]:
        for used in set(below[key]) if key in graph else ():
            users.setdefault(used, []).append(key)
    for write in writes:
        if len(below[write]) != 1:
            continue
        (read,) = below[write]
        takes = [key for key in dict.fromkeys(users[read]) if key != write]
        alone = len(takes) == 1 and read in graph and not below[read] and read not in wanted
        if alone and isinstance(takes[0], tuple) and str(takes[0][0]).startswith("extract-"):
            (take,) = takes
            nodes = {read: graph.pop(read), take: graph[take], write: graph[write]}
            graph[take] = (partial(_taken_and_written, nodes=nodes),)
            graph[write] = (attrgetter("written"), take)
    return graph


def _taken_and_written(*, nodes: Mapping[Any, Any]) -> Any:
    _, taken, written = interpret(nodes).values()
    return replace(taken, written=written)


def over_all(
    tasks: Mapping[Any, Any],
    rows: Iterable[tuple[Any, ...]],
    name: str,
    look: Callable[..., Any],
    joined: Callable[[list[Any]], Any],
    fan_in: int = FAN_IN,
) -> Any:
    """Compute something of every partition, and join it in their order: one pass over the data."""
    graph = dict(tasks)
    level = add_each(graph, name, look, rows)
    top = tree(graph, level, f"joined-{name}", joined, fan_in=fan_in)
    graph, _ = fused(graph, level, [top])
    layers = HighLevelGraph.from_collections(name, graph, dependencies=())
    (found,) = compute(Delayed(top, layers, layer=name))
    return found


def with_one_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function with BLAS kept to one thread."""
    with single_threaded():
        return function(*args, **kwargs)


def add_indexes(
    tasks: dict[Any, Any],
    inputs: Inputs,
    token: str,
    task: Task,
    each: Each | None = None,
    cells: Sequence[Cells | Chunks] = (),
) -> dict[int, Any]:
    """Add the tasks from the input to one index a class; return the indexes' keys, by rank.

    `each` maps a function over blocks of queries, in threads, where no scheduler has any. Of
    classes in scratch files there is no index: the key is that of where their rows are, and what
    was made of them.
    """
    recipe = task.how.recipe
    plan = replace(task.plan, blocks=())  # which are many, and no task here needs them
    gathered = _add_gather(tasks, inputs, token, task, plan, cells)
    model = None
    if recipe.sample:
        model = f"fit-{token}"
        fit = partial(with_one_thread, fit_model, recipe=recipe, seed=plan.seed)
        tasks[model] = (fit, gathered)
    elif task.levels:
        # Levels may be many: they are in the graph once, and not in every task that needs them.
        model = f"levels-{token}"
        tasks[model] = (partial(tuple, task.levels),)
    cut: list[Any] = [of for of in cells if of.cls.cells]
    nearest_all: dict[int, Any] = {}
    survey = None
    asking = [c for c in plan.growing if not c.cells and c.engine != COPY]
    if recipe.surveys or (recipe.n_neighbors_all and (asking or not cells)):
        asked = {}
        if recipe.n_neighbors_all:
            asked = _add_queries(tasks, token, task, gathered, model)
        # In itself small, so that those who wait for it need not be sent the rows. A partition that
        # is read before all that it is read for would be held, and with it every other.
        ready = f"ready-{token}"
        tasks[ready] = (stand_for, gathered, model, list(asked.values()))
        second = inputs.again(f"again-{token}", ready)
        tasks |= second.graph
        ranks = {c.label: c.rank for c in plan.classes}
        look = partial(reference_rows, schema=task.schema, ranks=ranks, recipe=recipe)
        if recipe.surveys:
            see = partial(_surveyed, look=look, recipe=recipe, n_classes=len(plan.classes))
            rows = [(model, *row) for row in second.rows()]
            level = add_each(tasks, f"survey-{token}", partial(with_one_thread, see), rows)
            survey = tree(tasks, level, f"surveyed-{token}", sum)
        if recipe.n_neighbors_all:
            nearest_all = _add_nearest(tasks, second, token, look, task, asked, each)
    indexes = _add_cells(tasks, token, cut, gathered, model, survey) if cut else {}
    for chunks in (of for of in cells if not of.cls.cells):
        rank = chunks.cls.rank
        starts = [block.start for block in task.plan.blocks if block.class_rank == rank]
        lay_out = partial(with_one_thread, chunks.lay_out, np.array([*starts, chunks.cls.new]))
        indexes[rank] = f"layout-{rank}-{token}"
        tasks[indexes[rank]] = (lay_out, gathered)
    for c in plan.growing:
        if c.rank in indexes:
            continue
        build = partial(
            with_one_thread,
            build_class_index,
            recipe=recipe,
            of=c,
            seed=plan.seed,
            total=plan.n_new,
        )
        indexes[c.rank] = (f"neighbours-{token}", c.rank)
        tasks[indexes[c.rank]] = (build, gathered, nearest_all.get(c.rank), model, survey)
    return indexes


def stand_for(*_: Any) -> None:
    """Stand for tasks that are done."""


def _add_gather(
    tasks: dict[Any, Any],
    inputs: Inputs,
    token: str,
    task: Task,
    plan: Plan,
    cells: Sequence[Cells | Chunks] = (),
) -> Any:
    take = take_of(task)
    look = partial(extract, take=take)
    if cells:
        look = partial(_stored, take=take, cells=cells)
    rows = inputs.rows()
    if cells:
        rows = [(place, *row) for place, row in enumerate(rows)]
    level = add_each(tasks, f"extract-{token}", look, rows)
    joined = partial(join_extracts, take=take)
    last = partial(join_extracts, take=take, plan=plan, first=task.how.first)
    # A sample makes every extract large.
    fan_in = _FEW if take.quotas else FAN_IN
    return tree(tasks, level, f"gather-{token}", joined, last, fan_in)


def _stored(place: int, *row: Any, take: Any, cells: Sequence[Cells | Chunks]) -> Any:
    from dsmote.execute.cells import store  # most tables do without

    with single_threaded():
        return store(place, *row, take=take, cells=cells)


def _add_cells(
    tasks: dict[Any, Any],
    token: str,
    cells: Sequence[Cells],
    gathered: Any,
    model: Any,
    survey: Any,
) -> dict[int, Any]:
    """Add the tasks of classes that are cut into cells; return the keys of what they made."""
    from dsmote.execute.search import merged_boxes

    def add(of: Any, name: str, function: Callable[..., Any], n: int, *args: Any) -> list[Any]:
        rows = ((*args, place) for place in range(n))
        name = f"{name}-{of.own}-{token}"
        return add_each(tasks, name, partial(with_one_thread, function), rows)

    def spread(of: Any, *after: Any) -> tuple[Any, list[Any]]:
        layout = f"layout-{of.own}-{token}"
        lay_out = partial(with_one_thread, of.lay_out)
        tasks[layout] = (lay_out, gathered, model, survey, *after)
        extracts = ((f"extract-{token}", place) for place in range(of.parts))
        parts = zip(repeat(layout), extracts, repeat(model), count())
        look = partial(with_one_thread, of.spread)
        return layout, add_each(tasks, f"spread-{of.own}-{token}", look, parts)

    def search(of: Any, *after: Any) -> tuple[Any, Any, Any]:
        """Add a search; return layout and boxes, and a task that is done when it is."""
        layout, level = spread(of, *after)
        own = f"{of.own}-{token}"
        boxes = tree(tasks, level, f"boxes-{own}", merged_boxes, of.check_boxes)
        homes = add(of, "home", of.home, of.cls.cells, layout, boxes)
        there = tree(tasks, homes, f"homes-{own}", stand_for)
        answers = add(of, "answer", of.answer, of.cls.cells, layout, boxes, there)
        return layout, boxes, tree(tasks, answers, f"answers-{own}", stand_for)

    of_all, judged = cells[0].all, tuple[Any, ...]()
    if of_all is not None:
        whole, boxes, there = search(of_all)
        judged = (add(of_all, "judge", of_all.judge, of_all.cls.cells, whole, boxes, there),)
    made = {}
    for of in cells:
        if of_all is not None and of.recipe.values:
            layout, level = spread(of, *judged)
            where, boxes = of_all.cls.cells, whole
            there = tree(tasks, level, f"sent-{of.own}-{token}", stand_for)
        else:
            where = of.cls.cells
            layout, boxes, there = search(of, *judged)
        files = add(of, "make", of.make, where, layout, boxes, there)
        made[of.cls.rank] = f"made-{of.own}-{token}"
        tasks[made[of.cls.rank]] = (of.made, layout, files)
    return made


def _surveyed(model: Any, *row: Any, look: Any, recipe: Any, n_classes: int) -> Any:
    here = look(*row)
    return recipe.survey(here.matrix, here.ranks, n_classes, model)


def _add_queries(
    tasks: dict[Any, Any], token: str, task: Task, gathered: Any, model: Any
) -> dict[tuple[int, int], Any]:
    """Add the queries for the nearest of all rows; return the keys of batches (rank, number)."""
    asked = {}
    for rank, b in chain.from_iterable(together(task.plan.growing)):
        ask = partial(queries_of, recipe=task.how.recipe, rank=rank, batch=b)
        asked[rank, b] = f"queries-{rank}-{b}-{token}"
        tasks[asked[rank, b]] = (ask, gathered, model)
    return asked


def _add_nearest(
    tasks: dict[Any, Any],
    second: Inputs,
    token: str,
    look: Any,
    task: Task,
    asked: Mapping[tuple[int, int], Any],
    each: Each | None,
) -> dict[int, Any]:
    """Add the search for the nearest of all rows; return the keys of what is found, by rank."""
    recipe = task.how.recipe
    found: dict[int, list[Any]] = {}
    for t, batches in enumerate(together(task.plan.growing)):
        asking = [asked[batch] for batch in batches]
        level = []
        for i, row in enumerate(second.rows()):
            level.append((f"nearest-{t}-{token}", i))
            find = partial(with_one_thread, _nearest, look=look, order=i, recipe=recipe, each=each)
            tasks[level[-1]] = (find, asking, *row)
        top = tree(tasks, level, f"nearest-of-all-{t}-{token}", _merged, fan_in=_FEW)
        for place, (rank, b) in enumerate(batches):
            found.setdefault(rank, []).append(f"nearest-of-{rank}-{b}-{token}")
            tasks[found[rank][-1]] = (itemgetter(place), top)
    tops = {}
    for rank, keys in found.items():
        tops[rank] = f"all-nearest-{rank}-{token}"
        tasks[tops[rank]] = (join_batches, keys)
    return tops


def together(classes: Sequence[ClassPlan]) -> list[list[tuple[int, int]]]:
    """Return batches of queries as (rank, number), those together of which one index answers.

    Small classes ask together, so that a partition is not indexed once for each of many; no more
    than `BATCH` rows do, so that what they find is bounded.
    """
    some: list[list[tuple[int, int]]] = []
    room = 0
    for c in classes:
        if c.engine == COPY or c.cells:
            continue
        for b in range(max(1, -(-c.usable // BATCH))):
            rows = min(BATCH, c.usable - b * BATCH)
            if not some or rows > room:
                some.append([])
                room = BATCH
            some[-1].append((c.rank, b))
            room -= rows
    return some


def _nearest(
    asking: Any, *row: Any, look: Any, order: int, recipe: Any, each: Each | None
) -> list[NearestOfAll]:
    here = look(*row)
    return [nearest_here(here, q, order=order, recipe=recipe, each=each) for q in asking]


def _merged(parts: list[list[NearestOfAll]]) -> list[NearestOfAll]:
    return [merge_nearest(of_one) for of_one in zip(*parts, strict=True)]
