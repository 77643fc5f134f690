"""TomekLinks: rows of two classes that are each other's nearest."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.plan import Plan
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.parameters import allow


def tomek_links(of: AllRows) -> np.ndarray:
    """Return the links as pairs of row numbers, shape (links, 2).

    Every link has a member outside the largest class: only these rows ask for their nearest of all,
    and then those that they named.
    """
    few = np.flatnonzero(of.ranks != of.largest)
    near = of.nearest(few, 1)[1][:, 0]
    other = (near >= 0) & (of.ranks[near] != of.ranks[few])
    few, near = few[other], near[other]
    named = np.unique(near)
    back = of.nearest(named, 1)[1][:, 0]
    mutual = back[np.searchsorted(named, near)] == few
    return np.stack([few[mutual], near[mutual]], axis=1)


def smaller_classes(plan: Plan) -> frozenset[int]:
    """Return all classes but the largest, by rank."""
    return frozenset(c.rank for c in plan.classes if c is not plan.largest)


class TomekRule(Rule):
    """Members of links stay where their class is not targeted."""

    rounds = 2

    def few(self, plan: Plan) -> tuple[frozenset[int], int]:
        """All but the largest class ask all rows, and then those that they named."""
        return smaller_classes(plan), 2

    def decide(self, of: AllRows) -> Decision:
        """Drop the members of links whose class is targeted."""
        stays = np.ones(len(of), dtype=bool)
        members = tomek_links(of).reshape(-1)
        stays[members[of.targeted[of.ranks[members]]]] = False
        return Decision(stays)


@dataclass(kw_only=True, eq=False, repr=False)
class TomekLinks(CleanSampler):
    r"""Drop rows that form Tomek links: each is the other's nearest, and their classes differ.

    ::

        o  o   o        x - o   a link: o is the nearest of x, and x of o
         o  x-o  x              the member whose class is targeted goes
           o    x x

    Parameters
    ----------
    sampling_strategy : str, list or callable, default="auto"
        Which classes lose rows: ``"auto"`` or ``"not minority"`` (all but the smallest),
        ``"majority"``, ``"not majority"``, ``"all"``; a list of classes; or a callable that is
        given the target (of a Dask collection the class counts) and returns such a list.
    n_jobs : int, default=None
        Taken for imbalanced-learn's sake; Dask's configuration says how many threads there are.
    carry : sequence of column names, default=None
        Columns that are not features (ids, time stamps): they are not looked at.
    missing : {"error", "skip"}, default="error"
        What to do with rows that have missing or infinite values in a feature: refuse them, or let
        them stay, nobody's neighbours.
    scale : {"standard", "minmax", "robust"}, default=None
        Find neighbours among scaled columns, as :class:`~dsmote.SMOTE` does.
    categorical_features : "auto" or array-like, default="auto"
        As in :class:`~dsmote.SMOTENC`. With categorical and numeric features rows are compared by
        SMOTENC's distances, in which the median of the standard deviations is that of all rows;
        where all are categorical, by SMOTEN's.
    provenance : {False, "flag"}, default=False
        ``"flag"`` returns all rows, and a boolean column ``removed`` that marks those that would
        be left out; for arrays it is put into ``provenance_``.
    route : {"auto", "broadcast", "gather", "cells"}, default="auto"
        Of Dask input: ``"broadcast"`` compares all rows in one worker, ``"gather"`` sends the rows
        of the smaller classes to every partition, ``"cells"`` cuts all rows into cells of near
        rows, in scratch files, of which a worker holds one at a time. The same rows stay.
        ``"auto"`` takes the first of them that fits into a worker. Numeric features only are
        compared by ``"gather"``, and by methods that ask few rows: TomekLinks, NearMiss (but
        version 2), OneSidedSelection.
    scratch : str, default=None
        Folder or URL, seen by all workers, for the files of cells, as for :class:`~dsmote.SMOTE`.

    Attributes
    ----------
    sampling_strategy_ : dict of label to int
        The targeted classes, and their rows.
    sample_indices_ : ndarray of int, shape (rows kept,)
        Places of the kept rows in the input, ascending; only where that is in memory.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Their names, where X is a frame whose names are all text.
    plan_ : Plan
        The plan of the last run. Rows after are upper bounds.
    provenance_ : DataFrame
        Which rows of an array would be left out, if asked for.

    Notes
    -----
    A row is never its own neighbour, however often it occurs: of equal rows of two classes the
    nearest is the first of the others. (imbalanced-learn does not see links between equal rows.)

    Rows that stay come out unchanged, in the order of the input and with their index. On Dask the
    data are read three times: to count the classes, to compare the features of all rows, and to
    filter. Only the first happens at once.

    References
    ----------
    I. Tomek, "Two modifications of CNN", IEEE Transactions on Systems, Man, and Cybernetics 6,
    1976.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import TomekLinks
    >>> X, y = np.array([[0.0], [1.0], [1.2], [3.0], [4.0]]), np.array([0, 0, 1, 1, 0])
    >>> X_res, y_res = TomekLinks(sampling_strategy="majority").fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([0. , 1.2, 3. ]), array([0, 1, 1]))
    """

    _takes_sparse = True
    _summary = "without the majority rows of Tomek links"
    _rule_type = TomekRule
    _k_name = ""

    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))
