"""A job that can be held at any of its stages, so that something can be done to it there.

Workers load `PRELOAD`: it wraps the function at which each stage is at work. While the file
``hold-STAGE`` is there, a task that has come to it notes its worker's process id in
``at-STAGE-PID`` and waits.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.starting import ROOT, running, scheduler_in, wait_until

STAGES = {
    "profile": ("dsmote.execute.partition", "profile"),
    "index": ("dsmote.execute.generate", "build_class_index"),
    "generation": ("dsmote.execute.dask_table", "make_block"),
    "writing": ("dsmote.job.parts", "write_part"),
}

PRELOAD = f"""
import functools, importlib, os, pathlib, time

HERE = pathlib.Path(os.environ["DSMOTE_FAULTS"])

def held(stage, original):
    hold, at = HERE / f"hold-{{stage}}", HERE / f"at-{{stage}}-{{os.getpid()}}"

    @functools.wraps(original)
    def wrapper(*args, **kwargs):
        while hold.exists():
            at.touch()
            time.sleep(0.005)
        return original(*args, **kwargs)

    return wrapper

for stage, (module, name) in {STAGES!r}.items():
    module = importlib.import_module(module)
    setattr(module, name, held(stage, getattr(module, name)))
"""


class Stages:
    """Holds the stages of a job that runs on workers which have the preload.

    Parameters
    ----------
    folder : Path
        Where the marks are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.preload = folder / "hold.py"
        self.preload.write_text(PRELOAD)
        self.env = {"DSMOTE_FAULTS": str(folder)}

    @contextmanager
    def held(self, stage: str) -> Iterator[None]:
        """Hold all tasks that come to a stage until the block ends."""
        hold = self.folder / f"hold-{stage}"
        for mark in self.folder.glob(f"at-{stage}-*"):
            mark.unlink()
        hold.touch()
        try:
            yield
        finally:
            hold.unlink(missing_ok=True)

    def at(self, stage: str) -> set[int]:
        """Process ids of the workers that have come to the stage since it is held."""
        return {int(mark.name.rpartition("-")[2]) for mark in self.folder.glob(f"at-{stage}-*")}

    def arrived(self, stage: str, process: subprocess.Popen[str], but: set[int]) -> int:
        """Wait for a worker at the stage that is none of some, and return its process id."""

        def there() -> bool:
            assert process.poll() is None, process.communicate()
            return bool(self.at(stage) - but)

        wait_until(there, f"a worker has come to {stage}")
        return min(self.at(stage) - but)


def kill(pid: int) -> None:
    """Kill a process of this test, as the system does when memory is short."""
    os.kill(pid, signal.SIGKILL)


@contextmanager
def workers_of(
    address: str, stages: Stages, log: Path, *args: object, n: int = 2
) -> Iterator[subprocess.Popen[bytes]]:
    """Workers, each with a nanny that starts another when it dies."""
    command = (
        *(sys.executable, "-m", "dask", "worker", address, "--host", "127.0.0.1"),
        *("--nworkers", n, "--nthreads", 1, "--memory-limit", "1GiB", "--no-dashboard"),
        *("--local-directory", log.parent, "--preload", stages.preload, *args),
    )
    with running(*command, log=log, env=stages.env) as process:
        wait_until(
            lambda: log.read_text().count("Registered to:") >= n, "the workers are registered"
        )
        yield process


def dsmote(*args: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command line in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "dsmote", *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        start_new_session=True,
    )


def message(process: subprocess.Popen[str], code: int = 1) -> str:
    """Return the one message of a command that fails, without its lines of progress."""
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (code, ""), err
    assert "Traceback" not in err, err
    said = [line for line in err.splitlines() if line.startswith(("Error: ", "Interrupted"))]
    others = [
        line
        for line in err.splitlines()
        if line not in said and not line.endswith(" ...") and " partitions, " not in line
    ]
    assert others == [], err
    assert len(said) == 1, err
    return said[0]


__all__ = [
    "STAGES",
    "Stages",
    "dsmote",
    "kill",
    "message",
    "scheduler_in",
    "wait_until",
    "workers_of",
]
