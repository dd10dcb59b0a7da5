"""Two results beside each other: what became better, what worse, and what is merely different.

It compares verdict by verdict and reads nothing else; whether a change may stand, a gate or a person decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from popreceipt.reports.result import ResultFile, RuleRow
from popreceipt.verdict import Outcome


class Direction(StrEnum):
    """Which way a change goes."""

    WORSE = "worse"
    BETTER = "better"
    OTHER = "otherwise"


class Change(StrEnum):
    """What became of a rule from one result to the next, in the words of a report."""

    BROKEN = "newly violated"
    LOST = "no longer exercised"
    REMOVED = "no longer judged"
    UNSETTLED = "no longer decided"
    MENDED = "no longer violated"
    SETTLED = "decided now"
    GAINED = "exercised for the first time"
    ANSWERED = "answered otherwise"
    ADDED = "judged for the first time"


DIRECTIONS: Final[Mapping[Change, Direction]] = {
    Change.BROKEN: Direction.WORSE,
    Change.LOST: Direction.WORSE,
    Change.REMOVED: Direction.WORSE,
    Change.UNSETTLED: Direction.WORSE,
    Change.MENDED: Direction.BETTER,
    Change.SETTLED: Direction.BETTER,
    Change.GAINED: Direction.BETTER,
    Change.ANSWERED: Direction.OTHER,
    Change.ADDED: Direction.OTHER,
}


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule of which the two results tell different things; None where one of them does not know it."""

    id: str
    change: Change
    before: RuleRow | None
    after: RuleRow | None

    @property
    def direction(self) -> Direction:
        """Which way it goes."""
        return DIRECTIONS[self.change]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result beside an earlier one.

    Args:
        previous: the earlier one.
        changes: rule by rule, what became worse first.
        alike: how many rules ended as before.
        still_violated: the rules that were violated before and are now.
        found: checks of suites that failed now and did not before, as "suite: check".
        gone: those that failed before and do not now.
        circumstances: what makes the two hard to compare: another target, another build, another seed.
    """

    previous: ResultFile
    changes: tuple[RuleChange, ...]
    alike: int
    still_violated: tuple[str, ...]
    found: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    circumstances: tuple[str, ...] = ()

    @property
    def by_id(self) -> Mapping[str, RuleChange]:
        """The changes by the rules' ids."""
        return {each.id: each for each in self.changes}

    def going(self, direction: Direction) -> tuple[RuleChange, ...]:
        """The changes that go one way."""
        return tuple(each for each in self.changes if each.direction is direction)


def compare(current: ResultFile, previous: ResultFile) -> Comparison:
    """Hold a result against an earlier one."""
    before, after = previous.by_id, current.by_id
    found = [
        RuleChange(name, change, before.get(name), after.get(name))
        for name in dict.fromkeys([*after, *before])
        if (change := change_of(before.get(name), after.get(name))) is not None
    ]
    order = list(DIRECTIONS)
    failed_before, failed_now = _failed(previous), _failed(current)
    return Comparison(
        previous=previous,
        changes=tuple(sorted(found, key=lambda each: order.index(each.change))),
        alike=len(before.keys() | after.keys()) - len(found),
        still_violated=tuple(
            name
            for name, row in after.items()
            if row.outcome is Outcome.VIOLATED and name in before and before[name].outcome is Outcome.VIOLATED
        ),
        found=tuple(each for each in failed_now if each not in failed_before),
        gone=tuple(each for each in failed_before if each not in failed_now),
        circumstances=tuple(_circumstances(current, previous)),
    )


def change_of(before: RuleRow | None, after: RuleRow | None) -> Change | None:
    """What became of one rule; None where nothing did."""
    if before is None or after is None:
        return Change.ADDED if before is None else Change.REMOVED
    was, is_now = before.outcome, after.outcome
    if was is is_now:
        return Change.ANSWERED if is_now is Outcome.ANSWERED and before.answer != after.answer else None
    if is_now is Outcome.VIOLATED:
        return Change.BROKEN
    # What was violated and is not exercised any more is not mended.
    if is_now is Outcome.UNEXERCISED:
        return Change.LOST
    if is_now is Outcome.UNDECIDED:
        return Change.GAINED if was is Outcome.UNEXERCISED else Change.UNSETTLED
    if was is Outcome.VIOLATED:
        return Change.MENDED
    if was is Outcome.UNEXERCISED:
        return Change.GAINED
    return Change.SETTLED if was is Outcome.UNDECIDED else Change.ANSWERED


def _failed(result: ResultFile) -> list[str]:
    """The checks of suites that failed, each once."""
    rows: Sequence[Any] = result.raw.get("failures") or ()
    told = [f"{each.get('suite')}: {each.get('check')}" for each in rows if isinstance(each, Mapping)]
    return list(dict.fromkeys(told))


def _circumstances(current: ResultFile, previous: ResultFile) -> Iterable[str]:
    for name, word in (("name", "target"), ("build", "build"), ("clock", "clock")):
        was, is_now = previous.target.get(name), current.target.get(name)
        if was != is_now:
            yield f"another {word}: {was or 'none told'} then, {is_now or 'none told'} now"
    if previous.seed != current.seed:
        yield f"another seed: {previous.seed} then, {current.seed} now"
    if not previous.complete:
        yield "the earlier result is not complete"
    if not current.complete:
        yield "this result is not complete"
