"""MGS: normal rows with the mean and the covariance of a neighbourhood."""

from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from dsmote.execute import ClassIndex, Draws, Made, Recipe, displaced
from dsmote.kernels import gaussian, mean
from dsmote.samplers.parameters import SHARED, Range, allow
from dsmote.samplers.smote import SMOTE


@dataclass(frozen=True)
class GaussianRecipe(Recipe):
    """A new row is normal by its base row and the k nearest of it."""

    spread: float = 1.0
    lies, temporaries = "gaussian", 8

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Draw from the normal distribution of each neighbourhood."""
        rows, near, n = index.rows, index.around(bases, self.k), self.k + 1
        numeric, weights = rows.numeric, rows.weights
        parts = partial(map, partial(numeric.take, axis=0), near)
        made = gaussian(parts, n, self.spread, draws.normal(n))
        weights = None if weights is None else mean((weights[at] for at in near), n)
        made -= numeric.take(bases, axis=0)
        return displaced(rows, bases, made, rounded, weights=weights)


@dataclass(kw_only=True, eq=False, repr=False)
class MGS(SMOTE):
    """Multivariate Gaussian SMOTE: normal rows around the mean of a row and its neighbours.

    Their covariance is that of the k + 1 rows, times `spread`. Rows may lie anywhere around these
    (a hyper-ellipsoid, in the directions in which they spread), rarely far: in a direction 1 in 370
    is further than 3 standard deviations. Other parameters and attributes are those of SMOTE.

    Parameters
    ----------
    k_neighbors : int or object, default=None
        As in :class:`~dsmote.SMOTE`; None takes as many as there are numeric features, the fewest
        whose covariance has all directions. New rows are further from real ones than SMOTE's.
    spread : float, default=1.0
        Factor of the covariance, lambda in the paper.

    References
    ----------
    A. Sakho, E. Malherbe, E. Scornet, "Do we need rebalancing strategies? A theoretical and
    empirical study around SMOTE and its variants", 2024, arXiv:2402.03819.
    """

    _summary = "normal rows with mean and covariance of a row and its neighbours"
    _recipe_type, _takes_sparse = GaussianRecipe, False

    k_neighbors: Any = field(default=None, metadata=allow(*SHARED["k_neighbors"], None))
    spread: float = field(default=1.0, metadata=allow(Range(Real, 0, None)))
