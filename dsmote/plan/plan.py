"""The plan: what will be made, in which blocks, with how much memory. Pure, frozen, JSON-able."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsmote.plan.labels import plain, sort_labels
from dsmote.plan.memory import (
    Limit,
    MemoryLimitError,
    MemoryProjection,
    class_memory,
    format_bytes,
    project,
)
from dsmote.plan.schema import Schema

__all__ = ["BLOCK_BYTES", "BLOCK_ROWS", "Block", "ClassPlan", "Plan", "make_plan"]

BLOCK_BYTES = 64 * 2**20
BLOCK_ROWS = 250_000
MOST_BLOCKS = 1_000_000
SMALL_K_ROWS = 2_000  # rows of a class per neighbour from which on k counts as small


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
    warnings : tuple of str
        What a user should know, problems included.
    too_small, too_large : tuple of str
        Problems that :meth:`check` raises: classes with too few rows; what does not fit.
    """

    sampler: str
    seed: int
    classes: tuple[ClassPlan, ...]
    blocks: tuple[Block, ...]
    memory: MemoryProjection
    warnings: tuple[str, ...] = ()
    too_small: tuple[str, ...] = ()
    too_large: tuple[str, ...] = ()

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
            raise ValueError("; ".join(self.too_small))
        if self.too_large:
            raise MemoryLimitError("; ".join(self.too_large))

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
            "memory": self.memory.to_dict(),
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        """Write the plan as a short report."""
        lines = [f"{self.sampler} (seed {self.seed}), neighbour engine: {self.engine}", ""]
        width = max(5, *(len(str(c.label)) for c in self.classes))
        lines.append(f"{'class':<{width}}  {'before':>14}  {'new':>14}  {'after':>14}")
        for c in self.classes:
            lines.append(f"{c.label!s:<{width}}  {c.before:>14,}  {c.new:>14,}  {c.after:>14,}")
        lines.append(
            f"{'total':<{width}}  {self.n_before:>14,}  {self.n_new:>14,}  {self.n_after:>14,}"
        )
        lines += ["", *_reasons(self.growing)]
        largest = max((b.rows for b in self.blocks), default=0)
        allowed = self.memory.allowed_bytes
        lines += [
            "",
            f"blocks: {len(self.blocks)} synthetic partition(s) of at most {largest:,} rows",
            f"memory: {format_bytes(self.memory.task_bytes)} in the largest task, "
            f"{format_bytes(self.memory.worker_bytes)} in one worker; "
            + (
                f"{format_bytes(allowed)} allowed ({self.memory.limit_source})"
                if allowed is not None
                else self.memory.limit_source
            ),
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _reasons(growing: Sequence[ClassPlan]) -> list[str]:
    """Say why each class is searched as it is; alike reasons once."""
    reasons = [f"neighbours of class {c.label}: {c.engine}, {c.why}" for c in growing if c.why]
    more = len(reasons) - 20
    return reasons[:20] + ([f"and of {more} more classes, see to_dict()"] if more > 0 else [])


def _jsonable(label: Any) -> Any:
    label = plain(label)
    return label if isinstance(label, str | int | float | bool) or label is None else str(label)


def _blocks(classes: Sequence[ClassPlan], row_bytes: int) -> tuple[Block, ...]:
    most = max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))
    blocks: list[Block] = []
    offset = 0
    for c in classes:
        n_blocks = -(-c.new // most)
        if len(blocks) + n_blocks > MOST_BLOCKS:
            raise ValueError(
                f"sampling_strategy asks for {c.new:,} new rows of class {c.label!r}, which are "
                f"{n_blocks:,} partitions of {most:,} rows; at most {MOST_BLOCKS:,} are made in "
                "one run: is the number a slip?"
            )
        for b in range(n_blocks):
            # Even cuts: no block is left with a handful of rows.
            start, stop = c.new * b // n_blocks, c.new * (b + 1) // n_blocks
            blocks.append(Block(c.label, c.rank, start, stop, offset + start))
        offset += c.new
    return tuple(blocks)


def _too_small(c: ClassPlan, k: int) -> str:
    usable = "" if c.usable == c.before else f" ({c.before:,} less those with missing values)"
    remedy = (
        f"lower k_neighbors to {c.usable - 1}{' or less' if c.usable > 2 else ''}"
        if c.usable > 1
        else "collect more rows of it, or copy it (random over-sampling)"
    )
    return (
        f"class {c.label!r} has {c.usable:,} row{'' if c.usable == 1 else 's'}{usable}, but "
        f"k_neighbors={k} needs at least {k + 1} (k + 1); {remedy}, or leave the class out of "
        "sampling_strategy"
    )


def _warnings(classes: Sequence[ClassPlan], k: int) -> list[str]:
    """Say which classes are left because they are small, and for which k is small."""
    left = [
        f"class {c.label!r} has {c.before:,} row(s), fewer than k + 1 = {k + 1}; it stays as it is"
        for c in classes
        if not c.new and c.before < k + 1
    ]
    return left + [
        f"class {c.label!r} has {c.usable:,} rows and k_neighbors is {k}: with a fixed k, new rows "
        "come to copy the originals as a class grows (Sakho, Malherbe and Scornet 2024); "
        "consider a larger k_neighbors"
        for c in classes
        if c.new and c.usable > SMALL_K_ROWS * k
    ]


def make_plan(
    *,
    sampler: str,
    seed: int,
    schema: Schema,
    counts: Mapping[Any, int],
    usable: Mapping[Any, int],
    new: Mapping[Any, int],
    k: int,
    engines: Mapping[Any, tuple[str, str]],
    partition_bytes: int,
    row_bytes: int,
    limit: Limit | None,
    in_memory: bool = False,
    copied: int = 0,
    notes: Sequence[str] = (),
) -> Plan:
    """Decide blocks and memory, and collect warnings and problems.

    Parameters
    ----------
    sampler, seed, schema, k
        The recipe's name, the root seed, the columns, the neighbours.
    counts, usable : mapping of label to int
        Rows present in each class, and those of them without missing values.
    new : mapping of label to int
        Rows to make.
    engines : mapping of label to (name, why)
        Neighbour engine of each class to grow, and the reason for it.
    partition_bytes : int
        Bytes of the largest input partition.
    row_bytes : int
        Bytes of one row of the output.
    limit : Limit or None
        Memory of one worker.
    in_memory : bool
        The table, and so its output, is in memory as a whole.
    notes : sequence of str
        Warnings that were found before.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote.plan.schema import make_schema
    >>> plan = make_plan(
    ...     sampler="SMOTE", seed=0, schema=make_schema(["x"], [np.dtype("f8")]),
    ...     counts={0: 90, 1: 10}, usable={0: 90, 1: 10}, new={1: 80}, k=5,
    ...     engines={1: ("tree", "few directions")}, partition_bytes=800, row_bytes=8, limit=None)
    >>> plan.counts_after, len(plan.blocks)
    ({0: 90, 1: 90}, 1)
    """
    classes = tuple(
        ClassPlan(
            label=label,
            rank=rank,
            before=counts[label],
            usable=usable.get(label, counts[label]),
            new=new.get(label, 0),
            k=k if new.get(label, 0) else None,
            engine=engines[label][0] if new.get(label, 0) and label in engines else None,
            why=engines[label][1] if new.get(label, 0) and label in engines else None,
        )
        for rank, label in enumerate(sort_labels(counts))
    )
    blocks = _blocks(classes, row_bytes)
    growing = [c for c in classes if c.new]
    wide = sum(
        1
        for i in schema.numeric
        if schema.columns[i].kind in ("int", "datetime", "timedelta")
        and getattr(schema.columns[i].dtype, "itemsize", 8) == 8
    )
    sizes: dict[int, list[int]] = {c.rank: [] for c in growing}
    for b in blocks:
        sizes[b.class_rank].append(b.rows)
    needs = [
        class_memory(
            c.label,
            c.usable,
            len(schema.numeric),
            wide,
            len(schema.nominal),
            max(sizes[c.rank]),
            row_bytes,
            k,
            len(sizes[c.rank]),
            copied,
        )
        for c in growing
    ]
    held = (2 * sum(counts.values()) + 2 * sum(new.values())) * row_bytes if in_memory else 0
    memory, too_large = project(needs, partition_bytes, limit, held)
    too_small = [_too_small(c, k) for c in growing if c.usable < k + 1]
    warnings = [*notes, *too_small, *too_large, *_warnings(classes, k)]
    return Plan(
        sampler=sampler,
        seed=seed,
        classes=classes,
        blocks=blocks,
        memory=memory,
        warnings=tuple(warnings),
        too_small=tuple(too_small),
        too_large=tuple(too_large),
    )
