"""A job: one model, from which job files, the command line, `run_job` and the schema are made.

A key is a field: its type, default and description stand here and nowhere else. What a sampler
takes is asked of the sampler.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic.json_schema import GenerateJsonSchema, SkipJsonSchema
from pydantic_core import PydanticCustomError

from dsmote.job.jobfile import Path, Reader, Setting, closest, near
from dsmote.job.secrets import Secrets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cluster", "JobSpec", "Option", "Split", "job_schema", "load_job", "sampler_of"]

AUTO = "auto"
#: Rows of a row group that Parquet's writer can count to.
MOST_ROWS = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Option:
    """What the command line calls a key (``--key`` when empty), and the name of its value."""

    name: str = ""
    metavar: str | None = None


def key(default: Any, description: str, option: str = "", metavar: str | None = None) -> Any:
    """Return a field of a job; a default of ``...`` means that it is required."""
    made = Field(default=default, description=description)
    made.metadata.append(Option(option, metavar))
    return made


def _registry() -> Any:
    # Help texts need no sampler, which would load pandas and Dask.
    from dsmote.samplers import registry

    return registry


def _as_list(value: Any) -> Any:
    """Return one value or several as a list of types that a file can hold."""
    if isinstance(value, str | int | float | datetime.date):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    plain = [each.item() if hasattr(each, "item") else each for each in value]
    return [str(each) if isinstance(each, datetime.date) else each for each in plain]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _sampler(value: Any) -> Any:
    """Return the name of a sampler, also from a chain of one."""
    if isinstance(value, list):
        if not value:
            raise ValueError("must not be empty")
        if len(value) > 1:
            text = f"a chain of {len(value)} samplers: chains come in a later version, give one"
            raise ValueError(text)
        (value,) = value
    if isinstance(value, str) and value != AUTO:
        _registry().find_sampler(value, also=(AUTO,))
    return value


def _size(value: Any) -> Any:
    from dask.utils import parse_bytes

    try:
        if isinstance(value, str | int) and value is not True and parse_bytes(value) > 0:
            return value
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a size above 0, such as 2GiB")


Text = Annotated[
    str, AfterValidator(_not_blank), WithJsonSchema({"type": "string", "pattern": r"\S"})
]
Natural = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Scalar = str | Annotated[int, Field(strict=True)] | Number | StrictBool
_Names = BeforeValidator(_as_list, json_schema_input_type=Text | list[Text])
Names = Annotated[list[Text], _Names]
_OneOrMore = Annotated[tuple[Scalar, ...], Field(min_length=1)]
Values = Annotated[
    _OneOrMore, BeforeValidator(_as_list, json_schema_input_type=Scalar | _OneOrMore)
]
Strategy = (
    Literal["auto", "minority", "majority", "not minority", "not majority", "all"]
    | Annotated[Number, Field(gt=0, le=1)]
    | Annotated[dict[str, Natural], Field(min_length=1)]
)
_ABOVE_ZERO = r"^(0*[1-9][0-9]*(\.[0-9]+)?|0+\.0*[1-9][0-9]*) *([kKmMgGtTpP][iI]?)?[bB]?$"
_SIZE: Any = {"type": ["string", "integer"], "pattern": _ABOVE_ZERO, "exclusiveMinimum": 0}
Size = Annotated[Any, PlainValidator(_size), WithJsonSchema(_SIZE)]

_CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True)
#: The key to blame, below the section that is checked, and what is wrong with it.
Problem = tuple[tuple[str, ...], str]


def _refuse(problems: Iterable[Problem]) -> None:
    """Raise one error for all problems."""
    found: Any = [
        {"type": PydanticCustomError("rule", message), "loc": loc, "input": None}
        for loc, message in problems
    ]
    if found:
        raise ValidationError.from_exception_data("job", found)


@dataclass(frozen=True, config=_CONFIG)
class _Section:
    """Keys and values with rules across them."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        _refuse(self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        yield from ()


