"""The report of a job: one HTML file about the resampled table, made from a sample of its rows.

::

    original partitions, blocks of new rows     small tasks beside those that write: draw
        |
    one sample                                  where the job was started, class by class: compare
        |
    report.html.jinja                           what the page says, and when it says so

The size of the sample does not grow with the table. The random number of a new row depends on its
position among all new rows; that of an original row on its partition and its position there.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from dask import delayed
from jinja2 import Environment, PackageLoader, StrictUndefined

from dsmote.execute import read_frame
from dsmote.job.files import clear_errors, open_fs
from dsmote.job.logs import Secrets, masked_logger
from dsmote.neighbors import choose_engine
from dsmote.neighbors.tree import principal_axes
from dsmote.plan import COPY, ClassPlan, Stream, format_bytes, plain
from dsmote.plan.draws import REPORT
from dsmote.plan.labels import listed, visible
from dsmote.plan.plan import RULE_OF_THUMB
from dsmote.plan.schema import is_nominal_dtype, make_schema
from dsmote.samplers import registry

# How many rows are drawn
DETAILED = 6  # classes whose new rows are shown: those that grow most
OWN_ROWS = 20_000  # original rows of these classes together, enough to measure distances
NEW_ROWS = 2_000  # new rows of each, and rows whose nearest original is searched
OTHER_ROWS = 3_000  # original rows of all other classes together, enough for a scatter plot
POINTS = 1_500  # of a kind in a scatter plot
FEW_ROWS = 30  # fewer show no distribution
LEAST_ROWS = 200  # of a class, even if the rows are wide; in the projection it counts in full
MOST_ROWS, SAMPLE_BYTES = 35_000, 48 * 2**20  # of all together
PLACES = 2**40  # random numbers reserved for the original rows of one partition
# What is shown of them
FIRST_COLUMNS, OTHER_COLUMNS = 60, 12  # figures of the first class shown, and of others
TEXT_LENGTH = 120
TOP_LEVELS = 8
NEAR, EQUAL = 0.01, 1e-6  # part of the usual distance; standard deviations that float32 cannot tell
INVENTED, MANY_TIMES = 0.05, 100  # shares of values, and new rows per original, to mention
VISIBLE, CHANCE = 0.1, 1e-4  # a difference that is worth a word, and its probability by chance
FEW = 12  # a column with so few distinct values may well hold codes
CUT = 0.005  # fraction at either end that an axis need not reach
FAR = 4.0  # standard deviations; in the projection, what lies farther out is drawn there
BINS = 24
LARGEST = 1e100  # on an axis, and one upon the smallest: figures are drawn in float64, too
LONG = 60.0  # an axis so many times longer than the middle half of the values is compressed
WIDTH = 320  # of all figures: a phone's
CATEGORICAL, TIMES = ("nominal", "bool"), ("datetime", "timedelta")
UNITS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
YEARS = -62_135_596_800, 253_402_300_799  # seconds of the years 1 to 9999, which dates can hold
#: Colours that stand for variables of the style sheet, which has two values for each.
COLOURS = {"old": "#0067a8", "new": "#c8500a", "others": "#9aa1aa"}
OLD, NEW, OTHERS = COLOURS.values()
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "axes.formatter.limits": (-3, 5),  # short labels
    "axes.edgecolor": OTHERS,
    "axes.linewidth": 0.5,
    "axes.axisbelow": True,
    "grid.color": OTHERS,
    "grid.linewidth": 0.5,
    "path.simplify": False,  # would drop the dots of a scatter plot
    "font.size": 11,
}
_LOCK = threading.Lock()

logger = masked_logger(__name__)


def check_report() -> None:
    """Raise, before any work starts, if the figures of a report could not be drawn."""
    if find_spec("matplotlib") is None:
        raise ImportError(
            "the report needs matplotlib, which is not installed: pip install "
            '"dsmote[report]", or run the job without a report'
        )


# --- Numbers and names as text


def clean(value: Any, length: int = TEXT_LENGTH) -> str:
    """Return a value as text that HTML can hold; blank text is quoted, so that it can be seen."""
    raw = str(value)[: length + 1]
    text = visible(raw) if raw.strip() else repr(raw)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def named(label: Any) -> str:
    """Write a label so that it can be told from the words around it: text in quotes."""
    return clean(repr(label) if isinstance(label, str) else label)


def format_value(value: float, kind: str = "float") -> str:
    """Write a value of a column; times are seconds."""
    if not math.isfinite(value):
        return "–"
    if kind == "datetime" and YEARS[0] < value < YEARS[1]:
        return str(np.datetime64(round(value), "s")).replace("T", " ").removesuffix(" 00:00:00")
    if kind in TIMES:
        unit, seconds = _unit(abs(value))
        return f"{format_value(value / seconds)} {unit}"
    whole = value == int(value) or abs(value) >= 1e4
    return f"{value:,.0f}" if whole and abs(value) < 1e9 else f"{value:.4g}"


def _unit(seconds: float) -> tuple[str, int]:
    return next(((name, n) for name, n in UNITS.items() if seconds >= 2 * n), ("seconds", 1))


def rough(share: float) -> str:
    """Write the share of a sample, of which more digits would say nothing."""
    if 0 < share < 0.0005 or 0.9995 <= share < 1 - 1e-9:
        return "< 0.1 %" if share < 0.5 else "> 99.9 %"
    return f"{100 * share:.1f} %" if share else "0 %"


# Names are text, whatever they hold: nothing in them is taken for HTML.
TEMPLATES = Environment(
    loader=PackageLoader("dsmote.job", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)
TEMPLATES.filters |= {"text": clean, "named": named, "number": format_value, "rough": rough}
TEMPLATES.filters |= {"bytes": format_bytes, "listed": listed}


# --- The sample


def report_columns(sampler: Any, frame: Any, target: Any) -> dict[Any, str]:
    """Return the kinds of the features as the sampler sees them, without passthrough columns."""
    found = {}
    # Of a chain, as the first step sees them that makes rows.
    sampler = next(step for step in sampler._steps_run if hasattr(step, "_schema"))
    for column in sampler._schema(read_frame(frame, target), None).columns:
        kind = column.kind
        if kind == "copied" and sampler._any_kind:
            nominal = [0] if is_nominal_dtype(column.dtype) else []
            with suppress(TypeError):  # neither numbers nor categories
                kind = make_schema(["x"], [column.dtype], nominal=nominal).columns[0].kind
        if kind not in ("target", "carried", "group", "copied"):
            found[column.name] = kind
    return found


def as_numbers(series: pd.Series, kind: str) -> np.ndarray:
    """Return a column as float64: missing is NaN, times are seconds."""
    if kind in TIMES:
        if isinstance(series.dtype, pd.ArrowDtype):
            series = pd.Series(series.array.__array__())
        times: Any = series.array
        second = np.timedelta64(1, "s") / np.timedelta64(1, times.unit)
        return np.where(series.isna(), np.nan, np.asarray(times.asi8) / second)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def as_levels(series: pd.Series) -> np.ndarray:
    """Return a column as text: missing is None; long text is cut and marked by its hash."""

    def level(value: Any) -> str:
        text = str(value)
        if len(text) <= TEXT_LENGTH:
            return clean(text)
        mark = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        return f"{clean(text, TEXT_LENGTH - 8)} #{mark}"

    # Only the values that occur: a category may have a million others.
    codes, values = pd.factorize(series)
    return np.array([*map(level, values), None], dtype=object)[codes]


@dataclass(frozen=True)
class Sampling:
    """How rows are drawn: for each class the fraction to take of original and of new rows."""

    seed: int
    target: Any
    columns: Mapping[Any, str]  # features and their kinds
    classes: Mapping[Any, tuple[int, float, float]]  # by label: rank, fractions
    samples: Any = None  # lazy: the rows, or the text of an error

    def take(self, frame: pd.DataFrame, first_row: int, synthetic: bool) -> pd.DataFrame:
        """Return the sample of a partition: features by number, rank of the class, draw, new.

        The first row of a partition of original rows is its number times `PLACES`; of new rows,
        its position among all new rows.
        """
        codes, values = pd.factorize(frame[self.target])
        nothing = (-1, 0.0, 0.0)
        # The last is for rows without a label, which have the code -1.
        classes = [*(self.classes.get(plain(value), nothing) for value in values), nothing]
        rank, *fractions = np.array(classes)[codes].T
        draws = Stream(self.seed, int(synthetic), REPORT).uniform(first_row, first_row + len(frame))
        rows = np.flatnonzero(draws < fractions[synthetic])
        some = frame.iloc[rows]
        columns: dict[Any, Any] = {
            i: as_levels(some[name]) if kind in CATEGORICAL else as_numbers(some[name], kind)
            for i, (name, kind) in enumerate(self.columns.items())
        }
        columns |= {"rank": rank[rows].astype(int), "draw": draws[rows], "new": synthetic}
        return pd.DataFrame(columns, index=range(len(rows)))


def shown_classes(plan: Any) -> list[ClassPlan]:
    """Return the classes that are shown: most new rows first, classes of few rows last."""
    return sorted(plan.growing, key=lambda c: (c.before < FEW_ROWS, -c.new, c.rank))[:DETAILED]


def sampling_for(plan: Any, columns: Mapping[Any, str], target: Any) -> Sampling:
    """Decide how many rows of each class are drawn."""
    shown = {c.rank for c in shown_classes(plan)}
    own = max(NEW_ROWS, OWN_ROWS // max(1, len(shown)))
    row_bytes = 8 + sum(64 if kind in CATEGORICAL else 8 for kind in columns.values())
    fit = min(1.0, SAMPLE_BYTES / (MOST_ROWS * row_bytes))

    def fraction(n: int, most: int) -> float:
        return min(1.0, max(most * fit, LEAST_ROWS) / max(1, n))

    # The rows that an under-sampler drops are not written, so they cannot be drawn.
    old = {c.rank: c.before - c.dropped for c in plan.classes}
    rest = fraction(sum(n for rank, n in old.items() if rank not in shown), OTHER_ROWS)
    classes = {
        plain(c.label): (
            c.rank,
            fraction(old[c.rank], own) if c.rank in shown else rest,
            fraction(c.new, NEW_ROWS) if c.rank in shown else 0.0,
        )
        for c in plan.classes
    }
    return Sampling(int(plan.seed), target, columns, classes)


def draw(sampler: Any, frame: Any, resampled: Any, target: Any) -> Sampling:
    """Draw rows lazily, by one task per partition of the resampled Dask frame.

    These tasks are not the ones that write: what is written may be shuffled, or only the new rows.
    """
    plan = sampler.plan_
    # There is nothing to compare with where no class grows.
    columns = report_columns(sampler, frame, target) if plan.growing else {}
    sampling = sampling_for(plan, columns, target)
    partitions = resampled.to_delayed(optimize_graph=False)
    n_old = len(partitions) - len(plan.blocks)
    first_rows = [*(i * PLACES for i in range(n_old)), *(block.offset for block in plan.blocks)]
    taken = [
        # In a partial, so that Dask does not search the arguments for collections.
        delayed(partial(_take, sampling, first_row=first, synthetic=i >= n_old), pure=False)(part)
        for i, (part, first) in enumerate(zip(partitions, first_rows, strict=True))
    ]
    return replace(sampling, samples=delayed(_joined, pure=False)(taken))


def _take(sampling: Sampling, frame: pd.DataFrame, **which: Any) -> pd.DataFrame | str:
    """Return the sample of a partition, or why there is none: a figure costs no table."""
    try:
        return sampling.take(frame, **which)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _joined(taken: list[Any]) -> pd.DataFrame | str:
    error = next((part for part in taken if isinstance(part, str)), None)
    return error or pd.concat(taken, ignore_index=True)


# --- How original and new rows of a class compare


@dataclass
class Compared:
    """A column of original and of new rows of a class.

    `difference` lies between 0 (alike) and 1: the Kolmogorov-Smirnov statistic of numbers, the
    total variation distance of categories.
    """

    name: str
    kind: str
    difference: float = 0.0
    visible: bool = False  # the difference is large, and more than chance
    lines: list[str] = field(default_factory=list)  # what is said of it
    constant: str = ""  # the only value of all rows
    numbers: tuple[np.ndarray, ...] = ()  # finite values of original and of new rows
    levels: Sequence[Any] = ()  # name, fractions of original and of new rows
    invented: float = 0.0  # fraction of new values where the originals have few, or whole, values
    few: bool = False
    figure: str = ""
    shown: bool = False


def compare(name: str, kind: str, old: pd.Series, new: pd.Series) -> Compared:
    """Compare a column of original and of new rows of one class, at least one row each."""
    found = Compared(name, kind)
    test = (_compare_levels if kind in CATEGORICAL else _compare_numbers)(found, old, new)
    found.difference, chance = map(float, test)
    found.visible = found.difference > VISIBLE and chance < CHANCE
    return found


def _compare_numbers(found: Compared, *both: pd.Series) -> tuple[float, float]:
    from scipy.stats import ks_2samp  # slow to import, and for reports only

    # What is missing counts as one value beyond all others.
    values = [np.where(np.isfinite(of), of, np.inf) for of in both]
    with np.errstate(divide="ignore", invalid="ignore"):  # one row each has no chance
        difference, chance = ks_2samp(values[0], values[1], method="asymp")
    old, new = found.numbers = tuple(of[np.isfinite(of)] for of in values)
    # The halves keep the sum of two values within float64.
    medians = [format_value(2 * pd.Series(of / 2).median(), found.kind) for of in (old, new)]
    if len(np.unique(np.concatenate([old, new]))) > 1:
        found.lines.append(f"median {' → '.join(medians)}")
    else:  # there is nothing to draw
        found.numbers = ()
        found.lines.append(f"always {medians[0]}" if len(old) else "no value that is a number")
        found.constant = medians[0] if len(old) and not difference else ""
    missing = [float(np.isinf(of).mean()) for of in values]
    if any(missing):
        a, b = map(rough, missing)
        found.lines.append(f"missing: {a} of originals, {b} of new rows")
    if len(old) >= 5 * FEW and len(new) and found.kind in ("float", "int"):
        distinct = np.unique(old)
        found.few = 1 < len(distinct) <= FEW
        if found.few:
            found.invented = float(1 - np.isin(new, distinct).mean())
        elif found.kind == "float" and (old == np.round(old)).all():
            found.invented = float((new != np.round(new)).mean())
    return difference, chance


def _compare_levels(found: Compared, *both: pd.Series) -> tuple[float, float]:
    from scipy.stats import chi2_contingency

    values = {i: of.fillna("(missing)").value_counts() for i, of in enumerate(both)}
    counts = pd.DataFrame(values).fillna(0).sort_index()
    shares = counts / counts.sum()
    difference, chance = (shares[0] - shares[1]).abs().sum() / 2, chi2_contingency(counts).pvalue
    shares = shares.iloc[np.argsort(-shares.sum(axis=1), kind="stable")]
    # One level more instead of a rest of one.
    n = len(shares) if len(shares) <= TOP_LEVELS + 1 else TOP_LEVELS
    found.levels = [(str(level), *pair) for level, *pair in shares.iloc[:n].itertuples()]
    if n < len(shares):
        found.levels.append(("(all others)", *shares.iloc[n:].sum()))
    a, b = (counts > 0).sum()
    if a != b or n < len(shares):
        found.lines.append(f"{a:,} distinct values in sampled originals, {b:,} in new rows")
    return difference, chance


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most so many positions of n, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _features(
    kinds: Sequence[str], *samples: pd.DataFrame, first: int, clip_to: Sequence[slice] = ()
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return numbers in standard deviations of the first rows, and each categorical column's codes.

    What is not finite is 0. Values outside the range that some groups of rows cover, but for their
    ends, are clipped to it. An index and a plane need columns: there are some of zeros.
    """
    from sklearn.preprocessing import StandardScaler  # slow to import

    rows = pd.concat(samples)
    levels = [rows[i].fillna("") for i, kind in enumerate(kinds) if kind in CATEGORICAL]
    numbers = rows[[i for i, kind in enumerate(kinds) if kind not in CATEGORICAL]].astype(float)
    numbers = numbers.where(np.isfinite(numbers))
    numbers = numbers / numbers.abs().max()  # squares must not overflow
    if clip_to:
        ends = pd.concat([numbers.iloc[of].quantile([CUT, 1 - CUT]) for of in clip_to])
        numbers = numbers.clip(ends.min(), ends.max(), axis=1)
    matrix = np.column_stack([np.zeros((len(rows), 2)), numbers])
    with np.errstate(invalid="ignore"):  # a column may hold nothing
        matrix = np.nan_to_num(StandardScaler().fit(matrix[:first]).transform(matrix))
    return matrix, [pd.factorize(of)[0] for of in levels]


