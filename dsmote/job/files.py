"""Which files an input names, on any file system that fsspec knows."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from dsmote.job.reading import (
    Reading,
    check_filters,
    folder_values,
    kept_files,
    restricted,
    typed_folders,
)

#: Name endings by format; compressed CSV is found by the ending before the last.
ENDINGS = {"parquet": (".parquet", ".parq", ".pq"), "csv": (".csv",)}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
#: What of pandas reads others.
READERS = {
    "read_csv(FILE, sep='\\t')": (".tsv", ".tab"),
    "read_csv(FILE, sep='|')": (".psv",),
    "read_csv(FILE, sep=None, engine='python')": (".txt",),
    "read_json(FILE)": (".json",),
    "read_json(FILE, lines=True)": (".jsonl", ".ndjson"),
    "read_orc(FILE)": (".orc",),
    "read_feather(FILE)": (".feather", ".arrow", ".ipc"),
    "read_excel(FILE)": (".xlsx", ".xls", ".ods"),
    "read_xml(FILE)": (".xml",),
    "read_hdf(FILE)": (".h5", ".hdf5"),
    "read_pickle(FILE)": (".pkl", ".pickle"),
    "read_stata(FILE)": (".dta",),
    "read_sas(FILE)": (".sas7bdat",),
    "read_spss(FILE)": (".sav",),
}
#: The folder by which a table with a log is known.
LOGS = {"Delta": "_delta_log", "Hudi": ".hoodie", "Iceberg": "metadata"}
#: Libraries behind object stores. Their errors (no credentials, no connection) are not OSErrors.
STORE_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "google", "gcsfs", "azure")
#: What file systems call an entity tag, or else the time of the last change.
CHANGES = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class InputFiles:
    """The files of an input, in the order their rows are taken."""

    url: str  # what the user gave
    root: str  # the file or folder, without links; the folder before a glob's first wildcard
    pattern: str | None  # the glob, from the root on
    files: tuple[str, ...]  # what a worker opens: absolute paths, or URLs with their protocol
    format: str
    marks: tuple[str, ...]  # of each file, its size and entity tag, or else time
    folders: Any = None  # the schema of the columns in the names of folders
    extra: tuple[dict[str, Any], ...] = ()  # of each file, values of columns it does not hold

    @property
    def stamp(self) -> str:
        """A short text that changes when a file does."""
        return hashlib.sha256(json.dumps([self.files, self.marks]).encode()).hexdigest()[:32]

    @property
    def n_bytes(self) -> int:
        """The size of all the files."""
        return sum(int(mark.partition(" ")[0]) for mark in self.marks)


def open_fs(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    try:
        fs, path = url_to_fs(os.path.expanduser(url))
    except (ImportError, ValueError) as error:
        s3 = isinstance(error, ImportError) and url.startswith(("s3:", "s3a:"))
        remedy = ': pip install "dsmote[s3]"' if s3 else ""
        raise ValueError(f"cannot open {url}: {error}{remedy}") from error
    return fs, path


def is_local(fs: Any) -> bool:
    """Tell whether a file system is this machine's."""
    return isinstance(fs, LocalFileSystem)


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split())


def is_of_storage(error: BaseException) -> bool:
    """Tell an error of the storage, which may pass, from one of a decoder about what it was given.

    >>> is_of_storage(OSError(5, "Input/output error")), is_of_storage(OSError("Invalid data"))
    (True, False)
    """
    # Decoders raise a bare OSError, without the system's number.
    if not isinstance(error, OSError) or isinstance(error, gzip.BadGzipFile):
        return False
    return error.errno is not None or type(error) is not OSError


@contextmanager
def clear_errors(what: str, path: str) -> Iterator[None]:
    """Name the file in errors of the file system, which often do not, and `what` was being done."""
    try:
        yield
    except Exception as error:
        of_store = type(error).__module__.startswith(STORE_CLIENTS)
        said = str(error).startswith(("cannot ", "no permission to "))  # of which file, too
        if said or not (of_store or isinstance(error, OSError)):
            raise
        why = getattr(error, "strerror", None) or one_line(error)
        if isinstance(error, PermissionError):
            # A store says more than that, such as that it does not know the key.
            told = f": {why}" if error.errno is None and str(error) not in path else ""
            raise PermissionError(f"no permission to {what} {path}{told}") from error
        if isinstance(error, FileNotFoundError):
            why = why if "bucket" in why else "there is no such file or folder"
            raise FileNotFoundError(f"cannot {what} {path}: {why}") from error
        if isinstance(error, OSError) and error.errno is None:  # a message of ours
            raise
        raise OSError(f"cannot {what} {path}: {why}") from error


