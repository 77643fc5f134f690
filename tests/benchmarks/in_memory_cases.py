"""In memory, more cases: dsmote against imbalanced-learn.

Run: python tests/benchmarks/in_memory_cases.py [--only CASE] [--data FOLDER] [--rows N]

Cases:
  rank5     SMOTE on 400,000 x 20 of rank 5 with noise, 100,000 minority rows
  tables    SMOTE on the numeric columns of eight real tables, scaled to 0..1
  smotenc   SMOTENC on the insurance table with its seven nominal columns, each side in a process
            of its own: seconds, and the peak of resident memory above that before the call
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NOMINAL = [
    "Gender",
    "Driving_License",
    "Region_Code",
    "Previously_Insured",
    "Vehicle_Age",
    "Vehicle_Damage",
    "Policy_Sales_Channel",
]
TABLES = {
    "adult": "income",
    "bank_full": "y",
    "kddcup99_10pct": "label",
    "kdd_smtp": "y",
    "mammography": "class",
    "satimage": "class",
    "phoneme": "class",
    "oil_spill": "class",
}


def timed(sides: dict[str, Callable[[], Any]], repeats: int, calls: int = 1) -> dict[str, float]:
    """Median seconds of a call of each side, the sides taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            start = time.perf_counter()
            for _ in range(calls):
                run()
            seconds[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(times) for name, times in seconds.items()}


def sides(X: Any, y: Any) -> dict[str, Callable[[], Any]]:
    """SMOTE of both libraries on one table."""
    from imblearn.over_sampling import SMOTE as TheirSMOTE

    from dsmote import SMOTE

    return {
        "dsmote": lambda: SMOTE(random_state=0).fit_resample(X, y),
        "imbalanced-learn": lambda: TheirSMOTE(random_state=0).fit_resample(X, y),
    }


def rank5(args: argparse.Namespace) -> dict[str, float]:
    """Few directions, many rows."""
    n = args.rows or 400_000
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 5)) @ rng.standard_normal((5, 20))
    X += 0.01 * rng.standard_normal((n, 20))
    y = (np.arange(n) < n // 4).astype(int)
    middle = timed(sides(X, y), args.repeats)
    ratio = middle["imbalanced-learn"] / middle["dsmote"]
    print(f"\nrank5: {n:,} x 20, {n // 4:,} minority rows, medians of {args.repeats}")
    print(f"dsmote {middle['dsmote']:.2f} s, imbalanced-learn {middle['imbalanced-learn']:.2f} s")
    print(f"dsmote is {ratio:.1f} times as fast (asked: 10)")
    return {"ratio": ratio}


def load(folder: Path, name: str, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Numeric columns, scaled, and the target of a table; classes of fewer than 6 rows left out."""
    table = pd.read_parquet(folder / f"{name}.parquet")
    if rows:  # some of each class
        table = table.groupby(TABLES[name], group_keys=False).head(rows // 20 + 6)
    if name == "kddcup99_10pct":  # balanced in full, imbalanced-learn takes many minutes
        table = table.groupby(TABLES[name], group_keys=False).head(4000)
    y = table[TABLES[name]].astype(str)
    X = table.drop(columns=TABLES[name]).select_dtypes("number").dropna(axis=1)
    y = y[y.map(y.value_counts()) >= 6]
    X = X.loc[y.index].astype(float)
    X = (X - X.min()) / (X.max() - X.min()).replace(0, 1)
    return np.ascontiguousarray(X.to_numpy()), y.to_numpy(dtype=object)


def tables(args: argparse.Namespace) -> dict[str, Any]:
    """Eight real tables."""
    print(f"\ntables: numeric columns, medians of {args.repeats}")
    head = f"{'':<16}{'rows':>9}{'columns':>9}{'dsmote s':>11}{'theirs s':>11}{'ratio':>8}"
    print(head)
    ratios = {}
    for name in TABLES:
        X, y = load(args.data, name, args.rows)
        both = sides(X, y)
        for run in both.values():
            run()
        calls = 1 if len(X) > 20_000 or args.rows else 10
        middle = timed(both, args.repeats, calls)
        ratios[name] = middle["imbalanced-learn"] / middle["dsmote"]
        print(
            f"{name:<16}{len(X):>9,}{X.shape[1]:>9}{middle['dsmote']:>11.4f}"
            f"{middle['imbalanced-learn']:>11.4f}{ratios[name]:>8.1f}",
            flush=True,
        )
    mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
    least = min(ratios.values())
    print(f"geometric mean {mean:.1f} (asked: 5), least {least:.1f} (asked: 1)")
    return {"mean": mean, "least": least, "ratios": ratios}


def child(args: argparse.Namespace) -> None:
    """Run one side of smotenc and print seconds and bytes."""
    import psutil

    table = pd.read_parquet(args.data / "insurance_crosssell_train.parquet").drop(columns="id")
    if args.rows:
        table = table.sample(args.rows, random_state=0)
    X, y = table.drop(columns="Response"), table["Response"]
    X[NOMINAL] = X[NOMINAL].astype("category")
    if args.child == "dsmote":
        from dsmote import SMOTENC
    else:
        from imblearn.over_sampling import SMOTENC
    few = np.r_[np.flatnonzero(y == 0)[:300], np.flatnonzero(y == 1)[:60]]
    sampler = SMOTENC(categorical_features=NOMINAL, random_state=0)
    sampler.fit_resample(X.iloc[few], y.iloc[few])  # imports and pools
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    made = sampler.fit_resample(X, y)[0]
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    print(json.dumps({"seconds": seconds, "bytes": peak - before, "rows": len(made)}))


def smotenc(args: argparse.Namespace) -> dict[str, Any]:
    """Numbers and names, in child processes."""
    runs: dict[str, list[dict[str, float]]] = {"dsmote": [], "imbalanced-learn": []}
    command = [sys.executable, __file__, "--data", str(args.data)]
    command += ["--rows", str(args.rows)] if args.rows else []
    for _ in range(args.repeats):
        for name, results in runs.items():
            done = subprocess.run(
                [*command, "--child", name], capture_output=True, text=True, check=True
            )
            results.append(json.loads(done.stdout.splitlines()[-1]))
    assert len({r["rows"] for results in runs.values() for r in results}) == 1
    print(f"\nsmotenc: insurance, seven nominal columns, medians of {args.repeats}")
    middle = {
        name: {key: statistics.median(r[key] for r in results) for key in ("seconds", "bytes")}
        for name, results in runs.items()
    }
    for name, of in middle.items():
        print(f"{name:<18}{of['seconds']:>8.2f} s{of['bytes'] / 2**20:>8.0f} MiB above the start")
    ratio = middle["imbalanced-learn"]["seconds"] / middle["dsmote"]["seconds"]
    memory = middle["dsmote"]["bytes"] / middle["imbalanced-learn"]["bytes"]
    print(f"dsmote is {ratio:.1f} times as fast (asked: 20), with {memory:.3f} of the memory (0.2)")
    return {"ratio": ratio, "memory": memory}


CASES = {"rank5": rank5, "tables": tables, "smotenc": smotenc}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the cases; return their numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DSMOTE_DATA") or DATA))
    parser.add_argument("--only", choices=CASES, action="append", help="a case; may be repeated")
    parser.add_argument("--rows", type=int, help="use about so many rows of each table")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=["dsmote", "imbalanced-learn"], help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        child(args)
        return {}
    print(f"k = 5, {os.cpu_count()} cores")
    return {name: CASES[name](args) for name in args.only or CASES}


if __name__ == "__main__":
    main()
