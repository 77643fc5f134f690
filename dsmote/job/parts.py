"""The tasks that write parts: rows become files, in folders by value where columns name them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from dsmote.execute.exchange import write_file
from dsmote.execute.graph import in_one_reading
from dsmote.execute.resources import peak_memory
from dsmote.job.files import clear_errors, file_mark, is_local, open_fs
from dsmote.job.labels import plain_label
from dsmote.job.reading import NO_VALUE
from dsmote.job.sources import as_pandas, look_at, with_pandas_dtypes

#: Folders of one part, at most: more would make files of a few rows each.
MOST_FOLDERS = 1000
#: Bytes of a folder's name, at most, on file systems.
LONGEST_NAME = 255
#: Values of a column that are looked at to tell whether they repeat.
DICTIONARY_SAMPLE = 4096
#: Parts from which on others are to follow them, and those that follow, at most.
MANY, ENDS = 1024, 64
#: Files that are looked into at a time.
THREADS = 16


@dataclass(frozen=True)
class Layout:
    """How parts are written.

    The schema is of all columns, of the target labels are counted, and the values of `partition_by`
    become folders, ``column=value/``, and are not in the files.
    """

    schema: pa.Schema
    target: str
    partition_by: tuple[str, ...] = ()
    row_group_rows: int | None = None
    compression: str = "snappy"

    @property
    def in_files(self) -> pa.Schema:
        """The schema of the files."""
        if not self.partition_by:
            return self.schema
        kept = [field for field in self.schema if field.name not in self.partition_by]
        empty = as_pandas(self.schema.empty_table()).drop(columns=list(self.partition_by))
        return with_pandas_dtypes(pa.schema(kept), empty)

    def tables(self, frame: pd.DataFrame, number: int) -> Iterator[tuple[str, pa.Table]]:
        """Yield the folder (empty, or ending in a slash) and the rows of each file of a part."""
        if list(frame.columns) != self.schema.names:
            raise ValueError(
                f"partition {number} has the columns {list(frame.columns)}, expected "
                f"{self.schema.names}"
            )
        schema = self.in_files
        found = key_folders(frame, self.partition_by) if self.partition_by else [("", None)]
        for folder, rows in found:
            part = frame if rows is None else frame.iloc[rows][schema.names]
            try:
                table = pa.Table.from_pandas(part, schema, preserve_index=False, nthreads=1)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ValueError(
                    f"partition {number} does not fit the table's schema: {error}"
                ) from error
            # The metadata that pandas adds tells the categories of this part: no two are alike.
            yield folder, table.replace_schema_metadata(schema.metadata)

    def write(self, table: pa.Table, handle: Any) -> None:
        """Write a file."""
        pq.write_table(
            table,
            handle,
            compression=self.compression,
            use_dictionary=_repeating(table),
            row_group_size=self.row_group_rows,
        )
        # What Arrow's allocator keeps of it would stand beside the next block that is made.
        pa.default_memory_pool().release_unused()


def _repeating(table: pa.Table) -> list[str]:
    """Name the columns that a dictionary makes smaller.

    A dictionary of numbers that hardly repeat (measurements, and what is made between them) is
    given up by the writer half-way: the file gets larger, and writing takes five times as long.
    """

    def repeats(column: pa.ChunkedArray) -> bool:
        head = column.slice(0, DICTIONARY_SAMPLE)
        return not pa.types.is_primitive(column.type) or 2 * len(head.unique()) <= len(head)

    return [name for name in table.column_names if repeats(table[name])]


def check_partition_by(columns: Sequence[str], dtypes: pd.Series) -> None:
    """Refuse columns whose values make no folders, by the dtypes of all columns of the table."""
    types = pd.api.types
    for name in columns:
        dtype = dtypes[name]
        plain = types.is_integer_dtype(dtype) or types.is_bool_dtype(dtype)
        text = types.is_string_dtype(dtype) or types.is_object_dtype(dtype)
        if not (plain or text or isinstance(dtype, pd.CategoricalDtype)):
            raise ValueError(
                f"partition_by names the column {name!r} of dtype {dtype}: folders are made of "
                "text, categories, whole numbers and bools only; leave it out, or round it or cut "
                "it into classes first"
            )
    if set(columns) == set(dtypes.index):
        raise ValueError("partition_by names every column, and none is left for the files")


def check_folders(frame: Any, columns: Sequence[str], few: bool) -> None:
    """Refuse values that name no folder, in one pass: before the work, and not after most of it."""
    look_at(frame, columns, partial(_checked, columns=tuple(columns), few=few), len)


def _checked(part: pd.DataFrame, columns: tuple[str, ...], few: bool) -> None:
    next(key_folders(part, columns, few), None)  # all are named before the first is given


def key_folders(
    frame: pd.DataFrame, columns: Sequence[str], few: bool = True
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the folder of each set of values, and its rows, in their order.

    Values are encoded as in URLs. Those that name no folder are refused, and where `few`, more
    folders than a part may have.

    >>> frame = pd.DataFrame({"c": ["a/b", "d", "a/b"]})
    >>> [(folder, rows.tolist()) for folder, rows in key_folders(frame, ["c"])]
    [('c=a%2Fb/', [0, 2]), ('c=d/', [1])]
    """
    named: list[tuple[np.ndarray, list[str]]] = []
    groups = np.zeros(len(frame), dtype=np.int64)
    for name in columns:
        codes, values = pd.factorize(frame[name], sort=False)
        _check_few(name, len(values), few)
        missing = int((codes < 0).sum())
        if missing:  # pandas cannot read a table in which Hive's folder of them is beside others
            raise ValueError(
                f"column {name!r} of partition_by is missing in {missing:,} rows of one part, and "
                "no folder that every reader understands can be named by that: fill it, or leave "
                "it out"
            )
        named.append((codes, [_segment(name, value) for value in values]))
        # Numbered anew each time: the product of many columns' values has no number of 64 bits.
        groups = np.unique(groups * len(values) + codes, return_inverse=True)[1]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    _check_few(" and ".join(columns), len(starts), few)
    found = []
    for rows in np.split(order, starts[1:]) if len(frame) else ():
        segments = [segment[codes[rows[0]]] for codes, segment in named]
        found.append(("/".join(segments) + "/", rows))
    yield from sorted(found, key=lambda pair: pair[0])


