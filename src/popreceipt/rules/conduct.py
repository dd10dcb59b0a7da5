"""What a client did with what it was told: questions to a journal for the rules that bind clients.

A client knows what reached it and nothing else. A delivery whose answer was lost is none here, however much the service
remembers it; a download counts when the whole file came. A journal may also be a recording of real traffic that begins
and ends anywhere: what may have happened unseen is said, not guessed. Nothing here knows a promise or passes a verdict.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from popreceipt import vocabulary
from popreceipt.journal import Body
from popreceipt.rules.facts import Ack, Call, Connection, Dequeue, Download, FileSeen, Run, Token

if TYPE_CHECKING:
    from popreceipt.rules.readings import Readings

TIGHT: Final = 0.1
"""Real seconds between one try and the next below which a client does not wait at all, for whatever reason."""

MANY: Final = 10
"""So many tries make a loop: fewer may be a burst of retries."""

UNKNOWN_WORKERS: Final = 4
"""So many workers a client may have of which nothing else tells."""

LONG_ENOUGH: Final = 1.5
"""Leases that a client is given for what it has to do: one, after which a message comes back, and half of another."""

SLOW: Final = "slow"

PASSING: Final = frozenset({408, 425, 429})
"""Refusals below 500 that ask for another try."""

FILE_GONE: Final = frozenset({404, 410})
"""What an expired file is answered with, beside a fault of the server."""

ON_THE_ENVIRONMENT: Final = frozenset(
    {
        vocabulary.MESSAGE_STATUS,
        vocabulary.EXECUTION_ID,
        vocabulary.EXECUTION_ERRORS,
        vocabulary.EXECUTION_SUMMARY,
    }
)
"""Operations that name no job, and that only an environment has."""

NOWHERE: Final = frozenset({"null", "none", "undefined", "nil", "nan"})
"""How languages write down what is not there."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of one and the same host."""


_Name = tuple[str, str]
"""What calls of one client have in common: a token or a job."""


