"""Bad input on every route: the right status, a JSON error, no stack, and nothing changed."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from popreceipt.emulator.profile import Profile

if TYPE_CHECKING:
    from conftest import Environment, Made

ACTION = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
CONTROL = "/_control/v1"
UNKNOWN = "11111111-2222-4333-8444-555555555555"
VERBS = {"enqueue": "POST", "dequeue": "GET", "download": "GET", "ack": "POST", "jobstatus": "GET"}
ACTIONS = {
    "GetMessageStatus": "messageId",
    "GetExecutionIdByMessageId": "_messageId",
    "GetExecutionErrors": "executionId",
    "GetExecutionSummaryStatus": "executionId",
}
ALL_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
NO_OBJECTS = (
    b"",
    b"x",
    b"{",
    b"[]",
    b'"text"',
    b"null",
    b"{'a'",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a": NaN}',
    b"'",
    b"{'a':'\\ud800'}",
)


def refusal(response, status: int, member: str = "Message") -> None:
    """A response that refuses: its status, and a JSON object that says why and tells no stack."""
    assert response.status == status, response.body
    assert ("content-type", "application/json; charset=utf-8") in response.headers or member == "error"
    assert json.loads(response.body)[member]
    assert b"Traceback" not in response.body
    assert b"stack" not in response.body.lower()


@pytest.fixture
def settled(plain: Environment) -> Environment:
    """An environment with a leased message, and one that waits, on an export; and a message on an import."""
    plain.job = plain.create("export", processing_recurrence_minutes=None)
    plain.goal = plain.create("import", processing_recurrence_minutes=None)
    plain.produce(plain.job)
    plain.produce(plain.job)
    plain.offer = plain.dequeue(plain.job)
    plain.message = plain.send(plain.goal, "A,,")
    return plain


@pytest.fixture
def unchanged(settled: Environment):
    """At the end all is as it was: rows, queue, lease, and the message that waits."""
    before = settled.messages(settled.job), settled.messages(settled.goal)
    yield settled
    settled.forget_tokens()
    assert (settled.messages(settled.job), settled.messages(settled.goal)) == before
    assert settled.dequeue(settled.job)["LastDequeueDateTime"] is None
    assert settled.dequeue(settled.job) is None
    assert settled.ack(settled.job, settled.offer).status == 200


@pytest.mark.parametrize("operation", VERBS)
def test_activities_that_are_none(unchanged: Environment, operation: str) -> None:
    """Malformed: 400. Unknown: 404. None at all, or too much behind it: no such route."""
    verb, path = VERBS[operation], f"/api/connector/{operation}"
    for spelled in (
        "x",
        "customer-groups",
        f"{UNKNOWN}x",
        "%7B" + UNKNOWN,
        UNKNOWN.replace("-", ""),
        "%00",
        "%FF",
        "{}",
    ):
        refusal(unchanged.call(verb, f"{path}/{spelled}"), 400)
    for spelled in (UNKNOWN, f"%7B{UNKNOWN}%7D", f"{{{UNKNOWN.upper()}}}"):
        refusal(unchanged.call(verb, f"{path}/{spelled}"), 404)
    for nothing in (path, f"{path}/", f"{path}/{unchanged.job}/more", f"/api/connector//{operation}/{unchanged.job}"):
        refusal(unchanged.call(verb, nothing), 404)


@pytest.mark.parametrize("operation", VERBS)
def test_wrong_verbs(unchanged: Environment, operation: str) -> None:
    """405, with the verb that is offered."""
    for verb in set(ALL_VERBS) - {VERBS[operation]}:
        response = unchanged.call(verb, f"/api/connector/{operation}/{unchanged.job}")
        refusal(response, 405)
        assert ("allow", VERBS[operation]) in response.headers


def test_wrong_directions(unchanged: Environment) -> None:
    """400 for an upload to an export, and for anything outgoing on an import."""
    refusal(unchanged.enqueue(unchanged.job, b"x"), 400)
    for operation in ("dequeue", "download", "ack"):
        refusal(unchanged.call(VERBS[operation], f"/api/connector/{operation}/{unchanged.goal}", "", b"{}"), 400)


@pytest.mark.parametrize("operation", VERBS)
def test_callers_that_may_not(unchanged: Environment, operation: str) -> None:
    """No token, a bad one, no mapped user, not on the policy: 401 with a challenge."""
    verb, path = VERBS[operation], f"/api/connector/{operation}/{unchanged.job}"
    token = unchanged.token()
    bad = (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        f"Basic {token}",
        token,
        f"Bearer {token[:-9]}AAAAAAAA",
        "Bearer é",
    )
    for header in bad:
        headers = () if header is None else (("authorization", header),)
        response = unchanged.call(verb, path, "", b"x", role=None, headers=headers)
        refusal(response, 401)
        assert any(name == "www-authenticate" and value.startswith("Bearer") for name, value in response.headers)
    for role in ("unlisted", "unmapped"):
        refusal(unchanged.call(verb, path, role=role), 401)
    disabled = unchanged.activity("import-disabled")
    refusal(unchanged.call(verb, f"/api/connector/{operation}/{disabled}"), 401)


def test_a_token_that_is_over(settled: Environment) -> None:
    """An hour after it was issued; the renewed one is good."""
    old = (("authorization", f"Bearer {settled.token()}"),)
    path = f"/api/connector/jobstatus/{settled.goal}"
    settled.clock.advance(settled.emulator.profile.token_lifetime)
    refusal(settled.call("GET", path, f"jobId={settled.message}", role=None, headers=old), 401)
    settled.forget_tokens()
    assert settled.call("GET", path, f"jobId={settled.message}").status == 200


def test_acknowledgments_that_are_none(unchanged: Environment) -> None:
    """No object, a member missing or of the wrong kind: 400. Unknown correlation: 404. Another receipt: 500."""
    job, offer = unchanged.job, unchanged.offer
    for body in NO_OBJECTS:
        refusal(unchanged.ack(job, body), 400)
    for name in ("CorrelationId", "PopReceipt"):
        refusal(unchanged.ack(job, {key: value for key, value in offer.items() if key != name}), 400)
        for wrong in (None, 1, True, [], {}, "", "x", "\u0000", "é" * 28):
            refusal(unchanged.ack(job, offer | {name: wrong}), 400)
    refusal(unchanged.ack(job, {"messageId": unchanged.message, "status": "Acked"}), 400)
    refusal(unchanged.ack(job, offer | {"CorrelationId": UNKNOWN}), 404)
    refusal(unchanged.ack(job, offer | {"PopReceipt": "AgAAAAMAAAAAAAAAAAAAAAAAAAA="}), 500)


def test_downloads_that_are_none(unchanged: Environment) -> None:
    """Parameters missing or malformed: 400. A location nobody handed out: 404."""
    path = f"/api/connector/download/{unchanged.job}"
    correlation, blob = unchanged.offer["DownloadLocation"].partition("?")[2].split("&")
    for query in ("", correlation, blob, f"{correlation}&blob=x", f"correlation-id=&{blob}", "&&==&%", "%FF=%FF"):
        refusal(unchanged.call("GET", path, query), 400)
    for query in (f"{correlation}&blob={UNKNOWN}", f"correlation-id={UNKNOWN}&{blob}"):
        refusal(unchanged.call("GET", path, query), 404)
    other = unchanged.create("export")
    refusal(unchanged.call("GET", f"/api/connector/download/{other}", f"{correlation}&{blob}"), 404)


def test_jobstatus_of_nothing(unchanged: Environment) -> None:
    """No jobId: 400. A message that the activity does not have: 404."""
    path = f"/api/connector/jobstatus/{unchanged.goal}"
    refusal(unchanged.call("GET", path), 400)
    refusal(unchanged.call("GET", path, "jobId="), 400)
    for spelled in (UNKNOWN, "x", f"%22{unchanged.message}%22"):
        refusal(unchanged.call("GET", path, f"jobId={spelled}"), 404)
    refusal(unchanged.call("GET", f"/api/connector/jobstatus/{unchanged.job}", f"jobId={unchanged.message}"), 404)


@pytest.mark.parametrize("operation", ["enqueue", "ack"])
def test_bodies_over_the_limit(environment: Made, operation: str) -> None:
    """413 with nothing in it, whether the length was announced or found; at the limit all is well."""
    one = environment(profile=Profile(body_limit=1000))
    one.token()  # A token request is longer than what is shown here.
    one.emulator.profile = Profile(body_limit=100)
    job = one.activity("import-file")
    path = f"/api/connector/{operation}/{job}"
    for body, headers in (
        (b"x" * 101, ()),
        (b"", (("content-length", "101"),)),
        (b"", (("content-length", "9" * 5000),)),
    ):
        response = one.call("POST", path, "entity=Customer groups", body, headers=headers)
        assert (response.status, response.body) == (413, b"")
    assert one.messages(job) == []
    assert one.enqueue(job, b"x" * 100).status == 200


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_that_are_none(unchanged: Environment, name: str) -> None:
    """No object, no parameter or one of the wrong kind, another verb, no token: OData's own error object."""
    for body in NO_OBJECTS:
        refusal(unchanged.call("POST", ACTION + name, "", body), 400, "error")
    for value in (None, 1, [], {}):
        refusal(unchanged.action(name, **{ACTIONS[name]: value}), 400, "error")
    refusal(unchanged.action(name, wrong=UNKNOWN), 400, "error")
    response = unchanged.call("GET", ACTION + name)
    refusal(response, 405, "error")
    assert ("allow", "POST") in response.headers
    for role in (None, "unmapped"):
        refusal(unchanged.call("POST", ACTION + name, "", {ACTIONS[name]: UNKNOWN}, role=role), 401, "error")
    assert unchanged.call("POST", ACTION + name, "", {}, role="unlisted").status == 400


