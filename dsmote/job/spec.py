"""A job: one model, from which job files, the command line, `run_job` and the schema are made.

A key is a field: its type, default and description stand here and nowhere else. What a sampler
takes is asked of the sampler.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    InstanceOf,
    PlainValidator,
    StrictBool,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)
from pydantic.dataclasses import dataclass
from pydantic.json_schema import GenerateJsonSchema, SkipJsonSchema
from pydantic_core import PydanticCustomError

from dsmote.job.input_keys import (
    CONFIG,
    CSV,
    AsFilters,
    AsFolders,
    AsNames,
    Filters,
    Number,
    Scalar,
    Text,
    as_list,
)
from dsmote.job.jobfile import Path, Reader, Setting
from dsmote.job.logs import Secrets
from dsmote.samplers import registry
from dsmote.samplers.registry import closest, near

if TYPE_CHECKING:
    import pandas as pd

    from dsmote.job.reading import Reading

__all__ = [
    "PARAMS",
    "PLACES",
    "Cluster",
    "JobSpec",
    "Split",
    "job_schema",
    "load_job",
    "sampler_of",
]

AUTO = "auto"
#: What samplers do, as in `dsmote.plan`, which would load pandas: help texts do without.
OVER, CLEAN, COMBINED = "over-sampling", "clean-sampling", "combination"
#: Rows of a row group that Parquet's writer can count to.
MOST_ROWS = 2**31 - 1

#: Parameters of samplers for which the command line has options, and what they are for.
PARAMS = {
    "sampling_strategy": "auto, minority or majority, 'not minority', 'not majority' or all; a "
    "ratio such as 0.5; or the total rows by label, such as '{\"1\": 5000}'.",
    "k_neighbors": "Number of nearest neighbours (5; kmeans: 2).",
    "categorical": "A numeric column to use as a categorical feature.",
    "carry": "A passthrough column, such as an id: kept in the output, not used as a feature, "
    "missing in new rows.",
    "missing": "error (the default), or skip: rows with missing values are kept, and no rows are "
    "made from them.",
    "neighbors": "Neighbour search: auto (the default), tree, brute, or fast, which is approximate "
    "and whose recall is measured.",
    "scale": "Search neighbours among scaled columns (standard, minmax or robust); rows are made "
    "in the original units.",
    "n_components": "Search neighbours in so many principal components (or, below 1, in those "
    "with that share of the variance).",
    "route": "Where rows are: auto (the default), broadcast (in one worker), gather (few rows "
    "travel to every partition) or cells (piece by piece, in scratch files).",
    "scratch": "Folder or URL that all workers see, for scratch files; by default beside the "
    "output.",
    "random_state": "Seed; the same seed gives the same rows.",
}


def _sampler(value: Any) -> Any:
    """Return the name of a sampler; of a chain, for each step a mapping of its name to its own."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        (value,) = value
    steps = [_step(each) for each in (value if isinstance(value, list) else [value])]
    if not steps:
        raise ValueError("a chain needs at least one sampler: give a name, or a list of steps")
    return value if isinstance(value, str) else tuple(steps)


def _step(value: Any) -> dict[str, Any]:
    named = {value: {}} if isinstance(value, str) else value
    if not isinstance(named, dict) or len(named) != 1:
        raise ValueError(
            "must be the name of a sampler, or a list of names and of mappings of one name to its "
            "parameters, such as [smote, {random-under: {sampling_strategy: 0.5}}]"
        )
    ((name, own),) = named.items()
    if name != AUTO:
        registry.find_sampler(name, also=(AUTO,))
    return {name: {} if own is None else own}


def _size(value: Any) -> Any:
    from dask.utils import parse_bytes

    with suppress(ValueError, OverflowError):
        if isinstance(value, str | int) and value is not True and parse_bytes(value) > 0:
            return value
    raise ValueError("must be a size above 0, such as 2GiB")


