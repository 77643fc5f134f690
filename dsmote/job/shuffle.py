r"""New rows mixed with original ones: a random order of all rows that nobody holds whole.

::

    partitions   p0     p1     ...   b0 (new rows)      random bits are drawn for each row's number
                 |      |            |
    spread       s0     s1           s2                 to scratch files, by the part they say
                  \     |           /
    barrier        `----+----------'
                  /     |     \
    collect      m0     m1     m2                       the rows of a part, sorted by their bits

Where these would be too many slices, files have a slice for each group of parts at first, and those
of a group are gathered into files with a slice for each part: of n files for n parts, twice
n to the power of 1.5 slices are read, and not n * n.

The rows sorted by their bits are a random permutation. They depend on the seed and the row's number
in the output before it was mixed, so the order is the same however the table is cut. A task holds
one partition or one part.

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
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.exchange import Exchange
from dsmote.execute.resources import memory_limit
from dsmote.job.files import clear_errors
from dsmote.job.sources import as_pandas
from dsmote.plan import Column, Plan, Schema, Stream
from dsmote.plan.draws import MIX
from dsmote.plan.memory import refusal

#: A part has about so many rows or bytes, as the dtypes of its columns tell.
PART_ROWS, PART_BYTES = 250_000, 32 * 2**20
#: Copies of a part while it is collected: as read, joined, sorted, as a frame, as it is written.
COPIES = 5
#: Slices of scratch files that are read without a step between, at most.
MOST_SLICES = 1_000_000
#: The column of the random bits in the scratch files.
BITS = "__dsmote_bits__"


class Numbered(NamedTuple):
    """A partition, and the number of its first row in the output before it was mixed."""

    partition: Any
    start: int
    rows: int


def n_parts(rows: int, meta: pd.DataFrame) -> int:
    """Return into how many parts rows are mixed; it does not depend on how the table is cut."""
    most = max(1, min(PART_ROWS, PART_BYTES // _row_bytes(meta)))
    return max(1, -(-rows // most))


def _row_bytes(meta: pd.DataFrame) -> int:
    columns = zip(meta.columns, meta.dtypes, strict=True)
    return Schema(tuple(Column(name, dtype, "carried") for name, dtype in columns)).row_bytes()


def group_size(files: int, parts: int) -> int:
    """Return how many parts share a slice of the scratch files at first."""
    return 1 if files * parts <= MOST_SLICES else isqrt(parts - 1) + 1


def with_mixing(
    plan: Plan, rows: int, meta: pd.DataFrame, largest: int, files: int, process: int
) -> Plan:
    """Add to a plan what mixing needs: a note, memory, and a problem where it does not fit.

    Mixed are `rows` rows of `files` partitions with the columns of `meta`. The `largest` partition
    of the input has so many rows (0: unknown), and a worker's process so many bytes.
    """
    memory, limit = plan.memory, memory_limit(on_cluster=True)
    threads = limit.threads if limit else 1
    # A partition or block is sorted: one copy more than while it is read.
    row = max(_row_bytes(meta), memory.input_bytes // largest if largest else 0)
    block = max((b.rows for b in plan.blocks), default=0) * row
    spreading = memory.worker_bytes + threads * max(memory.input_bytes, block)
    parts = n_parts(rows, meta)
    # Parts that wait to be written, one for each thread and one more, are collected already.
    collecting = process + (threads * (COPIES + 1) + 1) * -(-rows // parts) * row
    needed = max(spreading, collecting)
    often = "once" if group_size(files, parts) == 1 else "twice"
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


@dataclass(frozen=True)
class Mixing:
    """The tasks of a shuffle, and what all of them must know."""

    exchange: Exchange
    parts: int
    size: int  # parts that share a slice at first
    seed: int
    schema: pa.Schema

    def spread(self, frame: pd.DataFrame, *, place: int, start: int, rows: int) -> None:
        """Send the rows of a partition to the parts, or groups of parts, they come to be in."""
        if len(frame) != rows:
            raise ValueError(
                f"a partition has {len(frame):,} rows, in which {rows:,} were counted: the input "
                "changed while it was read"
            )
        bits = Stream(self.seed, 0, MIX).bits(start, start + rows)
        table = pa.Table.from_pandas(frame, schema=self.schema, preserve_index=False, nthreads=1)
        table = table.replace_schema_metadata().append_column(BITS, pa.array(bits))
        groups = -(-self.parts // self.size)
        with clear_errors("write", self.exchange.folder):
            self.exchange.send(_name(place), table, self._parts_of(table) // self.size, groups)

    def regroup(self, _: int, *, files: range, group: int, run: int) -> None:
        """Gather the rows of a group of parts from a run of files into one."""
        with clear_errors("write", self.exchange.folder):
            table = self.exchange.receive([_name(place) for place in files], group)
            place = self._parts_of(table) - group * self.size
            self.exchange.send(_name(run, group), table, place, self.size)

    def collect(self, _: int, *, files: range, part: int) -> pd.DataFrame:
        """Return the rows of a part, sorted by their bits; of equal bits, as they were."""
        group, place = (None, part) if self.size == 1 else divmod(part, self.size)
        with clear_errors("read", self.exchange.folder):
            table = self.exchange.receive([_name(file, group) for file in files], place)
        order = np.argsort(table.column(BITS).to_numpy(), kind="stable")
        table = table.drop_columns([BITS]).take(pa.array(order))
        table = table.replace_schema_metadata(self.schema.metadata)
        return as_pandas(table, use_threads=False, split_blocks=True, self_destruct=True)

    def _parts_of(self, table: pa.Table) -> np.ndarray:
        """Return the part of each row: equal shares of all bits, in their order."""
        high = table.column(BITS).to_numpy() >> np.uint64(32)
        return ((high * np.uint64(self.parts)) >> np.uint64(32)).astype(np.int64)


def _name(place: int, group: int | None = None) -> str:
    return f"{place:05d}" if group is None else f"{group:05d}-{place:05d}"


def mixed(
    partitions: Sequence[Numbered], parts: int, seed: int, folder: str, schema: pa.Schema
) -> list[Any]:
    """Return each part of the mixed table as a delayed frame; scratch files lie in `folder`."""
    size = group_size(len(partitions), parts)
    # Files of a run whose partitions were others are of no use.
    cut = tokenize(parts, size, seed, [(source.start, source.rows) for source in partitions])
    exchange = Exchange(f"{folder}/_mixed-{cut[:12]}")
    mixing = Mixing(exchange, parts, size, seed, schema)
    with clear_errors("read", exchange.folder):
        finished = exchange.finished()
    token = uuid.uuid4().hex  # tasks of two runs in one cluster are not the same
    name, spreads = f"collect-{token}", f"spread-{token}"
    layer: dict[Any, Any] = {}
    for place, source in enumerate(partitions):
        if _name(place) not in finished:
            spread = partial(mixing.spread, place=place, start=source.start, rows=source.rows)
            layer[f"{spreads}-{place}"] = (spread, source.partition.key)
    layer[spreads] = (len, list(layer))
    # Tasks are told numbers, not names and offsets, of which there are as many as slices.
    files, ready = range(len(partitions)), [spreads]
    if size > 1:
        runs = _runs([source.rows for source in partitions], size)
        files, ready = range(len(runs)), []
        for group in range(-(-parts // size)):
            ready.append(f"regroup-{token}-{group}")
            runs_left = [run for run in files if _name(run, group) not in finished]
            for run in runs_left:
                regroup = partial(mixing.regroup, files=runs[run], group=group, run=run)
                layer[f"{ready[-1]}-{run}"] = (regroup, spreads)
            layer[ready[-1]] = (len, [f"{ready[-1]}-{run}" for run in runs_left])
    for part in range(parts):
        collect = partial(mixing.collect, files=files, part=part)
        layer[f"{name}-{part}"] = (collect, ready[part // size if size > 1 else 0])
    sources = [source.partition for source in partitions]
    graph = HighLevelGraph.from_collections(name, layer, dependencies=sources)
    return [Delayed(f"{name}-{part}", graph, layer=name) for part in range(parts)]


def _runs(rows: Sequence[int], most: int) -> list[range]:
    """Cut files into runs of about as many rows, `most` at most."""
    ends = np.cumsum(np.asarray(rows, dtype=np.int64))
    run = (ends - 1) * most // ends[-1]
    starts = np.flatnonzero(np.diff(run, prepend=-1)).tolist()
    return [range(low, high) for low, high in pairwise([*starts, len(rows)])]
