"""G-SMOTE: new rows toward the neighbour that lies along the principal axis of the class."""

import numpy as np

from dsmote.execute import ClassContext, ClassIndex, Draws, Made, Recipe, displaced
from dsmote.kernels import dot, lengths
from dsmote.neighbors import leading_axes
from dsmote.samplers.smote import SMOTE


class AlignedRecipe(Recipe):
    """Of the k nearest, the end is the one most aligned with the class's first axis."""

    lies = "box"

    def prepare(self, ctx: ClassContext) -> np.ndarray:
        """Return the first principal axis of the (scaled) class."""
        return leading_axes(ctx.blocks, 1)[1].T

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Go a share of the way in each column."""
        rows, (near, place) = index.rows, index.nearest(bases, self.k)
        first = bases[np.flatnonzero(np.diff(bases, prepend=-1))]
        start = rows.numeric.take(first, axis=0)
        best, steps, chosen = np.full(len(first), -1.0), np.zeros_like(start), first
        for at in near.T:
            away = rows.numeric.take(at, axis=0) - start
            scaled = self.scaled(rows.numeric.take(at, axis=0)) - self.scaled(start)
            aligned = np.abs(dot(lengths(scaled)[1], index.state))
            better = aligned > best
            best, chosen = np.where(better, aligned, best), np.where(better, at, chosen)
            steps = np.where(better[:, None], away, steps)
        steps, chosen = steps.take(place, axis=0), chosen[place]
        for j in range(steps.shape[1]):
            steps[:, j] *= draws.noise(j)
        weights = None if rows.weights is None else (rows.weights[bases] + rows.weights[chosen]) / 2
        how = {"neighbours": rows.numbers[chosen], "weights": weights}
        return displaced(rows, bases, steps, rounded, **how)


class GSMOTE(SMOTE):
    """G-SMOTE of Sandhan and Choi: toward the neighbour along the class's principal axis.

    ::

        new = base + u (neighbour - base)      u: one draw from (0, 1) for each column

    The neighbour is that of the k nearest of the class whose direction is nearest to the first
    principal axis of the class. Rows lie in the box that has base row and neighbour as corners.
    Another method of a like name is :class:`~dsmote.GeometricSMOTE`. A worker holds the class.
    Parameters and attributes are those of :class:`~dsmote.SMOTE`.

    References
    ----------
    T. Sandhan, J. Y. Choi, "Handling Imbalanced Datasets by Partially Guided Hybrid Sampling for
    Pattern Recognition", ICPR 2014.
    """

    _summary = "SMOTE toward the neighbour along the class's principal axis"
    _recipe_type = AlignedRecipe
