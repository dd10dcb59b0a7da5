"""A tour that was broken off anywhere is gone on with, and loses no verdict.

Processes die here by an exception that nobody catches: what is on disk then is what a killed process leaves.
"""

import errno
import itertools
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from popreceipt.client import wire
from popreceipt.client.wire import Reply
from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, JournalFile
from popreceipt.rules import find
from popreceipt.tour import ledger as ledgers
from popreceipt.tour.errand import Call, Errand, Route, Until
from popreceipt.tour.errands import errands
from popreceipt.tour.ledger import CannotKeep, Ledger, LineFile, alone_in
from popreceipt.tour.running import How
from popreceipt.tour.tour import Toured, write_results
from popreceipt.verdict import Outcome

if TYPE_CHECKING:
    from conftest import Ground

HALF_HOUR = timedelta(minutes=30)
ROLE = "export-package"

SHOWN = (
    "redelivery.not-before-half-an-hour",
    "redelivery.after-half-an-hour",
    "acknowledgment.ends-redelivery",
)


class Killed(BaseException):
    """The process is no more."""


def consumer(ground: "Ground") -> Errand:
    """Takes a message, leaves it, takes it again, acknowledges, and looks whether it is gone; until all went well."""

    def run(call: Call) -> Route:
        yield Until(call.moment + timedelta(minutes=181), "an export")
        for _ in range(3):
            failed: list[Reply] = []
            yield from once(call, failed)
            if not failed:
                return

    def once(call: Call, failed: list[Reply]) -> Route:
        def ask(line: str, asked: wire.Ask) -> Reply:
            reply = call.send(line, asked)
            if reply.failure is not None:
                failed.append(reply)
            return reply

        def take() -> Generator[Until, None, Reply]:
            while True:
                reply = ask("dequeue", wire.dequeue(call.activity(ROLE)))
                found = wire.delivery(reply)
                if found is not None and found.location is not None:
                    ask("download", wire.download(found.location))
                    return reply
                yield Until(call.moment + (timedelta(minutes=5) if reply.ok else HALF_HOUR), "a message")

        yield from take()
        delivered = call.moment
        yield Until(delivered + HALF_HOUR - call.margin, "the end of the lease, a little before")
        ask("dequeue", wire.dequeue(call.activity(ROLE)))
        yield Until(delivered + HALF_HOUR + call.margin, "the end of the lease, a little after")
        again = yield from take()
        for _ in range(3):
            if ask("ack", wire.ack(call.activity(ROLE), again.body)).failure is None:
                break
        yield Until(call.moment + HALF_HOUR + call.margin, "the end of the second lease")
        ask("dequeue", wire.dequeue(call.activity(ROLE)))

    lines = [ground.line("consumer", each, ROLE, most=200) for each in ("dequeue", "download", "ack")]
    return ground.errand("consumer", run, *lines, roles=(ROLE,), acknowledges=True, shows=SHOWN)


def asker(ground: "Ground") -> Errand:
    """Hands in a file and asks what became of it."""

    def run(call: Call) -> Route:
        activity = call.activity("import-file")
        content = f"CUSTOMERGROUPID,DESCRIPTION\nG{call.random.randrange(10**6)},x\n".encode()
        message = None
        while message is None:
            message = wire.message_id(call.send("enqueue", wire.enqueue(activity, content, entity="Customer groups")))
        for _ in range(3):
            yield Until(call.moment + timedelta(minutes=5), "its processing")
            call.send("message-status", wire.message_status(message))

    lines = (
        ground.line("asker", "enqueue", "import-file", bytes_each=200),
        ground.line("asker", "message-status", None),
    )
    return ground.errand("asker", run, *lines, roles=("import-file",), shows=("status.vocabulary",))


@contextmanager
def killed() -> Iterator[None]:
    """The process dies in the block."""
    with pytest.raises(Killed):
        yield


