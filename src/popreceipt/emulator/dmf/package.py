"""Data packages: a zip with Manifest.xml, PackageHeader.xml and one file an entity at its root.

What is written follows the packages that Microsoft's own samples hold (microsoft/Dynamics-AX-Integration): both XML
files in UTF-16 with a byte order mark and without an XML declaration, elements in the alphabetical order of the data
contract, style sheets below Resources. What is read may be less pedantic: UTF-8 too, any prefix, and any order unless
it is asked to be strict. What a manifest says is told here and judged elsewhere: whether the project has the entity,
and which of the two has the last word.
"""

import codecs
import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from popreceipt.emulator.dmf import xml
from popreceipt.emulator.dmf.archive import Archive
from popreceipt.emulator.dmf.problems import Unreadable
from popreceipt.emulator.dmf.project import FieldMap

MANIFEST: Final = "Manifest.xml"
HEADER: Final = "PackageHeader.xml"
RESOURCES: Final = "Resources"

_NAMESPACE: Final = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_MANIFEST_TYPE: Final = (
    "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest"
)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as a manifest lists it, None where that leaves something open. `styles` are names of members."""

    entity: str
    file: str
    format: str | None = None
    sheet: str | None = None
    execution_unit: int | None = None
    level: int | None = None
    sequence: int | None = None
    fail_unit_on_error: bool = False
    fail_level_on_error: bool = False
    map: tuple[FieldMap, ...] = ()
    styles: tuple[str, ...] = ()


class Package:
    """An opened package: what its manifest lists, and its files.

    Args:
        content: the zip.
        strict: whether the elements of both XML files must stand in the data contract's order.

    Raises:
        Unreadable: it is no zip, something is not where it belongs, a limit is passed, or an XML file is not as it
            should be.
    """

    def __init__(self, content: bytes, *, strict: bool = False) -> None:
        self._archive = Archive(content, "package")
        self._refuse_folders()
        self._xml(HEADER, "DataManagementPackageHeader", strict=strict)
        self.entities = tuple(_listed(self._xml(MANIFEST, "DataManagementPackageManifest", strict=strict)))
        self._refuse_strange_files()

    def file(self, name: str) -> bytes:
        """A member's content.

        Raises:
            Unreadable: there is none, or it cannot be unpacked.
        """
        content = self._archive.content(name)
        if content is None:
            raise Unreadable(f"The package has no {name}.")
        return content

    def _xml(self, name: str, root: str, *, strict: bool) -> xml.Element:
        content = self._archive.content(name, xml.MOST_BYTES)
        if content is None:
            raise Unreadable(f"The package has no {name} at its root.")
        element = xml.parse(content, name)
        if element.name != root:
            raise Unreadable(f"The root of {name} is {element.name}, not {root}.")
        if strict:
            _refuse_disorder(element, name)
        return element

    def _refuse_folders(self) -> None:
        for name in self._archive.names:
            folder, slash, _ = name.partition("/")
            if slash and folder != RESOURCES:
                raise Unreadable(
                    f"The package has a folder {folder!r}; its parts must stand at the root, without a folder."
                )

    def _refuse_strange_files(self) -> None:
        seen: dict[str, str] = {}
        for one in self.entities:
            if "/" in one.file or one.file not in self._archive:
                raise Unreadable(
                    f"{MANIFEST} names the file {one.file!r}, which the package does not have at its root."
                )
            if one.file in seen:
                raise Unreadable(f"{MANIFEST} names the file {one.file!r} for {seen[one.file]} and for {one.entity}.")
            if one.entity.casefold() in map(str.casefold, seen.values()):
                raise Unreadable(f"{MANIFEST} lists the entity {one.entity} twice.")
            seen[one.file] = one.entity
            for style in one.styles:
                if style not in self._archive:
                    raise Unreadable(f"{MANIFEST} names the style sheet {style!r}, which the package does not have.")


def _refuse_disorder(element: xml.Element, name: str) -> None:
    """A strict reader of data contracts passes over an element that comes too late, and misses what it says."""
    for before, after in zip(element.children, element.children[1:], strict=False):
        if after.name < before.name:
            raise Unreadable(
                f"In {name} the element {after.name} of {element.name} comes after {before.name}; "
                "elements must stand in alphabetical order."
            )
    for child in element.children:
        _refuse_disorder(child, name)


# What a manifest says


def _listed(manifest: xml.Element) -> Iterable[Listed]:
    found = [
        _entity(one)
        for one in _children(manifest, "PackageEntityList")
        if one.name == "DataManagementPackageEntityData"
    ]
    if not found:
        raise Unreadable(f"{MANIFEST} names no entity.")
    return found


def _children(element: xml.Element, name: str) -> Sequence[xml.Element]:
    child = element.child(name)
    return () if child is None else child.children


def _entity(one: xml.Element) -> Listed:
    entity, file = one.value("EntityName"), one.value("InputFilePath")
    if not entity or not file:
        raise Unreadable(f"{MANIFEST} has an entity without EntityName or InputFilePath.")
    return Listed(
        entity=entity,
        file=file,
        format=one.value("SourceFormat") or None,
        sheet=one.value("ExcelSheetName") or None,
        execution_unit=_number(one, "ExecutionUnit", entity),
        level=_number(one, "LevelInExecutionUnit", entity),
        sequence=_number(one, "SequenceInLevel", entity),
        fail_unit_on_error=_truth(one, "FailExecutionUnitOnError"),
        fail_level_on_error=_truth(one, "FailLevelOnError"),
        map=tuple(_map(each, entity) for each in _children(one, "EntityMapList") if each.name == "EntityMap"),
        styles=_styles(one, entity),
    )


def _number(element: xml.Element, name: str, entity: str) -> int | None:
    text = element.value(name)
    if not text:
        return None
    # Nine digits are enough for an order, and no number is too long to be read.
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Unreadable(f"{MANIFEST} has the {name} {text[:80]!r} at {entity}, which is no number.")
    return int(text)


def _truth(element: xml.Element, name: str) -> bool:
    return (element.value(name) or "").lower() in {"true", "1"}


def _map(one: xml.Element, entity: str) -> FieldMap:
    field = one.value("EntityField")
    if not field:
        raise Unreadable(f"{MANIFEST} has an EntityMap without EntityField at {entity}.")
    default: str | None = None
    conversions: dict[str, str] = {}
    for each in _children(one, "EntityFieldConversionList"):
        value = each.text_of("StagingValue")
        if _truth(each, "IsDefault"):
            default = value
        else:
            conversions[each.text_of("SourceValue")] = value
    return FieldMap(
        field=field.upper(),
        source=one.value("XMLField") or None,
        default=default,
        auto_generated=_truth(one, "IsAutoGenerated"),
        conversions=conversions,
    )


def _styles(one: xml.Element, entity: str) -> tuple[str, ...]:
    found = []
    for each in _children(one, "EntityTransformList"):
        if each.name != "EntityTransform":
            continue
        # The resource's name is the one in the zip, the other what its author called it.
        name = each.value("XsltResourceFileName") or each.value("XsltFileName")
        if not name:
            raise Unreadable(f"{MANIFEST} has an EntityTransform without XsltResourceFileName at {entity}.")
        path = name.replace("\\", "/")
        if "/" not in path:
            path = f"{RESOURCES}/{entity}/{path}"
        found.append((_number(each, "SequenceNumber", entity) or 0, path))
    return tuple(path for _, path in sorted(found, key=lambda pair: pair[0]))


# Writing


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """An entity's file that goes into a package, and what the manifest says of it. `styles` are texts, in order."""

    entity: str
    content: bytes
    extension: str
    format: str
    sheet: str | None = None
    execution_unit: int = 1
    level: int = 1
    sequence: int = 1
    fail_unit_on_error: bool = False
    fail_level_on_error: bool = False
    map: tuple[FieldMap, ...] = ()
    styles: tuple[str, ...] = ()


