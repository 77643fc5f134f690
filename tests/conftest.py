"""What every test may use: the real tables, and how much property tests try."""

import os
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import get_client
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# No deadline: the first call of a Dask scheduler or a kd-tree takes longer than the next ones.
settings.register_profile(
    "default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples each time, so that a red run can be repeated.
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# On Python 3.11 Dask's profile can stop a process for ever (python/cpython#106883). Clusters that
# dsmote starts take none; this is for those that tests start, here and in other processes.
os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"
dask.config.set({"distributed.worker.profile.enabled": False})

# Those that start programs, schedulers and workers as processes, in two rows of about the same
# length, also of the slow ones: those that kill and measure workers, and those that run jobs.
PROCESSES = {
    "clusters": ("cluster/",),
    "jobs": (
        "benchmarks/",
        "job/test_cli_",
        "job/test_many_parts",
        "job/test_re",
        "job/test_run",
        "job/test_s3",
        "job/test_shuffle",
        "job/test_visible",
        "schedules/",
        "unit/test_cli",
        "unit/test_cluster",
        "unit/test_contributing",
        "unit/test_examples",
        "unit/test_readme",
    ),
}


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n 2 --dist loadgroup``, run what starts processes in two rows, all else after them.

    Tests of a file run in one process, which makes what they share once. More clusters at a time
    would be more processes than the machine has cores, and tests that kill or measure workers
    would meet a busier one each time. (pytest-xdist 3.8 finds no groups with pytest 9.2.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class Rows(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            name = file.removeprefix("tests/")
            return next((row for row, files in PROCESSES.items() if name.startswith(files)), file)

    config.option.loadscopereorder = False  # the rows are long: they come first
    return Rows(config, log)


def find_data() -> Path:
    """Folder of the real tables: ``DSMOTE_DATA``, or ``../shared/data`` beside the checkout."""
    named = os.environ.get("DSMOTE_DATA")
    return Path(named) if named else ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real tables. Without it the test skips; with DSMOTE_REQUIRE_DATA=1 it fails."""
    folder = find_data()
    if (folder / "mammography.parquet").is_file():
        return folder
    reason = f"no real tables in {folder}; set DSMOTE_DATA to the folder that has them"
    if os.environ.get("DSMOTE_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _no_scheduler_of_a_closed_client() -> None:
    """Undo what clients that overlapped, or were closed late, left in Dask's configuration.

    The second to close puts back what it found when it was opened: the first one's scheduler,
    which is gone. Every later test that names no scheduler would fail.
    """
    if dask.config.get("scheduler", None) == "dask.distributed":
        try:
            get_client()
        except ValueError:
            dask.config.set(scheduler=None)