def outcomes(toured: Toured) -> dict[str, str]:
    """What became of each rule."""
    return {each.id: each.outcome.value for each in toured.verdicts.rules}


def lines_sent(toured: Toured) -> dict[str, int]:
    """How many requests went out under each line."""
    found: dict[str, int] = dict(toured.verdicts.suites["tour"]["lines"])
    return found


def through(ground: "Ground", **options: Any) -> Toured:
    """A whole tour."""
    return ground.drive(consumer(ground), asker(ground), **options)


def in_bounds(ground: "Ground", toured: Toured, interruptions: int) -> None:
    """No line was asked more often than it says, but for the requests that interruptions fell into."""
    lines = {each.id: each.most for each in toured.plan.lines}
    for line, number in lines_sent(toured).items():
        assert number <= lines[line] + interruptions
    assert ground.network.requests <= sum(lines.values()) + interruptions


def test_killed_before_or_after_any_request_it_goes_on(ground: "Ground") -> None:
    """The request may have taken effect or not: it is in doubt, and no rule loses its verdict by that."""
    expected = through(ground)
    assert outcomes(expected)["redelivery.not-before-half-an-hour"] == "held"
    assert outcomes(expected)["acknowledgment.ends-redelivery"] == "held"
    for place, after in itertools.product(range(1, ground.network.requests + 1), (False, True)):
        there = ground.again()

        def die(_: httpx.Request, there: "Ground" = there, place: int = place) -> None:
            if there.network.requests == place:
                raise Killed

        if after:
            there.network.after = die
        else:
            there.network.before = die
        with killed():
            through(there)
        if not (there.folder / ledgers.NAME).exists():
            continue
        resumed = through(there, resume=True)
        assert [each.how for each in resumed.states] == [How.DONE] * 2, (place, after, resumed.states)
        assert not resumed.verdicts.with_outcome(Outcome.VIOLATED), (place, after)
        assert {each for each, found in outcomes(resumed).items() if found == "held"} >= set(SHOWN), (place, after)
        in_bounds(there, resumed, 1)
        numbers = [each.seq for each in resumed.entries if isinstance(each, Exchange)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_killed_at_any_line_of_the_ledger_it_goes_on(ground: "Ground", monkeypatch: pytest.MonkeyPatch) -> None:
    """Just before a line is written, and just after."""
    count = itertools.count(1)
    stop = [0, 0]
    append = LineFile.append

    def dying(self: LineFile, line: bytes, *, durable: bool) -> None:
        place = next(count)
        if place == stop[0]:
            raise Killed
        append(self, line, durable=durable)
        if place == stop[1]:
            raise Killed

    monkeypatch.setattr(LineFile, "append", dying)
    through(ground)
    lines = next(count) - 1
    for place, which in itertools.product(range(2, lines + 1), (0, 1)):
        there = ground.again()
        stop[:] = [0, 0]
        stop[which] = place
        count = itertools.count(1)
        with killed():
            through(there)
        stop[:] = [0, 0]
        resumed = through(there, resume=True)
        assert [each.how for each in resumed.states] == [How.DONE] * 2
        assert not resumed.verdicts.with_outcome(Outcome.VIOLATED)
        assert {each for each, found in outcomes(resumed).items() if found == "held"} >= set(SHOWN), (place, which)
        in_bounds(there, resumed, 1)


def test_every_errand_there_is_can_be_killed_again_and_again(ground: "Ground") -> None:
    """The real ones, eight days of them: they come to the same point each time, and to the same verdicts in the end."""
    ground.every = timedelta(minutes=5)
    undisturbed, killed_ground = ground.again(), ground.again()
    expected = undisturbed.drive(*errands(undisturbed.tenant))
    for place in (150, 400, 700):
        killed_ground.network.before = _dying_at(killed_ground, place)
        with killed():
            killed_ground.drive(*errands(killed_ground.tenant), resume=place > 150)
    killed_ground.network.before = lambda _: None
    resumed = killed_ground.drive(*errands(killed_ground.tenant), resume=True)
    assert [(each.errand, each.how) for each in resumed.states] == [(each.errand, each.how) for each in expected.states]
    found = outcomes(resumed)
    lost = {
        rule: found[rule] for rule, was in outcomes(expected).items() if was != "unexercised" and found[rule] != was
    }
    assert not lost
    in_bounds(killed_ground, resumed, 3)


def test_a_last_line_that_was_cut_off_is_in_doubt(ground: "Ground") -> None:
    """Of the ledger, of the journal, of both: what a kernel has not written when the power goes."""
    for cut, name in itertools.product((1, 40), (ledgers.NAME, "journal.ndjson")):
        there = ground.again()

        def die(_: httpx.Request, there: "Ground" = there) -> None:
            if there.network.requests == 8:
                raise Killed

        there.network.before = die
        with killed():
            through(there)
        there.network.before = lambda _: None
        path = there.folder / name
        path.write_bytes(path.read_bytes()[:-cut])
        if name == "journal.ndjson":
            # A journal that lacks what the ledger is sure of is no accident that could be gone on with.
            with pytest.raises(UsageError, match="lacks exchange"):
                through(there, resume=True)
            continue
        resumed = through(there, resume=True)
        assert [each.how for each in resumed.states] == [How.DONE] * 2
        assert any("in doubt" in each for each in resumed.verdicts.notes)


def test_a_file_that_is_damaged_in_its_middle_is_refused(ground: "Ground") -> None:
    """It is said which line, and nothing is sent."""
    through(ground, patience_seconds=0)
    for name in (ledgers.NAME, "journal.ndjson"):
        path = ground.folder / name
        before = path.read_bytes()
        lines = before.splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2], b"{broken\n", *lines[2:]]))
        with pytest.raises(UsageError, match="damaged: line 3"):
            through(ground, resume=True)
        path.write_bytes(before)


