"""The files of an outbox: each ends as its kind says, no two are alike, and their names sort."""

import codecs

import pytest

from popreceipt.middleware.outbox import altered, files
from popreceipt.middleware.scenario import FileKind, Imported

from .conftest import HANDING_IN, QUICK_LEASE_SECONDS, OpenInstrument

KINDS: tuple[FileKind, ...] = ("good", "bad-records", "unreadable", "empty", "large")

LIMIT = 20_000


@pytest.mark.parametrize("kind", ["file", "package"])
def test_each_ends_as_its_kind_says(kind: str, opened: OpenInstrument) -> None:
    """In the connector's own words."""
    imports = Imported(files=KINDS, type=kind)  # type: ignore[arg-type]  # parametrised
    hands = opened(HANDING_IN, lease_seconds=QUICK_LEASE_SECONDS, imports=imports, parameters={"body_limit": LIMIT})
    answers = [hands.enqueue(each.name) for each in sorted(hands.instrument.outbox.iterdir())]
    assert [each and each.status_code for each in answers] == [200, 200, 200, 200, 413]
    ends = ["Processed", "ProcessedWithErrors", "PreProcessingError", "PreProcessingError"]
    hands.until(lambda: [hands.state(each) for each in hands.handed_in] == ends)


def test_no_two_are_alike() -> None:
    """Whatever their kinds."""
    made = list(files(Imported(files=(*KINDS, *KINDS[:3])), seed="1", body_limit=LIMIT))
    assert len({each.sha256 for each in made}) == len(made)


def test_texts_are_written_down_in_more_than_one_way() -> None:
    """Letters that are not ASCII, a byte order mark, lines that end otherwise: none of it survives a careless copy."""
    made = [each.content for each in files(Imported(), seed="1", body_limit=LIMIT)]
    assert not any(each.isascii() for each in made)
    assert [each.startswith(codecs.BOM_UTF8) for each in made] == [False, True, False]
    assert [each.endswith(b"\r\n") for each in made] == [True, True, False]
    assert [b"\r\n" in each for each in made] == [True, True, False]


def test_a_long_one_is_longer_than_a_buffer_and_is_taken() -> None:
    """Some times 64 KiB, and below the service's limit."""
    (made,) = files(Imported(files=("long",)), seed="1", body_limit=LIMIT)
    assert 100_000 < len(made.content) < 1_000_000


def test_names_sort_as_the_files_go_and_are_not_plain() -> None:
    """With a blank and a letter that ASCII does not have."""
    made = [each.name for each in files(Imported(files=("good",) * 12), seed="1", body_limit=LIMIT)]
    assert made == sorted(made)
    assert any(" " in name for name in made)
    assert not all(name.isascii() for name in made)


def test_what_is_missing_of_a_file_is_told() -> None:
    """Its beginning alone, or its text in an encoding that lacks some letters; anything else is not told."""
    content = "KEY,TEXT\r\nA1,Grüße aus Köln €\r\n".encode()
    assert altered(content, content[:9]) == "cut-off"
    assert altered(content, content.decode().encode("ascii", "replace")) == "letters-lost"
    assert altered(content, content.decode().encode("latin-1", "ignore")) == "letters-lost"
    for other in (b"", content, content[1:], content.decode().encode("cp1252"), content + b"x"):
        assert altered(content, other) is None
    assert altered(b"\xff\xfe\x00", b"\xff") == "cut-off"
    assert altered(b"\xff\xfe\x00", b"??") is None
