"""The page: one HTML file that needs nothing but itself. Its words are in the two templates.

Original and new rows of a class are compared feature by feature, by distance, and in a plane. The
figures are matplotlib's SVG, coloured by the style sheet of the page.
"""

from __future__ import annotations

import html
import io
import math
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import AsinhLocator, MaxNLocator

from dsmote.job.files import clear_errors, open_fs
from dsmote.job.report.sample import (
    CATEGORICAL,
    FEW_ROWS,
    Column,
    Sampling,
    clean,
    detailed_ranks,
    evenly,
)
from dsmote.job.secrets import Secrets, masked_logger
from dsmote.neighbors import choose_engine
from dsmote.neighbors.tree import principal_axes
from dsmote.plan import COPY, format_bytes
from dsmote.plan.labels import listed
from dsmote.plan.plan import RULE_OF_THUMB

FIRST_COLUMNS, OTHER_COLUMNS = 60, 12  # figures of the first class shown, and of others
NEAR, MANY_NEAR, MOST_NEAR = 0.01, 0.1, 0.5  # part of the usual distance; fractions of rows
INVENTED, MANY_TIMES, LOW_RECALL = 0.05, 100, 0.95  # from here on they are mentioned
TOP_LEVELS = 8
QUERIES = 2_000  # rows of each kind whose nearest original row is searched
EQUAL = 1e-6  # standard deviations: what float32 cannot tell apart
VISIBLE = 0.1  # difference of distributions that is worth a word
FEW = 12  # a column with so few distinct values may well hold codes
POINTS = 1_500  # of a kind in a scatter plot
FAR = 4.0  # standard deviations; what lies farther out is drawn there
BALANCED = 200  # rows from which a class counts as much as all others in the projection
CUT = 0.005  # fraction at either end that an axis need not reach
BINS = 24
LONG = 60.0  # an axis so many times longer than the middle half of the values is compressed
WIDTH = 320  # of all figures: a phone's
UNITS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
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
_LOCK = threading.Lock()

logger = masked_logger(__name__)


# --- Numbers and names as text


def format_number(value: float) -> str:
    """Write a number."""
    if not math.isfinite(value):
        return "–"
    whole = value == int(value) or abs(value) >= 1e4
    return f"{value:,.0f}" if whole and abs(value) < 1e9 else f"{value:.4g}"


def format_value(value: float, kind: str) -> str:
    """Write a value of a column."""
    if kind == "bool":
        return "true" if value else "false"
    if kind not in ("datetime", "timedelta") or not math.isfinite(value):
        return format_number(value)
    try:
        span = timedelta(seconds=value)
        if kind == "datetime":
            text = (datetime(1970, 1, 1) + span).isoformat(" ", "seconds")
            return text.removesuffix(" 00:00:00")
        if abs(value) >= 1:
            return ("-" if value < 0 else "") + str(abs(timedelta(seconds=round(value))))
    except OverflowError:
        pass
    return f"{format_number(value)} s"


def percent(share: float) -> str:
    """Write an exact share: small ones with as many digits as they need to be none."""
    digits = 2 - min(0, math.floor(math.log10(abs(share)) + 2)) if share else 0
    return f"{100 * share:.{digits}f} %"


def rough(share: float) -> str:
    """Write the share of a sample, of which more digits would say nothing."""
    if 0 < share < 0.0005 or 0.9995 <= share < 1 - 1e-9:
        return "< 0.1 %" if share < 0.5 else "> 99.9 %"
    return f"{100 * share:.1f} %" if share else "0 %"


def named(label: Any) -> str:
    """Write a label so that it can be told from the words around it: text in quotes."""
    return clean(repr(label) if isinstance(label, str) else label)