def test_what_was_parked_goes_on_when_its_day_has_come(running_ground: "Ground") -> None:
    """The same verdicts as of a tour that waited, and the journal is one."""
    ground = running_ground
    first = through(ground, patience_seconds=195 * 60)
    assert How.PARKED in [each.how for each in first.states]
    write_results(first.verdicts, ground.folder)
    ground.advance(hours=2)
    resumed = through(ground, resume=True)
    assert [each.how for each in resumed.states] == [How.DONE] * 2
    file = JournalFile(ground.folder / "journal.ndjson")
    assert len(list(file)) == len(resumed.entries)
    assert file.complete
    assert resumed.verdicts.notes == ()
    assert resumed.verdicts.complete


def test_a_run_that_is_gone_on_with_has_no_result_before_its_end(running_ground: "Ground") -> None:
    """Verdicts of before say nothing any more once something is sent."""
    ground = running_ground
    write_results(through(ground, patience_seconds=195 * 60).verdicts, ground.folder)

    def die(_: httpx.Request) -> None:
        raise Killed

    ground.network.before = die
    with killed():
        through(ground, resume=True)
    assert not (ground.folder / "verdicts.json").exists()


def test_of_a_tour_that_is_over_only_the_verdicts_are_told_again(ground: "Ground") -> None:
    """Nothing is sent, nothing opened."""
    first = through(ground)
    requests, opened = ground.network.requests, ground.opened
    again = through(ground, resume=True)
    assert again.nothing_left
    assert outcomes(again) == outcomes(first)
    assert (ground.network.requests, ground.opened) == (requests, opened)


def test_a_folder_with_an_unfinished_tour_is_not_written_over(ground: "Ground") -> None:
    """Whoever forgets --resume loses nothing; of a finished one nothing more is needed."""
    through(ground, patience_seconds=9 * 86_400)
    through(ground)
    there = ground.again()
    there.network.after = _dying_at(there, 4)
    with killed():
        through(there)
    with pytest.raises(UsageError, match="not over: go on with it"):
        through(there)


