"""KMeansSMOTE: new rows inside clusters with enough minority rows; sparse clusters get more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np

from dsmote.execute import Bases, ClassContext, Recipe, Table
from dsmote.plan import Needs, Schema, shares
from dsmote.plan.memory import KEPT_PAIRS
from dsmote.samplers.base import OverSampler
from dsmote.samplers.parameters import Range, allow

_MOST = 10_000  # rows of a cluster whose distances are all looked at


def log_mean_distance(matrix: np.ndarray) -> float:
    """Return the logarithm of the mean distance of all pairs of rows; -inf where all are equal.

    Of more than 10,000 rows each s-th is taken, with the least s that leaves no more than these.
    """
    matrix = matrix[:: -(-len(matrix) // _MOST)]
    centred = matrix - matrix.mean(axis=0)
    squares = np.einsum("ij,ij->i", centred, centred)
    n, total = len(centred), 0.0
    step = max(1, KEPT_PAIRS // n)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        between = squares[rows, None] + squares - 2.0 * (centred[rows] @ centred.T)
        # A row is not counted with itself, where rounding would leave something.
        between[np.arange(len(between)), np.arange(start, start + len(between))] = 0.0
        total += float(np.sqrt(np.maximum(between, 0.0)).sum())
    with np.errstate(divide="ignore"):
        return float(np.log(total / (n * (n - 1))))


@dataclass(frozen=True)
class KMeansRecipe(Recipe):
    """Bases and neighbours in clusters; a cluster's share grows with its sparsity."""

    kmeans_estimator: Any = None
    cluster_balance_threshold: Any = "auto"
    density_exponent: Any = "auto"
    max_fit_rows: int | None = None

    surveys = True
    lazy_report = True

    sample = property(lambda self: 2**62 if self.max_fit_rows is None else self.max_fit_rows)
    in_cells = property(lambda self: self.exact)

    def needs(self) -> Needs:
        """Say what the plan has to reckon with."""
        how = self.kmeans_estimator
        n = (
            8
            if how is None
            else how
            if isinstance(how, Integral)
            else getattr(how, "n_clusters", 8)
        )
        return replace(super().needs(), in_order=True, kept=int(n) * _MOST)

    def fit(self, matrix: np.ndarray, ranks: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
        """Fit the clustering."""
        from sklearn import config_context
        from sklearn.base import clone
        from sklearn.cluster import MiniBatchKMeans

        how = self.kmeans_estimator
        own = how is None or isinstance(how, Integral)
        if own:
            n_clusters = min(8 if how is None else int(how), len(matrix))
            how = MiniBatchKMeans(n_clusters=n_clusters, random_state=seed % 2**32)
        # Rows with other values are left out or refused before; parameters of our own are right.
        with config_context(assume_finite=True, skip_parameter_validation=own):
            return clone(how).fit(matrix)

    def survey(self, matrix: np.ndarray, ranks: np.ndarray, n_classes: int, model: Any) -> Any:
        """Count rows by class and cluster; int64 of shape (classes, clusters)."""
        n = int(model.n_clusters)
        if not len(matrix):
            return np.zeros((n_classes, n), dtype=np.int64)
        places = ranks.astype(np.int64) * n + model.predict(matrix)
        return np.bincount(places, minlength=n_classes * n).reshape(n_classes, n)

    def bases(self, ctx: ClassContext) -> Bases:
        """Choose clusters, divide the new rows between them, and draw bases in each."""
        rank, n = ctx.cls.rank, len(ctx.rows)
        # An estimator may round a row as those that come with it have it.
        parts = [np.asarray(ctx.model.predict(block), dtype=np.int64) for block in ctx.blocks()]
        cluster, total = np.concatenate(parts), ctx.survey.sum(axis=0)
        ours = np.bincount(cluster, minlength=len(total))
        if ctx.survey[rank].sum() != n:
            raise ValueError(
                f"class {ctx.cls.label!r} has {n:,} rows, but "
                f"{int(ctx.survey[rank].sum()):,} when all rows were assigned to clusters; "
                "data that change between two reads cannot be resampled: write them to files, or "
                "call persist()"
            )
        threshold = self.cluster_balance_threshold
        if len(ours) == 1:
            threshold = -np.inf
        elif isinstance(threshold, str):
            threshold = ctx.cls.new / ctx.total / 2
        balance = ours / np.maximum(total, 1)
        valid = (total > 0) & (balance >= threshold) & (ours >= self.k + 1)
        if not valid.any():
            best = int(np.argmax(balance))
            raise ValueError(
                f"class {ctx.cls.label!r}: no cluster found with sufficient samples: none of "
                f"{len(ours)} clusters has at least {self.k + 1} rows of it (k + 1) and a share "
                f"of at least {threshold:.4g}; its largest share is {balance[best]:.4g} "
                f"({int(ours[best]):,} of {int(total[best]):,} rows); lower "
                "cluster_balance_threshold or k_neighbors, or change the number of clusters"
            )
        skipped = self._skipped(ctx, cluster, valid)
        # A base needs neighbours of its group in its cluster, and a cluster a base.
        valid &= np.bincount(cluster[~skipped], minlength=len(ours)) > 0
        if not valid.any():
            raise ValueError(
                f"class {ctx.cls.label!r}: in no cluster is there a group of at least "
                f"{self.k + 1} rows (k + 1); lower k_neighbors, or pass on_small_group='copy'"
            )
        chosen = np.flatnonzero(valid)
        new = shares(self._weights(ctx, cluster, chosen), ctx.cls.new)
        ends, first = np.zeros(n, dtype=np.int64), 0
        for c, n_new in zip(chosen, new.tolist(), strict=True):
            among = np.flatnonzero((cluster == c) & ~skipped)
            if n_new:
                ends += ctx.drawn(among, n_new, first).ends
                first += n_new
        groups = np.where(valid[cluster], cluster, -1)
        return Bases(ends, None, {"clusters": len(chosen), "of_clusters": len(ours)}, groups)

    def _skipped(self, ctx: ClassContext, cluster: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Tell which rows are no bases: they are too few of their group in their cluster."""
        if ctx.rows.group is None:
            return np.zeros(len(cluster), dtype=bool)
        pairs = np.stack([cluster, ctx.rows.group])
        _, place, sizes = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
        lone: np.ndarray = (sizes <= self.k)[place.ravel()]
        small = int((lone & valid[cluster]).sum())
        if small and self.on_small_group == "error":
            raise ValueError(
                f"class {ctx.cls.label!r} has {small:,} row(s) with fewer than {self.k} others of "
                "their group in their cluster, so that they have no k neighbours; lower "
                "k_neighbors, or pass on_small_group='copy' or 'skip'"
            )
        return lone & (self.on_small_group == "skip")

    def _weights(self, ctx: ClassContext, cluster: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return sparsity = (mean distance)^e / n of each chosen cluster, up to a factor."""
        logs, exponent, sizes = [], self.density_exponent, np.bincount(cluster)[chosen]
        places = [np.flatnonzero(cluster == c) for c in chosen]
        places = [at[:: -(-len(at) // _MOST)] for at in places]
        wanted, taken, first = np.sort(np.concatenate(places)), [], 0
        for block in ctx.blocks():
            ends = np.searchsorted(wanted, [first, first + len(block)])
            taken.append(block[wanted[slice(*ends)] - first])
            first += len(block)
        matrix = np.concatenate(taken)
        for at, size in zip(places, sizes, strict=True):
            rows = matrix[np.searchsorted(wanted, at)]
            e = float(matrix.shape[1] if isinstance(exponent, str) else exponent)
            spread = log_mean_distance(rows)
            power = 0.0 if e == 0 else e * spread
            logs.append(power - np.log(size))
        # In logarithms: a distance to the power of fifty columns is soon beyond a float.
        top = max(logs)
        if not np.isfinite(top):  # equal rows in every cluster
            return 1.0 / sizes
        return np.exp(np.array(logs) - top)


@dataclass(kw_only=True, eq=False, repr=False)
class KMeansSMOTE(OverSampler):
    """SMOTE inside clusters with enough minority rows; sparse clusters get more new rows.

    ::

        1  cluster all rows                     2  keep clusters with enough of the class
        3  weight = (mean distance)^e / n       4  SMOTE inside, exactly as many rows as asked for

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors
        As in :class:`~dsmote.SMOTE`; `k_neighbors` is 2 by default.
    kmeans_estimator : int or object, default=None
        A number of clusters, or an object with ``fit``, ``predict`` and ``n_clusters``; a clone is
        fitted. ``MiniBatchKMeans()`` (8 clusters) when omitted.
    cluster_balance_threshold : "auto" or float, default="auto"
        Share of the class that a cluster needs. ``"auto"``: half of the class's share of all new
        rows. Of a single cluster nothing is asked.
    density_exponent : "auto" or float, default="auto"
        The exponent e. ``"auto"``: the number of columns, as in the paper.
    n_jobs : int, default=None
        Taken for imbalanced-learn's sake; Dask's configuration says how many threads there are.
    max_fit_rows : int or None, default=100_000
        The clustering is fitted once for all classes, to all rows if there are no more than these,
        and else to a sample of so many in which each class has its share: that of the smallest
        hashes of the rows, which is the same however they are partitioned. None: to all rows.
    neighbors, scale
        As in :class:`~dsmote.SMOTE`; clusters are those of scaled columns.
    carry, missing, on_small_class, on_small_group, provenance, route, scratch, max_pairs
        As in :class:`~dsmote.SMOTE`.

    Attributes
    ----------
    kmeans_estimator_ : object
        The fitted clustering, where the input is in memory.
    cluster_balance_threshold_ : "auto" or float
        The parameter, as in imbalanced-learn.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data three times: to count the classes, to collect their rows and the sample and
    write the originals, and to count all rows by cluster. On Dask only the first happens at once;
    the clustering is a task of the graph. Where a class lies in cells, one task assigns its rows to
    clusters, a block after the other; neighbours are found in the cells of a cluster.

    References
    ----------
    G. Douzas, F. Bacao, F. Last, "Improving imbalanced learning through a heuristic oversampling
    method based on k-means and SMOTE", Information Sciences 465, 2018.

    Examples
    --------
    >>> from dsmote import KMeansSMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = np.r_[rng.normal(0, 1, (90, 2)), rng.normal(6, 1, (20, 2))]
    >>> X_res, y_res = KMeansSMOTE(random_state=0).fit_resample(X, np.repeat([0, 1], [90, 20]))
    >>> np.bincount(y_res)
    array([90, 90])
    """

    _summary = "SMOTE inside clusters, more rows in sparse ones"
    _recipe_type = KMeansRecipe
    _memory_only: ClassVar[dict[str, Any]] = {"kmeans_estimator_": attrgetter("model")}

    k_neighbors: Any = 2
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))
    kmeans_estimator: Any = field(
        default=None, metadata=allow(("fit", "predict"), Range(Integral, 1, None), None)
    )
    cluster_balance_threshold: Any = field(default="auto", metadata=allow({"auto"}, Real))
    density_exponent: Any = field(default="auto", metadata=allow({"auto"}, Real))
    max_fit_rows: int | None = 100_000
    missing: str = "error"
    neighbors: Any = "auto"
    scale: str | None = None
    on_small_class: str = "error"
    on_small_group: str = "error"
    route: str = "auto"
    scratch: str | None = None
    max_pairs: float = 1e13

    def _schema(self, table: Table, group: Any) -> Schema:
        self.cluster_balance_threshold_ = self.cluster_balance_threshold
        return super()._schema(table, group)
