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
import ssl
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from numbers import Integral
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dask
from dask.utils import parse_bytes, parse_timedelta
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from dsmote.plan.labels import listed
from dsmote.plan.memory import (
    OTHER_BYTES,
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
    "peak_memory",
    "process_bytes",
    "worker_peaks",
]

#: Seconds to wait for a scheduler, unless Dask's own limit is shorter.
CONNECT_SECONDS = 10.0
#: Seconds for one handshake; a scheduler that is busy is left to Dask's own connection.
HANDSHAKE_SECONDS = 5.0
#: Seconds given to a local cluster to stop in good order before it is left to its finalizers.
CLOSE_SECONDS = 10.0

#: Dask's HTTP servers ask nobody for a certificate, and would show tasks, logs and stacks. The
#: profile is for them; taking it can stop a worker for ever on Python 3.11 (python/cpython#106883).
_NO_PAGES: dict[str, object] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
}
#: What a job imports in a worker that has done nothing yet.
IMPORTS_BYTES = 50 * 2**20
#: The same everywhere, to the last number. Parquet files say which pyarrow wrote them, so that a
#: part that is written again by another worker would have other bytes.
_EXACT = ("dask", "distributed", "pyarrow")
#: The first two numbers are the same everywhere: frames, arrays and code travel as pickles.
_TWO_NUMBERS = ("python", "pandas", "numpy")

_GIVE = (
    "give the cluster's certificates as security= (on the command line --tls-ca-file, --tls-cert "
    "and --tls-key; in Dask's configuration distributed.comm.tls)"
)
_SHARE = (
    "every worker needs the input and the output's folder under the names used here: a folder that "
    "all of them share, or an object store by its URL with its fsspec package and the credentials "
    "on every worker"
)


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
    it, and no worker outlives a failed program.

    In this order: the scheduler at the address, or in the scheduler file, given; a new local
    cluster, when its size is given; the client that is active already; the scheduler that Dask's
    configuration names (``scheduler-address``, as in the variable ``DASK_SCHEDULER_ADDRESS``, or
    ``scheduler-file``); a new local cluster. A local cluster listens on 127.0.0.1 only, has no
    dashboard and ends with the block. Its processes talk TLS with a certificate made for it, so
    that no other process of the machine runs code on it; who opens another client to it gives
    ``security=client.security``. A client that was active before is not closed.

    Before the block begins, the versions of this package, Dask and what else must agree are
    compared between here, the scheduler and every worker.

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
        Certificates for TLS, or the arguments of ``distributed.Security``: ``tls_ca_file``,
        ``tls_client_cert``, ``tls_client_key``, ``require_encryption``. Taken from Dask's
        configuration (``distributed.comm.tls``) when not given. A client that is active already
        has its own. A local cluster makes its own, too, unless certificates are given, or
        encryption is required or ruled out (``require_encryption``) here or in the configuration.
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
    ValueError
        When both an address and the size of a local cluster are given, or the address is empty, or
        the size, the security or the scheduler file cannot be understood.
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
    if address is not None and scheduler_file is not None:
        raise ValueError("give either the address of a scheduler or a scheduler file, not both")
    place = _address(address, scheduler_file)
    if place is not None and local_asked:
        raise ValueError(
            "give either the address of a scheduler or the size of a local cluster, not both"
        )
    if place is None and not local_asked:
        active = _active_client()
        if active is not None:
            check_versions(active)
            yield active
            return
        # A variable that is set to nothing names nothing.
        place = _address(
            dask.config.get("scheduler-address", None) or None,
            dask.config.get("scheduler-file", None) or None,
        )
    if place is None:
        with _local_cluster(*sizes, _local_security(security)) as client:
            yield client
        return
    client = _client_at(*place, _security(security))
    try:
        check_versions(client)
        yield client
    finally:
        client.close()


def _active_client() -> Client | None:
    from distributed import default_client

    try:
        client = default_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


