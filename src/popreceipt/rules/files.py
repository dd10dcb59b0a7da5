"""What is in a file that was handed in: its records of Customer groups, the good ones and the bad ones.

Knows the one entity that every judged world has, and only as much of CSV and of data packages as that takes. What it
is not sure of it says it is not sure of; broken bytes, bombs and forests of XML yield None, never an error.
"""

import csv
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from typing import Final
from xml.parsers import expat

import msgspec

ENTITY: Final = "customer groups"
KEY: Final = "CUSTOMERGROUPID"
DESCRIPTION: Final = "DESCRIPTION"
TERMS: Final = "PAYMENTTERMID"

KEY_LENGTH: Final = 10
DESCRIPTION_LENGTH: Final = 60

LARGEST_CONTENT: Final = 64 * 1024 * 1024
"""So many bytes of a package's members are unpacked in all; a larger one is not looked into."""

MOST_MEMBERS: Final = 1_000
LARGEST_MANIFEST: Final = 1024 * 1024
DEEPEST: Final = 64

MANIFEST: Final = "Manifest.xml"
PACKAGE_HEADER: Final = "PackageHeader.xml"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of Customer groups as a file has it, `row` counted from 1 below the header."""

    row: int
    key: str
    description: str
    terms: str

    @property
    def identity(self) -> str:
        """What tells two records of the target table apart, whatever the letter case."""
        return self.key.strip().casefold()


class ParsedFile(msgspec.Struct, frozen=True, gc=False):
    """The records of a file.

    `unsure` are records that a service may take or leave (a key of blanks, a length that depends on how characters
    are counted, a row with too few fields, a key that the file has twice). `kind` is `csv` or `package`.
    """

    kind: str
    good: tuple[Record, ...] = ()
    bad: tuple[Record, ...] = ()
    unsure: tuple[Record, ...] = ()

    @property
    def all_good(self) -> bool:
        """There are records, and nothing is wrong with any."""
        return bool(self.good) and not self.bad and not self.unsure


def records_of(body: bytes) -> ParsedFile | None:
    """The records in an enqueued body: a CSV file, or the CSV file that a data package's manifest names.

    None where it is neither, or where nobody could say what a service ought to read in it.
    """
    if looks_zipped(body):
        member = packaged_file(body)
        return None if member is None else _parse(member, "package")
    return _parse(body, "csv")


ARCHIVE_ENDS: Final = b"PK\x05\x06"
"""What the record at the end of every zip archive begins with."""


def looks_zipped(body: bytes) -> bool:
    """Begins as a zip archive does."""
    return body[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def packaged_file(body: bytes) -> bytes | None:
    """The one file of Customer groups that a package's manifest names; None where there is no such package."""
    members = members_of(body, (MANIFEST, PACKAGE_HEADER))
    if members is None or MANIFEST not in members or PACKAGE_HEADER not in members:
        return None
    listed = manifest_entries(members[MANIFEST])
    if listed is None or len(listed) != 1:
        return None
    entry = listed[0]
    if entry.get("EntityName", "").strip().casefold() != ENTITY:
        return None
    if "csv" not in entry.get("SourceFormat", "csv").casefold():
        return None
    name = entry.get("InputFilePath", "")
    named = members_of(body, (name,))
    return named.get(name) if named else None


def members_of(body: bytes, names: Iterable[str] | None = None) -> dict[str, bytes] | None:
    """The members of a zip archive by their names (those asked for, or all), read with limits.

    None for bytes that are no sound archive, for one with too many members or with a name twice, and where those
    asked for are too large, encrypted or damaged.
    """
    wanted = None if names is None else frozenset(names)
    found: dict[str, bytes] = {}
    left = LARGEST_CONTENT
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            infos = archive.infolist()
            if len(infos) > MOST_MEMBERS or len({each.filename for each in infos}) < len(infos):
                return None
            for info in infos:
                if wanted is not None and info.filename not in wanted:
                    continue
                with archive.open(info) as member:
                    content = member.read(left + 1)
                if len(content) > left:
                    return None
                left -= len(content)
                found[info.filename] = content
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, RuntimeError):
        # RuntimeError: encrypted members, and (as NotImplementedError) methods of compression that nobody uses.
        return None
    return found


