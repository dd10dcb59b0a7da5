"""The reference consumer, against a service that loses answers, hides messages and asks for patience."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from popreceipt.client.consumer import ATTEMPTS, pull
from popreceipt.client.session import Session
from popreceipt.client.times import ManualTimes
from popreceipt.client.tokens import Tokens
from popreceipt.client.wire import Delivery
from popreceipt.journal import Exchange, Journal

ACTIVITY = "c03bb937-09af-4f13-bd13-8f0b1c8d0a01"
START = datetime(2026, 1, 1, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)
IDENTITY = {"token_url": "/t/oauth2/v2.0/token", "clients": {"authorised": {"client_id": "c", "client_secret": "s"}}}


class _Service(httpx.BaseTransport):
    """One export's queue: a message stays hidden for half an hour and leaves when it is acknowledged."""

    def __init__(self, times: ManualTimes, *payloads: bytes | None) -> None:
        self.times = times
        self.payloads = list(payloads)
        self.hidden_until = [START] * len(payloads)
        self.gone: set[int] = set()
        self.acks: list[bytes] = []
        self.failures: dict[str, list[httpx.Response | Exception]] = {}
        self.tokens = 0

    def fail(self, operation: str, *how: httpx.Response | Exception) -> None:
        self.failures.setdefault(operation, []).extend(how)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        operation = request.url.path.split("/")[3]
        if operation == "v2.0":
            self.tokens += 1
            return httpx.Response(200, json={"access_token": f"token-{self.tokens}", "expires_in": 3600})
        if waiting := self.failures.get(operation):
            how = waiting.pop(0)
            if isinstance(how, Exception):
                raise how
            return how
        return {"dequeue": self.dequeue, "download": self.download, "ack": self.ack}[operation](request)

    def dequeue(self, _: httpx.Request) -> httpx.Response:
        now = self.times.earliest()
        for place, payload in enumerate(self.payloads):
            if place not in self.gone and self.hidden_until[place] <= now:
                self.hidden_until[place] = now + HALF_HOUR
                location = f"http://inside:80/api/connector/download/{ACTIVITY}?blob={place}"
                return httpx.Response(
                    200,
                    json={
                        "CorrelationId": str(place),
                        "PopReceipt": now.isoformat(),
                        "DownloadLocation": location if payload is not None else None,
                        "IsDownLoadFileExist": payload is not None,
                    },
                )
        return httpx.Response(204)

    def download(self, request: httpx.Request) -> httpx.Response:
        place = int(parse_qs(urlsplit(str(request.url)).query)["blob"][0])
        return httpx.Response(200, content=self.payloads[place])

    def ack(self, request: httpx.Request) -> httpx.Response:
        self.acks.append(request.read())
        self.gone.add(int(json.loads(self.acks[-1])["CorrelationId"]))
        return httpx.Response(200)


class _World:
    """A consumer's surroundings: what it stored, and what it can be handed."""

    def __init__(self, times: ManualTimes, journal: Journal, *payloads: bytes | None) -> None:
        self.service = _Service(times, *payloads)
        self.session = Session("https://target", times, journal, transport=self.service)
        self.tokens = Tokens(self.session, IDENTITY)
        self.stored: list[bytes] = []

    def store(self, content: bytes, delivery: Delivery) -> None:
        assert delivery.has_file
        self.stored.append(content)

    def pull(self, limit: int | None = None) -> int:
        return pull(self.session, self.tokens, ACTIVITY, self.store, limit)


def test_everything_that_waits_is_stored_and_acknowledged(still: ManualTimes, journal: Journal) -> None:
    """Dequeue, download at the target's own scheme and authority, store, acknowledge with the very same body."""
    world = _World(still, journal, b"one", b"two")
    assert world.pull() == 2
    assert world.stored == [b"one", b"two"]
    exchanges = [each for each in journal.entries if isinstance(each, Exchange) and each.operation != "token"]
    assert [each.operation for each in exchanges] == [*["dequeue", "download", "ack"] * 2, "dequeue"]
    assert all(each.request.url.startswith("https://target/") for each in exchanges)
    dequeue, _, ack = exchanges[:3]
    assert dequeue.response is not None
    assert ack.request.body == dequeue.response.body
    assert {each.actor for each in exchanges} == {"authorised"}


def test_a_limit_counts_deliveries(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, b"one", b"two", b"three")
    assert world.pull(limit=2) == 2
    assert world.stored == [b"one", b"two"]


@pytest.mark.parametrize("failure", [httpx.Response(500), httpx.ReadError("gone"), httpx.ReadTimeout("late")])
def test_a_failed_acknowledgment_is_tried_again_with_the_same_body(
    still: ManualTimes, journal: Journal, failure: httpx.Response | Exception
) -> None:
    world = _World(still, journal, b"one")
    world.service.fail("ack", failure)
    assert world.pull() == 1
    acks = [each for each in journal.entries if isinstance(each, Exchange) and each.operation == "ack"]
    assert len(acks) == 2
    assert acks[0].request.body == acks[1].request.body


def test_a_message_that_cannot_be_acknowledged_comes_again(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, b"one", b"two")
    world.service.fail("ack", *[httpx.Response(500)] * ATTEMPTS)
    assert world.pull() == 1
    still.advance(1801)
    assert world.pull() == 1
    assert world.stored == [b"one", b"two", b"one"]


def test_a_file_that_does_not_arrive_is_not_acknowledged(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, b"one")
    world.service.fail("download", httpx.Response(404))
    assert world.pull() == 0
    assert world.service.acks == []
    still.advance(1801)
    assert world.pull() == 1
    assert world.stored == [b"one"]


def test_a_file_that_cannot_be_stored_is_not_acknowledged(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, b"one")

    def full(_content: bytes, _delivery: Delivery) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        pull(world.session, world.tokens, ACTIVITY, full)
    assert world.service.acks == []


def test_a_message_without_a_file_is_acknowledged_and_not_stored(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, None, b"two")
    assert world.pull() == 2
    assert world.stored == [b"two"]


def test_a_refused_token_is_renewed(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, b"one")
    world.service.fail("dequeue", httpx.Response(401))
    assert world.pull() == 1
    assert world.service.tokens == 2


def test_a_server_that_asks_to_wait_is_waited_for(still: ManualTimes, journal: Journal) -> None:
    """In the target's time."""
    world = _World(still, journal, b"one")
    world.service.fail("dequeue", httpx.Response(429, headers={"retry-after": "7"}))
    assert world.pull() == 1
    assert still.earliest() == START + timedelta(seconds=7)


def test_a_dead_service_is_given_up(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, b"one")
    world.service.fail("dequeue", *[httpx.Response(503)] * 10)
    assert world.pull() == 0
    assert len(world.service.failures["dequeue"]) == 10 - ATTEMPTS


def test_what_will_not_pass_is_not_tried_again(still: ManualTimes, journal: Journal) -> None:
    world = _World(still, journal, b"one")
    world.service.fail("dequeue", *[httpx.Response(404)] * 2)
    assert world.pull() == 0
    assert len(world.service.failures["dequeue"]) == 1
