"""The plan: which rows are made or left out, with how much memory. Pure, frozen, JSON-able."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from html import escape
from operator import attrgetter
from typing import Any

from dsmote.plan.labels import first, listed, plain, sort_labels, visible
from dsmote.plan.memory import (
    ESTIMATOR_BYTES,
    ClassMemory,
    Limit,
    MemoryLimitError,
    Needs,
    cell_memory,
    chunk_memory,
    chunk_rows,
    class_memory,
    format_bytes,
    looking_bytes,
    project,
    refusal,
)
from dsmote.plan.profile import Profile
from dsmote.plan.schema import Schema
from dsmote.plan.strategy import CLEAN, COMBINED, OVER, UNDER, Counts

RULE_OF_THUMB = "rule of thumb: "  # begins a warning that nothing was measured for
SMALL_K_ROWS = 2_000  # rows of a class per neighbour from which on k counts as small
_CUT = ("cells", "cell_rows")
ALL_ROWS = "the nearest of all rows"  # what the data are read once more for
COPY = "copy"  # the engine of a class that has too few rows for neighbours, and is copied


@dataclass(frozen=True)
class Block:
    """A run of consecutive synthetic rows of one class, ``start .. stop``: one synthetic partition.

    `offset` is the number of the first of them among all synthetic rows.
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

    `usable` are its rows without missing values. `k`, `engine` and `why` say how neighbours are
    found, and why so; `search` is the engine itself, None to choose it from the rows.
    `cells`: into so many the rows are cut, of at most `cell_rows`; 0 where a worker holds all, and
    where no neighbours are looked for: `cell_rows` are then those that are read at a time. For
    cleaning methods `dropped` is a lower bound and `after` an upper one. `targeted`: the sampling
    strategy names it.
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
    cells: int = 0
    cell_rows: int = 0

    @property
    def after(self) -> int:
        """Rows the class will have; of cleaning methods, at most."""
        return self.before + self.new - self.dropped

    @property
    def stored(self) -> bool:
        """Whether the rows lie in scratch files."""
        return self.cell_rows > 0

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
        Projected and allowed bytes; None where nothing is held but a partition.
    notes : tuple of str
        How columns and search are taken.
    warnings : tuple of str
        What a user should know.
    too_small, too_large : tuple of str
        The `problems`, which :meth:`check` raises: classes with too few rows; what does not fit.
    passes : tuple of str
        How often the data are read, and what for.
    test : tuple of (label, rows), or None
        Rows of each class that are held back from training, and so are none of the input's here;
        rows without a label are those of None.
    direction : {"over-sampling", "under-sampling", "clean-sampling", "combination"}
        What the sampler does.
    at_most : bool
        Counts after are upper bounds: of cleaning methods rows are known when they are dropped.
    steps : tuple of Plan
        Of a chain the plans of its steps.
    all_rows : ClassPlan or None
        Into how many cells all rows are cut, where classes that are cut ask for the nearest of all.
    travelling : int
        Rows that travel to all partitions, where a cleaning method compares few with all (gather).
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
    all_rows: ClassPlan | None = None
    at_most: bool = False
    steps: tuple[Plan, ...] = ()
    travelling: int = 0

    def __getstate__(self) -> dict[str, Any]:
        # Tasks carry plans: not what is computed from them.
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this cannot run; empty where it can."""
        return (*self.too_small, *self.too_large)

    @cached_property
    def growing(self) -> tuple[ClassPlan, ...]:
        """The classes that get new rows."""
        return tuple(filter(attrgetter("new"), self.classes))

    @property
    def smallest(self) -> ClassPlan:
        """The class with the fewest rows; of several, the first."""
        return min(self.classes, key=lambda c: (c.before, c.rank))

    @property
    def largest(self) -> ClassPlan:
        """The class with the most rows; of several, the first."""
        return min(self.classes, key=lambda c: (-c.before, c.rank))

    @cached_property
    def n_before(self) -> int:
        """Rows of the input."""
        return sum(map(attrgetter("before"), self.classes))

    @cached_property
    def n_new(self) -> int:
        """Synthetic rows."""
        return sum(map(attrgetter("new"), self.classes))

    @cached_property
    def n_dropped(self) -> int:
        """Rows that are left out."""
        return sum(map(attrgetter("dropped"), self.classes))

    @property
    def n_after(self) -> int:
        """Rows of the output."""
        return self.n_before + self.n_new - self.n_dropped

    @property
    def counts_before(self) -> dict[Any, int]:
        """Rows per class in the input."""
        return dict(map(attrgetter("label", "before"), self.classes))

    @property
    def counts_after(self) -> dict[Any, int]:
        """Rows per class in the output."""
        return dict(map(attrgetter("label", "after"), self.classes))

    @property
    def engine(self) -> str:
        """The neighbour engine, or engines, that will be used."""
        late = "chosen when the rows are gathered"  # there was no pass to choose from
        growing = [c for step in self.steps or (self,) for c in step.growing]
        return ", ".join(dict.fromkeys(c.engine or late for c in growing)) or "none"

    def with_counts_after(self, counts: Counts) -> Plan:
        """Return the plan as it turned out: with the rows of each class that are there after it."""
        classes = []
        for c in self.classes:
            classes.append(replace(c, dropped=c.before + c.new - counts.get(c.label, 0)))
        steps = self.steps
        if steps:
            steps = (*steps[:-1], steps[-1].with_counts_after(counts))
        return replace(self, classes=tuple(classes), steps=steps, at_most=False)

    def check(self) -> None:
        """Raise a ValueError for too few rows, or a MemoryLimitError for what does not fit."""
        if self.too_small:
            raise ValueError("; ".join(first(self.too_small)))
        if self.too_large:
            raise MemoryLimitError("; ".join(first(self.too_large)))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON-able mapping."""
        over = self.direction == OVER
        own = "before usable new after k engine why cells cell_rows"
        own = own if over else "before dropped after targeted"
        own = "before new dropped after" if self.steps else own
        classes = [
            {"label": _jsonable(c.label), **{name: getattr(c, name) for name in own.split()}}
            for c in self.classes
        ]
        found: dict[str, Any] = {"format_version": 1, "sampler": self.sampler, "seed": self.seed}
        found |= {"engine": self.engine} if over else {}
        found["rows_before"] = self.n_before
        found |= {"rows_new": self.n_new} if over or self.steps else {}
        found |= {} if over else {"rows_dropped": self.n_dropped}
        found |= {"rows_after": self.n_after, "classes": classes}
        if over:
            found["blocks"] = [
                {"label": _jsonable(b.label), "start": b.start, "stop": b.stop} for b in self.blocks
            ]
        if self.at_most:
            found["at_most"] = True
        if self.steps:
            found["steps"] = [step.to_dict() for step in self.steps]
        told = over or self.memory is not None  # else nothing is held but a partition
        if told:
            found["passes"] = list(self.passes)
        if self.test is not None:
            found["test"] = [{"label": _jsonable(label), "rows": n} for label, n in self.test]
        if self.all_rows is not None:
            found["all_rows"] = {name: getattr(self.all_rows, name) for name in _CUT}
        if self.travelling:
            found["travelling"] = self.travelling
        if self.memory is not None:
            found["memory"] = self.memory.to_dict()
        if told:
            found |= {"notes": list(self.notes), "warnings": list(self.warnings)}
            found["problems"] = list(self.problems)
        return found

    @property
    def reasons(self) -> list[str]:
        """How and why classes are searched as they are, in a line for all that are alike."""
        alike: dict[tuple[str | None, str], list[str]] = {}
        for c in (c for step in self.steps or (self,) for c in step.growing):
            if c.why:
                alike.setdefault((c.engine, c.why), []).append(visible(c.label))
        return [
            f"neighbours in class{'' if len(of) == 1 else 'es'} {listed(of)}: {engine}, {why}"
            for (engine, why), of in alike.items()
        ]

    def __str__(self) -> str:
        """Write the plan as a short report."""
        names, rows = self._counts
        lines, width = [self._heading, ""], max(5, *(len(row[0]) for row in rows))
        lines.append("  ".join([f"{'class':<{width}}", *(f"{name:>14}" for name in names)]))
        for label, *numbers in rows:
            lines.append("  ".join([f"{label:<{width}}", *(f"{n:>14,}" for n in numbers)]))
        lines += self._bounds
        for number, step in enumerate(self.steps, start=1):
            lines += ["", f"step {number} of {len(self.steps)}: {step}"]
        return "\n".join([*lines, *self._details])

    def _repr_html_(self) -> str:
        """Write the plan for a notebook: a table, and below it what the report says."""
        names, rows = self._counts
        head = "".join(f"<th>{escape(name)}</th>" for name in ("class", *names))
        body = [
            f"<tr><th>{escape(label)}</th>{''.join(f'<td>{n:,}</td>' for n in numbers)}</tr>"
            for label, *numbers in rows
        ]
        parts = [f"<p><b>{escape(self._heading)}</b></p>"]
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>")
        below = [*self._bounds, *filter(None, self._details)]
        for number, step in enumerate(self.steps, start=1):
            of = f"step {number} of {len(self.steps)}"
            parts.append(f"<details><summary>{of}</summary>{step._repr_html_()}</details>")
        if below:
            parts.append(f"<p>{'<br>'.join(map(escape, below))}</p>")
        return "".join(parts)

    @property
    def _heading(self) -> str:
        engine = f", neighbour engine: {self.engine}" if self.direction == OVER else ""
        return f"{self.sampler} (seed {self.seed}){engine}"

    @property
    def _counts(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Names of numbers of rows, and the numbers by class and in all."""
        over = self.direction == OVER
        changed = ["new"] * (over or bool(self.steps)) + ["dropped"] * (not over)
        names = ["before", *changed, "after"]
        rows = [(visible(c.label), *(getattr(c, name) for name in names)) for c in self.classes]
        rows.append(("total", *(getattr(self, f"n_{name}") for name in names)))
        return names, rows

    @property
    def _bounds(self) -> list[str]:
        """What is to be known of the numbers."""
        lines = []
        if self.at_most:
            lines.append("rows after are upper bounds: which stay is known once the data are read")
        return [*lines, *held_back_line(self.test)]

    @property
    def _details(self) -> list[str]:
        """Passes, memory, notes, warnings and problems."""
        over, lines = self.direction == OVER, list[str]()
        if self.memory is not None:
            largest = max((b.rows for b in self.blocks), default=0)
            allowed, source = self.memory.allowed_bytes, self.memory.limit_source
            if allowed is not None:
                source = f"{format_bytes(allowed)} allowed ({source})"
            lines += ["", *self.reasons, ""] if over else [""]
            lines.append(f"passes over the data: {len(self.passes)} ({'; '.join(self.passes)})")
            if over:
                lines.append(
                    f"new rows: {len(self.blocks)} partition(s) of at most {largest:,} rows"
                )
            lines += [
                f"memory: {format_bytes(self.memory.task_bytes)} in the largest task, "
                f"{format_bytes(self.memory.worker_bytes)} in one worker; {source}",
            ]
        said = {text for s in self.steps for text in (*s.notes, *s.warnings, *s.problems)}
        lines += [f"note: {note}" for note in self.notes if note not in said]
        lines += [f"warning: {warning}" for warning in self.warnings if warning not in said]
        problems = [problem for problem in self.problems if problem not in said]
        return [*lines, *(f"cannot run: {problem}" for problem in first(problems))]


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


WHOLE = ("int", "datetime", "timedelta")  # kinds that are whole numbers
BLOCK_BYTES = 64 * 2**20
SMALL_BLOCK_BYTES = 8 * 2**20
BLOCK_ROWS = 250_000
MOST_BLOCKS = 1_000_000
# Of a partition, while all its rows are looked at: the frame, numbers, those that are indexed,
# centred, rotated, in the tree, and what allocators keep.
_COPIES = 8
_CHOICE = ("engine", "why", "search")


def row_count(n: int) -> str:
    """Write a number of rows."""
    return f"{n:,} row{'' if n == 1 else 's'}"


def _of(classes: Sequence[ClassPlan], usable: bool = True) -> str:
    """Name classes and their rows."""
    each = listed(f"{c.label!r} ({row_count(c.usable if usable else c.before)})" for c in classes)
    return f"class{'es' if len(classes) > 1 else ''} {each}"


def _too_small(small: Sequence[ClassPlan], k: int, k_name: str, incomplete: str) -> list[str]:
    """Say in one message which classes have too few rows for k neighbours."""
    found = []
    for of in ([c for c in small if not c.usable], [c for c in small if c.usable]):
        if not of:
            continue
        each = listed(
            f"class {c.label!r} has {row_count(c.usable)}"
            + ("" if c.usable == c.before else f" ({c.before:,} less those with missing values)")
            for c in of
        )
        lacking = incomplete and any(c.usable < c.before for c in of)
        filled = f"fill or name in carry the columns {incomplete}; or " if lacking else ""
        them, plural = ("it", "") if len(of) == 1 else ("them", "es")
        least = min(c.usable for c in of)
        if not least:
            found.append(
                f"{each}, and there is nothing to make rows from; {filled}leave {them} "
                "out of sampling_strategy"
            )
            continue
        lower = f"lower {k_name} to {least - 1}{' or less' if least > 2 else ''}"
        found.append(
            f"{each}, but {k_name}={k} needs at least {k + 1} (k + 1); "
            f"{filled}{lower if least > 1 else f'collect more rows of {them}'}, leave the "
            f"class{plural} out of sampling_strategy, or pass on_small_class='copy' or 'skip'"
        )
    return found


def _resized(c: ClassPlan, k: int, on_small: str) -> ClassPlan:
    """Skip or copy a class that is too small for neighbours, as `on_small` says."""
    if c.usable >= k + 1 or on_small == "error":
        return c
    if on_small == "skip" or not c.usable:
        return replace(c, new=0, k=None, engine=None, why=None, search=None)
    return replace(c, engine=COPY, why=f"because there are fewer than k + 1 = {k + 1} rows")


def _warnings(classes: Sequence[ClassPlan], needs: Needs) -> list[str]:
    """Say which classes are left because they are small, and for which k is small."""
    k = needs.k
    left, copied, found = [], [], []
    for c in classes:
        if not c.new and c.before < k + 1:
            left.append(c)
        if c.engine == COPY:
            copied.append(c)
    large = [*filter(attrgetter("large"), classes)]
    if left:
        found.append(f"fewer than k + 1 = {k + 1} rows, so unchanged: {_of(left, usable=False)}")
    if copied:
        found.append(f"fewer than k + 1 = {k + 1} rows, so copied: {_of(copied)}")
    if large:
        found.append(
            f"{RULE_OF_THUMB}in a class of more than {SMALL_K_ROWS:,} rows for each of the k "
            "neighbours, new rows lie close to originals (Sakho, Malherbe and Scornet 2024): "
            f"{needs.k_name}={k} is small for {_of(large)}; a report measures it"
        )
    return found


CELL_ROWS = 1 << 22  # rows that a cell is to have, at most
LEAST_CELL = 1 << 12  # and at least, whatever the memory
_OF_CELLS = ("build", "generate", "n_blocks")
_UNEVEN = 1.3  # cells are cut from a sample: some get more rows than others


def _cut(
    growing: Sequence[ClassPlan],
    whole: Mapping[int, ClassMemory],
    memory_of: Callable[[ClassPlan, ClassPlan | None], ClassMemory],
    projected: Callable[[Sequence[ClassMemory]], tuple[Any, list[str]]],
    apart: Callable[[Sequence[ClassMemory]], tuple[Any, list[str]]],
    asked: bool,
    everyone: ClassPlan | None,
    values: bool,
    chunk: int,
) -> tuple[list[ClassPlan], Any, list[str], ClassPlan | None]:
    """Cut the largest classes (all, if asked to) into as few cells as memory allows.

    `projected` adds up their memory, `apart` where all of them are cut. `everyone` stands for all
    rows, which are cut too where their nearest are looked for; with `values` new rows are made in
    these cells. Where no neighbours are looked for, classes are cut into chunks of so many rows.
    """
    may = [c for c in growing if c.engine != COPY]
    may.sort(key=lambda c: -c.usable)
    they = "they" if chunk else "its rows"
    why = "as asked for" if asked else f"because {they} do not fit into one worker"
    for n in range(max(1, len(may) if asked else 1), len(may) + 1):
        rows = min(CELL_ROWS, max(1, may[0].usable - 1)) if not chunk else 0
        while True:
            all_rows = everyone and sized(everyone, everyone.usable, rows)
            found = {c.rank: c for c in growing}
            for c in may[:n]:
                if chunk:
                    kept = f"{c.why}; rows stay in scratch files, {why}"
                    found[c.rank] = replace(c, cell_rows=chunk, why=kept)
                    continue
                n_rows = everyone.usable if everyone and values else c.usable
                found[c.rank] = replace(sized(c, n_rows, rows), why=f"in cells, {why}")
            terms = [memory_of(c, all_rows) if c.stored else whole[c.rank] for c in found.values()]
            memory, problems = (apart if n == len(may) else projected)(terms)
            if not problems or (rows <= LEAST_CELL and n == len(may)):
                return [*found.values()], memory, problems, all_rows
            if rows <= LEAST_CELL:
                break
            rows //= 2
    return [*growing], *projected([*whole.values()]), None


def sized(c: ClassPlan, n_rows: int, rows: int) -> ClassPlan:
    """Cut a class into as many cells as so many rows are cut into, of so many each."""
    cells = 1 << (-(-n_rows // rows) - 1).bit_length()
    most = min(c.usable, int(_UNEVEN * n_rows / cells) + LEAST_CELL)
    return replace(c, cells=cells, cell_rows=most)


def make_plan(
    *,
    sampler: str,
    seed: int,
    schema: Schema,
    profile: Profile,
    new: Counts,
    needs: Needs,
    on_small: str = "error",
    engines: Mapping[Any, tuple[Any, ...]],
    partition_bytes: int,
    row_bytes: int,
    limit: Limit | None,
    in_memory: bool = False,
    process: int = 0,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    incomplete: str = "",
    route: str = "auto",
) -> Plan:
    """Decide blocks and memory, and collect warnings and problems.

    `new` are the rows to make of each class; `engines` name, reason and engine of its search;
    `partition_bytes` those of the largest input partition, `row_bytes` of a row of the output,
    `process` of a worker's process without scikit-learn; `incomplete` the columns with missing or
    infinite values, and how many.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote.plan.schema import make_schema
    >>> counts = {0: 90, 1: 10}
    >>> plan = make_plan(
    ...     sampler="SMOTE", seed=0, schema=make_schema(["x"], [np.dtype("f8")]),
    ...     profile=Profile(counts=counts, usable=counts), new={1: 80}, needs=Needs(5),
    ...     engines={1: ("tree", "few directions")}, partition_bytes=800, row_bytes=8, limit=None)
    >>> plan.counts_after, len(plan.blocks)
    ({0: 90, 1: 90}, 1)
    """
    k, n_numeric, n_nominal = needs.k, len(schema.numeric), len(schema.nominal)
    n_exact = 0  # numeric columns that are kept as 64-bit integers, too
    for i in schema.numeric:
        column = schema.columns[i]
        if column.kind in WHOLE and getattr(column.dtype, "itemsize", 8) == 8:
            n_exact += profile.assumed or i in profile.exact_columns
        n_exact += column.kind == "decimal"
    classes, growing, small = [], [], []
    n_new = n_usable = n_asking = 0
    for rank, label in enumerate(sort_labels(profile.counts)):
        before, wanted = profile.counts[label], new.get(label, 0)
        usable = profile.usable.get(label, before)
        c = ClassPlan(label, rank, before, usable, wanted, k if wanted else None)
        if wanted:
            c = replace(c, **dict(zip(_CHOICE, engines.get(label, ()), strict=False)))
            c = _resized(c, k, on_small)
        classes.append(c)
        n_usable += usable
        if c.new:
            growing.append(c)
            n_asking += usable
            if usable < (1 if c.engine == COPY else k + 1):
                small.append(c)
    # No more than a partition of the input takes, within bounds: an input in small partitions, for
    # small workers, gets small blocks too. Nothing else decides: the same input gives the same
    # blocks, and so the same files, on any cluster.
    block_bytes = BLOCK_BYTES
    if not in_memory:
        block_bytes = min(BLOCK_BYTES, max(SMALL_BLOCK_BYTES, partition_bytes))
    most = max(1, min(BLOCK_ROWS, block_bytes // row_bytes))
    only_numbers = not (n_nominal or needs.looks or needs.sample)
    terms = []
    blocks: list[Block] = []
    for c in growing:
        n_blocks = -(-c.new // most)
        if len(blocks) + n_blocks > MOST_BLOCKS:
            raise ValueError(
                f"sampling_strategy asks for {c.new:,} new rows of class {c.label!r}, which are "
                f"{n_blocks:,} partitions of {most:,} rows; the limit is {MOST_BLOCKS:,} per run. "
                "Did you mistype sampling_strategy?"
            )
        for b in range(n_blocks):
            # Even cuts: no block is left with a handful of rows.
            start, stop = c.new * b // n_blocks, c.new * (b + 1) // n_blocks
            blocks.append(Block(c.label, c.rank, start, stop, n_new + start))
        n_new += c.new
        columns, rows = (n_numeric, n_exact, n_nominal), -(-c.new // n_blocks)
        axes = only_numbers and c.engine != COPY and getattr(c.search, "keeps_axes", False)
        terms.append(
            class_memory(c.label, c.usable, *columns, rows, row_bytes, needs, n_blocks, axes)
        )
    held = 2 * (sum(profile.counts.values()) + n_new) * row_bytes if in_memory else 0
    looking = 0
    if needs.looks and growing:
        held += _COPIES * 8 * n_numeric * n_usable if in_memory else 0
        # Small classes query together.
        looking = _COPIES * partition_bytes + looking_bytes(n_asking, needs, n_numeric)
    if process and needs.estimators:
        process += ESTIMATOR_BYTES
    projected = partial(
        project,
        partition_bytes=partition_bytes,
        limit=limit,
        held=held,
        sample=min(needs.sample, n_usable) * 8 * (n_numeric + 3),
        looking=looking,
        levels=needs.levels,
        process=process,
        columns=len(schema.columns),
    )
    memory, too_large = projected(terms)
    all_rows: ClassPlan | None = None
    passes = needs.passes
    if needs.cells and not in_memory and (route == "cells" or (too_large and route == "auto")):
        row = 8 * n_numeric + 8 * n_exact + 4 * n_nominal + 32 + needs.passthrough
        whole = {c.rank: term for c, term in zip(growing, terms, strict=True)}
        chunk = 0 if k else chunk_rows(row)

        def cut(c: ClassPlan, of_all: ClassPlan | None) -> ClassMemory:
            if chunk:
                rows = whole[c.rank].block // row_bytes
                return chunk_memory(whole[c.rank], c.usable, n_numeric, row, rows)
            columns = n_numeric, n_exact, n_nominal
            cell = class_memory(c.label, c.cell_rows, *columns, c.cell_rows, row_bytes, needs)
            sizes = c.usable, c.cell_rows, c.cells
            own = cell_memory(whole[c.rank], *sizes, cell, row, needs, partition_bytes)
            if of_all is None:
                return own
            # Its cells and those of all rows are searched one after the other.
            of, n_rows = replace(needs, k=needs.n_neighbors_all), of_all.cell_rows
            cell = class_memory(c.label, n_rows, n_numeric, 0, 0, n_rows, row_bytes, of)
            named = of_all.usable * needs.grouped  # rows of groups, each of which is named
            every = cell_memory(whole[c.rank], named, n_rows, of_all.cells, cell, row, of)
            most = {name: max(getattr(own, name), getattr(every, name)) for name in _OF_CELLS}
            return replace(own, **most)

        everyone = None
        if needs.n_neighbors_all:
            everyone = ClassPlan("all rows", len(classes), sum(profile.counts.values()), n_usable)
        asked, values = route == "cells", needs.values > 0
        # Lists of neighbours are then not made of every partition.
        apart = partial(projected, looking=_COPIES * partition_bytes * needs.looks)
        growing, memory, too_large, all_rows = _cut(
            growing, whole, cut, projected, apart, asked, everyone, values, chunk
        )
        by_rank = {c.rank: c for c in growing}
        classes = [by_rank.get(c.rank, c) for c in classes]
        if all_rows is not None and all(c.cells or c.engine == COPY for c in growing):
            passes = tuple(each for each in passes if each != ALL_ROWS)
        for c in growing if chunk else ():
            size = c.usable * (row + 8 * n_numeric) + 16 * min(c.new, c.usable)
            text = f"class {c.label!r}: scratch files of about {format_bytes(size)}"
            notes = [*notes, text] if c.stored else notes
    asking = [c for c in growing if not c.cells and c.engine != COPY]
    if needs.n_neighbors_all and asking and not in_memory:
        notes = [*notes, f"{_of(asking)}: the rows travel to every partition (gather)"]
    too_small = _too_small(small, k, needs.k_name, incomplete) if small else []
    if growing and 0 < n_usable <= needs.n_neighbors_all:
        too_small.append(
            f"the table has {n_usable:,} rows, but the {needs.n_neighbors_all} nearest of all rows "
            f"are looked for, which needs at least {needs.n_neighbors_all + 1}; lower the number "
            "of neighbours"
        )
    return Plan(
        sampler=sampler,
        seed=seed,
        classes=tuple(classes),
        blocks=tuple(blocks),
        memory=memory,
        notes=tuple(notes),
        warnings=(*warnings, *_warnings(classes, needs)),
        too_small=tuple(too_small),
        too_large=tuple(too_large),
        passes=passes,
        all_rows=all_rows,
    )


def make_under_plan(
    sampler: str,
    seed: int,
    counts: Counts,
    keep: Counts,
    direction: str = UNDER,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Plan:
    """Put together what was decided for a sampler that makes no rows.

    `keep` are the rows of the targeted classes that stay; of cleaning methods, at most.
    """
    classes = []
    for rank, label in enumerate(sort_labels(counts)):
        n, targeted = counts[label], label in keep
        dropped = n - keep[label] if targeted else 0
        classes.append(ClassPlan(label, rank, n, n, dropped=dropped, targeted=targeted))
    return Plan(
        sampler,
        seed,
        tuple(classes),
        notes=tuple(notes),
        warnings=tuple(warnings),
        direction=direction,
        at_most=direction == CLEAN,
    )


def make_chain_plan(
    sampler: str,
    seed: int,
    steps: Sequence[Plan],
    limit: Limit | None,
    warnings: Sequence[str] = (),
) -> Plan:
    """Put the plans of steps together, each of which begins with the rows that the last one left.

    Steps of a lazy chain run at the same time: what others hold counts in the memory of each.
    """
    classes = []
    for c in steps[0].classes:
        own = [of for step in steps for of in step.classes if of.label == c.label]
        new, dropped = (sum(map(attrgetter(name), own)) for name in ("new", "dropped"))
        classes.append(ClassPlan(c.label, c.rank, c.before, c.usable, new, dropped=dropped))
    blocks: list[Block] = []
    for step in steps:
        made = blocks[-1].offset + blocks[-1].rows if blocks else 0
        blocks += [replace(block, offset=block.offset + made) for block in step.blocks]
    memory, too_large = None, [text for step in steps for text in step.too_large]
    known = [step.memory for step in steps if step.memory is not None]
    if known:
        holds = [max(of.gather_bytes, of.index_bytes) for of in known]
        needed = max(of.worker_bytes - own for of, own in zip(known, holds, strict=True))
        needed += sum(holds)
        largest = max(known, key=attrgetter("task_bytes"))
        memory = replace(largest, worker_bytes=needed)
        if limit is not None and needed > limit.allowed and not too_large:
            remedy = "give each worker more memory or fewer threads, or run one step after another"
            too_large = [refusal(f"the chain of {len(steps)} steps", needed, limit, remedy)]
    return Plan(
        sampler,
        seed,
        tuple(classes),
        tuple(blocks),
        memory,
        notes=tuple(note for step in steps for note in step.notes),
        warnings=(*(text for step in steps for text in step.warnings), *warnings),
        too_small=tuple(text for step in steps for text in step.too_small),
        too_large=tuple(too_large),
        passes=tuple(f"{step.sampler}: {what}" for step in steps for what in step.passes),
        direction=COMBINED,
        at_most=any(step.at_most for step in steps),
        steps=tuple(steps),
    )
