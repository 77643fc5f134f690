"""Random-SMOTE: new rows in the triangles of three rows of the class."""

from dataclasses import dataclass

import numpy as np

from dsmote.execute import ClassContext, ClassIndex, Draws, Ends, Recipe
from dsmote.kernels import segment
from dsmote.samplers.base import OverSampler


class TriangleRecipe(Recipe):
    """Segments end between two rows of the class, or of the base row's group."""

    lies = "range"

    def prepare(self, ctx: ClassContext) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows by group, and the first and the number of those of each row's group."""
        n, group = len(ctx.rows), ctx.rows.group
        group = np.zeros(n, dtype=np.int64) if group is None else group
        sizes = np.bincount(group)
        first = np.cumsum(sizes) - sizes
        return np.argsort(group, kind="stable"), first[group], sizes[group]

    def ends(self, index: ClassIndex, bases: np.ndarray, draws: Draws) -> Ends:
        """Draw two rows, and a point between them."""
        (order, first, sizes), rows = index.state, index.rows
        a, b = (
            order[first[bases] + (draws.noise(j) * sizes[bases]).astype(np.int64)] for j in (0, 1)
        )
        gaps, none = draws.noise(2), np.zeros(rows.numeric.shape[1], dtype=bool)
        points = segment(rows.numeric.take(a, axis=0), rows.numeric.take(b, axis=0), gaps, none)
        weights = rows.weights
        if weights is not None:
            weights = segment(weights[a, None], weights[b, None], gaps, none[:1])[:, 0]
        return Ends(points, weights=weights)


@dataclass(kw_only=True, eq=False, repr=False)
class RandomSMOTE(OverSampler):
    """Rows toward a random point between two random rows of the class; no neighbours.

    ::

        t = a + u (b - a)            a, b: rows of the class, drawn with replacement; u from (0, 1)
        new = base + gap (t - base)

    Rows lie in the triangle of three rows of the class (or group), also where it has none. A worker
    holds the class. Parameters and attributes are those of SMOTE that it has, without neighbours.

    References
    ----------
    Y. Dong, X. Wang, "A New Over-Sampling Approach: Random-SMOTE for Learning from Imbalanced Data
    Sets", KSEM 2011.
    """

    _summary = "rows in the triangles of three random rows of the class"
    _recipe_type = TriangleRecipe

    missing: str = "error"
