r"""New rows mixed with original ones: a random order of all rows that nobody holds whole.

::

    partitions   p0     p1     ...   b0 (new rows)      a word is drawn for the number of each row
                 |      |            |
    spread       s0     s1           s2                 sorted by their words, in scratch files
                  \     |           /
    barrier        `----+----------'
                  /     |     \
    collect      m0     m1     m2                       the k-th share of the words, of every file

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from dask import delayed
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.resources import memory_limit
from dsmote.job.files import clear_errors, is_local, open_fs
from dsmote.job.parts import after, write_file
from dsmote.plan import Column, Plan, Schema, Stream
from dsmote.plan.draws import MIX
from dsmote.plan.memory import PROCESS_BYTES, USABLE_SHARE, format_bytes

__all__ = ["SCRATCH", "Numbered", "mixed", "n_parts", "with_mixing"]

#: A part has about so many rows or bytes, as the dtypes of its columns tell.
PART_ROWS, PART_BYTES = 250_000, 32 * 2**20
#: The folder of the scratch files in the staging folder.
SCRATCH = "_mixed"
#: The column of the words in the scratch files.
WORD = "__dsmote_word__"
#: Copies of a part while it is collected: as read, joined, in order, as a frame, as it is written.
COPIES = 5
#: Scratch files that are read at a time from a remote store.
READERS = 16


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


def with_mixing(plan: Plan, rows: int, meta: pd.DataFrame, largest: int) -> Plan:
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

    Returns
    -------
    Plan
    """
    memory, limit = plan.memory, memory_limit(on_cluster=True)
    threads = limit.threads if limit else 1
    # The projection has three times the largest partition. It, or a block, is sorted beside itself.
    row = max(_row_bytes(meta), memory.partition_bytes // (3 * largest) if largest else 0)
    block = max((b.rows for b in plan.blocks), default=0) * row
    spreading = memory.worker_bytes + threads * 2 * max(memory.partition_bytes // 3, block)
    part = -(-rows // n_parts(rows, meta)) * row
    collecting = PROCESS_BYTES + threads * COPIES * part
    needed = max(spreading, collecting)
    plan = replace(
        plan,
        memory=replace(memory, worker_bytes=needed),
        passes=(*plan.passes, "the rows once more, from scratch files, to mix them"),
    )
    if limit is None or needed <= limit.allowed or plan.too_large:
        return plan
    problem = (
        f"mixing the rows does not fit into {limit.source}: {format_bytes(needed)} ({needed:,} "
        f"bytes) needed by one worker, {format_bytes(limit.allowed)} ({limit.allowed:,} bytes) "
        f"allowed ({USABLE_SHARE:.0%} of {format_bytes(limit.bytes)}); give each worker more "
        "memory or fewer threads, or leave shuffle out"
    )
    return replace(plan, too_large=(problem,), warnings=(*plan.warnings, problem))


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
    spreads = []
    for place, source in enumerate(partitions):
        work = partial(
            spread,
            file=_scratch(place),
            folder=folder,
            start=source.start,
            rows=source.rows,
            parts=parts,
            seed=seed,
            schema=schema,
        )
        task = delayed(work, pure=False)
        spreads.append(task(source.partition, dask_key_name=f"spread-{token}-{place}"))
    barrier = after(spreads, f"barrier-{token}")
    # One layer: a call of `delayed` for each would look through the whole graph every time.
    name = f"collect-{token}"
    layer: dict[Any, Any] = {
        f"{name}-{part}": (partial(collect, part=part, folder=folder, schema=schema), barrier.key)
        for part in range(parts)
    }
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[barrier])
    return [Delayed(key, graph, layer=name) for key in layer]


def _scratch(place: int) -> str:
    return f"{SCRATCH}/{place:05d}.arrow"


def spread(
    frame: pd.DataFrame,
    *,
    file: str,
    folder: str,
    start: int,
    rows: int,
    parts: int,
    seed: int,
    schema: pa.Schema,
) -> int:
    """Write the rows of a partition in the order of their words, a batch for each part.

    Parameters
    ----------
    frame : pandas.DataFrame
    file, folder : str
        The scratch file, in the staging folder.
    start, rows : int
        Number of the first row, and how many there must be.
    parts, seed : int
    schema : pyarrow.Schema

    Returns
    -------
    int
        The bytes of the file.

    Raises
    ------
    ValueError
        When there are other rows than were counted.
    """
    if len(frame) != rows:
        raise ValueError(
            f"a partition has {len(frame):,} rows, in which {rows:,} were counted: the input "
            "changed while it was read"
        )
    words = Stream(seed, 0, MIX).words(start, start + rows)
    order = np.argsort(words, kind="stable")
    words = words[order]
    table = pa.Table.from_pandas(frame.iloc[order], schema=schema, preserve_index=False, nthreads=1)
    table = table.append_column(pa.field(WORD, pa.uint64()), pa.array(words)).combine_chunks()
    ends = np.searchsorted(_part_of(words, parts), np.arange(parts + 1))

    def write(handle: Any) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(handle, table.schema, options=options) as writer:
            for low, high in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                # Empty ones too, so that the k-th is that of the k-th part.
                writer.write_batch(_batch(table.slice(low, high - low)))

    with clear_errors("write", f"{folder}/{file}"):
        return write_file(folder, file, write, scratch=True)


def _part_of(words: np.ndarray, parts: int) -> np.ndarray:
    """Return the part of each word: equal shares of all words, in their order."""
    high = words >> np.uint64(32)
    return ((high * np.uint64(parts)) >> np.uint64(32)).astype(np.int64)


def _batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def collect(files: int, *, part: int, folder: str, schema: pa.Schema) -> pd.DataFrame:
    """Read the rows of a part from every scratch file, and put them in the order of their words.

    Parameters
    ----------
    files : int
        How many scratch files there are.
    part : int
    folder : str
    schema : pyarrow.Schema

    Returns
    -------
    pandas.DataFrame
    """
    read = partial(_read_batch, folder, part)
    if is_local(open_fs(folder)[0]):
        batches = [read(place) for place in range(files)]
    else:
        with ThreadPoolExecutor(READERS) as pool:
            batches = list(pool.map(read, range(files)))
    table = pa.Table.from_batches(batches).unify_dictionaries()
    del batches
    # Of equal words the row of the smaller number is first, as the files are in that order.
    order = np.argsort(table.column(WORD).to_numpy(), kind="stable")
    table = (
        table.drop_columns([WORD]).take(pa.array(order)).replace_schema_metadata(schema.metadata)
    )
    return table.to_pandas(use_threads=False, split_blocks=True, self_destruct=True)


def _read_batch(folder: str, part: int, place: int) -> pa.RecordBatch:
    fs, path = open_fs(f"{folder}/{_scratch(place)}")
    with clear_errors("read", path), fs.open(path, "rb") as handle:
        return pa.ipc.open_file(handle).get_batch(part)
