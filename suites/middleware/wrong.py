"""Wrong versions of the reference middleware: each makes one mistake, and says which rules it breaks by it.

Run as `python wrong.py NAME`; it then reads the environment of a subject. A rule that convicts nobody may be saying
nothing, so there is somebody here for every rule that a client can break. Each is the reference with a class or two of
its parts overridden; what it claims to break, and the scenarios in which that shows, stand at its head.

`claims` are the rules that the mistake breaks. Where a mistake cannot be made without breaking a recommendation too,
that is `besides`: no rule beyond the two may convict it of a MUST.
"""
# ruff: noqa: ARG002, D106 - what is overridden keeps its parameters, and stands under the name of what it replaces

import base64
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.connection import Answer, Connection, Pairs, Place
from popreceipt.client.consumer import Consumer, Handout, Received
from popreceipt.client.memory import HandedIn
from popreceipt.client.patience import Patience
from popreceipt.client.producer import ACCEPTED, FAILED, PROCESSED, TOLD, Producer
from popreceipt.client.reference import Reference, main
from popreceipt.client.wire import Ask, Delivery

Part = TypeVar("Part", bound=type[Any])


@dataclass(frozen=True, slots=True)
class Wrong:
    """One wrong version.

    Args:
        name: on the command line.
        text: what it does wrong.
        claims: the rules that convict it.
        scenarios: where that shows; each is enough for at least one of the rules.
        reference: the whole of it.
        besides: recommendations that the same mistake breaks.
        tls: whether it can be seen only where the connector speaks TLS.
        proxy: whether it can be seen only through a proxy.
    """

    name: str
    text: str
    claims: tuple[str, ...]
    scenarios: tuple[str, ...]
    reference: type[Reference]
    besides: tuple[str, ...] = ()
    tls: bool = False
    proxy: bool = False


WRONG: Final[dict[str, Wrong]] = {}
"""All of them, by name."""


def wrong(
    name: str,
    text: str,
    *claims: str,
    at: tuple[str, ...],
    besides: tuple[str, ...] = (),
    tls: bool = False,
    proxy: bool = False,
) -> Callable[[Part], Part]:
    """Make a wrong version of a part, or of the whole."""

    def register(part: Part) -> Part:
        if issubclass(part, Reference):
            made: type[Reference] = part
        else:
            place = {Connection: "CONNECTION", Consumer: "CONSUMER", Producer: "PRODUCER"}
            made = type(
                part.__name__, (Reference,), {next(at for of, at in place.items() if issubclass(part, of)): part}
            )
        WRONG[name] = Wrong(name, text, claims, at, made, besides, tls, proxy)
        return part

    return register


def _ask_again(connection: Connection, operation: str, ask: Ask) -> Answer:
    return connection.persist(lambda: connection.call(operation, ask))


# Taking messages


@wrong(
    "forgets-a-message",
    "Of the messages that it takes it never looks at the first again, not even when it comes back.",
    "dequeue.message-is-fetched",
    at=("export-package",),
)
class ForgetsAMessage(Consumer):
    _forgotten: str | None = None

    def handle(self, handout: Handout) -> None:
        self._forgotten = self._forgotten or handout.delivery.correlation
        if handout.delivery.correlation != self._forgotten:
            super().handle(handout)


@wrong(
    "reads-every-answer-as-json",
    "It reads the body of every answer to a dequeue as JSON, and falls over when there is none.",
    "dequeue.empty-answer-understood",
    at=("export-package",),
)
class ReadsEveryAnswerAsJson(Connection):
    def call(self, operation: str, ask: Ask, **how: Any) -> Answer:
        answer = super().call(operation, ask, **how)
        if operation == vocabulary.DEQUEUE and answer.ok:
            json.loads(answer.body)
        return answer


@wrong(
    "hammers-an-empty-queue",
    "It asks again at once when nothing waits.",
    "dequeue.empty-queue-not-hammered",
    at=("export-package",),
)
class HammersAnEmptyQueue(Consumer):
    def idle(self) -> None:
        if self.failures:
            super().idle()
        else:
            self.watch.wait(0.005)


@wrong(
    "one-message-a-start",
    "It takes one message and ends; the next is for the next start.",
    "dequeue.queue-is-drained",
    at=("export-package",),
)
class OneMessageAStart(Consumer):
    def run(self) -> None:
        self.take()
        self.watch.stop()


@wrong(
    "stops-at-a-bad-one",
    "When a file does not come it tries for ever, and takes nothing else meanwhile.",
    "dequeue.goes-on-after-a-bad-one",
    at=("expired-file",),
)
class StopsAtABadOne(Consumer):
    def fetch(self, handout: Handout) -> Received | None:
        while not self.watch.over:
            received = super().fetch(replace(handout, until=float("inf")))
            if received is not None:
                return received
            self.watch.wait(self.patience.longest)
        return None


