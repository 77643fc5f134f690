"""The parts of the page as plain data and figures; the template only places them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dsmote.job.report.axis import axis_of, format_number, format_value, median
from dsmote.job.report.class_words import (
    BETWEEN_ROWS,
    COPIED,
    OTHERWISE,
    class_notices,
    distance_sentence,
)
from dsmote.job.report.columns import NAMES, clean
from dsmote.job.report.compare import (
    Compared,
    Distances,
    Levels,
    Numbers,
    compare_columns,
    distances,
    histogram,
)
from dsmote.job.report.figures import (
    bars_figure,
    levels_figure,
    percent,
    rough,
    scatter_figure,
)
from dsmote.job.report.projection import FULL, project_rows
from dsmote.job.report.sample import Sample, Sampling, detailed_ranks
from dsmote.job.report.words import Notice, named
from dsmote.plan import COPY, format_bytes

__all__ = ["Balance", "Card", "ClassSection", "balance_of", "class_sections", "workers_of"]

FIRST_COLUMNS, OTHER_COLUMNS = 60, 12
WORKERS = 24


@dataclass(frozen=True)
class Balance:
    """A class before and after; bars in per cent of the largest."""

    label: str
    before: int
    after: int
    before_share: str
    after_share: str
    before_bar: float
    kept_bar: float
    new_bar: float
    change: str


@dataclass(frozen=True)
class Card:
    """A column: a figure, and what is said below it."""

    name: str
    kind: str
    figure: str
    difference: str
    visible: bool
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassSection:
    """What is shown of one class."""

    rank: int
    label: str
    before: int
    new: int
    n_old: int
    n_new: int
    numbers: list[Card] = field(default_factory=list)
    names: list[Card] = field(default_factory=list)
    rest: list[Card] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    scatter: str | None = None
    scatter_text: str = ""
    distance: str | None = None
    distance_text: str = ""
    notices: list[Notice] = field(default_factory=list)


def balance_of(manifest: Mapping[str, Any]) -> list[Balance]:
    """Return the classes, the largest first.

    Parameters
    ----------
    manifest : mapping

    Returns
    -------
    list of Balance
    """
    classes = manifest["classes"]
    before = max(1, sum(c["before"] for c in classes))
    after = max(1, sum(c["after"] for c in classes))
    largest = max([1, *(max(c["before"], c["after"]) for c in classes)])
    return [
        Balance(
            clean(c["label"]),
            c["before"],
            c["after"],
            percent(c["before"] / before),
            percent(c["after"] / after),
            100 * c["before"] / largest,
            100 * min(c["before"], c["after"]) / largest,
            100 * max(0, c["after"] - c["before"]) / largest,
            f"{c['after'] - c['before']:+,}" if c["after"] != c["before"] else "",
        )
        for c in sorted(classes, key=lambda c: -c["before"])
    ]


def class_sections(
    manifest: Mapping[str, Any], plan: Any, sampling: Sampling, old: Sample, new: Sample
) -> list[ClassSection]:
    """Compare original and new rows of the classes that grew most.

    Parameters
    ----------
    manifest : mapping
    plan : dsmote.plan.Plan
    sampling : Sampling
    old, new : Sample

    Returns
    -------
    list of ClassSection
    """
    by_rank = {c.rank: c for c in plan.classes}
    sections = []
    for place, rank in enumerate(detailed_ranks(plan)):
        own, made = old.rows(old.ranks == rank), new.rows(new.ranks == rank)
        if not len(own) or not len(made):
            continue
        section = ClassSection(
            rank,
            named(by_rank[rank].label),
            by_rank[rank].before,
            by_rank[rank].new,
            len(own),
            len(made),
        )
        compared = compare_columns(sampling.columns, own, made)
        most = FIRST_COLUMNS if place == 0 else OTHER_COLUMNS
        _add_columns(section, compared, most, f"c{place}")
        found = distances(own, made)
        how = _made(manifest, by_rank[rank])
        notices = class_notices(by_rank[rank].label, compared, found, how, section.before)
        others = old.rows(_others(old, rank, sampling))
        scatter, text = _scatter(others, own, made, section.label, f"p{place}")
        sections.append(
            ClassSection(
                **{**section.__dict__, "scatter": scatter, "scatter_text": text},
            )
        )
        if found is not None:
            drawn, sentence = _distance(found, section, how, f"d{place}")
            sections[-1] = ClassSection(
                **{**sections[-1].__dict__, "distance": drawn, "distance_text": sentence}
            )
        sections[-1].notices.extend(notices)
    return sections


def _made(manifest: Mapping[str, Any], of: Any) -> str:
    """Return how the new rows of a class were made."""
    if of.engine == COPY:
        return COPIED
    if manifest["sampler"] == "RandomOverSampler":
        return COPIED if manifest["parameters"].get("shrinkage") is None else OTHERWISE
    return OTHERWISE if manifest["sampler"] == "SMOTEN" else BETWEEN_ROWS


def _others(old: Sample, rank: int, sampling: Sampling) -> np.ndarray:
    """Return rows of other classes, of each as many as its size asks for."""
    shares = np.array(sampling.original)
    lowest = float(shares[shares > 0].min(initial=1.0))
    chosen = []
    for other in np.unique(old.ranks):
        if other != rank:
            rows = np.flatnonzero(old.ranks == other)
            n = max(1, round(len(rows) * lowest / shares[other])) if shares[other] else 0
            chosen.append(rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.int64)])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def _add_columns(section: ClassSection, compared: Sequence[Compared], most: int, key: str) -> None:
    """Draw the columns: all, or those that differ most; the others are listed."""
    shown = set(range(len(compared)))
    if len(compared) > most:
        ranked = sorted(shown, key=lambda i: -compared[i].difference)
        shown = set(ranked[:most])
    for i, one in enumerate(compared):
        if isinstance(one.what, Numbers) and one.what.constant is not None and not one.difference:
            value = _value(one.what.constant, one.column.kind)
            section.alike.append(f"{clean(one.column.name)} = {value}")
        elif i not in shown:
            section.rest.append(_card(one, section, f"{key}-{i}", drawn=False))
        elif one.column.kind == NAMES:
            section.names.append(_card(one, section, f"{key}-{i}"))
        else:
            section.numbers.append(_card(one, section, f"{key}-{i}"))


def _card(one: Compared, section: ClassSection, key: str, drawn: bool = True) -> Card:
    name = clean(one.column.name, 200)
    title = f"{clean(one.column.name)}, class {section.label}"
    if isinstance(one.what, Levels):
        figure, lines = _levels_card(one.what, title, key, drawn)
    else:
        figure, lines = _numbers_card(one.what, one.column.kind, title, key, drawn)
    visible = one.difference > max(0.1, one.noise)
    kind = "categorical" if one.column.kind == NAMES else one.column.kind
    return Card(name, kind, figure, f"{one.difference:.2f}", visible, tuple(lines))


def _levels_card(what: Levels, title: str, key: str, drawn: bool) -> tuple[str, list[str]]:
    described = "; ".join(
        f"{name}: {rough(a)} of original rows, {rough(b)} of new rows"
        for name, a, b in zip(what.names, what.old, what.new, strict=True)
    )
    svg = levels_figure(what.names, what.old, what.new, title, described, key) if drawn else ""
    lines = []
    if what.n_old != what.n_new or what.n_old > len(what.names):
        lines.append(
            f"{what.n_old:,} different values in the originals looked at, {what.n_new:,} in the "
            "new rows"
        )
    return svg, lines


def _numbers_card(
    what: Numbers, kind: str, title: str, key: str, drawn: bool
) -> tuple[str, list[str]]:
    lines = []
    if what.old_missing or what.new_missing:
        gaps = rough(what.old_missing), rough(what.new_missing)
        lines.append(f"missing: {gaps[0]} of originals, {gaps[1]} of new rows")
    if what.axis is None:
        return "", ["no value that is a number", *lines]
    if what.constant is not None:
        return "", [f"always {_value(what.constant, kind)}", *lines]
    if kind == "bool":
        shares = [(1 - what_of, what_of) for what_of in _true_shares(what)]
        names = ("false", "true")
        old, new = shares
        return _levels_card(Levels(names, old, new, 2, 2), title, key, drawn)[0], lines
    medians = f"{_value(what.old_median, kind)} → {_value(what.new_median, kind)}"
    lines.insert(0, f"median {medians}")
    if what.old_beyond or what.new_beyond:
        lines.append(
            f"beyond the axis: {rough(what.old_beyond)} of originals, "
            f"{rough(what.new_beyond)} of new rows"
        )
    if what.axis.compressed:
        lines.append("compressed axis: logarithms, because the values are so far apart")
    if what.axis.note:
        lines.append(what.axis.note)
    svg = ""
    if drawn:
        described = f"Histograms on the same bins. Median {medians}, original and new."
        svg = bars_figure(what.axis, what.old, what.new, title, described, key)
    return svg, lines


def _true_shares(what: Numbers) -> tuple[float, float]:
    """Return the share of ones; the bins of a column of 0 and 1 may be any number."""
    assert what.axis is not None
    middle = len(what.old) - len(what.old) // 2
    return float(what.old[middle:].sum()), float(what.new[middle:].sum())


def _value(value: float, kind: str) -> str:
    if kind == "bool":
        return "true" if value else "false"
    return format_value(value, kind)


def _scatter(
    others: Sample, own: Sample, made: Sample, label: str, key: str
) -> tuple[str | None, str]:
    projection = project_rows(others, own, made)
    if projection is None:
        return None, "The original rows do not differ in any column that could be drawn."
    first, second = projection.explained
    weight = "as much as" if len(projection.old) >= FULL else "less than"
    description = (
        f"{len(projection.others):,} original rows of other classes, {len(projection.old):,} "
        f"original and {len(projection.new):,} new rows of class {label}."
    )
    text = (
        f"{description} The two directions hold {first:.0%} and {second:.0%} of the variance of "
        f"the original rows in {projection.n_columns:,} columns (numbers standardised, the outer "
        "half per cent moved to its border; frequent categories as columns of 0 and 1; the class "
        f"counts {weight} all others), so rows that meet here may be far apart in the table."
    )
    svg = scatter_figure(
        projection, f"Rows of class {label} in a plane", description, (f"{key}a", f"{key}b")
    )
    return svg, text


def _distance(found: Distances, section: ClassSection, how: str, key: str) -> tuple[str, str]:
    axis = axis_of([found.old, found.new], "float", from_zero=True)
    old, old_beyond = histogram(axis, found.old)
    new, new_beyond = histogram(axis, found.new)
    sentence = distance_sentence(found, section.before, how)
    svg = bars_figure(
        axis,
        old,
        new,
        f"Distance to the nearest original, class {section.label}",
        f"Median {format_number(found.usual)} from originals to their nearest other, "
        f"{format_number(median(found.new))} from new rows to their nearest original.",
        key,
    )
    beyond = f" Beyond the axis: {rough(old_beyond)} of originals, {rough(new_beyond)} of new rows."
    return svg, sentence + (beyond if old_beyond or new_beyond else "")


def workers_of(memory: Mapping[str, Any]) -> tuple[list[tuple[str, str, float]], int]:
    """Return workers with the highest peaks (name, peak, per cent of the limit), and how many more.

    Parameters
    ----------
    memory : mapping
        The manifest's.

    Returns
    -------
    list of (str, str, float)
    int
    """
    peaks = sorted((memory.get("peak_bytes") or {}).items(), key=lambda item: -item[1])
    most = max([memory.get("allowed_bytes") or 0, *(peak for _, peak in peaks), 1])
    shown = [(clean(name), format_bytes(peak), 100 * peak / most) for name, peak in peaks[:WORKERS]]
    return shown, max(0, len(peaks) - WORKERS)
