"""Bytes that one task and one worker will need, known before anything runs.

The projection adds up what must be resident at once; it is meant to be an upper bound that is
not far off, not an average::

    worker = process + indexes held + threads x largest task + partitions that wait + levels
    task   = one of:
      partition   an input partition, as it is read and as a frame, and some rows as float64
      gather      the class rows as they arrive, and once more joined together
      build       the class rows, the matrix that is searched and the tree over it
      look        a partition as numbers, its index, and lists of neighbours
      generate    one block of new rows with its neighbours, and the workspace of the search

Partitions that wait have been read or made, and are to be passed on: Dask holds about one for each
thread, and one more. The partitions of a job are read by dsmote, with one thread and a bounded
buffer; whatever else a Dask collection comes from (Dask's own reader uses all of Arrow's threads,
whose allocator keeps what it had) takes six more for each thread. Levels are those of categorical
features, counted by class, where rows are compared by such counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

# After a job of a few rows: interpreter, pandas, Arrow and Dask; what scikit-learn adds to that;
# and all of it in workers that a user's program started, which import what the program does.
PROCESS_BYTES = 215 * 2**20
ESTIMATOR_BYTES = 50 * 2**20
OTHER_BYTES = 300 * 2**20
#: What a job imports in a worker that has done nothing yet.
IMPORTS_BYTES = 50 * 2**20
OTHER_COPIES = 6
WORKSPACE_BYTES = 96 * 2**20  # bound kept by the blocked search (see dsmote.neighbors)
NUMBERS_BYTES = 52 * 2**20  # the same of numbers only, without copies of the queries
STEP_ROWS = 1 << 14  # new rows made at once (see dsmote.execute.generate)
SEARCH_CELLS = 1 << 21  # values that a tree's search gathers at once (see dsmote.neighbors.exact)
# Of each column of a partition, whatever its rows: readers and writers of its chunks in Parquet,
# blocks of pandas, buffers of Arrow.
COLUMN_BYTES = 44 * 2**10
PROFILE_CELLS = 1 << 20  # values of a partition that are profiled at once
PROFILE_BYTES = 24 * PROFILE_CELLS  # as they are, as float64, and those of a class
HANDED_OVER = 512  # candidates from which on a tree's query is answered by brute force
QUERY_ROWS = 1 << 10  # rows that brute force compares with all others at a time
QUERIES = 1 << 15  # query rows for the nearest of all rows at a time
BALLS = 1 << 12  # of queries whose balls are compared with all cells at a time
CELL_SAMPLE = 1 << 15  # rows from which cells are cut
CELL_NEW_ROWS = 1 << 16  # new rows of a cell that are held until they are sent
CLASS_ROWS = 1 << 14  # rows of a class that are looked at at once, where all are, in their order,
CLASS_VALUES = 1 << 20  # of so many values at most
KEPT_PAIRS = 1 << 21  # of rows of a cluster, whose distances are looked at at once
CHUNK_BYTES = 8 * 2**20  # of the rows of a class that are written and read together
_ALLOCATING = "what one task knows of each row of the class"
USABLE_SHARE = 0.8  # a worker pauses at 80 % of its limit


class MemoryLimitError(MemoryError):
    """The job would not fit into the memory there is; nothing was run."""


@dataclass(frozen=True)
class Limit:
    """Memory that the job may use: of one worker process, and how many threads share it."""

    bytes: int
    threads: int
    source: str

    @property
    def allowed(self) -> int:
        """Bytes of the limit that may be planned for."""
        return int(self.bytes * USABLE_SHARE)


@dataclass(frozen=True)
class Needs:
    """What a sampler needs, as far as the plan is concerned."""

    k: int  # neighbours of each base row in its class; 0 where none are looked for
    k_name: str = "k_neighbors"  # the parameter that says so
    n_neighbors_all: int = 0  # nearest of all rows, for each row of a class that grows
    values: int = 0  # those of them whose values are kept
    sample: int = 0  # rows that a model is fitted to
    looks: bool = False  # all rows are looked at, once those of the class are known
    copied: int = 0  # copies of the numeric columns that the search needs: scaled, projected
    passes: tuple[str, ...] = ()  # how often the data are read, and what for
    passthrough: int = 0  # bytes of a row in passthrough columns that are held, to be copied
    levels: int = 0  # bytes of the counts of the levels of categorical features by class
    estimators: bool = False  # workers import scikit-learn
    grouped: bool = False  # neighbours are of the own group
    cells: bool = False  # no worker need hold the rows of a class: see Recipe.in_cells
    in_order: bool = False  # one task looks at all rows of a class, wherever they are
    temporaries: int = 3  # arrays as large as a step of new rows that making these takes
    kept: int = 0  # rows of the class that it keeps, and compares with each other
    told: int = 0  # neighbours of each row that a cleaning method is told of at once
    few: int = 0  # rows of a cleaning method that may travel to all partitions
    rounds: int = 0  # readings in which they do; 0 where they cannot
    all_ask: bool = False  # they are not those that ask, but those that may be found
    held: int = 0  # bytes of each row that the rule then holds


@dataclass(frozen=True)
class ClassMemory:
    """Bytes that growing one class needs."""

    label: Any
    gather: int
    build: int
    index: int
    generate: int
    block: int
    n_blocks: int
    term: str = "gathering and indexing the class rows"  # what is built
    made: str = "block(s) of new rows at a time"  # by those that run at once


@dataclass(frozen=True)
class MemoryProjection:
    """Projected bytes; `allowed_bytes` of the limit, `input_bytes` of the largest partition."""

    partition_bytes: int
    gather_bytes: int
    index_bytes: int
    generate_bytes: int
    task_bytes: int
    worker_bytes: int
    allowed_bytes: int | None
    limit_source: str
    input_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the projection as a JSON-able mapping."""
        return asdict(self)


