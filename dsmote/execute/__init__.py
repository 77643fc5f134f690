"""The only layer that knows containers: tables in memory (the serial reference) and on Dask."""

from dsmote.execute.generate import check_free
from dsmote.execute.keep import (
    Counted,
    count_classes,
    filter_lazily,
    kept_in_memory,
    take,
)
from dsmote.execute.recipe import (
    Around,
    Bases,
    ClassContext,
    ClassIndex,
    Draws,
    Ends,
    Made,
    Recipe,
    SearchSpace,
    Task,
    on_segments,
    other_classes,
    vote_on,
)
from dsmote.execute.rows import Rows
from dsmote.execute.tables import Table, read_frame, read_pair

__all__ = [
    "Around",
    "Bases",
    "ClassContext",
    "ClassIndex",
    "Counted",
    "Draws",
    "Ends",
    "Made",
    "Recipe",
    "Rows",
    "SearchSpace",
    "Table",
    "Task",
    "check_free",
    "count_classes",
    "filter_lazily",
    "kept_in_memory",
    "on_segments",
    "other_classes",
    "read_frame",
    "read_pair",
    "take",
    "vote_on",
]
