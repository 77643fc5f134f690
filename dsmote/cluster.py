"""The Dask cluster a job runs on: the one that is there, one at an address, or a local one.

`connect` is a context manager, so that what it started is always stopped, and what it did not
start is left alone. `check_versions` and `check_paths` report what differs between here and the
workers before work begins. Dask's `distributed` is imported when there is a cluster, not before.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from numbers import Integral
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import dask
from dask.utils import parse_bytes, parse_timedelta
from fsspec.core import url_to_fs

from dsmote.plan.labels import listed
from dsmote.plan.memory import (
    PROCESS_BYTES,
    USABLE_SHARE,
    MemoryLimitError,
    format_bytes,
)

if TYPE_CHECKING:
    from distributed import Client, Security

__all__ = [
    "PathsDiffer",
    "SchedulerUnreachable",
    "VersionsDiffer",
    "check_paths",
    "check_versions",
    "connect",
]

#: Seconds to wait for a scheduler, unless Dask's own limit is shorter.
CONNECT_SECONDS = 10.0
#: Seconds given to a local cluster to stop in good order before it is left to its finalizers.
CLOSE_SECONDS = 10.0

#: Dask's HTTP servers ask nobody for a certificate, and would show tasks, logs and stacks. The
#: profile is for them; taking it can stop a worker for ever on Python 3.11 (python/cpython#106883).
#: Dask sets MALLOC_TRIM_THRESHOLD_, and glibc then gives back each array of 128 KiB and more as it
#: is freed: in searches, a fifth of the processor time went into getting the next one.
_LOCAL: dict[str, object] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
}
#: How many numbers of a version must agree. Frames, arrays and code travel as pickles; and Parquet
#: files say which pyarrow wrote them: a part that another worker writes again must have its bytes.
_NUMBERS = {
    **dict.fromkeys(("dsmote", "dask", "distributed", "pyarrow"), None),
    **dict.fromkeys(("python", "pandas", "numpy"), 2),
}


class SchedulerUnreachable(ConnectionError):
    """No scheduler answers at the address that was given, or it does not let this client in."""


class VersionsDiffer(RuntimeError):
    """The client, the scheduler and the workers do not have the same versions installed."""


class PathsDiffer(OSError):
    """A worker does not see a file or a folder that the job needs."""


@contextmanager
def connect(
    address: str | os.PathLike[str] | None = None,
    *,
    n_workers: int | None = None,
    threads_per_worker: int | None = None,
    memory_limit: str | int | float | None = None,
    security: Security | Mapping[str, Any] | None = None,
    scheduler_file: str | os.PathLike[str] | None = None,
) -> Iterator[Client]:
    """Yield a Dask client, starting a local cluster when there is none to use.

    This is for a ``with`` statement: what was started or opened ends with the block, whatever ends
    it; a client that was active before is not closed. The first of these is taken: the scheduler
    at the address, or in the scheduler file, given; a new local cluster, when its size is given;
    the client that is active; the scheduler that Dask's configuration names
    (``scheduler-address``, as in ``DASK_SCHEDULER_ADDRESS``, or ``scheduler-file``); a new local
    cluster.

    A local cluster listens on 127.0.0.1 only, has no dashboard, and talks TLS with a certificate
    made for it, so that no other process of the machine runs code on it; who opens another client
    to it gives ``security=client.security``. On any other, the versions of this package, Dask and
    what else must agree are compared before the block begins.

    Parameters
    ----------
    address : str or path, optional
        Address of a running scheduler, such as ``"tcp://127.0.0.1:8786"``, or a scheduler file (a
        name that ends in ``.json``).
    n_workers, threads_per_worker : int, optional
        Size of the local cluster; Dask chooses from the machine's cores.
    memory_limit : str, int or float, optional
        Memory of each local worker, such as ``"4GiB"``; Dask shares the machine's out.
    security : distributed.Security or mapping, optional
        Certificates for TLS, or the arguments of ``distributed.Security``, such as
        ``tls_ca_file``, ``tls_client_cert`` and ``tls_client_key``; by default those of Dask's
        configuration (``distributed.comm.tls``). A local cluster uses the scheduler's and the
        workers' that are given, and is open with ``require_encryption`` False, here or there.
    scheduler_file : str or path, optional
        The file that ``dask scheduler --scheduler-file`` writes, in place of an address.

    Yields
    ------
    distributed.Client

    Raises
    ------
    SchedulerUnreachable
        When nothing answers at the address within ten seconds, or one side does not accept the
        other's certificate.
    VersionsDiffer
        When the scheduler or a worker has other versions, or lacks the package.
    FileNotFoundError
        When there is no such scheduler file, or no such certificate.
    ValueError, TypeError
        When more than one place is given, the address is empty, or the size or the security cannot
        be understood.
    MemoryLimitError
        When the memory limit is below what a worker takes before it holds a row.

    Examples
    --------
    >>> import dsmote
    >>> with dsmote.connect(n_workers=1, threads_per_worker=1) as client:  # doctest: +SKIP
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    sizes = (n_workers, threads_per_worker, memory_limit)
    local_asked = any(size is not None for size in sizes)
    if (address is not None) + (scheduler_file is not None) + local_asked > 1:
        raise ValueError(
            "give the address of a scheduler, a scheduler file or the size of a local cluster, "
            "not two of them"
        )
    place = _place(address, scheduler_file)
    if place is None and not local_asked:
        active = _active_client()
        if active is not None:
            check_versions(active)
            yield active
            return
        # A variable that is set to nothing names nothing.
        place = _place(
            dask.config.get("scheduler-address", None) or None,
            dask.config.get("scheduler-file", None) or None,
        )
    if place is None:
        with _local_cluster(*sizes, _local_security(security)) as client:
            yield client
        return
    with closing(_client_at(*place, _security(security))) as client:
        check_versions(client)
        yield client


