"""The tasks that write the part files, and the loop that follows them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pandas as pd
from dask import delayed
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from distributed import as_completed, get_worker

from dsmote.cluster import peak_memory
from dsmote.job.files import clear_errors, is_local, open_fs
from dsmote.job.labels import plain_label
from dsmote.job.layout import Layout
from dsmote.job.storage import content_mark, write_record
from dsmote.job.watch import cancel, deferred_signals

__all__ = [
    "Part",
    "ToWrite",
    "Written",
    "after",
    "write_file",
    "write_part",
    "write_parts",
    "write_tasks",
]

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

    Parameters
    ----------
    number : int
        Of the part in the job: the same number is always the same files.
    files : tuple of Written
        One, unless columns became folders.
    counts : tuple of (label, rows)
        Rows without a label are those of None.
    worker : str or None
        Address of the worker.
    peak : int
        Peak memory of its process so far, in bytes.
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
    """A part before it is written.

    Parameters
    ----------
    number : int
        Of the part in the job.
    file : str
        Its path in the output; columns that become folders come before the last name.
    partition : Delayed
    layout : Layout
    """

    number: int
    file: str
    partition: Any
    layout: Layout


def write_parts(
    client: Any,
    parts: Sequence[ToWrite],
    folder: str,
    on_part: Callable[[Part], None],
    report: Any = None,
    finished: Mapping[int, Part] | None = None,
) -> tuple[list[Part], Any]:
    """Write parts, and wait for all of them.

    Only a `Part` of a few hundred bytes per part comes back. Whatever ends the wait, the tasks that
    are left are cancelled.

    Parameters
    ----------
    client : distributed.Client
    parts : sequence of ToWrite
    folder : str
        The staging folder, as the workers see it.
    on_part : callable
        Called with each part when it is written.
    report : Delayed, optional
        Computed along with the parts, from what they are made of.
    finished : mapping of int to Part, optional
        Parts that are there already, by number, and are not written again.

    Returns
    -------
    list of Part
        By number.
    object
        The report's value; where it was not lazy, as it was.
    """
    finished = finished or {}
    tasks, ends = write_tasks([p for p in parts if p.number not in finished], folder)
    lazy = isinstance(report, Delayed)
    # One optimized graph would let Dask merge partitions; their number decides the part files.
    submitted = client.compute([*tasks, *([report] if lazy else []), *ends], optimize_graph=False)
    futures, last = submitted[: len(tasks)], submitted[len(tasks) :]
    done = list(finished.values())
    try:
        with deferred_signals(client) as check:
            for ready in finished.values():
                on_part(ready)
            for future, written in as_completed(futures, with_results=True):
                check()
                if isinstance(written, BaseException):  # a cancelled task has it for a result
                    raise written
                done.append(written)
                on_part(written)
                # A result that is here needs no worker any more, so none has to make it again.
                future.release()
            # Until these are done, the death of a worker would have parts written once more.
            results = [future.result() for future in last]
            check()
            found = results[0] if lazy else report
    except BaseException:
        cancel(client, [*futures, *last])
        raise
    return sorted(done, key=lambda part: part.number), found


def write_tasks(parts: Sequence[ToWrite], folder: str) -> tuple[list[Any], list[Any]]:
    """Return the tasks that write parts, and where they are many, some that follow them.

    Of each partition that is read, Dask notes which last tasks of the graph need it: all blocks of
    new rows do. With a hundred thousand partitions and ten thousand blocks, that would take
    more memory than the scheduler has. Tasks that follow many at a time leave few last ones.

    Parameters
    ----------
    parts : sequence of ToWrite
    folder : str
        The staging folder.

    Returns
    -------
    list of Delayed
        For each part, its `Part`.
    list of Delayed
        To be computed with them.
    """
    token = uuid.uuid4().hex
    tasks = []
    for part in parts:
        # In a partial, so that Dask does not look for collections in the layout.
        write = partial(
            write_part, number=part.number, folder=folder, file=part.file, layout=part.layout
        )
        task = delayed(write, pure=False)
        tasks.append(task(part.partition, dask_key_name=f"write-{token}-{part.number}"))
    if len(tasks) < MANY:
        return tasks, []
    size = -(-len(tasks) // ENDS)
    groups = [tasks[i : i + size] for i in range(0, len(tasks), size)]
    return tasks, [after(group, f"end-{token}-{n}") for n, group in enumerate(groups)]


def after(tasks: Sequence[Any], key: str) -> Any:
    """Return a task that follows others. A call of ``delayed`` would optimise the graph of each.

    Parameters
    ----------
    tasks : sequence of Delayed
    key : str

    Returns
    -------
    Delayed
        How many they are.
    """
    layer: dict[Any, Any] = {key: (len, [task.key for task in tasks])}
    return Delayed(key, HighLevelGraph.from_collections(key, layer, dependencies=tasks), layer=key)


def write_part(frame: pd.DataFrame, *, number: int, folder: str, file: str, layout: Layout) -> Part:
    """Write the files of a part. Doing it again gives the same bytes under the same names.

    Parameters
    ----------
    frame : pandas.DataFrame
    number : int
    folder : str
        The staging folder.
    file : str
    layout : Layout

    Returns
    -------
    Part

    Raises
    ------
    ValueError
        When the frame does not fit the schema; the column is named.
    """
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
    """Write a file of the staging folder, which appears whole or not at all.

    Parameters
    ----------
    folder : str
        The staging folder.
    path : str
        Of the file in it.
    write : callable
        Called with a binary file.
    scratch : bool, default=False
        Whether the file need not outlive a power cut.

    Returns
    -------
    int
        Its bytes.
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
    try:
        return str(get_worker().address)
    except ValueError:  # not in a worker
        return None
