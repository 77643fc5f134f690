"""The flow of Prefect and the DAG of Airflow, each in a virtual environment without dsmote."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from urllib.request import urlopen

import psutil
import pytest

from tests.cluster.starting import free_port, missing, wait_until
from tests.schedules.conftest import HOPELESS, SCHEDULE, SECONDS, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.environ.get("DSMOTE_ORCHESTRATORS") != "1",
        reason="installs Prefect and Airflow, which takes minutes: set DSMOTE_ORCHESTRATORS=1",
    ),
]
CRON = "30 2 * * *"
# What pip says when there is no index; any other failure to install is one of ours.
NO_INDEX = r"NewConnectionError|ConnectTimeout|ReadTimeout|ConnectionError|from versions: none"


def environment_of(name, requirement, folder):
    """Folder of programs of a new virtual environment with one package and what it needs."""
    (folder / "pip").mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True, timeout=SECONDS)
    programs = folder / name / "bin"
    kept = {key: text for key, text in os.environ.items() if not key.startswith("PYTHON")}
    code, said = run(
        [programs / "python", "-m", "pip", "install", "--quiet", requirement],
        kept | {"TMPDIR": str(folder / "pip")},
        folder,
    )
    if code != 0 and re.search(NO_INDEX, said):
        missing(f"{requirement} cannot be installed: no package index is reached\n{said}")
    assert code == 0, said
    assert not list((folder / name).rglob("dsmote")), "the job is to run in an environment apart"
    return programs


def rows(database, query):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def fails_at_once(night, command, env, said_of):
    """What is hopeless is tried once, and leaves the output as it was."""
    before = night.files()
    for changes, number in HOPELESS:
        with night.edited(changes):
            code, said = run(command, env, night.folder)
        assert code == 1, said
        assert said_of.format(number) in said
        assert night.calls() == 1
    assert night.files() == before


def test_airflow(night, tmp_path):
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

    def runs(calls):
        code, said = run(command, env, tmp_path)
        assert code == 0, said
        assert night.calls() == calls
        night.check_output()

    runs(2)
    before = night.files()
    runs(1)
    assert night.files() == before
    night.more_rows()
    runs(1)
    assert night.files() != before
    said = "dsmote run ended with exit code {}; no use in retries"
    fails_at_once(night, command, env, said)

    query = "select state, try_number from task_instance order by run_id"
    assert rows(home / "airflow.db", query) == [
        ("success", 2),
        ("skipped", 1),
        ("success", 1),
        *[("failed", 1)] * len(HOPELESS),
    ]


def answers(api):
    try:
        with urlopen(f"{api}/health", timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def served(programs, command, env, folder):
    """A Prefect server and the flow that waits for its times, as the flow's text tells."""
    port = free_port()
    client = env | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    started = []

    def start(log, ready, *words):
        with log.open("w") as out:
            process = subprocess.Popen(list(map(str, words)), env=client, stdout=out, stderr=out)
        started.append(process)
        wait_until(lambda: ready() or process.poll() is not None, f"{log.stem} is ready", SECONDS)
        assert process.poll() is None, log.read_text()

    try:
        server = (programs / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port)
        start(folder / "server.log", lambda: answers(client["PREFECT_API_URL"]), *server)
        log = folder / "flow.log"
        polling = "polling for scheduled runs"
        start(log, lambda: polling in log.read_text(), *command, "--cron", CRON)
        yield client
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(60)


def test_prefect(night, tmp_path):
    programs = environment_of("prefect", "prefect>=3,<4", tmp_path)
    home = tmp_path / "home"
    env = night.environment(
        PREFECT_HOME=str(home), PREFECT_SERVER_ANALYTICS_ENABLED="false", ARRIVES="2"
    )
    command = [programs / "python", SCHEDULE / "prefect_flow.py", night.job, "--wait", 0.5]

    code, said = run(command, env, tmp_path)
    assert code == 0, said
    assert "Starting temporary server on http://127.0.0.1:" in said
    assert "JobFailed(1) - Retry 1/3 will start" in said
    assert "Completed: the output is whole" in said
    assert night.calls() == 2
    night.check_output()

    before = night.files()
    with served(programs, command, env, tmp_path) as client:
        words = ("deployment", "run", "dsmote-nightly/nightly", "--watch")
        code, said = run([programs / "prefect", *words], client, tmp_path)
        assert code == 0, said
        pids = {process.pid for process in night.left()}
        listening = {
            at.laddr.ip
            for at in psutil.net_connections("inet")
            if at.pid in pids and at.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
    assert night.calls() == 1
    assert night.files() == before

    fails_at_once(night, command, env, "dsmote run ended with exit code {}")

    states = rows(home / "prefect.db", "select state_name from flow_run order by created")
    assert [name for (name,) in states] == ["Completed", "Skipped", *["Failed"] * len(HOPELESS)]