def manifest_entries(content: bytes) -> list[dict[str, str]] | None:
    """What a manifest says of each entity: the texts of the elements directly inside it, by their local names.

    Reads UTF-8 and UTF-16. None for what is no XML, and for any document with a DOCTYPE.
    """
    if len(content) > LARGEST_MANIFEST:
        return None
    reading = _Manifest()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = reading.doctype
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, _RefusedError, ValueError):
        return None
    return reading.entries


def alphabetical(content: bytes) -> bool | None:
    """Whether the elements within each element of a document stand in alphabetical order; None for what is no XML."""
    if len(content) > LARGEST_MANIFEST:
        return None
    reading = _Order()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, _RefusedError, ValueError):
        return None
    return reading.kept


class _Order:
    """Compares each element with the one before it on the same level."""

    def __init__(self) -> None:
        self.kept = True
        self._latest = [""]

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if local < self._latest[-1]:
            self.kept = False
        self._latest[-1] = local
        self._latest.append("")
        if len(self._latest) > DEEPEST:
            raise _RefusedError

    def end(self, _name: str) -> None:
        self._latest.pop()


class _RefusedError(Exception):
    """The document holds what no manifest needs."""


class _Manifest:
    """Gathers what stands directly inside each DataManagementPackageEntityData."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []
        self._path: list[str] = []

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(" ")[2])
        if len(self._path) > DEEPEST:
            raise _RefusedError
        if self._path[-1] == "DataManagementPackageEntityData":
            self.entries.append({})

    def end(self, _name: str) -> None:
        self._path.pop()

    def text(self, text: str) -> None:
        if len(self._path) > 1 and self._path[-2] == "DataManagementPackageEntityData":
            entry = self.entries[-1]
            entry[self._path[-1]] = entry.get(self._path[-1], "") + text

    def doctype(self, *_parts: object) -> None:
        raise _RefusedError


def _parse(content: bytes, kind: str) -> ParsedFile | None:
    try:
        text = content.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error):
        return None
    if not rows or "\0" in text:
        return None
    columns = [name.strip().upper() for name in rows[0]]
    if KEY not in columns or len(set(columns)) < len(columns) or not {KEY, DESCRIPTION, TERMS} >= set(columns):
        return None
    return _sorted_out([_record(columns, row, place) for place, row in enumerate(rows[1:], start=1)], kind)


def _record(columns: Sequence[str], row: Sequence[str], place: int) -> tuple[Record, str]:
    """A record, and whether it is good, bad or unsure by itself."""
    values = dict(zip(columns, row, strict=False))
    record = Record(place, values.get(KEY, ""), values.get(DESCRIPTION, ""), values.get(TERMS, ""))
    verdicts = {fits(record.key, KEY_LENGTH), fits(record.description, DESCRIPTION_LENGTH)}
    if not record.key:
        verdicts.add("bad")
    elif not record.key.strip() or len(row) != len(columns):
        verdicts.add("unsure")
    for verdict in ("bad", "unsure"):
        if verdict in verdicts:
            return record, verdict
    return record, "good"


def fits(text: str, most: int) -> str:
    """Whether a text is certainly short enough (good), certainly too long (bad), or it depends on the counting."""
    if len(text.strip()) > most:
        return "bad"
    if max(len(text), len(text.encode("utf-16-le", "surrogatepass")) // 2) > most:
        return "unsure"
    return "good"


def _sorted_out(records: list[tuple[Record, str]], kind: str) -> ParsedFile:
    seen: dict[str, int] = {}
    for record, _ in records:
        seen[record.identity] = seen.get(record.identity, 0) + 1
    found: dict[str, list[Record]] = {"good": [], "bad": [], "unsure": []}
    for record, verdict in records:
        found["unsure" if verdict == "good" and seen[record.identity] > 1 else verdict].append(record)
    return ParsedFile(kind, tuple(found["good"]), tuple(found["bad"]), tuple(found["unsure"]))