_BY_COLUMN: Any = {"test_fraction": False, "seed": False, "stratify": False}
_BY_CHANCE: Any = {"column": False, "train": False, "test_fraction": {"type": "number"}}
_WAYS: Any = [
    {"required": ["column", "train"], "properties": _BY_COLUMN},
    {"required": ["test_fraction"], "properties": _BY_CHANCE},
]


@dataclass(frozen=True, config=_CONFIG | ConfigDict(json_schema_extra={"oneOf": _WAYS}))
class Split(_Section):
    """Which rows are training rows: by a column, or by chance. Only these are resampled.

    Values match as labels do: by their text, else by value. By chance exactly ``ceil(test_fraction
    * rows)`` rows are held back, with `stratify` shared out over the classes by largest remainders;
    which ones depends on the seed and the number of a row in the table (or in its class) only.

    Examples
    --------
    >>> Split(test_fraction=0.2).seed
    0
    """

    column: Text | None = key(
        None,
        "Column that marks training rows. Only these are resampled, to train/ of the output; all "
        "others are written unchanged to test/.",
        *("--split-column", "COL"),
    )
    train: Values = key(
        (), "A value of the split's column that marks a training row.", "--train", "VALUE"
    )
    test_fraction: Annotated[Number, Field(gt=0, lt=1)] | None = key(
        None,
        "Instead of a column: the share of the rows to hold back at random, such as 0.2.",
        metavar="SHARE",
    )
    seed: Natural = key(0, "Seed of the random split.", "--split-seed")
    stratify: StrictBool = key(False, "Hold back the same share of each class.")

    def _problems(self) -> Iterator[Problem]:
        by_column = self.column is not None
        if by_column == (self.test_fraction is not None):
            text = "give either column, with the values that mark training rows, or test_fraction"
            yield ("test_fraction",) if by_column else (), text
        elif not by_column and self.train:
            yield ("train",), "needs the split's column: give column"
        elif by_column and not self.train:
            yield ("column",), "needs the values that mark training rows: train"
        for name in ("seed", "stratify"):
            if by_column and getattr(self, name):
                yield (name,), "applies to a split by test_fraction only"


@dataclass(frozen=True, config=_CONFIG)
class Security:
    """The certificates of a cluster that uses TLS: paths of PEM files."""

    tls_ca_file: Text = key(
        ..., "For a tls:// scheduler: certificate of the cluster's CA.", metavar="PEM"
    )
    tls_client_cert: Text = key(..., "Certificate of this client.", "--tls-cert", "PEM")
    tls_client_key: Text = key(..., "Key of this client.", "--tls-key", "PEM")


_LOCAL = ("n_workers", "threads_per_worker", "memory_limit")
_RUNNING = ("address", "scheduler_file")
_PLACES: Any = [
    {"properties": {name: {"type": "null"} for name in (*_RUNNING, *_LOCAL) if name not in place}}
    for place in (("address",), ("scheduler_file",), _LOCAL)
]


@dataclass(frozen=True, config=_CONFIG | ConfigDict(json_schema_extra={"anyOf": _PLACES}))
class Cluster(_Section):
    """Where the job runs: on a running scheduler, or on workers started for the job."""

    address: Text | None = key(
        None,
        "Address of a running Dask scheduler, such as tcp://127.0.0.1:8786.",
        *("--scheduler", "ADDRESS"),
    )
    scheduler_file: Text | None = key(
        None, "Or the file written by `dask scheduler --scheduler-file FILE`.", metavar="FILE"
    )
    n_workers: Positive | None = key(None, "Number of local workers.")
    threads_per_worker: Positive | None = key(None, "Threads of each local worker.")
    memory_limit: Size | None = key(
        None, "Memory of each local worker, such as 4GiB.", metavar="SIZE"
    )
    security: Security | None = key(None, "Certificates, for TLS.")

    def _problems(self) -> Iterator[Problem]:
        running = [name for name in _RUNNING if getattr(self, name)]
        if "@" in (self.address or ""):  # Dask would print it
            yield ("address",), "takes no user name and no password"
        if len(running) == 2:
            yield ("scheduler_file",), "give either the address or the scheduler file"
        for name in _LOCAL if running else ():
            if getattr(self, name) is not None:
                text = f"applies to local workers, but {running[0]} names a running cluster"
                yield (name,), text

    def connection(self) -> dict[str, Any]:
        """Return the arguments of :func:`dsmote.connect`."""
        given = dataclasses.asdict(self).items()
        return {name: value for name, value in given if value is not None}


