"""Errands are run in turn, all waits at the same time, and nothing goes out that no line of their plan covers."""

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from popreceipt.client import wire
from popreceipt.client.wire import Reply
from popreceipt.exceptions import NothingProved
from popreceipt.journal import Exchange
from popreceipt.tour.errand import Call, Errand, Route, Until
from popreceipt.tour.running import How
from popreceipt.tour.tour import Toured

if TYPE_CHECKING:
    from conftest import Ground

HALF_HOUR = timedelta(minutes=30)
ROLE = "export-package"


def operations(toured: Toured) -> list[str]:
    """What was sent, in order, but for tokens."""
    return [each.operation for each in toured.entries if isinstance(each, Exchange) and each.operation != "token"]


def lease(ground: "Ground", name: str = "lease", role: str = ROLE) -> Errand:
    """Dequeue, look again before and after the lease's end, acknowledge."""

    def run(call: Call) -> Route:
        yield Until(call.moment + timedelta(minutes=181), "an export")
        taken = call.send("dequeue", wire.dequeue(call.activity(role)))
        fetch(call, taken)
        delivered = taken.exchange.answered
        yield Until(delivered + HALF_HOUR - call.margin, "the end of the lease, a little before")
        call.send("dequeue", wire.dequeue(call.activity(role)))
        yield Until(delivered + HALF_HOUR + call.margin, "the end of the lease, a little after")
        again = call.send("dequeue", wire.dequeue(call.activity(role)))
        fetch(call, again)
        call.send("ack", wire.ack(call.activity(role), again.body))

    def fetch(call: Call, taken: Reply) -> None:
        found = wire.delivery(taken)
        assert found is not None
        assert found.location is not None
        call.send("download", wire.download(found.location))

    return ground.errand(
        name,
        run,
        ground.line(name, "dequeue", role, most=3),
        ground.line(name, "download", role, most=2),
        ground.line(name, "ack", role, most=1),
        roles=(role,),
        acknowledges=True,
        shows=("redelivery.not-before-half-an-hour",),
    )


def test_errands_wait_at_the_same_time(running_ground: "Ground") -> None:
    """Two leases of two jobs take as long as one."""
    ground = running_ground
    roles = ("export-package", "export-file")
    toured = ground.drive(*(lease(ground, role, role) for role in roles))
    assert [each.how for each in toured.states] == [How.DONE] * 2
    assert sorted(operations(toured)) == ["ack"] * 2 + ["dequeue"] * 6 + ["download"] * 4
    assert timedelta(minutes=211) <= timedelta(seconds=ground.seconds) < timedelta(minutes=212)


def test_what_an_errand_shows_is_judged(ground: "Ground") -> None:
    """The journal of the tour is the evidence, and errands assert nothing."""
    toured = ground.drive(lease(ground))
    found = {each.id: each for each in toured.verdicts.rules}
    assert found["redelivery.not-before-half-an-hour"].outcome == "held"
    assert toured.verdicts.complete
    assert toured.verdicts.suites["tour"]["lines"]["lease/dequeue"] == 3


def test_the_one_that_is_due_first_goes_on_first(ground: "Ground") -> None:
    """By the instant, and by the list where that is the same."""
    order: list[str] = []

    def at(name: str, *minutes: int) -> Errand:
        def run(call: Call) -> Route:
            began = call.moment
            for each in minutes:
                yield Until(began + timedelta(minutes=each), "its turn")
                order.append(f"{name}{each}")

        return ground.errand(name, run)

    ground.drive(at("a", 5, 7), at("b", 1, 5, 6))
    assert order == ["b1", "a5", "b5", "b6", "a7"]


def test_no_more_is_sent_than_a_line_says(ground: "Ground") -> None:
    """The errand is stopped, the others are not."""

    def run(call: Call) -> Route:
        yield Until(call.moment, "its turn")
        while True:
            call.send("jobstatus", wire.jobstatus(call.activity("import-file"), "none"))

    greedy = ground.errand("greedy", run, ground.line("greedy", "jobstatus", "import-file", most=2))
    toured = ground.drive(greedy, lease(ground))
    assert [each.how for each in toured.states] == [How.STOPPED, How.DONE]
    assert "2 requests at most" in toured.states[0].why
    assert operations(toured).count("jobstatus") == 2


@pytest.mark.parametrize("wrong", ["operation", "role", "bytes"])
def test_what_goes_out_is_what_its_line_says(ground: "Ground", wrong: str) -> None:
    """Another operation, another activity, or a larger file under a line is not sent."""

    def run(call: Call) -> Route:
        if wrong == "operation":
            call.send("dequeue", wire.jobstatus(call.activity(ROLE), "none"))
        elif wrong == "role":
            call.send("dequeue", wire.dequeue(call.activity("export-file")))
        else:
            call.send("enqueue", wire.enqueue(call.activity("import-file"), b"x" * 101, entity="Customer groups"))
        yield from ()

    lines = (
        ground.line("odd", "dequeue", ROLE),
        ground.line("odd", "enqueue", "import-file", bytes_each=100),
    )
    toured = ground.drive(ground.errand("odd", run, *lines))
    assert toured.states[0].how is How.STOPPED
    assert operations(toured) == []


