"""A staging folder that takes the output's name when it is whole.

When an output is replaced, the old folder and the new one change places in one step, and the old
one is deleted. Where the file system cannot do that, the old folder is renamed aside and the new
one takes its name; if the second step fails the first is undone. What a run that was killed between
the two left is put back by the next run, before anything else.

All is on the disk before it takes the name, so that a power cut leaves no empty files behind a
``_SUCCESS``: parts see to that themselves, when they are written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from dsmote.job.files import clear_errors
from dsmote.job.secrets import masked_logger
from dsmote.job.storage.check import MANIFEST, SUCCESS, check_output, own_files
from dsmote.job.storage.exchange import exchange
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
        """Write the manifest and ``_SUCCESS``, and put the folder in place.

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
            self.place.write(os.path.join(self.folder, MANIFEST), manifest)
            with open(os.path.join(self.folder, SUCCESS), "wb"):
                pass
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
                # What is no part and was meant is named so that readers of the table skip it.
                meant = inside == "." and name.startswith("_")
                if not meant and os.path.normpath(os.path.join(inside, name)) not in expected:
                    os.remove(os.path.join(folder, name))
            if inside != ".":
                with suppress(OSError):  # unless something is in it
                    os.rmdir(folder)

    def _sync(self) -> None:
        for folder, _, files in os.walk(self.folder):
            for name in files:
                if name.startswith("_"):
                    sync(os.path.join(folder, name))
            sync(folder)

    def _swap(self) -> None:
        target = self.place.target
        if not os.path.isdir(target):
            os.rename(self.folder, target)
            sync(os.path.dirname(target))
            return
        old = self.place.path(f"{self.lock.token}.old")
        if exchange(self.folder, target):
            os.rename(self.folder, old)
        else:
            os.rename(target, old)
            try:
                os.rename(self.folder, target)
            except BaseException:
                os.rename(old, target)
                raise
        sync(os.path.dirname(target))
        _remove_old(self.place, old)

    def restart(self) -> None:
        """Empty the folder: what is in it cannot be gone on with."""
        self.place.remove_folder(self.folder)
        os.makedirs(self.folder)

    def discard(self) -> None:
        """Delete the folder if it is still there and not kept for a later run."""
        if not self.keep:
            remove_folder(self.folder)
            self.place.remove(self._marker)


def recover_local(place: Place) -> None:
    """Put back the output that a run which was killed had set aside; only under the lock.

    Parameters
    ----------
    place : Place
    """
    for name, (_, kind) in place.names().items():
        if kind == ".old":
            if os.path.exists(place.target):
                _remove_old(place, place.path(name))
            elif not own_files(place, place.path(name)):
                raise FileExistsError(
                    f"{place.path(name)} has no {MANIFEST}, so it is no output that a run "
                    "replaced: move it away"
                )
            else:
                logger.warning("a run was killed while it replaced %s: the old is back", place.url)
                os.rename(place.path(name), place.target)


def _remove_old(place: Place, folder: str) -> None:
    """Delete a table that was replaced; the new one is in place, whatever comes of that."""
    try:
        remove_table(folder, own_files(place, folder))
    except OSError as error:  # such as of a file that a reader holds open, on a network's storage
        logger.warning("what was replaced could not be deleted, and is still there: %s", error)


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
