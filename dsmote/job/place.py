"""Where an output is, what lies in the hidden folder beside it, and whether it may be written.

::

    .OUT.dsmote/                beside OUT
        manifest.json           how the table was made, and which files it has
        report.html             the page about it
                                while a run is at work, or after one was killed, also:
        lock.1                  who runs
        <token>.json            what run it is: it marks a staging folder; no other folder is
                                ever deleted
        <token>/table/          what becomes OUT
        <token>/records/        which of its parts are finished
        <token>/report.html     the page about it
        <token>/commit.json     its manifest, while it is being put in place
        <token>/old/            the output that it replaces, and
        <token>/old.json        the manifest of that
    OUT/                        Parquet files and an empty _SUCCESS: some readers take every file
                                that is not empty for a part, whatever its name
"""

from __future__ import annotations

import glob
import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from dsmote.job.files import clear_errors, is_local, open_fs
from dsmote.plan.labels import listed

SUCCESS = "_SUCCESS"
#: Where a folder is only the beginning of names. (To s3fs, making one can mean making a bucket.)
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2"}

#: What runs leave beside an output, and what of it may be a staging folder.
_OURS = re.compile(r"[0-9a-f]{12}(\.json)?|(lock|probe|tmp)\.\w+")
_TOKEN = re.compile(r"[0-9a-f]{12}")


def new_token() -> str:
    """Return a name for a run that no other has."""
    return uuid.uuid4().hex[:12]


def write_json(fs: Any, path: str, document: Mapping[str, Any]) -> None:
    """Write a small JSON file, which appears whole or not at all."""
    data = (json.dumps(document, indent=2) + "\n").encode()
    with clear_errors("write", path):
        if not is_local(fs):
            fs.pipe_file(path, data)
            return
        held = os.path.join(os.path.dirname(path), f"tmp.{new_token()}")
        with open(held, "wb") as handle:
            handle.write(data)
        os.replace(held, path)


class Place:
    """An output on its file system, and the hidden folder beside it.

    Attributes
    ----------
    target : str
        The output's path. Links are followed, so that a new folder takes the place of the folder,
        not of the link.
    local, has_folders : bool
        Whether folders can be renamed; whether one must be made before a file can be in it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs, path = open_fs(url)
        self.local = is_local(self.fs)
        self.target: str = os.path.realpath(path) if self.local else path.rstrip("/")
        parent, slash, name = self.target.rpartition("/")
        if not (slash and name):
            raise ValueError(f"the output {url} is a whole store or bucket: name a folder in it")
        self.aside = f"{parent}/.{name}.dsmote"
        self.manifest, self.report = self.path("manifest.json"), self.path("report.html")
        protocol = self.fs.protocol
        self.has_folders = OBJECT_STORES.isdisjoint(
            [protocol] if isinstance(protocol, str) else protocol
        )

    def path(self, name: str) -> str:
        """Return the path of something aside."""
        return f"{self.aside}/{name}"

    def names(self) -> list[str]:
        """Return what runs left aside. Links are refused: another folder could be behind them."""
        self.fs.invalidate_cache()
        self._refuse_link(self.aside)
        try:
            entries = self.fs.ls(self.aside, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = [str(entry).rstrip("/").rpartition("/")[2] for entry in entries]
        found = sorted(filter(_OURS.fullmatch, names))
        for path in map(self.path, found):
            for each in (path, f"{path}/table", f"{path}/records", f"{path}/old"):
                self._refuse_link(each)
        return found

    def runs(self) -> list[str]:
        """Return the names of what may be staging folders."""
        return list(filter(_TOKEN.fullmatch, self.names()))

    def _refuse_link(self, path: str) -> None:
        if self.local and os.path.islink(path):
            raise FileExistsError(
                f"{path} is a link, which dsmote does not follow there: delete it, or choose "
                "another output"
            )

    def check_owner(self, file: str) -> None:
        """Refuse what is aside where its owner is not that of a file which this run has made."""
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

    def read(self, path: str) -> dict[str, Any] | None:
        """Return a JSON file's content; None when it is not there or not such a file."""
        self.fs.invalidate_cache()
        try:
            found = json.loads(self.fs.cat_file(path))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file in a folder, by its path there."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.find(folder, detail=True).items()
        except FileNotFoundError:
            return {}
        start = len(folder) + 1
        return {p[start:]: int(info["size"] or 0) for p, info in found if p[start:]}

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, where there are folders."""
        if self.has_folders:
            self.fs.makedirs(path, exist_ok=True)

    def create(self, path: str, document: Mapping[str, Any]) -> bool:
        """Write a JSON file that must not be there; False where it is."""
        data = json.dumps(document).encode()
        try:
            if self.local:
                with open(path, "xb") as handle:
                    handle.write(data)
            else:
                self.fs.pipe_file(path, data, mode="create")
        except OSError:  # stores have errors of their own for it
            if not self.exists(path):
                raise
            return False
        return True

    def remove(self, path: str) -> None:
        """Delete a file, which may be gone already."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(path)

    def remove_folder(self, path: str) -> None:
        """Delete a folder, which may be gone already."""
        for left in reversed(range(20)):
            try:
                # Escaped: what looks like a pattern would be taken for one.
                self.fs.rm(path if self.local else glob.escape(path), recursive=True)
            except OSError:
                if not self.exists(path):
                    return
                if not left:
                    raise
                time.sleep(0.1)  # a task that was cancelled may still be writing in it
            else:
                return

    def age(self, path: str) -> float | None:
        """Return the seconds since a file was written; None when it is gone.

        Both times are the storage's: the clocks of two machines may differ by more than a run's
        heartbeat.
        """
        probe = self.path(f"probe.{new_token()}")
        self.fs.pipe_file(probe, b"")
        try:
            self.fs.invalidate_cache()
            return float((self.fs.modified(probe) - self.fs.modified(path)).total_seconds())
        except FileNotFoundError:
            return 0.0 if self.exists(path) else None  # a run at work has deleted the probe
        finally:
            self.remove(probe)


