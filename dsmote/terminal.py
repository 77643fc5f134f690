"""What the command line prints: results, messages, progress and the log.

Results go to the standard output, all else to the standard error. Pandas and Dask are imported
when they are needed: see :mod:`dsmote.cli`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

#: Plain progress lines are this many seconds apart, at least.
LINE_SECONDS = 2.0

#: Set by Ctrl-C, for the case that its exception is lost.
interrupted = threading.Event()


def echo(text: str, err: bool = False) -> None:
    """Print text with the control characters of names in it made visible."""
    click.echo(visible_lines(text), err=err)


def visible_lines(text: str) -> str:
    """Return text in which only line breaks are obeyed."""
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from dsmote.plan.labels import visible

    return "\n".join(map(visible, lines))


def say(text: str, log_format: str | None = None, **fields: Any) -> None:
    """Print how a command ended on the standard error, as the log is written there."""
    if log_format == "json":
        from dsmote.job.logs import JsonLines

        record = {"name": "dsmote.cli", "levelname": "ERROR", "fields": fields}
        record["msg"] = text.removeprefix("Error: ")
        click.echo(JsonLines().format(logging.makeLogRecord(record)), err=True)
        return
    # Lines that go on are indented, so that none can pass for a message of its own.
    first, *others = text.split("\n")
    indented = (line if line.startswith("  ") or not line else f"  {line}" for line in others)
    echo("\n".join([first, *indented]), err=True)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, default=str))


class Display:
    """Progress: a bar on a terminal, plain lines elsewhere, or nothing.

    Each call ends a run whose Ctrl-C was lost. Python drops an exception that a signal raises
    inside a destructor or a callback of the garbage collector, and the program would go on.
    """

    def __init__(self, lines: bool = True, bar: Any = None) -> None:
        self._lines, self._bar, self._of, self._last = lines, bar, "", 0.0
        self._task = bar.add_task("starting", total=None, counts="") if bar else None

    def stage(self, text: str) -> None:
        """Say what begins."""
        self.check()
        if self._bar:
            self._bar.update(self._task, description=text)
        elif self._lines:
            echo(f"{text} ...", err=True)

    def check(self) -> None:
        """End the run if Ctrl-C was pressed."""
        if interrupted.is_set():
            raise KeyboardInterrupt

    def planned(self, plan: Any) -> None:
        """Note whether the number of rows is an upper bound."""
        self.check()
        self._of = "at most " if plan.at_most else ""

    def start(self, partitions: int, rows: int) -> None:
        """Count from zero to so many."""
        self._partitions, self._rows = partitions, rows
        self._done = self._written = 0
        self._began = self._last = time.monotonic()
        if self._bar:
            self._bar.reset(self._task, total=partitions, counts="")

    def fits(self, done: int, total: int) -> None:
        """Count resamplings of `advise`."""
        self.check()
        now = time.monotonic()
        if self._bar:
            counts = f"{done:,}/{total:,} resamplings"
            self._bar.update(self._task, total=total, completed=done, counts=counts)
        elif self._lines and (done == total or now - self._last >= LINE_SECONDS):
            self._last = now
            echo(f"{done:,} of {total:,} resamplings", err=True)

    def advance(self, partitions: int, rows: int) -> None:
        """Count partitions and rows that were written."""
        self.check()
        self._done += partitions
        self._written += rows
        if self._bar:
            counts = f"{self._written:,} rows, {self._done:,}/{self._partitions:,} partitions"
            self._bar.update(self._task, completed=self._done, counts=counts)
            return
        now, finished = time.monotonic(), self._done == self._partitions
        if not self._lines or (now - self._last < LINE_SECONDS and not finished):
            return
        self._last = now
        left = (now - self._began) / self._done * (self._partitions - self._done)
        echo(
            f"{self._done:,} of {self._partitions:,} partitions, {self._written:,} of "
            f"{self._of}{self._rows:,} rows" + ("" if finished else f", about {left:.0f} s left"),
            err=True,
        )


def progress_bar() -> Any:
    """Return the bar, which is shown in a ``with`` statement."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    text, counts = TextColumn("{task.description}"), TextColumn("{task.fields[counts]}")
    columns = (SpinnerColumn(), text, BarColumn(bar_width=None), counts, TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, expand=True)


def is_terminal() -> bool:
    """Tell whether someone watches the standard error."""
    return sys.stderr.isatty()


class _Echo(logging.Handler):
    """Writes lines where the standard error is at that moment: a live bar puts itself there."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            echo(self.format(record), err=True)
        except Exception:
            self.handleError(record)


@contextmanager
def logging_to_stderr(log_format: str | None, level: str) -> Iterator[None]:
    """Write the log of dsmote on the standard error."""
    from dsmote.job.logs import JsonLines, TextLines

    logger, handler = logging.getLogger("dsmote"), _Echo()
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    with ExitStack() as undo:
        undo.callback(logger.removeHandler, handler)
        undo.callback(logger.setLevel, logger.level)
        undo.callback(setattr, logger, "propagate", logger.propagate)
        logger.addHandler(handler)
        logger.setLevel(level.upper())
        logger.propagate = False
        yield


def print_manifest(manifest: dict[str, Any], warnings: bool) -> None:
    """Print what was done."""
    from dsmote.plan import format_bytes
    from dsmote.plan.labels import visible

    classes = manifest["classes"]
    counts = [name for name in ("before", "new", "dropped", "after") if name in classes[0]]
    rows: list[tuple[str, ...]] = [("class", *counts)]
    rows += [(visible(one["label"]), *(f"{one[name]:,}" for name in counts)) for one in classes]
    label, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    for name, *numbers in rows:
        cells = [f"{text:>{width}}" for text, width in zip(numbers, widths, strict=True)]
        echo("  ".join([f"{name:<{label}}", *cells]))
    if "test" in manifest:
        echo(f"{manifest['rows']['test']:,} rows are held back and unchanged")
    parts, memory = manifest["parts"], manifest["memory"]
    echo(
        f"{sum(part['rows'] for part in parts):,} rows in {len(parts)} part files, in total "
        f"{format_bytes(manifest['bytes'])}: {manifest['job']['output']}"
    )
    peak = format_bytes(max(memory["peak_bytes"].values(), default=0))
    # A sampler that only drops rows holds nothing that is worth projecting.
    projected = memory.get("worker_bytes")
    echo(
        f"{manifest['seconds']:.1f} s, {manifest['sampler']} with seed "
        f"{manifest['parameters']['seed']}; peak memory {peak}"
        + ("" if projected is None else f", projected {format_bytes(projected)}")
    )
    for message in manifest["warnings"] if warnings else ():
        echo(f"Warning: {message}", err=True)
