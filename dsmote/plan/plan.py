"""The plan: what will be made, in which blocks, with how much memory. Pure, frozen, JSON-able."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dsmote.plan.labels import first, listed, plain, visible
from dsmote.plan.memory import MemoryLimitError, MemoryProjection, format_bytes

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
    """What happens to one class."""

    label: Any
    rank: int
    before: int
    usable: int
    new: int
    k: int | None
    engine: str | None
    why: str | None = None

    @property
    def after(self) -> int:
        """Rows the class will have."""
        return self.before + self.new

    @property
    def large(self) -> bool:
        """Whether k counts as small for its rows."""
        return bool(self.k and self.new) and self.usable > SMALL_K_ROWS * (self.k or 0)


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before a row is made.

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
    memory : MemoryProjection
        Projected bytes beside what is allowed.
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
    """

    sampler: str
    seed: int
    classes: tuple[ClassPlan, ...]
    blocks: tuple[Block, ...]
    memory: MemoryProjection
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    too_small: tuple[str, ...] = ()
    too_large: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()
    test: tuple[tuple[Any, int], ...] | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this cannot run; empty where it can."""
        return (*self.too_small, *self.too_large)

    @property
    def growing(self) -> tuple[ClassPlan, ...]:
        """The classes that get new rows."""
        return tuple(c for c in self.classes if c.new > 0)

    @property
    def n_before(self) -> int:
        """Rows of the input."""
        return sum(c.before for c in self.classes)

    @property
    def n_new(self) -> int:
        """Synthetic rows."""
        return sum(c.new for c in self.classes)

    @property
    def n_after(self) -> int:
        """Rows of the output."""
        return self.n_before + self.n_new

    @property
    def counts_before(self) -> dict[Any, int]:
        """Rows per class in the input."""
        return {c.label: c.before for c in self.classes}

    @property
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
        return {
            "format_version": 1,
            "sampler": self.sampler,
            "seed": self.seed,
            "engine": self.engine,
            "rows_before": self.n_before,
            "rows_new": self.n_new,
            "rows_after": self.n_after,
            "classes": [
                {
                    "label": _jsonable(c.label),
                    "before": c.before,
                    "usable": c.usable,
                    "new": c.new,
                    "after": c.after,
                    "k": c.k,
                    "engine": c.engine,
                    "why": c.why,
                }
                for c in self.classes
            ],
            "blocks": [
                {"label": _jsonable(b.label), "start": b.start, "stop": b.stop} for b in self.blocks
            ],
            "passes": list(self.passes),
            **held_back_dict(self.test),
            "memory": self.memory.to_dict(),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "problems": list(self.problems),
        }

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
        lines = [f"{self.sampler} (seed {self.seed}), neighbour engine: {self.engine}", ""]
        names = [visible(c.label) for c in self.classes]
        width = max(5, *map(len, names))
        lines.append(f"{'class':<{width}}  {'before':>14}  {'new':>14}  {'after':>14}")
        for name, c in zip(names, self.classes, strict=True):
            lines.append(f"{name:<{width}}  {c.before:>14,}  {c.new:>14,}  {c.after:>14,}")
        lines.append(
            f"{'total':<{width}}  {self.n_before:>14,}  {self.n_new:>14,}  {self.n_after:>14,}"
        )
        lines += [*held_back_line(self.test), "", *self.reasons]
        largest = max((b.rows for b in self.blocks), default=0)
        allowed = self.memory.allowed_bytes
        lines += [
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


def held_back_dict(test: Sequence[tuple[Any, int]] | None) -> dict[str, Any]:
    """Return the same as JSON-able data."""
    if test is None:
        return {}
    return {"test": [{"label": _jsonable(label), "rows": rows} for label, rows in test]}


def _jsonable(label: Any) -> Any:
    label = plain(label)
    return label if isinstance(label, str | int | float | bool) or label is None else str(label)
