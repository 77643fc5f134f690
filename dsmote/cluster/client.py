"""Which cluster a job runs on, and the connection to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Client, Security, default_client

from dsmote.cluster.local import local_cluster
from dsmote.cluster.security import (
    SchedulerUnreachable,
    check_handshake,
    local_security,
    speaks_tls,
    the_security,
)
from dsmote.cluster.versions import check_versions

__all__ = ["connect"]

#: Seconds to wait for a scheduler, unless Dask's own limit is shorter.
CONNECT_SECONDS = 10.0


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
    compared between here, the scheduler and every worker (see
    :func:`dsmote.cluster.check_versions`).

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
        own = local_security(security)
        with local_cluster(n_workers, threads_per_worker, memory_limit, own) as client:
            yield client
        return
    client = _client_at(*place, the_security(security))
    try:
        check_versions(client)
        yield client
    finally:
        client.close()


def _active_client() -> Client | None:
    try:
        client = default_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


def _address(address: Any, scheduler_file: Any) -> tuple[str, str] | None:
    """Return the address, read from a scheduler file if that is what was given, and which one."""
    if address is None:
        return None if scheduler_file is None else _address_in(os.fspath(scheduler_file))
    address = os.fsdecode(address) if isinstance(address, os.PathLike) else address
    if not isinstance(address, str) or not address.strip():
        what = "empty" if isinstance(address, str) else repr(address)
        raise ValueError(
            f"the address of the scheduler is {what}: give one such as tcp://HOST:8786, or none"
        )
    if "://" not in address and address.endswith(".json"):
        return _address_in(address)
    return address, ""


def _address_in(file: str) -> tuple[str, str]:
    try:
        with open(os.path.expanduser(file), encoding="utf-8") as handle:
            found = json.load(handle)["address"]
        if not isinstance(found, str) or not found.strip():
            raise ValueError(f"its address is {found!r}")
        return found, file
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no scheduler file {file}: start the scheduler with --scheduler-file {file}, "
            "or check that this machine sees the folder"
        ) from error
    except OSError as error:
        raise type(error)(f"cannot read the scheduler file {file}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise SchedulerUnreachable(
            f"{file} is no scheduler file, or its scheduler is still writing it: {error}"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{file} is no scheduler file, which is JSON with an `address`: give the file that "
            "`dask scheduler --scheduler-file` wrote"
        ) from error


def _client_at(address: str, file: str, security: Security) -> Client:
    configured = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect", "30s"))
    seconds = min(CONNECT_SECONDS, configured)
    check_handshake(address, security, seconds)
    try:
        return Client(address, timeout=seconds, set_as_default=True, security=security)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        _forget_unconnected()
        if speaks_tls(address, seconds):
            raise SchedulerUnreachable(
                f"the scheduler at {address} talks TLS only: use tls://"
                f"{address.partition('://')[2] or address} and give the cluster's certificates"
            ) from error
        raise SchedulerUnreachable(
            f"no Dask scheduler answers at {address} (waited at most {seconds:g} s): check the "
            "address, that the scheduler runs and that nothing between here and there blocks "
            f"the port ({_cause(error)}){_stale(file)}"
        ) from error


def _cause(error: Exception) -> str:
    """Return what Dask says of an address that it cannot use; of others it only repeats it."""
    return str(error) if isinstance(error, ValueError) else type(error).__name__


def _stale(file: str) -> str:
    return file and f"; a scheduler that was killed leaves its file, as {file} may be"


def _forget_unconnected() -> None:
    """Close a client that failed on the way to its scheduler and is current nonetheless.

    Dask computations, and the next that ask for the current client, would go to nowhere.
    """
    with suppress(ValueError):
        client = default_client()
        if client.status == "connecting":
            client.close()
