"""What it takes to search a class in cells: pairs of rows, seconds of a core, bytes of files.

The seconds are a sum over what is done how often, each with what it took when it was measured: one
core of a server, one thread of BLAS, files in the cache of a local disk, classes of 30,000 to
200,000 rows of 3 to 20 columns in 4 to 256 cells (see tests/benchmarks/cells.py). They were within
a factor of two there; other machines and slow file systems have factors of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1, gamma, pi

from dsmote.plan.memory import CELL_NEW_ROWS, Needs
from dsmote.plan.plan import ClassPlan

ROW = 5e-6  # a row of the class: stored, sent to its cell, read there three times, indexed
QUERY = 2e-6  # a base row, in a tree, and each row that it looks at there
SEEN = 4.5e-9
LEAF = 32  # rows of a leaf of the tree
FORWARD = 18e-6  # a query in another cell, and what it finds: written, read twice, merged
BRUTE_QUERY = 15e-6  # a query that is compared with all rows of a cell, and each of these
PAIR = 1.3e-9
NEW_ROW = 5e-6  # made, sent to its block, and put in order there
SLICE = 0.5e-3  # a slice of a file, opened and read
QUERIES = 4 * SLICE  # of one cell to another: written, read, and their number twice
ANSWERS = 3 * SLICE  # to these, or to a part of them: written, read twice


@dataclass(frozen=True)
class CellWork:
    """What is done for one class, about."""

    asking: float  # base rows
    pairs: float  # of a query and a row of a cell, if all are compared
    bytes: float  # of all scratch files
    seconds: float  # of one core


def rows_seen(dimension: float, k: int) -> float:
    """Return the rows of the leaves of a tree that a query's ball meets.

    A leaf is a cube, a ball has k rows, and these lie evenly in as many dimensions.

    Examples
    --------
    >>> [round(rows_seen(dimension, 5)) for dimension in (1, 3, 6)]
    [37, 149, 2875]
    """
    ball = pi ** (dimension / 2) / gamma(dimension / 2 + 1)  # of radius 1
    return float(LEAF * (1 + 2 * (k / (LEAF * ball)) ** (1 / dimension)) ** dimension)


def cell_work(
    c: ClassPlan,
    forwards: float,
    dimension: float,
    row: int,
    partitions: int = 1,
    asking: float | None = None,
) -> CellWork:
    """Tell what a class takes whose base rows, or so many `asking`, go on to other cells.

    `dimension` is that in which rows spread near each other, `row` are the bytes of a row.

    Examples
    --------
    >>> c = ClassPlan(1, 1, before=4_000, usable=4_000, new=8_000, k=5, engine="tree", cells=4)
    >>> work = cell_work(c, forwards=0.5, dimension=3.0, row=100)
    >>> round(work.asking), round(work.pairs)
    (3459, 5187988)
    """
    k, rows = c.k or 0, c.usable / c.cells
    if asking is None:
        asking = -c.usable * expm1(-c.new / c.usable)
    queries = asking * (1 + forwards)
    # Queries at home have a row in the tree; others are asked for with a bound.
    seen = min(rows, rows_seen(min(dimension, 50.0), k))
    each, further = QUERY + SEEN * seen, SEEN * seen / 2
    if (c.engine or "").endswith("brute"):
        each = further = BRUTE_QUERY + PAIR * rows
    seconds = ROW * c.usable + NEW_ROW * c.new
    seconds += asking * each + asking * forwards * (FORWARD + further)
    parts = max(1.0, min(k, asking * forwards / c.cells**2 * k / CELL_NEW_ROWS))
    seconds += 3 * SLICE * partitions * c.cells + (QUERIES + ANSWERS * parts) * c.cells**2
    size = 2 * c.usable * row + asking * (16 * k + forwards * row) + c.new * row
    return CellWork(asking, queries * rows, size, seconds)


READ, VALUE = 0.5e-6, 0.06e-6  # a row that is read once more, and each of its features
INDEX = 1.7e-6  # a row of a partition, in a tree of its own
ASK = 5e-6  # a row that travels, in the tree of one partition
FIND = 4e-6  # a row of a partition in the tree of the rows that travel, of those that ask at all


def gather_seconds(rows: int, features: int, needs: Needs, partitions: int) -> float:
    """Return what it takes to compare few rows with all, about.

    Examples
    --------
    >>> round(gather_seconds(10**6, 10, Needs(1, few=10**4, rounds=2), 4))
    7
    """
    each = FIND * rows if needs.all_ask else INDEX * rows + ASK * needs.few * partitions
    return needs.rounds * each + (needs.rounds + 1) * rows * (READ + features * VALUE)
