"""What a planned fault does to a request: its effect, its answer, and what the journals have of it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from popreceipt.client import wire
from popreceipt.client.tokens import Tokens
from popreceipt.emulator.emulator import Emulator
from popreceipt.exceptions import PopreceiptError
from popreceipt.journal import Exchange, Journal, Observation, entry_line
from popreceipt.stage import Export, Import, Stage
from popreceipt.vocabulary import ACKED, DEQUEUED, DOWNLOADED, ENQUEUED

Played = tuple[str, int | None, str | None]


def played(journal: Journal) -> list[Played]:
    """Operation, status and failure of each exchange."""
    return [
        (each.operation, None if each.response is None else each.response.status, each.failure)
        for each in journal.exchanges()
    ]


def last(journal: Journal) -> Exchange:
    return list(journal.exchanges())[-1]


def told(emulator: Emulator) -> Observation:
    """What the service wrote down of the fault that struck last."""
    return next(
        each
        for each in reversed(emulator.journal.entries)
        if isinstance(each, Observation) and each.observation == "fault"
    )


def rows(job: Export | Import) -> list[str]:
    return [str(row["Status"]) for row in job.observe_messages()]


LOST = [
    ({"kind": "status", "status": 503}, 503, None),
    ({"kind": "reset"}, None, "reset"),
    ({"kind": "timeout"}, None, "timeout"),
]
PHASES = ["before", "after"]


@pytest.mark.parametrize(("plan", "status", "failure"), LOST, ids=lambda value: str(value))
@pytest.mark.parametrize("phase", PHASES)
class TestEffects:
    """Before its effect a request changes nothing; after it the effect is there, and the answer is not."""

    def test_enqueue(
        self, near: Stage, plan: dict[str, str], status: int | None, failure: str | None, phase: str
    ) -> None:
        """A message is made, or none."""
        intake = near.imports()
        with near.fault("enqueue", phase=phase, **plan):
            reply = intake.offer(near.file())
        assert (reply.status, reply.failure) == (status, failure)
        assert rows(intake) == ([ENQUEUED] if phase == "after" else [])

    def test_dequeue(
        self, near: Stage, plan: dict[str, str], status: int | None, failure: str | None, phase: str
    ) -> None:
        """The message is leased, or offered to the next who asks."""
        queue = near.export()
        queue.holds()
        with near.fault("dequeue", phase=phase, **plan):
            reply = near.send(wire.dequeue(queue.id))
        assert (reply.status, reply.failure) == (status, failure)
        assert rows(queue) == ([DEQUEUED] if phase == "after" else [ENQUEUED])
        assert (queue.dequeue() is None) is (phase == "after")

    def test_download(
        self, near: Stage, plan: dict[str, str], status: int | None, failure: str | None, phase: str
    ) -> None:
        """The message is marked, or not."""
        queue = near.export()
        delivery = queue.take()
        with near.fault("download", phase=phase, **plan):
            reply = queue.download(delivery)
        assert (reply.status, reply.failure) == (status, failure)
        assert rows(queue) == ([DOWNLOADED] if phase == "after" else [DEQUEUED])
        assert queue.download(delivery).status == 200

    def test_ack(self, near: Stage, plan: dict[str, str], status: int | None, failure: str | None, phase: str) -> None:
        """The message is acknowledged, or comes back."""
        queue = near.export()
        delivery = queue.receive()
        with near.fault("ack", phase=phase, **plan):
            reply = queue.ack(delivery)
        assert (reply.status, reply.failure) == (status, failure)
        assert rows(queue) == ([ACKED] if phase == "after" else [DOWNLOADED])
        near.advance(minutes=31)
        assert (queue.dequeue() is None) is (phase == "after")

    def test_token(
        self, near: Stage, plan: dict[str, str], status: int | None, failure: str | None, phase: str
    ) -> None:
        """No token comes."""
        tokens: Tokens = near.target.tokens
        with near.fault("token", phase=phase, **plan), pytest.raises(PopreceiptError):
            tokens.current()
        assert played(near.target.journal) == [("token", status, failure)]
        assert tokens.current()

    def test_the_service_knows_what_was_lost(
        self, near: Stage, emulator: Emulator, plan: dict[str, str], status: int | None, failure: str | None, phase: str
    ) -> None:
        """Its journal has the answer as it left, and beside it the one that would have left."""
        intake = near.imports()
        with near.fault("enqueue", phase=phase, activity=intake.id, **plan) as planned:
            intake.offer(near.file())
        exchange = last(emulator.journal)
        assert (exchange.response and exchange.response.status, exchange.failure) == (status, failure)
        assert exchange.actor == "authorised"
        fact = told(emulator).facts
        assert (fact["fault"], fact["kind"], fact["phase"]) == (planned["id"], plan["kind"], phase)
        assert (fact["operation"], fact["activity"]) == ("enqueue", intake.id)
        assert fact["exchange"] == exchange.seq
        if phase == "before":
            assert fact["answer"] is None
        else:
            (row,) = intake.observe_messages()
            assert fact["answer"]["status"] == 200
            assert fact["answer"]["body"]["text"] == f'"{row["MessageId"]}"'


def test_a_status_brings_what_was_asked_for(near: Stage) -> None:
    """Retry-After as seconds or as a date; each route refuses in its own shape."""
    near.target.tokens.current()
    date = "Thu, 01 Jan 2026 00:00:30 GMT"
    for ask, member in (
        (wire.dequeue(near.export().id), b'"Message"'),
        (wire.message_status(near.unknown_guid()), b'"error":{'),
    ):
        for given, header in ((30, "30"), (date, date)):
            with near.fault("*", "status", status=429, retry_after=given):
                reply = near.send(ask)
            assert reply.status == 429
            assert dict(reply.headers)["retry-after"] == header
            assert member in reply.body


def test_a_date_to_come_back_at_counts_from_the_moment_of_the_fault(near: Stage) -> None:
    """In whole seconds, and never too early."""
    near.target.tokens.current()
    near.advance(seconds=10.5)
    control = near.target.control_for("faults")
    control.inject("dequeue", "status", status=429, retry_after=30, retry_after_form="date")
    reply = near.send(wire.dequeue(near.export().id))
    assert dict(reply.headers)["retry-after"] == "Thu, 01 Jan 2026 00:00:41 GMT"


def test_a_truncated_answer_announces_the_whole(near: Stage, emulator: Emulator) -> None:
    """Half of it by default, else as much as was said, never the last byte."""
    queue = near.export()
    delivery = queue.take()
    whole = queue.download(delivery).body
    for after_bytes, kept in ((None, len(whole) // 2), (0, 0), (10, 10), (10**9, len(whole) - 1)):
        with near.fault("download", "truncated", after_bytes=after_bytes):
            reply = queue.download(delivery)
        assert (reply.status, reply.failure, reply.body) == (None, "truncated", whole[:kept])
        assert dict(reply.headers)["content-length"] == str(len(whole))
        for journal in (near.target.journal, emulator.journal):
            response = last(journal).response
            assert response is not None
            assert (response.status, response.body and response.body.length) == (200, kept or None)
        assert told(emulator).facts["answer"]["body"]["length"] == len(whole)


def test_an_answer_without_a_body_cannot_be_cut_short(near: Stage) -> None:
    """It is lost whole."""
    queue = near.export()
    with near.fault("dequeue", "truncated"):
        assert near.send(wire.dequeue(queue.id)).failure == "reset"


def test_a_slow_answer_is_an_answer(near: Stage, emulator: Emulator) -> None:
    """In process it comes at once; the journals have it as any other."""
    queue = near.export()
    with near.fault("dequeue", "slow", seconds=3600):
        assert queue.take().has_file
    assert played(near.target.journal) == played(emulator.journal)
    assert last(emulator.journal).failure is None
    assert told(emulator).facts["answer"] is None


def test_no_token_enters_a_journal(near: Stage, emulator: Emulator) -> None:
    """Neither of an answer that came in part nor of one that did not come."""
    tokens = near.target.tokens
    issued = tokens.current()
    half = issued[: len(issued) // 4]
    for plan in ({"kind": "truncated", "after_bytes": 10**6}, {"kind": "reset", "phase": "after"}):
        tokens.forget()
        with near.fault("token", **plan), pytest.raises(PopreceiptError):
            tokens.current()
    assert told(emulator).facts["answer"]["body"]["text"].count("redacted:") == 1
    for journal in (near.target.journal, emulator.journal):
        lines = [entry_line(each).decode() for each in journal.entries]
        assert lines
        assert not [line for line in lines if "eyJ" in line or half in line]


def test_who_is_refused_is_counted_too(near: Stage) -> None:
    """What counts is what was asked for, not who asked or how it would have been answered."""
    queue = near.export()
    with near.fault("dequeue", "status", position=2, status=503):
        assert near.send(wire.dequeue(queue.id), "anonymous").status == 401
        assert near.send(wire.dequeue(queue.id)).status == 503


def test_a_lost_message_comes_back_after_half_an_hour(near: Stage) -> None:
    """A lease whose answer nobody has seen ends as any other."""
    queue = near.export()
    queue.holds()
    with near.fault("dequeue", "reset", phase="after"):
        queue.dequeue()
    near.advance(minutes=29, seconds=59)
    assert queue.dequeue() is None
    near.advance(seconds=2)
    again = queue.dequeue()
    assert again is not None
    assert again.members["LastDequeueDateTime"] == "2026-01-01T00:00:00Z"


def everything(stage: Stage) -> None:
    """Each kind of fault on each operation, before and after; then a message's whole life."""
    queue, intake = stage.export(), stage.imports()
    message = intake.enqueue(stage.file(good=1, bad=1))
    intake.run(message)
    execution = intake.execution_of(message) or ""
    deeds: dict[str, Callable[[], object]] = {
        "enqueue": lambda: intake.offer(stage.file()),
        "dequeue": lambda: stage.send(wire.dequeue(queue.id)),
        "download": lambda: queue.download(queue.take()),
        "ack": lambda: queue.ack(queue.take()),
        "jobstatus": lambda: intake.jobstatus(message),
        "message-status": lambda: intake.status(message),
        "execution-id": lambda: intake.execution_of(message),
        "execution-errors": lambda: intake.errors_of(execution),
        "execution-summary": lambda: intake.summary_of(execution),
    }
    for plan in (
        {"kind": "status", "phase": "before", "status": 429, "retry_after": 1},
        {"kind": "status", "phase": "after", "status": 502},
        {"kind": "reset", "phase": "before"},
        {"kind": "reset", "phase": "after"},
        {"kind": "truncated", "after_bytes": 3},
        {"kind": "slow", "seconds": 0.01},
    ):
        for operation, deed in deeds.items():
            queue.holds()
            with stage.fault(operation, **plan):
                deed()
    for phase in PHASES:
        with stage.fault("ack", "timeout", phase=phase):
            deeds["ack"]()
    stage.advance(minutes=31)
    list(queue.drain())


