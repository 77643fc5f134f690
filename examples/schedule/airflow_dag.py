"""A dsmote job as an Airflow DAG: what may pass is tried again, an error in the job file is not.

Put this file into the DAG folder of Airflow 3 (`pip install "apache-airflow>=3,<4"`). The job runs
in a process of its own, so that Airflow's environment stays free of Dask. Environment variables of
the workers say which:

    DSMOTE             the command, as in /opt/dsmote/bin/dsmote (default: dsmote on the PATH)
    DSMOTE_JOB         the job file
    DSMOTE_RETRY_WAIT  seconds between two tries (default 300)

Once, without a scheduler:  airflow dags test dsmote_nightly

An unchanged input leaves the task skipped, and what follows it too: a model is trained again only
on new rows. Give a task that must run anyway `trigger_rule="none_failed"`.
"""

import os
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

UNCHANGED = 3
# Wrong usage, too little memory, and data that do not allow it: it would end in the same way again.
HOPELESS = (2, 4, 5)


class DsmoteRun(BaseOperator):
    """`dsmote run JOB`: its output in the task's log, its exit code as the task's state."""

    template_fields = ("job",)

    def __init__(self, *, job: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.job = job

    @cached_property
    def hook(self) -> SubprocessHook:
        return SubprocessHook()

    def execute(self, context) -> None:
        path = Path(self.job).resolve()
        command = [os.environ.get("DSMOTE", "dsmote"), "run", str(path)]
        code = self.hook.run_command(command, cwd=str(path.parent)).exit_code
        if code == UNCHANGED:
            raise AirflowSkipException("the output is there, made from the same input")
        if code in HOPELESS:
            raise AirflowFailException(f"dsmote run ended with exit code {code}; no use in retries")
        if code != 0:
            raise AirflowException(f"dsmote run ended with exit code {code}")

    def on_kill(self) -> None:
        self.hook.send_sigterm()  # the job stops its workers and clears up


with DAG(
    "dsmote_nightly",
    description="Balance the table that the job file names",
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    DsmoteRun(
        task_id="balance",
        job=os.environ.get("DSMOTE_JOB", "nightly.yaml"),
        retries=3,
        retry_delay=timedelta(seconds=float(os.environ.get("DSMOTE_RETRY_WAIT", "300"))),
        execution_timeout=timedelta(hours=6),
    )
