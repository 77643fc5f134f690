"""Going on with the part files of a run that died."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsmote.job.parts import Part, ToWrite, Written
from dsmote.job.secrets import masked_logger
from dsmote.job.storage import Stage

__all__ = ["parts_of"]

logger = masked_logger(__name__)


def parts_of(
    stage: Stage, before: dict[str, Any] | None, run: dict[str, Any], parts: Sequence[ToWrite]
) -> dict[int, Part]:
    """Return the parts in a staging folder that are finished, and note whose the folder is.

    Parameters
    ----------
    stage : Stage
    before : dict or None
        The run that began the folder, where one did.
    run : dict
        This one, as plain data: what it is, its seed and its number of partitions.
    parts : sequence of ToWrite
        All there are to be.

    Returns
    -------
    dict
        Parts by number.
    """
    found: dict[int, Part] = {}
    if before is not None:
        if before == run:
            expected = {part.number: (part.file, part.layout.in_files) for part in parts}
            found = {number: _part(each) for number, each in stage.finished(expected).items()}
            logger.info("going on with %d of %d parts", len(found), run["parts"])
        else:
            logger.warning("the plan is not that of the run that died: beginning anew")
            stage.restart()
    stage.note(run)
    return found


def _part(fields: dict[str, Any]) -> Part:
    """Return a part as its task reported it; the worker it ran on is no longer of interest."""
    files = tuple(Written(**each) for each in fields["files"])
    counts = tuple((label, rows) for label, rows in fields["counts"])
    return Part(fields["number"], files, counts, None, 0)