def distances(
    kinds: Sequence[str], old: pd.DataFrame, new: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of original and of new rows to their nearest original of the class.

    Numbers count in standard deviations of the original rows; a category that differs counts 1.
    """
    n, queries = len(old), evenly(len(old), NEW_ROWS)
    matrix, levels = _features(kinds, old, new, first=n)
    codes = np.column_stack([np.zeros(len(matrix)), *levels]).astype(np.int32)
    engine: Any = choose_engine(n, matrix[queries], codes[queries], 1.0).engine
    index = engine.build(matrix[:n], codes[:n], 1.0)
    # Codes follow the order of appearance: higher ones are of levels that no original has.
    known = np.where(codes > codes[:n].max(axis=0), -1, codes)
    points = np.hstack([matrix, known])[n + evenly(len(new), NEW_ROWS)]
    return index.query(queries, 1)[0][:, 0], index.query_points(points, 1)[0][:, 0]


def project_rows(
    kinds: Sequence[str], *samples: pd.DataFrame
) -> tuple[list[np.ndarray], np.ndarray, int] | None:
    """Project rows (others, own, new) on two principal components of the original rows.

    Returns the points, the variance of either axis and the number of columns used; None if the
    original rows do not differ in any column. Numbers are standardised and clipped, so that a few
    far rows do not decide the picture. A level is an indicator column divided by sqrt(2), so that
    two that differ are 1 apart.
    """
    picked = [sample.iloc[evenly(len(sample), POINTS)] for sample in samples]
    a, b, _ = np.cumsum([len(sample) for sample in picked])
    numbers, levels = _features(kinds, *picked, first=b, clip_to=(slice(a), slice(a, b)))
    used = [np.clip(numbers, -FAR, FAR)]
    for of in levels:
        frequent = pd.Series(of[:b]).value_counts().index[:TOP_LEVELS].to_numpy()
        used.append((of[:, None] == frequent) / 2**0.5)
    matrix = np.hstack(used)
    # A class counts as much as all others, or it would not be seen among them; if small, less.
    weights = np.full(b, 1 / max(1, a))
    weights[a:] = 1 / max(LEAST_ROWS, b - a)
    matrix = matrix - np.average(matrix[:b], axis=0, weights=weights)
    values, axes = principal_axes(matrix[:b] * np.sqrt(weights / weights.sum())[:, None])
    if not values.sum() > 1e-18:
        return None
    n_columns = int((matrix[:b].std(axis=0) > 1e-12).sum())
    explained = np.maximum(values[:2] / values.sum(), 0)
    return np.split(matrix @ axes[:, :2], [a, b]), explained, n_columns


# --- Figures


def _svg(figure: Any, title: str) -> str:
    """Write a figure as an element of the page: colours are variables, nothing has an id."""
    out = io.StringIO()
    metadata = {"Title": clean(title, 2_000), "Date": None}
    figure.savefig(out, format="svg", transparent=True, metadata=metadata)
    svg = out.getvalue()
    svg = re.sub(r"<(defs|metadata)>.*?</\1>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r' (id|clip-path|xmlns:xlink)="[^"]*"| font-family: [^;"]*;?', "", svg)
    # A dot is a line of no length, which SVG can say shortly; a tenth of a pixel is enough.
    svg = re.sub(r"(\d\.\d)\d+(?=[ \n])", r"\1", svg)
    svg = re.sub(r"M (\S+ \S+) \nL \1 \n", r"M\1h0", svg)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    box = f"0 0 {WIDTH} {figure.get_figheight() * 72:.0f}"
    return f'<svg role="img" viewBox="{box}"{svg[svg.index(">") :]}'


def histogram(both: Sequence[np.ndarray], kind: str, title: str) -> tuple[str, list[str]]:
    """Draw two samples of finite values on the same bins, as fractions of each sample.

    Returns the figure and what must be said of its axis. The axis may leave out the outer half per
    cent of a sample, and is compressed (asinh) if values differ by orders of magnitude.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, MaxNLocator

    notes = []
    pooled = np.concatenate(both)
    # A few distinct values are all shown, however rare they are.
    cut = CUT * (len(np.unique(pooled)) > BINS)
    ends: Any = [
        np.quantile(of, [cut, 0.25, 0.75, 1 - cut], method="nearest") for of in both if len(of)
    ]
    ends = np.clip(ends, -LARGEST, LARGEST) * (np.abs(ends) > 1 / LARGEST)
    lows, lower, upper, highs = np.transpose(ends)
    low, high = 0.0 if kind == "distance" else float(lows.min()), float(highs.max())
    near, far = sorted((abs(low), abs(high)))
    figure = Figure(figsize=(WIDTH / 72, 140 / 72))
    axes = figure.add_axes((0.14, 0.25, 0.79, 0.72), frameon=False)
    locator: Any = MaxNLocator(4, integer=kind == "int")
    first, last = locator.nonsingular(low, high)
    edges = np.linspace(first, last, BINS + 1)
    spread = high - low > LONG * (upper - lower).max() and (low < 0 < high or far > LONG * near)
    if spread and kind not in (*TIMES, "distance"):
        notes.append("compressed axis: values differ by orders of magnitude")
        width = max(float(np.quantile(np.abs(pooled[pooled != 0]), 0.25)), 1e-15 * far)
        axes.set_xscale("asinh", linear_width=width)
        first, last = np.arcsinh([low / width, high / width])
        edges = width * np.sinh(np.linspace(first, last, BINS + 1))
        # Evenly spaced: labels of matplotlib's own locator touch each other.
        ticks = width * np.sinh(np.linspace(first, last, 6)[1:-1])
        locator = FixedLocator([float(f"{x:.0e}") * (abs(x) > width / 10) for x in ticks])
        short = partial(re.sub, r"e\+?(-?)0*", r"e\1")
        axes.xaxis.set_major_formatter(lambda x, _: short(f"{x:g}"))
        edges[[0, -1]] = low, high
    elif kind == "int" and far < 2**52:
        width = math.ceil((high - low + 1) / BINS)
        edges = np.arange(low, high + 1 + width, width) - 0.5
    unit = 1
    if kind in TIMES:
        name, unit = _unit(edges[-1] - edges[0])
        notes.append(f"from {format_value(low, kind)} to {format_value(high, kind)}")
        if kind == "datetime" and name != "seconds" and YEARS[0] < low <= high < YEARS[1]:
            notes[-1] += " (UTC)"
            unit, locator = UNITS["days"], AutoDateLocator(minticks=2, maxticks=5)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            axes.set_xlabel(name)
    shares = [np.histogram(of, edges)[0] / max(1, len(of)) for of in both]
    top = np.max(shares) or 1.0
    for of, colour, filled in zip(shares, (OLD, NEW), (True, False), strict=True):
        # Empty bins are not drawn; others are seen, however low they are.
        heights = np.where(of > 0, np.maximum(of, top / 150), np.nan)
        axes.stairs(heights, edges / unit, fill=filled, color=colour, linewidth=1.5, clip_on=False)
    axes.xaxis.set_major_locator(locator)
    axes.set(xlim=(edges[0] / unit, edges[-1] / unit), ylim=(0, top))
    axes.yaxis.set_major_locator(MaxNLocator(2, prune="lower"))
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.3g} %")
    axes.minorticks_off()
    axes.tick_params(bottom=False, left=False)
    axes.grid(axis="y")
    outside = [
        float(np.mean((of < edges[0]) | (of > edges[-1]))) if len(of) else 0.0 for of in both
    ]
    if any(outside):
        a, b = map(rough, outside)
        notes.append(f"beyond the axis: {a} of originals, {b} of new rows")
    return _svg(figure, title), notes