# Names are text, whatever they hold: nothing in them is taken for HTML.
TEMPLATES = Environment(
    loader=PackageLoader("dsmote.job.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)
TEMPLATES.filters |= {
    "text": lambda value, length=120: clean(Secrets().mask(str(value)), length),
    "bytes": format_bytes,
    "listed": listed,
    "named": named,
    "number": format_number,
    "percent": percent,
    "rough": rough,
}
WORDS: Any = TEMPLATES.get_template("words.jinja").module


# --- How original and new rows of a class compare


def median(values: np.ndarray) -> float:
    """Return the median; the halves keep the sum of two values within float64."""
    return 2 * float(np.median(values / 2)) if len(values) else math.nan


class Compared(NamedTuple):
    """A column of original and of new rows of a class.

    `difference` lies between 0 (alike) and 1: the Kolmogorov-Smirnov statistic of numbers, the
    total variation distance of levels. Two samples of these sizes from one distribution hardly
    ever differ by more than `noise`.
    """

    column: Column
    difference: float
    noise: float
    old: np.ndarray = np.empty(0)  # finite values, sorted
    new: np.ndarray = np.empty(0)
    missing: tuple[float, float] = (0.0, 0.0)
    invented: float = 0.0  # fraction of new values where the originals have few, or whole, values
    few: bool = False
    levels: Sequence[Any] = ()  # name, fractions of original and of new rows
    n_levels: tuple[int, int] = (0, 0)

    @property
    def visible(self) -> bool:
        """Whether the difference is large, and more than chance."""
        return self.difference > max(VISIBLE, self.noise)

    @property
    def constant(self) -> float | None:
        """The only finite value of all rows."""
        ends = {float(v) for values in (self.old, self.new) for v in values[[0, -1][: len(values)]]}
        return ends.pop() if len(ends) == 1 else None


def compare_column(column: Column, old: pd.Series, new: pd.Series) -> Compared:
    """Compare a column of original and of new rows of one class, at least one row each."""
    return (_levels if column.kind == CATEGORICAL else _numbers)(column, old, new)


def _noise(n: int, m: int) -> float:
    # Kolmogorov's distribution, exceeded once in 10,000 columns.
    return 2.225 * math.sqrt((n + m) / (n * m)) if n and m else 1.0


def _numbers(column: Column, *both: pd.Series) -> Compared:
    old, new = (np.sort(values[np.isfinite(values)]) for values in map(np.asarray, both))
    missing = 1 - len(old) / len(both[0]), 1 - len(new) / len(both[1])
    found = Compared(
        column, abs(missing[0] - missing[1]), _noise(len(old), len(new)), old, new, missing
    )
    if not len(old) or not len(new):
        return found
    at = np.concatenate([old, new])
    below = [np.searchsorted(values, at, side="right") / len(values) for values in (old, new)]
    apart = float(np.abs(below[0] - below[1]).max())
    found = found._replace(difference=max(found.difference, apart))
    if column.kind == "bool":
        a, b = float(old.mean()), float(new.mean())
        return found._replace(levels=[("false", 1 - a, 1 - b), ("true", a, b)])
    distinct = np.unique(old)
    if len(old) < 5 * FEW or column.kind not in ("float", "int"):
        return found
    if 1 < len(distinct) <= FEW:
        return found._replace(invented=float(1 - np.isin(new, distinct).mean()), few=True)
    if column.kind == "float" and (old == np.round(old)).all():
        return found._replace(invented=float((new != np.round(new)).mean()))
    return found


def _levels(column: Column, old: pd.Series, new: pd.Series) -> Compared:
    missing = "(missing)"
    counts = pd.DataFrame({i: of.fillna(missing).value_counts() for i, of in enumerate((old, new))})
    shares = (counts.fillna(0) / [len(old), len(new)]).sort_index()
    shares = shares.iloc[np.argsort(-shares.sum(axis=1), kind="stable")]
    # One level more instead of a rest of one.
    n = len(shares) if len(shares) <= TOP_LEVELS + 1 else TOP_LEVELS
    levels = [(str(level), *pair) for level, *pair in shares.iloc[:n].itertuples()]
    if n < len(shares):
        levels.append(("(all others)", *shares.iloc[n:].sum()))
    # Of many levels each has few rows, and chance alone tells the samples apart.
    rows = 1 / len(old) + 1 / len(new)
    chance = float(np.sqrt(shares.max(axis=1) * rows).sum()) / 2
    difference = float((shares[0] - shares[1]).abs().sum()) / 2
    noise = min(1.0, chance + _noise(len(old), len(new)))
    n_levels = int(counts[0].count()), int(counts[1].count())
    return Compared(column, difference, noise, levels=levels, n_levels=n_levels)


class Distances(NamedTuple):
    """Distances to the nearest original row of the class, from original and from new rows."""

    old: np.ndarray
    new: np.ndarray

    @property
    def usual(self) -> float:
        """The median distance of original rows to their nearest other."""
        return median(self.old)

    @property
    def ratio(self) -> float:
        """How far new rows are from originals, where originals are 1 from each other."""
        return median(self.new) / self.usual if self.usual else math.nan

    def within(self, part: float) -> tuple[float, float]:
        """Return the fractions of original and of new rows within a part of the usual distance."""
        reach = max(part * self.usual, EQUAL)
        return float(np.mean(self.old <= reach)), float(np.mean(self.new <= reach))


def distances(columns: Sequence[Column], old: pd.DataFrame, new: pd.DataFrame) -> Distances | None:
    """Measure how near new rows are to original rows of their class; None without two rows.

    Numbers count in standard deviations of the original rows; a level that differs counts 1.
    """
    if len(old) < 2 or not columns:
        return None
    numbers, levels = _split(columns, [old, new])
    n, queries, of_new = len(old), evenly(len(old), QUERIES), len(old) + evenly(len(new), QUERIES)
    # With a column of zeros, because an index needs a numeric feature.
    matrix = np.column_stack([np.zeros(len(numbers)), _standardised(numbers, n)])
    if not levels:
        engine: Any = choose_engine(n, matrix[queries]).engine
        index, points = engine.build(matrix[:n]), matrix[of_new]
    else:
        codes = np.column_stack([pd.factorize(values)[0] for values in levels]).astype(np.int32)
        engine = choose_engine(n, matrix[queries], codes[queries], 1.0).engine
        index = engine.build(matrix[:n], codes[:n], 1.0)
        # Codes follow the order of appearance: higher ones are of levels that no original has.
        known = np.where(codes[of_new] > codes[:n].max(axis=0), -1, codes[of_new])
        points = np.hstack([matrix[of_new], known])
    return Distances(index.query(queries, 1)[0][:, 0], index.query_points(points, 1)[0][:, 0])


def _split(
    columns: Sequence[Column], samples: Sequence[pd.DataFrame]
) -> tuple[np.ndarray, list[pd.Series]]:
    """Return the numeric features of samples as a matrix, and the categorical ones as text."""
    rows = pd.concat(samples)
    numbers = [i for i, c in enumerate(columns) if c.kind != CATEGORICAL]
    levels = [rows[i].fillna("") for i, c in enumerate(columns) if c.kind == CATEGORICAL]
    return rows[numbers].to_numpy(dtype=np.float64), levels


def _standardised(values: np.ndarray, n: int, *clip_to: slice) -> np.ndarray:
    """Return numbers in standard deviations of the first n rows; what is not finite is 0.

    Values outside the range that some groups of rows cover, but for their ends, are clipped to it.
    """
    finite = np.isfinite(values)
    values = np.where(finite, values, 0.0)
    # A unit in which neither differences nor their squares overflow.
    unit = np.abs(values).max(axis=0, initial=0.0)
    values = values / np.where(unit > 0, unit, 1.0)
    ends = [np.quantile(values[of], [CUT, 1 - CUT], axis=0) for of in clip_to if len(values[of])]
    if ends:
        values = np.clip(values, np.min(ends, axis=0)[0], np.max(ends, axis=0)[1])
    count = np.maximum(finite[:n].sum(axis=0), 1)
    centre = np.where(finite[:n], values[:n], 0.0).sum(axis=0) / count
    values = np.where(finite, values - centre, 0.0)
    spread = np.sqrt((values[:n] ** 2).sum(axis=0) / count)
    return values / np.where(spread > 1e-12, spread, 1.0)


class Projection(NamedTuple):
    """Rows in a plane, the share of the variance along either axis, and the columns used."""

    others: np.ndarray
    old: np.ndarray
    new: np.ndarray
    explained: tuple[float, float]
    n_columns: int


def project_rows(columns: Sequence[Column], *samples: pd.DataFrame) -> Projection | None:
    """Project rows (others, own, new) on two principal components of the original rows.

    Numbers are standardised and clipped, so that a few far rows do not decide the picture. A level
    is an indicator column divided by sqrt(2), so that two that differ are 1 apart.
    Returns None if the original rows do not differ in any column.
    """
    picked = [sample.iloc[evenly(len(sample), POINTS)] for sample in samples]
    a, b, _ = np.cumsum([len(sample) for sample in picked])
    numbers, levels = _split(columns, picked)
    used = list(np.clip(_standardised(numbers, b, slice(a), slice(a, b)), -FAR, FAR).T)
    for of in levels:
        frequent = of.iloc[:b].value_counts().index[:TOP_LEVELS]
        used += [(of == level).to_numpy() / 2**0.5 for level in frequent]
    if not used:
        return None
    matrix = np.column_stack(used)
    # A class counts as much as all others, or it would not be seen among them; if small, less.
    weights = np.full(b, 1 / max(1, a))
    weights[a:] = 1 / max(BALANCED, b - a)
    matrix = matrix - np.average(matrix[:b], axis=0, weights=weights)
    values, axes = principal_axes(matrix[:b] * np.sqrt(weights / weights.sum())[:, None])
    total = float(values.sum())
    if not total > 1e-18:
        return None
    x, y = (max(0.0, value / total) for value in (*values.tolist(), 0.0)[:2])
    axes = np.column_stack([axes, 0 * axes[:, 0]])[:, :2]
    # A component has no direction of its own: its largest weight is made positive.
    plane = matrix @ (axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0))
    n_columns = int((matrix[:b].std(axis=0) > 1e-12).sum())
    return Projection(plane[:a], plane[a:b], plane[b:], (x, y), n_columns)


# --- Figures


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
    if spread and high - low > LONG * middle and not times and not from_zero:
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
        unit, locator = UNITS["days"], AutoDateLocator(minticks=2, maxticks=5)
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
    axes.set(xlim=(edges[0] / unit, edges[-1] / unit), ylim=(0, top))
    lines = [top / 2, top]
    axes.set_yticks(lines, [f"{100 * y:.{int(y < 0.095)}f} %" for y in lines])
    axes.hlines(lines, *axes.get_xlim(), color=OTHERS, linewidth=0.5, zorder=0)
    beyond = [1 - float(of.sum()) if of.any() else 0.0 for of in shares]
    if max(beyond) > 1e-9:
        a, b = map(rough, beyond)
        notes.append(f"beyond the axis: {a} of originals, {b} of new rows")
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
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], xlabel=name)
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


