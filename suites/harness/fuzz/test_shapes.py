"""Judging shapes: right answers pass, whoever recorded them; each kind of wrong shape is complained of."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from popreceipt import resources
from popreceipt.generate.kills import verdicts_on
from popreceipt.journal import Body, Exchange, JournalFile, Request, Response
from popreceipt.shapes import complaints
from popreceipt.targets import open_target
from popreceipt.verification import verify

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACTIVITY = "c03bb937-09b2-4c3f-ae7c-d9f0b0e26fb6"
ACTIONS = "https://f/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities"
JSON = (("content-type", "application/json; charset=utf-8"),)
MESSAGE = {
    "CorrelationId": "11111111-2222-4333-8444-555555555555",
    "PopReceipt": "AgAAAAMAAAAAAAAAAAAAAAAAAAA=",
    "DownloadLocation": f"https://f/api/connector/download/{ACTIVITY}?correlation-id=1&blob=2",
    "IsDownLoadFileExist": True,
    "FileDownLoadErrorMessage": None,
    "LastDequeueDateTime": None,
}

JOURNALS = sorted(
    each for each in (resources.fixtures() / "journals").rglob("*.ndjson") if ".violated" not in each.name
)

ODD = {
    "token-answer.blackened.undecided": "the recorder has blackened a whole body, which is then no JSON",
    "token-required.sign-in-page.undecided": "a page to sign in stands where the answer to a dequeue should",
    "message-id-form.nothing": "an enqueue that names no message: a rule asks about it, no recording has shown it",
    "connector.status-calls-only.429": "a 429 that does not say how long to wait",
    "no-file-is-said.null-location.undecided": "a file that is said to be there, and no location",
    "no-file-understood.unnamed.held": "an answer that says that there is no file, and nothing else",
    "says-what-dequeue-said.unnamed-beside-a-digest.held": "the same",
    "after-a-whole-download.in-pieces.undecided": "a download in pieces: no service has been seen to give one",
    "empty-queue.200-null": "JSON without a value where nothing waits: a rule reads it, no recording has shown it",
    "creates-a-message.no-guid.held": "a message ID that is no GUID: no service has been seen to give one",
    "entity-with-percent-20.faults-for-a-while.held": "the same",
    "says-when-last-dequeued.date-header-on-the-wire.held": "an instant in a form that nobody has seen of this service",
    "says-when-last-dequeued.milliseconds-on-the-wire.held": "the same",
    "first-delivery-has-no-last-dequeue.zero-date-as-in-a-header.held": "the same",
    "says-when-last-dequeued.unreadable-on-the-wire.undecided": "the same, and nobody can tell which day is meant",
}
"""Journals on which rules do not convict and specifications do, and why."""


def exchange(
    operation: str = "dequeue",
    *,
    method: str = "GET",
    path: str = f"/api/connector/dequeue/{ACTIVITY}",
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = JSON,
    body: Any = None,
    failure: str | None = None,
) -> Exchange:
    """One exchange, as a journal holds it; a body that is no bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = path if path.startswith("http") else f"https://f{path}"
    answer = Response(status, headers, Body.of(content))
    return Exchange(1, NOON, NOON, operation, Request(method, url), answer, failure, "authorised")


def checks(*arguments: Any, **keywords: Any) -> list[str]:
    """The checks that complain of such an exchange."""
    return [each.check for each in complaints(exchange(*arguments, **keywords))]


@pytest.mark.parametrize("path", JOURNALS, ids=lambda each: f"{each.parent.name}/{each.stem}")
def test_journals_on_which_rules_do_not_convict_have_allowed_shapes(path: Path) -> None:
    """Hand-written ones of every chapter; where a specification is stricter than any rule, it is known."""
    found = [each for one in JournalFile(path) if isinstance(one, Exchange) for each in complaints(one)]
    assert bool(found) == (path.stem in ODD), found


@pytest.mark.parametrize(
    "dialect", ["", "dialect=dequeue.empty-queue=200-empty", "dialect=enqueue.message-id-form=bare"]
)
def test_what_the_suites_exchange_has_allowed_shapes(dialect: str) -> None:
    """Every exchange of a whole conformance run, planned faults and refusals included."""
    with open_target(f"emulator:{dialect}") as target:
        verify(target)
        exchanges = list(target.journal.exchanges())
        found = {(each.operation, each.check): each.message for one in exchanges for each in complaints(one)}
    assert len(exchanges) > 1000
    assert not found


