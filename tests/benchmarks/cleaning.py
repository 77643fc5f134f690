"""Samplers that leave rows out, in memory: dsmote against imbalanced-learn, seconds and memory.

Run: python tests/benchmarks/cleaning.py [--sampler NAME] [--table TABLE] [--rows N] [--side SIDE]
         [--data FOLDER] [--cpu]

All of dsmote's that imbalanced-learn has, and both combinations, with their default parameters, on
these tables:
  insurance  the insurance table (381,109 rows), one-hot and scaled to 0..1
  rank5      200,000 x 20 of rank 5 with noise, one row in 20 of class 1
  wide       10,000 x 50 that spread in all directions
  small      2,000 x 6
  tiny       200 x 3
Each side runs in a process of its own: the median seconds of a call, and the peak of resident
memory above that before it. imbalanced-learn takes minutes to an hour on all rows of the insurance
table: of this, 60,000 rows are taken unless --rows says otherwise. "same rows" counts those that
one side keeps and the other does not. With --side dsmote, imbalanced-learn is not run.
"""

import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import MIB, SIDES, child, insurance, parser, print_table, sampler_of, theirs, watched

from dsmote.samplers.registry import samplers

MOST = {"insurance": 60_000, "rank5": 200_000, "wide": 10_000, "small": 2_000, "tiny": 200}
COMBINED = ("SMOTEENN", "SMOTETomek")
COLUMNS = {"rank5": 20, "wide": 50, "small": 6, "tiny": 3}


def compared() -> list[str]:
    """Return the classes that leave rows out and that both libraries have."""
    kinds = (kind for kind in samplers().values() if kind._sampling_type != "over-sampling")
    return [name for name in (*(k.__name__ for k in kinds), *COMBINED) if theirs(name)]


def table_of(name: str, rows: int, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Make or read a table: at most so many rows."""
    if name == "insurance":
        X, y = insurance(Path(folder), rows)
        return X, y
    rng, width = np.random.default_rng(0), COLUMNS[name]
    y = (rng.random(rows) < 0.05).astype(int)
    y[:9] = 1
    if name == "rank5":
        X = rng.normal(size=(rows, 5)) @ rng.normal(size=(5, width))
        X += 0.1 * rng.normal(size=(rows, width))
    else:
        X = rng.normal(size=(rows, width))
    return X + 0.5 * y[:, None], y


def one_side(
    side: str, sampler: str, name: str, rows: int, folder: str, keep: str
) -> dict[str, float]:
    """Measure one side; leave in a file which rows stay."""
    warnings.simplefilter("ignore")
    X, y = table_of(name, rows, folder)
    made = sampler_of(side, sampler)
    made.fit_resample(*table_of("tiny", 200, folder))  # imports and pools
    before = time.process_time()
    calls = []

    def call() -> Any:
        calls.append(1)
        return made.fit_resample(X, y)

    seconds, peak, _ = watched(call)
    cpu = (time.process_time() - before) / len(calls)
    np.save(keep, np.sort(getattr(made, "sample_indices_", np.empty(0, dtype=int))))
    return {"seconds": seconds, "cpu": cpu, "bytes": peak, "rows": len(y)}


def measured(
    sampler: str, name: str, rows: int | None, folder: str, sides: Sequence[str]
) -> dict[str, Any]:
    """Measure the sides of a case."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        files = {side: f"{place}/{side}.npy" for side in sides}
        for side, file in files.items():
            most = rows or MOST[name]
            found[side] = child(one_side, side, sampler, name, most, folder, file)
        kept = [np.load(file) for file in files.values()]
    found["differ"] = len(np.setxor1d(*kept)) if len(kept) == 2 else None
    return found


def line(sampler: str, name: str, found: dict[str, Any], clock: str) -> dict[str, str]:
    """Return the cells of a case."""
    ours, theirs = found["dsmote"], found.get("imbalanced-learn")
    differ = found["differ"]
    return {
        "sampler": sampler,
        "table": name,
        "rows": f"{ours['rows']:,}",
        "imblearn s": f"{theirs[clock]:.4g}" if theirs else "",
        "dsmote s": f"{ours[clock]:.4g}",
        "ratio": f"{theirs[clock] / ours[clock]:.1f}" if theirs else "",
        "same rows": "" if differ is None else f"{differ:,} differ" if differ else "yes",
        "imblearn MiB": f"{theirs['bytes'] / MIB:,.0f}" if theirs else "",
        "dsmote MiB": f"{ours['bytes'] / MIB:,.0f}",
    }


def main(arguments: Sequence[str] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """Run the cases; return their numbers."""
    options = parser(__doc__, "data", "rows")
    options.add_argument("--sampler", choices=compared(), action="append", help="may be repeated")
    options.add_argument("--table", choices=MOST, action="append", help="may be repeated")
    options.add_argument("--side", choices=SIDES[:1], help="measure this side only")
    options.add_argument("--cpu", action="store_true", help="processor time, for a busy machine")
    args = options.parse_args(arguments)
    sides, clock = [args.side] if args.side else SIDES, "cpu" if args.cpu else "seconds"
    numbers = {}
    for name in args.table or MOST:
        for sampler in args.sampler or compared():
            found = measured(sampler, name, args.rows, str(args.data), sides)
            numbers[sampler, name] = found
    print_table([line(*case, found, clock) for case, found in numbers.items()])
    return numbers


if __name__ == "__main__":
    main()
