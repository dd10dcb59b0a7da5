"""What became of a message, as the client saw it: picked from a journal, and told in words."""

import hashlib
import json
from typing import Any

import pytest
from lxml import etree

from popreceipt.middleware.played import Judged
from popreceipt.middleware.timeline import LANES, Timelines
from popreceipt.reports import lanes
from popreceipt.reports.lanes import MOST, Drawing
from popreceipt.rules import find
from popreceipt.verdict import Finding, Outcome, RuleVerdict

from .played_back import Tape, judged, of_fixture, violating

JOB = "11111111-2222-3333-4444-555555555555"
DEQUEUE = f"/api/connector/dequeue/{JOB}"
DOWNLOAD = f"/api/connector/download/{JOB}?correlation-id=1&blob="
ACK = f"/api/connector/ack/{JOB}"
ENQUEUE = f"/api/connector/enqueue/{JOB}?entity=Customer%20groups"


def said(number: int, receipt: str) -> bytes:
    """The answer to a dequeue."""
    return json.dumps(
        {
            "CorrelationId": f"c-{number}",
            "PopReceipt": receipt,
            "DownloadLocation": f"http://127.0.0.1:8365{DOWNLOAD}{number}",
            "IsDownLoadFileExist": True,
            "FileDownLoadErrorMessage": None,
            "LastDequeueDateTime": None,
        }
    ).encode()


def verdict(rule: str, *numbers: int, message: str = "so it was") -> RuleVerdict:
    """A violated rule with these witnesses."""
    known = find(rule)
    return RuleVerdict(
        id=rule,
        chapter=known.chapter,
        level=known.level,
        binds=known.binds,
        provenance=known.provenance,
        outcome=Outcome.VIOLATED,
        situations=1,
        findings=(Finding(Outcome.VIOLATED, message, numbers),),
    )


def drawn(one: Judged, of: RuleVerdict) -> Drawing:
    return Timelines(one).of(of)


def words(drawing: Drawing) -> list[str]:
    """Lane and words of every mark."""
    return [f"{each.lane}: {each.words}" for each in drawing.marks]


def begun(tape: Tape, **facts: Any) -> Tape:
    """The beginning that every scenario has."""
    tape.saw(0, "scenario", name="x", seconds=18.0, roots=["http://127.0.0.1:8365"], inbox=True, **facts)
    tape.saw(0, "subject", event="started", run=1)
    return tape


def test_the_story_of_a_message_that_came_twice() -> None:
    """Deliveries, the download, the inbox, a lost acknowledgment, leases, lives: and nothing of other messages."""
    tape = begun(Tape())
    first = tape.call(1, "GET", DEQUEUE, 200, response_body=said(1, "r-1"))
    other = tape.call(1.5, "GET", DEQUEUE, 200, response_body=said(2, "r-2"))
    tape.call(2, "GET", f"{DOWNLOAD}1", 200, response_body=b"the file", took=0.5)
    digest = _digest(b"the file")
    tape.saw(3, "inbox", reason="ack", appeared=[{"name": "one.zip", "sha256": digest, "length": 8}], gone=[])
    lost = tape.call(3, "POST", ACK, None, request_body=said(1, "r-1"), failure="reset")
    tape.saw(3, "fault", kind="reset", phase="before", operation="ack", activity=JOB, exchange=lost, fault="f")
    tape.saw(4, "subject", event="ended", run=1, status=1, ended_by="itself")
    tape.saw(6, "subject", event="started", run=2)
    again = tape.call(7.5, "GET", DEQUEUE, 200, response_body=said(1, "r-3"))
    tape.call(8, "POST", ACK, 200, request_body=said(1, "r-3"))
    tape.saw(9, "subject", event="ended", run=2, status=-15, ended_by="us")
    found = drawn(judged(tape.journal), verdict("acknowledgment.retried", lost, message="nobody tried again"))
    assert words(found) == [
        "dequeue: is handed the message",
        "download: asks for the file of the message: 8 bytes",
        "inbox: holds one.zip (seen when an acknowledgment came in)",
        "ack: acknowledges the message: no whole answer (reset)",
        "fault: by plan: reset before its effect, on ack",
        "process: ends by itself, with status 1",
        "process: is started again",
        "dequeue: is handed the message again",
        "ack: acknowledges the message: 200",
    ]
    assert [each.words for each in found.marks if each.witness] == ["acknowledges the message: no whole answer (reset)"]
    leases = [(each.start, each.end) for each in found.bars if each.lane == "lease"]
    assert leases == [(1.0, 7.0), (7.5, 8.0)]
    assert {each.words for each in found.bars if each.lane == "process"} == {
        "run 1, until 4.000 s",
        "run 2, until 9.000 s, when the scenario was over",
    }
    assert found.lanes == ("process", "dequeue", "lease", "download", "inbox", "ack", "fault")
    assert (found.title, found.sentence) == ("acknowledgment.retried violated: export-package", "nobody tried again")
    assert (first, other, again) == (1, 2, 5)


