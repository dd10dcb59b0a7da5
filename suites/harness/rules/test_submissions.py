"""What is made of a body that is not the file's bytes, and of a lost answer: finer points of rules for imports."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from popreceipt.journal import Body, Header, Journal, Observation, Target
from popreceipt.rules import find
from popreceipt.rules.facts import Enqueue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Outcome, judge_rule

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVITY = "0efeecf3-788a-435a-aa08-fbe9c9319630"
URL = f"http://127.0.0.1:8365/api/connector/enqueue/{ACTIVITY}?entity=Customer%20groups"
FILE = "CUSTOMERGROUPID,DESCRIPTION\r\nÄ1,Grüße aus Köln\r\n".encode()


def outbox(*contents: bytes) -> Observation:
    """A look into an outbox that holds these files."""
    bodies = [Body.of(each) or Body(text="", sha256="e3b0", length=0) for each in contents]
    seen = [{"name": f"{place}.csv", "sha256": each.sha256, "length": each.length} for place, each in enumerate(bodies)]
    return Observation("outbox", BEGINNING, {"reason": "start", "appeared": seen, "gone": []})


def verdict_on(rule: str, *bodies: bytes, seen: Observation | None = None, status: int = 200) -> Outcome:
    """What a rule makes of enqueues with these bodies, one a second."""
    journal = Journal(Header(recorded_by="service", target=Target("a service")))
    if seen is not None:
        journal.add(seen)
    for place, body in enumerate(bodies):
        at = BEGINNING + timedelta(seconds=place)
        journal.record(sent=at, answered=at, method="POST", url=URL, request_body=body, status=status)
    return judge_rule(find(rule), Readings(journal.header, journal.entries)).outcome


def archive(name: str, content: bytes, *, method: int = zipfile.ZIP_STORED) -> bytes:
    """A ZIP archive of one member."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as packed:
        packed.writestr(zipfile.ZipInfo(name), content)
    return whole.getvalue()


@pytest.mark.parametrize(
    "bent",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.decode().encode("utf-16"),
        lambda content: content.decode().encode("latin-1"),
        lambda content: content.decode("latin-1").encode("utf-8"),
        lambda content: content.replace(b"\r\n", b"\n"),
        lambda content: content.rstrip(),
        lambda content: content.decode("ascii", "replace").encode("utf-8"),
        base64.b64encode,
        base64.encodebytes,
        lambda content: json.dumps({"fileName": "0.csv", "content": base64.b64encode(content).decode()}).encode(),
        lambda content: json.dumps({"data": content.decode()}).encode(),
        lambda content: json.dumps(content.decode()).encode(),
        lambda content: b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\n' + content + b"\r\n--b--\r\n",
        lambda _: b"",
    ],
)
def test_what_is_not_the_file_s_bytes_is_recognised(bent: Callable[[bytes], bytes]) -> None:
    """Whatever it was wrapped in or read as, it is another body than the file."""
    assert verdict_on("enqueue.raw-bytes", bent(FILE), seen=outbox(FILE)) is Outcome.VIOLATED
    assert verdict_on("enqueue.raw-bytes", FILE, seen=outbox(FILE)) is Outcome.HELD


@pytest.mark.parametrize(
    "content",
    [
        FILE,
        archive("customers.csv", "a\N{REPLACEMENT CHARACTER}b".encode()),
        archive("customers.csv", FILE * 50, method=zipfile.ZIP_DEFLATED),
        json.dumps(
            {"note": "a small one", "logo": base64.b64encode(archive("a", b"b")).decode(), "rows": "r" * 999}
        ).encode(),
        b"UEsDBAo=",
    ],
)
def test_a_file_that_nobody_listed_is_not_suspected(content: bytes) -> None:
    """Without an outbox a file may be anything that does not unwrap to a data package."""
    assert verdict_on("enqueue.raw-bytes", content) in (Outcome.HELD, Outcome.VIOLATED)
    assert (verdict_on("enqueue.raw-bytes", content) is Outcome.VIOLATED) is (content == b"UEsDBAo=")


def test_other_bytes_than_any_file_s_are_left_undecided() -> None:
    """A client may have sources of its own."""
    assert verdict_on("enqueue.raw-bytes", b"something else", seen=outbox(FILE)) is Outcome.UNDECIDED


def test_the_rest_of_a_file_is_not_a_file() -> None:
    """After a failure the same bytes are right, a part of them is not; where nobody listed the files it may be one."""
    for part in (b"", FILE[10:], FILE[:10]):
        assert verdict_on("enqueue.whole-on-a-retry", FILE, part, seen=outbox(FILE), status=503) is Outcome.VIOLATED
        assert verdict_on("enqueue.whole-on-a-retry", FILE, part, status=503) is Outcome.UNDECIDED
    assert verdict_on("enqueue.whole-on-a-retry", FILE, FILE, status=503) is Outcome.HELD
    both = outbox(FILE, FILE[:10])
    assert verdict_on("enqueue.whole-on-a-retry", FILE, FILE[:10], seen=both, status=503) is Outcome.UNEXERCISED


def test_a_body_that_a_service_left_out_is_known_by_its_length() -> None:
    """What is too large need not be taken in: the length in the head tells which file it was."""
    journal = Journal(Header(recorded_by="service", target=Target("a service")))
    journal.add(outbox(FILE, FILE * 9))
    for _ in range(8):
        journal.record(
            sent=BEGINNING,
            answered=BEGINNING,
            method="POST",
            url=URL,
            request_headers=(("content-length", str(len(FILE * 9))),),
            status=413,
        )
    readings = Readings(journal.header, journal.entries)
    large = readings.submissions.filed[Body.of(FILE * 9).sha256 or ""]  # type: ignore[union-attr]  # it has bytes
    assert len(large.tries) == 8
    assert judge_rule(find("enqueue.raw-bytes"), readings).outcome is Outcome.UNEXERCISED
    assert judge_rule(find("enqueue.refusal-not-repeated"), readings).outcome is Outcome.VIOLATED


def test_a_lost_answer_took_effect_only_where_it_was_a_success() -> None:
    """What would have been refused anyway made no message, whatever became of the refusal."""
    journal = Journal(Header(recorded_by="service", target=Target("a service")))
    for status in (200, 400):
        exchange = journal.record(
            sent=BEGINNING, answered=BEGINNING, method="POST", url=URL, request_body=FILE, failure="reset"
        )
        answer: dict[str, object] = {"status": status, "headers": [], "body": None}
        facts = {"kind": "reset", "phase": "after", "operation": "enqueue", "exchange": exchange.seq, "answer": answer}
        journal.add(Observation("fault", BEGINNING, facts))
    readings = Readings(journal.header, journal.entries)
    calls: list[Enqueue] = readings.enqueues
    assert [readings.submissions.effective(each) for each in calls] == [True, False]