def test_a_right_answer_is_not_complained_of() -> None:
    """However the path is spelled."""
    for path in (
        f"/api/connector/dequeue/{ACTIVITY}",
        f"/en/api/connector/dequeue/%7B{ACTIVITY.upper()}%7D",
        f"/API/Connector/Dequeue/{ACTIVITY}/",
    ):
        assert checks(path=path, body=MESSAGE) == []
        assert checks(path=path, body=MESSAGE | {"PopReceipt": 7}) == ["response_schema_conformance"]


def test_each_kind_of_wrong_shape_is_complained_of() -> None:
    """Status, content type, header, type, member."""
    assert checks(status=203, body=MESSAGE) == ["status_code_conformance"]
    assert checks(headers=(("content-type", "text/html"),), body=b"<html>") == ["content_type_conformance"]
    assert "content_type_conformance" in checks(headers=(), body=MESSAGE)
    assert checks(status=429, headers=JSON, body={}) == ["response_headers_conformance"]
    assert checks(status=429, headers=(*JSON, ("retry-after", "30")), body={}) == []
    assert checks(status=429, headers=(*JSON, ("retry-after", "soon")), body={}) == ["response_headers_conformance"]
    assert checks(body=MESSAGE | {"IsDownLoadFileExist": "true"}) == ["response_schema_conformance"]
    without = {name: value for name, value in MESSAGE.items() if name != "PopReceipt"}
    assert checks(body=without) == ["response_schema_conformance"]
    assert checks(body=b"{") == ["response_schema_conformance"]


def test_a_complaint_names_operation_check_and_what_was_found() -> None:
    """The operation as journals call it, whatever the specification calls it."""
    odd = exchange("message-status", method="POST", path=f"{ACTIONS}.GetMessageStatus", body={"value": 7})
    (found,) = complaints(odd)[:1]
    assert (found.operation, found.check) == ("message-status", "response_schema_conformance")
    assert "schema" in found.message


def test_an_empty_body_passes_where_the_specification_says_why() -> None:
    """An empty queue by an empty body; not so for an answer that must name a message."""
    assert checks(body=b"") == []
    assert checks(headers=(), body=b"") == []
    enqueue = {"method": "POST", "path": f"/api/connector/enqueue/{ACTIVITY}"}
    assert checks("enqueue", body=b"", **enqueue)


def test_bare_text_passes_where_the_specification_says_why() -> None:
    """A message ID without quotation marks; text that is no ID does not."""
    enqueue = {"method": "POST", "path": f"/api/connector/enqueue/{ACTIVITY}"}
    assert checks("enqueue", body=ACTIVITY.encode(), **enqueue) == []
    assert checks("enqueue", body=f'"{ACTIVITY}"'.encode(), **enqueue) == []
    assert checks("enqueue", body=b"fine", **enqueue) == ["response_schema_conformance"]


def test_a_download_is_one_wherever_it_was_fetched_from() -> None:
    """Locations are opaque: the journal tells what was meant."""
    assert checks("download", path="/files/17", headers=(), body=b"PK") == []
    assert checks("download", path="/files/17", status=201, headers=(), body=b"PK") == ["status_code_conformance"]
    assert checks("other", path="/files/17", status=201, headers=(), body=b"PK") == []


def test_both_token_endpoints_are_known_by_their_paths() -> None:
    """A journal calls both of them token."""
    token = {"token_type": "Bearer", "expires_in": 3599, "access_token": "redacted:00000000"}
    for path in ("/t/oauth2/token", "/t/oauth2/v2.0/token"):
        assert checks("token", method="POST", path=path, body=token) == []
        assert checks("token", method="POST", path=path, body={"token_type": "Bearer"}) == [
            "response_schema_conformance"
        ]


def test_nothing_is_said_of_what_cannot_be_judged() -> None:
    """No whole answer, a gateway's answer, an unknown verb or path, a body of which only the digest was kept."""
    assert checks(status=203, body=MESSAGE, failure="truncated") == []
    assert checks(status=502, headers=(), body=b"") == []
    assert checks(method="PATCH", status=203, body=MESSAGE) == []
    assert checks("other", path="/elsewhere", status=203, body=MESSAGE) == []
    digest_only = exchange(body=b"x" * 70_000)
    assert digest_only.response is not None
    assert digest_only.response.body is not None
    assert digest_only.response.body.text is None
    assert complaints(digest_only) == []


def test_no_verdict_depends_on_shapes() -> None:
    """Rules and specifications are two witnesses: neither reads the other."""
    verdicts = verdicts_on("emulator:enqueue-created")
    assert not [each.id for each in verdicts.rules if each.outcome.value == "violated"]
