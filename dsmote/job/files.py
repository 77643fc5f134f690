"""Which files an input names, on any file system that fsspec knows."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

__all__ = [
    "PARQUET_ENDINGS",
    "InputFiles",
    "changed_files",
    "check_apart",
    "clear_errors",
    "is_local",
    "is_of_storage",
    "list_files",
    "one_line",
    "open_fs",
    "share_partitions",
]

#: Name endings by format; compressed CSV is found by the ending before the last.
PARQUET_ENDINGS = (".parquet", ".parq", ".pq")
CSV_ENDINGS = (".csv",)
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
#: What of pandas reads others.
READERS = {
    ".tsv": "read_csv(FILE, sep='\\t')",
    ".tab": "read_csv(FILE, sep='\\t')",
    ".psv": "read_csv(FILE, sep='|')",
    ".txt": "read_csv(FILE, sep=None, engine='python')",
    ".json": "read_json(FILE)",
    ".jsonl": "read_json(FILE, lines=True)",
    ".ndjson": "read_json(FILE, lines=True)",
    ".orc": "read_orc(FILE)",
    ".feather": "read_feather(FILE)",
    ".arrow": "read_feather(FILE)",
    ".ipc": "read_feather(FILE)",
    ".xlsx": "read_excel(FILE)",
    ".xls": "read_excel(FILE)",
    ".ods": "read_excel(FILE)",
    ".xml": "read_xml(FILE)",
    ".h5": "read_hdf(FILE)",
    ".hdf5": "read_hdf(FILE)",
    ".pkl": "read_pickle(FILE)",
    ".pickle": "read_pickle(FILE)",
    ".dta": "read_stata(FILE)",
    ".sas7bdat": "read_sas(FILE)",
    ".sav": "read_spss(FILE)",
}

#: Footers and headers are read by this many threads, for the sake of remote stores.
READING_THREADS = 16

#: When files share a partition, each counts for this many bytes a column, at least: to open one
#: takes time, and until they are joined, a column of each takes one to two KiB beside its values.
FILE_BYTES = 8 * 2**10
#: However small the files, they are not put into fewer partitions: workers need some to share.
FEWEST = 16

#: Libraries behind object stores. Their errors (no credentials, no connection) are not OSErrors.
STORE_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "google", "gcsfs", "azure")

#: What file systems call an entity tag, or else the time of the last change.
CHANGES = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")

_MAGIC = re.compile(r"[*?\[]")

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class InputFiles:
    """The files of an input, in the order their rows are taken.

    Parameters
    ----------
    url : str
        What the user gave.
    root : str
        The file or folder, without links; for a glob, the folder before its first wildcard.
    pattern : str or None
        The glob, without links in the part before its first wildcard.
    files : tuple of str
        What a worker opens: absolute paths, or URLs with their protocol.
    format : {"parquet", "csv"}
    stamp : str
        Changes when a file does: names, sizes and times in one short text.
    n_bytes : int
        The size of all the files.
    marks : tuple of str
        Of each file, what changes when it does.
    """

    url: str
    root: str
    pattern: str | None
    files: tuple[str, ...]
    format: str
    stamp: str
    n_bytes: int
    marks: tuple[str, ...] = ()


def open_fs(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Examples
    --------
    >>> open_fs("memory://folder/table.parquet")[1]
    '/folder/table.parquet'
    """
    try:
        fs, path = url_to_fs(os.path.expanduser(url))
    except ImportError as error:
        remedy = ': pip install "dsmote[s3]"' if url.startswith(("s3:", "s3a:")) else ""
        raise ValueError(f"cannot open {url}: {error}{remedy}") from error
    except ValueError as error:
        raise ValueError(f"cannot open {url}: {error}") from error
    return fs, path


def one_line(error: BaseException) -> str:
    r"""Return the message of an error in one line.

    Examples
    --------
    >>> one_line(ValueError("two\n lines\n"))
    'two lines'
    """
    return " ".join(str(error).split())


