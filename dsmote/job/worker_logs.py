"""What the cluster itself logs while a job runs, with the job's secrets masked.

Workers log a task that fails with its error, which names files. They do that where they run, so it
is there that secrets have to be masked, before the standard error, the dashboard or a file has it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, WorkerPlugin

from dsmote.job.failures import explained
from dsmote.job.secrets import Secrets

__all__ = ["masked_cluster_logs"]

_FORMATTER = logging.Formatter()


class _Masked(logging.Filter):
    """Masks a record whole, with its traceback."""

    def __init__(self, hidden: Secrets) -> None:
        super().__init__()
        self._hidden = hidden

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._hidden.mask(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._hidden.mask(record.exc_text)
        return True


class _MaskedLogs(WorkerPlugin):
    """Masks what a worker logs, from now on and until it is taken away."""

    def __init__(self, hidden: Secrets) -> None:
        self.name = f"dsmote-masked-logs-{uuid.uuid4().hex}"
        self._hidden = hidden
        self._undo: list[tuple[logging.Handler, logging.Filter]] = []

    def setup(self, worker: Any) -> None:
        self._undo = _mask_handlers(self._hidden)

    def teardown(self, worker: Any) -> None:
        _unmask(self._undo)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_undo": []}


def _mask_handlers(hidden: Secrets) -> list[tuple[logging.Handler, logging.Filter]]:
    """Mask what Dask's loggers hand out: handlers see the records of all loggers below, too."""
    known = [logging.getLogger(), *_loggers()]
    handlers = dict.fromkeys(handler for logger in known for handler in logger.handlers)
    added = [(handler, _Masked(hidden)) for handler in handlers]
    for handler, masked in added:
        handler.addFilter(masked)
    return [*added]


def _loggers() -> list[logging.Logger]:
    named = ("distributed", "tornado", "asyncio")
    known = logging.root.manager.loggerDict.items()
    return [
        logger
        for name, logger in known
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in named
    ]


def _unmask(added: list[tuple[logging.Handler, logging.Filter]]) -> None:
    for handler, masked in added:
        handler.removeFilter(masked)


@contextmanager
def masked_cluster_logs(client: Client, hidden: Secrets, *texts: str | None) -> Iterator[None]:
    """Mask secrets in what the client, its scheduler and the workers log in the block.

    Where there is nothing to mask, nothing is done.

    Parameters
    ----------
    client : distributed.Client
    hidden : Secrets
    *texts : str or None
        The job's paths, which may have passwords in them.
    """
    if not hidden.values and all(text is None or hidden.mask(text) == text for text in texts):
        yield
        return
    plugin = _MaskedLogs(hidden)
    here = _mask_handlers(hidden)
    try:
        with explained():
            client.register_plugin(plugin)
        yield
    finally:
        _unmask(here)
        if client.status == "running":  # a scheduler that is gone has no plugins
            with suppress(Exception):
                client.unregister_worker_plugin(plugin.name)
