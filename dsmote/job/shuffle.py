r"""New rows mixed with original ones: a random order of all rows that nobody holds whole.

::

    partitions   p0     p1     ...   b0 (new rows)      a word is drawn for the number of each row
                 |      |            |
    spread       s0     s1           s2                 sorted by their words, in scratch files
                  \     |           /
    barrier        `----+----------'
                  /     |     \
    collect      m0     m1     m2                       the k-th share of the words, of every file

Where these would be too many pieces, files have a share for each group of parts at first, and those
of a group are gathered into files with a share for each part: of n files for n parts, twice
n to the power of 1.5 pieces are read, and not n * n.

The rows in the order of their words are a random permutation. A word depends on the seed and the
row's number in the output before it was mixed, so the order is the same however the table is cut
and whoever does the work. A task holds one partition or one part. Scratch files lie in the staging
folder, where a worker that dies does not take them along: what it did not finish is done again.

Dask's own shuffles are not used: the one by tasks keeps all rows in the workers' memory (or spills
them) and has a task for each pair of partitions, and the one between workers begins anew when a
worker dies and does not take every dtype.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import isqrt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from dask import delayed
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.resources import memory_limit
from dsmote.job.parts import after
from dsmote.job.scratch import collect, regroup, scratch_file, spread
from dsmote.plan import Column, Plan, Schema
from dsmote.plan.memory import ESTIMATOR_BYTES, refusal

__all__ = ["Numbered", "group_size", "mixed", "n_parts", "with_mixing"]

#: A part has about so many rows or bytes, as the dtypes of its columns tell.
PART_ROWS, PART_BYTES = 250_000, 32 * 2**20
#: Copies of a part while it is collected: as read, joined, in order, as a frame, as it is written.
COPIES = 5
#: Pieces of scratch files that are read without a step between, at most.
MOST_PIECES = 1_000_000


@dataclass(frozen=True)
class Numbered:
    """A partition, and the number of its first row in the output before it was mixed."""

    partition: Any
    start: int
    rows: int


def n_parts(rows: int, meta: pd.DataFrame) -> int:
    """Return into how many parts rows are mixed; it depends on how the table is cut in no way.

    Parameters
    ----------
    rows : int
        Of the output.
    meta : pandas.DataFrame
        Their columns.

    Returns
    -------
    int

    Examples
    --------
    >>> n_parts(10**6, pd.DataFrame({"x": [0.5]})), n_parts(0, pd.DataFrame({"x": [0.5]}))
    (4, 1)
    """
    most = max(1, min(PART_ROWS, PART_BYTES // _row_bytes(meta)))
    return max(1, -(-rows // most))


def _row_bytes(meta: pd.DataFrame) -> int:
    columns = zip(meta.columns, meta.dtypes, strict=True)
    return Schema(tuple(Column(name, dtype, "carried") for name, dtype in columns)).row_bytes()


def group_size(files: int, parts: int) -> int:
    """Return how many parts have a share of the scratch files in common at first.

    Parameters
    ----------
    files, parts : int

    Returns
    -------
    int

    Examples
    --------
    >>> group_size(100, 200), group_size(40_000, 40_000)
    (1, 200)
    """
    return 1 if files * parts <= MOST_PIECES else isqrt(parts - 1) + 1


def with_mixing(
    plan: Plan, rows: int, meta: pd.DataFrame, largest: int, files: int, process: int
) -> Plan:
    """Add to a plan what mixing needs: a note, memory, and a problem where it does not fit.

    Parameters
    ----------
    plan : Plan
    rows : int
        That are mixed.
    meta : pandas.DataFrame
        Their columns.
    largest : int
        Rows of the largest partition of the input; 0 where that is not known.
    files : int
        Partitions that are mixed.
    process : int
        Bytes of a worker's process.

    Returns
    -------
    Plan
    """
    memory, limit = plan.memory, memory_limit(on_cluster=True)
    threads = limit.threads if limit else 1
    # A partition or block is sorted, and once more joined: one copy more than while it is read.
    row = max(_row_bytes(meta), memory.input_bytes // largest if largest else 0)
    block = max((b.rows for b in plan.blocks), default=0) * row
    spreading = memory.worker_bytes + threads * max(memory.input_bytes, block)
    parts = n_parts(rows, meta)
    part = -(-rows // parts) * row
    often = "once" if group_size(files, parts) == 1 else "twice"
    collecting = process + ESTIMATOR_BYTES + threads * COPIES * part
    needed = max(spreading, collecting)
    plan = replace(
        plan,
        memory=replace(memory, worker_bytes=needed),
        passes=(*plan.passes, f"the rows {often} more, from scratch files, to mix them"),
    )
    if limit is None or needed <= limit.allowed or plan.too_large:
        return plan
    remedy = "give each worker more memory or fewer threads, or leave shuffle out"
    problem = refusal("mixing the rows", needed, limit, remedy)
    return replace(plan, too_large=(problem,))


def mixed(
    partitions: Sequence[Numbered], parts: int, seed: int, folder: str, schema: pa.Schema
) -> list[Any]:
    """Return the parts of the mixed table, lazily.

    Parameters
    ----------
    partitions : sequence of Numbered
        In the order of their rows.
    parts : int
        How many there shall be.
    seed : int
    folder : str
        The staging folder.
    schema : pyarrow.Schema
        Of all the columns.

    Returns
    -------
    list of Delayed
        Each a frame.
    """
    token = uuid.uuid4().hex  # what is written aside for one run is not another's
    size = group_size(len(partitions), parts)
    spreads = []
    for place, source in enumerate(partitions):
        spreading = partial(
            spread,
            file=scratch_file(place),
            folder=folder,
            start=source.start,
            rows=source.rows,
            parts=parts,
            size=size,
            seed=seed,
            schema=schema,
        )
        task = delayed(spreading, pure=False)
        spreads.append(task(source.partition, dask_key_name=f"spread-{token}-{place}"))
    barrier = after(spreads, f"barrier-{token}")
    # One layer: a call of `delayed` for each would look through the whole graph every time.
    name = f"collect-{token}"
    if size == 1:
        layer: dict[Any, Any] = {
            f"{name}-{k}": (partial(collect, part=k, folder=folder, schema=schema), barrier.key)
            for k in range(parts)
        }
    else:
        runs = _runs([source.rows for source in partitions], size)
        layer = _in_groups(name, barrier.key, runs, parts, size, folder, schema)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[barrier])
    return [Delayed(f"{name}-{part}", graph, layer=name) for part in range(parts)]


def _in_groups(
    name: str,
    barrier: str,
    runs: Sequence[range],
    parts: int,
    size: int,
    folder: str,
    schema: pa.Schema,
) -> dict[Any, Any]:
    """Return tasks that gather each group's rows from runs of files, and then collect its parts."""
    layer: dict[Any, Any] = {}
    for group, first in enumerate(range(0, parts, size)):
        own, ready = range(first, min(first + size, parts)), f"grouped-{name}-{group}"
        keys = [f"regroup-{name}-{group}-{run}" for run in range(len(runs))]
        for run, key in enumerate(keys):
            gather = partial(regroup, group=group, run=run, parts=parts, own=own, folder=folder)
            layer[key] = (partial(gather, files=runs[run]), barrier)
        layer[ready] = (len, keys)
        for batch, part in enumerate(own):
            work = partial(collect, part=batch, folder=folder, schema=schema, group=group)
            layer[f"{name}-{part}"] = (work, ready)
    return layer


def _runs(rows: Sequence[int], most: int) -> list[range]:
    """Cut files into runs of about as many rows, `most` at most."""
    ends = np.cumsum(np.asarray(rows, dtype=np.int64))
    run = (ends - 1) * most // ends[-1]
    starts = np.flatnonzero(np.diff(run, prepend=-1)).tolist()
    return [range(low, high) for low, high in pairwise([*starts, len(rows)])]
