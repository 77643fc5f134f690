"""Bounded memory: one job on 1, 3 and 10 times the memory of all its workers together.

Run: python tests/benchmarks/bounded_memory.py [--times 1 --times 3 --times 10]
     [--wide 6000x5000 --wide 4000x10000]
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

Of very wide tables, where readers and writers hold something for each column: float32, three row
groups, one row in ten of the minority, which grows to the majority, on one worker. Where sizes of
one kind only are given, the other kind is left out.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dask.utils import parse_bytes
from harness import MIB, parser, print_table, write_table

FEATURES, RANK = 16, 4
ONE_IN, RATIO = 2_000, 0.25
ROW_BYTES = 8 * FEATURES + 1
FILE_ROWS = 50_000
TIMES = (1.0, 3.0, 10.0)
WIDE, WIDE_LIMIT = ("6000x5000", "4000x10000"), "3GiB"


def write_wide(folder: Path, rows: int, columns: int) -> None:
    """Write a file of three row groups; one row in ten is of class 1."""
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(rows, columns)).astype("f4")
    label = (np.arange(rows) % 10 == 9).astype("int8")
    table = pa.table({**{f"x{i}": values[:, i] for i in range(columns)}, "label": label})
    pq.write_table(table, folder / "part.parquet", row_group_size=-(-rows // 3))


def spilled(client: Any) -> int:
    """Bytes that workers have written to their disks because their memory was full."""

    def on_disk(dask_worker: Any) -> float:  # known to the worker, as its module is not
        written = getattr(dask_worker.data, "cumulative_metrics", {})
        return written.get(("disk-write", "bytes"), 0)

    return int(sum(client.run(on_disk).values()))


def resampled(folder: Path, ratio: float, workers: int, memory_limit: str) -> dict[str, Any]:
    """Resample the table in a folder on a fresh cluster, return what that took."""
    from dsmote.cluster import connect
    from dsmote.job import JobSpec, prepare, write_job

    os.sync()
    spec = JobSpec(
        input=str(folder / "input"),
        output=str(folder / "output"),
        target="label",
        sampling_strategy=ratio,
        random_state=0,
    )
    with connect(n_workers=workers, threads_per_worker=1, memory_limit=memory_limit) as client:
        before = client.run(os.getpid)
        start = time.perf_counter()
        manifest = write_job(prepare(spec), client).manifest
        seconds = time.perf_counter() - start
        after = client.run(os.getpid)
        on_disk = spilled(client)
    return {
        "written": manifest["rows"]["after"],
        "seconds": seconds,
        "peaks": sorted(manifest["memory"]["peak_bytes"].values()),
        "projected": manifest["memory"]["worker_bytes"],
        "limit": parse_bytes(memory_limit),
        "workers": workers,
        "restarts": len(set(after.items()) - set(before.items())),
        "spilled": on_disk,
    }


def measure(times: float, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write a table of so many times the memory, resample it, return what that took."""
    rows = int(times * args.workers * parse_bytes(args.memory_limit) / ROW_BYTES)
    write_table(folder / "input", rows, -(-rows // FILE_ROWS), ONE_IN, FEATURES, RANK)
    sizes = {"times": times, "rows": rows, "bytes": rows * ROW_BYTES, "minority": rows // ONE_IN}
    return sizes | resampled(folder, RATIO, args.workers, args.memory_limit)


def measure_wide(shape: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write a wide table, resample it, return what that took."""
    rows, columns = (int(n) for n in shape.split("x"))
    write_wide(folder / "input", rows, columns)
    return {"rows": rows, "columns": columns} | resampled(folder, 1.0, 1, WIDE_LIMIT)


def line(of: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a table of either kind."""
    peaks = " ".join(f"{peak / MIB:,.0f}" for peak in of["peaks"])
    if "columns" in of:
        first = {"columns": f"{of['columns']:,}", "rows": f"{of['rows']:,}"}
        last = {"ratio": f"{of['projected'] / max(of['peaks']):.2f}"}
    else:
        first = {"times memory": f"{of['times']:g}", "GiB of data": f"{of['bytes'] / 2**30:.2f}"}
        first |= {"rows": f"{of['rows']:,}", "of the class": f"{of['minority']:,}"}
        last = {"limit": f"{of['limit'] / MIB:,.0f}", "restarts": f"{of['restarts']}"}
        last |= {"spilled": f"{of['spilled'] / MIB:,.0f} MiB"}
    taken = {"rows out": f"{of['written']:,}", "seconds": f"{of['seconds']:.1f}"}
    taken |= {"peaks MiB": peaks, "projected": f"{of['projected'] / MIB:,.0f}"}
    return first | taken | last


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    options = parser(__doc__, "directory", "memory-limit")
    options.set_defaults(memory_limit="512MiB")
    options.add_argument(
        "--times", type=float, action="append", help=f"sizes; may be repeated (default: {TIMES})"
    )
    options.add_argument(
        "--wide", metavar="ROWSxCOLUMNS", action="append", help=f"repeatable (default: {WIDE})"
    )
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--keep", type=Path, help="a file of the numbers, added to")
    args = options.parse_args(arguments)
    numbers = json.loads(args.keep.read_text()) if args.keep and args.keep.exists() else []
    print(f"workers: {args.workers} x 1 thread x {args.memory_limit}; {os.cpu_count()} cores")

    def in_folder(measured: Callable[..., dict[str, Any]], size: Any) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="dsmote-benchmark-", dir=args.directory) as folder:
            return measured(size, args, Path(folder))

    for times in args.times or (() if args.wide else TIMES):
        numbers = [of for of in numbers if of["times"] != times]
        numbers.append(in_folder(measure, times))
        if args.keep:
            args.keep.write_text(json.dumps(numbers))
    wide = [in_folder(measure_wide, shape) for shape in args.wide or (() if args.times else WIDE)]
    numbers.sort(key=lambda of: of["times"])
    result: dict[str, Any] = {"wide": wide, "sizes": numbers}
    if wide:
        print_table([line(of) for of in wide])
    if numbers:
        print_table([line(of) for of in numbers])
        first, last = numbers[0], numbers[-1]
        result["flatness"] = max(last["peaks"]) / max(first["peaks"])
        print(
            f"{last['bytes'] / first['bytes']:.3g} times the data: {result['flatness']:.2f} times "
            f"the peak of a worker, {last['projected'] / first['projected']:.2f} times the "
            "projection"
        )
    runs = [*numbers, *wide]
    result["kept"] = all(max(of["peaks"]) <= of["projected"] for of in runs)
    result["restarts"] = sum(of["restarts"] for of in runs)
    return result


if __name__ == "__main__":
    main()
