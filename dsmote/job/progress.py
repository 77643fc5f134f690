"""What a job tells while it runs."""

from __future__ import annotations

from typing import Any, Protocol

from dsmote.job.storage import Heartbeat

__all__ = ["Progress", "Silent", "Told"]


class Progress(Protocol):
    """What a job tells while it runs."""

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def planned(self, plan: Any) -> None:
        """Say what will be done, once that is known."""

    def start(self, partitions: int, rows: int) -> None:
        """Say how much there will be to write."""

    def advance(self, partitions: int, rows: int) -> None:
        """Say how much has been written in addition."""


class Silent:
    """A progress that tells nothing.

    Examples
    --------
    >>> Silent().stage("reading")
    """

    def stage(self, text: str) -> None:
        """Say nothing."""

    def planned(self, plan: Any) -> None:
        """Say nothing."""

    def start(self, partitions: int, rows: int) -> None:
        """Say nothing."""

    def advance(self, partitions: int, rows: int) -> None:
        """Say nothing."""


class Told:
    """A progress that is told to the user, and to who looks at the run from outside.

    Parameters
    ----------
    progress : Progress
    heartbeat : Heartbeat
    """

    def __init__(self, progress: Progress, heartbeat: Heartbeat) -> None:
        self._heartbeat, self._progress = heartbeat, progress

    def stage(self, text: str) -> None:
        """Say what is being done now."""
        self._heartbeat.stage(text)
        self._progress.stage(text)

    def planned(self, plan: Any) -> None:
        """Say what will be done, once that is known."""
        self._progress.planned(plan)

    def start(self, partitions: int, rows: int) -> None:
        """Say how much there will be to write."""
        self._heartbeat.start(partitions)
        self._progress.start(partitions, rows)

    def advance(self, partitions: int, rows: int) -> None:
        """Say how much has been written in addition."""
        self._heartbeat.advance(partitions)
        self._progress.advance(partitions, rows)
