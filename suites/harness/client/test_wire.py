"""Requests as the documentation writes them, answers in every form they have been seen in."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.wire import Ask, Reply, Spelling
from popreceipt.journal import Exchange, Request

ACTIVITY = "c03bb937-09af-4f13-bd13-8f0b1c8d0a01"
MESSAGE = "7a1f2b34-5c6d-4e7f-8a9b-0c1d2e3f4a5b"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def reply(body: bytes | str, status: int | None = 200, **headers: str) -> Reply:
    content = body.encode() if isinstance(body, str) else body
    exchange = Exchange(1, NOW, NOW, vocabulary.OTHER, Request("GET", "http://target/"))
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(exchange, status, named, content, None if status else "timeout")


# Requests


def test_an_enqueue_names_activity_and_entity() -> None:
    """The entity's blank is percent-encoded and the body is the file itself, with no type of its own."""
    ask = wire.enqueue(ACTIVITY, b"a,b\r\n", entity="Customer groups")
    assert ask == Ask(
        "POST", f"/api/connector/enqueue/{ACTIVITY}", "entity=Customer%20groups", headers=(), body=b"a,b\r\n"
    )


def test_an_enqueue_can_carry_all_that_clients_send() -> None:
    ask = wire.enqueue(
        ACTIVITY,
        b"PK",
        entity="A & B=ü",
        company="usmf",
        content_type="application/zip",
        external_identifier="groups.zip",
        spelling=Spelling(blank="+"),
    )
    assert ask.query == "entity=A+%26+B%3D%C3%BC&company=usmf"
    assert ask.headers == (("content-type", "application/zip"), ("x-ms-dyn-externalidentifier", "groups.zip"))


def test_a_package_needs_no_entity() -> None:
    assert wire.enqueue(ACTIVITY, b"PK").target == f"/api/connector/enqueue/{ACTIVITY}"


@pytest.mark.parametrize(
    ("spelling", "path"),
    [
        (Spelling(), f"/api/connector/dequeue/{ACTIVITY}"),
        (Spelling(activity="upper"), f"/api/connector/dequeue/{ACTIVITY.upper()}"),
        (Spelling(activity="braced"), f"/api/connector/dequeue/%7B{ACTIVITY.upper()}%7D"),
        (Spelling(activity="raw-braces"), f"/api/connector/dequeue/{{{ACTIVITY.upper()}}}"),
        (Spelling(language="en"), f"/en/api/connector/dequeue/{ACTIVITY}"),
        (Spelling(case="upper"), f"/API/CONNECTOR/DEQUEUE/{ACTIVITY}"),
        (Spelling(language="en-us", case="mixed"), f"/en-us/ApI/CoNnEcToR/DeQuEuE/{ACTIVITY}"),
    ],
)
def test_every_spelling_asks_for_the_same(spelling: Spelling, path: str) -> None:
    """However a path is written, the vocabulary reads the same operation and activity out of it."""
    ask = wire.dequeue(f"{{{ACTIVITY.upper()}}}", spelling)
    assert (ask.method, ask.target) == ("GET", path)
    assert vocabulary.operation_of(ask.path) == (vocabulary.DEQUEUE, ACTIVITY)


def test_what_is_no_guid_is_sent_as_it_is() -> None:
    """A job's name by mistake, or a probe, keeps its letters and cannot break out of its segment."""
    assert wire.dequeue("Customer Groups/Job").path == "/api/connector/dequeue/Customer%20Groups%2FJob"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("http://host:80/api/download/%7BA%7D?correlation-id=1&b=2", "/api/download/%7BA%7D?correlation-id=1&b=2"),
        ("https://host/api/download/{A}?x=a+b#part", "/api/download/{A}?x=a+b"),
        ("/api/download/A?x=1", "/api/download/A?x=1"),
        ("https://host", "/"),
        ("no location", "/"),
        ("http://host/a b\r\nevil: 1?q=ü", "/a%20b%0D%0Aevil:%201?q=%C3%BC"),
    ],
)
def test_a_download_asks_for_path_and_query_of_the_location(location: str, target: str) -> None:
    assert wire.download(location).target == target


@given(st.text())
def test_no_location_breaks_the_request_line(location: str) -> None:
    """Whatever a server calls a location, the request line stays one of printable ASCII."""
    target = wire.download(location).target
    assert target.startswith("/")
    assert all(0x20 < ord(letter) < 0x7F for letter in target)


@given(st.text(min_size=1), st.sampled_from(["%20", "+"]))
def test_an_entity_survives_its_encoding(entity: str, blank: Any) -> None:
    entity = entity.encode("utf-8", "replace").decode()
    query = wire.enqueue(ACTIVITY, b"", entity=entity, spelling=Spelling(blank=blank)).query
    assert parse_qs(query, keep_blank_values=True, strict_parsing=True) == {"entity": [entity]}