def test_unknown_things_to_ask_actions_for(unchanged: Environment) -> None:
    """An unknown message is an error of GetMessageStatus; unknown executions have no errors but no summary either."""
    for spelled in (UNKNOWN, "x", "", f'"{unchanged.message}"'):
        refusal(unchanged.action("GetMessageStatus", messageId=spelled), 400, "error")
        assert unchanged.value("GetExecutionErrors", executionId=spelled) == "[]"
        refusal(unchanged.action("GetExecutionSummaryStatus", executionId=spelled), 400, "error")
    assert unchanged.value("GetExecutionErrors", executionId=unchanged.message) == "[]"
    refusal(unchanged.action("GetExecutionIdByMessageId", messageId=unchanged.message), 400, "error")
    refusal(unchanged.action("GetExecutionIdByMessageId", _messageId="x"), 400, "error")
    refusal(unchanged.action("GetNothing", messageId=UNKNOWN), 404, "error")


def test_a_string_that_nobody_closes_is_read_once(settled: Environment) -> None:
    """A body of a megabyte that is no JSON is refused without being searched from each of its quotes anew."""
    for quotes in ("'" + '\\"' * 500_000, '"' + "\\'" * 500_000, "'\"" * 300_000):
        assert settled.call("POST", ACTION + "GetMessageStatus", "", quotes).status == 400


