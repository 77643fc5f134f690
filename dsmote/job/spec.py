"""What a job is: the files, the columns and the sampler's parameters, as plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dsmote.job.combinations import check_combination
from dsmote.job.labels import ByLabel, LabelCounts, parse_strategy, plain_label, plain_value
from dsmote.job.secrets import Secrets
from dsmote.job.split import Split
from dsmote.plan.labels import listed
from dsmote.samplers.registry import check_parameters, find_sampler, parameters_of

__all__ = [
    "JobSpec",
    "LabelCounts",
    "Split",
    "has_parameter",
    "parse_strategy",
    "plain_label",
    "plain_value",
    "sampler_of",
]

#: The word of ``sampling_strategy`` that is for samplers of the other kind only.
NOT_FOR = {"over-sampling": "majority", "under-sampling": "minority", "clean-sampling": "minority"}

AUTO = "auto"
#: Of a row group: what Parquet's writer can count to.
MOST_ROWS = 2**31 - 1
#: Fields that reach the sampler as they are, where they are given and it has them.
PASSED = ("random_state", "missing", "neighbors", "scale")
#: Parameters that a job has other means for: it checks columns, and reads labels from text.
OWN = ("sampling_strategy", "carry")
#: What fields that are words may be.
CHOICES = {
    "format": ("parquet", "csv"),
    "missing": ("error", "skip"),
    "neighbors": ("auto", "tree", "brute", "fast"),
    "scale": ("standard", "minmax", "robust"),
    "if_exists": ("error", "skip", "replace"),
    "mode": ("full", "synthetic"),
    "compression": ("snappy", "zstd", "gzip", "lz4", "brotli", "none"),
}


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
    sampler : str
        A name that :func:`dsmote.make_sampler` takes, or ``"auto"``: SMOTE when every measured
        column is numeric and SMOTENC otherwise.
    sampling_strategy : str, float or mapping
        A name, a ratio, or total rows by label. Keys of a mapping match labels by their text.
    k_neighbors : int, optional
        The sampler's ``n_neighbors``, where it is called that.
    categorical : tuple of str
        Columns that are nominal although their dtype does not say so, for SMOTENC.
    carry : tuple of str
        Columns that are kept but never measured.
    missing : {"error", "skip"}, optional
    neighbors : {"auto", "tree", "brute", "fast"}, optional
        How neighbours are searched for.
    scale : {"standard", "minmax", "robust"}, optional
        Find neighbours among scaled columns.
    n_components : int or float, optional
        Find neighbours in leading principal components.
    random_state : int, optional
    if_exists : {"error", "skip", "replace"}
        What becomes of an output that is there already: ``"replace"`` puts the new one in its
        place once that is whole; ``"skip"`` leaves it when it was made from the same files in the
        same way.
    mode : {"full", "synthetic"}
        Write original and new rows, or the new ones only.
    split : Split, optional
        Which rows are for training; only these are resampled.
    partition_by : tuple of str
        Columns whose values become folders.
    row_group_rows : int, optional
        Rows of a Parquet row group.
    compression : str
        Of the Parquet files.
    shuffle : bool
        Mix new rows with original ones, by the seed.
    report : bool
        Write a page about the result, too.
    resume : bool
        Go on with the finished files of a run that died.
    params : mapping of str to object
        Further parameters of the sampler.
    hidden : Secrets
        What must not be shown. It is no part of the job: two that differ in it are equal.

    Raises
    ------
    ValueError
        What is wrong whatever the data are, such as a parameter that the sampler does not have.

    Notes
    -----
    What is not given is as the sampler has it.

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
    k_neighbors: int | None = None
    categorical: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    missing: str | None = None
    neighbors: str | None = None
    scale: str | None = None
    n_components: int | float | None = None
    random_state: int | None = None
    if_exists: str = "error"
    mode: str = "full"
    split: Split | None = None
    partition_by: tuple[str, ...] = ()
    row_group_rows: int | None = None
    compression: str = "snappy"
    shuffle: bool = False
    report: bool = False
    resume: bool = False
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    hidden: Secrets = field(default=Secrets(), repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what is wrong whatever the data are."""
        for name, path in (("input", self.input), ("output", self.output)):
            if path is not None and not path.strip():
                raise ValueError(f"the {name} is an empty path; name a file or folder")
        for name, allowed in CHOICES.items():
            _check_choice(name, getattr(self, name), allowed)
        n = self.n_components
        if n is not None and not (0 < n < 1 or (n >= 1 and n == int(n))):
            raise ValueError(
                f"n_components must be a whole number, or a share between 0 and 1, not {n}"
            )
        if self.k_neighbors is not None and self.k_neighbors < 1:
            raise ValueError(f"k_neighbors must be at least 1, not {self.k_neighbors}")
        if self.random_state is not None and self.random_state < 0:
            raise ValueError(f"random_state must not be negative, got {self.random_state}")
        if self.row_group_rows is not None and not 1 <= self.row_group_rows <= MOST_ROWS:
            raise ValueError(
                f"row_group_rows must be from 1 to {MOST_ROWS:,}, not {self.row_group_rows:,}"
            )
        _check_roles(self)
        _check_sampler(self)

    def __repr__(self) -> str:
        given = {k: v for k, v in self.shown().items() if v not in (None, [], {}, False)}
        return f"JobSpec({', '.join(f'{key}={value!r}' for key, value in given.items())})"

    def shown(self) -> dict[str, Any]:
        """Return the job as plain data in which secrets are masked: for manifests and logs."""
        masked: dict[str, Any] = self.hidden.mask_value(self.to_dict())
        return masked

    def to_dict(self) -> dict[str, Any]:
        """Return the job as plain data that JSON can hold, secrets included."""
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
            "if_exists": self.if_exists,
            "mode": self.mode,
            "split": None if self.split is None else self.split.to_dict(),
            "partition_by": list(self.partition_by),
            "row_group_rows": self.row_group_rows,
            "compression": self.compression,
            "shuffle": self.shuffle,
            "report": self.report,
            "resume": self.resume,
            "params": plain_value(self.params),
        }


