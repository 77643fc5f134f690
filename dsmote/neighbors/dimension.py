"""In how many directions rows spread."""

from __future__ import annotations

import numpy as np

__all__ = ["intrinsic_dimension"]


def intrinsic_dimension(sample: np.ndarray) -> float:
    """Estimate in how many directions rows spread: the participation ratio of the spectrum.

    Parameters
    ----------
    sample : ndarray of float64, shape (s, d)
        Some rows.

    Returns
    -------
    float
        (sum of eigenvalues)^2 / sum of squared eigenvalues of the covariance: d when all
        directions have equal variance, 1 when there is one.

    Examples
    --------
    >>> line = np.arange(10.0)[:, None] * np.ones((1, 4))
    >>> round(intrinsic_dimension(line), 6)
    1.0
    """
    if len(sample) < 2 or sample.shape[1] == 0:
        return 0.0
    centred = sample - sample.mean(axis=0)
    largest = np.abs(centred).max()
    if largest == 0.0 or not np.isfinite(largest):
        return 0.0
    values = np.linalg.svd(centred / largest, compute_uv=False) ** 2
    return float(values.sum() ** 2 / (values**2).sum())
