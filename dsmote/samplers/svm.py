"""SVMSMOTE: new rows from the support vectors of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from dsmote.execute import Bases, ClassContext, ClassIndex, Draws, Ends, Recipe, Rows
from dsmote.plan import Profile, Stream, plain, sort_labels
from dsmote.plan.draws import SHARE
from dsmote.samplers.borderline import BorderRecipe, BorderSampler
from dsmote.samplers.parameters import Range, allow


@dataclass(frozen=True)
class SvmRecipe(BorderRecipe):
    """Support vectors are bases: those in danger reach inward, the others outward."""

    svm_estimator: Any = None
    out_step: float = 0.5
    max_fit_rows: int | None = None

    sample = property(lambda self: 2**62 if self.max_fit_rows is None else self.max_fit_rows)

    def fit(self, matrix: np.ndarray, ranks: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
        """Fit the machine; return it, and which rows of the table its vectors are."""
        from sklearn import config_context
        from sklearn.base import clone
        from sklearn.svm import SVC

        seed = seed % 2**32
        how = self.svm_estimator
        machine = SVC(gamma="scale", random_state=seed) if how is None else clone(how)
        if len(matrix) and (ranks == ranks[0]).all():
            raise ValueError(
                f"the support vector machine needs rows of 2 classes, but all {len(ranks):,} rows "
                "it would be fitted to are of one class: the other rows have missing values and "
                "missing='skip' leaves them out; fill them or name those columns in carry"
            )
        # Rows with other values are left out or refused before; parameters of our own are right.
        with config_context(assume_finite=True, skip_parameter_validation=how is None):
            machine.fit(matrix, ranks)
        if not hasattr(machine, "support_"):
            raise ValueError(
                f"svm_estimator is a {type(machine).__name__}, which has no attribute support_ "
                "after fitting; give a support vector machine such as sklearn.svm.SVC"
            )
        return machine, np.sort(numbers[machine.support_])

    def query_rows(self, rows: Rows, model: Any) -> np.ndarray:
        """Only support vectors need to know what is around them."""
        return np.flatnonzero(np.isin(rows.numbers, model[1]))

    def bases(self, ctx: ClassContext) -> Bases:
        """Divide the new rows between the vectors in danger and the safe ones."""
        from scipy.special import betaincinv

        danger, safe, report = self.told_apart(ctx)
        inward, outward, new = ctx.chosen(danger), ctx.chosen(safe), ctx.cls.new
        if not len(inward) and not len(outward):
            raise ValueError(
                f"class {ctx.cls.label!r} has {sum(report.values()):,} support vectors, of which "
                f"{report['noise']:,} are noise (all of their {self.m} nearest rows are of other "
                "classes) and none is left as a base; use SMOTE, or another m_neighbors"
            )
        draw = Stream(ctx.seed, ctx.cls.rank, SHARE).uniform(0, 1)[0]
        first = int(betaincinv(10, 10, draw) * (new + 1))
        first = new if not len(outward) else 0 if not len(inward) else first
        ends = np.zeros(len(ctx.rows), dtype=np.int64)
        if first:
            ends += ctx.drawn(inward, first).ends
        if new - first:
            ends += ctx.drawn(outward, new - first, first).ends
        return Bases(ends, np.isin(np.arange(len(ends)), outward), report)

    def gaps(self, index: ClassIndex, bases: np.ndarray, ends: Ends, draws: Draws) -> np.ndarray:
        """Interpolate from vectors in danger, extrapolate from safe ones."""
        assert index.bases.marks is not None
        gaps = draws.gap()
        gaps[index.bases.marks[bases]] *= -self.out_step
        return gaps

    def fits(self, others: np.ndarray, present: np.ndarray, gaps: np.ndarray) -> Any:
        """Tell which rows are in danger and reach inward, or are safe and reach outward."""
        return (others < present) & ((2 * others >= present) != np.signbit(gaps))

    def allows(self, gaps: np.ndarray, foreign: np.ndarray) -> np.ndarray:
        """Tell which gaps there may be: outward, no further than the step."""
        return (gaps >= -self.out_step) & (gaps <= 1.0) & ~foreign


@dataclass(kw_only=True, eq=False, repr=False)
class SVMSMOTE(BorderSampler):
    """SMOTE from the support vectors of the class.

    ::

        near the border, in danger   base + gap (neighbour - base)              inward
        safe                         base - out_step gap (neighbour - base)     outward
        noise (m of m others)        no base

    The share of the first is drawn from Beta(10, 10); where one group is empty the other gets all.

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors
        As in :class:`~dsmote.SMOTE`.
    m_neighbors : int or object, default=10
        As in :class:`~dsmote.BorderlineSMOTE`.
    svm_estimator : object, default=None
        A support vector machine with the attribute ``support_`` after ``fit``; a clone is fitted.
        ``SVC(gamma="scale")`` when omitted. It sees scaled columns where `scale` is given.
    out_step : float, default=0.5
        How far outward a row may be made, as a share of the distance to the neighbour.
    max_fit_rows : int or None, default=20_000
        The machine is fitted once for all classes, to all rows if there are no more than these, and
        else to a sample of so many in which each class has its share; only they can be support
        vectors. The sample is that of the smallest hashes of the rows. None: to all rows.
    neighbors, scale, n_components, carry, missing, on_small_class, on_small_group, provenance
        As in :class:`~dsmote.SMOTE`. The nearest of all rows are found exactly.
    route, scratch, max_pairs
        As in :class:`~dsmote.SMOTE`. With cells all rows are cut into some, too, and searched
        there for the nearest of all.

    Attributes
    ----------
    svm_estimator_ : object
        The fitted machine, where the input is in memory. Its classes are numbers: the places of
        the labels in sorted order.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data three times: to count the classes, to collect their rows and the sample and
    write the originals, and to find the nearest of all rows (twice where these are found in
    cells). On Dask only the first happens at once; the machine is a task of the graph.

    References
    ----------
    H. M. Nguyen, E. W. Cooper, K. Kamei, "Borderline over-sampling for imbalanced data
    classification", International Journal of Knowledge Engineering and Soft Data Paradigms 3, 2011
    (first at IWCIA 2009).

    Examples
    --------
    >>> from dsmote import SVMSMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = np.r_[rng.normal(size=(90, 2)), rng.normal(2, 1, size=(20, 2))]
    >>> X_res, y_res = SVMSMOTE(random_state=0).fit_resample(X, np.repeat([0, 1], [90, 20]))
    >>> np.bincount(y_res)
    array([90, 90])
    """

    _takes_sparse = False
    _summary = "SMOTE from the support vectors of an SVM, inward and outward"
    _recipe_type = SvmRecipe
    _memory_only: ClassVar[dict[str, Any]] = {
        "svm_estimator_": lambda table: table.model and table.model[0]
    }

    svm_estimator: Any = field(default=None, metadata=allow(("fit", "predict"), None))
    out_step: float = field(default=0.5, metadata=allow(Range(Real, 0, 1, "both")))
    max_fit_rows: int | None = 20_000

    def _informed(self, recipe: Any, profile: Profile, new: Any) -> tuple[Recipe, list[str]]:
        weights = getattr(recipe.svm_estimator, "class_weight", None)
        if not isinstance(weights, Mapping):
            return recipe, []
        from sklearn.base import clone

        ranks = {label: rank for rank, label in enumerate(sort_labels(profile.counts))}
        numbered = {ranks[plain(c)]: w for c, w in weights.items() if plain(c) in ranks}
        machine = clone(recipe.svm_estimator).set_params(class_weight=numbered)
        return replace(recipe, svm_estimator=machine), []
