"""A class larger than a worker, file to file: cells beside one index in workers large enough.

Run: python tests/benchmarks/cells.py [--rows 20000000] [--one-in 4] [--memory-limit 768MiB]
     [--large 6GiB] [--features 16] [--categories 0] [--sampler NAME] [--estimates]
     [--directory FOLDER]
     python tests/benchmarks/cells.py --alone [--check 1000] [--rows 10000000] [--features 10] [...]

A table of rank 5 plus noise, one row in `--one-in` of the class that grows to the majority; with
`--categories` as many columns of 5 levels, and SMOTENC. Both runs are jobs on two fresh workers of
one thread. Printed of each: seconds, CPU seconds of the workers, peaks beside the projection,
cells; and whether the files of both are the same.

With `--alone` only: the five nearest of each row among all rows, as files, from the table or from
Parquet files of numbers. With `--check` as many rows are searched for by brute force, too.

With `--estimates` only: of the largest classes of real tables and of 100,000 rows of independent
features, forced into 16 and 4 cells, what the plan says and what is: to how many other cells a
base row's query goes on, seconds of a core, pairs of rows that are compared. With `--paper` only:
what the plan says of a class of 10^9 rows.
"""

import argparse
import hashlib
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import pandas as pd
from dask.utils import parse_bytes
from harness import DATA, MIB, TARGETS, child, parser, print_table, write_table

from dsmote.execute.clean import AllRows, Decision, Rule
from dsmote.samplers.cleaning import CleanSampler

TASK_SECONDS = 1.18e-3  # of scheduler and client together, from scaling.py
FORWARDS = re.compile(r"about ([\d.e+-]+) other cells \(([\d.e+-]+) to ([\d.e+-]+)\)")
PAIRS = re.compile(r"about ([\d.e+]+) pairs of rows")
SECONDS = re.compile(r"about ([\d,.]+) core-seconds")
STAGES = ("tell", "home")
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
    from dsmote.samplers.registry import samplers

    output = f"{folder}/{name}"
    job = {"input": f"{folder}/input", "output": output, "target": "label", "sampler": sampler}
    seeded = {"random_state": 0} if samplers()[sampler]._random else {}
    spec = JobSpec(**job, **seeded, route=route)
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


class AllNearest(Rule):
    """All rows ask for their nearest."""

    rounds = 1
    told: ClassVar[Any] = 0  # it does not look at the answers

    def decide(self, of: AllRows) -> Decision:
        """Ask, and let all rows stay."""
        of.nearest(np.arange(len(of)), self.k)
        return Decision(np.ones(len(of), dtype=bool))


@dataclass(kw_only=True, eq=False, repr=False)
class Nearest(CleanSampler):
    """A sampler that finds the nearest of all rows, to measure the search alone."""

    _summary = "with all rows"
    _rule_type = AllNearest

    n_neighbors: Any = 5


def with_label(part: pd.DataFrame) -> pd.DataFrame:
    """Add two classes to rows without."""
    return part.assign(label=(np.arange(len(part)) % 2).astype("int8"))


