"""BorderlineSMOTE: new rows where the class meets the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from dsmote.execute import (
    Bases,
    ClassContext,
    ClassIndex,
    Draws,
    Ends,
    Recipe,
    Rows,
    SearchSpace,
    other_classes,
)
from dsmote.neighbors import Engine
from dsmote.samplers.base import wanted_search
from dsmote.samplers.parameters import allow
from dsmote.samplers.smote import SMOTE


@dataclass(frozen=True)
class BorderRecipe(Recipe):
    """The m nearest of all rows tell which rows of the class are near its border."""

    m: int = 10
    m_engine: Engine | None = None

    lazy_report = True
    counts_others = True
    n_neighbors_all = property(lambda self: self.m)
    counted = property(lambda self: self.m)

    @property
    def engine_all(self) -> Engine | None:
        """An object of the user's, if there is one."""
        return self.m_engine or super().engine_all

    def told_apart(self, ctx: ClassContext) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Return the rows in danger (half of m or more are others), the safe ones, and a count."""
        assert ctx.nearest_all is not None
        others, present = other_classes(ctx.nearest_all, self.m)
        noise = others == present  # with those that are alone in their group
        danger = (2 * others >= present) & ~noise
        asked = ctx.nearest_all.query_rows
        danger_rows, safe_rows = asked[danger], asked[~danger & ~noise]
        report = {"danger": len(danger_rows), "noise": int(noise.sum()), "safe": len(safe_rows)}
        return danger_rows, safe_rows, report


@dataclass(frozen=True)
class BorderlineRecipe(BorderRecipe):
    """Rows in danger are bases; neighbours in the class, or among all rows."""

    kind: str = "borderline-1"
    on_empty: str = "error"

    # The second kind makes rows toward the k nearest of all rows.
    second = property(lambda self: self.kind == "borderline-2")
    n_neighbors_all = property(lambda self: max(self.m, self.values))
    values = property(lambda self: self.k if self.second else 0)

    def search_space(self, rows: Rows, model: Any = None) -> SearchSpace | None:
        """Index the class, for the first kind."""
        return None if self.second else super().search_space(rows)

    def fits(self, others: np.ndarray, present: np.ndarray, gaps: np.ndarray) -> Any:
        """Tell which rows are in danger."""
        danger = (2 * others >= present) & (others < present)
        return danger if self.on_empty == "error" else None

    def bases(self, ctx: ClassContext) -> Bases:
        """Draw among the rows in danger."""
        danger, _, report = self.told_apart(ctx)
        among, n = ctx.chosen(danger), len(ctx.rows)
        if not len(among) and self.on_empty == "error":
            raise ValueError(
                f"class {ctx.cls.label!r} has no row in danger: of {n:,} rows {report['safe']:,} "
                f"have fewer than half of their {self.m} nearest rows in other classes and "
                f"{report['noise']:,} have all of them there; use SMOTE, another m_neighbors, "
                "or on_empty='smote', which takes all rows as bases then"
            )
        drawn = ctx.drawn(among if len(among) else ctx.eligible)
        # The places of the rows in danger are for in_danger_indices, where the table is in memory.
        return Bases(drawn.ends, np.isin(np.arange(n), among), report)

    def ends(self, index: ClassIndex, bases: np.ndarray, draws: Draws) -> Ends:
        """End at rows of the class; or, for the second kind, of all classes."""
        if not self.second:
            return super().ends(index, bases, draws)
        nearest_all, rows = index.nearest_all, index.rows
        assert nearest_all is not None
        at = np.searchsorted(nearest_all.query_rows, bases)
        present = (nearest_all.classes[at, : self.k] >= 0).sum(axis=1)
        drawn = at, draws.rank(self.k) % np.maximum(present, 1)
        classes, numbers = nearest_all.classes[drawn], nearest_all.numbers[drawn]
        values = nearest_all.values[drawn]
        alone = present == 0  # in its group
        points = values[:, : rows.numeric.shape[1]]
        points = np.where(alone[:, None], rows.numeric[bases], points)
        numbers = np.where(alone, rows.numbers[bases], numbers)
        weights = None
        if rows.weights is not None:
            weights = np.where(alone, rows.weights[bases], values[:, -1])
        return Ends(points, numbers, weights, classes=classes)

    def gaps(self, index: ClassIndex, bases: np.ndarray, ends: Ends, draws: Draws) -> np.ndarray:
        """Go no more than half way toward a row of another class."""
        gaps = super().gaps(index, bases, ends, draws)
        if ends.classes is None:
            return gaps
        alone = ends.numbers == index.rows.numbers[bases]
        return gaps * np.where(ends.classes == index.rank, 1.0, 0.5) * ~alone

    def allows(self, gaps: np.ndarray, foreign: np.ndarray) -> np.ndarray:
        """Tell which gaps there may be: no more than half toward a row of another class."""
        most = np.where(foreign, 0.5 if self.second else -1.0, 1.0)
        return (gaps >= 0.0) & (gaps <= most)


@dataclass(kw_only=True, eq=False, repr=False)
class BorderSampler(SMOTE):
    """SMOTE that looks at the m nearest of all rows."""

    m_neighbors: Any = 10

    def _recipe(self, **more: Any) -> Recipe:
        m, engine = wanted_search(self.m_neighbors, "auto")
        return super()._recipe(m=m, m_engine=engine, **more)


@dataclass(kw_only=True, eq=False, repr=False)
class BorderlineSMOTE(BorderSampler):
    """SMOTE whose base rows are those in danger: near rows of other classes, but not alone.

    ::

        m = 5          o o o          m' of the m nearest of ALL rows are of other classes
          x o  o                      danger   m / 2 <= m' < m     a base
           [x] o  o                   noise    m' = m              none (x alone among o)
          x  x  o                     safe     m' < m / 2          none

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors
        As in :class:`~dsmote.SMOTE`.
    m_neighbors : int or object, default=10
        How many of the nearest of all rows tell whether a row is in danger; or an object as for
        `k_neighbors`, fitted to each partition.
    kind : {"borderline-1", "borderline-2"}, default="borderline-1"
        Neighbours are the nearest of the class; or the nearest of all rows, and a row made toward
        one of another class lies in the half that is nearer to its base row.
    on_empty : {"error", "smote"}, default="error"
        What to do where no row of a class is in danger: refuse, or take all its rows as bases.
    neighbors, scale, n_components, carry, missing, on_small_class, on_small_group, provenance
        As in :class:`~dsmote.SMOTE`. The nearest of all rows are found exactly.
    route, scratch, max_pairs
        As in :class:`~dsmote.SMOTE`. With cells all rows are cut into some, too, and searched
        there for the nearest of all.

    Attributes
    ----------
    in_danger_indices : dict of label to ndarray
        Rows of the input that are in danger, where it is in memory.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data three times: to count the classes, to collect their rows and write the
    originals, and to find the nearest of all rows; twice where these are found in cells. On Dask
    only the first happens at once.

    References
    ----------
    H. Han, W.-Y. Wang, B.-H. Mao, "Borderline-SMOTE: A New Over-Sampling Method in Imbalanced Data
    Sets Learning", ICIC 2005.

    Examples
    --------
    >>> from dsmote import BorderlineSMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = np.r_[rng.normal(size=(90, 2)), rng.normal(1.5, 1, size=(10, 2))]
    >>> X_res, y_res = BorderlineSMOTE(random_state=0).fit_resample(X, np.repeat([0, 1], [90, 10]))
    >>> np.bincount(y_res)
    array([90, 90])
    """

    _takes_sparse = True
    _summary = "SMOTE from the rows that are near other classes (two kinds)"
    _recipe_type = BorderlineRecipe
    _memory_only: ClassVar[dict[str, Any]] = {
        "in_danger_indices": lambda table: {
            label: of.rows.numbers[of.bases.marks]
            for label, of in table.classes.items()
            if of.bases.marks is not None
        }
    }

    kind: str = field(default="borderline-1", metadata=allow({"borderline-1", "borderline-2"}))
    on_empty: str = field(default="error", metadata=allow({"error", "smote"}))
