"""The command line: ``dsmote advise``, ``demo``, ``plan``, ``resample``, ``run``, ``verify``, ...

Results go to the standard output, progress, log and messages to the standard error. The exit code
is 0, 1 after a failure, 2 after wrong usage, 3 when there was nothing to do, 4 when memory does
not suffice, 5 when data or parameters do not allow it, 130 after Ctrl-C. Only this module and
:mod:`dsmote.terminal` print.

Commands import what they need when they run: importing pandas and Dask takes a second or more,
which ``--help`` need not cost, and in which Ctrl-C would not yet be answered as it should.
"""

from __future__ import annotations

import logging
import os
import posixpath
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dsmote import __version__
from dsmote.terminal import (
    Display,
    echo,
    interrupted,
    is_terminal,
    logging_to_stderr,
    print_json,
    print_manifest,
    progress_bar,
    say,
    visible_lines,
)

if TYPE_CHECKING:
    from dsmote.job.spec import JobSpec

__all__ = ["main"]

Command = Callable[..., Any]

#: Keys of a job that the commands have options for.
PLANNED = ("target", "format", "csv", "partition_types", "filters", "sampler", "params", "cluster")
WRITTEN = (
    *("split", "mode", "if_exists", "partition_by", "row_group_rows", "compression", "shuffle"),
    *("report", "resume"),
)
#: Kinds of samplers, and what heads them in a list.
SAMPLERS = {
    "over-sampling": "over",
    "under-sampling": "under",
    "clean-sampling": "clean",
    "combination": "combine",
}
INTERRUPTED = 130  # of the exit codes; those of errors are `dsmote.job.exit_code`'s


# --- A job, from options to its result


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
    from dsmote.job.run import run_spec
    from dsmote.plan.labels import first

    asked = log_format is not None or log_level is not None
    logs, with_bar = asked or always_log, is_terminal() and not quiet and not asked
    level = "error" if quiet else log_level or ("warning" if with_bar else "info")
    log = logging_to_stderr(log_format, level) if logs else nullcontext()
    with progress_bar() if with_bar else nullcontext() as bar, log:
        progress = Display(lines=not (logs or quiet), bar=bar)
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


# --- How a command ends


