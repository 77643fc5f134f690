"""An input as one lazy Dask DataFrame, with dtypes that hold for all its rows.

Parquet: the footers of all files are read before anything else. They give the pieces (runs of row
groups of one file, or cuts of a large one), of which small ones share a partition; they show a file
that is corrupt or that does not fit the others while nothing is lost yet, and they tell which
integer columns have missing values. Pandas turns those into floats, partition by partition, which
would alter large numbers; here they are nullable integers in every partition.

CSV does not say what its columns are, and the first rows may mislead: a column of integers can have
a fraction, a gap or a word further down. So the files are read once only to settle the dtypes, as
pandas would if it read them whole; but large integers with gaps, of which pandas makes floats, stay
what they are.
"""

from __future__ import annotations

import codecs
import io
import json
import lzma
import os
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask import delayed
from dask.base import tokenize
from dask.dataframe.utils import clear_known_categories
from fsspec.utils import read_block

from dsmote.execute.graph import freeze, over_all
from dsmote.execute.resources import compute
from dsmote.job.files import (
    COMPRESSIONS,
    InputFiles,
    clear_errors,
    is_of_storage,
    list_files,
    one_line,
    open_fs,
)
from dsmote.job.reading import Filters, Reading, check_filters, mask
from dsmote.job.storage import refuse_split
from dsmote.plan.labels import listed, visible

#: Footers and headers are read by this many threads, for the sake of remote stores.
READING_THREADS = 16
#: When files share a partition, each counts for this many bytes a column, at least: to open one
#: takes time, and until they are joined, a column of each takes one to two KiB beside its values.
FILE_BYTES = 8 * 2**10
#: However small the files, they are not put into fewer partitions: workers need some to share.
FEWEST = 16

#: A partition holds whole row groups up to this size in memory, or up to this many rows.
PIECE_BYTES = 64 * 2**20
PIECE_ROWS = 250_000
#: Larger row groups are cut: small, as what waits is several partitions; and into few, as those
#: before a cut are decoded on the way to it.
CUT_BYTES = 12 * 2**20
MOST_CUTS = 16
#: Columns of a row group that are read together (of 10,000 at once, what Arrow holds for each is 7
#: times the row group); of one that is cut, up to about this size.
COLUMNS = 500
TOGETHER_BYTES = 4 * 2**20
#: Read ahead of a column.
BUFFER_BYTES = 2**20

