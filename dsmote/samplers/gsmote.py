"""G-SMOTE: new rows toward the neighbour that lies along the principal axis of the class."""

import numpy as np

from dsmote.execute import ClassContext, ClassIndex, Draws, Made, Recipe
from dsmote.kernels import lengths, segment, segment_exact
from dsmote.neighbors import leading_axes, project
from dsmote.samplers.smote import SMOTE


class AlignedRecipe(Recipe):
    """Of the k nearest, the end is the one most aligned with the class's first axis."""

    lies, temporaries = "box", 8
    reads_blocks = True

    def prepare(self, ctx: ClassContext) -> np.ndarray:
        """Return where each (scaled) row is along the first principal axis of the class."""
        axes = leading_axes(ctx.blocks, 1)
        return np.concatenate([project(block, *axes)[:, 0] for block in ctx.blocks()])

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Go a share of the way in each column."""
        rows, along, (near, place) = index.rows, index.state, index.nearest(bases, self.k)
        first = bases[np.flatnonzero(np.diff(bases, prepend=-1))]
        start = self.scaled(rows.numeric.take(first, axis=0))
        best, chosen = np.full(len(first), -1.0), first
        for at in near.T:
            far = lengths(self.scaled(rows.numeric.take(at, axis=0)) - start)[0]
            aligned = np.abs(along[at] - along[first]) / np.where(far > 0, far, 1.0)
            best, chosen = np.maximum(aligned, best), np.where(aligned > best, at, chosen)
        ends, made = chosen[place], rows.numeric.take(bases, axis=0)
        integers, toward = {}, rows.numeric.take(ends, axis=0)
        for j in range(made.shape[1]):
            one, gaps = slice(j, j + 1), draws.noise(j)
            made[:, one] = segment(made[:, one], toward[:, one], gaps, rounded[one])
            if j in rows.integers:
                values = rows.integers[j]
                integers[j] = segment_exact(values[bases], values[ends], gaps)
        weights = None if rows.weights is None else (rows.weights[bases] + rows.weights[ends]) / 2
        numbers = rows.numbers[ends]
        return Made(made, integers, rows.codes[bases], bases, numbers, None, weights)


class GSMOTE(SMOTE):
    """G-SMOTE of Sandhan and Choi: toward the neighbour along the class's principal axis.

    New is base + u (neighbour - base), u a draw from (0, 1) for each column: in the box with these
    two as corners. Of the k nearest of the class the neighbour is the one whose direction is
    nearest to the first principal axis of the class. Other parameters: SMOTE's. For the method of
    Douzas and Bacao see :class:`~dsmote.GeometricSMOTE`.

    References
    ----------
    T. Sandhan, J. Y. Choi, "Handling Imbalanced Datasets by Partially Guided Hybrid Sampling for
    Pattern Recognition", ICPR 2014.
    """

    _summary = "rows in the box of a row and its neighbour along the principal axis"
    _recipe_type, _takes_sparse = AlignedRecipe, False
