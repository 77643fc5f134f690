"""What the report says in words: warnings, and what its figures mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsmote.job.report.axis import format_number
from dsmote.job.report.columns import clean
from dsmote.job.report.compare import Compared, Distances, Numbers
from dsmote.job.report.figures import percent, rough
from dsmote.job.report.sample import FEW_ROWS
from dsmote.plan import format_bytes

__all__ = [
    "BETWEEN_ROWS",
    "COPIED",
    "OTHERWISE",
    "Notice",
    "class_notices",
    "departing",
    "distance_sentence",
    "general_notices",
]

VISIBLE = 0.1  # difference of distributions that is worth a word
NEAR = 0.01  # part of the usual distance that counts as the same place
MANY_NEAR = 0.1
MANY_TIMES = 100
LOW_RECALL = 0.95
BETWEEN = 0.05
FARTHER = 1.5
#: How the new rows of a class were made.
COPIED, BETWEEN_ROWS, OTHERWISE = "copied", "between rows", "otherwise"
_NAMED = 12


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
    """

    about: str
    text: str
    standing: bool = False


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
    only_new = manifest["job"].get("mode") == "synthetic"
    if not grown and not manifest["rows"].get("dropped"):
        # What resampling does to a table holds only for one that was resampled.
        return [*found, _unchanged(only_new)]
    held_back = int(manifest["rows"].get("test", 0))
    return [*found, *_standing(classes, bool(grown), held_back, only_new)]


def _unchanged(only_new: bool) -> Notice:
    there = "the output has the input's rows"
    if only_new:
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
        listed = [f"{named(c['label'])} ({c['before']:,})" for c in small]
        found.append(
            Notice(
                "Very few originals",
                f"These classes grew from fewer than {FEW_ROWS} rows: {_list(listed)}. New rows "
                "repeat what those few are like, chance included; no resampling adds knowledge "
                "of the class. Real rows would.",
            )
        )
    often = [c for c in grown if c["new"] >= MANY_TIMES * c["before"] and c not in small]
    if often:
        listed = [f"{named(c['label'])} ({c['new'] / c['before']:,.0f})" for c in often]
        found.append(
            Notice(
                "Many new rows for each original",
                f"In these classes there are so many new rows for each original: {_list(listed)}. "
                "A smaller sampling_strategy often serves a learner as well, and costs less.",
            )
        )
    return found


