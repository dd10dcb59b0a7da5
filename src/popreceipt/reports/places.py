"""Where a rule's source is to be read: the address of its article, standard or public project.

It knows the addresses of those works whose address does not have to be guessed; of others it says nothing.
"""

import re
from typing import Final

from popreceipt.rules.rule import Source

ARTICLES: Final = {
    "Recurring integrations": "dev-itpro/data-entities/recurring-integrations",
    "Data management package REST API": "dev-itpro/data-entities/data-management-api",
    "Data import and export jobs overview": "fin-ops/data-entities/data-import-export-job",
    "Service protection API limits": "dev-itpro/data-entities/service-protection-api-limits",
}
"""Articles of Microsoft's documentation by the last parts of their address."""

_DOCUMENTATION: Final = "https://learn.microsoft.com/dynamics365/fin-ops-core"
_STANDARD: Final = re.compile(r"RFC (\d+)")
_NUMBERED: Final = re.compile(r"\d+(\.\d+)*", re.ASCII)
_PROJECT: Final = re.compile(r"[A-Za-z0-9][\w-]*/[\w.-]+", re.ASCII)
_ISSUE: Final = re.compile(r"issues? (\d+)", re.ASCII)


def address(source: Source) -> str | None:
    """The address of a source, of its section where sections have one; None where it is not known."""
    if source.work in ARTICLES:
        anchor = f"#{_anchor(source.section)}" if source.section else ""
        return f"{_DOCUMENTATION}/{ARTICLES[source.work]}{anchor}"
    if (standard := _STANDARD.fullmatch(source.work)) is not None:
        anchor = f"#section-{source.section}" if _NUMBERED.fullmatch(source.section) else ""
        return f"https://www.rfc-editor.org/rfc/rfc{standard[1]}{anchor}"
    if _PROJECT.fullmatch(source.work) is not None:
        issue = _ISSUE.match(source.section)
        return f"https://github.com/{source.work}" + (f"/issues/{issue[1]}" if issue is not None else "")
    return None


def _anchor(heading: str) -> str:
    """A heading's anchor as that documentation makes it: small letters and digits, with hyphens for blanks."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
