"""A class larger than a worker, file to file: cells beside one index in workers large enough.

Run: python tests/benchmarks/cells.py [--rows 20000000] [--one-in 4] [--memory-limit 768MiB]
     [--large 6GiB] [--features 16] [--categories 0] [--sampler NAME] [--estimates]
     [--directory FOLDER]

A table of rank 5 plus noise, one row in `--one-in` of the class that grows to the majority; with
`--categories` as many columns of 5 levels, and SMOTENC. Both runs are jobs on two fresh workers of
one thread. Printed of each: seconds, CPU seconds of the workers, peaks beside the projection,
cells; and whether the files of both are the same.

With `--estimates` only: of real tables, forced into 16 cells, to how many other cells a query goes
on, as estimated from 512 rows, as the plan does, and as it is.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dask.utils import parse_bytes
from harness import DATA, MIB, TARGETS, child, parser, print_table, write_table

ESTIMATED = ("insurance_crosssell_train", "kdd_smtp", "mammography", "phoneme", "satimage")


def add_categories(folder: Path, n: int) -> None:
    """Add columns of five levels, of which the first features decide, to the files of a folder."""
    for file in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(file)
        for j in range(n):
            level = np.clip(np.floor(table[f"x{j:02d}"] + 2.5), 0, 4).astype(int)
            table[f"c{j}"] = np.array(list("abcde"), dtype=object)[level]
        table.to_parquet(file, index=False)


def run(folder: str, name: str, route: str, memory_limit: str, sampler: str) -> dict[str, Any]:
    """Resample the table of a folder on two fresh workers; return what that took."""
    import psutil

    from dsmote.cluster import connect
    from dsmote.job import JobSpec, prepare, write_job
    from dsmote.job.logs import Log, Secrets

    output = f"{folder}/{name}"
    job = {"input": f"{folder}/input", "output": output, "target": "label", "sampler": sampler}
    spec = JobSpec(**job, random_state=0, route=route)
    with connect(n_workers=2, threads_per_worker=1, memory_limit=memory_limit) as client:
        pids = client.run(lambda: __import__("os").getpid()).values()
        start = time.perf_counter()
        log = Log(None, Secrets())
        manifest = write_job(prepare(spec), client, log).manifest
        seconds = time.perf_counter() - start
        cpu = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)
    marks = [hashlib.sha256(p.read_bytes()) for p in sorted(Path(output).glob("*.parquet"))]
    return {
        "run": name,
        "rows out": manifest["rows"]["after"],
        "seconds": seconds,
        "cpu": cpu,
        "peaks": sorted(manifest["memory"]["peak_bytes"].values()),
        "projected": manifest["memory"]["worker_bytes"],
        "limit": parse_bytes(memory_limit),
        "cells": sum(c.cells for c in log.plan.classes),
        "marks": [mark.hexdigest() for mark in marks],
    }


def estimate(name: str, data: Path) -> dict[str, float]:
    """Return estimated and true forwards a query of a real table's largest class, in 16 cells."""
    from dsmote.neighbors.cells import Cell, cut, estimate_forwards, meets
    from dsmote.neighbors.engines import TreeIndex

    table = pd.read_parquet(data / f"{name}.parquet")
    labels = table.pop(TARGETS[name])
    rows = table[labels == labels.value_counts().index[0]].select_dtypes("number").to_numpy("f8")
    rows = np.unique(rows[np.isfinite(rows).all(axis=1)], axis=0)
    rng = np.random.default_rng(0)
    sample = rows[rng.permutation(len(rows))[:512]]
    cutting = cut(rows[rng.permutation(len(rows))[: 1 << 15]], 4)
    cell, low, high = cutting.spread(rows)
    forwards = 0
    for c in range(cutting.n_cells):
        some = rows[cell == c]
        if len(some):
            no_codes = np.empty((len(some), 0), dtype=np.int32)
            here = Cell(
                some, no_codes, 0.0, lambda matrix, codes, weight: TreeIndex().build(matrix)
            )
            squares = here.home(np.arange(len(some)), 5)[0][:, -1]
            others = low.copy()
            others[c] = np.inf
            forwards += len(meets(cutting, some, squares, others, high)[0])
    least, most = estimate_forwards(sample, cutting, len(rows), 5)
    return {"rows": len(rows), "true": forwards / len(rows), "least": least, "most": most}


def line(of: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a line of the table."""
    return {
        "run": of["run"],
        "rows out": f"{of['rows out']:,}",
        "cells": f"{of['cells']}",
        "seconds": f"{of['seconds']:.1f}",
        "CPU s": f"{of['cpu']:.1f}",
        "peaks MiB": " ".join(f"{peak / MIB:,.0f}" for peak in of["peaks"]),
        "projected": f"{of['projected'] / MIB:,.0f}",
        "limit": f"{of['limit'] / MIB:,.0f}",
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    options = parser(__doc__, "data", "rows", "directory", "memory-limit")
    options.set_defaults(memory_limit="768MiB", rows=20_000_000)
    options.add_argument("--one-in", type=int, default=4)
    options.add_argument("--features", type=int, default=16)
    options.add_argument("--categories", type=int, default=0)
    options.add_argument("--sampler", help="default: smote, with categories smotenc")
    options.add_argument("--large", default="6GiB", help="memory of workers that hold the class")
    options.add_argument("--route", default="auto", help="of the run on small workers")
    options.add_argument("--estimates", action="store_true")
    args: argparse.Namespace = options.parse_args(arguments)
    if args.estimates:
        found = {name: estimate(name, args.data or DATA) for name in ESTIMATED}
        figures = ("true", "least", "most")
        print_table(
            [
                {"table": name, "rows": f"{of['rows']:,}"} | {f: f"{of[f]:.3f}" for f in figures}
                for name, of in found.items()
            ]
        )
        return found
    with tempfile.TemporaryDirectory(prefix="dsmote-benchmark-", dir=args.directory) as folder:
        files = max(2, args.rows // 250_000)
        write_table(Path(folder) / "input", args.rows, files, args.one_in, args.features)
        add_categories(Path(folder) / "input", args.categories)
        sampler = args.sampler or ("smotenc" if args.categories else "smote")
        runs = [("cells", args.route, args.memory_limit), ("broadcast", "broadcast", args.large)]
        found = [child(run, folder, *each, sampler) for each in runs]
    print_table([line(of) for of in found])
    same = found[0].pop("marks") == found[1].pop("marks")
    ratio = found[0]["cpu"] / found[1]["cpu"]
    print(f"{'the same' if same else 'OTHER'} files; {ratio:.2f} times the CPU of broadcast")
    return {"runs": found, "same": same, "ratio": ratio}


if __name__ == "__main__":
    main()