def scatter(points: Sequence[np.ndarray], title: str) -> str:
    """Draw rows in a plane, without and with the new ones, on the same axes."""
    from matplotlib.figure import Figure

    low, high = np.quantile(np.vstack(points), [0.001, 0.999], axis=0)
    margin = 0.04 * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    others, old, new = zip(points, (OTHERS, OLD, NEW), (0.55, 0.8, 0.6), strict=True)
    both = sorted([old, new], key=lambda layer: -len(layer[0]))  # the fewer last, and so seen
    drawn = []
    for name, layers in (("original rows", [others, old]), ("with new rows", [others, *both])):
        figure = Figure(figsize=(WIDTH / 72, 250 / 72))
        axes = figure.add_axes((0.01, 0.08, 0.98, 0.91))
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], xlabel=name)
        for rows, colour, alpha in layers:
            # A dot is a line from a point to itself; NaN ends it.
            x, y = np.repeat(np.clip(rows, low, high), 3, axis=0).T
            x[2::3] = np.nan
            axes.plot(x, y, color=colour, alpha=alpha, linewidth=2.6, solid_capstyle="round")
        drawn.append(_svg(figure, f"{title}: {name}"))
    return "".join(drawn)


# --- The page


def add_report(
    path: str,
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    rows: Any,
    hidden: Secrets,
) -> None:
    """Write the page to a file. What goes wrong is logged, and stops no job."""
    fs, inside = open_fs(path)
    try:
        if isinstance(rows, str):
            raise RuntimeError(rows)
        page = report_html(manifest, plan, sampling, rows, hidden)
        with clear_errors("write", path):
            fs.pipe_file(inside, page.encode("utf-8"))
    except Exception as error:
        hidden.mask_error(error)
        trace = not isinstance(error, OSError)  # of the storage
        message = "the table is complete, but its report could not be made: %s"
        logger.error(message, error, exc_info=trace)
        with suppress(OSError):  # half of it may be there, which is none
            fs.rm_file(inside)


