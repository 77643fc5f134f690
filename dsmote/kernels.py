"""Pure numpy kernels: arrays in, arrays out, draws passed in, nothing written in place.

::

    extrapolate          base          segment              neighbour
    x--------------------o-------------x--------------------o
    base - step (neighbour - base)     base + gap (neighbour - base)     one gap or step for a row

    normal               x = base + shrinkage h std N(0, 1), each column on its own
                         h = (4 / ((d + 2) n))^(1 / (d + 4))

    vote                 the most common level among the neighbours

Sources: Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique",
JAIR 16, 2002. The paper's pseudo-code draws a gap for each attribute, its text and figure (and all
implementations in use) one for each row; this is the latter.
Nguyen, Cooper and Kamei, "Borderline over-sampling for imbalanced data classification", 2011, where
the neighbours of a safe support vector are extrapolated.
Menardi and Torelli, "Training and assessing classification rules with imbalanced data" (ROSE), Data
Mining and Knowledge Discovery 28, 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.special import ndtri

MOST = float(np.finfo(np.float64).max)
_MOST_STEPS = 2.0**64 - 2048.0  # the largest float64 that uint64 holds


def segment(
    bases: np.ndarray, neighbours: np.ndarray, gaps: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Interpolate rows; each value lies between its two end points, rounding included.

    `gaps`, one for each row, are in [0, 1). `whole` marks integer columns, in which the step from
    the base is rounded to nearest, ties to even.

    Examples
    --------
    >>> segment(np.array([[0.0, 0.0]]), np.array([[10.0, 3.0]]), np.array([0.25]),
    ...         np.array([False, True]))
    array([[2.5, 1. ]])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        steps = neighbours - bases
        steps *= gaps[:, None]
        finite = np.isfinite(steps.sum())  # usually one check for all
    if whole.any():
        steps[:, whole] = np.rint(steps[:, whole])
    made = bases + steps
    if not finite:
        far = ~np.isfinite(steps)  # the distance of the end points overflows
        blend = bases * (1.0 - gaps)[:, None] + neighbours * gaps[:, None]
        made = np.where(far, blend, made)
    # base + gap * (neighbour - base) may pass the neighbour by one rounding.
    np.maximum(made, np.minimum(bases, neighbours, out=steps), out=made)
    return np.minimum(made, np.maximum(bases, neighbours, out=steps), out=made)


def segment_exact(bases: np.ndarray, neighbours: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Interpolate 64-bit integers that float64 cannot hold (ids, nanoseconds)."""
    up, distance, start = _distances(bases, neighbours)
    wanted = np.rint(gaps * distance.astype(np.float64))
    steps = np.minimum(np.minimum(wanted, _MOST_STEPS).astype(np.uint64), distance)
    return np.where(up, start + steps, start - steps).astype(bases.dtype)


