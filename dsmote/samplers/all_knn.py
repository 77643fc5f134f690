"""AllKNN: edited nearest neighbours with one neighbour, then two, and so on."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsmote.execute.clean import AllRows, Decision
from dsmote.samplers.enn import SLACK, EditedNearestNeighbours, EditedRule, NearestLeft, agrees
from dsmote.samplers.parameters import allow
from dsmote.samplers.repeated_enn import below_smallest, vanished


@dataclass(frozen=True)
class AllKNNRule(EditedRule):
    """Edit what is left, each time with a neighbour more."""

    allow_minority: bool = False

    told = property(lambda self: self.k + SLACK)

    def decide(self, of: AllRows) -> Decision:
        """Drop rows until all neighbours are asked, or a class has become too small."""
        near = NearestLeft(of, of.of_classes(of.targeted), self.k)
        for k in range(1, self.k + 1):
            near.drop(near.ids[~agrees(of, near.ids, near.nearest(k), self.kind_sel)])
            small = not self.allow_minority and below_smallest(of, near.left)
            if small or vanished(of, near.left):
                break
        return Decision(near.left)


@dataclass(kw_only=True, eq=False, repr=False)
class AllKNN(EditedNearestNeighbours):
    r"""Repeat edited nearest neighbours on the rows that are left, each time with one more.

    ::

        round        1        2        3        n_neighbors
        asked      1-NN     2-NN     3-NN       of the rows that the round before left

    Parameters
    ----------
    n_neighbors : int or object, default=3
        The neighbours that are asked in the last round; or an object with ``fit`` and
        ``kneighbors`` that finds them, whose ``n_neighbors`` is one more.
    allow_minority : bool, default=False
        Go on when a class has fewer rows left than the smallest class had at first. It ends in any
        case when a class has none.
    kind_sel
        As in :class:`~dsmote.EditedNearestNeighbours`.
    carry, missing, scale, categorical_features, provenance, route, scratch, n_jobs
        As in :class:`~dsmote.TomekLinks`.
    sampling_strategy
        As in :class:`~dsmote.TomekLinks`. The classes that it names in the input are those that
        lose rows in every round.

    Attributes
    ----------
    sampling_strategy_, sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    As in :class:`~dsmote.RepeatedEditedNearestNeighbours`.

    References
    ----------
    I. Tomek, "An experiment with the edited nearest-neighbor rule", IEEE Transactions on Systems,
    Man, and Cybernetics 6(6), 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import AllKNN
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.5], [4.0], [5.0]]), np.array([0, 0, 0, 0, 1, 1])
    >>> X_res, y_res = AllKNN(n_neighbors=2).fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([0., 1., 2., 4., 5.]), array([0, 0, 0, 1, 1]))
    """

    _takes_sparse = False
    _summary = "edited nearest neighbours, repeated with one more neighbour each time"
    _rule_type = AllKNNRule

    allow_minority: bool = field(default=False, metadata=allow(bool))
