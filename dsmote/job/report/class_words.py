"""What the report says in words of one class: warnings, and what its figures mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsmote.job.report.columns import clean
from dsmote.job.report.compare import EQUAL, Compared, Distances, Numbers
from dsmote.job.report.figures import rough
from dsmote.job.report.words import Notice, named
from dsmote.plan.labels import listed

__all__ = [
    "BETWEEN_ROWS",
    "COPIED",
    "OTHERWISE",
    "class_notices",
    "departing",
    "distance_sentence",
]

VISIBLE = 0.1  # difference of distributions that is worth a word
NEAR = 0.01  # part of the usual distance that counts as the same place
MANY_NEAR = 0.1
MOST_NEAR = 0.5  # said whatever the originals are like
BETWEEN = 0.05
FARTHER = 1.5
#: How the new rows of a class were made.
COPIED, BETWEEN_ROWS, OTHERWISE = "copied", "between rows", "otherwise"


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
        each = [f"{clean(c.column.name, 40)} ({c.difference:.2f})" for c in far]
        notices.append(
            Notice(
                "Distributions that changed",
                f"new rows are visibly different from original ones in {len(far)} "
                f"column{'s' if len(far) > 1 else ''} (in brackets the difference, from 0 for none "
                f"to 1): {listed(each)}. Look at them below: rows between others gather in the "
                "middle, samplers that prefer the border move away from it, and categories are "
                "those of most neighbours, so that frequent ones win.",
                of=name,
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
                "the originals have only a few different numbers in these columns, and new rows "
                f"have others: {listed(few)}. If the numbers are codes, name the columns in "
                "categorical.",
                of=name,
            )
        )
    if whole:
        notices.append(
            Notice(
                "Fractions where originals are whole",
                "the originals hold whole numbers in these columns of floats, and new rows "
                f"fractions: {listed(whole)}. Store counts as integers; name codes in categorical.",
                of=name,
            )
        )
    return notices


def _near(name: str, found: Distances | None, made: str, n_class: int) -> list[Notice]:
    if made == COPIED:
        return [Notice("Copies", "all new rows are copies of originals, as intended.", of=name)]
    if found is None:
        return []
    near, alike = found.share_within(NEAR), found.share_within(NEAR, of_new=False)
    # Of rows at a random place between two, about twice the part lies so near to either.
    if near <= min(MOST_NEAR, max(MANY_NEAR, alike + MANY_NEAR)):
        return []
    text = (
        f"{rough(near)} of the new rows lie at practically the same place as "
        f"{_an_original(found, n_class)}. They weigh these rows more and add nothing else: a "
        "larger k_neighbors or fewer new rows may serve better."
    )
    if alike > MANY_NEAR:
        text += (
            f" {rough(alike)} of the originals have such a near other themselves, and rows between "
            "equal rows are equal to them: drop duplicates before resampling, unless they count."
        )
    return [Notice("Near copies", text, of=name)]


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
    if found.usual <= EQUAL:
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
