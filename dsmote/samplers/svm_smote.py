"""SVMSMOTE: new rows from the support vectors of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import betaincinv
from sklearn.base import clone
from sklearn.svm import SVC
from sklearn.utils._param_validation import HasMethods, Interval

from dsmote.execute import (
    Bases,
    BasesOf,
    ClassIndex,
    Draws,
    Made,
    Recipe,
    Rows,
    Table,
)
from dsmote.kernels import beyond, beyond_exact
from dsmote.neighbors import Engine
from dsmote.plan import Stream, copies_with_replacement, plain
from dsmote.plan.draws import SHARE
from dsmote.samplers.base import NEIGHBOUR_PARAMETERS, OverSampler
from dsmote.samplers.recipes import SegmentRecipe, other_classes
from dsmote.samplers.search import wanted_search

__all__ = ["SVMSMOTE"]


class _Machine(NamedTuple):
    """A fitted support vector machine, and which rows of the table its vectors are."""

    estimator: Any
    support: np.ndarray


@dataclass(frozen=True)
class SvmRecipe(SegmentRecipe):
    """Support vectors are bases: those in danger reach inward, the others outward."""

    m: int = 10
    m_engine: Engine | None = None
    svm: Any = None
    out_step: float = 0.5
    max_fit_rows: int | None = None

    @property
    def around(self) -> int:
        """The m nearest of all rows."""
        return self.m

    @property
    def sample(self) -> int:
        """Rows that the machine is fitted to."""
        return 2**62 if self.max_fit_rows is None else self.max_fit_rows

    @property
    def lazy_report(self) -> bool:
        """Support vectors are known when the machine is fitted."""
        return True

    @property
    def _around_engine(self) -> Engine | None:
        return self.m_engine or super()._around_engine

    def learn(self, matrix: np.ndarray, ranks: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
        """Fit the machine."""
        seed = seed % 2**32
        machine = SVC(gamma="scale", random_state=seed) if self.svm is None else clone(self.svm)
        if len(matrix) and (ranks == ranks[0]).all():
            raise ValueError(
                f"the support vector machine needs rows of 2 classes, but all {len(ranks):,} rows "
                "it would be fitted to are of one class: the other rows have missing values and "
                "missing='skip' leaves them out; fill them or name those columns in carry"
            )
        machine.fit(matrix, ranks)
        if not hasattr(machine, "support_"):
            raise ValueError(
                f"svm_estimator is a {type(machine).__name__}, which has no attribute support_ "
                "after fitting; give a support vector machine such as sklearn.svm.SVC"
            )
        return _Machine(machine, np.sort(numbers[machine.support_]))

    def asks(self, rows: Rows, learnt: Any) -> np.ndarray:
        """Only support vectors need to know what is around them."""
        return np.flatnonzero(np.isin(rows.numbers, learnt.support))

    def bases(self, of: BasesOf) -> Bases:
        """Divide the new rows between the vectors in danger and the safe ones."""
        assert of.around is not None
        others, present = other_classes(of.around.classes, of.of.rank)
        noise = others == present
        danger = (2 * others >= present) & ~noise
        asked, n, new = of.around.asked, len(of.rows), of.of.new
        inward, outward = asked[danger], asked[~danger & ~noise]
        report = {"danger": len(inward), "safe": len(outward), "noise": int(noise.sum())}
        if of.eligible is not None:
            inward, outward = (np.intersect1d(x, of.eligible) for x in (inward, outward))
        if not len(inward) and not len(outward):
            raise ValueError(
                f"class {of.of.label!r} has {len(asked):,} support vectors, of which "
                f"{report['noise']:,} are noise (all of their {self.m} nearest rows are of other "
                "classes) and none is left as a base; use SMOTE, or another m_neighbors"
            )
        draw = Stream(of.seed, of.of.rank, SHARE).uniform(0, 1)[0]
        first = int(betaincinv(10, 10, draw) * (new + 1))
        first = new if not len(outward) else 0 if not len(inward) else first
        ends = np.zeros(n, dtype=np.int64)
        key = of.seed, of.of.rank
        if first:
            ends += copies_with_replacement(n, first, *key, inward)
        if new - first:
            ends += copies_with_replacement(n, new - first, *key, outward, first)
        return Bases(ends, np.isin(np.arange(n), outward), report)

    def make(self, of: ClassIndex, bases: np.ndarray, draws: Draws, whole: np.ndarray) -> Made:
        """Interpolate from vectors in danger, extrapolate from safe ones."""
        rows, out = of.rows, of.bases.marks
        assert out is not None
        made, toward = self.toward(of, bases, draws, whole)
        away = np.flatnonzero(out[bases])
        if not len(away):
            return made
        gaps = draws.gap()
        gaps[away] *= -self.out_step
        own, near, steps = bases[away], toward[away], -gaps[away]
        made.numeric[away] = beyond(rows.numeric[own], rows.numeric[near], steps, whole)
        for place, exact in rows.wide.items():
            made.wide[place][away] = beyond_exact(exact[own], exact[near], steps)
        return replace(made, gaps=gaps)


class SVMSMOTE(OverSampler):
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
        As in :class:`~dsmote.SMOTE`. The nearest
        of all rows are found exactly.

    Attributes
    ----------
    svm_estimator_ : object
        The fitted machine, where the input is in memory. Its classes are numbers: the places of
        the labels in sorted order.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data three times: to count the classes, to take out their rows and the sample and put
    out the originals, and to find the nearest of all rows. On Dask only the first happens at once;
    the machine is a task of the graph.

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

    _name: ClassVar[str] = "svm"
    _summary: ClassVar[str] = "SMOTE from the support vectors of an SVM, inward and outward"
    _memory_only: ClassVar[tuple[str, ...]] = ("svm_estimator_",)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **OverSampler._parameter_constraints,
        **NEIGHBOUR_PARAMETERS,
        "m_neighbors": NEIGHBOUR_PARAMETERS["k_neighbors"],
        "svm_estimator": [HasMethods(["fit", "predict"]), None],
        "out_step": [Interval(Real, 0, 1, closed="both")],
        "max_fit_rows": [Interval(Integral, 2, None, closed="left"), None],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        m_neighbors: Any = 10,
        svm_estimator: Any = None,
        out_step: float = 0.5,
        max_fit_rows: int | None = 20_000,
        carry: Any = None,
        missing: str = "error",
        neighbors: Any = "auto",
        scale: str | None = None,
        n_components: Any = None,
        on_small_class: str = "error",
        on_small_group: str = "error",
        provenance: Any = False,
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state
        self.k_neighbors = k_neighbors
        self.m_neighbors = m_neighbors
        self.svm_estimator = svm_estimator
        self.out_step = out_step
        self.max_fit_rows = max_fit_rows
        self.carry = carry
        self.missing = missing
        self.neighbors = neighbors
        self.scale = scale
        self.n_components = n_components
        self.on_small_class = on_small_class
        self.on_small_group = on_small_group
        self.provenance = provenance

    def _recipe(self) -> Recipe:
        k, engine = wanted_search(self.k_neighbors, self.neighbors)
        m, m_engine = wanted_search(self.m_neighbors, "auto")
        return SvmRecipe(
            "SVMSMOTE",
            k,
            engine,
            self.neighbors == "fast",
            self.n_components,
            on_small_group=self.on_small_group,
            m=m,
            m_engine=m_engine,
            svm=self.svm_estimator,
            out_step=self.out_step,
            max_fit_rows=self.max_fit_rows,
        )

    def _informed(self, recipe: Any, new: Mapping[Any, int], ranks: Mapping[Any, int]) -> Recipe:
        weights = getattr(recipe.svm, "class_weight", None)
        if not isinstance(weights, Mapping):
            return recipe
        numbered = {ranks[plain(c)]: w for c, w in weights.items() if plain(c) in ranks}
        return replace(recipe, svm=clone(recipe.svm).set_params(class_weight=numbered))

    def _finished(self, table: Table) -> None:
        if table.learnt is not None:
            self.svm_estimator_ = table.learnt.estimator
