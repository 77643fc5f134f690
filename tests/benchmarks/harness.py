"""What benchmarks share: options, tables, processes of their own, times, peaks."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("DSMOTE_DATA") or ROOT.parent / "shared" / "data")
MIB = 2**20
SIDES = ("dsmote", "imbalanced-learn")
NOMINAL = [
    "Gender",
    "Driving_License",
    "Region_Code",
    "Previously_Insured",
    "Vehicle_Age",
    "Vehicle_Damage",
    "Policy_Sales_Channel",
]
TARGETS = {
    "adult": "income",
    "bank_full": "y",
    "insurance_crosssell_train": "Response",
    "kdd_smtp": "y",
    "kddcup99_10pct": "label",
    "mammography": "class",
    "oil_spill": "class",
    "phoneme": "class",
    "satimage": "class",
    "thyroid0387": "diagnosis",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "data": {"type": Path, "default": DATA, "help": "folder of the real tables"},
    "rows": {"type": int, "help": "use at most about so many rows of each table"},
    "repeats": {"type": int, "default": 3},
    "directory": {"type": Path, "help": "where to put the files (default: TMPDIR)"},
    "memory-limit": {"default": "2GiB", "help": "of each worker"},
}


def parser(doc: str, *names: str) -> argparse.ArgumentParser:
    """Make a parser of some of the options that benchmarks share."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name in names:
        made.add_argument(f"--{name}", **OPTIONS[name])
    return made


def sampler_of(side: str, name: str, **options: Any) -> Any:
    """Make the sampler of one of the libraries."""
    import dsmote

    return (getattr(dsmote, name) if side == "dsmote" else theirs(name))(**options)


def theirs(name: str) -> Any:
    """Return imbalanced-learn's sampler of a name, None if it has none."""
    import imblearn.combine
    import imblearn.over_sampling
    import imblearn.under_sampling

    places = imblearn.over_sampling, imblearn.under_sampling, imblearn.combine
    return next((getattr(place, name) for place in places if hasattr(place, name)), None)


def scaled(table: pd.DataFrame) -> np.ndarray:
    """Scale each column to 0..1."""
    spread = (table.max() - table.min()).replace(0, 1)
    return np.ascontiguousarray(((table - table.min()) / spread).to_numpy())


def insurance(folder: Path, rows: int | None = None, columns: str = "one-hot") -> tuple[Any, Any]:
    """Read features (one-hot, mixed or names only) and target of the insurance table."""
    table = pd.read_parquet(folder / "insurance_crosssell_train.parquet").drop(columns="id")
    if rows and rows < len(table):
        table = table.sample(rows, random_state=0)
    y = table.pop("Response").to_numpy(copy=True)
    if columns == "one-hot":
        return scaled(pd.get_dummies(table, dtype=float)), y
    table[NOMINAL] = table[NOMINAL].astype("category")
    return (table[NOMINAL] if columns == "names" else table).reset_index(drop=True), y


def write_table(
    folder: Path, rows: int, files: int, one_in: int, features: int = 20, rank: int = 5
) -> None:
    """Write a table of a low rank plus noise, one row in `one_in` of class 1, a chunk at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    mixing = np.random.default_rng(0).normal(size=(rank, features))
    for number in range(files):
        rng = np.random.default_rng([1, number])
        ends = rows * number // files, rows * (number + 1) // files
        writer = None
        for start in range(ends[0], ends[1], 250_000):
            label = np.arange(start, min(ends[1], start + 250_000)) % one_in == one_in - 1
            hidden = rng.normal(size=(len(label), rank)) + label[:, None]
            values = hidden @ mixing + 0.1 * rng.normal(size=(len(label), features))
            columns = {f"x{i:02d}": values[:, i] for i in range(features)}
            table = pa.table({**columns, "label": label.astype("int8")})
            writer = writer or pq.ParquetWriter(folder / f"part-{number:05d}.parquet", table.schema)
            writer.write_table(table)
        if writer:
            writer.close()


def print_table(lines: Sequence[dict[str, str]]) -> None:
    """Print cells below the names of their columns."""
    widths = [max(len(cell) for cell in (name, *(of[name] for of in lines))) for name in lines[0]]
    for cells in (lines[0], *(of.values() for of in lines)):
        padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        print("  ".join(padded), flush=True)


def print_times(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Print a line for each side; return the medians."""
    figures = {"median s": statistics.median, "least s": min, "most s": max}
    print_table(
        [
            {"side": name}
            | {figure: f"{of(times):.2f}" for figure, of in figures.items()}
            | {"runs": f"{len(times)}"}
            for name, times in seconds.items()
        ]
    )
    return {name: statistics.median(times) for name, times in seconds.items()}


def tables_of(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Yield name, table and target of the KEEL sets and of the tables that are named."""
    for file in sorted((folder / "keel").glob("*.csv.gz")):
        table = pd.read_csv(file)
        yield file.name.removesuffix(".csv.gz"), table, table.columns[-1]
    for name in names:
        yield name, pd.read_parquet(folder / f"{name}.parquet"), TARGETS[name]


def watched(run: Callable[[], Any]) -> tuple[float, int, Any]:
    """Return median seconds of a call, bytes above the start at its peak, and what it gave.

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


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child that imports this checkout and its benchmarks."""
    here = [str(ROOT), str(Path(__file__).parent)]
    path = os.pathsep.join(filter(None, [*here, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path} | more


def child(function: Callable[..., Any], *args: object) -> Any:
    """Call a function of a benchmark in a process of its own, whose workers can import it, too."""
    module = Path(function.__code__.co_filename).stem
    call = f"import json, {module} as here; print(json.dumps(here.{function.__name__}(*{args!r})))"
    done = subprocess.run(
        [sys.executable, "-c", call],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment(),
    )
    return json.loads(done.stdout.splitlines()[-1])


def medians(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each number over several runs."""
    return {key: statistics.median(of[key] for of in results) for key in results[0]}
