"""What the validation library found, in the words of a job file."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from typing import Any

from dsmote.job.jobfile.mistakes import did_you_mean
from dsmote.job.jobfile.tree import MAX_DIGITS, Place, trap_of
from dsmote.job.secrets import MASK

__all__ = ["shown", "words_for"]

#: What a value must be, by the name of the error.
MUST = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "none_required": "null",
    "string_pattern_mismatch": "a size such as 2GiB",
}


def words_for(errors: list[dict[str, Any]], value: Any, place: Place) -> str:
    """Return one sentence about a value: what it must be, what it is, and what may be meant.

    Parameters
    ----------
    errors : list of dict
        As the validation library tells them, for one value; several where it may be of several
        kinds.
    value : object
    place : Place

    Returns
    -------
    str

    Examples
    --------
    >>> words_for([{"type": "int_type"}], True, Place())
    'must be a whole number, not true'
    """
    musts: list[str] = []
    choices: list[str] = []
    for error in errors:
        kind, context = error["type"], error.get("ctx", {})
        if kind == "literal_error":
            listed = _choices(str(context["expected"]))
            choices += listed
            musts.append(f"one of {', '.join(listed)}")
        elif kind == "string_pattern_mismatch" and context.get("pattern") == r"\S":
            musts.append("text that is not empty")
        elif kind in ("string_too_short", "too_short"):
            musts.append("not empty")
        elif kind in MUST:
            musts.append(MUST[kind])
        elif kind == "value_error":
            musts.append(str(context.get("error", error["msg"])).removeprefix("must be "))
        else:
            musts.append(str(error["msg"]).removeprefix("Input should be "))
    musts = list(dict.fromkeys(musts))
    if "a number" in musts and "a whole number" in musts:
        musts.remove("a whole number")
    near = did_you_mean(value, choices) if isinstance(value, str) and not place.secret else ""
    hint = _hint(musts, value, place)
    return f"must be {' or '.join(musts)}, not {shown(value, place)}{near}{hint}"


def _choices(expected: str) -> list[str]:
    """Return the choices that the library lists as ``'a', 'b' or 'c'``."""
    return [one.strip("'") for one in expected.replace(" or ", ", ").split(", ")]


def shown(value: Any, place: Place) -> str:
    """Return a value as the file would have it, or masked.

    Examples
    --------
    >>> shown(True, Place()), shown("a", Place()), shown("a", Place(secret=True))
    ('true', "'a'", '***')
    """
    if place.secret:
        return MASK
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "keys and values" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS:  # which Python may not print
        return "a number of so many digits"
    if isinstance(value, str | datetime.date):
        text = repr(str(value))
        return text if len(text) <= 60 else f"{text[:56]} ...'"
    return str(value)


def _hint(musts: Iterable[str], value: Any, place: Place) -> str:
    """Say what YAML made of what was written, where that is the mistake."""
    texts = any(must.startswith(("text", "one of")) for must in musts)
    if place.secret or place.raw is None:
        return ""
    if texts and not isinstance(value, str) and value is not None:
        trap = trap_of(value, place.raw, strict=True)
        return f" ({trap})" if trap else f" (put it in quotes: {place.raw!r})"
    if isinstance(value, str) and any("number" in must for must in musts):
        number = _number(place.raw, whole="a number" not in musts)
        return "" if number is None else f" (YAML takes {place.raw} for text; write {number!r})"
    return ""


def _number(raw: str, whole: bool) -> int | float | None:
    """Return the number that a text such as ``1e3`` means, if it is of the kind that is asked."""
    try:
        number = float(raw)
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and number != int(number)):
        return None
    return int(number) if whole else number