@wrong(
    "leases-the-whole-queue",
    "It takes all that waits before it works on the first, and works slowly.",
    "dequeue.leases-kept-few",
    at=("backlog",),
    besides=("acknowledgment.within-the-lease", "acknowledgment.newest-receipt"),
)
class LeasesTheWholeQueue(Consumer):
    def take(self) -> bool:
        taken = list(iter(self.dequeue, None))
        for each in taken:
            self.handle(replace(each, until=float("inf")))
            self.watch.wait(self.patience.lease / 20)
        return bool(taken)


# Downloads


@wrong(
    "makes-its-own-location",
    "It makes the URL of the file itself, out of what it thinks it knows.",
    "download.from-the-location",
    at=("export-package",),
    besides=("download.tried-again",),
)
class MakesItsOwnLocation(Connection):
    def places(self, location: str) -> list[Place]:
        return [replace(each, url=each.url.partition("&blob=")[0]) for each in super().places(location)]


@wrong(
    "stays-with-http",
    "It asks for the file as the location says, in clear text where the connector speaks TLS, without its token.",
    "download.https-for-http",
    at=("location-http",),
    besides=("download.tried-again", "dequeue.message-is-fetched"),
)
class StaysWithHttp(Connection):
    def places(self, location: str) -> list[Place]:
        return [Place(location, own=False)]


@wrong(
    "token-in-clear-text",
    "It asks for the file as the location says, in clear text, and its token goes along.",
    "transport.token-not-in-clear",
    "download.https-for-http",
    at=("location-http",),
    besides=("download.tried-again", "dequeue.message-is-fetched"),
)
class TokenInClearText(Connection):
    def places(self, location: str) -> list[Place]:
        return [Place(location, own=True)]

    def headers(self, place: Place, token: str | None) -> Pairs:
        return (("authorization", f"Bearer {self.token()}"),)


@wrong(
    "keeps-the-port",
    "It makes https of http and keeps the port 80 that stands beside it.",
    "download.port-that-answers",
    "dequeue.message-is-fetched",
    at=("location-http-80",),
    proxy=True,
    besides=("download.tried-again",),
)
class KeepsThePort(Connection):
    def places(self, location: str) -> list[Place]:
        return [Place(urlsplit(location)._replace(scheme="https").geturl(), own=True)]


@wrong(
    "downloads-without-token",
    "It believes that the location is all that a download needs.",
    "download.with-the-token",
    at=("export-package",),
    besides=("download.tried-again",),
)
class DownloadsWithoutToken(Connection):
    def places(self, location: str) -> list[Place]:
        return [replace(each, own=False) for each in super().places(location)]


@wrong(
    "gives-up-a-download",
    "When a download fails it never tries that message again.",
    "download.tried-again",
    at=("lost.download.before.status",),
)
class GivesUpADownload(Consumer):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._given_up: set[str | None] = set()

    def handle(self, handout: Handout) -> None:
        if handout.delivery.correlation not in self._given_up:
            super().handle(handout)

    def fetch(self, handout: Handout) -> Received | None:
        received = super().fetch(replace(handout, until=0.0))
        if received is None:
            self._given_up.add(handout.delivery.correlation)
        return received


# Acknowledgments


@wrong(
    "acknowledges-first",
    "It acknowledges what it takes, and then fetches it.",
    "acknowledgment.after-a-whole-download",
    at=("export-package",),
)
class AcknowledgesFirst(Consumer):
    def handle(self, handout: Handout) -> None:
        self.acknowledge(handout)
        if handout.delivery.has_file:
            received = self.fetch(handout)
            if received is not None:
                self.store(received, handout.delivery)


@wrong(
    "acknowledges-what-failed",
    "When the file does not come it acknowledges all the same.",
    "acknowledgment.after-a-whole-download",
    at=("lost.download.before.status", "lost.download.after.truncated"),
    besides=("download.tried-again",),
)
class AcknowledgesWhatFailed(Consumer):
    def handle(self, handout: Handout) -> None:
        if handout.delivery.has_file:
            received = self.fetch(replace(handout, until=0.0))
            if received is not None:
                self.store(received, handout.delivery)
        self.acknowledge(handout)


@wrong(
    "takes-half-a-file",
    "It keeps what came of a file that was cut short, and acknowledges it.",
    "acknowledgment.after-a-whole-download",
    at=("lost.download.after.truncated",),
    besides=("download.tried-again",),
)
class TakesHalfAFile(Consumer):
    def is_whole(self, answer: Answer, sink: Any) -> bool:
        return True

    def fetch(self, handout: Handout) -> Received | None:
        part = self.inbox / ".half.part"
        with part.open("w+b") as sink:
            for place in self.connection.places(handout.delivery.location or ""):
                answer = self.connection.download(place, sink)
                if 200 in (answer.status, answer.head):
                    return self._received(part, sink)
        return None


