"""Nearest of all rows, out of core: BorderlineSMOTE and ADASYN on 2 million rows of Parquet.

Run: python tests/benchmarks/nearest_of_all.py [--rows 2000000] [--files 20] [--directory FOLDER]

A table of 20 features (rank 5 plus noise) and a label, one row in a hundred of the minority, is
written a file at a time. Each sampler reads it, balances it and writes it as Parquet, on a fresh
LocalCluster of 2 worker processes of 1 thread and 2 GiB. The peak of each worker's resident memory
is printed beside what the plan projected. Checked: the numbers of rows, that the majority is
as given, and that no worker was restarted.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

FEATURES, RANK, ONE_IN = 20, 5, 100
MIB = 2**20
SAMPLERS = ("BorderlineSMOTE", "ADASYN")


def write_table(folder: Path, rows: int, files: int) -> None:
    """Write the table, a file at a time; rows // 100 of the rows are of class 1."""
    folder.mkdir(parents=True)
    mixing = np.random.default_rng(0).normal(size=(RANK, FEATURES))
    for number in range(files):
        start, stop = rows * number // files, rows * (number + 1) // files
        rng = np.random.default_rng([1, number])
        label = (np.arange(start, stop) % ONE_IN == ONE_IN - 1).astype("int64")
        hidden = rng.normal(size=(stop - start, RANK)) + 1.5 * label[:, None]
        values = hidden @ mixing + 0.1 * rng.normal(size=(stop - start, FEATURES))
        frame = pd.DataFrame(values, columns=[f"x{i:02d}" for i in range(FEATURES)])
        frame["label"] = label
        frame.to_parquet(folder / f"part-{number:05d}.parquet", index=False)


def facts(folder: Path) -> tuple[dict[int, int], float]:
    """Rows of each class in a folder, and the sum of a column over the majority."""
    counts: dict[int, int] = {}
    total = 0.0
    for batch in ds.dataset(folder, format="parquet").to_batches(columns=["label", "x00"]):
        frame = batch.to_pandas()
        for label, n in frame["label"].value_counts().items():
            counts[int(label)] = counts.get(int(label), 0) + int(n)
        total += float(frame.loc[frame["label"] == 0, "x00"].sum())
    return counts, total


def balanced(name: str, source: Path, target: Path, memory_limit: str) -> dict[str, Any]:
    """Balance a folder on a cluster; return seconds, peaks, the plan and whether workers stayed."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    import dsmote
    from dsmote.cluster import worker_peaks

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            memory_limit=memory_limit,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        before = client.run(os.getpid)
        sampler = getattr(dsmote, name)(random_state=0)
        start = time.perf_counter()
        made = sampler.resample(dd.read_parquet(source), target="label")
        planned = time.perf_counter() - start
        made.to_parquet(target, write_index=False)
        seconds = time.perf_counter() - start
        return {
            "seconds": seconds,
            "planned": planned,
            "peaks": list(worker_peaks(client).values()),
            "projected": sampler.plan_.memory.worker_bytes,
            "stayed": client.run(os.getpid) == before,
            "partitions": made.npartitions,
        }


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write the table, run the samplers, print and check what they made."""
    from dask.utils import parse_bytes

    source = folder / "input"
    write_table(source, args.rows, args.files)
    given, total = facts(source)
    size = sum(file.stat().st_size for file in source.iterdir())
    limit = parse_bytes(args.memory_limit)
    print(f"{args.rows:,} rows x {FEATURES + 1} columns, {args.files} files, {size / 1e6:,.0f} MB;")
    print(f"classes {given}; 2 workers x 1 thread x {args.memory_limit}, {os.cpu_count()} cores")
    print(f"{'':<18}{'seconds':>9}{'of them plan':>14}{'peaks MiB':>15}{'projected':>11}", end="")
    print(f"{'limit':>8}{'restarts':>10}")
    numbers = {}
    for name in args.only or SAMPLERS:
        of = balanced(name, source, folder / name, args.memory_limit)
        peaks = " ".join(f"{peak / MIB:,.0f}" for peak in of["peaks"])
        print(
            f"{name:<18}{of['seconds']:>9.1f}{of['planned']:>14.1f}{peaks:>15}"
            f"{of['projected'] / MIB:>11,.0f}{limit / MIB:>8,.0f}"
            f"{'none' if of['stayed'] else 'YES':>10}",
            flush=True,
        )
        counts, after = facts(folder / name)
        assert counts == {0: given[0], 1: given[0]}, f"{name}: {counts}"
        assert np.isclose(after, total, rtol=1e-9), f"{name}: other majority rows than given"
        assert of["stayed"], f"{name}: a worker was restarted"
        numbers[name] = {**of, "counts": counts, "limit": limit}
    return numbers


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--directory", type=Path, help="where to put the files (default: TMPDIR)")
    parser.add_argument("--memory-limit", default="2GiB", help="of each worker")
    parser.add_argument("--only", choices=SAMPLERS, action="append", help="may be repeated")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dsmote-benchmark-", dir=args.directory) as folder:
        return run(args, Path(folder))


if __name__ == "__main__":
    main()
