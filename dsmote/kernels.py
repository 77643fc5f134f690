"""The segment kernel: a new row lies between a base row and one of its neighbours.

::

    base o----------x------------------o neighbour          new = base + gap (neighbour - base)
         0         gap                 1                     one gap for all columns of a row

Source: Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling
Technique", JAIR 16, 2002. The paper's pseudo-code draws a gap for each attribute, its text and
figure (and every implementation in use) one for each row; this is the latter.

The kernel that goes beyond: a new row lies on the far side of its base row.

::

    x-----o base------------------o neighbour          new = base - step (neighbour - base)
    step                                               one step for all columns of a row

Source: Nguyen, Cooper and Kamei, "Borderline over-sampling for imbalanced data classification",
2011, where the neighbours of a safe support vector are extrapolated.

The kernel of the smoothed bootstrap: a copy of a row, moved a little at random.

::

    base o~~> x        x = base + shrinkage h std N(0, 1), each column on its own
                       h = (4 / ((d + 2) n))^(1 / (d + 4))

Source: Menardi and Torelli, "Training and assessing classification rules with imbalanced data"
(ROSE), Data Mining and Knowledge Discovery 28, 2014.

The vote kernel: a nominal value is the most common one among the neighbours.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

__all__ = ["bandwidth", "beyond", "beyond_exact", "normal", "segment", "segment_exact", "vote"]


def segment(
    bases: np.ndarray, neighbours: np.ndarray, gaps: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Interpolate rows.

    Parameters
    ----------
    bases, neighbours : ndarray of float64, shape (n, d)
        End points of each row's segment.
    gaps : ndarray of float64, shape (n,)
        Place on the segment, in [0, 1).
    whole : ndarray of bool, shape (d,)
        Columns of whole numbers: the step from the base is rounded to nearest, ties to even.

    Returns
    -------
    ndarray of float64, shape (n, d)
        Each value lies between its two end points, rounding included.

    Examples
    --------
    >>> segment(np.array([[0.0, 0.0]]), np.array([[10.0, 3.0]]), np.array([0.25]),
    ...         np.array([False, True]))
    array([[2.5, 1. ]])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        steps = neighbours - bases
        steps *= gaps[:, None]
        finite = np.isfinite(steps.sum())  # mostly tells at once that all are
    if whole.any():
        steps[:, whole] = np.rint(steps[:, whole])
    made = bases + steps
    if not finite:
        far = ~np.isfinite(steps)  # end points further apart than a float can tell
        blend = bases * (1.0 - gaps)[:, None] + neighbours * gaps[:, None]
        made = np.where(far, blend, made)
    # base + gap * (neighbour - base) may pass the neighbour by one rounding.
    np.maximum(made, np.minimum(bases, neighbours, out=steps), out=made)
    return np.minimum(made, np.maximum(bases, neighbours, out=steps), out=made)


def segment_exact(bases: np.ndarray, neighbours: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Interpolate 64-bit whole numbers that float64 cannot hold (ids, nanoseconds).

    Parameters
    ----------
    bases, neighbours : ndarray of int64 or uint64, shape (n,)
        End points.
    gaps : ndarray of float64, shape (n,)
        Place on the segment, in [0, 1).

    Returns
    -------
    ndarray of the same dtype, shape (n,)
        The base plus the rounded step; the step is at most the distance of the end points.

    Examples
    --------
    >>> segment_exact(np.array([2**62 + 1]), np.array([2**62 + 5]), np.array([0.5])) - 2**62
    array([3])
    """
    up = neighbours >= bases
    low = np.where(up, bases, neighbours).astype(np.uint64)
    high = np.where(up, neighbours, bases).astype(np.uint64)
    distance = high - low  # modulo 2**64, which is exact for signed end points too
    wanted = np.rint(gaps * distance.astype(np.float64))
    # 2**64 itself would not fit; a gap below 1 reaches it only through rounding.
    steps = np.minimum(np.minimum(wanted, 2.0**64 - 2048.0).astype(np.uint64), distance)
    start = bases.astype(np.uint64)
    return np.where(up, start + steps, start - steps).astype(bases.dtype)


def beyond(
    bases: np.ndarray, neighbours: np.ndarray, steps: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Extrapolate rows away from their neighbours.

    Parameters
    ----------
    bases, neighbours : ndarray of float64, shape (n, d)
        Rows.
    steps : ndarray of float64, shape (n,)
        How far, as a share of the distance; not negative.
    whole : ndarray of bool, shape (d,)
        Columns of whole numbers: the step is rounded to nearest, ties to even.

    Returns
    -------
    ndarray of float64, shape (n, d)
        Finite where the end points are; what would overflow ends at the largest float.

    Examples
    --------
    >>> beyond(np.array([[0.0, 0.0]]), np.array([[10.0, 3.0]]), np.array([0.25]),
    ...        np.array([False, True]))
    array([[-2.5, -1. ]])
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


def beyond_exact(bases: np.ndarray, neighbours: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Extrapolate 64-bit whole numbers that float64 cannot hold (ids, nanoseconds).

    Parameters
    ----------
    bases, neighbours : ndarray of int64 or uint64, shape (n,)
        Rows.
    steps : ndarray of float64, shape (n,)
        How far, as a share of the distance, in [0, 1].

    Returns
    -------
    ndarray of the same dtype, shape (n,)
        What would leave the range of the dtype ends at its edge.

    Examples
    --------
    >>> beyond_exact(np.array([2**62 + 4]), np.array([2**62 + 8]), np.array([0.5])) - 2**62
    array([2])
    """
    info = np.iinfo(bases.dtype)
    down = neighbours >= bases
    low = np.where(down, bases, neighbours).astype(np.uint64)
    high = np.where(down, neighbours, bases).astype(np.uint64)
    wanted = np.rint(steps * (high - low).astype(np.float64))
    move = np.minimum(wanted, 2.0**64 - 2048.0).astype(np.uint64)
    # Room below the base, and above it; modulo 2^64, which is exact for signed numbers too.
    start = bases.astype(np.uint64)
    below = start - np.uint64(info.min % 2**64)
    above = np.uint64(info.max) - start
    moved = np.where(down, start - np.minimum(move, below), start + np.minimum(move, above))
    return moved.astype(bases.dtype)


def bandwidth(n_rows: int, n_columns: int) -> float:
    """Return h, the bandwidth that is best for normal rows.

    Parameters
    ----------
    n_rows : int
        Rows of the class.
    n_columns : int
        Columns that are moved.

    Examples
    --------
    >>> round(bandwidth(100, 2), 4)
    0.4642
    """
    return float((4.0 / ((n_columns + 2) * n_rows)) ** (1.0 / (n_columns + 4)))


def normal(draws: np.ndarray) -> np.ndarray:
    """Turn uniform draws from (0, 1) into normal ones, float64.

    Examples
    --------
    >>> normal(np.array([0.5, 0.8413447460685429]))
    array([0., 1.])
    """
    return np.asarray(ndtri(draws))


def vote(codes: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the mode of each row, ties broken by a draw.

    Parameters
    ----------
    codes : ndarray of int, shape (n, k)
        Codes of the levels that the k neighbours have, nearest first.
    draws : ndarray of float64, shape (n,)
        In [0, 1): which of the tied levels wins.

    Returns
    -------
    ndarray, shape (n,), dtype of `codes`
        Tied levels are ordered by their nearest neighbour, so the result does not depend on how
        levels are coded.

    Notes
    -----
    Needs n x k bytes a few times over, never n x levels.

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
