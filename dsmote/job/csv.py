"""CSV files as one Dask DataFrame, with the dtypes that hold for all the rows.

CSV does not say what its columns are, and the first rows may mislead: a column of whole numbers can
have a fraction, a gap or a word further down. So the files are read once only to settle the dtypes,
as pandas would if it read them whole, and then as often as the job needs them.

Large whole numbers with gaps are the exception: pandas makes floats of them, which round, and ids
would no longer be what they were.
"""

from __future__ import annotations

import codecs
import io
import os
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dask
import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
from fsspec.utils import read_block

from dsmote.job.files import (
    COMPRESSIONS,
    FILE_BYTES,
    READING_THREADS,
    InputFiles,
    clear_errors,
    is_of_storage,
    one_line,
    open_fs,
    share_partitions,
)
from dsmote.plan.labels import listed

__all__ = ["Block", "csv_blocks", "csv_columns", "csv_frame", "infer_blocks", "merge_kinds"]

#: A partition is about this much text. A compressed file cannot be split and is one partition.
BLOCK_BYTES = 32 * 2**20
#: What a compressed file counts for, as text: its size times this.
UNPACKED = 10
#: From here on float64 has no place for each whole number.
EXACT = 2**53
#: What an open quote means where a file was cut.
CUT_IN_TEXT = (
    "; a line break within quotes may be the cause, as files are cut into partitions at line "
    f"breaks: give files of at most {BLOCK_BYTES // 2**20} MiB, compressed ones, or Parquet"
)


@dataclass(frozen=True)
class Block:
    """The lines of a file that begin within a range of bytes.

    Parameters
    ----------
    file : str
    start, length : int
        In bytes; the length is None for a whole file.
    compression : str or None
    """

    file: str
    start: int
    length: int | None
    compression: str | None


def csv_columns(inputs: InputFiles) -> list[str]:
    """Read the header of every file, and refuse files whose headers differ.

    Parameters
    ----------
    inputs : InputFiles

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        When a file cannot be read as CSV, has a name twice, or has other columns than the first.
    """
    with ThreadPoolExecutor(READING_THREADS) as pool:
        headers = list(pool.map(_header, inputs.files))
    first = headers[0]
    twice = sorted({name for name in first if first.count(name) > 1})
    if twice:
        raise ValueError(f"{inputs.files[0]} has more than one column of the name {twice}")
    for file, header in zip(inputs.files, headers, strict=True):
        if header != first:
            raise ValueError(
                f"{file} does not have the columns of {inputs.files[0]}: {header} and {first}"
            )
    return first


def _header(file: str) -> list[str]:
    _refuse_several(file)
    with clear_errors("read", file), _open(file, _compression(file)) as handle:
        try:
            row = pd.read_csv(handle, header=None, nrows=1, dtype=str, keep_default_na=False)
        except (ValueError, OSError, EOFError) as error:
            if is_of_storage(error):
                raise
            if isinstance(error, UnicodeDecodeError):
                raise ValueError(_not_utf8(file, error)) from error
            raise ValueError(f"{file} cannot be read as CSV: {one_line(error)}") from error
    return [str(name) or f"Unnamed: {place}" for place, name in enumerate(row.iloc[0])]


def _not_utf8(file: str, error: UnicodeDecodeError) -> str:
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    likely = "UTF-16" if error.object.startswith(marks) else "LATIN1"
    return (
        f"{file} is not UTF-8 text (it has the byte 0x{error.object[error.start]:02x}): convert "
        f"it, such as with `iconv -f {likely} -t UTF-8 FILE > NEW.csv`"
    )


def _refuse_several(file: str) -> None:
    """Refuse an archive of several files: only the first would be read."""
    if _compression(file) != "zip":
        return
    with clear_errors("read", file), _open(file, None) as handle:
        try:
            found = [one.filename for one in zipfile.ZipFile(handle).infolist() if not one.is_dir()]
        except zipfile.BadZipFile as error:
            raise ValueError(f"{file} cannot be read as CSV: {one_line(error)}") from error
    if len(found) != 1:
        raise ValueError(
            f"{file} holds {len(found)} files, and one table is read of an archive: "
            f"{listed(found, 5)}; unpack it into a folder"
        )


def _compression(file: str) -> str | None:
    return COMPRESSIONS.get(os.path.splitext(file.lower())[1])


def _open(file: str, compression: str | None) -> Any:
    return fsspec.open(file, "rb", compression=compression).open()


def csv_blocks(inputs: InputFiles, names: Sequence[str]) -> list[tuple[Block, ...]]:
    """Cut the files into blocks of about `BLOCK_BYTES`; of small ones, several are a partition."""
    blocks, sizes = [], []
    for file in inputs.files:
        compression = _compression(file)
        fs, path = open_fs(file)
        size = int(fs.info(path)["size"] or 0)
        if compression is not None or size <= BLOCK_BYTES:
            blocks.append(Block(file, 0, None, compression))
            sizes.append(max(size * (UNPACKED if compression else 1), FILE_BYTES * len(names)))
            continue
        for start in range(0, size, BLOCK_BYTES):
            blocks.append(Block(file, start, BLOCK_BYTES, None))
            sizes.append(min(BLOCK_BYTES, size - start))
    return share_partitions(blocks, sizes, BLOCK_BYTES)


