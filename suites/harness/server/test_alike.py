"""The emulator answers alike in process and over HTTP: the server adds transport and nothing else."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.server import HttpServer

TRANSPORT = {"date", "content-length", "connection"}


@dataclass
class Twins:
    """Two emulators of one seed: one behind a server, one called directly."""

    served: Emulator
    direct: Emulator
    client: httpx.Client

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Response:
        """Send to both, and give back the answer when it is the same."""
        built = self.client.build_request(method, path, headers=headers, content=body or None)
        over_http = self.client.send(built)
        in_process = self.direct.handle(
            Request(
                method=method,
                path=built.url.raw_path.partition(b"?")[0].decode(),
                query=built.url.query.decode(),
                headers=tuple((name.lower(), value) for name, value in built.headers.items()),
                body=body,
                host=built.url.netloc.decode(),
            )
        )
        sent = sorted((name, value) for name, value in over_http.headers.items() if name not in TRANSPORT)
        assert over_http.status_code == in_process.status
        assert sent == sorted((name.lower(), value) for name, value in in_process.headers)
        assert _read(over_http.content) == _read(in_process.body)
        return in_process


def _read(body: bytes) -> object:
    """A body to compare: two tokens are never the same text."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    if isinstance(value, dict) and "access_token" in value:
        value["access_token"] = "a token"
    return value


@pytest.fixture
def twins() -> Iterator[Twins]:
    profile = Profile(body_limit=1000)
    served = Emulator(ManualClock(), profile)
    with HttpServer(served) as server, httpx.Client(base_url=server.base_url) as client:
        yield Twins(served, Emulator(ManualClock(), profile, base_url=server.base_url), client)
    assert served.faults == []


@pytest.fixture
def bearer(twins) -> dict[str, str]:
    identity = twins.direct.identity.describe()
    fields = {
        "grant_type": "client_credentials",
        "scope": f"{identity['resource']}/.default",
        **identity["clients"]["authorised"],
    }
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = twins.send("POST", f"/{identity['tenant']}/oauth2/v2.0/token", form, urlencode(fields).encode())
    return {"authorization": f"Bearer {json.loads(answer.body)['access_token']}"}


def _activity(twins, name):
    return next(one["id"] for one in twins.direct.world()["activities"] if one["name"] == name)


def test_an_export_from_its_production_to_its_acknowledgment(twins, bearer):
    """Every step of a message's life: each answer, its headers and its bytes are the same."""
    export = _activity(twins, "export-package")
    twins.send("POST", f"/_control/v1/activities/{export}/produce", body=b'{"records": 2}')
    offered = twins.send("GET", f"/en/api/connector/dequeue/%7B{export}%7D", bearer)
    assert offered.status == 200
    location = httpx.URL(json.loads(offered.body)["DownloadLocation"]).raw_path.decode()
    assert twins.send("GET", location, bearer).body[:2] == b"PK"
    acknowledge = f"/api/connector/ack/{export}"
    assert twins.send("POST", acknowledge, bearer | {"content-type": "application/json"}, offered.body).status == 200
    assert twins.send("GET", f"/api/connector/dequeue/{export}", bearer).status == 204


def test_an_import_from_its_enqueue_to_its_errors(twins, bearer):
    """Upload, processing in virtual time, status and errors."""
    file = _activity(twins, "import-file")
    rows = b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\n10,Wholesale,\n,Nobody,\n"
    enqueued = twins.send("POST", f"/api/connector/enqueue/{file}?entity=Customer%20groups", bearer, rows)
    message = json.loads(enqueued.body)
    twins.send("POST", "/_control/v1/clock", body=b'{"advance_seconds": 601}')
    action = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus"
    status = twins.send("POST", action, bearer, json.dumps({"messageId": message}).encode())
    assert json.loads(status.body)["value"] == "ProcessedWithErrors"
    twins.send("GET", f"/api/connector/jobstatus/{file}?jobId={message}", bearer)
    twins.send("GET", f"/_control/v1/activities/{file}/messages")


def test_what_is_refused_or_read(twins):
    """Refusals and documents too."""
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/api/connector/dequeue/x", 401),
        ("DELETE", "/api/connector/dequeue/x", 405),
        ("GET", "/_control/v1/world", 200),
        ("GET", "/_control/v1/nothing", 404),
        ("GET", "/_control/v1/clock", 200),
        ("POST", "/common/oauth2/token", 400),
        ("GET", "/common/oauth2/token?a=%C3%A4", 400),
    ):
        assert twins.send(method, path).status == status


@pytest.mark.parametrize("path", ["/api/connector/enqueue/{}?entity=x", "/_control/v1/clock", "/common/oauth2/token"])
def test_bodies_around_the_limit(twins, bearer, path):
    """Whatever the path, a body over the limit is 413 and one at the limit is not, announced or in chunks."""
    path = path.format(_activity(twins, "import-file"))
    for length in (999, 1000, 1001, 5000):
        answer = twins.send("POST", path, bearer, b"x" * length)
        assert (answer.status == 413) is (length > 1000)
    for length in (999, 1000, 1001, 5000):
        in_chunks = twins.client.post(path, headers=bearer, content=iter([b"x" * length]))
        assert (in_chunks.status_code == 413) is (length > 1000)


def test_an_upload_that_expects_100(twins, bearer, wire):
    """A cautious client's enqueue goes through as any other."""
    file = _activity(twins, "import-file")
    connection = wire(twins.client.base_url.port)
    head = [
        f"POST /api/connector/enqueue/{file}?entity=Customer+groups HTTP/1.1",
        "Host: uno.example",
        f"Authorization: {bearer['authorization']}",
        "Content-Length: 26",
        "Expect: 100-continue",
    ]
    connection.send("\r\n".join([*head, "", ""]).encode())
    assert connection.head() == (100, {})
    connection.send(b"CUSTOMERGROUPID\nA\nB\nC\nD\nE\n"[:26])
    assert connection.answer()[0] == 200
    (row,) = twins.client.get(f"/_control/v1/activities/{file}/messages").json()
    assert row["Status"] == "Enqueued"


def test_tokens_survive_a_reset(twins, bearer):
    """The first world comes back; who has a token keeps it until it expires."""
    export = _activity(twins, "export-package")
    assert twins.send("POST", "/_control/v1/reset").status == 204
    assert twins.send("GET", f"/api/connector/dequeue/{export}", bearer).status == 204
    for emulator in (twins.served, twins.direct):
        emulator.advance(timedelta(hours=1))
    assert twins.send("GET", f"/api/connector/dequeue/{export}", bearer).status == 401
