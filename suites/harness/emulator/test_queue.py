"""The lease queue and the schedule: order in time, without searching."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from popreceipt.emulator import queue as queues
from popreceipt.emulator.agenda import Agenda, Failed
from popreceipt.emulator.queue import LeaseQueue
from popreceipt.emulator.store.memory import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_first_come_first_served() -> None:
    """Messages that arrived at one instant go out in the order of their numbers."""
    queue = LeaseQueue()
    for number, name in enumerate("abc"):
        queue.offer(name, number, NOW)
    assert [queue.take(NOW) for _ in range(4)] == ["a", "b", "c", None]


def test_hidden_until_its_instant_and_visible_at_it() -> None:
    """What is offered for later is not there before, and there exactly then."""
    queue = LeaseQueue()
    queue.offer("a", 1, after(30))
    assert queue.take(after(29.99)) is None
    assert queue.take(after(30)) == "a"


def test_what_comes_back_stands_at_the_tail_of_its_instant() -> None:
    """Behind what arrived before it came back, before what arrived later, whenever somebody looks."""
    queue = LeaseQueue()
    queue.offer("back", 1, after(30))
    queue.offer("before", 2, after(10))
    queue.offer("later", 3, after(40))
    assert [queue.take(after(50)) for _ in range(3)] == ["before", "back", "later"]


def test_or_at_its_original_place() -> None:
    """The other policy goes by arrival alone."""
    queue = LeaseQueue(original_place=True)
    queue.offer("back", 1, after(30))
    queue.offer("waiting", 2, after(10))
    assert [queue.take(after(50)) for _ in range(2)] == ["back", "waiting"]


def test_withdrawn_and_offered_anew() -> None:
    """Former entries are skipped when they surface."""
    queue = LeaseQueue()
    queue.offer("a", 1, NOW)
    queue.offer("b", 2, NOW)
    queue.withdraw("a")
    queue.offer("b", 2, after(30))
    assert queue.take(NOW) is None
    assert len(queue) == 1
    assert queue.take(after(30)) == "b"


@pytest.mark.parametrize("slack", [queues.SLACK, 0])
@pytest.mark.parametrize("original_place", [False, True])
def test_agrees_with_a_plain_list(original_place: bool, slack: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random steps give what sorting a list would give, however often the queue tidies up."""
    monkeypatch.setattr(queues, "SLACK", slack)
    source = random.Random(7)
    queue, waiting, now = LeaseQueue(original_place=original_place), {}, NOW
    for step in range(4000):
        match source.randrange(5):
            case 0:
                waiting[str(step)] = (now + timedelta(minutes=source.randrange(40)), step)
                queue.offer(str(step), step, waiting[str(step)][0])
            case 1 if waiting:
                renewed = source.choice(sorted(waiting))
                waiting[renewed] = (now + timedelta(minutes=source.randrange(40)), waiting[renewed][1])
                queue.offer(renewed, waiting[renewed][1], waiting[renewed][0])
            case 2 if waiting:
                gone = source.choice(sorted(waiting))
                del waiting[gone]
                queue.withdraw(gone)
            case 3:
                now += timedelta(minutes=source.randrange(10))
            case _:
                visible = [
                    (place[1] if original_place else place, name) for name, place in waiting.items() if place[0] <= now
                ]
                expected = min(visible)[1] if visible else None
                assert queue.take(now) == expected
                waiting.pop(expected or "", None)


def test_an_agenda_goes_by_time_and_then_by_plan() -> None:
    """Equal moments keep the order in which they were planned, and each handler is told its own instant."""
    agenda, seen = Agenda(MemoryStore()), []
    agenda.on("note", lambda subject, at: seen.append((subject, at)))
    for name, minutes in (("late", 2), ("first", 1), ("second", 1)):
        agenda.at(after(minutes), "note", name)
    assert agenda.run_next(NOW) is None
    while agenda.next() is not None:
        agenda.run_next(after(5))
    assert seen == [("first", after(1)), ("second", after(1)), ("late", after(2))]


def test_there_is_one_moment_of_a_kind_and_subject() -> None:
    """Planning it anew moves it, cancelling takes it away, and nobody plans what nobody can do."""
    agenda, seen = Agenda(MemoryStore()), []
    agenda.on("note", lambda subject, at: seen.append((subject, at)))
    agenda.at(after(1), "note", "moved")
    agenda.at(after(2), "note", "moved")
    agenda.at(after(1), "note", "cancelled")
    agenda.cancel("note", "cancelled")
    assert agenda.planned("note", "moved") == agenda.next() == after(2)
    agenda.run_next(after(9))
    assert (seen, agenda.next()) == ([("moved", after(2))], None)
    with pytest.raises(LookupError):
        agenda.at(NOW, "unheard-of", "")


def test_a_handler_that_raises_is_told_with_its_moment() -> None:
    """Whoever drains the agenda can go on without it."""
    agenda = Agenda(MemoryStore())
    agenda.on("broken", lambda _subject, _at: 1 // 0)
    agenda.at(NOW, "broken", "one")
    with pytest.raises(Failed) as failure:
        agenda.run_next(NOW)
    assert (failure.value.due.kind, failure.value.due.subject) == ("broken", "one")
    assert isinstance(failure.value.__cause__, ZeroDivisionError)