def _check_choice(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _check_roles(spec: JobSpec) -> None:
    for role, columns in (("carry", spec.carry), ("categorical", spec.categorical)):
        if spec.target in columns:
            raise ValueError(f"the target column {spec.target!r} cannot be in {role} as well")
    both = sorted(set(spec.carry) & set(spec.categorical))
    if both:
        raise ValueError(f"a column is either carried or categorical, not both: {listed(both)}")


def _check_sampler(spec: JobSpec) -> None:
    """Refuse what was given and the sampler does not take."""
    kind = _kind(spec, mixed=True)
    there = parameters_of(kind)
    if spec.categorical and "categorical_features" not in there:
        raise ValueError(
            f"{kind.__name__} does not tell numbers from names, but {list(spec.categorical)} are "
            "said to be categorical: use the sampler smotenc, or leave them out"
        )
    if NOT_FOR.get(kind._sampling_type) == spec.sampling_strategy:
        raise ValueError(
            f"sampling_strategy {spec.sampling_strategy!r} is not for {kind._sampling_type}, "
            f"which {kind.__name__} does; give another, such as 'auto'"
        )
    own = [name for name in OWN if name in spec.params]
    if own:
        raise ValueError(f"{own[0]} is a field of the job: give it there, and not in params")
    given = _given(spec, kind)
    if spec.categorical:
        given["categorical_features"] = list(spec.categorical)
    twice = [name for name in given if name in spec.params]
    if twice:
        raise ValueError(f"{twice[0]} is given twice: as a field of the job, and in params")
    check_parameters(kind, [*given, *spec.params])
    kind(**given, **spec.params)._validate_params()
    check_combination(spec, kind)


def _kind(spec: JobSpec, mixed: bool) -> Any:
    """Return the sampler's class; `mixed` tells whether there are numbers and names."""
    if spec.sampler != AUTO:
        return find_sampler(spec.sampler, also=(AUTO,))
    named = spec.categorical or "categorical_features" in spec.params
    return find_sampler("smotenc" if mixed or named else "smote")


def _given(spec: JobSpec, kind: Any) -> dict[str, Any]:
    """Return the parameters that fields of the job give, by the names that the sampler has."""
    given = {name: getattr(spec, name) for name in PASSED if getattr(spec, name) is not None}
    there = parameters_of(kind)
    if spec.k_neighbors is not None:
        other = "k_neighbors" not in there and "n_neighbors" in there
        given["n_neighbors" if other else "k_neighbors"] = spec.k_neighbors
    n = spec.n_components
    if n is not None:
        # A command line or JSON may have turned 6 into 6.0, which would be a share.
        given["n_components"] = int(n) if n >= 1 else n
    if spec.carry:
        given["carry"] = list(spec.carry)
    return given


def has_parameter(spec: JobSpec, name: str) -> bool:
    """Tell whether the sampler of a job has a parameter.

    Examples
    --------
    >>> has_parameter(JobSpec("in.parquet", target="y", sampler="random-under"), "carry")
    False
    """
    return name in parameters_of(_kind(spec, mixed=True))


def sampler_of(spec: JobSpec, columns: pd.DataFrame) -> Any:
    """Build the sampler that a job asks for.

    Parameters
    ----------
    spec : JobSpec
    columns : pandas.DataFrame
        An empty frame with the input's columns and dtypes.

    Returns
    -------
    sampler

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [1.5], "colour": ["red"], "y": [0]})
    >>> sampler_of(JobSpec("in.parquet", target="y", k_neighbors=3), frame)
    SMOTENC(k_neighbors=3)
    """
    column = spec.split.column if spec.split else None
    aside = {spec.target, *spec.carry, column}
    measured = columns.drop(columns=[name for name in columns.columns if name in aside])
    nominal = [name for name in measured.columns if is_nominal(measured[name].dtype)]
    # A bool column is a number to SMOTE, so it alone does not make a table mixed.
    mixed = any(not pd.api.types.is_bool_dtype(measured[name].dtype) for name in nominal)
    kind, strategy = _kind(spec, mixed), spec.sampling_strategy
    given = _given(spec, kind)
    if spec.categorical:
        chosen = {*nominal, *spec.categorical}
        given["categorical_features"] = [name for name in measured.columns if name in chosen]
    sampler = kind(
        sampling_strategy=LabelCounts(strategy) if isinstance(strategy, Mapping) else strategy,
        **given,
        **{name: ByLabel(v) if isinstance(v, Mapping) else v for name, v in spec.params.items()},
    )
    if column is not None and hasattr(kind, "_inherited"):
        sampler._inherited = (column,)
    return sampler


def is_nominal(dtype: Any) -> bool:
    """Tell whether SMOTENC takes a column of this dtype as nominal without being told.

    Examples
    --------
    >>> is_nominal(pd.CategoricalDtype()), is_nominal(pd.Series([1]).dtype)
    (True, False)
    """
    return (
        isinstance(dtype, pd.CategoricalDtype)
        or pd.api.types.is_string_dtype(dtype)
        or pd.api.types.is_object_dtype(dtype)
        or pd.api.types.is_bool_dtype(dtype)
    )
