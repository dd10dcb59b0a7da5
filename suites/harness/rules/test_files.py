"""What rules read in a file that was handed in: which records are good, and what nobody can be sure of."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.rules.files import LARGEST_CONTENT, manifest_entries, members_of, packaged_file, records_of

HEADER = b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\n"
MANIFEST = (
    "<DataManagementPackageManifest xmlns='http://schemas.microsoft.com/dynamics/2015/01/DataManagement'>"
    "<PackageEntityList><DataManagementPackageEntityData><EntityName>{entity}</EntityName>"
    "<InputFilePath>groups.csv</InputFilePath><SourceFormat>{format}</SourceFormat>"
    "</DataManagementPackageEntityData></PackageEntityList></DataManagementPackageManifest>"
)


def package(
    content: bytes, *, entity: str = "Customer groups", source: str = "CSV", encoding: str = "utf-16", folder: str = ""
) -> bytes:
    """A data package of one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr(f"{folder}Manifest.xml", MANIFEST.format(entity=entity, format=source).encode(encoding))
        members.writestr(f"{folder}PackageHeader.xml", "<DataManagementPackageHeader/>".encode(encoding))
        members.writestr(f"{folder}groups.csv", content)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ("A,Group,Net30", "good"),
        ("ABCDEFGHIJ," + "x" * 60 + ",", "good"),
        (",Group,Net30", "bad"),
        ("ABCDEFGHIJK,Group,Net30", "bad"),
        ("A," + "x" * 61 + ",Net30", "bad"),
        (" ,Group,Net30", "unsure"),
        ("A,Group", "unsure"),
        ("A," + "x" * 60 + " ,Net30", "unsure"),
        ("A," + "\U0001f600" * 31 + ",Net30", "unsure"),
    ],
)
def test_each_record_is_good_or_bad_or_a_matter_of_opinion(row: str, where: str) -> None:
    """Empty keys and long values are bad; what depends on trimming or counting is neither good nor bad."""
    file = records_of(HEADER + row.encode() + b"\r\n")
    assert file is not None
    assert {name: len(getattr(file, name)) for name in ("good", "bad", "unsure")} == {
        "good": 0,
        "bad": 0,
        "unsure": 0,
        where: 1,
    }


def test_a_key_that_a_file_has_twice_is_a_matter_of_opinion() -> None:
    """A service may take the last, the first or neither of them."""
    file = records_of(HEADER + b"A,One,\r\na,Two,\r\nB,Three,\r\n")
    assert file is not None
    assert [each.key for each in file.good] == ["B"]
    assert [each.key for each in file.unsure] == ["A", "a"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_package_is_read_by_its_manifest(encoding: str) -> None:
    """The file that the manifest names counts, whatever the encoding of the manifest."""
    file = records_of(package(HEADER + b"A,One,\r\n", encoding=encoding))
    assert file is not None
    assert (file.kind, len(file.good)) == ("package", 1)


@pytest.mark.parametrize(
    "options",
    [{"entity": "Customers"}, {"source": "EXCEL"}, {"folder": "package/"}],
    ids=["entity", "source", "folder"],
)
def test_another_package_is_not_looked_into(options: dict[str, str]) -> None:
    """Another entity, another format, everything in a folder: nobody can say what ought to be read there."""
    assert packaged_file(package(HEADER + b"A,One,\r\n", **options)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff",
        b"PK\x03\x04 but no archive",
        b"ID;NAME\r\n1;2\r\n",
        HEADER + b'"A,One,',
        b"<?xml version='1.0'?><a/>",
    ],
)
def test_what_is_no_such_file_is_none(body: bytes) -> None:
    """Broken bytes and other formats are no error and no records."""
    assert records_of(body) is None


def test_a_bomb_is_not_unpacked() -> None:
    """An archive whose content is over the limit is left alone."""
    assert members_of(package(bytes(LARGEST_CONTENT))) is None


def test_a_manifest_with_a_doctype_is_refused() -> None:
    """No manifest has one, and entities could grow without end."""
    assert manifest_entries(b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>") is None
    assert manifest_entries(b"<a>" * 100_000) is None


@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=8), st.integers(0, 2_000))
def test_a_damaged_package_never_raises(changes: list[tuple[int, int]], cut: int) -> None:
    """Whatever bytes are changed or cut off, there are records or there are none."""
    body = bytearray(package(HEADER + b"A,One,\r\n"))
    for place, value in changes:
        body[place % len(body)] = value
    records_of(bytes(body[: max(4, len(body) - cut)]))
