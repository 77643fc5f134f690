"""Certificates: which ones are used, and what the other side says to them.

Dask's own connection tries until its time is up and then says that nothing answers. Whether
certificates are the reason is known after one handshake, so that is made first.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Security

__all__ = [
    "SchedulerUnreachable",
    "check_handshake",
    "local_security",
    "speaks_tls",
    "the_security",
]

#: Seconds for one handshake; a scheduler that is busy is left to Dask's own connection.
HANDSHAKE_SECONDS = 5.0

_GIVE = (
    "give the cluster's certificates as security= (on the command line --tls-ca-file, --tls-cert "
    "and --tls-key; in Dask's configuration distributed.comm.tls)"
)


class SchedulerUnreachable(ConnectionError):
    """No scheduler answers at the address that was given, or it does not let this client in."""


def the_security(given: Security | Mapping[str, Any] | None) -> Security:
    """Return what was given as Dask's object, with its files checked.

    Parameters
    ----------
    given : distributed.Security, mapping or None
        None means Dask's configuration.

    Returns
    -------
    distributed.Security

    Raises
    ------
    ValueError
        When an argument is unknown.
    FileNotFoundError, PermissionError
        They name the file.

    Examples
    --------
    >>> the_security({"require_encryption": True}).require_encryption
    True
    """
    if given is None or isinstance(given, Mapping):
        try:
            security = Security(**(given or {}))
        except TypeError as error:
            known = ", ".join(name for name in Security.__slots__ if "tls" in name)
            raise ValueError(
                f"security= cannot be understood ({error}): it takes require_encryption, {known}"
            ) from error
    elif isinstance(given, Security):
        security = given
    else:
        raise ValueError(
            f"security= is a {type(given).__name__}: give a distributed.Security or a mapping of "
            "its arguments"
        )
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        file = getattr(security, name)
        if file and "\n" not in file:  # else it is the certificate itself
            _check_file(name, os.fspath(file))
    return security


def local_security(given: Security | Mapping[str, Any] | None) -> Security:
    """Return what was given or configured, else a new certificate for one local cluster.

    Whoever reaches a cluster's ports can run code on it, and every user of the machine reaches
    127.0.0.1. The key is in the memory of the cluster's processes, and in a folder of this user
    only while OpenSSL reads it.

    Parameters
    ----------
    given : distributed.Security, mapping or None

    Returns
    -------
    distributed.Security

    Examples
    --------
    >>> local_security(None).require_encryption
    True
    >>> local_security({"require_encryption": False}).require_encryption
    False
    """
    if not given and dask.config.get("distributed.comm.require-encryption") is None:
        return Security.temporary()
    return the_security(given)


def _check_file(name: str, file: str) -> None:
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        raise type(error)(f"cannot read {file}, given as {name}: {error.strerror}") from error


def check_handshake(address: str, security: Security, seconds: float) -> None:
    """Refuse a ``tls://`` address at which the certificates are not accepted, or not there.

    Parameters
    ----------
    address : str
    security : distributed.Security
    seconds : float
        How long to wait at most.

    Raises
    ------
    SchedulerUnreachable
        When one side refuses the other. Where nobody answers, nothing is raised: that is for the
        connection itself to say.
    """
    files = security.get_tls_config_for_role("client")
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except ssl.SSLError as error:
        raise SchedulerUnreachable(
            f"the certificates for {address} cannot be used ({_reason(error)}): "
            f"{files['ca_file']}, {files['cert']} and {files['key']} must be PEM files, the last "
            "one the key of the second"
        ) from error
    if not address.startswith("tls://"):
        if security.require_encryption:
            raise SchedulerUnreachable(
                f"{address} is not encrypted, and encryption is required: use a tls:// address"
            )
        return
    if context is None:
        raise SchedulerUnreachable(
            f"the scheduler at {address} wants to see a certificate and there is none: {_GIVE}"
        )
    try:
        _shake_hands(address, context, min(seconds, HANDSHAKE_SECONDS))
    except ssl.SSLCertVerificationError as error:
        if "expired" in error.verify_message:
            raise SchedulerUnreachable(
                f"the certificate of the scheduler at {address}, or the CA's that signed it, has "
                "expired: make new ones, and restart the scheduler and the workers with them"
            ) from error
        raise SchedulerUnreachable(
            f"the scheduler at {address} shows a certificate that {files['ca_file']} has not "
            f"signed ({error.verify_message}): take the CA file of that cluster, or check the "
            "address"
        ) from error
    except ssl.SSLError as error:
        raise SchedulerUnreachable(_refusal(address, files["cert"], error)) from error
    except (OSError, ValueError):
        return


def _refusal(address: str, certificate: str, error: ssl.SSLError) -> str:
    reason = _reason(error)
    if "ALERT" in reason:
        return (
            f"the scheduler at {address} does not accept the certificate "
            f"{certificate} ({reason}): it must be signed by the CA that the "
            f"scheduler was started with and must not have expired; {_GIVE}"
        )
    return (
        f"no TLS connection to {address} ({reason}): check that the scheduler was started with "
        "certificates, and whether its address begins with tcp://"
    )


def _reason(error: ssl.SSLError) -> str:
    return error.reason or (str(error.args[-1]) if error.args else type(error).__name__)


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


def speaks_tls(address: str, seconds: float) -> bool:
    """Tell whether a TLS server listens at a ``tcp://`` address.

    Parameters
    ----------
    address : str
    seconds : float

    Returns
    -------
    bool
    """
    scheme, separator, rest = address.partition("://")
    if separator and scheme != "tcp":
        return False
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # to learn what it is, not to trust it
    try:
        _shake_hands(f"tls://{rest or address}", context, min(seconds, HANDSHAKE_SECONDS))
    except ssl.SSLError as error:
        return "ALERT" in _reason(error)
    except (OSError, ValueError):
        return False
    return True
