"""EditedNearestNeighbours: rows whose neighbours are of another class."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.parameters import allow

_STEP = 1 << 15  # rows that are voted on at once
SLACK = 5  # more neighbours than are asked for, so that some may go


def agreeing(own: np.ndarray, ranks: np.ndarray, kind_sel: str) -> np.ndarray:
    """Tell of which rows the neighbours say the class, both by rank; -1 is no neighbour."""
    own, there = own[:, None], ranks >= 0
    found = ((ranks == own) | ~there).all(axis=1)
    if kind_sel == "mode":
        mixed = np.flatnonzero(~found)
        found[mixed] = most_common(ranks[mixed], there[mixed]) == own[mixed, 0]
    return np.asarray(found)


def agrees(of: AllRows, ids: np.ndarray, near: np.ndarray, kind_sel: str) -> np.ndarray:
    """Tell which rows are of the class that their neighbours `near`, shape (m, k), say.

    ``"all"`` of them, or most (``"mode"``, ties to the first class). -1 is no neighbour; a row
    without any is not contradicted.
    """
    found = np.empty(len(ids), dtype=bool)
    for start in range(0, len(ids), _STEP):
        part = slice(start, start + _STEP)
        own, there = of.ranks[ids[part], None], near[part] >= 0
        ranks = of.ranks[near[part]]
        found[part] = ((ranks == own) | ~there).all(axis=1)
        if kind_sel == "mode":
            mixed = np.flatnonzero(~found[part])
            found[start + mixed] = most_common(ranks[mixed], there[mixed]) == own[mixed, 0]
    return found


def most_common(ranks: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the most common rank of each row, the least of those that are as common."""
    votes = ((ranks[:, :, None] == ranks[:, None, :]) & there[:, None, :]).sum(axis=2)
    # A rank that is larger never outweighs a vote.
    order = votes * (int(ranks.max(initial=0)) + 1) - ranks
    best = np.where(there, order, np.iinfo(order.dtype).min).argmax(axis=1)
    return np.asarray(ranks[np.arange(len(ranks)), best])


class NearestLeft:
    """The nearest of the rows that are left, of rows that ask again as others go.

    ::

        row      its nearest             5 and 9 go        asked again?
         0       3  5  7 | 8  2          3  7  8 | 2  .    no: k = 3 are left of it
         1       5  9  4 | 9  6          4  6  . | .  .    yes

    Lists are longer than k, so that only rows that lost too many are searched for again.
    """

    def __init__(self, of: AllRows, ids: np.ndarray, k: int) -> None:
        self._of, self._k, self.ids = of, k, ids
        self.left = np.ones(len(of), dtype=bool)
        self._lists = self._searched(ids, None)

    def _searched(self, ids: np.ndarray, among: np.ndarray | None) -> np.ndarray:
        return self._of.nearest(ids, self._k + SLACK, among)[1].astype(np.int32)

    def nearest(self, k: int) -> np.ndarray:
        """Return the k nearest that are left, at most as many as were announced; else -1."""
        return self._lists[:, :k]

    def drop(self, gone: np.ndarray) -> None:
        """Take rows away, among those that ask and among those that are found."""
        self.left[gone] = False
        stay = self.left[self.ids]
        self.ids, self._lists = self.ids[stay], self._lists[stay]
        lost = ~self.left[self._lists] & (self._lists >= 0)
        hit = np.flatnonzero(lost.any(axis=1))
        order = np.argsort(lost[hit], axis=1, kind="stable")
        lists = np.take_along_axis(np.where(lost[hit], -1, self._lists[hit]), order, 1)
        self._lists[hit] = lists
        short = hit[lists[:, self._k - 1] < 0]
        if len(short):
            self._lists[short] = self._searched(self.ids[short], np.flatnonzero(self.left))


@dataclass(frozen=True)
class EditedRule(Rule):
    """Rows of the targeted classes stay whose neighbours agree."""

    kind_sel: str = "all"

    told: ClassVar[Any] = 0  # but for whether they agree

    def decide(self, of: AllRows) -> Decision:
        """Drop the rows of targeted classes that their neighbours contradict."""
        stays = np.ones(len(of), dtype=bool)
        ids = of.of_classes(of.targeted)
        stays[ids] = of.reduced(ids, self.k, partial(agreeing, kind_sel=self.kind_sel))
        return Decision(stays)


@dataclass(kw_only=True, eq=False, repr=False)
class EditedNearestNeighbours(CleanSampler):
    r"""Drop rows whose nearest neighbours are of another class (edited nearest neighbours, ENN).

    ::

        o  o   o         the 3 nearest of each row of a targeted class
         o  o (o) x      "all":  it goes if one of them is of another class
           o   x  x      "mode": it goes if most of them are

    Parameters
    ----------
    n_neighbors : int or object, default=3
        The neighbours that are asked, among the rows of all classes; or an object with ``fit`` and
        ``kneighbors`` that finds them, whose ``n_neighbors`` is one more.
    kind_sel : {"all", "mode"}, default="all"
        A row stays if all its neighbours are of its class, or if the most common class among them
        is; of classes that are as common the first in sorted order counts.
    carry, missing, scale, categorical_features, provenance, route, scratch, n_jobs
        As in :class:`~dsmote.TomekLinks`.
    sampling_strategy
        As in :class:`~dsmote.TomekLinks`.

    Attributes
    ----------
    sampling_strategy_, sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    A row is never its own neighbour, but a row equal to it is one, at distance 0 (imbalanced-learn
    leaves out whichever of them it finds first). Of equally near rows the first in the table
    counts. With groups, neighbours are of the same group, and a row that has none there stays.

    Rows that stay come out unchanged, in the order of the input and with their index; on Dask the
    data are read as :class:`~dsmote.TomekLinks` reads them.

    References
    ----------
    D. L. Wilson, "Asymptotic properties of nearest neighbor rules using edited data", IEEE
    Transactions on Systems, Man, and Cybernetics 2(3), 1972.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import EditedNearestNeighbours
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.5], [4.0], [5.0]]), np.array([0, 0, 0, 0, 1, 1])
    >>> X_res, y_res = EditedNearestNeighbours(n_neighbors=2).fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([0., 1., 2., 4., 5.]), array([0, 0, 0, 1, 1]))
    """

    _takes_sparse = True
    _summary = "without rows whose neighbours are of another class"
    _rule_type = EditedRule

    n_neighbors: Any = 3
    kind_sel: str = field(default="all", metadata=allow({"all", "mode"}))
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))
