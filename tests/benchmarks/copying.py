"""Copying: how near new rows come to the rows that they are made of, as a class grows.

Run: python tests/benchmarks/copying.py [--rows 1000 ...] [--new 1000] [--only SAMPLER]

A class of n normal rows in five dimensions, beside as many rows of another class, shifted by one
standard deviation. Of new rows, and of as many rows of the class, the median distance to the
nearest row of the class, a row itself left out:
  ratio     that of new rows over that of rows: 1 where new rows are as far as real ones, 0: copies
  distance  that of new rows; in standard deviations of a feature
New rows of the same distribution would have a ratio of 1 and a distance that falls as n^(-1/5).
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from harness import parser, print_table, sampler_of
from scipy.spatial import cKDTree

FEATURES = 5
#: A sampler and its options, some of them by the rows of the class.
SAMPLERS: dict[str, tuple[str, Any]] = {
    "SMOTE, k 5": ("SMOTE", lambda n: {}),
    "SMOTE, k sqrt(n)": ("SMOTE", lambda n: {"k_neighbors": int(np.sqrt(n))}),
    "BorderlineSMOTE": ("BorderlineSMOTE", lambda n: {}),
    "ADASYN": ("ADASYN", lambda n: {}),
    "SafeLevelSMOTE": ("SafeLevelSMOTE", lambda n: {}),
    "DistanceSMOTE": ("DistanceSMOTE", lambda n: {}),
    "ADOMS": ("ADOMS", lambda n: {}),
    "GSMOTE": ("GSMOTE", lambda n: {}),
    "GeometricSMOTE": ("GeometricSMOTE", lambda n: {}),
    "MGS": ("MGS", lambda n: {}),
    "RandomSMOTE": ("RandomSMOTE", lambda n: {}),
    "PolynomFitSMOTE": ("PolynomFitSMOTE", lambda n: {}),
    "MDO": ("MDO", lambda n: {}),
    "ROSE": ("RandomOverSampler", lambda n: {"shrinkage": 1.0}),
}


def measured(name: str, n: int, new: int) -> dict[str, float]:
    """Return ratio, distance and seconds of a sampler."""
    rng = np.random.default_rng(n)
    rows = rng.normal(size=(n, FEATURES))
    X = np.concatenate([rows, rng.normal(size=(n, FEATURES)) + 1.0])
    y = np.repeat([1, 0], n)
    kind, options = SAMPLERS[name]
    sampler = sampler_of(
        "dsmote", kind, random_state=0, sampling_strategy={1: n + new}, **options(n)
    )
    start = time.perf_counter()
    made = sampler.fit_resample(X, y)[0][2 * n :]
    seconds, tree = time.perf_counter() - start, cKDTree(rows)
    far = float(np.median(tree.query(made)[0]))
    usual = float(np.median(tree.query(rows[:new], 2)[0][:, 1]))
    return {"ratio": far / usual, "distance": far, "seconds": seconds}


def run(args: argparse.Namespace) -> dict[tuple[str, int], dict[str, float]]:
    """Measure all, print a table for each number of rows, return its numbers."""
    found = {}
    for n in args.rows:
        lines = []
        for name in args.only or SAMPLERS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of classes that are no minority
                of = found[name, n] = measured(name, n, min(args.new, n))
            figures = {"ratio": ".2f", "distance": ".3f", "seconds": ".1f"}
            lines.append(
                {"sampler": name, "rows": f"{n:,}"}
                | {f: f"{of[f]:{w}}" for f, w in figures.items()}
            )
        print_table(lines)
        print()
    return found


def main(arguments: Sequence[str] | None = None) -> dict[tuple[str, int], dict[str, float]]:
    """Run the benchmark; return its numbers."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    options.add_argument("--new", type=int, default=1_000, help="so many new rows")
    options.add_argument("--only", choices=SAMPLERS, action="append", help="may be repeated")
    return run(options.parse_args(arguments))


if __name__ == "__main__":
    main()
