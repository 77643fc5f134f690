"""The only layer that knows containers: tables in memory (the serial reference) and on Dask."""

from dsmote.execute.generate import Draws, Made, Recipe, Task, take_wide
from dsmote.execute.keep import (
    Counted,
    count_classes,
    filter_lazily,
    kept_in_memory,
    take,
)
from dsmote.execute.rows import Rows
from dsmote.execute.tables import Table, read_frame, read_pair

__all__ = [
    "Counted",
    "Draws",
    "Made",
    "Recipe",
    "Rows",
    "Table",
    "Task",
    "count_classes",
    "filter_lazily",
    "kept_in_memory",
    "read_frame",
    "read_pair",
    "take",
    "take_wide",
]
