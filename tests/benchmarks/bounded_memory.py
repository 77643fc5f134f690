"""Bounded memory: one job on 1, 3 and 10 times the memory of all its workers together.

Run: python tests/benchmarks/bounded_memory.py [--times 1 --times 3 --times 10]
     [--memory-limit 512MiB] [--workers 2] [--keep FILE] [--directory FOLDER]

For each size a table of 16 features (rank 4 plus noise) and a label, one row in two thousand of
the minority, is written in files of 50,000 rows. The job reads it, makes the minority a quarter of
the majority and writes both as Parquet, on a fresh cluster of worker processes of one thread. The
shares stay what they are, so the class that grows, which every worker holds, grows with the
table.

Of each size: bytes of the table in memory; seconds; peak of each worker's resident memory beside
what the plan projected and the limit at which the worker would have been killed; workers that were
restarted; bytes that were spilled. `--keep FILE` keeps the numbers and shows them beside those of
runs before, so that sizes can be run one at a time.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dask.utils import parse_bytes

FEATURES, RANK = 16, 4
ONE_IN, RATIO = 2_000, 0.25
ROW_BYTES = 8 * FEATURES + 1
FILE_ROWS = 50_000
MIB = 2**20
TIMES = (1.0, 3.0, 10.0)


def write_table(folder: Path, rows: int) -> None:
    """Write the table a file at a time; one row in ONE_IN is of class 1."""
    folder.mkdir(parents=True)
    mixing = np.random.default_rng(0).normal(size=(RANK, FEATURES))
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        stop = min(rows, start + FILE_ROWS)
        rng = np.random.default_rng([1, number])
        label = (np.arange(start, stop) % ONE_IN == ONE_IN - 1).astype("int8")
        hidden = rng.normal(size=(len(label), RANK)) + label[:, None]
        values = hidden @ mixing + 0.1 * rng.normal(size=(len(label), FEATURES))
        columns = {f"x{i:02d}": values[:, i] for i in range(FEATURES)}
        table = pa.table({**columns, "label": label})
        pq.write_table(table, folder / f"part-{number:05d}.parquet", use_dictionary=False)


def spilled(client: Any) -> int:
    """Bytes that workers have written to their disks because their memory was full."""

    def on_disk(dask_worker: Any) -> float:  # known to the worker, as its module is not
        written = getattr(dask_worker.data, "cumulative_metrics", {})
        return written.get(("disk-write", "bytes"), 0)

    return int(sum(client.run(on_disk).values()))


def measure(times: float, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write a table of so many times the memory, resample it, return what that took."""
    from dsmote.cluster import connect
    from dsmote.job import JobSpec, prepare, write_job

    limit = parse_bytes(args.memory_limit)
    rows = int(times * args.workers * limit / ROW_BYTES)
    source, target = folder / "input", folder / "output"
    write_table(source, rows)
    os.sync()
    spec = JobSpec(
        input=str(source),
        output=str(target),
        target="label",
        sampling_strategy=RATIO,
        random_state=0,
    )
    with connect(
        n_workers=args.workers, threads_per_worker=1, memory_limit=args.memory_limit
    ) as client:
        before = client.run(os.getpid)
        start = time.perf_counter()
        manifest = write_job(prepare(spec), client).manifest
        seconds = time.perf_counter() - start
        after = client.run(os.getpid)
        on_disk = spilled(client)
    return {
        "times": times,
        "rows": rows,
        "bytes": rows * ROW_BYTES,
        "minority": rows // ONE_IN,
        "written": manifest["rows"]["after"],
        "seconds": seconds,
        "peaks": sorted(manifest["memory"]["peak_bytes"].values()),
        "projected": manifest["memory"]["worker_bytes"],
        "limit": limit,
        "workers": args.workers,
        "restarts": len(set(after.items()) - set(before.items())),
        "spilled": on_disk,
    }


def report(numbers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print the table, and what it says of how flat the peaks are."""
    print(
        f"{'times memory':>12}{'GiB of data':>13}{'rows':>12}{'of the class':>14}{'rows out':>13}"
        f"{'seconds':>9}{'peaks MiB':>12}{'projected':>11}{'limit':>7}{'restarts':>10}"
        f"{'spilled':>9}"
    )
    for of in numbers:
        peaks = " ".join(f"{peak / MIB:,.0f}" for peak in of["peaks"])
        print(
            f"{of['times']:>12g}{of['bytes'] / 2**30:>13.2f}{of['rows']:>12,}{of['minority']:>14,}"
            f"{of['written']:>13,}{of['seconds']:>9.1f}{peaks:>12}{of['projected'] / MIB:>11,.0f}"
            f"{of['limit'] / MIB:>7,.0f}{of['restarts']:>10}{of['spilled'] / MIB:>6,.0f} MiB"
        )
    first, last = numbers[0], numbers[-1]
    flatness = max(last["peaks"]) / max(first["peaks"])
    print(
        f"{last['bytes'] / first['bytes']:.3g} times the data: {flatness:.2f} times the peak of a "
        f"worker, {last['projected'] / first['projected']:.2f} times the projection"
    )
    return {
        "flatness": flatness,
        "kept": all(max(of["peaks"]) <= of["projected"] for of in numbers),
        "restarts": sum(of["restarts"] for of in numbers),
        "sizes": list(numbers),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--times", type=float, action="append", help=f"sizes; may be repeated (default: {TIMES})"
    )
    parser.add_argument("--memory-limit", default="512MiB", help="of each worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a file of the numbers, added to")
    parser.add_argument("--directory", type=Path, help="where to put the files (default: TMPDIR)")
    args = parser.parse_args(arguments)
    numbers = json.loads(args.keep.read_text()) if args.keep and args.keep.exists() else []
    print(f"workers: {args.workers} x 1 thread x {args.memory_limit}; {os.cpu_count()} cores")
    for times in args.times or TIMES:
        with tempfile.TemporaryDirectory(prefix="dsmote-benchmark-", dir=args.directory) as folder:
            numbers = [of for of in numbers if of["times"] != times]
            numbers.append(measure(times, args, Path(folder)))
        if args.keep:
            args.keep.write_text(json.dumps(numbers))
    return report(sorted(numbers, key=lambda of: of["times"]))


if __name__ == "__main__":
    main()
