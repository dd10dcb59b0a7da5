"""A report as one self-contained page of HTML: what every such page has, and the parts of which it is made.

One file: nothing is loaded from outside and no script is needed, which the page itself forbids by its policy. Light and
dark follow the computer, paper is light. Whatever is handed in as a `str` is escaped; what is `Markup` is taken as it
is. It knows nothing of what is reported.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Final

from markupsafe import Markup

from popreceipt import __version__

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Tone(StrEnum):
    """How something is meant; each is told by a sign and a word beside its colour."""

    GOOD = "good"
    CAUTION = "caution"
    BAD = "bad"
    NEUTRAL = "neutral"


SIGNS: Final = {Tone.GOOD: "✔", Tone.CAUTION: "!", Tone.BAD: "✘", Tone.NEUTRAL: "·"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure that is read at a glance: what it is, the figure with its unit, and a few words of what it means."""

    name: str
    figure: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading with the unit, and whether figures stand in it."""

    heading: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table: a figure or words, and smaller below it more of it, such as an interval."""

    text: str | Markup
    small: str = ""
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; the first cell is its heading. A marked one stands out: say in a cell why it does."""

    cells: Sequence[Cell | str]
    marked: Tone | None = None


def document(title: str, *parts: Markup, verdict: Markup, description: str) -> str:
    """A whole page.

    Args:
        title: in the browser's tab, and small above the verdict.
        parts: usually sections, in the order in which they are read.
        verdict: what the reader came for; see `verdict`.
        description: one plain sentence for whoever lists the page elsewhere.
    """
    return str(
        Markup(
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="referrer" content="no-referrer">\n<meta name="description" content="{description}">\n'
            '<meta name="generator" content="popreceipt {version}">\n<title>{title}</title>\n'
            "<style>\n{style}</style>\n</head>\n<body>\n"
            '<a class="skip" href="#report">Skip to the report</a>\n'
            "<header>\n<h1>{title}</h1>\n{verdict}\n</header>\n"
            '<main id="report" tabindex="-1">\n{parts}\n</main>\n'
            "<footer>\n<p>Made by popreceipt {version}. This page stands alone: nothing is loaded, "
            "nothing is sent.</p>\n</footer>\n</body>\n</html>\n"
        ).format(
            policy=POLICY,
            description=description,
            version=__version__,
            title=title,
            style=_style(),
            verdict=verdict,
            parts=Markup("\n").join(parts),
        )
    )


def verdict(word: str, sentence: str, *more: str, tone: Tone) -> Markup:
    """The answer at the top: a word that tells how it went, a sentence that can be acted on, and what to know of it."""
    return Markup(
        '<div class="verdict tone-{tone}" role="group" aria-label="Answer">\n'
        '<p class="word"><span aria-hidden="true">{sign}</span> {word}</p>\n'
        '<p class="sentence">{sentence}</p>\n{more}</div>'
    ).format(
        tone=tone.value,
        sign=SIGNS[tone],
        word=word,
        sentence=sentence,
        more=Markup().join(Markup('<p class="more">{}</p>\n').format(each) for each in more),
    )


def section(key: str, heading: str, *parts: Markup) -> Markup:
    """A part of the page with a heading; `key` is its address (`#key`)."""
    return Markup(
        '<section id="{key}" aria-labelledby="{key}-heading">\n<h2 id="{key}-heading">{heading}</h2>\n'
        "{parts}\n</section>"
    ).format(key=key, heading=heading, parts=Markup("\n").join(parts))


def heading(words: str) -> Markup:
    """A heading within a section."""
    return Markup("<h3>{}</h3>").format(words)


def paragraph(words: str | Markup, *, quiet: bool = False) -> Markup:
    """A paragraph."""
    return Markup("<p{}>{}</p>").format(Markup(' class="quiet"') if quiet else "", words)


def bullets(items: Iterable[str | Markup]) -> Markup:
    """A list; nothing at all where there is no item."""
    made = Markup("\n").join(Markup("<li>{}</li>").format(each) for each in items)
    return Markup("<ul>\n{}\n</ul>").format(made) if made else Markup()


def facts(*shown: Fact) -> Markup:
    """Figures that are read at a glance, side by side."""
    return Markup('<dl class="facts">\n{}\n</dl>').format(
        Markup("\n").join(
            Markup('<div><dt>{}</dt><dd class="figure">{}</dd>{}</div>').format(
                each.name, each.figure, Markup('<dd class="note">{}</dd>').format(each.note) if each.note else ""
            )
            for each in shown
        )
    )


def note(words: str, *, tone: Tone, word: str) -> Markup:
    """A box that must not be overlooked; `word` tells what it is ("Warning", "Not run")."""
    return Markup('<div class="note-box tone-{}"><b><span aria-hidden="true">{}</span> {}</b><p>{}</p></div>').format(
        tone.value, SIGNS[tone], word, words
    )


def warnings(words: Iterable[str]) -> Markup:
    """A box for each warning; nothing where there is none."""
    return Markup("\n").join(note(each, tone=Tone.CAUTION, word="Warning") for each in words)


def table(caption: str, columns: Sequence[Column], rows: Iterable[Row]) -> Markup:
    """A table with its headings; a wide one scrolls by itself, with the keyboard too.

    Raises:
        ValueError: a row has not as many cells as there are columns.
    """
    head = Markup().join(Markup('<th scope="col"{}>{}</th>').format(_kind(each), each.heading) for each in columns)
    body = Markup("\n").join(_row(row, columns) for row in rows)
    return Markup(
        '<div class="scroll" role="region" aria-label="{caption}" tabindex="0">\n<table>\n'
        "<caption>{caption}</caption>\n"
        "<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    ).format(caption=caption, head=head, body=body)


def said(words: str, tone: Tone) -> Markup:
    """A word within a text or a cell with its sign: kept, missed."""
    return Markup('<span class="said tone-{}"><span aria-hidden="true">{}</span> {}</span>').format(
        tone.value, SIGNS[tone], words
    )


def figure(title: str, drawing: Markup, caption: str) -> Markup:
    """A plot (an inline SVG that tells its own name) with its title and what it shows."""
    return Markup(
        "<figure>\n<h3>{title}</h3>\n"
        '<div class="scroll" role="region" aria-label="{title}" tabindex="0">\n{drawing}\n</div>\n'
        "<figcaption>{caption}</figcaption>\n</figure>"
    ).format(title=title, drawing=drawing, caption=caption)


def code(text: str, *, label: str) -> Markup:
    """Text that is kept as it is, line by line: a plan, a command."""
    return Markup('<pre role="region" aria-label="{}" tabindex="0"><code>{}</code></pre>').format(label, text)


def _row(row: Row, columns: Sequence[Column]) -> Markup:
    if len(row.cells) != len(columns):
        raise ValueError(f"a row of {len(row.cells)} cells in a table of {len(columns)} columns")
    cells = []
    for place, (given, column) in enumerate(zip(row.cells, columns, strict=True)):
        cell = given if isinstance(given, Cell) else Cell(given)
        words = cell.text if cell.tone is None else said(cell.text, cell.tone)
        small = Markup('<span class="small">{}</span>').format(cell.small) if cell.small else ""
        made = Markup('<th scope="row"{}>{}{}</th>') if place == 0 else Markup("<td{}>{}{}</td>")
        cells.append(made.format(_kind(column), words, small))
    marked = Markup(' class="marked tone-{}"').format(row.marked.value) if row.marked is not None else ""
    return Markup("<tr{}>{}</tr>").format(marked, Markup().join(cells))


def _kind(column: Column) -> Markup:
    return Markup(' class="number"') if column.number else Markup()


def _style() -> Markup:
    """The style sheet. It stands in the page's head as it is: nobody but us writes it."""
    return Markup((files("popreceipt.reports") / "page.css").read_text(encoding="utf-8"))  # noqa: S704  our own file
