"""Data packages: what one holds, by hand and as it is written, what is followed in a manifest, and what is refused."""

from __future__ import annotations

import codecs
import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from popreceipt.emulator.dmf import package
from popreceipt.emulator.dmf.package import Listed, Package, Packed
from popreceipt.emulator.dmf.problems import Unreadable
from popreceipt.emulator.dmf.project import FieldMap

if TYPE_CHECKING:
    from conftest import Office, Open, Zipped

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "<DataManagementPackageHeader/>"
ENTITY = "<EntityName>Customer groups</EntityName><InputFilePath>groups.csv</InputFilePath>"
ONE = f"<DataManagementPackageEntityData>{ENTITY}</DataManagementPackageEntityData>"
MANIFEST = (
    f"<m:DataManagementPackageManifest xmlns:m='urn:x'><m:PackageEntityList>{ONE}</m:PackageEntityList>"
    "</m:DataManagementPackageManifest>"
)
FILE = b"CUSTOMERGROUPID,DESCRIPTION\r\nA,x\r\nB,y\r\n"
SMALLEST: dict[str, bytes | str | None] = {"Manifest.xml": MANIFEST, "PackageHeader.xml": HEADER, "groups.csv": FILE}
ByHand = Callable[..., bytes]


def read(content: bytes) -> list[tuple[str, bytes]]:
    """Entities and files of a package."""
    opened = Package(content)
    return [(one.entity, opened.file(one.file)) for one in opened.entities]


# By hand


def test_a_package_made_by_hand_lands(office: Office, by_hand: ByHand) -> None:
    """UTF-16 parts, two entities listed the other way round than they are done, a map and a style sheet inside."""
    job = office.job_for(
        "import",
        {"entity": "General journal header"},
        {"entity": "General journal lines", "format": "XML-Element"},
        type="package",
    )
    message = office.imported(job, by_hand("journal"), None)
    assert office.status(message) == "Processed", office.log(job, message)
    assert [one["JOURNALBATCHNUMBER"] for one in office.records(job)] == ["GJ-0001", "GJ-0002"]
    lines = office.records(job, "General journal lines")
    assert [(one["JOURNALBATCHNUMBER"], one["LINENUMBER"], one["DEBITAMOUNT"]) for one in lines] == [
        ("GJ-0001", "1", "1250.00"),
        ("GJ-0001", "2", ""),
        ("GJ-0002", "1", "1250.00"),
    ]
    detail = office.jobstatus(job, message)["ExecutionDetail"]
    assert [(one["EntityName"], one["TargetRecords"], one["TargetStatus"]) for one in detail] == [
        ("General journal header", 2, "Finished"),
        ("General journal lines", 3, "Finished"),
    ]


def test_the_project_has_the_last_word_on_the_order(office: Office, by_hand: ByHand) -> None:
    """Where it says that lines come first, they find no headers, whatever the manifest says."""
    job = office.job_for(
        "import",
        {"entity": "General journal header", "level": 2},
        {"entity": "General journal lines", "format": "XML-Element", "level": 1},
        type="package",
    )
    message = office.imported(job, by_hand("journal"), None)
    assert office.status(message) == "ProcessedWithErrors"
    assert [(record, field) for record, field, _ in office.errors(message)] == [
        ("1", "JOURNALBATCHNUMBER"),
        ("2", "JOURNALBATCHNUMBER"),
        ("3", "JOURNALBATCHNUMBER"),
    ]
    assert all(said.startswith("General journal lines: ") for _, _, said in office.errors(message))
    assert len(office.records(job)) == 2


# Reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_the_smallest_package_is_taken_in_either_encoding(zipped: Zipped, encoding: str) -> None:
    """Manifest, header and the one file; order and prefixes do not matter."""

    def encoded(text: str) -> bytes:
        mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
        return mark + text.encode(encoding)

    members = {**SMALLEST, "Manifest.xml": encoded(MANIFEST), "PackageHeader.xml": encoded(HEADER)}
    assert read(zipped(members)) == [("Customer groups", FILE)]


