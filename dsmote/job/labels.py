"""Labels as a job names them: JSON has text keys only, and command lines cannot tell 1 from "1".

A key means the label of the data whose text it is, whatever the label's type; else a number means a
numeric label of the same value, and ``true`` and ``false`` mean booleans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dsmote.plan.labels import listed, plain


class Named:
    """The values that a job names, to be found in the data.

    Examples
    --------
    >>> named = Named(["1", True, 2**53 + 1, "1e3"])
    >>> [sorted(named.places(v)) for v in (1, 1.0, "1", True, "no", None, 2**53, 1000)]
    [[0], [0], [0], [0, 1], [], [], [], [3]]
    """

    def __init__(self, keys: Iterable[Any]) -> None:
        self._places: dict[tuple[type, Any], set[int]] = {}
        for place, key in enumerate(map(str, keys)):
            for meaning in _meanings(key):
                self._places.setdefault(meaning, set()).add(place)

    def by_text(self, value: Any) -> set[int]:
        """Return the places of the keys that are the text of a value."""
        return self._places.get((str, str(value)), set())

    def by_value(self, value: Any) -> set[int]:
        """Return the places of the keys of the same value."""
        value = plain(value)
        kind = bool if isinstance(value, bool) else float  # True is equal to 1
        return self._places.get((kind, value), set()) if isinstance(value, int | float) else set()

    def places(self, value: Any) -> set[int]:
        """Return the places of the keys that mean a value; that none does, if it is missing."""
        return set() if value is None else self.by_text(value) | self.by_value(value)


def _meanings(key: str) -> Iterator[tuple[type, Any]]:
    yield str, key
    if key.lower() in ("true", "false", "1", "0"):
        yield bool, key.lower() in ("true", "1")
    try:
        yield float, int(key)  # as a float, a large one would be others as well
    except ValueError:
        with suppress(ValueError):
            yield float, float(key)


def _meant(keys: Iterable[Any], counts: Any) -> dict[Any, Any]:
    """Return, by the label of the data that it means, each key of a sampling strategy."""
    labels = [*counts] if isinstance(counts, Mapping) else [*pd.unique(np.asarray(counts))]
    found: dict[Any, Any] = {}
    for key in keys:
        named = Named([key])
        meant = [*filter(named.by_text, labels)] or [*filter(named.by_value, labels)]
        if not meant:
            raise ValueError(
                f"sampling_strategy names the label {key!r}, which is not in the data; "
                f"the labels are: {listed(sorted(map(str, labels)))}"
            )
        if len(meant) > 1:
            raise ValueError(f"{key!r} could be any of the labels {meant}")
        if found.setdefault(meant[0], key) != key:
            text = f"names the label {meant[0]!r} twice, as {found[meant[0]]!r} and {key!r}"
            raise ValueError(f"sampling_strategy {text}: give it once")
    return found


@dataclass(frozen=True)
class LabelList:
    """A callable sampling strategy of a cleaning method: labels by their texts.

    Examples
    --------
    >>> LabelList(("1",))({0: 900, 1: 100})
    [1]
    """

    labels: tuple[Any, ...]

    def __call__(self, counts: Any) -> list[Any]:
        """Return the labels, from class counts or from the target itself."""
        return [*_meant(self.labels, counts)]


@dataclass(frozen=True)
class LabelCounts:
    """A callable sampling strategy: total rows by the text of a label.

    Examples
    --------
    >>> LabelCounts({"1": 500})({0: 900, 1: 100})
    {1: 500}
    """

    rows: Mapping[str, int]

    def __call__(self, counts: Any) -> dict[Any, int]:
        """Return total rows by label, from class counts or from the target itself."""
        return {label: self.rows[key] for label, key in _meant(self.rows, counts).items()}


@dataclass(frozen=True)
class ByLabel(Mapping[Any, Any]):
    """Values by the text of a label, looked up by the label as the data have it."""

    by_text: Mapping[Any, Any]

    def __getitem__(self, label: Any) -> Any:
        named = Named(self.by_text)
        places = named.by_text(label) or named.by_value(label)
        if not places:
            raise KeyError(label)
        return list(self.by_text.values())[min(places)]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.by_text)

    def __len__(self) -> int:
        return len(self.by_text)


def plain_label(label: Any) -> Any:
    """Return a label as a type that JSON knows: bool, int, float or text."""
    label = plain(label)
    return label if isinstance(label, bool | int | float | str) else str(label)


def plain_value(value: Any) -> Any:
    """Return a value as types that JSON knows; what is none of them, as its text."""
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return None if value is None else plain_label(value)
