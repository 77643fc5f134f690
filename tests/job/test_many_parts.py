"""Many parts: what the scheduler needs to put the tasks in order grows as their number does."""

import tracemalloc

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from dask._task_spec import convert_legacy_graph
from dask.base import collections_to_expr
from dask.core import get_dependencies
from dask.order import order

from dsmote import SMOTE
from dsmote.job.parts import ENDS, Layout, ToWrite, write_tasks

META = pd.DataFrame({"x": np.empty(0), "y": np.empty(0, dtype="int8")})


def never(number):
    raise AssertionError(number)


def written(n):
    """The tasks of a job on n partitions, whose new rows are a block for each ten of them."""
    frame = dd.from_map(never, range(n), meta=META)
    counts = {0: 1_000_000 * n, 1: 1_000_000}
    sampler = SMOTE(sampling_strategy={1: 1_000_000 + n * 25_000}, random_state=0)
    made = sampler.resample(frame, target="y", class_counts=counts)
    layout = Layout(pa.Schema.from_pandas(META, preserve_index=False), "y")
    partitions = made.to_delayed(optimize_graph=False)
    return write_tasks(
        [ToWrite(i, f"{i}.parquet", of, layout) for i, of in enumerate(partitions)], "out"
    )


def ordering(n):
    """Bytes that Dask needs to order the tasks, at the peak."""
    tasks, ends = written(n)
    graph = convert_legacy_graph(
        dict(collections_to_expr([*tasks, *ends], False).optimize().__dask_graph__())
    )
    tracemalloc.start()
    try:
        assert len(order(graph)) == len(graph)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_to_order_the_tasks():
    assert ordering(4_000) / ordering(1_000) < 5  # without tasks that follow: more than 8


def test_many_parts_are_followed_each_by_one_task_and_few_are_not():
    tasks, ends = written(100)
    assert len(tasks) == 110 and ends == []
    tasks, ends = written(1_000)
    assert len(tasks) == 1_100 and len(ends) == ENDS - 2  # of 18 each
    followed = [key for end in ends for key in get_dependencies(end.dask, end.key)]
    assert sorted(followed) == sorted(task.key for task in tasks)
