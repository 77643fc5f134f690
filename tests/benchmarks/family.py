"""The family in memory: each sampler against imbalanced-learn's, in seconds and memory.

Run: python tests/benchmarks/family.py [--only CASE] [--rows N] [--repeats 3] [--data FOLDER]

Each side runs in a process of its own, in turn: seconds of a call, and the peak of resident memory
above that before it. Medians of the repeats.

Cases on the insurance table (381,109 rows, 46,710 in the minority), one-hot and scaled to 0..1:
  borderline-1, borderline-2, adasyn, random, shrinkage, under, kmeans (20 clusters)
  svm           5,000 of its rows: imbalanced-learn's machine takes quadratic time
Cases on its seven nominal columns:
  smoten        30,000 rows: imbalanced-learn makes square matrices of the class's rows
  smoten-100k   100,000 rows, dsmote only
Another table:
  kdd           kddcup99, 23 classes in one call of SMOTENC, each to 2,000 rows at least, those too
                small for neighbours copied; dsmote only: the others refuse it
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TABLE = "insurance_crosssell_train.parquet"
NOMINAL = [
    "Gender",
    "Driving_License",
    "Region_Code",
    "Previously_Insured",
    "Vehicle_Age",
    "Vehicle_Damage",
    "Policy_Sales_Channel",
]
SIDES = ("dsmote", "imbalanced-learn")
WANTED = 2_000
CONSTANT = "the median of the columns' standard deviations is 0"


class Case(NamedTuple):
    """A sampler, its options, most rows, and how many times as fast it is asked to be."""

    sampler: str
    options: dict[str, Any] = {}  # noqa: RUF012
    most: int | None = None
    asked: int = 1
    names: bool = False
    sides: tuple[str, ...] = SIDES


CASES = {
    "borderline-1": Case("BorderlineSMOTE", {"kind": "borderline-1"}, asked=5),
    "borderline-2": Case("BorderlineSMOTE", {"kind": "borderline-2"}, asked=5),
    "adasyn": Case("ADASYN", asked=5),
    "random": Case("RandomOverSampler"),
    "shrinkage": Case("RandomOverSampler", {"shrinkage": 1.0}),
    "under": Case("RandomUnderSampler"),
    "kmeans": Case("KMeansSMOTE", {"kmeans_estimator": 20, "cluster_balance_threshold": 0.05}),
    "svm": Case("SVMSMOTE", most=5_000),
    "smoten": Case("SMOTEN", most=30_000, names=True),
    "smoten-100k": Case("SMOTEN", most=100_000, names=True, sides=("dsmote",)),
}


def load(folder: Path, rows: int | None, names: bool) -> tuple[Any, np.ndarray]:
    """Features, as numbers or as names, and target of the insurance table or a sample of it."""
    table = pd.read_parquet(folder / TABLE).drop(columns="id")
    if rows and rows < len(table):
        table = table.sample(rows, random_state=0)
    y = table.pop("Response").to_numpy(copy=True)
    if names:
        return table[NOMINAL].astype("category").reset_index(drop=True), y
    features = pd.get_dummies(table, dtype=float)
    spread = (features.max() - features.min()).replace(0, 1)
    return np.ascontiguousarray(((features - features.min()) / spread).to_numpy()), y


def sampler_of(side: str, case: Case) -> Any:
    """The sampler of one of the libraries."""
    import imblearn.over_sampling
    import imblearn.under_sampling

    import dsmote

    under = hasattr(imblearn.under_sampling, case.sampler)
    theirs = imblearn.under_sampling if under else imblearn.over_sampling
    module = dsmote if side == "dsmote" else theirs
    return getattr(module, case.sampler)(random_state=0, **case.options)


def watched(run: Any) -> tuple[float, int, Any]:
    """Median seconds of a call, bytes above the start at its peak, and what it gave.

    Calls that are over in no time are repeated.
    """
    import psutil

    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    seconds: list[float] = []
    made = None
    try:
        while not seconds or (sum(seconds) < 1 and len(seconds) < 10):
            made = None  # not twice in memory
            start = time.perf_counter()
            made = run()
            seconds.append(time.perf_counter() - start)
    finally:
        done.set()
        thread.join()
    return statistics.median(seconds), peak - before, made


def child(args: argparse.Namespace) -> None:
    """Run one side of a case and print its numbers."""
    case = CASES[args.only[0]]
    most = min(filter(None, (args.rows, case.most)), default=None)
    X, y = load(args.data, most, case.names)
    sampler = sampler_of(args.child, case)
    few = np.r_[np.flatnonzero(y == 0)[:500], np.flatnonzero(y == 1)[:100]]
    with suppress(ValueError, RuntimeError):  # imports and pools; too few rows for some
        sampler.fit_resample(X.iloc[few] if case.names else X[few], y[few])
    seconds, peak, made = watched(lambda: sampler.fit_resample(X, y))
    numbers = {"seconds": seconds, "bytes": peak, "given": len(y), "rows": len(made[1])}
    print(json.dumps(numbers))


def measure(name: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians of the sides of a case."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in CASES[name].sides}
    command = [sys.executable, __file__, "--data", str(args.data), "--only", name]
    command += ["--rows", str(args.rows)] if args.rows else []
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    for _ in range(args.repeats):
        for side, results in runs.items():
            done = subprocess.run(
                [*command, "--child", side],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env=os.environ | {"PYTHONPATH": path},
            )
            results.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        side: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for side, results in runs.items()
    }


def report(name: str, middle: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Print a line; return its numbers."""
    ours, theirs = middle["dsmote"], middle.get("imbalanced-learn")
    new = {side: of["rows"] - of["given"] for side, of in middle.items()}
    line = f"{name:<14}{ours['given']:>9,.0f}{new['dsmote']:>+10,.0f}"
    if theirs is None:
        line += f"{'-':>10}{ours['seconds']:>9.3f}{'-':>9}{'-':>8}{'-':>7}"
        print(line + f"{ours['bytes'] / 2**20:>8,.0f}{'-':>8}", flush=True)
        return middle
    ratio = theirs["seconds"] / ours["seconds"]
    line += f"{new['imbalanced-learn']:>+10,.0f}{ours['seconds']:>9.3f}{theirs['seconds']:>9.3f}"
    line += f"{ratio:>8.1f}{CASES[name].asked:>7}"
    line += f"{ours['bytes'] / 2**20:>8,.0f}{theirs['bytes'] / 2**20:>8,.0f}"
    print(line, flush=True)
    return {**middle, "ratio": ratio, "asked": CASES[name].asked}


