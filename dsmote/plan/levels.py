"""How often each level of a nominal column occurs in each class: what SMOTEN measures by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["LevelCounts", "count_levels", "level_key", "merge_levels"]


@dataclass(frozen=True)
class LevelCounts:
    """Rows of each level of one column, by class.

    Attributes
    ----------
    rows : mapping of level to (mapping of label to int)
        A missing level is None.
    """

    rows: Mapping[Any, Mapping[Any, int]]

    def table(self, levels: Sequence[Any], labels: Sequence[Any]) -> np.ndarray:
        """Return counts as an array, shape (levels, labels); int64.

        Examples
        --------
        >>> count_levels(["a", "b"], [0, 1], np.array([[1, 2], [0, 3]])).table(["b"], [0, 1])
        array([[0, 3]])
        """
        found = [self.rows.get(level_key(level), {}) for level in levels]
        counts = [[row.get(label, 0) for label in labels] for row in found]
        return np.array(counts, dtype=np.int64).reshape(len(levels), len(labels))

    @property
    def bytes(self) -> int:
        """Bytes of the counts, and of the probabilities that are made of them.

        A level is a text of some 80 bytes in two mappings, its own of 200 and more.
        """
        entries = sum(map(len, self.rows.values()))
        labels = len({label for row in self.rows.values() for label in row})
        return len(self.rows) * (400 + 16 * labels) + 40 * entries


def level_key(level: Any) -> Any:
    """Return what a level is known by, whatever column it was read from.

    Examples
    --------
    >>> level_key(np.int64(3)), level_key(float("nan")), level_key("a")
    (3, None, 'a')
    """
    if pd.api.types.is_scalar(level) and pd.isna(level):
        return None
    return level.item() if isinstance(level, np.generic) else level


def count_levels(levels: Sequence[Any], labels: Sequence[Any], counts: np.ndarray) -> LevelCounts:
    """Put counts of levels (rows) by class (columns) into a form that can be merged."""
    rows: dict[Any, dict[Any, int]] = {}
    for level, row in zip(levels, counts.tolist(), strict=True):
        rows[level_key(level)] = {label: n for label, n in zip(labels, row, strict=True) if n}
    return LevelCounts(rows)


def merge_levels(a: tuple[LevelCounts, ...], b: tuple[LevelCounts, ...]) -> tuple[LevelCounts, ...]:
    """Add the counts of two parts of a table; a part without rows has none.

    Examples
    --------
    >>> one = count_levels(["a"], [0], np.array([[2]]))
    >>> merge_levels((one,), (one,))[0].rows
    {'a': {0: 4}}
    """
    if not a or not b:
        return a or b
    merged = []
    for one, other in zip(a, b, strict=True):
        rows = {level: dict(counts) for level, counts in one.rows.items()}
        for level, counts in other.rows.items():
            have = rows.setdefault(level, {})
            for label, n in counts.items():
                have[label] = have.get(label, 0) + n
        merged.append(LevelCounts(rows))
    return tuple(merged)
