"""An input, opened in two steps: what can be known without a cluster, then the lazy frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa

from dsmote.job.csv import csv_columns, csv_frame
from dsmote.job.files import COMPRESSIONS, InputFiles, list_files
from dsmote.job.parquet import (
    Footer,
    Piece,
    parquet_frame,
    parquet_partitions,
    read_footers,
    table_schema,
    with_pandas_dtypes,
)
from dsmote.job.storage.check import refuse_split
from dsmote.plan.labels import listed, visible

__all__ = ["Source", "check_columns", "open_source"]


@dataclass(frozen=True)
class Source:
    """An input whose files are there, readable and of one shape.

    Parameters
    ----------
    inputs : InputFiles
    columns : tuple of str
    schema : pyarrow.Schema or None
        Of Parquet files; CSV has none.
    footers : tuple of Footer
        Of Parquet files.
    """

    inputs: InputFiles
    columns: tuple[str, ...]
    schema: pa.Schema | None = None
    footers: tuple[Footer, ...] = ()

    @property
    def n_rows(self) -> int | None:
        """Rows in all the files, where they say."""
        if self.schema is None:
            return None
        return sum(rows for footer in self.footers for rows, _ in footer.groups)

    @property
    def n_bytes(self) -> int:
        """Bytes of all rows in memory, about; of CSV ten times those of compressed files."""
        if self.schema is None:
            packed = any(file.endswith(tuple(COMPRESSIONS)) for file in self.inputs.files)
            return self.inputs.n_bytes * (10 if packed else 1)
        return sum(piece.bytes for pieces in self._partitions for piece in pieces)

    @property
    def index_columns(self) -> tuple[str, ...]:
        """Columns that pandas kept as an index with a name when it wrote the files."""
        found: list[str] = []
        for footer in self.footers:
            known = footer.schema.pandas_metadata or {}
            found += [name for name in known.get("index_columns", ()) if name in self.columns]
        return tuple(dict.fromkeys(found))

    def frame(self) -> Any:
        """Return the lazy Dask DataFrame. CSV is read once for it."""
        if self.schema is None:
            return csv_frame(self.inputs, self.columns)
        return parquet_frame(self.inputs, self._partitions, self.schema)

    @cached_property
    def _partitions(self) -> list[tuple[Piece, ...]]:
        return [] if self.schema is None else parquet_partitions(self.footers, self.schema)

    @property
    def partition_rows(self) -> tuple[int, ...] | None:
        """Rows of each partition, where the files say."""
        if self.schema is None:
            return None
        return tuple(sum(piece.rows for piece in pieces) for pieces in self._partitions)

    @property
    def largest_partition(self) -> int:
        """Bytes of the largest partition, as far as the files say."""
        return max((sum(piece.bytes for piece in pieces) for pieces in self._partitions), default=0)

    def output_schema(self, meta: pd.DataFrame) -> pa.Schema:
        """Return the schema that every part of an output gets.

        Arrow types are the input's where it has one, so that a text column that happens to be
        all missing in one part is text there too. The pandas dtypes are those of `meta`.

        Parameters
        ----------
        meta : pandas.DataFrame
            Of the output.

        Returns
        -------
        pyarrow.Schema
        """
        types = self.schema
        empty = meta.iloc[:0]
        if types is None:
            inferred = pa.Schema.from_pandas(empty, preserve_index=False)
            types = pa.schema([_text_if_unknown(field) for field in inferred])
        types = pa.schema([types.field(name) for name in empty.columns])
        return with_pandas_dtypes(types, empty)


def _text_if_unknown(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.large_string()) if pa.types.is_null(field.type) else field


def open_source(url: str, format: str | None = None) -> Source:
    """Find and check the files of an input.

    Parameters
    ----------
    url : str
        A file, a folder or a glob.
    format : {"parquet", "csv"}, optional

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError, PermissionError
    ValueError
        When a file is corrupt, or its columns are not those of the others; it is named.
    """
    inputs = list_files(url, format)
    refuse_split(url, inputs.files)
    if inputs.format == "csv":
        return Source(inputs, tuple(csv_columns(inputs)))
    footers = tuple(read_footers(inputs))
    schema = table_schema(footers)
    return Source(inputs, tuple(schema.names), schema, footers)


def check_columns(source: Source, roles: dict[str, Sequence[str]]) -> None:
    """Refuse columns that the input does not have.

    Parameters
    ----------
    source : Source
    roles : dict
        What the columns are for, and their names.

    Raises
    ------
    ValueError
        It lists the columns that are there.
    """
    for role, names in roles.items():
        absent = [name for name in names if name not in source.columns]
        if absent and source.inputs.format == "csv":
            _check_separator(source, absent[0], role)
        if absent:
            raise ValueError(
                f"there is no column {absent[0]!r} (given as {role}) in {source.inputs.url}; "
                f"its columns are: {listed(map(visible, source.columns))}"
            )


def _check_separator(source: Source, absent: str, role: str) -> None:
    """Refuse a header that has more of another separator than of commas."""
    header = ",".join(source.columns)
    for separator in (";", "\t", "|"):
        if header.count(separator) > header.count(","):
            raise ValueError(
                f"there is no column {absent!r} (given as {role}) in {source.inputs.url}: its "
                f"header looks separated by {separator!r}, and CSV is read with commas; convert "
                f"it, such as with pandas.read_csv(FILE, sep={separator!r}).to_csv(NEW, "
                "index=False)"
            )