@wrong(
    "stores-later",
    "It acknowledges when the file has come, and then stores it.",
    "acknowledgment.after-storing",
    at=("export-package",),
)
class StoresLater(Consumer):
    def handle(self, handout: Handout) -> None:
        if not handout.delivery.has_file or self.is_known(handout.delivery):
            super().handle(handout)
            return
        received = self.fetch(handout)
        if received is not None:
            self.acknowledge(handout)
            self.watch.wait(0.2)
            self.store(received, handout.delivery)


@wrong(
    "decodes-the-file",
    "It takes the file's bytes for text, and stores what is left of them.",
    "acknowledgment.after-storing",
    at=("export-package",),
)
class DecodesTheFile(Consumer):
    def store(self, received: Received, delivery: Delivery) -> None:
        text = received.part.read_bytes().decode("utf-8", "replace")
        received.part.write_text(text, encoding="utf-8", newline="")
        super().store(received, delivery)


@wrong(
    "acknowledges-in-its-own-words",
    "Its acknowledgment has an ID and a status, and neither receipt nor CorrelationId.",
    "acknowledgment.says-what-dequeue-said",
    at=("export-package",),
    besides=("acknowledgment.whole-answer", "acknowledgment.every-received-one"),
)
class AcknowledgesInItsOwnWords(Consumer):
    def acknowledgment_of(self, delivery: Delivery) -> bytes:
        return json.dumps({"messageId": delivery.correlation, "status": "Success"}).encode()


@wrong(
    "mixes-receipts-up",
    "It acknowledges each message with the receipt of the one before.",
    "acknowledgment.says-what-dequeue-said",
    at=("export-package",),
    besides=("acknowledgment.whole-answer", "acknowledgment.every-received-one"),
)
class MixesReceiptsUp(Consumer):
    _before: str = "AgAAAAMAAAAAAAAAAAAAAAAAAAA="

    def acknowledgment_of(self, delivery: Delivery) -> bytes:
        body = json.dumps({**delivery.members, vocabulary.POP_RECEIPT: self._before}).encode()
        self._before = delivery.receipt or self._before
        return body


@wrong(
    "acknowledges-elsewhere",
    "It acknowledges on the import's activity what it took from the export's.",
    "acknowledgment.says-what-dequeue-said",
    at=("export-package",),
    besides=("acknowledgment.every-received-one",),
)
class AcknowledgesElsewhere(Reference):
    class CONSUMER(Consumer):
        def acknowledge(self, handout: Handout) -> bool:
            ask = wire.ack(str(uuid.uuid4()), self.acknowledgment_of(handout.delivery))
            return self.connection.call(vocabulary.ACK, ask).ok


@wrong(
    "three-members",
    "It acknowledges with three of the members that dequeue answered, as is known to be enough.",
    "acknowledgment.whole-answer",
    at=("export-package",),
)
class ThreeMembers(Consumer):
    def acknowledgment_of(self, delivery: Delivery) -> bytes:
        names = (vocabulary.CORRELATION_ID, vocabulary.POP_RECEIPT, vocabulary.DOWNLOAD_LOCATION)
        return json.dumps({name: delivery.members.get(name) for name in names}).encode()


@wrong(
    "never-acknowledges",
    "It knows again what it has, and never acknowledges any of it.",
    "acknowledgment.every-received-one",
    at=("export-package",),
)
class NeverAcknowledges(Consumer):
    def acknowledge(self, handout: Handout) -> bool:
        return False


@wrong(
    "acknowledges-too-late",
    "It works on what it has until the lease is over, and then acknowledges.",
    "acknowledgment.within-the-lease",
    at=("export-package",),
)
class AcknowledgesTooLate(Consumer):
    def acknowledge(self, handout: Handout) -> bool:
        self.watch.wait(1.2 * self.patience.lease)
        return super().acknowledge(replace(handout, until=float("inf")))


@wrong(
    "keeps-the-first-receipt",
    "When a message comes back it acknowledges with the receipt that it had the first time.",
    "acknowledgment.newest-receipt",
    at=("lost.ack.before.status",),
    besides=("acknowledgment.within-the-lease",),
)
class KeepsTheFirstReceipt(Consumer):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._first: dict[str | None, bytes] = {}

    def handle(self, handout: Handout) -> None:
        comes_back = handout.delivery.correlation in self._first
        self._first.setdefault(handout.delivery.correlation, handout.delivery.body)
        if comes_back:
            super().handle(handout)

    def acknowledgment_of(self, delivery: Delivery) -> bytes:
        return self._first[delivery.correlation]


