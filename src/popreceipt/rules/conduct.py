"""What a client did with what it was told: questions to a journal for the rules that bind clients.

A client knows what reached it and nothing else. A delivery whose answer was lost is none here, however much the service
remembers it; a download counts when the whole file came. Nothing here knows a promise or passes a verdict.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from popreceipt.rules.facts import Ack, Call, Dequeue, Download, FileSeen, Run

if TYPE_CHECKING:
    from popreceipt.rules.readings import Readings


class Handout(msgspec.Struct, gc=False):
    """One delivery as the client saw it, and what the client did with it.

    `downloads` are the requests for its location from then until the location was handed out anew; `acks` are the
    acknowledgments with its CorrelationId and PopReceipt. `digest` is that of its file where a whole download, now or
    for another delivery of the same location, told it. `until` is when its lease ends.
    """

    delivery: Dequeue
    until: datetime
    downloads: list[Download]
    acks: list[Ack]
    digest: str | None = None

    @property
    def has_file(self) -> bool:
        """The answer named a file."""
        return self.delivery.kind == "message"

    def whole_before(self, call: Call) -> Download | None:
        """The first whole download that was over before a call."""
        for each in self.downloads:
            if each.digest is not None and (each.answered, each.seq) < (call.sent, call.seq):
                return each
        return None


class Conduct:
    """What the client of a journal did.

    Args:
        readings: the journal. Its lease is the one in force, which may have been shortened.
    """

    def __init__(self, readings: "Readings") -> None:
        self.journal = readings
        self.scenario = readings.scenario
        self.lease: timedelta = readings.lease

    @cached_property
    def roots(self) -> frozenset[str]:
        """The target's own schemes and authorities: as the instrument told, else those of the connector's calls."""
        if self.scenario is not None and self.scenario.roots:
            return self.scenario.roots
        return frozenset(each.root for each in self.journal.calls if each.activity is not None)

    @cached_property
    def end(self) -> datetime | None:
        """The last instant of which the journal tells anything of the client; None where it tells nothing."""
        instants = [each.answered for each in self.journal.calls]
        instants += [each.ended for each in self.journal.lives if each.ended is not None]
        return max(instants, default=None)

    # Deliveries

    @cached_property
    def handouts(self) -> list[Handout]:
        """Every delivery that reached the client, in order of time."""
        found = [
            Handout(each, each.sent + self.lease, [], [])
            for each in self.journal.dequeues
            if each.ok and each.delivered
        ]
        by_location: dict[tuple[str | None, str], list[Handout]] = defaultdict(list)
        for one in found:
            if one.delivery.location is not None:
                by_location[None, one.delivery.location].append(one)
        for download in self.journal.downloads:
            given = by_location.get((None, download.location), [])
            place = bisect_right(
                given, (download.sent, download.seq), key=lambda one: (one.delivery.sent, one.delivery.seq)
            )
            if place:
                given[place - 1].downloads.append(download)
        for given in by_location.values():
            digest = next((each.digest for one in given for each in one.downloads if each.digest is not None), None)
            for one in given:
                one.digest = digest
        for ack in self.journal.acks:
            named = self._by_receipt(found).get((ack.correlation, ack.receipt))
            if named is not None:
                named.acks.append(ack)
        return found

    def _by_receipt(self, handouts: Iterable[Handout]) -> dict[tuple[str | None, str | None], Handout]:
        if not self._receipts:
            self._receipts.update({(each.delivery.correlation, each.delivery.receipt): each for each in handouts})
        return self._receipts

    @cached_property
    def _receipts(self) -> dict[tuple[str | None, str | None], Handout]:
        return {}

    def handout_of(self, ack: Ack) -> Handout | None:
        """The delivery whose CorrelationId and PopReceipt an acknowledgment repeats."""
        return self._by_receipt(self.handouts).get((ack.correlation, ack.receipt))

    @cached_property
    def messages(self) -> list[list[Handout]]:
        """Deliveries of the same message together: by the file's digest where it is known, else by CorrelationId."""
        found: dict[tuple[str | None, str | None], list[Handout]] = defaultdict(list)
        for each in self.handouts:
            key = each.digest if each.digest is not None else each.delivery.correlation or each.delivery.receipt
            found[each.delivery.activity, key].append(each)
        return list(found.values())

    # The subject's lives

    def life_at(self, call: Call) -> Run | None:
        """The subject's process that was alive when a call came in; None where nobody told of processes."""
        for life in self.journal.lives:
            if life.place <= call.seq and (life.end_place is None or call.seq <= life.end_place):
                return life
        return None

    def lived_until(self, call: Call) -> datetime:
        """Until when the client lived on after a call: the end of its process, else that of the journal."""
        life = self.life_at(call)
        if life is None or life.ended is None:
            return self.end if self.end is not None else call.answered
        return life.ended

    # The inbox

    @cached_property
    def inbox_is_used(self) -> bool:
        """Whether the subject ever wrote anything into the inbox: else nothing can be said of what it stored."""
        return any(each.appeared for each in self.journal.inbox)

    def inbox_before(self, call: Call) -> dict[str, FileSeen] | None:
        """What lay in the inbox when a call came in, by name; None where nobody looked just then."""
        looks = self._looks
        place = bisect_right(looks, float(call.seq), key=lambda each: each[0])
        if not place or looks[place - 1][0] < call.seq - 1:
            return None
        return looks[place - 1][1]

    @cached_property
    def inbox_at_the_end(self) -> dict[str, FileSeen]:
        """What lay in the inbox last."""
        return self._looks[-1][1] if self._looks else {}

    @cached_property
    def _looks(self) -> list[tuple[float, dict[str, FileSeen]]]:
        """The inbox's whole contents at each look; looks share what did not change."""
        now: dict[str, FileSeen] = {}
        found: list[tuple[float, dict[str, FileSeen]]] = []
        for look in self.journal.inbox:
            if look.appeared or look.gone:
                now = {name: file for name, file in now.items() if name not in look.gone}
                now |= {file.name: file for file in look.appeared}
            found.append((look.place, now))
        return found

    def holds(self, files: dict[str, FileSeen], digest: str) -> int:
        """How often a payload lies in the inbox: itself, or (unzipped) all data files of the package that it is."""
        whole = sum(file.sha256 == digest for file in files.values())
        contents = self._contents.get(digest, frozenset())
        if not contents:
            return whole
        counts = [sum(file.sha256 == each for file in files.values()) for each in contents]
        return max(whole, min(counts))

    @cached_property
    def _contents(self) -> dict[str, frozenset[str]]:
        return {each.sha256: each.contents for each in self.journal.payloads}