def is_of_storage(error: BaseException) -> bool:
    """Tell an error of the storage, which may pass, from one of a decoder about what it was given.

    Decoders raise a bare OSError, without the system's number.

    Examples
    --------
    >>> is_of_storage(OSError(5, "Input/output error")), is_of_storage(OSError("Invalid data"))
    (True, False)
    """
    if not isinstance(error, OSError) or isinstance(error, gzip.BadGzipFile):
        return False
    return error.errno is not None or type(error) is not OSError


def is_local(fs: Any) -> bool:
    """Tell whether a file system is this machine's."""
    return isinstance(fs, LocalFileSystem)


@contextmanager
def clear_errors(what: str, path: str) -> Iterator[None]:
    """Name the file in errors of the file system, which often do not.

    Parameters
    ----------
    what : str
        What was being done, such as ``"read"``.
    path : str
    """
    try:
        yield
    except PermissionError as error:
        if str(error).startswith("no permission to"):  # said already, and of which file
            raise
        # A store says more than that, such as that it does not know the key.
        told = error.errno is None and str(error) not in path
        why = f": {one_line(error)}" if told else ""
        raise PermissionError(f"no permission to {what} {path}{why}") from error
    except FileNotFoundError as error:
        if str(error).startswith("cannot "):
            raise
        why = one_line(error) if "bucket" in str(error) else "there is no such file or folder"
        raise FileNotFoundError(f"cannot {what} {path}: {why}") from error
    except OSError as error:
        if error.errno is None:  # not the system's, so it is a message of ours already
            raise
        raise OSError(f"cannot {what} {path}: {error.strerror or error}") from error
    except Exception as error:
        if not type(error).__module__.startswith(STORE_CLIENTS):
            raise
        raise OSError(f"cannot {what} {path}: {one_line(error)}") from error


def list_files(url: str, format: str | None = None) -> InputFiles:
    """Find the files that an input names.

    Files and folders whose names begin with ``_`` or ``.`` are not part of a table and are left
    out. Folders are searched through all their levels.

    Parameters
    ----------
    url : str
        A file, a folder or a glob.
    format : {"parquet", "csv"}, optional
        Taken from the names when not given.

    Returns
    -------
    InputFiles

    Raises
    ------
    FileNotFoundError
        When there is nothing of that name, or no table in the folder.
    PermissionError, ValueError
    """
    fs, path = open_fs(url)
    with clear_errors("read", url):
        fs.invalidate_cache()  # what was listed for another job may be old
        pattern = path if _MAGIC.search(path) and not fs.exists(path) else None
        if pattern is None:
            fs.info(path)
            found = _files_under(fs, path)
        else:
            matches = [match for match in fs.glob(pattern) if not _hidden(match, _base(pattern))]
            found = [file for match in matches for file in _files_under(fs, match)]
    root = _base(path) if pattern else path
    _refuse_managed(fs, url, root, found)
    chosen, format = _choose(url, found, format, named=pattern is None and fs.isfile(path))
    _refuse_key_folders(url, chosen, root)
    chosen = sorted(dict.fromkeys(chosen), key=_natural)
    marks = _marks(fs, chosen)
    real_root = _real(fs, root)
    return InputFiles(
        url=url,
        root=real_root,
        pattern=None if pattern is None else real_root + pattern[len(root) :],
        files=tuple(file if is_local(fs) else fs.unstrip_protocol(file) for file in chosen),
        format=format,
        stamp=hashlib.sha256(json.dumps([chosen, marks]).encode()).hexdigest()[:32],
        n_bytes=sum(int(mark.partition(" ")[0]) for mark in marks),
        marks=tuple(marks),
    )