def _dying_at(ground: "Ground", request: int) -> Callable[[httpx.Request], None]:
    def die(_: httpx.Request) -> None:
        if ground.network.requests == request:
            raise Killed

    return die


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 5}, "with the seed 0, not 5"),
        ({"version": "0.0.1"}, "and this is 0.0.1"),
        ({"rules": (find("status.vocabulary"),)}, "for other rules"),
    ],
)
def test_a_tour_is_gone_on_with_as_it_was_begun(ground: "Ground", options: dict[str, Any], words: str) -> None:
    """Another seed, version or choice of rules would make another tour of it."""
    _leave(ground)
    with pytest.raises(UsageError, match=words):
        through(ground, resume=True, **options)


def test_another_target_is_not_gone_on_with(ground: "Ground") -> None:
    """Another address, or another job of the same role."""
    _leave(ground)
    ground.members = {"base_url": "http://another"}
    with pytest.raises(UsageError, match="begun at http://emulator, not at http://another"):
        through(ground, resume=True)
    activities = {each.role: each.id for each in ground.tenant.activities.values()}
    activities[ROLE] = "99999999-0000-4000-8000-000000000001"
    ground.members = {"activities": activities}
    with pytest.raises(UsageError, match=f"other activities \\({ROLE}\\)"):
        through(ground, resume=True)


def test_another_plan_is_not_gone_on_with(ground: "Ground") -> None:
    """An errand that would do something else now has not done what stands there."""
    _leave(ground)

    def run(call: Call) -> Route:
        call.send("dequeue", wire.dequeue(call.activity("export-file")))
        yield from ()

    other = ground.errand("consumer", run, ground.line("consumer", "dequeue", "export-file"))
    with pytest.raises(UsageError, match="begun under another plan"):
        ground.drive(other, asker(ground), resume=True)


def _leave(ground: "Ground") -> None:
    """A tour that was killed on its way."""
    ground.network.after = _dying_at(ground, 9)
    with killed():
        through(ground)
    ground.network.after = lambda _: None


def test_there_must_be_something_to_go_on_with(ground: "Ground") -> None:
    """And a folder to find it in; another's file of that name is left alone."""
    with pytest.raises(UsageError, match="no tour in"):
        through(ground, resume=True)
    with pytest.raises(UsageError, match="--out DIR"):
        through(ground, resume=True, out=None)
    ground.folder.mkdir()
    with pytest.raises(UsageError, match="no tour in"):
        through(ground, resume=True)
    (ground.folder / ledgers.NAME).write_text("a ledger of somebody's household\n")
    for resume in (False, True):
        with pytest.raises(UsageError, match="is no ledger of a tour"):
            through(ground, resume=resume)


def test_a_folder_belongs_to_one_process_at_a_time(ground: "Ground") -> None:
    """The second one is told, and sends nothing."""
    with alone_in(ground.folder), pytest.raises(UsageError, match="Another popreceipt is at work"):
        through(ground)
    assert ground.network.requests == 0


def test_a_folder_that_is_a_file_is_refused(ground: "Ground") -> None:
    """Before anything is sent."""
    ground.folder.write_text("not a folder")
    with pytest.raises(UsageError, match="Cannot write reports"):
        through(ground)
    assert ground.opened == 0


