"""What the processes of a cluster take: the peak of this one, and of every worker."""

from __future__ import annotations

import sys

from distributed import Client

from dsmote.plan.memory import OTHER_BYTES, PROCESS_BYTES

__all__ = ["peak_memory", "process_bytes", "worker_peaks"]

IMPORTS_BYTES = 50 * 2**20  # what a job imports in a worker that has done nothing yet


def peak_memory() -> int:
    """Return the largest resident memory this process ever had, in bytes.

    Examples
    --------
    >>> peak_memory() > 1_000_000
    True
    """
    # VmHWM rather than getrusage: the latter includes the parent's pages between fork and exec.
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def process_bytes(client: Client) -> int:
    """Return what a worker process takes before a job holds a row of its own.

    Workers that a program starts import what it imports; what they hold beyond the usual may
    as well be left of earlier work, and be used again, so it counts up to a bound only.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    int
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    held = max((int(w["metrics"].get("memory", 0)) for w in workers), default=0)
    return min(OTHER_BYTES, max(PROCESS_BYTES, held + IMPORTS_BYTES))


def worker_peaks(client: Client) -> dict[str, int]:
    """Return the peak resident memory of each worker process since it started, in bytes.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    dict
        Worker address to bytes. A worker that does not answer is left out.

    Examples
    --------
    >>> worker_peaks(client)  # doctest: +SKIP
    {'tcp://127.0.0.1:40331': 187236352}
    """
    peaks = client.run(peak_memory, on_error="return")
    return {
        address: peak for address, peak in sorted(peaks.items()) if not isinstance(peak, Exception)
    }
