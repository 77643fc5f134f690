"""The segment kernel: a new row lies between a base row and one of its neighbours.

::

    base o----------x------------------o neighbour          new = base + gap (neighbour - base)
         0         gap                 1                     one gap for all columns of a row

Source: Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling
Technique", JAIR 16, 2002. The paper's pseudo-code draws a gap for each attribute, its text and
figure (and every implementation in use) one for each row; this is the latter.
"""

from __future__ import annotations

import numpy as np

__all__ = ["segment", "segment_exact"]


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
