"""The log of a job on the standard error, beside the progress and not across it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

__all__ = ["echo", "say", "shown", "visible_lines"]


class _Echo(logging.Handler):
    """Writes lines where the standard error is at that moment: a live bar puts itself there."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            echo(self.format(record), err=True)
        except Exception:
            self.handleError(record)


@contextmanager
def shown(
    quiet: bool, log_format: str | None, log_level: str | None, always: bool
) -> Iterator[tuple[Any, bool]]:
    """Yield what shows the progress, and whether a log is shown.

    On a terminal that is a bar, and the log has only what the bar has not: warnings. Elsewhere it
    is the log, a line for each stage. JSON is for programs: there is no bar.

    Parameters
    ----------
    quiet : bool
        Neither; only errors.
    log_format : {"text", "json"}, optional
    log_level : str, optional
    always : bool
        Show a log even where neither of the two is given.

    Yields
    ------
    dsmote.job.Progress, bool
    """
    from dsmote.cli.display import display

    wanted = always or log_format is not None or log_level is not None
    if not wanted:
        with display(quiet) as progress:
            yield progress, False
        return
    bar = _is_terminal() and not quiet and log_format is None and log_level is None
    level = "error" if quiet else log_level or ("warning" if bar else "info")
    with display(quiet=not bar) as progress, _handled(log_format, level):
        yield progress, True


def _is_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def _handled(log_format: str | None, level: str) -> Iterator[None]:
    from dsmote.job.logs import JsonLines, TextLines

    logger, handler = logging.getLogger("dsmote"), _Echo()
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    before, passed_on = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = passed_on


def say(text: str, log_format: str | None, **fields: Any) -> None:
    """Say how a command ended, on the standard error, as the log is written there.

    Parameters
    ----------
    text : str
    log_format : {"text", "json"}, optional
    **fields
        What goes with it in JSON.
    """
    if log_format != "json":
        # Lines that go on are indented, so that none can pass for a message of its own.
        echo("\n".join(_continued(text)), err=True)
        return
    from dsmote.job.logs import JsonLines

    text = text.removeprefix("Error: ")
    record = logging.LogRecord("dsmote.cli", logging.ERROR, "", 0, "%s", (text,), None)
    record.fields = fields
    click.echo(JsonLines().format(record), err=True)


def _continued(text: str) -> Iterator[str]:
    first, *others = text.split("\n")
    yield first
    yield from (line if line.startswith("  ") or not line else f"  {line}" for line in others)


def echo(text: str, err: bool = False) -> None:
    """Print text with the control characters of names in it made visible."""
    click.echo(visible_lines(text), err=err)


def visible_lines(text: str) -> str:
    """Return a text of several lines, all other control characters written as escapes."""
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from dsmote.plan.labels import visible

    return "\n".join(map(visible, lines))
