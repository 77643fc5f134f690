"""ADOMS: new rows along the direction in which the neighbourhood of a row spreads most."""

import numpy as np

from dsmote.execute import ClassIndex, Draws, Made, Recipe, displaced
from dsmote.kernels import dot, first_axis, lengths
from dsmote.samplers.smote import SMOTE


class AxisRecipe(Recipe):
    """A new row lies on the first principal axis, on the side of a neighbour."""

    lies = "ball"

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Go a share of the distance to the neighbour, along the axis."""
        rows, ends, gaps = index.rows, self.ends(index, bases, draws), draws.gap()
        first = np.flatnonzero(np.diff(bases, prepend=-1))
        near = index.around(bases[first], self.k)
        axes = first_axis([rows.numeric.take(at, axis=0) for at in near])
        axes = axes.repeat(np.diff(first, append=len(bases)), axis=0)
        start = rows.numeric.take(bases, axis=0)
        far, toward = lengths(ends.points - start)
        sides = np.where(dot(axes, toward) < 0, -far, far) * gaps
        how = {"neighbours": ends.numbers, "gaps": gaps, "weights": ends.weights}
        return displaced(rows, bases, sides[:, None] * axes, rounded, **how)


class ADOMS(SMOTE):
    """Adjusting the direction of the synthetic rows: along the principal axis of a neighbourhood.

    ::

        new = base + gap D p     p: first principal axis of the base row and its k nearest of the
                                 class, toward one drawn of these; D: the distance to that one

    Rows lie in the ball around the base row that has the neighbour on its surface: at `gap` times
    its distance, as provenance tells. Columns count as they are large: scale them before.
    Parameters and attributes are those of :class:`~dsmote.SMOTE`.

    References
    ----------
    S. Tang, S. Chen, "The generation mechanism of synthetic minority class examples", ITAB 2008.
    """

    _summary = "rows along the principal axis of a row's neighbourhood"
    _recipe_type = AxisRecipe
