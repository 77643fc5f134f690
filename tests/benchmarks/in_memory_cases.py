"""In memory, more cases: dsmote against imbalanced-learn, in seconds and memory.

Run: python tests/benchmarks/in_memory_cases.py [--only CASE] [--data FOLDER] [--rows N]

Cases:
  rank5     SMOTE on 400,000 x 20 of rank 5 with noise, 100,000 minority rows
  tables    SMOTE on the numeric columns of eight real tables, scaled to 0..1
  smotenc   SMOTENC on the insurance table with its seven nominal columns
Of each other sampler, each side in a process of its own: seconds of a call, and the peak of
resident memory above that before it; on the insurance table, one-hot and scaled to 0..1:
  borderline-1, borderline-2, adasyn, random, shrinkage, under, kmeans (20 clusters)
  svm           5,000 of its rows: imbalanced-learn's machine takes quadratic time
on its seven nominal columns:
  smoten        30,000 rows: imbalanced-learn makes square matrices of the class's rows
  smoten-100k   100,000 rows, dsmote only
Without --only the first three are run.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from harness import (
    MIB,
    NOMINAL,
    SIDES,
    TARGETS,
    child,
    in_turn,
    insurance,
    medians,
    parser,
    sampler_of,
    scaled,
    watched,
)

TABLES = [
    *("adult", "bank_full", "kddcup99_10pct", "kdd_smtp"),
    *("mammography", "satimage", "phoneme", "oil_spill"),
]


class Case(NamedTuple):
    """A sampler, its options, most rows, and how many times as fast it is asked to be."""

    sampler: str
    options: dict[str, Any] = {}  # noqa: RUF012
    most: int | None = None
    asked: int = 1
    columns: str = "one-hot"
    sides: tuple[str, ...] = SIDES


SAMPLERS = {
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


def smote(X: Any, y: Any) -> dict[str, Callable[[], Any]]:
    """Return SMOTE of both libraries on one table."""
    return {
        side: lambda side=side: sampler_of(side, "SMOTE", random_state=0).fit_resample(X, y)
        for side in SIDES
    }


def medians_of(sides: dict[str, Callable[[], Any]], repeats: int, calls: int = 1) -> list[float]:
    """Return the median seconds of a call of each side."""
    return [statistics.median(of) for of in in_turn(sides, repeats, calls)[0].values()]


def rank5(args: argparse.Namespace) -> dict[str, float]:
    """Few directions, many rows."""
    n = args.rows or 400_000
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 5)) @ rng.standard_normal((5, 20))
    X += 0.01 * rng.standard_normal((n, 20))
    y = (np.arange(n) < n // 4).astype(int)
    ours, theirs = medians_of(smote(X, y), args.repeats)
    print(f"\nrank5: {n:,} x 20, {n // 4:,} minority rows, medians of {args.repeats}")
    print(f"dsmote {ours:.2f} s, imbalanced-learn {theirs:.2f} s")
    print(f"dsmote is {theirs / ours:.1f} times as fast (asked: 10)")
    return {"ratio": theirs / ours}


def load(folder: Path, name: str, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read numeric columns, scaled, and the target; classes of fewer than 6 rows are left out."""
    table = pd.read_parquet(folder / f"{name}.parquet")
    if rows:  # some of each class
        table = table.groupby(TARGETS[name], group_keys=False).head(rows // 20 + 6)
    if name == "kddcup99_10pct":  # balanced in full, imbalanced-learn takes many minutes
        table = table.groupby(TARGETS[name], group_keys=False).head(4000)
    y = table[TARGETS[name]].astype(str)
    X = table.drop(columns=TARGETS[name]).select_dtypes("number").dropna(axis=1)
    y = y[y.map(y.value_counts()) >= 6]
    return scaled(X.loc[y.index].astype(float)), y.to_numpy(dtype=object)


def tables(args: argparse.Namespace) -> dict[str, Any]:
    """Eight real tables."""
    print(f"\ntables: numeric columns, medians of {args.repeats}")
    print(f"{'':<16}{'rows':>9}{'columns':>9}{'dsmote s':>11}{'theirs s':>11}{'ratio':>8}")
    ratios = {}
    for name in TABLES:
        X, y = load(args.data, name, args.rows)
        both = smote(X, y)
        for run in both.values():
            run()
        calls = 1 if len(X) > 20_000 or args.rows else 10
        ours, theirs = medians_of(both, args.repeats, calls)
        ratios[name] = theirs / ours
        print(f"{name:<16}{len(X):>9,}{X.shape[1]:>9}{ours:>11.4f}{theirs:>11.4f}", end="")
        print(f"{ratios[name]:>8.1f}", flush=True)
    mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
    least = min(ratios.values())
    print(f"geometric mean {mean:.1f} (asked: 5), least {least:.1f} (asked: 1)")
    return {"mean": mean, "least": least, "ratios": ratios}


def one_side(args: argparse.Namespace) -> dict[str, float]:
    """Measure one side of a sampler's case; in a process of its own."""
    case = SAMPLERS[args.only[0]]
    most = min(filter(None, (args.rows, case.most)), default=None)
    X, y = insurance(args.data, most, case.columns)
    sampler = sampler_of(args.child, case.sampler, random_state=0, **case.options)
    few = np.r_[np.flatnonzero(y == 0)[:500], np.flatnonzero(y == 1)[:100]]
    with suppress(ValueError, RuntimeError):  # imports and pools; too few rows for some
        sampler.fit_resample(X.iloc[few] if hasattr(X, "iloc") else X[few], y[few])
    seconds, peak, made = watched(lambda: sampler.fit_resample(X, y))
    return {"seconds": seconds, "bytes": peak, "given": len(y), "rows": len(made[1])}


def one_sampler(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure the sides of a sampler in turn, print a line, return its numbers."""
    case = SAMPLERS[name]
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in case.sides}
    words = ["--data", args.data, "--only", name, *(["--rows", args.rows] if args.rows else [])]
    for _ in range(args.repeats):
        for side, results in runs.items():
            results.append(child(__file__, *words, "--child", side))
    middle = {side: medians(results) for side, results in runs.items()}
    print(f"\n{name}: {case.sampler}, {case.columns} columns, medians of {args.repeats}")
    for side, of in middle.items():
        print(
            f"{side:<18}{of['given']:>9,.0f} rows{of['rows'] - of['given']:>+11,.0f}"
            f"{of['seconds']:>9.3f} s{of['bytes'] / MIB:>8,.0f} MiB above the start"
        )
    if len(middle) == 1:
        return middle
    ours, theirs = middle.values()
    ratio = theirs["seconds"] / ours["seconds"]
    memory = ours["bytes"] / max(theirs["bytes"], 1)
    print(
        f"dsmote is {ratio:.1f} times as fast (asked: {case.asked}), with {memory:.3f} of", end=""
    )
    print(" the memory", flush=True)
    return {**middle, "ratio": ratio, "memory": memory}


CASES = {"rank5": rank5, "tables": tables}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the cases; return their numbers."""
    options = parser(__doc__, "data", "rows", "repeats", "child")
    names = [*CASES, *SAMPLERS]
    options.add_argument("--only", choices=names, action="append", help="a case; may be repeated")
    args = options.parse_args(arguments)
    if args.child:
        print(json.dumps(one_side(args)))
        return {}
    print(f"k = 5, {os.cpu_count()} cores")
    return {
        name: CASES[name](args) if name in CASES else one_sampler(name, args)
        for name in args.only or ("rank5", "tables", "smotenc")
    }


if __name__ == "__main__":
    main()
