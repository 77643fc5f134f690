"""ADASYN: more new rows from the rows that are harder to tell from other classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsmote.execute import Bases, ClassContext, Recipe
from dsmote.neighbors import Engine
from dsmote.samplers.base import OverSampler


class AdasynRecipe(Recipe):
    """A base row's share is that of other classes among its nearest rows."""

    k_name = "n_neighbors"
    lazy_report = True
    counts_others = True
    n_neighbors_all = property(lambda self: self.k)

    @property
    def engine_all(self) -> Engine | None:
        """An object of the user's searches among all rows too, as in imbalanced-learn."""
        own = self.neighbors is not None and not getattr(self.neighbors, "mixed", False)
        return self.neighbors if own else super().engine_all

    def fits(self, others: np.ndarray, present: np.ndarray, gaps: np.ndarray) -> Any:
        """Tell which rows have others around them."""
        return others > 0

    def bases(self, ctx: ClassContext) -> Bases:
        """Give each row copies in proportion to the share of other classes around it."""
        what = (
            f"a row of another class among its {self.k} nearest: ADASYN does not know where to "
            "make rows; use SMOTE, or a larger n_neighbors"
        )
        return ctx.weighed(lambda n, m: n / np.maximum(m, 1), "near_others", what)


@dataclass(kw_only=True, eq=False, repr=False)
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
        As in :class:`~dsmote.SMOTE`. The nearest of all rows are found exactly.
    route, scratch, max_pairs
        As in :class:`~dsmote.SMOTE`. With cells all rows are cut into some, too, and searched
        there for the nearest of all.

    Attributes
    ----------
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data three times: to count the classes, to collect their rows and write the
    originals, and to find the nearest of all rows; twice where these are found in cells. On Dask
    only the first happens at once.

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

    _takes_sparse = True
    _summary = "more rows from where other classes are near"
    _recipe_type = AdasynRecipe

    n_neighbors: Any = 5
    missing: str = "error"
    neighbors: Any = "auto"
    scale: str | None = None
    n_components: Any = None
    on_small_class: str = "error"
    on_small_group: str = "error"
    route: str = "auto"
    scratch: str | None = None
    max_pairs: float = 1e13
