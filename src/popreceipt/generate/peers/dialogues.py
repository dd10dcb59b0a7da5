"""How each server is spoken to: put a message, take one and confirm it, fill the queue, empty it.

Requests are made as bytes once and sent many times. Every answer is looked at: one that is no success ends the
measurement, since failures are quick and must not count as speed.
"""

import base64
import hashlib
import hmac
import json
import re
import urllib.request
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

from popreceipt.generate.peers.load import Script, Unanswered

PAYLOAD: Final = 2048
"""Bytes of a message."""

LEASE: Final = 1800
"""Seconds for which a taken message stays hidden, everywhere."""


_JSON = ("content-type", "application/json")


class Work:
    """So many pieces of work, shared by all connections of a burst."""

    def __init__(self, pieces: int) -> None:
        self._left = pieces

    def take(self) -> bool:
        """Whether there was one left; it is the caller's now."""
        self._left -= 1
        return self._left >= 0


class Dialogue(Protocol):
    """One server's protocol."""

    def ready(self) -> None:
        """Make what the measurements need: a token, queues. Called once, when the server answers."""

    def put(self, work: Work) -> Script:
        """Put a message a piece of work."""

    def fill(self, work: Work) -> Script:
        """Put what `take` will find; not measured."""

    def take(self, work: Work) -> Script:
        """Take a message and confirm it, a piece of work: two requests."""

    def clear(self) -> None:
        """Leave nothing waiting."""


def repeated(request: bytes, expected: int, work: Work) -> Script:
    """The same request again and again."""

    def script(status: int, body: bytes) -> bytes | None:
        if status:
            _expect(expected, status, body)
        return request if work.take() else None

    return script


def _expect(expected: int, status: int, body: bytes) -> None:
    if status != expected:
        raise Unanswered(f"Answered with {status} instead of {expected}: {body[:200]!r}.")


