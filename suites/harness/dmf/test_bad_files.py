"""Files that no honest partner sends: each fails with a sentence, the server goes on, and the next message lands."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from popreceipt.emulator.dmf import importing

if TYPE_CHECKING:
    from conftest import Office, Zipped

LAUGHS = (
    '<!DOCTYPE Document [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {one} "{f"&{other};" * 10}">' for other, one in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><Document><CUSTOMERGROUPS><CUSTOMERGROUPID>&i;</CUSTOMERGROUPID></CUSTOMERGROUPS></Document>"
)
OUTSIDE = (
    '<!DOCTYPE Document [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    "<Document><CUSTOMERGROUPS><CUSTOMERGROUPID>&a;</CUSTOMERGROUPID></CUSTOMERGROUPS></Document>"
)
REMOTE = '<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/x.dtd"><Document/>'
PARAMETER = '<!DOCTYPE Document [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]><Document/>'
DEEP = "<Document>" + "<CUSTOMERGROUPS>" * 100_000

TEXT: dict[str, tuple[str, bytes]] = {
    "billion laughs": ("XML-Element", LAUGHS.encode()),
    "billion laughs in attributes": ("XML-Attribute", LAUGHS.encode()),
    "an entity that reads a file": ("XML-Element", OUTSIDE.encode()),
    "a document type from elsewhere": ("XML-Element", REMOTE.encode()),
    "an entity of a document type": ("XML-Element", PARAMETER.encode()),
    "elements without end": ("XML-Element", DEEP.encode()),
    "XML in an encoding that nobody knows": ("XML-Element", b'<?xml version="1.0" encoding="klingon"?><Document/>'),
    "XML that is Latin-1 and does not say so": ("XML-Element", "<Document>ß</Document>".encode("latin-1")),
    "a NUL in a header": ("CSV", b"CUSTOMERGROUPID\0\r\nA\r\n"),
    "a NUL in a value": ("CSV", b"CUSTOMERGROUPID\r\nA\0B\r\n"),
    "a value of ten megabytes": ("CSV", b"CUSTOMERGROUPID\r\n" + b"A" * 10_000_000 + b"\r\n"),
    "a qualifier that nobody closes": ("CSV", b'CUSTOMERGROUPID\r\n"' + b"A\r\n" * 100_000),
    "a million columns": ("CSV", b",".join([b"A"] * 1_000_000) + b"\r\n"),
    "UTF-16 where UTF-8 is expected": ("CSV", "CUSTOMERGROUPID\r\nA\r\n".encode("utf-16")),
    "UTF-8 where UTF-16 is expected": ("CSV-Unicode", b"CUSTOMERGROUPID\r\nA\r\n"),
    "half a letter of UTF-16": ("CSV-Unicode", "CUSTOMERGROUPID\r\n\U0001f600".encode("utf-16")[:-2]),
    "letters that Windows-1252 has": ("CSV", "CUSTOMERGROUPID\r\nGroßhandel\r\n".encode("cp1252")),
    "no workbook": ("EXCEL", b"CUSTOMERGROUPID\r\nA\r\n"),
    "a package where a file is expected": ("CSV", b"PK\x03\x04" + b"\0" * 30),
}


@pytest.mark.parametrize("what", TEXT)
def test_a_file_that_is_none_fails_alone(office: Office, what: str) -> None:
    """Before processing, with a reason; the file behind it, on another job in the same format as ever, lands."""
    name, content = TEXT[what]
    job = office.job_for("import", {"entity": "Customer groups", "format": name})
    other = office.job("import")
    waiting = office.enqueue(other, b"CUSTOMERGROUPID\r\nGOOD\r\n")
    message = office.imported(job, content)
    assert office.status(message) == "PreProcessingError"
    log = office.log(job, message)
    assert log.endswith((".", "?"))
    assert "root:" not in log
    assert office.status(waiting) == "Enqueued"
    office.control("POST", f"/activities/{other}/process")
    office.advance(seconds=3)
    assert office.status(waiting) == "Processed"
    assert office.records(job) == []


def test_ragged_rows_are_each_a_bad_record(office: Office) -> None:
    """The others land."""
    job = office.job("import")
    message = office.imported(job, b"CUSTOMERGROUPID,DESCRIPTION\r\nA,x\r\nB\r\nC,y,z\r\nD,w\r\n")
    assert office.status(message) == "ProcessedWithErrors"
    assert [record for record, _, _ in office.errors(message)] == ["2", "3"]
    assert [one["CUSTOMERGROUPID"] for one in office.records(job)] == ["A", "D"]


def test_of_very_many_bad_records_the_first_are_listed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are counted, in the list and by entity: an error a line would fill the memory."""
    monkeypatch.setattr(importing, "MOST_ERRORS", 3)
    job = office.job("import")
    message = office.imported(job, b"CUSTOMERGROUPID,DESCRIPTION\r\nA,x\r\n" + b"B\r\n" * 4 + b"TOOLONGAKEY,x\r\n" * 5)
    assert office.status(message) == "ProcessedWithErrors"
    *listed, last = office.errors(message)
    assert [record for record, _, _ in listed] == ["2", "3", "4"]
    assert last == ("", "", "6 further records are wrong, too many to list.")
    detail = office.jobstatus(job, message)["ExecutionDetail"][0]
    assert (detail["StagingErrorCount"], detail["TargetErrorCount"], detail["TargetRecords"]) == (4, 5, 1)


