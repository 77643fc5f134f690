"""SMOTE-ENC: SMOTE where a category is a number, by how it goes with the class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dsmote.execute import Recipe, Rows, SearchSpace, Table
from dsmote.kernels import mixed_weight
from dsmote.neighbors import Choice, choose_engine
from dsmote.samplers.columns import nominal_features
from dsmote.samplers.parameters import allow
from dsmote.samplers.smote import SMOTE


class EncodedRecipe(Recipe):
    """Neighbours are found among numbers, those of categories too, and vote on categories."""

    in_cells = False  # the numbers of levels are known where the class is

    def engine(self, n_rows: int, sample: np.ndarray, codes: np.ndarray) -> Choice:
        """Take what was asked for, or choose by the directions that all columns spread in."""
        if self.neighbors is not None:
            return Choice(self.neighbors.name, "as asked for", self.neighbors)
        return choose_engine(n_rows, np.column_stack([self.scaled(sample), codes]))

    def search_space(self, rows: Rows, model: Any = None) -> SearchSpace | None:
        """Return numbers, and of each level how much more often the class has it than others."""
        matrix, columns = self.scaled(rows.numeric), []
        weight = mixed_weight(matrix.T) if matrix.shape[1] else 1.0
        for of, levels, codes in zip(model, rows.levels, rows.codes.T, strict=True):
            labels = sorted({label for row in of.rows.values() for label in row}, key=str)
            everywhere = of.table(levels.tolist(), labels).sum(axis=1)
            total = sum(sum(row.values()) for row in of.rows.values())
            wanted = everywhere * (len(rows) / total)
            own = np.bincount(codes, minlength=len(levels))
            columns.append(weight * ((own - wanted) / wanted)[codes])
        return SearchSpace(np.column_stack([matrix, *columns]), rows.codes)


@dataclass(kw_only=True, eq=False, repr=False)
class SMOTEENC(SMOTE):
    """SMOTE for tables with categorical features.

    References
    ----------
    M. Mukherjee, M. Khushi, "SMOTE-ENC: A Novel SMOTE-Based Method to Generate Synthetic Data for
    Nominal and Continuous Features", Applied System Innovation 4, 2021.
    """

    _summary = "SMOTE with categories as numbers, by how they go with the class"
    _recipe_type = EncodedRecipe
    _counts_levels = True

    categorical_features: Any = field(default="auto", metadata=allow("array-like", str))

    def _nominal(self, table: Table, excluded: Sequence[Any]) -> list[int]:
        return nominal_features(table, self.categorical_features, excluded)
