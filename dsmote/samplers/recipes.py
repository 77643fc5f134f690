"""Recipes: which rows are bases, whose neighbours, which kernel. A new sampler changes one of them.

=====================  ===================================  =======================================
a recipe changes       from what SMOTE does                 for example
=====================  ===================================  =======================================
``bases``              all rows, drawn with replacement     danger rows; by share of other classes
``searched, built``    the numeric columns of the class     numbers and names; in clusters
``make``               between base and neighbour           beyond the base; a vote
``around``             not asked for                        the m nearest of all rows
``sample, learn``      nothing is learnt                    an SVM, a clustering
=====================  ===================================  =======================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dsmote.execute import (
    Bases,
    BasesOf,
    ClassIndex,
    Draws,
    Made,
    Rows,
    Searched,
    nearest_of,
    take_wide,
)
from dsmote.kernels import segment, segment_exact, vote
from dsmote.neighbors import (
    Engine,
    NeighborIndex,
    ProjectedSearch,
    choose_engine,
    engine_named,
    leading_axes,
)
from dsmote.neighbors.choose import Choice
from dsmote.neighbors.recall import measure_recall
from dsmote.plan import Needs, Scaling, copies_with_replacement

__all__ = ["SegmentRecipe", "other_classes"]

_SEEN = 512  # rows that the engine for a partition is chosen from


@dataclass(frozen=True)
class SegmentRecipe:
    """All rows are bases, equally; neighbours in the own class; segment kernel, and vote."""

    name: str
    k: int
    neighbors: Engine | None = None
    fast: bool = False
    n_components: Any = None
    scaling: Scaling | None = None
    on_small_group: str = "error"

    # What follows is asked by the executors; see dsmote.execute.recipe.

    @property
    def exact(self) -> bool:
        """Whether the true neighbours are found."""
        engine = self.neighbors is None or self.neighbors.exact
        return engine and not (self.fast or self.n_components)

    @property
    def lazy_report(self) -> bool:
        """Nothing is reported that is not known from the plan."""
        return False

    @property
    def whole(self) -> bool:
        """Rows are measured."""
        return False

    @property
    def around(self) -> int:
        """The nearest of all rows are not looked for."""
        return 0

    @property
    def values(self) -> int:
        """Nor are their values."""
        return 0

    @property
    def sample(self) -> int:
        """Nothing is learnt."""
        return 0

    @property
    def surveys(self) -> bool:
        """Partitions need not be seen."""
        return False

    @property
    def k_name(self) -> str:
        """The parameter that says how many neighbours."""
        return "k_neighbors"

    def needs(self) -> Needs:
        """Say what the plan has to reckon with."""
        return Needs(
            k=self.k,
            k_name=self.k_name,
            around=self.around,
            values=self.values,
            sample=self.sample,
            looks=self.surveys or self.around > 0,
            copied=bool(self.scaling) + bool(self.n_components),
        )

    def scaled_by(self, scaling: Scaling | None) -> SegmentRecipe:
        """Return a recipe that finds neighbours among scaled rows."""
        return replace(self, scaling=scaling)

    def measured(self, numeric: np.ndarray) -> np.ndarray:
        """Return the numbers that distances are taken of: scaled, if asked for."""
        return numeric if self.scaling is None else self.scaling.scaled(numeric)

    def engine(self, n_rows: int, sample: np.ndarray, codes: np.ndarray) -> Choice:
        """Take what was asked for, or choose by the directions that the rows spread in."""
        if self.neighbors is not None:
            return Choice(self.neighbors.name, "as asked for")
        return choose_engine(n_rows, self._projected(self.measured(sample)), fast=self.fast)

    def _projected(self, sample: np.ndarray) -> np.ndarray:
        if not self.n_components or not len(sample):
            return sample
        centre, axes = leading_axes(sample, self.n_components)
        return np.asarray((sample - centre) @ axes)

    def surrounding(self, matrix: np.ndarray) -> NeighborIndex:
        """Index rows of all classes, exactly unless an object of the user's is to search."""
        how = self._around_engine
        if how is None:
            some = matrix[:: max(1, len(matrix) // _SEEN)]
            how = engine_named(choose_engine(len(matrix), some).name)
        return how.build(matrix)

    @property
    def _around_engine(self) -> Engine | None:
        return self.neighbors if self.neighbors is not None and self.neighbors.exact else None

    def searched(self, rows: Rows, learnt: Any = None) -> Searched | None:
        """Return the numeric columns, scaled and projected as asked for."""
        matrix = self.measured(rows.numeric)
        if not self.n_components:
            return Searched(matrix, rows.codes)
        centre, axes = leading_axes(matrix, self.n_components)
        return Searched((matrix - centre) @ axes, rows.codes, axes=(centre, axes))

    def built(self, searched: Searched, engine: str, seed: int) -> NeighborIndex:
        """Index them."""
        index = self._index(searched, self.neighbors or engine_named(engine), seed)
        return ProjectedSearch(index, *searched.axes) if searched.axes else index

    def _index(self, searched: Searched, how: Any, seed: int) -> NeighborIndex:
        return how.build(searched.matrix, seed=seed)

    def recall(self, rows: Rows, index: NeighborIndex, seed: int) -> dict[str, Any]:
        """Compare with brute force, in all columns, on a sample of the rows."""
        return measure_recall(index, self.measured(rows.numeric), self.k, seed=seed).to_dict()

    def learn(self, matrix: np.ndarray, ranks: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
        """Learn nothing."""
        return None

    def asks(self, rows: Rows, learnt: Any) -> np.ndarray:
        """Have all rows ask for the nearest of all rows."""
        return np.arange(len(rows))

    def survey(self, matrix: np.ndarray, ranks: np.ndarray, n_classes: int, learnt: Any) -> Any:
        """See nothing."""
        return 0

    def bases(self, of: BasesOf) -> Bases:
        """Draw bases uniformly, with replacement."""
        return Bases(
            copies_with_replacement(len(of.rows), of.of.new, of.seed, of.of.rank, of.eligible)
        )

    def make(self, of: ClassIndex, bases: np.ndarray, draws: Draws, whole: np.ndarray) -> Made:
        """Interpolate numbers toward a neighbour; let all neighbours vote on names."""
        return self.toward(of, bases, draws, whole)[0]

    def toward(
        self, of: ClassIndex, bases: np.ndarray, draws: Draws, whole: np.ndarray
    ) -> tuple[Made, np.ndarray]:
        """Make rows between base rows and rows of their class, and say which rows these are."""
        rows = of.rows
        near, place = nearest_of(of, bases, self.k)
        toward = near[place, draws.rank(self.k)]
        gaps = draws.gap()
        # take() gathers rows five times as fast as an index does.
        start, end = rows.numeric.take(bases, axis=0), rows.numeric.take(toward, axis=0)
        numeric = segment(start, end, gaps, whole)
        exact = zip(take_wide(rows, bases), take_wide(rows, toward), strict=True)
        wide = {j: segment_exact(a, b, gaps) for (j, a), (_, b) in exact}
        codes = np.empty((len(bases), rows.codes.shape[1]), dtype=np.int32)
        for j in range(codes.shape[1]):
            codes[:, j] = vote(rows.codes[near, j][place], draws.vote(j))
        weights = None if rows.weights is None else rows.weights[toward]
        return Made(numeric, wide, codes, bases, rows.numbers[toward], gaps, weights), toward


def other_classes(classes: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Count, among the nearest of all rows, those of other classes, and those that there are.

    Parameters
    ----------
    classes : ndarray of int, shape (n, m)
        Classes of the nearest rows; -1 where there is none.
    rank : int
        The class that asks.

    Returns
    -------
    others, present : ndarrays of int, shape (n,)

    Examples
    --------
    >>> other_classes(np.array([[0, 1, 1], [0, 0, -1]]), 1)
    (array([1, 2]), array([3, 2]))
    """
    there = classes >= 0
    return (there & (classes != rank)).sum(axis=1), there.sum(axis=1)
