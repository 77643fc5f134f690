"""The DAG of examples/schedule on a real Airflow, in a virtual environment without dsmote."""

import shutil
from pathlib import Path

import pytest

from tests.schedules.night import HOPELESS, SCHEDULE, Night, environment_of, rows, run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_airflow(night: Night, tmp_path: Path) -> None:
    programs = environment_of("airflow", "apache-airflow>=3,<4", tmp_path)
    home = tmp_path / "home"
    (home / "dags").mkdir(parents=True)
    shutil.copy(SCHEDULE / "airflow_dag.py", home / "dags")
    env = night.environment(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        DSMOTE_JOB=str(night.job),
        DSMOTE_RETRY_WAIT="0.5",
        ARRIVES="2",
    )
    code, said = run([programs / "airflow", "db", "migrate"], env, tmp_path)
    assert code == 0, said
    command = [programs / "airflow", "dags", "test", "dsmote_nightly"]

    code, said = run(command, env, tmp_path)
    assert code == 0, said
    assert night.calls() == 2
    night.check_output()

    before = night.files()
    code, said = run(command, env, tmp_path)
    assert code == 0, said
    assert night.calls() == 1
    assert night.files() == before

    night.more_rows()
    code, said = run(command, env, tmp_path)
    assert code == 0, said
    assert night.calls() == 1
    night.check_output()

    before = night.files()
    for changes, number in HOPELESS:
        with night.edited(changes):
            code, said = run(command, env, tmp_path)
        assert code == 1, said
        assert f"dsmote run ended with exit code {number}; no use in retries" in said
        assert night.calls() == 1
    assert night.files() == before

    query = "select state, try_number from task_instance order by run_id"
    assert rows(home / "airflow.db", query) == [
        ("success", 2),
        ("skipped", 1),
        ("success", 1),
        *[("failed", 1)] * len(HOPELESS),
    ]