def _segment(name: str, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool | np.bool_) else str(value)
    segment = f"{name}={quote(text, safe='')}"
    wrong = None
    if not text:
        wrong = "empty text, by which no folder can be named"
    elif isinstance(value, bytes):
        wrong = f"bytes ({value[:20]!r}), which would come back as other text"
    elif text == NO_VALUE:
        wrong = f"the text {NO_VALUE!r}, which readers take for a missing value"
    elif len(segment.encode()) > LONGEST_NAME:
        wrong = (
            f"the value {text[:20] + '...'!r} of {len(text):,} characters, whose folder would have "
            f"a name of {len(segment.encode()):,} bytes: at most {LONGEST_NAME} are possible"
        )
    if wrong:
        raise ValueError(
            f"column {name!r} of partition_by holds {wrong}; replace it, or leave the column out"
        )
    return segment


def _check_few(name: str, found: int, few: bool) -> None:
    if few and found > MOST_FOLDERS:
        raise ValueError(
            f"column {name!r} of partition_by has {found:,} different values in one part, and each "
            f"would be a folder; at most {MOST_FOLDERS:,} are made: leave it out, or put its "
            "values into classes"
        )


@dataclass(frozen=True)
class Written:
    """A file of a part: its path in the output, rows, bytes, and what tells its content."""

    file: str
    rows: int
    bytes: int
    mark: str


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
    """A part before it is written; `file` is its path without the folders that columns become.

    `new` says whether its rows are new ones, or rows of the input; None: both, mixed.
    """

    number: int
    file: str
    partition: Any
    layout: Layout
    new: bool | None = False