def _address(address: Any, scheduler_file: Any) -> tuple[str, str] | None:
    """Return the address, read from a scheduler file if that is what was given, and which one."""
    if address is None and scheduler_file is None:
        return None
    given = os.fspath(scheduler_file) if address is None else address
    given = os.fsdecode(given) if isinstance(given, os.PathLike) else given
    if not isinstance(given, str) or not given.strip():
        what = "empty" if isinstance(given, str) else repr(given)
        raise ValueError(
            f"the address of the scheduler is {what}: give one such as tcp://HOST:8786, or none"
        )
    if address is not None and ("://" in given or not given.endswith(".json")):
        return given, ""
    try:
        with open(os.path.expanduser(given), encoding="utf-8") as handle:
            found = json.load(handle)["address"]
        if not isinstance(found, str) or not found.strip():
            raise ValueError(f"its address is {found!r}")
        return found, given
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no scheduler file {given}: start the scheduler with --scheduler-file "
            f"{given}, or check that this machine sees the folder"
        ) from error
    except OSError as error:
        raise type(error)(f"cannot read the scheduler file {given}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise SchedulerUnreachable(
            f"{given} is no scheduler file, or its scheduler is still writing it: {error}"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{given} is no scheduler file, which is JSON with an `address`: give the file that "
            "`dask scheduler --scheduler-file` wrote"
        ) from error


def _client_at(address: str, file: str, security: Security) -> Client:
    from distributed import Client, default_client

    configured = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect", "30s"))
    seconds = min(CONNECT_SECONDS, configured)
    _check_handshake(address, security, min(seconds, HANDSHAKE_SECONDS))
    try:
        return Client(address, timeout=seconds, set_as_default=True, security=security)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        with suppress(ValueError):  # Dask would take it for the current one
            failed = default_client()
            if failed.status == "connecting":
                failed.close()
        if _speaks_tls(address, min(seconds, HANDSHAKE_SECONDS)):
            raise SchedulerUnreachable(
                f"the scheduler at {address} talks TLS only: use tls://"
                f"{address.partition('://')[2] or address} and give the cluster's certificates"
            ) from error
        # What Dask says of an address that it cannot use; of others it only repeats it.
        cause = str(error) if isinstance(error, ValueError) else type(error).__name__
        stale = f"; a scheduler that was killed leaves its file, as {file} may be" if file else ""
        raise SchedulerUnreachable(
            f"no Dask scheduler answers at {address} (waited at most {seconds:g} s): check the "
            "address, that the scheduler runs and that nothing between here and there blocks "
            f"the port ({cause}){stale}"
        ) from error


def _security(given: Security | Mapping[str, Any] | None) -> Security:
    """Return what was given, or configured, as Dask's object, with its files checked."""
    from distributed import Security

    if given is None or isinstance(given, Mapping):
        try:
            given = Security(**(given or {}))
        except TypeError as error:
            known = ", ".join(name for name in Security.__slots__ if "tls" in name)
            raise ValueError(
                f"security= cannot be understood ({error}): it takes require_encryption, {known}"
            ) from error
    elif not isinstance(given, Security):
        raise ValueError(
            f"security= is a {type(given).__name__}: give a distributed.Security or a mapping of "
            "its arguments"
        )
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        file = getattr(given, name)
        if file and "\n" not in file:  # else it is the certificate itself
            try:
                with open(file, "rb"):
                    pass
            except OSError as error:
                text = f"cannot read {file}, given as {name}: {error.strerror}"
                raise type(error)(text) from error
    return given


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
    for role in ("scheduler", "worker", "client") if security.require_encryption else ():
        files = security.get_tls_config_for_role(role)
        if not (files["ca_file"] and files["cert"]):
            # Dask says no more than that the scheduler failed to start.
            raise ValueError(
                f"encryption is required and there is no certificate for the {role}: a local "
                "cluster needs tls_ca_file, and tls_..._cert and tls_..._key of scheduler, worker "
                "and client, in security= or in Dask's configuration (distributed.comm.tls)"
            )
    return security


def _check_handshake(address: str, security: Security, seconds: float) -> None:
    """Refuse a ``tls://`` address at which the certificates are not accepted, or not there.

    Dask's own connection tries until its time is up, or longer, and then says that nothing
    answers. Where nobody answers here, nothing is raised: that is for Dask to say.
    """
    files = security.get_tls_config_for_role("client")
    why = ""
    try:
        context = security.get_connection_args("client")["ssl_context"]
        if address.startswith("tls://"):
            if context is None:
                why = f"wants to see a certificate and there is none: {_GIVE}"
            else:
                _shake_hands(address, context, seconds)
        elif security.require_encryption:
            why = "is not encrypted, and encryption is required: use a tls:// address"
    except ssl.SSLCertVerificationError as error:
        why = (
            f"shows a certificate that {files['ca_file']} has not signed ({error.verify_message}): "
            "take the CA file of that cluster, or check the address"
        )
        if "expired" in error.verify_message:
            why = (
                "shows a certificate that has expired, or its CA's has: make new ones, and restart "
                "the scheduler and the workers with them"
            )
    except ssl.SSLError as error:
        why = (
            f"does not accept the certificate {files['cert']} ({error.reason or error}): it must "
            "be a PEM file beside its key, signed by the CA that the scheduler was started with, "
            f"and must not have expired; {_GIVE}"
        )
    except (OSError, ValueError):
        return
    if why:
        raise SchedulerUnreachable(f"the scheduler at {address} {why}")


