"""What the processes of a cluster take: the peak of this one, and of every worker."""

from __future__ import annotations

import sys

from distributed import Client

__all__ = ["peak_memory", "worker_peaks"]


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
