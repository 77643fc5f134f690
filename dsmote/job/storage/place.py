"""Where an output is, and the hidden folder beside it that holds all that is no part of the table.

::

    .OUT.dsmote/                beside OUT
        manifest.json           how the table was made, and which files it has
        report.html             the page about it
                                while a run is at work, or after one was killed, also:
        <token>.lock            who runs
        <token>.json            the manifest of the run while it runs, with its heartbeat
        <token>/                the staging folder
        <token>.stage           says that it is one: no other folder is ever deleted
        <token>.manifest        what will be manifest.json and
        <token>.report          report.html when the table is in place
        <token>.old/            the output that is being replaced, for a moment, and
        <token>.replaced        its manifest
        <token>.commit          on an object store: what is being put in place
    OUT/                        Parquet files and an empty _SUCCESS: some readers take every file
                                that is not empty for a part, whatever its name

The names of what a run leaves begin with its token, so that no run can delete what is another's by
mistake.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import time
import uuid
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from dsmote.job.files import is_local, open_fs

#: Where a folder is only the beginning of names. (To s3fs, making one can mean making a bucket.)
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2"}

__all__ = ["Place", "new_token", "part_name", "remove_folder", "sync"]

_NAME = re.compile(r"([0-9a-f]{12})(\.[a-z]+)?")


def part_name(number: int) -> str:
    """Return the name of a part file.

    Examples
    --------
    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{number:05d}.parquet"


def new_token() -> str:
    """Return a name for a run that no other has.

    Examples
    --------
    >>> len(new_token())
    12
    """
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Place:
    """An output on its file system, and the folder aside.

    Parameters
    ----------
    url : str
        What the user gave.
    fs : fsspec file system
    target : str
        The output's path. Links are followed, so that a new folder takes the place of the folder,
        not of the link.
    aside : str
        The hidden folder beside it.
    """

    url: str
    fs: Any
    target: str
    aside: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Return the place of an output.

        Raises
        ------
        ValueError
            When it is a whole bucket, which has nothing beside it.

        Examples
        --------
        >>> Place.of("memory://lake/out").aside
        '/lake/.out.dsmote'
        """
        fs, path = open_fs(url)
        target = os.path.realpath(path) if is_local(fs) else path.rstrip("/")
        parent, slash, name = target.rpartition("/")
        if not (slash and name):
            raise ValueError(f"the output {url} is a whole store or bucket: name a folder in it")
        return cls(url, fs, target, f"{parent}/.{name}.dsmote")

    @property
    def manifest(self) -> str:
        """The path of the manifest of the output that is in place."""
        return self.path("manifest.json")

    @property
    def report(self) -> str:
        """The path of the report on the output that is in place."""
        return self.path("report.html")

    @property
    def local(self) -> bool:
        """Whether folders can be renamed."""
        return is_local(self.fs)

    @property
    def has_folders(self) -> bool:
        """Whether a folder must be made before a file can be in it."""
        protocol = self.fs.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        return not names & OBJECT_STORES

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, where there are folders."""
        if self.has_folders:
            self.fs.makedirs(path, exist_ok=True)

    def path(self, name: str) -> str:
        """Return the path of something aside."""
        return f"{self.aside}/{name}"

    def names(self) -> dict[str, tuple[str, str]]:
        """Return what lies aside: the token of the run it belongs to, and what it is.

        Raises
        ------
        FileExistsError
            The folder, or something in it, is a link: another folder could be behind it.
        """
        self.fs.invalidate_cache()
        self._refuse_link(self.aside)
        try:
            entries = self.fs.ls(self.aside, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        names = [str(entry).rstrip("/").rpartition("/")[2] for entry in entries]
        found = {name: _NAME.fullmatch(name) for name in sorted(names)}
        for name in (name for name, match in found.items() if match):
            self._refuse_link(self.path(name))
        return {name: (match[1], match[2] or "") for name, match in found.items() if match}

    def _refuse_link(self, path: str) -> None:
        if self.local and os.path.islink(path):
            raise FileExistsError(
                f"{path} is a link, which dsmote does not follow there: delete it, or choose "
                "another output"
            )

    def check_owner(self, file: str) -> None:
        """Refuse a folder aside, or things in it, of another owner than a file of this run has."""
        if not self.local:
            return
        mine = os.lstat(file).st_uid
        for path in (self.aside, self.manifest, *map(self.path, self.names())):
            with suppress(FileNotFoundError):  # another run has just ended
                if os.lstat(path).st_uid != mine:
                    raise PermissionError(
                        f"{path} belongs to another user (uid {os.lstat(path).st_uid}): have it "
                        "deleted, or choose another output"
                    )

    def exists(self, path: str) -> bool:
        """Tell whether there is something, asking the store and not what is remembered of it."""
        self.fs.invalidate_cache()
        return bool(self.fs.exists(path))

    def write(self, path: str, document: Any) -> None:
        """Write a small JSON file so that readers find it whole or not at all."""
        data = (json.dumps(document, indent=2) + "\n").encode()
        if not self.local:
            self.fs.pipe_file(path, data)
            return
        held = f"{path}tmp"  # still under the run's token, so that it is cleared with it
        with open(held, "wb") as handle:
            handle.write(data)
        os.replace(held, path)

    def read(self, path: str) -> dict[str, Any] | None:
        """Return a JSON file's content; None when it is not there or not such a file."""
        self.fs.invalidate_cache()
        try:
            found = json.loads(self.fs.cat_file(path))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def remove(self, path: str) -> None:
        """Delete a file, which may be gone already."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(path)

    def remove_folder(self, path: str) -> None:
        """Delete a folder, which may be gone already."""
        if self.local:
            remove_folder(path)
            return
        self.fs.invalidate_cache()
        with suppress(FileNotFoundError):
            # Escaped: what looks like a pattern would be taken for one.
            self.fs.rm(glob.escape(path), recursive=True)

    def seconds_since(self, *paths: str) -> float | None:
        """Return how long ago the newest of some files was written, by the clock of the storage.

        The clocks of two machines may differ by more than a run's heartbeat, so the times compared
        are both the storage's. None when no file is there.
        """
        self.fs.invalidate_cache()
        times = []
        for path in paths:
            with suppress(FileNotFoundError):
                times.append(self.fs.modified(path))
        if not times:
            return None
        probe = self.path(f"{new_token()}.probe")
        self.fs.pipe_file(probe, b"")
        try:
            self.fs.invalidate_cache()
            now = self.fs.modified(probe)
        finally:
            self.remove(probe)
        return float((now - max(times)).total_seconds())

    def touch(self, *paths: str) -> None:
        """Set the times of files to now, where that can be done."""
        for path in paths if self.local else ():
            with suppress(OSError):  # gone, or another user's
                os.utime(path)


def sync(path: str) -> None:
    """Wait until a local file, or the names in a folder, are on the disk."""
    # Not all file systems do that for folders, and some folders may be written and not read.
    with suppress(OSError) if os.path.isdir(path) else nullcontext():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_folder(folder: str) -> None:
    """Delete a local folder into which a task that was cancelled may still be writing."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.isdir(folder):
            return
        time.sleep(0.1)
    shutil.rmtree(folder)
