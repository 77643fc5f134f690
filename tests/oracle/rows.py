"""Which rows stay, and the real tables on which that is compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks.harness import TARGETS, tables_of


def squared(X: np.ndarray) -> np.ndarray:
    """Return the squared distances of all pairs, added up column by column."""
    total = np.zeros((len(X), len(X)))
    for column in X.T:
        total += (column[:, None] - column) ** 2
    return total


def kept(sampler: Any, X: Any, y: Any, **more: Any) -> np.ndarray:
    """Resample; return which rows stay, and see that they come out as they were."""
    X_res, y_res, *_ = sampler.fit_resample(X, y, **more)
    chosen = np.sort(sampler.sample_indices_)
    if type(sampler).__module__.startswith("dsmote"):
        take = (lambda t: t.iloc[chosen]) if hasattr(X, "iloc") else lambda t: t[chosen]
        assert np.array_equal(np.asarray(X_res), np.asarray(take(X)))
        assert np.array_equal(np.asarray(y_res), np.asarray(y)[chosen])
    mask = np.zeros(len(y), dtype=bool)
    mask[chosen] = True
    return mask


def small_tables(folder: Any, rows: int, fewest: int = 1) -> Any:
    """Yield numeric features, as they are and without ties, and target of the real tables.

    Of each at most about so many rows, and no class of fewer than that.
    """
    seed = 0
    for _, table, target in tables_of(folder, sorted({*TARGETS} - {"kddcup99_10pct"})):
        if len(table) > rows:
            few = table[target] != table[target].mode()[0]
            table = pd.concat([table[few][: rows // 3], table[~few][: rows - rows // 3]])
            table = table.sample(frac=1, random_state=0)
        table = table[table[target].map(table[target].value_counts()) >= fewest]
        y = table[target].astype(str).to_numpy(dtype=object)
        columns = table.drop(columns=[target]).select_dtypes("number").dropna(axis=1)
        if columns.shape[1] and len(set(y)) > 1:
            X = np.ascontiguousarray(columns, dtype=float)
            spread = np.ptp(X, axis=0)
            X = X[:, spread > 0] / spread[spread > 0]
            apart = X + np.random.default_rng(seed).uniform(-1e-4, 1e-4, X.shape)
            yield X, apart, y, seed
            seed += 1
