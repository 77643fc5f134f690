"""What the commands show: progress on the standard error, results on the standard output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from dsmote.cli.guard import raise_if_interrupted
from dsmote.cli.log import echo
from dsmote.plan import format_bytes
from dsmote.plan.labels import visible

__all__ = [
    "display",
    "print_demo",
    "print_job",
    "print_json",
    "print_result",
    "print_samplers",
]

#: Plain progress lines are this many seconds apart, at least.
LINE_SECONDS = 2.0


class _Quiet:
    """Says nothing, but ends a run whose Ctrl-C was lost."""

    def stage(self, text: str) -> None:
        raise_if_interrupted()

    def planned(self, plan: Any) -> None:
        raise_if_interrupted()

    def start(self, partitions: int, rows: int) -> None:
        raise_if_interrupted()

    def advance(self, partitions: int, rows: int) -> None:
        raise_if_interrupted()


class _Lines(_Quiet):
    """Plain lines, where there is no terminal to draw a bar on."""

    def __init__(self) -> None:
        self._partitions = self._rows = self._done = self._written = 0
        self._began = self._last = time.monotonic()

    def stage(self, text: str) -> None:
        super().stage(text)
        echo(f"{text} ...", err=True)

    def start(self, partitions: int, rows: int) -> None:
        super().start(partitions, rows)
        self._partitions, self._rows = partitions, rows
        self._began = self._last = time.monotonic()

    def advance(self, partitions: int, rows: int) -> None:
        super().advance(partitions, rows)
        self._done += partitions
        self._written += rows
        now, finished = time.monotonic(), self._done == self._partitions
        if now - self._last < LINE_SECONDS and not finished:
            return
        self._last = now
        left = (now - self._began) / self._done * (self._partitions - self._done)
        echo(
            f"{self._done:,} of {self._partitions:,} partitions, {self._written:,} of "
            f"{self._rows:,} rows" + ("" if finished else f", about {left:.0f} s left"),
            err=True,
        )


class _Bar(_Quiet):
    """A live bar on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, counts="")
        self._partitions = self._rows = self._done = self._written = 0

    def stage(self, text: str) -> None:
        super().stage(text)
        self._progress.update(self._task, description=text)

    def start(self, partitions: int, rows: int) -> None:
        super().start(partitions, rows)
        self._partitions, self._rows = partitions, rows
        self._progress.reset(self._task, total=partitions, counts="")
        self.advance(0, 0)

    def advance(self, partitions: int, rows: int) -> None:
        super().advance(partitions, rows)
        self._done += partitions
        self._written += rows
        counts = f"{self._written:,} rows, {self._done:,}/{self._partitions:,} partitions"
        self._progress.update(self._task, completed=self._done, counts=counts)


@contextmanager
def display(quiet: bool) -> Iterator[Any]:
    """Yield a progress: none, a bar on a terminal, or plain lines elsewhere.

    Parameters
    ----------
    quiet : bool

    Yields
    ------
    dsmote.job.Progress
    """
    console = Console(stderr=True)
    if quiet:
        yield _Quiet()
    elif not console.is_terminal:
        yield _Lines()
    else:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True, expand=True) as progress:
            yield _Bar(progress)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document.

    Parameters
    ----------
    document : dict
    """
    click.echo(json.dumps(document, indent=2, default=str))


def _print_classes(classes: list[dict[str, Any]]) -> None:
    table = Table(box=box.SIMPLE)
    table.add_column("class")
    shown = ("before", "dropped" if "dropped" in classes[0] else "new", "after")
    for name in shown:
        table.add_column(name, justify="right")
    for one in classes:
        table.add_row(visible(one["label"]), *(f"{one[name]:,}" for name in shown))
    Console(highlight=False, markup=False).print(table)


def print_job(result: Any, as_json: bool, quiet: bool, hidden: Any, warnings: bool = False) -> None:
    """Print what became of a job.

    Parameters
    ----------
    result : dsmote.JobResult
    as_json : bool
    quiet : bool
    hidden : Secrets
        Masked.
    warnings : bool, default=False
        Print what the plan warned of, too; it is in the log otherwise.
    """
    planned = result.status == "planned"
    if as_json:
        print_json(hidden.mask_value(result.plan.to_dict()) if planned else result.manifest)
    elif quiet:
        return
    elif planned:
        echo(hidden.mask(str(result.plan)))
    elif result.status == "skipped":
        place = result.manifest["job"]["output"]
        echo(f"Skipped: {place} was made from the same files in the same way")
    else:
        print_result(result.manifest, warnings)


def print_result(manifest: dict[str, Any], warnings: bool = True) -> None:
    """Print what was done.

    Parameters
    ----------
    manifest : dict
    warnings : bool, default=True
        Print what the plan warned of, too.
    """
    _print_classes(manifest["classes"])
    peak = max(manifest["memory"]["peak_bytes"].values(), default=0)
    # A sampler that only leaves rows out holds nothing that is worth projecting.
    projected = manifest["memory"].get("worker_bytes")
    if "test" in manifest:
        echo(f"{manifest['rows']['test']:,} rows are not for training and stay as they were")
    written = sum(part["rows"] for part in manifest["parts"])
    echo(
        f"{written:,} rows in {len(manifest['parts'])} part files of together "
        f"{format_bytes(manifest['bytes'])}: {manifest['job']['output']}"
    )
    echo(
        f"{manifest['seconds']:.1f} s, {manifest['sampler']} with seed "
        f"{manifest['parameters']['seed']}; peak memory of a worker {format_bytes(peak)}"
        + ("" if projected is None else f", projected {format_bytes(projected)}")
    )
    for message in manifest["warnings"] if warnings else ():
        echo(f"Warning: {message}", err=True)


def print_samplers(listed: list[dict[str, Any]]) -> None:
    """Print one line for each sampler.

    Parameters
    ----------
    listed : list of dict
        With ``name``, ``class`` and ``summary``.
    """
    names, classes = (max(len(one[key]) for one in listed) for key in ("name", "class"))
    for one in listed:
        echo(f"{one['name']:<{names}}  {one['class']:<{classes}}  {one['summary']}")


def print_demo(manifest: dict[str, Any], copy_seconds: float) -> None:
    """Print what the demo did.

    Parameters
    ----------
    manifest : dict
    copy_seconds : float
        What Dask took to read and write the same rows.
    """
    echo(f"The table: {manifest['job']['input']}")
    print_result(manifest)
    times = manifest["seconds"] / max(copy_seconds, 1e-3)
    echo(
        f"Reading and writing the same rows with Dask alone: {copy_seconds:.1f} s, so resampling "
        f"took {times:.1f} times as long"
    )
