"""What a style sheet makes of a document, for style sheets that are plain enough to be run without fear.

Journals come from anywhere, so nothing here may take long or reach out: elements and expressions that could are not run
at all, and small documents only. None where it is not known what comes out.
"""

import re
from collections.abc import Iterable
from typing import Final

from lxml import etree

_XSL: Final = "{http://www.w3.org/1999/XSL/Transform}"

MOST_ELEMENTS: Final = 200
MOST_APPLICATIONS: Final = 6
LARGEST_DOCUMENT: Final = 16 * 1024
DEEPEST: Final = 6
"""With so few places where templates are applied, and so little depth, a transform ends soon whatever it does."""

_INSTRUCTIONS: Final = frozenset(
    {
        "stylesheet",
        "transform",
        "output",
        "strip-space",
        "template",
        "apply-templates",
        "copy",
        "value-of",
        "attribute",
        "element",
        "text",
        "if",
        "choose",
        "when",
        "otherwise",
    }
)
_EXPRESSIONS: Final = frozenset({"select", "test", "match"})
_DOWNWARDS: Final = re.compile(r"[\w@*/|() ]+")
_UNSAFE: Final = re.compile(r"//|\.\.|::|document|key\(|\$")


def transformed(content: bytes, sheets: Iterable[str]) -> bytes | None:
    """A document after these style sheets, one after another; None where one is not plain, or fails."""
    for text in sheets:
        document, sheet = _parsed(content), _parsed(text.encode("utf-8"))
        if document is None or _depth(document) > DEEPEST or sheet is None or not _plain(sheet):
            return None
        try:
            made = etree.XSLT(sheet.getroottree(), access_control=etree.XSLTAccessControl.DENY_ALL)(document)
            content = str(made).encode("utf-8")
        except etree.XSLTError:
            return None
    return content


def _parsed(content: bytes) -> etree._Element | None:
    if len(content) > LARGEST_DOCUMENT:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return None if root.getroottree().docinfo.doctype else root


def _depth(root: etree._Element) -> int:
    deepest = 0
    for _, element in etree.iterwalk(root, events=("start",)):
        deepest = max(deepest, sum(1 for _ in element.iterancestors()))
        if deepest > DEEPEST:
            break
    return deepest


def _plain(sheet: etree._Element) -> bool:
    applications = 0
    for count, element in enumerate(sheet.iter(), start=1):
        tag = element.tag if isinstance(element.tag, str) else ""
        if count > MOST_ELEMENTS:
            return False
        if not tag.startswith(_XSL):
            if any("{" in value and _UNSAFE.search(value) for value in element.attrib.values()):
                return False
            continue
        name = tag.removeprefix(_XSL)
        if name not in _INSTRUCTIONS or (name == "template" and "name" in element.attrib):
            return False
        if any(_UNSAFE.search(element.get(each, "")) for each in _EXPRESSIONS):
            return False
        if name == "apply-templates":
            applications += 1
            select = element.get("select", "*")
            if not _DOWNWARDS.fullmatch(select) or select.strip().startswith("/"):
                return False
    return applications <= MOST_APPLICATIONS
