"""Columns and their roles: numeric or categorical features, passthrough, groups, the target."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dsmote.plan.labels import listed
from dsmote.plan.profile import KEPT_VALUES, Profile, hashes

_KIND_OF = {"f": "float", "i": "int", "u": "int", "b": "bool", "M": "datetime", "m": "timedelta"}
NUMERIC_KINDS = (*_KIND_OF.values(), "decimal")
_OBJECT = np.dtype("O")
_NESTED = ("list<", "large_list<", "struct<", "map<", "complex")


@dataclass(frozen=True)
class Column:
    """One column of the table; `dtype` is as the input declares it.

    `kind` is ``"float"``, ``"int"``, ``"bool"``, ``"datetime"``, ``"timedelta"`` or ``"decimal"``
    of a numeric feature, ``"nominal"`` of a categorical one; ``"carried"``; ``"group"``;
    ``"copied"`` when new rows have their base row's value; ``"target"``. `given` is ``object``
    where numbers are stored as Python objects, and `dtype` is what they are read as.
    """

    name: Any
    dtype: Any
    kind: str
    given: Any = None


def _positions(kind: str) -> cached_property[list[int]]:
    return cached_property(lambda schema: schema._places.get(kind, []))


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in order, their labels, and the positions of those of a kind.

    `target` and `group` are None where they are no column of the table.
    """

    columns: tuple[Column, ...]

    names = property(lambda self: [column_name(c.name) for c in self.columns])
    numeric = _positions("numeric")
    nominal = _positions("nominal")
    carried = _positions("carried")
    copied = _positions("copied")
    group = cached_property(lambda self: self._places.get("group", [None])[0])
    target = cached_property(lambda self: self._places.get("target", [None])[0])

    def __getstate__(self) -> dict[str, Any]:
        return {"columns": self.columns}  # not what is computed from them: tables may be wide

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for i, c in enumerate(self.columns):
            places.setdefault("numeric" if c.kind in NUMERIC_KINDS else c.kind, []).append(i)
        return places

    @cached_property
    def rounded(self) -> np.ndarray:
        """Which of the numeric features hold integers, as bools and moments do."""
        kinds = [self.columns[i].kind for i in self.numeric]
        return np.array([kind not in ("float", "decimal") for kind in kinds], dtype=bool)

    def row_bytes(self) -> int:
        """Estimate the bytes that one row takes in a pandas frame."""
        total = 0.0
        for column in self.columns:
            dtype = column.dtype
            if isinstance(dtype, pd.CategoricalDtype):
                total += 4
            elif isinstance(dtype, np.dtype) and dtype.kind != "O":
                total += dtype.itemsize
            elif is_nominal_dtype(dtype):
                total += 48  # text and objects
            else:
                total += getattr(dtype, "itemsize", 8) + 1
        return max(1, int(total))


def column_name(name: Any) -> Any:
    """Return a column's label so that it is found among others: NaN equals only the same object."""
    return np.nan if isinstance(name, float) and name != name else name


def is_nominal_dtype(dtype: Any) -> bool:
    """Tell whether a column of this dtype holds categories, not numbers (nor bool)."""
    return (
        isinstance(dtype, pd.CategoricalDtype)
        or pd.api.types.is_string_dtype(dtype)
        or pd.api.types.is_object_dtype(dtype)
    )


def is_flag_dtype(dtype: Any) -> bool:
    """Tell whether a column of this dtype holds bools, which are numbers to SMOTE."""
    # To pandas, categories of bools are bools, too.
    return bool(pd.api.types.is_bool_dtype(dtype)) and not is_nominal_dtype(dtype)


def _numeric_kind(dtype: Any) -> str | None:
    if isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("decimal"):
        return "decimal"
    return _KIND_OF.get(getattr(dtype, "kind", ""))


def carried_dtype(dtype: Any) -> Any:
    """Return the dtype that a carried column takes so that synthetic rows can be missing in it."""
    if isinstance(dtype, pd.SparseDtype) and dtype.subtype.kind in "iub":
        dtype = dtype.subtype
    if isinstance(dtype, pd.IntervalDtype) and getattr(dtype.subtype, "kind", "") in "iu":
        return pd.IntervalDtype(np.dtype("f8"), dtype.closed)
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return pd.array(np.empty(0, dtype.name)).dtype
    return dtype


def check_unique(names: Sequence[Any]) -> None:
    """Refuse names that occur twice."""
    duplicated = [name for name, n in Counter(names).items() if n > 1]
    if duplicated:
        raise ValueError(
            f"column names must be unique, but {listed(map(repr, duplicated))} "
            f"appear{'s' if len(duplicated) == 1 else ''} more than once; rename the columns"
        )


