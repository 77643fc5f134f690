"""From the tasks that make partitions to Dask collections of the input's kinds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.class_graph import alone
from dsmote.execute.decode import filled, repeated, synthetic_index
from dsmote.execute.generate import make_block
from dsmote.execute.graph import frame_of
from dsmote.execute.partition import conform
from dsmote.execute.provenance import empty_provenance, of_originals, with_provenance
from dsmote.execute.recipe import ClassIndex, Making, Task
from dsmote.execute.rows import retyped
from dsmote.plan import Block, Schema
from dsmote.plan.profile import TARGET

__all__ = [
    "Blocks",
    "as_dtype",
    "beside_like",
    "changed_meta",
    "collect",
    "label_block",
    "target_like",
]


def collect(
    like: Any, tasks: dict[Any, Any], outputs: list[Any], name: str, lengths: Sequence[int]
) -> Any:
    """Make a collection from the keys of its partitions.

    Parameters
    ----------
    like : dask Array, or an empty pandas object
        What the collection is like: an array whose chunks are its first ones, or the metadata.
    tasks : dict
        The graph.
    outputs : list of keys
        The partitions, in order.
    name : str
        Name of the collection.
    lengths : sequence of int
        Rows of the partitions that are new.
    """
    if isinstance(like, da.Array):
        tail = (0,) * (like.ndim - 1)
        tasks = tasks | {(name, i, *tail): key for i, key in enumerate(outputs)}
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
        chunks = (like.chunks[0] + tuple(lengths), *like.chunks[1:])
        return da.Array(graph, name, chunks, dtype=like.dtype)
    return frame_of(tasks, outputs, name, like, (None,) * (len(outputs) + 1))


def changed_meta(meta: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return the metadata of the output: known categories, changed dtypes, provenance."""
    changed = {i: dtype for i, dtype in task.known.items() if 0 <= i < meta.shape[1]}
    meta = retyped(meta, changed) if changed else meta
    if task.provenance:
        meta = with_provenance(meta, empty_provenance(task.provenance, task.out))
    return meta


def _original(
    part: Any, *, schema: Schema, dtypes: dict[int, Any], out: Schema, kind: str | None
) -> Any:
    """Pass an original partition on, with the dtypes and columns of the output."""
    part = conform(part, schema, dtypes)
    if kind is None:
        return part
    return with_provenance(part, of_originals(part.index, kind, out))


def _provenance_of(part: Any, *, kind: str, out: Schema) -> pd.DataFrame:
    return of_originals(pd.RangeIndex(len(part)), kind, out)


def _made(of: ClassIndex, *, pick: int | None, **how: Any) -> Any:
    made = make_block(of, **how)
    return tuple(made) if pick is None else made[pick]


class Blocks:
    """The tasks that make the new rows, and what each of them makes.

    Parameters
    ----------
    tasks : dict
        The graph, added to.
    indexes : dict of rank to key
        Of the classes that grow.
    token, task
        Of the run.
    like : Index
        An empty index of the input's kind.
    array : dtype or None
        Of the output, where it is an array.
    several : bool
        Whether more than the table is wanted of each.
    """

    def __init__(
        self,
        tasks: dict[Any, Any],
        indexes: dict[int, Any],
        token: str,
        task: Task,
        like: pd.Index,
        array: np.dtype | None,
        several: bool,
    ) -> None:
        self._tasks, self._token, self._task, self._several = tasks, token, task, several
        how = Making.of(task)
        self._keys = []
        for b, block in enumerate(task.plan.blocks):
            pick = None if several else 0
            make = partial(alone, _made, pick=pick, how=how, block=block, like=like, array=array)
            self._keys.append((f"synthetic-{token}", b))
            tasks[self._keys[-1]] = (make, indexes[block.class_rank])

    def tables(self) -> list[Any]:
        """Return the keys of the new partitions."""
        return self.parts(0) if self._several else self._keys

    def parts(self, place: int) -> list[Any]:
        """Return the keys of one thing that each block makes: see ``generate.Part``."""
        picked = []
        for b, key in enumerate(self._keys):
            picked.append((f"part-{place}-{self._token}", b))
            self._tasks[picked[-1]] = (itemgetter(place), key)
        return picked

    def originals(self, keys: Sequence[Any], is_frame: bool) -> list[Any]:
        """Return the keys of the original partitions, as they are in the output."""
        task = self._task
        kind = task.provenance if is_frame else None
        if not (task.changes or kind):
            return list(keys)
        change = partial(
            _original, schema=task.schema, dtypes=task.changes, out=task.out, kind=kind
        )
        outputs = [(f"original-{self._token}", i) for i in range(len(keys))]
        self._tasks |= {new: (change, old) for new, old in zip(outputs, keys, strict=True)}
        return outputs

    def provenance(self, keys: Sequence[Any]) -> Any:
        """Return a lazy frame of where the rows of an array came from."""
        kind, out = self._task.provenance, self._task.out
        assert kind is not None
        of = partial(_provenance_of, kind=kind, out=out)
        outputs = [(f"no-provenance-{self._token}", i) for i in range(len(keys))]
        self._tasks |= {new: (of, old) for new, old in zip(outputs, keys, strict=True)}
        name = f"provenance-{self._token}"
        meta = empty_provenance(kind, out)
        outputs += self.parts(3)
        return collect(meta, dict(self._tasks), outputs, name, ())


