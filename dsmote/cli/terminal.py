"""What the user sees: progress, the log, results, and how a command ends.

Progress, log and messages go to the standard error, results to the standard output.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from dsmote.job import JobSpec

__all__ = ["display", "echo", "execute", "guarded", "print_json"]

INTERRUPTED = 130  # of the exit codes; those of errors are `dsmote.job.exit_code`'s
#: Plain progress lines are this many seconds apart, at least.
LINE_SECONDS = 2.0

_interrupted = threading.Event()

Command = Callable[..., Any]


def echo(text: str, err: bool = False) -> None:
    """Print text with the control characters of names in it made visible."""
    click.echo(_visible_lines(text), err=err)


def _visible_lines(text: str) -> str:
    lines = text.split("\n")
    if all(line.isprintable() for line in lines):
        return text
    from dsmote.plan.labels import visible

    return "\n".join(map(visible, lines))


def say(text: str, log_format: str | None = None, **fields: Any) -> None:
    """Print how a command ended on the standard error, as the log is written there."""
    if log_format == "json":
        from dsmote.job.logs import JsonLines

        text = text.removeprefix("Error: ")
        record = logging.LogRecord("dsmote.cli", logging.ERROR, "", 0, "%s", (text,), None)
        record.fields = fields
        click.echo(JsonLines().format(record), err=True)
        return
    # Lines that go on are indented, so that none can pass for a message of its own.
    first, *others = text.split("\n")
    indented = (line if line.startswith("  ") or not line else f"  {line}" for line in others)
    echo("\n".join([first, *indented]), err=True)


class _Display:
    """Progress: a bar on a terminal, plain lines elsewhere, or nothing.

    Each call ends a run whose Ctrl-C was lost. Python drops an exception that a signal raises
    inside a destructor or a callback of the garbage collector, and the program would go on.
    """

    def __init__(self, quiet: bool = False, bar: Any = None) -> None:
        self._quiet, self._bar = quiet, bar
        self._task = bar.add_task("starting", total=None, counts="") if bar else None
        self._partitions = self._rows = self._done = self._written = 0
        self._began = self._last = time.monotonic()

    def stage(self, text: str) -> None:
        self._check()
        if self._bar:
            self._bar.update(self._task, description=text)
        elif not self._quiet:
            echo(f"{text} ...", err=True)

    def planned(self, plan: Any) -> None:
        self._check()

    def start(self, partitions: int, rows: int) -> None:
        self._partitions, self._rows = partitions, rows
        self._began = self._last = time.monotonic()
        if self._bar:
            self._bar.reset(self._task, total=partitions, counts="")
            self.advance(0, 0)

    def advance(self, partitions: int, rows: int) -> None:
        self._check()
        self._done += partitions
        self._written += rows
        if self._bar:
            counts = f"{self._written:,} rows, {self._done:,}/{self._partitions:,} partitions"
            self._bar.update(self._task, completed=self._done, counts=counts)
            return
        now, finished = time.monotonic(), self._done == self._partitions
        if self._quiet or (now - self._last < LINE_SECONDS and not finished):
            return
        self._last = now
        left = (now - self._began) / self._done * (self._partitions - self._done)
        echo(
            f"{self._done:,} of {self._partitions:,} partitions, {self._written:,} of "
            f"{self._rows:,} rows" + ("" if finished else f", about {left:.0f} s left"),
            err=True,
        )

    def _check(self) -> None:
        if _interrupted.is_set():
            raise KeyboardInterrupt


@contextmanager
def display(quiet: bool) -> Iterator[_Display]:
    """Yield a progress."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield _Display(quiet)
        return
    text, counts = TextColumn("{task.description}"), TextColumn("{task.fields[counts]}")
    columns = (SpinnerColumn(), text, BarColumn(bar_width=None), counts, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        yield _Display(bar=bar)


def execute(
    spec: JobSpec,
    as_json: bool,
    quiet: bool,
    dry_run: bool = False,
    log_format: str | None = None,
    log_level: str | None = None,
    always_log: bool = False,
) -> NoReturn:
    """Run a job, show progress or a log, print the result, and exit with its code.

    On a terminal there is a bar, and the log has only what the bar has not: warnings. Elsewhere a
    log has a line for each stage. JSON is for programs: there is no bar.
    """
    from dsmote.job import run_spec
    from dsmote.plan.labels import first

    asked = log_format is not None or log_level is not None
    logs, bar = asked or always_log, _is_terminal() and not quiet and not asked
    level = "error" if quiet else log_level or ("warning" if bar else "info")
    log = _handled(log_format, level) if logs else nullcontext()
    with display(quiet=not bar if logs else quiet) as progress, log:
        result = run_spec(spec, dry_run=dry_run, progress=progress)
    mask, planned = spec.hidden.mask, result.status == "planned"
    with nullcontext() if dry_run else after_commit():
        if as_json:
            plan = spec.hidden.mask_value(result.plan.to_dict()) if planned else None
            print_json(plan or result.manifest)
        elif quiet:
            for problem in first(result.plan.problems) if dry_run and not logs else ():
                say(f"Error: cannot run: {mask(problem)}")
        elif planned:
            echo(mask(str(result.plan)))
        elif result.status == "skipped":
            echo(f"Skipped: {mask(str(spec.output))} was made from the same files in the same way")
        else:
            print_manifest(result.manifest or {}, warnings=not logs)
    raise click.exceptions.Exit(result.exit_code)


def _is_terminal() -> bool:
    return sys.stderr.isatty()


class _Echo(logging.Handler):
    """Writes lines where the standard error is at that moment: a live bar puts itself there."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            echo(self.format(record), err=True)
        except Exception:
            self.handleError(record)


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


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, default=str))


def print_manifest(manifest: dict[str, Any], warnings: bool) -> None:
    """Print what was done."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from dsmote.plan import format_bytes
    from dsmote.plan.labels import visible

    classes = manifest["classes"]
    table = Table(box=box.SIMPLE)
    table.add_column("class")
    counts = ("before", "dropped" if "dropped" in classes[0] else "new", "after")
    for name in counts:
        table.add_column(name, justify="right")
    for one in classes:
        table.add_row(visible(one["label"]), *(f"{one[name]:,}" for name in counts))
    Console(highlight=False, markup=False).print(table)
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


@contextmanager
def after_commit() -> Iterator[None]:
    """Print what was done: the output is in place, and a closed terminal does not fail the run."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, SystemExit) as error:  # rich makes an exit of a closed pipe
        # What could not be written would be tried again when Python ends, and fail again.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        with suppress(OSError):
            why = "standard output is closed" if isinstance(error, SystemExit) else error
            say(f"Warning: the output is complete, but could not be described: {why}")


def guarded(command: Command) -> Command:
    """Turn whatever ends a command into one message and an exit code.

    The command gets an option ``debug`` that it does not see: it shows tracebacks and the log.
    """

    @functools.wraps(command)
    def command_guarded(*args: Any, debug: bool, **kwargs: Any) -> None:
        log_format = kwargs.get("log_format")
        try:
            with _signals(), _chatter(debug):
                command(*args, **kwargs)
        except click.exceptions.Exit:
            raise
        except click.ClickException as error:
            error.__dict__["message"] = _visible_lines(error.message)
            if log_format != "json":
                raise
            say(error.format_message(), log_format)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            say("Interrupted: nothing was written.", log_format)
            sys.exit(INTERRUPTED)
        except Exception as error:
            _fail(error, debug, log_format)

    return command_guarded


def _fail(error: Exception, debug: bool, log_format: str | None) -> NoReturn:
    # Imported here: `--help` does without.
    from dsmote.job import JobFileError, exit_code
    from dsmote.job.secrets import Secrets
    from dsmote.plan.labels import first

    mask = Secrets().mask  # a job's are masked where it runs
    fields: dict[str, Any] = {}
    if debug and log_format == "json":
        fields["traceback"] = mask(traceback.format_exc())
    elif debug:
        click.echo(mask(traceback.format_exc()), err=True, nl=False)
    named = isinstance(error, OSError | ValueError | TypeError | MemoryError | RuntimeError)
    text = str(error) if named and str(error) else f"{type(error).__name__}: {error}"
    if isinstance(error, JobFileError):
        fields["errors"] = first(map(str, error.errors))
    say(f"Error: {mask(text)}", log_format, **fields)
    sys.exit(exit_code(error))


@contextmanager
def _signals() -> Iterator[None]:
    """Make SIGTERM end a command as Ctrl-C does, and let an impatient second Ctrl-C not disturb.

    So does a terminal that is closed (SIGHUP), unless `nohup` has it ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = 0
    _interrupted.clear()

    def interrupt(number: int, frame: Any) -> None:
        nonlocal received
        received += 1
        _interrupted.set()
        if received > 2:
            os._exit(INTERRUPTED)
        if received == 1:
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {each: signal.signal(each, interrupt) for each in numbers}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _chatter(debug: bool) -> Iterator[None]:
    """Silence the logs and warnings of the cluster: the user gets one message, from here."""
    if debug:
        yield
        return
    names = ("distributed", "asyncio", "tornado", "bokeh")
    before = {name: logging.getLogger(name).level for name in names}
    # Worker processes read their log level from the environment when they start.
    variable = "DASK_LOGGING__DISTRIBUTED"
    inherited = os.environ.get(variable)
    os.environ[variable] = "critical"
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # Dask gives these a level of their own when it is imported, which may be later. Filters stay.
    own = [logging.getLogger(name) for name in ("distributed.client", "tornado.application")]
    for logger in own:
        logger.addFilter(_nothing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in own:
            logger.removeFilter(_nothing)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        os.environ.pop(variable)
        if inherited is not None:
            os.environ[variable] = inherited


def _nothing(record: logging.LogRecord) -> bool:
    return False
