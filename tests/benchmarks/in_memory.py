"""In memory: dsmote against imbalanced-learn, in seconds and memory.

Run: python tests/benchmarks/in_memory.py [--only CASE] [--data FOLDER] [--rows N] [--repeats 3]

Each side runs in a process of its own, and they take turns: median seconds of a call, and the peak
of resident memory above that before it. Cases:
  rank5     SMOTE on 400,000 x 20 of rank 5 with noise, 100,000 minority rows
on the insurance table (381,109 rows), one-hot and scaled to 0..1 as one would for a distance:
  smote     its minority class of 46,710 rows is raised to 334,399
  borderline-1, borderline-2, adasyn, random, shrinkage, under, kmeans (20 clusters)
  svm       5,000 of its rows: imbalanced-learn's machine takes quadratic time
with its seven nominal columns, and on these alone:
  smotenc
  smoten    30,000 rows: imbalanced-learn makes square matrices of the class's rows
  smoten-100k  100,000 rows, dsmote only
Without --only, smote, rank5 and smotenc are run. never_slower.py has more tables.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import (
    MIB,
    NOMINAL,
    SIDES,
    child,
    insurance,
    medians,
    parser,
    print_table,
    sampler_of,
    watched,
)


class Case(NamedTuple):
    """A sampler, its options, most rows, and how many times as fast it is asked to be."""

    sampler: str
    options: dict[str, Any] = {}  # noqa: RUF012
    most: int | None = None
    asked: int = 1
    columns: str = "one-hot"
    sides: tuple[str, ...] = SIDES


CASES = {
    "smote": Case("SMOTE"),
    "rank5": Case("SMOTE", most=400_000, asked=10, columns="rank 5"),
    "smotenc": Case("SMOTENC", {"categorical_features": NOMINAL}, asked=20, columns="mixed"),
    "borderline-1": Case("BorderlineSMOTE", {"kind": "borderline-1"}, asked=5),
    "borderline-2": Case("BorderlineSMOTE", {"kind": "borderline-2"}, asked=5),
    "adasyn": Case("ADASYN", asked=5),
    "random": Case("RandomOverSampler"),
    "shrinkage": Case("RandomOverSampler", {"shrinkage": 1.0}),
    "under": Case("RandomUnderSampler"),
    "kmeans": Case("KMeansSMOTE", {"kmeans_estimator": 20, "cluster_balance_threshold": 0.05}),
    "svm": Case("SVMSMOTE", most=5_000),
    "smoten": Case("SMOTEN", most=30_000, columns="names"),
    "smoten-100k": Case("SMOTEN", most=100_000, columns="names", sides=("dsmote",)),
}


def rank5(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a table of few directions and many rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 5)) @ rng.standard_normal((5, 20))
    return X + 0.01 * rng.standard_normal((n, 20)), (np.arange(n) < n // 4).astype(int)


def one_side(name: str, side: str, folder: str, rows: int | None) -> dict[str, float]:
    """Measure one side of a case."""
    case = CASES[name]
    most = min(filter(None, (rows, case.most)), default=None)
    made = case.columns == "rank 5"
    X, y = rank5(most) if most and made else insurance(Path(folder), most, case.columns)
    sampler = sampler_of(side, case.sampler, random_state=0, **case.options)
    few = np.r_[np.flatnonzero(y == 0)[:500], np.flatnonzero(y == 1)[:100]]
    with suppress(ValueError, RuntimeError):  # imports and pools; too few rows for some
        sampler.fit_resample(X.iloc[few] if hasattr(X, "iloc") else X[few], y[few])
    seconds, peak, made = watched(lambda: sampler.fit_resample(X, y))
    return {"seconds": seconds, "bytes": peak, "given": len(y), "rows": len(made[1])}


def both_sides(name: str, folder: str, rows: int | None, repeats: int) -> dict[str, Any]:
    """Measure the sides of a case in turn, print them, return the numbers."""
    case = CASES[name]
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in case.sides}
    for _ in range(repeats):
        for side, results in runs.items():
            results.append(child(one_side, name, side, folder, rows))
    found: dict[str, Any] = {side: medians(results) for side, results in runs.items()}
    print(f"\n{name}: {case.sampler}, {case.columns} columns, medians of {repeats}")
    print_table(
        [
            {
                "side": side,
                "rows": f"{of['given']:,.0f}",
                "more": f"{of['rows'] - of['given']:+,.0f}",
                "seconds": f"{of['seconds']:.3f}",
                "MiB above the start": f"{of['bytes'] / MIB:,.0f}",
            }
            for side, of in found.items()
        ]
    )
    if len(found) == 2:
        ours, theirs = found.values()
        assert name != "smote" or ours["rows"] == theirs["rows"]
        found["ratio"] = theirs["seconds"] / ours["seconds"]
        found["memory"] = ours["bytes"] / max(theirs["bytes"], 1)
        print(f"dsmote is {found['ratio']:.1f} times as fast (asked: {case.asked}), ", end="")
        print(f"with {found['memory']:.3f} of the memory", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the cases; return their numbers."""
    options = parser(__doc__, "data", "rows", "repeats")
    options.add_argument("--only", choices=CASES, action="append", help="a case; may be repeated")
    args = options.parse_args(arguments)
    print(f"k = 5, {os.cpu_count()} cores")
    names = args.only or ("smote", "rank5", "smotenc")
    return {name: both_sides(name, str(args.data), args.rows, args.repeats) for name in names}


if __name__ == "__main__":
    main()