@wrong(
    "acknowledges-once",
    "When an acknowledgment fails it leaves it at that, even when the message comes back.",
    "acknowledgment.retried",
    at=("lost.ack.before.status", "lost.ack.before.reset"),
)
class AcknowledgesOnce(Consumer):
    def handle(self, handout: Handout) -> None:
        if not self.is_known(handout.delivery):
            super().handle(handout)

    def acknowledge(self, handout: Handout) -> bool:
        ask = wire.ack(self.activity, self.acknowledgment_of(handout.delivery))
        return self.connection.call(vocabulary.ACK, ask).ok


@wrong(
    "acknowledges-twice",
    "It sends every acknowledgment once more, to be sure.",
    "acknowledgment.not-after-success",
    at=("export-package",),
)
class AcknowledgesTwice(Consumer):
    def acknowledge(self, handout: Handout) -> bool:
        accepted = super().acknowledge(handout)
        self.connection.call(vocabulary.ACK, wire.ack(self.activity, self.acknowledgment_of(handout.delivery)))
        return accepted


@wrong(
    "acknowledges-as-text",
    "It sends the acknowledgment as plain text.",
    "acknowledgment.as-json",
    at=("export-package",),
)
class AcknowledgesAsText(Connection):
    def call(self, operation: str, ask: Ask, **how: Any) -> Answer:
        if operation == vocabulary.ACK:
            ask = replace(ask, headers=(("content-type", "text/plain"),))
        return super().call(operation, ask, **how)


# What comes again, what has no file, what has expired


@wrong(
    "stores-what-comes-again",
    "It stores every delivery under a new name, and knows none again.",
    "redelivery.arrives-once",
    at=("lost.ack.before.reset", "lost.ack.after.reset"),
)
class StoresWhatComesAgain(Consumer):
    def is_known(self, delivery: Delivery) -> bool:
        return False

    def store(self, received: Received, delivery: Delivery) -> None:
        received.part.replace(self.inbox / f"{uuid.uuid4()}.zip")

    def acknowledge(self, handout: Handout) -> bool:
        ask = wire.ack(self.activity, self.acknowledgment_of(handout.delivery))
        return self.connection.call(vocabulary.ACK, ask).ok


@wrong(
    "crashes-without-a-file",
    "It falls over where a message names no location.",
    "zero-records.no-file-understood",
    at=("no-file",),
    besides=("dequeue.goes-on-after-a-bad-one",),
)
class CrashesWithoutAFile(Consumer):
    def on_no_file(self, handout: Handout) -> None:
        raise ValueError(f"there is nothing to parse in {handout.delivery.location!r}")


@wrong(
    "asks-for-null",
    "It asks for the file that a message without one does not have, at a URL that ends in null.",
    "zero-records.no-file-understood",
    at=("no-file",),
)
class AsksForNull(Consumer):
    def on_no_file(self, handout: Handout) -> None:
        path = f"/api/connector/download/{handout.delivery.location or 'null'}"
        self.connection.call(vocabulary.DOWNLOAD, Ask("GET", path))
        super().on_no_file(handout)


@wrong(
    "hammers-without-a-file",
    "It takes a message without a file for one whose file is not there yet, and asks again at once.",
    "zero-records.no-file-understood",
    at=("no-file under zero-records.no-file-answer=location-filled",),
    besides=("dequeue.goes-on-after-a-bad-one", "retention.expired-file-outlived"),
)
class HammersWithoutAFile(Consumer):
    def on_no_file(self, handout: Handout) -> None:
        location = urlsplit(handout.delivery.location or "")
        while not self.watch.over:
            self.connection.call(vocabulary.DOWNLOAD, Ask("GET", location.path, location.query))


@wrong(
    "stores-the-error",
    "It stores whatever a download answers, be it an error.",
    "retention.expired-file-outlived",
    at=("expired-file",),
    besides=("download.tried-again",),
)
class StoresTheError(Consumer):
    def fetch(self, handout: Handout) -> Received | None:
        part = self.inbox / ".whatever.part"
        location = urlsplit(handout.delivery.location or "")
        answer = self.connection.call(vocabulary.DOWNLOAD, Ask("GET", location.path, location.query))
        with part.open("w+b") as sink:
            sink.write(answer.body)
            return self._received(part, sink)


@wrong(
    "hammers-an-expired-file",
    "It asks for a file that is gone again and again, without a pause.",
    "retention.expired-file-outlived",
    at=("expired-file",),
    besides=("throttling.backs-off", "dequeue.goes-on-after-a-bad-one", "dequeue.message-is-fetched"),
)
class HammersAnExpiredFile(Consumer):
    def fetch(self, handout: Handout) -> Received | None:
        while not self.watch.over:
            received = super().fetch(handout)
            if received is not None:
                return received
        return None