Natural = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Names = Annotated[list[Text], AsNames]
_OneOrMore = Annotated[tuple[Scalar, ...], Field(min_length=1)]
Values = Annotated[_OneOrMore, BeforeValidator(as_list, json_schema_input_type=Scalar | _OneOrMore)]
Strategy = (
    Literal["auto", "minority", "majority", "not minority", "not majority", "all"]
    | Annotated[Number, Field(gt=0, le=1)]
    | Annotated[dict[str, Natural], Field(min_length=1)]
)
Steps = tuple[dict[str, dict[str, Any]], ...]
Size = Annotated[Any, PlainValidator(_size, json_schema_input_type=str | int)]


@dataclass(frozen=True, config=CONFIG)
class Split:
    """Which rows are training rows: by a column, or by chance. Only these are resampled.

    Values match as labels do: by their text, else by value. By chance exactly ``ceil(test_fraction
    * rows)`` rows are held back, with `stratify` shared out over the classes by largest remainders;
    which ones depends on the seed and the number of a row in the table (or in its class) only.
    """

    column: Text | None = None
    """Column that marks training rows. Only these are resampled, to train/ of the output; all
    others are written unchanged to test/."""
    train: Values = ()
    """A value of the split's column that marks a training row."""
    test_fraction: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Instead of a column: the share of the rows to hold back at random, such as 0.2."""
    seed: Natural = 0
    """Seed of the random split."""
    stratify: StrictBool = False
    """Hold back the same share of each class."""


@dataclass(frozen=True, config=CONFIG)
class Security:
    """The certificates of a cluster that uses TLS: paths of PEM files."""

    tls_ca_file: Text
    """For a tls:// scheduler: certificate of the cluster's CA."""
    tls_client_cert: Text
    """Certificate of this client."""
    tls_client_key: Text
    """Key of this client."""


_LOCAL = ("n_workers", "threads_per_worker", "memory_limit")
_RUNNING = ("address", "scheduler_file")
#: The keys that say where a job runs.
PLACES = (*_RUNNING, *_LOCAL)


@dataclass(frozen=True, config=CONFIG)
class Cluster:
    """Where the job runs: on a running scheduler, or on workers started for the job."""

    address: Text | None = None
    """Address of a running Dask scheduler, such as tcp://127.0.0.1:8786."""
    scheduler_file: Text | None = None
    """Or the file written by `dask scheduler --scheduler-file FILE`."""
    n_workers: Positive | None = None
    """Number of local workers."""
    threads_per_worker: Positive | None = None
    """Threads of each local worker."""
    memory_limit: Size | None = None
    """Memory of each local worker, such as 4GiB."""
    security: Security | None = None
    """Certificates, for TLS."""

    def connection(self) -> dict[str, Any]:
        """Return the arguments of :func:`dsmote.connect`."""
        given = dataclasses.asdict(self).items()
        return {name: value for name, value in given if value is not None}


#: Types of what samplers take as arrays, callables or objects, too.
_TYPES: dict[str, Any] = {
    "sampling_strategy": Strategy,
    "carry": Names | None,
    "scratch": Text | None,
    "categorical_features": Literal["auto"] | list[Scalar],
}
#: Parameters of a job that give one of a sampler's by another name.
_OTHER_NAMES = {"k_neighbors": "n_neighbors", "categorical": "categorical_features"}
_NOT_FOR = {
    ("over-sampling", "majority"),
    ("under-sampling", "minority"),
    ("clean-sampling", "minority"),
}


#: The key to blame, below the one that is checked, and what is wrong with it.
Problem = tuple[tuple[str, ...], str]


