"""A dsmote job as a Prefect flow: what may pass is tried again, an error in the job file is not.

Run once:     python prefect_flow.py nightly.yaml
Every night:  python prefect_flow.py nightly.yaml --cron "30 2 * * *"

Needs Prefect 3 (`pip install "prefect>=3,<4"`); the second form also a server, started by `prefect
server start` and named by PREFECT_API_URL. The job runs in a process of its own: DSMOTE names the
command, as in DSMOTE=/opt/dsmote/bin/dsmote, and Prefect's environment stays free of Dask.
"""

import argparse
import os
import subprocess
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, State
from prefect.tasks import Task

UNCHANGED = 3
# Wrong usage, too little memory, and data that do not allow it: it would end in the same way again.
HOPELESS = (2, 4, 5)


class JobFailed(RuntimeError):
    """`dsmote run` ended with this exit code; the reason is in the log."""

    def __str__(self) -> str:
        return f"dsmote run ended with exit code {self.args[0]}"


def may_pass(task: Task, run: TaskRun, state: State) -> bool:
    """Whether another try can help."""
    try:
        state.result()
    except JobFailed as failure:
        return failure.args[0] not in HOPELESS
    except FileNotFoundError:
        return False  # there is no such command
    return True


@task(task_run_name="dsmote run {job}", retry_condition_fn=may_pass)
def run_job(job: str) -> State:
    """Run the job, and pass on what it says."""
    logger = get_run_logger()
    path = Path(job).resolve()
    with subprocess.Popen(
        [os.environ.get("DSMOTE", "dsmote"), "run", str(path)],
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout:
                logger.info(line.rstrip())
        except BaseException:
            process.terminate()  # the flow was cancelled: the job stops its workers and clears up
            raise
    if process.returncode == UNCHANGED:
        return Completed(name="Skipped", message="the output is there, made from the same input")
    if process.returncode != 0:
        raise JobFailed(process.returncode)
    return Completed(message="the output is whole")


@flow(name="dsmote-nightly")
def nightly(job: str, retries: int = 3, wait: float = 300) -> State:
    """Balance the table that the job file names."""
    with_retries = run_job.with_options(retries=retries, retry_delay_seconds=wait)
    state = with_retries(job, return_state=True)
    return State(type=state.type, name=state.name, message=state.message)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", help="the job file")
    parser.add_argument("--retries", type=int, default=3)
    parser.add_argument("--wait", type=float, default=300, help="seconds between two tries")
    parser.add_argument("--cron", help="stay, and run at these times")
    args = parser.parse_args()

    inputs = {"job": str(Path(args.job).resolve()), "retries": args.retries, "wait": args.wait}
    if args.cron:
        nightly.serve(name="nightly", cron=args.cron, parameters=inputs, limit=1)
        return
    state = nightly(**inputs, return_state=True)
    print(f"{state.name}: {state.message}")
    if not state.is_completed():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