def _check_names(
    names: Sequence[Any], target: Any, has_target: bool, carry: Sequence[Any], group: Any
) -> None:
    """Refuse names that occur twice, of columns that are not there, and of two roles."""
    check_unique(names)
    absent = [f"column {name!r} to carry" for name in carry if name not in names]
    if has_target and target not in names:
        absent.append(f"target column {target!r}")
    if absent:
        raise ValueError(
            f"there is no {listed(absent)}; the columns are {listed(map(repr, names))}"
        )
    if has_target and target in carry:
        raise ValueError(f"the target column {target!r} cannot be carried; take it out of carry")
    if group is not None and has_target and group in [target]:
        raise ValueError(
            f"the target column {target!r} cannot be the groups as well: neighbours are of one "
            "class anyway; leave groups out"
        )
    if group is not None and group in carry:
        raise ValueError(
            f"column {group!r} is in carry and names the groups, too, but new rows are in the "
            "group of their parents, and a carried column is missing in them; take it out of carry"
        )


def make_schema(
    names: Sequence[Any],
    dtypes: Sequence[Any],
    *,
    target: Any = None,
    has_target: bool = False,
    carry: Sequence[Any] = (),
    nominal: Sequence[int] = (),
    group: Any = None,
    inherited: Sequence[Any] = (),
    any_kind: bool = False,
    sampler: str = "SMOTE",
    objects: Collection[int] = (),
) -> Schema:
    """Give every column its role and check that each feature can be used.

    `target` counts where `has_target`; `carry` are passthrough columns, missing in new rows;
    `nominal` positions of categorical features; `group` says which rows belong together; of
    `inherited` columns new rows have their base row's value. With `any_kind` columns of every dtype
    are taken, because none is a feature. `sampler` is named in errors; `objects` are positions of
    the columns whose numbers are stored as Python objects.

    Examples
    --------
    >>> schema = make_schema(["id", "x"], [np.dtype("i8"), np.dtype("f8")], carry=["id"])
    >>> [column.kind for column in schema.columns]
    ['carried', 'float']
    """
    names = list(map(column_name, names))
    carry, inherited = list(map(column_name, carry)), list(map(column_name, inherited))
    target, group = column_name(target), column_name(group)
    _check_names(names, target, has_target, carry, group)
    roles = dict.fromkeys(inherited, "copied")
    if group is not None:
        roles[group] = "group"
    roles |= dict.fromkeys(carry, "carried")
    if has_target:
        roles[target] = "target"
    categorical, other = set(nominal), "copied" if any_kind else None
    columns, text = [], []
    for i, (name, dtype) in enumerate(zip(names, dtypes, strict=True)):
        kind = roles.get(name) or ("nominal" if i in categorical else other)
        kind = kind or _numeric_kind(dtype)
        if kind is None and is_nominal_dtype(dtype):
            text.append(name)
        nested = kind == "nominal" and str(dtype).startswith(_NESTED)
        if nested or (kind is None and name not in text):
            raise TypeError(
                f"column {name!r} has dtype {dtype}, which {sampler} cannot use: neither numeric "
                "nor categorical; convert it to numbers or categories, or name it in carry"
            )
        given = _OBJECT if i in objects and kind in NUMERIC_KINDS else None
        columns.append(Column(name, dtype, kind or "nominal", given))
    schema = Schema(tuple(columns))
    if text:
        raise ValueError(text_found(text, sampler))
    if not any_kind and not schema.numeric and not schema.nominal:
        raise ValueError("there is no feature: 0 feature(s) where at least 1 is required")
    return schema


#: They fit a model to numbers, and make no rows.
_NUMBERS_ONLY = {"ClusterCentroids", "InstanceHardnessThreshold"}


def text_found(names: Sequence[Any], sampler: str | None = None) -> str:
    """Write the message for columns of text that are used as numeric features."""
    use, its = ("", "") if sampler == "SMOTENC" else ("use SMOTENC and ", "its ")
    listing = f"{use}list them in {its}categorical_features, "
    if sampler in _NUMBERS_ONLY:
        listing = ""
    return (
        f"{sampler or 'the sampler'} needs numbers, but {len(names)} column"
        f"{' holds' if len(names) == 1 else 's hold'} text (could not convert string to float): "
        f"{listed(map(repr, names))}; {listing}"
        "encode them as numbers, or name them in carry"
    )


def with_decimals(schema: Schema, digits: Mapping[int, tuple[int, int] | None]) -> Schema:
    """Return the schema with those object columns as decimals whose digits are given.

    They are digits before the point, and after it; None where not all values are decimals.
    """
    given = {i: of for i, of in digits.items() if of and schema.columns[i].given is not None}
    return with_dtypes(schema, {i: decimal_dtype(*of) for i, of in given.items()}, kind="decimal")


def decimal_dtype(before: int, after: int) -> pd.ArrowDtype:
    """Return the Arrow dtype that holds decimals with these numbers of digits."""
    digits = max(1, before + after)
    return pd.ArrowDtype(
        pa.decimal128(digits, after) if digits <= 38 else pa.decimal256(digits, after)
    )


def with_dtypes(schema: Schema, dtypes: dict[int, Any], **more: Any) -> Schema:
    """Return the schema with the dtypes of some columns replaced, by position."""
    columns = [
        replace(c, dtype=dtypes[i], **more) if i in dtypes else c
        for i, c in enumerate(schema.columns)
    ]
    return Schema(tuple(columns)) if dtypes else schema