@dataclasses.dataclass(frozen=True, repr=False, init=False)
class JobSpec:
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

    __pydantic_config__ = CONFIG

    input: Text
    """Parquet or CSV: a file, a folder or a glob; a path or a URL."""
    target: Text
    """Column of the class labels."""
    output: Text | None = None
    """Folder to write; a path or a URL."""
    format: Literal["parquet", "csv"] | None = None
    """Format of the input, where its file names do not tell."""
    csv: CSV | None = None
    """How CSV files are written, where it is not with commas, in UTF-8."""
    partition_types: dict[str, Text] = dataclasses.field(default_factory=dict)
    """Types of columns in the names of folders, such as {month: string}; by default as pyarrow
    reads them: int32, or else text."""
    filters: Annotated[Filters, AsFilters] = ()
    """Rows to read, as pyarrow has it: a list of [column, operator, value], which must all hold, or
    a list of such lists, of which one must hold."""
    sampler: Annotated[str | Steps, BeforeValidator(_sampler)] = AUTO
    """Name that `dsmote samplers` lists; auto: smote where all features are numeric, smotenc where
    some are categorical. Or a list, a chain: names, or mappings of a name to its parameters."""
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Parameters of the sampler; of a chain, of all steps that have them and are not given their
    own, but for sampling_strategy, which is the first step's."""
    split: Split | None = None
    """Which rows are training rows. All, when not given."""
    mode: Literal["full", "synthetic"] = "full"
    """Write original and new rows, or the new ones only."""
    if_exists: Literal["error", "skip", "replace"] = "error"
    """What to do with an existing output: error refuses it, replace replaces it once the new one is
    complete, skip leaves it when it was made from the same files in the same way."""
    partition_by: Annotated[tuple[Text, ...] | None, AsFolders] = ()
    """A column whose values become folders; same, the default, for those of the input; or none."""
    row_group_rows: Annotated[Positive, Field(le=MOST_ROWS)] | None = None
    """Rows of a Parquet row group."""
    compression: Literal["snappy", "zstd", "gzip", "lz4", "brotli", "none"] = "snappy"
    """Parquet compression codec."""
    shuffle: StrictBool = False
    """Shuffle new and original rows together, by the seed."""
    report: StrictBool = False
    """Also write an HTML report about the result."""
    resume: StrictBool = False
    """Resume with the finished parts of a run that died."""
    cluster: Cluster | None = None
    """Where the job runs. When not given: what Dask's configuration names, or workers started
    here."""
    hidden: SkipJsonSchema[InstanceOf[Secrets]] = dataclasses.field(
        default=Secrets(), compare=False
    )

    @field_validator("sampler")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        """Check the parameters of the steps of a chain, each by what its sampler has."""
        if isinstance(value, str):
            return value
        found, problems = [], list[Any]()
        for place, step in enumerate(value):
            ((name, own),) = step.items()
            kind, loc = sampler_class(name), (str(place), name)
            try:
                own = params_model(kind).model_validate(own).model_dump(exclude_unset=True)
            except ValidationError as error:
                for one in error.errors(include_url=False):
                    problems.append({**one, "loc": (*loc, *one["loc"])})
            else:
                for inside, message in _problems("params", own, (kind,), {}):
                    kind_of = PydanticCustomError("rule", message)
                    problems.append({"type": kind_of, "loc": (*loc, *inside), "input": own})
            found.append({name: own})
        if problems:
            raise ValidationError.from_exception_data("job", problems)
        return tuple(found)

    @field_validator("params", "split", "mode", "partition_by", "shuffle", "cluster")
    @classmethod
    def _rules(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = info.context
        if info.field_name == "params":
            if kinds is None:
                return {}  # what they should be is not known
            model = params_model(*kinds)
            value = model.model_validate(value).model_dump(exclude_unset=True)
        problems: Any = [
            {"type": PydanticCustomError("rule", message), "loc": loc, "input": value}
            for loc, message in _problems(str(info.field_name), value, kinds or (), info.data)
        ]
        if problems:
            raise ValidationError.from_exception_data("job", problems)
        return value

    def __init__(self, *keys: Any, **named: Any) -> None:
        fields = self.__dataclass_fields__
        given = {**dict(zip([*fields][: len(keys)], keys, strict=True)), **named}
        reader = Reader(fill=False)
        params = given.get("params") or {}
        for name in [name for name in named if name not in fields and name in homes()["params"]]:
            if name in params:
                reader.error((name,), "is given twice: by name and in params")
            given["params"] = params = {**params, name: given.pop(name)}
        vars(self).update(vars(check(reader.python(given), reader)))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.shown().items())
        return f"JobSpec({given})"

    @property
    def reading(self) -> Reading:
        """How the input is read besides its format."""
        from dsmote.job.reading import Reading  # help texts do without pyarrow

        return Reading.of(self.to_dict())

    def with_params(self, **params: Any) -> JobSpec:
        """Return the job with other parameters of the sampler."""
        return dataclasses.replace(self, params={**self.params, **params})

    def to_dict(self) -> dict[str, Any]:
        """Return what is given, but where it runs, as plain data that JSON can hold."""
        without = {"hidden", "cluster"}
        document = _JOB.dump_python(self, mode="json", exclude=without, exclude_defaults=True)
        return dict(document)

    def shown(self) -> dict[str, Any]:
        """Return the same with secrets masked: for manifests and logs."""
        return dict(self.hidden.mask_value(self.to_dict()))

    @property
    def steps(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Name and parameters of each step of a chain; of a sampler, which is one, too."""
        if isinstance(self.sampler, str):
            return ((self.sampler, self.params),)
        found = []
        for place, step in enumerate(self.sampler):
            ((name, own),) = step.items()
            has = params_model(sampler_class(name)).model_fields
            # The seed is the chain's: steps have others, made from it.
            others = {"random_state", *(["sampling_strategy"] if place else [])}
            shared = {key: v for key, v in self.params.items() if key in has and key not in others}
            for key in ("carry", "categorical"):  # columns are what they are in every step
                if shared.get(key) and own.get(key):
                    own = {**own, key: [*dict.fromkeys([*shared[key], *own[key]])]}
            found.append((name, {**shared, **own}))
        return tuple(found)

    @property
    def carry(self) -> tuple[str, ...]:
        """Passthrough columns."""
        return self._columns("carry")

    @property
    def categorical(self) -> tuple[str, ...]:
        """Columns to use as categorical features whatever their dtype is."""
        return self._columns("categorical")

    def _columns(self, parameter: str) -> tuple[str, ...]:
        named = (self.params, *(own for _, own in self.steps))
        return tuple(dict.fromkeys(name for own in named for name in own.get(parameter) or ()))

    def kinds(self, mixed: bool = True) -> list[Any]:
        """Return the samplers' classes; `mixed`: there are numeric and categorical features."""
        found = []
        for name, own in self.steps:
            if name == AUTO and not mixed:
                named = own.get("categorical") or "categorical_features" in own
                name = "smotenc" if named else "smote"
            found.append(sampler_class(name))
        return found


def _problems(
    name: str, value: Any, kinds: Sequence[Any], before: dict[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong with a key that is right by itself, given the right ones before it.

    There are no `kinds` of samplers where they are unknown.
    """
    params, target = before.get("params", {}), before.get("target")
    does = kinds[0]._sampling_type if kinds else OVER
    called = kinds[0].__name__ if kinds else ""
    makes = not kinds or any(kind._sampling_type in (OVER, COMBINED) for kind in kinds)
    # Those that leave rows out, and of them those that do not know before how many.
    leaving = [kind.__name__ for kind in kinds if kind._sampling_type != OVER]
    cleaning = [kind.__name__ for kind in kinds if kind.__name__ in leaving and not counts(kind)]
    if name == "params":
        carry, categorical = value.get("carry") or [], value.get("categorical") or []
        for one, other in _OTHER_NAMES.items():
            if one in value and other in value:
                yield (one,), f"is {other} by another name: give one of them"
        for role, names in (("carry", carry), ("categorical", categorical)):
            if target in names:
                yield (role,), f"names the target column {target!r}: leave it out"
        for column in sorted({*carry} & {*categorical}):
            text = f"names column {column!r}, which is in carry as well: give it once"
            yield ("categorical",), text
        strategy = value.get("sampling_strategy")
        if isinstance(strategy, str) and (does, strategy) in _NOT_FOR:
            text = f"{strategy!r} is not for {does}, which {called} does: try 'auto'"
            yield ("sampling_strategy",), text
    elif name == "split" and value:
        by_column = value.column is not None
        if by_column == (value.test_fraction is not None):
            text = "give either column, with the values that mark training rows, or test_fraction"
            yield ("test_fraction",) if by_column else (), text
        elif not by_column and value.train:
            yield ("train",), "needs the split's column: give column"
        elif by_column and not value.train:
            yield ("column",), "needs the values that mark training rows: train"
        for key in ("seed", "stratify"):
            if by_column and getattr(value, key):
                yield (key,), "applies to a split by test_fraction only"
        if by_column and value.column == target:
            yield ("column",), f"names the target column {target!r}: name another"
        if value.column in (params.get("categorical") or ()):
            text = f"names column {value.column!r}, which is in categorical but is no feature"
            yield ("column",), text
    elif name == "mode" and value == "synthetic" and leaving:
        text = f"{leaving[0]} leaves others out" if makes else f"{called} makes none"
        yield (), f"'synthetic' writes the new rows only, and {text}: use 'full'"
    elif name == "shuffle" and value and not makes:
        yield (), f"mixes new rows with the original ones, and {called} makes none: leave it out"
    elif name == "shuffle" and value and cleaning:
        text = "which rows stay only when it has read them: leave shuffle out"
        yield (), f"mixes rows by their numbers, and {cleaning[0]} decides {text}"
    elif name == "partition_by":
        for number, column in enumerate(value or ()):
            text = ""
            if not column.isprintable() or set(column) & set("/\\=%?"):
                text = "from which no folder name can be made: rename it"
            elif column[0] in "_.":
                text = f"but readers skip folders whose names begin with {column[0]!r}: rename it"
            elif column in value[:number]:
                text = "which is named twice"
            if text:
                yield (), f"names column {column!r}, {text}"
    elif name == "cluster" and value:
        running = [key for key in _RUNNING if getattr(value, key)]
        if "@" in (value.address or ""):  # Dask would print it
            yield ("address",), "takes no user name and no password"
        if len(running) == 2:
            yield ("scheduler_file",), "give either the address or the scheduler file"
        for key in _LOCAL if running else ():
            if getattr(value, key) is not None:
                text = f"applies to local workers, but {running[0]} names a running cluster"
                yield (key,), text


_JOB = TypeAdapter(JobSpec)


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
    return check(data, reader, needs_output)


def check(data: Any, reader: Reader, needs_output: bool = False) -> JobSpec:
    """Return the job that plain data are, or raise all that is wrong with them."""
    if isinstance(data, dict):
        kinds = _meant(data)
        try:
            job = _JOB.validate_python({"hidden": reader.hidden, **data}, context=kinds)
        except ValidationError as error:
            reader.note(error, data, lambda path: _unknown(path, kinds))
        noted = {one.key for one in reader.errors}
        if needs_output and data.get("output") is None and "output" not in noted:
            reader.error(("output",), "is required, and not given")
    elif not reader.errors:
        reader.error((), "a job is keys and values, such as `input: table.parquet`")
    reader.raise_errors()
    return job


def _meant(data: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return the classes of the steps, guessed where the key or a name is misspelt."""
    keys = sorted(data, key=lambda key: key != "sampler")
    ours = JobSpec.__dataclass_fields__
    steps = next((data[key] for key in keys if closest(key, ours) == "sampler"), AUTO)
    known = registry.class_names()
    found = []
    for step in steps if isinstance(steps, list) else [steps]:
        name = next(iter(step), "") if isinstance(step, dict) else step
        guess = closest(str(name), [AUTO, *known, *known.values()])
        if guess is None:
            return None
        # The one that takes most is not needed where nothing is given.
        found.append(sampler_class("smote" if guess == AUTO and not data.get("params") else guess))
    return tuple(found) or None


def counts(sampler: Any) -> bool:
    """Tell whether a sampler knows from the class counts how many rows it leaves."""
    return sampler._sampling_type == OVER or sampler._needs_parts is True


@cache
def homes() -> dict[str, list[str]]:
    """Return the keys of each section by its name, and those of all samplers under params."""
    known: Any = {
        "": JobSpec,
        "csv": CSV,
        "split": Split,
        "cluster": Cluster,
        "cluster.security": Security,
    }
    found = {name: [*model.__dataclass_fields__] for name, model in known.items()}
    found[""].remove("hidden")
    kinds = registry.samplers().values()
    return {**found, "params": [name for kind in kinds for name in params_model(kind).model_fields]}


def _unknown(path: Path, kinds: Any) -> str:
    """Say that a key is unknown, what may be meant, and where it belongs."""
    key, known = path[-1], homes()
    above = ".".join(path[:-1])
    if path[0] == "sampler" and len(path) > 2:
        kinds, above = (sampler_class(path[-2]),), "params"
    if above == "params":
        names = sorted(params_model(*kinds).model_fields)
        every = registry.samplers().items()
        others = [name for name, kind in every if key in params_model(kind).model_fields]
        have = f" ({', '.join(others)} {'has' if len(others) == 1 else 'have'} it)"
        hint = near(key, names) or (have if others else "")
        called = ", ".join(kind.__name__ for kind in kinds)
        has, it = ("has", "it has") if len(kinds) == 1 else ("have", "they have")
        return f"{called} {has} no parameter {key!r}{hint}; {it} {', '.join(names)}"
    for home, keys in known.items():
        if key in keys:
            return f"there is no such key; it belongs {f'under {home}' if home else 'at the top'}"
    names = known[above]
    return f"there is no such key{near(key, names) or '; there are ' + ', '.join(names)}"


def sampler_class(name: str) -> Any:
    """Return the class of a sampler; where it is to be chosen, the one that takes most."""
    return registry.find_sampler("smotenc" if name == AUTO else name)


@cache
def params_model(*kinds: Any) -> type[BaseModel]:
    """Return the model of a sampler's parameters, made from its constraints and defaults.

    That of a chain has those of all steps, of any type that one of them takes.
    """
    fields: dict[str, Any] = {}
    for each in kinds:
        for name, (kind, field) in _fields_of(each).items():
            known = fields[name][0] if name in fields else kind
            fields[name] = (Union[known, kind], field)  # noqa: UP007
    called = kinds[0].__name__ if len(kinds) == 1 else "Chain"
    made: Any = create_model(
        f"{called}Params", __config__=CONFIG, __doc__=f"Parameters of {called}.", **fields
    )
    return made


def _fields_of(sampler: Any) -> dict[str, tuple[Any, Any]]:
    from dsmote.samplers.parameters import allowed

    fields: dict[str, Any] = {}
    for name, default in registry.parameters_of(sampler).items():
        kind = _TYPES.get(name) or _kind_of(allowed(sampler)[name])
        if name == "sampling_strategy" and sampler._sampling_type == CLEAN:
            kind = _kind_of(allowed(sampler)[name])
        fields[name] = (kind, Field(default, description=_meaning(sampler, name)))
    if "n_neighbors" in fields:
        fields["k_neighbors"] = fields["n_neighbors"]
    if "categorical_features" in fields:
        fields["categorical"] = (Names, Field([], description=PARAMS["categorical"]))
    return fields


def _meaning(sampler: Any, name: str) -> str:
    """Return what a parameter is for: the first sentence about it in a docstring of a sampler."""
    if name in PARAMS:
        return PARAMS[name]
    # Samplers are loaded one by one, as far as needed.
    for each in chain(sampler.__mro__, map(registry.find_sampler, registry.class_names())):
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
        list: [Annotated[list[Scalar], Field(min_length=1)]],
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


def has_parameter(spec: JobSpec, name: str) -> bool:
    """Tell whether the sampler of a job, or a step of a chain, has a parameter."""
    return any(name in params_model(kind).model_fields for kind in spec.kinds(mixed=False))


def sampler_of(spec: JobSpec, columns: pd.DataFrame) -> Any:
    """Build the sampler that a job asks for; `columns` is an empty frame as the input."""
    from dsmote.plan.schema import is_flag_dtype, is_nominal_dtype

    split_column = spec.split.column if spec.split else None
    # A new row is for what its base row is for, and lies in its folder, unless that is a feature.
    layout = [name for name in spec.partition_by or () if name in spec.carry]
    inherited = tuple(dict.fromkeys([*filter(None, [split_column]), *layout]))
    excluded = {spec.target, *spec.carry, split_column}
    features = columns.drop(columns=[name for name in columns.columns if name in excluded])
    # A bool column is a number to SMOTE, so it alone does not make a table mixed.
    flags = {name for name, dtype in features.dtypes.items() if is_flag_dtype(dtype)}
    nominal = {name for name, dtype in features.dtypes.items() if is_nominal_dtype(dtype)}
    made = []
    for kind, (_, own) in zip(spec.kinds(mixed=bool(nominal - flags)), spec.steps, strict=True):
        given, fields = dict(own), params_model(kind).model_fields
        if hasattr(kind, "_inherited"):
            given["carry"] = [name for name in given.get("carry") or () if name not in inherited]
        elif split_column is not None and "carry" in fields:
            given["carry"] = [*(given.get("carry") or ()), split_column]
        if not given.get("carry"):
            given.pop("carry", None)
        if given.pop("categorical", None):
            chosen = {*nominal, *flags, *(own["categorical"] or ())}
            given["categorical_features"] = [name for name in features.columns if name in chosen]
        if "k_neighbors" in given and "n_neighbors" in fields:
            given["n_neighbors"] = given.pop("k_neighbors")
        sampler = kind.validated(**{name: _of_labels(name, v) for name, v in given.items()})
        if inherited and hasattr(kind, "_inherited"):
            sampler._inherited = inherited
        made.append(sampler)
    if isinstance(spec.sampler, str):
        return made[0]
    from dsmote.samplers.chain import Chain

    chain = Chain.validated(steps=made, random_state=spec.params.get("random_state"))
    if inherited:
        chain._inherited = inherited
    return chain


def _of_labels(name: str, value: Any) -> Any:
    """Return a parameter that names labels as one that finds them in the data."""
    from dsmote.job.labels import ByLabel, LabelCounts, LabelList

    if name == "sampling_strategy" and isinstance(value, list):
        return LabelList(tuple(value))
    if isinstance(value, Mapping):
        return LabelCounts(value) if name == "sampling_strategy" else ByLabel(value)
    return value


class _WithoutTitles(GenerateJsonSchema):
    """Titles are the keys again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def keys_schema() -> dict[str, Any]:
    """Return the JSON schema of the keys, but for the parameters of the samplers."""
    made = _JOB.json_schema(schema_generator=_WithoutTitles)
    flat: dict[str, Any] = json.loads(json.dumps(made).replace(r"\n", " "))  # descriptions
    return flat


def job_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of the job file, for editors and programs."""
    schema = keys_schema()
    definitions, rules, steps = schema["$defs"], [], dict[str, Any]()
    known = {name: [name, kind.__name__] for name, kind in registry.samplers().items()}
    names = {AUTO: [AUTO], **known}
    for name, called in names.items():
        model = params_model(sampler_class(name))
        made = model.model_json_schema(schema_generator=_WithoutTitles)
        definitions |= made.pop("$defs", {}) | {model.__name__: made}
        required = [] if name == AUTO else ["sampler"]
        own = {"$ref": f"#/$defs/{model.__name__}"}
        steps |= {each: {"anyOf": [own, {"type": "null"}]} for each in called}
        alone = {"type": "array", "contains": {"enum": called}, "maxItems": 1}
        mine = {"anyOf": [{"enum": called}, alone]}
        asked = {"required": required, "properties": {"sampler": mine}}
        rules.append({"if": asked, "then": {"properties": {"params": own}}})
    one = {"enum": [*steps]}
    step = {"type": "object", "properties": steps, "additionalProperties": False}
    step |= {"minProperties": 1, "maxProperties": 1}
    several = {"type": "array", "items": {"anyOf": [one, step]}, "minItems": 1}
    description = schema["properties"]["sampler"]["description"]
    either = {"type": ["string", "array", "object"], "anyOf": [one, step, several]}
    schema["properties"]["sampler"] = {"description": description, "default": AUTO, **either}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "dsmote job",
        "description": "A resampling job of dsmote on files, as `dsmote run JOB.yaml` takes it. In "
        "texts, ${NAME} and ${NAME:-default} are environment variables.",
        "required": ["input", "output", "target"],
        "allOf": rules,
    }
