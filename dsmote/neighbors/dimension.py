"""In how many directions rows spread."""

from __future__ import annotations

import numpy as np

__all__ = ["intrinsic_dimension"]

_FLOPS = 1 << 17  # multiplications that no BLAS spreads over threads


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
    centred /= largest
    if centred.shape[1] > len(centred):
        centred = centred.T  # the same spectrum, and the smaller product
    # The sums come from the trace and the norm of the product. It is made in pieces that no BLAS
    # spreads over threads: waiting for a busy core would take longer than a small table's search.
    n, d = centred.shape
    step = min(n, max(16, _FLOPS // d**2))
    whole = n - n % step
    pieces = centred[:whole].reshape(-1, step, d)
    product = (pieces.transpose(0, 2, 1) @ pieces).sum(axis=0)
    product += centred[whole:].T @ centred[whole:]
    return float(np.trace(product) ** 2 / (product**2).sum())
