"""How the rows of a part become files: folders by value, row groups, compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dsmote.job.sources import as_pandas, look_at, with_pandas_dtypes

#: Folders of one part, at most: more would make files of a few rows each.
MOST_FOLDERS = 1000
#: Bytes of a folder's name, at most, on file systems.
LONGEST_NAME = 255
#: Readers take it for a missing value.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
#: Values of a column that are looked at to tell whether they repeat.
DICTIONARY_SAMPLE = 4096


@dataclass(frozen=True)
class Layout:
    """How parts are written.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of all columns, those that become folders among them.
    target : str
        The column whose labels are counted.
    partition_by : tuple of str
        Columns whose values become folders, ``column=value/``, and are not in the files.
    row_group_rows : int, optional
        Rows of a row group; Arrow's own bound where it is not given.
    compression : str
    """

    schema: pa.Schema
    target: str
    partition_by: tuple[str, ...] = ()
    row_group_rows: int | None = None
    compression: str = "snappy"

    @property
    def in_files(self) -> pa.Schema:
        """The schema of the files."""
        if not self.partition_by:
            return self.schema
        kept = [field for field in self.schema if field.name not in self.partition_by]
        empty = as_pandas(self.schema.empty_table()).drop(columns=list(self.partition_by))
        return with_pandas_dtypes(pa.schema(kept), empty)

    def tables(self, frame: pd.DataFrame, number: int) -> Iterator[tuple[str, pa.Table]]:
        """Yield the folder (empty, or ending in a slash) and the rows of each file of a part."""
        if list(frame.columns) != self.schema.names:
            raise ValueError(
                f"partition {number} has the columns {list(frame.columns)}, expected "
                f"{self.schema.names}"
            )
        schema = self.in_files
        found = key_folders(frame, self.partition_by) if self.partition_by else [("", None)]
        for folder, rows in found:
            part = frame if rows is None else frame.iloc[rows][schema.names]
            try:
                table = pa.Table.from_pandas(part, schema, preserve_index=False, nthreads=1)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ValueError(
                    f"partition {number} does not fit the table's schema: {error}"
                ) from error
            # The metadata that pandas adds tells the categories of this part: no two are alike.
            yield folder, table.replace_schema_metadata(schema.metadata)

    def write(self, table: pa.Table, handle: Any) -> None:
        """Write a file."""
        pq.write_table(
            table,
            handle,
            compression=self.compression,
            use_dictionary=_repeating(table),
            row_group_size=self.row_group_rows,
        )
        # What Arrow's allocator keeps of it would stand beside the next block that is made.
        pa.default_memory_pool().release_unused()


def check_partition_by(columns: Sequence[str], dtypes: pd.Series) -> None:
    """Refuse columns whose values make no folders, by the dtypes of all columns of the table."""
    types = pd.api.types
    for name in columns:
        dtype = dtypes[name]
        if isinstance(dtype, pd.CategoricalDtype):
            continue
        plain = types.is_integer_dtype(dtype) or types.is_bool_dtype(dtype)
        if not (plain or types.is_string_dtype(dtype) or types.is_object_dtype(dtype)):
            raise ValueError(
                f"partition_by names the column {name!r} of dtype {dtype}: folders are made of "
                "text, categories, whole numbers and bools only; leave it out, or round it or cut "
                "it into classes first"
            )
    if set(columns) == set(dtypes.index):
        raise ValueError("partition_by names every column, and none is left for the files")


def check_folders(frame: Any, columns: Sequence[str], few: bool) -> None:
    """Refuse values that name no folder, in one pass: before the work, and not after most of it.

    With `few`, a partition must not need more folders than a part may; where rows are left out,
    that is not known.
    """
    look_at(frame, columns, partial(_checked, columns=tuple(columns), few=few), len)


def _checked(part: pd.DataFrame, columns: tuple[str, ...], few: bool) -> None:
    next(key_folders(part, columns, few), None)  # all are named before the first is given


def key_folders(
    frame: pd.DataFrame, columns: Sequence[str], few: bool = True
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the folder of each set of values, and its rows, in their order.

    Folders are ``column=value/`` for each column; values are encoded as in URLs. Values that name
    no folder are refused, and where ``few``, more folders than a part may have.

    >>> frame = pd.DataFrame({"c": ["a/b", "d", "a/b"]})
    >>> [(folder, rows.tolist()) for folder, rows in key_folders(frame, ["c"])]
    [('c=a%2Fb/', [0, 2]), ('c=d/', [1])]
    """
    named: list[tuple[np.ndarray, list[str]]] = []
    groups = np.zeros(len(frame), dtype=np.int64)
    for name in columns:
        codes, values = pd.factorize(frame[name], sort=False)
        _check_few(name, len(values), few)
        missing = int((codes < 0).sum())
        if missing:  # pandas cannot read a table in which Hive's folder of them is beside others
            raise ValueError(
                f"column {name!r} of partition_by is missing in {missing:,} rows of one part, and "
                "no folder that every reader understands can be named by that: fill it, or leave "
                "it out"
            )
        named.append((codes, [_segment(name, value) for value in values]))
        # Numbered anew each time: the product of many columns' values has no number of 64 bits.
        groups = np.unique(groups * len(values) + codes, return_inverse=True)[1]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    _check_few(" and ".join(columns), len(starts), few)
    found = []
    for rows in np.split(order, starts[1:]) if len(frame) else ():
        segments = [segment[codes[rows[0]]] for codes, segment in named]
        found.append(("/".join(segments) + "/", rows))
    yield from sorted(found, key=lambda pair: pair[0])


def _segment(name: str, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool | np.bool_) else str(value)
    segment = f"{name}={quote(text, safe='')}"
    wrong = None
    if not text:
        wrong = "empty text, by which no folder can be named"
    elif isinstance(value, bytes):
        wrong = f"bytes ({value[:20]!r}), which would come back as other text"
    elif text == NO_VALUE:
        wrong = f"the text {NO_VALUE!r}, which readers take for a missing value"
    elif len(segment.encode()) > LONGEST_NAME:
        wrong = (
            f"the value {text[:20] + '...'!r} of {len(text):,} characters, whose folder would have "
            f"a name of {len(segment.encode()):,} bytes: at most {LONGEST_NAME} are possible"
        )
    if wrong:
        raise ValueError(
            f"column {name!r} of partition_by holds {wrong}; replace it, or leave the column out"
        )
    return segment


def _check_few(name: str, found: int, few: bool) -> None:
    if few and found > MOST_FOLDERS:
        raise ValueError(
            f"column {name!r} of partition_by has {found:,} different values in one part, and each "
            f"would be a folder; at most {MOST_FOLDERS:,} are made: leave it out, or put its "
            "values into classes"
        )


def _repeating(table: pa.Table) -> list[str]:
    """Name the columns that a dictionary makes smaller.

    A dictionary of numbers that hardly repeat (measurements, and what is made between them) is
    given up by the writer half-way: the file gets larger, and writing takes five times as long.
    """

    def repeats(column: pa.ChunkedArray) -> bool:
        head = column.slice(0, DICTIONARY_SAMPLE)
        return not pa.types.is_primitive(column.type) or 2 * len(head.unique()) <= len(head)

    return [name for name in table.column_names if repeats(table[name])]
