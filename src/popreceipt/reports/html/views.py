"""What stands on a page, as the templates are handed it: outcomes by sign, word and tone, rules, findings, figures.

Nothing is computed here, and nothing is markup.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from popreceipt.reports.comparison import RuleChange
from popreceipt.reports.html.gathering import Traffic
from popreceipt.reports.html.story import Story
from popreceipt.reports.html.telling import ExchangeView
from popreceipt.reports.page import Tone
from popreceipt.verdict import Level


@dataclass(frozen=True, slots=True)
class Sign:
    """An outcome by sign, word and tone, so that none of them is needed alone; `key` names it in a style sheet."""

    sign: str
    word: str
    tone: Tone
    key: str


VIOLATED: Final = Sign("✘", "violated", Tone.BAD, "violated")
NOT_KEPT: Final = Sign("!", "not kept", Tone.CAUTION, "not-kept")
UNDECIDED: Final = Sign("?", "undecided", Tone.CAUTION, "undecided")
HELD: Final = Sign("✔", "held", Tone.GOOD, "held")
ANSWERED: Final = Sign("→", "answered", Tone.NEUTRAL, "answered")
OTHERWISE: Final = Sign("≠", "answered otherwise", Tone.NEUTRAL, "otherwise")
UNEXERCISED: Final = Sign("○", "not exercised", Tone.NEUTRAL, "unexercised")

SIGNS: Final = (VIOLATED, NOT_KEPT, UNDECIDED, HELD, ANSWERED, OTHERWISE, UNEXERCISED)
"""In the order in which a reader wants them."""

LEVELS: Final[Mapping[Level, str]] = {
    Level.MUST: "has to be kept; a violation convicts",
    Level.SHOULD: "a recommendation",
    Level.ASK: "left open by the documentation: asked, never failed",
}


LONG_SHEET: Final = 20
"""Rows of a table that is shown without being asked for."""


@dataclass(frozen=True, slots=True)
class FindingView:
    """What a rule saw in one situation: how it is meant, in words, and the exchanges that show it.

    `missing` are witnesses that the journal does not have, `more` how many further ones there are.
    """

    sign: Sign
    message: str
    exchanges: tuple[ExchangeView, ...]
    missing: tuple[int, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule with its verdict, as it is shown.

    Args:
        anchor: its address within the page.
        id: the rule's.
        claim: what it says after the chapter, in words.
        text: what it asks.
        level: MUST, SHOULD or ASK.
        level_words: what that means.
        binds: service or client.
        provenance: where it comes from.
        source: the place in the documentation.
        address: where that is to be read; None where it is not known.
        reading: how the text was taken.
        sign: the outcome.
        situations: how often it had something to judge.
        answer: the server's choice on an open point.
        usual: the usual choice.
        known: all known choices.
        reason: why it was not exercised, or not decided.
        findings: the worst first, as many as are shown.
        more: how many further ones the verdict file lists.
        story: what happened around the first finding.
        commands: lines that show it again.
        replay: the bundle's folder.
        where: the scenario in which it was seen; empty where there is but one run.
        change: what became of it since the earlier result.
    """

    anchor: str
    id: str
    claim: str
    text: str
    level: str
    level_words: str
    binds: str
    provenance: str
    source: str
    address: str | None
    reading: str
    sign: Sign
    situations: int
    answer: str
    usual: str
    known: tuple[str, ...]
    reason: str
    findings: tuple[FindingView, ...]
    more: int
    story: Story | None
    commands: tuple[str, ...]
    replay: str
    where: str
    change: RuleChange | None


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter's rules; `levels` are the same by level, for the matrix."""

    name: str
    anchor: str
    rules: tuple[RuleView, ...]
    levels: tuple[tuple[str, tuple[RuleView, ...]], ...]
    signs: tuple[tuple[Sign, int], ...]


@dataclass(frozen=True, slots=True)
class FailureView:
    """What a suite found by a check of its own."""

    anchor: str
    suite: str
    where: str
    check: str
    level: str
    sign: Sign
    expected: str
    finding: FindingView
    story: Story | None
    replay: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some rules said nothing."""

    words: str
    rules: tuple[RuleView, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Figures of a suite as a table: caption, headings and whether numbers stand below, rows behind their names."""

    caption: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def is_long(self) -> bool:
        """Whether it would stand in the way of what comes after it."""
        return len(self.rows) > LONG_SHEET


@dataclass(frozen=True, slots=True)
class Ran:
    """What a suite did: plain figures, and tables."""

    name: str
    facts: tuple[tuple[str, str], ...]
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """A scenario that a middleware was put through."""

    name: str
    title: str
    sign: Sign
    violated: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The comparison as it is shown: whose, what makes it hard, and the changes by direction."""

    name: str
    written: str
    circumstances: tuple[str, ...]
    groups: tuple[tuple[str, Tone, int, tuple[tuple[str, tuple[tuple[RuleView | None, RuleChange], ...]], ...]], ...]
    alike: int
    still_violated: int
    found: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """All that stands on a page."""

    title: str
    word: str
    tone: Tone
    sentence: str
    more: tuple[str, ...]
    notes: tuple[str, ...]
    tiles: tuple[tuple[Sign, int], ...]
    bar: tuple[tuple[Sign, float, float], ...]
    total: int
    mended: tuple[RuleView, ...]
    failures: tuple[FailureView, ...]
    undecided: tuple[RuleView, ...]
    chapters: tuple[Chapter, ...]
    reasons: tuple[Reason, ...]
    otherwise: tuple[RuleView, ...]
    usual: tuple[RuleView, ...]
    scenarios: tuple[ScenarioView, ...]
    dialects: tuple[tuple[str, Sign, str], ...]
    changed: Changed | None
    ran: tuple[Ran, ...]
    facts: tuple[tuple[str, str], ...]
    abilities: tuple[str, ...]
    traffic: tuple[Traffic, ...]
    journal: tuple[tuple[str, str], ...]
    rules: tuple[RuleView, ...]
