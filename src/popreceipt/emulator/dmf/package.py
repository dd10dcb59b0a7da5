"""Data packages: a zip with Manifest.xml, PackageHeader.xml and one file an entity at its root.

What is written follows the packages that Microsoft's own samples hold (microsoft/Dynamics-AX-Integration): both XML
files in UTF-16 with a byte order mark and without an XML declaration, elements in the alphabetical order of the data
contract. What is read may be less pedantic: UTF-8 too, any order, any prefix.
"""

import codecs
import io
import zipfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape

from popreceipt.emulator.dmf import xml
from popreceipt.emulator.dmf.delimited import Unreadable

MANIFEST: Final = "Manifest.xml"
HEADER: Final = "PackageHeader.xml"

MOST_FILES: Final = 1_000
MOST_BYTES: Final = 300_000_000
MOST_RATIO: Final = 1_000
"""Limits of a package that is unpacked: members, bytes in all, and how often a member may be larger than packed."""

_NAMESPACE: Final = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_MANIFEST_TYPE: Final = (
    "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest"
)


def read(content: bytes) -> list[tuple[str, bytes]]:
    """The entities of a package by name, each with its file, in the manifest's order.

    Raises:
        Unreadable: it is no zip, something is not where it belongs, a limit is passed, or an XML file is not as it
            should be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = _members(archive)
            header = xml.parse(_content(archive, members, HEADER), HEADER)
            manifest = xml.parse(_content(archive, members, MANIFEST), MANIFEST)
            if header.name != "DataManagementPackageHeader":
                raise Unreadable(f"The root of {HEADER} is {header.name}, not DataManagementPackageHeader.")
            if manifest.name != "DataManagementPackageManifest":
                raise Unreadable(f"The root of {MANIFEST} is {manifest.name}, not DataManagementPackageManifest.")
            return [(entity, _content(archive, members, file_name)) for entity, file_name in _named_by(manifest)]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise Unreadable(f"The package cannot be unpacked: {error}.") from error


def _members(archive: zipfile.ZipFile) -> Mapping[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise Unreadable(f"The package has {len(infos)} members; at most {MOST_FILES} are taken.")
    if sum(info.file_size for info in infos) > MOST_BYTES:
        raise Unreadable(f"The package is larger than {MOST_BYTES} bytes unpacked.")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise Unreadable(f"The package has a member with the name {name!r}.")
        if name in members:
            raise Unreadable(f"The package has two members with the name {name!r}.")
        if info.file_size > MOST_RATIO * max(info.compress_size, 1):
            raise Unreadable(f"The member {name!r} is packed more tightly than honest files are.")
        members[name] = info
    return members


def _content(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> bytes:
    info = members.get(name)
    if info is None or info.is_dir():
        raise Unreadable(f"The package has no {name} at its root.")
    with archive.open(info) as member:
        # The directory's figure may lie: read no more than it claims, and one byte to catch it lying.
        content = member.read(info.file_size + 1)
    if len(content) > info.file_size:
        raise Unreadable(f"The member {name!r} is larger than the package says.")
    return content


def _named_by(manifest: xml.Element) -> list[tuple[str, str]]:
    listed = manifest.child("PackageEntityList")
    found: list[tuple[str, str]] = []
    for one in listed.children if listed is not None else ():
        if one.name != "DataManagementPackageEntityData":
            continue
        entity, file_name = one.value("EntityName"), one.value("InputFilePath")
        if not entity or not file_name:
            raise Unreadable(f"{MANIFEST} has an entity without EntityName or InputFilePath.")
        source_format = one.value("SourceFormat")
        if source_format and not source_format.upper().startswith("CSV"):
            raise Unreadable(f"{MANIFEST} says that {entity} comes as {source_format}; the project expects CSV.")
        found.append((entity, file_name))
    if not found:
        raise Unreadable(f"{MANIFEST} names no entity.")
    return found


def write(
    *, project: str, entity: str, columns: tuple[str, ...], file: bytes, description: str, written: datetime
) -> bytes:
    """A package of one entity's CSV file. `description` tells this package from every other."""
    file_name = f"{entity}.csv"
    stamp = (written.year, written.month, written.day, written.hour, written.minute, written.second)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in (
            (MANIFEST, _manifest(project, entity, columns, file_name)),
            (HEADER, _header(description)),
            (file_name, file),
        ):
            member = zipfile.ZipInfo(name, stamp)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return made.getvalue()


def _utf_16(text: str) -> bytes:
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le")


def _header(description: str) -> bytes:
    return _utf_16(
        f'<DataManagementPackageHeader xmlns="{_NAMESPACE}" xmlns:i="{_INSTANCE}">'
        f"<Description>{escape(description)}</Description>"
        f"<ManifestType>{_MANIFEST_TYPE}</ManifestType>"
        "<PackageType>DefinitionGroup</PackageType>"
        "<PackageVersion>1</PackageVersion>"
        "</DataManagementPackageHeader>"
    )


@lru_cache(maxsize=256)
def _manifest(project: str, entity: str, columns: tuple[str, ...], file_name: str) -> bytes:
    maps = "".join(
        "<EntityMap><ArrayIndex>0</ArrayIndex>"
        f"<EntityField>{escape(column)}</EntityField>"
        '<EntityFieldConversionList i:nil="true" />'
        "<IsAutoDefault>false</IsAutoDefault><IsAutoGenerated>false</IsAutoGenerated>"
        "<IsDefaultValueEqualNull>false</IsDefaultValueEqualNull><UseTextQualifier>false</UseTextQualifier>"
        f"<XMLField>{escape(column)}</XMLField></EntityMap>"
        for column in columns
    )
    return _utf_16(
        f'<DataManagementPackageManifest xmlns="{_NAMESPACE}" xmlns:i="{_INSTANCE}">'
        f"<DefinitionGroupName>{escape(project)}</DefinitionGroupName>"
        f"<Description>{escape(project)}</Description>"
        "<PackageEntityList><DataManagementPackageEntityData>"
        f"<EntityMapList>{maps}</EntityMapList>"
        f"<EntityName>{escape(entity)}</EntityName>"
        '<EntityTransformList i:nil="true" />'
        "<ExcelSheetName></ExcelSheetName>"
        "<ExecutionUnit>1</ExecutionUnit>"
        "<FailExecutionUnitOnError>false</FailExecutionUnitOnError>"
        "<FailLevelOnError>false</FailLevelOnError>"
        f"<InputFilePath>{escape(file_name)}</InputFilePath>"
        "<LevelInExecutionUnit>1</LevelInExecutionUnit>"
        "<RunBusinessLogic>false</RunBusinessLogic>"
        "<RunBusinessValidation>false</RunBusinessValidation>"
        "<SampleFilePath></SampleFilePath>"
        "<SequenceInLevel>1</SequenceInLevel>"
        "<SourceFormat>CSV</SourceFormat>"
        "<ValidationStatus>Yes</ValidationStatus>"
        "</DataManagementPackageEntityData></PackageEntityList>"
        "</DataManagementPackageManifest>"
    )
