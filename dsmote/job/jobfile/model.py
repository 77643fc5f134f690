"""The keys of a job file, their types, defaults and meaning; the JSON schema is made from this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from dask.utils import parse_bytes
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from dsmote.job.spec import AUTO, CHOICES, MOST_ROWS
from dsmote.samplers.registry import samplers

__all__ = ["ClusterSection", "JobFile", "SecuritySection", "SplitSection", "sampler_names"]


def sampler_names() -> tuple[str, ...]:
    """Return what ``sampler`` may be: ``auto``, the short names, and the names of the classes.

    Examples
    --------
    >>> sampler_names()[0], "smotenc" in sampler_names(), "SMOTENC" in sampler_names()
    ('auto', True, True)
    """
    known = samplers()
    return (AUTO, *known, *(cls.__name__ for cls in known.values()))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float | bool) else value


def _check_size(size: str | int) -> str | int:
    if parse_bytes(size) <= 0:
        raise ValueError("must be a size above 0, such as 2GiB")
    return size


T = TypeVar("T")
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Scalar = str | int | Annotated[float, Field(allow_inf_nan=False)] | bool
Names = Annotated[list[Text], BeforeValidator(_as_list, json_schema_input_type=Text | list[Text])]
_OneOrMore = Annotated[list[Scalar], Field(min_length=1)]
Values = Annotated[
    _OneOrMore, BeforeValidator(_as_list, json_schema_input_type=Scalar | _OneOrMore)
]
_ABOVE_ZERO = r"^(0*[1-9][0-9]*(\.[0-9]+)?|0+\.0*[1-9][0-9]*)"
Size = Annotated[
    Annotated[str, Field(pattern=_ABOVE_ZERO + r" *([kKmMgGtTpP][iI]?)?[bB]?$")]
    | Annotated[int, Field(gt=0)],
    AfterValidator(_check_size),
]
if TYPE_CHECKING:  # the choices are kept in one place, which is not here
    Sampler: TypeAlias = str
    Format: TypeAlias = str
    Mode: TypeAlias = str
    IfExists: TypeAlias = str
    Compression: TypeAlias = str
else:
    Sampler = Literal[sampler_names()]
    Format = Literal[CHOICES["format"]]
    Mode = Literal[CHOICES["mode"]]
    IfExists = Literal[CHOICES["if_exists"]]
    Compression = Literal[CHOICES["compression"]]

_SPLIT_WAYS: Any = [
    {
        "required": ["column", "train"],
        "properties": {
            "test_fraction": {"type": "null"},
            "stratify": {"const": False},
            "seed": {"const": 0},
        },
    },
    {
        "required": ["test_fraction"],
        "properties": {
            "test_fraction": {"type": "number"},
            "column": {"type": "null"},
            "train": {"type": "null"},
        },
    },
]
_CLUSTER_WAYS: Any = [
    {"properties": {name: {"type": "null"} for name in others}}
    for others in (
        ("scheduler_file", "n_workers", "threads_per_worker", "memory_limit"),
        ("address", "n_workers", "threads_per_worker", "memory_limit"),
        ("address", "scheduler_file"),
    )
]


class _Section(BaseModel):
    # Strict: `true` is no number, "5" is no number and 1 is no text, whatever YAML made of it.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SplitSection(_Section):
    """Which rows are for training; only these are resampled, the others come out as they are."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _SPLIT_WAYS})

    column: Text | None = Field(
        default=None, description="Column that says what a row is for.", examples=["fold"]
    )
    train: Values | None = Field(
        default=None,
        description="Its value or values that mean training; all others do not.",
        examples=[["train"]],
    )
    test_fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Instead of a column: the share of rows that is held back.",
        examples=[0.2],
    )
    seed: int = Field(default=0, ge=0, description="Of the choice of the rows that are held back.")
    stratify: bool = Field(default=False, description="Hold the same share of each class back.")


class SecuritySection(_Section):
    """The certificates of a cluster that speaks TLS: paths of PEM files."""

    tls_ca_file: Text = Field(description="Certificate of the authority that signed the others.")
    tls_client_cert: Text = Field(description="Certificate of this side.")
    tls_client_key: Text = Field(description="Key of this side.")


class ClusterSection(_Section):
    """Where the job runs: a scheduler that is there, or workers started for the job."""

    model_config = ConfigDict(json_schema_extra={"anyOf": _CLUSTER_WAYS})

    address: Text | None = Field(
        default=None, description="Of a running Dask scheduler.", examples=["tls://scheduler:8786"]
    )
    scheduler_file: Text | None = Field(
        default=None, description="File in which a running scheduler left its address."
    )
    n_workers: int | None = Field(
        default=None, ge=1, description="Workers to start here.", examples=[2]
    )
    threads_per_worker: int | None = Field(
        default=None, ge=1, description="Threads of each of them."
    )
    memory_limit: Size | None = Field(
        default=None,
        description="Memory of each of them, in bytes or as a size.",
        examples=["2GiB"],
    )
    security: SecuritySection | None = Field(default=None, description="Certificates, for TLS.")

    def connection(self) -> dict[str, Any]:
        """Return the arguments of :func:`dsmote.connect`."""
        return self.model_dump(exclude_none=True)


class JobFile(_Section):
    """A resampling job of dsmote on files, as `dsmote run JOB.yaml` takes it.

    In texts, ${NAME} and ${NAME:-default} are environment variables.
    """

    input: Text = Field(
        description="Parquet or CSV: a file, a folder or a glob; a path or a URL.",
        examples=["s3://lake/train/*.parquet"],
    )
    output: Text = Field(
        description="The folder to write; a path or a URL.", examples=["s3://lake/train-balanced/"]
    )
    target: Text = Field(description="The column of the class labels.", examples=["label"])
    format: Format | None = Field(
        default=None, description="The input's format, where its file names do not tell."
    )
    sampler: Sampler = Field(
        default=AUTO,
        description="As `dsmote samplers` lists them. auto: smote where all measured columns are "
        "numeric, smotenc where some are not.",
    )
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Parameters of the sampler.",
        examples=[{"k_neighbors": 5, "random_state": 0, "carry": ["id"]}],
    )
    split: SplitSection | None = Field(
        default=None, description="Which rows are for training. All, when not given."
    )
    mode: Mode = Field(
        default="full", description="Write original and new rows, or (synthetic) the new ones only."
    )
    if_exists: IfExists = Field(
        default="error",
        description="What becomes of an output that is there: error refuses, replace puts the "
        "new one in its place once it is whole, skip leaves it when it was made from the same "
        "files in the same way.",
    )
    partition_by: Names = Field(
        default_factory=list, description="Columns whose values become folders."
    )
    row_group_rows: int | None = Field(
        default=None, ge=1, le=MOST_ROWS, description="Rows of a Parquet row group."
    )
    compression: Compression = Field(default="snappy", description="Of the Parquet files.")
    shuffle: bool = Field(
        default=False, description="Mix new rows with original ones, by the seed."
    )
    report: bool = Field(default=False, description="Write a page about the result, too.")
    resume: bool = Field(
        default=False, description="Go on with the finished files of a run that died."
    )
    cluster: ClusterSection | None = Field(
        default=None,
        description="Where the job runs. When not given: what Dask's configuration names, or "
        "workers started here.",
    )