def _http(verb: str, target: str, host: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    lines = [f"{verb} {target} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body or verb in {"POST", "PUT"}:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def ask(verb: str, url: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> bytes:
    """One call outside the measurements."""
    request = urllib.request.Request(url, body, dict(headers), method=verb)
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
    return content


class Emulator:
    """The emulator: enqueue; dequeue and acknowledge what its control plane has produced.

    With `download` the file is fetched between the two, as middleware would; peers send it with the message.
    """

    def __init__(self, base_url: str, *, download: bool = False) -> None:
        self._base_url = base_url
        self._host = base_url.removeprefix("http://")
        self._control = f"{base_url}/_control/v1"
        self._download = download

    def ready(self) -> None:
        """Get a token and an activity of either direction. The import has no recurrence: nothing is processed."""
        identity = json.loads(ask("GET", f"{self._control}/world"))["identity"]
        form = {
            "grant_type": "client_credentials",
            "scope": f"{identity['resource']}/.default",
            **identity["clients"]["authorised"],
        }
        issued = json.loads(ask("POST", identity["token_url"], (), urlencode(form).encode("ascii")))
        self._bearer = ("authorization", f"Bearer {issued['access_token']}")
        self._import = self._activity({"direction": "import", "processing_recurrence_minutes": None})
        self._export = self._activity({"direction": "export"})
        produce = f"/_control/v1/activities/{self._export}/produce"
        self._produce = _http("POST", produce, self._host, (), b'{"records":1}')
        enqueue = f"/api/connector/enqueue/{self._import}?entity=Customer%20groups"
        self._enqueue = _http("POST", enqueue, self._host, (self._bearer,), customer_groups(PAYLOAD))
        self._dequeue = _http("GET", f"/api/connector/dequeue/{self._export}", self._host, (self._bearer,))
        # What follows, its length included, is what the dequeue has answered.
        begun = _http("POST", f"/api/connector/ack/{self._export}", self._host, (self._bearer, _JSON))
        self._ack = begun.replace(b"content-length: 0\r\n\r\n", b"")

    def _activity(self, settings: dict[str, Any]) -> str:
        made = json.loads(ask("POST", f"{self._control}/activities", (), json.dumps(settings).encode("ascii")))
        identifier: str = made["id"]
        return identifier

    def put(self, work: Work) -> Script:
        """Enqueue."""
        return repeated(self._enqueue, 200, work)

    def fill(self, work: Work) -> Script:
        """Let an export run with one record."""
        return repeated(self._produce, 200, work)

    def take(self, work: Work) -> Script:
        """Dequeue, download where that is asked for, and send the answer of the dequeue back as it came."""
        step, offered = "", b""

        def script(status: int, body: bytes) -> bytes | None:
            nonlocal step, offered
            if status:
                _expect(200, status, body)
            if step == "dequeue":
                offered = body
                step = "download" if self._download else "ack"
            else:
                step = "ack" if step == "download" else "dequeue"
            if step == "download":
                return self._download_of(offered)
            if step == "ack":
                return b"%bcontent-length: %d\r\n\r\n%b" % (self._ack, len(offered), offered)
            return self._dequeue if work.take() else None

        return script

    def _download_of(self, offered: bytes) -> bytes:
        location: str = json.loads(offered)["DownloadLocation"]
        _, _, target = location.partition(f"//{self._host}")
        return _http("GET", target, self._host, (self._bearer,))

    def process(self, expected: int) -> None:
        """Let an import run take what was enqueued and process it to its end; the clock must be manual."""
        taken = json.loads(ask("POST", f"{self._control}/activities/{self._import}/process", (), b"{}"))["processed"]
        if taken != expected:
            raise Unanswered(f"A run took {taken} messages instead of {expected}.")
        ask("POST", f"{self._control}/clock", (), b'{"advance_seconds":5}')

    def import_file(self, content: bytes) -> None:
        """Enqueue one file and process it to its end; the clock must be manual."""
        url = f"{self._base_url}/api/connector/enqueue/{self._import}?entity=Customer%20groups"
        self._enqueued: str = json.loads(ask("POST", url, (self._bearer,), content))
        self.process(1)

    def has_processed(self, records: int) -> None:
        """Make sure that the file of `import_file` was processed, with so many good records."""
        url = f"{self._base_url}/api/connector/jobstatus/{self._import}?jobId={self._enqueued}"
        (detail,) = json.loads(ask("GET", url, (self._bearer,)))["ExecutionDetail"]
        if (detail["TargetRecords"], detail["TargetErrorCount"]) != (records, 0):
            raise Unanswered(f"Of {records} records the import says: {detail}.")

    def export_file(self, records: int) -> None:
        """Let an export run with so many records."""
        body = json.dumps({"records": records}).encode("ascii")
        produced = json.loads(ask("POST", f"{self._control}/activities/{self._export}/produce", (), body))
        if produced["records"] != records or not produced["uploaded"]:
            raise Unanswered(f"An export of {records} records says: {produced}.")

    def clear(self) -> None:
        """Clean up both activities' messages, whatever their age."""
        for activity in (self._import, self._export):
            ask("POST", f"{self._control}/activities/{activity}/cleanup", (), b'{"olderThanDays":0}')


def customer_groups(size: int) -> bytes:
    """A CSV of so many bytes that the entity Customer groups takes: one record, whose last column may be long."""
    begun = b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\nBENCH,Customers of the benchmark,"
    return begun + b"x" * (size - len(begun) - 1) + b"\n"


_AZURITE_ACCOUNT: Final = "devstoreaccount1"
# Azurite's published development key: every installation has it.
_AZURITE_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite:
    """Azurite's queue service: put message; get messages and delete message, under an account's signature."""

    def __init__(self, base_url: str) -> None:
        self._host = base_url.removeprefix("http://")
        self._queue = f"/{_AZURITE_ACCOUNT}/bench"
        self._signature = _shared_access_signature()

    def ready(self) -> None:
        """Create the queue."""
        ask("PUT", f"http://{self._host}{self._queue}?{self._signature}", (), b"")
        # Clients of Azure's queues send text; base64 of three quarters as many bytes has the size of ours.
        text = base64.b64encode(b"x" * (PAYLOAD * 3 // 4))
        body = b"<QueueMessage><MessageText>%s</MessageText></QueueMessage>" % text
        self._put = _http(
            "POST",
            f"{self._queue}/messages?{self._signature}",
            self._host,
            (("content-type", "application/xml"),),
            body,
        )
        self._get = _http(
            "GET", f"{self._queue}/messages?numofmessages=1&visibilitytimeout={LEASE}&{self._signature}", self._host
        )

    def put(self, work: Work) -> Script:
        """Put message."""
        return repeated(self._put, 201, work)

    def fill(self, work: Work) -> Script:
        """Put message."""
        return repeated(self._put, 201, work)

    def take(self, work: Work) -> Script:
        """Get one message, delete it."""
        taken = False

        def script(status: int, body: bytes) -> bytes | None:
            nonlocal taken
            if taken:
                taken = False
                _expect(200, status, body)
                return self._delete_of(body)
            if status:
                _expect(204, status, body)
            taken = work.take()
            return self._get if taken else None

        return script

    def _delete_of(self, body: bytes) -> bytes:
        found = _AZURITE_MESSAGE.search(body)
        if found is None:
            raise Unanswered(f"A get found no message: {body[:200]!r}.")
        identifier, receipt = (each.decode("ascii") for each in found.groups())
        target = f"{self._queue}/messages/{identifier}?popreceipt={quote(receipt, safe='')}&{self._signature}"
        return _http("DELETE", target, self._host)

    def clear(self) -> None:
        """Clear messages."""
        ask("DELETE", f"http://{self._host}{self._queue}/messages?{self._signature}")


_AZURITE_MESSAGE = re.compile(rb"<MessageId>([^<]+)</MessageId>.*<PopReceipt>([^<]+)</PopReceipt>", re.DOTALL)


def _shared_access_signature() -> str:
    """An account's shared access signature for queues ("Create an account SAS"), good for years."""
    fields = {"sv": "2021-12-02", "ss": "q", "srt": "sco", "sp": "rwdlacup", "se": "2099-01-01T00:00:00Z"}
    order = (
        _AZURITE_ACCOUNT,
        fields["sp"],
        fields["ss"],
        fields["srt"],
        "",
        fields["se"],
        "",
        "",
        fields["sv"],
        "",
        "",
    )
    key = base64.b64decode(_AZURITE_KEY)
    digest = hmac.new(key, "\n".join(order).encode("utf-8"), hashlib.sha256).digest()
    return urlencode({**fields, "sig": base64.b64encode(digest).decode("ascii")})


_RECEIPT_HANDLE = re.compile(rb'"ReceiptHandle":"([^"\\]+)"')


class Sqs:
    """fauxqs: SendMessage; ReceiveMessage and DeleteMessage, in the JSON protocol of SQS."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._host = base_url.removeprefix("http://")

    def ready(self) -> None:
        """Create the queue."""
        made = ask("POST", self._base_url, self._headers("CreateQueue"), b'{"QueueName":"bench"}')
        self._url: str = json.loads(made)["QueueUrl"]
        # Base64 as with Azurite, so that the same text goes over the wire.
        text = base64.b64encode(b"x" * (PAYLOAD * 3 // 4)).decode("ascii")
        self._send = self._call("SendMessage", {"QueueUrl": self._url, "MessageBody": text})
        asked = {"QueueUrl": self._url, "MaxNumberOfMessages": 1, "VisibilityTimeout": LEASE, "WaitTimeSeconds": 0}
        self._receive = self._call("ReceiveMessage", asked)
        self._delete: dict[int, bytes] = {}

    def put(self, work: Work) -> Script:
        """SendMessage."""
        return repeated(self._send, 200, work)

    def fill(self, work: Work) -> Script:
        """SendMessage."""
        return repeated(self._send, 200, work)

    def take(self, work: Work) -> Script:
        """ReceiveMessage, DeleteMessage."""
        taken = False

        def script(status: int, body: bytes) -> bytes | None:
            nonlocal taken
            if status:
                _expect(200, status, body)
            if taken:
                taken = False
                return self._delete_of(body)
            taken = work.take()
            return self._receive if taken else None

        return script

    def _delete_of(self, body: bytes) -> bytes:
        found = _RECEIPT_HANDLE.search(body)
        if found is None:
            raise Unanswered(f"A receive found no message: {body[:200]!r}.")
        # All handles are of one length, so the head is always the same.
        content = b'{"QueueUrl":"%b","ReceiptHandle":"%b"}' % (self._url.encode("ascii"), found[1])
        if len(content) not in self._delete:
            whole = _http("POST", "/", self._host, self._headers("DeleteMessage"), content)
            self._delete[len(content)] = whole.removesuffix(content)
        return self._delete[len(content)] + content

    def clear(self) -> None:
        """PurgeQueue."""
        ask("POST", self._base_url, self._headers("PurgeQueue"), json.dumps({"QueueUrl": self._url}).encode("ascii"))

    def _call(self, action: str, value: dict[str, Any]) -> bytes:
        return _http("POST", "/", self._host, self._headers(action), json.dumps(value).encode("ascii"))

    def _headers(self, action: str) -> Sequence[tuple[str, str]]:
        # fauxqs reads the region from the credential and checks no signature.
        signed = (
            "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
        )
        return (
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", f"AmazonSQS.{action}"),
            ("authorization", signed),
        )
