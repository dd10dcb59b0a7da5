"""Short stories of one queue: messages are put and got, time-outs end, receipts come back in every wrong way.

A story names no server: what a delete aims at is chosen while the story is played, from what was handed out so far.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st


class Receipt(StrEnum):
    """With which receipt, and where, a message is to be deleted."""

    NEWEST = "the newest receipt"
    REPLACED = "a receipt that a later get replaced"
    USED = "the receipt that deleted the message"
    ANOTHERS = "another message's receipt"
    ALTERED = "the newest receipt with one character changed"
    NONE = "a text that is no receipt"
    ELSEWHERE = "the newest receipt, through another queue"
    NOBODYS = "the newest receipt, for a message nobody knows"


@dataclass(frozen=True, slots=True)
class Put:
    """A message comes into the queue."""


@dataclass(frozen=True, slots=True)
class Get:
    """One of two consumers asks for the next message."""

    consumer: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """A consumer deletes a message; `pick` chooses among those for which there is such a receipt, if there are any."""

    receipt: Receipt
    pick: int = 0
    consumer: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes: this share of the visibility time-out, or (None) until nothing that was got is hidden any more."""

    share: float | None = None


Step = Put | Get | Delete | Wait


@dataclass(frozen=True, slots=True)
class Story:
    """Steps on a queue, and the visibility time-out of all its gets in seconds."""

    steps: tuple[Step, ...]
    visibility: int = 1


SHORT: Final = Wait(0.3)
PAST: Final = Wait()

TOLD: Final[Mapping[str, Story]] = {
    "got, and deleted with a fresh receipt": Story((Put(), Get(), Delete(Receipt.NEWEST), Get(), PAST, Get())),
    "got and never deleted": Story((Put(), Get(), SHORT, Get(), PAST, Get(), PAST, Get(1))),
    "deleted twice": Story((Put(), Get(), Delete(Receipt.NEWEST), Delete(Receipt.USED), PAST, Delete(Receipt.USED))),
    "deleted late": Story((Put(), Get(), PAST, Delete(Receipt.NEWEST), Get())),
    "deleted with a stale receipt": Story((Put(), Get(), PAST, Get(), Delete(Receipt.REPLACED), Get())),
    "a stale receipt, then the fresh one, then the stale one": Story(
        (Put(), Get(), PAST, Get(), Delete(Receipt.REPLACED), Delete(Receipt.NEWEST), Delete(Receipt.REPLACED))
    ),
    "two consumers, the slow one too late": Story(
        (Put(), Get(0), Get(1), PAST, Get(1), Delete(Receipt.REPLACED, consumer=0), Delete(Receipt.NEWEST, consumer=1))
    ),
    "two consumers, two messages": Story(
        (Put(), Put(), Get(0), Get(1), Delete(Receipt.NEWEST, 1, 1), Get(0), PAST, Get(1), Get(0))
    ),
    "a message that is back stands behind one that came meanwhile": Story(
        (Put(), Get(), SHORT, Put(), PAST, Get(), Get(), Get())
    ),
    "a message that is back stands before one that came later": Story((Put(), Get(), PAST, Put(), Get(), Get(), Get())),
    "receipts mixed up": Story((Put(), Put(), Get(), SHORT, Get(), Delete(Receipt.ANOTHERS), PAST, Get(), Get())),
    "receipts mixed up, too late": Story(
        (Put(), Put(), Get(), SHORT, Get(), Delete(Receipt.NEWEST), Delete(Receipt.ANOTHERS), Get())
    ),
    "receipts made up": Story((Put(), Get(), Delete(Receipt.ALTERED), Delete(Receipt.NONE), Delete(Receipt.NOBODYS))),
    "receipts made up, too late": Story(
        (Put(), Get(), Delete(Receipt.NEWEST), Delete(Receipt.ALTERED), Delete(Receipt.NONE), Delete(Receipt.NOBODYS))
    ),
    "deleted through another queue": Story(
        (Put(), Get(), Delete(Receipt.ELSEWHERE), Delete(Receipt.NEWEST), Delete(Receipt.ELSEWHERE))
    ),
    "five in a row": Story((Put(), Put(), Put(), Put(), Put(), Get(), Get(1), Get(), Get(1), Get(), Get())),
}
"""Stories that make sure that everything the table speaks of is seen."""

MOST_WAITS: Final = 3
"""How often a story waits for a time-out to end: each time costs a second or two."""


def stories(number: int, seed: int) -> list[Story]:
    """So many further stories, always the same for a seed."""
    made: list[Story] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=number,
        phases=(Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=tuple(HealthCheck),
    )
    @given(_STORIES)
    def write(story: Story) -> None:
        made.append(story)

    write()
    return made


_CONSUMERS = st.integers(0, 1)

_DELETES = st.builds(
    Delete,
    st.sampled_from([*Receipt, Receipt.NEWEST, Receipt.NEWEST, Receipt.REPLACED, Receipt.USED]),
    st.integers(0, 3),
    _CONSUMERS,
)

_GETS = st.builds(Get, _CONSUMERS)


def _together(*steps: st.SearchStrategy[Step]) -> st.SearchStrategy[tuple[Step, ...]]:
    return st.tuples(*steps)


_PASSAGES = st.one_of(
    _together(st.just(Put())),
    _together(_GETS),
    _together(_GETS, _GETS),
    _together(_DELETES),
    _together(_GETS, st.just(PAST), _GETS, _DELETES),
    _together(_GETS, st.just(PAST), _DELETES),
    _together(st.builds(Wait, st.sampled_from([0.2, 0.4]))),
)


def _written(passages: list[tuple[Step, ...]], visibility: int) -> Story:
    steps: list[Step] = [Put()]
    for step in (each for passage in passages for each in passage):
        if step != PAST or steps.count(PAST) < MOST_WAITS:
            steps.append(step)
    return Story(tuple(steps), visibility)


_STORIES = st.builds(_written, st.lists(_PASSAGES, min_size=3, max_size=8), st.integers(1, 2))
