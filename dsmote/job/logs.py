"""What a job logs: each stage, what was planned, and warnings; and what is masked there.

Everything is logged under ``dsmote``. Nothing is printed unless the program that calls sets up a
handler; the formatters here are for it. Masked are passwords and tokens in URLs, and the values
that a job has from the environment.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pythonjsonlogger.json import JsonFormatter

MASK = "***"
#: From this length on a secret is masked wherever it stands; shorter, only where it stands alone.
LONG = 4
#: What is called so holds a secret, whatever it looks like.
SECRET_NAME = re.compile(
    r"KEY|SECRET|TOKEN|PASS|PWD|CREDENTIAL|AUTH|PRIVATE|SIGNATURE", re.IGNORECASE
)
#: The password of ``scheme://user:password@host``, which may itself hold an ``@`` or a ``/``; and
#: the value of a parameter. What that ends with may be a bracket of the message: rather that is
#: masked than the end of a secret shown.
_IN_URLS = (
    re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'\"]*:)[^\s'\"]+(?=@)"),
    re.compile(
        rf"([?&;](?:sig|sas|jwt|[\w.~%-]*(?:{SECRET_NAME.pattern})[\w.~%-]*)=)[^\s&#'\"]+",
        re.IGNORECASE,
    ),
)


@dataclass(frozen=True)
class Secrets:
    """Texts to mask wherever they appear.

    Examples
    --------
    >>> Secrets(("hunter2",)).mask("no table at sftp://me:pass@host/hunter2/x")
    'no table at sftp://me:***@host/***/x'
    """

    values: tuple[str, ...] = field(default=(), repr=False)

    def __or__(self, other: Iterable[str]) -> Secrets:
        # What has no letter and no digit, such as ".", hides nothing and stands everywhere.
        return Secrets((*self.values, *(value for value in other if re.search(r"\w", value))))

    def mask(self, text: str) -> str:
        """Return a text without the secrets."""
        for pattern in _IN_URLS:
            text = pattern.sub(rf"\g<1>{MASK}", text)
        # As they are, as messages quote them, and put into one line.
        written = {
            form
            for each in self.values
            for form in (each, repr(each)[1:-1], " ".join(each.split()))
        }
        # The longest first: a secret may be part of another.
        for form in sorted(written, key=len, reverse=True):
            escaped = re.escape(form)
            text = re.sub(escaped if len(form) >= LONG else rf"(?<!\w){escaped}(?!\w)", MASK, text)
        return text

    def mask_value(self, value: Any) -> Any:
        """Return plain data with the secrets masked in all its texts; keys stay as they are."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {key: self.mask_value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_value(item) for item in value]
        return value

    def mask_error(self, error: BaseException) -> None:
        """Mask the messages of an error and of those that led to it, in place."""
        errors = [error]
        for one in errors:
            one.args = tuple(self.mask(arg) if isinstance(arg, str) else arg for arg in one.args)
            for name in ("filename", "filename2"):
                if isinstance(getattr(one, name, None), str):
                    setattr(one, name, self.mask(getattr(one, name)))
            causes = (one.__cause__, one.__context__)
            errors += [each for each in causes if each is not None and each not in errors]

    @contextmanager
    def masked(self) -> Iterator[None]:
        """Mask the secrets in what is logged in the block, by any thread, and in its error."""
        _ACTIVE.append(self)
        try:
            yield
        except Exception as error:  # what is raised is often printed
            self.mask_error(error)
            raise
        finally:
            _ACTIVE.remove(self)


#: Those of the jobs that run in this process.
_ACTIVE: list[Secrets] = []
_FORMATTER = logging.Formatter()


