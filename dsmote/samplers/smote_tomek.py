"""SMOTETomek: SMOTE, then without Tomek links."""

from dataclasses import dataclass, field
from typing import Any

from dsmote.samplers.chain import SmoteThenClean
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.parameters import allow
from dsmote.samplers.tomek import TomekLinks


@dataclass(kw_only=True, eq=False, repr=False)
class SMOTETomek(SmoteThenClean):
    """Over-sampling by SMOTE, then cleaning by Tomek links, new rows included.

    Parameters
    ----------
    sampling_strategy, random_state
        Of the over-sampler, as in :class:`~dsmote.SMOTE`, where `smote` is not given.
    carry : sequence of column names, default=None
        Passthrough columns of both steps, as in :class:`~dsmote.SMOTE`.
    smote : over-sampler, default=None
        ``SMOTE()`` if not given; any over-sampler, which keeps its own parameters.
    tomek : cleaning method, default=None
        ``TomekLinks(sampling_strategy="all")`` if not given; any cleaning method.
    n_jobs : int, default=None
        Taken for imbalanced-learn's sake; Dask's configuration says how many threads there are.

    Attributes
    ----------
    sampling_strategy_ : dict of label to int
        New rows per targeted class, before the cleaning.
    smote_, tomek_ : samplers
        Those that worked, with their attributes.
    n_features_in_, feature_names_in_, plan_
        As in :class:`~dsmote.Chain`, of which this is one.

    Notes
    -----
    The same rows come from ``Chain([SMOTE(), TomekLinks(sampling_strategy="all")])``. Rows after
    are upper bounds in the plan: each class loses its members of links.

    References
    ----------
    G. E. A. P. A. Batista, A. L. C. Bazzan, M. C. Monard, "Balancing Training Data for Automated
    Annotation of Keywords: a Case Study", WOB 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import SMOTETomek
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], [90, 10])
    >>> X = rng.normal(size=(100, 2)) + y[:, None]
    >>> X_res, y_res = SMOTETomek(random_state=0).fit_resample(X, y)
    >>> np.bincount(y_res)
    array([77, 77])
    """

    _summary = "SMOTE, then without Tomek links"
    _cleaner = TomekLinks
    _cleaner_name = "tomek"

    tomek: Any = field(default=None, metadata=allow(CleanSampler, None))
