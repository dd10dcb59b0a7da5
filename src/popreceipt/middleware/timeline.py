"""What became of a message, as the client saw it: in lanes from its dequeue to its acknowledgment, or from its enqueue.

It picks from a journal what belongs to a finding (its witnesses, and everything else that concerns the same message),
and says it in words. It judges nothing, and draws nothing itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

from popreceipt.middleware.played import Judged
from popreceipt.middleware.running import label
from popreceipt.reports.charts import Colour
from popreceipt.reports.lanes import MOST, Bar, Drawing, Mark, seconds
from popreceipt.rules.conduct import Conduct, Handout
from popreceipt.rules.facts import (
    Ack,
    Call,
    Connection,
    Dequeue,
    Download,
    Enqueue,
    ExecutionErrors,
    ExecutionId,
    ExecutionSummary,
    Look,
    Run,
    StatusAnswer,
    Struck,
    Told,
)
from popreceipt.rules.readings import Readings
from popreceipt.rules.submissions import Filed, Submissions, Submitted
from popreceipt.verdict import Outcome, RuleVerdict

PROCESS: Final = "process"
FAULT: Final = "fault"
TOKEN: Final = "token"
LEASE: Final = "lease"
INBOX: Final = "inbox"
REPORT: Final = "report"
NETWORK: Final = "network"

LANES: Final = (
    PROCESS,
    TOKEN,
    "dequeue",
    LEASE,
    "download",
    INBOX,
    "ack",
    "enqueue",
    "status",
    "execution",
    "errors",
    REPORT,
    "other",
    NETWORK,
    FAULT,
)
"""The order in which a client does things."""

COLOURS: Final = {
    PROCESS: Colour.QUIET,
    TOKEN: Colour.QUIET,
    "dequeue": Colour.FIRST,
    LEASE: Colour.FIRST,
    "download": Colour.FOURTH,
    INBOX: Colour.THIRD,
    "ack": Colour.THIRD,
    "enqueue": Colour.FIRST,
    "status": Colour.FOURTH,
    "execution": Colour.FOURTH,
    "errors": Colour.FOURTH,
    REPORT: Colour.THIRD,
    NETWORK: Colour.BAD,
    FAULT: Colour.SECOND,
}

MESSAGES: Final = 4
"""So many messages are told in one drawing."""

ALIKE: Final = 5
"""So many things of one kind in a row become one mark."""

BEFORE: Final = 0.1
"""Of what is drawn so much lies before the first mark, at least where a subject took its time."""

LIVES: Final = 3
"""So many lives of a process are told one by one."""

LONGEST_NAME: Final = 40
"""Characters of a file's name that are told; of a longer one its beginning and its end."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: its lane, when, in words, and the numbers of the exchanges in which it did."""

    lane: str
    since: datetime
    by: datetime
    words: str
    numbers: tuple[int, ...] = ()
    witness: bool = False
    place: float = 0.0
    bad: bool = False


class Timelines:
    """The timelines of a scenario that was played.

    Args:
        judged: the scenario, and the verdicts on it.
    """

    def __init__(self, judged: Judged) -> None:
        self._judged = judged

    @cached_property
    def _readings(self) -> Readings:
        journal = self._judged.played.journal
        return Readings(journal.header, journal.entries)

    def of(self, verdict: RuleVerdict) -> Drawing:
        """The timeline of a verdict's first finding: the worst, as verdicts are sorted."""
        finding = next(iter(verdict.findings), None)
        numbers = finding.exchanges if finding is not None else ()
        what = "violated" if verdict.outcome is Outcome.VIOLATED else str(verdict.outcome)
        return _Story(self._readings, numbers).drawing(
            f"{verdict.id} {what}: {label(self._judged.played.scenario)}",
            finding.message if finding is not None else verdict.reason or "",
        )

    def whole(self) -> Drawing:
        """The scenario's own timeline, whatever the verdicts."""
        scenario = self._judged.played.scenario
        return _Story(self._readings, ()).drawing(label(scenario), scenario.title)


