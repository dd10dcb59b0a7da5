"""Which requests a tenant's guard lets out, and what it counts and waits for."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest

from popreceipt.client import wire
from popreceipt.client.guarding import Asked, Heard, NotPermitted, asked_for, made_up_guid
from popreceipt.client.session import Session
from popreceipt.client.times import ManualTimes
from popreceipt.client.tokens import Tokens
from popreceipt.client.wire import Ask
from popreceipt.exceptions import NotAbleTo
from popreceipt.journal import Journal
from popreceipt.stage import Stage
from popreceipt.targets import Target
from popreceipt.tenants.description import Tenant
from popreceipt.tenants.guard import TenantGuard, guard_of, pause_of, share_of
from popreceipt.tour.errands.asking import unknown_guid

EXPORT = "11111111-0000-4000-8000-000000000001"
OTHERS = "11111111-0000-4000-8000-000000000002"
IMPORT = "11111111-0000-4000-8000-000000000003"
UNKNOWN = "99999999-0000-4000-8000-000000000009"

START = datetime(2026, 1, 1, tzinfo=UTC)

Describe = Callable[..., Tenant]


class Place(httpx.BaseTransport):
    """A server that answers as told, and keeps what reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.answers: Iterator[httpx.Response] = iter(())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.reached.append(f"{request.method} {request.url}")
        request.read()
        return next(self.answers, None) or httpx.Response(200, json={})


class Driven:
    """A session of a tenant on a clock that moves by waiting, with its guard."""

    def __init__(self, tenant: Tenant, patience: float = 600) -> None:
        self.place = Place()
        self.waited = 0.0
        self.patience = patience
        self.now = START
        self.times = ManualTimes(START, self._move)
        self.guard = TenantGuard(tenant, self.times)
        self.session = Session(tenant.base_url, self.times, Journal(), transport=self.place, guard=self.guard)

    def _move(self, seconds: float) -> datetime:
        if seconds > self.patience:
            raise NotAbleTo("tenant:qa", "advance-time")
        self.waited += seconds
        self.now += timedelta(seconds=seconds)
        return self.now

    def answers(self, *answers: httpx.Response) -> None:
        self.place.answers = iter(answers)

    def refused(self, ask: Ask, **options: Any) -> str:
        """The sentence of a refusal; nothing reached the server, nothing is in the journal."""
        return self.refused_by(self.session, ask, **options)

    def refused_by(self, session: Session, ask: Ask, **options: Any) -> str:
        """The same of another session with the same guard."""
        reached, written = len(self.place.reached), len(self.session.journal.entries)
        with pytest.raises(NotPermitted) as caught:
            session.send(ask, **options)
        assert len(self.place.reached) == reached
        assert len(self.session.journal.entries) == written
        return str(caught.value)


@pytest.fixture
def driven(describe: Describe) -> Driven:
    return Driven(describe())


# Acknowledgments


def test_an_acknowledgment_goes_to_an_exclusive_activity_only(driven: Driven) -> None:
    """Neither to one that is not marked, nor to one that nobody has named."""
    assert driven.session.send(wire.ack(EXPORT, b"{}")).ok
    assert "export-file, which others may use" in driven.refused(wire.ack(OTHERS, b"{}"))
    assert "import-file" in driven.refused(wire.ack(IMPORT, b"{}"))
    assert "an activity that it does not name" in driven.refused(wire.ack(UNKNOWN, b"{}"))
    assert driven.guard.refused == {"acknowledge": 3}
    assert driven.guard.sent == {"ack": 1}


def test_an_acknowledgment_of_no_activity_at_all_asks_what_is_answered(driven: Driven) -> None:
    """What is no GUID, however it might be written, is nobody's; it names nothing of others all the same."""
    assert driven.session.send(wire.ack("not-a-guid", b"{}")).ok
    driven.refused(Ask("POST", f"/api/connector/ack/{OTHERS.replace('-', '')}", body=b"{}"))
    driven.refused(Ask("POST", f"/api/connector/ack/({OTHERS})", body=b"{}"))
    driven.refused(Ask("POST", f"/api/connector/ack/x{OTHERS}x", body=b"{}"))
    driven.answers(httpx.Response(200, json=handed_out(1)))
    driven.session.send(wire.dequeue(OTHERS))
    driven.refused(wire.ack("not-a-guid", json.dumps(handed_out(1)).encode()))


