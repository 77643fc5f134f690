"""RandomUnderSampler: some rows of the larger classes, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dsmote.plan import Plan, Subset
from dsmote.samplers.base import UnderSampler
from dsmote.samplers.parameters import allow


@dataclass(kw_only=True, eq=False, repr=False)
class RandomUnderSampler(UnderSampler):
    r"""Keep a random choice of the rows of the larger classes, in tables of any size.

    ::

        class   a b a a a b a a          a: 6 rows, keep 2
        kept    .   x . .   . x          b: the smallest class, kept as it is
        output    b x       b x          in the order of the input

    Parameters
    ----------
    sampling_strategy : str, float, mapping or callable, default="auto"
        Which classes lose rows, and how many they keep: ``"auto"`` or ``"not minority"`` (all but
        the smallest, to its size), ``"majority"``, ``"not majority"``, ``"all"``; a ratio of
        minority to majority for two classes; a mapping from class to the total wanted; or a
        callable that returns such a mapping. A callable is given the target, or, where that is
        a Dask collection, the class counts as a mapping.
    random_state : None, int, RandomState or Generator, default=None
        The seed. The same seed keeps the same rows, however the data are partitioned.
    replacement : bool, default=False
        Draw with replacement: a row may be kept several times (its copies stand together), others
        make room for that.

    Attributes
    ----------
    sampling_strategy_ : dict of label to int
        Rows kept of each targeted class.
    sample_indices_ : ndarray of int, shape (rows kept,)
        Places of the kept rows in the input, ascending; only where that is in memory.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Their names, where X is a frame whose names are all text.
    plan_ : Plan
        The plan of the last run.

    Notes
    -----
    Columns may be of any dtype and may have missing values: they are not used.

    The rows kept come out in the order of the input and with their index (imbalanced-learn sorts
    them by class and shuffles each).

    On Dask the target is read once to count the classes of each partition; the output is lazy, and
    each partition is filtered on its own as it passes.

    References
    ----------
    P. Sanders, S. Lamm, L. Hübschle-Schneider, E. Schrade, C. Dachsbacher, "Efficient parallel
    random sampling: vectorized, cache-efficient, and online", ACM TOMS 44(3), 2018: how a sample
    is split over parts that know nothing of one another.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import RandomUnderSampler
    >>> X, y = np.arange(200).reshape(100, 2), np.repeat([0, 1], [90, 10])
    >>> X_res, y_res = RandomUnderSampler(random_state=0).fit_resample(X, y)
    >>> X_res.shape, np.bincount(y_res)
    ((20, 2), array([10, 10]))
    >>> print(RandomUnderSampler(random_state=0).plan(X, y))
    RandomUnderSampler (seed 0)
    <BLANKLINE>
    class          before         dropped           after
    0                  90              80              10
    1                  10               0              10
    total             100              80              20
    """

    _takes_sparse = True
    _summary = "a random part of the rows of large classes"

    random_state: Any = None
    replacement: bool = field(default=False, metadata=allow(bool))

    def _subsets(self, plan: Plan) -> dict[Any, Subset]:
        return {
            c.label: Subset(c.before, c.after, plan.seed, c.rank, bool(self.replacement))
            for c in plan.classes
            if c.targeted and (self.replacement or c.after < c.before)
        }
