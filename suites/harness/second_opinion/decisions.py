"""What is known of two sides that were asked the same: where they agree, where they differ, and why we leave it so.

The tables are compared with what is seen when the stories are played, in both directions, and are the page
specs/SECOND_OPINION.md. `python -m suites.harness.second_opinion.decisions`, in the project's folder, writes that page.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from popreceipt import resources
from popreceipt.targets import Target

from . import ours
from .azurite import VERSION
from .stories import Put
from .timeline import Aim, Moment, Seen, Timeline


@dataclass(frozen=True, slots=True)
class Difference:
    """One situation in which the two sides answer differently, the open point it hangs on, and the reason.

    `agreeing` is the point's value under which we would answer as they do.
    """

    situation: str
    theirs: str
    ours: str
    point: str
    agreeing: str
    reason: str

    @property
    def dialect(self) -> str:
        """The dialect that answers as they do."""
        return f"{self.point}={self.agreeing}"


AGREEMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "a put": ("2xx",),
    "a get: the queue is empty": ("nothing",),
    "a get: a message waits that nobody has got before": ("first time",),
    "a get: every message is hidden": ("nothing",),
    "a get: a message is back whose time-out has ended": ("again",),
    "a get: some messages are new and some are back": ("first time", "again"),
    "a delete with the newest receipt, within its time-out": ("2xx",),
    "a delete with the newest receipt, after its time-out": ("2xx",),
    "a delete with a text that is no receipt, of a message that is still there": ("4xx",),
    "a delete with a text that is no receipt, of a message that is gone": ("4xx",),
    "a delete with the newest receipt, through another queue, of a message that is still there": ("4xx",),
    "a delete with the newest receipt, through another queue, of a message that is gone": ("4xx",),
    "a delete with the newest receipt, for a message nobody knows, of a message that is still there": ("4xx",),
    "a delete with the newest receipt, for a message nobody knows, of a message that is gone": ("4xx",),
}
"""Each situation in which both do the same, and what."""

_LATE: Final = (
    "Users of microsoft/Recurring-Integrations-Scheduler report (issue 124) that acknowledgments which come too late "
    "are answered 500: the connector does not pass on what the queue behind it says."
)
_ONE_REFUSAL: Final = "Such a receipt is not that of the last dequeue, and we refuse all of those alike."

DIFFERENCES: Final = (
    Difference(
        "a delete with a receipt that a later get replaced, of a message that is still there",
        "4xx",
        "5xx",
        "acknowledgment.stale-receipt",
        "404",
        _LATE,
    ),
    Difference(
        "a delete with a receipt that a later get replaced, of a message that is gone",
        "4xx",
        "5xx",
        "acknowledgment.stale-receipt",
        "404",
        f"{_LATE} Whether the message is still there makes no difference to us.",
    ),
    Difference(
        "a delete with the receipt that deleted the message",
        "4xx",
        "5xx",
        "acknowledgment.second",
        "404",
        "“API for acknowledgment” is silent on it. To the queue the message is unknown, to the connector it is not: it "
        "has a row in Manage messages. Late acknowledgments show that what the queue refuses comes out as 500.",
    ),
    Difference(
        "a delete with another message's receipt, of a message that is still there",
        "4xx",
        "5xx",
        "acknowledgment.stale-receipt",
        "404",
        _ONE_REFUSAL,
    ),
    Difference(
        "a delete with another message's receipt, of a message that is gone",
        "4xx",
        "5xx",
        "acknowledgment.stale-receipt",
        "404",
        _ONE_REFUSAL,
    ),
    Difference(
        "a delete with the newest receipt with one character changed, of a message that is still there",
        "4xx",
        "5xx",
        "acknowledgment.stale-receipt",
        "404",
        _ONE_REFUSAL,
    ),
    Difference(
        "a delete with the newest receipt with one character changed, of a message that is gone",
        "4xx",
        "5xx",
        "acknowledgment.stale-receipt",
        "404",
        _ONE_REFUSAL,
    ),
)
"""Each situation in which the two differ. All of them are about the class of a refusal, none about a message."""

Outcomes = tuple[str, str, str]
"""Situation, what they did, what we did."""


@dataclass
class Comparison:
    """What came of playing stories on both sides: how often what was seen, and what no table speaks of."""

    outcomes: Counter[Outcomes] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    whole: int = 0
    """Stories that could be compared to their end."""

    @property
    def differing(self) -> set[Outcomes]:
        """Where the two did not do the same."""
        return {each for each in self.outcomes if each[1] != each[2]}


def compare(played: Mapping[str, Timeline], target: Target) -> Comparison:
    """Play on our side what was played on the other, and compare step by step."""
    comparison = Comparison()
    for name, timeline in played.items():
        moments = timeline.known()
        comparison.whole += len(moments) == len(timeline.moments)
        for place, (moment, seen) in enumerate(
            zip(moments, ours.play(target, name, timeline.visibility, moments), strict=True)
        ):
            comparison.outcomes[moment.situation, moment.seen.outcome, seen.outcome] += 1
            if not _accounted_for(moment, seen):
                comparison.surprises.append("\n".join([f"{name}:", *_told(moments[: place + 1]), f"  but we: {seen}"]))
                break
    return comparison


_DIFFERING: Final = {(each.situation, each.theirs, each.ours) for each in DIFFERENCES}


def _accounted_for(moment: Moment, seen: Seen) -> bool:
    if moment.seen == seen:
        return seen.outcome in AGREEMENTS.get(moment.situation, ())
    return (moment.situation, moment.seen.outcome, seen.outcome) in _DIFFERING and seen.message is None


def _told(moments: Iterable[Moment]) -> Iterable[str]:
    for each in moments:
        if isinstance(each.step, Put):
            what = "put"
        elif isinstance(each.step, Aim):
            what = f"delete of delivery {each.step.delivery}"
        else:
            what = f"get by {each.step.consumer}"
        yield f"  {each.began:7.3f} s {what} ({each.situation}): they {each.seen}"


def page() -> str:
    """The text of specs/SECOND_OPINION.md."""
    agreements = [f"| {situation} | {', or '.join(both)} |" for situation, both in AGREEMENTS.items()]
    differences = [
        f"| {each.situation} | {each.theirs} | {each.ours} | `{each.dialect}` | {each.reason} |" for each in DIFFERENCES
    ]
    return _PAGE.format(version=VERSION, agreements="\n".join(agreements), differences="\n".join(differences))


def path() -> Path:
    """Where the page stands."""
    return resources.specs() / "SECOND_OPINION.md"


_PAGE: Final = """\
# A second opinion on leases and receipts

