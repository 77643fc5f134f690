"""An exchange of rows between tasks, through scratch files that all workers reach.

::

    task p    send(p, rows, destination)     p.arrow      a batch of rows for each destination
    task d    receive([p, q, ...], d)        batch d of each, in this order and the order of rows

A file gets its name when it is complete. A worker that dies takes no rows along: only the tasks
that it was at run again, and a run that is resumed finds the files that are finished. Batches are
read into memory: Dask would count the pages of mapped files as memory in use.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import dask
import numpy as np
import pyarrow as pa
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from dsmote.execute.resources import current_client
from dsmote.plan.labels import listed

#: How often a scheduler is asked whether files are still needed.
POLL_SECONDS = 1.0
ENDING = ".arrow"
#: What an Arrow file ends with; one whose upload was cut off does not.
MAGIC = b"ARROW1"
#: Files that are read at a time, and bytes that are asked for at once: a store would send more.
TOGETHER, BLOCK_BYTES = 16, 64 * 2**10


@dataclass(frozen=True)
class Exchange:
    """A scratch folder: a local path or any URL of fsspec. The folder that it is in must exist.

    Examples
    --------
    >>> exchange = Exchange("memory://job/scratch")
    >>> for name, rows in {"a": [1, 2, 3], "b": [4, 5]}.items():
    ...     exchange.send(name, pa.table({"x": rows}), np.array(rows) % 2, 2)
    >>> exchange.receive(["a", "b"], 1)["x"].to_pylist()
    [1, 3, 5]
    """

    folder: str
    durable: bool = True  # files outlive a power cut, for a run that is resumed

    def send(self, name: str, rows: pa.Table, destination: np.ndarray, n_destinations: int) -> None:
        """Write rows, sorted by their destinations; the order among those of one is kept."""
        if (destination[1:] < destination[:-1]).any():
            order = np.argsort(destination, kind="stable")
            rows, destination = rows.unify_dictionaries().take(pa.array(order)), destination[order]
        bounds = np.searchsorted(destination, np.arange(n_destinations + 1)).tolist()
        table = rows.unify_dictionaries()
        columns = [column.combine_chunks() for column in table.columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=table.schema)
        self.write(name, (batch.slice(i, j - i) for i, j in pairwise(bounds)), batch.schema)

    def write(self, name: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        """Write a batch of rows for each destination, as they are made."""
        above, _, own = self.folder.rpartition("/")
        write = partial(_write, batches=batches, schema=schema)
        write_file(above, f"{own}/{name}{ENDING}", write, durable=self.durable)

    def once(self, name: str, task: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Run a task that sends rows, and keep the arrays that it returns as its receipt.

        Who runs it again, because the worker with its result has died, finds them.
        """
        fs, root = url_to_fs(self.folder)
        receipt = f"{root}/{name}.npz"
        with suppress(FileNotFoundError), fs.open(receipt, "rb") as handle:
            return dict(np.load(handle, allow_pickle=False))
        found = task()
        above, _, own = self.folder.rpartition("/")
        write: Any = partial(np.savez, **cast(Any, found))
        write_file(above, f"{own}/{name}.npz", write, durable=self.durable)
        return found

    def receive(self, names: Sequence[str], destination: int) -> pa.Table:
        """Read the rows for a destination, in the order of the names and, in each, of its rows."""
        fs, root = url_to_fs(self.folder)
        read = partial(_read, fs, destination=destination)
        files = [f"{root}/{name}{ENDING}" for name in names]
        if len(files) == 1:  # threads take as long to start
            return pa.Table.from_batches([read(files[0])]).unify_dictionaries()
        with ThreadPoolExecutor(min(TOGETHER, len(files))) as pool:
            return pa.Table.from_batches(pool.map(read, files)).unify_dictionaries()

    def forget_with(self, collection: Any) -> None:
        """Delete the folder with a collection, too, if a cluster computes it.

        A scheduler in this process keeps tasks, and with them a `Scratch`, in its logs. What is
        lazy and was derived from the collection finds an empty folder, and fills it again.
        """
        if isinstance(self, Scratch) and current_client() is not None:
            cast(Any, weakref.finalize(collection, _forget, self.folder)).atexit = False

    def finished(self) -> set[str]:
        """Return the names of files that are complete, without links and another user's."""
        fs, root = url_to_fs(self.folder)
        fs.invalidate_cache()
        try:
            owner, entries = fs.info(root).get("uid"), fs.ls(root, detail=True)
        except FileNotFoundError:
            return set()
        sizes = {
            str(entry["name"]): int(entry["size"])
            for entry in entries
            if entry["name"].endswith(ENDING)
            and entry["size"] > len(MAGIC)
            and entry.get("uid") == owner
            and not entry.get("islink")
        }
        starts = [size - len(MAGIC) for size in sizes.values()]
        ends = fs.cat_ranges(list(sizes), starts, list(sizes.values()), on_error="raise")
        return {
            file.rpartition("/")[2].removesuffix(ENDING)
            for file, end in zip(sizes, ends, strict=True)
            if end == MAGIC
        }


