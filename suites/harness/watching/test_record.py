"""`popreceipt record` as a person uses it: started, interrupted, judged; and refused where it is misused."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from popreceipt.watching import mitmproxy_addon

COMMAND = (sys.executable, "-m", "popreceipt")


def popreceipt(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


@contextmanager
def recording(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command while it runs, and what it said when it was ready."""
    with subprocess.Popen(
        [*COMMAND, "record", "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.communicate(timeout=20)[1])
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_is_sealed_when_it_is_interrupted(number, environment, client, tmp_path: Path) -> None:
    """It ends with 0, says what it saw and how to judge it, and the judge finds it whole."""
    path = tmp_path / "traffic.ndjson"
    with recording("--upstream", environment.base_url, "--journal", str(path)) as (process, ready):
        assert (ready["upstream"], ready["journal"], ready["pid"]) == (environment.base_url, str(path), process.pid)
        middleware = client(ready["base_url"])
        middleware.token()
        middleware.produce()
        delivery = middleware.dequeue()
        middleware.http.get(delivery.json()["DownloadLocation"])
        middleware.acknowledge(delivery.content)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "4 exchanges (token 1, dequeue 1, download 1, ack 1)" in said
    assert f"popreceipt judge {path} --binds client" in said
    assert path.stat().st_mode & 0o077 == 0 or sys.platform == "win32"
    judged = popreceipt("judge", str(path), "--binds", "client", "--json")
    assert judged.returncode == 0, judged.stderr
    told = json.loads(judged.stdout)
    assert told["complete"]
    assert told["summary"]["held"] > 5


def test_a_wrong_client_is_convicted_by_what_was_recorded(environment, client, tmp_path: Path) -> None:
    """One that acknowledges what it never downloaded breaks a MUST, and the judge ends with 1."""
    path = tmp_path / "traffic.ndjson"
    with recording("--upstream", environment.base_url, "--journal", str(path)) as (process, ready):
        middleware = client(ready["base_url"])
        middleware.token()
        middleware.produce()
        middleware.acknowledge(middleware.dequeue().content)
        process.terminate()
        process.communicate(timeout=30)
    judged = popreceipt("judge", str(path), "--binds", "client", "--json")
    assert judged.returncode == 1
    violated = {each["id"] for each in json.loads(judged.stdout)["rules"] if each["outcome"] == "violated"}
    assert "acknowledgment.after-a-whole-download" in violated


def test_a_recording_of_nothing_proves_nothing(environment, tmp_path: Path) -> None:
    """Where no request came by the command ends with 3."""
    path = tmp_path / "traffic.ndjson"
    with recording("--upstream", environment.base_url, "--journal", str(path)) as (process, _):
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Nothing came by" in said


def test_an_environment_that_never_answered_proves_nothing(tmp_path: Path) -> None:
    """The journal says how each request failed; the command ends with 3."""
    path, ready_file = tmp_path / "traffic.ndjson", tmp_path / "ready.json"
    with recording("--upstream", "http://127.0.0.1:9", "--journal", str(path), "--ready-file", str(ready_file)) as (
        process,
        ready,
    ):
        assert json.loads(ready_file.read_text()) == ready
        assert httpx.get(f"{ready['base_url']}/api/connector/dequeue/x", trust_env=False).status_code == 502
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "answered none of 1 requests" in said
    assert json.loads(path.read_text().splitlines()[2])["failure"] == "refused"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--upstream"),
        (("--upstream", "http://a"), "--journal"),
        (("--upstream", "no-url", "--journal", "j"), "no base URL"),
        (("--upstream", "http://a", "--journal", "j", "--token-upstream", "b"), "no base URL"),
        (("--upstream", "http://u:p@a", "--journal", "j"), "a user's name"),
        (("--upstream", "http://a", "--journal", "j", "--ca-file", "x"), "--tls"),
        (("--upstream", "https://a", "--journal", "j", "--ca", "missing.pem", "--port", "0"), "certificate authority"),
        (("--upstream", "http://a", "--journal", "missing/j", "--port", "0"), "Cannot write the journal"),
        (("--upstream", "http://a", "--journal", "j", "--secret-env", "NOT_THERE_AT_ALL"), "NOT_THERE_AT_ALL"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    run = popreceipt("record", *arguments, COLUMNS="200")
    assert run.returncode == 2, run.stderr
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_recording_is_written_over(tmp_path: Path) -> None:
    """What was recorded cannot be recorded again: a file that is there is kept."""
    path = tmp_path / "traffic.ndjson"
    path.write_text("precious")
    run = popreceipt("record", "--upstream", "http://a", "--journal", str(path), "--port", "0")
    assert run.returncode == 2
    assert "not written over" in run.stderr
    assert path.read_text() == "precious"


def test_without_its_library_it_says_what_to_install() -> None:
    """The command names the extra, and ends with 2."""
    program = "import sys; sys.modules['starlette'] = None; from popreceipt.cli.main import run; run()"
    run = subprocess.run(
        [sys.executable, "-c", program, "record", "--upstream", "http://a", "--journal", "j"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2
    assert "pip install 'popreceipt[record]'" in run.stderr


def test_it_tells_where_the_addon_is() -> None:
    """The path can be handed to mitmproxy as it is."""
    run = popreceipt("record", "--mitmproxy-addon")
    assert run.returncode == 0
    assert Path(run.stdout.strip()) == Path(mitmproxy_addon.__file__)
