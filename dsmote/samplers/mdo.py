"""MDO: new rows at the Mahalanobis distance from the mean of the class that a row has."""

from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from dsmote.execute import Bases, ClassContext, ClassIndex, Draws, Made, Recipe, Spread, displaced
from dsmote.samplers.base import OverSampler
from dsmote.samplers.parameters import Range, allow


@dataclass(frozen=True)
class EllipsoidRecipe(Recipe):
    """Bases have enough of the class among the m nearest of all rows, and weigh more with more."""

    m_neighbors: int = 5
    min_neighbors: int = 3
    lies, temporaries, lazy_report = "ellipsoid", 16, True
    n_neighbors_all = property(lambda self: self.m_neighbors)

    def prepare(self, ctx: ClassContext) -> Spread:
        """Return the principal axes of the class."""
        return Spread.of(ctx.blocks, ctx.rows.numeric.shape[1])

    def fits(self, others: np.ndarray, present: np.ndarray, gaps: np.ndarray) -> np.ndarray:
        """Tell which rows have enough of the class around them."""
        return np.asarray(present - others >= self.min_neighbors)

    def bases(self, ctx: ClassContext) -> Bases:
        """Give each row copies in proportion to the class's share around it."""
        least, m = self.min_neighbors, self.m_neighbors
        what = f"{least} of the class among its {m} nearest rows; lower min_neighbors"
        return ctx.weighed(lambda n, m: (m - n) * self.fits(n, m, n), "bases", what)

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Turn the base row around the mean, on its ellipsoid."""
        start, of = index.rows.numeric.take(bases, axis=0), index.state
        steps = of.turned(self.scaled(start), [*draws.normal(len(of.variances))]) * self.units
        return displaced(index.rows, bases, steps, rounded)


@dataclass(kw_only=True, eq=False, repr=False)
class MDO(OverSampler):
    """Rows with the Mahalanobis distance from the mean of the class that their base row has.

    They lie on a hyper-ellipsoid. A base row has `min_neighbors` of the class among `m_neighbors`
    nearest of all; with more, more new rows. Other parameters: SMOTE's. A worker holds the class.

    References
    ----------
    L. Abdi, S. Hashemi, "To Combat Multi-Class Imbalanced Problems by Means of Over-Sampling", 2016
    """

    _summary = "rows on the ellipsoids of the class that its rows lie on"
    _recipe_type = EllipsoidRecipe
    m_neighbors: int = field(default=5, metadata=allow(Range(Integral, 1, None)))
    min_neighbors: int = field(default=3, metadata=allow(Range(Integral, 1, None)))
    missing: str = "error"
    scale: str | None = None
