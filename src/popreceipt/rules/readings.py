"""Questions to a journal: what a setting was at the time, whose token it was, what was seen afterwards.

Readings know no promise of the documentation but the two periods that are needed to tell which messages waited (modules
`exports` and `waiting`); verdicts are the rules' business.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import msgspec

from popreceipt.journal import Entry, Header
from popreceipt.rules.conduct import Conduct
from popreceipt.rules.exports import Exports, Message
from popreceipt.rules.facts import Ack, Call, Dequeue, Enqueue, Production, Rows, StatusAnswer, Token
from popreceipt.rules.imports import Imports
from popreceipt.rules.landing import Landings
from popreceipt.rules.projects import Projects
from popreceipt.rules.reader import Reader
from popreceipt.rules.submissions import Submissions
from popreceipt.rules.waiting import Waiting
from popreceipt.vocabulary import SPELLINGS

__all__ = ["HALF_HOUR", "SEVEN_DAYS", "Message", "Readings", "Sighting"]

HALF_HOUR: Final = timedelta(minutes=30)
"""How long a dequeued message stays hidden (article "Recurring integrations", "API for acknowledgment")."""

SEVEN_DAYS: Final = timedelta(days=7)
"""How long a file stays in blob storage (article "Recurring integrations", "API for getting message status")."""


class Sighting(msgspec.Struct, gc=False):
    """A status that a message was seen to have between two instants; `call` is None where Manage messages told."""

    since: datetime
    at: datetime
    state: str
    call: StatusAnswer | None


class Readings(Reader):
    """A journal, read: the reader's facts, and answers to questions about them."""

    def __init__(self, header: Header, entries: Iterable[Entry]) -> None:
        super().__init__(header, entries)
        self.lease = timedelta(seconds=header.lease_seconds) if header.lease_seconds else HALF_HOUR
        self.retention = timedelta(seconds=header.retention_seconds) if header.retention_seconds else SEVEN_DAYS

    def setting(self, activity: str, name: str, at: datetime) -> Any:
        """A recurring data job's setting as last told by `at`; None where nobody told."""
        value = None
        for seen in self.activities.get(activity, ()):
            if seen.at <= at and name in seen.settings:
                value = seen.settings[name]
        return value

    @cached_property
    def issued_tokens(self) -> dict[str, Token]:
        """The request that a token came from, by the token's digest."""
        return {each.issued: each for each in self.tokens if each.ok and each.issued is not None}

    @cached_property
    def exports(self) -> Exports:
        """Which exported message each delivery handed out."""
        return Exports(self, self.lease, self.retention)

    @property
    def messages(self) -> list[Message]:
        """Exported messages with their deliveries, downloads and acknowledgments, each in order of time."""
        return self.exports.messages

    def delivery_of(self, ack: Ack) -> Dequeue | None:
        """The delivery whose answer an acknowledgment repeats."""
        return self.exports.delivery_of(ack)

    @cached_property
    def waiting(self) -> Waiting:
        """Which exported messages an empty answer missed."""
        return Waiting(self.exports)

    @cached_property
    def conduct(self) -> Conduct:
        """What the client did with what it was told: for the rules that bind clients."""
        return Conduct(self)

    @cached_property
    def submissions(self) -> Submissions:
        """What the client handed in and what it learnt of it: for the rules that bind clients."""
        return Submissions(self)

    @cached_property
    def enqueued(self) -> dict[str, Enqueue]:
        """Accepted enqueues by the message that they made."""
        return {each.message: each for each in self.enqueues if each.ok and each.message}

    @cached_property
    def imports(self) -> Imports:
        """What was handed in, and what was seen of it."""
        return Imports(self)

    @cached_property
    def project_of(self) -> Projects:
        """The data projects, and which of them each recurring data job hangs off."""
        return Projects(self)

    @cached_property
    def landings(self) -> Landings:
        """What imports of data projects should leave in target tables."""
        return Landings(self)

    @cached_property
    def states(self) -> dict[str, list[StatusAnswer]]:
        """What GetMessageStatus said of each message, in order of time."""
        found: dict[str, list[StatusAnswer]] = defaultdict(list)
        for each in self.statuses:
            if each.message is not None:
                found[each.message].append(each)
        return dict(found)

    # Callers, settings and what was seen afterwards

    @cached_property
    def calls_by_role(self) -> dict[str | None, list[Call]]:
        """All calls by the identity that made them, as the driver named it."""
        found: dict[str | None, list[Call]] = defaultdict(list)
        for each in self.calls:
            found[each.role].append(each)
        return dict(found)

    @cached_property
    def token_ends(self) -> dict[str, tuple[datetime, datetime]]:
        """The earliest and the latest instant at which each token's life ends, by its digest."""
        ends: dict[str, tuple[datetime, datetime]] = {}
        for each in self.tokens:
            if each.ok and each.issued is not None and each.expires_in is not None:
                life = timedelta(seconds=each.expires_in)
                end = (each.sent + life, each.answered + life)
                ends[each.issued] = max(end, ends.get(each.issued, end))
        return ends

    def calls_of(self, activity: str) -> list[Call]:
        """The calls whose path names one recurring data job, in order of time."""
        return self._calls_of.get(activity, [])

    @cached_property
    def _calls_of(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = defaultdict(list)
        for each in self.calls:
            if each.activity is not None:
                found[each.activity].append(each)
        return dict(found)

    def productions_of(self, activity: str) -> list[Production]:
        """The exports that were run on purpose on one recurring data job."""
        return self._productions.get(activity, [])

    @cached_property
    def _productions(self) -> dict[str, list[Production]]:
        found: dict[str, list[Production]] = defaultdict(list)
        for each in self.productions:
            found[each.activity].append(each)
        return dict(found)

    def settled(self, activity: str, name: str, call: Call) -> Any:
        """A setting that certainly held throughout a call; None where nobody told, or where it was just changing."""
        value = None
        for seen in self.activities.get(activity, ()):
            if name not in seen.settings:
                continue
            before = seen.at < call.sent or (seen.at == call.sent and seen.place < call.seq)
            after = seen.since > call.answered or (seen.since == call.answered and seen.place >= call.seq)
            if before:
                value = seen.settings[name]
            elif not after and value != seen.settings[name]:
                return None
        return value

    def undisturbed(self, activity: str, call: Call, until: datetime, place: float) -> bool:
        """Whether no reset and no clean-up can have come between a call and `until` (with its place in the journal)."""
        wipes = [(since, at, where) for (since, at), where in zip(self.reset_spans, self.reset_places, strict=True)]
        wipes += [(each.since, each.at, each.place) for each in self.cleanups if each.activity == activity]
        for since, at, where in wipes:
            before = at < call.sent or (at == call.sent and where < call.seq)
            after = since > until or (since == until and where >= place)
            if not before and not after:
                return False
        return True

    def rows_after(self, activity: str, call: Call) -> Rows | None:
        """The first look at Manage messages that was certainly taken after a call."""
        looks = self._looks.get(activity)
        if not looks:
            return None
        wanted: tuple[datetime, float] = (call.answered, call.seq)
        place = bisect_left(looks, wanted, key=lambda each: (each.since, each.place))
        return looks[place] if place < len(looks) else None

    @cached_property
    def _looks(self) -> dict[str, list[Rows]]:
        return {
            activity: sorted(looks, key=lambda each: (each.since, each.place)) for activity, looks in self.rows.items()
        }

    @cached_property
    def sightings(self) -> dict[str, list[Sighting]]:
        """Every status that a message was seen to have, by whatever means, by message; unordered."""
        found: dict[str, list[Sighting]] = defaultdict(list)
        for asked in (self.statuses, self.jobstatuses):
            for each in asked:
                if each.ok and each.message is not None and each.state is not None:
                    found[each.message].append(Sighting(each.sent, each.answered, each.state, each))
        for looks in self.rows.values():
            for look in looks:
                for message, row in look.by_id.items():
                    state = SPELLINGS.get(str(row.get("Status")).lower())
                    if state is not None:
                        found[message].append(Sighting(look.since, look.at, state, None))
        return dict(found)