Written by `suites/harness/second_opinion`; do not edit. Everything said here was seen when the tests ran last, and a
test fails as soon as something else is seen, or something of this is no longer seen.

The connector's receipts, its half hour and its acknowledgment look like those of a queue of Azure Storage. So the
emulator is compared with another implementation of such a queue, Azurite {version}: the same stories are played on
both, on Azurite in real time with time-outs of a second or two, on the emulator in virtual time, where the half hour
stands for the time-out.

| there | here |
|---|---|
| put a message | an export runs |
| get one message, with a visibility time-out | dequeue |
| delete a message, with its id and the receipt of a get | acknowledge, with CorrelationId and PopReceipt |
| the dequeue count is more than one | LastDequeueDateTime is not blank |
| the text of the message | the bytes of the download |
| two clients | two consumers, each with a token of its own |

After each step it is compared who was given which message or none, whether it came before, and the class of the status.
At the end of each story everything is left to come back and is got in turn: what a delete did to its message, and the
order in which messages come back, are compared by that. Not compared, since the connector has nothing of the kind: the
receipt that a put answers, updating or peeking at a message, a time-out of the caller's choice, a time to live.

## Where both agree

| situation | both |
|---|---|
{agreements}

Where some messages are new and some are back, both hand out the one that has been visible longest.

## Where they differ

In each of these both refuse, and the message stays as it was. The dialect is the one in which the emulator answers with
the other's class.

| situation | Azurite | popreceipt | dialect | why it stays so |
|---|---|---|---|---|
{differences}
"""

if __name__ == "__main__":
    path().write_text(page(), encoding="utf-8")
