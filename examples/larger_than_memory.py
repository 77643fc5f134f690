"""Balance a table that is twice as large as the memory of all workers together.

Run: python examples/larger_than_memory.py [--memory 1GiB] [--workers 2] [--rows N]

A table of random numbers is written to a temporary folder, balanced by workers that could not hold
half of it, and written back. The peak memory of each worker is printed beside the bytes that the
plan announced and the limit at which the worker would have been killed.
"""

import argparse
import tempfile
import time
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.utils import format_bytes, parse_bytes
from distributed import Client, LocalCluster

from dsmote import SMOTE
from dsmote.execute.resources import peak_memory

COLUMNS = 16
ROW_BYTES = 8 * COLUMNS + 1
FILE_ROWS = 200_000


def write_table(folder: Path, rows: int) -> None:
    """Write `rows` rows, one in two hundred of class 1, in files of FILE_ROWS rows."""
    folder.mkdir()
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        rng = np.random.default_rng([0, number])
        label = rng.random(min(FILE_ROWS, rows - start)) < 0.005
        # Four hidden causes behind all columns, as in most real tables, and some noise.
        causes = rng.normal(size=(len(label), 4)) + label[:, None]
        mixing = np.random.default_rng(0).normal(size=(4, COLUMNS))
        values = causes @ mixing + 0.1 * rng.normal(size=(len(label), COLUMNS))
        frame = pd.DataFrame(values, columns=[f"x{i}" for i in range(COLUMNS)])
        frame["label"] = label.astype("int8")
        frame.to_parquet(folder / f"part-{number:05d}.parquet", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", default="1GiB", help="limit of each worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, help="default: as many as make twice the memory")
    args = parser.parse_args()
    limit = parse_bytes(args.memory)
    rows = args.rows or 2 * args.workers * limit // ROW_BYTES

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "table"), Path(folder, "balanced")
        write_table(source, rows)
        print(f"table: {rows:,} rows, {format_bytes(rows * ROW_BYTES)} in memory")
        print(f"workers: {args.workers} of {format_bytes(limit)}")

        with (
            LocalCluster(
                n_workers=args.workers,
                threads_per_worker=1,
                memory_limit=limit,
                host="127.0.0.1",
                dashboard_address=None,
                security=True,  # else every user of this machine can run code on it
                local_directory=folder,
            ) as cluster,
            Client(cluster) as client,
        ):
            start = time.perf_counter()
            frame = dd.read_parquet(source)
            sampler = SMOTE(sampling_strategy=0.25, random_state=0)
            balanced = sampler.resample(frame, target="label")
            balanced.to_parquet(result, write_index=False)
            seconds = time.perf_counter() - start
            peaks = client.run(peak_memory)

        plan = sampler.plan_
        print(f"rows per class before: {plan.counts_before}")
        print(f"rows per class after:  {plan.counts_after}")
        print(f"rows written: {len(dd.read_parquet(result)):,}, in {seconds:.0f} s")
        print(f"{'worker':<26}{'peak':>12}{'projected':>12}{'limit':>12}")
        for address, peak in sorted(peaks.items()):
            projected = format_bytes(plan.memory.worker_bytes)
            print(f"{address:<26}{format_bytes(peak):>12}{projected:>12}{format_bytes(limit):>12}")


if __name__ == "__main__":
    main()