def test_whose_a_message_is_stays_known_over_an_interruption(driven: Driven, describe: Describe) -> None:
    """Another process takes it from the journal."""
    driven.answers(httpx.Response(200, json=handed_out(1)), httpx.Response(200, json=handed_out(2)))
    driven.session.send(wire.dequeue(OTHERS))
    driven.session.send(wire.dequeue(EXPORT))
    again = Driven(describe())
    for each in driven.session.journal.exchanges():
        again.guard.recall(each)
    again.refused(wire.ack(EXPORT, json.dumps(handed_out(1)).encode()))
    assert again.session.send(wire.ack(EXPORT, json.dumps(handed_out(2)).encode())).ok


@pytest.mark.parametrize(
    "path",
    [
        f"/api/connector/ack/{OTHERS}",
        f"/API/Connector/ACK/{OTHERS.upper()}",
        f"/api/connector/ack/%7B{OTHERS}%7D",
        f"/api/connector/%61ck/{OTHERS}",
        f"/api/connector/%2561ck/{OTHERS}",
        f"/api//connector/./ack//{OTHERS}/",
        f"/api/connector/jobstatus/../ack/{OTHERS}",
        f"/api/connector%2Fack%2F{OTHERS}",
        f"/api\\connector\\ack\\{OTHERS}",
        f"/en-us/api/connector/ack;v=1/{OTHERS}",
        f"/api/connector/ack%20/{OTHERS}",
        f"/api/connector/%u0061ck/{OTHERS}",
        f"/api/connector/%25u0061ck/{OTHERS}",
        f"/api/connector/ac%E2%84%AA/{OTHERS}",  # the sign of the unit Kelvin, a k in lower case
        "/api/connector/ack/%7B0x1,0x1,0x1,%7B0x1,0x1,0x1,0x1,0x1,0x1,0x1,0x1%7D%7D",
        "/api/connector/ack",
        "/api/connector/ack/",
    ],
)
def test_no_spelling_gets_an_acknowledgment_past_it(driven: Driven, path: str) -> None:
    """A server may undo more of a spelling than a journal does."""
    assert driven.refused(Ask("POST", path, body=b"{}", operation="download"))


@pytest.mark.parametrize(
    ("path", "meant", "operation", "activity"),
    [
        (f"/api/connector/dequeue/{EXPORT}", None, "dequeue", EXPORT),
        (f"/api/connector/dequeue/%7B{EXPORT.upper()}%7D", None, "dequeue", EXPORT),
        ("/t/oauth2/v2.0/token", None, "token", None),
        ("/anything", "download", "download", None),
        ("/anything", None, "other", None),
        ("/api/connector", None, "other", None),
        ("/data/CustomerGroups", "jobstatus", "other", None),
        (f"/api/connector/dequeue/{EXPORT}/../../ack/{OTHERS}", "dequeue", "ack", OTHERS),
    ],
)
def test_what_a_path_asks_for(path: str, meant: str | None, operation: str, activity: str | None) -> None:
    assert asked_for(path, meant) == (operation, activity)


def handed_out(number: int) -> dict[str, str]:
    return {"CorrelationId": f"corr-{number}", "PopReceipt": f"pop-{number}", "DownloadLocation": "https://x/y"}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(handed_out(1)).encode(),
        json.dumps({"correlationid": "corr-1"}).encode(),
        b'{"PopReceipt": "\\u0070op-1"}',
        b'{"d": {"PopReceipt": "pop-1"}}',
        b'[{"CorrelationId": "corr-1"}]',
        b'not json, but "pop-1"',
    ],
)
def test_a_message_of_others_is_never_named(driven: Driven, body: bytes) -> None:
    """Not even on an activity that is exclusive: a server may look at the body alone."""
    driven.answers(httpx.Response(200, json=handed_out(1)), httpx.Response(200, json=handed_out(2)))
    driven.session.send(wire.dequeue(OTHERS))
    driven.session.send(wire.dequeue(EXPORT))
    assert "message of an activity that others may use" in driven.refused(wire.ack(EXPORT, body))
    assert driven.session.send(wire.ack(EXPORT, json.dumps(handed_out(2)).encode())).ok


