"""XML from outside, read without trust: UTF-8 or UTF-16, no document type, no entities."""

import codecs
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from popreceipt.emulator.dmf.problems import Unreadable

MOST_BYTES: Final = 10_000_000
MOST_ELEMENTS: Final = 200_000
"""Limits of one document. The manifest of a package with a thousand entities of a hundred fields keeps both."""

DEEPEST: Final = 100
"""Elements in one another. A manifest has six, and what reads an element reads its children by calling itself."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(slots=True)
class Element:
    """An element: its name without the namespace's prefix, its text, its children."""

    name: str
    pieces: list[str] = field(default_factory=list)
    children: list["Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text that stands in it, that of its children left out."""
        return "".join(self.pieces)

    def child(self, name: str) -> "Element | None":
        """The first child of this name."""
        return next((one for one in self.children if one.name == name), None)

    def value(self, name: str) -> str | None:
        """The text of the first child of this name, without blanks around it."""
        child = self.child(name)
        return child.text.strip() if child is not None else None

    def text_of(self, name: str) -> str:
        """The text of the first child of this name, blanks and all; empty where there is none."""
        child = self.child(name)
        return "" if child is None else child.text


def parse(content: bytes, what: str) -> Element:
    """The root of a document; `what` names it in complaints.

    Raises:
        Unreadable: it is not well-formed, in another encoding, has a document type, or is larger or nested more deeply
            than any honest one.
    """
    if len(content) > MOST_BYTES:
        raise Unreadable(f"{what} has {len(content)} bytes; at most {MOST_BYTES} are read.")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(f"{what} is neither UTF-8 nor UTF-16 with a byte order mark.") from error

    def refuse_document_type(*_: object) -> None:
        raise Unreadable(f"{what} has a document type; none is allowed.")

    root = Element("")
    open_elements = [root]
    begun = 0

    def begin(name: str, _: object) -> None:
        nonlocal begun
        begun += 1
        if begun > MOST_ELEMENTS:
            raise Unreadable(f"{what} has more than {MOST_ELEMENTS} elements.")
        if len(open_elements) > DEEPEST:
            raise Unreadable(f"{what} has elements more than {DEEPEST} deep in one another.")
        element = Element(name.rpartition(":")[2])
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def characters(data: str) -> None:
        open_elements[-1].pieces.append(data)

    # The text is decoded already: handing over UTF-8 overrides whatever encoding the declaration claims.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_document_type
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as error:
        raise Unreadable(f"{what} is not well-formed XML: {error}.") from error
    return root.children[0]
