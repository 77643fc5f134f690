"""An exchange of rows between tasks, through scratch files that all workers reach.

::

    task p    send(p, rows, destination)     p.arrow      a slice for each destination
                                             p.offsets    where each begins
    task d    receive([p, q, ...], d)        slice d of each, in this order and the order of rows
    once      p.done                         the receipt of a task: its small result

A file gets its name when it is complete, and the receipt comes last. A worker that dies takes no
rows along: only the tasks that it was at run again, and a run that is resumed finds the receipts.
Slices are read into memory: Dask would count the pages of mapped files as memory in use.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

__all__ = ["Exchange", "arrays"]

ROWS, OFFSETS, DONE = ".arrow", ".offsets", ".done"
#: Files that are read at a time.
TOGETHER = 16
OFFSET_BYTES = np.dtype(np.int64).itemsize


@dataclass(frozen=True)
class Exchange:
    """A scratch folder.

    Parameters
    ----------
    folder : str
        A local path or any URL of fsspec. The folder that it is in must be there.

    Examples
    --------
    >>> exchange = Exchange("memory://scratch")
    >>> for name, rows in {"a": [1, 2, 3], "b": [4, 5]}.items():
    ...     exchange.send(name, {"x": np.array(rows)}, np.array(rows) % 2, 2)
    >>> arrays(exchange.receive(["a", "b"], 1))["x"].tolist()
    [1, 3, 5]
    """

    folder: str

    def send(
        self,
        name: str,
        rows: pa.Table | Mapping[str, np.ndarray],
        destination: np.ndarray,
        n_destinations: int,
    ) -> None:
        """Write rows, sorted by their destinations; the order among those of one is kept.

        Parameters
        ----------
        name : str
            Of the files.
        rows : pyarrow.Table, or mapping of str to ndarray
            Arrays are of one or two dimensions.
        destination : ndarray of int, shape (n,)
        n_destinations : int
        """
        table = rows if isinstance(rows, pa.Table) else _as_table(rows)
        order = np.argsort(destination, kind="stable")
        bounds = np.searchsorted(destination, np.arange(n_destinations + 1), sorter=order)
        table = table.unify_dictionaries().take(pa.array(order))
        columns = [column.combine_chunks() for column in table.columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=table.schema)
        offsets = []

        def write(handle: Any) -> None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.ipc.new_stream(handle, table.schema, options=options) as stream:
                # The schema and the dictionaries, which every slice is read with.
                stream.write_batch(batch.slice(0, 0))
                offsets.append(handle.tell())
                for low, high in pairwise(bounds.tolist()):
                    if low < high:
                        stream.write_batch(batch.slice(low, high - low))
                    offsets.append(handle.tell())

        self._write(name + ROWS, write)
        places = np.array(offsets, dtype=np.int64).tobytes()
        self._write(name + OFFSETS, lambda handle: handle.write(places))

    def receive(self, names: Sequence[str], destination: int) -> pa.Table:
        """Read the rows for one destination, in the order of the names and, in each, of its rows.

        Parameters
        ----------
        names : sequence of str
            At least one.
        destination : int

        Returns
        -------
        pyarrow.Table
            :func:`arrays` makes arrays of it.
        """
        fs, root = url_to_fs(self.folder)
        read = partial(fs.cat_ranges, on_error="raise")
        tables: list[pa.Table] = []
        for i in range(0, len(names), TOGETHER):
            files = [f"{root}/{name}" for name in names[i : i + TOGETHER]]
            places = read([file + OFFSETS for file in files], 0, OFFSET_BYTES * (destination + 2))
            offsets = np.array([np.frombuffer(of, dtype=np.int64)[[0, -2, -1]] for of in places])
            # To ask a store for no bytes may get all. Where there are none, headers have the types.
            filled = np.flatnonzero(offsets[:, 1] < offsets[:, 2])
            some = filled if len(filled) else np.arange(len(files))
            paths = [files[j] + ROWS for j in some]
            headers, starts, stops = offsets[some].T.tolist()
            heads = read(paths, 0, headers)
            slices = read(paths, starts, stops) if len(filled) else [b""] * len(files)
            tables += (
                pa.ipc.open_stream(head + rows).read_all()
                for head, rows in zip(heads, slices, strict=True)
            )
        return pa.concat_tables(tables).unify_dictionaries()

    def once(
        self, name: str, task: Callable[[], Mapping[str, Any] | None]
    ) -> dict[str, np.ndarray]:
        """Run a task, unless its receipt is there.

        Parameters
        ----------
        name : str
            Of the receipt.
        task : callable
            What it writes must be complete when it returns. It returns small arrays by name.

        Returns
        -------
        dict of str to ndarray
            What the task returned, now or then.
        """
        fs, root = url_to_fs(self.folder)
        with (
            suppress(FileNotFoundError),
            np.load(io.BytesIO(fs.cat_file(f"{root}/{name}{DONE}")), allow_pickle=False) as receipt,
        ):
            return dict(receipt)
        result: dict[str, Any] = {k: np.asarray(value) for k, value in (task() or {}).items()}
        receipt = io.BytesIO()
        np.savez(receipt, **result)
        self._write(name + DONE, lambda handle: handle.write(receipt.getvalue()))
        return result

    def finished(self) -> set[str]:
        """Return the names of receipts that are there; another user's, or links, are none."""
        fs, root = url_to_fs(self.folder)
        fs.invalidate_cache()
        try:
            owner, entries = fs.info(root).get("uid"), fs.ls(root, detail=True)
        except FileNotFoundError:
            return set()
        return {
            entry["name"].rpartition("/")[2].removesuffix(DONE)
            for entry in entries
            if entry["name"].endswith(DONE)
            and entry.get("uid") == owner
            and not entry.get("islink")
        }

    def _write(self, name: str, write: Callable[[Any], Any]) -> None:
        """Write a file that appears whole or not at all."""
        fs, root = url_to_fs(self.folder)
        if not isinstance(fs, LocalFileSystem):
            with fs.open(f"{root}/{name}", "wb") as handle:  # it appears when the upload ends
                write(handle)
            return
        try:
            # Not those above it: a task of a cancelled run must not bring them back.
            with suppress(FileExistsError):
                os.mkdir(root)
        except FileNotFoundError:
            raise OSError(
                f"cannot write {root}: its folder is not there: workers on other machines need a "
                "storage that all share, and after a cancelled run there is none"
            ) from None
        aside = f"{root}/.{name}.{uuid.uuid4().hex}"
        try:
            with open(aside, "wb") as handle:
                write(handle)
                # A resumed run believes the receipt: what it is for must outlive a power cut.
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(aside, f"{root}/{name}")
        except BaseException:
            with suppress(FileNotFoundError):
                os.remove(aside)
            raise


def arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns of a table as arrays; lists of one length are the rows of a matrix."""
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_fixed_size_list(column.type):
            values = column.combine_chunks().flatten().to_numpy()
            found[name] = values.reshape(len(column), column.type.list_size)
        else:
            found[name] = column.to_numpy()
    return found


def _as_table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    def as_column(array: np.ndarray) -> Any:
        if array.ndim == 1:
            return pa.array(array)
        return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])

    return pa.table({name: as_column(array) for name, array in columns.items()})
