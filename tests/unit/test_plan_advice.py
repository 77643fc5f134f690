"""Ids, index columns, codes and dominant features are named in the plan, with the remedy."""

from __future__ import annotations

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dsmote import SMOTE, SMOTENC, RandomOverSampler

N = 3_000
Y = (np.arange(N) % 10 == 0).astype(int)


def table(**columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N), **columns})


def ids() -> np.ndarray:
    return np.random.default_rng(1).permutation(N) + 10**6


FOUND = {
    "id": (table(c=ids()), "nearly as many values as rows.*carry"),
    "index": (table(**{"Unnamed: 0": np.arange(N)}), "index of a CSV file.*carry"),
    "codes": (table(c=np.array([101, 205, 399, 401])[np.arange(N) % 4]), "4 whole.*categorical_f"),
    "dominant": (table(c=np.random.default_rng(2).normal(0, 50, N)), "99 %.*scale='standard'"),
}
SILENT = {
    "counts": table(c=np.random.default_rng(1).poisson(3, N)),
    "half": table(c=np.arange(N) // 2 % (N // 2)),
    "rare": table(c=np.array([0, 1, 3, 40])[np.arange(N) % 4]),
    "grid": table(c=np.arange(N) % 5 * 2),
    "floats": table(c=np.random.default_rng(1).normal(size=N)),
}


def lines(sampler, X, lazy) -> list[str]:
    y = pd.Series(Y)
    if lazy:
        X, y = dd.from_pandas(X, npartitions=4), dd.from_pandas(y, npartitions=4)
    return [line for line in sampler.plan(X, y).warnings if line.startswith("column ")]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("case", FOUND)
def test_each_is_named_once_with_its_remedy(case, lazy):
    X, message = FOUND[case]
    found = lines(SMOTE(random_state=0), X, lazy)
    about = [line for line in found if "variance" not in line or case == "dominant"]
    assert len(about) == 1
    assert pd.Series(about).str.contains(message).all()
    assert repr(X.columns[-1]) in about[0]
    carried = SMOTE(random_state=0, carry=[X.columns[-1]])
    assert lines(carried, X, lazy) == []


@pytest.mark.parametrize("lazy", [False, True])
def test_the_remedies_silence_it(lazy):
    scaled = SMOTE(random_state=0, scale="standard")
    assert lines(scaled, FOUND["dominant"][0], lazy) == []
    voted = SMOTENC(categorical_features=["c"], random_state=0)
    assert lines(voted, FOUND["codes"][0], lazy) == []
    assert lines(RandomOverSampler(random_state=0), FOUND["id"][0], lazy) == []


@pytest.mark.parametrize("case", SILENT)
def test_measurements_and_counts_are_not_named(case):
    X = SILENT[case]
    found = lines(SMOTE(random_state=0), X, lazy=False)
    assert [line for line in found if "variance" not in line] == []
