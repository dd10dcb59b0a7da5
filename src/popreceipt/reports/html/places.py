"""Where a rule's source is to be read: the address of an article, of a standard's section, of a public repository.

A link is followed by whoever clicks it; the page itself asks for nothing. What is not known here has no link.
"""

import re
from typing import Final
from urllib.parse import quote

from popreceipt.rules.rule import Source

_DOCUMENTATION: Final = "https://learn.microsoft.com/dynamics365/fin-ops-core/"

_ARTICLES: Final = {
    "Recurring integrations": "dev-itpro/data-entities/recurring-integrations",
    "Data management package REST API": "dev-itpro/data-entities/data-management-api",
    "Data import and export jobs overview": "fin-ops/data-entities/data-import-export-job",
}
"""Articles of Microsoft's documentation of finance and operations applications, by title."""

_STANDARD: Final = re.compile(r"RFC (\d+)")
_SECTION: Final = re.compile(r"\d+(\.\d+)*")
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+")
_ISSUE: Final = re.compile(r"issue (\d+)\b")


def address(source: Source) -> str | None:
    """The address at which a source is read; None where it is not known."""
    if source.work in _ARTICLES:
        return _DOCUMENTATION + _ARTICLES[source.work]
    if found := _STANDARD.fullmatch(source.work):
        section = f"#section-{source.section}" if _SECTION.fullmatch(source.section) else ""
        return f"https://www.rfc-editor.org/rfc/rfc{found[1]}{section}"
    if _REPOSITORY.fullmatch(source.work):
        issue = _ISSUE.match(source.section)
        return f"https://github.com/{quote(source.work)}{f'/issues/{issue[1]}' if issue else ''}"
    return None
