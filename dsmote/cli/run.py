"""``dsmote run`` and ``dsmote schema``: jobs from a file, for schedulers."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import click

from dsmote.cli.guard import after_commit, guarded
from dsmote.cli.options import LOG_OPTIONS, OUTPUT_OPTIONS, with_options

__all__ = ["run", "schema"]

EXIT_CODES = """\b
Exit codes, for schedulers:
    0  done (or planned, with --dry-run)
    1  failed, and a retry may help; there is no output, or the one that was there before
    2  wrong usage, or mistakes in the job file; nothing has run
    3  skipped: the output is there and was made from the same (if_exists: skip)
    4  refused: the job does not fit in the workers' memory; nothing has been written
    5  refused: the data, a parameter or an output that is there does not allow it; as after 1
  130  interrupted, by Ctrl-C or SIGTERM
"""


@click.command(epilog=EXIT_CODES)
@click.argument("job", metavar="JOB.yaml", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of the job file, such as params.k_neighbors=7; VALUE is YAML, such as [a, b]. "
    "May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan; write nothing.")
@click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler, for cluster.")
@click.option(
    "--if-exists",
    type=click.Choice(["error", "skip", "replace"]),
    help="What becomes of an output that is there.",
)
@click.option("--resume", is_flag=True, help="Go on with the finished files of a run that died.")
@with_options(LOG_OPTIONS, OUTPUT_OPTIONS)
@guarded
def run(
    job: str,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    log_format: str | None,
    log_level: str | None,
    **options: Any,
) -> None:
    """Run the job that the file JOB.yaml describes.

    The file is checked whole before anything runs, and every mistake is told with its line. Its
    keys are those of `dsmote schema`; in its texts ${NAME} and ${NAME:-default} are environment
    variables, whose values are never shown. Relative paths are relative to the working directory.
    """
    from dsmote.cli.display import print_job
    from dsmote.cli.log import shown
    from dsmote.job import load_job, run_spec

    overrides = _overrides(**options)
    checked = load_job(job, overrides)
    with shown(quiet, log_format, log_level, always=True) as (progress, _):
        result = run_spec(
            checked.spec, checked.cluster.connection(), dry_run=dry_run, progress=progress
        )
    with nullcontext() if dry_run else after_commit():
        print_job(result, as_json, quiet, checked.spec.hidden)
    if result.exit_code:
        raise click.exceptions.Exit(result.exit_code)


def _overrides(
    sets: tuple[str, ...], scheduler: str | None, if_exists: str | None, resume: bool
) -> list[Any]:
    """Return what the command line sets over the file."""
    from dsmote.job.jobfile.load import override, set_key

    try:
        found = [set_key(text) for text in sets]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--set") from None
    if scheduler:
        others = ("scheduler_file", "n_workers", "threads_per_worker", "memory_limit")
        found += [override(f"cluster.{name}", None, "--scheduler") for name in others]
        found.append(override("cluster.address", scheduler, "--scheduler"))
    if if_exists:
        found.append(override("if_exists", if_exists, "--if-exists"))
    if resume:
        found.append(override("resume", True, "--resume"))
    return found


@click.command()
@with_options(OUTPUT_OPTIONS[-1:])
@guarded
def schema() -> None:
    """Print the JSON schema of job files, for editors and programs.

    An editor that knows YAML checks and completes job files with it.
    """
    from dsmote.job.jobfile import job_schema

    click.echo(json.dumps(job_schema(), indent=2))