def test_a_disk_that_is_full_stops_the_tour_and_costs_nothing(ground: "Ground") -> None:
    """A file that may grow no more is a full disk: what was written stays whole, and it goes on with more room."""
    resource = pytest.importorskip("resource", reason="limits of a file's size are known on Unix only")
    through(ground)
    size = max((ground.folder / name).stat().st_size for name in (ledgers.NAME, "journal.ndjson"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in range(2_000, size, 1_500):
        there = ground.again()
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(CannotKeep, match="--resume"):
                through(there)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if not (there.folder / ledgers.NAME).exists() or not (there.folder / ledgers.NAME).stat().st_size:
            continue
        resumed = through(there, resume=True)
        assert [each.how for each in resumed.states] == [How.DONE] * 2
        assert not resumed.verdicts.with_outcome(Outcome.VIOLATED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_request_under_way_come_to_its_end(ground: "Ground", number: signal.Signals) -> None:
    """What became of it is written down; then the tour is broken off, and nothing is in doubt."""

    def interrupt(_: httpx.Request) -> None:
        if ground.network.requests == 6:
            signal.raise_signal(number)

    ground.network.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        through(ground)
    assert ground.network.requests == 6
    resumed = through(ground, resume=True)
    assert [each.how for each in resumed.states] == [How.DONE] * 2
    assert not [each for each in resumed.entries if isinstance(each, Exchange) and each.failure]


def test_an_errand_that_held_a_token_begins_anew(ground: "Ground") -> None:
    """Tokens are written nowhere; what it did with the lost one stays in the journal."""
    statuses: list[int | None] = []

    def run(call: Call) -> Route:
        held = call.token()
        yield Until(call.moment + timedelta(minutes=5), "nothing")
        for _ in range(2):
            ask = wire.jobstatus(call.activity("import-file"), "none")
            statuses.append(call.send("jobstatus", ask, token=held).status)

    holder = ground.errand("holder", run, ground.line("holder", "jobstatus", "import-file", most=2))
    ground.network.before = _dying_at(ground, 3)
    with killed():
        ground.drive(holder)
    ground.network.before = lambda _: None
    resumed = ground.drive(holder, resume=True)
    assert resumed.states[0].how is How.DONE
    assert statuses[-2:] == [404, 404] or len(statuses) == 3
    books = Ledger.found_in(ground.folder).books
    assert books["holder"].attempt == 2
    everything = (ground.folder / ledgers.NAME).read_text() + (ground.folder / "journal.ndjson").read_text()
    assert "eyJ" not in everything


def test_what_was_refused_is_tried_again_by_a_tour_that_goes_on(ground: "Ground") -> None:
    """A budget that was spent may be larger today; what was asked before counts."""
    ground.members = {"budget": {"requests": 4}}
    first = through(ground)
    assert How.HELD_UP in [each.how for each in first.states]
    assert ground.network.requests == 4
    held = next(each for each in first.verdicts.rules if each.id == SHOWN[0])
    assert held.reason is not None
    assert "budget of 4 requests" in held.reason
    ground.members = {"budget": {"requests": 5}}
    through(ground, resume=True)
    assert ground.network.requests == 5
    ground.members = {}
    assert [each.how for each in through(ground, resume=True).states] == [How.DONE] * 2


def test_the_errand_sees_the_same_reply_again(ground: "Ground") -> None:
    """Status, headers, body and times: what it computes from them leads to the same point."""
    seen: list[list[Reply]] = []

    def run(call: Call) -> Route:
        mine: list[Reply] = []
        seen.append(mine)
        yield Until(call.moment + timedelta(minutes=181), "an export")
        mine.extend(call.send("dequeue", wire.dequeue(call.activity(ROLE))) for _ in range(3))

    reader = ground.errand("reader", run, ground.line("reader", "dequeue", ROLE))
    ground.network.before = _dying_at(ground, 5)
    with killed():
        ground.drive(reader)
    ground.network.before = lambda _: None
    ground.drive(reader, resume=True)
    for before, after in zip(*seen, strict=False):
        assert (before.status, before.headers, before.body) == (after.status, after.headers, after.body)
        assert before.exchange == after.exchange
    assert len(seen[0]) == 2
    assert seen[1][2].failure == "interrupted"


def test_errnos_are_told_in_words(tmp_path: Path) -> None:
    """Whoever reads it knows what to do."""
    told = str(CannotKeep(tmp_path, OSError(errno.ENOSPC, "No space left on device")))
    assert "No space left on device" in told
    assert "make room" in told
