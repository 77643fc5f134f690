"""SMOTE: new rows between a minority row and one of its nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsmote.samplers.base import OverSampler


@dataclass(kw_only=True, eq=False, repr=False)
class SMOTE(OverSampler):
    r"""Synthetic minority over-sampling for numeric features, in tables of any size.

    ::

        k = 3        n                new row x = base + gap (neighbour - base)
                    /                 base: a row of the class, drawn with replacement
        n---x-----base                neighbour: one of its k nearest of the same class
                    \                gap: one draw from [0, 1) for each row
                     n

    Parameters
    ----------
    sampling_strategy : str, float, mapping or callable, default="auto"
        Which classes grow, and how far: ``"auto"`` (all but the majority, to its size),
        ``"minority"``, ``"not minority"``, ``"not majority"``, ``"all"``; a ratio of minority to
        majority for two classes; a mapping from class to the total wanted; or a callable that
        returns such a mapping. A callable is given the target, or, where that is a Dask
        collection, the class counts as a mapping.
    k_neighbors : int or object, default=5
        Nearest neighbours among which one is drawn; or, as in imbalanced-learn, an object with
        ``fit`` and ``kneighbors`` that finds them, whose ``n_neighbors`` is one more.
    random_state : None, int, RandomState or Generator, default=None
        The seed. The same seed gives the same rows, however the data are partitioned.
    carry : sequence of column names, default=None
        Passthrough columns: kept in the output, not used as features (ids, time stamps). They are
        missing in synthetic rows; integers become nullable (int64 becomes Int64).
    missing : {"error", "skip"}, default="error"
        What to do with rows that have missing or infinite values in a feature: refuse
        them, or keep them in the output and leave them out as bases and neighbours.
    neighbors : {"auto", "tree", "brute", "fast"} or engine, default="auto"
        How neighbours are found. ``"auto"`` chooses ``"tree"`` or ``"brute"`` from the rows alone,
        and the plan says why; all three find the same, true neighbours. ``"fast"`` approximates:
        ``TreeIndex(eps=0.5)`` where rows spread in few directions; where in many, ``FaissIndex()``
        (the extra ``dsmote[faiss]``), or ``CappedIndex(20_000)`` without it. Or an engine of
        :mod:`dsmote.neighbors`.
    scale : {"standard", "minmax", "robust"}, default=None
        Find neighbours among columns that are scaled as scikit-learn's scaler of that name does,
        over all rows of the table; new rows are made in the original units. The scales are computed
        in the one pass over the data, and exactly, but for the quartiles of ``"robust"`` in columns
        of more than 4,096 different values (off by no more than one cell of a grid of which that
        many cells are hit). Not with ``class_counts``, which saves that pass.
    n_components : int or float, default=None
        Find neighbours in so many leading principal components of the class, or in the fewest
        that hold this share (between 0 and 1) of its variance. Approximate: recall is measured in
        all columns, and reported, where a worker holds the class.
    on_small_class : {"error", "copy", "skip"}, default="error"
        What to do with a class of fewer than k + 1 rows: refuse it, copy its rows (drawn with
        replacement), or leave it as it is.
    on_small_group : {"error", "copy", "skip"}, default="error"
        With ``groups``, what to do with rows whose group has fewer than k + 1 rows of the class:
        refuse them, copy them, or make no rows from them.
    route : {"auto", "broadcast", "gather", "cells"}, default="auto"
        Of Dask input: ``"broadcast"`` indexes the rows of a class in one worker, ``"cells"`` cuts
        them into cells of near rows, in scratch files, of which a worker holds one at a time. Both
        find the same neighbours, and make the same rows. ``"auto"`` takes cells where a class does
        not fit into a worker. ``"gather"`` is for samplers that look for the nearest of all rows:
        the rows of the class, which fit into a worker, travel to every partition.
    scratch : str, default=None
        Folder or URL, seen by all workers, for the files of cells. By default Dask's temporary
        directory where all workers are on one machine, and beside the output of a job. The files go
        with the lazy result.
    max_pairs : float, default=1e13
        Refuse to compare more pairs of rows than this, where rows spread in so many directions that
        nearly all cells must be searched for every row.
    max_increase : float, default=None
        A class grows to at most so many times its rows. What `sampling_strategy` wants beyond that
        is cut, with a warning that names the class, the rows wanted and those made.
    provenance : {False, "flag", "full"}, default=False
        Say where rows came from. ``"flag"`` adds a boolean column ``synthetic``; ``"full"`` adds
        ``base_row`` and ``neighbour_row`` (numbers of rows of the input, from 0), ``gap`` and, for
        each carried column, the parents' values. For arrays it is put into ``provenance_``.

    Attributes
    ----------
    sampling_strategy_ : dict of label to int
        New rows per targeted class.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Their names, where X is a frame whose names are all text.
    plan_ : Plan
        The plan of the last run.
    neighbors_report_ : dict of label to dict
        Engine and recall for each class that grows. Where the search is exact recall is 1; else it
        was measured against brute force on 1,000 seeded rows. For Dask input and an
        approximate engine it is a Delayed, which ``compute()`` turns into the dict.
    provenance_ : DataFrame
        Where the rows of an array came from, if asked for; a Dask DataFrame for a Dask array.

    Notes
    -----
    In many directions all rows are about equally far from each other: the nearest is hardly nearer
    than any other, and a row between two of them lies far from both, in a place where the class
    may have none. (Of 100,000 normal rows the nearest lies at 0.1 of the mean distance in 5
    dimensions, and at 0.5 in 30.) ``n_components`` finds neighbours by what rows have in common and
    does not change that; fewer, better columns do.

    Whole numbers, booleans, dates and durations are interpolated and rounded to nearest. Draws
    differ per class. A row is never its own neighbour, however often it occurs.

    In a Dask frame the originals keep their index; synthetic rows continue counting from the
    number of originals where the index is numeric, and are missing in an index of another kind.

    References
    ----------
    N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer, "SMOTE: Synthetic Minority
    Over-sampling Technique", JAIR 16:321-357, 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import SMOTE
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(100, 3)), np.repeat([0, 1], [90, 10])
    >>> X_res, y_res = SMOTE(random_state=0).fit_resample(X, y)
    >>> X_res.shape, np.bincount(y_res)
    ((180, 3), array([90, 90]))
    """

    _takes_sparse = True
    _summary = "SMOTE for numeric features"

    k_neighbors: Any = 5
    missing: str = "error"
    neighbors: Any = "auto"
    scale: str | None = None
    n_components: Any = None
    on_small_class: str = "error"
    on_small_group: str = "error"
    route: str = "auto"
    scratch: str | None = None
    max_pairs: float = 1e13