def test_a_declaration_may_claim_what_it_likes(zipped: Zipped) -> None:
    """The byte order mark decides; a declaration of UTF-16 behind it does no harm."""
    declared = ('<?xml version="1.0" encoding="utf-16"?>' + MANIFEST).encode("utf-16")
    assert read(zipped({**SMALLEST, "Manifest.xml": declared})) == [("Customer groups", FILE)]


def test_a_package_of_several_files_is_read_in_the_order_of_its_manifest(zipped: Zipped) -> None:
    """Each entity with its own file; a file that nobody names does no harm."""
    more = ONE.replace("groups.csv", "more.csv").replace("Customer groups", "More")
    content = zipped({**SMALLEST, "Manifest.xml": MANIFEST.replace(ONE, more + ONE), "more.csv": b"x", "note.txt": b""})
    assert read(content) == [("More", b"x"), ("Customer groups", FILE)]


BOMB = b"\0" * 30_000_000

WRONG: dict[str, dict[str, bytes | str | None]] = {
    "no manifest": {"Manifest.xml": None},
    "no header": {"PackageHeader.xml": None},
    "no file": {"groups.csv": None},
    "names in another letter case": {"manifest.xml": MANIFEST, "Manifest.xml": None},
    "inside a folder": {
        "in/Manifest.xml": MANIFEST,
        "in/PackageHeader.xml": HEADER,
        "in/groups.csv": FILE,
        "Manifest.xml": None,
        "PackageHeader.xml": None,
        "groups.csv": None,
    },
    "a folder beside the parts": {"in/groups.csv": FILE},
    "an empty folder": {"in/": b""},
    "a name that climbs": {"../groups.csv": FILE},
    "a name that climbs out of the resources": {"Resources/../../groups.csv": FILE},
    "an absolute name": {"/groups.csv": FILE},
    "a name of another system": {"C:\\groups.csv": FILE},
    "no entity": {"Manifest.xml": "<DataManagementPackageManifest/>"},
    "an entity without a file": {"Manifest.xml": MANIFEST.replace("groups.csv", "")},
    "an entity without a name": {"Manifest.xml": MANIFEST.replace("Customer groups", "")},
    "a file twice": {"Manifest.xml": MANIFEST.replace(ONE, ONE + ONE.replace("Customer", "Other"))},
    "an entity twice": {
        "Manifest.xml": MANIFEST.replace(
            ONE, ONE + ONE.replace("groups.csv", "more.csv").replace("Customer", "CUSTOMER")
        ),
        "more.csv": FILE,
    },
    "a file of the resources": {
        "Manifest.xml": MANIFEST.replace("groups.csv", "Resources/groups.csv"),
        "Resources/groups.csv": FILE,
    },
    "a style sheet that is not there": {
        "Manifest.xml": MANIFEST.replace(
            ENTITY,
            f"{ENTITY}<EntityTransformList><EntityTransform><XsltResourceFileName>x.xslt</XsltResourceFileName>"
            "</EntityTransform></EntityTransformList>",
        )
    },
    "a style sheet without a name": {
        "Manifest.xml": MANIFEST.replace(
            ENTITY, f"{ENTITY}<EntityTransformList><EntityTransform/></EntityTransformList>"
        )
    },
    "a map without a field": {
        "Manifest.xml": MANIFEST.replace(ENTITY, f"{ENTITY}<EntityMapList><EntityMap/></EntityMapList>")
    },
    "an order that is no number": {
        "Manifest.xml": MANIFEST.replace(ENTITY, f"{ENTITY}<ExecutionUnit>first</ExecutionUnit>")
    },
    "an endless number": {
        "Manifest.xml": MANIFEST.replace(ENTITY, f"{ENTITY}<ExecutionUnit>{'9' * 5000}</ExecutionUnit>")
    },
    "another root": {"Manifest.xml": "<Manifest/>"},
    "another root of the header": {"PackageHeader.xml": "<Header/>"},
    "broken XML": {"Manifest.xml": "<DataManagementPackageManifest>"},
    "an empty manifest": {"Manifest.xml": ""},
    "a manifest without a bottom": {"Manifest.xml": "<a>" * 100_000},
    "a document type": {
        "Manifest.xml": f'<!DOCTYPE x [<!ENTITY e "{"a" * 99}">]>{MANIFEST.replace("Customer groups", "&e;")}'
    },
    "an unknown encoding": {"Manifest.xml": MANIFEST.replace("groups.csv", "gröps.csv").encode("latin-1")},
    "packed too tightly": {"bomb.csv": BOMB},
    "too many members": {f"{number}.txt": b"" for number in range(1001)},
}