class Masking(logging.Filter):
    """Masks a record whole, with its traceback."""

    def __init__(self, hidden: Secrets) -> None:
        super().__init__()
        self._hidden = hidden

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask secrets in a record, and let it pass."""
        text = record.getMessage()
        if record.exc_info:  # the error itself would be written as it is
            record.exc_text = _FORMATTER.formatException(record.exc_info)
            record.exc_info = None
        for secrets in (self._hidden, *_ACTIVE):
            text = secrets.mask(text)
            record.exc_text = record.exc_text and secrets.mask(record.exc_text)
        record.msg, record.args = text, ()
        return True


_MASKING = Masking(Secrets())


def masked_logger(name: str) -> logging.Logger:
    """Return the logger of a name, which masks the secrets of the jobs that run."""
    logger = logging.getLogger(name)
    logger.addFilter(_MASKING)  # once, however often it is asked for
    return logger


logging.getLogger("dsmote").addHandler(logging.NullHandler())
LOGGER = masked_logger("dsmote.job")


class Progress:
    """What a job tells while it runs; this one tells it to nobody."""

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def planned(self, plan: Any) -> None:
        """Say what will be done, once that is known."""

    def start(self, partitions: int, rows: int) -> None:
        """Say how much there will be to write."""

    def advance(self, partitions: int, rows: int) -> None:
        """Say how much has been written in addition."""


class Log(Progress):
    """A progress that logs each stage when it ends, and passes everything on.

    `seconds` holds what each stage took that has ended, in order. There is no other clock, so that
    the log, the manifest and the report agree. To an `output` it shows where the run is.
    """

    def __init__(self, inner: Progress | None, hidden: Secrets) -> None:
        self._inner, self._hidden = inner or Progress(), hidden
        self._stage: str | None = None
        self._began = time.perf_counter()
        self._partitions = self._rows = self._total = 0
        self.plan: Any = None
        self.output: Any = None
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end(failed=kind is not None)

    def stage(self, text: str) -> None:
        """Log the stage that ends, and begin another."""
        self.end()
        self._stage, self._began = text, time.perf_counter()
        self._partitions = self._rows = 0
        self._log(logging.DEBUG, f"{text} ...")
        if self.output:
            self.output.show(stage=text)
        self._inner.stage(text)

    def planned(self, plan: Any) -> None:
        """Log what will be done, what the plan warns of, and why it cannot run."""
        from dsmote.plan import format_bytes  # loads pandas, and `--help` does without
        from dsmote.plan.labels import first

        self.plan = plan
        memory = plan.memory
        needed, allowed = (memory.worker_bytes, memory.allowed_bytes) if memory else (None, None)
        text = (
            f"planned: {plan.sampler}, engine {plan.engine}, {plan.n_before:,} rows become "
            f"{'at most ' if plan.at_most else ''}{plan.n_after:,}"
        )
        if needed is not None:
            text += f", {format_bytes(needed)} projected in one worker"
        if allowed is not None:
            text += f" ({format_bytes(allowed)} allowed)"
        self._log(
            logging.INFO,
            text,
            sampler=plan.sampler,
            engine=plan.engine,
            seed=int(plan.seed),
            rows_before=int(plan.n_before),
            rows_after=int(plan.n_after),
            classes={str(c.label): [int(c.before), int(c.after)] for c in plan.classes},
            worker_bytes=needed,
            allowed_bytes=allowed,
        )
        for note in (*plan.reasons, *plan.notes):
            self._log(logging.INFO, note)
        for warning in plan.warnings:
            self._log(logging.WARNING, warning)
        for problem in first(plan.problems):
            self._log(logging.ERROR, f"cannot run: {problem}")
        self._inner.planned(plan)

    def start(self, partitions: int, rows: int) -> None:
        """Pass on how much there will be to write."""
        self._total = partitions
        self._inner.start(partitions, rows)

    def advance(self, partitions: int, rows: int) -> None:
        """Count what has been written."""
        self._partitions += partitions
        self._rows += rows
        if self.output:
            self.output.show(parts={"done": self._partitions, "total": self._total})
        self._inner.advance(partitions, rows)

    def end(self, failed: bool = False) -> None:
        """Log the end of the stage there is."""
        if self._stage is None:
            return
        seconds = self.seconds[self._stage] = round(time.perf_counter() - self._began, 3)
        fields: dict[str, Any] = {"seconds": seconds}
        text = f"{self._stage}: "
        if self._partitions:
            fields |= {"partitions": self._partitions, "rows": self._rows}
            text += f"{self._rows:,} rows in {self._partitions:,} partitions, "
        if failed:
            fields["failed"] = True
            text += "ended by an error after "
        self._log(logging.INFO, f"{text}{seconds:.1f} s", **fields)
        self._stage = None

    def ended(self, status: str, seconds: float, manifest: dict[str, Any] | None) -> None:
        """Log how the job ended."""
        from dsmote.plan import format_bytes

        self.end()
        fields: dict[str, Any] = {"seconds": round(seconds, 3)}
        text = f"{status} after {seconds:.1f} s"
        if manifest is not None and status == "done":
            files, output = len(manifest["parts"]), manifest["job"]["output"]
            peak = max(manifest["memory"]["peak_bytes"].values(), default=0)
            fields = {"seconds": manifest["seconds"], "total_seconds": round(seconds, 3)}
            fields |= {"output": output, "files": files, "peak_bytes": peak}
            fields |= {key: manifest[key] for key in ("rows", "bytes")}
            text = (
                f"done in {manifest['seconds']:.1f} s, {seconds:.1f} s in all: {files:,} files "
                f"of together {format_bytes(manifest['bytes'])} in {output}, peak memory "
                f"{format_bytes(peak)}"
            )
        self._stage = status
        self._log(logging.INFO, text, status=status, **fields)
        self._stage = None

    def _log(self, level: int, text: str, **fields: Any) -> None:
        extra = {"stage": self._stage, "fields": self._hidden.mask_value(fields)}
        LOGGER.log(level, "%s", text, extra=extra)


class _Utc(logging.Formatter):
    """Times as ISO 8601 has them."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class TextLines(_Utc):
    """One line of text for each record: time (UTC), level, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line, without the traceback."""
        return " ".join(super().formatMessage(record).splitlines())


class JsonLines(_Utc, JsonFormatter):
    """One JSON object in one line for each record.

    Its keys are ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``stage``, ``message`` and
    ``fields`` (numbers that go with the message); ``traceback`` where there is one.
    """

    def __init__(self) -> None:
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        JsonFormatter.__init__(
            self,
            [*names, "message"],
            rename_fields={**names, "exc_info": "traceback"},
            defaults={"stage": None, "fields": {}},
        )
