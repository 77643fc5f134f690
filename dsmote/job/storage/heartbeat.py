"""The manifest of a run while it runs: rewritten every few seconds, so that others see it live."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dsmote.job.secrets import masked_logger
from dsmote.job.storage.lock import Lock
from dsmote.job.storage.place import Place

__all__ = ["BEAT_SECONDS", "Heartbeat", "beating", "running_manifest"]

#: Seconds between two heartbeats.
BEAT_SECONDS = 10.0

logger = masked_logger(__name__)


class Heartbeat:
    """What a run says about itself while it runs.

    Parameters
    ----------
    lock : Lock
    job : dict, optional
        The job as plain data.
    """

    def __init__(self, lock: Lock, job: dict[str, Any] | None = None) -> None:
        self._lock, self._done, self._wake = lock, threading.Event(), threading.Event()
        self._guard = threading.Lock()
        self._lost = threading.Event()
        self._state: dict[str, Any] = {
            "status": "running",
            "owner": lock.owner,
            "job": job,
            "stage": "starting",
            "parts": {"done": 0, "total": None},
        }

    def stage(self, text: str) -> None:
        """Say what is being done now, and let that be seen at once."""
        with self._guard:
            self._state["stage"] = text
        self._wake.set()

    def start(self, partitions: int) -> None:
        """Say how many parts there will be to write."""
        with self._guard:
            self._state["parts"] = {"done": 0, "total": partitions}

    def advance(self, partitions: int) -> None:
        """Say how many parts have been written in addition.

        Raises
        ------
        LockLost
            When the lock is no longer this run's: what it would go on to do is lost.
        """
        if self._lost.is_set():
            self._lock.check()
        with self._guard:
            parts = self._state["parts"]
            self._state["parts"] = {**parts, "done": parts["done"] + partitions}

    def beat(self) -> None:
        """Write the state, unless the lock was lost."""
        if not self._lock.held():
            self._lost.set()
            return
        with self._guard:
            state = {**self._state, "heartbeat": datetime.now(UTC).isoformat(timespec="seconds")}
        self._lock.place.write(self._lock.beat, state)

    def run(self) -> None:
        """Beat until `end`; trouble of the storage is for the run to meet, not for this."""
        while not self._done.is_set():
            try:
                self.beat()
            except Exception:
                logger.debug("a heartbeat was missed", exc_info=True)
            self._wake.wait(BEAT_SECONDS)
            self._wake.clear()

    def end(self) -> None:
        """Stop beating."""
        self._done.set()
        self._wake.set()


@contextmanager
def beating(lock: Lock, job: dict[str, Any] | None = None) -> Iterator[Heartbeat]:
    """Show a heartbeat for the time of the block."""
    heartbeat = Heartbeat(lock, job)
    thread = threading.Thread(target=heartbeat.run, name="dsmote-heartbeat", daemon=True)
    thread.start()
    try:
        yield heartbeat
    finally:
        heartbeat.end()
        # Else a last beat could come after the lock and its folder are gone.
        thread.join(timeout=60)


def running_manifest(url: str) -> dict[str, Any] | None:
    """Return the manifest of the run that is at work on an output; None when there is none.

    Parameters
    ----------
    url : str
        The output.

    Returns
    -------
    dict or None
        ``status`` (``"running"``), ``stage``, ``parts`` (done and total), ``heartbeat`` (a time),
        ``owner`` and ``job``.

    Examples
    --------
    >>> running_manifest("memory://nobody/writes/here")
    """
    place = Place.of(url)
    names = place.names()
    for name, (token, kind) in names.items():
        if kind == ".json" and f"{token}.lock" in names:
            return place.read(place.path(name))
    return None