#: What is raised about the content of a file; after the warning, pandas would drop fields.
ERRORS = (
    *(pa.ArrowException, ValueError, OSError, EOFError, pd.errors.ParserWarning),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
NO_CSV = "cannot be read as CSV"

#: A partition of CSV is about this much text. A compressed file cannot be split.
BLOCK_BYTES = 32 * 2**20
#: What a compressed file counts for, as text: its size times this.
UNPACKED = 10
#: From here on float64 has no place for each integer.
EXACT = 2**53

#: What Arrow calls text.
TEXTS = (pa.string(), pa.large_string())

Part = TypeVar("Part")

_INDEX_COLUMN = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class Source:
    """An input whose files are there, readable and of one shape."""

    inputs: InputFiles
    columns: tuple[str, ...]
    partitions: list[tuple[Any, ...]]  # what each is read from: pieces of Parquet, blocks of CSV
    schema: pa.Schema | None = None  # of Parquet files; CSV has none
    index_columns: tuple[str, ...] = ()  # that pandas kept as an index with a name
    filters: Filters = ()  # of rows that are read, others are left out

    @property
    def n_bytes(self) -> int:
        """Bytes of all rows in memory, about; of CSV those of the text."""
        if self.schema is None:
            packed = any(map(_packed, self.inputs.files))
            return self.inputs.n_bytes * (UNPACKED if packed else 1)
        return sum(piece.bytes for pieces in self.partitions for piece in pieces)

    @property
    def partition_rows(self) -> tuple[int, ...] | None:
        """Rows of each partition, where the files say."""
        if self.schema is None or self.filters:
            return None
        return tuple(sum(piece.rows for piece in pieces) for pieces in self.partitions)

    @property
    def rows_held(self) -> int:
        """Rows of the largest partition before filters leave some out; 0 without filters."""
        if not self.filters:
            return 0
        return max(sum(piece.rows for piece in pieces) for pieces in self.partitions)

    @property
    def largest_partition(self) -> int:
        """Bytes of the largest partition, where the files say; else 0."""
        if self.schema is None:
            return 0
        return max(sum(piece.bytes for piece in pieces) for pieces in self.partitions)

    def frame(self) -> Any:
        """Return the lazy Dask DataFrame, in the order of files. CSV is read once for it."""
        read: Any
        how: dict[str, Any]
        if self.schema is None:
            dtypes = _settled(self.partitions, self.columns)
            meta = pd.DataFrame({name: pd.Series([], dtype=of) for name, of in dtypes.items()})
            read, how = read_blocks, {"dtypes": dtypes}
        else:
            meta = clear_known_categories(as_pandas(self.schema.empty_table()))
            read, how = read_pieces, {"schema": self.schema, "filters": self.filters}
        # The stamp tells tasks of a changed file from tasks of the old one.
        how |= {"label": f"read-{self.inputs.format}", "stamp": self.inputs.stamp}
        # Dask would turn text into a dtype of its own, and the output would not be what came in.
        with dask.config.set({"dataframe.convert-string": False}):
            return dd.from_map(read, self.partitions, meta=meta, **how)

    def tables(self, schema: pa.Schema) -> list[Callable[[], pa.Table]]:
        """Return what reads each partition, some columns in the types of a schema."""
        if self.schema is not None:
            filters = self.filters
            return [partial(read_table, pieces, schema, filters) for pieces in self.partitions]
        dtypes = _settled(self.partitions, self.columns)

        def read(blocks: Sequence[Block]) -> pa.Table:
            frame = read_blocks(blocks, schema.names, dtypes=dtypes)
            return pa.Table.from_pandas(frame, schema, preserve_index=False, nthreads=1)

        return [partial(read, blocks) for blocks in self.partitions]

    def output_schema(self, meta: pd.DataFrame) -> pa.Schema:
        """Return the schema of every part of an output: pandas dtypes are those of `meta`.

        Arrow types are the input's where it has one, so that a text column that happens to be
        all missing in one part is text there too.
        """
        types, empty = self.schema, meta.iloc[:0]
        if types is None:
            types = pa.Schema.from_pandas(empty, preserve_index=False)
        return with_pandas_dtypes(pa.schema([types.field(name) for name in empty.columns]), empty)


def open_source(url: str, format: str | None = None, *, reading: Reading | None = None) -> Source:
    """Find and check the files of an input; one that is corrupt, or unlike the others, is named."""
    reading = reading or Reading()
    inputs = list_files(url, format, reading=reading)
    refuse_split(url, inputs.files)
    with ThreadPoolExecutor(READING_THREADS) as pool:
        if inputs.format == "csv":
            if inputs.folders is not None or reading.filters:
                raise ValueError(
                    f"{url} is CSV: columns in the names of folders, and filters, are for Parquet "
                    "only; convert it to Parquet first"
                )
            headers = dict(
                zip(
                    inputs.files,
                    pool.map(partial(_header, how=reading.csv), inputs.files),
                    strict=True,
                )
            )
            first, columns = next(iter(headers.items()))
            _check_twice(first, columns)
            for file, header in headers.items():
                if header != columns:
                    raise ValueError(
                        f"{file} does not have the columns of {first}: {header} and {columns}"
                    )
            return Source(inputs, tuple(columns), _blocks(inputs, len(columns), reading.csv))
        footers = list(pool.map(read_footer, inputs.files))
    if inputs.folders is not None:
        extra = zip(footers, inputs.extra, strict=True)
        footers = [with_folders(footer, inputs.folders, values) for footer, values in extra]
    schema = _table_schema(footers)
    check_filters(reading.filters, schema)
    known = (footer.schema.pandas_metadata or {} for footer in footers)
    index = chain.from_iterable(of.get("index_columns", ()) for of in known)
    kept = dict.fromkeys(name for name in index if name in schema.names)
    partitions = _partitions(footers, schema)
    return Source(inputs, tuple(schema.names), partitions, schema, tuple(kept), reading.filters)


def check_columns(source: Source, roles: dict[str, Sequence[str]]) -> None:
    """Refuse columns, given by what they are for, that the input does not have."""
    for role, names in roles.items():
        absent = next((name for name in names if name not in source.columns), None)
        if absent is None:
            continue
        missing = f"there is no column {absent!r} (given as {role}) in {source.inputs.url}"
        header = ",".join(source.columns)
        for separator in (";", "\t", "|") if source.inputs.format == "csv" else ():
            if header.count(separator) > header.count(","):
                raise ValueError(
                    f"{missing}: its header looks separated by {separator!r}, and CSV is read with "
                    f"commas; give --delimiter {separator!r} (csv: {{delimiter: {separator!r}}})"
                )
        raise ValueError(f"{missing}; its columns are: {listed(map(visible, source.columns))}")


def look_at(
    frame: Any,
    columns: Sequence[str],
    look: Callable[[pd.DataFrame], Any],
    joined: Callable[[list[Any]], Any],
) -> Any:
    """Look at some columns of each partition, and join what is found, in order.

    This is one pass, before anything is planned; the other columns are not read.
    """
    tasks, keys = freeze(frame[list(dict.fromkeys(columns))])
    name = f"look-{tokenize(frame, list(columns), look)}"
    return over_all(tasks, ((key,) for key in keys), name, look, joined)


def _shared(
    parts: Sequence[Part], sizes: Sequence[int], most: int, fewest: int = 1
) -> list[tuple[Part, ...]]:
    """Put small parts that follow each other, up to `most` bytes, into one partition.

    There are at least `fewest` partitions, where there are as many parts of about the same size.
    """
    most = min(most, -(-sum(sizes) // fewest))
    shared: list[list[Part]] = []
    left = 0
    for part, size in zip(parts, sizes, strict=True):
        if not shared or size > left:
            shared.append([])
            left = most
        shared[-1].append(part)
        left -= size
    return [tuple(together) for together in shared]


@contextmanager
def _opened(file: str, wrong: str, compression: str | None = None) -> Iterator[Any]:
    """Open a file; where its content is what is wrong, name it and say so."""
    fs, path = open_fs(file)
    with clear_errors("read", file), fs.open(path, "rb", compression=compression) as handle:
        try:
            yield handle
        except UnicodeDecodeError as error:
            marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            likely = "UTF-16" if error.object.startswith(marks) else "LATIN1"
            raise ValueError(
                f"{file} is not {error.encoding.upper()} text (it has the byte "
                f"0x{error.object[error.start]:02x}): give its encoding, such as --encoding "
                f"{likely} (csv: {{encoding: {likely}}})"
            ) from error
        except Exception as error:
            # zstandard need not be installed.
            damaged = isinstance(error, ERRORS) or type(error).__name__ == "ZstdError"
            if not damaged or is_of_storage(error):
                raise
            raise ValueError(f"{file} {wrong}: {one_line(error)}") from error


def _check_twice(file: str, names: Sequence[str]) -> None:
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise ValueError(f"{file} has more than one column of the name {twice}")


# Parquet --------------------------------------------------------------------------------------


class Footer(NamedTuple):
    """What the footer of one Parquet file says."""

    file: str
    schema: pa.Schema  # without indexes that have no name; categorical is what pandas calls so
    with_nulls: set[str]  # integer and boolean columns that have, or may have, missing values
    groups: list[tuple[int, int]]  # rows, and bytes of the encoded data before compression
    extra: tuple[tuple[str, Any], ...] = ()  # columns that it does not hold, with their one value


class Piece(NamedTuple):
    """Rows of some row groups of one file, from the one of number `start` on."""

    file: str
    groups: tuple[int, ...]
    rows: int
    bytes: int
    start: int = 0
    cut: int = 0  # rows of a cut of a large row group
    extra: tuple[tuple[str, Any], ...] = ()  # as in the footer


def read_footer(file: str) -> Footer:
    """Read what the footer of a Parquet file says."""
    with _opened(file, "is corrupt or not a Parquet file") as handle:
        parquet = pq.ParquetFile(handle)
        schema, metadata = parquet.schema_arrow, parquet.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    nested = {field.name: str(field.type) for field in schema if pa.types.is_nested(field.type)}
    if nested:
        raise ValueError(
            f"{file} has nested columns, which cannot be resampled: {nested}; "
            "drop them or spread them over plain columns"
        )
    fields, with_nulls = [], set()
    known = (schema.pandas_metadata or {}).get("columns", ())
    # Parquet keeps only categories of text as such.
    categorical = {of["field_name"] for of in known if of["pandas_type"] == "categorical"}
    for place, field in enumerate(schema):
        whole = pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)
        # Missing throughout: another file says whether these are integers.
        if pa.types.is_null(field.type) or (whole and _has_nulls(groups, place)):
            with_nulls.add(field.name)
        if pa.types.is_dictionary(field.type):  # however few categories this file has
            of = field.type
            field = field.with_type(pa.dictionary(pa.int32(), of.value_type, of.ordered))
        elif field.name in categorical:
            field = field.with_type(pa.dictionary(pa.int32(), field.type))
        if not _INDEX_COLUMN.fullmatch(field.name):
            fields.append(field)
    _check_twice(file, [field.name for field in fields])
    sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    return Footer(file, pa.schema(fields, schema.metadata), with_nulls, sizes)


def with_folders(footer: Footer, folders: pa.Schema, values: dict[str, Any]) -> Footer:
    """Return a footer with the columns in the names of a file's folders."""
    twice = sorted({*folders.names} & {*footer.schema.names})
    if twice:
        raise ValueError(
            f"{footer.file} holds the column {twice[0]!r}, which is in the names of its folders "
            "too: rename one of them"
        )
    schema = pa.schema([*footer.schema, *folders], footer.schema.metadata)
    missing = {name for name, value in values.items() if value is None}
    return footer._replace(
        schema=schema, with_nulls=footer.with_nulls | missing, extra=tuple(values.items())
    )


def _has_nulls(groups: Sequence[Any], place: int) -> bool:
    known = ((group.num_rows, group.column(place).statistics) for group in groups)
    # A group without rows has no statistics, and nothing that could be missing.
    return any(rows and not (of and of.has_null_count and of.null_count == 0) for rows, of in known)


def _table_schema(footers: Sequence[Footer]) -> pa.Schema:
    """Return the one schema of all the files, with the pandas dtypes of its columns.

    Columns that pandas kept as a named index are columns here (which a job carries). Files may hold
    the columns in different order and in types of different width; a column that is missing
    throughout a file fits any type.
    """
    first = footers[0]
    names = set(first.schema.names)
    for footer in footers:
        theirs = set(footer.schema.names)
        if names != theirs:
            raise ValueError(
                f"{footer.file} does not have the columns of {first.file}: lacking "
                f"{sorted(names - theirs)}, additional {sorted(theirs - names)}; rewrite it with "
                "those columns, or give the files that have them as a glob"
            )
    typed = pa.schema([_common_field(name, footers) for name in first.schema.names])
    known = first.schema.pandas_metadata
    if known is not None:
        columns = [column for column in known["columns"] if column.get("field_name") in names]
        known |= {"index_columns": [], "column_indexes": [], "columns": columns}
        typed = typed.with_metadata({b"pandas": json.dumps(known).encode()})
    empty = as_pandas(typed.empty_table())
    for name in names & set().union(*(footer.with_nulls for footer in footers)):
        if empty[name].dtype.kind in "biu":
            empty[name] = empty[name].convert_dtypes()  # to a nullable one
    return with_pandas_dtypes(typed, empty)


def with_pandas_dtypes(types: pa.Schema, empty: pd.DataFrame) -> pa.Schema:
    """Return a schema that tells readers the pandas dtypes of a frame without rows."""
    # What other readers make of decimals is up to them: to pandas they are objects.
    decimals = [field.name for field in types if pa.types.is_decimal(field.type)]
    empty = empty.astype(dict.fromkeys(decimals, object))
    table = pa.Table.from_pandas(empty, schema=types.remove_metadata(), preserve_index=False)
    return types.with_metadata(table.schema.metadata)


def as_pandas(table: pa.Table, **options: Any) -> pd.DataFrame:
    """Return a table as a frame, in which decimals keep their Arrow type: precision and scale."""

    def decimal(arrow: pa.DataType) -> pd.ArrowDtype | None:
        return pd.ArrowDtype(arrow) if pa.types.is_decimal(arrow) else None

    return table.to_pandas(types_mapper=decimal, **options)


def _common_field(name: str, footers: Sequence[Footer]) -> pa.Field:
    """Return the field that holds a column of every file: the widest type, as Arrow promotes it.

    A column is categorical where every file has it so. Codes get 32 bits, however few categories a
    file has.
    """
    files: dict[pa.DataType, str] = {}  # few types, each with the first file that has it
    for footer in footers:
        files.setdefault(footer.schema.field(name).type, footer.file)
    values, before = pa.null(), footers[0].file
    coded: set[bool | None] = set()  # whether categories are ordered; None: no categories
    for arrow, file in files.items():
        if pa.types.is_null(arrow):  # all missing, which fits any type
            continue
        dictionary = pa.types.is_dictionary(arrow)
        coded.add(arrow.ordered if dictionary else None)
        theirs = arrow.value_type if dictionary else arrow
        wider = _wider(values, theirs)
        if wider is None:
            raise ValueError(
                f"column {name!r} is {theirs} in {file} but {values} in {before} or a file before "
                "it, and no type holds both: cast it in one of them"
            )
        values, before = wider, file
    if len(coded) > 1 and values not in TEXTS:
        raise ValueError(
            f"column {name!r} is categorical in some files and not in others, or ordered in some "
            f"only ({before} is one of them): rewrite them alike"
        )
    if coded in ({True}, {False}):
        values = pa.dictionary(pa.int32(), values, ordered=True in coded)
    return pa.field(name, values)


def _wider(mine: pa.DataType, theirs: pa.DataType) -> pa.DataType | None:
    """Return a type that holds the values of two, as Arrow promotes them; None if there is none."""
    schemas = [pa.schema([pa.field("", each)]) for each in (mine, theirs)]
    try:
        found = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return None
    inexact = pa.types.is_floating(found) and any(map(pa.types.is_decimal, (mine, theirs)))
    bytes_of_text = found not in TEXTS and (mine in TEXTS or theirs in TEXTS)
    return None if inexact or bytes_of_text else found


def _partitions(footers: Sequence[Footer], schema: pa.Schema) -> list[tuple[Piece, ...]]:
    """Return what each partition is read from, in the order of files and row groups."""
    # Each file has its own order of categories, and joined they might have another.
    ordered = any(pa.types.is_dictionary(field.type) and field.type.ordered for field in schema)
    least, width = FILE_BYTES * len(schema), row_width(schema)
    pieces, sizes = [], []
    for footer in footers:
        own = pieces_of(footer, width)
        # Only whole files share: one that has several pieces is cut where it should be.
        alone = ordered or len(own) > 1
        sizes += [PIECE_BYTES if alone else max(_weight(p.rows, p.bytes), least) for p in own]
        pieces += own
    return _shared(pieces, sizes, PIECE_BYTES, FEWEST)


def _weight(rows: int, size: int) -> int:
    return max(size, rows * (PIECE_BYTES // PIECE_ROWS))


def pieces_of(footer: Footer, width: int) -> list[Piece]:
    """Cut a file at its row groups into pieces that a task can hold, of rows so wide."""
    # Encoded data can be far smaller than what a task holds.
    known = [(rows, max(encoded, rows * width)) for rows, encoded in footer.groups]
    weights = [_weight(*group) for group in known]
    pieces = []
    # A file without a row group is a piece, too: it may be all there is.
    for groups in _shared(range(len(known)), weights, PIECE_BYTES) or [()]:
        rows, size = (sum(known[number][of] for number in groups) for of in (0, 1))
        cuts = min(MOST_CUTS, rows, max(-(-rows // PIECE_ROWS), -(-size // CUT_BYTES)))
        if cuts < 2 or _weight(rows, size) <= PIECE_BYTES:
            pieces.append(Piece(footer.file, groups, rows, size, extra=footer.extra))
            continue
        each = -(-rows // cuts)
        for start in range(0, rows, each):
            own = min(each, rows - start)
            part = size * own // rows
            pieces.append(Piece(footer.file, groups, own, part, start, each, footer.extra))
    return pieces


def row_width(schema: pa.Schema) -> int:
    """Return the bytes of a row, about."""
    return sum(_width(field.type) for field in schema)


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
    filters: Filters = (),
) -> pd.DataFrame:
    """Read some columns of a partition, in the types of the schema."""
    names = schema.names if columns is None else list(columns)
    wanted = pa.schema([schema.field(name) for name in names], metadata=schema.metadata)
    frame = as_pandas(
        read_table(pieces, wanted, filters),
        use_threads=False,
        split_blocks=True,
        self_destruct=True,
    )
    for name, dtype in as_pandas(wanted.empty_table()).dtypes.items():
        got = frame[name].dtype
        # Where a footer is wrong about missing values, pandas has made floats of integers.
        if got != dtype and not isinstance(dtype, pd.CategoricalDtype):
            raise ValueError(
                f"column {name!r} of {pieces[0].file} was read as {got}, expected {dtype}"
            )
    return frame


def read_table(pieces: Sequence[Piece], wanted: pa.Schema, filters: Filters = ()) -> pa.Table:
    """Read a partition as Arrow has it, some columns in the types of a schema."""
    names = wanted.names
    read = (_kept(piece, names, filters) for piece in pieces)
    return pa.concat_tables(
        [_cast(table, wanted, piece.file) for table, piece in zip(read, pieces, strict=True)]
    )


def _kept(piece: Piece, names: Sequence[str], filters: Filters) -> pa.Table:
    """Read a piece, and drop the rows that filters leave out."""
    if not filters:
        return _read(piece, names)
    asked = dict.fromkeys(name for every in filters for name, _, _ in every)
    table = _read(piece, [*dict.fromkeys([*names, *asked])])
    return table.filter(mask(table.select([*asked]), filters)).select(list(names))


def _read(piece: Piece, names: Sequence[str]) -> pa.Table:
    """Read a piece some columns at a time: no more of the others is held than they need."""
    columns: dict[str, Any] = {}
    for name, value in piece.extra:
        one = pa.scalar(value)
        columns[name] = pa.nulls(piece.rows) if value is None else pa.repeat(one, piece.rows)
    held = [name for name in names if name not in columns]
    with _opened(piece.file, "is corrupt") as handle:
        # Reading ahead would hold more, in Arrow's threads, which wait for Python's.
        ahead = BUFFER_BYTES if piece.cut else 0
        parquet = pq.ParquetFile(handle, buffer_size=ahead, pre_buffer=False)
        most = COLUMNS
        if piece.cut:
            group = parquet.metadata.row_group(piece.groups[0])
            few = 1 + TOGETHER_BYTES * group.num_columns // (group.total_byte_size + 1)
            most = min(most, few)
        for first in range(0, len(held), most):
            run = held[first : first + most]
            if piece.cut:
                part = _read_cut(parquet, piece, run)
            else:
                part = parquet.read_row_groups(list(piece.groups), run, use_threads=False)
            columns |= zip(part.column_names, part.columns, strict=True)
    return pa.table([columns[name] for name in names], names=list(names))


def _read_cut(parquet: pq.ParquetFile, piece: Piece, names: list[str]) -> pa.Table:
    kept, at, stop = [], 0, piece.start + piece.rows
    for batch in parquet.iter_batches(piece.cut, list(piece.groups), names, use_threads=False):
        at += len(batch)
        if at > piece.start:
            kept.append(batch)  # the only one, unless Arrow ends some before
        if at >= stop:
            break
    rows = pa.Table.from_batches(kept)
    return rows.slice(len(rows) - (at - piece.start), piece.rows)


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


# CSV ------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """The lines of a CSV file that begin within a range of bytes; without a length, all of them."""

    file: str
    start: int = 0
    length: int | None = None
    how: tuple[tuple[str, Any], ...] = ()  # a job's section `csv`


def _packed(file: str) -> str | None:
    return COMPRESSIONS.get(os.path.splitext(file.lower())[1])


def _options(how: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Return how pandas is told what a job says of CSV."""
    given = dict(how)
    names = {"delimiter": "sep", "encoding": "encoding", "decimal": "decimal"}
    return {names[key]: given[key] for key in names if given.get(key)}


def _cut(how: tuple[tuple[str, Any], ...]) -> bool:
    """Tell whether each line break of a file, as a byte, ends a row."""
    given = dict(how)
    whole = "\n".encode(given.get("encoding") or "utf-8") == b"\n"
    return whole and not given.get("quoted_newlines")


def _header(file: str, how: tuple[tuple[str, Any], ...] = ()) -> list[str]:
    if _packed(file) == "zip":
        with _opened(file, NO_CSV) as handle:
            inside = [one.filename for one in zipfile.ZipFile(handle).infolist()]
        inside = [name for name in inside if not name.endswith("/")]
        if len(inside) != 1:  # only the first would be read
            raise ValueError(
                f"{file} holds {len(inside)} files, and one table is read of an archive: "
                f"{listed(inside, 5)}; unpack it into a folder"
            )
    with _opened(file, NO_CSV, _packed(file)) as handle:
        told = _options(how)
        row = pd.read_csv(handle, header=None, nrows=1, dtype=str, keep_default_na=False, **told)
    return [str(name) or f"Unnamed: {place}" for place, name in enumerate(row.iloc[0])]


def _blocks(
    inputs: InputFiles, n_columns: int, how: tuple[tuple[str, Any], ...] = ()
) -> list[tuple[Block, ...]]:
    """Cut the files into blocks of about `BLOCK_BYTES`; of small ones, several are a partition."""
    blocks, sizes = [], []
    whole = not _cut(how)
    for file, mark in zip(inputs.files, inputs.marks, strict=True):
        size, packed = int(mark.partition(" ")[0]), _packed(file)
        if packed or whole or size <= BLOCK_BYTES:
            blocks.append(Block(file, how=how))
            sizes.append(max(size * (UNPACKED if packed else 1), FILE_BYTES * n_columns))
            continue
        for start in range(0, size, BLOCK_BYTES):
            blocks.append(Block(file, start, BLOCK_BYTES, how))
            sizes.append(min(BLOCK_BYTES, size - start))
    return _shared(blocks, sizes, BLOCK_BYTES, FEWEST)


def read_blocks(
    blocks: Sequence[Block],
    columns: list[str] | None = None,
    *,
    dtypes: dict[str, str],
    stamp: str = "",
) -> pd.DataFrame:
    """Read some columns of a partition, with the dtypes that hold for all."""
    wanted = list(dtypes) if columns is None else list(columns)
    how = {"dtype": {name: dtypes[name] for name in wanted}, "usecols": wanted}
    frames = [_read_block(block, list(dtypes), **how)[wanted] for block in blocks]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _read_block(block: Block, names: Sequence[str], **how: Any) -> pd.DataFrame:
    with _opened(block.file, NO_CSV, _packed(block.file)) as handle:
        data = handle
        if block.length is not None:
            data = io.BytesIO(read_block(handle, block.start, block.length, delimiter=b"\n"))
        header = 0 if block.start == 0 else None
        how |= _options(block.how)
        how |= {"names": list(names), "header": header, "index_col": False, "low_memory": False}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(data, **how)
        except pd.errors.ParserError as error:
            if block.length is None or "EOF inside string" not in str(error):
                raise
            raise pd.errors.ParserError(
                f"{error}; a line break within quotes may be the cause, as files are cut into "
                "partitions at line breaks: give --quoted-newlines (csv: {quoted_newlines: true}), "
                f"or files of at most {BLOCK_BYTES // 2**20} MiB, compressed ones, or Parquet"
            ) from error


def _settled(partitions: Sequence[Sequence[Block]], names: Sequence[str]) -> dict[str, str]:
    """Return the dtype of each column, after one pass over all rows."""
    # In partials, so that Dask does not look for collections in blocks.
    tasks = [delayed(partial(_look, blocks, names), pure=False)() for blocks in partitions]
    seen = compute(*tasks)
    return {name: _dtype(set().union(*(of[name] for of in seen))) for name in names}


def _look(blocks: Sequence[Block], names: Sequence[str]) -> dict[str, set[str]]:
    """Return what columns hold: numpy's kinds of dtypes, "gaps", and "large" integers."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for block in blocks:
        # Of integers with gaps, numpy would make floats.
        frame = _read_block(block, names, dtype_backend="numpy_nullable")
        for name in names:
            known = frame[name].dropna()
            if len(known) < len(frame):
                found[name].add("gaps")
            if known.empty:
                continue
            found[name].add(known.dtype.kind)
            if known.dtype.kind == "i" and (known.max() >= EXACT or known.min() <= -EXACT):
                found[name].add("large")
    return found


def _dtype(seen: set[str]) -> str:
    """Return the dtype of a column from what it holds."""
    gaps, kinds = "gaps" in seen, seen - {"gaps", "large"}
    if kinds == {"b"}:
        return "boolean" if gaps else "bool"
    if kinds == {"u"} and not gaps:
        return "uint64"
    if kinds == {"i"} and ("large" in seen or not gaps):
        return "Int64" if gaps else "int64"
    return "float64" if kinds <= {"i", "f"} else "str"
