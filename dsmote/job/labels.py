"""Labels and class counts as text and JSON know them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dsmote.plan.labels import listed

__all__ = ["ByLabel", "LabelCounts", "Named", "plain_label", "plain_value"]


@dataclass(frozen=True)
class LabelCounts:
    """A callable sampling strategy: total rows by the *text* of a label.

    JSON has text keys only, and a command line cannot tell the number 1 from the text "1". So a
    key matches the label of the data whose text it is, whatever the label's type; a number also
    matches a numeric label of the same value, and ``true`` and ``false`` match booleans.

    Parameters
    ----------
    rows : mapping of str to int

    Examples
    --------
    >>> LabelCounts({"1": 500})({0: 900, 1: 100})
    {1: 500}
    """

    rows: Mapping[str, int]

    def __call__(self, counts: Any) -> dict[Any, int]:
        """Return total rows by label, from class counts or from the target itself."""
        labels = (
            list(counts) if isinstance(counts, Mapping) else list(pd.unique(np.asarray(counts)))
        )
        found: dict[Any, tuple[str, int]] = {}
        for key, rows in self.rows.items():
            label = _find_label(key, labels)
            if label in found:
                text = f"names the label {label!r} twice, as {found[label][0]!r} and {key!r}"
                raise ValueError(f"sampling_strategy {text}: give it once")
            found[label] = key, rows
        return {label: rows for label, (_, rows) in found.items()}


@dataclass(frozen=True)
class ByLabel(Mapping[Any, Any]):
    """Values by the text of a label, looked up by the label as the data have it.

    Parameters
    ----------
    by_text : mapping
        From a job; keys match as in :class:`LabelCounts`.

    Examples
    --------
    >>> ByLabel({"1": 0.5})[1], 2 in ByLabel({"1": 0.5})
    (0.5, False)
    """

    by_text: Mapping[Any, Any]

    def __getitem__(self, label: Any) -> Any:
        for matches in (_same_text, _same_value):
            for key, value in self.by_text.items():
                if matches(str(key), label):
                    return value
        raise KeyError(label)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.by_text)

    def __len__(self) -> int:
        return len(self.by_text)


def _find_label(key: str, labels: list[Any]) -> Any:
    for matches in (_same_text, _same_value):
        found = [label for label in labels if matches(key, label)]
        if len(found) > 1:
            raise ValueError(f"{key!r} could be any of the labels {found}")
        if found:
            return found[0]
    raise ValueError(
        f"sampling_strategy names the label {key!r}, which is not in the data; "
        f"the labels are: {listed(sorted(map(str, labels)))}"
    )


class Named:
    """The values that a job names, to be found in the data: by their text, else by value.

    Parameters
    ----------
    keys : sequence
        From a job: text, numbers or bools.

    Examples
    --------
    >>> named = Named(["1", True, 2**53 + 1, "1e3"])
    >>> [sorted(named.places(v)) for v in (1, 1.0, "1", True, "no", None, 2**53, 1000)]
    [[0], [0], [0], [0, 1], [], [], [], [3]]
    """

    def __init__(self, keys: Sequence[Any]) -> None:
        self._by_text: dict[str, set[int]] = {}
        self._by_word: dict[str, set[int]] = {}
        self._by_number: dict[Any, set[int]] = {}
        for place, key in enumerate(keys):
            text = str(key)
            self._by_text.setdefault(text, set()).add(place)
            self._by_word.setdefault(text.lower(), set()).add(place)
            with suppress(ValueError):
                self._by_number.setdefault(_number(text), set()).add(place)

    def places(self, value: Any) -> set[int]:
        """Return which of the keys mean a value of the data; that none does, if it is missing."""
        if value is None:
            return set()
        found = self._by_text.get(str(value), set())
        if isinstance(value, bool | np.bool_):
            found = found | self._by_word.get(str(value).lower(), set())
            return found | self._by_text.get(str(int(value)), set())
        if isinstance(value, int | float | np.integer | np.floating):
            return found | self._by_number.get(value, set())
        return found


def _same_text(key: str, label: Any) -> bool:
    return str(label) == key


def _same_value(key: str, label: Any) -> bool:
    if isinstance(label, bool | np.bool_):
        return key.lower() == str(label).lower() or key == str(int(label))
    if isinstance(label, int | float | np.integer | np.floating):
        try:
            return _number(key) == label
        except ValueError:
            return False
    return False


def _number(text: str) -> int | float:
    try:
        return int(text)  # as a float, a large one would be others as well
    except ValueError:
        return float(text)


def plain_label(label: Any) -> Any:
    """Return a label as a type that JSON knows: bool, int, float or text.

    Examples
    --------
    >>> plain_label(np.int64(3)), plain_label(np.str_("a"))
    (3, 'a')
    """
    if isinstance(label, np.generic):
        label = label.item()
    return label if isinstance(label, bool | int | float | str) else str(label)


def plain_value(value: Any) -> Any:
    """Return a value as types that JSON knows; what is none of them, as its text.

    Examples
    --------
    >>> plain_value({1: (np.float64(0.5), None)})
    {'1': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return None if value is None else plain_label(value)
