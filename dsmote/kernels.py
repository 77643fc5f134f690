"""Pure numpy kernels: arrays in, arrays out, draws passed in, nothing written in place.

::

    extrapolate          base          segment              neighbour
    x--------------------o-------------x--------------------o
    base - step (neighbour - base)     base + gap (neighbour - base)     one gap or step for a row

    normal               x = base + shrinkage h std N(0, 1), each column on its own
                         h = (4 / ((d + 2) n))^(1 / (d + 4))

    vote                 the most common level among the neighbours

Sources: Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique",
JAIR 16, 2002. The paper's pseudo-code draws a gap for each attribute, its text and figure (and all
implementations in use) one for each row; this is the latter.
Nguyen, Cooper and Kamei, "Borderline over-sampling for imbalanced data classification", 2011, where
the neighbours of a safe support vector are extrapolated.
Menardi and Torelli, "Training and assessing classification rules with imbalanced data" (ROSE), Data
Mining and Knowledge Discovery 28, 2014.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import ndtri

_MOST_STEPS = 2.0**64 - 2048.0  # the largest float64 that uint64 holds


def segment(
    bases: np.ndarray, neighbours: np.ndarray, gaps: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Interpolate rows; each value lies between its two end points, rounding included.

    `gaps`, one for each row, are in [0, 1). `whole` marks integer columns, in which the step from
    the base is rounded to nearest, ties to even.

    Examples
    --------
    >>> segment(np.array([[0.0, 0.0]]), np.array([[10.0, 3.0]]), np.array([0.25]),
    ...         np.array([False, True]))
    array([[2.5, 1. ]])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        steps = neighbours - bases
        steps *= gaps[:, None]
        finite = np.isfinite(steps.sum())  # usually one check for all
    if whole.any():
        steps[:, whole] = np.rint(steps[:, whole])
    made = bases + steps
    if not finite:
        far = ~np.isfinite(steps)  # the distance of the end points overflows
        blend = bases * (1.0 - gaps)[:, None] + neighbours * gaps[:, None]
        made = np.where(far, blend, made)
    # base + gap * (neighbour - base) may pass the neighbour by one rounding.
    np.maximum(made, np.minimum(bases, neighbours, out=steps), out=made)
    return np.minimum(made, np.maximum(bases, neighbours, out=steps), out=made)


def segment_exact(bases: np.ndarray, neighbours: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Interpolate 64-bit integers that float64 cannot hold (ids, nanoseconds)."""
    up, distance, start = _distances(bases, neighbours)
    wanted = np.rint(gaps * distance.astype(np.float64))
    steps = np.minimum(np.minimum(wanted, _MOST_STEPS).astype(np.uint64), distance)
    return np.where(up, start + steps, start - steps).astype(bases.dtype)


def _distances(
    bases: np.ndarray, neighbours: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whether neighbours are above their bases, and distances and bases as uint64."""
    up = neighbours >= bases
    low = np.where(up, bases, neighbours).astype(np.uint64)
    high = np.where(up, neighbours, bases).astype(np.uint64)
    # Modulo 2**64, which is exact for signed integers too.
    return up, high - low, bases.astype(np.uint64)


def extrapolate(
    bases: np.ndarray, neighbours: np.ndarray, steps: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Move rows away from their neighbours; parameters as of :func:`segment`.

    Where the end points are finite the result is, too: what overflows is clipped.
    """
    with np.errstate(over="ignore"):
        # Each end times the step: their difference might overflow where the product does not.
        moved = neighbours * steps[:, None] - bases * steps[:, None]
        direct = (neighbours - bases) * steps[:, None]
        moved = np.where(np.isfinite(direct), direct, moved)
        if whole.any():
            moved[:, whole] = np.rint(moved[:, whole])
        limit = np.finfo(np.float64).max
        return np.clip(bases - moved, -limit, limit)


def extrapolate_exact(bases: np.ndarray, neighbours: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Extrapolate 64-bit integers; what would leave the range of the dtype ends at its edge."""
    info = np.iinfo(bases.dtype)
    down, distance, start = _distances(bases, neighbours)
    wanted = np.rint(steps * distance.astype(np.float64))
    move = np.minimum(wanted, _MOST_STEPS).astype(np.uint64)
    below = start - np.uint64(info.min % 2**64)
    above = np.uint64(info.max) - start
    moved = np.where(down, start - np.minimum(move, below), start + np.minimum(move, above))
    return moved.astype(bases.dtype)


def bandwidth(n_rows: int, n_columns: int) -> float:
    """Return h, the bandwidth that is best for normal rows."""
    return float((4.0 / ((n_columns + 2) * n_rows)) ** (1.0 / (n_columns + 4)))


def normal(draws: np.ndarray) -> np.ndarray:
    """Turn uniform draws from (0, 1) into normal ones, float64."""
    return np.asarray(ndtri(draws))


def vote(codes: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the mode of each row of codes; where levels tie, a draw from [0, 1) decides.

    Codes, of shape (n, k), are the levels of k neighbours, nearest first. Tied levels are ordered
    by their nearest neighbour, so the result does not depend on how levels are coded. Memory is
    n x k bytes a few times over, never n x levels.

    Examples
    --------
    >>> vote(np.array([[2, 7, 7], [4, 5, 6]]), np.array([0.0, 0.5]))
    array([7, 5])
    """
    n, k = codes.shape
    counts = np.zeros((n, k), dtype=np.int32)
    first = np.ones((n, k), dtype=bool)
    for j in range(k):
        equal = codes == codes[:, j : j + 1]
        counts += equal
        first[:, j + 1 :] &= ~equal[:, j + 1 :]
    leading = first & (counts == counts.max(axis=1, keepdims=True))
    tied = leading.sum(axis=1)
    chosen = np.minimum((draws * tied).astype(np.int64), tied - 1)
    place = np.cumsum(leading, axis=1) - 1
    winner = leading & (place == chosen[:, None])
    return codes[np.arange(n), winner.argmax(axis=1)]


def mixed_weight(columns: Iterable[np.ndarray]) -> float:
    """Return M, the median of the numeric columns' population standard deviations.

    It is 1 where the median is 0 (at least half of the features are constant): M = 0 would make all
    categories equally near.
    """
    # Column by column, so that the order of the additions does not depend on the layout.
    spreads = [np.ascontiguousarray(column).std() for column in columns]
    middle = float(np.median(spreads)) if spreads else 0.0
    return middle if middle > 0 and np.isfinite(middle) else 1.0