class Params(BaseModel):
    """The parameters of samplers for which the command line has options.

    What a sampler takes, it says itself: these types choose the kind of option only.
    """

    sampling_strategy: Strategy = key(
        "auto",
        "auto, minority or majority, 'not minority', 'not majority' or all; a ratio such as 0.5; "
        "or the total rows by label, such as '{\"1\": 5000}'.",
        metavar="NAME|RATIO|JSON",
    )
    k_neighbors: Positive | None = key(
        None, "Number of nearest neighbours.  [default: 5; kmeans: 2]"
    )
    categorical: Names = key([], "A numeric column to use as a categorical feature.", metavar="COL")
    carry: Names | None = key(
        None,
        "A passthrough column, such as an id: kept in the output, not used as a feature, missing "
        "in new rows.",
        metavar="COL",
    )
    missing: Literal["error", "skip"] | None = key(
        None,
        "skip: rows with missing values are kept, and no rows are made from them.  "
        "[default: error]",
    )
    neighbors: Literal["auto", "tree", "brute", "fast"] | None = key(
        None,
        "Neighbour search; fast is approximate, and its recall is measured.  [default: auto]",
    )
    scale: Literal["standard", "minmax", "robust"] | None = key(
        None, "Search neighbours among scaled columns; rows are made in the original units."
    )
    n_components: int | float | None = key(
        None,
        "Search neighbours in N principal components (or, below 1, in that share of the variance).",
        metavar="N",
    )
    random_state: Seed | None = key(None, "Seed; the same seed gives the same rows.")


#: Types of what samplers take as arrays, callables or objects, too.
_TYPES: dict[str, Any] = {
    "sampling_strategy": Strategy,
    "carry": Names | None,
    "categorical_features": Literal["auto"] | list[Scalar],
}
#: Parameters of a job that give one of a sampler's by another name.
_OTHER_NAMES = {"k_neighbors": "n_neighbors", "categorical": "categorical_features"}
_NOT_FOR = {
    ("over-sampling", "majority"),
    ("under-sampling", "minority"),
    ("clean-sampling", "minority"),
}


