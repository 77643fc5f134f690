"""The report of a job: what is sampled while it runs, and one page that shows it."""

from dsmote.job.report.columns import Shown, shown_columns
from dsmote.job.report.page import report_html
from dsmote.job.report.sample import (
    Sample,
    Sampling,
    first_row_of,
    join_samples,
    sampling_for,
)
from dsmote.job.report.tasks import REPORT_FILE, Drawn, add_report, draw

__all__ = [
    "REPORT_FILE",
    "Drawn",
    "Sample",
    "Sampling",
    "Shown",
    "add_report",
    "draw",
    "first_row_of",
    "join_samples",
    "report_html",
    "sampling_for",
    "shown_columns",
]