def write(*, project: str, entities: Sequence[Packed], description: str, written: datetime) -> bytes:
    """A package of these files. `description` tells this package from every other."""
    stamp = (written.year, written.month, written.day, written.hour, written.minute, written.second)
    names = _file_names(entities)
    members: list[tuple[str, bytes]] = [
        (MANIFEST, _manifest(project, tuple(_told(one, name) for one, name in zip(entities, names, strict=True)))),
        (HEADER, _header(description)),
    ]
    for one, name in zip(entities, names, strict=True):
        members.append((name, one.content))
        members += [
            (f"{RESOURCES}/{_safe(one.entity)}/{file}", style.encode("utf-8"))
            for file, style in zip(_style_names(one.styles), one.styles, strict=True)
        ]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members:
            member = zipfile.ZipInfo(name, stamp)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return made.getvalue()


def _file_names(entities: Sequence[Packed]) -> list[str]:
    names: list[str] = []
    for one in entities:
        name = f"{_safe(one.entity)}.{one.extension}"
        if name.casefold() in map(str.casefold, names):
            name = f"{_safe(one.entity)} {len(names) + 1}.{one.extension}"
        names.append(name)
    return names


_UNSAFE: Final = str.maketrans(dict.fromkeys('\\/:*?"<>|', "_"))


def _safe(entity: str) -> str:
    """An entity's name as a file may have it on every system."""
    return entity.translate(_UNSAFE)


