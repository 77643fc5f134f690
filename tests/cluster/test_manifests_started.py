"""What Kubernetes, compose and systemd start is started here, with other ports and folders."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from dsmote.job.demo import demo_chunk
from tests.cluster.manifests import CLUSTER, cluster_specs, compose, of_kind, unit
from tests.cluster.starting import running, wait_until
from tests.cluster.test_tls import ENVIRONMENT, SCRIPTS, run


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests") / "certificates"
    assert run(SCRIPTS / "make-certificates.sh", folder).returncode == 0
    return folder


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def started_by(source: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Command and environment of the scheduler, a worker and a client."""
    if source == "compose":
        services = compose()["services"]
        return {
            role: (services[role]["command"], services[role]["environment"])
            for role in ("scheduler", "worker", "job")
        }
    if source == "systemd":
        env = dict(
            line.split("=", 1)
            for line in (CLUSTER / "systemd" / "dask.env").read_text().splitlines()
            if line and not line.startswith("#")
        )
        commands = {
            role: unit(f"dsmote-{name}.service")["Service"]["ExecStart"].split()
            for role, name in (("scheduler", "scheduler"), ("worker", "worker@"))
        }
        return {role: (command, env) for role, command in commands.items()} | {"job": ([], env)}
    settings = of_kind("ConfigMap")["dsmote-settings"]["data"]
    spec = cluster_specs()["dsmote"]
    return {
        role: (spec[role]["spec"]["containers"][0]["args"], settings)
        for role in ("scheduler", "worker")
    } | {"job": ([], settings)}


@pytest.mark.parametrize(
    "source",
    [
        "kubernetes",
        pytest.param("compose", marks=pytest.mark.slow),
        pytest.param("systemd", marks=pytest.mark.slow),
    ],
)
def test_what_is_started_there_works_here(source: str, certificates: Path, tmp_path: Path) -> None:
    port, health = free_port(), free_port()
    changes = {
        r"^/opt/dsmote/bin/": "",
        r"^/?(etc/dsmote/)?certificates/": f"{certificates}/",
        r"^/etc/dsmote/certificates/": f"{certificates}/",
        r"/(scratch|var/cache)\b.*": str(tmp_path / "scratch"),
        r"^(--port=|)8786$": rf"\g<1>{port}",
        r"^tls://[^:/]+:8786$": f"tls://127.0.0.1:{port}",
        r"^(--dashboard-address=|)(127\.0\.0\.1)?:8787$": rf"\g<1>127.0.0.1:{health}",
        r"^(--(?:worker|nanny)-port=)\d+$": r"\g<1>0",
        r"\$\(DASK_WORKER_NAME\)|^%H-%i$": "worker-1",
        r"\$\(MEMORY_LIMIT\)|\$\{MEMORY_LIMIT\}": "1073741824",
    }

    def here(text: str) -> str:
        for pattern, replacement in changes.items():
            text = re.sub(pattern, replacement, text)
        return text

    def command(role: str) -> tuple[list[str], dict[str, str]]:
        args, env = started_by(source)[role]
        parts = [here(str(part)) for part in args]
        local = [] if role == "job" else ["--host", "127.0.0.1"]
        head = [sys.executable, "-m", "dask"] if parts[:1] == ["dask"] else parts[:1]
        return head + parts[1:] + local, {name: here(str(value)) for name, value in env.items()}

    (args, env), log = command("scheduler"), tmp_path / "scheduler.log"
    with running(*args, log=log, env=env) as scheduler:

        def healthy() -> bool:
            assert scheduler.poll() is None, log.read_text()
            try:
                url = f"http://127.0.0.1:{health}/health"
                return urllib.request.urlopen(url, timeout=5).status == 200
            except OSError:
                return False

        wait_until(healthy, "the scheduler is healthy")
        if source == "kubernetes":
            url = f"http://127.0.0.1:{health}/api/v1/check_idle"
            assert urllib.request.urlopen(url, timeout=5).status == 200
        args, env = command("worker")
        with running(*args, log=tmp_path / "worker.log", env=env) as worker:
            code = (
                "import dsmote, json\n"
                "with dsmote.connect() as client:\n"
                "    client.wait_for_workers(1, timeout=60)\n"
                "    (one,) = client.scheduler_info()['workers'].values()\n"
                "    print(json.dumps([client.scheduler.address, one['memory_limit'],\n"
                "                      one['nthreads'], client.submit(sum, [1, 2]).result()]))\n"
            )
            _, env = command("job")
            asked = subprocess.run(
                [sys.executable, "-c", code],
                env=ENVIRONMENT | env,
                capture_output=True,
                text=True,
                timeout=90,
            )
            said = asked.stderr + (tmp_path / "worker.log").read_text()
            assert asked.returncode == 0, said
            assert worker.poll() is None
            address, limit, threads, result = json.loads(asked.stdout)
            assert address == f"tls://127.0.0.1:{port}"
            assert (threads, result) == (1, 3)
            assert limit == (4_000_000_000 if source == "compose" else 2**30)
            if source == "compose":
                run_the_job_twice(tmp_path, env)


def run_the_job_twice(folder: Path, env: dict[str, str]) -> None:
    """As the container of the job does; the second time there is nothing to do, which is good."""
    demo_chunk(0, 2000).to_parquet(folder / "train.parquet", index=False)
    scripts = Path(sys.executable).parent
    command = (CLUSTER / "docker" / "run-job.sh", CLUSTER / "docker" / "job.yaml")
    changes = (
        *("--set", f"input={folder / 'train.parquet'}", "--set", f"output={folder / 'out'}"),
        *("--set", "params.carry=[id]"),
    )
    path = f"{scripts}:{os.environ['PATH']}"
    first = run(*command, *changes, **{**env, "PATH": path})
    assert first.returncode == 0, first.stderr
    manifest = (folder / ".out.dsmote/manifest.json").read_text(encoding="utf-8")
    second = run(*command, *changes, **{**env, "PATH": path})
    assert second.returncode == 0, second.stderr
    assert (folder / ".out.dsmote/manifest.json").read_text(encoding="utf-8") == manifest
    plain = run(scripts / "dsmote", "run", *command[1:], *changes, **env)
    assert plain.returncode == 3, plain.stderr
