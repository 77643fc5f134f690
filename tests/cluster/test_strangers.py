"""The clusters that dsmote starts let nobody in who has not their certificate."""

import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from click.testing import CliRunner
from distributed import Client

import dsmote
from dsmote import cluster as cluster_module
from dsmote.cli import main
from dsmote.job.demo import demo_chunk

#: Run by another process: it prints what it could open, of all ports, as which client.
STRANGER = """
import asyncio, http.client, json, os, sys
from distributed import Client, Security, rpc

async def answers(address, security):
    arguments = security.get_connection_args("client")
    try:
        async with rpc(address, timeout=2, connection_args=arguments) as there:
            await asyncio.wait_for(there.identity(), 5)
    except (OSError, ValueError, asyncio.TimeoutError):
        return False
    return True

async def open_ports(tries):
    found = await asyncio.gather(*(answers(address, security) for address, security in tries))
    return [address for (address, _), opened in zip(tries, found) if opened]

def runs_code(address, security):
    try:
        with Client(address, timeout=2, security=security) as client:
            return client.run_on_scheduler(os.getpid) > 0
    except (OSError, ValueError):
        return False

def page(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False

tried, scheduler, *ports = json.loads(sys.argv[1])
clients = {"tcp": Security(), "tls": Security.temporary()}
clients = {by: clients[by] for by in clients if by in tried}
tries = [(f"{by}://127.0.0.1:{port}", clients[by]) for port in ports for by in clients]
opened = asyncio.run(open_ports(tries))
opened += [by for by in clients if runs_code(f"{by}://127.0.0.1:{scheduler}", clients[by])]
pages = "/info/main/workers.html", "/json/identity.json", "/metrics", "/health"
pages = pages if "http" in tried else ()
opened += [f"{port}{path}" for port in ports for path in pages if page(port, path)]
print(json.dumps(opened))
"""


def listening(client: Client) -> list[Any]:
    """Return where the scheduler, the nannies and the workers listen."""
    return [
        one.laddr
        for pid in (os.getpid(), *client.run(os.getpid).values())
        for one in psutil.Process(pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]


def opened_by_a_stranger(
    client: Client, tried: tuple[str, ...] = ("tcp", "tls", "http")
) -> list[str]:
    places = listening(client)
    assert {place.ip for place in places} == {"127.0.0.1"}
    scheduler = int(client.scheduler.address.rpartition(":")[2])
    ports = [place.port for place in places]
    assert scheduler in ports
    ran = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps([tried, scheduler, *ports])],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found: list[str] = json.loads(ran.stdout)
    return found


def connected(table: Path, out: Path) -> None:
    with dsmote.connect(n_workers=1, threads_per_worker=1) as client:
        assert client.submit(sum, [1, 2]).result() == 3


def connected_by_default(table: Path, out: Path) -> None:
    with dsmote.connect():
        pass


def job(table: Path, out: Path) -> dict[str, Any]:
    return {"input": str(table), "output": str(out), "target": "label"} | {
        "params": {"carry": ["id"]},
        "cluster": {"n_workers": 1, "threads_per_worker": 1},
    }


def run_in_python(table: Path, out: Path) -> None:
    dsmote.run_job(job(table, out))


def command(*args: object) -> None:
    result = CliRunner().invoke(main, [str(part) for part in args])
    assert result.exit_code == 0, result.output


def run_by_file(table: Path, out: Path) -> None:
    file = out.with_suffix(".yaml")
    file.write_text(json.dumps(job(table, out)), encoding="utf-8")
    command("run", file)


def resample(table: Path, out: Path) -> None:
    command("resample", table, out, "--target", "label", "--carry", "id", "--n-workers", 1)


def plan(table: Path, out: Path) -> None:
    command("plan", table, "--target", "label", "--carry", "id", "--n-workers", 1)


def demo(table: Path, out: Path) -> None:
    command("demo", "--rows", 2000, "--n-workers", 1)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("strangers") / "table.parquet"
    demo_chunk(0, 2000).to_parquet(file, index=False)
    return file


@pytest.mark.parametrize(
    "start",
    [
        connected,
        connected_by_default,
        run_by_file,
        resample,
        demo,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (run_in_python, plan)),
    ],
)
def test_another_process_cannot_run_code(
    start: Callable[[Path, Path], None],
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[list[str]] = []
    real = cluster_module._local_cluster

    @contextmanager
    def tried(*args: Any) -> Iterator[Client]:
        with real(*args) as client:
            opened.append(opened_by_a_stranger(client))
            yield client

    monkeypatch.setattr(cluster_module, "_local_cluster", tried)
    start(table, tmp_path / "out")
    assert opened == [[]]


def test_without_encryption_it_is_open_as_the_readme_says() -> None:
    """So the stranger would find a door, and whoever asks for plain connections gets them."""
    for configured, security in ((False, None), (None, {"require_encryption": False})):
        with (
            dask.config.set({"distributed.comm.require-encryption": configured}),
            dsmote.connect(n_workers=1, threads_per_worker=1, security=security) as client,
        ):
            opened = opened_by_a_stranger(client, ("tcp",))
            assert client.scheduler.address in opened
            assert "tcp" in opened  # it ran code


def test_nobody_else_can_read_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folders: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def seen(context: ssl.SSLContext, certificate: str, key: str) -> None:
        folders.append(os.stat(os.path.dirname(key)).st_mode & 0o777)
        load(context, certificate, key)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", seen)
    before = os.umask(0)
    try:
        with dsmote.connect(n_workers=1, threads_per_worker=1) as client:
            told = client.run(lambda: [str(dict(os.environ)), str(sys.argv)])
            processes = [psutil.Process(pid).cmdline() for pid in client.run(os.getpid).values()]
            kept = [file for file in tmp_path.rglob("*") if file.is_file()]
            texts = [file.read_text(errors="replace") for file in kept]
    finally:
        os.umask(before)
    assert set(folders) == {0o700}
    assert not [text for text in (*texts, str(told), str(processes)) if "PRIVATE KEY" in text]
