"""Data packages: what an export hands out, and what an import takes and refuses."""

from __future__ import annotations

import codecs
import io
import random
import struct
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from popreceipt.emulator.dmf import package
from popreceipt.emulator.dmf.delimited import Unreadable

if TYPE_CHECKING:
    from conftest import Environment

HEADER = "<DataManagementPackageHeader/>"
ENTITY = "<EntityName>Customer groups</EntityName><InputFilePath>groups.csv</InputFilePath>"
MANIFEST = (
    "<m:DataManagementPackageManifest xmlns:m='urn:x'><m:PackageEntityList><DataManagementPackageEntityData>"
    f"{ENTITY}</DataManagementPackageEntityData></m:PackageEntityList></m:DataManagementPackageManifest>"
)
FILE = b"CUSTOMERGROUPID,DESCRIPTION\r\nA,x\r\nB,y\r\n"


def zipped(members: dict[str, bytes | str] | None = None, **changes: bytes | str | None) -> bytes:
    """The smallest package, with members changed, added or (None) left out."""
    content: dict[str, bytes | str | None] = {"Manifest.xml": MANIFEST, "PackageHeader.xml": HEADER, "groups.csv": FILE}
    content |= {name.replace("_xml", ".xml").replace("_csv", ".csv"): value for name, value in changes.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in (content | (members or {})).items():
            if value is not None:
                archive.writestr(name, value)
    return made.getvalue()


def test_an_export_is_a_package_with_its_records(plain: Environment) -> None:
    """Three members at the root, both XML files in UTF-16 with a mark, the CSV as the records page shows them."""
    job = plain.create("export")
    plain.produce(job, 3)
    offer = plain.dequeue(job)
    assert offer is not None
    with zipfile.ZipFile(io.BytesIO(plain.download(offer["DownloadLocation"]).body)) as archive:
        assert archive.namelist() == ["Manifest.xml", "PackageHeader.xml", "Customer groups.csv"]
        assert {one.date_time for one in archive.infolist()} == {(2026, 1, 1, 0, 0, 0)}
        for name in ("Manifest.xml", "PackageHeader.xml"):
            assert archive.read(name).startswith(codecs.BOM_UTF16_LE + "<Data".encode("utf-16-le"))
        lines = archive.read("Customer groups.csv").decode().split("\r\n")
    assert lines[0] == "CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID"
    assert lines[1:4] == [",".join(record.values()) for record in plain.records(job)]


def test_what_was_exported_can_be_imported(plain: Environment) -> None:
    """As it is."""
    source, goal = plain.create("export"), plain.create("import", type="package")
    plain.produce(source, 5)
    offer = plain.dequeue(source)
    assert offer is not None
    plain.enqueue(goal, plain.download(offer["DownloadLocation"]).body, None)
    plain.process(goal)
    plain.advance(seconds=3)
    assert plain.records(goal) == plain.records(source)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_smallest_package_is_taken_in_either_encoding(encoding: str) -> None:
    """Manifest, header and the one file; order and prefixes do not matter."""
    content = zipped(Manifest_xml=MANIFEST.encode(encoding), PackageHeader_xml=HEADER.encode(encoding))
    assert package.read(content) == [("Customer groups", FILE)]


def test_a_declaration_may_claim_what_it_likes() -> None:
    """The byte order mark decides; a declaration of UTF-16 in front of it does no harm."""
    declared = ('<?xml version="1.0" encoding="utf-16"?>' + MANIFEST).encode("utf-16")
    assert package.read(zipped(Manifest_xml=declared)) == [("Customer groups", FILE)]


WRONG = {
    "no zip": b"CUSTOMERGROUPID\r\nA\r\n",
    "cut off": zipped()[:-30],
    "no manifest": zipped(Manifest_xml=None),
    "no header": zipped(PackageHeader_xml=None),
    "no file": zipped(groups_csv=None),
    "names in another letter case": zipped({"manifest.xml": MANIFEST}, Manifest_xml=None),
    "inside a folder": zipped(
        {"in/Manifest.xml": MANIFEST, "in/PackageHeader.xml": HEADER, "in/groups.csv": FILE},
        Manifest_xml=None,
        PackageHeader_xml=None,
        groups_csv=None,
    ),
    "a name that climbs": zipped({"../groups.csv": FILE}),
    "an absolute name": zipped({"/groups.csv": FILE}),
    "a name of another system": zipped({"C:\\groups.csv": FILE}),
    "no entity": zipped(Manifest_xml="<DataManagementPackageManifest/>"),
    "an entity without a file": zipped(Manifest_xml=MANIFEST.replace("groups.csv", "")),
    "another format": zipped(Manifest_xml=MANIFEST.replace(ENTITY, ENTITY + "<SourceFormat>EXCEL</SourceFormat>")),
    "another root": zipped(Manifest_xml="<Manifest/>"),
    "another root of the header": zipped(PackageHeader_xml="<Header/>"),
    "broken XML": zipped(Manifest_xml="<DataManagementPackageManifest>"),
    "an empty manifest": zipped(Manifest_xml=""),
    "a document type": zipped(
        Manifest_xml=f'<!DOCTYPE x [<!ENTITY e "{"a" * 99}">]>{MANIFEST.replace("Customer groups", "&e;")}'
    ),
    "an unknown encoding": zipped(Manifest_xml=MANIFEST.replace("groups.csv", "gröps.csv").encode("latin-1")),
    "packed too tightly": zipped({"bomb.csv": b"\0" * 30_000_000}),
    "too many members": zipped({f"{number}.txt": b"" for number in range(1001)}),
    "a mere end": b"PK\x05\x06" + b"\0" * 18,
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_package_is_refused(what: str) -> None:
    """Each with a sentence, none with a library's exception."""
    with pytest.raises(Unreadable):
        package.read(WRONG[what])


def test_a_member_that_lies_about_its_size_is_refused() -> None:
    """No more is unpacked than was announced."""
    content = zipped(groups_csv=b"A" * 5000)
    for position in (content.rindex(b"groups.csv") - 46 + 24, content.index(b"groups.csv") - 30 + 22):
        content = content[:position] + struct.pack("<I", 10) + content[position + 4 :]
    with pytest.raises(Unreadable):
        package.read(content)


def test_damaged_packages_are_refused_or_read() -> None:
    """Five hundred random wounds, and never another exception."""
    source, whole = random.Random(11), zipped()
    for _ in range(500):
        wounded = bytearray(whole)
        for _ in range(source.randrange(1, 6)):
            wounded[source.randrange(len(wounded))] = source.randrange(256)
        try:
            package.read(bytes(wounded))
        except Unreadable:
            continue


def test_a_package_that_cannot_be_read_ends_before_processing(plain: Environment) -> None:
    """And so does a file on a job for packages, or an entity that the project lacks."""
    job = plain.activity("import-package")
    foreign = zipped(Manifest_xml=MANIFEST.replace("Customer groups", "Vendors"))
    for content in (WRONG["inside a folder"], FILE, b"", foreign):
        plain.enqueue(job, content, None)
    plain.process(job)
    plain.advance(seconds=3)
    assert {row["Status"] for row in plain.messages(job)} == {"PreProcessingError"}
    assert plain.records(job) == []


def test_a_package_of_several_files_is_one_message() -> None:
    """Each entity of the manifest with its own file, in its order."""
    listed = MANIFEST.replace(
        "</m:PackageEntityList>",
        "<DataManagementPackageEntityData><InputFilePath>more.csv</InputFilePath><EntityName>More</EntityName>"
        "</DataManagementPackageEntityData></m:PackageEntityList>",
    )
    content = zipped({"more.csv": b"x"}, Manifest_xml=listed)
    assert package.read(content) == [("Customer groups", FILE), ("More", b"x")]


def test_names_are_escaped() -> None:
    """A project may be called what it likes."""
    content = package.write(
        project="R&D <new>",
        entity="Customer groups",
        columns=("A",),
        file=FILE,
        description='"&"',
        written=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert package.read(content) == [("Customer groups", FILE)]
