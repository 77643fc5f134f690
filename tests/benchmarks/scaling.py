"""Scaling: what graph, scheduler and index cost, and what that says of a large cluster.

Run: python tests/benchmarks/scaling.py [--partitions N] [--files N] [--run N] [--rows N]
     [--network GB/s] [--speed MB/s]

  graph      100 to 100,000 partitions of 250,000 rows (16 features and a label), made by a function
             that is never called: tasks, bytes that are sent to the scheduler, seconds to build
             them and to pack them, and seconds that a scheduler takes to take them in, all of
             processor time
  files      the same for a job's Parquet files, whose footers are read first
  run        1,000 and 10,000 partitions of 50 rows, really run by two worker processes: seconds and
             processor time of scheduler and client, per task
  broadcast  bytes that each worker is sent: the rows of a class with their index

Last, on paper: 10^10 rows on 1,000 workers, from these numbers. Each measurement is made in a
process of its own.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FEATURES = 16
ROW_BYTES = 8 * FEATURES + 1
PART_ROWS, TINY_ROWS, ONE_IN = 250_000, 50, 25
FEW = 1_000_000  # rows of the class that grows, in tables that are never read
RATIO = 0.1
GRAPHS, FILES, RUNS, CLASSES = (
    (100, 1_000, 10_000, 100_000),
    (100, 1_000, 10_000),
    (1_000, 10_000),
    (10_000, 100_000, 1_000_000),
)
MIB = 2**20
PATIENCE = 1800  # seconds that a scheduler may be busy with what it was sent
QUIET: dict[str, Any] = {  # no dashboard, and the metrics on any free port
    "host": "127.0.0.1",
    "dashboard_address": None,
    "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},
}


def part(number: int, rows: int = TINY_ROWS, one_in: int = ONE_IN) -> pd.DataFrame:
    """Make one partition; one row in `one_in` is of class 1."""
    rng = np.random.default_rng(number)
    label = (np.arange(rows) % one_in == one_in - 1).astype("int8")
    values = rng.normal(size=(rows, 4)) @ np.eye(4, FEATURES) + label[:, None]
    frame = pd.DataFrame(values, columns=[f"x{i:02d}" for i in range(FEATURES)])
    frame["label"] = label
    return frame


def lazy_parts(
    frame: Any, counts: dict[int, int], folder: str = "nowhere", ratio: float = RATIO
) -> tuple[Any, list[Any]]:
    """Resample lazily, and add the tasks with which a job writes the parts; return those."""
    import pyarrow as pa

    from dsmote import SMOTE
    from dsmote.job.parts import Layout, ToWrite, write_tasks

    sampler = SMOTE(sampling_strategy=ratio, random_state=0)
    made = sampler.resample(frame, target="label", class_counts=counts)
    layout = Layout(pa.Schema.from_pandas(made._meta, preserve_index=False), "label")
    partitions = made.to_delayed(optimize_graph=False)
    parts = [
        ToWrite(i, f"part-{i:06d}.parquet", partition, layout)
        for i, partition in enumerate(partitions)
    ]
    tasks, ends = write_tasks(parts, folder)
    return made, [*tasks, *ends]


def packed(tasks: list[Any]) -> int:
    """Bytes of tasks as the client sends them (see Client.compute)."""
    from dask._expr import FinalizeCompute
    from dask.base import collections_to_expr
    from distributed.protocol import serialize, to_serialize
    from distributed.utils import nbytes

    expression = FinalizeCompute(collections_to_expr(tasks, False)).optimize()
    header, frames = serialize(to_serialize(expression))
    return sum(map(nbytes, [header, *frames]))


def taken_in(tasks: list[Any], packing: float) -> float:
    """Seconds that a scheduler without workers, in this process, needs until it knows the tasks."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=0, **QUIET) as cluster, Client(cluster, timeout=PATIENCE) as client:
        start = time.process_time()
        futures = client.compute(tasks, optimize_graph=False)
        while "update-graph" not in {
            event.get("action") for _, event in client.get_events("scheduler")
        }:
            time.sleep(0.1)
        seconds = time.process_time() - start
        # Not cancelled: what that costs grows with the square of their number.
        del futures
    return max(0.0, seconds - packing)


def measured_graph(frame: Any, partitions: int, counts: dict[int, int]) -> dict[str, Any]:
    """Build, pack and send the graph of a lazy frame."""
    import warnings

    import dask.dataframe as dd

    lazy_parts(dd.from_map(part, [0], meta=part(0).iloc[:0]), {0: 90, 1: 8})  # imports
    start = time.process_time()
    made, tasks = lazy_parts(frame, counts)
    built = time.process_time()
    size = packed(tasks)
    done = time.process_time()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        seconds = taken_in(tasks, done - built)
    return {
        "partitions": partitions,
        "tasks": len(made.__dask_graph__()) + len(tasks),
        "bytes": size,
        "build": built - start,
        "pack": done - built,
        "scheduler": seconds,
    }