# --- The page


def add_report(
    path: str,
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    samples: Any,
    hidden: Secrets | None = None,
) -> None:
    """Write the page to a file. What goes wrong is logged, and stops no job.

    Secrets are masked in the names of columns and in the plan; in the manifest they are already.
    """
    hidden = hidden or Secrets()
    try:
        if isinstance(samples, str):
            raise RuntimeError(samples)
        columns = tuple(replace(c, name=hidden.mask(str(c.name))) for c in sampling.columns)
        notes, warnings = (tuple(map(hidden.mask, of)) for of in (plan.notes, plan.warnings))
        plan = replace(plan, notes=notes, warnings=warnings)
        page = report_html(manifest, plan, replace(sampling, columns=columns), *samples)
    except Exception as error:
        hidden.mask_error(error)  # its traceback is logged as it is
        logger.exception("the table is complete, but its report could not be made")
        return
    fs, inside = open_fs(path)
    try:
        with clear_errors("write", path):
            fs.pipe_file(inside, page.encode("utf-8"))
    except OSError as error:
        logger.error("the table is complete, but its report could not be written: %s", error)
        with clear_errors("remove", path):  # half a page is none
            if fs.exists(inside):
                fs.rm_file(inside)


def report_html(
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    old: pd.DataFrame,
    new: pd.DataFrame,
    made: datetime | None = None,
) -> str:
    """Return an HTML document without references to anything outside it."""
    with style():
        sections = list(_sections(manifest, plan, sampling, old, new))
    measured = {section["rank"] for section in sections if section["found"]}
    if all(c.rank in measured for c in plan.classes if c.large):
        # The samples have answered what the plan could only guess.
        manifest = {**manifest, "warnings": _known(manifest["warnings"])}
        plan = replace(plan, warnings=_known(plan.warnings))
    job, classes = manifest["job"], manifest["classes"]
    rows = {"dropped": 0, "test": 0, **manifest["rows"]}
    memory = defaultdict(int, {k: v for k, v in manifest.get("memory", {}).items() if v})
    peaks = sorted((memory["peak_bytes"] or {}).items(), key=lambda item: -item[1])
    only_new = job.get("mode") == "synthetic"
    # What an output of new rows must be concatenated with.
    concatenate = ("the training rows of the input" if rows["test"] else "the input") * only_new
    found = [(text, "") for text in _table_notices(manifest, memory, peaks)]
    found += [(text, s["label"]) for s in sections for text in s["notices"]]
    always = [WORDS.train_only(rows, only_new), _calibration(classes, concatenate), WORDS.compare()]
    if not rows["new"] + rows["dropped"]:
        found, always = [*found, (WORDS.unchanged(only_new), "")], []
    return TEMPLATES.get_template("page.html.jinja").render(
        manifest=manifest,
        job=job,
        rows=rows,
        only_new=only_new,
        concatenate=concatenate,
        memory=memory,
        peaks=peaks,
        sections=sections,
        made=f"{(made or datetime.now(UTC)).astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        found=_by_subject(found),
        standing=_by_subject((text, "") for text in always),
        classes=sorted(classes, key=lambda c: -c["before"]),
        before=max(1, sum(c["before"] for c in classes)),
        after=max(1, sum(c["after"] for c in classes)),
        largest=max([1, *(max(c["before"], c["after"]) for c in classes)]),
        grown=sum(1 for c in plan.classes if getattr(c, "new", 0)),
        sampled=(len(old), len(new)),
        plan_text="\n".join(clean(x, 2_000) if x else "" for x in str(plan).splitlines()),
    )