def test_a_scenario_leaves_to_others_what_is_theirs(driven: Driven) -> None:
    """What it took from an activity that others use comes back to them; to go on with it needs an exclusive one."""
    token = httpx.Response(200, json={"access_token": "hush", "expires_in": 3600})
    driven.answers(token, httpx.Response(200, json=handed_out(1)), httpx.Response(200, json=handed_out(2)))
    identity = {"token_url": "https://login.example/T/oauth2/v2.0/token", "clients": {"authorised": {"client_id": "c"}}}
    tenant = driven.guard.tenant
    stage = Stage(
        Target(
            name="tenant:qa",
            build="",
            abilities=frozenset(),
            times=driven.times,
            session=driven.session,
            tokens=Tokens(driven.session, identity),
            journal=driven.session.journal,
            activities={role: each.settings for role, each in tenant.activities.items()},
            tenant=tenant,
            guard=driven.guard,
        ),
        "seed",
    )
    own, others = stage.export("package"), stage.export("file")
    theirs, ours = others.dequeue(), own.dequeue()
    assert theirs is not None
    assert ours is not None
    with pytest.raises(NotAbleTo, match="exclusive = true"):
        others.ack(theirs)
    stage.leave()
    assert driven.guard.sent == {"token": 1, "dequeue": 2, "ack": 1}
    assert driven.place.reached[-1].endswith(f"/ack/{EXPORT}")


@pytest.mark.parametrize("origin", ["http://qa.example", "http://files.example", "http://qa.example:443"])
def test_a_servers_word_leads_nobody_out_of_https(describe: Describe, origin: str) -> None:
    """Along the way anybody would read the file, or change it."""
    driven = Driven(describe('hosts = ["files.example"]'))
    assert "out of https" in driven.refused_by(driven.session.elsewhere(origin), wire.download("/file.zip"))
    assert driven.session.elsewhere("https://files.example").send(wire.download("/file.zip")).ok


# Activities that nobody has named


@pytest.mark.parametrize("ask", [wire.dequeue, lambda activity: wire.enqueue(activity, b"x", entity="e")])
@pytest.mark.parametrize(
    "activity",
    [
        UNKNOWN,
        UNKNOWN.upper(),
        f"{{{UNKNOWN}}}",
        UNKNOWN.replace("-", ""),
        f"x{UNKNOWN}",
        "00000000-0000-0000-0000-000000000000",
        "99999999-0000-8000-4000-000000000009",
        "{0x1,0x1,0x1,{0x1,0x1,0x1,0x1,0x1,0x1,0x1,0x1}}",
    ],
)
def test_a_job_that_nobody_has_named_is_somebodys(driven: Driven, ask: Callable[[str], Ask], activity: str) -> None:
    """A fuzzer, or a story that was recorded elsewhere, may come upon one: no file goes there, no message is hidden."""
    assert "an activity that [tenant.qa]" in driven.refused(ask(activity))
    assert driven.guard.refused == {"activity": 1}
    assert driven.session.send(wire.jobstatus(activity, UNKNOWN)).ok  # only asks


@pytest.mark.parametrize("ask", [wire.dequeue, lambda activity: wire.enqueue(activity, b"x", entity="e")])
def test_what_a_run_makes_up_is_nobodys(driven: Driven, ask: Callable[[str], Ask]) -> None:
    """How a service answers to an activity that there is not is a question too; so is a path without a GUID."""
    for activity in (made_up_guid("of this"), made_up_guid("of that").upper(), unknown_guid(Random(3)), "not-a-guid"):
        assert driven.session.send(ask(activity)).ok
    assert made_up_guid("of this") == made_up_guid("of this") != made_up_guid("of that")
    assert uuid.UUID(made_up_guid("of this")).version == 8


# Read-only