def _active_client() -> Client | None:
    from distributed import default_client

    try:
        client = default_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


def _place(address: Any, scheduler_file: Any) -> tuple[str, str] | None:
    """Return the address of a scheduler, and the file that it was read from, if it was."""
    if address is None and scheduler_file is None:
        return None
    place: Any = os.fsdecode(scheduler_file if address is None else address)
    file = ""
    if address is None or (place.endswith(".json") and "://" not in place):
        file = place
        try:
            with open(os.path.expanduser(file), encoding="utf-8") as handle:
                content = json.load(handle)
        except OSError as error:
            raise type(error)(
                f"cannot read the scheduler file {file}: {error.strerror}; start the scheduler "
                "with --scheduler-file, or check that this machine sees the folder"
            ) from error
        except ValueError as error:
            raise SchedulerUnreachable(
                f"{file} is no scheduler file, or its scheduler is still writing it: {error}"
            ) from error
        place = content.get("address") if isinstance(content, dict) else None
    if not isinstance(place, str) or not place.strip():
        if file:
            raise ValueError(
                f"the address in the scheduler file {file} is empty: give the file that `dask "
                "scheduler --scheduler-file` wrote"
            )
        raise ValueError("the address of the scheduler is empty: give one such as tcp://HOST:8786")
    return place, file


def _client_at(address: str, file: str, security: Security) -> Client:
    from distributed import Client, default_client

    configured = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect", "30s"))
    seconds = min(CONNECT_SECONDS, configured)
    try:
        return Client(address, timeout=seconds, set_as_default=True, security=security)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        with suppress(ValueError):  # Dask would take it for the current one
            failed = default_client()
            if failed.status == "connecting":
                failed.close()
        cause: BaseException = error
        while cause.__cause__ is not None:  # Dask wraps what the socket or TLS says
            cause = cause.__cause__
        stale = f"; a scheduler that was killed leaves its file, as {file} may be" if file else ""
        raise SchedulerUnreachable(
            f"no Dask scheduler answers at {address}, or it does not let this client in "
            f"({cause or type(cause).__name__}): check the address (tls:// where there are "
            "certificates), that the scheduler runs, that nothing between here and there blocks "
            "the port, and that the certificates are those of the cluster and have not expired "
            "(security=, or --tls-ca-file, --tls-cert and --tls-key on the command line, or "
            f"distributed.comm.tls in Dask's configuration){stale}"
        ) from error


def _security(given: Security | Mapping[str, Any] | None) -> Security:
    """Return what was given, or configured, as Dask's object, with its files checked."""
    from distributed import Security

    security = given if isinstance(given, Security) else Security(**(given or {}))
    files = security.get_tls_config_for_role("client")
    names = {"tls_ca_file": "ca_file", "tls_client_cert": "cert", "tls_client_key": "key"}
    for name, file in ((name, files[key]) for name, key in names.items()):
        if file and "\n" not in file:  # else it is the certificate itself
            try:
                open(file, "rb").close()  # OpenSSL does not say which file is missing
            except OSError as error:
                text = f"cannot read {file}, given as {name}: {error.strerror}"
                raise type(error)(text) from error
    return security


