"""Lays out the pages of the site, written and generated ones side by side, and has Sphinx build them."""

import shutil
from pathlib import Path
from typing import Final

from sphinx.cmd.build import main as sphinx

from popreceipt import resources
from popreceipt.docs import catalogue, command_line

PAGES: Final = Path(__file__).resolve().parent / "pages"
"""The written pages, and Sphinx's configuration."""

PICTURES: Final = ("verify.svg", "messages.png", "load.png", "sizing.png", "report.png")
"""Of specs/, shown on pages."""

SHOWN: Final = ("popreceipt.toml", "plans/example.toml")
"""Of fixtures/, printed on pages."""


def lay_out(folder: Path) -> Path:
    """Put everything that Sphinx reads into a folder, placed as in a checkout; where the pages are then.

    A page names a picture by its place in the checkout, so that it is shown there, too.
    """
    pages = folder / PAGES.relative_to(PAGES.parents[3])
    shutil.copytree(PAGES, pages, ignore=shutil.ignore_patterns("__pycache__"))
    for name in PICTURES:
        _copy(resources.specs() / name, folder / "specs" / name)
    for path in (*resources.specs().glob("*.schema.json"), *(resources.fixtures() / each for each in SHOWN)):
        _copy(path, pages / "files" / path.name)
    for name, text in (catalogue.pages() | command_line.pages()).items():
        path = pages / "reference" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return pages


def build(out: Path, laid_out: Path) -> int:
    """Build the site into `out`; `laid_out` is an empty folder to work in. 0 when Sphinx had nothing to warn of."""
    pages = lay_out(laid_out)
    options = ["-b", "html", "--fail-on-warning", "--keep-going", "--nitpicky", "-q", "-d", str(laid_out / "doctrees")]
    return int(sphinx([*options, str(pages), str(out)]))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
