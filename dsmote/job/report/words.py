"""What the report says in words of the whole table: warnings, and what always holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsmote.job.report.axis import format_number
from dsmote.job.report.columns import clean
from dsmote.job.report.figures import percent
from dsmote.job.report.sample import FEW_ROWS
from dsmote.plan import format_bytes
from dsmote.plan.labels import listed

__all__ = ["Notice", "belongs_to", "general_notices", "named"]

MANY_TIMES = 100
LOW_RECALL = 0.95


@dataclass(frozen=True)
class Notice:
    """One thing that the reader should know.

    Parameters
    ----------
    about : str
        A few words.
    text : str
        The sentence or sentences.
    standing : bool
        True for every resampled table; False: found in this one.
    of : str
        The class that it is about, where it is about one; the text goes on after it.
    """

    about: str
    text: str
    standing: bool = False
    of: str = ""


def named(label: Any) -> str:
    """Write a label so that it is told from the words around it.

    Examples
    --------
    >>> named(1), named("spy.")
    ('1', "'spy.'")
    """
    return clean(repr(label) if isinstance(label, str) else label, 120)


def general_notices(manifest: Mapping[str, Any]) -> list[Notice]:
    """Return what the plan, the memory and the searches give reason to say, and what always holds.

    Parameters
    ----------
    manifest : mapping

    Returns
    -------
    list of Notice
        What was found in this table first.
    """
    classes = manifest["classes"]
    grown = [c for c in classes if c.get("new")]
    found = [Notice("From the plan", str(warning)) for warning in manifest["warnings"]]
    found += _small_classes(grown)
    found += _searches(manifest.get("neighbors", ()))
    found += _memory(manifest.get("memory", {}))
    if not grown and not manifest["rows"].get("dropped"):
        # What resampling does to a table holds only for one that was resampled.
        return [*found, _unchanged(belongs_to(manifest))]
    held_back = int(manifest["rows"].get("test", 0))
    return [*found, *_standing(classes, bool(grown), held_back, belongs_to(manifest))]


def belongs_to(manifest: Mapping[str, Any]) -> str:
    """Return what must be put to the output to have the table; empty where the output has all.

    Parameters
    ----------
    manifest : mapping

    Returns
    -------
    str

    Examples
    --------
    >>> belongs_to({"job": {"mode": "synthetic"}, "rows": {"test": 9}})
    'the training rows of the input'
    """
    if manifest["job"].get("mode") != "synthetic":
        return ""
    return "the training rows of the input" if manifest["rows"].get("test") else "the input"


def _unchanged(beside: str) -> Notice:
    there = "the output has the input's rows"
    if beside:
        there = "there are no new rows, and the output is empty"
    return Notice(
        "Nothing was changed",
        f"No class had to grow or to shrink: {there}. The classes are as frequent as they were, so "
        "nothing was done to the calibration of scores.",
    )


def _small_classes(grown: Sequence[Mapping[str, Any]]) -> list[Notice]:
    small = [c for c in grown if c["before"] < FEW_ROWS]
    found = []
    if small:
        each = [
            f"{named(c['label'])} ({c['before']:,} row{'s' * (c['before'] != 1)})" for c in small
        ]
        found.append(
            Notice(
                "Very few originals",
                f"These classes grew from fewer than {FEW_ROWS} rows: {listed(each)}. New rows "
                "repeat what those few are like, chance included; no resampling adds knowledge "
                "of the class. Real rows would.",
            )
        )
    often = [c for c in grown if c["new"] >= MANY_TIMES * c["before"] and c not in small]
    if often:
        each = [f"{c['new'] / c['before']:,.0f} in class {named(c['label'])}" for c in often]
        found.append(
            Notice(
                "Many new rows for each original",
                f"For each original there are so many new rows: {listed(each)}. A smaller "
                "sampling_strategy often serves a learner as well, and costs less.",
            )
        )
    return found


def _searches(searches: Iterable[Mapping[str, Any]]) -> list[Notice]:
    poor = [
        f"{100 * s['recall']:.1f} % in class {named(s['label'])}"
        for s in searches
        if isinstance(s.get("recall"), int | float) and s["recall"] < LOW_RECALL
    ]
    if not poor:
        return []
    return [
        Notice(
            "Neighbours missed",
            f"The search found fewer than {100 * LOW_RECALL:.0f} % of the true neighbours, as "
            f"measured on a sample: {listed(poor)}. Rows were made with others nearby. "
            "neighbors='auto' finds them all.",
        )
    ]


def _memory(memory: Mapping[str, Any]) -> list[Notice]:
    peak = max((memory.get("peak_bytes") or {}).values(), default=0)
    projected, allowed = memory.get("worker_bytes"), memory.get("allowed_bytes")
    found = []
    if projected and peak > projected:
        found.append(
            Notice(
                "More memory than projected",
                f"Since it started, a worker held up to {format_bytes(peak)}, where "
                f"{format_bytes(projected)} were projected for this job. If it did nothing else "
                "before, leave room in the workers' limit before the table grows.",
            )
        )
    if allowed and peak > 0.9 * allowed:
        found.append(
            Notice(
                "Memory is nearly used up",
                f"Since it started, a worker held up to {format_bytes(peak)} of the "
                f"{format_bytes(allowed)} that may be planned for. Before the table grows, give "
                "each worker more memory, or fewer threads.",
            )
        )
    return found


def _standing(
    classes: Sequence[Mapping[str, Any]], grown: bool, held_back: int, beside: str
) -> list[Notice]:
    made = "new rows" if grown else "rows left out"
    where = "that were left in the input" if beside else "in test/, which were not touched"
    use = f" Score on the {held_back:,} rows {where}." if held_back else ""
    return [
        Notice(
            "Train on this, never test on it",
            "Only training rows may be resampled, after the split; in cross-validation, inside "
            f"each fold. A score on a table with {made} says nothing about real rows"
            + (": a new row beside its parents makes any model look good." if grown else ".")
            + use,
            standing=True,
        ),
        Notice("Scores are no longer probabilities", _calibration(classes, beside), standing=True),
        Notice(
            "Compare with doing nothing",
            "Strong learners with a tuned threshold often need no resampling. Compare with the "
            "same model on the original rows, by a measure that does not depend on the threshold "
            "(average precision), before this table goes into use.",
            standing=True,
        ),
    ]


def _calibration(classes: Sequence[Mapping[str, Any]], beside: str) -> str:
    before, after = (sum(c[key] for c in classes) for key in ("before", "after"))
    table = f"{beside} together with these new rows" if beside else "this table"
    start = (
        f"A model trained on {table} takes the classes for as frequent as they are there, so its "
        "scores are not the probabilities of real rows. "
    )
    if all(c["before"] * after == c["after"] * before for c in classes):
        return (
            "Resampling changes how frequent the classes are, and a model takes over what it was "
            "trained on. Here each class has the share that it had: there is nothing to correct."
        )
    end = (
        " Or recalibrate on rows that were not resampled (isotonic regression, or Platt's "
        "scaling), or choose the threshold on such rows."
    )
    if len(classes) == 2:
        rare = min(classes, key=lambda c: c["before"])
        p, q = rare["before"] / before, rare["after"] / after
        if 0 < p < 1 and 0 < q < 1:
            factor = (p / (1 - p)) / (q / (1 - q))
            return (
                start + f"Class {named(rare['label'])} went from {percent(p)} to {percent(q)}. "
                f"As a first correction multiply the predicted odds p / (1 - p) of this class by "
                f"{format_number(factor)}: the score 0.5 then means "
                f"{percent(factor / (1 + factor))}." + end
            )
    return (
        start + "As a first correction multiply each class's predicted probability by its share "
        "before, divided by its share after, and divide by the sum." + end
    )
