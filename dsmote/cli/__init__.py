"""The command line: ``dsmote demo``, ``plan``, ``resample``, ``run``, ``samplers``, ``schema``.

Results go to the standard output, progress, log and messages to the standard error. The exit code
is 0, 1 after a failure, 2 after wrong usage, 3 when there was nothing to do, 4 when memory does
not suffice, 5 when data or parameters do not allow it, 130 after Ctrl-C. Only this package prints.

Commands import what they need when they run: importing pandas and Dask takes a second or more,
which ``--help`` need not cost, and in which Ctrl-C would not yet be answered as it should.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

import click

from dsmote import __version__
from dsmote.cli.options import JobCommand, argument, given_job, job_option
from dsmote.cli.terminal import echo, execute, guarded, print_json

__all__ = ["main"]

Command = Callable[..., Any]

#: Keys of a job that the commands have options for.
PLANNED = ("target", "format", "sampler", "params", "cluster")
WRITTEN = (
    *("split", "mode", "if_exists", "partition_by", "row_group_rows", "compression", "shuffle"),
    *("report", "resume"),
)

EXIT_CODES = """\b
Exit codes, for schedulers:
    0  done (or planned, with --dry-run)
    1  failed, and a retry may help; there is no output, or the one that was there before
    2  wrong usage, or errors in the job file; nothing has run
    3  skipped: the output is there and was made from the same (if_exists: skip)
    4  refused: the job does not fit in the workers' memory; nothing has been written
    5  refused: the data, a parameter or an existing output does not allow it; as after 1
  130  interrupted, by Ctrl-C or SIGTERM
"""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
debug = click.option("--debug", is_flag=True, help="Show tracebacks and the cluster's log.")
LOG = (
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        help="Log on the standard error: lines of text, or one JSON object a line.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        help="Minimum log level.",
    ),
)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command options, in this order, and guards it."""

    def decorate(command: Command) -> Command:
        command = guarded(command)
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def job_command(*options: Callable[[Command], Command], keys: tuple[str, ...], **more: Any) -> Any:
    """Return a decorator that makes a command with the options of some keys of a job."""

    def decorate(command: Command) -> click.Command:
        return main.command(cls=JobCommand, keys=keys, **more)(with_options(*options)(command))

    return decorate


@click.group(name="dsmote", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dsmote")
def main() -> None:
    """Balance tables of any size with SMOTE and its family on Dask."""


@job_command(argument("input"), as_json, quiet, debug, keys=PLANNED)
def plan(**given: Any) -> None:
    """Show what resampling INPUT would do, without doing it.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. Only the classes are counted. What cannot run ends with the exit code that
    `dsmote resample` would end with.
    """
    execute(given_job(needs_output=False), dry_run=True, **given)


@job_command(
    argument("input"),
    argument("output"),
    job_option("--overwrite", is_flag=True, help="Short for --if-exists replace."),
    *(*LOG, as_json, quiet, debug),
    keys=(*PLANNED, *WRITTEN),
)
def resample(**given: Any) -> None:
    """Write a balanced copy of INPUT to the folder OUTPUT.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. OUTPUT becomes a folder of Parquet files that readers take as one table. It
    appears complete or not at all; .OUTPUT.dsmote/manifest.json beside it says how it was made.

    The exit codes are those of `dsmote run`.
    """
    execute(given_job(), **given)


@job_command(
    click.argument("job", metavar="JOB.yaml", type=click.Path(exists=True, dir_okay=False)),
    job_option(
        "--set",
        multiple=True,
        metavar="KEY=VALUE",
        help="A key of the job file, such as params.k_neighbors=7; VALUE is YAML, such as [a, b]. "
        "May be repeated.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan; write nothing."),
    *(*LOG, as_json, quiet, debug),
    keys=("if_exists", "resume", "cluster"),
    epilog=EXIT_CODES,
)
def run(job: str, **given: Any) -> None:
    """Run the job that the file JOB.yaml describes.

    The file is checked before anything runs, and every error is reported with its line. Its keys
    are those of `dsmote schema`; in its texts ${NAME} and ${NAME:-default} are environment
    variables, whose values are never shown. Relative paths are relative to the working directory.
    """
    execute(given_job(job), always_log=True, **given)


@job_command(
    click.option(
        "--rows", type=click.IntRange(min=1000), default=1_000_000, show_default=True, metavar="N"
    ),
    click.option(
        "--output",
        default="dsmote-demo",
        show_default=True,
        metavar="DIR",
        help="Folder for the generated table and the balanced one.",
    ),
    *(as_json, quiet, debug),
    keys=("cluster",),
)
def demo(rows: int, output: str, **given: Any) -> None:
    """Generate a table with a rare class and balance it."""
    from dsmote.job.demo import TARGET, write_demo

    table, balanced = posixpath.join(output, "table"), posixpath.join(output, "balanced")
    params = {"carry": ["id"], "random_state": 0}
    job = {"input": table, "output": balanced, "target": TARGET, "params": params}
    spec = given_job({**job, "if_exists": "replace"})
    if not given["quiet"]:
        echo(f"generating {rows:,} rows ...", err=True)
    write_demo(table, rows)
    execute(spec, **given)


@main.command()
@with_options(as_json, debug)
def samplers(as_json: bool) -> None:
    """List what --sampler takes, and with --json their parameters too.

    Each is named as --sampler takes it and as it is called in Python.
    """
    from dsmote.samplers.registry import describe_samplers

    listed = describe_samplers()
    if as_json:
        return print_json({"samplers": listed})
    names, classes = (max(len(one[key]) for one in listed) for key in ("name", "class"))
    for one in listed:
        echo(f"{one['name']:<{names}}  {one['class']:<{classes}}  {one['summary']}")


@main.command()
@with_options(debug)
def schema() -> None:
    """Print the JSON schema of job files, for editors and programs.

    An editor that knows YAML checks and completes job files with it.
    """
    from dsmote.job.spec import job_schema

    print_json(job_schema())