def write_tasks(
    parts: Sequence[ToWrite], folder: str, asked: Any = None
) -> tuple[list[Any], list[Any]]:
    """Return a task for each part, and those that are to be waited for after them.

    These are what else is asked for of the same partitions, where it is lazy, and followers of many
    parts: the scheduler keeps less of tasks that others follow.
    """
    token = uuid.uuid4().hex
    rest = [asked] if isinstance(asked, Delayed) else []
    lazy = [*(part.partition for part in parts), *rest]
    graph: dict[Any, Any] = {}
    for whole in {id(each.dask): each.dask for each in lazy}.values():
        graph |= whole
    keys, ends = [], [each.key for each in rest]
    for part in parts:
        keys.append(f"write-{token}-{part.number}")
        write = partial(
            write_part, number=part.number, folder=folder, file=part.file, layout=part.layout
        )
        graph[keys[-1]] = (write, part.partition.key)
    if len(keys) >= MANY:
        size = -(-len(keys) // ENDS)
        for start in range(0, len(keys), size):
            ends.append(f"end-{token}-{start}")
            graph[ends[-1]] = (len, keys[start : start + size])
    graph = in_one_reading(graph, keys, ends)
    name = f"parts-{token}"
    layers = HighLevelGraph.from_collections(name, graph, dependencies=())
    tasks, others = ([Delayed(key, layers, layer=name) for key in some] for some in (keys, ends))
    return tasks, others


def write_part(frame: pd.DataFrame, *, number: int, folder: str, file: str, layout: Layout) -> Part:
    """Write the files of a part. Doing it again gives the same bytes under the same names."""
    inside, slash, name = file.rpartition("/")
    files = []
    for keys, table in layout.tables(frame, number):
        path = f"{inside}{slash}{keys}{name}"
        with clear_errors("write", f"{folder}/{path}"):
            size = write_file(folder, path, partial(layout.write, table))
            mark = content_mark(*open_fs(f"{folder}/{path}"))
        files.append(Written(path, table.num_rows, size, mark))
    labels = frame[layout.target]
    counts = [(plain_label(v), int(n)) for v, n in labels.value_counts(sort=False).items() if n]
    if labels.hasnans:
        counts.append((None, int(labels.isna().sum())))
    part = Part(number, tuple(files), tuple(counts), _worker_address(), peak_memory())
    with clear_errors("write", folder):
        path, data = f"records/{number:05d}.json", json.dumps(asdict(part)).encode()
        write_file(
            folder.rpartition("/")[0], path, lambda handle: handle.write(data), durable=False
        )
    return part


def _worker_address() -> str | None:
    distributed = sys.modules.get("distributed")  # a worker has imported it
    try:
        return None if distributed is None else str(distributed.get_worker().address)
    except ValueError:  # not in a worker
        return None


def content_mark(fs: Any, path: str) -> str:
    """Return what tells the content of a file: its checksum, or what the store says of it."""
    if not is_local(fs):
        return file_mark(fs, path)
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def finished_parts(folder: str, parts: Sequence[ToWrite]) -> dict[int, Part]:
    """Return those of a job's parts that are finished in the staging folder, by number.

    The record of a part is believed when its files are those of that part, belong to the owner of
    the folder, have the content that was written and the schema of the table.
    """
    fs, root = open_fs(folder)
    records = f"{root.rpartition('/')[0]}/records"
    fs.invalidate_cache()
    there = {path.rpartition("/")[2] for path in fs.find(records)}

    def believed(part: ToWrite) -> Part | None:
        name = f"{part.number:05d}.json"
        if name not in there:
            return None
        try:
            record = json.loads(fs.cat_file(f"{records}/{name}"))
            files = tuple(Written(**each) for each in record["files"])
            counts = tuple(dict(record["counts"]).items())
            if record["number"] == part.number and all(_is_whole(fs, root, f, part) for f in files):
                return Part(part.number, files, counts, None, 0)
        except Exception:  # of a damaged record, or a damaged file
            return None
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        return {part.number: part for part in filter(None, pool.map(believed, parts))}


def _is_whole(fs: Any, root: str, written: Written, part: ToWrite) -> bool:
    """Tell whether a file is of a part, and what its record says."""
    inside, _, name = f"/{part.file}".rpartition("/")
    file, path = f"/{written.file}", f"{root}/{written.file}"
    if not (file.startswith(f"{inside}/") and file.endswith(f"/{name}")) or "/../" in file:
        return False
    if is_local(fs):
        linked = os.path.realpath(path) != os.path.join(os.path.realpath(root), written.file)
        if linked or os.lstat(path).st_uid != os.lstat(root).st_uid:
            return False
    if fs.size(path) != written.bytes or content_mark(fs, path) != written.mark:
        return False
    with fs.open(path, "rb") as handle:
        parquet = pq.ParquetFile(handle)
        same = parquet.schema_arrow.equals(as_stored(part.layout.in_files))
        return bool(same and parquet.metadata.num_rows == written.rows)


@lru_cache(maxsize=16)
def as_stored(schema: pa.Schema) -> pa.Schema:
    """Return the schema that Parquet gives back."""
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    return pq.ParquetFile(empty).schema_arrow