# Throttling


@wrong(
    "ignores-retry-after",
    "It does not look at Retry-After.",
    "throttling.retry-after-seconds",
    "throttling.retry-after-date",
    at=("dequeue-throttled", "dequeue-throttled-by-date"),
)
class IgnoresRetryAfter(Connection):
    def retry_after(self, answer: Answer) -> float | None:
        return None


@wrong(
    "reads-retry-after-as-a-number",
    "It knows Retry-After as a number of seconds and not as a date.",
    "throttling.retry-after-date",
    at=("dequeue-throttled-by-date",),
)
class ReadsRetryAfterAsANumber(Connection):
    def retry_after(self, answer: Answer) -> float | None:
        return super().retry_after(answer) if (answer.header("retry-after") or "").isdecimal() else None


@wrong(
    "never-backs-off",
    "It tries again at once, as often as it fails.",
    "throttling.backs-off",
    at=("outage",),
    besides=("dequeue.empty-queue-not-hammered", "status.asked-at-a-calm-pace"),
)
class NeverBacksOff(Reference):
    @cached_property
    def patience(self) -> Patience:
        return replace(super().patience, first=0.001, longest=0.001)


# Tokens


@wrong(
    "token-for-something-else",
    "It asks for a token for another resource than the environment.",
    "authorization.token-for-the-environment",
    at=("export-package",),
    besides=("authorization.refusal-not-hammered",),
)
class TokenForSomethingElse(Connection):
    def __init__(self, base_url: str, credentials: Any, **named: Any) -> None:
        super().__init__(base_url, replace(credentials, resource="https://graph.example.invalid"), **named)


@wrong(
    "a-token-for-each-call",
    "It asks for a new token before every call.",
    "authorization.token-kept",
    at=("export-package",),
)
class ATokenForEachCall(Connection):
    def token(self) -> str | None:
        self._token = None
        return super().token()


@wrong(
    "keeps-a-refused-token",
    "It goes on with a token that was refused for as long as the token was said to live.",
    "authorization.renewed-after-401",
    at=("token-revoked",),
)
class KeepsARefusedToken(Connection):
    def _renews(self, refused: str) -> bool:
        return False


@wrong(
    "hammers-a-refusal",
    "Where the application is not allowed to it asks again at once, for as long as it takes.",
    "authorization.refusal-not-hammered",
    at=("not-on-the-policy",),
    besides=("throttling.backs-off",),
)
class HammersARefusal(Reference):
    @cached_property
    def patience(self) -> Patience:
        return replace(super().patience, first=0.001, longest=0.001)

    class CONSUMER(Consumer):
        def idle(self) -> None:
            self.watch.wait(0.005 if self.failures else self.patience.poll)


# The way there


@wrong(
    "token-to-another-host",
    "Its token goes wherever the location points.",
    "transport.token-to-own-host-only",
    at=("location-on-another-host",),
)
class TokenToAnotherHost(Connection):
    def place_of(self, url: str) -> Place | None:
        place = super().place_of(url)
        return None if place is None else replace(place, own=True)


@wrong(
    "token-to-where-it-is-sent",
    "Its token follows a redirect to another host.",
    "transport.token-to-own-host-only",
    at=("redirected-to-another-host",),
)
class TokenToWhereItIsSent(Connection):
    def follows(self, asked: Place, answer: Answer) -> Place | None:
        place = super().follows(asked, answer)
        return None if place is None else replace(place, own=True)


@wrong(
    "token-in-the-url",
    "It writes its token into the query, as access_token.",
    "transport.token-not-in-the-url",
    at=("export-package",),
)
class TokenInTheUrl(Connection):
    def call(self, operation: str, ask: Ask, **how: Any) -> Answer:
        query = "&".join(filter(None, (ask.query, f"access_token={quote(self.token() or '')}")))
        return super().call(operation, replace(ask, query=query), **how)


@wrong(
    "checks-no-certificate",
    "It speaks with whoever answers, whatever certificate is shown.",
    "transport.certificate-checked",
    at=("foreign-certificate",),
)
class ChecksNoCertificate(Connection):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._client = httpx.Client(verify=False, headers={"accept-encoding": "identity"})


@wrong(
    "stops-at-a-passing-fault",
    "It ends with an error at the first answer that is none.",
    "transport.passing-fault-outlived",
    at=("lost.dequeue.before.status", "lost.dequeue.before.reset", "lost.token.before.status"),
)
class StopsAtAPassingFault(Connection):
    def exchange(self, *given: Any, **named: Any) -> Answer:
        answer = super().exchange(*given, **named)
        if answer.status is None or answer.status >= 500:
            raise ConnectionError(answer.words)
        return answer