@dataclass(frozen=True, repr=False, config=_CONFIG)
class _Keys(_Section):
    """The keys of a job file."""

    input: Text = key(..., "Parquet or CSV: a file, a folder or a glob; a path or a URL.")
    target: Text = key(..., "Column of the class labels.", metavar="COL")
    output: Text | None = key(None, "Folder to write; a path or a URL.")
    format: Literal["parquet", "csv"] | None = key(
        None, "Format of the input, where its file names do not tell."
    )
    sampler: Annotated[str, BeforeValidator(_sampler)] = key(
        AUTO,
        "Name that `dsmote samplers` lists; auto: smote where all features are numeric, smotenc "
        "where some are categorical.",
        metavar="NAME",
    )
    params: dict[str, Any] = key({}, "Parameters of the sampler.")
    split: Split | None = key(None, "Which rows are training rows. All, when not given.")
    mode: Literal["full", "synthetic"] = key(
        "full", "Write original and new rows, or the new ones only."
    )
    if_exists: Literal["error", "skip", "replace"] = key(
        "error",
        "What to do with an existing output: error refuses it, replace replaces it once the new "
        "one is complete, skip leaves it when it was made from the same files in the same way.",
    )
    partition_by: Annotated[tuple[Text, ...], _Names] = key(
        (), "A column whose values become folders.", metavar="COL"
    )
    row_group_rows: Annotated[Positive, Field(le=MOST_ROWS)] | None = key(
        None, "Rows of a Parquet row group."
    )
    compression: Literal["snappy", "zstd", "gzip", "lz4", "brotli", "none"] = key(
        "snappy", "Parquet compression codec."
    )
    shuffle: StrictBool = key(False, "Shuffle new and original rows together, by the seed.")
    report: StrictBool = key(False, "Also write an HTML report about the result.")
    resume: StrictBool = key(False, "Resume with the finished parts of a run that died.")
    cluster: Cluster | None = key(
        None,
        "Where the job runs. When not given: what Dask's configuration names, or workers started "
        "here.",
    )
    hidden: SkipJsonSchema[Any] = dataclasses.field(default=Secrets(), compare=False)

    @field_validator("params")
    @classmethod
    def _known_parameters(cls, params: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "sampler" not in info.data:
            return params  # whose parameters they are is unknown
        sampler = sampler_class(info.data["sampler"])
        model = params_model(sampler)
        unknown = [name for name in params if name not in model.model_fields]
        _refuse(((name,), _unknown_parameter(sampler, name)) for name in unknown)
        return model.model_validate(params).model_dump(exclude_unset=True)

    def _problems(self) -> Iterator[Problem]:
        kind, params = self._kind(), self.params
        split_column = self.split.column if self.split else None
        for name, other in _OTHER_NAMES.items():
            if name in params and other in params:
                yield ("params", name), f"is {other} by another name: give one of them"
        for role in ("carry", "categorical"):
            if self.target in getattr(self, role):
                yield ("params", role), f"names the target column {self.target!r}: leave it out"
        for name in sorted({*self.carry} & {*self.categorical}):
            yield (
                ("params", "categorical"),
                f"names column {name!r}, which is in carry as well: give it once",
            )
        does, strategy = kind._sampling_type, params.get("sampling_strategy")
        if isinstance(strategy, str) and (does, strategy) in _NOT_FOR:
            text = f"{strategy!r} is not for {does}, which {kind.__name__} does: try 'auto'"
            yield ("params", "sampling_strategy"), text
        makes_rows, makes_none = does == "over-sampling", f"{kind.__name__} makes none"
        if self.mode == "synthetic" and not makes_rows:
            yield ("mode",), f"'synthetic' writes the new rows only, and {makes_none}: use 'full'"
        if self.shuffle and not makes_rows:
            yield (
                ("shuffle",),
                f"mixes new rows with the original ones, and {makes_none}: leave it out",
            )
        if split_column == self.target:
            yield ("split", "column"), f"names the target column {split_column!r}: name another"
        if split_column in self.categorical:
            text = f"names column {split_column!r}, which is in categorical but is no feature"
            yield ("split", "column"), text
        for number, name in enumerate(self.partition_by):
            text = ""
            if not name.isprintable() or set(name) & set("/\\=%?"):
                text = "from which no folder name can be made: rename it"
            elif name[0] in "_.":
                text = f"but readers skip folders whose names begin with {name[0]!r}: rename it"
            elif name in self.partition_by[:number]:
                text = "which is named twice"
            elif name in self.carry and name != split_column and makes_rows:
                text = "which is in carry and so missing in new rows: no folder can have that name"
            if text:
                yield ("partition_by",), f"names column {name!r}, {text}"

    @property
    def carry(self) -> tuple[str, ...]:
        """Passthrough columns."""
        return tuple(self.params.get("carry") or ())

    @property
    def categorical(self) -> tuple[str, ...]:
        """Columns to use as categorical features whatever their dtype is."""
        return tuple(self.params.get("categorical") or ())

    def _kind(self, mixed: bool = True) -> Any:
        """Return the sampler's class; `mixed`: there are numeric and categorical features."""
        if self.sampler == AUTO and not mixed:
            named = self.categorical or "categorical_features" in self.params
            return sampler_class("smotenc" if named else "smote")
        return sampler_class(self.sampler)


class JobSpec(_Keys):
    """A resampling job on files: the keys of a job file as fields.

    `dsmote schema` describes the keys. Parameters of the sampler may also be given by name, beside
    `params`. What is not given is as the sampler has it.

    Raises
    ------
    JobFileError
        A ValueError with all that is wrong whatever the data are, such as a parameter that the
        sampler does not have.

    Examples
    --------
    >>> JobSpec("in.parquet", target="y", output="out", sampling_strategy={"1": 500}).params
    {'sampling_strategy': {'1': 500}}
    """

    def __init__(self, *keys: Any, **named: Any) -> None:
        fields = self.__dataclass_fields__
        given = {**dict(zip([*fields][: len(keys)], keys, strict=True)), **named}
        hidden = given.pop("hidden") if isinstance(given.get("hidden"), Secrets) else Secrets()
        reader = Reader(fill=False)
        params = given.get("params") or {}
        for name in [name for name in given if name not in fields]:
            if closest(name, sections()[""]) and name not in _homes()["params"]:
                continue  # a key of the job is meant
            if name in params:
                reader.error((name,), "is given twice: by name and in params")
            given["params"] = params = {**params, name: given.pop(name)}
        found = check(reader.python(given), reader)
        reader.raise_errors()
        vars(self).update(vars(found), hidden=hidden)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.shown().items())
        return f"JobSpec({given})"

    def with_params(self, **params: Any) -> JobSpec:
        """Return the job with other parameters of the sampler."""
        return dataclasses.replace(self, params={**self.params, **params})

    def to_dict(self) -> dict[str, Any]:
        """Return what is given, but where it runs, as plain data that JSON can hold."""
        without = {"hidden", "cluster"}
        document = _KEYS.dump_python(self, mode="json", exclude=without, exclude_defaults=True)
        return dict(document)

    def shown(self) -> dict[str, Any]:
        """Return the same with secrets masked: for manifests and logs."""
        return dict(self.hidden.mask_value(self.to_dict()))


