"""Records of the part files that are finished, by which a run that died is gone on with.

A task that has written its files then writes a record, ``_records/00007.json`` in the staging
folder: what it reports, and the sizes of the files. What the run is, its seed among it, is in
``_records/job.json``. A record is believed when its files are there, have the size and are whole
Parquet files of as many rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsmote.job.files import is_local, open_fs

__all__ = ["RECORDS", "finished_parts", "note_run", "read_run", "write_record"]

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
    """Return what run a staging folder belongs to; None where it does not say.

    Parameters
    ----------
    folder : str
    """
    fs, path = open_fs(folder)
    return _read(fs, f"{path}/{RECORDS}/{RUN}")


def finished_parts(folder: str) -> dict[int, dict[str, Any]]:
    """Return what the tasks of a run reported whose files are whole, by the part's number.

    Parameters
    ----------
    folder : str

    Returns
    -------
    dict
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
        record = _read(fs, f"{root}/{name}")
        if record is None:
            return None
        for each in record["files"]:
            there = sizes.get(each["file"]) == each["bytes"]
            if not there or _rows(fs, f"{root}/{each['file']}") != each["rows"]:
                return None
        return int(record["number"]), record

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(part for part in pool.map(believed, records) if part is not None)


def _is_record(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == RECORDS and file.removesuffix(".json").isdigit()


def _rows(fs: Any, path: str) -> int | None:
    try:
        with fs.open(path, "rb") as handle:
            return int(pq.ParquetFile(handle).metadata.num_rows)
    except (pa.ArrowException, OSError):
        return None


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