def refused(content: bytes) -> str:
    """The sentence with which a package is refused."""
    with pytest.raises(Unreadable) as complaint:
        read(content)
    return str(complaint.value)


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_package_is_refused(zipped: Zipped, what: str) -> None:
    """Each with a sentence, none with a library's exception."""
    assert refused(zipped(SMALLEST | WRONG[what])).endswith(".")


@pytest.mark.parametrize("content", [b"", FILE, b"PK\x05\x06" + b"\0" * 18, b"PK\x03\x04"])
def test_what_is_no_zip_is_refused(content: bytes) -> None:
    """A file on a job for packages, above all."""
    assert refused(content).endswith(".")


def test_a_zip_that_is_cut_off_is_refused(zipped: Zipped) -> None:
    """An upload that broke."""
    assert refused(zipped(SMALLEST)[:-30]).endswith(".")


def test_two_members_of_one_name_are_refused() -> None:
    """Which of them was meant nobody can tell."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("Manifest.xml", MANIFEST)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("Manifest.xml", MANIFEST)
    assert "two members" in refused(made.getvalue())


def test_a_symbolic_link_is_refused(zipped: Zipped) -> None:
    """It names a file of the machine where it was packed, or of ours."""
    made = io.BytesIO(zipped({**SMALLEST, "groups.csv": None}))
    with zipfile.ZipFile(made, "a") as archive:
        link = zipfile.ZipInfo("groups.csv")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "link" in refused(made.getvalue())


def test_an_encrypted_member_is_refused(zipped: Zipped) -> None:
    """The flag is enough."""
    content = bytearray(zipped(SMALLEST))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + offset] |= 1
            start = content.find(mark, start + 1)
    assert "encrypted" in refused(bytes(content))


def test_a_member_that_lies_about_its_size_is_refused(zipped: Zipped) -> None:
    """No more is unpacked than was announced."""
    content = zipped({**SMALLEST, "groups.csv": b"A" * 5000})
    for position in (content.rindex(b"groups.csv") - 46 + 24, content.index(b"groups.csv") - 30 + 22):
        content = content[:position] + struct.pack("<I", 10) + content[position + 4 :]
    assert refused(content).endswith(".")


def test_a_member_that_hides_its_size_in_an_extension_is_refused(zipped: Zipped) -> None:
    """The field for large archives claims four exabytes."""
    content = zipped(SMALLEST)
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(b"groups.csv"))
    entry = bytearray(content[start : start + 46])
    extra = struct.pack("<HHQ", 1, 8, 1 << 62)
    struct.pack_into("<I", entry, 24, 0xFFFFFFFF)
    struct.pack_into("<H", entry, 30, len(extra))
    name_end = start + 46 + len(b"groups.csv")
    end = content.rindex(b"PK\x05\x06")
    tail = bytearray(content[end:])
    struct.pack_into("<I", tail, 12, struct.unpack_from("<I", tail, 12)[0] + len(extra))
    lying = (
        content[:start] + bytes(entry) + content[start + 46 : name_end] + extra + content[name_end:end] + bytes(tail)
    )
    with zipfile.ZipFile(io.BytesIO(lying)) as archive:
        assert archive.getinfo("groups.csv").file_size == 1 << 62
    assert "larger than" in refused(lying)


def test_damaged_packages_are_refused_or_read(zipped: Zipped) -> None:
    """Five hundred random wounds, and never another exception."""
    source, whole = random.Random(11), zipped(SMALLEST)
    for _ in range(500):
        wounded = bytearray(whole)
        for _ in range(source.randrange(1, 6)):
            wounded[source.randrange(len(wounded))] = source.randrange(256)
        try:
            read(bytes(wounded))
        except Unreadable:
            continue


# The order of elements


DISORDERED = {
    "Manifest.xml": (
        "<DataManagementPackageManifest><PackageEntityList><DataManagementPackageEntityData><InputFilePath>groups.csv"
        "</InputFilePath><EntityName>Customer groups</EntityName></DataManagementPackageEntityData></PackageEntityList>"
        "</DataManagementPackageManifest>"
    ),
    "PackageHeader.xml": (
        "<DataManagementPackageHeader><PackageVersion>1</PackageVersion><Description>x</Description>"
        "</DataManagementPackageHeader>"
    ),
}


@pytest.mark.parametrize("part", DISORDERED)
def test_elements_out_of_order_are_refused_by_the_strict(open_office: Open, zipped: Zipped, part: str) -> None:
    """Others take them; the sentence names both elements."""
    content = zipped({**SMALLEST, part: DISORDERED[part]})
    assert read(content) == [("Customer groups", FILE)]
    strict = open_office("packages.element-order=strict")
    job = strict.job("import", type="package")
    bad, good = strict.imported(job, content, None), strict.imported(job, zipped(SMALLEST), None)
    assert (strict.status(bad), strict.status(good)) == ("PreProcessingError", "Processed")
    assert "alphabetical" in strict.log(job, bad)
    assert part in strict.log(job, bad)


def test_what_is_written_is_in_order(by_hand: ByHand) -> None:
    """A strict reader takes it, and so it does the package made by hand."""
    assert len(Package(by_hand("journal"), strict=True).entities) == 2
    content = package.write(
        project="P", entities=[packed("Customer groups", FILE, styles=("<a/>",))], description="d", written=NOW
    )
    assert Package(content, strict=True).entities[0].entity == "Customer groups"


# Writing


def packed(entity: str, content: bytes, **settings: object) -> Packed:
    """An entity's file for a package."""
    return Packed(**({"entity": entity, "content": content, "extension": "csv", "format": "CSV"} | settings))  # type: ignore[arg-type]  # settings by name


