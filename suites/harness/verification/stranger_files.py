"""Entities and the files they travel in, for the server that shares nothing with the emulator."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from lxml import etree

Row = dict[str, str]
Record = dict[str, object]


class Unreadable(Exception):
    """A file that cannot be taken apart into records."""


@dataclass(frozen=True)
class Field:
    """A column of an entity."""

    name: str
    type: str = "text"
    length: int | None = None
    key: bool = False
    mandatory: bool = False


@dataclass(frozen=True)
class Entity:
    """What records of one kind are made of."""

    name: str
    fields: tuple[Field, ...]

    @property
    def tag(self) -> str:
        """The element of a record in XML."""
        return re.sub(r"[\W_]", "", self.name).upper()

    def key_of(self, record: Record) -> tuple[object, ...]:
        return tuple(record[one.name] for one in self.fields if one.key)


ENTITIES = [
    Entity(
        "Customer groups",
        (
            Field("CUSTOMERGROUPID", length=10, key=True, mandatory=True),
            Field("DESCRIPTION", length=60),
            Field("PAYMENTTERMID"),
        ),
    ),
    Entity(
        "Payment days",
        (
            Field("SHARE", "real"),
            Field("DUEDATE", "date"),
            Field("PAYMENTDAY", length=12, key=True, mandatory=True),
            Field("LINE", "integer", key=True, mandatory=True),
            Field("ISOPEN", "yes-no"),
        ),
    ),
    Entity(
        "Modes of delivery", (Field("MODECODE", length=10, key=True, mandatory=True), Field("DESCRIPTION", length=40))
    ),
]
SEPARATORS = {"CSV": ",", "CSV-Semicolon": ";", "TAB": "\t"}
FORMATS = ["XML-Element", *SEPARATORS]


def entity_named(name: object) -> Entity | None:
    """The entity of this name, in any letter case."""
    return next((one for one in ENTITIES if one.name.casefold() == str(name).casefold()), None)


def format_named(name: object) -> str | None:
    """The format of this name, in any letter case."""
    return next((one for one in FORMATS if one.casefold() == str(name).casefold()), None)


# Values


def value_of(field: Field, text: str) -> object:
    """A value as the target table keeps it; a ValueError says what is wrong with the text."""
    if field.mandatory and not text.strip():
        raise ValueError(f"{field.name} cannot be left empty here.")
    if field.length is not None and len(text) > field.length:
        raise ValueError(f"{field.name} takes at most {field.length} characters.")
    if field.type == "text" or not text.strip():
        return text
    try:
        if field.type == "integer":
            return int(text)
        if field.type == "real":
            return format(Decimal(text).normalize(), "f")
        if field.type == "date":
            return date.fromisoformat(text[:10]).isoformat()
    except (ValueError, InvalidOperation) as fault:
        raise ValueError(f"{field.name} is no {field.type}.") from fault
    if text.casefold() not in {"yes", "no", "1", "0", "true", "false"}:
        raise ValueError(f"{field.name} is yes or no.")
    return "Yes" if text.casefold() in {"yes", "1", "true"} else "No"


def synthetic(entity: Entity, run: int, place: int) -> Record:
    """A record that nobody ever made before."""
    mark = f"{place:X}"[-6:].rjust(4, "K")
    by_type = {
        "integer": place,
        "real": str(Decimal(place) / 4),
        "date": f"{1990 + place % 80}-{place % 12 + 1:02}-05",
        "yes-no": "Yes" if place % 2 else "No",
    }
    record: Record = {one.name: by_type.get(one.type, mark if one.key else "") for one in entity.fields}
    if "DESCRIPTION" in record:
        record["DESCRIPTION"] = f'Grüße "{run}", {place}'
    if "PAYMENTTERMID" in record:
        record["PAYMENTTERMID"] = "" if place % 3 else f"N{place % 90}"
    return record


# Files


def rows_of(data: bytes, form: str, entity: Entity, sheets: Iterable[str] = ()) -> tuple[list[str], list[Row]]:
    """The columns of a file, in capitals, and its rows; a row that is too long has a value under no name."""
    if form not in SEPARATORS:
        return xml_rows(data, entity, sheets)
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(text, strict=True, delimiter=SEPARATORS[form]) if line]
    except (UnicodeDecodeError, csv.Error) as fault:
        raise Unreadable from fault
    header = [name.strip().upper() for name in lines[0]] if lines else []
    if not header or not all(header) or len(set(header)) != len(header):
        raise Unreadable
    blank = dict.fromkeys(header, "")
    return header, [
        {**blank, **dict(zip(header, line, strict=False)), **({"": "surplus"} if len(line) > len(header) else {})}
        for line in lines[1:]
    ]


def xml_rows(data: bytes, entity: Entity, sheets: Iterable[str]) -> tuple[list[str], list[Row]]:
    """The columns and rows of XML with an element a record and, in it, an element a column."""
    safe = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        tree = etree.fromstring(data, safe).getroottree()
        for sheet in sheets:
            tree = style(sheet)(tree)
        root = tree.getroot()
        if root is None or etree.QName(root).localname.casefold() != "document":
            raise Unreadable
        records = cells(root)
        if any(etree.QName(one).localname.upper() != entity.tag for one in records):
            raise Unreadable
        rows = [{column_of(cell): cell.text or "" for cell in cells(one)} for one in records]
    except (etree.LxmlError, ValueError) as fault:
        raise Unreadable from fault
    columns = sorted({column for row in rows for column in row})
    return columns, [{**dict.fromkeys(columns, ""), **row} for row in rows]


def cells(element: etree._Element) -> list[etree._Element]:
    """The elements in an element."""
    return list(element.iterchildren(tag=etree.Element))


def style(sheet: str) -> etree.XSLT:
    """A style sheet that reads and writes nothing else."""
    tree = etree.fromstring(sheet.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    return etree.XSLT(tree, access_control=etree.XSLTAccessControl.DENY_ALL)


def file_of(rows: list[Row], columns: list[str], form: str, entity: Entity) -> bytes:
    """A file with these rows."""
    if form in SEPARATORS:
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, delimiter=SEPARATORS[form])
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode()
    root = etree.Element("Document")
    for row in rows:
        record = etree.SubElement(root, entity.tag)
        for column in columns:
            etree.SubElement(record, xml_name(column)).text = row[column]
    return etree.tostring(root, encoding="utf-16", xml_declaration=True, pretty_print=True)


def xml_name(column: str) -> str:
    """A column as an element can be called; what cannot stand there is spelled by its number."""
    return re.sub(r"[^\w.-]|^[\d.-]", lambda found: f"_x{ord(found[0]):04X}_", column)


def column_of(element: etree._Element) -> str:
    """The column that an element is, in capitals."""
    plain = re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), etree.QName(element).localname)
    return plain.upper()


# Packages


def unpacked(data: bytes) -> list[tuple[str, bytes]]:
    """The data files of a package, each with the name of its entity as the manifest has it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            manifest = etree.fromstring(package.read("Manifest.xml"))
            etree.fromstring(package.read("PackageHeader.xml"))
            entries = manifest.xpath("//*[local-name()='DataManagementPackageEntityData']")
            named = [
                [one.xpath(f"string(*[local-name()='{part}'])") for part in ("EntityName", "InputFilePath")]
                for one in entries
            ]
            if not named:
                raise Unreadable
            return [(entity, package.read(path)) for entity, path in named]
    except (zipfile.BadZipFile, KeyError, etree.LxmlError, NotImplementedError, RuntimeError) as fault:
        raise Unreadable from fault


