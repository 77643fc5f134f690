"""Parquet files as one Dask DataFrame, with one schema that holds for every file.

The footers of all files are read before anything else. They give the pieces (runs of row groups of
one file, or cuts of a large one), of which small ones share a partition; they show a file that is
corrupt or that does not fit the others while nothing is lost yet, and they tell which whole-number
columns have missing values. Pandas turns those into floats, partition by partition, which would
alter large numbers; here they are nullable integers in every partition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask.dataframe.utils import clear_known_categories

from dsmote.job.files import (
    FILE_BYTES,
    READING_THREADS,
    InputFiles,
    clear_errors,
    is_of_storage,
    one_line,
    open_fs,
    share_partitions,
)

__all__ = [
    "Footer",
    "Piece",
    "as_pandas",
    "parquet_frame",
    "parquet_partitions",
    "read_footers",
    "read_pieces",
    "table_schema",
]

#: A partition holds whole row groups up to this size in memory, or up to this many rows.
PIECE_BYTES = 64 * 2**20
PIECE_ROWS = 250_000
#: Larger row groups are cut: small, as what waits is several partitions; and into few, as those
#: before a cut are decoded on the way to it.
CUT_BYTES = 12 * 2**20
MOST_CUTS = 16
#: Columns of a row group that are read together; of one that is cut, up to this size.
_COLUMNS = 500
TOGETHER_BYTES = 4 * 2**20
#: Read ahead of a column.
BUFFER_BYTES = 2**20

_INDEX_COLUMN = re.compile(r"__index_level_\d+__")
_NULLABLE = {
    "bool": "boolean",
    **{f"int{bits}": f"Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UInt{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Footer:
    """What the footer of one file says.

    Parameters
    ----------
    file : str
    schema : pyarrow.Schema
    groups : tuple of (rows, bytes)
        Of each row group; the bytes are those of the encoded data before compression.
    with_nulls : frozenset of str
        Whole-number and boolean columns that have, or may have, missing values.
    """

    file: str
    schema: pa.Schema
    groups: tuple[tuple[int, int], ...]
    with_nulls: frozenset[str]

    @cached_property
    def categorical(self) -> frozenset[str]:
        """Columns that pandas wrote as categories; Parquet keeps only those of text as such."""
        known = (self.schema.pandas_metadata or {}).get("columns", ())
        return frozenset(
            column["field_name"] for column in known if column["pandas_type"] == "categorical"
        )


@dataclass(frozen=True)
class Piece:
    """Row groups of one file, their rows, and the bytes of these in memory.

    Or a cut of one: which, and of how many rows.
    """

    file: str
    groups: tuple[int, ...]
    rows: int
    bytes: int
    cut: tuple[int, int] | None = None


def read_footers(inputs: InputFiles) -> list[Footer]:
    """Read the footer of every file.

    Parameters
    ----------
    inputs : InputFiles

    Returns
    -------
    list of Footer

    Raises
    ------
    ValueError
        When a file is not Parquet, or is cut short; it is named.
    """
    with ThreadPoolExecutor(READING_THREADS) as pool:
        return list(pool.map(_read_footer, inputs.files))


def _read_footer(file: str) -> Footer:
    fs, path = open_fs(file)
    with clear_errors("read", file), fs.open(path, "rb") as handle:
        try:
            parquet = pq.ParquetFile(handle)
            schema, metadata = parquet.schema_arrow, parquet.metadata
            groups = tuple(
                (metadata.row_group(i).num_rows, metadata.row_group(i).total_byte_size)
                for i in range(metadata.num_row_groups)
            )
        except (pa.ArrowException, OSError) as error:
            if is_of_storage(error):
                raise
            raise ValueError(
                f"{file} is corrupt or not a Parquet file: {one_line(error)}"
            ) from error
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        with_nulls = frozenset() if nested else _columns_with_nulls(schema, metadata)
    return Footer(file, schema, groups, with_nulls)


def _columns_with_nulls(schema: pa.Schema, metadata: Any) -> frozenset[str]:
    whole = [
        (place, field.name)
        for place, field in enumerate(schema)
        if pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)
    ]
    # Missing throughout: another file says whether these are whole numbers.
    found = {field.name for field in schema if pa.types.is_null(field.type)}
    for place, name in whole:
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            statistics = group.column(place).statistics
            if not group.num_rows:  # it has no statistics, and nothing that could be missing
                continue
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                found.add(name)
                break
    return frozenset(found)


def table_schema(footers: Sequence[Footer]) -> pa.Schema:
    """Return the one schema of all the files, with the pandas dtypes of its columns.

    Columns that pandas kept as a named index are columns here (which a job carries); an index
    without a name is not part of the table. Files may hold the columns in different order and in
    types of different width; a column that is missing throughout a file fits any type.

    Parameters
    ----------
    footers : sequence of Footer

    Returns
    -------
    pyarrow.Schema

    Raises
    ------
    ValueError
        When no type holds a column of all files, one has a nested type, or two have one name.
    """
    first = footers[0]
    for footer in footers:
        _check_columns(footer)
        _check_same(first, footer)
    names = [name for name in first.schema.names if not _is_index(name)]
    typed = pa.schema([_common_field(name, footers) for name in names])
    known = _without_index(first.schema.pandas_metadata)
    empty = as_pandas(typed.with_metadata(known).empty_table())
    with_nulls = frozenset().union(*(footer.with_nulls for footer in footers))
    nullable = {
        name: _NULLABLE[str(empty[name].dtype)]
        for name in with_nulls
        if name in empty.columns and str(empty[name].dtype) in _NULLABLE
    }
    return with_pandas_dtypes(typed, empty.astype(nullable))


def with_pandas_dtypes(types: pa.Schema, empty: pd.DataFrame) -> pa.Schema:
    """Return a schema that tells readers the pandas dtypes of a frame.

    Parameters
    ----------
    types : pyarrow.Schema
    empty : pandas.DataFrame
        No rows, the columns of `types`.

    Returns
    -------
    pyarrow.Schema
    """
    # What other readers make of decimals is up to them: to pandas they are objects.
    decimals = [f.name for f in types if pa.types.is_decimal(f.type)]
    empty = empty.astype(dict.fromkeys(decimals, object))
    table = pa.Table.from_pandas(empty, schema=types.remove_metadata(), preserve_index=False)
    return types.with_metadata(table.schema.metadata)


def as_pandas(table: pa.Table, **options: Any) -> pd.DataFrame:
    """Return a table as a frame, in which decimals keep their Arrow type: precision and scale."""
    return table.to_pandas(types_mapper=_decimal_type, **options)


def _decimal_type(arrow: pa.DataType) -> pd.ArrowDtype | None:
    return pd.ArrowDtype(arrow) if pa.types.is_decimal(arrow) else None


def _is_index(name: str) -> bool:
    return _INDEX_COLUMN.fullmatch(name) is not None


def _without_index(known: dict[str, Any] | None) -> dict[bytes, bytes] | None:
    if known is None:
        return None
    known = {**known, "index_columns": [], "column_indexes": []}
    known["columns"] = [
        column for column in known["columns"] if not _is_index(str(column.get("field_name")))
    ]
    return {b"pandas": json.dumps(known).encode()}


def _check_columns(footer: Footer) -> None:
    names = [name for name in footer.schema.names if not _is_index(name)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{footer.file} has more than one column of the name {twice}")
    nested = {
        field.name: str(field.type) for field in footer.schema if pa.types.is_nested(field.type)
    }
    if nested:
        raise ValueError(
            f"{footer.file} has nested columns, which cannot be resampled: {nested}; "
            "drop them or spread them over plain columns"
        )


def _check_same(first: Footer, footer: Footer) -> None:
    mine, theirs = (
        {name for name in each.schema.names if not _is_index(name)} for each in (first, footer)
    )
    if mine != theirs:
        raise ValueError(
            f"{footer.file} does not have the columns of {first.file}: lacking "
            f"{sorted(mine - theirs)}, additional {sorted(theirs - mine)}; rewrite it with those "
            "columns, or give the files that have them as a glob"
        )


def _common_field(name: str, footers: Sequence[Footer]) -> pa.Field:
    """Return the field that holds a column of every file: the widest type, as Arrow promotes it.

    A column is categorical where every file has it so. Codes get 32 bits, however few categories a
    file has.
    """
    values: pa.DataType = pa.null()
    dictionaries = []
    before = footers[0].file
    for footer in footers:
        field = footer.schema.field(name)
        if pa.types.is_null(field.type):  # all missing, which fits any type
            continue
        coded = pa.types.is_dictionary(field.type)
        categorical = coded or name in footer.categorical
        dictionaries.append((categorical, coded and field.type.ordered))
        values = _wider(
            name, values, field.type.value_type if coded else field.type, before, footer
        )
        before = footer.file
    if not dictionaries:
        return pa.field(name, values)
    text = pa.types.is_string(values) or pa.types.is_large_string(values)
    if len(set(dictionaries)) > 1 and not text:
        raise ValueError(
            f"column {name!r} is categorical in some files and not in others, or ordered in some "
            f"only ({before} is one of them): rewrite them alike"
        )
    if all(categorical for categorical, _ in dictionaries) and len(set(dictionaries)) == 1:
        values = pa.dictionary(pa.int32(), values, ordered=dictionaries[0][1])
    return pa.field(name, values)


def _wider(
    name: str, mine: pa.DataType, theirs: pa.DataType, before: str, footer: Footer
) -> pa.DataType:
    if mine == theirs:  # of thousands of files, nearly all are alike
        return mine
    schemas = [pa.schema([pa.field("", each)]) for each in (mine, theirs)]
    try:
        found = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        found = None
    floats = pa.types.is_floating(found) if found is not None else False
    inexact = floats and (pa.types.is_decimal(mine) or pa.types.is_decimal(theirs))
    bytes_of_text = found in (pa.binary(), pa.large_binary())
    if found is None or inexact or bytes_of_text:
        raise ValueError(
            f"column {name!r} is {theirs} in {footer.file} but {mine} in {before} or a file before "
            "it, and no type holds both: cast it in one of them"
        )
    return found


def parquet_frame(
    inputs: InputFiles, partitions: Sequence[tuple[Piece, ...]], schema: pa.Schema
) -> Any:
    """Return the files as a lazy Dask DataFrame.

    Parameters
    ----------
    inputs : InputFiles
    partitions : sequence of tuple of Piece
        From `parquet_partitions`.
    schema : pyarrow.Schema
        From `table_schema`.

    Returns
    -------
    dask.dataframe.DataFrame
        In the order of files and row groups.
    """
    # Dask would turn text into a dtype of its own, and the output would not be what came in.
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_map(
            read_pieces,
            partitions,
            meta=clear_known_categories(as_pandas(schema.empty_table())),
            label="read-parquet",
            schema=schema,
            stamp=inputs.stamp,
        )


def parquet_partitions(footers: Sequence[Footer], schema: pa.Schema) -> list[tuple[Piece, ...]]:
    """Return what each partition of `parquet_frame` is read from.

    Parameters
    ----------
    footers : sequence of Footer
    schema : pyarrow.Schema
        From `table_schema`.

    Returns
    -------
    list of tuple of Piece
        In the order of files and row groups.
    """
    files = [_pieces(footer, schema) for footer in footers]
    # Each file has its own order of categories, and joined they might have another.
    ordered = any(pa.types.is_dictionary(field.type) and field.type.ordered for field in schema)
    least, row = FILE_BYTES * len(schema), -(-PIECE_BYTES // PIECE_ROWS)
    sizes = [
        # Only whole files share: one that has several pieces is cut where it should be.
        PIECE_BYTES if ordered or len(pieces) > 1 else max(piece.bytes, piece.rows * row, least)
        for pieces in files
        for piece in pieces
    ]
    return share_partitions([piece for pieces in files for piece in pieces], sizes, PIECE_BYTES)


def _pieces(footer: Footer, schema: pa.Schema) -> list[Piece]:
    pieces: list[Piece] = []
    groups: list[int] = []
    rows = size = 0
    for number, group in enumerate(footer.groups):
        group_rows, group_size = group[0], _group_bytes(group, schema)
        large = group_rows > PIECE_ROWS or group_size > PIECE_BYTES
        full = large or rows + group_rows > PIECE_ROWS or size + group_size > PIECE_BYTES
        if groups and full:
            pieces.append(Piece(footer.file, tuple(groups), rows, size))
            groups, rows, size = [], 0, 0
        if large and group_rows > 1:
            cuts = min(MOST_CUTS, max(-(-group_rows // PIECE_ROWS), -(-group_size // CUT_BYTES)))
            each = -(-group_rows // cuts)
            for place in range(-(-group_rows // each)):
                own = min(each, group_rows - place * each)
                share = group_size * own // group_rows
                pieces.append(Piece(footer.file, (number,), own, share, (place, each)))
            continue
        groups.append(number)
        rows, size = rows + group_rows, size + group_size
    # A file without a row group is a piece, too: it may be all there is.
    last = Piece(footer.file, tuple(groups), rows, size)
    return [*pieces, last] if groups or not pieces else pieces


def _group_bytes(group: tuple[int, int], schema: pa.Schema) -> int:
    """Return the bytes of a row group: encoded data can be far smaller than what a task holds."""
    return max(group[1], group[0] * sum(_width(field.type) for field in schema))


def _width(arrow: pa.DataType) -> int:
    try:
        return max(arrow.bit_width // 8, 1)
    except ValueError:  # text, of any length
        return 16


def read_pieces(
    pieces: Sequence[Piece],
    columns: list[str] | None = None,
    *,
    schema: pa.Schema,
    stamp: str = "",
) -> pd.DataFrame:
    """Read one partition.

    Parameters
    ----------
    pieces : sequence of Piece
    columns : list of str, optional
        Those to read; Dask narrows them to what is used.
    schema : pyarrow.Schema
        What the columns must be, whatever the files call them.
    stamp : str
        Tells tasks of a changed file from tasks of the old one.

    Returns
    -------
    pandas.DataFrame
    """
    names = schema.names if columns is None else list(columns)
    wanted = pa.schema([schema.field(name) for name in names], metadata=schema.metadata)
    table = pa.concat_tables([_read(piece, wanted) for piece in pieces])
    frame = as_pandas(table, use_threads=False, split_blocks=True, self_destruct=True)
    del table
    return _checked(frame, wanted, pieces[0].file)


def _read(piece: Piece, wanted: pa.Schema) -> pa.Table:
    fs, path = open_fs(piece.file)
    with clear_errors("read", piece.file), fs.open(path, "rb") as handle:
        try:
            if piece.cut is None:
                # Reading ahead would hold more, in Arrow's threads, which wait for Python's.
                parquet = pq.ParquetFile(handle, pre_buffer=False)
                names, groups = wanted.names, list(piece.groups)
                # Of 10,000 columns at once, what Arrow holds for each is 7 times the row group.
                parts = [
                    parquet.read_row_groups(groups, names[i : i + _COLUMNS], use_threads=False)
                    for i in range(0, max(1, len(names)), _COLUMNS)
                ]
                columns = {
                    name: column
                    for part in parts
                    for name, column in zip(part.column_names, part.columns, strict=True)
                }
                table = parts[0] if len(parts) == 1 else pa.table(columns)
            else:
                table = _read_cut(handle, piece, wanted.names)
        except (pa.ArrowException, OSError) as error:
            if is_of_storage(error):
                raise
            raise ValueError(f"{piece.file} is corrupt: {one_line(error)}") from error
    return _cast(table.select(wanted.names), wanted, piece.file)


def _read_cut(handle: Any, piece: Piece, names: Sequence[str]) -> pa.Table:
    """Read some rows of one row group, a few columns at a time: no more of the others is held."""
    assert piece.cut is not None
    place, size = piece.cut
    parquet = pq.ParquetFile(handle, buffer_size=BUFFER_BYTES, pre_buffer=False)
    group = parquet.metadata.row_group(piece.groups[0])
    encoded = {
        group.column(i).path_in_schema: group.column(i).total_uncompressed_size
        for i in range(group.num_columns)
    }
    runs: list[list[str]] = []
    room = 0
    for name in dict.fromkeys(names):
        if not runs or encoded[name] > room:
            runs.append([])
            room = TOGETHER_BYTES
        runs[-1].append(name)
        room -= encoded[name]
    columns: dict[str, Any] = {}
    for run in runs:
        kept, at = [], 0
        for batch in parquet.iter_batches(size, list(piece.groups), run, use_threads=False):
            # The cut is one batch, unless Arrow ends some before.
            first, at = at, at + len(batch)
            low = max(first, place * size)
            if low < at:
                kept.append(batch.slice(low - first, min(at, (place + 1) * size) - low))
            if at >= (place + 1) * size:
                break
        table = pa.Table.from_batches(kept)
        columns |= zip(table.column_names, table.columns, strict=True)
    return pa.table([columns[name] for name in names], names=list(names))


def _cast(table: pa.Table, wanted: pa.Schema, file: str) -> pa.Table:
    """Return a table in the types of all files."""
    columns = []
    for field, column in zip(wanted, table.columns, strict=True):
        mine, theirs = field.type, column.type
        try:
            if pa.types.is_dictionary(mine) and not pa.types.is_dictionary(theirs):
                column = column.cast(mine.value_type).dictionary_encode()
            columns.append(column.cast(mine))
        except pa.ArrowInvalid as error:
            raise ValueError(
                f"column {field.name!r} of {file} is {theirs}, {mine} in other files, and holds a "
                f"value that cannot be cast: {one_line(error)}; cast the column in the files"
            ) from error
    return pa.Table.from_arrays(columns, schema=wanted)


def _checked(frame: pd.DataFrame, wanted: pa.Schema, file: str) -> pd.DataFrame:
    for name, dtype in as_pandas(wanted.empty_table()).dtypes.items():
        got = frame[name].dtype
        if got != dtype and not isinstance(dtype, pd.CategoricalDtype):
            raise ValueError(f"column {name!r} of {file} was read as {got}, expected {dtype}")
    return frame
