"""The tasks that write the part files."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pandas as pd
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.cluster import peak_memory
from dsmote.execute.graph import in_one_reading
from dsmote.job.files import clear_errors, is_local, open_fs
from dsmote.job.labels import plain_label
from dsmote.job.layout import Layout
from dsmote.job.storage import content_mark, write_record

__all__ = ["Part", "ToWrite", "Written", "after", "write_file", "write_part", "write_tasks"]

MANY = 1024  # parts from which on others are to follow them
ENDS = 64  # that follow, at most


@dataclass(frozen=True)
class Written:
    """A file of a part: its path in the output, rows, bytes, and what tells its content."""

    file: str
    rows: int
    bytes: int
    mark: str = ""


@dataclass(frozen=True)
class Part:
    """What a task reports about the part it wrote.

    The same number in a job is always the same files: one, unless columns became folders. Rows
    without a label are counted as those of None. The peak is that of the worker's process so far.
    """

    number: int
    files: tuple[Written, ...]
    counts: tuple[tuple[Any, int], ...]
    worker: str | None
    peak: int

    @property
    def rows(self) -> int:
        """Rows of its files."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of its files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class ToWrite:
    """A part before it is written; `file` is its path without the folders that columns become."""

    number: int
    file: str
    partition: Any
    layout: Layout


def write_tasks(
    parts: Sequence[ToWrite], folder: str, asked: Any = None
) -> tuple[list[Any], list[Any]]:
    """Return a task for each part, and those that are to be waited for after them.

    These are what else is asked for of the same partitions, where it is lazy, and followers of many
    parts: the scheduler keeps less of tasks that others follow.
    """
    token = uuid.uuid4().hex
    graph: dict[Any, Any] = {}
    lazy = [part.partition for part in parts] + [asked] * isinstance(asked, Delayed)
    for whole in {id(each.dask): each.dask for each in lazy}.values():
        graph |= whole
    keys = [f"write-{token}-{part.number}" for part in parts]
    for key, part in zip(keys, parts, strict=True):
        write = partial(
            write_part, number=part.number, folder=folder, file=part.file, layout=part.layout
        )
        graph[key] = (write, part.partition.key)
    rest = [asked.key] if isinstance(asked, Delayed) else []
    if len(keys) >= MANY:
        size = -(-len(keys) // ENDS)
        for start in range(0, len(keys), size):
            rest.append(f"end-{token}-{start}")
            graph[rest[-1]] = (len, keys[start : start + size])
    name = f"parts-{token}"
    graph = in_one_reading(graph, keys, rest)
    whole = HighLevelGraph.from_collections(name, graph, dependencies=())
    tasks, others = ([Delayed(key, whole, layer=name) for key in some] for some in (keys, rest))
    return tasks, others


def after(tasks: Sequence[Any], key: str) -> Any:
    """Return a task that follows others. A call of ``delayed`` would optimise the graph of each."""
    layer: dict[Any, Any] = {key: (len, [task.key for task in tasks])}
    return Delayed(key, HighLevelGraph.from_collections(key, layer, dependencies=tasks), layer=key)


def write_part(frame: pd.DataFrame, *, number: int, folder: str, file: str, layout: Layout) -> Part:
    """Write the files of a part. Doing it again gives the same bytes under the same names."""
    inside, _, name = file.rpartition("/")
    files = []
    for keys, table in layout.tables(frame, number):
        path = f"{inside}/{keys}{name}" if inside else f"{keys}{name}"
        with clear_errors("write", f"{folder}/{path}"):
            size = write_file(folder, path, partial(layout.write, table))
            mark = content_mark(*open_fs(f"{folder}/{path}"))
        files.append(Written(path, table.num_rows, size, mark))
    labels = frame[layout.target]
    counts = [(plain_label(v), int(n)) for v, n in labels.value_counts(sort=False).items() if n]
    if labels.hasnans:
        counts.append((None, int(labels.isna().sum())))
    part = Part(number, tuple(files), tuple(counts), _worker_address(), peak_memory())
    write_record(folder, number, asdict(part))
    return part


def write_file(folder: str, path: str, write: Callable[[Any], None], scratch: bool = False) -> int:
    """Write a file of the staging folder, which appears whole or not at all; return its bytes.

    A scratch file need not outlive a power cut.
    """
    fs, inside = open_fs(f"{folder}/{path}")
    if not is_local(fs):
        # An object appears when its upload is complete, so it needs no second name.
        with fs.open(inside, "wb") as handle:
            write(handle)
        return int(fs.info(inside)["size"])
    root, (*between, name) = open_fs(folder)[1], path.split("/")
    if not os.path.isdir(root):
        raise OSError(
            "its folder is not there: workers on other machines need a storage that all share, "
            "and after a cancelled run there is none"
        )
    for segment in between:
        root = os.path.join(root, segment)
        # One by one: a task of a cancelled run must not bring the folder above back.
        with suppress(FileExistsError):
            os.mkdir(root)
    aside = os.path.join(root, f".{name}.{uuid.uuid4().hex}")
    try:
        with open(aside, "wb") as handle:
            write(handle)
            if not scratch:  # a name may be on the disk before what it names
                handle.flush()
                os.fsync(handle.fileno())
        size = os.path.getsize(aside)
        os.replace(aside, inside)
    except BaseException:
        if os.path.exists(aside):
            os.remove(aside)
        raise
    return size


def _worker_address() -> str | None:
    distributed = sys.modules.get("distributed")  # a worker has imported it
    try:
        return None if distributed is None else str(distributed.get_worker().address)
    except ValueError:  # not in a worker
        return None
