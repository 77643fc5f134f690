"""From the profile to the plan: blocks, memory, warnings and problems."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsmote.plan.labels import listed, sort_labels
from dsmote.plan.memory import ESTIMATOR_BYTES, Limit, class_memory, looking_bytes, project
from dsmote.plan.plan import COPY, RULE_OF_THUMB, SMALL_K_ROWS, Block, ClassPlan, Plan
from dsmote.plan.schema import Schema
from dsmote.plan.strategy import UNDER

__all__ = ["BLOCK_BYTES", "BLOCK_ROWS", "Needs", "make_plan", "make_under_plan"]

WHOLE = ("int", "datetime", "timedelta")  # kinds that are whole numbers
BLOCK_BYTES = 64 * 2**20
SMALL_BLOCK_BYTES = 8 * 2**20
BLOCK_ROWS = 250_000
MOST_BLOCKS = 1_000_000
# Of a partition, while all its rows are looked at: the frame, numbers, those that are indexed,
# centred, rotated, in the tree, and what allocators keep.
_COPIES = 8
_CHOICE = ("engine", "why", "search")


@dataclass(frozen=True)
class Needs:
    """What a sampler needs, as far as the plan is concerned."""

    k: int  # neighbours of each base row in its class; 0 where none are looked for
    k_name: str = "k_neighbors"  # the parameter that says so
    around: int = 0  # nearest of all rows that are looked for, for each row of a class that grows
    values: int = 0  # those of them whose values are kept
    sample: int = 0  # rows that a model is fitted to
    looks: bool = False  # all rows are looked at, once those of the class are known
    copied: int = 0  # copies of the numeric columns that the search needs: scaled, projected
    passes: tuple[str, ...] = ()  # how often the data are read, and what for
    aside: int = 0  # bytes of a row in passthrough columns that are held, to be copied
    levels: int = 0  # bytes of the counts of the levels of categorical features by class
    estimators: bool = False  # workers import scikit-learn


def _blocks(classes: Sequence[ClassPlan], row_bytes: int, block_bytes: int) -> tuple[Block, ...]:
    most = max(1, min(BLOCK_ROWS, block_bytes // row_bytes))
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


def _only_a_tree(c: ClassPlan, needs: Needs, n_nominal: int) -> bool:
    """Tell whether making rows of a class asks nothing but a kd-tree over numbers."""
    more = n_nominal or needs.looks or needs.sample
    return not more and c.engine is not None and c.engine.partition(" ")[0] == "tree"


def _rows(n: int) -> str:
    return f"{n:,} row{'' if n == 1 else 's'}"


def _of(classes: Sequence[ClassPlan], usable: bool = True) -> str:
    """Name classes and their rows.

    Examples
    --------
    >>> _of([ClassPlan("a", 0, 3, 3), ClassPlan("b", 1, 1, 1)])
    "classes 'a' (3 rows), 'b' (1 row)"
    """
    each = listed(f"{c.label!r} ({_rows(c.usable if usable else c.before)})" for c in classes)
    return f"class{'es' if len(classes) > 1 else ''} {each}"


def _too_small(small: Sequence[ClassPlan], k: int, k_name: str, incomplete: str) -> list[str]:
    """Say in one message which classes have too few rows for k neighbours."""

    def each(classes: Sequence[ClassPlan]) -> str:
        return listed(
            f"class {c.label!r} has {_rows(c.usable)}"
            + ("" if c.usable == c.before else f" ({c.before:,} less those with missing values)")
            for c in classes
        )

    def filled(classes: Sequence[ClassPlan]) -> str:
        lacking = incomplete and any(c.usable < c.before for c in classes)
        return f"fill or name in carry the columns {incomplete}; or " if lacking else ""

    found = []
    empty, few = [c for c in small if not c.usable], [c for c in small if c.usable]
    if empty:
        them = "it" if len(empty) == 1 else "them"
        found.append(
            f"{each(empty)}, and there is nothing to make rows from; {filled(empty)}leave {them} "
            "out of sampling_strategy"
        )
    if few:
        least = min(c.usable for c in few)
        lower = f"lower {k_name} to {least - 1}{' or less' if least > 2 else ''}"
        more = f"collect more rows of {'it' if len(few) == 1 else 'them'}"
        found.append(
            f"{each(few)}, but {k_name}={k} needs at least {k + 1} (k + 1); "
            f"{filled(few)}{lower if least > 1 else more}, leave the "
            f"class{'es' if len(few) > 1 else ''} out of sampling_strategy, or pass "
            "on_small_class='copy' or 'skip'"
        )
    return found


def _too_few(classes: Sequence[ClassPlan], needs: Needs) -> list[str]:
    """Say whether the whole table is too small for the neighbours among all rows."""
    total = sum([c.usable for c in classes])
    if not total or needs.around < total:
        return []
    return [
        f"the table has {total:,} rows, but the {needs.around} nearest of all rows are looked for, "
        f"which needs at least {needs.around + 1}; lower the number of neighbours"
    ]


def _resized(c: ClassPlan, k: int, on_small: str) -> ClassPlan:
    """Leave a class that is too small for neighbours, or have it copied, where that was asked."""
    if c.usable >= k + 1 or on_small == "error":
        return c
    if on_small == "skip" or not c.usable:
        return replace(c, new=0, k=None, engine=None, why=None, search=None)
    return replace(c, engine=COPY, why=f"because there are fewer than k + 1 = {k + 1} rows")


def _warnings(classes: Sequence[ClassPlan], k: int) -> list[str]:
    """Say which classes are left because they are small, and for which k is small."""
    left, copied, large = [], [], []
    for c in classes:
        if not c.new:
            left += [c] if c.before < k + 1 else []
        elif c.engine == COPY:
            copied.append(c)
        elif c.usable > SMALL_K_ROWS * k > 0:
            large.append(c)
    found = []
    if left:
        found.append(f"fewer than k + 1 = {k + 1} rows, so unchanged: {_of(left, usable=False)}")
    if copied:
        found.append(f"fewer than k + 1 = {k + 1} rows, so copied: {_of(copied)}")
    if large:
        found.append(
            f"{RULE_OF_THUMB}in a class of more than {SMALL_K_ROWS:,} rows for each of the k "
            "neighbours, new rows lie close to originals (Sakho, Malherbe and Scornet 2024): "
            f"k_neighbors={k} is small for {_of(large)}; a report measures it"
        )
    return found


def make_plan(
    *,
    sampler: str,
    seed: int,
    schema: Schema,
    counts: Mapping[Any, int],
    usable: Mapping[Any, int],
    new: Mapping[Any, int],
    needs: Needs,
    on_small: str = "error",
    engines: Mapping[Any, tuple[Any, ...]],
    partition_bytes: int,
    row_bytes: int,
    limit: Limit | None,
    in_memory: bool = False,
    process: int = 0,
    beyond: Collection[int] | None = None,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
    incomplete: str = "",
) -> Plan:
    """Decide blocks and memory, and collect warnings and problems.

    `counts` and `usable` are the rows of each class, and those without missing values; `new` the
    rows to make; `engines` name, reason and engine of each class's search; `partition_bytes` those
    of the largest input partition, `row_bytes` of a row of the output, `process` of a worker's
    process without scikit-learn; `beyond` the columns of integers or moments that are held twice,
    as float64 does not hold all of their values (None: it is not known which); `incomplete` the
    columns with missing or infinite values, and how many.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote.plan.schema import make_schema
    >>> plan = make_plan(
    ...     sampler="SMOTE", seed=0, schema=make_schema(["x"], [np.dtype("f8")]),
    ...     counts={0: 90, 1: 10}, usable={0: 90, 1: 10}, new={1: 80}, needs=Needs(5),
    ...     engines={1: ("tree", "few directions")}, partition_bytes=800, row_bytes=8, limit=None)
    >>> plan.counts_after, len(plan.blocks)
    ({0: 90, 1: 90}, 1)
    """
    k = needs.k
    found = []
    for rank, label in enumerate(sort_labels(counts)):
        wanted, here = new.get(label, 0), usable.get(label, counts[label])
        c = ClassPlan(label, rank, counts[label], here, wanted, k if wanted else None)
        if wanted:
            c = replace(c, **dict(zip(_CHOICE, engines.get(label, ()), strict=False)))
            c = _resized(c, k, on_small)
        found.append(c)
    classes = tuple(found)
    growing = [c for c in classes if c.new]
    n_new, n_usable = sum([c.new for c in growing]), sum(usable.values())
    # No more than a partition of the input takes, within bounds: who cuts the input small, so that
    # it fits small workers, gets small blocks too. Nothing else decides: the same input gives the
    # same blocks, and so the same files, on any cluster.
    block_bytes = BLOCK_BYTES
    if not in_memory:
        block_bytes = min(BLOCK_BYTES, max(SMALL_BLOCK_BYTES, partition_bytes))
    blocks = _blocks(growing, row_bytes, block_bytes)
    wide = [
        i
        for i in schema.numeric
        if schema.columns[i].kind == "decimal"
        or (
            schema.columns[i].kind in WHOLE
            and (beyond is None or i in beyond)
            and getattr(schema.columns[i].dtype, "itemsize", 8) == 8
        )
    ]
    sizes: dict[int, list[int]] = {c.rank: [] for c in growing}
    for b in blocks:
        sizes[b.class_rank].append(b.rows)
    shape = (len(schema.numeric), len(wide), len(schema.nominal))
    terms = [
        class_memory(
            c.label,
            c.usable,
            *shape,
            max(sizes[c.rank]),
            row_bytes,
            k,
            len(sizes[c.rank]),
            needs.copied,
            needs.around,
            needs.values,
            _only_a_tree(c, needs, shape[2]),
            needs.aside,
        )
        for c in growing
    ]
    learnt = min(needs.sample, n_usable) * 8 * (len(schema.numeric) + 3)
    held = 2 * (sum(counts.values()) + n_new) * row_bytes if in_memory else 0
    looking = 0
    if needs.looks and growing:
        numbers = 8 * shape[0] * n_usable
        held += _COPIES * numbers if in_memory else 0
        asking = sum(c.usable for c in growing)  # small classes ask together
        looking = _COPIES * partition_bytes + looking_bytes(
            asking, needs.around, needs.values, shape[0]
        )
    if process and needs.estimators:
        process += ESTIMATOR_BYTES
    memory, too_large = project(
        terms,
        partition_bytes,
        limit,
        held,
        learnt,
        looking,
        needs.levels,
        process,
        len(schema.columns),
    )
    small = [c for c in growing if c.usable < (1 if c.engine == COPY else k + 1)]
    too_small = _too_small(small, k, needs.k_name, incomplete) if small else []
    if needs.around and growing:
        too_small += _too_few(classes, needs)
    warnings = [*warnings, *_warnings(classes, k)]
    return Plan(
        sampler=sampler,
        seed=seed,
        classes=classes,
        blocks=blocks,
        memory=memory,
        notes=tuple(notes),
        warnings=tuple(warnings),
        too_small=tuple(too_small),
        too_large=tuple(too_large),
        passes=needs.passes,
    )


def make_under_plan(
    *,
    sampler: str,
    seed: int,
    counts: Mapping[Any, int],
    keep: Mapping[Any, int],
    direction: str = UNDER,
) -> Plan:
    """Put together what was decided for a sampler that makes no rows.

    `keep` are the rows of the targeted classes that stay; of cleaning methods, at most.

    Examples
    --------
    >>> plan = make_under_plan(sampler="S", seed=0, counts={1: 10, 0: 90}, keep={0: 10})
    >>> plan.counts_after, plan.n_dropped
    ({0: 10, 1: 10}, 80)
    """
    classes = [
        ClassPlan(
            label,
            rank,
            counts[label],
            counts[label],
            dropped=counts[label] - keep.get(label, counts[label]),
            targeted=label in keep,
        )
        for rank, label in enumerate(sort_labels(counts))
    ]
    return Plan(sampler, seed, tuple(classes), direction=direction)
