"""What runs leave that are dead."""

import os
import time
from pathlib import Path

from dsmote.job.storage import STALE_SECONDS, Output, Stage


def die(output):
    """Let a run have died: its lock was not renewed for long."""
    if output.local:
        long_ago = time.time() - STALE_SECONDS - 5
        os.utime(output.lock, (long_ago, long_ago))
    else:  # times cannot be set there
        output.remove(output.lock)


def dead_run(out):
    """Leave the lock and the staging folder of a run that was killed."""
    output = Output(str(out))
    output.acquire()
    stage = Stage(output, output.token)
    stage.open()
    (Path(stage.folder) / "part-00000.parquet").write_text("new")
    die(output)
    return stage
