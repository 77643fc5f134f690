"""How a command ends: one message and an exit code, and no chatter of the cluster before it."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from dsmote.cli.log import say, visible_lines

__all__ = ["after_commit", "guarded", "raise_if_interrupted"]

INTERRUPTED = 130  # of the exit codes; those of errors are `dsmote.job.exit_code`'s

_interrupted = threading.Event()

Command = Callable[..., Any]


def guarded(command: Command) -> Command:
    """Turn whatever ends a command into one message and an exit code.

    The command gets an option ``debug`` that it does not see: it shows tracebacks and the log.

    Parameters
    ----------
    command : callable

    Returns
    -------
    callable
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
            error.__dict__["message"] = visible_lines(error.message)
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
    from dsmote.job import exit_code
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
    if isinstance(getattr(error, "mistakes", None), tuple):
        fields["mistakes"] = first(str(mistake) for mistake in error.mistakes)  # type: ignore[attr-defined]
    say(f"Error: {mask(text)}", log_format, **fields)
    sys.exit(exit_code(error))


def raise_if_interrupted() -> None:
    """Raise a Ctrl-C that was lost.

    Python drops an exception that a signal raises inside a destructor or a callback of the garbage
    collector, and the program would go on. So progress asks here, between parts and before the
    output is put in place.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


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
            say(f"Warning: the output is whole, but could not be described: {why}", None)


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
