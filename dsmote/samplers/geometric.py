"""Geometric SMOTE: new rows in a ball around a row, with a neighbour on its surface."""

from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from dsmote.execute import ClassIndex, Draws, Made, Recipe, displaced, toward_others
from dsmote.kernels import geometric, in_ball, lengths
from dsmote.samplers.parameters import Range, allow
from dsmote.samplers.smote import SMOTE

_STRATEGIES = {"combined", "majority", "minority"}


@dataclass(frozen=True)
class BallRecipe(Recipe):
    """On the surface is a neighbour, the nearest row of other classes, or the nearer of both."""

    selection_strategy: str = "combined"
    truncation_factor: float = 1.0
    deformation_factor: float = 0.0
    lies, temporaries = "ball", 16
    others_only = True
    n_neighbors_all = property(lambda self: int(self.selection_strategy != "minority"))
    values = n_neighbors_all

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Draw from the unit ball, cut it, flatten it and stretch it to the surface."""
        start, ends = index.rows.numeric.take(bases, axis=0), self.ends(index, bases, draws)
        if self.n_neighbors_all:
            combined, base = self.selection_strategy == "combined", self.scaled(start)
            far = (lambda points: lengths(self.scaled(points) - base)[0]) if combined else None
            ends = toward_others(index, bases, ends, far)
        ball, units = in_ball([*draws.normal(start.shape[1])], draws.gap()), self.units
        surface = (ends.points - start) / units
        steps, gaps = geometric(surface, ball, self.truncation_factor, self.deformation_factor)
        more = {"neighbours": ends.numbers, "gaps": gaps, "weights": ends.weights}
        return displaced(index.rows, bases, steps * units, rounded, **more)


@dataclass(kw_only=True, eq=False, repr=False)
class GeometricSMOTE(SMOTE):
    """Rows in a ball around a row, at `gap` times the distance of the neighbour on its surface.

    That is one of the k nearest of the class ("minority"), the nearest row of other classes
    ("majority"), or the nearer of both. `truncation_factor` 1 leaves the half toward it, -1 the
    other, 0 the ball; `deformation_factor` 1 the line. A ball is as wide in all columns, also in
    constant ones: `scale` them. Other parameters: SMOTE's.

    References
    ----------
    G. Douzas, F. Bacao, "Geometric SMOTE", Information Sciences 501, 2019.
    """

    _summary = "rows in a ball around a row, with a neighbour on its surface"
    _recipe_type, _takes_sparse = BallRecipe, False

    selection_strategy: str = field(default="combined", metadata=allow(_STRATEGIES))
    truncation_factor: float = field(default=1.0, metadata=allow(Range(Real, -1, 1, "both")))
    deformation_factor: float = field(default=0.0, metadata=allow(Range(Real, 0, 1, "both")))
