"""The tasks that write the part files, and the loop that follows them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask import delayed
from dask.delayed import Delayed
from distributed import as_completed, get_worker

from dsmote.cluster import peak_memory
from dsmote.job.files import clear_errors, is_local, open_fs
from dsmote.job.spec import plain_label
from dsmote.job.storage import part_name

__all__ = ["Part", "write_part", "write_parts"]

#: Values of a column that are looked at to tell whether they repeat.
DICTIONARY_SAMPLE = 4096


@dataclass(frozen=True)
class Part:
    """What a task reports about the file it wrote.

    Parameters
    ----------
    number : int
    rows, bytes : int
    counts : tuple of (label, rows)
    worker : str or None
        Address of the worker.
    peak : int
        Peak memory of its process so far, in bytes.
    """

    number: int
    rows: int
    bytes: int
    counts: tuple[tuple[Any, int], ...]
    worker: str | None
    peak: int


def write_parts(
    client: Any,
    frame: Any,
    folder: str,
    schema: pa.Schema,
    target: str,
    on_part: Callable[[Part], None],
    report: Any = None,
) -> tuple[list[Part], Any]:
    """Write every partition as a part file, and wait for all of them.

    Only a `Part` of a few hundred bytes per file comes back. Whatever ends the wait, the tasks that
    are left are cancelled.

    Parameters
    ----------
    client : distributed.Client
    frame : dask.dataframe.DataFrame
    folder : str
        The staging folder, as the workers see it.
    schema : pyarrow.Schema
        Of every part.
    target : str
        The column whose labels are counted.
    on_part : callable
        Called with each part when it is written.
    report : Delayed, optional
        Computed along with the parts, from what they are made of.

    Returns
    -------
    list of Part
        By number.
    object
        The report's value; where it was not lazy, as it was.
    """
    # One optimized graph would let Dask merge partitions; their number decides the part files.
    partitions = frame.to_delayed(optimize_graph=False)
    write = delayed(write_part, pure=False)
    tasks = [
        write(partition, number, folder, schema, target, dask_key_name=f"{token}-{number}")
        for token in [f"write-{uuid.uuid4().hex}"]
        for number, partition in enumerate(partitions)
    ]
    lazy = isinstance(report, Delayed)
    submitted = client.compute([*tasks, *([report] if lazy else [])], optimize_graph=False)
    futures, last = submitted[: len(tasks)], submitted[-1]
    parts = []
    try:
        for future, part in as_completed(futures, with_results=True):
            parts.append(part)
            on_part(part)
            # A result that is here needs no worker any more, so none has to make it again.
            future.release()
        found = last.result() if lazy else report
    except BaseException:
        client.cancel([*futures, last] if lazy else futures, force=True)
        raise
    return sorted(parts, key=lambda part: part.number), found


def write_part(
    frame: pd.DataFrame, number: int, folder: str, schema: pa.Schema, target: str
) -> Part:
    """Write one part file. Doing it again gives the same bytes under the same name.

    Parameters
    ----------
    frame : pandas.DataFrame
    number : int
    folder : str
    schema : pyarrow.Schema
    target : str

    Returns
    -------
    Part

    Raises
    ------
    ValueError
        When the frame does not fit the schema; the column is named.
    """
    table = _to_arrow(frame, schema, number)
    path = f"{folder}/{part_name(number)}"
    with clear_errors("write", path):
        size = _write(table, path)
    counts = frame[target].value_counts(dropna=False, sort=False)
    present = tuple((plain_label(label), int(rows)) for label, rows in counts.items() if rows)
    return Part(number, table.num_rows, size, present, _worker_address(), peak_memory())


def _to_arrow(frame: pd.DataFrame, schema: pa.Schema, number: int) -> pa.Table:
    if list(frame.columns) != schema.names:
        raise ValueError(
            f"partition {number} has the columns {list(frame.columns)}, expected {schema.names}"
        )
    try:
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False, nthreads=1)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"partition {number} does not fit the table's schema: {error}") from error
    # The metadata that pandas adds tells the categories of this part: no two would be alike.
    return table.replace_schema_metadata(schema.metadata)


def _write(table: pa.Table, path: str) -> int:
    fs, inside = open_fs(path)
    if not is_local(fs):
        # An object appears when its upload is complete, so it needs no second name.
        with fs.open(inside, "wb") as handle:
            _write_table(table, handle)
        return int(fs.info(inside)["size"])
    folder, name = os.path.split(inside)
    if not os.path.isdir(folder):
        raise OSError(
            "its folder is not there: workers on other machines need a storage that all share, "
            "and after a cancelled run there is none"
        )
    aside = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        with open(aside, "wb") as handle:
            _write_table(table, handle)
        size = os.path.getsize(aside)
        os.replace(aside, inside)
    except BaseException:
        if os.path.exists(aside):
            os.remove(aside)
        raise
    return size


def _write_table(table: pa.Table, handle: Any) -> None:
    pq.write_table(table, handle, compression="snappy", use_dictionary=_repeating(table))


def _repeating(table: pa.Table) -> list[str]:
    """Name the columns that a dictionary makes smaller.

    A dictionary of numbers that hardly repeat (measurements, and what is made between them) is
    given up by the writer half-way: the file gets larger, and writing takes five times as long.
    """
    names = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        head = column.slice(0, DICTIONARY_SAMPLE)
        plain = pa.types.is_primitive(column.type)
        if not plain or 2 * len(head.unique()) <= len(head):
            names.append(name)
    return names


def _worker_address() -> str | None:
    try:
        return str(get_worker().address)
    except ValueError:  # not in a worker
        return None