def test_actions_understand_single_quotes_braces_and_any_letter_case(settled: Environment) -> None:
    """As public clients write."""
    lenient = f"{{'messageId': '{settled.message}'}}"
    assert settled.call("POST", ACTION + "GetMessageStatus", "", lenient).status == 200
    assert settled.value("getmessagestatus", messageId=f"{{{settled.message.upper()}}}") == "Enqueued"


CONTROL_CALLS = {
    "/clock": ("advance_seconds", (None, -1, "1", True, [], 1e300, 10**30)),
    "/activities": ("direction", (None, 1, "", "both", [])),
    "/activities/{job}/produce": ("records", (None, -1, 1.5, "3", True, [], 10**9)),
    "/activities/{job}/cleanup": ("olderThanDays", (None, -1, "0", True, [], 1e300)),
    "/activities/{job}/batch": ("action", (None, 1, "", "fetch", ["get-status"])),
}


@pytest.mark.parametrize("path", CONTROL_CALLS)
def test_control_calls_that_are_none(unchanged: Environment, path: str) -> None:
    """Bodies that are no object, members missing, wrong or unknown: 400 with an error."""
    member, wrong = CONTROL_CALLS[path]
    path = CONTROL + path.format(job=unchanged.job)
    for body in NO_OBJECTS:
        refusal(unchanged.call("POST", path, "", body, role=None), 400, "error")
    for body in ({}, {"unknown": 1}, {member: 0, "unknown": 1}, *({member: value} for value in wrong)):
        refusal(unchanged.call("POST", path, "", body, role=None), 400, "error")


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": 1},
        {"enabled": None},
        {"processing_recurrence_minutes": 0},
        {"processing_recurrence_minutes": 1.5},
        {"processing_recurrence_minutes": "5"},
        {"monitoring_recurrence_minutes": -1},
        {"in_order": "yes"},
        {"name": ""},
        {"name": "line\nbreak"},
        {"description": None},
        {"description": "x" * 1001},
        {"processing_recurrence": 5},
        {"processing_recurrence": {}},
        {"processing_recurrence": {"every": 5}},
        {"processing_recurrence": {"every": 0, "unit": "minutes"}},
        {"processing_recurrence": {"unit": "seconds"}},
        {"processing_recurrence": {"unit": "days", "weekdays": ["monday"]}},
        {"processing_recurrence": {"unit": "weeks", "weekdays": ["someday"]}},
        {"processing_recurrence": {"unit": "weeks", "weekdays": None}},
        {"processing_recurrence": {"unit": "weeks", "weekdays": "monday"}},
        {"processing_recurrence": {"unit": "weeks", "weekdays": ["monday", "monday"]}},
        {"processing_recurrence": {"unit": "days", "start": "tomorrow"}},
        {"processing_recurrence": {"unit": "days", "start": 5}},
        {"processing_recurrence": {"unit": "days", "end": {}}},
        {"processing_recurrence": {"unit": "days", "end": {"count": 0}}},
        {"processing_recurrence": {"unit": "days", "end": {"count": 1, "date": "2026-02-01T00:00:00Z"}}},
        {"processing_recurrence": {"unit": "days", "end": {"date": "never"}}},
        {"processing_recurrence": {"unit": "days", "end": {"date": "0001-01-01T00:00:00+14:00"}}},
        {"processing_recurrence": {"unit": "days", "more": 1}},
        {"monitoring_recurrence": {"every": 5, "unit": "minutes"}, "monitoring_recurrence_minutes": 6},
        {"processing_recurrence": None, "processing_recurrence_minutes": 5},
        {"id": UNKNOWN},
    ],
)
def test_changes_that_are_none(unchanged: Environment, change: dict[str, object]) -> None:
    """All or nothing: a good member beside a bad one is not taken."""
    before = unchanged.emulator.world()
    body = {"use_company_from_message": True, **change}
    refusal(unchanged.call("PATCH", f"{CONTROL}/activities/{unchanged.job}", "", body, role=None), 400, "error")
    assert unchanged.emulator.world() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " x"},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"name": 5},
        {"type": "folder"},
        {"entity": "Vendors"},
        {"format": "XML"},
        {"project": "p"},
    ],
)
def test_activities_that_cannot_be_created(unchanged: Environment, wrong: dict[str, object]) -> None:
    """400, and the world is as it was."""
    before = unchanged.emulator.world()
    body = {"direction": "import", **wrong}
    refusal(unchanged.call("POST", f"{CONTROL}/activities", "", body, role=None), 400, "error")
    assert unchanged.emulator.world() == before


