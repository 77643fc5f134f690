"""The kernel of the smoothed bootstrap: a copy of a row, moved a little at random.

::

    base o~~> x        x = base + shrinkage h std N(0, 1), each column on its own
                       h = (4 / ((d + 2) n))^(1 / (d + 4))

Source: Menardi and Torelli, "Training and assessing classification rules with imbalanced data"
(ROSE), Data Mining and Knowledge Discovery 28, 2014.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

__all__ = ["bandwidth", "normal"]


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
