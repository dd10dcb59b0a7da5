"""The search for leaks finds them, however they are wrapped up."""

import base64
import gzip
import json
import zipfile
from io import BytesIO
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from popreceipt.generate.rehearsal import leaking
from popreceipt.generate.rehearsal.canaries import leaks, leaks_in, spellings
from popreceipt.generate.rehearsal.talkative import spelt

SECRET = "5b88Q~W41uF5&Ee18<NM7T8/r4o+wPDm6DICW-NS"
TOKEN = ".".join(
    base64.urlsafe_b64encode(each).rstrip(b"=").decode()
    for each in (b'{"alg":"RS256","typ":"JWT"}', b'{"aud":"https://qa.example"}', b"signature-of-it")
)


def zipped(content: bytes) -> bytes:
    """An archive with this in it, compressed."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.txt", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        f"client_secret={SECRET}".encode(),
        f"client_secret={quote_plus(SECRET)}&x".encode(),
        json.dumps({"secret": SECRET}).encode(),
        SECRET.replace("&", "&amp;").replace("<", "&lt;").encode(),
        base64.b64encode(SECRET.encode()),
        base64.b64encode(b"id:" + SECRET.encode() + b":x"),
        base64.urlsafe_b64encode(b"ab" + SECRET.encode()),
        base64.b64encode(b"a" + SECRET.encode()),
        zipped(SECRET.encode()),
        gzip.compress(SECRET.encode(), mtime=0),
        json.dumps({"base64": base64.b64encode(zipped(SECRET.encode() * 3)).decode()}).encode(),
        f"Authorization: Bearer {TOKEN}".encode(),
        zipped(TOKEN.encode()),
        SECRET.encode().hex().encode(),
        b"https://blobs.example/c/b?sv=1&sig=q7Rf3kXw0ZsY2mTnB8uV%2Bhs%3D&sp=r",
        zipped(b"<a href='https://blobs.example/c/b?sv=1&amp;sig=q7Rf3kXw0ZsY2mTnB8uVhs'>"),
    ],
    # An archive tells when it was made: names of cases may not come from what is in them.
    ids=[
        "plain",
        "form",
        "json",
        "html",
        "base64",
        "base64-in-the-middle",
        "base64-of-urls",
        "base64-shifted",
        "zip",
        "gzip",
        "zip-in-json",
        "bearer",
        "token-in-zip",
        "hex",
        "signed",
        "signed-in-zip",
    ],
)
def test_a_leak_is_found(content: bytes) -> None:
    """Plain, encoded, packed."""
    assert leaks_in(b"before " + content if content[:2] not in (b"PK", b"\x1f\x8b") else content, spellings(SECRET))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"5b88Q~W41",
        b"Bearer sha256:1a2b3c4d",
        b"eyJ",
        b"PK\x03\x04broken",
        b"\x1f\x8bbroken",
        b"https://blobs.example/c/b?sv=1&sig=redacted:1a2b3c4d&sp=r",
    ],
    ids=["nothing", "beginning", "digest", "three-letters", "zip", "gzip", "unsigned"],
)
def test_what_is_no_leak_is_let_be(content: bytes) -> None:
    """A short digest, the beginning of a secret, a damaged archive."""
    assert leaks_in(content, spellings(SECRET)) == []


def test_a_folder_is_searched_to_its_leaves(tmp_path: Path) -> None:
    """Every file is looked into but those that may have it; the place is told, and not the secret."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "report.html").write_text(f"<p>{SECRET}</p>")
    (tmp_path / "world.json").write_text(SECRET)
    found = leaks(tmp_path, [SECRET], but=[tmp_path / "world.json"])
    assert found == [f"{Path('a', 'b', 'report.html')}: a secret (5b88…)"]


@pytest.mark.parametrize("secret", [SECRET, TOKEN, "opaque+token/with=signs&more~0123456789"])
def test_whatever_a_talkative_stranger_says_is_found(secret: str) -> None:
    """The search knows each of its spellings: so nothing of it is overlooked where nothing is found."""
    for how, words in spelt(secret).items():
        assert leaks_in(f"x-said: {words}".encode(), spellings(secret)), how


def test_no_command_leaves_what_a_talkative_stranger_said_back(tmp_path: Path) -> None:
    """A tour and its pages, with all that the stranger was told, in errors and headers; nox -s rehearsal runs all."""
    found = leaking.look(tmp_path, whole=False)
    assert set(found.ran) == {"verify", "report", "judge"}
    assert found.problems == []
    journal = (tmp_path / "secrets" / "out" / "journal.ndjson").read_text(encoding="utf-8")
    assert journal.count("x-said-0-plain") > 10
    assert "redacted:" in journal
