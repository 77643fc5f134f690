"""Euclidean neighbours by a kd-tree over rows that are centred and rotated to their principal axes.

::

      as given                rotated: the first axes hold the spread
        .  * *                      .
       * *  .    ->      * * * * * * * *      a box cut across the first axes leaves most
      *  *                  .   .             of the rows out, however many columns there are

A rotation keeps every distance, so the search stays exact; pruning then depends on how many
directions the rows really spread in (their intrinsic dimension), not on the number of columns.
Boxes are cut in the middle of their longer side, not at the median row ("sliding midpoint",
Maneewongvatana and Mount 1999): real tables are clumps with gaps between them, which boxes of
equal counts bridge. Insurance rows (46,685 x 14) took a sixth of the time, and no table more than a
tenth longer. Queries go leaf by leaf, so that one finds in the processor's cache what the one
before it has read; and where the rows do not fit into the cache, they are kept leaf by leaf (a
million rows of 20 columns: half the time). Axes along which the rows differ by rounding only are
left out.

The tree's own distances are rounded by the rotation, so they only propose candidates, with a
*reach* that allows for the rounding (see :mod:`dsmote.neighbors.exact`).
"""

from __future__ import annotations

from copy import copy

import numpy as np
from scipy.spatial import cKDTree

from dsmote.neighbors.brute import RowSearch

_FLOPS = 1 << 17  # multiplications that no BLAS spreads over threads
_ROWS = 256  # of a sample of more columns than these, enough to tell few directions from many


def intrinsic_dimension(sample: np.ndarray) -> float:
    """Estimate in how many directions rows, shape (s, d), spread.

    It is the participation ratio of the spectrum of the covariance: (sum of eigenvalues)^2 / sum of
    squared eigenvalues. That is d when all directions have equal variance, 1 when there is one.
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

    Returns the sums of squares along them, descending, and min(n, d) orthonormal columns.
    """
    n, d = centred.shape
    if n >= d:
        values, axes = np.linalg.eigh(centred.T @ centred)
        return values[::-1], axes[:, ::-1]
    # Rows span at most n directions: an orthonormal basis of these first. Axes taken from the
    # products of rows instead would not be orthonormal where there is almost no spread.
    basis, small = np.linalg.qr(centred.T)
    values, axes = np.linalg.eigh(small @ small.T)
    return values[::-1], (basis @ axes)[:, ::-1]


_EPS = float(np.finfo(np.float64).eps)
_LEAF = 32  # rows of a leaf
_FEW = 64  # rows that are scanned before they could be rotated
_CACHED = 1 << 20  # bytes of rows that stay in the cache however they lie
_NARROW = 4  # columns: rows lie so close together that moving them takes longer than it saves
_COLUMNS = 4  # that are reordered at once; of fewer more memory is read than is used
_FAR = 1e150  # points beyond it are as far from all rows: their squares overflow, or nearly
_TINY = 1e-150  # distances below it lose digits, because their squares underflow


def _narrowed(rows: np.ndarray, columns: np.ndarray, parts: list[slice]) -> np.ndarray:
    """Return some columns, in the memory of all: what is read is never before what is written."""
    n = len(rows) * int(columns.sum())
    narrow = rows.reshape(-1)[:n].reshape(len(rows), -1)
    for part in parts:
        narrow[part] = rows[part][:, columns]
    return narrow


