"""Scenarios as they would have been played, out of journals that rules are shown by."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from popreceipt import resources
from popreceipt.journal import Entry, Header, Journal, JournalFile, Observation
from popreceipt.middleware.played import Exit, Judged, Played
from popreceipt.middleware.scenario import Exported, Scenario
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Outcome, judge

JOURNALS = resources.fixtures() / "journals"

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def judged(journal: Journal, *, name: str = "export-package", exits: tuple[Exit, ...] = (), **facts: Any) -> Judged:
    """A scenario of this journal, with the verdicts of all rules that bind clients."""
    told: dict[str, Any] = {"title": "Nothing goes wrong.", "source": "Recurring integrations", "export": Exported()}
    options = {each: facts.pop(each) for each in ("output_tail", "fault", "lacks", "cut_short") if each in facts}
    played = Played(
        scenario=Scenario(name=name, **(told | facts)),
        lease_seconds=journal.header.lease_seconds or 1800.0,
        seconds=3.0,
        journal=journal,
        exits=exits,
        output_tail=options.pop("output_tail", ""),
        **options,
    )
    readings = Readings(journal.header, journal.entries)
    return Judged(played=played, rules=judge(readings, catalogue(Binds.CLIENT)))


def read(path: Path) -> Journal:
    """A journal of the fixtures, in memory."""
    file = JournalFile(path)
    return journal_of(file.header, file)


def journal_of(header: Header, entries: Iterable[Entry]) -> Journal:
    """A journal with these entries."""
    made = Journal(header)
    for each in entries:
        made.add(each)
    made.seal()
    return made


def of_fixture(claim: str, **facts: Any) -> Judged:
    """What `fixtures/journals/CLAIM.ndjson` tells, as a scenario."""
    return judged(read(JOURNALS / f"{claim}.ndjson"), **facts)


def violating() -> list[str]:
    """The journals that violate a rule for clients, by claim."""
    chapters = {each.id.partition(".")[::2] for each in catalogue(Binds.CLIENT)}
    return sorted(
        f"{path.parent.name}/{path.name.removesuffix('.ndjson')}"
        for path in JOURNALS.glob("*/*.violated.ndjson")
        if (path.parent.name, path.name.partition(".")[0]) in chapters
    )


def violated(one: Judged) -> list[str]:
    """The rules that are violated."""
    return [each.id for each in one.rules if each.outcome is Outcome.VIOLATED]


class Tape:
    """A journal as an instrument writes it, second by second."""

    def __init__(self, *, lease_seconds: float = 6.0) -> None:
        self.journal = Journal(Header(recorded_by="service", clock="system", lease_seconds=lease_seconds))

    def at(self, seconds: float) -> datetime:
        """An instant."""
        return NOON + timedelta(seconds=seconds)

    def saw(self, seconds: float, kind: str, /, **facts: Any) -> None:
        """An observation."""
        self.journal.add(Observation(kind, self.at(seconds), facts))

    def call(self, seconds: float, method: str, path: str, status: int | None, **told: Any) -> int:
        """An exchange; its number. `took` is how many seconds it lasted."""
        sent = self.at(seconds)
        took = timedelta(seconds=told.pop("took", 0.0))
        root = told.pop("root", "http://127.0.0.1:8365")
        return self.journal.record(
            sent=sent, answered=sent + took, method=method, url=root + path, status=status, **told
        ).seq