def test_read_only_lets_questions_out(describe: Describe) -> None:
    """Tokens, statuses, documents: nothing that hands in, hides, marks or takes."""
    driven = Driven(describe("read_only = true"))
    for ask in (
        wire.message_status("m"),
        wire.execution_id("m"),
        wire.execution_errors("e"),
        wire.execution_summary("e"),
        wire.jobstatus(IMPORT, "m"),
        Ask("GET", "/"),
    ):
        assert driven.session.send(ask).ok
    issuer = driven.session.elsewhere("https://login.example")
    assert issuer.send(Ask("POST", "/t/oauth2/v2.0/token", body=b"grant_type=x")).ok
    for ask in (
        wire.enqueue(IMPORT, b"x", entity="e"),
        wire.dequeue(EXPORT),
        wire.download(f"https://qa.example/api/connector/download/{EXPORT}?correlation-id=1"),
        wire.download("https://qa.example/elsewhere"),
        wire.ack(EXPORT, b"{}"),
        Ask("GET", f"/api/connector/%64equeue/{EXPORT}"),
        Ask("POST", "/data/CustomerGroups", body=b"{}"),
        Ask("DELETE", "/data/CustomerGroups(1)"),
    ):
        assert "read_only = true" in driven.refused(ask)


# Hosts


def test_other_hosts_are_asked_only_where_they_are_named(describe: Describe) -> None:
    """There a file is read, without a token and without a body."""
    driven = Driven(describe('hosts = ["*.blob.example", "files.example"]'))
    reads = Ask("GET", "/file")
    for host in ("a.blob.example", "b.a.blob.example", "files.example"):
        assert driven.session.elsewhere(f"https://{host}").send(reads).ok
    for host in ("blob.example", "a.blob.example.evil.example", "evil.example", "xfiles.example", "169.254.169.254"):
        elsewhere = driven.session.elsewhere(f"https://{host}")
        with pytest.raises(NotPermitted, match="names no such host"):
            elsewhere.send(reads)
    named = driven.session.elsewhere("https://files.example")
    for options, ask in (
        ({"token": "t"}, reads),
        ({}, Ask("POST", "/file")),
        ({}, Ask("GET", "/file", body=b"x")),
        ({"headers": (("authorization", "Bearer t"),)}, reads),
    ):
        with pytest.raises(NotPermitted, match="no token or body is sent"):
            named.send(ask, **options)
    assert len(driven.place.reached) == 3


def test_credentials_go_to_the_named_issuer_over_tls_alone(driven: Driven) -> None:
    """Nowhere else: also where a discovery document says otherwise."""
    form = Ask("POST", "/T/oauth2/v2.0/token", body=b"client_secret=x")
    assert driven.session.elsewhere("https://login.example").send(form).ok
    for origin in ("https://login.evil.example", "http://login.example"):
        with pytest.raises(NotPermitted):
            driven.session.elsewhere(origin).send(form)


@pytest.mark.parametrize("origin", ["https://qa.example", "https://login.example:8443", "https://files.example"])
@pytest.mark.parametrize(
    "ask",
    [
        Ask("POST", "/T/oauth2/v2.0/token", body=b"grant_type=client_credentials"),
        Ask("POST", "/elsewhere", body=b"client_secret=x", operation="token"),
        Ask("POST", "/elsewhere", body=b"grant_type=x&client_assertion=x"),
    ],
)
def test_nobody_but_the_issuer_sees_credentials(describe: Describe, origin: str, ask: Ask) -> None:
    """Not the environment either, nor the issuer's host behind another port."""
    driven = Driven(describe('hosts = ["files.example"]'))
    with pytest.raises(NotPermitted, match=r"credentials go to https://login\.example alone"):
        driven.session.elsewhere(origin).send(ask)
    assert driven.place.reached == []


def test_a_location_that_leads_into_another_call_is_not_followed(driven: Driven) -> None:
    """To fetch a file from there would hide somebody's message, or take it."""
    for path in (f"/api/connector/dequeue/{OTHERS}", f"/en-us/API/connector/ack/{EXPORT}", "/T/oauth2/token"):
        driven.refused(wire.download(f"https://qa.example{path}"))
    assert driven.session.send(wire.download(f"https://qa.example/api/connector/download/{EXPORT}?x=1")).ok


def test_the_environment_under_another_port_gets_no_token(driven: Driven) -> None:
    """A DownloadLocation may name one; where it names http, the environment itself is asked for its path."""
    other = driven.session.elsewhere("https://qa.example:8443")
    assert other.send(Ask("GET", "/file")).ok
    with pytest.raises(NotPermitted, match="no token"):
        other.send(Ask("GET", "/file"), token="t")


# Budgets


