"""A message's story, from above to below: who did what when, how long lay between, and while it was hidden.

It shows what the journal has around a finding's witnesses and judges nothing. The half hour that it draws after a
delivery is arithmetic: who shortened it on purpose says so in the journal's header.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from popreceipt import vocabulary
from popreceipt.journal import Entry, Exchange, Header, Observation
from popreceipt.reports.html import telling
from popreceipt.reports.page import Tone
from popreceipt.reports.plain import one_line

MOST: Final = 16
"""Steps that a story has at most, witnesses and what stands around them."""

HALF_HOUR: Final = timedelta(minutes=30)
"""How long a delivery hides a message. Recurring integrations, "API for acknowledgment"."""

WORTH_SAYING: Final = timedelta(seconds=1)
"""A gap as long as this is told between two steps."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened.

    Args:
        at: its time of day in UTC.
        since: how long after the story's first step.
        actor: who did it; empty where the world did.
        words: what.
        status: the answer; empty where there was none to give.
        tone: how the answer is meant.
        number: the exchange; None for what was learnt beside the wire.
        witness: whether the finding rests on it.
        gap: how long after the step before; empty where that is not worth saying.
        hidden: words for a delivery's half hour that runs between the step before and this one; empty where none does.
        reckoned: it is arithmetic, nothing that was seen.
    """

    at: str
    since: str
    actor: str
    words: str
    status: str = ""
    tone: Tone = Tone.NEUTRAL
    number: int | None = None
    witness: bool = False
    gap: str = ""
    hidden: str = ""
    reckoned: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """The steps in order of time, the day on which it begins, and how many steps there was no room for."""

    day: str
    steps: tuple[Step, ...]
    left_out: int = 0


def story(entries: Sequence[Entry], witnesses: Collection[int], header: Header) -> Story | None:
    """The story around some witnesses; None where there is none to tell: a single step, or none."""
    kept = _chosen(entries, frozenset(witnesses))
    ends = list(_lease_ends(kept, frozenset(witnesses), header))  # marks what is in `kept`, too
    drawn = [*kept, *ends]
    drawn.sort(key=lambda one: one.at)
    if len(drawn) < 2:
        return None
    first = drawn[0].at
    steps = []
    hidden_until: datetime | None = None
    hidden = ""
    before: datetime | None = None
    for one in drawn:
        gap = one.at - before if before is not None else timedelta(0)
        steps.append(
            replace(
                one.step,
                since=telling.lasting(one.at - first) if one.at > first else "",
                gap=telling.lasting(gap) if gap >= WORTH_SAYING else "",
                hidden=hidden if hidden_until is not None and before is not None and before < hidden_until else "",
            )
        )
        before = one.at
        if one.hides_until is not None:
            hidden_until, hidden = one.hides_until, f"the {_lease(header)} of #{one.step.number} runs"
        elif one.ends_hiding:
            hidden_until = None
    return Story(telling.day(first), tuple(steps), _told(entries) - len(kept))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A step at its instant, and what it does to the message."""

    at: datetime
    step: Step
    exchange: Exchange | None = None
    hides_until: datetime | None = None
    ends_hiding: bool = False


def _told(entries: Sequence[Entry]) -> int:
    return len([each for each in entries if isinstance(each, Exchange) or _words(each)])


def _words(entry: Entry) -> str:
    return telling.event(entry) if isinstance(entry, Observation) else ""


def _chosen(entries: Sequence[Entry], witnesses: frozenset[int]) -> list[_Drawn]:
    """The witnesses, and of what stands around them what comes nearest before each."""
    places = [place for place, each in enumerate(entries) if isinstance(each, Exchange) and each.seq in witnesses]
    beside = [
        place
        for place, each in enumerate(entries)
        if place not in places and (isinstance(each, Exchange) or _words(each))
    ]
    beside.sort(key=lambda place: min(abs(place - other) for other in places) if places else place)
    kept = sorted([*places[:MOST], *beside[: max(MOST - len(places), 0)]])
    return [_drawn(entries[place], witnesses) for place in kept]


def _drawn(entry: Entry, witnesses: frozenset[int]) -> _Drawn:
    if isinstance(entry, Observation):
        return _Drawn(entry.at, Step(telling.time_of_day(entry.at), "", "", _words(entry)))
    if not isinstance(entry, Exchange):
        raise TypeError(f"a story has no place for {type(entry).__name__}")
    view = telling.told(entry)
    step = Step(
        at=view.at,
        since="",
        actor=view.actor or "somebody",
        words=view.words if view.words != "calls" else f"calls {one_line(view.request, 80)}",
        status=view.status,
        tone=view.tone,
        number=view.number,
        witness=entry.seq in witnesses,
    )
    return _Drawn(entry.sent, step, entry)


def _lease_ends(kept: list[_Drawn], witnesses: frozenset[int], header: Header) -> Iterator[_Drawn]:
    """When the deliveries among the witnesses end, where that is within the story or not far behind it.

    What was delivered is marked in `kept` with the time until which it is hidden.
    """
    lease = _length(header)
    if not kept:
        return
    last = max(one.at for one in kept)
    acknowledged = {
        telling.acknowledged(one.exchange): one.at
        for one in kept
        if one.exchange is not None and one.exchange.operation == vocabulary.ACK and one.step.tone is Tone.GOOD
    }
    drawn: set[datetime] = set()
    for place, one in enumerate(kept):
        if one.exchange is None or one.exchange.seq not in witnesses:
            continue
        message = telling.delivered(one.exchange)
        if message is None:
            continue
        end = one.at + lease
        taken = acknowledged.get(message) if message else None
        if taken is not None and one.at <= taken < end:
            kept[place] = replace(one, hides_until=taken)
            continue
        kept[place] = replace(one, hides_until=end)
        if end <= last + lease / 10 and end not in drawn and last > one.at:
            drawn.add(end)
            words = f"the {_lease(header)} of #{one.exchange.seq} is over"
            step = Step(telling.time_of_day(end), "", "", words, reckoned=True)
            yield _Drawn(end, step, ends_hiding=True)


def _length(header: Header) -> timedelta:
    return timedelta(seconds=header.lease_seconds) if header.lease_seconds else HALF_HOUR


def _lease(header: Header) -> str:
    return "half hour" if _length(header) == HALF_HOUR else f"lease of {telling.lasting(_length(header))}"
