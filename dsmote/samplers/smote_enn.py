"""SMOTEENN: SMOTE, then edited by the nearest neighbours."""

from dataclasses import dataclass, field
from typing import Any

from dsmote.samplers.chain import SmoteThenClean
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.enn import EditedNearestNeighbours
from dsmote.samplers.parameters import allow


@dataclass(kw_only=True, eq=False, repr=False)
class SMOTEENN(SmoteThenClean):
    """Over-sampling by SMOTE, then cleaning by edited nearest neighbours, new rows included.

    Parameters
    ----------
    sampling_strategy, random_state
        Of the over-sampler, as in :class:`~dsmote.SMOTE`, where `smote` is not given.
    carry : sequence of column names, default=None
        Passthrough columns of both steps, as in :class:`~dsmote.SMOTE`.
    smote : over-sampler, default=None
        ``SMOTE()`` if not given; any over-sampler, which keeps its own parameters.
    enn : cleaning method, default=None
        ``EditedNearestNeighbours(sampling_strategy="all")`` if not given; any cleaning method.
    n_jobs : int, default=None
        Taken for imbalanced-learn's sake; Dask's configuration says how many threads there are.

    Attributes
    ----------
    sampling_strategy_ : dict of label to int
        New rows per targeted class, before the cleaning.
    smote_, enn_ : samplers
        Those that worked, with their attributes.
    n_features_in_, feature_names_in_, plan_
        As in :class:`~dsmote.Chain`, of which this is one.

    Notes
    -----
    The same rows come from ``Chain([SMOTE(), EditedNearestNeighbours(sampling_strategy="all")])``.
    Rows after are upper bounds in the plan: each class loses rows whose neighbours are of others.

    References
    ----------
    G. E. A. P. A. Batista, R. C. Prati, M. C. Monard, "A study of the behavior of several methods
    for balancing machine learning training data", ACM SIGKDD Explorations 6(1):20-29, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import SMOTEENN
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], [90, 10])
    >>> X = rng.normal(size=(100, 2)) + y[:, None]
    >>> X_res, y_res = SMOTEENN(random_state=0).fit_resample(X, y)
    >>> np.bincount(y_res)
    array([52, 62])
    """

    _summary = "SMOTE, then edited by the nearest neighbours"
    _cleaner = EditedNearestNeighbours
    _cleaner_name = "enn"

    enn: Any = field(default=None, metadata=allow(CleanSampler, None))
