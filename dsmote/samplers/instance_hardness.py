"""InstanceHardnessThreshold: the rows that a classifier, fitted to others, finds easiest."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.plan import Stream
from dsmote.plan.draws import CHOICE
from dsmote.samplers.cleaning import RuleSampler
from dsmote.samplers.parameters import Range, allow


def seeded(estimator: Any, seed: int) -> Any:
    """Return a clone of an estimator, all of whose random states, nested ones too, are `seed`."""
    from sklearn.base import clone

    made = clone(estimator)
    names = [n for n in made.get_params(deep=True) if n.split("__")[-1] == "random_state"]
    return made.set_params(**dict.fromkeys(names, seed % 2**32))


@dataclass(frozen=True)
class HardnessRule(Rule):
    """Rows stay whose class is the most probable to a classifier that has not seen them."""

    k: int = 0
    estimator: Any = None
    cv: int = 5
    max_fit_rows: int | None = None
    n_jobs: int | None = None

    in_cells = False  # it looks at the features themselves

    def decide(self, of: AllRows) -> Decision:
        """Choose rows in each targeted class that has more than are to stay."""
        stays = np.ones(len(of), dtype=bool)
        draws = np.empty(len(of), dtype=np.uint64)
        for rank, n in enumerate(of.counts.tolist()):
            draws[of.ranks == rank] = Stream(of.seed, rank, CHOICE).bits(0, n)
        how = self._estimator(of.seed)
        short = np.flatnonzero(of.targeted & (of.keep < of.counts))
        if len(short):
            share = self._probabilities(of, draws, how)
        for rank in short.tolist():
            rows = np.flatnonzero(of.ranks == rank)
            order = np.lexsort((draws[rows], -share[rows]))
            stays[rows[order[int(of.keep[rank]) :]]] = False
        return Decision(stays, {"estimator_": how})

    def _estimator(self, seed: int) -> Any:
        if self.estimator is not None:
            return seeded(self.estimator, seed)
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed % 2**32, n_jobs=self.n_jobs)

    def _probabilities(self, of: AllRows, draws: np.ndarray, how: Any) -> np.ndarray:
        """Return the probability of its own class that each row has to the others' classifier."""
        from sklearn import config_context
        from sklearn.base import clone

        if len(of) < self.cv:
            raise ValueError(
                f"cv={self.cv} folds need at least {self.cv} rows, but there are {len(of)} without "
                "missing values; lower it"
            )
        # Class by class and at random within each, so that every fold has its share of all.
        order = np.lexsort((draws, of.ranks))
        fold = np.empty(len(of), dtype=np.int64)
        fold[order] = np.arange(len(of)) % self.cv
        labels = np.asarray(of.labels)
        target = of.ranks if labels.dtype == object else labels[of.ranks]
        share = np.zeros(len(of))
        for each in range(self.cv):
            train = order[fold[order] != each]
            most = len(train) if self.max_fit_rows is None else min(self.max_fit_rows, len(train))
            train = np.sort(train[np.arange(most) * len(train) // most])
            test = np.flatnonzero(fold == each)
            # Rows with other values are left out or refused before.
            with config_context(
                assume_finite=True, skip_parameter_validation=self.estimator is None
            ):
                model = clone(how).fit(of.matrix[train], target[train])
                found = model.predict_proba(of.matrix[test])
            known = np.asarray(model.classes_)
            column = np.minimum(np.searchsorted(known, target[test]), len(known) - 1)
            there = known[column] == target[test]
            share[test[there]] = found[np.flatnonzero(there), column[there]]
        return share


@dataclass(kw_only=True, eq=False, repr=False)
class InstanceHardnessThreshold(RuleSampler):
    r"""Keep the rows of the larger classes that are the easiest to classify.

    ::

        fold 1   fold 2   fold 3         each row's probability of its own class, by a classifier
        [ask]    fit      fit            that is fitted to the other folds
        fit      [ask]    fit            the rows with the largest stay
        fit      fit      [ask]

    Parameters
    ----------
    sampling_strategy : str, float, mapping or callable, default="auto"
        As in :class:`~dsmote.RandomUnderSampler`.
    random_state : None, int, RandomState or Generator, default=None
        The seed of the folds, the classifier, and of the choice among rows that are as probable.
    estimator : object, default=None
        A classifier with ``fit`` and ``predict_proba``; clones are fitted, with this seed as each
        ``random_state``. ``RandomForestClassifier()`` when omitted.
    cv : int, default=5
        Folds. Each has its share of every class.
    n_jobs : int, default=None
        Of the forest that is fitted when `estimator` is omitted.
    max_fit_rows : int or None, default=100_000
        Each classifier is fitted to at most so many rows, of which each class has its share. None:
        to all rows of the other folds.
    carry, missing, scale, provenance
        As in :class:`~dsmote.TomekLinks`. All other columns must be numeric.

    Attributes
    ----------
    estimator_ : object
        The classifier before it is fitted, where the input is in memory.
    sampling_strategy_, sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    Exactly as many rows stay as are asked for (imbalanced-learn keeps all that are as probable as
    the last). The probability is that of the class's own column, whatever the labels are: by
    imbalanced-learn labels must be 0, 1, 2 and so on. A class that no row of the other folds has
    is as improbable as can be. Rows come out in the order of the input.

    References
    ----------
    M. R. Smith, T. Martinez, C. Giraud-Carrier, "An instance level analysis of data complexity",
    Machine Learning 95, 2014.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from dsmote import InstanceHardnessThreshold
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [9.0], [7.0], [8.0], [8.0], [9.0]])
    >>> y = np.array(["a", "a", "a", "a", "a", "b", "b", "b", "b"])
    >>> how = InstanceHardnessThreshold(estimator=LogisticRegression(), cv=2, random_state=0)
    >>> how.fit_resample(X, y)[0].ravel()
    array([0., 1., 2., 3., 7., 8., 8., 9.])
    """

    _summary = "rows of large classes that a classifier finds easiest"
    _rule_type = HardnessRule
    _random = True

    random_state: Any = None
    estimator: Any = field(default=None, metadata=allow(("fit", "predict_proba"), None))
    cv: int = field(default=5, metadata=allow(Range(Integral, 2, None)))
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))
    max_fit_rows: int | None = 100_000
    provenance: Any = field(default=False, metadata=allow({"flag"}, False))