def format_bytes(n: float) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> format_bytes(3 * 2**20)
    '3.0 MiB'
    """
    size = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_both(needed: int, allowed: int) -> tuple[str, str]:
    """Write two numbers of bytes, one above the other, with as many digits as tell them apart.

    Examples
    --------
    >>> format_both(2**30 + 2**20, 2**30), format_both(2**30 + 1, 2**30)
    (('1.001 GiB', '1.000 GiB'), ('1,073,741,825 bytes', '1,073,741,824 bytes'))
    """
    place = max(0, (max(needed, allowed).bit_length() - 1) // 10)
    if place:
        unit = ("KiB", "MiB", "GiB", "TiB")[min(place, 4) - 1]
        size = 2.0 ** (10 * min(place, 4))
        for digits in (1, 2, 3):
            texts = tuple(f"{n / size:.{digits}f} {unit}" for n in (needed, allowed))
            if texts[0] != texts[1]:
                return texts[0], texts[1]
    return f"{needed:,} bytes", f"{allowed:,} bytes"


def refusal(what: str, needed: int, limit: Limit, remedy: str) -> str:
    """Say that something does not fit, with both numbers."""
    both = format_both(needed, limit.allowed)
    return (
        f"{what} does not fit into {limit.source}: {both[0]} ({needed:,} bytes) needed by one "
        f"worker, {both[1]} ({limit.allowed:,} bytes) allowed ({USABLE_SHARE:.0%} of "
        f"{format_bytes(limit.bytes)}); {remedy}"
    )


def reading_bytes(partition: int, threads: int, columns: int = 0) -> int:
    """Return what workers hold while partitions (bytes of the largest) are read and counted."""
    task = _task_bytes(partition) + columns * COLUMN_BYTES
    return threads * task + (threads + 1) * partition


def _task_bytes(partition: int) -> int:
    """Return what reading takes, or passing on: a partition as it is read and as a frame."""
    return 2 * partition + PROFILE_BYTES


def class_memory(
    label: Any,
    n_rows: int,
    n_numeric: int,
    n_exact: int,
    n_categorical: int,
    block_rows: int,
    row_bytes: int,
    needs: Needs,
    n_blocks: int = 1,
    axes: bool = False,
) -> ClassMemory:
    """Project the bytes for one class.

    `n_exact` numeric columns are kept as 64-bit integers too; `block_rows` are those of the largest
    of `n_blocks` blocks of new rows, `row_bytes` those of a row of the output; `axes` tells that
    the search keeps principal axes.
    """
    n_neighbors_all, copied = needs.n_neighbors_all, needs.copied
    rows = n_rows * (8 * n_numeric + 8 * n_exact + 4 * n_categorical + 8 + needs.passthrough)
    # The searched matrix is a second copy (rotated); tree nodes, row ids and allocation take
    # about 64 bytes a row more. With categories it has up to 24 corners and two a
    # column more, and brute force keeps numbers (twice) and codes of its own.
    searched = 8 * n_numeric
    if n_categorical:
        searched += 8 * (24 + 2 * n_categorical) + 16 * n_numeric + 12 * n_categorical + 8
    searched += 8 * n_numeric * copied
    index = rows + n_rows * (searched + 64)
    nearest = n_rows * (20 * n_neighbors_all + 8 * needs.values * n_numeric)
    index += nearest
    # Principal axes: held with the index, and found by the smaller side of the rows.
    index += 8 * n_numeric * min(n_rows, n_numeric) * bool(axes or copied or n_neighbors_all)
    found = 5 * 8 * min(n_rows, n_numeric) ** 2
    # Until lists are merged they have the squares of their distances too.
    build = index + found + 2 * n_rows * searched + 2 * (nearest + 8 * n_rows * n_neighbors_all)
    # The search looks at pairs of rows. Brute force compares queries with a tile of rows, and keeps
    # the pairs that may count.
    queries = min(n_rows, block_rows, QUERY_ROWS)
    bound = WORKSPACE_BYTES if n_categorical else NUMBERS_BYTES
    workspace = min(bound, 64 * n_rows * min(n_rows, block_rows) + 2**22)
    workspace += 28 * queries * n_numeric
    if n_categorical:
        # Queries written as corners, in both precisions; codes of pairs, a slice at a time.
        written = 48 * queries * (n_numeric + 24 + 2 * n_categorical)
        codes = 9 * min(queries * n_rows * n_categorical, SEARCH_CELLS)
        workspace = max(workspace, workspace // 2 + written + codes)
    else:
        # What few queries need of a tree's is laid out for brute force, as float32.
        workspace += (4 * n_numeric + 20) * n_rows * (n_rows > HANDED_OVER)
        # Base rows in the tree's axes and as given; about ten values for each pair of rows.
        stepped = min(n_rows, block_rows, STEP_ROWS)
        pairs = min(stepped * n_rows, SEARCH_CELLS // max(4, 1 if copied else n_numeric))
        workspace = max(workspace, 24 * stepped * n_numeric + 80 * pairs + 2**22)
    # New rows are made a step at a time: base rows, neighbours, and the way between them.
    step = 8 * needs.temporaries * min(block_rows, STEP_ROWS) * n_numeric
    workspace = max(workspace * bool(needs.k), step)
    # The numbers of the block, found with a workspace, become a frame, and that a table.
    generate = block_rows * (8 * n_numeric + 8 * n_categorical + 16 * needs.k + 40)
    generate += max(workspace, 2 * block_rows * row_bytes)
    return ClassMemory(label, 2 * rows, build, index, generate, block_rows * row_bytes, n_blocks)


def cell_memory(
    whole: ClassMemory,
    n_rows: int,
    cell_rows: int,
    n_cells: int,
    cell: ClassMemory,
    row: int,
    needs: Needs,
    partition: int = 0,
) -> ClassMemory:
    """Project the bytes for a class whose rows are cut into cells.

    `whole` is what it would need with all rows in a worker, `cell` what a class of so many rows as
    a cell would; `row` are the bytes of a row of the class as it travels, `partition` those of the
    largest partition.
    """
    # Of each query its neighbours at home; rows that come from another cell, those that answer
    # them, and neighbours in other cells are no more than the cell's own; new rows; and surplus
    # rows, as they come, as arrays and in order.
    lists = 40 * needs.k * cell_rows
    task = (
        max(cell.build, cell.index + cell.generate)
        + lists
        + 4 * cell_rows * row
        + 3 * CELL_NEW_ROWS * (row + needs.passthrough + 40)
        + CELL_NEW_ROWS * (4 * row + 40 * needs.k)
    )
    task += 8 * BALLS * n_cells
    # Copies of each row; what is near it among all rows, as it comes and in order; and each may be
    # of a group that no other of its partition is of.
    each = 48 + (64 if needs.n_neighbors_all else 0) + 64 * needs.grouped
    allocation = each * n_rows + 3 * CELL_SAMPLE * row
    columns = row // 8
    if needs.in_order:
        # The class rows of a partition as they are read, scaled and beside those before; a block of
        # them, and sums of products of their columns.
        read = 3 * min(n_rows * row, partition) + 40 * class_rows(columns) * columns
        allocation += read + 40 * min(n_rows, columns) ** 2
    if needs.kept:
        # The cluster of each row and what is drawn in it; pairs of some of the rows.
        some = min(n_rows, needs.kept)
        allocation += 48 * n_rows + 24 * columns * some + 32 * min(some**2, KEPT_PAIRS)
    collect = 5 * whole.block  # as it comes, as arrays, in order, as a frame, and as it is written
    return ClassMemory(
        whole.label,
        gather=0,
        build=max(task, allocation),
        index=16 * n_rows * needs.grouped,  # k + 1 rows a group, and its value
        generate=max(task, collect),
        block=whole.block,
        n_blocks=max(whole.n_blocks, n_cells),
        term="the search of a cell" if task >= allocation else _ALLOCATING,
        made="cell(s) at a time" if task >= collect else whole.made,
    )


def chunk_memory(
    whole: ClassMemory, n_rows: int, n_numeric: int, row: int, block_rows: int
) -> ClassMemory:
    """Project the bytes for a class whose rows are read from scratch files, chunk by chunk.

    `whole` is what it would need with all rows in a worker, `row` are the bytes of one of them.
    """
    # The allocation is summed up; before, a column at a time is read beside weights and groups, and
    # its mean or spread taken.
    layout = n_rows * (80 if n_numeric else 32)
    # Rows as they are read and put together, beside a chunk as it is in a file, and as rows.
    read = (2 * block_rows + 3 * chunk_rows(row)) * row
    generate = whole.generate + read
    return replace(whole, gather=0, build=layout, index=0, generate=generate, term=_ALLOCATING)


def class_rows(columns: int) -> int:
    """Return how many rows of a class are looked at at once, where all are, in their order."""
    return max(1, min(CLASS_ROWS, CLASS_VALUES // max(1, columns)))


def chunk_rows(row: int) -> int:
    """Return how many rows of so many bytes are written, and read, at a time."""
    return max(1, min(STEP_ROWS, CHUNK_BYTES // row))


def looking_bytes(n_rows: int, needs: Needs, n_numeric: int) -> int:
    """Project the bytes of the lists of neighbours that a task makes, or joins eight of."""
    each = 28 * needs.n_neighbors_all + 8 * needs.values * n_numeric + 8 * n_numeric
    return 10 * min(n_rows, QUERIES) * each


def project(
    classes: Sequence[ClassMemory],
    partition_bytes: int,
    limit: Limit | None,
    held: int = 0,
    sample: int = 0,
    looking: int = 0,
    levels: int = 0,
    process: int = 0,
    columns: int = 0,
    what: str = "",
) -> tuple[MemoryProjection, list[str]]:
    """Add the classes up and compare with the limit; also return messages for what cannot fit.

    `partition_bytes` are those of the largest input partition, `held` of a table that is in memory
    as a whole, with its output, `sample` of the rows that a model is fitted to, `looking` of a task
    that looks at all rows of a partition, `levels` of the counts of levels by class. `process` are
    those of a worker's process, where dsmote itself reads the partitions; 0 where they are not
    known. `what` says what does not fit, if it is not the largest class to grow.

    Examples
    --------
    >>> need = class_memory(1, 10**6, 20, 0, 0, 250_000, 160, Needs(5))
    >>> _, problems = project([need], 160 * 10**5, Limit(2**28, 1, "a worker's memory limit"))
    >>> problems[0].split(":")[0]
    "class 1 (the largest of 1 to grow) does not fit into a worker's memory limit"
    """
    partition = max(_task_bytes(partition_bytes) if partition_bytes else 0, looking)
    threads = limit.threads if limit else 1
    gather, index, build, generate, blocks, block = 2 * sample, 0, 0, 0, 0, partition_bytes
    for c in classes:
        gather += c.gather
        index += c.index
        build = max(build, c.build)
        generate = max(generate, c.generate)
        blocks += c.n_blocks
        block = max(block, c.block)
    # Gathering and building happen once, on one thread, while the others may hold partitions.
    # Jobs write a partition in the task that reads or makes it; elsewhere one waits.
    waiting = (threads if process else threads + 1) * block
    if not process:
        waiting += OTHER_COPIES * threads * partition_bytes
    # Of what has been looked at, allocators keep about half while the next is.
    waiting += threads * looking // 2
    building = gather // 2 + max(gather // 2, build) + (threads - 1) * partition
    busy = min(threads, blocks)
    generating = index + busy * max(generate, partition) + (threads - busy) * partition
    worker = (process or OTHER_BYTES) + max(building, generating, threads * partition) + waiting
    worker += held + levels + threads * columns * COLUMN_BYTES
    allowed = limit.allowed if limit else None
    projection = MemoryProjection(
        partition_bytes=partition,
        gather_bytes=gather,
        index_bytes=index,
        generate_bytes=generate,
        task_bytes=max(partition, gather, build, generate),
        worker_bytes=worker,
        allowed_bytes=allowed,
        limit_source=limit.source if limit else "no limit known",
        input_bytes=partition_bytes,
    )
    if limit is None or allowed is None or worker <= allowed or not classes:
        return projection, []
    more = (
        "give each worker more memory or fewer threads, carry columns that are not features, or "
        "leave the class out of sampling_strategy"
    )
    smaller = "split the input into smaller partitions, or give the worker fewer threads"
    lazy = "pass the table as a Dask DataFrame, which need not be in memory as a whole"
    ids = "carry columns of very many levels, such as an id, or give each worker more memory"
    terms = [
        (index, "the neighbour index and its rows", more),
        (building, max(classes, key=lambda c: c.build).term, more),
        (busy * generate, f"{busy} {max(classes, key=lambda c: c.generate).made}", more),
        (threads * partition, f"{threads} input partition(s) at a time", smaller),
        (waiting, "partitions that wait to be passed on", smaller),
        (held, "the table and its output, in memory as a whole", lazy),
        (levels, "the levels of categorical features, counted by class", ids),
    ]
    size, term, remedy = max(terms, key=lambda each: each[0])
    label = max(classes, key=lambda c: c.build + c.gather).label
    what = what or f"class {label!r} (the largest of {len(classes)} to grow)"
    reason = f"the largest term is {term} ({format_bytes(size)}); {remedy}"
    return projection, [refusal(what, worker, limit, reason)]
