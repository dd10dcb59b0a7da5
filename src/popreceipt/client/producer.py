"""A producer of imports: files are handed in once, and looked after until it is known what became of them.

"Recurring integrations", sections "API for import (enqueue)", "Getting the status of a message" and "Getting execution
errors". An accepted file is not an imported one, and an answer that was lost does not tell whether the file was
accepted: nothing on the wire finds a message without its ID. Such a file is `uncertain`, and stays so until a person
has looked at Manage messages (for the file's name, which goes along as the external identifier).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.memory import HandedIn, Memory

if TYPE_CHECKING:
    from popreceipt.client.connection import Answer, Connection

_log = logging.getLogger("popreceipt.client")

# How far a file has come.
WAITING: Final = "waiting"
"""It was refused for now, or never left: to be handed in."""
SENDING: Final = "sending"
"""It is on its way. Found so at a start, nobody knows whether it arrived."""
ACCEPTED: Final = "accepted"
"""Its message is known, and its status asked for."""
FAILED: Final = "failed"
"""Its message ended badly, and the errors are asked for."""
TOLD: Final = "told"
"""The outcome is known and was told."""

PROCESSED: Final = "processed"
UNCERTAIN: Final = "uncertain"

GOOD_ENDS: Final = frozenset({vocabulary.PROCESSED})
BAD_ENDS: Final = frozenset(
    {vocabulary.PROCESSED_WITH_ERRORS, vocabulary.PREPROCESSING_ERROR, vocabulary.POSTPROCESSING_FAILED}
)

NOT_DONE: Final = frozenset({401, 403, 408, 425, 429, 500, 503})
"""Statuses by which the service itself says that it did not take a file, but might later."""

IN_DOUBT: Final = frozenset({502, 504})
"""Statuses of a gateway that does not know what became of the request behind it (RFC 9110, sections 15.6.3 and 5)."""

SLOWER: Final = 1.5
"""By how much longer the pause is between two looks at a message of which nothing was new."""

_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a file: `processed`, `failed` (`errors` say why) or `uncertain`. `message` is its ID, if known."""

    file: str
    message: str | None
    outcome: str
    errors: tuple[str, ...] = ()


@dataclass(slots=True)
class _Care:
    """When a file or its message is looked at next (an instant of the watch), and the pause before."""

    next: float
    pause: float


