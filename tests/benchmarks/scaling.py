"""Scaling: what graph, scheduler and index cost, and what that says of a large cluster.

Run: python tests/benchmarks/scaling.py [--partitions N] [--run N] [--rows N]
     [--network GB/s] [--speed MB/s]

  graph      100 to 100,000 partitions of 250,000 rows (16 features and a label), made by a function
             that is never called: tasks, bytes that are sent to the scheduler, seconds to build
             them and to pack them, and seconds that a scheduler takes to take them in, all of
             processor time
  run        1,000 and 10,000 partitions of 50 rows, really run by two worker processes: seconds and
             processor time of scheduler and client, per task
  broadcast  bytes that each worker is sent: the rows of a class with their index

Last, on paper: 10^10 rows on 1,000 workers, from these numbers. Each measurement is made in a
process of its own.
"""

import argparse
import math
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from harness import MIB, child, parser, print_table

FEATURES = 16
ROW_BYTES = 8 * FEATURES + 1
PART_ROWS, TINY_ROWS, ONE_IN = 250_000, 50, 25
FEW = 1_000_000  # rows of the class that grows, in tables that are never read
RATIO = 0.1
GRAPHS, RUNS = (100, 1_000, 10_000, 100_000), (1_000, 10_000)
CLASSES = (10_000, 100_000, 1_000_000)
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


def graph(partitions: int) -> dict[str, Any]:
    """Build, pack and send the graph of partitions that are never made."""
    import dask.dataframe as dd

    frame = dd.from_map(part, range(partitions), meta=part(0).iloc[:0])
    lazy_parts(dd.from_map(part, [0], meta=part(0).iloc[:0]), {0: 90, 1: 8})  # imports
    start = time.process_time()
    made, tasks = lazy_parts(frame, {0: PART_ROWS * partitions - FEW, 1: FEW})
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
    (key,) = [key for key in tasks if key[0].startswith("neighbours-")]
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


def graph_line(of: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a graph."""
    n = of["partitions"]
    seconds = {name: of[name] for name in ("build", "pack", "scheduler")}
    return {
        "partitions": f"{n:,}",
        "tasks": f"{of['tasks']:,}",
        "MiB sent": f"{of['bytes'] / MIB:.2f}",
        **{name: f"{taken:.2f}" for name, taken in seconds.items()},
        "bytes": f"{of['bytes'] / n:.0f}",
        "microseconds per partition": f"{sum(seconds.values()) / n * 1e6:.0f}",
    }


def run_line(of: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a graph that was run."""
    return {
        "partitions": f"{of['partitions']:,}",
        "tasks": f"{of['tasks']:,}",
        "seconds": f"{of['seconds']:.1f}",
        "busy s": f"{of['busy']:.1f}",
        "busy ms per task": f"{of['busy'] / of['tasks'] * 1e3:.2f}",
    }


def broadcast_line(of: dict[str, Any]) -> dict[str, str]:
    """Return the cells of what each worker is sent."""
    return {
        "class rows": f"{of['rows']:,}",
        "MiB of rows": f"{of['rows_bytes'] / MIB:.1f}",
        "MiB sent": f"{of['bytes'] / MIB:.1f}",
        "bytes a row": f"{of['bytes'] / of['rows']:.0f}",
        "built in s": f"{of['seconds']:.2f}",
    }


CASES = {
    "graph": ("partitions", GRAPHS, graph_line, "processor seconds"),
    "run": ("run", RUNS, run_line, "tiny partitions on two workers; busy: scheduler and client"),
    "broadcast": ("rows", CLASSES, broadcast_line, "sent to each worker, once"),
}


def on_paper(
    graph: dict[str, Any], run: dict[str, Any], index: dict[str, Any], args: argparse.Namespace
) -> dict[str, float]:
    """Work out a job on a large cluster from what was measured; print it."""
    rows, workers, few = 10**10, 1_000, FEW
    partitions = rows // PART_ROWS
    per = partitions / graph["partitions"]
    tasks = graph["tasks"] * per + 2 * partitions  # those of the pass that counts
    sent, table = index["bytes"] / index["rows"] * few, rows * ROW_BYTES
    network, each = args.network * 1e9, run["busy"] / run["tasks"]
    rounds = math.ceil(math.log2(workers))
    scheduler, data = tasks * each, table / workers / (args.speed * 1e6)
    print(f"""
on paper: {rows:,} rows x {FEATURES + 1} columns ({table / 1e12:.2f} TB in memory), {few:,} of the \
class that grows;
{workers:,} workers that read, resample and write {args.speed:g} MB/s each; network \
{args.network:g} GB/s
  partitions   {partitions:,} of {PART_ROWS:,} rows; {tasks:,.0f} tasks, with those of the pass \
that counts
  graph        {graph["bytes"] * per / 1e6:.0f} MB; {(graph["build"] + graph["pack"]) * per:.0f} s \
in the client, {graph["scheduler"] * per:.0f} s until the scheduler has it
  scheduler    {scheduler:.0f} s at {each * 1e3:.2f} ms a task
  data         {data:.0f} s on each worker
  class        {few * ROW_BYTES / 1e6:.0f} MB gathered by one worker, \
{few * ROW_BYTES / network:.1f} s
  index        {sent / 1e6:.0f} MB to each worker, {sent * workers / 1e9:.0f} GB in all: \
{rounds * sent / network:.1f} s
               where those that have it pass it on ({rounds} rounds), \
{sent * workers / network:.0f} s from one""")
    if scheduler > data:
        enough = f"{data * workers / scheduler:,.0f} workers keep it busy: take larger partitions"
        print("  so one scheduler is the limit, and", enough)
    else:
        print("  so the data are the limit, and one scheduler is enough")
    return {"partitions": partitions, "tasks": tasks}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark; return its numbers."""
    options = parser(__doc__)
    for name, sizes, _, _ in CASES.values():
        options.add_argument(f"--{name}", type=int, action="append", help=f"default: {sizes}")
    options.add_argument("--network", type=float, default=1.0, help="GB/s between two workers")
    options.add_argument(
        "--speed", type=float, default=60.0, help="MB/s of a worker: see bounded_memory.py"
    )
    args = options.parse_args(arguments)
    print(f"{os.cpu_count()} cores; tables of {FEATURES} features and a label")
    numbers: dict[str, Any] = {}
    for case, (name, sizes, line, what) in CASES.items():
        numbers[case] = [child(globals()[case], n) for n in getattr(args, name) or sizes]
        print(f"\n{case}: {what}")
        print_table([line(of) for of in numbers[case]])
    last = (numbers[name][-1] for name in ("graph", "run", "broadcast"))
    return {**numbers, "paper": on_paper(*last, args)}


if __name__ == "__main__":
    main()
