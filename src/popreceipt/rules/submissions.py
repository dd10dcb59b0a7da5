"""What a client handed in and what it learnt of it: questions to a journal for the rules that bind clients.

A file is known by its digest, a message by the ID that the client was answered. An enqueue whose answer was lost may
have made a message of which the client knows nothing; where an instrument planned the loss, it says whether it did.
Nothing here knows a promise or passes a verdict.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.conduct import LONG_ENOUGH, TIGHT, Conduct
from popreceipt.rules.facts import (
    Call,
    Enqueue,
    ExecutionErrors,
    ExecutionId,
    ExecutionSummary,
    FileSeen,
    StatusAnswer,
    Struck,
    Told,
)
from popreceipt.rules.imports import FINAL

if TYPE_CHECKING:
    from popreceipt.rules.readings import Readings

AT_AN_END: Final = frozenset({"succeeded", "partiallysucceeded", "failed", "canceled"})
"""Statuses of an execution, in lower case, after which nothing more becomes of it."""

SUCCEEDED: Final = "succeeded"

LOST: Final = frozenset({502, 504})
"""Answers of a gateway that has heard nothing from the server behind it: as good as none."""

BUSY: Final = frozenset({408, 425, 429})
"""Refusals below 500 that ask for another try."""

FOR_GOOD: Final = frozenset({400, 413, 415, 422})
"""Refusals that are about the file: it will be refused as often as it is sent."""

SOON: Final = 0.9
"""Leases within which a client looks after what it knows to have failed: nothing has to come back before it can."""

HAMMERED: Final = 20
"""So many refused tries in a row are more than a burst of several workers."""

LASTING: Final = 1.0
"""Real seconds that a loop lasts at least: a burst does not."""


class Filed(msgspec.Struct, gc=False):
    """A file and every try to hand it in, in order of time; `seen` is how it lay in the outbox before any."""

    digest: str
    tries: list[Enqueue]
    seen: FileSeen | None = None


class Submitted(msgspec.Struct, gc=False):
    """A message that the client was told of, and what it asked about it, each in order of time.

    `polls` are those by GetMessageStatus and by jobstatus, `lookups` those for the execution's ID, `executions` the IDs
    that were answered (bare, in lower case).
    """

    message: str
    enqueue: Enqueue
    polls: list[StatusAnswer]
    lookups: list[ExecutionId]
    executions: dict[str, Call]
    summaries: list[ExecutionSummary]
    errors: list[ExecutionErrors]

    @property
    def ends(self) -> list[StatusAnswer]:
        """The polls that were answered with an end state."""
        return [each for each in self.polls if each.ok and each.state in FINAL]

    @property
    def over(self) -> list[Call]:
        """Whatever told the client that the message had come to its end, in order of time."""
        summaries = [each for each in self.summaries if each.ok and (each.value or "").lower() in AT_AN_END]
        return sorted([*self.ends, *summaries], key=_asked)

    @property
    def asked(self) -> list[Call]:
        """Everything that was asked about the message, in order of time."""
        every: list[Call] = [*self.polls, *self.lookups, *self.summaries, *self.errors]
        return sorted(every, key=_asked)


class Submissions:
    """What the client of a journal handed in.

    Args:
        readings: the journal.
    """

    def __init__(self, readings: "Readings") -> None:
        self.journal = readings
        self.conduct: Conduct = readings.conduct
        self.scenario = readings.scenario

    # Faults

    @cached_property
    def struck(self) -> dict[int, Struck]:
        """The planned faults that struck, by the number of the exchange."""
        return {each.exchange: each for each in self.journal.struck if each.exchange}

    def effective(self, call: Call) -> bool | None:
        """Whether a call took effect; None where nobody knows."""
        fault = self.struck.get(call.seq)
        if fault is not None and not call.ok:
            return fault.took_effect
        if call.ok:
            return True
        return None if call.in_doubt else False

    def lost(self, call: Call) -> bool:
        """Whether the client cannot know by the answer what came of a call: there was none, or a gateway's."""
        fault = self.struck.get(call.seq)
        return call.status is None or call.status in LOST or (fault is not None and fault.kind == "slow")

    def after(self, place: int) -> Iterator[Call]:
        """The calls behind one that stands at a place among the journal's."""
        calls = self.journal.calls
        return (calls[at] for at in range(place + 1, len(calls)))

    def last_before(self, place: float) -> Call | None:
        """The exchange before a place in the journal: where an observation stands, that is no exchange itself."""
        at = bisect_left(self._by_number, place, key=lambda each: each.seq)
        return self._by_number[at - 1] if at else None

    @cached_property
    def _by_number(self) -> list[Call]:
        return sorted(self.journal.calls, key=lambda each: each.seq)

    # Files

    @cached_property
    def outbox(self) -> dict[str, FileSeen]:
        """The files that lay in the outbox, by digest, as each was first seen."""
        found: dict[str, FileSeen] = {}
        for look in self.journal.outbox:
            for file in look.appeared:
                found.setdefault(file.sha256, file)
        return found

    @cached_property
    def filed(self) -> dict[str, Filed]:
        """Every file of the outbox, and whatever else was handed in, by digest."""
        found = {digest: Filed(digest, [], file) for digest, file in self.outbox.items()}
        for each in self.journal.enqueues:
            digest = self.digest_of(each)
            found.setdefault(digest, Filed(digest, [])).tries.append(each)
        return found

    def digest_of(self, call: Enqueue) -> str:
        """The digest of what was handed in; of a body that was left out, that of the one file of its length."""
        if not left_out(call):
            return call.digest or _NOTHING
        alike = [digest for digest, file in self.outbox.items() if file.length == call.announced]
        return alike[0] if len(alike) == 1 else f"{call.announced} bytes"

    @cached_property
    def strangers(self) -> list[Enqueue]:
        """Enqueues whose body is no file of the outbox, where one was seen."""
        if not self.outbox:
            return []
        return [each for each in self.journal.enqueues if self.digest_of(each) not in self.outbox]

    def kind_of(self, call: Call) -> str | None:
        """The type of the job that a call names, `file` or `package`; None where nobody told."""
        activity = call.activity or ""
        if self.scenario is not None and activity in self.scenario.imports:
            return self.scenario.import_type
        told = self.journal.setting(activity, "type", call.answered)
        return str(told) if told is not None else None

    def entity_of(self, call: Call) -> str | None:
        """The entity that the job of a call is for; None where nobody told."""
        activity = call.activity or ""
        if self.scenario is not None and activity in self.scenario.imports and self.scenario.entity:
            return self.scenario.entity
        told = self.journal.setting(activity, "entity", call.answered)
        return str(told) if told else None

    # Messages

    @cached_property
    def messages(self) -> dict[str, Submitted]:
        """The messages that the client was told of, by ID, in the order of their enqueues."""
        found: dict[str, Submitted] = {}
        for each in self.journal.enqueues:
            if each.ok and each.message and each.message not in found:
                found[each.message] = Submitted(each.message, each, [], [], {}, [], [])
        for poll in sorted([*self.journal.statuses, *self.journal.jobstatuses], key=_asked):
            if poll.meant in found:
                found[poll.meant].polls.append(poll)
        for lookup in self.journal.execution_ids:
            if lookup.meant in found:
                found[lookup.meant].lookups.append(lookup)
        of_execution: dict[str, list[Submitted]] = defaultdict(list)
        for one in found.values():
            answers: list[ExecutionId | StatusAnswer] = [*one.lookups, *one.polls]
            for answer in answers:
                execution = named(answer.execution) if answer.ok else None
                if execution is not None and execution not in one.executions:
                    one.executions[execution] = answer
                    of_execution[execution].append(one)
        for summary in self.journal.execution_summaries:
            for one in of_execution.get(named(summary.meant) or "", ()):
                one.summaries.append(summary)
        for errors in self.journal.execution_errors:
            for one in of_execution.get(named(errors.meant) or "", ()):
                one.errors.append(errors)
        return found

    @cached_property
    def unread(self) -> Call | None:
        """A question that was answered and of which nobody can tell which message or execution it was about."""
        journal = self.journal
        every: tuple[list[StatusAnswer] | list[ExecutionId] | list[ExecutionErrors] | list[ExecutionSummary], ...] = (
            journal.statuses,
            journal.jobstatuses,
            journal.execution_ids,
            journal.execution_errors,
            journal.execution_summaries,
        )
        return next((each for asked in every for each in asked if each.ok and each.meant is None), None)

    @cached_property
    def reported(self) -> list[tuple[Told, list[Submitted]]]:
        """The lines of the subject's report, each with the messages that it is about.

        A message ID tells, else the file's name, whatever folder it lay in; a file may have become several messages.
        """
        of_file: dict[str, list[Submitted]] = defaultdict(list)
        for one in self.messages.values():
            of_file[self.digest_of(one.enqueue)].append(one)
        by_name: dict[str, list[Submitted]] = defaultdict(list)
        for digest, file in self.outbox.items():
            by_name[_last_part(file.name)] += of_file.get(digest, ())
        found: list[tuple[Told, list[Submitted]]] = []
        for line in self.journal.told:
            known = self.messages.get(line.message or "")
            named_so = by_name.get(_last_part(line.file), []) if line.file is not None else []
            found.append((line, [known] if known is not None else named_so))
        return found

    def tries_of(self, line: Told) -> list[Enqueue]:
        """The tries to hand in the file of the outbox that a line of the report names."""
        if line.file is None:
            return []
        name = _last_part(line.file)
        named_so = [
            each for each in self.filed.values() if each.seen is not None and _last_part(each.seen.name) == name
        ]
        return sorted((each for filed in named_so for each in filed.tries), key=_asked)

    def never_answered(self, line: Told) -> bool:
        """Whether a line of the report is about a file of which surely no enqueue told the client a message."""
        tries = self.tries_of(line)
        return bool(tries) and not self.strangers and not any(each.ok for each in tries)

    def said_of(self, filed: Filed) -> list[Told]:
        """The lines of the report that name a file of the outbox, whatever message they are about."""
        if filed.seen is None:
            return []
        name = _last_part(filed.seen.name)
        return [line for line in self.journal.told if line.file is not None and _last_part(line.file) == name]

    def told(self, one: Submitted) -> list[Told]:
        """The lines of the report that are about a message."""
        return self._told.get(one.message, [])

    @cached_property
    def _told(self) -> dict[str, list[Told]]:
        found: dict[str, list[Told]] = defaultdict(list)
        for line, meant in self.reported:
            for one in meant:
                found[one.message].append(line)
        return dict(found)

    # Time

    def patient(self, since: Call, calls: Sequence[Call] = (), leases: float = LONG_ENOUGH) -> bool:
        """Whether the client lived on for long after a call: so many leases, and thrice its own longest pause.

        `calls` are those whose pauses show its pace. On a clock that is moved by hand nobody lives.
        """
        end = self.conduct.end_of(since)
        if end is None or (self.journal.header.clock == "manual" and not self.journal.lives):
            return False
        pauses = [after.sent - before.answered for before, after in pairwise(calls)]
        enough = max(self.conduct.lease * leases, 3 * max(pauses, default=timedelta(0)))
        return end - since.answered >= enough

    def hammered(self, calls: Sequence[Call]) -> bool | None:
        """Whether calls one after another are a loop without any pause, which goes on for a while.

        None where they are as quick as that together, and may be of several workers that wait, each for itself.
        """
        if len(calls) < HAMMERED:
            return False
        span = self.conduct.real(calls[-1].sent - calls[0].sent)
        if span is None or span < LASTING or span / (len(calls) - 1) >= TIGHT:
            return False
        return self.conduct.is_loop(self.conduct.gaps(calls)) or None

    @cached_property
    def last_import_call(self) -> datetime | None:
        """When the client last asked anything of the import side; None where it never did."""
        return max((each.answered for each in self.journal.calls if each.operation in IMPORT_SIDE), default=None)


IMPORT_SIDE: Final = frozenset(
    {
        vocabulary.ENQUEUE,
        vocabulary.JOBSTATUS,
        vocabulary.MESSAGE_STATUS,
        vocabulary.EXECUTION_ID,
        vocabulary.EXECUTION_ERRORS,
        vocabulary.EXECUTION_SUMMARY,
    }
)
"""Operations by which files are handed in and followed."""


_NOTHING: Final = sha256(b"").hexdigest()


def left_out(call: Enqueue) -> bool:
    """Whether the journal lacks a body that was announced: a service need not take in what is too large."""
    return not call.length and bool(call.announced)


def named(execution: str | None) -> str | None:
    """An execution's ID, bare and in lower case; None for the zeros and the blank that stand for none."""
    if execution is None:
        return None
    bare = vocabulary.bare_guid(execution)
    return bare if bare and bare != vocabulary.ZERO_GUID else None


def _last_part(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _asked(call: Call) -> tuple[datetime, int]:
    return call.sent, call.seq
