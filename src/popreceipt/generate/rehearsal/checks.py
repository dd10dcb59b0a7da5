"""What must be true of a tour, whoever was toured: told from what it left, never from how it was done.

A right server is convicted of nothing, whatever it answers to what is left open; every rule that the plan says it
shows is decided; what was sent is what the plan said; the fingerprint is true.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from popreceipt.emulator.profile import POINTS, Profile
from popreceipt.exceptions import NothingProved
from popreceipt.fingerprints import taking
from popreceipt.fingerprints.taking import Told
from popreceipt.rules import catalogue, find
from popreceipt.verdict import Level, Outcome

DECIDED: Final = frozenset({Outcome.HELD, Outcome.ANSWERED})

TWO_LEASES: Final = timedelta(minutes=85)
"""Two half hours one after the other, and what comes before, between and after them."""

LONGER: Final = frozenset(
    {"redelivery.poison-limit", *(each.id for each in catalogue() if each.chapter == "retention")}
)
"""Rules that two leases are too short for: eleven deliveries, and a file's seven days."""

CONVICTING: Final = frozenset({"download.bytes-as-uploaded"})
"""Rules that a server can only break by its wire: that it kept them takes knowing what was uploaded."""

UNSEEN_BY_TOURS: Final = frozenset(taking.BEYOND_THE_WIRE) | frozenset(name for name in POINTS if name in LONGER)
"""Open points that a tour of two leases does not see."""

HIDES: Final[Mapping[str, frozenset[str]]] = {
    # Blob storage answers in the connector's place.
    "download.answer=redirect": frozenset({"download.content-type", "retention.expired-download"}),
    # What cannot be read as JSON has no members.
    "execution-errors.value-form=malformed": frozenset({"execution-errors.record-members"}),
    # What has no file and another name each time is known by an instant alone, if just one was dequeued then.
    "redelivery.correlation=fresh": frozenset({"retention.expired-dequeue", "zero-records.no-file-leaves"}),
    # A message without a file leaves nothing to be seen.
    "zero-records.no-file-answer=204": frozenset(
        {
            "zero-records.no-file-answer",
            "zero-records.no-file-is-said",
            "zero-records.no-file-leaves",
            "retention.expired-dequeue",
        }
    ),
}
"""Rules that cannot be shown by the wire alone under a dialect, by its name."""


def false_convictions(verdicts: Iterable[Told]) -> list[str]:
    """MUST rules of which a right server was convicted."""
    return [
        f"{each.id} is violated"
        for each in verdicts
        if each.outcome is Outcome.VIOLATED and find(each.id).level is Level.MUST
    ]


def left_open(
    plan: Mapping[str, Any], verdicts: Iterable[Told], profile: Profile, *, but: Collection[str] = ()
) -> list[str]:
    """Rules that the plan was to show and that were not decided.

    Args:
        plan: as JSON.
        verdicts: of the tour.
        profile: what the server answers.
        but: rules that take longer than the tour had time.
    """
    shown = {rule for errand in plan["errands"] if errand["run"] for rule in errand["shows"]}
    excused = {rule for dialect in dialects_of(profile) for rule in HIDES.get(dialect, ())}
    told = {each.id: each for each in verdicts}
    return [
        f"{rule} is {told[rule].outcome} ({told[rule].reason or told[rule].answer or 'no reason'})"
        for rule in sorted(shown - excused - CONVICTING - set(but))
        if not _is_decided(told[rule])
    ]


def _is_decided(verdict: Told) -> bool:
    """Whether there is a verdict; one that recommends may be broken by whoever chooses otherwise."""
    recommends = find(verdict.id).level is Level.SHOULD
    return verdict.outcome in DECIDED or (recommends and verdict.outcome is Outcome.VIOLATED)


def untrue(verdicts: Iterable[Told], abilities: Collection[str], profile: Profile) -> list[str]:
    """What a fingerprint would say of a server that runs under this profile, and is not so."""
    try:
        found = taking.taken(verdicts, abilities, means=taking.TOUR)
    except NothingProved as error:
        return [str(error)]
    wrong = [
        f"{name} is said to be {value}, and is {answer_of(profile, name)}"
        for name, value in found.points.items()
        if value != answer_of(profile, name)
    ]
    return wrong + [f"{name} is said to be {' and '.join(values)}" for name, values in found.several.items()]


def seen(verdicts: Iterable[Told], abilities: Collection[str]) -> set[str]:
    """The open points of which something was seen."""
    found = taking.taken(verdicts, abilities, means=taking.TOUR)
    return {*found.points, *found.several, *found.unknown}


def answer_of(profile: Profile, name: str) -> str:
    """How a profile answers an open point."""
    return str(getattr(profile, POINTS[name].field))


def dialects_of(profile: Profile) -> Iterator[str]:
    """The dialects that are combined in a profile."""
    return (
        f"{name}={value}" for name, point in POINTS.items() if (value := answer_of(profile, name)) != point.values[0]
    )
