"""The Dask cluster a job runs on: the one that is there, one at an address, or a local one.

`connect` is a context manager, so that what it started is always stopped, and what it did not
start is left alone. `check_versions` and `check_paths` tell, before work begins, what differs
between here and there.
"""

from dsmote.cluster.client import connect
from dsmote.cluster.memory import peak_memory, process_bytes, worker_peaks
from dsmote.cluster.paths import PathsDiffer, check_paths
from dsmote.cluster.security import SchedulerUnreachable
from dsmote.cluster.versions import VersionsDiffer, check_versions

__all__ = [
    "PathsDiffer",
    "SchedulerUnreachable",
    "VersionsDiffer",
    "check_paths",
    "check_versions",
    "connect",
    "peak_memory",
    "process_bytes",
    "worker_peaks",
]