@contextmanager
def after_commit() -> Iterator[None]:
    """Print what was done: the output is in place, and a closed terminal does not fail the run."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # What could not be written would be tried again when Python ends, and fail again.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        with suppress(OSError):
            say(f"Warning: the output is complete, but could not be described: {error}")


def _fail(error: Exception, debug: bool, log_format: str | None) -> NoReturn:
    # Imported here: `--help` does without.
    from dsmote.job.jobfile import JobFileError
    from dsmote.job.logs import Secrets
    from dsmote.job.run import exit_code
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
    interrupted.clear()

    def interrupt(number: int, frame: Any) -> None:
        nonlocal received
        received += 1
        interrupted.set()
        if received > 2:
            os._exit(INTERRUPTED)
        if received == 1:
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    with ExitStack() as undo:
        for each in numbers:
            undo.callback(signal.signal, each, signal.signal(each, interrupt))
        yield


@contextmanager
def _without_logs_of_dask() -> Iterator[None]:
    """Silence the logs and warnings of the cluster: the user gets one message, from here."""
    with ExitStack() as undo, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("distributed", "asyncio", "tornado", "bokeh"):
            logger = logging.getLogger(name)
            undo.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        # Dask gives these a level of their own when it is imported, which may be later.
        for name in ("distributed.client", "tornado.application"):
            logger = logging.getLogger(name)
            undo.callback(logger.removeFilter, _nothing)
            logger.addFilter(_nothing)
        # Worker processes read their log level from the environment when they start.
        variable = "DASK_LOGGING__DISTRIBUTED"
        inherited = os.environ.get(variable)
        undo.callback(os.environ.update, {} if inherited is None else {variable: inherited})
        undo.callback(os.environ.pop, variable)
        os.environ[variable] = "critical"
        yield


def _nothing(record: logging.LogRecord) -> bool:
    return False


# --- Options, made from the schema of a job

#: Options that are not called as their keys are.
NAMES = {
    "filters": "--filter",
    "split.column": "--split-column",
    "split.seed": "--split-seed",
    "cluster.address": "--scheduler",
    "cluster.security.tls_client_cert": "--tls-cert",
    "cluster.security.tls_client_key": "--tls-key",
}
MORE = " May be repeated."


class JobCommand(click.Command):
    """A command with the options of some keys of a job, which ends with one message and a code.

    The options are made when they are asked for: importing the model takes time, which ``dsmote
    --help`` need not cost.
    """

    def __init__(self, *args: Any, keys: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keys = keys

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters: arguments, options of the job, other options."""
        if self._keys:
            from dsmote.job.spec import keys_schema

            place = sum(isinstance(param, click.Argument) for param in self.params)
            self.params[place:place] = _options(keys_schema(), self._keys)
            self._keys = ()
        return super().get_params(ctx)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command, which does not see its option ``debug``."""
        debug, log_format = ctx.params.pop("debug"), ctx.params.get("log_format")
        try:
            with _signals(), nullcontext() if debug else _without_logs_of_dask():
                super().invoke(ctx)
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


class KeyOption(click.Option):
    """An option that gives a key of a job; `yaml`: its value is text to read."""

    def __init__(
        self, names: Sequence[str], path: tuple[str, ...], yaml: bool = False, **how: Any
    ) -> None:
        super().__init__(names, metavar="VALUE" if yaml else None, **how)
        self.path, self.yaml = path, yaml


def _options(
    schema: dict[str, Any], keys: Iterable[str], above: tuple[str, ...] = ()
) -> Iterator[click.Option]:
    """Yield the options of some keys of a schema, and of the sections in it."""
    from dsmote.job.spec import PARAMS

    for key in keys:
        path, field = (*above, key), schema["properties"][key]
        kinds = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
        types = {str(one.get("type")) for one in kinds}
        choices, text = kinds[0].get("enum"), field["description"]
        if key == "params":
            text = "A parameter of the sampler, such as kind=borderline-2; VALUE is YAML."
            yield click.Option(["--param"], multiple=True, metavar="KEY=VALUE", help=text + MORE)
            for name, text in PARAMS.items():
                names = [f"--{name.replace('_', '-')}"]
                if name in ("categorical", "carry"):
                    yield KeyOption(names, (key, name), multiple=True, help=text + MORE)
                else:
                    yield KeyOption(names, (key, name), yaml=True, help=text)
        elif key == "sampler":
            more = f"  [default: {field['default']}]" if "target" in keys else ""
            yield KeyOption(["--sampler"], path, yaml=True, help=text + more)
            text = "A sampler that works on what the one before it left: a name, or a name and its "
            text += "own parameters, such as 'random-under: {sampling_strategy: 0.5}'."
            yield click.Option(["--then"], multiple=True, metavar="STEP", help=text + MORE)
        elif "$ref" in kinds[0]:
            section = schema["$defs"][kinds[0]["$ref"].rpartition("/")[2]]
            whole = {**section, "$defs": schema["$defs"]}
            yield from _options(whole, section["properties"], path)
        else:
            if "array" in types:
                text += MORE
            # Without the keys that a job needs, the command reads a file, which may say otherwise.
            if "target" in keys and isinstance(field.get("default"), str):
                text += f"  [default: {field['default']}]"
            yield KeyOption(
                [NAMES.get(".".join(path), f"--{key.replace('_', '-')}")],
                path,
                yaml=key == "filters" or bool(types - {"string", "array", "boolean"}),
                required=key in schema.get("required", ()) and not above,
                help=text,
                is_flag=types == {"boolean"} or None,
                type=click.Choice(choices) if choices else None,
                multiple="array" in types,
            )


def given_job(given: dict[str, Any], source: Any = None, needs_output: bool = True) -> JobSpec:
    """Return the job of a file, or of keys and values, with what the command line gives over it.

    What is used of `given` is taken out of it. Errors name options, and lines of the file; without
    a file they are wrong usage.
    """
    from dsmote.job.jobfile import JobFileError, Setting, set_key
    from dsmote.job.spec import PLACES, load_job
    from dsmote.plan.labels import first

    settings: list[Setting] = []
    for param in click.get_current_context().command.params:
        option, name = param.opts[0], str(param.name)
        if isinstance(param, KeyOption):
            value = given.pop(name)
            if value not in (None, False, ()):
                settings.append(Setting(param.path, value, option, param.yaml))
        elif option in ("--set", "--param"):
            try:
                settings += [set_key(text, option) for text in given.pop(name)]
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint=option) from None
        elif option == "--then" and (then := given.pop(name)):
            begun = [each for each in settings if each.path == ("sampler",)]
            settings = [each for each in settings if each not in begun]
            steps = (begun[0].value if begun else "auto", *then)
            settings.append(Setting(("sampler",), steps, option, yaml=True))
        elif option == "--then":
            continue
        elif option in ("input", "output"):
            settings.append(Setting((option,), given.pop(name), option.upper()))
    by_key: dict[Any, Setting] = {}
    for each in settings:
        other = by_key.setdefault(each.path, each)
        sets = other.where.startswith("--set") and each.where.startswith("--set")
        if other.value != each.value and not sets:
            text = f"{other.where} and {each.where} give the same key: give one of them"
            raise click.UsageError(text)
    for name in ("address", "scheduler_file"):
        if ("cluster", name) in by_key:  # in place of any other cluster that the file names
            where = by_key["cluster", name].where
            settings[:0] = [Setting(("cluster", each), None, where) for each in PLACES]
    try:
        return load_job({} if source is None else source, settings, needs_output)
    except JobFileError as error:
        if isinstance(source, str):
            raise
        raise click.UsageError("\n".join(first(map(str, error.errors)))) from None


# --- The commands

EXIT_CODES = """\b
Exit codes, for schedulers:
    0  done (or planned, with --dry-run)
    1  failed, a retry may help; there is no output, or the previous one
    2  wrong usage, or errors in the job file; nothing has run
    3  skipped: the output was made from the same files in the same way (if_exists: skip)
    4  refused: the job does not fit in the workers' memory; nothing was written
    5  refused: the data, a parameter or an existing output does not allow it; files as after 1
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


