"""Keys of a job about its columns and how its input is read, as pydantic checks them."""

from __future__ import annotations

import codecs
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic.dataclasses import dataclass

from dsmote.job.jobfile import plain

CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


def as_list(value: Any) -> Any:
    """Return one value as a list of one, and dates as text."""
    value = [value] if isinstance(value, str | int | float | date) else value
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def _folders(value: Any) -> Any:
    """Return the columns of folders: () for those of the input, None for none."""
    if value is None:
        raise ValueError("must be a list, 'same' or 'none', not empty")
    only = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    return {"same": (), "none": None}[only] if only in ("same", "none") else as_list(value)


def _filters(value: Any) -> Any:
    """Return filters as lists of lists, with dates as text."""
    if not isinstance(value, list | tuple):
        return value
    flat = value and all(isinstance(one, list | tuple) and one for one in value)
    if flat and all(isinstance(one[0], str) for one in value):
        value = [value]
    return [
        [
            [as_list(part) if isinstance(part, list | tuple) else plain(part) for part in one]
            for one in every
        ]
        if isinstance(every, list | tuple) and all(isinstance(one, list | tuple) for one in every)
        else every
        for every in value
    ]


def _encoding(value: str) -> str:
    try:
        codecs.lookup(value)
    except LookupError:
        raise ValueError(f"there is no encoding {value!r}: give one such as latin-1") from None
    return value


Text = Annotated[str, Field(pattern=r"\S")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Scalar = str | Annotated[int, Field(strict=True)] | Number | StrictBool
AsNames = BeforeValidator(as_list, json_schema_input_type=Text | list[Text])
AsFolders = BeforeValidator(_folders, json_schema_input_type=Text | list[Text])
_Value = Scalar | tuple[Scalar, ...]
_Condition = tuple[Text, Literal["=", "==", "!=", "<", ">", "<=", ">=", "in", "not in"], _Value]
_Conditions = Annotated[tuple[_Condition, ...], Field(min_length=1)]
Filters = tuple[_Conditions, ...]
AsFilters = BeforeValidator(_filters, json_schema_input_type=_Conditions | Filters)


@dataclass(frozen=True, config=CONFIG)
class CSV:
    """How CSV files are written."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What separates the fields of CSV, such as ';' or a tab; a comma, when not given."""
    encoding: Annotated[Text, AfterValidator(_encoding)] | None = None
    """Encoding of CSV, such as latin-1; UTF-8, when not given."""
    decimal: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Decimal point of CSV, such as ','; a point, when not given."""
    quoted_newlines: StrictBool = False
    """CSV fields in quotes may hold line breaks: files are then not cut: each is
    a partition."""