def test_names_are_escaped_and_kept_apart() -> None:
    """A project may be called what it likes, an entity too; files have names that every system takes."""
    content = package.write(
        project="R&D <new>",
        entities=[packed("A/B", b"1"), packed("A:B", b"2"), packed("a_b", b"3")],
        description='"&"',
        written=NOW,
    )
    assert read(content) == [("A/B", b"1"), ("A:B", b"2"), ("a_b", b"3")]


def test_all_that_a_manifest_says_is_read_again() -> None:
    """Order, flags, worksheet, map with conversions and default, style sheets in their sequence."""
    maps = (
        FieldMap(field="CUSTOMERGROUPID", source="Code", conversions={"1": "ONE", " two\r\n": "<T&WO>"}),
        FieldMap(field="DESCRIPTION", source=None, default=" as usual "),
        FieldMap(field="PAYMENTTERMID", source=None, auto_generated=True),
    )
    one = packed(
        "Customer groups",
        FILE,
        format="XML-Element",
        extension="xml",
        sheet="Groups$",
        execution_unit=3,
        level=2,
        sequence=7,
        fail_unit_on_error=True,
        map=maps,
        styles=("<first/>", "<second/>"),
    )
    opened = Package(package.write(project="P", entities=[one], description="d", written=NOW))
    assert opened.entities == (
        Listed(
            entity="Customer groups",
            file="Customer groups.xml",
            format="XML-Element",
            sheet="Groups$",
            execution_unit=3,
            level=2,
            sequence=7,
            fail_unit_on_error=True,
            map=maps,
            styles=(
                "Resources/Customer groups/transform-1.xslt",
                "Resources/Customer groups/transform-2.xslt",
            ),
        ),
    )
    assert [opened.file(name) for name in opened.entities[0].styles] == [b"<first/>", b"<second/>"]