def _shake_hands(address: str, context: ssl.SSLContext, seconds: float) -> None:
    place = urlsplit(address)
    if place.hostname is None or place.port is None:
        raise ValueError(f"{address} names no host and port")
    with (
        socket.create_connection((place.hostname, place.port), timeout=seconds) as plain,
        context.wrap_socket(plain, server_hostname=place.hostname) as encrypted,
    ):
        # With TLS 1.3 the other side's refusal comes after the handshake, in place of the greeting
        # that Dask sends to whom it lets in.
        encrypted.recv(1)


def _speaks_tls(address: str, seconds: float) -> bool:
    """Tell whether a TLS server listens at a ``tcp://`` address."""
    scheme, separator, rest = address.partition("://")
    if separator and scheme != "tcp":
        return False
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # to learn what it is, not to trust it
    try:
        _shake_hands(f"tls://{rest or address}", context, seconds)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False
    return True


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
        whole = isinstance(given, Integral) and not isinstance(given, bool) and given >= 1
        if given is not None and not whole:  # on no worker a job would wait for ever
            raise ValueError(f"{name}={given!r}: it must be a whole number, 1 or more")
    _check_limit(memory_limit)
    with _interrupts_held(), dask.config.set(_NO_PAGES):
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
    try:
        with _interrupts_held():
            client = Client(cluster, set_as_default=True)
        try:
            yield client
        finally:
            with _interrupts_held(), suppress(OSError, TimeoutError):
                client.close(timeout=CLOSE_SECONDS)
    finally:
        with _interrupts_held(), suppress(OSError, TimeoutError):
            cluster.close(timeout=CLOSE_SECONDS)


def _check_limit(memory_limit: str | int | float | None) -> None:
    """Refuse a limit that the process itself would exceed: it would be restarted for ever."""
    if memory_limit is None or memory_limit == "auto":
        return
    try:
        # To Python True is 1, and to Dask nothing is no limit.
        number = None if isinstance(memory_limit, bool) or memory_limit == "" else memory_limit
        limit = float(parse_bytes(number)) if isinstance(number, str) else float(number)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise ValueError(f"memory_limit={memory_limit!r}: give a size such as '4GiB'") from error
    if not limit >= 0:
        raise ValueError(f"memory_limit={memory_limit!r}: it must not be negative")
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


def peak_memory() -> int:
    """Return the largest resident memory this process ever had, in bytes."""
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
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    held = max((int(w["metrics"].get("memory", 0)) for w in workers), default=0)
    return min(OTHER_BYTES, max(PROCESS_BYTES, held + IMPORTS_BYTES))


def worker_peaks(client: Client) -> dict[str, int]:
    """Return the peak resident memory of each worker process since it started, in bytes."""
    peaks = client.run(peak_memory, on_error="return")
    # A worker that does not answer is left out.
    return {who: peak for who, peak in sorted(peaks.items()) if not isinstance(peak, Exception)}


