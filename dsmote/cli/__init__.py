"""The command line: ``dsmote demo``, ``plan``, ``resample``, ``run``, ``samplers``, ``schema``.

Results go to the standard output, progress, log and messages to the standard error. The exit code
is 0, 1 after a failure, 2 after wrong usage, 3 when there was nothing to do, 4 when memory does
not suffice, 5 when data or parameters do not allow it, 130 after Ctrl-C. Only this package prints.

Commands import what they need when they run: importing pandas and Dask takes a second or more,
which ``--help`` need not cost, and in which Ctrl-C would not yet be answered as it should.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import click

from dsmote import __version__
from dsmote.cli.options import JobCommand, argument, given_job, keep
from dsmote.cli.terminal import (
    after_commit,
    display,
    guarded,
    print_job,
    print_json,
    print_samplers,
    say,
    shown,
)

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
log_format = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="Log on the standard error: lines of text, or one JSON object a line.",
)
log_level = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Minimum log level.",
)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command options, in this order, and guards it."""

    def decorate(command: Command) -> Command:
        command = guarded(command)
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(name="dsmote", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dsmote")
def main() -> None:
    """Balance tables of any size with SMOTE and its family on Dask."""


@main.command(cls=JobCommand, keys=PLANNED)
@with_options(argument("input"), as_json, quiet, debug)
def plan(as_json: bool, quiet: bool) -> None:
    """Show what resampling INPUT would do, without doing it.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. Only the classes are counted. What cannot run ends with the exit code that
    `dsmote resample` would end with.
    """
    from dsmote.job import run_spec
    from dsmote.plan.labels import first

    spec = given_job(needs_output=False)
    with display(quiet) as progress:
        result = run_spec(spec, dry_run=True, progress=progress)
    print_job(result, as_json, quiet, spec.hidden)
    for problem in first(result.plan.problems) if quiet and not as_json else ():
        say(f"Error: cannot run: {spec.hidden.mask(problem)}")
    raise click.exceptions.Exit(result.exit_code)


@main.command(cls=JobCommand, keys=(*PLANNED, *WRITTEN))
@with_options(
    argument("input"),
    argument("output"),
    click.option(
        "--overwrite",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Short for --if-exists replace.",
    ),
    *(log_format, log_level, as_json, quiet, debug),
)
def resample(as_json: bool, quiet: bool, log_format: str | None, log_level: str | None) -> None:
    """Write a balanced copy of INPUT to the folder OUTPUT.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. OUTPUT becomes a folder of Parquet files that readers take as one table. It
    appears complete or not at all, and _manifest.json in it says how it was made.

    The exit codes are those of `dsmote run`.
    """
    from dsmote.job import run_spec

    spec = given_job()
    with shown(quiet, log_format, log_level, always=False) as (progress, logged):
        result = run_spec(spec, progress=progress)
    with after_commit():
        print_job(result, as_json, quiet, spec.hidden, warnings=not logged)
    raise click.exceptions.Exit(result.exit_code)


@main.command(cls=JobCommand, keys=("if_exists", "resume", "cluster"), epilog=EXIT_CODES)
@with_options(
    click.argument("job", metavar="JOB.yaml", type=click.Path(exists=True, dir_okay=False)),
    click.option(
        "--set",
        multiple=True,
        metavar="KEY=VALUE",
        expose_value=False,
        callback=keep,
        help="A key of the job file, such as params.k_neighbors=7; VALUE is YAML, such as [a, b]. "
        "May be repeated.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan; write nothing."),
    *(log_format, log_level, as_json, quiet, debug),
)
def run(
    job: str,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    log_format: str | None,
    log_level: str | None,
) -> None:
    """Run the job that the file JOB.yaml describes.

    The file is checked before anything runs, and every error is reported with its line. Its keys
    are those of `dsmote schema`; in its texts ${NAME} and ${NAME:-default} are environment
    variables, whose values are never shown. Relative paths are relative to the working directory.
    """
    from dsmote.job import run_spec

    spec = given_job(job)
    with shown(quiet, log_format, log_level, always=True) as (progress, _):
        result = run_spec(spec, dry_run=dry_run, progress=progress)
    with nullcontext() if dry_run else after_commit():
        print_job(result, as_json, quiet, spec.hidden)
    raise click.exceptions.Exit(result.exit_code)


@main.command(cls=JobCommand, keys=("cluster",))
@with_options(
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
)
def demo(rows: int, output: str, as_json: bool, quiet: bool) -> None:
    """Generate a table with a rare class and balance it."""
    from dsmote.job import run_spec
    from dsmote.job.demo import TARGET, write_demo

    table, params = f"{output}/table", {"carry": ["id"], "random_state": 0}
    job = {"input": table, "output": f"{output}/balanced", "target": TARGET, "params": params}
    spec = given_job({**job, "if_exists": "replace"})
    with display(quiet) as progress:
        progress.stage(f"generating {rows:,} rows")
        write_demo(table, rows)
        result = run_spec(spec, progress=progress)
    with after_commit():
        print_job(result, as_json, quiet, spec.hidden, warnings=True)


@main.command()
@with_options(as_json, debug)
def samplers(as_json: bool) -> None:
    """List what --sampler takes, and with --json their parameters too.

    Each is named as --sampler takes it and as it is called in Python.
    """
    from dsmote.samplers.registry import describe_samplers

    listed = describe_samplers()
    if as_json:
        print_json({"samplers": listed})
    else:
        print_samplers(listed)


@main.command()
@with_options(debug)
def schema() -> None:
    """Print the JSON schema of job files, for editors and programs.

    An editor that knows YAML checks and completes job files with it.
    """
    from dsmote.job.spec import job_schema

    print_json(job_schema())