def test_an_export_is_a_package_with_its_records(office: Office) -> None:
    """Three members at the root, both XML files in UTF-16 with a mark, the CSV as the records page shows them."""
    job = office.job("export")
    office.produce(job, 3)
    with zipfile.ZipFile(io.BytesIO(office.payload(job))) as archive:
        assert archive.namelist() == ["Manifest.xml", "PackageHeader.xml", "Customer groups.csv"]
        assert {one.date_time for one in archive.infolist()} == {(2026, 1, 1, 0, 0, 0)}
        for name in ("Manifest.xml", "PackageHeader.xml"):
            assert archive.read(name).startswith(codecs.BOM_UTF16_LE + "<Data".encode("utf-16-le"))
        lines = archive.read("Customer groups.csv").decode().split("\r\n")
    assert lines[0] == "CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID"
    assert lines[1:4] == [",".join(record.values()) for record in office.records(job)]


def test_what_was_exported_can_be_imported(office: Office) -> None:
    """As it is."""
    source, goal = office.job("export"), office.job("import", type="package")
    office.produce(source, 5)
    office.imported(goal, office.payload(source), None)
    assert office.records(goal) == office.records(source)


# On a job


@pytest.mark.parametrize("what", ["inside a folder", "no header", "a file twice", "packed too tightly"])
def test_a_package_that_cannot_be_read_ends_before_processing(office: Office, zipped: Zipped, what: str) -> None:
    """With the sentence in its log; the package behind it lands."""
    job = office.job("import", type="package")
    content = zipped(SMALLEST | WRONG[what])
    message = office.enqueue(job, content, None)
    good = office.imported(job, zipped(SMALLEST), None)
    assert (office.status(message), office.status(good)) == ("PreProcessingError", "Processed")
    assert office.log(job, message) == refused(content)
    assert len(office.records(job)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("Customer groups", "Vendors V2"), "has no entity 'Vendors V2'"),
        ((ENTITY, f"{ENTITY}<SourceFormat>EXCEL</SourceFormat>"), "expects CSV"),
        ((ENTITY, f"{ENTITY}<SourceFormat>Sheets</SourceFormat>"), "no source data format 'Sheets'"),
        (
            (
                ENTITY,
                f"{ENTITY}<EntityMapList><EntityMap><EntityField>COLOUR</EntityField></EntityMap></EntityMapList>",
            ),
            "'COLOUR'",
        ),
    ],
)
def test_a_manifest_that_the_project_contradicts_is_refused(
    office: Office, zipped: Zipped, change: tuple[str, str], said: str
) -> None:
    """An entity that it lacks, a format that it does not expect or nobody has, a field that the entity lacks."""
    job = office.job("import", type="package")
    message = office.imported(job, zipped({**SMALLEST, "Manifest.xml": MANIFEST.replace(*change)}), None)
    assert office.status(message) == "PreProcessingError"
    assert said in office.log(job, message)


def test_the_format_of_a_manifest_may_be_spelled_in_any_case(office: Office, zipped: Zipped) -> None:
    """Names of formats differ in more than that."""
    job = office.job("import", type="package")
    manifest = MANIFEST.replace(ENTITY, f"{ENTITY}<SourceFormat>csv</SourceFormat>")
    assert office.status(office.imported(job, zipped({**SMALLEST, "Manifest.xml": manifest}), None)) == "Processed"