_KEYS = TypeAdapter(_Keys)


def sections() -> dict[str, list[str]]:
    """Return the keys of each section by its name; that of the whole is empty."""
    known: Any = {"": _Keys, "split": Split, "cluster": Cluster, "cluster.security": Security}
    return {
        name: [each for each in model.__dataclass_fields__ if each != "hidden"]
        for name, model in known.items()
    }


def load_job(source: Any, settings: Sequence[Setting] = (), needs_output: bool = True) -> JobSpec:
    """Read and check a job: a YAML file, or a mapping of the same keys, and settings over it."""
    if isinstance(source, Mapping):
        reader = Reader()
        data = reader.python(source)
    else:
        reader = Reader(os.fspath(source))
        data = reader.file()
    for setting in settings:
        reader.set(data, setting)
    found = check(data, reader)
    lacking = needs_output and isinstance(data, dict) and data.get("output") is None
    if lacking and not any(one.key == "output" for one in reader.errors):
        reader.error(("output",), "is required, and not given")
    reader.raise_errors()
    return JobSpec(**{**vars(found), "hidden": reader.hidden})


def check(data: Any, reader: Reader) -> _Keys | None:
    """Return the keys of a job as the model has them, or note all that is wrong with them.

    Rules across keys can only be checked where the keys themselves are right. So keys that are
    wrong are left out, and what remains is checked again.
    """
    if not isinstance(data, dict):
        if not reader.errors:
            reader.error((), "a job is keys and values, such as `input: table.parquet`")
        return None
    data = {name: dict(value) if isinstance(value, dict) else value for name, value in data.items()}
    for path in [tuple(one.key.split(".")) for one in reader.errors if one.key]:
        _leave_out(data, path)
    for name in [name for name in data if name not in sections()[""]]:
        reader.error((name,), _unknown((name,)))
        _leave_out(data, (name,))
    for _ in range(5):
        try:
            return _KEYS.validate_python(data)
        except ValidationError as error:
            for path in reader.note(error, data, _unknown):
                _leave_out(data, path)
    return None


