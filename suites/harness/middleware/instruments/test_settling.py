"""When a scenario is settled: told exchange by exchange, without a clock."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from popreceipt.journal import Exchange, Journal
from popreceipt.middleware.settling import QUIET, Settling
from popreceipt.vocabulary import ODATA_PREFIX, ZERO_GUID

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=10)
MESSAGE = "11111111-2222-4333-8444-555555555555"
EXECUTION = "99999999-2222-4333-8444-555555555555"
FILE = b"a,b\r\n"
ROOT = "http://here"


class Story:
    """What happens to a settling, at so many seconds after the start."""

    def __init__(self, settling: Settling) -> None:
        self.settling = settling
        self.journal = Journal()
        self.queue_is_empty = True

    def happens(
        self,
        at: float,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        status: int | None = 200,
        answer: bytes = b"",
        failure: str | None = None,
    ) -> Exchange:
        instant = START + timedelta(seconds=at)
        exchange = self.journal.record(
            sent=instant,
            answered=instant,
            method=method,
            url=ROOT + path,
            request_body=body,
            status=status,
            response_body=answer,
            failure=failure,
        )
        self.settling.take(exchange)
        return exchange

    def dequeues(self, at: float, correlation: str | None = None) -> None:
        """A message comes, or none."""
        answer = b"" if correlation is None else json.dumps({"CorrelationId": correlation}).encode()
        self.happens(at, "GET", "/api/connector/dequeue/x", status=200 if answer else 204, answer=answer)

    def acks(self, at: float, correlation: str, status: int | None = 200) -> None:
        body = json.dumps({"correlationId": correlation}).encode()
        failure = None if status else "reset"
        self.happens(at, "POST", "/api/connector/ack/x", body, status=status, failure=failure)

    def enqueues(self, at: float, *, status: int | None = 200, answer: str = MESSAGE) -> None:
        said = f'"{answer}"'.encode() if status == 200 else b""
        failure = None if status else "timeout"
        self.happens(at, "POST", "/api/connector/enqueue/x", FILE, status=status, answer=said, failure=failure)

    def asks(self, at: float, action: str, about: str, value: str) -> None:
        member = {"GetMessageStatus": "messageId", "GetExecutionIdByMessageId": "_messageId"}.get(action, "executionId")
        body, answer = json.dumps({member: about}).encode(), json.dumps({"value": value}).encode()
        self.happens(at, "POST", ODATA_PREFIX + action, body, answer=answer)

    def is_settled(self, at: float, *, is_down: bool = False) -> bool:
        instant = START + timedelta(seconds=at)
        return self.settling.is_settled(instant, queue_is_empty=lambda: self.queue_is_empty, is_down=is_down)


@pytest.fixture
def pulling() -> Story:
    return Story(Settling(LEASE, exports=True, files={}))


@pytest.fixture
def pushing() -> Story:
    file = (
        Journal()
        .record(sent=START, answered=START, method="POST", url=ROOT, request_body=FILE, status=200)
        .request.body
    )
    assert file is not None
    return Story(Settling(LEASE, exports=False, files={"a.csv": file.digest()}))


def test_nothing_has_begun(pulling: Story, pushing: Story) -> None:
    """Who has not called yet has everything before him."""
    assert not pulling.is_settled(100)
    assert not pushing.is_settled(100)


def test_a_moment_of_quiet_is_needed(pulling: Story) -> None:
    """Whoever waits for more by asking again does not disturb it."""
    pulling.dequeues(1)
    assert not pulling.is_settled(1 + QUIET.total_seconds() / 2)
    pulling.dequeues(1.2)
    assert pulling.is_settled(1 + QUIET.total_seconds())


def test_the_subject_has_to_know_that_nothing_is_left(pulling: Story) -> None:
    """Or to have ended in good order."""
    pulling.dequeues(0, "a")
    pulling.acks(1, "a")
    assert not pulling.is_settled(5)
    assert pulling.is_settled(5, is_down=True)
    pulling.dequeues(6)
    assert pulling.is_settled(7)


def test_a_message_in_the_queue_is_left(pulling: Story) -> None:
    """Waiting or leased."""
    pulling.dequeues(0)
    pulling.queue_is_empty = False
    assert not pulling.is_settled(5)


@pytest.mark.parametrize("status", [None, 429, 500, 503, 401])
def test_a_failure_is_open_until_the_same_is_done_with_success(pulling: Story, status: int | None) -> None:
    """The acknowledgment of another message is not the same."""
    pulling.acks(0, "a", status=status)
    pulling.acks(1, "b")
    pulling.dequeues(2)
    assert not pulling.is_settled(3)
    pulling.acks(4, "a")
    assert pulling.is_settled(5)


def test_a_failure_is_not_open_for_ever(pulling: Story) -> None:
    """A message comes back after a lease; who has not tried again half a lease later will not."""
    pulling.acks(0, "a", status=None)
    pulling.dequeues(1)
    assert not pulling.is_settled(15.9)
    assert pulling.is_settled(16.1)


def test_trying_again_in_vain_does_not_begin_anew(pulling: Story) -> None:
    """A second acknowledgment is refused each time."""
    pulling.acks(0, "a", status=None)
    pulling.dequeues(1)
    pulling.acks(15, "a", status=500)
    assert pulling.is_settled(16.1)


def test_a_file_is_done_once_its_end_was_told(pushing: Story) -> None:
    """Enqueued is no end."""
    pushing.enqueues(0)
    assert not pushing.is_settled(5)
    pushing.asks(6, "GetMessageStatus", MESSAGE, "Processing")
    assert not pushing.is_settled(20)
    pushing.asks(21, "GetMessageStatus", MESSAGE, "Processed")
    assert pushing.is_settled(40)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/api/connector/jobstatus/x?jobId=%7B" + MESSAGE + "%7D", '{"DataJobStatus":{"DataJobState":"Processed"}}'),
        ("/api/connector/jobstatus/x?jobid=" + MESSAGE, '{"DataJobStatus":{"DataJobState":5}}'),
    ],
)
def test_the_other_way_to_ask_counts_as_well(pushing: Story, path: str, value: str) -> None:
    """By name and by number."""
    pushing.enqueues(0)
    pushing.happens(1, "GET", path, answer=value.encode())
    assert pushing.is_settled(5)


def test_the_execution_summary_tells_the_end_too(pushing: Story) -> None:
    """By way of the execution, as one vendor does it."""
    pushing.enqueues(0)
    pushing.asks(1, "GetExecutionIdByMessageId", MESSAGE, ZERO_GUID)
    pushing.asks(1.1, "GetExecutionIdByMessageId", MESSAGE, EXECUTION)
    pushing.asks(1.2, "GetExecutionSummaryStatus", EXECUTION, "Executing")
    assert not pushing.is_settled(5)
    pushing.asks(5.1, "GetExecutionSummaryStatus", EXECUTION, "Succeeded")
    assert pushing.is_settled(20)


def test_after_a_failure_the_errors_are_waited_for(pushing: Story) -> None:
    """For as long as rules wait for them, or until they were fetched."""
    pushing.enqueues(0)
    pushing.asks(1, "GetMessageStatus", MESSAGE, "ProcessedWithErrors")
    assert not pushing.is_settled(16.9)
    assert pushing.is_settled(17.1)
    pushing.asks(2, "GetExecutionIdByMessageId", MESSAGE, EXECUTION)
    pushing.asks(2.1, "GetExecutionErrors", EXECUTION, "[]")
    assert pushing.is_settled(9)


def test_who_reports_is_waited_for_until_he_has_reported(pushing: Story) -> None:
    """Then he is done with the file, whatever its end."""
    pushing.enqueues(0)
    pushing.asks(1, "GetMessageStatus", MESSAGE, "Processing")
    pushing.settling.told([{"messageId": f"{{{MESSAGE.upper()}}}", "outcome": "uncertain"}])
    assert pushing.is_settled(2)


def test_who_reports_a_failure_may_still_ask_for_the_errors(pushing: Story) -> None:
    """Which there are."""
    pushing.enqueues(0)
    pushing.asks(1, "GetMessageStatus", MESSAGE, "ProcessedWithErrors")
    pushing.settling.told([{"messageId": MESSAGE, "outcome": "failed"}])
    assert not pushing.is_settled(16)
    pushing.asks(2, "GetExecutionErrors", EXECUTION, "[]")
    pushing.asks(2.1, "GetExecutionIdByMessageId", MESSAGE, EXECUTION)
    assert not pushing.is_settled(16)  # whose errors they were is not known to us
    pushing.asks(2.2, "GetExecutionErrors", EXECUTION, "[]")
    assert pushing.is_settled(16)


def test_who_has_reported_other_files_will_report_this_one(pushing: Story) -> None:
    """Before long."""
    pushing.settling.told([{"file": "other.csv"}])
    pushing.enqueues(0)
    pushing.asks(1, "GetMessageStatus", MESSAGE, "Processed")
    assert not pushing.is_settled(10)
    pushing.settling.told([{"file": "a.csv"}])
    assert pushing.is_settled(10)


def test_who_asks_at_a_pace_of_his_own_is_given_the_time_for_once_more(pushing: Story) -> None:
    """Asking on after the end is something that a rule wants to see."""
    pushing.enqueues(0)
    for at in (1, 4):
        pushing.asks(at, "GetMessageStatus", MESSAGE, "Processed")
    assert not pushing.is_settled(8)
    assert pushing.is_settled(8.6)


def test_a_file_that_is_refused_for_good_is_done_after_a_while(pushing: Story) -> None:
    """So that trying again and again can be seen."""
    pushing.enqueues(0, status=413)
    assert not pushing.is_settled(15)
    assert pushing.is_settled(16.1)


def test_a_file_whose_answer_was_lost_is_done_after_a_while(pushing: Story) -> None:
    """Nobody has to send it again, and who does not can ask for no status."""
    pushing.enqueues(0, status=None)
    assert not pushing.is_settled(15)
    assert pushing.is_settled(16.1)


def test_a_file_that_was_handed_in_again_is_waited_for(pushing: Story) -> None:
    """Its status can be asked for."""
    pushing.enqueues(0, status=None)
    pushing.enqueues(1)
    assert not pushing.is_settled(30)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"value": 1}', b'{"value": null}', b"\xff", b""])
def test_an_answer_of_whatever_kind_is_no_end(pushing: Story, body: bytes) -> None:
    """And raises nothing."""
    pushing.enqueues(0)
    asked = json.dumps({"messageId": MESSAGE}).encode()
    pushing.happens(1, "POST", f"{ODATA_PREFIX}GetMessageStatus", asked, answer=body)
    pushing.happens(2, "POST", "/api/connector/ack/x", body)
    assert not pushing.is_settled(30)
