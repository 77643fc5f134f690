"""From ``sampling_strategy`` and the class counts to the number of rows kept of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from dsmote.plan.strategy import WORDS, extremes, listing, settled, wanted_totals, whole_rows

__all__ = ["kept_rows"]


def kept_rows(
    strategy: str | float | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]],
    counts: Mapping[Any, int],
    callable_argument: Any = None,
) -> dict[Any, int]:
    """Turn a sampling strategy into the number of rows to keep of each targeted class.

    Parameters
    ----------
    strategy : str, float, mapping or callable
        As in imbalanced-learn: ``"auto"`` (``"not minority"``), ``"majority"``,
        ``"not minority"``, ``"not majority"``, ``"all"``: the classes named are cut to the size of
        the smallest; a ratio of minority to majority in (0, 1] for two classes; a mapping from
        class to the *total* wanted; a callable that returns such a mapping.
    counts : mapping of label to int
        Rows present in each class.
    callable_argument : optional
        What a callable strategy is given; ``counts`` when omitted.

    Returns
    -------
    dict of label to int
        Rows to keep of each targeted class, in sorted label order; other classes keep all.

    Raises
    ------
    ValueError
        One class only, a class that is not there, a negative total or one above what is present, a
        ratio for more than two classes or one that the majority has too few rows for.

    Examples
    --------
    >>> kept_rows("auto", {0: 90, 1: 10})
    {0: 10}
    >>> kept_rows(0.5, {0: 90, 1: 10})
    {0: 20}
    >>> kept_rows({0: 12}, {0: 90, 1: 10})
    {0: 12}
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


def _from_word(word: str, counts: dict[Any, int], labels: list[Any]) -> dict[Any, int]:
    if word not in WORDS:
        raise ValueError(f"sampling_strategy must be one of {', '.join(WORDS)}, but is {word!r}")
    if word == "minority":
        raise ValueError(
            "sampling_strategy='minority' cannot be used with an under-sampler: the minority class "
            "is the one the others are cut to; use 'majority', 'not minority' or a mapping"
        )
    majority, minority = extremes(counts, labels)
    targeted = {
        "majority": [majority],
        "not majority": [label for label in labels if label != majority],
        "all": labels,
    }.get(word, [label for label in labels if label != minority])
    return dict.fromkeys(targeted, counts[minority])


def _from_ratio(ratio: float, counts: dict[Any, int], labels: list[Any]) -> dict[Any, int]:
    if len(labels) != 2:
        raise ValueError(
            f"a sampling_strategy that is a number works with 2 classes, but the target has "
            f"{len(labels)}: {listing(counts)}; give a mapping from class to total rows"
        )
    if not 0 < ratio <= 1:
        raise ValueError(f"sampling_strategy as a number must be in (0, 1], but is {ratio}")
    _, minority = extremes(counts, labels)
    majority = next(label for label in labels if label != minority)
    wanted = whole_rows(counts[minority] / ratio)
    if wanted > counts[majority]:
        present = counts[minority] / counts[majority]
        raise ValueError(
            f"sampling_strategy={ratio} asks for {wanted:,} rows of class "
            f"{majority!r}, which has {counts[majority]:,} (a ratio of {present:.4g}), and an "
            "under-sampler makes none; give a larger ratio"
        )
    return {majority: wanted}


def _from_mapping(totals: Mapping[Any, int], counts: dict[Any, int]) -> dict[Any, int]:
    keep = wanted_totals(totals, counts)
    for label, total in keep.items():
        if total < 0:
            raise ValueError(
                f"sampling_strategy wants {total:,} rows of class {label!r}, which has "
                f"{counts[label]:,}; the number must not be negative"
            )
        if total > counts[label]:
            raise ValueError(
                f"sampling_strategy wants {total:,} rows of class {label!r}, which has "
                f"{counts[label]:,}: an under-sampler only takes rows away; ask for "
                f"{counts[label]:,} or fewer, or leave the class out"
            )
    return keep
