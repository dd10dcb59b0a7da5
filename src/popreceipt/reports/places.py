"""Where a rule's source is to be read: the address of its article, standard or public project.

It knows the addresses of those works whose address does not have to be guessed; of others it says nothing.
"""

import re
from typing import Final

from popreceipt.rules.rule import Source

ARTICLES: Final = {
    "Recurring integrations": "recurring-integrations",
    "Data management package REST API": "data-management-api",
}
"""Articles of Microsoft's documentation by the last part of their address."""

_DOCUMENTATION: Final = "https://learn.microsoft.com/dynamics365/fin-ops-core/dev-itpro/data-entities"
_STANDARD: Final = re.compile(r"RFC (\d+)")
_PROJECT: Final = re.compile(r"[A-Za-z0-9][\w-]*/[\w.-]+", re.ASCII)
_ISSUE: Final = re.compile(r"issues? (\d+)", re.ASCII)


def address(source: Source) -> str | None:
    """The address of a source, of its section where sections have one; None where it is not known."""
    if source.work in ARTICLES:
        anchor = f"#{_anchor(source.section)}" if source.section else ""
        return f"{_DOCUMENTATION}/{ARTICLES[source.work]}{anchor}"
    if (standard := _STANDARD.fullmatch(source.work)) is not None:
        return f"https://www.rfc-editor.org/rfc/rfc{standard[1]}"
    if _PROJECT.fullmatch(source.work) is not None:
        issue = _ISSUE.match(source.section)
        return f"https://github.com/{source.work}" + (f"/issues/{issue[1]}" if issue is not None else "")
    return None


def _anchor(heading: str) -> str:
    """A heading's anchor as that documentation makes it: small letters and digits, with hyphens for blanks."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
