"""How an input is read besides its format: columns in the names of folders, and filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsmote.plan.labels import listed

#: What Hive, Spark and pyarrow call the folder of rows in which the column is missing.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
#: What type_for_alias does not know: what pandas calls text that repeats.
CATEGORY = pa.dictionary(pa.int32(), pa.string())

#: Column, operator and value; all of an inner tuple hold, of one inner tuple of the outer.
Filters = tuple[tuple[tuple[str, str, Any], ...], ...]


@dataclass(frozen=True)
class Reading:
    """What a job says of how its input is read."""

    partition_types: Mapping[str, str] = field(default_factory=dict)
    filters: Filters = ()
    csv: tuple[tuple[str, Any], ...] = ()  # what is given of a job's section `csv`

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> Reading:
        """Return it from the keys of a job, as plain data."""
        filters = tuple(tuple(map(tuple, every)) for every in job.get("filters") or ())
        csv = tuple((job.get("csv") or {}).items())
        return cls(dict(job.get("partition_types") or {}), filters, csv)

    @property
    def filtered(self) -> tuple[str, ...]:
        """The columns of the filters."""
        return tuple(dict.fromkeys(name for every in self.filters for name, _, _ in every))


def folder_values(url: str, root: str, files: Sequence[str]) -> list[dict[str, str | None]]:
    """Return the values in the names of the folders of each file, below the root.

    >>> folder_values("t", "/t", ["/t/year=2026/name=a%2Fb/part.parquet"])
    [{'year': '2026', 'name': 'a/b'}]
    """
    found: list[dict[str, str | None]] = []
    for file in files:
        segments = [part.partition("=") for part in file[len(root) :].split("/")[:-1]]
        pairs = [(unquote(name), unquote(text)) for name, equals, text in segments if equals]
        values = {name: None if text == NO_VALUE else text for name, text in pairs}
        if len(values) < len(pairs):
            raise ValueError(f"{file} lies in two folders that name the same column: rename one")
        if found and [*values] != [*found[0]]:
            raise ValueError(
                f"{url} has files in folders of different columns: {[*found[0]]} of {files[0]}, "
                f"{[*values]} of {file}; move the files of one kind away, or give them as a glob"
            )
        found.append(values)
    return found


def typed_folders(
    found: Sequence[Mapping[str, str | None]], types: Mapping[str, str]
) -> tuple[pa.Schema, tuple[dict[str, Any], ...]]:
    """Return the columns in the names of folders, and their values for each file.

    Types that are not given are those that pyarrow infers: 32-bit integers, or else text.
    """
    fields, columns = [], {}
    names = list(found[0]) if found else []
    unknown = [name for name in types if name not in names]
    if unknown:
        there = f"; there are {listed(names)}" if names else ", and no folder names a column"
        raise ValueError(f"partition_types names {unknown[0]!r}, which no folder names{there}")
    if not names:
        return pa.schema([]), tuple({} for _ in found)
    for name in names:
        texts = pa.array([values[name] for values in found], pa.string())
        try:
            values = texts.cast(_type(types.get(name, "int32")))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            if name in types:
                raise ValueError(
                    f"partition_types says that {name!r} is {types[name]}, and a folder's name is "
                    f"not: {error}"
                ) from error
            values = texts
        if values.null_count == len(values):
            values = values.cast(_type(types.get(name, "string")))
        fields.append(pa.field(name, values.type))
        columns[name] = values.to_pylist()
    rows = zip(*columns.values(), strict=True)
    return pa.schema(fields), tuple(dict(zip(names, row, strict=True)) for row in rows)


def _type(name: str) -> pa.DataType:
    try:
        return CATEGORY if name == "category" else pa.type_for_alias(name)
    except ValueError as error:
        raise ValueError(
            f"partition_types has the type {name!r}: give one that pyarrow knows, such as string, "
            "int64, date32 or category"
        ) from error


def kept_files(
    filters: Filters, schema: pa.Schema, values: Sequence[Mapping[str, Any]]
) -> list[bool]:
    """Tell which files may hold rows that filters keep, by the names of their folders."""
    if not schema.names or not filters:
        return [True] * len(values)
    rows = pa.Table.from_pylist(list(values), schema)
    known = restricted(filters, schema.names)
    return list(mask(rows, known).to_pylist()) if all(known) else [True] * len(values)


def restricted(filters: Filters, names: Sequence[str]) -> Filters:
    """Return the conditions on some columns: of the others, nothing is known yet."""
    return tuple(tuple(one for one in every if one[0] in names) for every in filters)


def mask(table: pa.Table, filters: Filters) -> pa.Array:
    """Tell which rows filters keep; where a value is missing, it compares to nothing.

    >>> table = pa.table({"a": [1, 2, None]})
    >>> mask(table, ((("a", ">", 1),),)).to_pylist()
    [False, True, False]
    """
    number = "#"
    while number in table.column_names:
        number += "#"
    names = {name for every in filters for name, _, _ in every}
    held = {name: _plain(table[name]) for name in names}
    rows = pa.table({**held, number: pa.array(np.arange(len(table)))})
    kept = rows.filter(expression(filters, rows.schema))[number]
    return pc.is_in(rows[number], value_set=kept.combine_chunks()).combine_chunks()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    of = column.type
    return column.cast(of.value_type) if pa.types.is_dictionary(of) else column


def expression(filters: Filters, schema: pa.Schema) -> Any:
    """Return filters as pyarrow's expression, with values in the types of the columns."""
    import pyarrow.parquet as pq

    return pq.filters_to_expression(
        [[(name, op, _value(schema.field(name).type, v)) for name, op, v in e] for e in filters]
    )


def _value(of: pa.DataType, value: Any) -> Any:
    """Return a value that can be compared: dates are text in job files."""
    if isinstance(value, list | tuple):
        return [_value(of, one) for one in value]
    if isinstance(value, str) and (pa.types.is_temporal(of) or pa.types.is_decimal(of)):
        return pa.scalar(value).cast(of)
    return value


def check_filters(filters: Filters, schema: pa.Schema) -> None:
    """Refuse filters that cannot be asked of columns, before any row is read."""
    for every in filters:
        for one in every:
            name = one[0]
            if name not in schema.names:
                raise ValueError(
                    f"filters names column {name!r}, which is not in the input; its columns are: "
                    f"{listed(schema.names)}"
                )
            try:
                mask(pa.schema([schema.field(name)]).empty_table(), ((one,),))
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise ValueError(
                    f"filters compares column {name!r}, which is {schema.field(name).type}, with "
                    f"{one[2]!r}: {' '.join(str(error).split())}"
                ) from error