def report_html(
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    rows: pd.DataFrame,
    hidden: Secrets,
    made: datetime | None = None,
) -> str:
    """Return an HTML document without references to anything outside it.

    Secrets are masked in the names of columns and in the plan; in the manifest they are already.
    """
    from matplotlib import style

    with _LOCK, style.context(STYLE, after_reset=True):  # of the whole process
        names = [clean(hidden.mask(str(name)), 200) for name in sampling.columns]
        sections = list(_sections(manifest, plan, sampling, rows, names))
    measured = {section["plan"].rank for section in sections if section["figure"]}
    guessed = any(c.rank not in measured for c in plan.classes if c.large)
    searches = manifest.get("neighbors", ())
    versions = ((f"version of {name}", value) for name, value in manifest["versions"].items())
    settings = (*manifest["job"].items(), *manifest["parameters"].items(), *versions)
    before, after = max(1, plan.n_before), max(1, plan.n_after)
    return TEMPLATES.get_template("report.html.jinja").render(
        manifest=manifest,
        plan=plan,
        plan_text=hidden.mask(str(plan)),
        rows={"dropped": 0, "test": 0, **manifest["rows"]},
        memory=defaultdict(int, {k: v for k, v in manifest["memory"].items() if v}),
        sections=sections,
        sampled=[int((rows["new"] == new).sum()) for new in (False, True)],
        made=f"{(made or datetime.now(UTC)).astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        # Samples have answered what the plan could only guess.
        warnings=[w for w in manifest["warnings"] if guessed or not w.startswith(RULE_OF_THUMB)],
        often=[c for c in plan.growing if c.new >= MANY_TIMES * c.before >= MANY_TIMES * FEW_ROWS],
        missed=[of for of in searches if of.get("recall") is not None and of["recall"] < 0.95],
        few_rows=FEW_ROWS,
        settings=[(name, value) for name, value in settings if value or value == 0],
        # Only then do scores change by the shares of the classes alone.
        at_random=_made_by(manifest) <= {"RandomOverSampler", "RandomUnderSampler"}
        and _without_noise(manifest),
        before=before,
        after=after,
        same_shares=all(c.before * after == c.after * before for c in plan.classes),
    )


