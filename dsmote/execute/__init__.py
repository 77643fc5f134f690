"""The only layer that knows containers: tables in memory (the serial reference) and on Dask."""

from dsmote.execute.generate import Draws, Made, Recipe, Task, take_wide
from dsmote.execute.rows import Rows
from dsmote.execute.tables import Table, read_frame, read_pair

__all__ = [
    "Draws",
    "Made",
    "Recipe",
    "Rows",
    "Table",
    "Task",
    "read_frame",
    "read_pair",
    "take_wide",
]
