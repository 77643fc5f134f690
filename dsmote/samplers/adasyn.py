"""ADASYN: more new rows from the rows that are harder to tell from other classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dsmote.execute import Bases, BasesOf, Recipe
from dsmote.plan import copies_by_weight
from dsmote.samplers.base import NEIGHBOUR_PARAMETERS, OverSampler
from dsmote.samplers.recipes import SegmentRecipe, other_classes
from dsmote.samplers.search import wanted_search

__all__ = ["ADASYN"]


@dataclass(frozen=True)
class AdasynRecipe(SegmentRecipe):
    """A base row's share is that of other classes among its nearest rows."""

    @property
    def around(self) -> int:
        """The k nearest of all rows."""
        return self.k

    @property
    def lazy_report(self) -> bool:
        """How many rows have neighbours of other classes is known when all rows were seen."""
        return True

    @property
    def k_name(self) -> str:
        """The parameter that says how many neighbours."""
        return "n_neighbors"

    @property
    def _around_engine(self) -> Any:
        # An object of the user's searches among all rows too, as in imbalanced-learn.
        own = self.neighbors is not None and not hasattr(self.neighbors, "build_mixed")
        return self.neighbors if own else super()._around_engine

    def bases(self, of: BasesOf) -> Bases:
        """Give each row copies in proportion to the share of other classes around it."""
        assert of.around is not None
        others, present = other_classes(of.around.classes, of.of.rank)
        weights = np.zeros(len(of.rows))
        weights[of.around.asked] = others / np.maximum(present, 1)
        if of.eligible is not None:
            kept = np.zeros(len(weights), dtype=bool)
            kept[of.eligible] = True
            weights *= kept
        if not weights.any():
            raise ValueError(
                f"class {of.of.label!r} has no row with a row of another class among its "
                f"{self.k} nearest: ADASYN does not know where to make rows; use SMOTE, or a "
                "larger n_neighbors"
            )
        return Bases(
            copies_by_weight(weights, of.of.new), None, {"near_others": int((weights > 0).sum())}
        )


class ADASYN(OverSampler):
    """Adaptive synthetic sampling: copies in proportion to the other classes nearby.

    ::

        r_i    = share of other classes among the n nearest of ALL rows
        copies = new rows x r_i / sum(r)       exactly that many in all, by largest remainders
        new    = base + gap (neighbour - base) neighbour: one of the n nearest of the class

    Parameters
    ----------
    sampling_strategy, random_state
        As in :class:`~dsmote.SMOTE`.
    n_neighbors : int or object, default=5
        As `k_neighbors` of :class:`~dsmote.SMOTE`, for both searches.
    neighbors, scale, n_components, carry, missing, on_small_class, on_small_group, provenance
        As in :class:`~dsmote.SMOTE`. The nearest
        of all rows are found exactly.

    Attributes
    ----------
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data three times: to count the classes, to take out their rows and put out the
    originals, and to find the nearest of all rows. On Dask only the first happens at once.

    References
    ----------
    H. He, Y. Bai, E. A. Garcia, S. Li, "ADASYN: Adaptive synthetic sampling approach for imbalanced
    learning", IJCNN 2008.

    Examples
    --------
    >>> from dsmote import ADASYN
    >>> rng = np.random.default_rng(0)
    >>> X = np.r_[rng.normal(size=(90, 2)), rng.normal(1.5, 1, size=(10, 2))]
    >>> X_res, y_res = ADASYN(random_state=0).fit_resample(X, np.repeat([0, 1], [90, 10]))
    >>> np.bincount(y_res)
    array([90, 90])
    """

    _name: ClassVar[str] = "adasyn"
    _summary: ClassVar[str] = "more rows from where other classes are near"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **OverSampler._parameter_constraints,
        **{n: c for n, c in NEIGHBOUR_PARAMETERS.items() if n != "k_neighbors"},
        "n_neighbors": NEIGHBOUR_PARAMETERS["k_neighbors"],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        n_neighbors: Any = 5,
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
        self.n_neighbors = n_neighbors
        self.carry = carry
        self.missing = missing
        self.neighbors = neighbors
        self.scale = scale
        self.n_components = n_components
        self.on_small_class = on_small_class
        self.on_small_group = on_small_group
        self.provenance = provenance

    def _recipe(self) -> Recipe:
        k, engine = wanted_search(self.n_neighbors, self.neighbors)
        return AdasynRecipe(
            "ADASYN",
            k,
            engine,
            self.neighbors == "fast",
            self.n_components,
            on_small_group=self.on_small_group,
        )
