"""A process of its own that applies style sheets: one that never ends or eats memory can be stopped from outside.

It is started as a script, imports nothing of the rest and holds no state between requests. A request on standard input
is a number of seconds, a count and so many blocks: the document, then its style sheets in turn; a block is a length and
bytes, numbers are 32 bits in network order. The answer on standard output is one byte, 1 for a document and 0 for a
complaint, and one block.

Whoever asked stops it when the time is over. The seconds are for the case that nobody is left to do so: where the
system has alarms, it then ends by itself.
"""

import os
import signal
import struct
import sys
from typing import BinaryIO

from lxml import etree

MEMORY = 1 << 30
"""Address space that the process may have, in bytes, where the system knows such a limit."""

LARGEST = 300_000_000
"""Bytes of the largest document that is given back."""

XSL = "http://www.w3.org/1999/XSL/Transform"


class Refused(Exception):
    """A document or a style sheet that is not taken; the text goes back."""


def transformed(document: bytes, sheets: list[bytes]) -> bytes:
    """The document after all style sheets, in UTF-8.

    Raises:
        Refused: something is no XML, has a document type, wants what it may not have, or fails.
    """
    # lxml's parser tells no two texts apart: the encoding of a document is its own affair, sheets come in UTF-8.
    tree = _parsed(document, "The file", encoding=None)
    for number, sheet in enumerate(sheets, 1):
        name = f"Style sheet {number}"
        style = _parsed(sheet, name, encoding="utf-8")
        _refuse_foreign(style, name)
        try:
            apply = etree.XSLT(style, access_control=etree.XSLTAccessControl.DENY_ALL)
        except etree.XSLTParseError as error:
            raise Refused(f"{name} is no XSLT 1.0: {_said(error)}") from error
        try:
            made = apply(tree)
        except etree.XSLTApplyError as error:
            raise Refused(f"{name} failed: {_said(error)}") from error
        if made.getroot() is None:
            raise Refused(f"{name} made no XML out of the file.")
        # What a style sheet leaves beside the root element (text, above all) is lost here, and seen to be missing.
        tree = etree.ElementTree(made.getroot())
    content = etree.tostring(tree, encoding="utf-8", xml_declaration=True)
    if len(content) > LARGEST:
        raise Refused(f"The style sheets made {len(content)} bytes of the file; at most {LARGEST} are taken.")
    return content


def _parsed(content: bytes, name: str, encoding: str | None) -> "etree._ElementTree":
    parser = etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refused(f"{name} is no well-formed XML: {error}.") from error
    tree = root.getroottree()
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise Refused(f"{name} has a document type; none is allowed.")
    return tree


def _refuse_foreign(style: "etree._ElementTree", name: str) -> None:
    """Refuse what is not the style sheet's own: scripts, and other files that it wants to be joined with."""
    for element in style.iter(etree.Element):
        kind = etree.QName(element)
        if kind.localname == "script" and kind.namespace not in (None, XSL):
            raise Refused(f"{name} holds a script; scripts are not run.")
        if kind.namespace == XSL and kind.localname in ("import", "include"):
            raise Refused(f"{name} wants another file ({kind.localname}); a style sheet must stand alone.")


def _said(error: etree.LxmlError) -> str:
    text = str(error).strip() or "no reason is given"
    return text if text.endswith(".") else f"{text}."


def serve(source: BinaryIO, goal: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while head := source.read(4):
        blocks = [_block(source) for _ in range(_number(source.read(4)))]
        _set_alarm(_number(head))
        try:
            kind, answer = b"\1", transformed(blocks[0], blocks[1:])
        except Refused as refusal:
            kind, answer = b"\0", str(refusal).encode("utf-8", "replace")
        except MemoryError:
            kind, answer = b"\0", b"The style sheets need more memory than they may have."
        _set_alarm(0)
        goal.write(kind + struct.pack("!I", len(answer)))
        goal.write(answer)
        goal.flush()


def _block(source: BinaryIO) -> bytes:
    return source.read(_number(source.read(4)))


def _number(four: bytes) -> int:
    number: int = struct.unpack("!I", four)[0]
    return number


def _set_alarm(seconds: int) -> None:
    """End this process in so many seconds, whatever it is at; 0 takes that back."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)  # Nothing handles it, so the system ends the process; Python would come too late.


def _limit_memory() -> None:
    if os.name == "posix":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    _limit_memory()
    serve(sys.stdin.buffer, sys.stdout.buffer)