def _local_security(given: Security | Mapping[str, Any] | None) -> Security:
    """Return what was given or configured, else a new certificate for one local cluster.

    Whoever reaches a cluster's ports can run code on it, and every user of the machine reaches
    127.0.0.1. The key is in the memory of the cluster's processes, and in a folder of this user
    only while OpenSSL reads it.
    """
    from distributed import Security

    if not given and dask.config.get("distributed.comm.require-encryption", None) is None:
        return Security.temporary()
    security = _security(given)
    if not security.require_encryption:
        return security
    files = {r: security.get_tls_config_for_role(r) for r in ("scheduler", "worker", "client")}
    lacking = [r for r, of in files.items() if not (of["ca_file"] and of["cert"])]
    if len(lacking) == len(files):
        return Security.temporary()
    if lacking:  # Dask says no more than that the scheduler failed to start
        raise ValueError(
            f"encryption is required and there is no certificate for the {lacking[0]}: a local "
            "cluster needs tls_ca_file, and tls_..._cert and tls_..._key of scheduler, worker "
            "and client, in security= or in Dask's configuration (distributed.comm.tls), or none"
        )
    return security


@contextmanager
def _local_cluster(
    n_workers: int | None,
    threads_per_worker: int | None,
    memory_limit: str | int | float | None,
    security: Security,
) -> Iterator[Client]:
    """Yield the client of a cluster of processes that listens on 127.0.0.1 only.

    They talk TLS, and let nobody else in, when `security` requires encryption.
    """
    from distributed import Client, LocalCluster

    for name, given in (("n_workers", n_workers), ("threads_per_worker", threads_per_worker)):
        # On no worker a job would wait for ever.
        whole = isinstance(given, Integral) and not isinstance(given, bool) and given >= 1
        if given is not None and not whole:
            raise ValueError(f"{name}={given!r}: it must be a whole number, 1 or more")
    if memory_limit is not None:
        _check_limit(memory_limit)

    def close(opened: Client | LocalCluster) -> None:
        with _interrupts_held(), suppress(OSError):
            opened.close(timeout=CLOSE_SECONDS)

    with ExitStack() as stack:
        with _interrupts_held(), dask.config.set(_LOCAL):
            cluster = LocalCluster(
                n_workers=n_workers,
                threads_per_worker=threads_per_worker,
                memory_limit="auto" if memory_limit is None else memory_limit,
                host="127.0.0.1",
                processes=True,
                security=security,
                protocol="tls://" if security.require_encryption else "tcp://",
                dashboard_address=None,
                # Without a dashboard there still is an HTTP server: on any free port, here only.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.ERROR,
            )
            stack.callback(close, cluster)
            client = Client(cluster, set_as_default=True)
            stack.callback(close, client)
        yield client