def share_partitions(
    pieces: Sequence[Piece], sizes: Sequence[int], most: int
) -> list[tuple[Piece, ...]]:
    """Put small pieces of files that follow each other into one partition.

    Parameters
    ----------
    pieces : sequence
        In order.
    sizes : sequence of int
        Bytes that each counts for.
    most : int
        Bytes of a partition. A piece that is larger is one.

    Returns
    -------
    list of tuple
        At least `FEWEST`, where there are as many pieces of about the same size.

    Examples
    --------
    >>> share_partitions("abc", [5, 5, 5], 10)
    [('a',), ('b',), ('c',)]
    >>> [len(shared) for shared in share_partitions(range(1000), [1] * 1000, 100)]
    [63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 55]
    """
    most = min(most, -(-sum(sizes) // FEWEST))
    shared: list[list[Piece]] = []
    left = 0
    for piece, size in zip(pieces, sizes, strict=True):
        if not shared or size > left:
            shared.append([])
            left = most
        shared[-1].append(piece)
        left -= size
    return [tuple(together) for together in shared]


def _refuse_managed(fs: Any, url: str, root: str, files: list[str]) -> None:
    """Refuse tables of which plain Parquet readers would take rows that are not theirs."""
    folders = {root, *(file.rpartition("/")[0] for file in files)}
    folders |= {str(above) for folder in folders for above in PurePosixPath(folder).parents}
    for folder in sorted(folders - {"", ".", "/"}):
        _refuse_lake(fs, url, folder)


def _refuse_lake(fs: Any, url: str, folder: str) -> None:
    kinds = {"_delta_log": "Delta", ".hoodie": "Hudi"}
    kind = next((kinds[name] for name in kinds if fs.isdir(f"{folder}/{name}")), None)
    if kind is None and fs.isdir(f"{folder}/metadata"):
        names = fs.ls(f"{folder}/metadata", detail=False)
        if any(str(name).endswith(".metadata.json") for name in names):
            kind = "Iceberg"
    if kind is not None:
        raise ValueError(
            f"{url} is in the {kind} table {folder}, whose log says which files and rows are "
            "current: read as plain Parquet, deleted and overwritten rows would come back. Write "
            "the current version to a plain Parquet folder first, and give that"
        )


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
            if entry.is_dir():
                if not entry.name.startswith(("_", ".")):
                    yield from _walk(entry.path, (*above, real))
            else:
                yield entry.path


def _hidden(file: str, root: str) -> bool:
    below = file[len(root) :] if file.startswith(root) else file
    return any(part.startswith(("_", ".")) for part in below.split("/") if part)


def _base(pattern: str) -> str:
    """Return the folder before the first wildcard."""
    before = pattern[: _MAGIC.search(pattern).start()]  # type: ignore[union-attr]
    return before.rpartition("/")[0] or "/"


def _choose(url: str, found: list[str], format: str | None, named: bool) -> tuple[list[str], str]:
    by_format = {
        "parquet": [file for file in found if file.lower().endswith(PARQUET_ENDINGS)],
        "csv": [file for file in found if _is_csv(file)],
    }
    if format is not None:
        # Files whose names say nothing are taken when asked for, as Spark leaves out endings.
        chosen = found if named else by_format[format] or found
        if chosen:
            return chosen, format
    elif by_format["parquet"] and by_format["csv"]:
        raise ValueError(f"{url} holds both Parquet and CSV files: choose one with --format")
    else:
        for name, files in by_format.items():
            if files:
                return files, name
        if found:
            raise ValueError(_other_format(found[0]))
    raise FileNotFoundError(f"no Parquet or CSV file in {url}")


def _other_format(file: str) -> str:
    """Say what is in a file whose name tells neither Parquet nor CSV, and how it is converted."""
    stem, ending = os.path.splitext(file.lower())
    packed = ending in COMPRESSIONS
    ending = os.path.splitext(stem)[1] if packed else ending
    if ending in PARQUET_ENDINGS:
        return f"{file} is compressed as a whole: unpack it, as Parquet compresses what is in it"
    if ending not in READERS:
        return (
            f"cannot tell the format of {file} by its name: give --format parquet or --format csv "
            "if it is one of them, or convert it"
        )
    return (
        f"{file} looks like {ending}, and Parquet and CSV with commas are read: convert it, such "
        f"as with pandas.{READERS[ending]}.to_parquet(NEW)"
    )


def _is_csv(file: str) -> bool:
    stem, ending = os.path.splitext(file.lower())
    return (stem if ending in COMPRESSIONS else file.lower()).endswith(CSV_ENDINGS)


def _refuse_key_folders(url: str, files: list[str], root: str) -> None:
    for file in files:
        folders = file[len(root) :].split("/")[:-1]
        keys = [part for part in folders if "=" in part]
        if keys:
            raise ValueError(
                f"{url} keeps columns in the names of its folders (such as {keys[0]!r}), and they "
                "would be lost: rewrite it so that its files hold every column"
            )


def _natural(file: str) -> list[tuple[int, int | str]]:
    """Sort part.2 before part.10, as Dask does."""
    return [
        (0, int(piece)) if piece.isdecimal() else (1, piece) for piece in re.split(r"(\d+)", file)
    ]


def _marks(fs: Any, files: list[str]) -> list[str]:
    """Return size and entity tag, or else time, of files. The same bytes have the same tag."""
    marks = []
    for file in files:
        with clear_errors("read", file):
            info = fs.info(file)
        changed = next(filter(None, map(info.get, CHANGES)), None)
        marks.append(f"{int(info.get('size') or 0)} {changed}")
    return marks


def changed_files(inputs: InputFiles) -> dict[str, str]:
    """Return which files are not what they were when they were listed, and how they differ.

    Files that came in addition are no change: nothing was read from them.

    Parameters
    ----------
    inputs : InputFiles

    Returns
    -------
    dict
        ``"is gone"``, ``"changed"`` or what hinders to look, by file.
    """
    fs, _ = open_fs(inputs.url)
    fs.invalidate_cache()
    differing = {}
    for file, mark in zip(inputs.files, inputs.marks, strict=True):
        try:
            (now,) = _marks(fs, [open_fs(file)[1]])
        except FileNotFoundError:
            differing[file] = "is gone"
        except OSError as error:
            differing[file] = one_line(error)
        else:
            if now != mark:
                differing[file] = "changed"
    return differing


def _real(fs: Any, path: str) -> str:
    return os.path.realpath(path) if is_local(fs) else path.rstrip("/")


def check_apart(inputs: InputFiles, output: str) -> None:
    """Refuse an output that is, holds or lies in the input, links followed.

    Writing there could destroy the input, or the next run would read its own output.

    Parameters
    ----------
    inputs : InputFiles
    output : str

    Raises
    ------
    ValueError
    """
    fs, path = open_fs(output)
    input_fs, _ = open_fs(inputs.url)
    if type(fs) is not type(input_fs):
        return
    target = PurePosixPath(_real(fs, path))
    files = [PurePosixPath(_real(fs, open_fs(file)[1])) for file in inputs.files]
    overlap = any(file.is_relative_to(target) for file in files)
    if inputs.pattern is None:
        overlap |= target.is_relative_to(inputs.root) or PurePosixPath(inputs.root) == target
    else:
        overlap |= _glob_reaches(inputs.pattern, target)
    if overlap:
        raise ValueError(
            f"the output {output} overlaps the input {inputs.url}: choose a folder that is "
            "neither the input, nor in it, nor around it"
        )


def _glob_reaches(pattern: str, target: PurePosixPath) -> bool:
    """Tell whether a glob would find the output, or a part file in it."""
    matcher = re.compile(glob_translate(pattern))
    names = [target, target / "part-00000.parquet", *target.parents]
    return any(matcher.fullmatch(str(name)) for name in names)