def test_the_budget_of_requests(describe: Describe) -> None:
    """The last one that fits goes out, the next does not; what is spent stays spent."""
    driven = Driven(describe("budget = { requests = 2 }"))
    asked = Ask("GET", "/")
    driven.session.send(asked)
    driven.session.send(asked)
    assert "budget of 2 requests" in driven.refused(asked)
    with pytest.raises(NotPermitted) as caught:
        driven.session.send(asked)
    assert caught.value.final
    assert driven.guard.refused == {"budget": 2}


def test_the_budget_of_megabytes_counts_both_ways(describe: Describe) -> None:
    driven = Driven(describe("budget = { megabytes = 0.01 }"))
    driven.answers(httpx.Response(200, content=b"x" * 6_000))
    driven.session.send(Ask("GET", "/"))
    assert 6_000 < driven.guard.spent.length < 6_600
    driven.refused(wire.enqueue(IMPORT, b"x" * 4_000, entity="e"))
    driven.session.send(wire.enqueue(IMPORT, b"x" * 3_650, entity="e"))
    assert "budget of 0.01 megabytes" in driven.refused(Ask("GET", "/"))


def test_an_answer_is_not_read_beyond_the_budget(describe: Describe) -> None:
    """Whatever a server sends: that exchange has failed, and after it nothing more is asked."""
    driven = Driven(describe("budget = { megabytes = 0.01 }"))
    driven.answers(httpx.Response(200, content=iter([b"x" * 1_000] * 1_000)))
    reply = driven.session.send(Ask("GET", "/"))
    assert (reply.status, reply.failure) == (None, "too-long")
    assert 10_000 < driven.guard.spent.length < 12_000
    assert driven.guard.room() == 0
    with pytest.raises(NotPermitted) as caught:
        driven.session.send(Ask("GET", "/"))
    assert caught.value.final


def test_the_budget_of_minutes_counts_what_is_under_way(describe: Describe) -> None:
    """Waiting costs nothing; a run that goes on brings along what it had spent."""
    driven = Driven(describe("budget = { minutes = 1 }"))
    driven.times.advance(600)
    driven.session.send(Ask("GET", "/"))
    driven.guard.spent.seconds += 60
    assert "budget of 1 minutes" in driven.refused(Ask("GET", "/"))


def test_processes_share_a_budget(describe: Describe) -> None:
    shared = share_of(describe("budget = { requests = 10, megabytes = 3, minutes = 6 }"), 3).budget
    assert (shared.requests, shared.megabytes, shared.minutes) == (3, 1.0, 2.0)
    assert share_of(describe(), 3).budget.requests is None


def test_a_target_that_is_opened_again_has_no_new_budget(describe: Describe) -> None:
    """Whoever makes a failure smaller plays it many times; whose messages are whose stays known as well."""
    first = Driven(describe("budget = { requests = 2 }"))
    first.guard = first.session.guard = guard_of(first.guard.tenant)
    first.guard.times = first.times
    first.answers(httpx.Response(200, json=handed_out(1)))
    first.session.send(wire.dequeue(OTHERS))
    again = guard_of(describe("budget = { requests = 2 }"))
    assert again.spent.requests == 1
    ack = Asked("POST", "https://qa.example", f"/api/connector/ack/{EXPORT}", "ack", EXPORT, None, True, 9, b"corr-1")
    with pytest.raises(NotPermitted, match="message of an activity that others may use"):
        again.check(ack)
    first.session.send(Ask("GET", "/"))
    with pytest.raises(NotPermitted, match="budget of 2 requests"):
        again.permit(replace(ack, operation="other", path="/", body=b""))


def test_more_processes_than_requests_send_none(describe: Describe) -> None:
    """One each would be more than the budget."""
    tenant = share_of(describe("budget = { requests = 2 }"), 3)
    assert "budget of 0 requests" in Driven(tenant).refused(Ask("GET", "/"))


def test_listeners_hear_of_what_goes_out_and_may_keep_it_back(driven: Driven) -> None:
    """Before it is counted; of what the description forbids they hear nothing."""
    heard: list[Asked] = []

    def listener(asked: Asked) -> None:
        if asked.operation == "enqueue":
            raise NotPermitted("tenant:qa", "plan", "no line")
        heard.append(asked)

    driven.guard.listeners.append(listener)
    driven.session.send(wire.dequeue(EXPORT), actor="authorised", token="hush")
    driven.refused(wire.ack(OTHERS, b"{}"))
    driven.refused(wire.enqueue(IMPORT, b"x", entity="e"))
    assert [(each.operation, each.activity, each.actor, each.with_token) for each in heard] == [
        ("dequeue", EXPORT, "authorised", True)
    ]
    assert driven.guard.spent.requests == 1
    assert "hush" not in repr(heard)


