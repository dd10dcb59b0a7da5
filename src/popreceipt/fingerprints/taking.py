"""From verdicts to a fingerprint: which answer a server gave to each open point, and why some were not seen.

It knows the open points and reads verdicts, of whichever run: scenarios in virtual time, a tour of a tenant, a
recording. Nothing of the server gets into a fingerprint but its choices. No address, no name, no ID, no text of its
answers and no time of day: whoever commits one as a profile tells nobody whose server it was.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Final, Protocol

from popreceipt.emulator.profile import POINTS, Profile, changed
from popreceipt.exceptions import NothingProved
from popreceipt.rules import catalogue, find
from popreceipt.verdict import Level, Outcome

FORMAT: Final = "popreceipt/fingerprint@1"

ANOTHER: Final = "another answer"
"""Stands for an answer in words of the server's own, which might say whose server it is."""

SCENARIOS, TOUR, RECORDING = "scenarios", "tour", "recording"
"""How a fingerprint was taken: scenarios with a control plane, the wire alone, or from somebody's recording."""

HIDDEN_BY: Final[Mapping[str, tuple[str, str, str, str]]] = MappingProxyType(
    {
        "retention.expired-dequeue": (
            "dropped",
            "zero-records.no-file-answer",
            "204",
            "where a message without a file is answered as an empty queue is, both answers look alike",
        ),
    }
)
"""Answers that tell nothing where another point is, or may be, answered so.

By name: the answer, the other point, that one's answer, and why.
"""

BEYOND_THE_WIRE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "redelivery.at-half-hour": "only a clock that stands still shows the very instant",
        "retention.at-seven-days": "only a clock that stands still shows the very instant",
        "status.seventh-spelling": "nobody can make a processing fail after the fact by the wire",
        "status.downloaded": "the message ID of an export is not on the wire",
        "processing.unknown-company": "it takes a job that reads the company from its messages",
        "batch.status-before-fetch": "Manage messages is a page",
        "batch.overrun": "nobody knows by the wire when a recurrence began to count",
    }
)
"""Open points that a tour cannot see, each with the reason. Scenarios with a control plane see them all."""

_STATUS = re.compile(r"\d{3}(-[a-z]{1,20})?")


class Told(Protocol):
    """A rule's verdict, as it was judged or as a verdict file has it."""

    @property
    def id(self) -> str:
        """The rule's id."""

    @property
    def outcome(self) -> Outcome:
        """What became of it."""

    @property
    def situations(self) -> int:
        """How often it found something to judge."""

    @property
    def answer(self) -> str | None:
        """The server's answers, with bars between."""

    @property
    def reason(self) -> str | None:
        """Why it was not exercised."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What was seen of a server's choices. Each open point is in exactly one of the first four.

    Args:
        points: points with the one answer that was seen, of those that a profile knows.
        several: points that were answered in more than one way.
        unknown: points answered in a way that no profile knows: the status, or that it was another answer.
        unseen: points that were not seen, each with the reason.
        beside: answers to questions that no profile has.
        seen: in how many situations each answer was seen.
        means: how it was taken: scenarios, tour or recording.
        clock: the kind of the server's clock: manual, scaled, system.
        taken: on which day.
        by: the version of popreceipt.
        label: what whoever took it wants to say of the server.
    """

    points: Mapping[str, str]
    several: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)
    means: str = SCENARIOS
    clock: str = ""
    taken: date | None = None
    by: str = ""
    label: str = ""

    def profile(self) -> Profile:
        """The profile that answers as the server did, and as usual where that was not seen."""
        return changed(Profile(), self.points, {}, place="a fingerprint")

    def unusual(self) -> dict[str, str]:
        """The points that were answered otherwise than a plain emulator would."""
        return {name: value for name, value in self.points.items() if value != POINTS[name].values[0]}

    def as_json(self) -> dict[str, Any]:
        """For machines: the same, in the order of the profile's points."""
        return {
            "format": FORMAT,
            "popreceipt": self.by,
            "taken": self.taken.isoformat() if self.taken is not None else None,
            "means": self.means,
            "clock": self.clock,
            "label": self.label,
            "points": {
                name: {"value": value, "usual": value == POINTS[name].values[0], "seen": self.seen.get(name, 0)}
                for name, value in self.points.items()
            },
            "several": {name: list(values) for name, values in self.several.items()},
            "unknown": {name: list(values) for name, values in self.unknown.items()},
            "unseen": dict(self.unseen),
            "beside": dict(self.beside),
        }


