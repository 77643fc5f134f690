"""The figures of the page: matplotlib's SVG, coloured by the style sheet of the page."""

from __future__ import annotations

import html
import io
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import AsinhLocator, MaxNLocator

from dsmote.job.report.compare import (
    CUT,
    Projection,
    format_number,
    format_value,
    median,
    rough,
)
from dsmote.job.report.sample import clean

BINS = 24
FAR = 60.0  # an axis so many times longer than the middle half of the values is compressed
DAY = 86_400
UNITS = {"days": DAY, "hours": 3_600, "minutes": 60, "seconds": 1}
YEARS = -62_135_596_800, 253_402_300_799  # seconds of the years 1 to 9999, which dates can hold
#: Colours that stand for variables of the style sheet, which has two values for each.
COLOURS = {"old": "#0067a8", "new": "#c8500a", "others": "#9aa1aa", "text": "#1c1f23"}
OLD, NEW, OTHERS, TEXT = COLOURS.values()
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "dsmote",
    "axes.formatter.limits": (-3, 5),  # short labels
    "path.simplify": False,  # would drop the dots of a scatter plot
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": TEXT,  # text itself is black, and left to the style sheet
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.labelpad": 4,  # browsers have taller fonts
    "xtick.bottom": False,
    "ytick.left": False,
    "font.size": 11,
}
WIDTH = 320  # of all figures: a phone's
_LOCK = threading.Lock()


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib's parameters for one page; they belong to the process, hence the lock."""
    with _LOCK, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _svg(figure: Figure, title: str) -> str:
    """Write a figure as an element of the page: colours are variables, nothing has an id."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=nothing)
    text = re.sub(r"<defs>.*?</defs>|<!--.*?-->", "", out.getvalue(), flags=re.S)
    text = re.sub(r' (id|clip-path|xmlns:xlink)="[^"]*"| font-family: [^;"]*;?', "", text)
    # A dot is a line of no length, which SVG can say shortly; a tenth of a pixel is enough.
    text = re.sub(r"(\d\.\d)\d+(?=[ \n])", r"\1", text)
    text = re.sub(r"M (\S+ \S+) \nL \1 \n", r"M\1h0", text)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    drawn = text[text.index(">", text.index("<svg")) + 1 :]
    box = f"0 0 {WIDTH} {figure.get_figheight() * 72:.0f}"
    title = html.escape(clean(title, 2_000))
    return f'<svg role="img" viewBox="{box}"><title>{title}</title>{drawn}'


def _power(x: float) -> str:
    text = f"{x:g}" if not x or 1e-3 <= abs(x) < 1e5 else f"{x:.0e}"
    return re.sub(r"e\+?(-?)0*", r"e\1", text)


def _compressed(
    axes: Axes, pooled: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, float]:
    """Set up an asinh axis around 0, or around the median of values far from it."""
    near, far = sorted((abs(low), abs(high)))
    centre = 0.0 if low < 0 < high or far > 30 * near else median(pooled)
    away = np.abs(pooled - centre)
    width = max(float(np.quantile(away[away > 0], 0.25)), 1e-15 * far, 1e-300)
    first, last = np.arcsinh((np.array([low, high]) - centre) / width)
    edges = width * np.sinh(np.linspace(first, last, BINS + 1))
    edges[[0, -1]] = low - centre, high - centre
    axes.set_xscale("asinh", linear_width=width)
    ticks = np.array(AsinhLocator(width, numticks=4).tick_values(edges[0], edges[-1]))
    # Labels must not touch.
    ticks = ticks[[True, *(np.diff(np.arcsinh(ticks / width)) > 0.16 * (last - first))]]
    axes.set_xticks(ticks, [_power(x) for x in ticks.tolist()])
    return edges, centre


def histogram(
    old: np.ndarray, new: np.ndarray, kind: str, title: str, from_zero: bool = False
) -> tuple[str, list[str]]:
    """Draw two samples of finite values on the same bins, as fractions of each sample.

    Returns the figure and what must be said of its axis. The axis may leave out the outer half per
    cent of a sample, and is compressed (asinh) if the middle half of the values would be a small
    part of it.
    """
    notes = []
    samples = [values for values in (old, new) if len(values)]
    pooled = np.concatenate(samples)
    size = float(np.abs(pooled).max())
    if size and not 1e-100 < size < 1e100:  # figures are drawn in float64, too
        unit = 10.0 ** max(-300, math.floor(math.log10(size)))
        old, new, pooled, size = old / unit, new / unit, pooled / unit, size / unit
        samples, kind = [values / unit for values in samples], "float"
        notes.append(f"labels in units of {unit:g}")
    # A few distinct values are all shown, however rare they are.
    spread = len(np.unique(pooled)) > BINS
    cuts = [CUT * spread, 0.25, 0.75, 1 - CUT * spread]
    ends = np.array([np.quantile(values, cuts, method="nearest") for values in samples])
    low, high = 0.0 if from_zero else float(ends[:, 0].min()), float(ends[:, 3].max())
    times = kind in ("datetime", "timedelta")
    figure = Figure(figsize=(WIDTH / 72, 140 / 72))
    axes = figure.add_axes((0.14, 0.25, 0.79, 0.72))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=kind == "int"))
    middle = (ends[:, 2] - ends[:, 1]).max()
    if spread and high - low > FAR * middle and not times and not from_zero:
        notes.append("compressed axis: values differ by orders of magnitude")
        edges, centre = _compressed(axes, pooled, low, high)
        if centre:
            notes.append(f"labels are differences from {format_number(centre)}")
            old, new = old - centre, new - centre
    elif high - low <= 1e-12 * max(abs(low), abs(high)):
        width = max(abs(low), abs(high)) * 1e-3 or 1.0
        edges = np.array([low - width, high + width])
    elif kind == "int" and size < 2**52:
        width = -(-(high - low + 1) // BINS)
        edges = low - 0.5 + width * np.arange(-(-(high - low + 1) // width) + 1)
    else:
        edges = np.linspace(low, high, BINS + 1)
    unit, reach = 1, edges[-1] - edges[0]
    if times:
        notes.append(f"from {format_value(low, kind)} to {format_value(high, kind)}")
    if kind == "datetime" and reach > 5 and YEARS[0] < low <= high < YEARS[1]:
        notes[-1] += " (UTC)"
        unit, locator = DAY, AutoDateLocator(minticks=2, maxticks=5)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    elif times:
        name, unit = next(((k, v) for k, v in UNITS.items() if reach >= 2 * v), ("seconds", 1))
        axes.set_xlabel(name)
    shares = [np.histogram(values, edges)[0] / max(1, len(values)) for values in (old, new)]
    top = max(float(of.max()) for of in shares) or 1.0
    for of, colour, filled in zip(shares, (OLD, NEW), (True, False), strict=True):
        # Empty bins are not drawn; others are seen, however low they are.
        heights = np.where(of > 0, np.maximum(of, top / 150), np.nan)
        axes.stairs(heights, edges / unit, fill=filled, color=colour, linewidth=1.5, clip_on=False)
    axes.set_xlim(edges[0] / unit, edges[-1] / unit)
    axes.set_ylim(0, top)
    lines = [top / 2, top]
    axes.set_yticks(lines, [f"{100 * y:.{int(y < 0.095)}f} %" for y in lines])
    axes.hlines(lines, *axes.get_xlim(), color=OTHERS, linewidth=0.5, zorder=0)
    beyond = [
        1 - float(of.sum()) if len(v) else 0.0 for of, v in zip(shares, (old, new), strict=True)
    ]
    if max(beyond) > 1e-9:
        notes.append(
            f"beyond the axis: {rough(beyond[0])} of originals, {rough(beyond[1])} of new rows"
        )
    return _svg(figure, title), notes


def scatter(points: Projection, title: str) -> str:
    """Draw rows in a plane, without and with the new ones, on the same axes."""
    every = np.vstack([points.others, points.old, points.new])
    low, high = np.quantile(every, [0.001, 0.999], axis=0)
    margin = 0.04 * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    layers = [(points.others, OTHERS, 0.55), (points.old, OLD, 0.8), (points.new, NEW, 0.6)]
    # The fewer are drawn last, and so seen.
    last = layers[1:] if len(points.old) > len(points.new) / 2 else layers[:0:-1]
    drawn = []
    for name, panel in (("original rows", layers[:2]), ("with new rows", [layers[0], *last])):
        figure = Figure(figsize=(WIDTH / 72, 250 / 72))
        axes = figure.add_axes((0.01, 0.08, 0.98, 0.91))
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        axes.set_xlabel(name)
        axes.spines[:].set(visible=True, color=OTHERS, linewidth=0.5)
        for rows, colour, alpha in panel:
            dots = Path(
                np.repeat(np.clip(rows, low, high), 2, axis=0),
                [Path.MOVETO, Path.LINETO] * len(rows),
            )
            line = {"edgecolor": colour, "alpha": alpha, "linewidth": 2.6, "capstyle": "round"}
            axes.add_patch(PathPatch(dots, fill=False, **line))
        drawn.append(_svg(figure, f"{title}: {name}"))
    return "".join(drawn)