class Handout(msgspec.Struct, gc=False):
    """One delivery as the client saw it, and what the client did with it.

    `downloads` are the requests for its location from then until the location was handed out anew; `acks` are the
    acknowledgments with its CorrelationId and PopReceipt. `digest` is that of its file where a whole download, now or
    for another delivery of the same location, told it. `until` is when its lease ends, at the latest.
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

    # The target, and what can be known of it

    @cached_property
    def roots(self) -> frozenset[str]:
        """The target's own schemes and authorities: as the instrument told, else those of the connector's calls."""
        if self.scenario is not None and self.scenario.roots:
            return self.scenario.roots
        return frozenset(
            each.root
            for each in self.journal.calls
            if (each.activity is not None and each.operation != vocabulary.DOWNLOAD)
            or each.operation in ON_THE_ENVIRONMENT
        )

    def is_own(self, root: str) -> bool:
        """Whether a scheme and authority are of the target's own host, at whatever port; loopback names are one."""
        if self.scenario is not None and root in self.scenario.other_roots:
            return False
        return _host(root) in self._own_hosts

    @cached_property
    def _own_hosts(self) -> frozenset[str]:
        hosts = frozenset(_host(each) for each in self.roots)
        return hosts | LOOPBACK if hosts & LOOPBACK else hosts

    @cached_property
    def speaks_tls(self) -> bool:
        """Whether the client asks the target by https alone; not where a recorder asks in its stead."""
        return not self.journal.relayed and bool(self.roots) and all(each.startswith("https://") for each in self.roots)

    @cached_property
    def slow(self) -> frozenset[int]:
        """Numbers of exchanges whose answer was held back by plan: the client may have given it up."""
        return frozenset(each.exchange for each in self.journal.struck if each.kind == SLOW and each.exchange)

    @cached_property
    def struck(self) -> frozenset[int]:
        """Numbers of exchanges that a planned fault struck."""
        return frozenset(each.exchange for each in self.journal.struck if each.exchange)

    def saw(self, call: Call) -> bool:
        """Whether the whole answer surely reached the client."""
        return call.status is not None and call.seq not in self.slow

    def failed(self, call: Call) -> bool:
        """Whether a client that got this answer, or none, has reason to try again."""
        return call.in_doubt or call.status in PASSING

    def real(self, span: timedelta) -> float | None:
        """A span of the journal in seconds as the client lived them; None on a clock that was moved by hand."""
        header = self.journal.header
        if header.clock == "manual":
            return None
        rate = header.rate if header.clock == "scaled" and header.rate else 1.0
        return span.total_seconds() / rate

    def gap(self, earlier: Call, later: Call) -> float | None:
        """Real seconds from the answer to one call until the next was sent."""
        return self.real(later.sent - earlier.answered)

    def gaps(self, calls: Sequence[Call]) -> list[float]:
        """Real seconds between each call's answer and the next call; none on a clock that was moved by hand."""
        found = (self.gap(one, other) for one, other in pairwise(calls))
        return [each for each in found if each is not None]

    # How long the client lived

    @cached_property
    def end(self) -> datetime | None:
        """The last instant of which the journal tells anything of the client; None where it tells nothing.

        A subject that ended with 0 is started again; with the last of its lives its time is over.
        """
        lives = self.journal.lives
        ended = [each.ended for each in lives if each.ended is not None]
        if lives and len(ended) == len(lives):
            return max(ended)
        instants = [each.answered for each in self.journal.calls]
        instants += [each.at for each in (*self.journal.inbox, *self.journal.outbox) if each.reason == "end"]
        return max([*instants, *ended], default=None)

    def end_of(self, call: Call) -> datetime | None:
        """The last instant of which the journal tells anything of the client that made a call.

        In a recording several may have been at work: those calls are of one that share a token or a job. On a clock
        that is moved by hand nobody lives on, and only another call for the same job tells that it was gone on with.
        """
        names = _names(call)
        if self.scenario is not None or self.journal.lives or not names:
            return self.end
        if self.journal.header.clock == "manual" and call.activity is not None:
            return max(each.answered for each in self.journal.calls_of(call.activity))
        return self._ends[self._client_of(names[0])]

    def _client_of(self, name: _Name) -> _Name:
        while (other := self._clients[name]) != name:
            name = other
        return name

    @cached_property
    def _clients(self) -> dict[_Name, _Name]:
        """Tokens and jobs, each with another of the same client: in the end with the one that stands for all."""
        found: dict[_Name, _Name] = {}
        for call in self.journal.calls:
            one: _Name | None = None
            for name in _names(call):
                other = found.setdefault(name, name)
                while found[other] != other:
                    found[other] = other = found[found[other]]
                if one is None:
                    one = other
                else:
                    found[other] = one
        return found

    @cached_property
    def _ends(self) -> dict[_Name, datetime]:
        found: dict[_Name, datetime] = {}
        for call in self.journal.calls:
            names = _names(call)
            if names:
                client = self._client_of(names[0])
                found[client] = max(call.answered, found.get(client, call.answered))
        return found

    def had_time(self, since: Call) -> bool:
        """Whether the client had a lease and a half from a call on, restarts included."""
        end = self.end_of(since)
        return end is not None and end - since.answered >= self.lease * LONG_ENOUGH

    def life_at(self, call: Call) -> Run | None:
        """The subject's process that was alive when a call came in; None where nobody told of processes."""
        for life in self.journal.lives:
            if life.place <= call.seq and (life.end_place is None or call.seq <= life.end_place):
                return life
        return None

    def may_be_another(self, one: Call, other: Call) -> bool:
        """Whether calls may be of two processes: as an instrument told of them, else by their tokens."""
        if self.journal.lives or self.scenario is not None:
            return self.life_at(one) is not self.life_at(other)
        return one.token != other.token

    def lived_until(self, call: Call) -> datetime:
        """Until when the client lived on after a call: the end of its process, else that of the journal."""
        life = self.life_at(call)
        if life is None or life.ended is None:
            return self.end if self.end is not None else call.answered
        return life.ended

    def crashed(self, life: Run | None) -> bool:
        """Whether a process ended by itself with another status than 0."""
        return life is not None and life.ended is not None and life.ended_by != "us" and life.status not in (None, 0)

    def calls_in(self, life: Run) -> list[Call]:
        """What one process of the subject asked, in order of time."""
        return self._by_life.get(life.number, [])

    @cached_property
    def _by_life(self) -> dict[int, list[Call]]:
        found: dict[int, list[Call]] = defaultdict(list)
        for each in self.journal.calls:
            life = self.life_at(each)
            if life is not None:
                found[life.number].append(each)
        return dict(found)

    def ended_over_nothing(self, life: Run | None) -> bool:
        """Whether a process crashed and had been answered whole and with success throughout."""
        return (
            life is not None
            and self.crashed(life)
            and all(each.ok and each.seq not in self.slow for each in self.calls_in(life))
        )

    def is_last(self, call: Call) -> bool:
        """Whether nothing was asked after a call in the process that made it (without any: in the journal)."""
        life = self.life_at(call)
        calls = self.calls_in(life) if life is not None else self.journal.calls
        return bool(calls) and calls[-1].seq == call.seq

    def troubled(self, call: Call) -> bool:
        """Whether the process that made a call had met with something before that it may report by its exit status."""
        life = self.life_at(call)
        if life is None:
            return False
        for each in self.calls_in(life):
            if each.seq >= call.seq:
                break
            if not each.ok or each.seq in self.slow or (isinstance(each, Dequeue) and each.kind in _UNUSUAL):
                return True
        failures = (*self.journal.statuses, *self.journal.jobstatuses)
        return any(each.state in _FAILED and life.place <= each.seq < call.seq for each in failures)

    def hindered(self, since: Call) -> bool:
        """Whether the client was turned away, or got no token, after a call: then it could not go on."""
        return self._last_hindrance > since.seq

    @cached_property
    def _last_hindrance(self) -> int:
        turned_away = (
            each.seq
            for each in self.journal.calls
            if each.status in (401, 403) or (isinstance(each, Token) and not each.ok)
        )
        return max(turned_away, default=0)

    # Deliveries

    def had_time_for(self, group: Sequence[Handout], since: Call) -> bool:
        """Whether the client had a lease and a half for a message, and half a lease once it first came back.

        Not counted from the last time: a message that comes back at each lease's end would put it off for ever.
        """
        back = next((each.delivery for each in group if each.delivery.seq > since.seq), None)
        end = self.end_of(group[0].delivery)
        if end is None or end - since.answered < self.lease * LONG_ENOUGH:
            return False
        return back is None or end - back.answered >= self.lease * (LONG_ENOUGH - 1)

    @cached_property
    def handouts(self) -> list[Handout]:
        """Every delivery that reached the client, in order of time."""
        found = [
            Handout(each, each.answered + self.lease, [], [])
            for each in self.journal.dequeues
            if each.ok and each.delivered
        ]
        by_location: dict[str, list[Handout]] = defaultdict(list)
        for one in found:
            if one.delivery.location is not None:
                by_location[unquote(one.delivery.location)].append(one)
        for download in self.journal.downloads:
            asked = _latest(by_location.get(unquote(download.location), ()), download)
            if asked is not None:
                asked.downloads.append(download)
        for given in by_location.values():
            digest = next((each.digest for one in given for each in one.downloads if each.digest is not None), None)
            for one in given:
                one.digest = digest
        by_receipt: dict[tuple[str | None, str | None], list[Handout]] = defaultdict(list)
        by_answer: dict[str, list[Handout]] = defaultdict(list)
        for one in found:
            by_receipt[one.delivery.correlation, one.delivery.receipt].append(one)
            by_answer[one.delivery.digest].append(one)
        for ack in self.journal.acks:
            if ack.correlation is None and ack.receipt is None:
                named = _latest(by_answer.get(ack.digest, ()), ack) if ack.digest else None
            else:
                named = _latest(by_receipt.get((ack.correlation, ack.receipt), ()), ack)
            if named is not None:
                named.acks.append(ack)
                self._named[ack.seq] = named
        return found

    @cached_property
    def _named(self) -> dict[int, Handout]:
        return {}

    def handout_of(self, ack: Ack) -> Handout | None:
        """The delivery whose CorrelationId and PopReceipt an acknowledgment repeats: the last one before it."""
        return self._named.get(ack.seq) if self.handouts else None

    @cached_property
    def messages(self) -> list[list[Handout]]:
        """Deliveries of the same message together: by CorrelationId, and by the file's digest where that tells.

        No two files that an instrument makes are equal. In other recordings equal files are one message only where the
        later delivery says that it was not the first.
        """
        by_name: dict[tuple[str | None, str], list[Handout]] = defaultdict(list)
        for each in self.handouts:
            name = each.delivery.correlation or each.delivery.receipt or str(each.delivery.seq)
            by_name[each.delivery.activity, name].append(each)
        found: list[list[Handout]] = []
        by_digest: dict[tuple[str | None, str], list[Handout]] = {}
        for group in by_name.values():
            first = group[0]
            digest = next((each.digest for each in group if each.digest is not None), None)
            known = by_digest.get((first.delivery.activity, digest)) if digest is not None else None
            if known is not None and (self.scenario is not None or first.delivery.blank is None):
                known += group
                continue
            found.append(group)
            if digest is not None:
                by_digest[first.delivery.activity, digest] = group
        for group in found:
            group.sort(key=lambda each: (each.delivery.sent, each.delivery.seq))
        return found

    @cached_property
    def stray_acks(self) -> list[Ack]:
        """Acknowledgments that name no delivery of the journal."""
        return [each for each in self.journal.acks if self.handout_of(each) is None]

    def files_that_came(self, activity: str | None) -> int:
        """How many deliveries of a job led to a whole file."""
        given = (each for each in self.handouts if each.delivery.activity == activity)
        return sum(any(each.digest is not None for each in one.downloads) for one in given)

    @cached_property
    def last_new_file(self) -> datetime | None:
        """When a file was last asked for, and came, that had not come before: fetching anew keeps nobody busy."""
        first = (
            [each.sent for one in group for each in one.downloads if each.digest is not None] for group in self.messages
        )
        return max((min(each) for each in first if each), default=None)

    def message_of(self, handout: Handout) -> list[Handout]:
        """All deliveries of the message of which this is one."""
        return self._groups[handout.delivery.seq]

    @cached_property
    def _groups(self) -> dict[int, list[Handout]]:
        return {each.delivery.seq: group for group in self.messages for each in group}

    def delivered_unseen(self, group: Sequence[Handout]) -> bool:
        """Whether a message may have been handed out, and more, before the journal or under another CorrelationId."""
        first = group[0].delivery
        if self.scenario is None:
            return first.last_dequeue is not None
        if first.last_dequeue is None:
            return False
        return not self._keeps_correlation and any(
            each.delivery.activity == first.activity and each.delivery.seq < first.seq for each in self.handouts
        )

    @cached_property
    def _keeps_correlation(self) -> bool:
        """Whether the target was seen to hand out a message twice under one CorrelationId."""
        seen: set[tuple[str | None, str]] = set()
        for each in self.handouts:
            if each.delivery.correlation is not None:
                name = (each.delivery.activity, each.delivery.correlation)
                if name in seen:
                    return True
                seen.add(name)
        return False

    def fetched_unseen(self, group: Sequence[Handout]) -> str | None:
        """Why a message's file may have come without the journal knowing of it; None where it can't have."""
        if vocabulary.DOWNLOAD in self.journal.unseen:
            return "the recorder does not see downloads"
        for each in group:
            root = each.delivery.location_root
            if each.delivery.location is not None and root is not None and not self._is_known(root):
                return "its location names another host, where nobody looked"
            for download in each.downloads:
                if download.status is not None and 300 <= download.status < 400:
                    return "its download was redirected to where nobody looked"
                if download.status is not None and 200 < download.status < 300:
                    return f"its download was answered with {download.status}: perhaps in pieces"
        if self.delivered_unseen(group):
            return "it had been handed out before, unseen or under another name"
        return None

    def _is_known(self, root: str) -> bool:
        """Whether nobody else answers there: the target itself, and in a scenario every other port of its host."""
        if self.is_own(root):
            return True
        return self.scenario is not None and urlsplit(root).hostname in {urlsplit(each).hostname for each in self.roots}

    def attempts(self, group: Sequence[Handout]) -> list[Download]:
        """The requests for a message's file, in order of time, those to where they were redirected left out."""
        found = [each for one in group for each in one.downloads if not each.hop]
        return sorted(found, key=lambda each: (each.sent, each.seq))

    def acks_of(self, group: Sequence[Handout]) -> list[Ack]:
        """The acknowledgments of any delivery of a message, in order of time."""
        found = [each for one in group for each in one.acks]
        return sorted(found, key=lambda each: (each.sent, each.seq))

    def made_up_for(self, download: Download) -> Handout | None:
        """The delivery without a file and without a location for which a download was asked all the same.

        Such a request names the message in a location of its own making, or has nothing where a location belongs. It
        is none where another delivery of the message, seen or not, may have told the location.
        """
        asked = unquote(download.location)
        nowhere = leads_nowhere(asked)
        if not nowhere and asked in self._locations:
            return None
        found = None
        for each in self._without_location:
            delivery = each.delivery
            if delivery.seq > download.seq:
                break
            # Among several clients, nothing where a location belongs may be another's who was told so by another job.
            its_own = self.scenario is not None or download.activity in {delivery.activity, None}
            named = bool(delivery.correlation) and (delivery.correlation or "") in asked
            if (nowhere and its_own) or (named and not self.delivered_unseen([each])):
                found = each
        return found

    @cached_property
    def _locations(self) -> frozenset[str]:
        return frozenset(
            unquote(each.delivery.location) for each in self.handouts if each.delivery.location is not None
        )

    @cached_property
    def _without_location(self) -> list[Handout]:
        return [each for each in self.handouts if not each.has_file and each.delivery.location is None]

    def gone(self, download: Download) -> bool | None:
        """Whether an answer says that the file is there no more; None where it may have been a passing fault."""
        if download.status in FILE_GONE:
            return True
        if download.status != 500 or download.seq in self.struck:
            return False
        # Some services answer so for a file that has expired; of one without planned faults it is certain.
        return True if self.scenario is not None else None

    @cached_property
    def workers(self) -> int:
        """How many messages the client had in its hands at once, at most: so many workers it may have. 0: unknown.

        From each delivery to the first acknowledgment, or the last request for the file where there is none.
        """
        moments: list[tuple[datetime, int, int]] = []
        for each in self.handouts:
            done = each.acks[:1] or each.downloads[-1:]
            if done:
                moments.append((each.delivery.answered, each.delivery.seq, 1))
                moments.append((done[0].sent, done[0].seq, -1))
        at_once = most = 0
        for _, _, change in sorted(moments):
            at_once += change
            most = max(most, at_once)
        return most

    @cached_property
    def _finished(self) -> int:
        return sum(bool(each.acks or each.downloads) for each in self.handouts)

    def is_loop(self, gaps: Sequence[float]) -> bool | None:
        """Whether pauses (in real seconds) between calls of all workers are those of a loop that does not wait.

        Workers that wait may ask shortly after one another: so many quick calls in a row as there may be workers prove
        nothing, nor do calls that are on the whole as far apart as they are for one worker that waits. None where
        there are many quick calls, and that may be why.
        """
        if not tight(gaps):
            return False
        workers = self.workers or UNKNOWN_WORKERS
        if self.scenario is None and self._finished < 2 * UNKNOWN_WORKERS:
            workers = max(workers, UNKNOWN_WORKERS)  # who knows how many more waited beside those that were seen
        row: list[float] = []
        for gap in (*gaps, TIGHT):
            if gap < TIGHT:
                row.append(gap)
                continue
            if len(row) >= max(MANY, 2 * workers) and fmean(row) * workers < TIGHT:
                return True
            row = []
        return None

    def waiting(self, activity: str | None, call: Call) -> int:
        """How many messages with a file certainly waited, handed out to nobody, when a call came in.

        A delivery whose answer was lost counts as one; what an instrument produced is known, in recordings nothing is.
        An empty answer says that none waited.
        """
        moment: tuple[datetime, float] = (call.sent, call.seq)
        runs = [each for each in self.journal.productions if each.activity == activity and each.uploaded]
        runs = [each for each in runs if (each.at, each.place) < moment]
        if not runs or any(each.activity == activity for each in self.journal.cleanups):
            return 0
        last = max((each.at, each.place) for each in runs)
        taken = sum(
            group[0].delivery.activity == activity and group[0].delivery.seq <= call.seq for group in self.messages
        )
        for each in self.journal.dequeues:
            if each.activity == activity and each.seq <= call.seq:
                taken += each.status is None or each.status >= 500
                if each.kind == "empty" and (each.sent, float(each.seq)) > last:
                    return 0
        return max(0, len(runs) - taken)

    def left_waiting(self, activity: str | None) -> int:
        """How many messages with a file certainly waited, handed out to nobody, at the end."""
        return self.waiting(activity, self.journal.calls[-1]) if self.journal.calls else 0

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

    def holds(self, files: Mapping[str, FileSeen], digest: str) -> int:
        """How often a payload lies in the inbox: itself, or (unzipped) all data files of the package that it is."""
        whole = sum(file.sha256 == digest for file in files.values())
        contents = self._contents.get(digest, frozenset())
        if not contents:
            return whole
        counts = [sum(file.sha256 == each for file in files.values()) for each in contents]
        return max(whole, min(counts))

    def ever_held(self, digest: str, until: float) -> bool:
        """Whether a payload lay in the inbox at any look up to a place in the journal."""
        wanted = {digest} | self._contents.get(digest, frozenset())
        found: set[str] = set()
        for look in self.journal.inbox:
            if look.place > until:
                break
            found |= {file.sha256 for file in look.appeared} & wanted
        return digest in found or (len(wanted) > 1 and wanted - {digest} <= found)

    @cached_property
    def _contents(self) -> dict[str, frozenset[str]]:
        return {each.sha256: each.contents for each in self.journal.payloads}


