"""The options that commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

__all__ = [
    "CLUSTER_OPTIONS",
    "JOB_OPTIONS",
    "LISTING_OPTIONS",
    "LOG_OPTIONS",
    "OUTPUT_OPTIONS",
    "json_or_text",
    "with_options",
]

Command = Callable[..., Any]


def _parameters(context: Any, option: Any, given: tuple[str, ...]) -> dict[str, Any]:
    """Read each KEY=VALUE; a value that is no JSON is text."""
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, such as kind=borderline-2")
        if key in found:
            raise click.BadParameter(f"{key!r} is given twice")
        found[key] = json_or_text(value)
    return found


def json_or_text(text: str) -> Any:
    """Return the value that a text is in JSON, or else the text."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)  # NaN and the like are not JSON

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


JOB_OPTIONS = (
    click.option("--target", required=True, metavar="COL", help="Column of the class labels."),
    click.option(
        "--format",
        type=click.Choice(["parquet", "csv"]),
        help="Format of INPUT where its file names do not tell.",
    ),
    click.option(
        "--sampler",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="As `dsmote samplers` lists them; auto: smote when all measured columns are numeric, "
        "smotenc when some are not.",
    ),
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_parameters,
        help="A parameter of the sampler, such as kind=borderline-2; VALUE is JSON or else text. "
        "May be repeated.",
    ),
    click.option(
        "--sampling-strategy",
        default="auto",
        show_default=True,
        metavar="NAME|RATIO|JSON",
        help="auto, minority or majority, 'not minority', 'not majority' or all; a ratio such as "
        "0.5; or the total rows by label, such as '{\"1\": 5000}'.",
    ),
    click.option(
        "--k-neighbors",
        type=click.IntRange(min=1),
        help="Neighbours to choose from.  [default: 5; kmeans: 2]",
    ),
    click.option(
        "--categorical",
        multiple=True,
        metavar="COL",
        help="A column to take as nominal although it is numeric. May be repeated.",
    ),
    click.option(
        "--carry",
        multiple=True,
        metavar="COL",
        help="A column to keep but not to measure, such as an id; missing in new rows. "
        "May be repeated.",
    ),
    click.option(
        "--missing",
        type=click.Choice(["error", "skip"]),
        help="skip: rows with missing values are kept, and not used to make new ones.  "
        "[default: error]",
    ),
    click.option(
        "--neighbors",
        type=click.Choice(["auto", "tree", "brute", "fast"]),
        help="How neighbours are found; fast approximates, and its recall is measured.  "
        "[default: auto]",
    ),
    click.option(
        "--scale",
        type=click.Choice(["standard", "minmax", "robust"]),
        help="Find neighbours among scaled columns; rows are made in the original units.",
    ),
    click.option(
        "--n-components",
        type=click.FLOAT,
        metavar="N",
        help="Find neighbours in N principal components (or, below 1, that share of variance).",
    ),
    click.option(
        "--random-state",
        type=click.IntRange(min=0),
        metavar="N",
        help="Seed; the same seed gives the same rows.",
    ),
)

CLUSTER_OPTIONS = (
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="A running Dask scheduler, such as tcp://127.0.0.1:8786.",
    ),
    click.option(
        "--scheduler-file",
        metavar="FILE",
        help="Or the file that `dask scheduler --scheduler-file FILE` writes.",
    ),
    click.option(
        "--tls-ca-file",
        metavar="PEM",
        help="For a tls:// scheduler: the certificate of the cluster's CA,",
    ),
    click.option("--tls-cert", metavar="PEM", help="a certificate that it has signed,"),
    click.option("--tls-key", metavar="PEM", help="and its key."),
    click.option("--n-workers", type=click.IntRange(min=1), metavar="N", help="Local workers."),
    click.option(
        "--threads-per-worker", type=click.IntRange(min=1), metavar="N", help="Of each of them."
    ),
    click.option("--memory-limit", metavar="SIZE", help="Of each of them, such as 4GiB."),
)

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks and the cluster's log.")

OUTPUT_OPTIONS = (
    _JSON,
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    _DEBUG,
)

LISTING_OPTIONS = (_JSON, _DEBUG)

LOG_OPTIONS = (
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        help="How the log is written to the standard error: lines of text, or one JSON object a "
        "line.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        help="The least that is logged.",
    ),
)


def with_options(
    *groups: tuple[Callable[[Command], Command], ...],
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command groups of options, in this order.

    Parameters
    ----------
    *groups : tuple of decorators

    Returns
    -------
    callable
    """

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate
