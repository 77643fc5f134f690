"""What a job is: the files, the columns and the sampler's parameters, as plain frozen data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["JobSpec", "LabelCounts", "make_sampler", "parse_strategy", "plain_label"]

#: Names that an over-sampler's ``sampling_strategy`` may have.
STRATEGY_NAMES = ("auto", "minority", "not minority", "not majority", "all")

SAMPLERS = ("auto", "smote", "smotenc")
FORMATS = ("parquet", "csv")
MISSING = ("error", "skip")
NEIGHBORS = ("auto", "tree", "brute", "fast")
SCALES = ("standard", "minmax", "robust")


@dataclass(frozen=True)
class JobSpec:
    """A resampling job on files.

    Parameters
    ----------
    input : str
        A Parquet or CSV file, folder or glob; a path or any URL that fsspec knows.
    target : str
        The column that holds the class labels.
    output : str, optional
        The folder to write; a dry run needs none.
    format : {"parquet", "csv"}, optional
        The input's format where the file names do not tell.
    sampler : {"auto", "smote", "smotenc"}
        ``"auto"`` takes SMOTE when every measured column is numeric and SMOTENC otherwise.
    sampling_strategy : str, float or mapping
        A name, a ratio, or total rows by label. Keys of a mapping match labels by their text.
    k_neighbors : int
    categorical : tuple of str
        Columns that are nominal although their dtype does not say so, for SMOTENC.
    carry : tuple of str
        Columns that are kept but never measured.
    missing : {"error", "skip"}
    neighbors : {"auto", "tree", "brute", "fast"}
        How neighbours are searched for.
    scale : {"standard", "minmax", "robust"}, optional
        Find neighbours among scaled columns.
    n_components : int or float, optional
        Find neighbours in leading principal components.
    random_state : int, optional
    overwrite : bool
        Replace an output that is there already, once the new one is whole.

    Examples
    --------
    >>> JobSpec("in.parquet", target="y", output="out", sampling_strategy={"1": 500}).to_dict()[
    ...     "sampling_strategy"
    ... ]
    {'1': 500}
    """

    input: str
    target: str
    output: str | None = None
    format: str | None = None
    sampler: str = "auto"
    sampling_strategy: str | float | Mapping[str, int] = "auto"
    k_neighbors: int = 5
    categorical: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    missing: str = "error"
    neighbors: str = "auto"
    scale: str | None = None
    n_components: int | float | None = None
    random_state: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what is wrong whatever the data are."""
        for name, path in (("input", self.input), ("output", self.output)):
            if path is not None and not path.strip():
                raise ValueError(f"the {name} is an empty path; name a file or folder")
        _check_choice("sampler", self.sampler, SAMPLERS)
        _check_choice("missing", self.missing, MISSING)
        _check_choice("neighbors", self.neighbors, NEIGHBORS)
        if self.scale is not None:
            _check_choice("scale", self.scale, SCALES)
        n = self.n_components
        if n is not None and not (0 < n < 1 or (n >= 1 and n == int(n))):
            raise ValueError(
                f"n_components must be a whole number, or a share between 0 and 1, not {n}"
            )
        if self.format is not None:
            _check_choice("format", self.format, FORMATS)
        if self.k_neighbors < 1:
            raise ValueError(f"k_neighbors must be at least 1, not {self.k_neighbors}")
        if self.random_state is not None and self.random_state < 0:
            raise ValueError(f"random_state must not be negative, got {self.random_state}")
        _check_roles(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the job as plain data that JSON can hold."""
        strategy = self.sampling_strategy
        return {
            "input": self.input,
            "output": self.output,
            "format": self.format,
            "target": self.target,
            "sampler": self.sampler,
            "sampling_strategy": dict(strategy) if isinstance(strategy, Mapping) else strategy,
            "k_neighbors": self.k_neighbors,
            "categorical": list(self.categorical),
            "carry": list(self.carry),
            "missing": self.missing,
            "neighbors": self.neighbors,
            "scale": self.scale,
            "n_components": self.n_components,
            "random_state": self.random_state,
            "overwrite": self.overwrite,
        }


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _check_roles(spec: JobSpec) -> None:
    for role, columns in (("carry", spec.carry), ("categorical", spec.categorical)):
        if spec.target in columns:
            raise ValueError(f"the target column {spec.target!r} cannot be in {role} as well")
    both = sorted(set(spec.carry) & set(spec.categorical))
    if both:
        raise ValueError(f"a column is either carried or categorical, not both: {both}")
    if spec.sampler == "smote" and spec.categorical:
        raise ValueError(
            f"SMOTE measures numbers only, but {list(spec.categorical)} are said to be "
            "categorical: use the sampler smotenc"
        )


def parse_strategy(text: str) -> str | float | dict[str, int]:
    """Read a sampling strategy from text: a name, a number, or a JSON object of label to rows.

    Parameters
    ----------
    text : str

    Returns
    -------
    str, float or dict

    Raises
    ------
    ValueError
        When it is none of the three.

    Examples
    --------
    >>> parse_strategy("auto"), parse_strategy("0.5"), parse_strategy('{"1": 5000}')
    ('auto', 0.5, {'1': 5000})
    """
    stripped = text.strip()
    if stripped in STRATEGY_NAMES:
        return stripped
    if stripped.startswith("{"):
        return _parse_counts(stripped)
    try:
        ratio = float(stripped)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither one of {', '.join(STRATEGY_NAMES)}, nor a number, nor a JSON "
            'object such as {"1": 5000}'
        ) from None
    if not (math.isfinite(ratio) and 0 < ratio <= 1):
        raise ValueError(f"a ratio must be above 0 and at most 1, not {text}")
    return ratio


def _parse_counts(text: str) -> dict[str, int]:
    def reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = dict(pairs)
        if len(counts) < len(pairs):
            raise ValueError("a label is given twice")
        return counts

    try:
        counts = json.loads(text, object_pairs_hook=reject_duplicates)
    except ValueError as error:
        raise ValueError(f"not a JSON object of label to rows: {error}") from None
    for label, rows in counts.items():
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
            raise ValueError(
                f"the rows of label {label!r} must be a whole number that is not negative, "
                f"not {rows!r}"
            )
    if not counts:
        raise ValueError("the JSON object names no label")
    return counts


@dataclass(frozen=True)
class LabelCounts:
    """A callable sampling strategy: total rows by the *text* of a label.

    JSON has text keys only, and a command line cannot tell the number 1 from the text "1". So a
    key matches the label of the data whose text it is, whatever the label's type; a number also
    matches a numeric label of the same value, and ``true`` and ``false`` match booleans.

    Parameters
    ----------
    rows : mapping of str to int

    Examples
    --------
    >>> LabelCounts({"1": 500})({0: 900, 1: 100})
    {1: 500}
    """

    rows: Mapping[str, int]

    def __call__(self, counts: Any) -> dict[Any, int]:
        """Return total rows by label, from class counts or from the target itself."""
        labels = (
            list(counts) if isinstance(counts, Mapping) else list(pd.unique(np.asarray(counts)))
        )
        return {_find_label(key, labels): rows for key, rows in self.rows.items()}


def _find_label(key: str, labels: list[Any]) -> Any:
    for matches in (_same_text, _same_value):
        found = [label for label in labels if matches(key, label)]
        if len(found) > 1:
            raise ValueError(f"{key!r} could be any of the labels {found}")
        if found:
            return found[0]
    listed = ", ".join(sorted(str(label) for label in labels)[:40])
    raise ValueError(
        f"sampling_strategy names the label {key!r}, which is not in the data; "
        f"the labels are: {listed}"
    )


def _same_text(key: str, label: Any) -> bool:
    return str(label) == key


def _same_value(key: str, label: Any) -> bool:
    if isinstance(label, bool | np.bool_):
        return key.lower() == str(label).lower() or key == str(int(label))
    if isinstance(label, int | float | np.integer | np.floating):
        try:
            return float(key) == float(label)
        except ValueError:
            return False
    return False


def plain_label(label: Any) -> Any:
    """Return a label as a type that JSON knows: bool, int, float or text.

    Examples
    --------
    >>> plain_label(np.int64(3)), plain_label(np.str_("a"))
    (3, 'a')
    """
    if isinstance(label, np.generic):
        label = label.item()
    return label if isinstance(label, bool | int | float | str) else str(label)


def make_sampler(spec: JobSpec, columns: pd.DataFrame) -> Any:
    """Build the sampler that a job asks for.

    Parameters
    ----------
    spec : JobSpec
    columns : pandas.DataFrame
        An empty frame with the input's columns and dtypes.

    Returns
    -------
    dsmote.SMOTE or dsmote.SMOTENC

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [1.5], "colour": ["red"], "y": [0]})
    >>> type(make_sampler(JobSpec("in.parquet", target="y"), frame)).__name__
    'SMOTENC'
    """
    from dsmote.samplers import SMOTE, SMOTENC

    strategy = spec.sampling_strategy
    # A command line or JSON may have turned 6 into 6.0, which would be a share.
    n = spec.n_components
    components = int(n) if n is not None and n >= 1 else n
    parameters: dict[str, Any] = {
        "sampling_strategy": LabelCounts(strategy) if isinstance(strategy, Mapping) else strategy,
        "k_neighbors": spec.k_neighbors,
        "random_state": spec.random_state,
        "carry": list(spec.carry) or None,
        "missing": spec.missing,
        "neighbors": spec.neighbors,
        "scale": spec.scale,
        "n_components": components,
    }
    aside = {spec.target, *spec.carry}
    measured = columns.drop(columns=[name for name in columns.columns if name in aside])
    nominal = [name for name in measured.columns if is_nominal(measured[name].dtype)]
    # A bool column is a number to SMOTE, so it alone does not make a table mixed.
    mixed = any(not pd.api.types.is_bool_dtype(measured[name].dtype) for name in nominal)
    if spec.sampler == "smote" or (spec.sampler == "auto" and not mixed and not spec.categorical):
        return SMOTE(**parameters)
    features: Any = "auto"
    if spec.categorical:
        chosen = {*nominal, *spec.categorical}
        features = [name for name in measured.columns if name in chosen]
    return SMOTENC(categorical_features=features, **parameters)


def is_nominal(dtype: Any) -> bool:
    """Tell whether SMOTENC takes a column of this dtype as nominal without being told.

    Examples
    --------
    >>> is_nominal(pd.CategoricalDtype()), is_nominal(np.dtype("int64"))
    (True, False)
    """
    return (
        isinstance(dtype, pd.CategoricalDtype)
        or pd.api.types.is_string_dtype(dtype)
        or pd.api.types.is_object_dtype(dtype)
        or pd.api.types.is_bool_dtype(dtype)
    )
