"""The address that a server takes: its socket, its name, and its certificate where TLS is wanted."""

import copy
import functools
import ipaddress
import os
import socket
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import trustme

from popreceipt.exceptions import UsageError

_SPREADS: Final = sys.platform == "linux"
"""Whether the system spreads connections over sockets that share a port."""


class Door:
    """An address that was taken, with its certificate where TLS is wanted.

    With `shared` several processes may come in by it: each by one of its `own`.

    Raises:
        UsageError: the address cannot be listened on, or the authority's certificate cannot be written.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: bool = False,
        ca_file: Path | None = None,
        base_url: str | None = None,
        shared: bool = False,
    ) -> None:
        self._host = host
        self.socket = _listening(host, port)
        self.port: int = self.socket.getsockname()[1]
        if shared and _SPREADS:
            # It is known now that nobody else has this port; from here on the processes of this service have it.
            self.socket.close()
            self.socket = _listening(host, self.port, shared=True, open_now=False)
        scheme = "https" if tls else "http"
        self.base_url = (base_url or f"{scheme}://{_name_for(host)}:{self.port}").rstrip("/")
        self.ca_file: Path | None = None
        self.context: ssl.SSLContext | None = None
        self._ca_file_is_ours = tls and ca_file is None
        if tls:
            try:
                self.ca_file = ca_file if ca_file is not None else _temporary_file()
                self.context = _tls_context(self.ca_file, host, urlsplit(self.base_url).hostname or "localhost")
            except OSError as error:
                self.socket.close()
                raise UsageError(
                    f"Cannot write the certificate authority to {ca_file}: {error.strerror or error}."
                ) from error

    def own(self) -> Self:
        """The same address for one of the processes that share it. It leaves to the others what is theirs.

        On Linux the kernel spreads connections evenly over sockets that share a port; over processes that share a
        socket it does not. Elsewhere they share the socket.
        """
        mine = copy.copy(self)
        mine._ca_file_is_ours = False  # noqa: SLF001 - one of us
        if _SPREADS:
            mine.socket = _listening(self._host, self.port, shared=True)
        return mine

    def close(self) -> None:
        """Give up the port and the temporary file."""
        self.socket.close()
        if self._ca_file_is_ours and self.ca_file is not None:
            self.ca_file.unlink(missing_ok=True)


@functools.lru_cache(maxsize=256)
def is_loopback(address: str) -> bool:
    """Whether an address is one of this computer that only this computer reaches."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def is_loopback_host(host: str) -> bool:
    """Whether an address or name to listen on is reached from this computer alone."""
    return host.lower() == "localhost" or is_loopback(host)


def _listening(host: str, port: int, *, shared: bool = False, open_now: bool = True) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        if open_now:
            listening = socket.create_server(address[:2], family=family, backlog=2048, reuse_port=shared)
        else:
            # A socket that does not listen takes the port without taking connections.
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(address)
        # Accepted connections inherit it. An event loop sets it by itself only on sockets of its own making, and
        # without it each answer waits some forty milliseconds for the caller's delayed acknowledgment.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}."
            " Choose another with --host and --port; port 0 picks a free one."
        ) from error
    return listening


def _name_for(host: str) -> str:
    """What an URL calls this host; for an address that stands for all of them, the computer's name."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104  recognised, not listened on
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _temporary_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="popreceipt-ca-", suffix=".pem")
    os.close(handle)
    return Path(name)


def _tls_context(ca_file: Path, *hosts: str) -> ssl.SSLContext:
    """A context with a certificate for these hosts and the computer's own names; the authority goes to the file."""
    authority = trustme.CA(organization_name="popreceipt", organization_unit_name="a test run's own authority")
    authority.cert_pem.write_to_path(str(ca_file))
    return tls_context(authority, *hosts, "localhost", "127.0.0.1", "127.0.0.2", "::1", socket.gethostname())


def tls_context(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    """The server's side of TLS, with a certificate of this authority for these hosts."""
    certificate = authority.issue_cert(*(name for name in dict.fromkeys(hosts) if name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    certificate.configure_cert(context)
    return context
