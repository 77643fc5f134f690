"""The flow of examples/schedule on a real Prefect, in a virtual environment without dsmote."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.schedules.night import (
    HOPELESS,
    SCHEDULE,
    Night,
    environment_of,
    left_of,
    rows,
    run,
    wait_until,
)

CRON = "30 2 * * *"


def listening(process: psutil.Process) -> list[str]:
    """Addresses at which a process takes connections."""
    try:
        connections = process.net_connections("inet")
    except psutil.Error:
        return []
    return [at.laddr.ip for at in connections if at.status == psutil.CONN_LISTEN]


def answers(api: str) -> bool:
    try:
        with urlopen(f"{api}/health", timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def served(
    programs: Path, command: list[object], env: dict[str, str], folder: Path
) -> Iterator[dict[str, str]]:
    """A Prefect server and the flow that waits for its times, as the flow's text tells."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    client = env | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    started = []

    def start(log: Path, ready: Callable[[], bool], *words: object) -> None:
        with log.open("w") as out:
            started.append(
                subprocess.Popen(list(map(str, words)), env=client, stdout=out, stderr=out)
            )
        wait_until(lambda: ready() or started[-1].poll() is not None, f"{log.stem} is ready")
        assert started[-1].poll() is None, log.read_text()

    try:
        server = (programs / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port)
        start(folder / "server.log", lambda: answers(client["PREFECT_API_URL"]), *server)
        log = folder / "flow.log"
        start(
            log, lambda: "polling for scheduled runs" in log.read_text(), *command, "--cron", CRON
        )
        yield client
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_prefect(night: Night, tmp_path: Path) -> None:
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
        deployment = [
            programs / "prefect",
            "deployment",
            "run",
            "dsmote-nightly/nightly",
            "--watch",
        ]
        code, said = run(deployment, client, tmp_path)
        assert code == 0, said
        assert {at for process in left_of(tmp_path) for at in listening(process)} == {"127.0.0.1"}
    assert night.calls() == 1
    assert night.files() == before

    for changes, number in HOPELESS:
        with night.edited(changes):
            code, said = run(command, env, tmp_path)
        assert code == 1, said
        assert f"dsmote run ended with exit code {number}" in said
        assert night.calls() == 1
    assert night.files() == before

    states = rows(home / "prefect.db", "select state_name from flow_run order by created")
    assert [name for (name,) in states] == ["Completed", "Skipped", *["Failed"] * len(HOPELESS)]