def kdd(args: argparse.Namespace) -> dict[str, Any]:
    """All classes in one call."""
    from dsmote import SMOTENC

    table = pd.read_parquet(args.data / "kddcup99_10pct.parquet")
    if args.rows:  # some of each class
        table = table.groupby("label", group_keys=False).head(args.rows // 20 + 6)
    before = table["label"].value_counts()
    least = min(args.rows or WANTED, WANTED)
    wanted = {label: max(n, least) for label, n in before.items()}
    print(f"\nkdd: {len(table):,} rows, {len(before)} classes, to {least:,} rows each at least")
    try:
        SMOTENC(sampling_strategy=wanted, random_state=0).resample(table, target="label")
        raise AssertionError("classes of fewer than six rows were not refused")
    except ValueError as error:
        refusal = str(error)
        print(f"without on_small_class: ValueError: {refusal}")
    sampler = SMOTENC(sampling_strategy=wanted, on_small_class="copy", random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        # A class whose columns are mostly constant: its warning is counted below.
        warnings.filterwarnings("always", f"class.*{CONSTANT}", UserWarning)
        seconds, peak, made = watched(lambda: sampler.resample(table, target="label"))
    said = {str(warning.message) for warning in caught}
    assert all(CONSTANT in message for message in said), said
    after = made["label"].value_counts()
    print(f"{'class':<18}{'before':>9}{'after':>9}")
    for label, n in before.items():
        print(f"{label:<18}{n:>9,}{after[label]:>9,}")
    print(f"{len(made) - len(table):,} new rows in {seconds:.2f} s, ", end="")
    print(f"{peak / 2**20:,.0f} MiB above the start")
    print(*said, sep="\n")
    assert after.to_dict() == wanted
    assert list(made.dtypes) == list(table.dtypes)
    return {"seconds": seconds, "bytes": peak, "after": after.to_dict(), "refusal": refusal}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the cases; return their numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DSMOTE_DATA") or DATA))
    parser.add_argument(
        "--only", choices=[*CASES, "kdd"], action="append", help="a case; may be repeated"
    )
    parser.add_argument("--rows", type=int, help="use at most about so many rows of each table")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        child(args)
        return {}
    names = args.only or [*CASES, "kdd"]
    print(f"{os.cpu_count()} cores, medians of {args.repeats}; imbalanced-learn second")
    print(
        f"{'':<14}{'rows':>9}{'new rows':>20}{'seconds':>18}{'ratio':>8}{'asked':>7}"
        f"{'MiB above start':>16}"
    )
    numbers = {name: report(name, measure(name, args)) for name in names if name != "kdd"}
    if "kdd" in names:
        numbers["kdd"] = kdd(args)
    return numbers


if __name__ == "__main__":
    main()
