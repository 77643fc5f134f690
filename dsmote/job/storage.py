"""The output folder: written aside, then put in place whole, or not at all.

::

    .OUT.dsmote-<token>/        the staging folder, beside OUT
        _owner.json             whose it is, so that a later run can clear it after a crash
        part-00000.parquet      each written under another name and renamed by its task
        ...
        _manifest.json
        _SUCCESS                the last file
    OUT/                        the staging folder, renamed

With ``overwrite`` the old folder is renamed aside, the new one takes its name, and the old one is
deleted; if the second step fails the first is undone. A run that was killed between the two leaves
the old folder aside, and the next run puts it back before anything else.

An object store cannot rename a folder. There the parts are written aside as well, then moved one by
one, ``_SUCCESS`` last: a folder without it is not whole. With ``overwrite`` the old ``_SUCCESS``
and then the old parts are deleted when all new parts are written and before they are moved, so that
the time without a table is short, but not nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from dsmote.job.files import PARQUET_ENDINGS, clear_errors, is_local, open_fs

__all__ = ["LocalStage", "RemoteStage", "check_output", "part_name", "staged"]

MANIFEST, SUCCESS, OWNER = "_manifest.json", "_SUCCESS", "_owner.json"


def part_name(number: int) -> str:
    """Return the name of a part file.

    Examples
    --------
    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{number:05d}.parquet"


def check_output(url: str, overwrite: bool) -> None:
    """Refuse an output that may not be written.

    Parameters
    ----------
    url : str
    overwrite : bool

    Raises
    ------
    FileExistsError
        When it is there and `overwrite` is not given, or when it is not a table's folder, so that
        replacing it would destroy something else.
    """
    fs, path = open_fs(url)
    path = os.path.realpath(path) if is_local(fs) else path.rstrip("/")
    if is_local(fs):
        with clear_errors("write", url):
            _recover(path)
    if not fs.exists(path):
        return
    if not fs.isdir(path):
        raise FileExistsError(f"{url} is a file: the output is a folder, choose another name")
    if not overwrite:
        raise FileExistsError(f"{url} is there already: choose another folder or --overwrite it")
    below = [{"type": "file", "name": name} for name in fs.find(path)]
    foreign = sorted({*_foreign(fs.ls(path, detail=True)), *_foreign(below)})
    if foreign:
        raise FileExistsError(
            f"{url} is not overwritten, because it holds more than a table: {foreign[:5]}"
        )


