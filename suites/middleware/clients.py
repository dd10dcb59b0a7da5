"""Clients that exist, as far as the wire can tell: each does what its code, its documentation or its users show.

Run as `python clients.py NAME`. None of their code is here, only their manners: which calls they make in which order,
what they send, what they take for an end, and what stops them. Where a client waits seconds between two questions it
waits a fraction of them here, as the lease is a fraction of half an hour. Each class says where its manners were seen.

A client whose job pauses until somebody resumes it is a process here that ends with 1; a script that a schedule starts
anew whatever it said is one that ends with 0.
"""

import json
import os
import shutil
import signal
import ssl
import sys
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote, quote_plus, urlencode

import httpx

PAUSE: Final = 0.5
"""Real seconds between two looks of a client that waits."""

ZERO: Final = "00000000-0000-0000-0000-000000000000"


class Stopped(Exception):
    """The client cannot go on."""


class Client:
    """What they share: an environment, a token, folders. Everything that tells them apart is in the classes below."""

    token_version: ClassVar[int] = 2
    resource_ends_in: ClassVar[str] = ""
    one_run: ClassVar[bool] = False
    """Whether it is a script that a schedule starts, rather than a service."""
    stops_for_good: ClassVar[bool] = False
    """Whether nothing starts it again where it cannot go on."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.environment = environment
        self.base = environment["POPRECEIPT_BASE_URL"].rstrip("/")
        self.exports = environment.get("POPRECEIPT_EXPORT_ACTIVITY")
        self.imports = environment.get("POPRECEIPT_IMPORT_ACTIVITY")
        self.entity = environment.get("POPRECEIPT_ENTITY", "")
        self.of_packages = environment.get("POPRECEIPT_IMPORT_TYPE") == "package"
        self.inbox = Path(environment["POPRECEIPT_INBOX"])
        self.outbox = Path(environment["POPRECEIPT_OUTBOX"])
        authority = environment.get("POPRECEIPT_CA_FILE")
        patience = float(environment.get("POPRECEIPT_LEASE_SECONDS", "60"))
        self.wire = httpx.Client(timeout=patience, verify=_trusting(authority))
        self.ended = threading.Event()
        self._token: str | None = None
        self._stored = 0

    # The run

    def run(self) -> None:
        """Pull and push until told to end, or once."""
        while not self.ended.is_set():
            if self.exports:
                self.pull()
            if self.imports:
                self.push()
                self.follow()
            if self.one_run:
                return
            self.ended.wait(PAUSE)

    def pull(self) -> None:
        """Take what waits."""

    def push(self) -> None:
        """Hand in what lies in the outbox; what was handed in is remembered and left where it is."""
        for file in sorted(each for each in self.outbox.iterdir() if each.is_file()):
            if (self.kept("messages") / file.name).exists():
                continue
            message = self.hand_in(file)
            if message is not None:
                (self.kept("messages") / file.name).write_text(message, encoding="utf-8")

    def hand_in(self, file: Path) -> str | None:
        """Hand in one file; its message's ID, or None."""
        raise NotImplementedError

    def follow(self) -> None:
        """Ask for each message that was handed in, once, and report its end."""
        for file in sorted(self.kept("messages").iterdir()):
            if (self.kept("ended") / file.name).exists():
                continue
            message = file.read_text(encoding="utf-8")
            outcome = self.outcome(message)
            if outcome is not None:
                self.report(file.name, message, outcome, self.errors(message) if outcome == "failed" else [])

    def outcome(self, message: str) -> str | None:
        """`processed` or `failed`; None as long as the client takes it for unfinished."""
        raise NotImplementedError

    def errors(self, message: str) -> list[str]:  # noqa: ARG002 - most of them ask no further
        """The errors of a failed message."""
        return []

    # What it sends

    def token(self) -> str:
        """A token, asked for once in a run."""
        if self._token is None:
            resource = self.environment["POPRECEIPT_RESOURCE"].rstrip("/") + self.resource_ends_in
            form = {
                "grant_type": "client_credentials",
                "client_id": self.environment["POPRECEIPT_CLIENT_ID"],
                "client_secret": self.environment["POPRECEIPT_CLIENT_SECRET"],
            }
            if self.token_version == 1:
                answer = self.wire.post(self.environment["POPRECEIPT_TOKEN_URL_V1"], data=form | {"resource": resource})
            else:
                form |= {"scope": f"{resource}/.default"}
                answer = self.wire.post(self.environment["POPRECEIPT_TOKEN_URL"], data=form)
            if not answer.is_success:
                raise Stopped(f"no token: {answer.status_code}")
            self._token = str(answer.json()["access_token"])
        return self._token

    def send(
        self, method: str, url: str, body: bytes | None = None, follow: bool = False, **headers: str
    ) -> httpx.Response:
        """One request with the token. Underlines in the headers' names stand for hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["authorization"] = f"Bearer {self.token()}"
        return self.wire.request(method, url, content=body, headers=sent, follow_redirects=follow)

    def connector(self, operation: str, activity: str | None, query: str = "") -> str:
        """The URL of a connector call."""
        return f"{self.base}/api/connector/{operation}/{activity}{query}"

    def action(self, name: str, parameters: Mapping[str, str] | str) -> Any:
        """The value that an OData action answers with; None where it is refused."""
        body = parameters if isinstance(parameters, str) else json.dumps(parameters)
        url = f"{self.base}/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.{name}"
        answer = self.send("POST", url, body.encode(), content_type="application/json", accept="application/json")
        return answer.json().get("value") if answer.is_success else None

    def jobstatus(self, message: str, parameter: str = "jobId") -> Any:
        """The state that jobstatus tells; None where it tells none."""
        answer = self.send("GET", self.connector("jobstatus", self.imports, f"?{parameter}={message}"))
        detail = answer.json() if answer.is_success else None
        return detail["DataJobStatus"]["DataJobState"] if detail and detail.get("DataJobStatus") else None

    def at_home(self, location: str) -> str:
        """A location with the connector's own scheme and port.

        A client that clears the port of an https URL means the usual one, which here is that of the base URL.
        """
        url, home = httpx.URL(location), httpx.URL(self.base)
        return str(url.copy_with(scheme=home.scheme, port=home.port))

    # What it keeps

    def store(self, content: bytes) -> Path:
        """Keep a file under a name made of the time and a number, since the answer names none."""
        self._stored += 1
        path = self.inbox / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{self._stored}.zip"
        half = path.with_suffix(".part")
        half.write_bytes(content)
        return half.rename(path)

    def kept(self, name: str) -> Path:
        """A folder of its own, below the working directory."""
        folder = Path.cwd() / name
        folder.mkdir(exist_ok=True)
        return folder

    def report(self, file: str, message: str | None, outcome: str, errors: list[str]) -> None:
        """Say what became of a file, once."""
        line = json.dumps({"file": file, "messageId": message, "outcome": outcome, "errors": errors})
        with Path(self.environment["POPRECEIPT_REPORT"]).open("a", encoding="utf-8") as report:
            report.write(line + "\n")
        (self.kept("ended") / file).touch()


class Echoing(Client):
    """Clients that take a message, keep its file and acknowledge with the whole answer of the dequeue."""

    def pull(self) -> None:
        while True:
            answer = self.dequeue()
            if answer.status_code == 204 or not answer.content.strip():
                return
            if not answer.is_success:
                raise Stopped(f"dequeue: {answer.status_code}")
            self.take(answer)

    def dequeue(self) -> httpx.Response:
        """One dequeue."""
        return self.send("GET", self.connector("dequeue", self.exports))

    def take(self, answer: httpx.Response) -> None:
        """Download, keep and acknowledge one message."""
        said = answer.json()
        if said["DownloadLocation"]:
            file = self.send("GET", self.at_home(said["DownloadLocation"]), follow=True)
            if not file.is_success:
                _tell(f"download: {file.status_code}")
                return
            self.store(file.content)
        self.acknowledge(answer.content)

    def acknowledge(self, body: bytes) -> httpx.Response:
        """Acknowledge with this body."""
        return self.send("POST", self.connector("ack", self.exports), body, content_type="application/json")


class Scheduler(Client):
    """microsoft/Recurring-Integrations-Scheduler, 3.5: dequeues until 204, and only then downloads and acknowledges.

    Only 204 is an empty queue; any other answer than 200 ends the job, and so does a location that is null (issue 71)
    or a 502 (issues 54 and 142). It acknowledges with three members, the location changed; where that fails the file
    goes to a folder for errors. An upload that fails goes there too, without another try (issue 157). It polls
    jobstatus, and asks for a message's errors with the message's own ID.
    """

    stops_for_good = True

    def pull(self) -> None:
        messages = []
        while (answer := self.send("GET", self.connector("dequeue", self.exports))).status_code != 204:
            if answer.status_code != 200:
                raise Stopped(f"dequeue: {answer.status_code}")
            messages.append(answer.json())
        for each in messages:
            location = self.at_home(each["DownloadLocation"])
            file = self.send("GET", location)
            if file.status_code != 200:
                raise Stopped(f"download: {file.status_code}")
            stored = self.store(file.content)
            three = {
                "CorrelationId": each["CorrelationId"],
                "PopReceipt": each["PopReceipt"],
                "DownloadLocation": location,
            }
            acked = self.send(
                "POST",
                self.connector("ack", self.exports),
                json.dumps(three).encode(),
                content_type="application/json; charset=utf-8",
                accept="application/json",
            )
            if not acked.is_success:
                _tell(f"acknowledgment: {acked.status_code}")
                shutil.move(stored, self.kept("errors") / stored.name)

    def hand_in(self, file: Path) -> str | None:
        query = "" if self.of_packages else f"?entity={quote_plus(self.entity)}"
        url = self.connector("enqueue", self.imports, query)
        answer = self.send("POST", url, file.read_bytes(), x_ms_dyn_externalidentifier=quote(file.name))
        if answer.is_success:
            return answer.text.replace('"', "")
        _tell(f"upload: {answer.status_code}")
        shutil.move(file, self.kept("errors") / file.name)
        self.report(file.name, None, "failed", [f"upload: {answer.status_code}"])
        return None

    def outcome(self, message: str) -> str | None:
        state = self.jobstatus(message)
        if state in {"PostProcessError", "PreProcessError", "ProcessedWithErrors"}:
            return "failed"
        return "processed" if state == "Processed" else None

    def errors(self, message: str) -> list[str]:
        return _messages(self.action("GetExecutionErrors", {"executionId": message}))


class PowerShellModule(Echoing):
    """d365collaborative/d365fo.integrations: cmdlets in a script that a schedule starts; each run takes one message.

    A blank answer is an empty queue, whatever its status. The download takes https and drops :80; it is tried four
    times, and when all of them fail nobody is told, so that the script goes on and acknowledges. Enqueue and
    acknowledgment are well with 200 and nothing else. It waits before it asks for the status the first time, in JSON
    with single quotes, and knows four ends.
    """

    token_version = 1
    one_run = True
    attempts = 4

    def pull(self) -> None:
        answer = self.dequeue()
        if answer.content.strip():
            if not answer.is_success:
                raise Stopped(f"dequeue: {answer.status_code}")
            self.take(answer)

    def take(self, answer: httpx.Response) -> None:
        location = answer.json()["DownloadLocation"]
        if not location:
            raise Stopped("the location is empty")
        for _ in range(self.attempts):
            try:
                file = self.send("GET", self.at_home(location), follow=True)
            except httpx.HTTPError:
                continue
            if file.is_success:
                self.store(file.content)
                break
        if self.acknowledge(answer.content).status_code != 200:
            raise Stopped("the acknowledgment was not answered with 200")

    def hand_in(self, file: Path) -> str | None:
        query = "" if self.of_packages else f"?entity={quote(self.entity)}"
        url = self.connector("enqueue", self.imports, query)
        answer = self.send("POST", url, file.read_bytes(), content_type="application/zip")
        if answer.status_code != 200:
            raise Stopped(f"enqueue: {answer.status_code}")
        self.ended.wait(PAUSE)
        return answer.text.replace('"', "")

    def outcome(self, message: str) -> str | None:
        state = str(self.action("GetMessageStatus", f"{{'messageId': '{message}'}}")).lower()
        if state in {"preprocessingerror", "processedwitherrors", "postprocessingfailed"}:
            return "failed"
        return "processed" if state == "processed" else None


class ProofOfConcept(Echoing):
    """FO_RI_Currencies_read and FO_RI_ExchangeRates, C#: echoes the whole answer; asks jobstatus for the status.

    It knows the names that GetMessageStatus has, so that PreProcessError and PostProcessError are no end to it.
    """

    def hand_in(self, file: Path) -> str | None:
        query = "" if self.of_packages else f"?entity={quote(self.entity)}"
        name = quote(f"{file.name}_{uuid.uuid4()}")
        url = self.connector("enqueue", self.imports, query)
        answer = self.send("POST", url, file.read_bytes(), x_ms_dyn_externalidentifier=name)
        if not answer.is_success:
            raise Stopped(f"enqueue: {answer.status_code}")
        return answer.text.replace('"', "")

    def outcome(self, message: str) -> str | None:
        state = self.jobstatus(message)
        if state in {"PreProcessingError", "ProcessedWithErrors", "PostProcessingFailed"}:
            return "failed"
        return "processed" if state == "Processed" else None


class ModelContextServer(ProofOfConcept):
    """A server for language models, JavaScript: names the entity at the dequeue too, where it means nothing."""

    def dequeue(self) -> httpx.Response:
        return self.send("GET", self.connector("dequeue", self.exports, f"?entity={quote(self.entity)}"))


class Vendor(ProofOfConcept):
    """A vendor's connector (HotWax): never asks for a status, but for the execution until there is one, then for its.

    The all-zero execution ID is none yet; a file is sent as octets, a package as a zip.
    """

    _FAILED: ClassVar = frozenset({"PartiallySucceeded", "Failed", "Canceled"})

    def hand_in(self, file: Path) -> str | None:
        query = "" if self.of_packages else f"?entity={quote(self.entity)}"
        url = self.connector("enqueue", self.imports, query)
        kind = "application/zip" if self.of_packages else "application/octet-stream"
        answer = self.send("POST", url, file.read_bytes(), content_type=kind)
        if not answer.is_success:
            raise Stopped(f"enqueue: {answer.status_code}")
        return answer.text.strip().strip('"')

    def outcome(self, message: str) -> str | None:
        execution = self._execution(message)
        if execution is None:
            return None
        summary = self.action("GetExecutionSummaryStatus", {"executionId": execution})
        if summary in self._FAILED:
            return "failed"
        return "processed" if summary == "Succeeded" else None

    def errors(self, message: str) -> list[str]:
        execution = self._execution(message)
        return [] if execution is None else _messages(self.action("GetExecutionErrors", {"executionId": execution}))

    def _execution(self, message: str) -> str | None:
        execution = self.action("GetExecutionIdByMessageId", {"_messageId": message})
        return execution if execution and execution != ZERO else None


class Flow(Echoing):
    """A flow in the support blog of Microsoft Japan (2023-06-13): the text http: becomes https:, and a port stays.

    It sends a header of its own invention with the download. A run that fails does not keep the next from its start.
    """

    token_version = 1
    one_run = True

    def take(self, answer: httpx.Response) -> None:
        location = answer.json()["DownloadLocation"]
        if not location:
            return
        if self.base.startswith("https:"):
            location = location.replace("http:", "https:", 1)
        try:
            file = self.send("GET", location, follow=True, content_type_="application/zip")
        except httpx.HTTPError as error:
            _tell(f"download: {error!r}")
            return
        if file.is_success:
            self.store(file.content)
            self.acknowledge(answer.content)

    def push(self) -> None:
        """It only exports."""


class ConsoleClient(Client):
    """D365FODataJob, C#: reads every answer to a dequeue as JSON, which 204 is not; never acknowledges.

    Its token is for a resource with a slash at the end. It leaves the blank in the entity's name to its HTTP library.
    """

    token_version = 1
    resource_ends_in = "/"
    one_run = True

    def pull(self) -> None:
        answer = self.send("GET", self.connector("dequeue", self.exports), accept="application/json")
        said = json.loads(answer.text)
        file = self.send("GET", self.at_home(said["DownloadLocation"]))
        if file.is_success:
            self.store(file.content)

    def hand_in(self, file: Path) -> str | None:
        url = self.connector("enqueue", self.imports, "" if self.of_packages else f"?entity={self.entity}")
        sent = {"content_type": "application/octet-stream", "accept": "application/json"}
        answer = self.send("POST", url, file.read_bytes(), **sent)
        return answer.text.strip('"') if answer.is_success else None

    def outcome(self, message: str) -> str | None:  # noqa: ARG002 - it asks for no status
        return None

    def follow(self) -> None:
        """It takes the answer to an enqueue for the end."""


class Blog(Client):
    """mukesh-ax.blogspot.com, July 2018: sends OData's JSON type with everything; acknowledges with three members."""

    _KIND: ClassVar = "application/json;odata.metadata=minimal"

    def pull(self) -> None:
        while (answer := self._ask("GET", self.connector("dequeue", self.exports))).status_code == 200:
            said = answer.json() if answer.content.strip() else None
            if said is None:
                return
            if not said["DownloadLocation"]:
                continue
            file = self._ask("GET", self.at_home(said["DownloadLocation"]))
            if file.is_success:
                self.store(file.content)
                three = {name: said[name] for name in ("CorrelationId", "PopReceipt", "DownloadLocation")}
                self._ask("POST", self.connector("ack", self.exports), json.dumps(three).encode())

    def hand_in(self, file: Path) -> str | None:
        query = "" if self.of_packages else f"?{urlencode({'entity': self.entity}, quote_via=quote)}"
        answer = self._ask("POST", self.connector("enqueue", self.imports, query), file.read_bytes())
        return answer.text.replace('"', "") if answer.is_success else None

    def outcome(self, message: str) -> str | None:
        state = self.action("GetMessageStatus", {"messageId": message})
        if state in {"ProcessedWithErrors", "PreProcessingError", "PostProcessingFailed"}:
            return "failed"
        return "processed" if state == "Processed" else None

    def _ask(self, method: str, url: str, body: bytes | None = None) -> httpx.Response:
        odata = {"odata_version": "4.0", "odata_maxversion": "4.0"}
        return self.send(method, url, body, content_type=self._KIND, **odata)