# Handing in


class _Rewriting(Producer):
    """Hands in something else than the file's bytes."""

    def send(self, file: Path) -> Answer:
        kind, body = self.body_of(file)
        ask = self.request(file)
        headers = (("content-type", kind), *(each for each in ask.headers if each[0] != "content-type"))
        return self.connection.call(vocabulary.ENQUEUE, replace(ask, headers=headers, body=body))

    def body_of(self, file: Path) -> tuple[str, bytes]:
        raise NotImplementedError


@wrong(
    "hands-in-a-form",
    "It wraps the file in a form of several parts.",
    "enqueue.raw-bytes",
    at=("import-file",),
    besides=("enqueue.every-file-handed-in",),
)
class HandsInAForm(_Rewriting):
    def body_of(self, file: Path) -> tuple[str, bytes]:
        head = f'--wrong\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n'
        return "multipart/form-data; boundary=wrong", head.encode() + file.read_bytes() + b"\r\n--wrong--\r\n"


@wrong(
    "hands-in-base64",
    "It writes the file in base64.",
    "enqueue.raw-bytes",
    at=("import-file",),
    besides=("enqueue.every-file-handed-in",),
)
class HandsInBase64(_Rewriting):
    def body_of(self, file: Path) -> tuple[str, bytes]:
        return "application/octet-stream", base64.b64encode(file.read_bytes())


@wrong(
    "hands-in-text",
    "It reads the file as text and writes it in another encoding, with other ends of lines.",
    "enqueue.raw-bytes",
    at=("import-file",),
    besides=("enqueue.every-file-handed-in",),
)
class HandsInText(_Rewriting):
    def body_of(self, file: Path) -> tuple[str, bytes]:
        lines = file.read_bytes().decode("latin-1").splitlines()
        return "text/plain; charset=utf-16", "\r\n".join(lines).encode("utf-16")


@wrong(
    "sends-the-rest-of-it",
    "When it sends a file again it goes on where the first try has ended, which is at the end of it.",
    "enqueue.whole-on-a-retry",
    at=("lost.enqueue.before.status",),
    besides=("enqueue.raw-bytes", "enqueue.every-file-handed-in"),
)
class SendsTheRestOfIt(_Rewriting):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._open: dict[str, IO[bytes]] = {}

    def body_of(self, file: Path) -> tuple[str, bytes]:
        if file.name not in self._open:
            self._open[file.name] = file.open("rb")
        return "application/octet-stream", self._open[file.name].read()


@wrong(
    "names-no-entity",
    "It hands in files without saying of which entity they are.",
    "enqueue.entity-named",
    at=("import-file",),
)
class NamesNoEntity(Producer):
    def request(self, file: Path) -> Ask:
        return replace(super().request(file), query="")


@wrong(
    "encodes-the-entity-twice",
    "It percent-encodes the entity's name, and then once more.",
    "enqueue.entity-named",
    at=("import-file",),
)
class EncodesTheEntityTwice(Producer):
    def request(self, file: Path) -> Ask:
        return replace(super().request(file), query=f"entity={quote(quote(self.entity or ''))}")


@wrong(
    "names-the-collection",
    "It names the entity as OData does, in one word.",
    "enqueue.entity-named",
    at=("import-file",),
)
class NamesTheCollection(Producer):
    def request(self, file: Path) -> Ask:
        name = "".join(each.capitalize() for each in (self.entity or "").split())
        return replace(super().request(file), query=f"entity={name}")


@wrong(
    "gives-up-a-file",
    "It takes one failed enqueue for the end of a file.",
    "enqueue.every-file-handed-in",
    at=("lost.enqueue.before.status",),
)
class GivesUpAFile(Producer):
    def resends(self, answer: Answer) -> bool:
        return False

    def is_refused(self, answer: Answer) -> bool:
        return True


@wrong(
    "sends-blindly-again",
    "When an answer is lost it hands the file in again, whether it was taken or not.",
    "enqueue.no-blind-resend",
    at=("lost.enqueue.after.reset", "lost.enqueue.after.timeout"),
)
class SendsBlindlyAgain(Producer):
    def is_in_doubt(self, answer: Answer) -> bool:
        return False


@wrong(
    "forgets-what-was-taken",
    "It hands in whatever lies in the outbox, also what was processed.",
    "enqueue.accepted-file-not-repeated",
    at=("import-file",),
)
class ForgetsWhatWasTaken(Producer):
    def hand_in_all(self) -> None:
        for file in self.files():
            version = "the same"
            entry = self.memory.handed_in(file.name, version)
            if entry is None or entry.stage == TOLD:
                self.hand_in(file, version)


