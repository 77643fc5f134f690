"""Whether workers see the files that a job reads and the folder that it writes to."""

from __future__ import annotations

import os
import platform
import socket
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from distributed import Client
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from dsmote.cluster.versions import check_versions

__all__ = ["PathsDiffer", "check_paths"]

#: Files of an input that are looked at: with thousands of files and workers, not each by each.
_LOOKED_AT = 3

_REMEDY = (
    "every worker needs the input and the output's folder under the names used here: a folder that "
    "all of them share, or an object store by its URL with its fsspec package and the credentials "
    "on every worker"
)


class PathsDiffer(OSError):
    """A worker does not see a file or a folder that the job needs."""


def check_paths(client: Client, reads: Sequence[str] = (), folder: str | None = None) -> None:
    """Refuse a cluster whose workers do not see what is seen here.

    Each worker opens the first, the middle and the last file and compares its size with the one
    found here. In the folder, it looks for a file that is made for it here, and makes one itself;
    both are deleted. Versions are compared before, with :func:`check_versions`. Where there is no
    worker yet, the first one is waited for; those that join later are not looked at.

    Parameters
    ----------
    client : distributed.Client
    reads : sequence of str, optional
        Files, as absolute paths or URLs.
    folder : str, optional
        A folder that is there and may be written to, as an absolute path or URL.

    Raises
    ------
    PathsDiffer
        It names a worker and the path, and tells how many other workers say the same.
    VersionsDiffer
        When a worker has other versions than there are here.

    Examples
    --------
    >>> check_paths(client, ["/lake/train.parquet"], "/lake/balanced")  # doctest: +SKIP
    """
    if not client.nthreads():
        # A cluster that grows on demand only starts workers when there is something to do.
        client.submit(platform.python_version, pure=False).result()
    check_versions(client)
    looked_at = [(file, _size(file)) for file in _some(reads)]
    for file, size in looked_at:
        _complain(client.run(_unreadable, file, size, on_error="return"))
    if folder is not None:
        _check_folder(client, folder)


def _some(files: Sequence[str]) -> list[str]:
    if len(files) <= _LOOKED_AT:
        return list(files)
    return [files[0], files[len(files) // 2], files[-1]]


def _size(file: str) -> int | None:
    fs, path = url_to_fs(file)
    size = fs.info(path).get("size")
    return None if size is None else int(size)


def _check_folder(client: Client, folder: str) -> None:
    fs, path = url_to_fs(folder)
    seen = f"{path.rstrip('/')}/_seen-{uuid.uuid4().hex}"
    # In a name of its own for each worker: two at once must not delete each other's.
    fs.pipe_file(seen, b"dsmote")
    try:
        _complain(client.run(_unwritable, folder, os.path.basename(seen), on_error="return"))
    finally:
        with suppress(FileNotFoundError):
            fs.rm_file(seen)


def _complain(answers: dict[str, Any]) -> None:
    # A worker that was lost in between cannot have seen anything: not for this check to judge.
    bad = {
        worker: answer
        for worker, answer in sorted(answers.items())
        if answer is not None and not isinstance(answer, OSError)
    }
    if not bad:
        return
    worker, answer = next(iter(bad.items()))
    text = answer if isinstance(answer, str) else f"fails: {type(answer).__name__}: {answer}"
    others = f" (and {len(bad) - 1} more of {len(answers)} workers)" if len(bad) > 1 else ""
    raise PathsDiffer(f"worker {worker}{others} {text}; {_REMEDY}")


def _unreadable(file: str, size: int | None) -> str | None:
    """Run on a worker: say why it cannot read a file, or nothing."""

    def read() -> str | None:
        fs, path = url_to_fs(file)
        found = fs.info(path).get("size")
        if size is not None and found is not None and int(found) != size:
            return f"sees another {file} than is seen here ({found:,} bytes, here {size:,})"
        with fs.open(path, "rb") as handle:
            handle.read(1)
        return None

    return _tried(read, f"cannot read {file}")


def _unwritable(folder: str, seen: str) -> str | None:
    """Run on a worker: say why it cannot write to a folder, or nothing."""

    def write() -> str | None:
        fs, path = url_to_fs(folder)
        if not isinstance(fs, LocalFileSystem):
            fs.invalidate_cache()
        if not fs.exists(f"{path.rstrip('/')}/{seen}"):
            return f"does not see what is written here to {folder}, so that it is not shared"
        own = f"{path.rstrip('/')}/_from-{uuid.uuid4().hex}"
        fs.pipe_file(own, b"dsmote")
        fs.rm_file(own)
        return None

    return _tried(write, f"cannot write to {folder}")


def _tried(attempt: Callable[[], str | None], what: str) -> str | None:
    host = f"(host {socket.gethostname()})"
    try:
        found = attempt()
    except ImportError as error:
        return f"{host} {what}: it lacks a package ({error})"
    except FileNotFoundError:
        return f"{host} {what}: it is not there"
    except PermissionError:
        return f"{host} {what}: no permission"
    except Exception as error:  # of whichever store this is: each has its own
        return f"{host} {what}: {type(error).__name__}: {' '.join(str(error).split())}"
    return found and f"{host} {found}"
