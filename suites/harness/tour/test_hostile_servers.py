"""A tour of a server that answers nonsense, or means harm: it comes to its end, asks nobody else, and is no fault."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from popreceipt.emulator.profile import Profile
from popreceipt.fingerprints.tour import AsTenant
from popreceipt.generate.rehearsal import bounds, virtual
from popreceipt.histories.checker import judge as judge_history
from popreceipt.histories.projection import history_of
from popreceipt.rules import catalogue
from popreceipt.rules.eras import judge_eras
from popreceipt.targets import IN_PROCESS
from popreceipt.tour.running import How
from popreceipt.verdict import Binds

Answer = Callable[[httpx.Request, httpx.Response], httpx.Response]

SOMEBODYS = "11111111-0000-4000-8000-000000000001"

LOCATIONS = (
    "http://evil.example/x",
    "https://me:password@evil.example:8443/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    f"https://h/api/connector/ack/{SOMEBODYS}",
    f"https://h/api/connector/download/../dequeue/{SOMEBODYS}",
    f"https://h/api/connector/%2564equeue/{SOMEBODYS}",
    "https://h/x\r\nX-Evil: 1",
    "https://h/\x00\ud800x",
    "https://[::1/x",
    "//evil.example/x",
    ["a", "list"],
    10**400,
    "https://h/" + "x" * 100_000,
)

BODIES = (
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"\x1b]0;owned\x07\xff\xfe\x00",
    b'"../../../../etc/passwd"',
    b"1" + b"0" * 50_000,
    b"<script>alert(1)</script>",
    b"",
)

HEADERS = (
    {"retry-after": "-1", "date": "Fri, 31 Dec 9999 23:59:59 GMT"},
    {"content-type": "text/html; charset=\x7f", "content-length": "0"},
    {"x-long": "x" * 50_000},
)


class Carrier(httpx.BaseTransport):
    """The way to an emulator, whose answers somebody puts something else in the place of."""

    def __init__(self, inner: httpx.BaseTransport, answer: Answer) -> None:
        self._inner = inner
        self._answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand over, and change what comes back."""
        answer = self._inner.handle_request(request)
        answer.read()
        return self._answer(request, answer)


@dataclass
class Hostile(AsTenant):
    """A tenant whose answers are changed, but those of its issuer."""

    answer: Answer = field(default=lambda _, answer: answer)

    def carrier(self) -> httpx.BaseTransport:
        """What carries requests to it."""
        return Carrier(super().carrier(), lambda request, answer: self._changed(request, answer))

    def _changed(self, request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        return answer if "oauth2" in request.url.path else self.answer(request, answer)


def with_locations() -> Answer:
    """Every message lies somewhere else."""
    following = itertools.cycle(LOCATIONS).__next__

    def answer(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if "/dequeue/" not in request.url.path or answer.status_code != 200 or not answer.content:
            return answer
        told = {**json.loads(answer.content), "DownloadLocation": following()}
        return httpx.Response(200, content=json.dumps(told).encode())

    return answer


def with_redirects() -> Answer:
    """Every file lies somewhere else, or there again."""
    places = [each.encode("utf-8", "replace") for each in LOCATIONS if isinstance(each, str)]
    following = itertools.cycle([each for each in places if not re.search(rb"[\r\n\0]", each)]).__next__

    def answer(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if "/download/" not in request.url.path:
            return answer
        return httpx.Response(302, headers=[(b"location", following())])

    return answer


def with_bodies() -> Answer:
    """Every answer has another body than it should."""
    following = itertools.cycle(BODIES).__next__
    return lambda _, answer: httpx.Response(answer.status_code, content=following())


def with_headers() -> Answer:
    """Every answer has some more headers."""
    following = itertools.cycle(HEADERS).__next__

    def answer(_: httpx.Request, answer: httpx.Response) -> httpx.Response:
        answer.headers.update(following())
        return answer

    return answer


@pytest.mark.parametrize("make", [with_locations, with_redirects, with_bodies, with_headers])
def test_a_tour_of_a_hostile_server_comes_to_its_end(make: Callable[[], Answer]) -> None:
    """All is judged; nothing goes beyond the plan, to another host, or to a job that nobody has named."""
    host = Hostile(Profile(), every=timedelta(minutes=1), exports_for=timedelta(hours=2), answer=make())
    toured = host.toured()
    assert toured.verdicts.complete or toured.states
    assert not [each for each in toured.states if each.how is How.FAILED]
    sent = virtual.exchanges_of(toured)
    assert bounds.outside(toured.plan.as_json(), sent) == []
    assert {urlsplit(each.request.url).hostname for each in sent} <= {urlsplit(IN_PROCESS).hostname, "localhost"}
    assert not [each for each in sent if SOMEBODYS in each.request.url and each.operation in ("ack", "dequeue")]
    # Who draws timelines, or judges a client by it, reads the same.
    history = history_of(host.journal.header, toured.entries)
    assert len(judge_history(history).found) <= len(sent)
    assert judge_eras(host.journal.header, toured.entries, catalogue(Binds.CLIENT))
