"""What makes a sampler itself, and what the executors hand to it.

::

    a recipe says                    an executor does, in memory or on Dask
    ---------------------------      ------------------------------------------------------------
    sample, learn                    takes a seeded sample of all rows out, has a model learnt
    around, values                   finds the nearest of ALL rows for the rows of a class
    survey                           shows every partition to the recipe, and adds up what it says
    searched, built                  indexes the rows of a class (or of each group in it)
    bases                            asks which rows are bases, and how often
    make                             has new rows made, block by block

A sampler that needs none of a step leaves it as it is in :class:`dsmote.samplers.recipes.Recipe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from dsmote.execute.drawn import Draws
from dsmote.execute.rows import Rows
from dsmote.neighbors import Choice, NeighborIndex
from dsmote.plan import ClassPlan, Needs, Plan, Scaling, Schema
from dsmote.plan.levels import LevelCounts

__all__ = [
    "Around",
    "Bases",
    "BasesOf",
    "ClassIndex",
    "Draws",
    "Made",
    "Making",
    "Recipe",
    "Searched",
    "Task",
]


@dataclass(frozen=True)
class Made:
    """New rows as arrays, and where they came from.

    Attributes
    ----------
    numeric, wide, codes
        As in :class:`~dsmote.execute.rows.Rows`.
    bases : ndarray of int64, shape (n,)
        The base row of each, among the rows of the class.
    toward : ndarray of int64, shape (n,), or None
        The number in the table of the neighbour; None where no single row was the neighbour.
    gaps : ndarray of float64, shape (n,), or None
        new = base + gap (neighbour - base); negative where it lies beyond the base.
    weights : ndarray of float64, shape (n,), or None
        Sample weights of the neighbours, where the rows have weights.
    """

    numeric: np.ndarray
    wide: dict[int, np.ndarray]
    codes: np.ndarray
    bases: np.ndarray
    toward: np.ndarray | None = None
    gaps: np.ndarray | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Around:
    """The nearest of all rows, for some rows of a class.

    Attributes
    ----------
    asked : ndarray of int64, shape (n,)
        Which rows of the class.
    distances : ndarray of float64, shape (n, m)
        Ascending; inf where there are fewer rows.
    classes : ndarray of int32, shape (n, m)
        Place of their class in sorted label order; -1 where there is no row.
    numbers : ndarray of int64, shape (n, m)
        Which rows of the table they are; equal distances are in this order.
    values : ndarray of float64, shape (n, v, p)
        The numeric columns of the first v of them, and their weight where rows have one.
    own_class : int
        The class that asks.
    finer : ndarray of float64, shape (n, m), or None
        Squares of the distances, each over a power of four that its distance says: they order
        distances that rounding made equal. Until the nearest of all partitions are known.
    """

    asked: np.ndarray
    distances: np.ndarray
    classes: np.ndarray
    numbers: np.ndarray
    values: np.ndarray
    own_class: int = -1
    finer: np.ndarray | None = None


class Bases(NamedTuple):
    """Which rows are bases, and how often.

    Attributes
    ----------
    ends : ndarray of int64, shape (n,)
        Running total of the copies (see :mod:`dsmote.plan.allocation`).
    marks : ndarray of bool, shape (n,), or None
        What the kernel should know of each base row.
    report : mapping
        What the user is told of the class.
    groups : ndarray of int, shape (n,), or None
        Within which rows neighbours are to be found, where that is not the whole class.
    """

    ends: np.ndarray
    marks: np.ndarray | None = None
    report: Mapping[str, Any] = {}
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Searched:
    """The rows of a class as they are searched: scaled and projected.

    Attributes
    ----------
    matrix : ndarray of float64, shape (n, p)
    codes : ndarray of int32, shape (n, q)
    weight : float
        What a differing name counts for.
    axes : (centre, axes) or None
        The principal components, when the matrix holds those.
    tables : tuple of ndarray of float64, shape (levels, classes)
        P(class | level) of each nominal column, where rows are compared by it.
    """

    matrix: np.ndarray
    codes: np.ndarray
    weight: float = 0.0
    axes: tuple[np.ndarray, np.ndarray] | None = None
    tables: tuple[np.ndarray, ...] = ()

    def take(self, ids: np.ndarray) -> Searched:
        """Return some of the rows."""
        return Searched(self.matrix[ids], self.codes[ids], self.weight, self.axes, self.tables)


@dataclass(frozen=True)
class ClassIndex:
    """All that making rows of one class needs: a node of the graph, carried to the workers.

    Attributes
    ----------
    rows : Rows
        The rows of the class.
    bases : Bases
        Which of them are bases.
    neighbours : NeighborIndex or None
        Finds neighbours by row; None where the sampler has none, or copies.
    around : Around or None
        The nearest of all rows.
    report : dict
        What the user is told.
    copied : bool
        The class is too small for neighbours, and its rows are copied.
    rank : int
        Place of the class in sorted label order.
    decimals : mapping of column position to (digits before the point, digits after it) or None
        Of numeric columns of Python objects.
    """

    rows: Rows
    bases: Bases
    neighbours: NeighborIndex | None
    around: Around | None
    report: dict[str, Any]
    copied: bool = False
    rank: int = -1
    decimals: Mapping[int, Any] = field(default_factory=dict)


class Recipe(Protocol):
    """What makes a sampler itself: which bases, whose neighbours, and which kernel."""

    @property
    def name(self) -> str:
        """The sampler's name."""
        ...

    @property
    def k(self) -> int:
        """Neighbours of each base row in its class; 0 for none."""
        ...

    @property
    def exact(self) -> bool:
        """Whether the true neighbours are found."""
        ...

    @property
    def lazy_report(self) -> bool:
        """Whether what is reported of a class is known only when its index is built."""
        ...

    @property
    def whole(self) -> bool:
        """Whether rows are copied as they are, all columns, and nothing is measured."""
        ...

    @property
    def around(self) -> int:
        """Nearest of all rows that are looked for."""
        ...

    @property
    def values(self) -> int:
        """Those of them whose values are wanted."""
        ...

    @property
    def sample(self) -> int:
        """Rows that a model is learnt from, at most; 0 where none is."""
        ...

    @property
    def surveys(self) -> bool:
        """Whether every partition is to be shown to :meth:`survey`."""
        ...

    @property
    def on_small_group(self) -> str:
        """What to do with groups of fewer than k + 1 rows: "error", "copy" or "skip"."""
        ...

    def needs(self) -> Needs:
        """Say what the plan has to reckon with."""
        ...

    def scaled_by(self, scaling: Scaling | None) -> Recipe:
        """Return a recipe that finds neighbours among scaled rows."""
        ...

    def engine(self, n_rows: int, sample: np.ndarray, codes: np.ndarray) -> Choice:
        """Choose the neighbour engine for a class from its number of rows and some of them."""
        ...

    def measured(self, numeric: np.ndarray) -> np.ndarray:
        """Return the numbers that distances are taken of: scaled, if asked for."""
        ...

    def surrounding(self, matrix: np.ndarray) -> NeighborIndex:
        """Index (scaled) rows of any class, to be asked for the nearest of all rows."""
        ...

    def searched(self, rows: Rows, learnt: Any = None) -> Searched | None:
        """Return the rows of a class as they are searched; None where they are not."""
        ...

    def built(self, searched: Searched, engine: str, seed: int) -> NeighborIndex:
        """Build the index over the rows of a class, or of one group of it."""
        ...

    def recall(self, rows: Rows, index: NeighborIndex, seed: int) -> dict[str, Any]:
        """Measure how many of the true neighbours an approximate index finds."""
        ...

    def learn(self, matrix: np.ndarray, ranks: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
        """Fit a model to sampled (scaled) rows and their class numbers, in the table's order."""
        ...

    def asks(self, rows: Rows, learnt: Any) -> np.ndarray:
        """Return which rows of a class ask for the nearest of all rows."""
        ...

    def survey(self, matrix: np.ndarray, ranks: np.ndarray, n_classes: int, learnt: Any) -> Any:
        """Look at the (scaled) rows of a partition; what is returned is added up."""
        ...

    def bases(self, of: BasesOf) -> Bases:
        """Say which rows are bases, and how often."""
        ...

    def make(self, of: ClassIndex, bases: np.ndarray, draws: Draws, whole: np.ndarray) -> Made:
        """Make new rows from base rows, shape (n,); `whole` marks columns of whole numbers."""
        ...


@dataclass(frozen=True)
class BasesOf:
    """What a recipe is given to say which rows are bases.

    Attributes
    ----------
    rows : Rows
        The rows of the class.
    of : ClassPlan
        What is planned for it.
    seed : int
        The root seed.
    eligible : ndarray of int64, or None
        Rows that may be bases; None for all.
    around : Around or None
        The nearest of all rows.
    learnt : object
        The model.
    survey : object
        What :meth:`Recipe.survey` said of all partitions.
    total : int
        New rows of all classes together.
    """

    rows: Rows
    of: ClassPlan
    seed: int
    eligible: np.ndarray | None = None
    around: Around | None = None
    learnt: Any = None
    survey: Any = None
    total: int = 0


@dataclass(frozen=True)
class Task:
    """All that an executor is told.

    Attributes
    ----------
    recipe : Recipe
        The sampler.
    schema, out : Schema
        The columns of the input and of the output.
    plan : Plan
        What to make.
    skip : bool
        Leave rows with missing values out, where otherwise they are an error.
    changes : mapping of column position to dtype
        Columns whose dtype cannot stay: carried whole numbers, categories that differ.
    known : mapping of column position to dtype
        Categories that the input's metadata did not know, and the changes.
    provenance : {None, "flag", "full"}
        What to say of where rows came from.
    levels : tuple of LevelCounts
        Rows of each level of each nominal column, by class, where the recipe wants to know.
    first : int or None
        Where the index of the new rows begins; None in memory, where all rows are numbered anew.
    """

    recipe: Recipe
    schema: Schema
    out: Schema
    plan: Plan
    skip: bool
    changes: dict[int, Any]
    known: dict[int, Any]
    provenance: str | None = None
    levels: tuple[LevelCounts, ...] = ()
    first: int | None = None


@dataclass(frozen=True)
class Making:
    """What making rows needs of a task: little, because every block of rows has it.

    Attributes
    ----------
    recipe : Recipe
    schema : Schema
        The columns of the output.
    seed : int
        The root seed.
    first : int
        Where the index of the new rows begins.
    provenance : {None, "flag", "full"}
    """

    recipe: Recipe
    schema: Schema
    seed: int
    first: int
    provenance: str | None = None

    @classmethod
    def of(cls, task: Task) -> Making:
        """Take it from a task."""
        plan = task.plan
        return cls(task.recipe, task.out, plan.seed, task.first or 0, task.provenance)