def command(*options: Callable[[Command], Command], keys: tuple[str, ...] = (), **more: Any) -> Any:
    """Return a decorator that makes a command: its options, and those of some keys of a job."""

    def decorate(function: Command) -> click.Command:
        decorators: list[Any] = [*options, debug]
        for option in reversed(decorators):
            function = option(function)
        return main.command(cls=JobCommand, keys=keys, **more)(function)

    return decorate


@click.group(name="dsmote", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dsmote")
def main() -> None:
    """Balance tables of any size with SMOTE and its family on Dask."""


@command(click.argument("input"), as_json, quiet, keys=PLANNED)
def plan(**given: Any) -> None:
    """Show what resampling INPUT would do, without doing it.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. Only the classes are counted. If the plan cannot run, the exit code is that of
    `dsmote resample`.
    """
    execute(given_job(given, needs_output=False), dry_run=True, **given)


@command(
    click.argument("input"),
    click.argument("output"),
    click.option(
        "--overwrite",
        cls=KeyOption,
        path=("if_exists",),
        flag_value="replace",
        help="Short for --if-exists replace.",
    ),
    *(*LOG, as_json, quiet),
    keys=(*PLANNED, *WRITTEN),
)
def resample(**given: Any) -> None:
    """Write a balanced copy of INPUT to the folder OUTPUT.

    INPUT is a Parquet or CSV file, a folder of them or a quoted glob; a path or any URL that
    fsspec knows. OUTPUT becomes a folder of Parquet files that readers take as one table. It
    appears complete or not at all; .OUTPUT.dsmote/manifest.json beside it says how it was made.

    The exit codes are those of `dsmote run`.
    """
    execute(given_job(given), **given)


@command(
    click.argument("job", metavar="JOB.yaml", type=click.Path(exists=True, dir_okay=False)),
    click.option(
        "--set",
        multiple=True,
        metavar="KEY=VALUE",
        help="A key of the job file, such as params.k_neighbors=7; VALUE is YAML, such as [a, b]. "
        "May be repeated.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan; write nothing."),
    *(*LOG, as_json, quiet),
    keys=("if_exists", "resume", "cluster"),
    epilog=EXIT_CODES,
)
def run(job: str, **given: Any) -> None:
    """Run the job that the file JOB.yaml describes.

    The file is checked before anything runs, and every error is reported with its line. Its keys
    are those of `dsmote schema`; in its texts ${NAME} and ${NAME:-default} are environment
    variables, whose values are never shown. Relative paths are relative to the working directory.
    """
    execute(given_job(given, job), always_log=True, **given)


def columns(name: str, help: str) -> Any:
    """Return the option that names columns of some role."""
    path = ("params", name)
    return click.option(f"--{name}", cls=KeyOption, path=path, multiple=True, help=help + MORE)


@command(
    click.argument("input"),
    click.option(
        "--learner",
        multiple=True,
        metavar="NAME",
        help="A classifier of scikit-learn, or the path of a class. May be repeated.  [default: "
        "HistGradientBoosting and LogisticRegression]",
    ),
    columns("categorical", "A numeric column to use as a categorical feature."),
    columns("carry", "A column that is no feature, such as an id."),
    click.option(
        *("--rows", "--sample-rows"),
        type=click.IntRange(min=100),
        default=50_000,
        show_default=True,
        help="Rows of the sample, at most.",
    ),
    click.option(
        "--random-state",
        cls=KeyOption,
        path=("params", "random_state"),
        yaml=True,
        help="Seed of the sample, the folds and the candidates.  [default: 0]",
    ),
    click.option("--n-jobs", type=click.IntRange(min=1), help="Processes.  [default: all cores]"),
    click.option("--job", metavar="FILE", help="Write the job there, if something is named."),
    click.option("--figure", metavar="FILE", help="Draw the differences (.png, .svg or .pdf)."),
    *(as_json, quiet),
    keys=("target", "format"),
)
def advise(as_json: bool, quiet: bool, **given: Any) -> None:
    """Say whether INPUT should be resampled at all, with what, and how far.

    Candidates are compared with the table as it is, by cross-validation on a sample, for average
    precision and for F1 at a tuned threshold. If one is measurably better, it is named, and the
    job that does it is printed; else the threshold is the advice.
    """
    from dsmote.job.advise import advise_files

    texts = {key: given[key] for key in ("input", "target")}
    spec = given_job(given, needs_output=False)
    with progress_bar() if is_terminal() and not quiet else nullcontext() as bar:
        display = Display(lines=not quiet, bar=bar)
        how = {"learners": given.pop("learner"), **given}
        how |= {"stage": display.stage, "progress": display.fits}
        advice, text = advise_files(spec, texts, **how)
    if as_json:
        return print_json({**advice.to_dict(), "job": text})
    echo(str(advice))
    if text and not given["job"]:
        echo(f"\njob.yaml:\n{text}")
    elif given["job"]:
        echo(
            f"\n{given['job']}"
            + (" is ready" if text else " was not written: nothing is named that needs a job")
        )


@command(
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
    *(as_json, quiet),
    keys=("cluster",),
)
def demo(rows: int, output: str, **given: Any) -> None:
    """Generate a table with a rare class and balance it."""
    from dsmote.job.demo import TARGET, write_demo

    table, balanced = posixpath.join(output, "table"), posixpath.join(output, "balanced")
    params = {"carry": ["id"], "random_state": 0}
    job = {"input": table, "output": balanced, "target": TARGET, "params": params}
    spec = given_job(given, {**job, "if_exists": "replace"})
    if not given["quiet"]:
        echo(f"generating {rows:,} rows ...", err=True)
    write_demo(table, rows)
    execute(spec, **given)


@command(
    click.argument("output"),
    click.option("--input", metavar="INPUT", help="The table that the job read, if it was moved."),
    click.option(
        "--rows",
        type=click.IntRange(min=1),
        default=1000,
        show_default=True,
        metavar="N",
        help="New rows that are made again.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Which ones are drawn.",
    ),
    as_json,
)
def verify(output: str, input: str | None, rows: int, seed: int, as_json: bool) -> None:
    """Check that OUTPUT, which a job wrote, is what its manifest and its input say.

    One line a check: files, checksums, schema, rows by class, original rows; and of some new rows,
    where provenance says where they come from, that they lie where the sampler makes them. What
    cannot be checked is said, and no failure. The exit code is 0, 1 where a check failed, or 5
    where there is no output, no manifest, or not the --input that is named.
    """
    from dsmote.job.verification import verify as verified

    found = verified(output, input=input, rows=rows, seed=seed)
    if as_json:
        print_json(found.to_dict())
    else:
        echo(str(found))
    raise click.exceptions.Exit(0 if found.ok else 1)


@command(as_json)
def samplers(as_json: bool) -> None:
    """List the samplers by kind: the name for --sampler, the class in Python, and what it does.

    With --json their parameters too.
    """
    from dsmote.samplers.registry import describe_samplers

    listed = describe_samplers()
    if as_json:
        return print_json({"samplers": listed})
    names, classes = (max(len(one[key]) for one in listed) for key in ("name", "class"))
    for kind, title in SAMPLERS.items():
        echo(f"{title}:")
        for one in (one for one in listed if one["kind"] == kind):
            echo(f"  {one['name']:<{names}}  {one['class']:<{classes}}  {one['summary']}")


@command()
def schema() -> None:
    """Print the JSON schema of job files.

    Editors use it to complete and check them.
    """
    from dsmote.job.spec import job_schema

    print_json(job_schema())


if __name__ == "__main__":
    main(prog_name="dsmote")
