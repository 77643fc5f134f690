"""SMOTENC: SMOTE for numeric and categorical features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from dsmote.execute import Recipe, Rows, SearchSpace, Table
from dsmote.kernels import mixed_weight
from dsmote.neighbors import Choice, choose_engine
from dsmote.plan import Profile, Schema
from dsmote.plan.labels import listed
from dsmote.samplers.columns import nominal_features
from dsmote.samplers.parameters import allow
from dsmote.samplers.smote import SMOTE


class MixedRecipe(Recipe):
    """As SMOTE, with neighbours by the mixed metric."""

    weighs_columns = True

    def weight_of(self, columns: Iterable[np.ndarray]) -> float:
        """Return M."""
        return mixed_weight(columns)

    def engine(self, n_rows: int, sample: np.ndarray, codes: np.ndarray) -> Choice:
        """Take what was asked for, or choose by the directions that all columns spread in."""
        if self.neighbors is not None:
            return Choice(f"mixed {self.neighbors.name}", "as asked for", self.neighbors)
        measured = self.scaled(sample)
        weight = mixed_weight(measured.T) if len(sample) else 1.0
        chosen = choose_engine(n_rows, self.projected(measured), codes, weight)
        return chosen._replace(name=f"mixed {chosen.name}")

    def search_space(self, rows: Rows, model: Any = None) -> SearchSpace | None:
        """Return numbers and codes; M is that of the columns before projection."""
        space = super().search_space(rows)
        assert space is not None
        return replace(space, weight=mixed_weight(self.scaled(rows.numeric).T))


@dataclass(kw_only=True, eq=False, repr=False)
class SMOTENC(SMOTE):
    """SMOTE for numeric and categorical features together.

    ::

        distance^2  = |numeric difference|^2  +  M^2 x (categorical features that differ)
        numeric     : base + gap (neighbour - base), as in SMOTE
        categorical : the most common value among the k neighbours; ties are drawn

    M is the median, over the continuous columns, of their population standard deviation in the
    class. Where it is 0, a differing name counts as a distance of 1; the plan says so, and a
    warning, both from the rows that the pass over the data keeps as a sample of each class.

    Parameters
    ----------
    categorical_features : "auto", or a sequence of names, positions or booleans, default="auto"
        The categorical features; an integer is a position, if there is one. ``"auto"`` takes
        category, string and bool columns, and object columns that do not hold numbers, for which
        Dask frames are read once more.
    categorical_encoder : None
        Taken for imbalanced-learn's sake, and always None: levels of any kind are numbered here.
    sampling_strategy, k_neighbors, random_state, carry, missing
        As in :class:`~dsmote.SMOTE`. A missing name is a level of its own, and never "missing".
    neighbors : {"auto", "tree", "brute"}, CappedIndex or engine, default="auto"
        As in :class:`~dsmote.SMOTE`, over numeric and categorical features.
    scale, n_components
        As in :class:`~dsmote.SMOTE`, for the continuous columns; M is then taken of scaled ones.
    on_small_class, on_small_group, provenance
        As in :class:`~dsmote.SMOTE`.

    Attributes
    ----------
    categorical_features_, continuous_features_ : ndarray of int
        Positions of the categorical and of the numeric features in the table.
    median_std_ : dict of label to float
        M of each class that grows by its neighbours, where the input is in memory.
    sampling_strategy_, n_features_in_, feature_names_in_, plan_, neighbors_report_
        As in :class:`~dsmote.SMOTE`.

    References
    ----------
    N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer, "SMOTE: Synthetic Minority
    Over-sampling Technique", JAIR 16:321-357, 2002, section 6.1.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from dsmote import SMOTENC
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"x": rng.normal(size=60), "c": rng.choice(["a", "b"], 60)})
    >>> X_res, y_res = SMOTENC(random_state=0).fit_resample(X, np.repeat([0, 1], [50, 10]))
    >>> len(X_res), sorted(set(X_res["c"]))
    (100, ['a', 'b'])
    """

    _takes_sparse = False
    _summary = "SMOTE for numeric and categorical features"
    _recipe_type = MixedRecipe
    _memory_only: ClassVar[dict[str, Any]] = {
        "median_std_": lambda table: {
            label: mixed_weight(table.recipe.scaled(of.rows.numeric).T)
            for label, of in table.classes.items()
            if not of.copied
        }
    }

    categorical_features: Any = field(
        default="auto", kw_only=False, metadata=allow("array-like", str)
    )
    categorical_encoder: None = field(default=None, metadata=allow(None))

    def _recipe(self, **more: Any) -> Recipe:
        recipe = super()._recipe(**more)
        engine = recipe.neighbors
        mixed = engine is None or getattr(engine, "mixed", False)
        if self.neighbors == "fast" or not mixed or getattr(engine, "eps", 0):
            raise ValueError(
                f"neighbors={self.neighbors!r} takes numeric features only; SMOTENC takes 'auto', "
                "'tree', 'brute' and CappedIndex(max_rows)"
            )
        return recipe

    def _nominal(self, table: Table, carried: Sequence[Any]) -> list[int]:
        return nominal_features(table, self.categorical_features, carried)

    def _informed(self, recipe: Any, profile: Profile, new: Any) -> tuple[Recipe, list[str]]:
        flat = []
        for label in filter(new.get, new):
            rows = profile.sample[label][1] if label in profile.sample else np.empty((0, 1))
            if len(rows) and not np.median(rows.std(axis=0)):
                flat.append(repr(label))
        alarm = (
            f"class{'es' if len(flat) > 1 else ''} {listed(flat)}: the median of the columns' "
            "standard deviations is 0 in the rows looked at (half of the numeric features are "
            "constant there); if so in all rows, a category that differs counts as a distance of 1"
        )
        return recipe, [alarm] if flat else []

    def _schema(self, table: Table, group: Any) -> Schema:
        schema = super()._schema(table, group)
        self.categorical_features_ = np.array(schema.nominal, dtype=np.int64)
        self.continuous_features_ = np.array(schema.numeric, dtype=np.int64)
        names = listed(repr(schema.columns[i].name) for i in schema.nominal)
        if not schema.nominal:
            raise ValueError(
                "SMOTENC found no categorical feature (0 of "
                f"{len(schema.numeric)} features); use SMOTE, or name the categorical ones "
                "in categorical_features"
            )
        if not schema.numeric:
            raise ValueError(
                f"SMOTENC needs at least one numeric feature, but all {len(schema.nominal)} "
                f"features are categorical ({names}); use SMOTEN, or encode a column as numbers"
            )
        return schema
