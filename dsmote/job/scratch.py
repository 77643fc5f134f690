"""Scratch files of a shuffle: rows in the order of their words, a batch for each part."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.job.files import clear_errors, is_local, open_fs
from dsmote.job.parquet import as_pandas
from dsmote.job.parts import write_file
from dsmote.plan import Stream
from dsmote.plan.draws import MIX

__all__ = ["SCRATCH", "collect", "regroup", "scratch_file", "spread"]

#: The folder of the scratch files in the staging folder.
SCRATCH = "_mixed"
#: The column of the words in the scratch files.
WORD = "__dsmote_word__"
#: Scratch files that are read at a time from a remote store.
READERS = 16


def scratch_file(place: int, group: int | None = None) -> str:
    """Return the name of a scratch file, in the staging folder.

    Parameters
    ----------
    place : int
        Of its partition, or which of those of its group it is.
    group : int, optional
        Of parts.

    Returns
    -------
    str

    Examples
    --------
    >>> scratch_file(3), scratch_file(3, 1)
    ('_mixed/00003.arrow', '_mixed/00001-00003.arrow')
    """
    of = "" if group is None else f"{group:05d}-"
    return f"{SCRATCH}/{of}{place:05d}.arrow"


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
    size: int = 1,
) -> int:
    """Write the rows of a partition in the order of their words, a batch for each group of parts.

    Parameters
    ----------
    frame : pandas.DataFrame
    file, folder : str
        The scratch file, in the staging folder.
    start, rows : int
        Number of the first row, and how many there must be.
    parts, seed : int
    schema : pyarrow.Schema
    size : int
        Parts of a group.

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
    words = Stream(seed, 0, MIX).bits(start, start + rows)
    order = np.argsort(words, kind="stable")
    words = words[order]
    table = pa.Table.from_pandas(frame.iloc[order], schema=schema, preserve_index=False, nthreads=1)
    table = table.append_column(pa.field(WORD, pa.uint64()), pa.array(words)).combine_chunks()
    return _write(table, [*range(0, parts, size), parts], parts, folder, file)


def _write(table: pa.Table, firsts: Sequence[int], parts: int, folder: str, file: str) -> int:
    """Write rows that are in the order of their words; a batch begins at each of some parts."""
    ends = np.searchsorted(_part_of(table.column(WORD).to_numpy(), parts), firsts).tolist()
    (rows,) = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]

    def write(handle: Any) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(handle, table.schema, options=options) as writer:
            for low, high in pairwise(ends):
                # Empty ones too, so that the k-th is that of the k-th part. All are slices of one,
                # as a file holds one dictionary for all of them.
                writer.write_batch(rows.slice(low, high - low))

    with clear_errors("write", f"{folder}/{file}"):
        return write_file(folder, file, write, scratch=True)


def _part_of(words: np.ndarray, parts: int) -> np.ndarray:
    """Return the part of each word: equal shares of all words, in their order."""
    high = words >> np.uint64(32)
    return ((high * np.uint64(parts)) >> np.uint64(32)).astype(np.int64)


def regroup(
    _: int, *, files: range, group: int, run: int, parts: int, own: range, folder: str
) -> int:
    """Gather the rows of a group of parts from some scratch files into one.

    Parameters
    ----------
    _ : int
    files : range
        The scratch files.
    group, run : int
        Which group, and which of its files is written.
    parts : int
        Of the mixed table.
    own : range
        Those of the group.
    folder : str
        The staging folder.

    Returns
    -------
    int
        The bytes of the file.
    """
    table = _gathered(folder, [scratch_file(place) for place in files], group).combine_chunks()
    return _write(table, [*own, own.stop], parts, folder, scratch_file(run, group))


def collect(
    files: int, *, part: int, folder: str, schema: pa.Schema, group: int | None = None
) -> pd.DataFrame:
    """Read the rows of a part from every scratch file, and put them in the order of their words.

    Parameters
    ----------
    files : int
        How many scratch files there are.
    part : int
        Which of their batches.
    folder : str
    schema : pyarrow.Schema
    group : int, optional
        Whose files are read, where there are groups.

    Returns
    -------
    pandas.DataFrame
    """
    table = _gathered(folder, [scratch_file(place, group) for place in range(files)], part)
    table = table.drop_columns([WORD]).replace_schema_metadata(schema.metadata)
    return as_pandas(table, use_threads=False, split_blocks=True, self_destruct=True)


def _gathered(folder: str, files: Sequence[str], batch: int) -> pa.Table:
    """Read a batch of each file; return all rows in the order of their words."""
    read = partial(_read_batch, folder, batch)
    if is_local(open_fs(folder)[0]):
        batches = [read(file) for file in files]
    else:
        with ThreadPoolExecutor(READERS) as pool:
            batches = list(pool.map(read, files))
    table = pa.Table.from_batches(batches).unify_dictionaries()
    del batches
    # Of equal words the row of the smaller number is first, as the files are in that order.
    order = np.argsort(table.column(WORD).to_numpy(), kind="stable")
    return table.take(pa.array(order))


def _read_batch(folder: str, batch: int, file: str) -> pa.RecordBatch:
    fs, path = open_fs(f"{folder}/{file}")
    with clear_errors("read", path), fs.open(path, "rb") as handle:
        return pa.ipc.open_file(handle).get_batch(batch)
