"""RepeatedEditedNearestNeighbours: edited nearest neighbours until nothing changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from dsmote.execute.clean import AllRows, Decision
from dsmote.samplers.enn import SLACK, EditedNearestNeighbours, EditedRule, NearestLeft, agrees
from dsmote.samplers.parameters import Range, allow


def vanished(of: AllRows, left: np.ndarray) -> bool:
    """Tell whether a class that had rows has none left."""
    rest = np.bincount(of.ranks[left], minlength=len(of.labels))
    return bool(((rest == 0) & (of.counts > 0)).any())


def below_smallest(of: AllRows, left: np.ndarray) -> bool:
    """Tell whether another class has fewer rows left than the smallest class had."""
    others = np.bincount(of.ranks[left], minlength=len(of.labels)) < of.counts[of.smallest]
    others[of.smallest] = False
    return bool((others & (of.counts >= of.counts[of.smallest])).any())


@dataclass(frozen=True)
class RepeatedRule(EditedRule):
    """Edit what is left, again and again."""

    max_iter: int = 100

    told = property(lambda self: self.k + SLACK)

    def decide(self, of: AllRows) -> Decision:
        """Drop rows until none goes, or a class has become too small."""
        near, n_iter = NearestLeft(of, of.of_classes(of.targeted), self.k), 0
        while n_iter < self.max_iter:
            n_iter += 1
            stay = agrees(of, near.ids, near.nearest(self.k), self.kind_sel)
            near.drop(near.ids[~stay])
            if stay.all() or below_smallest(of, near.left) or vanished(of, near.left):
                break
        return Decision(near.left, {"n_iter_": n_iter})


@dataclass(kw_only=True, eq=False, repr=False)
class RepeatedEditedNearestNeighbours(EditedNearestNeighbours):
    r"""Repeat edited nearest neighbours on the rows that are left.

    ::

        o o o o x x        o o o . x x        o o o . x x
              ^                                             nothing goes any more
           1st round         2nd round          n_iter_ = 2

    It ends when a round drops no row, after a round that leaves another class with fewer rows
    than the smallest class had at first, or any with none, and after `max_iter` rounds.

    Parameters
    ----------
    max_iter : int, default=100
        Most rounds.
    n_neighbors, kind_sel
        As in :class:`~dsmote.EditedNearestNeighbours`.
    carry, missing, scale, categorical_features, provenance, route, scratch, n_jobs
        As in :class:`~dsmote.TomekLinks`.
    sampling_strategy
        As in :class:`~dsmote.TomekLinks`. The classes that it names in the input are those that
        lose rows in every round.

    Attributes
    ----------
    n_iter_ : int
        Rounds; only where the input is in memory.
    sampling_strategy_, sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    As in :class:`~dsmote.EditedNearestNeighbours`. A round searches only for the rows that have
    lost more of their neighbours than were found in reserve.

    References
    ----------
    I. Tomek, "An experiment with the edited nearest-neighbor rule", IEEE Transactions on Systems,
    Man, and Cybernetics 6(6), 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import RepeatedEditedNearestNeighbours
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.5], [4.0], [5.0]]), np.array([0, 0, 0, 0, 1, 1])
    >>> sampler = RepeatedEditedNearestNeighbours(n_neighbors=1)
    >>> X_res, y_res = sampler.fit_resample(X, y)
    >>> X_res.ravel(), y_res, sampler.n_iter_
    (array([0., 1., 2., 4., 5.]), array([0, 0, 0, 1, 1]), 2)
    """

    _takes_sparse = False
    _summary = "edited nearest neighbours, repeated until nothing changes"
    _rule_type = RepeatedRule

    max_iter: int = field(default=100, metadata=allow(Range(Integral, 1, None)))
