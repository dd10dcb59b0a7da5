"""No secret reaches a file: a canary secret, a canary password and canary tokens, in their places and in odd ones.

Each is looked for, in every way in which it may be written, in all that is left behind: the journal of the proxy, that
of the addon for mitmproxy, the verdicts and what the judge prints, a HAR file that was judged, and the archive in a
bundle.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import httpx
import pytest

from popreceipt.journal import Exchange
from popreceipt.recordings import open_recording
from popreceipt.reproduction import har

SECRET = "canary~Secret/8Q~with+odd&signs="
PASSWORD = "canary Pässword #1"
TOKEN = "canary-token-0123456789-opaque"
SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOiJ0cnVlIn0.Y2FuYXJ5LXNpZ25hdHVyZQ"
CANARIES = (SECRET, PASSWORD, TOKEN, SIGNED, SIGNED.rpartition(".")[2])

TOKENS = "/0d5d423d-f0f4-40f6-9b31-4a929920394e/oauth2/v2.0/token"
ACTIVITY = "6f1a4f2e-0000-4000-8000-000000000001"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


def found_in(content: bytes) -> list[str]:
    """The canaries that a content holds, in whatever way they are written."""
    found = []
    for each in CANARIES:
        basic = base64.b64encode(f"client:{each}".encode())
        mistaken = each.encode().decode("latin-1")
        forms = {each, quote(each), quote(each, safe=""), quote_plus(each), json.dumps(each)[1:-1], mistaken}
        encoded = {form.encode() for form in forms} | {basic, base64.b64encode(each.encode())}
        if any(form in content for form in encoded):
            found.append(each)
    return found


def answers(request: bytes) -> bytes:
    """What the environment answers: tokens where a token is asked for, errors that repeat what was sent, files."""
    head, _, body = request.partition(b"\r\n\r\n")
    line = head.split(b"\r\n", 1)[0]
    if b"/oauth2/" in line and b"wrong" not in body:
        told = {"access_token": TOKEN, "refresh_token": SIGNED, "expires_in": 3599, "token_type": "Bearer"}
        return _answer(json.dumps(told).encode())
    if b"/oauth2/" in line:
        told = {"error": "invalid_client", "error_description": f"AADSTS7000215: the secret '{SECRET}' is not valid."}
        return _answer(json.dumps(told).encode(), status=b"401 Unauthorized")
    if b"/download/" in line:
        return _answer(b"PK" + TOKEN.encode())
    if b"/dequeue/" in line:
        return _answer(b"", status=b"204 No Content")
    trace = b"request was: " + head + b" " + body
    headers = (b"x-echo: " + TOKEN.encode(), b"set-cookie: session=" + TOKEN.encode())
    return _answer(trace, *headers, status=b"500 Internal Server Error")


def _answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    length = b"content-length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, *headers, b"connection: close", b"", body])


def misbehave(http: httpx.Client) -> None:
    """Everything that a middleware in the making does with its secrets; the proper places come first."""
    grant = {"grant_type": "password", "client_id": "c", "username": "u"}
    http.post(TOKENS, content=urlencode({**grant, "client_secret": SECRET, "password": PASSWORD}), headers=FORM)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    http.get(f"/api/connector/dequeue/{ACTIVITY}", headers=bearer)
    # A request that is refused, and an error that repeats the secret.
    http.post(TOKENS, content=urlencode({"client_secret": SECRET, "client_id": "wrong"}), headers=FORM)
    # Basic authentication, JSON and multipart where a form belongs.
    basic = {"authorization": "Basic " + base64.b64encode(f"client:{SECRET}".encode()).decode()}
    http.post(TOKENS, content="grant_type=client_credentials", headers=FORM | basic)
    http.post(TOKENS, content=json.dumps({"client_secret": SECRET, "password": PASSWORD}), headers=JSON)
    http.post(TOKENS, files={"client_secret": (None, SECRET)})
    # In the query, under its name and under another, and in other headers.
    http.get(f"/api/connector/dequeue/{ACTIVITY}", params={"access_token": TOKEN, "client_secret": SECRET})
    http.get(f"/api/connector/dequeue/{ACTIVITY}", params={"t": SIGNED, "key": TOKEN, "s": SECRET})
    http.get(f"/api/connector/dequeue/{ACTIVITY}", headers={"x-my-token": TOKEN, "x-app": quote(SECRET)})
    encoded = base64.b64encode(f"client:{SECRET}".encode()).decode()
    http.get(f"/api/connector/dequeue/{ACTIVITY}", headers={"x-basic": encoded, "x-raw": PASSWORD.encode()})
    http.get(f"/api/connector/jobstatus/{TOKEN}", headers={"referer": f"http://a/?x={quote_plus(PASSWORD)}"})
    # In bodies where none belongs: an acknowledgment, a status, a file, and paths that nobody knows.
    told = json.dumps({"CorrelationId": "1", "PopReceipt": "r", "token": TOKEN, "note": SECRET})
    http.post(f"/api/connector/ack/{ACTIVITY}", content=told, headers=JSON | bearer)
    http.post(f"/api/connector/ack/{ACTIVITY}", content=f"client_secret={SECRET}", headers=JSON | bearer)
    http.post(f"/api/connector/enqueue/{ACTIVITY}?entity=x", files={"password": (None, PASSWORD)}, headers=bearer)
    http.post("/login", content=json.dumps({"user": "u", "password": PASSWORD}), headers=JSON)
    http.post("/login", content=urlencode({"grant_type": "password", "password": PASSWORD}), headers=FORM)
    http.get(f"/api/connector/download/{ACTIVITY}?correlation-id=1&blob=2", headers=bearer)


@pytest.fixture
def environment(odd) -> Any:
    box: list[Any] = []
    box.append(odd(lambda connection: connection.sendall(answers(box[0].requests[-1]))))
    return box[0]


@pytest.mark.parametrize("bodies", [False, True], ids=["digests", "bodies"])
def test_the_proxy_writes_no_secret(bodies: bool, watch, environment) -> None:
    """Whatever the middleware does with them, and whatever the environment answers."""
    with (
        watch(environment.base_url, bodies=bodies) as watching,
        httpx.Client(base_url=watching.base_url, trust_env=False) as http,
    ):
        misbehave(http)
    asked = b"".join(environment.requests)
    assert set(found_in(asked)) >= {SECRET, PASSWORD, TOKEN, SIGNED}  # they did go by, unharmed
    assert len(watching.exchanges) == len(environment.requests) == 17
    assert found_in(watching.file.getvalue()) == []
    assert found_in("\n".join(watching.said).encode()) == []


def test_nothing_made_of_the_journal_holds_one(watch, environment, tmp_path: Path) -> None:
    """Verdicts, JUnit, what the judge prints, and the archive of a bundle."""
    with watch(environment.base_url) as watching, httpx.Client(base_url=watching.base_url, trust_env=False) as http:
        misbehave(http)
    journal = watching.journal
    har.write(tmp_path / "exchanges.har", [each for each in journal if isinstance(each, Exchange)])
    command = [sys.executable, "-m", "popreceipt", "judge", str(journal.path), "--out", str(tmp_path / "out")]
    for binds in ("client", "service"):
        run = subprocess.run([*command, "--binds", binds], capture_output=True, timeout=60)
        assert run.returncode in {0, 1}, run.stderr
        assert found_in(run.stdout + run.stderr) == []
    written = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert {"exchanges.har", "verdicts.json", "junit.xml", "journal.ndjson"} <= {each.name for each in written}
    assert {each.name: found_in(each.read_bytes()) for each in written} == {each.name: [] for each in written}


def test_a_secret_that_was_named_beforehand_is_never_written(watch, environment) -> None:
    """Even where it stands in an odd place before it was seen in a proper one, and however short it is."""
    with (
        watch(environment.base_url, secrets=(SECRET, "k3y")) as watching,
        httpx.Client(base_url=watching.base_url, trust_env=False) as http,
    ):
        http.get(f"/api/connector/dequeue/{ACTIVITY}", headers={"x-app": SECRET, "x-short": "is k3y"})
        http.get(f"/api/connector/dequeue/{ACTIVITY}", params={"whatever": SECRET})
    assert found_in(watching.file.getvalue()) == []
    assert b"k3y" not in watching.file.getvalue()


def test_the_command_writes_and_says_none(environment, tmp_path: Path) -> None:
    """The journal, the ready file, standard output and standard error of `popreceipt record`."""
    command = [sys.executable, "-m", "popreceipt", "record", "--port", "0", "--secret-env", "CANARY"]
    command += [
        "--upstream",
        environment.base_url,
        "--journal",
        str(tmp_path / "j"),
        "--ready-file",
        str(tmp_path / "r"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"CANARY": PASSWORD}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        with httpx.Client(base_url=json.loads(line)["base_url"], trust_env=False) as http:
            misbehave(http)
        process.terminate()
        said, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert found_in(line + said + errors) == []
    assert {each.name: found_in(each.read_bytes()) for each in tmp_path.iterdir()} == {"j": [], "r": []}


def test_an_archive_that_holds_them_is_judged_without(tmp_path: Path) -> None:
    """A HAR file of somebody's making has secrets in it; what is read of it has none."""
    path = tmp_path / "traffic.har"
    entry = {
        "startedDateTime": "2026-03-01T10:00:00.000Z",
        "time": 10,
        "request": {
            "method": "POST",
            "url": f"https://login.example{TOKENS}?client_secret={quote(SECRET, safe='')}",
            "headers": [{"name": "Authorization", "value": f"Bearer {TOKEN}"}],
            "postData": {"mimeType": FORM["content-type"], "text": urlencode({"password": PASSWORD})},
        },
        "response": {"status": 200, "headers": [], "content": {"text": json.dumps({"access_token": SIGNED})}},
    }
    path.write_text(json.dumps({"log": {"entries": [entry]}}), encoding="utf-8")
    assert found_in(path.read_bytes())
    har.write(tmp_path / "again.har", [each for each in open_recording(path) if isinstance(each, Exchange)])
    assert found_in((tmp_path / "again.har").read_bytes()) == []
