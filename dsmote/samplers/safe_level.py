"""Safe-Level-SMOTE: new rows nearer to the end of the segment that is safer."""

import numpy as np

from dsmote.execute import Bases, ClassContext, ClassIndex, Draws, Ends, Recipe, other_classes
from dsmote.samplers.smote import SMOTE


class SafeLevelRecipe(Recipe):
    """The safe level of a row is how many of its k nearest rows of all are of its class."""

    lazy_report = True
    counts_others = True
    n_neighbors_all = property(lambda self: self.k)

    def prepare(self, ctx: ClassContext) -> np.ndarray:
        """Count the safe level of each row."""
        assert ctx.nearest_all is not None
        others, present = other_classes(ctx.nearest_all)
        return present - others

    def fits(self, others: np.ndarray, present: np.ndarray, gaps: np.ndarray) -> np.ndarray:
        """Tell which rows have a safe level."""
        return others < present

    def bases(self, ctx: ClassContext) -> Bases:
        """Draw among the rows whose safe level is not 0."""
        safe = ctx.chosen(np.flatnonzero(ctx.state))
        if not len(safe):
            raise ValueError(
                f"class {ctx.cls.label!r} has no row with another of the class among its {self.k} "
                "nearest rows; use SMOTE, or a larger k_neighbors"
            )
        return ctx.drawn(safe)._replace(report={"safe": len(safe)})

    def gaps(self, index: ClassIndex, bases: np.ndarray, ends: Ends, draws: Draws) -> np.ndarray:
        """Stay at the end with the higher level, as close as the levels are apart."""
        base, near = index.state[bases], index.state[ends.rows]
        short = draws.gap() * np.minimum(base, near) / np.maximum(base, near)
        return np.where(base >= near, short, 1 - short)


class SafeLevelSMOTE(SMOTE):
    """SMOTE that makes rows nearer to the end of the segment with more of the class around it.

    Parameters and attributes are those of :class:`~dsmote.SMOTE`. A row is a base if its class is
    among the `k_neighbors` nearest of all rows. From others the paper makes no row, or a copy of
    the neighbour: here they are left out, and counts are exact.

    References
    ----------
    C. Bunkhumpornpat, K. Sinapiromsaran, C. Lursinsap, "Safe-Level-SMOTE: Safe-Level-Synthetic
    Minority Over-Sampling TEchnique for Handling the Class Imbalanced Problem", PAKDD 2009.
    """

    _takes_sparse = False
    _summary = "SMOTE nearer to the rows that have more of their class around them"
    _recipe_type = SafeLevelRecipe
