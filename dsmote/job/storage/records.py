"""Records of the part files that are finished, by which a run that died is gone on with.

A task that has written its files then writes a record, ``_records/00007.json`` in the staging
folder: what it reports, and the sizes of the files. What the run is, its seed among it, is in
``_records/job.json``. A record is believed when its files are those of a part of this run,
belong to the owner of the folder, have the content that was written and the schema of the table.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsmote.job.files import CHANGES, is_local, open_fs

__all__ = ["RECORDS", "content_mark", "finished_parts", "note_run", "read_run", "write_record"]

RECORDS, RUN = "_records", "job.json"

#: Files that are looked into at a time.
THREADS = 16


def write_record(folder: str, number: int, part: Mapping[str, Any]) -> None:
    """Note that the files of a part are finished.

    Parameters
    ----------
    folder : str
        The staging folder.
    number : int
    part : mapping
        What the task reports, as plain data: ``files`` lists ``file`` (a path in the folder),
        ``rows`` and ``bytes`` of each.
    """
    _write(f"{folder}/{RECORDS}/{number:05d}.json", part)


def note_run(folder: str, run: Mapping[str, Any]) -> None:
    """Note what run a staging folder belongs to, before the first part is written.

    Parameters
    ----------
    folder : str
    run : mapping
        Plain data.
    """
    _write(f"{folder}/{RECORDS}/{RUN}", run)


def read_run(folder: str) -> dict[str, Any] | None:
    """Return what run a staging folder belongs to; None where it does not say."""
    fs, path = open_fs(folder)
    return _read(fs, f"{path}/{RECORDS}/{RUN}")


def content_mark(fs: Any, path: str) -> str:
    """Return what tells the content of a file: its checksum, or what the store says of it."""
    if is_local(fs):
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    info = fs.info(path)
    return str(next(filter(None, map(info.get, CHANGES)), ""))


def finished_parts(
    folder: str, expected: Mapping[int, tuple[str, pa.Schema]]
) -> dict[int, dict[str, Any]]:
    """Return what the tasks of a run reported whose files are whole, by the part's number.

    Parameters
    ----------
    folder : str
    expected : mapping of int to (file, schema)
        Of each part of the run.
    """
    fs, root = open_fs(folder)
    fs.invalidate_cache()
    try:
        found = fs.find(root, detail=True)
    except FileNotFoundError:
        return {}
    below = len(root.rstrip("/")) + 1
    sizes = {str(path)[below:]: int(info["size"] or 0) for path, info in found.items()}
    records = [name for name in sizes if _is_record(name)]

    def believed(name: str) -> tuple[int, dict[str, Any]] | None:
        record, number = _read(fs, f"{root}/{name}"), int(name.rpartition("/")[2][:-5])
        if record is None or number not in expected:
            return None
        file, schema = expected[number]
        try:
            whole = record["number"] == number and all(
                sizes.get(each["file"]) == each["bytes"] and _is_whole(fs, root, each, file, schema)
                for each in record["files"]
            )
            dict(record["counts"])
        except (LookupError, TypeError, ValueError, AttributeError, OSError, pa.ArrowException):
            return None  # a damaged record, or a damaged file
        return (number, record) if whole else None

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(part for part in pool.map(believed, records) if part is not None)


def _is_record(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == RECORDS and file.removesuffix(".json").isdigit()


def _is_whole(fs: Any, root: str, each: Any, file: str, schema: pa.Schema) -> bool:
    """Tell whether a file is of this run, and what its record says."""
    inside, _, name = file.rpartition("/")
    *folders, last = each["file"].split("/")
    path = f"{root}/{each['file']}"
    if last != name or ".." in folders or not each["file"].startswith(f"{inside}/" * bool(inside)):
        return False
    if is_local(fs):
        linked = os.path.realpath(path) != os.path.join(os.path.realpath(root), each["file"])
        if linked or os.lstat(path).st_uid != os.lstat(root).st_uid:
            return False
    if content_mark(fs, path) != each["mark"]:
        return False
    with fs.open(path, "rb") as handle:
        parquet = pq.ParquetFile(handle)
        same = parquet.schema_arrow.equals(as_stored(schema))
        return bool(same and parquet.metadata.num_rows == each["rows"])


@lru_cache(maxsize=16)
def as_stored(schema: pa.Schema) -> pa.Schema:
    """Return the schema that Parquet gives back."""
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    return pq.ParquetFile(empty).schema_arrow


def _write(path: str, document: Mapping[str, Any]) -> None:
    fs, inside = open_fs(path)
    data = json.dumps(document).encode()
    if not is_local(fs):
        fs.pipe_file(inside, data)
        return
    folder, name = os.path.split(inside)
    if os.path.isdir(os.path.dirname(folder)):  # the folder of a cancelled run is not brought back
        os.makedirs(folder, exist_ok=True)
    aside = os.path.join(folder, f".{name}.{os.getpid()}")
    with open(aside, "wb") as handle:
        handle.write(data)
    os.replace(aside, inside)


def _read(fs: Any, path: str) -> dict[str, Any] | None:
    try:
        found = json.loads(fs.cat_file(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
