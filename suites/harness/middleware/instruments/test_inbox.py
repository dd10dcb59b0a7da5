"""Looks into a folder: what came, what went, what does not count."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from popreceipt.middleware import inbox
from popreceipt.middleware.inbox import Folder


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_came_is_told_once(tmp_path: Path) -> None:
    """With its digest and its length."""
    folder = Folder(tmp_path)
    assert folder.look() == {"appeared": [], "gone": []}
    (tmp_path / "a.zip").write_bytes(b"abc")
    assert folder.look() == {"appeared": [{"name": "a.zip", "sha256": digest(b"abc"), "length": 3}], "gone": []}
    assert folder.look() == {"appeared": [], "gone": []}


def test_what_went_is_told(tmp_path: Path) -> None:
    """Also where its folder went with it."""
    folder = Folder(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    assert [each["name"] for each in folder.look()["appeared"]] == ["b", "below/a"]
    (tmp_path / "below" / "a").unlink()
    (tmp_path / "below").rmdir()
    (tmp_path / "b").unlink()
    assert folder.look() == {"appeared": [], "gone": ["b", "below/a"]}


def test_what_was_changed_has_gone_and_come(tmp_path: Path) -> None:
    """Under the same name."""
    folder = Folder(tmp_path)
    (tmp_path / "a").write_bytes(b"half")
    folder.look()
    (tmp_path / "a").write_bytes(b"half and half")
    assert folder.look() == {
        "appeared": [{"name": "a", "sha256": digest(b"half and half"), "length": 13}],
        "gone": ["a"],
    }


@pytest.mark.parametrize("name", [".state", "a.tmp", "a.zip.part", "B.PART", ".below/a"])
def test_what_is_not_finished_or_private_does_not_count(name: str, tmp_path: Path) -> None:
    """The subject writes it for itself."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert Folder(tmp_path).look()["appeared"] == []


def test_a_file_counts_once_it_has_its_name(tmp_path: Path) -> None:
    """As careful clients write them."""
    folder = Folder(tmp_path)
    (tmp_path / "a.zip.part").write_bytes(b"abc")
    folder.look()
    (tmp_path / "a.zip.part").rename(tmp_path / "a.zip")
    assert [each["name"] for each in folder.look(in_haste=True)["appeared"]] == ["a.zip"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_does_not_hold_anybody_up(tmp_path: Path) -> None:
    """A pipe, a link to nowhere, a link to a folder that goes round in circles."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dead").symlink_to(tmp_path / "nothing")
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a").write_bytes(b"a")
    assert [each["name"] for each in Folder(tmp_path).look()["appeared"]] == ["a"]


def test_rubbish_without_end_is_looked_at_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is known that there is more."""
    monkeypatch.setattr(inbox, "MOST_FILES", 5)
    folder = Folder(tmp_path)
    for number in range(7):
        (tmp_path / str(number)).write_bytes(b"x")
    assert len(folder.look()["appeared"]) == 5
    assert folder.is_overfull


def test_a_file_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is none of ours."""
    monkeypatch.setattr(inbox, "LONGEST", 10)
    (tmp_path / "a").write_bytes(b"x" * 11)
    assert Folder(tmp_path).look()["appeared"] == []


def test_in_haste_what_is_finished_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is still there is seen all the same; what is not finished is read anew."""
    folder = Folder(tmp_path, {digest(b"whole")})
    for name, content in (("a", b"whole"), ("b", b"half"), ("c", b"whole")):
        (tmp_path / name).write_bytes(content)
    folder.look(in_haste=True)
    read: list[str] = []
    before = inbox._digest
    monkeypatch.setattr(inbox, "_digest", lambda path: read.append(path.name) or before(path))
    (tmp_path / "a").write_bytes(b"spoilt")
    (tmp_path / "b").write_bytes(b"more than half")
    (tmp_path / "c").unlink()
    seen = folder.look(in_haste=True)
    assert read == ["b"]
    assert seen["gone"] == ["b", "c"]
    assert folder.look() == {"appeared": [{"name": "a", "sha256": digest(b"spoilt"), "length": 6}], "gone": ["a"]}


def test_a_folder_that_is_gone_is_empty(tmp_path: Path) -> None:
    """A subject may delete what it likes."""
    path = tmp_path / "inbox"
    path.mkdir()
    (path / "a").write_bytes(b"a")
    folder = Folder(path)
    folder.look()
    (path / "a").unlink()
    path.rmdir()
    assert folder.look() == {"appeared": [], "gone": ["a"]}


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
def test_a_name_that_is_no_text_is_told_as_well_as_can_be(tmp_path: Path) -> None:
    """A journal is UTF-8, and so is what is told of a file that came, and went."""
    folder = Folder(tmp_path)
    path = tmp_path / os.fsdecode(b"caf\xe9.zip")
    path.write_bytes(b"x")
    assert [each["name"] for each in folder.look()["appeared"]] == ["caf\ufffd.zip"]
    path.unlink()
    assert folder.look()["gone"] == ["caf\ufffd.zip"]
