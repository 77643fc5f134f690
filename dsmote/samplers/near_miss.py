"""NearMiss: the rows of the larger classes that are nearest to the smallest one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.plan import Plan, Profile
from dsmote.samplers.base import wanted_search
from dsmote.samplers.cleaning import RuleSampler
from dsmote.samplers.parameters import Range, allow


def _mean(distances: np.ndarray) -> np.ndarray:
    """Return k times the mean of the distances that there are; inf where there is none."""
    there = np.isfinite(distances)
    if there.all():
        return np.asarray(distances.sum(axis=1))
    counts, k = there.sum(axis=1), distances.shape[1]
    sums = np.where(there, distances, 0.0).sum(axis=1)
    some = (counts > 0) & (counts < k)
    sums[some] *= k / counts[some]
    return np.where(counts > 0, sums, np.inf)


def _least(values: np.ndarray, n: int) -> np.ndarray:
    """Tell which are the n least values, of equal ones the first."""
    if n >= len(values):
        return np.ones(len(values), dtype=bool)
    bound = np.partition(values, n)[n]
    least = values < bound
    least[np.flatnonzero(values == bound)[: n - int(least.sum())]] = True
    return least


@dataclass(frozen=True)
class NearMissRule(Rule):
    """Rows stay that are near to rows of the smallest class, as many as are asked for."""

    version: int = 1
    pool: int = 3  # nearest rows of the class that each row of the smallest class names

    told = property(lambda self: (0, self.k, max(self.k, self.pool))[self.version - 1])
    in_cells = property(lambda self: self.version != 2)  # which asks for the farthest
    held = 17  # numbers of the rows and means, as they come and are merged, and as they are cut
    all_ask = property(lambda self: self.version == 1)

    def few(self, plan: Plan) -> tuple[frozenset[int], int]:
        """All rows ask the smallest class, or (version 3) it asks the rows of each other class."""
        cut = sum(c.targeted and c.dropped > 0 for c in plan.classes)
        return frozenset([plan.smallest.rank]), max(1, cut * (1 if self.version == 3 else 2))

    def decide(self, of: AllRows) -> Decision:
        """Choose rows in each targeted class that has more than are to stay."""
        stays = np.ones(len(of), dtype=bool)
        near_to = np.flatnonzero(of.ranks == of.smallest)
        cut = of.targeted & (of.keep < of.counts)
        for rank in np.flatnonzero(cut):
            rows = of.of_class(int(rank))
            keep = int(of.keep[rank])
            if self.version == 2:
                far = of.farthest(rows, self.k, near_to)
                chosen = rows[_least(_mean(far), keep)]
            elif self.version == 1:
                near, means = of.measured(rows, self.k, near_to, _mean, keep)
                chosen = near[_least(means, keep)]
            else:
                named = of.nearest(near_to, self.pool, rows)[1]
                named = np.unique(named[named >= 0])
                far = of.nearest(named, self.k, near_to)[0]
                chosen = named[_least(-_mean(far), keep)]
                if len(named) < keep:
                    warnings.warn(
                        f"class {of.labels[rank]!r} keeps {len(named):,} rows instead of {keep:,}: "
                        f"the rows of the smallest class have no more among their {self.pool} "
                        "nearest of it; raise n_neighbors_ver3",
                        UserWarning,
                        stacklevel=2,
                    )
            stays &= of.ranks != rank
            stays[chosen] = True
        return Decision(stays)


@dataclass(kw_only=True, eq=False, repr=False)
class NearMiss(RuleSampler):
    r"""Keep the rows of the larger classes that are nearest to the smallest class.

    ::

        version 1    least mean distance to the nearest rows of the smallest class
        version 2    least mean distance to its farthest rows
        version 3    of the rows that are among the nearest of one of its rows,
                     those with the largest mean distance to its nearest rows

             o    o o  x x         o far from the border are the first to go by versions 1 and 2,
           o   o    o x  x         o at the border by version 3

    Parameters
    ----------
    sampling_strategy : str, float, mapping or callable, default="auto"
        As in :class:`~dsmote.RandomUnderSampler`.
    version : {1, 2, 3}, default=1
        Which rows stay, see above.
    n_neighbors : int or object, default=3
        Rows of the smallest class that the mean is taken over; or an object with ``kneighbors``
        that finds them, and has that number (version 2 takes the number only).
    n_neighbors_ver3 : int or object, default=3
        In version 3, rows of the larger class that each row of the smallest class names. Of an
        object only its number is taken.
    n_jobs : int, default=None
        Taken for imbalanced-learn's sake; Dask's configuration says how many threads there are.
    carry, missing, scale, categorical_features, provenance, route, scratch
        As in :class:`~dsmote.TomekLinks`; for version 2 all rows must fit into a worker.

    Attributes
    ----------
    sampling_strategy_ : dict of label to int
        Rows kept of each targeted class.
    sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    Exactly as many rows stay as are asked for; of rows with equal means the first. Only in version
    3 there may be fewer, where the rows of the smallest class name no more: a warning says so. A
    class that is to lose no rows is left alone.

    With groups the distances are those to rows of the own group, and where it has fewer than
    `n_neighbors` the mean is that of these; rows without any come last.

    Distances to the farthest rows (version 2) are found in boxes of rows, and no table of all
    pairs is made in any version. Rows come out in the order of the input (imbalanced-learn sorts
    them by class).

    References
    ----------
    I. Mani, I. Zhang, "kNN approach to unbalanced data distributions: a case study involving
    information extraction", ICML 2003 workshop on learning from imbalanced data sets.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import NearMiss
    >>> X, y = np.array([[0.0], [1.0], [3.0], [4.0], [9.0]]), np.array([0, 0, 0, 1, 1])
    >>> X_res, y_res = NearMiss(n_neighbors=1).fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([1., 3., 4., 9.]), array([0, 0, 1, 1]))
    """

    _takes_sparse = True
    _summary = "rows of large classes that are nearest to the smallest"
    _rule_type = NearMissRule
    _finds_itself = False

    version: int = field(default=1, metadata=allow(Range(Integral, 1, 3, "both")))
    n_neighbors: Any = 3
    n_neighbors_ver3: Any = field(
        default=3, metadata=allow(Range(Integral, 1, None), ("fit", "kneighbors"))
    )
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))
    categorical_features: Any = field(default="auto", metadata=allow("array-like", str))
    provenance: Any = field(default=False, metadata=allow({"flag"}, False))
    route: str = "auto"
    scratch: str | None = None

    def _rule(self, **more: Any) -> Rule:
        pool = wanted_search(self.n_neighbors_ver3, "auto", itself=False)[0]
        return super()._rule(pool=pool, **more)

    @property
    def _at_most(self) -> bool:
        return self.version == 3

    def _lacking(self, plan: Plan, profile: Profile) -> tuple[str, ...]:
        k = wanted_search(self.n_neighbors, "auto", itself=False)[0]
        few = min(plan.classes, key=lambda c: (c.before, c.rank))
        usable = profile.usable.get(few.label, 0)
        if usable >= k or not any(c.dropped for c in plan.classes):
            return ()
        rows = f"{usable:,} row{'' if usable == 1 else 's'}"
        return (
            f"class {few.label!r}, the smallest, has {rows} without missing values, but "
            f"n_neighbors={k} needs at least {k}; lower it",
        )