@wrong(
    "repeats-what-was-refused",
    "It hands a file in again and again that was refused for good.",
    "enqueue.refusal-not-repeated",
    at=("import-too-large",),
)
class RepeatsWhatWasRefused(Reference):
    @cached_property
    def patience(self) -> Patience:
        return replace(super().patience, longest=0.5)

    class PRODUCER(Producer):
        def is_refused(self, answer: Answer) -> bool:
            return False


@wrong(
    "hands-in-backwards",
    "It hands the files in with the last one first.",
    "ordering.files-in-their-order",
    at=("in-order",),
)
class HandsInBackwards(Producer):
    def files(self) -> Iterator[Path]:
        return reversed(list(super().files()))


@wrong(
    "overtakes",
    "On a job that takes files in order it goes on with the next while one has to wait.",
    "ordering.files-in-their-order",
    at=("in-order-after-a-failure",),
)
class Overtakes(Reference):
    class PRODUCER(Producer):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named | {"in_order": False})

        def resends(self, answer: Answer) -> bool:
            return False


# What became of it


@wrong(
    "takes-200-for-the-end",
    "It says that a file was processed when the enqueue was answered with 200.",
    "status.success-only-when-processed",
    "status.asked-to-an-end",
    at=("import-unreadable",),
    besides=("status.failure-noticed", "execution-errors.fetched-on-failure"),
)
class TakesAnAnswerForTheEnd(Producer):
    def look_after(self, entry: HandedIn) -> None:
        self.tell(entry, PROCESSED)


@wrong(
    "asks-once",
    "It asks for the status once, and leaves it at that.",
    "status.asked-to-an-end",
    at=("import-waits-for-the-batch",),
)
class AsksOnce(Producer):
    def look_after(self, entry: HandedIn) -> None:
        end = self.ends(self.status_of(entry))
        if end is None:
            self.memory.note(replace(entry, stage=TOLD))
        else:
            self.tell(entry, end)


@wrong(
    "knows-two-ends",
    "It takes Processed and ProcessedWithErrors for the only ends.",
    "status.end-recognised",
    at=("import-unreadable",),
    besides=("status.failure-noticed", "status.given-up-in-the-end"),
)
class KnowsTwoEnds(Reference):
    @cached_property
    def patience(self) -> Patience:
        return replace(super().patience, status_limit=1e9)

    class PRODUCER(Producer):
        def ends(self, state: str | None) -> str | None:
            known = {vocabulary.PROCESSED, vocabulary.PROCESSED_WITH_ERRORS}
            return super().ends(state) if state in known else None


@wrong(
    "knows-one-spelling",
    "It knows the end of a failed post-processing in one spelling only.",
    "status.end-recognised",
    at=("import-post-processing-failed",),
    besides=("status.failure-noticed", "status.given-up-in-the-end"),
)
class KnowsOneSpelling(Reference):
    @cached_property
    def patience(self) -> Patience:
        return replace(super().patience, status_limit=1e9)

    class PRODUCER(Producer):
        def status_of(self, entry: HandedIn) -> str | None:
            answer = self.connection.call(vocabulary.MESSAGE_STATUS, wire.message_status(str(entry.message)))
            state = wire.odata_value(answer)
            return state if state in vocabulary.STATUS_CODES and state != vocabulary.POSTPROCESSING_FAILED else None


@wrong(
    "asks-without-a-pause",
    "It asks for the status as fast as it can.",
    "status.asked-at-a-calm-pace",
    at=("import-waits-for-the-batch",),
)
class AsksWithoutAPause(Producer):
    def run(self) -> None:
        self.recall()
        while not self.watch.over:
            self.hand_in_all()
            for entry in self.memory.at(ACCEPTED, FAILED):
                self.look_after(entry)
            self.watch.wait(0.001)


@wrong(
    "waits-without-end",
    "It asks for ever for a message that never ends, and hardly pauses.",
    "status.given-up-in-the-end",
    at=("import-stuck",),
    besides=("status.asked-at-a-calm-pace",),
)
class WaitsWithoutEnd(Reference):
    @cached_property
    def patience(self) -> Patience:
        return replace(super().patience, status_limit=1e9, status=0.01)

    class PRODUCER(Producer):
        def pause_after(self, entry: HandedIn) -> float:
            return self.patience.status


@wrong(
    "takes-errors-for-success",
    "It takes ProcessedWithErrors for a success.",
    "status.success-only-when-processed",
    at=("import-bad-records",),
    besides=("status.failure-noticed", "execution-errors.fetched-on-failure", "execution-errors.told"),
)
class TakesErrorsForSuccess(Producer):
    def ends(self, state: str | None) -> str | None:
        return PROCESSED if state == vocabulary.PROCESSED_WITH_ERRORS else super().ends(state)