@pytest.mark.parametrize("body", [b"", b"[]", {"skip_reprocessing": None}, {"skip_reprocessing": 1}, {"skip": True}])
def test_parameters_that_are_none(unchanged: Environment, body: bytes | dict[str, object]) -> None:
    """400, and they stay as they are."""
    refusal(unchanged.call("PATCH", f"{CONTROL}/parameters", "", body, role=None), 400, "error")
    assert unchanged.control("GET", "/parameters") == {"skip_reprocessing": False}


def test_control_paths_that_are_none(unchanged: Environment) -> None:
    """Malformed and unknown activities, wrong directions, wrong verbs, abilities that are not offered."""
    for path, verb in (
        ("produce", "POST"),
        ("process", "POST"),
        ("messages", "GET"),
        ("records", "GET"),
        ("cleanup", "POST"),
        ("batch", "POST"),
        ("load", "GET"),
    ):
        refusal(unchanged.call(verb, f"{CONTROL}/activities/x/{path}", "", b"{}", role=None), 400, "error")
        refusal(unchanged.call(verb, f"{CONTROL}/activities/{UNKNOWN}/{path}", "", b"{}", role=None), 404, "error")
    refusal(unchanged.call("PATCH", f"{CONTROL}/activities/{UNKNOWN}", "", b"{}", role=None), 404, "error")
    produce = f"{CONTROL}/activities/{unchanged.goal}/produce"
    refusal(unchanged.call("POST", produce, "", {"records": 1}, role=None), 400, "error")
    refusal(unchanged.call("POST", f"{CONTROL}/activities/{unchanged.job}/process", role=None), 400, "error")
    statuses = {"olderThanDays": 0, "statuses": ["Done"]}
    refusal(
        unchanged.call("POST", f"{CONTROL}/activities/{unchanged.job}/cleanup", "", statuses, role=None), 400, "error"
    )
    for path in (
        "",
        "/",
        "/x",
        "/projects/x/y",
        f"/activities/{unchanged.job}/history",
    ):
        refusal(unchanged.call("GET", CONTROL + path, role=None), 404, "error")
    response = unchanged.call("DELETE", f"{CONTROL}/clock", role=None)
    refusal(response, 405, "error")
    assert ("allow", "GET, POST") in response.headers