def test_an_upload_has_a_million_records_at_most(
    office: Office, zipped: Zipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files of a package together; with one more it fails before processing."""
    monkeypatch.setattr(importing, "MOST_RECORDS", 3)
    entities = ({"entity": "Customer groups"}, {"entity": "Exchange rates", "level": 2})
    job = office.job_for("import", *entities, type="package")
    listed = MANIFEST.format("groups.csv").replace(
        "</PackageEntityList>",
        "<DataManagementPackageEntityData><EntityName>Exchange rates</EntityName>"
        "<InputFilePath>rates.csv</InputFilePath></DataManagementPackageEntityData></PackageEntityList>",
    )
    rates = b"RATETYPENAME,FROMCURRENCY,TOCURRENCY,STARTDATE,RATE\r\n" + b"x\r\n" * 2
    parts = {"Manifest.xml": listed, "PackageHeader.xml": "<DataManagementPackageHeader/>", "rates.csv": rates}
    few, many = (b"CUSTOMERGROUPID\r\n" + rows for rows in (b"A\r\n", b"A\r\nB\r\n"))
    assert office.status(office.imported(job, zipped({**parts, "groups.csv": few}), None)) == "ProcessedWithErrors"
    message = office.imported(job, zipped({**parts, "groups.csv": many}), None)
    assert office.status(message) == "PreProcessingError"
    assert office.log(job, message) == "The upload has more than 3 records. Split it."


def test_a_long_text_is_cut_as_documented(office: Office) -> None:
    """After 32,768 characters; the field that takes any number of them has the rest cut off."""
    job = office.job("import")
    content = b"CUSTOMERGROUPID,PAYMENTTERMID\r\nA," + b"x" * 100_000 + b"\r\n"
    assert office.status(office.imported(job, content)) == "Processed"
    assert len(office.records(job)[0]["PAYMENTTERMID"]) == 32_768


def workbook_bomb() -> bytes:
    """A workbook whose sheet unpacks to a hundred megabytes of blanks."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 100_000_000)
    return made.getvalue()


def zip_in_zip(depth: int) -> bytes:
    """A zip in a zip in a zip, with a bomb in the middle."""
    content = b"\0" * 10_000_000
    for _ in range(depth):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", content)
        content = made.getvalue()
    return content


MANIFEST = (
    "<DataManagementPackageManifest><PackageEntityList><DataManagementPackageEntityData>"
    "<EntityName>Customer groups</EntityName><InputFilePath>{}</InputFilePath>"
    "</DataManagementPackageEntityData></PackageEntityList></DataManagementPackageManifest>"
)

LONG_MANIFEST = "<DataManagementPackageManifest><Description>{}</Description></DataManagementPackageManifest>"

PACKAGES: dict[str, Callable[[], dict[str, bytes | str]]] = {
    "a bomb beside the file": lambda: {"groups.csv": b"CUSTOMERGROUPID\r\nA\r\n", "bomb": b"\0" * 50_000_000},
    "a bomb as the file": lambda: {"groups.csv": b"A" * 50_000_000},
    "a zip as the file": lambda: {"groups.csv": zip_in_zip(3)},
    "a workbook as the file": lambda: {"groups.csv": workbook_bomb()},
    "a manifest as the file": lambda: {"groups.csv": MANIFEST},
    "a manifest of eleven megabytes": lambda: {"Manifest.xml": LONG_MANIFEST.format(f"{'x' * 79}\n" * 140_000)},
    "a manifest of many elements": lambda: {"Manifest.xml": LONG_MANIFEST.format("<a/>" * 200_000)},
}


@pytest.mark.parametrize("what", PACKAGES)
def test_a_package_with_a_bomb_fails_alone(office: Office, zipped: Zipped, what: str) -> None:
    """Nothing is unpacked that was not announced, and nothing that is inside a file of it."""
    job = office.job("import", type="package")
    parts = {"Manifest.xml": MANIFEST.format("groups.csv"), "PackageHeader.xml": "<DataManagementPackageHeader/>"}
    message = office.imported(job, zipped({**parts, **PACKAGES[what]()}), None)
    assert office.status(message) == "PreProcessingError"
    assert office.log(job, message).endswith((".", "?"))
    good = office.imported(job, zipped({**parts, "groups.csv": b"CUSTOMERGROUPID\r\nGOOD\r\n"}), None)
    assert office.status(good) == "Processed"
    assert [one["CUSTOMERGROUPID"] for one in office.records(job)] == ["GOOD"]


def test_a_workbook_with_a_bomb_fails_alone(office: Office) -> None:
    """By the limits of packages."""
    job = office.job_for("import", {"entity": "Customer groups", "format": "EXCEL"})
    message = office.imported(job, workbook_bomb())
    assert office.status(message) == "PreProcessingError"
    assert "packed more tightly" in office.log(job, message)


def test_a_style_sheet_of_a_package_is_no_more_trusted(office: Office, zipped: Zipped) -> None:
    """Whoever may hand in packages may bring style sheets; the same bounds hold for them."""
    job = office.job_for("import", {"entity": "Customer groups", "format": "XML-Element"}, type="package")
    style = (
        "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'><xsl:template match='/'>"
        "<Document><xsl:copy-of select=\"document('file:///etc/passwd')\"/></Document></xsl:template></xsl:stylesheet>"
    )
    listed = "<EntityTransform><XsltFileName>x.xslt</XsltFileName></EntityTransform>"
    listed = f"<EntityTransformList>{listed}</EntityTransformList>"
    members = {
        "Manifest.xml": MANIFEST.format("groups.xml").replace("<InputFilePath>", f"{listed}<InputFilePath>"),
        "PackageHeader.xml": "<DataManagementPackageHeader/>",
        "groups.xml": "<Document/>",
        "Resources/Customer groups/x.xslt": style,
    }
    message = office.imported(job, zipped(members), None)
    assert office.status(message) == "PreProcessingError"
    assert "Style sheet 1 failed" in office.log(job, message)
    unread = {**members, "Resources/Customer groups/x.xslt": style.encode("latin-1").replace(b"/etc", b"/\xe9tc")}
    assert "neither UTF-8" in office.log(job, office.imported(job, zipped(unread), None))


def test_a_fault_of_our_own_fails_the_message_and_holds_up_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before processing or in it: a status and a sentence, the fault is told, and the next file in order goes on."""
    told: list[str] = []
    office.emulator.faults.tell = told.append
    job = office.job("import", in_order=True)
    content = b"CUSTOMERGROUPID\r\nA\r\n"

    def broken(*_: object, **__: object) -> None:
        raise MemoryError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(office.emulator.batch, "_examine", broken)
        first = office.imported(job, content)
    with monkeypatch.context() as patched:
        patched.setattr(office.emulator.batch, "_land", broken)
        second = office.imported(job, content)
    third = office.imported(job, content)
    assert [office.status(one) for one in (first, second, third)] == [
        "PreProcessingError",
        "ProcessedWithErrors",
        "Processed",
    ]
    assert "a fault of its own" in office.log(job, first)
    assert "a fault of its own" in office.log(job, second)
    assert told == ["MemoryError: no more"]
    assert office.emulator.faults.total == 2
    office.emulator.faults.clear()


def test_a_complaint_is_no_longer_than_somebody_reads(office: Office) -> None:
    """It may quote a name of a hundred kilobytes."""
    job = office.job("import")
    message = office.imported(job, b",".join([b"x" * 100_000] * 2) + b"\r\n")
    assert len(office.log(job, message)) < 1_100
