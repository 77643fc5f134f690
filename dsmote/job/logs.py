"""What a job tells while it runs, and what it logs: each stage, what was planned, and warnings.

Everything is logged under ``dsmote``. Nothing is printed unless the program that calls sets up a
handler; the formatters here are for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from dsmote.job.secrets import Secrets, masked_logger
from dsmote.plan import format_bytes
from dsmote.plan.labels import first

__all__ = ["JsonLines", "Log", "Progress", "TextLines", "logged"]

logging.getLogger("dsmote").addHandler(logging.NullHandler())
LOGGER = masked_logger("dsmote.job")


class Progress:
    """What a job tells while it runs; this one tells it to nobody.

    Examples
    --------
    >>> Progress().stage("reading")
    """

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def planned(self, plan: Any) -> None:
        """Say what will be done, once that is known."""

    def start(self, partitions: int, rows: int) -> None:
        """Say how much there will be to write."""

    def advance(self, partitions: int, rows: int) -> None:
        """Say how much has been written in addition."""


class Log(Progress):
    """A progress that logs each stage when it ends.

    Everything is passed on to another progress, and to the output, where others see it.

    Attributes
    ----------
    plan : Plan or None
        What was planned, once that is known.
    output : Output or None
    seconds : dict of str to float
        What each stage took that has ended, in order; the only clock there is, so that the log,
        the manifest and the report agree.
    """

    def __init__(self, inner: Progress | None, hidden: Secrets) -> None:
        self._inner, self._hidden = inner or Progress(), hidden
        self._stage: str | None = None
        self._began = time.perf_counter()
        self._partitions = self._rows = self._total = 0
        self.plan: Any = None
        self.output: Any = None
        self.seconds: dict[str, float] = {}

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
        self.plan = plan
        made = plan.to_dict()
        memory = made.get("memory") or {}
        needed, allowed = memory.get("worker_bytes"), memory.get("allowed_bytes")
        text = (
            f"planned: {plan.sampler}, engine {plan.engine}, {plan.n_before:,} rows become "
            f"{plan.n_after:,}"
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
            classes={str(c["label"]): [c["before"], c["after"]] for c in made["classes"]},
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
        self.end()
        self._stage = status
        fields: dict[str, Any] = {"seconds": round(seconds, 3)}
        text = f"{status} after {seconds:.1f} s"
        if manifest is not None and status == "done":
            peak = max(manifest["memory"]["peak_bytes"].values(), default=0)
            fields = {
                "seconds": manifest["seconds"],
                "total_seconds": round(seconds, 3),
                "output": manifest["job"]["output"],
                "rows": manifest["rows"],
                "bytes": manifest["bytes"],
                "files": len(manifest["parts"]),
                "peak_bytes": peak,
            }
            text = (
                f"done in {manifest['seconds']:.1f} s, {seconds:.1f} s in all: "
                f"{len(manifest['parts']):,} files of together {format_bytes(manifest['bytes'])} "
                f"in {manifest['job']['output']}, peak memory {format_bytes(peak)}"
            )
        self._log(logging.INFO, text, status=status, **fields)
        self._stage = None

    def _log(self, level: int, text: str, **fields: Any) -> None:
        extra = {"stage": self._stage, "fields": self._hidden.mask_value(fields)}
        LOGGER.log(level, "%s", text, extra=extra)


@contextmanager
def logged(progress: Progress | None, hidden: Secrets) -> Iterator[Log]:
    """Yield a progress that logs; an error ends its last stage in the log, too."""
    log = Log(progress, hidden)
    try:
        yield log
    except BaseException:
        log.end(failed=True)
        raise
    log.end()


class _Utc(logging.Formatter):
    """Times as ISO 8601 has them."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class TextLines(_Utc):
    """One line of text for each record: time (UTC), level, message.

    Examples
    --------
    >>> record = logging.LogRecord("dsmote.job", 20, "", 0, "writing: 2.1 s", None, None)
    >>> TextLines().format(record).partition("Z ")[2]
    'INFO    writing: 2.1 s'
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line, without the traceback."""
        return " ".join(super().formatMessage(record).splitlines())


class JsonLines(_Utc, JsonFormatter):
    """One JSON object in one line for each record.

    Its keys are ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``stage``, ``message`` and
    ``fields`` (numbers that go with the message); ``traceback`` where there is one.

    Examples
    --------
    >>> import json
    >>> record = logging.LogRecord("dsmote.job", 20, "", 0, "writing: 2.1 s", None, None)
    >>> sorted(json.loads(JsonLines().format(record)))
    ['fields', 'level', 'logger', 'message', 'stage', 'time']
    """

    def __init__(self) -> None:
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        JsonFormatter.__init__(
            self,
            [*names, "message"],
            rename_fields={**names, "exc_info": "traceback"},
            defaults={"stage": None, "fields": {}},
        )