class Sample(Echoing):
    """microsoft/Dynamics-AX-Integration, 2016 and 2017: a package has an empty entity; jobstatus tells the end.

    Everything but Enqueued and InProcess is an end.
    """

    token_version = 1

    def hand_in(self, file: Path) -> str | None:
        query = f"?entity={'' if self.of_packages else quote(self.entity)}"
        url = self.connector("enqueue", self.imports, query)
        answer = self.send("POST", url, file.read_bytes(), x_ms_dyn_externalidentifier=quote(file.name))
        return answer.text.replace('"', "") if answer.is_success else None

    def outcome(self, message: str) -> str | None:
        state = self.jobstatus(message)
        if state in {None, "Enqueued", "PreProcessing", "InProcess", 0, 9, 4}:
            return None
        return "processed" if state in {"Processed", 5} else "failed"


class Laboratory(Sample):
    """microsoft/FMLab, AX7Connector, 2016: knows two ends, and asks with jobid in lower case."""

    def outcome(self, message: str) -> str | None:
        state = self.jobstatus(message, "jobid")
        if state == "ProcessedWithErrors":
            return "failed"
        return "processed" if state == "Processed" else None


class WrongShape(Echoing):
    """A finance-operations client in TypeScript: acknowledges with an ID and a status that no dequeue ever said."""

    one_run = True

    def acknowledge(self, body: bytes) -> httpx.Response:
        said = json.loads(body)
        return super().acknowledge(json.dumps({"messageId": said["CorrelationId"], "status": "Success"}).encode())

    def push(self) -> None:
        """What it does for imports is not known."""

    def follow(self) -> None:
        """What it does for imports is not known."""