def _check_limit(memory_limit: str | int | float) -> None:
    """Refuse a limit that the process itself would exceed: it would be restarted for ever."""
    if memory_limit == "auto":
        return
    try:
        limit = parse_bytes(memory_limit)
    except (ValueError, TypeError, AttributeError, OverflowError):
        limit = -1
    # Dask would take True for 1, and an empty text for no limit.
    if limit < 0 or isinstance(memory_limit, bool) or memory_limit == "":
        raise ValueError(f"memory_limit={memory_limit!r}: give a size such as '4GiB'")
    # To Dask 0 is no limit, and what is at most 1 a share of the machine's memory.
    if limit > 1 and limit * USABLE_SHARE < PROCESS_BYTES:
        raise MemoryLimitError(
            f"a memory limit of {format_bytes(limit)} is too small: a worker pauses at "
            f"{USABLE_SHARE:.0%} of it and takes about {format_bytes(PROCESS_BYTES)} before it "
            f"holds a row; allow at least {format_bytes(1.5 * PROCESS_BYTES)}"
        )


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C, and SIGTERM where the program handles it, back until the block is done.

    Half a cluster cannot be stopped in good order. And processes inherit the mask: the workers are
    in the terminal's process group and would answer the same Ctrl-C with tracebacks of their own,
    while it is for this process to stop them. SIGTERM is what stops them, so it is not masked: it
    is noted here, and raised again after the block.
    """
    possible = hasattr(signal, "pthread_sigmask")
    if not possible or threading.current_thread() is not threading.main_thread():
        yield
        return
    # Its first start would lift the mask in the thread that needs it, so it is started before.
    resource_tracker.ensure_running()
    received: list[int] = []
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if callable(handler):
            signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if received:
            signal.raise_signal(signal.SIGTERM)


def check_versions(client: Client) -> None:
    """Refuse a cluster on which what is installed differs from what is installed here.

    This package, dask, distributed and pyarrow must have the same version everywhere; Python,
    pandas and numpy may differ from the third number on. A worker that joins later is not looked
    at.
    """
    told: Any = client.get_versions(packages=["pyarrow"])
    # Dask knows what pip or conda installed. This package may also lie in a folder on the path, so
    # it is asked itself, by a function of the standard library: a worker that is sent a task it
    # cannot import ends.
    mine = f"{__package__}:__version__"
    own: dict[str, Any] = client.run(resolve_name, mine, on_error="return")
    with suppress(ImportError, AttributeError):
        told["scheduler"]["packages"]["dsmote"] = client.run_on_scheduler(resolve_name, mine)
    told["client"]["packages"]["dsmote"] = resolve_name(mine)
    scheduler: Any = client.scheduler
    places = {"": told["client"], f"the scheduler {scheduler.address}": told["scheduler"]}
    for address, version in sorted(own.items()):
        # A worker that was lost in between is not there to be compared.
        if address in told["workers"] and not isinstance(version, OSError):
            worker = places[f"worker {address}"] = told["workers"][address]
            worker["packages"]["dsmote"] = version if isinstance(version, str) else None
    differing = {}
    for name, numbers in _NUMBERS.items():
        found = {
            who: ".".join((has["packages"].get(name) or "not installed").split(".")[:numbers])
            for who, has in places.items()
        }
        here = found.pop("")
        others = [f"{version} on {who}" for who, version in found.items() if version != here]
        if others:
            differing[f"{name}=={here}"] = f"{name} is {here} here, {listed(others, 3)}"
    if differing:
        raise VersionsDiffer(
            f"the versions differ: {'; '.join(differing.values())}; install there what is here "
            f"({', '.join(differing)}), or work from an environment like the cluster's"
        )


def check_paths(client: Client, reads: Sequence[str] = (), folder: str | None = None) -> None:
    """Refuse a cluster whose workers do not see what is seen here.

    Each worker opens the first, the middle and the last file and compares its size with the one
    found here. In the folder, it looks for a file that is made for it here, and makes one itself;
    both are deleted. Versions are compared before, with :func:`check_versions`. Where there is no
    worker yet, the first one is waited for; those that join later are not looked at.
    """
    if not client.nthreads():
        # A cluster that grows on demand only starts workers when there is something to do.
        client.submit(platform.python_version, pure=False).result()
    check_versions(client)
    # With thousands of files and workers, not each by each.
    some = [reads[place] for place in (0, len(reads) // 2, -1)] if reads else []
    sizes = {file: _size(file) for file in some}
    with nullcontext("") if folder is None else _marked(folder) as mark:
        answers = client.run(_unseen, sizes, folder, mark, on_error="return")
    # A worker that was lost in between cannot have seen anything: not for this check to judge.
    bad = {
        who: said for who, said in sorted(answers.items()) if said and not isinstance(said, OSError)
    }
    if bad:
        worker, said = next(iter(bad.items()))
        others = f" (and {len(bad) - 1} more of {len(answers)} workers)" if len(bad) > 1 else ""
        raise PathsDiffer(
            f"worker {worker}{others} {said}; every worker needs the input and the output's folder "
            "under the names used here: a folder that all of them share, or an object store by its "
            "URL with its fsspec package and the credentials on every worker"
        )


@contextmanager
def _marked(folder: str) -> Iterator[str]:
    """Put a file into a folder for the block, and yield its name."""
    fs, path = url_to_fs(folder)
    name = f"_seen-{uuid.uuid4().hex}"
    file = f"{path.rstrip('/')}/{name}"
    fs.pipe_file(file, b"dsmote")
    try:
        yield name
    finally:
        with suppress(FileNotFoundError):
            fs.rm_file(file)


def _size(file: str) -> int | None:
    fs, path = url_to_fs(file)
    size = fs.info(path).get("size")
    return None if size is None else int(size)


def _unseen(sizes: dict[str, int | None], folder: str | None, mark: str) -> str | None:
    """Run on a worker: say what it does not see, or cannot read or write, or nothing."""
    what, host = "", f"(host {socket.gethostname()})"
    try:
        for file, size in sizes.items():
            what = f"cannot read {file}"
            found = _size(file)
            if found != size:
                return f"{host} sees another {file} than is seen here ({found} bytes, here {size})"
            fs, path = url_to_fs(file)
            with fs.open(path, "rb") as handle:
                handle.read(1)
        if folder is not None:
            what = f"cannot write to {folder}"
            fs, path = url_to_fs(folder)
            fs.invalidate_cache()
            if not fs.exists(f"{path.rstrip('/')}/{mark}"):
                return f"{host} does not see what is written here to {folder}: it is not shared"
            # In a name of its own for each worker: two at once must not delete each other's.
            own = f"{path.rstrip('/')}/_from-{uuid.uuid4().hex}"
            fs.pipe_file(own, b"dsmote")
            fs.rm_file(own)
    except Exception as error:  # of whichever store this is: each has its own
        return f"{host} {what}: {type(error).__name__}: {' '.join(str(error).split())}"
    return None