# Later


def throttled(seconds: str | None, status: int = 429, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={**({} if seconds is None else {"retry-after": seconds}), **headers})


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        (throttled("30"), 30),
        (throttled("17", 503), 17),
        (throttled("Thu, 01 Jan 2026 00:01:30 GMT", date="Thu, 01 Jan 2026 00:01:00 GMT"), 30),
        (throttled("soon"), 5),
        (throttled(None), 5),
        (throttled(None, 503), 0),
        (throttled("30", 500), 0),
        (throttled("30", 200), 0),
    ],
)
def test_a_server_is_left_alone_for_as_long_as_it_asks(driven: Driven, answer: httpx.Response, waits: int) -> None:
    """The answer is not repeated: whoever asks next waits."""
    driven.answers(answer)
    assert driven.session.send(Ask("GET", "/")).status == answer.status_code
    assert driven.waited == 0
    until = driven.guard.not_before("https://qa.example/x")
    assert until == (START + timedelta(seconds=waits) if waits else None)
    driven.session.send(Ask("GET", "/"))
    assert driven.waited == waits
    driven.session.send(Ask("GET", "/"))
    assert driven.waited == waits
    assert driven.guard.not_before("https://qa.example") is None


@pytest.mark.parametrize(
    ("values", "pause"),
    [
        (["0"], 0),
        (["-5"], 5),
        (["1.5"], 5),
        (["\xb2"], 5),
        (["30, 60"], 5),
        (["30", "60", "soon"], 60),
        (["Thu, 01 Jan 1970 00:00:00 GMT"], 0),
        (["Thu, 01 Jan 2026 00:01:00 +9999"], 5),
        (["99999999999999999999"], 366 * 86_400),
        (["9" * 5_000], 366 * 86_400),
        (["Fri, 31 Dec 9999 23:59:59 GMT"], 366 * 86_400),
        (["Fri, 31 Dec 99999 23:59:59 GMT"], 5),
    ],
)
def test_what_a_server_may_ask_for(values: list[str], pause: float) -> None:
    """The longest of several, a year at most; what cannot be read counts as not said."""
    date = ("date", "Thu, 01 Jan 2026 00:00:00 GMT")
    heard = Heard(429, (date, *(("retry-after", each) for each in values)), b"", None, 0, 0.0)
    assert pause_of(heard) == timedelta(seconds=pause)


def test_only_the_host_that_asks_is_left_alone(driven: Driven) -> None:
    driven.answers(throttled("30"))
    driven.session.send(Ask("GET", "/"))
    driven.session.elsewhere("https://login.example").send(Ask("POST", "/T/oauth2/v2.0/token", body=b"x"))
    assert driven.waited == 0


def test_longer_than_anybody_waits_ends_it(driven: Driven) -> None:
    """The sentence names the instant; the request has not gone out."""
    driven.answers(throttled("3600"))
    driven.session.send(Ask("GET", "/"))
    assert "until 2026-01-01T01:00:00" in driven.refused(Ask("GET", "/"))
    assert driven.guard.refused == {"later": 1}


def test_a_token_is_asked_for_again_when_the_endpoint_wants_to_hear_of_it(driven: Driven) -> None:
    """A few times, and not before."""
    token = {"access_token": "hush", "expires_in": 3600}
    driven.answers(throttled("3"), throttled("4", 503), httpx.Response(200, json=token))
    identity = {"token_url": "https://login.example/T/oauth2/v2.0/token", "clients": {"authorised": {"client_id": "c"}}}
    assert Tokens(driven.session, identity).current() == "hush"
    assert driven.waited == 7
    assert driven.guard.sent == {"token": 3}


def test_a_cut_off_answer_asks_for_nothing() -> None:
    heard = Heard(429, (("retry-after", "9"),), b"", "truncated", 0, 0.1)
    assert pause_of(heard) is None