def check_output(url: str, if_exists: str = "error") -> None:
    """Refuse an output that may not be written.

    It is there and may not be replaced, or not by this user; it holds more than a table, which
    would be destroyed; it cannot be renamed; with ``"skip"``, nothing says how it was made.
    """
    place = Place(url)
    with clear_errors("write", url):
        if not place.exists(place.target):
            return
        if any(place.exists(place.path(f"{name}/commit.json")) for name in place.runs()):
            return  # a run was killed while it put a table there: that is settled under the lock
        if not place.fs.isdir(place.target):
            raise FileExistsError(f"{url} is a file: the output is a folder, choose another name")
        if place.local and os.path.ismount(place.target):
            raise FileExistsError(
                f"{url} is where a file system is mounted, so no new folder can take its name: "
                "choose a folder in it"
            )
        if if_exists == "error":
            raise FileExistsError(
                f"{url} is there already: choose another folder, or --overwrite it "
                "(if_exists: replace in a job file)"
            )
        if place.local and not os.access(place.target, os.W_OK):  # else found out at the renaming
            raise PermissionError(f"no permission to write {url}: it cannot be replaced")
        manifest, sizes = place.read(place.manifest), place.sizes(place.target)
        if if_exists == "skip" and manifest is None:
            raise FileExistsError(
                f"{url} is there, but {place.manifest}, which says how it was made, is not, so it "
                "cannot be told whether it is up to date: delete it, or choose another folder"
            )
        foreign = sorted(set(sizes) - own_files(manifest, sizes))
        if foreign:
            raise FileExistsError(
                f"{url} is not overwritten, because it holds more than a table of dsmote: "
                f"{listed(map(repr, foreign), 5)}, not listed in {place.manifest} with that size; "
                "move these files away, or choose another folder"
            )


def refuse_split(url: str, files: Iterable[str]) -> None:
    """Refuse an input, given by its files, that holds both sides of an output with a split."""
    for folder in sorted({file.rpartition("/test/")[0] for file in files if "/test/" in file}):
        try:
            place = Place(folder)
            manifest = place.read(place.manifest) or {}
        except (OSError, ValueError):  # not to be read, or a bucket, which has nothing beside it
            continue
        job = manifest.get("job")
        if not (isinstance(job, dict) and job.get("split")):
            continue
        if any(file.startswith("test/") for file in own_files(manifest, place.sizes(place.target))):
            raise ValueError(
                f"{url} is an output with a split, and its test/ would be mixed into the training "
                f"rows: give {place.target}/train"
            )


def lacking(manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> list[str]:
    """Return the parts that are not there in the size they had."""
    return [file for file, size in parts_of(manifest).items() if sizes.get(file) != size]


def own_files(manifest: Mapping[str, Any] | None, sizes: Mapping[str, int]) -> set[str]:
    """Return the files that dsmote wrote: parts of the size they had, and ``_SUCCESS``."""
    written = {} if manifest is None else {**parts_of(manifest), SUCCESS: 0}
    return {file for file, size in written.items() if sizes.get(file) == size}


def parts_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bytes of each part, by its file."""
    parts = manifest.get("parts")
    parts = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return {os.path.normpath(str(part.get("file"))): part.get("bytes", -1) for part in parts}