def packed(files: list[tuple[Entity, str, bytes]], description: str) -> bytes:
    """A package of these files, its XML in UTF-16."""
    space = 'xmlns="http://schemas.microsoft.com/dynamics/2015/01/DataManagement"'
    kind = "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest"
    header = (
        f"<DataManagementPackageHeader {space}><Description>{description}</Description>"
        f"<ManifestType>{kind}</ManifestType><PackageType>DefinitionGroup</PackageType>"
        "<PackageVersion>1</PackageVersion></DataManagementPackageHeader>"
    )
    paths = [f"part-{place}{'.csv' if form in SEPARATORS else '.xml'}" for place, (_, form, _) in enumerate(files)]
    entries = "".join(
        f"<DataManagementPackageEntityData><EntityName>{entity.name}</EntityName><InputFilePath>{path}</InputFilePath>"
        f"<SourceFormat>{form}</SourceFormat></DataManagementPackageEntityData>"
        for path, (entity, form, _) in zip(paths, files, strict=True)
    )
    manifest = (
        f"<DataManagementPackageManifest {space}><DefinitionGroupName>Out</DefinitionGroupName>"
        f"<Description>{description}</Description><PackageEntityList>{entries}</PackageEntityList>"
        "</DataManagementPackageManifest>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for path, (_, _, data) in zip(paths, files, strict=True):
            package.writestr(path, data)
        package.writestr("PackageHeader.xml", header.encode("utf-16"))
        package.writestr("Manifest.xml", manifest.encode("utf-16"))
    return out.getvalue()