_UNUSUAL: Final = frozenset({"no-file", "malformed"})

_FAILED: Final = frozenset(
    {vocabulary.PREPROCESSING_ERROR, vocabulary.PROCESSED_WITH_ERRORS, vocabulary.POSTPROCESSING_FAILED}
)


def tight(gaps: Sequence[float], at_least: int = MANY) -> bool:
    """Whether so many pauses (in real seconds) are those of a loop that does not wait."""
    return len(gaps) >= at_least and median(gaps) < TIGHT


def asked_for(connection: Connection, delivery: Dequeue) -> bool:
    """Whether a connection that was not to the application asked for a delivery's file."""
    asked = f"{connection.path}?{connection.query}" if connection.query else connection.path
    return bool(asked) and delivery.location is not None and unquote(asked) == unquote(delivery.location)


def leads_nowhere(path: str) -> bool:
    """Whether a path ends with what becomes of a location that is not there, where it is written down all the same."""
    return path.partition("?")[0].rstrip("/").rpartition("/")[2].lower() in NOWHERE


def before(first: Call, second: Call) -> bool:
    """Whether a call was answered before another was sent."""
    return (first.answered, first.seq) < (second.sent, second.seq)


def seconds(span: float) -> str:
    """Seconds, to be read."""
    return f"{span:.3g} s"


def value_of(body: Body | None) -> Any:
    """The JSON value of a body that the journal holds; None where it holds none."""
    if body is None or body.text is None:
        return None
    try:
        return msgspec.json.decode(body.text)
    except (msgspec.DecodeError, ValueError):
        return None


def _names(call: Call) -> list[_Name]:
    """The tokens that a call showed or brought, and the job that it names."""
    issued = call.issued if isinstance(call, Token) else None
    return [(kind, name) for kind, name in (("token", call.token), ("token", issued), ("job", call.activity)) if name]


def _host(root: str) -> str:
    """The host of a scheme and authority; empty where there is none."""
    try:
        return urlsplit(root).hostname or ""
    except ValueError:
        return ""


def _latest(given: Iterable[Handout], call: Call) -> Handout | None:
    """The last of these deliveries (in order of time) that came before a call."""
    found = None
    for each in given:
        if (each.delivery.sent, each.delivery.seq) > (call.sent, call.seq):
            break
        found = each
    return found
