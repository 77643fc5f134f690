"""OneSidedSelection: drops rows that a few prototypes classify right, and rows of Tomek links."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.plan import Plan, Profile, Subset
from dsmote.samplers.base import wanted_search
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.parameters import Range, allow
from dsmote.samplers.tomek import smaller_classes, tomek_links

_SLOPPY = 1.0  # a row of another class up to twice as far as the nearest is nearer than a seed


def classified(of: AllRows, near: np.ndarray) -> np.ndarray:
    """Return the rank that most of the neighbours have, the first where several do.

    Neighbours are row numbers, shape (m, k), -1 where there is none; without any it is -1.
    """
    if near.shape[1] == 1:
        return np.where(near[:, 0] >= 0, of.ranks[near[:, 0]], -1)
    votes = np.zeros((len(near), len(of.labels)), dtype=np.int64)
    owner, place = np.nonzero(near >= 0)
    np.add.at(votes, (owner, of.ranks[near[owner, place]]), 1)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1)


def classifier_search(n_neighbors: Any) -> tuple[int, Any]:
    """Return k, and the engine, where a classifier by nearest neighbours may stand for k."""
    if n_neighbors is None:
        return 1, None
    if hasattr(n_neighbors, "predict"):
        from sklearn.neighbors import NearestNeighbors

        params = n_neighbors.get_params()
        if params.get("weights", "uniform") not in ("uniform", None):
            raise ValueError(
                f"n_neighbors is a {type(n_neighbors).__name__} with weights="
                f"{params['weights']!r}; neighbours are counted, not weighted: pass "
                "weights='uniform'"
            )
        known = NearestNeighbors().get_params()
        n_neighbors = NearestNeighbors(**{k: v for k, v in params.items() if k in known})
    return wanted_search(n_neighbors, "auto", itself=False)


@dataclass(frozen=True)
class OneSidedRule(Rule):
    """Rows stay that the smallest class and some seeds classify wrong, and are in no link."""

    n_seeds_S: int = 1

    rounds = 5
    held = 72  # numbers, and what three questions found
    all_ask = True

    def few(self, plan: Plan) -> tuple[frozenset[int], int]:
        """Rows of the largest class ask the smallest, and seeds, which are fetched; then links."""
        asks = plan.largest.targeted and plan.largest is not plan.smallest
        return smaller_classes(plan), 2 + asks * (4 if self.k == 1 else 2)

    def decide(self, of: AllRows) -> Decision:
        """Drop what is classified right, then members of links among the rows that are left."""
        stays = np.ones(len(of), dtype=bool)
        smallest = np.flatnonzero(of.ranks == of.smallest)
        for rank in np.flatnonzero(of.targeted):
            rows = np.flatnonzero(of.ranks == rank)
            if rank == of.smallest or not len(rows):
                continue
            n_seeds = min(int(self.n_seeds_S), len(rows))
            drawn = Subset(len(rows), n_seeds, of.seed, int(rank)).times(0, len(rows)) > 0
            rest = rows[~drawn]
            stays[rest] = self._wrong(of, rest, rows[drawn], smallest)
        left = np.flatnonzero(stays)
        members = left[tomek_links(of.part(left)).reshape(-1)]
        stays[members[of.targeted[of.ranks[members]]]] = False
        return Decision(stays)

    def _wrong(
        self, of: AllRows, rows: np.ndarray, seeds: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        """Tell which rows of a class are not classified as such by its seeds and other rows."""
        wrong = np.ones(len(rows), dtype=bool)
        unsure = np.arange(len(rows))
        if self.k == 1:
            # Any other row that is nearer than the nearest seed will do: most need not be exact.
            far = of.nearest(rows, 1, seeds)[0][:, 0]
            unsure = np.flatnonzero(of.nearest(rows, 1, others, _SLOPPY)[0][:, 0] >= far)
        among = np.sort(np.concatenate([seeds, others]))
        near = of.nearest(rows[unsure], self.k, among)[1]
        wrong[unsure] = classified(of, near) != of.ranks[rows[unsure]]
        return wrong


@dataclass(kw_only=True, eq=False, repr=False)
class OneSidedSelection(CleanSampler):
    r"""Drop rows of larger classes that a few of them show to be redundant, then Tomek links.

    ::

        1  prototypes: all rows of the smallest class x, and one row s of the class, drawn
        2  rows of the class that the nearest prototype classifies right go      o o s o
        3  of the rows that are left, members of Tomek links go                      o-x  x

    Parameters
    ----------
    sampling_strategy : str, list or callable, default="auto"
        As in :class:`~dsmote.TomekLinks`. Of the smallest class only members of links go.
    random_state : None, int, RandomState or Generator, default=None
        The seed. The same seed draws the same rows, however the data are partitioned.
    n_neighbors : int, object or None, default=None
        Prototypes that vote on a row's class (1 if None; the first label wins where votes are
        equal); or an object with ``kneighbors``, such as scikit-learn's ``KNeighborsClassifier``.
    n_seeds_S : int, default=1
        Rows drawn of each class, all different; all where the class has no more.
    n_jobs : int, default=None
        Taken for imbalanced-learn's sake; Dask's configuration says how many threads there are.
    carry, missing, scale, categorical_features, provenance, route, scratch
        As in :class:`~dsmote.TomekLinks`.

    Attributes
    ----------
    sampling_strategy_, sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    A class is compared with the smallest one only, as in imbalanced-learn, whose draws differ and
    may give a row twice. Of equally near prototypes the first row of the table counts. Rows come
    out in the order of the input (imbalanced-learn sorts them by class). There is no attribute
    ``estimators_``: the prototypes are not kept.

    References
    ----------
    M. Kubat, S. Matwin, "Addressing the curse of imbalanced training sets: one-sided selection",
    ICML 1997.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import OneSidedSelection
    >>> X = np.array([[0.0], [1.0], [2.0], [5.5], [6.0], [8.0], [9.0], [11.0]])
    >>> y = np.array([0, 0, 0, 0, 1, 1, 1, 0])
    >>> X_res, y_res = OneSidedSelection(random_state=2).fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([ 1.,  6.,  8.,  9., 11.]), array([0, 1, 1, 1, 0]))
    """

    _summary = "without redundant rows of large classes and their Tomek links"
    _rule_type = OneSidedRule
    _random = True

    random_state: Any = None
    n_neighbors: Any = field(
        default=None, metadata=allow(Range(Integral, 1, None), ("fit", "kneighbors"), None)
    )
    n_seeds_S: int = field(default=1, metadata=allow(Range(Integral, 1, None)))
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))

    def _lacking(self, plan: Plan, profile: Profile) -> tuple[str, ...]:
        few = min(plan.classes, key=lambda c: (c.before, c.rank))
        if profile.usable.get(few.label, 0):
            return ()
        return (
            f"class {few.label!r}, the smallest, has 0 rows without missing values, and others are "
            "compared with it; fill the missing values, or leave the class out of the table",
        )

    def _rule(self, **more: Any) -> Rule:
        k, neighbors = classifier_search(self.n_neighbors)
        return super()._rule(k=k, neighbors=neighbors, **more)
