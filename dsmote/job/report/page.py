"""The page: one HTML file that needs nothing but itself. Its words are in the two templates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dsmote.job.files import clear_errors, open_fs
from dsmote.job.report.compare import (
    Compared,
    compare_column,
    distances,
    format_number,
    format_value,
    median,
    percent,
    project_rows,
    rough,
)
from dsmote.job.report.figures import histogram, scatter, style
from dsmote.job.report.sample import CATEGORICAL, FEW_ROWS, Sampling, clean, detailed_ranks, evenly
from dsmote.job.secrets import Secrets, masked_logger
from dsmote.plan import COPY, format_bytes
from dsmote.plan.labels import listed
from dsmote.plan.plan import RULE_OF_THUMB

FIRST_COLUMNS, OTHER_COLUMNS = 60, 12  # figures of the first class shown, and of others
NEAR, MANY_NEAR, MOST_NEAR = 0.01, 0.1, 0.5  # part of the usual distance; fractions of rows
INVENTED, MANY_TIMES, LOW_RECALL = 0.05, 100, 0.95  # from here on they are mentioned

logger = masked_logger(__name__)


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
            section["scatter"] = scatter(plane, f"Rows of class {name} in a plane")
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
