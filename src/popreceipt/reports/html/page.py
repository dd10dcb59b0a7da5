"""The page of a result: one file that stands alone, for a phone, a screen and paper.

Nothing is loaded from outside. It is read without its script, which merely searches and unfolds; its policy lets that
one script run and nothing else. Whatever a server or a subject said is made plain and escaped at the one place through
which every value goes into a template. The same result gives the same bytes.
"""

import base64
import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from popreceipt import __version__
from popreceipt.exceptions import UsageError
from popreceipt.journal import without_tokens
from popreceipt.reports.plain import plain

if TYPE_CHECKING:
    import jinja2

    from popreceipt.reports.comparison import Comparison
    from popreceipt.reports.html.contents import ScenarioJournal
    from popreceipt.reports.result import ResultFile
    from popreceipt.rules.rule import Rule

ENGINES: Final = {"jinja2": "jinja2", "markupsafe": "markupsafe"}
"""Modules that write pages, and the packages in which they come."""

POLICY: Final = "default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'"


def require() -> None:
    """See that a page can be written.

    Raises:
        UsageError: it cannot: a package is missing.
    """
    missing = [package for module, package in ENGINES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f'The page needs {", ".join(missing)}: pip install "popreceipt[report]".')


def as_page(
    result: "ResultFile",
    rules: "Mapping[str, Rule]",
    journal: Path | None = None,
    comparison: "Comparison | None" = None,
    scenario_journal: "ScenarioJournal" = lambda _: None,
    *,
    kept: bool = True,
) -> str:
    """The page of a result.

    Args:
        result: the verdict file.
        rules: the catalogue, by id.
        journal: the recording that its findings name; None where it was not kept.
        comparison: the result beside an earlier one.
        scenario_journal: finds the recordings of a middleware's scenarios.
        kept: the recording is still there when the page is read.

    Raises:
        UsageError: a package is missing, or a recording cannot be read.
    """
    require()
    from markupsafe import Markup

    from popreceipt.reports.html.contents import contents
    from popreceipt.reports.html.views import SIGNS

    style = (files("popreceipt.reports") / "page.css").read_text(encoding="utf-8") + _own("report.css")
    script = _own("report.js")
    return _template().render(
        page=contents(result, rules, journal, comparison, scenario_journal, kept=kept),
        signs=SIGNS,
        version=__version__,
        style=Markup(style),  # noqa: S704  our own file
        script=Markup(script),  # noqa: S704  our own file
        policy=POLICY.format(style=_digest(style), script=_digest(script)),
    )


@cache
def _template() -> "jinja2.Template":
    """The page's template, read once: to understand it takes longer than to fill it in."""
    import jinja2
    from markupsafe import Markup

    def made_plain(value: Any) -> Any:
        # What is Markup was made by us; all else may come from a stranger.
        if isinstance(value, str) and not isinstance(value, Markup):
            return plain(without_tokens(value))
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("popreceipt.reports.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=made_plain,
    )
    return environment.get_template("report.html")


def write(page: str, path: Path) -> int:
    """Write a page; the answer is how many bytes it has.

    Raises:
        OSError: it cannot be written.
    """
    content = page.encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return len(content)


def _own(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a policy names a script or a style sheet that stands in the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