def test_unknown_paths(unchanged: Environment) -> None:
    """404, whatever the verb."""
    for path in (
        "",
        "/",
        "//",
        "/api",
        "/api/connector",
        "/x/y/z",
        "/en/fr/api/connector/dequeue/x",
        "/data",
        "/data/x",
        "*",
    ):
        for verb in ALL_VERBS:
            assert unchanged.call(verb, path).status == 404


def test_random_requests_never_meet_a_fault(unchanged: Environment) -> None:
    """Two thousand requests of pieces that fit badly: no 500 but the documented ones, and no internal fault."""
    source = random.Random(3)
    pieces = [
        "api",
        "connector",
        "data",
        "_control",
        "v1",
        "_blobs",
        "activities",
        "en",
        "%",
        "%2F",
        "",
        ".",
        "..",
        "\x00",
        "é",
    ]
    pieces += [*VERBS, *ACTIONS, "world", "clock", "journal", "messages", "records", "oauth2", "token", "v2.0", UNKNOWN]
    pieces += [unchanged.job, ACTION[1:] + "GetMessageStatus", f"%7B{unchanged.goal}%7D"]
    bodies = [*NO_OBJECTS[:6], b"a=b", b"{}", b'{"messageId": ""}', b"\x00" * 50]
    for _ in range(2000):
        path = "/" + "/".join(source.choices(pieces, k=source.randrange(1, 6)))
        query = "&".join(source.choices(["entity=%", "jobId=x", "=", "blob", "correlation-id=%00", "x=é"], k=2))
        verb = source.choice([one for one in ALL_VERBS if one != "POST" or "enqueue" not in path])
        response = unchanged.call(verb, path, query, source.choice(bodies), role=source.choice(["authorised", None]))
        assert response.status < 500, (verb, path, query)
    assert unchanged.emulator.faults == []
