"""The output folder: written aside, then put in place whole, or not at all, by one run at a time.

:class:`Output` is an output under the lock of this run: what dead runs left is settled, and
``stage`` gives the folder to write to. What lies where is told in :mod:`dsmote.job.storage.place`,
who may write in :mod:`~dsmote.job.storage.lock`, how a table is put in place in
:mod:`~dsmote.job.storage.local` (where folders can be renamed) and
:mod:`~dsmote.job.storage.remote` (where not).

Readers of a table on an object store look for ``_SUCCESS`` (a folder without it is not whole), then
read the files that the manifest lists under ``parts``. Elsewhere the folder is whole when it is
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dsmote.job.files import clear_errors
from dsmote.job.secrets import masked_logger
from dsmote.job.storage.check import SUCCESS, check_output, read_manifest
from dsmote.job.storage.heartbeat import Heartbeat, beating, running_manifest
from dsmote.job.storage.local import LocalStage, recover_local
from dsmote.job.storage.lock import Lock, LockLost, OutputLocked, locked, refuse_if_locked
from dsmote.job.storage.place import Place, part_name
from dsmote.job.storage.records import read_run
from dsmote.job.storage.remote import RemoteStage, recover_remote

logger = masked_logger(__name__)

__all__ = [
    "SUCCESS",
    "Heartbeat",
    "LocalStage",
    "LockLost",
    "Output",
    "OutputLocked",
    "RemoteStage",
    "Stage",
    "check_output",
    "opened",
    "part_name",
    "read_manifest",
    "refuse_if_locked",
    "running_manifest",
    "staged",
    "tidy",
]

Stage = LocalStage | RemoteStage


@dataclass(frozen=True)
class Output:
    """An output that only this run may write."""

    place: Place
    lock: Lock
    heartbeat: Heartbeat

    @contextmanager
    def stage(
        self, if_exists: str = "error", key: Mapping[str, Any] | None = None
    ) -> Iterator[Stage]:
        """Yield a staging folder, which is gone after the block unless it was committed.

        Parameters
        ----------
        if_exists : {"error", "skip", "replace"}
        key : mapping, optional
            What the run is; the folder of a dead run that was the same is gone on with. Without
            it, and where none was, the folder is new. All others are deleted.
        """
        kind: type[Stage] = LocalStage if self.place.local else RemoteStage
        with clear_errors("write", self.place.url):
            name = None if key is None else self._find(key)
            self.clear(name)
        check_output(self.place.url, if_exists)
        stage = kind(self.lock, if_exists, name)
        stage.keep = name is not None  # what was finished before stays, if this run fails
        try:
            with clear_errors("write", self.place.url):
                stage.open()
            yield stage
            stage.keep = False
        finally:
            stage.discard()

    def _find(self, key: Mapping[str, Any]) -> str | None:
        found = self.place.names()
        for name, (_, kind) in found.items():
            if kind or f"{name}.stage" not in found:
                continue
            run = read_run(self.place.fs.unstrip_protocol(self.place.path(name)))
            if run and run.get("key") == dict(key):
                return name
        return None

    def clear(self, name: str | None = None) -> None:
        """Delete what dead runs left, but for one folder."""
        found = self.place.names()
        others = {token for token, kind in found.values() if kind == ".lock"}
        for entry, (token, kind) in found.items():
            mine = entry in (name, f"{name}.stage")
            kept = kind == ".old" or (kind == ".replaced" and f"{token}.old" in found)
            if token in others or mine or kept:  # what is kept is seen to before
                continue
            if kind:
                self.place.remove(self.place.path(entry))
            elif f"{entry}.stage" in found:
                self.place.remove_folder(self.place.path(entry))
            else:
                logger.warning("%s is no staging folder, and stays", self.place.path(entry))


@contextmanager
def opened(url: str, job: dict[str, Any] | None = None) -> Iterator[Output]:
    """Hold an output for the time of the block, in a state that is whole or not there.

    Parameters
    ----------
    url : str
    job : dict, optional
        For the manifest that is shown while the run is at work.

    Raises
    ------
    OutputLocked
        When another run is at work on it.
    """
    place = Place.of(url)
    with locked(place) as lock, beating(lock, job) as heartbeat:
        with clear_errors("write", url):
            (recover_local if place.local else recover_remote)(place)
        yield Output(place, lock, heartbeat)


def tidy(url: str) -> None:
    """Delete what dead runs left beside an output that stands, unless a run is at work there."""
    if Place.of(url).names():
        # What cannot be deleted now is left to the next run.
        with suppress(OutputLocked, OSError), opened(url) as output:
            output.clear()


@contextmanager
def staged(url: str, overwrite: bool = False) -> Iterator[Stage]:
    """Yield a staging folder under the lock, which is gone after the block unless committed.

    Parameters
    ----------
    url : str
        The output.
    overwrite : bool
    """
    if_exists = "replace" if overwrite else "error"
    check_output(url, if_exists)
    with opened(url) as output, output.stage(if_exists) as stage:
        yield stage
