"""Where rows came from: the columns that say so.

====================  =========================================================================
``synthetic``         whether the row was made
``base_row``          number of the row of the input it was made from, counted from 0
``neighbour_row``     number of the neighbour, where there is one
``gap``               new = base + gap (neighbour - base)
``<carried>_base``    the base row's value in a carried column
``<carried>_neighbour``  the neighbour's
====================  =========================================================================

In original rows all but the first are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dsmote.execute.recipe import Made
from dsmote.execute.rows import Rows
from dsmote.plan import Schema

__all__ = ["came_from", "check_free", "empty_provenance", "of_originals", "with_provenance"]

FLAG = "synthetic"


def _parents(schema: Schema) -> list[tuple[int, str, str]]:
    """Return position, and names of the parents' columns, of each carried column."""
    names = [(i, schema.columns[i].name) for i in schema.carried]
    return [(i, f"{name}_base", f"{name}_neighbour") for i, name in names]


def _parent_dtype(dtype: Any) -> Any:
    return object if isinstance(dtype, pd.CategoricalDtype) else dtype


def check_free(names: Sequence[Any], kind: str, schema: Schema) -> None:
    """Refuse to overwrite a column of the table.

    Raises
    ------
    ValueError
        The table has a column of that name.
    """
    taken = [name for name in empty_provenance(kind, schema).columns if name in names]
    if taken:
        raise ValueError(
            f"provenance={kind!r} adds the column {taken[0]!r}, which the table has already; "
            "rename it"
        )


def empty_provenance(kind: str, schema: Schema) -> pd.DataFrame:
    """Return the columns that are added, without rows.

    Examples
    --------
    >>> list(empty_provenance("full", Schema(())).columns)
    ['synthetic', 'base_row', 'neighbour_row', 'gap']
    """
    return of_originals(pd.RangeIndex(0), kind, schema)


def of_originals(index: pd.Index, kind: str, schema: Schema) -> pd.DataFrame:
    """Return the provenance of rows that were there before."""
    n = len(index)
    columns: dict[str, Any] = {FLAG: np.zeros(n, dtype=bool)}
    if kind == "full":
        nothing = pd.array([None] * n, dtype="Int64")
        columns |= {"base_row": nothing, "neighbour_row": nothing, "gap": np.full(n, np.nan)}
        for i, base, neighbour in _parents(schema):
            dtype = _parent_dtype(schema.columns[i].dtype)
            missing = pd.Series([None] * n, dtype=dtype).array
            columns |= {base: missing, neighbour: missing}
    return pd.DataFrame(columns, index=index)


def with_provenance(table: pd.DataFrame, provenance: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its provenance as further columns; one named None stays so."""
    joined = pd.concat([table, provenance], axis=1)
    if None in list(table.columns):  # of which pandas makes NaN among texts
        joined.columns = pd.Index([*table.columns, *provenance.columns], dtype=object)
    return joined


def came_from(rows: Rows, made: Made, kind: str, schema: Schema, index: pd.Index) -> pd.DataFrame:
    """Return the provenance of new rows.

    Parameters
    ----------
    rows : Rows
        The rows of their class; `beside` holds the carried columns.
    made : Made
        The new rows.
    kind : {"flag", "full"}
    schema : Schema
        The columns of the output.
    index : Index
        Index of the new rows.
    """
    n = len(made.bases)
    columns: dict[str, Any] = {FLAG: np.ones(n, dtype=bool)}
    if kind == "full":
        nothing = pd.array([None] * n, dtype="Int64")
        toward = nothing if made.neighbours is None else pd.array(made.neighbours, dtype="Int64")
        gaps = np.full(n, np.nan) if made.gaps is None else made.gaps
        base_row = pd.array(rows.numbers[made.bases], dtype="Int64")
        columns |= {"base_row": base_row, "neighbour_row": toward, "gap": gaps}
        near = _among(rows, made)
        for i, base, neighbour in _parents(schema):
            assert rows.beside is not None
            values = rows.beside[schema.columns[i].name]
            dtype = _parent_dtype(schema.columns[i].dtype)
            # As Series: of an array of objects that are text, pandas would make text.
            columns[base] = values.take(made.bases).astype(dtype).set_axis(index)
            found = values.take(np.maximum(near, 0)).astype(dtype).reset_index(drop=True)
            found = found.where(pd.Series(near >= 0)).astype(dtype)
            columns[neighbour] = found.set_axis(index)
    return pd.DataFrame(columns, index=index)


def _among(rows: Rows, made: Made) -> np.ndarray:
    """Return where the neighbours stand among the rows of the class; -1 where they do not.

    A neighbour of another class (BorderlineSMOTE of the second kind) is known by its number only.
    """
    if made.neighbours is None:
        return np.full(len(made.bases), -1)
    at = np.minimum(np.searchsorted(rows.numbers, made.neighbours), len(rows) - 1)
    return np.where(rows.numbers[at] == made.neighbours, at, -1)
