"""Who runs: a process that can be told from every other, and whether it still lives."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psutil

__all__ = ["describe", "lives", "this_process"]


def this_process() -> dict[str, Any]:
    """Return what tells this process from every other, as plain data.

    Examples
    --------
    >>> lives(this_process())
    True
    """
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": pid,
        "started": _started(pid),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def lives(owner: dict[str, Any]) -> bool | None:
    """Tell whether a process runs; None where that cannot be seen from here.

    Parameters
    ----------
    owner : dict
        From `this_process`.
    """
    if (owner.get("host"), owner.get("machine")) != (socket.gethostname(), _machine()):
        return None
    pid = owner.get("pid")
    if not isinstance(pid, int):
        return None
    now, then = _started(pid), owner.get("started")
    if now is None or now == then:
        return now is not None
    return None  # another process of that number, or a clock that was set


def describe(owner: dict[str, Any]) -> str:
    """Return words for a message.

    Examples
    --------
    >>> describe({"host": "node-3", "pid": 7, "since": "2026-01-02T03:04:05+00:00"})
    'process 7 on node-3, since 2026-01-02T03:04:05+00:00'
    """
    return f"process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}"


def _machine() -> str:
    """Return what tells this boot, and this container, from others of the same host name.

    Two containers may have one host name, and then the same process ids mean different processes.
    """
    found = []
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
        found.append(handle.read().strip())
    with suppress(OSError):
        found.append(str(os.stat("/proc/self/ns/pid").st_ino))
    return ":".join(found)


def _started(pid: int) -> float | None:
    """Return when a process started; None when it is dead, also if nobody has noted that yet."""
    try:
        process = psutil.Process(pid)
        dead = process.status() == psutil.STATUS_ZOMBIE
        return None if dead else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
