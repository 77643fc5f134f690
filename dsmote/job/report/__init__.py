"""The report of a job: one HTML page about the resampled table, made from samples of its rows."""

from importlib.util import find_spec

__all__ = ["check_report"]


def check_report() -> None:
    """Raise, before any work starts, if the figures of a report could not be drawn."""
    if find_spec("matplotlib") is None:
        raise ImportError(
            "the report needs matplotlib, which is not installed: pip install "
            '"dsmote[report]", or run the job without a report'
        )
