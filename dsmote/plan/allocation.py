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

__all__ = ["bases_of", "copies_with_replacement"]

_STEP = 1 << 20  # draws held at once


def copies_with_replacement(n_rows: int, n_new: int, seed: int, class_rank: int) -> np.ndarray:
    """Draw bases uniformly with replacement and count how often each row was drawn.

    Parameters
    ----------
    n_rows : int
        Rows that may serve as a base.
    n_new : int
        Synthetic rows to make; the copies add up to exactly this.
    seed, class_rank : int
        The key of the stream of draws.

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
    """
    stream = Stream(seed, class_rank, ALLOCATION)
    copies = np.zeros(n_rows, dtype=np.int64)
    for start in range(0, n_new, _STEP):
        drawn = stream.below(n_rows, start, min(n_new, start + _STEP))
        copies += np.bincount(drawn, minlength=n_rows)
    return np.cumsum(copies)


def bases_of(ends: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return the base row of each of the new rows ``start .. stop``, ascending.

    Examples
    --------
    >>> bases_of(np.array([2, 2, 5, 6]), 1, 6)
    array([0, 2, 2, 2, 3])
    """
    return np.searchsorted(ends, np.arange(start, stop), side="right")