def graph(partitions: int) -> dict[str, Any]:
    """Measure the graph of partitions that are never made."""
    import dask.dataframe as dd

    frame = dd.from_map(part, range(partitions), meta=part(0).iloc[:0])
    return measured_graph(frame, partitions, {0: PART_ROWS * partitions - FEW, 1: FEW})


def files(partitions: int) -> dict[str, Any]:
    """Measure the graph of a job on so many Parquet files, and the reading of their footers."""
    from dsmote.job import JobSpec, prepare

    with tempfile.TemporaryDirectory(prefix="dsmote-benchmark-") as folder:
        for number in range(partitions):
            part(number).to_parquet(Path(folder, f"{number:06d}.parquet"), index=False)
        start = time.perf_counter()
        job = prepare(JobSpec(input=folder, target="label"))
        seconds = time.perf_counter() - start
        frame = job.source.frame()
        few = partitions * TINY_ROWS // ONE_IN
        of = measured_graph(frame, partitions, {0: (ONE_IN - 1) * few, 1: few})
    return {**of, "footers": seconds}


def run(partitions: int) -> dict[str, Any]:
    """Run a graph of tiny partitions on two worker processes."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster, wait

    frame = dd.from_map(part, range(partitions), meta=part(0).iloc[:0])
    few = partitions * TINY_ROWS // ONE_IN
    with (
        tempfile.TemporaryDirectory(prefix="dsmote-benchmark-") as folder,
        LocalCluster(n_workers=2, threads_per_worker=1, **QUIET) as cluster,
        Client(cluster) as client,
    ):
        made, tasks = lazy_parts(frame, {0: (ONE_IN - 1) * few, 1: few}, folder)
        client.run(import_module, "dsmote.samplers")
        start, busy = time.perf_counter(), time.process_time()
        futures = client.compute(tasks, optimize_graph=False)
        wait(futures)
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        assert futures[0].result().rows == TINY_ROWS
    n = len(made.__dask_graph__()) + len(tasks)
    return {"partitions": partitions, "tasks": n, "seconds": seconds, "busy": busy}


def broadcast(rows: int) -> dict[str, Any]:
    """Build the index of a class of so many rows; return the bytes that travel to a worker."""
    import dask
    import dask.dataframe as dd
    from distributed.protocol import serialize, to_serialize
    from distributed.utils import nbytes

    frame = dd.from_map(part, [0], rows=3 * rows, one_in=3, meta=part(0).iloc[:0])
    made, _ = lazy_parts(frame, {0: 2 * rows, 1: rows}, ratio=1.0)
    tasks = dict(made.__dask_graph__())
    (key,) = [key for key in tasks if key[0].startswith("index-")]
    start = time.perf_counter()
    index = dask.get(tasks, key)
    seconds = time.perf_counter() - start
    header, frames = serialize(to_serialize(index))
    return {
        "rows": rows,
        "rows_bytes": rows * ROW_BYTES,
        "bytes": sum(map(nbytes, [header, *frames])),
        "seconds": seconds,
    }


def child(name: str, n: int) -> dict[str, Any]:
    """Measure in a process of its own, in which this file is a module that workers can import."""
    here = Path(__file__).resolve()
    folders = [str(here.parent), str(here.parents[2])]
    path = os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH")]))
    program = f"import json, {here.stem} as b; print(json.dumps(b.{name}({n})))"
    # LocalCluster's processes import the main module only behind this guard.
    program = f"if __name__ == '__main__':\n    {program}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    return json.loads(done.stdout.splitlines()[-1])


def graphs(name: str, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure and print graphs."""
    print(f"\n{name}: processor seconds to build, to pack, and of the scheduler to take in")
    print(
        f"{'partitions':>10}{'tasks':>10}{'MiB sent':>10}{'build':>8}{'pack':>8}{'scheduler':>11}"
        f"{'bytes':>8}{'microseconds per partition':>28}"
    )
    numbers = []
    for n in sizes:
        of = child(name, n)
        each = (of["build"] + of["pack"] + of["scheduler"]) / n * 1e6
        line = f"{n:>10,}{of['tasks']:>10,}{of['bytes'] / MIB:>10.2f}{of['build']:>8.2f}"
        line += f"{of['pack']:>8.2f}{of['scheduler']:>11.2f}{of['bytes'] / n:>8.0f}{each:>28.0f}"
        footers = f"   footers {of['footers']:.2f} s" if "footers" in of else ""
        print(line + footers, flush=True)
        numbers.append(of)
    return numbers


