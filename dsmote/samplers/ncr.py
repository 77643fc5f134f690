"""NeighbourhoodCleaningRule: edited nearest neighbours, and the rows near misclassified ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.samplers.base import wanted_search
from dsmote.samplers.cleaning import CleanSampler
from dsmote.samplers.enn import agrees
from dsmote.samplers.parameters import Range, allow


@dataclass(frozen=True)
class NeighbourhoodRule(Rule):
    """Edited rows go, and those of large classes that mislead rows of the smallest."""

    threshold_cleaning: float = 0.5
    k_edited: int = 3
    kind_edited: str = "mode"

    told = property(lambda self: max(self.k, self.k_edited))

    def decide(self, of: AllRows) -> Decision:
        """Drop what Laurikkala calls A1 and A2."""
        counts, smallest = of.counts, of.smallest
        least = max(1, int(counts[smallest]))  # all of its rows may lack values
        cleaned = of.targeted & (counts / least >= self.threshold_cleaning)
        small = np.arange(len(counts)) == smallest
        ids = of.of_classes(of.targeted | small)
        near = of.nearest(ids, max(self.k, self.k_edited))[1]
        stays = np.ones(len(of), dtype=bool)
        stays[ids] = agrees(of, ids, near[:, : self.k_edited], self.kind_edited)
        stays |= ~of.targeted[of.ranks]
        asking = small[of.ranks[ids]]
        ids, near = ids[asking], near[asking, : self.k]
        misled = np.unique(near[~agrees(of, ids, near, "mode")])
        misled = misled[misled >= 0]
        stays[misled[cleaned[of.ranks[misled]]]] = False
        labels = [label for label, clean in zip(of.labels, cleaned, strict=True) if clean]
        return Decision(stays, {"classes_to_clean_": labels})


@dataclass(kw_only=True, eq=False, repr=False)
class NeighbourhoodCleaningRule(CleanSampler):
    r"""Drop edited rows, and rows that make their neighbours of the smallest class misclassified.

    ::

        A1   o among x       edited nearest neighbours: its neighbours say x
        A2   o o x o         x is of the smallest class, and its neighbours say o: these go

    Parameters
    ----------
    edited_nearest_neighbours : EditedNearestNeighbours, default=None
        What finds A1; None for one with `n_neighbors` and ``kind_sel="mode"``. Of it `n_neighbors`
        and `kind_sel` count; everything else is as here.
    n_neighbors : int or object, default=3
        The neighbours that classify a row of the smallest class, among the rows of all classes; or
        an object with ``fit`` and ``kneighbors`` that finds them, whose ``n_neighbors`` is one
        more.
    threshold_cleaning : float, default=0.5
        Rows of a class are in A2 where it has at least so many times the rows of the smallest.
    carry, missing, scale, categorical_features, provenance, route, scratch, n_jobs
        As in :class:`~dsmote.TomekLinks`.
    sampling_strategy
        As in :class:`~dsmote.TomekLinks`. Other classes lose no rows.

    Attributes
    ----------
    classes_to_clean_ : list of labels
        The classes whose rows can be in A2; only where the input is in memory.
    sampling_strategy_, sample_indices_, n_features_in_, feature_names_in_, plan_, provenance_
        As in :class:`~dsmote.TomekLinks`.

    Notes
    -----
    As in :class:`~dsmote.EditedNearestNeighbours`: a row is never its own neighbour. So a row of
    the smallest class is classified by its `n_neighbors` nearest others, as in the paper
    (imbalanced-learn counts the row itself as one of them), and a class of exactly
    `threshold_cleaning` times the smallest is cleaned, as in the paper (and not in
    imbalanced-learn).

    References
    ----------
    J. Laurikkala, "Improving identification of difficult small classes by balancing class
    distribution", AIME 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import NeighbourhoodCleaningRule
    >>> X = np.array([[0.0], [0.5], [1.0], [4.0], [4.5], [4.9], [5.2], [9.0], [9.4]])
    >>> y = np.array([0, 0, 0, 0, 0, 1, 0, 1, 1])
    >>> X_res, y_res = NeighbourhoodCleaningRule().fit_resample(X, y)
    >>> X_res.ravel(), y_res
    (array([0. , 0.5, 1. , 4.9, 9. , 9.4]), array([0, 0, 0, 1, 1, 1]))
    """

    _summary = "without edited rows, nor those that mislead neighbours of the smallest class"
    _rule_type = NeighbourhoodRule

    edited_nearest_neighbours: Any = field(default=None, metadata=allow(("fit_resample",), None))
    n_neighbors: Any = 3
    threshold_cleaning: float = field(default=0.5, metadata=allow(Range(Real, 0, None, "neither")))
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))

    def _rule(self, **more: Any) -> Rule:
        rule = super()._rule(**more)
        edited = self.edited_nearest_neighbours
        if edited is None:
            return super()._rule(k_edited=rule.k, **more)
        for name in ("n_neighbors", "kind_sel"):
            if not hasattr(edited, name):
                raise ValueError(
                    f"edited_nearest_neighbours is a {type(edited).__name__}, which has no {name}; "
                    "give an EditedNearestNeighbours"
                )
        if hasattr(edited, "_validate_params"):
            edited._validate_params()
        k_edited = wanted_search(edited.n_neighbors, "auto")[0]
        return super()._rule(k_edited=k_edited, kind_edited=edited.kind_sel, **more)
