"""In memory: `dsmote.SMOTE` against imbalanced-learn's on the insurance table.

Run: python tests/benchmarks/in_memory.py [--data FOLDER] [--rows N] [--repeats 3]

The table (381,109 rows) is one-hot encoded and scaled to 0..1 as one would for a distance, and its
minority class of 46,710 rows is raised to 334,399. Both sides run in the same process, in turn.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TABLE = "insurance_crosssell_train.parquet"


def load(folder: Path, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Features, one-hot and min-max, and target of the insurance table or of a sample of it."""
    table = pd.read_parquet(folder / TABLE).drop(columns="id")
    if rows:
        table = table.sample(rows, random_state=0)
    features = pd.get_dummies(table.drop(columns="Response"), dtype=float)
    spread = (features.max() - features.min()).replace(0, 1)
    scaled = (features - features.min()) / spread
    return np.ascontiguousarray(scaled.to_numpy()), table["Response"].to_numpy(copy=True)


def samplers() -> dict[str, Callable]:
    """What is compared, by name."""
    from imblearn.over_sampling import SMOTE as TheirSMOTE

    from dsmote import SMOTE

    return {
        "dsmote": SMOTE(random_state=0).fit_resample,
        "imbalanced-learn": TheirSMOTE(random_state=0).fit_resample,
    }


def measure(X: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, list[float]]:
    """Seconds of each run of each side, the sides taken in turn."""
    sides = samplers()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    shapes = set()
    for _ in range(repeats):
        for name, resample in sides.items():
            start = time.perf_counter()
            X_new, y_new = resample(X, y)
            seconds[name].append(time.perf_counter() - start)
            shapes.add((X_new.shape, *np.bincount(y_new)))
    assert len(shapes) == 1, f"the two sides do not make the same number of rows: {shapes}"
    return seconds


def report(seconds: dict[str, list[float]]) -> float:
    """Print the table; return how many times faster dsmote is."""
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{'':<20}{'median s':>10}{'least s':>10}{'most s':>10}{'runs':>6}")
    for name, times in seconds.items():
        print(
            f"{name:<20}{middle[name]:>10.2f}{min(times):>10.2f}{max(times):>10.2f}{len(times):>6}"
        )
    ratio = middle["imbalanced-learn"] / middle["dsmote"]
    print(f"dsmote is {ratio:.1f} times as fast")
    return ratio


def main(arguments: Sequence[str] | None = None) -> float:
    """Run the benchmark; return the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("DSMOTE_DATA") or DATA),
        help="folder of the real tables (default: DSMOTE_DATA)",
    )
    parser.add_argument("--rows", type=int, help="use a sample of this many rows")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(arguments)

    X, y = load(args.data, args.rows)
    counts = np.bincount(y)
    print(f"{X.shape[0]:,} rows x {X.shape[1]} columns, classes {counts.tolist()}, k = 5,")
    print(f"{os.cpu_count()} cores")
    small = np.r_[np.flatnonzero(y == 0)[:500], np.flatnonzero(y == 1)[:50]]
    measure(X[small], y[small], repeats=1)  # imports and thread pools are not what is measured
    return report(measure(X, y, args.repeats))


if __name__ == "__main__":
    main()