def test_an_errand_that_fails_costs_the_others_nothing(ground: "Ground") -> None:
    """Its fault is told, and the run is not complete: its rules were not shown."""

    def run(call: Call) -> Route:
        yield Until(call.moment + HALF_HOUR, "nothing")
        raise LookupError("something it did not think of")

    toured = ground.drive(ground.errand("faulty", run, shows=("dequeue.answers-a-message",)), lease(ground))
    assert [each.how for each in toured.states] == [How.FAILED, How.DONE]
    assert not toured.verdicts.complete
    assert any("something it did not think of" in each for each in toured.verdicts.notes)


def test_what_would_take_longer_than_patience_is_parked(running_ground: "Ground") -> None:
    """The run ends in order, and the rules behind it say until when."""
    ground = running_ground
    toured = ground.drive(lease(ground), patience_seconds=195 * 60)
    assert [each.how for each in toured.states] == [How.PARKED]
    found = {each.id: each for each in toured.verdicts.rules}["redelivery.not-before-half-an-hour"]
    assert found.outcome == "unexercised"
    assert found.reason is not None
    assert found.reason.startswith("parked until 2026-01-01T03:30")
    assert "--resume" in found.reason
    # What cannot come within patience is not waited for at all.
    assert ground.seconds < 182 * 60
    assert toured.verdicts.complete


def test_a_server_that_asks_to_come_later_is_obeyed(running_ground: "Ground") -> None:
    """429 with Retry-After: the same is asked again when that time is over, and each answer is in the journal."""
    ground = running_ground
    refusals = [httpx.Response(429, headers={"retry-after": "90"}), httpx.Response(429, headers={"retry-after": "30"})]
    ground.network.before = lambda request: refusals.pop() if "jobstatus" in str(request.url) and refusals else None

    def run(call: Call) -> Route:
        reply = call.send("jobstatus", wire.jobstatus(call.activity("import-file"), "none"))
        assert reply.status != 429
        yield from ()

    toured = ground.drive(ground.errand("asks", run, ground.line("asks", "jobstatus", "import-file")))
    assert toured.states[0].how is How.DONE
    assert operations(toured) == ["jobstatus"] * 3
    assert ground.seconds >= 120


def test_an_unavailable_server_is_left_alone_and_the_errand_decides(running_ground: "Ground") -> None:
    """503 with Retry-After may have taken effect: it is waited, and not asked again blindly."""
    ground = running_ground
    refusals = [httpx.Response(503, headers={"retry-after": "45"})]
    ground.network.before = lambda request: refusals.pop() if "dequeue" in str(request.url) and refusals else None
    seen: list[int | None] = []

    def run(call: Call) -> Route:
        seen.append(call.send("dequeue", wire.dequeue(call.activity(ROLE))).status)
        yield from ()

    ground.drive(ground.errand("asks", run, ground.line("asks", "dequeue", ROLE)))
    assert seen == [503]
    assert ground.seconds >= 45


def test_what_the_description_forbids_is_not_sent(ground: "Ground") -> None:
    """The guard has the last word, and says why."""
    ground.members = {"activities": ground.tenant.activities and {ROLE: ground.tenant.activities[ROLE].id}}

    def run(call: Call) -> Route:
        call.send("ack", wire.ack(call.activity(ROLE), b"{}"))
        yield from ()

    toured = ground.drive(ground.errand("asks", run, ground.line("asks", "ack", ROLE)))
    assert toured.states[0].how is How.HELD_UP
    assert "exclusive = true" in toured.states[0].why
    assert operations(toured) == []


def test_without_a_first_token_nothing_is_begun(ground: "Ground") -> None:
    """An endpoint that gives none proves nothing about anything else."""
    ground.network.before = lambda _: httpx.Response(401, json={"error": "invalid_client"})
    with pytest.raises(NothingProved, match="No token"):
        ground.drive(lease(ground))
    assert ground.network.requests == 1


def test_a_token_endpoint_that_is_away_for_a_moment_is_asked_again(running_ground: "Ground") -> None:
    """An hour of waiting is not given up for one answer that did not come."""
    ground = running_ground
    away = [httpx.Response(503), httpx.Response(502)]
    ground.network.before = lambda request: away.pop() if "/token" in str(request.url) and away else None
    toured = ground.drive(lease(ground))
    assert toured.states[0].how is How.DONE


def test_a_person_is_asked_only_where_one_is_there(ground: "Ground") -> None:
    """What they have done is in the journal."""
    answers: list[bool] = []

    def run(call: Call) -> Route:
        answers.append(call.assist("Run the export job now.", "the export job was run"))
        yield from ()

    class Somebody:
        def asked(self, step: str) -> bool:
            return step == "Run the export job now."

    asks = ground.errand("asks", run)
    ground.drive(asks)
    ground.folder = ground.folder.with_name("another")
    toured = ground.drive(asks, person=Somebody())
    assert answers == [False, True]
    assert any(getattr(each, "observation", None) == "assisted" for each in toured.entries)


def test_two_attempts_and_two_errands_make_up_different_things(ground: "Ground") -> None:
    """Chance follows from the seed and the errand's name alone."""
    drawn: dict[str, list[float]] = {}

    def run(name: str) -> Errand:
        def route(call: Call) -> Route:
            drawn.setdefault(name, []).append(call.random.random())
            yield from ()

        return ground.errand(name, route)

    ground.drive(run("one"), run("other"), seed=7)
    ground.drive(run("one"), run("other"), seed=7)
    assert drawn["one"][0] == drawn["one"][1] != drawn["other"][0]