@wrong(
    "keeps-failures-to-itself",
    "It says nothing of a message that failed.",
    "status.failure-noticed",
    at=("import-unreadable", "import-bad-records"),
    besides=("execution-errors.told",),
)
class KeepsFailuresToItself(Producer):
    def write(self, outcome: Any) -> None:
        if outcome.outcome == PROCESSED:
            super().write(outcome)


@wrong(
    "asks-by-file-name",
    "It asks for the status with the name of the file.",
    "status.message-id-as-given",
    at=("import-file",),
    besides=("status.asked-to-an-end",),
)
class AsksByTheFilesName(Producer):
    def status_of(self, entry: HandedIn) -> str | None:
        return super().status_of(replace(entry, message=entry.file))


@wrong(
    "asks-by-the-activity",
    "It asks for the status with the ID of the recurring data job.",
    "status.message-id-as-given",
    at=("import-file",),
    besides=("status.asked-to-an-end",),
)
class AsksByTheActivity(Producer):
    def status_of(self, entry: HandedIn) -> str | None:
        return super().status_of(replace(entry, message=self.activity))


# Errors


@wrong(
    "takes-the-message-for-the-execution",
    "It asks for a message's errors with the message's own ID, and takes the empty list for none.",
    "execution-errors.not-by-message-id",
    at=("import-bad-records",),
    besides=("execution-errors.fetched-on-failure", "execution-errors.told"),
)
class TakesTheMessageForTheExecution(Producer):
    def execution_of(self, entry: HandedIn) -> str | None:
        return entry.message


@wrong(
    "takes-zeros-for-an-execution",
    "It takes an execution ID of zeros for one, and asks for its errors.",
    "execution-errors.zero-id-waited-out",
    at=("import-unreadable", "import-waits-for-the-batch"),
    besides=("execution-errors.told", "execution-errors.fetched-on-failure"),
)
class TakesZerosForAnExecution(Producer):
    def execution_of(self, entry: HandedIn) -> str | None:
        answer = self.connection.call(vocabulary.EXECUTION_ID, wire.execution_id(str(entry.message)))
        return wire.odata_value(answer)


@wrong(
    "asks-for-no-errors",
    "It reports a failure and does not ask why.",
    "execution-errors.fetched-on-failure",
    at=("import-bad-records",),
    besides=("execution-errors.told",),
)
class AsksForNoErrors(Producer):
    def look_after(self, entry: HandedIn) -> None:
        state = self.status_of(entry) if entry.stage == ACCEPTED else None
        if self.ends(state) == FAILED:
            self.tell(replace(entry, state=state), FAILED)
        else:
            super().look_after(entry)


@wrong(
    "names-the-parameter-wrongly",
    "It asks for the execution with messageId, where the name begins with an underline.",
    "execution-errors.fetched-on-failure",
    at=("import-bad-records",),
    besides=("execution-errors.told",),
)
class NamesTheParameterWrongly(Producer):
    def execution_of(self, entry: HandedIn) -> str | None:
        ask = wire.execution_id(str(entry.message))
        body = json.dumps({"messageId": entry.message}).encode()
        return wire.execution(self.connection.call(vocabulary.EXECUTION_ID, replace(ask, body=body)))


@wrong(
    "drops-the-errors",
    "It fetches the errors, and reports that there was one.",
    "execution-errors.told",
    at=("import-bad-records",),
)
class DropsTheErrors(Producer):
    def tell(self, entry: HandedIn, outcome: str, *errors: str) -> HandedIn:
        return super().tell(entry, outcome)


@wrong(
    "trusts-the-inner-json",
    "It reads the list of errors as JSON, which it is not always, and takes what it cannot read for no errors.",
    "execution-errors.told",
    at=("import-bad-records under execution-errors.value-form=malformed",),
)
class TrustsTheInnerJson(Producer):
    def errors_of(self, execution: str) -> list[str] | None:
        answer = self.connection.call(vocabulary.EXECUTION_ERRORS, wire.execution_errors(execution))
        try:
            listed = json.loads(wire.odata_value(answer))
        except (TypeError, ValueError):
            return []
        return [each["ErrorMessage"] for each in listed]

    def tell(self, entry: HandedIn, outcome: str, *errors: str) -> HandedIn:
        return super().tell(entry, outcome, *errors[1:])  # without the name of the status


def run(name: str) -> int:
    """Be the wrong version of this name, as a subject."""
    return main(WRONG[name].reference)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in WRONG:
        sys.exit(f"usage: python wrong.py {'|'.join(WRONG)}")
    sys.exit(run(sys.argv[1]))