class RotatedTree:
    """The tree, and what is needed to bring a point into it.

    Rows must be all different: equal ones would only share a leaf, and be slow. A matrix that
    nobody else needs may be overwritten. A tree that few rows ask is built in a third of the time.
    """

    def __init__(self, matrix: np.ndarray, overwrite: bool = False, rarely: bool = False) -> None:
        self.n_rows, width = matrix.shape
        self._centre = matrix.mean(axis=0)
        rotated = np.subtract(matrix, self._centre, out=matrix if overwrite else None)
        # In place and some rows at a time: no second copy of what may be all rows of a table.
        step = max(1, _CACHED // max(1, 8 * width))
        parts = [slice(start, start + step) for start in range(0, self.n_rows, step)]
        if self.n_rows <= _FEW:
            axes = np.eye(width)
        else:
            axes = principal_axes(rotated)[1]
            for part in parts:
                rotated[part, : axes.shape[1]] = rotated[part] @ axes
            rotated = rotated[:, : axes.shape[1]]
        # Error of a rotated coordinate: a dot product of length d, and axes that are orthonormal
        # up to rounding; taken generously, since asking for more candidates is cheap.
        self._error = 8.0 * (width + 4) ** 1.5 * _EPS
        sizes = np.array([max(c.max(initial=0.0), -c.min(initial=0.0)) for c in rotated.T])
        # One-hot columns that add up to 1, sums, copies: directions without any spread.
        spread = sizes > self._error * sizes.max(initial=0.0)
        if width and not spread.any():
            spread[0] = True
        # What a row holds along the other axes is rounded into those that are kept.
        self._left_out = float(np.sqrt((sizes[~spread] ** 2).sum()))
        self._axes = axes[:, spread]
        data = rotated if spread.all() else _narrowed(rotated, spread, parts)
        del rotated
        # Boxes that fit tightly, and rows that lie leaf by leaf, pay where many ask.
        self._tree = cKDTree(data, leafsize=_LEAF, balanced_tree=False, compact_nodes=not rarely)
        leaf_by_leaf = self._tree.indices
        self._place = np.empty(self.n_rows, dtype=np.int32)
        self._place[leaf_by_leaf] = np.arange(self.n_rows, dtype=np.int32)
        self._ids: np.ndarray | None = None  # of the tree's rows, where they were moved
        if data.nbytes > _CACHED and data.shape[1] > _NARROW and not rarely:
            self._ids = leaf_by_leaf.astype(np.int64)
            del self._tree
            # In place, some columns at a time: as quick as a second copy.
            for start in range(0, data.shape[1], _COLUMNS):
                some = data[:, start : start + _COLUMNS]
                some[:] = some[self._ids]
            # The cuts depend on the values only, so it has the same boxes.
            self._tree = cKDTree(data, leafsize=_LEAF, balanced_tree=False)

    def rotated(self, points: np.ndarray) -> np.ndarray:
        """Bring points into the tree's axes; a last column is how far off them they are.

        In a partition in which a column is constant, all rows of others are off its axes, and
        without that distance no number of candidates would be enough.
        """
        centred = points - self._centre
        along = centred @ self._axes
        with np.errstate(over="ignore", invalid="ignore"):  # points may lie anywhere
            # The residual: of fewer rows than columns, only the axes that they span are known.
            off = np.sqrt(((centred - along @ self._axes.T) ** 2).sum(axis=1, keepdims=True))
        return np.concatenate([along, off], axis=1)

    def leaf_order(self, ids: np.ndarray) -> np.ndarray:
        """Return the order in which to query rows, so that near ones follow each other."""
        return np.argsort(self._place[ids], kind="stable")

    def may_reach(self, points: np.ndarray, radius: float) -> np.ndarray:
        """Tell which points may be within the radius of a row: of those in a box around all."""
        rotated = self.rotated(points)
        norms = np.sqrt(np.einsum("ij,ij->i", rotated, rotated)) + self._left_out
        reach = (radius + 2.0 * self._error * norms) * (1.0 + 2.0 * self._error) + _TINY
        along = rotated[:, :-1]
        gaps = np.maximum(self._tree.mins - along, along - self._tree.maxes).max(axis=1, initial=0)
        return np.asarray(gaps <= reach)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Return rows of the tree, in its axes."""
        places = ids if self._ids is None else self._place[ids]
        return np.asarray(self._tree.data)[places]

    def nearest(
        self, rotated: np.ndarray, n: int, eps: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the n nearest rows of rotated points, and the squared reach, shape (m,).

        No row that was not found is truly nearer than its square root; it is inf when all were
        found.
        """
        norms = np.sqrt(np.einsum("ij,ij->i", rotated, rotated))
        off = rotated[:, self._tree.m :].sum(axis=1)
        rotated = rotated[:, : self._tree.m]
        far = ~(norms < _FAR)
        if far.any():
            rotated = np.where(far[:, None], 0.0, rotated)
            norms[far], off[far] = np.inf, 0.0
        answer = self._tree.query(rotated, k=n, eps=eps)
        distances, found = (np.asarray(part).reshape(-1, n) for part in answer)
        if self._ids is not None:
            found = self._ids[found]
        if n == self.n_rows:
            return found, np.full(len(found), np.inf)
        last = distances[:, -1]
        reach = last - self._error * (2.0 * (norms + self._left_out) + last) - _TINY
        # The rows themselves are on the axes, but for what was left out of them.
        off = np.maximum(off - self._error * 2.0 * (norms + self._left_out) - self._left_out, 0.0)
        return found, (np.maximum(reach, 0.0) ** 2 + off**2) * (1.0 - 4.0 * _EPS)


class TreeSearch(RowSearch):
    """Neighbours by a rotated kd-tree, exact unless `eps` is above 0.

    The neighbour that is found in j-th place is at most (1 + eps) times as far as the true one.
    """

    engine = "tree"

    def __init__(
        self,
        matrix: np.ndarray,
        eps: float = 0.0,
        codes: np.ndarray | None = None,
        weight: float = 0.0,
        rarely: bool = False,
    ) -> None:
        super().__init__(matrix, codes, weight)
        self.exact, self._eps = not eps, eps
        unique = self._unique()
        self._tree = RotatedTree(unique, unique is not self._rows, rarely)

    def sloppy(self, eps: float) -> TreeSearch:
        """Return a search of the same tree that is not exact."""
        search = copy(self)
        search.exact, search._eps = False, eps
        return search

    def _order(self, unique: np.ndarray) -> np.ndarray:
        return self._tree.leaf_order(unique)

    def _candidates(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        own = queries.ndim == 1
        rotated = self._tree.rows(queries) if own else self._tree.rotated(self._points(queries))
        return self._tree.nearest(rotated, n, self._eps)
