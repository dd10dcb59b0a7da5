"""How a request may be spelled, and what a service says to one that means nothing.

A spelling is judged only against the plain one: where the same call, spelled plainly, came through. What was refused
for its caller, its body or its message tells nothing about spelling.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Final

from popreceipt.rules.facts import Ack, Call, Enqueue
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import (
    BUSY_OR_UNFIT,
    DIRECTIONS,
    bare,
    braced,
    in_another_case,
    in_english,
    names_a_guid,
    right_side,
    sound_file,
    token_alive,
    well_made,
)
from popreceipt.rules.rule import ASK, CLIENT_OBSERVED, INFERRED, MUST, SHOULD, article, client, rule
from popreceipt.verdict import Finding, answered, held, undecided, violated
from popreceipt.vocabulary import DEQUEUE, ENQUEUE

NOT_UNDERSTOOD: Final = frozenset({400, 404, 405})
BAD_REQUEST: Final = 400
CRASHED: Final = 500

NEVER_ASKED: Final = frozenset({"HEAD", "OPTIONS"})
"""Verbs that a web server may answer on any path."""


@rule(
    "transport.language-prefix",
    text="A language segment may stand before the API's path.",
    source=article("API for export (dequeue)"),
    reading="Judged for the segment of the article's examples, en, on calls that come through without it.",
    level=MUST,
    statements=(34,),
)
def language_prefix(journal: Readings) -> Iterator[Finding]:
    """Calls with the segment, against those without."""
    yield from _spelled(
        journal,
        in_english,
        lambda path: not in_english(path),
        lambda path: (braced(path), in_another_case(path)),
        "with /en before the path",
    )


@rule(
    "transport.braced-activity-id",
    text="The activity ID may stand in the path in percent-encoded braces.",
    source=article("API for import (enqueue)"),
    reading="Judged on calls that come through with the bare ID.",
    level=MUST,
    statements=(31,),
)
def braced_activity_id(journal: Readings) -> Iterator[Finding]:
    """Calls with braces, against those with the bare ID."""
    yield from _spelled(journal, braced, bare, _rest_of, "with the activity ID in braces")


@rule(
    "transport.bare-activity-id",
    text="The activity ID may stand in the path without braces.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "writes the activity ID bare"),
    reading="Judged on calls that come through with braces.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(31,),
)
def bare_activity_id(journal: Readings) -> Iterator[Finding]:
    """Calls with the bare ID, against those with braces."""
    yield from _spelled(journal, bare, braced, _rest_of, "with the bare activity ID")


@rule(
    "transport.path-letter-case",
    text="The letter case of the path is ignored, or it matters.",
    source=article("API for export (dequeue)"),
    reading="Every known client writes the path in lower case. It matters where a call in lower case comes through.",
    level=ASK,
    provenance=INFERRED,
    answers=("ignored", "matters"),
)
def path_letter_case(journal: Readings) -> Iterator[Finding]:
    """Calls with capitals in the route, against those in lower case."""
    plain = _Plain(journal, lambda path: not in_another_case(path), lambda path: (in_english(path), braced(path)))
    for call in _calls(journal, in_another_case):
        if call.ok:
            yield answered("ignored", call)
        elif call.status in NOT_UNDERSTOOD and (other := plain.like(call)) is not None:
            yield answered("matters", call, other)


@rule(
    "transport.malformed-activity",
    text="A path whose activity is no GUID is answered 400, 404 or 500.",
    source=article("API for import (enqueue)"),
    reading="Forms of a GUID that the article never shows (without dashes, in parentheses) are not asked about.",
    level=ASK,
    provenance=INFERRED,
    answers=("400", "404", "500"),
)
def malformed_activity(journal: Readings) -> Iterator[Finding]:
    """The status of each enqueue and dequeue on such a path."""
    for call in _asking(journal):
        if call.activity is not None and names_a_guid(call.activity) is False:
            yield answered(str(call.status), call)


@rule(
    "transport.unknown-activity",
    text="A path whose activity names no recurring data job is answered 404, 400 or 500.",
    source=article("API for import (enqueue)"),
    reading="Unknown are GUIDs that the target did not list, where it listed any.",
    level=ASK,
    provenance=INFERRED,
    answers=("404", "400", "500"),
)
def unknown_activity(journal: Readings) -> Iterator[Finding]:
    """The status of each enqueue and dequeue on such a path."""
    if not journal.activities:
        return
    handed_out = {each.activity for each in journal.dequeues if each.delivered}
    for call in _asking(journal):
        activity = call.activity
        if activity is None or activity in journal.activities or activity in handed_out:
            continue
        if names_a_guid(activity):
            yield answered(str(call.status), call)


@rule(
    "transport.wrong-direction",
    text="An enqueue on an export and a dequeue on an import are answered 400, 404 or 500; the dequeue perhaps 204.",
    source=article("Create a recurring data job"),
    reading="Where the dequeue is answered 204, as if nothing waited, 400 for the enqueue belongs to that answer.",
    level=ASK,
    provenance=INFERRED,
    answers=("400", "404", "500", "204"),
)
def wrong_direction(journal: Readings) -> Iterator[Finding]:
    """The status of each such call by an application that the job lists."""
    calls = [
        call
        for call in _asking(journal)
        if right_side(journal, call) is False and journal.settled(call.activity or "", "enabled", call) is not False
    ]
    blank = any(call.operation == DEQUEUE and call.status == 204 for call in calls)
    for call in calls:
        if not (blank and call.operation == ENQUEUE and call.status == 400):
            yield answered(str(call.status), call)


@rule(
    "transport.wrong-verb",
    text="A known path asked with another verb than its own is answered 405 or 404.",
    source=article("API for import (enqueue)"),
    reading="HEAD and OPTIONS are not asked about.",
    level=ASK,
    provenance=INFERRED,
    answers=("405", "404"),
)
def wrong_verb(journal: Readings) -> Iterator[Finding]:
    """The status of each such call on a job that is known."""
    for call in journal.calls_by_role.get("authorised", ()):
        if (
            call.operation in DIRECTIONS
            and not well_made(call)
            and call.method not in NEVER_ASKED
            and call.activity in journal.activities
            and call.status is not None
            and call.status not in BUSY_OR_UNFIT
            and token_alive(journal, call) is not False
        ):
            yield answered(str(call.status), call)


def _rest_of(path: str) -> Hashable:
    """How a path is spelled apart from its activity ID."""
    return in_english(path), in_another_case(path)


def _spelled(
    journal: Readings,
    spelling: Callable[[str], bool],
    other: Callable[[str], bool],
    besides: Callable[[str], Hashable],
    how: str,
) -> Iterator[Finding]:
    """Judge the calls of one spelling against the same calls in another that differ in nothing `besides`.

    A fault of the server may be chance: only several of them, without one success, speak against the spelling.
    """
    plain = _Plain(journal, other, besides)
    crashed: list[tuple[Call, Call]] = []
    fine = False
    for call in _calls(journal, spelling):
        if call.ok:
            fine = True
            yield held("understood", call)
        elif (call.status in NOT_UNDERSTOOD or call.status == CRASHED) and (same := plain.like(call)) is not None:
            if call.status == CRASHED:
                crashed.append((call, same))
            else:
                yield violated(
                    f"{call.operation} {how} was answered {call.status}, spelled otherwise {same.status}", call, same
                )
    for call, same in crashed:
        if fine or len(crashed) == 1:
            yield undecided(f"{call.operation} {how} failed with {call.status}", call, same)
        else:
            yield violated(f"{call.operation} {how} always fails with {call.status}, spelled otherwise not", call, same)


def _calls(journal: Readings, spelling: Callable[[str], bool]) -> Iterator[Call]:
    """Enqueues, dequeues and acknowledgments that are spelled so, by somebody who may."""
    known: dict[str, bool] = {}
    for role in ("authorised", None):
        for call in journal.calls_by_role.get(role, ()):
            if call.operation not in DIRECTIONS:
                continue
            fits = known.get(call.path)
            if fits is None:
                fits = known[call.path] = spelling(call.path)
            if fits and well_made(call) and token_alive(journal, call) is not False:
                yield call


class _Plain:
    """Calls in another spelling that came through, looked for only when one in this spelling did not.

    `besides` tells what else of a path's spelling must be the same.
    """

    def __init__(self, journal: Readings, spelling: Callable[[str], bool], besides: Callable[[str], Hashable]) -> None:
        self._journal = journal
        self._spelling = spelling
        self._besides = besides
        self._found: tuple[dict[tuple[object, ...], Call], dict[tuple[object, ...], Call]] | None = None

    def like(self, call: Call) -> Call | None:
        """One that asked the same of the same job, or of another where this one is known to take such calls."""
        if isinstance(call, Ack) and not self._fresh(call):
            return None
        if isinstance(call, Enqueue) and call.status == BAD_REQUEST and not sound_file(call):
            return None
        if self._found is None:
            self._found = self._gathered()
        there, anywhere = self._found
        what = self._what(call)
        same = there.get((call.activity, *what))
        if same is not None:
            return same
        takes_such = right_side(self._journal, call) and self._journal.settled(call.activity or "", "enabled", call)
        return anywhere.get(what) if takes_such else None

    def _gathered(self) -> tuple[dict[tuple[object, ...], Call], dict[tuple[object, ...], Call]]:
        there: dict[tuple[object, ...], Call] = {}
        anywhere: dict[tuple[object, ...], Call] = {}
        for call in _calls(self._journal, self._spelling):
            if call.ok:
                what = self._what(call)
                there.setdefault((call.activity, *what), call)
                anywhere.setdefault(what, call)
        return there, anywhere

    def _what(self, call: Call) -> tuple[object, ...]:
        besides = self._besides(call.path)
        if isinstance(call, Enqueue):
            entity = (call.entity or "").casefold()
            # A job of files may want an entity where one of packages does not.
            kind = self._journal.settled(call.activity or "", "type", call)
            return call.operation, besides, kind, entity, call.length > 0, call.encoding, call.chunked
        return call.operation, besides

    def _fresh(self, ack: Ack) -> bool:
        """It repeats what a dequeue of this very job said, in time and for the first time, and nobody cleaned up.

        Whether an acknowledgment without a download is taken is open; where it is not, it fails.
        """
        journal = self._journal
        _ = journal.messages  # it tells an echo from other bodies
        delivery = journal.delivery_of(ack)
        if delivery is None or ack.form != "echo" or delivery.activity != ack.activity:
            return False
        message = journal.exports.message_of(delivery)
        fetched = (
            journal.exports.precedes(delivery, each) and journal.exports.precedes(each, ack)
            for each in message.downloads
            if each.digest is not None
        )
        if ack.status == CRASHED and delivery.kind == "message" and not any(fetched):
            return False
        return (
            ack.answered < delivery.sent + journal.lease
            and all((each.sent, each.seq) >= (ack.sent, ack.seq) for each in message.acks)
            and message.deliveries[-1] is delivery
            and journal.undisturbed(delivery.activity or "", delivery, ack.answered, ack.seq)
        )


def _asking(journal: Readings) -> Iterator[Call]:
    """Enqueues and dequeues by the application that every job lists, whose answer can only be about the path."""
    for call in journal.calls_by_role.get("authorised", ()):
        if (
            call.operation in (ENQUEUE, DEQUEUE)
            and well_made(call)
            and call.status is not None
            and call.status not in BUSY_OR_UNFIT
            and not (isinstance(call, Enqueue) and not call.length)
            and token_alive(journal, call) is not False
        ):
            yield call
