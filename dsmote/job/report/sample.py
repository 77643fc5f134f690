"""The rows that a report looks at: a bounded sample, taken by small tasks beside those that write.

A row is kept if its random number is below the sampling fraction of its class, so the size of the
sample does not grow with the table. The random number of a new row depends on its position among
all new rows; that of an original row on its partition and its position there.

A sample is a frame: one column per feature, numbered from 0, of float64 or text, and the rank of
the class as index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from dask import delayed

from dsmote.execute import read_frame
from dsmote.plan import Stream, plain
from dsmote.plan.draws import REPORT
from dsmote.plan.schema import is_nominal_dtype, make_schema

DETAILED = 6  # classes whose new rows are shown: those that grow most
OWN_ROWS = 20_000  # original rows of these classes together, enough to measure distances
NEW_ROWS = 2_000  # new rows of each
OTHER_ROWS = 3_000  # original rows of all other classes together, enough for a scatter plot
FEW_ROWS = 30  # fewer show no distribution
LEAST_ROWS = 200  # of a class, even if the rows are wide
SAMPLE_BYTES = 48 * 2**20
PLACES = 2**40  # random numbers reserved for the original rows of one partition
TEXT_LENGTH = 120
CATEGORICAL = "nominal"
# In no valid document, or reversing the text that comes after.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def clean(value: Any, length: int = TEXT_LENGTH) -> str:
    r"""Return a value as text that HTML can hold; blank text is quoted, so that it can be seen."""
    raw = str(value)[: length + 1]
    if not raw.strip():
        return repr(raw)[:length]
    text = _UNPRINTABLE.sub("\ufffd", re.sub(r"[\t\n\r]", " ", raw))
    return text if len(text) <= length else f"{text[: length - 1]}…"


@dataclass(frozen=True)
class Column:
    """A feature that is shown: float, int, bool, datetime, timedelta or nominal."""

    name: Any
    kind: str


def report_columns(sampler: Any, frame: Any, target: Any) -> tuple[Column, ...]:
    """Return the features as the sampler sees them: no target, no passthrough columns."""
    table = read_frame(frame, target)
    if hasattr(sampler, "_schema"):
        schema, any_kind = sampler._schema(table, None), sampler._any_kind
    else:  # an under-sampler uses no feature
        schema, any_kind = table.schema(any_kind=True), True
    columns = []
    for column in schema.columns:
        kind = _kind(column.dtype) if column.kind == "copied" and any_kind else column.kind
        if kind not in ("target", "carried", "group", "copied", None):
            columns.append(Column(column.name, kind))
    return tuple(columns)


def _kind(dtype: Any) -> str | None:
    if is_nominal_dtype(dtype):
        return CATEGORICAL
    try:
        return make_schema(["x"], [dtype]).columns[0].kind
    except (TypeError, ValueError):
        return None


def as_numbers(series: pd.Series, kind: str) -> np.ndarray:
    """Return a column as float64: missing is NaN, times are seconds, true is 1."""
    if kind in ("datetime", "timedelta"):
        if isinstance(series.dtype, pd.ArrowDtype):
            series = pd.Series(series.array.__array__())
        times: Any = series.array
        second = np.timedelta64(1, "s") / np.timedelta64(1, times.unit)
        return np.where(series.isna(), np.nan, np.asarray(times.asi8) / second)
    if isinstance(series.dtype, np.dtype | pd.SparseDtype):
        return series.to_numpy().astype(np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def as_levels(series: pd.Series) -> np.ndarray:
    """Return a column as text: missing is None; long text is cut and marked by its hash."""
    # Only the values that occur: a category may have a million others.
    codes, values = pd.factorize(series)
    return np.array([*(_level(str(value)) for value in values), None], dtype=object)[codes]


def _level(text: str) -> str:
    if len(text) <= TEXT_LENGTH:
        return clean(text)
    mark = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{clean(text, TEXT_LENGTH - 8)} #{mark}"


@dataclass(frozen=True)
class Sampling:
    """How rows are drawn: for each class the fraction to keep of original and of new rows."""

    seed: int
    target: Any
    columns: tuple[Column, ...]
    labels: tuple[Any, ...]
    original: tuple[float, ...]
    new: tuple[float, ...]

    def take(self, frame: pd.DataFrame, first_row: int, synthetic: bool) -> pd.DataFrame:
        """Return the sample of a partition.

        The first row of a partition of original rows is its number times `PLACES`; of new rows,
        its position among all new rows.
        """
        codes, values = pd.factorize(frame[self.target])
        ranks = {label: rank for rank, label in enumerate(self.labels)}
        # The last entry is for rows without a label, which have the code -1.
        found = np.array([*(ranks.get(plain(value), -1) for value in values), -1])[codes]
        fractions = np.array([*(self.new if synthetic else self.original), 0.0])
        draws = Stream(self.seed, int(synthetic), REPORT).uniform(first_row, first_row + len(frame))
        rows = np.flatnonzero(draws < fractions[found])
        some = frame.iloc[rows]
        columns = {
            i: as_levels(some[c.name])
            if c.kind == CATEGORICAL
            else as_numbers(some[c.name], c.kind)
            for i, c in enumerate(self.columns)
        }
        return pd.DataFrame(columns, index=found[rows])


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most so many positions of n, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def sampling_for(plan: Any, columns: Sequence[Column], target: Any) -> Sampling:
    """Decide how many rows of each class are drawn."""
    # The rows that an under-sampler drops are not written, so they cannot be drawn.
    n_old = [c.before - c.dropped for c in plan.classes]
    n_new = [getattr(c, "new", 0) for c in plan.classes]
    detailed = detailed_ranks(plan)
    own = max(NEW_ROWS, OWN_ROWS // max(1, len(detailed)))
    others = sum(n for rank, n in enumerate(n_old) if rank not in detailed)
    wanted = sum(min(n_old[r], own) + min(n_new[r], NEW_ROWS) for r in detailed)
    wanted += min(others, OTHER_ROWS)
    row_bytes = 8 + sum(64 if c.kind == CATEGORICAL else 8 for c in columns)
    fit = min(1.0, SAMPLE_BYTES / (row_bytes * max(1, wanted)))

    def fraction(n: int, most: int) -> float:
        most = min(n, most)
        return min(1.0, max(most * fit, min(most, LEAST_ROWS)) / n) if n else 0.0

    rest, ranks = fraction(others, OTHER_ROWS), range(len(n_old))
    return Sampling(
        int(plan.seed),
        target,
        tuple(columns),
        tuple(plain(c.label) for c in plan.classes),
        tuple(fraction(n_old[r], own) if r in detailed else rest for r in ranks),
        tuple(fraction(n_new[r], NEW_ROWS) if r in detailed else 0.0 for r in ranks),
    )


def detailed_ranks(plan: Any) -> list[int]:
    """Return the classes that are shown: most new rows first, classes of few rows last."""
    growing = [c for c in plan.classes if getattr(c, "new", 0)]
    growing.sort(key=lambda c: (c.before < FEW_ROWS, -c.new, c.rank))
    return [c.rank for c in growing[:DETAILED]]


class Drawn(NamedTuple):
    """What a report shows: lazy samples of original and of new rows, or the text of an error."""

    sampling: Sampling
    samples: Any


def draw(sampler: Any, frame: Any, resampled: Any, target: Any) -> Drawn:
    """Draw rows lazily, by one task per partition of the resampled Dask frame.

    These tasks are not the ones that write: what is written may be shuffled, or only the new rows.
    """
    plan = sampler.plan_
    sampling = sampling_for(plan, report_columns(sampler, frame, target), target)
    partitions = resampled.to_delayed(optimize_graph=False)
    blocks = plan.blocks
    n_old = len(partitions) - len(blocks)
    first_rows = [*(i * PLACES for i in range(n_old)), *(block.offset for block in blocks)]
    taken = [
        # In a partial, so that Dask does not search the arguments for collections.
        delayed(partial(take, sampling, first_row=first, synthetic=i >= n_old), pure=False)(part)
        for i, (part, first) in enumerate(zip(partitions, first_rows, strict=True))
    ]
    return Drawn(sampling, delayed(partial(_both, n_old, len(sampling.columns)), pure=False)(taken))


def take(
    sampling: Sampling, frame: pd.DataFrame, *, first_row: int, synthetic: bool
) -> pd.DataFrame | str:
    """Return the sample of a partition, or why there is none: a figure costs no table."""
    try:
        return sampling.take(frame, first_row, synthetic)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _both(n_old: int, n_columns: int, taken: list[Any]) -> tuple[pd.DataFrame, pd.DataFrame] | str:
    error = next((part for part in taken if isinstance(part, str)), None)
    return error or (joined(taken[:n_old], n_columns), joined(taken[n_old:], n_columns))


def joined(parts: list[pd.DataFrame], n_columns: int) -> pd.DataFrame:
    """Concatenate samples, of which there may be none."""
    nothing = pd.DataFrame(columns=range(n_columns), index=np.empty(0, dtype=np.int64))
    return pd.concat(parts or [nothing])
