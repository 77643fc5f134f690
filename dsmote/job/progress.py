"""What a job tells while it runs."""

from __future__ import annotations

from typing import Any, Protocol

from dsmote.job.storage import Output

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
    output : Output
    """

    def __init__(self, progress: Progress, output: Output) -> None:
        self._output, self._progress = output, progress
        self._done = self._total = 0

    def stage(self, text: str) -> None:
        """Say what is being done now."""
        self._output.show(stage=text)
        self._progress.stage(text)

    def planned(self, plan: Any) -> None:
        """Say what will be done, once that is known."""
        self._progress.planned(plan)

    def start(self, partitions: int, rows: int) -> None:
        """Say how much there will be to write."""
        self._total = partitions
        self._progress.start(partitions, rows)

    def advance(self, partitions: int, rows: int) -> None:
        """Say how much has been written in addition."""
        self._done += partitions
        self._output.show(parts={"done": self._done, "total": self._total})
        self._progress.advance(partitions, rows)
