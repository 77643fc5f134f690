"""What a job logs: a line for each stage, what was planned, and warnings.

Everything goes to the loggers under ``dsmote`` of the standard library. Nothing is printed unless
the program that calls sets up a handler; the formatters here are for it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dsmote.job.progress import Progress, Silent
from dsmote.job.secrets import Secrets, masked_logger
from dsmote.plan import format_bytes
from dsmote.plan.labels import first

__all__ = ["JsonLines", "Logged", "TextLines", "logged"]

logging.getLogger("dsmote").addHandler(logging.NullHandler())
LOGGER = masked_logger("dsmote.job")


class Logged:
    """A progress that logs each stage when it ends, and passes everything on.

    Parameters
    ----------
    inner : Progress
    hidden : Secrets
        Masked in all that is logged.

    Attributes
    ----------
    plan : Plan or None
        What was planned, once that is known.
    seconds : dict of str to float
        What each stage took that has ended, in order; the only clock there is, so that the log,
        the manifest and the report agree.
    """

    def __init__(self, inner: Progress, hidden: Secrets) -> None:
        self._inner, self._hidden = inner, hidden
        self._stage: str | None = None
        self._began = time.perf_counter()
        self._partitions = self._rows = 0
        self.plan: Any = None
        self.seconds: dict[str, float] = {}

    def stage(self, text: str) -> None:
        """Log the stage that ends, and begin another."""
        self.end()
        self._stage, self._began = text, time.perf_counter()
        self._partitions = self._rows = 0
        self._log(logging.DEBUG, f"{text} ...", {})
        self._inner.stage(text)

    def planned(self, plan: Any) -> None:
        """Log what will be done, what the plan warns of, and why it cannot run."""
        self.plan = plan
        made = plan.to_dict()
        memory = made.get("memory") or {}
        fields = {
            "sampler": plan.sampler,
            "engine": plan.engine,
            "seed": int(plan.seed),
            "rows_before": int(plan.n_before),
            "rows_after": int(plan.n_after),
            "classes": {str(c["label"]): [c["before"], c["after"]] for c in made["classes"]},
            "worker_bytes": memory.get("worker_bytes"),
            "allowed_bytes": memory.get("allowed_bytes"),
        }
        text = (
            f"planned: {plan.sampler}, engine {plan.engine}, {fields['rows_before']:,} rows become "
            f"{fields['rows_after']:,}"
        )
        if fields["worker_bytes"] is not None:
            text += f", {format_bytes(fields['worker_bytes'])} projected in one worker"
        if fields["allowed_bytes"] is not None:
            text += f" ({format_bytes(fields['allowed_bytes'])} allowed)"
        self._log(logging.INFO, text, fields)
        for reason in getattr(plan, "reasons", ()):  # nothing is searched where rows are left out
            self._log(logging.INFO, reason, {})
        for note in getattr(plan, "notes", ()):
            self._log(logging.INFO, note, {})
        for warning in plan.warnings:
            self._log(logging.WARNING, warning, {})
        for problem in first(plan.problems):
            self._log(logging.ERROR, f"cannot run: {problem}", {})
        self._inner.planned(plan)

    def start(self, partitions: int, rows: int) -> None:
        """Pass on how much there will be to write."""
        self._inner.start(partitions, rows)

    def advance(self, partitions: int, rows: int) -> None:
        """Count what has been written."""
        self._partitions += partitions
        self._rows += rows
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
        self._log(logging.INFO, f"{text}{seconds:.1f} s", fields)
        self._stage = None

    def ended(self, status: str, seconds: float, manifest: dict[str, Any] | None) -> None:
        """Log how the job ended."""
        self.end()
        self._stage = status
        fields: dict[str, Any] = {"status": status, "seconds": round(seconds, 3)}
        text = f"{status} after {seconds:.1f} s"
        if manifest is not None and status == "done":
            peak = max(manifest["memory"]["peak_bytes"].values(), default=0)
            fields |= {
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
                f"in {manifest['job']['output']}, peak memory of a worker {format_bytes(peak)}"
            )
        self._log(logging.INFO, text, fields)
        self._stage = None

    def _log(self, level: int, text: str, fields: dict[str, Any]) -> None:
        extra = {"stage": self._stage, "fields": self._hidden.mask_value(fields)}
        LOGGER.log(level, "%s", self._hidden.mask(text), extra=extra)


@contextmanager
def logged(progress: Progress | None, hidden: Secrets) -> Iterator[Logged]:
    """Yield a progress that logs; an error ends its last stage in the log, too.

    Parameters
    ----------
    progress : Progress or None
        Everything is passed on to it.
    hidden : Secrets

    Yields
    ------
    Logged
    """
    one = Logged(progress or Silent(), hidden)
    try:
        yield one
    except BaseException:
        one.end(failed=True)
        raise
    one.end()


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(logging.Formatter):
    """One line of text for each record: time (UTC), level, message.

    Examples
    --------
    >>> record = logging.LogRecord("dsmote.job", 20, "", 0, "writing: 2.1 s", None, None)
    >>> TextLines().format(record).partition("Z ")[2]
    'INFO    writing: 2.1 s'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = " ".join(record.getMessage().splitlines())
        traceback = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{_time(record)} {record.levelname:<7} {text}{traceback}"


class JsonLines(logging.Formatter):
    """One JSON object in one line for each record.

    Its keys are ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``stage``, ``message`` and
    ``fields`` (numbers that go with the message).

    Examples
    --------
    >>> record = logging.LogRecord("dsmote.job", 20, "", 0, "writing: 2.1 s", None, None)
    >>> sorted(json.loads(JsonLines().format(record)))
    ['fields', 'level', 'logger', 'message', 'stage', 'time']
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "stage": getattr(record, "stage", None),
            "message": record.getMessage(),
            "fields": getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