def _leave_out(data: dict[str, Any], path: Path) -> None:
    """Leave a key out, or with half of a section all of it; a misspelt sampler is guessed."""
    top = path[0]
    if top == "params" and len(path) > 1 and isinstance(data.get("params"), dict):
        data["params"].pop(path[1], None)
        return
    value = data.pop(top, None)
    if top in ("input", "target"):
        data[top] = "\0"  # a name that no column has
    elif closest(top, sections()[""]) == "sampler":
        meant = closest(str(value), [AUTO, *_registry().samplers()])
        data.pop("params", None) if meant is None else data.update(sampler=meant)


def _unknown(path: Path) -> str:
    """Say that a key is unknown, what may be meant, and where it belongs."""
    key, homes = path[-1], _homes()
    names = homes[".".join(path[:-1])]
    for above, keys in homes.items():
        if key in keys:
            return f"there is no such key; it belongs {f'under {above}' if above else 'at the top'}"
    return f"there is no such key{near(key, names) or '; there are ' + ', '.join(names)}"


@cache
def _homes() -> dict[str, list[str]]:
    """Return the keys of each section, and those of all samplers under params."""
    params = [
        name for kind in _registry().samplers().values() for name in params_model(kind).model_fields
    ]
    return {**sections(), "params": params}


def sampler_class(name: str) -> Any:
    """Return the class of a sampler; where it is to be chosen, the one that takes most."""
    return _registry().find_sampler("smotenc" if name == AUTO else name)


@cache
def params_model(sampler: Any) -> type[BaseModel]:
    """Return the model of a sampler's parameters, made from its constraints and defaults."""
    from dsmote.samplers.parameters import allowed

    fields: dict[str, Any] = {}
    for name, default in _registry().parameters_of(sampler).items():
        kind = _TYPES.get(name) or _kind_of(allowed(sampler)[name])
        fields[name] = (kind, Field(default, description=_meaning(sampler, name)))
    if "n_neighbors" in fields:
        fields["k_neighbors"] = fields["n_neighbors"]
    if "categorical_features" in fields:
        fields["categorical"] = (Names, Field([], description=_meaning(sampler, "categorical")))
    made: Any = create_model(
        f"{sampler.__name__}Params",
        __config__=_CONFIG,
        __doc__=f"Parameters of {sampler.__name__}.",
        **fields,
    )
    return made


def _meaning(sampler: Any, name: str) -> str:
    """Return what a parameter is for: the first sentence about it in a docstring of a sampler."""
    if name in Params.model_fields:
        return str(Params.model_fields[name].description).partition("  [")[0]
    known = _registry()  # loaded one by one, as far as needed
    for each in chain(sampler.__mro__, map(known.find_sampler, known.class_names())):
        found = re.search(rf"^    {name} : .*\n((?:        .*\n)+)", each.__doc__ or "", re.M)
        text = " ".join(found[1].split()) if found else "As in"
        if not text.startswith("As "):
            return text.partition(". ")[0].rstrip(".").replace("`", "") + "."
    return f"See the documentation of {sampler.__name__}."


def _kind_of(values: Iterable[Any]) -> Any:
    """Return the type of what a file can hold of the values of a parameter: no objects."""
    from dsmote.samplers.parameters import Range

    whole = Annotated[int, Field(strict=True)]
    named: dict[Any, list[Any]] = {
        None: [None],
        bool: [StrictBool],
        "random_state": [Seed, None],
        "array-like": [list[Scalar]],
        Mapping: [dict[str, Number]],
    }
    found: list[Any] = []
    for each in values:
        if isinstance(each, Range):
            low, high = each.closed in ("left", "both"), each.closed in ("right", "both")
            limits = {"ge" if low else "gt": each.low, "le" if high else "lt": each.high}
            given: Any = {name: limit for name, limit in limits.items() if limit is not None}
            found.append(Annotated[whole if each.kind is Integral else Number, Field(**given)])
        elif isinstance(each, set):
            found.append(Literal[tuple(sorted(each))])
        elif each is False:
            found.append(Literal[False])
        elif getattr(each, "__module__", "") == "numbers":
            found.append(whole if each is Integral else Number)
        elif each is None or isinstance(each, str | type):
            found += named.get(each, [])
    return Union[tuple(found)] if found else Any  # noqa: UP007


