"""The command line: ``dsmote demo``, ``plan``, ``resample``, ``run``, ``samplers``, ``schema``.

What was asked for goes to the standard output, what is said on the way to the standard error.
The exit code is 0, 1 after a failure, 2 after wrong usage, 3 when there was nothing to do, 4 when
memory does not suffice, 5 when data or parameters do not allow it, 130 after Ctrl-C. Only this
package prints.

Commands import what they need when they run: importing pandas and Dask takes a second or more,
which ``--help`` need not cost, and in which Ctrl-C would not yet be answered as it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dsmote import __version__
from dsmote.cli.guard import after_commit, guarded
from dsmote.cli.log import say
from dsmote.cli.options import (
    CLUSTER_OPTIONS,
    JOB_OPTIONS,
    LISTING_OPTIONS,
    LOG_OPTIONS,
    OUTPUT_OPTIONS,
    with_options,
)
from dsmote.cli.run import run, schema
from dsmote.cli.writing import WRITE_OPTIONS, in_options, written_fields

if TYPE_CHECKING:
    from dsmote.job import JobSpec

__all__ = ["main"]


@click.group(name="dsmote", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dsmote")
def main() -> None:
    """Balance tables of any size with SMOTE and its family on Dask."""


@main.command()
@click.argument("input", metavar="INPUT")
@with_options(JOB_OPTIONS, CLUSTER_OPTIONS, OUTPUT_OPTIONS)
@guarded
def plan(as_json: bool, quiet: bool, **options: Any) -> None:
    """Show what resampling INPUT would do, without doing it.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. Only the classes are counted. What cannot run ends with the exit code that
    `dsmote resample` would end with.
    """
    from dsmote.cli.display import display, print_job
    from dsmote.job import run_spec
    from dsmote.plan.labels import first

    cluster = _cluster_options(options)
    spec = _spec(**options)
    with display(quiet) as progress:
        result = run_spec(spec, cluster, dry_run=True, progress=progress)
    print_job(result, as_json, quiet, spec.hidden)
    for problem in first(result.plan.problems) if quiet and not as_json else ():
        say(f"Error: cannot run: {spec.hidden.mask(problem)}", None)
    if result.exit_code:
        raise click.exceptions.Exit(result.exit_code)


@main.command()
@click.argument("input", metavar="INPUT")
@click.argument("output", metavar="OUTPUT")
@with_options(JOB_OPTIONS, WRITE_OPTIONS, CLUSTER_OPTIONS, LOG_OPTIONS, OUTPUT_OPTIONS)
@guarded
def resample(
    as_json: bool, quiet: bool, log_format: str | None, log_level: str | None, **options: Any
) -> None:
    """Write a balanced copy of INPUT to the folder OUTPUT.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. OUTPUT becomes a folder of Parquet files that readers take as one table. It
    appears whole or not at all, and _manifest.json in it says how it was made.

    The exit codes are those of `dsmote run`.
    """
    from dsmote.cli.display import print_job
    from dsmote.cli.log import shown
    from dsmote.job import run_spec

    cluster = _cluster_options(options)
    spec = _spec(**written_fields(options), **options)
    with shown(quiet, log_format, log_level, always=False) as (progress, logged):
        result = run_spec(spec, cluster, progress=progress)
    with after_commit():
        print_job(result, as_json, quiet, spec.hidden, warnings=not logged)
    if result.exit_code:
        raise click.exceptions.Exit(result.exit_code)


@main.command()
@click.option(
    "--rows", type=click.IntRange(min=1000), default=1_000_000, show_default=True, metavar="N"
)
@click.option(
    "--output",
    default="dsmote-demo",
    show_default=True,
    metavar="DIR",
    help="Folder for the generated table and the balanced one.",
)
@with_options(CLUSTER_OPTIONS, OUTPUT_OPTIONS)
@guarded
def demo(rows: int, output: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Generate a table with a rare class and balance it.

    Also tells how long Dask takes to read and write as much without resampling.
    """
    from dsmote.cli.display import display, print_demo, print_json
    from dsmote.job import prepare, write_job
    from dsmote.job.demo import TARGET, copy_seconds, write_demo

    cluster = _cluster_options(options)
    table, balanced = f"{output}/table", f"{output}/balanced"
    with display(quiet) as progress, _client(cluster, progress) as client:
        progress.stage(f"generating {rows:,} rows")
        write_demo(table, rows)
        spec = _spec(
            input=table,
            output=balanced,
            target=TARGET,
            carry=("id",),
            random_state=0,
            if_exists="replace",
        )
        manifest = write_job(prepare(spec), client, progress).manifest
        progress.stage("copying, to compare")
        seconds = copy_seconds(balanced, client)
    with after_commit():
        if as_json:
            print_json({**manifest, "copy_seconds": round(seconds, 3)})
        elif not quiet:
            print_demo(manifest, seconds)


@main.command()
@with_options(LISTING_OPTIONS)
@guarded
def samplers(as_json: bool) -> None:
    """List what --sampler takes, and with --json their parameters too.

    Each is named as --sampler takes it and as it is called in Python.
    """
    from dsmote.cli.display import print_json, print_samplers
    from dsmote.samplers.registry import describe_samplers

    listed = describe_samplers()
    if as_json:
        print_json({"samplers": listed})
    else:
        print_samplers(listed)


main.add_command(run)
main.add_command(schema)


def _cluster_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take the cluster's options out of all."""
    from dask.utils import parse_bytes

    names = ("n_workers", "threads_per_worker", "memory_limit")
    cluster = {name: options.pop(name) for name in ("scheduler_file", *names)}
    cluster["address"] = options.pop("scheduler")
    given = {"--scheduler": cluster["address"], "--scheduler-file": cluster["scheduler_file"]}
    there = [option for option, value in given.items() if value]
    if len(there) > 1:
        raise click.UsageError("give either --scheduler or --scheduler-file, not both")
    if there and any(cluster[name] for name in names):
        raise click.UsageError(
            f"{there[0]} is a cluster that is there: --n-workers, --threads-per-worker and "
            "--memory-limit are for a local one"
        )
    files = {
        "tls_ca_file": options.pop("tls_ca_file"),
        "tls_client_cert": options.pop("tls_cert"),
        "tls_client_key": options.pop("tls_key"),
    }
    cluster["security"] = {name: file for name, file in files.items() if file} or None
    limit = cluster["memory_limit"]
    try:
        if limit is not None and parse_bytes(limit) <= 0:
            raise ValueError
    except ValueError:
        raise click.BadParameter(
            f"{limit!r} is not a size such as 4GiB", param_hint="--memory-limit"
        ) from None
    return cluster


def _spec(sampling_strategy: str = "auto", **fields: Any) -> JobSpec:
    from dsmote.job import JobSpec, parse_strategy

    try:
        strategy = parse_strategy(sampling_strategy)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--sampling-strategy") from None
    try:
        return JobSpec(sampling_strategy=strategy, **fields)
    except ValueError as error:
        raise click.UsageError(in_options(str(error))) from None


@contextmanager
def _client(cluster: dict[str, Any], progress: Any) -> Iterator[Any]:
    from dsmote.cluster import connect

    progress.stage(
        "connecting" if cluster["address"] or cluster["scheduler_file"] else "starting workers"
    )
    with connect(**cluster) as client:
        if not client.nthreads():
            progress.stage("waiting for the scheduler to get workers")
        yield client