def questions() -> tuple[str, ...]:
    """The ids of the rules that ask: those to be exercised for a fingerprint."""
    return tuple(each.id for each in catalogue() if each.level is Level.ASK)


def taken(
    verdicts: Iterable[Told],
    abilities: Collection[str],
    *,
    means: str = SCENARIOS,
    clock: str = "",
    day: date | None = None,
    by: str = "",
    label: str = "",
) -> Fingerprint:
    """The fingerprint that verdicts tell.

    Args:
        verdicts: of one run; those of rules that ask nothing are passed over.
        abilities: of the target, which tell why something was not seen.
        means: how it was taken: scenarios, tour or recording.
        clock: the kind of the target's clock.
        day: on which day.
        by: the version of popreceipt.
        label: what whoever took it wants to say of the server.

    Raises:
        NothingProved: not one open point was seen.
    """
    told = {each.id: each for each in verdicts}
    points: dict[str, str] = {}
    several: dict[str, tuple[str, ...]] = {}
    unknown: dict[str, tuple[str, ...]] = {}
    unseen: dict[str, str] = {}
    for name, point in POINTS.items():
        verdict = told.get(name)
        answers = _answers(verdict)
        if verdict is None or not answers:
            unseen[name] = (means == TOUR and BEYOND_THE_WIRE.get(name)) or _why_unseen(name, verdict, abilities)
        elif (hidden := _hidden(name, told)) is not None:
            unseen[name] = hidden
        elif len(answers) > 1:
            several[name] = tuple(sorted({_scrubbed(each, point.values) for each in answers}))
        elif answers[0] not in point.values:
            unknown[name] = (_scrubbed(answers[0], point.values),)
        else:
            points[name] = answers[0]
    if not points and not several and not unknown:
        raise NothingProved("Not one open point was seen: there is nothing to write down.")
    beside = {
        rule.id: " | ".join(sorted({_scrubbed(each, rule.answers) for each in answers}))
        for rule in catalogue()
        if rule.level is Level.ASK and rule.id not in POINTS and (answers := _answers(told.get(rule.id)))
    }
    return Fingerprint(
        points=points,
        several=several,
        unknown=unknown,
        unseen=unseen,
        beside=beside,
        seen={name: told[name].situations for name in points},
        means=means,
        clock=clock,
        taken=day,
        by=by,
        label=label,
    )


def _answers(verdict: Told | None) -> tuple[str, ...]:
    return tuple((verdict.answer or "").split(" | ")) if verdict is not None and verdict.answer else ()


def _scrubbed(answer: str, known: Collection[str]) -> str:
    """An answer in the rule's own words, or a bare status: nothing that the server wrote."""
    return answer if answer in known or _STATUS.fullmatch(answer) else ANOTHER


def _hidden(name: str, told: Mapping[str, Told]) -> str | None:
    """Why a point's answer tells nothing, where another point's answer hides it, or may do so."""
    if name not in HIDDEN_BY:
        return None
    answer, other, hiding, why = HIDDEN_BY[name]
    if answer not in _answers(told.get(name)):
        return None
    others = _answers(told.get(other))
    if others and hiding not in others:
        return None
    return f"{other} {'is' if others else 'may be'} {hiding}: {why}"


def _why_unseen(name: str, verdict: Told | None, abilities: Collection[str]) -> str:
    """The reason in our own words: a verdict's reason names the target, instants and more."""
    if missing := sorted(find(name).needs - set(abilities)):
        return f"the target lacks {', '.join(missing)}"
    if verdict is None:
        return "not asked for in this run"
    if verdict.outcome is Outcome.UNDECIDED:
        return "the answers leave it open"
    if (verdict.reason or "").startswith("parked"):
        return "parked: the run ended before it could be asked"
    return "no situation for it arose"
