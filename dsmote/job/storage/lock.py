"""One run at a time on an output.

Every run that wants an output writes a lock file of its own name and *then* looks for those of
others. Of any two, the one that wrote later sees the other's and makes way: at most one goes on, on
any storage that shows a file once it is written. Where both see each other's, the smaller name
stays and looks again. No file is ever taken from a run's hands, so that
two runs which both find a dead one's lock cannot both take it over: they delete that one file, and
meet each other's.

A run is dead when its process is gone, as seen from the same machine. Where that cannot be seen, as
from another machine, it is dead when it has shown no heartbeat for `STALE_SECONDS`, by the clock of
the storage. A run that was suspended for so long finds its lock file deleted when it wakes up, and
gives up.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dsmote.job.files import clear_errors
from dsmote.job.secrets import masked_logger
from dsmote.job.storage.owner import describe, lives, this_process
from dsmote.job.storage.place import Place, new_token

__all__ = ["STALE_SECONDS", "Lock", "LockLost", "OutputLocked", "locked", "refuse_if_locked"]

#: A run of another machine that has not been heard of for so long is dead.
STALE_SECONDS = 300.0

#: How often a run tries when all it meets are others that are still trying.
TRIES = 8

logger = masked_logger(__name__)


class OutputLocked(RuntimeError):
    """Another run is at work on the output."""


class LockLost(RuntimeError):
    """The run was taken for dead, and another one may have taken the output over."""


@dataclass(frozen=True)
class Held:
    """A lock that is there: the run's name, whose it is, and whether it is more than a try."""

    token: str
    owner: dict[str, Any]
    at_work: bool


class Lock:
    """The right to write an output.

    Attributes
    ----------
    token : str
        The name of the run.
    owner : dict
        Who holds it.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.token, self.owner = place, new_token(), this_process()
        self.file = place.path(f"{self.token}.lock")
        self.beat = place.path(f"{self.token}.json")

    def acquire(self) -> None:
        """Take the lock, also from a run that is dead.

        Raises
        ------
        OutputLocked
            It says who holds it.
        """
        written = False
        for attempt in range(TRIES):
            others = self._living()
            if not written and not others:
                self._write(self.file, self.owner)
                written, others = True, self._living()
            if not others:
                try:
                    self.place.check_owner(self.file)
                except OSError:
                    self.place.remove(self.file)
                    raise
                # From here on it is seen to be at work, and not one that is still trying.
                self._write(self.beat, {"status": "running", "owner": self.owner})
                return
            last = any(held.at_work for held in others) or attempt == TRIES - 1
            # Of those that try, one stays: if all made way, slow storages might let none in.
            if written and (last or self.token > min(held.token for held in others)):
                self.place.remove(self.file)
                written = False
            if last:
                raise OutputLocked(_message(self.place, others[0]))
            time.sleep(random.uniform(0.02, 0.2))

    def _living(self) -> list[Held]:
        """Return who else has a lock; those of dead runs are deleted."""
        found = []
        for held in _held(self.place):
            if held.token == self.token:
                continue
            if _is_dead(self.place, held):
                logger.info("taking over from a run that is dead: %s", describe(held.owner))
                self.place.remove(self.place.path(f"{held.token}.lock"))
            else:
                found.append(held)
        return sorted(found, key=lambda held: not held.at_work)

    def _write(self, path: str, document: dict[str, Any]) -> None:
        for _ in range(TRIES):
            try:
                self.place.make_folder(self.place.aside)
                self.place.write(path, document)
                return
            except FileNotFoundError:  # another run, which ended, deleted the folder
                continue
        self.place.write(path, document)

    def held(self) -> bool:
        """Tell whether the lock is still this run's."""
        return self.place.exists(self.file)

    def check(self) -> None:
        """Raise `LockLost` when the lock is no longer this run's."""
        if not self.held():
            raise LockLost(
                f"this run has lost the lock on {self.place.url}: it showed no sign of life for "
                f"more than {STALE_SECONDS:.0f} s (was it suspended?) and another run may have "
                "taken its place; nothing was put in place"
            )

    def release(self) -> None:
        """Give the lock up, and delete the folder aside unless something is left in it."""
        self.place.remove(self.beat)
        self.place.remove(self.file)
        if self.place.names() or not self.place.has_folders:
            return
        with suppress(OSError):  # another run has come, or what is there is not ours
            self.place.fs.rmdir(self.place.aside)


@contextmanager
def locked(place: Place) -> Iterator[Lock]:
    """Hold the lock on an output for the time of the block."""
    lock, missing = Lock(place), _missing_folders(place)
    try:
        with clear_errors("write", place.url):
            lock.acquire()
        yield lock
    finally:
        try:
            lock.release()
        except Exception:  # what ended the block is what counts, and a dead run's lock is no lock
            logger.warning("the lock on %s could not be removed", place.url, exc_info=True)
        for folder in missing:
            with suppress(OSError):  # unless the output is in it
                os.rmdir(folder)


def _missing_folders(place: Place) -> list[str]:
    """Return the folders above the output that will have to be made, the innermost first."""
    found = []
    folder = os.path.dirname(place.aside)
    while place.local and not os.path.isdir(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found


def refuse_if_locked(url: str) -> None:
    """Raise when a run is at work on an output, without taking the lock."""
    place = Place.of(url)
    with clear_errors("write", url):
        for held in _held(place):
            if held.at_work and not _is_dead(place, held):
                raise OutputLocked(_message(place, held))


def _held(place: Place) -> list[Held]:
    """Return every lock there is."""
    found, names = [], place.names()
    at_work = {token for token, kind in names.values() if kind == ".json"}
    for name, (token, kind) in names.items():
        if kind == ".lock":
            owner = place.read(place.path(name))
            if owner is not None or place.exists(place.path(name)):
                found.append(Held(token, owner or {}, token in at_work))
    return found


def _is_dead(place: Place, held: Held) -> bool:
    alive = lives(held.owner)
    if alive is not None:
        return not alive
    files = [place.path(f"{held.token}{ending}") for ending in (".lock", ".json")]
    silent = place.seconds_since(*files)
    if silent is None:
        return False
    if silent < -1:  # written by a clock that was wrong: else it would not be silent for years
        place.touch(*files)
    return silent > STALE_SECONDS


def _message(place: Place, held: Held) -> str:
    token, owner = held.token, held.owner
    state = place.read(place.path(f"{token}.json")) or {}
    heard = state.get("heartbeat")
    last = f", last heard of {heard}" if heard else ""
    return (
        f"another run is writing {place.url}: {describe(owner)}{last}; wait for it to end or "
        "choose another output (the lock of a run that died is taken over: at once on its own "
        f"machine, after {STALE_SECONDS:.0f} s without a heartbeat from another one)"
    )