def _unknown_parameter(sampler: Any, name: str) -> str:
    names = sorted(params_model(sampler).model_fields)
    others = [
        its
        for its, each in _registry().samplers().items()
        if name in params_model(each).model_fields
    ]
    have = f" ({', '.join(others)} {'has' if len(others) == 1 else 'have'} it)" if others else ""
    hint = near(name, names) or have
    return f"{sampler.__name__} has no parameter {name!r}{hint}; it has {', '.join(names)}"


def has_parameter(spec: JobSpec, name: str) -> bool:
    """Tell whether the sampler of a job has a parameter."""
    return name in params_model(spec._kind()).model_fields


def sampler_of(spec: JobSpec, columns: pd.DataFrame) -> Any:
    """Build the sampler that a job asks for; `columns` is an empty frame as the input."""
    import pandas as pd

    from dsmote.job.labels import ByLabel, LabelCounts

    split_column = spec.split.column if spec.split else None
    excluded = {spec.target, *spec.carry, split_column}
    features = columns.drop(columns=[name for name in columns.columns if name in excluded])
    categorical = [name for name in features.columns if _is_categorical(features[name].dtype)]
    # A bool column is a number to SMOTE, so it alone does not make a table mixed.
    mixed = any(not pd.api.types.is_bool_dtype(features[name].dtype) for name in categorical)
    kind, given = spec._kind(mixed), dict(spec.params)
    if not given.get("carry"):
        given.pop("carry", None)
    if given.pop("categorical", None):
        chosen = {*categorical, *spec.categorical}
        given["categorical_features"] = [name for name in features.columns if name in chosen]
    if "k_neighbors" in given and "n_neighbors" in params_model(kind).model_fields:
        given["n_neighbors"] = given.pop("k_neighbors")
    for name, value in given.items():
        if isinstance(value, Mapping):
            given[name] = LabelCounts(value) if name == "sampling_strategy" else ByLabel(value)
    sampler = kind.validated(**given)
    if split_column is not None and hasattr(kind, "_inherited"):
        sampler._inherited = (split_column,)
    return sampler


def _is_categorical(dtype: Any) -> bool:
    """Tell whether SMOTENC takes a column of this dtype as categorical without being told."""
    import pandas as pd

    types = pd.api.types
    return isinstance(dtype, pd.CategoricalDtype) or (
        types.is_string_dtype(dtype) or types.is_object_dtype(dtype) or types.is_bool_dtype(dtype)
    )


class _WithoutTitles(GenerateJsonSchema):
    """Titles are the keys again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def job_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of the job file, for editors and programs."""
    schema = _KEYS.json_schema(schema_generator=_WithoutTitles)
    definitions, rules = schema["$defs"], []
    known: dict[str, Any] = {
        name: [name, kind.__name__] for name, kind in _registry().samplers().items()
    }
    for name, names in {AUTO: [AUTO], **known}.items():
        model = params_model(sampler_class(name))
        made = model.model_json_schema(schema_generator=_WithoutTitles)
        definitions |= made.pop("$defs", {}) | {model.__name__: made}
        mine = {"anyOf": [{"enum": names}, {"type": "array", "contains": {"enum": names}}]}
        required = [] if name == AUTO else ["sampler"]
        then = {"properties": {"params": {"$ref": f"#/$defs/{model.__name__}"}}}
        rules.append({"if": {"required": required, "properties": {"sampler": mine}}, "then": then})
    one = {"enum": [AUTO, *known, *(names[1] for names in known.values())]}
    chain = {"type": "array", "items": one, "minItems": 1, "maxItems": 1}
    sampler = {"type": ["string", "array"], "anyOf": [one, chain]}
    schema["properties"]["sampler"] |= sampler
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "dsmote job",
        "description": "A resampling job of dsmote on files, as `dsmote run JOB.yaml` takes it. In "
        "texts, ${NAME} and ${NAME:-default} are environment variables.",
        "required": ["input", "output", "target"],
        "allOf": rules,
    }
