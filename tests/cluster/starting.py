"""Schedulers and workers as processes of their own, ended by their own pid."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.02)


@contextmanager
def running(
    *command: object, log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended with the block; what it says goes to a file."""
    code = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with log.open("ab") as said:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=log.parent,  # where Python looks first for what it imports
            env={**os.environ, "PYTHONPATH": code, **(env or {})},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


@contextmanager
def scheduler_in(
    folder: Path,
    *args: object,
    host: str = "127.0.0.1",
    prefix: tuple[object, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[str]:
    """Address of a scheduler whose file is ``scheduler.json`` in the folder."""
    file, log = folder / "scheduler.json", folder / "scheduler.log"
    command = (
        *(*prefix, sys.executable, "-m", "dask", "scheduler", "--host", host, "--port", 0),
        *("--no-dashboard", "--dashboard-address", f"{host}:0", "--scheduler-file", file, *args),
    )
    with running(*command, log=log, env=env) as process:

        def there() -> bool:
            assert process.poll() is None, log.read_text()
            return file.exists() and file.stat().st_size > 0

        wait_until(there, "the scheduler runs")
        yield json.loads(file.read_text())["address"]


@contextmanager
def worker_at(
    address: str,
    log: Path,
    *args: object,
    host: str = "127.0.0.1",
    prefix: tuple[object, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[str]:
    """Address of a worker of one thread that nobody brings back to life."""
    command = (
        *(*prefix, sys.executable, "-m", "dask", "worker", address, "--host", host),
        *("--no-nanny", "--no-dashboard", "--nthreads", 1, "--memory-limit", "1GiB"),
        *("--local-directory", log.parent, *args),
    )
    registered = "Registered to:"
    with running(*command, log=log, env=env) as process:

        def there() -> bool:
            assert process.poll() is None, log.read_text()
            return registered in log.read_text()

        wait_until(there, "the worker is known to the scheduler")
        (line,) = [each for each in log.read_text().splitlines() if "Start worker at:" in each]
        yield line.partition("Start worker at:")[2].strip()
