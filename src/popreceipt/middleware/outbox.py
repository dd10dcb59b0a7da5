"""The files that a subject finds in its outbox, and what becomes of each: no two with the same bytes.

Names sort as the files are to go in order, and have what names have in life: a blank, a letter that is not ASCII. So
has their text: letters that are not ASCII, here a byte order mark, there lines that end otherwise.
"""

import codecs
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from popreceipt.client.packages import data_package, delimited
from popreceipt.middleware.scenario import FileKind, Imported

RECORDS: Final = 4
"""Records of a file."""

MANY_RECORDS: Final = 5_000
"""Records of a long one: some hundred thousand bytes."""

BEYOND: Final = 1_000
"""Bytes by which a large file is above the limit."""

TOO_LONG: Final = 200
"""Characters of a description that no record takes."""

_NAMES: Final = ("customers {}", "Kundengruppen {} für Köln", "groups-{}", "customer.groups {}", "groupes n° {}")
_KEYS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Outgoing(msgspec.Struct, frozen=True):
    """A file of the outbox: its name, its bytes and their digest, and what will become of it."""

    name: str
    kind: FileKind
    content: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of its bytes."""
        return hashlib.sha256(self.content).hexdigest()


def files(imported: Imported, *, seed: str, body_limit: int) -> Iterator[Outgoing]:
    """The files of a scenario's outbox, in the order of their names.

    Args:
        imported: what the scenario says of them.
        seed: what is made up follows from it.
        body_limit: bytes that the service takes.
    """
    chance = Random(seed)  # noqa: S311 - no secret: the same seed gives the same files
    for place, kind in enumerate(imported.files):
        content = _MAKERS[kind](chance, body_limit)
        if kind == "good":
            content = _FORMS[place % len(_FORMS)](content)
        is_packed = imported.type == "package" and kind != "empty"
        if is_packed:
            content = data_package(content, entity=imported.entity)
            if kind == "large":
                content += chance.randbytes(max(0, body_limit + BEYOND - len(content)))
        name = _NAMES[place % len(_NAMES)].format(place + 1)
        yield Outgoing(f"{place + 1:03d} {name}.{'zip' if imported.type == 'package' else 'csv'}", kind, content)


def _record(chance: Random, **changes: str) -> dict[str, str]:
    key = "".join(chance.choices(_KEYS, k=10))
    return {"CUSTOMERGROUPID": key, "DESCRIPTION": f"Gruppe für Größe {key.lower()}", "PAYMENTTERMID": "", **changes}


def _good(chance: Random, _: int) -> bytes:
    return delimited(_record(chance) for _ in range(RECORDS))


def _bad_records(chance: Random, _: int) -> bytes:
    """Half of the records are good; of the others one has no key, the rest are too long."""
    good = [_record(chance) for _ in range(RECORDS // 2)]
    keyless = _record(chance, CUSTOMERGROUPID="")
    long = _record(chance, DESCRIPTION='He said "no"' + "x" * TOO_LONG)
    return delimited([*good, keyless, long])


def _unreadable(chance: Random, _: int) -> bytes:
    """Neither text nor a table: bytes that no encoding has."""
    return b"\xff\xfe\x00" + chance.randbytes(200)


def _empty(_: Random, __: int) -> bytes:
    return b""


def _large(chance: Random, body_limit: int) -> bytes:
    """Good records, and so many of them that the service refuses the body."""
    one = _record(chance)
    each = len(delimited([one, one])) - len(delimited([one]))
    return delimited(_record(chance) for _ in range((body_limit + BEYOND) // each + 1))


def _long(chance: Random, _: int) -> bytes:
    """Good records, and more of them than any buffer holds at once."""
    return delimited(_record(chance) for _ in range(MANY_RECORDS))


_FORMS: Final[Sequence[Callable[[bytes], bytes]]] = (
    lambda content: content,
    lambda content: codecs.BOM_UTF8 + content,
    lambda content: content.replace(b"\r\n", b"\n").removesuffix(b"\n"),
)
"""How a text may be written down: what came in one form is to go on in the same."""

_MAKERS: Final[Mapping[FileKind, Callable[[Random, int], bytes]]] = {
    "good": _good,
    "bad-records": _bad_records,
    "unreadable": _unreadable,
    "empty": _empty,
    "large": _large,
    "long": _long,
}


def altered(content: bytes, body: bytes) -> str | None:
    """How a body comes from a file's bytes: `cut-off`, or `letters-lost` in an encoding that lacks them; else None."""
    if body and len(body) < len(content) and content.startswith(body):
        return "cut-off"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    for encoding in ("ascii", "latin-1", "cp1252"):
        for errors in ("replace", "ignore"):
            lost = text.encode(encoding, errors)
            if lost == body and lost.decode(encoding) != text:
                return "letters-lost"
    return None
