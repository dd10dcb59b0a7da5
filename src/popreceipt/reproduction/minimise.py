"""Makes a story that fails short, and its times round: delta debugging over steps, then over what is in them.

Pure: whether a story fails is asked of a predicate that is handed in, so many times and no more. Steps that need an
answer go with the step that gives it.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import ceil, floor
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.client.packages import COLUMNS, data_package, delimited
from popreceipt.reproduction import names
from popreceipt.reproduction.steps import (
    Advance,
    Call,
    Obtain,
    Step,
    Steps,
    Tell,
    Token,
    as_json,
    counted,
    given_name,
    makes_a_job,
    needed,
    renumbered,
    with_names,
)

__all__ = ["BUDGET", "ROUND", "Fails", "Minimised", "counted", "minimise", "simpler"]

Fails = Callable[[Steps], bool]

BUDGET: Final = 800
"""How often a story may be played, unless told otherwise."""

USUAL_LENGTH: Final = 40
"""Steps of a story as the bound has it in mind: of longer ones fewer may be played, so that none takes for ever."""

MINUTE, HOUR, DAY = 60, 3600, 86_400

ROUND: Final = (
    1,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE - 1,
    31 * MINUTE,
    30 * MINUTE + 1,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    DAY,
    7 * DAY - 1,
    8 * DAY,
    7 * DAY + 1,
    7 * DAY,
)
"""Seconds that a person takes in at a glance, the ones to be preferred first.

