"""A staging folder on an object store, which cannot rename folders.

There a table is whole when ``_SUCCESS`` is there. The parts are written aside like anywhere else,
and then copied by the store itself (no byte passes through here) under names that hold a key of how
they were made, ``part-00000-1f0c2d3e.parquet``:

1. what is going to be done is noted aside;
2. the old ``_SUCCESS`` is deleted: from here on the folder is not whole;
3. the new parts are copied beside the old ones;
4. the manifest is written, in one step, to the folder beside: it lists the new parts;
5. the old parts are deleted, and the report is copied;
6. ``_SUCCESS`` is written: the folder is whole.

So a reader that asks for ``_SUCCESS`` first, then reads the files that the manifest lists,
never sees a mixture: one that began before is told that a file is missing, at worst. Were the parts
written in their places at once, the copies would be saved, but a reader that only lists the folder
would find parts of the new table among the old ones for as long as the run takes, and not for the
seconds of the copies; and what a killed run wrote would have to be told from the table's own.

What was interrupted, by an error or by the death of the run, is taken back while the manifest is
the old one, and finished where it is the new one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from dsmote.job.files import clear_errors
from dsmote.job.secrets import masked_logger
from dsmote.job.storage.check import SUCCESS, check_output, file_sizes, own_files, read_manifest
from dsmote.job.storage.lock import Lock
from dsmote.job.storage.place import Place

__all__ = ["RemoteStage", "recover_remote"]

#: Copies that are asked for at a time.
BATCH = 256

logger = masked_logger(__name__)


class RemoteStage:
    """A staging folder on an object store, or any other file system fsspec knows.

    Parameters
    ----------
    lock : Lock
    if_exists : str
    name : str, optional
        Of a folder aside that is there already and is gone on with.
    """

    def __init__(self, lock: Lock, if_exists: str = "error", name: str | None = None) -> None:
        self.place, self.lock, self.if_exists = lock.place, lock, if_exists
        self.name = name or lock.token
        self._path = self.place.path(self.name)
        self.folder = str(self.place.fs.unstrip_protocol(self._path))
        self._report = self.place.path(f"{lock.token}.report")
        self.report = str(self.place.fs.unstrip_protocol(self._report))
        self.keep = False

    def open(self) -> None:
        """Make the folder, where there are folders."""
        self.place.write(self.place.path(f"{self.name}.stage"), {})
        self.place.make_folder(self._path)

    def commit(self, manifest: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Copy the parts into place, then write the manifest and ``_SUCCESS``.

        Parameters
        ----------
        manifest : dict
        key : str, optional
            Tells outputs that are not the same from each other; two runs with one key write the
            same bytes.

        Returns
        -------
        dict
            The manifest as it was written, with the names that the parts got.
        """
        place = self.place
        with clear_errors("write", place.url):
            check_output(place.url, self.if_exists)
            self.lock.check()
            files = [part["file"] for part in manifest["parts"]]
            names = {file: _keyed(file, key or self.lock.token) for file in files}
            manifest = {
                **manifest,
                "run": self.lock.token,
                "parts": [{**part, "file": names[part["file"]]} for part in manifest["parts"]],
            }
            note = {
                "run": self.lock.token,
                "new": sorted(names.values()),
                "old": sorted(own_files(read_manifest(place), file_sizes(place))),
                "report": place.exists(self._report),
            }
            place.write(place.path(f"{self.lock.token}.commit"), note)
            try:
                place.remove(f"{place.target}/{SUCCESS}")
                place.make_folder(place.target)
                self._copy(names)
                self.lock.check()
                place.write(place.manifest, manifest)
            finally:
                # Who took the lock over has settled this, and what is there now may be its own.
                if self.lock.held():
                    # If this fails, too, the next run does it.
                    _settle_or_again(place, note)
                    place.remove(place.path(f"{self.lock.token}.commit"))
        return manifest

    def _copy(self, names: dict[str, str]) -> None:
        fs, pairs = self.place.fs, sorted(names.items())
        for folder in sorted({new.rpartition("/")[0] for _, new in pairs} - {""}):
            self.place.make_folder(f"{self.place.target}/{folder}")
        for start in range(0, len(pairs), BATCH):
            self.lock.check()
            batch = pairs[start : start + BATCH]
            fs.copy(
                [f"{self._path}/{name}" for name, _ in batch],
                [f"{self.place.target}/{new}" for _, new in batch],
            )

    def restart(self) -> None:
        """Empty the folder: what is in it cannot be gone on with."""
        self.place.remove_folder(self._path)
        self.open()

    def discard(self) -> None:
        """Delete what is left of the folder, unless it is a later run's, or kept for one."""
        if not self.keep and self.lock.held():
            self.place.remove_folder(self._path)
            if not self.place.exists(self.place.path(f"{self.lock.token}.commit")):
                self.place.remove(self._report)
            self.place.remove(self.place.path(f"{self.name}.stage"))


def recover_remote(place: Place) -> None:
    """Take back or finish what a killed run was putting in place; only under the lock."""
    for name, (_, kind) in place.names().items():
        if kind == ".commit":
            note = place.read(place.path(name))
            if note is not None:
                logger.warning("a run was killed while it put %s in place", place.url)
                _settle(place, note)
            place.remove(place.path(name))


def _settle_or_again(place: Place, note: dict[str, Any]) -> None:
    try:
        _settle(place, note)
    except OSError:
        _settle(place, note)


def _settle(place: Place, note: dict[str, Any]) -> None:
    manifest, report = place.read(place.manifest), place.path(f"{note['run']}.report")
    new, old = set(note["new"]), set(note["old"])
    forward = manifest is not None and manifest.get("run") == note["run"]
    gone = old - new if forward else new - old
    whole = forward or SUCCESS in old
    for name in sorted(gone - {SUCCESS}):
        place.remove(f"{place.target}/{name}")
    if forward and place.exists(report):
        place.fs.cp_file(report, place.report)
        place.remove(report)
    elif forward and not note["report"]:
        place.remove(place.report)
    if whole:
        place.fs.pipe_file(f"{place.target}/{SUCCESS}", b"")
    if place.has_folders:
        emptied = {f"{place.target}/{name}".rpartition("/")[0] for name in gone} | {place.target}
        for folder in sorted(emptied, reverse=True):
            with suppress(OSError):  # unless something is in it
                place.fs.rmdir(folder)


def _keyed(file: str, key: str) -> str:
    """Return the name of a part in place.

    Examples
    --------
    >>> _keyed("train/part-00000.parquet", "1f0c2d3e4b5a")
    'train/part-00000-1f0c2d3e.parquet'
    """
    stem, dot, ending = file.rpartition(".")
    return f"{stem}-{key[:8]}{dot}{ending}"
