"""ClusterCentroids: the centres of clusters in the place of the rows of larger classes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dsmote.execute import Table
from dsmote.execute.clean import AllRows, Decision, Moved, Rule
from dsmote.plan import Schema
from dsmote.samplers.cleaning import RuleSampler
from dsmote.samplers.instance_hardness import seeded
from dsmote.samplers.parameters import allow

_PAIRS = 1 << 26  # rows times centres that each iteration of KMeans looks at, in about a second
_WRONG = (
    "`estimator` should be a clustering estimator exposing a parameter `n_clusters` and a fitted "
    "parameter `cluster_centers_`."
)


@dataclass(frozen=True)
class CentroidRule(Rule):
    """A row of each cluster stays, or stands for its centre."""

    k: int = 0
    estimator: Any = None
    voting: str = "auto"

    @property
    def moves(self) -> bool:
        """Whether rows get the values of centres."""
        return self.voting != "hard"

    in_cells = False  # it looks at the features themselves

    def decide(self, of: AllRows) -> Decision:
        """Cluster each targeted class that has more rows than are to stay."""
        stays, how = np.ones(len(of), dtype=bool), None
        moved: list[tuple[np.ndarray, np.ndarray]] = []
        for rank in np.flatnonzero(of.targeted & (of.keep < of.counts)):
            rows, keep = np.flatnonzero(of.ranks == rank), int(of.keep[rank])
            stays[rows] = False
            if keep:
                chosen, centres, how = self._clustered(of.matrix[rows], keep, of.seed)
                stays[rows[chosen]] = True
                moved.append((rows[chosen], centres))
        told = {"estimator_": how, "voting_": "soft" if self.moves else "hard"}
        if not (self.moves and moved):
            return Decision(stays, told)
        numbers, values = (np.concatenate(part) for part in zip(*moved, strict=True))
        order = np.argsort(numbers)
        return Decision(stays, told, Moved(numbers[order], values[order]))

    def _estimator(self, n_rows: int, keep: int, seed: int) -> Any:
        if self.estimator is None:
            from sklearn.cluster import KMeans, MiniBatchKMeans

            kind = KMeans if n_rows * keep <= _PAIRS else MiniBatchKMeans
            return kind(keep, random_state=seed % 2**32, n_init=1)
        how = seeded(self.estimator, seed)
        if "n_clusters" not in how.get_params():
            raise ValueError(_WRONG)
        return how.set_params(n_clusters=keep)

    def _clustered(
        self, matrix: np.ndarray, keep: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """Return a row for each cluster, the clusters' centres, and the fitted clustering."""
        from sklearn import config_context
        from sklearn.exceptions import ConvergenceWarning

        with config_context(assume_finite=True), warnings.catch_warnings():
            # Of equal rows there may be fewer clusters, see below.
            warnings.simplefilter("ignore", ConvergenceWarning)
            how = self._estimator(len(matrix), keep, seed).fit(matrix)
            if not hasattr(how, "cluster_centers_"):
                raise RuntimeError(_WRONG)
            centres = np.asarray(how.cluster_centers_, dtype=np.float64)
            if centres.shape != (keep, matrix.shape[1]):
                raise ValueError(
                    f"cluster_centers_ of the estimator has the shape {centres.shape}, but "
                    f"{keep:,} centres of {matrix.shape[1]} features are needed"
                )
            cluster = np.asarray(how.predict(matrix))
        squares = ((matrix - centres[cluster]) ** 2).sum(axis=1)
        order = np.lexsort((squares, cluster))
        first = order[np.flatnonzero(np.diff(cluster[order], prepend=-1))]
        chosen = np.full(keep, -1)
        chosen[cluster[first]] = first
        # Where clusters are empty, the rows nearest to the centres of others are next.
        empty = np.flatnonzero(chosen < 0)
        order = np.argsort(squares, kind="stable")
        chosen[empty] = order[~np.isin(order, first)][: len(empty)]
        return chosen, centres, how


@dataclass(kw_only=True, eq=False, repr=False)
class ClusterCentroids(RuleSampler):
    r"""Cluster the rows of the larger classes, and keep a row or the centre of each cluster.

    ::

        rows of the class      as many clusters as rows are to stay

         o  o      o           ( o  o )   ( o   )      soft: their centres   +
          o       o o          (  o   )   ( o o )      hard: the rows nearest to these

    Parameters
    ----------
    sampling_strategy : str, float, mapping or callable, default="auto"
        As in :class:`~dsmote.RandomUnderSampler`.
    random_state : None, int, RandomState or Generator, default=None
        The seed of the clustering.
    estimator : object, default=None
        A clustering with ``fit``, ``predict``, a parameter ``n_clusters`` and the attribute
        ``cluster_centers_`` after ``fit``; clones are fitted, with this seed as ``random_state``.
        ``KMeans`` when omitted; ``MiniBatchKMeans`` where rows times centres are above 67 million.
    voting : {"auto", "hard", "soft"}, default="auto"
        ``"hard"`` keeps the row of each cluster that is nearest to its centre; ``"soft"`` and
        ``"auto"`` give that row the centre's values.
    carry, missing, scale
        As in :class:`~dsmote.TomekLinks`. All other columns must be numeric.

    Attributes
    ----------
    estimator_ : object
        The clustering of the last class, where the input is in memory.
    voting_ : str
        ``"hard"`` or ``"soft"``, where the input is in memory.
    sample_indices_ : ndarray of int, shape (rows kept,)
        Places in the input of the rows kept, with soft voting of those that stand for centres;
        only where that is in memory.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    The centre of a cluster takes the place, the index and the carried columns of the row that is
    nearest to it. Columns keep their dtypes: in columns of whole numbers centres are rounded to
    the nearest. A class that loses no rows is left alone.

    Rows are all different rows of the input, one of each cluster; where a clustering leaves
    clusters without rows, other rows near to their centres fill up. (imbalanced-learn may give a
    row several times with hard voting, and sorts rows by class.)

    Examples
    --------
    >>> from dsmote import ClusterCentroids
    >>> X, y = np.array([[0.0], [2.0], [7.0], [9.0], [4.0], [5.0]]), np.array([0, 0, 0, 0, 1, 1])
    >>> X_res, y_res = ClusterCentroids(random_state=0).fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([1., 8., 4., 5.]), array([0, 0, 1, 1]))
    """

    _summary = "centres of clusters in the place of rows of large classes"
    _rule_type = CentroidRule
    _random = True

    random_state: Any = None
    estimator: Any = field(default=None, metadata=allow(("fit", "predict"), None))
    voting: str = field(default="auto", metadata=allow({"auto", "hard", "soft"}))

    def _table_schema(self, table: Table, group: Any) -> Schema:
        if group is not None:
            raise ValueError(
                "ClusterCentroids does not cluster by groups; resample each group by itself, or "
                "name the column in carry"
            )
        return super()._table_schema(table, group)
