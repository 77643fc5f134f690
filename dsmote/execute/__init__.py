"""The only layer that knows containers: tables in memory (the serial reference) and on Dask."""

from dsmote.execute.generate import nearest_of, take_wide
from dsmote.execute.keep import (
    Counted,
    count_classes,
    filter_lazily,
    kept_in_memory,
    take,
)
from dsmote.execute.provenance import check_free
from dsmote.execute.recipe import (
    Around,
    Bases,
    BasesOf,
    ClassIndex,
    Draws,
    Made,
    Recipe,
    Searched,
    Task,
)
from dsmote.execute.rows import Rows
from dsmote.execute.tables import Table, read_frame, read_pair

__all__ = [
    "Around",
    "Bases",
    "BasesOf",
    "ClassIndex",
    "Counted",
    "Draws",
    "Made",
    "Recipe",
    "Rows",
    "Searched",
    "Table",
    "Task",
    "check_free",
    "count_classes",
    "filter_lazily",
    "kept_in_memory",
    "nearest_of",
    "read_frame",
    "read_pair",
    "take",
    "take_wide",
]