def _read(block: Block, names: Sequence[str], **options: Any) -> pd.DataFrame:
    with clear_errors("read", block.file), _open(block.file, block.compression) as handle:
        data: Any = handle
        if block.length is not None:
            data = io.BytesIO(read_block(handle, block.start, block.length, delimiter=b"\n"))
        header = 0 if block.start == 0 else None
        try:
            with warnings.catch_warnings():
                # It would drop the fields that are too many.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    data,
                    names=list(names),
                    header=header,
                    index_col=False,
                    low_memory=False,
                    **options,
                )
        except UnicodeDecodeError as error:
            raise ValueError(_not_utf8(block.file, error)) from error
        except (ValueError, EOFError, pd.errors.ParserWarning) as error:
            cut = block.length is not None and "EOF inside string" in str(error)
            why = CUT_IN_TEXT if cut else ""
            message = f"{block.file} cannot be read as CSV: {one_line(error)}{why}"
            raise ValueError(message) from error


def infer_blocks(blocks: Sequence[Block], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what kind of values each column of each block has.

    Parameters
    ----------
    blocks : sequence of Block
    names : sequence of str

    Returns
    -------
    list of tuple of str
        Each ``"none"`` (no rows), ``"empty"``, ``"bool"``, ``"bool with gaps"``, ``"int"``,
        ``"int with gaps"``, ``"long"``, ``"long with gaps"`` (whole numbers that float64 does not
        hold), ``"uint"``, ``"float"`` or ``"text"``.
    """
    return [_infer(block, names) for block in blocks]


def _infer(block: Block, names: Sequence[str]) -> tuple[str, ...]:
    frame = _read(block, names)
    kinds = {str(name): _kind(column) for name, column in frame.items()}
    rounded = [
        name
        for name, kind in kinds.items()
        if kind == "int with gaps" and frame[name].abs().max() >= EXACT
    ]
    del frame
    return tuple((kinds | {name: _long(block, names, name) for name in rounded}).values())


def _long(block: Block, names: Sequence[str], name: str) -> str:
    """Tell whether a column that pandas made floats of holds whole numbers too large for them."""
    try:
        _read(block, names, dtype={name: "Int64"}, usecols=[name])
    except (ValueError, TypeError, OverflowError):  # such as 1e300
        return "float"
    return "long with gaps"


def _kind(column: pd.Series) -> str:
    dtype = column.dtype
    if column.empty:
        return "none"
    if column.isna().all():
        return "empty"
    if pd.api.types.is_bool_dtype(dtype):
        return "bool"
    if pd.api.types.is_unsigned_integer_dtype(dtype):
        return "uint"
    if pd.api.types.is_integer_dtype(dtype):
        return "long" if column.max() >= EXACT or column.min() <= -EXACT else "int"
    if pd.api.types.is_float_dtype(dtype):
        known = column[column.notna()]
        whole = len(known) < len(column) and bool((np.floor(known) == known).all())
        return "int with gaps" if whole else "float"
    if pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return "bool with gaps"
    return "text"


def merge_kinds(kinds: Iterable[str]) -> str:
    """Return the dtype of a column from the kinds its blocks have.

    Examples
    --------
    >>> merge_kinds(["int", "int"]), merge_kinds(["int", "float"]), merge_kinds(["int", "text"])
    ('int64', 'float64', 'str')
    """
    present = set(kinds) - {"none"}
    values = present - {"empty"}
    gaps = "empty" in present
    if not values:
        return "float64"
    if values <= {"bool", "bool with gaps"}:
        return "bool" if values == {"bool"} and not gaps else "boolean"
    if values <= {"int", "long"} and not gaps:
        return "int64"
    if values == {"uint"} and not gaps:
        return "uint64"
    whole = {"int", "int with gaps", "long", "long with gaps"}
    if values <= whole and values & {"long", "long with gaps"}:
        return "Int64"
    return "float64" if values <= whole | {"float"} else "str"


def csv_frame(inputs: InputFiles, names: Sequence[str]) -> Any:
    """Return the files as a lazy Dask DataFrame, after one pass that settles the dtypes.

    Parameters
    ----------
    inputs : InputFiles
    names : sequence of str
        From `csv_columns`.

    Returns
    -------
    dask.dataframe.DataFrame
    """
    partitions = csv_blocks(inputs, names)
    infer = dask.delayed(infer_blocks, pure=False, traverse=False)
    found = dask.compute(*(infer(blocks, list(names)) for blocks in partitions))
    kinds = [kind for some in found for kind in some]
    dtypes = {name: merge_kinds(kind[i] for kind in kinds) for i, name in enumerate(names)}
    meta = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in dtypes.items()})
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_map(
            read_csv_blocks,
            partitions,
            meta=meta,
            label="read-csv",
            dtypes=dtypes,
            stamp=inputs.stamp,
        )


def read_csv_blocks(
    blocks: Sequence[Block],
    columns: list[str] | None = None,
    *,
    dtypes: dict[str, str],
    stamp: str = "",
) -> pd.DataFrame:
    """Read one partition, with the dtypes that hold for all.

    Parameters
    ----------
    blocks : sequence of Block
    columns : list of str, optional
    dtypes : dict
    stamp : str
        Tells tasks of a changed file from tasks of the old one.

    Returns
    -------
    pandas.DataFrame
    """
    names = list(dtypes)
    wanted = names if columns is None else list(columns)
    how = {"dtype": {name: dtypes[name] for name in wanted}, "usecols": wanted}
    frames = [_read(block, names, **how)[wanted] for block in blocks]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