def _distances(
    bases: np.ndarray, neighbours: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whether neighbours are above their bases, and distances and bases as uint64."""
    up = neighbours >= bases
    low = np.where(up, bases, neighbours).astype(np.uint64)
    high = np.where(up, neighbours, bases).astype(np.uint64)
    # Modulo 2**64, which is exact for signed integers too.
    return up, high - low, bases.astype(np.uint64)


def extrapolate(
    bases: np.ndarray, neighbours: np.ndarray, steps: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Move rows away from their neighbours; parameters as of :func:`segment`.

    Where the end points are finite the result is, too: what overflows is clipped.
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


def extrapolate_exact(bases: np.ndarray, neighbours: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Extrapolate 64-bit integers; what would leave the range of the dtype ends at its edge."""
    info = np.iinfo(bases.dtype)
    down, distance, start = _distances(bases, neighbours)
    wanted = np.rint(steps * distance.astype(np.float64))
    move = np.minimum(wanted, _MOST_STEPS).astype(np.uint64)
    below = start - np.uint64(info.min % 2**64)
    above = np.uint64(info.max) - start
    moved = np.where(down, start - np.minimum(move, below), start + np.minimum(move, above))
    return moved.astype(bases.dtype)


def add_exact(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Add whole numbers to 64-bit integers, which end at the edge of their range."""
    info = np.iinfo(values.dtype)
    start = values.astype(np.uint64)
    size = np.minimum(np.abs(by), _MOST_STEPS).astype(np.uint64)
    above = np.uint64(info.max) - start
    below = start - np.uint64(info.min % 2**64)
    up = start + np.minimum(size, above)
    return np.where(by >= 0, up, start - np.minimum(size, below)).astype(values.dtype)


def mean(parts: Iterable[np.ndarray], n: int) -> np.ndarray:
    """Return the mean of n arrays of one shape, added in order; it lies among their values.

    NumPy's own order of addition depends on the shape, and so on how many rows are made at once.

    Examples
    --------
    >>> mean([np.array([1.0, 2.0]), np.array([2.0, 4.0])], 2)
    array([1.5, 3. ])
    """
    made, low, high = np.zeros(()), np.full((), np.inf), np.full((), -np.inf)
    for part in parts:
        made = made + part / n
        low, high = np.minimum(low, part), np.maximum(high, part)
    return np.clip(made, low, high)


def lengths(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lengths, and directions (of no length: 0), also where squares leave float64's range.

    Examples
    --------
    >>> lengths(np.array([[3e200, 4e200], [0.0, 0.0]]))
    (array([5.e+200, 0.e+000]), array([[0.6, 0.8],
           [0. , 0. ]]))
    """
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    unit = vectors / np.where(largest > 0, largest, 1.0)[:, None]
    norm = np.sqrt(dot(unit, unit))
    with np.errstate(over="ignore"):
        return largest * norm, unit / np.where(norm > 0, norm, 1.0)[:, None]


def dot(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the inner products of rows, added column by column: the same in any batch."""
    made = np.zeros(len(some))
    for j in range(some.shape[1]):
        made += some[:, j] * others[:, j]
    return made


def gaussian(
    parts: Callable[[], Iterable[np.ndarray]], n: int, spread: float, draws: Iterable[np.ndarray]
) -> np.ndarray:
    """Draw from the normal distribution with mean and covariance (times `spread`) of n rows each.

    `parts` yields the first, second, ... of the rows of each new one, and `draws` as many normal
    draws: mu + sqrt(spread / n) sum_j g_j (x_j - mu), without a matrix.
    """
    centre = mean(parts(), n)
    made, share = centre.copy(), np.sqrt(spread / n)
    with np.errstate(over="ignore", invalid="ignore"):
        for part, draw in zip(parts(), draws, strict=True):
            part -= centre
            part *= (share * draw)[:, None]
            made += part
    np.copyto(made, centre, where=np.isnan(made))
    return np.clip(made, -MOST, MOST, out=made)


def in_ball(normals: Sequence[np.ndarray], draws: np.ndarray) -> np.ndarray:
    """Return uniform points of the unit ball, shape (n, d), by d normal draws and a uniform one."""
    return lengths(np.column_stack(normals))[1] * (draws ** (1.0 / len(normals)))[:, None]


def geometric(
    surface: np.ndarray, unit: np.ndarray, truncation: float, deformation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return steps from the centre of a ball, and their lengths as shares of the radius.

    `surface` leads from the centre to a point of the surface, `unit` holds points of the unit ball.
    """
    radius, toward = lengths(surface)
    along = dot(unit, toward)
    limit = abs(truncation) - 1.0
    signed = along if truncation >= 0 else -along
    mirrored = (signed < limit) & (truncation != 0)
    unit = unit - np.where(mirrored, 2.0 * along, 0.0)[:, None] * toward
    along = np.where(mirrored, -along, along)[:, None] * toward
    made = along + (1.0 - deformation) * (unit - along)
    size = np.minimum(np.sqrt(dot(made, made)), 1.0)
    with np.errstate(over="ignore"):
        return radius[:, None] * made, size


def first_axis(away: np.ndarray) -> np.ndarray:
    """Return the direction in which k rows of each neighbourhood spread most, shape (n, d).

    `away`, of shape (n, k, d), are these less their mean. The direction is found from their
    products with each other, k by k, added column by column.

    Examples
    --------
    >>> np.abs(first_axis(np.array([[[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]])))
    array([[1., 0.]])
    """
    n, k, d = away.shape
    largest = np.abs(away).max(axis=(1, 2), initial=0.0)
    away = away / np.where(largest > 0, largest, 1.0)[:, None, None]
    products = np.zeros((n, k, k))
    for j in range(d):
        products += away[:, :, None, j] * away[:, None, :, j]
    weights = np.linalg.eigh(products)[1][:, :, -1]
    made = np.zeros((n, d))
    for i in range(k):
        made += weights[:, i, None] * away[:, i]
    return lengths(made)[1]


def on_ellipsoid(
    along: np.ndarray, variances: np.ndarray, normals: Sequence[np.ndarray]
) -> np.ndarray:
    """Return points of which sum z^2 / variance is that of others, in directions of normal draws.

    Axes of (next to) no variance are left out: there, points stay where they are.
    """
    flat = variances <= 1e-24 * variances.max(initial=0.0)
    spread = np.sqrt(np.where(flat, 0.0, variances))
    unit = along / np.where(flat, np.inf, spread)
    far = lengths(unit)[0][:, None]
    drawn = lengths(np.column_stack(normals) * ~flat)[1]
    return np.where(flat, along, far * drawn * spread)


def bandwidth(n_rows: int, n_columns: int) -> float:
    """Return h, the bandwidth that is best for normal rows."""
    return float((4.0 / ((n_columns + 2) * n_rows)) ** (1.0 / (n_columns + 4)))


def normal(draws: np.ndarray) -> np.ndarray:
    """Turn uniform draws from (0, 1) into normal ones, float64."""
    return np.asarray(ndtri(draws))


def vote(codes: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the mode of each row of codes; where levels tie, a draw from [0, 1) decides.

    Codes, of shape (n, k), are the levels of k neighbours, nearest first. Tied levels are ordered
    by their nearest neighbour, so the result does not depend on how levels are coded. Memory is
    n x k bytes a few times over, never n x levels.

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


def mixed_weight(columns: Iterable[np.ndarray]) -> float:
    """Return M, the median of the numeric columns' population standard deviations.

    It is 1 where the median is 0 (at least half of the features are constant): M = 0 would make all
    categories equally near.
    """
    # Column by column, so that the order of the additions does not depend on the layout.
    spreads = [np.ascontiguousarray(column).std() for column in columns]
    middle = float(np.median(spreads)) if spreads else 0.0
    return middle if middle > 0 and np.isfinite(middle) else 1.0