def _known(warnings: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for text in warnings if not text.startswith(RULE_OF_THUMB))


def _by_subject(notices: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Group notices by subject; what holds for several classes in the same words is said once."""
    subjects: dict[str, dict[str, list[str]]] = {}
    for notice, of in notices:
        subject, _, text = str(notice).strip().partition(": ")
        subjects.setdefault(subject, {}).setdefault(text, []).append(of)
    return [
        (subject, [(str(WORDS.classes(of)) if of[0] else "") + text for text, of in texts.items()])
        for subject, texts in subjects.items()
    ]


def _table_notices(
    manifest: Mapping[str, Any], memory: Mapping[str, Any], peaks: Sequence[tuple[str, int]]
) -> Iterator[str]:
    yield from map(WORDS.plan, manifest["warnings"])
    grown = [
        (named(c["label"]), c["before"], c["new"]) for c in manifest["classes"] if c.get("new")
    ]
    small = [f"{c} ({n:,} row{'s' * (n != 1)})" for c, n, _ in grown if n < FEW_ROWS]
    if small:
        yield WORDS.few_rows(small, FEW_ROWS)
    often = [(c, new / n) for c, n, new in grown if new >= MANY_TIMES * n and n >= FEW_ROWS]
    if often:
        yield WORDS.many_new([f"{times:,.0f} in class {c}" for c, times in often])
    searches = manifest.get("neighbors", ())
    recalls = [(named(s["label"]), s["recall"]) for s in searches if s.get("recall") is not None]
    poor = [f"{100 * recall:.1f} % in class {c}" for c, recall in recalls if recall < LOW_RECALL]
    if poor:
        yield WORDS.missed(poor, LOW_RECALL)
    peak = peaks[0][1] if peaks else 0
    if peak > memory["worker_bytes"] > 0:
        yield WORDS.above_projection(peak, memory["worker_bytes"])
    if peak > 0.9 * memory["allowed_bytes"] > 0:
        yield WORDS.memory_full(peak, memory["allowed_bytes"])


def _calibration(classes: Sequence[Mapping[str, Any]], concatenate: str) -> str:
    before, after = (sum(c[key] for c in classes) for key in ("before", "after"))
    if all(c["before"] * after == c["after"] * before for c in classes):
        return WORDS.same_shares()
    rare, factor = min(classes, key=lambda c: c["before"]), 0.0
    p, q = rare["before"] / before, rare["after"] / after
    if len(classes) == 2 and 0 < p < 1 and 0 < q < 1:
        factor = (p / (1 - p)) / (q / (1 - q))
    return WORDS.calibration(concatenate, rare["label"], p, q, factor)


def _sections(
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    old: pd.DataFrame,
    new: pd.DataFrame,
) -> Iterator[dict[str, Any]]:
    """Compare original and new rows of the classes that grew most."""
    by_rank, columns, most = {c.rank: c for c in plan.classes}, sampling.columns, FIRST_COLUMNS
    for rank in detailed_ranks(plan):
        of, name = by_rank[rank], named(by_rank[rank].label)
        own, made = old[old.index == rank], new[new.index == rank]
        if not len(own) or not len(made):
            continue
        compared = [compare_column(c, own[i], made[i]) for i, c in enumerate(columns)]
        plane = project_rows(columns, _others(old, rank, sampling), own, made)
        found = distances(columns, own, made)
        section = {
            "rank": rank,
            "label": name,
            "before": of.before,
            "new": of.new,
            "n_old": len(own),
            "n_new": len(made),
            "made": _made(manifest, of),
            "plane": plane,
            "found": found,
            **_cards(compared, most, name),
        }
        if plane:
            section["scatter"] = scatter(plane, f"Projection of the rows of class {name}")
        if found:
            usual, typical = format_number(found.usual), format_number(median(found.new))
            title = (
                f"Distance to the nearest original, class {name}. Median {usual} from originals "
                f"to their nearest other, {typical} from new rows to their nearest original."
            )
            figure, notes = histogram(found.old, found.new, "float", title, from_zero=True)
            text = WORDS.distance(section, *found.within(NEAR), MANY_NEAR)
            section |= {"distance": figure, "distance_notes": notes, "distance_text": text}
        section["notices"] = list(_class_notices(section, compared))
        most = OTHER_COLUMNS
        yield section


def _made(manifest: Mapping[str, Any], of: Any) -> str:
    """Return how the new rows of a class were made."""
    shrinkage = manifest["parameters"].get("shrinkage")
    if of.engine == COPY or (manifest["sampler"] == "RandomOverSampler" and shrinkage is None):
        return "copied"
    other = manifest["sampler"] in ("SMOTEN", "RandomOverSampler")  # a vote, or moved at random
    return "otherwise" if other else "interpolated"


def _others(old: pd.DataFrame, rank: int, sampling: Sampling) -> pd.DataFrame:
    """Return rows of other classes, of each as many as its size asks for."""
    shares = np.array(sampling.original)
    lowest, chosen = float(shares[shares > 0].min(initial=1.0)), []
    for other in np.unique(old.index[old.index != rank]):
        rows = np.flatnonzero(old.index == other)
        n = max(1, round(len(rows) * lowest / shares[other])) if shares[other] else 0
        chosen.extend(rows[evenly(len(rows), n)])
    return old.iloc[sorted(chosen)]


def _class_notices(section: dict[str, Any], compared: Sequence[Compared]) -> Iterator[str]:
    far = sorted((c for c in compared if c.visible), key=lambda c: -c.difference)
    if far:
        yield WORDS.changed([f"{clean(c.column.name, 40)} ({c.difference:.2f})" for c in far])
    for few, say in ((True, WORDS.codes), (False, WORDS.fractions)):
        each = [c for c in compared if c.invented > INVENTED and c.few == few]
        if each:
            names = [(clean(c.column.name, 40), rough(c.invented)) for c in each]
            yield say([f"{name} ({share} of new values)" for name, share in names])
    if section["made"] == "copied":
        yield WORDS.copies()
    elif section["found"]:
        alike, near = section["found"].within(NEAR)
        # Of rows at a random place between two, about twice the part lies so near to either.
        if near > min(MOST_NEAR, max(MANY_NEAR, alike + MANY_NEAR)):
            yield WORDS.near_copies(section, alike, near, MANY_NEAR)


def _cards(compared: Sequence[Compared], most: int, label: str) -> dict[str, list[Any]]:
    """Draw the columns, or those that differ most; the others are listed."""
    shown = sorted(range(len(compared)), key=lambda i: -compared[i].difference)[:most]
    found: dict[str, list[Any]] = {"numbers": [], "levels": [], "rest": [], "constant": []}
    for i, one in enumerate(compared):
        if one.constant is not None and not one.difference:
            value = format_value(one.constant, one.column.kind)
            found["constant"].append(f"{clean(one.column.name)} = {value}")
        elif i in shown:
            where = "levels" if one.column.kind == CATEGORICAL else "numbers"
            found[where].append(_card(one, label))
        else:
            found["rest"].append(_card(one))
    return found


def _card(one: Compared, label: str | None = None) -> dict[str, Any]:
    """Return what is said of a column, and its figure if a label for it is given."""
    kind, figure, lines, levels = one.column.kind, "", [], one.levels
    if kind == CATEGORICAL:
        n, m = one.n_levels
        if n != m or n > len(levels):
            lines.append(f"{n:,} distinct values in sampled originals, {m:,} in new rows")
    elif one.constant is not None:
        lines, levels = [f"always {format_value(one.constant, kind)}"], ()
    elif not len(one.old) + len(one.new):
        lines.append("no value that is a number")
    elif kind != "bool":
        medians = " → ".join(format_value(median(values), kind) for values in (one.old, one.new))
        lines.append(f"median {medians}")
        if label is not None:
            title = f"{clean(one.column.name)}, class {label}. Histograms on the same bins. "
            title += f"Median {medians}, original and new."
            figure, notes = histogram(one.old, one.new, kind, title)
            lines += notes
    if any(one.missing):
        a, b = map(rough, one.missing)
        lines.append(f"missing: {a} of originals, {b} of new rows")
    return {"of": one, "figure": figure, "levels": levels, "lines": lines}