def beside_like(values: Any, name: str) -> tuple[Any, Any]:
    """Return what a weight's or group's output is like, and the dtype that its parts take.

    Between whole weights there are others, so whole numbers become float64.
    """
    dtype = values.dtype if isinstance(values, da.Array) else values._meta.dtype
    if name == "sample_weight" and pd.api.types.is_numeric_dtype(dtype):
        whole = pd.api.types.is_integer_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
        dtype = np.dtype("f8") if whole else dtype
    if isinstance(values, da.Array):
        return values.astype(dtype), dtype
    if isinstance(dtype, pd.CategoricalDtype) and not values.cat.known:
        # What stands for unknown categories are no categories.
        return values._meta, pd.CategoricalDtype()
    return values._meta.astype(dtype), dtype


def as_dtype(part: Any, *, dtype: Any, array: bool, like: Any = None) -> Any:
    """Return a partition of weights or groups in the output's kind and dtype."""
    if array:
        return np.asarray(part).astype(dtype)
    series = part if isinstance(part, pd.Series) else pd.Series(part)
    if isinstance(dtype, pd.CategoricalDtype) and isinstance(series.dtype, pd.CategoricalDtype):
        if dtype.categories is None:
            return series.rename(like)  # each partition has its own
        absent = series.dropna()[~series.dropna().isin(dtype.categories)]
        if len(absent):
            raise ValueError(
                f"a partition of groups holds {absent.iloc[0]!r}, which is not among the "
                "categories that the collection declares; call groups.cat.as_unknown(), or cast "
                "the groups to text"
            )
    return series.astype(dtype).rename(like)


def target_like(y: Any, known: dict[int, Any]) -> Any:
    """Return what the partitions of the target are like, its categories known.

    Raises
    ------
    ValueError
        Categories that nobody has looked at.
    """
    like = np.empty(0, dtype=y.dtype) if isinstance(y, da.Array) else y._meta
    if TARGET in known:
        return like.astype(known[TARGET])
    if isinstance(y, dd.Series) and hasattr(y, "cat") and not y.cat.known:
        raise ValueError(
            f"the categories of the target {y.name!r} are not known without a pass over the "
            "data; call y.cat.as_known(), or leave class_counts out"
        )
    return like


def label_block(*, block: Block, first: int, like: Any, column: bool) -> Any:
    """Make the target of one synthetic partition."""
    label, rows = block.label, block.rows
    if isinstance(like, np.ndarray):
        array = filled(label, rows, like.dtype)
        return array.reshape(-1, 1) if column else array
    index = synthetic_index(like.index, first, rows)
    series = like.iloc[:, 0] if column else like
    made = pd.Series(repeated(label, rows, series.dtype), index=index, name=series.name)
    return made.to_frame() if column else made