class OnlyAnId(WrongShape):
    """d365stuff.co, July 2020: a GUID is said to be all that an acknowledgment needs."""

    def acknowledge(self, body: bytes) -> httpx.Response:
        return Echoing.acknowledge(self, json.dumps(json.loads(body)["CorrelationId"]).encode())


CLIENTS: Final[dict[str, type[Client]]] = {
    "ris": Scheduler,
    "ps": PowerShellModule,
    "fori": ProofOfConcept,
    "mcpj": ModelContextServer,
    "hw": Vendor,
    "jp": Flow,
    "fodj": ConsoleClient,
    "muk": Blog,
    "axi": Sample,
    "fml": Laboratory,
    "slates": WrongShape,
    "stuff": OnlyAnId,
}
"""All of them, by the name on the command line."""

BREAKS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "ris": {
        "no-file-in-the-middle": ("zero-records.no-file-understood", "dequeue.goes-on-after-a-bad-one"),
        "dequeue-502-once": ("transport.passing-fault-outlived",),
        "backlog": ("dequeue.leases-kept-few", "acknowledgment.whole-answer"),
        "enqueue-503-once": ("enqueue.every-file-handed-in",),
        "import-bad-records": ("execution-errors.not-by-message-id",),
    },
    "ps": {"twelve-at-once": ("dequeue.queue-is-drained",), "import-bad-records": ()},
    "fori": {"export-package": (), "import-unreadable": ("status.end-recognised",)},
    "mcpj": {"export-package": ()},
    "hw": {"export-package": (), "import-bad-records": ()},
    "jp": {"export-package": (), "location-http-80": ("download.port-that-answers", "dequeue.message-is-fetched")},
    "fodj": {
        "empty-queue": ("dequeue.empty-answer-understood",),
        "twelve-at-once": ("acknowledgment.every-received-one",),
    },
    "muk": {"export-package": ("acknowledgment.whole-answer",), "import-file": ()},
    "axi": {"export-package": (), "import-package": ()},
    "fml": {"import-unreadable": ("status.end-recognised",)},
    "slates": {"export-package": ("acknowledgment.says-what-dequeue-said",)},
    "stuff": {"export-package": ("acknowledgment.says-what-dequeue-said",)},
}
"""What is known of each: scenarios, and the rules that it breaks there. It breaks no MUST in them but these."""

THROUGH_A_PROXY: Final = frozenset({"jp"})
"""Those whose mistake shows where the connector's port is the usual one, which takes a proxy."""


def _messages(value: Any) -> list[str]:
    found = json.loads(value) if isinstance(value, str) else value
    return [each["ErrorMessage"] for each in found or []]


def _trusting(authority: str | None) -> Any:
    if authority is None:
        return True
    return ssl.create_default_context(cafile=authority)


def _tell(words: str) -> None:
    sys.stderr.write(words + "\n")


def main(arguments: list[str]) -> int:
    """Run a client to its end: 0 where it was told to end or is through, 1 where it stopped for good or fell over."""
    if len(arguments) != 1 or arguments[0] not in CLIENTS:
        _tell(f"usage: python clients.py {'|'.join(CLIENTS)}")
        return 2
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: os._exit(0))
    client = CLIENTS[arguments[0]]()
    try:
        client.run()
    except (Stopped, httpx.HTTPError) as problem:
        _tell(f"{problem!r}")
        return 1 if client.stops_for_good else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
