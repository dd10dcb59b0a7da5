"""Consumers of exports that do what the documentation asks for: pull, keep, then acknowledge.

They look inside no receipt and no location, keep a file before they acknowledge, and acknowledge with the answer of the
dequeue ("Recurring integrations", section "API for acknowledgment"). `pull` is the small one, for suites: it writes a
journal and does not know whether a file came before. `Consumer` is for daily use: it keeps files in a folder, remembers
what it has, and lives with every failure.
"""

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.memory import Memory
from popreceipt.client.wire import Ask, Delivery, Reply

if TYPE_CHECKING:
    from popreceipt.client.connection import Answer, Connection, Place
    from popreceipt.client.session import Session
    from popreceipt.client.tokens import Tokens

ATTEMPTS: Final = 4
"""How often one call is made when it fails in a way that may pass."""

PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})


def pull(
    session: "Session",
    tokens: "Tokens",
    activity: str,
    store: Callable[[bytes, Delivery], None],
    limit: int | None = None,
    *,
    role: str = "authorised",
    actor: str | None = None,
) -> int:
    """Take what waits, until the queue is empty or `limit` messages have been handed out.

    A message whose file does not arrive is left alone: it comes again. One that says it has no file is acknowledged, so
    that it need not come again.

    Args:
        session: the target.
        tokens: its tokens.
        activity: the recurring data job's id.
        store: keeps a file; when it raises, the message stays unacknowledged.
        limit: stop after so many deliveries.
        role: whose token is used.
        actor: who calls, for the journal; the role unless given.

    Returns:
        how many messages were acknowledged.
    """

    def ask(what: Ask) -> Reply:
        return _persist(session, tokens, what, role, actor or role)

    delivered = acknowledged = 0
    while limit is None or delivered < limit:
        delivery = wire.delivery(ask(wire.dequeue(activity)))
        if delivery is None:
            break
        delivered += 1
        if delivery.has_file and delivery.location is not None:
            file = ask(wire.download(delivery.location))
            if not file.ok:
                continue
            store(file.body, delivery)
        if ask(wire.ack(activity, delivery.body)).ok:
            acknowledged += 1
    return acknowledged


def _persist(session: "Session", tokens: "Tokens", ask: Ask, role: str, actor: str) -> Reply:
    reply = session.send(ask, actor=actor, token=tokens.current(role))
    for _ in range(ATTEMPTS - 1):
        if reply.status == 401:
            tokens.forget()
        elif reply.status is not None and reply.status not in PASSING:
            break
        wait = wire.retry_after(reply)
        if wait is not None:
            session.times.advance(wait.total_seconds())
        reply = session.send(ask, actor=actor, token=tokens.current(role))
    return reply


_log = logging.getLogger("popreceipt.client")

REMEMBERED: Final = 30 * 86_400.0
"""Seconds for which a message is recognised. Its file is gone after seven days, so it cannot come after that."""

PACKAGE: Final = b"PK\x03\x04"
"""What a data package begins with: it is a zip file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handout:
    """A message as it was handed out, and until when (an instant of the watch) it is nobody else's.

    The lease is counted from before the dequeue was sent: it began later.
    """

    delivery: Delivery
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A whole file that has come, and is on the disk under a name that does not count yet."""

    part: Path
    sha256: str
    length: int
    is_package: bool