_INDEX = re.compile(r"Unnamed: \d+")  # what pandas calls a CSV column without a name
_LEAST_ROWS = 100  # in fewer rows integers are often all different
_NEARLY = 0.9  # counted to about 3 %
_SHARE = 0.99  # of the variance
_FEW = 20
_MISSING = ("", "-", "?", "na", "n/a", "nan", "none", "null")
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{1,2}:\d{2}(?=:|$))"
    r"([T ]?:?\d{1,2}(:\d{2})*([.,]\d+)?\s?(Z|UTC|[-+]\d{2}:?\d{2})?)?"
)
_NUMBER = re.compile(
    r"[-+]?[$€£]?\s?(\d{1,3}([,.' \u00a0]\d{3})+([.,]\d+)?|\d*[.,]\d+)([eE][-+]?\d+)?\s?[%$€£]?"
)
_DIGITS = re.compile(rf"{_NUMBER.pattern}|[-+]?\d+")


def advice(schema: Schema, profile: Profile, growing: Sequence[Any], scaled: bool) -> list[str]:
    """Return lines about features that spoil distances or get values that mean nothing.

    They are ids, clocks, index columns, codes, numbers as text. Neighbours are found in the classes
    `growing`; `scaled` tells whether numeric features are scaled before.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for i in [*schema.numeric, *schema.nominal]:
        name, kind, detail = schema.columns[i].name, None, ""
        if isinstance(name, str) and _INDEX.fullmatch(name):
            kind = "index"
        if kind is None and i in profile.texts:
            kind, detail = _text(profile.texts[i])
        if kind is None and i in profile.distinct:
            kind, detail = _values(profile.distinct[i], profile.rows, codes=i not in profile.texts)
        if kind is not None:
            found[kind].append(f"{name!r}{detail}")
    found["dominant"] = [] if scaled else _dominant(schema, profile, growing)
    return [
        f"column{'s' if len(found[kind]) > 1 else ''} {listed(found[kind])}: {text}"
        for kind, text in _KINDS.items()
        if found[kind]
    ]


_KINDS = {
    "index": "probably the index of a CSV file, not a feature; name the column in carry",
    "id": "nearly as many values as rows; if these are ids or free text, they are not features: "
    "name the column in carry",
    "date": "dates as text are categories, one for each date; convert them first, or name the "
    "column in carry",
    "number": "numbers as text are categories, one for each number; convert them first, or name "
    "the column in carry",
    "code": "integers with gaps between them; if they are codes, new rows get values that do not "
    "exist: use SMOTENC with categorical_features",
    "dominant": "more than 99 % of the variance: it alone decides which rows are neighbours; "
    "pass scale='standard', or name the column in carry",
}


def _text(texts: Sequence[str]) -> tuple[str | None, str]:
    """Tell dates and numbers as text by the first values; what stands for missing is left out."""
    counts = Counter(map(str.strip, texts))  # of categories, a few say it
    counts = Counter({text: n for text, n in counts.items() if text.lower() not in _MISSING})
    for kind, form, wider in (("date", _DATE, _DATE), ("number", _NUMBER, _DIGITS)):
        found = [text for text in counts if form.fullmatch(text)]
        matching = sum(n for text, n in counts.items() if found and wider.fullmatch(text))
        if found and matching >= _NEARLY * counts.total():
            return kind, f" (such as {found[0]!r})"
    return None, ""


def _values(values: np.ndarray, rows: int, codes: bool) -> tuple[str | None, str]:
    """Tell ids and codes by the different values."""
    n = len(values)
    if n == KEPT_VALUES:  # the n-th smallest hash tells how many there are
        n = int((n - 1) / (float(hashes(values).max()) / 2.0**64))
    if rows >= _LEAST_ROWS and n >= _NEARLY * rows:
        return "id", ""
    if not (codes and 2 < n <= _FEW and rows >= _LEAST_ROWS) or (values == 0).any():
        return None, ""
    gaps = np.diff(np.sort(values))
    # Counts begin with 0 and have gaps among the largest, and rounded measurements even ones.
    uneven = np.median(gaps) > 1 and gaps.min() < gaps.max()
    return ("code", f" ({n} values)") if uneven else (None, "")


def _dominant(schema: Schema, profile: Profile, growing: Sequence[Any]) -> list[str]:
    """Say which feature alone decides which rows are neighbours, as the sample shows."""
    if len(schema.numeric) < 2:
        return []
    found: Counter[str] = Counter()
    for label in growing:
        if label not in profile.sample or len(profile.sample[label][1]) < _LEAST_ROWS // 5:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            variances = profile.sample[label][1].var(axis=0)
            total = variances.sum()
        place = int(np.argmax(variances))
        if np.isfinite(total) and total > 0 and variances[place] > _SHARE * total:
            found[repr(schema.columns[schema.numeric[place]].name)] += 1
    return [f"{name} (in {n} of {len(growing)} classes that grow)" for name, n in found.items()]
