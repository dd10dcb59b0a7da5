"""The network around one emulator: what the subject is told to call, and what listens there.

Without TLS it is the emulator's own server and nothing else. With it, one port takes TLS and clear text and tells them
apart. By the proxy the connector is called by a name without a port, for subjects that insist on https at port 443.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from popreceipt.emulator.server import Door, Service
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.middleware import scenario
from popreceipt.middleware.network.certificates import Certificates
from popreceipt.middleware.network.elsewhere import Elsewhere
from popreceipt.middleware.network.reception import Front, Host, Proxy, Reception, Tell
from popreceipt.middleware.network.serving import Serving

CONNECTOR: Final = "connector.popreceipt.test"
"""What the connector is called by the proxy: a name that no name server knows (RFC 6761, section 6.2)."""

BLOBS: Final = "blobs.popreceipt.test"
"""What the other host is called by the proxy."""

HERE: Final = "127.0.0.1"
ELSEWHERE: Final = "127.0.0.2"

PORT: Final = 443

_TRUSTING: Final = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""Where other programs look for authorities: a subject need not have an option of its own."""


class Network:
    """The addresses of a scenario. Making it takes the ports; `start` opens the doors.

    As a context manager it serves, from threads, for as long as the block lasts.

    Args:
        service: the connector. Its `base_url` is set here.
        plan: what the scenario has in between.
        tls: speak TLS, though the scenario does not ask for it.
        proxy: the connector is reached by a CONNECT proxy and port 443 alone, with TLS.
        port: of the connector, or of the proxy; 0 picks a free one.
        ca_file: where to write the authority's certificate; a temporary file that goes with the network otherwise.
        tell: is told of connections that became no request to the connector, from the network's own threads.

    Raises:
        UsageError: a port cannot be taken, or the authority's certificate cannot be written.
        NotAbleTo: the scenario needs another host, and this computer has no second loopback address.
    """

    def __init__(
        self,
        service: Service,
        plan: scenario.Network | None = None,
        *,
        tls: bool = False,
        proxy: bool = False,
        port: int = 0,
        ca_file: Path | None = None,
        tell: Tell,
    ) -> None:
        plan = plan if plan is not None else scenario.Network()
        self.foreign = plan.certificate == "foreign"
        self.tls = tls or proxy or plan.tls or self.foreign
        self.location_is_blob = plan.location_host == "other"
        self.ca_file: Path | None = None
        self.proxy_url: str | None = None
        self._ca_file_is_ours = self.tls and ca_file is None
        self._reception: Reception | None = None
        with contextlib.ExitStack() as undoing:
            door = Door(host=HERE, port=port)
            undoing.callback(door.close)
            other: Door | None = None
            if "other" in {plan.location_host, plan.redirect_host}:
                other = _elsewhere()
                undoing.callback(other.close)
            certificates: Certificates | None = None
            if self.tls:
                names = (HERE, ELSEWHERE, "localhost", CONNECTOR, BLOBS)
                certificates = Certificates(*names, foreign=self.foreign)
                self.ca_file = _written(certificates, ca_file)
            if proxy:
                self.proxy_url = door.base_url
                door.base_url = f"https://{CONNECTOR}"
            elif self.tls:
                door.base_url = f"https://{HERE}:{door.port}"
            if other is not None and self.tls:
                other.base_url = f"https://{BLOBS}" if proxy else f"https://{ELSEWHERE}:{other.port}"
            self.base_url = door.base_url
            self._serving = Serving(service, door, listens=not self.tls)
            self._other = None if other is None else Serving(Elsewhere(service, tell), other, listens=not self.tls)
            if certificates is not None:
                self._reception = self._received(door, other, certificates, tell)
            undoing.pop_all()
        self.roots = tuple(_spellings(self.base_url, HERE, "localhost"))
        self.other_roots = () if other is None else tuple(_spellings(other.base_url))
        # By the proxy no other name of this computer leads anywhere.
        self.blob_root = other.base_url if other is not None else self.base_url if proxy else None

    def _received(self, door: Door, other: Door | None, certificates: Certificates, tell: Tell) -> Reception:
        """Who attends to the addresses: directly, or by the proxy on the connector's own."""
        context = certificates.context
        near = Host(door.base_url, _in_clear(door), self._serving, context, foreign=self.foreign)
        far = None
        if other is not None and self._other is not None:
            far = Host(other.base_url, _in_clear(other), self._other, context, own=False, foreign=self.foreign)
        if self.proxy_url is None:
            fronts = [Front(door.socket, near)]
            if other is not None and far is not None:
                fronts.append(Front(other.socket, far))
            return Reception(tuple(fronts), tell)
        hosts = {f"{CONNECTOR}:{PORT}": near}
        if far is not None:
            hosts[f"{BLOBS}:{PORT}"] = far
        return Reception((Proxy(door.socket, hosts, self.proxy_url),), tell)

    @property
    def environment(self) -> dict[str, str]:
        """What of a subject's environment is the network's: the authority's certificate, and the proxy."""
        told: dict[str, str] = {}
        if self.ca_file is not None:
            told = dict.fromkeys(("POPRECEIPT_CA_FILE", *_TRUSTING), str(self.ca_file))
        if self.proxy_url is not None:
            for name in ("http_proxy", "https_proxy"):
                told[name] = told[name.upper()] = self.proxy_url
            told["no_proxy"] = told["NO_PROXY"] = ""
        return told

    def start(self) -> None:
        """Open the doors; returns once connections are taken."""
        for serving in self._servings():
            serving.start()
        if self._reception is not None:
            self._reception.start()

    def stop(self) -> None:
        """Close the doors, cut what does not come to its end by itself, and wait for every thread's end.

        Raises:
            Exception: whatever went wrong with us while a connection was attended to.
        """
        for serving in self._servings():
            serving.stop_soon()
        try:
            if self._reception is not None:
                self._reception.stop()
        finally:
            for serving in self._servings():
                serving.stop()
                serving.close()
            if self._ca_file_is_ours and self.ca_file is not None:
                self.ca_file.unlink(missing_ok=True)

    def cut(self) -> None:
        """Cut every connection of the moment, as a restart of the service does."""
        for serving in self._servings():
            serving.cut()

    def _servings(self) -> Iterator[Serving]:
        yield self._serving
        if self._other is not None:
            yield self._other

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _elsewhere() -> Door:
    try:
        return Door(host=ELSEWHERE, port=0)
    except UsageError as error:
        raise NotAbleTo(
            "this computer",
            f"a second loopback address, {ELSEWHERE}",
            instead=f"an alias: ifconfig lo0 alias {ELSEWHERE}",
        ) from error


def _written(certificates: Certificates, file: Path | None) -> Path:
    if file is None:
        handle, name = tempfile.mkstemp(prefix="popreceipt-ca-", suffix=".pem")
        os.close(handle)
        file = Path(name)
    try:
        certificates.write_authority(file)
    except OSError as error:
        raise UsageError(f"Cannot write the certificate authority to {file}: {error.strerror or error}.") from error
    return file


def _in_clear(door: Door) -> str:
    """What an address is called where somebody leaves TLS out."""
    return f"http{door.base_url.removeprefix('https')}"


def _spellings(root: str, *names: str) -> Iterator[str]:
    """The ways to write a root: by another name of the same host, with the port that goes without saying."""
    yield root
    for name in names[1:]:
        if names[0] in root:
            yield root.replace(names[0], name)
    if root.startswith("https://") and ":" not in root.removeprefix("https://"):
        yield f"{root}:{PORT}"