def list_files(
    url: str, format: str | None = None, *, reading: Reading | None = None
) -> InputFiles:
    """Find the files of a file, folder or glob; their format, if not given, is in their names.

    Files and folders whose names begin with ``_`` or ``.`` are not part of a table and are left
    out. Folders are searched through all their levels.
    """
    fs, path = open_fs(url)
    with clear_errors("read", url):
        fs.invalidate_cache()  # what was listed for another job may be old
        pattern = path if _MAGIC.search(path) and not fs.exists(path) else None
        if pattern is None:
            fs.info(path)
            root, found = path, _files_under(fs, path)
        else:
            root = re.split(_MAGIC, pattern)[0].rpartition("/")[0] or "/"
            matches = [match for match in fs.glob(pattern) if not _hidden(match, root)]
            found = [file for match in matches for file in _files_under(fs, match)]
    _refuse_lakes(fs, url, root, found)
    chosen, format = _choose(url, found, format, named=pattern is None and fs.isfile(path))
    # part.2 before part.10, as Dask does; and part.01 before part.1, which are equal to it
    chosen = sorted(sorted(set(chosen)), key=_natural)
    chosen, folders, extra = _in_folders(url, root, chosen, reading or Reading())
    real_root = _real(fs, root)
    return InputFiles(
        url=url,
        root=real_root,
        pattern=None if pattern is None else real_root + pattern[len(root) :],
        files=tuple(file if is_local(fs) else fs.unstrip_protocol(file) for file in chosen),
        format=format,
        marks=tuple(file_mark(fs, file) for file in chosen),
        folders=folders,
        extra=extra,
    )


def _in_folders(
    url: str, root: str, files: list[str], reading: Reading
) -> tuple[list[str], Any, tuple[dict[str, Any], ...]]:
    """Return the files that filters keep, and the columns in the names of their folders."""
    found = folder_values(url, root, files)
    schema, values = typed_folders(found, reading.partition_types)
    check_filters(restricted(reading.filters, schema.names), schema)
    kept = kept_files(reading.filters, schema, values)
    if not any(kept):
        raise ValueError(
            f"filters keep none of the {len(files):,} files of {url}, by the names of their folders"
        )
    chosen = [file for file, keep in zip(files, kept, strict=True) if keep]
    extra = tuple(of for of, keep in zip(values, kept, strict=True) if keep)
    return chosen, schema if schema.names else None, extra if schema.names else ()


def _files_under(fs: Any, path: str) -> list[str]:
    if not fs.isdir(path):
        return [path]
    found = list(_walk(path)) if is_local(fs) else fs.find(path)
    return [file for file in found if not _hidden(file, path)]


