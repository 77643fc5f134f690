"""RandomOverSampler: duplicates of minority rows, or a smoothed bootstrap (ROSE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np

from dsmote.execute import ClassContext, ClassIndex, Draws, Made, Recipe, displaced
from dsmote.kernels import MOST, bandwidth, normal
from dsmote.plan import Profile, plain, sort_labels
from dsmote.samplers.base import OverSampler
from dsmote.samplers.parameters import Range, allow


class CopyRecipe(Recipe):
    """All rows are bases, equally; no neighbours; the kernel copies."""

    copies_rows = True
    by_row = True
    lies = "copy"

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Say which rows are copied; their columns are taken where the table is made."""
        rows = index.rows
        return Made(rows.numeric[bases], {}, rows.codes[bases], bases)


@dataclass(frozen=True)
class SmoothedRecipe(CopyRecipe):
    """As it, with noise."""

    factors: Mapping[int, float] = field(default_factory=dict)

    copies_rows = False
    lies = "noise"

    def prepare(self, ctx: ClassContext) -> np.ndarray:
        """Return the standard deviation of the noise in each column."""
        spreads = np.array([_spread(column) for column in ctx.columns])
        scale = self.factors[ctx.cls.rank] * bandwidth(len(ctx.rows), len(spreads))
        with np.errstate(over="ignore"):
            return scale * spreads

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Add noise to copies."""
        steps = np.empty((len(bases), len(index.state)))
        for j, deviation in enumerate(index.state):
            with np.errstate(over="ignore"):  # beyond the largest float there is none
                steps[:, j] = deviation * normal(draws.noise(j))
        return displaced(index.rows, bases, steps, rounded)


def _spread(column: np.ndarray) -> float:
    """Return the standard deviation, also of numbers whose squares a float cannot hold."""
    # By a power of two, which changes no bit of others; and column by column, so that it does not
    # depend on the layout.
    power = int(np.frexp(np.abs(column).max())[1])
    spread = np.ldexp(np.ascontiguousarray(column), -power).std()
    with np.errstate(over="ignore"):
        return min(float(np.ldexp(spread, power)), MOST)


@dataclass(kw_only=True, eq=False, repr=False)
class RandomOverSampler(OverSampler):
    """Duplicates of rows, drawn with replacement; with `shrinkage`, a smoothed bootstrap (ROSE).

    Without `shrinkage` columns of every dtype are copied as they are, missing values included.

    Parameters
    ----------
    sampling_strategy, random_state
        As in :class:`~dsmote.SMOTE`.
    shrinkage : float or mapping of label to float, default=None
        Add normal noise to the copies: so many times h times each column's standard deviation in
        the class, with h = (4 / ((d + 2) n))^(1 / (d + 4)) for n rows of the class in d columns.
        All features must be numeric then; integers are rounded.
    carry, provenance
        As in :class:`~dsmote.SMOTE`; other columns are copied.
    route : {"auto", "broadcast", "cells"}, default="auto"
        Of Dask input: ``"broadcast"`` collects the rows of a class in one worker, ``"cells"``
        leaves them in scratch files, of which a worker reads those that it copies. Both make the
        same rows. ``"auto"`` takes scratch files where a class does not fit into a worker.
    scratch
        As in :class:`~dsmote.SMOTE`.

    Attributes
    ----------
    sample_indices_ : ndarray of int64
        The row that each row of the output is, or is a copy of, where the input is in memory.
    shrinkage_ : dict or None
        Shrinkage of each class that grows.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data twice: to count the classes, and to collect their rows and write the
    originals. imbalanced-learn takes n in h over the rows of all classes; the paper, and dsmote,
    over those of the class.

    References
    ----------
    G. Menardi, N. Torelli, "Training and assessing classification rules with imbalanced data", Data
    Mining and Knowledge Discovery 28, 2014.

    Examples
    --------
    >>> from dsmote import RandomOverSampler
    >>> X, y = np.array([["a"], ["b"], ["c"]], dtype=object), np.array([0, 0, 1])
    >>> X_res, y_res = RandomOverSampler(random_state=0).fit_resample(X, y)
    >>> X_res[:, 0].tolist(), y_res.tolist()
    (['a', 'b', 'c', 'c'], [0, 0, 1, 1])
    """

    _takes_sparse = True
    _summary = "duplicates of minority rows, or a smoothed bootstrap (ROSE)"
    _memory_only: ClassVar[dict[str, Any]] = {"sample_indices_": attrgetter("sample_indices")}

    shrinkage: Any = field(default=None, metadata=allow(Range(Real, 0, None), Mapping, None))
    route: str = "auto"
    scratch: str | None = None

    _any_kind = property(lambda self: self.shrinkage is None)

    def _recipe(self, **more: Any) -> Recipe:
        kind = CopyRecipe if self.shrinkage is None else SmoothedRecipe
        return kind("RandomOverSampler", **more)

    def _informed(self, recipe: Any, profile: Profile, new: Any) -> tuple[Recipe, list[str]]:
        self.shrinkage_ = None if self.shrinkage is None else self._shrinkage_of(new)
        if self.shrinkage_ is None:
            return recipe, []
        ranks = {label: rank for rank, label in enumerate(sort_labels(profile.counts))}
        given = {ranks[label]: float(s) for label, s in self.shrinkage_.items() if label in new}
        return self._recipe(factors=given), []

    def _shrinkage_of(self, new: Any) -> dict[Any, float]:
        if not isinstance(self.shrinkage, Mapping):
            return dict.fromkeys(new, self.shrinkage)
        given = {plain(label): value for label, value in self.shrinkage.items()}
        # Which a mapping of a kind of its own may find by other keys.
        given |= {label: self.shrinkage[label] for label in new if label in self.shrinkage}
        absent = [label for label in new if label not in given]
        if absent:
            raise ValueError(
                f"`shrinkage` should contain a shrinkage factor for each class that grows; the "
                f"missing classes are {absent}"
            )
        for label, value in given.items():
            if not (isinstance(value, Real) and 0 <= float(value) < np.inf):
                raise ValueError(
                    f"The shrinkage factor needs to be >= 0. Got {value!r} for class {label!r}"
                )
        return given