def _foreign(entries: list[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        name = str(entry["name"]).rstrip("/").rpartition("/")[2]
        plain = name.startswith("_") or name.lower().endswith((*PARQUET_ENDINGS, ".crc"))
        ours = name in ("train", "test") or "=" in name
        if not (ours if entry["type"] == "directory" else plain):
            yield name


@contextmanager
def staged(url: str, overwrite: bool = False) -> Iterator[LocalStage | RemoteStage]:
    """Yield a staging folder, which is gone after the block unless it was committed.

    Parameters
    ----------
    url : str
        The output.
    overwrite : bool

    Yields
    ------
    LocalStage or RemoteStage
    """
    check_output(url, overwrite)
    fs, path = open_fs(url)
    stage = (LocalStage if is_local(fs) else RemoteStage)(url, fs, path, overwrite)
    try:
        with clear_errors("write", url):
            stage.open()
        yield stage
    finally:
        stage.discard()


class LocalStage:
    """A staging folder on a file system that renames folders.

    Parameters
    ----------
    url : str
    fs : fsspec file system
    path : str
    overwrite : bool
    """

    def __init__(self, url: str, fs: Any, path: str, overwrite: bool) -> None:
        self.url, self.fs, self.overwrite = url, fs, overwrite
        # Links are followed, so that the folder takes the place of the folder, not of the link.
        self.target = os.path.realpath(path)
        parent, name = os.path.split(self.target)
        self.folder = os.path.join(parent, f".{name}.dsmote-{uuid.uuid4().hex[:12]}")
        self._made_parents: list[str] = []

    def open(self) -> None:
        """Make the folder. Folders above it that are missing are made too."""
        parent = os.path.dirname(self.folder)
        while not os.path.isdir(parent):
            self._made_parents.append(parent)
            parent = os.path.dirname(parent)
        for folder in reversed(self._made_parents):
            os.mkdir(folder)
        os.mkdir(self.folder)
        with open(os.path.join(self.folder, OWNER), "w", encoding="utf-8") as handle:
            json.dump(_this_process(), handle)

    def commit(self, manifest: dict[str, Any]) -> None:
        """Write the manifest and ``_SUCCESS``, and put the folder in place.

        Parameters
        ----------
        manifest : dict
            Its ``parts`` say which files are the table's; others are left-overs of dead tasks.
        """
        with clear_errors("write", self.url):
            expected = {OWNER, *(part["file"] for part in manifest["parts"])}
            for folder, _, names in os.walk(self.folder):
                for name in names:
                    file = os.path.join(folder, name)
                    if os.path.relpath(file, self.folder) not in expected:
                        os.remove(file)
            with open(os.path.join(self.folder, MANIFEST), "w", encoding="utf-8") as handle:
                json.dump(manifest, handle, indent=2)
                handle.write("\n")
            with open(os.path.join(self.folder, SUCCESS), "wb"):
                pass
            check_output(self.url, self.overwrite)
            self._swap()
            # The owner goes last: until here a later run must be able to tell a crash.
            with suppress(OSError):
                os.remove(os.path.join(self.target, OWNER))

    def _swap(self) -> None:
        if not os.path.isdir(self.target):
            os.rename(self.folder, self.target)
            self._made_parents = []
            return
        old = f"{self.folder}.old"
        os.rename(self.target, old)
        try:
            os.rename(self.folder, self.target)
        except BaseException:
            os.rename(old, self.target)
            raise
        _remove(old)

    def discard(self) -> None:
        """Delete the folder if it is still there, and the folders above it that were made."""
        if os.path.isdir(self.folder):
            _remove(self.folder)
            for folder in self._made_parents:
                with suppress(OSError):
                    os.rmdir(folder)


class RemoteStage:
    """A staging folder on an object store, or any other file system fsspec knows.

    Parameters
    ----------
    url : str
    fs : fsspec file system
    path : str
    overwrite : bool
    """

    def __init__(self, url: str, fs: Any, path: str, overwrite: bool) -> None:
        self.url, self.fs, self.overwrite = url, fs, overwrite
        self.target = path.rstrip("/")
        parent, _, name = self.target.rpartition("/")
        self._path = f"{parent}/.{name}.dsmote-{uuid.uuid4().hex[:12]}"
        self.folder = fs.unstrip_protocol(self._path)

    def open(self) -> None:
        """Make the folder, where there are folders."""
        self.fs.makedirs(self._path, exist_ok=True)

    def commit(self, manifest: dict[str, Any]) -> None:
        """Move the parts into place, then write the manifest and ``_SUCCESS``.

        Parameters
        ----------
        manifest : dict
        """
        with clear_errors("write", self.url):
            check_output(self.url, self.overwrite)
            if self.fs.exists(self.target):
                with suppress(FileNotFoundError):
                    self.fs.rm_file(f"{self.target}/{SUCCESS}")
                self.fs.rm(self.target, recursive=True)
            self.fs.makedirs(self.target, exist_ok=True)
            for part in manifest["parts"]:
                inside = f"{self.target}/{part['file']}".rpartition("/")[0]
                self.fs.makedirs(inside, exist_ok=True)
                self.fs.mv(f"{self._path}/{part['file']}", f"{self.target}/{part['file']}")
            self.fs.pipe_file(
                f"{self.target}/{MANIFEST}", (json.dumps(manifest, indent=2) + "\n").encode()
            )
            self.fs.pipe_file(f"{self.target}/{SUCCESS}", b"")

    def discard(self) -> None:
        """Delete what is left of the folder."""
        with suppress(FileNotFoundError):
            self.fs.rm(self._path, recursive=True)


def _this_process() -> dict[str, Any]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def _owner_is_dead(owner: dict[str, Any]) -> bool:
    """Tell whether a staging folder is a crash's: its process ran here, and runs no more."""
    if owner.get("host") != socket.gethostname():
        return False
    try:
        return psutil.Process(owner["pid"]).create_time() != owner["started"]
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _recover(target: str) -> None:
    """Clear what killed runs to the same output left, and put back the output they set aside."""
    parent, name = os.path.split(target)
    if not os.path.isdir(parent):
        return
    prefix = f".{name}.dsmote-"
    left = sorted(entry for entry in os.listdir(parent) if entry.startswith(prefix))
    for entry in left:
        if entry.endswith(".old"):
            # While its owner lives, the new folder is about to take the place.
            stage = os.path.join(parent, entry.removesuffix(".old"))
            if not os.path.isdir(stage) or _is_left_over(stage):
                aside = os.path.join(parent, entry)
                if os.path.exists(target):
                    _remove(aside)
                else:
                    os.rename(aside, target)
    for entry in left:
        folder = os.path.join(parent, entry)
        if not entry.endswith(".old") and _is_left_over(folder):
            _remove(folder)


def _is_left_over(folder: str) -> bool:
    try:
        with open(os.path.join(folder, OWNER), encoding="utf-8") as handle:
            return _owner_is_dead(json.load(handle))
    except (OSError, ValueError, KeyError):
        return False


def _remove(folder: str) -> None:
    """Delete a folder into which a task that was cancelled may still be writing."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.isdir(folder):
            return
        time.sleep(0.1)
    shutil.rmtree(folder)