def _walk(path: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the files below a local folder. Unlike `find`, through links, and no folder unread."""
    real = os.path.realpath(path)
    if real in above:  # a link to a folder that it is in
        return
    if not os.access(path, os.R_OK | os.X_OK):
        raise PermissionError(f"no permission to read {path}")
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.is_dir():
                yield entry.path
            elif not entry.name.startswith(("_", ".")):
                yield from _walk(entry.path, (*above, real))


def _hidden(file: str, root: str) -> bool:
    return any(part.startswith(("_", ".")) for part in file.removeprefix(root).split("/"))


def _natural(file: str) -> list[tuple[int, int | str]]:
    return [
        (0, int(piece)) if piece.isdecimal() else (1, piece) for piece in re.split(r"(\d+)", file)
    ]


def _real(fs: Any, path: str) -> str:
    return os.path.realpath(path) if is_local(fs) else path.rstrip("/")


def file_mark(fs: Any, file: str) -> str:
    """Return the size of a file, and its entity tag or else time."""
    with clear_errors("read", file):
        info = fs.info(file)
    changed = next(filter(None, map(info.get, CHANGES)), None)
    return f"{int(info.get('size') or 0)} {changed}"


def _refuse_lakes(fs: Any, url: str, root: str, files: list[str]) -> None:
    """Refuse tables of which plain Parquet readers would take rows that are not theirs."""
    folders = {root, *(file.rpartition("/")[0] for file in files)}
    folders |= {str(above) for folder in folders for above in PurePosixPath(folder).parents}
    for folder in sorted(folders - {"", ".", "/"}):
        kinds = [kind for kind, log in LOGS.items() if fs.isdir(f"{folder}/{log}")]
        if kinds == ["Iceberg"]:  # any folder may have one of that name
            names = map(str, fs.ls(f"{folder}/metadata", detail=False))
            kinds *= any(name.endswith(".metadata.json") for name in names)
        if kinds:
            raise ValueError(
                f"{url} is in the {kinds[0]} table {folder}, whose log says which files and rows "
                "are current: read as plain Parquet, deleted and overwritten rows would come back. "
                "Write the current version to a plain Parquet folder first, and give that"
            )


def _choose(url: str, found: list[str], format: str | None, named: bool) -> tuple[list[str], str]:
    by_format = {name: [file for file in found if _format(file) == name] for name in ENDINGS}
    if format is not None:
        # Files whose names say nothing are taken when asked for, as Spark leaves out endings.
        chosen = found if named else by_format[format] or found
        if chosen:
            return chosen, format
    elif all(by_format.values()):
        raise ValueError(f"{url} holds both Parquet and CSV files: choose one with --format")
    else:
        for name, files in by_format.items():
            if files:
                return files, name
        if found:
            raise ValueError(_other_format(found[0]))
    raise FileNotFoundError(f"no Parquet or CSV file in {url}")


def _format(file: str) -> str | None:
    stem, ending = os.path.splitext(file.lower())
    if ending in COMPRESSIONS:
        return "csv" if stem.endswith(ENDINGS["csv"]) else None
    return next((name for name, endings in ENDINGS.items() if ending in endings), None)


def _other_format(file: str) -> str:
    """Say what is in a file whose name tells neither Parquet nor CSV, and how it is converted."""
    stem, ending = os.path.splitext(file.lower())
    if ending in COMPRESSIONS:
        ending = os.path.splitext(stem)[1]
    if ending in ENDINGS["parquet"]:
        return f"{file} is compressed as a whole: unpack it, as Parquet compresses what is in it"
    for reader, endings in READERS.items():
        if ending in endings:
            return (
                f"{file} looks like {ending}, and Parquet and CSV with commas are read: convert "
                f"it, such as with pandas.{reader}.to_parquet(NEW)"
            )
    return (
        f"cannot tell the format of {file} by its name: give --format parquet or --format csv "
        "if it is one of them, or convert it"
    )


def changed_files(inputs: InputFiles) -> dict[str, str]:
    """Return what became of files since they were listed, by file; not of those that came since."""
    fs, _ = open_fs(inputs.url)
    fs.invalidate_cache()
    differing = {}
    for file, mark in zip(inputs.files, inputs.marks, strict=True):
        try:
            if file_mark(fs, open_fs(file)[1]) != mark:
                differing[file] = "changed"
        except FileNotFoundError:
            differing[file] = "is gone"
        except OSError as error:
            differing[file] = one_line(error)
    return differing


def check_apart(inputs: InputFiles, output: str) -> None:
    """Refuse an output that is, holds or lies in the input, links followed."""
    fs, path = open_fs(output)
    input_fs, _ = open_fs(inputs.url)
    if type(fs) is not type(input_fs):
        return
    target = PurePosixPath(_real(fs, path))
    files = [PurePosixPath(_real(fs, open_fs(file)[1])) for file in inputs.files]
    overlap = any(file.is_relative_to(target) for file in files)
    if inputs.pattern is None:
        overlap |= target.is_relative_to(inputs.root)
    else:
        # The next run's glob would find the output, or a part file in it.
        matcher = re.compile(glob_translate(inputs.pattern))
        names = [target, target / "part-00000.parquet", *target.parents]
        overlap |= any(matcher.fullmatch(str(name)) is not None for name in names)
    if overlap:
        raise ValueError(
            f"the output {output} overlaps the input {inputs.url}: choose a folder that is "
            "neither the input, nor in it, nor around it"
        )
