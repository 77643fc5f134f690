"""Balance a small table in memory: arrays, a data frame, mixed columns, and what was planned.

Run: python examples/quickstart.py
"""

import numpy as np
import pandas as pd

from dsmote import SMOTE, SMOTENC


def make_table(rows: int, seed: int = 0) -> pd.DataFrame:
    """A table of card payments, one in twenty of them fraud."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(rows) < 0.05
    return pd.DataFrame(
        {
            "amount": rng.lognormal(3 + fraud, 1).round(2),
            "hour": rng.integers(0, 24, rows),
            "country": pd.Categorical(
                np.where(fraud, "abroad", rng.choice(["home", "abroad"], rows))
            ),
            "fraud": fraud.astype("int8"),
        }
    )


def main() -> None:
    table = make_table(5_000)

    print("1. Arrays in, arrays out: the two numeric columns.")
    X = table[["amount", "hour"]].to_numpy()
    y = table["fraud"].to_numpy()
    X_new, y_new = SMOTE(random_state=0).fit_resample(X, y)
    print(f"   {X.shape} -> {X_new.shape}, rows per class {np.bincount(y_new).tolist()}")

    print("2. One frame in, one frame out: SMOTENC takes the category along.")
    balanced = SMOTENC(random_state=0).resample(table, target="fraud")
    print(balanced.groupby("fraud").size().to_string())
    print(f"   dtypes kept: {balanced.dtypes.equals(table.dtypes)}")
    untouched = balanced.head(len(table)).equals(table)
    print(f"   the first {len(table):,} rows are the original ones: {untouched}")

    print("3. Half as many frauds as honest payments, planned before anything runs.")
    print(SMOTENC(sampling_strategy=0.5, random_state=0).plan(table, target="fraud"))


if __name__ == "__main__":
    main()
