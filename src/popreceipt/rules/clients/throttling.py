"""How long a client waits where the service asks it to, and where it fails again and again. Real seconds throughout."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.conduct import MANY, TIGHT, Conduct, before, seconds, tight
from popreceipt.rules.facts import Ack, Call, Download, Enqueue, ExecutionErrors, ExecutionId, StatusAnswer
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, SHOULD, microsoft, rule, standard
from popreceipt.verdict import Finding, held, undecided, violated

ARTICLE: Final = "Service protection retry operations"

ASKED_TO_WAIT: Final = frozenset({429, 503})

EARLY: Final = 0.05
"""Real seconds by which a timer may be early."""

WHOLE_SECOND: Final = 1.0
"""An HTTP date has whole seconds: so much earlier may be a question of rounding, or of two clocks."""

ENOUGH: Final = 3
"""So many failures in a row tell how a client goes about them."""

_SHARED: Final = frozenset({vocabulary.TOKEN, vocabulary.DEQUEUE})
"""What every worker of a client asks for alike, so that their tries can't be told apart."""

Thing = tuple[str, str | None, str | None]
"""What a call is about: its operation, its job, and which file, delivery or message."""


@rule(
    "throttling.retry-after-seconds",
    text="After 429 or 503 with Retry-After in seconds, that operation is not asked again any sooner.",
    source=microsoft(ARTICLE),
    reading="Another call of the operation for another file or message is undecided, for workers and for clients that "
    "go on with something else; so is one of another process, which may not know.",
    level=SHOULD,
    binds=CLIENT,
)
def retry_after_seconds(journal: Readings) -> Iterator[Finding]:
    """Each such answer, and the next call of the operation."""
    for call, following in _asked_to_wait(journal):
        text = (call.retry_after or "").strip()
        if not text.isdecimal():
            continue
        wanted = float(text[:9])
        gap = journal.conduct.gap(call, following)
        if gap is not None:
            yield _waited(journal.conduct, call, following, gap, wanted, wanted - EARLY)


@rule(
    "throttling.retry-after-date",
    text="After 429 or 503 with a date in Retry-After, that operation is not asked again before it.",
    source=standard("RFC 9110", "10.2.3"),
    reading="Less than a second early is undecided: the date has whole seconds. Else as for seconds.",
    level=SHOULD,
    binds=CLIENT,
)
def retry_after_date(journal: Readings) -> Iterator[Finding]:
    """Each such answer, and the next call of the operation."""
    conduct = journal.conduct
    for call, following in _asked_to_wait(journal):
        until = _date_in(call.retry_after or "")
        wanted = conduct.real(until - call.answered) if until is not None else None
        gap = conduct.gap(call, following)
        if wanted is None or gap is None:
            continue
        if wanted - WHOLE_SECOND <= gap < wanted - EARLY:
            yield undecided(f"{seconds(wanted - gap)} early", call, following)
        else:
            yield _waited(conduct, call, following, gap, wanted, wanted - EARLY)


def _date_in(text: str) -> datetime | None:
    """The instant of an HTTP date; None where it is none."""
    try:
        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _asked_to_wait(journal: Readings) -> Iterator[tuple[Call, Call]]:
    """Answers that ask to wait, each with the next call of that operation on that job."""
    waiting: dict[tuple[str, str | None], Call] = {}
    for call in journal.calls:
        key = (call.operation, call.activity)
        earlier = waiting.get(key)
        if earlier is not None and before(earlier, call):
            del waiting[key]
            yield earlier, call
        if call.status in ASKED_TO_WAIT and call.retry_after is not None and journal.conduct.saw(call):
            waiting[key] = call


def _waited(conduct: Conduct, call: Call, following: Call, gap: float, wanted: float, least: float) -> Finding:
    if gap >= least:
        return held(f"{seconds(gap)} later", call, following)
    text = f"{seconds(gap)} later instead of {seconds(wanted)}"
    if conduct.may_be_another(call, following):
        return undecided(f"{text}, by another process", call, following)
    if conduct.workers > 1:
        return undecided(f"{text}, perhaps by another worker", call, following)
    if _thing(call) != _thing(following):
        return undecided(f"{text}, for something else", call, following)
    return violated(text, call, following)


def _thing(call: Call) -> Thing:
    which: str | None = None
    if isinstance(call, Download):
        which = call.location
    elif isinstance(call, Ack):
        which = call.receipt
    elif isinstance(call, Enqueue):
        which = call.digest
    elif isinstance(call, StatusAnswer | ExecutionId):
        which = call.message
    elif isinstance(call, ExecutionErrors):
        which = call.execution
    return call.operation, call.activity, which


@rule(
    "throttling.backs-off",
    text="What fails again and again is not tried again in a tight loop.",
    source=microsoft(ARTICLE),
    reading=f"The same thing asked for again after a fault of the server, 408, 429 or no whole answer, none of which "
    f"says when. A loop is {MANY} tries or more of which half came within {TIGHT} seconds of real time; fewer, and as "
    "quick, are undecided, and so are several workers that wait, each for itself.",
    level=SHOULD,
    binds=CLIENT,
)
def backs_off(journal: Readings) -> Iterator[Finding]:
    """Each row of failures of one thing, with the try that ended it."""
    conduct = journal.conduct
    rows: dict[Thing, list[Call]] = {}
    finished: list[list[Call]] = []
    for call in journal.calls:
        thing = _thing(call)
        row = rows.get(thing)
        if conduct.failed(call) and call.retry_after is None:
            if row is None:
                rows[thing] = [call]
            else:
                row.append(call)
        elif row is not None:
            finished.append([*row, call])
            del rows[thing]
    for row in (*finished, *rows.values()):
        gaps = conduct.gaps(row)
        if len(gaps) < ENOUGH:
            continue
        loop = tight(gaps) if row[0].operation not in _SHARED else conduct.is_loop(gaps)
        if loop:
            yield violated(f"{len(gaps)} tries after failures, half of them within {seconds(median(gaps))}", *row[:3])
        elif median(gaps) < TIGHT:
            yield undecided(f"{len(gaps)} tries after failures within {seconds(median(gaps))} each", *row[:MANY])
        else:
            yield held(f"{seconds(median(gaps))} between tries", *row[:3])
