"""The plan: which rows are made or left out, with how much memory. Pure, frozen, JSON-able."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dsmote.plan.labels import first, listed, plain, visible
from dsmote.plan.memory import MemoryLimitError, format_bytes
from dsmote.plan.strategy import CLEAN, OVER

__all__ = ["COPY", "Block", "ClassPlan", "Plan"]

RULE_OF_THUMB = "rule of thumb: "  # begins a warning that nothing was measured for
SMALL_K_ROWS = 2_000  # rows of a class per neighbour from which on k counts as small
COPY = "copy"  # the engine of a class that has too few rows for neighbours, and is copied


@dataclass(frozen=True)
class Block:
    """A run of consecutive synthetic rows of one class: one synthetic partition.

    Attributes
    ----------
    label : object
        The class.
    class_rank : int
        Its place in sorted label order.
    start, stop : int
        The rows' numbers within the class's synthetic rows.
    offset : int
        Number of the first of them among all synthetic rows.
    """

    label: Any
    class_rank: int
    start: int
    stop: int
    offset: int

    @property
    def rows(self) -> int:
        """Rows in the block."""
        return self.stop - self.start


@dataclass(frozen=True)
class ClassPlan:
    """What happens to one class.

    Attributes
    ----------
    label : object
    rank : int
        Its place in sorted label order.
    before, usable : int
        Its rows, and those of them without missing values.
    new : int
        Rows to make.
    k, engine, why
        How neighbours are found, and why so.
    dropped : int
        Rows to leave out; of cleaning methods, at least.
    targeted : bool
        The sampling strategy names it.
    search : object or None
        The engine that `engine` names; None to choose it from the rows.
    """

    label: Any
    rank: int
    before: int
    usable: int
    new: int = 0
    k: int | None = None
    engine: str | None = None
    why: str | None = None
    dropped: int = 0
    targeted: bool = False
    search: Any = None

    @property
    def after(self) -> int:
        """Rows the class will have; of cleaning methods, at most."""
        return self.before + self.new - self.dropped

    @property
    def large(self) -> bool:
        """Whether k counts as small for its rows."""
        return bool(self.k and self.new) and self.usable > SMALL_K_ROWS * (self.k or 0)


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before a row is made or left out.

    Attributes
    ----------
    sampler : str
        Name of the sampler.
    seed : int
        The root seed; the same seed gives the same rows.
    classes : tuple of ClassPlan
        All classes, in sorted label order.
    blocks : tuple of Block
        The synthetic partitions, in output order.
    memory : MemoryProjection or None
        Projected bytes beside what is allowed; None where nothing is held beside a partition.
    notes : tuple of str
        How columns and search are taken.
    warnings : tuple of str
        What a user should know.
    too_small, too_large : tuple of str
        The `problems`, which :meth:`check` raises: classes with too few rows; what does not fit.
    passes : tuple of str
        How often the data are read, and what for.
    test : tuple of (label, rows), or None
        Rows of each class that are not for training, and so are none of the input's here; None
        where all are. Rows without a label are those of None.
    direction : {"over-sampling", "under-sampling", "clean-sampling"}
        Of cleaning methods rows are known when they are dropped: counts after are at most these.
    """

    sampler: str
    seed: int
    classes: tuple[ClassPlan, ...]
    blocks: tuple[Block, ...] = ()
    memory: Any = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    too_small: tuple[str, ...] = ()
    too_large: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()
    test: tuple[tuple[Any, int], ...] | None = None
    direction: str = OVER

    def __getstate__(self) -> dict[str, Any]:
        # Tasks take plans along: not what is computed from them.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this cannot run; empty where it can."""
        return (*self.too_small, *self.too_large)

    @cached_property
    def growing(self) -> tuple[ClassPlan, ...]:
        """The classes that get new rows."""
        return tuple([c for c in self.classes if c.new > 0])

    @cached_property
    def n_before(self) -> int:
        """Rows of the input."""
        return sum([c.before for c in self.classes])

    @cached_property
    def n_new(self) -> int:
        """Synthetic rows."""
        return sum([c.new for c in self.classes])

    @cached_property
    def n_dropped(self) -> int:
        """Rows that are left out."""
        return sum([c.dropped for c in self.classes])

    @property
    def n_after(self) -> int:
        """Rows of the output."""
        return self.n_before + self.n_new - self.n_dropped

    @cached_property
    def counts_before(self) -> dict[Any, int]:
        """Rows per class in the input."""
        return {c.label: c.before for c in self.classes}

    @cached_property
    def counts_after(self) -> dict[Any, int]:
        """Rows per class in the output."""
        return {c.label: c.after for c in self.classes}

    @property
    def engine(self) -> str:
        """The neighbour engine, or engines, that will be used."""
        late = "chosen when the rows are gathered"  # there was no pass to choose from
        return ", ".join(dict.fromkeys(c.engine or late for c in self.growing)) or "none"

    def check(self) -> None:
        """Raise what stands in the way of running.

        Raises
        ------
        ValueError
            A class has too few rows for k neighbours.
        MemoryLimitError
            The job would not fit.
        """
        if self.too_small:
            raise ValueError("; ".join(first(self.too_small)))
        if self.too_large:
            raise MemoryLimitError("; ".join(first(self.too_large)))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON-able mapping."""
        over = self.direction == OVER
        own = (
            ("before", "usable", "new", "after", "k", "engine", "why")
            if over
            else ("before", "dropped", "after", "targeted")
        )
        classes = [
            {"label": _jsonable(c.label), **{name: getattr(c, name) for name in own}}
            for c in self.classes
        ]
        found: dict[str, Any] = {"format_version": 1, "sampler": self.sampler, "seed": self.seed}
        found |= {"engine": self.engine} if over else {}
        found["rows_before"] = self.n_before
        found |= {"rows_new": self.n_new} if over else {"rows_dropped": self.n_dropped}
        found |= {"rows_after": self.n_after, "classes": classes}
        if over:
            found["blocks"] = [
                {"label": _jsonable(b.label), "start": b.start, "stop": b.stop} for b in self.blocks
            ]
            found["passes"] = list(self.passes)
        if self.test is not None:
            found["test"] = [{"label": _jsonable(label), "rows": n} for label, n in self.test]
        if self.memory is not None:
            found["memory"] = self.memory.to_dict()
        if over:
            found |= {"notes": list(self.notes), "warnings": list(self.warnings)}
            found["problems"] = list(self.problems)
        return found

    @property
    def reasons(self) -> list[str]:
        """How and why classes are searched as they are, in a line for all that are alike."""
        alike: dict[tuple[str | None, str], list[str]] = {}
        for c in self.growing:
            if c.why:
                alike.setdefault((c.engine, c.why), []).append(visible(c.label))
        return [
            f"neighbours in class{'' if len(of) == 1 else 'es'} {listed(of)}: {engine}, {why}"
            for (engine, why), of in alike.items()
        ]

    def __str__(self) -> str:
        """Write the plan as a short report."""
        over = self.direction == OVER
        lines = [f"{self.sampler} (seed {self.seed})", ""]
        if over:
            lines[0] += f", neighbour engine: {self.engine}"
        changed, total = ("new", self.n_new) if over else ("dropped", self.n_dropped)
        rows = [(visible(c.label), c.before, getattr(c, changed), c.after) for c in self.classes]
        rows.append(("total", self.n_before, total, self.n_after))
        width = max(5, *(len(row[0]) for row in rows))
        lines.append(f"{'class':<{width}}  {'before':>14}  {changed:>14}  {'after':>14}")
        lines += [f"{a:<{width}}  {b:>14,}  {c:>14,}  {d:>14,}" for a, b, c, d in rows]
        if self.direction == CLEAN:
            lines.append("at most so many rows stay: which ones is known when the data are read")
        lines += held_back_line(self.test)
        if self.memory is not None:
            largest = max((b.rows for b in self.blocks), default=0)
            allowed = self.memory.allowed_bytes
            lines += [
                "",
                *self.reasons,
                "",
                f"passes over the data: {len(self.passes)} ({'; '.join(self.passes)})",
                f"new rows: {len(self.blocks)} partition(s) of at most {largest:,} rows",
                f"memory: {format_bytes(self.memory.task_bytes)} in the largest task, "
                f"{format_bytes(self.memory.worker_bytes)} in one worker; "
                + (
                    f"{format_bytes(allowed)} allowed ({self.memory.limit_source})"
                    if allowed is not None
                    else self.memory.limit_source
                ),
            ]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [f"cannot run: {problem}" for problem in first(self.problems)]
        return "\n".join(lines)


def held_back_line(test: Sequence[tuple[Any, int]] | None) -> list[str]:
    """Say how many rows are left as they are because they are not for training.

    Examples
    --------
    >>> held_back_line([(0, 90), (1, 10)])
    ['not for training: 100 rows, which stay as they are (90 of class 0, 10 of class 1)']
    """
    if test is None:
        return []
    shown = listed(
        f"{rows:,} {'without a label' if label is None else f'of class {visible(label)}'}"
        for label, rows in test
    )
    total = sum(rows for _, rows in test)
    return [f"not for training: {total:,} rows, which stay as they are ({shown})"]


def _jsonable(label: Any) -> Any:
    label = plain(label)
    return label if isinstance(label, str | int | float | bool) or label is None else str(label)
