"""Rows that are equal in every column, collapsed to one.

Trees degenerate on equal rows, and no engine needs to see one row twice: what is found among the
different rows is expanded to the rows they stand for, in order of row number.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["Groups", "group_equal_rows"]

_HASHED = 1 << 15  # values hashed at once: they stay in the processor's cache


class Groups:
    """Equal rows, collapsed: unique row ``u`` stands for ``members[starts[u]:starts[u + 1]]``.

    Attributes
    ----------
    of : ndarray of int64, shape (n,)
        The unique row of each row.
    members : ndarray of int64, shape (n,)
        Row numbers by unique row, ascending within it.
    starts : ndarray of int64, shape (n_unique + 1,)
        Where each unique row's members begin.
    within : ndarray of int64, shape (n,)
        The place of each row among the members of its unique row.
    several : ndarray of bool, shape (n_unique,)
        Whether a unique row stands for more than one.
    n_unique : int
        How many different rows there are.
    distinct : bool
        No two rows are equal.
    """

    def __init__(self, of: np.ndarray, n_unique: int) -> None:
        self.of, self.n_unique = of, n_unique
        self.distinct = n_unique == len(of)
        if self.distinct:  # numbered in order, so each is its own
            self.members, self.within = of, np.zeros(len(of), dtype=np.int64)
            self.starts = np.arange(n_unique + 1)
            self.several = np.zeros(n_unique, dtype=bool)
            return
        self.members = np.argsort(of, kind="stable")
        self.starts = np.zeros(n_unique + 1, dtype=np.int64)
        counts = np.bincount(of, minlength=n_unique)
        self.several = counts > 1
        np.cumsum(counts, out=self.starts[1:])
        self.within = np.empty(len(of), dtype=np.int64)
        self.within[self.members] = np.arange(len(of)) - self.starts[of[self.members]]

    @property
    def first(self) -> np.ndarray:
        """The lowest row number of each unique row."""
        return self.members if self.distinct else self.members[self.starts[:-1]]


def _hash_rows(matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Hash each row: its values' bits, folded, times an odd number for each column, added up."""
    words = np.zeros(len(matrix), dtype=np.uint64)
    for values, first in ((matrix, 1), (codes, 1 + matrix.shape[1])):
        width = values.shape[1]
        factors = np.arange(first, first + width, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        factors = (factors ^ (factors >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
        factors |= np.uint64(1)
        step = max(1, _HASHED // max(1, width))
        for start in range(0, len(values) if width else 0, step):
            # + 0.0 makes -0.0 and 0.0, which are equal, one bit pattern
            bits = (values[start : start + step] + 0.0).view(np.uint64)
            bits ^= bits >> np.uint64(32)  # the low bits of short numbers are all zero
            bits *= factors
            words[start : start + step] += bits.sum(axis=1, dtype=np.uint64)
    return words


def group_equal_rows(matrix: np.ndarray, codes: np.ndarray) -> Groups:
    """Find the rows that are equal in every column.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, d)
        Continuous columns.
    codes : ndarray of int, shape (n, q)
        Nominal columns; q may be 0.

    Returns
    -------
    Groups
        Unique rows are numbered in order of their first row.

    Examples
    --------
    >>> groups = group_equal_rows(np.array([[1.0], [2.0], [1.0]]), np.empty((3, 0), int))
    >>> groups.of, groups.first
    (array([0, 1, 0]), array([0, 1]))
    """
    n = len(matrix)
    words = _hash_rows(matrix, codes)
    ordered = np.sort(words)
    if not (ordered[1:] == ordered[:-1]).any():
        return Groups(np.arange(n), n)
    del ordered
    of = pd.factorize(words)[0]  # numbered in order of appearance
    first = np.flatnonzero(np.diff(np.maximum.accumulate(of), prepend=-1))
    some = np.flatnonzero(first[of] != np.arange(n))
    leader = first[of[some]]
    if np.array_equal(matrix[some], matrix[leader]) and np.array_equal(codes[some], codes[leader]):
        return Groups(of, len(first))
    # Two different rows of one hash: compare all columns instead.
    both = np.concatenate([matrix, codes.astype(np.float64)], axis=1) + 0.0
    _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
    leader = first[inverse.reshape(-1)]
    leads = leader == np.arange(n)
    rank = np.cumsum(leads) - 1
    return Groups(rank[leader], int(leads.sum()))