def _searches(searches: Iterable[Mapping[str, Any]]) -> list[Notice]:
    poor = [
        f"{named(s['label'])} ({s['recall']:.3f})"
        for s in searches
        if isinstance(s.get("recall"), int | float) and s["recall"] < LOW_RECALL
    ]
    if not poor:
        return []
    return [
        Notice(
            "Neighbours missed",
            f"The search found fewer than {LOW_RECALL:.0%} of the true neighbours, measured on a "
            f"sample: {_list(poor)}. Rows were made with others nearby. neighbors='auto' finds "
            "them all.",
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
    classes: Sequence[Mapping[str, Any]], grown: bool, held_back: int, only_new: bool
) -> list[Notice]:
    made = "new rows" if grown else "rows left out"
    use = f" Score on the {held_back:,} rows in test/, which were not touched." if held_back else ""
    return [
        Notice(
            "Train on this, never test on it",
            "Only training rows may be resampled, after the split; in cross-validation, inside "
            f"each fold. A score on a table with {made} says nothing about real rows"
            + (": a new row beside its parents makes any model look good." if grown else ".")
            + use,
            standing=True,
        ),
        Notice(
            "Scores are no longer probabilities", _calibration(classes, only_new), standing=True
        ),
        Notice(
            "Compare with doing nothing",
            "Strong learners with a tuned threshold often need no resampling. Compare with the "
            "same model on the original rows, by a measure that does not depend on the threshold "
            "(average precision), before this table goes into use.",
            standing=True,
        ),
    ]


def _calibration(classes: Sequence[Mapping[str, Any]], only_new: bool) -> str:
    before, after = (sum(c[key] for c in classes) for key in ("before", "after"))
    table = "the input together with these new rows" if only_new else "this table"
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


def departing(compared: Sequence[Compared]) -> list[Compared]:
    """Return the columns whose new values are distributed visibly otherwise, the worst first."""
    far = [c for c in compared if c.difference > max(VISIBLE, c.noise)]
    return sorted(far, key=lambda c: -c.difference)


def class_notices(
    label: Any, compared: Sequence[Compared], found: Distances | None, made: str, n_class: int
) -> list[Notice]:
    """Return what the comparison of one class gives reason to say.

    Parameters
    ----------
    label : object
    compared : sequence of Compared
    found : Distances or None
    made : str
        How its new rows were made: `COPIED`, `BETWEEN_ROWS` or `OTHERWISE`.
    n_class : int
        Original rows of the class.

    Returns
    -------
    list of Notice
    """
    name, notices = named(label), []
    far = departing(compared)
    if far:
        listed = [f"{clean(c.column.name, 40)} ({c.difference:.2f})" for c in far]
        notices.append(
            Notice(
                "Distributions that changed",
                f"In class {name} new rows are visibly different from original ones in "
                f"{len(far)} column{'s' if len(far) > 1 else ''} (difference from 0 to 1): "
                f"{_list(listed)}. Look at them below: rows between others gather in the middle, "
                "samplers that prefer the border move away from it, and names are voted on, so "
                "that frequent ones win.",
            )
        )
    notices += _codes(name, compared)
    notices += _near(name, found, made, n_class)
    return notices


def _codes(name: str, compared: Sequence[Compared]) -> list[Notice]:
    few: list[str] = []
    whole: list[str] = []
    for c in compared:
        if isinstance(c.what, Numbers) and c.what.between > BETWEEN:
            of = few if c.what.few else whole
            of.append(f"{clean(c.column.name, 40)} ({rough(c.what.between)} of new values)")
    notices = []
    if few:
        notices.append(
            Notice(
                "Values that no original has",
                f"In class {name} the originals have only a few different numbers in these "
                f"columns, and new rows have others: {_list(few)}. If the numbers are codes, name "
                "the columns in categorical.",
            )
        )
    if whole:
        notices.append(
            Notice(
                "Fractions where originals are whole",
                f"In class {name} the originals hold whole numbers in these columns of floats, "
                f"and new rows fractions: {_list(whole)}. Store counts as integers; name codes "
                "in categorical.",
            )
        )
    return notices


def _near(name: str, found: Distances | None, made: str, n_class: int) -> list[Notice]:
    if made == COPIED:
        text = f"In class {name} all new rows are copies of originals, as is meant."
        return [Notice("Copies", text)]
    if found is None:
        return []
    near, alike = found.share_within(NEAR), found.share_within(NEAR, of_new=False)
    # Of rows at a random place between two, about twice the part lies so near to either.
    if near <= max(MANY_NEAR, alike + MANY_NEAR):
        return []
    text = (
        f"In class {name} {rough(near)} of the new rows lie at practically the same place as "
        f"{_an_original(found, n_class)}. They weigh these rows more and add nothing else: a "
        "larger k_neighbors or fewer new rows may serve better."
    )
    return [Notice("Near copies", text)]


def _an_original(found: Distances, n_class: int) -> str:
    if found.n_originals == n_class:
        return "an original"
    return f"one of the {found.n_originals:,} originals looked at"


def distance_sentence(found: Distances, n_class: int, made: str = BETWEEN_ROWS) -> str:
    """Say what the distances mean.

    Parameters
    ----------
    found : Distances
    n_class : int
        Original rows of the class.
    made : str
        How its new rows were made, as for `class_notices`.

    Returns
    -------
    str
    """
    near, alike = found.share_within(NEAR), found.share_within(NEAR, of_new=False)
    few = found.n_originals < n_class
    if made == COPIED:
        text = f"New rows are copies: {rough(near)} lie at the place of "
        text += f"{_an_original(found, n_class)}."
        return text + (" The others are copies of those that were not." if few else "")
    if not found.usual:
        return (
            "At least half of the originals have an equal among the originals, so that distances "
            f"say little here: {rough(near)} of the new rows equal {_an_original(found, n_class)}."
        )
    text = (
        f"A new row is typically {found.ratio:.2f} times as far from its nearest original as "
        f"originals are from each other. {rough(near)} are practically copies of one, within a "
        f"hundredth of the usual distance between originals (originals among themselves: "
        f"{rough(alike)})."
    )
    if found.ratio > FARTHER:
        text += (
            " New rows lie farther out than the originals do among themselves: they may fill "
            "places where the class has no rows."
        )
    elif made == BETWEEN_ROWS and near <= max(MANY_NEAR, alike + MANY_NEAR):
        text += (
            " Rows between two originals are nearer than these are to each other, so a number "
            "below 1 is to be expected."
        )
    if few:
        text += (
            f" Measured against {found.n_originals:,} of the {n_class:,} originals: among all of "
            "them both distances are smaller."
        )
    return text


def _list(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_NAMED])
    return shown + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")
