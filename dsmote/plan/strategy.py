"""From ``sampling_strategy`` and the class counts to the number of new rows per class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from dsmote.plan.labels import listed, plain, sort_labels

__all__ = [
    "WORDS",
    "extremes",
    "listing",
    "new_rows",
    "settled",
    "wanted_totals",
    "whole_rows",
]

WORDS = ("minority", "majority", "not minority", "not majority", "all", "auto")


def new_rows(
    strategy: str | float | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]],
    counts: Mapping[Any, int],
    callable_argument: Any = None,
) -> dict[Any, int]:
    """Turn a sampling strategy into the number of rows to make for each targeted class.

    Parameters
    ----------
    strategy : str, float, mapping or callable
        As in imbalanced-learn: ``"auto"`` (``"not majority"``), ``"minority"``,
        ``"not minority"``, ``"not majority"``, ``"all"``; a ratio in (0, 1] for two classes;
        a mapping from class to the *total* wanted; a callable that returns such a mapping.
    counts : mapping of label to int
        Rows present in each class.
    callable_argument : optional
        What a callable strategy is given; ``counts`` when omitted.

    Returns
    -------
    dict of label to int
        New rows per targeted class, in sorted label order. A class may have 0.

    Raises
    ------
    ValueError
        One class only, a class that is not there, a total below what is present, a ratio for
        more than two classes or one that would make no row.

    Examples
    --------
    >>> new_rows("auto", {0: 90, 1: 10})
    {1: 80}
    >>> new_rows(0.5, {0: 90, 1: 10})
    {1: 35}
    >>> new_rows({1: 12}, {0: 90, 1: 10})
    {1: 2}
    """
    strategy, counts, labels = settled(strategy, counts, callable_argument)
    if isinstance(strategy, Mapping):
        return _from_mapping(strategy, counts)
    if isinstance(strategy, str):
        return _from_word(strategy, counts, labels)
    if isinstance(strategy, Real) and not isinstance(strategy, bool):
        return _from_ratio(float(strategy), counts, labels)
    raise ValueError(
        "sampling_strategy must be a word, a number in (0, 1], a mapping or a callable, but is "
        f"{strategy!r} ({type(strategy).__name__}); lists of classes are for cleaning methods"
    )


def settled(
    strategy: Any, counts: Mapping[Any, int], callable_argument: Any
) -> tuple[Any, dict[Any, int], list[Any]]:
    """Return the strategy (what a callable one returned), plain counts and the sorted labels.

    Raises
    ------
    ValueError
        Fewer than two classes, or a callable that returns no mapping.
    """
    counts = {plain(label): int(n) for label, n in counts.items()}
    labels = sort_labels(counts)
    if len(labels) < 2:
        raise ValueError(
            f"the target needs at least 2 classes, but has {len(labels)} class"
            f"{'' if len(labels) == 1 else 'es'}: {listing(counts)}; check the target column, "
            "or that the table was not filtered down to one class"
        )
    if callable(strategy):
        strategy = strategy(counts if callable_argument is None else callable_argument)
        if not isinstance(strategy, Mapping):
            raise ValueError(
                "a callable sampling_strategy must return a mapping from class to total rows, "
                f"but it returned {type(strategy).__name__}"
            )
    return strategy, counts, labels


def extremes(counts: Mapping[Any, int], labels: list[Any]) -> tuple[Any, Any]:
    """Return the majority's and the minority's label.

    With ties it is the first label in sorted order, as in imbalanced-learn, so that exactly one
    class is left out.
    """
    return max(labels, key=counts.__getitem__), min(labels, key=counts.__getitem__)


def listing(counts: Mapping[Any, int]) -> str:
    """Write the class counts for a message."""
    return f"{{{listed(f'{label!r}: {counts[label]:,}' for label in sort_labels(counts))}}}"


def whole_rows(value: float) -> int:
    """Round down to whole rows, but up where only a rounding error is lacking.

    Examples
    --------
    >>> 0.29 * 100, whole_rows(0.29 * 100), whole_rows(28.99)
    (28.999999999999996, 29, 28)
    """
    nearest = round(value)
    return nearest if abs(value - nearest) <= 4 * math.ulp(value) else int(value)


def _from_word(word: str, counts: dict[Any, int], labels: list[Any]) -> dict[Any, int]:
    if word not in WORDS:
        raise ValueError(f"sampling_strategy must be one of {', '.join(WORDS)}, but is {word!r}")
    if word == "majority":
        raise ValueError(
            "sampling_strategy='majority' cannot be used with an over-sampler: the majority class "
            "is the one the others are grown to; use 'minority', 'not majority' or a mapping"
        )
    majority, minority = extremes(counts, labels)
    targeted = {
        "minority": [minority],
        "not minority": [label for label in labels if label != minority],
        "all": labels,
    }.get(word, [label for label in labels if label != majority])
    return {label: counts[majority] - counts[label] for label in targeted}


def _from_ratio(ratio: float, counts: dict[Any, int], labels: list[Any]) -> dict[Any, int]:
    if len(labels) != 2:
        raise ValueError(
            f"a sampling_strategy that is a number works with 2 classes, but the target has "
            f"{len(labels)}: {listing(counts)}; give a mapping from class to total rows"
        )
    if not 0 < ratio <= 1:
        raise ValueError(f"sampling_strategy as a number must be in (0, 1], but is {ratio}")
    majority = max(labels, key=lambda label: counts[label])
    minority = next(label for label in labels if label != majority)
    wanted = whole_rows(counts[majority] * ratio)
    if wanted <= counts[minority]:
        present = counts[minority] / counts[majority]
        raise ValueError(
            f"sampling_strategy={ratio} asks for {wanted:,} rows of class "
            f"{minority!r}, which has {counts[minority]:,} already (a ratio of {present:.4g}); "
            "give a larger ratio"
        )
    return {minority: wanted - counts[minority]}


def wanted_totals(totals: Mapping[Any, int], counts: Mapping[Any, int]) -> dict[Any, int]:
    """Return the totals of a mapping, in sorted label order, for classes that are there.

    Raises
    ------
    ValueError
        A class that the target does not hold, or a total that is no whole number.
    """
    wanted = {plain(label): total for label, total in totals.items()}
    unknown = [label for label in wanted if label not in counts]
    if unknown:
        raise ValueError(
            f"sampling_strategy names {listed(map(repr, unknown))}, which the "
            f"target does not hold; it holds {listing(counts)}"
        )
    for label, total in wanted.items():
        if not isinstance(total, Integral) or isinstance(total, bool):
            raise ValueError(
                f"sampling_strategy wants {total!r} rows of class {label!r}; "
                "it must be a whole number"
            )
    return {label: int(wanted[label]) for label in sort_labels(wanted)}


def _from_mapping(totals: Mapping[Any, int], counts: dict[Any, int]) -> dict[Any, int]:
    new: dict[Any, int] = {}
    for label, total in wanted_totals(totals, counts).items():
        if total < counts[label]:
            raise ValueError(
                f"sampling_strategy wants {total:,} rows of class {label!r}, which has "
                f"{counts[label]:,}: an over-sampler only adds rows; ask for {counts[label]:,} or "
                "more, or leave the class out"
            )
        new[label] = total - counts[label]
    return new
