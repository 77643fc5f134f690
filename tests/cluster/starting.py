"""Schedulers, workers, scripts and commands as processes of their own, ended by their own pid."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from click.testing import CliRunner

from dsmote.cli import main
from dsmote.job.demo import demo_chunk

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
SCRIPTS = CLUSTER / "processes"
SECONDS = 120.0
ENVIRONMENT = {
    **os.environ,
    "PYTHON": sys.executable,
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
}
FIXED = ("--target", "label", "--carry", "id", "--random-state", 0)


def missing(what: str) -> NoReturn:
    """Skip, or fail where nothing may be skipped."""
    if os.environ.get("DSMOTE_REQUIRE_DATA") == "1":
        pytest.fail(what)
    pytest.skip(what)


def wait_until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a program with these variables besides, and wait for it."""
    return subprocess.run(
        [str(part) for part in command],
        env=ENVIRONMENT | {name: str(value) for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=150,
    )


@contextmanager
def running(
    *command: object, log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended with the block; what it says goes to a file."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=log.parent,  # where Python looks first for what it imports
            env=ENVIRONMENT | (env or {}),
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
    host: str = "127.0.0.1",
    prefix: tuple[object, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[str]:
    """Address of a scheduler whose file is ``scheduler.json`` in a folder, which may be new."""
    folder.mkdir(exist_ok=True)
    file, log = folder / "scheduler.json", folder / "scheduler.log"
    command = (
        *(*prefix, sys.executable, "-m", "dask", "scheduler", "--host", host, "--port", 0),
        *("--no-dashboard", "--dashboard-address", f"{host}:0", "--scheduler-file", file),
    )
    with running(*command, log=log, env=env) as process:

        def there() -> bool:
            assert process.poll() is None, log.read_text()
            return file.exists() and file.stat().st_size > 0

        wait_until(there, "the scheduler runs")
        yield json.loads(file.read_text())["address"]


@contextmanager
def workers_of(
    address: str,
    log: Path,
    *args: object,
    n: int = 1,
    host: str = "127.0.0.1",
    prefix: tuple[object, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[list[str]]:
    """Addresses of workers of one thread. Each has a nanny, which starts another when it dies."""
    command = (
        *(*prefix, sys.executable, "-m", "dask", "worker", address, "--host", host),
        *("--nworkers", n, "--nthreads", 1, "--memory-limit", "1GiB", "--no-dashboard"),
        *("--local-directory", log.parent, *args),
    )
    with running(*command, log=log, env=env) as process:

        def there() -> bool:
            assert process.poll() is None, log.read_text()
            return log.read_text().count("Registered to:") >= n

        wait_until(there, "the workers are known to the scheduler")
        started = [line for line in log.read_text().splitlines() if "Start worker at:" in line]
        yield [line.partition("Start worker at:")[2].strip() for line in started]


@contextmanager
def worker_at(address: str, log: Path, *args: object, **where: object) -> Iterator[str]:
    """Address of a worker that nobody brings back to life."""
    with workers_of(address, log, "--no-nanny", *args, **where) as (worker,):
        yield worker


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those that run, however they are called, and children of children: this is their TMPDIR."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # ended meanwhile, or not ours
            own = process.environ().get("TMPDIR") == str(folder)
            found += [process] if own and process.status() != psutil.STATUS_ZOMBIE else []
    return found


def kill(pid: int) -> None:
    """Kill a process of this test, as the system does when memory is short."""
    os.kill(pid, signal.SIGKILL)


def write_table(folder: Path, files: int, rows: int) -> Path:
    """Write a table of many files, so that a run can be caught in the middle."""
    folder.mkdir()
    for number in range(files):
        frame = demo_chunk(number * rows, rows)
        frame.to_parquet(folder / f"{number:02d}.parquet", index=False)
    return folder


def dsmote(*args: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command line in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "dsmote", *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | (env or {}),
        start_new_session=True,
    )


def resample(
    table: Path, out: Path, *args: object, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    return dsmote("resample", table, out, *FIXED, *args, env=env)


def succeeded(process: subprocess.Popen[str]) -> str:
    """What a command that must succeed puts out."""
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    return out


def message(process: subprocess.Popen[str], code: int = 1) -> str:
    """Return the one message of a command that fails, without its lines of progress."""
    out, err = process.communicate(timeout=SECONDS)
    return _message(process.returncode, out, err, code)


def refused(*args: object, code: int = 1) -> str:
    """Run a command in this process; return the one message with which it fails."""
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    return _message(done.exit_code, done.stdout, done.stderr, code)


def _message(ended: int, out: str, err: str, code: int) -> str:
    assert (ended, out) == (code, ""), err
    progress = (" ...", " partitions, ")
    said = [line for line in err.splitlines() if not any(text in line for text in progress)]
    assert len(said) == 1, err
    assert said[0].startswith(("Error: ", "Interrupted")), err
    return said[0]


def hashes(out: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.glob("part-*.parquet"))
    }


def left_in(folder: Path) -> set[str]:
    """Names in a folder; of the records beside an output only what is to stay."""
    names = set(os.listdir(folder))
    for hidden in {name for name in names if name.endswith(".dsmote")}:
        assert set(os.listdir(folder / hidden)) <= {"manifest.json", "report.html"}
        names.remove(hidden)
    return names


STAGES = {
    "profile": ("dsmote.execute.partition", "profile"),
    "index": ("dsmote.execute.generate", "build_class_index"),
    "generation": ("dsmote.execute.dask_table", "make_block"),
    "writing": ("dsmote.job.parts", "write_part"),
}

#: Stages of classes in cells, as the scratch files of each are named, after which workers wait; to
#: collect is to read those that were made last.
CELLS = ("rows", "cell", "home", "answer", "made", "collect")

PRELOAD = f"""
import functools, importlib, os, pathlib, time
from dsmote.execute import exchange

HERE = pathlib.Path(os.environ["DSMOTE_FAULTS"])

def wait_at(stage):
    while (HERE / f"hold-{{stage}}").exists():
        (HERE / f"at-{{stage}}-{{os.getpid()}}").touch()
        time.sleep(0.005)

def held(stage, original):
    @functools.wraps(original)
    def wrapper(*args, **kwargs):
        wait_at(stage)
        return original(*args, **kwargs)

    return wrapper

def writing(write_file):
    def wrapper(folder, path, *args, **more):
        size = write_file(folder, path, *args, **more)
        if path.endswith(exchange.ENDING):
            own, stage, *_ = path.rpartition("/")[2].split("-")
            wait_at(stage if own != "all" else f"all-{{stage}}")
        return size
    return wrapper

def reading(receive):
    def wrapper(self, names, destination):
        if "-made-" in names[0]:
            wait_at("collect")
        return receive(self, names, destination)
    return wrapper

for stage, (module, name) in {STAGES!r}.items():
    module = importlib.import_module(module)
    setattr(module, name, held(stage, getattr(module, name)))
exchange.write_file = writing(exchange.write_file)
exchange.Exchange.receive = reading(exchange.Exchange.receive)
"""


class Stages:
    """Holds a job at any of its stages, so that something can be done to it there.

    Workers load `PRELOAD`: it wraps the function at which each stage is at work. While the file
    ``hold-STAGE`` is there, a task that has come to it notes its worker's process id in
    ``at-STAGE-PID`` and waits.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "hold.py").write_text(PRELOAD)
        self.preload = ("--preload", folder / "hold.py")
        self.env = {"DSMOTE_FAULTS": str(folder)}

    @contextmanager
    def held(self, stage: str) -> Iterator[Callable[..., int]]:
        """Hold all tasks that come to a stage until the block ends.

        Yields what waits for a worker at the stage, none of those given, and returns its process;
        `over` tells what came of the job if it has ended before.
        """
        for mark in self.folder.glob(f"at-{stage}-*"):
            mark.unlink()
        (self.folder / f"hold-{stage}").touch()

        def arrived(over: Callable[[], object], *but: int) -> int:
            def there() -> set[int]:
                ended = over()
                assert ended is None, ended
                marks = self.folder.glob(f"at-{stage}-*")
                return {int(mark.name.rpartition("-")[2]) for mark in marks} - set(but)

            wait_until(there, f"a worker has come to {stage}")
            return min(there())

        try:
            yield arrived
        finally:
            self.release(stage)

    def release(self, stage: str) -> None:
        """Let tasks that were held at a stage go on."""
        (self.folder / f"hold-{stage}").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of few bytes in a new folder; the test is skipped where there can be none."""
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    command = [mount, "-t", "tmpfs", "-o", f"size={size}", "dsmote-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
