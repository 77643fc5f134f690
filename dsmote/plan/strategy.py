"""From ``sampling_strategy`` and the class counts to the rows that each class ends with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from dsmote.plan.labels import listed, plain, sort_labels

OVER, UNDER, CLEAN = "over-sampling", "under-sampling", "clean-sampling"
COMBINED = "combination"  # of these, one after another
Counts = Mapping[Any, int]  # rows by class
NAMES = ("minority", "majority", "not minority", "not majority", "all", "auto")

# The class that is not to be targeted alone, and why.
_FIXED = {
    OVER: (
        "majority",
        "an over-sampler: the majority class is the one the others are grown to; use 'minority', "
        "'not majority' or a mapping",
    ),
    UNDER: (
        "minority",
        "an under-sampler: the minority class is the one the others are cut to; use 'majority', "
        "'not minority' or a mapping",
    ),
    CLEAN: (
        "minority",
        "a cleaning method: the minority class is the one the others are cleaned for; use "
        "'majority', 'not minority' or a list of classes",
    ),
}


def wanted_rows(
    strategy: str | float | Counts | Iterable[Any] | Callable[[Any], Any],
    counts: Counts,
    direction: str,
    callable_argument: Any = None,
) -> dict[Any, int]:
    """Turn a sampling strategy into the rows that each targeted class ends with.

    As in imbalanced-learn, a strategy is ``"minority"``, ``"majority"``, ``"not minority"``, ``"not
    majority"``, ``"all"`` or ``"auto"`` (``"not majority"`` for over-samplers, else ``"not
    minority"``); a ratio of minority to majority in (0, 1] for two classes; a mapping from class to
    total; for cleaning methods, which drop what their rule says, a list of classes. A callable
    returns a mapping, or that list; it is given `callable_argument`, or `counts`.

    The result is in sorted label order. For cleaning methods its numbers are upper bounds.

    Examples
    --------
    >>> counts = {0: 90, 1: 10}
    >>> [wanted_rows("auto", counts, how) for how in (OVER, UNDER, CLEAN)]
    [{1: 90}, {0: 10}, {0: 90}]
    >>> wanted_rows(0.5, counts, OVER), wanted_rows(0.5, counts, UNDER)
    ({1: 45}, {0: 20})
    >>> wanted_rows({1: 12}, counts, OVER), wanted_rows([1], counts, CLEAN)
    ({1: 12}, {1: 10})
    """
    labels = sort_labels(counts)
    if len(labels) < 2:
        raise ValueError(
            f"the target needs at least 2 classes, but has {len(labels)} class"
            f"{'' if len(labels) == 1 else 'es'}: {_listing(counts)}; check the target column, "
            "or that the table was not filtered down to one class"
        )
    cleans = direction == CLEAN
    if callable(strategy):
        strategy = strategy(dict(counts) if callable_argument is None else callable_argument)
        kind = (list, tuple) if cleans else Mapping
        if not isinstance(strategy, kind):
            wanted = "a list of classes" if cleans else "a mapping from class to total rows"
            raise ValueError(
                f"a callable sampling_strategy must return {wanted}, "
                f"but it returned {type(strategy).__name__}"
            )
    if isinstance(strategy, str):
        return _named(strategy, counts, labels, direction)
    if cleans and isinstance(strategy, Iterable) and not isinstance(strategy, Mapping):
        named = [plain(label) for label in strategy]
        _check_known(named, counts)
        return {label: counts[label] for label in sort_labels(set(named))}
    if isinstance(strategy, Mapping) and not cleans:
        return _totals(strategy, counts, direction)
    if isinstance(strategy, Real) and not isinstance(strategy, bool) and not cleans:
        return _from_ratio(float(strategy), counts, labels, direction)
    allowed = "a list of classes" if cleans else "a number in (0, 1], a mapping"
    raise ValueError(
        f"sampling_strategy must be a string, {allowed} or a callable, but is {strategy!r} "
        f"({type(strategy).__name__}); "
        + (
            "numbers of rows are for over- and under-samplers"
            if cleans
            else "lists of classes are for cleaning methods"
        )
    )


def capped_rows(
    wanted: Counts, counts: Counts, max_increase: float
) -> tuple[dict[Any, int], list[str]]:
    """Cut what classes are to end with to a multiple of their rows; also return a warning.

    Examples
    --------
    >>> rows, said = capped_rows({1: 90, 2: 30}, {0: 90, 1: 10, 2: 20}, 3)
    >>> rows
    {1: 30, 2: 30}
    >>> said
    ['max_increase=3 cuts class 1 to 30 rows of 90 wanted (it has 10)']
    """
    found, cut = dict(wanted), []
    for label, rows in wanted.items():
        most = max(counts[label], _whole_rows(counts[label] * float(max_increase)))
        if rows > most:
            found[label] = most
            cut.append(
                f"class {label!r} to {most:,} rows of {rows:,} wanted (it has {counts[label]:,})"
            )
    return found, [f"max_increase={max_increase} cuts {listed(cut)}"] if cut else []


def _listing(counts: Counts) -> str:
    return f"{{{listed(f'{label!r}: {counts[label]:,}' for label in sort_labels(counts))}}}"


def _whole_rows(value: float) -> int:
    """Round down to an integer, but up where only a rounding error is lacking.

    Examples
    --------
    >>> 0.29 * 100, _whole_rows(0.29 * 100), _whole_rows(28.99)
    (28.999999999999996, 29, 28)
    """
    nearest = round(value)
    return nearest if abs(value - nearest) <= 4 * math.ulp(value) else int(value)


def _named(name: str, counts: Counts, labels: list[Any], direction: str) -> dict[Any, int]:
    if name not in NAMES:
        raise ValueError(f"sampling_strategy must be one of {', '.join(NAMES)}, but is {name!r}")
    fixed, why = _FIXED[direction]
    if name == fixed:
        raise ValueError(f"sampling_strategy={name!r} cannot be used with {why}")
    # With ties the first label in sorted order, as in imbalanced-learn: exactly one is left out.
    size = counts.__getitem__
    extremes = {"majority": max(labels, key=size), "minority": min(labels, key=size)}
    alone = extremes.get((f"not {fixed}" if name == "auto" else name).removeprefix("not "))
    targeted = [x for x in labels if name == "all" or (x == alone) == (name in extremes)]
    if direction == CLEAN:
        return {label: counts[label] for label in targeted}
    wanted = extremes["majority" if direction == OVER else "minority"]
    return dict.fromkeys(targeted, counts[wanted])


def _from_ratio(ratio: float, counts: Counts, labels: list[Any], direction: str) -> dict[Any, int]:
    if len(labels) != 2:
        raise ValueError(
            f"a sampling_strategy that is a number works with 2 classes, but the target has "
            f"{len(labels)}: {_listing(counts)}; give a mapping from class to total rows"
        )
    if not 0 < ratio <= 1:
        raise ValueError(f"sampling_strategy as a number must be in (0, 1], but is {ratio}")
    over = direction == OVER
    fixed = (max if over else min)(labels, key=counts.__getitem__)
    label = labels[1 - labels.index(fixed)]
    few, many = sorted(counts.values())
    wanted = _whole_rows(many * ratio if over else few / ratio)
    request = f"sampling_strategy={ratio} asks for {wanted:,} rows of class {label!r}, which has "
    present = f"(a ratio of {few / many:.4g})"
    if over and wanted <= few:
        raise ValueError(f"{request}{few:,} already {present}; give a larger ratio")
    if not over and wanted > many:
        raise ValueError(
            f"{request}{many:,} {present}, and an under-sampler makes none; give a larger ratio"
        )
    return {label: wanted}


def _check_known(wanted: Iterable[Any], counts: Counts) -> None:
    unknown = [label for label in wanted if label not in counts]
    if unknown:
        raise ValueError(
            f"sampling_strategy names {listed(map(repr, unknown))}, which the "
            f"target does not hold; it holds {_listing(counts)}"
        )


def _totals(totals: Counts, counts: Counts, direction: str) -> dict[Any, int]:
    wanted = {plain(label): total for label, total in totals.items()}
    _check_known(wanted, counts)
    for label, total in wanted.items():
        if not isinstance(total, Integral) or isinstance(total, bool):
            raise ValueError(
                f"sampling_strategy wants {total!r} rows of class {label!r}; "
                "it must be a whole number"
            )
    over = direction == OVER
    kind, does, bound = (
        ("over", "adds rows", "more") if over else ("under", "takes rows away", "fewer")
    )
    for label in sort_labels(wanted):
        total, present = wanted[label], counts[label]
        request = (
            f"sampling_strategy wants {total:,} rows of class {label!r}, which has {present:,}"
        )
        if not over and total < 0:
            raise ValueError(f"{request}; the number must not be negative")
        if total < present if over else total > present:
            raise ValueError(
                f"{request}: an {kind}-sampler only {does}; ask for {present:,} or {bound}, or "
                "leave the class out"
            )
    return {label: int(wanted[label]) for label in sort_labels(wanted)}