def test_the_story_of_a_file_that_was_handed_in() -> None:
    """Its enqueues, its status, its errors and what the subject reports of it."""
    tape = begun(Tape(), imports=[JOB])
    tape.saw(
        0.1, "outbox", reason="start", appeared=[{"name": "001.csv", "sha256": _digest(b"A,B"), "length": 3}], gone=[]
    )
    message = "99999999-2222-3333-4444-555555555555"
    first = tape.call(1, "POST", ENQUEUE, 503, request_body=b"A,B")
    tape.call(2, "POST", ENQUEUE, 200, request_body=b"A,B", response_body=f'"{message}"'.encode())
    tape.call(2.5, "POST", ENQUEUE, 200, request_body=b"C,D", response_body=b'"88888888-2222-3333-4444-555555555555"')
    path = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus"
    asked = json.dumps({"messageId": message}).encode()
    for second in range(8):
        tape.call(3 + second / 10, "POST", path, 200, request_body=asked, response_body=b'{"value": "Enqueued"}')
    tape.call(4, "POST", path, 200, request_body=asked, response_body=b'{"value": "Processed"}')
    tape.saw(5, "report", file="001.csv", messageId=message, outcome="failed", errors=["one"])
    found = drawn(judged(tape.journal, sides=("import",)), verdict("enqueue.every-file-handed-in", first))
    assert words(found) == [
        "enqueue: hands in 001.csv: 503",
        "enqueue: hands in 001.csv: message 99999999",
        "status: asks for the status of 99999999: Enqueued, 8 times",
        "status: asks for the status of 99999999: Processed",
        "report: says of 001.csv: failed, with 1 errors",
    ]
    assert found.marks[2].note == "exchanges 4 to 11"
    assert (found.marks[2].since, found.marks[2].by) == (3.0, 3.7)


def test_what_never_became_a_request_is_told() -> None:
    """A token in clear text, one for another host, a refused tunnel, a handshake that was broken off."""
    tape = begun(Tape())
    told = {
        "root": "http://127.0.0.1:1",
        "token": "redacted:12345678",
        "method": "GET",
        "path": "/x",
        "accepted": False,
    }
    tape.saw(1, "connection", kind="clear-text", **told)
    tape.saw(2, "connection", kind="elsewhere", **(told | {"token": None}))
    tape.saw(3, "connection", kind="connect", root="https://connector.popreceipt.test:80", accepted=False)
    tape.saw(4, "connection", kind="tls-failed", root="https://127.0.0.1:1", accepted=False)
    found = drawn(judged(tape.journal), verdict("transport.token-not-in-clear"))
    assert words(found) == [
        "network: GET /x with a token, in clear text to http://127.0.0.1:1",
        "network: GET /x, to another host, http://127.0.0.1:1",
        "network: a tunnel to connector.popreceipt.test:80, which is refused",
        "network: breaks the TLS handshake with https://127.0.0.1:1 off",
    ]


def test_a_loop_is_one_mark_and_a_delivery_never_hides_in_it() -> None:
    """A thousand empty answers: one mark, with how often; what is a witness among them makes it one."""
    tape = begun(Tape())
    for turn in range(1000):
        tape.call(1 + turn / 1000, "GET", DEQUEUE, 204)
    one = judged(tape.journal)
    hammered = next(each for each in one.rules if each.id == "dequeue.empty-queue-not-hammered")
    found = drawn(one, hammered)
    assert hammered.outcome is Outcome.VIOLATED
    assert words(found) == ["dequeue: is told that nothing waits, 1000 times"]
    assert found.marks[0].witness


def test_more_than_there_are_letters_is_counted() -> None:
    """A finding on hundreds of messages: the witnesses are kept, the rest is counted."""
    tape = begun(Tape())
    for number in range(200):
        tape.call(1 + number / 100, "GET", DEQUEUE, 200, response_body=said(number, f"r-{number}"))
        tape.call(1 + number / 100, "GET", f"{DOWNLOAD}{number}", 200, response_body=f"file {number}".encode())
    found = drawn(judged(tape.journal), verdict("dequeue.leases-kept-few"))
    assert len(found.marks) == MOST
    assert found.left_out == 400 - MOST


def test_the_axis_begins_where_something_happens() -> None:
    """A subject that takes its time to start does not push everything to the edge."""
    tape = begun(Tape())
    seen = tape.call(5, "GET", DEQUEUE, 200, response_body=said(1, "r-1"))
    tape.call(5.1, "GET", f"{DOWNLOAD}1", 404)
    tape.call(5.2, "POST", ACK, 200, request_body=said(1, "r-1"))
    found = drawn(judged(tape.journal), verdict("acknowledgment.after-a-whole-download", seen))
    assert 4.9 < found.start < 5.0
    assert found.end == pytest.approx(5.2)
    assert min(each.start for each in found.bars) == found.start


def test_a_journal_in_which_nothing_happened_is_a_drawing_as_well() -> None:
    """A subject that never called."""
    tape = Tape()
    found = Timelines(judged(tape.journal)).whole()
    assert (found.marks, found.bars) == ((), ())
    assert lanes.as_text(found).startswith("export-package\nNothing goes wrong.")


@pytest.mark.parametrize("claim", violating())
def test_every_violation_has_a_timeline(claim: str) -> None:
    """Each witness is in it, it is as wide as it may be, and it can be drawn."""
    one = of_fixture(claim)
    timelines = Timelines(one)
    broken = [each for each in one.rules if each.outcome is Outcome.VIOLATED]
    assert broken
    for each in broken:
        found = timelines.of(each)
        assert found.marks
        assert {mark.lane for mark in found.marks} <= set(found.lanes) <= set(LANES)
        if each.findings[0].exchanges:
            assert any(mark.witness for mark in found.marks)
        assert all(found.start <= mark.since <= mark.by <= found.end + 1e-9 for mark in found.marks)
        assert max(map(len, lanes.as_text(found).splitlines()[2:])) <= lanes.COLUMNS
        etree.fromstring(lanes.as_svg(found, "k", alone=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
