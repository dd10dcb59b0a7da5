"""A client, the recording proxy and an environment, each on a loopback port of its own."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from platformdirs import user_cache_path

from popreceipt.clock import SystemClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.server import Door, HttpServer
from popreceipt.journal import Exchange, JournalFile, Observation, SpooledJournal
from popreceipt.watching.proxy import Watcher
from popreceipt.watching.recorder import Recorder
from popreceipt.watching.running import header_for, server_for
from popreceipt.watching.secrets import Secrets


@dataclass
class Watching:
    """The proxy in front of an environment, and what it has written so far."""

    base_url: str
    upstream: str
    ca_file: Path | None
    file: io.BytesIO
    folder: Path
    said: list[str]

    @property
    def journal(self) -> JournalFile:
        """The journal as a file, sealed or not."""
        path = self.folder / "journal.ndjson"
        path.write_bytes(self.file.getvalue())
        return JournalFile(path)

    @property
    def exchanges(self) -> list[Exchange]:
        return [each for each in self.journal if isinstance(each, Exchange)]

    def of(self, operation: str) -> list[Exchange]:
        return [each for each in self.exchanges if each.operation == operation]

    @property
    def observations(self) -> list[Observation]:
        return [each for each in self.journal if isinstance(each, Observation)]


class Watch(Protocol):
    """Puts the proxy in front of an environment, until the block ends; the journal is sealed then."""

    def __call__(self, upstream: str, **options: Any) -> contextlib.AbstractContextManager[Watching]: ...


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    @contextlib.contextmanager
    def start(
        upstream: str, *, bodies: bool = False, tls: bool = False, secrets: tuple[str, ...] = (), **options: Any
    ) -> Iterator[Watching]:
        file, said = io.BytesIO(), list[str]()
        journal = SpooledJournal(header_for(upstream), file)
        watcher = Watcher(
            upstream, Recorder(journal, bodies=bodies, secrets=Secrets(secrets)), tell=said.append, **options
        )
        watcher.begin()
        with server_for(watcher, Door(host="127.0.0.1", port=0, tls=tls)) as server:
            yield Watching(server.base_url, upstream, server.ca_file, file, tmp_path, said)
        journal.seal()

    return start


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(SystemClock(), Profile())


@pytest.fixture
def environment(emulator: Emulator) -> Iterator[HttpServer]:
    """An environment without TLS."""
    with HttpServer(emulator) as server:
        yield server


class Client:
    """A middleware, as far as tests need one: it calls the proxy and knows the environment's application."""

    def __init__(self, base_url: str, emulator: Emulator, *, verify: Any = True, resource: str | None = None) -> None:
        self.http = httpx.Client(base_url=base_url, trust_env=False, verify=verify, timeout=20)
        self.emulator = emulator
        self.resource = resource or emulator.base_url
        self.export = next(each for each in emulator.store.activities() if each.name == "export-package")
        self.intake = next(each for each in emulator.store.activities() if each.name == "import-file")

    @property
    def application(self) -> Any:
        return self.emulator.identity.clients["authorised"]

    def token(self, url: str | None = None) -> httpx.Response:
        """Ask for a token, and use it from then on."""
        path = f"/{self.emulator.identity.tenant}/oauth2/v2.0/token"
        form = {
            "grant_type": "client_credentials",
            "client_id": self.application.client_id,
            "client_secret": self.application.client_secret,
            "scope": f"{self.resource}/.default",
        }
        answer = self.http.post(url or path, data=form)
        if answer.status_code == 200:
            self.http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    def produce(self, records: int = 3) -> Any:
        return self.emulator.batch.produce(self.export, records, self.emulator.clock.now())

    def dequeue(self) -> httpx.Response:
        return self.http.get(f"/api/connector/dequeue/{self.export.id}")

    def acknowledge(self, body: bytes) -> httpx.Response:
        return self.http.post(
            f"/api/connector/ack/{self.export.id}", content=body, headers={"content-type": "application/json"}
        )

    def enqueue(self, content: Any, **headers: str) -> httpx.Response:
        return self.http.post(
            f"/api/connector/enqueue/{self.intake.id}?entity=Customer%20groups", content=content, headers=headers
        )


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Callable[..., Client]]:
    with contextlib.ExitStack() as closing:

        def make(base_url: str, emulator: Emulator = emulator, **options: Any) -> Client:
            made = Client(base_url, emulator, **options)
            closing.callback(made.http.close)
            return made

        yield make


@dataclass
class Odd:
    """A server that reads one request's head and body and then does what it was told, byte by byte."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Act = Callable[[socket.socket], None]


@pytest.fixture
def odd() -> Iterator[Callable[..., Odd]]:
    """Environments that misbehave: each takes connections until the test is over."""
    with contextlib.ExitStack() as closing:

        def start(act: Act, *, takes_bodies: bool = True) -> Odd:
            listening = socket.create_server(("127.0.0.1", 0))
            made = Odd(listening.getsockname()[1])

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listening.accept()
                    except OSError:
                        return
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(20)
                        made.requests.append(_request(connection, with_body=takes_bodies))
                        made.asked.set()
                        act(connection)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()

            def stop() -> None:
                listening.shutdown(socket.SHUT_RDWR)
                listening.close()
                thread.join(20)

            closing.callback(stop)
            return made

        yield start


def _request(connection: socket.socket, *, with_body: bool) -> bytes:
    """A request as it came, with a body whose length was announced."""
    content = b""
    while b"\r\n\r\n" not in content:
        piece = connection.recv(65536 if with_body else 1)
        if not piece:
            return content
        content += piece
    if not with_body:
        return content
    head, _, body = content.partition(b"\r\n\r\n")
    length = next(
        (int(each.partition(b":")[2]) for each in head.split(b"\r\n") if each.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body


MITMPROXY = "mitmproxy>=11,<13"
"""It cannot share an environment with what we use; it is installed into one of its own, once, and kept."""

_INSTALLING = 600.0
"""Real seconds that it may take."""


@pytest.fixture(scope="session")
def mitmdump() -> tuple[str, ...]:
    """The command line of mitmdump; where it cannot be installed the test skips, or fails with POPRECEIPT_REQUIRE."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    kept = user_cache_path("popreceipt") / f"mitmproxy-on-{version}"
    python = kept / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (kept / "installed").exists():
        try:
            _install(kept)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            reason = f"{MITMPROXY} could not be installed: {str(said).strip()[-300:]}"
            if os.environ.get("POPRECEIPT_REQUIRE") == "all":
                pytest.fail(reason)
            pytest.skip(reason)
    # Its own script names the folder in which it was made.
    return str(python), "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()"


def _install(kept: Path) -> None:
    """Make an environment that is whole when it stands in its place: others may be doing the same at this moment."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".installing-") as name:
        fresh = Path(name) / "fresh"
        venv.create(fresh, with_pip=True)
        python = fresh / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", MITMPROXY]
        subprocess.run(install, capture_output=True, text=True, timeout=_INSTALLING, check=True)
        (fresh / "installed").touch()
        try:
            fresh.rename(kept)
        except OSError:
            if not (kept / "installed").exists():  # nobody else was faster: then it is a fault
                raise
