"""In memory: `dsmote.SMOTE` against imbalanced-learn's on the insurance table.

Run: python tests/benchmarks/in_memory.py [--data FOLDER] [--rows N] [--repeats 3]

The table (381,109 rows) is one-hot encoded and scaled to 0..1 as one would for a distance, and its
minority class of 46,710 rows is raised to 334,399. Both sides run in the same process, in turn.
"""

import os
from collections.abc import Sequence

import numpy as np
from harness import SIDES, in_turn, insurance, parser, print_times, sampler_of


def measure(X: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each run of each side, the sides taken in turn."""
    samplers = {side: sampler_of(side, "SMOTE", random_state=0) for side in SIDES}
    sides = {side: lambda of=of: of.fit_resample(X, y) for side, of in samplers.items()}
    seconds, made = in_turn(sides, repeats)
    shapes = {(X_new.shape, *np.bincount(y_new)) for X_new, y_new in made.values()}
    assert len(shapes) == 1, f"the two sides do not make the same number of rows: {shapes}"
    return seconds


def main(arguments: Sequence[str] | None = None) -> float:
    """Run the benchmark; return the ratio of the medians."""
    args = parser(__doc__, "data", "rows", "repeats").parse_args(arguments)
    X, y = insurance(args.data, args.rows)
    counts = np.bincount(y)
    print(f"{X.shape[0]:,} rows x {X.shape[1]} columns, classes {counts.tolist()}, k = 5,")
    print(f"{os.cpu_count()} cores")
    small = np.r_[np.flatnonzero(y == 0)[:500], np.flatnonzero(y == 1)[:50]]
    measure(X[small], y[small], repeats=1)  # imports and thread pools are not what is measured
    middle = print_times(measure(X, y, args.repeats))
    ratio = middle["imbalanced-learn"] / middle["dsmote"]
    print(f"dsmote is {ratio:.1f} times as fast")
    return ratio


if __name__ == "__main__":
    main()
