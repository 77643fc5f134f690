"""The kernel that goes beyond: a new row lies on the far side of its base row.

::

    x-----o base------------------o neighbour          new = base - step (neighbour - base)
    step                                               one step for all columns of a row

Source: Nguyen, Cooper and Kamei, "Borderline over-sampling for imbalanced data classification",
2011, where the neighbours of a safe support vector are extrapolated.
"""

from __future__ import annotations

import numpy as np

__all__ = ["beyond", "beyond_exact"]


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
