"""SMOTEN: new rows for categorical features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from dsmote.execute import ClassIndex, Draws, Made, Recipe, Rows, SearchSpace, Table, vote_on
from dsmote.neighbors import Choice, NeighborIndex, ValueDifferenceSearch, level_probabilities
from dsmote.plan import sort_labels
from dsmote.samplers.base import OverSampler
from dsmote.samplers.parameters import Range, allow


@dataclass(frozen=True)
class NominalRecipe(Recipe):
    """All rows are bases, equally; neighbours by the value difference metric; a vote."""

    how: str = "auto"

    lies = "vote"

    def engine(self, n_rows: int, sample: np.ndarray, codes: np.ndarray) -> Choice:
        """Say that categories are compared; how is chosen from the rows when they are there."""
        return Choice("value difference", "categories are compared by the classes they occur with")

    def tables(self, rows: Rows, model: Any) -> tuple[np.ndarray, ...]:
        """Return the probability of each class given each level that occurs."""
        labels = sort_labels({c for of in model for row in of.rows.values() for c in row})
        return tuple(
            level_probabilities(of.table(levels.tolist(), labels))
            for of, levels in zip(model, rows.levels, strict=True)
        )

    def search_space(self, rows: Rows, model: Any = None) -> SearchSpace | None:
        """Return the codes, and what their levels tell of the classes."""
        return SearchSpace(rows.numeric, rows.codes, tables=self.tables(rows, model))

    def build_index(self, space: SearchSpace, engine: Any, seed: int) -> NeighborIndex:
        """Index them."""
        return ValueDifferenceSearch(space.codes, space.tables, self.how)

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Let the base row and its neighbours vote on each column."""
        rows = index.rows
        near, place = index.nearest(bases, self.k)
        parents = np.column_stack([bases, near[place]])
        codes = vote_on(rows, parents, draws)
        weights = None if rows.weights is None else rows.weights[parents].mean(axis=1)
        return Made(rows.numeric[bases], {}, codes, bases, weights=weights)


@dataclass(kw_only=True, eq=False, repr=False)
class SMOTEN(OverSampler):
    """SMOTE for tables in which every feature is categorical.

    ::

        distance^2 of rows a, b  =  sum over columns  (sum over classes |P(c | a) - P(c | b)|)^2
        new row                  =  in each column the most common level of a base row and its
                                    k neighbours; ties are drawn

    P(c | level) is counted over all rows, in the one pass over the data. Two levels are near if
    they go with the same classes, so there is no matrix of rows by rows, and levels may be many.

    Parameters
    ----------
    categorical_encoder : None
        Taken for imbalanced-learn's sake, and always None: levels of any kind are numbered here.
    sampling_strategy, random_state, k_neighbors
        As in :class:`~dsmote.SMOTE`. A missing category is a level of its own.
    neighbors : {"auto", "tree", "brute"}, default="auto"
        All three find the same, true neighbours.
    carry, on_small_class, on_small_group, provenance, route, scratch
        As in :class:`~dsmote.SMOTE`; there is no single neighbour and no gap.

    Attributes
    ----------
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_, provenance_
        As in :class:`~dsmote.SMOTE`.

    Notes
    -----
    Reads the data twice: to count classes and levels, and to collect rows and write the
    originals. ``class_counts`` cannot save the first.

    References
    ----------
    N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer, "SMOTE: Synthetic Minority
    Over-sampling Technique", JAIR 16:321-357, 2002, section 6.2.

    C. Stanfill, D. Waltz, "Toward memory-based reasoning", Communications of the ACM 29, 1986.

    Examples
    --------
    >>> from dsmote import SMOTEN
    >>> X = np.array([["red"]] * 5 + [["green"]] * 10 + [["blue"]] * 15, dtype=object)
    >>> y = np.repeat([0, 1, 0, 1], [8, 2, 10, 10])
    >>> X_res, y_res = SMOTEN(random_state=0).fit_resample(X, y)
    >>> np.bincount(y_res), sorted(set(X_res[:, 0]))
    (array([18, 18]), ['blue', 'green', 'red'])
    """

    _summary = "SMOTE for categorical features"
    _recipe_type = NominalRecipe
    _counts_levels = True

    categorical_encoder: None = field(default=None, kw_only=False, metadata=allow(None))
    k_neighbors: int = field(default=5, metadata=allow(Range(Integral, 1, None)))
    neighbors: str = field(default="auto", metadata=allow({"auto", "tree", "brute"}))
    on_small_class: str = "error"
    on_small_group: str = "error"
    route: str = "auto"
    scratch: str | None = None

    def _recipe(self, **more: Any) -> Recipe:
        return super()._recipe(neighbors=None, how=self.neighbors, **more)

    def _nominal(self, table: Table, excluded: Sequence[Any]) -> list[int]:
        others = {table.target, *excluded} if table.has_target else set(excluded)
        return [i for i, name in enumerate(table.names) if name not in others]
