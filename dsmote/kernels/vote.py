"""The vote kernel: a nominal value is the most common one among the neighbours."""

from __future__ import annotations

import numpy as np

__all__ = ["vote"]


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
