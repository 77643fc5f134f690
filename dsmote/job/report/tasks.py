"""The tasks that take samples, beside those that write, and the page that comes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from dask import delayed

from dsmote.job.files import clear_errors, open_fs
from dsmote.job.report.columns import shown_columns
from dsmote.job.report.page import report_html
from dsmote.job.report.sample import Sample, Sampling, first_row_of, join_samples, sampling_for
from dsmote.job.secrets import Secrets, masked_logger
from dsmote.job.storage.check import REPORT as REPORT_FILE
from dsmote.plan import Plan

__all__ = ["REPORT_FILE", "Drawn", "Samples", "add_report", "draw"]

_TOGETHER = 128

logger = masked_logger(__name__)

#: Original and new rows; or why there are none.
Samples = tuple[Sample, Sample] | str


@dataclass(frozen=True)
class Drawn:
    """Rows that a report shows.

    Parameters
    ----------
    sampling : Sampling
        How they are drawn.
    samples : Delayed
        Of `Samples`.
    """

    sampling: Sampling
    samples: Any


def draw(sampler: Any, frame: Any, resampled: Any, target: Any) -> Drawn:
    """Draw rows lazily: a small task beside each partition, and joins.

    A task of its own takes the rows, not the one that writes, because what is written may be
    mixed, or only the new rows.

    Parameters
    ----------
    sampler : sampler
        It has its plan.
    frame, resampled : dask DataFrame
        Its input and its output.
    target : hashable

    Returns
    -------
    Drawn
    """
    plan = sampler.plan_
    sampling = sampling_for(plan, shown_columns(sampler, frame, target), target)
    # The number of the blocks tells where the originals end: no merging here.
    partitions = resampled.to_delayed(optimize_graph=False)
    blocks = getattr(plan, "blocks", ())
    n_old = len(partitions) - len(blocks)
    old = [(part, first_row_of(i), False) for i, part in enumerate(partitions[:n_old])]
    new = [(part, b.offset, True) for part, b in zip(partitions[n_old:], blocks, strict=True)]
    return Drawn(sampling, delayed(_both)(*(_joined(sampling, of) for of in (old, new))))


def _joined(sampling: Sampling, parts: Sequence[tuple[Any, int, bool]]) -> Any:
    join = partial(_join, sampling=sampling)
    level: list[Any] = []
    for part, first_row, synthetic in parts:
        # In a partial, so that Dask does not look for collections in it.
        take = partial(_take, sampling=sampling, first_row=first_row, synthetic=synthetic)
        level.append(delayed(take, pure=False)(part))
    while True:
        # Once at least, so that what comes of it is a sample also where no row was taken.
        steps = range(0, max(1, len(level)), _TOGETHER)
        level = [delayed(join, pure=False)(*level[i : i + _TOGETHER]) for i in steps]
        if len(level) == 1:
            return level[0]


def _take(
    frame: pd.DataFrame, *, sampling: Sampling, first_row: int, synthetic: bool
) -> Sample | str | None:
    try:
        return sampling.take(frame, first_row, synthetic)
    except Exception as error:  # hours of work are not lost for a picture
        return f"{type(error).__name__}: {error}"


def _join(*parts: Sample | str | None, sampling: Sampling) -> Sample | str:
    for part in parts:
        if isinstance(part, str):
            return part
    return join_samples([part for part in parts if isinstance(part, Sample)], sampling.columns)


def _both(old: Sample | str, new: Sample | str) -> Samples:
    if isinstance(old, str):
        return old
    return new if isinstance(new, str) else (old, new)


def add_report(
    folder: str,
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    samples: Any,
    hidden: Secrets | None = None,
) -> str | None:
    """Write the page into a folder. What goes wrong is told, and does not stop the job.

    Parameters
    ----------
    folder : str
        The staging folder.
    manifest : mapping
    plan : dsmote.plan.Plan
    sampling : Sampling
    samples : Samples
    hidden : Secrets, optional
        Masked in the names of columns and in what the plan says; in the manifest they are already.

    Returns
    -------
    str or None
        The name of the file; None where there is no page.
    """
    hidden = hidden or Secrets()
    try:
        if isinstance(samples, str):
            raise RuntimeError(samples)
        columns = tuple(replace(c, name=hidden.mask(str(c.name))) for c in sampling.columns)
        sampling = replace(sampling, columns=columns)
        if isinstance(plan, Plan):
            notes, warnings = (
                tuple(map(hidden.mask, some)) for some in (plan.notes, plan.warnings)
            )
            plan = replace(plan, notes=notes, warnings=warnings)
        html = report_html(manifest, plan, sampling, *samples).encode("utf-8")
    except Exception as error:
        hidden.mask_error(error)  # its traceback is logged as it is
        logger.exception("the table is complete, but its report could not be drawn")
        return None
    path = f"{folder}/{REPORT_FILE}"
    fs, inside = open_fs(path)
    try:
        with clear_errors("write", path):
            fs.pipe_file(inside, html)
    except OSError as error:
        logger.error("the table is complete, but its report could not be written: %s", error)
        with clear_errors("remove", path):  # half a page is none
            if fs.exists(inside):
                fs.rm_file(inside)
        return None
    return REPORT_FILE