class _Story:
    """What belongs to some exchanges of a journal; to none: everything."""

    def __init__(self, readings: Readings, numbers: Iterable[int]) -> None:
        self._journal = readings
        self._conduct: Conduct = readings.conduct
        self._submissions: Submissions = readings.submissions
        self._wanted = frozenset(numbers)
        self._struck: dict[int, Struck] = {each.exchange: each for each in readings.struck if each.exchange}
        self._began = readings.scenario.at if readings.scenario is not None else None

    def drawing(self, title: str, sentence: str) -> Drawing:
        """The drawing."""
        messages, files = self._messages(), self._files()
        calls = self._calls(messages, files)
        events = [*self._asked(calls, messages), *self._lives(), *self._connections(), *self._fault_events(calls)]
        events += self._inbox(messages)
        events += self._report(files)
        events.sort(key=lambda each: (each.since, each.place))
        start = min(
            [*([self._began] if self._began is not None else []), *(each.since for each in events)], default=None
        )
        if start is None:
            return Drawing(title, sentence or "Nothing happened.", (PROCESS,), ())
        kept, left_out = _kept(_without_repetition(events))
        marks = tuple(_mark(each, start) for each in kept)
        last = max((each.by for each in marks), default=0.0)
        leases = list(self._leases(messages, start))
        near = last * 4 / 3
        end = max([last, *(each.end for each in leases if each.end <= near)], default=0.0) or 1.0
        # Until a subject calls for the first time it starts: nothing is to be seen there.
        first = min((each.since for each in marks), default=0.0)
        begin = max(first - (end - first) * BEFORE, 0.0) if first > (end - first) * BEFORE * 2 else 0.0
        bars = [*self._runs(start, end), *leases]
        drawn = tuple(
            replace(each, start=max(each.start, begin), end=min(each.end, end)) for each in bars if each.start <= end
        )
        used = {each.lane for each in marks} | {each.lane for each in drawn}
        return Drawing(
            title=title,
            sentence=sentence,
            lanes=tuple(each for each in LANES if each in used),
            marks=marks,
            bars=drawn,
            end=end,
            left_out=left_out,
            start=begin,
        )

    # What belongs together

    def _messages(self) -> list[list[Handout]]:
        """The messages that the witnesses are about, each as its deliveries."""
        found = []
        for group in self._conduct.messages:
            about = {call.seq for one in group for call in (one.delivery, *one.downloads, *one.acks)}
            if about & self._wanted or not self._wanted:
                found.append(group)
        return found[:MESSAGES] if self._wanted else found

    def _files(self) -> list[tuple[Filed, list[Submitted]]]:
        """The files that the witnesses are about, each with the messages that it became."""
        by_file: dict[str, list[Submitted]] = {}
        for one in self._submissions.messages.values():
            by_file.setdefault(self._submissions.digest_of(one.enqueue), []).append(one)
        found = []
        for digest, filed in self._submissions.filed.items():
            became = by_file.get(digest, [])
            about = {call.seq for call in (*filed.tries, *(each for one in became for each in one.asked))}
            if about & self._wanted or (not self._wanted and about):
                found.append((filed, became))
        return found[:MESSAGES] if self._wanted else found

    def _calls(
        self, messages: Sequence[Sequence[Handout]], files: Sequence[tuple[Filed, Sequence[Submitted]]]
    ) -> list[Call]:
        """The calls to be shown, in order of time."""
        if not self._wanted:
            return list(self._journal.calls)
        shown: dict[int, Call] = {}
        for group in messages:
            for one in group:
                shown |= {each.seq: each for each in (one.delivery, *one.downloads, *one.acks)}
        for filed, became in files:
            shown |= {each.seq: each for each in (*filed.tries, *(each for one in became for each in one.asked))}
        # Of calls that are about no message all of the kind are shown: a loop is many of them.
        kinds = {each.operation for each in self._journal.calls if each.seq in self._wanted and each.seq not in shown}
        shown |= {each.seq: each for each in self._journal.calls if each.operation in kinds}
        # What went wrong on purpose is part of every story of its scenario.
        shown |= {each.seq: each for each in self._journal.calls if each.seq in self._struck}
        return sorted(shown.values(), key=lambda each: (each.sent, each.seq))

    # In words

    def _asked(self, calls: Iterable[Call], messages: Sequence[Sequence[Handout]]) -> Iterator[Event]:
        names: dict[int, str] = {}
        for number, group in enumerate(messages, 1):
            name = "the message" if len(messages) == 1 else f"message {number}"
            for one in group:
                names |= {each.seq: name for each in (one.delivery, *one.downloads, *one.acks)}
        handed: set[str] = set()
        for each in calls:
            lane, words = self._words(each, names.get(each.seq), again=names.get(each.seq, "") in handed)
            if isinstance(each, Dequeue) and each.delivered:
                handed.add(names.get(each.seq, ""))
            yield Event(
                lane,
                each.sent,
                each.answered,
                words,
                (each.seq,),
                each.seq in self._wanted,
                float(each.seq),
                bad=not each.ok and not (each.status is not None and 300 <= each.status < 400),
            )

    def _words(self, call: Call, name: str | None, *, again: bool) -> tuple[str, str]:
        about = name if name is not None else "a message"
        outcome = _outcome(call)
        if isinstance(call, Dequeue):
            if call.delivered:
                empty = "" if call.kind == "message" else ", which has no file"
                return "dequeue", f"is handed {about}{' again' if again else ''}{empty}"
            return "dequeue", "is told that nothing waits" if call.kind == "empty" else f"dequeues: {outcome}"
        if isinstance(call, Download):
            came = f"{call.length} bytes" if call.digest is not None else outcome
            return "download", f"{'follows the redirect' if call.hop else f'asks for the file of {about}'}: {came}"
        if isinstance(call, Ack):
            return "ack", f"acknowledges {about}: {outcome}"
        if isinstance(call, Enqueue):
            seen = self._submissions.outbox.get(self._submissions.digest_of(call))
            file = _name(seen.name) if seen is not None else f"{call.length} bytes that are no file of the outbox"
            return (
                "enqueue",
                f"hands in {file}: {f'message {call.message[:8]}' if call.ok and call.message else outcome}",
            )
        if isinstance(call, StatusAnswer):
            return "status", f"asks for the status of {_short(call.message)}: {call.value if call.ok else outcome}"
        if isinstance(call, ExecutionId):
            told = _short(call.execution) if call.ok else outcome
            return "execution", f"asks for the execution of {_short(call.message)}: {told}"
        if isinstance(call, ExecutionSummary):
            return (
                "execution",
                f"asks how execution {_short(call.execution)} went: {call.value if call.ok else outcome}",
            )
        if isinstance(call, ExecutionErrors):
            told = f"{len(call.entries)} errors" if call.ok else outcome
            return "errors", f"asks for the errors of execution {_short(call.execution)}: {told}"
        if call.operation == "token":
            return TOKEN, f"asks for a token: {outcome}"
        return "other", f"{call.method} {call.path}: {outcome}"

    def _fault_events(self, calls: Iterable[Call]) -> Iterator[Event]:
        shown = {each.seq: each for each in calls}
        for each in self._journal.struck:
            call = shown.get(each.exchange or 0)
            when = f" {each.phase} its effect" if each.phase else ""
            words = f"by plan: {each.kind}{when}, on {each.operation}"
            if call is not None:
                yield Event(FAULT, call.sent, call.answered, words, place=call.seq + 0.5)
            else:
                yield Event(FAULT, each.at, each.at, words, place=each.place)

    def _inbox(self, messages: Sequence[Sequence[Handout]]) -> Iterator[Event]:
        """When the files of the messages came into the inbox, and went."""
        digests = {one.digest for group in messages for one in group if one.digest is not None}
        meant = digests | {each for one in self._journal.payloads if one.sha256 in digests for each in one.contents}
        names: set[str] = set()
        if not messages:
            return
        for look in self._journal.inbox:
            here = [file.name for file in look.appeared if not self._wanted or file.sha256 in meant]
            names |= set(here)
            gone = [name for name in look.gone if name in names]
            for word, listed in (("holds", here), ("no longer holds", gone)):
                if listed:
                    more = f" and {len(listed) - MESSAGES} more" if len(listed) > MESSAGES else ""
                    yield Event(
                        INBOX,
                        look.at,
                        look.at,
                        f"{word} {', '.join(map(_name, listed[:MESSAGES]))}{more} ({_why(look)})",
                        place=look.place,
                    )

    def _report(self, files: Sequence[tuple[Filed, Sequence[Submitted]]]) -> Iterator[Event]:
        meant: list[Told] = [line for _, became in files for one in became for line in self._submissions.told(one)]
        for line in self._journal.told if not self._wanted else meant:
            errors = f", with {len(line.errors)} errors" if line.errors else ""
            about = _name(line.file) if line.file else _short(line.message)
            yield Event(REPORT, line.at, line.at, f"says of {about}: {line.outcome}{errors}", place=line.place)

    def _connections(self) -> Iterator[Event]:
        for each in self._journal.connections:
            yield Event(NETWORK, each.at, each.at, _connected(each), place=each.place, bad=not each.accepted)

    def _lives(self) -> Iterator[Event]:
        for life in self._journal.lives:
            if life.number > 1:
                yield Event(PROCESS, life.started, life.started, "is started again", place=life.place)
            if life.ended is not None and life.ended_by != "us":
                how = _ending(life)
                place = life.end_place or life.place
                yield Event(PROCESS, life.ended, life.ended, how, place=place, bad=life.status not in (0, None))

    # Bars

    def _runs(self, start: datetime, end: float) -> Iterator[Bar]:
        lives = self._journal.lives
        for life in lives:
            since = max((life.started - start).total_seconds(), 0.0)
            until = end if life.ended is None else (life.ended - start).total_seconds()
            words = "alive"
            if len(lives) <= LIVES:
                words = f"run {life.number}, until {seconds(until)}" if life.ended is not None else f"run {life.number}"
                words += ", when the scenario was over" if life.ended_by == "us" else ""
            yield Bar(PROCESS, since, until, words, COLOURS[PROCESS])

    def _leases(self, messages: Sequence[Sequence[Handout]], start: datetime) -> Iterator[Bar]:
        """From each delivery to the end of its lease, or to the acknowledgment that ended it."""
        words = f"hidden from others for {seconds(self._conduct.lease.total_seconds())}, or until it was acknowledged"
        for group in messages:
            for one in group:
                over = min((each.answered for each in one.acks if each.ok), default=one.until)
                since, until = one.delivery.answered, min(over, one.until)
                yield Bar(
                    LEASE, (since - start).total_seconds(), (until - start).total_seconds(), words, COLOURS[LEASE]
                )


