"""Out of core: `dsmote resample` on 10 million rows against Dask reading and writing its output.

Run: python tests/benchmarks/out_of_core.py [--rows 10000000] [--files 40] [--repeats 3]
     [--features 20] [--one-in 50] [--directory FOLDER] [--also=--sampler=adasyn]
     python tests/benchmarks/out_of_core.py --rows 100000 --files 2000 --of-input [...]

A table of features (rank 5 plus noise) and a label, one row in some of the minority, is generated
on disk. The job reads it, balances it and writes it; the plain copy reads what the job wrote and
writes it again with Dask alone: no job that makes the same table can do less. Both are processes
of their own that start the same fresh LocalCluster (2 worker processes of 1 thread and 2 GiB), both
are timed from start to exit, and they take turns; processor seconds are those of a side's processes
together. The raw speed of the disk is measured too.
With `--of-input` the plain copy is one of the input: of many small files the job makes a few.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import MIB, environment, parser, print_times, write_table


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def disk_speed(folder: Path, size: int = 256 * MIB) -> float:
    """MB/s of writing one file of `size` bytes through to the disk."""
    block = np.random.default_rng(0).bytes(8 * MIB)
    file = folder / "disk-speed"
    start = time.perf_counter()
    with file.open("wb") as handle:
        for _ in range(size // len(block)):
            handle.write(block)
        handle.flush()
        os.fsync(handle.fileno())
    seconds = time.perf_counter() - start
    file.unlink()
    return size / 1e6 / seconds


def copy(source: str, target: str, memory_limit: str) -> None:
    """Read a Parquet folder and write it again, with Dask alone (run in a process of its own)."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    size = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": memory_limit}
    with (
        LocalCluster(**size, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster),
    ):
        dd.read_parquet(source).to_parquet(target, write_index=False)


def timed(command: list[str], directory: Path) -> tuple[float, float, str]:
    """Seconds, processor seconds and output of a process, and of those that it started.

    What was written before has reached the disk by then.
    """
    os.sync()
    before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    folders = {"TMPDIR": str(directory), "DASK_TEMPORARY_DIRECTORY": str(directory)}
    start = time.perf_counter()
    done = subprocess.run(
        command, env=environment(**folders), stdout=subprocess.PIPE, text=True, check=True
    )
    cpu = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before
    return time.perf_counter() - start, cpu, done.stdout


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Generate, measure both sides in turn, print the table, return its numbers."""
    source, balanced, copied = folder / "input", folder / "balanced", folder / "copied"
    write_table(source, args.rows, args.files, args.one_in, args.features)
    print(f"input: {args.rows:,} rows x {args.features + 1} columns, {args.files} files, ", end="")
    print(f"{folder_bytes(source) / 1e6:,.0f} MB; {os.cpu_count()} cores")
    print("workers: 2 processes x 1 thread x", args.memory_limit)

    resample = [sys.executable, "-c", "from dsmote.cli import main; main()", "resample"]
    resample += [str(source), str(balanced), "--target", "label"]
    resample += [] if args.also else ["--random-state", "0"]
    resample += ["--json", "--quiet", "--n-workers", "2", "--threads-per-worker", "1"]
    resample += ["--memory-limit", args.memory_limit, *args.also]
    copying = source if args.of_input else balanced
    what = (str(copying), str(copied), args.memory_limit)
    plain = [sys.executable, "-c", f"import out_of_core; out_of_core.copy(*{what!r})"]

    seconds: dict[str, list[float]] = {"dsmote resample": [], "plain copy": []}
    cpu: dict[str, list[float]] = {side: [] for side in seconds}
    speeds, manifests = [], []
    for _ in range(args.repeats):
        shutil.rmtree(balanced, ignore_errors=True)
        shutil.rmtree(copied, ignore_errors=True)
        speeds.append(disk_speed(folder))
        for side, command in zip(seconds, (resample, plain), strict=True):
            taken, busy, out = timed(command, folder)
            seconds[side].append(taken)
            cpu[side].append(busy)
            if side == "dsmote resample":
                manifests.append(json.loads(out))
    files = sum(1 for _ in balanced.glob("*.parquet"))
    copied_files = sum(1 for _ in copied.glob("*.parquet"))
    print(f"files: {args.files:,} in, {files:,} out, {copied_files:,} of the plain copy")
    middle = print_times(seconds)
    ratio = middle["dsmote resample"] / middle["plain copy"]
    size, what = folder_bytes(copying) / 1e6, "input" if args.of_input else "output"
    print(f"the job takes {ratio:.2f} times the plain copy of its {size:,.0f} MB {what}")
    print("processor seconds:")
    busy = print_times(cpu)
    print(f"that is {busy['dsmote resample'] / busy['plain copy']:.2f} times the plain copy")
    print("disk alone:", ", ".join(f"{speed:,.0f}" for speed in speeds), "MB/s")
    return {"files": files, "ratio": ratio, **memory(manifests)}


def memory(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Print the peak of each worker in each run beside the projection."""
    projected = manifests[0]["memory"]["worker_bytes"]
    allowed = manifests[0]["memory"]["allowed_bytes"]
    peaks = []
    print("memory of the job's workers, MiB: ", end="")
    print(f"projected {projected / MIB:,.0f}, allowed {allowed / MIB:,.0f}")
    for number, manifest in enumerate(manifests, start=1):
        of_run = sorted(manifest["memory"]["peak_bytes"].values(), reverse=True)
        print(f"  run {number}: peaks", ", ".join(f"{peak / MIB:,.0f}" for peak in of_run))
        peaks += of_run
    return {
        "rows": manifests[0]["rows"]["after"],
        "peaks": peaks,
        "projected": projected,
        "seconds_inside": [manifest["seconds"] for manifest in manifests],
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    options = parser(__doc__, "repeats", "directory", "memory-limit")
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--files", type=int, default=40)
    options.add_argument("--features", type=int, default=20)
    options.add_argument("--one-in", type=int, default=50, help="rows for each of the minority")
    options.add_argument("--of-input", action="store_true", help="copy the input, not the output")
    options.add_argument("--also", action="append", default=[], help="an option of `resample`")
    args = options.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dsmote-benchmark-", dir=args.directory) as folder:
        return run(args, Path(folder))


if __name__ == "__main__":
    main()
