"""The addon in a real mitmdump, in an environment of its own: what goes through it is written down and judged."""

import hashlib
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from popreceipt.emulator.server import HttpServer
from popreceipt.journal import Exchange, JournalFile, Observation
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Outcome, judge
from popreceipt.watching import mitmproxy_addon


@dataclass
class Dump:
    """A mitmdump that runs: where it listens, its authority, its journal."""

    url: str
    authority: Path
    journal: Path


@contextmanager
def dumping(mitmdump: tuple[str, ...], folder: Path, *arguments: str) -> Iterator[Dump]:
    """Run mitmdump with the addon until the block ends; it is interrupted then, as a person does it."""
    journal, settings = folder / "journal.ndjson", folder / "mitmproxy"
    command = [*mitmdump, "-s", mitmproxy_addon.__file__, "--set", f"popreceipt_journal={journal}"]
    command += ["--listen-host", "127.0.0.1", "--listen-port", "0", "--set", f"confdir={settings}", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={"PYTHONUNBUFFERED": "1"}
    ) as process:
        said = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"listening at \S*?127\.0\.0\.1:(\d+)", line):
                    yield Dump(f"http://127.0.0.1:{found[1]}", settings / "mitmproxy-ca-cert.pem", journal)
                    break
            else:
                raise AssertionError("".join(said))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                process.kill()


def export(http: httpx.Client, emulator: Any, produced: Any) -> None:
    """A right client's way: token, dequeue, download, acknowledge, until the queue is empty."""
    root = emulator.base_url
    application = emulator.identity.clients["authorised"]
    form = {
        "grant_type": "client_credentials",
        "client_id": application.client_id,
        "client_secret": application.client_secret,
        "scope": f"{root}/.default",
    }
    token = http.post(f"{root}/{emulator.identity.tenant}/oauth2/v2.0/token", data=form).json()["access_token"]
    http.headers["authorization"] = f"Bearer {token}"
    activity = next(each.id for each in emulator.store.activities() if each.name == "export-package")
    delivery = http.get(f"{root}/api/connector/dequeue/{activity}")
    location = delivery.json()["DownloadLocation"].replace("http://", f"{root.partition('://')[0]}://")
    file = http.get(location)
    assert hashlib.sha256(file.content).hexdigest() == produced.sha256
    told = {"content-type": "application/json"}
    assert http.post(f"{root}/api/connector/ack/{activity}", content=delivery.content, headers=told).status_code == 200
    assert http.get(f"{root}/api/connector/dequeue/{activity}").status_code == 204


def outcomes(journal: JournalFile) -> dict[str, Outcome]:
    """What became of each rule that binds clients."""
    return {each.id: each.outcome for each in judge(Readings(journal.header, journal), catalogue(Binds.CLIENT))}


def test_a_client_behind_mitmproxy_is_judged(mitmdump, emulator, tmp_path: Path) -> None:
    """Over TLS, with mitmproxy's own certificate for the client; only the integrations' requests are written down."""
    with HttpServer(emulator, tls=True) as environment:
        trusted = f"ssl_verify_upstream_trusted_ca={environment.ca_file}"
        with dumping(mitmdump, tmp_path, "--set", trusted) as dump:
            context = ssl.create_default_context(cafile=str(dump.authority))
            with httpx.Client(proxy=dump.url, verify=context, trust_env=False, timeout=30) as http:
                activity = next(each for each in emulator.store.activities() if each.name == "export-package")
                produced = emulator.batch.produce(activity, 3, emulator.clock.now())
                export(http, emulator, produced)
                assert http.get(f"{emulator.base_url}/nobody/s/business?x=1").status_code == 404
    journal = JournalFile(dump.journal)
    exchanges = [each for each in journal if isinstance(each, Exchange)]
    assert journal.complete
    assert [each.operation for each in exchanges] == ["token", "dequeue", "download", "ack", "dequeue"]
    assert [each.seq for each in exchanges] == [1, 2, 3, 4, 5]
    assert exchanges[2].response is not None
    assert exchanges[2].response.body is not None
    assert exchanges[2].response.body.digest() == produced.sha256
    found = outcomes(journal)
    assert [name for name, outcome in found.items() if outcome is Outcome.VIOLATED] == []
    for rule in ("acknowledgment.after-a-whole-download", "download.https-for-http", "transport.token-not-in-clear"):
        assert found[rule] is Outcome.HELD
    written = dump.journal.read_bytes()
    assert emulator.identity.clients["authorised"].client_secret.encode() not in written
    assert b"eyJ" not in written
    assert dump.journal.stat().st_mode & 0o077 == 0


def test_in_reverse_mode_downloads_are_not_seen(mitmdump, environment, emulator, tmp_path: Path) -> None:
    """The location names the environment itself: the journal says so, and no rule concludes anything from it."""
    with dumping(mitmdump, tmp_path, "--mode", f"reverse:{environment.base_url}") as dump:
        activity = next(each for each in emulator.store.activities() if each.name == "export-package")
        emulator.batch.produce(activity, 3, emulator.clock.now())
        application = emulator.identity.clients["authorised"]
        with httpx.Client(base_url=dump.url, trust_env=False, timeout=30) as http:
            form = {"grant_type": "client_credentials", "client_id": application.client_id}
            form |= {"client_secret": application.client_secret, "scope": f"{emulator.base_url}/.default"}
            answer = http.post(f"/{emulator.identity.tenant}/oauth2/v2.0/token", data=form)
            http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
            delivery = http.get(f"/api/connector/dequeue/{activity.id}")
            assert http.get(delivery.json()["DownloadLocation"]).status_code == 200
            told = {"content-type": "application/json"}
            http.post(f"/api/connector/ack/{activity.id}", content=delivery.content, headers=told)
            large = b"x" * 300_000
            intake = next(each.id for each in emulator.store.activities() if each.name == "import-file")
            http.post(f"/api/connector/enqueue/{intake}?entity=Customer%20groups", content=large)
    journal = JournalFile(dump.journal)
    entries = list(journal)
    assert journal.complete
    assert isinstance(entries[0], Observation)
    assert (entries[0].observation, entries[0].facts["unseen"]) == ("watched", ["download"])
    exchanges = [each for each in entries if isinstance(each, Exchange)]
    assert [each.operation for each in exchanges] == ["token", "dequeue", "ack", "enqueue"]
    assert {each.request.url.partition("/api")[0].partition("/0d")[0] for each in exchanges} == {environment.base_url}
    body = exchanges[3].request.body
    assert body is not None
    assert (body.digest(), body.length) == (hashlib.sha256(large).hexdigest(), len(large))
    found = outcomes(journal)
    assert [name for name, outcome in found.items() if outcome is Outcome.VIOLATED] == []
    assert found["acknowledgment.after-a-whole-download"] is Outcome.UNDECIDED


@pytest.mark.parametrize("there", [True, False])
def test_without_a_new_file_it_does_not_begin(there: bool, mitmdump, tmp_path: Path) -> None:
    """A journal that is there already is not written over, and none is made up where none is named."""
    path = tmp_path / "journal.ndjson"
    named = ["--set", f"popreceipt_journal={path}"] if there else []
    if there:
        path.write_text("precious")
    command = [*mitmdump, "-s", mitmproxy_addon.__file__, *named, "--listen-host", "127.0.0.1", "--listen-port", "0"]
    run = subprocess.run(
        [*command, "--set", f"confdir={tmp_path / 'mitmproxy'}"], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert ("File exists" if there else "popreceipt writes nothing") in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert [each.read_text() for each in tmp_path.glob("*.ndjson")] == ["precious"] * there
