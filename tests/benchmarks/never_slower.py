"""Every table in memory: a call of each sampler against imbalanced-learn's, as a ratio.

Run: python tests/benchmarks/never_slower.py [--sampler NAME] [--rows N] [--seconds S]
         [--only real|made] [--cpu] [--data FOLDER] [--slower]

Tables are those of the data folder and of `sklearn.datasets.make_classification`, as frames and as
arrays. Both libraries are called in turn in one process; the ratio is the median over these pairs
of calls, and above 1 dsmote is the slower one. Where a pair takes longer than --seconds, one is
run; where it takes longer than four times that, as imbalanced-learn does on large tables, or where
either refuses the table, it is left out and counted. With --seconds 0 each pair is run once.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import SIDES, TARGETS, parser, sampler_of, scaled, tables_of
from sklearn.datasets import make_classification

NUMBERS = ("SMOTE", "BorderlineSMOTE", "ADASYN", "SVMSMOTE", "KMeansSMOTE")
ANY = ("RandomOverSampler", "RandomUnderSampler")
SAMPLERS = (*NUMBERS, "SMOTENC", "SMOTEN", *ANY)
#: Rows up to which a sampler is tried: what imbalanced-learn does beyond takes minutes, or memory.
MOST = {"SVMSMOTE": 10_000, "KMeansSMOTE": 10_000, "SMOTEN": 30_000}
FEWEST = 12  # rows of a class: fewer than any sampler's neighbours need are left out


def made(rows: int | None) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """Tables of make_classification; a third of the columns are cut to categories as well."""
    for n in (1_000, 10_000, 100_000) if rows is None else (rows,):
        for d in (2, 10, 50):
            X, y = make_classification(
                n,
                d,
                n_informative=max(2, d // 2),
                n_redundant=0,
                n_clusters_per_class=1,
                weights=[0.9],
                random_state=0,
            )
            table = pd.DataFrame(X, columns=[f"x{i}" for i in range(d)])
            names = pd.DataFrame(np.floor(X[:, : -(-d // 3)] * 2).astype(int)).add_prefix("c")
            yield f"made {n:,} x {d}", table.join(names.astype(str)), pd.Series(y, name="y")


def real(folder: Path, rows: int | None) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """The real tables, complete rows of classes that are large enough."""
    for name, table, target in tables_of(folder, list(TARGETS)):
        table = table.drop(columns=["id", "record_id"], errors="ignore").dropna()
        if name == "kddcup99_10pct":  # balanced in full, imbalanced-learn takes many minutes
            table = table.groupby(target).head(4000)
        if rows:
            table = table.groupby(target).head(rows // 20 + FEWEST)
        table = table[table[target].map(table[target].value_counts()) >= FEWEST]
        table = table.reset_index(drop=True)
        yield name, table.drop(columns=target), table[target]


def calls(
    sampler: str, table: pd.DataFrame, y: pd.Series, container: str
) -> dict[str, Callable[[], Any]] | None:
    """What is compared, by library; None where the table has no columns for the sampler."""
    numbers = table.select_dtypes("number")
    names = table.drop(columns=numbers.columns).astype(object)
    more: dict[str, Any] = {"random_state": 0}
    if sampler in NUMBERS:
        X = pd.DataFrame(scaled(numbers.astype(float)), columns=numbers.columns)
    elif sampler == "SMOTENC":
        if not len(names.columns) or not len(numbers.columns):
            return None
        X = numbers.join(names.astype("category"))
        more["categorical_features"] = list(range(numbers.shape[1], X.shape[1]))
    else:
        X = names if sampler == "SMOTEN" else numbers
    if not X.shape[1]:
        return None
    given: tuple[Any, Any] = (X, y)
    if container == "array":
        given = np.ascontiguousarray(X.to_numpy()), y.to_numpy(copy=True)
    return {
        side: lambda side=side: sampler_of(side, sampler, **more).fit_resample(*given)
        for side in SIDES
    }


def pairs(
    sides: dict[str, Callable[[], Any]], seconds: float, clock: Callable[[], float]
) -> list[tuple[float, float]] | None:
    """Seconds of both libraries, called in turn; None where one is slow or refuses the table."""

    def timed(side: str) -> float:
        start = clock()
        sides[side]()
        return clock() - start

    ours, theirs = (partial(timed, side) for side in SIDES)
    try:
        ours()  # which imports
        if ours() > 4 * seconds > 0:
            return None
        found = [(ours(), theirs())]
    except (ValueError, RuntimeError):
        return None
    while len(found) < 15 and len(found) * sum(found[0]) < seconds:
        found.append((ours(), theirs()))
    return found[1:] if len(found) > 2 else found  # imports and pools are not what is measured


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run the benchmark; return the ratios."""
    options = parser(__doc__, "data", "rows")
    options.add_argument("--sampler", choices=SAMPLERS, action="append", help="may be repeated")
    options.add_argument("--only", choices=["real", "made"])
    options.add_argument("--seconds", type=float, default=1.0, help="for each pair, at most")
    options.add_argument("--cpu", action="store_true", help="processor time, for a busy machine")
    options.add_argument("--slower", action="store_true", help="print what is slower, and no more")
    args = options.parse_args(arguments)
    warnings.simplefilter("ignore")
    clock = time.process_time if args.cpu else time.perf_counter
    ratios: dict[str, float] = {}
    without = 0
    tables: list[Any] = [] if args.only == "made" else [*real(args.data, args.rows)]
    tables += [] if args.only == "real" else [*made(args.rows)]
    for sampler in args.sampler or SAMPLERS:
        for name, table, y in tables:
            for container in ("array", "frame"):
                small = len(table) <= MOST.get(sampler, len(table))
                sides = calls(sampler, table, y, container) if small else None
                found = pairs(sides, args.seconds, clock) if sides else None
                if not found:
                    without += 1
                    continue
                case = f"{sampler:<19}{name:<27}{container}"
                ours, theirs = (statistics.median(side) for side in zip(*found, strict=True))
                ratios[case] = statistics.median(a / b for a, b in found)
                if ratios[case] > 1 or not args.slower:
                    print(
                        f"{case}{1e3 * ours:>10.1f} ms{1e3 * theirs:>10.1f} ms"
                        f"{ratios[case]:>7.2f}{'  slower' if ratios[case] > 1 else ''}",
                        flush=True,
                    )
    n_slower = sum(ratio > 1 for ratio in ratios.values())
    middle = statistics.geometric_mean(ratios.values())
    print(
        f"{len(ratios)} tables and samplers, {n_slower} slower than imbalanced-learn; "
        f"ratios of time: geometric mean {middle:.2f}, most {max(ratios.values()):.2f}; "
        f"{without} were not compared"
    )
    return ratios


if __name__ == "__main__":
    main()
