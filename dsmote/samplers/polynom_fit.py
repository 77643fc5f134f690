"""Polynom-fit-SMOTE, star topology: new rows at even steps from each row to the class's mean."""

from dataclasses import dataclass
from itertools import chain

import numpy as np

from dsmote.execute import Bases, ClassContext, ClassIndex, Draws, Ends, Recipe, Rows
from dsmote.samplers.base import OverSampler


class StarRecipe(Recipe):
    """All rows are bases, equally often; segments end at the mean of the row's group."""

    by_row = True
    lies = "mean"

    def prepare(self, ctx: ClassContext) -> np.ndarray:
        """Return the mean of each group, and of the weights in it."""
        groups, weights = _groups(ctx.rows), ctx.rows.weights
        sizes = np.bincount(groups)[groups]
        columns = chain(ctx.columns, [] if weights is None else [weights])
        means = [np.clip(np.bincount(groups, c / sizes), c.min(), c.max()) for c in columns]
        return np.column_stack(means)

    def bases(self, ctx: ClassContext) -> Bases:
        """Give each row as many copies as any other, or one more."""
        each, more = divmod(ctx.cls.new, len(ctx.rows))
        rows = np.arange(1, len(ctx.rows) + 1)
        return Bases(each * rows + np.minimum(rows, more))

    def ends(self, index: ClassIndex, bases: np.ndarray, draws: Draws) -> Ends:
        """End at the mean."""
        points, d = index.state[_groups(index.rows)[bases]], index.rows.numeric.shape[1]
        return Ends(points[:, :d], weights=None if index.rows.weights is None else points[:, d])

    def gaps(self, index: ClassIndex, bases: np.ndarray, ends: Ends, draws: Draws) -> np.ndarray:
        """Divide the way into even steps."""
        copies = index.bases.copies[bases]
        return (draws.numbers - (index.bases.ends[bases] - copies) + 1) / (copies + 1)


def _groups(rows: Rows) -> np.ndarray:
    return np.zeros(len(rows), dtype=np.int64) if rows.group is None else rows.group


@dataclass(kw_only=True, eq=False, repr=False)
class PolynomFitSMOTE(OverSampler):
    """Rows on the segments from each row of the class to the mean of the class, or of its group.

    A row with q copies gets them at 1/(q + 1), ..., q/(q + 1) of the way, which is the `gap` of
    provenance; there is no neighbour, and nothing is random. Parameters and attributes are those of
    :class:`~dsmote.SMOTE` that it has; `route` is that of :class:`~dsmote.RandomOverSampler`.

    References
    ----------
    S. Gazzah, N. Essoukri Ben Amara, "New Oversampling Approaches Based on Polynomial Fitting",
    DAS 2008.
    """

    _summary = "rows at even steps from each row to the mean of its class"
    _recipe_type = StarRecipe
    _random = False

    missing: str = "error"
    route: str = "auto"
    scratch: str | None = None
