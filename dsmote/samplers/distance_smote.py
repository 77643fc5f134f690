"""Distance-SMOTE: new rows between a row and the mean of its nearest neighbours."""

import numpy as np

from dsmote.execute import ClassIndex, Draws, Ends, Recipe
from dsmote.kernels import mean
from dsmote.samplers.smote import SMOTE


class DistanceRecipe(Recipe):
    """Segments end at the mean of the k nearest of each base row."""

    lies, temporaries = "middle", 6

    def ends(self, index: ClassIndex, bases: np.ndarray, draws: Draws) -> Ends:
        """End at the mean of the neighbours, which vote on categories."""
        near, place = index.nearest(bases, self.k)
        numeric, weights = index.rows.numeric, index.rows.weights
        points = mean((numeric.take(at, axis=0) for at in near.T), self.k).take(place, axis=0)
        if weights is not None:
            weights = mean((weights[at] for at in near.T), self.k)[place]
        return Ends(points, weights=weights, voters=(near, place))


class DistanceSMOTE(SMOTE):
    """SMOTE toward the mean of the neighbours instead of one of them.

    ::

        new = base + gap (mean of its k nearest of the class - base)    gap drawn from [0, 1)

    Rows lie on the segment from a row to the mean of its neighbours, in the hull of the class.
    Parameters and attributes are those of :class:`~dsmote.SMOTE`; provenance tells no neighbour.

    References
    ----------
    J. de la Calleja, O. Fuentes, "A Distance-Based Over-Sampling Method for Learning from
    Imbalanced Data Sets", FLAIRS 2007.
    """

    _takes_sparse = False
    _summary = "SMOTE toward the mean of the neighbours"
    _recipe_type, _takes_sparse = DistanceRecipe, False
