"""Class labels: one order and one form for them, whatever container they came in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def plain(label: Any) -> Any:
    """Return a label as a plain Python value, so that counts are equal across containers."""
    return label.item() if isinstance(label, np.generic) else label


def visible(value: Any) -> str:
    r"""Return a value as text, control characters written as escapes.

    A terminal would obey them, and a line break in a label would begin a row of the table.

    Examples
    --------
    >>> print(visible("a\x1b[2J\n\u202eb"), visible("naïve, 東京"))
    a\x1b[2J\n\u202eb naïve, 東京
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(texts: Iterable[str], most: int = 20) -> str:
    """Write the first texts of a list, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b"]), listed("abcd", most=2)
    ('a, b', 'a, b and 2 more')
    """
    found = list(texts)
    more = len(found) - most
    return ", ".join(found[:most]) + (f" and {more:,} more" if more > 0 else "")


def first(texts: Iterable[str], most: int = 20) -> list[str]:
    """Return the first of texts that have a line each, and how many more there are."""
    found = list(texts)
    more = len(found) - most
    return found[:most] + ([f"and {more:,} more"] if more > 0 else [])


def sort_labels(labels: Iterable[Any]) -> list[Any]:
    """Sort labels by value; labels of types that cannot be compared by type name, then text.

    The place of a class in this order is what its random draws are keyed by, so the order must
    not depend on the container, on the categories' order or on which partition came first.

    Examples
    --------
    >>> sort_labels([2, 1, 10]), sort_labels(["b", 1, "a"])
    ([1, 2, 10], [1, 'a', 'b'])
    """
    found = list(labels)
    try:
        return sorted(found)
    except TypeError:
        return sorted(found, key=lambda label: (type(label).__name__, str(label)))
