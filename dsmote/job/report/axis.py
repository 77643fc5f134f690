"""Axes of histograms: where they begin and end, whether they are compressed, and their ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

__all__ = ["Axis", "axis_of", "format_number", "format_value", "median"]

BINS = 24
CUT = 0.005  # the share at either end that an axis need not reach
FAR = 60.0  # an axis that is so many times longer than the middle half of the values is compressed
LONG = 2.0**1020  # steps along an axis of twice that would go beyond float64
_DAY = 86_400


@dataclass(frozen=True)
class Axis:
    """An axis of a histogram.

    Parameters
    ----------
    edges : ndarray of float64, shape (bins + 1,)
        Ends of the bins, in places on the axis.
    place : callable
        From values to places.
    ticks : tuple of (float, str)
        Places and their labels.
    compressed : bool
        Whether places are logarithms of the distance from a centre.
    note : str
        What must be said of the labels.
    """

    edges: np.ndarray
    place: Callable[[np.ndarray], np.ndarray]
    ticks: tuple[tuple[float, str], ...]
    compressed: bool = False
    note: str = ""


def format_number(value: float, digits: int = 4) -> str:
    """Write a number for people.

    Examples
    --------
    >>> format_number(1234567.0), format_number(0.000123456), format_number(2e12), format_number(3)
    ('1,234,567', '0.0001235', '2e+12', '3')
    """
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    if 1e-4 <= abs(value) < 1e9:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{digits - 1}e}".replace(".000e", "e").replace("e+0", "e+").replace("e-0", "e-")


def format_value(value: float, kind: str) -> str:
    """Write a value of a column.

    Examples
    --------
    >>> format_value(86_400.0, "datetime"), format_value(93_600.0, "timedelta")
    ('1970-01-02', '1 d 2 h')
    """
    if not math.isfinite(value):
        return "–"
    if kind == "datetime":
        return _date(value, 0.0)
    if kind == "timedelta":
        return _span(value)
    return format_number(value)


def _date(seconds: float, step: float) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return format_number(seconds) + " s"
    if step >= 28 * _DAY:
        return f"{moment:%Y-%m}" if step < 360 * _DAY else f"{moment.year}"
    if step >= _DAY or (not step and seconds % _DAY == 0):
        return f"{moment:%Y-%m-%d}"
    if step:
        return f"{moment:%d %H:%M}" if step >= 60 else f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d %H:%M:%S}" if seconds % 60 else f"{moment:%Y-%m-%d %H:%M}"


def _span(seconds: float) -> str:
    sign, left = ("-" if seconds < 0 else ""), abs(seconds)
    if left < 1:
        return f"{format_number(seconds, 3)} s"
    parts = []
    for unit, size in (("d", _DAY), ("h", 3600), ("min", 60), ("s", 1)):
        count = int(left // size)
        left -= count * size
        if count:
            parts.append(f"{count:,} {unit}")
    return sign + " ".join(parts[:2])


def median(values: np.ndarray) -> float:
    """Return the median, also where the sum of two values would be beyond float64.

    Examples
    --------
    >>> median(np.array([3.0, 1.0, 2.0, 5.0])), median(np.array([1.7e308, 1.7e308]))
    (2.5, 1.7e+308)
    """
    ordered = np.sort(values)
    low, high = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
    return low if low == high else low / 2 + high / 2


def axis_of(samples: Sequence[np.ndarray], kind: str, from_zero: bool = False) -> Axis:
    """Choose one axis for samples, of which each counts alike.

    Few values far out do not decide how long it is: the outer half per cent of a sample at either
    end may lie beyond it. Where the middle half of the values would still be a small part of it,
    the axis is compressed.

    Parameters
    ----------
    samples : sequence of ndarray of float64, shapes (n,)
        Finite; at least one value in one of them.
    kind : str
        The column's.
    from_zero : bool
        Begin at 0, and do not compress.

    Returns
    -------
    Axis

    Examples
    --------
    >>> axis = axis_of([np.arange(5.0)], "int")
    >>> axis.edges.tolist(), [label for _, label in axis.ticks]
    ([-0.5, 0.5, 1.5, 2.5, 3.5, 4.5], ['0', '1', '2', '3', '4'])
    """
    values = np.concatenate(samples)
    # A few different values are all shown, however rare one of them is.
    spread = len(np.unique(values)) > BINS
    cut = CUT if spread else 0.0
    cuts = [_cuts(some, cut) for some in samples if len(some)]
    low, high = min(q[0] for q in cuts), max(q[3] for q in cuts)
    if from_zero:
        low = 0.0
    # Half of each, so that the difference of the ends of float64 is no infinity.
    length, middle = high / 2 - low / 2, max(q[2] / 2 - q[1] / 2 for q in cuts)
    times = kind in ("datetime", "timedelta")
    if length > FAR * middle and not times and not from_zero and spread:
        return _compressed(values, low, high)
    if length > LONG:
        return _compressed(values, low, high)
    whole = kind == "int" and max(abs(low), abs(high)) < 2**52
    return _linear(low, high, kind, whole)


def _cuts(values: np.ndarray, cut: float) -> tuple[float, float, float, float]:
    """Return the ends and the quartiles. Of few values none is cut: the ends are values."""
    ordered = np.sort(values)
    last = len(ordered) - 1
    places = (math.floor(cut * last), round(0.25 * last), round(0.75 * last))
    low, q1, q3 = (float(ordered[place]) for place in places)
    return low, q1, q3, float(ordered[math.ceil((1 - cut) * last)])


def _linear(low: float, high: float, kind: str, whole: bool) -> Axis:
    if whole:
        low, high = float(math.floor(low)), float(math.ceil(high))
        width = -(-(high - low + 1) // BINS)
        bins = -(-(high - low + 1) // width)
        edges = low - 0.5 + width * np.arange(bins + 1.0)
    elif high - low <= 1e-12 * max(abs(low), abs(high)):
        # One value only, or as good as one.
        width = max(abs(low), abs(high)) * 1e-3 or 1.0
        if not math.isfinite(low - width) or not math.isfinite(high + width):
            width = 0.0
        edges = np.array([low - width, high + width])
        return Axis(edges, _as_is, ((low, format_value(low, kind)),))
    else:
        edges = np.linspace(low, high, BINS + 1)
    ticks, note = _ticks(low, high, kind, whole)
    return Axis(edges, _as_is, tuple(ticks), note=note)


def _as_is(values: np.ndarray) -> np.ndarray:
    return values


def _ticks(low: float, high: float, kind: str, whole: bool) -> tuple[list[tuple[float, str]], str]:
    step = _step(high - low, kind, whole)
    first = math.ceil(low / step)
    places = [step * i for i in range(first, first + 12) if step * i <= high + step * 1e-9]
    if kind == "datetime":
        return [(place, _date(place, step)) for place in places], _within(low, high, step)
    if kind == "timedelta":
        return [(place, _span(place) if place else "0") for place in places], ""
    labels = _labels(places, step)
    if len(set(labels)) == len(labels) and all(len(label) <= 10 for label in labels):
        return list(zip(places, labels, strict=True)), ""
    # Large numbers that differ little: what they have in common is said once.
    base = places[0]
    shifted = _labels([place - base for place in places], step)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    note = f"labels are differences from {base:,.{min(decimals, 9)}f}"
    return list(zip(places, shifted, strict=True)), note


def _within(low: float, high: float, step: float) -> str:
    """Say the day or year that short labels leave out."""
    if step >= _DAY:
        return ""
    return f"from {_date(low, 0.0)} to {_date(high, 0.0)} (UTC)"


def _step(length: float, kind: str, whole: bool) -> float:
    """Return a round step that cuts an axis into at most 6 parts, or so."""
    if kind in ("datetime", "timedelta") and length > 5:
        rounds = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, _DAY]
        rounds += [2 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 91 * _DAY, 183 * _DAY]
        year = 365.2425 if kind == "datetime" else 100
        years = [year * _DAY * n * 10**e for e in range(5) for n in (1, 2, 5)]
        return next((s for s in [*rounds, *years] if length / s <= 4.2), length / 3)
    rough = length / 5
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    if not power:
        return rough
    step = next((n * power for n in (1, 2, 5, 10) if n * power >= rough), rough)
    return max(1.0, step) if whole else step


def _labels(places: Sequence[float], step: float) -> list[str]:
    """Write the ticks of an axis, all in one way."""
    most = max((abs(place) for place in places), default=0.0)
    if most >= 1e9 or step < 1e-5:
        return ["0" if not place else _power(place) for place in places]
    unit, sign = (1e6, " M") if most >= 1e6 and step >= 1e3 else (1.0, "")
    decimals = max(0, -math.floor(math.log10(step / unit) + 1e-9))
    return [f"{place / unit + 0.0:,.{decimals}f}{sign if place else ''}" for place in places]


def _compressed(values: np.ndarray, low: float, high: float) -> Axis:
    """Return an axis on which places are logarithms of the distance from 0 or from the median."""
    one_side = low >= 0 or high <= 0
    near, far = sorted((abs(low), abs(high)))
    centre = 0.0 if not one_side or far > 30 * near else median(values)
    away = np.abs(values / 2 - centre / 2)
    away = away[away > 0]
    scale = 2 * float(np.quantile(away, 0.25)) if len(away) else 1.0
    if not (math.isfinite(scale) and scale > 0):
        scale = 1.0

    def place(found: np.ndarray) -> np.ndarray:
        half = np.asarray(found, dtype=np.float64) / 2 - centre / 2
        with np.errstate(divide="ignore"):
            # In logarithms, because |x| / scale may be beyond float64.
            size = np.logaddexp(0.0, np.log(np.abs(half)) + math.log(2) - math.log(scale))
        return np.sign(half) * size

    begin, end = float(place(np.array([low]))[0]), float(place(np.array([high]))[0])
    if end <= begin:
        begin, end = begin - 1, end + 1
    edges = np.linspace(begin, end, BINS + 1)
    return Axis(edges, place, tuple(_far_ticks(place, centre, low, high, edges)), compressed=True)


def _far_ticks(
    place: Callable[[np.ndarray], np.ndarray],
    centre: float,
    low: float,
    high: float,
    edges: np.ndarray,
) -> list[tuple[float, str]]:
    """Return ticks at powers of ten, so far apart that their labels do not touch."""
    powers = [sign * 10.0**e for e in range(-300, 308) for sign in (1, -1)]
    wanted = [centre, *(power for power in powers if low <= power <= high)]
    wanted = [value for value in wanted if low <= value <= high] or [low, high]
    apart = (edges[-1] - edges[0]) / 4.5
    chosen: list[tuple[float, str]] = []
    if len(wanted) == 1:
        wanted += [low, high]
    # From the outside in: the far ends are what a compressed axis is for.
    for value in sorted(dict.fromkeys(wanted), key=lambda v: (v != centre, -abs(v))):
        at = float(place(np.array([value]))[0])
        if all(abs(at - other) >= apart for other, _ in chosen):
            chosen.append((at, _power(value)))
    return sorted(chosen)


def _power(value: float) -> str:
    if 1e-3 <= abs(value) < 1e5 or not value:
        return format_number(value)
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
