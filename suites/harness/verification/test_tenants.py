"""How a target that is known by its wire alone is described, and what is said of a description that will not do."""

import shutil
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from popreceipt import resources
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.targets import open_target

EXAMPLE = resources.fixtures() / "popreceipt.toml"


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, in a folder of its own, with its secrets in the environment."""
    path = tmp_path / "popreceipt.toml"
    shutil.copy(EXAMPLE, path)
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(path))
    for name in ("QA_SECRET", "QA_UNLISTED_SECRET", "QA_UNMAPPED_SECRET"):
        monkeypatch.setenv(name, "secret")
    return path


def test_the_example_is_understood_up_to_the_server_that_does_not_exist(described: Path) -> None:
    """Everything in it is in order; only nobody answers at its address."""
    text = described.read_text().replace("https://qa.example", "http://127.0.0.1:9")
    described.write_text(text, encoding="utf-8-sig")  # as editors of Windows write it, with a byte order mark
    with pytest.raises(NothingProved, match=r"127\.0\.0\.1:9 cannot be reached"), open_target("tenant:qa"):
        pass


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('base_url = "https://qa.example"', 'base_url = "qa.example"', "base URL"),
        ('token_url = "https', 'token = "https', "lacks token_url"),
        ('"QA_SECRET"', '"NOT_SET"', "NOT_SET"),
        ('clock = "system"', 'clock = "fast"', "clock is"),
        ("export-file =", "export-everything =", "export-everything"),
        ('{ id = "11111111-0000-4000-8000-000000000004", ', "{ ", "needs its GUID"),
        ("[tenant.qa]", "[tenant.qa", "not valid TOML"),
        ("[tenant.qa", "[tenant.other", "describes no tenant 'qa'"),
    ],
)
def test_a_description_that_will_not_do(described: Path, old: str, new: str, words: str) -> None:
    """One sentence that names what is wrong."""
    text = described.read_text()
    assert old in text
    described.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=words), open_target("tenant:qa"):
        pass


@contextmanager
def server_that_loses(lost: frozenset[int]) -> Iterator[str]:
    """A server that says nothing but what time it is, and closes some connections (counted from 1) without a word."""
    counted = 0

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            nonlocal counted
            counted += 1
            while self.rfile.readline().strip():
                pass
            if counted not in lost:
                head = "HTTP/1.1 404 Not Found", "Date: Thu, 01 Jan 2026 00:00:00 GMT", "Content-Length: 0"
                self.wfile.write("\r\n".join((*head, "Connection: close", "", "")).encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


def test_a_connection_that_is_lost_keeps_nobody_from_learning_the_time(described: Path) -> None:
    """Two of the requests that set the clock may fail, wherever."""
    with server_that_loses(frozenset({1, 6})) as url:
        described.write_text(described.read_text().replace("https://qa.example", url))
        with open_target("tenant:qa") as target:
            assert target.times.latest().year == 2026


def test_a_server_that_hardly_ever_answers_is_not_reached(described: Path) -> None:
    """A third one that fails is one too many."""
    with server_that_loses(frozenset({1, 2, 3})) as url:
        described.write_text(described.read_text().replace("https://qa.example", url))
        with pytest.raises(NothingProved, match=r"cannot be reached \(reset\)"), open_target("tenant:qa"):
            pass
