"""An emulator with a network around it, and what the network told."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.profile import Profile
from popreceipt.journal import secret_digest
from popreceipt.middleware import scenario
from popreceipt.middleware.network import Network

Told = list[dict[str, Any]]


@dataclass
class Ground:
    """A network around an emulator whose export has one message."""

    emulator: Emulator
    network: Network
    told: Told
    payload: str
    news: threading.Condition
    export: str = field(init=False)

    def __post_init__(self) -> None:
        self.export = next(one.id for one in self.emulator.store.activities() if one.name == "export-file")

    @property
    def dequeue_url(self) -> str:
        """Where the export's messages are handed out."""
        return f"{self.network.base_url}/api/connector/dequeue/{self.export}"

    @staticmethod
    def digest(token: str) -> str:
        """How a journal names a token."""
        return f"redacted:{secret_digest(token)}"

    def connections(self, kind: str) -> Told:
        """What was told of this kind."""
        return [one for one in self.told if one["kind"] == kind]

    def wait_until_told(self, number: int) -> None:
        """Wait until so much was told: a client may know of its own refusal before the other side does."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.told) >= number, timeout=30), f"only {self.told} was told"

    def verified(self) -> Any:
        """How httpx is told the authority."""
        return ssl.create_default_context(cafile=str(self.network.ca_file)) if self.network.tls else True

    def client(self, **options: Any) -> httpx.Client:
        """A client as a subject would make one."""
        return httpx.Client(
            verify=self.verified(), proxy=self.network.proxy_url, timeout=20, trust_env=False, **options
        )

    def token(self, client: httpx.Client) -> str:
        """A token, from the token endpoint of the same address."""
        identity = self.emulator.world()["identity"]
        known = identity["clients"]["authorised"]
        form = {
            "grant_type": "client_credentials",
            "client_id": known["client_id"],
            "client_secret": known["client_secret"],
            "scope": f"{self.network.base_url}/.default",
        }
        answer = client.post(identity["token_url"], data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def location(self, client: httpx.Client, token: str) -> str:
        """The DownloadLocation of the message that waits."""
        answer = client.get(self.dequeue_url, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["DownloadLocation"])

    def secure_location(self, client: httpx.Client, token: str) -> str:
        """The same, asked for at the base URL: what a location says of scheme and port is an open point."""
        parts = urlsplit(self.location(client, token))
        return f"{self.network.base_url}{parts.path}?{parts.query}"


Made = Callable[..., Ground]


@pytest.fixture
def ground() -> Iterator[Made]:
    """Makes networks; at the end of the test no thread of theirs is left, and no fault of the emulator's."""
    before = set(threading.enumerate())
    with contextlib.ExitStack() as closing:

        def made(plan: scenario.Network | None = None, *, answer: str | None = None, **options: Any) -> Ground:
            told: Told = []
            news = threading.Condition()

            def tell(facts: Mapping[str, object]) -> None:
                with news:
                    told.append(dict(facts))
                    news.notify_all()

            profile = Profile() if answer is None else replace(Profile(), download_answer=answer)
            emulator = Emulator(ManualClock(), profile, control=False)
            network = Network(emulator, plan, tell=tell, **options)
            emulator.blob_root, emulator.location_is_blob = network.blob_root, network.location_is_blob
            closing.enter_context(network)
            with emulator.attended() as now:
                job = next(one for one in emulator.store.activities() if one.name == "export-file")
                payload = emulator.batch.produce(job, 3, now).sha256
            closing.callback(_assert_no_fault, emulator)
            return Ground(emulator, network, told, str(payload), news)

        yield made
    assert set(threading.enumerate()) <= before


def _assert_no_fault(emulator: Emulator) -> None:
    assert list(emulator.faults) == []
