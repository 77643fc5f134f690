"""CondensedNearestNeighbour: a part of the rows that classifies the others right."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.one_sided import classified, classifier_search
from dsmote.samplers.parameters import Range, allow


def central_row(of: AllRows, rows: np.ndarray) -> int:
    """Return the row that is nearest to the middle of some: means, and the most frequent levels."""
    matrix, codes = of.matrix[rows], of.codes[rows]
    squares = ((matrix - matrix.mean(axis=0)) ** 2).sum(axis=1)
    for f, column in enumerate(codes.T):
        level = column[np.bincount(column)[column].argmax()]
        if of.tables:
            squares += np.abs(of.tables[f][column] - of.tables[f][level]).sum(axis=1) ** 2
        else:
            squares += of.weight**2 * (column != level)
    return int(rows[squares.argmin()])


@dataclass(frozen=True)
class CondensedRule(Rule):
    """Rows stay that those which stay would classify wrong."""

    in_cells = False  # it looks at the features themselves

    def decide(self, of: AllRows) -> Decision:
        """Begin with the middle of each targeted class, and add rows until none is wrong."""
        stays = ~of.targeted[of.ranks]
        groups = np.zeros(len(of), dtype=np.int64) if of.group is None else of.group
        for rank in np.flatnonzero(of.targeted):
            rows = np.flatnonzero(of.ranks == rank)
            for group in np.unique(groups[rows]):
                stays[central_row(of, rows[groups[rows] == group])] = True
        # Where one class grows, a row that is right stays so; else rows that were found right are
        # looked at again when no others are wrong.
        once = int(of.targeted.sum()) == 1
        left, whole, rounds = np.flatnonzero(~stays), True, 0
        while len(left):
            rounds += 1
            far, near = of.nearest(left, self.k, np.flatnonzero(stays))
            wrong = np.flatnonzero(classified(of, near) != of.ranks[left])
            if not len(wrong):
                if whole or once:
                    break
                left, whole = np.flatnonzero(~stays), True
                continue
            # Of each row that stays, the nearest row that it is nearest to and that is wrong.
            left, far, of_row = left[wrong], far[wrong, 0], near[wrong, 0]
            order = np.lexsort((left, far, of_row))
            first = np.flatnonzero(np.diff(of_row[order], prepend=-2))
            stays[left[order[first]]] = True
            left, whole = left[~stays[left]], False
            if not len(left) and not once:
                left, whole = np.flatnonzero(~stays), True
        return Decision(stays, {"n_iter_": rounds})


@dataclass(kw_only=True, eq=False, repr=False)
class CondensedNearestNeighbour(CleanSampler):
    r"""Keep rows of the larger classes that are needed to classify the others by their nearest.

    ::

        1  the rows of classes that are not targeted stay, and of each other class
           the row that is nearest to its mean
        2  each row that stays adds the nearest of the rows that it is nearest to
           and that the rows that stay classify wrong
        3  until they classify all rows right                o o o O | x x
                                                             . . . o   x x   dots go

    Parameters
    ----------
    sampling_strategy : str, list or callable, default="auto"
        As in :class:`~dsmote.TomekLinks`.
    random_state : None, int, RandomState or Generator, default=None
        Taken for imbalanced-learn's sake: nothing is drawn.
    n_neighbors : int, object or None, default=None
        As in :class:`~dsmote.OneSidedSelection`.
    n_seeds_S : int, default=1
        Taken for imbalanced-learn's sake: each class begins with the row nearest to its mean.
    n_jobs : int, default=None
        Taken for imbalanced-learn's sake; Dask's configuration says how many threads there are.
    carry, missing, scale, categorical_features, provenance, route, scratch
        As in :class:`~dsmote.TomekLinks`; all rows must fit into a worker.

    Attributes
    ----------
    n_iter_ : int
        How often rows were looked at; only where the input is in memory.
    sampling_strategy_, sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    Each row that goes is classified right by the rows that stay, in any number of classes.

    Hart's rule, which imbalanced-learn follows, begins with rows drawn at random, looks at one row
    after the other, and so keeps other rows for another order or seed; and it compares each class
    with the smallest only. This is the rule of Angiulli (FCNN1): rows are added round by round, and
    their order counts only where distances are equal. Where several classes are targeted, rows
    that were found right are looked at again when no others are wrong. There is no attribute
    ``estimators_``.

    References
    ----------
    P. Hart, "The condensed nearest neighbor rule", IEEE Transactions on Information Theory 14,
    1968.

    F. Angiulli, "Fast nearest neighbor condensation for large data sets classification", IEEE
    Transactions on Knowledge and Data Engineering 19, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import CondensedNearestNeighbour
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.5], [8.0]])
    >>> y = np.array([0, 0, 0, 0, 0, 1, 1])
    >>> X_res, y_res = CondensedNearestNeighbour().fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([2. , 4. , 5.5, 8. ]), array([0, 0, 1, 1]))
    """

    _summary = "rows of large classes that classify the others right"
    _rule_type = CondensedRule

    random_state: Any = None
    n_neighbors: Any = field(
        default=None, metadata=allow(Range(Integral, 1, None), ("fit", "kneighbors"), None)
    )
    n_seeds_S: int = field(default=1, metadata=allow(Range(Integral, 1, None)))
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))

    def _rule(self, **more: Any) -> Rule:
        k, neighbors = classifier_search(self.n_neighbors)
        return super()._rule(k=k, neighbors=neighbors, **more)
