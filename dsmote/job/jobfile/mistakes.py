"""What is wrong with a job file: every mistake, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dsmote.plan.labels import first

__all__ = ["JobFileError", "Mistake", "did_you_mean"]

#: Characters of a message that are read; a key or a tag of the file may have any number.
MOST = 1000


@dataclass(frozen=True)
class Mistake:
    """One mistake and where it is.

    Parameters
    ----------
    where : str
        Such as ``"job.yaml:3"`` or ``"--set params.k_neighbors"``; empty for a mapping.
    key : str
        The key with those above it, such as ``"params.k_neighbors"``; empty for the whole file.
    message : str
    line : int, optional
        Counted from 1, where the place is a line of a file.

    Examples
    --------
    >>> str(Mistake("job.yaml:3", "report", "must be true or false", 3))
    'job.yaml:3: report: must be true or false'
    """

    where: str
    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        # The place of an option is the option, which names the key already.
        key = "" if self.where.endswith(f" {self.key}") else self.key
        parts = [part for part in (self.where, key, self.message) if part]
        return ": ".join(part if len(part) <= MOST else f"{part[:MOST]} ..." for part in parts)


class JobFileError(ValueError):
    """A job file, or a mapping of the same keys, with at least one mistake.

    Parameters
    ----------
    name : str
        The file.
    mistakes : sequence of Mistake

    Attributes
    ----------
    mistakes : tuple of Mistake
        All of them; the message has the first.

    Examples
    --------
    >>> print(JobFileError("job.yaml", [Mistake("job.yaml:3", "mode", "must be full", 3)]))
    job.yaml has 1 mistake:
      job.yaml:3: mode: must be full
    """

    def __init__(self, name: str, mistakes: Sequence[Mistake]) -> None:
        self.name, self.mistakes = name, tuple(mistakes)
        count = len(self.mistakes)
        lines = [f"{name} has {count} mistake{'s' if count != 1 else ''}:"]
        super().__init__("\n  ".join([*lines, *first(map(str, self.mistakes))]))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[Mistake, ...]]]:
        return type(self), (self.name, self.mistakes)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Say which name is close, if one is; capitals, ``-`` and ``_`` do not matter.

    Examples
    --------
    >>> did_you_mean("smapler", ["sampler", "split"])
    " (did you mean 'sampler'?)"
    """
    lower = {each.lower().replace("-", "_"): each for each in reversed([*names])}
    asked = name.lower().replace("-", "_")
    found = difflib.get_close_matches(asked, lower, n=1, cutoff=0.6)
    return f" (did you mean {lower[found[0]]!r}?)" if found else ""
