"""BorderlineSMOTE: new rows where the class meets the others."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from dsmote.execute import Bases, BasesOf, ClassIndex, Draws, Made, Recipe, Rows, Searched, Table
from dsmote.kernels import segment, segment_exact
from dsmote.neighbors import Engine
from dsmote.plan import copies_with_replacement
from dsmote.samplers.base import NEIGHBOUR_PARAMETERS, OverSampler
from dsmote.samplers.recipes import SegmentRecipe, other_classes
from dsmote.samplers.search import wanted_search

__all__ = ["BorderlineSMOTE"]


@dataclass(frozen=True)
class BorderlineRecipe(SegmentRecipe):
    """Rows in danger are bases; neighbours in the class, or among all rows."""

    m: int = 10
    m_engine: Engine | None = None
    second: bool = False
    on_empty: str = "error"

    @property
    def around(self) -> int:
        """The m nearest of all rows, and for the second kind the k nearest."""
        return max(self.m, self.k) if self.second else self.m

    @property
    def values(self) -> int:
        """The second kind makes rows toward them."""
        return self.k if self.second else 0

    @property
    def lazy_report(self) -> bool:
        """How many rows are in danger is known when all rows were seen."""
        return True

    @property
    def _around_engine(self) -> Engine | None:
        return self.m_engine or super()._around_engine

    def searched(self, rows: Rows, learnt: Any = None) -> Searched | None:
        """Index the class, for the first kind."""
        return None if self.second else super().searched(rows)

    def bases(self, of: BasesOf) -> Bases:
        """Draw among the rows in danger."""
        assert of.around is not None
        others, present = other_classes(of.around.classes[:, : self.m], of.of.rank)
        danger = (2 * others >= present) & (others < present)
        noise = int(((others == present) & (present > 0)).sum())
        among = of.around.asked[danger]
        report = {"danger": len(among), "noise": noise, "safe": len(danger) - len(among) - noise}
        if of.eligible is not None:
            among = np.intersect1d(among, of.eligible)
        n = len(of.rows)
        if not len(among) and self.on_empty == "error":
            raise ValueError(
                f"class {of.of.label!r} has no row in danger: of {n:,} rows {report['safe']:,} "
                f"have fewer than half of their {self.m} nearest rows in other classes and "
                f"{report['noise']:,} have all of them there; use SMOTE, another m_neighbors, "
                "or on_empty='smote', which takes all rows as bases then"
            )
        chosen = among if len(among) else of.eligible
        ends = copies_with_replacement(n, of.of.new, of.seed, of.of.rank, chosen)
        # The places of the rows in danger are for in_danger_indices, where the table is in memory.
        return Bases(ends, np.isin(np.arange(n), among), report)

    def make(self, of: ClassIndex, bases: np.ndarray, draws: Draws, whole: np.ndarray) -> Made:
        """Interpolate; toward a row of another class no more than half way."""
        if not self.second:
            return super().make(of, bases, draws, whole)
        around, rows = of.around, of.rows
        assert around is not None
        at = np.searchsorted(around.asked, bases)
        present = (around.classes[at, : self.k] >= 0).sum(axis=1)
        rank = (draws.rank(self.k) % np.maximum(present, 1))[:, None]
        values = np.take_along_axis(around.values[at], rank[:, :, None], axis=1)[:, 0]
        classes = np.take_along_axis(around.classes[at], rank, axis=1)[:, 0]
        toward = np.take_along_axis(around.numbers[at], rank, axis=1)[:, 0]
        lone = present == 0  # a row alone in its group
        own = around.own_class
        gaps = draws.gap() * np.where(classes == own, 1.0, 0.5) * ~lone
        start, end = rows.numeric[bases], values[:, : rows.numeric.shape[1]]
        end = np.where(lone[:, None], start, end)
        wide = {}
        for place, exact in rows.wide.items():
            # Values of other classes come as float64.
            info = np.iinfo(exact.dtype)
            top = np.nextafter(float(info.max), 0.0)
            near = np.clip(end[:, place], float(info.min), top).astype(exact.dtype)
            wide[place] = segment_exact(exact[bases], near, gaps)
        weights = None
        if rows.weights is not None:
            weights = np.where(lone, rows.weights[bases], values[:, -1])
        return Made(
            segment(start, end, gaps, whole),
            wide,
            np.empty((len(bases), 0), dtype=np.int32),
            bases,
            np.where(lone, rows.numbers[bases], toward),
            gaps,
            weights,
        )


class BorderlineSMOTE(OverSampler):
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
        As in :class:`~dsmote.SMOTE`. The nearest
        of all rows are found exactly.

    Attributes
    ----------
    in_danger_indices : dict of label to ndarray
        Rows of the input that are in danger, where it is in memory.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data three times: to count the classes, to take out their rows and put out the
    originals, and to find the nearest of all rows. On Dask only the first happens at once.

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

    _name: ClassVar[str] = "borderline"
    _summary: ClassVar[str] = "SMOTE from the rows that are near other classes (two kinds)"
    _memory_only: ClassVar[tuple[str, ...]] = ("in_danger_indices",)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **OverSampler._parameter_constraints,
        **NEIGHBOUR_PARAMETERS,
        "m_neighbors": [
            Interval(Integral, 1, None, closed="left"),
            HasMethods(["fit", "kneighbors"]),
        ],
        "kind": [StrOptions({"borderline-1", "borderline-2"})],
        "on_empty": [StrOptions({"error", "smote"})],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        m_neighbors: Any = 10,
        kind: str = "borderline-1",
        on_empty: str = "error",
        carry: Any = None,
        missing: str = "error",
        neighbors: Any = "auto",
        scale: str | None = None,
        n_components: Any = None,
        on_small_class: str = "error",
        on_small_group: str = "error",
        provenance: Any = False,
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state
        self.k_neighbors = k_neighbors
        self.m_neighbors = m_neighbors
        self.kind = kind
        self.on_empty = on_empty
        self.carry = carry
        self.missing = missing
        self.neighbors = neighbors
        self.scale = scale
        self.n_components = n_components
        self.on_small_class = on_small_class
        self.on_small_group = on_small_group
        self.provenance = provenance

    def _recipe(self) -> Recipe:
        k, engine = wanted_search(self.k_neighbors, self.neighbors)
        m, m_engine = wanted_search(self.m_neighbors, "auto")
        return BorderlineRecipe(
            "BorderlineSMOTE",
            k,
            engine,
            self.neighbors == "fast",
            self.n_components,
            on_small_group=self.on_small_group,
            m=m,
            m_engine=m_engine,
            second=self.kind == "borderline-2",
            on_empty=self.on_empty,
        )

    def _finished(self, table: Table) -> None:
        self.in_danger_indices = {
            label: of.rows.numbers[of.bases.marks]
            for label, of in table.classes.items()
            if of.bases.marks is not None
        }
