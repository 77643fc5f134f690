"""How many copies each base row gets: exact totals, from weights and draws.

The synthetic rows of a class are numbered 0, 1, ... in order of their base row::

    base row      0     1     2        3   4 ...
    copies        2     0     3        1   ...
    ends          2     2     5        6   ...      (running total)
    new row     0   1       2   3   4   5  ...

so a block of consecutive new rows touches consecutive base rows, and no base row's neighbours
are searched for twice (but for one at each edge of a block).
"""

from __future__ import annotations

import numpy as np

from dsmote.plan.draws import ALLOCATION, Stream

__all__ = ["bases_of", "copies_by_weight", "copies_with_replacement", "shares"]

_STEP = 1 << 20  # draws held at once


def copies_with_replacement(
    n_rows: int,
    n_new: int,
    seed: int,
    class_rank: int,
    among: np.ndarray | None = None,
    first: int = 0,
) -> np.ndarray:
    """Draw bases uniformly with replacement and count how often each row was drawn.

    Parameters
    ----------
    n_rows : int
        Rows of the class.
    n_new : int
        Synthetic rows to make; the copies add up to exactly this.
    seed, class_rank : int
        The key of the stream of draws.
    among : ndarray of int64, optional
        The rows that may serve as a base; all when omitted.
    first : int, default=0
        Place in the stream of the first draw.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Running total of the copies; row ``i`` is the base of the new rows
        ``ends[i - 1] .. ends[i]``.

    Examples
    --------
    >>> ends = copies_with_replacement(4, 10, seed=0, class_rank=1)
    >>> int(ends[-1])
    10
    >>> copies_with_replacement(4, 10, seed=0, class_rank=1, among=np.array([2]))
    array([ 0,  0, 10, 10])
    """
    stream = Stream(seed, class_rank, ALLOCATION)
    n = n_rows if among is None else len(among)
    copies = np.zeros(n, dtype=np.int64)
    for start in range(0, n_new, _STEP):
        drawn = stream.below(n, first + start, first + min(n_new, start + _STEP))
        copies += np.bincount(drawn, minlength=n)
    if among is None:
        return np.cumsum(copies)
    spread = np.zeros(n_rows, dtype=np.int64)
    spread[among] = copies
    return np.cumsum(spread)


def shares(weights: np.ndarray, total: int) -> np.ndarray:
    """Divide a whole number by weights, by largest remainders: the parts add up to it.

    Parameters
    ----------
    weights : ndarray of float64, shape (n,)
        None negative, not all 0.
    total : int
        What is divided.

    Returns
    -------
    ndarray of int64, shape (n,)
        Each part is its exact share, rounded down or up; of equal remainders the first is rounded
        up. No part where the weight is 0.

    Raises
    ------
    ValueError
        All weights are 0, or one is negative or not finite.

    Examples
    --------
    >>> shares(np.array([1.0, 1.0, 0.0, 2.0]), 6)
    array([2, 1, 0, 3])
    """
    largest = float(np.max(weights, initial=0.0))
    if not (largest > 0 and np.isfinite(largest) and (weights >= 0).all()):
        raise ValueError(f"weights must be finite, none negative and not all 0; found {weights!r}")
    part = weights / largest
    part = part * (total / part.sum())
    whole = np.floor(part).astype(np.int64)
    left = total - int(whole.sum())
    # Rounding of the sum can leave one too many or too few, never more than there are rows.
    order = np.argsort(-(part - whole), kind="stable")
    order = order[weights[order] > 0]
    while left > 0:
        some = order[:left]
        whole[some] += 1
        left -= len(some)
    for i in order[::-1]:
        if left == 0:
            break
        if whole[i]:
            whole[i] -= 1
            left += 1
    return whole


def copies_by_weight(weights: np.ndarray, n_new: int) -> np.ndarray:
    """Give each base row copies in proportion to its weight, by largest remainders.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_rows,)
        As for :func:`shares`.
    n_new : int
        Synthetic rows to make.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Running total, as :func:`copies_with_replacement`.

    Examples
    --------
    >>> copies_by_weight(np.array([0.0, 0.5, 0.25]), 4)
    array([0, 3, 4])
    """
    return np.cumsum(shares(weights, n_new))


def bases_of(ends: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return the base row of each of the new rows ``start .. stop``, ascending.

    Examples
    --------
    >>> bases_of(np.array([2, 2, 5, 6]), 1, 6)
    array([0, 2, 2, 2, 3])
    """
    return np.searchsorted(ends, np.arange(start, stop), side="right")
