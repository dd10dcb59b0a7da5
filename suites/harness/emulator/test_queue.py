"""The lease queue and the schedule: order in time, without searching."""

import random
from datetime import UTC, datetime, timedelta

from popreceipt.emulator.queue import LeaseQueue
from popreceipt.emulator.schedule import Schedule

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


def test_agrees_with_a_plain_list() -> None:
    """A thousand random steps give what sorting a list would give."""
    source = random.Random(7)
    queue, waiting, now = LeaseQueue(), {}, NOW
    for step in range(1000):
        match source.randrange(4):
            case 0:
                waiting[str(step)] = (now + timedelta(minutes=source.randrange(40)), step)
                queue.offer(str(step), step, waiting[str(step)][0])
            case 1 if waiting:
                gone = source.choice(sorted(waiting))
                del waiting[gone]
                queue.withdraw(gone)
            case 2:
                now += timedelta(minutes=source.randrange(10))
            case _:
                visible = sorted((place, name) for name, place in waiting.items() if place[0] <= now)
                expected = visible[0][1] if visible else None
                assert queue.take(now) == expected
                waiting.pop(expected or "", None)


def test_a_schedule_goes_by_time_and_then_by_plan() -> None:
    """Equal moments keep the order in which they were planned, and each action sees its own."""
    schedule, seen = Schedule(), []
    for name, minutes in (("late", 2), ("first", 1), ("second", 1)):
        schedule.at(after(minutes), lambda at, name=name: seen.append((name, at)))
    while schedule.next() is not None:
        schedule.run_next()
    assert seen == [("first", after(1)), ("second", after(1)), ("late", after(2))]
    schedule.at(NOW, lambda _: None)
    schedule.clear()
    assert len(schedule) == 0