def _style_names(styles: Sequence[str]) -> list[str]:
    return [f"transform-{number}.xslt" for number in range(1, len(styles) + 1)]


def _told(one: Packed, file: str) -> tuple[tuple[str, str], ...]:
    """What a manifest says of an entity: its elements with their inner XML, in the order of their names."""
    said = {
        "EntityMapList": _maps(one.map),
        "EntityName": escape(one.entity),
        "EntityTransformList": _transforms(one),
        "ExcelSheetName": escape(one.sheet or ""),
        "ExecutionUnit": str(one.execution_unit),
        "FailExecutionUnitOnError": _written(one.fail_unit_on_error),
        "FailLevelOnError": _written(one.fail_level_on_error),
        "InputFilePath": escape(file),
        "LevelInExecutionUnit": str(one.level),
        "RunBusinessLogic": "false",
        "RunBusinessValidation": "false",
        "SampleFilePath": "",
        "SequenceInLevel": str(one.sequence),
        "SourceFormat": escape(one.format),
        "ValidationStatus": "Yes",
    }
    return tuple(said.items())


_NIL: Final = "\0nil"
"""Stands for a list that is absent: the data contract then writes an attribute."""


def _element(name: str, inner: str) -> str:
    return f'<{name} i:nil="true" />' if inner == _NIL else f"<{name}>{inner}</{name}>"


def _written(truth: bool) -> str:
    return "true" if truth else "false"


def _maps(maps: Sequence[FieldMap]) -> str:
    return "".join(
        "<EntityMap><ArrayIndex>0</ArrayIndex>"
        f"<EntityField>{escape(one.field)}</EntityField>"
        f"{_element('EntityFieldConversionList', _conversions(one))}"
        f"<IsAutoDefault>{_written(one.default is not None)}</IsAutoDefault>"
        f"<IsAutoGenerated>{_written(one.auto_generated)}</IsAutoGenerated>"
        "<IsDefaultValueEqualNull>false</IsDefaultValueEqualNull><UseTextQualifier>false</UseTextQualifier>"
        f"<XMLField>{escape(one.source or '')}</XMLField></EntityMap>"
        for one in maps
        if not one.ignore
    )


def _conversions(one: FieldMap) -> str:
    pairs: list[tuple[bool, str, str]] = [(False, source, staging) for source, staging in one.conversions.items()]
    if one.default is not None:
        pairs.append((True, "", one.default))
    if not pairs:
        return _NIL
    return "".join(
        f"<EntityFieldConversion><FieldType>String</FieldType><IsDefault>{_written(is_default)}</IsDefault>"
        f"<SourceValue>{_text(source)}</SourceValue><StagingValue>{_text(staging)}</StagingValue>"
        "</EntityFieldConversion>"
        for is_default, source, staging in pairs
    )


def _text(value: str) -> str:
    # A reader would turn a bare carriage return into a line feed.
    return escape(value, {"\r": "&#13;"})


def _transforms(one: Packed) -> str:
    if not one.styles:
        return _NIL
    return "".join(
        f"<EntityTransform><SequenceNumber>{number}</SequenceNumber><XsltFileName>{file}</XsltFileName>"
        f"<XsltResourceFileName>{escape(f'{RESOURCES}/{_safe(one.entity)}/{file}')}</XsltResourceFileName>"
        "</EntityTransform>"
        for number, file in enumerate(_style_names(one.styles), 1)
    )


@lru_cache(maxsize=256)
def _manifest(project: str, entities: tuple[tuple[tuple[str, str], ...], ...]) -> bytes:
    listed = "".join(
        "<DataManagementPackageEntityData>"
        + "".join(_element(name, inner) for name, inner in entity)
        + "</DataManagementPackageEntityData>"
        for entity in entities
    )
    return _utf_16(
        f'<DataManagementPackageManifest xmlns="{_NAMESPACE}" xmlns:i="{_INSTANCE}">'
        f"<DefinitionGroupName>{escape(project)}</DefinitionGroupName>"
        f"<Description>{escape(project)}</Description>"
        f"<PackageEntityList>{listed}</PackageEntityList>"
        "</DataManagementPackageManifest>"
    )


def _header(description: str) -> bytes:
    return _utf_16(
        f'<DataManagementPackageHeader xmlns="{_NAMESPACE}" xmlns:i="{_INSTANCE}">'
        f"<Description>{escape(description)}</Description>"
        f"<ManifestType>{_MANIFEST_TYPE}</ManifestType>"
        "<PackageType>DefinitionGroup</PackageType>"
        "<PackageVersion>1</PackageVersion>"
        "</DataManagementPackageHeader>"
    )


def _utf_16(text: str) -> bytes:
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le")