class Consumer:
    """Takes one message at a time: no more is leased than is being worked on.

    The order is what matters. A file is on the disk, whole and under its own name, before its message is acknowledged;
    the acknowledgment's body is the dequeue's answer byte for byte; it is repeated while the lease lasts, and never
    sent after. A message whose file did not come is left alone: it comes again.

    The names of files in the inbox follow from what is in them. So a crash between storing and remembering makes no
    second copy.

    Seams, each a method: `dequeue`, `handle`, `on_no_file`, `is_known`, `fetch`, `is_whole`, `store`, `name_of`,
    `acknowledge`, `acknowledgment_of`, `idle`.

    Args:
        connection: the environment.
        activity: the recurring data job's ID.
        inbox: the folder for what comes.
        is_package: whether every file must be a data package; None where the job may hand out either.
    """

    def __init__(self, connection: "Connection", activity: str, inbox: Path, *, is_package: bool | None = None) -> None:
        self.connection = connection
        self.activity = activity
        self.inbox = inbox
        self.is_package = is_package
        self.patience = connection.patience
        self.watch = connection.watch
        inbox.mkdir(parents=True, exist_ok=True)
        self.memory = Memory(inbox)
        self.failures = 0
        """How many dequeues have failed in a row."""

    def run(self) -> None:
        """Take what comes until the watch is over."""
        self.memory.forget_received(self.watch.date() - REMEMBERED)
        while not self.watch.over:
            if not self.take():
                self.idle()

    def close(self) -> None:
        """Close the memory."""
        self.memory.close()

    def drain(self) -> int:
        """Take what waits, until the queue is empty or a dequeue fails; how many messages were handed out."""
        taken = 0
        while not self.watch.over and self.take():
            taken += 1
        return taken

    def take(self) -> bool:
        """Take one message and do what it wants; whether one was handed out."""
        handout = self.dequeue()
        if handout is None:
            return False
        try:
            self.handle(handout)
        except OSError as problem:
            # A full disk, say. The message stays unacknowledged and comes again; others may be smaller.
            _log.warning("A message could not be stored: %s", problem)
        return True

    def dequeue(self) -> Handout | None:
        """Ask for the next message; None where there is none, or the call failed.

        It is not repeated at once: whatever was leased by an answer that got lost comes again, and so do we.
        """
        began = self.watch.now()
        answer = self.connection.call(vocabulary.DEQUEUE, wire.dequeue(self.activity))
        delivery = wire.delivery(answer)
        if delivery is not None or (answer.ok and not answer.body.strip()):
            self.failures = 0
        else:
            self.failures += 1
            _log.warning("A dequeue failed: %s", answer.words)
        if delivery is None:
            return None
        return Handout(delivery=delivery, until=began + self.patience.lease - self.patience.margin)

    def idle(self) -> None:
        """Wait before the next dequeue: while the queue is empty for a while, after failures longer each time."""
        self.watch.wait(self.patience.pause(self.failures) if self.failures else self.patience.poll)

    def handle(self, handout: Handout) -> None:
        """Do what a message wants: fetch its file, store it, acknowledge it."""
        delivery = handout.delivery
        if not delivery.has_file:
            if delivery.file_exists:
                _log.warning("A message has a file, but does not say where.")
            else:
                self.on_no_file(handout)
            return
        if not self.is_known(delivery):
            received = self.fetch(handout)
            if received is None:
                return
            self.store(received, delivery)
        self.acknowledge(handout)

    def on_no_file(self, handout: Handout) -> None:
        """A message without a file has said all it has to say: it is acknowledged, so that it does not come again."""
        _log.info("A message without a file.")
        self.acknowledge(handout)

    def is_known(self, delivery: Delivery) -> bool:
        """Whether a message came before and is stored; under another CorrelationId its file's digest will tell."""
        return self.memory.has_received(delivery.correlation)

    def fetch(self, handout: Handout) -> Received | None:
        """Fetch a message's file; None where it does not come whole."""
        location = handout.delivery.location or ""
        part = self.inbox / f".{quote(vocabulary.bare_guid(self.activity), safe='')}.part"
        with part.open("w+b") as sink:
            for place in self.connection.places(location):

                def once(place: "Place" = place) -> "Answer":
                    answer = self.connection.download(place, sink)
                    if not answer.ok or self.is_whole(answer, sink):
                        return answer
                    return replace(answer, status=None, failure="corrupt", head=answer.status)

                answer = self.connection.persist(once, until=handout.until)
                if answer.status == 200:
                    return self._received(part, sink)
                _log.warning("A download failed: %s", answer.words)
        part.unlink(missing_ok=True)
        return None

    def is_whole(self, answer: "Answer", sink: BufferedRandom) -> bool:
        """Whether what came is what it should be, as far as that shows.

        A zip file ends with a directory of its entries, each with a checksum. The service gives none of the whole.
        """
        if answer.status != 200:
            return False
        sink.seek(0)
        begins_so = sink.read(len(PACKAGE)) == PACKAGE
        if not begins_so:
            return self.is_package is not True
        try:
            with zipfile.ZipFile(sink) as package:
                return package.testzip() is None
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError):
            return False

    def _received(self, part: Path, sink: BufferedRandom) -> Received:
        sink.flush()
        os.fsync(sink.fileno())
        sink.seek(0)
        is_package = sink.read(len(PACKAGE)) == PACKAGE
        sink.seek(0)
        return Received(
            part=part,
            sha256=hashlib.file_digest(sink, "sha256").hexdigest(),
            length=part.stat().st_size,
            is_package=is_package,
        )

    def store(self, received: Received, delivery: Delivery) -> None:
        """Give a file its name, unless it is there already, and remember it; both safely.

        Raises:
            OSError: it cannot be stored. It must not be acknowledged then.
        """
        name = self.name_of(received)
        if self.memory.has_digest(received.sha256):
            received.part.unlink()
        else:
            received.part.replace(self.inbox / name)
            _sync_folder(self.inbox)
            _log.info("Stored %s (%d bytes).", name, received.length)
        self.memory.note_received(delivery.correlation, received.sha256, name, self.watch.date())

    def name_of(self, received: Received) -> str:
        """A file's name in the inbox."""
        return received.sha256 + (".zip" if received.is_package else ".data")

    def acknowledge(self, handout: Handout) -> bool:
        """Acknowledge a message, again and again while its lease lasts and the failures may pass; whether it worked.

        After the lease it is left alone: it comes again, is recognised, and is acknowledged with its new receipt.
        """
        ask = wire.ack(self.activity, self.acknowledgment_of(handout.delivery))

        def once() -> "Answer":
            return self.connection.call(vocabulary.ACK, ask, until=handout.until)

        answer = self.connection.persist(once, until=handout.until)
        if not answer.ok:
            _log.warning("An acknowledgment failed: %s", answer.words)
        return answer.ok

    def acknowledgment_of(self, delivery: Delivery) -> bytes:
        """The body of an acknowledgment: the answer of the dequeue, byte for byte."""
        return delivery.body


def _sync_folder(folder: Path) -> None:
    """Have a folder's new names on the disk. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