def _outcome(call: Call) -> str:
    """How a call was answered, in a few words."""
    if call.status is not None:
        return str(call.status)
    return f"no whole answer ({call.failure})" if call.failure else "no answer"


def _short(identifier: str | None) -> str:
    return identifier[:8] if identifier else "nothing"


def _name(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 14]}…{name[-13:]}"


def _why(look: Look) -> str:
    return {"ack": "seen when an acknowledgment came in", "end": "seen at the end"}.get(
        look.reason, "seen at the start"
    )


def _ending(life: Run) -> str:
    if life.status is None:
        return "ends by itself"
    return f"ends by signal {-life.status}" if life.status < 0 else f"ends by itself, with status {life.status}"


def _connected(each: Connection) -> str:
    """What became no request to the connector, in words."""
    token = " with a token" if each.token else ""
    asked = f"{each.method} {each.path or '/'}" if each.method else "a request"
    match each.kind:
        case "clear-text":
            return f"{asked}{token}, in clear text to {each.root}"
        case "elsewhere":
            return f"{asked}{token}, to another host, {each.root}"
        case "connect":
            return f"a tunnel to {each.root.partition('://')[2]}{'' if each.accepted else ', which is refused'}"
        case "tls-failed":
            return f"breaks the TLS handshake with {each.root} off"
        case _:
            return f"{each.kind}: {asked}{token}, {each.root}"