At exactly the half hour, or seven days, servers may differ and all be right: that is a last resort.
"""

PLAIN: Final = "authorised"

NEEDED: Final = frozenset(
    ("direction", "entities", "entity", "field", "records", "operation", "kind", "action", "olderThanDays", "unit")
)
"""Members without which a control call means nothing, or something else: they stay."""

_PAIRS_UP_TO: Final = 14
"""In stories of so many steps every two are tried together."""


@dataclass(frozen=True, slots=True)
class Minimised:
    """A story made small.

    Args:
        steps: the story.
        replays: how often the predicate was asked.
        exhausted: the bound was hit, so it may not be as small as it could be.
    """

    steps: Steps
    replays: int
    exhausted: bool


def minimise(steps: Sequence[Step], fails: Fails, budget: int = BUDGET) -> Minimised:
    """The smallest story that can be found and that still fails.

    Args:
        steps: a story that fails. One that does not comes back as it is.
        fails: plays a story and says whether it fails.
        budget: how often it may be asked, of stories of the usual length.
    """
    work = _Work(tuple(steps), fails, budget)
    if not work.tries(work.steps):
        return Minimised(work.steps, work.replays, work.exhausted)
    while not work.exhausted:
        before = work.steps
        work.shorten()
        work.pass_time()
        work.join_names()
        work.simplify()
        if work.steps == before and not work.cut_pairs():
            break
    return Minimised(renumbered(_without_idle_names(work.steps)), work.replays, work.exhausted)


def _without_idle_names(steps: Steps) -> Steps:
    """The story without names that nothing needs, but for those of jobs: a reader would wait for them to matter."""
    wanted = {name for step in steps for name in needed(step)}
    return tuple(
        replace(step, name=None)
        if not isinstance(step, Advance) and step.name not in wanted and not makes_a_job(step)
        else step
        for step in steps
    )


class _Work:
    def __init__(self, steps: Steps, fails: Fails, budget: int) -> None:
        self.steps = steps
        self.replays = 0
        self.exhausted = False
        self._fails = fails
        self._budget = budget
        self._steps_left = budget * USUAL_LENGTH
        self._known: dict[str, bool] = {}

    def tries(self, steps: Steps) -> bool:
        """Whether a story fails; one that was played before is not played again. A story without steps does not."""
        if not steps:
            return False
        key = json.dumps([as_json(each) for each in steps], sort_keys=True)
        if key not in self._known:
            if self.replays and (self.replays >= self._budget or self._steps_left < len(steps)):
                self.exhausted = True
                return False
            self.replays += 1
            self._steps_left -= len(steps)
            self._known[key] = self._fails(steps)
        return self._known[key]

    def takes(self, steps: Steps) -> bool:
        """Go on with a story if it fails."""
        if steps == self.steps or not self.tries(steps):
            return False
        self.steps = steps
        return True

    # Fewer steps

    def shorten(self) -> None:
        """Leave out what comes after the failure, then ever smaller pieces."""
        low, high = 0, len(self.steps)
        while high - low > 1:
            middle = (low + high) // 2
            if self.tries(self.steps[:middle]):
                high = middle
            else:
                low = middle
        self.takes(self.steps[:high])
        size = max(1, len(self.steps) // 2)
        while True:
            # From the end: what comes late seldom matters to what came before.
            at = len(self.steps) - size
            while at > -size:
                self.takes(_without(self.steps, range(max(at, 0), at + size)))
                at = min(at, len(self.steps)) - size
            if size == 1:
                break
            size //= 2

    def cut_pairs(self) -> bool:
        """Leave out two steps at once: a fault and its end, a switch put off and on."""
        if len(self.steps) > _PAIRS_UP_TO:
            return False
        return any(self.takes(_without(self.steps, pair)) for pair in combinations(range(len(self.steps)), 2))

    # Round times

    def pass_time(self) -> None:
        """Make one jump of neighbouring ones, and each of a round length."""
        place = 0
        while place < len(self.steps) - 1:
            one, two = self.steps[place : place + 2]
            if isinstance(one, Advance) and isinstance(two, Advance):
                joined = Advance(one.seconds + two.seconds)
                if self.takes((*self.steps[:place], joined, *self.steps[place + 2 :])):
                    continue
            place += 1
        for place, step in enumerate(self.steps):
            if isinstance(step, Advance):
                self._round(place, step.seconds)

    def _round(self, place: int, seconds: float) -> None:
        for each in ROUND:
            if each == seconds or self._lasts(place, each):
                return
        # Nothing that is round by nature: the least whole minutes, else the least whole seconds, that will do.
        below = max((each for each in ROUND if each < seconds), default=0)
        for unit in (MINUTE, 1):
            low, high = floor(below / unit), ceil(seconds / unit)
            if not self._lasts(place, high * unit):
                continue
            while high - low > 1:
                middle = (low + high) // 2
                if self._lasts(place, middle * unit):
                    high = middle
                else:
                    low = middle
            return

    def _lasts(self, place: int, seconds: float) -> bool:
        """Whether the story fails with a jump of this length, which it then has."""
        step = self.steps[place]
        if isinstance(step, Advance) and step.seconds == seconds:
            return True
        return self.takes((*self.steps[:place], Advance(seconds), *self.steps[place + 1 :]))

    # Plain steps

    def join_names(self) -> None:
        """Let one job, delivery or message do where the story has two."""
        # Tokens are not alike: who uses one is called by what it is.
        given = [name for step in self.steps if (name := given_name(step)) is not None and not isinstance(step, Obtain)]
        for one, two in combinations(given, 2):
            if one.rpartition("-")[0] != two.rpartition("-")[0]:
                continue
            if self._has(one) and self._has(two):
                makers = [step for step in self.steps if given_name(step) == two]
                joined = tuple(
                    step if given_name(step) == two else with_names(step, {two: one})
                    for step in self.steps
                    if not (step in makers and makes_a_job(step))
                )
                self.takes(joined)

    def _has(self, name: str) -> bool:
        return any(given_name(step) == name for step in self.steps)

    def simplify(self) -> None:
        """Let each step be as plain as it can be."""
        for place in range(len(self.steps)):
            goes_on = True
            while goes_on and not self.exhausted:
                step = self.steps[place]
                goes_on = any(
                    self.takes((*self.steps[:place], each, *self.steps[place + 1 :]))
                    for each in simpler(step, place)
                    if each != step
                )


def _without(steps: Steps, places: Sequence[int]) -> Steps:
    """The story without these steps, and without those that need an answer of theirs."""
    gone = set(places)
    names_left: set[str] = set()
    kept: list[Step] = []
    for place, step in enumerate(steps):
        if place in gone or not needed(step) <= names_left:
            continue
        kept.append(step)
        name = given_name(step)
        if name is not None:
            names_left.add(name)
    return tuple(kept)


def simpler(step: Step, place: int = 0) -> Iterator[Step]:
    """Plainer forms of a step, the plainest first.

    Args:
        step: the step.
        place: its place in the story, which makes its file unlike every other.
    """
    if isinstance(step, Call):
        yield from _simpler_call(step, place)
    elif isinstance(step, Tell):
        yield from (replace(step, body=each) for each in _simpler_body(step))
    elif isinstance(step, Obtain):
        # For whom a token is, and whether its secret was right, stays: rules go by what callers are called.
        yield replace(step, version=2, grant="client_credentials")
        yield replace(step, version=2)
        yield replace(step, grant="client_credentials")


def _simpler_call(call: Call, place: int) -> Iterator[Call]:
    if call.token is not None:
        yield replace(call, actor=PLAIN, token=Token("current", PLAIN))
        role = call.token.of.partition("/")[0]
        if call.token.kind == "current" and call.token.of != role:
            yield replace(call, actor=role, token=Token("current", role))
    if call.chunked:
        yield replace(call, chunked=False)
    if call.headers:
        yield replace(call, headers=())
        if len(call.headers) > 1:
            for each in range(len(call.headers)):
                yield replace(call, headers=call.headers[:each] + call.headers[each + 1 :])
    operation, segment = vocabulary.operation_of(call.path)
    if segment is not None and len(found := set(names.named(call.path))) == 1:
        yield replace(call, path=f"/api/connector/{operation}/{names.reference(*found)}")
    yield from (replace(call, body=each) for each in _simpler_content(call, operation, place))


def _simpler_content(call: Call, operation: str, place: int) -> Iterator[str | bytes]:
    """Smaller bodies: the smallest file of its kind, fewer lines, the whole of a delivery."""
    body = call.body
    if operation == vocabulary.ACK and isinstance(body, str):
        deliveries = {giver for each in names.named(body) if (giver := names.giver(each)) is not None}
        yield from (names.reference(each) for each in sorted(deliveries) if body != names.reference(each))
    if operation != vocabulary.ENQUEUE or not body:
        return
    smallest = delimited([dict(zip(COLUMNS, (str(place), "A", ""), strict=True))])
    if isinstance(body, str):
        if len(smallest) < len(body.encode("utf-8")):
            yield names.escaped(smallest.decode("utf-8"))
        lines = body.splitlines(keepends=True)
        if len(lines) > 2:
            yield lines[0] + lines[1]
            yield from ("".join(lines[:each] + lines[each + 1 :]) for each in range(len(lines)))
    elif zipfile.is_zipfile(io.BytesIO(body)):
        package = data_package(smallest)
        if len(package) < len(body):
            yield package


def _simpler_body(step: Tell) -> Iterator[Any]:
    """Smaller bodies of a control call: without a member, with one record, with shorter lists."""
    body = step.body
    if not isinstance(body, Mapping):
        return
    if "records" in body and isinstance(body["records"], int) and body["records"] > 1:
        yield {**body, "records": 1}
    if makes_a_job(step) and len(body) > 1:
        yield {"direction": body.get("direction")}
    yield from _smaller(body)


def _smaller(value: Any) -> Iterator[Any]:
    """A JSON value with something taken out of it."""
    if isinstance(value, Mapping):
        for name in value:
            if name not in NEEDED:
                yield {other: each for other, each in value.items() if other != name}
        for name, each in value.items():
            # A field that is mapped from nowhere is another thing than one that is mapped.
            parts = _shorter(each) if name == "map" else _smaller(each)
            yield from ({**value, name: smaller} for smaller in parts)
    elif isinstance(value, list):
        yield from _shorter(value)
        for place, each in enumerate(value):
            yield from ([*value[:place], smaller, *value[place + 1 :]] for smaller in _smaller(each))
    elif isinstance(value, int) and not isinstance(value, bool) and value > 1:
        yield 1


def _shorter(value: Any) -> Iterator[Any]:
    """A list with one of its elements taken out, but for the last."""
    if isinstance(value, list) and len(value) > 1:
        yield from (value[:place] + value[place + 1 :] for place in range(len(value)))