def all_nearest(source: str, folder: str, memory_limit: str, check: int) -> dict[str, Any]:
    """Find the nearest of all rows of a folder on two fresh workers; return what that took."""
    import dask.dataframe as dd
    import psutil
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dsmote.cluster import connect
    from dsmote.execute.arrow import listed
    from dsmote.execute.resources import peak_memory
    from dsmote.plan.memory import PROCESS_BYTES

    files = sorted(Path(source).glob("*.parquet"))
    how = Nearest(route="cells", scratch=folder)
    how._process_bytes = PROCESS_BYTES  # these workers read the files only, as a job's do
    with connect(n_workers=2, threads_per_worker=1, memory_limit=memory_limit) as client:
        pids = client.run(lambda: __import__("os").getpid()).values()
        start = time.perf_counter()
        frame = dd.read_parquet(source)
        if "label" in frame.columns:
            made = how.resample(frame, target="label")
        else:  # a search alone counts nothing
            sizes = [pq.read_metadata(file).num_rows for file in files]
            counts = {label: sum((n + 1 - label) // 2 for n in sizes) for label in (0, 1)}
            frame = frame.map_partitions(with_label)
            made = how.resample(frame, target="label", class_counts=counts)
        graph = dict(made.optimize().__dask_graph__())
        told, homes = ([key for key in graph if f"{name}-0-" in str(key)] for name in STAGES)
        wanted = client.get(graph, told + homes, sync=False)
        client.gather(wanted[: len(told)])
        seconds = time.perf_counter() - start
        cpu = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)
        peaks = sorted(client.run(peak_memory).values())
        forwarded = sum(int(of["forwards"].sum()) for of in client.gather(wanted[len(told) :]))
        files = [file for file in Path(folder).rglob("*.arrow") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        n, right, sent = how.plan_.n_before, 0, 0
        for file in files:
            if "forward" in file.name:
                sent += len(np.unique(pa.ipc.open_file(file).read_all()["query"].to_numpy()))
        if check:
            came = [pa.ipc.open_file(file).read_all() for file in files if "told" in file.name]
            found = pa.concat_tables(came)
            rows = np.random.default_rng(7).choice(len(found), check, replace=False)
            ids, near = found["id"].to_numpy()[rows], listed(found["number"], 5)[rows]
            right = int((near == brute_nearest(source, ids)).all(axis=1).sum())
    (table,) = [note for note in how.plan_.notes if "cells" in note]
    return {
        "rows": n,
        "cells": len(told),
        "at home": 1.0 - sent / n,
        "forwarded": forwarded,
        "seconds": seconds,
        "cpu": cpu,
        "peaks": peaks,
        "projected": how.plan_.memory.worker_bytes,
        "limit": parse_bytes(memory_limit),
        "bytes": size,
        "note": table,
        "checked": check,
        "right": right,
    }


def brute_nearest(source: str, ids: np.ndarray, k: int = 5) -> np.ndarray:
    """Return the k nearest rows of some, by (distance, row number), looking at all."""
    tables = map(pd.read_parquet, sorted(Path(source).glob("*.parquet")))
    matrices = [table.drop(columns="label", errors="ignore").to_numpy() for table in tables]
    X = np.concatenate(matrices)
    near = np.empty((len(ids), k), dtype=np.int64)
    for i, row in enumerate(ids):
        squares = sum((column - column[row]) ** 2 for column in X.T)
        squares[row] = np.inf
        few = np.flatnonzero(squares <= np.partition(squares, k)[k])
        near[i] = few[np.lexsort((few, squares[few]))][:k]
    return near


def real(name: str, data: Path) -> pd.DataFrame:
    """Return the numbers of a real table, with its target as `label`: 1 in the largest class."""
    table = pd.read_parquet(data / f"{name}.parquet")
    labels = table.pop(TARGETS[name])
    largest = labels == labels.value_counts().index[0]
    return table.select_dtypes("number").assign(label=largest.astype(int))


def independent(n: int, features: int = 20) -> pd.DataFrame:
    """Return rows of independent features, half of them of class 1."""
    values = np.random.default_rng(0).normal(size=(2 * n, features))
    table = pd.DataFrame(values, columns=[f"x{j:02d}" for j in range(features)])
    return table.assign(label=np.arange(2 * n) % 2)


def estimate(table: pd.DataFrame, n_cells: int = 16, parts: int = 4) -> dict[str, Any]:
    """Grow class 1 of a table in cells; return what the plan says of it, and what was."""
    import dask
    import dask.dataframe as dd

    from dsmote import SMOTE
    from dsmote.neighbors.cells import Cell
    from dsmote.plan import plan

    seen = dict.fromkeys(("asking", "forwards", "pairs"), 0)

    def counted(name: str, method: Any) -> Any:
        def ask(cell: Any, queries: np.ndarray, *more: Any) -> Any:
            seen[name] += len(queries)
            seen["pairs"] += len(queries) * cell.n_rows
            return method(cell, queries, *more)

        return ask

    table = table.sample(frac=1.0, random_state=0, ignore_index=True)
    n = int((table["label"] == 1).sum())
    configured = dask.config.set({"scheduler": "synchronous"})
    scratch = tempfile.TemporaryDirectory(prefix="dsmote-benchmark-")
    with configured, scratch as folder, patch.object(plan, "CELL_ROWS", -(-n // n_cells)):
        home, inside = counted("asking", Cell.home), counted("forwards", Cell.inside)
        frame = dd.from_pandas(table, npartitions=parts, sort=False)
        how = SMOTE(route="cells", sampling_strategy={1: 2 * n}, missing="skip", random_state=0)
        made = how.set_params(scratch=folder).resample(frame, target="label")
        start = time.process_time()
        with patch.object(Cell, "home", home), patch.object(Cell, "inside", inside):
            made.map_partitions(len).compute()
        seconds = time.process_time() - start
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    (note,) = [note for note in how.plan_.notes if "cells" in note]
    best, least, most = map(float, FORWARDS.search(note).groups())
    pairs = PAIRS.search(note)
    return {
        "rows": n,
        "true": seen["forwards"] / seen["asking"],
        "estimate": best,
        "least": least,
        "most": most,
        "pairs": seen["pairs"],
        "expected pairs": float(pairs.group(1)) if pairs else None,
        "seconds": seconds,
        "expected seconds": float(SECONDS.search(note).group(1).replace(",", "")),
        "bytes": size,
        "note": note,
    }


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


def n_tasks(partitions: int, cells: int, blocks: int) -> int:
    """Return the tasks of a graph in which one class is cut into cells."""
    return 4 * partitions + 3 * cells + 2 * blocks + 6


def on_paper(workers: int = 200, memory: str = "64GiB") -> str:
    """Say what the plan says of a class of 10^9 rows in a table of 10^10."""
    from dsmote.plan import Limit, make_plan, make_schema
    from dsmote.plan.memory import Needs, format_bytes
    from dsmote.plan.profile import Profile
    from dsmote.plan.work import cell_work

    n, features, part = 10**9, 16, 250_000
    counts, width = {0: 9 * n, 1: n}, 8 * features + 8
    names = [f"x{j:02d}" for j in range(features)]
    plan = make_plan(
        sampler="SMOTE",
        seed=0,
        schema=make_schema(names, [np.dtype("f8")] * features),
        profile=Profile(rows=10 * n, counts=counts, usable=counts, assumed=True),
        new={1: n},
        needs=Needs(5, cells=True),
        engines={1: ("tree", "as assumed")},
        partition_bytes=part * width,
        row_bytes=width,
        limit=Limit(parse_bytes(memory), 1, "a worker's memory limit"),
    )
    plan.check()
    c, partitions, forwards, dimension = plan.classes[1], 10 * n // part, 2.0, 5.0
    work = cell_work(c, forwards, dimension, 8 * features + 32, partitions)
    without = cell_work(c, forwards, dimension, 8 * features + 32, 0)
    tasks = n_tasks(partitions, c.cells, len(plan.blocks))
    offsets = 8 * (partitions * c.cells + (1 + (c.k or 0)) * c.cells**2)
    worker, cell = format_bytes(plan.memory.worker_bytes), format_bytes(plan.memory.generate_bytes)
    seconds, slices = work.seconds, work.seconds - without.seconds
    return f"""\
on paper: {10 * n:,} rows x {features} features, {n:,} of the class that grows to twice
its rows; {workers} workers of {memory} and one thread; assumed: a base row asks \
{forwards:g} other cells,
and rows spread in {dimension:g} dimensions, as in a table of rank 5 and noise
  cells        {c.cells:,} of at most {c.cell_rows:,} rows
  memory       {worker} in the one worker that allocates new rows to base rows, 48 bytes a
               row of the class; {cell} in the task of a cell
  scratch      {work.bytes / 1e12:.2f} TB of files, {offsets / 1e6:,.0f} MB of offsets in them
  tasks        {tasks:,}: {partitions:,} partitions, {c.cells:,} cells, {len(plan.blocks):,} \
blocks of new rows
  scheduler    {tasks * TASK_SECONDS:,.0f} s at {TASK_SECONDS * 1e3:.2f} ms a task
  search       {seconds:,.0f} core-seconds, {seconds / workers:,.0f} s on each worker, of which
               {slices / workers:,.0f} s open slices of partitions and cells
"""


def alone(args: argparse.Namespace, source: str, folder: str) -> dict[str, Any]:
    """Run the search alone; print and return its numbers."""
    scratch = Path(folder) / "scratch"
    scratch.mkdir()
    of = child(all_nearest, source, str(scratch), args.memory_limit, args.check)
    print(of["note"])
    numbers = {"rows out": of["rows"], "run": "alone"}
    more = {
        "at home": f"{of['at home']:.3f}",
        "forwarded": f"{of['forwarded']:,}",
        "MB": f"{of['bytes'] / 1e6:,.0f}",
        "right": f"{of['right']:,} of {of['checked']:,}",
    }
    print_table([line(of | numbers) | more])
    return dict(of)


def estimated(of: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a line of the table of estimates."""
    pairs = of["expected pairs"]
    return {
        "rows": f"{of['rows']:,}",
        **{name: f"{of[name]:.3f}" for name in ("true", "estimate", "least", "most")},
        "core s": f"{of['seconds']:.1f}",
        "expected": f"{of['expected seconds']:,.1f}",
        "pairs": f"{of['pairs']:.1e}",
        "expected ": f"{pairs:.1e}" if pairs else "",
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
    options.add_argument("--alone", action="store_true", help="the search alone")
    options.add_argument("--input", help="of the search alone: a folder of Parquet files")
    options.add_argument("--check", type=int, default=0, help="rows to search by brute force, too")
    options.add_argument("--paper", action="store_true")
    args: argparse.Namespace = options.parse_args(arguments)
    if args.paper:
        print(on_paper())
        return {}
    if args.estimates:
        found = {name: estimate(real(name, args.data or DATA)) for name in ESTIMATED}
        found["independent"] = estimate(independent(100_000), 4)
        print_table([{"table": name} | estimated(of) for name, of in found.items()])
        return found
    with tempfile.TemporaryDirectory(prefix="dsmote-benchmark-", dir=args.directory) as folder:
        if args.input and args.alone:
            return alone(args, args.input, folder)
        files = max(2, args.rows // 250_000)
        write_table(Path(folder) / "input", args.rows, files, args.one_in, args.features)
        if args.alone:
            return alone(args, f"{folder}/input", folder)
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