def _without_repetition(events: Sequence[Event]) -> list[Event]:
    """The same again and again in one lane is told once, with how often."""
    runs: list[list[Event]] = []
    latest: dict[str, list[Event]] = {}
    for each in events:
        run = latest.get(each.lane)
        if run is not None and run[-1].words == each.words:
            run.append(each)
        else:
            latest[each.lane] = [each]
            runs.append(latest[each.lane])
    found: list[Event] = []
    for run in runs:
        if len(run) < ALIKE:
            found += run
            continue
        first, last = run[0], run[-1]
        numbers = tuple(number for each in run for number in each.numbers)
        found.append(
            replace(
                first,
                by=last.by,
                words=f"{first.words}, {len(run)} times",
                numbers=numbers,
                witness=any(each.witness for each in run),
            )
        )
    return sorted(found, key=lambda each: (each.since, each.place))


def _kept(events: Sequence[Event]) -> tuple[list[Event], int]:
    """As many as there is room for: witnesses and faults before the rest, and of that what came first."""
    if len(events) <= MOST:
        return list(events), 0
    ranked = sorted(range(len(events)), key=lambda place: (not _matters(events[place]), place))[:MOST]
    return [events[place] for place in sorted(ranked)], len(events) - MOST


def _matters(event: Event) -> bool:
    return event.witness or event.lane in (FAULT, NETWORK, PROCESS)


def _mark(event: Event, start: datetime) -> Mark:
    numbers = event.numbers
    note = ""
    if numbers:
        note = f"exchange {numbers[0]}" if len(numbers) == 1 else f"exchanges {numbers[0]} to {numbers[-1]}"
    return Mark(
        lane=event.lane,
        since=max((event.since - start).total_seconds(), 0.0),
        by=max((event.by - start).total_seconds(), 0.0),
        words=event.words,
        colour=Colour.BAD if event.bad else COLOURS.get(event.lane, Colour.QUIET),
        witness=event.witness,
        note=note,
    )