def check_versions(client: Client) -> None:
    """Refuse a cluster on which what is installed differs from what is installed here.

    This package, dask, distributed and pyarrow must have the same version everywhere; Python,
    pandas and numpy may differ from the third number on. Dask itself warns about other packages
    that it needs. A worker that joins later is not looked at. What is sent to the other side is in
    the standard library or in Dask itself: a worker that is sent a task it cannot import ends.
    """
    told: Any = client.get_versions(packages=["pyarrow"])
    # Dask's answer comes from the metadata of what pip or conda installed. This package may also
    # lie in a folder on the path, where there are none, so it is asked itself.
    mine = f"{__name__.partition('.')[0]}:__version__"
    own = client.run(resolve_name, mine, on_error="return")
    try:
        schedulers = client.run_on_scheduler(resolve_name, mine)
    except (ImportError, AttributeError) as error:
        schedulers = error
    scheduler: Any = client.scheduler
    here = _versions(told["client"], resolve_name(mine))
    there = {
        f"the scheduler {scheduler.address}": _versions(told["scheduler"], schedulers),
        **{
            f"worker {address}": _versions(one, own[address])
            for address, one in sorted(told["workers"].items())
            # A worker that was lost in between is not there to be compared.
            if isinstance(one, dict) and not isinstance(own.get(address, OSError()), OSError)
        },
    }
    said, wanted = [], []
    for name, version in here.items():
        others = [f"{has[name]} on {who}" for who, has in there.items() if has[name] != version]
        if others:
            said.append(f"{name} is {version} here, {listed(others, 3)}")
            wanted.append(f"{name}=={version}")
    if said:
        raise VersionsDiffer(
            f"the versions differ: {'; '.join(said)}; install there what is here "
            f"({', '.join(wanted)}), or work from an environment like the cluster's"
        )


def _versions(told: dict[str, Any], own: Any) -> dict[str, str]:
    """Return version by package, as far as it must agree."""
    packages = {**told["packages"], "dsmote": own if isinstance(own, str) else None}
    found = {name: str(packages.get(name) or "not installed") for name in ("dsmote", *_EXACT)}
    for name in _TWO_NUMBERS:
        version = str(packages.get(name) or "not installed")
        found[name] = ".".join(version.split(".")[:2])
    return found


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
    for file in dict.fromkeys(some):
        fs, path = url_to_fs(file)
        _complain(client.run(_unreadable, file, fs.info(path).get("size"), on_error="return"))
    if folder is None:
        return
    fs, path = url_to_fs(folder)
    # In a name of its own for each worker: two at once must not delete each other's.
    seen = f"{path.rstrip('/')}/_seen-{uuid.uuid4().hex}"
    fs.pipe_file(seen, b"dsmote")
    try:
        _complain(client.run(_unwritable, folder, os.path.basename(seen), on_error="return"))
    finally:
        with suppress(FileNotFoundError):
            fs.rm_file(seen)


def _complain(answers: dict[str, Any]) -> None:
    # A worker that was lost in between cannot have seen anything: not for this check to judge.
    bad = {
        worker: answer
        for worker, answer in sorted(answers.items())
        if answer is not None and not isinstance(answer, OSError)
    }
    if bad:
        worker, answer = next(iter(bad.items()))
        text = answer if isinstance(answer, str) else f"fails: {type(answer).__name__}: {answer}"
        others = f" (and {len(bad) - 1} more of {len(answers)} workers)" if len(bad) > 1 else ""
        raise PathsDiffer(f"worker {worker}{others} {text}; {_SHARE}")


def _unreadable(file: str, size: int | None) -> str | None:
    """Run on a worker: say why it cannot read a file, or nothing."""

    def read() -> str | None:
        fs, path = url_to_fs(file)
        found = fs.info(path).get("size")
        if size is not None and found is not None and int(found) != size:
            return f"sees another {file} than is seen here ({found:,} bytes, here {size:,})"
        with fs.open(path, "rb") as handle:
            handle.read(1)
        return None

    return _tried(read, f"cannot read {file}")


def _unwritable(folder: str, seen: str) -> str | None:
    """Run on a worker: say why it cannot write to a folder, or nothing."""

    def write() -> str | None:
        fs, path = url_to_fs(folder)
        if not isinstance(fs, LocalFileSystem):
            fs.invalidate_cache()
        if not fs.exists(f"{path.rstrip('/')}/{seen}"):
            return f"does not see what is written here to {folder}, so that it is not shared"
        own = f"{path.rstrip('/')}/_from-{uuid.uuid4().hex}"
        fs.pipe_file(own, b"dsmote")
        fs.rm_file(own)
        return None

    return _tried(write, f"cannot write to {folder}")


def _tried(attempt: Callable[[], str | None], what: str) -> str | None:
    host = f"(host {socket.gethostname()})"
    try:
        found = attempt()
    except ImportError as error:
        return f"{host} {what}: it lacks a package ({error})"
    except FileNotFoundError:
        return f"{host} {what}: it is not there"
    except PermissionError:
        return f"{host} {what}: no permission"
    except Exception as error:  # of whichever store this is: each has its own
        return f"{host} {what}: {type(error).__name__}: {' '.join(str(error).split())}"
    return found and f"{host} {found}"
