"""A staging folder that takes the output's name when it is whole.

When an output is replaced, the old folder is renamed aside and the new one takes its name; if the
second step fails the first is undone. Then the manifest and the report, which were written in full
before, take their names, and the old table is deleted. What a run that was killed in between left
is settled by the next run, before anything else.

All is on the disk before it takes the name, so that a power cut leaves no empty files behind a
``_SUCCESS``: parts see to that themselves, when they are written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from dsmote.job.files import clear_errors
from dsmote.job.secrets import masked_logger
from dsmote.job.storage.check import SUCCESS, belongs, check_output, file_sizes, own_files
from dsmote.job.storage.lock import Lock
from dsmote.job.storage.place import Place, remove_folder, sync
from dsmote.job.storage.records import RECORDS

__all__ = ["LocalStage", "recover_local"]

logger = masked_logger(__name__)


class LocalStage:
    """A staging folder on a file system that renames folders.

    Parameters
    ----------
    lock : Lock
    if_exists : str
    name : str, optional
        Of a folder aside that is there already and is gone on with.
    """

    def __init__(self, lock: Lock, if_exists: str = "error", name: str | None = None) -> None:
        self.place, self.lock, self.if_exists, self.found = lock.place, lock, if_exists, name
        self.folder = self.place.path(lock.token)
        self.report = self.place.path(f"{lock.token}.report")
        self._manifest = self.place.path(f"{lock.token}.manifest")
        self._marker = self.place.path(f"{lock.token}.stage")
        self.keep = False

    def open(self) -> None:
        """Make the folder, or make another run's this one's: should that wake up, it has none."""
        self.place.write(self._marker, {})
        if self.found is None:
            os.makedirs(self.folder, exist_ok=True)
        else:
            os.rename(self.place.path(self.found), self.folder)
            self.place.remove(self.place.path(f"{self.found}.stage"))

    def commit(self, manifest: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Write ``_SUCCESS`` and the manifest, and put the folder in place.

        Parameters
        ----------
        manifest : dict
            Its ``parts`` say which files are the table's; others are left-overs of dead tasks.
        key : str, optional
            Of no use here: names need not tell two outputs apart where a folder is renamed.

        Returns
        -------
        dict
            The manifest as it was written.
        """
        with clear_errors("write", self.place.url):
            self.lock.check()
            self._clean({os.path.normpath(part["file"]) for part in manifest["parts"]})
            with open(os.path.join(self.folder, SUCCESS), "wb"):
                pass
            self.place.write(self._manifest, manifest)
            self._sync()
            check_output(self.place.url, self.if_exists)
            self.lock.check()
            # Last: until here, a later run can go on with the parts.
            remove_folder(os.path.join(self.folder, RECORDS))
            self._swap()
            self.place.remove(self._marker)
        return manifest

    def _clean(self, expected: set[str]) -> None:
        for folder, _, files in os.walk(self.folder, topdown=False):
            inside = os.path.relpath(folder, self.folder)
            if inside == RECORDS:
                continue
            for name in files:
                if os.path.normpath(os.path.join(inside, name)) not in expected:
                    os.remove(os.path.join(folder, name))
            if inside != ".":
                with suppress(OSError):  # unless something is in it
                    os.rmdir(folder)

    def _sync(self) -> None:
        sync(os.path.join(self.folder, SUCCESS))
        for folder, _, _ in os.walk(self.folder):
            sync(folder)
        for path in filter(os.path.exists, (self.report, self._manifest, self.place.aside)):
            sync(path)

    def _swap(self) -> None:
        target, old = self.place.target, self.place.path(f"{self.lock.token}.old")
        replaces = os.path.isdir(target)
        if replaces:
            os.rename(target, old)
        try:
            os.rename(self.folder, target)
        except BaseException:
            if replaces:
                os.rename(old, target)
            raise
        sync(os.path.dirname(target))
        _name_records(self.place, self.lock.token)
        _remove_old(self.place, self.lock.token)

    def restart(self) -> None:
        """Empty the folder: what is in it cannot be gone on with."""
        self.place.remove_folder(self.folder)
        os.makedirs(self.folder)

    def discard(self) -> None:
        """Delete the folder if it is still there and not kept for a later run."""
        if self.keep:
            return
        if os.path.isdir(self.folder):  # else the table is in place, and its manifest may wait
            self.place.remove(self._manifest)
            self.place.remove(self.report)
            remove_folder(self.folder)
        self.place.remove(self._marker)


def recover_local(place: Place) -> None:
    """Settle what a run that was killed while it put its table in place left; under the lock."""
    found = place.names()
    for name, (token, kind) in found.items():
        if kind == ".manifest":
            if belongs(place, place.path(name), file_sizes(place)):
                _name_records(place, token)
            else:
                place.remove(place.path(name))
    for name, (token, kind) in found.items():
        if kind == ".old":
            old, replaced = place.path(name), place.path(f"{token}.replaced")
            if os.path.exists(place.target):
                _remove_old(place, token)
            elif not _own_old(place, token):
                raise FileExistsError(
                    f"{old} holds no file that {place.manifest} lists, so it is no output that a "
                    "run replaced: move it away"
                )
            else:
                logger.warning("a run was killed while it replaced %s: the old is back", place.url)
                os.rename(old, place.target)
                if os.path.exists(replaced):
                    os.replace(replaced, place.manifest)


def _name_records(place: Place, token: str) -> None:
    """Give the manifest and the report of a table that is in place their names; can be repeated."""
    manifest, report = place.path(f"{token}.manifest"), place.path(f"{token}.report")
    if os.path.exists(place.manifest):
        place.remove(place.report)
        os.replace(place.manifest, place.path(f"{token}.replaced"))
    if os.path.exists(report):
        os.replace(report, place.report)
    os.replace(manifest, place.manifest)
    sync(place.aside)


def _own_old(place: Place, token: str) -> set[str]:
    """Return the files of dsmote in a folder that was set aside."""
    manifest = place.read(place.path(f"{token}.replaced")) or place.read(place.manifest)
    return own_files(manifest, file_sizes(place, place.path(f"{token}.old")))


def _remove_old(place: Place, token: str) -> None:
    """Delete a table that was replaced; the new one is in place, whatever comes of that."""
    old = place.path(f"{token}.old")
    try:
        if os.path.isdir(old):
            remove_table(old, _own_old(place, token))
    except OSError as error:  # such as of a file that a reader holds open, on a network's storage
        logger.warning("what was replaced could not be deleted, and is still there: %s", error)
    else:
        place.remove(place.path(f"{token}.replaced"))


def remove_table(folder: str, files: set[str]) -> None:
    """Delete some files of a folder, and the folder unless others are in it. No link is followed.

    Raises
    ------
    OSError
        Others are in it.
    """
    own = {os.path.normpath(file) for file in files}
    below = list(os.walk(folder, topdown=False))
    for path in (os.path.join(within, name) for within, _, names in below for name in names):
        if os.path.relpath(path, folder) in own:
            os.remove(path)
    for path, _, _ in below:
        os.rmdir(path)