def test_an_acknowledgment_echoes_bytes() -> None:
    body = b'{"CorrelationId":  "x","PopReceipt":"\\u00e4"}'
    ask = wire.ack(ACTIVITY, body)
    assert ask.method == "POST"
    assert ask.path == f"/api/connector/ack/{ACTIVITY}"
    assert ask.body == body
    assert ask.headers == (("content-type", "application/json; charset=utf-8"),)
    assert wire.ack(ACTIVITY, body, content_type=None).headers == ()


def test_jobstatus_names_the_message_in_its_query() -> None:
    ask = wire.jobstatus(ACTIVITY, MESSAGE)
    assert (ask.method, ask.target) == ("GET", f"/api/connector/jobstatus/{ACTIVITY}?jobId={MESSAGE}")
    assert unquote(wire.jobstatus(ACTIVITY, '"x y"').query) == 'jobId="x y"'


@pytest.mark.parametrize(
    ("ask", "action", "member", "operation"),
    [
        (wire.message_status("m"), "GetMessageStatus", "messageId", vocabulary.MESSAGE_STATUS),
        (wire.execution_id("m"), "GetExecutionIdByMessageId", "_messageId", vocabulary.EXECUTION_ID),
        (wire.execution_errors("m"), "GetExecutionErrors", "executionId", vocabulary.EXECUTION_ERRORS),
        (wire.execution_summary("m"), "GetExecutionSummaryStatus", "executionId", vocabulary.EXECUTION_SUMMARY),
    ],
)
def test_the_actions_take_one_member_each(ask: Ask, action: str, member: str, operation: str) -> None:
    assert ask.method == "POST"
    assert ask.path == f"/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.{action}"
    assert json.loads(ask.body) == {member: "m"}
    assert ("content-type", "application/json") in ask.headers
    assert vocabulary.operation_of(ask.path) == (operation, None)


# Answers


@pytest.mark.parametrize(
    "body",
    [
        f'"{MESSAGE}"',
        MESSAGE,
        f'"{{{MESSAGE}}}"',
        f"{{{MESSAGE}}}",
        f'"{MESSAGE.upper()}"',
        json.dumps({"value": MESSAGE}),
        json.dumps({"Value": f"{{{MESSAGE}}}"}),
        f'\ufeff"{MESSAGE}"\r\n',
    ],
)
def test_a_message_id_is_found_in_every_form(body: str) -> None:
    assert wire.message_id(reply(body)) == MESSAGE


@pytest.mark.parametrize("body", ["", '""', "{}", '{"value": null}', '{"value": 3}', "{broken"])
def test_no_message_id_is_none(body: str) -> None:
    assert wire.message_id(reply(body)) is None


def test_a_refused_enqueue_has_no_message_id() -> None:
    assert wire.message_id(reply(f'"{MESSAGE}"', 500)) is None
    assert wire.message_id(reply(f'"{MESSAGE}"', None)) is None


DELIVERED = {
    "CorrelationId": "11111111-2222-4333-8444-555555555555",
    "PopReceipt": "AgAAAAMAAAAAAAAA",
    "DownloadLocation": "http://host:80/api/connector/download/x?correlation-id=1&blob=2",
    "IsDownLoadFileExist": True,
    "FileDownLoadErrorMessage": None,
    "LastDequeueDateTime": None,
}


def test_a_delivery_keeps_the_bytes_for_the_echo() -> None:
    body = json.dumps(DELIVERED, indent=3).encode()
    found = wire.delivery(reply(body))
    assert found is not None
    assert found.body == body
    assert found.correlation == DELIVERED["CorrelationId"]
    assert found.receipt == DELIVERED["PopReceipt"]
    assert found.location == DELIVERED["DownloadLocation"]
    assert found.file_exists is True
    assert found.last_dequeue is None
    assert found.has_file
    assert found.members == DELIVERED


def test_a_delivery_is_understood_in_another_letter_case() -> None:
    found = wire.delivery(reply(json.dumps({name.lower(): value for name, value in DELIVERED.items()})))
    assert found is not None
    assert found.receipt == DELIVERED["PopReceipt"]
    assert found.has_file


def test_a_second_delivery_tells_when_the_last_was() -> None:
    found = wire.delivery(reply(json.dumps(DELIVERED | {"LastDequeueDateTime": "2026-01-01T00:00:00Z"})))
    assert found is not None
    assert found.last_dequeue == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "change", [{"IsDownLoadFileExist": False}, {"DownloadLocation": None}, {"DownloadLocation": ""}]
)
def test_a_message_without_a_file_is_a_delivery_without_one(change: dict[str, Any]) -> None:
    found = wire.delivery(reply(json.dumps(DELIVERED | change)))
    assert found is not None
    assert not found.has_file


