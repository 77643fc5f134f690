"""From ``sampling_strategy`` and the class counts to the rows that each class ends with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from dsmote.plan.labels import listed, plain, sort_labels

OVER, UNDER, CLEAN = "over-sampling", "under-sampling", "clean-sampling"
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
    strategy: str | float | Mapping[Any, int] | Iterable[Any] | Callable[[Any], Any],
    counts: Mapping[Any, int],
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


def _extremes(counts: Mapping[Any, int], labels: list[Any]) -> tuple[Any, Any]:
    """Return the majority's and the minority's label.

    With ties it is the first label in sorted order, as in imbalanced-learn, so that exactly one
    class is left out.
    """
    return max(labels, key=counts.__getitem__), min(labels, key=counts.__getitem__)


def _listing(counts: Mapping[Any, int]) -> str:
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


def _named(
    name: str, counts: Mapping[Any, int], labels: list[Any], direction: str
) -> dict[Any, int]:
    if name not in NAMES:
        raise ValueError(f"sampling_strategy must be one of {', '.join(NAMES)}, but is {name!r}")
    fixed, why = _FIXED[direction]
    if name == fixed:
        raise ValueError(f"sampling_strategy={name!r} cannot be used with {why}")
    majority, minority = _extremes(counts, labels)
    if name == "auto":
        name = f"not {fixed}"
    extreme = majority if name.endswith("majority") else minority
    if name in ("minority", "majority"):
        targeted = [extreme]
    else:
        targeted = [*labels]
        if name != "all":
            targeted.remove(extreme)
    if direction == CLEAN:
        return {label: counts[label] for label in targeted}
    return dict.fromkeys(targeted, counts[majority if direction == OVER else minority])


def _from_ratio(
    ratio: float, counts: Mapping[Any, int], labels: list[Any], direction: str
) -> dict[Any, int]:
    if len(labels) != 2:
        raise ValueError(
            f"a sampling_strategy that is a number works with 2 classes, but the target has "
            f"{len(labels)}: {_listing(counts)}; give a mapping from class to total rows"
        )
    if not 0 < ratio <= 1:
        raise ValueError(f"sampling_strategy as a number must be in (0, 1], but is {ratio}")
    over = direction == OVER
    fixed = _extremes(counts, labels)[0 if over else 1]
    label = next(other for other in labels if other != fixed)
    wanted = _whole_rows(counts[fixed] * ratio if over else counts[fixed] / ratio)
    present = counts[label] / counts[fixed] if over else counts[fixed] / counts[label]
    request = f"sampling_strategy={ratio} asks for {wanted:,} rows of class {label!r}, which has "
    if over and wanted <= counts[label]:
        raise ValueError(
            f"{request}{counts[label]:,} already (a ratio of {present:.4g}); give a larger ratio"
        )
    if not over and wanted > counts[label]:
        raise ValueError(
            f"{request}{counts[label]:,} (a ratio of {present:.4g}), and an under-sampler makes "
            "none; give a larger ratio"
        )
    return {label: wanted}


def _check_known(wanted: Iterable[Any], counts: Mapping[Any, int]) -> None:
    unknown = [label for label in wanted if label not in counts]
    if unknown:
        raise ValueError(
            f"sampling_strategy names {listed(map(repr, unknown))}, which the "
            f"target does not hold; it holds {_listing(counts)}"
        )


def _totals(totals: Mapping[Any, int], counts: Mapping[Any, int], direction: str) -> dict[Any, int]:
    wanted = {plain(label): total for label, total in totals.items()}
    _check_known(wanted, counts)
    for label, total in wanted.items():
        if not isinstance(total, Integral) or isinstance(total, bool):
            raise ValueError(
                f"sampling_strategy wants {total!r} rows of class {label!r}; "
                "it must be a whole number"
            )
    for label in sort_labels(wanted):
        total, present = wanted[label], counts[label]
        request = (
            f"sampling_strategy wants {total:,} rows of class {label!r}, which has {present:,}"
        )
        if direction == OVER and total < present:
            raise ValueError(
                f"{request}: an over-sampler only adds rows; ask for {present:,} or more, or leave "
                "the class out"
            )
        if direction == UNDER and total < 0:
            raise ValueError(f"{request}; the number must not be negative")
        if direction == UNDER and total > present:
            raise ValueError(
                f"{request}: an under-sampler only takes rows away; ask for {present:,} or fewer, "
                "or leave the class out"
            )
    return {label: int(wanted[label]) for label in sort_labels(wanted)}