def runs(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure and print graphs that are run."""
    print("\nrun: tiny partitions on two workers; busy: scheduler and client, one process")
    print(f"{'partitions':>10}{'tasks':>10}{'seconds':>10}{'busy s':>10}{'busy ms per task':>18}")
    numbers = []
    for n in sizes:
        of = child("run", n)
        each = of["busy"] / of["tasks"] * 1e3
        print(f"{n:>10,}{of['tasks']:>10,}{of['seconds']:>10.1f}{of['busy']:>10.1f}{each:>18.2f}")
        numbers.append(of)
    return numbers


def broadcasts(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure and print what each worker is sent."""
    print("\nbroadcast: sent to each worker, once")
    print(
        f"{'class rows':>12}{'MiB of rows':>13}{'MiB sent':>10}{'bytes a row':>13}"
        f"{'built in s':>12}"
    )
    numbers = []
    for n in sizes:
        of = child("broadcast", n)
        print(
            f"{n:>12,}{of['rows_bytes'] / MIB:>13.1f}{of['bytes'] / MIB:>10.1f}"
            f"{of['bytes'] / n:>13.0f}{of['seconds']:>12.2f}",
            flush=True,
        )
        numbers.append(of)
    return numbers


def on_paper(
    graph: dict[str, Any], run: dict[str, Any], index: dict[str, Any], args: argparse.Namespace
) -> dict[str, float]:
    """Work out a job on a large cluster from what was measured; print it."""
    rows, workers, few = 10**10, 1_000, FEW
    partitions = rows // PART_ROWS
    per = partitions / graph["partitions"]
    tasks = graph["tasks"] * per
    counting = 2 * partitions
    sent = index["bytes"] / index["rows"] * few
    network, speed = args.network * 1e9, args.speed * 1e6
    rounds = math.ceil(math.log2(workers))
    table = rows * ROW_BYTES
    found = {
        "partitions": partitions,
        "tasks": tasks + counting,
        "graph_bytes": graph["bytes"] * per,
        "client": (graph["build"] + graph["pack"]) * per,
        "taken_in": graph["scheduler"] * per,
        "scheduler": (tasks + counting) * run["busy"] / run["tasks"],
        "sent_bytes": sent,
        "gather": few * ROW_BYTES / network,
        "spread": rounds * sent / network,
        "data": table / workers / speed,
    }
    each = run["busy"] / run["tasks"] * 1e3
    lines = [
        f"\non paper: {rows:,} rows x {FEATURES + 1} columns ({table / 1e12:.2f} TB in memory), "
        f"{few:,} of the class that grows;",
        f"{workers:,} workers that read, resample and write {args.speed:g} MB/s each; network "
        f"{args.network:g} GB/s",
        f"  partitions   {partitions:,} of {PART_ROWS:,} rows; {found['tasks']:,.0f} tasks, with "
        "those of the pass that counts",
        f"  graph        {found['graph_bytes'] / 1e6:.0f} MB; {found['client']:.0f} s in the "
        f"client, {found['taken_in']:.0f} s until the scheduler has it",
        f"  scheduler    {found['scheduler']:.0f} s at {each:.2f} ms a task",
        f"  data         {found['data']:.0f} s on each worker",
        f"  class        {few * ROW_BYTES / 1e6:.0f} MB gathered by one worker, "
        f"{found['gather']:.1f} s",
        f"  index        {sent / 1e6:.0f} MB to each worker, {sent * workers / 1e9:.0f} GB in all: "
        f"{found['spread']:.1f} s",
        f"               where those that have it pass it on ({rounds} rounds), "
        f"{sent * workers / network:.0f} s from one",
    ]
    if found["scheduler"] > found["data"]:
        enough = found["data"] * workers / found["scheduler"]
        lines.append(
            f"  so one scheduler is the limit, and {enough:,.0f} workers keep it busy: "
            "take larger partitions"
        )
    else:
        lines.append("  so the data are the limit, and one scheduler is enough")
    print("\n".join(lines))
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, sizes in (("partitions", GRAPHS), ("files", FILES), ("run", RUNS), ("rows", CLASSES)):
        parser.add_argument(f"--{name}", type=int, action="append", help=f"default: {sizes}")
    parser.add_argument("--network", type=float, default=1.0, help="GB/s between two workers")
    parser.add_argument(
        "--speed", type=float, default=60.0, help="MB/s of a worker: see bounded_memory.py"
    )
    args = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores; tables of {FEATURES} features and a label")
    numbers: dict[str, Any] = {
        "graph": graphs("graph", args.partitions or GRAPHS),
        "files": graphs("files", args.files or FILES),
        "run": runs(args.run or RUNS),
        "broadcast": broadcasts(args.rows or CLASSES),
    }
    last = (numbers[name][-1] for name in ("graph", "run", "broadcast"))
    return {**numbers, "paper": on_paper(*last, args)}


if __name__ == "__main__":
    main()