def _made_by(manifest: Mapping[str, Any]) -> set[str]:
    """Return the classes of the samplers."""
    return {one["sampler"] for one in manifest.get("steps", [manifest])}


def _on_segments(manifest: Mapping[str, Any]) -> bool:
    """Tell whether new rows lie between two others."""
    made = _made_by(manifest)
    kinds = [kind for kind in registry.samplers().values() if kind.__name__ in made]
    recipes = [kind()._recipe() for kind in kinds if hasattr(kind, "_recipe")]
    return bool(recipes) and all(recipe.lies in ("segment", "mean") for recipe in recipes)


def _without_noise(manifest: Mapping[str, Any]) -> bool:
    """Tell whether no sampler, or step of a chain, adds noise to its copies."""
    parameters = manifest["parameters"]
    steps = [own or {} for step in parameters.get("steps", ()) for own in step.values()]
    return all(own.get("shrinkage") is None for own in [parameters, *steps])


def _sections(
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    rows: pd.DataFrame,
    names: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Compare original and new rows of the classes that grew most."""
    kinds, most = [*sampling.columns.values()], FIRST_COLUMNS
    lowest = min((old for _, old, _ in sampling.classes.values()), default=1.0)
    copied = _made_by(manifest) == {"RandomOverSampler"} and _without_noise(manifest)
    for of in shown_classes(plan):
        label, own = named(of.label), rows["rank"] == of.rank
        old, new = rows[own & ~rows["new"]], rows[own & rows["new"]]
        if not len(old) or not len(new):
            continue
        pairs = enumerate(zip(names, kinds, strict=True))
        compared = [compare(name, kind, old[i], new[i]) for i, (name, kind) in pairs]
        for one in sorted(compared, key=lambda one: -one.difference)[:most]:
            one.shown = True
            if one.numbers:
                title = f"{one.name}, class {label}: histograms on the same bins"
                one.figure, notes = histogram(one.numbers, one.kind, title)
                one.lines += notes
        # Of all other classes the same fraction, however many rows were drawn of each.
        others = rows[~own & ~rows["new"] & (rows["draw"] < lowest)]
        plane = project_rows(kinds, others, old, new)
        copies = of.engine == COPY or copied
        section: dict[str, Any] = {
            "plan": of,
            "label": label,
            "n_old": len(old),
            "n_new": len(new),
            "compared": compared,
            "changed": sorted((c for c in compared if c.visible), key=lambda c: -c.difference),
            "codes": [c for c in compared if c.invented > INVENTED and c.few],
            "fractions": [c for c in compared if c.invented > INVENTED and not c.few],
            "plane": plane,
            "scatter": plane and scatter(plane[0], f"Projection of the rows of class {label}"),
            "copies": copies,
            "between": not copies and _on_segments(manifest),
            "figure": "",
            "near_copies": False,
        }
        if len(old) > 1 and kinds:
            both = distances(kinds, old, new)
            usual, new_usual = (float(np.median(of)) for of in both)
            title = f"Distance to the nearest original, class {label}"
            section["figure"], section["notes"] = histogram(both, "distance", title)
            alike, near = (float(np.mean(of <= max(NEAR * usual, EQUAL))) for of in both)
            ratio = new_usual / usual if usual else math.nan
            section |= {"usual": usual, "ratio": ratio, "alike": alike, "near": near}
            # Of rows at a random place between two, about twice the part lies so near to either.
            section["near_copies"] = not copies and near > min(0.5, alike + 0.1)
        yield section
        most = OTHER_COLUMNS