class Producer:
    """Hands in what lies in a folder, in the order of names, each file in one piece and once.

    Files stay where they are; what was done with each is remembered beside them, by name, length and date of change. A
    file is in the memory before it is on the wire, so that a crash in between is not forgotten.

    Seams, each a method: `files`, `hand_in`, `request`, `send`, `is_in_doubt`, `is_refused`, `resends`, `look_after`,
    `status_of`, `ends`, `execution_of`, `errors_of`, `pause_after`, `tell`, `write`.

    Args:
        connection: the environment.
        activity: the recurring data job's ID.
        outbox: the folder with the files.
        entity: the entity's public name for a job of single files; None for data packages, which name their own.
        in_order: whether the job takes files in order: then a file that has to wait holds up those behind it.
        report: a file that takes each outcome as a line of JSON.
    """

    def __init__(
        self,
        connection: "Connection",
        activity: str,
        outbox: Path,
        *,
        entity: str | None = None,
        in_order: bool = False,
        report: Path | None = None,
    ) -> None:
        self.connection = connection
        self.activity = activity
        self.outbox = outbox
        self.entity = entity
        self.in_order = in_order
        self.report = report
        self.patience = connection.patience
        self.watch = connection.watch
        self.memory = Memory(outbox)
        self._care: dict[tuple[str, str], _Care] = {}
        self._failures: dict[tuple[str, str], int] = {}

    def run(self) -> None:
        """Hand in what there is and what comes, and look after it, until the watch is over."""
        self.recall()
        while not self.watch.over:
            self.hand_in_all()
            self.look_after_all()
            self.watch.wait(self.patience.status)

    def drain(self) -> None:
        """Hand in what there is, and look after it until every outcome was told or the watch is over."""
        self.recall()
        self.hand_in_all()
        while self.memory.at(WAITING, ACCEPTED, FAILED) and self.watch.wait(self.patience.status):
            self.hand_in_all()
            self.look_after_all()

    def close(self) -> None:
        """Close the memory."""
        self.memory.close()

    def recall(self) -> None:
        """Take up what an earlier run has left. What was on its way when it ended may have arrived, or not."""
        for entry in self.memory.at(SENDING):
            self.tell(entry, UNCERTAIN, "It was on its way when the program ended.")

    # Handing in

    def files(self) -> Iterator[Path]:
        """The files of the outbox, by name; what begins with a dot or is still being written is none."""
        for each in sorted(self.outbox.iterdir()):
            if each.is_file() and not each.name.startswith(".") and each.suffix not in {".tmp", ".part"}:
                yield each

    def hand_in_all(self) -> None:
        """Hand in every file that was not handed in yet."""
        for file in self.files():
            if self.watch.over:
                return
            version = _version(file)
            entry = self.memory.handed_in(file.name, version)
            if entry is not None and entry.stage != WAITING:
                continue
            care = self._care.get((file.name, version))
            if care is None or self.watch.now() >= care.next:
                entry = self.hand_in(file, version)
            if self.in_order and entry is not None and entry.stage == WAITING:
                return

    def hand_in(self, file: Path, version: str) -> HandedIn:
        """Hand in one file; how far it has come then."""
        entry = HandedIn(file.name, version, SENDING, None, None, self.watch.date())
        self.memory.note(entry)
        answer = self.connection.persist(lambda: self.send(file), again=self.resends)
        if answer.ok:
            message = wire.message_id(answer)
            if message is None:
                return self.tell(entry, UNCERTAIN, "It was accepted, but the answer names no message.")
            _log.info("Handed in %s as %s.", file.name, message)
            entry = replace(entry, stage=ACCEPTED, message=message, date=self.watch.date())
            self.memory.note(entry)
            self._look_later(entry, self.patience.status)
            return entry
        _log.warning("Handing in %s failed: %s", file.name, answer.words)
        if self.is_in_doubt(answer):
            return self.tell(entry, UNCERTAIN, f"The answer to the enqueue was lost ({answer.words}).")
        if self.is_refused(answer):
            return self.tell(entry, FAILED, f"The enqueue was refused with {answer.words}.")
        entry = replace(entry, stage=WAITING)
        self.memory.note(entry)
        key = (entry.file, entry.version)
        self._failures[key] = self._failures.get(key, 0) + 1
        self._look_later(entry, self.patience.pause(self._failures[key]))
        return entry

    def send(self, file: Path) -> "Answer":
        """One enqueue: the file's bytes, from the first, as they are."""
        return self.connection.call(vocabulary.ENQUEUE, self.request(file), upload=file)

    def request(self, file: Path) -> wire.Ask:
        """The enqueue without its body. The file's name goes along, for people who look at Manage messages."""
        return wire.enqueue(
            self.activity,
            b"",
            entity=self.entity,
            content_type="application/octet-stream",
            external_identifier=quote(file.name, safe=_PRINTABLE),
        )

    def is_in_doubt(self, answer: "Answer") -> bool:
        """Whether the file may have been accepted although the answer does not say so."""
        return answer.sent and (answer.failure is not None or answer.status in IN_DOUBT)

    def resends(self, answer: "Answer") -> bool:
        """Whether a file is sent once more at once: only where it certainly was not accepted, and may be soon."""
        return not self.is_in_doubt(answer) and self.connection.is_passing(answer)

    def is_refused(self, answer: "Answer") -> bool:
        """Whether the service will never take this file (a bad request, too large, of the wrong kind)."""
        return answer.failure is None and answer.status not in NOT_DONE

    # Looking after what was handed in

    def look_after_all(self) -> None:
        """Ask what became of every message of which it is not known yet and whose turn it is."""
        for entry in self.memory.at(ACCEPTED, FAILED):
            if self.watch.over:
                return
            care = self._care.get((entry.file, entry.version))
            if care is None or self.watch.now() >= care.next:
                self.look_after(entry)

    def look_after(self, entry: HandedIn) -> None:
        """Take one step with a message: its status, or the errors of one that failed."""
        if entry.stage == ACCEPTED:
            state = self.status_of(entry)
            end = self.ends(state)
            if end == PROCESSED:
                self.tell(entry, PROCESSED)
                return
            if end == FAILED:
                _log.warning("%s ended as %s.", entry.file, state)
                entry = replace(entry, stage=FAILED, state=state, date=self.watch.date())
                self.memory.note(entry)
                self._care.pop((entry.file, entry.version), None)
            elif self.watch.date() - entry.date >= self.patience.status_limit:
                self.tell(entry, UNCERTAIN, f"Its status was {state or 'unknown'} for too long.")
                return
        if entry.stage == FAILED:
            execution = self.execution_of(entry)
            errors = self.errors_of(execution) if execution is not None else None
            if errors is not None:
                self.tell(entry, FAILED, str(entry.state), *errors)
                return
            if self.watch.date() - entry.date >= self.patience.execution_limit:
                said = "It has no execution." if execution is None else "Its errors could not be had."
                self.tell(entry, FAILED, str(entry.state), said)
                return
        self._look_later(entry, self.pause_after(entry))

    def status_of(self, entry: HandedIn) -> str | None:
        """The status of a message in the documentation's spelling; None where the answer tells none."""
        answer = self.connection.call(vocabulary.MESSAGE_STATUS, wire.message_status(str(entry.message)))
        return wire.message_state(answer)

    def ends(self, state: str | None) -> str | None:
        """What a status means in the end: `processed` or `failed`; None where it is none of the last."""
        if state in GOOD_ENDS:
            return PROCESSED
        return FAILED if state in BAD_ENDS else None

    def execution_of(self, entry: HandedIn) -> str | None:
        """The execution's ID, which is another than the message's; None while there is none (zeros stand for none)."""
        answer = self.connection.call(vocabulary.EXECUTION_ID, wire.execution_id(str(entry.message)))
        return wire.execution(answer)

    def errors_of(self, execution: str) -> list[str] | None:
        """The errors of an execution, as texts; None where they could not be had."""
        answer = self.connection.call(vocabulary.EXECUTION_ERRORS, wire.execution_errors(execution))
        return [_text(each) for each in wire.errors(answer)] if answer.ok else None

    def pause_after(self, entry: HandedIn) -> float:
        """Seconds until the next look at a message: longer each time, up to ten times what it begins with.

        Where patience ends before, the last look is then.
        """
        care = self._care.get((entry.file, entry.version))
        before = self.patience.status / SLOWER if care is None else care.pause
        limit = self.patience.status_limit if entry.stage == ACCEPTED else self.patience.execution_limit
        left = entry.date + limit - self.watch.date()
        return min(before * SLOWER, 10 * self.patience.status, max(left, self.patience.status))

    def _look_later(self, entry: HandedIn, pause: float) -> None:
        self._care[entry.file, entry.version] = _Care(self.watch.now() + pause, pause)

    # Telling

    def tell(self, entry: HandedIn, outcome: str, *errors: str) -> HandedIn:
        """Write down the outcome of a file, and be done with it."""
        self.write(Outcome(file=entry.file, message=entry.message, outcome=outcome, errors=errors))
        entry = replace(entry, stage=TOLD, state=entry.state or outcome, date=self.watch.date())
        self.memory.note(entry)
        self._care.pop((entry.file, entry.version), None)
        self._failures.pop((entry.file, entry.version), None)
        return entry

    def write(self, outcome: Outcome) -> None:
        """Append an outcome to the report, as one line."""
        _log.info("%s: %s %s", outcome.file, outcome.outcome, "; ".join(outcome.errors))
        if self.report is None:
            return
        line = {
            "file": outcome.file,
            "messageId": outcome.message,
            "outcome": outcome.outcome,
            "errors": list(outcome.errors),
        }
        with self.report.open("ab") as report:
            report.write(msgspec.json.encode(line) + b"\n")


def _version(file: Path) -> str:
    facts = file.stat()
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _text(error: dict[str, Any]) -> str:
    """An error as a sentence: record, field, and what is wrong."""
    place = " ".join(str(error[name]) for name in ("RecordId", "Field") if error.get(name))
    said = str(error.get("ErrorMessage") or error)
    return f"{place}: {said}" if place else said