def test_in_process_and_over_http_the_journals_agree(
    both: tuple[tuple[Stage, Emulator], tuple[Stage, Emulator]],
) -> None:
    """One story, two ways: the four journals have the same operations, statuses and failures."""
    for stage, _ in both:
        everything(stage)
    stories = [played(each) for stage, emulator in both for each in (stage.target.journal, emulator.journal)]
    assert stories[0] == stories[1] == stories[2] == stories[3]
    assert {failure for _, _, failure in stories[0]} == {None, "reset", "timeout", "truncated"}
    for _, emulator in both:
        facts = [each for each in emulator.journal.entries if isinstance(each, Observation)]
        assert sum(each.observation == "fault" for each in facts) == 6 * 9 + 2


def test_a_connection_that_broke_breaks_no_other(anywhere: tuple[Stage, Emulator]) -> None:
    """After each fault the next request is answered."""
    stage, emulator = anywhere
    queue = stage.export()
    for kind, failure in (("reset", "reset"), ("truncated", "truncated"), ("status", None)):
        delivery = queue.take()
        with stage.fault("download", kind):
            assert queue.download(delivery).failure == failure
        assert queue.download(delivery).status == 200
    assert emulator.clock.now() - emulator.journal.entries[0].at == timedelta(0)  # type: ignore[union-attr]  # an observation
