"""Locks as runs leave them that are dead, or run elsewhere."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from dsmote.job.storage.lock import Lock
from dsmote.job.storage.owner import this_process


@cache
def dead_owner() -> dict:
    """Whose a lock was: a process that has been here and is gone."""
    script = (
        "import json\n"
        "from dsmote.job.storage.owner import this_process\n"
        "print(json.dumps(this_process()))"
    )
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    return json.loads(done.stdout)


def elsewhere() -> dict:
    """Whose a lock is: a process of another machine."""
    return {**this_process(), "host": "another-host", "machine": "another", "pid": 1}


def die(lock: Lock, owner: dict | None = None) -> None:
    """Let a lock be of a process that is dead, or of the one given."""
    lock.place.write(lock.file, owner or dead_owner())
