"""The checker of plans notices what is outside of one: by number, by activity, by size, and what was kept back."""

from datetime import UTC, datetime
from typing import Any

import pytest

from popreceipt.generate.rehearsal.bounds import acknowledged, outside, unrecorded
from popreceipt.journal import Body, Exchange, Request, Response

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXPORT = "11111111-0000-4000-8000-000000000001"
IMPORT = "11111111-0000-4000-8000-000000000002"
OTHERS = "99999999-0000-4000-8000-000000000009"
BASE = "https://qa.example"


def plan(*lines: tuple[str, str, str | None, int, int]) -> dict[str, Any]:
    """A plan with these lines: id, operation, role, most, bytes."""
    members = ("id", "operation", "role", "most", "bytes_each")
    return {
        "activities": {"export-package": EXPORT, "import-file": IMPORT},
        "lines": [dict(zip(members, each, strict=True)) for each in lines],
    }


def sent(
    method: str, path: str, body: bytes = b"", status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Exchange:
    """A request and its answer."""
    request = Request(method, f"{BASE}{path}", (), Body.of(body))
    return Exchange(1, NOON, NOON, "whatever the client called it", request, Response(status, headers))


DEQUEUE = sent("GET", f"/api/connector/dequeue/%7B{EXPORT.upper()}%7D")
TOKEN = sent("POST", "/tenant/oauth2/v2.0/token", b"grant_type=client_credentials")


def test_what_the_plan_has_room_for_is_not_outside() -> None:
    """Up to the last request of each line; those without a role have room for any activity."""
    told = plan(
        ("a/take", "dequeue", "export-package", 2, 0),
        ("b/strange", "dequeue", None, 1, 0),
        ("tour/tokens", "token", None, 1, 0),
    )
    assert outside(told, [DEQUEUE, DEQUEUE, DEQUEUE, TOKEN]) == []


@pytest.mark.parametrize(
    "exchange",
    [
        DEQUEUE,
        TOKEN,
        sent("GET", f"/api/connector/dequeue/{OTHERS}"),
        sent("GET", f"/api/connector/dequeue/{IMPORT}"),
        sent("POST", f"/api/connector/ack/{EXPORT}"),
        sent("GET", "/"),
        sent("GET", f"/api/connector/download/{EXPORT}?correlation-id=1"),
    ],
)
def test_a_request_too_many_is_outside(exchange: Exchange) -> None:
    """One more than the line has room for, or one that no line speaks of."""
    told = plan(("a/take", "dequeue", "export-package", 2, 0), ("tour/tokens", "token", None, 1, 0))
    assert len(outside(told, [DEQUEUE, DEQUEUE, TOKEN, exchange])) == 1


def test_an_interruption_has_room_for_what_it_cost() -> None:
    """One more request in some line, and the run's own lines anew."""
    told = plan(("a/take", "dequeue", "export-package", 1, 0), ("tour/tokens", "token", None, 1, 0))
    assert outside(told, [DEQUEUE, DEQUEUE, TOKEN, TOKEN], interruptions=1) == []
    assert outside(told, [DEQUEUE, DEQUEUE, DEQUEUE], interruptions=1)


def test_a_file_larger_than_the_plan_says_is_outside() -> None:
    """And so is a question that carries more than a question does."""
    told = plan(("a/hand-in", "enqueue", "import-file", 2, 10), ("a/ask", "message-status", None, 1, 0))
    url = f"/api/connector/enqueue/{IMPORT}?entity=x"
    question = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus"
    assert outside(told, [sent("POST", url, b"x" * 10), sent("POST", question, b"{}")]) == []
    assert "11 bytes" in outside(told, [sent("POST", url, b"x" * 11)])[0]
    assert "70000 bytes" in outside(told, [sent("POST", question, b"x" * 70_000)])[0]


def test_where_a_download_is_redirected_to_counts_as_a_download() -> None:
    """It is asked for at another place, and under the same line."""
    download = sent(
        "GET",
        f"/api/connector/download/{EXPORT}?x=1",
        status=302,
        headers=(("location", "https://blobs.example/b?s=1"),),
    )
    there = sent("GET", "/b?s=1")
    told = plan(("a/fetch", "download", "export-package", 1, 0), ("a/follow", "download", None, 1, 0))
    assert outside(told, [download, there]) == []
    assert len(outside(told, [download, there, there])) == 1


def test_what_only_the_server_saw_is_told() -> None:
    """A request that the client kept out of its journal; one that the server lacks is none."""
    other = sent("GET", "/api/connector/dequeue/x")
    assert unrecorded([DEQUEUE, TOKEN], [DEQUEUE]) == []
    assert unrecorded([DEQUEUE], [DEQUEUE, DEQUEUE, other]) == [
        f"1 times GET /api/connector/dequeue/%7B{EXPORT.upper()}%7D",
        "1 times GET /api/connector/dequeue/x",
    ]


def test_activities_that_were_acknowledged_on_are_known() -> None:
    """By the path, in whatever spelling."""
    assert acknowledged([DEQUEUE, sent("POST", f"/API/connector/ack/{{{EXPORT.upper()}}}")]) == {EXPORT}


def test_a_question_that_names_no_activity_may_be_one_of_any_line() -> None:
    """Statuses are asked for by message; a plan may say on whose behalf."""
    question = sent("POST", "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus")
    told = plan(("a/ask", "message-status", "import-file", 1, 0), ("b/ask", "message-status", None, 1, 0))
    assert outside(told, [question, question]) == []
    assert len(outside(told, [question, question, question])) == 1