def write_file(folder: str, path: str, write: Callable[[Any], Any], durable: bool = True) -> int:
    """Write a file below a folder, which appears whole or not at all; return its bytes.

    One that is not durable may be empty after a power cut.
    """
    fs, root = url_to_fs(folder)
    inside = f"{root}/{path}"
    if not isinstance(fs, LocalFileSystem):  # an object appears when its upload is complete
        with fs.open(inside, "wb") as handle:
            write(handle)
            return int(handle.tell())
    if not os.path.isdir(root):
        raise OSError(
            f"cannot write {inside}: its folder is not there: workers on other machines need a "
            "storage that all share, and after a cancelled run there is none"
        )
    *between, _ = path.split("/")
    for segment in between:
        root = os.path.join(root, segment)
        # One by one: a task of a cancelled run must not bring the folder above back.
        with suppress(FileExistsError):
            os.mkdir(root)
    held = f"{root}/tmp.{uuid.uuid4().hex[:12]}"
    try:
        with open(held, "wb") as handle:
            write(handle)
            size = handle.tell()
            if durable:
                handle.flush()
                os.fsync(handle.fileno())
        os.replace(held, inside)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.remove(held)
        if isinstance(error, OSError) and error.errno and not error.filename:
            # A full disk does not say which file.
            raise OSError(f"cannot write {inside}: {error.strerror}") from error
        raise
    return size


def _write(handle: Any, *, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(handle, schema, options=options) as file:
        for batch in batches:
            file.write_batch(batch)


def _read(fs: Any, path: str, *, destination: int) -> pa.RecordBatch:
    with fs.open(path, "rb", block_size=BLOCK_BYTES) as handle:
        return pa.ipc.open_file(handle).get_batch(destination)


class Scratch(Exchange):
    """A folder that is deleted with the lazy result it belongs to, or when the program ends.

    Copies of it in tasks on workers delete nothing.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder, durable=False)
        weakref.finalize(self, _forget, folder)

    def __reduce__(self) -> Any:
        return Exchange, (self.folder, False)


def scratch(root: str | None, token: str, staged: bool) -> Exchange:
    """Return an exchange in a new folder below one; `staged`: that one is a job's to delete.

    Without one it is below Dask's temporary directory, which workers of several machines do not
    share.
    """
    if root is None:
        _check_one_machine()
        root = dask.config.get("temporary-directory", None) or tempfile.gettempdir()
    folder = f"{root.rstrip('/')}/dsmote-{token}"
    return Exchange(folder, durable=False) if staged else Scratch(folder)


def _check_one_machine() -> None:
    client = current_client()
    if client is None:
        return
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    hosts = sorted({worker["host"] for worker in workers})
    if len(hosts) > 1:
        raise ValueError(
            f"the rows of a class are to lie in scratch files, and the {len(workers)} workers are "
            f"on {len(hosts)} machines ({listed(hosts)}): pass scratch=, a folder or URL that all "
            "of them share"
        )


def _forget(folder: str) -> None:
    """Delete a folder once no task of a cluster needs it."""
    client = current_client()
    if client is None or sys.is_finalizing():
        _delete(folder)
        return
    at_exit = atexit.register(partial(_delete, folder))

    def wait() -> None:
        with suppress(Exception):  # there is no scheduler any more
            time.sleep(POLL_SECONDS)
            token = folder.rpartition("-")[2]
            # A scheduler forgets tasks that were dropped at once; workers, when they are done.
            while client.run_on_scheduler(_in_use, token) or any(
                client.run(_at_work, token).values()
            ):
                time.sleep(POLL_SECONDS)
        atexit.unregister(at_exit)
        _delete(folder)

    # The last reference may go in the thread of the client's own loop, which must not wait.
    threading.Thread(target=wait, name="dsmote-scratch", daemon=True).start()


def _in_use(token: str, dask_scheduler: Any = None) -> bool:
    return any(token in str(key) for key in dask_scheduler.tasks)


def _at_work(token: str, dask_worker: Any = None) -> bool:
    return any(token in str(key) for key in dask_worker.state.tasks)


def _delete(folder: str) -> None:
    fs, path = url_to_fs(folder)
    with suppress(OSError):
        fs.rm(path, recursive=True)