@pytest.mark.parametrize(
    "answer",
    [
        reply("", 204),
        reply("  ", 200),
        reply("null", 200),
        reply("[]", 200),
        reply(json.dumps(dict.fromkeys(DELIVERED) | {"IsDownLoadFileExist": False}), 200),
        reply("<html/>", 200),
        reply('{"Message": "An error has occurred."}', 200),
        reply(json.dumps(DELIVERED), 500),
        reply(json.dumps(DELIVERED)[:40], 200),
        reply("", None),
    ],
)
def test_no_message_is_no_delivery(answer: Reply) -> None:
    assert wire.delivery(answer) is None


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("Processed", "Processed"),
        ("PreProcessing", "Preprocessing"),
        ("PostProcessingError", "PostProcessingFailed"),
        ("Unheard", "Unheard"),
        ("", None),
        (3, None),
    ],
)
def test_a_status_has_the_documentations_name(value: object, state: str | None) -> None:
    assert wire.message_state(reply(json.dumps({"@odata.context": "x", "value": value}))) == state


@pytest.mark.parametrize(
    ("detail", "state"),
    [
        ({"DataJobState": "InProcess"}, "Processing"),
        ({"DataJobState": "PreProcessError"}, "PreProcessingError"),
        ({"DataJobState": 8}, "PreProcessingError"),
        ({"dataJobState": 5}, "Processed"),
        ({"DataJobState": 99}, "99"),
        ({"DataJobState": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_jobs_state_has_the_same_names(detail: object, state: str | None) -> None:
    assert wire.job_state(reply(json.dumps({"DataJobStatus": detail, "ExecutionLog": ""}))) == state


def test_an_odata_error_has_no_value() -> None:
    error = json.dumps({"error": {"code": "", "message": "An error has occurred."}})
    assert wire.odata_value(reply(error, 400)) is None
    assert wire.odata_value(reply(error, 200)) is None
    assert wire.odata_value(reply("[1]")) is None


@pytest.mark.parametrize(
    ("value", "execution"), [(vocabulary.ZERO_GUID, None), ("", None), (None, None), ("Ab-1", "Ab-1")]
)
def test_an_execution_of_zeros_is_none_yet(value: str | None, execution: str | None) -> None:
    assert wire.execution(reply(json.dumps({"value": value}))) == execution


LISTED = [
    {"RecordId": "2", "Field": "", "ErrorMessage": "Too long"},
    {"RecordId": "4", "Field": "A", "ErrorMessage": "x"},
]


@pytest.mark.parametrize("value", [json.dumps(LISTED), LISTED])
def test_errors_are_read_from_text_and_from_a_list(value: object) -> None:
    assert wire.errors(reply(json.dumps({"value": value}))) == LISTED


def test_errors_are_recovered_from_broken_json() -> None:
    """Unescaped quotes and line breaks in a message cost no entry."""
    text = (
        '[{"RecordId":"2","Field":"","ErrorMessage":"Value "abc" is\r\ntoo long"},'
        ' {"RecordId":"4","Field":"A","ErrorMessage":"plain"}]'
    )
    assert wire.errors(reply(json.dumps({"value": text}))) == [
        {"RecordId": "2", "Field": "", "ErrorMessage": 'Value "abc" is\r\ntoo long'},
        {"RecordId": "4", "Field": "A", "ErrorMessage": "plain"},
    ]


@pytest.mark.parametrize("value", ["[]", "", None, "3", 3])
def test_no_errors_are_an_empty_list(value: object) -> None:
    assert wire.errors(reply(json.dumps({"value": value}))) == []


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", timedelta(seconds=7)),
        ("0" * 20 + "7", timedelta(seconds=7)),
        ("9" * 5_000, timedelta(seconds=999_999_999)),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
    ],
)
def test_retry_after_counts_seconds(header: str, wait: timedelta | None) -> None:
    assert wire.retry_after(reply("", 429, retry_after=header)) == wait


def test_without_retry_after_nothing_is_asked() -> None:
    assert wire.retry_after(reply("", 429)) is None


@given(st.binary())
def test_no_body_breaks_a_reader(body: bytes) -> None:
    """Readers say None (or nothing) to any bytes at all."""
    answer = reply(body)
    for read in (wire.message_id, wire.delivery, wire.odata_value, wire.message_state, wire.job_state, wire.execution):
        read(answer)
    assert isinstance(wire.errors(answer), list)


MEMBERS = st.sampled_from(["value", "DataJobStatus", "DataJobState", *DELIVERED])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(MEMBERS, inner),
)


@given(ANYTHING)
def test_no_json_breaks_a_reader(value: object) -> None:
    answer = reply(json.dumps(value))
    for read in (wire.message_id, wire.delivery, wire.odata_value, wire.message_state, wire.job_state, wire.execution):
        read(answer)
    assert isinstance(wire.errors(answer), list)
