"""In how many directions rows spread, and which."""

from __future__ import annotations

import numpy as np

__all__ = ["intrinsic_dimension", "principal_axes"]

_FLOPS = 1 << 17  # multiplications that no BLAS spreads over threads
_ROWS = 256  # of a sample of more columns than these, enough to tell few directions from many


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
    if sample.shape[1] > _ROWS:
        sample = sample[:: -(-len(sample) // _ROWS)]
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
    step = max(2, _FLOPS // d**2)
    product = np.zeros((d, d))
    for start in range(0, n, step):
        piece = centred[start : start + step]
        product += piece.T @ piece
    return float(np.trace(product) ** 2 / (product**2).sum())


def principal_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the directions in which centred rows spread, by the smaller side of the matrix.

    Parameters
    ----------
    centred : ndarray of float64, shape (n, d)
        Rows; the mean of each column is 0.

    Returns
    -------
    values : ndarray of float64, shape (min(n, d),)
        Sums of squares along the axes, descending.
    axes : ndarray of float64, shape (d, min(n, d))
        Orthonormal columns.

    Examples
    --------
    >>> values, axes = principal_axes(np.array([[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]]))
    >>> values.round(6), axes.shape
    (array([4., 0.]), (3, 2))
    """
    n, d = centred.shape
    if n >= d:
        values, axes = np.linalg.eigh(centred.T @ centred)
        return values[::-1], axes[:, ::-1]
    # Rows span at most n directions: an orthonormal basis of these first. Axes taken from the
    # products of rows instead would not be orthonormal where there is hardly any spread.
    basis, small = np.linalg.qr(centred.T)
    values, axes = np.linalg.eigh(small @ small.T)
    return values[::-1], (basis @ axes)[:, ::-1]
