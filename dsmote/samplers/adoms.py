"""ADOMS: new rows along the direction in which the neighbourhood of a row spreads most."""

import numpy as np

from dsmote.execute import ClassIndex, Draws, Made, Recipe, displaced
from dsmote.kernels import dot, first_axis, lengths, mean
from dsmote.samplers.smote import SMOTE

_AT_ONCE = 1 << 18  # values of neighbourhoods that are held at once


class AxisRecipe(Recipe):
    """A new row lies on the first principal axis, on the side of a neighbour."""

    lies, temporaries = "ball", 12

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Go a share of the distance to the neighbour, along the axis."""
        rows, ends, gaps = index.rows, self.ends(index, bases, draws), draws.gap()
        assert ends.voters is not None
        near, place = ends.voters
        around = np.column_stack([bases[np.flatnonzero(np.diff(bases, prepend=-1))], near])
        step, axes = max(1, _AT_ONCE // (around.shape[1] * rows.numeric.shape[1])), []
        for low in range(0, len(around), step):
            points = [self.scaled(rows.numeric.take(at, axis=0)) for at in around[low:][:step].T]
            centre = mean(points, len(points))
            axes.append(first_axis(np.stack([each - centre for each in points], axis=1)))
        along = np.concatenate(axes).take(place, axis=0)
        start = self.scaled(rows.numeric.take(bases, axis=0))
        far, toward = lengths(self.scaled(ends.points) - start)
        along *= (np.where(dot(along, toward) < 0, -far, far) * gaps)[:, None]
        how = {"neighbours": ends.numbers, "gaps": gaps, "weights": ends.weights}
        return displaced(rows, bases, along * self.units, rounded, **how)


class ADOMS(SMOTE):
    """Adjusting the direction of the synthetic rows: along the principal axis of a neighbourhood.

    ::

        new = base + gap D p     p: first principal axis of the base row and its k nearest of the
                                 class, toward one drawn of these; D: the distance to that one

    Rows lie in the ball around the base row that has the neighbour on its surface: at `gap` times
    its distance, as provenance tells. Columns count as they are large: `scale` them. Parameters and
    attributes are those of :class:`~dsmote.SMOTE`.

    References
    ----------
    S. Tang, S. Chen, "The generation mechanism of synthetic minority class examples", ITAB 2008.
    """

    _takes_sparse = False
    _summary = "rows along the principal axis of a row's neighbourhood"
    _recipe_type, _takes_sparse = AxisRecipe, False
